//! Who may have the keyboard.
//!
//! The rule goes by VM, not by application: a VM may move the focus among its own windows, and may take it
//! when nobody has it, but never takes it from another VM. Only the user moves it there. When the last window of the VM that has
//! it goes, the keyboard is nobody's and kept for that VM: what is being typed for it must not reach another one, whose window
//! opens or happens to be next. It is kept until the user's hand gives it to somebody.

use vitrail_protocols::Guard;

use super::layers::LayerId;
use super::stacking::{Element, Stack};
use super::window::WindowId;
use crate::trust::origin::Origin;

/// What has the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// A window.
    Window(WindowId),
    /// A surface of the layer shell, in the windows' stead.
    Layer(LayerId),
    /// The surface of the program that locked the session.
    Lock,
}

/// Which window has the keyboard, and how it came by it.
#[derive(Clone, Debug, Default)]
pub(super) struct Focused {
    /// The window.
    pub window: Option<WindowId>,
    /// While no window has it: the origin that it is kept for.
    pub kept_for: Option<Origin>,
    /// The user's hand has given it to a window since that was last asked.
    pub by_hand: bool,
}

impl Focused {
    /// A window of an origin is not there to be typed into any more.
    pub fn leave(&mut self, id: WindowId, origin: &Origin) {
        if self.window == Some(id) {
            *self = Self { window: None, kept_for: Some(origin.clone()), by_hand: false };
        }
    }

    /// Whether a window that just opened, or asks for it, may take the focus. `holder` is the origin of the window that has it.
    pub fn may_be_taken_by(&self, new: &Origin, holder: Option<&Origin>) -> bool {
        holder.or(self.kept_for.as_ref()).is_none_or(|holder| holder == new) || !Guard::Focus.holds()
    }
}

/// Who gets the focus after a window of `left` had it and has gone: the top-most window of the same VM, and no other.
#[must_use]
pub fn successor<E: Element>(stack: &Stack<E>, left: &Origin) -> Option<WindowId> {
    let mut top_down = stack.bottom_up().rev().filter(|element| element.shown());
    top_down.find(|element| element.origin() == left).map(Element::id)
}
