//! Surfaces, regions, subsurfaces and viewports: counted, kept shallow, and given only numbers that a
//! compositor can compute with.

use std::cmp::Ordering;
use std::rc::Rc;

use vitrail_protocols::Guard as Switch;
use wl_proxy::fixed::Fixed;
use wl_proxy::object::ObjectCoreApi as _;
use wl_proxy::protocols::viewporter::wp_viewport::{WpViewport, WpViewportHandler};
use wl_proxy::protocols::viewporter::wp_viewporter::{WpViewporter, WpViewporterHandler};
use wl_proxy::protocols::wayland::wl_buffer::WlBuffer;
use wl_proxy::protocols::wayland::wl_compositor::{WlCompositor, WlCompositorHandler};
use wl_proxy::protocols::wayland::wl_display::WlDisplayError;
use wl_proxy::protocols::wayland::wl_region::{WlRegion, WlRegionHandler};
use wl_proxy::protocols::wayland::wl_subcompositor::{WlSubcompositor, WlSubcompositorHandler};
use wl_proxy::protocols::wayland::wl_subsurface::{WlSubsurface, WlSubsurfaceHandler};
use wl_proxy::protocols::wayland::wl_surface::{WlSurface, WlSurfaceHandler};

use super::geometry::{self, MAX_SCALE};
use super::guard::Guard;
use super::ledger::{Kind, Share};
use super::tree::{SurfaceKey, TreeError};

/// How many rectangles of damage a surface may collect before a commit. With more, all of it is damaged, as compositors do when
/// they have too many.
const MAX_DAMAGE: u32 = 1024;

/// How many rectangles a region may be made of. Shaped windows have some thousands at most.
const MAX_REGION_RECTANGLES: u32 = 4096;

/// Error codes, from wayland.xml and viewporter.xml.
mod code {
    pub const SURFACE_INVALID_SCALE: u32 = 0;
    pub const SURFACE_INVALID_OFFSET: u32 = 3;
    pub const SUBCOMPOSITOR_BAD_SURFACE: u32 = 0;
    pub const SUBCOMPOSITOR_BAD_PARENT: u32 = 1;
    pub const VIEWPORT_BAD_VALUE: u32 = 0;
}

pub(super) struct Compositor(pub Rc<Guard>);

impl WlCompositorHandler for Compositor {
    fn handle_create_surface(&mut self, slf: &Rc<WlCompositor>, id: &Rc<WlSurface>) {
        let Some(share) = self.0.take(Kind::Surfaces, 1) else { return };
        id.set_handler(Surface { guard: Rc::clone(&self.0), share: Some(share), damage: 0 });
        slf.send_create_surface(id);
    }

    fn handle_create_region(&mut self, slf: &Rc<WlCompositor>, id: &Rc<WlRegion>) {
        id.set_handler(Region { guard: Rc::clone(&self.0), rectangles: 0, share: None });
        slf.send_create_region(id);
    }
}

struct Surface {
    guard: Rc<Guard>,
    share: Option<Share>,
    /// Rectangles since the last commit.
    damage: u32,
}

impl Surface {
    /// What of a rectangle of damage goes on: itself, all there is, or nothing, where that has gone on already.
    fn damage(&mut self, [x, y, width, height]: [i32; 4]) -> Option<(i32, i32, i32, i32)> {
        let area = geometry::clamp_area(x, y, width, height)?;
        self.damage = self.damage.saturating_add(1);
        match self.damage.cmp(&MAX_DAMAGE) {
            Ordering::Less => Some(area),
            Ordering::Equal => geometry::clamp_area(0, 0, i32::MAX, i32::MAX),
            Ordering::Greater => None,
        }
    }
}

impl WlSurfaceHandler for Surface {
    fn handle_commit(&mut self, slf: &Rc<WlSurface>) {
        self.damage = 0;
        slf.send_commit();
    }

    fn handle_destroy(&mut self, slf: &Rc<WlSurface>) {
        self.share = None;
        self.guard.tree().borrow_mut().remove(slf.unique_id());
        slf.send_destroy();
    }

    fn handle_attach(&mut self, slf: &Rc<WlSurface>, buffer: Option<&Rc<WlBuffer>>, x: i32, y: i32) {
        match geometry::offset("an attach offset", x, y) {
            Ok(()) => slf.send_attach(buffer, x, y),
            Err(error) => self.guard.refuse(slf, code::SURFACE_INVALID_OFFSET, &error),
        }
    }

    fn handle_offset(&mut self, slf: &Rc<WlSurface>, x: i32, y: i32) {
        match geometry::offset("a buffer offset", x, y) {
            Ok(()) => slf.send_offset(x, y),
            Err(error) => self.guard.refuse(slf, code::SURFACE_INVALID_OFFSET, &error),
        }
    }

    fn handle_damage(&mut self, slf: &Rc<WlSurface>, x: i32, y: i32, width: i32, height: i32) {
        if let Some((x, y, width, height)) = self.damage([x, y, width, height]) {
            slf.send_damage(x, y, width, height);
        }
    }

    fn handle_damage_buffer(&mut self, slf: &Rc<WlSurface>, x: i32, y: i32, width: i32, height: i32) {
        if let Some((x, y, width, height)) = self.damage([x, y, width, height]) {
            slf.send_damage_buffer(x, y, width, height);
        }
    }

