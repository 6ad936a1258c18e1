//! The byte stream below a socket, read and written without blocking.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// A connected stream. A socket is used with per-call flags, so that a description that is shared with another
/// process keeps its own; anything else (a virtio-serial port) is made non-blocking and must not be shared.
#[derive(Debug)]
pub(super) struct Stream {
    fd: OwnedFd,
    is_socket: bool,
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Stream {
    pub(super) fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(&fd)?;
        let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        if !is_socket {
            rustix::fs::fcntl_setfl(&fd, rustix::fs::fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
        }
        Ok(Self { fd, is_socket })
    }

    /// 0 is the end of the stream.
    pub(super) fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        loop {
            let result = if self.is_socket {
                rustix::net::recv(&self.fd, &mut *into, RecvFlags::DONTWAIT).map(|(len, _)| len)
            } else {
                rustix::io::read(&self.fd, &mut *into)
            };
            match result {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        loop {
            let result = if self.is_socket {
                rustix::net::send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            } else {
                rustix::io::write(&self.fd, bytes)
            };
            match result {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }
}
