//! VFDs: what the VMM has behind them, what waits in the driver's queue, and the descriptor that the child has.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair, sockopt,
};
use virtio_wl::unix::{self, UnixError};

use super::device::{Key, MAX_RECV};

/// Messages of the host that wait for the child before the VMM reads no more. A real device has one queue of 256 for all.
const MAX_ENTRIES: usize = 64;

/// What the VMM has behind a VFD.
#[derive(Debug)]
pub(super) enum Kind {
    /// A connection to a socket of the host.
    Context(OwnedFd),
    /// Memory of so many bytes.
    Memory(OwnedFd, u64),
    /// The VMM's end of a pipe (or a socket that the host sent), and the other end until it was sent to the host.
    Pipe(OwnedFd, Option<OwnedFd>),
}

/// A message in the driver's queue.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) data: VecDeque<u8>,
    pub(super) vfds: VecDeque<u32>,
}

/// What the VMM has read from the host for a VFD.
pub(super) enum FromHost {
    Nothing,
    Bytes(Vec<u8>, Vec<OwnedFd>),
    End,
}

#[derive(Debug)]
pub(super) struct Vfd {
    pub(super) kind: Kind,
    /// Which file the child's descriptor is.
    pub(super) key: Key,
    /// `O_RDONLY`, `O_WRONLY` or `O_RDWR`, as the VMM has said.
    pub(super) mode: OFlags,
    pub(super) queue: VecDeque<Entry>,
    pub(super) hung_up: bool,
    /// Sending would block.
    pub(super) blocked: bool,
    /// This end of the pair of which the child has the other. `None` for memory, and after a hang-up.
    signal: Option<OwnedFd>,
    /// The child's end until it is installed.
    uninstalled: Option<OwnedFd>,
    readable: bool,
}

