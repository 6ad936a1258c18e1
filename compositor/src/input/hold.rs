//! Windows in the user's hand: moved, resized, dropped at an edge, and the buttons of their frames.
//!
//! # Model
//!
//! A press on a frame takes hold of the window, and so does one anywhere on it while the logo key is down: the left button
//! moves, the right one resizes. A finger or a pen is a left button. A client that is pressed may hand its window over
//! ([`super::handing`]). Until the release the window's client is told that the pointer has left, and gets nothing. Where it is held at an edge of the output, a ring in the label's colour shows what becomes
//! of the window if it is let go there.
//!
//! # Invariants
//!
//! * The press, the movement and the release of a hold reach no client.
//! * What a window becomes is decided by where the pointer is at the release, and never by a client.

use smithay::input::pointer::CursorIcon;
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_toplevel::State as ToplevelFlag;
use smithay::utils::{Logical, Physical, Point, Rectangle, Size};
use smithay::wayland::shell::xdg::ToplevelSurface;

use super::frame_buttons::HeldButton;
use super::pointer::{BUTTON_LEFT, BUTTON_RIGHT};
use crate::handlers::xdg_shell::{MAX_UNACKNOWLEDGED, unacknowledged};
use crate::render::frame::FrameButton;
use crate::shell::outputs::OutputId;
use crate::shell::window::{Mode, WindowId};
use crate::shell::{Target, scaled, zone};
use crate::state::{Comp, State};

/// Milliseconds between two presses on a title bar that count as one gesture.
const DOUBLE_CLICK: u32 = 400;
/// How far a window that does not float is pulled before it comes out of its place, in logical pixels.
const TEAR: i32 = 8;
/// How close to an edge of the output a window is dropped into a zone, in logical pixels.
const REACH: i32 = 6;

/// The edges that are being dragged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Edges {
    /// The upper edge.
    pub top: bool,
    /// The lower edge.
    pub bottom: bool,
    /// The left edge.
    pub left: bool,
    /// The right edge.
    pub right: bool,
}

impl Edges {
    /// The edges that are nearest to a point of a frame: one where the point is in the middle third of a side, a corner
    /// elsewhere, also in the middle of the frame.
    fn near(point: Point<i32, Physical>, frame: Rectangle<i32, Physical>) -> Self {
        let third = |value: i32, length: i32| (value * 3 < length, value * 3 >= length * 2);
        let half = |value: i32, length: i32| (value * 2 < length, value * 2 >= length);
        let (x, y) = (point.x - frame.loc.x, point.y - frame.loc.y);
        let (mut left, mut right) = third(x, frame.size.w);
        let (mut top, mut bottom) = third(y, frame.size.h);
        if !(left || right || top || bottom) {
            (left, right) = half(x, frame.size.w);
            (top, bottom) = half(y, frame.size.h);
        }
        Self { top, bottom, left, right }
    }
}

impl Edges {
    /// The pointer's shape over them.
    #[must_use]
    pub fn icon(self) -> CursorIcon {
        match (self.left, self.right, self.top, self.bottom) {
            (true, _, true, _) => CursorIcon::NwResize,
            (_, true, true, _) => CursorIcon::NeResize,
            (true, _, _, true) => CursorIcon::SwResize,
            (_, true, _, true) => CursorIcon::SeResize,
            (true, ..) => CursorIcon::WResize,
            (_, true, ..) => CursorIcon::EResize,
            (_, _, true, _) => CursorIcon::NResize,
            (_, _, _, true) => CursorIcon::SResize,
            _ => CursorIcon::Default,
        }
    }
}

/// What the user does to a window with the pointer. Clients get no pointer events meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interaction {
    /// The window follows the pointer.
    Move {
        /// Which window.
        window: WindowId,
        /// Where the pointer took hold of it, from the frame's corner.
        hold: Point<i32, Physical>,
        /// Where the pointer was at the start.
        start: Point<i32, Physical>,
        /// The corner that the window had as a floating one.
        from: Point<i32, Physical>,
        /// What becomes of the window if it is let go here, unless it just floats.
        drop: Option<Mode>,
    },
    /// Edges of the window follow the pointer.
    Resize {
        /// Which window.
        window: WindowId,
        /// Which edges.
        edges: Edges,
        /// Where the pointer was at the start.
        start: Point<i32, Physical>,
        /// The frame at the start.
        frame: Rectangle<i32, Physical>,
        /// The content's logical size at the start.
        size: Size<i32, Logical>,
    },
}

impl Interaction {
    /// Which window.
    pub(crate) fn window(&self) -> WindowId {
        match self {
            Self::Move { window, .. } | Self::Resize { window, .. } => *window,
        }
    }
}

