//! What key chords do to windows, and that no client sees them.

use std::fs;

use smithay::utils::{Physical, Rectangle};
use vitrail::config::Live;
use vitrail::shell::window::Mode;
use vitrail::trust::origin::Origin;
use wayland_protocols::xdg::shell::client::xdg_toplevel::State;

use crate::fixture::{Fixture, WORK, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

/// A window of `work` that has the keyboard.
fn one(fixture: &mut Fixture) -> (Who, usize) {
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    let window = fixture.window(work, 200, 100, BLUE);
    fixture.roundtrip(work);
    (work, window)
}

fn frame(fixture: &mut Fixture) -> Rectangle<i32, Physical> {
    fixture.report()[0].frame
}

#[test]
fn a_snapped_window_fills_its_half_or_quarter_with_its_label_and_comes_back() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, window) = one(&mut fixture);
    let before = frame(&mut fixture);
    let area = fixture.state().comp.shell.layout().work_area();
    fixture.chord(&["leftmeta", "left"]);
    let left: Rectangle<i32, Physical> = Rectangle::new(area.loc, (400, area.size.h).into());
    assert_eq!(frame(&mut fixture), left);
    fixture.roundtrip(work);
    let told = fixture.client(work).configures(window).last().unwrap().clone();
    assert_eq!(told.size, (400 - 8, area.size.h - 32));
    assert!(told.states.contains(&State::TiledLeft) && !told.states.contains(&State::TiledRight));
    fixture.chord(&["leftmeta", "up"]);
    assert_eq!(frame(&mut fixture), Rectangle::new(area.loc, (400, area.size.h / 2).into()));
    fixture.screenshot().assert_ring(WORK, Rectangle::new(area.loc, (400, area.size.h / 2).into()), 4);
    fixture.chord(&["leftmeta", "down"]);
    fixture.chord(&["leftmeta", "right"]);
    assert_eq!(frame(&mut fixture), before);
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).configures(window).last().unwrap().size, (200, 100));
    let seen = fixture.client(work).told.keys.clone();
    assert!(seen.iter().all(|(key, _)| *key == 125), "the client saw a chord: {seen:?}");
}

#[test]
fn the_keys_maximise_fullscreen_and_minimise() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, window) = one(&mut fixture);
    let before = frame(&mut fixture);
    for (key, state) in [("m", State::Maximized), ("f", State::Fullscreen)] {
        fixture.chord(&["leftmeta", key]);
        assert_eq!(frame(&mut fixture), fixture.state().comp.shell.layout().work_area());
        fixture.roundtrip(work);
        assert!(fixture.client(work).configures(window).last().unwrap().states.contains(&state));
        fixture.chord(&["leftmeta", key]);
        assert_eq!(frame(&mut fixture), before);
    }
    fixture.chord(&["leftmeta", "n"]);
    assert!(fixture.report().is_empty());
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.keyboard.is_none());
}

#[test]
fn windows_stay_on_their_workspaces_which_give_the_keyboard_back() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, _) = one(&mut fixture);
    fixture.chord(&["leftmeta", "2"]);
    assert!(fixture.report().is_empty());
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.keyboard.is_none(), "the keyboard left with the workspace");
    let web = fixture.connect(vm("web"));
    fixture.client(web).listen();
    fixture.window(web, 100, 50, BLUE);
    fixture.wait("the keyboard", |fixture| fixture.client(web).told.keyboard.is_some());
    assert_eq!(fixture.report().len(), 1);
    fixture.chord(&["leftmeta", "pageup"]);
    fixture.wait("the keyboard again", |fixture| fixture.client(work).told.keyboard.is_some());
    fixture.chord(&["leftmeta", "leftshift", "2"]);
    assert!(fixture.report().is_empty());
    fixture.chord(&["leftmeta", "pagedown"]);
    assert_eq!(fixture.report().len(), 2);
}

