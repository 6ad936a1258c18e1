//! What the user takes back from a VM with a key that no client ever gets: the pointer that it locks or confines, and the
//! shortcuts that it inhibits.
//!
//! # Invariant
//!
//! * What was taken back from a VM, none of its clients has again until the user clicks into one of its windows.

use crate::state::{Comp, State};
use crate::trust::origin::Origin;

/// The VMs that the user took the input back from. Each is in it once, so they are as many as are configured at most.
#[derive(Debug, Default)]
pub(crate) struct Released(Vec<Origin>);

impl Released {
    /// Whether it was taken back from this VM.
    pub fn contains(&self, origin: &Origin) -> bool {
        self.0.contains(origin)
    }
}

impl Comp {
    /// What the stripe says of what a client holds, and how the user takes it back; `None` if none holds anything. Who does has
    /// the keyboard.
    #[must_use]
    pub fn held_hint(&self) -> Option<&'static str> {
        match (self.input.constraints.is_active(), self.protocols.shortcuts_inhibit.in_force()) {
            (false, false) => None,
            (true, false) => Some("holds the pointer: logo with Escape takes it back"),
            (false, true) => Some("has the shortcuts: logo with Escape takes them back"),
            (true, true) => Some("holds pointer and shortcuts: logo with Escape takes them back"),
        }
    }
}

impl State {
    /// The user takes the input back from the VM that has the keyboard.
    pub(crate) fn release_input(&mut self) {
        let Some(origin) = self.comp.focused_origin().cloned() else { return };
        self.take_back(&origin);
        self.leave_fullscreen();
        self.refresh_constraint();
        self.refresh_shortcuts();
    }

    /// The user takes the input back from a VM, whatever of it that holds.
    pub(super) fn take_back(&mut self, origin: &Origin) {
        let released = &mut self.comp.input.trusted.released;
        if !released.contains(origin) {
            released.0.push(origin.clone());
        }
    }

    /// The user clicked into a window of this VM. Its pointer constraints are looked at with the motion that follows.
    pub(super) fn allow_input(&mut self, origin: &Origin) {
        self.comp.input.trusted.released.0.retain(|other| other != origin);
        self.refresh_shortcuts();
    }
}
