//! The real hub between a VM and a gate that are both played by the test. Every wait has a deadline.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use virtio_wl::wire::{Hello, Purpose, Role};
use vitrail_proxy::introduction::{INTRODUCTION_LEN, Introduction};

/// Longer than anything takes on a machine that is very busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A hub and the place where everything of it is.
pub struct Hub {
    pub dir: TempDir,
    pub child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Hub {
    /// Starts a hub with the tables of VMs in `vms`, in which `DIR` stands for the directory.
    pub fn start(vms: &str) -> Self {
        Self::start_in_with(tempfile::tempdir().unwrap(), "unix:DIR/gate.sock", vms)
    }

    /// The same in a directory that is there already, with another address of the gate.
    pub fn start_in_with(dir: TempDir, gate: &str, vms: &str) -> Self {
        let text = format!("gate = \"{gate}\"\n{vms}");
        let text = text.replace("DIR", dir.path().to_str().unwrap());
        fs::write(dir.path().join("hub.toml"), text).unwrap();
        Self::start_in(dir)
    }

    fn start_in(dir: TempDir) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vitrail-hub"))
            .arg("--config")
            .arg(dir.path().join("hub.toml"))
            .env_remove("VITRAIL_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut hub = Self { dir, child, lines, seen: Vec::new() };
        hub.wait_line(&["the hub is ready"]);
        hub
    }

    /// Kills the supervisor and starts another one in the same place.
    pub fn kill_and_restart(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        drop(self);
        Self::start_in(dir)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A log line that holds all of `words`, earlier ones included.
    pub fn wait_line(&mut self, words: &[&str]) -> String {
        let matches = |line: &String| words.iter().all(|word| line.contains(word));
        if let Some(line) = self.seen.iter().find(|line| matches(line)) {
            return line.clone();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if matches(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {words:?} in {:#?}", self.seen)
                }
            }
        }
    }

    /// How many lines so far hold `word`.
    pub fn count_lines(&self, word: &str) -> usize {
        self.seen.iter().filter(|line| line.contains(word)).count()
    }

    /// The process id of a VM's relay.
    pub fn relay(&self, vm: &str) -> Pid {
        let parent = format!("PPid:\t{}", self.child.id());
        let is_relay = |directory: &Path| {
            let arguments = fs::read(directory.join("cmdline")).unwrap_or_default();
            let wanted = format!("vitrail-hub\0--relay\0{vm}\0");
            arguments == wanted.as_bytes()
                && fs::read_to_string(directory.join("status")).is_ok_and(|text| text.contains(&parent))
        };
        let found = fs::read_dir("/proc").unwrap().flatten().find(|entry| is_relay(&entry.path()));
        let name = found.expect("a relay").file_name().into_string().unwrap();
        Pid::from_raw(name.parse().unwrap()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn wait_exit(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        assert!(wait_for(&pidfd, PollFlags::IN, PATIENCE), "the hub does not end");
        self.child.wait().unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The gate's socket, played by the test.
pub struct Gate(UnixListener);

impl Gate {
    pub fn listen(hub: &Hub) -> Self {
        Self(UnixListener::bind(hub.path("gate.sock")).unwrap())
    }

    /// The next stream, and who the hub says it is.
    pub fn accept(&self) -> (Introduction, UnixStream) {
        assert!(wait_for(&self.0, PollFlags::IN, PATIENCE), "the hub does not call");
        let mut stream = bounded(self.0.accept().unwrap().0);
        let mut message = [0; INTRODUCTION_LEN];
        stream.read_exact(&mut message).unwrap();
        (Introduction::decode(&message).unwrap(), stream)
    }

    /// Waits for one of two: the hub calls, or closes a stream that a VM has sent it.
    pub fn is_called_before_the_end_of(&self, stream: &UnixStream) -> bool {
        let mut fds =
            [PollFd::new(&self.0, PollFlags::IN), PollFd::new(stream, PollFlags::IN | PollFlags::RDHUP)];
        let timeout = Timespec::try_from(PATIENCE).unwrap();
        let ready = rustix::event::poll(&mut fds, Some(&timeout)).unwrap();
        assert!(ready > 0, "the hub does nothing with the stream");
        self.has_caller()
    }

    pub fn has_caller(&self) -> bool {
        wait_for(&self.0, PollFlags::IN, Duration::ZERO)
    }
}

/// One connection, both ends of it.
pub struct Ends {
    pub vm: UnixStream,
    pub gate: UnixStream,
}

/// Connects to a VM's socket and has the stream introduced.
pub fn connect(hub: &Hub, gate: &Gate, vm: &str) -> Ends {
    let stream = call(hub, vm, &hello(Purpose::Wayland));
    let (introduction, mut accepted) = gate.accept();
    assert_eq!(introduction.vm.as_str(), vm);
    let mut greeting = [0; 32];
    accepted.read_exact(&mut greeting).unwrap();
    assert_eq!(greeting, hello(Purpose::Wayland));
    let mut ends = Ends { vm: stream, gate: accepted };
    ends.round_trip();
    ends
}

impl Ends {
    /// Shows that bytes pass both ways.
    pub fn round_trip(&mut self) {
        self.vm.write_all(b"ping").unwrap();
        expect(&mut self.gate, b"ping");
        self.gate.write_all(b"pong").unwrap();
        expect(&mut self.vm, b"pong");
    }
}

/// Connects as a VM and sends some bytes.
pub fn call(hub: &Hub, vm: &str, bytes: &[u8]) -> UnixStream {
    let mut stream = bounded(UnixStream::connect(hub.path(&format!("{vm}.sock"))).unwrap());
    stream.write_all(bytes).unwrap();
    stream
}

/// A correct hello.
pub fn hello(purpose: Purpose) -> [u8; 32] {
    Hello {
        purpose,
        role: Role::Initiator,
        has_region: false,
        takes_sockets: false,
        data_window: 1 << 20,
        pipe_window: 1 << 16,
        max_pipes: 16,
        max_mirrors: 16,
        max_blob: 1 << 20,
        max_mirror_bytes: 0,
    }
    .encode()
}

pub fn expect(stream: &mut UnixStream, wanted: &[u8]) {
    let mut bytes = vec![0; wanted.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, wanted);
}

/// Waits until the peer has closed the stream, from which nothing more may come.
pub fn expect_end(stream: &mut UnixStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => assert_eq!(rest, b""),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// Reads and writes fail instead of waiting for ever.
pub fn bounded(stream: UnixStream) -> UnixStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Whether something happens to a descriptor in time.
pub fn wait_for(fd: impl std::os::fd::AsFd, events: PollFlags, time: Duration) -> bool {
    let timeout = Timespec::try_from(time).unwrap();
    rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd.as_fd(), events)], Some(&timeout)).unwrap() > 0
}

/// Bytes without a pattern that a shifted or lost piece could hide in.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(|| next().to_le_bytes()).flatten().take(len).collect()
}

/// A value of `/proc/PID/status`.
pub fn status(pid: Pid, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
    value.unwrap_or_else(|| panic!("no {key} in {text}")).to_owned()
}
