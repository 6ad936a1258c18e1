//! Which pixels of a buffer have changed: pure arithmetic on rectangles.
//!
//! Three things live here. A [`DamageSet`] is a bounded set of rectangles of one buffer. It never covers
//! less than what was added to it and never reaches beyond the bounding box of what was added; as long as
//! no more than [`MAX_RECTS`] separate rectangles are added, it covers exactly their union. [`Mapping`] takes
//! a rectangle of `wl_surface.damage`, which is in surface coordinates, to pixels of the buffer through
//! viewport, scale and transform, rounding outwards. [`History`] remembers the damage of a surface's last
//! commits, so that a buffer which was last copied some commits ago knows which rectangles of its copy are
//! stale.

use std::collections::VecDeque;

/// The most rectangles that a [`DamageSet`] keeps apart. More are merged, which copies more but never less.
pub const MAX_RECTS: usize = 16;

/// The most commits that a [`History`] remembers. A buffer that was out of use for longer is copied whole.
pub const MAX_HISTORY: usize = 8;

/// A rectangle of buffer pixels: `x0 <= x < x1`, `y0 <= y < y1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// Left edge, inside.
    pub x0: i32,
    /// Top edge, inside.
    pub y0: i32,
    /// Right edge, outside.
    pub x1: i32,
    /// Bottom edge, outside.
    pub y1: i32,
}

impl Rect {
    /// The rectangle at (`x`, `y`) with the given size, as requests give it; sums saturate.
    #[must_use]
    pub fn from_size(x: i32, y: i32, width: i32, height: i32) -> Self {
        Self { x0: x, y0: y, x1: x.saturating_add(width), y1: y.saturating_add(height) }
    }

    /// All pixels of a buffer of this size.
    #[must_use]
    pub fn whole(size: (i32, i32)) -> Self {
        Self { x0: 0, y0: 0, x1: size.0, y1: size.1 }
    }

    /// True where no pixel is inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.x0 >= self.x1 || self.y0 >= self.y1
    }

    /// Number of pixels inside.
    #[must_use]
    pub fn area(&self) -> i64 {
        if self.is_empty() {
            return 0;
        }
        (i64::from(self.x1) - i64::from(self.x0)) * (i64::from(self.y1) - i64::from(self.y0))
    }

    /// The part that both have in common; empty if there is none.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            x0: self.x0.max(other.x0),
            y0: self.y0.max(other.y0),
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
        }
    }

    /// The smallest rectangle around both.
    #[must_use]
    pub fn bounding(&self, other: &Self) -> Self {
        Self {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }

    fn contains(&self, other: &Self) -> bool {
        self.x0 <= other.x0 && self.y0 <= other.y0 && self.x1 >= other.x1 && self.y1 >= other.y1
    }
}

/// A bounded set of rectangles. See the module for what it promises.
#[derive(Clone, Debug, Default)]
pub struct DamageSet {
    rects: Vec<Rect>,
}

impl DamageSet {
    /// A set with one rectangle.
    #[must_use]
    pub fn of(rect: Rect) -> Self {
        let mut set = Self::default();
        set.add(rect);
        set
    }

    /// The rectangles. They may overlap.
    #[must_use]
    pub fn rects(&self) -> &[Rect] {
        &self.rects
    }

    /// True where nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }

    /// Adds the pixels of `rect`.
    pub fn add(&mut self, rect: Rect) {
        if rect.is_empty() || self.rects.iter().any(|r| r.contains(&rect)) {
            return;
        }
        self.rects.retain(|r| !rect.contains(r));
        if self.rects.len() < MAX_RECTS {
            self.rects.push(rect);
        } else {
            self.merge_cheapest(rect);
        }
        self.collapse_if_cheaper();
    }

    /// Adds all rectangles of another set.
    pub fn add_all(&mut self, other: &Self) {
        for rect in &other.rects {
            self.add(*rect);
        }
    }

    /// Replaces the rectangle that grows least by its bounding box with `rect`.
    fn merge_cheapest(&mut self, rect: Rect) {
        let growth = |r: &Rect| r.bounding(&rect).area().saturating_sub(r.area());
        let cheapest = (0..self.rects.len()).min_by_key(|&i| self.rects.get(i).map_or(i64::MAX, growth));
        if let Some(index) = cheapest {
            let merged = self.rects.swap_remove(index).bounding(&rect);
            self.rects.retain(|r| !merged.contains(r));
            self.rects.push(merged);
        }
    }

