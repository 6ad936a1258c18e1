//! Where the parts of a label are: pure geometry in physical pixels of the output.
//!
//! # Model
//!
//! The frame is computed outwards from the content rectangle that the compositor assigned to a window:
//!
//! ```text
//! ┌───────────────────────────────────────────────┐  ring, solid, `border` wide, on all four sides
//! │  ╭──────╮                    ▚▚▚▚▚▚▚  _  □  ✕ │  row: chip, title, pattern and buttons
//! │  ╰──────╯                                     │
//! │ ┌───────────────────────────────────────────┐ │  below the row, `border` more of solid colour
//! │ │ content                                   │ │
//! │ └───────────────────────────────────────────┘ │
//! └───────────────────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! * Nothing of the frame overlaps the content, and outer = content + borders exactly.
//! * Solid colour at least `border` wide touches the outer edge and the content on every side: chip, title and
//!   pattern lie between.
//! * The chip begins at a fixed place. Nothing here takes an argument that a guest can choose, except the
//!   content's size, which the compositor has clamped.

use smithay::utils::{Physical, Point, Rectangle, Size};

/// The smallest content that the compositor assigns to a window, in logical pixels. A smaller surface stands
/// on its backing; the frame is always wide enough for a chip that can be read.
pub const MIN_CONTENT: (i32, i32) = (160, 24);

/// Height of letters, in logical pixels, for which the widths here are.
pub const TEXT_SIZE: i32 = 12;
/// Space beside chip, title and pattern, in logical pixels.
const GAP: i32 = 6;
/// Width of the pattern, in logical pixels.
const PATTERN: i32 = 72;
/// Of the tab of a window that has the whole output: its width, and the height of its row, in logical pixels.
const TAB: i32 = 280;
const TAB_ROW: i32 = 20;
/// Width of a button, in logical pixels.
const BUTTON: i32 = 24;
/// Beside all buttons, or beside the one that closes, this much is left for the chip, in logical pixels.
const BESIDE_BUTTONS: (i32, i32) = (240, 200);
/// Scales that outputs really have; others are clamped.
const SCALES: (f64, f64) = (0.25, 16.0);

/// Widths of the label's parts, in logical pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameMetrics {
    /// The ring around the whole window.
    pub border: i32,
    /// The title bar between ring and content.
    pub title_height: i32,
    /// Letters in the title bar.
    pub text_size: i32,
    /// The stripe at the output's top, and the banner at its bottom.
    pub stripe_height: i32,
    /// The ring around a popup.
    pub popup_ring: i32,
}

impl Default for FrameMetrics {
    fn default() -> Self {
        Self { border: 4, title_height: 24, text_size: TEXT_SIZE, stripe_height: 24, popup_ring: 2 }
    }
}

/// The same in physical pixels of an output. Each is rounded up, so that it is never thinner than it should
/// be and never vanishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaledMetrics {
    /// Width of the ring.
    pub border: i32,
    /// Height of the title bar, without the ring above it.
    pub title_height: i32,
    /// Height of the output's stripe and banner.
    pub stripe_height: i32,
    /// Width of a popup's ring.
    pub popup_ring: i32,
    /// Width of a button in the title bar.
    pub button: i32,
    /// What is left for the chip beside all buttons, and beside the one that closes.
    pub beside_buttons: (i32, i32),
    /// Space between the parts of the title bar.
    pub gap: i32,
    /// Width of the pattern where there is room for it.
    pub pattern: i32,
    /// The smallest content.
    pub min_content: Size<i32, Physical>,
}

/// A scale that can be drawn at.
#[must_use]
pub fn sane_scale(scale: f64) -> f64 {
    if scale.is_finite() { scale.clamp(SCALES.0, SCALES.1) } else { 1.0 }
}

/// Logical to physical pixels, rounded up to at least 1. A hair more than an integer is that integer: it comes
/// from the multiplication, not from the scale.
#[must_use]
pub fn scale_up(logical: i32, scale: f64) -> i32 {
    let exact = f64::from(logical) * sane_scale(scale);
    // The cast saturates.
    ((exact - 1e-6).ceil() as i32).max(1)
}

