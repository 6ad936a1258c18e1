//! Each joint on its own, on inherited descriptors: a `wl-forward` and a gate worker in front of a compositor
//! that is not ours, without hub, supervisor or region.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tempfile::TempDir;
use vitrail_tests::client::{Client, WindowOptions};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::process::{self, Exit, Process};
use vitrail_tests::session::Session;

/// A `wl-forward` and a worker that serve one connection.
struct Chain {
    forward: Process,
    worker: Process,
    // After the processes, whose logs are in it.
    _logs: TempDir,
}

fn pair() -> (OwnedFd, OwnedFd) {
    let (one, other) = UnixStream::pair().expect("a socket pair");
    (one.into(), other.into())
}

fn argument(fd: &OwnedFd) -> String {
    format!("fd:{}", fd.as_raw_fd())
}

impl Chain {
    /// Puts the two in front of a connection to a compositor; the other result is the application's end.
    fn in_front_of(compositor: UnixStream) -> (Self, UnixStream) {
        let logs = tempfile::tempdir().expect("a temporary directory");
        let (application, client) = pair();
        let (upstream, stream) = pair();
        let compositor = OwnedFd::from(compositor);
        let mut command = process::command(process::program("wl-forward"));
        command.args(["--client", &argument(&client), "--upstream", &argument(&upstream)]);
        let forward = Process::start("wl-forward", logs.path(), &mut command, &[&client, &upstream]);
        let mut command = process::command(process::program("vitrail-gate"));
        command.args(["--worker", "--stream", &argument(&stream), "--compositor", &argument(&compositor)]);
        let worker = Process::start("vitrail-gate", logs.path(), &mut command, &[&stream, &compositor]);
        (Self { forward, worker, _logs: logs }, application.into())
    }

    fn exits(&self) -> [Exit; 2] {
        [&self.forward, &self.worker].map(|process| process.wait_exit(Deadline::patient()))
    }
}

/// Weston without a screen, in a directory of its own.
struct Weston {
    _process: Process,
    directory: TempDir,
}

impl Weston {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = process::command("weston");
        command.env("XDG_RUNTIME_DIR", directory.path());
        command.args(["--backend=headless-backend.so", "--socket=wayland-weston", "--idle-time=0"]);
        let process = Process::start("weston", directory.path(), &mut command, &[]);
        process.wait_path(&directory.path().join("wayland-weston"));
        Self { _process: process, directory }
    }

    fn connect(&self) -> UnixStream {
        process::connect(&self.directory.path().join("wayland-weston"), Deadline::patient())
    }
}

#[test]
fn the_two_ends_work_in_front_of_another_compositor() {
    let weston = Weston::start();
    let (chain, application) = Chain::in_front_of(weston.connect());
    let mut client = Client::over(application).unwrap();
    let mut window = client.window(&WindowOptions::new("joined", 0x00aa_bbcc)).unwrap();
    for color in [0x0011_0000, 0x0000_1100, 0x0000_0011] {
        client.recolor(&mut window, color).unwrap();
    }
    drop(client);
    assert_eq!(chain.exits(), [Exit::Status(0); 2]);
}

#[test]
fn the_two_ends_work_in_front_of_vitrail() {
    let mut session = Session::start(&[]);
    let compositor = process::connect(&session.local_socket(), Deadline::patient());
    let (chain, application) = Chain::in_front_of(compositor);
    let mut client = Client::over(application).unwrap();
    let mut window = client.window(&WindowOptions::new("joined", 0)).unwrap();
    client.recolor(&mut window, 0x00aa_bbcc).unwrap();
    session.wait_window("joined");
    session.assert_color("joined", 0x00aa_bbcc);
    drop(client);
    assert_eq!(chain.exits(), [Exit::Status(0); 2]);
    session.wait_titles(&[]);
}

#[test]
fn the_end_of_the_compositor_is_an_orderly_end() {
    let weston = Weston::start();
    let (chain, application) = Chain::in_front_of(weston.connect());
    let mut client = Client::over(application).unwrap();
    client.roundtrip().unwrap();
    drop(weston);
    client.wait_end();
    drop(client);
    assert_eq!(chain.exits(), [Exit::Status(0); 2]);
}

#[test]
fn a_worker_says_by_its_status_that_the_stream_was_malformed() {
    let weston = Weston::start();
    let logs = tempfile::tempdir().unwrap();
    let (vm, stream) = pair();
    let compositor = OwnedFd::from(weston.connect());
    let mut command = process::command(process::program("vitrail-gate"));
    command.args(["--worker", "--stream", &argument(&stream), "--compositor", &argument(&compositor)]);
    let worker = Process::start("vitrail-gate", logs.path(), &mut command, &[&stream, &compositor]);
    drop(stream);
    rustix::io::write(&vm, &[0x55; 64]).unwrap();
    let exit = worker.wait_exit(Deadline::patient());
    assert!(matches!(exit, Exit::Status(status) if status != 0), "{exit:?}");
    assert!(!worker.log().is_empty(), "it does not say why");
}

#[test]
fn wl_forward_says_by_its_status_that_the_stream_was_malformed() {
    let logs = tempfile::tempdir().unwrap();
    let (_application, client) = pair();
    let (gui, upstream) = pair();
    let mut command = process::command(process::program("wl-forward"));
    command.args(["--client", &argument(&client), "--upstream", &argument(&upstream)]);
    let forward = Process::start("wl-forward", logs.path(), &mut command, &[&client, &upstream]);
    drop(upstream);
    rustix::io::write(&gui, &[0x55; 64]).unwrap();
    let exit = forward.wait_exit(Deadline::patient());
    assert!(matches!(exit, Exit::Status(status) if status != 0), "{exit:?}");
    assert!(!forward.log().is_empty(), "it does not say why");
}

#[test]
fn descriptors_that_are_none_are_refused_with_a_clear_error() {
    let logs = tempfile::tempdir().unwrap();
    for (program, arguments) in [
        ("wl-forward", ["--client", "fd:900", "--upstream", "fd:901"].as_slice()),
        ("vitrail-gate", ["--worker", "--stream", "fd:900", "--compositor", "fd:901"].as_slice()),
    ] {
        let mut command = process::command(process::program(program));
        let process = Process::start(program, logs.path(), command.args(arguments), &[]);
        let exit = process.wait_exit(Deadline::patient());
        assert!(matches!(exit, Exit::Status(status) if status != 0), "{program}: {exit:?}");
        assert!(process.log().contains("900"), "{}", process.log());
    }
}
