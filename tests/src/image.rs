//! Screenshots, and what is asserted about them. Places are in output pixels, colours are `0xRRGGBB`.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::client::{Canvas, Rect};

/// A picture of an output.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: i32,
    height: i32,
    pixels: Vec<u32>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("width", &self.width)
            .field("height", &self.height)
            .finish_non_exhaustive()
    }
}

/// Where two pictures differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of pixels that differ.
    pub count: usize,
    /// The place of the first, in rows from the top, within the compared rectangle.
    pub first: (i32, i32),
    /// Its colour in the picture.
    pub found: u32,
    /// Its colour as expected.
    pub expected: u32,
}

impl Image {
    /// A picture of these pixels, `0xRRGGBB`, row by row from the top.
    ///
    /// # Panics
    ///
    /// When they are not as many as the size has.
    #[must_use]
    #[track_caller]
    pub fn new((width, height): (i32, i32), pixels: Vec<u32>) -> Self {
        let count = i64::from(width) * i64::from(height);
        assert_eq!(usize::try_from(count).ok(), Some(pixels.len()), "pixels of {width} by {height}");
        Self { width, height, pixels }
    }

    /// Reads a PNG file with 8 bits per channel.
    ///
    /// # Panics
    ///
    /// When it is not one.
    #[must_use]
    #[track_caller]
    pub fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("opening {}: {error}", path.display()));
        let mut reader = png::Decoder::new(BufReader::new(file)).read_info().expect("a PNG file");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a picture that fits into memory")];
        let info = reader.next_frame(&mut bytes).expect("a whole PNG file");
        assert_eq!(info.bit_depth, png::BitDepth::Eight);
        let channels = info.color_type.samples();
        assert!(channels >= 3, "a screenshot has colours");
        let color = |pixel: &[u8]| u32::from_be_bytes([0, pixel[0], pixel[1], pixel[2]]);
        let pixels = bytes[..info.buffer_size()].chunks_exact(channels).map(color).collect();
        let side = |side: u32| i32::try_from(side).expect("a picture of usual size");
        Self { width: side(info.width), height: side(info.height), pixels }
    }

    /// The size in pixels.
    #[must_use]
    pub fn size(&self) -> (i32, i32) {
        (self.width, self.height)
    }

    /// The colour at a place; none outside the picture.
    #[must_use]
    pub fn pixel(&self, x: i32, y: i32) -> Option<u32> {
        let inside = (0..self.width).contains(&x) && (0..self.height).contains(&y);
        let place = usize::try_from(i64::from(y) * i64::from(self.width) + i64::from(x)).ok()?;
        inside.then(|| self.pixels.get(place).copied()).flatten()
    }

    /// Compares a rectangle of the picture with `expected`, whose alpha is not looked at.
    ///
    /// # Panics
    ///
    /// When the sizes differ or the rectangle is not wholly inside the picture.
    #[must_use]
    #[track_caller]
    pub fn difference(&self, rect: Rect, expected: &Canvas) -> Option<Difference> {
        assert_eq!((rect.w, rect.h), (expected.width(), expected.height()), "the sizes differ");
        let mut difference: Option<Difference> = None;
        for (y, row) in (0..).zip(self.rows(rect)) {
            for (x, &found) in (0..).zip(row) {
                let expected = expected.pixel(x, y) & 0x00ff_ffff;
                if found != expected {
                    let first = Difference { count: 0, first: (x, y), found, expected };
                    difference.get_or_insert(first).count += 1;
                }
            }
        }
        difference
    }

    /// The pixels of a rectangle, row by row.
    #[track_caller]
    fn rows(&self, rect: Rect) -> impl Iterator<Item = &[u32]> {
        let inside = rect.x >= 0 && rect.y >= 0 && rect.w >= 0 && rect.h >= 0;
        assert!(
            inside && rect.x + rect.w <= self.width && rect.y + rect.h <= self.height,
            "{rect:?} is outside"
        );
        let index = |value: i32| usize::try_from(value).expect("a place inside the picture");
        let (left, right, width) = (index(rect.x), index(rect.x + rect.w), index(self.width));
        let rows = index(rect.y)..index(rect.y + rect.h);
        rows.map(move |row| &self.pixels[row * width + left..row * width + right])
    }

    /// The rectangle as a picture of its own.
    ///
    /// # Panics
    ///
    /// When it is not wholly inside the picture.
    #[must_use]
    #[track_caller]
    pub fn part(&self, rect: Rect) -> Vec<u32> {
        self.rows(rect).flatten().copied().collect()
    }

    /// How many pixels of a rectangle have a colour; what is outside the picture does not.
    #[must_use]
    pub fn count(&self, rect: Rect, color: u32) -> usize {
        let places = (rect.y..rect.y + rect.h).flat_map(|y| (rect.x..rect.x + rect.w).map(move |x| (x, y)));
        places.filter(|&(x, y)| self.pixel(x, y) == Some(color)).count()
    }
}