/// What a press on a window takes hold of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grip {
    /// The title bar.
    TitleBar(WindowId),
    /// The window from anywhere, to move it.
    Move(WindowId),
    /// The window from anywhere, or its ring, to resize it. In the middle of a window the nearest corner is taken.
    Resize(WindowId),
    /// A button of the frame.
    Button(WindowId, FrameButton),
}

/// What the user holds a window with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Holder {
    /// The pointer.
    #[default]
    Pointer,
    /// A finger, by its number.
    Finger(u32),
    /// The pen.
    Pen,
}

/// What the compositor remembers of presses on frames.
#[derive(Debug, Default)]
pub(crate) struct Presses {
    /// What holds the window that is held.
    pub(super) holder: Holder,
    /// The button of a frame that is held down.
    pub(super) button: Option<HeldButton>,
    /// The title bar that was pressed last, and when.
    title: Option<(WindowId, u32)>,
}

impl State {
    /// What a press would take hold of, if it is the compositor's.
    pub(super) fn grip(&self, button: u32, target: Target) -> Option<Grip> {
        let window = match target {
            Target::Content(id) | Target::TitleBar(id) | Target::Ring(id) | Target::Button(id, _) => id,
            Target::Stripe | Target::Layer(_) | Target::Lock | Target::Nothing => return None,
        };
        let logo = self.comp.seat.get_keyboard().is_some_and(|keyboard| keyboard.modifier_state().logo);
        match (button, target) {
            (BUTTON_LEFT, _) if logo => Some(Grip::Move(window)),
            (BUTTON_RIGHT, _) if logo => Some(Grip::Resize(window)),
            (BUTTON_LEFT, Target::TitleBar(_)) => Some(Grip::TitleBar(window)),
            (BUTTON_LEFT, Target::Ring(_)) => Some(Grip::Resize(window)),
            (BUTTON_LEFT, Target::Button(_, button)) => Some(Grip::Button(window, button)),
            _ => None,
        }
    }

    /// Begins what a press on a window is for.
    pub(super) fn take_hold(&mut self, holder: Holder, grip: Grip, location: Point<i32, Physical>) {
        let now = self.input_time();
        let title = self.comp.input.presses.title.take();
        if let Grip::Button(window, button) = grip {
            self.hold_button(holder, window, button, location);
            return;
        }
        self.comp.input.presses.holder = holder;
        match grip {
            Grip::TitleBar(window) => {
                let again = title
                    .is_some_and(|(other, then)| other == window && now.wrapping_sub(then) <= DOUBLE_CLICK);
                if again {
                    self.toggle_mode(Some(window), Mode::Maximized);
                } else {
                    self.comp.input.presses.title = Some((window, now));
                    self.begin_move(window, location);
                }
            }
            Grip::Move(window) => self.begin_move(window, location),
            Grip::Resize(window) => {
                if let Some(frame) =
                    self.comp.shell.get(window).map(|window| self.comp.shell.frame(window).outer)
                {
                    self.begin_resize(window, Edges::near(location, frame), location);
                }
            }
            Grip::Button(..) => {}
        }
    }

    /// A button of the pointer was released: what is held is let go.
    pub(super) fn release_hold(&mut self, button: u32) {
        if button == BUTTON_LEFT {
            self.release_button(Holder::Pointer);
        }
        self.release_window(Holder::Pointer);
        self.comp.schedule.request();
    }

    /// Whether a window is held with this.
    fn holds_window(&self, holder: Holder) -> bool {
        self.comp.input.interaction.is_some() && self.comp.input.presses.holder == holder
    }

    /// Whether a window, or a button of one, is held with this.
    pub(super) fn is_holding(&self, holder: Holder) -> bool {
        self.holds_window(holder) || self.holds_button(holder)
    }

    /// Moves or resizes what is held with this, to where it is now; whether there is anything.
    pub(super) fn interact_with(&mut self, holder: Holder, location: Point<i32, Physical>) -> bool {
        let on_button = self.move_on_button(holder, location);
        let holding = self.holds_window(holder);
        if holding {
            self.interact(location);
        }
        if holding || on_button {
            self.comp.schedule.request();
        }
        holding || on_button
    }

    /// Lets go what is held with this; whether there was anything.
    pub(super) fn release_held(&mut self, holder: Holder) -> bool {
        let button = self.release_button(holder);
        self.release_window(holder) || button
    }

