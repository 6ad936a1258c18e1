//! Popups wear a ring where they leave their window, stay below the stripe, and go when the focus leaves.

use crate::fixture::{Fixture, WEB, WORK, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];

#[track_caller]
fn popup(fixture: &mut Fixture, at: (i32, i32), size: (i32, i32)) -> vitrail::shell::popup::PopupRects {
    let client = fixture.connect(vm("work"));
    let window = fixture.window(client, 200, 100, BLUE);
    let popup = fixture.client(client).create_popup(window, at.0, at.1, size.0, size.1);
    fixture.configured(client, popup, 0);
    fixture.client(client).draw(popup, size.0, size.1, YELLOW);
    fixture.roundtrip(client);
    let comp = &fixture.state().comp;
    let root = comp.shell.shown_top_down().next().unwrap().handle.wl_surface().clone();
    let placed = comp.popup_rects(&root);
    assert_eq!(placed.len(), 1);
    placed[0].rects
}

#[test]
fn a_popup_that_leaves_its_window_wears_a_ring() {
    let mut fixture = Fixture::new();
    let rects = popup(&mut fixture, (180, 80), (80, 60));
    let outer = rects.ring.expect("a ring");
    let screen = fixture.screenshot();
    screen.assert_ring(WORK, outer, 2);
    screen.assert_solid("popup", YELLOW, rects.content);
}

#[test]
fn a_popup_inside_its_window_wears_none() {
    let mut fixture = Fixture::new();
    let rects = popup(&mut fixture, (20, 20), (80, 60));
    assert_eq!(rects.ring, None);
    let screen = fixture.screenshot();
    screen.assert_solid("popup", YELLOW, rects.content);
    assert_eq!(screen.pixel(rects.content.loc.x - 1, rects.content.loc.y), BLUE);
}

#[test]
fn a_popup_stays_in_the_work_area_wherever_its_client_wants_it() {
    for at in [(-500, -500), (5000, 5000), (-5000, 50), (10, -120)] {
        let mut fixture = Fixture::new();
        let rects = popup(&mut fixture, at, (80, 60));
        let area = fixture.state().comp.shell.layout().work_area();
        assert!(area.contains_rect(rects.outer()), "{at:?}: {rects:?}");
        let screen = fixture.screenshot();
        screen.assert_ring(WORK, rects.outer(), 2);
    }
}

#[test]
fn a_popup_of_the_whole_screen_is_over_its_vms_share_and_not_shown() {
    let mut fixture = Fixture::new();
    let client = fixture.connect(vm("work"));
    let window = fixture.window(client, 200, 100, BLUE);
    let popup = fixture.client(client).create_popup(window, 0, 0, 400, 300);
    fixture.configured(client, popup, 0);
    fixture.client(client).draw(popup, 400, 300, YELLOW);
    fixture.roundtrip(client);
    let screen = fixture.screenshot();
    assert!((0..400).all(|x| (0..300).all(|y| screen.pixel(x, y) != YELLOW)));
}

/// Toolkits that open menus when a button is let go show the serial of that, and their menus were gone at once.
#[test]
fn a_menu_may_follow_the_release_of_a_button_and_has_the_keyboard() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let who = fixture.connect(vm("work"));
    let client = fixture.client(who);
    client.seat().get_pointer(&client.queue, ());
    client.seat().get_keyboard(&client.queue, ());
    let window = fixture.window(who, 200, 100, BLUE);
    let content = fixture.report()[0].content;
    fixture.click(content.loc.x + 5, content.loc.y + 5);
    fixture.roundtrip(who);
    let client = fixture.client(who);
    client.told.press = client.told.release;
    let menu = client.create_menu(window, 10, 10, 50, 50);
    fixture.configured(who, menu, 0);
    fixture.client(who).draw(menu, 50, 50, YELLOW);
    fixture.roundtrip(who);
    let told = &fixture.client(who).told;
    assert!(!told.shown[menu].done);
    assert_eq!(told.keyboard.as_ref(), Some(&told.shown[menu].surface));
}

/// The protocol allows an anchor rectangle without an extent, and Smithay ended the client for it.
#[test]
fn a_popup_may_be_placed_at_a_point() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("work"));
    fixture.window(who, 200, 100, BLUE);
    let client = fixture.client(who);
    let base = client.bind::<wayland_protocols::xdg::shell::client::xdg_wm_base::XdgWmBase>();
    let positioner = base.create_positioner(&client.queue, ());
    positioner.set_size(10, 10);
    positioner.set_anchor_rect(5, 5, 0, 0);
    fixture.roundtrip(who);
    assert_eq!(fixture.client(who).error(), None);
    positioner.set_anchor_rect(5, 5, -1, 0);
    fixture.roundtrip(who);
    let invalid = fixture.client(who).error().expect("a size below nothing is an error");
    assert_eq!(invalid.0, "xdg_positioner");
}

#[test]
fn popups_are_dismissed_when_another_vm_gets_the_focus() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, BLUE);
    let popup = fixture.client(work).create_popup(window, 10, 10, 50, 50);
    fixture.configured(work, popup, 0);
    fixture.client(work).draw(popup, 50, 50, YELLOW);
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, YELLOW);
    assert!(!fixture.client(work).told.shown[popup].done);
    let content = fixture.report().iter().find(|window| window.vm == "web").unwrap().content;
    fixture.click(content.loc.x + 3, content.loc.y + 3);
    fixture.wait("the popup's end", |fixture| fixture.client(work).told.shown[popup].done);
    let screen = fixture.screenshot();
    let frame = fixture.report().iter().find(|window| window.vm == "web").unwrap().frame;
    screen.assert_ring(WEB, frame, 4);
}

#[test]
fn a_vm_without_the_focus_cannot_show_popups() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, BLUE);
    let web = fixture.connect(vm("web"));
    let window = fixture.window(web, 200, 100, YELLOW);
    let popup = fixture.client(web).create_popup(window, 10, 10, 50, 50);
    fixture.wait("the popup's end", |fixture| fixture.client(web).told.shown[popup].done);
}

#[test]
fn a_vm_without_the_keyboard_shows_no_popup_whatever_it_does() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, BLUE);
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, BLUE);
    let popup = fixture.client(work).create_popup(window, 10, 10, 50, 50);
    fixture.wait("the refusal", |fixture| fixture.client(work).told.shown[popup].done);
    assert!(fixture.client(work).configures(popup).is_empty());
    fixture.client(work).draw(popup, 50, 50, YELLOW);
    fixture.roundtrip(work);
    fixture.state().repaint();
    let screen = fixture.screenshot();
    assert!((0..800).all(|x| (0..600).all(|y| screen.pixel(x, y) != YELLOW)));
}
