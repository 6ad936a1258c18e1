//! What the user does against VMs with keys that none of them gets.

use std::collections::BTreeSet;

use super::fullscreen::Flash;
use super::release::Released;
use crate::trust::origin::Origin;
use crate::trust::panel::Panel;

/// All of it. Each part is as large as the configuration at most.
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    /// Whom the user took pointer and shortcuts back from.
    pub(crate) released: Released,
    /// The key that is held for the X-ray, by its code.
    pub(super) xray: Option<u32>,
    /// The trusted panel, while it is open.
    pub(crate) panel: Option<Panel>,
    /// It could not be drawn.
    pub(crate) panel_failed: bool,
    /// What is kept of the window that has a whole output.
    pub(crate) flash: Flash,
    /// The VMs that get no input.
    pub(super) paused: BTreeSet<Origin>,
}
