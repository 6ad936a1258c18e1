//! Rows 9, 11, 12, 15, 16, 27 to 30 and 33: the keyboard, the pointer, and who has them.

use serde_json::json;
use vitrail_protocols::Guard;

use crate::client::InputEvent;
use crate::deadline::Deadline;
use crate::hostile::Case;
use crate::hostile::stage::{Attacker, HOSTILE, PAINT, Place, Stage, VICTIM, options};
use crate::raw::{Globals, RawWindow, Request};

pub(super) const CASES: &[Case] = &[
    Case::fixed(
        9,
        "cursor-huge",
        "a pointer of 2048 pixels with its hotspot outside",
        "there is no code that draws a client's picture of a pointer",
        cursor_huge,
    ),
    Case::new(
        9,
        "cursor-hide",
        "the pointer hidden and shown, again and again, by a VM without the keyboard",
        &[Guard::Cursor],
        cursor_hide,
    ),
    Case::new(
        11,
        "keys-during-steal",
        "windows that open and ask for the focus while somebody types",
        &[Guard::Focus],
        keys_during_steal,
    ),
    Case::new(
        11,
        "foreign-token",
        "a token for the focus that another VM was given",
        &[Guard::Token, Guard::Focus],
        foreign_token,
    ),
    Case::new(
        12,
        "held-key",
        "a key that is held while the keyboard goes to the VM",
        &[Guard::Keys],
        held_key,
    ),
    Case::new(
        15,
        "lock-after-release",
        "a lock of the pointer that the user has taken back",
        &[Guard::Release],
        lock_after_release,
    ),
    Case::elsewhere(
        16,
        "secure-attention",
        "the secure attention key while the pointer is locked, shortcuts inhibited and a window fullscreen",
        "compositor/tests/suite/secure_attention.rs",
    ),
    Case::elsewhere(
        27,
        "paste-into-new-window",
        "a window that appears under a paste",
        "compositor/tests/suite/clipboard.rs",
    ),
    Case::undefended(
        28,
        "key-timing",
        "how somebody types, told by the times of keys",
        "the times of input are told as they are",
    ),
    Case::elsewhere(
        29,
        "hover",
        "the pointer's way over a window without the keyboard, where the configuration keeps it from the VM",
        "compositor/tests/suite/hover.rs",
    ),
    Case::new(30, "idle-inhibit", "the session kept awake from the background", &[Guard::Idle], idle_inhibit),
    Case::elsewhere(
        31,
        "output-fingerprint",
        "what the outputs are, to recognise the machine",
        "compositor/tests/suite/synthetic_output.rs",
    ),
    Case::elsewhere(
        32,
        "occluded-presentation",
        "presentation times, to recognise a screen or what covers a window",
        "compositor/tests/suite/pacing.rs",
    ),
    Case::new(33, "foreign-handle", "a handle of another VM's window", &[Guard::Handle], foreign_handle),
    Case::elsewhere(
        34,
        "text-input",
        "text of a field that is not in focus, and with offsets that are none",
        "compositor/tests/suite/text_input.rs",
    ),
];

/// Evdev codes.
const KEY_A: u32 = 30;
const KEY_B: u32 = 48;
const LEFT_LOGO: u32 = 125;
const ESCAPE: u32 = 1;

/// The objects of a client that hears of input.
struct Listener {
    attacker: Attacker,
    globals: Globals,
    window: RawWindow,
    seat: u32,
    pointer: u32,
    keyboard: u32,
}

/// A client of a VM with a window, a pointer and a keyboard.
fn listener(stage: &mut Stage, vm: &str, title: &str) -> Listener {
    let mut attacker = stage.raw(vm, Place::Application);
    let globals = attacker.bind_globals().expect("globals");
    let seat = attacker.bind("wl_seat", 5).expect("wl_seat");
    let pointer = attacker.made(seat, 0, |request| request).expect("a live connection");
    let keyboard = attacker.made(seat, 1, |request| request).expect("a live connection");
    let window = attacker.map_window(globals, title, (200, 150)).expect("a window");
    stage.session.wait_window(title);
    Listener { attacker, globals, window, seat, pointer, keyboard }
}

impl Listener {
    fn roundtrip(&mut self) -> Vec<crate::raw::Event> {
        self.attacker.roundtrip(Deadline::patient()).expect("a live connection")
    }
}

fn cursor_huge() -> String {
    const SIDE: i32 = 2048;
    let mut stage = Stage::new();
    let mut listener = listener(&mut stage, HOSTILE, "cursor");
    stage.session.focus("cursor");
    stage.session.point("cursor");
    let enter = listener.attacker.wait_event(listener.pointer, 0).expect("the pointer enters");
    let serial = enter.word(0).unwrap_or_default();
    let surface = listener.attacker.create_surface(listener.globals).expect("a live connection");
    let memory = crate::hostile::stage::painted(u64::from(SIDE.unsigned_abs()).pow(2) * 4, PAINT);
    let pool = listener.attacker.create_pool(listener.globals, memory.fd(), SIDE * SIDE * 4).expect("a pool");
    let buffer = listener.attacker.create_buffer(pool, 0, (SIDE, SIDE), SIDE * 4).expect("a buffer");
    let set = Request::new(listener.pointer, 0).uint(serial).uint(surface).int(-5000).int(9000);
    listener.attacker.send(&set).expect("a live connection");
    listener.attacker.show_buffer(surface, buffer).expect("a live connection");
    listener.roundtrip();
    let windows = stage.session.windows();
    let image = stage.session.screenshot();
    crate::hostile::stage::assert_inside(&image, &windows, &[]);
    stage.assert_unharmed();
    "nothing of it is drawn".to_owned()
}

