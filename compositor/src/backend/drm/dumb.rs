//! Dumb buffers: memory of the graphics card that the processor writes and the screen reads. Every card has them, and nothing
//! else is needed. They are written only, never read or blended in, because such memory is slow to read.
//!
//! # Invariants
//!
//! * Each buffer has a list of what changed since it was last written ([`Stale`]); when its turn comes exactly that is copied.

use std::fmt;

use smithay::backend::allocator::dumb::{DumbAllocator, DumbBuffer};
use smithay::backend::allocator::{Allocator, Buffer as _, Fourcc, Modifier};
use smithay::backend::drm::dumb::{DumbFramebuffer, framebuffer_from_dumb_buffer};
use smithay::backend::drm::{DrmDevice, PlaneConfig, PlaneState};
use smithay::reexports::drm::control::dumbbuffer::DumbMapping;
use smithay::reexports::drm::control::{Device as _, framebuffer, plane};
use smithay::utils::{Physical, Rectangle, Size, Transform};

use super::DrmError;
use crate::backend::memory::Pixels;
use crate::backend::stale::Stale;

/// Bytes of a pixel.
const PIXEL: usize = 4;

/// A buffer that the screen can show.
pub(super) struct ScanOut {
    // Before the buffer that it is of.
    framebuffer: DumbFramebuffer,
    buffer: DumbBuffer,
    mapping: DumbMapping<'static>,
    stride: usize,
    stale: Stale,
}

impl fmt::Debug for ScanOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanOut")
            .field("buffer", &self.buffer)
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}

impl ScanOut {
    pub(super) fn pair(device: &DrmDevice, size: Size<i32, Physical>) -> Result<[Self; 2], DrmError> {
        let new = || Self::new(device, size, Fourcc::Xrgb8888);
        Ok([new()?, new()?])
    }

    pub(super) fn new(
        device: &DrmDevice,
        size: Size<i32, Physical>,
        format: Fourcc,
    ) -> Result<Self, DrmError> {
        use smithay::reexports::drm::buffer::Buffer as _;
        let fd = device.device_fd();
        let (w, h) = (size.w.unsigned_abs(), size.h.unsigned_abs());
        let buffer = DumbAllocator::new(fd.clone())
            .create_buffer(w, h, format, &[Modifier::Linear])
            .map_err(DrmError::Allocate)?;
        let framebuffer = framebuffer_from_dumb_buffer(fd, &buffer, false)
            .map_err(|error| DrmError::Framebuffer(error.into()))?;
        // A mapping borrows the name of its buffer. It lasts as long as the buffer, so the name must stay where it is: a few
        // words for each new mode that are never given back.
        let name = Box::leak(Box::new(*buffer.handle()));
        let stride = usize::try_from(name.pitch()).unwrap_or(0);
        let mapping = fd.map_dumb_buffer(name).map_err(DrmError::Map)?;
        debug_assert_eq!(buffer.size().w, size.w, "the buffer is as wide as asked for");
        Ok(Self { framebuffer, buffer, mapping, stride, stale: Stale::default() })
    }

    /// This changed in the picture.
    pub(super) fn note(&mut self, damage: &[Rectangle<i32, Physical>]) {
        self.stale.add(damage);
    }

    /// Nothing that is in it is right any more.
    pub(super) fn forget(&mut self) {
        self.stale.everything();
    }

    /// What the screen calls it.
    pub(super) fn framebuffer(&self) -> framebuffer::Handle {
        *self.framebuffer.as_ref()
    }

    /// Shows all of it at a place of the screen.
    pub(super) fn plane(&self, handle: plane::Handle, dst: Rectangle<i32, Physical>) -> PlaneState<'static> {
        let config = PlaneConfig {
            src: Rectangle::from_size((f64::from(dst.size.w), f64::from(dst.size.h)).into()),
            dst,
            transform: Transform::Normal,
            alpha: 1.0,
            damage_clips: None,
            fb: self.framebuffer(),
            fence: None,
        };
        PlaneState { handle, config: Some(config) }
    }

    /// Copies what is stale into a buffer of this size. The picture is turned.
    pub(super) fn write(&mut self, from: Pixels<'_>, transform: Transform, size: Size<i32, Physical>) {
        // As it is seen.
        let upright = transform.invert().transform_size(size);
        for rectangle in self.stale.take(upright) {
            let mut rows = Rows { bytes: &mut self.mapping, stride: self.stride };
            if transform == Transform::Normal {
                copy(from, &mut rows, rectangle);
            } else {
                copy_turned(from, &mut rows, rectangle, transform, upright);
            }
        }
    }
}

/// Where rows are written.
struct Rows<'a> {
    bytes: &'a mut [u8],
    stride: usize,
}

/// Copies a rectangle, as far as it is inside both.
fn copy(from: Pixels<'_>, to: &mut Rows<'_>, rectangle: Rectangle<i32, Physical>) {
    let place = |value: i32| usize::try_from(value).unwrap_or(0);
    let (x, y) = (place(rectangle.loc.x) * PIXEL, place(rectangle.loc.y));
    let (width, height) = (place(rectangle.size.w) * PIXEL, place(rectangle.size.h));
    if from.stride == 0 || to.stride == 0 {
        return;
    }
    let rows = from.bytes.chunks(from.stride).zip(to.bytes.chunks_mut(to.stride));
    for (from, to) in rows.skip(y).take(height) {
        if let (Some(from), Some(to)) = (from.get(x..x + width), to.get_mut(x..x + width)) {
            to.copy_from_slice(from);
        }
    }
}

