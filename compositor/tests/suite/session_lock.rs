//! A locked session shows the lock and nothing else, and only who locked it unlocks it.

use smithay::utils::{Physical, Rectangle};
use vitrail::input::pointer::BUTTON_LEFT;
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_output::WlOutput;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::ext::session_lock::v1::client::ext_session_lock_manager_v1::ExtSessionLockManagerV1;
use wayland_protocols::ext::session_lock::v1::client::ext_session_lock_surface_v1::{
    self, ExtSessionLockSurfaceV1,
};
use wayland_protocols::ext::session_lock::v1::client::ext_session_lock_v1::{self, ExtSessionLockV1};
use wayland_protocols_wlr::layer_shell::v1::client::zwlr_layer_shell_v1::{Layer, ZwlrLayerShellV1};
use wayland_protocols_wlr::layer_shell::v1::client::zwlr_layer_surface_v1::{Anchor, KeyboardInteractivity};

use crate::client::Told;
use crate::fixture::{Fixture, LOCAL, WORK, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];
const GREEN: [u8; 4] = [0, 255, 0, 255];
/// Where nothing of a lock surface is.
const LOCKED: [u8; 4] = [15, 17, 23, 255];
const KEY_A: u32 = 30;

delegate_noop!(Told: ignore ExtSessionLockManagerV1);

impl Dispatch<ExtSessionLockV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ExtSessionLockV1,
        event: ext_session_lock_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            ext_session_lock_v1::Event::Locked => told.words.push(String::from("locked")),
            ext_session_lock_v1::Event::Finished => told.words.push(String::from("finished")),
            _ => {}
        }
    }
}

impl Dispatch<ExtSessionLockSurfaceV1, bool> for Told {
    fn event(
        told: &mut Self,
        surface: &ExtSessionLockSurfaceV1,
        event: ext_session_lock_surface_v1::Event,
        acknowledges: &bool,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let ext_session_lock_surface_v1::Event::Configure { serial, width, height } = event {
            if *acknowledges {
                surface.ack_configure(serial);
            }
            told.words.push(format!("{width}x{height}"));
        }
    }
}

/// A client asks for the lock.
fn ask(fixture: &mut Fixture, who: Who) -> ExtSessionLockV1 {
    let client = fixture.client(who);
    let queue = client.queue.clone();
    let lock = client.bind::<ExtSessionLockManagerV1>().lock(&queue, ());
    fixture.roundtrip(who);
    lock
}

fn has_heard(fixture: &mut Fixture, who: Who, word: &str) -> bool {
    fixture.client(who).told.words.iter().any(|other| other == word)
}

#[track_caller]
fn wait_word(fixture: &mut Fixture, who: Who, word: &str) {
    fixture.wait(word, |fixture| has_heard(fixture, who, word));
}

/// Locks, and waits until the client knows.
pub fn lock(fixture: &mut Fixture, who: Who) -> ExtSessionLockV1 {
    let lock = ask(fixture, who);
    wait_word(fixture, who, "locked");
    lock
}

fn create_surface(
    fixture: &mut Fixture,
    who: Who,
    lock: &ExtSessionLockV1,
    acknowledges: bool,
) -> (WlSurface, ExtSessionLockSurfaceV1) {
    let client = fixture.client(who);
    let (queue, output) = (client.queue.clone(), client.bind::<WlOutput>());
    let surface = client.surface();
    let role = lock.get_lock_surface(&surface, &output, &queue, acknowledges);
    fixture.roundtrip(who);
    (surface, role)
}

/// The lock's surface, in one colour.
fn show(fixture: &mut Fixture, who: Who, lock: &ExtSessionLockV1, color: [u8; 4]) -> WlSurface {
    let (surface, _) = create_surface(fixture, who, lock, true);
    fixture.client(who).draw_on(&surface, 400, 276, color);
    fixture.roundtrip(who);
    surface
}

fn space() -> Rectangle<i32, Physical> {
    Rectangle::new((0, 24).into(), (400, 276).into())
}

/// A window of a VM with a popup, a local window, a bar with the keyboard, and a client that may lock.
fn desktop(fixture: &mut Fixture) -> (Who, Who) {
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    let window = fixture.window(work, 200, 100, BLUE);
    let popup = fixture.client(work).create_popup(window, 180, 80, 60, 60);
    fixture.configured(work, popup, 0);
    fixture.client(work).draw(popup, 60, 60, YELLOW);
    fixture.roundtrip(work);
    let locker = fixture.connect(Origin::Local);
    fixture.client(locker).listen();
    (work, locker)
}

