//! What a socket has received: frames that are not complete, VFDs that are not named yet, and data that the
//! application has not taken.
//!
//! The stream is always read, whatever the application does: every flow on it has a window of its own, so
//! that what is held here is bounded without ever letting one flow wait behind another.
//!
//! Data is one queue of bytes and one of descriptors, each with the place of the byte that it belongs to. Places are
//! counted from the beginning of the connection.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::SealFlags;
use rustix::io::Errno;

use super::bytes::ByteQueue;
use crate::region::memfd;
use crate::socket::{SocketError, Violation};
use crate::vfd::{ReceivedFd, ReceivedKind};
use crate::wire::{
    FD_COST, Frame, FrameHeader, HEADER_LEN, MAX_FDS, MAX_PAYLOAD, MIRROR_OVERHEAD, MirrorRect, WireError,
    data_cost, decode_mirror_head,
};

/// Size of the buffer of a stream that carries little, in bytes.
const SMALL_BUFFER: usize = 4 * 1024;

/// Size of the buffer that the longest frame fits into.
const LARGE_BUFFER: usize = HEADER_LEN + MAX_PAYLOAD;

/// What is read at a time after rows of a mirror, in bytes: more rows may follow, or the message that shows them.
const AFTER_ROWS: usize = 512;

/// The stream as it comes, until whole frames are there. The buffer is small until a read has filled it.
#[derive(Debug)]
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The last frame was one of those whose content is better read to where it belongs.
    after_rows: bool,
}

impl FrameBuffer {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; SMALL_BUFFER], start: 0, end: 0, after_rows: false }
    }

    /// What stands in for the buffer while frames are borrowed from it.
    pub(super) fn lent() -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, after_rows: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Where to read to. Never empty as long as whole frames are taken out before.
    pub(super) fn space(&mut self) -> &mut [u8] {
        let is_full = self.end == self.bytes.len();
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if is_full && self.bytes.len() < LARGE_BUFFER {
            self.bytes.resize(LARGE_BUFFER, 0);
        }
        // Another frame of that kind is to be recognised before its content is here.
        let end = if self.after_rows && self.end == 0 { AFTER_ROWS } else { self.bytes.len() };
        self.bytes.get_mut(self.end..end).unwrap_or_default()
    }

    /// So many bytes were read.
    pub(super) fn filled(&mut self, len: usize) {
        self.end = self.end.saturating_add(len).min(self.bytes.len());
    }

    /// Takes `N` bytes that are no frame, once they are all there.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = *self.bytes.get(self.start..self.end)?.first_chunk()?;
        self.start += N;
        Some(bytes)
    }

    /// Takes the next frame, if it is all there.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        let all = self.bytes.get(self.start..self.end).unwrap_or_default();
        let Some((header, rest)) = all.split_first_chunk() else { return Ok(None) };
        let header = FrameHeader::decode(header)?;
        let Some(payload) = rest.get(..header.payload_len()) else { return Ok(None) };
        self.start += HEADER_LEN + payload.len();
        let frame = Frame::decode(header, payload)?;
        self.after_rows &= matches!(frame, Frame::MirrorWrite { .. });
        Ok(Some(frame))
    }

    /// The mirror and rectangle of the next frame, if it is a MIRROR_WRITE that is here in part.
    pub(super) fn mirror_head(&self) -> Result<Option<(u32, MirrorRect)>, WireError> {
        let all = self.bytes.get(self.start..self.end).unwrap_or_default();
        let Some((header, rest)) = all.split_first_chunk() else { return Ok(None) };
        let Some(fields) = rest.first_chunk() else { return Ok(None) };
        decode_mirror_head(FrameHeader::decode(header)?, fields)
    }

    /// Takes such a frame. Gives what is here of its content.
    pub(super) fn take_mirror_content(&mut self) -> &[u8] {
        let content = self.start.saturating_add(MIRROR_OVERHEAD)..self.end;
        (self.start, self.after_rows) = (self.end, true);
        self.bytes.get(content).unwrap_or_default()
    }
}

/// A VFD that no message has named yet.
#[derive(Debug)]
enum Unnamed {
    Ready(ReceivedFd),
    Blob { memory: File, len: u64, received: u64 },
}

