//! Small pictures that are painted in memory: chips, patterns, lines of text.
//!
//! Pixels are premultiplied ARGB in the byte order of `Fourcc::Argb8888`, blended in 8-bit values. Painting
//! outside the canvas is cut off, so no caller has to clip.

use std::fmt;

use smithay::backend::allocator::Fourcc;
use smithay::backend::renderer::element::memory::MemoryRenderBuffer;
use smithay::utils::Transform;

use crate::trust::style::Rgb;

/// The longest side of a canvas, in pixels.
const MAX_SIDE: i32 = 16_384;
/// The most pixels of a canvas: the title bar of the widest output at the largest scale.
const MAX_PIXELS: usize = 1 << 22;

/// Why there is no canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A picture of {width}x{height} pixels is empty or too large")]
pub struct CanvasSizeError {
    width: i32,
    height: i32,
}

/// A transparent picture to paint on.
#[derive(Clone, PartialEq, Eq)]
pub struct Canvas {
    width: i32,
    height: i32,
    pixels: Vec<[u8; 4]>,
}

impl Canvas {
    /// A canvas of the given size in pixels.
    ///
    /// # Errors
    ///
    /// [`CanvasSizeError`] if a side is not positive or the canvas would be too large.
    pub fn new(width: i32, height: i32) -> Result<Self, CanvasSizeError> {
        let error = CanvasSizeError { width, height };
        let side = |length: i32| {
            let length = if length > MAX_SIDE { 0 } else { length };
            usize::try_from(length).ok().filter(|length| *length > 0)
        };
        let (Some(columns), Some(rows)) = (side(width), side(height)) else { return Err(error) };
        let count = columns.checked_mul(rows).filter(|count| *count <= MAX_PIXELS).ok_or(error)?;
        Ok(Self { width, height, pixels: vec![[0; 4]; count] })
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> i32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> i32 {
        self.height
    }

    /// Memory that the pixels take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.pixels.len() * 4
    }

    /// Blends one pixel; `coverage` is 255 for opaque paint.
    pub fn blend(&mut self, x: i32, y: i32, color: Rgb, coverage: u8) {
        if x < 0 || y < 0 || x >= self.width || y >= self.height {
            return;
        }
        let index = usize::try_from(i64::from(y) * i64::from(self.width) + i64::from(x)).ok();
        let Some(pixel) = index.and_then(|index| self.pixels.get_mut(index)) else { return };
        let [r, g, b] = color.0;
        for (old, paint) in pixel.iter_mut().zip([b, g, r, 255]) {
            let sum = u16::from(paint) * u16::from(coverage) + u16::from(*old) * u16::from(255 - coverage);
            *old = u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX);
        }
    }

    /// Paints every pixel by how much of it lies inside a shape, given as the distance of the pixel's centre
    /// to the shape's edge (negative inside).
    pub fn paint(&mut self, color: Rgb, distance: impl Fn(f32, f32) -> f32) {
        for y in 0..self.height {
            for x in 0..self.width {
                let distance = distance(x as f32 + 0.5, y as f32 + 0.5);
                // The cast saturates: 0 outside, 255 inside, the part in between on the edge.
                self.blend(x, y, color, ((0.5 - distance) * 255.0) as u8);
            }
        }
    }

    /// Fills the canvas with a rectangle whose corners are rounded.
    pub fn fill_rounded(&mut self, color: Rgb, radius: f32) {
        let half = (self.width as f32 / 2.0, self.height as f32 / 2.0);
        let radius = radius.min(half.0).min(half.1);
        self.paint(color, |x, y| {
            let beyond = ((x - half.0).abs() - half.0 + radius, (y - half.1).abs() - half.1 + radius);
            let outside = beyond.0.max(0.0).hypot(beyond.1.max(0.0));
            outside + beyond.0.max(beyond.1).min(0.0) - radius
        });
    }

    /// Lays another picture over this one, with its corner at a place.
    pub fn lay(&mut self, over: &Self, x: i32, y: i32) {
        let mut pixels = over.pixels.iter();
        for row in 0..over.height {
            for (column, pixel) in (0..over.width).zip(&mut pixels) {
                let (x, y) = (x.saturating_add(column), y.saturating_add(row));
                if x < 0 || y < 0 || x >= self.width || y >= self.height {
                    continue;
                }
                let index = usize::try_from(i64::from(y) * i64::from(self.width) + i64::from(x)).ok();
                let Some(below) = index.and_then(|index| self.pixels.get_mut(index)) else { continue };
                let [_, _, _, alpha] = *pixel;
                for (old, new) in below.iter_mut().zip(pixel) {
                    // Both are premultiplied.
                    let kept = (u16::from(*old) * u16::from(255 - alpha) + 127) / 255;
                    *old = new.saturating_add(u8::try_from(kept).unwrap_or(u8::MAX));
                }
            }
        }
    }

    /// How many pixels have been painted at all.
    #[must_use]
    pub fn painted(&self) -> usize {
        self.pixels.iter().filter(|[_, _, _, alpha]| *alpha > 0).count()
    }

    /// The picture as renderers take it: one pixel of it is one pixel of the output.
    #[must_use]
    pub fn to_buffer(&self) -> MemoryRenderBuffer {
        let bytes = self.pixels.as_flattened();
        MemoryRenderBuffer::from_slice(
            bytes,
            Fourcc::Argb8888,
            (self.width, self.height),
            1,
            Transform::Normal,
            None,
        )
    }
}

