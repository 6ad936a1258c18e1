//! The memory of an application's `wl_shm_pool`.
//!
//! It is only ever read with pread(2), straight into the store: the application can shorten its file
//! whenever it likes, and a mapping would then kill the process that looks at it. A read that finds no bytes
//! is the application's error and ends that application's connection.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::FileType;
use rustix::io::Errno;
use virtio_wl::region::{Region, RegionError};
use virtio_wl::wire::MirrorRect;

/// Why a pool's memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// fstat(2) failed.
    #[error("failed to examine the file of the pool: {0}")]
    Examine(#[source] Errno),
    /// Not a file that could be mapped.
    #[error("the descriptor of the pool is not a file")]
    NotAFile,
    /// The pixels lie behind the end that the pool was given.
    #[error("the buffer is outside its pool")]
    OutsidePool,
    /// The file is shorter than the pool or cannot be read.
    #[error(transparent)]
    Copy(RegionError),
}

/// The file behind a pool.
#[derive(Debug)]
pub struct ClientMemory {
    fd: Rc<OwnedFd>,
    /// Bytes that the application said there are.
    len: Cell<u32>,
}

impl ClientMemory {
    /// The first `len` bytes of a file. Whether they exist turns out when they are read.
    ///
    /// # Errors
    ///
    /// The descriptor is not a file.
    pub fn new(fd: &Rc<OwnedFd>, len: u32) -> Result<Self, MemoryError> {
        let stat = rustix::fs::fstat(fd.as_fd()).map_err(MemoryError::Examine)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(MemoryError::NotAFile);
        }
        Ok(Self { fd: fd.clone(), len: Cell::new(len) })
    }

    /// The pool was resized to `len` bytes, which is not less than before.
    pub fn grow(&self, len: u32) {
        self.len.set(self.len.get().max(len));
    }

    /// Copies rows that begin at byte `offset` of the pool to `to`. Rows are equally far apart in both.
    ///
    /// # Errors
    ///
    /// The rows are outside the pool, the file ends before them, or reading fails.
    pub fn copy(&self, offset: u64, region: &Region, to: MirrorRect) -> Result<(), MemoryError> {
        let source = MirrorRect { offset, ..to };
        if !source.fits(self.len.get().into()) {
            return Err(MemoryError::OutsidePool);
        }
        region.copy_from_fd_rows(self.fd.as_fd(), offset, to).map_err(MemoryError::Copy)
    }
}
