//! Shared memory between a VM and the side that draws it.
//!
//! A region is a file that both sides have mapped. **The other side writes it at any time**, so this module
//! never hands out a reference into the mapping: content is copied in and out through raw pointers, once, and
//! nothing read from it is a length, an offset or a pointer. The first [`HEADER_LEN`] bytes hold a magic number and
//! the challenge by which the hub proves which region belongs to which VM; pixels begin after them.
//!
//! Invariant: `base` points to a shared mapping of exactly `len` bytes that lives as long as the region, and
//! every access is checked against `len` first. The mapping stays valid when the descriptor is closed.
//!
//! A mapped file that becomes shorter makes every access behind its new end a SIGBUS. Regions are therefore
//! either memory sealed against shrinking ([`Region::create_memfd`]) or files and devices that belong to the
//! hub; files of applications are never mapped but read with pread(2) ([`Region::copy_from_fd_rows`]).

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

use rustix::fs::{FlockOperation, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use thiserror::Error;

use crate::address::{AddressError, take_inherited};
use crate::vfd::FileId;
use crate::wire::{MAX_MEMORY, MirrorRect};

/// Bytes at the beginning of a region that hold no pixels.
pub const HEADER_LEN: u64 = 4096;
/// First bytes of a region.
pub const MAGIC: [u8; 8] = *b"VTRLRGN1";
/// Length of the challenge in bytes.
pub const CHALLENGE_LEN: usize = 32;

const CHALLENGE_OFFSET: u64 = 8;
const PAGE: u64 = 4096;

/// Why a region cannot be used.
#[derive(Debug, Error)]
pub enum RegionError {
    /// The file cannot be opened.
    #[error("cannot open the region `{path}`: {source}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The inherited descriptor cannot be used.
    #[error("cannot use the inherited region: {0}")]
    Inherit(#[from] AddressError),
    /// The file or memory cannot be created.
    #[error("cannot create a region of {len} bytes: {source}")]
    Create {
        /// Bytes asked for.
        len: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// The size is no size of a region.
    #[error("{0} bytes are no size for a region: it must be a multiple of 4096 from 8192 to {MAX_MEMORY}")]
    Size(u64),
    /// The file does not begin with [`MAGIC`].
    #[error("the file is not a region: it does not begin with VTRLRGN1")]
    Magic,
    /// The size cannot be found out.
    #[error("cannot examine the region: {0}")]
    Examine(Errno),
    /// Mapping failed.
    #[error("cannot map the region: {0}")]
    Map(Errno),
    /// Another process holds the lock.
    #[error("the region is in use by another process")]
    InUse,
    /// Locking failed for another reason.
    #[error("cannot lock the region: {0}")]
    Lock(Errno),
    /// An access outside the region.
    #[error("access to {len} bytes at {offset} is outside the region")]
    OutOfBounds {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// A file that was to be copied is shorter than it should be, or cannot be read or written.
    #[error("cannot copy between a file and the region: {0}")]
    Copy(Errno),
    /// A file ended before all its bytes were copied.
    #[error("a file ended at byte {0} while it was copied into the region")]
    SourceEnded(u64),
    /// The header cannot be read or written.
    #[error("cannot access the header of the region: {0}")]
    Header(io::Error),
}

/// Memory that another process or VM has mapped too. See the module for the rules.
#[derive(Debug)]
pub struct Region {
    file: File,
    id: FileId,
    base: NonNull<u8>,
    len: u64,
}

// SAFETY: `base` is never handed out and all copies go through raw pointers, so that moving the value to another
// thread moves nothing that is tied to the first one.
unsafe impl Send for Region {}
// SAFETY: concurrent access through `&Region` is the same as concurrent access by the other process, for which
// every copy is made already: bytes may be torn, but nothing is ever derived from them.
unsafe impl Sync for Region {}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `base` and `len` are those of a mapping made by `map`, and no pointer into it outlives `self`.
        // Unmapping a valid range does not fail.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.mapped_len()) };
    }
}

impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Region {
    /// Opens a region that exists.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or mapped, or is no region.
    pub fn open(path: &Path) -> Result<Self, RegionError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(path)
            .map_err(|source| RegionError::Open { path: path.to_owned(), source })?;
        Self::from_fd(file.into())
    }

    /// Opens what a command line names: `fd:N` for an inherited descriptor, else a path.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_argument(argument: &str) -> Result<Self, RegionError> {
        match argument.strip_prefix("fd:").and_then(|number| number.parse().ok()) {
            Some(fd) => Self::from_fd(take_inherited(fd)?),
            None => Self::open(Path::new(argument)),
        }
    }

    /// Maps a region that is open already.
    ///
    /// # Errors
    ///
    /// The file cannot be mapped or is no region.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, RegionError> {
        let region = Self::map(fd.into())?;
        if region.len % PAGE != 0 || region.len < 2 * HEADER_LEN {
            return Err(RegionError::Size(region.len));
        }
        let mut magic = [0; MAGIC.len()];
        region.read_header(0, &mut magic)?;
        if magic == MAGIC { Ok(region) } else { Err(RegionError::Magic) }
    }

    /// Makes `path` a region of `len` bytes (mode 0600) with all pixels zero, whatever it was before.
    ///
    /// # Errors
    ///
    /// The length is no multiple of 4096 from 8192 on or too large, or the file cannot be made.
    pub fn create(path: &Path, len: u64) -> Result<Self, RegionError> {
        check_size(len)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(|source| RegionError::Open { path: path.to_owned(), source })?;
        let create = |source| RegionError::Create { len, source };
        // A process that has the old content mapped must not fault, so a file of the right size keeps it.
        if file.metadata().map_err(create)?.len() != len {
            file.set_len(0).map_err(create)?;
        }
        file.set_len(len).map_err(create)?;
        Self::map(file)?.format()
    }

    /// Makes a region of anonymous memory, sealed against changes of its size.
    ///
    /// # Errors
    ///
    /// The length is no multiple of 4096 from 8192 on or too large, or there is no memory.
    pub fn create_memfd(len: u64) -> Result<Self, RegionError> {
        check_size(len)?;
        let create = |source: Errno| RegionError::Create { len, source: source.into() };
        let fd = memfd(c"virtio-wl-memory").map_err(create)?;
        rustix::fs::ftruncate(&fd, len).map_err(create)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(create)?;
        Self::map(fd.into())?.format()
    }

    fn map(file: File) -> Result<Self, RegionError> {
        let stat = rustix::fs::fstat(&file).map_err(RegionError::Examine)?;
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        if !(1..=MAX_MEMORY).contains(&len) {
            return Err(RegionError::Size(len));
        }
        let mapped = usize::try_from(len).map_err(|_| RegionError::Size(len))?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so the new mapping replaces no other; it is used only
        // through `base` of the value made here, within `len` bytes.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), mapped, access, MapFlags::SHARED, &file, 0) }
            .map_err(RegionError::Map)?;
        let base = NonNull::new(base.cast()).ok_or(RegionError::Map(Errno::NOMEM))?;
        Ok(Self { file, id: FileId::of_stat(&stat), base, len })
    }

    fn format(self) -> Result<Self, RegionError> {
        let header = usize::try_from(HEADER_LEN).unwrap_or(0);
        self.write(0, &vec![0; header])?;
        self.write(0, &MAGIC)?;
        Ok(self)
    }

    /// Length in bytes, the header included.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never true: a region has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Which file this is; descriptors of the same file have the same identity.
    #[must_use]
    pub fn id(&self) -> FileId {
        self.id
    }

    /// A new descriptor of the region, sharing this one's open file description.
    ///
    /// # Errors
    ///
    /// The process has too many descriptors.
    pub fn try_clone_fd(&self) -> io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }

    /// Claims the region for this process until the last descriptor of its open file description is closed.
    ///
    /// # Errors
    ///
    /// [`RegionError::InUse`] if another process has claimed it.
    pub fn lock_exclusive(&self) -> Result<(), RegionError> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(Errno::WOULDBLOCK) => Err(RegionError::InUse),
            Err(error) => Err(RegionError::Lock(error)),
        }
    }

    /// The challenge that the hub wrote. Compare it, do not interpret it.
    ///
    /// # Errors
    ///
    /// The header cannot be read.
    pub fn challenge(&self) -> Result<[u8; CHALLENGE_LEN], RegionError> {
        let mut challenge = [0; CHALLENGE_LEN];
        self.read_header(CHALLENGE_OFFSET, &mut challenge)?;
        Ok(challenge)
    }

    /// Writes the challenge: the hub's privilege.
    ///
    /// # Errors
    ///
    /// The region is smaller than its header.
    pub fn set_challenge(&self, challenge: &[u8; CHALLENGE_LEN]) -> Result<(), RegionError> {
        self.write(CHALLENGE_OFFSET, challenge)
    }

    /// Reads from the file rather than the mapping, so that a file that was cut short is an error and not a
    /// SIGBUS. Memory of a PCI device can only be mapped, and cannot shrink.
    fn read_header(&self, offset: u64, into: &mut [u8]) -> Result<(), RegionError> {
        match self.file.read_exact_at(into, offset) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => self.read_into(offset, into),
            result => result.map_err(RegionError::Header),
        }
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Errors
    ///
    /// The range is not within the region; nothing was copied.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), RegionError> {
        let to = self.pointer(offset, bytes.len())?;
        // SAFETY: `to` is valid for `bytes.len()` bytes of the mapping. They cannot overlap `bytes`, because
        // no reference into the mapping exists. A concurrent writer in another process can only tear bytes.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    /// Copies from `offset` into `into`.
    ///
    /// # Errors
    ///
    /// The range is not within the region; nothing was copied.
    pub fn read_into(&self, offset: u64, into: &mut [u8]) -> Result<(), RegionError> {
        let from = self.pointer(offset, into.len())?;
        // SAFETY: as in `write`, the other way round. Any value is a valid `u8`.
        unsafe { ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    /// Appends `len` bytes from `offset` to `into`.
    ///
    /// # Errors
    ///
    /// The range is not within the region; nothing was appended.
    pub(crate) fn append_to(&self, offset: u64, len: usize, into: &mut Vec<u8>) -> Result<(), RegionError> {
        self.pointer(offset, len)?;
        let start = into.len();
        into.resize(start.saturating_add(len), 0);
        match into.get_mut(start..) {
            Some(tail) => self.read_into(offset, tail),
            None => Ok(()),
        }
    }

    /// Copies rows that lie in `rows` without gaps to the rectangle `rect`.
    ///
    /// # Errors
    ///
    /// The rectangle is not within the region, or `rows` is not exactly its content; nothing was copied.
    pub fn write_rows(&self, rect: MirrorRect, rows: &[u8]) -> Result<(), RegionError> {
        self.check(rect)?;
        let out_of_bounds = RegionError::OutOfBounds { offset: rect.offset, len: rect.content_len() };
        let row_len = usize::try_from(rect.row_len).unwrap_or(usize::MAX);
        if u64::try_from(rows.len()) != Ok(rect.content_len()) {
            return Err(out_of_bounds);
        }
        if rect.row_len == rect.stride {
            return self.write(rect.offset, rows);
        }
        rows.chunks_exact(row_len)
            .zip(row_offsets(rect))
            .try_for_each(|(row, offset)| self.write(offset, row))
    }

    /// Copies the rectangle `rect` out of a file that may belong to an enemy. In the file the rows lie at
    /// `source_offset` with the same stride.
    ///
    /// The file is read with pread(2) straight into the mapping, never mapped: it may change or shrink while
    /// it is copied, which gives torn content or an error.
    ///
    /// # Errors
    ///
    /// The rectangle is not within the region, or the file cannot be read or ends too early; rows before
    /// that were copied.
    pub fn copy_from_fd_rows(
        &self,
        source: BorrowedFd<'_>,
        source_offset: u64,
        rect: MirrorRect,
    ) -> Result<(), RegionError> {
        self.transfer(rect, source_offset, |to, len, offset| {
            // SAFETY: `transfer` gives a pointer that is valid for `len` bytes of the mapping.
            unsafe { libc::pread(source.as_raw_fd(), to, len, offset) }
        })
    }

    /// Copies the rectangle `rect` into a file, where the rows come to lie at `target_offset` with the same
    /// stride. For memory that the compositor writes, such as screen captures.
    ///
    /// # Errors
    ///
    /// The rectangle is not within the region, or the file cannot be written; rows before that were copied.
    pub fn copy_to_fd_rows(
        &self,
        target: BorrowedFd<'_>,
        target_offset: u64,
        rect: MirrorRect,
    ) -> Result<(), RegionError> {
        self.transfer(rect, target_offset, |from, len, offset| {
            // SAFETY: `transfer` gives a pointer that is valid for `len` bytes of the mapping.
            unsafe { libc::pwrite(target.as_raw_fd(), from, len, offset) }
        })
    }

    /// Runs `call` over the rows of `rect` until all bytes are moved. `call` gets a pointer into the mapping,
    /// how many bytes it may touch there, and the offset in the file, and returns what pread(2) returns.
    fn transfer(
        &self,
        rect: MirrorRect,
        file_offset: u64,
        mut call: impl FnMut(*mut c_void, usize, i64) -> isize,
    ) -> Result<(), RegionError> {
        self.check(rect)?;
        let whole = MirrorRect { row_len: 1, stride: 1, rows: 1, ..rect };
        // Rows without gaps are one long row.
        let (row_len, offsets) = if rect.row_len == rect.stride {
            (rect.content_len(), row_offsets(whole))
        } else {
            (rect.row_len.into(), row_offsets(rect))
        };
        for offset in offsets {
            let mut done = 0;
            while done < row_len {
                let left = usize::try_from(row_len - done).unwrap_or(usize::MAX);
                let here = self.pointer(offset + done, left)?;
                let at = file_offset.checked_add(offset - rect.offset + done);
                let at =
                    at.and_then(|at| i64::try_from(at).ok()).ok_or(RegionError::Copy(Errno::OVERFLOW))?;
                match call(here.cast(), left, at) {
                    0 => return Err(RegionError::SourceEnded(at.unsigned_abs())),
                    moved @ 1.. => done += u64::try_from(moved).unwrap_or(0),
                    _ => match Errno::from_io_error(&io::Error::last_os_error()) {
                        Some(Errno::INTR) => {}
                        other => return Err(RegionError::Copy(other.unwrap_or(Errno::IO))),
                    },
                }
            }
        }
        Ok(())
    }

    fn check(&self, rect: MirrorRect) -> Result<(), RegionError> {
        if rect.fits(self.len) {
            Ok(())
        } else {
            Err(RegionError::OutOfBounds { offset: rect.offset, len: rect.content_len() })
        }
    }

    fn mapped_len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// A pointer that is valid for reading and writing `len` bytes.
    fn pointer(&self, offset: u64, len: usize) -> Result<*mut u8, RegionError> {
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(len));
        match (start, end) {
            (Some(start), Some(end)) if end <= self.mapped_len() => {
                // SAFETY: `start` is at most the length of the mapping that `base` points to.
                Ok(unsafe { self.base.as_ptr().add(start) })
            }
            _ => Err(RegionError::OutOfBounds { offset, len: u64::try_from(len).unwrap_or(u64::MAX) }),
        }
    }
}

/// Offsets of the rows of a rectangle that was checked.
pub(crate) fn row_offsets(rect: MirrorRect) -> impl Iterator<Item = u64> {
    (0..u64::from(rect.rows)).map(move |row| rect.offset + row * u64::from(rect.stride))
}

fn check_size(len: u64) -> Result<(), RegionError> {
    if len.is_multiple_of(PAGE) && (2 * HEADER_LEN..=MAX_MEMORY).contains(&len) {
        Ok(())
    } else {
        Err(RegionError::Size(len))
    }
}

/// Anonymous memory that seals can be put on. Executable seals are unknown to kernels before 6.3, so the flag is
/// tried first and left out if need be.
pub(crate) fn memfd(name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        result => result,
    }
}

#[cfg(test)]
#[path = "region_tests.rs"]
mod tests;
