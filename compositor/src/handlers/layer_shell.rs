//! `zwlr_layer_shell_v1`: bars, wallpapers, launchers and notices of local programs, which [`crate::shell::layers`] arranges.
//!
//! No VM is shown the protocol, and no configuration changes that. What is told apart here is what a program asks for and
//! what its surface gets; and because places depend on each other, whatever changes one arranges all.

use smithay::reexports::wayland_protocols_wlr::layer_shell::v1::server::zwlr_layer_shell_v1::{
    self, ZwlrLayerShellV1,
};
use smithay::reexports::wayland_protocols_wlr::layer_shell::v1::server::zwlr_layer_surface_v1::{
    self, ZwlrLayerSurfaceV1,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_output::WlOutput;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource};
use smithay::utils::Serial;
use smithay::wayland::compositor::with_states;
use smithay::wayland::shell::wlr_layer::{
    Layer, LayerSurface, LayerSurfaceCachedState, LayerSurfaceConfigure, LayerSurfaceData,
    WlrLayerShellGlobalData, WlrLayerShellHandler, WlrLayerShellState, WlrLayerSurfaceUserData,
};
use smithay::wayland::shell::xdg::PopupSurface;

use super::bounds::{MAX_COORDINATE, cut};
use super::globals::delegate_global;
use super::xdg_shell::{MAX_UNACKNOWLEDGED, unacknowledged};
use crate::render::schedule::has_buffer;
use crate::shell::layers::{LayerId, Wish, told_size};
use crate::shell::scaled;
use crate::shell::window::WindowId;
use crate::state::State;
use crate::trust::client::end_for_misuse;

/// A layer surface as the protocol has it.
#[derive(Debug)]
pub struct LayerHandle {
    surface: LayerSurface,
    /// The configures that were sent and not acknowledged; at most [`MAX_UNACKNOWLEDGED`].
    waiting: Vec<Serial>,
}

impl LayerHandle {
    /// The surface.
    #[must_use]
    pub fn wl_surface(&self) -> &WlSurface {
        self.surface.wl_surface()
    }

    /// Asks the program to end it.
    pub fn send_close(&self) {
        self.surface.send_close();
    }
}

impl WlrLayerShellHandler for State {
    fn shell_state(&mut self) -> &mut WlrLayerShellState {
        &mut self.comp.protocols.layer_shell
    }

    fn new_layer_surface(
        &mut self,
        surface: LayerSurface,
        output: Option<WlOutput>,
        layer: Layer,
        _namespace: String,
    ) {
        // One that names no output is shown where the user is. The initial configure waits for the first commit, as the protocol
        // wants it.
        let named = output.as_ref().map(|output| self.comp.announced.find(output));
        let Some(output) = named.unwrap_or(Some(self.comp.shell.outputs().active().id)) else {
            // The output that it names has gone meanwhile.
            surface.send_close();
            return;
        };
        self.comp.layers.add(LayerHandle { surface, waiting: Vec::new() }, output, layer);
    }

    fn new_popup(&mut self, _parent: LayerSurface, popup: PopupSurface) {
        let positioner = popup.with_pending_state(|pending| pending.positioner);
        self.comp.position(&popup, positioner);
    }

    fn ack_configure(&mut self, surface: WlSurface, configure: LayerSurfaceConfigure) {
        let Some(id) = self.layer_of(&surface) else { return };
        if let Some(layer) = self.comp.layers.get_mut(id) {
            layer.handle.waiting.retain(|serial| *serial > configure.serial);
        }
    }

    fn layer_destroyed(&mut self, surface: LayerSurface) {
        self.layer_gone(surface.wl_surface());
    }
}

impl State {
    /// The layer surface of a surface.
    pub(crate) fn layer_of(&self, surface: &WlSurface) -> Option<LayerId> {
        self.comp.layers.find(|layer| layer.handle.wl_surface() == surface).map(|layer| layer.id)
    }

