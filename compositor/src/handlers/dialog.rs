//! `xdg_wm_dialog_v1`, and the parents of toplevels: which window is a dialog of which. What follows from it is
//! the model's ([`crate::shell::family`]).

use smithay::reexports::wayland_protocols::xdg::dialog::v1::server::xdg_dialog_v1::XdgDialogV1;
use smithay::reexports::wayland_protocols::xdg::dialog::v1::server::xdg_wm_dialog_v1::XdgWmDialogV1;
use smithay::reexports::wayland_server::delegate_dispatch;
use smithay::wayland::shell::xdg::ToplevelSurface;
use smithay::wayland::shell::xdg::dialog::{XdgDialogHandler, XdgDialogState};

use crate::handlers::globals::delegate_global;
use crate::state::State;

impl XdgDialogHandler for State {
    fn modal_changed(&mut self, toplevel: ToplevelSurface, is_modal: bool) {
        let Some(id) = self.window_of(toplevel.wl_surface()) else { return };
        self.comp.shell.set_modal(id, is_modal);
        self.family_changed();
    }
}

impl State {
    /// A toplevel has got another parent.
    pub(crate) fn follow_parent(&mut self, toplevel: &ToplevelSurface) {
        let Some(id) = self.window_of(toplevel.wl_surface()) else { return };
        let parent = toplevel.parent().and_then(|parent| self.window_of(&parent));
        self.comp.shell.set_parent(id, parent);
        self.family_changed();
    }

    fn family_changed(&mut self) {
        self.sync_focus();
        self.refresh_pointer();
        self.comp.schedule.request();
    }
}

delegate_global!(XdgWmDialogV1: () => XdgDialogState);
delegate_dispatch!(State: [XdgWmDialogV1: ()] => XdgDialogState);
delegate_dispatch!(State: [XdgDialogV1: ToplevelSurface] => XdgDialogState);
