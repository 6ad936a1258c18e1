//! What of a surface tree is the window.

use smithay::desktop::utils::bbox_from_surface_tree;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Logical, Rectangle};
use smithay::wayland::compositor::with_states;
use smithay::wayland::shell::xdg::SurfaceCachedState;

/// The window's geometry in its surface's coordinates: what its client set, as far as there are surfaces, or
/// else the bounding box of the tree.
#[must_use]
pub fn window_geometry(surface: &WlSurface) -> Rectangle<i32, Logical> {
    let bounds = bbox_from_surface_tree(surface, (0, 0));
    let set =
        with_states(surface, |states| states.cached_state.get::<SurfaceCachedState>().current().geometry);
    set.and_then(|geometry| geometry.intersection(bounds))
        .filter(|common| !common.is_empty())
        .unwrap_or(bounds)
}
