//! What the user does to a whole VM from the trusted panel or the control socket: hides its windows, pauses its input, or cuts
//! it off.
//!
//! # Invariants
//!
//! * Each holds until the user takes it back, the VM is not configured any more, or the compositor ends; nothing that a VM or a
//!   local program asks for by a Wayland protocol ends it.
//! * A VM whose input is paused gets no key, no text, and nothing of the pointer, of fingers or of the pen. Its windows are drawn,
//!   and may be in focus: the stripe says that they get nothing.
//! * A VM that is disconnected has no connection, and gets none.

use smithay::utils::SERIAL_COUNTER;

use crate::state::{Comp, State};
use crate::trust::client::origin_of;
use crate::trust::origin::Origin;
use crate::trust::panel::Operation;

impl Comp {
    /// Whether something has been done to an origin and not been taken back.
    #[must_use]
    pub fn is_restrained(&self, origin: &Origin, operation: Operation) -> bool {
        match operation {
            Operation::Hide => self.shell.is_hidden(origin),
            Operation::Pause => self.is_paused(origin),
            Operation::Disconnect => self.members.barred.contains(origin),
        }
    }

    /// Everything that has been done to an origin and not been taken back.
    #[must_use]
    pub fn restraints(&self, origin: &Origin) -> Vec<Operation> {
        Operation::ALL.into_iter().filter(|operation| self.is_restrained(origin, *operation)).collect()
    }

    /// Whether an origin gets no input.
    pub(crate) fn is_paused(&self, origin: &Origin) -> bool {
        self.input.trusted.paused.contains(origin)
    }

    /// What the user has done to VMs, in words, for the stripe.
    pub(crate) fn restraints_in_words(&self) -> Option<String> {
        let config = self.config.current();
        let parts = Operation::ALL.into_iter().filter_map(|operation| {
            let origins = std::iter::once(Origin::Local).chain(config.vms.keys().cloned().map(Origin::Vm));
            let done = origins.filter(|origin| self.is_restrained(origin, operation));
            let labels: Vec<&str> =
                done.filter_map(|origin| Some(config.style(&origin)?.label.as_str())).collect();
            (!labels.is_empty()).then(|| format!("{}: {}", operation.state(), labels.join(", ")))
        });
        let parts: Vec<String> = parts.collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl State {
    /// Does something to an origin, or takes it back. Nothing happens if it cannot be done to it, or is so already.
    pub fn restrain(&mut self, origin: &Origin, operation: Operation, on: bool) {
        if !operation.applies_to(origin) || self.comp.is_restrained(origin, operation) == on {
            return;
        }
        tracing::info!(vm = %origin, on, "the user's word: {}", operation.state());
        match operation {
            Operation::Hide => self.comp.shell.set_hidden(origin, on),
            Operation::Pause => self.pause(origin, on),
            Operation::Disconnect => self.disconnect(origin, on),
        }
        self.windows_changed();
    }

    fn pause(&mut self, origin: &Origin, on: bool) {
        if !on {
            self.comp.input.trusted.paused.remove(origin);
            return;
        }
        self.comp.input.trusted.paused.insert(origin.clone());
        // What is held down on one of its windows is over.
        self.cancel_touch();
        self.withdraw_pen();
        self.end_drag();
        let Some(pointer) = self.comp.seat.get_pointer() else { return };
        let on_it =
            pointer.current_focus().as_ref().and_then(origin_of).is_some_and(|other| other == *origin);
        if on_it && pointer.is_grabbed() {
            let (serial, time) = (SERIAL_COUNTER.next_serial(), self.input_time());
            pointer.unset_grab(self, serial, time);
        }
    }

    fn disconnect(&mut self, origin: &Origin, on: bool) {
        if !on {
            self.comp.members.barred.remove(origin);
            return;
        }
        self.comp.members.barred.insert(origin.clone());
        self.end_clients(self.comp.members.without(|other| other != origin));
    }

    /// Forgets what was done to VMs that are not configured any more.
    pub(crate) fn forget_restraints(&mut self) {
        let config = self.comp.config.current().clone();
        let known = |origin: &Origin| config.style(origin).is_some();
        self.comp.shell.retain_hidden(known);
        self.comp.input.trusted.paused.retain(known);
        self.comp.members.barred.retain(known);
    }
}
