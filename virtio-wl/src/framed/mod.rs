//! A socket with file descriptors over a plain byte stream: the backend of [`Socket`](crate::Socket) for everything that
//! carries bytes alone.
//!
//! The stream format is that of `docs/wire.md`. The rules of the format are kept here; the states, the semantics and the
//! bounds are those that [`crate::socket`] describes.

mod bytes;
mod deadline;
mod incoming;
mod outgoing;
mod pipes;
mod rows;
mod send;
mod stream;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use self::deadline::Deadline;
use self::incoming::{FrameBuffer, Incoming};
use self::outgoing::Outgoing;
use self::pipes::{Ends, Pipes};
use self::rows::{IncomingRows, Parts, mirror_error};
use self::send::{LocalMirror, Prepared};
use self::stream::Stream;
use crate::mirror::Mirror;
use crate::pipe::PipeEnd;
use crate::poll::{Interest, Poll, Registration};
use crate::socket::{Readiness, SocketError, SocketOptions, Violation};
use crate::vfd::{FileId, ReceivedFd, ReceivedKind};
use crate::wire::{Frame, Hello, MirrorRect, NewVfd, Role, VfdIds};

/// Token of the stream in the poll set. Those of pipes come from their identifiers, which are never 0.
const STREAM: u64 = 0;

/// Bytes read from or written to the stream in one dispatch; the rest waits for the next one, so that one busy socket
/// does not starve the others of a thread.
const DISPATCH_BYTES: usize = 256 * 1024;

/// Reads from a stream that cannot be written any more.
const LAST_READS: usize = 64;

/// VFDs of this side and the peer, apart from pipes.
#[derive(Debug)]
struct Vfds {
    next_id: u32,
    last_peer_id: u32,
    /// Those that the peer has announced, and those that it has named in messages.
    received: u64,
    local_mirrors: BTreeMap<FileId, LocalMirror>,
    peer_mirrors: BTreeMap<u32, Mirror>,
}

/// A socket that carries file descriptors. See the module.
#[derive(Debug)]
pub(crate) struct FramedSocket {
    stream: Stream,
    poll: Poll,
    /// Where the stream is waited for, if not in the set of the socket: most of the time, nothing else is waited for.
    stream_poll: Option<Poll>,
    role: Role,
    options: SocketOptions,
    peer: Option<Hello>,
    deadline: Deadline,
    /// Bytes of the stream so far.
    received: u64,
    /// Bytes written to the stream so far.
    written: u64,
    paused: bool,
    buffer: FrameBuffer,
    /// The frame whose rows are read to where they belong.
    rows: Option<IncomingRows>,
    incoming: Incoming,
    outgoing: Outgoing,
    pipes: Pipes,
    vfds: Vfds,
    /// Empty between messages; its memory is used again.
    prepared: Vec<Prepared>,
    /// The most pipes of this side that the message can be sent with that was to be sent last; none: it has left.
    pipes_wanted: Option<usize>,
    stop_due: bool,
    /// Something waits to be written.
    write_blocked: bool,
    /// The stream did not take the last write, or not all of it.
    full: bool,
    closed: bool,
    failed: Option<SocketError>,
}

