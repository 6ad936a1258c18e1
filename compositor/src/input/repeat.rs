//! Repeating keys that are held down, for applications of VMs.
//!
//! # Model
//!
//! Wayland leaves the repeating to each application. One in a VM may learn late that the key has come up, or that the keyboard
//! has moved on, if a buffer on the way is full or the VM hangs; and then goes on typing by itself. So applications of VMs are
//! told not to repeat (`repeat_info` with a rate of zero), and a key that is held is told to them again by a timer of the
//! compositor, which knows when to stop. `keyboard_repeat = "client"` in the table of a VM leaves it to the applications.
//!
//! The last key that was pressed is repeated, if the keymap says that it is one of those. Letting it go ends that, and so does
//! another one that is pressed and goes anywhere but to the same client; a modifier does not. There is a timer only
//! while a key is repeated.
//!
//! # The event
//!
//! A repeat is one more press, with the serial of the first. Version 10 of `wl_keyboard` has a state of its own for it, which means
//! the same as pressed, but Smithay 0.7 offers version 9 and keeps its seat's global to itself. GTK, Qt, SDL, foot and weston's
//! toolkit take a second press for a repeat. A release before each would be within the letter of the old versions, but it is not true:
//! games would stop and go, and buttons that act when their key comes up would act many times. The X server drops second presses
//! while its own repeating is off, so a VM for X11 applications has to repeat by itself.
//!
//! # Invariants
//!
//! * A key is repeated only into the surface that it was pressed for, while that has the keyboard without a break.
//! * No repeat comes while the session is locked, a question is shown, keys are the compositor's own, or the VM is paused.
//! * A repeat that is late is not made up for.

use std::time::Duration;

use calloop::RegistrationToken;
use calloop::timer::{TimeoutAction, Timer};
use smithay::reexports::wayland_server::backend::ObjectId;
use smithay::reexports::wayland_server::protocol::wl_keyboard::{KeyState, WlKeyboard};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{Client, Resource};
use smithay::utils::Serial;

use crate::config::Config;
use crate::config::guest::KeyRepeat;
use crate::state::{Comp, State};
use crate::trust::client::{self, origin_of};
use crate::trust::origin::Origin;

/// What a key was pressed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TypedOn {
    /// A keyboard of the seat.
    Seat,
    /// A virtual keyboard, by its object.
    Virtual(ObjectId),
}

/// A key that is held down and told again and again.
#[derive(Debug)]
struct Repeated {
    /// Its code of evdev.
    code: u32,
    on: TypedOn,
    /// The serial of its press.
    serial: Serial,
    /// What it is typed into.
    surface: WlSurface,
    timer: RegistrationToken,
}

/// The key that is repeated, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Repeat(Option<Repeated>);

/// What the client of an origin is told of repeating: the rate a second, 0 for none, and the delay in milliseconds.
fn repeat_info(config: &Config, origin: &Origin) -> (i32, i32) {
    match config.input_rules(origin).keyboard_repeat {
        KeyRepeat::Compositor => (0, 0),
        KeyRepeat::Client => (config.input.keyboard.repeat_rate, config.input.keyboard.repeat_delay),
    }
}

/// Time before a held key is repeated, and between the repeats after that; `None` if keys are not repeated.
fn pace(config: &Config) -> Option<(Duration, Duration)> {
    let keyboard = &config.input.keyboard;
    let rate = u32::try_from(keyboard.repeat_rate).ok().filter(|rate| *rate > 0)?;
    let delay = u64::try_from(keyboard.repeat_delay).unwrap_or(0);
    Some((Duration::from_millis(delay), Duration::from_secs(1) / rate))
}

impl State {
    /// A client has a new keyboard object. It has been told that keys are not repeated; if it is to repeat them itself it is told
    /// how.
    pub(crate) fn tell_new_keyboard(&mut self, client: &Client) {
        let Some(keyboard) = self.comp.seat.get_keyboard() else { return };
        let Some(newest) = keyboard.client_keyboards(client).last() else { return };
        let known = client::state(client).map(|known| repeat_info(self.comp.config.current(), &known.origin));
        if let Some(info) = known.filter(|info| *info != (0, 0)) {
            tell(&newest, info);
        }
        self.comp.input.listeners.add_keyboard(&newest);
    }

