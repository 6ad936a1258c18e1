//! A buffer that is shared with the other desktop.

use std::io;
use std::os::fd::AsFd;

use smithay::utils::{Physical, Rectangle, Size};
use wayland_client::protocol::wl_buffer::{self, WlBuffer};
use wayland_client::protocol::wl_shm::{Format, WlShm};
use wayland_client::protocol::wl_shm_pool::WlShmPool;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};

use super::NestedError;
use crate::backend::memory::Pixels;
use crate::backend::shared::SharedPicture;
use crate::backend::stale::Stale;
use crate::state::State;

/// Memory of one frame.
#[derive(Debug)]
pub(super) struct SharedBuffer {
    picture: SharedPicture,
    buffer: WlBuffer,
    /// The other side does not hold it.
    free: bool,
    stale: Stale,
}

impl Drop for SharedBuffer {
    fn drop(&mut self) {
        self.buffer.destroy();
    }
}

impl SharedBuffer {
    pub(super) fn pair(
        shm: &WlShm,
        handle: &QueueHandle<State>,
        size: Size<i32, Physical>,
    ) -> Result<[Self; 2], NestedError> {
        let new = || Self::new(shm, handle, size).map_err(NestedError::Allocate);
        Ok([new()?, new()?])
    }

    fn new(shm: &WlShm, handle: &QueueHandle<State>, size: Size<i32, Physical>) -> io::Result<Self> {
        let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
        let stride = size.w.checked_mul(4).ok_or_else(too_large)?;
        let len = stride.checked_mul(size.h).ok_or_else(too_large)?;
        let picture = SharedPicture::new(size)?;
        let pool = shm.create_pool(picture.descriptor()?.as_fd(), len, handle, ());
        let buffer = pool.create_buffer(0, size.w, size.h, stride, Format::Xrgb8888, handle, ());
        pool.destroy();
        Ok(Self { picture, buffer, free: true, stale: Stale::default() })
    }

    pub(super) fn is_free(&self) -> bool {
        self.free
    }

    /// This changed in the picture.
    pub(super) fn note(&mut self, damage: &[Rectangle<i32, Physical>]) {
        self.stale.add(damage);
    }

    /// Copies what changed since this was last written.
    pub(super) fn write(&mut self, from: Pixels<'_>, size: Size<i32, Physical>) -> io::Result<()> {
        self.picture.write(from, &self.stale.take(size))
    }

    /// Shows it with the next commit; the other side holds it from then on.
    pub(super) fn attach(&mut self, surface: &WlSurface) {
        surface.attach(Some(&self.buffer), 0, 0);
        self.free = false;
    }
}

impl Dispatch<WlBuffer, ()> for State {
    fn event(
        state: &mut Self,
        buffer: &WlBuffer,
        event: wl_buffer::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let wl_buffer::Event::Release = event else { return };
        let buffers = state.nested().map(|nested| &mut nested.buffers);
        if let Some(released) = buffers.into_iter().flatten().find(|shared| shared.buffer == *buffer) {
            released.free = true;
        }
    }
}

delegate_noop!(State: ignore WlShmPool);
