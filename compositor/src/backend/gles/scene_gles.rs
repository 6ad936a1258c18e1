//! OpenGL ES as a renderer of scenes, with what a VM must not do with it.
//!
//! pixman draws from a client's memory. OpenGL has a copy of its own of every picture, its *texture*, which stays as long as the
//! surface does. Smithay keeps and updates them; this is in front of that, and sees to it that
//!
//! * the textures of a VM use no more memory than its buffers may: else one large buffer that is shown by hundreds of
//!   surfaces would use up all the memory of the card ([`Account::change_textures`]);
//! * nothing is larger than OpenGL takes it: of a client's picture nothing is drawn then, and its window shows its backing; a label
//!   cannot be drawn, and with it its window is not;
//! * a picture with transparency is not drawn as one without, or the reverse, when a client changes from one to the other:
//!   Smithay 0.7 goes by what the texture was made for.

use std::sync::{Arc, Mutex, PoisonError};

use smithay::backend::allocator::Fourcc;
use smithay::backend::allocator::dmabuf::Dmabuf;
use smithay::backend::renderer::gles::{GlesError, GlesFrame, GlesRenderer, GlesTarget, GlesTexture, ffi};
use smithay::backend::renderer::sync::SyncPoint;
use smithay::backend::renderer::{
    ContextId, DebugFlags, ImportDma, ImportDmaWl, ImportMem, ImportMemWl, Renderer, RendererSuper,
    TextureFilter,
};
use smithay::reexports::wayland_server::protocol::wl_buffer::WlBuffer;
use smithay::reexports::wayland_server::protocol::wl_shm;
use smithay::utils::{Buffer, Physical, Rectangle, Size, Transform};
use smithay::wayland::compositor::SurfaceData;
use smithay::wayland::shm::with_buffer_contents;

use crate::trust::client::account_of;
use crate::trust::limits::Account;

/// Bytes of a pixel of a texture.
const PIXEL: u64 = 4;

/// The renderer.
#[derive(Debug)]
pub(in crate::backend) struct SceneGles {
    gles: GlesRenderer,
    /// The longest side of a texture.
    largest: i32,
    /// What is drawn of a picture that is not: its backing's black. Not clear, since a surface may have said that nothing
    /// behind it is seen, and what is behind it is then not drawn.
    nothing: GlesTexture,
}

/// What there is of a surface's texture. Kept with the surface, as the texture is.
#[derive(Debug, Default)]
struct Held {
    /// Whose it is.
    account: Option<Arc<Account>>,
    /// What it uses, in bytes.
    bytes: u64,
    /// The picture that it was made for.
    made_for: Option<Shape>,
    /// The surface has shown something since that is not in it.
    stale: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            // Less is never too much.
            let _ = account.change_textures(self.bytes, 0);
        }
    }
}

/// What textures differ in.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    size: (i32, i32),
    format: wl_shm::Format,
}

/// How a client's picture gets into a texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// What has changed into the one that there is.
    Update,
    /// All of it into the one that there is, or into a new one.
    Whole,
    /// All of it into one for this time.
    Once,
}

impl Held {
    /// How a picture of this shape gets in, which is noted. `None` if it may not.
    fn take(&mut self, shape: Shape, account: Option<Arc<Account>>) -> Option<Way> {
        if self.made_for == Some(shape) {
            let stale = std::mem::take(&mut self.stale);
            return Some(if stale { Way::Whole } else { Way::Update });
        }
        let side = |length: i32| u64::try_from(length).unwrap_or(0);
        let bytes = side(shape.size.0).saturating_mul(side(shape.size.1)).saturating_mul(PIXEL);
        // Smithay would take the one that there is, and draw it as if it had the format of that.
        let once = self.made_for.is_some_and(|before| before.size == shape.size);
        let bytes = if once { bytes.saturating_mul(2) } else { bytes };
        let account = account.or_else(|| self.account.clone())?;
        if account.change_textures(self.bytes, bytes).is_err() {
            self.stale = true;
            if account.may_log() {
                tracing::warn!(
                    "a window's picture is not drawn: those of its VM would use more memory of the graphics card than its buffers may"
                );
            }
            return None;
        }
        self.account = Some(account);
        self.bytes = bytes;
        self.stale = once;
        if once {
            return Some(Way::Once);
        }
        self.made_for = Some(shape);
        Some(Way::Whole)
    }
}