#[test]
fn only_the_gui_vms_own_windows_are_kept_on_top() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let local = fixture.connect(Origin::Local);
    fixture.window(local, 200, 100, BLUE);
    fixture.chord(&["leftmeta", "t"]);
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, BLUE);
    let content = fixture.report().into_iter().find(|window| window.vm == "work").unwrap().content;
    fixture.click(content.loc.x + 190, content.loc.y + 90);
    fixture.chord(&["leftmeta", "t"]);
    let report = fixture.report();
    assert!(report[0].focused && report[0].vm == "work");
    assert_eq!(report[1].vm, "local");
}

#[test]
fn the_configuration_says_what_chords_do_and_a_reload_counts_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vitrail.toml");
    let write = |keys: &str| {
        fs::write(&path, format!("{keys}\n[vm.work]\ncolor = \"#2e7d32\"\n[vm.work.limits]\nclients = 4\n"))
            .unwrap();
    };
    write("[keys]\n\"ctrl+f1\" = \"maximize\"\n\"logo+m\" = \"none\"\n[workspaces]\nnames = [\"a\", \"b\"]");
    let mut fixture = Fixture::configured_as(Live::load(&path).unwrap());
    let (work, _) = one(&mut fixture);
    let mode = |fixture: &mut Fixture| fixture.state().comp.shell.focused().unwrap().mode;
    fixture.chord(&["leftmeta", "m"]);
    assert_eq!(mode(&mut fixture), Mode::Floating);
    fixture.wait("the key", |fixture| fixture.client(work).told.keys.contains(&(50, true)));
    fixture.chord(&["leftctrl", "f1"]);
    assert_eq!(mode(&mut fixture), Mode::Maximized);
    fixture.chord(&["leftmeta", "leftshift", "2"]);
    fixture.chord(&["leftmeta", "2"]);
    assert_eq!(fixture.report().len(), 1);
    write("[workspaces]\nnames = [\"only\"]");
    fixture.chord(&["leftmeta", "leftshift", "r"]);
    assert_eq!((fixture.state().comp.shell.workspaces().len(), fixture.report().len()), (1, 1));
    fixture.chord(&["leftctrl", "f1"]);
    assert_eq!(mode(&mut fixture), Mode::Maximized, "the chord is gone");
    fixture.chord(&["leftmeta", "m"]);
    assert_eq!(mode(&mut fixture), Mode::Floating, "the default is back");
}

#[test]
fn a_held_chord_that_repeats_is_done_again_until_its_key_is_released() {
    let mut fixture =
        Fixture::written("[keys]\n\"logo+x\" = { action = \"next-workspace\", repeat = true }\n");
    let current = |fixture: &mut Fixture| fixture.state().comp.shell.workspaces().current();
    let (meta, x) = (125, 45);
    fixture.state().input_key(meta, true);
    fixture.state().input_key(x, true);
    assert_eq!(current(&mut fixture), 1);
    fixture.wait("the second time", |fixture| current(fixture) == 2);
    fixture.wait("the third time", |fixture| current(fixture) == 3);
    fixture.state().input_key(x, false);
    assert!(!fixture.state().is_repeating());
}

#[test]
fn a_chord_starts_a_program_of_the_gui_vm() {
    let directory = tempfile::tempdir().unwrap();
    let said = directory.path().join("said");
    let script = format!("printf %s \\\"$WAYLAND_DISPLAY\\\" > {0}.part; mv {0}.part {0}", said.display());
    let more = format!("[keys]\n\"logo+x\" = {{ run = [\"sh\", \"-c\", \"{script}\"] }}\n");
    let mut fixture = Fixture::written(&more);
    fixture.state().comp.socket = Some("wayland-test".to_owned());
    fixture.chord(&["leftmeta", "x"]);
    fixture.wait("the program", |_| said.exists());
    assert_eq!(fs::read_to_string(&said).unwrap(), "wayland-test");
}

