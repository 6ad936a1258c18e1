//! The picture in memory that every backend draws into. Headless there is nothing else: for tests, for machines without a
//! screen, and for pictures.

use std::fmt;

use smithay::backend::allocator::Fourcc;
use smithay::backend::renderer::damage::OutputDamageTracker;
use smithay::backend::renderer::pixman::{PixmanRenderer, PixmanTarget};
use smithay::backend::renderer::{Bind, ExportMem, Frame as _, Offscreen, Renderer as _};
use smithay::reexports::pixman::Image;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Physical, Rectangle, Size, Transform};

use super::{BackendError, Picture, Repainted};
use crate::render::contents::{Changed, Still};
use crate::render::label::TITLES_PER_FRAME;
use crate::render::scene;
use crate::state::Comp;

/// A picture with its renderer.
pub struct Memory {
    renderer: PixmanRenderer,
    target: Image<'static, 'static>,
    tracker: OutputDamageTracker,
    size: Size<i32, Physical>,
    scale: f64,
    /// The target holds the last frame; otherwise the next one is drawn whole.
    drawn: bool,
    /// Where everything was in the last frame that was composed.
    still: Option<Still>,
    repainted: Repainted,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("size", &self.size).field("scale", &self.scale).finish_non_exhaustive()
    }
}

/// The pixels of a picture as they lie in memory: four bytes each, blue first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixels<'a> {
    /// Row by row from the top.
    pub bytes: &'a [u8],
    /// From the beginning of one row to that of the next.
    pub stride: usize,
}

impl Memory {
    /// A black picture of this size.
    ///
    /// # Errors
    ///
    /// If there is no memory for it.
    pub fn new(size: Size<i32, Physical>, scale: f64) -> Result<Self, BackendError> {
        let mut renderer = PixmanRenderer::new()?;
        let target = create_target(&mut renderer, size)?;
        let tracker = OutputDamageTracker::new(size, scale, Transform::Normal);
        Ok(Self {
            renderer,
            target,
            tracker,
            size,
            scale,
            drawn: false,
            still: None,
            repainted: Repainted::default(),
        })
    }

    pub(super) fn renderer(&mut self) -> &mut PixmanRenderer {
        &mut self.renderer
    }

    pub(super) fn size(&self) -> Size<i32, Physical> {
        self.size
    }

    pub(super) fn scale(&self) -> f64 {
        self.scale
    }

    /// Becomes a black picture of another size. What the renderer has of clients' pictures stays.
    pub(super) fn resize(&mut self, size: Size<i32, Physical>) -> Result<(), BackendError> {
        self.target = create_target(&mut self.renderer, size)?;
        self.tracker = OutputDamageTracker::new(size, self.scale, Transform::Normal);
        self.size = size;
        self.drawn = false;
        Ok(())
    }

    pub(super) fn repainted(&self) -> &Repainted {
        &self.repainted
    }

    pub(super) fn forget_damage(&mut self) {
        self.drawn = false;
    }

    /// Draws what changed, and says where; nothing if nothing did.
    pub(super) fn draw(&mut self, comp: &mut Comp) -> Result<Vec<Rectangle<i32, Physical>>, BackendError> {
        let drawn = std::mem::take(&mut self.drawn);
        let still = self.still.take().filter(|_| drawn);
        let changed = comp.schedule.changed.take();
        let repainted = match (still, changed) {
            (Some(still), Changed::Contents(windows)) => self.draw_contents(comp, still, &windows)?,
            _ => None,
        };
        self.repainted = match repainted {
            Some(repainted) => repainted,
            None => self.draw_scene(comp, usize::from(drawn))?,
        };
        self.drawn = true;
        Ok(self.repainted.rectangles.clone())
    }

