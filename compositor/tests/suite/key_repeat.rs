//! Keys that are held down are repeated by the compositor for applications of VMs, and never for longer than they are held by
//! whom they were pressed for.

use std::fs;
use std::time::Duration;

use vitrail::config::Live;
use vitrail::trust::origin::Origin;

use crate::fixture::{Fixture, Who, vm};

const KEY_A: u32 = 30;
const KEY_B: u32 = 48;
const LEFT_CTRL: u32 = 29;
const LEFT_SHIFT: u32 = 42;
const LEFT_META: u32 = 125;
const BLUE: [u8; 4] = [0, 0, 255, 255];
/// Repeats as fast as they may be, so that nothing has to be waited for.
const FAST: &str = "[input.keyboard]\nrepeat_delay = 100\nrepeat_rate = 100\n";

/// A client of an origin that has the keyboard.
fn typist(fixture: &mut Fixture, origin: Origin) -> Who {
    let who = fixture.connect(origin);
    fixture.client(who).listen();
    fixture.window(who, 200, 100, BLUE);
    fixture.wait("the keyboard", |fixture| fixture.client(who).told.keyboard.is_some());
    who
}

fn presses(fixture: &mut Fixture, who: Who, code: u32) -> usize {
    fixture.client(who).told.keys.iter().filter(|key| **key == (code, true)).count()
}

#[track_caller]
fn wait_for_repeats(fixture: &mut Fixture, who: Who, code: u32, count: usize) {
    fixture.wait("repeats", |fixture| presses(fixture, who, code) > count);
}

/// The compositor's loop has nothing to wait for but clients: it sleeps for longer than any repeat takes.
#[track_caller]
fn assert_no_more(fixture: &mut Fixture, who: Who) {
    assert!(!fixture.state().comp.is_repeating_key(), "there is a timer");
    fixture.roundtrip(who);
    let before = fixture.client(who).told.keys.len();
    fixture.turn_compositor(Duration::from_millis(120));
    fixture.roundtrip(who);
    assert_eq!(fixture.client(who).told.keys.len(), before);
}

#[test]
fn a_client_of_a_vm_is_told_not_to_repeat_and_gets_repeats_until_the_key_comes_up() {
    let mut fixture = Fixture::written(FAST);
    let work = typist(&mut fixture, vm("work"));
    assert!(fixture.client(work).told.repeats.iter().all(|info| *info == (0, 0)), "never anything else");
    assert!(!fixture.client(work).told.repeats.is_empty());
    fixture.state().input_key(KEY_A, true);
    wait_for_repeats(&mut fixture, work, KEY_A, 3);
    fixture.state().input_key(KEY_A, false);
    fixture.roundtrip(work);
    let keys = fixture.client(work).told.keys.clone();
    assert_eq!(keys.iter().filter(|(_, pressed)| !pressed).count(), 1, "one release, at the end: {keys:?}");
    assert_eq!(keys.last(), Some(&(KEY_A, false)));
    assert_no_more(&mut fixture, work);
}

#[test]
fn a_local_program_repeats_by_itself() {
    let mut fixture = Fixture::written(FAST);
    let local = typist(&mut fixture, Origin::Local);
    assert_eq!(fixture.client(local).told.repeats.last(), Some(&(100, 100)));
    fixture.state().input_key(KEY_A, true);
    assert_no_more(&mut fixture, local);
    assert_eq!(presses(&mut fixture, local, KEY_A), 1);
}

/// Flipping the option changes who repeats, at once and for clients that are connected already.
#[test]
fn a_vm_whose_table_says_so_repeats_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vitrail.toml");
    let written = |repeat: &str, rate: u32| {
        let text = format!(
            "[input.keyboard]\nrepeat_delay = 100\nrepeat_rate = {rate}\n[defaults.input]\nkeyboard_repeat = \"client\"\n\
             [vm.work]\ncolor = \"#2e7d32\"\n[vm.work.input]\n{repeat}\n"
        );
        fs::write(&path, text).unwrap();
    };
    written("", 50);
    let mut fixture = Fixture::configured_as(Live::load(&path).unwrap());
    let work = typist(&mut fixture, vm("work"));
    assert_eq!(fixture.client(work).told.repeats.last(), Some(&(50, 100)));
    fixture.state().input_key(KEY_A, true);
    assert_no_more(&mut fixture, work);
    fixture.state().input_key(KEY_A, false);

    written("keyboard_repeat = \"compositor\"", 100);
    assert!(fixture.state().reload());
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.repeats.last(), Some(&(0, 0)));
    fixture.state().input_key(KEY_A, true);
    wait_for_repeats(&mut fixture, work, KEY_A, 3);

    // A rate of zero ends a repeat that goes on.
    written("keyboard_repeat = \"compositor\"", 0);
    assert!(fixture.state().reload());
    fixture.wait("the end of the repeats", |fixture| !fixture.state().comp.is_repeating_key());
    assert_no_more(&mut fixture, work);
}

