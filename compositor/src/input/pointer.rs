//! The pointer: what it is over, and clicks.
//!
//! The same rectangles that are drawn decide what is hit. A window's frame belongs to the compositor: a press
//! on it never reaches a client, and neither does one anywhere on a window while the logo key is down
//! ([`super::hold`]). A press on a window gives it the focus and raises it, whichever VM it is of:
//! that is the user's hand.

use smithay::backend::input::{Axis, AxisSource, ButtonState};
use smithay::desktop::WindowSurfaceType;
use smithay::desktop::utils::under_from_surface_tree;
use smithay::input::pointer::{AxisFrame, ButtonEvent, MotionEvent, RelativeMotionEvent};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Logical, Physical, Point, Rectangle, SERIAL_COUNTER};
use vitrail_protocols::Guard;

use super::hold::Holder;
use crate::config::guest::Hover;
use crate::handlers::geometry::window_geometry;
use crate::shell::focus::Focus;
use crate::shell::outputs::OutputId;
use crate::shell::popup::PopupRects;
use crate::shell::window::WindowId;
use crate::shell::{Layout, Target};
use crate::state::{Comp, State};
use crate::trust::client::origin_of;

/// The left button's evdev code.
pub const BUTTON_LEFT: u32 = 0x110;
/// The right button's evdev code.
pub const BUTTON_RIGHT: u32 = 0x111;

/// The longest step that a device can make at once, in physical pixels.
const MAX_STEP: f64 = 65_536.0;

/// A surface under the pointer, and where its corner is in the output's logical coordinates.
pub(super) type Under = Option<(WlSurface, Point<f64, Logical>)>;

/// What is remembered of where the pointer was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pointing {
    /// Where a device that names places last was: elsewhere than the pointer while a client holds that.
    pub(super) device: Option<Point<f64, Physical>>,
    /// Where the corner of the surface was that was last told of the pointer, in the outputs' logical coordinates.
    corner: Option<Point<f64, Logical>>,
}

impl State {
    /// The pointer moved to a position in physical pixels; it is kept inside of the output there.
    pub fn input_pointer_motion(&mut self, x: f64, y: f64) {
        self.note_activity();
        let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
        let location = self.comp.inside((finite(x), finite(y)).into());
        let before = self.comp.input.pointing.device.replace(location).or(self.comp.input.pointer);
        self.move_pointer(location, before.map(|before| location - before).unwrap_or_default());
    }

    /// The pointer was pushed by so many physical pixels; it goes over edges to other outputs, and else as far as the edge.
    pub fn input_pointer_motion_by(&mut self, dx: f64, dy: f64) {
        self.note_activity();
        let sane = |value: f64| if value.is_finite() { value.clamp(-MAX_STEP, MAX_STEP) } else { 0.0 };
        let step = Point::from((sane(dx), sane(dy)));
        let location = self.comp.pushed(step);
        self.comp.input.pointing.device = None;
        self.move_pointer(location, step);
    }

    /// Moves the pointer to a place on the output, as far as a client does not hold it, and tells its client of the
    /// step that the device made.
    fn move_pointer(&mut self, wanted: Point<f64, Physical>, step: Point<f64, Physical>) {
        if self.comp.overlay_has_input() {
            // No client is to know of it; what is under the pointer is told when the overlay is gone.
            self.comp.input.pointer = Some(self.comp.constrained(wanted));
            self.comp.schedule.request();
            return;
        }
        self.pointer_moves();
        self.refresh_constraint();
        let location = self.comp.constrained(wanted);
        self.comp.input.pointer = Some(location);
        self.comp.shell.visit(OutputId::at(location.to_i32_floor()));
        self.interact_with(Holder::Pointer, location.to_i32_floor());
        self.send_step(step);
        self.comp.schedule.request();
    }

