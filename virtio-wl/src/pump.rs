//! Joins a local Unix stream socket to another connection, both ways, within the caller's thread.
//!
//! For each direction the pump holds one buffer and the descriptors that belong to its first byte. It reads
//! more only when the buffer has left, so that a side that does not read stops the other side and costs one
//! buffer (and the queue of a [`Socket`]). Each direction ends on its own: an end of one side's data is passed on as a
//! half-close, and a side that does not take data any more stops the other side's sending. A local side that has gone away
//! altogether takes none, which matters where the other end has no half-close. The pump is finished when both
//! directions have ended and, on a [`Socket`], its pipes too.
//!
//! A side that reads on for itself while the other end takes nothing can have that held here instead, up to a bound
//! ([`Pump::hold_from_local`]): a program that keeps a queue of its own loses that when it goes, and this pump does not.
//!
//! What the other end sent last often says why it closed the connection, and sending to it fails first. So an error is
//! returned only after what is held of the other end was passed on, as far as the local side takes it.
//!
//! Waiting: the pump's descriptor is readable when [`Pump::turn`] has something to do. Nothing is waited for
//! that a turn would not act on, so that an idle or blocked pump causes no wake-up. Who waits for more can have it all in
//! one set ([`Pump::register`]), which also tells the two sides apart.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::Shutdown;
use thiserror::Error;

use crate::poll::{Interest, Poll, Registration};
use crate::socket::{Socket, SocketError};
use crate::unix::{self, UnixError};
use crate::vfd::{ReceivedFd, ReceivedKind};
use crate::wire::{DATA_WINDOW, MAX_FDS};

const LOCAL: u64 = 0;
const ENDPOINT: u64 = 1;

/// Bytes of the other end, about, that are passed on after an error: the most that a [`Socket`] can hold.
const LAST_BYTES: usize = *DATA_WINDOW.end() as usize;

/// Why a pump cannot go on. The connection is over.
#[derive(Debug, Error)]
pub enum PumpError {
    /// The local socket failed, or carried too many descriptors.
    #[error("local socket: {0}")]
    Local(UnixError),
    /// The other Unix socket failed, or carried too many descriptors.
    #[error("other end: {0}")]
    Unix(UnixError),
    /// The virtio-wl socket failed, or a descriptor cannot cross it.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The peer sent a part of the region, which a Unix socket cannot express.
    #[error("the peer sent a part of the region that does not begin at its beginning")]
    PartOfRegion,
    /// Waiting for the sockets failed.
    #[error("cannot wait for the sockets of a connection: {0}")]
    Poll(Errno),
    /// A local descriptor could not be made.
    #[error("cannot duplicate a descriptor: {0}")]
    Duplicate(Errno),
}

/// How a pump shares its thread with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PumpOptions {
    /// Bytes moved per turn and direction before the turn ends. At least one chunk is moved.
    pub budget_bytes: usize,
    /// Size of the buffer of each direction, in bytes; at least 4096.
    pub chunk_bytes: usize,
    /// What the other end does not take any more is read and dropped. Otherwise the local side's sending is
    /// stopped, which a program may take for a hang-up before it has read what it was sent.
    pub drop_untaken: bool,
}

impl Default for PumpOptions {
    fn default() -> Self {
        Self { budget_bytes: 128 * 1024, chunk_bytes: 64 * 1024, drop_untaken: false }
    }
}

/// What the local socket is joined to.
#[derive(Debug)]
pub enum Endpoint {
    /// A socket whose peer is in another VM.
    Virtio(Box<Socket>),
    /// Another local Unix stream socket.
    Unix(OwnedFd),
}

impl From<Socket> for Endpoint {
    fn from(socket: Socket) -> Self {
        Self::Virtio(Box::new(socket))
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Virtio(socket) => socket.as_fd(),
            Self::Unix(fd) => fd.as_fd(),
        }
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The budget was used up: call again soon, the pump's descriptor may not be readable.
    pub more: bool,
    /// Bytes that went to the local socket.
    pub to_local: usize,
    /// Bytes that came from the local socket and were accepted by the other end.
    pub from_local: usize,
}

/// What became of [`Pump::hold_from_local`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOn {
    /// Bytes that are held in addition.
    pub bytes: usize,
    /// The local side has sent nothing more.
    pub all: bool,
}

/// A chunk that was read before the one ahead of it had left.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

