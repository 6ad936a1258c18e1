//! Where popups may be, and when they need a ring of their own.
//!
//! A popup is the one surface that leaves its window's frame, so three rules hold it: it is clamped to the
//! work area each time it is drawn, whoever moved it there; it wears a ring in its VM's colour unless it lies
//! wholly inside its parent's content; and all popups of a VM together cover a bounded part of the output.
//! Popups of the input method, which is a local program, have a rule of their own ([`beside_cursor`]).

use smithay::utils::{Physical, Rectangle, Size};
use vitrail_protocols::Guard;

use crate::render::frame::grown;

/// The part of the work area that all popups of one VM may cover together, in percent.
pub const MAX_AREA_PERCENT: i64 = 60;

/// A popup as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopupRects {
    /// The only place where the popup's pixels may appear.
    pub content: Rectangle<i32, Physical>,
    /// The ring's outer rectangle; `None`: the popup lies inside its parent.
    pub ring: Option<Rectangle<i32, Physical>>,
}

impl PopupRects {
    /// All pixels of the output that belong to the popup.
    #[must_use]
    pub fn outer(&self) -> Rectangle<i32, Physical> {
        self.ring.unwrap_or(self.content)
    }
}

/// Moves a popup into the work area, cuts what does not fit, and decides on its ring.
///
/// `wanted` is where its client asked for it, `parent` the content rectangle of its parent as drawn, `ring`
/// the ring's width in physical pixels.
#[must_use]
pub fn constrain(
    wanted: Rectangle<i32, Physical>,
    parent: Rectangle<i32, Physical>,
    work_area: Rectangle<i32, Physical>,
    ring: i32,
) -> PopupRects {
    let wanted = Rectangle::new(wanted.loc, at_least_one(wanted.size));
    if !Guard::PopupPlace.holds() {
        return PopupRects { content: wanted, ring: Some(grown(wanted, ring)) };
    }
    // The parent may stick out of the output; only its visible part is a place where a ring can be spared.
    if let Some(visible) = parent.intersection(work_area)
        && visible.contains_rect(wanted)
    {
        return PopupRects { content: wanted, ring: None };
    }
    let inner_size = at_least_one(
        (work_area.size.w - ring.saturating_mul(2), work_area.size.h - ring.saturating_mul(2)).into(),
    );
    let size: Size<i32, Physical> = (wanted.size.w.min(inner_size.w), wanted.size.h.min(inner_size.h)).into();
    let min = (work_area.loc.x + ring, work_area.loc.y + ring);
    let max = (min.0 + inner_size.w - size.w, min.1 + inner_size.h - size.h);
    let loc = (wanted.loc.x.clamp(min.0, max.0), wanted.loc.y.clamp(min.1, max.1));
    let content = Rectangle::new(loc.into(), size);
    let outer =
        Rectangle::new((loc.0 - ring, loc.1 - ring).into(), (size.w + ring * 2, size.h + ring * 2).into());
    PopupRects { content, ring: Some(outer) }
}

/// Where a popup of the input method goes: below the cursor, or above it if there is room only there, or else over it. It
/// always has a ring, because it is of another origin than what it covers. It is cut to the work area, and to what is below
/// `top`: there begins the content of the focused window, and above that is the window's label.
///
/// `content` is the content rectangle that the cursor is in. `cursor` is relative to it and is its client's word; whatever
/// it says, it is taken to be inside. `None`: there is no room, because the content is out of sight.
#[must_use]
pub fn beside_cursor(
    cursor: Rectangle<i32, Physical>,
    size: Size<i32, Physical>,
    content: Rectangle<i32, Physical>,
    top: i32,
    work_area: Rectangle<i32, Physical>,
    ring: i32,
) -> Option<PopupRects> {
    let wanted = at_least_one(size);
    let (left, right) = (work_area.loc.x + ring, work_area.loc.x + work_area.size.w - ring);
    let (top, bottom) = (top.max(work_area.loc.y) + ring, work_area.loc.y + work_area.size.h - ring);
    let (width, height) = (wanted.w.min(right - left), wanted.h.min(bottom - top));
    if width < 1 || height < 1 {
        return None;
    }
    let line = |offset: i32| content.loc.y + offset.clamp(0, content.size.h);
    let below = line(cursor.loc.y.saturating_add(cursor.size.h)) + ring;
    let above = line(cursor.loc.y) - ring - height;
    let (highest, lowest) = (top, bottom - height);
    let y = if below > lowest && above >= highest { above } else { below };
    let x = content.loc.x + cursor.loc.x.clamp(0, content.size.w);
    let loc = (x.clamp(left, right - width), y.clamp(highest, lowest));
    let content = Rectangle::new(loc.into(), (width, height).into());
    Some(PopupRects { content, ring: Some(grown(content, ring)) })
}

fn at_least_one(size: Size<i32, Physical>) -> Size<i32, Physical> {
    (size.w.max(1), size.h.max(1)).into()
}

/// The area of one VM's popups that is still to be had.
#[derive(Clone, Copy, Debug)]
pub struct AreaBudget(i64);

impl AreaBudget {
    /// The whole budget of a VM on this work area.
    #[must_use]
    pub fn new(work_area: Rectangle<i32, Physical>) -> Self {
        let area = i64::from(work_area.size.w) * i64::from(work_area.size.h);
        Self(area.saturating_mul(MAX_AREA_PERCENT) / 100)
    }

    /// Takes a popup's area out of the budget; false if it does not fit, and then nothing is taken.
    pub fn take(&mut self, rects: &PopupRects) -> bool {
        let size = rects.outer().size;
        let area = i64::from(size.w) * i64::from(size.h);
        if area > self.0 && Guard::PopupPlace.holds() {
            return false;
        }
        self.0 -= area;
        true
    }
}