/// An overlay over everything that wants the keyboard.
fn overlay(fixture: &mut Fixture) -> Who {
    let who = fixture.connect(Origin::Local);
    fixture.client(who).listen();
    let client = fixture.client(who);
    let (surface, queue) = (client.surface(), client.queue.clone());
    let shell: ZwlrLayerShellV1 = client.bind();
    let layer = shell.get_layer_surface(&surface, None, Layer::Overlay, String::new(), &queue, true);
    layer.set_anchor(Anchor::all());
    layer.set_keyboard_interactivity(KeyboardInteractivity::Exclusive);
    surface.commit();
    fixture.roundtrip(who);
    fixture.roundtrip(who);
    fixture.client(who).draw_on(&surface, 400, 276, YELLOW);
    fixture.roundtrip(who);
    who
}

#[test]
fn a_locked_session_shows_nothing_of_any_window_layer_or_popup() {
    let mut fixture = Fixture::new();
    let (work, locker) = desktop(&mut fixture);
    overlay(&mut fixture);
    let lock = lock(&mut fixture, locker);
    fixture.screenshot().assert_solid("before the program has drawn", LOCKED, space());
    show(&mut fixture, locker, &lock, GREEN);
    fixture.screenshot().assert_solid("the lock", GREEN, space());
    // What is drawn and opened meanwhile does not come through either.
    fixture.window(work, 300, 200, YELLOW);
    overlay(&mut fixture);
    fixture.screenshot().assert_solid("the lock", GREEN, space());
    let stripe = fixture.screenshot().pixel(396, 10);
    assert!(stripe != WORK && stripe != LOCAL, "the stripe says that it is locked");
    lock.unlock_and_destroy();
    fixture.roundtrip(locker);
    let screen = fixture.screenshot();
    assert!(screen.other_than(YELLOW, space()).is_none(), "the overlay is there again");
    assert!(!fixture.client(locker).ended());
}

/// The event promises that nothing of a window can be seen any more.
#[test]
fn a_program_is_told_of_the_lock_after_a_frame_without_windows() {
    let mut fixture = Fixture::new();
    let (_, locker) = desktop(&mut fixture);
    // The next frame is due a while after this one.
    fixture.state().repaint();
    let frames = fixture.state().comp.schedule.frames();
    ask(&mut fixture, locker);
    wait_word(&mut fixture, locker, "locked");
    assert!(fixture.state().comp.schedule.frames() > frames, "told before a frame");
    let picture = fixture.state().backend.last_frame().unwrap();
    crate::fixture::Screen(picture).assert_solid("the frame that was drawn", LOCKED, space());
}

#[test]
fn a_crash_of_the_program_keeps_the_session_locked_and_another_takes_over() {
    let mut fixture = Fixture::new();
    let (work, locker) = desktop(&mut fixture);
    let lock = lock(&mut fixture, locker);
    show(&mut fixture, locker, &lock, GREEN);
    // What ends a connection: a lock cannot be destroyed while it locks.
    lock.destroy();
    fixture.wait("the end", |fixture| fixture.client(locker).ended());
    fixture.roundtrip(work);
    fixture.screenshot().assert_solid("without the program", LOCKED, space());
    fixture.click(100, 100);
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_key(KEY_A, false);
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.keyboard.is_none() && fixture.client(work).told.pointer.is_none());
    assert!(fixture.client(work).told.keys.is_empty());
    // Out of the picture.
    fixture.state().input_pointer_motion(200.0, 2.0);
    let second = fixture.connect(Origin::Local);
    fixture.client(second).listen();
    let lock = self::lock(&mut fixture, second);
    show(&mut fixture, second, &lock, YELLOW);
    fixture.screenshot().assert_solid("the second program", YELLOW, space());
    assert!(fixture.client(second).told.keyboard.is_some());
    lock.unlock_and_destroy();
    fixture.roundtrip(second);
    assert_ne!(fixture.screenshot().pixel(399, 299), YELLOW);
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.keyboard.is_some());
}

