//! The model of the windows: which there are, where they stand, which has the focus.
//!
//! Nothing here knows Wayland: a [`window::Window`] carries a handle of any type, which is the client's
//! toplevel in the compositor and a plain number in the property tests. Rectangles are in physical pixels of
//! the outputs ([`outputs`]), because the label must be exact to the pixel at every scale; sizes that clients choose are
//! in logical pixels, because that is what clients speak.
//!
//! # Invariants
//!
//! * Every window is in the stack exactly once, and the focused window is a shown one of a workspace that is on an output
//!   ([`Shell::check`]).
//! * The frame of a snapped window is inside its part of the work area.
//! * Only windows of the GUI VM itself are kept above others.
//! * The frame of a maximised or fullscreen window is the work area, which never contains the stripe; but that of a fullscreen
//!   window whose origin may have a whole output is that output ([`fullscreen`]).
//! * The focus moves from one VM to another only by the user's hand.
//! * Choosing a window reaches every mapped window of the workspaces on the outputs that does not wait for a dialog, each once
//!   in a round.

pub mod columns;
pub mod family;
pub mod focus;
pub mod fullscreen;
pub mod hiding;
pub mod layers;
pub mod lock;
pub mod moving;
pub mod outputs;
pub mod placement;
pub mod popup;
pub mod stacking;
pub mod window;
pub mod workspaces;
pub mod zone;

use std::collections::BTreeSet;

use smithay::utils::{Logical, Physical, Point, Rectangle, Size};

use self::focus::Focused;
use self::layers::LayerId;
use self::outputs::Outputs;
use crate::render::frame::{self, FrameButton, FrameMetrics, FrameRects};
use crate::trust::origin::Origin;
use fullscreen::Fullscreen;
use stacking::{Element, Stack};
use window::{Mode, Window, WindowId};
use zone::Zone;

/// The geometry of an output that windows are laid out on.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Layout {
    /// Size of the output in physical pixels, as it is seen.
    pub output: Size<i32, Physical>,
    /// Physical pixels per logical pixel.
    pub scale: f64,
    /// Widths of the label's parts, in logical pixels.
    pub metrics: FrameMetrics,
    /// What bars and the like have left to the windows, inside [`Layout::space`]; `None`: all of it.
    pub left: Option<Rectangle<i32, Physical>>,
    /// Its upper left corner in physical pixels ([`outputs`]).
    pub origin: Point<i32, Physical>,
    /// Its upper left corner in logical pixels, where it stands beside the other outputs.
    pub position: Point<i32, Logical>,
}

impl Layout {
    /// The whole output.
    #[must_use]
    pub fn whole(&self) -> Rectangle<i32, Physical> {
        Rectangle::new(self.origin, self.output)
    }

    /// The whole output in logical pixels.
    #[must_use]
    pub fn logical(&self) -> Rectangle<i32, Logical> {
        let size: Size<i32, Logical> = self.output.to_f64().to_logical(self.scale).to_i32_round();
        Rectangle::new(self.position, (size.w.max(1), size.h.max(1)).into())
    }

    /// A place on the output, as clients and users speak of it.
    #[must_use]
    pub fn to_logical(&self, point: Point<f64, Physical>) -> Point<f64, Logical> {
        self.position.to_f64() + (point - self.origin.to_f64()).to_logical(self.scale)
    }

    /// The reverse.
    #[must_use]
    pub fn to_physical(&self, point: Point<f64, Logical>) -> Point<f64, Physical> {
        self.origin.to_f64() + (point - self.position.to_f64()).to_physical(self.scale)
    }

    /// The place on the output that is nearest to a point.
    #[must_use]
    pub fn nearest(&self, point: Point<f64, Physical>) -> Point<f64, Physical> {
        let last = |length: i32| f64::from((length - 1).max(0));
        let offset = point - self.origin.to_f64();
        let inside = (offset.x.clamp(0.0, last(self.output.w)), offset.y.clamp(0.0, last(self.output.h)));
        self.origin.to_f64() + Point::from(inside)
    }

