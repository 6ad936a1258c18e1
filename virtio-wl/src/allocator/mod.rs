//! Which parts of a region are in use: pure bookkeeping, no memory is touched.
//!
//! The managed range is divided into *blocks* of whole pages, each in one of three states: *free*, *used* (a slot that was
//! given out) or *trimming* (offered to the host, which may discard its content at any moment until it acknowledges). Only
//! free pages are ever given out. Two free blocks never touch: they are joined.
//!
//! A free block also knows which of its pages may still hold content (*dirty*), so that pages that the host has taken
//! back are not offered again: the range from the first to the last of them, and how many there are at most. Clean
//! pages between dirty ones may thus be offered once more, which costs the host next to nothing and lets every operation
//! have a bound that does not depend on how often blocks were divided and joined.
//!
//! # Cost
//!
//! With *n* blocks and *p* pages, taking, giving back, offering and acknowledging a slot or range each take O(log *n* +
//! log *p*) steps at worst, not only on average. There are at most 2^19 pages.
//!
//! # Fragmentation
//!
//! A slot is at the lowest free address where it fits (address-ordered first fit). As slots and ranges being trimmed are
//! all that divides free memory, *k* of them leave at most *k* + 1 free blocks, so a request for *s* bytes fails only
//! if less than (*k* + 1) × *s* bytes are free. The worst that any sequence of requests can do to first fit is
//! far better than for best fit: slots of at most *n* pages that never take more than *M* pages together need a region of
//! about *M* log2 *n* pages, and *M* *n* with best fit (J. M. Robson, "Worst case fragmentation of first fit and best fit
//! storage allocation strategies", The Computer Journal 20, 1977). Low addresses first also keeps the end of the region
//! free, in one piece and, once trimmed, without memory behind it.

mod first_fit;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use thiserror::Error;

use self::first_fit::FirstFit;
use crate::wire::MAX_MEMORY;

/// Granularity of slots and trim requests, in bytes.
pub const PAGE: u64 = 4096;

/// Why bookkeeping refused a request.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AllocatorError {
    /// The managed range is empty, too large or not made of whole pages.
    #[error("{start}..{end} is no range of whole pages that a region can have")]
    Range {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// A slot was freed that is not in use.
    #[error("slot at {offset} with {len} bytes is not in use")]
    Free {
        /// Its offset.
        offset: u64,
        /// Its length.
        len: u64,
    },
    /// A range was acknowledged that is not being trimmed.
    #[error("{start}..{end} is not being trimmed")]
    Acknowledge {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
}

/// A part of the region that belongs to whoever allocated it. It must be given back to
/// [`Allocator::free`]; dropping it leaks its memory until the allocator itself is dropped.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a slot that is dropped is never free again"]
pub struct Slot {
    offset: u64,
    len: u64,
}

impl Slot {
    /// First byte, counted from the beginning of the region.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Length in bytes: what was asked for, rounded up to whole pages.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a slot is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }
}

/// A block without its beginning. All numbers are of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    len: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free(Dirty),
    Used,
    Trimming,
}

/// Pages of a free block that may hold content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Dirty {
    /// The first of them.
    start: u32,
    /// Behind the last of them; not greater than `start` if there is none.
    end: u32,
    /// How many they are at most.
    pages: u32,
}

impl Dirty {
    fn all(start: u32, len: u32) -> Self {
        Self { start, end: start.saturating_add(len), pages: len }
    }

    /// Those from `start` to `end`.
    fn within(self, start: u32, end: u32) -> Self {
        let (start, end) = (self.start.max(start), self.end.min(end));
        match end.checked_sub(start) {
            Some(len @ 1..) => Self { start, end, pages: self.pages.min(len) },
            _ => Self::default(),
        }
    }

    fn with(self, other: Self) -> Self {
        match (self.pages, other.pages) {
            (0, _) => other,
            (_, 0) => self,
            (one, two) => Self {
                start: self.start.min(other.start),
                end: self.end.max(other.end),
                pages: one.saturating_add(two),
            },
        }
    }
}

