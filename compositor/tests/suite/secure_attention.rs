//! The secure attention key: no client keeps it from the user, presses it or gets anything while the panel is open, and what is
//! done on the panel to a VM holds.

use smithay::utils::{Physical, Rectangle};
use vitrail::input::pointer::BUTTON_LEFT;
use vitrail::render::panel::Places;
use vitrail::trust::origin::Origin;
use vitrail::trust::panel::{Choice, Operation};
use wayland_client::protocol::wl_surface::WlSurface;

use crate::fixture::{Fixture, LOCAL, Screen, WEB, WORK, Who, vm};
use crate::input_method;
use crate::text_input::{editor, enable};
use crate::virtual_keyboard::typist;
use crate::xray::{grab, grabbing, holds, shown};
use crate::{layer_shell, session_lock};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];
/// The panel, and its edge.
const PANEL: [u8; 4] = [0x26, 0x28, 0x2d, 255];
const EDGE: [u8; 4] = [255, 255, 255, 255];
const ESCAPE: u32 = 1;
const TAB: u32 = 15;
const Q: u32 = 16;
const ENTER: u32 = 28;
const LEFT_CTRL: u32 = 29;
const A: u32 = 30;
const LEFT_ALT: u32 = 56;
const DOWN: u32 = 108;
const RIGHT: u32 = 106;
const DELETE: u32 = 111;
const SHIFT: u32 = 42;
const META: u32 = 125;

fn tap(fixture: &mut Fixture, code: u32) {
    fixture.state().input_key(code, true);
    fixture.state().input_key(code, false);
}

/// Presses the secure attention key.
fn attend(fixture: &mut Fixture) {
    for (code, pressed) in [
        (LEFT_CTRL, true),
        (LEFT_ALT, true),
        (DELETE, true),
        (DELETE, false),
        (LEFT_ALT, false),
        (LEFT_CTRL, false),
    ] {
        fixture.state().input_key(code, pressed);
    }
}

fn is_open(fixture: &mut Fixture) -> bool {
    fixture.state().comp.is_attending()
}

/// Opens the panel and waits until it takes an answer.
fn open(fixture: &mut Fixture) -> Places {
    attend(fixture);
    fixture.wait("the panel", |fixture| fixture.state().comp.panel_takes_answer());
    fixture.state().comp.panel_places().unwrap()
}

/// Where something can be pressed for a VM, of which there are `local`, `web` and `work`.
fn place(places: &Places, name: &str, operation: Operation) -> Rectangle<i32, Physical> {
    let row = ["local", "web", "work"].iter().position(|other| *other == name).unwrap();
    places.place_of(Choice::Row(row, operation)).unwrap()
}

fn press(fixture: &mut Fixture, place: Rectangle<i32, Physical>) {
    fixture.click(place.loc.x + place.size.w / 2, place.loc.y + place.size.h / 2);
}

fn window_of(fixture: &mut Fixture, name: &str) -> Option<Rectangle<i32, Physical>> {
    fixture.report().into_iter().find(|window| window.vm == name).map(|window| window.content)
}

fn keys(fixture: &mut Fixture, who: Who) -> Vec<(u32, bool)> {
    fixture.roundtrip(who);
    let mut keys = std::mem::take(&mut fixture.client(who).told.keys);
    keys.retain(|(key, _)| ![LEFT_CTRL, LEFT_ALT, META].contains(key));
    keys
}

fn log(fixture: &mut Fixture, who: Who) -> Vec<String> {
    fixture.roundtrip(who);
    std::mem::take(&mut fixture.client(who).told.log)
}

/// A VM with a window and the keyboard; and another one.
fn desktop() -> (Fixture, Who, Who) {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let [work, web] = [("work", BLUE), ("web", YELLOW)].map(|(name, color)| {
        let who = fixture.connect(vm(name));
        fixture.client(who).listen();
        fixture.window(who, 200, 100, color);
        who
    });
    let content = window_of(&mut fixture, "work").unwrap();
    fixture.click(content.loc.x + 5, content.loc.y + 5);
    keys(&mut fixture, work);
    log(&mut fixture, work);
    (fixture, work, web)
}

#[track_caller]
fn assert_panel(fixture: &mut Fixture, what: &str) -> Screen {
    assert!(is_open(fixture), "{what}");
    let screen = shown(fixture);
    let panel = fixture.state().comp.panel_places().unwrap().panel;
    screen.assert_ring(EDGE, panel, 2);
    let stripe = fixture.state().comp.shell.layout().stripe();
    assert!(!panel.overlaps(stripe), "{what}: the stripe is covered");
    for color in [BLUE, YELLOW] {
        assert!(!holds(&screen, color), "{what}: what is behind is not dimmed");
    }
    screen
}

