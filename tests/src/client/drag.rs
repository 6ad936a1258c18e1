//! The data device: the clipboard's events, and drags from and over a client's surfaces.

use wayland_client::protocol::wl_data_device::{self, WlDataDevice};
use wayland_client::protocol::wl_data_device_manager::{DndAction, WlDataDeviceManager};
use wayland_client::protocol::wl_data_offer::{self, WlDataOffer};
use wayland_client::protocol::wl_data_source::{self, WlDataSource};
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, WEnum, delegate_noop, event_created_child};

use super::selection::{Offer, OfferObject, Source, SourceEvent, SourceObject, Transfer};
use super::{Client, ClientError, State};

type Queue = QueueHandle<State>;

/// A drag over one of the client's surfaces.
#[derive(Clone, Debug)]
pub struct Drag {
    /// The protocol id of the surface.
    pub surface: u32,
    /// The place on it, in surface units.
    pub place: (f64, f64),
    /// What is dragged; none for a drag without a source.
    pub offer: Option<Offer>,
    /// What would happen at a drop, as numbers of `wl_data_device_manager.dnd_action`.
    pub action: u32,
    /// It was dropped here.
    pub dropped: bool,
    serial: u32,
}

/// `copy` of `wl_data_device_manager.dnd_action`.
pub const COPY: u32 = DndAction::Copy.bits();

impl Client {
    /// Begins a drag of content of the given types, which may be copied, from a surface on which a button was pressed;
    /// that press must be the last input event.
    ///
    /// # Panics
    ///
    /// When the server has no data device.
    #[must_use]
    pub fn start_drag(&mut self, origin: &WlSurface, types: &[&str]) -> Source {
        let source = self.data_source(types);
        source.set_actions(DndAction::Copy);
        let device = self.state.bound.data_device.as_ref().expect("a data device");
        device.start_drag(Some(&source), origin, None, self.state.input_serial);
        Source { object: SourceObject::Data(source) }
    }

    /// Waits for a drag over one of the client's surfaces and accepts that content of `kind` is copied.
    ///
    /// # Errors
    ///
    /// When the connection ends or no such drag comes before the deadline.
    pub fn accept_drag(&mut self, kind: &str) -> Result<Offer, ClientError> {
        let is_offered = |drag: &Drag| drag.offer.as_ref().is_some_and(|offer| offer.has(kind));
        self.wait_until("a drag", |state| state.offered.drag.as_ref().is_some_and(is_offered))?;
        let drag = self.state.offered.drag.clone();
        let taken = drag.and_then(|drag| Some((drag.serial, drag.offer?)));
        let Some((serial, offer)) = taken else { return Err(ClientError::Deadline("a drag".to_owned())) };
        if let OfferObject::Data(object) = &offer.object {
            object.accept(serial, Some(kind.to_owned()));
            object.set_actions(DndAction::Copy, DndAction::Copy);
        }
        self.flush()?;
        Ok(offer)
    }

    /// Waits until what is dragged is dropped on one of the client's surfaces.
    ///
    /// # Errors
    ///
    /// When the connection ends or that does not happen before the deadline.
    pub fn wait_drop(&mut self) -> Result<(), ClientError> {
        self.wait_until("a drop", |state| state.offered.drag.as_ref().is_some_and(|drag| drag.dropped))
    }

    /// Says that what was dropped has arrived.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn finish_drag(&mut self) -> Result<(), ClientError> {
        let offer = self.state.offered.drag.take().and_then(|drag| drag.offer);
        if let Some(OfferObject::Data(object)) = offer.map(|offer| offer.object) {
            object.finish();
            object.destroy();
        }
        self.flush()
    }
}

fn bits(action: WEnum<DndAction>) -> u32 {
    action.into_result().map_or(0, |action| action.bits())
}

delegate_noop!(State: WlDataDeviceManager);

impl Dispatch<WlDataDevice, ()> for State {
    fn event(
        s: &mut Self,
        _: &WlDataDevice,
        event: wl_data_device::Event,
        _: &(),
        _: &Connection,
        _: &Queue,
    ) {
        let offered = &mut s.offered;
        let find = |id: Option<WlDataOffer>| id.and_then(|id| offered.find(&OfferObject::Data(id)).cloned());
        match event {
            wl_data_device::Event::DataOffer { id } => {
                offered.announced.push(Offer::new(OfferObject::Data(id)));
            }
            wl_data_device::Event::Selection { id } => offered.clipboard = find(id),
            wl_data_device::Event::Enter { serial, surface, x, y, id } => {
                let (surface, offer) = (surface.id().protocol_id(), find(id));
                let drag = Drag { surface, place: (x, y), offer, action: 0, dropped: false, serial };
                offered.drag = Some(drag);
            }
            wl_data_device::Event::Motion { x, y, .. } => {
                offered.drag.iter_mut().for_each(|drag| drag.place = (x, y));
            }
            wl_data_device::Event::Drop => offered.drag.iter_mut().for_each(|drag| drag.dropped = true),
            wl_data_device::Event::Leave => offered.drag = offered.drag.take().filter(|drag| drag.dropped),
            _ => {}
        }
    }

    event_created_child!(State, WlDataDevice, [
        wl_data_device::EVT_DATA_OFFER_OPCODE => (WlDataOffer, ()),
    ]);
}

impl Dispatch<WlDataOffer, ()> for State {
    fn event(s: &mut Self, id: &WlDataOffer, event: wl_data_offer::Event, _: &(), _: &Connection, _: &Queue) {
        let object = OfferObject::Data(id.clone());
        match event {
            wl_data_offer::Event::Offer { mime_type } => s.offered.add_type(&object, &mime_type),
            wl_data_offer::Event::Action { dnd_action } => {
                let drag = s.offered.drag.as_mut();
                let drag =
                    drag.filter(|drag| drag.offer.as_ref().is_some_and(|offer| offer.object == object));
                drag.into_iter().for_each(|drag| drag.action = bits(dnd_action));
            }
            _ => {}
        }
    }
}

impl Dispatch<WlDataSource, ()> for State {
    fn event(
        s: &mut Self,
        id: &WlDataSource,
        event: wl_data_source::Event,
        _: &(),
        _: &Connection,
        _: &Queue,
    ) {
        let happened = match event {
            wl_data_source::Event::Send { mime_type, fd } => {
                s.offered.transfers.push(Transfer { source: id.id(), kind: mime_type, fd });
                return;
            }
            wl_data_source::Event::Cancelled => SourceEvent::Cancelled,
            wl_data_source::Event::Action { dnd_action } => SourceEvent::Action(bits(dnd_action)),
            wl_data_source::Event::DndDropPerformed => SourceEvent::Dropped,
            wl_data_source::Event::DndFinished => SourceEvent::Finished,
            _ => return,
        };
        s.offered.events.push((id.id(), happened));
    }
}
