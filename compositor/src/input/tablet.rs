//! The pen of a graphics tablet.
//!
//! # Model
//!
//! A pen near the tablet is over a surface by the rules of the pointer, and its client is told where it is. While its
//! tip is down it belongs to the surface that it came down on, wherever it goes; and as it comes down it gives that
//! surface's window the focus, as a press does. On a frame it takes hold of the window or presses
//! a button, as the left button does. Clients learn no name and no serial number of the device.
//!
//! # Invariant
//!
//! * No client is told of a tip that did not come down on its own surface, nor that it was lifted.

use smithay::backend::input::{TabletToolCapabilities, TabletToolDescriptor, TabletToolType};
use smithay::reexports::wayland_server::Resource;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Logical, Physical, Point, SERIAL_COUNTER, Serial};
use smithay::wayland::tablet_manager::{TabletDescriptor, TabletHandle, TabletSeatTrait, TabletToolHandle};

use super::hold::Holder;
use crate::state::State;

/// A pen near the tablet.
#[derive(Clone, Debug)]
pub(crate) struct Pen {
    tablet: TabletHandle,
    tool: TabletToolHandle,
    /// Where it is.
    pub(super) place: Point<f64, Physical>,
    /// The surface that its tip came down on, and where its corner is.
    pub(super) held: Option<(WlSurface, Point<f64, Logical>)>,
    /// What a client was told by that the tip came down, the last time.
    pub(super) serial: Option<Serial>,
}

impl State {
    /// The pen came near the tablet, over a place of the output in physical pixels.
    pub fn input_tablet_in(&mut self, x: f64, y: f64) {
        self.note_activity();
        if !x.is_finite() || !y.is_finite() {
            return;
        }
        self.input_tablet_out();
        let seat = self.comp.seat.tablet_seat();
        let display = self.comp.display.clone();
        // Known after the first time.
        let tablet = TabletDescriptor { name: String::from("tablet"), usb_id: None, syspath: None };
        let tablet = seat.add_tablet::<Self>(&display, &tablet);
        let tool = TabletToolDescriptor {
            tool_type: TabletToolType::Pen,
            hardware_serial: 0,
            hardware_id_wacom: 0,
            capabilities: TabletToolCapabilities::PRESSURE,
        };
        let tool = seat.add_tool(self, &display, &tool);
        let place = self.comp.inside((x, y).into());
        self.comp.input.pen = Some(Pen { tablet, tool, place, held: None, serial: None });
        self.send_pen();
    }

    /// The pen moved. `pressure` is from 0 to 1.
    pub fn input_tablet_motion(&mut self, x: f64, y: f64, pressure: f64) {
        self.note_activity();
        if !x.is_finite() || !y.is_finite() || !pressure.is_finite() {
            return;
        }
        let place = self.comp.inside((x, y).into());
        let Some(pen) = &mut self.comp.input.pen else { return };
        pen.place = place;
        if self.interact_with(Holder::Pen, place.to_i32_floor()) {
            return;
        }
        let Some(pen) = &mut self.comp.input.pen else { return };
        pen.tool.pressure(pressure.clamp(0.0, 1.0));
        self.send_pen();
    }

    /// The pen's tip touched the tablet, or left it.
    pub fn input_tablet_tip(&mut self, down: bool) {
        self.note_activity();
        let Some(pen) = self.comp.input.pen.clone() else { return };
        let time = self.input_time();
        if !down {
            if self.release_held(Holder::Pen) {
                self.send_pen();
            }
            self.lift_pen();
            return;
        }
        self.note_hand(None);
        if pen.held.is_some() {
            return;
        }
        if !self.press_screen(Holder::Pen, pen.place) {
            if self.is_holding(Holder::Pen) {
                // Its client is told that it is gone.
                self.send_pen();
            }
            return;
        }
        let Some(under) = self.comp.surface_at(pen.place) else { return };
        self.note_hand(Some(&under.0));
        self.hold_pen(Some(under));
        // What was over it may not be any more.
        self.send_pen();
        let serial = self.comp.input.press_serial();
        if let Some(pen) = &mut self.comp.input.pen {
            pen.serial = Some(serial);
        }
        pen.tool.tip_down(serial, time);
    }

    /// Tells the client that the tip is down on, if it is on one, that it was lifted.
    pub(super) fn lift_pen(&mut self) {
        let Some(pen) = self.comp.input.pen.clone().filter(|pen| pen.held.is_some()) else { return };
        pen.tool.tip_up(self.input_time());
        self.hold_pen(None);
        self.send_pen();
    }

    /// The pen left the tablet.
    pub fn input_tablet_out(&mut self) {
        self.note_activity();
        self.take_pen();
    }

    /// No pen is near the tablet any more.
    pub(super) fn take_pen(&mut self) {
        self.forget_button(Holder::Pen);
        self.release_held(Holder::Pen);
        if let Some(pen) = self.comp.input.pen.take() {
            let time = self.input_time();
            if pen.held.is_some() {
                pen.tool.tip_up(time);
            }
            pen.tool.proximity_out(time);
        }
    }

    /// The pen is nobody's from now on, neither its tip nor, if nothing is under it, the pen.
    pub(super) fn withdraw_pen(&mut self) {
        self.lift_pen();
        self.send_pen();
    }

    fn hold_pen(&mut self, held: Option<(WlSurface, Point<f64, Logical>)>) {
        if let Some(pen) = &mut self.comp.input.pen {
            pen.held = held;
        }
    }

    /// Tells whoever the pen is on where it is.
    fn send_pen(&mut self) {
        let Some(mut pen) = self.comp.input.pen.clone() else { return };
        let time = self.input_time();
        if pen.held.as_ref().is_some_and(|(surface, _)| !surface.is_alive()) {
            // Smithay lifts the tip itself only if the client is still there to be told; the tool would go on as held down,
            // and the next client would hear of a tip that it does not know.
            pen.tool.tip_up(time);
            pen.held = None;
            self.hold_pen(None);
        }
        let reaches = !self.comp.overlay_has_input() && self.comp.input.interaction.is_none();
        let under = pen.held.or_else(|| reaches.then(|| self.comp.hovered(pen.place)).flatten());
        let place = self.comp.logical(pen.place);
        pen.tool.motion(place, under, &pen.tablet, SERIAL_COUNTER.next_serial(), time);
    }
}
