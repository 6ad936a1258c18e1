//! A queue of bytes in memory that is used again and again, so that messages cost copies but no allocation.
//!
//! The memory follows what the queue has held lately. It grows when the queue does, and shrinks only when the queue is
//! empty: at once where it is large, and otherwise after the queue has been filled and emptied several times without
//! needing it. A connection that goes on as it is therefore allocates nothing.

use std::collections::VecDeque;

/// What an empty queue keeps at the most, in bytes.
const KEEP: usize = 64 * 1024;

/// What an empty queue keeps that has lately held little.
const KEEP_LITTLE: usize = 4 * 1024;

/// How many times in succession the queue must have held little before it keeps little.
const PATIENCE: u8 = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ByteQueue {
    bytes: VecDeque<u8>,
    /// The most that it has held since it was empty.
    peak: usize,
    /// How many times in succession the peak was little.
    little: u8,
}

impl ByteQueue {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Memory that the queue occupies.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.peak = self.peak.max(self.bytes.len());
    }

    /// The first bytes, as many as lie together.
    pub(super) fn front(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    /// The first `len` bytes, or all, in two parts.
    fn head(&self, len: usize) -> [&[u8]; 2] {
        let (first, second) = self.bytes.as_slices();
        let in_first = len.min(first.len());
        let in_second = len.saturating_sub(in_first).min(second.len());
        [first.get(..in_first).unwrap_or(first), second.get(..in_second).unwrap_or(second)]
    }

    /// Moves bytes to `into`, as many as there are and fit.
    pub(super) fn take(&mut self, into: &mut [u8]) -> usize {
        let [first, second] = self.head(into.len());
        let (to_first, rest) = into.split_at_mut(first.len());
        to_first.copy_from_slice(first);
        let taken = first.len() + second.len();
        if let Some(to_second) = rest.get_mut(..second.len()) {
            to_second.copy_from_slice(second);
        }
        self.consume(taken);
        taken
    }

    /// Removes the first `len` bytes, or all.
    pub(super) fn consume(&mut self, len: usize) {
        self.bytes.drain(..len.min(self.bytes.len()));
        if self.bytes.is_empty() {
            self.emptied();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn emptied(&mut self) {
        let is_little = std::mem::take(&mut self.peak) <= KEEP_LITTLE;
        self.little = if is_little { self.little.saturating_add(1) } else { 0 };
        let keep = if self.little >= PATIENCE { KEEP_LITTLE } else { KEEP };
        if self.bytes.capacity() > keep {
            self.bytes.shrink_to(keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(queue: &mut ByteQueue, len: usize) {
        queue.push(&vec![7; len]);
        let mut taken = vec![0; len];
        assert_eq!(queue.take(&mut taken), len);
        assert!(taken.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let mut queue = ByteQueue::default();
        let (mut next_in, mut next_out) = (0u8, 0u8);
        for round in (0..=u8::MAX).cycle().take(1000) {
            let coming: Vec<u8> = (0..round % 97).map(|index| next_in.wrapping_add(index)).collect();
            next_in = next_in.wrapping_add(round % 97);
            queue.push(&coming);
            let mut going = vec![0; usize::from(round % 89)];
            let len = queue.take(&mut going);
            for byte in &going[..len] {
                assert_eq!(*byte, next_out);
                next_out = next_out.wrapping_add(1);
            }
            let [first, second] = queue.head(40);
            assert_eq!(first.len() + second.len(), queue.len().min(40));
        }
    }

    #[test]
    fn memory_that_is_not_needed_any_more_is_given_back() {
        let mut queue = ByteQueue::default();
        pass(&mut queue, 1_000_000);
        assert!(queue.capacity() <= KEEP, "{}", queue.capacity());
        pass(&mut queue, 50_000);
        assert!(queue.capacity() >= 50_000, "another one may come");
        for _ in 0..PATIENCE {
            pass(&mut queue, 100);
        }
        assert!(queue.capacity() <= KEEP_LITTLE, "{}", queue.capacity());
    }
}
