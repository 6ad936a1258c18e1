//! A byte budget between each client and the protocol library.
//!
//! The library reads a readable client until nothing is left to read, so a client that writes faster than it
//! is served would never let another one have its turn. Each connection is therefore joined to the library
//! by a socket pair: a [`Throttle`] takes at most [`BUDGET`] bytes from it per turn of the event loop.
//!
//! One chunk is buffered in each direction, no more; who does not take its chunk is not read from. A client
//! that does not read is ended by the library, whose own output buffer is bounded. File descriptors travel
//! with the chunk they came with; more than [`MAX_FDS`] in one message end the connection.
//!
//! Bytes are not what a turn is short of, but time: a few of them can ask for much. So the one who joined the client says how long
//! the handling of what it was given took ([`Throttle`]'s callback), and the client's budget follows: what is expected to take
//! [`COST`](super::budget::COST) at the most, and less where other clients of its origin are being served too ([`Company`]), so that all clients of an origin
//! together take about [`SHARE`](super::budget::SHARE) of a turn.
//!
//! Neither direction waits for another turn of the event loop, which costs five system calls: the throttle says when
//! the library has been given bytes, so that it reads them at once, and an [`Outbox`] finds the clients for which the
//! library has written in this turn. Both only do earlier what the event loop would find to be done in its next turn.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::{Rc, Weak};
use std::time::Duration;

use calloop::generic::Generic;
use calloop::{
    EventSource, Interest, LoopHandle, Mode, Poll, PostAction, Readiness, RegistrationToken, Token,
    TokenFactory,
};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use vitrail_protocols::Guard;

use super::budget::{Budget, Company};

/// Bytes taken from one client in one turn of the event loop.
pub const BUDGET: usize = 16 << 10;
/// Bytes taken from one client in one turn where that is not guarded.
const UNBOUNDED: usize = 64 << 20;
/// Bytes given to one client in one turn: all that the library can have written in one. Answers can be longer
/// than their requests, and must not pile up in the library for a client that reads them.
const OUTWARD: usize = 1 << 20;
/// Whoever joined the client is told after this many bytes of it, to look at what they made the library keep.
pub const CHECK_INTERVAL: usize = 64 << 10;
/// Bytes moved by one system call.
const CHUNK: usize = 8 << 10;
/// File descriptors in one message, as in the reference implementation.
pub const MAX_FDS: usize = 28;
/// Clients that an [`Outbox`] serves in one turn. The event loop serves the others.
const SERVED: usize = 64;

/// One direction of a connection: at most one chunk that was read and not yet written.
#[derive(Debug)]
struct Lane {
    bytes: Box<[u8; CHUNK]>,
    start: usize,
    end: usize,
    fds: Vec<OwnedFd>,
    /// Bytes received since this was last reset.
    received: usize,
    /// Chunks given to the receiver, or parts of them.
    delivered: u64,
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
        Self { bytes: Box::new([0; CHUNK]), start: 0, end: 0, fds: Vec::new(), received: 0, delivered: 0 }
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
            let most = budget.min(CHUNK);
            match self.receive(from, most) {
                Ok(0) => return Ok(Moved::Ended),
                // Less than there was room for is all that there was, so that it need not be asked for more. Only
                // descriptors end a read earlier; if these come after it, the event loop finds them in its next turn.
                Ok(count) if count < most && self.fds.is_empty() => budget = 0,
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
        self.delivered = self.delivered.wrapping_add(1);
        Ok(())
    }
}

/// What an interest is made of, to be compared.
fn bits(interest: Interest) -> (bool, bool) {
    (interest.readable, interest.writable)
}

/// Which end of a connection has something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Client,
    Library,
}

/// What a throttle has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// The client has sent [`CHECK_INTERVAL`] bytes since this was last said.
    pub check: bool,
}

/// What came of what the library was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// How long its handling took.
    pub took: Duration,
    /// In which turn of the event loop that was.
    pub turn: u64,
    /// Nothing more is to be read of the client until [`Outbox::let_go_on`].
    pub hold: bool,
}

