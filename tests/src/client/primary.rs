//! The primary selection's events.

use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, delegate_noop, event_created_child};
use wayland_protocols::wp::primary_selection::zv1::client::zwp_primary_selection_device_manager_v1::ZwpPrimarySelectionDeviceManagerV1;
use wayland_protocols::wp::primary_selection::zv1::client::zwp_primary_selection_device_v1::{
    self, ZwpPrimarySelectionDeviceV1,
};
use wayland_protocols::wp::primary_selection::zv1::client::zwp_primary_selection_offer_v1::{
    self, ZwpPrimarySelectionOfferV1,
};
use wayland_protocols::wp::primary_selection::zv1::client::zwp_primary_selection_source_v1::{
    self, ZwpPrimarySelectionSourceV1,
};

use super::State;
use super::selection::{Offer, OfferObject, SourceEvent, Transfer};

type Queue = QueueHandle<State>;

delegate_noop!(State: ZwpPrimarySelectionDeviceManagerV1);

impl Dispatch<ZwpPrimarySelectionDeviceV1, ()> for State {
    fn event(
        s: &mut Self,
        _: &ZwpPrimarySelectionDeviceV1,
        event: zwp_primary_selection_device_v1::Event,
        _: &(),
        _: &Connection,
        _: &Queue,
    ) {
        let offered = &mut s.offered;
        match event {
            zwp_primary_selection_device_v1::Event::DataOffer { offer } => {
                offered.announced.push(Offer::new(OfferObject::Primary(offer)));
            }
            zwp_primary_selection_device_v1::Event::Selection { id } => {
                offered.primary = id.and_then(|id| offered.find(&OfferObject::Primary(id)).cloned());
            }
            _ => {}
        }
    }

    event_created_child!(State, ZwpPrimarySelectionDeviceV1, [
        zwp_primary_selection_device_v1::EVT_DATA_OFFER_OPCODE => (ZwpPrimarySelectionOfferV1, ()),
    ]);
}

impl Dispatch<ZwpPrimarySelectionOfferV1, ()> for State {
    fn event(
        s: &mut Self,
        id: &ZwpPrimarySelectionOfferV1,
        event: zwp_primary_selection_offer_v1::Event,
        _: &(),
        _: &Connection,
        _: &Queue,
    ) {
        if let zwp_primary_selection_offer_v1::Event::Offer { mime_type } = event {
            s.offered.add_type(&OfferObject::Primary(id.clone()), &mime_type);
        }
    }
}

impl Dispatch<ZwpPrimarySelectionSourceV1, ()> for State {
    fn event(
        s: &mut Self,
        id: &ZwpPrimarySelectionSourceV1,
        event: zwp_primary_selection_source_v1::Event,
        _: &(),
        _: &Connection,
        _: &Queue,
    ) {
        match event {
            zwp_primary_selection_source_v1::Event::Send { mime_type, fd } => {
                s.offered.transfers.push(Transfer { source: id.id(), kind: mime_type, fd });
            }
            zwp_primary_selection_source_v1::Event::Cancelled => {
                s.offered.events.push((id.id(), SourceEvent::Cancelled));
            }
            _ => {}
        }
    }
}