    /// The banner at the bottom of the output.
    #[must_use]
    pub fn banner(&self) -> Rectangle<i32, Physical> {
        let banner = frame::banner(self.output, &self.metrics.scaled(self.scale));
        Rectangle::new(banner.loc + self.origin, banner.size)
    }

    /// The stripe at the top of the output, which belongs to the compositor alone.
    #[must_use]
    pub fn stripe(&self) -> Rectangle<i32, Physical> {
        let stripe = frame::stripe(self.output, &self.metrics.scaled(self.scale));
        Rectangle::new(stripe.loc + self.origin, stripe.size)
    }

    /// The output below the stripe: everything that is not the compositor's alone.
    #[must_use]
    pub fn space(&self) -> Rectangle<i32, Physical> {
        let stripe = self.stripe().size.h;
        let corner = self.origin + Point::from((0, stripe));
        Rectangle::new(corner, (self.output.w, (self.output.h - stripe).max(1)).into())
    }

    /// Where windows may stand: the space, less what surfaces of the layer shell reserve. Those that leave no room for a frame
    /// reserve nothing: a window must have a title bar to be reached by.
    #[must_use]
    pub fn work_area(&self) -> Rectangle<i32, Physical> {
        let space = self.space();
        let Some(left) = self.left.and_then(|left| left.intersection(space)) else { return space };
        let (_, sum) = self.margins();
        if left.size.w > sum.w && left.size.h > sum.h { left } else { space }
    }

    /// The frame around a content rectangle.
    #[must_use]
    pub fn frame(&self, content: Rectangle<i32, Physical>) -> FrameRects {
        FrameRects::new(content, self.metrics, self.scale)
    }

    /// The frame of a window that has the whole output.
    #[must_use]
    pub fn whole_frame(&self) -> FrameRects {
        FrameRects::whole(self.whole(), self.metrics, self.scale)
    }

    /// What the frame adds: the offset from the frame's corner to the content's, and the sum on both sides.
    #[must_use]
    pub fn margins(&self) -> (Point<i32, Physical>, Size<i32, Physical>) {
        let outer = self.frame(Rectangle::from_size((1, 1).into())).outer;
        (Point::from((-outer.loc.x, -outer.loc.y)), (outer.size.w - 1, outer.size.h - 1).into())
    }

    /// The largest content that fits into the work area with its frame.
    #[must_use]
    pub fn max_content(&self) -> Size<i32, Physical> {
        let (_, sum) = self.margins();
        let area = self.work_area().size;
        ((area.w - sum.w).max(1), (area.h - sum.h).max(1)).into()
    }

    /// The same in logical pixels, rounded down: what a maximised client is asked to fill.
    #[must_use]
    pub fn max_content_logical(&self) -> Size<i32, Logical> {
        self.asked_of(self.max_content())
    }

    /// What a client is asked to fill that is given so many physical pixels: as many logical ones, rounded down.
    #[must_use]
    pub fn asked_of(&self, content: Size<i32, Physical>) -> Size<i32, Logical> {
        let size: Size<i32, Logical> = content.to_f64().to_logical(self.scale).to_i32_floor();
        (size.w.max(1), size.h.max(1)).into()
    }

    /// The content of a frame that fills a rectangle.
    #[must_use]
    pub fn inside(&self, outer: Rectangle<i32, Physical>) -> Rectangle<i32, Physical> {
        let (offset, sum) = self.margins();
        let size = ((outer.size.w - sum.w).max(1), (outer.size.h - sum.h).max(1));
        Rectangle::new(outer.loc + offset, size.into())
    }

    /// The content of a window that fills a part of the work area with its frame. Where the part has no room for a label that
    /// can be read, it is the whole area instead.
    #[must_use]
    pub fn zone_content(&self, zone: Zone) -> Rectangle<i32, Physical> {
        let (offset, sum) = self.margins();
        let part = zone.of(self.work_area());
        let size: Size<i32, Physical> = ((part.size.w - sum.w).max(0), (part.size.h - sum.h).max(0)).into();
        let min = self.metrics.scaled(self.scale).min_content;
        if size.w < min.w || size.h < min.h {
            return Rectangle::new(self.work_area().loc + offset, self.max_content());
        }
        Rectangle::new(part.loc + offset, size)
    }

