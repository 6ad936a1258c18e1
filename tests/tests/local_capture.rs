//! grim, slurp and wl-clipboard from Debian, as local programs beside the windows of VMs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use vitrail_tests::client::{Rect, Selection, WindowOptions};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::image::Image;
use vitrail_tests::person::Person;
use vitrail_tests::process::{self, Exit, Process};
use vitrail_tests::session::{BUTTON_LEFT, Options, Session};

const WORK: u32 = 0x0012_3456;
const PERSONAL: u32 = 0x00ab_cdef;
/// Of the stripe while somebody takes pictures, and of the answer that Enter gives.
const CAPTURING: u32 = 0x00ff_5c5c;
const CHOSEN: u32 = 0x008a_b4f8;

/// Starts an installed program of the GUI VM, and has its output written to a file.
#[track_caller]
fn start(session: &Session, name: &str, line: &[&str]) -> (Process, PathBuf) {
    assert!(process::is_installed(line[0]), "{} is not installed; `cargo xtask setup` does it", line[0]);
    let output = session.root().join(format!("{name}.out"));
    let mut command = session.application("local", line[0]);
    command.args(&line[1..]).stdin(Stdio::null());
    let shell = format!("exec \"$@\" > {}", output.display());
    let mut through = session.application("local", "sh");
    through.args(["-c", &shell, "sh"]).args(line);
    (Process::start(name, &session.logs(), &mut through, &[]), output)
}

/// Runs a program to its end, which is to be a good one, and returns what it wrote.
#[track_caller]
fn run(session: &Session, name: &str, line: &[&str]) -> String {
    let (program, output) = start(session, name, line);
    assert_eq!(program.wait_exit(Deadline::patient()), Exit::Status(0), "{}", program.log());
    fs::read_to_string(output).expect("its output")
}

/// Takes a picture with grim.
#[track_caller]
fn grim(session: &Session, name: &str, options: &[&str]) -> Image {
    let path = session.root().join(format!("{name}.png"));
    let mut line = vec!["grim"];
    line.extend(options);
    line.push(path.to_str().expect("a path"));
    run(session, name, &line);
    Image::read(&path)
}

/// Waits until the screen is as it should be; looks again with each frame.
#[track_caller]
fn wait_screen(session: &mut Session, what: &str, as_it_should: impl Fn(&Image) -> bool) -> Image {
    let deadline = Deadline::patient();
    let mut frame = 0;
    loop {
        let drawn = session.changed_frame(frame, deadline);
        frame = drawn.unwrap_or_else(|| panic!("gave up waiting for {what}"));
        let image = session.screenshot();
        if as_it_should(&image) {
            return image;
        }
    }
}

/// The screen without its stripe, which says that pictures are taken.
fn below_the_stripe(session: &Session) -> Rect {
    let (w, h) = session.size();
    Rect { x: 0, y: 24, w, h: h - 24 }
}

fn is_capturing(image: &Image) -> bool {
    image.count(Rect { x: 0, y: 0, w: image.size().0, h: 24 }, CAPTURING) > 0
}

fn is_asking(image: &Image) -> bool {
    let (w, h) = image.size();
    image.count(Rect { x: 0, y: 24, w, h: h - 24 }, CHOSEN) > 500
}

/// A session in which grim need not ask, with a window of `work` and one of `personal`, which is black in pictures.
fn two_windows() -> (Session, [vitrail_tests::client::Client; 2], [vitrail_tests::client::Window; 2]) {
    let options = Options::new(&["work", "personal"])
        .capture("personal", "black")
        .tables("[capture]\nallow = [\"grim\"]\n");
    let mut session = Session::with(options);
    let mut clients = ["work", "personal"].map(|vm| session.client(vm));
    let [work, personal] = &mut clients;
    let first = work.window(&WindowOptions::new("shown", WORK)).expect("a window");
    session.wait_window("shown");
    let second = personal.window(&WindowOptions::new("black", PERSONAL)).expect("a window");
    session.wait_window("black");
    (session, clients, [first, second])
}

