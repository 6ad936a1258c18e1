//! `xdg_wm_base`: what must not become a window.
//!
//! Smithay gives a surface its role when the toplevel or popup is asked for, and looks at nothing before that. The protocol has
//! errors for what comes before: a surface that is something else, or that has content already.

use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_surface::{self, XdgSurface};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_wm_base::{self, XdgWmBase};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource};
use smithay::wayland::compositor::{BufferAssignment, SurfaceAttributes, get_role, with_states};
use smithay::wayland::shell::xdg::{XDG_POPUP_ROLE, XDG_TOPLEVEL_ROLE, XdgShellState, XdgWmBaseUserData};

use super::once::{self, the_only_one};
use crate::render::schedule::has_buffer;
use crate::state::State;

/// What is wrong with a surface that is to be a window or a popup.
fn objection(surface: &WlSurface) -> Option<(xdg_wm_base::Error, &'static str)> {
    if get_role(surface).is_some_and(|role| role != XDG_TOPLEVEL_ROLE && role != XDG_POPUP_ROLE) {
        return Some((xdg_wm_base::Error::Role, "the surface has another role"));
    }
    let attached = with_states(surface, |states| {
        let mut attributes = states.cached_state.get::<SurfaceAttributes>();
        matches!(attributes.pending().buffer, Some(BufferAssignment::NewBuffer(_)))
    });
    let content = attached || has_buffer(surface);
    content.then_some((xdg_wm_base::Error::InvalidSurfaceState, "the surface has content already"))
}

/// Refuses a buffer for an `xdg_surface` that is neither a window nor a popup yet: it could not have been configured. Whether it
/// was is asked at the commit, for those that are.
pub(super) fn refuses_buffer(surface: &WlSurface) -> bool {
    if get_role(surface).is_some() {
        return false;
    }
    let made = with_states(surface, once::of::<XdgSurface>);
    if let Some(made) = &made {
        made.post_error(xdg_surface::Error::UnconfiguredBuffer, "a buffer before the first configure");
    }
    made.is_some()
}

impl Dispatch<XdgWmBase, XdgWmBaseUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        wm_base: &XdgWmBase,
        request: xdg_wm_base::Request,
        data: &XdgWmBaseUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let request = match request {
            xdg_wm_base::Request::GetXdgSurface { id, surface } => {
                if let Some((error, message)) = objection(&surface) {
                    wm_base.post_error(error, message);
                    return;
                }
                let Some(id) = the_only_one(&surface, id, data_init) else {
                    wm_base.post_error(xdg_wm_base::Error::Role, "the surface has an xdg_surface");
                    return;
                };
                xdg_wm_base::Request::GetXdgSurface { id, surface }
            }
            other => other,
        };
        <XdgShellState as Dispatch<XdgWmBase, XdgWmBaseUserData, Self>>::request(
            state, client, wm_base, request, data, display, data_init,
        );
    }

    fn destroyed(state: &mut Self, client: ClientId, wm_base: &XdgWmBase, data: &XdgWmBaseUserData) {
        <XdgShellState as Dispatch<XdgWmBase, XdgWmBaseUserData, Self>>::destroyed(
            state, client, wm_base, data,
        );
    }
}
