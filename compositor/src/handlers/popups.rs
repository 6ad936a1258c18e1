//! Popups: placed, grabbed and dismissed by the rules of [`crate::shell::popup`].

use smithay::desktop::{
    PopupKeyboardGrab, PopupKind, PopupManager, PopupPointerGrab, PopupUngrabStrategy,
    find_popup_root_surface,
};
use smithay::input::pointer::Focus;
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_popup::XdgPopup;
use smithay::reexports::wayland_server::Resource;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Logical, Physical, Point, Rectangle, Serial, Size};
use smithay::wayland::compositor::with_states;
use smithay::wayland::shell::xdg::{
    PopupSurface, PositionerState, XdgPopupSurfaceData, XdgPopupSurfaceRoleAttributes,
};

use vitrail_protocols::Guard;

use super::geometry::window_geometry;
use super::xdg_shell::MAX_UNACKNOWLEDGED;
use crate::render::schedule::has_buffer;
use crate::shell::Layout;
use crate::shell::popup::{AreaBudget, PopupRects, constrain};
use crate::state::{Comp, State};
use crate::trust::client::{end_for_misuse, origin_of};
use crate::trust::limits::Resource as Counted;
use crate::trust::origin::Origin;

/// A popup as it is drawn and hit.
#[derive(Clone, Debug)]
pub struct PlacedPopup {
    /// The popup.
    pub surface: PopupSurface,
    /// Where it is.
    pub rects: PopupRects,
}

impl State {
    pub(crate) fn popup_created(&mut self, popup: PopupSurface, positioner: PositionerState) {
        self.comp.count(popup.xdg_popup(), Counted::Popups);
        if descends_from_itself(&popup) {
            // Smithay follows parents to their end, which must therefore exist.
            with_popup(popup.wl_surface(), |data| data.parent = None);
            if let Some(client) = popup.wl_surface().client() {
                end_for_misuse(&client, &self.comp.display, "a popup is its own ancestor");
            }
            return;
        }
        self.comp.position(&popup, positioner);
        let kind = PopupKind::Xdg(popup);
        if self.comp.popups.track_popup(kind).is_err() {
            // Its parent has gone already; it will never be shown.
            tracing::debug!("a popup without a parent");
        }
    }

    pub(crate) fn popup_repositioned(
        &mut self,
        popup: &PopupSurface,
        positioner: PositionerState,
        token: u32,
    ) {
        let waiting = with_popup(popup.wl_surface(), |data| data.pending_configures().len());
        if waiting.is_some_and(|waiting| waiting >= MAX_UNACKNOWLEDGED) {
            self.end_unacknowledging(popup.wl_surface());
            return;
        }
        self.comp.position(popup, positioner);
        popup.send_repositioned(token);
        self.comp.schedule.request();
    }

    /// The initial configure of a popup, at its first commit.
    pub(crate) fn popup_committed(&mut self, surface: &WlSurface) {
        let Some(PopupKind::Xdg(popup)) = self.comp.popups.find_popup(surface) else { return };
        if !popup.is_initial_configure_sent() {
            if self.comp.may_pop_up(&popup) {
                // Fails only for a popup that may be configured once, and this is the first time.
                let _ = popup.send_configure();
            } else {
                // Not only told: it has no place among the popups any more, whatever its client does next.
                let kind = PopupKind::Xdg(popup);
                if let Ok(root) = find_popup_root_surface(&kind) {
                    // Fails only if the window is dead, and its popups with it.
                    let _ = PopupManager::dismiss_popup(&root, &kind);
                }
            }
        } else if has_buffer(surface) && popup.ensure_configured() {
            self.enter_output_of(surface);
        }
    }

    /// Lets a popup have the input until it is dismissed, if its VM has the keyboard and the request follows
    /// the user's own input.
    pub(crate) fn popup_grabs(&mut self, popup: &PopupSurface, serial: Serial) {
        let kind = PopupKind::Xdg(popup.clone());
        let Ok(root) = find_popup_root_surface(&kind) else { return };
        let focused = self.comp.input.told_focus.as_ref().is_some_and(|(_, focused)| *focused == root);
        let recent = self.comp.input.is_recent(serial);
        if !focused && recent && self.layer_of(&root).is_some() {
            // The menu of a bar that takes no keyboard does without: the keyboard stays where the stripe says that it is,
            // and a press beside the menu closes it (`State::close_menus_of_layers`).
            return;
        }
        if !focused || !recent {
            popup.send_popup_done();
            return;
        }
        let seat = self.comp.seat.clone();
        let Ok(mut grab) = self.comp.popups.grab_popup(root, kind, &seat, serial) else { return };
        let (Some(keyboard), Some(pointer)) = (seat.get_keyboard(), seat.get_pointer()) else { return };
        let foreign = |grabbed: bool, ours: bool, before: bool| grabbed && !ours && !before;
        let previous = grab.previous_serial().unwrap_or(serial);
        if foreign(keyboard.is_grabbed(), keyboard.has_grab(serial), keyboard.has_grab(previous)) {
            grab.ungrab(PopupUngrabStrategy::All);
            return;
        }
        keyboard.set_focus(self, grab.current_grab(), serial);
        keyboard.set_grab(self, PopupKeyboardGrab::new(&grab), serial);
        pointer.set_grab(self, PopupPointerGrab::new(&grab), serial, Focus::Keep);
    }