impl FrameMetrics {
    /// The metrics on an output of the given scale.
    #[must_use]
    pub fn scaled(&self, scale: f64) -> ScaledMetrics {
        // Larger letters need more room to say the same.
        let letters =
            |width: i32| scale_up(width.saturating_mul(self.text_size.max(TEXT_SIZE)) / TEXT_SIZE, scale);
        ScaledMetrics {
            border: scale_up(self.border, scale),
            title_height: scale_up(self.title_height, scale),
            stripe_height: scale_up(self.stripe_height, scale),
            popup_ring: scale_up(self.popup_ring, scale),
            button: scale_up(BUTTON, scale),
            beside_buttons: (letters(BESIDE_BUTTONS.0), letters(BESIDE_BUTTONS.1)),
            gap: scale_up(GAP, scale),
            pattern: scale_up(PATTERN, scale),
            min_content: (letters(MIN_CONTENT.0), scale_up(MIN_CONTENT.1, scale)).into(),
        }
    }
}

impl ScaledMetrics {
    /// How far the frame reaches beyond the content on top.
    #[must_use]
    pub fn top(&self) -> i32 {
        self.border.saturating_add(self.title_height)
    }

    /// Height of chip, title and pattern.
    #[must_use]
    pub fn row(&self) -> i32 {
        self.title_height.saturating_sub(self.border).max(1)
    }
}

/// Four rectangles that surround another without overlapping it or each other: top, bottom, left, right.
pub type Ring = [Rectangle<i32, Physical>; 4];

fn rect(x: i32, y: i32, w: i32, h: i32) -> Rectangle<i32, Physical> {
    Rectangle::new((x, y).into(), (w.max(0), h.max(0)).into())
}

/// The ring between `outer` and `inner`, which lies inside it.
#[must_use]
pub fn ring(outer: Rectangle<i32, Physical>, inner: Rectangle<i32, Physical>) -> Ring {
    let outer_end = (outer.loc.x.saturating_add(outer.size.w), outer.loc.y.saturating_add(outer.size.h));
    let inner_end = (inner.loc.x.saturating_add(inner.size.w), inner.loc.y.saturating_add(inner.size.h));
    let left = inner.loc.x.saturating_sub(outer.loc.x);
    let right = outer_end.0.saturating_sub(inner_end.0);
    [
        rect(outer.loc.x, outer.loc.y, outer.size.w, inner.loc.y.saturating_sub(outer.loc.y)),
        rect(outer.loc.x, inner_end.1, outer.size.w, outer_end.1.saturating_sub(inner_end.1)),
        rect(outer.loc.x, inner.loc.y, left, inner.size.h),
        rect(inner_end.0, inner.loc.y, right, inner.size.h),
    ]
}

/// A rectangle grown by `by` on all sides.
#[must_use]
pub fn grown(inner: Rectangle<i32, Physical>, by: i32) -> Rectangle<i32, Physical> {
    let twice = by.saturating_mul(2);
    rect(
        inner.loc.x.saturating_sub(by),
        inner.loc.y.saturating_sub(by),
        inner.size.w.saturating_add(twice),
        inner.size.h.saturating_add(twice),
    )
}

/// A button in a window's title bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameButton {
    /// Takes the window off the screen.
    Minimize,
    /// Maximises the window, or puts it back.
    Maximize,
    /// Asks the window to close.
    Close,
}

impl FrameButton {
    /// All of them, in the order in which they stand.
    pub const ALL: [Self; 3] = [Self::Minimize, Self::Maximize, Self::Close];
}

/// Where the parts of one window's frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRects {
    /// Everything: the ring, the title bar and the content.
    pub outer: Rectangle<i32, Physical>,
    /// The title bar, inside the ring and above the content.
    pub title_bar: Rectangle<i32, Physical>,
    /// What the label surrounds, and what the window's surface tree is clipped to.
    pub content: Rectangle<i32, Physical>,
    /// Everything between the two, in the VM's colour.
    pub ring: Ring,
    /// The part of the title bar that chip, title, pattern and buttons share.
    pub row: Rectangle<i32, Physical>,
    /// The buttons in the order of [`FrameButton::ALL`]; empty where the window is too narrow for them and a chip.
    pub buttons: [Rectangle<i32, Physical>; 3],
    /// Where the pattern is drawn; empty where the window is too narrow for it.
    pub pattern: Rectangle<i32, Physical>,
    /// Of a window that has the whole output: what chip and pattern stand on, over its content. Empty for any other.
    pub tab: Rectangle<i32, Physical>,
    /// Space between the parts of the row.
    pub gap: i32,
    /// Height of letters in the row, in logical pixels.
    pub text_size: i32,
}

