//! Workspaces: each window is on one of them, and each output shows one of its own.
//!
//! # Model
//!
//! Every output has the workspaces of the configuration for itself, and shows one of them whatever the others show. What is done
//! to *the* current workspace is done to that of the active output. The list is never empty. A workspace remembers which of its windows had the keyboard, and
//! gives it back when the user comes back to it. Only the user changes workspaces: what a client asks for on another one
//! marks its window as urgent, and the stripe says where.
//!
//! # Invariants
//!
//! * The focused window is on the current workspace of its output ([`Shell::check`]).
//! * A dialog is on the output and workspace of its parent, and goes wherever that goes.
//! * A list that gets shorter loses no window: those of the workspaces that are gone go to the last one.

use serde::{Deserialize, Serialize};

use super::Shell;
use super::columns::Arrangement;
use super::outputs::OutputId;
use super::window::{Window, WindowId};
use crate::trust::origin::Origin;

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

/// The workspaces of an output in their order, and which of them is on it.
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

    /// Takes over a list from the configuration. What the user changed since stays while the list does. Returns whether it is
    /// another one.
    pub(super) fn configure(&mut self, list: &[Workspace]) -> bool {
        let list = if list.is_empty() { Self::default().list } else { list.to_vec() };
        let other = list != self.configured;
        if other {
            self.left.resize(list.len(), None);
            self.current = self.current.min(list.len().saturating_sub(1));
            self.configured.clone_from(&list);
            self.list = list;
        }
        other
    }

    /// Brings one of them onto the output without anybody's leaving the other.
    pub(super) fn enter(&mut self, workspace: usize) {
        if workspace < self.list.len() {
            self.current = workspace;
        }
    }

    /// Brings one of them onto the output. `focused` is who had the keyboard on the one that is left; returns who had it on this
    /// one.
    fn switch(&mut self, to: usize, focused: Option<WindowId>) -> Option<WindowId> {
        if let Some(left) = self.left.get_mut(self.current) {
            *left = focused;
        }
        self.current = to;
        self.left.get_mut(to).and_then(Option::take)
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
        let mut changed = false;
        self.outputs.set_workspaces(list);
        for output in self.outputs.all_mut() {
            changed |= output.workspaces.configure(list);
        }
        if !changed {
            return;
        }
        let last = list.len().saturating_sub(1);
        for window in self.stack.all_mut() {
            window.workspace = window.workspace.min(last);
            if let Some(home) = &mut window.home {
                home.workspace = home.workspace.min(last);
            }
        }
        let focused = std::mem::take(&mut self.focus).window;
        self.enter(self.outputs.active().id, focused, None);
    }

    /// Brings a workspace onto the active output. The keyboard goes to the window that had it there, or else to the top-most one
    /// of them. One that is not there changes nothing.
    pub fn switch_workspace(&mut self, to: usize) {
        self.show_workspace(self.outputs.active().id, to);
    }

    /// Brings a workspace onto an output, likewise.
    pub(super) fn show_workspace(&mut self, output: OutputId, to: usize) {
        let fits = |workspaces: &Workspaces| to < workspaces.len() && to != workspaces.current();
        if !self.outputs.get(output).is_some_and(|output| fits(&output.workspaces)) {
            return;
        }
        let focused = std::mem::take(&mut self.focus).window;
        let was_here = |id: &WindowId| self.get(*id).is_some_and(|window| window.output == output);
        let (here, elsewhere) = (focused.filter(was_here), focused.filter(|id| !was_here(id)));
        let wanted = self.outputs.get_mut(output).and_then(|output| output.workspaces.switch(to, here));
        self.enter(output, wanted, elsewhere);
    }

    /// Puts a window onto a workspace of its output, with everything that is above or below it in its family. If it had the
    /// keyboard, that goes to another window of its VM that is on an output.
    pub fn move_to_workspace(&mut self, id: WindowId, to: usize) {
        let Some((origin, output)) = self.get(id).map(|window| (window.origin.clone(), window.output)) else {
            return;
        };
        if to >= self.outputs.of(output).workspaces.len() {
            return;
        }
        for member in self.family(id) {
            if let Some(window) = self.get_mut(member) {
                window.workspace = to;
            }
        }
        self.note_here();
        if self.focused().is_some_and(|focused| !focused.sight.here) {
            let focused = self.lose_focus();
            if let Some(output) = self.outputs.get_mut(output)
                && let Some(left) = output.workspaces.left.get_mut(to)
            {
                *left = focused;
            }
            self.settle_focus(&origin);
        }
        self.settle_modal();
    }

    /// The workspaces of the active output in their order.
    #[must_use]
    pub fn workspaces_report(&self) -> Vec<WorkspaceReport> {
        self.workspaces_report_on(self.outputs.active().id)
    }

    /// The workspaces of an output in their order.
    #[must_use]
    pub fn workspaces_report_on(&self, output: OutputId) -> Vec<WorkspaceReport> {
        self.workspaces_told_on(output, |_| true, |_| true)
    }

    /// The same for somebody who is told only of the windows of some origins, and of the wish for attention only of some.
    #[must_use]
    pub fn workspaces_told_on(
        &self,
        output: OutputId,
        shown: impl Fn(&Origin) -> bool,
        heard: impl Fn(&Origin) -> bool,
    ) -> Vec<WorkspaceReport> {
        let workspaces = &self.outputs.of(output).workspaces;
        let report = workspaces.list.iter().enumerate().map(|(index, workspace)| {
            let on = move |window: &&Window<H>| window.output == output && window.workspace == index;
            let told = |window: &&Window<H>| window.mapped && shown(&window.origin);
            let windows = || self.bottom_up().filter(told).filter(on);
            WorkspaceReport {
                name: workspace.name.clone(),
                layout: workspace.arrangement,
                current: index == workspaces.current,
                windows: windows().count(),
                urgent: windows().any(|window| window.urgent && heard(&window.origin)),
            }
        });
        report.collect()
    }

    /// Which workspaces the active output has.
    #[must_use]
    pub fn workspaces(&self) -> &Workspaces {
        &self.outputs.active().workspaces
    }

    /// Which workspace is on the screen of an output, from 0.
    #[must_use]
    pub fn workspace_on(&self, output: OutputId) -> usize {
        self.outputs.of(output).workspaces.current()
    }

    /// Makes the windows know whether they are on the screen. The keyboard goes to the wanted one if that is, or else to the
    /// top-most one of this output, or else to one of another output.
    fn enter(&mut self, output: OutputId, wanted: Option<WindowId>, elsewhere: Option<WindowId>) {
        self.note_here();
        let shown = |id: &WindowId| self.get(*id).is_some_and(super::stacking::Element::shown);
        let top = || self.shown_top_down().find(|window| window.output == output).map(|window| window.id);
        let focused = wanted.filter(shown).or_else(top).or_else(|| elsewhere.filter(shown));
        let focused = focused.map(|id| self.modal_over(id));
        self.focus = super::focus::Focused::default();
        if let Some(id) = focused {
            self.give_focus(id, true);
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
        for output in self.outputs.all() {
            let Workspaces { list, current, left, .. } = &output.workspaces;
            assert!(
                *current < list.len() && left.len() == list.len(),
                "the current workspace is one of the list"
            );
        }
        for window in self.stack.bottom_up() {
            let workspaces = &self.outputs.of(window.output).workspaces;
            assert!(window.workspace < workspaces.len(), "a window is on a workspace of the list");
            let current = window.workspace == workspaces.current();
            assert_eq!(window.sight.here, current, "what is here is on the current workspace");
            let parent: Option<&Window<H>> = window.parent.and_then(|parent| self.get(parent));
            if let Some(parent) = parent {
                assert_eq!(parent.workspace, window.workspace, "a dialog is where its parent is");
            }
        }
    }
}