/// A client's socket and our end of the socket pair, with what is under way between them.
#[derive(Debug)]
struct Join {
    client: Generic<UnixStream>,
    library: Generic<UnixStream>,
    to_library: Lane,
    to_client: Lane,
    budget: Budget,
    company: Company,
    /// Nothing is read of the client until it is let go on ([`Outbox::let_go_on`]).
    held: bool,
}

impl Join {
    /// Moves what can be moved once an end has become ready; false when the connection is over.
    fn turn(&mut self, ready: End) -> bool {
        if (ready == End::Library || !self.to_client.is_empty()) && !self.outward() {
            return false;
        }
        if ready == End::Library && self.to_library.is_empty() {
            return true;
        }
        let (client, library) = (self.client.get_ref().as_fd(), self.library.get_ref().as_fd());
        match self.to_library.pump(
            client,
            library,
            if Guard::Rate.holds() { self.budget.bytes() } else { UNBOUNDED },
        ) {
            Ok(Moved::Idle | Moved::Blocked) => true,
            Ok(Moved::Ended) | Err(_) => {
                // The library's last words must not be lost when the client is gone half.
                self.outward();
                false
            }
        }
    }

    /// Moves what the library has written; false when the connection is over.
    fn outward(&mut self) -> bool {
        let (client, library) = (self.client.get_ref().as_fd(), self.library.get_ref().as_fd());
        matches!(self.to_client.pump(library, client, OUTWARD), Ok(Moved::Idle | Moved::Blocked))
    }

    /// What to wait for: bytes where a chunk could be put, room where one waits to go.
    fn interests(&self) -> (Interest, Interest) {
        let readable = self.to_library.is_empty() && !self.held;
        let client = Interest { readable, writable: !self.to_client.is_empty() };
        let library = Interest { readable: self.to_client.is_empty(), writable: !self.to_library.is_empty() };
        (client, library)
    }

    /// Takes over what is now to be waited for; returns whether the event loop must be told.
    fn follow_interests(&mut self) -> bool {
        let after = self.interests();
        let before = [self.client.interest, self.library.interest].map(bits);
        (self.client.interest, self.library.interest) = after;
        before != [after.0, after.1].map(bits)
    }
}

/// The join between a client's socket and the protocol library. An event source that does its work by itself,
/// and removes itself when either side is done. It calls back when the library has been given bytes to read.
#[derive(Debug)]
pub struct Throttle(Rc<RefCell<Join>>);

impl Throttle {
    /// Joins a client's socket to a new socket pair, whose other end is for the protocol library.
    ///
    /// # Errors
    ///
    /// If the sockets cannot be made non-blocking or the pair cannot be made.
    pub fn new(client: UnixStream, company: Company) -> std::io::Result<(Self, UnixStream)> {
        let (ours, library) = UnixStream::pair()?;
        client.set_nonblocking(true)?;
        ours.set_nonblocking(true)?;
        let join = Join {
            client: Generic::new(client, Interest::READ, Mode::Level),
            library: Generic::new(ours, Interest::READ, Mode::Level),
            to_library: Lane::new(),
            to_client: Lane::new(),
            budget: Budget::default(),
            company,
            held: false,
        };
        Ok((Self(Rc::new(RefCell::new(join))), library))
    }
}

impl EventSource for Throttle {
    type Event = Fed;
    type Metadata = ();
    type Ret = Handled;
    type Error = std::io::Error;

