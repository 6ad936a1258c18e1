//! Offered content: the clipboard, the primary selection and drags. Their offers and sources are of one shape.

use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use wayland_client::Proxy;
use wayland_client::backend::ObjectId;
use wayland_client::protocol::wl_data_offer::WlDataOffer;
use wayland_client::protocol::wl_data_source::WlDataSource;
use wayland_protocols::wp::primary_selection::zv1::client::zwp_primary_selection_offer_v1::ZwpPrimarySelectionOfferV1;
use wayland_protocols::wp::primary_selection::zv1::client::zwp_primary_selection_source_v1::ZwpPrimarySelectionSourceV1;

use super::drag::Drag;
use super::{Client, ClientError};

/// Which selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// What was copied.
    Clipboard,
    /// What is marked.
    Primary,
}

/// The protocol object of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfferObject {
    /// Of the clipboard or a drag.
    Data(WlDataOffer),
    /// Of the primary selection.
    Primary(ZwpPrimarySelectionOfferV1),
}

/// Content that somebody offers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The protocol object.
    pub object: OfferObject,
    /// The offered types.
    pub types: Vec<String>,
}

impl Offer {
    pub(super) fn new(object: OfferObject) -> Self {
        Self { object, types: Vec::new() }
    }

    /// Whether the content is offered as `kind`.
    #[must_use]
    pub fn has(&self, kind: &str) -> bool {
        self.types.iter().any(|offered| offered == kind)
    }

    /// Asks for the content, to be written to `fd`. Nothing is sent yet.
    pub fn ask(&self, kind: &str, fd: BorrowedFd<'_>) {
        match &self.object {
            OfferObject::Data(offer) => offer.receive(kind.to_owned(), fd),
            OfferObject::Primary(offer) => offer.receive(kind.to_owned(), fd),
        }
    }
}

/// Content that the client offers.
#[derive(Clone, Debug)]
pub struct Source {
    pub(super) object: SourceObject,
}

#[derive(Clone, Debug)]
pub(super) enum SourceObject {
    Data(WlDataSource),
    Primary(ZwpPrimarySelectionSourceV1),
}

impl Source {
    pub(super) fn id(&self) -> ObjectId {
        match &self.object {
            SourceObject::Data(source) => source.id(),
            SourceObject::Primary(source) => source.id(),
        }
    }
}

/// What became of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// It is offered no more.
    Cancelled,
    /// What would happen at a drop, as numbers of `wl_data_device_manager.dnd_action`.
    Action(u32),
    /// It was dropped.
    Dropped,
    /// The receiver has what it wanted.
    Finished,
}

/// A request of the server for the content of a source.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) source: ObjectId,
    pub(super) kind: String,
    pub(super) fd: OwnedFd,
}

/// What a client has received about offered content.
#[derive(Debug, Default)]
pub struct Offered {
    /// The clipboard; none when there is none, or none was announced.
    pub clipboard: Option<Offer>,
    /// The primary selection, likewise.
    pub primary: Option<Offer>,
    /// The drag over one of the client's surfaces, until it leaves or what was dropped is finished.
    pub drag: Option<Drag>,
    pub(super) announced: Vec<Offer>,
    pub(super) transfers: Vec<Transfer>,
    pub(super) events: Vec<(ObjectId, SourceEvent)>,
}

impl Offered {
    /// The offer of a selection.
    #[must_use]
    pub fn selection(&self, selection: Selection) -> Option<&Offer> {
        match selection {
            Selection::Clipboard => self.clipboard.as_ref(),
            Selection::Primary => self.primary.as_ref(),
        }
    }

    pub(super) fn find(&self, object: &OfferObject) -> Option<&Offer> {
        self.announced.iter().find(|offer| offer.object == *object)
    }

    pub(super) fn add_type(&mut self, object: &OfferObject, kind: &str) {
        let offer = self.announced.iter_mut().find(|offer| offer.object == *object);
        offer.into_iter().for_each(|offer| offer.types.push(kind.to_owned()));
    }

