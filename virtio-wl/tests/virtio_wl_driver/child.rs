//! The child's side: becoming supervised, and asking the driver for faults.

use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::{CHILD, NAMED, seccomp};

/// What the environment of a child says.
pub(super) fn announce(control: &OwnedFd, directory: &Path) -> String {
    format!("{}:{}", control.as_raw_fd(), directory.display())
}

/// A request of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    New,
    Send,
    Recv,
}

impl Request {
    pub(super) const ALL: [Self; 3] = [Self::New, Self::Send, Self::Recv];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Send => "send",
            Self::Recv => "recv",
        }
    }
}

/// The child's line to the driver.
#[derive(Debug)]
pub struct Control {
    line: OwnedFd,
    directory: PathBuf,
}

impl Control {
    /// `None` in a process that is no child.
    pub(super) fn of_environment() -> Option<Self> {
        let text = std::env::var(CHILD).ok()?;
        let (number, directory) = text.split_once(':').expect("two parts");
        let number: RawFd = number.parse().expect("a descriptor");
        // SAFETY: the parent has opened the descriptor for this process under this number, and this is the one place
        // that takes it: a child runs one test.
        let line = unsafe { OwnedFd::from_raw_fd(number) };
        Some(Self { line, directory: directory.into() })
    }

    /// From here on this thread, and those that it starts, have the device.
    pub(super) fn start(&self) -> Result<(), String> {
        let listener = seccomp::supervise_this_thread()
            .map_err(|error| format!("this kernel does not let a process supervise another: {error}"))?;
        virtio_wl::unix::send(&self.line, b"start", &[listener.as_fd()]).expect("sent");
        Ok(())
    }

    /// Says why the device cannot be played.
    pub(super) fn skip(&self, reason: &str) {
        send(&self.line, reason.as_bytes(), SendFlags::empty()).expect("sent");
    }

    fn ask(&self, request: &str) -> String {
        send(&self.line, request.as_bytes(), SendFlags::empty()).expect("the driver is there");
        let mut answer = [0; 64];
        let (len, _) = recv(&self.line, &mut answer, RecvFlags::empty()).expect("the driver answers");
        String::from_utf8_lossy(&answer[..len]).into_owned()
    }

    /// The driver answers the next such request with an error, and does nothing.
    pub fn fail(&self, request: Request, error: Errno) {
        assert_eq!(self.ask(&format!("fail {} {}", request.name(), error.raw_os_error())), "ok");
    }

    /// From now on the driver fails every such request.
    pub fn fail_always(&self, request: Request, error: Errno) {
        assert_eq!(self.ask(&format!("fail-always {} {}", request.name(), error.raw_os_error())), "ok");
    }

    /// The driver claims that the next receive gave more bytes than it was asked for.
    pub fn claim_too_much(&self) {
        assert_eq!(self.ask("claim-too-much"), "ok");
    }

    /// From now on descriptors of the host come in messages of their own, before the bytes.
    pub fn descriptors_first(&self) {
        assert_eq!(self.ask("descriptors-first"), "ok");
    }

    /// How many contexts and pipes the device has, of which this process has descriptors.
    pub fn vfds(&self) -> usize {
        self.ask("vfds").parse().expect("a number")
    }

    /// How often the driver was asked to receive since this was last asked.
    pub fn requests(&self) -> usize {
        self.ask("requests").parse().expect("a number")
    }

    /// Listens on the default socket of the host, in place of whoever did so before.
    pub fn host(&self) -> UnixListener {
        let path = self.directory.join("default");
        // There is none the first time.
        let _ = std::fs::remove_file(&path);
        UnixListener::bind(path).expect("bound")
    }

    /// Listens on the host's other socket, the name of which is [`NAMED`].
    pub fn named_host(&self) -> UnixListener {
        UnixListener::bind(self.directory.join(NAMED)).expect("bound")
    }
}
