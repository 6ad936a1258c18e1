//! Memory that both sides have mapped, and memory that the other side has a copy of, for C.
//!
//! A `virtio_wl_region` is counted: by C once (given up by [`virtio_wl_region_unref`]) and by every socket that shares
//! it. Its mapping lives until both have let go.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::{guarded, message, or_not_socket};
use crate::allocator::{Allocator, Slot};
use crate::region::{HEADER_LEN, Region, RegionError};
use crate::wire::MirrorRect;

/// Freed memory is not given back to the host by this library, so there is no threshold for that.
const NO_TRIM: u64 = u64::MAX;

/// Memory that both sides of a socket have mapped.
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct virtio_wl_region {
    region: Arc<Region>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    allocator: Allocator,
    slots: BTreeMap<u64, Slot>,
    /// The mapping that C was given, if it asked for one.
    mapping: Option<Mapping>,
}

/// A mapping of a whole region that C has a pointer to.
#[derive(Debug)]
struct Mapping {
    base: *mut c_void,
    len: usize,
}

// SAFETY: the mapping is not tied to a thread, and nothing here reads or writes through the pointer.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and length are those of a mapping that this value made. C has given up the region, and with it
        // the pointer, by its contract. Unmapping a valid range does not fail.
        let _ = unsafe { rustix::mm::munmap(self.base, self.len) };
    }
}

/// A rectangle of memory, as rows of bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct virtio_wl_rect {
    /// First byte of the first row, counted from the beginning of the memory.
    pub offset: u64,
    /// Bytes in each row, at least 1.
    pub row_len: u32,
    /// Bytes from the beginning of one row to the beginning of the next, at least row_len.
    pub stride: u32,
    /// Number of rows, at least 1.
    pub rows: u32,
}

/// The region that a socket is to share.
///
/// # Safety
///
/// Null, or a region that was not released.
pub(super) unsafe fn shared(region: *const virtio_wl_region) -> Option<Arc<Region>> {
    // SAFETY: by the contract of this function.
    unsafe { region.as_ref() }.map(|region| Arc::clone(&region.region))
}

/// # Safety
///
/// Null, or a region that was not released while the result is used.
unsafe fn borrow<'a>(region: *const virtio_wl_region) -> Result<&'a virtio_wl_region, Errno> {
    // SAFETY: by the contract of this function.
    unsafe { region.as_ref() }.ok_or(Errno::FAULT)
}

fn region_errno(error: &RegionError) -> Errno {
    let of = |error: &std::io::Error| Errno::from_io_error(error).unwrap_or(Errno::IO);
    match error {
        RegionError::Open { source, .. } | RegionError::Create { source, .. } => of(source),
        RegionError::Header(source) => of(source),
        RegionError::Examine(errno) | RegionError::Map(errno) => *errno,
        RegionError::Inherit(_) => Errno::BADF,
        _ => Errno::INVAL,
    }
}

/// Hands a region to C.
fn publish(region: Region) -> Result<*mut virtio_wl_region, Errno> {
    let allocator = Allocator::new(HEADER_LEN..region.len(), NO_TRIM).map_err(|_| Errno::INVAL)?;
    let state = State { allocator, slots: BTreeMap::new(), mapping: None };
    let region = virtio_wl_region { region: Arc::new(region), state: Mutex::new(state) };
    Ok(Box::into_raw(Box::new(region)))
}

/// # Safety
///
/// Null or a string.
unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, Errno> {
    if text.is_null() {
        return Err(Errno::FAULT);
    }
    // SAFETY: not null, and a string by the contract of this function.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| Errno::INVAL)
}

/// Opens a region that exists: "fd:N" for an inherited descriptor, else the path of a file or device.
///
/// Returns null if it cannot be opened; EINVAL says that it is no region. Release it with virtio_wl_region_unref().
///
/// # Safety
///
/// `name` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_region_open(name: *const c_char) -> *mut virtio_wl_region {
    guarded(ptr::null_mut(), || {
        // SAFETY: by the contract of this function.
        let name = unsafe { text(name)? };
        publish(Region::open_argument(name).map_err(|error| region_errno(&error))?)
    })
}

/// Makes the file `path` a region of `len` bytes, or memory without a name if it is null.
///
/// The length is a multiple of 4096, at least 8192. Returns null if it cannot be made. Release it with
/// virtio_wl_region_unref().
///
/// # Safety
///
/// `path` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_region_create(path: *const c_char, len: u64) -> *mut virtio_wl_region {
    guarded(ptr::null_mut(), || {
        let region = if path.is_null() {
            Region::create_memfd(len)
        } else {
            // SAFETY: by the contract of this function.
            Region::create(Path::new(unsafe { text(path)? }), len)
        };
        publish(region.map_err(|error| region_errno(&error))?)
    })
}

