//! The signs on the buttons of a frame: drawn pixel by pixel, so that they are crisp at every scale.

use super::canvas::Canvas;
use super::frame::{FrameButton, sane_scale};
use crate::trust::style::Rgb;

/// Width and height of a sign, in logical pixels.
const SIZE: f64 = 9.0;

/// A sign on a button.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Glyph {
    /// A line at the foot.
    Minimize,
    /// A square.
    Maximize,
    /// Two squares, one behind the other.
    Restore,
    /// A cross.
    Close,
}

impl Glyph {
    /// The sign of a button.
    #[must_use]
    pub fn of(button: FrameButton, maximized: bool) -> Self {
        match button {
            FrameButton::Minimize => Self::Minimize,
            FrameButton::Maximize if maximized => Self::Restore,
            FrameButton::Maximize => Self::Maximize,
            FrameButton::Close => Self::Close,
        }
    }

    /// Draws the sign into the middle of a canvas. Straight lines are whole pixels.
    pub fn paint(self, canvas: &mut Canvas, color: Rgb, scale: f64) {
        let scale = sane_scale(scale);
        // The casts saturate.
        let side = ((SIZE * scale).round() as i32).max(3).min(canvas.width()).min(canvas.height());
        let line = ((1.25 * scale).round() as i32).max(1);
        let left = (canvas.width() - side) / 2;
        let top = (canvas.height() - side) / 2;
        match self {
            Self::Minimize => fill(canvas, color, (left, top + side - line, side, line)),
            Self::Maximize => outline(canvas, color, (left, top, side, side), line),
            Self::Restore => {
                let step = line * 2;
                let small = side - step;
                outline(canvas, color, (left, top + step, small, small), line);
                // Of the one behind, the parts that are in sight.
                fill(canvas, color, (left + step, top, small, line));
                fill(canvas, color, (left + side - line, top, line, small));
                fill(canvas, color, (left + step, top, line, step));
                fill(canvas, color, (left + small, top + small - line, step, line));
            }
            Self::Close => {
                let (left, top, side) = (left as f32, top as f32, side as f32);
                let half = line as f32 * 0.6;
                canvas.paint(color, |x, y| {
                    let (x, y) = (x - left, y - top);
                    let across = (x - y).abs().min((x + y - side).abs()) * std::f32::consts::FRAC_1_SQRT_2;
                    let outside = (-x).max(x - side).max(-y).max(y - side);
                    (across - half).max(outside)
                });
            }
        }
    }
}

/// Fills a rectangle given by its left and upper edge, width and height.
fn fill(canvas: &mut Canvas, color: Rgb, (left, top, width, height): (i32, i32, i32, i32)) {
    for y in top..top.saturating_add(height) {
        for x in left..left.saturating_add(width) {
            canvas.blend(x, y, color, u8::MAX);
        }
    }
}

/// The edges of a rectangle, inside it.
fn outline(canvas: &mut Canvas, color: Rgb, (left, top, width, height): (i32, i32, i32, i32), line: i32) {
    fill(canvas, color, (left, top, width, line));
    fill(canvas, color, (left, top + height - line, width, line));
    fill(canvas, color, (left, top, line, height));
    fill(canvas, color, (left + width - line, top, line, height));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_is_drawn_at_every_scale_and_each_is_another() {
        for scale in [0.5, 1.0, 1.25, 1.5, 2.0, 3.0] {
            let mut counts = Vec::new();
            for glyph in [Glyph::Minimize, Glyph::Maximize, Glyph::Restore, Glyph::Close] {
                let side = (24.0 * scale) as i32;
                let mut canvas = Canvas::new(side, side).unwrap();
                glyph.paint(&mut canvas, Rgb::WHITE, scale);
                counts.push(canvas.painted());
            }
            assert!(counts.iter().all(|count| *count > 0), "{counts:?} at {scale}");
            assert!(counts[0] < counts[1], "{counts:?} at {scale}");
        }
    }

    #[test]
    fn a_canvas_of_any_size_is_drawn_on() {
        for (width, height) in [(1, 1), (2, 40), (40, 2)] {
            for glyph in [Glyph::Minimize, Glyph::Maximize, Glyph::Restore, Glyph::Close] {
                glyph.paint(&mut Canvas::new(width, height).unwrap(), Rgb::WHITE, 2.0);
            }
        }
    }
}
