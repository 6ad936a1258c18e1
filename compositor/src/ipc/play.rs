//! Input that is played through the control socket: in the headless backend, and on a console only where it was asked for
//! on the command line.

use serde_json::Value;
use smithay::utils::{Physical, Point};

use super::handle::value;
use super::keys;
use super::outputs::no_such_output;
use super::protocol::{InputEvent, MAX_EVENTS, MAX_SPELLED};
use super::server::Reply;
use crate::input::gesture::GestureStep;
use crate::input::touch;
use crate::state::State;

/// The largest coordinate on an output.
const MAX_PLACE: f64 = 16384.0;
/// Fingers of a gesture, at most.
const MAX_FINGERS: u32 = 10;

impl State {
    /// Plays the events in order, or none of them if one makes no sense. Places are on an output.
    pub(super) fn play(&mut self, events: &[InputEvent], output: Option<&str>) -> Reply {
        if !self.backend.takes_control_input() {
            return Reply::Error(String::from(
                "input is taken from the control socket in headless mode only, or with --control-input",
            ));
        }
        if events.len() > MAX_EVENTS {
            return Reply::Error(format!("a request has at most {MAX_EVENTS} events"));
        }
        // Before anything is played, so that no key stays down because of a mistake behind it.
        if let Some(event) = events.iter().find(|event| !makes_sense(event)) {
            return Reply::Error(format!("no device does this: {event:?}"));
        }
        let outputs = self.comp.shell.outputs();
        let origin = match output {
            None => outputs.used().next().unwrap_or(outputs.active()).layout.origin,
            Some(name) => match outputs.named(name).filter(|output| output.in_use) {
                Some(output) => output.layout.origin,
                None => return Reply::Error(no_such_output(name)),
            },
        };
        for event in events {
            self.play_one(event.on(origin.to_f64()));
        }
        Reply::Ok(Value::Object(serde_json::Map::new()))
    }

    /// The keys that type a text, to be played.
    pub(super) fn spelled(&self, text: &str) -> Reply {
        if text.len() > MAX_SPELLED {
            return Reply::Error(format!("a text has at most {MAX_SPELLED} bytes"));
        }
        match self.spell(text) {
            Ok(keys) => {
                let keys = keys.into_iter().map(|(code, pressed)| InputEvent::Key { code, pressed });
                value(&keys.collect::<Vec<_>>())
            }
            Err(error) => Reply::Error(error.to_string()),
        }
    }

    fn play_one(&mut self, event: InputEvent) {
        match event {
            InputEvent::Move { x, y } => self.input_pointer_motion(x, y),
            InputEvent::MoveBy { dx, dy } => self.input_pointer_motion_by(dx, dy),
            InputEvent::Button { code, pressed } => self.input_pointer_button(code, pressed),
            InputEvent::Key { code, pressed } => self.input_key(code, pressed),
            InputEvent::Scroll { dx, dy } => self.input_pointer_axis(dx, dy),
            InputEvent::TouchDown { id, x, y } => self.input_touch_down(id, x, y),
            InputEvent::TouchMotion { id, x, y } => self.input_touch_motion(id, x, y),
            InputEvent::TouchUp { id } => self.input_touch_up(id),
            InputEvent::TouchFrame {} => self.input_touch_frame(),
            InputEvent::TouchCancel {} => self.input_touch_cancel(),
            InputEvent::TabletIn { x, y } => self.input_tablet_in(x, y),
            InputEvent::TabletMotion { x, y, pressure } => self.input_tablet_motion(x, y, pressure),
            InputEvent::TabletTip { down } => self.input_tablet_tip(down),
            InputEvent::TabletOut {} => self.input_tablet_out(),
            InputEvent::GestureBegin { gesture, fingers } => self.input_gesture_begin(gesture, fingers),
            InputEvent::GestureStep { gesture, dx, dy, scale, rotation } => {
                let step = GestureStep { delta: (dx, dy).into(), scale, rotation };
                self.input_gesture_step(gesture, step);
            }
            InputEvent::GestureEnd { gesture, cancelled } => self.input_gesture_end(gesture, cancelled),
        }
    }
}

impl InputEvent {
    /// The same where its output is among the physical pixels of all.
    fn on(mut self, origin: Point<f64, Physical>) -> Self {
        match &mut self {
            Self::Move { x, y }
            | Self::TouchDown { x, y, .. }
            | Self::TouchMotion { x, y, .. }
            | Self::TabletIn { x, y }
            | Self::TabletMotion { x, y, .. } => {
                // No further than the output is: beyond there are others.
                *x = x.clamp(0.0, MAX_PLACE) + origin.x;
                *y = y.clamp(0.0, MAX_PLACE) + origin.y;
            }
            _ => {}
        }
        self
    }
}

fn makes_sense(event: &InputEvent) -> bool {
    match event {
        InputEvent::Key { code, .. } | InputEvent::Button { code, .. } => *code <= keys::MAX_CODE,
        InputEvent::GestureBegin { fingers, .. } => (1..=MAX_FINGERS).contains(fingers),
        InputEvent::TouchDown { id, .. }
        | InputEvent::TouchMotion { id, .. }
        | InputEvent::TouchUp { id } => *id < touch::MAX_FINGERS,
        InputEvent::TabletMotion { pressure, .. } => (0.0..=1.0).contains(pressure),
        _ => true,
    }
}
