//! The program itself: its sockets, its command, its exit status.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::os::fd::AsFd;
use tempfile::TempDir;
use virtio_wl::Region;

use crate::scene::run_gate;
use crate::wire::{Args, PATIENCE, Peer, wait};

/// A runtime directory with a hub that hands every stream to a compositor of its own, which the test plays.
pub struct Machine {
    pub dir: TempDir,
    pub hub: UnixListener,
}

impl Machine {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hub = UnixListener::bind(dir.path().join("vitrail-hub.sock")).unwrap();
        Self { dir, hub }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("XDG_RUNTIME_DIR", self.dir.path()).env("VITRAIL_LOG", "info");
        let ours = |name: &str| {
            ["VITRAIL_HUB", "VITRAIL_REGION", "VITRAIL_DMABUF", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"]
                .contains(&name)
                || name.starts_with("SOMMELIER_")
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
            command.env_remove(name);
        }
        command
    }

    pub fn forward(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(env!("CARGO_BIN_EXE_wl-forward"));
        command.args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped());
        Running(command.spawn().unwrap())
    }

    /// The compositor's end of the next connection that reaches the hub.
    #[track_caller]
    pub fn compositor(&self) -> Peer {
        assert!(wait(self.hub.as_fd(), PollFlags::IN, PATIENCE), "nobody dialled the hub");
        let (stream, _) = self.hub.accept().unwrap();
        let (compositor, inner) = UnixStream::pair().unwrap();
        thread::spawn(move || run_gate(stream.into(), inner.into(), None));
        Peer::new(compositor)
    }

    /// An application that has connected to the socket `name` as soon as it is there, and its compositor.
    #[track_caller]
    pub fn application(&self, name: &str) -> (Peer, Peer) {
        let deadline = Instant::now() + PATIENCE;
        let app = loop {
            match UnixStream::connect(self.path(name)) {
                Ok(stream) => break Peer::new(stream),
                Err(error) => assert!(Instant::now() < deadline, "{name}: {error}"),
            }
            thread::yield_now();
        };
        (app, self.compositor())
    }
}

/// The running program. Killed if the test ends before it.
pub struct Running(pub Child);

impl Running {
    /// Waits for the end; the exit code.
    #[track_caller]
    pub fn code(&mut self) -> Option<i32> {
        self.status().code()
    }

    #[track_caller]
    fn status(&mut self) -> ExitStatus {
        let ended = pidfd_open(Pid::from_child(&self.0), PidfdFlags::empty()).unwrap();
        assert!(wait(ended.as_fd(), PollFlags::IN, PATIENCE), "the program goes on");
        self.0.wait().unwrap()
    }

    pub fn close_stdin(&mut self) {
        drop(self.0.stdin.take());
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// What it has written to standard error until its end.
    pub fn messages(&mut self) -> String {
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines that a program writes to standard error, as they come.
pub struct Lines(Receiver<String>);

impl Lines {
    pub fn of(running: &mut Running) -> Self {
        let stderr: ChildStderr = running.0.stderr.take().unwrap();
        let (send, receive) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receive)
    }

    /// All up to the first with this text.
    #[track_caller]
    pub fn until(&self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.0.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(error) => panic!("no `{text}` ({error}): {lines:#?}"),
            }
            if lines.last().is_some_and(|line| line.contains(text)) {
                return lines;
            }
        }
    }

    /// All that are left when the program has ended.
    pub fn rest(self) -> Vec<String> {
        self.0.into_iter().collect()
    }
}

/// The command of the applications that connect here, which is that of the tests.
pub fn own_command() -> String {
    std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned()
}

/// Terminates the program; what it has written that was not looked at.
pub fn end(mut forward: Running, lines: Lines) -> Vec<String> {
    kill_process(Pid::from_child(&forward.0), Signal::TERM).unwrap();
    forward.code();
    lines.rest()
}

/// The application and its compositor understand each other.
#[track_caller]
pub fn check(app: &Peer, compositor: &mut Peer, id: u32) {
    app.send(1, 1, Args::new().u32(id));
    compositor.expect(1, 1);
}

#[test]
fn applications_outlive_the_command_and_the_status_is_the_commands() {
    let machine = Machine::new();
    let mut forward = machine.forward(&["--socket", "apps", "--", "sh", "-c", "read line; exit 7"]);
    let (app, mut compositor) = machine.application("apps");
    check(&app, &mut compositor, 2);
    forward.close_stdin();
    // The command has ended when its end of the pipe is gone, but the program has not.
    check(&app, &mut compositor, 3);
    let (late, mut late_compositor) = machine.application("apps");
    check(&late, &mut late_compositor, 2);
    assert!(forward.is_running());
    drop((app, compositor, late, late_compositor));
    assert_eq!(forward.code(), Some(7));
    assert!(!machine.path("apps").exists() && !machine.path("apps.lock").exists());
}

#[test]
fn the_first_free_display_is_given_to_the_command() {
    let machine = Machine::new();
    let mut forward = machine.forward(&["--", "sh", "-c", "test \"$WAYLAND_DISPLAY\" = wayland-0"]);
    assert_eq!(forward.code(), Some(0));
}

#[test]
fn a_terminated_program_removes_its_socket() {
    let machine = Machine::new();
    let mut forward = machine.forward(&["--socket", "apps"]);
    let (_app, _compositor) = machine.application("apps");
    kill_process(Pid::from_child(&forward.0), Signal::TERM).unwrap();
    assert_eq!(forward.code(), Some(128 + 15));
    assert!(!machine.path("apps").exists());
}

