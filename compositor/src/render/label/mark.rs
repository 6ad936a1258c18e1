//! The shapes before VMs' names, drawn pixel by pixel so that they are crisp at every scale.

use crate::render::canvas::Canvas;
use crate::render::frame::{sane_scale, scale_up};
use crate::trust::style::{Mark, Rgb};

/// Width and height of a shape, and what is free behind it, in logical pixels.
const SIDE: i32 = 10;
const GAP: i32 = 5;

/// How much room a shape takes before the name.
pub(super) fn width(mark: Mark, scale: f64) -> i32 {
    if mark == Mark::None { 0 } else { scale_up(SIDE, scale).saturating_add(scale_up(GAP, scale)) }
}

/// Paints a shape that begins at a place from the left, in the middle of the canvas's height.
pub(super) fn paint(mark: Mark, canvas: &mut Canvas, left: i32, color: Rgb, scale: f64) {
    let side = scale_up(SIDE, scale).min(canvas.height());
    let (left, top) = (left as f32, ((canvas.height() - side) / 2) as f32);
    let half = side as f32 / 2.0;
    let line = (2.0 * sane_scale(scale)).round().max(1.0) as f32 / 2.0;
    // Distances from the shape's middle.
    let from = |x: f32, y: f32| (x - left - half, y - top - half);
    match mark {
        Mark::None => {}
        Mark::Circle => canvas.paint(color, |x, y| {
            let (x, y) = from(x, y);
            x.hypot(y) - half
        }),
        Mark::Ring => canvas.paint(color, |x, y| {
            let (x, y) = from(x, y);
            (x.hypot(y) - half + line).abs() - line
        }),
        Mark::Square => canvas.paint(color, |x, y| {
            let (x, y) = from(x, y);
            x.abs().max(y.abs()) - half
        }),
        Mark::Triangle => canvas.paint(color, |x, y| {
            let (x, y) = from(x, y);
            // Its sides rise twice as fast as they close in.
            let slope = (2.0 * x.abs() - y - half) / 5.0_f32.sqrt();
            slope.max(y.abs() - half)
        }),
        Mark::Diamond => canvas.paint(color, |x, y| {
            let (x, y) = from(x, y);
            (x.abs() + y.abs() - half) * std::f32::consts::FRAC_1_SQRT_2
        }),
        Mark::Cross => canvas.paint(color, |x, y| {
            let (x, y) = from(x, y);
            let (long, short) = (x.abs().max(y.abs()), x.abs().min(y.abs()));
            (long - half).max(short - half / 3.0)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_drawn_within_its_room_and_each_is_another() {
        for scale in [0.5, 1.0, 1.25, 1.5, 2.0, 3.0] {
            let drawn = Mark::ALL.map(|mark| {
                let height = scale_up(20, scale);
                let mut canvas = Canvas::new(scale_up(40, scale), height).unwrap();
                paint(mark, &mut canvas, 0, Rgb::BLACK, scale);
                let mut room = Canvas::new(width(mark, scale).max(1), height).unwrap();
                paint(mark, &mut room, 0, Rgb::BLACK, scale);
                assert_eq!(room.painted(), canvas.painted(), "{mark:?} at {scale} leaves its room");
                assert_eq!(canvas.painted() > 0, mark != Mark::None, "{mark:?} at {scale}");
                canvas
            });
            for (index, one) in drawn.iter().enumerate() {
                assert!(drawn.iter().skip(index + 1).all(|other| other != one), "{index} at {scale}");
            }
        }
    }
}