    /// A button was pressed or released. `button` is an evdev code such as [`BUTTON_LEFT`].
    pub fn input_pointer_button(&mut self, button: u32, pressed: bool) {
        self.note_activity();
        // Until it turns out that it goes to a client.
        self.note_hand(None);
        if let Some(at) =
            self.comp.input.visible_pointer().filter(|_| pressed && self.comp.overlay_has_input())
        {
            self.comp.input.kept_buttons.push(button);
            if self.comp.has_dialog() {
                self.click_in_dialog(at);
            } else {
                self.click_in_switcher(at);
            }
            return;
        }
        if pressed {
            self.end_placing();
            if !self.keep_press(button) {
                self.send_button(button, ButtonState::Pressed);
            }
            return;
        }
        let kept = &mut self.comp.input.kept_buttons;
        let before = kept.len();
        kept.retain(|other| *other != button);
        if kept.len() == before {
            // While a window is held no client is under the pointer, so the release reaches none.
            let dropped_on = self.drop_beyond(button);
            self.send_button(button, ButtonState::Released);
            if let Some(window) = dropped_on {
                self.press_window(window, false);
            }
        }
        self.release_hold(button);
        // A grab that held the pointer to one surface may have ended.
        self.send_motion();
    }

    pub(super) fn send_button(&mut self, button: u32, state: ButtonState) {
        let Some(pointer) = self.comp.seat.get_pointer() else { return };
        let pressed = state == ButtonState::Pressed;
        self.comp.input.pressed_buttons.retain(|other| *other != button);
        if pressed {
            self.comp.input.pressed_buttons.push(button);
        }
        self.note_hand(pointer.current_focus().as_ref());
        // Of a release, too: some toolkits open menus and windows at it, and show the serial of what came last.
        let serial = self.comp.input.press_serial();
        let time = self.input_time();
        pointer.button(self, &ButtonEvent { serial, time, button, state });
        pointer.frame(self);
    }

    /// The wheel turned: `dx` and `dy` in steps, positive to the right and down.
    pub fn input_pointer_axis(&mut self, dx: f64, dy: f64) {
        /// Logical pixels of one step, as toolkits expect them.
        const STEP: f64 = 15.0;
        self.note_activity();
        let Some(pointer) = self.comp.seat.get_pointer().filter(|_| !self.comp.overlay_has_input()) else {
            return;
        };
        self.note_hand(pointer.current_focus().as_ref());
        let mut frame = AxisFrame::new(self.input_time()).source(AxisSource::Wheel);
        for (axis, steps) in [(Axis::Horizontal, dx), (Axis::Vertical, dy)] {
            if steps.is_finite() && steps != 0.0 {
                let steps = steps.clamp(-100.0, 100.0);
                #[allow(clippy::cast_possible_truncation, reason = "clamped to a hundred steps")]
                let v120 = (steps * 120.0).round() as i32;
                frame = frame.value(axis, steps * STEP).v120(axis, v120);
            }
        }
        pointer.axis(self, frame);
        pointer.frame(self);
    }

    /// A touchpad or the like scrolled by logical pixels, to the right and down; `None` for an axis that it said nothing of.
    /// Nothing, after something, is where fingers left the touchpad.
    pub fn input_pointer_scroll(&mut self, source: AxisSource, by: [Option<f64>; 2]) {
        self.note_activity();
        let Some(pointer) = self.comp.seat.get_pointer().filter(|_| !self.comp.overlay_has_input()) else {
            return;
        };
        self.note_hand(pointer.current_focus().as_ref());
        let mut frame = AxisFrame::new(self.input_time()).source(source);
        for (axis, by) in [Axis::Horizontal, Axis::Vertical].into_iter().zip(by) {
            match by {
                Some(0.0) if source == AxisSource::Finger => frame = frame.stop(axis),
                Some(by) if by.is_finite() && by != 0.0 => {
                    frame = frame.value(axis, by.clamp(-MAX_STEP, MAX_STEP));
                }
                _ => {}
            }
        }
        pointer.axis(self, frame);
        pointer.frame(self);
    }

