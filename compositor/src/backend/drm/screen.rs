//! What one screen shows: two dumb buffers of the graphics card that take turns.
//!
//! A dumb buffer is memory that the processor writes and the screen reads: every graphics card has them, and nothing else
//! is needed. They are written only, never read or blended in, because such memory is slow to read.
//!
//! # Invariants
//!
//! * The buffer that is on the screen, or on its way there, is not written.
//! * The pointer is on a plane of its own ([`Cursor`]) or in the picture, never in both or in neither.
//! * Each buffer has a list of what changed since it was last written ([`Stale`]); when its turn comes exactly that is copied.

use std::{fmt, io};

use smithay::backend::allocator::dumb::{DumbAllocator, DumbBuffer};
use smithay::backend::allocator::{Allocator, Buffer as _, Fourcc, Modifier};
use smithay::backend::drm::dumb::{DumbFramebuffer, framebuffer_from_dumb_buffer};
use smithay::backend::drm::{DrmDevice, DrmSurface, PlaneConfig, PlaneState};
use smithay::reexports::drm::control::dumbbuffer::DumbMapping;
use smithay::reexports::drm::control::{Device as _, connector, crtc, plane};
use smithay::utils::{Physical, Rectangle, Size, Transform};

use super::DrmError;
use super::connector::Choice;
use super::cursor::Cursor;
use crate::backend::memory::Pixels;
use crate::backend::stale::Stale;
use crate::handlers::gamma_control::GammaRamp;
use crate::shell::outputs::OutputId;
use crate::state::Comp;

/// Bytes of a pixel.
const PIXEL: usize = 4;

/// A screen that shows something.
#[derive(Debug)]
pub(super) struct Screen {
    // Before the buffers, so that the screen is off before they go.
    surface: DrmSurface,
    name: String,
    choice: Choice,
    /// How the picture is turned on its way to the screen.
    transform: Transform,
    buffers: [ScanOut; 2],
    /// What shows the pointer, if the graphics card can.
    cursor: Option<Cursor>,
    /// Which buffer is written next.
    back: usize,
    /// A frame is on its way; the graphics card will say when it is shown.
    pending: bool,
    /// The last frame was sent, and nobody else has used the screen since.
    current: bool,
}

impl Screen {
    /// Takes a screen over. It shows nothing new before the first frame.
    pub(super) fn new(
        device: &mut DrmDevice,
        choice: Choice,
        name: String,
        cursor_plane: bool,
    ) -> Result<Self, DrmError> {
        let surface = device
            .create_surface(choice.crtc, choice.mode, &[choice.connector])
            .map_err(DrmError::TakeScreen)?;
        let buffers = ScanOut::pair(device, choice.size())?;
        let transform = Transform::Normal;
        let cursor = if cursor_plane { Cursor::find(device, &surface) } else { None };
        Ok(Self {
            surface,
            name,
            choice,
            transform,
            buffers,
            cursor,
            back: 0,
            pending: false,
            current: false,
        })
    }

    /// Shows another resolution from the next frame on.
    pub(super) fn change_mode(&mut self, device: &DrmDevice, choice: Choice) -> Result<(), DrmError> {
        self.surface.use_mode(choice.mode).map_err(DrmError::ChangeMode)?;
        // Without the old ones the screen is dark until the next frame, as it is while its mode changes anyway.
        self.buffers = ScanOut::pair(device, choice.size())?;
        self.choice = choice;
        self.current = false;
        Ok(())
    }

    /// Turns the picture from the next frame on.
    pub(super) fn turn(&mut self, transform: Transform) {
        if self.transform != transform {
            self.transform = transform;
            self.forget();
        }
    }

