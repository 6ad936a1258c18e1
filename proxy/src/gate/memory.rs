//! Checks of shared memory: what may back a pool, and which buffers lie inside one.
//!
//! The compositor maps whatever a client gives it and draws straight from the mapping, so a wrong number here
//! is a crash there: a pool of size zero or below, a pool larger than its memory, memory that can shrink later, a
//! row that reaches past the end. All arithmetic is checked or done in 64 bits, where nothing can overflow.

use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, OFlags, SealFlags};
use virtio_wl::Region;
use virtio_wl::allocator::PAGE;
use virtio_wl::vfd::FileId;

/// The longest side of a buffer, in pixels. 8K displays have 7680; renderers stop at 16384 or 32767.
pub const MAX_BUFFER_SIDE: i32 = 16384;

/// Memory that may back a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Its length in bytes.
    pub len: u64,
    /// Whether it is the VM's region, which all connections share.
    pub is_region: bool,
    /// Which file it is.
    pub id: FileId,
    /// Where it begins in that file, in bytes. The compositor maps files from their beginning.
    pub start: i32,
    /// What the kernel maps it in multiples of, in bytes.
    pub alignment: u64,
}

/// Where the region of a VM is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    id: FileId,
    start: u64,
    len: u64,
    alignment: u64,
}

impl Placement {
    /// That of a region.
    #[must_use]
    pub fn of(region: &Region) -> Self {
        let (start, len, alignment) = (region.start(), region.len(), region.alignment());
        Self { id: region.id(), start, len, alignment }
    }
}

/// Why memory, a pool or a buffer is refused.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The descriptor cannot be examined.
    #[error("the memory of the pool cannot be examined: {0}")]
    Examine(#[source] rustix::io::Errno),
    /// The descriptor is not the region and not a memfd that keeps its size.
    #[error("a pool is made of the VM's region or of mirrored memory, nothing else")]
    Kind,
    /// The memory cannot be written, which compositors insist on.
    #[error("the memory of a pool must be writable")]
    ReadOnly,
    /// A size of zero or below.
    #[error("a pool of {0} bytes is impossible")]
    PoolSize(i32),
    /// A size below the present one.
    #[error("a pool of {old} bytes cannot shrink to {new}")]
    Shrink {
        /// Size before the request, in bytes.
        old: i32,
        /// Size asked for, in bytes.
        new: i32,
    },
    /// A size that the kernel cannot map.
    #[error("a pool of {size} bytes is not a multiple of {alignment}, in which its device is mapped")]
    Alignment {
        /// Size asked for, in bytes.
        size: i32,
        /// What it must be a multiple of.
        alignment: u64,
    },
    /// A size above that of the memory.
    #[error("a pool of {size} bytes is larger than its memory of {memory}")]
    BeyondMemory {
        /// Size asked for, in bytes.
        size: i32,
        /// Size of the memory, in bytes.
        memory: u64,
    },
    /// A pixel format whose layout the gate does not know.
    #[error("the pixel format {0:#x} is not known")]
    Format(u32),
    /// A side of zero or below, or above [`MAX_BUFFER_SIDE`].
    #[error("a buffer of {0} by {1} pixels is impossible")]
    BufferSize(i32, i32),
    /// Rows shorter than their pixels.
    #[error("a stride of {stride} bytes is too short for {width} pixels")]
    Stride {
        /// Bytes from row to row.
        stride: i32,
        /// Pixels in a row.
        width: i32,
    },
    /// The buffer does not lie in the pool.
    #[error("a buffer of {len} bytes at {offset} is not inside a pool of {pool}")]
    OutsidePool {
        /// Where it begins, in bytes.
        offset: i32,
        /// Its length in bytes.
        len: i64,
        /// Size of the pool in bytes.
        pool: i32,
    },
}

/// Where a buffer lies in its pool, as a request gives it.
#[derive(Clone, Copy, Debug)]
pub struct BufferLayout {
    /// First byte.
    pub offset: i32,
    /// Pixels in a row.
    pub width: i32,
    /// Rows.
    pub height: i32,
    /// Bytes from row to row.
    pub stride: i32,
    /// `wl_shm` format code.
    pub format: u32,
}

