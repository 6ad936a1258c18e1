//! `zwp_idle_inhibit_v1`: windows that want the screen to stay on.
//!
//! An inhibitor counts only while its surface is shown and its window has the keyboard, so whether one counts is
//! worked out when it is asked for, from what is on the screen then. A VM in the background keeps nothing awake.

use std::collections::HashMap;

use smithay::desktop::find_popup_root_surface;
use smithay::reexports::wayland_protocols::wp::idle_inhibit::zv1::server::zwp_idle_inhibit_manager_v1::{
    self, ZwpIdleInhibitManagerV1,
};
use smithay::reexports::wayland_protocols::wp::idle_inhibit::zv1::server::zwp_idle_inhibitor_v1::{
    self, ZwpIdleInhibitorV1,
};
use smithay::reexports::wayland_server::backend::{ClientId, ObjectId};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, Weak,
};
use smithay::wayland::compositor::get_parent;
use smithay::wayland::shell::xdg::ToplevelSurface;
use vitrail_protocols::Guard;

use crate::render::schedule::has_buffer;
use crate::shell::stacking::Element;
use crate::shell::window::Window;
use crate::state::{Comp, State};
use crate::trust::client::may_see;
use crate::trust::origin::Origin;

/// The live inhibitors, by the surfaces that they are for and counted for each: a client may have very many for one surface,
/// and whether that counts is looked at once.
#[derive(Debug, Default)]
pub struct Inhibitors {
    by_surface: HashMap<ObjectId, (Weak<WlSurface>, usize)>,
}

impl Inhibitors {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_surface.values().map(|(_, count)| count).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_surface.is_empty()
    }
}

/// Creates the global.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, ZwpIdleInhibitManagerV1, ()>(1, ());
}

impl Comp {
    /// Whose window keeps the session from being idle now.
    #[must_use]
    pub fn idle_inhibitor(&self) -> Option<&Origin> {
        let may = |window: &&Window<ToplevelSurface>| {
            let focused = self.focused_window().is_some_and(|focused| focused.id == window.id);
            focused && window.shown() || !Guard::Idle.holds()
        };
        let inhibits = |window: &&Window<ToplevelSurface>| {
            let root = window.handle.wl_surface();
            let counts = |surface: &WlSurface| {
                surface.id().same_client_as(&root.id())
                    && self.shown_root(surface).is_some_and(|shown| shown == *root)
            };
            let mut surfaces = self.protocols.idle_inhibit.by_surface.values();
            surfaces.any(|(surface, _)| surface.upgrade().is_ok_and(|surface| counts(&surface)))
        };
        self.shell.bottom_up().filter(may).find(inhibits).map(|window| &window.origin)
    }

    /// The toplevel that a surface belongs to, if it and all surfaces between them have content.
    fn shown_root(&self, surface: &WlSurface) -> Option<WlSurface> {
        let mut root = surface.clone();
        while has_buffer(&root) {
            match get_parent(&root) {
                Some(parent) => root = parent,
                None => {
                    let Some(popup) = self.popups.find_popup(&root) else { return Some(root) };
                    return find_popup_root_surface(&popup).ok();
                }
            }
        }
        None
    }
}

impl GlobalDispatch<ZwpIdleInhibitManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<ZwpIdleInhibitManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, ZwpIdleInhibitManagerV1::interface().name)
    }
}

impl Dispatch<ZwpIdleInhibitManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &ZwpIdleInhibitManagerV1,
        request: zwp_idle_inhibit_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        if let zwp_idle_inhibit_manager_v1::Request::CreateInhibitor { id, surface } = request {
            data_init.init(id, surface.id());
            let by_surface = &mut state.comp.protocols.idle_inhibit.by_surface;
            let (_, count) = by_surface.entry(surface.id()).or_insert_with(|| (surface.downgrade(), 0));
            *count = count.saturating_add(1);
        }
    }
}

impl Dispatch<ZwpIdleInhibitorV1, ObjectId> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _inhibitor: &ZwpIdleInhibitorV1,
        _request: zwp_idle_inhibitor_v1::Request,
        _surface: &ObjectId,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
    }

    // Smithay's handler hears only of those that are destroyed in order, not of those that end with their client.
    fn destroyed(state: &mut Self, _client: ClientId, _inhibitor: &ZwpIdleInhibitorV1, surface: &ObjectId) {
        let by_surface = &mut state.comp.protocols.idle_inhibit.by_surface;
        if let Some((_, count)) = by_surface.get_mut(surface) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_surface.remove(surface);
            }
        }
    }
}
