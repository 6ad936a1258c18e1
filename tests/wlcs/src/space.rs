//! Where WLCS's coordinates are on the output.
//!
//! WLCS knows no compositor that keeps a part of the output for itself. It puts windows into the upper left corner and expects
//! layers to fill everything. On an output of vitrail there is the stripe, which no client can have, and the frame of a
//! window, which is above and beside its content. So to WLCS
//!
//! * the output is what is below the stripe: the height that its clients are told is less ([`crate::manners`]);
//! * its origin is the corner of that, in a test that uses the layer shell and leaves it to the compositor where layers stand;
//! * in all others its origin is where the content of the window is that stands furthest up and left.
//!
//! Coordinates of windows, pointer and fingers are moved by this, and nothing else is done to them. What WLCS cannot find out in
//! this way is what vitrail does with the stripe; that has tests of its own.

use std::sync::atomic::{AtomicBool, Ordering};

use smithay::utils::{Physical, Point};
use vitrail::shell::Layout;

/// The output's size. WLCS's windows are up to 500 pixels wide and high, at 500, 500.
pub const OUTPUT: (i32, i32) = (1280, 1100);

/// WLCS's coordinates.
#[derive(Debug)]
pub struct Space {
    /// The corner of what is below the stripe.
    corner: Point<i32, Physical>,
    /// From the corner of a window's frame to that of its content.
    margin: Point<i32, Physical>,
    layers: AtomicBool,
    placed: AtomicBool,
}

impl Space {
    /// Those of an output.
    #[must_use]
    pub fn of(layout: &Layout) -> Self {
        let (margin, _) = layout.margins();
        Self {
            corner: layout.space().loc,
            margin,
            layers: AtomicBool::default(),
            placed: AtomicBool::default(),
        }
    }

    /// The height of the stripe.
    #[must_use]
    pub fn stripe(&self) -> u32 {
        u32::try_from(self.corner.y).unwrap_or_default()
    }

    /// From now on it is that of a test which uses the layer shell.
    pub fn is_of_layers(&self) {
        self.layers.store(true, Ordering::Relaxed);
    }

    /// From now on it is that of a test which puts layers to places, as it does windows.
    pub fn is_of_placed_layers(&self) {
        self.placed.store(true, Ordering::Relaxed);
    }

    fn origin(&self) -> Point<i32, Physical> {
        let fixed = self.layers.load(Ordering::Relaxed) && !self.placed.load(Ordering::Relaxed);
        if fixed { self.corner } else { self.corner + self.margin }
    }

    /// A place, from the corner of what is below the stripe.
    #[must_use]
    pub fn from_stripe(&self, x: i32, y: i32) -> Point<i32, Physical> {
        Point::from((x, y)) + self.origin() - self.corner
    }

    /// A place on the output, in physical pixels.
    #[must_use]
    pub fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let origin = self.origin();
        (x + f64::from(origin.x), y + f64::from(origin.y))
    }

    /// The corner of the frame of a window whose content is at a place, in physical pixels of the output.
    #[must_use]
    pub fn frame_corner(&self, x: i32, y: i32) -> Point<i32, Physical> {
        Point::from((x, y)) + self.origin() - self.margin
    }
}