/// `wl_shm.error` codes, from wayland.xml.
mod shm_error {
    pub const INVALID_FORMAT: u32 = 0;
    pub const INVALID_STRIDE: u32 = 1;
    pub const INVALID_FD: u32 = 2;
}

impl MemoryError {
    /// The `wl_shm.error` code for it.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Format(_) => shm_error::INVALID_FORMAT,
            Self::BufferSize(..)
            | Self::Stride { .. }
            | Self::OutsidePool { .. }
            | Self::PoolSize(_)
            | Self::Shrink { .. } => shm_error::INVALID_STRIDE,
            Self::Examine(_)
            | Self::Kind
            | Self::ReadOnly
            | Self::Alignment { .. }
            | Self::BeyondMemory { .. } => shm_error::INVALID_FD,
        }
    }
}

/// Examines the descriptor that came with `wl_shm.create_pool`.
///
/// # Errors
/// It is not memory that can safely back a pool.
pub fn examine(fd: BorrowedFd<'_>, region: Option<Placement>) -> Result<Memory, MemoryError> {
    let stat = rustix::fs::fstat(fd).map_err(MemoryError::Examine)?;
    let id = FileId::of(fd).map_err(MemoryError::Examine)?;
    let region = region.filter(|region| region.id == id);
    if region.is_none() {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(MemoryError::Kind);
        }
        // Memory that can shrink below the compositor's mapping kills whoever reads it.
        let seals = rustix::fs::fcntl_get_seals(fd).map_err(|_| MemoryError::Kind)?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(MemoryError::Kind);
        }
        if seals.contains(SealFlags::WRITE) {
            return Err(MemoryError::ReadOnly);
        }
    }
    let flags = rustix::fs::fcntl_getfl(fd).map_err(MemoryError::Examine)?;
    if flags & OFlags::ACCMODE != OFlags::RDWR {
        return Err(MemoryError::ReadOnly);
    }
    Ok(match region {
        // A device has no size that fstat(2) could tell.
        Some(Placement { id, start, len, alignment }) => {
            let start = i32::try_from(start).map_err(|_| MemoryError::Kind)?;
            Memory { len, is_region: true, id, start, alignment }
        }
        None => Memory {
            len: u64::try_from(stat.st_size).unwrap_or(0),
            is_region: false,
            id,
            start: 0,
            alignment: 1,
        },
    })
}

/// Checks the size of a new pool against its memory.
///
/// # Errors
/// The size is impossible.
pub fn check_pool(size: i32, memory: &Memory) -> Result<(), MemoryError> {
    let bytes = u64::try_from(size).ok().filter(|bytes| *bytes > 0).ok_or(MemoryError::PoolSize(size))?;
    if bytes > memory.len {
        return Err(MemoryError::BeyondMemory { size, memory: memory.len });
    }
    // The kernel maps whole pages of anything, but of devdax devices nothing less than their own.
    if memory.alignment > PAGE && !bytes.is_multiple_of(memory.alignment) {
        return Err(MemoryError::Alignment { size, alignment: memory.alignment });
    }
    Ok(())
}

/// Checks the new size of a pool.
///
/// # Errors
/// The pool would vanish, shrink or reach beyond its memory.
pub fn check_resize(old: i32, new: i32, memory: &Memory) -> Result<(), MemoryError> {
    check_pool(new, memory)?;
    if new < old {
        return Err(MemoryError::Shrink { old, new });
    }
    Ok(())
}

/// Checks that a buffer lies inside its pool and returns its length in bytes.
///
/// # Errors
/// It does not, or its format or sides are impossible.
pub fn check_buffer(pool: i32, layout: BufferLayout) -> Result<u64, MemoryError> {
    let BufferLayout { offset, width, height, stride, format } = layout;
    let pixel = bytes_per_pixel(format).ok_or(MemoryError::Format(format))?;
    let sides = 1..=MAX_BUFFER_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(MemoryError::BufferSize(width, height));
    }
    // Products of two 32-bit numbers fit into 64 bits.
    if i64::from(stride) < i64::from(width) * i64::from(pixel) {
        return Err(MemoryError::Stride { stride, width });
    }
    let len = i64::from(stride) * i64::from(height);
    if offset < 0 || i64::from(offset) + len > i64::from(pool) {
        return Err(MemoryError::OutsidePool { offset, len, pool });
    }
    Ok(u64::try_from(len).unwrap_or(0))
}

