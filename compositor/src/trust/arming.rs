//! When something that the compositor asks or offers takes an answer.
//!
//! # Model
//!
//! What appears on the screen may appear under a finger that is on its way to something else. So it takes no answer before it has
//! been in sight, at one place and undisturbed, for [`ARMING`].
//!
//! # Invariant
//!
//! * Whatever is pressed before that, is no answer, or finds it at another place, makes the time begin again.

use std::time::Duration;

use smithay::utils::{Physical, Rectangle};

/// How long something must have been in sight, and nothing pressed, before it takes an answer.
pub const ARMING: Duration = Duration::from_millis(1000);

/// Since when something has been in sight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arming {
    /// Where it is among the physical pixels of all outputs, once that is known.
    panel: Option<Rectangle<i32, Physical>>,
    /// When it takes an answer.
    armed_at: Duration,
}

impl Arming {
    /// It is in sight from now on.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        Self { panel: None, armed_at: now.saturating_add(ARMING) }
    }

    /// When it takes an answer.
    #[must_use]
    pub fn armed_at(&self) -> Duration {
        self.armed_at
    }

    /// Whether it takes an answer.
    #[must_use]
    pub fn is_armed(&self, now: Duration) -> bool {
        now >= self.armed_at
    }

    /// Something was pressed. True if it takes an answer; otherwise that was for something else, and the time begins again.
    pub fn press(&mut self, now: Duration) -> bool {
        let armed = self.is_armed(now);
        if !armed {
            self.disturb(now);
        }
        armed
    }

    /// The user is at something else, or it is not as it was: the time begins again.
    pub fn disturb(&mut self, now: Duration) {
        self.armed_at = now.saturating_add(ARMING);
    }

    /// It is at a place. True if it was elsewhere before: then nobody has seen it there yet, and the time begins again.
    pub fn place(&mut self, panel: Rectangle<i32, Physical>, now: Duration) -> bool {
        let moved = self.panel.replace(panel).is_some_and(|before| before != panel);
        if moved {
            self.disturb(now);
        }
        moved
    }
}