impl AsFd for FramedSocket {
    /// A descriptor that is readable whenever [`dispatch`](FramedSocket::dispatch) has something to do. Wait for it
    /// level-triggered; never read it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

impl Drop for FramedSocket {
    fn drop(&mut self) {
        if let Some(poll) = &mut self.stream_poll {
            // There is nobody left to tell.
            let _ = poll.set(STREAM, self.stream.as_fd(), Interest::NONE);
        }
    }
}

impl FramedSocket {
    /// Opens a socket on a connected byte stream on which nothing was sent or received yet, and sends the
    /// hello.
    ///
    /// # Errors
    ///
    /// The limits are out of bounds, or the stream cannot be used.
    pub fn new(stream: OwnedFd, role: Role, options: SocketOptions) -> Result<Self, SocketError> {
        let limits = &options.limits;
        let hello = Hello {
            purpose: options.purpose,
            role,
            has_region: options.region.is_some(),
            takes_sockets: options.take_sockets,
            data_window: limits.data_window,
            pipe_window: limits.pipe_window,
            max_pipes: limits.max_pipes,
            max_mirrors: limits.max_mirrors,
            max_blob: limits.max_blob_bytes,
            max_mirror_bytes: limits.max_mirror_bytes / 4096 * 4096,
        };
        let bytes = hello.encode();
        // What the peer would refuse is refused here.
        Hello::decode(&bytes).map_err(SocketError::Limits)?;
        let mut poll = Poll::new().map_err(SocketError::Poll)?;
        let stream = Stream::new(stream, options.is_vsock).map_err(SocketError::Read)?;
        let mut socket = Self {
            deadline: Deadline::start(options.hello_timeout, &mut poll)?,
            poll,
            stream_poll: None,
            role,
            peer: None,
            received: 0,
            written: 0,
            paused: false,
            buffer: FrameBuffer::new(),
            rows: None,
            incoming: Incoming::new(limits.data_window, limits.max_blob_bytes),
            outgoing: Outgoing::new(&bytes, stream.max_write()),
            stream,
            pipes: Pipes::new(limits.pipe_window),
            vfds: Vfds {
                next_id: role.first_id(),
                last_peer_id: 0,
                received: 0,
                local_mirrors: BTreeMap::new(),
                peer_mirrors: BTreeMap::new(),
            },
            prepared: Vec::new(),
            pipes_wanted: None,
            stop_due: false,
            write_blocked: false,
            full: false,
            closed: false,
            failed: None,
            options,
        };
        socket.flush()?;
        Ok(socket)
    }

    /// Has the socket waited for elsewhere. See [`Socket::register`](crate::Socket::register).
    ///
    /// # Errors
    ///
    /// It cannot be registered.
    pub fn register(&mut self, registration: &Registration) -> Result<(), SocketError> {
        registration.add(&self.poll).map_err(SocketError::Poll)?;
        if self.failed.is_some() {
            return Ok(());
        }
        self.poll.set(STREAM, self.stream.as_fd(), Interest::NONE).map_err(SocketError::Poll)?;
        self.stream_poll = Some(Poll::within(registration));
        self.update_interest()
    }

    /// Receives into `into` and appends at most [`MAX_FDS`](crate::wire::MAX_FDS) descriptors to `fds`: those
    /// that belong to the first byte returned. Returns 0 at the end of the data (or if `into` is empty).
    ///
    /// # Errors
    ///
    /// [`SocketError::WouldBlock`] if nothing is there yet, or why the connection failed. Data that came before it
    /// failed is returned first.
    pub fn recvmsg(&mut self, into: &mut [u8], fds: &mut Vec<ReceivedFd>) -> Result<usize, SocketError> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.incoming.has_data() {
            let len = self.incoming.take(into, fds);
            if self.failed.is_none() && self.incoming.has_grant() {
                // The credit must leave even if nobody sends or dispatches; an error of the stream is reported by
                // the next call, as the data is here already.
                let _ = self.flush();
            }
            return Ok(len);
        }
        if self.incoming.is_ended() {
            return Ok(0);
        }
        if self.failed.is_some() {
            self.poll.stop_alarm();
        }
        Err(self.failed.clone().unwrap_or(SocketError::WouldBlock))
    }

    /// Moves whatever can be moved: the stream, pipes, credit. Never blocks.
    ///
    /// # Errors
    ///
    /// The connection has failed.
    pub fn dispatch(&mut self) -> Result<(), SocketError> {
        let result = self.check().and_then(|()| {
            let result = self.dispatch_ready();
            self.record(result)
        });
        if result.is_err() {
            // Whoever dispatches looks at the result.
            self.poll.stop_alarm();
        }
        result
    }

    fn dispatch_ready(&mut self) -> Result<(), SocketError> {
        let elsewhere = self.stream_poll.is_some();
        let only_stream = if elsewhere { self.poll.is_empty() } else { self.poll.has_only(STREAM) };
        if elsewhere || only_stream {
            // Reading says by itself whether there is something to read.
            self.read_stream()?;
        }
        if only_stream {
            return self.write_stream();
        }
        self.poll.collect().map_err(SocketError::Poll)?;
        while let Some(event) = self.poll.next_event() {
            match event.token {
                STREAM => {
                    self.read_stream()?;
                }
                deadline::TOKEN => self.deadline.expired()?,
                token => self.pipes.local_event(token, event.hang_up, &mut self.poll)?,
            }
        }
        self.write_stream()
    }

