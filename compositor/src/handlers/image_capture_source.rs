//! `ext_foreign_toplevel_image_capture_source_manager_v1`: windows that pictures may be taken of, chosen by the handle of a
//! [list](super::foreign_toplevel_list).
//!
//! Whoever has a handle was told of its window, so a client of a VM can choose among the windows of its VM alone. Sources of
//! whole outputs are [another protocol's](super::output_capture_source), which no VM is shown.

use smithay::reexports::wayland_protocols::ext::image_capture_source::v1::server::ext_foreign_toplevel_image_capture_source_manager_v1::{
    self, ExtForeignToplevelImageCaptureSourceManagerV1,
};
use smithay::reexports::wayland_protocols::ext::image_capture_source::v1::server::ext_image_capture_source_v1::{
    self, ExtImageCaptureSourceV1,
};
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};

use super::foreign_toplevel_list::Mapped;
use crate::render::capture::Captured;
use crate::state::State;
use crate::trust::client::may_see;

/// What a source shows; `None`: nothing, and nothing ever.
#[derive(Clone, Debug)]
pub struct Source(pub Option<Captured>);

/// Creates the global.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, ExtForeignToplevelImageCaptureSourceManagerV1, ()>(1, ());
}

impl GlobalDispatch<ExtForeignToplevelImageCaptureSourceManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<ExtForeignToplevelImageCaptureSourceManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, ExtForeignToplevelImageCaptureSourceManagerV1::interface().name)
    }
}

impl Dispatch<ExtForeignToplevelImageCaptureSourceManagerV1, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _manager: &ExtForeignToplevelImageCaptureSourceManagerV1,
        request: ext_foreign_toplevel_image_capture_source_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_foreign_toplevel_image_capture_source_manager_v1::Request;
        if let Request::CreateSource { source, toplevel_handle } = request {
            data_init.init(source, Source(toplevel_handle.data::<Mapped>().cloned().map(Captured::Window)));
        }
    }
}

impl Dispatch<ExtImageCaptureSourceV1, Source> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _source: &ExtImageCaptureSourceV1,
        _request: ext_image_capture_source_v1::Request,
        _data: &Source,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
    }
}
