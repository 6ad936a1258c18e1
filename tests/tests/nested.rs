//! vitrail as a window of another desktop, and a real program in it.

use vitrail_tests::deadline::Deadline;
use vitrail_tests::process::{self, Exit, Process};
use vitrail_tests::session::Session;

#[test]
fn what_is_typed_into_vitrails_window_reaches_the_terminal_in_it_and_it_ends_with_its_desktop() {
    let mut session = Session::start(&["work"]);
    let vitrail = process::program("vitrail");
    let mut inner = session.application("local", vitrail.to_str().expect("a path of text"));
    inner.args(["--backend", "nested", "--socket", "inside", "--size", "600x400"]);
    let inner = Process::start("vitrail-inside", &session.logs(), &mut inner, &[]);
    session.wait_window("Vitrail");
    inner.wait_log("ready");

    let typed = session.root().join("typed");
    let shell = format!("read line; echo $line >{}; exec cat", typed.display());
    let mut foot = session.application("local", "foot");
    foot.env("WAYLAND_DISPLAY", "inside").args(["--fullscreen", "sh", "-c", &shell]);
    let _foot = Process::start("foot", &session.logs(), &mut foot, &[]);
    let ctl = process::program("vitrailctl");
    let mut wait = session.application("local", ctl.to_str().expect("a path of text"));
    wait.env("WAYLAND_DISPLAY", "inside").args(["wait", "--windows", "1", "--timeout", "20"]);
    let wait = Process::start("wait", &session.logs(), &mut wait, &[]);
    assert_eq!(wait.wait_exit(Deadline::patient()), Exit::Status(0));

    session.focus("Vitrail");
    session.control(&["input", "type", "nested\n"]);
    process::wait_for_content(&typed, "nested\n", Deadline::patient());

    session.stop_compositor();
    assert_eq!(inner.wait_exit(Deadline::patient()), Exit::Status(1));
}
