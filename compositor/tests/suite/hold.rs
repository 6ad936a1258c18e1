//! Windows in the user's hand: the logo key with the pointer, edges of the output, the buttons of a frame.

use smithay::utils::{Physical, Point, Rectangle};
use vitrail::input::pointer::{BUTTON_LEFT, BUTTON_RIGHT};
use vitrail::render::frame::FrameButton;
use vitrail::shell::window::Mode;
use wayland_protocols::xdg::shell::client::xdg_toplevel::State;

use crate::fixture::{Fixture, WORK, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const META: u32 = 125;

fn one(fixture: &mut Fixture) -> (Who, usize) {
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    let window = fixture.window(work, 340, 200, BLUE);
    fixture.roundtrip(work);
    (work, window)
}

fn frame(fixture: &mut Fixture) -> Rectangle<i32, Physical> {
    fixture.report()[0].frame
}

fn mode(fixture: &mut Fixture) -> Mode {
    fixture.state().comp.shell.focused().unwrap().mode
}

fn motion(fixture: &mut Fixture, to: Point<i32, Physical>) {
    fixture.state().input_pointer_motion(f64::from(to.x), f64::from(to.y));
}

/// A place on a window's title bar that is neither chip nor button.
fn title(fixture: &mut Fixture) -> Point<i32, Physical> {
    let frame = frame(fixture);
    frame.loc + Point::from((frame.size.w / 2, 12))
}

/// A place on a button of the focused window's frame, near its left upper corner.
pub fn button(fixture: &mut Fixture, button: FrameButton) -> Point<i32, Physical> {
    let shell = &fixture.state().comp.shell;
    let frame = shell.frame(shell.focused().unwrap());
    let index = FrameButton::ALL.iter().position(|other| *other == button).unwrap();
    frame.buttons[index].loc + Point::from((12, 10))
}

#[test]
fn the_logo_key_moves_a_window_from_its_content_and_its_client_sees_nothing_but_the_leave() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, _) = one(&mut fixture);
    let before = frame(&mut fixture);
    let inside = fixture.report()[0].content.loc + Point::from((50, 40));
    motion(&mut fixture, inside);
    fixture.wait("the pointer", |fixture| fixture.client(work).told.pointer.is_some());
    let presses = fixture.client(work).told.press;
    fixture.state().input_key(META, true);
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.wait("the leave", |fixture| fixture.client(work).told.pointer.is_none());
    motion(&mut fixture, inside + Point::from((70, 30)));
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.pointer.is_none(), "the pointer is the compositor's");
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    fixture.state().input_key(META, false);
    assert_eq!(frame(&mut fixture).loc, before.loc + Point::from((70, 30)));
    fixture.wait("the pointer again", |fixture| fixture.client(work).told.pointer.is_some());
    assert_eq!(fixture.client(work).told.press, presses, "the client saw a button");
}

#[test]
fn the_logo_key_with_the_right_button_resizes_by_the_nearest_corner() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, window) = one(&mut fixture);
    let count = fixture.client(work).configures(window).len();
    let content = fixture.report()[0].content;
    motion(&mut fixture, content.loc + Point::from((190, 120)));
    fixture.state().input_key(META, true);
    fixture.state().input_pointer_button(BUTTON_RIGHT, true);
    motion(&mut fixture, content.loc + Point::from((210, 150)));
    fixture.wait("the size", |fixture| fixture.client(work).configures(window).len() > count);
    let told = fixture.client(work).configures(window).last().unwrap().clone();
    assert_eq!(told.size, (360, 230));
    assert!(told.states.contains(&State::Resizing));
    fixture.state().input_pointer_button(BUTTON_RIGHT, false);
    fixture.state().input_key(META, false);
}

