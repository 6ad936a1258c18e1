//! Drags that end on a window of another VM.

use smithay::utils::{Physical, Point};
use vitrail::input::pointer::BUTTON_LEFT;
use wayland_client::protocol::wl_data_device_manager::DndAction;

use super::*;

fn content(desk: &mut Desk, name: &str) -> Point<i32, Physical> {
    desk.fixture.report().into_iter().find(|window| window.vm == name).unwrap().content.loc
}

fn point(desk: &mut Desk, at: Point<i32, Physical>) {
    desk.fixture.state().input_pointer_motion(f64::from(at.x), f64::from(at.y));
    desk.fixture.turn();
}

fn button(desk: &mut Desk, pressed: bool) {
    desk.fixture.state().input_pointer_button(BUTTON_LEFT, pressed);
    desk.fixture.turn();
}

/// A place on the window of `web` that no other window covers.
fn target(desk: &mut Desk) -> Point<i32, Physical> {
    desk.focus("web");
    content(desk, "web") + Point::from((75, 70))
}

/// `work` drags something, with an icon that would fill the screen.
fn drag(desk: &mut Desk, types: &[&str]) -> WlDataSource {
    desk.focus("work");
    let at = content(desk, "work") + Point::from((10, 70));
    point(desk, at);
    button(desk, true);
    let (who, device) = (desk.who("work"), desk.device("work").clone());
    desk.fixture.roundtrip(who);
    let client = desk.fixture.client(who);
    let surface = client.told.shown[0].surface.clone();
    let source = client.bind::<WlDataDeviceManager>().create_data_source(&client.queue, ());
    types.iter().for_each(|name| source.offer((*name).to_owned()));
    source.set_actions(DndAction::Copy);
    let icon = client.surface();
    device.start_drag(Some(&source), &surface, Some(&icon), client.told.press);
    client.draw_on(&icon, 400, 300, YELLOW);
    desk.fixture.roundtrip(who);
    assert!(desk.fixture.state().comp.selections.is_dragging());
    source
}

#[test]
fn a_drop_on_another_vms_window_is_asked_about_and_that_vm_learns_of_it_by_a_yes_alone() {
    let mut desk = Desk::new(ALLOW);
    let on_web = target(&mut desk);
    drag(&mut desk, &[TEXT]);
    for step in 0..5 {
        point(&mut desk, on_web + Point::from((step, 0)));
    }
    button(&mut desk, false);
    let pipe = desk.next_pipe("work");
    let web = desk.who("web");
    desk.fixture.roundtrip(web);
    assert_eq!(desk.fixture.client(web).told.transfers.drag, [""; 0]);
    File::from(pipe).write_all(b"dragged").unwrap();
    desk.fixture.wait_question();
    // The source is told what it would be if nobody had taken it, whatever the answer.
    let work = desk.who("work");
    desk.fixture.roundtrip(work);
    assert_eq!(desk.fixture.client(work).told.transfers.cancelled, 1);
    assert_eq!(desk.clipboard("web"), None);
    desk.tap("tab");
    desk.tap("enter");
    assert_eq!(desk.read("web", TEXT), "dragged");
    assert_eq!(desk.fixture.client(web).told.transfers.drag, [""; 0]);
    assert!(desk.is_empty());
}

#[test]
fn a_no_to_a_drop_leaves_nothing_behind() {
    let mut desk = Desk::new(ALLOW);
    let on_web = target(&mut desk);
    drag(&mut desk, &[TEXT]);
    point(&mut desk, on_web);
    button(&mut desk, false);
    let pipe = desk.next_pipe("work");
    File::from(pipe).write_all(b"dragged").unwrap();
    desk.fixture.wait_question();
    desk.tap("esc");
    assert!(desk.is_empty());
    assert_eq!(desk.clipboard("web"), None);
}

#[test]
fn a_drop_that_the_rules_deny_or_that_is_of_files_is_not_read() {
    for (rules, types) in [
        ("[[clipboard.rule]]\nfrom = 'work'\nto = 'web'\naction = 'deny'\n", [TEXT]),
        (ALLOW, ["text/uri-list"]),
    ] {
        let mut desk = Desk::new(rules);
        let on_web = target(&mut desk);
        drag(&mut desk, &types);
        point(&mut desk, on_web);
        button(&mut desk, false);
        let work = desk.who("work");
        desk.fixture.roundtrip(work);
        assert!(matches!(desk.last(), What::Refused(Refusal::Denied | Refusal::Kind)));
        assert!(desk.fixture.client(work).told.asked.is_empty() && !desk.is_asking());
    }
}

/// Row 10: a picture of the VM that follows the pointer over the windows of others.
#[test]
fn the_compositors_chip_follows_the_pointer_and_no_pixel_of_the_vm_does() {
    let mut desk = Desk::new("");
    let on_web = target(&mut desk);
    drag(&mut desk, &["x/\u{202e}y", TEXT]);
    point(&mut desk, on_web);
    assert_eq!(desk.fixture.state().comp.selections.dragged().unwrap().1, "text");
    let screen = desk.fixture.screenshot();
    let all = || (24..600).flat_map(|y| (0..800).map(move |x| (x, y)));
    assert_eq!(all().filter(|(x, y)| screen.pixel(*x, *y) == YELLOW).count(), 0, "nothing of its icon");
    let chip =
        (on_web.y + 14..on_web.y + 36).flat_map(|y| (on_web.x + 14..on_web.x + 120).map(move |x| (x, y)));
    let green = chip.filter(|(x, y)| screen.pixel(*x, *y) == WORK).count();
    assert!(green > 400, "{green} pixels in the colour of the VM");
    button(&mut desk, false);
    desk.wait_refusal(Refusal::Late);
    let screen = desk.fixture.screenshot();
    assert_ne!(screen.pixel(on_web.x + 60, on_web.y + 18), WORK);
}
