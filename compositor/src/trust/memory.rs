//! How much shared memory the buffers of an origin use.
//!
//! Buffers are what counts, not pools: all connections of a VM have a pool over the VM's whole region, and
//! toolkits make pools far larger than what they draw into. A pool costs address space alone, of which there is
//! plenty for as many pools as an origin may have.

use std::collections::HashMap;
use std::hash::Hash;

/// The pools and buffers of one origin. `K` names objects; it is generic so that the book can be tested by
/// itself.
#[derive(Debug)]
pub struct MemoryBook<K> {
    /// Size of each live pool, in bytes.
    pools: HashMap<K, u64>,
    /// Size of each live buffer, in bytes.
    buffers: HashMap<K, u64>,
    /// Sum of all buffers, in bytes.
    total: u64,
}

impl<K> Default for MemoryBook<K> {
    fn default() -> Self {
        Self { pools: HashMap::new(), buffers: HashMap::new(), total: 0 }
    }
}

impl<K: Hash + Eq> MemoryBook<K> {
    /// What all live buffers use, in bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Enters a new pool, or the new size of one.
    pub fn set_pool(&mut self, pool: K, bytes: u64) {
        self.pools.insert(pool, bytes);
    }

    /// The size of a live pool, in bytes.
    #[must_use]
    pub fn pool(&self, pool: &K) -> Option<u64> {
        self.pools.get(pool).copied()
    }

    /// A pool object was destroyed; its buffers may live on. False if it was never entered.
    pub fn close_pool(&mut self, pool: &K) -> bool {
        self.pools.remove(pool).is_some()
    }

    /// Enters a new buffer.
    pub fn add_buffer(&mut self, buffer: K, bytes: u64) {
        let replaced = self.buffers.insert(buffer, bytes).unwrap_or(0);
        self.total = self.total.saturating_add(bytes).saturating_sub(replaced);
    }

    /// A buffer was destroyed. False if it was never entered.
    pub fn drop_buffer(&mut self, buffer: &K) -> bool {
        let bytes = self.buffers.remove(buffer);
        self.total = self.total.saturating_sub(bytes.unwrap_or(0));
        bytes.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_counts_as_long_as_it_lives_even_without_its_pool() {
        let mut book = MemoryBook::default();
        book.set_pool(1, 4 << 30);
        assert_eq!(book.total(), 0);
        book.add_buffer(2, 800);
        book.add_buffer(3, 200);
        book.close_pool(&1);
        assert_eq!((book.pool(&1), book.total()), (None, 1000));
        assert!(book.drop_buffer(&2));
        assert!(!book.drop_buffer(&2));
        assert_eq!(book.total(), 200);
        book.drop_buffer(&3);
        assert_eq!(book.total(), 0);
    }

    #[test]
    fn a_grown_pool_has_its_new_size() {
        let mut book = MemoryBook::default();
        book.set_pool(1, 800);
        book.set_pool(1, 1600);
        assert_eq!(book.pool(&1), Some(1600));
    }
}