/// One direction.
#[derive(Debug)]
struct Flow {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    fds: Vec<OwnedFd>,
    /// What follows the buffer, each no longer than it, and their length together.
    held: VecDeque<Held>,
    held_bytes: usize,
    paused: bool,
    blocked: bool,
    /// The reading side gave less than there was room for, in this turn. If there is more, the descriptor of the pump says
    /// so, at less cost than asking each time.
    drained: bool,
    /// The reading side has ended.
    eof: bool,
    /// The writing side was told, or does not take anything any more.
    done: bool,
    /// The writing side does not take anything any more, and the reading side is read to its end nevertheless.
    dropping: bool,
}

/// How one attempt to move a buffer on went.
enum Step {
    Moved(usize),
    Blocked,
    /// The reading side has nothing more, or the writing side takes nothing more, for good.
    Ended,
}

impl Flow {
    fn new(chunk: usize) -> Self {
        let buffer = vec![0; chunk.max(4096)];
        let fds = Vec::new();
        let (held, held_bytes) = (VecDeque::new(), 0);
        let (paused, blocked, drained, eof, done, dropping) = (false, false, false, false, false, false);
        Self {
            buffer,
            start: 0,
            end: 0,
            fds,
            held,
            held_bytes,
            paused,
            blocked,
            drained,
            eof,
            done,
            dropping,
        }
    }

    fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether more should be read.
    fn is_hungry(&self) -> bool {
        self.is_empty() && self.held.is_empty() && !self.paused && !self.eof && !self.done
    }

    /// Puts what is held next into the empty buffer. False if nothing is.
    fn refill(&mut self) -> bool {
        let Some(Held { bytes, fds }) = self.held.pop_front() else { return false };
        self.held_bytes = self.held_bytes.saturating_sub(bytes.len());
        if let Some(space) = self.buffer.get_mut(..bytes.len()) {
            space.copy_from_slice(&bytes);
        }
        self.fds = fds;
        self.filled(bytes.len());
        true
    }

    fn filled(&mut self, len: usize) {
        self.start = 0;
        self.end = len.min(self.buffer.len());
    }

    /// So many bytes left, and with the first of them the descriptors.
    fn sent(&mut self, len: usize) {
        self.fds.clear();
        self.start = self.start.saturating_add(len);
    }

    fn finish(&mut self) {
        self.done = true;
        self.fds.clear();
        self.held.clear();
        self.held_bytes = 0;
        self.filled(0);
    }
}

type Inspector = Box<dyn FnMut(&[u8])>;

/// Joins two connections. See the module.
pub struct Pump {
    local: OwnedFd,
    endpoint: Endpoint,
    poll: Poll,
    /// What is waited for, of the local side and of the other end. `None`: nothing yet.
    interests: Option<[Interest; 2]>,
    to_local: Flow,
    from_local: Flow,
    budget: usize,
    drop_untaken: bool,
    inspector: Option<Inspector>,
    /// Empty between messages; its memory is used again.
    received: Vec<ReceivedFd>,
    /// Descriptors that were taken from the other end.
    fds_to_local: u64,
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { local, endpoint, to_local, from_local, .. } = self;
        f.debug_struct("Pump")
            .field("local", local)
            .field("endpoint", endpoint)
            .field("to_local", to_local)
            .field("from_local", from_local)
            .finish_non_exhaustive()
    }
}

impl AsFd for Pump {
    /// A descriptor that is readable when [`turn`](Pump::turn) has something to do. Wait for it
    /// level-triggered; never read it. Of a [registered](Pump::register) pump it is the set that it is registered in.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if self.poll.is_within() {
            let Self { local, endpoint, poll, .. } = self;
            // There is nobody left to tell.
            let _ = poll.set(LOCAL, local.as_fd(), Interest::NONE);
            let _ = poll.set(ENDPOINT, endpoint.as_fd(), Interest::NONE);
        }
    }
}

impl Pump {
    /// How much higher than the token of its registration the one is by which the other end is reported. That of the local
    /// side is the token itself.
    pub const ENDPOINT: u64 = ENDPOINT;

    /// A pump between `local` and `endpoint`. Their flags are left as they are.
    ///
    /// # Errors
    ///
    /// The sockets cannot be waited for.
    pub fn new(
        local: OwnedFd,
        endpoint: impl Into<Endpoint>,
        options: &PumpOptions,
    ) -> Result<Self, PumpError> {
        let mut pump = Self {
            local,
            endpoint: endpoint.into(),
            poll: Poll::new().map_err(PumpError::Poll)?,
            interests: None,
            to_local: Flow::new(options.chunk_bytes),
            from_local: Flow::new(options.chunk_bytes),
            budget: options.budget_bytes.max(1),
            drop_untaken: options.drop_untaken,
            inspector: None,
            received: Vec::new(),
            fds_to_local: 0,
        };
        pump.update_interest()?;
        Ok(pump)
    }

