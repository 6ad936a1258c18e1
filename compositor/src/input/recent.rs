//! What the user's hand did last: which presses clients may refer to, and which client it was at.
//!
//! A serial proves to a client of a VM that it was used. A task bar has none to show: its protocols carry no serial. So it is
//! remembered which client the latest press, release or turn of the wheel went to, and a client that acts for the user is
//! believed while that is itself and not long ago. A press that went elsewhere, to the compositor too, ends it.

use std::collections::VecDeque;
use std::time::Duration;

use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{Client, Resource};
use smithay::utils::{SERIAL_COUNTER, Serial};

use super::Input;
use crate::state::State;

/// How many of the latest input events a client may refer to.
const SERIALS: usize = 32;
/// How long after a press a client may act for the user: a program that was swapped out has to come to it.
const HAND: Duration = Duration::from_secs(5);

/// The latest that the user did.
#[derive(Debug, Default)]
pub struct Recent {
    /// Serials of the latest presses, and of the releases of buttons.
    serials: VecDeque<Serial>,
    /// The client that the latest one went to, and when that was.
    hand: Option<(ClientId, Duration)>,
}

impl Input {
    /// Whether a serial is of one of the user's latest presses, or of the release of a button.
    #[must_use]
    pub fn is_recent(&self, serial: Serial) -> bool {
        self.recent.serials.contains(&serial)
    }

    /// A serial for a press or release that clients may refer to.
    pub(crate) fn press_serial(&mut self) -> Serial {
        let serial = SERIAL_COUNTER.next_serial();
        let serials = &mut self.recent.serials;
        serials.push_back(serial);
        if serials.len() > SERIALS {
            serials.pop_front();
        }
        serial
    }
}

impl State {
    /// What the user does now goes to a surface, or to no client.
    pub(super) fn note_hand(&mut self, surface: Option<&WlSurface>) {
        let now = self.comp.now();
        let client = surface.and_then(Resource::client);
        self.comp.input.recent.hand = client.map(|client| (client.id(), now));
    }

    /// Whether what a client asks for now may be the user's wish: it was the last one that the user used, a moment ago, and the
    /// session is not locked.
    #[must_use]
    pub(crate) fn acts_for_user(&self, client: &Client) -> bool {
        let hand = self.comp.input.recent.hand.as_ref();
        let used = hand
            .is_some_and(|(used, when)| *used == client.id() && self.comp.now().saturating_sub(*when) < HAND);
        used && !self.comp.lock.is_locked()
    }
}