/// Gives up a region (nothing for null), with the pointer of virtio_wl_region_map() and all that was allocated.
/// Sockets that share it go on with it.
///
/// # Safety
///
/// `region` is null or a region that was not released, and nobody uses it or its pointer afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_region_unref(region: *mut virtio_wl_region) {
    if !region.is_null() {
        // SAFETY: it came from `publish` and was not released, by the contract of this function.
        let region = unsafe { Box::from_raw(region) };
        guarded((), || {
            drop(region);
            Ok(())
        });
    }
}

/// The length of a region in bytes. The first 4096 are no memory to be used.
///
/// # Safety
///
/// `region` is a region that was not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_region_len(region: *const virtio_wl_region) -> u64 {
    // SAFETY: by the contract of this function.
    guarded(0, || Ok(unsafe { borrow(region)? }.region.len()))
}

/// A new descriptor of a region, close-on-exec, which can be sent: the other side then gets one of its own mapping of
/// the same memory. -1 if the process has too many.
///
/// # Safety
///
/// `region` is a region that was not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_region_fd(region: *const virtio_wl_region) -> c_int {
    guarded(-1, || {
        // SAFETY: by the contract of this function.
        let region = unsafe { borrow(region)? };
        let fd = region.region.try_clone_fd();
        fd.map(IntoRawFd::into_raw_fd).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::MFILE))
    })
}

/// Where the region is mapped, for reading and writing; the same pointer each time, valid until the region is released.
/// Null if it cannot be mapped.
///
/// The other side writes this memory at any time: never use what is read from it twice, or as a length or a pointer,
/// without a copy of one's own.
///
/// # Safety
///
/// `region` is a region that was not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_region_map(region: *mut virtio_wl_region) -> *mut c_void {
    guarded(ptr::null_mut(), || {
        // SAFETY: by the contract of this function.
        let region = unsafe { borrow(region)? };
        let mut state = region.state.lock().map_err(|_| Errno::IO)?;
        if let Some(mapping) = &state.mapping {
            return Ok(mapping.base);
        }
        let len = usize::try_from(region.region.len()).map_err(|_| Errno::NOMEM)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let start = region.region.start();
        // SAFETY: the kernel chooses the address, so the new mapping replaces no other.
        let base = unsafe {
            rustix::mm::mmap(ptr::null_mut(), len, access, MapFlags::SHARED, &*region.region, start)?
        };
        Ok(state.mapping.insert(Mapping { base, len }).base)
    })
}

/// Allocates `len` bytes of a region (rounded up to a multiple of 4096) and returns their offset; 0 with ENOMEM if there
/// is no room. Only one process may allocate in a region.
///
/// # Safety
///
/// `region` is a region that was not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_region_alloc(region: *mut virtio_wl_region, len: u64) -> u64 {
    guarded(0, || {
        // SAFETY: by the contract of this function.
        let mut state = unsafe { borrow(region)? }.state.lock().map_err(|_| Errno::IO)?;
        let slot = state.allocator.alloc(len).ok_or(Errno::NOMEM)?;
        let offset = slot.offset();
        state.slots.insert(offset, slot);
        Ok(offset)
    })
}

/// Frees what virtio_wl_region_alloc() has returned. -1 with EINVAL for anything else.
///
/// # Safety
///
/// `region` is a region that was not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_region_free(region: *mut virtio_wl_region, offset: u64) -> c_int {
    guarded(-1, || {
        // SAFETY: by the contract of this function.
        let mut state = unsafe { borrow(region)? }.state.lock().map_err(|_| Errno::IO)?;
        let slot = state.slots.remove(&offset).ok_or(Errno::INVAL)?;
        state.allocator.free(slot).map(|()| 0).map_err(|_| Errno::INVAL)
    })
}

/// Tells the other side that a rectangle of memory has new content: memory outside a region, of which it has a
/// copy (or gets one now). It arrives before all that is sent later.
///
/// `memory` is a descriptor of memory that can be written (a memfd). Does nothing if it is memory that both sides
/// share. Waits for room if the socket's queue is full, or fails with EAGAIN if it is non-blocking. EINVAL says that the
/// rectangle is not within the memory, or was not when that was sent.
///
/// # Safety
///
/// `rect` is valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_mirror_write(
    fd: c_int,
    memory: c_int,
    rect: *const virtio_wl_rect,
) -> c_int {
    guarded(-1, || {
        // SAFETY: null, or valid by the contract of this function.
        let rect = unsafe { rect.as_ref() }.ok_or(Errno::FAULT)?;
        let rect =
            MirrorRect { offset: rect.offset, row_len: rect.row_len, stride: rect.stride, rows: rect.rows };
        // SAFETY: used during this call only, in which the caller keeps it open.
        let fd = unsafe { message::open(fd)? };
        // SAFETY: as above.
        let memory = unsafe { message::open(memory)? };
        or_not_socket(fd)?.mirror_write(memory, rect, !message::is_nonblocking(fd)).map(|()| 0)
    })
}