/// Smithay's own handler of 0.7 sends such a program an error and unlocks all the same.
#[test]
fn a_program_that_was_refused_the_lock_cannot_unlock() {
    let mut fixture = Fixture::new();
    let (_, locker) = desktop(&mut fixture);
    let held = lock(&mut fixture, locker);
    show(&mut fixture, locker, &held, GREEN);
    let other = fixture.connect(Origin::Local);
    let refused = ask(&mut fixture, other);
    wait_word(&mut fixture, other, "finished");
    // Its surface is for nothing.
    show(&mut fixture, other, &refused, YELLOW);
    fixture.screenshot().assert_solid("the lock", GREEN, space());
    refused.unlock_and_destroy();
    fixture.wait("the end", |fixture| fixture.client(other).ended());
    let error = fixture.client(other).error();
    let invalid_unlock = ext_session_lock_v1::Error::InvalidUnlock as u32;
    assert_eq!(error, Some((String::from("ext_session_lock_v1"), invalid_unlock)));
    assert!(fixture.state().comp.lock.is_locked());
    fixture.screenshot().assert_solid("the lock", GREEN, space());
    // One that goes in order changes nothing.
    let third = fixture.connect(Origin::Local);
    ask(&mut fixture, third).destroy();
    fixture.roundtrip(third);
    assert!(!fixture.client(third).ended() && fixture.state().comp.lock.is_locked());
}

#[test]
fn keys_and_buttons_that_are_held_end_for_the_vm_and_go_to_nobody() {
    let mut fixture = Fixture::new();
    let (work, locker) = desktop(&mut fixture);
    let content = fixture.report()[0].content;
    let (x, y) = (f64::from(content.loc.x + 3), f64::from(content.loc.y + 3));
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_pointer_motion(x, y);
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.roundtrip(work);
    fixture.client(work).told.log.clear();
    let lock = lock(&mut fixture, locker);
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.keys, [(KEY_A, true), (KEY_A, false)]);
    assert!(fixture.client(work).told.keyboard.is_none());
    // The pointer leaves before the button is let go, so it is no click.
    assert_eq!(fixture.client(work).told.releases, 0);
    assert_eq!(fixture.client(work).told.log.last().map(String::as_str), Some("frame"));
    assert!(fixture.client(work).told.log.contains(&String::from("leave")));
    fixture.client(work).told.log.clear();
    show(&mut fixture, locker, &lock, GREEN);
    fixture.state().input_key(KEY_A, false);
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    fixture.state().input_pointer_motion(x + 1.0, y);
    fixture.roundtrip(locker);
    assert_eq!(fixture.client(locker).told.releases, 0, "half a click reached the lock");
    assert!(fixture.client(locker).told.keyboard.is_some() && fixture.client(locker).told.pointer.is_some());
    assert!(fixture.client(locker).told.keys.is_empty(), "half a key reached the lock");
    // A whole one does, and nothing reaches the VM.
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_key(KEY_A, false);
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    fixture.state().input_touch_down(0, x, y);
    fixture.state().input_touch_up(0);
    fixture.roundtrip(locker);
    fixture.roundtrip(work);
    assert_eq!(fixture.client(locker).told.keys, [(KEY_A, true), (KEY_A, false)]);
    assert_ne!(fixture.client(locker).told.press, 0);
    assert_eq!(fixture.client(work).told.keys.len(), 2);
    assert!(fixture.client(work).told.log.is_empty(), "{:?}", fixture.client(work).told.log);
}

#[test]
fn the_compositors_keys_do_nothing_to_windows_while_it_is_locked() {
    let mut fixture = Fixture::new();
    let (work, locker) = desktop(&mut fixture);
    let web = fixture.connect(vm("web"));
    fixture.window(web, 100, 50, BLUE);
    let order =
        |fixture: &mut Fixture| fixture.report().into_iter().map(|window| window.vm).collect::<Vec<_>>();
    let before = order(&mut fixture);
    let lock = lock(&mut fixture, locker);
    show(&mut fixture, locker, &lock, GREEN);
    let (leftmeta, tab, q) = (125, 15, 16);
    for key in [tab, q] {
        for (key, pressed) in [(leftmeta, true), (key, true), (key, false), (leftmeta, false)] {
            fixture.state().input_key(key, pressed);
        }
    }
    fixture.roundtrip(work);
    fixture.roundtrip(web);
    assert_eq!(order(&mut fixture), before);
    assert!(!fixture.client(work).told.shown[0].asked_to_close);
    assert!(!fixture.client(web).told.shown[0].asked_to_close);
    fixture.roundtrip(locker);
    assert!(fixture.client(locker).told.keys.contains(&(tab, true)), "they are the lock's");
}

#[test]
fn a_lock_that_is_given_up_before_it_is_told_leaves_the_session_open() {
    let mut fixture = Fixture::new();
    let (work, locker) = desktop(&mut fixture);
    let client = fixture.client(locker);
    let queue = client.queue.clone();
    let lock = client.bind::<ExtSessionLockManagerV1>().lock(&queue, ());
    lock.destroy();
    fixture.roundtrip(locker);
    assert!(!fixture.client(locker).ended() && !fixture.state().comp.lock.is_locked());
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.keyboard.is_some());
}

