//! Workspaces: each window is on one of them, and one of them is on the screen.
//!
//! # Model
//!
//! The list is the configuration's and never empty. A workspace remembers which of its windows had the keyboard, and
//! gives it back when the user comes back to it. Only the user changes workspaces: what a client asks for on another one
//! marks its window as urgent, and the stripe says where.
//!
//! # Invariants
//!
//! * The focused window is on the current workspace ([`Shell::check`]).
//! * A dialog is on the workspace of its parent, and goes wherever that goes.
//! * A list that gets shorter loses no window: those of the workspaces that are gone go to the last one.

use serde::{Deserialize, Serialize};

use super::Shell;
use super::columns::Arrangement;
use super::window::{Window, WindowId};

/// The most workspaces.
pub const MAX_WORKSPACES: usize = 9;

/// One workspace, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its name.
    pub name: String,
    /// How windows stand on it.
    pub arrangement: Arrangement,
}

/// The workspaces in their order, and which of them is on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspaces {
    /// As they were configured.
    configured: Vec<Workspace>,
    /// As they are.
    list: Vec<Workspace>,
    current: usize,
    /// Who had the keyboard on each when it was left.
    left: Vec<Option<WindowId>>,
}

impl Default for Workspaces {
    fn default() -> Self {
        let list = vec![Workspace { name: String::from("1"), arrangement: Arrangement::default() }];
        Self { configured: list.clone(), list, current: 0, left: vec![None] }
    }
}

/// One workspace, as the stripe shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceReport {
    /// Its name.
    pub name: String,
    /// How windows stand on it.
    pub layout: Arrangement,
    /// It is on the screen.
    pub current: bool,
    /// How many windows are on it, minimised ones included.
    pub windows: usize,
    /// One of them asks for attention.
    pub urgent: bool,
}

impl Workspaces {
    /// The one on the screen, from 0.
    #[must_use]
    pub fn current(&self) -> usize {
        self.current
    }

    /// How many there are, at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Never: there is always one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How windows stand on one of them.
    #[must_use]
    pub fn arrangement(&self, workspace: usize) -> Arrangement {
        self.list.get(workspace).map(|workspace| workspace.arrangement).unwrap_or_default()
    }

    /// Whether windows are tiled on the one on the screen.
    #[must_use]
    pub fn tiles(&self) -> bool {
        self.arrangement(self.current) != Arrangement::Floating
    }

    /// Changes how windows stand on the one on the screen.
    pub(super) fn set_arrangement(&mut self, arrangement: Arrangement) {
        if let Some(workspace) = self.list.get_mut(self.current) {
            workspace.arrangement = arrangement;
        }
    }

    /// The one `steps` further, around the end.
    #[must_use]
    pub fn beside(&self, steps: isize) -> usize {
        let count = isize::try_from(self.len()).unwrap_or(1).max(1);
        let index = isize::try_from(self.current).unwrap_or(0).saturating_add(steps);
        usize::try_from(index.rem_euclid(count)).unwrap_or(0)
    }
}

impl<H> Shell<H> {
    /// Takes over the list of workspaces. An empty one counts as one workspace.
    pub fn set_workspaces(&mut self, list: &[Workspace]) {
        let list = if list.is_empty() { Workspaces::default().list } else { list.to_vec() };
        // What the user changed since stays while the configuration does.
        if list == self.workspaces.configured {
            return;
        }
        let last = list.len().saturating_sub(1);
        self.workspaces.left.resize(list.len(), None);
        self.workspaces.configured.clone_from(&list);
        self.workspaces.list = list;
        for window in self.stack.all_mut() {
            window.workspace = window.workspace.min(last);
        }
        let focused = self.focused.take();
        self.workspaces.current = self.workspaces.current.min(last);
        self.enter_current(focused);
    }

    /// Brings a workspace onto the screen. The keyboard goes to the window that had it there, or else to the top-most one.
    /// One that is not there changes nothing.
    pub fn switch_workspace(&mut self, to: usize) {
        if to >= self.workspaces.len() || to == self.workspaces.current {
            return;
        }
        let focused = self.focused.take();
        if let Some(left) = self.workspaces.left.get_mut(self.workspaces.current) {
            *left = focused;
        }
        self.workspaces.current = to;
        let wanted = self.workspaces.left.get_mut(to).and_then(Option::take);
        self.enter_current(wanted);
    }

    /// Puts a window onto a workspace, with everything that is above or below it in its family. If it had the keyboard, that
    /// goes to another window of the current workspace.
    pub fn move_to_workspace(&mut self, id: WindowId, to: usize) {
        if to >= self.workspaces.len() {
            return;
        }
        let Some(origin) = self.get(id).map(|window| window.origin.clone()) else { return };
        let here = to == self.workspaces.current;
        for member in self.family(id) {
            if let Some(window) = self.get_mut(member) {
                window.workspace = to;
                window.here = here;
            }
        }
        if self.focused().is_some_and(|focused| !focused.here) {
            if let Some(left) = self.workspaces.left.get_mut(to) {
                *left = self.focused;
            }
            self.focused = None;
            self.settle_focus(&origin);
        }
        self.settle_modal();
    }

    /// The workspaces in their order.
    #[must_use]
    pub fn workspaces_report(&self) -> Vec<WorkspaceReport> {
        let report = self.workspaces.list.iter().enumerate().map(|(index, workspace)| {
            let windows = || self.bottom_up().filter(|window| window.mapped && window.workspace == index);
            WorkspaceReport {
                name: workspace.name.clone(),
                layout: workspace.arrangement,
                current: index == self.workspaces.current,
                windows: windows().count(),
                urgent: windows().any(|window| window.urgent),
            }
        });
        report.collect()
    }

    /// Which workspaces there are.
    #[must_use]
    pub fn workspaces(&self) -> &Workspaces {
        &self.workspaces
    }

    /// Makes the windows know whether they are on the screen, and gives the keyboard to the wanted one if that is.
    fn enter_current(&mut self, wanted: Option<WindowId>) {
        let current = self.workspaces.current;
        for window in self.stack.all_mut() {
            window.here = window.workspace == current;
        }
        let shown = |id: &WindowId| self.get(*id).is_some_and(super::stacking::Element::shown);
        let top = || self.shown_top_down().next().map(|window| window.id);
        let focused = wanted.filter(shown).or_else(top).map(|id| self.modal_over(id));
        self.focused = None;
        if let Some(id) = focused {
            self.give_focus(id);
            if let Some(window) = self.get_mut(id) {
                window.urgent = false;
            }
        }
    }

    /// Panics unless the windows of the current workspace are here, and dialogs with their parents. For tests.
    ///
    /// # Panics
    ///
    /// As said.
    pub(super) fn check_workspaces(&self) {
        let Workspaces { list, current, left, .. } = &self.workspaces;
        assert!(
            *current < list.len() && left.len() == list.len(),
            "the current workspace is one of the list"
        );
        for window in self.stack.bottom_up() {
            assert!(window.workspace < list.len(), "a window is on a workspace of the list");
            assert_eq!(window.here, window.workspace == *current, "what is here is on the current workspace");
            let parent: Option<&Window<H>> = window.parent.and_then(|parent| self.get(parent));
            if let Some(parent) = parent {
                assert_eq!(parent.workspace, window.workspace, "a dialog is where its parent is");
            }
        }
    }
}
