//! Columns: a workspace on which windows stand side by side instead of being placed.
//!
//! # Model
//!
//! The windows that are tiled are those that would float, except dialogs and what is kept on top. They have an order, at first
//! the one in which they came, and fill the columns one after the other from the left; the columns are equally wide, and so
//! are the windows of a column high. There are only as many columns and rows as leave each window a size that can be worked
//! in; windows beyond them float.
//!
//! A window joins them when it gets the keyboard: one that opens while another VM has it would otherwise move that VM's
//! windows, and could come to stand under the pointer. Until then it floats below them, and asks for attention.
//!
//! Nothing of this is stored but the order and who has joined: where a window stands follows from which windows there are, so that it cannot be
//! wrong after one has gone.
//!
//! # Invariants
//!
//! * No two frames of tiled windows overlap, and all are inside the work area ([`Shell::check`]).
//! * What a VM does moves no tiled window of a VM that has the keyboard, unless it takes one of its own away.
//! * The size and place that a window has while it floats is untouched.

use serde::{Deserialize, Serialize};
use smithay::utils::{Physical, Point, Rectangle};

use super::stacking::Element;
use super::window::{Mode, Window, WindowId};
use super::{Shell, scaled};

/// The least width of a column and height of a window in it, with the frame, in logical pixels.
const LEAST: (i32, i32) = (320, 200);

/// How the windows of a workspace stand that nothing else is said of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrangement {
    /// Where they were placed.
    #[default]
    Floating,
    /// Side by side.
    Columns,
}

/// A word that is no arrangement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A layout is \"floating\" or \"columns\"")]
pub struct ArrangementError;

impl std::str::FromStr for Arrangement {
    type Err = ArrangementError;

    fn from_str(text: &str) -> Result<Self, ArrangementError> {
        match text {
            "floating" => Ok(Self::Floating),
            "columns" => Ok(Self::Columns),
            _ => Err(ArrangementError),
        }
    }
}

/// The part of an area that has the place `index` of `count` equal ones along its length.
fn part(start: i32, length: i32, index: usize, count: usize) -> (i32, i32) {
    let edge = |index: usize| {
        let edge =
            i64::from(length) * i64::try_from(index).unwrap_or(0) / i64::try_from(count.max(1)).unwrap_or(1);
        i32::try_from(edge).unwrap_or(0)
    };
    (start + edge(index), edge(index + 1) - edge(index))
}

/// The tiles for so many windows, as far as there is room.
fn tiles(area: Rectangle<i32, Physical>, count: usize, least: (i32, i32)) -> Vec<Rectangle<i32, Physical>> {
    let fit = |length: i32, least: i32| usize::try_from(length / least.max(1)).unwrap_or(0);
    let (columns, rows) = (fit(area.size.w, least.0), fit(area.size.h, least.1));
    let count = count.min(columns.saturating_mul(rows));
    let columns = columns.min(count);
    let mut tiles = Vec::with_capacity(count);
    for column in 0..columns {
        // What does not divide evenly goes to the last columns, so that the first window keeps the most room.
        let rows = count / columns + usize::from(column >= columns - count % columns);
        let (x, w) = part(area.loc.x, area.size.w, column, columns);
        for row in 0..rows {
            let (y, h) = part(area.loc.y, area.size.h, row, rows);
            tiles.push(Rectangle::new((x, y).into(), (w, h).into()));
        }
    }
    tiles
}

impl<H> Shell<H> {
    /// Lets the windows of the current workspace float if they stand in columns, and the other way round.
    pub fn toggle_columns(&mut self) {
        let output = self.outputs.active_mut();
        let tiles = output.workspaces.tiles();
        output.workspaces.set_arrangement(if tiles { Arrangement::Floating } else { Arrangement::Columns });
        let id = output.id;
        for window in self.stack.all_mut().filter(|window| window.sight.here && window.output == id) {
            window.tiling.joined = true;
        }
    }

    /// Where a window stands with its frame, if it is tiled.
    #[must_use]
    pub fn tile(&self, window: &Window<H>) -> Option<Rectangle<i32, Physical>> {
        if !self.may_tile(window) {
            return None;
        }
        let tiled = self.tiled(window);
        let index = tiled.iter().position(|id| *id == window.id)?;
        let layout = self.layout_of(window);
        let least = (scaled(LEAST.0, layout.scale), scaled(LEAST.1, layout.scale));
        tiles(layout.work_area(), tiled.len(), least).get(index).copied()
    }

