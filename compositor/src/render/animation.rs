//! Windows on their way: opening, closing, minimising, changing their layout, and workspaces that take each other's place.
//!
//! # Model
//!
//! Nothing in the model of the windows moves: a window is where it is, for the pointer, for reports and for its client. What
//! moves is where it is drawn. Each frame is compared with the one before it: a window that was not there, that is laid out
//! another way or that is not there any more begins a [`Motion`], which lasts as long as the configuration says. While one is
//! going on, a frame is asked for after each frame, and none after the last.
//!
//! Of a closed window there is nothing left to draw but a picture, which was taken when it was closed. A client that is
//! ended takes its surfaces with it, and its windows are gone at once.
//!
//! # Invariants
//!
//! * In every step the window has its frame, drawn from its origin as in any other frame, for the rectangle of that step, and
//!   its content is cut to the frame's inside. What has no label is not drawn.
//! * A window that leaves stays below those that it was below.
//! * At most [`MAX_LEAVING`] windows leave at a time, with pictures of at most [`MAX_BYTES`]; those beyond are gone at once.
//! * Without a duration nothing here holds anything or asks for a frame.

mod draw;
mod follow;

use std::collections::HashMap;
use std::time::Duration;

use smithay::backend::renderer::element::memory::MemoryRenderBuffer;
use smithay::utils::{Physical, Point, Rectangle, Size};

pub(super) use self::draw::{compose_leaving, guest, step, window_at};
use super::scene::Own;
use crate::shell::outputs::{OutputId, Outputs};
use crate::shell::window::{Mode, WindowId};
use crate::trust::origin::Origin;

/// The most windows that leave at a time.
pub const MAX_LEAVING: usize = 16;
/// The most memory that pictures of closed windows take, in bytes.
pub const MAX_BYTES: usize = 64 << 20;
/// The size in which a window appears and disappears, in hundredths of its own.
const SMALLER: i32 = 88;
/// The size to which a minimised window shrinks, in hundredths of its own.
const MINIMIZED: i32 = 35;

/// How a shown window stands: what changes only by arranging it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Its name.
    pub id: WindowId,
    /// Its content rectangle.
    pub content: Rectangle<i32, Physical>,
    /// How it is laid out.
    pub mode: Mode,
    /// The tile that it fills.
    pub tile: Option<Rectangle<i32, Physical>>,
    /// It has the whole output, and is at its place at once: on its way its label would be beside the output.
    pub whole: bool,
}

/// Why a window is not shown any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The user does not want to see it now.
    Minimized,
    /// It is on another workspace, from 0.
    Elsewhere(usize),
    /// It is gone, or has nothing to show.
    Gone,
}

/// The way of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Motion {
    from: Rectangle<i32, Physical>,
    start: Duration,
}

impl Motion {
    /// Where a window is drawn that is on its way to `to`.
    #[must_use]
    pub fn at(
        &self,
        now: Duration,
        duration: Duration,
        to: Rectangle<i32, Physical>,
    ) -> Rectangle<i32, Physical> {
        let passed = now.saturating_sub(self.start).as_secs_f64() / duration.as_secs_f64().max(1e-3);
        // Fast at first, so that it does not keep anybody waiting.
        let part = 1.0 - (1.0 - passed.clamp(0.0, 1.0)).powi(3);
        let between = |a: i32, b: i32| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as i32;
        Rectangle::new(
            (between(self.from.loc.x, to.loc.x), between(self.from.loc.y, to.loc.y)).into(),
            (between(self.from.size.w, to.size.w).max(1), between(self.from.size.h, to.size.h).max(1)).into(),
        )
    }

    fn is_over(&self, now: Duration, duration: Duration) -> bool {
        now.saturating_sub(self.start) >= duration
    }
}

/// The last picture of a closed window.
#[derive(Debug)]
struct Last {
    window: WindowId,
    origin: Origin,
    title: String,
    picture: MemoryRenderBuffer,
    bytes: usize,
}

/// A window that is not shown any more and still to be seen.
#[derive(Debug)]
struct Leaving {
    window: WindowId,
    motion: Motion,
    to: Rectangle<i32, Physical>,
    /// The shown window that it is drawn above; `None`: below all.
    above: Option<WindowId>,
    /// What is left of it, if it is closed.
    last: Option<Last>,
    own: Own,
}

/// What moves on each output.
#[derive(Debug, Default)]
pub struct Movements {
    outputs: HashMap<OutputId, Animations>,
    /// The time that is taken for the present one.
    held: Option<Duration>,
}

impl Movements {
    /// Whether something moves, so that another frame is needed.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.outputs.values().any(Animations::is_moving)
    }

    /// Takes one moment for the present one, for a picture of it; `None` lets time pass again.
    pub fn hold(&mut self, at: Option<Duration>) {
        self.held = at;
    }

    /// Forgets outputs that are not in use.
    pub(super) fn follow(&mut self, outputs: &Outputs) {
        self.outputs.retain(|id, _| outputs.get(*id).is_some_and(|output| output.in_use));
    }

    /// Everything is where it belongs, and nothing is known of what was before.
    fn forget(&mut self) {
        self.outputs.clear();
    }
}

/// The windows of one output that are on their way.
#[derive(Debug, Default)]
pub struct Animations {
    /// The windows of the last frame from the top down; `None` before the first.
    seen: Option<Vec<Stand>>,
    workspace: usize,
    moving: HashMap<WindowId, Motion>,
    leaving: Vec<Leaving>,
    /// Pictures of windows that were closed since the last frame.
    closed: Vec<Last>,
    duration: Duration,
    now: Duration,
}

impl Animations {
    /// Whether something moves, so that another frame is needed.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        !self.moving.is_empty() || !self.leaving.is_empty()
    }

    /// Where a shown window is drawn, if it is not where it stands.
    fn place(&self, id: WindowId, content: Rectangle<i32, Physical>) -> Option<Rectangle<i32, Physical>> {
        let place = self.moving.get(&id)?.at(self.now, self.duration, content);
        (place != content).then_some(place)
    }

    fn bytes(&self) -> usize {
        let leaving = self.leaving.iter().filter_map(|leaving| leaving.last.as_ref());
        leaving.chain(&self.closed).map(|last| last.bytes).sum()
    }

    /// Whether there is room for the picture of one more closed window, of so many bytes.
    fn has_room(&self, bytes: usize) -> bool {
        self.leaving.len().saturating_add(self.closed.len()) < MAX_LEAVING
            && self.bytes().saturating_add(bytes) <= MAX_BYTES
    }
}

/// A rectangle of so many hundredths of the size, with the same middle.
fn shrunk(rect: Rectangle<i32, Physical>, hundredths: i32) -> Rectangle<i32, Physical> {
    let part = |length: i32| (length / 100 * hundredths + length % 100 * hundredths / 100).max(1);
    let size: Size<i32, Physical> = (part(rect.size.w), part(rect.size.h)).into();
    Rectangle::new(rect.loc + Point::from(((rect.size.w - size.w) / 2, (rect.size.h - size.h) / 2)), size)
}