impl FrameRects {
    /// The frame of a window whose content is drawn at `content`.
    #[must_use]
    pub fn new(content: Rectangle<i32, Physical>, metrics: FrameMetrics, scale: f64) -> Self {
        let text_size = metrics.text_size;
        let metrics = metrics.scaled(scale);
        let content = rect(content.loc.x, content.loc.y, content.size.w.max(1), content.size.h.max(1));
        let outer = rect(
            content.loc.x.saturating_sub(metrics.border),
            content.loc.y.saturating_sub(metrics.top()),
            content.size.w.saturating_add(2 * metrics.border),
            content.size.h.saturating_add(metrics.top()).saturating_add(metrics.border),
        );
        let top = outer.loc.y.saturating_add(metrics.border);
        let title_bar = rect(content.loc.x, top, content.size.w, metrics.title_height);
        let row = rect(content.loc.x, top, content.size.w, metrics.row());
        let buttons = buttons(row, &metrics);
        let end = buttons_start(&buttons)
            .map_or(row.loc.x.saturating_add(row.size.w), |x| x.saturating_sub(metrics.gap));
        let free = end.saturating_sub(row.loc.x);
        // The chip comes first: the pattern takes at most a quarter of the row, and nothing of a short one.
        let pattern_width = metrics.pattern.min(free / 4);
        let pattern_width = if pattern_width < metrics.row() { 0 } else { pattern_width };
        let pattern = rect(end.saturating_sub(pattern_width), row.loc.y, pattern_width, row.size.h);
        Self {
            outer,
            title_bar,
            content,
            ring: ring(outer, content),
            row,
            buttons,
            pattern,
            tab: Rectangle::default(),
            gap: metrics.gap,
            text_size,
        }
    }

    /// The frame of a window that has the whole output: a ring as wide as any other, and a tab in the middle of its upper edge with
    /// chip and pattern.
    #[must_use]
    pub fn whole(output: Rectangle<i32, Physical>, metrics: FrameMetrics, scale: f64) -> Self {
        let text_size = metrics.text_size;
        let metrics = metrics.scaled(scale);
        let content = grown(output, metrics.border.saturating_neg());
        let width = scale_up(TAB, scale).min(content.size.w);
        let left = content.loc.x.saturating_add((content.size.w - width) / 2);
        let top = output.loc.y.saturating_add(metrics.border);
        let height = scale_up(TAB_ROW, scale).min(content.size.h).max(1);
        let side = metrics.border.min(width / 4);
        let row = rect(left.saturating_add(side), top, width.saturating_sub(2 * side), height);
        let tab_height = metrics.border.saturating_mul(2).saturating_add(height).min(output.size.h);
        let tab = rect(left, output.loc.y, width, tab_height);
        let pattern_width = row.size.w / 4;
        let pattern = rect(row.loc.x + row.size.w - pattern_width, row.loc.y, pattern_width, row.size.h);
        Self {
            outer: output,
            title_bar: tab,
            content,
            ring: ring(output, content),
            row,
            buttons: Default::default(),
            pattern,
            tab,
            gap: metrics.gap,
            text_size: text_size.min(TEXT_SIZE),
        }
    }

    /// The content without what of the label lies over it.
    #[must_use]
    pub fn shows_content_at(&self, point: Point<i32, Physical>) -> bool {
        self.content.contains(point) && !self.tab.contains(point)
    }

    /// Where the chip is, once its picture is `width` wide. It always begins at the row's left end.
    #[must_use]
    pub fn chip(&self, width: i32, patterned: bool) -> Rectangle<i32, Physical> {
        rect(self.row.loc.x, self.row.loc.y, width.clamp(0, self.chip_room(patterned)), self.row.size.h)
    }

    /// The widest that the chip may be: the row, or what the pattern leaves of it where there is one.
    #[must_use]
    pub fn chip_room(&self, patterned: bool) -> i32 {
        self.row_end(patterned).saturating_sub(self.row.loc.x)
    }

    /// What is left for the title beside a chip of the given width; empty if nothing is.
    #[must_use]
    pub fn title(&self, chip_width: i32, patterned: bool) -> Rectangle<i32, Physical> {
        let chip = self.chip(chip_width, patterned);
        let start = chip.loc.x.saturating_add(chip.size.w).saturating_add(self.gap);
        rect(start, self.row.loc.y, self.row_end(patterned).saturating_sub(start), self.row.size.h)
    }

    /// Takes the buttons away and gives their room to the others.
    pub fn without_buttons(&mut self) {
        let end = self.row.loc.x.saturating_add(self.row.size.w);
        self.buttons = Default::default();
        self.pattern.loc.x = end.saturating_sub(self.pattern.size.w);
    }

    /// The button at a point.
    #[must_use]
    pub fn button_at(&self, point: Point<i32, Physical>) -> Option<FrameButton> {
        let mut all = self.buttons.iter().zip(FrameButton::ALL);
        all.find(|(rect, _)| rect.contains(point)).map(|(_, button)| button)
    }

