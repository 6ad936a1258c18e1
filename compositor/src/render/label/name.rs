//! The name of a VM in large letters.

use smithay::backend::renderer::{ImportMem, Renderer};
use smithay::utils::{Physical, Point, Rectangle};

use super::{Key, LabelElement, LabelPainter, Subject, TEXT_SIZE};
use crate::render::frame;
use crate::trust::style::LabelStyle;

/// How much larger than in a title bar it is.
const LARGE: f64 = 2.5;

impl LabelPainter {
    /// The chip of a VM in large letters in the middle of a place, and where that is; nothing where it has no room.
    pub fn large_name<R>(
        &mut self,
        renderer: &mut R,
        place: Rectangle<i32, Physical>,
        style: &LabelStyle,
        scale: f64,
    ) -> Option<(Rectangle<i32, Physical>, LabelElement<R>)>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let height = frame::scale_up(TEXT_SIZE * 2, scale * LARGE);
        if height > place.size.h {
            return None;
        }
        // With all the room it wants: a name that is cut could be another VM's.
        let key = Key::new(Subject::chip(style), height, i32::MAX, scale * LARGE);
        let width = self.width(&key).ok().filter(|width| *width <= place.size.w)?;
        let corner = place.loc + Point::from(((place.size.w - width) / 2, (place.size.h - height) / 2));
        let mut elements = Vec::new();
        self.picture(renderer, &key, corner, &mut elements).ok()?;
        Some((Rectangle::new(corner, (width, height).into()), elements.pop()?))
    }
}