#[test]
fn a_signal_is_passed_to_the_command_which_decides() {
    let machine = Machine::new();
    let script =
        "trap 'exit 3' TERM; : > \"$XDG_RUNTIME_DIR/ready\"; while :; do read line || sleep 0.01; done";
    let mut forward = machine.forward(&["--socket", "apps", "--", "sh", "-c", script]);
    let deadline = Instant::now() + PATIENCE;
    while !machine.path("ready").exists() {
        assert!(Instant::now() < deadline, "the command was not run");
        thread::yield_now();
    }
    kill_process(Pid::from_child(&forward.0), Signal::TERM).unwrap();
    forward.close_stdin();
    assert_eq!(forward.code(), Some(3));
}

#[test]
fn an_application_without_a_hub_is_turned_away_and_the_next_is_served() {
    let machine = Machine::new();
    let hub = machine.path("vitrail-hub.sock");
    let away = machine.path("away.sock");
    std::fs::rename(&hub, &away).unwrap();
    let _forward = machine.forward(&["--socket", "apps"]);
    let deadline = Instant::now() + PATIENCE;
    let mut app = loop {
        match UnixStream::connect(machine.path("apps")) {
            Ok(stream) => break Peer::new(stream),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    assert_eq!(app.try_next(), None);
    std::fs::rename(&away, &hub).unwrap();
    let (app, mut compositor) = machine.application("apps");
    check(&app, &mut compositor, 2);
}

#[test]
fn fifty_applications_are_served_while_others_send_garbage() {
    let machine = Machine::new();
    let _forward = machine.forward(&["--socket", "apps"]);
    let mut applications: Vec<_> = (0..50).map(|_| machine.application("apps")).collect();
    for (app, _) in applications.iter().step_by(5) {
        app.send_raw(&[0xff; 64], &[]);
    }
    for (index, (app, compositor)) in applications.iter_mut().enumerate() {
        if index % 5 == 0 {
            assert!(app.last().is_some_and(|error| (error.object, error.opcode) == (1, 0)));
        } else {
            check(app, compositor, 2);
        }
    }
}

#[test]
fn more_applications_than_allowed_wait_for_their_turn() {
    let machine = Machine::new();
    let _forward = machine.forward(&["--socket", "apps", "--max-connections", "1"]);
    let (first, mut compositor) = machine.application("apps");
    check(&first, &mut compositor, 2);
    let waiting = Peer::new(UnixStream::connect(machine.path("apps")).unwrap());
    check(&first, &mut compositor, 3);
    drop((first, compositor));
    let mut compositor = machine.compositor();
    check(&waiting, &mut compositor, 2);
}

/// Runs the program with inherited descriptors: 3 is `third` and 4 is `fourth`.
pub fn inherit(machine: &Machine, script: &str, third: OwnedFd, fourth: OwnedFd) -> Running {
    let mut command = machine.command("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_wl-forward")]);
    command.stdin(Stdio::from(third)).stdout(Stdio::from(fourth)).stderr(Stdio::piped());
    Running(command.spawn().unwrap())
}

#[test]
fn a_socket_handed_over_by_systemd_is_served_and_left_in_place() {
    let machine = Machine::new();
    let socket = UnixListener::bind(machine.path("activated")).unwrap();
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" 3<&0 </dev/null";
    let null = std::fs::File::open("/dev/null").unwrap();
    let mut forward = inherit(&machine, script, socket.into(), null.into());
    let (app, mut compositor) = machine.application("activated");
    check(&app, &mut compositor, 2);
    kill_process(Pid::from_child(&forward.0), Signal::TERM).unwrap();
    assert_eq!(forward.code(), Some(128 + 15));
    assert!(machine.path("activated").exists());
}

/// The program with just one application: both ends of it.
pub fn single(machine: &Machine) -> (Running, Peer, Peer) {
    let (app, client) = UnixStream::pair().unwrap();
    let (gate, upstream) = UnixStream::pair().unwrap();
    let script = "exec \"$0\" --client fd:3 --upstream fd:4 3<&0 4<&1 </dev/null >/dev/null";
    let forward = inherit(machine, script, client.into(), upstream.into());
    let (compositor, inner) = UnixStream::pair().unwrap();
    thread::spawn(move || run_gate(gate.into(), inner.into(), None));
    (forward, Peer::new(app), Peer::new(compositor))
}

#[test]
fn a_single_application_that_ends_in_order_is_a_success() {
    let machine = Machine::new();
    let (mut forward, app, mut compositor) = single(&machine);
    check(&app, &mut compositor, 2);
    drop((app, compositor));
    assert_eq!(forward.code(), Some(0));
}

#[test]
fn a_single_application_that_sends_garbage_is_a_failure_with_a_reason() {
    let machine = Machine::new();
    let (mut forward, mut app, compositor) = single(&machine);
    app.send_raw(&[0xff; 64], &[]);
    app.last();
    drop(compositor);
    assert_eq!(forward.code(), Some(1));
    let messages = forward.messages();
    assert!(messages.contains("malformed"), "{messages}");
}

#[test]
fn a_region_serves_one_program_at_a_time() {
    let machine = Machine::new();
    let path = machine.path("region");
    drop(Region::create(&path, 1 << 20).unwrap());
    let region = path.to_str().unwrap();
    let _first = machine.forward(&["--socket", "one", "--region", region]);
    let (_app, _compositor) = machine.application("one");
    let mut second = machine.forward(&["--socket", "two", "--region", region]);
    assert_eq!(second.code(), Some(1));
    let messages = second.messages();
    assert!(messages.contains("in use by another process"), "{messages}");
}