    /// Has the pump waited for in somebody else's set, instead of by its descriptor: with the token of the registration for the
    /// local side, and the one [after it](Self::ENDPOINT) for the other end. Events are level-triggered. What the pump registers
    /// there leaves with it. For once in the life of a pump.
    ///
    /// # Errors
    ///
    /// It cannot be registered. The pump must not be used then.
    pub fn register(&mut self, registration: &Registration) -> Result<(), PumpError> {
        if let Endpoint::Virtio(socket) = &mut self.endpoint {
            socket.register(&registration.further(ENDPOINT))?;
        }
        self.poll = Poll::within(registration);
        self.interests = None;
        self.update_interest()
    }

    /// Shows all bytes that go to the local socket to `inspector`, in order, each once, before they go there.
    pub fn set_inspector(&mut self, inspector: impl FnMut(&[u8]) + 'static) {
        self.inspector = Some(Box::new(inspector));
    }

    /// Moves what can be moved, within the budget. Never blocks.
    ///
    /// # Errors
    ///
    /// The connection is over. What the other end had sent before it failed was passed on as far as the local side took it,
    /// whatever the budget. If [`blocked_to_local`](Self::blocked_to_local) is true then, a further turn passes on more, and
    /// fails in the same way.
    pub fn turn(&mut self) -> Result<Turn, PumpError> {
        self.turn_both(true)
    }

    /// A [`turn`](Self::turn) for whoever knows that the local socket has sent nothing since the last one.
    ///
    /// # Errors
    ///
    /// As for [`turn`](Self::turn).
    pub fn turn_to_local(&mut self) -> Result<Turn, PumpError> {
        // What was taken from it earlier and waits for the other end may go on.
        let waits = self.blocked_to_endpoint() || self.from_local.eof;
        self.turn_both(waits)
    }

    fn turn_both(&mut self, local_sent: bool) -> Result<Turn, PumpError> {
        let result = self.move_both(local_sent);
        self.after_last_words(result)
    }

    /// A result, where it is an error after everything that is held of the other end has gone to the local side, or as much as
    /// it takes: the other end sent it before the error, and it may explain it.
    fn after_last_words(&mut self, result: Result<Turn, PumpError>) -> Result<Turn, PumpError> {
        if result.is_err() {
            let mut left = LAST_BYTES;
            self.to_local.drained = false;
            // An error of this has no other cause; the one at hand is the one to report.
            while left > 0
                && let Ok(moved @ 1..) = self.move_to_local()
            {
                left = left.saturating_sub(moved);
            }
        }
        result
    }

    fn move_both(&mut self, local_sent: bool) -> Result<Turn, PumpError> {
        if let Endpoint::Virtio(socket) = &mut self.endpoint {
            socket.dispatch()?;
        }
        self.from_local.drained = false;
        self.to_local.drained = false;
        let from_local = if local_sent { self.move_from_local()? } else { 0 };
        if self.waits_for_hang_up() && has_hung_up(&self.local)? {
            self.to_local.finish();
            self.stop_endpoint();
        }
        let to_local = self.move_to_local()?;
        if let Endpoint::Virtio(socket) = &mut self.endpoint {
            socket.flush()?;
        }
        self.update_interest()?;
        let more = from_local >= self.budget || to_local >= self.budget;
        Ok(Turn { more, to_local, from_local })
    }

    /// The part of [`turn`](Self::turn) that takes what the local socket has sent to the other end: for whoever knows that
    /// nothing else has happened since the last turn.
    ///
    /// # Errors
    ///
    /// As for [`turn`](Self::turn).
    pub fn turn_from_local(&mut self) -> Result<Turn, PumpError> {
        let result = self.move_out();
        self.after_last_words(result)
    }

    fn move_out(&mut self) -> Result<Turn, PumpError> {
        self.from_local.drained = false;
        let from_local = self.move_from_local()?;
        if let Endpoint::Virtio(socket) = &mut self.endpoint {
            socket.flush()?;
        }
        self.update_interest()?;
        Ok(Turn { more: from_local >= self.budget, to_local: 0, from_local })
    }