    fn handle_set_buffer_scale(&mut self, slf: &Rc<WlSurface>, scale: i32) {
        if (1..=MAX_SCALE).contains(&scale) {
            slf.send_set_buffer_scale(scale);
            return;
        }
        let text = format_args!("a buffer scale of {scale} is outside of 1 to {MAX_SCALE}");
        self.guard.refuse(slf, code::SURFACE_INVALID_SCALE, &text);
    }
}

struct Region {
    guard: Rc<Guard>,
    rectangles: u32,
    share: Option<Share>,
}

impl Region {
    /// Counts a rectangle; false if the region has too many.
    fn count(&mut self, slf: &Rc<WlRegion>) -> bool {
        self.rectangles = self.rectangles.saturating_add(1);
        if self.rectangles <= MAX_REGION_RECTANGLES {
            let Some(share) = self.guard.take(Kind::Rectangles, 1) else { return false };
            Share::collect(&mut self.share, share);
            return true;
        }
        let text = format_args!("a region may have {MAX_REGION_RECTANGLES} rectangles");
        self.guard.refuse(slf, WlDisplayError::NO_MEMORY.0, &text);
        false
    }
}

impl WlRegionHandler for Region {
    fn handle_destroy(&mut self, slf: &Rc<WlRegion>) {
        self.share = None;
        slf.send_destroy();
    }

    fn handle_add(&mut self, slf: &Rc<WlRegion>, x: i32, y: i32, width: i32, height: i32) {
        let Some((x, y, width, height)) = geometry::clamp_area(x, y, width, height) else { return };
        if self.count(slf) {
            slf.send_add(x, y, width, height);
        }
    }

    fn handle_subtract(&mut self, slf: &Rc<WlRegion>, x: i32, y: i32, width: i32, height: i32) {
        let Some((x, y, width, height)) = geometry::clamp_area(x, y, width, height) else { return };
        if self.count(slf) {
            slf.send_subtract(x, y, width, height);
        }
    }
}

pub(super) struct Subcompositor(pub Rc<Guard>);

impl WlSubcompositorHandler for Subcompositor {
    fn handle_get_subsurface(
        &mut self,
        slf: &Rc<WlSubcompositor>,
        id: &Rc<WlSubsurface>,
        surface: &Rc<WlSurface>,
        parent: &Rc<WlSurface>,
    ) {
        let (child, above) = (surface.unique_id(), parent.unique_id());
        let max_depth =
            if Switch::Depth.holds() { self.0.ledger().limits().subsurface_depth } else { u32::MAX };
        let attached = self.0.tree().borrow_mut().attach(child, above, max_depth);
        match attached {
            Ok(()) => {
                id.set_handler(Subsurface { guard: Rc::clone(&self.0), surface: Some(child) });
                slf.send_get_subsurface(id, surface, parent);
            }
            Err(error) => {
                let code = match error {
                    TreeError::HasParent => code::SUBCOMPOSITOR_BAD_SURFACE,
                    TreeError::Circle | TreeError::TooDeep(_) => code::SUBCOMPOSITOR_BAD_PARENT,
                };
                self.0.refuse(slf, code, &error);
            }
        }
    }
}

struct Subsurface {
    guard: Rc<Guard>,
    surface: Option<SurfaceKey>,
}

impl WlSubsurfaceHandler for Subsurface {
    fn handle_destroy(&mut self, slf: &Rc<WlSubsurface>) {
        if let Some(surface) = self.surface.take() {
            self.guard.tree().borrow_mut().detach(surface);
        }
        slf.send_destroy();
    }

    fn handle_set_position(&mut self, slf: &Rc<WlSubsurface>, x: i32, y: i32) {
        match geometry::offset("a subsurface position", x, y) {
            Ok(()) => slf.send_set_position(x, y),
            // wl_subsurface has no error for it.
            Err(error) => self.guard.refuse(slf, WlDisplayError::INVALID_METHOD.0, &error),
        }
    }
}

pub(super) struct Viewporter(pub Rc<Guard>);

impl WpViewporterHandler for Viewporter {
    fn handle_get_viewport(&mut self, slf: &Rc<WpViewporter>, id: &Rc<WpViewport>, surface: &Rc<WlSurface>) {
        id.set_handler(Viewport(Rc::clone(&self.0)));
        slf.send_get_viewport(id, surface);
    }
}

struct Viewport(Rc<Guard>);

impl WpViewportHandler for Viewport {
    fn handle_set_source(&mut self, slf: &Rc<WpViewport>, x: Fixed, y: Fixed, width: Fixed, height: Fixed) {
        let unset =
            [x, y, width, height].iter().all(|value| value.to_wire() == Fixed::from(-1_i16).to_wire());
        let negative = x.to_wire() < 0 || y.to_wire() < 0;
        let empty = width.to_wire() <= 0 || height.to_wire() <= 0;
        if unset || !(negative || empty) {
            slf.send_set_source(x, y, width, height);
            return;
        }
        let text = format_args!("a source of {width} by {height} at {x}, {y} is impossible");
        self.0.refuse(slf, code::VIEWPORT_BAD_VALUE, &text);
    }

    fn handle_set_destination(&mut self, slf: &Rc<WpViewport>, width: i32, height: i32) {
        let unset = (width, height) == (-1, -1);
        match geometry::size("a viewport destination", width, height) {
            Err(error) if !unset => self.0.refuse(slf, code::VIEWPORT_BAD_VALUE, &error),
            _ => slf.send_set_destination(width, height),
        }
    }
}
