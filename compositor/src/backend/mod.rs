//! Where pixels go and input comes from.
//!
//! Every backend draws into a picture in memory ([`memory`]), so that what is drawn is the same everywhere, and a screenshot
//! never asks a graphics card. Headless that is all. On a console ([`drm`]) the rectangles that changed are copied into a
//! buffer of the graphics card, which says when they are on the screen; as a window of another desktop that speaks Wayland
//! ([`nested`]) or X11 ([`x11`]), into memory that is shared with that.

pub mod drm;
mod held;
pub mod memory;
pub mod nested;
mod shared;
mod stale;
pub mod x11;

use smithay::backend::renderer::damage::Error as DamageError;
use smithay::backend::renderer::pixman::{PixmanError, PixmanRenderer};
use smithay::input::keyboard::LedState;
use smithay::output::Mode;
use smithay::utils::{Physical, Rectangle, Size};

use crate::render::schedule::REFRESH_MHZ;
use crate::state::Comp;
use drm::{Drm, DrmError};
use memory::Memory;
use nested::{Nested, NestedError};
use x11::{X11, X11Error};

/// The backends. An enum and not a trait, so that the state has one type.
#[derive(Debug)]
pub enum Backend {
    /// Draws into memory; input comes through the control socket.
    Headless(Box<Memory>),
    /// A screen, keyboards and pointers of this machine.
    Drm(Box<Drm>),
    /// A window of another desktop that speaks Wayland.
    Nested(Box<Nested>),
    /// A window of another desktop that speaks X11.
    X11(Box<X11>),
}

/// What went wrong while drawing.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The renderer could not be set up or used.
    #[error("Error using the renderer")]
    Renderer(#[from] PixmanError),
    /// A frame could not be drawn.
    #[error("Error drawing a frame")]
    Frame(#[from] DamageError<PixmanError>),
    /// The seat or its graphics card failed.
    #[error(transparent)]
    Screen(#[from] DrmError),
    /// The window of another desktop failed.
    #[error(transparent)]
    Window(#[from] NestedError),
    /// The window of an X server failed.
    #[error(transparent)]
    X11(#[from] X11Error),
}

/// What drawing the last frame took.
#[derive(Debug, Default)]
pub struct Repainted {
    /// What of the output was drawn anew.
    pub rectangles: Vec<Rectangle<i32, Physical>>,
    /// Parts of the scene that were looked at for that.
    pub elements: usize,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// It is where it can be seen.
    Shown,
    /// The graphics card has it, and will say when it is shown.
    Coming,
}

/// A picture of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Red, green, blue and alpha of each pixel, row by row from the top, without gaps.
    pub rgba: Vec<u8>,
}

impl Backend {
    /// The headless backend with an output of this size.
    ///
    /// # Errors
    ///
    /// If there is no memory for it.
    pub fn headless(size: Size<i32, Physical>, scale: f64) -> Result<Self, BackendError> {
        Ok(Self::Headless(Box::new(Memory::new(size, scale)?)))
    }

    /// The size of the output and its refresh rate.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self {
            Self::Headless(_) | Self::Nested(_) | Self::X11(_) => {
                let size = self.memory().size();
                Mode { size: (size.w, size.h).into(), refresh: REFRESH_MHZ }
            }
            Self::Drm(drm) => drm.mode(),
        }
    }

    /// Physical pixels per logical pixel.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.memory().scale()
    }

    /// Draws what changed since the last frame. Must be asked only while [`Backend::may_draw`].
    ///
    /// # Errors
    ///
    /// If the renderer fails as a whole or the screen refuses the frame; a single client's content that cannot be drawn is
    /// no error.
    pub fn draw(&mut self, comp: &mut Comp) -> Result<Drawn, BackendError> {
        match self {
            Self::Headless(memory) => memory.draw(comp).map(|_| Drawn::Shown),
            Self::Drm(drm) => drm.draw(comp),
            Self::Nested(nested) => nested.draw(comp),
            Self::X11(x11) => x11.draw(comp),
        }
    }

    /// Whether a frame can be drawn now. Otherwise the backend wakes the event loop once it can.
    #[must_use]
    pub fn may_draw(&self) -> bool {
        match self {
            Self::Headless(_) => true,
            Self::Drm(drm) => drm.may_draw(),
            Self::Nested(nested) => nested.may_draw(),
            Self::X11(x11) => x11.may_draw(),
        }
    }

    /// Draws the same scene off screen, whole, and returns its pixels.
    ///
    /// # Errors
    ///
    /// As for [`Backend::draw`].
    pub fn screenshot(&mut self, comp: &mut Comp) -> Result<Picture, BackendError> {
        self.memory_mut().screenshot(comp)
    }

    /// The picture that the frames drawn so far have left.
    ///
    /// # Errors
    ///
    /// As for [`Backend::draw`].
    pub fn last_frame(&mut self) -> Result<Picture, BackendError> {
        self.memory_mut().last_frame()
    }

    /// What drawing the last frame took.
    #[must_use]
    pub fn repainted(&self) -> &Repainted {
        self.memory().repainted()
    }

    /// The next frame is drawn whole.
    pub fn forget_damage(&mut self) {
        self.memory_mut().forget_damage();
    }

    /// Whether input may be fed through the control socket.
    #[must_use]
    pub fn takes_control_input(&self) -> bool {
        match self {
            Self::Headless(_) => true,
            Self::Drm(drm) => drm.takes_control_input(),
            Self::Nested(nested) => nested.takes_control_input(),
            Self::X11(x11) => x11.takes_control_input(),
        }
    }

    /// Whether somebody sits before it, who is to see something before the first window comes.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        !matches!(self, Self::Headless(_))
    }

    /// Whether there are other consoles to switch to.
    #[must_use]
    pub fn has_consoles(&self) -> bool {
        matches!(self, Self::Drm(_))
    }

    /// Switches to another console, by its number from 1.
    pub fn switch_console(&mut self, console: i32) {
        match self {
            Self::Headless(_) | Self::Nested(_) | Self::X11(_) => {}
            Self::Drm(drm) => drm.switch_console(console),
        }
    }

    /// Makes the lights of all keyboards show this.
    pub fn set_leds(&mut self, leds: LedState) {
        match self {
            Self::Headless(_) | Self::Nested(_) | Self::X11(_) => {}
            Self::Drm(drm) => drm.set_leds(leds),
        }
    }

    /// The renderer, for work outside a frame.
    pub fn renderer(&mut self) -> &mut PixmanRenderer {
        self.memory_mut().renderer()
    }

    fn memory(&self) -> &Memory {
        match self {
            Self::Headless(memory) => memory,
            Self::Drm(drm) => drm.memory(),
            Self::Nested(nested) => nested.memory(),
            Self::X11(x11) => x11.memory(),
        }
    }

    fn memory_mut(&mut self) -> &mut Memory {
        match self {
            Self::Headless(memory) => memory,
            Self::Drm(drm) => drm.memory_mut(),
            Self::Nested(nested) => nested.memory_mut(),
            Self::X11(x11) => x11.memory_mut(),
        }
    }
}