#[test]
fn the_panel_is_over_everything_and_names_each_vm_in_its_colour() {
    let (mut fixture, _, _) = desktop();
    let local = fixture.connect(Origin::Local);
    layer_shell::show_bar(&mut fixture, local);
    let places = open(&mut fixture);
    let screen = assert_panel(&mut fixture, "a desktop");
    for (name, color) in [("local", LOCAL), ("web", WEB), ("work", WORK)] {
        let hide = place(&places, name, Operation::Hide);
        let name_at = Rectangle::new((places.panel.loc.x + 20, hide.loc.y).into(), (120, hide.size.h).into());
        screen.assert_ring(color, name_at, 4);
    }
    let corner = places.panel.loc;
    assert_eq!(screen.pixel(corner.x + 8, corner.y + 8), PANEL);
}

#[test]
fn nothing_that_a_client_does_keeps_the_key_from_the_user_and_all_that_it_held_is_over() {
    for how in ["inhibited shortcuts", "a locked pointer", "a menu with a grab", "the overlay of windows"] {
        let (mut fixture, work, window) = grabbing();
        grab(&mut fixture, work, window, how);
        keys(&mut fixture, work);
        log(&mut fixture, work);
        attend(&mut fixture);
        assert_panel(&mut fixture, how);
        let told = log(&mut fixture, work);
        assert_eq!(keys(&mut fixture, work), [], "{how}");
        let comp = &fixture.state().comp;
        assert!(comp.shortcuts_inhibitor().is_none(), "{how}");
        assert!(comp.input_is_free(), "{how}");
        if how == "a locked pointer" {
            assert!(told.iter().any(|word| word == "unlocked"), "{how}: {told:?}");
        }
        // The overlay's modifier is still held, and with it Escape would be a chord.
        fixture.state().input_key(META, false);
        tap(&mut fixture, ESCAPE);
        assert!(!is_open(&mut fixture), "{how}");
        fixture.roundtrip(work);
        let told = log(&mut fixture, work);
        assert!(!told.iter().any(|word| word == "locked"), "{how}: it waits for a click: {told:?}");
        assert!(fixture.state().comp.shortcuts_inhibitor().is_none(), "{how}");
    }
}

/// A window that fills the screen and a client that would rather not.
#[test]
fn a_fullscreen_window_is_below_the_panel() {
    let (mut fixture, work, _) = desktop();
    let toplevel = fixture.client(work).told.shown[0].toplevel.clone().unwrap();
    let before = fixture.client(work).configures(0).len();
    toplevel.set_fullscreen(None);
    fixture.configured(work, 0, before);
    fixture.client(work).draw(0, 900, 600, YELLOW);
    fixture.roundtrip(work);
    attend(&mut fixture);
    assert_panel(&mut fixture, "fullscreen");
}

#[test]
fn no_program_presses_the_key_and_none_types_while_the_panel_is_open() {
    let (mut fixture, work, _) = desktop();
    let typist = typist(&mut fixture);
    for (code, pressed) in [(LEFT_CTRL, true), (LEFT_ALT, true), (DELETE, true)] {
        typist.key(&mut fixture, code, pressed);
    }
    assert!(!is_open(&mut fixture));
    for code in [DELETE, LEFT_ALT, LEFT_CTRL] {
        typist.key(&mut fixture, code, false);
    }
    assert!(!keys(&mut fixture, work).is_empty(), "it types into the window");
    open(&mut fixture);
    typist.key(&mut fixture, A, true);
    typist.key(&mut fixture, A, false);
    typist.key(&mut fixture, ESCAPE, true);
    assert_eq!(keys(&mut fixture, work), []);
    assert!(is_open(&mut fixture), "and closes no panel");
    tap(&mut fixture, ESCAPE);
    typist.key(&mut fixture, A, true);
    assert_eq!(keys(&mut fixture, work), [(A, true)]);
}

