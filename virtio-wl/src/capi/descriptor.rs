//! What a descriptor number of the C library stands for: a socket or a listener, and when it is readable.
//!
//! The descriptor that a program holds is that of an epoll set with two members: the descriptor of the
//! [`Socket`], which is readable when the stream has something to do, and a *signal*, which is
//! readable while data waits that has left the stream already. So a program may wait for it with any call there is,
//! level-triggered, and sendmsg(2) on it says ENOTSOCK. Who waits for room to send waits for a second set of the
//! same kind, made when it is first needed: unread data must not wake a sender.
//!
//! Invariant: whenever the lock is free, the first signal is raised exactly if something can be received, and the
//! second exactly if something can be sent and somebody waits for that. [`Descriptor::with`] alone takes the lock and
//! restores this.
//!
//! The lock is held while the socket works, which never waits. What waits does so without the lock.
//!
//! A connection ends, in order, when its descriptor is dropped: after the last of its numbers was closed, and after the last
//! call that was using it then.

use std::any::Any;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::sigpipe::SigpipeGuard;
use super::{message, table};
use crate::listener::{AcceptError, Listener};
use crate::region::Region;
use crate::socket::{Readiness, Socket, SocketError};
use crate::vfd::{FileId, ReceivedFd, ReceivedKind};
use crate::wire::MirrorRect;

/// Bytes that are moved at a time where they do not lie in one piece.
const SCRATCH: usize = 64 * 1024;

/// How long closing a blocking socket waits for a peer that does not take what was sent.
const LINGER: Duration = Duration::from_secs(2);

/// How a call is to behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallFlags {
    /// `MSG_DONTWAIT`, or a descriptor with `O_NONBLOCK`.
    pub dont_wait: bool,
    /// `MSG_PEEK`: what is received stays there.
    pub peek: bool,
    /// `MSG_WAITALL`: wait until the buffer is full.
    pub wait_all: bool,
}

/// Where received bytes go: one piece after the other.
pub trait Sink {
    /// Bytes that it takes altogether.
    fn room(&self) -> usize;
    /// The rest of the piece that begins with byte `from`, if that is all that is left.
    fn single(&mut self, from: usize) -> Option<&mut [u8]>;
    /// Stores `bytes` from byte `from` on.
    fn store(&mut self, from: usize, bytes: &[u8]);
}

/// Bytes that were taken from the socket and not received, with the descriptors that belong to the first.
#[derive(Debug)]
struct Peeked {
    bytes: Vec<u8>,
    fds: Vec<ReceivedFd>,
}

/// A socket, and what its descriptor needs beside it.
#[derive(Debug)]
struct Body {
    socket: Socket,
    /// What was looked at by `MSG_PEEK`, the next to be received first. At most two.
    peeked: VecDeque<Peeked>,
    scratch: Vec<u8>,
    read_shut: bool,
    /// What the socket sent cannot be handed on, for good.
    failed: Option<Errno>,
    /// How many wait for room to send.
    write_waits: usize,
}

/// A descriptor that is readable while the socket has something to do or the signal is raised.
#[derive(Debug)]
struct ReadySet {
    set: OwnedFd,
    signal: OwnedFd,
    /// Changes only while the lock is held.
    raised: AtomicBool,
}

impl ReadySet {
    fn new(of: BorrowedFd<'_>) -> Result<Self, Errno> {
        let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&set, of, EventData::new_u64(1), EventFlags::IN)?;
        epoll::add(&set, &signal, EventData::new_u64(0), EventFlags::IN)?;
        Ok(Self { set, signal, raised: AtomicBool::new(false) })
    }

    fn raise(&self, wanted: bool) -> Result<(), Errno> {
        if wanted == self.raised.load(Relaxed) {
            return Ok(());
        }
        if wanted {
            rustix::io::write(&self.signal, &1_u64.to_ne_bytes())?;
        } else {
            rustix::io::read(&self.signal, &mut [0; 8])?;
        }
        self.raised.store(wanted, Relaxed);
        Ok(())
    }

    /// Waits until the set is readable. False if the time passed before.
    fn wait(&self, timeout: Option<Duration>) -> Result<bool, Errno> {
        let timeout = timeout.map(Timespec::try_from).transpose().map_err(|_| Errno::INVAL)?;
        poll(&mut [PollFd::new(&self.set, PollFlags::IN)], timeout.as_ref()).map(|ready| ready > 0)
    }
}