    /// The configuration was `before`: the clients whose repeating has changed are told.
    pub(super) fn configure_repeat(&mut self, before: &Config) {
        let now = self.comp.config.current();
        for keyboard in self.comp.input.listeners.keyboards() {
            let Some(origin) = origin_of(&keyboard) else { continue };
            let info = repeat_info(now, &origin);
            if info != repeat_info(before, &origin) {
                tell(&keyboard, info);
            }
        }
    }

    /// A key went to what has the keyboard: it may be repeated from now on.
    pub(crate) fn begin_key_repeat(&mut self, code: u32, on: TypedOn, serial: Serial) {
        if !self.comp.repeats(&on, code) {
            return;
        }
        self.end_key_repeat();
        let Some(surface) = self.comp.repeating_surface() else { return };
        let Some((delay, _)) = pace(self.comp.config.current()) else { return };
        let inserted =
            self.comp.events.insert_source(Timer::from_duration(delay), |_, (), state| {
                match state.repeat_key() {
                    Some(interval) => TimeoutAction::ToDuration(interval),
                    None => {
                        state.comp.input.held.key = Repeat(None);
                        TimeoutAction::Drop
                    }
                }
            });
        match inserted {
            Ok(timer) => {
                self.comp.input.held.key = Repeat(Some(Repeated { code, on, serial, surface, timer }));
            }
            Err(error) => tracing::error!("error arming the timer of a held key: {error}"),
        }
    }

    /// A key came up.
    pub(crate) fn key_came_up(&mut self, code: u32, on: &TypedOn) {
        if self.comp.input.held.key.0.as_ref().is_some_and(|key| key.code == code && key.on == *on) {
            self.end_key_repeat();
        }
    }

    /// No key is repeated any more.
    pub(crate) fn end_key_repeat(&mut self) {
        if let Some(key) = self.comp.input.held.key.0.take() {
            self.comp.events.remove(key.timer);
        }
    }

    /// Tells the key once more, and returns the time until the next; `None` if it is not to be repeated any more.
    fn repeat_key(&mut self) -> Option<Duration> {
        let Repeated { code, on, serial, surface, .. } = self.comp.input.held.key.0.as_ref()?;
        let (code, on, serial) = (*code, on.clone(), *serial);
        let (_, interval) = pace(self.comp.config.current())?;
        if self.comp.repeating_surface().as_ref() != Some(surface) || !self.comp.repeats(&on, code) {
            return None;
        }
        let time = self.input_time();
        for keyboard in self.hear(&on) {
            keyboard.key(serial.into(), time, code, KeyState::Pressed);
        }
        Some(interval)
    }

    /// Lets the client that has the keyboard hear what a key was pressed on. Returns its objects.
    fn hear(&mut self, on: &TypedOn) -> Vec<WlKeyboard> {
        match on {
            TypedOn::Seat => {
                self.hear_seat();
                self.tell_modifiers();
                self.comp.focused_keyboards()
            }
            TypedOn::Virtual(object) => self.comp.hear_virtual(object),
        }
    }
}

impl Comp {
    /// Whether a key is one that is repeated.
    fn repeats(&self, on: &TypedOn, code: u32) -> bool {
        match on {
            TypedOn::Seat => self.input.keymap.repeats(code),
            TypedOn::Virtual(object) => self.input.virtual_keyboards.repeats(object, code),
        }
    }

    /// The surface that has the keyboard, if keys are repeated into it now.
    fn repeating_surface(&self) -> Option<WlSurface> {
        let surface = self.seat.get_keyboard()?.current_focus()?;
        let origin = origin_of(&surface)?;
        let rules = self.config.current().input_rules(&origin);
        let free = !self.lock.is_locked() && !self.takes_all_keys() && !self.is_paused(&origin);
        (free && rules.keyboard_repeat == KeyRepeat::Compositor).then_some(surface)
    }

    /// The keyboard objects of the client that has the keyboard.
    fn focused_keyboards(&self) -> Vec<WlKeyboard> {
        let Some(keyboard) = self.seat.get_keyboard() else { return Vec::new() };
        let client = keyboard.current_focus().and_then(|surface| surface.client());
        client.map(|client| keyboard.client_keyboards(&client).collect()).unwrap_or_default()
    }

    /// Whether a key is held that the compositor repeats.
    #[must_use]
    pub fn is_repeating_key(&self) -> bool {
        self.input.held.key.0.is_some()
    }
}

fn tell(keyboard: &WlKeyboard, (rate, delay): (i32, i32)) {
    if keyboard.version() >= 4 {
        keyboard.repeat_info(rate, delay);
    }
}
