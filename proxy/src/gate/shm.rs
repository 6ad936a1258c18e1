//! Pools and buffers of shared memory: examined, counted, and kept inside the memory behind them.

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
            .and_then(|memory| memory::check_pool(size, &memory).map(|()| memory));
        let memory = match examined {
            Ok(memory) => memory,
            Err(error) => return self.0.refuse(slf, error.code(), &error),
        };
        let Some(share) = self.0.take(Kind::Pools, 1) else { return };
        id.set_handler(Pool { guard: Rc::clone(&self.0), share: Some(share), memory, size });
        slf.send_create_pool(id, fd, size.saturating_add(memory.start));
    }
}

struct Pool {
    guard: Rc<Guard>,
    share: Option<Share>,
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
        // The region is one memory for the whole VM and has its pages anyway, so a buffer counts while it lives. A
        // mirror has those that were ever used.
        let counted = if self.memory.is_region { len } else { 0 };
        let Some(bytes) = self.guard.take(Kind::ShmBytes, counted) else { return };
        let begin = u64::try_from(offset).unwrap_or(0);
        if !self.memory.is_region && !self.guard.cover(self.memory.id, begin, len) {
            return;
        }
        if watch_buffer(&self.guard, id, Some(bytes)) {
            let offset = offset.saturating_add(self.memory.start);
            slf.send_create_buffer(id, offset, width, height, stride, format);
        }
    }

    fn handle_resize(&mut self, slf: &Rc<WlShmPool>, size: i32) {
        if let Err(error) = memory::check_resize(self.size, size, &self.memory) {
            return self.guard.refuse(slf, error.code(), &error);
        }
        self.size = size;
        slf.send_resize(size.saturating_add(self.memory.start));
    }

    fn handle_destroy(&mut self, slf: &Rc<WlShmPool>) {
        self.share = None;
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
        if watch_buffer(&self.0, id, None) {
            slf.send_create_u32_rgba_buffer(id, r, g, b, a);
        }
    }
}

/// Counts a new buffer; false if that was refused.
fn watch_buffer(guard: &Rc<Guard>, id: &Rc<WlBuffer>, bytes: Option<Share>) -> bool {
    let Some(share) = guard.take(Kind::Buffers, 1) else { return false };
    id.set_handler(Buffer { shares: Some((share, bytes)) });
    true
}

pub(super) struct Buffer {
    shares: Option<(Share, Option<Share>)>,
}

impl Buffer {
    /// Whether it lives and is made of shared memory.
    pub(super) fn is_memory(&self) -> bool {
        matches!(self.shares, Some((_, Some(_))))
    }
}

impl WlBufferHandler for Buffer {
    fn handle_destroy(&mut self, slf: &Rc<WlBuffer>) {
        self.shares = None;
        slf.send_destroy();
    }
}
