//! The memory of an application's `wl_shm_pool`.
//!
//! It is mapped while the application draws, and copied from there straight into the store. The application can shorten its
//! file whenever it likes, so the copy is guarded ([`ForeignMapping`]): bytes that are not there are the application's error
//! and end that application's connection. A file that cannot be mapped is read with pread(2). Once the application has not
//! drawn for a while the mapping is given up ([`ClientMemory::unmap`]), so that what it drew is not in this process's memory.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::FileType;
use rustix::io::Errno;
use virtio_wl::region::{ForeignMapping, Region, RegionError};
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
    mapping: RefCell<Mapping>,
}

/// Whether a pool's file is mapped.
#[derive(Debug)]
enum Mapping {
    None,
    Whole(ForeignMapping),
    Impossible,
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
        Ok(Self { fd: fd.clone(), len: Cell::new(len), mapping: RefCell::new(Mapping::None) })
    }

    /// The pool was resized to `len` bytes, which is not less than before.
    pub fn grow(&self, len: u32) {
        self.len.set(self.len.get().max(len));
        self.unmap();
    }

    /// Gives up the mapping until the next copy.
    pub fn unmap(&self) {
        let mut mapping = self.mapping.borrow_mut();
        if matches!(*mapping, Mapping::Whole(_)) {
            *mapping = Mapping::None;
        }
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
        let mut mapping = self.mapping.borrow_mut();
        if matches!(*mapping, Mapping::None) {
            let len = usize::try_from(self.len.get()).unwrap_or(usize::MAX);
            let mapped = ForeignMapping::new(self.fd.as_fd(), len);
            *mapping = mapped.map_or(Mapping::Impossible, Mapping::Whole);
        }
        match &*mapping {
            Mapping::Whole(source) => region.copy_from_foreign_rows(source, offset, to),
            _ => region.copy_from_fd_rows(self.fd.as_fd(), offset, to),
        }
        .map_err(MemoryError::Copy)
    }
}
