//! Which parts of a memory buffers have been made of.
//!
//! A mirror is large and mostly empty, so its pools cannot be counted by their size. What it can cost is what the
//! compositor reads: a page of a memory file exists from then on, until the file is gone. So a range counts from the
//! first buffer that covers it until the connection ends, whatever is destroyed before that.
//!
//! Invariant: ranges are not empty, do not touch each other, and begin and end with pages.

use std::collections::BTreeMap;

/// Size of what is counted at a time, in bytes.
const PAGE: u64 = 4096;

/// The covered parts of one memory, as disjoint ranges: end by beginning, in pages.
#[derive(Debug, Default)]
pub struct Coverage {
    ranges: BTreeMap<u64, u64>,
}

impl Coverage {
    /// How many bytes [`add`](Self::add) with the same arguments would add.
    #[must_use]
    pub fn missing(&self, offset: u64, len: u64) -> u64 {
        let (begin, end) = pages(offset, len);
        let covered = self.touching(begin, end).map(|(b, e)| e.min(end).saturating_sub(b.max(begin)));
        end.saturating_sub(begin).saturating_sub(covered.sum()).saturating_mul(PAGE)
    }

    /// Covers a range; an empty one changes nothing.
    pub fn add(&mut self, offset: u64, len: u64) {
        let (mut begin, mut end) = pages(offset, len);
        if begin >= end {
            return;
        }
        let joined: Vec<(u64, u64)> = self.touching(begin, end).collect();
        for (b, e) in joined {
            self.ranges.remove(&b);
            (begin, end) = (begin.min(b), end.max(e));
        }
        self.ranges.insert(begin, end);
    }

    /// The ranges that overlap this one or end or begin where it begins or ends.
    fn touching(&self, begin: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
        let below = self.ranges.range(..=end).rev();
        below.map(|(b, e)| (*b, *e)).take_while(move |(_, e)| *e >= begin)
    }
}

/// The pages that a range of bytes touches.
fn pages(offset: u64, len: u64) -> (u64, u64) {
    (offset / PAGE, offset.saturating_add(len).div_ceil(PAGE))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_counts_once() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.missing(10, 10), PAGE);
        coverage.add(10, 10);
        assert_eq!(coverage.missing(0, PAGE), 0);
        assert_eq!(coverage.missing(PAGE - 1, 2), PAGE);
        assert_eq!(coverage.missing(u64::MAX, u64::MAX), PAGE);
    }

    proptest! {
        #[test]
        fn ranges_are_the_set_of_their_pages(
            adds in proptest::collection::vec((0_u64..40 * PAGE, 1_u64..9 * PAGE), 0..30),
        ) {
            let (mut coverage, mut set) = (Coverage::default(), BTreeSet::new());
            for (offset, len) in adds {
                let before = set.len();
                let missing = coverage.missing(offset, len);
                coverage.add(offset, len);
                set.extend(offset / PAGE..=(offset + len - 1) / PAGE);
                prop_assert_eq!(missing, (set.len() - before) as u64 * PAGE);
                prop_assert_eq!(coverage.missing(offset, len), 0);
            }
            let total: u64 = coverage.ranges.iter().map(|(begin, end)| end - begin).sum();
            prop_assert_eq!(total, set.len() as u64);
            prop_assert!(coverage.ranges.iter().zip(coverage.ranges.iter().skip(1)).all(|(a, b)| a.1 < b.0));
        }
    }
}
