//! One window of the model.

use smithay::utils::{Logical, Physical, Point, Size};

use super::stacking::Element;
use crate::trust::origin::Origin;

/// Names a window for as long as the compositor runs; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowId(pub u64);

/// How a window is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Where it was placed, in the size its client chose.
    #[default]
    Floating,
    /// Filling the work area, frame included.
    Maximized,
    /// The same as maximised: the client believes to own the screen, and its label stays.
    Fullscreen,
}

/// A window: a toplevel of a client, with its place on the output.
#[derive(Debug)]
pub struct Window<H> {
    /// Its name.
    pub id: WindowId,
    /// What it stands for.
    pub handle: H,
    /// Where its connection comes from. Set once, from the connection.
    pub origin: Origin,
    /// How it is laid out.
    pub mode: Mode,
    /// Taken off the screen by the user or the client.
    pub minimized: bool,
    /// Has content. Without content there is no window.
    pub mapped: bool,
    /// Corner of the frame while floating, before it is clamped to the work area.
    pub location: Point<i32, Physical>,
    /// Size of the content while floating, as its client committed it.
    pub size: Size<i32, Logical>,
    /// The title: the client's word, bounded but not cleaned.
    pub title: String,
    /// The application id: the client's word, bounded but not cleaned.
    pub app_id: String,
}

impl<H> Window<H> {
    /// A window without content.
    pub fn new(id: WindowId, handle: H, origin: Origin) -> Self {
        Self {
            id,
            handle,
            origin,
            mode: Mode::Floating,
            minimized: false,
            mapped: false,
            location: Point::default(),
            size: Size::default(),
            title: String::new(),
            app_id: String::new(),
        }
    }
}

impl<H> Element for Window<H> {
    fn id(&self) -> WindowId {
        self.id
    }

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn shown(&self) -> bool {
        self.mapped && !self.minimized
    }
}
