//! The sets and mappings against a grid of pixels that is filled one by one.

use proptest::prelude::*;

use super::*;

const SIDE: i32 = 24;

/// Marks the pixels of a set on a grid.
fn grid(rects: &[Rect]) -> Vec<bool> {
    let mut pixels = vec![false; usize::try_from(SIDE * SIDE).unwrap()];
    for r in rects {
        for y in r.y0.max(0)..r.y1.min(SIDE) {
            for x in r.x0.max(0)..r.x1.min(SIDE) {
                pixels[usize::try_from(y * SIDE + x).unwrap()] = true;
            }
        }
    }
    pixels
}

fn covers(large: &[bool], small: &[bool]) -> bool {
    large.iter().zip(small).all(|(l, s)| *l || !*s)
}

fn rect() -> impl Strategy<Value = Rect> {
    (0..SIDE, 0..SIDE, 0..SIDE, 0..SIDE).prop_map(|(x, y, w, h)| Rect {
        x0: x,
        y0: y,
        x1: (x + w).min(SIDE),
        y1: (y + h).min(SIDE),
    })
}

fn transform() -> impl Strategy<Value = Transform> {
    (0_u32..8).prop_map(|v| Transform::from_wire(v).unwrap())
}

/// The pixel of the buffer that a point of the transformed buffer shows, by turning the point step by step:
/// mirror, then quarter turns counter-clockwise, as the protocol describes the transforms.
fn turn(transform: Transform, x: i32, y: i32, (w, h): (i32, i32)) -> (i32, i32) {
    let turns = match transform {
        Transform::Normal | Transform::Flipped => 0,
        Transform::Rotated90 | Transform::Flipped90 => 1,
        Transform::Rotated180 | Transform::Flipped180 => 2,
        Transform::Rotated270 | Transform::Flipped270 => 3,
    };
    let flipped = matches!(
        transform,
        Transform::Flipped | Transform::Flipped90 | Transform::Flipped180 | Transform::Flipped270
    );
    let (mut point, mut size) = ((x, y), (w, h));
    if flipped {
        point.0 = size.0 - 1 - point.0;
    }
    for _ in 0..turns {
        point = (point.1, size.0 - 1 - point.0);
        size = (size.1, size.0);
    }
    point
}

