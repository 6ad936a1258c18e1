//! The label rule, asserted of a picture: every window stands in a frame of its VM's colour.

use crate::client::Rect;
use crate::image::Image;
use crate::ipc::WindowInfo;
use crate::session::{LOCAL_COLOR, VM_COLORS, contains, places};

/// The least width of a frame, in units of the output's scale.
pub const LEAST_BORDER: i32 = 3;

/// The colour of a VM of the sessions, `0xRRGGBB`.
#[must_use]
pub fn color_of(vm: &str) -> u32 {
    VM_COLORS.iter().find(|(name, _)| *name == vm).map_or(LOCAL_COLOR, |(_, color)| *color)
}

/// The outermost ring of a frame, `width` pixels wide on all four sides.
fn ring(frame: Rect, width: i32) -> impl Iterator<Item = (i32, i32)> {
    let inner =
        Rect { x: frame.x + width, y: frame.y + width, w: frame.w - 2 * width, h: frame.h - 2 * width };
    places(frame).filter(move |&(x, y)| !contains(inner, x, y))
}

/// Asserts the label rule for all windows of a picture of an output; returns how many pixels of frames were looked at. What is
/// in `covered` is not looked at.
///
/// # Panics
///
/// When a frame that is in sight has a pixel of another colour than its VM's.
#[track_caller]
pub fn assert_labelled(image: &Image, windows: &[WindowInfo], scale: i32, covered: &[Rect]) -> usize {
    let mut seen = 0;
    for window in windows {
        let (frame, content) = (window.frame(), window.content());
        assert_eq!(window.rgb(), color_of(&window.vm), "{window:?}");
        let border = LEAST_BORDER * scale;
        assert!(content.x - frame.x >= border && content.y - frame.y >= border, "{window:?}");
        assert!(frame.x + frame.w - content.x - content.w >= border, "{window:?}");
        assert!(frame.y + frame.h - content.y - content.h >= border, "{window:?}");
        let above = windows.iter().filter(|other| other.z > window.z).map(WindowInfo::frame);
        let above: Vec<Rect> = above.chain(covered.iter().copied()).collect();
        for (x, y) in ring(frame, border) {
            if above.iter().any(|rect| contains(*rect, x, y)) || image.pixel(x, y).is_none() {
                continue;
            }
            seen += 1;
            let found = image.pixel(x, y);
            assert_eq!(found, Some(window.rgb()), "frame of {} at ({x}, {y}): {found:06x?}", window.title);
        }
    }
    seen
}
