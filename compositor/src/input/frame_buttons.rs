//! The buttons of frames: pressed with the pointer, a finger or a pen, and done when that is let go over them.
//!
//! # Model
//!
//! A press on a button holds it down. It is drawn as pressed while what holds it is over it, and no other button shows
//! that it is pointed at meanwhile. A release over it does what it says; one anywhere else, and a hand that is lost or taken back, do
//! nothing.
//!
//! # Invariants
//!
//! * One button at a time is held down. A finger or a pen that comes down meanwhile does nothing; a press of the pointer on another
//!   button takes the place of a finger's.
//! * What a button does is decided by what is drawn under the release: the same button of the same window, wherever it is then.

use smithay::utils::{Physical, Point};

use super::hold::Holder;
use crate::render::frame::FrameButton;
use crate::shell::Target;
use crate::shell::window::{Mode, WindowId};
use crate::state::{Comp, State};

/// A button of a frame that is held down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldButton {
    holder: Holder,
    window: WindowId,
    button: FrameButton,
    /// Where the finger or the pen that holds it is; the pointer has a place of its own.
    place: Point<i32, Physical>,
}

/// A button of a frame that is drawn otherwise than the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointed {
    pub(crate) window: WindowId,
    pub(crate) button: FrameButton,
    /// It is held down, and would be done now.
    pub(crate) pressed: bool,
}

impl State {
    /// A press on a button of a frame.
    pub(super) fn hold_button(
        &mut self,
        holder: Holder,
        window: WindowId,
        button: FrameButton,
        place: Point<i32, Physical>,
    ) {
        self.comp.input.presses.button = Some(HeldButton { holder, window, button, place });
        self.comp.schedule.request();
    }

    /// Whether a button is held with this.
    pub(super) fn holds_button(&self, holder: Holder) -> bool {
        self.comp.input.presses.button.is_some_and(|held| held.holder == holder)
    }

    /// What holds a button, if this does, is somewhere else; whether it does.
    pub(super) fn move_on_button(&mut self, holder: Holder, to: Point<i32, Physical>) -> bool {
        let held = self.comp.input.presses.button.as_mut().filter(|held| held.holder == holder);
        held.map(|held| held.place = to).is_some()
    }

    /// Lets the button go that is held with this, and does what it says if this is over it; whether there was one.
    pub(super) fn release_button(&mut self, holder: Holder) -> bool {
        let Some(held) = self.comp.input.presses.button.take_if(|held| held.holder == holder) else {
            return false;
        };
        self.comp.schedule.request();
        if self.comp.is_over(held) {
            self.press_frame_button(held.window, held.button);
        }
        true
    }

    /// What holds a button is there no longer, and was not let go.
    pub(super) fn forget_button(&mut self, holder: Holder) {
        if self.comp.input.presses.button.take_if(|held| held.holder == holder).is_some() {
            self.comp.schedule.request();
        }
    }

    /// Does what a button of a frame says.
    fn press_frame_button(&mut self, window: WindowId, button: FrameButton) {
        match button {
            FrameButton::Minimize => self.minimize(window),
            FrameButton::Maximize => self.toggle_mode(Some(window), Mode::Maximized),
            FrameButton::Close => self.ask_to_close(Some(window)),
        }
    }
}

impl Comp {
    /// Whether what holds a button is over it. In the overview of windows, and below a question, nothing is.
    fn is_over(&self, held: HeldButton) -> bool {
        let place = match held.holder {
            Holder::Pointer => self.input.visible_pointer(),
            Holder::Finger(_) | Holder::Pen => Some(held.place),
        };
        let reaches = self.input.switcher.is_none() && !self.has_dialog();
        let target = place.filter(|_| reaches).map(|place| self.target_at(place));
        target == Some(Target::Button(held.window, held.button))
    }

    /// The button that is held down, or else the one under the pointer.
    pub(crate) fn pointed_button(&self) -> Option<Pointed> {
        if let Some(held) = self.input.presses.button {
            let HeldButton { window, button, .. } = held;
            return self.is_over(held).then_some(Pointed { window, button, pressed: true });
        }
        let place = self.input.visible_pointer().filter(|_| self.input.interaction.is_none());
        match place.map(|place| self.target_at(place)) {
            Some(Target::Button(window, button)) => Some(Pointed { window, button, pressed: false }),
            _ => None,
        }
    }
}
