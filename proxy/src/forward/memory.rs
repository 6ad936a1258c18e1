//! The memory of an application's `wl_shm_pool`, or of a buffer that a graphics device draws in.
//!
//! It is mapped while the application draws, and copied from there straight into the store. The application can shorten its
//! file whenever it likes, so the copy is guarded ([`ForeignMapping`]): bytes that are not there are the application's error
//! and end that application's connection. A file that cannot be mapped is read with pread(2). Once the application has not
//! drawn for a while the mapping is given up ([`ClientMemory::unmap`]), so that what it drew is not in this process's memory.
//!
//! Memory of a graphics device ([`super::graphics`]) is read by its mapping alone, after the device has finished with it.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::FileType;
use rustix::io::Errno;
use virtio_wl::region::{ForeignMapping, Region, RegionError};
use virtio_wl::wire::MirrorRect;

use super::graphics::{GraphicsMemory, ReadAccess, is_drawn};

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
    /// The file ends before the buffer does.
    #[error("the file of the pool is shorter than the buffer")]
    TooShort,
    /// The file is shorter than the pool or cannot be read or written.
    #[error(transparent)]
    Copy(RegionError),
    /// Neither a dma-buf nor memory that cannot become shorter.
    #[error("the descriptor of the buffer is neither a dma-buf nor memory that is sealed against shrinking")]
    NotGraphics,
    /// Memory of a device that the processor cannot reach.
    #[error("the dma-buf cannot be mapped: {0}")]
    Map(#[source] Errno),
    /// The device does not hand out what it has drawn.
    #[error("the dma-buf cannot be read: {0}")]
    Access(#[source] Errno),
}

/// The file behind a pool, or what a graphics device draws in.
#[derive(Debug)]
pub struct ClientMemory {
    fd: Rc<OwnedFd>,
    /// Bytes that the application said there are.
    len: Cell<u32>,
    mapping: RefCell<Mapping>,
    /// None: a pool.
    graphics: Option<Graphics>,
}

/// What is particular about memory that a graphics device draws in.
#[derive(Debug)]
struct Graphics {
    memory: GraphicsMemory,
    /// Readable once everything that draws has finished; none: the memory itself says.
    fence: Option<OwnedFd>,
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
        let mapping = RefCell::new(Mapping::None);
        Ok(Self { fd: fd.clone(), len: Cell::new(len), mapping, graphics: None })
    }

    /// The first `len` bytes of a dma-buf, or of memory that cannot become shorter. What is waited for before it is read is
    /// `fence`, if there is one.
    ///
    /// # Errors
    ///
    /// It is something else, or cannot be mapped.
    pub fn graphics(fd: &Rc<OwnedFd>, len: u32, fence: Option<OwnedFd>) -> Result<Self, MemoryError> {
        let memory = GraphicsMemory::of(fd.as_fd()).ok_or(MemoryError::NotGraphics)?;
        let mapped = usize::try_from(len).unwrap_or(usize::MAX);
        // Given up again, because most buffers are made long before they are drawn in.
        ForeignMapping::new(fd.as_fd(), mapped).map_err(MemoryError::Map)?;
        let mapping = RefCell::new(Mapping::None);
        Ok(Self { fd: fd.clone(), len: Cell::new(len), mapping, graphics: Some(Graphics { memory, fence }) })
    }

    /// True where a graphics device may draw in it.
    #[must_use]
    pub fn is_graphics(&self) -> bool {
        self.graphics.is_some()
    }

    /// What has to be readable before the memory is read. None: nothing.
    #[must_use]
    pub fn awaited(&self) -> Option<BorrowedFd<'_>> {
        let graphics = self.graphics.as_ref()?;
        let fence = graphics.fence.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
        (!is_drawn(fence)).then_some(fence)
    }

    /// To be kept while the memory is copied from.
    ///
    /// # Errors
    ///
    /// The device does not hand out its memory.
    pub fn begin_read(&self) -> Result<Option<ReadAccess<'_>>, MemoryError> {
        let begin = |graphics: &Graphics| ReadAccess::begin(graphics.memory, self.fd.as_fd());
        self.graphics.as_ref().map(begin).transpose().map_err(MemoryError::Access)
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

    /// Copies the rows `from` of the region to byte `offset` of the pool on. Rows are equally far apart in both.
    ///
    /// They are written with pwrite(2), so that a file that is shortened meanwhile hurts nobody; it may be as long afterwards
    /// as it was before.
    ///
    /// # Errors
    ///
    /// The rows are outside the pool, the file ends before them or cannot be written.
    pub fn copy_back(&self, region: &Region, from: MirrorRect, offset: u64) -> Result<(), MemoryError> {
        let target = MirrorRect { offset, ..from };
        if !target.fits(self.len.get().into()) {
            return Err(MemoryError::OutsidePool);
        }
        let len = rustix::fs::fstat(self.fd.as_fd()).map_err(MemoryError::Examine)?.st_size;
        if !target.fits(u64::try_from(len).unwrap_or(0)) {
            return Err(MemoryError::TooShort);
        }
        region.copy_to_fd_rows(self.fd.as_fd(), offset, from).map_err(MemoryError::Copy)
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