#[test]
fn an_input_method_that_has_all_keys_does_not_get_it() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let method = input_method::start(&mut fixture);
    let (work, _, input) = editor(&mut fixture, "work");
    enable(&mut fixture, work, &input, "abc");
    let _grab = method.grab(&mut fixture);
    tap(&mut fixture, A);
    assert_eq!(method.keys(&mut fixture), [(A, true), (A, false)], "it listens");
    attend(&mut fixture);
    assert!(is_open(&mut fixture));
    let heard = method.keys(&mut fixture);
    assert!(heard.iter().all(|(key, _)| [LEFT_CTRL, LEFT_ALT].contains(key)), "{heard:?}");
    tap(&mut fixture, A);
    assert_eq!(method.keys(&mut fixture).iter().filter(|(key, _)| *key == A).count(), 0);
}

#[test]
fn clients_get_no_input_while_the_panel_is_open_and_windows_go_on() {
    let (mut fixture, work, _) = desktop();
    let content = window_of(&mut fixture, "work").unwrap();
    // A key is held, which the client must not repeat into the panel's time.
    fixture.state().input_key(A, true);
    assert_eq!(keys(&mut fixture, work), [(A, true)]);
    open(&mut fixture);
    assert_eq!(keys(&mut fixture, work), [(A, false)]);
    log(&mut fixture, work);
    let presses = fixture.client(work).told.press;
    tap(&mut fixture, Q);
    fixture.state().input_key(A, false);
    fixture.click(content.loc.x + 10, content.loc.y + 10);
    fixture.state().input_pointer_axis(0.0, 1.0);
    fixture.state().input_touch_down(0, f64::from(content.loc.x + 9), f64::from(content.loc.y + 9));
    fixture.state().input_touch_up(0);
    fixture.state().input_touch_frame();
    assert_eq!(keys(&mut fixture, work), []);
    assert_eq!(log(&mut fixture, work), [""; 0]);
    assert_eq!(fixture.client(work).told.press, presses);
    // And it draws as before: nothing waits for the user.
    let surface: WlSurface = fixture.client(work).told.shown[0].surface.clone();
    for _ in 0..5 {
        let (queue, done) = (fixture.client(work).queue.clone(), fixture.client(work).told.frames);
        surface.frame(&queue, ());
        fixture.client(work).draw(0, 200, 100, BLUE);
        fixture.wait("a frame callback", |fixture| fixture.client(work).told.frames > done);
    }
    assert!(is_open(&mut fixture));
    tap(&mut fixture, ESCAPE);
    tap(&mut fixture, Q);
    assert_eq!(keys(&mut fixture, work), [(Q, true), (Q, false)]);
}

#[test]
fn nothing_counts_before_the_panel_was_looked_at_and_enter_alone_closes_it() {
    let (mut fixture, work, _) = desktop();
    attend(&mut fixture);
    fixture.wait("a frame", |fixture| !fixture.state().comp.schedule.is_pending());
    let places = fixture.state().comp.panel_places().unwrap();
    press(&mut fixture, place(&places, "work", Operation::Disconnect));
    tap(&mut fixture, DOWN);
    tap(&mut fixture, ENTER);
    assert!(is_open(&mut fixture) && !fixture.client(work).ended());
    assert!(!fixture.state().comp.panel_takes_answer(), "the time has begun again");
    fixture.wait("the panel", |fixture| fixture.state().comp.panel_takes_answer());
    // A chord that was meant for windows is no answer, and makes the time begin again.
    fixture.state().input_key(LEFT_CTRL, true);
    tap(&mut fixture, Q);
    fixture.state().input_key(LEFT_CTRL, false);
    assert!(!fixture.state().comp.panel_takes_answer());
    fixture.wait("the panel", |fixture| fixture.state().comp.panel_takes_answer());
    tap(&mut fixture, ENTER);
    assert!(!is_open(&mut fixture));
    fixture.roundtrip(work);
    assert!(!fixture.client(work).ended() && window_of(&mut fixture, "work").is_some());
}

#[test]
fn a_vm_is_hidden_with_the_windows_that_it_opens_later_until_it_is_shown() {
    let (mut fixture, work, web) = desktop();
    let places = open(&mut fixture);
    press(&mut fixture, place(&places, "work", Operation::Hide));
    assert!(window_of(&mut fixture, "work").is_none());
    fixture.window(work, 120, 80, BLUE);
    assert!(window_of(&mut fixture, "work").is_none());
    tap(&mut fixture, ESCAPE);
    fixture.roundtrip(web);
    let screen = shown(&mut fixture);
    assert!(!holds(&screen, BLUE) && !holds(&screen, WORK));
    assert!(fixture.report().iter().all(|window| !window.focused), "nobody else gets what is typed for it");
    assert!(holds(&screen, SIGN), "the stripe says that a VM is hidden");
    let places = open(&mut fixture);
    press(&mut fixture, place(&places, "work", Operation::Hide));
    tap(&mut fixture, ESCAPE);
    let windows = fixture.report().into_iter().filter(|window| window.vm == "work").count();
    assert_eq!(windows, 2);
    let screen = shown(&mut fixture);
    assert!(!holds(&screen, SIGN) && holds(&screen, BLUE));
}

