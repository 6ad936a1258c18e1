//! Memory that a peer writes through the stream, and how much of it there may be.
//!
//! A mirror is as long as its sender says, but takes up only the pages that were written: a sender may mirror
//! a large, mostly empty memory. What is bounded is therefore what was written, for all streams that share a
//! [`MirrorBudget`]. A page counts from the first write to it.
//!
//! The part of a mirror that is written is mapped, so that the stream can be read straight into its place; how much address
//! space that takes is bounded by the same budget. What does not fit is written with pwrite(2), row by row.
//!
//! No lack of memory is a SIGBUS: pages are allocated with fallocate(2), which says if there are none, before
//! anything is copied into them here, and where the kernel copies it reports a page that it cannot have as `EFAULT`. The memory
//! is this side's own and sealed, so that a peer cannot take pages away again.
//!
//! Invariant: a [`Charge`] is what its owner has taken of the budget, and gives it back when dropped.

mod mapping;

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, SealFlags};
use rustix::io::Errno;

use self::mapping::Mapping;
use crate::region::{memfd, row_offsets};
use crate::wire::MirrorRect;

/// Size of what is counted at a time, in bytes. A power of two.
const PAGE: u64 = 4096;

/// The least that is mapped at a time, in bytes. A power of two.
const MIN_MAPPED: u64 = 1 << 20;

/// Memory that the mirrors of some streams may take up together.
#[derive(Debug)]
pub struct MirrorBudget {
    limit: u64,
    used: AtomicU64,
    mapped: AtomicU64,
}

impl MirrorBudget {
    /// A budget of `limit` bytes of memory, and of as much address space.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0), mapped: AtomicU64::new(0) })
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

    fn account(&self, what: What) -> &AtomicU64 {
        match what {
            What::Memory => &self.used,
            What::AddressSpace => &self.mapped,
        }
    }

    fn take(&self, what: What, bytes: u64) -> bool {
        let add = |used: u64| used.checked_add(bytes).filter(|total| *total <= self.limit);
        self.account(what).fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn give_back(&self, what: What, bytes: u64) {
        let subtract = |used: u64| Some(used.saturating_sub(bytes));
        // The function never declines.
        let _ = self.account(what).fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract);
    }
}

/// What a budget bounds.
#[derive(Clone, Copy, Debug)]
enum What {
    /// Pages of memory.
    Memory,
    /// Addresses of this process.
    AddressSpace,
}

/// What was taken of a budget; given back when dropped.
#[derive(Debug)]
struct Charge {
    /// `None`: nothing is counted.
    budget: Option<Arc<MirrorBudget>>,
    what: What,
    bytes: u64,
}

impl Charge {
    fn new(budget: Option<Arc<MirrorBudget>>, what: What) -> Self {
        Self { budget, what, bytes: 0 }
    }

    /// Takes more; the limit of the budget if there is not so much left.
    fn grow(&mut self, bytes: u64) -> Result<(), MirrorError> {
        if let Some(budget) = &self.budget
            && !budget.take(self.what, bytes)
        {
            return Err(MirrorError::Budget(budget.limit()));
        }
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }
}

impl Charge {
    /// Gives back a part.
    fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        if let Some(budget) = &self.budget {
            budget.give_back(self.what, bytes);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give_back(self.what, self.bytes);
        }
    }
}

/// Why a write to a mirror failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    mapping: Option<Mapping>,
    address_space: Charge,
    /// A descriptor was handed out, so that the memory may live longer than the mirror.
    is_shared: bool,
}

