//! The question whether a program may take pictures, asked while something else goes on: nothing that was meant for a window
//! answers it, nothing that was meant for it reaches a client, and no client has a hand in the answer.

use vitrail::shell::outputs::{Head, OutputId};
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_pointer_constraints_v1::{
    Lifetime, ZwpPointerConstraintsV1,
};
use wayland_protocols::wp::tablet::zv2::client::zwp_tablet_manager_v2::ZwpTabletManagerV2;
use wayland_protocols_wlr::output_power_management::v1::client::zwlr_output_power_manager_v1::ZwlrOutputPowerManagerV1;
use wayland_protocols_wlr::output_power_management::v1::client::zwlr_output_power_v1::Mode;

use super::*;
use crate::input_method;
use crate::relative_pointer;
use crate::text_input::{editor, enable};

fn places(fixture: &mut Fixture) -> Places {
    Places::new(fixture.state().comp.shell.layout())
}

fn is_asking(fixture: &mut Fixture) -> bool {
    fixture.state().comp.is_asking()
}

/// A local client, and a question about it that takes an answer.
fn asked(fixture: &mut Fixture) -> Who {
    let local = fixture.connect(Origin::Local);
    fixture.copy_frame(local, 0, false, None);
    fixture.wait_question();
    local
}

fn log(fixture: &mut Fixture, who: Who) -> Vec<String> {
    fixture.roundtrip(who);
    std::mem::take(&mut fixture.client(who).told.log)
}

fn keys(fixture: &mut Fixture, who: Who) -> Vec<(u32, bool)> {
    fixture.roundtrip(who);
    std::mem::take(&mut fixture.client(who).told.keys)
}

/// A game holds the pointer, and says that it shows it where the answer is.
#[test]
fn a_vm_that_locks_the_pointer_neither_keeps_it_from_the_question_nor_puts_it_onto_the_answer() {
    let mut fixture = compositor("", "input = { pointer_lock = 'allow' }");
    let work = fixture.connect(vm("work"));
    let (pointer, _relative) = relative_pointer::listen(fixture.client(work));
    fixture.window(work, 700, 480, BLUE);
    let content = content_of(&mut fixture, "work");
    let yes = places(&mut fixture).answers[1];
    assert!(content.contains_rect(yes), "the window is behind the answer");
    let start = content.loc + Point::from((20, 20));
    fixture.state().input_pointer_motion(f64::from(start.x), f64::from(start.y));
    fixture.roundtrip(work);
    let surface = fixture.client(work).told.shown[0].surface.clone();
    let client = fixture.client(work);
    let constraints: ZwpPointerConstraintsV1 = client.bind();
    let lock = constraints.lock_pointer(&surface, &pointer, None, Lifetime::Persistent, &client.queue, ());
    let hint = yes.loc - content.loc + Point::from((5, 5));
    lock.set_cursor_position_hint(f64::from(hint.x), f64::from(hint.y));
    surface.commit();
    assert!(log(&mut fixture, work).iter().any(|word| word == "locked"));
    let local = asked(&mut fixture);
    assert_eq!(log(&mut fixture, work), ["unlocked"]);
    assert_eq!(fixture.state().comp.input.visible_pointer(), Some(start));
    fixture.state().input_pointer_motion_by(30.0, 40.0);
    assert_eq!(fixture.state().comp.input.visible_pointer(), Some(start + Point::from((30, 40))));
    fixture.state().input_pointer_motion(f64::from(yes.loc.x + 5), f64::from(yes.loc.y + 5));
    assert_eq!(log(&mut fixture, work), [""; 0], "the game is told of no step");
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.wait("the size", |fixture| fixture.heard(local, "0: buffer 800x600"));
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    let told = log(&mut fixture, work);
    assert!(told.iter().any(|word| word == "locked"), "it has the pointer again: {told:?}");
    let client = fixture.client(work);
    assert!(client.told.press == 0 && client.told.releases == 0, "and knows of no button");
}

#[test]
fn inhibited_shortcuts_and_an_input_method_take_no_key_from_the_question() {
    let manager = "zwp_keyboard_shortcuts_inhibit_manager_v1";
    let mut fixture = compositor("", &format!("protocols = {{ allow = ['{manager}'] }}"));
    let method = input_method::start(&mut fixture);
    let (work, window, input) = editor(&mut fixture, "work");
    enable(&mut fixture, work, &input, "abc");
    let surface = fixture.client(work).told.shown[window].surface.clone();
    let client = fixture.client(work);
    let inhibit: ZwpKeyboardShortcutsInhibitManagerV1 = client.bind();
    inhibit.inhibit_shortcuts(&surface, &client.seat(), &client.queue, ());
    fixture.roundtrip(work);
    assert!(fixture.state().comp.shortcuts_inhibitor().is_some());
    let _grab = method.grab(&mut fixture);
    fixture.tap_key(A);
    assert_eq!(method.keys(&mut fixture), [(A, true), (A, false)], "it listens");
    let local = asked(&mut fixture);
    fixture.tap_key(TAB);
    fixture.tap_key(ENTER);
    fixture.wait("the size", |fixture| fixture.heard(local, "0: buffer 800x600"));
    assert_eq!(method.keys(&mut fixture), []);
    assert_eq!(keys(&mut fixture, work), []);
    fixture.tap_key(A);
    assert_eq!(method.keys(&mut fixture), [(A, true), (A, false)], "and goes on afterwards");
}

