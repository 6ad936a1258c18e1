//! Shadows of `wl_shm`: the application's pools are answered here, and its buffers live upstream as slots of
//! one pool that covers the whole store.
//!
//! The application's `wl_shm_pool` objects never get a server id. A `wl_buffer` has one, from the moment it
//! is created until the compositor has acknowledged that it is gone (`wl_display.delete_id`); only then is
//! its slot free for other content. An application may destroy a buffer that the compositor still shows. The
//! upstream buffer is kept for that time (an *orphan*) and destroyed when the compositor releases it, so that
//! what is on the screen never changes under the compositor's hands. The same holds while the compositor may write to it
//! ([`super::capture`]).
//!
//! What libwayland's `wl_shm` refuses is refused here with the same codes, because the pool that the
//! requests are about does not exist upstream.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};

use virtio_wl::wire::MirrorRect;
use wl_proxy::object::ObjectCoreApi;
use wl_proxy::protocols::wayland::wl_buffer::{WlBuffer, WlBufferHandler};
use wl_proxy::protocols::wayland::wl_shm::{WlShm, WlShmError, WlShmFormat, WlShmHandler};
use wl_proxy::protocols::wayland::wl_shm_pool::{WlShmPool, WlShmPoolHandler};

use super::damage::Rect;
use super::formats::{Layout, layout};
use super::memory::{ClientMemory, MemoryError};
use super::session::Session;

/// Answers `wl_shm`.
#[derive(Debug)]
pub struct ShmHandler {
    session: Rc<Session>,
}

impl ShmHandler {
    /// For a `wl_shm` that the application has bound.
    #[must_use]
    pub fn new(session: &Rc<Session>) -> Self {
        Self { session: session.clone() }
    }
}

impl WlShmHandler for ShmHandler {
    fn handle_create_pool(&mut self, slf: &Rc<WlShm>, id: &Rc<WlShmPool>, fd: &Rc<OwnedFd>, size: i32) {
        let control = &self.session.control;
        let Some(len) = u32::try_from(size).ok().filter(|size| *size > 0) else {
            control.refuse(slf, WlShmError::INVALID_STRIDE.0, &format!("invalid size ({size})"));
            return;
        };
        match ClientMemory::new(fd, len) {
            Ok(memory) => {
                id.set_handler(PoolHandler {
                    session: self.session.clone(),
                    shm: slf.clone(),
                    memory: Rc::new(memory),
                    size: len,
                });
            }
            Err(error) => control.refuse(slf, WlShmError::INVALID_FD.0, &error.to_string()),
        }
    }

    fn handle_format(&mut self, slf: &Rc<WlShm>, format: WlShmFormat) {
        self.session.formats.borrow_mut().insert(format.0);
        slf.send_format(format);
    }
}

/// Answers one `wl_shm_pool` of the application.
struct PoolHandler {
    session: Rc<Session>,
    /// The object that made the pool; through it the upstream pool is created when the first buffer needs it.
    shm: Rc<WlShm>,
    memory: Rc<ClientMemory>,
    size: u32,
}

impl WlShmPoolHandler for PoolHandler {
    fn handle_create_buffer(
        &mut self,
        slf: &Rc<WlShmPool>,
        id: &Rc<WlBuffer>,
        offset: i32,
        width: i32,
        height: i32,
        stride: i32,
        format: WlShmFormat,
    ) {
        let control = &self.session.control;
        if !self.session.knows_format(format) {
            let message = format!("invalid format 0x{:x}", format.0);
            control.refuse(slf, WlShmError::INVALID_FORMAT.0, &message);
            return;
        }
        let Some(shape) = Shape::new([offset, width, height, stride], format, self.size) else {
            let message = format!("invalid width, height or stride ({width}x{height}, {stride})");
            control.refuse(slf, WlShmError::INVALID_STRIDE.0, &message);
            return;
        };
        Buffer::make(&self.session, &self.shm, id, &self.memory, shape, format);
    }

