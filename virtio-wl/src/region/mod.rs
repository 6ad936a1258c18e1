//! Shared memory between a VM and the side that draws it.
//!
//! A region is a file or device that both sides have mapped; [`backing`] says which. **The other side writes it at any
//! time**, so this module never hands out a reference into the mapping: content is copied in and out through raw
//! pointers, once, and nothing read from it is a length, an offset or a pointer. The first [`HEADER_LEN`] bytes hold a
//! magic number and the challenge by which the hub proves which region belongs to which VM; pixels begin after them.
//!
//! A region usually fills what it is in. Where a VMM presents a file as persistent memory, the guest's devdax device begins
//! [`DEVDAX_OFFSET`] bytes into the file, and so does the region: at offset 0 for the guest, and at that offset for
//! whoever has the file itself, or an ivshmem device of the same file. Both places are looked at ([`Region::start`]).
//! All offsets of this crate's interfaces count from the beginning of the region.
//!
//! Invariant: `base` points to a shared mapping of exactly `len` bytes that lives as long as the region, and
//! every access is checked against `len` first. The mapping stays valid when the descriptor is closed.
//!
//! A mapped file that becomes shorter makes every access behind its new end a SIGBUS. Regions are therefore
//! either memory sealed against shrinking ([`Region::create_memfd`]) or files and devices that belong to the
//! hub. Files of applications are read with pread(2) ([`Region::copy_from_fd_rows`]), or mapped and read under a guard that
//! survives it ([`ForeignMapping`]).

pub mod backing;
mod devices;
mod discovery;
mod error;
mod foreign;
pub mod pmem;
mod rows;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::{self, NonNull};

