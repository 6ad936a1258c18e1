//! The geometry of a window's frame.

use smithay::utils::{Physical, Rectangle};

use crate::shell::scaled;

/// Widths of the label's parts, in logical pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameMetrics {
    /// The ring around the whole window.
    pub border: i32,
    /// The title bar between ring and content.
    pub title_height: i32,
    /// The stripe at the top of the output.
    pub stripe_height: i32,
}

impl Default for FrameMetrics {
    fn default() -> Self {
        Self { border: 4, title_height: 24, stripe_height: 24 }
    }
}

/// The parts of one frame, in physical pixels of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRects {
    /// Everything: the ring, the title bar and the content.
    pub outer: Rectangle<i32, Physical>,
    /// The title bar, inside the ring and above the content.
    pub title_bar: Rectangle<i32, Physical>,
    /// What the label surrounds.
    pub content: Rectangle<i32, Physical>,
}

impl FrameRects {
    /// The frame around a content rectangle.
    #[must_use]
    pub fn new(content: Rectangle<i32, Physical>, metrics: FrameMetrics, scale: f64) -> Self {
        let border = scaled(metrics.border, scale).max(1);
        let title = scaled(metrics.title_height, scale).max(1);
        let outer = Rectangle::new(
            (content.loc.x - border, content.loc.y - border - title).into(),
            (content.size.w + 2 * border, content.size.h + 2 * border + title).into(),
        );
        let title_bar =
            Rectangle::new((content.loc.x, content.loc.y - title).into(), (content.size.w, title).into());
        Self { outer, title_bar, content }
    }
}