    fn handle_destroy(&mut self, slf: &Rc<WlShmPool>) {
        slf.delete_id();
    }

    fn handle_resize(&mut self, slf: &Rc<WlShmPool>, size: i32) {
        let control = &self.session.control;
        match u32::try_from(size) {
            Ok(size) if size >= self.size => {
                self.memory.grow(size);
                self.size = size;
            }
            _ => control.refuse(slf, WlShmError::INVALID_FD.0, "shrinking pool invalid"),
        }
    }
}

/// Where a buffer's pixels are in the application's pool or dma-buf. Everything here was checked against its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    offset: u32,
    size: (i32, i32),
    stride: u32,
    /// Rows of all planes.
    rows: u32,
    /// Bytes of a pixel, where rectangles can be copied.
    pixel_len: Option<u32>,
}

impl Shape {
    /// Checks `offset, width, height, stride` of `create_buffer` as libwayland does.
    fn new([offset, width, height, stride]: [i32; 4], format: WlShmFormat, pool: u32) -> Option<Self> {
        if offset < 0 || width <= 0 || height <= 0 || stride < width {
            return None;
        }
        let (offset, stride) = (u32::try_from(offset).ok()?, u32::try_from(stride).ok()?);
        let height = u32::try_from(height).ok()?;
        let end = offset.checked_add(stride.checked_mul(height)?)?;
        if end > pool || i32::try_from(end).is_err() {
            return None;
        }
        let (rows, pixel_len) = match layout(format) {
            Layout::Packed(pixel_len) => (height, Some(pixel_len)),
            // Planes behind the first, as far as the pool reaches.
            Layout::Opaque { numerator, denominator } => {
                let wanted = height.div_ceil(denominator).saturating_mul(numerator);
                let there = pool.saturating_sub(offset).checked_div(stride).unwrap_or(0);
                (wanted.min(there).max(height), None)
            }
        };
        Some(Self { offset, size: (width, i32::try_from(height).ok()?), stride, rows, pixel_len })
    }

    /// Checks the one plane of a buffer of a dma-buf of `len` bytes. Width and height are in pixels, the rest in bytes.
    pub(super) fn of_plane(
        [offset, stride]: [u32; 2],
        (width, height): (i32, i32),
        format: WlShmFormat,
        len: u64,
    ) -> Option<Self> {
        let Layout::Packed(pixel_len) = layout(format) else { return None };
        let (columns, rows) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
        if columns == 0 || rows == 0 || columns.checked_mul(pixel_len)? > stride {
            return None;
        }
        let end = offset.checked_add(stride.checked_mul(rows)?)?;
        // Everything must have a number in `wl_shm` too.
        if u64::from(end) > len || i32::try_from(end).is_err() {
            return None;
        }
        Some(Self { offset, size: (width, height), stride, rows, pixel_len: Some(pixel_len) })
    }

    fn len(&self) -> u64 {
        u64::from(self.stride) * u64::from(self.rows)
    }

    /// Where it ends in the application's memory, in bytes.
    pub(super) fn end(&self) -> u64 {
        u64::from(self.offset) + self.len()
    }

    /// The bytes of a rectangle of pixels, seen from the beginning of the buffer.
    fn rows(&self, rect: &Rect) -> Option<MirrorRect> {
        let Some(pixel_len) = self.pixel_len else {
            return Some(MirrorRect {
                offset: 0,
                row_len: self.stride,
                stride: self.stride,
                rows: self.rows,
            });
        };
        let rect = rect.intersection(&Rect::whole(self.size));
        if rect.is_empty() {
            return None;
        }
        let (x0, x1) = (u32::try_from(rect.x0).ok()?, u32::try_from(rect.x1).ok()?);
        let (y0, y1) = (u32::try_from(rect.y0).ok()?, u32::try_from(rect.y1).ok()?);
        let left = x0.saturating_mul(pixel_len).min(self.stride);
        let right = x1.saturating_mul(pixel_len).min(self.stride);
        let row_len = right.checked_sub(left).filter(|len| *len > 0)?;
        let offset = u64::from(y0) * u64::from(self.stride) + u64::from(left);
        Some(MirrorRect { offset, row_len, stride: self.stride, rows: y1.checked_sub(y0)? })
    }
}

