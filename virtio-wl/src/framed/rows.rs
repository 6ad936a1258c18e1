//! Rows of mirrors on their way between the stream and the memory that they lie in: one system call moves many of them
//! together with the frames around them, and nothing is copied in between.
//!
//! Rows that are shorter than [`DIRECT_ROW`] go through the buffers, where many of them are one piece.
//!
//! Invariant: a pointer in [`Parts`] is used in the very call that it was put there for. What it points to lives longer: the
//! bytes of a [`Write`], the region that it holds a reference to, or the mapping of a mirror that nothing touches meanwhile.

use std::sync::Arc;

use super::FramedSocket;
use super::incoming::FrameBuffer;
use crate::mirror::MirrorError;
use crate::region::Region;
use crate::socket::{SocketError, Violation};
use crate::wire::MirrorRect;

/// The least length of a row that is moved on its own, in bytes. Below, the kernel's work for each piece costs more than
/// another copy does: with rows of 1024 bytes, a third of the throughput (`cargo bench -p virtio-wl -- mirror`).
pub(super) const DIRECT_ROW: u32 = 2048;

/// Pieces in one system call.
const MAX_PARTS: usize = 128;

/// Places in memory for one system call.
#[derive(Debug)]
pub(super) struct Parts {
    parts: [libc::iovec; MAX_PARTS],
    count: usize,
    len: usize,
}

impl Parts {
    pub(super) fn new() -> Self {
        let none = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self { parts: [none; MAX_PARTS], count: 0, len: 0 }
    }

    /// False if there is no space for another one.
    fn push(&mut self, base: *mut u8, len: usize) -> bool {
        let Some(part) = self.parts.get_mut(self.count) else { return false };
        *part = libc::iovec { iov_base: base.cast(), iov_len: len };
        self.count += 1;
        self.len = self.len.saturating_add(len);
        true
    }

    /// Bytes of all of them.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [libc::iovec] {
        self.parts.get_mut(..self.count).unwrap_or_default()
    }
}

/// Rows that leave after the first `after` bytes of a write.
#[derive(Debug)]
struct Rows {
    after: usize,
    source: Arc<Region>,
    rect: MirrorRect,
}

/// The write under way: frames, and between them rows that are sent from where they lie.
#[derive(Debug)]
pub(super) struct Write {
    /// The frames, without those rows.
    pub(super) bytes: Vec<u8>,
    rows: Vec<Rows>,
    rows_len: usize,
    /// How much has left.
    written: usize,
}

impl Write {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, rows: Vec::new(), rows_len: 0, written: 0 }
    }

    /// Bytes that lie elsewhere.
    pub(super) fn rows_len(&self) -> usize {
        self.rows_len
    }

    /// Bytes of all of it.
    pub(super) fn len(&self) -> usize {
        self.bytes.len().saturating_add(self.rows_len)
    }

    /// Bytes that have not left.
    pub(super) fn left(&self) -> usize {
        self.len().saturating_sub(self.written)
    }

    /// What has not left, if it is all in one piece.
    pub(super) fn as_piece(&self) -> Option<&[u8]> {
        if self.rows.is_empty() { self.bytes.get(self.written..) } else { None }
    }

    /// Appends the rows of a rectangle, which is within `source`.
    pub(super) fn push_rows(&mut self, source: &Arc<Region>, rect: MirrorRect) {
        let len = usize::try_from(rect.content_len()).unwrap_or(usize::MAX);
        self.rows_len = self.rows_len.saturating_add(len);
        self.rows.push(Rows { after: self.bytes.len(), source: Arc::clone(source), rect });
    }

    /// So many bytes have left. True if those were the last.
    pub(super) fn advance(&mut self, len: usize) -> bool {
        self.written = self.written.saturating_add(len);
        if self.left() > 0 {
            return false;
        }
        self.bytes.clear();
        self.rows.clear();
        (self.rows_len, self.written) = (0, 0);
        true
    }

    /// What has not left, or the first of it. The pointers are valid for reading as long as this is not changed.
    pub(super) fn parts(&self, parts: &mut Parts) {
        let (mut skip, mut begin) = (self.written, 0);
        for rows in &self.rows {
            if !push_piece(parts, self.bytes.get(begin..rows.after).unwrap_or_default(), &mut skip) {
                return;
            }
            begin = rows.after;
            let len = usize::try_from(rows.rect.content_len()).unwrap_or(usize::MAX);
            if skip >= len {
                skip -= len;
                continue;
            }
            let from = u64::try_from(std::mem::take(&mut skip)).unwrap_or(u64::MAX);
            if !rows.source.pieces(rows.rect, from).all(|(base, len)| parts.push(base, len)) {
                return;
            }
        }
        push_piece(parts, self.bytes.get(begin..).unwrap_or_default(), &mut skip);
    }
}