fn cursor_hide() -> String {
    let mut stage = Stage::new();
    let mut listener = listener(&mut stage, HOSTILE, "hider");
    stage.session.focus("victim");
    stage.session.point("hider");
    let enter = listener.attacker.wait_event(listener.pointer, 0).expect("the pointer enters");
    let shown = stage.session.screenshot();
    for _ in 0..20 {
        let hide =
            Request::new(listener.pointer, 0).uint(enter.word(0).unwrap_or_default()).uint(0).int(0).int(0);
        listener.attacker.send(&hide).expect("a live connection");
        listener.roundtrip();
        // The victim draws, so that there is another frame.
        let victim = stage.content("victim");
        stage.victim.draw();
        let image = stage.session.screenshot();
        let outside = |x: i32, y: i32| !crate::session::contains(victim, x, y);
        let all = crate::client::Rect::of_size(image.size().0, image.size().1);
        for (x, y) in crate::session::places(all).filter(|&(x, y)| outside(x, y)) {
            assert_eq!(image.pixel(x, y), shown.pixel(x, y), "the pointer is gone at ({x}, {y})");
        }
    }
    "the pointer stays in sight over its window".to_owned()
}

fn keys_during_steal() -> String {
    let mut stage = Stage::new();
    stage.session.focus("victim");
    stage.victim.client().roundtrip().expect("the victim lives");
    let mut typed = 0;
    let mut thieves = Vec::new();
    for number in 0..4 {
        stage.session.tap(KEY_A);
        let mut thief = stage.hostile();
        let title = ["thief 0", "thief 1", "thief 2", "thief 3"][number];
        let window = thief.window(&crate::client::WindowOptions::new(title, PAINT)).expect("a window");
        stage.session.wait_window(title);
        window.toplevel.set_maximized();
        window.toplevel.set_fullscreen(None);
        window.surface.commit();
        thief.roundtrip().expect("a live connection");
        stage.session.tap(KEY_B);
        typed += 4;
        thieves.push((thief, window));
    }
    for (thief, _) in &mut thieves {
        thief.roundtrip().expect("a live connection");
        let stolen = thief
            .state
            .input
            .iter()
            .find(|event| matches!(event, InputEvent::Key(..) | InputEvent::KeyboardEnter(_)));
        assert!(stolen.is_none(), "a window that opened has the keyboard: {stolen:?}");
    }
    let victim = stage.victim.client();
    victim
        .wait_until("all keys", |state| {
            state.input.iter().filter(|event| matches!(event, InputEvent::Key(..))).count() >= typed
        })
        .expect("the victim lives");
    format!("all {typed} presses and releases came to the window that had the keyboard")
}

/// A press on a client's window, with its serial.
fn pressed(stage: &mut Stage, listener: &mut Listener, title: &str) -> u32 {
    listener.roundtrip();
    stage.session.press(title);
    let event = listener.attacker.wait_event(listener.pointer, 3).expect("a press");
    stage.session.release();
    event.word(0).unwrap_or_default()
}

fn foreign_token() -> String {
    let mut stage = Stage::new();
    let mut giver = listener(&mut stage, VICTIM, "giver");
    let mut thief = listener(&mut stage, HOSTILE, "thief");
    stage.session.focus("giver");
    let serial = pressed(&mut stage, &mut giver, "giver");
    let activation = giver.attacker.bind("xdg_activation_v1", 1).expect("xdg_activation_v1");
    let token = giver.attacker.made(activation, 1, |request| request).expect("a live connection");
    giver.attacker.send(&Request::new(token, 0).uint(serial).uint(giver.seat)).expect("a live connection");
    giver.attacker.send(&Request::new(token, 2).uint(giver.window.surface)).expect("a live connection");
    giver.attacker.send(&Request::new(token, 3)).expect("a live connection");
    let given = giver.attacker.wait_event(token, 0).expect("a token");
    let token = given.string(0).expect("a token's text");
    let activation = thief.attacker.bind("xdg_activation_v1", 1).expect("xdg_activation_v1");
    for token in [token.as_str(), "", "vitrail", &token] {
        let activate = Request::new(activation, 2).string(token).uint(thief.window.surface);
        thief.attacker.send(&activate).expect("a live connection");
        thief.roundtrip();
    }
    let windows = stage.session.windows();
    let focused = windows.iter().find(|window| window.focused).map(|window| window.title.as_str());
    assert_eq!(focused, Some("giver"), "the keyboard has moved");
    "the keyboard stayed where it was".to_owned()
}