/// When a buffer was last copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// For which surface.
    pub surface: u64,
    /// At which commit of that surface, by the surface's history.
    pub commit: u64,
}

/// A buffer of the application and its copy in the store.
#[derive(Debug)]
pub struct Buffer {
    memory: Rc<ClientMemory>,
    shape: Shape,
    slot_offset: u64,
    object: Weak<WlBuffer>,
    /// None: never.
    pub copied: Cell<Option<Copied>>,
    /// The application has destroyed it.
    pub destroyed: Cell<bool>,
    /// It was committed, and the compositor has not released it since.
    pub busy: Cell<bool>,
    /// Frames that the compositor may write to it.
    lent: Cell<u32>,
}

impl Buffer {
    /// Makes the buffer `id` upstream as a slot, in which what is in `memory` will be. False: there is no room, and the
    /// connection has ended.
    pub(super) fn make(
        session: &Rc<Session>,
        shm: &Rc<WlShm>,
        id: &Rc<WlBuffer>,
        memory: &Rc<ClientMemory>,
        shape: Shape,
        format: WlShmFormat,
    ) -> bool {
        let Some(slot_offset) = session.allocate(shape.len()) else {
            session.control.no_memory("the memory that the VM shares with the compositor is full");
            return false;
        };
        let (width, height) = shape.size;
        let created = session.upstream_pool(shm).and_then(|pool| {
            let (offset, stride) = (i32::try_from(slot_offset).ok()?, i32::try_from(shape.stride).ok()?);
            pool.try_send_create_buffer(id, offset, width, height, stride, format).ok()
        });
        if created.is_none() {
            session.free(slot_offset);
            session.control.no_memory("the compositor's side has no room for another buffer");
            return false;
        }
        let buffer = Rc::new(Self {
            memory: memory.clone(),
            shape,
            slot_offset,
            object: Rc::downgrade(id),
            copied: Cell::new(None),
            destroyed: Cell::new(false),
            busy: Cell::new(false),
            lent: Cell::new(0),
        });
        id.set_handler(BufferHandler { session: session.clone(), buffer, gone: false });
        true
    }

