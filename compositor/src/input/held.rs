//! Chords that are held down: done again and again, done only when they are held for long, and what ends with them.
//!
//! # Model
//!
//! A chord does its action when it is pressed. One that *repeats* does it again while it is held. One with an action for being
//! *held* waits: held for [`HOLD`] it does that, and let go before, its ordinary action. One with an action for its *release*
//! does that when its key comes up, whatever happened before: so it is in force while it is held, as a microphone may be. The
//! X-ray ([`super::xray`]) is such a chord by itself.
//!
//! # Invariants
//!
//! * A chord is done again, and waited for, only until any key is pressed or released, or the session is locked. Of a chord that
//!   is waited for, another key's press or the lock makes nothing at all.
//! * What a release does is done once for each press. In a locked session it starts a program or does nothing.

use std::time::Duration;

use calloop::RegistrationToken;
use calloop::timer::{TimeoutAction, Timer};

use super::action::Action;
use super::chord::Binding;
use super::placing::{Placement, Placing};
use super::repeat::Repeat;
use super::settling::Settling;
use crate::state::State;

/// How long a chord is held that does what it does for being held.
const HOLD: Duration = Duration::from_millis(500);
/// Time before a held chord is done again, and between the times after that.
const REPEAT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(120));

/// A chord that may be held for long, or not.
#[derive(Debug)]
struct Waiting {
    /// What it does if it was not.
    tap: Action,
    timer: RegistrationToken,
}

/// What becomes of the keys that are down.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The timer of what is done again.
    repeated: Option<RegistrationToken>,
    waiting: Option<Waiting>,
    /// What is done when keys come up, by their codes; each is in it once.
    releases: Vec<(u32, Action)>,
    /// The window that the keys move or resize.
    pub(super) placing: Option<Placing>,
    /// The key that an application is told again and again.
    pub(super) key: Repeat,
    /// Whether keys that are pressed now are meant for who has the keyboard.
    pub(super) settling: Settling,
}

impl Held {
    /// What the keys do to the window that has the keyboard, if they do.
    pub(crate) fn placement(&self) -> Option<Placement> {
        self.placing.as_ref().map(Placing::what)
    }
}

impl State {
    /// Any key was pressed or released: nothing is done again, and what was waited for is decided. Returns what is to be done
    /// once the key has gone where it goes.
    pub(super) fn decide_held(&mut self, pressed: bool) -> Option<Action> {
        let tap = self.comp.input.held.waiting.as_ref().map(|waiting| waiting.tap.clone());
        self.stop_repeat();
        // The modifier may come up before the key.
        tap.filter(|_| !pressed)
    }

    /// Does what a chord is for whose key was pressed.
    pub(super) fn press_chord(&mut self, code: u32, binding: Binding) {
        let Binding { action, repeat, hold, release, .. } = binding;
        let held = &mut self.comp.input.held;
        held.releases.retain(|(other, _)| *other != code);
        held.releases.extend(release.map(|release| (code, release)));
        if let Some(hold) = hold {
            self.wait_for_hold(code, action, hold);
            return;
        }
        if repeat {
            let again = action.clone();
            self.begin_repeat(REPEAT, move |state| state.act(&again));
        }
        self.act_while_held(code, &action);
    }

    /// Does what a chord is for whose key is down.
    fn act_while_held(&mut self, code: u32, action: &Action) {
        match action {
            Action::XRay => self.begin_xray(code),
            other => self.act(other),
        }
    }

    /// The key of a chord came up.
    pub(super) fn release_chord(&mut self, code: u32) {
        self.end_xray_of(code);
        let held = &mut self.comp.input.held;
        let Some(index) = held.releases.iter().position(|(other, _)| *other == code) else { return };
        let (_, action) = held.releases.remove(index);
        // Behind the lock nothing is done to windows.
        if !self.comp.lock.is_locked() || matches!(action, Action::Run(_)) {
            self.act(&action);
        }
    }

    /// What is held is not done again, and not waited for.
    pub(super) fn stop_repeat(&mut self) {
        let Held { repeated, waiting, .. } = &mut self.comp.input.held;
        let timers = repeated.take().into_iter().chain(waiting.take().map(|waiting| waiting.timer));
        for timer in timers {
            self.comp.events.remove(timer);
        }
    }

    /// Whether a chord is held that is done again.
    #[must_use]
    pub fn is_repeating(&self) -> bool {
        self.comp.input.held.repeated.is_some()
    }

    /// Does something again and again: after the first time, and then each time after the second.
    pub(super) fn begin_repeat(
        &mut self,
        (delay, interval): (Duration, Duration),
        what: impl Fn(&mut Self) + 'static,
    ) {
        let timer = Timer::from_duration(delay);
        let inserted = self.comp.events.insert_source(timer, move |_, (), state| {
            what(state);
            TimeoutAction::ToDuration(interval)
        });
        match inserted {
            Ok(timer) => self.comp.input.held.repeated = Some(timer),
            Err(error) => tracing::error!("error arming the timer of a held key: {error}"),
        }
    }

    fn wait_for_hold(&mut self, code: u32, tap: Action, hold: Action) {
        let inserted = self.comp.events.insert_source(Timer::from_duration(HOLD), move |_, (), state| {
            state.comp.input.held.waiting = None;
            state.act_while_held(code, &hold);
            TimeoutAction::Drop
        });
        match inserted {
            Ok(timer) => self.comp.input.held.waiting = Some(Waiting { tap, timer }),
            Err(error) => tracing::error!("error arming the timer of a held key: {error}"),
        }
    }
}
