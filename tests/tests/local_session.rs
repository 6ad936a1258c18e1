//! Programs of a desktop session, local ones from Debian, beside the windows of a VM.

use rustix::process::Signal;
use vitrail_tests::client::{Rect, WindowOptions};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::image::Image;
use vitrail_tests::process::Exit;
use vitrail_tests::session::{LOCAL_COLOR, Session, VM_COLORS};

const WINDOW: u32 = 0x0012_3456;
const WALLPAPER: u32 = 0x0022_66aa;
const LOCK: u32 = 0x0000_ff00;
const SECOND_LOCK: u32 = 0x00ff_8800;
/// Of a locked session where no program draws.
const LOCKED: u32 = 0x000f_1117;

/// Whether all pixels of a rectangle have a colour.
fn is_all(image: &Image, rect: Rect, color: u32) -> bool {
    let all = usize::try_from(rect.w * rect.h).expect("a rectangle of the screen");
    image.count(rect, color) == all
}

/// What the stripe's beginning shows: the colour of who has the keyboard.
fn keyboard(image: &Image) -> Option<u32> {
    image.pixel(1, 1)
}

#[test]
fn a_swaylock_that_crashes_leaves_nothing_of_a_vms_window_and_another_takes_over() {
    let mut session = Session::start(&["work"]);
    let mut client = session.client("work");
    let mut window = client.window(&WindowOptions::new("secret", WINDOW)).unwrap();
    session.wait_window("secret");
    let rect = session.below_the_stripe();
    let shown = session.windows()[0].content();
    assert!(session.screenshot().count(shown, WINDOW) > 1000);
    let first = session.start_local("swaylock", &["swaylock", "--color=00ff00", "--no-unlock-indicator"]);
    session.wait_screen("the lock", |image| is_all(image, rect, LOCK));
    first.signal(Signal::KILL);
    assert_eq!(first.wait_exit(Deadline::patient()), Exit::Signal(Signal::KILL.as_raw()));
    session.wait_screen("the lock without its program", |image| is_all(image, rect, LOCKED));
    // The VM draws, and it does not show.
    client.recolor(&mut window, 0x00ab_cdef).unwrap();
    session.tap(30);
    assert!(is_all(&session.screenshot(), rect, LOCKED));
    assert!(session.control(&["status"]).contains("session        locked"));
    let _second = session.start_local("swaylock-2", &["swaylock", "--color=ff8800", "--no-unlock-indicator"]);
    session.wait_screen("the second lock", |image| is_all(image, rect, SECOND_LOCK));
}

#[test]
fn a_launcher_takes_the_keyboard_from_a_vms_window_over_a_wallpaper_and_gives_it_back() {
    let mut session = Session::start(&["work"]);
    let mut client = session.client("work");
    let _window = client.window(&WindowOptions::new("used", WINDOW)).unwrap();
    session.wait_window("used");
    let (_, work) = VM_COLORS[0];
    let _wallpaper = session.start_local("swaybg", &["swaybg", "--color=#2266aa"]);
    let (w, h) = session.size();
    let corner = Rect { x: w - 40, y: h - 40, w: 40, h: 40 };
    let image = session.wait_screen("the wallpaper", |image| is_all(image, corner, WALLPAPER));
    let content = session.windows()[0].content();
    assert!(is_all(&image, content, WINDOW), "the wallpaper is below the window");
    assert_eq!(keyboard(&image), Some(work));
    let launcher = session.start_local("fuzzel", &["sh", "-c", "echo word | fuzzel --dmenu --no-icons"]);
    session.wait_screen("the launcher", |image| keyboard(image) == Some(LOCAL_COLOR));
    assert!(!session.windows()[0].focused);
    session.control(&["input", "key", "esc", "tap"]);
    // 1 is its status for nothing chosen.
    assert_eq!(launcher.wait_exit(Deadline::patient()), Exit::Status(1));
    session.wait_screen("the keyboard", |image| keyboard(image) == Some(work));
    assert!(session.windows()[0].focused);
}
