//! The whole program: hub at one side, a compositor with security contexts at the other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal};
use virtio_wl::{Region, unix};
use vitrail_protocols::WorkerReport;
use vitrail_proxy::introduction::{Introduction, RegionProof};

use crate::client::Client;
use crate::compositor;
use crate::wire::{Message, Received};

/// Three VMs, one of which sees fewer globals than the others.
const CONFIG: &str = "[gate]\nlisten = 'unix:$XDG_RUNTIME_DIR/gate.sock'\nregions = ['$XDG_RUNTIME_DIR/*.region']\n\
                      [vm.work]\n[vm.web.limits]\nsurfaces = 1\n[vm.web.protocols]\ndeny = ['wp_viewporter']\n\
                      [vm.small.limits]\nshm_mib = 16\n";

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A context that the gate has made.
#[derive(Debug)]
struct Context {
    engine: String,
    app_id: String,
    /// Readable end of the pipe that closes with the supervisor.
    close: OwnedFd,
}

/// The gate with everything around it.
#[derive(Debug)]
pub struct Gate {
    dir: tempfile::TempDir,
    process: Child,
    status: BufReader<UnixStream>,
    contexts: mpsc::Receiver<Context>,
    log: Option<thread::JoinHandle<Vec<String>>>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Gate {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("vitrail.toml"), CONFIG).unwrap();
        let (compositor, contexts) = privileged_compositor();
        let (status, status_theirs) = UnixStream::pair().unwrap();
        status.set_read_timeout(Some(PATIENCE)).unwrap();
        let inherited = [compositor.as_fd(), status_theirs.as_fd()];
        for fd in inherited {
            rustix::io::fcntl_setfd(fd, FdFlags::empty()).unwrap();
        }
        let mut process = Command::new(env!("CARGO_BIN_EXE_vitrail-gate"))
            .args(["--config", "vitrail.toml"])
            .args(["--compositor", &format!("fd:{}", compositor.as_raw_fd())])
            .args(["--status", &format!("fd:{}", status_theirs.as_raw_fd())])
            .current_dir(dir.path())
            .env("XDG_RUNTIME_DIR", dir.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = collect(process.stderr.take().unwrap());
        for fd in inherited {
            rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC).unwrap();
        }
        Self { dir, process, status: BufReader::new(status), contexts, log: Some(log) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Connects as the hub does. The gate may still be starting.
    fn dial(&self) -> UnixStream {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(self.path("gate.sock")) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            thread::yield_now();
        }
    }

    /// A stream that the hub introduces.
    pub fn introduced(&self, vm: &str, region: Option<RegionProof>) -> UnixStream {
        let mut hub = self.dial();
        let introduction = Introduction { vm: vm.parse().unwrap(), region, connection: 1 };
        hub.write_all(&introduction.encode().unwrap()).unwrap();
        hub
    }

    /// A client whose stream the hub introduces.
    fn connect(&self, vm: &str, region: Option<RegionProof>) -> Client {
        let mut client = Client::on(self.introduced(vm, region).into());
        client.start();
        client
    }

    pub fn report(&mut self, fits: impl Fn(&WorkerReport) -> bool) -> WorkerReport {
        loop {
            let mut line = String::new();
            self.status.read_line(&mut line).unwrap();
            let report = serde_json::from_str(&line).unwrap();
            if fits(&report) {
                return report;
            }
        }
    }
}

/// Passes a log on to the test's output, and keeps it.
fn collect(log: ChildStderr) -> thread::JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let lines = BufReader::new(log).lines().map_while(Result::ok);
        lines.inspect(|line| eprintln!("{line}")).collect()
    })
}

/// A compositor for the gate's own connection, which serves the contexts made through it.
fn privileged_compositor() -> (OwnedFd, mpsc::Receiver<Context>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (found, contexts) = mpsc::channel();
    thread::spawn(move || {
        let (mut bytes, mut fds) = (Vec::new(), Vec::new());
        let (mut registry, mut manager) = (0, 0);
        let mut strings = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            match unix::receive(&ours, &mut chunk, &mut fds) {
                Ok(0) => return,
                Ok(len) => bytes.extend_from_slice(&chunk[..len]),
                Err(unix::UnixError::WouldBlock) => {
                    let mut wait = [rustix::event::PollFd::new(&ours, rustix::event::PollFlags::IN)];
                    rustix::event::poll(&mut wait, None).unwrap();
                }
                Err(_) => return,
            }
            while let Some(request) = Received::take(&mut bytes) {
                match (request.object, request.opcode) {
                    (1, 1) => {
                        registry = request.uint(0);
                        let name = "wp_security_context_manager_v1";
                        let global = Message::new(registry, 0).uint(1).string(name).uint(1).bytes();
                        (&ours).write_all(&global).unwrap();
                    }
                    (1, 0) => {
                        let done = Message::new(request.uint(0), 0).uint(1).bytes();
                        (&ours).write_all(&done).unwrap();
                    }
                    (object, 0) if object == registry => {
                        manager = request.uint(request.string(1).1 + 1);
                    }
                    (object, 1) if object == manager => strings.clear(),
                    (_, opcode @ 1..=3) => strings.push((opcode, request.string(0).0)),
                    (_, 4) => {
                        let close = fds.pop().unwrap();
                        let listener = UnixListener::from(fds.pop().unwrap());
                        let text =
                            |opcode| strings.iter().find(|(found, _)| *found == opcode).unwrap().1.clone();
                        let context = Context { engine: text(1), app_id: text(2), close };
                        found.send(context).unwrap();
                        thread::spawn(move || accept(&listener));
                    }
                    _ => {}
                }
            }
        }
    });
    (theirs.into(), contexts)
}

