//! Moving and resizing windows with the keyboard alone.

use smithay::utils::{Physical, Point, Rectangle};
use vitrail::shell::window::Mode;
use vitrail::trust::origin::Origin;
use wayland_protocols::xdg::shell::client::xdg_toplevel::State;

use crate::fixture::{Fixture, Who, vm};
use crate::session_lock::lock;

const BLUE: [u8; 4] = [0, 0, 255, 255];
const RIGHT: u32 = 106;
const MOVE: [&str; 2] = ["leftalt", "f7"];
const RESIZE: [&str; 2] = ["leftalt", "f8"];

/// A window of `work` that has the keyboard.
fn one() -> (Fixture, Who, usize) {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    let window = fixture.window(work, 200, 100, BLUE);
    fixture.roundtrip(work);
    (fixture, work, window)
}

fn frame(fixture: &mut Fixture) -> Rectangle<i32, Physical> {
    fixture.report()[0].frame
}

fn told(fixture: &mut Fixture, who: Who, window: usize) -> ((i32, i32), bool) {
    fixture.roundtrip(who);
    let told = fixture.client(who).configures(window).last().unwrap();
    (told.size, told.states.contains(&State::Resizing))
}

#[test]
fn arrow_keys_move_the_window_in_steps_and_return_keeps_it_there() {
    let (mut fixture, work, _) = one();
    let before = frame(&mut fixture).loc;
    fixture.chord(&MOVE);
    for keys in [&["right"][..], &["right"], &["down"], &["leftshift", "left"]] {
        fixture.chord(keys);
    }
    assert_eq!(frame(&mut fixture).loc, before + Point::from((32 - 1, 16)));
    fixture.chord(&["enter"]);
    fixture.chord(&["esc"]);
    fixture.chord(&["right"]);
    assert_eq!(frame(&mut fixture).loc, before + Point::from((32 - 1, 16)));
    fixture.roundtrip(work);
    let keys = fixture.client(work).told.keys.clone();
    let heard: Vec<u32> = keys.iter().filter(|(_, pressed)| *pressed).map(|(key, _)| *key).collect();
    // The modifier of the chord, and what was typed afterwards.
    assert_eq!(heard, [56, 1, RIGHT]);
    assert_eq!(fixture.client(work).told.modifiers, 0);
}

#[test]
fn a_held_arrow_key_goes_on_and_no_further_than_the_window_can_be_reached() {
    let (mut fixture, ..) = one();
    fixture.chord(&MOVE);
    fixture.state().input_key(RIGHT, true);
    let start = frame(&mut fixture).loc.x;
    fixture.wait("the fourth step", |fixture| frame(fixture).loc.x >= start + 48);
    fixture.state().input_key(RIGHT, false);
    assert!(!fixture.state().is_repeating());
    for _ in 0..100 {
        fixture.chord(&["right"]);
    }
    let edge = frame(&mut fixture).loc.x;
    assert!(edge < 800);
    fixture.chord(&["left"]);
    assert_eq!(frame(&mut fixture).loc.x, edge - 16, "the way back begins at once");
}

#[test]
fn arrow_keys_ask_for_another_size_and_the_client_is_told_when_that_is_over() {
    let (mut fixture, work, window) = one();
    fixture.chord(&RESIZE);
    fixture.chord(&["right"]);
    fixture.chord(&["down"]);
    fixture.chord(&["leftshift", "up"]);
    assert_eq!(told(&mut fixture, work, window), ((216, 115), true));
    // Its client has drawn nothing of that yet.
    fixture.chord(&["enter"]);
    assert_eq!(told(&mut fixture, work, window), ((216, 115), false));
    fixture.client(work).ack(window);
    fixture.client(work).draw(window, 216, 115, BLUE);
    fixture.roundtrip(work);
    assert_eq!(fixture.report()[0].content.size, (216, 115).into());
    fixture.chord(&RESIZE);
    for _ in 0..100 {
        fixture.chord(&["left"]);
        // A client that does not acknowledge is not asked for ever.
        fixture.roundtrip(work);
        fixture.client(work).ack(window);
    }
    assert_eq!(told(&mut fixture, work, window).0, (160, 115), "as small as a label can be read on");
}