    fn process_events<F>(
        &mut self,
        readiness: Readiness,
        token: Token,
        mut callback: F,
    ) -> Result<PostAction, Self::Error>
    where
        F: FnMut(Fed, &mut ()) -> Handled,
    {
        let mut join = self.0.borrow_mut();
        let before = join.interests();
        let mut ready = End::Client;
        join.client.process_events(readiness, token, |_, _| Ok(PostAction::Continue))?;
        join.library.process_events(readiness, token, |_, _| {
            ready = End::Library;
            Ok(PostAction::Continue)
        })?;
        let (delivered, received) = (join.to_library.delivered, join.to_library.received);
        if !join.turn(ready) {
            return Ok(PostAction::Remove);
        }
        let fed = join.to_library.delivered != delivered;
        let handled = join.to_library.received.saturating_sub(received);
        let check = join.to_library.received >= CHECK_INTERVAL;
        if check {
            join.to_library.received = 0;
        }
        let after = join.interests();
        // An event of a side nothing was awaited from is its end. If what waits for the other side still
        // cannot be delivered, it never will be.
        let unasked = |interest: Interest| !interest.readable && !interest.writable;
        let side =
            |(client, library): (Interest, Interest)| if ready == End::Library { library } else { client };
        if unasked(side(before)) && unasked(side(after)) {
            return Ok(PostAction::Remove);
        }
        drop(join);
        let after = if fed { callback(Fed { check }, &mut ()) } else { Handled::default() };
        let mut join = self.0.borrow_mut();
        if fed {
            let may = join.company.serve(after.turn);
            join.budget.learn(handled, after.took, may);
        }
        join.held |= after.hold;
        let changed = join.follow_interests();
        Ok(if changed { PostAction::Reregister } else { PostAction::Continue })
    }

    fn register(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        let mut join = self.0.borrow_mut();
        join.client.register(poll, factory)?;
        join.library.register(poll, factory)
    }

    fn reregister(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        let mut join = self.0.borrow_mut();
        join.client.reregister(poll, factory)?;
        join.library.reregister(poll, factory)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        let mut join = self.0.borrow_mut();
        join.client.unregister(poll)?;
        join.library.unregister(poll)
    }
}

/// Gives clients what the library has written for them, in the turn in which it has. Asking for that costs one system
/// call, however many clients there are. What it leaves is found by the throttles in the next turn. `K` is what clients are
/// known by.
#[derive(Debug)]
pub struct Outbox<K> {
    /// Our ends of the socket pairs. Each is told once of what is written, so that those whose clients take nothing
    /// are not tried in every turn.
    written: OwnedFd,
    served: HashMap<u64, Served<K>>,
    next: u64,
}

/// A connection of an [`Outbox`].
#[derive(Debug)]
struct Served<K> {
    client: K,
    join: Weak<RefCell<Join>>,
    token: RegistrationToken,
}

