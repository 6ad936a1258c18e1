//! Which parts of a region are in use: pure bookkeeping, no memory is touched.
//!
//! Every page of the managed range is in exactly one of three states: *free*, *used* (part of a slot that
//! was given out) or *trimming* (offered to the host, which may discard its content at any moment until it
//! acknowledges). Only free pages are ever given out. Apart from that the allocator remembers which free pages may
//! still hold content (*dirty*), so that pages that the host has taken back are not offered again.
//!
//! Slots are whole pages. The lowest free range that is large enough is used, which keeps the end of the
//! region free and in one piece.

use std::collections::BTreeMap;
use std::ops::Range;

use thiserror::Error;

/// Granularity of slots and trim requests, in bytes.
pub const PAGE: u64 = 4096;

/// Why bookkeeping refused a request.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AllocatorError {
    /// The managed range is empty, too large or not made of whole pages.
    #[error("{start}..{end} is no range of whole pages")]
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

/// The allocator of one region. See the module for its states.
#[derive(Debug)]
pub struct Allocator {
    managed: Range<u64>,
    free: RangeSet,
    used: BTreeMap<u64, u64>,
    trimming: BTreeMap<u64, u64>,
    dirty: RangeSet,
    trim_threshold: u64,
}

impl Allocator {
    /// An allocator of the pages in `managed`, all free and clean. Free ranges shorter than `trim_threshold`
    /// bytes are not worth a trim request.
    ///
    /// # Errors
    ///
    /// The range is empty, does not consist of whole pages or ends beyond 2^62.
    pub fn new(managed: Range<u64>, trim_threshold: u64) -> Result<Self, AllocatorError> {
        let Range { start, end } = managed;
        if start >= end || end > 1 << 62 || start % PAGE != 0 || end % PAGE != 0 {
            return Err(AllocatorError::Range { start, end });
        }
        let mut free = RangeSet::default();
        free.insert(start..end);
        Ok(Self {
            managed,
            free,
            used: BTreeMap::new(),
            trimming: BTreeMap::new(),
            dirty: RangeSet::default(),
            trim_threshold: trim_threshold.max(PAGE),
        })
    }

    /// A slot of at least `len` bytes, or `None` where no free range is long enough (or `len` is zero).
    pub fn alloc(&mut self, len: u64) -> Option<Slot> {
        let len = len.checked_next_multiple_of(PAGE)?;
        if len == 0 {
            return None;
        }
        let found = self.free.iter().find(|range| range.end - range.start >= len)?;
        let range = found.start..found.start + len;
        self.free.remove(range.clone());
        self.dirty.insert(range.clone());
        self.used.insert(range.start, range.end);
        Some(Slot { offset: range.start, len })
    }

    /// Takes a slot back.
    ///
    /// # Errors
    ///
    /// The slot is not one of this allocator; nothing was changed.
    #[expect(clippy::needless_pass_by_value, reason = "whoever frees a slot must not keep it")]
    pub fn free(&mut self, slot: Slot) -> Result<(), AllocatorError> {
        let Slot { offset, len } = slot;
        match self.used.get(&offset) {
            Some(end) if end.checked_sub(offset) == Some(len) => {
                self.used.remove(&offset);
                self.free.insert(offset..offset + len);
                Ok(())
            }
            _ => Err(AllocatorError::Free { offset, len }),
        }
    }

    /// Ranges whose content the host may discard: free, dirty and at least as long as the threshold. Each
    /// one is `trimming` from now on, and is not given out until [`acknowledge`](Self::acknowledge) or
    /// [`trim_lost`](Self::trim_lost).
    pub fn trim_candidates(&mut self) -> Vec<Range<u64>> {
        let candidates: Vec<_> = self
            .free
            .iter()
            .flat_map(|free| self.dirty.overlaps(free))
            .filter(|range| range.end - range.start >= self.trim_threshold)
            .collect();
        for range in &candidates {
            self.free.remove(range.clone());
            self.trimming.insert(range.start, range.end);
        }
        candidates
    }