    /// Keeps a frame's corner where its title bar can still be seen and reached below the stripe.
    fn clamped(&self, location: Point<i32, Physical>, content: Size<i32, Physical>) -> Point<i32, Physical> {
        let area = self.work_area();
        let (offset, sum) = self.margins();
        let width = content.w + sum.w;
        // A strip of this width, and the whole title bar's height, always stays on the output.
        let kept = (offset.y * 2).min(width);
        let min_x = area.loc.x - width + kept;
        let max_x = (area.loc.x + area.size.w - kept).max(min_x);
        let max_y = (area.loc.y + area.size.h - offset.y).max(area.loc.y);
        (location.x.clamp(min_x, max_x), location.y.clamp(area.loc.y, max_y)).into()
    }

    /// A logical content size in physical pixels, clamped to what fits into the work area and at least so
    /// large that the frame has room for a label that can be read.
    #[must_use]
    pub fn content_size(&self, logical: Size<i32, Logical>) -> Size<i32, Physical> {
        let max = self.max_content();
        // Clamped before scaling, so that no size a client sends can overflow the multiplication.
        let logical: Size<i32, Logical> =
            (logical.w.clamp(1, max.w.max(1)), logical.h.clamp(1, max.h.max(1))).into();
        let size: Size<i32, Physical> = logical.to_f64().to_physical(self.scale).to_i32_round();
        let min = self.metrics.scaled(self.scale).min_content;
        (size.w.clamp(min.w.min(max.w), max.w), size.h.clamp(min.h.min(max.h), max.h)).into()
    }
}

/// A length in logical pixels, in physical pixels.
#[must_use]
pub fn scaled(length: i32, scale: f64) -> i32 {
    let point: Point<i32, Physical> =
        Point::<f64, Logical>::from((f64::from(length), 0.0)).to_physical(scale).to_i32_round();
    point.x
}

/// All windows, and which of them has the keyboard.
#[derive(Debug)]
pub struct Shell<H> {
    outputs: Outputs,
    stack: Stack<Window<H>>,
    focus: Focused,
    next_id: u64,
    /// How often the focus was given to a window.
    turns: u64,
    /// How often windows came, went or were given out to be changed.
    changes: u64,
    /// Whose windows the user has hidden.
    hidden: BTreeSet<Origin>,
    /// Which windows may have a whole output.
    fullscreen: Fullscreen,
}

impl<H> Shell<H> {
    /// A shell without windows.
    #[must_use]
    pub fn new(outputs: Outputs) -> Self {
        Self {
            outputs,
            stack: Stack::default(),
            focus: Focused::default(),
            next_id: 1,
            turns: 0,
            changes: 0,
            hidden: BTreeSet::new(),
            fullscreen: Fullscreen::default(),
        }
    }

    /// Adds a window that is not shown yet, at the bottom.
    pub fn add(&mut self, handle: H, origin: Origin) -> WindowId {
        let id = WindowId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        let mut window = Window::new(id, handle, origin);
        window.output = self.outputs.active().id;
        window.workspace = self.workspaces().current();
        window.sight.hidden = self.hidden.contains(&window.origin);
        self.stack.push_bottom(window);
        self.changes = self.changes.saturating_add(1);
        id
    }

    /// Removes a window. If it had the focus, nobody has it until [`Shell::settle_focus`] is called.
    pub fn remove(&mut self, id: WindowId) -> Option<Window<H>> {
        let window = self.stack.remove(id)?;
        self.changes = self.changes.saturating_add(1);
        self.inherit(id, window.parent);
        self.focus.leave(id, &window.origin);
        self.settle_modal();
        Some(window)
    }

    /// A window by its id.
    #[must_use]
    pub fn get(&self, id: WindowId) -> Option<&Window<H>> {
        self.stack.get(id)
    }

    /// A window by its id, to be changed.
    pub fn get_mut(&mut self, id: WindowId) -> Option<&mut Window<H>> {
        self.changes = self.changes.saturating_add(1);
        self.stack.get_mut(id)
    }

    /// A number that is another one whenever a window may have another place than before.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The first window that fits.
    #[must_use]
    pub fn find(&self, wanted: impl Fn(&Window<H>) -> bool) -> Option<&Window<H>> {
        self.stack.bottom_up().find(|window| wanted(window))
    }