#[derive(Debug)]
enum Kind {
    Socket(Mutex<Body>),
    Listener {
        listener: Listener,
        region: Option<Arc<Region>>,
    },
    /// A parent's socket, which one of its threads was using when this process was forked.
    Torn,
}

/// What a descriptor number stands for. See the module.
#[derive(Debug)]
pub struct Descriptor {
    kind: Kind,
    data: ReadySet,
    room: OnceLock<ReadySet>,
    /// The process that has used it last: see [`table::generation`].
    user: AtomicU32,
    /// See [`attached`](Self::attached).
    attached: Mutex<Attached>,
}

/// What a user of this module keeps with a descriptor.
pub type Attached = Option<Box<dyn Any + Send>>;

impl Descriptor {
    /// A descriptor for a socket.
    ///
    /// # Errors
    ///
    /// The process has too many descriptors.
    pub fn socket(socket: Socket) -> Result<Self, Errno> {
        let data = ReadySet::new(socket.as_fd())?;
        let body = Body {
            socket,
            peeked: VecDeque::new(),
            scratch: Vec::new(),
            read_shut: false,
            failed: None,
            write_waits: 0,
        };
        Ok(Self::new(Kind::Socket(Mutex::new(body)), data))
    }

    /// A descriptor for a listening socket, whose connections share `region`.
    ///
    /// # Errors
    ///
    /// The process has too many descriptors.
    pub fn listener(listener: Listener, region: Option<Arc<Region>>) -> Result<Self, Errno> {
        let data = ReadySet::new(listener.as_fd())?;
        Ok(Self::new(Kind::Listener { listener, region }, data))
    }

    fn new(kind: Kind, data: ReadySet) -> Self {
        let user = AtomicU32::new(table::generation());
        Self { kind, data, room: OnceLock::new(), user, attached: Mutex::new(None) }
    }

