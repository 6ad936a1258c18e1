//! Shared memory, buffers in it, and the picture that a client means to show.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{MemfdFlags, SealFlags};
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_shm::Format;
use wayland_client::protocol::wl_shm_pool::WlShmPool;

use super::Client;

/// A rectangle in whole units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// The left edge.
    pub x: i32,
    /// The upper edge.
    pub y: i32,
    /// The width.
    pub w: i32,
    /// The height.
    pub h: i32,
}

impl Rect {
    /// The rectangle of a size, at the origin.
    #[must_use]
    pub fn of_size(w: i32, h: i32) -> Self {
        Self { x: 0, y: 0, w, h }
    }
}

/// What `wl_surface.set_buffer_transform` says: how a client has turned what it draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Mirrored at the vertical axis, before anything else.
    pub flipped: bool,
    /// By how many quarters of a turn, counter-clockwise; 0 to 3.
    pub quarters: u8,
}

impl Transform {
    /// Not at all.
    pub const NORMAL: Self = Self { flipped: false, quarters: 0 };

    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        [false, true].into_iter().flat_map(|flipped| (0..4).map(move |quarters| Self { flipped, quarters }))
    }

    /// As the protocol numbers it.
    #[must_use]
    pub fn number(self) -> u32 {
        u32::from(self.quarters) + if self.flipped { 4 } else { 0 }
    }

    /// Where pixels of a buffer of this size are shown, in pixels of the surface.
    #[must_use]
    pub fn of_rect(self, rect: Rect, (width, height): (i32, i32)) -> Rect {
        let (mut rect, mut size) = (rect, (width, height));
        // What the client has turned counter-clockwise is turned back clockwise, and then mirrored back.
        for _ in 0..self.quarters {
            rect = Rect { x: size.1 - rect.y - rect.h, y: rect.x, w: rect.h, h: rect.w };
            size = (size.1, size.0);
        }
        if self.flipped {
            rect.x = size.0 - rect.x - rect.w;
        }
        rect
    }
}

/// Memory that is shared with the server: a memfd. It is written with pwrite(2), as nobody maps it here.
#[derive(Debug)]
pub struct Memory {
    fd: OwnedFd,
}

impl Memory {
    /// `len` bytes of zeros.
    ///
    /// # Panics
    ///
    /// When there is not enough memory.
    #[must_use]
    pub fn new(len: u64) -> Self {
        let fd = rustix::fs::memfd_create("vitrail-test", MemfdFlags::CLOEXEC).expect("a memfd");
        let memory = Self { fd };
        memory.truncate(len);
        memory
    }

    /// `len` bytes of zeros that stay as many.
    ///
    /// # Panics
    ///
    /// When there is not enough memory.
    #[must_use]
    pub fn sealed(len: u64) -> Self {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = Self { fd: rustix::fs::memfd_create("vitrail-test", flags).expect("a memfd") };
        memory.truncate(len);
        let seals = SealFlags::SHRINK | SealFlags::GROW;
        rustix::fs::fcntl_add_seals(&memory.fd, seals).expect("seals of a memfd");
        memory
    }

    /// Changes the length, also below what a server was told.
    ///
    /// # Panics
    ///
    /// When the file cannot have that length.
    pub fn truncate(&self, len: u64) {
        rustix::fs::ftruncate(&self.fd, len).expect("the length of a memfd");
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Panics
    ///
    /// When the write fails.
    pub fn write(&self, offset: u64, bytes: &[u8]) {
        let written = rustix::io::pwrite(&self.fd, bytes, offset).expect("a write to a memfd");
        assert_eq!(written, bytes.len());
    }

    /// Reads as many bytes at `offset` as `bytes` has room for.
    ///
    /// # Panics
    ///
    /// When they are not there.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) {
        let read = rustix::io::pread(&self.fd, &mut *bytes, offset).expect("a read from a memfd");
        assert_eq!(read, bytes.len());
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The picture that a client means to show: 32-bit pixels, `0xAARRGGBB`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    width: i32,
    height: i32,
    pixels: Vec<u32>,
}

fn index(value: i32) -> usize {
    usize::try_from(value).expect("a place inside the picture")
}

impl Canvas {
    /// A picture of one colour.
    #[must_use]
    pub fn new(width: i32, height: i32, color: u32) -> Self {
        Self { width, height, pixels: vec![color; index(width) * index(height)] }
    }