#[test]
fn mistakes_of_the_program_end_it_and_keep_the_session_locked() {
    use ext_session_lock_surface_v1::Error;
    type Mistake = fn(&mut Fixture, Who, &ExtSessionLockV1);
    let surface = "ext_session_lock_surface_v1";
    let cases: [(&str, u32, Mistake); 6] = [
        (surface, Error::CommitBeforeFirstAck as u32, |fixture, who, lock| {
            create_surface(fixture, who, lock, false).0.commit();
        }),
        (surface, Error::NullBuffer as u32, |fixture, who, lock| {
            let shown = show(fixture, who, lock, GREEN);
            shown.attach(None, 0, 0);
            shown.commit();
        }),
        (surface, Error::DimensionsMismatch as u32, |fixture, who, lock| {
            let (shown, _) = create_surface(fixture, who, lock, true);
            fixture.client(who).draw_on(&shown, 400, 300, GREEN);
        }),
        (surface, Error::InvalidSerial as u32, |fixture, who, lock| {
            create_surface(fixture, who, lock, true).1.ack_configure(7);
        }),
        ("ext_session_lock_v1", ext_session_lock_v1::Error::DuplicateOutput as u32, |fixture, who, lock| {
            create_surface(fixture, who, lock, true);
            create_surface(fixture, who, lock, true);
        }),
        (
            "ext_session_lock_v1",
            ext_session_lock_v1::Error::AlreadyConstructed as u32,
            |fixture, who, lock| {
                let client = fixture.client(who);
                let (queue, output) = (client.queue.clone(), client.bind::<WlOutput>());
                let drawn = client.surface();
                client.draw_on(&drawn, 400, 276, GREEN);
                lock.get_lock_surface(&drawn, &output, &queue, true);
            },
        ),
    ];
    let mut fixture = Fixture::new();
    desktop(&mut fixture);
    for (index, (interface, code, mistake)) in cases.into_iter().enumerate() {
        let who = fixture.connect(Origin::Local);
        let lock = lock(&mut fixture, who);
        mistake(&mut fixture, who, &lock);
        fixture.wait("the end", |fixture| fixture.client(who).ended());
        let error = fixture.client(who).error();
        assert_eq!(error, Some((interface.to_owned(), code)), "case {index}");
        fixture.screenshot().assert_solid("the locked session", LOCKED, space());
    }
}

#[test]
fn a_lock_surface_that_is_destroyed_leaves_the_plain_colour_and_another_may_follow() {
    let mut fixture = Fixture::new();
    let (work, locker) = desktop(&mut fixture);
    let lock = lock(&mut fixture, locker);
    let (surface, role) = create_surface(&mut fixture, locker, &lock, true);
    fixture.client(locker).draw_on(&surface, 400, 276, GREEN);
    fixture.roundtrip(locker);
    role.destroy();
    surface.destroy();
    fixture.roundtrip(locker);
    fixture.screenshot().assert_solid("without it", LOCKED, space());
    assert!(fixture.client(locker).told.keyboard.is_none());
    show(&mut fixture, locker, &lock, YELLOW);
    fixture.screenshot().assert_solid("the next", YELLOW, space());
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.keyboard.is_none());
}

#[test]
fn windows_get_their_frames_while_it_is_locked_and_do_not_learn_of_it() {
    let mut fixture = Fixture::new();
    let (work, locker) = desktop(&mut fixture);
    let lock = lock(&mut fixture, locker);
    show(&mut fixture, locker, &lock, GREEN);
    let queue = fixture.client(work).queue.clone();
    let surface = fixture.client(work).told.shown[0].surface.clone();
    surface.frame(&queue, ());
    surface.commit();
    fixture.wait("a frame callback", |fixture| fixture.client(work).told.frames == 1);
}

fn current(fixture: &mut Fixture) -> usize {
    fixture.state().comp.shell.workspaces().current()
}