    /// Follows the program's commits: the initial configure, mapping, other wishes, unmapping.
    pub(crate) fn layer_committed(&mut self, surface: &WlSurface) {
        let Some(id) = self.layer_of(surface) else { return };
        let drawn = has_buffer(surface);
        let Some(layer) = self.comp.layers.get_mut(id) else { return };
        // A buffer before the first configure was acknowledged is an error, which this sends.
        if drawn && !layer.handle.surface.ensure_configured() {
            return;
        }
        layer.wish = wish(surface);
        let was_mapped = std::mem::replace(&mut layer.mapped, drawn);
        if was_mapped && !drawn {
            // As new: it is configured again at its next first commit.
            layer.handle.waiting.clear();
            start_anew(surface);
            self.comp.layers.let_go(id);
            self.comp.announced.leave_all(surface);
            self.dismiss_popups(surface);
        }
        if drawn && !was_mapped {
            self.enter_output_of(surface);
        }
        self.arrange_layers();
        if !drawn && !was_mapped && !is_configured(surface) {
            self.tell_layer(id, true);
        }
    }

    /// Closes the surfaces of outputs that are not in use any more.
    pub(crate) fn close_layers_without_output(&mut self) {
        let used: Vec<_> = self.comp.shell.outputs().used().map(|output| output.id).collect();
        let lost = self.comp.layers.all().filter(|layer| !used.contains(&layer.output));
        let lost: Vec<(LayerId, WlSurface)> =
            lost.map(|layer| (layer.id, layer.handle.wl_surface().clone())).collect();
        for (id, surface) in lost {
            self.dismiss_popups(&surface);
            self.comp.announced.leave_all(&surface);
            if let Some(layer) = self.comp.layers.remove(id) {
                layer.handle.send_close();
            }
        }
    }

    /// A layer surface is no more.
    pub(crate) fn layer_gone(&mut self, surface: &WlSurface) {
        let Some(id) = self.layer_of(surface) else { return };
        self.dismiss_popups(surface);
        self.comp.layers.remove(id);
        self.arrange_layers();
    }

    /// Gives all layer surfaces their places, and the windows what is left. Whoever stands elsewhere then is told.
    pub(crate) fn arrange_layers(&mut self) {
        let outputs: Vec<_> =
            self.comp.shell.outputs().used().map(|output| (output.id, output.layout)).collect();
        let mut changed = false;
        for (output, layout) in outputs {
            let left = self.comp.layers.arrange(output, layout.space(), layout.scale);
            if layout.left != Some(left) {
                self.comp.shell.set_left(output, Some(left));
                changed = true;
            }
        }
        let ids: Vec<LayerId> = self.comp.layers.all().map(|layer| layer.id).collect();
        for id in ids {
            self.tell_layer(id, false);
        }
        if changed {
            self.tell_windows();
        }
        self.sync_focus();
        self.refresh_pointer();
        self.comp.schedule.request();
    }

    /// Tells the program of a layer surface the size of its place, if it is another one, or if it is the `first` time.
    fn tell_layer(&mut self, id: LayerId, first: bool) {
        let Some(output) = self.comp.layers.get(id).map(|layer| layer.output) else { return };
        let layout = self.comp.shell.layout_on(output);
        let (scale, stripe) = (layout.scale, layout.stripe());
        let Some(layer) = self.comp.layers.get_mut(id) else { return };
        let extent = layer.extent(stripe);
        let surface = &layer.handle.surface;
        if !first && !is_configured(surface.wl_surface()) {
            return;
        }
        let (place, asked) = (extent.size, layer.wish.size);
        let exact = told_size(place, scale);
        // What was asked for and had is told as it was asked for: rounding up twice would be another size.
        let told = |asked: i32, place: i32, exact: i32| {
            if asked > 0 && scaled(asked, scale) == place { asked } else { exact }
        };
        let size = (told(asked.w, place.w, exact.w), told(asked.h, place.h, exact.h)).into();
        surface.with_pending_state(|pending| pending.size = Some(size));
        if !first && !surface.has_pending_changes() {
            return;
        }
        if layer.handle.waiting.len() >= MAX_UNACKNOWLEDGED {
            let surface = layer.handle.wl_surface().clone();
            self.end_unacknowledging(&surface);
            return;
        }
        let serial = layer.handle.surface.send_configure();
        layer.handle.waiting.push(serial);
    }

