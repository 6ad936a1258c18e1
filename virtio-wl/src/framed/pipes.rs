//! The pipes and sockets that cross one stream.
//!
//! A socket is two pipes with one identifier, one in each direction: each side has the source of one and the sink of the
//! other. The sender of a frame tells which of both it is about.
//!
//! Of each pipe one side of the stream has the *source*, the end that it reads, and the other side the *sink*, the
//! end that it writes. Whoever announced the VFD has passed the application's own end away and kept a
//! duplicate of it; the receiver made a new pipe and gave one end to its application.
//!
//! Credit: the source may send as many bytes as the sink's side has granted. A sink therefore never buffers more than its
//! window, and a source without credit does not read its pipe, which stops the writer there.
//!
//! End: the source's last frame is PIPE_END and the sink's last frame is PIPE_STOP, each sent exactly once. Either may come
//! first. A pipe leaves the table when both have passed, and a socket when they have passed both ways, so that no later frame
//! can name it legally. The two directions of a socket do not end each other: a half-close is one, and a socket that is
//! closed ends both.
//!
//! Waiting: a source is waited for only while it has credit and was found empty, for one event at a time. A sink is waited
//! for while bytes are buffered, and otherwise only for the hang-up of its reader, which ends it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::Shutdown;

use crate::pipe::PipeEnd;
use crate::poll::{Interest, Poll};
use crate::socket::{SocketError, Violation};
use crate::wire::{CONTENT_OVERHEAD, Frame};

/// Largest frame without content, in bytes: what must be left of a write to put one into it.
const CONTROL_LEN: usize = CONTENT_OVERHEAD + 4;

/// The one last frame that a side owes for a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    NotYet,
    Due,
    Sent,
}

#[derive(Debug)]
struct Source {
    end: Option<PipeEnd>,
    credit: u64,
    /// In the list of sources to read.
    listed: bool,
    last: Last,
    stopped: bool,
}

#[derive(Debug)]
struct Sink {
    end: Option<PipeEnd>,
    buffer: VecDeque<u8>,
    /// What the source may still send.
    allowed: u64,
    /// What was delivered and is not granted again yet.
    grant: u64,
    ended: bool,
    last: Last,
}

/// A pipe, which has one of both, or a socket, which has both. They stay after their last frame, until the whole is finished.
#[derive(Debug)]
struct Pipe {
    /// Announced by this side.
    ours: bool,
    /// The peer knows it.
    active: bool,
    source: Option<Source>,
    sink: Option<Sink>,
}

impl Pipe {
    /// A last frame is due.
    fn is_due(&self) -> bool {
        let source = self.source.as_ref().is_some_and(|source| source.last == Last::Due);
        source || self.sink.as_ref().is_some_and(|sink| sink.last == Last::Due)
    }

    /// Both last frames have passed in all directions.
    fn is_finished(&self) -> bool {
        let source = self.source.as_ref().is_none_or(|source| source.last == Last::Sent && source.stopped);
        source && self.sink.as_ref().is_none_or(|sink| sink.last == Last::Sent && sink.ended)
    }
}

/// The ends of this side: that which is read, that which is written, or those of a socket, which are both.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) source: Option<PipeEnd>,
    pub(super) sink: Option<PipeEnd>,
}

impl Ends {
    /// One end of a pipe, to be read (`source`) or to be written.
    pub(super) fn of_pipe(end: PipeEnd, source: bool) -> Self {
        if source { Self { source: Some(end), sink: None } } else { Self { source: None, sink: Some(end) } }
    }

    /// The two directions of a socket.
    pub(super) fn of_socket((read, write): (PipeEnd, PipeEnd)) -> Self {
        Self { source: Some(read), sink: Some(write) }
    }
}

/// Which ends of a pipe or socket this side has had, and has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClosedEnds {
    Source,
    Sink,
    Both,
}

/// In the poll set, what makes the token of a sink different from that of a source.
const SINK: u64 = 1 << 32;

/// All pipes of a stream.
#[derive(Debug)]
pub(super) struct Pipes {
    table: BTreeMap<u32, Pipe>,
    /// Sources that may have something to read, in the order of their turns.
    readable: VecDeque<u32>,
    /// Pipes that have a frame without content to send.
    due: BTreeSet<u32>,
    /// Window of each sink here, and of each sink at the peer.
    window: u64,
    peer_window: u64,
    /// Bytes that local ends have taken so far.
    delivered: u64,
    scratch: Vec<u8>,
}