    /// Overlapping rectangles would be copied twice. Where that costs more than copying the bounding box of
    /// all of them once, the box takes their place.
    fn collapse_if_cheaper(&mut self) {
        let Some(bounds) = self.rects.iter().copied().reduce(|a, b| a.bounding(&b)) else { return };
        let total = self.rects.iter().fold(0_i64, |sum, r| sum.saturating_add(r.area()));
        if self.rects.len() > 1 && total >= bounds.area() {
            self.rects.clear();
            self.rects.push(bounds);
        }
    }
}

/// `wl_output.transform`, as set by `wl_surface.set_buffer_transform`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transform {
    /// Not transformed.
    #[default]
    Normal,
    /// A quarter turn counter-clockwise.
    Rotated90,
    /// Half a turn.
    Rotated180,
    /// A quarter turn clockwise.
    Rotated270,
    /// Mirrored at the vertical axis.
    Flipped,
    /// Mirrored, then a quarter turn counter-clockwise.
    Flipped90,
    /// Mirrored, then half a turn.
    Flipped180,
    /// Mirrored, then a quarter turn clockwise.
    Flipped270,
}

impl Transform {
    /// The transform with this value on the wire, if there is one.
    #[must_use]
    pub fn from_wire(value: u32) -> Option<Self> {
        Some(match value {
            0 => Self::Normal,
            1 => Self::Rotated90,
            2 => Self::Rotated180,
            3 => Self::Rotated270,
            4 => Self::Flipped,
            5 => Self::Flipped90,
            6 => Self::Flipped180,
            7 => Self::Flipped270,
            _ => return None,
        })
    }

    /// True where width and height change places.
    fn swaps_axes(self) -> bool {
        matches!(self, Self::Rotated90 | Self::Rotated270 | Self::Flipped90 | Self::Flipped270)
    }

    /// From the transformed buffer, `size` big, to the buffer itself.
    fn invert(self, r: Rect, (w, h): (i32, i32)) -> Rect {
        let (left, right) = (w.saturating_sub(r.x1), w.saturating_sub(r.x0));
        let (top, bottom) = (h.saturating_sub(r.y1), h.saturating_sub(r.y0));
        match self {
            Self::Normal => r,
            Self::Flipped => Rect { x0: left, x1: right, ..r },
            Self::Rotated180 => Rect { x0: left, y0: top, x1: right, y1: bottom },
            Self::Flipped180 => Rect { y0: top, y1: bottom, ..r },
            Self::Rotated90 => Rect { x0: r.y0, y0: left, x1: r.y1, y1: right },
            Self::Rotated270 => Rect { x0: top, y0: r.x0, x1: bottom, y1: r.x1 },
            Self::Flipped90 => Rect { x0: r.y0, y0: r.x0, x1: r.y1, y1: r.x1 },
            Self::Flipped270 => Rect { x0: top, y0: left, x1: bottom, y1: right },
        }
    }
}

/// How the coordinates of a surface lie on its buffer. Two commits with equal mappings and buffers of equal
/// size show every pixel at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// `wl_surface.set_buffer_scale`, at least 1.
    pub scale: i32,
    /// `wl_surface.set_buffer_transform`.
    pub transform: Transform,
    /// `wp_viewport.set_source`: x, y, width and height in 1/256 of a surface unit, if set.
    pub source: Option<[i32; 4]>,
    /// `wp_viewport.set_destination`: width and height in surface units, if set.
    pub destination: Option<(i32, i32)>,
}

impl Default for Mapping {
    fn default() -> Self {
        Self { scale: 1, transform: Transform::Normal, source: None, destination: None }
    }
}

