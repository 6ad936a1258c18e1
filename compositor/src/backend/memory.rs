//! The pictures in memory that every backend draws into, one for each output. Headless there is nothing else: for tests, for
//! machines without a screen, and for pictures.
//!
//! A picture is upright: it shows the output as it is seen, however the screen is turned.

use std::collections::BTreeMap;
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
use crate::shell::outputs::{OutputId, Outputs};
use crate::state::Comp;

/// The pictures with their renderer.
pub struct Memory {
    renderer: PixmanRenderer,
    canvases: BTreeMap<OutputId, Canvas>,
    /// What drawing the last frame took.
    repainted: Repainted,
}

/// The picture of one output.
struct Canvas {
    target: Image<'static, 'static>,
    tracker: OutputDamageTracker,
    size: Size<i32, Physical>,
    scale: f64,
    /// The target holds the last frame; otherwise the next one is drawn whole.
    drawn: bool,
    /// Where everything was in the last frame that was composed.
    still: Option<Still>,
    /// Whether the pointer was in it.
    pointer: PointerPlace,
}

/// Where the pointer is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PointerPlace {
    /// In the picture, above everything else.
    #[default]
    Picture,
    /// Elsewhere, above the picture.
    Apart,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<_> =
            self.canvases.iter().map(|(id, canvas)| (id, canvas.size, canvas.scale)).collect();
        f.debug_struct("Memory").field("canvases", &sizes).finish_non_exhaustive()
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
    /// No pictures yet.
    ///
    /// # Errors
    ///
    /// If the renderer cannot be set up.
    pub fn new() -> Result<Self, BackendError> {
        Ok(Self {
            renderer: PixmanRenderer::new()?,
            canvases: BTreeMap::new(),
            repainted: Repainted::default(),
        })
    }

    pub(super) fn renderer(&mut self) -> &mut PixmanRenderer {
        &mut self.renderer
    }

    /// Has a picture of every output in use: a black one where it must be new. What the renderer has of clients' pictures
    /// stays.
    pub(super) fn follow(&mut self, outputs: &Outputs) -> Result<(), BackendError> {
        self.canvases.retain(|id, _| outputs.get(*id).is_some_and(|output| output.in_use));
        for output in outputs.used() {
            self.set(output.id, output.layout.output, output.layout.scale)?;
        }
        Ok(())
    }

    /// The output has this size and scale.
    pub(super) fn set(
        &mut self,
        output: OutputId,
        size: Size<i32, Physical>,
        scale: f64,
    ) -> Result<(), BackendError> {
        let fits = |canvas: &Canvas| canvas.size == size && (canvas.scale - scale).abs() < f64::EPSILON;
        if !self.canvases.get(&output).is_some_and(fits) {
            let target = create_target(&mut self.renderer, size)?;
            let tracker = OutputDamageTracker::new(size, scale, Transform::Normal);
            let pointer = PointerPlace::Picture;
            let canvas = Canvas { target, tracker, size, scale, drawn: false, still: None, pointer };
            self.canvases.insert(output, canvas);
        }
        Ok(())
    }

    pub(super) fn repainted(&self) -> &Repainted {
        &self.repainted
    }

    /// A frame was drawn elsewhere, and took this.
    pub(super) fn note(&mut self, repainted: Repainted) {
        self.repainted = repainted;
    }

    pub(super) fn forget_damage(&mut self) {
        for canvas in self.canvases.values_mut() {
            canvas.drawn = false;
        }
    }

    /// Draws what changed of an output, and says where; nothing if nothing did.
    pub(super) fn draw(
        &mut self,
        comp: &mut Comp,
        output: OutputId,
    ) -> Result<Vec<Rectangle<i32, Physical>>, BackendError> {
        self.draw_with(comp, output, PointerPlace::Picture)
    }

    /// The same with or without the pointer.
    pub(super) fn draw_with(
        &mut self,
        comp: &mut Comp,
        output: OutputId,
        pointer: PointerPlace,
    ) -> Result<Vec<Rectangle<i32, Physical>>, BackendError> {
        let changed = comp.schedule.take_changed(output);
        let Self { renderer, canvases, repainted } = self;
        let Some(canvas) = canvases.get_mut(&output) else { return Ok(Vec::new()) };
        let drawn = std::mem::take(&mut canvas.drawn);
        let same = std::mem::replace(&mut canvas.pointer, pointer) == pointer;
        let still = canvas.still.take().filter(|_| drawn && same);
        let contents = match (still, changed) {
            (Some(still), Changed::Contents(windows)) => {
                canvas.draw_contents(renderer, comp, output, still, &windows)?
            }
            _ => None,
        };
        *repainted = match contents {
            Some(repainted) => repainted,
            None => canvas.draw_scene(renderer, comp, output, usize::from(drawn))?,
        };
        canvas.drawn = true;
        Ok(repainted.rectangles.clone())
    }

    pub(super) fn screenshot(&mut self, comp: &mut Comp, output: OutputId) -> Result<Picture, BackendError> {
        let layout = *comp.shell.layout_on(output);
        // Whole, because there is no next frame that could bring what is missing.
        let elements = scene::compose(comp, &mut self.renderer, output, u32::MAX);
        let mut target = create_target(&mut self.renderer, layout.output)?;
        let mut tracker = OutputDamageTracker::new(layout.output, layout.scale, Transform::Normal);
        let mut framebuffer = self.renderer.bind(&mut target)?;
        tracker.render_output(&mut self.renderer, &mut framebuffer, 0, &elements, scene::BACKGROUND)?;
        read(&mut self.renderer, &framebuffer, layout.output)
    }

    /// What the frames of an output have left.
    pub(super) fn last_frame(&mut self, output: OutputId) -> Result<Option<Picture>, BackendError> {
        let Some(canvas) = self.canvases.get_mut(&output) else { return Ok(None) };
        let framebuffer = self.renderer.bind(&mut canvas.target)?;
        read(&mut self.renderer, &framebuffer, canvas.size).map(Some)
    }

    /// The last frame of an output as it lies in memory.
    pub(super) fn pixels(&self, output: OutputId) -> Option<Pixels<'_>> {
        Some(pixels_of(&self.canvases.get(&output)?.target))
    }
}