    /// Lets go the window that is held with this; whether there was one.
    fn release_window(&mut self, holder: Holder) -> bool {
        if !self.holds_window(holder) {
            return false;
        }
        match self.comp.input.interaction.take() {
            Some(Interaction::Move { window, from, drop: Some(mode), .. }) => {
                if let Some(window) = self.comp.shell.get_mut(window) {
                    window.location = from;
                }
                self.lay_out(window, mode);
            }
            Some(Interaction::Resize { window, .. }) => self.end_resize(window),
            Some(Interaction::Move { .. }) | None => {}
        }
        self.comp.input.presses.holder = Holder::Pointer;
        self.comp.schedule.request();
        true
    }

    /// Ends what the pointer does to a window as if it had not been at an edge, and forgets the presses on frames.
    pub(super) fn let_go(&mut self) {
        self.comp.input.presses = Presses::default();
        if let Some(Interaction::Resize { window, .. }) = self.comp.input.interaction.take() {
            self.end_resize(window);
        }
    }

    /// Brings the held window along to the output that the pointer is on. Only one that floats can be carried; others stay until
    /// they are pulled out of their places.
    fn carry(&mut self, held: Interaction, location: Point<i32, Physical>) -> Interaction {
        let Interaction::Move { window: id, hold, from, drop, .. } = held else { return held };
        let output = OutputId::at(location);
        let shell = &self.comp.shell;
        let Some(window) = shell.get(id).filter(|window| window.output != output) else { return held };
        let (before, after) = (*shell.layout_of(window), *shell.layout_on(output));
        if window.mode != Mode::Floating {
            self.lay_out(id, Mode::Floating);
        }
        self.comp.shell.move_to_output(id, output);
        self.moved_to_output(id);
        let there = |point: Point<i32, Physical>| -> Point<i32, Physical> {
            point.to_f64().to_logical(before.scale).to_physical(after.scale).to_i32_round()
        };
        let held = Interaction::Move {
            window: id,
            hold: there(hold),
            start: location,
            from: after.origin + there(from - before.origin),
            drop,
        };
        self.comp.input.interaction = Some(held);
        held
    }

    /// Moves the held window to where the pointer is.
    fn drag(&mut self, held: Interaction, location: Point<i32, Physical>) {
        let Interaction::Move { window: id, .. } = held else { return };
        let held = self.carry(held, location);
        let Interaction::Move { mut hold, start, from, .. } = held else { return };
        let layout = *self.comp.shell.layout_at(location);
        let scale = layout.scale;
        let Some(window) = self.comp.shell.get(id) else { return };
        if self.comp.shell.tile(window).is_some() {
            // In columns a window changes places with the one that it is dragged onto.
            if let Some(other) = self.comp.shell.tile_at(location).filter(|other| *other != id) {
                self.comp.shell.swap_tiles(id, other);
            }
            return;
        }
        let pulled = location - start;
        let far = pulled.x.abs().max(pulled.y.abs()) >= scaled(TEAR, scale);
        if far {
            // A press after this one is no double click.
            self.comp.input.presses.title = None;
        }
        if window.mode != Mode::Floating {
            if !far {
                return;
            }
            let before = self.comp.shell.frame(window).outer.size.w;
            self.lay_out(id, Mode::Floating);
            let Some(window) = self.comp.shell.get(id) else { return };
            // The pointer stays at the same part of the title bar.
            let now = self.comp.shell.frame(window).outer.size.w;
            let part = i64::from(hold.x) * i64::from(now) / i64::from(before.max(1));
            hold.x = i32::try_from(part).unwrap_or(0).clamp(0, now);
        }
        let drop = zone::dropped(location, layout.work_area(), scaled(REACH, scale));
        if let Some(window) = self.comp.shell.get_mut(id) {
            window.location = location - hold;
        }
        self.comp.input.interaction = Some(Interaction::Move { window: id, hold, start, from, drop });
    }

    /// The window follows what holds it from now on, one that does not float as soon as it is pulled out of its place.
    pub(super) fn begin_move(&mut self, window: WindowId, start: Point<i32, Physical>) {
        let Some(found) = self.comp.shell.get(window) else { return };
        if !found.mapped {
            return;
        }
        let hold = start - self.comp.shell.frame(found).outer.loc;
        let from = found.location;
        self.comp.input.interaction = Some(Interaction::Move { window, hold, start, from, drop: None });
        self.send_motion();
    }

    pub(super) fn begin_resize(&mut self, window: WindowId, edges: Edges, start: Point<i32, Physical>) {
        let Some(found) = self.comp.shell.get(window) else { return };
        if found.mode != Mode::Floating || !found.mapped || self.comp.shell.tile(found).is_some() {
            return;
        }
        let frame = self.comp.shell.frame(found).outer;
        let size = found.size;
        self.comp.input.interaction = Some(Interaction::Resize { window, edges, start, frame, size });
        self.send_motion();
    }