/// Adds what `skip` leaves of `bytes`. False if there is no space for it.
fn push_piece(parts: &mut Parts, bytes: &[u8], skip: &mut usize) -> bool {
    let skipped = bytes.len().min(*skip);
    *skip -= skipped;
    let rest = bytes.get(skipped..).unwrap_or_default();
    rest.is_empty() || parts.push(rest.as_ptr().cast_mut(), rest.len())
}

/// Rows of a frame that are read straight to where they belong.
#[derive(Clone, Copy, Debug)]
pub(super) struct IncomingRows {
    id: u32,
    rect: MirrorRect,
    /// Bytes that are there.
    done: u64,
}

impl IncomingRows {
    fn left(&self) -> usize {
        usize::try_from(self.rect.content_len().saturating_sub(self.done)).unwrap_or(usize::MAX)
    }
}

impl FramedSocket {
    /// Begins to read the rest of a MIRROR_WRITE into its place, if that is what `buffer` has a part of and it is worth it.
    pub(super) fn begin_rows(&mut self, buffer: &mut FrameBuffer) -> Result<(), SocketError> {
        let Some((id, rect)) = buffer.mirror_head()? else { return Ok(()) };
        if rect.without_gaps().row_len < DIRECT_ROW {
            return Ok(());
        }
        self.before_end("MIRROR_WRITE")?;
        let mirror = self.vfds.peer_mirrors.get_mut(&id);
        let mirror = mirror.ok_or(Violation::Unknown { frame: "MIRROR_WRITE", id })?;
        let is_mapped = mirror.prepare(rect).map_err(|error| mirror_error(id, error))?;
        if !is_mapped {
            // It is written when all of it is there.
            return Ok(());
        }
        let content = buffer.take_mirror_content();
        mirror.write_front(rect, content);
        let done = u64::try_from(content.len()).unwrap_or(u64::MAX);
        self.rows = Some(IncomingRows { id, rect, done });
        Ok(())
    }

    /// Where the next bytes of the stream belong while the rows of a frame are under way; none are.
    pub(super) fn row_parts(&mut self, parts: &mut Parts) {
        let Some(rows) = self.rows else { return };
        let Some(mirror) = self.vfds.peer_mirrors.get(&rows.id) else { return };
        let all = mirror.pointers(rows.rect, rows.done).all(|(base, len)| parts.push(base, len));
        if all && parts.len() == rows.left() {
            let space = self.buffer.space();
            // Without space for it, it is read next time.
            let _ = parts.push(space.as_mut_ptr(), space.len());
        }
    }

    /// Takes note of bytes that have come. Gives how many of them are in the buffer.
    pub(super) fn advance_rows(&mut self, len: usize) -> usize {
        let Some(rows) = &mut self.rows else { return len };
        let left = rows.left();
        if len < left {
            rows.done = rows.done.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
            return 0;
        }
        self.rows = None;
        len - left
    }
}

/// What a write to mirror `id` that failed means for the connection.
pub(super) fn mirror_error(id: u32, error: MirrorError) -> SocketError {
    match error {
        MirrorError::Bounds => Violation::MirrorBounds(id).into(),
        MirrorError::Budget(limit) => Violation::Limit { what: "memory in mirrors", limit }.into(),
        MirrorError::Write(source) => SocketError::Make { what: "mirror's content", source },
    }
}