#[test]
fn a_lock_takes_the_overlay_away_ends_what_is_held_and_chooses_nothing() {
    let mut fixture = Fixture::new();
    let (work, locker) = desktop(&mut fixture);
    let web = fixture.connect(vm("web"));
    fixture.window(web, 100, 50, BLUE);
    let focused = fixture.report().into_iter().find(|window| window.focused).unwrap().vm;
    let (meta, tab) = (125, 15);
    fixture.state().input_key(meta, true);
    fixture.state().input_key(tab, true);
    assert!(fixture.state().is_repeating());
    let lock = lock(&mut fixture, locker);
    assert!(!fixture.state().is_repeating());
    fixture.screenshot().assert_solid("the lock", LOCKED, space());
    show(&mut fixture, locker, &lock, GREEN);
    fixture.screenshot().assert_solid("the lock", GREEN, space());
    fixture.client(locker).told.keys.clear();
    // What comes up now was kept, or the window's, and closes no overlay.
    fixture.state().input_key(tab, false);
    fixture.state().input_key(meta, false);
    fixture.state().input_pointer_motion(200.0, 200.0);
    fixture.roundtrip(locker);
    assert!(!fixture.client(locker).told.keys.contains(&(tab, false)));
    assert!(fixture.client(locker).told.pointer.is_some(), "the pointer is the lock's");
    lock.unlock_and_destroy();
    fixture.roundtrip(locker);
    assert_eq!(fixture.report().into_iter().find(|window| window.focused).unwrap().vm, focused);
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.keyboard.is_some());
}

#[test]
fn a_held_chord_is_not_done_again_behind_the_lock() {
    let mut fixture =
        Fixture::written("[keys]\n\"logo+x\" = { action = \"next-workspace\", repeat = true }\n");
    let locker = fixture.connect(Origin::Local);
    let (meta, x) = (125, 45);
    fixture.state().input_key(meta, true);
    fixture.state().input_key(x, true);
    fixture.wait("the second time", |fixture| current(fixture) == 2);
    lock(&mut fixture, locker);
    assert!(!fixture.state().is_repeating());
    assert_eq!(current(&mut fixture), 2);
    // Nor does the chord do anything that is pressed now.
    fixture.state().input_key(x, false);
    fixture.state().input_key(x, true);
    assert!(!fixture.state().is_repeating());
    assert_eq!(current(&mut fixture), 2);
}

/// Somebody locks the session with a key down. What that key was waited for is not done behind the lock, and of what its release
/// does a program is started, such as the one that switches the microphone off, and nothing is done to windows.
#[test]
fn a_chord_that_is_held_when_the_session_is_locked_only_ends_its_program() {
    let directory = tempfile::tempdir().unwrap();
    let ended = directory.path().join("ended");
    let mut fixture = Fixture::written(&format!(
        "[keys]\n\"logo+x\" = {{ hold = \"workspace-2\", release = {{ run = [\"touch\", \"{}\"] }} }}\n\
         \"logo+y\" = {{ release = \"workspace-3\" }}\n",
        ended.display()
    ));
    let locker = fixture.connect(Origin::Local);
    let (meta, x, y) = (125, 45, 21);
    for key in [meta, y, x] {
        fixture.state().input_key(key, true);
    }
    lock(&mut fixture, locker);
    for key in [x, y, meta] {
        fixture.state().input_key(key, false);
    }
    fixture.wait("the program", |_| ended.exists());
    assert_eq!(current(&mut fixture), 0);
}

#[test]
fn the_stripe_of_a_locked_session_tells_no_workspaces_and_goes_to_none() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let locker = fixture.connect(Origin::Local);
    fixture.screenshot();
    let places: Vec<_> =
        (0..800).filter(|x| fixture.state().comp.decor.workspace_at((*x, 10).into()).is_some()).collect();
    assert!(!places.is_empty());
    // Before a locked frame, and after it.
    let _lock = ask(&mut fixture, locker);
    for _ in 0..2 {
        for x in &places {
            fixture.click(*x, 10);
            fixture.state().input_touch_down(0, f64::from(*x), 10.0);
            fixture.state().input_touch_up(0);
            assert_eq!(current(&mut fixture), 0);
        }
        fixture.state().input_pointer_motion(5.0, 590.0);
        let screen = fixture.screenshot();
        let ground = screen.pixel(790, 12);
        screen.assert_solid("the right end", ground, Rectangle::new((400, 2).into(), (400, 20).into()));
    }
}

#[test]
fn a_window_in_the_users_hand_stays_where_it_was_when_the_session_is_locked() {
    let mut fixture = Fixture::new();
    let (_, locker) = desktop(&mut fixture);
    let frame = fixture.report()[0].frame;
    fixture.state().input_pointer_motion(f64::from(frame.loc.x + 100), f64::from(frame.loc.y + 12));
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.state().input_pointer_motion(0.0, 150.0);
    let lock = lock(&mut fixture, locker);
    // Not where the pointer is.
    let above = Rectangle::new(space().loc, (400, 100).into());
    fixture.screenshot().assert_solid("the lock, and no ring", LOCKED, above);
    fixture.state().input_pointer_motion(399.0, 150.0);
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    lock.unlock_and_destroy();
    fixture.roundtrip(locker);
    assert_eq!(fixture.report()[0].frame.size, frame.size, "it was not dropped at an edge");
}
