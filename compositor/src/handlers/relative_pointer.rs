//! `zwp_relative_pointer_manager_v1`: how far the pointer was pushed, also where it cannot go.

use smithay::reexports::wayland_protocols::wp::relative_pointer::zv1::server::zwp_relative_pointer_manager_v1::{
    self, ZwpRelativePointerManagerV1,
};
use smithay::reexports::wayland_protocols::wp::relative_pointer::zv1::server::zwp_relative_pointer_v1::ZwpRelativePointerV1;
use smithay::reexports::wayland_server::{Client, DataInit, Dispatch, DisplayHandle};
use smithay::wayland::relative_pointer::{RelativePointerManagerState, RelativePointerUserData};

use crate::handlers::globals::delegate_global;
use crate::input::listeners::listener;
use crate::state::State;

delegate_global!(ZwpRelativePointerManagerV1: () => RelativePointerManagerState);

impl Dispatch<ZwpRelativePointerManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &ZwpRelativePointerManagerV1,
        request: zwp_relative_pointer_manager_v1::Request,
        data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let creates = matches!(request, zwp_relative_pointer_manager_v1::Request::GetRelativePointer { .. });
        if creates && !state.comp.input.listeners.add(client, display) {
            return;
        }
        <RelativePointerManagerState as Dispatch<ZwpRelativePointerManagerV1, (), Self>>::request(
            state, client, manager, request, data, display, data_init,
        );
    }
}

listener!(ZwpRelativePointerV1, RelativePointerUserData<State> => RelativePointerManagerState);
