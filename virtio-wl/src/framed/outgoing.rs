//! What a socket has to send: the queue, and how it becomes frames.
//!
//! Frames that belong to the data (new VFDs, blob content, mirror writes, the data itself) leave in the order in which they
//! were queued. Frames about pipes and credit overtake them: they are made from state at the moment of
//! sending, so that they need no queue that a peer could make grow.
//!
//! Everything is sent in writes of a bounded length. The next one is composed when the one before
//! has left, in turns beginning with the data and with the pipes, so that neither starves the other. Data that
//! nothing precedes is written at once from where it lies, and only what the stream does not take is copied.
//!
//! The bytes of all queued data are one queue, and so are the identifiers of the VFDs that belong to them; an item in the
//! queue of frames says how many of both.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use super::bytes::ByteQueue;
use super::pipes::Pipes;
use super::rows::{DIRECT_ROW, Write};
use crate::poll::Poll;
use crate::region::{Region, row_offsets};
use crate::socket::{SocketError, Violation};
use crate::wire::{
    CONTENT_OVERHEAD, Frame, HEADER_LEN, MAX_FDS, MIRROR_OVERHEAD, MirrorRect, NewVfd, data_cost,
    data_header, data_overhead, encode_mirror_head,
};

/// Length of the longest frame that is queued whole.
const WHOLE_FRAME_LEN: usize = 32;

/// Content pieces smaller than this wait for the next write rather than fill the rest of the last one.
const MIN_PIECE: usize = 512;

/// What an item counts for in the bound of the queue, besides its content.
const ITEM_COST: usize = 64;

/// Something in the queue.
#[derive(Debug)]
pub(super) enum Item {
    /// A VFD begins to exist.
    Vfd { id: u32, vfd: NewVfd },
    /// A mirror ceases to exist.
    MirrorClose { id: u32 },
    /// Content of a blob, from `sent` on.
    Blob { id: u32, content: Vec<u8>, sent: usize },
    /// A rectangle of a mirror.
    Mirror(MirrorJob),
    /// The next `len` bytes of the data; the next `vfds` VFDs leave with the first of them.
    Data { len: usize, vfds: usize },
}

impl Item {
    /// What the item counts for in the bound of the queue until the whole of it has left, besides the bytes of data.
    fn cost(&self) -> usize {
        match self {
            Self::Vfd { .. } | Self::MirrorClose { .. } | Self::Data { .. } => ITEM_COST,
            Self::Blob { content, .. } => content.len().saturating_add(ITEM_COST),
            Self::Mirror(_) => 0,
        }
    }
}

/// A rectangle on its way. The content is read when it leaves, so that waiting costs no memory.
#[derive(Debug)]
pub(super) struct MirrorJob {
    id: u32,
    rect: MirrorRect,
    /// Whole rows that have left, and bytes of the row after them.
    row: u32,
    column: u32,
    source: MirrorSource,
}

#[derive(Debug)]
pub(super) enum MirrorSource {
    /// The same place in a region of this process.
    Region(Arc<Region>),
    /// The same place in a file.
    File(Arc<OwnedFd>),
}

impl MirrorJob {
    pub(super) fn new(id: u32, rect: MirrorRect, source: MirrorSource) -> Self {
        let mut rect = rect;
        if rect.row_len == rect.stride {
            // Rows without gaps are one long row, which can be cut anywhere.
            rect.row_len = u32::try_from(rect.content_len()).unwrap_or(rect.row_len);
            rect.stride = rect.row_len;
            rect.rows = 1;
        }
        Self { id, rect, row: 0, column: 0, source }
    }

    fn is_done(&self) -> bool {
        self.row >= self.rect.rows
    }

