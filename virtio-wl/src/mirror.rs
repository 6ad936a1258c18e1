//! Memory that a peer writes through the stream, and how much of it there may be.
//!
//! A mirror is as long as its sender says, but takes up only the pages that were written: a sender may mirror
//! a large, mostly empty memory. What is bounded is therefore what was written, for all streams that share a
//! [`MirrorBudget`]. A page counts from the first write to it.
//!
//! Mirrors are written with pwrite(2) and never mapped here, so they take no address space, and memory that runs
//! out is an error instead of a SIGBUS.
//!
//! Invariant: a [`Charge`] is what its owner has taken of the budget, and gives it back when dropped.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, SealFlags};
use rustix::io::Errno;

use crate::region::{memfd, row_offsets};
use crate::wire::MirrorRect;

/// Size of what is counted at a time, in bytes. A power of two.
const PAGE: u64 = 4096;

/// Memory that the mirrors of some streams may take up together.
#[derive(Debug)]
pub struct MirrorBudget {
    limit: u64,
    used: AtomicU64,
}

impl MirrorBudget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// Bytes that may be taken up.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that are taken up.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let add = |used: u64| used.checked_add(bytes).filter(|total| *total <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        let subtract = |used: u64| Some(used.saturating_sub(bytes));
        // The function never declines.
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract);
    }
}

/// What was taken of a budget; given back when dropped.
#[derive(Debug)]
struct Charge {
    /// `None`: nothing is counted.
    budget: Option<Arc<MirrorBudget>>,
    bytes: u64,
}

impl Charge {
    fn new(budget: Option<Arc<MirrorBudget>>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Takes more; the limit of the budget if there is not so much left.
    fn grow(&mut self, bytes: u64) -> Result<(), MirrorError> {
        if let Some(budget) = &self.budget
            && !budget.take(bytes)
        {
            return Err(MirrorError::Budget(budget.limit()));
        }
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give_back(self.bytes);
        }
    }
}

/// Why a write to a mirror failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MirrorError {
    /// The rectangle is not within the mirror, or the content is not that of the rectangle.
    Bounds,
    /// The budget of so many bytes is used up.
    Budget(u64),
    /// The kernel has no memory.
    Write(Errno),
}

/// One mirror of a peer.
#[derive(Debug)]
pub(crate) struct Mirror {
    file: File,
    len: u64,
    /// A bit for each page that was written. It grows with the furthest one.
    pages: Vec<u64>,
    charge: Charge,
    /// A descriptor was handed out, so that the memory may live longer than the mirror.
    is_shared: bool,
}

impl Mirror {
    /// Zeroed memory of `len` bytes that nobody can resize.
    pub(crate) fn new(len: u64, budget: Option<Arc<MirrorBudget>>) -> Result<Self, Errno> {
        let fd = memfd(c"virtio-wl-mirror")?;
        rustix::fs::ftruncate(&fd, len)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let charge = Charge::new(budget);
        Ok(Self { file: fd.into(), len, pages: Vec::new(), charge, is_shared: false })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// A descriptor was handed out.
    pub(crate) fn share(&mut self) {
        self.is_shared = true;
    }

    /// Ends the mirror, and gives its memory back to the kernel even if others have it still: nobody will write it any
    /// more, and they would keep what nobody counts. What they read from now on is zeros.
    pub(crate) fn close(self) -> Result<(), Errno> {
        if !self.is_shared || self.pages.is_empty() {
            return Ok(());
        }
        rustix::fs::fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, self.len)
    }

