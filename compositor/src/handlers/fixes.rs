//! `wl_fixes`: registries can be destroyed, which the core protocol forgot.

use smithay::reexports::wayland_server::protocol::wl_fixes::{self, WlFixes};
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};

use crate::state::State;
use crate::trust::client::may_see;

/// Creates the global.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, WlFixes, ()>(1, ());
}

impl GlobalDispatch<WlFixes, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<WlFixes>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, WlFixes::interface().name)
    }
}

impl Dispatch<WlFixes, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _fixes: &WlFixes,
        request: wl_fixes::Request,
        _data: &(),
        display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        if let wl_fixes::Request::DestroyRegistry { registry } = request {
            // Fails only if the registry is gone, which the library has answered with an error.
            let _ = display.backend_handle().destroy_object::<Self>(&registry.id());
        }
    }
}
