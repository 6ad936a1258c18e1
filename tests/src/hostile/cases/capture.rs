//! Rows 21 and 40: what a picture of the screen shows of a VM, and what is behind a lock.

use std::path::PathBuf;

use serde_json::json;
use vitrail_protocols::Guard;

use crate::client::{Client, Rect, Window, WindowOptions};
use crate::deadline::Deadline;
use crate::hostile::Case;
use crate::hostile::stage::{HOSTILE, PAINT, Place, Stage, options};
use crate::image::Image;
use crate::process::{Exit, Process};
use crate::raw::Request;

const CAPTURE: &[Guard] = &[Guard::Capture];

pub(super) const CASES: &[Case] = &[
    Case::new(
        21,
        "excluded-screenshot",
        "a VM that pictures must not show, with its popups, its pointer and its closing windows",
        CAPTURE,
        excluded_screenshot,
    ),
    Case::new(
        21,
        "screenshot-during-reload",
        "pictures while the rules are read again",
        CAPTURE,
        screenshot_during_reload,
    ),
    Case::new(
        40,
        "behind-the-lock",
        "windows and popups of a VM while the session is locked",
        &[Guard::Lock],
        behind_the_lock,
    ),
];

/// A stage in which grim may take pictures, and the attacking VM is left out of them or black.
fn guarded(rule: &'static str) -> (Stage, Client, Window) {
    let options = options().capture(HOSTILE, rule).animated(600).tables("[capture]\nallow = [\"grim\"]\n");
    let mut stage = Stage::with(options);
    let (client, window) = stage.window_as(&WindowOptions::new("secret", PAINT).size(300, 200));
    (stage, client, window)
}

/// Starts grim, which takes a picture.
fn start(stage: &Stage, name: &str) -> (Process, PathBuf) {
    let path = stage.session.root().join(format!("{name}.png"));
    let line = ["grim", "-c", path.to_str().expect("a path in text")];
    (stage.session.start_local(name, &line), path)
}

/// Asserts that a picture has nothing of the VM, and returns its size.
fn assert_nothing((grim, path): &(Process, PathBuf), what: &str) -> usize {
    assert_eq!(grim.wait_exit(Deadline::patient()), Exit::Status(0), "{}", grim.log());
    let image = Image::read(path);
    let screen = Rect::of_size(image.size().0, image.size().1);
    let seen = image.count(screen, PAINT);
    assert_eq!(seen, 0, "{what}: {seen} pixels of it are in the picture");
    (image.size().0 * image.size().1).unsigned_abs() as usize
}

fn excluded_screenshot() -> String {
    let mut looked = 0;
    for rule in ["black", "omit"] {
        let (mut stage, mut client, window) = guarded(rule);
        let shown = stage.session.screenshot();
        assert!(shown.count(Rect::of_size(800, 600), PAINT) > 0, "it is not on the screen either");
        looked += assert_nothing(&start(&stage, "window"), "the window");
        let popup = client
            .popup(&window.xdg_surface, Rect { x: 250, y: 150, w: 120, h: 120 }, PAINT)
            .expect("a popup");
        client.roundtrip().expect("a live connection");
        stage.session.point("secret");
        looked += assert_nothing(&start(&stage, "popup"), "its popup");
        drop(popup);
        let closing = start(&stage, "closing");
        window.toplevel.destroy();
        window.xdg_surface.destroy();
        window.surface.destroy();
        client.roundtrip().expect("a live connection");
        looked += assert_nothing(&closing, "while it closes");
        looked += assert_nothing(&start(&stage, "closed"), "after it has closed");
    }
    format!("{looked} pixels of 8 pictures, and none of the VM's")
}

fn screenshot_during_reload() -> String {
    let (mut stage, _client, _window) = guarded("omit");
    let mut looked = 0;
    for number in 0..6 {
        let grim = start(&stage, &format!("reload-{number}"));
        stage.session.control(&["reload"]);
        stage.victim.draw();
        stage.session.control(&["reload"]);
        // The answer of the user or the configuration counts until it is read again: grim may be told to ask anew.
        let exit = grim.0.wait_exit(Deadline::patient());
        if exit == Exit::Status(0) {
            looked += assert_nothing(&grim, "during a reload");
        }
    }
    assert!(looked > 0, "no picture was taken");
    stage.assert_unharmed();
    format!("{looked} pixels of pictures during reloads, and none of the VM's")
}

fn behind_the_lock() -> String {
    let mut stage = Stage::new();
    let (mut client, mut window) = stage.window("secret");
    let mut locker = stage.raw("local", Place::Application);
    let manager = locker.bind("ext_session_lock_manager_v1", 1).expect("the lock's manager");
    let lock = locker.made(manager, 1, |request| request).expect("a live connection");
    locker.wait_event(lock, 0).expect("the session is locked");
    let screen = Rect::of_size(800, 600);
    let mut looked = 0;
    for step in 0..5 {
        // Nothing that is drawn behind the lock is answered, so nothing is waited for.
        client.show(&window).expect("a buffer");
        window.toplevel.set_fullscreen(None);
        client.roundtrip().expect("a live connection");
        let _late = client.window(&WindowOptions::new("late", PAINT));
        stage.session.input(&[json!({"event": "move", "x": 100 + step, "y": 100})]);
        let image = stage.session.screenshot();
        assert_eq!(image.count(screen, PAINT), 0, "a locked session shows it");
        looked += 1;
    }
    locker.send(&Request::new(lock, 2)).expect("a live connection");
    locker.roundtrip(Deadline::patient()).expect("a live connection");
    client.recolor(&mut window, PAINT).expect("a frame");
    assert!(stage.session.screenshot().count(screen, PAINT) > 0, "it does not come back");
    format!("nothing of it in {looked} pictures of the locked screen")
}
