//! Programs that type: into the focused window, and nobody else learns what.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use vitrail::trust::origin::Origin;
use wayland_client::delegate_noop;
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1;
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1;

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};
use crate::text_input::click_window;

delegate_noop!(Told: ignore ZwpVirtualKeyboardManagerV1);
delegate_noop!(Told: ignore ZwpVirtualKeyboardV1);

const BLUE: [u8; 4] = [0, 0, 255, 255];
const KEY_A: u32 = 30;
const LOGO: u32 = 125;
/// Format 1: text of libxkbcommon.
const XKB: u32 = 1;

/// A keymap with one key, which is all that its program means to type.
const KEYMAP: &str = r#"xkb_keymap {
xkb_keycodes "(unnamed)" { minimum = 8; maximum = 40; <K38> = 38; };
xkb_types "(unnamed)" { include "complete" };
xkb_compatibility "(unnamed)" { include "complete" };
xkb_symbols "(unnamed)" { key <K38> {[U1F984]}; };
};
"#;

pub struct Typist {
    who: Who,
    object: ZwpVirtualKeyboardV1,
}

fn file(text: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.write_all(&[0]).unwrap();
    file
}

pub fn typist(fixture: &mut Fixture) -> Typist {
    let who = fixture.connect(Origin::Local);
    let client = fixture.client(who);
    let seat = client.seat();
    let object =
        client.bind::<ZwpVirtualKeyboardManagerV1>().create_virtual_keyboard(&seat, &client.queue, ());
    let typist = Typist { who, object };
    typist.keymap(fixture, KEYMAP);
    typist
}

impl Typist {
    fn keymap(&self, fixture: &mut Fixture, text: &str) {
        self.object.keymap(XKB, file(text).as_fd(), text.len() as u32 + 1);
        fixture.roundtrip(self.who);
    }

    pub fn key(&self, fixture: &mut Fixture, code: u32, pressed: bool) {
        self.object.key(7, code, u32::from(pressed));
        fixture.roundtrip(self.who);
    }
}

/// Windows of two VMs; work's has the keyboard.
fn two(fixture: &mut Fixture) -> (Who, Who) {
    let mut window = |name: &str| {
        let who = fixture.connect(vm(name));
        fixture.client(who).listen();
        fixture.window(who, 200, 100, BLUE);
        fixture.roundtrip(who);
        fixture.client(who).told.keymaps.clear();
        who
    };
    (window("work"), window("web"))
}

fn keys(fixture: &mut Fixture, who: Who) -> Vec<(u32, bool)> {
    fixture.roundtrip(who);
    std::mem::take(&mut fixture.client(who).told.keys)
}

/// Which keymaps the client was sent: whether each has the typist's letter.
fn keymaps(fixture: &mut Fixture, who: Who) -> Vec<bool> {
    fixture.roundtrip(who);
    let keymaps = std::mem::take(&mut fixture.client(who).told.keymaps);
    keymaps.iter().map(|text| text.contains("<K38>")).collect()
}

#[test]
fn what_is_typed_and_the_keymap_that_tells_it_reach_the_focused_client_alone() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, web) = two(&mut fixture);
    let typist = typist(&mut fixture);
    assert!(keymaps(&mut fixture, work).is_empty(), "nothing was typed yet");
    for pressed in [true, false] {
        typist.key(&mut fixture, KEY_A, pressed);
    }
    assert_eq!(keymaps(&mut fixture, work), [true]);
    assert_eq!(keys(&mut fixture, work), [(KEY_A, true), (KEY_A, false)]);
    // A real key is of the seat's keymap, and it has that again.
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_key(KEY_A, false);
    assert_eq!(keymaps(&mut fixture, work), [false]);
    typist.key(&mut fixture, KEY_A, true);
    assert_eq!(keymaps(&mut fixture, work), [true]);
    // As it has when it loses the keyboard, or the program ends.
    click_window(&mut fixture, "web");
    assert_eq!(keymaps(&mut fixture, work), [false]);
    typist.key(&mut fixture, KEY_A, false);
    assert!(keymaps(&mut fixture, web).is_empty() && keys(&mut fixture, web).is_empty());
    typist.key(&mut fixture, KEY_A, true);
    typist.object.destroy();
    fixture.roundtrip(typist.who);
    assert_eq!(keymaps(&mut fixture, web), [true, false]);
    assert_eq!(keys(&mut fixture, web), [(KEY_A, true), (KEY_A, false)]);
    assert!(keymaps(&mut fixture, work).is_empty());
}

