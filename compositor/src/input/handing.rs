//! Clients that ask for their windows to be moved or resized: a press on a title bar that a program draws itself, or on its edge.
//!
//! # Model
//!
//! A client that knows a press may hand its window over to what presses: the pointer, a finger or the pen. From then on that holds
//! the window as if it had come down on the frame ([`super::hold`]). For the client the press is over: the pointer leaves it, a
//! finger is lifted, the pen's tip is lifted and gone.
//!
//! # Invariants
//!
//! * It is granted to the client that the press was told to, by its serial, and only while the button, the finger or the tip is down.
//! * What the user holds already, chooses from or is asked, is not taken out of the hand by a client.

use smithay::reexports::wayland_server::Resource;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Physical, Point, Serial};

use super::hold::{Edges, Holder};
use crate::shell::window::WindowId;
use crate::state::State;

/// A press of a client, and where it is now.
type Handed = (Holder, Point<i32, Physical>);

impl State {
    /// A client asks to be moved.
    pub(crate) fn client_moves(&mut self, window: WindowId, surface: &WlSurface, serial: Serial) {
        if let Some((holder, start)) = self.hand_over(surface, serial) {
            self.comp.input.presses.holder = holder;
            self.begin_move(window, start);
            self.end_press(holder);
        }
    }

    /// A client asks to be resized.
    pub(crate) fn client_resizes(
        &mut self,
        window: WindowId,
        surface: &WlSurface,
        serial: Serial,
        edges: Edges,
    ) {
        if let Some((holder, start)) = self.hand_over(surface, serial) {
            self.comp.input.presses.holder = holder;
            self.begin_resize(window, edges, start);
            self.end_press(holder);
        }
    }

    /// What presses a client that asks for it, if it may.
    fn hand_over(&mut self, surface: &WlSurface, serial: Serial) -> Option<Handed> {
        if self.comp.has_dialog() {
            return None;
        }
        let input = &self.comp.input;
        if input.interaction.is_some() || input.switcher.is_some() || input.held.placement().is_some() {
            return None;
        }
        self.pressed_pointer(surface, serial).or_else(|| {
            // A drag belongs to the pointer, and everything on the screen to the drag.
            if self.comp.selections.is_dragging() {
                return None;
            }
            self.pressed_finger(surface, serial).or_else(|| self.pressed_pen(surface, serial))
        })
    }

    /// Takes the pressed pointer from a client.
    fn pressed_pointer(&mut self, surface: &WlSurface, serial: Serial) -> Option<Handed> {
        let pointer = self.comp.seat.get_pointer()?;
        let start = pointer.grab_start_data().filter(|_| pointer.has_grab(serial));
        let focus = start.and_then(|start| start.focus);
        if !focus.is_some_and(|(focus, _)| focus.id().same_client_as(&surface.id())) {
            return None;
        }
        let time = self.input_time();
        pointer.unset_grab(self, serial, time);
        Some((Holder::Pointer, self.comp.input.visible_pointer()?))
    }

    fn pressed_finger(&self, surface: &WlSurface, serial: Serial) -> Option<Handed> {
        let mut fingers = self.comp.input.fingers.iter();
        let (finger, known) = fingers
            .find(|(_, known)| known.serial == serial && known.surface.id().same_client_as(&surface.id()))?;
        Some((Holder::Finger(*finger), known.place.to_i32_floor()))
    }

    fn pressed_pen(&self, surface: &WlSurface, serial: Serial) -> Option<Handed> {
        let pen = self.comp.input.pen.as_ref().filter(|pen| pen.serial == Some(serial))?;
        let (held, _) = pen.held.as_ref()?;
        held.id().same_client_as(&surface.id()).then(|| (Holder::Pen, pen.place.to_i32_floor()))
    }

    /// Ends a press for the client that has handed its window over, if the window is held now.
    fn end_press(&mut self, holder: Holder) {
        if !self.is_holding(holder) {
            return;
        }
        match holder {
            Holder::Pointer => {}
            Holder::Finger(finger) => {
                self.lift_finger(finger);
                self.input_touch_frame();
            }
            Holder::Pen => self.lift_pen(),
        }
        self.comp.schedule.request();
    }
}
