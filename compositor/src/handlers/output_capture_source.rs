//! `ext_output_image_capture_source_manager_v1`: outputs as something that pictures may be taken of. For local programs,
//! which see in them what the configuration says of each VM ([`crate::render::view`]).

use smithay::reexports::wayland_protocols::ext::image_capture_source::v1::server::ext_output_image_capture_source_manager_v1::{
    self, ExtOutputImageCaptureSourceManagerV1,
};
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};

use super::image_capture_source::Source;
use crate::render::capture::Captured;
use crate::state::State;
use crate::trust::client::{is_local, may_see};

/// Creates the global.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, ExtOutputImageCaptureSourceManagerV1, ()>(1, ());
}

impl GlobalDispatch<ExtOutputImageCaptureSourceManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<ExtOutputImageCaptureSourceManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client) && may_see(&client, ExtOutputImageCaptureSourceManagerV1::interface().name)
    }
}

impl Dispatch<ExtOutputImageCaptureSourceManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &ExtOutputImageCaptureSourceManagerV1,
        request: ext_output_image_capture_source_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_output_image_capture_source_manager_v1::Request;
        if let Request::CreateSource { source, output } = request {
            data_init.init(source, Source(state.comp.announced.find(&output).map(Captured::Output)));
        }
    }
}
