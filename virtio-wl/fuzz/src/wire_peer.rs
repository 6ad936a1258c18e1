//! The stream of a socket as a peer sees it: bytes in, judged frames out.

use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt;
use rustix::pipe::PipeFlags;
use virtio_wl::{Socket, SocketError};

use super::reference::{self, Hello, Message};

/// Dispatches after which a socket must have nothing left to do without an event: it would never sleep otherwise.
const MAX_DISPATCHES: usize = 2000;

/// Cuts a stream into its hello and its frames. The sender is one of ours, so that every one must be valid.
#[derive(Debug, Default)]
pub struct Splitter {
    bytes: Vec<u8>,
    hello: Option<Hello>,
}

impl Splitter {
    /// Takes what has come, and gives the frames that are complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.bytes.extend_from_slice(bytes);
        let mut rest = self.bytes.as_slice();
        if self.hello.is_none()
            && let Some((hello, after)) = rest.split_first_chunk()
        {
            self.hello = Some(reference::hello(hello).expect("a valid hello from a socket"));
            rest = after;
        }
        let mut messages = Vec::new();
        while self.hello.is_some()
            && let Some((header, after)) = rest.split_first_chunk()
        {
            let length = reference::header(header).expect("a valid header from a socket");
            let Some((payload, after)) = after.split_at_checked(length) else { break };
            messages.push(reference::message(header, payload).expect("a valid frame from a socket"));
            rest = after;
        }
        self.bytes = rest.to_vec();
        messages
    }

    /// The hello, once it has come.
    #[must_use]
    pub fn hello(&self) -> Option<Hello> {
        self.hello
    }
}

/// Dispatches until the socket has nothing more to do without an event from outside.
///
/// # Errors
///
/// What the socket reports.
pub fn settle(socket: &mut Socket) -> Result<(), SocketError> {
    for _ in 0..MAX_DISPATCHES {
        if !is_ready(&*socket) {
            return Ok(());
        }
        socket.dispatch()?;
    }
    panic!("the socket stays readable although nothing changes");
}

/// Whether a descriptor is readable now.
pub fn is_ready(fd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // The fuzzer has a timer of its own, whose signal interrupts calls.
    retry_on_intr(|| poll(&mut fds, Some(&now))).expect("poll") > 0
}

/// Reads what is there, at most `max` bytes. The stream does not block.
pub fn read_some(stream: &UnixStream, max: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(max);
    match rustix::io::read(stream, spare_capacity(&mut bytes)) {
        Ok(_) | Err(Errno::AGAIN | Errno::CONNRESET) => bytes,
        Err(error) => panic!("reading the stream: {error}"),
    }
}

/// Writes what fits. The stream does not block. `None` if nobody reads it any more.
pub fn write_some(stream: &mut UnixStream, bytes: &[u8]) -> Option<usize> {
    match stream.write(bytes) {
        Ok(len) => Some(len),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(0),
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => None,
        Err(error) => panic!("writing the stream: {error}"),
    }
}

/// A stream that does not block, for the harness, and its other end.
#[must_use]
pub fn stream_pair() -> (UnixStream, OwnedFd) {
    let (peer, stream) = UnixStream::pair().expect("socket pair");
    peer.set_nonblocking(true).expect("non-blocking");
    (peer, stream.into())
}

/// Makes an end of a stream take a few thousand bytes until they are read, so that it is soon full.
pub fn narrow(stream: impl AsFd) {
    // The kernel makes it the least that there is.
    sockopt::set_socket_send_buffer_size(stream, 1).expect("a smaller buffer");
}

/// Both ends of a pipe that do not block: the reader and the writer.
#[must_use]
pub fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("pipe")
}

/// Makes a descriptor that a socket handed out non-blocking.
pub fn unblock(fd: &OwnedFd) {
    let flags = rustix::fs::fcntl_getfl(fd).expect("flags");
    rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK).expect("set flags");
}