    /// All windows from the bottom up, including those that are not shown.
    pub fn bottom_up(&self) -> impl DoubleEndedIterator<Item = &Window<H>> {
        self.stack.bottom_up()
    }

    /// The shown windows from the top down.
    pub fn shown_top_down(&self) -> impl Iterator<Item = &Window<H>> {
        self.stack.bottom_up().rev().filter(|window| window.shown())
    }

    /// The window that has the keyboard.
    #[must_use]
    pub fn focused(&self) -> Option<&Window<H>> {
        self.focus.window.and_then(|id| self.get(id))
    }

    /// Whose keyboard it is at the moment.
    #[must_use]
    pub fn focused_origin(&self) -> Option<&Origin> {
        self.focused().map(|window| &window.origin)
    }

    /// The content rectangle that the compositor assigns to a window: the only place where its pixels may
    /// appear and its surfaces be hit.
    #[must_use]
    pub fn content(&self, window: &Window<H>) -> Rectangle<i32, Physical> {
        let layout = self.layout_of(window);
        let (offset, _) = layout.margins();
        match window.mode {
            Mode::Floating => {
                if let Some(tile) = self.tile(window) {
                    return layout.inside(tile);
                }
                let size = layout.content_size(window.size);
                Rectangle::new(layout.clamped(window.location, size) + offset, size)
            }
            Mode::Fullscreen if self.is_real(window) => layout.whole_frame().content,
            Mode::Maximized | Mode::Fullscreen => {
                Rectangle::new(layout.work_area().loc + offset, layout.max_content())
            }
            Mode::Snapped(zone) => layout.zone_content(zone),
        }
    }

    /// The frame of a window: ring, title bar and their parts.
    #[must_use]
    pub fn frame(&self, window: &Window<H>) -> FrameRects {
        if self.is_real(window) {
            self.layout_of(window).whole_frame()
        } else {
            self.layout_of(window).frame(self.content(window))
        }
    }

    /// Shows a window that has its first content, on the current workspace, on that of its parent or on that of its
    /// predecessor. It is placed where it covers least, or where it or its predecessor stood; it takes the focus if the rule allows,
    /// and otherwise opens below the focused window. One whose predecessor was minimised stays so. Returns whether it took the focus.
    pub fn show(
        &mut self,
        id: WindowId,
        size: Size<i32, Logical>,
        pointer: Option<Point<i32, Physical>>,
    ) -> bool {
        let focused = self.focused().map(|window| (window.id, window.origin.clone()));
        let recalled = self.get_mut(id).and_then(|window| window.recalled.take());
        let alone =
            self.family(id).iter().all(|member| self.get(*member).is_none_or(|window| !window.mapped));
        if alone && recalled.is_none() {
            self.move_to_output(id, self.outputs.active().id);
        }
        let Some(window) = self.get(id) else { return false };
        let (output, layout) = (window.output, *self.layout_of(window));
        let content = layout.content_size(size);
        let (_, sum) = layout.margins();
        let outer = (content.w + sum.w, content.h + sum.h).into();
        let (origin, here) = (window.origin.clone(), window.in_sight());
        // Its place is set when it is first shown, and never in the corner, where the stripe is.
        let before = (window.location != Point::default()).then_some(window.location);
        // What a client asked for before it showed anything is over; what its predecessor was is not.
        let minimized = recalled.is_some() && window.minimized;
        let takes = here && !minimized && self.may_take(&origin);
        let obstacles: Vec<placement::Obstacle> = self
            .shown_top_down()
            .filter(|other| other.output == output)
            .map(|other| placement::Obstacle {
                rect: self.frame(other).outer,
                protected: !takes && Some(other.id) == focused.as_ref().map(|(id, _)| *id),
            })
            .collect();
        // A window that opens unfocused must not open under the pointer: the user would click into it.
        let avoid = if takes { None } else { pointer };
        let free = |location: &Point<i32, Physical>| {
            let frame = Rectangle::new(layout.clamped(*location, content), outer);
            !avoid.is_some_and(|point| frame.contains(point))
        };
        let location = recalled
            .or(before)
            .filter(free)
            .unwrap_or_else(|| placement::place(outer, layout.work_area(), &obstacles, avoid));
        if let Some(window) = self.get_mut(id) {
            // One that comes back filling the work area keeps the size for when it does not any more.
            if recalled.is_none() || window.mode == Mode::Floating {
                window.size = size;
            }
            window.location = location;
            window.mapped = true;
            window.minimized = minimized;
        }
        let tiles = self.outputs.of(output).workspaces.tiles();
        if !takes
            && !minimized
            && (here || tiles)
            && let Some(window) = self.get_mut(id)
        {
            // It may be below others, or elsewhere than the user looks.
            window.urgent = true;
            window.tiling.joined &= !tiles;
        }
        match focused {
            _ if takes => {
                self.activate(id);
                self.focus.by_hand = false;
            }
            Some((below, _)) => self.stack.move_below(id, below),
            None => {}
        }
        self.stack.settle();
        takes
    }

