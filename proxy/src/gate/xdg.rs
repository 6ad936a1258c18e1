//! Windows and popups: counted, and with geometry that exists.

use std::fmt::Display;
use std::rc::Rc;

use wl_proxy::protocols::wayland::wl_seat::WlSeat;
use wl_proxy::protocols::wayland::wl_surface::WlSurface;
use wl_proxy::protocols::xdg_shell::xdg_popup::{XdgPopup, XdgPopupHandler};
use wl_proxy::protocols::xdg_shell::xdg_positioner::{XdgPositioner, XdgPositionerHandler};
use wl_proxy::protocols::xdg_shell::xdg_surface::{XdgSurface, XdgSurfaceHandler};
use wl_proxy::protocols::xdg_shell::xdg_toplevel::{XdgToplevel, XdgToplevelHandler};
use wl_proxy::protocols::xdg_shell::xdg_wm_base::{XdgWmBase, XdgWmBaseHandler};

use super::geometry::{self, OutOfRange};
use super::guard::Guard;
use super::ledger::{Kind, Share};

/// Error codes, from xdg-shell.xml.
mod code {
    pub const SURFACE_INVALID_SIZE: u32 = 5;
    pub const TOPLEVEL_INVALID_SIZE: u32 = 2;
    pub const POSITIONER_INVALID_INPUT: u32 = 0;
}

pub(super) struct WmBase(pub Rc<Guard>);

impl XdgWmBaseHandler for WmBase {
    fn handle_create_positioner(&mut self, slf: &Rc<XdgWmBase>, id: &Rc<XdgPositioner>) {
        id.set_handler(Positioner(Rc::clone(&self.0)));
        slf.send_create_positioner(id);
    }

    fn handle_get_xdg_surface(&mut self, slf: &Rc<XdgWmBase>, id: &Rc<XdgSurface>, surface: &Rc<WlSurface>) {
        id.set_handler(Surface(Rc::clone(&self.0)));
        slf.send_get_xdg_surface(id, surface);
    }
}

struct Surface(Rc<Guard>);

impl XdgSurfaceHandler for Surface {
    fn handle_get_toplevel(&mut self, slf: &Rc<XdgSurface>, id: &Rc<XdgToplevel>) {
        let Some(share) = self.0.take(Kind::Toplevels, 1) else { return };
        id.set_handler(Toplevel { guard: Rc::clone(&self.0), share: Some(share) });
        slf.send_get_toplevel(id);
    }

    fn handle_get_popup(
        &mut self,
        slf: &Rc<XdgSurface>,
        id: &Rc<XdgPopup>,
        parent: Option<&Rc<XdgSurface>>,
        positioner: &Rc<XdgPositioner>,
    ) {
        let Some(share) = self.0.take(Kind::Popups, 1) else { return };
        id.set_handler(Popup(Some(share)));
        slf.send_get_popup(id, parent, positioner);
    }

    fn handle_set_window_geometry(&mut self, slf: &Rc<XdgSurface>, x: i32, y: i32, width: i32, height: i32) {
        let checked = geometry::size("a window geometry", width, height)
            .and_then(|()| geometry::offset("a window geometry's position", x, y));
        match checked {
            Ok(()) => slf.send_set_window_geometry(x, y, width, height),
            Err(error) => self.0.refuse(slf, code::SURFACE_INVALID_SIZE, &error),
        }
    }
}

struct Toplevel {
    guard: Rc<Guard>,
    share: Option<Share>,
}

impl Toplevel {
    fn refuse(&self, slf: &Rc<XdgToplevel>, text: &dyn Display) {
        self.guard.refuse(slf, code::TOPLEVEL_INVALID_SIZE, text);
    }
}

impl XdgToplevelHandler for Toplevel {
    fn handle_destroy(&mut self, slf: &Rc<XdgToplevel>) {
        self.share = None;
        slf.send_destroy();
    }

    fn handle_show_window_menu(
        &mut self,
        slf: &Rc<XdgToplevel>,
        seat: &Rc<WlSeat>,
        serial: u32,
        x: i32,
        y: i32,
    ) {
        slf.send_show_window_menu(seat, serial, geometry::clamp_offset(x), geometry::clamp_offset(y));
    }

    fn handle_set_max_size(&mut self, slf: &Rc<XdgToplevel>, width: i32, height: i32) {
        match geometry::optional_size("a maximum size", width, height) {
            Ok(()) => slf.send_set_max_size(width, height),
            Err(error) => self.refuse(slf, &error),
        }
    }

    fn handle_set_min_size(&mut self, slf: &Rc<XdgToplevel>, width: i32, height: i32) {
        match geometry::optional_size("a minimum size", width, height) {
            Ok(()) => slf.send_set_min_size(width, height),
            Err(error) => self.refuse(slf, &error),
        }
    }
}

struct Popup(Option<Share>);

impl XdgPopupHandler for Popup {
    fn handle_destroy(&mut self, slf: &Rc<XdgPopup>) {
        self.0 = None;
        slf.send_destroy();
    }
}

struct Positioner(Rc<Guard>);

impl Positioner {
    /// Whether a number is possible; refuses the request otherwise.
    fn accepts(&self, slf: &Rc<XdgPositioner>, checked: Result<(), OutOfRange>) -> bool {
        if let Err(error) = checked {
            self.0.refuse(slf, code::POSITIONER_INVALID_INPUT, &error);
            return false;
        }
        true
    }
}

impl XdgPositionerHandler for Positioner {
    fn handle_set_size(&mut self, slf: &Rc<XdgPositioner>, width: i32, height: i32) {
        if self.accepts(slf, geometry::size("a popup's size", width, height)) {
            slf.send_set_size(width, height);
        }
    }

    fn handle_set_anchor_rect(&mut self, slf: &Rc<XdgPositioner>, x: i32, y: i32, width: i32, height: i32) {
        // An anchor without extent is allowed: it is a point.
        let checked = geometry::optional_size("an anchor", width, height)
            .and_then(|()| geometry::offset("an anchor's position", x, y));
        if self.accepts(slf, checked) {
            slf.send_set_anchor_rect(x, y, width, height);
        }
    }

    fn handle_set_offset(&mut self, slf: &Rc<XdgPositioner>, x: i32, y: i32) {
        if self.accepts(slf, geometry::offset("a popup's offset", x, y)) {
            slf.send_set_offset(x, y);
        }
    }

    fn handle_set_parent_size(&mut self, slf: &Rc<XdgPositioner>, width: i32, height: i32) {
        if self.accepts(slf, geometry::optional_size("a parent's size", width, height)) {
            slf.send_set_parent_size(width, height);
        }
    }
}
