//! Gestures of several fingers on a touchpad. They go to what is under the pointer, which stays where it is; if that
//! changes meanwhile, the gesture is over for the client that had it, and nobody else gets the rest.
//! While a window is being chosen nobody gets any.

use serde::{Deserialize, Serialize};
use smithay::input::pointer::{
    GestureHoldBeginEvent, GestureHoldEndEvent, GesturePinchBeginEvent, GesturePinchEndEvent,
    GesturePinchUpdateEvent, GestureSwipeBeginEvent, GestureSwipeEndEvent, GestureSwipeUpdateEvent,
};
use smithay::utils::{Physical, Point, SERIAL_COUNTER};

use crate::state::State;

/// What a gesture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gesture {
    /// Fingers move together.
    Swipe,
    /// Fingers move apart, together or around each other.
    Pinch,
    /// Fingers rest.
    Hold,
}

/// How far a gesture has come since its last step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GestureStep {
    /// How far its centre moved, in physical pixels.
    pub delta: Point<f64, Physical>,
    /// How far the fingers are apart, as a multiple of the distance at the beginning.
    pub scale: f64,
    /// How far the fingers turned clockwise since the last step, in degrees.
    pub rotation: f64,
}

impl State {
    /// Fingers began a gesture.
    pub fn input_gesture_begin(&mut self, gesture: Gesture, fingers: u32) {
        self.note_activity();
        let Some(pointer) = self.comp.seat.get_pointer().filter(|_| !self.comp.overlay_has_input()) else {
            return;
        };
        let (serial, time) = (SERIAL_COUNTER.next_serial(), self.input_time());
        match gesture {
            Gesture::Swipe => {
                pointer.gesture_swipe_begin(self, &GestureSwipeBeginEvent { serial, time, fingers });
            }
            Gesture::Pinch => {
                pointer.gesture_pinch_begin(self, &GesturePinchBeginEvent { serial, time, fingers });
            }
            Gesture::Hold => {
                pointer.gesture_hold_begin(self, &GestureHoldBeginEvent { serial, time, fingers });
            }
        }
    }

    /// The fingers moved. A hold has no steps.
    pub fn input_gesture_step(&mut self, gesture: Gesture, step: GestureStep) {
        self.note_activity();
        let Some(pointer) = self.comp.seat.get_pointer().filter(|_| !self.comp.overlay_has_input()) else {
            return;
        };
        let time = self.input_time();
        let delta = step.delta.to_logical(self.comp.layout_at_pointer().scale);
        match gesture {
            Gesture::Swipe => pointer.gesture_swipe_update(self, &GestureSwipeUpdateEvent { time, delta }),
            Gesture::Pinch => {
                let GestureStep { scale, rotation, .. } = step;
                pointer.gesture_pinch_update(self, &GesturePinchUpdateEvent { time, delta, scale, rotation });
            }
            Gesture::Hold => {}
        }
    }

    /// The fingers were lifted, or turned to something else, which makes the gesture as if it had not been.
    pub fn input_gesture_end(&mut self, gesture: Gesture, cancelled: bool) {
        self.note_activity();
        let Some(pointer) = self.comp.seat.get_pointer() else { return };
        let (serial, time) = (SERIAL_COUNTER.next_serial(), self.input_time());
        match gesture {
            Gesture::Swipe => {
                pointer.gesture_swipe_end(self, &GestureSwipeEndEvent { serial, time, cancelled });
            }
            Gesture::Pinch => {
                pointer.gesture_pinch_end(self, &GesturePinchEndEvent { serial, time, cancelled });
            }
            Gesture::Hold => pointer.gesture_hold_end(self, &GestureHoldEndEvent { serial, time, cancelled }),
        }
    }
}
