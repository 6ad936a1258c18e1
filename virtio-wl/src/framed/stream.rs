//! The byte stream below a socket, read and written without blocking.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, sockopt};

use super::rows::{Parts, Write};
use crate::wire::{MAX_UNIX_WRITE, MAX_WRITE};

/// A connected stream. A socket is used with per-call flags, so that a description that is shared with another
/// process keeps its own; anything else (a virtio-serial port) is made non-blocking and must not be shared.
#[derive(Debug)]
pub(super) struct Stream {
    fd: OwnedFd,
    is_socket: bool,
    /// It is a Unix socket and no end of a vsock.
    is_plain: bool,
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Stream {
    /// `is_vsock` says of a Unix socket that a VMM makes a vsock of it, which the kernel does not know.
    pub(super) fn new(fd: OwnedFd, is_vsock: bool) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(&fd)?;
        let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        if !is_socket {
            rustix::fs::fcntl_setfl(&fd, rustix::fs::fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
        }
        let is_unix = is_socket && sockopt::socket_domain(&fd)? == AddressFamily::UNIX;
        Ok(Self { fd, is_socket, is_plain: is_unix && !is_vsock })
    }

    /// Most bytes in one write. A Unix socket takes any number, but not everything behind one does.
    pub(super) fn max_write(&self) -> usize {
        if self.is_plain { MAX_UNIX_WRITE } else { MAX_WRITE }
    }

    /// 0 is the end of the stream.
    pub(super) fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        uninterrupted(|| {
            if self.is_socket {
                rustix::net::recv(&self.fd, &mut *into, RecvFlags::DONTWAIT).map(|(len, _)| len)
            } else {
                rustix::io::read(&self.fd, &mut *into)
            }
        })
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        uninterrupted(|| {
            if self.is_socket {
                rustix::net::send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            } else {
                rustix::io::write(&self.fd, bytes)
            }
        })
    }

    /// Writes `head` and then `body`, as far as there is room.
    pub(super) fn write_both(&self, head: &[u8], body: &[u8]) -> Result<usize, Errno> {
        let parts = [IoSlice::new(head), IoSlice::new(body)];
        uninterrupted(|| {
            if self.is_socket {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                rustix::net::sendmsg(&self.fd, &parts, &mut SendAncillaryBuffer::default(), flags)
            } else {
                rustix::io::writev(&self.fd, &parts)
            }
        })
    }

    /// Writes what is left of a write, or a part of it.
    pub(super) fn write_out(&self, write: &Write) -> Result<usize, Errno> {
        if let Some(bytes) = write.as_piece() {
            return self.write(bytes);
        }
        let mut parts = Parts::new();
        write.parts(&mut parts);
        self.transfer(&mut parts, |fd, message| {
            if self.is_socket {
                // SAFETY: the message points to parts that are valid for reading while `write` is borrowed.
                unsafe { libc::sendmsg(fd, message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) }
            } else {
                let count = libc::c_int::try_from(message.msg_iovlen).unwrap_or(0);
                // SAFETY: as above.
                unsafe { libc::writev(fd, message.msg_iov, count) }
            }
        })
    }

    /// Reads into several places. 0 is the end of the stream.
    ///
    /// # Safety
    ///
    /// The parts must be valid for writing until the call returns.
    pub(super) unsafe fn read_parts(&self, parts: &mut Parts) -> Result<usize, Errno> {
        self.transfer(parts, |fd, message| {
            if self.is_socket {
                // SAFETY: the message points to parts that the caller has promised to be valid for writing.
                unsafe { libc::recvmsg(fd, message, libc::MSG_DONTWAIT) }
            } else {
                let count = libc::c_int::try_from(message.msg_iovlen).unwrap_or(0);
                // SAFETY: as above.
                unsafe { libc::readv(fd, message.msg_iov, count) }
            }
        })
    }

    /// Runs `call` on the parts.
    fn transfer(
        &self,
        parts: &mut Parts,
        call: impl Fn(libc::c_int, &mut libc::msghdr) -> isize,
    ) -> Result<usize, Errno> {
        let parts = parts.as_mut_slice();
        uninterrupted(|| {
            // SAFETY: null pointers and zeros are a message without name, parts and control data.
            let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
            message.msg_iov = parts.as_mut_ptr();
            message.msg_iovlen = parts.len();
            usize::try_from(call(self.fd.as_raw_fd(), &mut message))
                .map_err(|_| Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
        })
    }
}

/// Repeats a call until no signal interrupts it.
fn uninterrupted(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
