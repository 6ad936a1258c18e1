//! Whose shared memory is mapped.
//!
//! A pool's memory stays mapped until the pool and every buffer made in it are destroyed, so both hold it in
//! the book. Memory that several pools share (all connections of a VM map the same region) counts once, with
//! its largest mapping.

use std::collections::HashMap;
use std::hash::Hash;

/// A file that is mapped by pools, by device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device of the file.
    pub device: u64,
    /// Inode of the file.
    pub inode: u64,
}

#[derive(Debug)]
struct Pool {
    file: FileId,
    bytes: u64,
    /// The pool object itself, while it lives, and its live buffers.
    holders: u32,
}

/// The pools of one origin. `K` names objects; it is generic so that the book can be tested by itself.
#[derive(Debug)]
pub struct MemoryBook<K> {
    pools: HashMap<K, Pool>,
    /// Each live buffer's pool.
    buffers: HashMap<K, K>,
}

impl<K> Default for MemoryBook<K> {
    fn default() -> Self {
        Self { pools: HashMap::new(), buffers: HashMap::new() }
    }
}

impl<K: Hash + Eq + Clone> MemoryBook<K> {
    /// What would be mapped if a pool had this size: the pool may be new or in the book.
    pub fn total_with(&self, file: FileId, bytes: u64) -> u64 {
        let mut files = HashMap::from([(file, bytes)]);
        for pool in self.pools.values() {
            let largest = files.entry(pool.file).or_default();
            *largest = (*largest).max(pool.bytes);
        }
        files.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// What is mapped, in bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.pools.values().next().map_or(0, |any| self.total_with(any.file, any.bytes))
    }

    /// Enters a new pool.
    pub fn open(&mut self, pool: K, file: FileId, bytes: u64) {
        self.pools.insert(pool, Pool { file, bytes, holders: 1 });
    }

    /// The file and size of a pool.
    #[must_use]
    pub fn get(&self, pool: &K) -> Option<(FileId, u64)> {
        self.pools.get(pool).map(|pool| (pool.file, pool.bytes))
    }

    /// A pool has grown.
    pub fn grow(&mut self, pool: &K, bytes: u64) {
        if let Some(pool) = self.pools.get_mut(pool) {
            pool.bytes = bytes;
        }
    }

    /// Enters a new buffer of a pool.
    pub fn add_buffer(&mut self, buffer: K, pool: &K) {
        if let Some(entry) = self.pools.get_mut(pool) {
            entry.holders = entry.holders.saturating_add(1);
            self.buffers.insert(buffer, pool.clone());
        }
    }

    /// A buffer was destroyed.
    pub fn drop_buffer(&mut self, buffer: &K) {
        if let Some(pool) = self.buffers.remove(buffer) {
            self.release(&pool);
        }
    }

    /// A pool object was destroyed; its buffers may live on.
    pub fn close(&mut self, pool: &K) {
        self.release(pool);
    }

    fn release(&mut self, pool: &K) {
        if let Some(entry) = self.pools.get_mut(pool) {
            entry.holders = entry.holders.saturating_sub(1);
            if entry.holders == 0 {
                self.pools.remove(pool);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(inode: u64) -> FileId {
        FileId { device: 1, inode }
    }

    #[test]
    fn memory_shared_by_several_pools_counts_once() {
        let mut book = MemoryBook::default();
        for pool in 0..5_u64 {
            book.open(pool, file(1), 800 + pool);
        }
        assert_eq!(book.total(), 804);
        assert_eq!(book.total_with(file(1), 100), 804);
        assert_eq!(book.total_with(file(2), 100), 904);
    }

    #[test]
    fn a_destroyed_pool_counts_while_a_buffer_holds_it() {
        let mut book = MemoryBook::default();
        book.open(1, file(1), 800);
        book.add_buffer(2, &1);
        book.add_buffer(3, &1);
        book.close(&1);
        book.drop_buffer(&2);
        assert_eq!(book.total(), 800);
        book.drop_buffer(&3);
        assert_eq!(book.total(), 0);
    }

    #[test]
    fn a_grown_pool_counts_with_its_new_size() {
        let mut book = MemoryBook::default();
        book.open(1, file(1), 800);
        book.grow(&1, 1600);
        assert_eq!(book.total(), 1600);
        assert_eq!(book.get(&1), Some((file(1), 1600)));
    }
}