#[test]
fn a_window_that_is_dropped_at_an_edge_snaps_where_the_ring_showed() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    one(&mut fixture);
    let before = frame(&mut fixture);
    let area = fixture.state().comp.shell.layout().work_area();
    let hold = title(&mut fixture);
    motion(&mut fixture, hold);
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    motion(&mut fixture, (799, 300).into());
    let right: Rectangle<i32, Physical> = Rectangle::new((400, area.loc.y).into(), (400, area.size.h).into());
    let screen = fixture.screenshot();
    // Not the right side, where the pointer is.
    screen.assert_solid("top", WORK, Rectangle::new(right.loc, (right.size.w, 8).into()));
    screen.assert_solid("left", WORK, Rectangle::new(right.loc, (8, right.size.h).into()));
    screen.assert_solid("bottom", WORK, Rectangle::new((right.loc.x, 592).into(), (right.size.w, 8).into()));
    motion(&mut fixture, (600, 300).into());
    let free = fixture.screenshot();
    assert!(free.other_than(WORK, Rectangle::new((400, area.loc.y).into(), (400, 4).into())).is_some());
    motion(&mut fixture, (799, 300).into());
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    assert_eq!(frame(&mut fixture), right);
    // Pulled out again it has its old size, under the pointer.
    let hold = title(&mut fixture);
    motion(&mut fixture, hold);
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    motion(&mut fixture, hold + Point::from((3, 3)));
    assert_eq!(frame(&mut fixture), right, "a hand that trembles pulls nothing out");
    let away = hold + Point::from((-100, 200));
    motion(&mut fixture, away);
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    let after = frame(&mut fixture);
    assert_eq!(after.size, before.size);
    assert!(after.contains(away));
}

#[test]
fn a_double_click_on_the_title_bar_maximises_and_puts_back() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    one(&mut fixture);
    let before = frame(&mut fixture);
    for expected in [Mode::Maximized, Mode::Floating] {
        let place = title(&mut fixture);
        fixture.click(place.x, place.y);
        fixture.click(place.x, place.y);
        assert_eq!(mode(&mut fixture), expected);
    }
    assert_eq!(frame(&mut fixture), before);
}

#[test]
fn the_buttons_of_a_frame_do_what_they_show_when_they_are_released_on() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, window) = one(&mut fixture);
    let place = button(&mut fixture, FrameButton::Maximize);
    fixture.click(place.x, place.y);
    assert_eq!(mode(&mut fixture), Mode::Maximized);
    let place = button(&mut fixture, FrameButton::Maximize);
    motion(&mut fixture, place);
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    motion(&mut fixture, place + Point::from((0, 200)));
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    assert_eq!(mode(&mut fixture), Mode::Maximized, "the user thought better of it");
    fixture.click(place.x, place.y);
    assert_eq!(mode(&mut fixture), Mode::Floating);
    let place = button(&mut fixture, FrameButton::Close);
    fixture.click(place.x, place.y);
    fixture.wait("the request", |fixture| fixture.client(work).told.shown[window].asked_to_close);
    let place = button(&mut fixture, FrameButton::Minimize);
    fixture.click(place.x, place.y);
    assert!(fixture.report().is_empty());
}

#[test]
fn a_late_picture_of_a_maximised_window_is_not_its_size_after_it_was_put_back() {
    // A client that draws all the time commits a frame in its old size after it was told of the new one. The old size was
    // then taken for its own choice, and the next configure asked it to keep that.
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, window) = one(&mut fixture);
    let before = frame(&mut fixture);
    let count = fixture.client(work).configures(window).len();
    fixture.chord(&["leftmeta", "m"]);
    fixture.wait("the size", |fixture| fixture.client(work).configures(window).len() > count);
    fixture.client(work).ack(window);
    let (w, h) = fixture.client(work).configures(window).last().unwrap().size;
    fixture.client(work).draw(window, w, h, BLUE);
    fixture.roundtrip(work);
    fixture.chord(&["leftmeta", "m"]);
    fixture.client(work).draw(window, w, h, BLUE);
    fixture.roundtrip(work);
    assert_eq!(frame(&mut fixture), before);
}
