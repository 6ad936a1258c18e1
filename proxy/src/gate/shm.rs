//! Pools and buffers of shared memory: examined, counted, and kept inside the memory behind them.

use std::cell::RefCell;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;

use wl_proxy::protocols::single_pixel_buffer_v1::wp_single_pixel_buffer_manager_v1::{
    WpSinglePixelBufferManagerV1, WpSinglePixelBufferManagerV1Handler,
};
use wl_proxy::protocols::wayland::wl_buffer::{WlBuffer, WlBufferHandler};
use wl_proxy::protocols::wayland::wl_shm::{WlShm, WlShmFormat, WlShmHandler};
use wl_proxy::protocols::wayland::wl_shm_pool::{WlShmPool, WlShmPoolHandler};

use super::guard::Guard;
use super::ledger::{Kind, Share};
use super::memory::{self, BufferLayout, Memory};

/// The bytes that a pool keeps alive. Its buffers hold it too, since they keep the mapping when the pool's
/// object is gone. The region is one memory for the whole VM, so its pools hold nothing and each buffer
/// counts for itself.
type Bytes = Rc<RefCell<Share>>;

pub(super) struct Shm(pub Rc<Guard>);

impl WlShmHandler for Shm {
    fn handle_format(&mut self, slf: &Rc<WlShm>, format: WlShmFormat) {
        // A format of unknown layout cannot be checked, so clients are not told of it.
        if memory::bytes_per_pixel(format.0).is_some() {
            slf.send_format(format);
        }
    }

    fn handle_create_pool(&mut self, slf: &Rc<WlShm>, id: &Rc<WlShmPool>, fd: &Rc<OwnedFd>, size: i32) {
        let examined = memory::examine(fd.as_fd(), self.0.region())
            .and_then(|memory| memory::check_pool(size, memory.len).map(|()| memory));
        let memory = match examined {
            Ok(memory) => memory,
            Err(error) => return self.0.refuse(slf, error.code(), &error),
        };
        let Some(share) = self.0.take(Kind::Pools, 1) else { return };
        let counted = if memory.is_region { 0 } else { u64::try_from(size).unwrap_or(0) };
        let Some(bytes) = self.0.take(Kind::ShmBytes, counted) else { return };
        let bytes = Rc::new(RefCell::new(bytes));
        id.set_handler(Pool {
            guard: Rc::clone(&self.0),
            share: Some(share),
            bytes: Some(bytes),
            memory,
            size,
        });
        slf.send_create_pool(id, fd, size);
    }
}

struct Pool {
    guard: Rc<Guard>,
    share: Option<Share>,
    bytes: Option<Bytes>,
    memory: Memory,
    size: i32,
}

impl WlShmPoolHandler for Pool {
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
        let layout = BufferLayout { offset, width, height, stride, format: format.0 };
        let len = match memory::check_buffer(self.size, layout) {
            Ok(len) => len,
            Err(error) => return self.guard.refuse(slf, error.code(), &error),
        };
        let counted = if self.memory.is_region { len } else { 0 };
        let Some(bytes) = self.guard.take(Kind::ShmBytes, counted) else { return };
        if watch_buffer(&self.guard, id, Some(bytes), self.bytes.clone()) {
            slf.send_create_buffer(id, offset, width, height, stride, format);
        }
    }

    fn handle_resize(&mut self, slf: &Rc<WlShmPool>, size: i32) {
        if let Err(error) = memory::check_resize(self.size, size, self.memory.len) {
            return self.guard.refuse(slf, error.code(), &error);
        }
        if let Some(bytes) = self.bytes.as_ref().filter(|_| !self.memory.is_region) {
            let grown = bytes.borrow_mut().grow(u64::try_from(size).unwrap_or(0));
            if let Err(exceeded) = grown {
                return self.guard.refuse_exceeded(exceeded);
            }
        }
        self.size = size;
        slf.send_resize(size);
    }

    fn handle_destroy(&mut self, slf: &Rc<WlShmPool>) {
        self.share = None;
        self.bytes = None;
        slf.send_destroy();
    }
}

pub(super) struct SinglePixels(pub Rc<Guard>);

impl WpSinglePixelBufferManagerV1Handler for SinglePixels {
    fn handle_create_u32_rgba_buffer(
        &mut self,
        slf: &Rc<WpSinglePixelBufferManagerV1>,
        id: &Rc<WlBuffer>,
        r: u32,
        g: u32,
        b: u32,
        a: u32,
    ) {
        if watch_buffer(&self.0, id, None, None) {
            slf.send_create_u32_rgba_buffer(id, r, g, b, a);
        }
    }
}

/// Counts a new buffer; false if that was refused.
fn watch_buffer(guard: &Rc<Guard>, id: &Rc<WlBuffer>, own: Option<Share>, pool: Option<Bytes>) -> bool {
    let Some(share) = guard.take(Kind::Buffers, 1) else { return false };
    id.set_handler(Buffer { shares: Some((share, own)), pool });
    true
}

struct Buffer {
    shares: Option<(Share, Option<Share>)>,
    pool: Option<Bytes>,
}

impl WlBufferHandler for Buffer {
    fn handle_destroy(&mut self, slf: &Rc<WlBuffer>) {
        self.shares = None;
        self.pool = None;
        slf.send_destroy();
    }
}
