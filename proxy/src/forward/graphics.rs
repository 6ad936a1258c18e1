//! The graphics device of the VM, and the memory in which applications have it draw.
//!
//! Such memory is shared as a *dma-buf*, a descriptor that can be mapped but not read with read(2). Nothing but pixels is ever
//! read from it here, and no library of a graphics driver is involved: the device itself is not even opened.
//!
//! A dma-buf cannot become shorter while it exists, and neither can memory with the seal `F_SEAL_SHRINK`, which is therefore
//! taken as well: for programs that draw with the processor and know dma-bufs alone, and for machines without a device.
//!
//! The device may still be drawing when an application commits a buffer. The kernel keeps with each dma-buf what is
//! under way (*implicit fences*): poll(2) reports the descriptor as readable once everything that writes it has finished.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{SealFlags, SeekFrom};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

/// Where the kernel has graphics devices.
const DEVICES: &str = "/dev/dri";

/// `f_type` of the file system that all dma-bufs are in (linux/magic.h, since Linux 5.3).
const DMA_BUF_MAGIC: i64 = 0x444d_4142;

/// `DMA_BUF_IOCTL_SYNC` (linux/dma-buf.h).
const SYNC: Opcode = opcode::write::<SyncArgument>(b'b', 0);
const SYNC_READ: u64 = 1;
const SYNC_END: u64 = 1 << 2;

/// `struct dma_buf_sync`.
#[repr(C)]
struct SyncArgument {
    flags: u64,
}

/// Why there is no graphics device.
#[derive(Debug, thiserror::Error)]
pub enum GraphicsError {
    /// The folder of devices has none that draws.
    #[error("this machine has no graphics device: there is no {DEVICES}/renderD*")]
    NoDevice,
    /// The named device cannot be looked at.
    #[error("cannot examine {}: {source}", path.display())]
    Examine {
        /// What was named.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What was named is something else.
    #[error("{} is no device", .0.display())]
    NotADevice(PathBuf),
}

/// Gives for a buffer what is readable once everything that draws in it has finished. None: the buffer itself.
type FenceOf = dyn Fn(BorrowedFd<'_>) -> Option<OwnedFd> + Send + Sync;

/// A graphics device of this VM, by which applications find the same one.
#[derive(Clone)]
pub struct GraphicsDevice {
    /// `st_rdev` of its render node.
    number: u64,
    fence: Option<Arc<FenceOf>>,
}

impl fmt::Debug for GraphicsDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphicsDevice").field("number", &self.number).finish_non_exhaustive()
    }
}

impl GraphicsDevice {
    /// The device with the render node `path`, for example `/dev/dri/renderD128`.
    ///
    /// # Errors
    ///
    /// There is no such device.
    pub fn at(path: &Path) -> Result<Self, GraphicsError> {
        let metadata =
            fs::metadata(path).map_err(|source| GraphicsError::Examine { path: path.to_owned(), source })?;
        if !metadata.file_type().is_char_device() {
            return Err(GraphicsError::NotADevice(path.to_owned()));
        }
        Ok(Self { number: metadata.rdev(), fence: None })
    }

    /// The device whose render node has the lowest number.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn first() -> Result<Self, GraphicsError> {
        Self::at(&first_render_node(Path::new(DEVICES)).ok_or(GraphicsError::NoDevice)?)
    }

    /// Waits for what `fence` gives for a buffer instead of the buffer, before it is read. For tests, because only a device
    /// that draws makes a dma-buf wait.
    #[must_use]
    pub fn with_fence(
        self,
        fence: impl Fn(BorrowedFd<'_>) -> Option<OwnedFd> + Send + Sync + 'static,
    ) -> Self {
        Self { fence: Some(Arc::new(fence)), ..self }
    }

    /// What applications know the device by: a `dev_t` as it lies in memory.
    #[must_use]
    pub fn dev_t(&self) -> [u8; size_of::<libc::dev_t>()] {
        self.number.to_ne_bytes()
    }

    pub(super) fn fence(&self, buffer: BorrowedFd<'_>) -> Option<OwnedFd> {
        self.fence.as_ref().and_then(|fence| fence(buffer))
    }
}

/// The render node with the lowest number in a folder.
fn first_render_node(folder: &Path) -> Option<PathBuf> {
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix("renderD")?.parse::<u32>().ok();
    let paths = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter_map(|path| Some((number(&path)?, path))).min().map(|(_, path)| path)
}

/// Memory that cannot become shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphicsMemory {
    /// Memory of a device or of the kernel.
    DmaBuf,
    /// Memory of the application, sealed.
    Sealed,
}

