//! `xdg_wm_base`: toplevels. Popups are in [`super::popups`].

use smithay::reexports::wayland_protocols::xdg::decoration::zv1::server::zxdg_toplevel_decoration_v1::Mode as Decoration;
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_toplevel::{
    ResizeEdge, State as ToplevelFlag, WmCapabilities, XdgToplevel,
};
use smithay::reexports::wayland_server::Resource;
use smithay::reexports::wayland_server::protocol::wl_output::WlOutput;
use smithay::reexports::wayland_server::protocol::wl_seat::WlSeat;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::Serial;
use smithay::wayland::compositor::with_states;
use smithay::wayland::shell::xdg::{
    PopupSurface, PositionerState, ToplevelSurface, XdgShellHandler, XdgShellState, XdgToplevelSurfaceData,
};

use super::geometry::window_geometry;
use super::toplevel_icon;
use crate::input::hold::Edges;
use crate::render::schedule::has_buffer;
use crate::shell::window::{Mode, Window, WindowId};
use crate::state::State;
use crate::trust::client::{end_for_misuse, origin_of};
use crate::trust::limits::Resource as Counted;

/// What the compositor offers to do for toplevels.
pub const CAPABILITIES: [WmCapabilities; 3] =
    [WmCapabilities::Fullscreen, WmCapabilities::Maximize, WmCapabilities::Minimize];

/// The longest title and application id that are kept, in bytes; the label shows far less.
const MAX_TEXT: usize = 1024;

/// Configures that a client may leave without an answer; they are kept until it acknowledges a later one.
pub(crate) const MAX_UNACKNOWLEDGED: usize = 512;

impl XdgShellHandler for State {
    fn xdg_shell_state(&mut self) -> &mut XdgShellState {
        &mut self.comp.protocols.xdg_shell
    }

    fn new_toplevel(&mut self, toplevel: ToplevelSurface) {
        self.comp.count(toplevel.xdg_toplevel(), Counted::Toplevels);
        let Some(origin) = origin_of(toplevel.wl_surface()) else { return };
        // The initial configure waits for the first commit, as the protocol wants it.
        self.comp.shell.add(toplevel, origin);
    }

    fn toplevel_destroyed(&mut self, toplevel: ToplevelSurface) {
        toplevel_icon::take_next(toplevel.wl_surface());
        self.exported_surface_gone(toplevel.wl_surface());
        let Some(id) = self.window_of(toplevel.wl_surface()) else { return };
        self.keep_last_picture(id);
        self.forget_interaction(id);
        self.list_unmapped(id);
        if let Some(window) = self.comp.shell.remove(id) {
            self.comp.shell.settle_focus(&window.origin);
        }
        self.comp.decor.forget_window(id);
        self.sync_focus();
        self.refresh_pointer();
        self.comp.schedule.request();
    }

    fn new_popup(&mut self, popup: PopupSurface, positioner: PositionerState) {
        self.popup_created(popup, positioner);
    }

    fn popup_destroyed(&mut self, _popup: PopupSurface) {
        // While its surface is still there, so that the client is told that the pointer leaves it.
        self.refresh_pointer();
        self.comp.schedule.request();
    }

    fn grab(&mut self, popup: PopupSurface, _seat: WlSeat, serial: Serial) {
        self.popup_grabs(&popup, serial);
    }

    fn reposition_request(&mut self, popup: PopupSurface, positioner: PositionerState, token: u32) {
        self.popup_repositioned(&popup, positioner, token);
    }

    fn move_request(&mut self, toplevel: ToplevelSurface, _seat: WlSeat, serial: Serial) {
        if let Some(id) = self.window_of(toplevel.wl_surface()) {
            self.client_moves(id, toplevel.wl_surface(), serial);
        }
    }

    fn resize_request(
        &mut self,
        toplevel: ToplevelSurface,
        _seat: WlSeat,
        serial: Serial,
        edges: ResizeEdge,
    ) {
        let edges = match edges {
            ResizeEdge::Top => Edges { top: true, ..Edges::default() },
            ResizeEdge::Bottom => Edges { bottom: true, ..Edges::default() },
            ResizeEdge::Left => Edges { left: true, ..Edges::default() },
            ResizeEdge::Right => Edges { right: true, ..Edges::default() },
            ResizeEdge::TopLeft => Edges { top: true, left: true, ..Edges::default() },
            ResizeEdge::TopRight => Edges { top: true, right: true, ..Edges::default() },
            ResizeEdge::BottomLeft => Edges { bottom: true, left: true, ..Edges::default() },
            ResizeEdge::BottomRight => Edges { bottom: true, right: true, ..Edges::default() },
            _ => return,
        };
        if let Some(id) = self.window_of(toplevel.wl_surface()) {
            self.client_resizes(id, toplevel.wl_surface(), serial, edges);
        }
    }

