//! Programs of a desktop session that set outputs up, darken them and change their colours, from Debian.

use std::fs;

use serde_json::{Value, json};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::process::{self, Exit, Process};
use vitrail_tests::session::{Options, Session, VM_COLORS};

const FIRST: &str = "vitrail-1";
const SECOND: &str = "vitrail-2";

fn two_outputs() -> Session {
    Session::with(Options::new(&[VM_COLORS[0].0]).output(800, 600, 1).another_output("1200x900@1.5"))
}

/// Starts an installed program of the GUI VM.
#[track_caller]
fn start(session: &Session, name: &str, line: &[&str]) -> Process {
    assert!(process::is_installed(line[0]), "{} is not installed; `cargo xtask setup` does it", line[0]);
    let mut command = session.application("local", line[0]);
    Process::start(name, &session.logs(), command.args(&line[1..]), &[])
}

/// Runs one to its end.
#[track_caller]
fn run(session: &Session, name: &str, line: &[&str]) -> String {
    let process = start(session, name, line);
    assert_eq!(process.wait_exit(Deadline::patient()), Exit::Status(0), "{}", process.log());
    process.log()
}

fn output(session: &mut Session, name: &str) -> Value {
    let outputs = session.outputs();
    outputs.into_iter().find(|output| output["name"] == name).expect("an output of that name")
}

/// Waits until an output is as it should be; looks again with each frame.
#[track_caller]
fn wait_output(session: &mut Session, name: &str, as_it_should: impl Fn(&Value) -> bool) -> Value {
    let deadline = Deadline::patient();
    let mut frame = 0;
    loop {
        let drawn = session.changed_frame(frame, deadline);
        let now = output(session, name);
        if as_it_should(&now) {
            return now;
        }
        frame = drawn.unwrap_or_else(|| panic!("gave up waiting; {name} is {now}"));
    }
}

#[test]
fn wlr_randr_lists_outputs_and_sets_them_up() {
    let mut session = two_outputs();
    let listed = run(&session, "wlr-randr", &["wlr-randr"]);
    for line in [FIRST, SECOND, "Position: 800,0", "Scale: 1.500000", "1200x900 px"] {
        assert!(listed.contains(line), "{line} is missing in {listed}");
    }
    run(&session, "randr-scale", &["wlr-randr", "--output", SECOND, "--scale", "2", "--transform", "90"]);
    let second = output(&mut session, SECOND);
    assert_eq!((&second["scale"], &second["transform"]), (&json!(2.0), &json!("90")));
    assert_eq!(second["size"], json!([450, 600]));
    run(&session, "randr-mode", &["wlr-randr", "--output", FIRST, "--custom-mode", "1024x768"]);
    assert_eq!(output(&mut session, FIRST)["mode"]["w"], json!(1024));
    assert_eq!(output(&mut session, SECOND)["position"], json!([1024, 0]), "the other one makes room");
    run(&session, "randr-off", &["wlr-randr", "--output", FIRST, "--off"]);
    assert_eq!(output(&mut session, FIRST)["enabled"], json!(false));
    run(&session, "randr-on", &["wlr-randr", "--output", FIRST, "--on"]);
    assert_eq!(output(&mut session, FIRST)["enabled"], json!(true));
}

#[test]
fn kanshi_sets_outputs_up_by_the_profile_for_those_that_are_plugged_in() {
    let mut session = two_outputs();
    let file = session.root().join("kanshi");
    let profiles = format!(
        "profile both {{\n  output {FIRST} position 1000,0\n  output {SECOND} position 0,0 scale 1.2\n}}\n\
         profile alone {{\n  output {FIRST} scale 2\n}}\n"
    );
    fs::write(&file, profiles).unwrap();
    let _kanshi = start(&session, "kanshi", &["kanshi", "-c", file.to_str().unwrap()]);
    wait_output(&mut session, SECOND, |output| output["scale"] == json!(1.2));
    assert_eq!(output(&mut session, FIRST)["position"], json!([1000, 0]));
    session.control(&["unplug", SECOND]);
    wait_output(&mut session, FIRST, |output| output["scale"] == json!(2.0));
}

#[test]
fn wlsunset_changes_the_colours_and_gives_them_back_when_it_ends() {
    let mut session = two_outputs();
    let line = ["wlsunset", "-t", "3000", "-T", "3001", "-S", "06:00", "-s", "18:00"];
    let sunset = start(&session, "wlsunset", &line);
    let warm = wait_output(&mut session, SECOND, |output| output["gamma"].is_object());
    let (size, brightest) = (&warm["gamma"]["size"], &warm["gamma"]["brightest"]);
    assert_eq!((size, &brightest[0]), (&json!(256), &json!(65535)));
    assert!(brightest[2].as_u64().unwrap() < 40_000, "less blue: {brightest}");
    sunset.signal(rustix::process::Signal::TERM);
    sunset.wait_exit(Deadline::patient());
    wait_output(&mut session, SECOND, |output| output["gamma"].is_null());
}
