//! The region of the VM as its relay sees it: memory to be given back.
//!
//! More than one relay of a VM can be alive, when the supervisor was restarted: the old one serves the connections that it
//! has. Each holds a shared lock of its process on the file, and may discard everything only while it has the lock
//! alone. (The locks of programs in the VM are of another kind, flock(2), and mostly of another kernel.)
//!
//! Invariant: nothing outside the range of the region is touched, and of that not the header.

use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::fs::{FallocateFlags, FlockOperation, fcntl_lock};
use rustix::io::Errno;
use virtio_wl::region::HEADER_LEN;

/// A file and the bytes of it that are the region.
#[derive(Debug)]
pub(super) struct SharedMemory {
    file: OwnedFd,
    start: u64,
    len: u64,
}

impl SharedMemory {
    pub(super) fn new(file: OwnedFd, range: Range<u32>) -> Self {
        let start = u64::from(range.start);
        Self { file, start, len: u64::from(range.end).saturating_sub(start) }
    }

    /// Length of the region in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Gives back the pages of a range that was checked.
    pub(super) fn discard(&self, offset: u64, len: u64) -> Result<(), Errno> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        loop {
            match rustix::fs::fallocate(&self.file, flags, self.start.saturating_add(offset), len) {
                Err(Errno::INTR) => {}
                result => return result,
            }
        }
    }

    /// Gives everything back but the header; false if another relay of this VM is alive.
    ///
    /// Only to be called while this relay has no connection: no program of the VM can have learned from the compositor
    /// what to draw then.
    pub(super) fn release(&self) -> Result<bool, Errno> {
        let alone = match fcntl_lock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(Errno::AGAIN | Errno::ACCESS) => false,
            Err(error) => return Err(error),
        };
        let result =
            if alone { self.discard(HEADER_LEN, self.len.saturating_sub(HEADER_LEN)) } else { Ok(()) };
        // From here on nobody else may, as long as this process is alive.
        fcntl_lock(&self.file, FlockOperation::NonBlockingLockShared)?;
        result.map(|()| alone)
    }
}