    fn maximize_request(&mut self, toplevel: ToplevelSurface) {
        self.set_mode(&toplevel, Mode::Maximized);
    }

    fn unmaximize_request(&mut self, toplevel: ToplevelSurface) {
        self.set_mode(&toplevel, Mode::Floating);
    }

    fn fullscreen_request(&mut self, toplevel: ToplevelSurface, _output: Option<WlOutput>) {
        self.set_mode(&toplevel, Mode::Fullscreen);
    }

    fn unfullscreen_request(&mut self, toplevel: ToplevelSurface) {
        self.set_mode(&toplevel, Mode::Floating);
    }

    fn minimize_request(&mut self, toplevel: ToplevelSurface) {
        let Some(id) = self.window_of(toplevel.wl_surface()) else { return };
        self.minimize(id);
    }

    fn parent_changed(&mut self, toplevel: ToplevelSurface) {
        self.follow_parent(&toplevel);
    }

    fn app_id_changed(&mut self, toplevel: ToplevelSurface) {
        self.texts_changed(&toplevel);
    }

    fn title_changed(&mut self, toplevel: ToplevelSurface) {
        self.texts_changed(&toplevel);
    }
}

impl State {
    /// Shows a window again that was taken off the screen.
    pub(crate) fn restore(&mut self, id: WindowId) {
        self.comp.shell.restore(id);
        self.sync_focus();
        self.refresh_pointer();
        self.comp.schedule.request();
    }

    /// The window of a toplevel's surface.
    pub(crate) fn window_of(&self, surface: &WlSurface) -> Option<WindowId> {
        self.comp.shell.find(|window| window.handle.wl_surface() == surface).map(|window| window.id)
    }

    /// The window of a toplevel, to be changed.
    pub(crate) fn window_of_toplevel(
        &mut self,
        toplevel: &XdgToplevel,
    ) -> Option<&mut Window<ToplevelSurface>> {
        let id = self
            .comp
            .shell
            .find(|window| window.handle.xdg_toplevel() == toplevel)
            .map(|window| window.id)?;
        self.comp.shell.get_mut(id)
    }

    /// Follows the client's commits: the initial configure, mapping, resizing, unmapping.
    pub(crate) fn window_committed(&mut self, surface: &WlSurface) {
        let Some(id) = self.window_of(surface) else { return };
        let Some(window) = self.comp.shell.get(id) else { return };
        let toplevel = window.handle.clone();
        let mapped = window.mapped;
        let drawn = has_buffer(surface);
        self.icon_committed(surface);
        self.comp.captures.touch_window(id);
        if !drawn {
            if mapped {
                self.unmap(id);
                toplevel.reset_initial_configure_sent();
            } else if !toplevel.is_initial_configure_sent() {
                self.recall_place(id);
                self.configure(id);
                toplevel.send_configure();
            }
            return;
        }
        // A buffer before the first configure was acknowledged is an error, which this sends.
        if !toplevel.ensure_configured() {
            return;
        }
        let size = window_geometry(surface).size;
        if !mapped {
            let pointer = self.comp.input.visible_pointer();
            self.comp.shell.show(id, size, pointer);
            self.enter_output_of(surface);
            self.list_mapped(id);
            self.sync_focus();
            // Configured a second time even if nothing changed: clients wait for it after they are mapped.
            toplevel.send_configure();
        } else {
            self.follow_resize(id, size);
        }
    }

    fn unmap(&mut self, id: WindowId) {
        let Some(window) = self.comp.shell.get(id) else { return };
        let origin = window.origin.clone();
        self.comp.announced.leave_all(window.handle.wl_surface());
        self.list_unmapped(id);
        self.forget_interaction(id);
        self.comp.shell.hide(id);
        self.comp.shell.settle_focus(&origin);
        self.sync_focus();
    }