    /// The application's memory.
    #[must_use]
    pub fn memory(&self) -> &ClientMemory {
        &self.memory
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (i32, i32) {
        self.shape.size
    }

    /// Copies rectangles of pixels to the slot and tells the session about each, in case the other side has
    /// to be told too.
    ///
    /// # Errors
    ///
    /// The application's memory cannot be read.
    pub fn copy(&self, rects: &[Rect], session: &Session) -> Result<(), MemoryError> {
        let _access = self.memory.begin_read()?;
        for rect in rects {
            let Some(rows) = self.shape.rows(rect) else { continue };
            let from = rows.offset.saturating_add(self.shape.offset.into());
            let to = MirrorRect { offset: rows.offset.saturating_add(self.slot_offset), ..rows };
            self.memory.copy(from, session.store.region(), to)?;
            session.counters.copied_bytes.add(u64::from(to.row_len).saturating_mul(to.rows.into()));
            session.written(to);
            if self.shape.pixel_len.is_none() {
                break;
            }
        }
        session.copied_from(&self.memory);
        Ok(())
    }

    /// Copies rectangles of pixels from the slot to the application's memory. A buffer that is not made of pixels whose places
    /// are known is copied whole.
    ///
    /// # Errors
    ///
    /// The application's memory cannot be written, or ends before the buffer does.
    pub fn copy_back(&self, rects: &[Rect], session: &Session) -> Result<(), MemoryError> {
        for rect in rects {
            let Some(rows) = self.shape.rows(rect) else { continue };
            let to = rows.offset.saturating_add(self.shape.offset.into());
            let from = MirrorRect { offset: rows.offset.saturating_add(self.slot_offset), ..rows };
            self.memory.copy_back(session.store.region(), from, to)?;
            if self.shape.pixel_len.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// The compositor may write to the buffer until it is [given back](Self::give_back). What was copied to it before is not
    /// there any more.
    pub fn lend(&self) {
        self.copied.set(None);
        self.lent.set(self.lent.get().saturating_add(1));
    }

    /// The compositor does not write to a buffer of ours any more.
    pub fn give_back(object: &Rc<WlBuffer>) {
        use wl_proxy::object::ObjectUtils as _;
        let Ok(mut handler) = object.try_get_handler_mut::<BufferHandler>() else { return };
        let buffer = &handler.buffer;
        // It may have been committed in between, and was written to since.
        buffer.copied.set(None);
        buffer.lent.set(buffer.lent.get().saturating_sub(1));
        handler.destroy_unused(object);
    }

    /// The compositor shows it, or writes to it.
    fn is_used(&self) -> bool {
        self.busy.get() || self.lent.get() > 0
    }

    /// Ends the connection because [`copy`](Self::copy) failed, as libwayland does when a pool's file turns
    /// out to be shorter than the pool.
    pub fn refuse(&self, session: &Session, error: &MemoryError) {
        let message = match self.memory.is_graphics() {
            false => format!("error accessing SHM buffer: {error}"),
            true => format!("error accessing the buffer's memory: {error}"),
        };
        match self.object.upgrade() {
            Some(object) => session.control.refuse(&object, WlShmError::INVALID_FD.0, &message),
            None => session.control.no_memory(&message),
        }
    }

    /// The buffer behind a `wl_buffer`, if it is one of ours; single-pixel buffers for example are not.
    #[must_use]
    pub fn of(object: &Rc<WlBuffer>) -> Option<Rc<Self>> {
        use wl_proxy::object::ObjectUtils as _;
        object.try_get_handler_ref::<BufferHandler>().ok().map(|handler| handler.buffer.clone())
    }
}

/// Answers one `wl_buffer` that is backed by a slot.
struct BufferHandler {
    session: Rc<Session>,
    buffer: Rc<Buffer>,
    /// The other side was told that the buffer is destroyed.
    gone: bool,
}

impl BufferHandler {
    /// Destroys the buffer on the other side, once. One that two surfaces show is released twice.
    fn destroy(&mut self, slf: &Rc<WlBuffer>) {
        if !std::mem::replace(&mut self.gone, true) {
            slf.send_destroy();
        }
    }

    /// The same for one that the application has destroyed, once the compositor does nothing with it any more.
    fn destroy_unused(&mut self, slf: &Rc<WlBuffer>) {
        if self.buffer.destroyed.get() && !self.buffer.is_used() {
            self.destroy(slf);
        }
    }
}

impl WlBufferHandler for BufferHandler {
    fn delete_id(&mut self, slf: &Rc<WlBuffer>) {
        self.session.free(self.buffer.slot_offset);
        slf.delete_id();
    }

    fn handle_destroy(&mut self, slf: &Rc<WlBuffer>) {
        self.buffer.destroyed.set(true);
        if self.buffer.is_used() {
            slf.delete_id();
        } else {
            self.destroy(slf);
        }
    }

    fn handle_release(&mut self, slf: &Rc<WlBuffer>) {
        self.buffer.busy.set(false);
        if self.buffer.destroyed.get() {
            self.destroy_unused(slf);
        } else {
            slf.send_release();
        }
    }
}

/// The upstream pool of a connection. It lies over the whole store and is made when the first buffer needs
/// it.
#[derive(Debug, Default)]
pub struct UpstreamPool(RefCell<Option<Rc<WlShmPool>>>);

impl UpstreamPool {
    /// The pool; `create` makes it the first time.
    pub fn get(&self, create: impl FnOnce() -> Option<Rc<WlShmPool>>) -> Option<Rc<WlShmPool>> {
        let mut pool = self.0.borrow_mut();
        if pool.is_none() {
            *pool = create();
        }
        pool.clone()
    }

    /// Lets go of the pool, which refers to the state that it belongs to.
    pub fn clear(&self) {
        self.0.borrow_mut().take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGB: WlShmFormat = WlShmFormat::ARGB8888;

    #[test]
    fn a_buffer_has_to_fit_its_pool() {
        assert!(Shape::new([0, 4, 4, 16], ARGB, 64).is_some());
        for bad in [
            [1, 4, 4, 16],
            [-1, 4, 4, 16],
            [0, 0, 4, 16],
            [0, 4, 0, 16],
            [0, 4, -4, 16],
            [0, 4, 5, 16],
            [0, 17, 4, 16],
            [0, 4, i32::MAX, 16],
            [i32::MAX, 4, 4, 16],
            [0, i32::MAX, i32::MAX, i32::MAX],
        ] {
            assert!(Shape::new(bad, ARGB, 64).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_rectangle_becomes_the_bytes_of_its_pixels_in_each_row() {
        let shape = Shape::new([32, 4, 4, 20], ARGB, 200).unwrap();
        let rows = shape.rows(&Rect::from_size(1, 2, 2, 9)).unwrap();
        assert_eq!(rows, MirrorRect { offset: 44, row_len: 8, stride: 20, rows: 2 });
    }

    #[test]
    fn a_row_never_reaches_beyond_the_stride() {
        // 4 pixels of 4 bytes in a stride of 10: accepted by wl_shm, which does not look at the format.
        let shape = Shape::new([0, 4, 4, 10], ARGB, 40).unwrap();
        let rows = shape.rows(&Rect::whole((4, 4))).unwrap();
        assert_eq!(rows, MirrorRect { offset: 0, row_len: 10, stride: 10, rows: 4 });
        assert_eq!(shape.rows(&Rect::from_size(3, 0, 1, 1)), None);
    }

    #[test]
    fn a_plane_has_to_fit_its_dma_buf() {
        let shape = Shape::of_plane([16, 32], (4, 3), ARGB, 112).unwrap();
        assert_eq!((shape.len(), shape.end()), (96, 112));
        for (place, size, len) in [
            ([16, 32], (4, 3), 111),
            ([17, 32], (4, 3), 112),
            ([0, 15], (4, 1), 64),
            ([0, 16], (0, 1), 64),
            ([0, 16], (4, 0), 64),
            ([0, 16], (-4, 1), 64),
            ([0, 16], (4, i32::MIN), 64),
            ([u32::MAX, 16], (4, 1), u64::MAX),
            ([0, u32::MAX], (4, 2), u64::MAX),
            ([0, u32::MAX], (4, 1), u64::MAX),
            ([0, 1 << 16], (4, 1 << 16), u64::MAX),
            ([0, 16], (i32::MAX, 1), u64::MAX),
        ] {
            assert_eq!(Shape::of_plane(place, size, ARGB, len), None, "{place:?} {size:?} {len}");
        }
        assert_eq!(Shape::of_plane([0, 64], (4, 4), WlShmFormat::NV12, 4096), None);
    }

    #[test]
    fn planes_are_copied_as_far_as_the_pool_reaches() {
        let shape = Shape::new([0, 8, 4, 8], WlShmFormat::NV12, 48).unwrap();
        assert_eq!((shape.rows, shape.len()), (6, 48));
        let cut = Shape::new([0, 8, 4, 8], WlShmFormat::NV12, 40).unwrap();
        assert_eq!(cut.rows, 5);
    }
}