    /// Dismisses all popups of a window, and with them a grab of the input.
    pub(crate) fn dismiss_popups(&mut self, root: &WlSurface) {
        let popups: Vec<PopupKind> = PopupManager::popups_for_surface(root).map(|(popup, _)| popup).collect();
        for popup in popups.iter().rev() {
            // Fails only if the window is dead, and its popups with it.
            let _ = PopupManager::dismiss_popup(root, popup);
        }
        if !popups.is_empty() {
            self.comp.schedule.request();
        }
    }
}

impl Comp {
    /// Popups belong to the VM that has the keyboard. While nobody has it, everybody may show them; surfaces of the layer
    /// shell, which are the user's own, always may.
    fn may_pop_up(&self, popup: &PopupSurface) -> bool {
        let root = find_popup_root_surface(&PopupKind::Xdg(popup.clone())).ok();
        if root.is_some_and(|root| self.layers.find(|layer| *layer.handle.wl_surface() == root).is_some()) {
            return true;
        }
        let origin = origin_of(popup.wl_surface());
        self.focused_origin().is_none_or(|focused| Some(focused) == origin.as_ref())
            || !Guard::PopupFocus.holds()
    }

    /// Computes where a popup goes, by its client's wishes and within the work area.
    pub(super) fn position(&self, popup: &PopupSurface, positioner: PositionerState) {
        let root = find_popup_root_surface(&PopupKind::Xdg(popup.clone())).ok();
        let of_layer = root
            .as_ref()
            .is_some_and(|root| self.layers.find(|layer| layer.handle.wl_surface() == root).is_some());
        let output = root.and_then(|root| self.output_of(&root));
        let layout = output.map_or(self.shell.layout(), |output| self.shell.layout_on(output));
        let scale = layout.scale;
        let area = if of_layer { layout.space() } else { layout.work_area() };
        let parent = popup.get_parent_surface().and_then(|parent| self.content_of(&parent));
        let parent = parent.filter(|_| Guard::PopupPlace.holds());
        let geometry = parent.map_or_else(
            || positioner.get_geometry(),
            |parent| {
                // The work area as the parent sees it, less the ring that the popup may need.
                let target: Rectangle<f64, Logical> =
                    Rectangle::new(area.loc - parent.loc, area.size).to_f64().to_logical(scale);
                let target: Rectangle<i32, Logical> = target.to_i32_down();
                let ring = layout.metrics.popup_ring;
                let size = (target.size.w - 2 * ring, target.size.h - 2 * ring);
                let inner = Rectangle::new(
                    target.loc + Point::from((ring, ring)),
                    (size.0.max(1), size.1.max(1)).into(),
                );
                positioner.get_unconstrained_geometry(inner)
            },
        );
        popup.with_pending_state(|pending| {
            pending.geometry = geometry;
            pending.positioner = positioner;
        });
    }

    /// Whether a popup has a parent.
    pub(super) fn has_parent(&self, popup: &XdgPopup) -> bool {
        let popup = self.protocols.xdg_shell.get_popup(popup);
        popup.is_some_and(|popup| popup.get_parent_surface().is_some())
    }

    /// The content rectangle of a window, layer surface or popup, as drawn.
    pub(super) fn content_of(&self, surface: &WlSurface) -> Option<Rectangle<i32, Physical>> {
        if let Some(layer) = self.layers.find(|layer| layer.handle.wl_surface() == surface) {
            return Some(layer.extent(self.shell.layout_on(layer.output).stripe()));
        }
        if let Some(window) = self.shell.find(|window| window.handle.wl_surface() == surface) {
            return Some(self.shell.content(window));
        }
        let popup = self.popups.find_popup(surface)?;
        let root = find_popup_root_surface(&popup).ok()?;
        let placed = self.popup_rects(&root);
        placed
            .into_iter()
            .find(|other| other.surface.wl_surface() == surface)
            .map(|other| other.rects.content)
    }