    /// Lays a window out another way. Maximised and fullscreen are the same place: the work area.
    fn set_mode(&mut self, toplevel: &ToplevelSurface, mode: Mode) {
        let Some(id) = self.window_of(toplevel.wl_surface()) else { return };
        if mode != Mode::Fullscreen || self.comp.may_fullscreen(id) {
            self.forget_interaction(id);
            self.comp.shell.set_mode(id, mode);
        }
        self.configure(id);
        // Every request is answered, but not before the initial configure.
        if toplevel.is_initial_configure_sent() {
            self.answer(toplevel);
        }
        self.refresh_pointer();
        self.comp.schedule.request();
    }

    /// Answers a request with a configure, as long as the client acknowledges them.
    pub(crate) fn answer(&self, toplevel: &ToplevelSurface) {
        if unacknowledged(toplevel) < MAX_UNACKNOWLEDGED {
            toplevel.send_configure();
        } else {
            self.end_unacknowledging(toplevel.wl_surface());
        }
    }

    /// Ends a client that asks for ever new configures.
    pub(crate) fn end_unacknowledging(&self, surface: &WlSurface) {
        if let Some(client) = surface.client() {
            end_for_misuse(&client, &self.comp.display, "too many configures are not acknowledged");
        }
    }

    /// Puts what the model says of a window into its next configure.
    pub(crate) fn configure(&self, id: WindowId) {
        let shell = &self.comp.shell;
        let Some(window) = shell.get(id) else { return };
        let layout = shell.layout_of(window);
        let bounds = layout.max_content_logical();
        let floating = (window.size.w > 0 && window.size.h > 0).then_some(window.size);
        let focused = self.comp.focused_window().is_some_and(|focused| focused.id == id);
        let tile = shell.tile(window);
        window.handle.with_pending_state(|pending| {
            pending.bounds = Some(bounds);
            pending.decoration_mode = Some(Decoration::ServerSide);
            pending.size = match window.mode {
                Mode::Floating => tile.map(|tile| layout.asked_of(layout.inside(tile).size)).or(floating),
                Mode::Fullscreen => Some(layout.asked_of(shell.content(window).size)),
                Mode::Maximized => Some(bounds),
                Mode::Snapped(zone) => Some(layout.asked_of(layout.zone_content(zone).size)),
            };
            let [left, right, top, bottom] = match window.mode {
                Mode::Snapped(zone) => zone.touches(),
                _ => [tile.is_some(); 4],
            };
            let flags = [
                (ToplevelFlag::Maximized, window.mode == Mode::Maximized),
                (ToplevelFlag::Fullscreen, window.mode == Mode::Fullscreen),
                (ToplevelFlag::Activated, focused),
                (ToplevelFlag::TiledLeft, left),
                (ToplevelFlag::TiledRight, right),
                (ToplevelFlag::TiledTop, top),
                (ToplevelFlag::TiledBottom, bottom),
            ];
            for (flag, set) in flags {
                if set {
                    pending.states.set(flag);
                } else {
                    pending.states.unset(flag);
                }
            }
        });
    }

    fn texts_changed(&mut self, toplevel: &ToplevelSurface) {
        let Some(id) = self.window_of(toplevel.wl_surface()) else { return };
        let (title, app_id) = with_states(toplevel.wl_surface(), |states| {
            let data = states.data_map.get::<XdgToplevelSurfaceData>();
            let data = data.and_then(|data| data.lock().ok());
            data.map(|data| (data.title.clone(), data.app_id.clone())).unwrap_or_default()
        });
        if let Some(window) = self.comp.shell.get_mut(id) {
            window.title = bounded(title.as_deref().unwrap_or_default());
            window.app_id = bounded(app_id.as_deref().unwrap_or_default());
        }
        self.comp.protocols.toplevel_lists.note_texts();
        self.comp.schedule.request();
    }
}

/// How many configures a client has not acknowledged.
pub(crate) fn unacknowledged(toplevel: &ToplevelSurface) -> usize {
    with_states(toplevel.wl_surface(), |states| {
        let data = states.data_map.get::<XdgToplevelSurfaceData>();
        data.and_then(|data| data.lock().ok()).map_or(0, |data| data.pending_configures().len())
    })
}

/// The beginning of a client's text.
pub(crate) fn bounded(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