/// How many bytes a pixel of a `wl_shm` format has; `None` for formats of several planes, with packed pixels or
/// unknown. Codes: `wl_shm.format` in wayland.xml, which are those of drm_fourcc.h but for the first two.
#[must_use]
pub fn bytes_per_pixel(format: u32) -> Option<u8> {
    if format < 2 {
        return Some(4); // argb8888 and xrgb8888
    }
    match &format.to_le_bytes() {
        b"XB24" | b"RX24" | b"BX24" | b"AB24" | b"RA24" | b"BA24" | b"XR30" | b"XB30" | b"RX30" | b"BX30"
        | b"AR30" | b"AB30" | b"RA30" | b"BA30" => Some(4),
        b"RG24" | b"BG24" => Some(3),
        b"RG16" | b"BG16" | b"XR15" | b"AR15" | b"XB15" | b"AB15" | b"XR12" | b"AR12" | b"XB12" | b"AB12" => {
            Some(2)
        }
        b"XR4H" | b"XB4H" | b"AR4H" | b"AB4H" | b"XR48" | b"XB48" | b"AR48" | b"AB48" => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use proptest::prelude::*;
    use rustix::fs::MemfdFlags;

    use super::*;

    const ARGB: u32 = 0;

    fn layout(offset: i32, width: i32, height: i32, stride: i32) -> BufferLayout {
        BufferLayout { offset, width, height, stride, format: ARGB }
    }

    fn memfd(len: u64, seals: SealFlags) -> rustix::fd::OwnedFd {
        let fd = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, len).unwrap();
        rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
        fd
    }

    #[test]
    fn a_sealed_memfd_may_back_a_pool() {
        let fd = memfd(8192, SealFlags::SHRINK | SealFlags::GROW);
        let id = FileId::of(fd.as_fd()).unwrap();
        let expected = Memory { len: 8192, is_region: false, id, start: 0, alignment: 1 };
        assert_eq!(examine(fd.as_fd(), None).unwrap(), expected);
    }

    #[test]
    fn memory_that_can_shrink_may_not_unless_it_is_the_region() {
        let fd = memfd(8192, SealFlags::empty());
        assert!(matches!(examine(fd.as_fd(), None), Err(MemoryError::Kind)));
        let id = FileId::of(fd.as_fd()).unwrap();
        let region = Placement { id, start: 0, len: 8192, alignment: PAGE };
        assert!(examine(fd.as_fd(), Some(region)).unwrap().is_region);
        let other = memfd(8192, SealFlags::empty());
        assert!(matches!(examine(other.as_fd(), Some(region)), Err(MemoryError::Kind)));
    }

    #[test]
    fn read_only_memory_and_pipes_may_not_back_a_pool() {
        let fd = memfd(4096, SealFlags::SHRINK | SealFlags::WRITE);
        assert!(matches!(examine(fd.as_fd(), None), Err(MemoryError::ReadOnly)));
        let (read, _write) = rustix::pipe::pipe().unwrap();
        assert!(matches!(examine(read.as_fd(), None), Err(MemoryError::Kind)));
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(examine(null.as_fd(), None), Err(MemoryError::Kind)));
    }

    /// A page of memory that is mapped in multiples of `alignment`.
    fn memory(alignment: u64) -> Memory {
        let id = FileId::of(memfd(PAGE, SealFlags::empty()).as_fd()).unwrap();
        Memory { len: PAGE, is_region: true, id, start: 0, alignment }
    }

    #[test]
    fn a_pool_of_a_device_has_as_many_bytes_as_the_kernel_maps() {
        let device = Memory { len: 8 << 20, ..memory(2 << 20) };
        for (size, fits) in [(8 << 20, true), (2 << 20, true), (4096, false), ((2 << 20) + 4096, false)] {
            assert_eq!(check_pool(size, &device).is_ok(), fits, "{size}");
        }
        assert!(matches!(check_pool(4096, &device), Err(MemoryError::Alignment { .. })));
        assert!(matches!(check_resize(2 << 20, 3 << 20, &device), Err(MemoryError::Alignment { .. })));
        assert!(check_pool(10, &memory(PAGE)).is_ok());
    }

    #[test]
    fn the_region_has_the_length_and_the_beginning_that_it_was_mapped_with() {
        let fd = memfd(4 << 20, SealFlags::SHRINK);
        let file = std::fs::File::from(fd.try_clone().unwrap());
        let start = virtio_wl::region::DEVDAX_OFFSET;
        std::os::unix::fs::FileExt::write_all_at(&file, &virtio_wl::region::MAGIC, start).unwrap();
        let region = Region::from_fd_at(fd.try_clone().unwrap(), start).unwrap();
        let memory = examine(fd.as_fd(), Some(Placement::of(&region))).unwrap();
        assert_eq!((memory.len, memory.start, memory.is_region), (2 << 20, 2 << 20, true));
    }

    #[test]
    fn pools_have_a_size_and_keep_it() {
        for size in [0, -1, i32::MIN] {
            assert!(matches!(check_pool(size, &memory(PAGE)), Err(MemoryError::PoolSize(_))));
            assert!(matches!(check_resize(16, size, &memory(PAGE)), Err(MemoryError::PoolSize(_))));
        }
        assert!(matches!(check_pool(4097, &memory(PAGE)), Err(MemoryError::BeyondMemory { .. })));
        assert!(matches!(check_resize(16, 4097, &memory(PAGE)), Err(MemoryError::BeyondMemory { .. })));
        assert!(matches!(check_resize(16, 15, &memory(PAGE)), Err(MemoryError::Shrink { .. })));
        assert!(check_resize(16, 16, &memory(PAGE)).is_ok());
        assert!(check_pool(4096, &memory(PAGE)).is_ok());
    }

    #[test]
    fn buffers_lie_inside_their_pool() {
        assert_eq!(check_buffer(1600, layout(0, 20, 20, 80)).unwrap(), 1600);
        assert!(check_buffer(1600, layout(1, 20, 20, 80)).is_err());
        assert!(check_buffer(1600, layout(-1, 20, 20, 80)).is_err());
        assert!(check_buffer(1600, layout(0, 20, 20, 79)).is_err());
        assert!(check_buffer(1600, layout(0, 0, 20, 80)).is_err());
        assert!(
            check_buffer(i32::MAX, layout(i32::MAX, MAX_BUFFER_SIDE, MAX_BUFFER_SIDE, i32::MAX)).is_err()
        );
        let unknown = BufferLayout { format: u32::from_le_bytes(*b"NV12"), ..layout(0, 1, 1, 4) };
        assert!(matches!(check_buffer(16, unknown), Err(MemoryError::Format(_))));
    }

    proptest! {
        #[test]
        fn no_accepted_buffer_reaches_outside(
            pool: i32, offset: i32, width: i32, height: i32, stride: i32,
        ) {
            if let Ok(len) = check_buffer(pool, layout(offset, width, height, stride)) {
                prop_assert!(offset >= 0 && len > 0);
                prop_assert!(u64::try_from(offset).unwrap() + len <= u64::try_from(pool).unwrap());
                prop_assert!(i64::from(stride) >= 4 * i64::from(width));
            }
        }

        #[test]
        fn no_accepted_small_buffer_reaches_outside(
            pool in 0..5000, offset in -10..5000, width in -2..40, height in -2..40, stride in -2..200,
        ) {
            if let Ok(len) = check_buffer(pool, layout(offset, width, height, stride)) {
                prop_assert_eq!(len, u64::try_from(stride * height).unwrap());
                prop_assert!(offset >= 0 && offset + stride * height <= pool);
            }
        }
    }
}