    /// Writes rows that lie in `bytes` without gaps to the rectangle `rect`.
    pub(crate) fn write(&mut self, rect: MirrorRect, bytes: &[u8]) -> Result<(), MirrorError> {
        if !rect.fits(self.len) || u64::try_from(bytes.len()) != Ok(rect.content_len()) {
            return Err(MirrorError::Bounds);
        }
        // Rows without gaps are one.
        let whole = MirrorRect { row_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX), rows: 1, ..rect };
        let rect = if rect.row_len == rect.stride { whole } else { rect };
        // Paid for before it exists: few bytes in rows far apart take up many pages.
        let fresh = row_offsets(rect).map(|offset| self.mark(offset, rect.row_len.into())).sum::<u64>();
        self.charge.grow(fresh.saturating_mul(PAGE))?;
        let row_len = usize::try_from(rect.row_len).map_err(|_| MirrorError::Bounds)?;
        for (row, offset) in bytes.chunks_exact(row_len).zip(row_offsets(rect)) {
            self.file
                .write_all_at(row, offset)
                .map_err(|error| MirrorError::Write(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        }
        Ok(())
    }

    /// Marks the pages of a range that is within the mirror and not empty, and says how many were new.
    fn mark(&mut self, offset: u64, len: u64) -> u64 {
        let last = offset.saturating_add(len).saturating_sub(1) / PAGE;
        let words = usize::try_from(last / 64).unwrap_or(usize::MAX).saturating_add(1);
        if self.pages.len() < words {
            self.pages.resize(words, 0);
        }
        let mut fresh: u64 = 0;
        for page in offset / PAGE..=last {
            let word = usize::try_from(page / 64).ok().and_then(|index| self.pages.get_mut(index));
            if let Some(word) = word {
                let bit = 1 << (page % 64);
                fresh += u64::from(*word & bit == 0);
                *word |= bit;
            }
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use proptest::prelude::*;

    use super::*;

    fn rect(offset: u64, row_len: u32, stride: u32, rows: u32) -> MirrorRect {
        MirrorRect { offset, row_len, stride, rows }
    }

    #[test]
    fn pages_count_once_and_only_when_they_are_written() {
        let budget = MirrorBudget::new(3 * PAGE);
        let mut mirror = Mirror::new(1 << 30, Some(Arc::clone(&budget))).unwrap();
        assert_eq!(budget.used(), 0);
        for _ in 0..3 {
            mirror.write(rect(PAGE - 1, 2, 2, 1), b"ab").unwrap();
        }
        assert_eq!(budget.used(), 2 * PAGE);
        // Single bytes in pages of their own.
        let far = rect(1 << 20, 1, 4096, 2);
        assert_eq!(mirror.write(far, b"ab"), Err(MirrorError::Budget(3 * PAGE)));
        assert_eq!(budget.used(), 2 * PAGE);
        drop(mirror);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_budget_is_shared() {
        let budget = MirrorBudget::new(PAGE);
        let mut one = Mirror::new(PAGE, Some(Arc::clone(&budget))).unwrap();
        let mut two = Mirror::new(PAGE, Some(Arc::clone(&budget))).unwrap();
        one.write(rect(0, 1, 1, 1), b"a").unwrap();
        assert_eq!(two.write(rect(0, 1, 1, 1), b"a"), Err(MirrorError::Budget(PAGE)));
        drop(one);
        let mut three = Mirror::new(PAGE, Some(budget)).unwrap();
        three.write(rect(0, 1, 1, 1), b"a").unwrap();
    }

    proptest! {
        #[test]
        fn what_counts_is_what_the_kernel_has_given(
            rects in proptest::collection::vec((0_u64..1 << 20, 1_u32..9000, 0_u32..9000, 1_u32..6), 1..8),
        ) {
            let budget = MirrorBudget::new(u64::MAX);
            let mut mirror = Mirror::new(2 << 20, Some(Arc::clone(&budget))).unwrap();
            for (offset, row_len, gap, rows) in rects {
                let rect = rect(offset, row_len, row_len + gap, rows);
                let content = vec![1; usize::try_from(rect.content_len()).unwrap()];
                mirror.write(rect, &content).unwrap();
            }
            let blocks = rustix::fs::fstat(mirror.file().as_fd()).unwrap().st_blocks;
            prop_assert_eq!(u64::try_from(blocks).unwrap() * 512, budget.used());
        }
    }
}
