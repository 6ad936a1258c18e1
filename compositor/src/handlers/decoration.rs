//! Decorations: always the compositor's. What a client asks for changes nothing.

use smithay::reexports::wayland_protocols::xdg::decoration::zv1::server::zxdg_decoration_manager_v1::ZxdgDecorationManagerV1;
use smithay::reexports::wayland_protocols::xdg::decoration::zv1::server::zxdg_toplevel_decoration_v1::{
    Mode, ZxdgToplevelDecorationV1,
};
use smithay::reexports::wayland_protocols_misc::server_decoration::server::org_kde_kwin_server_decoration::{
    Mode as KdeMode, OrgKdeKwinServerDecoration,
};
use smithay::reexports::wayland_protocols_misc::server_decoration::server::org_kde_kwin_server_decoration_manager::OrgKdeKwinServerDecorationManager;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{WEnum, delegate_dispatch};
use smithay::wayland::shell::kde::decoration::{
    KdeDecorationHandler, KdeDecorationManagerGlobalData, KdeDecorationState,
};
use smithay::wayland::shell::xdg::ToplevelSurface;
use smithay::wayland::shell::xdg::decoration::{
    XdgDecorationHandler, XdgDecorationManagerGlobalData, XdgDecorationState,
};

use crate::handlers::globals::delegate_global;
use crate::state::State;

impl State {
    fn force_decoration(&self, toplevel: &ToplevelSurface) {
        toplevel.with_pending_state(|pending| pending.decoration_mode = Some(Mode::ServerSide));
        // The first configure waits for the first commit. Later every request is answered with a configure, as
        // the protocol wants it.
        if toplevel.is_initial_configure_sent() {
            self.answer(toplevel);
        }
    }
}

impl XdgDecorationHandler for State {
    fn new_decoration(&mut self, toplevel: ToplevelSurface) {
        self.force_decoration(&toplevel);
    }

    fn request_mode(&mut self, toplevel: ToplevelSurface, _mode: Mode) {
        self.force_decoration(&toplevel);
    }

    fn unset_mode(&mut self, toplevel: ToplevelSurface) {
        self.force_decoration(&toplevel);
    }
}

impl KdeDecorationHandler for State {
    fn kde_decoration_state(&self) -> &KdeDecorationState {
        &self.comp.protocols.kde_decoration
    }

    fn request_mode(
        &mut self,
        _surface: &WlSurface,
        _decoration: &OrgKdeKwinServerDecoration,
        _mode: WEnum<KdeMode>,
    ) {
        // The mode was told when the object was made. An answer here would be answered in turn: GTK insists
        // on its own mode as often as it is told another.
    }
}

delegate_global!(ZxdgDecorationManagerV1: XdgDecorationManagerGlobalData => XdgDecorationState);
delegate_dispatch!(State: [ZxdgDecorationManagerV1: ()] => XdgDecorationState);
delegate_dispatch!(State: [ZxdgToplevelDecorationV1: ToplevelSurface] => XdgDecorationState);

delegate_global!(OrgKdeKwinServerDecorationManager: KdeDecorationManagerGlobalData => KdeDecorationState);
delegate_dispatch!(State: [OrgKdeKwinServerDecorationManager: ()] => KdeDecorationState);
delegate_dispatch!(State: [OrgKdeKwinServerDecoration: WlSurface] => KdeDecorationState);
