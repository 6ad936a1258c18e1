//! A connection with both its ends: the guest's socket and the host's, in one thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use virtio_wl::{Address, ReceivedFd, Socket, SocketError, SocketOptions, unix};

use crate::driver::child::Control;

/// Longer than anything takes on a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long nothing must happen for a connection to count as being at rest.
const REST: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Connection {
    pub guest: Socket,
    pub host: UnixStream,
}

impl Connection {
    pub fn open(control: &Control) -> Self {
        Self::with(control, SocketOptions::default())
    }

    pub fn with(control: &Control, options: SocketOptions) -> Self {
        let listener = control.host();
        let guest = Socket::connect(&Address::Wl0 { name: None }, options).unwrap();
        let (host, _) = listener.accept().unwrap();
        Self { guest, host }
    }

    /// Waits until the guest has something to do, or `other` is ready for `flags`, and has the guest do it.
    fn turn(&mut self, other: BorrowedFd<'_>, flags: PollFlags, time: Duration) -> bool {
        let mut fds = [PollFd::new(&self.guest, PollFlags::IN), PollFd::from_borrowed_fd(other, flags)];
        let some = poll(&mut fds, Some(&Timespec::try_from(time).unwrap())).unwrap() > 0;
        if !fds[0].revents().is_empty() {
            // An error is reported by the calls.
            let _ = self.guest.dispatch();
        }
        some
    }

    /// Has the guest do what there is to do, until there is nothing.
    pub fn rest(&mut self) {
        let time = Timespec::try_from(REST).unwrap();
        for _ in 0..4096 {
            if poll(&mut [PollFd::new(&self.guest, PollFlags::IN)], Some(&time)).unwrap() == 0 {
                return;
            }
            // An error is reported by the calls.
            let _ = self.guest.dispatch();
        }
        panic!("the guest does not come to rest");
    }

    /// Has the guest work until `fd` is readable.
    pub fn wait_for(&mut self, fd: impl AsFd) {
        while !is_readable(&fd) {
            assert!(self.turn(fd.as_fd(), PollFlags::IN, PATIENCE), "waited in vain");
        }
    }

    /// Receives once in the guest, waiting if necessary.
    pub fn receive(&mut self) -> Result<(Vec<u8>, Vec<ReceivedFd>), SocketError> {
        let (mut bytes, mut fds) = (vec![0; 64 * 1024], Vec::new());
        loop {
            match self.guest.recvmsg(&mut bytes, &mut fds) {
                Err(SocketError::WouldBlock) => {
                    let fds = &mut [PollFd::new(&self.guest, PollFlags::IN)];
                    let time = Timespec::try_from(PATIENCE).unwrap();
                    assert_eq!(poll(fds, Some(&time)), Ok(1), "nothing is received");
                    let _ = self.guest.dispatch();
                }
                Err(error) => return Err(error),
                Ok(len) => {
                    bytes.truncate(len);
                    return Ok((bytes, fds));
                }
            }
        }
    }

    /// Receives once on the host.
    pub fn receive_on_host(&mut self) -> (Vec<u8>, Vec<OwnedFd>) {
        let host = self.host.try_clone().unwrap();
        self.wait_for(&host);
        let (mut bytes, mut fds) = (vec![0; 64 * 1024], Vec::new());
        let len = unix::receive(&host, &mut bytes, &mut fds).unwrap();
        bytes.truncate(len);
        (bytes, fds)
    }

    /// Sends one byte from the guest with a descriptor; what the host gets.
    pub fn give_host(&mut self, fd: impl AsFd) -> OwnedFd {
        assert_eq!(self.guest.sendmsg(b"x", &[fd.as_fd()]), Ok(1));
        let (bytes, mut fds) = self.receive_on_host();
        assert_eq!((bytes.as_slice(), fds.len()), (&b"x"[..], 1));
        fds.remove(0)
    }

    /// Sends one byte from the host with a descriptor; what the guest gets.
    pub fn give_guest(&mut self, fd: impl AsFd) -> ReceivedFd {
        unix::send(&self.host, b"x", &[fd.as_fd()]).unwrap();
        let (bytes, mut fds) = self.receive().unwrap();
        assert_eq!((bytes.as_slice(), fds.len()), (&b"x"[..], 1));
        fds.remove(0)
    }

    /// Whether the host has been told of the end of the guest's data. Waits until the guest is at rest.
    pub fn host_is_told(&mut self) -> bool {
        self.rest();
        is_readable(&self.host) && unix::receive(&self.host, &mut [0; 8], &mut Vec::new()) == Ok(0)
    }

    /// Everything up to the end of a pipe or socket, without waiting in the kernel.
    pub fn read_to_end(&mut self, fd: impl AsFd) -> Vec<u8> {
        rustix::io::ioctl_fionbio(&fd, true).unwrap();
        let (mut content, mut piece) = (Vec::new(), [0; 16 * 1024]);
        loop {
            match rustix::io::read(&fd, &mut piece) {
                Ok(0) => return content,
                Ok(len) => content.extend_from_slice(&piece[..len]),
                Err(Errno::AGAIN) => {
                    assert!(self.turn(fd.as_fd(), PollFlags::IN, PATIENCE), "no end of a pipe");
                }
                Err(error) => panic!("reading a pipe failed: {error}"),
            }
        }
    }

    /// Writes all of `content`, and has the guest and `reader` carry it on.
    pub fn write_across(&mut self, writer: OwnedFd, reader: impl AsFd, content: &[u8]) -> Vec<u8> {
        for fd in [writer.as_fd(), reader.as_fd()] {
            rustix::io::ioctl_fionbio(fd, true).unwrap();
        }
        let (mut sent, mut read, mut piece) = (0, Vec::new(), [0; 16 * 1024]);
        while sent < content.len() {
            match rustix::io::write(&writer, &content[sent..]) {
                Ok(len) => sent += len,
                Err(error) => assert_eq!(error, Errno::AGAIN),
            }
            match rustix::io::read(&reader, &mut piece) {
                Ok(len) => read.extend_from_slice(&piece[..len]),
                Err(error) => {
                    assert_eq!(error, Errno::AGAIN);
                    assert!(self.turn(reader.as_fd(), PollFlags::IN, PATIENCE), "the pipe stands still");
                }
            }
        }
        drop(writer);
        read.extend(self.read_to_end(reader));
        read
    }

    /// Writes until the reader's going away has reached the writer.
    pub fn assert_broken(&mut self, writer: impl AsFd) {
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        loop {
            match rustix::io::write(&writer, &[0; 100]) {
                Ok(_) | Err(Errno::AGAIN) => {
                    let time = Duration::from_millis(5);
                    self.turn(writer.as_fd(), PollFlags::empty(), time);
                }
                Err(error) => return assert!(matches!(error, Errno::PIPE | Errno::CONNRESET), "{error}"),
            }
        }
    }
}

pub fn is_readable(fd: impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).unwrap() > 0
}

/// Bytes without a pattern that a shifted or lost piece could hide in.
pub fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    std::iter::repeat_with(&mut next).take(len).collect()
}

/// A memfd with this content.
pub fn memory(content: &[u8]) -> OwnedFd {
    let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("test", flags).unwrap();
    assert_eq!(rustix::io::write(&fd, content), Ok(content.len()));
    fd
}

/// All that a file has.
pub fn content_of(fd: impl AsFd) -> Vec<u8> {
    let len = usize::try_from(rustix::fs::fstat(&fd).unwrap().st_size).unwrap();
    let mut content = vec![0; len];
    assert_eq!(rustix::io::pread(&fd, &mut content, 0), Ok(len));
    content
}
