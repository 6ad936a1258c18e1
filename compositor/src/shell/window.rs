//! One window of the model.

use std::sync::Arc;

use smithay::utils::{Logical, Physical, Point, Size};

use super::outputs::OutputId;
use super::stacking::Element;
use super::zone::Zone;
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
    /// Filling a part of the work area, frame included.
    Snapped(Zone),
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
    /// The output it is on.
    pub output: OutputId,
    /// Where it goes back to once its own output is there again.
    pub(super) home: Option<Home>,
    /// The workspace of the output it is on, from 0.
    pub(super) workspace: usize,
    /// Whether there is anything to see of it.
    pub(super) sight: Sight,
    /// What it is among tiled windows.
    pub(crate) tiling: Tiling,
    /// Kept above all windows that are not. Only the GUI VM's own can be.
    pub(super) above: bool,
    /// Has content. Without content there is no window.
    pub mapped: bool,
    /// Corner of the frame while floating, before it is clamped to the work area.
    pub location: Point<i32, Physical>,
    /// Where its predecessor stood before the compositor was started again; for when it is first shown.
    pub recalled: Option<Point<i32, Physical>>,
    /// Size of the content while floating, as its client committed it; before it is first shown, that of its predecessor or none.
    pub size: Size<i32, Logical>,
    /// The title: the client's word, bounded but not cleaned.
    pub title: String,
    /// The application id: the client's word, bounded but not cleaned.
    pub app_id: String,
    /// A name for the window among its application's: the client's word, bounded but not cleaned.
    pub tag: String,
    /// What the window is, as people read it: the client's word, bounded but not cleaned.
    pub description: String,
    /// Its picture: the client's, bounded. Windows that were given the same icon share it.
    pub icon: Option<Arc<Icon>>,
    /// The window it is a dialog of.
    pub parent: Option<WindowId>,
    /// Its parent cannot be used while it is shown.
    pub modal: bool,
    /// Asks for the user's attention and has not had it.
    pub urgent: bool,
    /// Which turn of the focus was its last one, counted from 1; 0 if it never had it.
    pub last_focus: u64,
}

/// What a window's being seen depends on beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Its workspace is on the screen.
    pub(super) here: bool,
    /// The user has hidden all windows of its origin.
    pub(super) hidden: bool,
}

/// Where a window was when its output was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Which output that was.
    pub(super) output: OutputId,
    /// Corner of the frame while floating, from the output's.
    pub(super) from_corner: Point<i32, Physical>,
    /// The workspace it was on.
    pub(super) workspace: usize,
}

/// What a window is among tiled ones.
#[derive(Clone, Copy, Debug)]
pub struct Tiling {
    /// The user has used it or arranged it, so that it may take room from others.
    pub(super) joined: bool,
    /// Its place, from low to high.
    pub(super) order: u64,
    /// The tile that its client was last told to fill.
    pub(crate) told: Option<Size<i32, Physical>>,
}

/// A picture that a client gave its window. It is the VM's, and is nowhere shown without the VM's label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icon {
    /// Width and height in pixels.
    pub side: u32,
    /// Blue, green, red and alpha of each pixel, premultiplied, row by row from the top.
    pub bgra: Vec<u8>,
    /// What is in the place of alpha says nothing.
    pub opaque: bool,
}

impl<H> Window<H> {
    /// The workspace it is on, from 0.
    #[must_use]
    pub fn workspace(&self) -> usize {
        self.workspace
    }

    /// Whether it would be seen if it were neither minimised nor without content.
    #[must_use]
    pub fn in_sight(&self) -> bool {
        self.sight.here && !self.sight.hidden
    }

    /// Whether it is kept above the others.
    #[must_use]
    pub fn is_above(&self) -> bool {
        self.above
    }

    /// A window without content.
    pub fn new(id: WindowId, handle: H, origin: Origin) -> Self {
        Self {
            id,
            handle,
            origin,
            mode: Mode::Floating,
            minimized: false,
            output: OutputId::FIRST,
            home: None,
            workspace: 0,
            sight: Sight { here: true, hidden: false },
            tiling: Tiling { joined: false, order: id.0, told: None },
            above: false,
            mapped: false,
            location: Point::default(),
            recalled: None,
            size: Size::default(),
            title: String::new(),
            app_id: String::new(),
            tag: String::new(),
            description: String::new(),
            icon: None,
            parent: None,
            modal: false,
            urgent: false,
            last_focus: 0,
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
        self.mapped && !self.minimized && self.in_sight()
    }

    fn above(&self) -> bool {
        self.above
    }
}
