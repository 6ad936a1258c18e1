//! `wl_compositor` and `wl_subcompositor`: surfaces and what happens when they are committed.

use smithay::backend::renderer::buffer_dimensions;
use smithay::backend::renderer::utils::{RendererSurfaceStateUserData, on_commit_buffer_handler};
use smithay::reexports::wayland_protocols::wp::viewporter::server::wp_viewport::{self, WpViewport};
use smithay::reexports::wayland_server::protocol::wl_surface::{self, WlSurface};
use smithay::reexports::wayland_server::{Client, Resource};
use smithay::utils::Transform;
use smithay::wayland::compositor::{
    BufferAssignment, CompositorClientState, CompositorHandler, CompositorState, SurfaceAttributes,
    SurfaceData, TraversalAction, get_children, get_parent, is_sync_subsurface, send_surface_state,
    with_states, with_surface_tree_upward,
};
use smithay::wayland::fractional_scale::with_fractional_scale;
use smithay::wayland::viewporter::{ViewportCachedState, ensure_viewport_valid};

use vitrail_protocols::Guard;

use super::{once, pacing, subsurfaces};
use crate::config::guest::OutputsRule;
use crate::render::replaced::Replacing;
use crate::state::{Comp, State};
use crate::trust::client::{account_of, end_for_misuse, origin_of, state as client_state};
use crate::trust::limits::Resource as Counted;

impl CompositorHandler for State {
    fn compositor_state(&mut self) -> &mut CompositorState {
        &mut self.comp.protocols.compositor
    }

    fn client_compositor_state<'a>(&self, client: &'a Client) -> &'a CompositorClientState {
        match client_state(client) {
            Some(state) => &state.compositor,
            // `State::accept` is the only way in, and it always gives this data.
            None => unreachable!("a client without the compositor's data"),
        }
    }

    fn new_surface(&mut self, surface: &WlSurface) {
        self.comp.count(surface, Counted::Surfaces);
        pacing::watch(surface);
    }

    fn new_subsurface(&mut self, surface: &WlSurface, _parent: &WlSurface) {
        subsurfaces::begin(surface);
        let Some(client) = surface.client() else { return };
        let limit = account_of(surface).map_or(0, |account| account.limits().subsurface_depth);
        // The tree may be joined from either end, so both directions count.
        if Guard::Depth.holds() && ancestors(surface, limit).saturating_add(height(surface, limit)) > limit {
            end_for_misuse(&client, &self.comp.display, "subsurfaces are nested too deep");
        }
    }

    fn commit(&mut self, surface: &WlSurface) {
        if !is_sync_subsurface(surface) {
            with_surface_tree_upward(
                surface,
                (),
                |_, _, ()| TraversalAction::DoChildren(()),
                |surface, states, ()| {
                    require_size(surface, states);
                    subsurfaces::stay(states);
                },
                |_, _, ()| true,
            );
            subsurfaces::applied(surface);
            let replacing = Replacing::of(surface);
            on_commit_buffer_handler::<Self>(surface);
            self.comp.schedule.replaced.keep(replacing);
        }
        self.note_applied(surface);
        self.comp.popups.commit(surface);
        self.tell_scale(surface);
        let mut root = surface.clone();
        while let Some(parent) = get_parent(&root) {
            root = parent;
        }
        // What waited may be applied to a surface that is gone, of which nothing would take it out again.
        if root.is_alive() {
            self.comp.schedule.committed.insert(root.clone());
        }
        if is_sync_subsurface(surface) {
            return;
        }
        self.window_committed(&root);
        self.popup_committed(&root);
        self.method_popup_committed(&root);
        self.layer_committed(&root);
        self.lock_committed(&root);
        self.refresh_pointer();
        let window = self.comp.shell.find(|window| window.mapped && *window.handle.wl_surface() == root);
        match window.map(|window| window.output) {
            Some(output) => self.comp.schedule.request_content(output, &root),
            None => self.comp.schedule.request(),
        }
    }

    fn destroyed(&mut self, surface: &WlSurface) {
        if let Some(origin) = origin_of(surface) {
            self.comp.captures.touch_origin(&origin);
        }
        self.comp.schedule.committed.remove(surface);
        self.comp.decor.forget_popup(surface);
        self.layer_gone(surface);
        self.lock_surface_gone(surface);
        self.note_destroyed(surface);
        self.lift_fingers_from(surface);
        self.constraint_destroyed(&surface.id());
        self.comp.schedule.request();
    }
}

