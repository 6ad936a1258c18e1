//! Keys that are meant for somebody else: those that are typed when the keyboard has just come to a VM without the user's hand.
//!
//! # Model
//!
//! The keyboard moves from one VM to another only by the user's hand. It comes to a VM without it where nobody has it and a window
//! opens, and where a launcher or a lock that had it goes. Who is typing then goes on typing for a moment. So for as long as the
//! VM's `settle_ms` says, counted from the change, a key that is pressed reaches nobody, and neither does its release. Keys that
//! were down before reach nobody in any case.
//!
//! Where nobody had the keyboard and nothing was pressed for as long before, nobody is typing, and the first key counts.
//!
//! # Invariants
//!
//! * A key of which the press was kept back is kept back until it has come up and is pressed again.
//! * The compositor's own keys, and modifiers in force, are not touched.

use std::time::Duration;

use crate::state::Comp;

/// Since when, and until when, keys may be meant for somebody else.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    last_press: Option<Duration>,
    until: Option<Duration>,
}

impl Settling {
    /// A key is pressed, whoever it is for.
    pub fn note_press(&mut self, now: Duration) {
        self.last_press = Some(now);
    }

    /// The keyboard comes to somebody for whom `settle` holds, from somebody else or from nobody.
    pub fn begin(&mut self, now: Duration, settle: Duration, from_somebody: bool) {
        let typing = self.last_press.is_some_and(|last| now.saturating_sub(last) < settle);
        self.until = (from_somebody || typing).then(|| now.saturating_add(settle));
    }

    /// The user's hand gives the keyboard to somebody, or nobody has it.
    pub fn end(&mut self) {
        self.until = None;
    }

    /// Whether a key that is pressed now is kept back.
    pub fn takes_press(&mut self, now: Duration) -> bool {
        self.until = self.until.filter(|until| now < *until);
        self.until.is_some()
    }
}

impl Comp {
    /// The keyboard has come to somebody else. `from_somebody` is whether it was somebody's before.
    pub(super) fn settle_keys(&mut self, from_somebody: bool, by_hand: bool) {
        let now = self.now();
        let rules = self.focused_origin().map(|origin| self.config.current().input_rules(origin));
        match rules {
            Some(rules) if !by_hand => self.input.held.settling.begin(now, rules.settle, from_somebody),
            _ => self.input.held.settling.end(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn keys_are_kept_back_for_the_time_that_is_configured() {
        let mut settling = Settling::default();
        assert!(!settling.takes_press(T(0)));
        settling.begin(T(1000), T(300), true);
        assert!(
            settling.takes_press(T(1000)) && settling.takes_press(T(1299)) && !settling.takes_press(T(1300))
        );
        settling.begin(T(2000), T(0), true);
        assert!(!settling.takes_press(T(2000)));
        settling.begin(T(3000), T(300), true);
        settling.end();
        assert!(!settling.takes_press(T(3000)));
    }

    #[test]
    fn who_finds_the_keyboard_free_is_kept_from_it_only_while_somebody_types() {
        let mut settling = Settling::default();
        settling.begin(T(1000), T(300), false);
        assert!(!settling.takes_press(T(1000)), "nobody has typed anything");
        settling.note_press(T(2000));
        settling.begin(T(2299), T(300), false);
        assert!(settling.takes_press(T(2300)));
        settling.begin(T(2300), T(300), false);
        assert!(!settling.takes_press(T(2300)), "that was long ago");
    }
}