    /// What a user of this module keeps with the descriptor, for as long as it lives.
    pub fn attached(&self) -> MutexGuard<'_, Attached> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a parent of this process has used it last. Its connection is the parent's then: this process must not
    /// write to the stream, and what another thread of the parent was doing may be half done here.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.user.load(Relaxed) != table::generation()
    }

    /// What the program is given a duplicate of.
    #[must_use]
    pub fn set(&self) -> BorrowedFd<'_> {
        self.data.set.as_fd()
    }

    /// A descriptor that is readable when there may be room to send, for as long as
    /// [`watch_room`](Self::watch_room) says that somebody waits for it.
    ///
    /// # Errors
    ///
    /// It is a listener, or the process has too many descriptors.
    pub fn room_set(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.room().map(|room| room.set.as_fd())
    }

    fn room(&self) -> Result<&ReadySet, Errno> {
        if self.room.get().is_none() {
            let room = self.with(|body| ReadySet::new(body.socket.as_fd()))?;
            // Another thread's set is as good.
            let _ = self.room.set(room);
        }
        self.room.get().ok_or(Errno::IO)
    }

    /// Whether `number` is a descriptor of this very set: it has the signal as a member.
    #[must_use]
    pub fn is_behind(&self, number: BorrowedFd<'_>) -> bool {
        // Tells the set what it knows already. Another set does not know the signal, and anything else is no set.
        epoll::modify(number, &self.data.signal, EventData::new_u64(0), EventFlags::IN).is_ok()
    }

    fn body(&self) -> Result<MutexGuard<'_, Body>, Errno> {
        self.user.store(table::generation(), Relaxed);
        match &self.kind {
            // A call that panicked has left the socket in a state that nobody knows.
            Kind::Socket(body) => body.lock().map_err(|_| Errno::IO),
            Kind::Listener { .. } | Kind::Torn => Err(Errno::NOTCONN),
        }
    }

    /// Runs `work` on the socket, and makes the descriptor readable or not, as it then has to be.
    fn with<T>(&self, work: impl FnOnce(&mut Body) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut body = self.body()?;
        let guard = SigpipeGuard::new();
        let result = work(&mut body);
        drop(guard);
        let ready = body.readiness();
        self.data.raise(ready.read)?;
        if let Some(room) = self.room.get() {
            room.raise(body.write_waits > 0 && ready.write)?;
        }
        result
    }

    /// Sends the bytes of `from` with `fds` attached to the first. Waits until all were taken, unless the flags
    /// say otherwise.
    ///
    /// # Errors
    ///
    /// As sendmsg(2) has them; nothing was sent.
    pub fn send(
        &self,
        from: &[IoSlice<'_>],
        fds: &[BorrowedFd<'_>],
        flags: CallFlags,
    ) -> Result<usize, Errno> {
        let len = from.iter().fold(0_usize, |len, piece| len.saturating_add(piece.len()));
        if len == 0 {
            // As the kernel: there is no byte that descriptors could go with.
            return self.body().map(|_| 0);
        }
        let mut sent = 0;
        loop {
            let fds = if sent == 0 { fds } else { &[] };
            match self.with(|body| body.send(from, sent, fds)) {
                Ok(more) => sent = sent.saturating_add(more),
                Err(Errno::WOULDBLOCK) if flags.dont_wait && sent > 0 => return Ok(sent),
                Err(Errno::WOULDBLOCK) if !flags.dont_wait => match self.wait_room(None) {
                    Ok(_) => {}
                    Err(_) if sent > 0 => return Ok(sent),
                    Err(error) => return Err(error),
                },
                Err(_) if sent > 0 => return Ok(sent),
                Err(error) => return Err(error),
            }
            if sent >= len {
                return Ok(sent);
            }
        }
    }

    /// Receives bytes, and the descriptors that belong to the first of them.
    ///
    /// # Errors
    ///
    /// As recvmsg(2) has them; nothing was received.
    pub fn receive(
        &self,
        into: &mut dyn Sink,
        fds: &mut Vec<ReceivedFd>,
        flags: CallFlags,
    ) -> Result<usize, Errno> {
        let mut received = 0;
        loop {
            let (len, had_fds) = (into.room(), !fds.is_empty());
            let result = self.with(|body| body.receive(into, received, fds, flags.peek));
            match result {
                Ok(0) => return Ok(received),
                Ok(more) => received = received.saturating_add(more),
                Err(Errno::WOULDBLOCK) if !flags.dont_wait => match self.data.wait(None) {
                    Ok(_) => {}
                    Err(_) if received > 0 => return Ok(received),
                    Err(error) => return Err(error),
                },
                Err(_) if received > 0 => return Ok(received),
                Err(error) => return Err(error),
            }
            let attached = had_fds || !fds.is_empty();
            if received >= len || received > 0 && (!flags.wait_all || flags.peek || attached) {
                return Ok(received);
            }
        }
    }

    /// Ends one or both directions, as shutdown(2) does.
    ///
    /// # Errors
    ///
    /// It is a listener.
    pub fn shutdown(&self, read: bool, write: bool) -> Result<(), Errno> {
        self.with(|body| {
            if read {
                body.read_shut = true;
                body.socket.shutdown_read();
            }
            if write {
                body.socket.shutdown_write();
            }
            Ok(())
        })
    }

    /// Moves what can be moved, and says what can be done now.
    ///
    /// # Errors
    ///
    /// A call has panicked.
    pub fn dispatch(&self) -> Result<Readiness, Errno> {
        if let Kind::Listener { listener, .. } = &self.kind {
            let mut ready = [PollFd::new(listener, PollFlags::IN)];
            poll(&mut ready, Some(&Timespec::default()))?;
            return Ok(Readiness { read: !ready[0].revents().is_empty(), ..Readiness::default() });
        }
        self.with(|body| {
            // A failure is part of what the socket is ready for.
            let _ = body.socket.dispatch();
            Ok(body.readiness())
        })
    }

    /// While somebody watches, the [`room_set`](Self::room_set) is readable when there is room to send.
    ///
    /// # Errors
    ///
    /// It is a listener, or a call has panicked.
    pub fn watch_room(&self, watch: bool) -> Result<(), Errno> {
        self.with(|body| {
            let waits = body.write_waits;
            body.write_waits = if watch { waits.saturating_add(1) } else { waits.saturating_sub(1) };
            Ok(())
        })
    }

    /// Accepts a connection on a listener. Returns the stream and the region that it shares.
    ///
    /// # Errors
    ///
    /// As accept(2) has them.
    pub fn accept(&self, dont_wait: bool) -> Result<Socket, Errno> {
        let Kind::Listener { listener, region } = &self.kind else { return Err(Errno::INVAL) };
        let accepted = loop {
            if !dont_wait {
                self.data.wait(None)?;
            }
            match listener.accept() {
                Ok(accepted) => break accepted,
                // Another thread was faster.
                Err(AcceptError::WouldBlock) if !dont_wait => {}
                Err(AcceptError::WouldBlock) => return Err(Errno::WOULDBLOCK),
                // As for one that gave up before it was accepted.
                Err(AcceptError::Stranger(_)) => {}
                Err(AcceptError::Peer(error) | AcceptError::Accept(error)) => return Err(error),
            }
        };
        let options = super::socket::options(region.clone());
        let _guard = SigpipeGuard::new();
        Socket::accept(accepted, options).map_err(|error| error.errno())
    }

    /// Announces new content of memory that the peer has a mirror of. Waits for room if `waits` says so.
    ///
    /// # Errors
    ///
    /// As [`Socket::mirror_write_file`]; EAGAIN if it would block.
    pub fn mirror_write(&self, memory: BorrowedFd<'_>, rect: MirrorRect, waits: bool) -> Result<(), Errno> {
        loop {
            let result = self.with(|body| {
                let written = match body.socket.mirror_write_file(memory, rect) {
                    Err(SocketError::WouldBlock) => {
                        // A failure is what the next attempt reports.
                        let _ = body.socket.dispatch();
                        body.socket.mirror_write_file(memory, rect)
                    }
                    result => result,
                };
                written.and_then(|()| body.socket.flush()).map_err(|error| error.errno())
            });
            match result {
                Err(Errno::WOULDBLOCK) if waits => self.wait_room(None)?,
                result => return result,
            };
        }
    }

    /// The peer's mirror of a file is not needed any more, as nobody will write it.
    ///
    /// # Errors
    ///
    /// It is a listener, or a call has panicked.
    pub fn mirror_close(&self, file: FileId) -> Result<(), Errno> {
        self.with(|body| {
            body.socket.mirror_close_file(file);
            Ok(())
        })
    }

    /// Ends the connection in order: what was sent is handed to the stream first. Waits for that a moment at most,
    /// and only if `linger` says so.
    fn finish(&self, linger: bool) {
        // The descriptor is closed whatever becomes of the connection.
        let _ = self.shutdown(true, true);
        let deadline = Instant::now() + LINGER;
        let unsent = |body: &mut Body| match body.socket.dispatch() {
            Ok(()) => Ok(body.socket.queued_bytes() > 0),
            Err(_) => Ok(false),
        };
        while linger && self.with(unsent) == Ok(true) {
            let left = deadline.saturating_duration_since(Instant::now());
            // What was not received must not end the wait.
            let ready = self.room().and_then(|stream| stream.wait(Some(left)));
            if ready != Ok(true) {
                break;
            }
        }
    }

    /// Waits until the peer has answered.
    ///
    /// # Errors
    ///
    /// ETIMEDOUT, or why the connection failed.
    pub fn wait_open(&self, timeout: Duration) -> Result<(), Errno> {
        let deadline = Instant::now() + timeout;
        loop {
            let open = self.with(|body| match body.socket.dispatch() {
                Ok(()) => Ok(body.socket.is_open()),
                Err(error) => Err(error.errno()),
            })?;
            let left = deadline.saturating_duration_since(Instant::now());
            if open {
                return Ok(());
            }
            if left.is_zero() {
                return Err(Errno::TIMEDOUT);
            }
            match self.data.wait(Some(left)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until there may be room to send. False if the time passed before.
    fn wait_room(&self, timeout: Option<Duration>) -> Result<bool, Errno> {
        let room = self.room()?;
        self.watch_room(true)?;
        let result = room.wait(timeout);
        self.watch_room(false)?;
        result
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if !self.is_inherited() {
            let linger = !message::is_nonblocking(self.set());
            // A destructor may run while another panic is under way.
            let _ = catch_unwind(AssertUnwindSafe(|| self.finish(linger)));
            return;
        }
        // The connection is a parent's, which goes on with it.
        let is_torn = matches!(&self.kind, Kind::Socket(body)
            if matches!(body.try_lock(), Err(TryLockError::WouldBlock)));
        if is_torn {
            // Half of a change may be there, which no destructor is to see. That thread does not exist here.
            std::mem::forget(std::mem::replace(&mut self.kind, Kind::Torn));
        }
    }
}

impl Body {
    fn send(&mut self, from: &[IoSlice<'_>], skip: usize, fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
        let Self { socket, scratch, failed, .. } = self;
        if let Some(error) = failed {
            return Err(*error);
        }
        let bytes = match from {
            [only] => only.get(skip..).unwrap_or_default(),
            pieces => {
                gather(pieces, skip, scratch);
                scratch.as_slice()
            }
        };
        match socket.sendmsg(bytes, fds) {
            Err(SocketError::WouldBlock | SocketError::Disconnected) => {}
            Ok(len) if socket.queued_bytes() > 0 => {
                // The peer may have made room that the socket has not been told of.
                let _ = socket.dispatch();
                return Ok(len);
            }
            result => return result.map_err(|error| error.errno()),
        }
        // There may be room that the socket has not been told of. A failure is what the next attempt reports.
        let _ = socket.dispatch();
        match socket.sendmsg(bytes, fds) {
            Err(SocketError::Disconnected) if socket.readiness().end => Err(Errno::PIPE),
            result => result.map_err(|error| error.errno()),
        }
    }

    fn receive(
        &mut self,
        into: &mut dyn Sink,
        from: usize,
        fds: &mut Vec<ReceivedFd>,
        peek: bool,
    ) -> Result<usize, Errno> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.read_shut || into.room() <= from {
            return Ok(0);
        }
        if peek {
            self.look(into.room() - from)?;
        }
        if let Some(first) = self.peeked.front_mut() {
            let len = first.receive(into, from, fds, peek)?;
            self.peeked.retain(|peeked| !peeked.bytes.is_empty());
            return Ok(len);
        }
        let before = fds.len();
        let len = if let Some(piece) = into.single(from) {
            take(&mut self.socket, piece, fds)?
        } else {
            self.scratch.resize(SCRATCH.min(into.room() - from), 0);
            let len = take(&mut self.socket, &mut self.scratch, fds)?;
            into.store(from, self.scratch.get(..len).unwrap_or_default());
            len
        };
        let new = fds.get(before..).unwrap_or_default();
        self.check(new.iter().any(is_part)).inspect_err(|_| fds.truncate(before))?;
        Ok(len)
    }

    /// Refuses a part of a region: the descriptor alone would not say which part. Only a peer that means harm or
    /// was made for another purpose sends one.
    fn check(&mut self, has_part: bool) -> Result<(), Errno> {
        if !has_part {
            return Ok(());
        }
        self.failed = Some(Errno::PROTO);
        self.socket.shutdown_read();
        self.socket.shutdown_write();
        Err(Errno::PROTO)
    }

    /// Takes what `MSG_PEEK` then shows, up to `len` bytes, and what the next calls receive.
    fn look(&mut self, len: usize) -> Result<(), Errno> {
        let len = len.min(SCRATCH);
        loop {
            let held = self.peeked.front().map_or(0, |first| first.bytes.len());
            if held >= len || self.peeked.len() > 1 {
                return Ok(());
            }
            let (mut bytes, mut fds) = (vec![0; len - held], Vec::new());
            let more = match take(&mut self.socket, &mut bytes, &mut fds) {
                Ok(more @ 1..) => more,
                // What there is can be shown.
                Ok(_) | Err(_) if held > 0 => return Ok(()),
                result => return result.map(|_| ()),
            };
            self.check(fds.iter().any(is_part))?;
            bytes.truncate(more);
            match self.peeked.front_mut().filter(|_| fds.is_empty()) {
                Some(first) => first.bytes.append(&mut bytes),
                None => self.peeked.push_back(Peeked { bytes, fds }),
            }
        }
    }

    fn readiness(&self) -> Readiness {
        let failed = self.failed.is_some();
        let Readiness { read, write, end, hang_up, error } = self.socket.readiness();
        // A peer that has ended its data before it went has closed the connection, not lost it.
        Readiness {
            read: read || !self.peeked.is_empty() || self.read_shut || failed,
            write: write || failed,
            end: end || self.read_shut || failed,
            hang_up: hang_up || failed,
            error: error && !end || failed,
        }
    }
}

impl Peeked {
    fn receive(
        &mut self,
        into: &mut dyn Sink,
        from: usize,
        fds: &mut Vec<ReceivedFd>,
        peek: bool,
    ) -> Result<usize, Errno> {
        let len = self.bytes.len().min(into.room().saturating_sub(from));
        if peek {
            for received in &self.fds {
                let fd = rustix::io::fcntl_dupfd_cloexec(&received.fd, 0)?;
                fds.push(ReceivedFd { fd, kind: received.kind });
            }
        } else {
            fds.append(&mut self.fds);
        }
        into.store(from, self.bytes.get(..len).unwrap_or_default());
        if !peek {
            self.bytes.drain(..len);
        }
        Ok(len)
    }
}

fn is_part(received: &ReceivedFd) -> bool {
    matches!(received.kind, ReceivedKind::Region { offset: 1.., .. })
}

/// Receives what is there, looking at the stream only if nothing is.
fn take(socket: &mut Socket, into: &mut [u8], fds: &mut Vec<ReceivedFd>) -> Result<usize, Errno> {
    match socket.recvmsg(into, fds) {
        Err(SocketError::WouldBlock) => {}
        result => return result.map_err(|error| error.errno()),
    }
    // A failure is what the next attempt reports, after what came before it.
    let _ = socket.dispatch();
    socket.recvmsg(into, fds).map_err(|error| error.errno())
}

/// Puts the bytes of `pieces` from `skip` on into `scratch`, as far as there is room.
fn gather(pieces: &[IoSlice<'_>], skip: usize, scratch: &mut Vec<u8>) {
    scratch.clear();
    let mut skip = skip;
    for piece in pieces {
        let rest = piece.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(piece.len());
        let room = SCRATCH.saturating_sub(scratch.len());
        scratch.extend_from_slice(rest.get(..rest.len().min(room)).unwrap_or_default());
    }
}