    /// Whether something became of a source.
    #[must_use]
    pub fn happened(&self, source: &Source, event: SourceEvent) -> bool {
        self.events.contains(&(source.id(), event))
    }
}

impl Client {
    /// Offers a selection of the given types, with the serial of the last input event.
    ///
    /// # Panics
    ///
    /// When the server has no such selection.
    #[must_use]
    pub fn offer(&mut self, selection: Selection, types: &[&str]) -> Source {
        let (handle, serial) = (self.handle(), self.state.input_serial);
        let bound = &self.state.bound;
        match selection {
            Selection::Clipboard => {
                let source = self.data_source(types);
                let device = bound.data_device.as_ref().expect("a data device");
                device.set_selection(Some(&source), serial);
                Source { object: SourceObject::Data(source) }
            }
            Selection::Primary => {
                let manager = bound.primary_manager.as_ref().expect("primary selections");
                let device = bound.primary_device.as_ref().expect("a device for primary selections");
                let source = manager.create_source(&handle, ());
                types.iter().for_each(|kind| source.offer((*kind).to_owned()));
                device.set_selection(Some(&source), serial);
                Source { object: SourceObject::Primary(source) }
            }
        }
    }

    /// A source of the given types that is neither selected nor dragged.
    pub(super) fn data_source(&self, types: &[&str]) -> WlDataSource {
        let manager = self.state.bound.data_device_manager.as_ref().expect("wl_data_device_manager");
        let source = manager.create_data_source(&self.handle(), ());
        types.iter().for_each(|kind| source.offer((*kind).to_owned()));
        source
    }

    /// Waits until the server asks for the content of `source`, and returns the type it asked for and the
    /// descriptor to write to. What was asked for first comes first.
    ///
    /// # Errors
    ///
    /// When the connection ends or nobody asks before the deadline.
    pub fn wait_transfer(&mut self, source: &Source) -> Result<(String, OwnedFd), ClientError> {
        let id = source.id();
        self.wait_until("a request for the content", |state| {
            state.offered.transfers.iter().any(|transfer| transfer.source == id)
        })?;
        let transfers = &mut self.state.offered.transfers;
        let place = transfers.iter().position(|transfer| transfer.source == id);
        let transfer = transfers.remove(place.unwrap_or_default());
        Ok((transfer.kind, transfer.fd))
    }

    /// Waits until something became of `source`.
    ///
    /// # Errors
    ///
    /// When the connection ends or that does not happen before the deadline.
    pub fn wait_source(&mut self, source: &Source, event: SourceEvent) -> Result<(), ClientError> {
        self.wait_until(&format!("{event:?} of a source"), |state| state.offered.happened(source, event))
    }

    /// Waits for a selection that is offered as `kind`.
    ///
    /// # Errors
    ///
    /// When the connection ends or no such selection is offered before the deadline.
    pub fn wait_selection(&mut self, selection: Selection, kind: &str) -> Result<Offer, ClientError> {
        self.wait_until("a selection", |state| {
            state.offered.selection(selection).is_some_and(|offer| offer.has(kind))
        })?;
        let offer = self.state.offered.selection(selection).cloned();
        offer.ok_or_else(|| ClientError::Deadline("a selection".to_owned()))
    }

    /// Waits for a selection that is offered as `kind`, asks for its content, and returns where it can be read.
    ///
    /// # Errors
    ///
    /// When the connection ends or no such selection is offered before the deadline.
    ///
    /// # Panics
    ///
    /// When there are no descriptors left for a pipe.
    pub fn receive(&mut self, selection: Selection, kind: &str) -> Result<PipeReader, ClientError> {
        let offer = self.wait_selection(selection, kind)?;
        self.receive_offer(&offer, kind)
    }

    /// Asks for the content of an offer, and returns where it can be read.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    ///
    /// # Panics
    ///
    /// When there are no descriptors left for a pipe.
    pub fn receive_offer(&mut self, offer: &Offer, kind: &str) -> Result<PipeReader, ClientError> {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        offer.ask(kind, writer.as_fd());
        self.flush()?;
        Ok(reader)
    }
}