    /// Stops or resumes feeding the local socket. After resuming, call [`turn`](Self::turn).
    pub fn pause_to_local(&mut self, paused: bool) {
        if std::mem::replace(&mut self.to_local.paused, paused) == paused {
            return;
        }
        // An error would appear again in the next turn.
        let _ = self.update_interest();
    }

    /// Stops or resumes taking from the local socket. After resuming, call [`turn`](Self::turn).
    pub fn pause_from_local(&mut self, paused: bool) {
        if std::mem::replace(&mut self.from_local.paused, paused) == paused {
            return;
        }
        // An error would appear again in the next turn.
        let _ = self.update_interest();
    }

    /// Takes what the local side has sent although the other end does not take what came before, until `max_bytes` are held, or
    /// about one chunk more. It follows in later turns, as if it had been read then.
    ///
    /// # Errors
    ///
    /// The connection is over.
    pub fn hold_from_local(&mut self, max_bytes: usize) -> Result<ReadOn, PumpError> {
        let read = self.read_on(max_bytes)?;
        self.update_interest()?;
        Ok(read)
    }

    fn read_on(&mut self, max_bytes: usize) -> Result<ReadOn, PumpError> {
        let flow = &mut self.from_local;
        let mut chunk = vec![0; flow.buffer.len()];
        let mut read = ReadOn { bytes: 0, all: true };
        while !flow.eof && !flow.done {
            if flow.held_bytes >= max_bytes {
                read.all = false;
                break;
            }
            let mut fds = Vec::new();
            match unix::receive(&self.local, &mut chunk, &mut fds) {
                Ok(0) | Err(UnixError::Receive(Errno::CONNRESET)) => flow.eof = true,
                Ok(len) => {
                    let bytes = chunk.get(..len).unwrap_or_default().to_vec();
                    flow.held_bytes = flow.held_bytes.saturating_add(len);
                    read.bytes = read.bytes.saturating_add(len);
                    flow.held.push_back(Held { bytes, fds });
                }
                Err(UnixError::WouldBlock) => break,
                Err(error) => return Err(PumpError::Local(error)),
            }
        }
        Ok(read)
    }

    /// The other end. Moving its data behind the pump's back loses order.
    pub fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// The virtio-wl socket, if the other end is one.
    pub fn socket_mut(&mut self) -> Option<&mut Socket> {
        match &mut self.endpoint {
            Endpoint::Virtio(socket) => Some(socket),
            Endpoint::Unix(_) => None,
        }
    }

    /// Whether bytes wait for the other end to read.
    #[must_use]
    pub fn blocked_to_endpoint(&self) -> bool {
        let queued = match &self.endpoint {
            Endpoint::Virtio(socket) => socket.queued_bytes() > 0,
            Endpoint::Unix(_) => false,
        };
        queued || !self.from_local.is_empty() || !self.from_local.held.is_empty()
    }

    /// Whether bytes wait for the local side to read.
    #[must_use]
    pub fn blocked_to_local(&self) -> bool {
        !self.to_local.is_empty()
    }

    /// Grows whenever the other end has sent a descriptor, and again when it is on its way to the local side. While it stays
    /// as it is, nothing of what the other end sends becomes a descriptor of this process.
    #[must_use]
    pub fn received_fds(&self) -> u64 {
        let made = match &self.endpoint {
            Endpoint::Virtio(socket) => socket.received_vfds(),
            Endpoint::Unix(_) => 0,
        };
        self.fds_to_local.saturating_add(made)
    }

    /// How many descriptors of the other end were passed to the local side, or are held for it.
    #[must_use]
    pub fn passed_fds(&self) -> u64 {
        self.fds_to_local
    }

    /// Whether something of the other end is held here that the local side has not been given.
    #[must_use]
    pub fn holds_for_local(&self) -> bool {
        let held = match &self.endpoint {
            Endpoint::Virtio(socket) => socket.readiness().read,
            Endpoint::Unix(_) => false,
        };
        held || self.blocked_to_local()
    }

    /// Whether the other end has ended its data and the local side was told so, after all of it.
    #[must_use]
    pub fn ended_to_local(&self) -> bool {
        self.to_local.done
    }

    /// Whether the local side has ended its data and the other end was told so, after all that it takes.
    #[must_use]
    pub fn ended_from_local(&self) -> bool {
        self.from_local.done
    }

    /// Whether both directions have ended and nothing is left to do.
    #[must_use]
    pub fn finished(&self) -> bool {
        let endpoint = match &self.endpoint {
            Endpoint::Virtio(socket) => socket.is_finished(),
            Endpoint::Unix(_) => true,
        };
        self.to_local.done && self.from_local.done && endpoint
    }

