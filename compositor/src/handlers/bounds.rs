//! Numbers and lists that Smithay would compute with or let grow unchecked.
//!
//! A number that no honest client sends ends the client; where honest clients do send the largest number
//! there is, to say "all of it", it is cut to a size that can be computed with.

use smithay::reexports::wayland_protocols::wp::viewporter::server::wp_viewport::{self, WpViewport};
use smithay::reexports::wayland_protocols::wp::viewporter::server::wp_viewporter::{self, WpViewporter};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_popup::{self, XdgPopup};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_positioner::{self, XdgPositioner};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_surface::{self, XdgSurface};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_toplevel::{self, XdgToplevel};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_wm_base::XdgWmBase;
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_callback::WlCallback;
use smithay::reexports::wayland_server::protocol::wl_compositor::WlCompositor;
use smithay::reexports::wayland_server::protocol::wl_region::{self, WlRegion};
use smithay::reexports::wayland_server::protocol::wl_subcompositor::WlSubcompositor;
use smithay::reexports::wayland_server::protocol::wl_subsurface::{self, WlSubsurface};
use smithay::reexports::wayland_server::protocol::wl_surface::{self, WlSurface};
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, Resource, delegate_dispatch,
};
use smithay::wayland::compositor::{
    CompositorState, RegionUserData, SubsurfaceUserData, SurfaceAttributes, SurfaceUserData,
    get_region_attributes, with_states,
};
use smithay::wayland::shell::xdg::{
    XdgPositionerUserData, XdgShellState, XdgShellSurfaceUserData, XdgSurfaceUserData,
};
use smithay::wayland::viewporter::{ViewportState, ViewporterState};
use vitrail_protocols::Guard;

use super::once::the_only_one;
use super::{subsurfaces, wm_base};
use crate::handlers::globals::delegate_global;
use crate::state::State;
use crate::trust::client::{end_for_misuse, is_local};
use crate::trust::limits::Resource as Counted;

/// The largest coordinate or length that is computed with, in pixels: far beyond any screen, and small
/// enough that sums and products of a few cannot overflow.
pub const MAX_COORDINATE: i32 = 1 << 20;
/// The longest side of a surface or buffer, in pixels: what the renderer can address. It is multiplied with
/// itself where a viewport shows a large part of a buffer in a small place, which must not overflow.
pub const MAX_SIDE: i32 = (1 << 15) - 1;
/// The largest scale of a buffer.
const MAX_BUFFER_SCALE: i32 = 16;
/// Rectangles in one region.
const MAX_REGION_RECTS: usize = 256;
/// Rectangles in an opaque region, a mere hint, that are computed with: the parts that they cut each other into
/// are as many as their square.
const MAX_OPAQUE_RECTS: usize = 16;
/// Damaged rectangles between two commits; more are taken as one that covers everything.
const MAX_DAMAGE_RECTS: usize = 256;

/// A coordinate or distance cut to what can be computed with.
pub(super) fn cut(value: i32) -> i32 {
    value.clamp(-MAX_COORDINATE, MAX_COORDINATE)
}

/// A length cut to what can be computed with. Negative ones, which the protocol leaves without meaning, are
/// nothing; Smithay's sizes must not be negative.
fn cut_length(value: i32) -> i32 {
    value.clamp(0, MAX_COORDINATE)
}

fn sane(values: &[i32]) -> bool {
    !Guard::Numbers.holds() || values.iter().all(|value| (-MAX_COORDINATE..=MAX_COORDINATE).contains(value))
}

delegate_global!(WlCompositor: () => CompositorState);
delegate_global!(WlSubcompositor: () => CompositorState);
delegate_dispatch!(State: [WlCompositor: ()] => CompositorState);
delegate_dispatch!(State: [WlSubcompositor: ()] => CompositorState);
delegate_dispatch!(State: [WlCallback: ()] => CompositorState);
delegate_global!(WpViewporter: () => ViewporterState);

impl Dispatch<WpViewporter, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        viewporter: &WpViewporter,
        request: wp_viewporter::Request,
        data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let request = match request {
            wp_viewporter::Request::GetViewport { id, surface } => {
                let Some(id) = the_only_one(&surface, id, data_init) else {
                    let error = wp_viewporter::Error::ViewportExists;
                    viewporter.post_error(error, "the surface has a viewport");
                    return;
                };
                wp_viewporter::Request::GetViewport { id, surface }
            }
            other => other,
        };
        <ViewporterState as Dispatch<WpViewporter, (), Self>>::request(
            state, client, viewporter, request, data, display, data_init,
        );
    }
}

