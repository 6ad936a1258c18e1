//! A small picture of the pointer alone, for what shows it above everything else.

use std::fmt;

use smithay::backend::renderer::Bind as _;
use smithay::backend::renderer::damage::OutputDamageTracker;
use smithay::backend::renderer::element::Element as _;
use smithay::backend::renderer::pixman::PixmanRenderer;
use smithay::reexports::pixman::Image;
use smithay::utils::{Physical, Point, Rectangle, Size, Transform};

use super::BackendError;
use super::memory::{Pixels, create_target, pixels_of};
use crate::render::scene;
use crate::state::Comp;

/// The picture, which is clear around the pointer. It is made of the elements that would otherwise be drawn into a frame.
pub(super) struct PointerPicture {
    renderer: PixmanRenderer,
    target: Image<'static, 'static>,
    tracker: OutputDamageTracker,
    size: Size<i32, Physical>,
    /// The target holds the pointer as it was drawn last.
    drawn: bool,
}

impl fmt::Debug for PointerPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PointerPicture").field("size", &self.size).finish_non_exhaustive()
    }
}

/// What drawing the pointer took.
#[derive(Debug)]
pub(super) struct PointerDrawn {
    /// What of the picture is new.
    pub damage: Vec<Rectangle<i32, Physical>>,
    /// Which of its pixels points.
    pub tip: Point<i32, Physical>,
}

impl PointerPicture {
    /// A clear picture.
    ///
    /// # Errors
    ///
    /// If there is no memory for it.
    pub(super) fn new(size: Size<i32, Physical>) -> Result<Self, BackendError> {
        let mut renderer = PixmanRenderer::new()?;
        let target = create_target(&mut renderer, size)?;
        let tracker = OutputDamageTracker::new(size, 1.0, Transform::Normal);
        Ok(Self { renderer, target, tracker, size, drawn: false })
    }

    /// Draws the pointer as it is now. `None` if it is too large for the picture.
    ///
    /// # Errors
    ///
    /// If the renderer fails.
    pub(super) fn draw(&mut self, comp: &mut Comp) -> Result<Option<PointerDrawn>, BackendError> {
        let elements = scene::pointer_at(comp, &mut self.renderer, Point::default());
        // The elements are in physical pixels, whatever the scale.
        let rects = elements.iter().map(|element| element.geometry(1.0.into()));
        let extent = rects.reduce(Rectangle::merge).unwrap_or_default();
        if extent.size.w > self.size.w || extent.size.h > self.size.h {
            return Ok(None);
        }
        let tip = Point::default() - extent.loc;
        let elements = scene::pointer_at(comp, &mut self.renderer, tip);
        let age = usize::from(std::mem::take(&mut self.drawn));
        let mut framebuffer = self.renderer.bind(&mut self.target)?;
        let result =
            self.tracker.render_output(&mut self.renderer, &mut framebuffer, age, &elements, [0.0; 4])?;
        self.drawn = true;
        Ok(Some(PointerDrawn { damage: result.damage.cloned().unwrap_or_default(), tip }))
    }

    /// The picture as it lies in memory.
    pub(super) fn pixels(&self) -> Pixels<'_> {
        pixels_of(&self.target)
    }
}
