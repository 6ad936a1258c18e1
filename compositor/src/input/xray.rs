//! The X-ray: while its key is held the screen shows labels, and nothing of what any window shows.
//!
//! # Model
//!
//! A window can show a perfect picture of another VM's label, and only where it stands tells the two apart. So the user takes
//! away everything that clients have drawn (`render/xray.rs`) and looks at what is left.
//!
//! # Invariants
//!
//! * No client keeps the key from it, or learns of it: it works while the shortcuts are inhibited, the pointer is held, a menu is
//!   open, something is dragged or a window is chosen, and all events go where they would go otherwise.
//! * It ends with its key, whatever is held beside it, and with the lock of the session.

use crate::state::{Comp, State};

impl Comp {
    /// Whether labels alone are shown.
    #[must_use]
    pub fn is_xray(&self) -> bool {
        self.input.trusted.xray.is_some() && !self.lock.is_locked()
    }
}

impl State {
    /// The key was pressed.
    pub(super) fn begin_xray(&mut self, code: u32) {
        self.hint_is_known();
        self.comp.input.trusted.xray = Some(code);
        self.comp.schedule.request();
    }

    /// A key came up.
    pub(super) fn end_xray_of(&mut self, code: u32) {
        if self.comp.input.trusted.xray == Some(code) {
            self.end_xray();
        }
    }

    /// Everything is shown again.
    pub(super) fn end_xray(&mut self) {
        if self.comp.input.trusted.xray.take().is_some() {
            self.comp.schedule.request();
        }
    }
}
