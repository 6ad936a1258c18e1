//! Windows that belong to other windows: dialogs above their parents.
//!
//! Parent and child are of one origin, and no window is its own ancestor. A raised window takes its children
//! along. While a modal dialog is shown, its parent cannot have the focus: whoever asks for the parent gets the
//! dialog, with the parent right below it.

use super::Shell;
use super::stacking::Element;
use super::window::WindowId;
use crate::trust::origin::Origin;

impl<H> Shell<H> {
    /// Makes a window the child of another one, or of none: a parent of another origin, or one that descends from
    /// the window, counts as none. A window that is below its new parent comes above it, unless that could cover
    /// what another origin is being used for.
    pub fn set_parent(&mut self, id: WindowId, parent: Option<WindowId>) {
        let parent = parent.filter(|parent| {
            let origin = self.origin(*parent);
            origin.is_some() && origin == self.origin(id) && !self.line(*parent).any(|other| other == id)
        });
        self.part(id);
        let Some(window) = self.get_mut(id) else { return };
        window.parent = parent;
        if let Some(parent) = parent {
            self.join(id, parent);
        }
        let above = |(this, other): (Option<usize>, Option<usize>)| this < other;
        let misplaced =
            parent.is_some_and(|parent| above((self.stack.position(id), self.stack.position(parent))));
        let free = self.focused_origin().is_none_or(|focused| self.origin(id) == Some(focused));
        if let Some(parent) = parent
            && misplaced
            && free
        {
            self.stack.move_above(id, parent);
        }
        self.stack.settle();
        self.settle_modal();
    }

    /// Brings a window, and what descends from it, to where its parent is.
    fn join(&mut self, id: WindowId, parent: WindowId) {
        let Some((output, workspace, above)) =
            self.get(parent).map(|parent| (parent.output, parent.workspace, parent.above))
        else {
            return;
        };
        for member in self.family(id) {
            if let Some(window) = self.get_mut(member) {
                window.above = above;
            }
            self.follow_to(member, output);
        }
        self.move_to_workspace(id, workspace);
    }

    /// A window, all that it descends from and all that descend from those.
    pub(crate) fn family(&self, id: WindowId) -> Vec<WindowId> {
        let root = self.line(id).last().unwrap_or(id);
        let members = self.stack.bottom_up().map(Element::id);
        members.filter(|other| self.line(*other).last() == Some(root)).collect()
    }

    /// Keeps a window and its family above all others, or not any longer. Only the GUI VM's own windows can be kept there:
    /// a VM's would cover what another VM is used for. Returns whether it is.
    pub fn set_above(&mut self, id: WindowId, above: bool) -> bool {
        let above = above && self.origin(id).is_some_and(|origin| !origin.is_vm());
        for member in self.family(id) {
            if let Some(window) = self.get_mut(member) {
                window.above = above;
            }
        }
        self.stack.settle();
        above
    }

    /// Makes a window modal or not: its parent waits while it is shown.
    pub fn set_modal(&mut self, id: WindowId, modal: bool) {
        if let Some(window) = self.get_mut(id) {
            window.modal = modal;
        }
        self.settle_modal();
    }

    /// If the focused window has got a modal dialog, the dialog has the focus from now on.
    pub(super) fn settle_modal(&mut self) {
        if let Some(focused) = self.focus.window
            && self.modal_over(focused) != focused
        {
            self.activate(focused);
        }
    }

    /// Puts a window on top with its children, or with the windows that its modal dialog keeps waiting.
    pub(super) fn raise_family(&mut self, id: WindowId) {
        let waiting = |id: &WindowId| {
            let window = self.get(*id)?;
            window.parent.filter(|parent| window.modal && self.get(*parent).is_some_and(Element::shown))
        };
        let base = std::iter::successors(Some(id), waiting).take(self.stack.len()).last().unwrap_or(id);
        self.raise_tree(base);
        if base != id {
            self.raise_tree(id);
        }
        self.stack.settle();
    }

    /// Puts a window on top, and above it what descends from it.
    fn raise_tree(&mut self, id: WindowId) {
        let ids = self.stack.bottom_up().map(Element::id);
        let descends = |other: &WindowId| *other != id && self.line(*other).any(|parent| parent == id);
        let children: Vec<WindowId> = ids.filter(descends).collect();
        self.stack.raise(id);
        for child in children {
            self.stack.raise(child);
        }
    }

    /// The modal dialog that has to be answered before a window can be used; the window itself if there is none.
    #[must_use]
    pub fn modal_over(&self, id: WindowId) -> WindowId {
        let dialog = |id: &WindowId| {
            let mut shown = self.stack.bottom_up().rev().filter(|window| window.shown());
            shown.find(|window| window.modal && window.parent == Some(*id)).map(Element::id)
        };
        std::iter::successors(Some(id), dialog).take(self.stack.len()).last().unwrap_or(id)
    }

    /// The children of a window that is gone become those of its parent.
    pub(super) fn inherit(&mut self, gone: WindowId, parent: Option<WindowId>) {
        for window in self.stack.all_mut().filter(|window| window.parent == Some(gone)) {
            window.parent = parent;
        }
    }

    fn origin(&self, id: WindowId) -> Option<&Origin> {
        self.get(id).map(Element::origin)
    }

    /// A window, its parent, the parent's parent and so on.
    fn line(&self, id: WindowId) -> impl Iterator<Item = WindowId> {
        std::iter::successors(Some(id), |id| self.get(*id)?.parent).take(self.stack.len())
    }

    /// Panics unless every window has a parent of its own origin that does not descend from it. For tests.
    ///
    /// # Panics
    ///
    /// As said.
    pub(super) fn check_families(&self) {
        for window in self.stack.bottom_up() {
            if let Some(parent) = window.parent {
                assert_eq!(self.origin(parent), Some(&window.origin), "a parent is of the same origin");
                assert_eq!(
                    self.get(parent).map(Element::above),
                    Some(window.above),
                    "a family is kept above as one"
                );
                assert!(!self.line(parent).any(|id| id == window.id), "no window is its own ancestor");
            }
        }
        assert!(
            self.stack.bottom_up().all(|window| !window.above || !window.origin.is_vm()),
            "no VM is kept above"
        );
        if let Some(focused) = self.focus.window {
            assert_eq!(self.modal_over(focused), focused, "the focused window does not wait for a dialog");
        }
    }
}