    /// The window that has the focus is not there to be typed into any more. Returns it.
    fn lose_focus(&mut self) -> Option<WindowId> {
        let (id, origin) = self.focused().map(|window| (window.id, window.origin.clone()))?;
        self.focus.leave(id, &origin);
        Some(id)
    }

    fn put_away(&mut self, id: WindowId, away: impl FnOnce(&mut Window<H>)) {
        let Some(window) = self.get_mut(id) else { return };
        away(window);
        let origin = window.origin.clone();
        self.focus.leave(id, &origin);
    }

    /// Hides a window whose content is gone; if it is shown again later, it is where it was.
    pub fn hide(&mut self, id: WindowId) {
        self.put_away(id, |window| window.mapped = false);
    }

    /// Gives the focus to a window by the user's hand, and raises it; or its modal dialog, if it has one. Its workspace comes
    /// onto the screen.
    pub fn activate(&mut self, id: WindowId) {
        // What the user has hidden is shown again by the user's own word, and not because a task bar was pressed.
        let Some(window) = self.get_mut(id).filter(|window| !window.sight.hidden) else { return };
        window.minimized = false;
        if window.mapped {
            let (output, workspace) = (window.output, window.workspace);
            self.show_workspace(output, workspace);
            self.visit(output);
            let used = self.modal_over(id);
            self.raise_family(used);
            self.give_focus(used, true);
            for done in [id, used] {
                if let Some(window) = self.get_mut(done) {
                    window.tiling.joined = true;
                    window.urgent = false;
                }
            }
        }
    }

    /// A window asks for the user's attention. It gets the focus if its VM has it or nobody does, and is marked
    /// otherwise. Returns whether it got the focus.
    pub fn request_attention(&mut self, id: WindowId, may_focus: bool) -> bool {
        let Some(window) = self.get(id) else { return false };
        let (origin, shown) = (window.origin.clone(), window.shown());
        if may_focus && shown && self.may_take(&origin) {
            self.activate(id);
            self.focus.by_hand = false;
            return true;
        }
        let focused = self.focus.window == Some(id);
        if let Some(window) = self.get_mut(id) {
            window.urgent = !focused;
        }
        false
    }

    /// Takes the window off the screen until the user asks for it again.
    pub fn minimize(&mut self, id: WindowId) {
        self.put_away(id, |window| window.minimized = true);
    }

    /// Shows a window again that was taken off the screen, below the one that has the focus; if none has it and its workspace
    /// is on the screen, this one gets it.
    pub fn restore(&mut self, id: WindowId) {
        let Some(window) = self.get_mut(id).filter(|window| window.mapped && window.minimized) else {
            return;
        };
        window.minimized = false;
        match self.focus.window {
            Some(focused) => {
                self.stack.move_below(id, focused);
                // One that is kept above does not come below one that is not.
                self.stack.settle();
                self.settle_modal();
            }
            None if self.get(id).is_some_and(Window::in_sight) => self.activate(id),
            None => {}
        }
    }