#[test]
fn a_workspace_is_reached_by_a_click_on_its_name_and_shows_there_who_wants_attention() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, window) = one(&mut fixture);
    let place = |fixture: &mut Fixture, index: usize| {
        fixture.screenshot();
        let decor = &fixture.state().comp.decor;
        (0..800).find(|x| decor.workspace_at((*x, 12).into()) == Some(index)).unwrap()
    };
    let second = place(&mut fixture, 1);
    fixture.click(second + 2, 12);
    assert_eq!(fixture.state().comp.shell.workspaces().current(), 1);
    assert!(fixture.report().is_empty());
    fixture.state().input_pointer_motion(400.0, 400.0);
    let first = place(&mut fixture, 0);
    let calm = fixture.screenshot().pixel(first + 3, 12);
    // A token of nobody's asks for attention, and gets no more than that.
    let activation: wayland_protocols::xdg::activation::v1::client::xdg_activation_v1::XdgActivationV1 =
        fixture.client(work).bind();
    let surface = fixture.client(work).told.shown[window].surface.clone();
    activation.activate("made up".to_owned(), &surface);
    fixture.roundtrip(work);
    assert_eq!(fixture.state().comp.shell.workspaces().current(), 1, "nobody is taken there");
    let first = place(&mut fixture, 0);
    let urgent = fixture.screenshot().pixel(first + 3, 12);
    assert_ne!(urgent, calm);
    assert_eq!(urgent, [0xff, 0xb3, 0x00, 0xff]);
}

#[test]
fn windows_in_columns_are_told_their_size_and_get_their_own_back() {
    let mut fixture = Fixture::written("[workspaces]\nlayout = \"columns\"\n");
    let (work, first) = one(&mut fixture);
    let area = fixture.state().comp.shell.layout().work_area();
    let told = |fixture: &mut Fixture, who: Who, window: usize, size: (i32, i32)| {
        fixture.wait("the size", |fixture| {
            fixture.client(who).configures(window).last().is_some_and(|configure| configure.size == size)
        });
        fixture.client(who).configures(window).last().unwrap().states.clone()
    };
    assert!(told(&mut fixture, work, first, (800 - 8, area.size.h - 32)).contains(&State::TiledTop));
    let web = fixture.connect(vm("web"));
    let second = fixture.window(web, 100, 50, BLUE);
    fixture.roundtrip(work);
    assert_eq!(
        fixture.client(work).configures(first).last().unwrap().size.0,
        800 - 8,
        "another VM moves nothing"
    );
    assert!(fixture.report().iter().any(|window| window.vm == "web" && window.urgent));
    fixture.chord(&["leftmeta", "tab"]);
    fixture.chord(&["leftmeta", "tab"]);
    told(&mut fixture, work, first, (400 - 8, area.size.h - 32));
    told(&mut fixture, web, second, (400 - 8, area.size.h - 32));
    let left = |fixture: &mut Fixture| {
        fixture.report().into_iter().find(|window| window.frame.loc.x == 0).unwrap().vm
    };
    assert_eq!(left(&mut fixture), "work");
    fixture.chord(&["leftmeta", "right"]);
    assert_eq!(left(&mut fixture), "web");
    // Dragged onto the other one, it comes back.
    let title = fixture.report().into_iter().find(|window| window.vm == "work").unwrap().frame;
    let state = fixture.state();
    state.input_pointer_motion(f64::from(title.loc.x + 150), f64::from(title.loc.y + 12));
    state.input_pointer_button(vitrail::input::pointer::BUTTON_LEFT, true);
    state.input_pointer_motion(100.0, 300.0);
    state.input_pointer_button(vitrail::input::pointer::BUTTON_LEFT, false);
    assert_eq!(left(&mut fixture), "work");
    fixture.chord(&["leftmeta", "c"]);
    let states = told(&mut fixture, work, first, (200, 100));
    assert!(!states.contains(&State::TiledTop));
    told(&mut fixture, web, second, (100, 50));
}