    /// Where chip and title end.
    fn row_end(&self, patterned: bool) -> i32 {
        if patterned && !self.pattern.is_empty() {
            self.pattern.loc.x.saturating_sub(self.gap)
        } else if let Some(start) = buttons_start(&self.buttons) {
            start.saturating_sub(self.gap)
        } else {
            self.row.loc.x.saturating_add(self.row.size.w)
        }
    }
}

/// The buttons at the right end of a row: all, only the one that closes, or none, as there is room beside a chip.
fn buttons(row: Rectangle<i32, Physical>, metrics: &ScaledMetrics) -> [Rectangle<i32, Physical>; 3] {
    let width = metrics.button;
    let end = row.loc.x.saturating_add(row.size.w);
    let at = |from_end: i32| {
        rect(end.saturating_sub(width.saturating_mul(from_end)), row.loc.y, width, row.size.h)
    };
    let (all, close) = metrics.beside_buttons;
    if row.size.w >= width.saturating_mul(3).saturating_add(all) {
        [at(3), at(2), at(1)]
    } else if row.size.w >= width.saturating_add(close) {
        [Rectangle::default(), Rectangle::default(), at(1)]
    } else {
        [Rectangle::default(); 3]
    }
}

/// Where the left-most of the buttons begins that are there.
fn buttons_start(buttons: &[Rectangle<i32, Physical>; 3]) -> Option<i32> {
    buttons.iter().find(|button| !button.is_empty()).map(|button| button.loc.x)
}

/// The stripe at the top of an output, which nothing may cover.
#[must_use]
pub fn stripe(output: Size<i32, Physical>, metrics: &ScaledMetrics) -> Rectangle<i32, Physical> {
    rect(0, 0, output.w, metrics.stripe_height.min(output.h))
}