    /// After a window of `left` has gone: if it had the focus, its VM's top-most window gets it, and no other VM's.
    pub fn settle_focus(&mut self, left: &Origin) {
        if self.focus.kept_for.as_ref() != Some(left) {
            return;
        }
        let successor = focus::successor(&self.stack, left).map(|id| self.modal_over(id));
        if let Some(successor) = successor {
            self.give_focus(successor, false);
        }
    }

    /// Whether a window of an origin may take the focus by itself.
    fn may_take(&self, origin: &Origin) -> bool {
        self.focus.may_be_taken_by(origin, self.focused_origin())
    }

    /// Whether the user's hand has given the focus to a window since this was last asked.
    pub fn take_by_hand(&mut self) -> bool {
        std::mem::take(&mut self.focus.by_hand)
    }

    /// The user's hand has gone elsewhere: the focus is kept for nobody any more.
    pub fn keep_for_nobody(&mut self) {
        self.focus.kept_for = None;
    }

    fn give_focus(&mut self, id: WindowId, by_hand: bool) {
        self.focus = Focused { window: Some(id), kept_for: None, by_hand };
        self.turns = self.turns.saturating_add(1);
        let turn = self.turns;
        if let Some(window) = self.get_mut(id) {
            window.last_focus = turn;
        }
    }

    /// The windows that the user may choose from: those of the workspaces on all outputs, minimised ones included, the one that had
    /// the keyboard last first. The place in the stack alone would not do, because a window that is raised takes its dialogs
    /// along, which were not used; it counts for those that never had the keyboard. Windows that wait for a modal dialog come
    /// up with it.
    #[must_use]
    pub fn switch_order(&self) -> Vec<WindowId> {
        let usable = |window: &&Window<H>| {
            window.mapped && window.in_sight() && self.modal_over(window.id) == window.id
        };
        let mut order: Vec<_> = self.stack.bottom_up().rev().filter(usable).collect();
        // Those that never had it keep their order.
        order.sort_by_key(|window| std::cmp::Reverse(window.last_focus));
        order.into_iter().map(|window| window.id).collect()
    }

    /// What stands at a point of an output. The stripe and everything in a window's frame shields what is
    /// below: nothing falls through.
    #[must_use]
    pub fn at(&self, point: Point<i32, Physical>) -> Target {
        if self.is_on_stripe(point) {
            return Target::Stripe;
        }
        for window in self.shown_top_down() {
            let frame = self.frame(window);
            if frame.shows_content_at(point) {
                return Target::Content(window.id);
            }
            if frame.outer.contains(point) {
                return if let Some(button) = frame.button_at(point) {
                    Target::Button(window.id, button)
                } else if frame.title_bar.contains(point) {
                    Target::TitleBar(window.id)
                } else {
                    Target::Ring(window.id)
                };
            }
        }
        Target::Nothing
    }

    /// Panics unless the invariants hold. For tests.
    ///
    /// # Panics
    ///
    /// If a window is in the stack twice, or the focused window is not shown.
    pub fn check(&self) {
        self.stack.check();
        self.check_families();
        self.check_outputs();
        self.check_workspaces();
        self.check_columns();
        if let Some(id) = self.focus.window {
            assert!(self.get(id).is_some_and(Element::shown), "the focused window is shown");
        }
        for window in self.shown_top_down() {
            let frame = self.frame(window).outer;
            for output in self.outputs.used() {
                let touches = frame.overlaps(output.layout.whole());
                assert!(output.id == window.output || !touches, "a window is on one output alone");
                let below = self.is_real(window) || !frame.overlaps(output.layout.stripe());
                assert!(
                    below,
                    "no frame reaches into a stripe but that of a window that has the whole output"
                );
            }
        }
    }
}

/// What is under a point of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The stripe at the top.
    Stripe,
    /// The content rectangle of a window.
    Content(WindowId),
    /// A window's title bar, which is the compositor's.
    TitleBar(WindowId),
    /// A button in a window's title bar.
    Button(WindowId, FrameButton),
    /// A window's ring, which is the compositor's.
    Ring(WindowId),
    /// A surface of the layer shell, or one of its popups; never an answer of [`Shell::at`].
    Layer(LayerId),
    /// The locked session; never an answer of [`Shell::at`].
    Lock,
    /// The bare desktop.
    Nothing,
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