fn accept(listener: &UnixListener) {
    listener.set_nonblocking(false).unwrap();
    while let Ok((stream, _)) = listener.accept() {
        compositor::start_on(stream);
    }
}

fn kill(pid: i32) {
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_vm_gets_an_identity_and_a_jailed_worker_of_its_own() {
    let mut gate = Gate::start();
    let mut client = gate.connect("work", None);
    assert!(client.round_trip());
    let context = gate.contexts.recv_timeout(PATIENCE).unwrap();
    assert_eq!((context.engine.as_str(), context.app_id.as_str()), ("vitrail", "work"));
    let report = gate.report(|report| report.connections == 1);
    assert!(report.alive && report.jail.no_new_privs && report.jail.seccomp && report.jail.rlimits);
    let name = std::fs::read_to_string(format!("/proc/{}/comm", report.pid)).unwrap();
    assert_eq!(name.trim_end(), "gate-worker", "what process lists show");
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", report.pid)).unwrap();
    assert_eq!(arguments, "vitrail-gate\0--worker\0--vm\0work\0--control\0fd:0\0");
    let mut web = gate.connect("web", None);
    assert!(web.round_trip());
    let other = gate.report(|report| report.vm.as_str() == "web");
    assert_ne!(other.pid, report.pid);
    // The limits are those of the VM.
    web.surface();
    web.surface();
    assert_eq!(web.error().message, "vitrail-gate: the VM may have 1 surfaces");
    assert!(client.round_trip());
}

#[test]
fn a_killed_worker_is_one_vms_loss_and_replaced_at_the_next_connection() {
    let mut gate = Gate::start();
    let (mut work, mut web) = (gate.connect("work", None), gate.connect("web", None));
    assert!(work.round_trip() && web.round_trip());
    let first = gate.report(|report| report.vm.as_str() == "work" && report.connections == 1);
    kill(first.pid);
    work.wait_for_end();
    let last = gate.report(|report| !report.alive);
    assert_eq!((last.pid, last.connections), (first.pid, 0));
    assert!(web.round_trip());
    assert!(gate.connect("work", None).round_trip());
    let second = gate.report(|report| report.vm.as_str() == "work" && report.alive);
    assert_ne!(second.pid, first.pid);
}

/// Whether a client is shown the global that `web` is denied.
fn sees_viewporter(client: &mut Client) -> bool {
    client.globals().iter().any(|(_, interface, _)| interface == "wp_viewporter")
}

#[test]
fn a_vm_sees_what_its_policy_shows_and_a_new_policy_is_that_of_new_connections() {
    let mut gate = Gate::start();
    let (mut work, mut web) = (gate.connect("work", None), gate.connect("web", None));
    assert!(sees_viewporter(&mut work) && !sees_viewporter(&mut web));
    let worker = gate.report(|report| report.vm.as_str() == "web" && report.connections == 1).pid;

    let changed = CONFIG.replace("wp_viewporter", "wl_drm") + "[vm.later]\n";
    std::fs::write(gate.path("vitrail.toml"), changed).unwrap();
    rustix::process::kill_process(Pid::from_child(&gate.process), Signal::HUP).unwrap();
    // The VM is served once the file was read again; before that its streams are closed.
    let deadline = Instant::now() + PATIENCE;
    while !gate.connect("later", None).round_trip() {
        assert!(Instant::now() < deadline, "the configuration is not read again");
    }
    let mut new = gate.connect("web", None);
    assert!(sees_viewporter(&mut new));
    let second = gate.report(|report| report.vm.as_str() == "web" && report.pid != worker).pid;
    // What the old worker serves it serves on, to the end.
    assert!(web.round_trip() && !sees_viewporter(&mut web));
    kill(worker);
    web.wait_for_end();
    assert!(new.round_trip());
    // A VM whose policy is as it was keeps its worker.
    let mut again = gate.connect("web", None);
    assert!(sees_viewporter(&mut again));
    gate.report(|report| report.vm.as_str() == "web" && report.pid == second && report.connections == 2);
}

#[test]
fn a_killed_supervisor_drops_no_connection_and_gives_up_its_contexts() {
    let mut gate = Gate::start();
    let mut client = gate.connect("work", None);
    assert!(client.round_trip());
    let context = gate.contexts.recv_timeout(PATIENCE).unwrap();
    let worker = gate.report(|report| report.connections == 1).pid;
    gate.process.kill().unwrap();
    gate.process.wait().unwrap();
    assert_eq!(rustix::io::read(&context.close, &mut [0]), Ok(0));
    assert!(client.round_trip());
    // When its last connection has ended, the worker ends too. The status pipe is not its to hold.
    let pid =
        rustix::process::pidfd_open(Pid::from_raw(worker).unwrap(), rustix::process::PidfdFlags::empty());
    let pid = pid.unwrap();
    drop(client);
    let wait = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
    let mut fds = [rustix::event::PollFd::new(&pid, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut fds, Some(&wait)), Ok(1));
}

#[test]
fn unknown_vms_and_false_proofs_are_closed_without_a_word() {
    let gate = Gate::start();
    let proof = RegionProof { challenge: [9; 32], length: 8192 };
    for (vm, region) in [("other", None), ("work", Some(proof))] {
        let mut hub = gate.dial();
        hub.set_read_timeout(Some(PATIENCE)).unwrap();
        let introduction = Introduction { vm: vm.parse().unwrap(), region, connection: 1 };
        hub.write_all(&introduction.encode().unwrap()).unwrap();
        assert_eq!(hub.read(&mut [0; 64]).unwrap(), 0, "{vm}");
    }
    assert!(gate.connect("work", None).round_trip());
}

#[test]
fn a_region_is_found_by_its_challenge_and_backs_pools() {
    let gate = Gate::start();
    let region = Region::create(&gate.path("x.region"), 1 << 20).unwrap();
    Region::create(&gate.path("y.region"), 1 << 20).unwrap().set_challenge(&[4; 32]).unwrap();
    region.set_challenge(&[5; 32]).unwrap();
    let mut hub = gate.dial();
    let proof = RegionProof { challenge: [5; 32], length: 1 << 20 };
    let introduction = Introduction { vm: "work".parse().unwrap(), region: Some(proof), connection: 1 };
    hub.write_all(&introduction.encode().unwrap()).unwrap();
    let memory = region.try_clone_fd().unwrap();
    let mut client = Client::with_region(hub.into(), region);
    client.start();
    let pool = client.pool(memory, 1 << 20);
    client.make(pool, 0, &[4096, 16, 16, 64, 0]);
    assert!(client.round_trip());
}

#[test]
fn sigterm_is_an_orderly_end() {
    let mut gate = Gate::start();
    assert!(gate.connect("work", None).round_trip());
    let pid = Pid::from_child(&gate.process);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert!(gate.process.wait().unwrap().success());
}

#[test]
fn a_worker_alone_serves_one_connection_and_says_how_it_ended() {
    for (breaks_rule, expected) in [(false, true), (true, false)] {
        let (mut client, stream) = Client::new();
        let (compositor, _requests) = compositor::start();
        for fd in [&stream, &compositor] {
            rustix::io::fcntl_setfd(fd, FdFlags::empty()).unwrap();
        }
        let mut worker = Command::new(env!("CARGO_BIN_EXE_vitrail-gate"))
            .args(["--worker", "--stream", &format!("fd:{}", stream.as_raw_fd())])
            .args(["--compositor", &format!("fd:{}", compositor.as_raw_fd())])
            .spawn()
            .unwrap();
        drop((stream, compositor));
        client.start();
        assert!(client.round_trip());
        if breaks_rule {
            client.bind_raw(99, "wl_drm", 1, 50);
            client.error();
        } else {
            client.socket.shutdown_write();
            client.wait_for_end();
        }
        drop(client);
        assert_eq!(worker.wait().unwrap().success(), expected);
    }
}

/// The library that parses messages can write all of them to standard error, and looks at the environment for whether to. A
/// gate that did so would fill the log of the session with what VMs send: it is told not to.
#[test]
fn a_worker_writes_nothing_of_what_a_vm_sends_whatever_the_environment_says() {
    let (mut client, stream) = Client::new();
    let (compositor, _requests) = compositor::start();
    for fd in [&stream, &compositor] {
        rustix::io::fcntl_setfd(fd, FdFlags::empty()).unwrap();
    }
    let worker = Command::new(env!("CARGO_BIN_EXE_vitrail-gate"))
        .args(["--worker", "--stream", &format!("fd:{}", stream.as_raw_fd())])
        .args(["--compositor", &format!("fd:{}", compositor.as_raw_fd())])
        .env("WL_PROXY_DEBUG", "1")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((stream, compositor));
    client.start();
    assert!(client.round_trip());
    client.socket.shutdown_write();
    client.wait_for_end();
    drop(client);
    let output = worker.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !text.contains("wl_display"), "{text}");
}

#[test]
fn a_vm_that_calls_very_often_does_not_fill_the_log() {
    let mut gate = Gate::start();
    for vm in ["unknown", "work"] {
        for _ in 0..300 {
            let mut stream = gate.introduced(vm, None);
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // Answered by nothing but the end, at the latest when the other side has closed.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
    }
    gate.process.kill().unwrap();
    gate.process.wait().unwrap();
    // Workers write to the same log, and end when the supervisor has.
    let log = gate.log.take().unwrap().join().unwrap();
    for decision in ["refused vm=unknown", "accepted vm=work"] {
        let lines = log.iter().filter(|line| line.contains(decision)).count();
        assert!((1..100).contains(&lines), "{lines} lines with `{decision}`");
    }
}