impl SceneGles {
    pub(super) fn new(mut gles: GlesRenderer) -> Result<Self, GlesError> {
        let largest = gles.with_context(|gl| {
            let mut largest = 0;
            // SAFETY: the context is current, and one number is written.
            unsafe { gl.GetIntegerv(ffi::MAX_TEXTURE_SIZE, &raw mut largest) };
            largest
        })?;
        let nothing = gles.import_memory(&[0, 0, 0, 0xff], Fourcc::Argb8888, (1, 1).into(), false)?;
        Ok(Self { gles, largest, nothing })
    }

    pub(super) fn gles(&self) -> &GlesRenderer {
        &self.gles
    }

    pub(super) fn gles_mut(&mut self) -> &mut GlesRenderer {
        &mut self.gles
    }

    fn is_too_large(&self, (w, h): (i32, i32)) -> bool {
        w > self.largest || h > self.largest
    }
}

impl RendererSuper for SceneGles {
    type Error = GlesError;
    type TextureId = GlesTexture;
    type Framebuffer<'buffer> = GlesTarget<'buffer>;
    type Frame<'frame, 'buffer>
        = GlesFrame<'frame, 'buffer>
    where
        'buffer: 'frame,
        Self: 'frame;
}

impl Renderer for SceneGles {
    fn context_id(&self) -> ContextId<GlesTexture> {
        self.gles.context_id()
    }

    fn downscale_filter(&mut self, filter: TextureFilter) -> Result<(), GlesError> {
        self.gles.downscale_filter(filter)
    }

    fn upscale_filter(&mut self, filter: TextureFilter) -> Result<(), GlesError> {
        self.gles.upscale_filter(filter)
    }

    fn set_debug_flags(&mut self, flags: DebugFlags) {
        self.gles.set_debug_flags(flags);
    }

    fn debug_flags(&self) -> DebugFlags {
        self.gles.debug_flags()
    }

    fn render<'frame, 'buffer>(
        &'frame mut self,
        target: &'frame mut GlesTarget<'buffer>,
        size: Size<i32, Physical>,
        transform: Transform,
    ) -> Result<GlesFrame<'frame, 'buffer>, GlesError>
    where
        'buffer: 'frame,
    {
        self.gles.render(target, size, transform)
    }

    fn wait(&mut self, sync: &SyncPoint) -> Result<(), GlesError> {
        self.gles.wait(sync)
    }

    fn cleanup_texture_cache(&mut self) -> Result<(), GlesError> {
        self.gles.cleanup_texture_cache()
    }
}

/// The compositor's own pictures.
impl ImportMem for SceneGles {
    fn import_memory(
        &mut self,
        data: &[u8],
        format: Fourcc,
        size: Size<i32, Buffer>,
        flipped: bool,
    ) -> Result<GlesTexture, GlesError> {
        if self.is_too_large((size.w, size.h)) {
            return Err(GlesError::UnexpectedSize);
        }
        self.gles.import_memory(data, format, size, flipped)
    }

    fn update_memory(
        &mut self,
        texture: &GlesTexture,
        data: &[u8],
        region: Rectangle<i32, Buffer>,
    ) -> Result<(), GlesError> {
        self.gles.update_memory(texture, data, region)
    }

    fn mem_formats(&self) -> Box<dyn Iterator<Item = Fourcc>> {
        self.gles.mem_formats()
    }
}

