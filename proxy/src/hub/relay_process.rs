//! The supervisor's side of a relay: starting it, handing connections to it, and knowing when it is gone.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal};
use virtio_wl::wire::Purpose;
use vitrail_protocols::VmName;

use super::control::{self, FromRelay, ToRelay, VsockEnds};

/// A running relay and what it serves.
#[derive(Debug)]
pub(super) struct RelayProcess {
    child: Child,
    pidfd: OwnedFd,
    control: OwnedFd,
    connections: HashSet<u64>,
    trims: HashSet<u64>,
}

/// What a relay's control socket brought.
#[derive(Debug)]
pub(super) enum News {
    /// Nothing more for now.
    None,
    /// A message.
    Message(FromRelay),
    /// The socket ended, or brought nonsense: this relay is of no use any more.
    Broken,
}

impl RelayProcess {
    /// Starts a relay and sends it its setup.
    pub(super) fn spawn(vm: &VmName, setup: &ToRelay, region: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        // The running executable itself, also when its file has been replaced or removed meanwhile.
        let mut child = Command::new("/proc/self/exe")
            .arg0("vitrail-hub")
            .args(["--relay", vm.as_str()])
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        let prepare = || {
            let pid = Pid::from_raw(child.id().cast_signed()).ok_or(Errno::SRCH)?;
            let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
            control::send(&ours, setup.encode(), region.as_slice())?;
            Ok::<_, Errno>(pidfd)
        };
        match prepare() {
            Ok(pidfd) => {
                Ok(Self { child, pidfd, control: ours, connections: HashSet::new(), trims: HashSet::new() })
            }
            Err(error) => {
                // It has done nothing yet, and must not be left behind as a zombie.
                let _ = child.kill();
                let _ = child.wait();
                Err(error.into())
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(super) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Live streams of one purpose.
    pub(super) fn count(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::Wayland => self.connections.len(),
            Purpose::Trim => self.trims.len(),
        }
    }

    /// Gives a stream to the relay. `WOULDBLOCK` if it has too much to do to look at its control socket.
    pub(super) fn hand_over(
        &mut self,
        serial: u64,
        purpose: Purpose,
        vsock: VsockEnds,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        let message = match purpose {
            Purpose::Wayland => ToRelay::Connection { serial, vsock },
            Purpose::Trim => ToRelay::Trim { serial },
        };
        control::send(&self.control, message.encode(), fds)?;
        match purpose {
            Purpose::Wayland => self.connections.insert(serial),
            Purpose::Trim => self.trims.insert(serial),
        };
        Ok(())
    }

    /// Reads one message, and forgets the stream that it says has ended. A relay that speaks of a stream that it was not
    /// given is broken.
    pub(super) fn news(&mut self) -> News {
        match control::receive(&self.control) {
            Ok(Some((words, _))) => match FromRelay::decode(words) {
                Some(message) if self.accounts_for(&message) => News::Message(message),
                _ => News::Broken,
            },
            Err(Errno::WOULDBLOCK | Errno::INTR) => News::None,
            Ok(None) | Err(_) => News::Broken,
        }
    }

    fn accounts_for(&mut self, message: &FromRelay) -> bool {
        match message {
            FromRelay::Ready { .. } => true,
            FromRelay::Started { serial } => self.connections.contains(serial) || self.trims.contains(serial),
            FromRelay::Ended { serial, .. } => self.connections.remove(serial) || self.trims.remove(serial),
        }
    }

    /// Ends the process by force. Its end is then reported by the pidfd.
    pub(super) fn kill(&self) {
        // If it is gone already, all the better.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Ends the process by force and waits until it is gone, which takes no longer than the kernel needs.
    pub(super) fn abandon(mut self) {
        // If it is gone already, all the better.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The exit status, if the process has ended.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}