    /// Appends one frame of at most `room` bytes; nothing if that is too little.
    fn fill(&mut self, out: &mut Write, room: usize) -> Result<bool, SocketError> {
        let rect = self.rect;
        let room = u32::try_from(room.saturating_sub(MIRROR_OVERHEAD)).unwrap_or(u32::MAX);
        let left = rect.row_len.saturating_sub(self.column);
        let begin = u64::from(self.row) * u64::from(rect.stride) + u64::from(self.column);
        let mut piece = MirrorRect { offset: rect.offset.saturating_add(begin), ..rect };
        if self.column == 0 && rect.row_len <= room {
            piece.rows = (room / rect.row_len.max(1)).min(rect.rows.saturating_sub(self.row));
        } else {
            let len = left.min(room);
            if len == 0 || (len < left && room < u32::try_from(MIN_PIECE).unwrap_or(u32::MAX)) {
                return Ok(false);
            }
            piece = MirrorRect { offset: piece.offset, row_len: len, stride: len, rows: 1 };
        }
        let len = usize::try_from(piece.content_len()).unwrap_or(0);
        encode_mirror_head(self.id, piece, len, &mut out.bytes);
        self.push_content(piece, out)?;
        if piece.row_len == rect.row_len && self.column == 0 {
            self.row = self.row.saturating_add(piece.rows);
        } else if piece.row_len == left {
            self.row = self.row.saturating_add(1);
            self.column = 0;
        } else {
            self.column = self.column.saturating_add(piece.row_len);
        }
        Ok(true)
    }

    /// Appends the rows of a piece.
    fn push_content(&self, piece: MirrorRect, out: &mut Write) -> Result<(), SocketError> {
        let row_len = usize::try_from(piece.row_len).unwrap_or(0);
        match &self.source {
            MirrorSource::Region(region) => {
                let outside = |_| SocketError::Invalid("a rectangle outside its memory");
                region.check(piece).map_err(outside)?;
                if piece.without_gaps().row_len >= DIRECT_ROW {
                    out.push_rows(region, piece);
                    return Ok(());
                }
                for offset in row_offsets(piece) {
                    region.append_to(offset, row_len, &mut out.bytes).map_err(outside)?;
                }
            }
            MirrorSource::File(file) => {
                let len = usize::try_from(piece.content_len()).unwrap_or(0);
                let start = out.bytes.len();
                out.bytes.resize(start.saturating_add(len), 0);
                let content = out.bytes.get_mut(start..).unwrap_or_default();
                for (row, offset) in content.chunks_exact_mut(row_len.max(1)).zip(row_offsets(piece)) {
                    read_row(file, row, offset);
                }
            }
        }
        Ok(())
    }
}