#[test]
fn a_key_that_a_program_holds_comes_up_before_the_keyboard_moves_on() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, web) = two(&mut fixture);
    let typist = typist(&mut fixture);
    typist.key(&mut fixture, KEY_A, true);
    typist.key(&mut fixture, KEY_A, true);
    click_window(&mut fixture, "web");
    assert_eq!(keys(&mut fixture, work), [(KEY_A, true), (KEY_A, false)]);
    assert_eq!(fixture.client(web).told.held, 0);
    typist.key(&mut fixture, KEY_A, false);
    assert!(keys(&mut fixture, web).is_empty());
    // Nobody has the keyboard, or there is no such key.
    typist.key(&mut fixture, u32::MAX, true);
    assert!(keys(&mut fixture, web).is_empty());
}

#[test]
fn no_program_types_the_compositors_chords() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, _web) = two(&mut fixture);
    let typist = typist(&mut fixture);
    let seat = File::from(fixture.client(work).keymap_file());
    let length = seat.metadata().unwrap().len() as u32;
    typist.object.keymap(XKB, seat.as_fd(), length);
    let (logo, q) = (0x40, 16);
    typist.object.modifiers(logo, 0, 0, 0);
    for (code, pressed) in [(LOGO, true), (q, true), (q, false), (LOGO, false)] {
        typist.key(&mut fixture, code, pressed);
    }
    assert_eq!(keys(&mut fixture, work), [(LOGO, true), (q, true), (q, false), (LOGO, false)]);
    assert_eq!(fixture.client(work).told.modifiers, logo);
    assert!(!fixture.client(work).told.shown[0].asked_to_close);
    assert!(keymaps(&mut fixture, work).is_empty(), "it has this keymap already");
    // Nor do its modifiers make a chord of a real key, which comes with its own.
    fixture.state().input_key(q, true);
    fixture.state().input_key(q, false);
    assert_eq!(keys(&mut fixture, work), [(q, true), (q, false)]);
    assert_eq!(fixture.client(work).told.modifiers, 0);
    assert!(!fixture.client(work).told.shown[0].asked_to_close);
}

#[test]
fn a_keymap_that_is_none_ends_its_program_and_hurts_nobody() {
    let mut fixture = Fixture::new();
    let (work, _web) = two(&mut fixture);
    for case in 0..6 {
        let who = fixture.connect(Origin::Local);
        let client = fixture.client(who);
        let seat = client.seat();
        let object =
            client.bind::<ZwpVirtualKeyboardManagerV1>().create_virtual_keyboard(&seat, &client.queue, ());
        match case {
            0 => object.key(0, KEY_A, 1),
            1 => object.modifiers(1, 0, 0, 0),
            2 => object.keymap(0, file(KEYMAP).as_fd(), KEYMAP.len() as u32),
            3 => object.keymap(XKB, file("no keymap").as_fd(), 9),
            // Mapped, the part that is not there would be fatal to read.
            4 => object.keymap(XKB, file("short").as_fd(), 500_000),
            _ => object.keymap(XKB, std::io::pipe().unwrap().0.as_fd(), 100),
        }
        fixture.wait("the end of the connection", |fixture| fixture.client(who).ended());
        let error = fixture.client(who).error();
        assert_eq!(error, Some((String::from("zwp_virtual_keyboard_v1"), 0)), "{case}");
    }
    assert!(keys(&mut fixture, work).is_empty() && !fixture.client(work).ended());
}

/// A virtual keyboard that holds a key down leaves the repeating to whoever repeats those of the seat.
#[test]
fn a_key_that_a_program_holds_is_repeated_until_it_lets_it_go() {
    let mut fixture = Fixture::written("[input.keyboard]\nrepeat_delay = 100\nrepeat_rate = 100\n");
    let (work, _) = two(&mut fixture);
    let typist = typist(&mut fixture);
    typist.key(&mut fixture, KEY_A, true);
    fixture.wait("repeats", |fixture| fixture.client(work).told.keys.len() > 3);
    typist.key(&mut fixture, KEY_A, false);
    fixture.roundtrip(work);
    let told = keys(&mut fixture, work);
    assert_eq!(told.last(), Some(&(KEY_A, false)));
    assert_eq!(told.iter().filter(|(_, pressed)| !pressed).count(), 1);
    assert!(!fixture.state().comp.is_repeating_key());
    typist.key(&mut fixture, KEY_A, true);
    typist.object.destroy();
    fixture.roundtrip(typist.who);
    assert!(!fixture.state().comp.is_repeating_key(), "its program is gone");
}