    /// Sends the pointer's position to what is under it now; also after something moved below it, which is told of the pointer's
    /// new place on it.
    pub(crate) fn refresh_pointer(&mut self) {
        if self.comp.overlay_has_input() {
            return;
        }
        let Some(pointer) = self.comp.seat.get_pointer() else { return };
        let current = pointer.current_focus();
        let under = self.comp.surface_under_pointer();
        let other = under.as_ref().map(|(surface, _)| surface) != current.as_ref();
        let moved = under.is_some_and(|(_, corner)| self.comp.input.pointing.corner != Some(corner));
        if (other || moved) && !pointer.is_grabbed() {
            self.send_motion();
        } else {
            self.refresh_constraint();
        }
    }

    pub(super) fn send_motion(&mut self) {
        self.send_step(Point::default());
    }

    /// Sends the pointer's position, and in the same frame the step that the device made. Of a locked pointer there is
    /// the step alone.
    fn send_step(&mut self, step: Point<f64, Physical>) {
        if self.comp.overlay_has_input() {
            return;
        }
        let Some(pointer) = self.comp.seat.get_pointer() else { return };
        self.refresh_constraint();
        if !self.comp.input.constraints.locks() {
            self.send_place();
        } else if step == Point::default() {
            return;
        }
        if step != Point::default() {
            // Whoever the pointer is on now gets the step, because it is what brought it there.
            let delta = step.to_logical(self.comp.layout_at_pointer().scale);
            let utime = u64::try_from(self.comp.now().as_micros()).unwrap_or(u64::MAX);
            let event = RelativeMotionEvent { delta, delta_unaccel: delta, utime };
            pointer.relative_motion(self, self.comp.surface_under_pointer(), &event);
        }
        pointer.frame(self);
        self.refresh_constraint();
    }

    /// Sends the pointer's position alone.
    fn send_place(&mut self) {
        let Some(pointer) = self.comp.seat.get_pointer() else { return };
        let Some(location) = self.comp.input.pointer else { return };
        let under = self.comp.surface_under_pointer();
        let event = MotionEvent {
            location: self.comp.logical(location),
            serial: SERIAL_COUNTER.next_serial(),
            time: self.input_time(),
        };
        self.comp.input.pointing.corner = under.as_ref().map(|(_, corner)| *corner);
        pointer.motion(self, under, &event);
    }

    /// Sends the position of a pointer that was put there, and by no device.
    pub(crate) fn send_location(&mut self) {
        if self.comp.overlay_has_input() {
            return;
        }
        let Some(pointer) = self.comp.seat.get_pointer() else { return };
        self.send_place();
        pointer.frame(self);
    }

    /// Decides whether a press is the compositor's. Gives the focus to what is pressed.
    fn keep_press(&mut self, button: u32) -> bool {
        let Some(location) = self.comp.input.visible_pointer() else { return false };
        if self.comp.selections.is_dragging() || self.comp.input.interaction.is_some() {
            return false;
        }
        let target = self.comp.target_at(location);
        let grip = self.grip(button, target);
        let workspace = (button == BUTTON_LEFT).then(|| self.comp.workspace_at(location)).flatten();
        let on_frame = matches!(target, Target::TitleBar(_) | Target::Ring(_) | Target::Button(..));
        // On the bare desktop nobody is under the pointer; a grab still wants to see the press, to end itself.
        let keep = on_frame || grip.is_some() || workspace.is_some();
        self.press_target(target, location, keep);
        if let Some(workspace) = workspace {
            self.switch_workspace(workspace);
        }
        self.comp.schedule.request();
        if keep {
            self.comp.input.kept_buttons.push(button);
            if let Some(focused) = self.comp.input.told_focus.clone() {
                self.dismiss_popups(&focused.1);
            }
            if let Some(grip) = grip {
                self.take_hold(Holder::Pointer, grip, location);
            }
        } else {
            self.send_motion();
        }
        keep
    }

