//! Wayland messages over a stream of virtio-wl, as a `wl-forward` sends them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;
use virtio_wl::{Role, Socket, SocketError, SocketOptions};

use super::Wire;
use crate::deadline::Deadline;

/// The end of a stream where a `wl-forward` would be.
#[derive(Debug)]
pub struct StreamWire(Socket);

impl StreamWire {
    /// Opens the stream over a connection to the hub, without a region.
    ///
    /// # Panics
    ///
    /// When the connection cannot be used.
    #[must_use]
    #[track_caller]
    pub fn new(stream: UnixStream) -> Self {
        let socket = Socket::new(stream.into(), Role::Initiator, SocketOptions::default());
        Self(socket.expect("a stream over a new connection"))
    }

    /// Repeats `attempt` after each event of the stream, until it does not say that it would block.
    fn until<T>(
        &mut self,
        deadline: Deadline,
        mut attempt: impl FnMut(&mut Socket) -> Result<T, SocketError>,
    ) -> io::Result<T> {
        loop {
            match attempt(&mut self.0) {
                Err(SocketError::WouldBlock) => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::ConnectionReset, error)),
                Ok(done) => return Ok(done),
            }
            if !deadline.wait(self.0.as_fd(), PollFlags::IN) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // What it reports is reported by the next attempt too, after the data that came before it.
            let _ = self.0.dispatch();
        }
    }
}

impl Wire for StreamWire {
    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>], deadline: Deadline) -> io::Result<usize> {
        self.until(deadline, |socket| socket.sendmsg(bytes, fds))
    }

    fn receive(&mut self, deadline: Deadline) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 64 * 1024];
        let mut fds = Vec::new();
        let received = self.until(deadline, |socket| socket.recvmsg(&mut bytes, &mut fds))?;
        bytes.truncate(received);
        Ok(bytes)
    }
}