/// Copies a rectangle of an upright picture of a size to where it is in the turned one, pixel by pixel.
fn copy_turned(
    from: Pixels<'_>,
    to: &mut Rows<'_>,
    rectangle: Rectangle<i32, Physical>,
    transform: Transform,
    upright: Size<i32, Physical>,
) {
    let place = |at: smithay::utils::Point<i32, Physical>, stride: usize| {
        let (x, y) = (usize::try_from(at.x).ok()?, usize::try_from(at.y).ok()?);
        let start = y.checked_mul(stride)?.checked_add(x.checked_mul(PIXEL)?)?;
        Some(start..start.checked_add(PIXEL)?)
    };
    for y in rectangle.loc.y..rectangle.loc.y + rectangle.size.h {
        for x in rectangle.loc.x..rectangle.loc.x + rectangle.size.w {
            let at = smithay::utils::Point::from((x, y));
            // A transform says how the pixels of a buffer are turned to be seen, which is clockwise.
            let turned =
                transform.invert().transform_rect_in(Rectangle::new(at, (1, 1).into()), &upright).loc;
            let (Some(read), Some(write)) = (place(at, from.stride), place(turned, to.stride)) else {
                continue;
            };
            if let (Some(from), Some(to)) = (from.bytes.get(read), to.bytes.get_mut(write)) {
                to.copy_from_slice(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rectangle(x: i32, y: i32, w: i32, h: i32) -> Rectangle<i32, Physical> {
        Rectangle::new((x, y).into(), (w, h).into())
    }

    /// Two buffers of different stride that take turns show every frame whole, though only what changed is copied.
    #[test]
    fn buffers_that_take_turns_show_every_change() {
        let size = Size::from((8, 6));
        let (from_stride, to_stride) = (8 * PIXEL, 10 * PIXEL);
        let mut picture = vec![0_u8; from_stride * 6];
        let mut buffers = [vec![0xff_u8; to_stride * 6], vec![0xff; to_stride * 6]];
        let mut stale = [Stale::default(), Stale::default()];
        let damages =
            [rectangle(0, 0, 8, 6), rectangle(1, 1, 2, 2), rectangle(5, 0, 3, 6), rectangle(7, 5, 1, 1)];
        for (frame, damage) in damages.into_iter().enumerate() {
            let value = u8::try_from(frame + 1).expect("few frames");
            for y in damage.loc.y..damage.loc.y + damage.size.h {
                let row = usize::try_from(y).expect("positive") * from_stride;
                let x = usize::try_from(damage.loc.x).expect("positive") * PIXEL;
                let width = usize::try_from(damage.size.w).expect("positive") * PIXEL;
                picture[row + x..row + x + width].fill(value);
            }
            stale.iter_mut().for_each(|stale| stale.add(&[damage]));
            let (buffer, stale) = (&mut buffers[frame % 2], &mut stale[frame % 2]);
            for rectangle in stale.take(size) {
                let pixels = Pixels { bytes: &picture, stride: from_stride };
                copy(pixels, &mut Rows { bytes: buffer, stride: to_stride }, rectangle);
            }
            for (row, shown) in picture.chunks(from_stride).zip(buffer.chunks(to_stride)) {
                assert_eq!(row, &shown[..from_stride], "frame {frame}");
            }
        }
    }

    /// A screen that stands on its side shows the first row of the picture along one of its sides.
    #[test]
    fn a_turned_picture_is_copied_to_where_the_screen_shows_it_upright() {
        let upright = Size::from((3, 2));
        let picture: Vec<u8> = (0..6_u8).flat_map(|pixel| [pixel; PIXEL]).collect();
        let pixels = Pixels { bytes: &picture, stride: 3 * PIXEL };
        for transform in [Transform::_90, Transform::_180, Transform::_270, Transform::Flipped] {
            let size = transform.transform_size(upright);
            let width = usize::try_from(size.w).expect("positive");
            let mut buffer = vec![0xff_u8; 6 * PIXEL];
            let mut rows = Rows { bytes: &mut buffer, stride: width * PIXEL };
            copy_turned(pixels, &mut rows, rectangle(0, 0, 3, 2), transform, upright);
            let shown: Vec<u8> = buffer.chunks(PIXEL).map(|pixel| pixel[0]).collect();
            let expected = match transform {
                Transform::_90 => [2, 5, 1, 4, 0, 3],
                Transform::_180 => [5, 4, 3, 2, 1, 0],
                Transform::_270 => [3, 0, 4, 1, 5, 2],
                _ => [2, 1, 0, 5, 4, 3],
            };
            assert_eq!(shown, expected, "{transform:?}");
        }
    }

    /// A rectangle that is not inside writes nothing, and does not end the program.
    #[test]
    fn rectangles_outside_are_left_out() {
        let picture = [1_u8; 4 * PIXEL];
        let mut buffer = [0_u8; 4 * PIXEL];
        let pixels = Pixels { bytes: &picture, stride: 2 * PIXEL };
        copy(pixels, &mut Rows { bytes: &mut buffer, stride: 2 * PIXEL }, rectangle(1, 0, 5, 5));
        assert_eq!(buffer, [0; 4 * PIXEL]);
        let mut stale = Stale::default();
        stale.take(Size::from((2, 2)));
        stale.add(&[rectangle(1, 1, 100, 100), rectangle(50, 50, 1, 1)]);
        assert_eq!(stale.take(Size::from((2, 2))), [rectangle(1, 1, 1, 1)]);
    }
}