/// The finger came down on the VM's window before the question; where it goes from then on is nobody's business.
#[test]
fn fingers_that_are_down_when_the_question_comes_are_nobodys_from_then_on() {
    let mut fixture = compositor("", "");
    let work = fixture.connect(vm("work"));
    let client = fixture.client(work);
    client.seat().get_touch(&client.queue, ());
    fixture.window(work, 200, 100, BLUE);
    let content = content_of(&mut fixture, "work");
    let at = |x: i32| (f64::from(content.loc.x + x), f64::from(content.loc.y + 10));
    fixture.state().input_touch_down(0, at(10).0, at(10).1);
    fixture.state().input_touch_frame();
    assert_eq!(log(&mut fixture, work), ["down 0 10 10", "frame"]);
    let local = asked(&mut fixture);
    let told = log(&mut fixture, work);
    assert_eq!(told.last().map(String::as_str), Some("cancel"), "{told:?}");
    let no = places(&mut fixture).answers[0];
    let on = (f64::from(no.loc.x + 5), f64::from(no.loc.y + 5));
    fixture.state().input_touch_motion(0, on.0, on.1);
    fixture.state().input_touch_up(0);
    fixture.state().input_touch_frame();
    assert_eq!(log(&mut fixture, work), [""; 0]);
    assert!(is_asking(&mut fixture), "to lift a finger is no answer");
    fixture.state().input_touch_down(0, on.0, on.1);
    fixture.wait("the answer", |fixture| fixture.heard(local, "0: failed"));
    fixture.state().input_touch_motion(0, at(10).0, at(10).1);
    fixture.state().input_touch_up(0);
    assert_eq!(log(&mut fixture, work), [""; 0]);
}

#[test]
fn a_window_that_is_being_dragged_stays_where_it_is_when_the_question_comes() {
    let mut fixture = compositor("", "");
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    fixture.window(work, 200, 100, BLUE);
    let frame = frame_of(&mut fixture, "work");
    fixture.state().input_pointer_motion(f64::from(frame.loc.x + 100), f64::from(frame.loc.y + 10));
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.state().input_pointer_motion_by(30.0, 20.0);
    let held = frame_of(&mut fixture, "work");
    assert_ne!(held.loc, frame.loc, "it is dragged");
    let local = asked(&mut fixture);
    let no = places(&mut fixture).answers[0];
    fixture.state().input_pointer_motion(f64::from(no.loc.x + 5), f64::from(no.loc.y + 5));
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    assert!(is_asking(&mut fixture) && !fixture.heard(local, "0: failed"), "to let go is no answer");
    assert_eq!(frame_of(&mut fixture, "work"), held);
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.wait("the answer", |fixture| fixture.heard(local, "0: failed"));
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    fixture.roundtrip(work);
    assert_eq!(frame_of(&mut fixture, "work"), held);
    assert_eq!((fixture.client(work).told.press, fixture.client(work).told.releases), (0, 0));
}

/// Answered with a key, while the button is still down that held the window.
#[test]
fn a_window_that_was_being_dragged_does_not_follow_the_pointer_after_the_question() {
    let mut fixture = compositor("", "");
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, BLUE);
    let frame = frame_of(&mut fixture, "work");
    fixture.state().input_pointer_motion(f64::from(frame.loc.x + 100), f64::from(frame.loc.y + 10));
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.state().input_pointer_motion_by(30.0, 20.0);
    let held = frame_of(&mut fixture, "work");
    let local = asked(&mut fixture);
    fixture.tap_key(ESCAPE);
    fixture.wait("the answer", |fixture| fixture.heard(local, "0: failed"));
    fixture.state().input_pointer_motion_by(50.0, 40.0);
    assert_eq!(frame_of(&mut fixture, "work"), held);
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    assert_eq!(frame_of(&mut fixture, "work"), held);
}