impl fmt::Debug for Canvas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canvas")
            .field("width", &self.width)
            .field("height", &self.height)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(canvas: &Canvas, x: usize, y: usize) -> [u8; 4] {
        canvas.pixels[y * canvas.width as usize + x]
    }

    #[test]
    fn sizes_that_make_no_picture_are_refused() {
        for (width, height) in [(0, 1), (1, 0), (-1, 1), (MAX_SIDE + 1, 1), (MAX_SIDE, MAX_SIDE)] {
            assert_eq!(Canvas::new(width, height), Err(CanvasSizeError { width, height }));
        }
    }

    #[test]
    fn opaque_paint_replaces_and_half_paint_mixes() {
        let mut canvas = Canvas::new(2, 1).unwrap();
        canvas.blend(0, 0, Rgb([10, 20, 30]), 255);
        assert_eq!(pixel(&canvas, 0, 0), [30, 20, 10, 255]);
        canvas.blend(1, 0, Rgb::WHITE, 128);
        assert_eq!(pixel(&canvas, 1, 0), [128; 4]);
        canvas.blend(0, 0, Rgb::WHITE, 0);
        assert_eq!(pixel(&canvas, 0, 0), [30, 20, 10, 255]);
    }

    #[test]
    fn paint_outside_is_cut_off() {
        let mut canvas = Canvas::new(2, 2).unwrap();
        for (x, y) in [(-1, 0), (0, -1), (2, 0), (0, 2), (i32::MAX, i32::MAX), (i32::MIN, 0)] {
            canvas.blend(x, y, Rgb::WHITE, 255);
        }
        assert_eq!(canvas.painted(), 0);
    }

    #[test]
    fn a_picture_laid_over_another_hides_it_as_far_as_it_is_opaque() {
        let mut over = Canvas::new(2, 1).unwrap();
        over.blend(0, 0, Rgb::WHITE, 255);
        over.blend(1, 0, Rgb::WHITE, 128);
        let mut canvas = Canvas::new(3, 1).unwrap();
        for x in 0..3 {
            canvas.blend(x, 0, Rgb::BLACK, 255);
        }
        canvas.lay(&over, 1, 0);
        canvas.lay(&over, -5, 7);
        assert_eq!(canvas.pixels, [[0, 0, 0, 255], [255; 4], [128, 128, 128, 255]]);
    }

    #[test]
    fn a_rounded_rectangle_is_full_in_the_middle_and_empty_in_the_corners() {
        let mut canvas = Canvas::new(40, 20).unwrap();
        canvas.fill_rounded(Rgb::WHITE, 6.0);
        assert_eq!(pixel(&canvas, 20, 10), [255; 4]);
        assert_eq!(pixel(&canvas, 20, 0), [255; 4]);
        assert_eq!(pixel(&canvas, 0, 10), [255; 4]);
        for (x, y) in [(0, 0), (39, 0), (0, 19), (39, 19)] {
            assert_eq!(pixel(&canvas, x, y), [0; 4]);
        }
    }
}