    /// Draws what of the scene has changed; with an age of 0 all of it.
    fn draw_scene(&mut self, comp: &mut Comp, age: usize) -> Result<Repainted, BackendError> {
        let elements = scene::compose(comp, &mut self.renderer, TITLES_PER_FRAME);
        let mut framebuffer = self.renderer.bind(&mut self.target)?;
        let result = self.tracker.render_output(
            &mut self.renderer,
            &mut framebuffer,
            age,
            &elements,
            scene::BACKGROUND,
        )?;
        self.still = Still::of(comp, &elements, self.scale);
        Ok(Repainted { rectangles: result.damage.cloned().unwrap_or_default(), elements: elements.len() })
    }

    /// Draws what windows show, if no more has changed.
    fn draw_contents(
        &mut self,
        comp: &Comp,
        mut still: Still,
        windows: &[WlSurface],
    ) -> Result<Option<Repainted>, BackendError> {
        let Some(panes) = still.panes(comp, &mut self.renderer, windows) else { return Ok(None) };
        let mut repainted = Repainted::default();
        let mut framebuffer = self.renderer.bind(&mut self.target)?;
        let mut frame = self.renderer.render(&mut framebuffer, self.size, Transform::Normal)?;
        for pane in &panes {
            pane.draw(&mut frame, still.scale())?;
            still.note(pane);
            repainted.rectangles.extend_from_slice(pane.damage());
            repainted.elements += pane.elements();
        }
        // The renderer draws at once: there is nothing to wait for.
        let _ = frame.finish()?;
        self.still = Some(still);
        Ok(Some(repainted))
    }

    pub(super) fn screenshot(&mut self, comp: &mut Comp) -> Result<Picture, BackendError> {
        // Whole, because there is no next frame that could bring what is missing.
        let elements = scene::compose(comp, &mut self.renderer, u32::MAX);
        let mut target = create_target(&mut self.renderer, self.size)?;
        let mut tracker = OutputDamageTracker::new(self.size, self.scale, Transform::Normal);
        let mut framebuffer = self.renderer.bind(&mut target)?;
        tracker.render_output(&mut self.renderer, &mut framebuffer, 0, &elements, scene::BACKGROUND)?;
        read(&mut self.renderer, &framebuffer, self.size)
    }

    pub(super) fn last_frame(&mut self) -> Result<Picture, BackendError> {
        let framebuffer = self.renderer.bind(&mut self.target)?;
        read(&mut self.renderer, &framebuffer, self.size)
    }

    /// The last frame as it lies in memory.
    pub(super) fn pixels(&self) -> Pixels<'_> {
        let stride = self.target.stride();
        let len = stride * self.target.height();
        // SAFETY: asking for the pointer changes nothing; `from_raw_parts` below says what it is used for.
        let data = unsafe { self.target.data() };
        // SAFETY: the image was made by `create_target` with memory of its own, `height` rows of `stride` bytes, which were
        // cleared then. It is freed with the image, and only the renderer writes to it, through `&mut self`.
        let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) };
        Pixels { bytes, stride }
    }
}

fn create_target(
    renderer: &mut PixmanRenderer,
    size: Size<i32, Physical>,
) -> Result<Image<'static, 'static>, BackendError> {
    Ok(renderer.create_buffer(Fourcc::Argb8888, (size.w, size.h).into())?)
}

fn read(
    renderer: &mut PixmanRenderer,
    framebuffer: &PixmanTarget<'_>,
    size: Size<i32, Physical>,
) -> Result<Picture, BackendError> {
    let whole = Rectangle::from_size((size.w, size.h).into());
    let mapping = renderer.copy_framebuffer(framebuffer, whole, Fourcc::Abgr8888)?;
    Ok(pack(renderer.map_texture(&mapping)?, size))
}

/// Copies rows without the gaps that the renderer may leave between them.
fn pack(bytes: &[u8], size: Size<i32, Physical>) -> Picture {
    let width = usize::try_from(size.w).unwrap_or(0);
    let height = usize::try_from(size.h).unwrap_or(0);
    let stride = bytes.len().checked_div(height).unwrap_or(0).max(1);
    let rgba =
        bytes.chunks_exact(stride).take(height).flat_map(|row| row.iter().take(width * 4)).copied().collect();
    Picture { width: u32::try_from(width).unwrap_or(0), height: u32::try_from(height).unwrap_or(0), rgba }
}