/// A game with a pen: what the pen does on the panel is nothing of its, and it knows that the pen is gone.
#[test]
fn a_pen_that_is_down_when_the_question_comes_is_nobodys_from_then_on() {
    let mut fixture = compositor("", "");
    let work = fixture.connect(vm("work"));
    let client = fixture.client(work);
    let (seat, manager) = (client.seat(), client.bind::<ZwpTabletManagerV2>());
    manager.get_tablet_seat(&seat, &client.queue, ());
    fixture.window(work, 200, 100, BLUE);
    let content = content_of(&mut fixture, "work");
    fixture.state().input_tablet_in(f64::from(content.loc.x + 10), f64::from(content.loc.y + 10));
    fixture.state().input_tablet_tip(true);
    assert!(log(&mut fixture, work).iter().any(|word| word == "down"));
    let local = asked(&mut fixture);
    let told = log(&mut fixture, work);
    assert!(told.iter().any(|word| word == "up") && told.iter().any(|word| word == "out"), "{told:?}");
    let no = places(&mut fixture).answers[0];
    fixture.state().input_tablet_motion(f64::from(no.loc.x + 5), f64::from(no.loc.y + 5), 0.5);
    fixture.state().input_tablet_tip(false);
    assert!(is_asking(&mut fixture), "to lift the pen is no answer");
    fixture.state().input_tablet_tip(true);
    fixture.wait("the answer", |fixture| fixture.heard(local, "0: failed"));
    assert_eq!(log(&mut fixture, work), [""; 0]);
}

/// The button is let go over the panel, behind which the window is that it was dragged from.
#[test]
fn what_is_dragged_when_the_question_comes_is_dropped_nowhere() {
    let mut fixture = compositor("", "");
    let work = fixture.connect(vm("work"));
    let device = fixture.client(work).listen();
    fixture.window(work, 700, 480, BLUE);
    let content = content_of(&mut fixture, "work");
    fixture.state().input_pointer_motion(f64::from(content.loc.x + 20), f64::from(content.loc.y + 20));
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.roundtrip(work);
    let client = fixture.client(work);
    let surface = client.told.shown[0].surface.clone();
    device.start_drag(None, &surface, None, client.told.press);
    fixture.roundtrip(work);
    assert!(fixture.state().comp.selections.is_dragging());
    let _local = asked(&mut fixture);
    assert!(!fixture.state().comp.selections.is_dragging());
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.releases, 0);
}

#[test]
fn a_window_that_is_being_chosen_is_not_chosen_by_an_answer() {
    let mut fixture = compositor("", "");
    let (_, work) = desktop(&mut fixture);
    let focused = |fixture: &mut Fixture| {
        fixture.report().into_iter().find(|window| window.focused).map(|window| window.vm)
    };
    let before = focused(&mut fixture);
    fixture.state().input_key(META, true);
    fixture.tap_key(TAB);
    let local = asked(&mut fixture);
    // The logo key is still held: what is typed with it is a chord, and so no answer.
    fixture.tap_key(TAB);
    fixture.tap_key(ENTER);
    assert!(is_asking(&mut fixture));
    fixture.state().input_key(META, false);
    fixture.wait_question();
    fixture.tap_key(ESCAPE);
    fixture.wait("the answer", |fixture| fixture.heard(local, "0: failed"));
    assert_eq!(focused(&mut fixture), before);
    let told = keys(&mut fixture, work);
    assert!(told.iter().all(|(key, _)| *key == META), "{told:?}");
}

/// Somebody who pauses at a command line and goes on with it, without looking up: `cd wo`, Tab, Enter.
#[test]
fn somebody_who_goes_on_typing_answers_nothing() {
    let mut fixture = compositor("", "");
    let local = asked(&mut fixture);
    for key in [A, A, TAB, ENTER] {
        fixture.tap_key(key);
    }
    assert!(is_asking(&mut fixture) && !fixture.state().comp.question_takes_answer());
    fixture.wait_question();
    fixture.state().input_key(META, true);
    fixture.tap_key(TAB);
    fixture.tap_key(ENTER);
    fixture.state().input_key(META, false);
    assert!(is_asking(&mut fixture), "a chord for windows is no answer");
    fixture.wait_question();
    // Beside the panel it is the windows that were meant.
    let Places { panel, answers: [_, yes] } = places(&mut fixture);
    fixture.click(panel.loc.x - 5, panel.loc.y - 5);
    fixture.click(yes.loc.x + 5, yes.loc.y + 5);
    assert!(is_asking(&mut fixture));
    assert_eq!(fixture.client(local).told.words, [""; 0]);
    // The marked answer is still no.
    fixture.wait_question();
    fixture.tap_key(ENTER);
    fixture.wait("the answer", |fixture| fixture.heard(local, "0: failed"));
}

fn right_of_it(fixture: &mut Fixture) -> OutputId {
    assert!(fixture.state().connect_output(Head::virtual_one("right", (800, 600).into(), 1.0)));
    fixture.state().comp.shell.outputs().named("right").unwrap().id
}

