//! `wp_fifo_v1`: commits that wait until what was committed before has been in a frame. How they are let go is in
//! [`super::pacing`].

use smithay::reexports::wayland_protocols::wp::fifo::v1::server::wp_fifo_manager_v1::{
    self, WpFifoManagerV1,
};
use smithay::reexports::wayland_protocols::wp::fifo::v1::server::wp_fifo_v1::{self, WpFifoV1};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource, Weak};
use smithay::wayland::fifo::FifoManagerState;

use super::claim::{claim, release};
use crate::handlers::globals::delegate_global;
use crate::state::State;

delegate_global!(WpFifoManagerV1: bool => FifoManagerState);

impl Dispatch<WpFifoManagerV1, bool> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &WpFifoManagerV1,
        request: wp_fifo_manager_v1::Request,
        data: &bool,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        // Smithay 0.7 sends this error for the surface, where its number means another one.
        if let wp_fifo_manager_v1::Request::GetFifo { surface, .. } = &request
            && !claim::<WpFifoV1>(surface)
        {
            manager.post_error(wp_fifo_manager_v1::Error::AlreadyExists, "the surface has a fifo object");
            return;
        }
        <FifoManagerState as Dispatch<WpFifoManagerV1, bool, Self>>::request(
            state, client, manager, request, data, display, data_init,
        );
    }
}

impl Dispatch<WpFifoV1, Weak<WlSurface>> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        fifo: &WpFifoV1,
        request: wp_fifo_v1::Request,
        surface: &Weak<WlSurface>,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        if let (wp_fifo_v1::Request::Destroy, Ok(surface)) = (&request, surface.upgrade()) {
            release::<WpFifoV1>(&surface);
        }
        <FifoManagerState as Dispatch<WpFifoV1, Weak<WlSurface>, Self>>::request(
            state, client, fifo, request, surface, display, data_init,
        );
    }
}