/// Of the stripe while something has been done to a VM.
const SIGN: [u8; 4] = [0x8a, 0xb4, 0xf8, 255];

#[test]
fn a_paused_vm_gets_no_input_of_any_kind_and_the_stripe_says_so() {
    let (mut fixture, work, web) = desktop();
    let content = window_of(&mut fixture, "work").unwrap();
    open(&mut fixture);
    // With the keyboard: the row of work is the last one, above what closes the panel.
    for key in [DOWN, DOWN, DOWN, RIGHT, ENTER] {
        tap(&mut fixture, key);
    }
    assert!(fixture.state().comp.is_restrained(&vm("work"), Operation::Pause));
    tap(&mut fixture, ESCAPE);
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.keyboard.is_none(), "it was told that the keyboard is gone");
    keys(&mut fixture, work);
    log(&mut fixture, work);
    let press_before = fixture.client(work).told.press;
    fixture.click(content.loc.x + 10, content.loc.y + 10);
    tap(&mut fixture, A);
    fixture.state().input_pointer_axis(0.0, 1.0);
    fixture.state().input_touch_down(0, f64::from(content.loc.x + 9), f64::from(content.loc.y + 9));
    fixture.state().input_touch_up(0);
    fixture.state().input_touch_frame();
    assert_eq!(keys(&mut fixture, work), []);
    assert_eq!(log(&mut fixture, work), [""; 0]);
    assert_eq!(fixture.client(work).told.press, press_before);
    let screen = shown(&mut fixture);
    assert!(holds(&screen, SIGN) && holds(&screen, BLUE), "it is seen, and so is that it is paused");
    // Nobody else is.
    let other = window_of(&mut fixture, "web").unwrap();
    fixture.click(other.loc.x + 10, other.loc.y + 10);
    tap(&mut fixture, A);
    assert_eq!(keys(&mut fixture, web), [(A, true), (A, false)]);
    let places = open(&mut fixture);
    press(&mut fixture, place(&places, "work", Operation::Pause));
    tap(&mut fixture, ESCAPE);
    fixture.click(content.loc.x + 10, content.loc.y + 10);
    tap(&mut fixture, A);
    assert_eq!(keys(&mut fixture, work), [(A, true), (A, false)]);
}

/// A button is held on its window, and a drag goes on.
#[test]
fn pausing_a_vm_ends_what_is_held_on_it() {
    let (mut fixture, work, _) = desktop();
    let content = window_of(&mut fixture, "work").unwrap();
    fixture.state().input_pointer_motion(f64::from(content.loc.x + 10), f64::from(content.loc.y + 10));
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.state().restrain(&vm("work"), Operation::Pause, true);
    log(&mut fixture, work);
    fixture.state().input_pointer_motion_by(20.0, 0.0);
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    assert_eq!(log(&mut fixture, work), [""; 0]);
}

#[test]
fn a_vm_that_is_disconnected_has_no_connection_and_gets_none_until_it_is_let_in() {
    let (mut fixture, work, web) = desktop();
    let places = open(&mut fixture);
    press(&mut fixture, place(&places, "work", Operation::Disconnect));
    fixture.wait("the end", |fixture| fixture.client(work).ended());
    assert!(!fixture.client(web).ended());
    let (theirs, _ours) = std::os::unix::net::UnixStream::pair().unwrap();
    let refused = fixture.state().accept(theirs, vm("work"), vitrail::trust::client::Privilege::Ordinary);
    assert!(refused.is_err());
    press(&mut fixture, place(&places, "work", Operation::Disconnect));
    let again = fixture.connect(vm("work"));
    fixture.window(again, 100, 60, BLUE);
    assert!(!fixture.client(again).ended());
}

#[test]
fn programs_of_the_gui_vm_are_hidden_and_nothing_else() {
    let (mut fixture, _, _) = desktop();
    let local = fixture.connect(Origin::Local);
    fixture.window(local, 100, 60, YELLOW);
    let places = open(&mut fixture);
    for operation in [Operation::Pause, Operation::Disconnect, Operation::Hide] {
        press(&mut fixture, place(&places, "local", operation));
        let done = fixture.state().comp.restraints(&Origin::Local);
        let expected: &[Operation] = if operation == Operation::Hide { &[Operation::Hide] } else { &[] };
        assert_eq!(done, expected, "{operation:?}");
    }
    fixture.roundtrip(local);
    assert!(!fixture.client(local).ended() && window_of(&mut fixture, "local").is_none());
}