    /// Gives the focus to what the user pressed. `kept` is whether the press is the compositor's.
    pub(super) fn press_target(&mut self, target: Target, pixel: Point<i32, Physical>, kept: bool) {
        self.close_menus_of_layers(target);
        match target {
            Target::Content(window) => {
                let content = !kept && !self.comp.on_method_popup(pixel);
                self.press_window(window, content);
            }
            Target::TitleBar(window) | Target::Ring(window) | Target::Button(window, _) => {
                self.press_window(window, false);
            }
            Target::Layer(layer) => self.press_layer(layer),
            Target::Nothing => self.press_desktop(),
            Target::Stripe | Target::Lock => {}
        }
    }

    /// Gives the focus to a window that the user pressed, and raises it. `content` is whether it was a click into what the
    /// client shows: neither on its frame, nor to hold it, nor on a popup of the input method.
    pub(crate) fn press_window(&mut self, window: WindowId, content: bool) {
        self.comp.layers.choose_none();
        let focused =
            self.comp.input.told_focus.as_ref().is_some_and(|(told, _)| *told == Focus::Window(window));
        self.comp.shell.activate(window);
        if !focused {
            self.sync_focus();
        }
        if content && let Some(origin) = self.comp.shell.get(window).map(|window| window.origin.clone()) {
            self.allow_input(&origin);
        }
        self.comp.schedule.request();
    }
}

impl Comp {
    /// The workspace whose name is at a point of the stripe. A locked session shows none.
    pub(super) fn workspace_at(&self, point: Point<i32, Physical>) -> Option<usize> {
        let reachable = !self.lock.is_locked() && self.shell.is_on_stripe(point);
        reachable.then(|| self.decor.workspace_at(point)).flatten()
    }

    /// The place that is nearest to a point, on the output that the point is on, or where the user is if that is not in use.
    pub(crate) fn inside(&self, point: Point<f64, Physical>) -> Point<f64, Physical> {
        let outputs = self.shell.outputs();
        let there = outputs.get(OutputId::at(point.to_i32_floor())).filter(|output| output.in_use);
        there.unwrap_or(outputs.active()).layout.nearest(point)
    }

    /// The geometry of the output that the pointer is on.
    pub(crate) fn layout_at_pointer(&self) -> &Layout {
        let pixel = self.input.visible_pointer();
        pixel.map_or(self.shell.layout(), |pixel| self.shell.layout_at(pixel))
    }

    /// A place as clients and users speak of it.
    pub(crate) fn logical(&self, place: Point<f64, Physical>) -> Point<f64, Logical> {
        self.shell.layout_at(place.to_i32_floor()).to_logical(place)
    }

    /// Where a push brings the pointer: over an edge to the output that stands there, and no further than an edge where none
    /// does. A client that confines the pointer confines it to one output.
    fn pushed(&self, step: Point<f64, Physical>) -> Point<f64, Physical> {
        let from = self.input.pointer.unwrap_or(self.shell.layout().origin.to_f64());
        let (here, to) = (self.layout_at_pointer(), from + step);
        if here.whole().to_f64().contains(to) || self.input.constraints.is_active() {
            return here.nearest(to);
        }
        match self.shell.outputs().over(here.to_logical(to)) {
            Some(there) => there.layout.nearest(there.layout.to_physical(here.to_logical(to))),
            None => here.nearest(to),
        }
    }

    /// Whether a popup holds the input.
    pub(crate) fn popup_grab_active(&self) -> bool {
        let keyboard = self.seat.get_keyboard();
        keyboard.is_some_and(|keyboard| keyboard.is_grabbed())
    }

    /// Whether the pointer is on a surface of what has the keyboard.
    pub(crate) fn pointer_is_over_focus(&self) -> bool {
        let told = self.input.told_focus.as_ref().map(|(focus, _)| *focus);
        match self.input.visible_pointer().map(|pixel| self.target_at(pixel)) {
            Some(Target::Content(id)) => told == Some(Focus::Window(id)),
            Some(Target::Layer(id)) => told == Some(Focus::Layer(id)),
            Some(Target::Lock) => told == Some(Focus::Lock),
            _ => false,
        }
    }

