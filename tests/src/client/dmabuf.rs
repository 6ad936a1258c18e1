//! Buffers by `zwp_linux_dmabuf_v1`. They lie in sealed memory, which `wl-forward` takes just as it takes dma-bufs: those need
//! a graphics device.

use std::rc::Rc;

use wayland_client::delegate_noop;
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_buffer_params_v1::{
    Flags, ZwpLinuxBufferParamsV1,
};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;

use super::{Buffer, Client, Memory, State};

/// `DRM_FORMAT_XRGB8888` (drm_fourcc.h).
const XRGB8888: u32 = u32::from_le_bytes(*b"XR24");

delegate_noop!(State: ignore ZwpLinuxDmabufV1);
delegate_noop!(State: ZwpLinuxBufferParamsV1);

impl Client {
    /// [`Self::buffers`] without `wl_shm`: all in one memory, each behind the one before.
    ///
    /// # Panics
    ///
    /// When the server has no `zwp_linux_dmabuf_v1`, or there is not enough memory.
    #[must_use]
    pub fn dmabuf_buffers(&mut self, count: i32, width: i32, height: i32) -> Vec<Buffer> {
        let dmabuf: ZwpLinuxDmabufV1 = self.bind(4).expect("the server has zwp_linux_dmabuf_v1");
        let stride = (width + 5) * 4;
        let size = stride * height;
        let memory = Rc::new(Memory::sealed(u64::try_from(size * count).expect("a size")));
        let handle = self.handle();
        let unsigned = |number: i32| u32::try_from(number).expect("a size");
        let buffer = |place: i32| {
            let offset = place * size;
            let number = self.state.expect_buffer();
            let params = dmabuf.create_params(&handle, ());
            params.add(memory.fd(), 0, unsigned(offset), unsigned(stride), 0, 0);
            let buffer = params.create_immed(width, height, XRGB8888, Flags::empty(), &handle, number);
            params.destroy();
            Buffer { number, buffer, memory: memory.clone(), offset, width, height, stride }
        };
        let buffers = (0..count).map(buffer).collect();
        dmabuf.destroy();
        buffers
    }
}
