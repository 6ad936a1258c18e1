//! What libinput says, in the words of [`crate::input`]: physical pixels of the output and codes of evdev.

use smithay::backend::input::{
    AbsolutePositionEvent, Axis, AxisSource, ButtonState, DeviceCapability, GestureBeginEvent,
    GestureEndEvent, GesturePinchUpdateEvent, GestureSwipeUpdateEvent, InputEvent, KeyState,
    KeyboardKeyEvent, PointerAxisEvent, PointerButtonEvent, PointerMotionEvent, ProximityState,
    TabletToolEvent, TabletToolProximityEvent, TabletToolTipEvent, TabletToolTipState, TouchEvent,
};
use smithay::backend::libinput::LibinputInputBackend;
use smithay::reexports::input::Device;
use smithay::utils::{Physical, Point};

use crate::input::gesture::{Gesture, GestureStep};
use crate::input::keyboard::evdev_code;
use crate::state::State;

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
                let scale = self.comp.layout_at_pointer().scale;
                self.input_pointer_motion_by(event.delta_x() * scale, event.delta_y() * scale);
            }
            Input::PointerMotionAbsolute { event } => {
                let (x, y) = self.place_of(&event);
                self.input_pointer_motion(x, y);
            }
            Input::PointerButton { event } => {
                self.device_button_code(event.button_code(), event.state() == ButtonState::Pressed);
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
        let scale = self.comp.layout_at_pointer().scale;
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

    /// Where a device that names places is. It is taken to be on the screen that is built in, or else on the first one, and to be
    /// turned as that is.
    fn place_of(&self, event: &impl AbsolutePositionEvent<LibinputInputBackend>) -> (f64, f64) {
        let outputs = self.comp.shell.outputs();
        let built_in = |name: &str| ["eDP", "LVDS", "DSI"].iter().any(|kind| name.starts_with(kind));
        let output = outputs.used().find(|output| built_in(&output.head.name)).or(outputs.used().next());
        let output = output.unwrap_or(outputs.active());
        let size = output.mode.size;
        let place = Point::<f64, Physical>::from((event.x_transformed(size.w), event.y_transformed(size.h)));
        let seen = output.transform.invert().transform_point_in(place, &size.to_f64());
        let place = output.layout.origin.to_f64() + seen;
        (place.x, place.y)
    }

    fn device_key(&mut self, event: &impl KeyboardKeyEvent<LibinputInputBackend>) {
        let pressed = event.state() == KeyState::Pressed;
        // The same key of two keyboards is one.
        if event.count() == u32::from(pressed) {
            self.device_key_code(evdev_code(event.key_code()), pressed);
        }
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

    fn device_added(&mut self, device: Device) {
        // Its table in the configuration has this name.
        tracing::info!(name = ?device.name(), "an input device");
        let config = self.comp.config.current().clone();
        if let Some(drm) = self.drm() {
            drm.add_device(device.clone(), &config.input);
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
            drm.remove_device(device);
            drm.keyboards.retain(|keyboard| keyboard != device);
        }
    }
}
