//! A question of the compositor to the user: a panel with lines of text and two answers.

use smithay::backend::renderer::{ImportMem, Renderer};
use smithay::utils::{Physical, Point, Rectangle};

use super::{Key, LabelElement, LabelError, LabelPainter, Marks, Subject, TEXT_SIZE};
use crate::render::frame;
use crate::render::text::Weight;
use crate::trust::style::Rgb;

/// The panel, its edge, and what is written on it.
const PANEL: Rgb = Rgb([0x26, 0x28, 0x2d]);
const EDGE: Rgb = Rgb([0xff, 0xff, 0xff]);
const INK: Rgb = Rgb([0xf1, 0xf3, 0xf4]);
const FAINT: Rgb = Rgb([0x9a, 0xa0, 0xa6]);
/// An answer, the one that Enter gives, and any while none is taken yet.
const BUTTON: Rgb = Rgb([0x3c, 0x40, 0x43]);
const CHOSEN: Rgb = Rgb([0x8a, 0xb4, 0xf8]);
const RESTING: Rgb = Rgb([0x2f, 0x31, 0x36]);
/// How much larger the first line is.
const HEADING: f64 = 1.25;

/// A question, and where its parts are.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Everything, its edge included.
    pub panel: Rectangle<i32, Physical>,
    /// The lines from the top and where they are; the first is the heading.
    pub lines: Vec<(Rectangle<i32, Physical>, String)>,
    /// The two answers: where they are, what they say, and whether Enter gives them.
    pub answers: [(Rectangle<i32, Physical>, &'a str, bool); 2],
    /// It takes an answer by now.
    pub armed: bool,
    /// Width of the panel's edge.
    pub edge: i32,
}

impl LabelPainter {
    /// A question.
    ///
    /// # Errors
    ///
    /// Any [`LabelError`]; it must then not be answered.
    pub fn question<R>(
        &mut self,
        renderer: &mut R,
        marks: &mut [Marks; 4],
        question: &Question<'_>,
        scale: f64,
    ) -> Result<Vec<LabelElement<R>>, LabelError>
    where
        R: Renderer + ImportMem,
        R::TextureId: Send + Clone + 'static,
    {
        let mut elements = Vec::new();
        for (index, (rect, text)) in question.lines.iter().enumerate() {
            let (scale, color, weight) = match index {
                0 => (scale * HEADING, INK, Weight::Bold),
                1 => (scale, INK, Weight::Regular),
                _ => (scale, FAINT, Weight::Regular),
            };
            let key = Key::new(Subject::text(text, color, weight), rect.size.h, rect.size.w, scale);
            self.picture(renderer, &key, rect.loc, &mut elements)?;
        }
        let [ring, ground, buttons @ ..] = marks;
        for ((rect, text, chosen), marks) in question.answers.iter().zip(buttons) {
            let (color, background) = match (question.armed, chosen) {
                (true, true) => (Rgb::BLACK, CHOSEN),
                (true, false) => (INK, BUTTON),
                (false, _) => (FAINT, RESTING),
            };
            let key = Key::new(Subject::text(text, color, Weight::Bold), rect.size.h, rect.size.w, scale);
            // Where there is no room for the word the place alone says which it is.
            if let Ok(width) = self.width(&key) {
                let inset = rect.size.w.saturating_sub(width).max(0) / 2;
                self.picture(renderer, &key, rect.loc + Point::from((inset, 0)), &mut elements)?;
            }
            elements.push(marks.bar(*rect, background));
        }
        let inner = frame::grown(question.panel, question.edge.saturating_neg());
        elements.extend(Self::ring(ring, question.panel, inner, EDGE));
        elements.push(Self::bar(ground, inner, PANEL));
        Ok(elements)
    }

    /// The height of a line of a question, and of its heading, in physical pixels.
    #[must_use]
    pub fn question_lines(scale: f64) -> (i32, i32) {
        let line = frame::scale_up(TEXT_SIZE.saturating_add(8), scale);
        (line, (f64::from(line) * HEADING).ceil() as i32)
    }
}
