//! Who may have the keyboard.
//!
//! The rule goes by VM, not by application: a VM may move the focus among its own windows, and may take it
//! when nobody has it, but never takes it from another VM. Only the user moves it there.

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

/// Whether a window that just opened may take the focus.
#[must_use]
pub fn may_take(new: &Origin, focused: Option<&Origin>) -> bool {
    focused.is_none_or(|focused| focused == new)
}

/// Who gets the focus after a window of `left` had it and has gone: the top-most window of the same VM, or
/// else the top-most of all.
#[must_use]
pub fn successor<E: Element>(stack: &Stack<E>, left: &Origin) -> Option<WindowId> {
    let top_down = || stack.bottom_up().rev().filter(|element| element.shown());
    top_down().find(|element| element.origin() == left).or_else(|| top_down().next()).map(Element::id)
}