impl GraphicsMemory {
    /// What is behind a descriptor. None: neither.
    #[must_use]
    pub fn of(fd: BorrowedFd<'_>) -> Option<Self> {
        if rustix::fs::fstatfs(fd).is_ok_and(|stat| stat.f_type == DMA_BUF_MAGIC) {
            return Some(Self::DmaBuf);
        }
        let seals = rustix::fs::fcntl_get_seals(fd).unwrap_or(SealFlags::empty());
        seals.contains(SealFlags::SHRINK).then_some(Self::Sealed)
    }
}

/// Bytes of a dma-buf or of memory.
///
/// # Errors
///
/// The kernel does not say.
pub fn len(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    // The way that the kernel's documentation names for dma-bufs. The offset of the descriptor means nothing to anybody.
    rustix::fs::seek(fd, SeekFrom::End(0))
}

/// Whether everything that writes the memory has finished.
#[must_use]
pub fn is_drawn(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    // Of memory poll(2) says that it is readable. Where it fails nothing can be waited for.
    !matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
}

/// While this exists, the processor sees what the device has drawn.
#[derive(Debug)]
pub struct ReadAccess<'a> {
    /// None: memory, which needs nothing of this.
    buffer: Option<BorrowedFd<'a>>,
}

impl<'a> ReadAccess<'a> {
    /// Begins to read. Waits for whatever writes the memory, which is nothing after [`is_drawn`] unless the application has
    /// more drawn in a buffer that it has committed.
    ///
    /// # Errors
    ///
    /// The device does not hand out its memory.
    pub fn begin(memory: GraphicsMemory, fd: BorrowedFd<'a>) -> Result<Self, Errno> {
        if memory == GraphicsMemory::Sealed {
            return Ok(Self { buffer: None });
        }
        sync(fd, SYNC_READ)?;
        Ok(Self { buffer: Some(fd) })
    }
}

impl Drop for ReadAccess<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer {
            // What was read cannot become wrong any more.
            let _ = sync(buffer, SYNC_END | SYNC_READ);
        }
    }
}

fn sync(fd: BorrowedFd<'_>, flags: u64) -> Result<(), Errno> {
    loop {
        // SAFETY: the number is that of an ioctl with an argument of this type.
        let call = unsafe { Setter::<SYNC, SyncArgument>::new(SyncArgument { flags }) };
        // SAFETY: the kernel only reads the argument, and during the call.
        let result = unsafe { ioctl(fd, call) };
        match result {
            Err(Errno::INTR | Errno::AGAIN) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use rustix::fs::{MemfdFlags, ftruncate};

    use super::*;

    #[test]
    fn the_render_node_with_the_lowest_number_is_the_first() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(first_render_node(folder.path()), None);
        for name in ["card0", "renderD129", "renderD1000", "renderD", "by-path", "renderD128x"] {
            File::create(folder.path().join(name)).unwrap();
        }
        assert_eq!(first_render_node(folder.path()), Some(folder.path().join("renderD129")));
        assert_eq!(first_render_node(&folder.path().join("nowhere")), None);
    }

    #[test]
    fn a_device_is_known_by_its_number_and_nothing_else_is_a_device() {
        let device = GraphicsDevice::at(Path::new("/dev/null")).unwrap();
        assert_eq!(device.dev_t(), rustix::fs::makedev(1, 3).to_ne_bytes());
        assert!(matches!(GraphicsDevice::at(Path::new("/")), Err(GraphicsError::NotADevice(_))));
        assert!(matches!(GraphicsDevice::at(Path::new("/nowhere")), Err(GraphicsError::Examine { .. })));
    }

    #[test]
    fn memory_is_taken_once_it_is_sealed_against_becoming_shorter() {
        let memory = rustix::fs::memfd_create(c"m", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&memory, 12_345).unwrap();
        assert_eq!(GraphicsMemory::of(memory.as_fd()), None);
        rustix::fs::fcntl_add_seals(&memory, SealFlags::GROW).unwrap();
        assert_eq!(GraphicsMemory::of(memory.as_fd()), None);
        rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK).unwrap();
        assert_eq!(GraphicsMemory::of(memory.as_fd()), Some(GraphicsMemory::Sealed));
        assert_eq!(len(memory.as_fd()), Ok(12_345));
        assert!(is_drawn(memory.as_fd()));
        assert!(ReadAccess::begin(GraphicsMemory::Sealed, memory.as_fd()).is_ok());
        let null = File::open("/dev/null").unwrap();
        assert_eq!(GraphicsMemory::of(null.as_fd()), None);
    }
}