use rustix::fs::{FlockOperation, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use crate::address::take_inherited;
use crate::vfd::FileId;
use crate::wire::MAX_MEMORY;

pub use backing::{Backing, Extent};
pub use devices::devices;
pub use discovery::FindError;
pub use error::RegionError;
pub use foreign::ForeignMapping;
pub(crate) use rows::row_offsets;

/// Bytes at the beginning of a region that hold no pixels.
pub const HEADER_LEN: u64 = 4096;
/// First bytes of a region.
pub const MAGIC: [u8; 8] = *b"VTRLRGN1";
/// Length of the challenge in bytes.
pub const CHALLENGE_LEN: usize = 32;
/// The longest region in bytes, with what lies before it: offsets and sizes in `wl_shm` are signed 32-bit numbers.
pub const MAX_LEN: u64 = MAX_MEMORY;
/// Where in a file the devdax device begins that a guest makes of it, in bytes: one unit of its alignment, at the
/// beginning of which the guest's kernel keeps what the device is.
pub const DEVDAX_OFFSET: u64 = 2 << 20;

const CHALLENGE_OFFSET: u64 = 8;
const PAGE: u64 = 4096;

/// Memory that another process or VM has mapped too. See the module for the rules.
///
/// Threads of one process that share a region keep to ranges of their own, as the slots of an
/// [`Allocator`](crate::allocator::Allocator) are: bytes that two of them copy at once may be torn.
#[derive(Debug)]
pub struct Region {
    file: File,
    id: FileId,
    extent: Extent,
    /// Where in the file the region begins.
    start: u64,
    base: NonNull<u8>,
    len: u64,
}

// SAFETY: `base` is never handed out and all copies go through raw pointers, so that moving the value to another
// thread moves nothing that is tied to the first one.
unsafe impl Send for Region {}
// SAFETY: another process that writes at any time can only tear the bytes that are copied, and nothing is ever derived from
// them. Two threads of this process that copied to the same bytes at once would race: whoever shares a region between
// threads keeps each to ranges of its own, as the slots of an `Allocator` are.
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

    /// Maps a region that is open already. It begins where the descriptor's first byte is, or at [`DEVDAX_OFFSET`].
    ///
    /// # Errors
    ///
    /// The file cannot be mapped or is no region.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, RegionError> {
        let region = Self::map(fd.into(), 0)?;
        match region.check_header() {
            Err(RegionError::Magic) if region.len >= DEVDAX_OFFSET + 2 * HEADER_LEN => {}
            result => return result.map(|()| region),
        }
        let file = region.file.try_clone().map_err(RegionError::Header)?;
        drop(region);
        let region = Self::map(file, DEVDAX_OFFSET)?;
        region.check_header().map(|()| region)
    }

    /// Maps the region that begins `start` bytes into what `fd` refers to.
    ///
    /// # Errors
    ///
    /// The file cannot be mapped, or no region begins there.
    pub fn from_fd_at(fd: OwnedFd, start: u64) -> Result<Self, RegionError> {
        let region = Self::map(fd.into(), start)?;
        region.check_header().map(|()| region)
    }

    /// Makes `path` a region of `len` bytes (mode 0600) with all pixels zero, whatever it was before.
    ///
    /// # Errors
    ///
    /// The length is no multiple of 4096 from 8192 on or too large, or the file cannot be made.
    pub fn create(path: &Path, len: u64) -> Result<Self, RegionError> {
        check_size(len)?;
        let file = sized_file(path, len)?;
        Self::map(file, 0)?.format()
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
        Self::map(fd.into(), 0)?.format()
    }

    /// Maps what there is in `file` from `start` on.
    fn map(file: File, start: u64) -> Result<Self, RegionError> {
        let extent = Extent::of(file.as_fd())?;
        let id = FileId::of(file.as_fd()).map_err(RegionError::Examine)?;
        let len = extent.len.checked_sub(start).ok_or(RegionError::Size(extent.len))?;
        let fits = check_size(len).is_ok() && extent.len <= MAX_LEN;
        if fits { Self::map_extent(file, id, extent, start, len) } else { Err(RegionError::Size(len)) }
    }

    /// Maps memory of a virtio_wl device, whose descriptor says nothing about it. `len` is what the device was asked for,
    /// at least one byte. There is no header.
    pub(crate) fn map_vfd(vfd: OwnedFd, len: u64) -> Result<Self, RegionError> {
        let len = Some(len).filter(|len| (1..=MAX_LEN).contains(len)).ok_or(RegionError::Size(len))?;
        let extent = Extent { backing: Backing::VirtioWl, len, alignment: PAGE };
        Self::map_extent(vfd.into(), FileId::of_vfd(), extent, 0, len)
    }

    /// Like [`map_vfd`](Self::map_vfd), and makes it a region.
    pub(crate) fn create_vfd(vfd: OwnedFd, len: u64) -> Result<Self, RegionError> {
        check_size(len)?;
        Self::map_vfd(vfd, len)?.format()
    }

    fn map_extent(file: File, id: FileId, extent: Extent, start: u64, len: u64) -> Result<Self, RegionError> {
        let mapped = usize::try_from(len).map_err(|_| RegionError::Size(len))?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so the new mapping replaces no other; it is used only
        // through `base` of the value made here, within `len` bytes.
        let base =
            unsafe { rustix::mm::mmap(ptr::null_mut(), mapped, access, MapFlags::SHARED, &file, start) }
                .map_err(RegionError::Map)?;
        let base = NonNull::new(base.cast()).ok_or(RegionError::Map(Errno::NOMEM))?;
        Ok(Self { file, id, extent, start, base, len })
    }

    fn check_header(&self) -> Result<(), RegionError> {
        let mut magic = [0; MAGIC.len()];
        self.read_header(0, &mut magic)?;
        match magic {
            MAGIC => Ok(()),
            // What a bus answers for a device that does not.
            [0xff, ..] if self.extent.backing == Backing::Pci && magic == [0xff; MAGIC.len()] => {
                Err(RegionError::Disabled)
            }
            _ => Err(RegionError::Magic),
        }
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

    /// Where the region begins in what its descriptor refers to, in bytes. Whoever maps the descriptor itself has to
    /// add this to offsets.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// What the region is made of.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.extent.backing
    }

    /// What offset and length of other mappings of the descriptor must be multiples of, in bytes.
    #[must_use]
    pub fn alignment(&self) -> u64 {
        self.extent.alignment
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
    /// SIGBUS. Devices can only be mapped, and cannot shrink.
    fn read_header(&self, offset: u64, into: &mut [u8]) -> Result<(), RegionError> {
        if !self.extent.backing.is_readable() {
            return self.read_into(offset, into);
        }
        self.file.read_exact_at(into, self.start.saturating_add(offset)).map_err(RegionError::Header)
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

/// Opens or makes a file (mode 0600) and gives it its length.
fn sized_file(path: &Path, len: u64) -> Result<File, RegionError> {
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
        file.set_len(len).map_err(create)?;
    }
    Ok(file)
}

fn check_size(len: u64) -> Result<(), RegionError> {
    if len.is_multiple_of(PAGE) && (2 * HEADER_LEN..=MAX_LEN).contains(&len) {
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
mod tests;