/// A descriptor that the application has not taken, and the place of the byte that it belongs to.
#[derive(Debug)]
struct Attached {
    place: u64,
    fd: ReceivedFd,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Incoming {
    data: ByteQueue,
    /// The place of the first byte in the queue.
    place: u64,
    attached: VecDeque<Attached>,
    /// At most [`MAX_FDS`], in the order of their announcement.
    unnamed: Vec<(u32, Unnamed)>,
    /// Announced length of the blobs that are not named yet.
    unnamed_blob_bytes: u64,
    /// Blob content that was received and not taken by the application.
    held_blob_bytes: u64,
    max_blob: u64,
    window: u64,
    /// What the peer may still send.
    allowed: u64,
    /// What may be granted to it again, now and once blobs were taken.
    grant: u64,
    deferred: u64,
    ended: bool,
    /// The application wants no more data.
    discard: bool,
}

impl Incoming {
    pub(super) fn new(window: u32, max_blob: u32) -> Self {
        Self {
            data: ByteQueue::default(),
            place: 0,
            attached: VecDeque::new(),
            unnamed: Vec::new(),
            unnamed_blob_bytes: 0,
            held_blob_bytes: 0,
            max_blob: max_blob.into(),
            window: window.into(),
            allowed: window.into(),
            grant: 0,
            deferred: 0,
            ended: false,
            discard: false,
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Memory that the data occupies.
    #[cfg(test)]
    pub(super) fn occupied(&self) -> usize {
        self.data.capacity()
    }

    pub(super) fn has_data(&self) -> bool {
        !self.data.is_empty()
    }

    /// No data will come any more. VFDs that no message named are closed.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.drop_unnamed();
    }

    pub(super) fn drop_unnamed(&mut self) {
        self.drop_dangling();
        self.unnamed.clear();
        self.unnamed_blob_bytes = 0;
    }

    /// Data is thrown away from now on.
    pub(super) fn discard(&mut self) {
        self.discard = true;
        self.data.clear();
        self.attached.clear();
    }

    /// What to grant now: nothing, or at least a quarter of the window. It counts as granted once taken.
    pub(super) fn take_grant(&mut self) -> u64 {
        if self.ended || self.discard || self.grant < self.window / 4 {
            return 0;
        }
        self.allowed = self.allowed.saturating_add(self.grant);
        std::mem::take(&mut self.grant)
    }

    /// Whether [`take_grant`](Self::take_grant) has something.
    pub(super) fn has_grant(&self) -> bool {
        !self.ended && !self.discard && self.grant >= self.window / 4
    }

    fn spend(&mut self, cost: u64, frame: &'static str) -> Result<(), Violation> {
        self.allowed = self.allowed.checked_sub(cost).ok_or(Violation::Window(frame))?;
        Ok(())
    }

    /// A VFD that can be named at once.
    pub(super) fn add_ready(&mut self, id: u32, fd: ReceivedFd) -> Result<(), SocketError> {
        self.check_unnamed()?;
        self.unnamed.push((id, Unnamed::Ready(fd)));
        Ok(())
    }

    /// A blob whose content follows.
    pub(super) fn add_blob(&mut self, id: u32, len: u64) -> Result<(), SocketError> {
        self.check_unnamed()?;
        let limit = Violation::Limit { what: "bytes of blobs in one message", limit: self.max_blob };
        let total = self.unnamed_blob_bytes.checked_add(len).ok_or(limit)?;
        if total > self.max_blob {
            return Err(limit.into());
        }
        self.unnamed_blob_bytes = total;
        let make = |source| SocketError::Make { what: "blob", source };
        let memory = File::from(memfd(c"virtio-wl-blob").map_err(make)?);
        rustix::fs::ftruncate(&memory, len).map_err(make)?;
        self.unnamed.push((id, Unnamed::Blob { memory, len, received: 0 }));
        self.finish_blob(id)
    }

    fn check_unnamed(&self) -> Result<(), Violation> {
        if self.unnamed.len() >= MAX_FDS {
            let limit = u64::try_from(MAX_FDS).unwrap_or(u64::MAX);
            return Err(Violation::Limit { what: "VFDs for one message", limit });
        }
        Ok(())
    }

    /// BLOB_DATA came.
    pub(super) fn blob_data(&mut self, id: u32, bytes: &[u8]) -> Result<(), SocketError> {
        let cost = data_cost(0, bytes.len());
        self.spend(cost, "BLOB_DATA")?;
        let unnamed = self.unnamed.iter_mut().find(|(other, _)| *other == id);
        let Some((_, Unnamed::Blob { memory, len, received })) = unnamed else {
            return Err(Violation::Unknown { frame: "BLOB_DATA", id }.into());
        };
        let end = received.checked_add(cost).filter(|end| end <= len).ok_or(Violation::BlobLength(id))?;
        memory.write_all_at(bytes, *received).map_err(|error| SocketError::Make {
            what: "blob",
            source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })?;
        *received = end;
        self.held_blob_bytes = self.held_blob_bytes.saturating_add(cost);
        if self.held_blob_bytes <= self.max_blob {
            self.grant = self.grant.saturating_add(cost);
        } else {
            self.deferred = self.deferred.saturating_add(cost);
        }
        self.finish_blob(id)
    }

    /// Seals a blob whose content is complete.
    fn finish_blob(&mut self, id: u32) -> Result<(), SocketError> {
        let is_complete = |unnamed: &(u32, Unnamed)| match unnamed {
            (other, Unnamed::Blob { len, received, .. }) => *other == id && received == len,
            (_, Unnamed::Ready(_)) => false,
        };
        let Some(index) = self.unnamed.iter().position(is_complete) else { return Ok(()) };
        if let (_, Unnamed::Blob { memory, len, .. }) = self.unnamed.swap_remove(index) {
            let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
            rustix::fs::fcntl_add_seals(&memory, seals)
                .map_err(|source| SocketError::Make { what: "blob", source })?;
            let fd = ReceivedFd { fd: memory.into(), kind: ReceivedKind::Blob { len } };
            self.unnamed.push((id, Unnamed::Ready(fd)));
        }
        Ok(())
    }

    /// Takes a VFD that a message names. `None` if there is none of that identifier, or it is not complete.
    pub(super) fn take_named(&mut self, id: u32) -> Option<ReceivedFd> {
        let index = self.unnamed.iter().position(|(other, _)| *other == id)?;
        match self.unnamed.swap_remove(index).1 {
            Unnamed::Ready(fd) => {
                if let ReceivedKind::Blob { len } = fd.kind {
                    self.unnamed_blob_bytes = self.unnamed_blob_bytes.saturating_sub(len);
                }
                Some(fd)
            }
            Unnamed::Blob { .. } => None,
        }
    }

    /// DATA costs so much of the window, even if the application does not want it.
    pub(super) fn spend_data(&mut self, fds: usize, bytes: usize) -> Result<(), Violation> {
        self.spend(data_cost(fds, bytes), "DATA")
    }

    /// A descriptor that belongs to the first byte of the data that is added next.
    pub(super) fn attach(&mut self, fd: ReceivedFd) {
        if !self.discard {
            self.attached.push_back(Attached { place: self.end_place(), fd });
        }
    }

    /// Data came, and its descriptors were attached before.
    pub(super) fn add_data(&mut self, bytes: &[u8]) {
        if !self.discard {
            self.data.push(bytes);
        }
    }

    /// Forgets descriptors whose data has not been added.
    fn drop_dangling(&mut self) {
        let end = self.end_place();
        while self.attached.back().is_some_and(|last| last.place >= end) {
            self.attached.pop_back();
        }
    }

    /// The place behind the last byte.
    fn end_place(&self) -> u64 {
        self.place.saturating_add(u64::try_from(self.data.len()).unwrap_or(u64::MAX))
    }

    /// Moves bytes to `into`. Descriptors go with the first byte returned or not at all: nothing that comes after is
    /// joined to bytes before it.
    pub(super) fn take(&mut self, into: &mut [u8], fds: &mut Vec<ReceivedFd>) -> usize {
        if into.is_empty() {
            return 0;
        }
        while self.attached.front().is_some_and(|first| first.place <= self.place) {
            let Some(first) = self.attached.pop_front() else { break };
            self.grant = self.grant.saturating_add(FD_COST.into());
            if let ReceivedKind::Blob { len } = first.fd.kind {
                self.held_blob_bytes = self.held_blob_bytes.saturating_sub(len);
            }
            fds.push(first.fd);
        }
        let mut len = into.len();
        if let Some(next) = self.attached.front() {
            let before = next.place.saturating_sub(self.place);
            len = len.min(usize::try_from(before).unwrap_or(usize::MAX));
        }
        let taken = self.data.take(into.get_mut(..len).unwrap_or_default());
        let cost = data_cost(0, taken);
        self.place = self.place.saturating_add(cost);
        self.grant = self.grant.saturating_add(cost);
        if self.held_blob_bytes <= self.max_blob {
            self.grant = self.grant.saturating_add(std::mem::take(&mut self.deferred));
        }
        taken
    }
}
