//! Hiding all windows of an origin, those that are still to come among them, until the user takes that back.
//!
//! A hidden window is as good as minimised, and neither its client nor a task bar brings it back.

use super::Shell;
use crate::trust::origin::Origin;

impl<H> Shell<H> {
    /// Whether the windows of an origin are hidden.
    #[must_use]
    pub fn is_hidden(&self, origin: &Origin) -> bool {
        self.hidden.contains(origin)
    }

    /// Hides the windows of an origin, or shows them again. If one of them had the keyboard nobody has it
    /// then.
    pub fn set_hidden(&mut self, origin: &Origin, hidden: bool) {
        if hidden {
            self.hidden.insert(origin.clone());
        } else {
            self.hidden.remove(origin);
        }
        for window in self.stack.all_mut().filter(|window| window.origin == *origin) {
            window.sight.hidden = hidden;
        }
        self.changes = self.changes.saturating_add(1);
        if self.focused().is_some_and(|window| !super::Element::shown(window)) {
            self.lose_focus();
        }
        self.settle_focus(origin);
        self.settle_modal();
    }

    /// Forgets origins that are not wanted any more.
    pub fn retain_hidden(&mut self, wanted: impl Fn(&Origin) -> bool) {
        self.hidden.retain(wanted);
    }
}
