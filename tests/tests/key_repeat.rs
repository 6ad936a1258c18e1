//! Real terminals in a VM type a key that is held as often as the compositor says, and no longer than it is held.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;
use vitrail_tests::deadline::Deadline;
use vitrail_tests::process::{self, Process};
use vitrail_tests::session::{Options, Session};

const KEY_A: u32 = 30;
const KEY_B: u32 = 48;

#[test]
fn foot_types_one_letter_for_each_press_that_the_compositor_repeats() {
    assert_types_what_it_is_sent("foot", |shell| vec!["--config=/dev/null".to_owned(), shell.to_owned()]);
}

/// The toolkit of weston's clients.
#[test]
fn weston_terminal_types_one_letter_for_each_press_that_the_compositor_repeats() {
    assert_types_what_it_is_sent("weston-terminal", |shell| vec![format!("--shell={shell}")]);
}

/// The terminal writes what is typed into a file, and the events that it was sent into its log. It takes a press of a key that is
/// down already for one more letter, and adds none by itself.
#[track_caller]
fn assert_types_what_it_is_sent(program: &str, arguments: impl Fn(&str) -> Vec<String>) {
    assert!(process::is_installed(program), "{program} is not installed; `cargo xtask setup` does it");
    let tables = "[input.keyboard]\nrepeat_delay = 200\nrepeat_rate = 50\n";
    let mut session = Session::with(Options::new(&["work"]).tables(tables));
    let typed = session.root().join("typed");
    fs::write(&typed, "").expect("the file of what is typed");
    let shell = session.root().join("shell");
    write_shell(&shell, &typed);
    let mut command = session.application("work", program);
    command.env("WAYLAND_DEBUG", "1").args(arguments(&shell.display().to_string()));
    let terminal = Process::start(program, &session.logs(), &mut command, &[]);
    session.wait_windows(program, |windows| !windows.is_empty());
    let wait = |what: &str, wanted: &dyn Fn(&str) -> bool| {
        let holds = || fs::read_to_string(&typed).is_ok_and(|text| wanted(&text));
        assert!(process::wait_for_change(&typed, Deadline::patient(), holds), "waited too long for {what}");
    };
    // The shell is ready once something arrives.
    session.tap(KEY_B);
    wait("the first key", &|text| text == "b");

    let key = |code: u32, pressed: bool| json!({"event": "key", "code": code, "pressed": pressed});
    session.input(&[key(KEY_A, true)]);
    wait("repeats", &|text| text.matches('a').count() > 5);
    session.input(&[key(KEY_A, false)]);
    session.tap(KEY_B);
    wait("the next key", &|text| text.len() > 1 && text.ends_with('b'));
    let text = fs::read_to_string(&typed).expect("what was typed");
    let log = terminal.log();
    let presses = log.lines().filter(|line| is_press(line, KEY_A)).count();
    assert!(log.lines().any(|line| line.contains(".repeat_info(0, 0)")), "it was told not to repeat");
    assert_eq!(text, format!("b{}b", "a".repeat(presses)), "{log}");
}

/// A program for the terminal that copies what is typed.
fn write_shell(path: &Path, typed: &Path) {
    let script = format!("#!/bin/sh\nstty raw -echo\nexec cat >> {}\n", typed.display());
    fs::write(path, script).expect("the shell");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the shell's mode");
}

/// `wl_keyboard#12.key(serial, time, code, 1)`, as libwayland writes it.
fn is_press(line: &str, code: u32) -> bool {
    line.contains("wl_keyboard") && line.contains(".key(") && line.ends_with(&format!(", {code}, 1)"))
}