/// The banner at the bottom of an output, where no stripe and few title bars are.
#[must_use]
pub fn banner(output: Size<i32, Physical>, metrics: &ScaledMetrics) -> Rectangle<i32, Physical> {
    let height = metrics.stripe_height.min((output.h - stripe(output, metrics).size.h).max(0));
    rect(0, output.h.saturating_sub(height), output.w, height)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scaled(scale: f64) -> ScaledMetrics {
        FrameMetrics::default().scaled(scale)
    }

    fn layout(x: i32, y: i32, w: i32, h: i32, scale: f64) -> FrameRects {
        FrameRects::new(rect(x, y, w, h), FrameMetrics::default(), scale)
    }

    #[test]
    fn whole_and_fractional_scales_give_the_expected_sizes() {
        let sizes = |scale| {
            let metrics = scaled(scale);
            (metrics.border, metrics.title_height, metrics.stripe_height, metrics.popup_ring)
        };
        assert_eq!(sizes(1.0), (4, 24, 24, 2));
        assert_eq!(sizes(1.1), (5, 27, 27, 3));
        assert_eq!(sizes(1.25), (5, 30, 30, 3));
        assert_eq!(sizes(1.5), (6, 36, 36, 3));
        assert_eq!(sizes(2.0), (8, 48, 48, 4));
    }

    #[test]
    fn a_scale_that_is_none_is_taken_as_one() {
        for scale in [f64::NAN, f64::INFINITY] {
            assert_eq!(scaled(scale), scaled(1.0));
        }
    }

    #[test]
    fn the_frame_of_a_plain_window_is_where_it_is_drawn() {
        let frame = layout(104, 128, 200, 100, 1.0);
        assert_eq!(frame.outer, rect(100, 100, 208, 132));
        assert_eq!(frame.row, rect(104, 104, 200, 20));
        assert_eq!(frame.chip(50, true), rect(104, 104, 50, 20));
        assert_eq!(frame.pattern, rect(254, 104, 50, 20));
        assert_eq!(frame.title(50, true), rect(160, 104, 88, 20));
        assert_eq!(frame.title(50, false), rect(160, 104, 144, 20));
        assert_eq!(frame.buttons, [rect(0, 0, 0, 0); 3], "the chip comes first");
        let middle = layout(104, 128, 240, 100, 1.0);
        assert_eq!(middle.buttons, [rect(0, 0, 0, 0), rect(0, 0, 0, 0), rect(320, 104, 24, 20)]);
        assert_eq!(middle.title(50, false), rect(160, 104, 154, 20));
        let wide = layout(104, 128, 400, 100, 1.0);
        assert_eq!(wide.buttons, [rect(432, 104, 24, 20), rect(456, 104, 24, 20), rect(480, 104, 24, 20)]);
        assert_eq!(wide.button_at((460, 110).into()), Some(FrameButton::Maximize));
    }

    fn area(rects: &[Rectangle<i32, Physical>]) -> i64 {
        rects.iter().map(|rect| i64::from(rect.size.w) * i64::from(rect.size.h)).sum()
    }

    proptest! {
        #[test]
        fn ring_and_content_tile_the_outer_rectangle(
            x in -5000..5000i32, y in -5000..5000i32, w in 1..5000i32, h in 1..5000i32, scale in 0.5..4.0f64,
        ) {
            let frame = layout(x, y, w, h, scale);
            prop_assert_eq!(area(&frame.ring) + area(&[frame.content]), area(&[frame.outer]));
            for (index, side) in frame.ring.iter().enumerate() {
                prop_assert!(!side.overlaps(frame.content));
                prop_assert!(frame.outer.contains_rect(*side));
                for other in &frame.ring[index + 1..] {
                    prop_assert!(!side.overlaps(*other));
                }
            }
        }

        #[test]
        fn a_window_that_has_the_whole_output_has_a_ring_and_a_tab_inside_of_it(
            x in -5000..5000i32, y in -5000..5000i32, w in 64..5000i32, h in 64..5000i32, scale in 0.5..4.0f64,
        ) {
            let frame = FrameRects::whole(rect(x, y, w, h), FrameMetrics::default(), scale);
            let border = scaled(scale).border;
            prop_assert_eq!(area(&frame.ring) + area(&[frame.content]), area(&[frame.outer]));
            prop_assert_eq!(frame.content, grown(frame.outer, -border));
            prop_assert!(frame.outer.contains_rect(frame.tab) && frame.tab.contains_rect(frame.row));
            prop_assert!(frame.row.contains_rect(frame.pattern) && frame.row.contains_rect(frame.chip(9000, true)));
            prop_assert!(!frame.shows_content_at(frame.tab.loc));
        }

        #[test]
        fn no_side_is_thinner_than_the_scaled_border(w in 1..5000i32, h in 1..5000i32, scale in 0.25..8.0f64) {
            let frame = layout(0, 0, w, h, scale);
            let [top, bottom, left, right] = frame.ring;
            let least = (4.0 * scale).max(1.0) - 1e-3;
            for thickness in [top.size.h, bottom.size.h, left.size.w, right.size.w] {
                prop_assert!(f64::from(thickness) >= least);
            }
        }

        #[test]
        fn the_row_leaves_solid_colour_on_both_sides(w in 1..5000i32, h in 1..5000i32, scale in 0.5..4.0f64, chip in 0..9000i32, patterned: bool) {
            let metrics = scaled(scale);
            let frame = layout(0, 0, w, h, scale);
            prop_assert_eq!(frame.row.loc.y - frame.outer.loc.y, metrics.border);
            prop_assert!(frame.content.loc.y - (frame.row.loc.y + frame.row.size.h) >= metrics.border.min(metrics.title_height - 1));
            for part in [frame.chip(chip, patterned), frame.title(chip, patterned), frame.pattern] {
                prop_assert!(part.is_empty() || frame.row.contains_rect(part), "{part:?} in {:?}", frame.row);
            }
            for button in frame.buttons.iter().filter(|button| !button.is_empty()) {
                prop_assert!(frame.row.contains_rect(*button));
                for part in [frame.chip(chip, patterned), frame.title(chip, patterned), frame.pattern] {
                    prop_assert!(!button.overlaps(part));
                }
            }
            prop_assert!(!frame.title(chip, patterned).overlaps(frame.chip(chip, patterned)));
            prop_assert!(!patterned || !frame.title(chip, patterned).overlaps(frame.pattern));
            prop_assert_eq!(frame.chip(chip, patterned).loc, frame.row.loc);
        }

        #[test]
        fn stripe_and_banner_stay_on_the_output_and_apart(w in 1..9000i32, h in 1..9000i32, scale in 0.25..8.0f64) {
            let metrics = scaled(scale);
            let output: Size<i32, Physical> = (w, h).into();
            let (stripe, banner) = (stripe(output, &metrics), banner(output, &metrics));
            prop_assert!(!stripe.overlaps(banner));
            prop_assert!(rect(0, 0, w, h).contains_rect(stripe) && rect(0, 0, w, h).contains_rect(banner));
        }

        #[test]
        fn extreme_values_do_not_overflow(x: i32, y: i32, w: i32, h: i32, scale: f64) {
            let frame = layout(x, y, w, h, scale);
            let _ = (frame.chip(w, true), frame.title(w, false), grown(frame.outer, w));
        }
    }
}
