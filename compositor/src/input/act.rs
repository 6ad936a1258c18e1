//! Doing what a chord says.

use smithay::utils::Point;

use super::action::Action;
use crate::handlers::xdg_shell::{MAX_UNACKNOWLEDGED, unacknowledged};
use crate::shell::outputs::OutputId;
use crate::shell::window::{Mode, WindowId};
use crate::shell::zone::Direction;
use crate::state::State;

impl State {
    /// Does an action.
    pub fn act(&mut self, action: &Action) {
        self.hint_is_known();
        // Of a launcher that has the keyboard in the windows' stead there is nothing to do but to close it.
        let focused = self.comp.focused_window().map(|window| window.id);
        match action {
            Action::SwitchWindow(forwards) => self.switch_window(*forwards),
            Action::Close => match self.comp.layers.focused().filter(|_| focused.is_none()) {
                Some(layer) => layer.handle.send_close(),
                None => self.ask_to_close(focused),
            },
            Action::Maximize => self.toggle_mode(focused, Mode::Maximized),
            Action::Fullscreen => self.toggle_mode(focused, Mode::Fullscreen),
            Action::Snap(to) => {
                let on = matches!(to, Direction::Right | Direction::Down);
                if focused.is_some_and(|id| self.comp.shell.move_tile(id, on)) {
                    self.windows_changed();
                } else if let Some(window) = focused.and_then(|id| self.comp.shell.get(id)) {
                    let (id, mode) = (window.id, window.mode.snapped(*to));
                    self.lay_out(id, mode);
                }
            }
            Action::Place(what) => self.begin_placing(*what),
            Action::Minimize => {
                if let Some(id) = focused {
                    self.minimize(id);
                }
            }
            Action::AlwaysOnTop => {
                if let Some(window) = focused.and_then(|id| self.comp.shell.get(id)) {
                    let (id, above) = (window.id, !window.is_above());
                    self.comp.shell.set_above(id, above);
                    self.windows_changed();
                }
            }
            Action::Columns => {
                self.comp.input.interaction = None;
                self.comp.shell.toggle_columns();
                self.windows_changed();
            }
            Action::Workspace(to) => self.switch_workspace(*to),
            Action::WorkspaceBeside(steps) => {
                self.switch_workspace(self.comp.shell.workspaces().beside(*steps));
            }
            Action::MoveToWorkspace(to) => self.move_to_workspace(focused, *to),
            Action::MoveToWorkspaceBeside(steps) => {
                let to = self.comp.shell.workspaces().beside(*steps);
                self.move_to_workspace(focused, to);
                self.switch_workspace(to);
            }
            Action::OutputBeside(forwards) => self.go_beside(*forwards),
            Action::MoveToOutputBeside(forwards) => self.carry_beside(focused, *forwards),
            Action::SecureAttention => self.attend(),
            Action::CopyBetween => self.copy_between(),
            Action::PasteBetween => self.paste_between(),
            Action::EmptyBetween => self.empty_between(),
            Action::ReleaseInput => self.release_input(),
            Action::Run(command) => self.run_program(command),
            Action::Reload => {
                self.reload();
            }
            Action::Quit => self.stop(),
            // Of a key that is held, and that is looked after where it is pressed.
            Action::XRay | Action::Nothing => {}
        }
    }

    /// Asks a window to close.
    pub(crate) fn ask_to_close(&self, window: Option<WindowId>) {
        if let Some(window) = window.and_then(|id| self.comp.shell.get(id))
            && window.handle.alive()
        {
            window.handle.send_close();
        }
    }

    /// Lays a window out in a mode, or lets it float if it has the mode already.
    pub(crate) fn toggle_mode(&mut self, window: Option<WindowId>, mode: Mode) {
        if let Some(window) = window.and_then(|id| self.comp.shell.get(id)) {
            let (id, mode) = (window.id, if window.mode == mode { Mode::Floating } else { mode });
            self.lay_out(id, mode);
        }
    }