impl Comp {
    /// Whether the client of a surface is told rounded sizes and scales.
    fn rounds_outputs(&self, surface: &WlSurface) -> bool {
        let rules = origin_of(surface).map(|origin| self.config.current().privacy_rules(&origin));
        rules.is_some_and(|rules| rules.outputs == OutputsRule::Rounded)
    }
}

impl State {
    /// Tells a surface the scale of the output that it is on, by whichever way it understands.
    pub(crate) fn tell_scale(&self, surface: &WlSurface) {
        let exact = self.comp.layout_for(surface).scale;
        let whole = smithay::output::Scale::Fractional(exact).integer_scale();
        let scale = if self.comp.rounds_outputs(surface) { f64::from(whole) } else { exact };
        with_states(surface, |states| {
            send_surface_state(surface, states, whole, Transform::Normal);
            with_fractional_scale(states, |fractional| fractional.set_preferred_scale(scale));
        });
    }
}

/// Ends the client of a surface that would be shown in no size, or with a part of its buffer that there is not,
/// and makes that state harmless: Smithay divides by the size in the same turn. Asked when the state is applied,
/// because the parts of it come together from several commits.
fn require_size(surface: &WlSurface, states: &SurfaceData) {
    let mut attributes = states.cached_state.get::<SurfaceAttributes>();
    let attributes = attributes.current();
    let size = match &attributes.buffer {
        Some(BufferAssignment::NewBuffer(buffer)) => buffer_dimensions(buffer)
            .map(|size| size.to_logical(attributes.buffer_scale, attributes.buffer_transform.into())),
        Some(BufferAssignment::Removed) => None,
        None => {
            let drawn = states.data_map.get::<RendererSurfaceStateUserData>();
            let drawn = drawn.and_then(|drawn| drawn.lock().ok());
            drawn.and_then(|drawn| {
                // By the scale of this commit, which Smithay takes with the next buffer only.
                let size = drawn.buffer().and_then(|buffer| buffer_dimensions(buffer));
                let size = size
                    .map(|size| size.to_logical(attributes.buffer_scale, attributes.buffer_transform.into()));
                size.or_else(|| drawn.buffer_size())
            })
        }
    };
    let Some(size) = size else { return };
    if size.is_empty() {
        surface.post_error(wl_surface::Error::InvalidSize, "the buffer is smaller than its scale");
        attributes.buffer = Some(BufferAssignment::Removed);
        return;
    }
    let valid = ensure_viewport_valid(states, size);
    let mut viewport = states.cached_state.get::<ViewportCachedState>();
    let viewport = viewport.current();
    if viewport.dst.is_none()
        && viewport.src.is_some_and(|src| src.size != src.size.to_i32_floor::<i32>().to_f64())
        && let Some(object) = once::of::<WpViewport>(states)
    {
        // Smithay looks for that only where the surface had no content before it had a viewport.
        object.post_error(wp_viewport::Error::BadSize, "a source without a destination is of whole pixels");
        viewport.src = None;
    }
    if !valid || viewport.size().is_some_and(|size| size.is_empty()) {
        viewport.src = None;
    }
}

/// How many surfaces are above this one, up to one more than the limit.
fn ancestors(surface: &WlSurface, limit: u32) -> u32 {
    let mut depth = 0;
    let mut surface = surface.clone();
    while let Some(parent) = get_parent(&surface) {
        depth += 1;
        surface = parent;
        if depth > limit {
            break;
        }
    }
    depth
}

/// How deep the tree below a surface is. Each join was checked, so the recursion is as deep as the limit.
pub(crate) fn height(surface: &WlSurface, limit: u32) -> u32 {
    if limit == 0 {
        return 0;
    }
    get_children(surface)
        .iter()
        .filter(|child| *child != surface)
        .map(|child| 1 + height(child, limit - 1))
        .max()
        .unwrap_or(0)
}
