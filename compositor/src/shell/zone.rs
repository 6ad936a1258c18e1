//! Where windows snap to: halves and quarters of the work area.
//!
//! # Model
//!
//! A zone has a column and a row, each the near half, the far half or both. Moving a window one step in a direction
//! moves one of the two, so that left and then up is the upper left quarter, and right after left is where the window
//! was before. Beyond the upper half is the whole work area, and below that the window floats again.
//!
//! # Invariants
//!
//! * The two halves and the four quarters of an area tile it: no pixel is in none, none is in two.

use serde::{Deserialize, Serialize};
use smithay::utils::{Physical, Rectangle};

use super::window::Mode;

/// Half of a length, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// The left or upper half.
    Near,
    /// All of it.
    #[default]
    Both,
    /// The right or lower half.
    Far,
}

impl Half {
    /// One step towards the far end, or towards the near one.
    fn step(self, far: bool) -> Self {
        match (self, far) {
            (Self::Near, true) | (Self::Far, false) => Self::Both,
            (_, true) => Self::Far,
            (_, false) => Self::Near,
        }
    }

    /// Where it begins and how long it is, of a length that begins at `start`.
    fn of(self, start: i32, length: i32) -> (i32, i32) {
        let near = length / 2;
        match self {
            Self::Near => (start, near),
            Self::Both => (start, length),
            Self::Far => (start + near, length - near),
        }
    }
}

/// A part of the work area. Never all of it: that is [`Mode::Maximized`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Zone {
    /// Which part of the width.
    pub column: Half,
    /// Which part of the height.
    pub row: Half,
}

impl Zone {
    /// The part of an area.
    #[must_use]
    pub fn of(self, area: Rectangle<i32, Physical>) -> Rectangle<i32, Physical> {
        let (x, w) = self.column.of(area.loc.x, area.size.w);
        let (y, h) = self.row.of(area.loc.y, area.size.h);
        Rectangle::new((x, y).into(), (w, h).into())
    }

    /// The edges of the area that it touches: left, right, top, bottom.
    #[must_use]
    pub fn touches(self) -> [bool; 4] {
        let (column, row) = (self.column, self.row);
        [column != Half::Far, column != Half::Near, row != Half::Far, row != Half::Near]
    }

    /// The mode of a window that is in this zone; of the whole area, that it floats.
    #[must_use]
    pub fn mode(self) -> Mode {
        if self == Self::default() { Mode::Floating } else { Mode::Snapped(self) }
    }
}

/// Which way a window snaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the left.
    Left,
    /// To the right.
    Right,
    /// Upwards.
    Up,
    /// Downwards.
    Down,
}

impl Mode {
    /// The mode after one step in a direction.
    #[must_use]
    pub fn snapped(self, to: Direction) -> Self {
        let upper = Zone { column: Half::Both, row: Half::Near };
        match (self, to) {
            (Self::Maximized | Self::Fullscreen, Direction::Up) => return Self::Maximized,
            (Self::Maximized | Self::Fullscreen, Direction::Down) => return Self::Floating,
            (Self::Snapped(zone), Direction::Up) if zone == upper => return Self::Maximized,
            _ => {}
        }
        let mut zone = if let Self::Snapped(zone) = self { zone } else { Zone::default() };
        match to {
            Direction::Left => zone.column = zone.column.step(false),
            Direction::Right => zone.column = zone.column.step(true),
            Direction::Up => zone.row = zone.row.step(false),
            Direction::Down => zone.row = zone.row.step(true),
        }
        zone.mode()
    }
}

