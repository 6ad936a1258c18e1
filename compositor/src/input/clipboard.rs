//! Content that is dropped onto a window of another VM.
//!
//! While it is dragged there, that VM is told of nothing: neither that anything is dragged, nor what. When the last button is let
//! go, the compositor takes the content itself, before the source learns that nobody took the drop, which is all that it ever
//! learns. The window gets the keyboard, since the user's hand has chosen it, and the user is asked.

use crate::shell::Target;
use crate::shell::window::WindowId;
use crate::state::State;

impl State {
    /// A button is about to be let go, as if by the client under the pointer. Returns the window of another VM onto which that
    /// drops something.
    pub(super) fn drop_beyond(&mut self, button: u32) -> Option<WindowId> {
        let (from, copied) = self.comp.selections.dragged_content()?;
        let input = &self.comp.input;
        if input.pressed_buttons.iter().any(|other| *other != button) {
            return None;
        }
        let at = input.visible_pointer()?;
        let window = match self.comp.target_at(at) {
            Target::Content(id) | Target::TitleBar(id) | Target::Ring(id) | Target::Button(id, _) => id,
            Target::Layer(_) | Target::Nothing | Target::Stripe | Target::Lock => return None,
        };
        let to = self.comp.shell.get(window).map(|window| window.origin.clone()).filter(|to| *to != from)?;
        self.take_dropped(&from, &to, copied);
        Some(window)
    }
}