/// The allocator of one region. See the module for its states.
#[derive(Debug)]
pub struct Allocator {
    /// First managed page; all pages below are counted from it.
    origin: u32,
    pages: u32,
    /// All blocks by their first page, from the first page to the last without gaps.
    blocks: BTreeMap<u32, Block>,
    /// The free ones among them.
    free: FirstFit,
    /// The free ones that are worth a trim request.
    ripe: BTreeSet<u32>,
    /// The ones that are being trimmed.
    trimming: BTreeSet<u32>,
    used_pages: u32,
    trimming_pages: u32,
    /// Dirty pages that are worth a trim request.
    threshold: u32,
}

impl Allocator {
    /// An allocator of the pages in `managed` (in bytes), all free and clean. Fewer than `trim_threshold` bytes of
    /// content in a free block are not worth a trim request.
    ///
    /// # Errors
    ///
    /// The range is empty, does not consist of whole pages or ends beyond [`MAX_MEMORY`].
    pub fn new(managed: Range<u64>, trim_threshold: u64) -> Result<Self, AllocatorError> {
        let Range { start, end } = managed;
        let error = AllocatorError::Range { start, end };
        if start >= end || end > MAX_MEMORY || start % PAGE != 0 || end % PAGE != 0 {
            return Err(error);
        }
        let page = |bytes: u64| u32::try_from(bytes / PAGE).map_err(|_| error);
        let pages = page(end - start)?;
        let mut allocator = Self {
            origin: page(start)?,
            pages,
            blocks: BTreeMap::new(),
            free: FirstFit::new(pages),
            ripe: BTreeSet::new(),
            trimming: BTreeSet::new(),
            used_pages: 0,
            trimming_pages: 0,
            threshold: u32::try_from(trim_threshold.div_ceil(PAGE).max(1)).unwrap_or(u32::MAX),
        };
        allocator.insert(0, Block { len: pages, state: State::Free(Dirty::default()) });
        Ok(allocator)
    }

    /// A slot of at least `len` bytes, or `None` where no free block is long enough (or `len` is zero).
    pub fn alloc(&mut self, len: u64) -> Option<Slot> {
        let len = u32::try_from(len.div_ceil(PAGE)).ok().filter(|len| *len > 0)?;
        let start = self.free.find(len)?;
        self.divide(start, start, len, State::Used);
        self.used_pages = self.used_pages.saturating_add(len);
        Some(Slot { offset: self.bytes(start), len: u64::from(len) * PAGE })
    }

    /// Takes a slot back.
    ///
    /// # Errors
    ///
    /// The slot is not one of this allocator; nothing was changed.
    #[expect(clippy::needless_pass_by_value, reason = "whoever frees a slot must not keep it")]
    pub fn free(&mut self, slot: Slot) -> Result<(), AllocatorError> {
        let Slot { offset, len } = slot;
        let found = self.block(&(offset..offset.saturating_add(len)), State::Used);
        let (start, pages) = found.ok_or(AllocatorError::Free { offset, len })?;
        self.used_pages = self.used_pages.saturating_sub(pages);
        self.set_free(start, pages, Dirty::all(start, pages));
        Ok(())
    }

    /// A range of at most `limit` bytes (rounded up to whole pages) whose content the host may discard, if there is one
    /// worth it. It is *trimming* from now on, and is not given out until [`acknowledge`](Self::acknowledge) or
    /// [`trim_lost`](Self::trim_lost).
    pub fn next_trim(&mut self, limit: u64) -> Option<Range<u64>> {
        let limit = u32::try_from(limit.div_ceil(PAGE).max(1)).unwrap_or(u32::MAX);
        let block = *self.ripe.first()?;
        let State::Free(dirty) = self.blocks.get(&block)?.state else { return None };
        let len = dirty.end.saturating_sub(dirty.start).min(limit);
        self.divide(block, dirty.start, len, State::Trimming);
        self.trimming.insert(dirty.start);
        self.trimming_pages = self.trimming_pages.saturating_add(len);
        Some(self.bytes(dirty.start)..self.bytes(dirty.start.saturating_add(len)))
    }