#[test]
fn grims_picture_is_the_screen_but_for_a_vm_that_is_black() {
    let (mut session, _clients, _windows) = two_windows();
    let picture = grim(&session, "whole", &[]);
    let screen = session.screenshot();
    assert_eq!(picture.size(), session.size());
    let content = |session: &mut Session, title: &str| {
        session.windows().into_iter().find(|w| w.title == title).map(|w| w.content())
    };
    let (shown, black) = (content(&mut session, "shown").unwrap(), content(&mut session, "black").unwrap());
    let all = below_the_stripe(&session);
    assert!(screen.count(shown, WORK) > 1000 && screen.count(black, PERSONAL) > 1000);
    assert!(picture.count(all, WORK) > 1000);
    assert_eq!(picture.count(all, PERSONAL), 0);
    assert!(picture.count(black, 0) > 1000);
    // Every pixel outside the frame of the black window is that of the screen.
    let frame = session.windows().into_iter().find(|window| window.title == "black").unwrap().frame();
    for (x, y) in (24..all.y + all.h).flat_map(|y| (0..all.w).map(move |x| (x, y))) {
        let inside = (frame.x..frame.x + frame.w).contains(&x) && (frame.y..frame.y + frame.h).contains(&y);
        assert!(inside || picture.pixel(x, y) == screen.pixel(x, y), "{x},{y}");
    }
    wait_screen(&mut session, "the end of the sign", |image| !is_capturing(image));
}

#[test]
fn the_stripe_says_that_grim_takes_a_picture() {
    let (mut session, _clients, _windows) = two_windows();
    let (program, _) = start(&session, "grim-sign", &["grim", "-t", "ppm", "-"]);
    wait_screen(&mut session, "the sign", is_capturing);
    assert_eq!(program.wait_exit(Deadline::patient()), Exit::Status(0), "{}", program.log());
    wait_screen(&mut session, "the end of the sign", |image| !is_capturing(image));
}

#[test]
fn grim_takes_a_part_and_the_pointer() {
    let mut session = Session::with(Options::new(&["work"]).tables("[capture]\nallow = [\"grim\"]\n"));
    let mut client = session.client("work");
    let _window = client.window(&WindowOptions::new("pointed", WORK)).expect("a window");
    session.wait_window("pointed");
    let (x, y, w, h) = (40, 30, 200, 150);
    session.input(&[serde_json::json!({"event": "move", "x": 100, "y": 100})]);
    let without = grim(&session, "part", &["-g", &format!("{x},{y} {w}x{h}")]);
    let with = grim(&session, "pointer", &["-c", "-g", &format!("{x},{y} {w}x{h}")]);
    let screen = session.screenshot();
    assert_eq!(without.size(), (w, h));
    let mut different = 0;
    for (px, py) in (0..h).flat_map(|py| (0..w).map(move |px| (px, py))) {
        assert_eq!(with.pixel(px, py), screen.pixel(x + px, y + py), "{px},{py}");
        different += usize::from(without.pixel(px, py) != with.pixel(px, py));
    }
    assert!((30..600).contains(&different), "{different} pixels of the pointer");
}

#[test]
fn grim_asks_and_gets_nothing_if_denied_and_its_picture_if_allowed() {
    let mut session = Session::start(&["work"]);
    let mut client = session.client("work");
    let _window = client.window(&WindowOptions::new("asked", WORK)).expect("a window");
    session.wait_window("asked");
    let path = session.root().join("asked.png");
    let line = ["grim", path.to_str().expect("a path")];
    let (first, _) = start(&session, "grim-denied", &line);
    let asked = wait_screen(&mut session, "the question", is_asking);
    keep(&mut session, "question.png");
    assert!(asked.count(below_the_stripe(&session), WORK) == 0, "everything behind it is dimmed");
    session.control(&["input", "key", "esc", "tap"]);
    assert_ne!(first.wait_exit(Deadline::patient()), Exit::Status(0));
    assert!(fs::metadata(&path).is_err() || fs::metadata(&path).is_ok_and(|file| file.len() == 0));
    // It is not asked about again, before the configuration is read again.
    let (second, _) = start(&session, "grim-again", &line);
    assert_ne!(second.wait_exit(Deadline::patient()), Exit::Status(0));
    assert!(!is_asking(&session.screenshot()));
    session.control(&["reload"]);
    let (third, _) = start(&session, "grim-allowed", &line);
    wait_screen(&mut session, "the question", is_asking);
    session.control(&["input", "key", "tab", "tap"]);
    session.control(&["input", "key", "enter", "tap"]);
    assert_eq!(third.wait_exit(Deadline::patient()), Exit::Status(0), "{}", third.log());
    let picture = Image::read(&path);
    assert!(picture.count(below_the_stripe(&session), WORK) > 1000);
    assert!(!is_asking(&picture));
}

