//! Where a new window opens: where it covers least of the others.

use smithay::utils::{Physical, Point, Rectangle, Size};

/// A frame that stands on the output already.
#[derive(Clone, Copy, Debug)]
pub struct Obstacle {
    /// Its outer rectangle.
    pub rect: Rectangle<i32, Physical>,
    /// Covering it counts a hundredfold: it is the focused window, and the new one is of another VM.
    pub protected: bool,
}

/// How many pixels a covered pixel of a protected obstacle counts.
const PROTECTED_WEIGHT: i64 = 100;
/// Only this many obstacles are considered, the top-most first, so that the search stays short.
const MAX_OBSTACLES: usize = 64;

/// The corner for a frame of `size` inside `area` with the least sum of covered pixels; of equals the one
/// highest up, then left-most. `avoid` is a point that the frame must not contain if there is any choice.
///
/// A frame larger than the area is put into its corner.
#[must_use]
pub fn place(
    size: Size<i32, Physical>,
    area: Rectangle<i32, Physical>,
    obstacles: &[Obstacle],
    avoid: Option<Point<i32, Physical>>,
) -> Point<i32, Physical> {
    let obstacles = obstacles.get(..MAX_OBSTACLES).unwrap_or(obstacles);
    let max_x = (area.loc.x + area.size.w - size.w).max(area.loc.x);
    let max_y = (area.loc.y + area.size.h - size.h).max(area.loc.y);
    // The least covered place has an edge in common with an obstacle or the area, in both directions.
    let mut xs = vec![area.loc.x, max_x];
    let mut ys = vec![area.loc.y, max_y];
    for Obstacle { rect, .. } in obstacles {
        xs.extend([rect.loc.x + rect.size.w, rect.loc.x - size.w]);
        ys.extend([rect.loc.y + rect.size.h, rect.loc.y - size.h]);
    }
    if let Some(point) = avoid {
        xs.extend([point.x + 1, point.x - size.w]);
        ys.extend([point.y + 1, point.y - size.h]);
    }
    xs.retain(|x| (area.loc.x..=max_x).contains(x));
    ys.retain(|y| (area.loc.y..=max_y).contains(y));
    xs.sort_unstable();
    xs.dedup();
    ys.sort_unstable();
    ys.dedup();
    let candidates = ys.iter().flat_map(|y| xs.iter().map(move |x| Point::from((*x, *y))));
    candidates.min_by_key(|corner| cost(Rectangle::new(*corner, size), obstacles, avoid)).unwrap_or(area.loc)
}

/// The price of a place: first whether it is under the point to avoid, then what it covers.
#[must_use]
pub fn cost(
    frame: Rectangle<i32, Physical>,
    obstacles: &[Obstacle],
    avoid: Option<Point<i32, Physical>>,
) -> (bool, i64) {
    let under = avoid.is_some_and(|point| frame.contains(point));
    let covered = obstacles
        .iter()
        .filter_map(|obstacle| {
            let common = frame.intersection(obstacle.rect)?;
            let weight = if obstacle.protected { PROTECTED_WEIGHT } else { 1 };
            Some(i64::from(common.size.w) * i64::from(common.size.h) * weight)
        })
        .sum();
    (under, covered)
}
