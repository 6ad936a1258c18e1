//! Windows that have a whole output.
//!
//! # Model
//!
//! A fullscreen window is inside the work area like a maximised one, and its client believes to have the screen. The windows of
//! origins that the configuration allows it have the whole output instead, but for a ring and a tab with the name of the VM
//! ([`FrameRects::whole`](crate::render::frame::FrameRects::whole)). While such a window has the keyboard and is above all others of its output the stripe may be away;
//! whether it is says who draws it ([`Shell::set_retreated`]).
//!
//! # Invariant
//!
//! * Where the stripe is, it is what is hit. It is away on one output at most, and only while a window has all of that.

use std::collections::BTreeSet;

use smithay::utils::{Physical, Point};

use super::Shell;
use super::outputs::OutputId;
use super::window::{Mode, Window};
use crate::trust::origin::Origin;

/// Which windows may have a whole output, and where the stripe is away for one.
#[derive(Debug, Default)]
pub(super) struct Fullscreen {
    real: BTreeSet<Origin>,
    retreated: Option<OutputId>,
}

impl<H> Shell<H> {
    /// Says whose fullscreen windows have a whole output.
    pub fn set_real_fullscreen(&mut self, origins: impl IntoIterator<Item = Origin>) {
        self.fullscreen.real = origins.into_iter().collect();
        self.changes = self.changes.saturating_add(1);
    }

    /// Whether a window has a whole output.
    #[must_use]
    pub fn is_real(&self, window: &Window<H>) -> bool {
        window.mode == Mode::Fullscreen && self.fullscreen.real.contains(&window.origin)
    }

    /// The output that the window with the keyboard has for itself, if nothing is above it there.
    #[must_use]
    pub fn taken_output(&self) -> Option<OutputId> {
        let focused = self.focused().filter(|window| self.is_real(window))?;
        let top = self.shown_top_down().find(|window| window.output == focused.output)?;
        (top.id == focused.id).then_some(focused.output)
    }

    /// Says on which output the stripe is away. Returns whether that is another one than before.
    pub fn set_retreated(&mut self, output: Option<OutputId>) -> bool {
        std::mem::replace(&mut self.fullscreen.retreated, output) != output
    }

    /// Whether the stripe of an output is away.
    #[must_use]
    pub fn is_retreated(&self, output: OutputId) -> bool {
        self.fullscreen.retreated == Some(output)
    }

    /// Whether a point is on a stripe that is there.
    #[must_use]
    pub fn is_on_stripe(&self, point: Point<i32, Physical>) -> bool {
        self.layout_at(point).stripe().contains(point) && !self.is_retreated(OutputId::at(point))
    }
}
