//! Where copies of buffers live, and which part of it belongs to whom.
//!
//! A store is the region that the VM shares with the compositor, used by all connections, or, where the VM
//! has none, private memory of one connection whose content is sent through the stream. Upstream both look
//! the same: one `wl_shm_pool` that covers all of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_wl::Region;
use virtio_wl::allocator::{Allocator, AllocatorError, Slot};
use virtio_wl::region::{HEADER_LEN, RegionError};

use super::trim::Trimmer;

/// Size of the staging memory of a connection, in bytes. It takes up only what buffers really need.
pub const STAGING_LEN: u64 = 256 << 20;

/// Less content than this in a free block is not offered to the host, in bytes.
const TRIM_THRESHOLD: u64 = 1 << 20;

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The region, or private memory instead of it, cannot be had.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The region has no room for anything.
    #[error("the region cannot be divided into slots: {0}")]
    Allocator(#[from] AllocatorError),
}

/// A region and its allocator. Shared between the threads of connections.
#[derive(Debug)]
pub struct Store {
    region: Arc<Region>,
    allocator: Arc<Mutex<Allocator>>,
    trimmer: Option<Trimmer>,
}

impl Store {
    /// The store in a region that the VM shares with the compositor. `trimmer` is told when memory becomes
    /// free.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn shared(
        region: Region,
        trimmer: impl FnOnce(Arc<Mutex<Allocator>>) -> Option<Trimmer>,
    ) -> Result<Self, StoreError> {
        let allocator = Arc::new(Mutex::new(Allocator::new(HEADER_LEN..region.len(), TRIM_THRESHOLD)?));
        let trimmer = trimmer(allocator.clone());
        Ok(Self { region: Arc::new(region), allocator, trimmer })
    }

    /// A store of private memory for one connection.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn staging() -> Result<Self, StoreError> {
        let region = Region::create_memfd(STAGING_LEN)?;
        let allocator = Arc::new(Mutex::new(Allocator::new(HEADER_LEN..region.len(), TRIM_THRESHOLD)?));
        Ok(Self { region: Arc::new(region), allocator, trimmer: None })
    }

    /// The memory.
    #[must_use]
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// A slot of at least `len` bytes. None: the store is full.
    #[must_use]
    pub fn allocate(&self, len: u64) -> Option<Slot> {
        self.allocator().alloc(len)
    }

    /// Takes a slot back.
    pub fn free(&self, slot: Slot) {
        let len = slot.len();
        let mut allocator = self.allocator();
        if let Err(error) = allocator.free(slot) {
            tracing::error!("internal error: {error}");
            return;
        }
        let used = allocator.used_bytes();
        drop(allocator);
        if let Some(trimmer) = &self.trimmer {
            trimmer.freed(len, used);
        }
    }

    /// Bytes in slots.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.allocator().used_bytes()
    }

    /// A thread that panicked while it held the lock had not begun to change anything, or had finished.
    fn allocator(&self) -> MutexGuard<'_, Allocator> {
        self.allocator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