    /// The tiled window at a point of an output, wherever it is in the stack.
    #[must_use]
    pub fn tile_at(&self, point: Point<i32, Physical>) -> Option<WindowId> {
        let mut shown = self.shown_top_down();
        shown.find(|window| self.tile(window).is_some_and(|tile| tile.contains(point))).map(Element::id)
    }

    /// Lets two tiled windows of one workspace change places.
    pub fn swap_tiles(&mut self, one: WindowId, other: WindowId) {
        let tiled = |id: WindowId| self.get(id).filter(|window| self.may_tile(window));
        let (Some(first), Some(second)) = (tiled(one), tiled(other)) else { return };
        if (first.output, first.workspace) != (second.output, second.workspace) {
            return;
        }
        for (id, order) in [(one, second.tiling.order), (other, first.tiling.order)] {
            if let Some(window) = self.get_mut(id) {
                window.tiling.order = order;
            }
        }
    }

    /// Lays a window out as its client asks. If another VM has the keyboard, one that leaves the columns comes back to them only
    /// by the user's hand.
    pub fn set_mode(&mut self, id: WindowId, mode: Mode) {
        self.part(id);
        if let Some(window) = self.get_mut(id) {
            window.mode = mode;
        }
    }

    /// A client changes something of its window that may bring it into the columns: it does not while another VM has the
    /// keyboard.
    pub(super) fn part(&mut self, id: WindowId) {
        let used =
            self.get(id).is_none_or(|window| self.focused_origin().is_none_or(|used| *used == window.origin));
        let tiled = self.get(id).is_some_and(|window| self.may_tile(window));
        if let Some(window) = self.get_mut(id).filter(|_| !used && !tiled) {
            window.tiling.joined = false;
        }
    }

    /// Moves a tiled window one place on, or back. Whether it is tiled at all.
    pub fn move_tile(&mut self, id: WindowId, on: bool) -> bool {
        let Some(window) = self.get(id).filter(|window| self.tile(window).is_some()) else { return false };
        let tiled = self.tiled(window);
        let index = tiled.iter().position(|other| *other == id).unwrap_or(0);
        let other = if on { index.checked_add(1) } else { index.checked_sub(1) };
        if let Some(other) = other.and_then(|index| tiled.get(index)) {
            self.swap_tiles(id, *other);
        }
        true
    }

    fn may_tile(&self, window: &Window<H>) -> bool {
        self.outputs.of(window.output).workspaces.arrangement(window.workspace) == Arrangement::Columns
            && window.mode == Mode::Floating
            && window.mapped
            && window.tiling.joined
            && !window.minimized
            && window.parent.is_none()
            && !window.above
    }

    /// The tiled windows of the workspace that a window is on, in their order.
    fn tiled(&self, on: &Window<H>) -> Vec<WindowId> {
        let place = (on.output, on.workspace);
        let windows = self.bottom_up().filter(|window| (window.output, window.workspace) == place);
        let windows = windows.filter(|window| self.may_tile(window));
        let mut tiled: Vec<_> = windows.map(|window| (window.tiling.order, window.id)).collect();
        tiled.sort_unstable();
        tiled.into_iter().map(|(_, id)| id).collect()
    }

    /// Panics unless tiled windows stand beside each other in the work area. For tests.
    ///
    /// # Panics
    ///
    /// As said.
    pub(super) fn check_columns(&self) {
        let tiles: Vec<_> =
            self.shown_top_down().filter_map(|window| Some((self.tile(window)?, window))).collect();
        for (index, (tile, window)) in tiles.iter().enumerate() {
            assert!(self.layout_of(window).work_area().contains_rect(*tile), "a tile is in the work area");
            assert_eq!(self.frame(window).outer, *tile, "a tiled window fills its tile");
            assert!(
                tiles.iter().skip(index + 1).all(|(other, _)| !other.overlaps(*tile)),
                "tiles do not overlap"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tiles_fill_the_area_and_none_is_smaller_than_the_least(
            w in 1..6000i32, h in 1..4000i32, count in 0..40usize, least in (1..800i32, 1..600i32),
        ) {
            let area = Rectangle::new((7, 24).into(), (w, h).into());
            let tiles = tiles(area, count, least);
            prop_assert!(tiles.len() <= count);
            let sum: i64 = tiles.iter().map(|tile| i64::from(tile.size.w) * i64::from(tile.size.h)).sum();
            prop_assert!(tiles.is_empty() || sum == i64::from(w) * i64::from(h));
            for (index, tile) in tiles.iter().enumerate() {
                prop_assert!(area.contains_rect(*tile));
                prop_assert!(tile.size.w >= least.0 && tile.size.h >= least.1);
                prop_assert!(tiles.iter().skip(index + 1).all(|other| !other.overlaps(*tile)));
            }
        }
    }
}