impl<K> Outbox<K> {
    /// Without connections.
    ///
    /// # Errors
    ///
    /// If the system is out of descriptors.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { written: epoll::create(epoll::CreateFlags::CLOEXEC)?, served: HashMap::new(), next: 0 })
    }

    /// Adds a throttle to the event loop and to those that are served here.
    ///
    /// # Errors
    ///
    /// If the system or the event loop refuses it.
    pub fn insert<D: 'static>(
        &mut self,
        client: K,
        throttle: Throttle,
        events: &LoopHandle<'static, D>,
        fed: impl FnMut(Fed, &mut (), &mut D) -> Handled + 'static,
    ) -> calloop::Result<()> {
        self.served.retain(|_, served| served.join.strong_count() > 0);
        let (join, key) = (Rc::downgrade(&throttle.0), self.next);
        self.next = self.next.wrapping_add(1);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(key);
        epoll::add(&self.written, throttle.0.borrow().library.get_ref(), data, flags)
            .map_err(std::io::Error::from)?;
        // It leaves the set by being closed, with the throttle.
        let token = events.insert_source(throttle, fed).map_err(|error| error.error)?;
        self.served.insert(key, Served { client, join, token });
        Ok(())
    }

    /// Reads on from those clients that were held and that `whose` accepts.
    pub fn let_go_on<D>(&self, events: &LoopHandle<'static, D>, whose: impl Fn(&K) -> bool) {
        for Served { client, join, token } in self.served.values() {
            let Some(join) = join.upgrade().filter(|_| whose(client)) else { continue };
            let changed = {
                let mut join = join.borrow_mut();
                join.held = false;
                join.follow_interests()
            };
            if changed && events.update(token).is_err() {
                events.remove(*token);
            }
        }
    }

    /// Moves what the library has written since this was last called, and says for which clients: the library may have kept
    /// more for them because there was no room, and would not be asked for it before something else happens. Must not be called
    /// by a callback of the event loop.
    pub fn serve<D>(&self, events: &LoopHandle<'static, D>, mut moved: impl FnMut(&K)) {
        if self.served.is_empty() {
            return;
        }
        let mut space = [MaybeUninit::uninit(); SERVED];
        // If it fails, the throttles find what there is in the next turn.
        let Ok((found, _)) = epoll::wait(&self.written, &mut space, Some(&Timespec::default())) else {
            return;
        };
        for event in found {
            let Some(Served { client, join, token }) = self.served.get(&event.data.u64()) else { continue };
            let Some(join) = join.upgrade() else { continue };
            let (going, changed) = {
                let mut join = join.borrow_mut();
                (join.outward(), join.follow_interests())
            };
            // A connection whose end cannot be waited for any more would stay for ever.
            if !going || (changed && events.update(token).is_err()) {
                events.remove(*token);
                continue;
            }
            moved(client);
        }
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
        let (throttle, library) = Throttle::new(theirs, Company::default()).unwrap();
        let events = EventLoop::try_new().unwrap();
        events.handle().insert_source(throttle, |_, (), ()| Handled::default()).unwrap();
        (client, library, events)
    }

    /// As [`join`], with an outbox, and what the throttle has said.
    fn join_with_outbox() -> (UnixStream, UnixStream, EventLoop<'static, Vec<Fed>>, Outbox<()>) {
        let (client, theirs) = UnixStream::pair().unwrap();
        let (throttle, library) = Throttle::new(theirs, Company::default()).unwrap();
        let events = EventLoop::try_new().unwrap();
        let mut outbox = Outbox::new().unwrap();
        let fed = |fed, (): &mut (), said: &mut Vec<Fed>| {
            said.push(fed);
            Handled::default()
        };
        outbox.insert((), throttle, &events.handle(), fed).unwrap();
        client.set_nonblocking(true).unwrap();
        library.set_nonblocking(true).unwrap();
        (client, library, events, outbox)
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
    fn a_client_that_is_held_is_not_read_from_until_it_is_let_go_on() {
        let (mut client, theirs) = UnixStream::pair().unwrap();
        let (throttle, mut library) = Throttle::new(theirs, Company::default()).unwrap();
        library.set_nonblocking(true).unwrap();
        let mut events: EventLoop<'static, ()> = EventLoop::try_new().unwrap();
        let mut outbox = Outbox::new().unwrap();
        let hold = |_, (): &mut (), (): &mut ()| Handled { hold: true, ..Handled::default() };
        outbox.insert((), throttle, &events.handle(), hold).unwrap();
        client.write_all(b"one").unwrap();
        turn(&mut events);
        client.write_all(b"two").unwrap();
        turn(&mut events);
        let mut text = [0; 16];
        assert_eq!(library.read(&mut text).unwrap(), 3);
        assert!(library.read(&mut text).is_err());
        outbox.let_go_on(&events.handle(), |()| true);
        turn(&mut events);
        assert_eq!(library.read(&mut text).unwrap(), 3);
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

    #[test]
    fn it_is_said_when_the_library_has_been_given_bytes_and_at_no_other_time() {
        let (mut client, mut library, mut events, _outbox) = join_with_outbox();
        let mut said = Vec::new();
        client.write_all(b"request").unwrap();
        events.dispatch(Duration::ZERO, &mut said).unwrap();
        assert_eq!(said, [Fed { check: false }]);
        assert_eq!(library.read(&mut [0; 16]).unwrap(), 7);
        library.write_all(b"event").unwrap();
        events.dispatch(Duration::ZERO, &mut said).unwrap();
        assert_eq!(client.read(&mut [0; 16]).unwrap(), 5);
        assert_eq!(said.len(), 1);
    }

    #[test]
    fn it_is_said_once_in_an_interval_that_the_library_is_to_be_looked_at() {
        let (mut client, mut library, mut events, _outbox) = join_with_outbox();
        let mut said = Vec::new();
        for _ in 0..2 * CHECK_INTERVAL / BUDGET {
            client.write_all(&[7; BUDGET]).unwrap();
            events.dispatch(Duration::ZERO, &mut said).unwrap();
            assert_eq!(library.read(&mut [0; 2 * BUDGET]).unwrap(), BUDGET);
        }
        assert_eq!(said.iter().filter(|fed| fed.check).count(), 2);
    }

    #[test]
    fn what_the_library_writes_is_with_the_client_in_the_same_turn() {
        let (mut client, mut library, events, outbox) = join_with_outbox();
        library.write_all(b"event").unwrap();
        outbox.serve(&events.handle(), |()| {});
        let mut text = [0; 16];
        assert_eq!(client.read(&mut text).unwrap(), 5);
        assert_eq!(text.get(..5).unwrap(), b"event");
    }

    /// Whatever an outbox leaves is served by the event loop.
    #[test]
    fn a_client_that_reads_late_is_given_everything_in_order() {
        let (mut client, mut library, mut events, outbox) = join_with_outbox();
        let mut said = Vec::new();
        let mut written = 0_usize;
        let numbers: Vec<u8> = (0..=255).cycle().take(4096).collect();
        let mut refused = 0;
        while refused < 3 {
            match library.write(numbers.get(written % 256..).unwrap()) {
                Ok(count) => (written, refused) = (written + count, 0),
                Err(_) => refused += 1,
            }
            outbox.serve(&events.handle(), |()| {});
        }
        let mut read = 0_usize;
        let mut bytes = [0; 4096];
        for _ in 0..written {
            events.dispatch(Duration::from_millis(20), &mut said).unwrap();
            while let Ok(count) = client.read(&mut bytes) {
                let expected = numbers.iter().cycle().skip(read % 256);
                assert!(bytes.iter().take(count).eq(expected.take(count)));
                read += count;
            }
            if read == written {
                return;
            }
        }
        panic!("{read} of {written} bytes came");
    }

    /// A client that takes nothing costs the others nothing: it is tried when the library has written more for it, and not in
    /// every turn.
    #[test]
    fn a_client_that_takes_nothing_is_waited_for_and_not_tried_in_every_turn() {
        let (_client, mut library, mut events, outbox) = join_with_outbox();
        let mut said = Vec::new();
        let mut refused = 0;
        while refused < 3 {
            refused = if library.write(&[0; 4096]).is_ok() { 0 } else { refused + 1 };
            outbox.serve(&events.handle(), |()| {});
        }
        let mut space = [MaybeUninit::uninit(); SERVED];
        let (found, _) = epoll::wait(&outbox.written, &mut space, Some(&Timespec::default())).unwrap();
        assert!(found.is_empty());
        let start = std::time::Instant::now();
        events.dispatch(Duration::from_millis(20), &mut said).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(20), "the event loop had nothing to wake up for");
    }

    #[test]
    fn the_last_words_of_the_library_arrive_before_the_end() {
        let (mut client, mut library, mut events, outbox) = join_with_outbox();
        library.write_all(b"last words").unwrap();
        drop(library);
        outbox.serve(&events.handle(), |()| {});
        events.dispatch(Duration::from_millis(20), &mut Vec::new()).unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "last words");
    }

    /// What cannot be given to a client whole ends its connection there and then: nobody would find it again in the next turn.
    #[test]
    fn a_message_that_cannot_be_passed_on_ends_the_connection() {
        let (mut client, library, events, outbox) = join_with_outbox();
        send(&library, b"x", &[library.as_fd(); MAX_FDS + 1]);
        outbox.serve(&events.handle(), |()| {});
        assert_eq!(client.read(&mut [0; 16]).unwrap(), 0);
    }
}
