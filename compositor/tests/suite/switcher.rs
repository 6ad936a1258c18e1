//! Choosing a window: labels on the pictures, and nothing for clients until it is over.

use vitrail::input::pointer::BUTTON_LEFT;
use vitrail::render::switcher::Grid;

use crate::fixture::{Fixture, WEB, WORK, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];
const META: u32 = 125;
const TAB: u32 = 15;

/// Windows of two VMs, of which `web` has the keyboard.
fn two(fixture: &mut Fixture) -> (Who, Who) {
    let [work, web] = ["work", "web"].map(|name| {
        let who = fixture.connect(vm(name));
        fixture.client(who).listen();
        fixture.window(who, 300, 200, if name == "work" { BLUE } else { YELLOW });
        who
    });
    let web_frame = fixture.report().into_iter().find(|window| window.vm == "web").unwrap().frame;
    fixture.click(web_frame.loc.x + 100, web_frame.loc.y + 100);
    fixture.wait("the keyboard", |fixture| fixture.client(web).told.keyboard.is_some());
    fixture.roundtrip(work);
    (work, web)
}

fn focused(fixture: &mut Fixture) -> String {
    fixture.report().into_iter().find(|window| window.focused).unwrap().vm
}

fn tap(fixture: &mut Fixture, code: u32) {
    fixture.state().input_key(code, true);
    fixture.state().input_key(code, false);
}

#[test]
fn each_picture_is_in_the_frame_of_its_vm_at_every_scale() {
    for scale in [1.0, 1.25, 1.5, 2.0] {
        let size = |length: f64| (length * scale) as i32;
        let mut fixture = Fixture::sized(size(900.0), size(600.0), scale);
        two(&mut fixture);
        fixture.state().input_key(META, true);
        tap(&mut fixture, TAB);
        let screen = fixture.screenshot();
        let layout = *fixture.state().comp.shell.layout();
        let grid = Grid::new(&layout, 2, 1);
        let border = layout.metrics.scaled(scale).border;
        for (cell, (label, content)) in grid.cells.iter().zip([(WEB, YELLOW), (WORK, BLUE)]) {
            screen.assert_ring(label, layout.frame(*cell).outer, border);
            let middle = cell.loc + smithay::utils::Point::from((cell.size.w / 2, cell.size.h / 2));
            assert_eq!(screen.pixel(middle.x, middle.y), content, "scale {scale}");
        }
    }
}

#[test]
fn clients_see_nothing_while_a_window_is_chosen_but_the_new_focus_at_the_end() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let (work, web) = two(&mut fixture);
    fixture.state().input_key(META, true);
    fixture.state().input_key(TAB, true);
    for who in [work, web] {
        fixture.roundtrip(who);
    }
    let before =
        [work, web].map(|who| (fixture.client(who).told.log.len(), fixture.client(who).told.keys.len()));
    fixture.state().input_key(TAB, false);
    tap(&mut fixture, 30);
    tap(&mut fixture, 42);
    for x in [10.0, 300.0, 700.0] {
        fixture.state().input_pointer_motion(x, 300.0);
        fixture.state().input_pointer_motion_by(3.0, 3.0);
        fixture.state().input_pointer_axis(0.0, 1.0);
    }
    for who in [work, web] {
        fixture.roundtrip(who);
    }
    let after =
        [work, web].map(|who| (fixture.client(who).told.log.len(), fixture.client(who).told.keys.len()));
    assert_eq!(before, after);
    assert_eq!(focused(&mut fixture), "web");
    fixture.state().input_key(META, false);
    fixture.wait("the keyboard", |fixture| fixture.client(work).told.keyboard.is_some());
    assert_eq!(focused(&mut fixture), "work");
    assert_eq!(fixture.client(work).told.keys, [], "no key came along");
}

#[test]
fn escape_leaves_everything_as_it_was() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let (_, web) = two(&mut fixture);
    let before = fixture.report();
    let keys = fixture.client(web).told.keys.len();
    fixture.state().input_key(META, true);
    tap(&mut fixture, TAB);
    tap(&mut fixture, 1);
    fixture.state().input_key(META, false);
    fixture.roundtrip(web);
    assert_eq!(fixture.report(), before);
    let new = fixture.client(web).told.keys.split_off(keys);
    assert_eq!(new, [(META, true), (META, false)], "Escape is the overlay's");
}

#[test]
fn a_picture_can_be_clicked_and_a_click_beside_all_cancels() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let (work, _) = two(&mut fixture);
    let layout = *fixture.state().comp.shell.layout();
    let grid = Grid::new(&layout, 2, 1);
    for (place, expected) in
        [(grid.cells[1].loc, "work"), ((5, 590).into(), "work"), (grid.cells[1].loc, "web")]
    {
        let press = fixture.client(work).told.press;
        fixture.state().input_key(META, true);
        tap(&mut fixture, TAB);
        fixture.click(place.x + 1, place.y + 1);
        fixture.state().input_key(META, false);
        assert_eq!(focused(&mut fixture), expected);
        fixture.roundtrip(work);
        assert_eq!(fixture.client(work).told.press, press, "the client saw the click");
    }
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
}

#[test]
fn a_window_that_goes_while_it_is_chosen_is_not_missed() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let (work, _) = two(&mut fixture);
    fixture.state().input_key(META, true);
    tap(&mut fixture, TAB);
    let shown = &fixture.client(work).told.shown[0];
    shown.toplevel.as_ref().unwrap().destroy();
    shown.xdg.destroy();
    shown.surface.destroy();
    fixture.roundtrip(work);
    fixture.screenshot();
    fixture.state().input_key(META, false);
    assert_eq!(focused(&mut fixture), "web");
}

#[test]
fn the_screen_is_as_before_once_the_overlay_is_gone() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    two(&mut fixture);
    let settle = |fixture: &mut Fixture| {
        fixture.wait("the frame", |fixture| !fixture.state().comp.schedule.is_pending());
        let whole = fixture.screenshot().0;
        let drawn = fixture.state().backend.last_frame().unwrap();
        assert!(drawn == whole, "what was drawn bit by bit is not what a whole frame shows");
        whole
    };
    let before = settle(&mut fixture);
    fixture.state().input_key(META, true);
    tap(&mut fixture, TAB);
    let shown = settle(&mut fixture);
    tap(&mut fixture, TAB);
    assert!(settle(&mut fixture) != shown, "another one is chosen");
    tap(&mut fixture, 1);
    fixture.state().input_key(META, false);
    assert!(settle(&mut fixture) == before);
}
