//! What of a surface tree is the window.

use smithay::backend::renderer::utils::with_renderer_surface_state;
use smithay::desktop::utils::bbox_from_surface_tree;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Logical, Rectangle};
use smithay::wayland::compositor::{get_role, with_states};
use smithay::wayland::shell::wlr_layer::LAYER_SURFACE_ROLE;
use smithay::wayland::shell::xdg::SurfaceCachedState;

use super::session_lock::LOCK_SURFACE_ROLE;

/// The window's geometry in its surface's coordinates: what its client set, as far as there are surfaces, or
/// else the bounding box of the tree. Of a surface of the layer shell or a lock it is the surface itself, whatever is beside it.
#[must_use]
pub fn window_geometry(surface: &WlSurface) -> Rectangle<i32, Logical> {
    if matches!(get_role(surface), Some(LAYER_SURFACE_ROLE | LOCK_SURFACE_ROLE)) {
        let size = with_renderer_surface_state(surface, |state| state.surface_size()).flatten();
        return Rectangle::from_size(size.unwrap_or_default());
    }
    let bounds = bbox_from_surface_tree(surface, (0, 0));
    let set =
        with_states(surface, |states| states.cached_state.get::<SurfaceCachedState>().current().geometry);
    set.and_then(|geometry| geometry.intersection(bounds))
        .filter(|common| !common.is_empty())
        .unwrap_or(bounds)
}
