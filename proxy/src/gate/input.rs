//! Numbers that clients say about input: hotspots of cursors, and where the text cursor is.
//!
//! Nobody is refused for them. A text cursor far outside of what is seen is ordinary, and a hotspot outside of its cursor is a
//! mistake that costs nothing; but both are computed with, and an index into a text is used on that text. So they are cut to
//! what has a meaning.

use std::rc::Rc;

use wl_proxy::protocols::tablet_v2::zwp_tablet_manager_v2::{ZwpTabletManagerV2, ZwpTabletManagerV2Handler};
use wl_proxy::protocols::tablet_v2::zwp_tablet_seat_v2::{ZwpTabletSeatV2, ZwpTabletSeatV2Handler};
use wl_proxy::protocols::tablet_v2::zwp_tablet_tool_v2::{ZwpTabletToolV2, ZwpTabletToolV2Handler};
use wl_proxy::protocols::text_input_unstable_v3::zwp_text_input_manager_v3::{
    ZwpTextInputManagerV3, ZwpTextInputManagerV3Handler,
};
use wl_proxy::protocols::text_input_unstable_v3::zwp_text_input_v3::{ZwpTextInputV3, ZwpTextInputV3Handler};
use wl_proxy::protocols::wayland::wl_pointer::{WlPointer, WlPointerHandler};
use wl_proxy::protocols::wayland::wl_seat::{WlSeat, WlSeatHandler};
use wl_proxy::protocols::wayland::wl_surface::WlSurface;

use super::geometry::{clamp_length, clamp_offset};

pub(super) struct Seat;

impl WlSeatHandler for Seat {
    fn handle_get_pointer(&mut self, slf: &Rc<WlSeat>, id: &Rc<WlPointer>) {
        id.set_handler(Pointer);
        slf.send_get_pointer(id);
    }
}

struct Pointer;

impl WlPointerHandler for Pointer {
    fn handle_set_cursor(
        &mut self,
        slf: &Rc<WlPointer>,
        serial: u32,
        surface: Option<&Rc<WlSurface>>,
        x: i32,
        y: i32,
    ) {
        slf.send_set_cursor(serial, surface, clamp_offset(x), clamp_offset(y));
    }
}

pub(super) struct TabletManager;

impl ZwpTabletManagerV2Handler for TabletManager {
    fn handle_get_tablet_seat(
        &mut self,
        slf: &Rc<ZwpTabletManagerV2>,
        id: &Rc<ZwpTabletSeatV2>,
        seat: &Rc<WlSeat>,
    ) {
        id.set_handler(TabletSeat);
        slf.send_get_tablet_seat(id, seat);
    }
}

struct TabletSeat;

impl ZwpTabletSeatV2Handler for TabletSeat {
    fn handle_tool_added(&mut self, slf: &Rc<ZwpTabletSeatV2>, id: &Rc<ZwpTabletToolV2>) {
        id.set_handler(TabletTool);
        slf.send_tool_added(id);
    }
}

struct TabletTool;

impl ZwpTabletToolV2Handler for TabletTool {
    fn handle_set_cursor(
        &mut self,
        slf: &Rc<ZwpTabletToolV2>,
        serial: u32,
        surface: Option<&Rc<WlSurface>>,
        x: i32,
        y: i32,
    ) {
        slf.send_set_cursor(serial, surface, clamp_offset(x), clamp_offset(y));
    }
}

pub(super) struct TextInputManager;

impl ZwpTextInputManagerV3Handler for TextInputManager {
    fn handle_get_text_input(
        &mut self,
        slf: &Rc<ZwpTextInputManagerV3>,
        id: &Rc<ZwpTextInputV3>,
        seat: &Rc<WlSeat>,
    ) {
        id.set_handler(TextInput);
        slf.send_get_text_input(id, seat);
    }
}

struct TextInput;

impl ZwpTextInputV3Handler for TextInput {
    fn handle_set_surrounding_text(
        &mut self,
        slf: &Rc<ZwpTextInputV3>,
        text: &str,
        cursor: i32,
        anchor: i32,
    ) {
        slf.send_set_surrounding_text(text, place_in(text, cursor), place_in(text, anchor));
    }

    fn handle_set_cursor_rectangle(
        &mut self,
        slf: &Rc<ZwpTextInputV3>,
        x: i32,
        y: i32,
        width: i32,
        height: i32,
    ) {
        let (width, height) = (clamp_length(width), clamp_length(height));
        slf.send_set_cursor_rectangle(clamp_offset(x), clamp_offset(y), width, height);
    }
}

/// The last place in a text that is not behind this one, in bytes, and not within a character.
fn place_in(text: &str, place: i32) -> i32 {
    let place = usize::try_from(place).unwrap_or(0).min(text.len());
    let whole = (0..=place).rev().find(|place| text.is_char_boundary(*place));
    // A text is no longer than a message.
    i32::try_from(whole.unwrap_or(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_text_is_between_two_of_its_characters() {
        for (place, expected) in
            [(i32::MIN, 0), (-1, 0), (0, 0), (1, 1), (2, 1), (3, 3), (4, 4), (5, 4), (i32::MAX, 4)]
        {
            assert_eq!(place_in("aéb", place), expected, "{place}");
        }
        assert_eq!(place_in("", 1), 0);
    }
}
