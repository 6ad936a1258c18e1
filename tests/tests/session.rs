//! `vitrail-session`: what it starts, what it tells whom, and what becomes of everything when something crashes or ends.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::process::{PidfdFlags, Signal};
use serde_json::json;
use tempfile::TempDir;
use vitrail_tests::client::{Client, ClientError, Window, WindowOptions};
use vitrail_tests::deadline::{Deadline, PATIENCE};
use vitrail_tests::process::{self, Exit, Member, Process};
use vitrail_tests::session::{BUTTON_LEFT, Options, Session};

/// A directory for a session without VMs, and what was written into it.
struct Desk {
    root: TempDir,
}

impl Desk {
    /// `table` is the lines of `[session]`, in which `ROOT` stands for the directory.
    fn new(table: &str) -> Self {
        let root = tempfile::Builder::new().prefix("vitrail-").tempdir().unwrap();
        for name in ["gui", "bin", "logs"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let desk = Self { root };
        desk.configure(&format!("[session]\n{table}\n"));
        desk
    }

    fn configure(&self, text: &str) {
        let text = text.replace("ROOT", self.root.path().to_str().unwrap());
        fs::write(self.path("vitrail.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The command, with nothing of the test's own session in its environment.
    fn command(&self) -> Command {
        let mut command = process::command(process::program("vitrail-session"));
        for name in ["DBUS_SESSION_BUS_ADDRESS", "NOTIFY_SOCKET", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command.env("XDG_RUNTIME_DIR", self.path("gui")).env("XDG_STATE_HOME", self.path("state"));
        command.env("HOME", self.root.path()).arg("--config").arg(self.path("vitrail.toml"));
        command
    }

    fn start(&self, command: &mut Command) -> Process {
        command.args(["--socket", "wayland-desk", "--", "--backend", "headless"]);
        Process::start("vitrail-session", &self.path("logs"), command, &[])
    }

    /// A program that notes what it is told.
    fn fake(&self, name: &str) {
        let path = self.path("bin").join(name);
        let told = self.path("told");
        let script = format!("#!/bin/sh\necho \"{name} $* on $WAYLAND_DISPLAY\" >>{}\n", told.display());
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A running program of a session by its name.
#[track_caller]
fn member(session: &Process, name: &str) -> Member {
    let is = |member: &Member| {
        member.arguments.first().is_some_and(|program| Path::new(program).file_name() == Some(name.as_ref()))
    };
    let found = session.members().into_iter().find(is);
    found.unwrap_or_else(|| panic!("no {name}: {:?}\n{}", session.members(), session.log()))
}

const STARTED: &str = "the compositor is ready and serves wayland-desk";

#[test]
fn programs_of_a_session_find_its_compositor_and_no_other_display() {
    let desk = Desk::new(
        "start = [[\"sh\", \"-c\", \"env >ROOT/new && mv ROOT/new ROOT/env\"], [\"no-such-program\"]]",
    );
    let mut command = desk.command();
    command.env("DISPLAY", ":77").env("XDG_CURRENT_DESKTOP", "other").env("KEPT", "yes");
    let session = desk.start(&mut command);
    session.wait_path(&desk.path("env"));
    let env = fs::read_to_string(desk.path("env")).unwrap();
    let ipc = format!("VITRAIL_IPC={}", desk.path("gui/vitrail-wayland-desk.sock").display());
    for line in [
        "WAYLAND_DISPLAY=wayland-desk",
        "XDG_CURRENT_DESKTOP=vitrail",
        "XDG_SESSION_DESKTOP=vitrail",
        "XDG_SESSION_TYPE=wayland",
        "KEPT=yes",
        &ipc,
    ] {
        assert!(env.lines().any(|found| found == line), "{line} in\n{env}");
    }
    assert!(!env.contains("DISPLAY=:77"), "{env}");
    let _client = Client::connect(&desk.path("gui/wayland-desk"));
    // One that cannot be started is nobody else's loss.
    session.wait_log("error starting no-such-program");
    assert_eq!(session.exit(), None);
}

/// What a message to the service manager says, in order.
#[track_caller]
fn notified(manager: &UnixDatagram) -> String {
    assert!(Deadline::patient().wait(manager.as_fd(), PollFlags::IN), "nothing is told");
    let mut message = [0; 256];
    let length = manager.recv(&mut message).unwrap();
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[test]
fn systemd_and_the_bus_are_told_before_programs_start_and_again_at_the_end() {
    let desk = Desk::new("start = [[\"sh\", \"-c\", \"echo program >>ROOT/told\"]]");
    desk.fake("systemctl");
    desk.fake("dbus-update-activation-environment");
    fs::create_dir(desk.path("gui/systemd")).unwrap();
    fs::write(desk.path("gui/systemd/private"), "").unwrap();
    fs::write(desk.path("gui/bus"), "").unwrap();
    let manager = UnixDatagram::bind(desk.path("notify")).unwrap();
    let path = format!("{}:{}", desk.path("bin").display(), std::env::var("PATH").unwrap());
    let session = desk.start(desk.command().env("PATH", path).env("NOTIFY_SOCKET", desk.path("notify")));
    let names = "WAYLAND_DISPLAY VITRAIL_IPC XDG_CURRENT_DESKTOP XDG_SESSION_DESKTOP XDG_SESSION_TYPE";
    let begun = format!(
        "dbus-update-activation-environment --systemd {names} on wayland-desk\n\
         systemctl --user --no-block start vitrail-session.target on wayland-desk\n\
         program\n"
    );
    process::wait_for_content(&desk.path("told"), &begun, Deadline::patient());
    // The compositor, which says the same to the session, is not what the manager hears.
    assert_eq!(notified(&manager), "READY=1");
    session.signal(Signal::TERM);
    assert_eq!(session.wait_exit(Deadline::patient()), Exit::Status(0));
    assert_eq!(notified(&manager), "STOPPING=1");
    let ended = format!(
        "{begun}systemctl --user --no-block stop vitrail-session.target on wayland-desk\n\
         systemctl --user unset-environment {names} on wayland-desk\n"
    );
    assert_eq!(fs::read_to_string(desk.path("told")).unwrap(), ended);
}

/// The compositor is a service by itself, too.
#[test]
fn a_service_manager_is_told_when_programs_can_connect_to_the_compositor() {
    let desk = Desk::new("");
    let manager = UnixDatagram::bind(desk.path("notify")).unwrap();
    let mut command = process::command(process::program("vitrail"));
    command.env("XDG_RUNTIME_DIR", desk.path("gui")).env("NOTIFY_SOCKET", desk.path("notify"));
    command.args(["--backend", "headless", "--socket", "wayland-desk"]);
    let _compositor = Process::start("vitrail", &desk.path("logs"), &mut command, &[]);
    let message = notified(&manager);
    assert!(message.lines().any(|line| line == "READY=1"), "{message}");
    assert!(message.lines().any(|line| line == "X_VITRAIL_WAYLAND_DISPLAY=wayland-desk"), "{message}");
    assert!(desk.path("gui/wayland-desk").exists());
}

#[test]
fn a_session_in_a_window_of_another_one_leaves_its_variables_alone() {
    let desk = Desk::new("start = [[\"sh\", \"-c\", \"echo program >>ROOT/told\"]]");
    desk.fake("systemctl");
    fs::create_dir(desk.path("gui/systemd")).unwrap();
    fs::write(desk.path("gui/systemd/private"), "").unwrap();
    let path = format!("{}:{}", desk.path("bin").display(), std::env::var("PATH").unwrap());
    let session = desk.start(desk.command().env("PATH", path).env("WAYLAND_DISPLAY", "wayland-outer"));
    process::wait_for_content(&desk.path("told"), "program\n", Deadline::patient());
    session.signal(Signal::TERM);
    assert_eq!(session.wait_exit(Deadline::patient()), Exit::Status(0));
    assert_eq!(fs::read_to_string(desk.path("told")).unwrap(), "program\n");
}

/// Sends a signal until the process has ended. The first SIGSEGV does not end a Rust program that another process sends it:
/// the library looks whether the stack has overflowed, and leaves the signal to the next fault, which here is none.
#[track_caller]
fn crash(member: &Member, signal: Signal) {
    let pidfd = rustix::process::pidfd_open(member.pid, PidfdFlags::empty()).unwrap();
    let deadline = Deadline::patient();
    loop {
        rustix::process::pidfd_send_signal(&pidfd, signal).unwrap();
        if Deadline::after(Duration::from_millis(20)).wait(pidfd.as_fd(), PollFlags::IN) {
            return;
        }
        assert!(!deadline.passed(), "{member:?} does not end");
    }
}

/// After a crash everything is there again, under the same name, and nothing is there twice.
#[track_caller]
fn a_crash_is_survived(signal: Signal, said: &str) {
    let desk =
        Desk::new("start = [[\"sh\", \"-c\", \"echo $$ on $WAYLAND_DISPLAY >>ROOT/pids; exec sleep 1000\"]]");
    let session = desk.start(&mut desk.command());
    session.wait_log(STARTED);
    process::wait_for_path(&desk.path("pids"), Deadline::patient());
    session.wait_log("sh is started");
    let mut client = Client::connect(&desk.path("gui/wayland-desk"));
    crash(&member(&session, "vitrail"), signal);
    session.wait_log(&format!("the compositor has crashed ({said}"));
    client.wait_end();
    session.wait_log_times(STARTED, 2);
    session.wait_log_times("sh is started", 2);
    let mut client = Client::connect(&desk.path("gui/wayland-desk"));
    client.window(&WindowOptions::new("again", 0x0001_0203)).unwrap();
    let read = || fs::read_to_string(desk.path("pids")).unwrap();
    assert!(process::wait_for_change(&desk.path("pids"), Deadline::patient(), || read().lines().count() == 2));
    let sleeping = |member: &&Member| member.has_arguments(&["sleep", "1000"]);
    let members = session.members();
    let shells: Vec<_> = members.iter().filter(|member| member.has_arguments(&["-c"])).collect();
    assert!(shells.len() + members.iter().filter(sleeping).count() == 1, "{members:?}");
    assert!(read().lines().all(|line| line.ends_with(" on wayland-desk")), "{}", read());
}

#[test]
fn a_killed_compositor_is_started_again_with_its_programs() {
    a_crash_is_survived(Signal::KILL, "signal: 9 (SIGKILL)");
}

#[test]
fn a_compositor_that_violates_its_memory_is_reported_and_started_again() {
    a_crash_is_survived(Signal::SEGV, "signal: 11 (SIGSEGV)");
}

#[test]
fn a_compositor_that_crashes_too_often_is_given_up_and_the_reason_is_said() {
    let desk = Desk::new("restarts = 2\nstart = [[\"sleep\", \"1000\"]]");
    let session = desk.start(&mut desk.command());
    for time in 1..=3 {
        session.wait_log_times(STARTED, time);
        rustix::process::kill_process(member(&session, "vitrail").pid, Signal::KILL).unwrap();
    }
    assert_eq!(session.wait_exit(Deadline::patient()), Exit::Status(1));
    let log = session.log();
    assert!(log.contains("after 2 restarts within 60 seconds; the session ends"), "{log}");
    assert_eq!(log.matches(STARTED).count(), 3, "{log}");
    session.members().iter().for_each(|member| member.wait_gone(Deadline::patient()));
}

/// A compositor that says why it cannot start would say the same the next time.
#[test]
fn a_compositor_that_cannot_start_is_not_started_again() {
    let desk = Desk::new("");
    desk.configure("[gate]\ncommand = [\"/nonexistent/gate\"]\n");
    let session = desk.start(&mut desk.command());
    assert_eq!(session.wait_exit(Deadline::patient()), Exit::Status(1));
    let log = session.log();
    assert_eq!(log.matches("the compositor is started").count(), 1, "{log}");
    assert!(log.contains("the compositor cannot start (exit status: 1)"), "{log}");
    assert!(log.contains("/nonexistent/gate") && log.contains("vitrailctl check"), "{log}");
}

#[test]
fn a_mistake_in_the_configuration_is_shown_where_it_stands_and_starts_nothing() {
    let desk = Desk::new("start = [[\"two words\"]]");
    let session = desk.start(&mut desk.command());
    assert_eq!(session.wait_exit(Deadline::patient()), Exit::Status(1));
    let log = session.log();
    assert!(log.contains("vitrail.toml:2:10: No shell reads this"), "{log}");
    assert!(!log.contains("is started"), "{log}");
}

/// What a program has started stays in its process group, and goes with it. One that does not hear SIGTERM is killed.
#[test]
fn the_end_of_a_session_ends_everything_that_it_has_started() {
    let desk = Desk::new(
        "start = [[\"sh\", \"-c\", \"sleep 1001 & sleep 1002\"], \
         [\"sh\", \"-c\", \"sleep 1003 & exit\"], \
         [\"sh\", \"-c\", \"trap '' TERM; touch ROOT/deaf; while :; do sleep 1004; done\"]]",
    );
    let session = desk.start(&mut desk.command());
    session.wait_path(&desk.path("deaf"));
    session.wait_log("sh has ended: exit status 0");
    let members = session.members();
    for seconds in ["1001", "1003"] {
        assert!(
            members.iter().any(|member| member.has_arguments(&["sleep", seconds])),
            "{seconds}: {members:?}"
        );
    }
    session.signal(Signal::TERM);
    assert_eq!(session.wait_exit(Deadline::patient()), Exit::Status(0));
    for member in session.members() {
        // A process is gone a moment after it was killed.
        member.wait_gone(Deadline::after(Duration::from_secs(2)));
    }
    assert!(session.log().contains("does not end, so it is killed"), "{}", session.log());
    assert!(!desk.path("gui/wayland-desk").exists(), "the compositor has ended in order");
}

#[test]
fn a_session_ends_with_its_compositor_if_that_ends_in_order() {
    let desk = Desk::new("start = [[\"sleep\", \"1000\"]]");
    let session = desk.start(&mut desk.command());
    session.wait_log("sleep is started");
    rustix::process::kill_process(member(&session, "vitrail").pid, Signal::TERM).unwrap();
    assert_eq!(session.wait_exit(Deadline::patient()), Exit::Status(0));
    assert_eq!(session.log().matches("the compositor is started").count(), 1);
    session.members().iter().for_each(|member| member.wait_gone(Deadline::patient()));
}

#[test]
fn options_that_the_session_gives_the_compositor_are_refused_behind_the_dashes() {
    let desk = Desk::new("");
    let mut command = desk.command();
    command.args(["--", "--layout", "x"]);
    let session = Process::start("vitrail-session", &desk.path("logs"), &mut command, &[]);
    assert_eq!(session.wait_exit(Deadline::patient()), Exit::Status(2));
    assert!(session.log().contains("--layout behind --"), "{}", session.log());
}

/// A window of a VM, as soon as the VM can connect.
#[track_caller]
fn window(session: &Session, vm: &str, title: &str) -> (Client, Window) {
    let deadline = Deadline::patient();
    loop {
        let connected: Result<_, ClientError> = session.try_client(vm).and_then(|mut client| {
            let window = client.window(&WindowOptions::new(title, 0x0030_6090))?;
            Ok((client, window))
        });
        match connected {
            Ok(connected) => return connected,
            Err(error) => assert!(!deadline.passed(), "still no connection of {vm}: {error}"),
        }
    }
}

/// Drags a window by its title bar.
#[track_caller]
fn drag(session: &mut Session, title: &str, by: (i32, i32)) {
    let window = session.wait_window(title);
    let (frame, content) = (window.frame(), window.content());
    let (x, y) = (frame.x + 20, (frame.y + content.y) / 2 + 2);
    let button = |pressed: bool| json!({"event": "button", "code": BUTTON_LEFT, "pressed": pressed});
    let to = json!({"event": "move", "x": x + by.0, "y": y + by.1});
    session.input(&[json!({"event": "move", "x": x, "y": y}), button(true), to, button(false)]);
    session.wait_windows("the window to be moved", |windows| {
        windows.iter().any(|other| other.title == title && other.frame() != frame)
    });
    // Out of the way: a window that opens without the focus does not open under the pointer.
    session.input(&[json!({"event": "move", "x": 1279, "y": 799})]);
}

#[test]
fn after_a_crash_vms_connect_again_and_their_windows_stand_where_they_stood() {
    let mut session = Session::with(Options::new(&["work", "personal"]).supervised());
    let mut work = window(&session, "work", "same");
    session.wait_window("same");
    drag(&mut session, "same", (237, 311));
    let frame = session.wait_window("same").frame();
    let layout = session.layout();
    process::wait_for_path(layout.parent().unwrap().parent().unwrap(), Deadline::patient());
    process::wait_for_path(layout.parent().unwrap(), Deadline::patient());
    let kept = || fs::read_to_string(&layout).unwrap_or_default().contains(&format!("x = {}\n", frame.x));
    assert!(
        process::wait_for_change(layout.parent().unwrap(), Deadline::patient(), kept),
        "{frame:?} is kept"
    );

    let killed = Instant::now();
    session.crash_compositor(Signal::KILL);
    work.0.wait_end();
    // One VM has an application of the same name. It is not given the place of the other's.
    let _personal = window(&session, "personal", "same");
    let placed = session.wait_window("same");
    assert_eq!(placed.vm, "personal");
    assert_ne!(placed.frame(), frame);
    assert!(placed.focused);
    let _work = window(&session, "work", "same");
    let windows = session.wait_windows("both", |windows| windows.len() == 2);
    let came_back = windows.iter().find(|window| window.vm == "work").unwrap();
    assert_eq!(came_back.frame(), frame);
    // Coming back takes the focus from nobody.
    assert!(!came_back.focused);
    assert!(killed.elapsed() < PATIENCE);
}

/// A compositor that was started again knew nothing of the lock: whoever could crash it, a VM or a person at the keyboard, had
/// the session unlocked.
#[test]
fn a_crash_of_the_compositor_does_not_unlock_the_session() {
    let mut session = Session::with(Options::new(&["work"]).supervised());
    let mut swaylock = session.application("local", "swaylock");
    swaylock.args(["--color=00ff00", "--no-unlock-indicator"]);
    let _locker = Process::start("swaylock", &session.logs(), &mut swaylock, &[]);
    session.compositor().wait_log("the session is locked");
    for _ in 0..2 {
        session.crash_compositor(Signal::KILL);
        assert!(session.control(&["status"]).contains("session        locked"));
    }
    let _work = window(&session, "work", "secret");
    let content = session.wait_window("secret").content();
    assert_eq!(session.screenshot().count(content, 0x0030_6090), 0, "a window is seen");
    session.compositor().wait_log("names no program that could unlock it");
}

#[test]
fn the_program_that_locks_is_started_after_a_crash_of_a_locked_session_alone() {
    let desk = Desk::new("lock = [\"swaylock\", \"--color=00ff00\", \"--no-unlock-indicator\"]");
    let session = desk.start(&mut desk.command());
    session.wait_log(STARTED);
    crash(&member(&session, "vitrail"), Signal::KILL);
    session.wait_log_times(STARTED, 2);
    let mut swaylock = process::command("swaylock");
    swaylock.env("XDG_RUNTIME_DIR", desk.path("gui")).env("WAYLAND_DISPLAY", "wayland-desk");
    let _locker = Process::start("swaylock", &desk.path("logs"), swaylock.arg("--color=00ff00"), &[]);
    session.wait_log("the session is locked");
    assert!(!session.log().contains("swaylock is started"), "{}", session.log());
    crash(&member(&session, "vitrail"), Signal::KILL);
    session.wait_log("the session was locked and stays so");
    session.wait_log("swaylock is started");
    // It takes the place of the one that lost its connection.
    session.wait_log_times("the session is locked", 2);
}
