//! `xdg_activation_v1`: an application that the user is using lets another one have the focus.
//!
//! A token is worth something if the VM that asked for it had the keyboard and named one of the user's latest
//! presses. It moves the focus to a window of the same VM, and only while that VM has the keyboard. Everything else
//! marks the window as urgent, on its frame and in the stripe: a token of another VM, an old one, one that was used, one that nobody gave out.
//! Tokens are few and live shortly.

use std::time::Duration;

use smithay::reexports::wayland_protocols::xdg::activation::v1::server::xdg_activation_token_v1::{
    self, XdgActivationTokenV1,
};
use smithay::reexports::wayland_protocols::xdg::activation::v1::server::xdg_activation_v1::{
    self, XdgActivationV1,
};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{Client, DataInit, Dispatch, DisplayHandle};
use smithay::wayland::xdg_activation::{
    ActivationTokenData, XdgActivationHandler, XdgActivationState, XdgActivationToken, XdgActivationTokenData,
};

use vitrail_protocols::Guard;

use crate::handlers::globals::delegate_global;
use crate::state::State;
use crate::trust::client::origin_of;
use crate::trust::origin::Origin;

/// How long a token is worth something: applications of a VM take their time to start.
const MAX_AGE: Duration = Duration::from_secs(30);
/// Tokens of one VM that are worth something at a time.
const MAX_TOKENS: usize = 32;

impl XdgActivationHandler for State {
    fn activation_state(&mut self) -> &mut XdgActivationState {
        &mut self.comp.protocols.activation
    }

    fn token_created(&mut self, _token: XdgActivationToken, data: XdgActivationTokenData) -> bool {
        let focused = self.comp.focused_origin().cloned();
        let activation = &mut self.comp.protocols.activation;
        activation.retain_tokens(|_, data| data.timestamp.elapsed() < MAX_AGE);
        let members = &self.comp.members;
        let origin =
            data.client_id.as_ref().and_then(|client| members.get(client)).map(|data| data.origin.clone());
        let Some(origin) = origin else { return false };
        let recent = data.serial.as_ref().is_some_and(|(serial, _)| self.comp.input.is_recent(*serial));
        if !recent || focused.as_ref() != Some(&origin) {
            return false;
        }
        let siblings =
            activation.tokens().filter(|(_, data)| data.user_data.get::<Origin>() == Some(&origin));
        let siblings: Vec<_> = siblings.map(|(token, data)| (data.timestamp, token.clone())).collect();
        if siblings.len() >= MAX_TOKENS
            && let Some((_, oldest)) = siblings.into_iter().min_by_key(|(time, _)| *time)
        {
            activation.remove_token(&oldest);
        }
        data.user_data.insert_if_missing_threadsafe(|| origin)
    }

    fn request_activation(
        &mut self,
        token: XdgActivationToken,
        data: XdgActivationTokenData,
        surface: WlSurface,
    ) {
        let own = data.user_data.get::<Origin>() == origin_of(&surface).as_ref();
        let own = own || !Guard::Token.holds();
        let fresh = data.timestamp.elapsed() < MAX_AGE;
        if own {
            // Once, and not by another VM in its owner's place.
            self.comp.protocols.activation.remove_token(&token);
        }
        self.attention(&surface, own && fresh);
    }
}

impl State {
    /// A client wants one of its windows to be used or noticed.
    pub(super) fn attention(&mut self, surface: &WlSurface, may_focus: bool) {
        let Some(id) = self.window_of(surface) else { return };
        if self.comp.shell.request_attention(id, may_focus) {
            self.sync_focus();
            self.refresh_pointer();
        }
        self.comp.schedule.request();
    }
}

delegate_global!(XdgActivationV1: () => XdgActivationState);

impl Dispatch<XdgActivationV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        activation: &XdgActivationV1,
        request: xdg_activation_v1::Request,
        data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        // Smithay says nothing of tokens that it does not know.
        if let xdg_activation_v1::Request::Activate { token, surface } = &request {
            let known = XdgActivationToken::from(token.clone());
            if state.comp.protocols.activation.data_for_token(&known).is_none() {
                state.attention(surface, false);
                return;
            }
        }
        <XdgActivationState as Dispatch<XdgActivationV1, (), Self>>::request(
            state, client, activation, request, data, display, data_init,
        );
    }
}

impl Dispatch<XdgActivationTokenV1, ActivationTokenData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        token: &XdgActivationTokenV1,
        request: xdg_activation_token_v1::Request,
        data: &ActivationTokenData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let request = match request {
            // Nobody reads it, and it would be kept.
            xdg_activation_token_v1::Request::SetAppId { .. } => {
                xdg_activation_token_v1::Request::SetAppId { app_id: String::new() }
            }
            other => other,
        };
        <XdgActivationState as Dispatch<XdgActivationTokenV1, ActivationTokenData, Self>>::request(
            state, client, token, request, data, display, data_init,
        );
    }
}
