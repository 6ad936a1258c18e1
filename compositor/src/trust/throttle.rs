//! A byte budget between each client and the protocol library.
//!
//! The library reads a readable client until nothing is left to read, so a client that writes faster than it
//! is served would never let another one have its turn. Each connection is therefore joined to the library
//! by a socket pair: a [`Throttle`] takes at most [`BUDGET`] bytes from it per turn of the event loop.
//!
//! One chunk is buffered in each direction, no more; who does not take its chunk is not read from. A client
//! that does not read is ended by the library, whose own output buffer is bounded. File descriptors travel
//! with the chunk they came with; more than [`MAX_FDS`] in one message end the connection.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use calloop::generic::Generic;
use calloop::{EventSource, Interest, Mode, Poll, PostAction, Readiness, Token, TokenFactory};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Bytes taken from one client in one turn of the event loop.
pub const BUDGET: usize = 16 << 10;
/// Bytes given to one client in one turn: all that the library can have written in one. Answers can be longer
/// than their requests, and must not pile up in the library for a client that reads them.
const OUTWARD: usize = 1 << 20;
/// Whoever joined the client is told after this many bytes of it, to look at what they made the library keep.
pub const CHECK_INTERVAL: usize = 64 << 10;
/// Bytes moved by one system call.
const CHUNK: usize = 8 << 10;
/// File descriptors in one message, as in the reference implementation.
pub const MAX_FDS: usize = 28;

/// One direction of a connection: at most one chunk that was read and not yet written.
#[derive(Debug)]
struct Lane {
    bytes: Box<[u8; CHUNK]>,
    start: usize,
    end: usize,
    fds: Vec<OwnedFd>,
    /// Bytes received since this was last reset.
    received: usize,
}

/// How moving bytes ended.
#[derive(Debug, PartialEq, Eq)]
enum Moved {
    /// Nothing more to read for now, or the budget is used up.
    Idle,
    /// The receiver takes no more for now.
    Blocked,
    /// The sender is done, and everything it sent was delivered.
    Ended,
}

