//! How the X server says that it has shown a frame. Every frame is followed by a request of which it tells when it comes to
//! it: with the Present extension, the beginning of the screen's next refresh, and without it a change of a property of the
//! window, which comes at once. Both say, too, that the server has read what was to be shown before.

use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::protocol::Event;
use x11rb::protocol::present::{self, CompleteKind, ConnectionExt as _};
use x11rb::protocol::xproto::{AtomEnum, PropMode, Property};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use super::X11Error;
use super::window::Window;

/// What is awaited.
#[derive(Debug)]
pub(super) struct Pace {
    /// The server knows the screen's refreshes.
    has_refreshes: bool,
    /// The number of the last frame.
    number: u32,
    /// Nothing was said of it yet.
    awaited: bool,
}

impl Pace {
    pub(super) fn new(connection: &RustConnection, window: &Window) -> Result<Self, X11Error> {
        let has_refreshes = connection.extension_information(present::X11_EXTENSION_NAME)?.is_some();
        if has_refreshes {
            connection.present_query_version(1, 0)?.reply()?;
            let listener = connection.generate_id()?;
            connection.present_select_input(listener, window.id, present::EventMask::COMPLETE_NOTIFY)?;
        }
        Ok(Self { has_refreshes, number: 0, awaited: false })
    }

    /// A frame is on its way.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// Asks to be told of the frame that was sent just now.
    pub(super) fn ask(&mut self, connection: &RustConnection, window: &Window) -> Result<(), X11Error> {
        self.number = self.number.wrapping_add(1);
        if self.has_refreshes {
            // Every refresh leaves the remainder 0 when divided by 1: the next one is asked for.
            connection.present_notify_msc(window.id, self.number, 0, 1, 0)?;
        } else {
            let name = window.atoms._VITRAIL_FRAME;
            connection.change_property8(PropMode::APPEND, window.id, name, AtomEnum::STRING, &[])?;
        }
        self.awaited = true;
        Ok(())
    }

    /// Whether an event says that the last frame is shown.
    pub(super) fn ends_with(&mut self, event: &Event, window: &Window) -> bool {
        let is_it = match event {
            Event::PresentCompleteNotify(event) => {
                event.kind == CompleteKind::NOTIFY_MSC && event.serial == self.number
            }
            Event::PropertyNotify(event) => {
                event.atom == window.atoms._VITRAIL_FRAME && event.state == Property::NEW_VALUE
            }
            _ => false,
        };
        is_it && std::mem::take(&mut self.awaited)
    }
}
