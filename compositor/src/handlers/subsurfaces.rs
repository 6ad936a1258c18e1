//! `wl_subsurface.set_position`: where a surface stands on its parent.
//!
//! # Model
//!
//! The place of a subsurface is a part of its parent's state: it changes when the parent is committed, and if the parent itself is
//! a synchronised subsurface, when its state is applied. Smithay 0.7 makes it a part of the subsurface's own state
//! (`wayland/compositor/tree.rs`), so that the child moves with a commit of its own, and not with one of its parent. So the places
//! that a client asks for wait here, in the state of the parent, which Smithay applies when it is time; then they are put
//! where Smithay looks for them.
//!
//! # Invariants
//!
//! * A parent has at most one waiting place for each of its children.

use std::cell::Cell;

use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{DisplayHandle, Resource, Weak};
use smithay::utils::{Logical, Point};
use smithay::wayland::compositor::{
    Cacheable, SubsurfaceCachedState, SurfaceData, TraversalAction, get_parent, with_states,
    with_surface_tree_downward,
};

/// Where children go with the next state of their parent that is applied.
#[derive(Debug, Default)]
struct Places(Vec<(Weak<WlSurface>, Point<i32, Logical>)>);

impl Places {
    fn put(&mut self, child: Weak<WlSurface>, place: Point<i32, Logical>) {
        self.0.retain(|(other, _)| *other != child && other.upgrade().is_ok());
        self.0.push((child, place));
    }
}

impl Cacheable for Places {
    fn commit(&mut self, _display: &DisplayHandle) -> Self {
        std::mem::take(self)
    }

    fn merge_into(self, into: &mut Self, _display: &DisplayHandle) {
        for (child, place) in self.0 {
            into.put(child, place);
        }
    }
}

/// Where a subsurface is.
#[derive(Debug, Default)]
struct Place(Cell<Option<Point<i32, Logical>>>);

/// A surface became a child of another one: it stands in that one's corner.
pub(super) fn begin(child: &WlSurface) {
    with_states(child, |states| {
        states.data_map.insert_if_missing(Place::default);
        if let Some(known) = states.data_map.get::<Place>() {
            known.0.set(Some(Point::default()));
        }
        stay(states);
    });
}

/// Has a subsurface go to a place when its parent is committed. A surface without a parent has none to go to.
pub(super) fn set_position(child: &WlSurface, place: Point<i32, Logical>) {
    if let Some(parent) = get_parent(child) {
        with_states(&parent, |states| {
            states.cached_state.get::<Places>().pending().put(child.downgrade(), place);
        });
    }
}

/// The state of a surface and of its synchronised children was applied: puts the children of all of them to their places.
pub(super) fn applied(surface: &WlSurface) {
    let mut moved = Vec::new();
    with_surface_tree_downward(
        surface,
        (),
        |_, _, ()| TraversalAction::DoChildren(()),
        |_, states, ()| moved.append(&mut states.cached_state.get::<Places>().current().0),
        |_, _, ()| true,
    );
    for (child, place) in moved {
        let Ok(child) = child.upgrade() else { continue };
        with_states(&child, |states| {
            states.data_map.insert_if_missing(Place::default);
            if let Some(known) = states.data_map.get::<Place>() {
                known.0.set(Some(place));
            }
            stay(states);
        });
    }
}

/// Puts a subsurface to its place, from which a state of its own that was made before and applied later would take it.
pub(super) fn stay(states: &SurfaceData) {
    if let Some(place) = states.data_map.get::<Place>().and_then(|place| place.0.get()) {
        let mut state = states.cached_state.get::<SubsurfaceCachedState>();
        state.pending().location = place;
        state.current().location = place;
    }
}