proptest! {
    #[test]
    fn a_set_covers_what_was_added_and_stays_in_its_bounding_box(rects in prop::collection::vec(rect(), 0..40)) {
        let mut set = DamageSet::default();
        for r in &rects {
            set.add(*r);
        }
        prop_assert!(set.rects().len() <= MAX_RECTS);
        prop_assert!(covers(&grid(set.rects()), &grid(&rects)));
        let bounds = rects.iter().filter(|r| !r.is_empty()).copied().reduce(|a, b| a.bounding(&b));
        for r in set.rects() {
            prop_assert!(bounds.unwrap().contains(r));
        }
    }

    #[test]
    fn a_set_of_few_separate_rectangles_is_exact(cells in prop::collection::btree_set(0_i32..36, 0..MAX_RECTS)) {
        // Cells of 4 by 4 with a gap of one pixel between any two, so that none can be merged for free.
        let rects: Vec<Rect> =
            cells.iter().map(|c| Rect::from_size((c % 6) * 4, (c / 6) * 4, 3, 3)).collect();
        let mut set = DamageSet::default();
        for r in &rects {
            set.add(*r);
        }
        prop_assert_eq!(grid(set.rects()), grid(&rects));
    }

    #[test]
    fn a_set_never_costs_more_than_its_bounding_box(rects in prop::collection::vec(rect(), 1..40)) {
        let mut set = DamageSet::default();
        for r in &rects {
            set.add(*r);
        }
        let bounds = set.rects().iter().copied().reduce(|a, b| a.bounding(&b));
        let total: i64 = set.rects().iter().map(Rect::area).sum();
        prop_assert!(total <= bounds.map_or(0, |b| b.area()));
    }

    #[test]
    fn scale_and_transform_lead_to_the_pixels_that_a_point_by_point_turn_finds(
        damage in rect(), scale in 1_i32..4, transform in transform(), width in 1_i32..8, height in 1_i32..8,
    ) {
        // A surface of width by height; the buffer is its scaled and turned picture.
        let shown = (width * scale, height * scale);
        let size = if transform.swaps_axes() { (shown.1, shown.0) } else { shown };
        let mapping = Mapping { scale, transform, ..Mapping::default() };
        let mut expected = Vec::new();
        for y in damage.y0 * scale..(damage.y1 * scale).min(shown.1) {
            for x in damage.x0 * scale..(damage.x1 * scale).min(shown.0) {
                let (bx, by) = turn(transform, x, y, shown);
                expected.push(Rect::from_size(bx, by, 1, 1));
            }
        }
        let set = mapping.to_buffer(damage, size);
        prop_assert!(covers(&grid(set.rects()), &grid(&expected)));
        if !matches!(transform, Transform::Rotated90 | Transform::Rotated270) {
            prop_assert_eq!(grid(set.rects()), grid(&expected));
        }
        for r in set.rects() {
            prop_assert!(Rect::whole(size).contains(r));
        }
    }

    #[test]
    fn every_pixel_that_a_viewport_shows_in_the_damage_is_covered(
        damage in rect(), source in (0_i32..2048, 0_i32..2048, 1_i32..4096, 1_i32..4096),
        destination in (1_i32..40, 1_i32..40), scale in 1_i32..3,
    ) {
        let size = (SIDE, SIDE);
        let mapping = Mapping {
            scale,
            source: Some([source.0, source.1, source.2, source.3]),
            destination: Some(destination),
            ..Mapping::default()
        };
        let set = grid(mapping.to_buffer(damage, size).rects());
        // Sample points inside the damaged part of the surface, where the compositor would look them up.
        for step_y in 0..16 {
            for step_x in 0..16 {
                let lookup = |d0: i32, d1: i32, step: i32, start: i32, extent: i32, destination: i32| {
                    let at = f64::from(d0) + (f64::from(d1 - d0)) * (f64::from(step) + 0.5) / 16.0;
                    let source = f64::from(start) / 256.0 + at * f64::from(extent) / 256.0 / f64::from(destination);
                    source * f64::from(scale)
                };
                let x = lookup(damage.x0, damage.x1, step_x, source.0, source.2, destination.0);
                let y = lookup(damage.y0, damage.y1, step_y, source.1, source.3, destination.1);
                let inside = x < f64::from(SIDE) && y < f64::from(SIDE) && !damage.is_empty();
                if inside {
                    #[expect(clippy::cast_possible_truncation, reason = "the value is between 0 and SIDE")]
                    let pixel = (y as i32) * SIDE + x as i32;
                    prop_assert!(set[usize::try_from(pixel).unwrap()], "{x} {y}");
                }
            }
        }
    }

    #[test]
    fn no_value_on_the_wire_makes_the_arithmetic_overflow(
        x in any::<i32>(), y in any::<i32>(), w in any::<i32>(), h in any::<i32>(), scale in any::<i32>(),
        transform in transform(), source in prop::option::of(any::<[i32; 4]>()),
        destination in prop::option::of(any::<(i32, i32)>()), size in (1_i32.., 1_i32..),
    ) {
        let mapping = Mapping { scale, transform, source, destination };
        let set = mapping.to_buffer(Rect::from_size(x, y, w, h), size);
        for r in set.rects() {
            prop_assert!(Rect::whole(size).contains(r));
        }
    }

    #[test]
    fn a_copy_is_stale_in_the_damage_of_all_later_commits(
        commits in prop::collection::vec(prop::option::weighted(0.9, rect()), 1..20), copied_at in 0_usize..20,
    ) {
        let copied_at = copied_at.min(commits.len());
        let mut history = History::default();
        for commit in &commits {
            match commit {
                Some(rect) => history.push(DamageSet::of(*rect)),
                None => history.push_unknown(),
            };
        }
        let later = &commits[copied_at..];
        match history.since(u64::try_from(copied_at).unwrap()) {
            None => prop_assert!(later.len() > MAX_HISTORY || later.iter().any(Option::is_none)),
            Some(stale) => {
                let rects: Option<Vec<Rect>> = later.iter().copied().collect();
                prop_assert!(covers(&grid(stale.rects()), &grid(&rects.unwrap())));
            }
        }
    }
}

#[test]
fn a_history_is_not_asked_for_the_future() {
    assert!(History::default().since(1).is_none());
}

#[test]
fn the_whole_buffer_is_damaged_where_the_viewport_makes_no_sense() {
    let mapping = Mapping { source: Some([0, 0, 100, 100]), ..Mapping::default() };
    assert_eq!(mapping.to_buffer(Rect::from_size(0, 0, 1, 1), (10, 10)).rects(), [Rect::whole((10, 10))]);
}