/// The question follows the user to another output, where the pointer may be over the place of an answer: a click that is on
/// its way there was for something else.
#[test]
fn a_question_that_appears_on_another_output_takes_no_answer_at_once() {
    let mut fixture = compositor("", "");
    let right = right_of_it(&mut fixture);
    let corner = right.origin();
    fixture.state().input_pointer_motion(f64::from(corner.x + 700), f64::from(corner.y + 500));
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, YELLOW);
    let there = fixture.report()[0].id;
    assert_eq!(fixture.report()[0].output, right);
    fixture.state().input_pointer_motion(10.0, 500.0);
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, BLUE);
    let local = asked(&mut fixture);
    let before = places(&mut fixture);
    // For instance because the window with the keyboard is closed.
    fixture.state().comp.shell.activate(there);
    let after = places(&mut fixture);
    assert_ne!(before, after, "it is on the other output");
    fixture.click(after.answers[1].loc.x + 5, after.answers[1].loc.y + 5);
    assert!(is_asking(&mut fixture) && fixture.client(local).told.words.is_empty());
    fixture.wait_question();
    fixture.click(after.answers[1].loc.x + 5, after.answers[1].loc.y + 5);
    fixture.wait("the size", |fixture| fixture.heard(local, "0: buffer 800x600"));
}

#[test]
fn nobody_is_asked_on_a_dark_output_and_what_lights_it_is_no_answer() {
    let mut fixture = compositor("", "");
    let local = asked(&mut fixture);
    let client = fixture.client(local);
    let (output, queue): (WlOutput, _) = (client.bind(), client.queue.clone());
    let power = client.bind::<ZwlrOutputPowerManagerV1>().get_output_power(&output, &queue, ());
    power.set_mode(Mode::Off);
    fixture.wait("the dark", |fixture| !fixture.state().comp.shell.outputs().active().powered);
    fixture.roundtrip(local);
    assert!(!is_asking(&mut fixture));
    fixture.tap_key(TAB);
    fixture.tap_key(ENTER);
    fixture.wait("the question", is_asking);
    assert!(!fixture.state().comp.question_takes_answer());
    fixture.wait_question();
    fixture.tap_key(ENTER);
    fixture.wait("the answer", |fixture| fixture.heard(local, "0: failed"));
}

#[test]
fn a_program_that_asks_a_thousand_times_is_asked_about_once() {
    let mut fixture = compositor("", "");
    let local = fixture.connect(Origin::Local);
    let frames: Vec<_> = (0..60).map(|index| fixture.copy_frame(local, index, false, None)).collect();
    fixture.wait_question();
    fixture.tap_key(ESCAPE);
    fixture.wait("the answers", |fixture| fixture.client(local).told.words.len() == 60);
    assert!(fixture.client(local).told.words.iter().all(|word| word.ends_with("failed")));
    frames.iter().for_each(ZwlrScreencopyFrameV1::destroy);
    for index in 60..1000 {
        fixture.copy_frame(local, index, false, None).destroy();
        assert!(!is_asking(&mut fixture), "{index}");
    }
    assert!(!fixture.client(local).ended());
}

/// It had the pointer and the keyboard, and gives them back although nobody has answered.
#[test]
fn when_the_program_dies_that_is_asked_about_the_windows_have_the_input_again() {
    let mut fixture = compositor("", "");
    let (_, work) = desktop(&mut fixture);
    let content = content_of(&mut fixture, "work");
    fixture.click(content.loc.x + 100, content.loc.y + 20);
    let asker = fixture.connect(Origin::Local);
    let frame = fixture.copy_frame(asker, 0, false, None);
    fixture.wait_question();
    log(&mut fixture, work);
    keys(&mut fixture, work);
    fixture.state().input_pointer_motion(f64::from(content.loc.x + 50), f64::from(content.loc.y + 20));
    fixture.state().input_key(TAB, true);
    frame.destroy();
    fixture.roundtrip(asker);
    assert!(!is_asking(&mut fixture));
    // The release of what was pressed for the question goes nowhere, and the pointer is told where it has got to.
    fixture.state().input_key(TAB, false);
    assert_eq!(keys(&mut fixture, work), []);
    assert_eq!(log(&mut fixture, work), ["motion 50 20", "frame"]);
    fixture.tap_key(A);
    assert_eq!(keys(&mut fixture, work), [(A, true), (A, false)]);
}

#[test]
fn a_program_that_the_configuration_names_by_now_need_not_be_answered() {
    let mut fixture = compositor("", "");
    let local = asked(&mut fixture);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{NAMED}[vm.work]\ncolor = '#2e7d32'\n")).unwrap();
    fixture.state().comp.config = Live::load(file.path()).unwrap();
    assert!(fixture.state().reload());
    fixture.wait("the size", |fixture| fixture.heard(local, "0: buffer 800x600"));
    assert!(!is_asking(&mut fixture));
}
