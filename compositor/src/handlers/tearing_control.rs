//! `wp_tearing_control_v1`: a client's word that its surface may tear. Kept with the surface; the headless
//! output has no refresh that could be torn.

use smithay::reexports::wayland_protocols::wp::tearing_control::v1::server::wp_tearing_control_manager_v1::{
    self, WpTearingControlManagerV1,
};
use smithay::reexports::wayland_protocols::wp::tearing_control::v1::server::wp_tearing_control_v1::{
    self, PresentationHint, WpTearingControlV1,
};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum, Weak,
};
use smithay::wayland::compositor::{Cacheable, with_states};

use super::claim::{claim, release};
use crate::state::State;
use crate::trust::client::may_see;

/// What a surface's client says of tearing, as of a commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct TearingCachedState {
    /// Latency matters more than a torn picture.
    pub may_tear: bool,
}

impl Cacheable for TearingCachedState {
    fn commit(&mut self, _display: &DisplayHandle) -> Self {
        *self
    }

    fn merge_into(self, into: &mut Self, _display: &DisplayHandle) {
        *into = self;
    }
}

/// Creates the global.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, WpTearingControlManagerV1, ()>(1, ());
}

/// Whether a surface's client accepts that the surface tears.
#[must_use]
pub fn may_tear(surface: &WlSurface) -> bool {
    with_states(surface, |states| states.cached_state.get::<TearingCachedState>().current().may_tear)
}

fn hint(surface: &WlSurface, may_tear: bool) {
    with_states(surface, |states| {
        states.cached_state.get::<TearingCachedState>().pending().may_tear = may_tear;
    });
}

impl GlobalDispatch<WpTearingControlManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<WpTearingControlManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, WpTearingControlManagerV1::interface().name)
    }
}

impl Dispatch<WpTearingControlManagerV1, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        manager: &WpTearingControlManagerV1,
        request: wp_tearing_control_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use wp_tearing_control_manager_v1::{Error, Request};
        let Request::GetTearingControl { id, surface } = request else { return };
        if claim::<WpTearingControlV1>(&surface) {
            data_init.init(id, surface.downgrade());
        } else {
            manager.post_error(Error::TearingControlExists, "the surface has a tearing control");
        }
    }
}

impl Dispatch<WpTearingControlV1, Weak<WlSurface>> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _control: &WpTearingControlV1,
        request: wp_tearing_control_v1::Request,
        surface: &Weak<WlSurface>,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        use wp_tearing_control_v1::Request;
        // Without its surface the object does nothing.
        let Ok(surface) = surface.upgrade() else { return };
        match request {
            Request::SetPresentationHint { hint: WEnum::Value(wanted) } => {
                hint(&surface, wanted == PresentationHint::Async);
            }
            Request::Destroy => {
                hint(&surface, false);
                release::<WpTearingControlV1>(&surface);
            }
            // A hint that is not known says nothing.
            _ => {}
        }
    }
}