    /// The width in pixels.
    #[must_use]
    pub fn width(&self) -> i32 {
        self.width
    }

    /// The height in pixels.
    #[must_use]
    pub fn height(&self) -> i32 {
        self.height
    }

    /// The pixel at a place inside the picture.
    ///
    /// # Panics
    ///
    /// When the place is outside.
    #[must_use]
    pub fn pixel(&self, x: i32, y: i32) -> u32 {
        assert!((0..self.width).contains(&x) && (0..self.height).contains(&y), "({x}, {y}) is outside");
        self.pixels[index(y) * index(self.width) + index(x)]
    }

    /// Fills the part of `rect` that is inside the picture.
    pub fn fill(&mut self, rect: Rect, color: u32) {
        self.paint(rect, |_, _| color);
    }

    /// Gives each pixel of the part of `rect` that is inside the picture the colour of its place.
    pub fn paint(&mut self, rect: Rect, color: impl Fn(i32, i32) -> u32) {
        let left = rect.x.clamp(0, self.width);
        let right = rect.x.saturating_add(rect.w).clamp(left, self.width);
        for y in rect.y.max(0)..rect.y.saturating_add(rect.h).min(self.height) {
            let row = index(y) * index(self.width);
            let pixels = &mut self.pixels[row + index(left)..row + index(right)];
            for (x, pixel) in (left..).zip(pixels) {
                *pixel = color(x, y);
            }
        }
    }

    /// A part of the picture.
    ///
    /// # Panics
    ///
    /// When the part is not wholly inside.
    #[must_use]
    pub fn part(&self, rect: Rect) -> Self {
        let rows = (rect.y..rect.y + rect.h).flat_map(|y| (rect.x..rect.x + rect.w).map(move |x| (x, y)));
        Self { width: rect.w, height: rect.h, pixels: rows.map(|(x, y)| self.pixel(x, y)).collect() }
    }

    /// What a surface shows of a buffer with this picture, after `wl_surface.set_buffer_transform`.
    #[must_use]
    pub fn transformed(&self, transform: Transform) -> Self {
        let whole = transform.of_rect(Rect::of_size(self.width, self.height), (self.width, self.height));
        let mut picture = Self::new(whole.w, whole.h, 0);
        for (x, y) in (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y))) {
            let shown = transform.of_rect(Rect { x, y, w: 1, h: 1 }, (self.width, self.height));
            picture.pixels[index(shown.y) * index(whole.w) + index(shown.x)] = self.pixel(x, y);
        }
        picture
    }

    /// The bytes of a row from `x` on, as `wl_shm` has them.
    fn row(&self, x: i32, y: i32, w: i32) -> Vec<u8> {
        let start = index(y) * index(self.width) + index(x);
        self.pixels[start..start + index(w)].iter().flat_map(|pixel| pixel.to_le_bytes()).collect()
    }
}

/// A `wl_buffer` of a client's own memory.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub(super) number: usize,
    pub(super) buffer: WlBuffer,
    pub(super) memory: Rc<Memory>,
    pub(super) offset: i32,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) stride: i32,
}

impl Buffer {
    /// The protocol object.
    #[must_use]
    pub fn object(&self) -> &WlBuffer {
        &self.buffer
    }

