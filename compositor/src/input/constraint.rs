//! Clients that lock the pointer to its place, or confine it to a part of a surface.
//!
//! # Model
//!
//! A constraint is a client's wish, at most one for each surface. It is in force while all of this holds
//! ([`Comp::constrainable`]): the window of its surface has the keyboard, nothing but its surface is under the
//! pointer, the pointer is in its region, its VM may hold the pointer ([`super::permission`]), and the user neither moves nor
//! resizes a window, nor drags, nor has a menu open, nor is asked anything. Whoever changes one of these calls [`State::refresh_constraint`], which ends the constraint in force
//! or begins another one; nothing else does.
//!
//! # Invariants
//!
//! * At most one constraint is in force, and its window has the keyboard.
//! * A confined pointer stays in the content rectangle of the window, whatever region its client asks for.
//! * What the user took back ([`State::release_input`]) no client of that VM takes again, with whatever
//!   constraint, until the user clicks into one of its windows.
//! * The pointer is only ever put where its client says if that is on the client's own surface, in sight.

use std::collections::HashMap;

use smithay::backend::renderer::utils::with_renderer_surface_state;
use smithay::reexports::wayland_protocols::wp::pointer_constraints::zv1::server::zwp_confined_pointer_v1::ZwpConfinedPointerV1;
use smithay::reexports::wayland_protocols::wp::pointer_constraints::zv1::server::zwp_locked_pointer_v1::ZwpLockedPointerV1;
use smithay::reexports::wayland_protocols::wp::pointer_constraints::zv1::server::zwp_pointer_constraints_v1::Lifetime;
use smithay::reexports::wayland_server::backend::ObjectId;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{DisplayHandle, Resource};
use smithay::utils::{Logical, Physical, Point, Rectangle, Size};
use smithay::wayland::compositor::{Cacheable, RegionAttributes, SurfaceAttributes, get_parent, with_states};
use vitrail_protocols::Guard;

use super::permission::Permissions;
use crate::shell::Layout;
use crate::state::{Comp, State};
use crate::trust::client::origin_of;
use crate::trust::origin::Origin;

/// Places on the way of a confined pointer that are looked at for one motion.
const MAX_STEPS: f64 = 1024.0;

/// What a client asked for, by the object that stands for it.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// The pointer stays where it is.
    Lock(ZwpLockedPointerV1),
    /// The pointer stays in the region.
    Confine(ZwpConfinedPointerV1),
}

impl Wish {
    fn origin(&self) -> Option<Origin> {
        match self {
            Self::Lock(object) => origin_of(object),
            Self::Confine(object) => origin_of(object),
        }
    }

    fn id(&self) -> ObjectId {
        match self {
            Self::Lock(object) => object.id(),
            Self::Confine(object) => object.id(),
        }
    }
}

/// What a client sets for its constraint; it takes effect with a commit of the surface.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConstraintState {
    /// Where on the surface; everywhere if there is none.
    pub region: Option<RegionAttributes>,
    /// Where the client shows a pointer of its own while the real one is locked.
    pub hint: Option<Point<f64, Logical>>,
}

impl Cacheable for ConstraintState {
    fn commit(&mut self, _display: &DisplayHandle) -> Self {
        self.clone()
    }

    fn merge_into(self, into: &mut Self, _display: &DisplayHandle) {
        *into = self;
    }
}

#[derive(Debug)]
struct Constraint {
    wish: Wish,
    lifetime: Lifetime,
}

/// A constraint in force.
#[derive(Debug)]
struct Active {
    surface: WlSurface,
    /// Where the surface's corner is, in logical coordinates of the output.
    corner: Point<f64, Logical>,
    locked: bool,
}

/// All constraints.
#[derive(Debug, Default)]
pub(crate) struct Constraints {
    /// One for each surface at most, so they are as many as surfaces at most.
    by_surface: HashMap<ObjectId, Constraint>,
    active: Option<Active>,
    /// Which VMs may hold the pointer by the user's word.
    pub(super) permissions: Permissions,
}

impl Constraints {
    /// Enters what a client asks for; false if its surface has a constraint already.
    pub fn add(&mut self, surface: &WlSurface, wish: Wish, lifetime: Lifetime) -> bool {
        if self.has(surface) {
            return false;
        }
        self.by_surface.insert(surface.id(), Constraint { wish, lifetime });
        true
    }

    /// Whether a surface has a constraint.
    pub fn has(&self, surface: &WlSurface) -> bool {
        self.by_surface.contains_key(&surface.id())
    }

    /// Whether an object stands for the constraint of a surface; it does not any more once a constraint that was
    /// to be in force only once has been.
    pub fn is(&self, surface: &ObjectId, object: &ObjectId) -> bool {
        self.by_surface.get(surface).is_some_and(|constraint| constraint.wish.id() == *object)
    }

