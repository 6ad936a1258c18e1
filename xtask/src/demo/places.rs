//! Where the demo's windows stand: in two columns with air between them, whatever the size of the screen.
//!
//! The compositor keeps where windows stand in a file (`vitrail --layout`) and gives a new window the place of the one before it
//! with the same VM and application id. The demo writes that file before there is any window.

use std::fmt::Write as _;

use super::table::Area;

/// Space between windows, and between them and the edges of the screen, in logical pixels.
const GAP: i32 = 20;
/// Height of the stripe at the top of the screen.
const STRIPE: i32 = 24;
/// What a frame adds to its content: on both sides together, and above and below together.
const FRAME: (i32, i32) = (8, 32);
/// What of a column's height its upper part has.
const UPPER: (i32, i32) = (62, 100);

/// The frame of one window, in logical pixels.
#[derive(Debug)]
pub struct Place {
    pub vm: &'static str,
    pub app_id: &'static str,
    pub frame: Area,
}

/// A screen of so many physical pixels, of which `scale` are a logical one.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    pub width: i32,
    pub height: i32,
    pub scale: f64,
}

impl Screen {
    /// The places of all windows of the demo.
    pub fn places(self) -> Vec<Place> {
        let logical = |length: i32| (f64::from(length) / self.scale) as i32;
        places(logical(self.width), logical(self.height))
    }

    /// Where a place's frame begins, in physical pixels.
    pub fn corner(self, place: &Place) -> (i32, i32) {
        let physical = |length: i32| (f64::from(length) * self.scale).round() as i32;
        (physical(place.frame.x), physical(place.frame.y))
    }

    /// The largest letters with which a line of the list, of at most 95 of them, fits into the window of the local client, in
    /// points.
    pub fn letters(self) -> i32 {
        let list = self.places().into_iter().find(|place| place.vm == "local");
        match list.map_or(0, |place| place.frame.w - FRAME.0) {
            // Letters of that size are 8 logical pixels wide, those below 7 and 6.
            760.. => 10,
            665.. => 9,
            _ => 7,
        }
    }

    /// The file for `vitrail --layout`.
    pub fn file(self) -> String {
        let mut text = String::new();
        for place in self.places() {
            let (x, y) = self.corner(&place);
            let Place { vm, app_id, frame: Area { w, h, .. } } = place;
            let (width, height) = (w - FRAME.0, h - FRAME.1);
            let _ = write!(
                text,
                "[[window]]\nvm = \"{vm}\"\napp_id = \"{app_id}\"\noutput = \"vitrail-1\"\nx = {x}\ny = {y}\n\
                 width = {width}\nheight = {height}\nmode = \"floating\"\n\n"
            );
        }
        text
    }
}

/// The places of all windows of the demo on a screen of `width` times `height` logical pixels. On one that is too small for them
/// they lie upon each other.
fn places(width: i32, height: i32) -> Vec<Place> {
    let columns = width - 3 * GAP;
    let left = (columns * 21 / 40).max(200);
    let right = (columns - left).max(200);
    let (x, top) = (left + 2 * GAP, STRIPE + GAP);
    let all = height - STRIPE;
    // These two draw at a size of their own.
    let (shm, flower) = (framed(250, 250), framed(200, 200));
    let demo = ((all - 3 * GAP) * UPPER.0 / UPPER.1).max(100);
    let list = (all - 3 * GAP - demo).max(100);
    let below = top + shm.1 + GAP;
    let terminal = ((height - below - 2 * GAP) * 2 / 5).max(100);
    let place = |vm, app_id, x, y, (w, h)| Place { vm, app_id, frame: Area { x, y, w, h } };
    vec![
        place("personal", "gtk4-demo", GAP, top, (left, demo)),
        place("local", "foot", GAP, top + demo + GAP, (left, list)),
        place("untrusted", "org.freedesktop.weston.simple-shm", x, top, shm),
        place("untrusted", "org.freedesktop.weston.flower", x + shm.0 + GAP, top, flower),
        place("work", "foot", x, below, (right, terminal)),
        place(
            "work",
            "gtk4-print-editor",
            x,
            below + terminal + GAP,
            (right, height - below - terminal - 2 * GAP),
        ),
    ]
}

/// The frame of a content of the given size.
fn framed(width: i32, height: i32) -> (i32, i32) {
    (width + FRAME.0, height + FRAME.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_windows_and_around_them_there_is_air() {
        for (width, height) in [(1280, 800), (1600, 1000), (1920, 1080), (3840, 2160)] {
            let places = places(width, height);
            for (index, Place { frame: a, .. }) in places.iter().enumerate() {
                assert!(a.x >= GAP && a.x + a.w <= width - GAP, "{a:?} on {width}");
                assert!(a.y >= STRIPE + GAP && a.y + a.h <= height - GAP, "{a:?} on {height}");
                for Place { frame: b, .. } in places.iter().skip(index + 1) {
                    let beside = a.x + a.w + GAP <= b.x || b.x + b.w + GAP <= a.x;
                    let below = a.y + a.h + GAP <= b.y || b.y + b.h + GAP <= a.y;
                    assert!(beside || below, "{a:?} and {b:?}");
                }
            }
        }
    }

    #[test]
    fn places_are_in_physical_pixels_and_sizes_in_logical_ones() {
        let text = Screen { width: 3840, height: 2160, scale: 2.0 }.file();
        assert!(text.contains("x = 40\ny = 88\nwidth = "), "{text}");
        assert!(text.contains("width = 250\nheight = 250\n"), "{text}");
    }
}
