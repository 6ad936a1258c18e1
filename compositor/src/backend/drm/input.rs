//! What libinput says, in the words of [`crate::input`]: physical pixels of the output and codes of evdev.

use smithay::backend::input::{
    AbsolutePositionEvent, Axis, AxisSource, ButtonState, DeviceCapability, GestureBeginEvent,
    GestureEndEvent, GesturePinchUpdateEvent, GestureSwipeUpdateEvent, InputEvent, KeyState,
    KeyboardKeyEvent, PointerAxisEvent, PointerButtonEvent, PointerMotionEvent, ProximityState,
    TabletToolEvent, TabletToolProximityEvent, TabletToolTipEvent, TabletToolTipState, TouchEvent,
};
use smithay::backend::libinput::LibinputInputBackend;
use smithay::reexports::input::Device;

use crate::input::gesture::{Gesture, GestureStep};
use crate::input::keyboard::evdev_code;
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

type Input = InputEvent<LibinputInputBackend>;

impl State {
    /// Something happened at a device.
    pub(super) fn device_input(&mut self, event: Input) {
        match event {
            Input::DeviceAdded { device } => self.device_added(device),
            Input::DeviceRemoved { device } => self.device_removed(&device),
            Input::Keyboard { event } => self.device_key(&event),
            Input::PointerMotion { event } => {
                // A mouse moves by so much of what is seen, whatever that is in pixels.
                let scale = self.comp.shell.layout.scale;
                self.input_pointer_motion_by(event.delta_x() * scale, event.delta_y() * scale);
            }
            Input::PointerMotionAbsolute { event } => {
                let (x, y) = self.place_of(&event);
                self.input_pointer_motion(x, y);
            }
            Input::PointerButton { event } => {
                self.device_button(event.button_code(), event.state() == ButtonState::Pressed);
            }
            Input::PointerAxis { event } => self.device_scroll(&event),
            other => self.device_touch(other),
        }
    }

    /// Touch screens; what is none goes on to gestures and pens.
    fn device_touch(&mut self, event: Input) {
        let finger = |slot: smithay::backend::input::TouchSlot| u32::try_from(i32::from(slot)).unwrap_or(0);
        match event {
            Input::TouchDown { event } => {
                let (x, y) = self.place_of(&event);
                self.input_touch_down(finger(event.slot()), x, y);
            }
            Input::TouchMotion { event } => {
                let (x, y) = self.place_of(&event);
                self.input_touch_motion(finger(event.slot()), x, y);
            }
            Input::TouchUp { event } => self.input_touch_up(finger(event.slot())),
            Input::TouchFrame { .. } => self.input_touch_frame(),
            Input::TouchCancel { .. } => self.input_touch_cancel(),
            other => self.device_gesture(other),
        }
    }

    fn device_gesture(&mut self, event: Input) {
        let scale = self.comp.shell.layout.scale;
        let step = |dx: f64, dy: f64| GestureStep {
            delta: (dx * scale, dy * scale).into(),
            scale: 1.0,
            rotation: 0.0,
        };
        match event {
            Input::GestureSwipeBegin { event } => self.input_gesture_begin(Gesture::Swipe, event.fingers()),
            Input::GesturePinchBegin { event } => self.input_gesture_begin(Gesture::Pinch, event.fingers()),
            Input::GestureHoldBegin { event } => self.input_gesture_begin(Gesture::Hold, event.fingers()),
            Input::GestureSwipeUpdate { event } => {
                self.input_gesture_step(Gesture::Swipe, step(event.delta_x(), event.delta_y()));
            }
            Input::GesturePinchUpdate { event } => {
                let moved = step(event.delta_x(), event.delta_y());
                let (scale, rotation) = (event.scale(), event.rotation());
                self.input_gesture_step(Gesture::Pinch, GestureStep { scale, rotation, ..moved });
            }
            Input::GestureSwipeEnd { event } => self.input_gesture_end(Gesture::Swipe, event.cancelled()),
            Input::GesturePinchEnd { event } => self.input_gesture_end(Gesture::Pinch, event.cancelled()),
            Input::GestureHoldEnd { event } => self.input_gesture_end(Gesture::Hold, event.cancelled()),
            other => self.device_pen(other),
        }
    }