impl Pipes {
    pub(super) fn new(window: u32) -> Self {
        Self {
            table: BTreeMap::new(),
            readable: VecDeque::new(),
            due: BTreeSet::new(),
            window: window.into(),
            peer_window: 0,
            delivered: 0,
            scratch: Vec::new(),
        }
    }

    pub(super) fn set_peer_window(&mut self, window: u32) {
        self.peer_window = window.into();
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes that local ends have taken so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Pipes that were announced by this side, or by the peer.
    pub(super) fn announced(&self, ours: bool) -> usize {
        self.table.values().filter(|pipe| pipe.ours == ours).count()
    }

    /// Adds a pipe or socket with these ends on this side. It does nothing until it is activated.
    pub(super) fn add(&mut self, id: u32, ends: Ends, ours: bool) {
        let source = ends.source.map(|end| Source {
            end: Some(end),
            credit: self.peer_window,
            listed: false,
            last: Last::NotYet,
            stopped: false,
        });
        let sink = ends.sink.map(|end| Sink {
            end: Some(end),
            buffer: VecDeque::new(),
            allowed: self.window,
            grant: 0,
            ended: false,
            last: Last::NotYet,
        });
        self.table.insert(id, Pipe { ours, active: false, source, sink });
    }

    /// Adds a pipe of ours, or a socket, whose end on this side is closed: nothing is left to do but to say so.
    pub(super) fn add_closed(&mut self, id: u32, kind: ClosedEnds) {
        let source = Source { end: None, credit: 0, listed: false, last: Last::Due, stopped: false };
        let (buffer, allowed) = (VecDeque::new(), self.window);
        let sink = Sink { end: None, buffer, allowed, grant: 0, ended: false, last: Last::Due };
        let (source, sink) = match kind {
            ClosedEnds::Source => (Some(source), None),
            ClosedEnds::Sink => (None, Some(sink)),
            ClosedEnds::Both => (Some(source), Some(sink)),
        };
        self.table.insert(id, Pipe { ours: true, active: false, source, sink });
    }

    /// The peer has been told of the pipe, or has told of it: frames may flow.
    pub(super) fn activate(&mut self, id: u32, poll: &mut Poll) -> Result<(), SocketError> {
        let Some(pipe) = self.table.get_mut(&id) else { return Ok(()) };
        pipe.active = true;
        if let Some(source) = pipe.source.as_mut().filter(|source| source.end.is_some()) {
            source.listed = true;
            self.readable.push_back(id);
        }
        if pipe.is_due() {
            self.due.insert(id);
        }
        pipe.sink.as_ref().map_or(Ok(()), |sink| watch_sink(id, sink, poll))
    }

    /// Forgets the pipes that the peer has not been told of and never will.
    pub(super) fn drop_unannounced(&mut self) {
        self.table.retain(|_, pipe| pipe.active);
    }

    /// Closes everything.
    pub(super) fn clear(&mut self, poll: &mut Poll) {
        for (id, mut pipe) in std::mem::take(&mut self.table) {
            // The connection is over; there is nobody to tell.
            let _ = pipe.source.as_mut().map(|source| source.close(id, poll));
            let _ = pipe.sink.as_mut().map(|sink| sink.close(id, poll));
        }
        self.readable.clear();
        self.due.clear();
    }

    /// Acts on an event with the token of a local end.
    pub(super) fn local_event(
        &mut self,
        token: u64,
        hang_up: bool,
        poll: &mut Poll,
    ) -> Result<(), SocketError> {
        let Ok(id) = u32::try_from(token & !SINK) else { return Ok(()) };
        let Some(pipe) = self.table.get_mut(&id) else { return Ok(()) };
        if token & SINK == 0 {
            if let Some(source) = pipe.source.as_mut().filter(|source| source.end.is_some() && !source.listed)
            {
                source.listed = true;
                self.readable.push_back(id);
            }
            return Ok(());
        }
        let Some(sink) = &mut pipe.sink else { return Ok(()) };
        // Writing finds out too that the reader is gone, but there may be nothing to write.
        if hang_up && sink.buffer.is_empty() {
            stop(sink);
        }
        self.delivered = self.delivered.saturating_add(drain(sink));
        self.settle_sink(id, poll)
    }

    /// PIPE_DATA came.
    pub(super) fn data(&mut self, id: u32, bytes: &[u8], poll: &mut Poll) -> Result<(), SocketError> {
        let mut taken = 0;
        let sink = self.sink("PIPE_DATA", id)?;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        sink.allowed = sink.allowed.checked_sub(len).ok_or(Violation::Window("PIPE_DATA"))?;
        let Some(end) = &sink.end else {
            // The reader is gone and the source does not know yet.
            return Ok(());
        };
        let mut rest = bytes;
        if sink.buffer.is_empty() {
            match end.write(bytes) {
                Ok(written) => {
                    rest = bytes.get(written..).unwrap_or_default();
                    taken = u64::try_from(written).unwrap_or(0);
                    sink.grant = sink.grant.saturating_add(taken);
                }
                Err(Errno::WOULDBLOCK) => {}
                Err(_) => {
                    stop(sink);
                    return self.settle_sink(id, poll);
                }
            }
        }
        sink.buffer.extend(rest);
        self.delivered = self.delivered.saturating_add(taken);
        self.settle_sink(id, poll)
    }

    /// PIPE_END came.
    pub(super) fn end(&mut self, id: u32, poll: &mut Poll) -> Result<(), SocketError> {
        self.sink("PIPE_END", id)?.ended = true;
        self.settle_sink(id, poll)
    }

    /// PIPE_CREDIT came.
    pub(super) fn credit(&mut self, id: u32, bytes: u32) -> Result<(), SocketError> {
        let window = self.peer_window;
        let source = self.source("PIPE_CREDIT", id)?;
        source.credit = source.credit.saturating_add(bytes.into());
        if source.credit > window {
            return Err(Violation::Credit("PIPE_CREDIT").into());
        }
        if source.end.is_some() && !source.listed {
            source.listed = true;
            self.readable.push_back(id);
        }
        Ok(())
    }

    /// PIPE_STOP came.
    pub(super) fn stop(&mut self, id: u32, poll: &mut Poll) -> Result<(), SocketError> {
        let source = self.source("PIPE_STOP", id)?;
        source.stopped = true;
        source.close(id, poll)?;
        if source.last == Last::Sent {
            self.remove_finished(id);
        } else {
            source.last = Last::Due;
            self.due.insert(id);
        }
        Ok(())
    }

    fn remove_finished(&mut self, id: u32) {
        if self.table.get(&id).is_some_and(Pipe::is_finished) {
            self.table.remove(&id);
        }
    }

    /// Appends to `out`, until it has `max` bytes, the frames that are due and then what the sources have to say, in
    /// turns.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>, max: usize, poll: &mut Poll) -> Result<(), SocketError> {
        if self.due.is_empty() && self.readable.is_empty() {
            return Ok(());
        }
        self.fill_due(out, max);
        while max.saturating_sub(out.len()) > CONTROL_LEN {
            let Some(id) = self.readable.pop_front() else { break };
            self.read_source(id, out, max, poll)?;
        }
        self.fill_due(out, max);
        Ok(())
    }

