//! The small protocols that add to a surface: viewports, fractional scale, presentation times, buffers of one
//! pixel. Viewports are validated by Smithay whenever a surface is committed.

use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::wayland::compositor::with_states;
use smithay::wayland::fractional_scale::{FractionalScaleHandler, with_fractional_scale};
use smithay::{delegate_fractional_scale, delegate_presentation, delegate_single_pixel_buffer};

use crate::state::State;

impl FractionalScaleHandler for State {
    fn new_fractional_scale(&mut self, surface: WlSurface) {
        let scale = self.comp.shell.layout.scale;
        with_states(&surface, |states| {
            with_fractional_scale(states, |fractional| fractional.set_preferred_scale(scale));
        });
    }
}

delegate_fractional_scale!(State);
delegate_presentation!(State);
delegate_single_pixel_buffer!(State);
