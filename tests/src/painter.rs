//! An application that draws random rectangles and says exactly what it drew.
//!
//! It does what toolkits do: several buffers, each brought up to date with what was drawn since it was last
//! used, and damage that covers only what is new. Whoever copies too little, or to the wrong place, shows
//! something else than the window's [`Canvas`](crate::client::Canvas).

use std::collections::BTreeMap;

use crate::client::{Client, ClientError, Rect, Window};
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

/// Draws random rectangles in one window.
#[derive(Debug)]
pub struct Painter {
    random: Random,
    damage: Damage,
    /// The scale of the window's buffers.
    scale: i32,
    /// The part of the buffer that the viewport shows at its own size, in units of the buffer divided by
    /// its scale.
    crop: Option<Rect>,
    /// By buffer: what was drawn in others since it was last used.
    stale: BTreeMap<usize, Vec<Rect>>,
}

impl Painter {
    /// A painter of the sequence that belongs to `seed`, for a window with buffers of `scale`.
    #[must_use]
    pub fn new(seed: u64, damage: Damage, scale: i32) -> Self {
        Self { random: Random::new(seed), damage, scale, crop: None, stale: BTreeMap::new() }
    }

    /// The part of the canvas that the window shows.
    #[must_use]
    pub fn visible(&self, window: &Window) -> Rect {
        let all = Rect::of_size(window.canvas.width(), window.canvas.height());
        let scaled = |crop: Rect| Rect {
            x: crop.x * self.scale,
            y: crop.y * self.scale,
            w: crop.w * self.scale,
            h: crop.h * self.scale,
        };
        self.crop.map_or(all, scaled)
    }

    /// Shows a random part of `size` of the buffer from the next commit on. The window must have a viewport.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn move_crop(&mut self, window: &Window, size: (i32, i32)) {
        let right = window.canvas.width() / self.scale - size.0;
        let bottom = window.canvas.height() / self.scale - size.1;
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
        let left = rect.x.div_euclid(self.scale);
        let top = rect.y.div_euclid(self.scale);
        let right = (rect.x + rect.w + self.scale - 1).div_euclid(self.scale);
        let bottom = (rect.y + rect.h + self.scale - 1).div_euclid(self.scale);
        let origin = self.crop.map_or((0, 0), |crop| (crop.x, crop.y));
        window.surface.damage(left - origin.0, top - origin.1, right - left, bottom - top);
    }
}