fn held_key() -> String {
    let mut stage = Stage::new();
    let mut listener = listener(&mut stage, HOSTILE, "next");
    stage.session.focus("victim");
    listener.roundtrip();
    // Who is told that nothing repeats has nothing to repeat by itself.
    let seat = listener.seat;
    let another = listener.attacker.made(seat, 1, |request| request).expect("a live connection");
    let repeats = listener.attacker.wait_event(another, 5).expect("how keys repeat");
    assert_eq!(repeats.word(0), Some(0), "a client of a VM is to repeat keys by itself");
    stage.key(KEY_A, true);
    stage.session.focus("next");
    let enter = listener.attacker.wait_event(listener.keyboard, 1).expect("the keyboard enters");
    assert_eq!(enter.word(2), Some(0), "a key that is held was told to the next VM");
    stage.key(KEY_A, false);
    let events = listener.roundtrip();
    let keys = events.iter().filter(|event| (event.object, event.opcode) == (listener.keyboard, 3)).count();
    assert_eq!(keys, 0, "the end of a key was told to the next VM");
    let victim = stage.victim.client();
    victim
        .wait_until("the end of its key", |state| state.input.contains(&InputEvent::Key(KEY_A, false)))
        .expect("the victim lives");
    "the VM before heard the end of the key, and the next VM nothing of it".to_owned()
}

fn lock_after_release() -> String {
    let mut stage = Stage::with(options().tables("[defaults.input]\npointer_lock = \"allow\"\n"));
    let mut listener = listener(&mut stage, HOSTILE, "game");
    stage.session.focus("game");
    stage.session.point("game");
    let constraints = listener.attacker.bind("zwp_pointer_constraints_v1", 1).expect("pointer constraints");
    let (surface, pointer) = (listener.window.surface, listener.pointer);
    let ask = |request: Request| request.uint(surface).uint(pointer).uint(0).uint(2);
    let lock = listener.attacker.made(constraints, 1, ask).expect("a live connection");
    listener.attacker.wait_event(lock, 0).expect("it is locked");
    // The user takes the input back.
    let key = |code: u32, pressed: bool| json!({"event": "key", "code": code, "pressed": pressed});
    stage.session.input(&[
        key(LEFT_LOGO, true),
        key(ESCAPE, true),
        key(ESCAPE, false),
        key(LEFT_LOGO, false),
    ]);
    listener.attacker.wait_event(lock, 1).expect("it is unlocked");
    listener.attacker.send(&Request::new(lock, 0)).expect("a live connection");
    let again = listener.attacker.made(constraints, 1, ask).expect("a live connection");
    listener.attacker.commit(surface).expect("a live connection");
    stage.session.input(&[json!({"event": "move_by", "dx": 3, "dy": 2})]);
    let events = listener.roundtrip();
    let locked = events.iter().any(|event| (event.object, event.opcode) == (again, 0));
    assert!(!locked, "the pointer is locked again");
    "the lock ended with the user's keys, and another one was not granted".to_owned()
}

fn idle_inhibit() -> String {
    let mut stage = Stage::new();
    let mut listener = listener(&mut stage, HOSTILE, "awake");
    stage.session.focus("victim");
    let manager = listener.attacker.bind("zwp_idle_inhibit_manager_v1", 1).expect("idle inhibitors");
    for _ in 0..10 {
        let surface = listener.window.surface;
        listener.attacker.made(manager, 1, |request| request.uint(surface)).expect("a live connection");
    }
    listener.roundtrip();
    let by = stage.report(&["status", "--json"])["idle_inhibited_by"].clone();
    assert!(by.is_null(), "the session is kept awake by {by}");
    stage.session.focus("awake");
    let by = stage.report(&["status", "--json"])["idle_inhibited_by"].clone();
    assert_eq!(by, HOSTILE, "an inhibitor in sight and with the keyboard counts");
    "it counts while its window has the keyboard, and not before".to_owned()
}

fn foreign_handle() -> String {
    let mut stage = Stage::with(options());
    let mut owner = listener(&mut stage, VICTIM, "owner");
    let mut thief = listener(&mut stage, HOSTILE, "thief");
    let exporter = owner.attacker.bind("zxdg_exporter_v2", 1).expect("zxdg_exporter_v2");
    let surface = owner.window.surface;
    let exported =
        owner.attacker.made(exporter, 1, |request| request.uint(surface)).expect("a live connection");
    let handle = owner.attacker.wait_event(exported, 0).expect("a handle");
    let handle = handle.string(0).expect("a handle's text");
    let importer = thief.attacker.bind("zxdg_importer_v2", 1).expect("zxdg_importer_v2");
    let mut refused = 0;
    for handle in [handle.as_str(), "0", &handle] {
        let imported =
            thief.attacker.made(importer, 1, |request| request.string(handle)).expect("a live connection");
        thief.attacker.wait_event(imported, 0).expect("the handle stands for nothing");
        refused += 1;
    }
    stage.assert_unharmed();
    format!("{refused} handles were answered alike, another VM's and none")
}