    /// The window whose popup is at a point, if no other window covers the popup there.
    pub(super) fn popup_at(&self, point: Point<i32, Physical>) -> Option<WindowId> {
        if self.shell.is_on_stripe(point) {
            return None;
        }
        let focused = self.focused_window().map(|window| window.id);
        for window in self.shell.shown_top_down() {
            if focused == Some(window.id) && self.on_method_popup(point) {
                return Some(window.id);
            }
            if self.shell.frame(window).tab.contains(point) {
                return None;
            }
            let popups = self.popup_rects(window.handle.wl_surface());
            if popups.iter().any(|popup| popup.rects.outer().contains(point)) {
                return Some(window.id);
            }
            if self.shell.frame(window).outer.contains(point) {
                return None;
            }
        }
        None
    }

    /// The surface that gets pointer events now.
    fn surface_under_pointer(&self) -> Under {
        if self.input.interaction.is_some() {
            return None;
        }
        let under = self.hovered(self.input.pointer?);
        under.filter(|(surface, _)| self.selections.drag_allows(origin_of(surface).as_ref()))
    }

    /// The surface at a point of the output whose client is told of what is there but not pressed.
    pub(super) fn hovered(&self, point: Point<f64, Physical>) -> Under {
        self.surface_at(point).filter(|(surface, _)| {
            let Some(origin) = origin_of(surface) else { return false };
            let always = self.config.current().input_rules(&origin).hover == Hover::Always;
            always || self.selections.is_dragging() || self.focused_origin() == Some(&origin)
        })
    }

    /// The surface at a point of the output. What is inside a content rectangle or a ring and hits no surface
    /// hits nothing: holes do not fall through to what is below.
    pub(super) fn surface_at(&self, point: Point<f64, Physical>) -> Under {
        let pixel: Point<i32, Physical> = point.to_i32_floor();
        let layout = self.shell.layout_at(pixel);
        if self.shell.is_on_stripe(pixel) {
            return None;
        }
        if self.lock.is_locked() {
            return self
                .shown_lock_on(OutputId::at(pixel))
                .and_then(|surface| self.in_tree(surface, layout.space(), point));
        }
        let focused = self.focused_window().map(|window| window.id);
        if let Some(under) = self.layer_surface_at(point, true) {
            return under;
        }
        for window in self.shell.shown_top_down() {
            let root = window.handle.wl_surface();
            // It shields what is below and gets nothing.
            let hit = |surface: &WlSurface, content| {
                if self.is_paused(&window.origin) { None } else { self.in_tree(surface, content, point) }
            };
            let frame = self.shell.frame(window);
            if frame.tab.contains(pixel) {
                return None;
            }
            let popups = self.popup_rects(root).into_iter();
            let mut popups: Vec<(WlSurface, PopupRects)> =
                popups.map(|popup| (popup.surface.wl_surface().clone(), popup.rects)).collect();
            if focused == Some(window.id) {
                popups.extend(self.method_popups().into_iter().map(|popup| (popup.surface, popup.rects)));
            }
            for (surface, rects) in popups.iter().rev() {
                if rects.content.contains(pixel) {
                    return hit(surface, rects.content);
                }
                if rects.outer().contains(pixel) {
                    return None;
                }
            }
            if frame.shows_content_at(pixel) {
                let under = hit(root, frame.content);
                if under.is_some() || Guard::Holes.holds() {
                    return under;
                }
                continue;
            }
            if frame.outer.contains(pixel) {
                return None;
            }
        }
        self.layer_surface_at(point, false).flatten()
    }

    pub(super) fn in_tree(
        &self,
        root: &WlSurface,
        content: Rectangle<i32, Physical>,
        point: Point<f64, Physical>,
    ) -> Under {
        let layout = self.shell.layout_at(point.to_i32_floor());
        let geometry = window_geometry(root).loc.to_f64();
        let corner = layout.to_logical(content.loc.to_f64()) - geometry;
        let local = layout.to_logical(point) - corner;
        let (surface, offset) = under_from_surface_tree(
            root,
            local,
            (0, 0),
            WindowSurfaceType::TOPLEVEL | WindowSurfaceType::SUBSURFACE,
        )?;
        Some((surface, corner + offset.to_f64()))
    }
}
