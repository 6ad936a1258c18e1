//! `[defaults.input]`, `[defaults.privacy]` and the same of each VM: what a VM may do with the devices, and what it is told of them, of
//! the screens and of the person.
//!
//! # Model
//!
//! What is said of a VM is, key by key, what its own table says, or else its profile, or else what the defaults say, or else their
//! profile, or else what is built in.
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

/// Whether the windows of a VM may lock the pointer to its place, or confine it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointerLock {
    /// They may not.
    Deny,
    /// If the user says so, who is asked once.
    Ask,
    /// They may.
    Allow,
}

/// When a VM is told where pointer and pen are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hover {
    /// While it has the keyboard, or something of its own is dragged or pressed.
    Focused,
    /// Whenever they are on one of its windows.
    Always,
}

/// A set of rules by one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Of a VM that is to learn as little as can be of the person and the machine.
    Anonymous,
}

impl Profile {
    /// What it says of the devices.
    pub(super) fn input(self) -> InputKeys {
        match self {
            Self::Anonymous => InputKeys {
                keyboard_repeat: Some(KeyRepeat::Compositor),
                settle_ms: None,
                pointer_lock: Some(PointerLock::Deny),
                hover: Some(Hover::Focused),
            },
        }
    }

    /// What it says of the screens and the person.
    pub(super) fn privacy(self) -> PrivacyKeys {
        match self {
            Self::Anonymous => PrivacyKeys {
                outputs: Some(OutputsRule::Rounded),
                presentation_time: Some(PresentationTime::Off),
                idle_notify: Some(IdleNotify::Deny),
            },
        }
    }
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
    pointer_lock: Option<PointerLock>,
    hover: Option<Hover>,
}

impl InputKeys {
    /// These, and the others where these say nothing.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            keyboard_repeat: self.keyboard_repeat.or(others.keyboard_repeat),
            settle_ms: self.settle_ms.or(others.settle_ms),
            pointer_lock: self.pointer_lock.or(others.pointer_lock),
            hover: self.hover.or(others.hover),
        }
    }

    /// The rules that these make.
    pub(super) fn rules(self) -> InputRules {
        let built_in = InputRules::guarded();
        InputRules {
            keyboard_repeat: self.keyboard_repeat.unwrap_or(built_in.keyboard_repeat),
            settle: self.settle_ms.map_or(built_in.settle, Duration::from),
            pointer_lock: self.pointer_lock.unwrap_or(built_in.pointer_lock),
            hover: self.hover.unwrap_or(built_in.hover),
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
    /// Whether it may lock or confine the pointer.
    pub pointer_lock: PointerLock,
    /// When it is told of the pointer.
    pub hover: Hover,
}

impl InputRules {
    /// Those of a VM of which nothing is said.
    #[must_use]
    pub fn guarded() -> Self {
        Self {
            keyboard_repeat: KeyRepeat::Compositor,
            settle: Duration::from_millis(300),
            pointer_lock: PointerLock::Ask,
            hover: Hover::Always,
        }
    }

    /// Those of programs of the GUI VM itself.
    #[must_use]
    pub fn free() -> Self {
        Self {
            keyboard_repeat: KeyRepeat::Client,
            settle: Duration::ZERO,
            pointer_lock: PointerLock::Allow,
            hover: Hover::Always,
        }
    }
}

/// Which outputs a VM is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputsRule {
    /// One of no make, in the size of the real one.
    Synthetic,
    /// The same, in a rounded size and a whole scale.
    Rounded,
    /// The real ones.
    Real,
}

/// Whether a VM may be told when nobody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdleNotify {
    /// Not at all.
    Deny,
    /// If its protocols say so.
    Protocols,
}

/// What a VM is told of the times at which its frames were shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PresentationTime {
    /// The times of a screen that has 60 frames a second, whatever the real one has.
    Coarse,
    /// Nothing.
    Off,
    /// What the screen says.
    Full,
}

/// The table as it is written. `None` is what is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacyKeys {
    outputs: Option<OutputsRule>,
    presentation_time: Option<PresentationTime>,
    idle_notify: Option<IdleNotify>,
}

impl PrivacyKeys {
    /// These, and the others where these say nothing.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            outputs: self.outputs.or(others.outputs),
            presentation_time: self.presentation_time.or(others.presentation_time),
            idle_notify: self.idle_notify.or(others.idle_notify),
        }
    }

    /// The rules that these make.
    pub(super) fn rules(self) -> PrivacyRules {
        let built_in = PrivacyRules::guarded();
        PrivacyRules {
            outputs: self.outputs.unwrap_or(built_in.outputs),
            presentation_time: self.presentation_time.unwrap_or(built_in.presentation_time),
            idle_notify: self.idle_notify.unwrap_or(built_in.idle_notify),
        }
    }
}

/// What an origin is told of the screens and of the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivacyRules {
    /// Which outputs it is shown.
    pub outputs: OutputsRule,
    /// When its frames were shown.
    pub presentation_time: PresentationTime,
    /// Whether it may be told when nobody is there.
    pub idle_notify: IdleNotify,
}

impl PrivacyRules {
    /// Those of a VM of which nothing is said.
    #[must_use]
    pub fn guarded() -> Self {
        Self {
            outputs: OutputsRule::Synthetic,
            presentation_time: PresentationTime::Coarse,
            idle_notify: IdleNotify::Protocols,
        }
    }

    /// Those of programs of the GUI VM itself.
    #[must_use]
    pub fn free() -> Self {
        Self {
            outputs: OutputsRule::Real,
            presentation_time: PresentationTime::Full,
            idle_notify: IdleNotify::Protocols,
        }
    }
}
