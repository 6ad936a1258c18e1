//! What is behind the windows: a picture of our own.
//!
//! # Model
//!
//! The picture is `assets/wallpaper/vitrail.svg`, a part of the program, and is drawn for the very pixels of the output, once for
//! each size that the output has; from then on it costs what any picture costs, which is nothing where windows cover it or
//! nothing changes. Below it lies the theme's colour. A wallpaper program of the layer shell that fills the space stands in
//! its place.
//!
//! # Invariants
//!
//! * It is the last of the scene: nothing of it is ever above a window, popup or layer.
//! * While a program's wallpaper fills the space, no memory is held for the picture.

use std::collections::HashMap;

use smithay::backend::allocator::Fourcc;
use smithay::backend::renderer::element::Kind;
use smithay::backend::renderer::element::memory::{MemoryRenderBuffer, MemoryRenderBufferRenderElement};
use smithay::backend::renderer::{ImportAll, ImportMem, Renderer, Texture};
use smithay::utils::{Physical, Point, Rectangle, Size, Transform};

use super::elements::SceneElement;
use super::hint::Hint;
use super::label::PictureElement;
use crate::shell::outputs::{OutputId, Outputs};
use crate::state::Comp;

static PICTURE: &[u8] = include_bytes!("../../../assets/wallpaper/vitrail.svg");

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum BackgroundError {
    /// The file in the program is not usable; not in a program whose tests pass.
    #[error("The built-in wallpaper cannot be read")]
    Read(#[from] resvg::usvg::Error),
    /// There is no memory for it.
    #[error("There is no room for a wallpaper of {}x{} pixels", .0.w, .0.h)]
    Size(Size<i32, Physical>),
}

/// What is drawn behind the windows, and for which output.
#[derive(Debug, Default)]
pub struct Background {
    /// The picture of each output, and the size for which it was drawn.
    pictures: HashMap<OutputId, (Size<i32, Physical>, MemoryRenderBuffer)>,
    /// The picture could not be drawn for this size, which was said once.
    failed: Option<Size<i32, Physical>>,
    /// The main keys.
    pub hint: Hint,
}

impl Background {
    /// The picture for an output, drawn if it is not there.
    fn picture(&mut self, output: OutputId, size: Size<i32, Physical>) -> Option<&MemoryRenderBuffer> {
        if self.failed == Some(size) {
            return None;
        }
        if self.pictures.get(&output).is_none_or(|(drawn, _)| *drawn != size) {
            match draw(size) {
                Ok(picture) => {
                    self.pictures.insert(output, (size, picture));
                }
                Err(error) => {
                    tracing::warn!("the background has no picture: {error}");
                    self.failed = Some(size);
                    return None;
                }
            }
        }
        self.pictures.get(&output).map(|(_, picture)| picture)
    }

    /// Forgets outputs that are not in use.
    pub(super) fn follow(&mut self, outputs: &Outputs) {
        let in_use = |id: OutputId| outputs.get(id).is_some_and(|output| output.in_use);
        self.pictures.retain(|id, _| in_use(*id));
    }
}

/// Draws the picture so large that it covers an output, its middle in the output's middle.
fn draw(size: Size<i32, Physical>) -> Result<MemoryRenderBuffer, BackgroundError> {
    use resvg::tiny_skia::{Pixmap, Transform as Placement};
    let no_room = || BackgroundError::Size(size);
    let side = |length: i32| u32::try_from(length).map_err(|_| no_room());
    let tree = resvg::usvg::Tree::from_data(PICTURE, &resvg::usvg::Options::default())?;
    let mut pixmap = Pixmap::new(side(size.w)?, side(size.h)?).ok_or_else(no_room)?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = (size.w as f32 / width).max(size.h as f32 / height);
    let placement = Placement::from_scale(scale, scale)
        .post_translate((size.w as f32 - width * scale) / 2.0, (size.h as f32 - height * scale) / 2.0);
    resvg::render(&tree, placement, &mut pixmap.as_mut());
    let mut bytes = pixmap.take();
    // The renderer's own order of colours is copied fastest.
    for pixel in bytes.chunks_exact_mut(4) {
        pixel.swap(0, 2);
    }
    let whole = Rectangle::from_size((size.w, size.h).into());
    Ok(MemoryRenderBuffer::from_slice(
        &bytes,
        Fourcc::Argb8888,
        (size.w, size.h),
        1,
        Transform::Normal,
        Some(vec![whole]),
    ))
}

/// The background of an output, and on the one where the user is the hint.
pub(super) fn compose<R>(
    comp: &mut Comp,
    renderer: &mut R,
    output: OutputId,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let config = comp.config.current().clone();
    let layout = *comp.shell.layout_on(output);
    let empty = comp.shell.bottom_up().all(|window| !window.mapped);
    if !empty {
        comp.decor.background.hint.is_known();
    }
    let here = comp.shell.outputs().active().id == output;
    let covered = comp.layers.shown_top_down(false).any(|layer| layer.place.contains_rect(layout.space()));
    let super::scene::Decor { painter, background, .. } = &mut comp.decor;
    if here
        && !covered
        && config.background.hint
        && let Some(buffer) = background.hint.picture(painter.fonts(), &config.keys, layout.scale)
    {
        let area = layout.work_area();
        let size = buffer.size;
        let spare = |room: i32, length: i32| (room - length) / 2;
        if spare(area.size.w, size.w) > 0 && spare(area.size.h, size.h) > 0 {
            let corner = (spare(area.size.w, size.w), spare(area.size.h, size.h));
            show(renderer, &buffer.pixels, area.loc + Point::from(corner), scene);
        }
    }
    if config.background.picture && !covered {
        if let Some(buffer) = background.picture(output, layout.output) {
            show(renderer, buffer, layout.origin, scene);
        }
    } else {
        background.pictures.remove(&output);
    }
}

/// Adds a picture at a place.
fn show<R>(
    renderer: &mut R,
    buffer: &MemoryRenderBuffer,
    place: Point<i32, Physical>,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let element = MemoryRenderBufferRenderElement::from_buffer(
        renderer,
        place.to_f64(),
        buffer,
        None,
        None,
        None,
        Kind::Unspecified,
    );
    match element {
        Ok(element) => scene.push(SceneElement::Picture(PictureElement(element))),
        Err(error) => tracing::debug!("the renderer refused a picture of the background: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pixels of the picture as the compositor would show them: blue, green, red.
    fn pixels(size: (i32, i32)) -> Vec<[u8; 3]> {
        use resvg::tiny_skia::{Pixmap, Transform as Placement};
        let tree = resvg::usvg::Tree::from_data(PICTURE, &resvg::usvg::Options::default()).unwrap();
        let scale = size.0 as f32 / tree.size().width();
        let mut pixmap = Pixmap::new(size.0 as u32, size.1 as u32).unwrap();
        resvg::render(&tree, Placement::from_scale(scale, scale), &mut pixmap.as_mut());
        pixmap.data().chunks_exact(4).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
    }

    /// A VM's colour is what the eye looks for, so there must be nothing like one behind the windows: the picture is dark, and
    /// what colour it has is faint.
    #[test]
    fn the_picture_is_dark_and_has_no_colour_that_could_be_a_label() {
        for [r, g, b] in pixels((640, 400)) {
            let (most, least) = (r.max(g).max(b), r.min(g).min(b));
            assert!(most - least <= 52 && most <= 150, "{r} {g} {b}");
        }
    }

    #[test]
    fn it_is_drawn_for_every_shape_of_output() {
        for size in [(64, 64), (1280, 800), (300, 2000), (2000, 300)] {
            assert!(draw(size.into()).is_ok());
        }
        assert!(draw((0, 0).into()).is_err());
    }
}