    /// The memory that it lies in.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Copies the part of `canvas` in `rect` to the same place of the buffer.
    ///
    /// # Panics
    ///
    /// When the two differ in size.
    pub fn draw(&self, canvas: &Canvas, rect: Rect) {
        assert_eq!((self.width, self.height), (canvas.width, canvas.height));
        let (left, right) = (rect.x.max(0), rect.x.saturating_add(rect.w).min(self.width));
        if left >= right {
            return;
        }
        for y in rect.y.max(0)..rect.y.saturating_add(rect.h).min(self.height) {
            let offset = i64::from(self.offset) + i64::from(y) * i64::from(self.stride) + i64::from(left) * 4;
            let offset = u64::try_from(offset).expect("inside the memory");
            self.memory.write(offset, &canvas.row(left, y, right - left));
        }
    }
}

impl Client {
    /// `count` buffers of 32-bit pixels without alpha, one after the other in one new pool.
    ///
    /// # Panics
    ///
    /// When the server has no `wl_shm`, or there is not enough memory.
    #[must_use]
    pub fn buffers(&mut self, count: i32, width: i32, height: i32) -> Vec<Buffer> {
        self.buffers_of(Format::Xrgb8888, count, width, height)
    }

    /// [`Self::buffers`] in a format of 32 bits.
    ///
    /// # Panics
    ///
    /// When the server has no `wl_shm`, or there is not enough memory.
    #[must_use]
    pub fn buffers_of(&mut self, format: Format, count: i32, width: i32, height: i32) -> Vec<Buffer> {
        // A stride with some padding, so that an implementation that takes it for the width is found out.
        let stride = (width + 3) * 4;
        let size = stride * height;
        let memory = Rc::new(Memory::new(u64::try_from(size * count).expect("a size")));
        let pool = self.pool(&memory, size * count);
        let handle = self.handle();
        let buffer = |place: i32| {
            let offset = place * size;
            let number = self.state.expect_buffer();
            let buffer = pool.create_buffer(offset, width, height, stride, format, &handle, number);
            Buffer { number, buffer, memory: memory.clone(), offset, width, height, stride }
        };
        let buffers = (0..count).map(buffer).collect();
        pool.destroy();
        buffers
    }

    /// A pool that claims `size` bytes of `memory`, be that true or not.
    ///
    /// # Panics
    ///
    /// When the server has no `wl_shm`.
    #[must_use]
    pub fn pool(&self, memory: &Memory, size: i32) -> WlShmPool {
        let shm = self.state.bound.shm.as_ref().expect("the server has wl_shm");
        shm.create_pool(memory.fd(), size, &self.handle(), ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_turned_back_and_mirrored_back() {
        // 1 2 3
        // 4 5 6
        let mut canvas = Canvas::new(3, 2, 0);
        canvas.paint(Rect::of_size(3, 2), |x, y| u32::try_from(1 + x + 3 * y).unwrap());
        let turned = |flipped, quarters| canvas.transformed(Transform { flipped, quarters }).pixels;
        assert_eq!(turned(false, 0), [1, 2, 3, 4, 5, 6]);
        assert_eq!(turned(false, 1), [4, 1, 5, 2, 6, 3]);
        assert_eq!(turned(false, 2), [6, 5, 4, 3, 2, 1]);
        assert_eq!(turned(false, 3), [3, 6, 2, 5, 1, 4]);
        assert_eq!(turned(true, 0), [3, 2, 1, 6, 5, 4]);
        assert_eq!(turned(true, 1), [1, 4, 2, 5, 3, 6]);
        assert_eq!(turned(true, 2), [4, 5, 6, 1, 2, 3]);
        assert_eq!(turned(true, 3), [6, 3, 5, 2, 4, 1]);
    }

    #[test]
    fn a_fill_stays_inside_the_picture() {
        let mut canvas = Canvas::new(4, 3, 1);
        canvas.fill(Rect { x: -2, y: 1, w: 4, h: i32::MAX }, 2);
        let expected = [1, 1, 1, 1, 2, 2, 1, 1, 2, 2, 1, 1];
        assert_eq!(canvas.pixels, expected);
        assert_eq!(canvas.part(Rect { x: 1, y: 0, w: 2, h: 2 }).pixels, [1, 1, 2, 1]);
    }
}