/// Waits until a file has some words in it.
#[track_caller]
fn wait_words(path: &Path, words: &str) {
    let has = || fs::read_to_string(path).is_ok_and(|text| text.contains(words));
    assert!(process::wait_for_change(path, Deadline::patient(), has), "{words} did not appear");
}

/// Keeps a screenshot where the build puts its other results.
#[track_caller]
fn keep(session: &mut Session, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("local_capture");
    fs::create_dir_all(&folder).expect("a folder");
    session.save_screenshot(&folder.join(name));
}

#[test]
fn slurp_gives_the_part_that_was_chosen_and_grim_takes_it() {
    let (mut session, _clients, _windows) = two_windows();
    let (slurp, output) = start(&session, "slurp", &["slurp"]);
    // Its dim cover is over the windows.
    let all = below_the_stripe(&session);
    wait_screen(&mut session, "slurp", |image| image.count(all, WORK) == 0);
    let motion = |x: i32, y: i32| serde_json::json!({"event": "move", "x": x, "y": y});
    let button =
        |pressed: bool| serde_json::json!({"event": "button", "code": BUTTON_LEFT, "pressed": pressed});
    session.input(&[motion(200, 150), button(true)]);
    session.input(&[motion(300, 200)]);
    session.input(&[motion(520, 400), button(false)]);
    assert_eq!(slurp.wait_exit(Deadline::patient()), Exit::Status(0), "{}", slurp.log());
    let geometry = fs::read_to_string(output).expect("its output");
    // Both ends are in it.
    assert_eq!(geometry.trim(), "200,150 321x251");
    wait_screen(&mut session, "the windows", |image| image.count(all, WORK) > 1000);
    let picture = grim(&session, "chosen", &["-g", geometry.trim()]);
    assert_eq!(picture.size(), (321, 251));
}

#[test]
fn wl_paste_watches_what_wl_copy_copies_and_nothing_of_a_vm() {
    const SECRET: &str = "application/x-secret";
    let mut session = Session::start(&["work"]);
    let mut giver = Person::start(&mut session, "work", "giver");
    let _source = giver.copy(&mut session, Selection::Clipboard, &[SECRET]);
    giver.client.wait_selection(Selection::Clipboard, SECRET).expect("its own selection");
    // What the VM has copied, and that it has, is not to be seen.
    let (types, listed) = start(&session, "types", &["wl-paste", "--list-types"]);
    assert_ne!(types.wait_exit(Deadline::patient()), Exit::Status(0));
    assert_eq!(fs::read_to_string(listed).expect("its output"), "");

    let seen = session.root().join("watched");
    File::create(&seen).expect("a file");
    let append = format!("cat >> {0}; echo >> {0}", seen.display());
    let (watch, _) = start(&session, "watch", &["wl-paste", "--watch", "sh", "-c", &append]);
    let (copy, _) = start(&session, "copy", &["wl-copy", "--foreground", "local words"]);
    wait_words(&seen, "local words");
    assert_eq!(run(&session, "paste", &["wl-paste", "--no-newline"]), "local words");
    // The VM has the keyboard all the time, and what it copied is as it was.
    let offer = giver.client.wait_selection(Selection::Clipboard, SECRET).expect("its own selection");
    assert_eq!(offer.types, [SECRET]);

    let (primary, _) = start(&session, "primary", &["wl-copy", "--primary", "--foreground", "middle"]);
    let (again, _) = start(&session, "copy-again", &["wl-copy", "--foreground", "other words"]);
    wait_words(&seen, "other words");
    // It is told that something else is copied.
    assert_eq!(copy.wait_exit(Deadline::patient()), Exit::Status(0));
    assert_eq!(run(&session, "paste-again", &["wl-paste", "--no-newline"]), "other words");
    for program in [&watch, &primary, &again] {
        program.signal(Signal::TERM);
    }
}