impl Dispatch<WlSurface, SurfaceUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        surface: &WlSurface,
        request: wl_surface::Request,
        data: &SurfaceUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use wl_surface::Request;
        let request = match request {
            Request::Damage { x, y, width, height } => {
                let Some([x, y, width, height]) = damage(surface, [x, y, width, height]) else { return };
                Request::Damage { x, y, width, height }
            }
            Request::DamageBuffer { x, y, width, height } => {
                let Some([x, y, width, height]) = damage(surface, [x, y, width, height]) else { return };
                Request::DamageBuffer { x, y, width, height }
            }
            Request::SetBufferScale { scale } if scale > MAX_BUFFER_SCALE => {
                surface.post_error(wl_surface::Error::InvalidScale, "the scale is too large");
                return;
            }
            Request::SetOpaqueRegion { region: Some(region) }
                if get_region_attributes(&region).rects.len() > MAX_OPAQUE_RECTS =>
            {
                Request::SetOpaqueRegion { region: None }
            }
            Request::Attach { x, y, .. } | Request::Offset { x, y } if !sane(&[x, y]) => {
                end_for_misuse(client, display, "an offset is too large");
                return;
            }
            Request::Attach { buffer: Some(_), .. } if wm_base::refuses_buffer(surface) => return,
            Request::Commit if !state.may_commit(client, surface) => return,
            other => other,
        };
        <CompositorState as Dispatch<WlSurface, SurfaceUserData, Self>>::request(
            state, client, surface, request, data, display, data_init,
        );
    }

    fn destroyed(state: &mut Self, client: ClientId, surface: &WlSurface, data: &SurfaceUserData) {
        state.comp.uncount(&client, Counted::Surfaces);
        <CompositorState as Dispatch<WlSurface, SurfaceUserData, Self>>::destroyed(
            state, client, surface, data,
        );
    }
}

/// A damaged rectangle cut to what can be computed with; `None` if everything is damaged already.
fn damage(surface: &WlSurface, [x, y, width, height]: [i32; 4]) -> Option<[i32; 4]> {
    let pending =
        with_states(surface, |states| states.cached_state.get::<SurfaceAttributes>().pending().damage.len());
    let cut = |value: i32| value.clamp(0, MAX_SIDE);
    match pending.cmp(&MAX_DAMAGE_RECTS) {
        std::cmp::Ordering::Less => {
            // The far edges are cut, not the lengths: a rectangle that begins far outside still ends there.
            let (left, top) = (cut(x), cut(y));
            let (right, bottom) = (cut(x.saturating_add(width)), cut(y.saturating_add(height)));
            Some([left, top, (right - left).max(0), (bottom - top).max(0)])
        }
        std::cmp::Ordering::Equal => Some([0, 0, MAX_SIDE, MAX_SIDE]),
        std::cmp::Ordering::Greater => None,
    }
}

impl Dispatch<WlRegion, RegionUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        region: &WlRegion,
        request: wl_region::Request,
        data: &RegionUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use wl_region::Request;
        let adds = matches!(request, Request::Add { .. } | Request::Subtract { .. });
        if adds && get_region_attributes(region).rects.len() >= MAX_REGION_RECTS {
            end_for_misuse(client, display, "a region has too many rectangles");
            return;
        }
        let request = match request {
            Request::Add { x, y, width, height } => {
                Request::Add { x: cut(x), y: cut(y), width: cut_length(width), height: cut_length(height) }
            }
            Request::Subtract { x, y, width, height } => Request::Subtract {
                x: cut(x),
                y: cut(y),
                width: cut_length(width),
                height: cut_length(height),
            },
            other => other,
        };
        <CompositorState as Dispatch<WlRegion, RegionUserData, Self>>::request(
            state, client, region, request, data, display, data_init,
        );
    }
}

impl Dispatch<WlSubsurface, SubsurfaceUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        subsurface: &WlSubsurface,
        request: wl_subsurface::Request,
        data: &SubsurfaceUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        if let wl_subsurface::Request::SetPosition { x, y } = request {
            if sane(&[x, y]) {
                subsurfaces::set_position(data.surface(), (x, y).into());
            } else {
                end_for_misuse(client, display, "a subsurface is too far away");
            }
            return;
        }
        // Smithay 0.7 panics when it puts the last of several siblings above itself.
        if let wl_subsurface::Request::PlaceAbove { sibling } | wl_subsurface::Request::PlaceBelow { sibling } =
            &request
            && sibling == data.surface()
        {
            subsurface.post_error(wl_subsurface::Error::BadSurface, "a surface is no sibling of its own");
            return;
        }
        <CompositorState as Dispatch<WlSubsurface, SubsurfaceUserData, Self>>::request(
            state, client, subsurface, request, data, display, data_init,
        );
    }

    fn destroyed(state: &mut Self, client: ClientId, object: &WlSubsurface, data: &SubsurfaceUserData) {
        <CompositorState as Dispatch<WlSubsurface, SubsurfaceUserData, Self>>::destroyed(
            state, client, object, data,
        );
    }
}

