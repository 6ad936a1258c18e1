//! The scale that the compositor would like surfaces to be drawn at.

use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_manager_v1::WpFractionalScaleManagerV1;
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_v1::{
    self, WpFractionalScaleV1,
};

use super::{Client, ClientError, State};

delegate_noop!(State: WpFractionalScaleManagerV1);

impl Dispatch<WpFractionalScaleV1, usize> for State {
    fn event(
        state: &mut Self,
        _: &WpFractionalScaleV1,
        event: wp_fractional_scale_v1::Event,
        surface: &usize,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wp_fractional_scale_v1::Event::PreferredScale { scale } = event {
            state.surface_mut(*surface).preferred_scale = Some(scale);
        }
    }
}

impl Client {
    /// Asks for the scale that a surface should be drawn at, in 120ths.
    ///
    /// # Errors
    ///
    /// When the connection ends or the server does not say before the deadline.
    ///
    /// # Panics
    ///
    /// When the server has no `wp_fractional_scale_manager_v1`.
    pub fn preferred_scale(&mut self, number: usize, surface: &WlSurface) -> Result<u32, ClientError> {
        let manager: WpFractionalScaleManagerV1 = self.bind(1).expect("the server has fractional scales");
        let _ = manager.get_fractional_scale(surface, &self.handle(), number);
        let mut scale = None;
        self.wait_until("a preferred scale", |state| {
            scale = state.surface(number).preferred_scale;
            scale.is_some()
        })?;
        Ok(scale.unwrap_or_default())
    }
}
