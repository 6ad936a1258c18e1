//! `ext_data_control_manager_v1`: local programs that look after the clipboard. What they see of it is in
//! [`super::data_control`].

use smithay::reexports::wayland_protocols::ext::data_control::v1::server::ext_data_control_device_v1::{
    self, ExtDataControlDeviceV1,
};
use smithay::reexports::wayland_protocols::ext::data_control::v1::server::ext_data_control_manager_v1::{
    self, ExtDataControlManagerV1,
};
use smithay::reexports::wayland_protocols::ext::data_control::v1::server::ext_data_control_offer_v1::{
    self, ExtDataControlOfferV1,
};
use smithay::reexports::wayland_protocols::ext::data_control::v1::server::ext_data_control_source_v1::{
    self, ExtDataControlSourceV1,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};
use smithay::wayland::selection::SelectionTarget;

use super::data_control::{Offered, Used, Watcher};
use super::selection::Source;
use crate::state::State;
use crate::trust::client::{is_local, may_see};

/// The version that is offered.
const VERSION: u32 = 1;

/// Creates the global.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, ExtDataControlManagerV1, ()>(VERSION, ());
}

/// Tells a device of a selection: what it stands for and its types, or that there is none.
pub(super) fn tell(
    device: &ExtDataControlDeviceV1,
    display: &DisplayHandle,
    target: SelectionTarget,
    offered: Option<(Offered, &[String])>,
) {
    let Some(client) = device.client() else { return };
    let offer = offered.and_then(|(offered, types)| {
        let offer = client.create_resource::<ExtDataControlOfferV1, Offered, State>(
            display,
            device.version(),
            offered,
        );
        let offer = offer.ok()?;
        device.data_offer(&offer);
        for mime_type in types {
            offer.offer(mime_type.clone());
        }
        Some(offer)
    });
    match target {
        SelectionTarget::Clipboard => device.selection(offer.as_ref()),
        SelectionTarget::Primary => device.primary_selection(offer.as_ref()),
    }
}

impl GlobalDispatch<ExtDataControlManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<ExtDataControlManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client) && may_see(&client, ExtDataControlManagerV1::interface().name)
    }
}

impl Dispatch<ExtDataControlManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        _manager: &ExtDataControlManagerV1,
        request: ext_data_control_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_data_control_manager_v1::Request;
        match request {
            Request::CreateDataSource { id } => {
                data_init.init(id, Used::default());
            }
            // There is one seat.
            Request::GetDataDevice { id, .. } => {
                let device = data_init.init(id, ());
                state.watch_selections(client, Watcher::Ext(device));
            }
            _ => {}
        }
    }
}

impl Dispatch<ExtDataControlSourceV1, Used> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        source: &ExtDataControlSourceV1,
        request: ext_data_control_source_v1::Request,
        used: &Used,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_data_control_source_v1::{Error, Request};
        let Request::Offer { mime_type } = request else { return };
        if used.is_set() {
            source.post_error(Error::InvalidOffer, "the source was set already");
            return;
        }
        state.note_control_type(client, source, &mime_type);
    }

    fn destroyed(state: &mut Self, _client: ClientId, source: &ExtDataControlSourceV1, _used: &Used) {
        state.source_gone(&source.id());
    }
}

impl Dispatch<ExtDataControlDeviceV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        device: &ExtDataControlDeviceV1,
        request: ext_data_control_device_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_data_control_device_v1::{Error, Request};
        let (target, source) = match request {
            Request::SetSelection { source } => (SelectionTarget::Clipboard, source),
            Request::SetPrimarySelection { source } => (SelectionTarget::Primary, source),
            _ => return,
        };
        if source.as_ref().and_then(|source| source.data::<Used>()).is_some_and(|used| !used.set()) {
            device.post_error(Error::UsedSource, "the source was set already");
            return;
        }
        state.select_locally(target, source.map(Source::Ext));
    }

    fn destroyed(state: &mut Self, _client: ClientId, device: &ExtDataControlDeviceV1, _data: &()) {
        state.forget_watcher(&Watcher::Ext(device.clone()));
    }
}

impl Dispatch<ExtDataControlOfferV1, Offered> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _offer: &ExtDataControlOfferV1,
        request: ext_data_control_offer_v1::Request,
        offered: &Offered,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        if let ext_data_control_offer_v1::Request::Receive { mime_type, fd } = request {
            state.read_offer(offered, mime_type, fd);
        }
    }
}