impl Dispatch<WpViewport, ViewportState> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        viewport: &WpViewport,
        request: wp_viewport::Request,
        data: &ViewportState,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        if let wp_viewport::Request::SetDestination { width, height } = request
            && (width > MAX_SIDE || height > MAX_SIDE)
        {
            viewport.post_error(wp_viewport::Error::BadValue, "the destination is too large");
            return;
        }
        <ViewportState as Dispatch<WpViewport, ViewportState, Self>>::request(
            state, client, viewport, request, data, display, data_init,
        );
    }

    fn destroyed(state: &mut Self, client: ClientId, viewport: &WpViewport, data: &ViewportState) {
        <ViewportState as Dispatch<WpViewport, ViewportState, Self>>::destroyed(
            state, client, viewport, data,
        );
    }
}

impl Dispatch<XdgPositioner, XdgPositionerUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        positioner: &XdgPositioner,
        request: xdg_positioner::Request,
        data: &XdgPositionerUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use xdg_positioner::Request;
        let fine = match &request {
            Request::SetSize { width, height } => sane(&[*width, *height]),
            Request::SetAnchorRect { x, y, width, height } => sane(&[*x, *y, *width, *height]),
            Request::SetOffset { x, y } => sane(&[*x, *y]),
            Request::SetParentSize { parent_width: w, parent_height: h } => {
                sane(&[*w, *h]) && *w >= 0 && *h >= 0
            }
            _ => true,
        };
        if !fine {
            positioner.post_error(xdg_positioner::Error::InvalidInput, "a number is out of range");
            return;
        }
        let request = match request {
            // Smithay refuses an empty one, which the protocol allows: a place of a pixel is nearest to it.
            Request::SetAnchorRect { x, y, width, height } if width >= 0 && height >= 0 => {
                Request::SetAnchorRect { x, y, width: width.max(1), height: height.max(1) }
            }
            other => other,
        };
        <XdgShellState as Dispatch<XdgPositioner, XdgPositionerUserData, Self>>::request(
            state, client, positioner, request, data, display, data_init,
        );
    }
}

delegate_global!(XdgWmBase: () => XdgShellState);

impl Dispatch<XdgSurface, XdgSurfaceUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        surface: &XdgSurface,
        request: xdg_surface::Request,
        data: &XdgSurfaceUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        if let xdg_surface::Request::SetWindowGeometry { x, y, width, height } = request
            && (!sane(&[x, y, width, height]) || width <= 0 || height <= 0)
        {
            surface.post_error(xdg_surface::Error::InvalidSize, "the geometry is empty or too large");
            return;
        }
        <XdgShellState as Dispatch<XdgSurface, XdgSurfaceUserData, Self>>::request(
            state, client, surface, request, data, display, data_init,
        );
    }

    fn destroyed(state: &mut Self, client: ClientId, surface: &XdgSurface, data: &XdgSurfaceUserData) {
        <XdgShellState as Dispatch<XdgSurface, XdgSurfaceUserData, Self>>::destroyed(
            state, client, surface, data,
        );
    }
}

impl Dispatch<XdgToplevel, XdgShellSurfaceUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        toplevel: &XdgToplevel,
        request: xdg_toplevel::Request,
        data: &XdgShellSurfaceUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        if let xdg_toplevel::Request::SetMinSize { width, height }
        | xdg_toplevel::Request::SetMaxSize { width, height } = request
            && (width < 0 || height < 0)
        {
            toplevel.post_error(xdg_toplevel::Error::InvalidSize, "a size is negative");
            return;
        }
        <XdgShellState as Dispatch<XdgToplevel, XdgShellSurfaceUserData, Self>>::request(
            state, client, toplevel, request, data, display, data_init,
        );
        state.comp.protocols.vm_lists.hurry |= is_local(client);
    }

    fn destroyed(state: &mut Self, client: ClientId, toplevel: &XdgToplevel, data: &XdgShellSurfaceUserData) {
        state.comp.uncount(&client, Counted::Toplevels);
        <XdgShellState as Dispatch<XdgToplevel, XdgShellSurfaceUserData, Self>>::destroyed(
            state, client, toplevel, data,
        );
    }
}

impl Dispatch<XdgPopup, XdgShellSurfaceUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        popup: &XdgPopup,
        request: xdg_popup::Request,
        data: &XdgShellSurfaceUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        <XdgShellState as Dispatch<XdgPopup, XdgShellSurfaceUserData, Self>>::request(
            state, client, popup, request, data, display, data_init,
        );
    }

    fn destroyed(state: &mut Self, client: ClientId, popup: &XdgPopup, data: &XdgShellSurfaceUserData) {
        state.comp.uncount(&client, Counted::Popups);
        <XdgShellState as Dispatch<XdgPopup, XdgShellSurfaceUserData, Self>>::destroyed(
            state, client, popup, data,
        );
    }
}
