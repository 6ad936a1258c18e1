//! `xdg_toplevel_tag_v1`: a client's own names for its windows, kept as titles are: bounded, and shown as the VM's
//! word.

use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_toplevel::XdgToplevel;
use smithay::reexports::wayland_protocols::xdg::toplevel_tag::v1::server::xdg_toplevel_tag_manager_v1::XdgToplevelTagManagerV1;
use smithay::reexports::wayland_server::delegate_dispatch;
use smithay::wayland::xdg_toplevel_tag::{XdgToplevelTagHandler, XdgToplevelTagManager};

use super::globals::delegate_global;
use super::xdg_shell::bounded;
use crate::state::State;

// Smithay 0.7 stores a description in the place of the tag; what the handler is told is right.
impl XdgToplevelTagHandler for State {
    fn set_tag(&mut self, toplevel: XdgToplevel, tag: String) {
        if let Some(window) = self.window_of_toplevel(&toplevel) {
            window.tag = bounded(&tag);
        }
    }

    fn set_description(&mut self, toplevel: XdgToplevel, description: String) {
        if let Some(window) = self.window_of_toplevel(&toplevel) {
            window.description = bounded(&description);
        }
    }
}

delegate_global!(XdgToplevelTagManagerV1: () => XdgToplevelTagManager);
delegate_dispatch!(State: [XdgToplevelTagManagerV1: ()] => XdgToplevelTagManager);