    /// Tells all windows how much room there is, and the maximised ones their new size.
    pub(crate) fn tell_windows(&self) {
        let ids: Vec<WindowId> = self.comp.shell.bottom_up().map(|window| window.id).collect();
        for id in ids {
            let Some(window) = self.comp.shell.get(id) else { continue };
            // A client that hangs is not told for ever; it is told the newest with the next that it acknowledges.
            if window.handle.is_initial_configure_sent()
                && unacknowledged(&window.handle) < MAX_UNACKNOWLEDGED
            {
                self.configure(id);
                window.handle.send_pending_configure();
            }
        }
    }
}

/// What the program of a layer surface has committed.
fn wish(surface: &WlSurface) -> Wish {
    let state =
        with_states(surface, |states| *states.cached_state.get::<LayerSurfaceCachedState>().current());
    Wish {
        layer: state.layer,
        size: state.size,
        anchor: state.anchor,
        margin: state.margin,
        zone: state.exclusive_zone,
        keyboard: state.keyboard_interactivity,
    }
}

/// Whether the initial configure was sent.
fn is_configured(surface: &WlSurface) -> bool {
    with_states(surface, |states| {
        let data = states.data_map.get::<LayerSurfaceData>();
        data.and_then(|data| data.lock().ok()).is_some_and(|data| data.initial_configure_sent)
    })
}

/// Forgets that the surface was configured.
fn start_anew(surface: &WlSurface) {
    with_states(surface, |states| {
        let data = states.data_map.get::<LayerSurfaceData>();
        if let Some(mut data) = data.and_then(|data| data.lock().ok()) {
            data.initial_configure_sent = false;
            data.configured = false;
        }
    });
}

delegate_global!(ZwlrLayerShellV1: WlrLayerShellGlobalData => WlrLayerShellState);

impl Dispatch<ZwlrLayerShellV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        shell: &ZwlrLayerShellV1,
        request: zwlr_layer_shell_v1::Request,
        data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        // Smithay does not look.
        if let zwlr_layer_shell_v1::Request::GetLayerSurface { surface, .. } = &request
            && has_buffer(surface)
        {
            let error = zwlr_layer_shell_v1::Error::AlreadyConstructed;
            shell.post_error(error, "the surface has a buffer");
            return;
        }
        <WlrLayerShellState as Dispatch<ZwlrLayerShellV1, (), Self>>::request(
            state, client, shell, request, data, display, data_init,
        );
    }
}

impl Dispatch<ZwlrLayerSurfaceV1, WlrLayerSurfaceUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        layer: &ZwlrLayerSurfaceV1,
        request: zwlr_layer_surface_v1::Request,
        data: &WlrLayerSurfaceUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use zwlr_layer_surface_v1::Request;
        let request = match request {
            Request::SetSize { width, height } => {
                if width.max(height) > MAX_COORDINATE.unsigned_abs() {
                    let error = zwlr_layer_surface_v1::Error::InvalidSize;
                    layer.post_error(error, "the size is too large");
                    return;
                }
                Request::SetSize { width, height }
            }
            Request::SetMargin { top, right, bottom, left } => {
                Request::SetMargin { top: cut(top), right: cut(right), bottom: cut(bottom), left: cut(left) }
            }
            Request::SetExclusiveZone { zone } => Request::SetExclusiveZone { zone: cut(zone) },
            Request::GetPopup { popup } if state.comp.has_parent(&popup) => {
                end_for_misuse(client, display, "a popup gets a second parent");
                return;
            }
            other => other,
        };
        <WlrLayerShellState as Dispatch<ZwlrLayerSurfaceV1, WlrLayerSurfaceUserData, Self>>::request(
            state, client, layer, request, data, display, data_init,
        );
    }

    fn destroyed(
        state: &mut Self,
        client: ClientId,
        layer: &ZwlrLayerSurfaceV1,
        data: &WlrLayerSurfaceUserData,
    ) {
        <WlrLayerShellState as Dispatch<ZwlrLayerSurfaceV1, WlrLayerSurfaceUserData, Self>>::destroyed(
            state, client, layer, data,
        );
    }
}
