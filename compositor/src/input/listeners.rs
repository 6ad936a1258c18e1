//! A bound on the objects that input is told to.
//!
//! Each event goes to every object of the focused client that listens for it, and Smithay looks through the
//! objects of all clients whenever one is destroyed. An honest client has a handful.

use std::collections::HashMap;

use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_keyboard::WlKeyboard;
use smithay::reexports::wayland_server::{Client, DisplayHandle, Resource, Weak};

use crate::trust::client::end_for_misuse;

/// Listening objects that one client may have.
pub const MAX_LISTENERS: u32 = 128;

/// How many objects of each client listen to input.
#[derive(Debug, Default)]
pub struct Listeners {
    by_client: HashMap<ClientId, u32>,
    /// The keyboards among them. Those that are gone are forgotten when there is a new one.
    keyboards: Vec<Weak<WlKeyboard>>,
}

impl Listeners {
    /// Counts an object that a client is about to create. If it has too many, it is ended, and the answer is false.
    pub(crate) fn add(&mut self, client: &Client, display: &DisplayHandle) -> bool {
        let count = self.by_client.entry(client.id()).or_default();
        if *count >= MAX_LISTENERS {
            end_for_misuse(client, display, "too many objects listen to input");
            return false;
        }
        *count += 1;
        true
    }

    /// Remembers a new keyboard.
    pub(crate) fn add_keyboard(&mut self, keyboard: &WlKeyboard) {
        self.keyboards.retain(|known| known.upgrade().is_ok());
        self.keyboards.push(keyboard.downgrade());
    }

    /// All keyboards.
    pub(crate) fn keyboards(&self) -> impl Iterator<Item = WlKeyboard> {
        self.keyboards.iter().filter_map(|keyboard| keyboard.upgrade().ok())
    }

    /// Counts a destroyed object.
    pub(crate) fn remove(&mut self, client: &ClientId) {
        if let Some(count) = self.by_client.get_mut(client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_client.remove(client);
            }
        }
    }
}

/// Leaves the requests of an object that listens to input to Smithay, and counts its end.
macro_rules! listener {
    ($object:ty, $data:ty => $library:ty) => {
        impl ::smithay::reexports::wayland_server::Dispatch<$object, $data> for $crate::state::State {
            fn request(
                state: &mut Self,
                client: &::smithay::reexports::wayland_server::Client,
                object: &$object,
                request: <$object as ::smithay::reexports::wayland_server::Resource>::Request,
                data: &$data,
                display: &::smithay::reexports::wayland_server::DisplayHandle,
                data_init: &mut ::smithay::reexports::wayland_server::DataInit<'_, Self>,
            ) {
                <$library as ::smithay::reexports::wayland_server::Dispatch<$object, $data, Self>>::request(
                    state, client, object, request, data, display, data_init,
                );
            }

            fn destroyed(
                state: &mut Self,
                client: ::smithay::reexports::wayland_server::backend::ClientId,
                object: &$object,
                data: &$data,
            ) {
                state.comp.input.listeners.remove(&client);
                <$library as ::smithay::reexports::wayland_server::Dispatch<$object, $data, Self>>::destroyed(
                    state, client, object, data,
                );
            }
        }
    };
}
pub(crate) use listener;
