//! `xdg_system_bell_v1`: bells are counted per origin, as many as are let through. There is no sound: a bell of a window that has
//! not the keyboard marks it as one that asks for attention, and moves no focus.

use smithay::reexports::wayland_protocols::xdg::system_bell::v1::server::xdg_system_bell_v1::{
    self, XdgSystemBellV1,
};
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource as _,
};

use crate::state::State;
use crate::trust::client;

/// Creates the global.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, XdgSystemBellV1, ()>(1, ());
}

impl GlobalDispatch<XdgSystemBellV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<XdgSystemBellV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        client::may_see(&client, XdgSystemBellV1::interface().name)
    }
}

impl Dispatch<XdgSystemBellV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        _bell: &XdgSystemBellV1,
        request: xdg_system_bell_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        // Smithay's handler is told the surface alone, which a client may leave out; the rate is the origin's.
        if let xdg_system_bell_v1::Request::Ring { surface } = request
            && let Some(data) = client::state(client)
            && data.account.ring()
        {
            tracing::debug!(origin = %data.origin, "bell");
            if let Some(surface) = surface {
                state.attention(&surface, false);
            }
        }
    }
}
