//! The touch screen: what each finger is on.
//!
//! # Model
//!
//! A finger belongs to the surface that it came down on until it is lifted, wherever it goes. Each finger is looked
//! at for itself: with Smithay's own rule the second finger would go to the surface of the first, which may be another
//! VM's, with its position. What is drawn decides what is hit, as for the pointer, and a finger that comes down on a
//! window gives that window the focus, as a press does. What comes down on a frame is the compositor's, and its buttons are
//! done when they are let go ([`super::frame_buttons`]). A finger that comes down on the rest of a frame, or anywhere on a window
//! while the logo key is down, takes hold of the window as the left button does ([`super::hold`]); no client is told of that
//! finger. A client that asks for it hands its window over to the finger ([`super::handing`]).
//!
//! Touches start no drag: that needs the grab that Smithay's rule brings.
//!
//! # Invariants
//!
//! * No client is told of a finger that did not come down on its own surface.
//! * There are at most [`MAX_FINGERS`] fingers.

use std::collections::BTreeMap;

use smithay::backend::input::TouchSlot;
use smithay::input::touch::{
    DownEvent, GrabStartData, MotionEvent, OrientationEvent, ShapeEvent, TouchGrab, TouchInnerHandle, UpEvent,
};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Logical, Physical, Point, SERIAL_COUNTER, Serial};

use super::hold::Holder;
use super::pointer::BUTTON_LEFT;
use crate::shell::Target;
use crate::state::State;

/// Fingers that can be down at the same time.
pub const MAX_FINGERS: u32 = 16;

/// A finger that is down on a client's surface.
#[derive(Clone, Debug)]
pub(crate) struct Finger {
    /// Where it is, in physical pixels of the output.
    pub(super) place: Point<f64, Physical>,
    /// The surface that it came down on.
    pub(super) surface: WlSurface,
    /// What its client was told it by.
    pub(super) serial: Serial,
}

/// The fingers that are down on clients' surfaces.
pub(crate) type Fingers = BTreeMap<u32, Finger>;

impl State {
    /// A finger came down at a place of the output, in physical pixels. `finger` tells it from the others that are
    /// down, and is less than [`MAX_FINGERS`].
    pub fn input_touch_down(&mut self, finger: u32, x: f64, y: f64) {
        self.note_activity();
        let Some(touch) = self.comp.seat.get_touch() else { return };
        if finger >= MAX_FINGERS || !x.is_finite() || !y.is_finite() {
            return;
        }
        if self.comp.input.fingers.contains_key(&finger) || self.is_holding(Holder::Finger(finger)) {
            // A device that lost the end of it.
            self.forget_button(Holder::Finger(finger));
            self.input_touch_up(finger);
        }
        let place = self.comp.inside((x, y).into());
        self.note_hand(None);
        if !self.press_screen(Holder::Finger(finger), place) {
            return;
        }
        let Some(under) = self.comp.surface_at(place) else { return };
        self.note_hand(Some(&under.0));
        let serial = self.comp.input.press_serial();
        self.comp.input.fingers.insert(finger, Finger { place, surface: under.0.clone(), serial });
        let location = self.comp.logical(place);
        let event = DownEvent { slot: slot(finger), location, serial, time: self.input_time() };
        touch.down(self, Some(under), &event);
    }

    /// A finger moved.
    pub fn input_touch_motion(&mut self, finger: u32, x: f64, y: f64) {
        self.note_activity();
        let Some(touch) = self.comp.seat.get_touch() else { return };
        if !x.is_finite() || !y.is_finite() {
            return;
        }
        let to = self.comp.inside((x, y).into());
        if self.interact_with(Holder::Finger(finger), to.to_i32_floor()) {
            return;
        }
        let Some(known) = self.comp.input.fingers.get_mut(&finger) else { return };
        known.place = to;
        let event =
            MotionEvent { slot: slot(finger), location: self.comp.logical(to), time: self.input_time() };
        touch.motion(self, None, &event);
    }

    /// A finger was lifted.
    pub fn input_touch_up(&mut self, finger: u32) {
        self.note_activity();
        if !self.release_held(Holder::Finger(finger)) {
            self.lift_finger(finger);
        }
    }

    /// Tells the client that a finger is on, if it is on one, that it was lifted.
    pub(super) fn lift_finger(&mut self, finger: u32) {
        let Some(touch) = self.comp.seat.get_touch() else { return };
        if self.comp.input.fingers.remove(&finger).is_none() {
            return;
        }
        let (serial, time) = (SERIAL_COUNTER.next_serial(), self.input_time());
        touch.up(self, &UpEvent { slot: slot(finger), serial, time });
    }

