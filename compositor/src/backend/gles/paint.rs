//! What of a scene has changed, and drawing just that.

use smithay::backend::renderer::damage::OutputDamageTracker;
use smithay::backend::renderer::element::{Element as _, RenderElement as _};
use smithay::backend::renderer::{Frame as _, ImportAll, ImportMem, Renderer, Texture};
use smithay::output::OutputNoMode;
use smithay::utils::{Physical, Rectangle, Scale, Size, Transform};

use super::{GlesError, SceneGles};
use crate::backend::memory::PointerPlace;
use crate::render::elements::OnOutput;
use crate::render::label::TITLES_PER_FRAME;
use crate::render::scene;
use crate::shell::outputs::OutputId;
use crate::state::Comp;

/// Follows what the scene of one output shows from frame to frame.
#[derive(Debug)]
pub(in crate::backend) struct Changes {
    tracker: OutputDamageTracker,
    size: Size<i32, Physical>,
    scale: f64,
    /// What the last frame showed is known.
    known: bool,
}

/// What a frame is to show.
#[derive(Debug)]
pub(in crate::backend) struct Composed {
    /// The scene, front to back.
    pub elements: Vec<OnOutput<SceneGles>>,
    /// Physical pixels per logical pixel.
    pub scale: f64,
    /// What of it the last frame did not show.
    pub damage: Vec<Rectangle<i32, Physical>>,
}

impl Changes {
    /// Of an output of this size, as it is seen, of which nothing was shown yet.
    pub(in crate::backend) fn new(size: Size<i32, Physical>, scale: f64) -> Self {
        let tracker = OutputDamageTracker::new(size, scale, Transform::Normal);
        Self { tracker, size, scale, known: false }
    }

    /// The output has this size and scale. Returns whether it had already.
    pub(in crate::backend) fn follow(&mut self, size: Size<i32, Physical>, scale: f64) -> bool {
        let fits = self.size == size && (self.scale - scale).abs() < f64::EPSILON;
        if !fits {
            *self = Self::new(size, scale);
        }
        fits
    }

    /// The size of the output as it is seen.
    pub(in crate::backend) fn size(&self) -> Size<i32, Physical> {
        self.size
    }

    /// The next frame is new as a whole.
    pub(in crate::backend) fn forget(&mut self) {
        self.known = false;
    }

    /// Composes the scene of the output, with or without the pointer.
    pub(in crate::backend) fn compose(
        &mut self,
        renderer: &mut SceneGles,
        comp: &mut Comp,
        output: OutputId,
        pointer: PointerPlace,
    ) -> Result<Composed, GlesError> {
        // Several buffers take turns, and what one lacks can be anything: the scene is always composed whole.
        let _ = comp.schedule.take_changed(output);
        let elements = match pointer {
            PointerPlace::Picture => scene::compose(comp, renderer, output, TITLES_PER_FRAME),
            PointerPlace::Apart => scene::compose_below_pointer(comp, renderer, output, TITLES_PER_FRAME),
        };
        let age = usize::from(std::mem::replace(&mut self.known, true));
        let changed: Result<_, OutputNoMode> = self.tracker.damage_output(age, &elements);
        let damage = changed?.0.cloned().unwrap_or_default();
        Ok(Composed { elements, scale: self.scale, damage })
    }
}

/// Draws what is in these rectangles of a scene, from the back to the front. What nothing is drawn on is of one colour.
pub(super) fn draw<R>(
    frame: &mut R::Frame<'_, '_>,
    elements: &[OnOutput<R>],
    scale: Scale<f64>,
    damage: Vec<Rectangle<i32, Physical>>,
) -> Result<(), R::Error>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let mut left = disjoint(damage);
    let mut visible = Vec::with_capacity(elements.len());
    for element in elements {
        let geometry = element.geometry(scale);
        let parts: Vec<_> = left.iter().filter_map(|part| part.intersection(geometry)).collect();
        if parts.is_empty() {
            continue;
        }
        let opaque = element.opaque_regions(scale);
        let covers = opaque.iter().map(|part| Rectangle::new(part.loc + geometry.loc, part.size));
        left = Rectangle::subtract_rects_many_in_place(left, covers);
        visible.push((element, geometry, parts, opaque));
    }
    frame.clear(scene::BACKGROUND.into(), &left)?;
    for (element, geometry, mut parts, opaque) in visible.into_iter().rev() {
        for part in &mut parts {
            part.loc -= geometry.loc;
        }
        // Where it said that it is opaque nothing was drawn behind it, so nothing must shine through, whatever is in its pixels.
        element.draw(frame, element.src(), geometry, &parts, &opaque)?;
    }
    Ok(())
}

/// The same pixels in rectangles of which none overlaps another: what shines through is drawn once in each place.
fn disjoint(rectangles: Vec<Rectangle<i32, Physical>>) -> Vec<Rectangle<i32, Physical>> {
    let mut apart: Vec<Rectangle<i32, Physical>> = Vec::with_capacity(rectangles.len());
    for rectangle in rectangles {
        let new = Rectangle::subtract_rects_many_in_place(vec![rectangle], apart.iter().copied());
        apart.extend(new);
    }
    apart
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rectangles_taken_apart_cover_each_pixel_once(
            list in prop::collection::vec((0..12_i32, 0..12_i32, 1..9_i32, 1..9_i32), 0..8)
        ) {
            let list: Vec<Rectangle<i32, Physical>> =
                list.into_iter().map(|(x, y, w, h)| Rectangle::new((x, y).into(), (w, h).into())).collect();
            let apart = disjoint(list.clone());
            for (x, y) in (0..24).flat_map(|y| (0..24).map(move |x| (x, y))) {
                let covered = apart.iter().filter(|part| part.contains((x, y))).count();
                let wanted = list.iter().any(|part| part.contains((x, y)));
                prop_assert_eq!(covered, usize::from(wanted), "{},{}", x, y);
            }
        }
    }
}