    /// Appends the frames without content.
    pub(super) fn fill_due(&mut self, out: &mut Vec<u8>, max: usize) {
        while !self.due.is_empty() && max.saturating_sub(out.len()) >= 2 * CONTROL_LEN {
            let Some(id) = self.due.pop_first() else { break };
            let Some(pipe) = self.table.get_mut(&id) else { continue };
            if let Some(source) = pipe.source.as_mut().filter(|source| source.last == Last::Due) {
                source.last = Last::Sent;
                Frame::PipeEnd { id }.encode(out);
            }
            match &mut pipe.sink {
                Some(sink) if sink.last == Last::Due => {
                    sink.last = Last::Sent;
                    Frame::PipeStop { id }.encode(out);
                }
                Some(sink) if sink.is_grant_due(self.window) => {
                    if let Ok(bytes @ 1..) = u32::try_from(sink.grant) {
                        sink.allowed = sink.allowed.saturating_add(sink.grant);
                        sink.grant = 0;
                        Frame::PipeCredit { id, bytes }.encode(out);
                    }
                }
                _ => {}
            }
            self.remove_finished(id);
        }
    }

    fn read_source(
        &mut self,
        id: u32,
        out: &mut Vec<u8>,
        max: usize,
        poll: &mut Poll,
    ) -> Result<(), SocketError> {
        let Some(Pipe { source: Some(source), .. }) = self.table.get_mut(&id) else { return Ok(()) };
        source.listed = false;
        let Some(end) = &source.end else { return Ok(()) };
        let room = max.saturating_sub(out.len()).saturating_sub(CONTENT_OVERHEAD);
        let len = room.min(usize::try_from(source.credit).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok(());
        }
        self.scratch.resize(self.scratch.len().max(len), 0);
        let space = self.scratch.get_mut(..len).unwrap_or_default();
        match end.read(space) {
            Ok(0) => {
                source.close(id, poll)?;
                source.last = Last::Due;
                self.due.insert(id);
            }
            Ok(read) => {
                let bytes = space.get(..read).unwrap_or_default();
                Frame::PipeData { id, bytes }.encode(out);
                source.credit = source.credit.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
                if source.credit > 0 {
                    source.listed = true;
                    self.readable.push_back(id);
                }
            }
            Err(Errno::WOULDBLOCK) => {
                let once = Interest { read: true, once: true, ..Interest::NONE };
                poll.set(id.into(), end.as_fd(), once).map_err(SocketError::Poll)?;
            }
            Err(_) => {
                // A pipe that cannot be read has no more content to give.
                source.close(id, poll)?;
                source.last = Last::Due;
                self.due.insert(id);
            }
        }
        Ok(())
    }