/// Reads a row of a file into zeros. What a file does not have (any more) stays zero: it is its owner's mistake, and no
/// reason to end the connection.
fn read_row(file: &OwnedFd, row: &mut [u8], offset: u64) {
    let (mut row, mut offset) = (row, offset);
    while !row.is_empty() {
        match rustix::io::pread(file, &mut *row, offset) {
            Ok(len @ 1..) => {
                row = row.get_mut(len..).unwrap_or_default();
                offset = offset.saturating_add(len.try_into().unwrap_or(u64::MAX));
            }
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => break,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Outgoing {
    queue: VecDeque<Item>,
    data: ByteQueue,
    vfds: VecDeque<u32>,
    /// Memory that the queue occupies: data, the content of blobs and something for each item but mirror jobs, which have
    /// a bound of their own.
    queued: usize,
    /// Mirror jobs in the queue.
    jobs: usize,
    /// Most bytes in one write.
    max_write: usize,
    write: Write,
    /// What the peer allows of data and blob content.
    credit: u64,
    peer_window: u64,
    end_wanted: bool,
    end_sent: bool,
    end_left: bool,
    pipes_first: bool,
    /// Space to encode identifiers in.
    scratch: Vec<u8>,
}

impl Outgoing {
    pub(super) fn new(hello: &[u8], max_write: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            data: ByteQueue::default(),
            vfds: VecDeque::new(),
            queued: 0,
            jobs: 0,
            max_write,
            write: Write::new(hello.to_vec()),
            credit: 0,
            peer_window: 0,
            end_wanted: false,
            end_sent: false,
            end_left: false,
            pipes_first: false,
            scratch: Vec::new(),
        }
    }

    pub(super) fn open(&mut self, peer_window: u32) {
        self.peer_window = peer_window.into();
        self.credit = self.peer_window;
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    #[cfg(test)]
    pub(super) fn max_write(&self) -> usize {
        self.max_write
    }

    /// Memory that the data in the queue occupies.
    #[cfg(test)]
    pub(super) fn occupied(&self) -> usize {
        self.data.capacity()
    }

    pub(super) fn jobs(&self) -> usize {
        self.jobs
    }

    pub(super) fn end_wanted(&self) -> bool {
        self.end_wanted
    }

    /// The last frame of the data has left.
    pub(super) fn is_ended(&self) -> bool {
        self.end_left
    }

    /// No data will be queued any more.
    pub(super) fn want_end(&mut self) {
        self.end_wanted = true;
    }

    /// Forgets the data that has not left.
    pub(super) fn clear_queue(&mut self) {
        self.queue.clear();
        self.data.clear();
        self.vfds.clear();
        self.queued = 0;
        self.jobs = 0;
    }

    pub(super) fn grant(&mut self, bytes: u32) -> Result<(), Violation> {
        self.credit = self.credit.saturating_add(bytes.into());
        if self.credit > self.peer_window { Err(Violation::Credit("DATA_CREDIT")) } else { Ok(()) }
    }

    pub(super) fn push(&mut self, item: Item) {
        if matches!(item, Item::Mirror(_)) {
            self.jobs += 1;
        }
        self.queued = self.queued.saturating_add(item.cost());
        self.queue.push_back(item);
    }

    /// The next write, if nothing is before `bytes`: a header, and as many of the bytes as may follow it. Whoever asks must
    /// write both and then say how much has left.
    pub(super) fn at_once<'a>(&mut self, bytes: &'a [u8]) -> Option<([u8; HEADER_LEN], &'a [u8])> {
        if !(self.write.len() == 0 && self.queue.is_empty()) {
            return None;
        }
        let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
        let len = bytes.len().min(self.max_write.saturating_sub(HEADER_LEN)).min(credit);
        let body = bytes.get(..len).filter(|body| !body.is_empty())?;
        self.credit = self.credit.saturating_sub(data_cost(0, len));
        Some((data_header(len), body))
    }

    /// So many bytes of what [`at_once`](Self::at_once) gave have left. The rest is the write under way.
    pub(super) fn left(&mut self, len: usize, header: &[u8], body: &[u8]) {
        self.write.bytes.extend_from_slice(header.get(len..).unwrap_or_default());
        self.write.bytes.extend_from_slice(body.get(len.saturating_sub(header.len())..).unwrap_or_default());
    }

    pub(super) fn push_data(&mut self, bytes: &[u8], vfds: &[u32]) {
        self.data.push(bytes);
        self.vfds.extend(vfds);
        self.queued = self.queued.saturating_add(bytes.len());
        match self.queue.back_mut() {
            Some(Item::Data { len, .. }) if vfds.is_empty() => *len = len.saturating_add(bytes.len()),
            _ => self.push(Item::Data { len: bytes.len(), vfds: vfds.len() }),
        }
    }

    /// Removes the item at the front, all of which has left.
    fn pop(&mut self) {
        let Some(item) = self.queue.pop_front() else { return };
        if matches!(item, Item::Mirror(_)) {
            self.jobs = self.jobs.saturating_sub(1);
        }
        self.queued = self.queued.saturating_sub(item.cost());
    }

    /// What is left of the write under way.
    pub(super) fn unwritten(&self) -> &Write {
        &self.write
    }

    /// So many bytes of it have left.
    pub(super) fn advance(&mut self, len: usize) {
        if self.write.advance(len) {
            self.end_left = self.end_sent;
        }
    }

    /// Composes the next write. It stays empty where there is nothing to send.
    pub(super) fn compose(
        &mut self,
        data_grant: &mut u64,
        stop_due: &mut bool,
        pipes: &mut Pipes,
        poll: &mut Poll,
    ) -> Result<(), SocketError> {
        if std::mem::take(stop_due) {
            Frame::DataStop.encode(&mut self.write.bytes);
        }
        if let Ok(bytes @ 1..) = u32::try_from(*data_grant) {
            *data_grant = 0;
            Frame::DataCredit { bytes }.encode(&mut self.write.bytes);
        }
        pipes.fill_due(&mut self.write.bytes, self.max_write);
        self.pipes_first = !self.pipes_first;
        if self.pipes_first {
            pipes.fill(&mut self.write.bytes, self.max_write, poll)?;
        }
        self.fill_queue(pipes, poll)?;
        let most = self.max_write.saturating_sub(self.write.rows_len());
        pipes.fill(&mut self.write.bytes, most, poll)
    }

    fn room(&self) -> usize {
        self.max_write.saturating_sub(self.write.len())
    }

    fn fill_queue(&mut self, pipes: &mut Pipes, poll: &mut Poll) -> Result<(), SocketError> {
        loop {
            if self.room() < WHOLE_FRAME_LEN {
                return Ok(());
            }
            match self.queue.front_mut() {
                None => break,
                Some(&mut Item::Vfd { id, vfd }) => {
                    Frame::VfdNew { id, vfd }.encode(&mut self.write.bytes);
                    // A no-op for everything but pipes.
                    pipes.activate(id, poll)?;
                    self.pop();
                }
                Some(&mut Item::MirrorClose { id }) => {
                    Frame::MirrorClose { id }.encode(&mut self.write.bytes);
                    self.pop();
                }
                Some(Item::Mirror(_)) => {
                    if !self.fill_mirror()? {
                        return Ok(());
                    }
                }
                Some(Item::Blob { .. }) => {
                    if !self.fill_blob() {
                        return Ok(());
                    }
                }
                Some(Item::Data { .. }) => {
                    if !self.fill_data() {
                        return Ok(());
                    }
                }
            }
        }
        if self.end_wanted && !self.end_sent {
            self.end_sent = true;
            Frame::DataEnd.encode(&mut self.write.bytes);
        }
        Ok(())
    }

    /// The fill functions append one frame of the item at the front, and remove it if that was its last. They
    /// return false if there is no room or no credit.
    fn fill_mirror(&mut self) -> Result<bool, SocketError> {
        let room = self.room();
        let Some(Item::Mirror(job)) = self.queue.front_mut() else { return Ok(false) };
        if !job.fill(&mut self.write, room)? {
            return Ok(false);
        }
        if job.is_done() {
            self.pop();
        }
        Ok(true)
    }

    fn fill_blob(&mut self) -> bool {
        let room = self.room().saturating_sub(CONTENT_OVERHEAD);
        let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
        let Some(Item::Blob { id, content, sent }) = self.queue.front_mut() else { return false };
        let rest = content.get(*sent..).unwrap_or_default();
        let len = rest.len().min(room).min(credit);
        let done = len == rest.len();
        if len == 0 && !done || len < MIN_PIECE.min(rest.len()) {
            return false;
        }
        if let Some(bytes) = rest.get(..len).filter(|bytes| !bytes.is_empty()) {
            Frame::BlobData { id: *id, bytes }.encode(&mut self.write.bytes);
        }
        *sent += len;
        self.credit = self.credit.saturating_sub(data_cost(0, len));
        if done {
            self.pop();
        }
        true
    }

    fn fill_data(&mut self) -> bool {
        let room = self.room();
        let Some(Item::Data { len: left, vfds }) = self.queue.front_mut() else { return false };
        let Some(credit) = self.credit.checked_sub(data_cost(*vfds, 0)) else { return false };
        let room = room.saturating_sub(data_overhead(*vfds));
        // Where the memory of the queue ends and begins again, the data is cut.
        let bytes = self.data.front();
        let len = bytes.len().min(*left).min(room).min(usize::try_from(credit).unwrap_or(usize::MAX));
        let Some(bytes) = bytes.get(..len).filter(|bytes| !bytes.is_empty()) else { return false };
        let mut named = [0; MAX_FDS];
        let count = named
            .iter_mut()
            .zip(self.vfds.drain(..self.vfds.len().min(*vfds)))
            .map(|(to, id)| *to = id)
            .count();
        Frame::data(named.get(..count).unwrap_or_default(), bytes, &mut self.scratch)
            .encode(&mut self.write.bytes);
        self.credit = credit.saturating_sub(data_cost(0, len));
        *vfds = 0;
        *left = left.saturating_sub(len);
        let done = *left == 0;
        self.data.consume(len);
        self.queued = self.queued.saturating_sub(len);
        if done {
            self.pop();
        }
        true
    }
}
