//! `vitrailctl input`: the words of the command line, as events of the control socket.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use vitrail::input::gesture::Gesture;
use vitrail::ipc::client::Client;
use vitrail::ipc::keys;
use vitrail::ipc::protocol::{InputEvent, MAX_SPELLED, Request};

#[derive(Debug, Subcommand)]
pub enum Input {
    /// Move the pointer to a place of the output, in physical pixels
    #[command(allow_negative_numbers = true)]
    Move {
        /// From the left
        x: f64,
        /// From the top
        y: f64,
    },
    /// Push the pointer, in physical pixels
    #[command(allow_negative_numbers = true)]
    MoveBy {
        /// To the right
        dx: f64,
        /// Down
        dy: f64,
    },
    /// Press or release a button of the pointer
    Button {
        /// Which
        button: Button,
        /// What to do with it
        action: ButtonAction,
    },
    /// Press or release a key
    Key {
        /// Its evdev name without KEY_, such as a, enter, leftshift, f1
        name: String,
        /// What to do with it
        action: KeyAction,
    },
    /// Type a text by the keys of the session's layout; all of it, or nothing if a character has no key
    Type {
        /// The text; \n and \t in it are Enter and Tab
        text: String,
    },
    /// Turn the wheel
    #[command(allow_negative_numbers = true)]
    Scroll {
        /// Steps to the right
        dx: f64,
        /// Steps down
        dy: f64,
    },
    /// Put fingers on the touch screen, move and lift them
    #[command(subcommand)]
    Touch(Touch),
    /// Use the pen of a graphics tablet
    #[command(subcommand)]
    Tablet(Tablet),
    /// Swipe with several fingers on a touchpad, in physical pixels
    #[command(allow_negative_numbers = true)]
    Swipe {
        #[command(flatten)]
        fingers: Fingers,
        /// To the right
        dx: f64,
        /// Down
        dy: f64,
    },
    /// Pinch with several fingers on a touchpad
    #[command(allow_negative_numbers = true)]
    Pinch {
        #[command(flatten)]
        fingers: Fingers,
        /// How far apart the fingers are at the end, as a multiple of the distance at the beginning
        scale: f64,
        /// How far they turn, in degrees clockwise
        #[arg(default_value_t = 0.0)]
        rotation: f64,
    },
    /// Rest several fingers on a touchpad, and lift them
    Hold {
        #[command(flatten)]
        fingers: Fingers,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Touch {
    /// Put a finger on a place of the output, in physical pixels
    #[command(allow_negative_numbers = true)]
    Down {
        /// Which finger, from 0 up
        id: u32,
        /// From the left
        x: f64,
        /// From the top
        y: f64,
    },
    /// Move a finger to another place
    #[command(allow_negative_numbers = true)]
    Motion {
        /// Which finger
        id: u32,
        /// From the left
        x: f64,
        /// From the top
        y: f64,
    },
    /// Lift a finger
    Up {
        /// Which finger
        id: u32,
    },
    /// Take back what the fingers that are down have done
    Cancel,
}

impl Touch {
    fn events(self) -> Vec<InputEvent> {
        let event = match self {
            Self::Down { id, x, y } => InputEvent::TouchDown { id, x, y },
            Self::Motion { id, x, y } => InputEvent::TouchMotion { id, x, y },
            Self::Up { id } => InputEvent::TouchUp { id },
            // Taking back needs no frame.
            Self::Cancel => return vec![InputEvent::TouchCancel {}],
        };
        vec![event, InputEvent::TouchFrame {}]
    }
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Tablet {
    /// Bring the pen near, over a place of the output in physical pixels
    #[command(allow_negative_numbers = true)]
    In {
        /// From the left
        x: f64,
        /// From the top
        y: f64,
    },
    /// Move the pen to another place
    #[command(allow_negative_numbers = true)]
    Motion {
        /// From the left
        x: f64,
        /// From the top
        y: f64,
        /// How hard it is pressed, from 0 to 1
        #[arg(default_value_t = 0.0)]
        pressure: f64,
    },
    /// Put the tip down
    Down,
    /// Lift the tip
    Up,
    /// Take the pen away
    Out,
}

impl Tablet {
    fn event(self) -> InputEvent {
        match self {
            Self::In { x, y } => InputEvent::TabletIn { x, y },
            Self::Motion { x, y, pressure } => InputEvent::TabletMotion { x, y, pressure },
            Self::Down => InputEvent::TabletTip { down: true },
            Self::Up => InputEvent::TabletTip { down: false },
            Self::Out => InputEvent::TabletOut {},
        }
    }
}

/// What all gestures have.
#[derive(Clone, Copy, Debug, Args)]
pub struct Fingers {
    /// How many fingers
    fingers: u32,
    /// Take the gesture back at its end
    #[arg(long)]
    cancel: bool,
}

impl Fingers {
    fn gesture(self, gesture: Gesture, step: Option<InputEvent>) -> Vec<InputEvent> {
        let begin = InputEvent::GestureBegin { gesture, fingers: self.fingers };
        let end = InputEvent::GestureEnd { gesture, cancelled: self.cancel };
        std::iter::once(begin).chain(step).chain([end]).collect()
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Button {
    Left,
    Right,
    Middle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ButtonAction {
    Press,
    Release,
    Click,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyAction {
    Press,
    Release,
    Tap,
}

impl Input {
    /// What the command does, event by event. `spell` says what types a text.
    ///
    /// # Errors
    ///
    /// If there is no such key, or no key for a character.
    pub fn events(&self, spell: impl FnOnce(&str) -> Result<Vec<InputEvent>>) -> Result<Vec<InputEvent>> {
        /// The states of a button or key that an action goes through.
        fn states(press: bool, release: bool) -> impl Iterator<Item = bool> {
            press.then_some(true).into_iter().chain(release.then_some(false))
        }
        Ok(match self {
            Self::Move { x, y } => vec![InputEvent::Move { x: *x, y: *y }],
            Self::MoveBy { dx, dy } => vec![InputEvent::MoveBy { dx: *dx, dy: *dy }],
            Self::Scroll { dx, dy } => vec![InputEvent::Scroll { dx: *dx, dy: *dy }],
            Self::Swipe { fingers, dx, dy } => {
                let gesture = Gesture::Swipe;
                let step = InputEvent::GestureStep { gesture, dx: *dx, dy: *dy, scale: 1.0, rotation: 0.0 };
                fingers.gesture(gesture, Some(step))
            }
            Self::Pinch { fingers, scale, rotation } => {
                let (gesture, scale, rotation) = (Gesture::Pinch, *scale, *rotation);
                let step = InputEvent::GestureStep { gesture, dx: 0.0, dy: 0.0, scale, rotation };
                fingers.gesture(gesture, Some(step))
            }
            Self::Touch(touch) => touch.events(),
            Self::Tablet(tablet) => vec![tablet.event()],
            Self::Hold { fingers } => fingers.gesture(Gesture::Hold, None),
            Self::Button { button, action } => {
                let name = match button {
                    Button::Left => "left",
                    Button::Right => "right",
                    Button::Middle => "middle",
                };
                let code = keys::button(name).context("error finding the button's code")?;
                states(*action != ButtonAction::Release, *action != ButtonAction::Press)
                    .map(|pressed| InputEvent::Button { code, pressed })
                    .collect()
            }
            Self::Key { name, action } => {
                let Some(code) = keys::key(name) else {
                    let known: Vec<&str> = keys::key_names().collect();
                    bail!("no key is called {name:?}; known are {}", known.join(" "));
                };
                states(*action != KeyAction::Release, *action != KeyAction::Press)
                    .map(|pressed| InputEvent::Key { code, pressed })
                    .collect()
            }
            Self::Type { text } => {
                let text = text.replace("\\n", "\n").replace("\\t", "\t");
                spell(&text)?
            }
        })
    }
}

/// The keys that type a text in the layout of a session.
pub fn spell(client: &mut Client, text: &str) -> Result<Vec<InputEvent>> {
    let (mut events, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let mut end = rest.len().min(MAX_SPELLED);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, more) = rest.split_at(end);
        events.extend(client.request::<Vec<InputEvent>>(&Request::Spell { text: part.to_owned() })?);
        rest = more;
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn events(words: &[&str]) -> Vec<InputEvent> {
        let words = ["vitrailctl", "input"].iter().chain(words);
        match crate::Arguments::try_parse_from(words).unwrap().command {
            crate::Command::Input { input, .. } => {
                input.events(|text| bail!("{text:?} is to be typed")).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_click_is_a_press_and_a_release() {
        let button = |pressed| InputEvent::Button { code: 0x110, pressed };
        assert_eq!(events(&["button", "left", "click"]), [button(true), button(false)]);
        assert_eq!(events(&["button", "left", "press"]), [button(true)]);
        assert_eq!(events(&["button", "left", "release"]), [button(false)]);
    }

    #[test]
    fn keys_text_and_places_become_events() {
        let key = |code, pressed| InputEvent::Key { code, pressed };
        assert_eq!(events(&["key", "enter", "tap"]), [key(28, true), key(28, false)]);
        let text = Input::Type { text: String::from("l\\n\\t") };
        let spelled = text.events(|text| Ok(vec![key(u32::try_from(text.len())?, text == "l\n\t")]));
        assert_eq!(spelled.unwrap(), [key(3, true)]);
        assert_eq!(events(&["move", "-1", "2.5"]), [InputEvent::Move { x: -1.0, y: 2.5 }]);
        assert_eq!(events(&["move-by", "-1", "2.5"]), [InputEvent::MoveBy { dx: -1.0, dy: 2.5 }]);
        assert_eq!(events(&["scroll", "0", "-3"]), [InputEvent::Scroll { dx: 0.0, dy: -3.0 }]);
    }

    #[test]
    fn what_a_finger_does_ends_with_a_frame() {
        let frame = InputEvent::TouchFrame {};
        let down = InputEvent::TouchDown { id: 1, x: 20.0, y: -3.5 };
        assert_eq!(events(&["touch", "down", "1", "20", "-3.5"]), [down, frame]);
        assert_eq!(events(&["touch", "up", "1"]), [InputEvent::TouchUp { id: 1 }, frame]);
        assert_eq!(events(&["touch", "cancel"]), [InputEvent::TouchCancel {}]);
    }

    #[test]
    fn a_pen_comes_presses_and_goes() {
        let motion = InputEvent::TabletMotion { x: 1.0, y: 2.0, pressure: 0.5 };
        assert_eq!(events(&["tablet", "in", "1", "2"]), [InputEvent::TabletIn { x: 1.0, y: 2.0 }]);
        assert_eq!(events(&["tablet", "down"]), [InputEvent::TabletTip { down: true }]);
        assert_eq!(events(&["tablet", "motion", "1", "2", "0.5"]), [motion]);
        assert_eq!(events(&["tablet", "out"]), [InputEvent::TabletOut {}]);
    }

    #[test]
    fn a_gesture_begins_goes_and_ends() {
        let gesture = Gesture::Swipe;
        let step = InputEvent::GestureStep { gesture, dx: -5.0, dy: 2.0, scale: 1.0, rotation: 0.0 };
        let end = |cancelled| InputEvent::GestureEnd { gesture, cancelled };
        let begin = InputEvent::GestureBegin { gesture, fingers: 3 };
        assert_eq!(events(&["swipe", "3", "-5", "2"]), [begin, step, end(false)]);
        assert_eq!(events(&["swipe", "3", "-5", "2", "--cancel"]), [begin, step, end(true)]);
        assert_eq!(events(&["pinch", "2", "0.5", "-90"]).len(), 3);
        assert_eq!(events(&["hold", "4"]).len(), 2);
    }
}