    /// The connector's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn connector(&self) -> connector::Handle {
        self.choice.connector
    }

    pub(super) fn crtc(&self) -> crtc::Handle {
        self.choice.crtc
    }

    /// The mode as the graphics card has it.
    pub(super) fn choice(&self) -> &Choice {
        &self.choice
    }

    /// How many values a colour ramp has.
    pub(super) fn gamma_size(&self, device: &DrmDevice) -> Option<u32> {
        device.get_crtc(self.crtc()).ok().map(|crtc| crtc.gamma_length()).filter(|size| *size > 0)
    }

    /// Shows other colours, or those that are sent.
    pub(super) fn set_gamma(&self, device: &DrmDevice, ramp: Option<&GammaRamp>) -> io::Result<()> {
        if let Some(ramp) = ramp {
            let [red, green, blue] = ramp.colors();
            return device.set_gamma(self.crtc(), red, green, blue);
        }
        let size = self.gamma_size(device).unwrap_or_default();
        let last = u64::from(size.saturating_sub(1)).max(1);
        let value =
            |index: u32| u16::try_from(u64::from(index) * u64::from(u16::MAX) / last).unwrap_or(u16::MAX);
        let straight: Vec<u16> = (0..size).map(value).collect();
        device.set_gamma(self.crtc(), &straight, &straight, &straight)
    }

    pub(super) fn is_pending(&self) -> bool {
        self.pending
    }

    /// The frame that was on its way is shown, or lost with the console.
    pub(super) fn end_pending(&mut self) {
        self.pending = false;
    }

    /// Whether the screen shows the last frame, or will.
    pub(super) fn is_current(&self) -> bool {
        self.current && self.cursor.as_ref().is_none_or(Cursor::is_current)
    }

    /// Prepares the pointer's plane for the next frame. False if the pointer is to be in the picture instead.
    pub(super) fn place_pointer(&mut self, comp: &mut Comp, output: OutputId) -> bool {
        let is_upright = self.transform == Transform::Normal;
        self.cursor.as_mut().is_some_and(|cursor| {
            if is_upright {
                cursor.place(comp, &self.surface, output)
            } else {
                cursor.leave("the screen is turned")
            }
        })
    }

    /// From now on the pointer is in the picture, because a frame with its plane was refused.
    pub(super) fn give_up_cursor(&mut self, error: &DrmError) {
        tracing::debug!("the pointer is drawn by the processor: its plane was refused: {error:?}");
        self.cursor = None;
    }

    /// Somebody else has used the screen.
    pub(super) fn forget(&mut self) {
        self.current = false;
        for buffer in &mut self.buffers {
            buffer.stale.everything();
        }
        if let Some(cursor) = &mut self.cursor {
            cursor.forget();
        }
    }

    /// Copies what changed into the buffer whose turn it is, and sends that to the screen, with the pointer as it was placed
    /// last. Where only the pointer has moved, its plane alone is sent.
    pub(super) fn show(
        &mut self,
        pixels: Pixels<'_>,
        damage: &[Rectangle<i32, Physical>],
    ) -> Result<(), DrmError> {
        let modeset = self.surface.commit_pending();
        let mut planes = Vec::with_capacity(2);
        let with_picture = modeset || !self.current || !damage.is_empty();
        if with_picture {
            planes.push(self.draw_back(pixels, damage));
        }
        planes.extend(self.cursor.as_ref().map(Cursor::state));
        let sent =
            if modeset { self.surface.commit(planes, true) } else { self.surface.page_flip(planes, true) };
        self.current = sent.is_ok();
        sent.map_err(DrmError::Show)?;
        if with_picture {
            self.back = 1 - self.back;
        }
        if let Some(cursor) = &mut self.cursor {
            cursor.sent();
        }
        self.pending = true;
        Ok(())
    }

    /// Copies what changed into the buffer whose turn it is.
    fn draw_back(&mut self, pixels: Pixels<'_>, damage: &[Rectangle<i32, Physical>]) -> PlaneState<'static> {
        let size = self.choice.size();
        for buffer in &mut self.buffers {
            buffer.stale.add(damage);
        }
        let [first, second] = &mut self.buffers;
        let buffer = if self.back == 0 { first } else { second };
        buffer.write(pixels, self.transform, size);
        // The kernel takes everything as changed. What it would need is what changed in this buffer; some drivers take it for
        // what changed on the screen.
        buffer.plane(self.surface.plane(), Rectangle::from_size(size))
    }
}

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
    fn pair(device: &DrmDevice, size: Size<i32, Physical>) -> Result<[Self; 2], DrmError> {
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

    /// Shows all of it at a place of the screen.
    pub(super) fn plane(&self, handle: plane::Handle, dst: Rectangle<i32, Physical>) -> PlaneState<'static> {
        let config = PlaneConfig {
            src: Rectangle::from_size((f64::from(dst.size.w), f64::from(dst.size.h)).into()),
            dst,
            transform: Transform::Normal,
            alpha: 1.0,
            damage_clips: None,
            fb: *self.framebuffer.as_ref(),
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
