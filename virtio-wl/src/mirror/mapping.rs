//! The beginning of a mirror in the address space of this process, so that rows can go from the stream to their places
//! without a stop.
//!
//! Invariant: `base` points to a shared mapping of exactly `len` bytes of the mirror's memory, which is sealed against becoming
//! shorter, until the mapping grows or is dropped; a pointer is used within the call that it was made for. Receivers of the
//! mirror may write the same memory at any time, so there is never a reference to it and nothing is read from it here.

use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{MapFlags, MremapFlags, ProtFlags};

/// See the module.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is reached through `self` alone.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives pointers alone, and whoever uses one answers for what it does with it; writing takes an
// exclusive one.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `base` and `len` are those of a mapping made here, and no pointer into it is used after the call that it
        // was made for. Unmapping a valid range does not fail.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

impl Mapping {
    /// Maps the first `len` bytes of `memory`.
    pub(super) fn new(memory: BorrowedFd<'_>, len: usize) -> Result<Self, Errno> {
        // SAFETY: the kernel chooses the address, so the new mapping replaces no other; it is used only through `base`
        // of the value made here, within `len` bytes.
        let base =
            unsafe { rustix::mm::mmap(ptr::null_mut(), len, ProtFlags::WRITE, MapFlags::SHARED, memory, 0) }?;
        Ok(Self { base: NonNull::new(base.cast()).ok_or(Errno::NOMEM)?, len })
    }

    /// Makes it longer; it may move.
    pub(super) fn grow(&mut self, len: usize) -> Result<(), Errno> {
        // SAFETY: the range is that of a mapping made here, and the exclusive reference says that no pointer into it is in
        // use while it moves.
        let base =
            unsafe { rustix::mm::mremap(self.base.as_ptr().cast(), self.len, len, MremapFlags::MAYMOVE) }?;
        self.base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        self.len = len;
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// A pointer that is valid for writing `len` bytes. `None` if they are not all mapped.
    pub(super) fn pointer(&self, offset: u64, len: usize) -> Option<*mut u8> {
        let start = usize::try_from(offset).ok()?;
        start.checked_add(len).filter(|end| *end <= self.len)?;
        // SAFETY: `start` is at most the length of the mapping that `base` points to.
        Some(unsafe { self.base.as_ptr().add(start) })
    }

    /// Copies `bytes` to `offset`. False if there is no such place.
    ///
    /// The pages must exist, so that there is no lack of memory that could end the process here.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let Some(to) = self.pointer(offset, bytes.len()) else { return false };
        // SAFETY: `to` is valid for `bytes.len()` bytes. They cannot overlap `bytes`, because no reference into the mapping
        // exists. Another writer in another process can only tear bytes.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        true
    }
}
