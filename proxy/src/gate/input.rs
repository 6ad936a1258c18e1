//! Hotspots of cursors.
//!
//! Nobody is refused for them: a hotspot outside of its cursor is a mistake that costs nothing. But it is computed with, so it
//! is cut to what has a meaning. Text inputs have a file of their own (`text_input`).

use std::rc::Rc;

use wl_proxy::protocols::tablet_v2::zwp_tablet_manager_v2::{ZwpTabletManagerV2, ZwpTabletManagerV2Handler};
use wl_proxy::protocols::tablet_v2::zwp_tablet_seat_v2::{ZwpTabletSeatV2, ZwpTabletSeatV2Handler};
use wl_proxy::protocols::tablet_v2::zwp_tablet_tool_v2::{ZwpTabletToolV2, ZwpTabletToolV2Handler};
use wl_proxy::protocols::wayland::wl_pointer::{WlPointer, WlPointerHandler};
use wl_proxy::protocols::wayland::wl_seat::{WlSeat, WlSeatHandler};
use wl_proxy::protocols::wayland::wl_surface::WlSurface;

use super::geometry::clamp_offset;

pub(super) struct Seat;

impl WlSeatHandler for Seat {
    fn handle_get_pointer(&mut self, slf: &Rc<WlSeat>, id: &Rc<WlPointer>) {
        id.set_handler(Pointer);
        slf.send_get_pointer(id);
    }
}

struct Pointer;

impl WlPointerHandler for Pointer {
    fn handle_set_cursor(
        &mut self,
        slf: &Rc<WlPointer>,
        serial: u32,
        surface: Option<&Rc<WlSurface>>,
        x: i32,
        y: i32,
    ) {
        slf.send_set_cursor(serial, surface, clamp_offset(x), clamp_offset(y));
    }
}

pub(super) struct TabletManager;

impl ZwpTabletManagerV2Handler for TabletManager {
    fn handle_get_tablet_seat(
        &mut self,
        slf: &Rc<ZwpTabletManagerV2>,
        id: &Rc<ZwpTabletSeatV2>,
        seat: &Rc<WlSeat>,
    ) {
        id.set_handler(TabletSeat);
        slf.send_get_tablet_seat(id, seat);
    }
}

struct TabletSeat;

impl ZwpTabletSeatV2Handler for TabletSeat {
    fn handle_tool_added(&mut self, slf: &Rc<ZwpTabletSeatV2>, id: &Rc<ZwpTabletToolV2>) {
        id.set_handler(TabletTool);
        slf.send_tool_added(id);
    }
}

struct TabletTool;

impl ZwpTabletToolV2Handler for TabletTool {
    fn handle_set_cursor(
        &mut self,
        slf: &Rc<ZwpTabletToolV2>,
        serial: u32,
        surface: Option<&Rc<WlSurface>>,
        x: i32,
        y: i32,
    ) {
        slf.send_set_cursor(serial, surface, clamp_offset(x), clamp_offset(y));
    }
}
