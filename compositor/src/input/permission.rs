//! Whether the windows of a VM may hold the pointer: lock it to its place, or confine it.
//!
//! # Model
//!
//! The table of the VM says so (`pointer_lock`). Where it leaves it to the user, they are asked when a window of the VM could hold the
//! pointer but for that: it has the keyboard and the pointer is on it. The answer holds for the VM until the session ends or
//! the configuration is read again. A question that is not answered goes when the VM loses the keyboard or wants no
//! more to hold the pointer.
//!
//! # Invariants
//!
//! * Without a word of the configuration or of the user no VM holds the pointer.
//! * There is at most one answer and one question for each VM that is configured.

use std::collections::HashMap;

use crate::config::guest::PointerLock;
use crate::state::{Comp, State};
use crate::trust::consent::Answer;
use crate::trust::origin::Origin;

/// What the user said of VMs that they were asked about.
#[derive(Debug, Default)]
pub(crate) struct Permissions(HashMap<Origin, Answer>);

impl Permissions {
    /// The user says whether a VM may hold the pointer.
    pub fn answer(&mut self, origin: Origin, answer: Answer) {
        self.0.insert(origin, answer);
    }
}

impl Comp {
    /// Whether the windows of an origin may hold the pointer; `None` if the user has to be asked.
    pub(super) fn may_hold_pointer(&self, origin: &Origin) -> Option<bool> {
        match self.config.current().input_rules(origin).pointer_lock {
            PointerLock::Deny => Some(false),
            PointerLock::Allow => Some(true),
            PointerLock::Ask => {
                self.input.constraints.permissions.0.get(origin).map(|answer| *answer == Answer::Allow)
            }
        }
    }

    /// Whether a VM that the user is asked about still waits to hold the pointer.
    pub(crate) fn awaits_pointer(&self, origin: &Origin) -> bool {
        let focused = self.focused_window().is_some_and(|window| window.origin == *origin);
        focused && self.may_hold_pointer(origin).is_none() && self.input.constraints.has_any_of(origin)
    }
}

impl State {
    /// Asks the user, if that is all that a VM waits for.
    pub(super) fn ask_about_pointer(&mut self) {
        let Some((_, _, origin)) = self.comp.wish_in_place() else { return };
        if self.comp.may_hold_pointer(&origin).is_none() {
            self.comp.captures.consent.ask_pointer(&origin);
        }
    }

    /// The configuration was read again: the user is asked anew.
    pub(crate) fn reconsider_pointer(&mut self) {
        self.comp.input.constraints.permissions = Permissions::default();
        self.refresh_constraint();
    }
}
