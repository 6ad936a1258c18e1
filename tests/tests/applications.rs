//! Unmodified applications of Debian, through the whole chain.

use std::path::PathBuf;

use rustix::process::Signal;
use vitrail_tests::client::{Rect, WindowOptions};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::process::{self, Exit, Process};
use vitrail_tests::session::{Session, places};

/// Starts an installed application of a VM and waits for its window.
#[track_caller]
fn start(session: &mut Session, vm: &str, program: &str, arguments: &[&str]) -> Process {
    assert!(process::is_installed(program), "{program} is not installed; `cargo xtask setup` does it");
    let before = session.windows().len();
    let mut command = session.application(vm, program);
    let application = Process::start(program, &session.logs(), command.args(arguments), &[]);
    session.wait_windows(program, |windows| windows.len() > before);
    application
}

/// Ends an application and waits for its window to go.
#[track_caller]
fn end(session: &mut Session, application: &Process) {
    let before = session.windows().len();
    application.signal(Signal::TERM);
    application.wait_exit(Deadline::patient());
    session.wait_windows("the end of a window", |windows| windows.len() < before);
}

/// The title of the only window.
fn only_title(session: &mut Session) -> String {
    let windows = session.windows();
    assert_eq!(windows.len(), 1, "{windows:?}");
    windows[0].title.clone()
}

/// Types a shell command into the terminal and waits for its effect.
#[track_caller]
fn type_into_terminal(program: &str, arguments: &[&str]) {
    let mut session = Session::start(&["work"]);
    let terminal = start(&mut session, "work", program, arguments);
    let result: PathBuf = session.root().join("typed");
    let title = only_title(&mut session);
    session.focus(&title);
    session.control(&["input", "type", &format!("echo hi > {}\n", result.display())]);
    process::wait_for_content(&result, "hi\n", Deadline::patient());
    end(&mut session, &terminal);
}

#[test]
fn foot_runs_what_is_typed() {
    type_into_terminal("foot", &["--config=/dev/null", "sh"]);
}

#[test]
fn weston_terminal_runs_what_is_typed() {
    type_into_terminal("weston-terminal", &["--shell=/bin/sh"]);
}

/// Maps a window in a VM, sees that it has more than one colour, and ends it.
#[track_caller]
fn shows_a_picture(program: &str, arguments: &[&str]) {
    let mut session = Session::start(&["personal"]);
    let application = start(&mut session, "personal", program, arguments);
    let windows = session.windows();
    assert_eq!(windows[0].vm, "personal");
    let content = windows[0].content();
    assert!(content.w > 20 && content.h > 20, "{content:?}");
    assert!(colors(&mut session, content) > 1, "{program} shows nothing");
    end(&mut session, &application);
}

fn colors(session: &mut Session, rect: Rect) -> usize {
    let image = session.screenshot();
    let colors: std::collections::BTreeSet<_> = places(rect).map(|(x, y)| image.pixel(x, y)).collect();
    colors.len()
}

#[test]
fn weston_flower_shows_a_picture() {
    shows_a_picture("weston-flower", &[]);
}

#[test]
fn weston_simple_shm_shows_a_picture() {
    shows_a_picture("weston-simple-shm", &[]);
}

#[test]
fn a_gtk_3_application_shows_a_picture() {
    shows_a_picture("gtk3-demo", &[]);
}

#[test]
fn a_gtk_4_application_shows_a_picture() {
    shows_a_picture("gtk4-demo", &[]);
}

#[test]
fn applications_of_several_vms_show_side_by_side() {
    let mut session = Session::start(&["work", "personal", "untrusted"]);
    let applications = [
        start(&mut session, "work", "foot", &["--config=/dev/null", "sh"]),
        start(&mut session, "personal", "weston-flower", &[]),
        start(&mut session, "untrusted", "weston-simple-shm", &[]),
        start(&mut session, "local", "weston-flower", &[]),
    ];
    let mut vms: Vec<String> = session.windows().into_iter().map(|window| window.vm).collect();
    vms.sort_unstable();
    assert_eq!(vms, ["local", "personal", "untrusted", "work"]);
    for application in &applications {
        end(&mut session, application);
    }
}

#[test]
fn wl_forward_exits_with_the_status_of_its_command() {
    let session = Session::start(&["work"]);
    let directory = session.root().join("second");
    std::fs::create_dir(&directory).unwrap();
    let mut command = process::command(process::program("wl-forward"));
    command.env("XDG_RUNTIME_DIR", &directory);
    command.arg("--hub").arg(format!("unix:{}", session.hub_socket("work").display()));
    command.args(["--socket", "wayland-second", "--"]);
    command.args(["sh", "-c", "test -S \"$XDG_RUNTIME_DIR/$WAYLAND_DISPLAY\" && exit 42"]);
    let forward = Process::start("wl-forward-second", &session.logs(), &mut command, &[]);
    assert_eq!(forward.wait_exit(Deadline::patient()), Exit::Status(42));
}

#[test]
fn wl_forward_serves_other_clients_until_they_end_after_its_command() {
    let mut session = Session::start(&["work"]);
    let directory = session.root().join("second");
    std::fs::create_dir(&directory).unwrap();
    let go = session.root().join("go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &go, rustix::fs::Mode::RWXU).unwrap();
    let mut command = process::command(process::program("wl-forward"));
    command.env("XDG_RUNTIME_DIR", &directory);
    command.arg("--hub").arg(format!("unix:{}", session.hub_socket("work").display()));
    command.args(["--socket", "wayland-second", "--"]);
    command.args(["sh", "-c", "read word < \"$0\"; echo ended; exit 7"]).arg(&go);
    let forward = Process::start("wl-forward-second", &session.logs(), &mut command, &[]);
    let socket = directory.join("wayland-second");
    let mut client = vitrail_tests::client::Client::connect(&socket);
    let mut window = client.window(&WindowOptions::new("outlives", 0)).unwrap();
    session.wait_window("outlives");
    std::fs::write(&go, "go\n").unwrap();
    forward.wait_log("ended");
    for color in [0x0001_0203, 0x0004_0506] {
        client.recolor(&mut window, color).unwrap();
    }
    session.assert_color("outlives", 0x0004_0506);
    assert_eq!(forward.exit(), None, "it ended before its last client");
    drop(client);
    assert_eq!(forward.wait_exit(Deadline::patient()), Exit::Status(7));
}