    /// Lays a window out another way by the user's hand.
    pub(crate) fn lay_out(&mut self, id: WindowId, mode: Mode) {
        let denied = !self.comp.may_fullscreen(id);
        let Some(window) = self.comp.shell.get_mut(id) else { return };
        if window.mode == mode || mode == Mode::Fullscreen && denied {
            return;
        }
        window.mode = mode;
        if mode != Mode::Floating {
            self.forget_interaction(id);
        }
        self.configure(id);
        if let Some(window) = self.comp.shell.get(id)
            && window.handle.is_initial_configure_sent()
        {
            window.handle.send_pending_configure();
        }
        self.windows_changed();
    }

    /// Takes a window off the screen until the user asks for it.
    pub(crate) fn minimize(&mut self, id: WindowId) {
        let Some(origin) = self.comp.shell.get(id).map(|window| window.origin.clone()) else { return };
        self.forget_interaction(id);
        self.comp.shell.minimize(id);
        self.comp.shell.settle_focus(&origin);
        self.windows_changed();
    }

    /// Brings a workspace onto the screen by the user's hand.
    pub(crate) fn switch_workspace(&mut self, to: usize) {
        self.comp.layers.choose_none();
        self.comp.input.interaction = None;
        self.comp.shell.switch_workspace(to);
        self.windows_changed();
    }

    fn move_to_workspace(&mut self, window: Option<WindowId>, to: usize) {
        if let Some(id) = window {
            self.forget_interaction(id);
            self.comp.shell.move_to_workspace(id, to);
            self.windows_changed();
        }
    }

    /// Goes to the output beside this one: the pointer to its middle, and the keyboard to its top-most window.
    fn go_beside(&mut self, forwards: bool) {
        let shell = &mut self.comp.shell;
        let to = shell.output_beside(shell.outputs().active().id, forwards);
        shell.visit(to);
        let top = shell.shown_top_down().find(|window| window.output == to).map(|window| window.id);
        if let Some(top) = top {
            shell.activate(top);
        }
        self.comp.layers.choose_none();
        self.point_at_middle(to);
        self.windows_changed();
    }

    /// Puts a window onto the output beside its own, and goes there with it.
    fn carry_beside(&mut self, window: Option<WindowId>, forwards: bool) {
        let Some(id) = window else { return };
        let Some(from) = self.comp.shell.get(id).map(|window| window.output) else { return };
        let to = self.comp.shell.output_beside(from, forwards);
        self.forget_interaction(id);
        self.comp.shell.move_to_output(id, to);
        self.comp.shell.activate(id);
        self.moved_to_output(id);
        self.point_at_middle(to);
        self.windows_changed();
    }

    /// The user's hand is where the user is; otherwise its next movement would lead back.
    fn point_at_middle(&mut self, output: OutputId) {
        if self.comp.input.pointer.is_some() {
            let whole = self.comp.shell.layout_on(output).whole();
            let middle = whole.loc + Point::from((whole.size.w / 2, whole.size.h / 2));
            self.comp.input.put_pointer(middle.to_f64());
            self.send_location();
        }
    }

    /// Tells the clients of windows whose tile has changed, or that have got or lost one. What tiles there are follows from
    /// which windows are shown, so it is looked at after whatever happened.
    pub(crate) fn settle_tiles(&mut self) {
        let shell = &self.comp.shell;
        let sized = |window| shell.tile(window).map(|tile| tile.size);
        let changed: Vec<_> = shell
            .shown_top_down()
            .map(|window| (window.id, sized(window), window))
            .filter(|(_, size, window)| window.tiling.told != *size)
            // A client that hangs is not asked for ever.
            .filter(|(_, _, window)| unacknowledged(&window.handle) < MAX_UNACKNOWLEDGED)
            .map(|(id, size, _)| (id, size))
            .collect();
        for (id, size) in &changed {
            if let Some(window) = self.comp.shell.get_mut(*id) {
                window.tiling.told = *size;
            }
            self.configure(*id);
            if let Some(window) = self.comp.shell.get(*id) {
                window.handle.send_pending_configure();
            }
        }
        if !changed.is_empty() {
            self.refresh_pointer();
            self.comp.schedule.request();
        }
    }

    /// Windows came, went or moved by the user's hand: everybody is told who has the keyboard and the pointer.
    pub(crate) fn windows_changed(&mut self) {
        self.sync_focus();
        self.refresh_pointer();
        self.comp.schedule.request();
    }
}
