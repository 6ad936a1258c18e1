//! Where pixels go and input comes from.

pub mod headless;

use smithay::backend::renderer::damage::Error as DamageError;
use smithay::backend::renderer::pixman::{PixmanError, PixmanRenderer};

use crate::state::Comp;
use headless::Headless;

/// The backends. An enum and not a trait, so that the state has one type.
#[derive(Debug)]
pub enum Backend {
    /// Draws into memory; input comes through the control socket.
    Headless(Headless),
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
    /// Draws what changed since the last frame.
    ///
    /// # Errors
    ///
    /// If the renderer fails as a whole; a single client's content that cannot be drawn is no error.
    pub fn draw(&mut self, comp: &mut Comp) -> Result<(), BackendError> {
        match self {
            Self::Headless(headless) => headless.draw(comp),
        }
    }

    /// Draws the same scene off screen, whole, and returns its pixels.
    ///
    /// # Errors
    ///
    /// As for [`Backend::draw`].
    pub fn screenshot(&mut self, comp: &mut Comp) -> Result<Picture, BackendError> {
        match self {
            Self::Headless(headless) => headless.screenshot(comp),
        }
    }

    /// The picture that the frames drawn so far have left.
    ///
    /// # Errors
    ///
    /// As for [`Backend::draw`].
    pub fn last_frame(&mut self) -> Result<Picture, BackendError> {
        match self {
            Self::Headless(headless) => headless.last_frame(),
        }
    }

    /// The next frame is drawn whole.
    pub fn forget_damage(&mut self) {
        match self {
            Self::Headless(headless) => headless.forget_damage(),
        }
    }

    /// Whether input may be fed through the control socket.
    #[must_use]
    pub fn takes_control_input(&self) -> bool {
        matches!(self, Self::Headless(_))
    }

    /// The renderer, for work outside a frame.
    pub fn renderer(&mut self) -> &mut PixmanRenderer {
        match self {
            Self::Headless(headless) => headless.renderer(),
        }
    }
}