impl Canvas {
    /// Draws what of the scene has changed; with an age of 0 all of it.
    fn draw_scene(
        &mut self,
        renderer: &mut PixmanRenderer,
        comp: &mut Comp,
        output: OutputId,
        age: usize,
    ) -> Result<Repainted, BackendError> {
        let elements = match self.pointer {
            PointerPlace::Picture => scene::compose(comp, renderer, output, TITLES_PER_FRAME),
            PointerPlace::Apart => scene::compose_below_pointer(comp, renderer, output, TITLES_PER_FRAME),
        };
        let mut framebuffer = renderer.bind(&mut self.target)?;
        let result =
            self.tracker.render_output(renderer, &mut framebuffer, age, &elements, scene::BACKGROUND)?;
        self.still = Still::of(comp, &elements, self.scale);
        Ok(Repainted { rectangles: result.damage.cloned().unwrap_or_default(), elements: elements.len() })
    }

    /// Draws what windows show, if no more has changed.
    fn draw_contents(
        &mut self,
        renderer: &mut PixmanRenderer,
        comp: &Comp,
        output: OutputId,
        mut still: Still,
        windows: &[WlSurface],
    ) -> Result<Option<Repainted>, BackendError> {
        let Some(panes) = still.panes(comp, renderer, output, windows) else { return Ok(None) };
        let mut repainted = Repainted::default();
        let mut framebuffer = renderer.bind(&mut self.target)?;
        let mut frame = renderer.render(&mut framebuffer, self.size, Transform::Normal)?;
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
}

/// A picture of [`create_target`] as it lies in memory.
pub(super) fn pixels_of<'a>(target: &'a Image<'static, 'static>) -> Pixels<'a> {
    let stride = target.stride();
    let len = stride * target.height();
    // SAFETY: asking for the pointer changes nothing; `from_raw_parts` below says what it is used for.
    let data = unsafe { target.data() };
    // SAFETY: the image was made by `create_target` with memory of its own, `height` rows of `stride` bytes, which were
    // cleared then. It is freed with the image, and only the renderer writes to it, for which it is borrowed mutably.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) };
    Pixels { bytes, stride }
}

/// A picture with nothing in it.
pub(super) fn create_target(
    renderer: &mut PixmanRenderer,
    size: Size<i32, Physical>,
) -> Result<Image<'static, 'static>, BackendError> {
    // Without alpha, which screens have not: most clients' pixels are then copied as they are.
    Ok(renderer.create_buffer(Fourcc::Xrgb8888, (size.w, size.h).into())?)
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
pub(super) fn pack(bytes: &[u8], size: Size<i32, Physical>) -> Picture {
    let width = usize::try_from(size.w).unwrap_or(0);
    let height = usize::try_from(size.h).unwrap_or(0);
    let stride = bytes.len().checked_div(height).unwrap_or(0).max(1);
    let rgba =
        bytes.chunks_exact(stride).take(height).flat_map(|row| row.iter().take(width * 4)).copied().collect();
    Picture { width: u32::try_from(width).unwrap_or(0), height: u32::try_from(height).unwrap_or(0), rgba }
}