impl Mapping {
    /// The pixels of a buffer of `size` that a rectangle of surface coordinates may touch, clipped to the
    /// buffer and rounded outwards. The whole buffer where the state is not one that a compositor accepts.
    #[must_use]
    pub fn to_buffer(&self, rect: Rect, size: (i32, i32)) -> DamageSet {
        let whole = Rect::whole(size);
        if rect.is_empty() {
            return DamageSet::default();
        }
        let transformed = if self.transform.swaps_axes() { (size.1, size.0) } else { size };
        let source = self.source.map(|[x, y, w, h]| ((x, w), (y, h)));
        let horizontal =
            self.axis((rect.x0, rect.x1), source.map(|s| s.0), self.destination.map(|d| d.0), transformed.0);
        let vertical =
            self.axis((rect.y0, rect.y1), source.map(|s| s.1), self.destination.map(|d| d.1), transformed.1);
        let (Some((x0, x1)), Some((y0, y1))) = (horizontal, vertical) else {
            return DamageSet::of(whole);
        };
        let rect = Rect { x0, y0, x1, y1 };
        let mut set = DamageSet::of(self.transform.invert(rect, transformed).intersection(&whole));
        // Toolkits and compositors have understood the direction of a quarter turn both ways, and a wrong
        // guess would leave stale pixels.
        let opposite = match self.transform {
            Transform::Rotated90 => Some(Transform::Rotated270),
            Transform::Rotated270 => Some(Transform::Rotated90),
            _ => None,
        };
        if let Some(opposite) = opposite {
            set.add(opposite.invert(rect, transformed).intersection(&whole));
        }
        set
    }

    /// Maps the interval `span` of surface coordinates along one axis to pixels of the transformed buffer,
    /// which is `length` long, clipped to it. None where scale or viewport make no sense.
    fn axis(
        &self,
        span: (i32, i32),
        source: Option<(i32, i32)>,
        destination: Option<i32>,
        length: i32,
    ) -> Option<(i32, i32)> {
        if self.scale < 1 {
            return None;
        }
        let scale = i128::from(self.scale);
        let span = (i128::from(span.0), i128::from(span.1));
        let clip = |v: i128| i32::try_from(v.clamp(0, i128::from(length))).unwrap_or(length);
        if source.is_none() && destination.is_none() {
            return Some((clip(span.0 * scale), clip(span.1 * scale)));
        }
        // In 1/256 of a pixel of the transformed buffer.
        let (start, extent) = match source {
            Some((start, extent)) => (i128::from(start) * scale, i128::from(extent) * scale),
            None => (0, i128::from(length) * 256),
        };
        let destination = match (destination, source) {
            (Some(destination), _) => i128::from(destination),
            (None, Some((_, extent))) if extent % 256 == 0 => i128::from(extent / 256),
            (None, _) => return None,
        };
        if destination < 1 || extent < 1 || start < 0 {
            return None;
        }
        let divisor = destination * 256;
        let first = (start * destination + span.0 * extent).div_euclid(divisor);
        let last = -(-(start * destination + span.1 * extent)).div_euclid(divisor);
        // Where pixels are scaled, a filter reads the neighbours too.
        let margin = i128::from(extent % divisor != 0 || start % 256 != 0);
        Some((clip(first - margin), clip(last + margin)))
    }
}

/// The damage of the last commits of one surface, in buffer pixels.
///
/// Commits are counted. A copy of a buffer that was made at commit *n* is stale in the damage of all commits
/// after *n*. Damage of different commits can only be added up while it is in the same coordinates: a
/// commit that shows pixels at another place than the one before it begins a new history.
#[derive(Debug, Default)]
pub struct History {
    /// The number of the newest commit.
    newest: u64,
    /// Damage by commit, the newest last.
    entries: VecDeque<DamageSet>,
}

impl History {
    /// Counts a commit with this damage, and returns its number.
    pub fn push(&mut self, damage: DamageSet) -> u64 {
        self.newest = self.newest.saturating_add(1);
        self.entries.push_back(damage);
        if self.entries.len() > MAX_HISTORY {
            self.entries.pop_front();
        }
        self.newest
    }

    /// Counts a commit after which every copy that was made before it is stale in all its pixels.
    pub fn push_unknown(&mut self) -> u64 {
        self.newest = self.newest.saturating_add(1);
        self.entries.clear();
        self.newest
    }

    /// What of a copy that was made at commit `number` is stale. None: all of it.
    #[must_use]
    pub fn since(&self, number: u64) -> Option<DamageSet> {
        let age = usize::try_from(self.newest.checked_sub(number)?).ok()?;
        let skip = self.entries.len().checked_sub(age)?;
        let mut stale = DamageSet::default();
        for damage in self.entries.iter().skip(skip) {
            stale.add_all(damage);
        }
        Some(stale)
    }
}

#[cfg(test)]
mod tests;