    /// The host has discarded the content of `range`, which is now free and clean.
    ///
    /// # Errors
    ///
    /// `range` is not exactly one that [`trim_candidates`](Self::trim_candidates) gave; nothing was changed.
    pub fn acknowledge(&mut self, range: Range<u64>) -> Result<(), AllocatorError> {
        if self.trimming.get(&range.start) != Some(&range.end) {
            return Err(AllocatorError::Acknowledge { start: range.start, end: range.end });
        }
        self.trimming.remove(&range.start);
        self.dirty.remove(range.clone());
        self.free.insert(range);
        Ok(())
    }

    /// No acknowledgement will come any more. The ranges are free again, and still dirty.
    ///
    /// Call it only when the host can no longer act on the requests, that is after its end of the trim stream
    /// was closed: a late discard would erase pixels of whoever owns the memory by then.
    pub fn trim_lost(&mut self) {
        for (start, end) in std::mem::take(&mut self.trimming) {
            self.free.insert(start..end);
        }
    }

    /// Bytes in slots.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used.iter().map(|(start, end)| end - start).sum()
    }

    /// Bytes that can be allocated, in however many pieces.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.free.bytes()
    }

    /// Bytes that wait for the host's acknowledgement.
    #[must_use]
    pub fn trimming_bytes(&self) -> u64 {
        self.trimming.iter().map(|(start, end)| end - start).sum()
    }

    /// Checks that every page is in exactly one state, and that nothing used or trimming is clean.
    ///
    /// # Errors
    ///
    /// Says what is wrong. It cannot happen; the tests call this after every step.
    pub fn invariants(&self) -> Result<(), String> {
        let busy = self.used.iter().chain(&self.trimming).map(|(start, end)| *start..*end);
        let mut all: Vec<_> = self.free.iter().chain(busy.clone()).collect();
        all.sort_by_key(|range| range.start);
        let mut next = self.managed.start;
        for range in all {
            if range.start != next || range.end <= range.start || range.end % PAGE != 0 {
                return Err(format!("{range:?} where a range from {next} was expected"));
            }
            next = range.end;
        }
        if next != self.managed.end {
            return Err(format!("the states end at {next}, not at {}", self.managed.end));
        }
        for range in busy {
            if self.dirty.overlaps(range.clone()).collect::<Vec<_>>() != [range.clone()] {
                return Err(format!("{range:?} is in use but not wholly dirty"));
            }
        }
        Ok(())
    }
}

/// Disjoint ranges that do not touch each other; each is stored as start and end.
#[derive(Debug, Default)]
struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().map(|(start, end)| *start..*end)
    }

    fn bytes(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// The parts of `range` that are in the set.
    fn overlaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<'_> {
        let before = self.0.range(..range.start).next_back();
        let inside = self.0.range(range.start..range.end);
        before.into_iter().chain(inside).filter_map(move |(start, end)| {
            let part = range.start.max(*start)..range.end.min(*end);
            (part.start < part.end).then_some(part)
        })
    }

    fn insert(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        // Every stored range that overlaps or touches the new one is merged into it.
        while let Some((other_start, other_end)) =
            self.0.range(..=end).next_back().map(|(start, end)| (*start, *end))
        {
            if other_end < start {
                break;
            }
            self.0.remove(&other_start);
            start = start.min(other_start);
            end = end.max(other_end);
        }
        self.0.insert(start, end);
    }

    fn remove(&mut self, range: Range<u64>) {
        while let Some((start, end)) =
            self.0.range(..range.end).next_back().map(|(start, end)| (*start, *end))
        {
            if end <= range.start {
                break;
            }
            self.0.remove(&start);
            if end > range.end {
                self.0.insert(range.end, end);
            }
            if start < range.start {
                self.0.insert(start, range.start);
            }
        }
    }
}

#[cfg(test)]
#[path = "allocator_tests.rs"]
mod tests;
