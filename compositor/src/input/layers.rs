//! Surfaces of the layer shell under the pointer, and what a press on them or beside them does.
//!
//! They are hit where they are drawn, cut to their places. Where their input region leaves a hole, what is below is hit:
//! they are the user's own programs', and a notice or an overlay is made so that it can be clicked through.

use smithay::desktop::PopupManager;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Physical, Point};

use super::pointer::Under;
use crate::shell::Target;
use crate::shell::layers::LayerId;
use crate::state::{Comp, State};

impl State {
    /// The user pressed a layer surface: it has the keyboard from now on, if it takes it on demand.
    pub(super) fn press_layer(&mut self, layer: LayerId) {
        if self.comp.layers.choose(layer) {
            self.sync_focus();
        }
        self.comp.schedule.request();
    }

    /// The user pressed the bare desktop: what they had chosen to type into gives the keyboard back.
    pub(super) fn press_desktop(&mut self) {
        self.comp.layers.choose_none();
        self.comp.shell.keep_for_nobody();
        self.sync_focus();
    }

    /// Closes the menus of layer surfaces that the user did not press. They have no grab of the input that would do it.
    pub(super) fn close_menus_of_layers(&mut self, pressed: Target) {
        let others = self.comp.layers.all().filter(|layer| pressed != Target::Layer(layer.id));
        let others: Vec<WlSurface> = others.map(|layer| layer.handle.wl_surface().clone()).collect();
        for surface in others {
            self.dismiss_popups(&surface);
        }
    }
}

impl Comp {
    /// What stands at a point of the output, popups and layer surfaces included.
    pub(crate) fn target_at(&self, pixel: Point<i32, Physical>) -> Target {
        if self.shell.is_on_stripe(pixel) {
            return Target::Stripe;
        }
        if self.lock.is_locked() {
            return Target::Lock;
        }
        if let Some(layer) = self.layer_at(pixel, true) {
            return Target::Layer(layer);
        }
        if let Some(window) = self.popup_at(pixel) {
            return Target::Content(window);
        }
        match self.shell.at(pixel) {
            Target::Nothing => self.layer_at(pixel, false).map_or(Target::Nothing, Target::Layer),
            target => target,
        }
    }

    /// The layer surface at a pixel, above the windows or below them.
    fn layer_at(&self, pixel: Point<i32, Physical>, above: bool) -> Option<LayerId> {
        self.layer_hit(pixel.to_f64(), above).map(|(layer, _)| layer)
    }

    /// The surface of the layers above the windows, or below them, that a point hits. The inner `None` is the ring of a
    /// popup, and what of a popup takes no input: nothing falls through these.
    pub(super) fn layer_surface_at(&self, point: Point<f64, Physical>, above: bool) -> Option<Under> {
        self.layer_hit(point, above).map(|(_, under)| under)
    }

    fn layer_hit(&self, point: Point<f64, Physical>, above: bool) -> Option<(LayerId, Under)> {
        let pixel: Point<i32, Physical> = point.to_i32_floor();
        // Bars go with the stripe where a window has the whole output.
        let there = |output| !(above && self.shell.is_retreated(output));
        for layer in self.layers.shown_top_down(above).filter(|layer| there(layer.output)) {
            let root = layer.handle.wl_surface();
            // Most have none, and the list of them is looked at before it is made.
            if PopupManager::popups_for_surface(root).next().is_some() {
                for popup in self.popup_rects(root).iter().rev() {
                    if popup.rects.content.contains(pixel) {
                        let under = self.in_tree(popup.surface.wl_surface(), popup.rects.content, point);
                        return Some((layer.id, under));
                    }
                    if popup.rects.outer().contains(pixel) {
                        return Some((layer.id, None));
                    }
                }
            }
            if layer.place.contains(pixel)
                && let under @ Some(_) =
                    self.in_tree(root, layer.extent(self.shell.layout_on(layer.output).stripe()), point)
            {
                return Some((layer.id, under));
            }
        }
        None
    }
}