    /// Whether a client of an origin has a constraint.
    pub(super) fn has_any_of(&self, origin: &Origin) -> bool {
        self.by_surface.values().any(|constraint| constraint.wish.origin().as_ref() == Some(origin))
    }

    /// Whether the pointer is held in any way.
    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// Whether the pointer is locked.
    pub fn locks(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.locked)
    }
}

impl State {
    /// Begins or ends a constraint, if what decides about it has changed.
    pub(crate) fn refresh_constraint(&mut self) {
        if self.comp.input.constraints.by_surface.is_empty() {
            return;
        }
        self.ask_about_pointer();
        let wanted = self.comp.constrainable();
        match (&mut self.comp.input.constraints.active, &wanted) {
            (Some(active), Some((surface, corner))) if active.surface == *surface => {
                active.corner = *corner;
                return;
            }
            (None, None) => return,
            _ => {}
        }
        self.end_constraint();
        // Asked again, because the pointer may be elsewhere now.
        let Some((surface, corner)) = self.comp.constrainable() else { return };
        let constraints = &mut self.comp.input.constraints;
        let Some(constraint) = constraints.by_surface.get(&surface.id()) else { return };
        let locked = match &constraint.wish {
            Wish::Lock(object) => {
                object.locked();
                true
            }
            Wish::Confine(object) => {
                object.confined();
                false
            }
        };
        constraints.active = Some(Active { surface, corner, locked });
        // The stripe says so.
        self.comp.schedule.request();
    }

    /// Ends the constraint in force, and tells its client.
    fn end_constraint(&mut self) {
        let constraints = &mut self.comp.input.constraints;
        let Some(active) = constraints.active.take() else { return };
        self.comp.schedule.request();
        let constraints = &mut self.comp.input.constraints;
        let surface = active.surface.id();
        let Some(constraint) = constraints.by_surface.get(&surface) else { return };
        match &constraint.wish {
            Wish::Lock(object) => object.unlocked(),
            Wish::Confine(object) => object.unconfined(),
        }
        if constraint.lifetime == Lifetime::Oneshot {
            constraints.by_surface.remove(&surface);
        }
        // Not onto the answer of a question.
        if active.locked && !self.comp.has_dialog() {
            self.follow_hint(&active);
        }
    }

    /// Puts the pointer where the client showed one of its own, if that is on its surface and in sight.
    fn follow_hint(&mut self, active: &Active) {
        if !active.surface.is_alive() {
            return;
        }
        let hint = with_states(&active.surface, |states| {
            states.cached_state.get::<ConstraintState>().current().hint
        });
        let Some(hint) = hint else { return };
        let Some(window) = self.comp.focused_window() else { return };
        let point = self.comp.shell.layout_of(window).to_physical(active.corner + hint);
        let there = self.comp.surface_at(point);
        if there.is_some_and(|(surface, corner)| surface == active.surface && corner == active.corner) {
            self.comp.input.put_pointer(point);
            self.send_location();
            self.comp.schedule.request();
        }
    }

    /// The object of a constraint is gone, or its surface is.
    pub(crate) fn constraint_destroyed(&mut self, surface: &ObjectId) {
        let constraints = &mut self.comp.input.constraints;
        if constraints.active.as_ref().is_some_and(|active| active.surface.id() == *surface) {
            self.end_constraint();
        }
        self.comp.input.constraints.by_surface.remove(surface);
        self.refresh_constraint();
    }
}

impl Comp {
    /// The surface whose constraint is to be in force now, and where its corner is.
    fn constrainable(&self) -> Option<(WlSurface, Point<f64, Logical>)> {
        if self.has_dialog() {
            return None;
        }
        let (surface, corner, origin) = self.wish_in_place()?;
        (self.may_hold_pointer(&origin) == Some(true)).then_some((surface, corner))
    }

    /// The surface whose constraint could be in force now, if its VM may hold the pointer; where its corner is, and which VM.
    pub(super) fn wish_in_place(&self) -> Option<(WlSurface, Point<f64, Logical>, Origin)> {
        if self.input.interaction.is_some() || self.selections.is_dragging() || self.popup_grab_active() {
            return None;
        }
        let point = self.input.pointer?;
        let (surface, corner) = self.surface_at(point)?;
        let constraint = self.input.constraints.by_surface.get(&surface.id())?;
        let focused = self.focused_window()?;
        let told = self.seat.get_pointer().and_then(|pointer| pointer.current_focus());
        if told.as_ref() != Some(&surface)
            || root_of(&surface) != *focused.handle.wl_surface()
            || (Guard::Release.holds() && self.input.trusted.released.contains(&focused.origin))
        {
            return None;
        }
        // An object that is being destroyed with its client has no say.
        let alive = match &constraint.wish {
            Wish::Lock(object) => object.is_alive(),
            Wish::Confine(object) => object.is_alive(),
        };
        let origin = focused.origin.clone();
        (alive && self.constrained_area(&surface, corner)?.contains(point))
            .then_some((surface, corner, origin))
    }