    fn move_from_local(&mut self) -> Result<usize, PumpError> {
        let mut moved = 0;
        self.from_local.blocked = false;
        while moved < self.budget && !self.from_local.done {
            if self.from_local.is_empty() {
                if self.from_local.paused && !self.from_local.held.is_empty() {
                    break;
                }
                if self.from_local.refill() {
                    continue;
                }
                if self.from_local.eof {
                    self.end_endpoint();
                    self.from_local.finish();
                } else if self.from_local.paused || self.from_local.drained || !self.fill_from_local()? {
                    break;
                }
                continue;
            }
            match self.send_to_endpoint()? {
                Step::Moved(len) => {
                    moved = moved.saturating_add(len);
                    self.from_local.sent(len);
                }
                Step::Blocked => {
                    self.from_local.blocked = true;
                    break;
                }
                Step::Ended if self.drop_untaken => self.from_local.dropping = true,
                Step::Ended => {
                    self.from_local.finish();
                    // Makes further sends of the local side fail. Its socket may be gone already.
                    let _ = rustix::net::shutdown(&self.local, Shutdown::Read);
                }
            }
        }
        Ok(moved)
    }

    fn move_to_local(&mut self) -> Result<usize, PumpError> {
        let result = self.move_held_to_local();
        if result.is_err() {
            // What was read may lack a part or its descriptors, and nothing may follow a gap.
            self.to_local.finish();
        }
        result
    }

    fn move_held_to_local(&mut self) -> Result<usize, PumpError> {
        let mut moved = 0;
        self.to_local.blocked = false;
        while moved < self.budget && !self.to_local.done && !self.to_local.paused {
            if self.to_local.is_empty() {
                if self.to_local.eof {
                    // The local side may be gone already.
                    let _ = rustix::net::shutdown(&self.local, Shutdown::Write);
                    self.to_local.finish();
                } else if self.to_local.drained || !self.fill_from_endpoint()? {
                    break;
                }
                continue;
            }
            match send(&self.local, &self.to_local).map_err(PumpError::Local)? {
                Step::Moved(len) => {
                    moved = moved.saturating_add(len);
                    self.to_local.sent(len);
                }
                Step::Blocked => {
                    self.to_local.blocked = true;
                    break;
                }
                Step::Ended => {
                    self.to_local.finish();
                    self.stop_endpoint();
                }
            }
        }
        Ok(moved)
    }

    /// Reads a chunk from the local socket. False if there is none.
    fn fill_from_local(&mut self) -> Result<bool, PumpError> {
        receive(&self.local, &mut self.from_local).map_err(PumpError::Local)
    }

    /// Reads a chunk from the other end. False if there is none.
    fn fill_from_endpoint(&mut self) -> Result<bool, PumpError> {
        let flow = &mut self.to_local;
        match &mut self.endpoint {
            Endpoint::Unix(fd) => {
                if !receive(fd, flow).map_err(PumpError::Unix)? {
                    return Ok(false);
                }
            }
            Endpoint::Virtio(socket) => {
                match socket.recvmsg(&mut flow.buffer, &mut self.received) {
                    Ok(0) => flow.eof = true,
                    Ok(len) => flow.filled(len),
                    Err(SocketError::WouldBlock) => return Ok(false),
                    Err(error) => return Err(error.into()),
                }
                for ReceivedFd { fd, kind } in self.received.drain(..) {
                    if matches!(kind, ReceivedKind::Region { offset: 1.., .. }) {
                        return Err(PumpError::PartOfRegion);
                    }
                    flow.fds.push(fd);
                }
            }
        }
        let Self { inspector, to_local, fds_to_local, .. } = self;
        *fds_to_local = fds_to_local.saturating_add(u64::try_from(to_local.fds.len()).unwrap_or(u64::MAX));
        if let Some(inspector) = inspector
            && !to_local.is_empty()
        {
            inspector(to_local.pending());
        }
        Ok(true)
    }

