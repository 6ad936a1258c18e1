//! Copying rectangles of rows between a region and memory or files.
//!
//! Invariant: every pointer that leaves [`Region::pointer`] was checked for exactly the bytes that are touched through it,
//! and is used while the region is borrowed, so that the mapping exists.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::{Region, RegionError};
use crate::wire::MirrorRect;

impl Region {
    /// Copies rows that lie in `rows` without gaps to the rectangle `rect`.
    ///
    /// # Errors
    ///
    /// The rectangle is not within the region, or `rows` is not exactly its content; nothing was copied.
    pub fn write_rows(&self, rect: MirrorRect, rows: &[u8]) -> Result<(), RegionError> {
        self.check(rect)?;
        let out_of_bounds = RegionError::OutOfBounds { offset: rect.offset, len: rect.content_len() };
        let row_len = usize::try_from(rect.row_len).unwrap_or(usize::MAX);
        if u64::try_from(rows.len()) != Ok(rect.content_len()) {
            return Err(out_of_bounds);
        }
        if rect.row_len == rect.stride {
            return self.write(rect.offset, rows);
        }
        rows.chunks_exact(row_len)
            .zip(row_offsets(rect))
            .try_for_each(|(row, offset)| self.write(offset, row))
    }

    /// Copies the rectangle `rect` from the same place in another region.
    ///
    /// # Errors
    ///
    /// The rectangle is not within both regions; nothing was copied.
    pub(crate) fn copy_rows_from(&self, source: &Self, rect: MirrorRect) -> Result<(), RegionError> {
        self.check(rect)?;
        source.check(rect)?;
        let whole = rect.row_len == rect.stride;
        let rows = if whole { 1 } else { usize::try_from(rect.rows).unwrap_or(usize::MAX) };
        let row_len = if whole { rect.content_len() } else { rect.row_len.into() };
        let row_len = usize::try_from(row_len).unwrap_or(usize::MAX);
        for offset in row_offsets(rect).take(rows) {
            let from = source.pointer(offset, row_len)?;
            let to = self.pointer(offset, row_len)?;
            // SAFETY: both pointers are valid for `row_len` bytes of their mappings, and no reference into either exists.
            // Two mappings may be of the same memory, so the copy is one that allows for overlap.
            unsafe { std::ptr::copy(from, to, row_len) };
        }
        Ok(())
    }

    /// Copies the rectangle `rect` out of a file that may belong to an enemy. In the file the rows lie at
    /// `source_offset` with the same stride.
    ///
    /// The file is read with pread(2) straight into the mapping, never mapped: it may change or shrink while
    /// it is copied, which gives torn content or an error.
    ///
    /// # Errors
    ///
    /// The rectangle is not within the region, or the file cannot be read or ends too early; rows before
    /// that were copied.
    pub fn copy_from_fd_rows(
        &self,
        source: BorrowedFd<'_>,
        source_offset: u64,
        rect: MirrorRect,
    ) -> Result<(), RegionError> {
        self.transfer(rect, source_offset, |to, len, offset| {
            // SAFETY: `transfer` gives a pointer that is valid for `len` bytes of the mapping.
            unsafe { libc::pread(source.as_raw_fd(), to, len, offset) }
        })
    }

    /// Copies the rectangle `rect` into a file, where the rows come to lie at `target_offset` with the same
    /// stride. For memory that the compositor writes, such as screen captures.
    ///
    /// # Errors
    ///
    /// The rectangle is not within the region, or the file cannot be written; rows before that were copied.
    pub fn copy_to_fd_rows(
        &self,
        target: BorrowedFd<'_>,
        target_offset: u64,
        rect: MirrorRect,
    ) -> Result<(), RegionError> {
        self.transfer(rect, target_offset, |from, len, offset| {
            // SAFETY: `transfer` gives a pointer that is valid for `len` bytes of the mapping.
            unsafe { libc::pwrite(target.as_raw_fd(), from, len, offset) }
        })
    }

    /// Runs `call` over the rows of `rect` until all bytes are moved. `call` gets a pointer into the mapping,
    /// how many bytes it may touch there, and the offset in the file, and returns what pread(2) returns.
    fn transfer(
        &self,
        rect: MirrorRect,
        file_offset: u64,
        mut call: impl FnMut(*mut c_void, usize, i64) -> isize,
    ) -> Result<(), RegionError> {
        self.check(rect)?;
        let whole = MirrorRect { row_len: 1, stride: 1, rows: 1, ..rect };
        // Rows without gaps are one long row.
        let (row_len, offsets) = if rect.row_len == rect.stride {
            (rect.content_len(), row_offsets(whole))
        } else {
            (rect.row_len.into(), row_offsets(rect))
        };
        for offset in offsets {
            let mut done = 0;
            while done < row_len {
                let left = usize::try_from(row_len - done).unwrap_or(usize::MAX);
                let here = self.pointer(offset + done, left)?;
                let at = file_offset.checked_add(offset - rect.offset + done);
                let at =
                    at.and_then(|at| i64::try_from(at).ok()).ok_or(RegionError::Copy(Errno::OVERFLOW))?;
                match call(here.cast(), left, at) {
                    0 => return Err(RegionError::SourceEnded(at.unsigned_abs())),
                    moved @ 1.. => done += u64::try_from(moved).unwrap_or(0),
                    _ => match Errno::from_io_error(&io::Error::last_os_error()) {
                        Some(Errno::INTR) => {}
                        other => return Err(RegionError::Copy(other.unwrap_or(Errno::IO))),
                    },
                }
            }
        }
        Ok(())
    }

    /// Pointers to what the rectangle `rect` has from byte `from` of its content on, each with a length: valid for reading
    /// while the region exists. None for what is not within the region.
    pub(crate) fn pieces(&self, rect: MirrorRect, from: u64) -> impl Iterator<Item = (*mut u8, usize)> {
        rect.pieces_from(from).map_while(|(offset, len)| {
            let len = usize::try_from(len).ok()?;
            Some((self.pointer(offset, len).ok()?, len))
        })
    }

    pub(crate) fn check(&self, rect: MirrorRect) -> Result<(), RegionError> {
        if rect.fits(self.len) {
            Ok(())
        } else {
            Err(RegionError::OutOfBounds { offset: rect.offset, len: rect.content_len() })
        }
    }
}

/// Offsets of the rows of a rectangle that was checked.
pub(crate) fn row_offsets(rect: MirrorRect) -> impl Iterator<Item = u64> {
    (0..u64::from(rect.rows)).map(move |row| rect.offset + row * u64::from(rect.stride))
}