    /// The mapped popups of a window or layer surface, parents before their children, with the places where they are drawn.
    /// Those that would take their VM over its share of the output are left out.
    #[must_use]
    pub fn popup_rects(&self, root: &WlSurface) -> Vec<PlacedPopup> {
        if PopupManager::popups_for_surface(root).next().is_none() {
            return Vec::new();
        }
        if let Some(layer) = self.layers.find(|layer| layer.handle.wl_surface() == root) {
            let layout = self.shell.layout_on(layer.output);
            let (space, extent) = (layout.space(), layer.extent(layout.stripe()));
            return self.place_popups(root, extent, layout, space, &mut AreaBudget::new(space));
        }
        let Some(window) = self.shell.find(|window| window.handle.wl_surface() == root) else {
            return Vec::new();
        };
        let layout = self.shell.layout_of(window);
        let area = layout.work_area();
        let mut budget = AreaBudget::new(area);
        // The budget is the VM's on this output, and windows further up have the first call on it.
        for other in self.shell.shown_top_down() {
            if other.id == window.id {
                break;
            }
            if other.origin == window.origin && other.output == window.output {
                let surface = other.handle.wl_surface();
                self.place_popups(surface, self.shell.content(other), layout, area, &mut budget);
            }
        }
        self.place_popups(root, self.shell.content(window), layout, area, &mut budget)
    }

    fn place_popups(
        &self,
        root: &WlSurface,
        content: Rectangle<i32, Physical>,
        layout: &Layout,
        area: Rectangle<i32, Physical>,
        budget: &mut AreaBudget,
    ) -> Vec<PlacedPopup> {
        let scale = layout.scale;
        let ring = layout.metrics.scaled(scale).popup_ring;
        let mut placed: Vec<PlacedPopup> = Vec::new();
        let mut waiting: Vec<PopupSurface> = PopupManager::popups_for_surface(root)
            .filter_map(|(kind, _)| match kind {
                PopupKind::Xdg(popup) => Some(popup),
                PopupKind::InputMethod(_) => None,
            })
            // A surface keeps its content when it becomes another popup, which must be configured first.
            .filter(|popup| with_popup(popup.wl_surface(), |data| data.configured) == Some(true))
            .filter(|popup| has_buffer(popup.wl_surface()))
            .collect();
        // Each round places the popups whose parents are placed, until none is left that has one.
        loop {
            let before = waiting.len();
            waiting.retain(|popup| {
                let parent = popup.get_parent_surface();
                let parent = parent.and_then(|parent| {
                    let popup = placed.iter().find(|other| *other.surface.wl_surface() == parent);
                    let of_popup = popup.map(|other| other.rects.content);
                    of_popup.or_else(|| (parent == *root).then_some(content))
                });
                let Some(parent) = parent else { return true };
                let rects = constrain(wanted(popup, parent, scale), parent, area, ring);
                if budget.take(&rects) {
                    placed.push(PlacedPopup { surface: popup.clone(), rects });
                }
                false
            });
            if waiting.len() == before {
                return placed;
            }
        }
    }

    /// Whose popups are on the screen, for each window with popups.
    pub(crate) fn windows_with_popups(&self) -> Vec<(WlSurface, Origin)> {
        let surfaces = self.shell.bottom_up().map(|window| (window.handle.wl_surface(), &window.origin));
        surfaces
            .filter(|(surface, _)| PopupManager::popups_for_surface(surface).next().is_some())
            .map(|(surface, origin)| (surface.clone(), origin.clone()))
            .collect()
    }
}

/// Looks at what Smithay keeps of a popup.
fn with_popup<T>(
    surface: &WlSurface,
    look: impl FnOnce(&mut XdgPopupSurfaceRoleAttributes) -> T,
) -> Option<T> {
    with_states(surface, |states| {
        let data = states.data_map.get::<XdgPopupSurfaceData>()?;
        data.lock().ok().map(|mut data| look(&mut data))
    })
}

/// Whether following the parents of a new popup leads back to it. As each is asked when it gets its parent, all
/// others lead to an end.
fn descends_from_itself(popup: &PopupSurface) -> bool {
    let mut next = popup.get_parent_surface();
    while let Some(surface) = next {
        if surface == *popup.wl_surface() {
            return true;
        }
        next = with_popup(&surface, |data| data.parent.clone()).flatten();
    }
    false
}

/// Where a popup's client wants it, in the output's pixels.
fn wanted(popup: &PopupSurface, parent: Rectangle<i32, Physical>, scale: f64) -> Rectangle<i32, Physical> {
    let surface = popup.wl_surface();
    let place = with_popup(surface, |data| data.current.geometry.loc).unwrap_or_default();
    let offset: Point<i32, Physical> = place.to_f64().to_physical(scale).to_i32_round();
    let size: Size<i32, Logical> = window_geometry(surface).size;
    let size: Size<i32, Physical> = size.to_f64().to_physical(scale).to_i32_round();
    Rectangle::new(parent.loc + offset, size)
}
