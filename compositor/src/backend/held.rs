//! What is held down at the devices of a backend, so that it can be let go when the devices are somebody else's.

use super::Backend;
use crate::state::State;

/// The keys and buttons that are down, by their codes. A device names each at most once, so there are no more than codes.
#[derive(Debug, Default)]
pub(super) struct Held {
    keys: Vec<u32>,
    buttons: Vec<u32>,
}

/// Notes a press or release; false if it changes nothing. libinput ends what is held when it is suspended, and tells of it
/// when it goes on, long after that was ended here.
fn note(held: &mut Vec<u32>, code: u32, pressed: bool) -> bool {
    let before = held.len();
    held.retain(|other| *other != code);
    let was_held = held.len() != before;
    if pressed {
        held.push(code);
    }
    was_held != pressed
}

impl State {
    fn held(&mut self) -> Option<&mut Held> {
        match &mut self.backend {
            Backend::Headless(_) => None,
            Backend::Drm(drm) => Some(drm.held()),
            Backend::Nested(nested) => Some(nested.held()),
            Backend::X11(x11) => Some(x11.held()),
        }
    }

    /// A key of a device, by its code of evdev.
    pub(super) fn device_key_code(&mut self, code: u32, pressed: bool) {
        if self.held().is_some_and(|held| note(&mut held.keys, code, pressed)) {
            self.input_key(code, pressed);
        }
    }

    /// A button of a device, likewise.
    pub(super) fn device_button_code(&mut self, code: u32, pressed: bool) {
        if self.held().is_some_and(|held| note(&mut held.buttons, code, pressed)) {
            self.input_pointer_button(code, pressed);
        }
    }

    /// Lets go of everything that is held down, because what ends it will not be seen here.
    pub(super) fn release_devices(&mut self) {
        let held = self.held().map(std::mem::take).unwrap_or_default();
        for code in held.keys {
            self.input_key(code, false);
        }
        for code in held.buttons {
            self.input_pointer_button(code, false);
        }
        self.input_touch_cancel();
        self.input_tablet_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After the user came back to the console a key was let go twice: once by the compositor, when the user left, and once
    /// by libinput. The second would have taken the release of the next press of the same key.
    #[test]
    fn a_key_that_was_let_go_is_not_let_go_again() {
        let mut held = Vec::new();
        assert!(note(&mut held, 30, true));
        assert!(!note(&mut held, 30, true), "pressed already");
        held.clear();
        assert!(!note(&mut held, 30, false), "let go already");
        assert!(note(&mut held, 30, true) && note(&mut held, 30, false));
        assert!(held.is_empty());
    }
}
