//! Moving and resizing a window with the keyboard alone.
//!
//! # Model
//!
//! A chord begins it for the window that has the keyboard. From then on the arrow keys move the window, or its right and lower
//! edge, in steps, finer ones with Shift; Return keeps what was done and Escape puts everything back. A window that does not
//! float does so first. The stripe says what the keys do.
//!
//! # Invariants
//!
//! * Meanwhile no client and no input method gets a key press. What comes before in the order of keys comes before still: the
//!   console switch, and the lock.
//! * It ends, and keeps what was done, when the window has the keyboard no longer, whether it is gone, another one was chosen
//!   or the session was locked; and when a button, a finger or a pen is pressed.
//! * The window goes no further than a pointer could move it, and is asked for no size that a pointer could not ask for.

use std::time::Duration;

use smithay::input::keyboard::Keysym;
use smithay::utils::{Logical, Physical, Point, Size};

use crate::shell::scaled;
use crate::shell::window::{Mode, WindowId};
use crate::state::State;

/// One step, and a fine one, in logical pixels.
const STEPS: (i32, i32) = (16, 1);
/// Time before a held arrow key goes on, and between the steps after that.
const REPEAT: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(40));

/// What is done to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It is moved.
    Move,
    /// Its right and lower edge are.
    Resize,
}

impl Placement {
    /// What the stripe says, behind the label of the window.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Move => "is moved: arrow keys, Shift for small steps, Return keeps, Escape puts back",
            Self::Resize => "is resized: arrow keys, Shift for small steps, Return keeps, Escape puts back",
        }
    }
}

/// A window that is moved or resized with the keyboard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placing {
    window: WindowId,
    what: Placement,
    /// The size that was asked for last.
    size: Size<i32, Logical>,
    /// How it was at the start: mode, corner as a floating window, size as one.
    before: (Mode, Point<i32, Physical>, Size<i32, Logical>),
}

impl Placing {
    /// What is done.
    pub(crate) fn what(&self) -> Placement {
        self.what
    }
}

impl State {
    /// Begins to move or resize the window that has the keyboard. In columns it has neither a place nor a size of its own.
    pub(super) fn begin_placing(&mut self, what: Placement) {
        let Some(window) = self.comp.focused_window() else { return };
        if !window.mapped || self.comp.shell.tile(window).is_some() || self.comp.input.interaction.is_some() {
            return;
        }
        let (id, before) = (window.id, (window.mode, window.location, window.size));
        if let Some((_, surface)) = self.comp.input.told_focus.clone() {
            self.dismiss_popups(&surface);
        }
        if before.0 != Mode::Floating {
            self.lay_out(id, Mode::Floating);
        }
        self.comp.input.held.placing = Some(Placing { window: id, what, size: before.2, before });
        self.comp.schedule.request();
    }

    /// A key was pressed meanwhile: it is the compositor's.
    pub(super) fn press_in_placing(&mut self, key: Keysym, fine: bool) {
        let step = match key {
            Keysym::Left | Keysym::KP_Left => (-1, 0),
            Keysym::Right | Keysym::KP_Right => (1, 0),
            Keysym::Up | Keysym::KP_Up => (0, -1),
            Keysym::Down | Keysym::KP_Down => (0, 1),
            Keysym::Return | Keysym::KP_Enter => return self.end_placing(),
            Keysym::Escape => return self.put_back(),
            _ => return,
        };
        let length = if fine { STEPS.1 } else { STEPS.0 };
        let step = Point::from((step.0 * length, step.1 * length));
        self.begin_repeat(REPEAT, move |state| state.place(step));
        self.place(step);
    }

    /// Moves the window, or its edges, by logical pixels.
    fn place(&mut self, step: Point<i32, Logical>) {
        let Some(placing) = self.comp.input.held.placing else { return };
        let shell = &mut self.comp.shell;
        let Some(window) = shell.get(placing.window) else { return };
        // By a reload of the configuration, or by its client.
        if window.mode != Mode::Floating || shell.tile(window).is_some() {
            return self.end_placing();
        }
        match placing.what {
            Placement::Move => {
                let scale = shell.layout_of(window).scale;
                let corner = shell.frame(window).outer.loc;
                let to = corner + Point::from((scaled(step.x, scale), scaled(step.y, scale)));
                if let Some(window) = shell.get_mut(placing.window) {
                    window.location = to;
                }
                // As far as it can be reached, so that the way back begins there.
                let reached = shell.get(placing.window).map(|window| shell.frame(window).outer.loc);
                if let (Some(window), Some(reached)) = (shell.get_mut(placing.window), reached) {
                    window.location = reached;
                }
            }
            Placement::Resize => {
                let layout = shell.layout_of(window);
                let max = layout.max_content_logical();
                let min = layout.asked_of(layout.metrics.scaled(layout.scale).min_content);
                let length = |now: i32, by: i32, min: i32, max: i32| {
                    now.saturating_add(by).clamp(min.min(max), max.max(1))
                };
                let size = Size::from((
                    length(placing.size.w, step.x, min.w, max.w),
                    length(placing.size.h, step.y, min.h, max.h),
                ));
                self.comp.input.held.placing = Some(Placing { size, ..placing });
                self.ask_size(placing.window, size, true);
            }
        }
        self.refresh_pointer();
        self.comp.schedule.request();
    }

    /// Puts the corner of a floating window's frame to a place in physical pixels of the output, as far as the frame can be
    /// reached there, as if the user had moved it.
    pub fn put_window(&mut self, id: WindowId, corner: Point<i32, Physical>) {
        if let Some(window) = self.comp.shell.get_mut(id) {
            window.location = corner;
        }
        self.refresh_pointer();
        self.comp.schedule.request();
    }

    /// Ends it and keeps what was done.
    pub(crate) fn end_placing(&mut self) {
        let Some(placing) = self.comp.input.held.placing.take() else { return };
        self.stop_repeat();
        if placing.what == Placement::Resize {
            // Its client may not have drawn the size yet, and is told that it stays.
            self.ask_size(placing.window, placing.size, false);
        }
        self.comp.schedule.request();
    }

    /// Ends it, and everything is as before.
    fn put_back(&mut self) {
        let Some(placing) = self.comp.input.held.placing else { return };
        let (mode, location, size) = placing.before;
        self.comp.input.held.placing = Some(Placing { size, ..placing });
        self.end_placing();
        if let Some(window) = self.comp.shell.get_mut(placing.window) {
            window.location = location;
        }
        self.lay_out(placing.window, mode);
        self.refresh_pointer();
    }

    /// A window cannot be moved or resized any more.
    pub(super) fn forget_placing(&mut self, window: WindowId) {
        if self.comp.input.held.placing.is_some_and(|placing| placing.window == window) {
            self.comp.input.held.placing = None;
            self.stop_repeat();
        }
    }

    /// Ends it if the window has the keyboard no longer.
    pub(super) fn prune_placing(&mut self) {
        let focused = self.comp.focused_window().map(|window| window.id);
        if self.comp.input.held.placing.is_some_and(|placing| Some(placing.window) != focused) {
            self.end_placing();
        }
    }
}