    /// Sends what is queued as far as the stream takes it. [`sendmsg`](Self::sendmsg) and
    /// [`dispatch`](Self::dispatch) do so too.
    ///
    /// # Errors
    ///
    /// The connection has failed.
    pub fn flush(&mut self) -> Result<(), SocketError> {
        self.check()?;
        let result = self.write_stream();
        self.record(result)
    }

    /// No more data will be sent. What is queued is sent still, then the peer receives the end of the data.
    /// Pipes are not affected.
    pub fn shutdown_write(&mut self) {
        self.outgoing.want_end();
        if self.failed.is_none() {
            // A failure is reported by the next call.
            let _ = self.flush();
        }
    }

    /// No more data will be received: what was not taken yet is dropped, and the peer's sends fail with a broken
    /// pipe. Pipes are not affected.
    pub fn shutdown_read(&mut self) {
        self.incoming.discard();
        if self.failed.is_none() && !self.incoming.is_ended() {
            self.stop_due = true;
            // A failure is reported by the next call.
            let _ = self.flush();
        }
    }

    /// Bytes of data and blobs that wait to be sent.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.outgoing.queued().saturating_add(self.outgoing.unwritten().left())
    }

    /// Pipes that have not ended, of both sides.
    #[must_use]
    pub fn pipes_open(&self) -> usize {
        self.pipes.len()
    }

    /// Whether the peer's hello has come: before that, sending would block.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.peer.is_some()
    }

    /// Bytes that have come on the stream so far, whatever they were.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received
    }

    /// Bytes that have left this side so far. See [`Socket::delivered_bytes`](crate::Socket::delivered_bytes).
    #[must_use]
    pub fn delivered_bytes(&self) -> u64 {
        self.written.saturating_add(self.pipes.delivered())
    }

    /// What the peer has announced or named so far. See [`Socket::received_vfds`](crate::Socket::received_vfds).
    #[must_use]
    pub fn received_vfds(&self) -> u64 {
        self.vfds.received
    }

    /// Stops or resumes reading the stream. See [`Socket::pause`](crate::Socket::pause).
    ///
    /// # Errors
    ///
    /// The connection has failed.
    pub fn pause(&mut self, paused: bool) -> Result<(), SocketError> {
        self.check()?;
        self.paused = paused;
        let result = self.update_interest();
        self.record(result)
    }

    /// What can be done at once.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let error = self.failed.is_some();
        let (sends_ended, data_ended) = (self.outgoing.end_wanted(), self.incoming.is_ended());
        let room = self.room() > 0;
        Readiness {
            read: self.incoming.has_data() || data_ended || error,
            write: self.peer.is_some() && room || sends_ended || error,
            end: data_ended,
            hang_up: sends_ended && data_ended || error,
            error,
        }
    }

    /// Whether both directions and all pipes have ended and everything was sent. The socket can be dropped
    /// without anybody losing anything.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // What a failure has ended did not end in order.
        let sent = self.failed.is_none() && self.outgoing.is_ended() && self.outgoing.unwritten().left() == 0;
        sent && self.incoming.is_ended() && self.pipes.len() == 0
    }

    fn check(&self) -> Result<(), SocketError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Releases everything but the received data after an error.
    fn record(&mut self, result: Result<(), SocketError>) -> Result<(), SocketError> {
        let Err(error) = result else { return Ok(()) };
        self.failed = Some(error.clone());
        self.outgoing.clear_queue();
        self.outgoing.want_end();
        self.incoming.drop_unnamed();
        self.pipes.clear(&mut self.poll);
        self.vfds.local_mirrors.clear();
        self.vfds.peer_mirrors.clear();
        self.rows = None;
        let _ = self.deadline.stop(&mut self.poll);
        // Nothing is waited for any more; the error at hand is the one to report.
        let _ = self.wait_for_stream(Interest::NONE);
        self.poll.raise_alarm();
        Err(error)
    }

    /// Reads what is there, within the budget, until there is data for the application to take. False if nothing was
    /// there.
    fn read_stream(&mut self) -> Result<bool, SocketError> {
        let mut budget = DISPATCH_BYTES;
        while budget > 0 && !self.closed && !self.paused {
            let (result, wanted) = self.read_once();
            match result {
                Ok(0) => self.end_of_stream()?,
                Ok(len) => {
                    self.received = self.received.saturating_add(u64::try_from(len).unwrap_or(0));
                    let in_buffer = self.advance_rows(len);
                    self.buffer.filled(in_buffer);
                    if self.rows.is_none() {
                        self.handle_frames()?;
                    }
                    budget = budget.saturating_sub(len);
                    if len < wanted || self.incoming.has_data() {
                        break;
                    }
                }
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::CONNRESET | Errno::PIPE) => self.end_of_stream()?,
                Err(error) => return Err(SocketError::Read(error)),
            }
        }
        Ok(budget < DISPATCH_BYTES)
    }

    /// Reads to where the next bytes belong. Gives how many were asked for, too.
    fn read_once(&mut self) -> (Result<usize, Errno>, usize) {
        if self.rows.is_none() {
            let space = self.buffer.space();
            let wanted = space.len();
            return (self.stream.read(space), wanted);
        }
        let mut parts = Parts::new();
        self.row_parts(&mut parts);
        // SAFETY: the parts are of the mapping of a mirror and of the buffer, both of which are `self`'s and stay as they
        // are during the call.
        (unsafe { self.stream.read_parts(&mut parts) }, parts.len())
    }

    fn end_of_stream(&mut self) -> Result<(), SocketError> {
        self.closed = true;
        if !self.buffer.is_empty() || self.rows.is_some() {
            return Err(SocketError::Truncated);
        }
        // Credit that has not left is not missed by a peer that has closed the stream.
        let orderly = self.outgoing.is_ended() && self.incoming.is_ended() && self.pipes.len() == 0;
        if orderly { Ok(()) } else { Err(SocketError::Disconnected) }
    }

    fn handle_frames(&mut self) -> Result<(), SocketError> {
        if self.peer.is_none() {
            let Some(bytes) = self.buffer.take() else { return Ok(()) };
            self.handle_hello(Hello::decode(&bytes)?)?;
        }
        // The buffer is lent out, so that frames can borrow from it while the rest of the socket changes.
        let mut buffer = std::mem::replace(&mut self.buffer, FrameBuffer::lent());
        let result = loop {
            match buffer.next_frame() {
                Ok(Some(frame)) => {
                    if let Err(error) = self.handle_frame(frame) {
                        break Err(error);
                    }
                }
                Ok(None) => break self.begin_rows(&mut buffer),
                Err(error) => break Err(error.into()),
            }
        };
        self.buffer = buffer;
        result
    }

    fn handle_hello(&mut self, hello: Hello) -> Result<(), SocketError> {
        if hello.role == self.role {
            return Err(Violation::Role(hello.role).into());
        }
        if hello.purpose != self.options.purpose {
            return Err(Violation::Purpose(hello.purpose).into());
        }
        self.outgoing.open(hello.data_window);
        self.pipes.set_peer_window(hello.pipe_window);
        self.peer = Some(hello);
        self.deadline.stop(&mut self.poll)
    }

    fn handle_frame(&mut self, frame: Frame<'_>) -> Result<(), SocketError> {
        let poll = &mut self.poll;
        match frame {
            Frame::Data { vfds, bytes } => self.handle_data(vfds, bytes),
            Frame::VfdNew { id, vfd } => self.handle_vfd(id, vfd),
            Frame::BlobData { id, bytes } => {
                self.before_end("BLOB_DATA")?;
                self.incoming.blob_data(id, bytes)
            }
            Frame::MirrorWrite { id, rect, bytes } => self.handle_mirror(id, rect, bytes),
            Frame::MirrorClose { id } => {
                self.before_end("MIRROR_CLOSE")?;
                let mirror = self.vfds.peer_mirrors.remove(&id);
                mirror
                    .ok_or(Violation::Unknown { frame: "MIRROR_CLOSE", id })?
                    .close()
                    .map_err(|source| SocketError::Make { what: "mirror's content", source })
            }
            Frame::DataEnd => {
                self.before_end("DATA_END")?;
                self.incoming.end();
                Ok(())
            }
            Frame::DataCredit { bytes } => Ok(self.outgoing.grant(bytes)?),
            Frame::DataStop => {
                self.outgoing.clear_queue();
                self.outgoing.want_end();
                self.pipes.drop_unannounced();
                Ok(())
            }
            Frame::PipeData { id, bytes } => self.pipes.data(id, bytes, poll),
            Frame::PipeCredit { id, bytes } => self.pipes.credit(id, bytes),
            Frame::PipeEnd { id } => self.pipes.end(id, poll),
            Frame::PipeStop { id } => self.pipes.stop(id, poll),
        }
    }

    fn before_end(&self, frame: &'static str) -> Result<(), Violation> {
        if self.incoming.is_ended() { Err(Violation::AfterEnd(frame)) } else { Ok(()) }
    }

    fn handle_data(&mut self, vfds: VfdIds<'_>, bytes: &[u8]) -> Result<(), SocketError> {
        self.before_end("DATA")?;
        self.incoming.spend_data(vfds.len(), bytes.len())?;
        self.vfds.received = self.vfds.received.saturating_add(u64::try_from(vfds.len()).unwrap_or(u64::MAX));
        for id in vfds.iter() {
            let fd = match self.vfds.peer_mirrors.get_mut(&id) {
                Some(mirror) => {
                    mirror.share();
                    duplicate(mirror.file(), "mirror", ReceivedKind::Mirror { len: mirror.len() })?
                }
                None => self.incoming.take_named(id).ok_or(Violation::Unknown { frame: "DATA", id })?,
            };
            self.incoming.attach(fd);
        }
        self.incoming.add_data(bytes);
        Ok(())
    }

    fn handle_vfd(&mut self, id: u32, vfd: NewVfd) -> Result<(), SocketError> {
        self.before_end("VFD_NEW")?;
        let parity = self.role.peer().first_id() % 2;
        if id % 2 != parity || id <= self.vfds.last_peer_id {
            return Err(Violation::Id(id).into());
        }
        self.vfds.last_peer_id = id;
        self.vfds.received = self.vfds.received.saturating_add(1);
        match vfd {
            NewVfd::Region { offset, len } => {
                let region = self.options.region.as_deref().ok_or(Violation::Region)?;
                offset.checked_add(len).filter(|end| *end <= region.len()).ok_or(Violation::Region)?;
                let fd = duplicate(region, "region descriptor", ReceivedKind::Region { offset, len })?;
                self.incoming.add_ready(id, fd)
            }
            NewVfd::Mirror { len } => self.add_mirror(id, len),
            NewVfd::Blob { len } => self.incoming.add_blob(id, len),
            NewVfd::PipeRead => self.add_pipe(id, false, ReceivedKind::PipeRead),
            NewVfd::PipeWrite => self.add_pipe(id, true, ReceivedKind::PipeWrite),
            NewVfd::Socket => self.add_socket(id),
        }
    }

    fn add_mirror(&mut self, id: u32, len: u64) -> Result<(), SocketError> {
        let limits = &self.options.limits;
        let mirrors = &mut self.vfds.peer_mirrors;
        if mirrors.len() >= usize::from(limits.max_mirrors) {
            return Err(Violation::Limit { what: "mirrors", limit: limits.max_mirrors.into() }.into());
        }
        let total = mirrors.values().map(Mirror::len).fold(len, u64::saturating_add);
        if total > limits.max_mirror_bytes {
            let limit = limits.max_mirror_bytes;
            return Err(Violation::Limit { what: "bytes of mirrors", limit }.into());
        }
        let mirror = Mirror::new(len, self.options.mirror_budget.clone())
            .map_err(|source| SocketError::Make { what: "mirror", source })?;
        mirrors.insert(id, mirror);
        Ok(())
    }

    fn add_pipe(&mut self, id: u32, source: bool, kind: ReceivedKind) -> Result<(), SocketError> {
        self.check_pipes()?;
        let (ours, fd) =
            PipeEnd::create(!source).map_err(|source| SocketError::Make { what: "pipe", source })?;
        self.incoming.add_ready(id, ReceivedFd { fd, kind })?;
        self.pipes.add(id, Ends::of_pipe(ours, source), false);
        self.pipes.activate(id, &mut self.poll)
    }

    fn add_socket(&mut self, id: u32) -> Result<(), SocketError> {
        if !self.options.take_sockets {
            return Err(Violation::Socket.into());
        }
        self.check_pipes()?;
        let (ours, fd) =
            PipeEnd::create_socket().map_err(|source| SocketError::Make { what: "socket", source })?;
        self.incoming.add_ready(id, ReceivedFd { fd, kind: ReceivedKind::Socket })?;
        self.pipes.add(id, Ends::of_socket(ours), false);
        self.pipes.activate(id, &mut self.poll)
    }

    /// Whether the peer may announce one more pipe or socket.
    fn check_pipes(&self) -> Result<(), Violation> {
        let limit = self.options.limits.max_pipes;
        if self.pipes.announced(false) >= usize::from(limit) {
            return Err(Violation::Limit { what: "pipes", limit: limit.into() });
        }
        Ok(())
    }

    fn handle_mirror(&mut self, id: u32, rect: MirrorRect, bytes: &[u8]) -> Result<(), SocketError> {
        self.before_end("MIRROR_WRITE")?;
        let mirror = self.vfds.peer_mirrors.get_mut(&id);
        let mirror = mirror.ok_or(Violation::Unknown { frame: "MIRROR_WRITE", id })?;
        mirror.write(rect, bytes).map_err(|error| mirror_error(id, error))
    }

    /// Writes data that nothing precedes. Gives how much of it is on its way: written, or the write under way.
    fn write_at_once(&mut self, bytes: &[u8]) -> Result<usize, SocketError> {
        if self.closed || self.full {
            return Ok(0);
        }
        let Some((header, body)) = self.outgoing.at_once(bytes) else { return Ok(0) };
        let left = match self.stream.write_both(&header, body) {
            Ok(len) => len,
            Err(Errno::WOULDBLOCK) => 0,
            Err(Errno::PIPE | Errno::CONNRESET) => return self.peer_gone().map(|()| body.len()),
            Err(error) => return Err(SocketError::Write(error)),
        };
        self.count_written(left);
        if left < header.len().saturating_add(body.len()) {
            self.outgoing.left(left, &header, body);
            self.write_blocked = true;
            self.full = true;
            self.update_interest()?;
        }
        Ok(body.len())
    }

    fn write_stream(&mut self) -> Result<(), SocketError> {
        let mut budget = DISPATCH_BYTES;
        self.write_blocked = false;
        self.full = false;
        while !self.closed {
            if self.outgoing.unwritten().left() == 0 {
                self.compose()?;
            }
            let write = self.outgoing.unwritten();
            if write.left() == 0 {
                break;
            }
            if budget == 0 {
                self.write_blocked = true;
                break;
            }
            match self.stream.write_out(write) {
                Ok(len) => {
                    self.outgoing.advance(len);
                    self.count_written(len);
                    budget = budget.saturating_sub(len);
                }
                Err(Errno::WOULDBLOCK) => {
                    self.write_blocked = true;
                    self.full = true;
                    break;
                }
                // What the peer sent before it went away can still be read, and says why it did.
                Err(Errno::PIPE | Errno::CONNRESET) => return self.peer_gone(),
                Err(error) => return Err(SocketError::Write(error)),
            }
        }
        self.update_interest()
    }

    fn count_written(&mut self, len: usize) {
        self.written = self.written.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }

    fn compose(&mut self) -> Result<(), SocketError> {
        if self.peer.is_none() {
            return Ok(());
        }
        let mut grant = self.incoming.take_grant();
        let Self { outgoing, stop_due, pipes, poll, .. } = self;
        outgoing.compose(&mut grant, stop_due, pipes, poll)
    }

    /// The stream does not take anything any more: reads what is left of it, as far as that has an end.
    fn peer_gone(&mut self) -> Result<(), SocketError> {
        self.paused = false;
        for _ in 0..LAST_READS {
            if self.closed || !self.read_stream()? {
                break;
            }
        }
        if !self.closed {
            self.end_of_stream()?;
        }
        self.update_interest()
    }

    fn update_interest(&mut self) -> Result<(), SocketError> {
        let interest = if self.closed {
            Interest::NONE
        } else {
            Interest { read: !self.paused, write: self.write_blocked, ..Interest::NONE }
        };
        self.wait_for_stream(interest).map_err(SocketError::Poll)
    }

    fn wait_for_stream(&mut self, interest: Interest) -> Result<(), Errno> {
        let poll = self.stream_poll.as_mut().unwrap_or(&mut self.poll);
        poll.set(STREAM, self.stream.as_fd(), interest)
    }
}

fn duplicate(file: impl AsFd, what: &'static str, kind: ReceivedKind) -> Result<ReceivedFd, SocketError> {
    let fd = file.as_fd().try_clone_to_owned().map_err(|error| SocketError::Make {
        what,
        source: Errno::from_io_error(&error).unwrap_or(Errno::MFILE),
    })?;
    Ok(ReceivedFd { fd, kind })
}

#[cfg(test)]
mod tests;