    /// Brings everything about a sink into line after it changed.
    fn settle_sink(&mut self, id: u32, poll: &mut Poll) -> Result<(), SocketError> {
        let Some(Pipe { sink: Some(sink), .. }) = self.table.get_mut(&id) else { return Ok(()) };
        if sink.ended && sink.buffer.is_empty() {
            stop(sink);
        }
        if sink.last == Last::NotYet {
            if sink.is_grant_due(self.window) {
                self.due.insert(id);
            }
            return watch_sink(id, sink, poll);
        }
        sink.close(id, poll)?;
        if sink.last == Last::Due {
            self.due.insert(id);
        } else {
            self.remove_finished(id);
        }
        Ok(())
    }

    fn sink(&mut self, frame: &'static str, id: u32) -> Result<&mut Sink, Violation> {
        match self.table.get_mut(&id) {
            Some(Pipe { active: true, sink: Some(sink), .. }) if !sink.ended => Ok(sink),
            _ => Err(Violation::Unknown { frame, id }),
        }
    }

    fn source(&mut self, frame: &'static str, id: u32) -> Result<&mut Source, Violation> {
        match self.table.get_mut(&id) {
            Some(Pipe { active: true, source: Some(source), .. }) if !source.stopped => Ok(source),
            _ => Err(Violation::Unknown { frame, id }),
        }
    }
}

/// The reader of a sink is gone, or has everything. The descriptor is closed by `settle_sink`.
fn stop(sink: &mut Sink) {
    sink.buffer = VecDeque::new();
    if sink.last == Last::NotYet {
        sink.last = Last::Due;
    }
}

/// Writes what the local pipe takes, and gives how much that was.
fn drain(sink: &mut Sink) -> u64 {
    let mut taken: u64 = 0;
    let Some(end) = &sink.end else { return taken };
    while !sink.buffer.is_empty() {
        let (front, _) = sink.buffer.as_slices();
        match end.write(front) {
            Ok(written) => {
                sink.buffer.drain(..written.min(sink.buffer.len()));
                let written = u64::try_from(written).unwrap_or(0);
                sink.grant = sink.grant.saturating_add(written);
                taken = taken.saturating_add(written);
            }
            Err(Errno::WOULDBLOCK) => break,
            Err(_) => {
                stop(sink);
                break;
            }
        }
    }
    taken
}

fn watch_sink(id: u32, sink: &Sink, poll: &mut Poll) -> Result<(), SocketError> {
    let Some(end) = &sink.end else { return Ok(()) };
    let write = !sink.buffer.is_empty();
    let interest = Interest { write, hang_up: true, ..Interest::NONE };
    poll.set(u64::from(id) | SINK, end.as_fd(), interest).map_err(SocketError::Poll)
}

impl Source {
    /// Closes the local end. It must leave the poll first, which would go on reporting a description that an
    /// application shares.
    fn close(&mut self, id: u32, poll: &mut Poll) -> Result<(), SocketError> {
        let Some(end) = self.end.take() else { return Ok(()) };
        end.hang_up(Shutdown::Read);
        poll.set(id.into(), end.as_fd(), Interest::NONE).map_err(SocketError::Poll)
    }
}

impl Sink {
    /// Closes the local end, as [`Source::close`] does.
    fn close(&mut self, id: u32, poll: &mut Poll) -> Result<(), SocketError> {
        let Some(end) = self.end.take() else { return Ok(()) };
        end.hang_up(Shutdown::Write);
        poll.set(u64::from(id) | SINK, end.as_fd(), Interest::NONE).map_err(SocketError::Poll)
    }

    /// Nothing is granted after the last frame of either side. A quarter is worth a frame; more than that is still allowed.
    fn is_grant_due(&self, window: u64) -> bool {
        self.last == Last::NotYet && !self.ended && self.grant >= window / 4
    }
}