    /// Moves or resizes what is held.
    fn interact(&mut self, location: Point<i32, Physical>) {
        match self.comp.input.interaction {
            None => {}
            Some(held @ Interaction::Move { .. }) => self.drag(held, location),
            Some(Interaction::Resize { window, edges, start, size, .. }) => {
                let Some(layout) =
                    self.comp.shell.get(window).map(|window| *self.comp.shell.layout_of(window))
                else {
                    return;
                };
                let moved: Point<f64, Logical> =
                    self.comp.logical(location.to_f64()) - layout.to_logical(start.to_f64());
                let moved: Point<i32, Logical> = moved.to_i32_round();
                let max = layout.max_content_logical();
                let stretch = |length: i32, by: i32, near: bool, far: bool, max: i32| {
                    let change = if near {
                        -by
                    } else if far {
                        by
                    } else {
                        0
                    };
                    length.saturating_add(change).clamp(1, max.max(1))
                };
                let wanted = Size::from((
                    stretch(size.w, moved.x, edges.left, edges.right, max.w),
                    stretch(size.h, moved.y, edges.top, edges.bottom, max.h),
                ));
                self.ask_size(window, wanted, true);
            }
        }
    }

    pub(super) fn ask_size(&self, window: WindowId, size: Size<i32, Logical>, resizing: bool) {
        let Some(window) = self.comp.shell.get(window) else { return };
        // A client that hangs is not asked for ever.
        if unacknowledged(&window.handle) >= MAX_UNACKNOWLEDGED {
            return;
        }
        window.handle.with_pending_state(|pending| {
            pending.size = Some(size);
            if resizing {
                pending.states.set(ToplevelFlag::Resizing);
            } else {
                pending.states.unset(ToplevelFlag::Resizing);
            }
        });
        window.handle.send_pending_configure();
    }

    /// A floating window's client committed a size. While its left or upper edge is dragged, the opposite
    /// edge stays where it is.
    pub(crate) fn follow_resize(&mut self, id: WindowId, size: Size<i32, Logical>) {
        let Some(layout) = self.comp.shell.get(id).map(|window| *self.comp.shell.layout_of(window)) else {
            return;
        };
        let (_, sum) = layout.margins();
        let content = layout.content_size(size);
        let held = self.comp.input.interaction;
        let tiled = self.comp.shell.get(id).is_some_and(|window| self.comp.shell.tile(window).is_some());
        let Some(window) = self.comp.shell.get_mut(id) else { return };
        if tiled || window.mode != Mode::Floating || still_laid_out(&window.handle) {
            return;
        }
        window.size = size;
        if let Some(Interaction::Resize { window: held, edges, frame, .. }) = held
            && held == id
        {
            if edges.left {
                window.location.x = frame.loc.x + frame.size.w - content.w - sum.w;
            }
            if edges.top {
                window.location.y = frame.loc.y + frame.size.h - content.h - sum.h;
            }
        }
    }

    /// Tells a window that it is no longer being resized.
    fn end_resize(&self, id: WindowId) {
        let window = self.comp.shell.get(id).filter(|window| window.mode == Mode::Floating);
        if let Some(window) = window {
            // What it was asked for last: a client that has not drawn that yet would be asked for its old size again.
            let asked = window.handle.with_pending_state(|pending| pending.size);
            self.ask_size(id, asked.unwrap_or(window.size), false);
        }
    }

    /// A window can no longer be held.
    pub(crate) fn forget_interaction(&mut self, window: WindowId) {
        self.forget_placing(window);
        if self.comp.input.interaction.is_some_and(|held| held.window() == window) {
            self.comp.input.interaction = None;
        }
    }
}

impl Comp {
    /// The edges that a press at a point of a window's frame would take hold of.
    pub(crate) fn resize_edges(&self, window: WindowId, at: Point<i32, Physical>) -> Option<Edges> {
        let window = self.shell.get(window)?;
        let resizable = window.mode == Mode::Floating && self.shell.tile(window).is_none();
        resizable.then(|| Edges::near(at, self.shell.frame(window).outer))
    }
}

/// Whether what the client draws is still for a place that the window has left: its size is not one that the client chose.
fn still_laid_out(toplevel: &ToplevelSurface) -> bool {
    let laid_out = [
        ToplevelFlag::Maximized,
        ToplevelFlag::Fullscreen,
        ToplevelFlag::TiledLeft,
        ToplevelFlag::TiledRight,
        ToplevelFlag::TiledTop,
        ToplevelFlag::TiledBottom,
    ];
    let drawn = toplevel.current_state();
    laid_out.iter().any(|flag| drawn.states.contains(*flag))
}