    fn device_pen(&mut self, event: Input) {
        match event {
            Input::TabletToolProximity { event } if event.state() == ProximityState::In => {
                let (x, y) = self.place_of(&event);
                self.input_tablet_in(x, y);
            }
            Input::TabletToolProximity { .. } => self.input_tablet_out(),
            Input::TabletToolAxis { event } => {
                let (x, y) = self.place_of(&event);
                self.input_tablet_motion(x, y, event.pressure());
            }
            Input::TabletToolTip { event } => {
                let (x, y) = self.place_of(&event);
                self.input_tablet_motion(x, y, event.pressure());
                let tip = TabletToolTipEvent::<LibinputInputBackend>::tip_state(&event);
                self.input_tablet_tip(tip == TabletToolTipState::Down);
            }
            // Buttons of pens, and the lids of laptops, have no use yet.
            _ => {}
        }
    }

    /// Where on the output a device that names places is.
    fn place_of(&self, event: &impl AbsolutePositionEvent<LibinputInputBackend>) -> (f64, f64) {
        let size = self.comp.shell.layout.output;
        (event.x_transformed(size.w), event.y_transformed(size.h))
    }

    fn device_key(&mut self, event: &impl KeyboardKeyEvent<LibinputInputBackend>) {
        let (code, pressed) = (evdev_code(event.key_code()), event.state() == KeyState::Pressed);
        // The same key of two keyboards is one.
        let counts = event.count() == u32::from(pressed);
        if counts && self.drm().is_some_and(|drm| note(&mut drm.held.keys, code, pressed)) {
            self.input_key(code, pressed);
        }
    }

    fn device_button(&mut self, code: u32, pressed: bool) {
        if self.drm().is_some_and(|drm| note(&mut drm.held.buttons, code, pressed)) {
            self.input_pointer_button(code, pressed);
        }
    }

    /// Lets go of everything that is held down, because what ends it will not be seen here.
    pub(super) fn release_devices(&mut self) {
        let held = self.drm().map(|drm| std::mem::take(&mut drm.held)).unwrap_or_default();
        for code in held.keys {
            self.input_key(code, false);
        }
        for code in held.buttons {
            self.input_pointer_button(code, false);
        }
        self.input_touch_cancel();
        self.input_tablet_out();
    }

    fn device_scroll(&mut self, event: &impl PointerAxisEvent<LibinputInputBackend>) {
        let axes = [Axis::Horizontal, Axis::Vertical];
        match event.source() {
            AxisSource::Wheel | AxisSource::WheelTilt => {
                let [dx, dy] = axes.map(|axis| event.amount_v120(axis).unwrap_or(0.0) / 120.0);
                self.input_pointer_axis(dx, dy);
            }
            source => self.input_pointer_scroll(source, axes.map(|axis| event.amount(axis))),
        }
    }

    fn device_added(&mut self, mut device: Device) {
        tracing::debug!(name = ?device.name(), "an input device");
        if device.config_tap_finger_count() > 0 {
            // Without it a touchpad that has no buttons of its own would click nowhere.
            let _ = device.config_tap_set_enabled(true);
        }
        let keyboard = device.has_capability(DeviceCapability::Keyboard.into());
        let leds = self.comp.seat.get_keyboard().map(|keyboard| keyboard.led_state());
        if let Some(drm) = self.drm().filter(|_| keyboard) {
            drm.keyboards.push(device);
            if let Some(leds) = leds {
                drm.set_leds(leds);
            }
        }
    }

    fn device_removed(&mut self, device: &Device) {
        if let Some(drm) = self.drm() {
            drm.keyboards.retain(|keyboard| keyboard != device);
        }
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