    fn send_to_endpoint(&mut self) -> Result<Step, PumpError> {
        let flow = &self.from_local;
        if flow.dropping {
            return Ok(Step::Moved(flow.pending().len()));
        }
        match &mut self.endpoint {
            Endpoint::Unix(fd) => send(fd, flow).map_err(PumpError::Unix),
            Endpoint::Virtio(socket) => {
                let mut space = [self.local.as_fd(); MAX_FDS];
                match socket.sendmsg(flow.pending(), borrow(&flow.fds, &mut space)) {
                    Ok(len) => Ok(Step::Moved(len)),
                    Err(SocketError::WouldBlock) => Ok(Step::Blocked),
                    Err(SocketError::BrokenPipe) => Ok(Step::Ended),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// The other end will not be sent anything more.
    fn end_endpoint(&mut self) {
        match &mut self.endpoint {
            Endpoint::Virtio(socket) => socket.shutdown_write(),
            Endpoint::Unix(fd) => {
                // It may be gone already.
                let _ = rustix::net::shutdown(fd, Shutdown::Write);
            }
        }
    }

    /// Nothing more will be taken from the other end.
    fn stop_endpoint(&mut self) {
        match &mut self.endpoint {
            Endpoint::Virtio(socket) => socket.shutdown_read(),
            Endpoint::Unix(fd) => {
                // It may be gone already.
                let _ = rustix::net::shutdown(fd, Shutdown::Read);
            }
        }
    }

    /// Whether the local side has ended its data, but may still take some: then nothing but a hang-up tells that it has gone
    /// away.
    fn waits_for_hang_up(&self) -> bool {
        self.from_local.eof && self.from_local.done && !self.to_local.done
    }

    fn update_interest(&mut self) -> Result<(), PumpError> {
        let hang_up = self.waits_for_hang_up();
        let Self { local, endpoint, poll, to_local, from_local, .. } = self;
        let waiting = |reads: &Flow, writes: &Flow| Interest {
            read: reads.is_hungry(),
            write: writes.blocked && !writes.done && !writes.paused,
            ..Interest::NONE
        };
        let of_local = Interest { hang_up, ..waiting(from_local, to_local) };
        let of_endpoint = match endpoint {
            // Registered by itself.
            Endpoint::Virtio(_) if poll.is_within() => Interest::NONE,
            Endpoint::Virtio(_) => Interest { read: true, ..Interest::NONE },
            Endpoint::Unix(_) => waiting(to_local, from_local),
        };
        let interests = Some([of_local, of_endpoint]);
        // Mostly, nothing has changed.
        if self.interests == interests {
            return Ok(());
        }
        self.interests = None;
        poll.set(LOCAL, local.as_fd(), of_local).map_err(PumpError::Poll)?;
        poll.set(ENDPOINT, endpoint.as_fd(), of_endpoint).map_err(PumpError::Poll)?;
        self.interests = interests;
        Ok(())
    }
}

/// Whether neither direction of a socket is left.
fn has_hung_up(socket: &OwnedFd) -> Result<bool, PumpError> {
    let mut fds = [PollFd::new(socket, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).map_err(PumpError::Poll)?;
    Ok(fds.iter().any(|fd| fd.revents().contains(PollFlags::HUP)))
}

/// Reads a chunk into an empty flow. False if there is none.
fn receive(from: &OwnedFd, flow: &mut Flow) -> Result<bool, UnixError> {
    let Flow { buffer, fds, .. } = flow;
    match unix::receive(from, buffer, fds) {
        Ok(0) | Err(UnixError::Receive(Errno::CONNRESET)) => {
            flow.eof = true;
            Ok(true)
        }
        Ok(len) => {
            // The kernel ends a read behind a message with descriptors, whatever follows.
            flow.drained = flow.fds.is_empty() && len < flow.buffer.len();
            flow.filled(len);
            Ok(true)
        }
        Err(UnixError::WouldBlock) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Borrows descriptors, of which a message has at most [`MAX_FDS`].
fn borrow<'a, 'fd>(fds: &'fd [OwnedFd], space: &'a mut [BorrowedFd<'fd>; MAX_FDS]) -> &'a [BorrowedFd<'fd>] {
    let count = space.iter_mut().zip(fds).map(|(to, fd)| *to = fd.as_fd()).count();
    space.get(..count).unwrap_or_default()
}

/// Sends what a flow holds.
fn send(to: &OwnedFd, flow: &Flow) -> Result<Step, UnixError> {
    let mut space = [to.as_fd(); MAX_FDS];
    match unix::send(to, flow.pending(), borrow(&flow.fds, &mut space)) {
        Ok(len) => Ok(Step::Moved(len)),
        Err(UnixError::WouldBlock) => Ok(Step::Blocked),
        Err(UnixError::Send(Errno::PIPE | Errno::CONNRESET)) => Ok(Step::Ended),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;
