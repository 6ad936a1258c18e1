//! Drawing one picture, and writing it into a client's buffer.
//!
//! The two are separate steps: drawing reads the memory of clients, and may not be going on while some of it is written to.

use smithay::backend::allocator::Fourcc;
use smithay::backend::renderer::pixman::{PixmanError, PixmanRenderer};
use smithay::backend::renderer::utils::draw_render_elements;
use smithay::backend::renderer::{Bind, ExportMem, Frame as _, Offscreen, Renderer};
use smithay::reexports::pixman::Image;
use smithay::reexports::wayland_server::protocol::wl_buffer::WlBuffer;
use smithay::reexports::wayland_server::protocol::wl_shm::Format;
use smithay::utils::{Physical, Point, Rectangle, Size, Transform};
use smithay::wayland::shm::{BufferData, with_buffer_contents, with_buffer_contents_mut};

use crate::render::elements::{BACKING, OnOutput};

/// Bytes of a pixel in the formats that sessions have.
const PIXEL: usize = 4;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(in crate::render) enum PictureError {
    /// It could not be drawn.
    #[error("Error drawing the picture")]
    Draw(#[from] PixmanError),
    /// The buffer's memory is not there, or is not as the buffer says.
    #[error("The buffer cannot be written to")]
    Write,
}

/// A rectangle of a picture with its pixels, row by row without gaps, as `argb8888` has them.
#[derive(Debug)]
pub(in crate::render) struct Part {
    rect: Rectangle<i32, Physical>,
    pixels: Vec<u8>,
}

impl Part {
    /// Its pixels.
    pub(in crate::render) fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The same part of a picture that begins at `corner` of this one.
    pub(super) fn seen_from(mut self, corner: Point<i32, Physical>) -> Self {
        self.rect.loc -= corner;
        self
    }
}

/// Whether a buffer can take a picture of this size.
pub(super) fn fits(buffer: &WlBuffer, size: Size<i32, Physical>) -> bool {
    let suits = |data: BufferData| {
        (data.width, data.height) == (size.w, size.h)
            && data.stride >= size.w.saturating_mul(4)
            && matches!(data.format, Format::Argb8888 | Format::Xrgb8888)
    };
    with_buffer_contents(buffer, |_, _, data| suits(data)).unwrap_or(false)
}

/// Draws elements in a picture of this size and returns the given rectangles of it, which lie in it and do not overlap. What no
/// element covers has the backing's colour, and everything is opaque.
pub(in crate::render) fn draw(
    renderer: &mut PixmanRenderer,
    elements: &[OnOutput<PixmanRenderer>],
    size: Size<i32, Physical>,
    scale: f64,
    region: &[Rectangle<i32, Physical>],
) -> Result<Vec<Part>, PictureError> {
    let mut target: Image<'static, 'static> =
        renderer.create_buffer(Fourcc::Argb8888, (size.w, size.h).into())?;
    let mut framebuffer = renderer.bind(&mut target)?;
    let mut frame = renderer.render(&mut framebuffer, size, Transform::Normal)?;
    frame.clear(BACKING, region)?;
    draw_render_elements::<PixmanRenderer, _, _>(&mut frame, scale, elements, region)?;
    // It is drawn by this very process: there is nothing to wait for.
    let _ = frame.finish()?;
    let mut parts = Vec::with_capacity(region.len());
    for rect in region {
        let place = Rectangle::new((rect.loc.x, rect.loc.y).into(), (rect.size.w, rect.size.h).into());
        let mapping = renderer.copy_framebuffer(&framebuffer, place, Fourcc::Argb8888)?;
        parts.push(Part { rect: *rect, pixels: pack(renderer.map_texture(&mapping)?, rect.size) });
    }
    Ok(parts)
}

/// Rows without the gaps that the renderer may leave between them, and without what a client left in the alpha of pixels that it
/// called opaque.
fn pack(bytes: &[u8], size: Size<i32, Physical>) -> Vec<u8> {
    let side = |length: i32| usize::try_from(length).unwrap_or(0);
    let row = side(size.w).saturating_mul(PIXEL);
    let stride = bytes.len().checked_div(side(size.h)).unwrap_or(0).max(1);
    let rows = bytes.chunks_exact(stride).take(side(size.h)).flat_map(|line| line.iter().take(row));
    let mut pixels: Vec<u8> = rows.copied().collect();
    for alpha in pixels.iter_mut().skip(PIXEL - 1).step_by(PIXEL) {
        *alpha = u8::MAX;
    }
    pixels
}

/// Writes parts of a picture to their places in a buffer. A client whose memory is shorter than it said is ended, with the error
/// that `wl_shm` has for it.
pub(super) fn write(buffer: &WlBuffer, parts: &[Part]) -> Result<(), PictureError> {
    let written = with_buffer_contents_mut(buffer, |start, length, data| {
        parts.iter().try_for_each(|part| write_part(start, length, data, part))
    });
    written.ok().flatten().ok_or(PictureError::Write)
}

/// Writes the rows of a part to a buffer in a pool of `length` bytes at `start`; `None` if one of them is not inside.
fn write_part(start: *mut u8, length: usize, data: BufferData, part: &Part) -> Option<()> {
    let number = |value: i32| usize::try_from(value).ok();
    let (offset, stride) = (number(data.offset)?, number(data.stride)?);
    let (left, top) = (number(part.rect.loc.x)?, number(part.rect.loc.y)?);
    let row = number(part.rect.size.w)?.checked_mul(PIXEL)?;
    let offset = offset.checked_add(left.checked_mul(PIXEL)?)?;
    for (index, line) in part.pixels.chunks_exact(row.max(1)).enumerate() {
        let to = offset.checked_add(top.checked_add(index)?.checked_mul(stride)?)?;
        if to.checked_add(line.len())? > length {
            return None;
        }
        // SAFETY: `to` was compared with the pool's length, which Smithay keeps mapped for writing during the call; where its
        // memory is gone, Smithay's handler puts other memory.
        let target = unsafe { start.add(to) };
        // SAFETY: as above as many bytes are there as `line` has, which is memory of this process and not in the pool.
        unsafe { std::ptr::copy_nonoverlapping(line.as_ptr(), target, line.len()) };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(x: i32, y: i32, w: i32, h: i32) -> Part {
        let pixels = vec![7; usize::try_from(w * h).unwrap() * PIXEL];
        Part { rect: Rectangle::new((x, y).into(), (w, h).into()), pixels }
    }

    #[test]
    fn rows_are_written_to_their_places_and_nowhere_else() {
        let mut memory = [0_u8; 8 + 3 * 20];
        let data = BufferData { offset: 8, width: 4, height: 3, stride: 20, format: Format::Argb8888 };
        let length = memory.len();
        assert_eq!(write_part(memory.as_mut_ptr(), length, data, &part(1, 1, 2, 2)), Some(()));
        for (at, byte) in memory.iter().enumerate() {
            let (row, column) = (at.saturating_sub(8) / 20, at.saturating_sub(8) % 20);
            let inside = at >= 8 && (1..3).contains(&row) && (4..12).contains(&column);
            assert_eq!(*byte, if inside { 7 } else { 0 }, "byte {at}");
        }
    }

    #[test]
    fn rows_outside_the_pool_are_not_written() {
        let mut memory = [0_u8; 64];
        let data =
            |offset, stride| BufferData { offset, width: 4, height: 4, stride, format: Format::Argb8888 };
        for bad in [data(1, 16), data(0, 17), data(i32::MAX, i32::MAX), data(-1, 16), data(0, -16)] {
            assert_eq!(write_part(memory.as_mut_ptr(), 48, bad, &part(3, 3, 1, 1)), None, "{bad:?}");
        }
        assert_eq!(memory, [0; 64]);
    }

    #[test]
    fn packed_rows_have_no_gaps_and_are_opaque() {
        let bytes = [1, 2, 3, 0, 9, 9, 9, 9, 4, 5, 6, 128, 9, 9, 9, 9];
        assert_eq!(pack(&bytes, (1, 2).into()), [1, 2, 3, 255, 4, 5, 6, 255]);
    }
}
