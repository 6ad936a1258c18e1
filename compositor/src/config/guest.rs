//! `[defaults.input]` and `[vm.NAME.input]`: what a VM may do with the devices, and what it is told of them.
//!
//! # Model
//!
//! What is said of a VM is, key by key, what its own table says, or else what the defaults say, or else what is built in.
//! Programs of the GUI VM itself are held to none of it.

use std::time::Duration;

use serde::Deserialize;

/// Who repeats a key that is held down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyRepeat {
    /// The compositor, which knows when the key comes up and when the keyboard moves on.
    Compositor,
    /// The application, as it likes.
    Client,
}

/// Milliseconds of something that a person would otherwise wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Milliseconds(u16);

/// A number that is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is 0 to {} milliseconds", Milliseconds::MAX)]
pub struct MillisecondsError;

impl Milliseconds {
    /// The most.
    const MAX: u16 = 5000;
}

impl TryFrom<i64> for Milliseconds {
    type Error = MillisecondsError;

    fn try_from(number: i64) -> Result<Self, MillisecondsError> {
        u16::try_from(number).ok().filter(|number| *number <= Self::MAX).map(Self).ok_or(MillisecondsError)
    }
}

impl From<Milliseconds> for Duration {
    fn from(milliseconds: Milliseconds) -> Self {
        Self::from_millis(milliseconds.0.into())
    }
}

/// The table as it is written. `None` is what is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputKeys {
    keyboard_repeat: Option<KeyRepeat>,
    settle_ms: Option<Milliseconds>,
}

impl InputKeys {
    /// These, and the others where these say nothing.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            keyboard_repeat: self.keyboard_repeat.or(others.keyboard_repeat),
            settle_ms: self.settle_ms.or(others.settle_ms),
        }
    }

    /// The rules that these make.
    pub(super) fn rules(self) -> InputRules {
        let built_in = InputRules::guarded();
        InputRules {
            keyboard_repeat: self.keyboard_repeat.unwrap_or(built_in.keyboard_repeat),
            settle: self.settle_ms.map_or(built_in.settle, Duration::from),
        }
    }
}

/// What an origin may do with the devices, and what it is told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputRules {
    /// Who repeats keys.
    pub keyboard_repeat: KeyRepeat,
    /// For how long it gets no keys when the keyboard came to it without the user's hand.
    pub settle: Duration,
}

impl InputRules {
    /// Those of a VM of which nothing is said.
    #[must_use]
    pub fn guarded() -> Self {
        Self { keyboard_repeat: KeyRepeat::Compositor, settle: Duration::from_millis(300) }
    }

    /// Those of programs of the GUI VM itself.
    #[must_use]
    pub fn free() -> Self {
        Self { keyboard_repeat: KeyRepeat::Client, settle: Duration::ZERO }
    }
}
