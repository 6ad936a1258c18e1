//! Keyboard and pointer of the X server, as far as they are on the window. Its keys have the numbers of evdev plus eight, as
//! XKB has them; their letters are those of the layout here, whatever it is there.

use x11rb::protocol::Event;
use x11rb::protocol::xproto::{ButtonPressEvent, KeyButMask, LeaveNotifyEvent, NotifyDetail};

use crate::input::keyboard::evdev_code;
use crate::input::pointer::{BUTTON_LEFT, BUTTON_RIGHT};
use crate::state::State;

/// The middle button's code of evdev.
const BUTTON_MIDDLE: u32 = 0x112;
/// That of the first button that X counts behind those of the wheels.
const BUTTON_SIDE: u32 = 0x113;

/// What one of the server's buttons is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Button {
    /// A button, by its code of evdev.
    Code(u32),
    /// A step of a wheel, to the right and down.
    Step(f64, f64),
}

impl Button {
    /// By the server's number.
    fn new(number: u8) -> Option<Self> {
        Some(match number {
            0 => return None,
            1 => Self::Code(BUTTON_LEFT),
            2 => Self::Code(BUTTON_MIDDLE),
            3 => Self::Code(BUTTON_RIGHT),
            4 => Self::Step(0.0, -1.0),
            5 => Self::Step(0.0, 1.0),
            6 => Self::Step(-1.0, 0.0),
            7 => Self::Step(1.0, 0.0),
            more => Self::Code(BUTTON_SIDE + u32::from(more - 8)),
        })
    }
}

impl State {
    /// Something happened at a device while it was on the window.
    pub(super) fn x11_input(&mut self, event: &Event) {
        match event {
            // Repeated presses come without releases, and are none.
            Event::KeyPress(event) => self.device_key_code(evdev_code(u32::from(event.detail).into()), true),
            Event::KeyRelease(event) => {
                self.device_key_code(evdev_code(u32::from(event.detail).into()), false);
            }
            Event::ButtonPress(event) => self.x11_button(event, true),
            Event::ButtonRelease(event) => self.x11_button(event, false),
            Event::MotionNotify(event) => self.x11_pointer_at(event.event_x, event.event_y),
            Event::EnterNotify(event) => self.x11_pointer_at(event.event_x, event.event_y),
            Event::LeaveNotify(event) => self.x11_pointer_left(event),
            // Where the keyboard follows the pointer, leaving the window is all that is said.
            Event::FocusIn(event) => self.x11_has_focus(event.detail != NotifyDetail::POINTER),
            // The release of what is held will be told to somebody else.
            Event::FocusOut(_) => {
                self.x11_has_focus(false);
                self.release_devices();
            }
            _ => {}
        }
    }

    fn x11_button(&mut self, event: &ButtonPressEvent, pressed: bool) {
        match Button::new(event.detail) {
            Some(Button::Code(code)) => self.device_button_code(code, pressed),
            Some(Button::Step(dx, dy)) if pressed => self.input_pointer_axis(dx, dy),
            Some(Button::Step(..)) | None => {}
        }
    }

    fn x11_pointer_at(&mut self, x: i16, y: i16) {
        self.input_pointer_motion(f64::from(x), f64::from(y));
    }

    fn x11_has_focus(&mut self, has: bool) {
        if let Some(x11) = self.x11() {
            x11.focused = has;
        }
    }

    fn x11_pointer_left(&mut self, event: &LeaveNotifyEvent) {
        let buttons = [KeyButMask::BUTTON1, KeyButMask::BUTTON2, KeyButMask::BUTTON3];
        let dragging = buttons.into_iter().any(|button| event.state.contains(button));
        if !dragging && self.x11().is_some_and(|x11| !x11.focused) {
            self.release_devices();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X counts the steps of wheels among the buttons, and the buttons at a mouse's side behind them.
    #[test]
    fn buttons_have_the_codes_of_evdev() {
        let codes = [1, 2, 3, 8, 9].map(Button::new);
        assert_eq!(codes, [0x110, 0x112, 0x111, 0x113, 0x114].map(|code| Some(Button::Code(code))));
        assert_eq!(Button::new(4), Some(Button::Step(0.0, -1.0)), "the wheel away from the user goes up");
        assert_eq!(Button::new(7), Some(Button::Step(1.0, 0.0)));
        assert_eq!(Button::new(0), None);
        assert_eq!(Button::new(255), Some(Button::Code(0x113 + 247)));
    }
}