#[test]
fn the_last_key_is_repeated_and_modifiers_are_not() {
    let mut fixture = Fixture::written(FAST);
    let work = typist(&mut fixture, vm("work"));
    fixture.state().input_key(LEFT_SHIFT, true);
    assert_no_more(&mut fixture, work);
    fixture.state().input_key(KEY_A, true);
    wait_for_repeats(&mut fixture, work, KEY_A, 1);
    fixture.state().input_key(LEFT_SHIFT, false);
    let before = presses(&mut fixture, work, KEY_A);
    wait_for_repeats(&mut fixture, work, KEY_A, before + 1);
    fixture.state().input_key(KEY_B, true);
    fixture.roundtrip(work);
    let before = presses(&mut fixture, work, KEY_A);
    wait_for_repeats(&mut fixture, work, KEY_B, 2);
    // Another key that comes up makes no difference.
    fixture.state().input_key(KEY_A, false);
    let count = presses(&mut fixture, work, KEY_B);
    wait_for_repeats(&mut fixture, work, KEY_B, count + 1);
    assert_eq!(presses(&mut fixture, work, KEY_A), before);
    fixture.state().input_key(KEY_B, false);
    fixture.roundtrip(work);
    assert_no_more(&mut fixture, work);
}

/// A chord, the overlay in which a window is chosen, and a lock end it, and so does a click into another VM's window: that is
/// told of no key that is down, and gets none before it is pressed again.
#[test]
fn a_repeat_ends_with_whatever_takes_the_keyboard_away() {
    let mut fixture = Fixture::written(FAST);
    let work = typist(&mut fixture, vm("work"));
    let web = fixture.connect(vm("web"));
    fixture.client(web).listen();
    fixture.window(web, 200, 100, BLUE);
    for (what, take) in [
        ("a chord", &(|fixture: &mut Fixture| fixture.chord(&["leftmeta", "m"])) as &dyn Fn(&mut Fixture)),
        ("the overlay", &|fixture: &mut Fixture| {
            fixture.state().input_key(LEFT_META, true);
            fixture.chord(&["tab"]);
            fixture.chord(&["esc"]);
            fixture.state().input_key(LEFT_META, false);
        }),
    ] {
        let before = presses(&mut fixture, work, KEY_A);
        fixture.state().input_key(KEY_A, true);
        wait_for_repeats(&mut fixture, work, KEY_A, before + 1);
        take(&mut fixture);
        fixture.roundtrip(work);
        assert!(!fixture.state().comp.is_repeating_key(), "{what}");
        assert_no_more(&mut fixture, work);
        fixture.state().input_key(KEY_A, false);
    }

    let before = presses(&mut fixture, work, KEY_A);
    fixture.chord(&["leftmeta", "m"]);
    fixture.state().input_key(LEFT_CTRL, true);
    fixture.state().input_key(KEY_A, true);
    wait_for_repeats(&mut fixture, work, KEY_A, before + 1);
    let content = fixture.report().into_iter().find(|window| window.vm == "web").unwrap().content;
    fixture.click(content.loc.x + 3, content.loc.y + 3);
    fixture.wait("the keyboard", |fixture| fixture.client(web).told.keyboard.is_some());
    fixture.roundtrip(work);
    assert_no_more(&mut fixture, work);
    assert_no_more(&mut fixture, web);
    let told = &fixture.client(web).told;
    assert_eq!((told.held, told.keys.len()), (0, 0), "not even the modifier");
    assert_ne!(told.modifiers, 0, "but it is in force for what is typed");
    let ended = &fixture.client(work).told.keys;
    assert!(ended.contains(&(KEY_A, false)) && ended.contains(&(LEFT_CTRL, false)), "{ended:?}");
    fixture.state().input_key(LEFT_CTRL, false);
    fixture.state().input_key(KEY_A, false);
    fixture.wait("the modifier's end", |fixture| fixture.client(web).told.modifiers == 0);
    assert!(fixture.client(web).told.keys.is_empty(), "releases of what it never had");
    fixture.state().input_key(KEY_A, true);
    wait_for_repeats(&mut fixture, web, KEY_A, 2);
    fixture.state().input_key(KEY_A, false);
}

/// A window that opens another one of its VM while a key is held gives the keyboard away, and the new one is not typed into.
#[test]
fn a_repeat_does_not_follow_the_keyboard_within_a_vm() {
    let mut fixture = Fixture::written(FAST);
    let work = typist(&mut fixture, vm("work"));
    fixture.state().input_key(KEY_A, true);
    wait_for_repeats(&mut fixture, work, KEY_A, 1);
    fixture.window(work, 100, 50, BLUE);
    fixture.roundtrip(work);
    assert_no_more(&mut fixture, work);
}

#[test]
fn a_repeat_ends_with_the_window_that_it_is_for() {
    let mut fixture = Fixture::written(FAST);
    let work = typist(&mut fixture, vm("work"));
    fixture.state().input_key(KEY_A, true);
    wait_for_repeats(&mut fixture, work, KEY_A, 1);
    let shown = &fixture.client(work).told.shown[0];
    shown.toplevel.as_ref().unwrap().destroy();
    shown.xdg.destroy();
    shown.surface.destroy();
    fixture.roundtrip(work);
    assert_no_more(&mut fixture, work);
}
