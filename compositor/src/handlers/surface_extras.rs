//! The small protocols that add to a surface: viewports, fractional scale, presentation times, buffers of one
//! pixel, opacity, the type of the content. Viewports are validated by Smithay whenever a surface is committed.
//! Opacity is over the window's own backing: nothing shows through a window.

use smithay::reexports::wayland_protocols::wp::alpha_modifier::v1::server::wp_alpha_modifier_surface_v1::WpAlphaModifierSurfaceV1;
use smithay::reexports::wayland_protocols::wp::alpha_modifier::v1::server::wp_alpha_modifier_v1::WpAlphaModifierV1;
use smithay::reexports::wayland_protocols::wp::content_type::v1::server::wp_content_type_manager_v1::WpContentTypeManagerV1;
use smithay::reexports::wayland_protocols::wp::content_type::v1::server::wp_content_type_v1::WpContentTypeV1;
use smithay::reexports::wayland_protocols::wp::fractional_scale::v1::server::wp_fractional_scale_manager_v1::{
    self, WpFractionalScaleManagerV1,
};
use smithay::reexports::wayland_protocols::wp::fractional_scale::v1::server::wp_fractional_scale_v1::WpFractionalScaleV1;
use smithay::reexports::wayland_protocols::wp::presentation_time::server::wp_presentation::WpPresentation;
use smithay::reexports::wayland_protocols::wp::presentation_time::server::wp_presentation_feedback::WpPresentationFeedback;
use smithay::reexports::wayland_protocols::wp::single_pixel_buffer::v1::server::wp_single_pixel_buffer_manager_v1::WpSinglePixelBufferManagerV1;
use smithay::reexports::wayland_server::protocol::wl_buffer::WlBuffer;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, Resource, Weak, delegate_dispatch,
};
use smithay::wayland::alpha_modifier::{AlphaModifierState, AlphaModifierSurfaceUserData};
use smithay::wayland::compositor::with_states;
use smithay::wayland::content_type::{ContentTypeState, ContentTypeUserData};
use smithay::wayland::fractional_scale::{
    FractionalScaleHandler, FractionalScaleManagerState, with_fractional_scale,
};
use smithay::wayland::presentation::{PresentationFeedbackState, PresentationState};
use smithay::wayland::single_pixel_buffer::{SinglePixelBufferState, SinglePixelBufferUserData};

use super::once::the_only_one;
use crate::handlers::globals::delegate_global;
use crate::state::State;

impl FractionalScaleHandler for State {
    fn new_fractional_scale(&mut self, surface: WlSurface) {
        let scale = self.comp.layout_for(&surface).scale;
        with_states(&surface, |states| {
            with_fractional_scale(states, |fractional| fractional.set_preferred_scale(scale));
        });
    }
}

delegate_global!(WpFractionalScaleManagerV1: () => FractionalScaleManagerState);

impl Dispatch<WpFractionalScaleManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &WpFractionalScaleManagerV1,
        request: wp_fractional_scale_manager_v1::Request,
        data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use wp_fractional_scale_manager_v1::{Error, Request};
        let request = match request {
            Request::GetFractionalScale { id, surface } => {
                let Some(id) = the_only_one(&surface, id, data_init) else {
                    manager.post_error(Error::FractionalScaleExists, "the surface has a fractional scale");
                    return;
                };
                Request::GetFractionalScale { id, surface }
            }
            other => other,
        };
        <FractionalScaleManagerState as Dispatch<WpFractionalScaleManagerV1, (), Self>>::request(
            state, client, manager, request, data, display, data_init,
        );
    }
}

delegate_dispatch!(State: [WpFractionalScaleV1: Weak<WlSurface>] => FractionalScaleManagerState);

delegate_global!(WpPresentation: u32 => PresentationState);
delegate_dispatch!(State: [WpPresentation: u32] => PresentationState);
delegate_dispatch!(State: [WpPresentationFeedback: ()] => PresentationFeedbackState);

delegate_global!(WpSinglePixelBufferManagerV1: () => SinglePixelBufferState);
delegate_dispatch!(State: [WpSinglePixelBufferManagerV1: ()] => SinglePixelBufferState);
delegate_dispatch!(State: [WlBuffer: SinglePixelBufferUserData] => SinglePixelBufferState);

delegate_global!(WpAlphaModifierV1: () => AlphaModifierState);
delegate_dispatch!(State: [WpAlphaModifierV1: ()] => AlphaModifierState);
delegate_dispatch!(State: [WpAlphaModifierSurfaceV1: AlphaModifierSurfaceUserData] => AlphaModifierState);

delegate_global!(WpContentTypeManagerV1: () => ContentTypeState);
delegate_dispatch!(State: [WpContentTypeManagerV1: ()] => ContentTypeState);
delegate_dispatch!(State: [WpContentTypeV1: ContentTypeUserData] => ContentTypeState);
