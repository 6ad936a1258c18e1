//! From one VM to another, through the whole chain, with real applications: wl-copy in one VM, and foot in the other.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;
use vitrail_tests::client::{Rect, Selection, SourceEvent};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::image::Image;
use vitrail_tests::person::Person;
use vitrail_tests::pipes;
use vitrail_tests::process::{self, Process};
use vitrail_tests::session::{Options, Session};

const TEXT: &str = "text/plain;charset=utf-8";
const WORDS: &str = "from one VM to another";

/// Of the answer that Enter gives.
const CHOSEN: u32 = 0x008a_b4f8;

const LOGO: u32 = 125;
const SHIFT: u32 = 42;
const CTRL: u32 = 29;
const C: u32 = 46;
const V: u32 = 47;
const D: u32 = 32;
const TAB: u32 = 15;
const ENTER: u32 = 28;

/// Presses keys in their order and releases them in the reverse one.
fn chord(session: &mut Session, codes: &[u32]) {
    let key = |code: &u32, pressed: bool| json!({"event": "key", "code": code, "pressed": pressed});
    let presses = codes.iter().map(|code| key(code, true));
    let releases = codes.iter().rev().map(|code| key(code, false));
    session.input(&presses.chain(releases).collect::<Vec<_>>());
}

/// Waits until `vitrailctl clipboard` says something; it is asked again with each frame, since whatever happens shows on the stripe.
#[track_caller]
fn wait_said(session: &mut Session, words: &str) -> String {
    let deadline = Deadline::patient();
    let mut frame = 0;
    loop {
        let said = session.control(&["clipboard"]);
        if said.contains(words) {
            return said;
        }
        let drawn = session.changed_frame(frame, deadline);
        frame = drawn.unwrap_or_else(|| panic!("gave up waiting for {words:?}:\n{said}"));
    }
}

/// Waits until a question is shown that takes an answer.
#[track_caller]
fn wait_question(session: &mut Session) -> Image {
    let deadline = Deadline::patient();
    let mut frame = 0;
    loop {
        frame = session.changed_frame(frame, deadline).expect("a question");
        let image = session.screenshot();
        let (w, h) = image.size();
        if image.count(Rect { x: 0, y: 24, w, h: h - 24 }, CHOSEN) > 500 {
            return image;
        }
    }
}

/// Keeps a screenshot where the build puts its other results.
#[track_caller]
fn keep(session: &mut Session, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clipboard");
    fs::create_dir_all(&folder).expect("a folder");
    session.save_screenshot(&folder.join(name));
}

#[track_caller]
fn start(session: &Session, vm: &str, line: &[&str]) -> Process {
    assert!(process::is_installed(line[0]), "{} is not installed; `cargo xtask setup` does it", line[0]);
    let mut command = session.application(vm, line[0]);
    command.args(&line[1..]).stdin(Stdio::null());
    Process::start(line[0], &session.logs(), &mut command, &[])
}

#[test]
fn what_wl_copy_copies_in_one_vm_is_pasted_into_foot_in_another_after_a_question() {
    let options = Options::new(&["work", "personal"]).tables("[clipboard]\nsettle = 0\n");
    let mut session = Session::with(options);
    let mut source = Person::start(&mut session, "work", "source");
    source.focus(&mut session);
    let copy = start(&session, "work", &["wl-copy", "--foreground", WORDS]);
    // It takes the keyboard for a moment; then the window beside it is told of what it has copied.
    source.client.wait_selection(Selection::Clipboard, TEXT).expect("the selection of wl-copy");
    source.focus(&mut session);
    chord(&mut session, &[LOGO, SHIFT, C]);
    let said = wait_said(&mut session, "characters of text/plain from work, for");
    assert!(said.contains("has 22 characters of text/plain from work"), "{said}");
    keep(&mut session, "copied.png");

    let pasted = session.root().join("pasted");
    let shell = format!("cat > {}", pasted.display());
    let foot =
        start(&session, "personal", &["foot", "--config=/dev/null", "--title=terminal", "sh", "-c", &shell]);
    session.wait_window("terminal");
    session.focus("terminal");
    chord(&mut session, &[LOGO, SHIFT, V]);
    wait_question(&mut session);
    keep(&mut session, "question.png");
    session.tap(TAB);
    session.tap(ENTER);
    let said = wait_said(
        &mut session,
        "work -> personal: 22 characters of text/plain, pasted, by the user's answer",
    );
    assert!(said.starts_with("The clipboard between VMs is empty.\n"), "{said}");
    assert!(!said.contains(WORDS), "the content is nowhere in it");
    keep(&mut session, "pasted.png");
    chord(&mut session, &[CTRL, SHIFT, V]);
    session.tap(ENTER);
    chord(&mut session, &[CTRL, D]);
    process::wait_for_content(&pasted, &format!("{WORDS}\n"), Deadline::patient());
    let log = session.compositor().log();
    assert!(
        log.contains("22 characters of text/plain") && !log.contains(WORDS),
        "it is not in the log either"
    );
    copy.signal(Signal::TERM);
    foot.signal(Signal::TERM);
}

#[test]
fn a_drop_on_a_window_of_another_vm_is_asked_about_and_then_in_its_clipboard() {
    let mut session = Session::with(Options::new(&["work", "personal"]));
    let mut giver = Person::start(&mut session, "work", "giver");
    let mut taker = Person::start(&mut session, "personal", "taker");
    let source = giver.drag(&mut session, &[TEXT]).expect("a drag");
    session.point(taker.title);
    keep(&mut session, "dragged.png");
    session.release();
    let (kind, writer) = giver.client.wait_transfer(&source).expect("a request for it");
    assert_eq!(kind, TEXT);
    pipes::write_all(writer, WORDS.as_bytes(), Deadline::patient()).expect("everything is taken");
    giver.client.wait_source(&source, SourceEvent::Cancelled).expect("that nobody took it");
    wait_question(&mut session);
    keep(&mut session, "dropped.png");
    taker.client.roundtrip().expect("a live connection");
    assert!(taker.client.state.offered.drag.is_none() && taker.client.state.offered.clipboard.is_none());
    session.tap(TAB);
    session.tap(ENTER);
    taker.client.wait_selection(Selection::Clipboard, TEXT).expect("what was dropped");
    let reader = taker.client.receive(Selection::Clipboard, TEXT).expect("a selection");
    let arrived = pipes::read_to_end(reader, Deadline::patient()).expect("the end of the content");
    assert_eq!(arrived, WORDS.as_bytes());
}