    /// A surface is gone: its client is told that the fingers are which were on it, as nothing more can be said of them.
    pub(crate) fn lift_fingers_from(&mut self, surface: &WlSurface) {
        let fingers = &self.comp.input.fingers;
        let gone = fingers.iter().filter(|(_, finger)| finger.surface == *surface);
        let gone: Vec<u32> = gone.map(|(finger, _)| *finger).collect();
        if gone.is_empty() {
            return;
        }
        gone.into_iter().for_each(|finger| self.lift_finger(finger));
        self.input_touch_frame();
    }

    /// What was said of the fingers since the last time belongs together.
    pub fn input_touch_frame(&mut self) {
        if let Some(touch) = self.comp.seat.get_touch() {
            touch.frame(self);
        }
    }

    /// The device took all fingers for something else, such as a palm: what they did has not been.
    pub fn input_touch_cancel(&mut self) {
        self.note_activity();
        self.cancel_touch();
    }

    /// What all fingers did has not been.
    pub(super) fn cancel_touch(&mut self) {
        let Some(touch) = self.comp.seat.get_touch() else { return };
        if (0..MAX_FINGERS).any(|finger| self.is_holding(Holder::Finger(finger))) {
            self.let_go();
        }
        // Smithay 0.7 leaves out every finger that nothing was said of since the last frame.
        for (finger, known) in std::mem::take(&mut self.comp.input.fingers) {
            let event = MotionEvent {
                slot: slot(finger),
                location: self.comp.logical(known.place),
                time: self.input_time(),
            };
            touch.motion(self, None, &event);
        }
        touch.cancel(self);
    }

    /// Gives the focus to what a finger or pen came down on, and lets it take hold of a window by its frame; false if that is
    /// no client's place.
    pub(super) fn press_screen(&mut self, holder: Holder, place: Point<f64, Physical>) -> bool {
        if self.comp.has_dialog() {
            self.click_in_dialog(place.to_i32_floor());
            return false;
        }
        // Something holds a window or a button, or a drag goes on: the screen is under the user's other hand.
        if self.comp.selections.is_dragging()
            || self.comp.input.interaction.is_some()
            || self.comp.input.presses.button.is_some()
            || self.comp.input.switcher.is_some()
        {
            return false;
        }
        self.end_placing();
        let pixel = place.to_i32_floor();
        let target = self.comp.target_at(pixel);
        if self.comp.popup_at(pixel).is_none()
            && self.comp.popup_grab_active()
            && let Some((_, focused)) = self.comp.input.told_focus.clone()
        {
            // A menu that a finger comes down beside closes, as with the pointer.
            self.dismiss_popups(&focused);
        }
        let grip = self.grip(BUTTON_LEFT, target);
        self.press_target(target, pixel, grip.is_some());
        if let Some(grip) = grip {
            self.take_hold(holder, grip, pixel);
            return false;
        }
        if let Some(workspace) = self.comp.workspace_at(pixel) {
            self.switch_workspace(workspace);
        }
        self.refresh_pointer();
        matches!(target, Target::Content(_) | Target::Layer(_) | Target::Lock)
    }
}

fn slot(finger: u32) -> TouchSlot {
    Some(finger).into()
}

/// The rule of the touch screen while nothing else is: each finger for itself.
#[derive(Debug)]
pub(crate) struct EachFinger {
    /// Asked of grabs that were set, and this one never is.
    start: GrabStartData<State>,
}

impl Default for EachFinger {
    fn default() -> Self {
        let start = GrabStartData { focus: None, slot: slot(0), location: Point::default() };
        Self { start }
    }
}

/// A surface and where its corner is.
type Focus = Option<(WlSurface, Point<f64, Logical>)>;
/// What sends.
type Handle<'a> = TouchInnerHandle<'a, State>;

impl TouchGrab<State> for EachFinger {
    fn down(&mut self, state: &mut State, to: &mut Handle<'_>, focus: Focus, event: &DownEvent, seq: Serial) {
        to.down(state, focus, event, seq);
    }

    fn up(&mut self, state: &mut State, to: &mut Handle<'_>, event: &UpEvent, seq: Serial) {
        to.up(state, event, seq);
    }

    fn motion(
        &mut self,
        state: &mut State,
        to: &mut Handle<'_>,
        focus: Focus,
        event: &MotionEvent,
        seq: Serial,
    ) {
        to.motion(state, focus, event, seq);
    }

    fn frame(&mut self, state: &mut State, to: &mut Handle<'_>, seq: Serial) {
        to.frame(state, seq);
    }

    fn cancel(&mut self, state: &mut State, to: &mut Handle<'_>, seq: Serial) {
        to.cancel(state, seq);
    }

    fn shape(&mut self, state: &mut State, to: &mut Handle<'_>, event: &ShapeEvent, seq: Serial) {
        to.shape(state, event, seq);
    }

    fn orientation(&mut self, state: &mut State, to: &mut Handle<'_>, event: &OrientationEvent, seq: Serial) {
        to.orientation(state, event, seq);
    }

    fn start_data(&self) -> &GrabStartData<State> {
        &self.start
    }

    fn unset(&mut self, _state: &mut State) {}
}
