//! The clipboard: offering and receiving a selection.

use std::io::PipeReader;
use std::os::fd::{AsFd, OwnedFd};

use wayland_client::protocol::wl_data_source::WlDataSource;

use super::{Client, ClientError};

/// A selection that a client offers.
#[derive(Debug)]
pub struct Source {
    source: WlDataSource,
}

impl Client {
    /// Offers a selection of the given types, with the serial of the last input event.
    ///
    /// # Panics
    ///
    /// When the server has no data device.
    #[must_use]
    pub fn offer_selection(&mut self, types: &[&str]) -> Source {
        let handle = self.handle();
        let manager = self.state.bound.data_device_manager.as_ref().expect("wl_data_device_manager");
        let device = self.state.bound.data_device.as_ref().expect("a data device");
        let source = manager.create_data_source(&handle, ());
        types.iter().for_each(|kind| source.offer((*kind).to_owned()));
        device.set_selection(Some(&source), self.state.input_serial);
        Source { source }
    }

    /// Waits until the server asks for the content of `source`, and returns the type it asked for and the
    /// descriptor to write to.
    ///
    /// # Errors
    ///
    /// When the connection ends or nobody asks before the deadline.
    pub fn wait_transfer(&mut self, source: &Source) -> Result<(String, OwnedFd), ClientError> {
        self.wait_until("a request for the selection", |state| {
            state.transfers.iter().any(|transfer| transfer.source == source.source)
        })?;
        let place = self.state.transfers.iter().position(|transfer| transfer.source == source.source);
        let transfer = self.state.transfers.remove(place.unwrap_or_default());
        Ok((transfer.kind, transfer.fd))
    }

    /// Whether the server has told that `source` is not the selection any more.
    #[must_use]
    pub fn is_cancelled(&self, source: &Source) -> bool {
        self.state.cancelled.contains(&source.source)
    }

    /// Waits for a selection that offers `kind`, asks for its content, and returns where it can be read.
    ///
    /// # Errors
    ///
    /// When the connection ends or no such selection is offered before the deadline.
    ///
    /// # Panics
    ///
    /// When there are no descriptors left for a pipe.
    pub fn receive_selection(&mut self, kind: &str) -> Result<PipeReader, ClientError> {
        self.wait_until("a selection", |state| {
            state.selection.as_ref().is_some_and(|offer| offer.types.iter().any(|offered| offered == kind))
        })?;
        let (reader, writer) = std::io::pipe().expect("a pipe");
        if let Some(offer) = &self.state.selection {
            offer.offer.receive(kind.to_owned(), writer.as_fd());
        }
        self.flush()?;
        Ok(reader)
    }
}