impl Vfd {
    pub(super) fn new(kind: Kind, mode: OFlags) -> Self {
        let (signal, theirs) = match &kind {
            Kind::Memory(memory, _) => (None, Key::mark(memory.as_fd())),
            _ => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let (ours, theirs) =
                    socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("socket pair");
                // The driver makes VFDs in blocking mode.
                rustix::io::ioctl_fionbio(&theirs, false).expect("flags");
                sockopt::set_socket_send_buffer_size(&theirs, 0).expect("a small buffer");
                (Some(ours), theirs)
            }
        };
        Self {
            kind,
            key: Key::of(theirs.as_fd()).expect("examined"),
            mode,
            queue: VecDeque::new(),
            hung_up: false,
            blocked: false,
            signal,
            uninstalled: Some(theirs),
            readable: false,
        }
    }

    /// What a descriptor becomes that the host has sent.
    pub(super) fn of_host(fd: OwnedFd) -> Self {
        if let Ok(len) = rustix::fs::seek(&fd, SeekFrom::End(0)) {
            return Self::new(Kind::Memory(fd, len), OFlags::RDWR);
        }
        let mode = rustix::fs::fcntl_getfl(&fd).expect("flags") & OFlags::RWMODE;
        Self::new(Kind::Pipe(fd, None), mode)
    }

    /// The child's descriptor, to be installed once.
    pub(super) fn take_uninstalled(&mut self) -> Option<OwnedFd> {
        self.uninstalled.take()
    }

    /// What gets sent in place of the VFD.
    pub(super) fn sent_as(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Context(fd) | Kind::Memory(fd, _) => Some(fd.as_fd()),
            Kind::Pipe(_, remote) => remote.as_ref().map(AsFd::as_fd),
        }
    }

    /// After that the VMM has the other end of a pipe no more, so that it learns when the host closes it.
    pub(super) fn was_sent(&mut self) {
        if let Kind::Pipe(_, remote) = &mut self.kind {
            *remote = None;
        }
    }

    /// What the VMM waits for on the host's side.
    pub(super) fn host_interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let (Kind::Context(fd) | Kind::Pipe(fd, _)) = &self.kind else { return None };
        let mut flags = PollFlags::empty();
        let reads = self.mode != OFlags::WRONLY && self.queue.len() < MAX_ENTRIES;
        flags.set(PollFlags::IN, reads && !self.hung_up);
        flags.set(PollFlags::OUT, self.blocked);
        (!flags.is_empty()).then_some((fd.as_fd(), flags))
    }

    /// The end that shows whether the child still has its descriptor.
    pub(super) fn child_interest(&self) -> Option<BorrowedFd<'_>> {
        self.signal.as_ref().map(AsFd::as_fd)
    }

    /// Reads from the host, which is known to have something.
    pub(super) fn read_host(&self) -> FromHost {
        let mut bytes = vec![0; MAX_RECV];
        let mut fds = Vec::new();
        let result = match &self.kind {
            Kind::Context(socket) => match unix::receive(socket, &mut bytes, &mut fds) {
                Err(UnixError::WouldBlock) => return FromHost::Nothing,
                result => result.map_err(|_| Errno::CONNRESET),
            },
            Kind::Pipe(end, _) => rustix::io::read(end, &mut bytes[..]),
            Kind::Memory(..) => return FromHost::Nothing,
        };
        match result {
            Ok(0) | Err(_) => FromHost::End,
            Ok(len) => {
                bytes.truncate(len);
                FromHost::Bytes(bytes, fds)
            }
        }
    }

    /// Writes to the host. `AGAIN` if it does not take anything now.
    pub(super) fn write_host(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        match &self.kind {
            // After the end of its data the VMM has no socket any more.
            _ if self.hung_up => Err(Errno::INVAL),
            Kind::Context(socket) => match unix::send(socket, bytes, fds) {
                Ok(len) => {
                    assert_eq!(len, bytes.len(), "the kernel takes messages of a page whole or not at all");
                    Ok(())
                }
                Err(UnixError::WouldBlock) => Err(Errno::AGAIN),
                Err(_) => Err(Errno::NODEV),
            },
            Kind::Pipe(..) if !fds.is_empty() => Err(Errno::INVAL),
            Kind::Pipe(end, _) => {
                // A pipe that is ready takes a page whole, and a socket's buffer is large.
                if !is_ready(end.as_fd(), PollFlags::OUT) {
                    return Err(Errno::AGAIN);
                }
                let mut file = File::from(end.try_clone().expect("duplicated"));
                file.write_all(bytes).map_err(|_| Errno::NODEV)
            }
            Kind::Memory(..) => Err(Errno::INVAL),
        }
    }

    /// The host has ended its data.
    pub(super) fn hang_up(&mut self) {
        self.hung_up = true;
        self.update_readable();
        // The child sees the hang-up; whether it closes its end does not matter any more.
        self.signal = None;
    }

    /// Makes the child's descriptor readable exactly if something is in the queue.
    pub(super) fn update_readable(&mut self) {
        let wanted = !self.queue.is_empty();
        if wanted == self.readable {
            return;
        }
        self.readable = wanted;
        if wanted && let Some(signal) = &self.signal {
            // The child may have closed its end, which is noticed elsewhere.
            let _ = send(signal, b"!", SendFlags::NOSIGNAL);
        }
    }

    /// As [`update_readable`](Self::update_readable), for when the queue may have become empty: the child's own end is
    /// needed for that.
    pub(super) fn after_receive(&mut self, theirs: BorrowedFd<'_>) {
        if self.readable && self.queue.is_empty() {
            let _ = recv(theirs, &mut [0], RecvFlags::DONTWAIT).expect("it was readable");
        }
        self.update_readable();
    }

    /// Sending blocks from now on: the child's descriptor is not writable.
    pub(super) fn block(&mut self, theirs: BorrowedFd<'_>) {
        self.blocked = true;
        while send(theirs, &[0; 4096], SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok() {}
    }

    /// The host takes something again.
    pub(super) fn unblock(&mut self) {
        self.blocked = false;
        if let Some(signal) = &self.signal {
            let mut file = File::from(signal.try_clone().expect("duplicated"));
            let mut bytes = [0; 4096];
            while file.read(&mut bytes).is_ok_and(|len| len > 0) {}
        }
    }
}

pub(super) fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(fd, flags)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&now)).expect("polled") > 0
}