#[test]
fn escape_puts_back_where_the_window_was_and_how_it_was() {
    let (mut fixture, work, window) = one();
    let before = frame(&mut fixture);
    fixture.chord(&MOVE);
    fixture.chord(&["right"]);
    fixture.chord(&["esc"]);
    assert_eq!(frame(&mut fixture), before);
    fixture.chord(&RESIZE);
    fixture.chord(&["right"]);
    fixture.chord(&["esc"]);
    assert_eq!(told(&mut fixture, work, window), ((200, 100), false));
    fixture.chord(&["leftmeta", "m"]);
    fixture.chord(&MOVE);
    assert_eq!(fixture.state().comp.shell.focused().unwrap().mode, Mode::Floating);
    fixture.chord(&["right"]);
    fixture.chord(&["esc"]);
    assert_eq!(fixture.state().comp.shell.focused().unwrap().mode, Mode::Maximized);
    fixture.chord(&["leftmeta", "m"]);
    assert_eq!(frame(&mut fixture), before);
}

/// A dialog was being moved when its program ended. The arrow keys belong to the user's next window then, and the mode does not
/// come along to it.
#[test]
fn it_ends_with_its_window_and_the_next_one_has_the_keys() {
    let (mut fixture, work, _) = one();
    let other = fixture.window(work, 120, 60, BLUE);
    fixture.chord(&MOVE);
    fixture.chord(&["right"]);
    fixture.client(work).told.shown[other].toplevel.as_ref().unwrap().destroy();
    fixture.client(work).told.shown[other].xdg.destroy();
    fixture.roundtrip(work);
    let before = frame(&mut fixture);
    fixture.client(work).told.keys.clear();
    fixture.chord(&["right"]);
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.keys, [(RIGHT, true), (RIGHT, false)]);
    assert_eq!(frame(&mut fixture), before);
}

#[test]
fn choosing_another_window_or_pressing_a_button_ends_it() {
    let (mut fixture, work, _) = one();
    let web = fixture.connect(vm("web"));
    fixture.client(web).listen();
    fixture.window(web, 120, 60, BLUE);
    fixture.chord(&MOVE);
    let place = fixture.report().into_iter().find(|window| window.vm == "web").unwrap().content;
    fixture.click(place.loc.x + 110, place.loc.y + 50);
    fixture.chord(&["right"]);
    fixture.roundtrip(web);
    fixture.roundtrip(work);
    assert!(fixture.client(web).told.keys.contains(&(RIGHT, true)));
    fixture.chord(&MOVE);
    fixture.click(790, 590);
    let before = fixture.report();
    fixture.chord(&["right"]);
    assert_eq!(fixture.report().len(), before.len());
    assert!(fixture.report().iter().zip(&before).all(|(now, then)| now.frame == then.frame));
}

#[test]
fn a_lock_ends_it_and_has_the_arrow_keys() {
    let (mut fixture, ..) = one();
    let locker = fixture.connect(Origin::Local);
    fixture.chord(&MOVE);
    fixture.chord(&["right"]);
    let moved = frame(&mut fixture);
    let lock = lock(&mut fixture, locker);
    fixture.chord(&["right"]);
    fixture.roundtrip(locker);
    lock.unlock_and_destroy();
    fixture.roundtrip(locker);
    fixture.chord(&["right"]);
    assert_eq!(frame(&mut fixture), moved);
}

#[test]
fn the_stripe_says_what_the_keys_do_meanwhile() {
    let (mut fixture, ..) = one();
    let stripe = |fixture: &mut Fixture| {
        let screen = fixture.screenshot();
        (0..600).map(|x| screen.pixel(x, 12)).collect::<Vec<_>>()
    };
    let plain = stripe(&mut fixture);
    fixture.chord(&MOVE);
    let moving = stripe(&mut fixture);
    assert_ne!(moving, plain);
    fixture.chord(&["enter"]);
    fixture.chord(&RESIZE);
    let resizing = stripe(&mut fixture);
    assert!(resizing != plain && resizing != moving);
    fixture.chord(&["esc"]);
    assert_eq!(stripe(&mut fixture), plain);
}

#[test]
fn a_window_in_columns_has_no_place_of_its_own() {
    let (mut fixture, work, _) = one();
    fixture.chord(&["leftmeta", "c"]);
    fixture.chord(&MOVE);
    fixture.chord(&["right"]);
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.keys.contains(&(RIGHT, true)));
}