/// The mode that a window gets which is dropped with the pointer at an edge of the work area: a half at a side, a
/// quarter near a corner, the whole area at the top. `reach` is how close to the edge that is.
#[must_use]
pub fn dropped(
    point: smithay::utils::Point<i32, Physical>,
    area: Rectangle<i32, Physical>,
    reach: i32,
) -> Option<Mode> {
    let (x, y) = (point.x - area.loc.x, point.y - area.loc.y);
    let end = |value: i32, length: i32, reach: i32| {
        if value < reach {
            Half::Near
        } else if value >= length - reach {
            Half::Far
        } else {
            Half::Both
        }
    };
    let (column, row) = (end(x, area.size.w, reach), end(y, area.size.h, reach));
    match (column, row) {
        // Along a side, the outer quarters of it mean the corner.
        (Half::Near | Half::Far, _) => {
            Some(Mode::Snapped(Zone { column, row: end(y, area.size.h, area.size.h / 4) }))
        }
        (Half::Both, Half::Near | Half::Far) => {
            match (end(x, area.size.w, area.size.w / 8), row) {
                (Half::Both, Half::Near) => Some(Mode::Maximized),
                // Windows are often dragged down, out of the way; only the corners mean something there.
                (Half::Both, _) => None,
                (column, row) => Some(Mode::Snapped(Zone { column, row })),
            }
        }
        (Half::Both, Half::Both) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEFT: Zone = Zone { column: Half::Near, row: Half::Both };

    fn after(steps: &[Direction]) -> Mode {
        steps.iter().fold(Mode::Floating, |mode, step| mode.snapped(*step))
    }

    #[test]
    fn steps_combine_to_quarters_and_lead_back() {
        use Direction::{Down, Left, Right, Up};
        assert_eq!(after(&[Left]), Mode::Snapped(LEFT));
        assert_eq!(after(&[Left, Up]), Mode::Snapped(Zone { column: Half::Near, row: Half::Near }));
        assert_eq!(after(&[Left, Up, Right]), Mode::Snapped(Zone { column: Half::Both, row: Half::Near }));
        assert_eq!(after(&[Left, Left]), Mode::Snapped(LEFT));
        assert_eq!(after(&[Left, Right]), Mode::Floating);
        assert_eq!(after(&[Up, Up]), Mode::Maximized);
        assert_eq!(after(&[Up, Up, Down]), Mode::Floating);
        assert_eq!(after(&[Up, Up, Left]), Mode::Snapped(LEFT));
    }

    #[test]
    fn edges_and_corners_mean_what_is_drawn_there() {
        let area = Rectangle::new((0, 24).into(), (1280, 776).into());
        let at = |x: i32, y: i32| dropped((x, y).into(), area, 8);
        assert_eq!(at(0, 400), Some(Mode::Snapped(LEFT)));
        assert_eq!(at(0, 30), Some(Mode::Snapped(Zone { column: Half::Near, row: Half::Near })));
        assert_eq!(at(1279, 799), Some(Mode::Snapped(Zone { column: Half::Far, row: Half::Far })));
        assert_eq!(at(640, 10), Some(Mode::Maximized), "on the stripe, above the area");
        assert_eq!(at(640, 799), None);
        assert_eq!(at(640, 400), None);
    }

    proptest! {
        #[test]
        fn halves_and_quarters_tile_the_area(x in -100..100i32, y in 0..100i32, w in 2..5000i32, h in 2..5000i32) {
            let area = Rectangle::new((x, y).into(), (w, h).into());
            let sides = [Half::Near, Half::Far];
            let quarters: Vec<_> =
                sides.iter().flat_map(|column| sides.map(|row| Zone { column: *column, row }.of(area))).collect();
            let sum: i64 = quarters.iter().map(|part| i64::from(part.size.w) * i64::from(part.size.h)).sum();
            prop_assert_eq!(sum, i64::from(w) * i64::from(h));
            for (index, part) in quarters.iter().enumerate() {
                prop_assert!(area.contains_rect(*part));
                prop_assert!(quarters.iter().skip(index + 1).all(|other| !other.overlaps(*part)));
            }
        }

        #[test]
        fn no_zone_is_the_whole_area(steps in proptest::collection::vec(0..4usize, 0..20)) {
            use Direction::{Down, Left, Right, Up};
            let steps: Vec<_> = steps.into_iter().map(|step| [Left, Right, Up, Down][step]).collect();
            prop_assert_ne!(after(&steps), Mode::Snapped(Zone::default()));
        }
    }
}