#[test]
fn a_window_on_a_workspace_that_is_not_on_the_screen_gets_no_frames_until_it_is() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, window) = one(&mut fixture);
    fixture.chord(&["leftmeta", "2"]);
    let other = fixture.window(work, 100, 50, BLUE);
    let queue = fixture.client(work).queue.clone();
    let surfaces = [window, other].map(|window| fixture.client(work).told.shown[window].surface.clone());
    surfaces[0].frame(&queue, ());
    surfaces[0].commit();
    fixture.roundtrip(work);
    // A later one of a window that is shown comes, so a frame has been drawn.
    surfaces[1].frame(&queue, ());
    surfaces[1].commit();
    fixture.wait("a frame callback", |fixture| fixture.client(work).told.frames == 1);
    fixture.chord(&["leftmeta", "1"]);
    fixture.wait("the other one", |fixture| fixture.client(work).told.frames == 2);
}

#[test]
fn a_held_chord_ends_with_its_modifier_too() {
    let mut fixture =
        Fixture::written("[keys]\n\"logo+x\" = { action = \"next-workspace\", repeat = true }\n");
    let (meta, x) = (125, 45);
    fixture.state().input_key(meta, true);
    fixture.state().input_key(x, true);
    assert!(fixture.state().is_repeating());
    fixture.state().input_key(meta, false);
    assert!(!fixture.state().is_repeating());
}

const META: u32 = 125;
const SHIFT: u32 = 42;
const X: u32 = 45;

/// A compositor in which the logo key with X goes to the second workspace, and held to the third.
fn holding() -> Fixture {
    Fixture::written("[keys]\n\"logo+x\" = { action = \"workspace-2\", hold = \"workspace-3\" }\n")
}

fn current(fixture: &mut Fixture) -> usize {
    fixture.state().comp.shell.workspaces().current()
}

#[test]
fn a_chord_that_is_held_for_long_does_another_thing_and_not_its_own() {
    let mut fixture = holding();
    fixture.state().input_key(META, true);
    fixture.state().input_key(X, true);
    assert_eq!(current(&mut fixture), 0, "not before it is known how long it is held");
    fixture.wait("the other action", |fixture| current(fixture) == 2);
    fixture.state().input_key(X, false);
    fixture.state().input_key(META, false);
    assert_eq!(current(&mut fixture), 2);
}

#[test]
fn a_chord_that_is_let_go_before_does_its_own_thing_whichever_key_comes_up_first() {
    for first in [X, META] {
        let mut fixture = holding();
        fixture.state().input_key(META, true);
        fixture.state().input_key(X, true);
        fixture.state().input_key(first, false);
        assert_eq!(current(&mut fixture), 1);
        fixture.state().input_key(META + X - first, false);
        assert_eq!(current(&mut fixture), 1);
    }
}

#[test]
fn another_key_ends_the_waiting_for_a_chord_and_nothing_is_done() {
    let mut fixture = holding();
    let (work, _) = one(&mut fixture);
    for (key, pressed) in [(META, true), (X, true), (SHIFT, true), (SHIFT, false), (X, false), (META, false)]
    {
        fixture.state().input_key(key, pressed);
    }
    assert_eq!(current(&mut fixture), 0);
    fixture.roundtrip(work);
    assert!(
        fixture.client(work).told.keys.iter().all(|(key, _)| *key != X),
        "the key stays the compositor's"
    );
}

/// A microphone is to be heard while a chord is held: what ends that must come, and once, whatever else is pressed meanwhile.
#[test]
fn a_chord_is_in_force_until_its_key_comes_up() {
    let mut fixture = Fixture::written(
        "[keys]\n\"logo+x\" = { action = \"workspace-2\", release = \"workspace-1\" }\n\
         \"logo+shift+x\" = { release = \"workspace-4\" }\n",
    );
    fixture.state().input_key(META, true);
    fixture.state().input_key(X, true);
    assert_eq!(current(&mut fixture), 1);
    fixture.state().input_key(META, false);
    fixture.state().input_key(SHIFT, true);
    fixture.state().input_key(SHIFT, false);
    assert_eq!(current(&mut fixture), 1);
    fixture.state().input_key(X, false);
    assert_eq!(current(&mut fixture), 0);
    fixture.state().input_key(X, true);
    fixture.state().input_key(X, false);
    assert_eq!(current(&mut fixture), 0, "each press has one release");
    fixture.chord(&["leftmeta", "leftshift", "x"]);
    assert_eq!(current(&mut fixture), 3);
}
