//! The parts of the stripe that say who takes pictures, what the user has done to VMs, and what is in the clipboard between VMs.

use smithay::backend::renderer::{ImportMem, Renderer};
use smithay::utils::{Physical, Point, Rectangle};

use super::{Key, LabelElement, LabelError, LabelPainter, Marks, Subject};
use crate::render::frame;
use crate::trust::style::{LabelStyle, Mark, Rgb};

/// What it is written on: a red that is lighter than most labels, and that no other part of the stripe has.
pub(in crate::render) const CAPTURING: Rgb = Rgb([0xff, 0x5c, 0x5c]);
/// What VMs are written on that the user has hidden, paused or cut off.
pub(in crate::render) const RESTRAINED: Rgb = Rgb([0x8a, 0xb4, 0xf8]);
/// What is said of the clipboard between VMs is written on, where that is no VM's colour.
pub(in crate::render) const SAYING: Rgb = Rgb([0xe8, 0xea, 0xed]);
/// The widest that it may be, as a part of the stripe.
const PART: i32 = 2;

/// What such a part says.
#[derive(Clone, Copy, Debug)]
pub struct Sign<'a> {
    /// In words.
    pub words: &'a str,
    /// On which colour.
    pub color: Rgb,
}

impl LabelPainter {
    /// A sign, such as of who takes pictures, at the right end of what is `free` of the stripe, from its left end on; and how wide that is. Where
    /// there is no room for words there is the colour alone.
    ///
    /// # Errors
    ///
    /// Any [`LabelError`] but that there is no room.
    pub fn indicator<R>(
        &mut self,
        renderer: &mut R,
        marks: &mut Marks,
        stripe: Rectangle<i32, Physical>,
        free: i32,
        sign: Sign<'_>,
        scale: f64,
    ) -> Result<(Vec<LabelElement<R>>, i32), LabelError>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let mut elements = Vec::new();
        let padding = frame::scale_up(6, scale);
        let subject = Subject::Chip {
            text: format!("\u{25cf} {}", sign.words),
            mark: Mark::None,
            text_color: sign.color.readable(),
            background: sign.color,
        };
        let key = Key::new(subject, stripe.size.h, (free / PART).saturating_sub(2 * padding), scale);
        let words = self.width(&key).ok();
        let width = words.unwrap_or_else(|| frame::scale_up(24, scale)).saturating_add(2 * padding).min(free);
        let start = stripe.loc.x.saturating_add(free).saturating_sub(width);
        if words.is_some() {
            self.picture(
                renderer,
                &key,
                (start.saturating_add(padding), stripe.loc.y).into(),
                &mut elements,
            )?;
        }
        let ground = Rectangle::new((start, stripe.loc.y).into(), (width.max(1), stripe.size.h).into());
        elements.push(marks.bar(ground, sign.color));
        Ok((elements, width))
    }

    /// What is dragged, in the colour of the VM it is from. `at` is where a chip of a width goes.
    ///
    /// # Errors
    ///
    /// Any [`LabelError`]; there is then no chip.
    pub fn dragged<R>(
        &mut self,
        renderer: &mut R,
        words: &str,
        style: &LabelStyle,
        (room, height): (i32, i32),
        at: impl FnOnce(i32) -> Point<i32, Physical>,
        scale: f64,
    ) -> Result<Vec<LabelElement<R>>, LabelError>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let (text_color, background) = (style.color.readable(), style.color);
        let subject = Subject::Chip { text: words.to_owned(), mark: style.mark, text_color, background };
        let key = Key::new(subject, height, room, scale);
        let mut elements = Vec::new();
        let width = self.width(&key)?;
        self.picture(renderer, &key, at(width), &mut elements)?;
        Ok(elements)
    }
}
