//! Text inputs: only what an input method can compute with.
//!
//! The text around a cursor goes on to a program that other VMs type through, and some compositors give it on as it
//! came, or end with a number that their protocol does not know. So a text that is too long or whose offsets are not between
//! its characters is not passed on, and numbers are made ones that there are. The application goes on: it is told of none of
//! this, as by a compositor that has no use for what it says.

use std::rc::Rc;

use wl_proxy::protocols::text_input_unstable_v3::zwp_text_input_manager_v3::{
    ZwpTextInputManagerV3, ZwpTextInputManagerV3Handler,
};
use wl_proxy::protocols::text_input_unstable_v3::zwp_text_input_v3::{
    ZwpTextInputV3, ZwpTextInputV3ChangeCause, ZwpTextInputV3ContentHint, ZwpTextInputV3ContentPurpose,
    ZwpTextInputV3Handler,
};
use wl_proxy::protocols::wayland::wl_seat::WlSeat;

use super::geometry::{clamp_length, clamp_offset};

/// The longest text around a cursor, in bytes, from the protocol.
const MAX_TEXT: usize = 4000;
/// The hints of version 1.
const HINTS: u32 = 0x3ff;

pub(super) struct TextInputs;

impl ZwpTextInputManagerV3Handler for TextInputs {
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
        if is_sound(text, cursor, anchor) {
            slf.send_set_surrounding_text(text, cursor, anchor);
        }
    }

    fn handle_set_text_change_cause(&mut self, slf: &Rc<ZwpTextInputV3>, cause: ZwpTextInputV3ChangeCause) {
        slf.send_set_text_change_cause(cause.min(ZwpTextInputV3ChangeCause::OTHER));
    }

    fn handle_set_content_type(
        &mut self,
        slf: &Rc<ZwpTextInputV3>,
        hint: ZwpTextInputV3ContentHint,
        purpose: ZwpTextInputV3ContentPurpose,
    ) {
        slf.send_set_content_type(ZwpTextInputV3ContentHint(hint.0 & HINTS), known(purpose));
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

/// Whether the text is not too long, and both offsets are between two characters of it.
fn is_sound(text: &str, cursor: i32, anchor: i32) -> bool {
    let within = |offset: i32| usize::try_from(offset).is_ok_and(|offset| text.is_char_boundary(offset));
    text.len() <= MAX_TEXT && within(cursor) && within(anchor)
}

fn known(purpose: ZwpTextInputV3ContentPurpose) -> ZwpTextInputV3ContentPurpose {
    let last = ZwpTextInputV3ContentPurpose::TERMINAL;
    if purpose <= last { purpose } else { ZwpTextInputV3ContentPurpose::NORMAL }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_sound_with_offsets_between_its_characters() {
        for (text, cursor, anchor, sound) in [
            ("", 0, 0, true),
            ("éa", 2, 3, true),
            ("éa", 1, 0, false),
            ("éa", 0, 4, false),
            ("a", -1, 0, false),
            ("a", i32::MIN, i32::MAX, false),
        ] {
            assert_eq!(is_sound(text, cursor, anchor), sound, "{text} {cursor} {anchor}");
        }
        assert!(is_sound(&"a".repeat(4000), 4000, 0));
        assert!(!is_sound(&"a".repeat(4001), 0, 0));
    }

    #[test]
    fn a_purpose_that_there_is_not_is_none_in_particular() {
        assert_eq!(known(ZwpTextInputV3ContentPurpose::PASSWORD), ZwpTextInputV3ContentPurpose::PASSWORD);
        assert_eq!(known(ZwpTextInputV3ContentPurpose::TERMINAL), ZwpTextInputV3ContentPurpose::TERMINAL);
        assert_eq!(known(ZwpTextInputV3ContentPurpose(14)), ZwpTextInputV3ContentPurpose::NORMAL);
    }
}
