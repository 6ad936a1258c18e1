//! Keyboard, pointer and fingers of the other desktop, as far as they are on the window. Keyboards have the layout of the
//! environment here, whatever it is there: the other desktop says which keys, and not which letters.

use smithay::backend::input::AxisSource;
use wayland_client::protocol::wl_keyboard::{self, WlKeyboard};
use wayland_client::protocol::wl_pointer::{self, Axis, WlPointer};
use wayland_client::protocol::wl_seat::{self, Capability, WlSeat};
use wayland_client::protocol::wl_touch::{self, WlTouch};
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum};

use crate::state::State;

/// What was said of one turn of the wheel or move on a touchpad, until its frame ends. Horizontal, then vertical.
#[derive(Debug, Default)]
pub(super) struct Scroll {
    source: Option<wl_pointer::AxisSource>,
    pixels: [Option<f64>; 2],
    /// Turns of the wheel in 120ths of a step.
    steps: [Option<i32>; 2],
}

fn put<T>([horizontal, vertical]: &mut [Option<T>; 2], axis: WEnum<Axis>, value: T) {
    let place = if axis == WEnum::Value(Axis::VerticalScroll) { vertical } else { horizontal };
    *place = Some(value);
}

/// The devices of the other desktop's seat.
#[derive(Debug, Default)]
pub(super) struct Devices {
    keyboard: Option<WlKeyboard>,
    pointer: Option<WlPointer>,
    touch: Option<WlTouch>,
}

impl State {
    fn scrolled(&mut self, change: impl FnOnce(&mut Scroll)) {
        if let Some(nested) = self.nested() {
            change(&mut nested.scroll);
        }
    }

    fn end_scroll(&mut self) {
        let Some(scroll) = self.nested().map(|nested| std::mem::take(&mut nested.scroll)) else { return };
        if scroll.steps.iter().any(Option::is_some) {
            let [dx, dy] = scroll.steps.map(|steps| f64::from(steps.unwrap_or(0)) / 120.0);
            self.input_pointer_axis(dx, dy);
        } else if scroll.pixels.iter().any(Option::is_some) {
            let source = match scroll.source {
                Some(wl_pointer::AxisSource::Finger) => AxisSource::Finger,
                Some(wl_pointer::AxisSource::Continuous) => AxisSource::Continuous,
                _ => AxisSource::Wheel,
            };
            self.input_pointer_scroll(source, scroll.pixels);
        }
    }
}

impl Dispatch<WlSeat, ()> for State {
    fn event(
        state: &mut Self,
        seat: &WlSeat,
        event: wl_seat::Event,
        (): &(),
        _: &Connection,
        handle: &QueueHandle<Self>,
    ) {
        let wl_seat::Event::Capabilities { capabilities: WEnum::Value(has) } = event else { return };
        let Some(devices) = state.nested().map(|nested| &mut nested.devices) else { return };
        // Said again whenever a device comes or goes; those that stay must not be asked for twice.
        let wanted = has.contains(Capability::Keyboard);
        match (wanted, devices.keyboard.take()) {
            (true, old) => devices.keyboard = old.or_else(|| Some(seat.get_keyboard(handle, ()))),
            (false, old) => old.iter().for_each(WlKeyboard::release),
        }
        let wanted = has.contains(Capability::Pointer);
        match (wanted, devices.pointer.take()) {
            (true, old) => devices.pointer = old.or_else(|| Some(seat.get_pointer(handle, ()))),
            (false, old) => old.iter().for_each(WlPointer::release),
        }
        let wanted = has.contains(Capability::Touch);
        match (wanted, devices.touch.take()) {
            (true, old) => devices.touch = old.or_else(|| Some(seat.get_touch(handle, ()))),
            (false, old) => old.iter().for_each(WlTouch::release),
        }
    }
}

impl Dispatch<WlKeyboard, ()> for State {
    fn event(
        state: &mut Self,
        _: &WlKeyboard,
        event: wl_keyboard::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_keyboard::Event::Key { key, state: WEnum::Value(key_state), .. } => {
                let pressed = key_state == wl_keyboard::KeyState::Pressed;
                state.device_key_code(key, pressed);
            }
            // The release of what is held will be told to somebody else.
            wl_keyboard::Event::Leave { .. } => state.release_devices(),
            _ => {}
        }
    }
}

impl Dispatch<WlPointer, ()> for State {
    fn event(
        state: &mut Self,
        pointer: &WlPointer,
        event: wl_pointer::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_pointer::Event::Enter { serial, surface_x, surface_y, .. } => {
                // The pointer that is drawn here is enough.
                pointer.set_cursor(serial, None, 0, 0);
                state.input_pointer_motion(surface_x, surface_y);
            }
            wl_pointer::Event::Motion { surface_x, surface_y, .. } => {
                state.input_pointer_motion(surface_x, surface_y);
            }
            wl_pointer::Event::Button { button, state: WEnum::Value(button_state), .. } => {
                state.device_button_code(button, button_state == wl_pointer::ButtonState::Pressed);
            }
            wl_pointer::Event::Axis { axis, value, .. } => {
                state.scrolled(|scroll| put(&mut scroll.pixels, axis, value));
            }
            wl_pointer::Event::AxisStop { axis, .. } => {
                state.scrolled(|scroll| put(&mut scroll.pixels, axis, 0.0));
            }
            wl_pointer::Event::AxisSource { axis_source } => {
                state.scrolled(|scroll| scroll.source = axis_source.into_result().ok());
            }
            wl_pointer::Event::AxisDiscrete { axis, discrete } => {
                let steps = discrete.saturating_mul(120);
                state.scrolled(|scroll| put(&mut scroll.steps, axis, steps));
            }
            wl_pointer::Event::AxisValue120 { axis, value120 } => {
                state.scrolled(|scroll| put(&mut scroll.steps, axis, value120));
            }
            wl_pointer::Event::Frame => state.end_scroll(),
            _ => {}
        }
    }
}

impl Dispatch<WlTouch, ()> for State {
    fn event(
        state: &mut Self,
        _: &WlTouch,
        event: wl_touch::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let finger = |id: i32| u32::try_from(id).unwrap_or(u32::MAX);
        match event {
            wl_touch::Event::Down { id, x, y, .. } => state.input_touch_down(finger(id), x, y),
            wl_touch::Event::Motion { id, x, y, .. } => state.input_touch_motion(finger(id), x, y),
            wl_touch::Event::Up { id, .. } => state.input_touch_up(finger(id)),
            wl_touch::Event::Frame => state.input_touch_frame(),
            wl_touch::Event::Cancel => state.input_touch_cancel(),
            _ => {}
        }
    }
}
