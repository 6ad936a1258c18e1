//! Input while the session is locked: it goes to the lock surface, and to nothing else.
//!
//! Whoever was being used when the session was locked is told that it is over, in the way of each device: keys and fingers end,
//! the pointer leaves. What is still held then reaches nobody when it is let go.

use smithay::backend::input::ButtonState;
use smithay::input::pointer::CursorImageStatus;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::SERIAL_COUNTER;

use crate::render::schedule::has_buffer;
use crate::shell::outputs::OutputId;
use crate::state::{Comp, State};

impl State {
    /// Takes all input from whoever has it; the session has just been locked. The keyboard follows with the focus.
    pub(crate) fn take_input(&mut self) {
        // Before the pointer is taken: while a window is chosen nobody is told of it.
        self.comp.input.switcher = None;
        self.end_xray();
        self.comp.input.trusted.panel = None;
        self.stop_repeat();
        self.end_key_repeat();
        self.end_placing();
        self.let_go();
        self.comp.input.cursor = CursorImageStatus::default_named();
        let layers: Vec<WlSurface> =
            self.comp.layers.all().map(|layer| layer.handle.wl_surface().clone()).collect();
        for surface in layers {
            self.dismiss_popups(&surface);
        }
        // As if the devices said so, but it is nothing that somebody did: who is away stays away.
        self.cancel_touch();
        self.take_pen();
        let Some(pointer) = self.comp.seat.get_pointer() else { return };
        if self.comp.selections.is_dragging() {
            // A drag that is over nothing when it ends drops nothing.
            self.send_motion();
        }
        let (serial, time) = (SERIAL_COUNTER.next_serial(), self.input_time());
        pointer.unset_grab(self, serial, time);
        self.send_motion();
        // The pointer is on nobody now, so that no client takes the end of a press for a click.
        for button in std::mem::take(&mut self.comp.input.pressed_buttons) {
            self.send_button(button, ButtonState::Released);
            self.comp.input.kept_buttons.push(button);
        }
    }
}

impl Comp {
    /// The surface of the program that locked the session which has the keyboard: the first one that has content.
    #[must_use]
    pub fn shown_lock(&self) -> Option<&WlSurface> {
        self.lock.surfaces().find(|surface| has_buffer(surface))
    }

    /// The surface of that program on an output, once it has content.
    #[must_use]
    pub fn shown_lock_on(&self, output: OutputId) -> Option<&WlSurface> {
        self.lock.surface_on(output).filter(|surface| has_buffer(surface))
    }
}