    /// The host has discarded the content of `range`, which is now free and clean.
    ///
    /// # Errors
    ///
    /// `range` is not exactly one that [`next_trim`](Self::next_trim) gave; nothing was changed.
    pub fn acknowledge(&mut self, range: Range<u64>) -> Result<(), AllocatorError> {
        let found = self.block(&range, State::Trimming);
        let (start, len) = found.ok_or(AllocatorError::Acknowledge { start: range.start, end: range.end })?;
        self.trimming.remove(&start);
        self.trimming_pages = self.trimming_pages.saturating_sub(len);
        self.set_free(start, len, Dirty::default());
        Ok(())
    }

    /// No acknowledgement will come any more. The ranges are free again, and still dirty. Takes the time of an
    /// acknowledgement for each.
    ///
    /// Call it only when the host can no longer act on the requests, that is after its end of the trim stream
    /// was closed: a late discard would erase pixels of whoever owns the memory by then.
    pub fn trim_lost(&mut self) {
        for start in std::mem::take(&mut self.trimming) {
            if let Some(block) = self.blocks.get(&start).copied() {
                self.set_free(start, block.len, Dirty::all(start, block.len));
            }
        }
        self.trimming_pages = 0;
    }

    /// Bytes in slots.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        u64::from(self.used_pages) * PAGE
    }

    /// Bytes that can be allocated, in however many pieces.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        u64::from(self.pages) * PAGE - self.used_bytes() - self.trimming_bytes()
    }

    /// Bytes that wait for the host's acknowledgement.
    #[must_use]
    pub fn trimming_bytes(&self) -> u64 {
        u64::from(self.trimming_pages) * PAGE
    }

    /// The offset in the region of a page.
    fn bytes(&self, page: u32) -> u64 {
        (u64::from(self.origin) + u64::from(page)) * PAGE
    }

    /// First page and length of the block that is exactly `range` (in bytes) and has this state.
    fn block(&self, range: &Range<u64>, state: State) -> Option<(u32, u32)> {
        let page = (range.start / PAGE).checked_sub(self.origin.into())?;
        let start = u32::try_from(page).ok()?;
        let block = self.blocks.get(&start)?;
        let end = self.bytes(start.checked_add(block.len)?);
        (block.state == state && *range == (self.bytes(start)..end)).then_some((start, block.len))
    }

    /// Gives a part of the free block at `block` another state. What is before and behind stays free.
    fn divide(&mut self, block: u32, start: u32, len: u32, state: State) {
        let Some(Block { len: whole, state: State::Free(dirty) }) = self.remove(block) else { return };
        let (part_end, block_end) = (start.saturating_add(len), block.saturating_add(whole));
        for (from, to) in [(block, start), (part_end, block_end)] {
            if from < to {
                let state = State::Free(dirty.within(from, to));
                self.insert(from, Block { len: to - from, state });
            }
        }
        self.insert(start, Block { len, state });
    }

    /// The block at `start` is free from now on, and one with its free neighbours.
    fn set_free(&mut self, start: u32, len: u32, dirty: Dirty) {
        self.remove(start);
        let (mut start, mut len, mut dirty) = (start, len, dirty);
        let before = self.blocks.range(..start).next_back().map(|(start, block)| (*start, *block));
        if let Some((other, Block { len: other_len, state: State::Free(other_dirty) })) = before {
            self.remove(other);
            (start, len, dirty) = (other, len.saturating_add(other_len), dirty.with(other_dirty));
        }
        let end = start.saturating_add(len);
        if let Some(Block { len: other_len, state: State::Free(other_dirty) }) =
            self.blocks.get(&end).copied()
        {
            self.remove(end);
            (len, dirty) = (len.saturating_add(other_len), dirty.with(other_dirty));
        }
        self.insert(start, Block { len, state: State::Free(dirty) });
    }

    fn insert(&mut self, start: u32, block: Block) {
        if let State::Free(dirty) = block.state {
            self.free.set(start, block.len);
            if dirty.pages >= self.threshold {
                self.ripe.insert(start);
            }
        }
        self.blocks.insert(start, block);
    }

    fn remove(&mut self, start: u32) -> Option<Block> {
        let block = self.blocks.remove(&start)?;
        if matches!(block.state, State::Free(_)) {
            self.free.set(start, 0);
            self.ripe.remove(&start);
        }
        Some(block)
    }
}

#[cfg(test)]
mod tests;
