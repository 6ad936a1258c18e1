//! An application that draws random rectangles and says exactly what it drew.
//!
//! It does what toolkits do: several buffers, each brought up to date with what was drawn since it was last
//! used, and damage that covers only what is new. Whoever copies too little, or to the wrong place, shows
//! something else than the window's [`Canvas`].

use std::collections::BTreeMap;

use wayland_client::protocol::wl_output;

use crate::client::{Canvas, Client, ClientError, Rect, Transform, Window};
use crate::random::Random;

/// In which coordinates damage is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// `wl_surface.damage_buffer`.
    Buffer,
    /// `wl_surface.damage`.
    Surface,
    /// A random one of the two for each rectangle.
    Both,
}

/// How what is drawn in a buffer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presentation {
    /// `wl_surface.set_buffer_scale`.
    pub scale: i32,
    /// `wl_surface.set_buffer_transform`.
    pub transform: Transform,
    /// Pixels of the buffer for 120 units of the surface, which a viewport makes the difference of.
    pub fraction: u32,
}

impl Presentation {
    /// A pixel for a unit.
    pub const PLAIN: Self = Self { scale: 1, transform: Transform::NORMAL, fraction: 120 };
}

/// Draws random rectangles in one window.
#[derive(Debug)]
pub struct Painter {
    random: Random,
    damage: Damage,
    presentation: Presentation,
    /// The part of the turned buffer that the viewport shows, in pixels of the turned buffer divided by the buffer's scale.
    crop: Option<Rect>,
    /// By buffer: what was drawn in others since it was last used.
    stale: BTreeMap<usize, Vec<Rect>>,
}

impl Painter {
    /// A painter of the sequence that belongs to `seed`, for a window that is presented so.
    #[must_use]
    pub fn new(seed: u64, damage: Damage, presentation: Presentation) -> Self {
        let (random, crop, stale) = (Random::new(seed), None, BTreeMap::new());
        Self { random, damage, presentation, crop, stale }
    }

    /// What the window shows.
    #[must_use]
    pub fn picture(&self, window: &Window) -> Canvas {
        let scale = self.presentation.scale;
        let picture = window.canvas.transformed(self.presentation.transform);
        let scaled =
            |crop: Rect| Rect { x: crop.x * scale, y: crop.y * scale, w: crop.w * scale, h: crop.h * scale };
        self.crop.map(|crop| picture.part(scaled(crop))).unwrap_or(picture)
    }

    /// Says how the buffers are to be shown, from the next commit on. A window whose scale is a fraction must have a
    /// viewport, and buffers of whole units.
    ///
    /// # Panics
    ///
    /// When the window has no viewport and needs one, or buffers of parts of units.
    pub fn present(&self, window: &Window) {
        let Presentation { scale, transform, fraction } = self.presentation;
        if scale != 1 {
            window.surface.set_buffer_scale(scale);
        }
        if transform != Transform::NORMAL {
            let known = wl_output::Transform::try_from(transform.number()).expect("one of eight");
            window.surface.set_buffer_transform(known);
        }
        if fraction != 120 {
            let fraction = i32::try_from(fraction).expect("a scale");
            let size = self.picture(window);
            let units = [size.width(), size.height()].map(|side| {
                assert_eq!(side * 120 % fraction, 0, "{side} pixels are no whole units");
                side * 120 / fraction
            });
            let viewport = window.viewport.as_ref().expect("a window with a viewport");
            viewport.set_destination(units[0], units[1]);
        }
    }

    /// Shows a random part of `size` of the buffer from the next commit on. The window must have a viewport.
    ///
    /// # Panics
    ///
    /// When it has none, or its scale is a fraction.
    pub fn move_crop(&mut self, window: &Window, size: (i32, i32)) {
        let Presentation { scale, transform, fraction } = self.presentation;
        assert_eq!(fraction, 120, "a part at another size");
        let buffer = (window.canvas.width(), window.canvas.height());
        let whole = transform.of_rect(Rect::of_size(buffer.0, buffer.1), buffer);
        let (right, bottom) = (whole.w / scale - size.0, whole.h / scale - size.1);
        let crop = Rect {
            x: self.random.between(0, right),
            y: self.random.between(0, bottom),
            w: size.0,
            h: size.1,
        };
        let viewport = window.viewport.as_ref().expect("a window with a viewport");
        viewport.set_source(crop.x.into(), crop.y.into(), crop.w.into(), crop.h.into());
        viewport.set_destination(crop.w, crop.h);
        self.crop = Some(crop);
        // All of the surface shows something else now.
        window.surface.damage(0, 0, crop.w, crop.h);
    }

    /// Draws one to four rectangles in a buffer that the server does not hold, and commits it.
    ///
    /// # Errors
    ///
    /// When the connection ends or no buffer is released before the deadline.
    pub fn step(&mut self, client: &mut Client, window: &mut Window) -> Result<(), ClientError> {
        let count = self.random.between(1, 4);
        let drawn: Vec<Rect> = (0..count).map(|_| self.draw(window)).collect();
        let place = client.free_buffer(&window.buffers)?;
        let stale =
            self.stale.insert(place, Vec::new()).unwrap_or_else(|| vec![Rect::of_size(i32::MAX, i32::MAX)]);
        for rect in stale.iter().chain(&drawn) {
            window.buffers[place].draw(&window.canvas, *rect);
        }
        for (_, stale) in self.stale.iter_mut().filter(|(other, _)| **other != place) {
            stale.extend(&drawn);
        }
        for rect in &drawn {
            self.tell(window, *rect);
        }
        client.commit(&window.surface, &window.buffers[place]);
        client.flush()
    }

    /// Draws one rectangle on the canvas, often over an edge, in which no two neighbours are equal.
    fn draw(&mut self, window: &mut Window) -> Rect {
        let (width, height) = (window.canvas.width(), window.canvas.height());
        let x = self.random.between(-8, width - 1);
        let y = self.random.between(-8, height - 1);
        let rect = Rect { x, y, w: self.random.between(1, width / 3), h: self.random.between(1, height / 3) };
        let base = u32::try_from(self.random.between(0, 0x00ff_ffff)).expect("a colour");
        window.canvas.paint(rect, |x, y| {
            let step = y.unsigned_abs().wrapping_mul(0x0001_0703) ^ x.unsigned_abs().wrapping_mul(0x0b05);
            base.wrapping_add(step) & 0x00ff_ffff
        });
        rect
    }

    /// Tells the server of a drawn rectangle; in surface coordinates of the smallest one that covers it.
    fn tell(&mut self, window: &Window, rect: Rect) {
        let in_buffer = match self.damage {
            Damage::Buffer => true,
            Damage::Surface => false,
            Damage::Both => self.random.between(0, 1) == 0,
        };
        if in_buffer {
            window.surface.damage_buffer(rect.x, rect.y, rect.w, rect.h);
            return;
        }
        let Presentation { scale, transform, fraction } = self.presentation;
        let rect = transform.of_rect(rect, (window.canvas.width(), window.canvas.height()));
        let (units, pixels) = (120, scale * i32::try_from(fraction).expect("a scale"));
        let before = |edge: i32| (edge * units).div_euclid(pixels);
        let behind = |edge: i32| -(-edge * units).div_euclid(pixels);
        let origin = self.crop.map_or((0, 0), |crop| (crop.x, crop.y));
        let (left, top) = (before(rect.x), before(rect.y));
        let (right, bottom) = (behind(rect.x + rect.w), behind(rect.y + rect.h));
        window.surface.damage(left - origin.0, top - origin.1, right - left, bottom - top);
    }
}