    fn constrained_area(&self, surface: &WlSurface, corner: Point<f64, Logical>) -> Option<Area> {
        let window = self.focused_window()?;
        let (content, layout) = (self.shell.content(window), *self.shell.layout_of(window));
        let size = with_renderer_surface_state(surface, |state| state.surface_size()).flatten()?;
        let (input, region) = with_states(surface, |states| {
            let input = states.cached_state.get::<SurfaceAttributes>().current().input_region.clone();
            (input, states.cached_state.get::<ConstraintState>().current().region.clone())
        });
        Some(Area { content, corner, layout, size, input, region })
    }

    /// Where the pointer gets from its place on the way to another one.
    pub(super) fn constrained(&self, to: Point<f64, Physical>) -> Point<f64, Physical> {
        let (Some(active), Some(from)) = (&self.input.constraints.active, self.input.pointer) else {
            return to;
        };
        if active.locked {
            return from;
        }
        match self.constrained_area(&active.surface, active.corner) {
            Some(area) => walk(from, to, |point| area.contains(point)),
            None => from,
        }
    }
}

/// The surface at the root of a tree.
fn root_of(surface: &WlSurface) -> WlSurface {
    let mut root = surface.clone();
    while let Some(parent) = get_parent(&root) {
        root = parent;
    }
    root
}

/// Where the pointer may be while a constraint is in force.
#[derive(Debug)]
struct Area {
    content: Rectangle<i32, Physical>,
    corner: Point<f64, Logical>,
    layout: Layout,
    size: Size<i32, Logical>,
    input: Option<RegionAttributes>,
    region: Option<RegionAttributes>,
}

impl Area {
    fn contains(&self, point: Point<f64, Physical>) -> bool {
        if !self.content.contains(point.to_i32_floor()) {
            return false;
        }
        let local: Point<i32, Logical> = (self.layout.to_logical(point) - self.corner).to_i32_floor();
        let within =
            |region: &Option<RegionAttributes>| region.as_ref().is_none_or(|region| region.contains(local));
        Rectangle::from_size(self.size).contains(local) && within(&self.input) && within(&self.region)
    }
}

/// Goes from one place to another as far as all places on the way are allowed, and along what is in the way.
fn walk(
    from: Point<f64, Physical>,
    to: Point<f64, Physical>,
    allowed: impl Fn(Point<f64, Physical>) -> bool,
) -> Point<f64, Physical> {
    let way = to - from;
    // About a pixel each, so that nothing thicker is stepped over.
    let steps = way.x.abs().max(way.y.abs()).ceil().clamp(1.0, MAX_STEPS);
    let step = Point::<f64, Physical>::from((way.x / steps, way.y / steps));
    let ahead = [step, (step.x, 0.0).into(), (0.0, step.y).into()];
    let mut at = from;
    let mut straight = true;
    let mut taken = 0.0;
    while taken < steps {
        let next = ahead.iter().position(|step| *step != Point::default() && allowed(at + *step));
        let Some(step) = next.and_then(|index| ahead.get(index)) else { return at };
        straight &= next == Some(0);
        at += *step;
        taken += 1.0;
    }
    // Without the errors of adding up.
    if straight && allowed(to) { to } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, y: f64) -> Point<f64, Physical> {
        (x, y).into()
    }

    /// A square of a hundred pixels with a hole in its middle.
    fn allowed(point: Point<f64, Physical>) -> bool {
        let inside = |point: Point<f64, Physical>, low: f64, high: f64| {
            point.x >= low && point.y >= low && point.x < high && point.y < high
        };
        inside(point, 0.0, 100.0) && !inside(point, 40.0, 60.0)
    }

    #[test]
    fn a_free_way_is_gone_to_its_end_exactly() {
        assert_eq!(walk(at(1.0, 2.0), at(30.1, 77.7), allowed), at(30.1, 77.7));
        assert_eq!(walk(at(1.0, 2.0), at(1.0, 2.0), allowed), at(1.0, 2.0));
        assert_eq!(walk(at(1.0, 2.0), at(1.25, 2.0), allowed), at(1.25, 2.0));
    }

    #[test]
    fn a_wall_is_followed() {
        let end = walk(at(90.0, 10.0), at(190.0, 60.0), allowed);
        assert!((99.0..100.0).contains(&end.x) && (end.y - 60.0).abs() < 0.01, "{end:?}");
    }

    #[test]
    fn a_hole_is_not_jumped_over() {
        let end = walk(at(20.0, 50.0), at(80.0, 50.0), allowed);
        assert!((39.0..40.0).contains(&end.x), "{end:?}");
    }

    #[test]
    fn a_way_from_where_nothing_is_allowed_goes_nowhere() {
        assert_eq!(walk(at(50.0, 50.0), at(51.0, 50.0), allowed), at(50.0, 50.0));
    }
}