#[test]
fn in_a_locked_session_the_key_is_nobodys_and_the_lock_closes_the_panel() {
    let (mut fixture, _, _) = desktop();
    open(&mut fixture);
    let locker = fixture.connect(Origin::Local);
    fixture.client(locker).listen();
    let lock = session_lock::lock(&mut fixture, locker);
    assert!(!is_open(&mut fixture));
    let before = shown(&mut fixture);
    keys(&mut fixture, locker);
    attend(&mut fixture);
    assert!(!is_open(&mut fixture));
    assert_eq!(keys(&mut fixture, locker), [], "who locks does not get it either");
    assert_eq!(shown(&mut fixture).0, before.0);
    lock.unlock_and_destroy();
    fixture.roundtrip(locker);
    assert!(!is_open(&mut fixture), "it was not kept for later");
    attend(&mut fixture);
    assert!(is_open(&mut fixture));
}

#[test]
fn a_question_waits_for_the_panel_and_is_then_looked_at_again() {
    let (mut fixture, _, _) = desktop();
    let local = fixture.connect(Origin::Local);
    fixture.copy_frame(local, 0, false, None);
    fixture.wait_question();
    attend(&mut fixture);
    assert!(is_open(&mut fixture) && !fixture.state().comp.is_asking());
    tap(&mut fixture, ENTER);
    assert!(fixture.client(local).told.words.is_empty(), "Enter was not its answer");
    tap(&mut fixture, ESCAPE);
    fixture.wait("the question", |fixture| fixture.state().comp.is_asking());
    assert!(!fixture.state().comp.question_takes_answer());
}

#[test]
fn the_chord_is_configured_more_may_be_held_and_it_cannot_be_taken_away() {
    use std::path::Path;
    use vitrail::config::Config;
    let parse = |text: &str| Config::parse(Path::new("v.toml"), &format!("[keys]\n{text}"));
    for text in [
        "'ctrl+alt+delete' = 'none'",
        "'ctrl+alt+delete' = 'quit'",
        "'ctrl+alt+delete' = { hold = 'secure-attention' }",
    ] {
        let error = parse(text).unwrap_err().one_line();
        assert!(error.starts_with("v.toml:2:") && error.contains("there must be one"), "{error}");
    }
    let moved = "'ctrl+alt+delete' = 'none'\n'logo+pause' = 'secure-attention'";
    parse(moved).unwrap();
    let mut fixture = Fixture::written(&format!("[keys]\n{moved}"));
    attend(&mut fixture);
    assert!(!is_open(&mut fixture));
    fixture.chord(&["leftmeta", "pause"]);
    assert!(is_open(&mut fixture));
    tap(&mut fixture, ESCAPE);
    let mut fixture = Fixture::new();
    fixture.state().input_key(SHIFT, true);
    attend(&mut fixture);
    assert!(is_open(&mut fixture), "whoever needs it need not be exact");
    tap(&mut fixture, TAB);
}

/// The panel moves with the user to another output, and is looked at there first.
#[test]
fn it_is_on_the_output_where_the_user_is_and_both_are_dimmed() {
    use vitrail::shell::outputs::Head;
    let (mut fixture, _, _) = desktop();
    assert!(fixture.state().connect_output(Head::virtual_one("right", (900, 600).into(), 1.0)));
    let right = fixture.state().comp.shell.outputs().named("right").unwrap().id;
    open(&mut fixture);
    let corner = right.origin();
    fixture.state().comp.shell.visit(right);
    fixture.state().input_pointer_motion(f64::from(corner.x + 5), f64::from(corner.y + 500));
    fixture.wait("a frame", |fixture| !fixture.state().comp.schedule.is_pending());
    let places = fixture.state().comp.panel_places().unwrap();
    assert!(places.panel.loc.x >= corner.x);
    press(&mut fixture, place(&places, "work", Operation::Hide));
    assert!(!fixture.state().comp.is_restrained(&vm("work"), Operation::Hide));
    let screen = shown(&mut fixture);
    assert!(!holds(&screen, BLUE) && !holds(&screen, YELLOW), "the other output is dimmed");
}