impl Lane {
    fn new() -> Self {
        Self { bytes: Box::new([0; CHUNK]), start: 0, end: 0, fds: Vec::new(), received: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Moves up to `budget` bytes.
    fn pump(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, mut budget: usize) -> Result<Moved, Errno> {
        loop {
            while !self.is_empty() {
                match self.send(to) {
                    Ok(()) => {}
                    Err(Errno::AGAIN) => return Ok(Moved::Blocked),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
            if budget == 0 {
                return Ok(Moved::Idle);
            }
            match self.receive(from, budget.min(CHUNK)) {
                Ok(0) => return Ok(Moved::Ended),
                Ok(count) => budget = budget.saturating_sub(count),
                Err(Errno::AGAIN) => return Ok(Moved::Idle),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&mut self, from: BorrowedFd<'_>, most: usize) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let Some(buffer) = self.bytes.get_mut(..most) else { return Err(Errno::INVAL) };
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let message = recvmsg(from, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = part {
                self.fds.extend(fds);
            }
        }
        if message.flags.contains(ReturnFlags::CTRUNC) || self.fds.len() > MAX_FDS {
            return Err(Errno::TOOBIG);
        }
        self.start = 0;
        self.end = message.bytes;
        self.received = self.received.saturating_add(message.bytes);
        Ok(message.bytes)
    }

    fn send(&mut self, to: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<BorrowedFd<'_>> = self.fds.iter().map(AsFd::as_fd).collect();
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Errno::TOOBIG);
        }
        let Some(chunk) = self.bytes.get(self.start..self.end) else { return Err(Errno::INVAL) };
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = sendmsg(to, &[IoSlice::new(chunk)], &mut control, flags)?;
        // The fds went with the first byte.
        self.fds.clear();
        self.start += sent.min(self.end - self.start);
        Ok(())
    }
}

/// What an interest is made of, to be compared.
fn bits(interest: Interest) -> (bool, bool) {
    (interest.readable, interest.writable)
}

/// The join between a client's socket and the protocol library. An event source that does its work by itself,
/// and removes itself when either side is done. It calls back once in [`CHECK_INTERVAL`] bytes of the client.
#[derive(Debug)]
pub struct Throttle {
    client: Generic<UnixStream>,
    library: Generic<UnixStream>,
    to_library: Lane,
    to_client: Lane,
}

impl Throttle {
    /// Joins a client's socket to a new socket pair, whose other end is for the protocol library.
    ///
    /// # Errors
    ///
    /// If the sockets cannot be made non-blocking or the pair cannot be made.
    pub fn new(client: UnixStream) -> std::io::Result<(Self, UnixStream)> {
        let (ours, library) = UnixStream::pair()?;
        client.set_nonblocking(true)?;
        ours.set_nonblocking(true)?;
        let throttle = Self {
            client: Generic::new(client, Interest::READ, Mode::Level),
            library: Generic::new(ours, Interest::READ, Mode::Level),
            to_library: Lane::new(),
            to_client: Lane::new(),
        };
        Ok((throttle, library))
    }

    /// Moves what can be moved; false when the connection is over.
    fn turn(&mut self) -> bool {
        let (client, library) = (self.client.get_ref().as_fd(), self.library.get_ref().as_fd());
        // Towards the client first: the library's last words must not be lost when the client is gone half.
        let outward = self.to_client.pump(library, client, OUTWARD);
        let inward = self.to_library.pump(client, library, BUDGET);
        match (outward, inward) {
            (Ok(Moved::Ended), _) | (Err(_), _) | (_, Ok(Moved::Ended) | Err(_)) => false,
            (Ok(_), Ok(_)) => true,
        }
    }

    /// What to wait for: bytes where a chunk could be put, room where one waits to go.
    fn interests(&self) -> (Interest, Interest) {
        let client = Interest { readable: self.to_library.is_empty(), writable: !self.to_client.is_empty() };
        let library = Interest { readable: self.to_client.is_empty(), writable: !self.to_library.is_empty() };
        (client, library)
    }
}

impl EventSource for Throttle {
    type Event = ();
    type Metadata = ();
    type Ret = ();
    type Error = std::io::Error;

    fn process_events<F>(
        &mut self,
        readiness: Readiness,
        token: Token,
        mut callback: F,
    ) -> Result<PostAction, Self::Error>
    where
        F: FnMut((), &mut ()),
    {
        let before = self.interests();
        let mut of_library = false;
        self.client.process_events(readiness, token, |_, _| Ok(PostAction::Continue))?;
        self.library.process_events(readiness, token, |_, _| {
            of_library = true;
            Ok(PostAction::Continue)
        })?;
        if !self.turn() {
            return Ok(PostAction::Remove);
        }
        if self.to_library.received >= CHECK_INTERVAL {
            self.to_library.received = 0;
            callback((), &mut ());
        }
        let after = self.interests();
        // An event of a side nothing was awaited from is its end. If what waits for the other side still
        // cannot be delivered, it never will be.
        let unasked = |interest: Interest| !interest.readable && !interest.writable;
        let side = |(client, library): (Interest, Interest)| if of_library { library } else { client };
        if unasked(side(before)) && unasked(side(after)) {
            return Ok(PostAction::Remove);
        }
        if [before.0, before.1].map(bits) == [after.0, after.1].map(bits) {
            return Ok(PostAction::Continue);
        }
        (self.client.interest, self.library.interest) = after;
        Ok(PostAction::Reregister)
    }

    fn register(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        self.client.register(poll, factory)?;
        self.library.register(poll, factory)
    }

    fn reregister(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        self.client.reregister(poll, factory)?;
        self.library.reregister(poll, factory)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.client.unregister(poll)?;
        self.library.unregister(poll)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;

    use calloop::EventLoop;

    use super::*;

    /// A client's end, the library's end, and the loop that joins them.
    fn join() -> (UnixStream, UnixStream, EventLoop<'static, ()>) {
        let (client, theirs) = UnixStream::pair().unwrap();
        let (throttle, library) = Throttle::new(theirs).unwrap();
        let events = EventLoop::try_new().unwrap();
        events.handle().insert_source(throttle, |(), (), ()| {}).unwrap();
        (client, library, events)
    }

    fn turn(events: &mut EventLoop<'static, ()>) {
        events.dispatch(Duration::from_millis(20), &mut ()).unwrap();
    }

    fn send(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
    }

    #[test]
    fn bytes_and_descriptors_arrive_in_order_both_ways() {
        let (client, library, mut events) = join();
        for (from, to) in [(&client, &library), (&library, &client)] {
            send(from, b"first", &[from.as_fd(), from.as_fd()]);
            send(from, b"second", &[from.as_fd()]);
            turn(&mut events);
            for (text, count) in [("first", 2), ("second", 1)] {
                let mut lane = Lane::new();
                assert_eq!(lane.receive(to.as_fd(), CHUNK).unwrap(), text.len());
                assert_eq!(lane.bytes.get(..lane.end).unwrap(), text.as_bytes());
                assert_eq!(lane.fds.len(), count);
            }
        }
    }

    #[test]
    fn one_turn_moves_no_more_than_the_budget() {
        let (mut client, mut library, mut events) = join();
        client.set_nonblocking(true).unwrap();
        library.set_nonblocking(true).unwrap();
        let sent = client.write(&[7; 8 * BUDGET]).unwrap();
        assert!(sent > BUDGET);
        turn(&mut events);
        let mut received = vec![0; 8 * BUDGET];
        assert_eq!(library.read(&mut received).unwrap(), BUDGET);
    }

    #[test]
    fn what_was_sent_before_the_end_still_arrives() {
        let (mut client, mut library, mut events) = join();
        client.write_all(b"last words").unwrap();
        drop(client);
        turn(&mut events);
        turn(&mut events);
        let mut text = String::new();
        library.read_to_string(&mut text).unwrap();
        assert_eq!(text, "last words");
    }

    #[test]
    fn too_many_descriptors_in_one_message_end_the_connection() {
        let (client, mut library, mut events) = join();
        let fd = client.as_fd();
        send(&client, b"x", &[fd; MAX_FDS + 1]);
        turn(&mut events);
        assert_eq!(library.read(&mut [0; 16]).unwrap(), 0);
    }

    #[test]
    fn a_client_that_does_not_read_is_let_go_when_the_library_ends_it() {
        let (client, mut library, mut events) = join();
        library.set_nonblocking(true).unwrap();
        while library.write(&[0; 4096]).is_ok() {
            turn(&mut events);
        }
        drop(library);
        let mut peer = [0; 4096];
        turn(&mut events);
        turn(&mut events);
        let mut client = client;
        // What fitted is there, and after it the end.
        while client.read(&mut peer).unwrap() > 0 {}
    }
}