/// Clients' pictures.
impl ImportMemWl for SceneGles {
    fn import_shm_buffer(
        &mut self,
        buffer: &WlBuffer,
        surface: Option<&SurfaceData>,
        damage: &[Rectangle<i32, Buffer>],
    ) -> Result<GlesTexture, GlesError> {
        let shape = with_buffer_contents(buffer, |_, _, data| Shape {
            size: (data.width, data.height),
            format: data.format,
        });
        let shape = shape.map_err(GlesError::BufferAccessError)?;
        let Some(surface) = surface else { return Ok(self.nothing.clone()) };
        let held = surface.data_map.get_or_insert_threadsafe(Mutex::<Held>::default);
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_too_large(shape.size) {
            held.stale = true;
            return Ok(self.nothing.clone());
        }
        match held.take(shape, account_of(buffer)) {
            Some(Way::Update) => self.gles.import_shm_buffer(buffer, Some(surface), damage),
            // Without a word on what has changed, all is taken.
            Some(Way::Whole) => self.gles.import_shm_buffer(buffer, Some(surface), &[]),
            Some(Way::Once) => self.gles.import_shm_buffer(buffer, None, &[]),
            None => Ok(self.nothing.clone()),
        }
    }
}

/// No client is offered buffers of the card; this is here because a renderer of scenes can take all kinds.
impl ImportDma for SceneGles {
    fn import_dmabuf(
        &mut self,
        dmabuf: &Dmabuf,
        damage: Option<&[Rectangle<i32, Buffer>]>,
    ) -> Result<GlesTexture, GlesError> {
        self.gles.import_dmabuf(dmabuf, damage)
    }
}

impl ImportDmaWl for SceneGles {}

#[cfg(test)]
mod tests {
    use vitrail_protocols::Limits;

    use super::*;
    use crate::trust::limits::Accounts;
    use crate::trust::origin::Origin;

    const OPAQUE: wl_shm::Format = wl_shm::Format::Xrgb8888;
    const CLEAR: wl_shm::Format = wl_shm::Format::Argb8888;

    fn account(shm_mib: u32) -> Arc<Account> {
        Accounts::default().open(&Origin::Local, Limits { shm_mib, ..Limits::default() })
    }

    fn shape(size: (i32, i32), format: wl_shm::Format) -> Shape {
        Shape { size, format }
    }

    #[test]
    fn textures_of_a_vm_use_no_more_memory_than_its_buffers_may() {
        let account = account(1);
        let mut surfaces: Vec<Held> = (0..3).map(|_| Held::default()).collect();
        // Half of what there is.
        let half = shape((512, 256), OPAQUE);
        let ways: Vec<_> = surfaces.iter_mut().map(|held| held.take(half, Some(account.clone()))).collect();
        assert_eq!(ways, [Some(Way::Whole), Some(Way::Whole), None]);
        // A surface that goes gives back what its texture had.
        surfaces.remove(0);
        let last = &mut surfaces[1];
        assert_eq!(last.take(half, Some(account.clone())), Some(Way::Whole));
        assert_eq!(last.take(half, Some(account.clone())), Some(Way::Update));
        assert_eq!(last.take(shape((2, 2), OPAQUE), Some(account)), Some(Way::Whole));
    }

    #[test]
    fn a_picture_of_another_format_does_not_go_where_the_first_one_is() {
        let account = Some(account(1));
        let mut held = Held::default();
        let (opaque, clear) = (shape((8, 8), OPAQUE), shape((8, 8), CLEAR));
        let mut ways = |shapes: &[Shape]| -> Vec<_> {
            shapes.iter().map(|shape| held.take(*shape, account.clone())).collect()
        };
        assert_eq!(ways(&[opaque, opaque]), [Some(Way::Whole), Some(Way::Update)]);
        assert_eq!(ways(&[clear, clear]), [Some(Way::Once), Some(Way::Once)]);
        assert_eq!(ways(&[opaque, opaque]), [Some(Way::Whole), Some(Way::Update)]);
        let larger = shape((9, 8), CLEAR);
        assert_eq!(ways(&[larger, larger]), [Some(Way::Whole), Some(Way::Update)]);
    }
}
