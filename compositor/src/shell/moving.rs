//! Windows and outputs: which output a window is on, and what becomes of it when outputs come and go.
//!
//! # Model
//!
//! A window is on one output, on one of that output's workspaces. When its output is not in use any more, the window goes to
//! the same workspace of the active one, and remembers where it was (its *home*). When that output is used again the window
//! goes back, unless the user has moved it to another output meanwhile. Dialogs go with their parents.
//!
//! # Invariants
//!
//! * Every window is on an output that is in use ([`Shell::check`]), and some of its frame is inside of it.
//! * A window that is at home has no other home.

use smithay::utils::{Physical, Point, Rectangle};

use super::outputs::{Output, OutputId, Outputs};
use super::stacking::Element;
use super::window::{Home, Window, WindowId};
use super::{Layout, Shell};

impl<H> Shell<H> {
    /// The outputs.
    #[must_use]
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The geometry of the output where the user is.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.outputs.active().layout
    }

    /// The geometry of the output that a window is on.
    #[must_use]
    pub fn layout_of(&self, window: &Window<H>) -> &Layout {
        self.layout_on(window.output)
    }

    /// The geometry of an output.
    #[must_use]
    pub fn layout_on(&self, output: OutputId) -> &Layout {
        &self.outputs.of(output).layout
    }

    /// The geometry of the output that a point is on.
    #[must_use]
    pub fn layout_at(&self, point: Point<i32, Physical>) -> &Layout {
        self.layout_on(OutputId::at(point))
    }

    /// The user goes to an output: with the pointer, or by choosing a window there.
    pub fn visit(&mut self, output: OutputId) {
        self.outputs.set_active(output);
    }

    /// What bars and the like leave of an output.
    pub fn set_left(&mut self, output: OutputId, left: Option<Rectangle<i32, Physical>>) {
        self.outputs.set_left(output, left);
    }

    /// Lights an output, or darkens it. Returns whether that is a change.
    pub fn set_powered(&mut self, output: OutputId, powered: bool) -> bool {
        self.outputs.set_powered(output, powered)
    }

    /// Changes the outputs, and brings the windows along.
    pub(crate) fn change_outputs<R>(&mut self, change: impl FnOnce(&mut Outputs) -> R) -> R {
        let known = self.outputs.all();
        let before: Vec<(OutputId, f64, String)> =
            known.map(|output| (output.id, output.layout.scale, output.head.name.clone())).collect();
        let result = change(&mut self.outputs);
        self.changes = self.changes.saturating_add(1);
        for (id, scale, name) in before {
            if self.outputs.of(id).head.name == name {
                self.rescale(id, scale);
            } else {
                // The number is another output's now: nobody wants to go back there.
                for window in self.stack.all_mut() {
                    window.home = window.home.filter(|home| home.output != id);
                }
            }
        }
        self.leave_unused();
        self.go_home();
        self.show_used();
        result
    }

    /// Floating windows of an output whose scale has changed stay where they were seen.
    fn rescale(&mut self, id: OutputId, before: f64) {
        let Some(layout) = self.outputs.get(id).map(|output| output.layout) else { return };
        if (layout.scale - before).abs() < f64::EPSILON {
            return;
        }
        for window in self.stack.all_mut().filter(|window| window.output == id) {
            window.location = moved(window.location, layout.origin, before, &layout);
        }
    }

    /// Windows of outputs that are not in use go to the active one.
    fn leave_unused(&mut self) {
        let used: Vec<OutputId> = self.outputs.used().map(|output| output.id).collect();
        let target = self.outputs.active().layout;
        let to = self.outputs.active().id;
        let outputs = &self.outputs;
        for window in self.stack.all_mut().filter(|window| !used.contains(&window.output)) {
            let left = outputs.of(window.output).layout;
            let home = Home {
                output: window.output,
                from_corner: window.location - left.origin,
                workspace: window.workspace,
            };
            window.home.get_or_insert(home);
            window.location = moved(window.location, left.origin, left.scale, &target);
            window.output = to;
        }
    }

    /// Windows whose home is in use again go there, and their dialogs with them.
    fn go_home(&mut self) {
        let used: Vec<OutputId> = self.outputs.used().map(|output| output.id).collect();
        let homeless: Vec<(WindowId, Home)> = self
            .stack
            .bottom_up()
            .filter_map(|window| Some((window.id, window.home?)))
            .filter(|(_, home)| used.contains(&home.output))
            .collect();
        for (id, home) in homeless {
            for member in self.family(id) {
                self.put_on(member, home.output, home.workspace);
            }
            let origin = self.layout_on(home.output).origin;
            if let Some(window) = self.get_mut(id) {
                window.location = origin + home.from_corner;
            }
        }
    }

    /// Puts one window onto a workspace of an output, where it stands as it stood before. It is at home there.
    fn put_on(&mut self, id: WindowId, output: OutputId, workspace: usize) {
        let to = *self.layout_on(output);
        let from = self.get(id).map(|window| *self.layout_of(window));
        let (Some(window), Some(from)) = (self.get_mut(id), from) else { return };
        if window.output != output {
            window.location = moved(window.location, from.origin, from.scale, &to);
            window.output = output;
        }
        window.home = None;
        window.workspace = workspace;
    }

    /// Puts one window onto another output, where it stands as it stood before.
    pub(super) fn follow_to(&mut self, id: WindowId, output: OutputId) {
        let Some(window) = self.get(id).filter(|window| window.output != output) else { return };
        self.put_on(id, output, window.workspace);
    }

    /// Moves a window to the current workspace of another output by the user's hand, with its family. It keeps the keyboard if
    /// it has it.
    pub fn move_to_output(&mut self, id: WindowId, output: OutputId) {
        let Some(target) = self.outputs.get(output).filter(|target| target.in_use) else { return };
        let workspace = target.workspaces.current();
        for member in self.family(id) {
            self.put_on(member, output, workspace);
        }
        self.show_used();
    }

    /// The output beside another one in a direction, by the centres of the two; around the end.
    #[must_use]
    pub fn output_beside(&self, id: OutputId, forwards: bool) -> OutputId {
        let mut order: Vec<&Output> = self.outputs.used().collect();
        order.sort_by_key(|output| (output.layout.position.x, output.layout.position.y));
        let count = order.len().max(1);
        let index = order.iter().position(|output| output.id == id).unwrap_or(0);
        let next = if forwards { index + 1 } else { index + count - 1 } % count;
        order.get(next).map_or(id, |output| output.id)
    }

    /// Makes the windows know whether they are on the screen. The one that has the keyboard brings its workspace along, if its
    /// output is not the one that it was on.
    fn show_used(&mut self) {
        if let Some((output, workspace)) = self.focused().map(|window| (window.output, window.workspace))
            && let Some(output) = self.outputs.get_mut(output)
        {
            output.workspaces.enter(workspace);
        }
        self.note_here();
        if self.focused().is_some_and(|window| !window.shown()) {
            self.lose_focus();
        }
        self.settle_modal();
    }

    /// Makes the windows know whether they are on the screen.
    pub(super) fn note_here(&mut self) {
        let outputs = &self.outputs;
        for window in self.stack.all_mut() {
            let output = outputs.get(window.output).filter(|output| output.in_use);
            window.sight.here = output.is_some_and(|output| output.workspaces.current() == window.workspace);
        }
    }

    /// Panics unless every window is on an output in use. For tests.
    ///
    /// # Panics
    ///
    /// As said.
    pub(super) fn check_outputs(&self) {
        self.outputs.check();
        for window in self.stack.bottom_up() {
            assert!(
                self.outputs.get(window.output).is_some_and(|output| output.in_use),
                "a window is on an output in use"
            );
            let home = window.home.map(|home| home.output);
            assert!(
                home.is_none_or(|home| self.outputs.get(home).is_none_or(|home| !home.in_use)),
                "a window whose home is there is at home"
            );
            let parent = window.parent.and_then(|parent| self.get(parent));
            assert!(
                parent.is_none_or(|parent| parent.output == window.output),
                "a dialog is on the output of its parent"
            );
            let area = self.layout_of(window).work_area();
            assert!(self.frame(window).outer.overlaps(area), "some of the frame is on the output");
        }
    }
}

/// The place on another output where a point is seen as far from the corner as it was.
fn moved(
    point: Point<i32, Physical>,
    origin: Point<i32, Physical>,
    scale: f64,
    to: &Layout,
) -> Point<i32, Physical> {
    let seen = (point - origin).to_f64().to_logical(scale);
    let offset: Point<i32, Physical> = seen.to_physical(to.scale).to_i32_round();
    // A corner may be out of sight, but not so far that it would be nearer to another output.
    let bounded = |at: i32| at.clamp(-(1 << 14), 1 << 14);
    to.origin + Point::from((bounded(offset.x), bounded(offset.y)))
}
