//! What is sent in place of a program's memory: memory of this library's own, which follows it and may be longer.
//!
//! The other side gets a copy whose length is that of what was sent, for good. A program may make its memory longer
//! after it has sent it (`wl_shm_pool.resize`), so what is sent is longer from the beginning. That costs addresses only: memory
//! that nobody has written takes up none.
//!
//! Invariant: the length is sealed, so the mapping is backed by the file for as long as both live. It is read only where
//! the file was written, because reading a hole of it would fill it; it is written by pwrite(2), which says when there is no
//! memory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use virtio_wl::vfd::FileId;

/// Memory that follows a program's.
pub struct Shadow {
    file: Arc<OwnedFd>,
    id: FileId,
    start: *const u8,
    len: usize,
}

// SAFETY: the mapping is not tied to a thread, and only its owner reads through the pointer.
unsafe impl Send for Shadow {}

impl Shadow {
    /// Zeroed memory of `len` bytes.
    ///
    /// # Errors
    ///
    /// The process has too many descriptors, or no addresses for so much.
    pub fn new(len: u64) -> Result<Self, Errno> {
        let size = usize::try_from(len).map_err(|_| Errno::NOMEM)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("virtio-wl-shadow", flags)?;
        rustix::fs::ftruncate(&file, len)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let id = FileId::of(file.as_fd())?;
        let map = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses the address, so the new mapping replaces no other.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), size, ProtFlags::READ, map, &file, 0)? };
        Ok(Self { file: Arc::new(file), id, start: start.cast_const().cast(), len: size })
    }

    /// The descriptor to send.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The descriptor to send, which may be needed for longer than the program's memory.
    pub fn shared_fd(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.file)
    }

    /// Which file it is.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        u64::try_from(self.len).unwrap_or(u64::MAX)
    }

    /// A part of it, less of it where it ends before. Holes are filled.
    pub fn part(&mut self, offset: u64, len: usize) -> &[u8] {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len);
        let len = len.min(self.len - offset);
        let start = self.start.wrapping_add(offset);
        // SAFETY: the range is within the mapping, whose file keeps its length. It is written by `write` alone, which needs
        // this value for itself; the kernel reads it for others.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    /// Writes a part of it.
    ///
    /// # Errors
    ///
    /// There is no memory. A part of it may be written.
    pub fn write(&mut self, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pwrite(&self.file, rest, offset.saturating_add(done as u64)) {
                Ok(0) => return Err(Errno::NOSPC),
                Ok(len) => done += len,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        // SAFETY: start and length are those of a mapping that this value made, and no part of it is borrowed any more.
        // Unmapping a valid range does not fail.
        let _ = unsafe { rustix::mm::munmap(self.start.cast_mut().cast(), self.len) };
    }
}
