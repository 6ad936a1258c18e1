//! Objects of which a surface can have one at a time.
//!
//! Smithay refuses a second one too, but says so of the surface, and the error is one of the interface that makes the objects
//! (`wp_viewporter.viewport_exists`, `wp_fractional_scale_manager_v1.fractional_scale_exists`): the number that a client is told
//! would be another error there.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Arc;

use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{DataInit, New, Resource, Weak};
use smithay::wayland::compositor::{SurfaceData, with_states};

use super::globals::Refused;
use crate::state::State;

/// The object of one kind that a surface has, or had.
struct The<I>(RefCell<Option<Weak<I>>>);

/// The new object of a surface, to be made by Smithay; `None` if the surface has one that is alive.
pub(super) fn the_only_one<I: Resource + Any>(
    surface: &WlSurface,
    new: New<I>,
    data_init: &mut DataInit<'_, State>,
) -> Option<New<I>> {
    // Only an object can be remembered, and the library takes one apart only by making it. What it is given here is replaced
    // when its protocol makes it again.
    let object = data_init.custom_init(new, Arc::new(Refused));
    with_states(surface, |states| {
        states.data_map.insert_if_missing(|| The::<I>(RefCell::new(None)));
        let the = states.data_map.get::<The<I>>()?;
        if of::<I>(states).is_some() {
            return None;
        }
        the.0.replace(Some(object.downgrade()));
        Some(New::wrap(object))
    })
}

/// The object of this kind that a surface has, if it is alive.
pub(super) fn of<I: Resource + Any>(states: &SurfaceData) -> Option<I> {
    states.data_map.get::<The<I>>()?.0.borrow().as_ref()?.upgrade().ok()
}
