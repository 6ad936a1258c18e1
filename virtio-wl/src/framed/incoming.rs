//! What a socket has received: frames that are not complete, VFDs that are not named yet, and messages that
//! the application has not taken.
//!
//! The stream is always read, whatever the application does: every flow on it has a window of its own, so
//! that what is held here is bounded without ever letting one flow wait behind another.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::SealFlags;
use rustix::io::Errno;

use crate::region::memfd;
use crate::socket::{SocketError, Violation};
use crate::vfd::{ReceivedFd, ReceivedKind};
use crate::wire::{FD_COST, Frame, FrameHeader, HEADER_LEN, MAX_FDS, MAX_PAYLOAD, WireError, data_cost};

/// The stream as it comes, until whole frames are there.
#[derive(Debug)]
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl FrameBuffer {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; HEADER_LEN + MAX_PAYLOAD], start: 0, end: 0 }
    }

    /// What stands in for the buffer while frames are borrowed from it.
    pub(super) fn lent() -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Where to read to. Never empty as long as whole frames are taken out before.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
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
        Frame::decode(header, payload).map(Some)
    }
}

/// Messages without descriptors are joined up to this size; the part of one that was taken is not freed before
/// the rest.
const MAX_JOINED: usize = 64 * 1024;

/// A VFD that no message has named yet.
#[derive(Debug)]
enum Unnamed {
    Ready(ReceivedFd),
    Blob { memory: File, len: u64, received: u64 },
}

/// Bytes that the application has not taken, with the descriptors that belong to the first of them.
#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    taken: usize,
    fds: Vec<ReceivedFd>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Incoming {
    messages: VecDeque<Message>,
    unnamed: BTreeMap<u32, Unnamed>,
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
            messages: VecDeque::new(),
            unnamed: BTreeMap::new(),
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

    /// Memory that the messages occupy, taken or not.
    #[cfg(test)]
    pub(super) fn occupied(&self) -> usize {
        self.messages.iter().map(|message| message.bytes.capacity()).sum()
    }

    pub(super) fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    /// No data will come any more. VFDs that no message named are closed.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.drop_unnamed();
    }

    pub(super) fn drop_unnamed(&mut self) {
        self.unnamed.clear();
        self.unnamed_blob_bytes = 0;
    }

    /// Data is thrown away from now on.
    pub(super) fn discard(&mut self) {
        self.discard = true;
        self.messages.clear();
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
        self.unnamed.insert(id, Unnamed::Ready(fd));
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
        self.unnamed.insert(id, Unnamed::Blob { memory, len, received: 0 });
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
        let Some(Unnamed::Blob { memory, len, received }) = self.unnamed.get_mut(&id) else {
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
        match self.unnamed.remove(&id) {
            Some(Unnamed::Blob { memory, len, received }) if received == len => {
                let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
                rustix::fs::fcntl_add_seals(&memory, seals)
                    .map_err(|source| SocketError::Make { what: "blob", source })?;
                let fd = ReceivedFd { fd: memory.into(), kind: ReceivedKind::Blob { len } };
                self.unnamed.insert(id, Unnamed::Ready(fd));
            }
            Some(other) => {
                self.unnamed.insert(id, other);
            }
            None => {}
        }
        Ok(())
    }

    /// Takes a VFD that a message names. `None` if there is none of that identifier, or it is not complete.
    pub(super) fn take_named(&mut self, id: u32) -> Option<ReceivedFd> {
        match self.unnamed.remove(&id)? {
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

    /// DATA came, and its VFDs were all there.
    pub(super) fn add_message(&mut self, bytes: &[u8], fds: Vec<ReceivedFd>) {
        if self.discard {
            return;
        }
        match self.messages.back_mut() {
            Some(last) if fds.is_empty() && last.bytes.len().saturating_add(bytes.len()) <= MAX_JOINED => {
                last.bytes.extend_from_slice(bytes);
            }
            _ => self.messages.push_back(Message { bytes: bytes.to_vec(), taken: 0, fds }),
        }
    }

    /// Moves bytes to `into`. Descriptors go with the first byte returned or not at all: a message with
    /// descriptors is never joined to the end of the one before.
    pub(super) fn take(&mut self, into: &mut [u8], fds: &mut Vec<ReceivedFd>) -> usize {
        let mut total = 0;
        while let Some(message) = self.messages.front_mut() {
            let space = into.get_mut(total..).unwrap_or_default();
            if space.is_empty() || (total > 0 && !message.fds.is_empty()) {
                break;
            }
            for fd in message.fds.drain(..) {
                self.grant = self.grant.saturating_add(FD_COST.into());
                if let ReceivedKind::Blob { len } = fd.kind {
                    self.held_blob_bytes = self.held_blob_bytes.saturating_sub(len);
                }
                fds.push(fd);
            }
            let rest = message.bytes.get(message.taken..).unwrap_or_default();
            let len = rest.len().min(space.len());
            if let (Some(to), Some(from)) = (space.get_mut(..len), rest.get(..len)) {
                to.copy_from_slice(from);
            }
            message.taken += len;
            total += len;
            self.grant = self.grant.saturating_add(data_cost(0, len));
            if message.taken == message.bytes.len() {
                self.messages.pop_front();
            }
        }
        if self.held_blob_bytes <= self.max_blob {
            self.grant = self.grant.saturating_add(std::mem::take(&mut self.deferred));
        }
        total
    }
}