impl Mirror {
    /// Zeroed memory of `len` bytes that nobody can resize.
    pub(crate) fn new(len: u64, budget: Option<Arc<MirrorBudget>>) -> Result<Self, Errno> {
        let fd = memfd(c"virtio-wl-mirror")?;
        rustix::fs::ftruncate(&fd, len)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self {
            file: fd.into(),
            len,
            pages: Vec::new(),
            charge: Charge::new(budget.clone(), What::Memory),
            mapping: None,
            address_space: Charge::new(budget, What::AddressSpace),
            is_shared: false,
        })
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
        if u64::try_from(bytes.len()) != Ok(rect.content_len()) {
            return Err(MirrorError::Bounds);
        }
        if self.prepare(rect)? {
            self.write_front(rect, bytes);
            return Ok(());
        }
        let rect = rect.without_gaps();
        let row_len = usize::try_from(rect.row_len).map_err(|_| MirrorError::Bounds)?;
        for (row, offset) in bytes.chunks_exact(row_len).zip(row_offsets(rect)) {
            self.file
                .write_all_at(row, offset)
                .map_err(|error| MirrorError::Write(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        }
        Ok(())
    }

    /// Writes the first bytes of a rectangle that was prepared and can be written through pointers.
    pub(crate) fn write_front(&mut self, rect: MirrorRect, bytes: &[u8]) {
        let Some(mapping) = &mut self.mapping else { return };
        let mut rest = bytes;
        for (offset, len) in rect.pieces_from(0) {
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
            let (row, after) = rest.split_at(len);
            if row.is_empty() || !mapping.write(offset, row) {
                return;
            }
            rest = after;
        }
    }

    /// Makes the pages of a rectangle exist. True if all of it can be written through pointers.
    pub(crate) fn prepare(&mut self, rect: MirrorRect) -> Result<bool, MirrorError> {
        if !rect.fits(self.len) {
            return Err(MirrorError::Bounds);
        }
        let rect = rect.without_gaps();
        // Paid for before it exists: few bytes in rows far apart take up many pages.
        let mut fresh = FreshPages::default();
        for offset in row_offsets(rect) {
            let row = self.mark(offset, rect.row_len.into());
            self.charge.grow(row.count.saturating_mul(PAGE))?;
            self.allocate(fresh.join(row))?;
        }
        self.allocate(fresh)?;
        Ok(self.map(rect.end().unwrap_or(u64::MAX)))
    }

    /// Pointers to what a rectangle that was prepared has from byte `from` of its content on, each with a length. They
    /// must be used before the mirror is used again. Stops where nothing is mapped.
    pub(crate) fn pointers(&self, rect: MirrorRect, from: u64) -> impl Iterator<Item = (*mut u8, usize)> {
        rect.pieces_from(from).map_while(|(offset, len)| {
            let len = usize::try_from(len).ok()?;
            Some((self.mapping.as_ref()?.pointer(offset, len)?, len))
        })
    }

    fn allocate(&self, pages: FreshPages) -> Result<(), MirrorError> {
        if pages.count == 0 {
            return Ok(());
        }
        let offset = pages.first.saturating_mul(PAGE);
        let end = pages.last.saturating_add(1).saturating_mul(PAGE).min(self.len);
        loop {
            let len = end.saturating_sub(offset);
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), offset, len) {
                Err(Errno::INTR) => {}
                result => return result.map_err(MirrorError::Write),
            }
        }
    }

    /// Maps the mirror up to `end` at least, if the budget allows it.
    fn map(&mut self, end: u64) -> bool {
        let mapped = self.mapping.as_ref().map_or(0, |mapping| u64::try_from(mapping.len()).unwrap_or(0));
        if end <= mapped {
            return true;
        }
        let least = end.next_multiple_of(PAGE);
        let comfortable = least.next_power_of_two().max(MIN_MAPPED).min(self.len.next_multiple_of(PAGE));
        [comfortable, least].into_iter().any(|len| {
            let more = len.saturating_sub(mapped);
            let Ok(size) = usize::try_from(len) else { return false };
            if self.address_space.grow(more).is_err() {
                return false;
            }
            let result = match &mut self.mapping {
                Some(mapping) => mapping.grow(size),
                none => Mapping::new(self.file.as_fd(), size).map(|mapping| *none = Some(mapping)),
            };
            if result.is_err() {
                self.address_space.shrink(more);
            }
            result.is_ok()
        })
    }

    /// Marks the pages of a range that is within the mirror and not empty, and says which were new.
    fn mark(&mut self, offset: u64, len: u64) -> FreshPages {
        let last = offset.saturating_add(len).saturating_sub(1) / PAGE;
        let words = usize::try_from(last / 64).unwrap_or(usize::MAX).saturating_add(1);
        if self.pages.len() < words {
            self.pages.resize(words, 0);
        }
        let mut fresh = FreshPages::default();
        for page in offset / PAGE..=last {
            let word = usize::try_from(page / 64).ok().and_then(|index| self.pages.get_mut(index));
            if let Some(word) = word {
                let bit = 1 << (page % 64);
                if *word & bit == 0 {
                    *word |= bit;
                    let first = if fresh.count == 0 { page } else { fresh.first };
                    fresh = FreshPages { first, last: page, count: fresh.count.saturating_add(1) };
                }
            }
        }
        fresh
    }
}

/// Pages that were not written before. Those between them were, or are of the same row.
#[derive(Clone, Copy, Debug, Default)]
struct FreshPages {
    first: u64,
    last: u64,
    /// None: the rest means nothing.
    count: u64,
}

impl FreshPages {
    /// Joins more pages to these, which lie further on. Where there is something between, these are replaced and returned.
    fn join(&mut self, more: Self) -> Self {
        if more.count == 0 {
            return Self::default();
        }
        if self.count == 0 {
            *self = more;
        } else if more.first <= self.last.saturating_add(1) {
            self.last = self.last.max(more.last);
            self.count = self.count.saturating_add(more.count);
        } else {
            return std::mem::replace(self, more);
        }
        Self::default()
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
        assert_eq!(budget.used(), 3 * PAGE);
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
