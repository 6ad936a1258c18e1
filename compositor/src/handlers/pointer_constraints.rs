//! `zwp_pointer_constraints_v1`: requests to lock or confine the pointer, which [`crate::input::constraint`]
//! grants and takes back.
//!
//! Not by Smithay's module: in 0.7 the end of an object whose constraint is over already removes the surface's next
//! constraint, whose client then is never told that its pointer is free.

use smithay::reexports::wayland_protocols::wp::pointer_constraints::zv1::server::zwp_confined_pointer_v1::{
    self, ZwpConfinedPointerV1,
};
use smithay::reexports::wayland_protocols::wp::pointer_constraints::zv1::server::zwp_locked_pointer_v1::{
    self, ZwpLockedPointerV1,
};
use smithay::reexports::wayland_protocols::wp::pointer_constraints::zv1::server::zwp_pointer_constraints_v1::{
    self, Lifetime, ZwpPointerConstraintsV1,
};
use smithay::reexports::wayland_server::backend::{ClientId, ObjectId};
use smithay::reexports::wayland_server::protocol::wl_region::WlRegion;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum, Weak,
};
use smithay::wayland::compositor::{get_region_attributes, with_states};

use crate::input::constraint::{ConstraintState, Wish};
use crate::state::State;
use crate::trust::client::{end_for_misuse, may_see};

/// The version that is offered.
const VERSION: u32 = 1;

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ZwpPointerConstraintsV1, ()>(VERSION, ());
}

/// What the object of a constraint belongs to.
#[derive(Debug)]
pub struct Constrained(Weak<WlSurface>);

impl Constrained {
    /// The surface, while the object stands for its constraint.
    fn surface(&self, state: &State, object: &ObjectId) -> Option<WlSurface> {
        let surface = self.0.upgrade().ok()?;
        state.comp.input.constraints.is(&surface.id(), object).then_some(surface)
    }

    fn set_region(&self, state: &State, object: &ObjectId, region: Option<&WlRegion>) {
        let Some(surface) = self.surface(state, object) else { return };
        with_states(&surface, |states| {
            states.cached_state.get::<ConstraintState>().pending().region = region.map(get_region_attributes);
        });
    }

    fn destroyed(&self, state: &mut State, object: &ObjectId) {
        let surface = self.0.id();
        if state.comp.input.constraints.is(&surface, object) {
            state.constraint_destroyed(&surface);
        }
    }
}

impl GlobalDispatch<ZwpPointerConstraintsV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        manager: New<ZwpPointerConstraintsV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(manager, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, ZwpPointerConstraintsV1::interface().name)
    }
}

impl Dispatch<ZwpPointerConstraintsV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &ZwpPointerConstraintsV1,
        request: zwp_pointer_constraints_v1::Request,
        _data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use zwp_pointer_constraints_v1::Request;
        // There is one seat, so the pointer that is named is the one there is.
        let (Request::LockPointer { surface, region, lifetime, .. }
        | Request::ConfinePointer { surface, region, lifetime, .. }) = &request
        else {
            return;
        };
        let WEnum::Value(lifetime) = *lifetime else {
            end_for_misuse(client, display, "a pointer constraint of unknown lifetime");
            return;
        };
        if state.comp.input.constraints.has(surface) {
            let error = zwp_pointer_constraints_v1::Error::AlreadyConstrained;
            manager.post_error(error, "the surface has a pointer constraint");
            return;
        }
        let (surface, region) = (surface.clone(), region.as_ref().map(get_region_attributes));
        let data = Constrained(surface.downgrade());
        let wish = match request {
            Request::LockPointer { id, .. } => Wish::Lock(data_init.init(id, data)),
            Request::ConfinePointer { id, .. } => Wish::Confine(data_init.init(id, data)),
            _ => return,
        };
        // Until the next commit, and after it unless something else is set.
        let first = ConstraintState { region, hint: None };
        with_states(&surface, |states| {
            let mut cached = states.cached_state.get::<ConstraintState>();
            *cached.current() = first.clone();
            *cached.pending() = first;
        });
        state.constrain(&surface, wish, lifetime);
    }
}

impl State {
    fn constrain(&mut self, surface: &WlSurface, wish: Wish, lifetime: Lifetime) {
        if self.comp.input.constraints.add(surface, wish, lifetime) {
            self.refresh_constraint();
        }
    }
}

impl Dispatch<ZwpLockedPointerV1, Constrained> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        object: &ZwpLockedPointerV1,
        request: zwp_locked_pointer_v1::Request,
        data: &Constrained,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        use zwp_locked_pointer_v1::Request;
        match request {
            Request::SetRegion { region } => data.set_region(state, &object.id(), region.as_ref()),
            Request::SetCursorPositionHint { surface_x, surface_y } => {
                let Some(surface) = data.surface(state, &object.id()) else { return };
                with_states(&surface, |states| {
                    let hint = Some((surface_x, surface_y).into());
                    states.cached_state.get::<ConstraintState>().pending().hint = hint;
                });
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, object: &ZwpLockedPointerV1, data: &Constrained) {
        data.destroyed(state, &object.id());
    }
}

impl Dispatch<ZwpConfinedPointerV1, Constrained> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        object: &ZwpConfinedPointerV1,
        request: zwp_confined_pointer_v1::Request,
        data: &Constrained,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        if let zwp_confined_pointer_v1::Request::SetRegion { region } = request {
            data.set_region(state, &object.id(), region.as_ref());
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, object: &ZwpConfinedPointerV1, data: &Constrained) {
        data.destroyed(state, &object.id());
    }
}
