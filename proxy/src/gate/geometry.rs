//! Checks of sizes and positions: what is a size on any screen, and what only hurts whoever computes with it.

use std::fmt;

use vitrail_protocols::Guard;

/// The largest size or distance, in logical pixels or buffer pixels, that is taken from a client.
pub const MAX_EXTENT: i32 = 65535;

/// The largest `wl_surface.set_buffer_scale`.
pub const MAX_SCALE: i32 = 64;

/// A number outside of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    what: &'static str,
    values: (i32, i32),
    range: (i32, i32),
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.values;
        let (low, high) = self.range;
        write!(f, "{} of {first}, {second} is outside of {low} to {high}", self.what)
    }
}

impl std::error::Error for OutOfRange {}

fn check(what: &'static str, values: (i32, i32), low: i32, high: i32) -> Result<(), OutOfRange> {
    let range = low..=high;
    if range.contains(&values.0) && range.contains(&values.1) || !Guard::Numbers.holds() {
        return Ok(());
    }
    Err(OutOfRange { what, values, range: (low, high) })
}

/// A size of at least one in both directions.
///
/// # Errors
/// It is zero, negative or absurd.
pub fn size(what: &'static str, width: i32, height: i32) -> Result<(), OutOfRange> {
    check(what, (width, height), 1, MAX_EXTENT)
}

/// A size where zero means that there is none.
///
/// # Errors
/// It is negative or absurd.
pub fn optional_size(what: &'static str, width: i32, height: i32) -> Result<(), OutOfRange> {
    check(what, (width, height), 0, MAX_EXTENT)
}

/// A position or distance in any direction.
///
/// # Errors
/// It is absurd.
pub fn offset(what: &'static str, x: i32, y: i32) -> Result<(), OutOfRange> {
    check(what, (x, y), -MAX_EXTENT, MAX_EXTENT)
}

/// A position or distance in one direction, cut to the longest.
#[must_use]
pub fn clamp_offset(value: i32) -> i32 {
    value.clamp(-MAX_EXTENT, MAX_EXTENT)
}

/// A length, cut to the longest; nothing if it is negative.
#[must_use]
pub fn clamp_length(value: i32) -> i32 {
    value.clamp(0, MAX_EXTENT)
}

/// A rectangle that stands for an area (damage, a region), reduced to what can matter: clients say "all of
/// it" with the largest numbers there are, which overflow in careless arithmetic. `None` if nothing is left.
#[must_use]
pub fn clamp_area(x: i32, y: i32, width: i32, height: i32) -> Option<(i32, i32, i32, i32)> {
    let (left, width) = clamp_span(x, width)?;
    let (top, height) = clamp_span(y, height)?;
    Some((left, top, width, height))
}

fn clamp_span(start: i32, len: i32) -> Option<(i32, i32)> {
    let end = start.saturating_add(len).min(MAX_EXTENT);
    let start = start.max(-MAX_EXTENT);
    let len = end.saturating_sub(start);
    (len > 0).then_some((start, len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn impossible_sizes_are_refused() {
        for (width, height) in [(0, 1), (1, 0), (-1, 5), (65536, 1), (i32::MAX, i32::MIN)] {
            assert!(size("a window", width, height).is_err(), "{width}x{height}");
        }
        assert!(size("a window", 65535, 1).is_ok());
        assert!(optional_size("a window", 0, 0).is_ok());
        assert!(optional_size("a window", -1, 0).is_err());
        assert!(offset("a popup", -65535, 65535).is_ok());
        assert!(offset("a popup", i32::MIN, 0).is_err());
    }

    #[test]
    fn the_message_says_what_and_how_far() {
        assert_eq!(
            size("a window geometry", 0, 7).unwrap_err().to_string(),
            "a window geometry of 0, 7 is outside of 1 to 65535"
        );
    }

    #[test]
    fn everything_stays_everything() {
        assert_eq!(clamp_area(0, 0, i32::MAX, i32::MAX), Some((0, 0, 65535, 65535)));
        assert_eq!(clamp_area(3, 4, 5, 6), Some((3, 4, 5, 6)));
    }

    #[test]
    fn empty_and_negative_areas_vanish() {
        assert_eq!(clamp_area(0, 0, 0, 5), None);
        assert_eq!(clamp_area(0, 0, 5, -1), None);
        assert_eq!(clamp_area(i32::MAX, 0, 5, 5), None);
    }

    proptest! {
        #[test]
        fn a_clamped_area_is_small_and_inside_the_first(x: i32, y: i32, width: i32, height: i32) {
            if let Some((left, top, w, h)) = clamp_area(x, y, width, height) {
                prop_assert!(w > 0 && h > 0 && left >= x && top >= y);
                prop_assert!(left.abs() <= MAX_EXTENT && left + w <= MAX_EXTENT);
                prop_assert!(i64::from(left) + i64::from(w) <= i64::from(x) + i64::from(width));
                prop_assert!(i64::from(top) + i64::from(h) <= i64::from(y) + i64::from(height));
            }
        }
    }
}
