//! Where pixels go and input comes from.
//!
//! Frames are drawn into memory by the processor ([`memory`]). Headless that is all. On a console ([`drm`]) the rectangles that
//! changed are copied into a buffer of the graphics card, which says when they are on the screen; as a window of another desktop
//! that speaks Wayland ([`nested`]) or X11 ([`x11`]), into memory that is shared with that. On a console whose graphics
//! card has OpenGL the card draws instead, the same scene by the same code ([`gles`]); headless it can be asked to.
//!
//! Whatever draws the frames, what is no frame of a screen (a screenshot, a capture, a picture of a window) is drawn into memory by the
//! processor, so that it never waits for a graphics card, is the same everywhere, and costs what it always did.

pub mod drm;
pub mod gles;
mod held;
pub mod memory;
pub mod nested;
mod pointer;
mod shared;
mod stale;
pub mod x11;

use smithay::backend::renderer::damage::Error as DamageError;
use smithay::backend::renderer::pixman::{PixmanError, PixmanRenderer};
use smithay::input::keyboard::LedState;
use smithay::utils::{Physical, Rectangle};

use crate::config::InputConfig;
use crate::handlers::gamma_control::GammaRamp;
use crate::shell::Shell;
use crate::shell::outputs::{Head, OutputId, Outputs};
use crate::state::Comp;
use drm::{Drm, DrmError};
use gles::{GlesError, Offscreen};
use memory::Memory;
use nested::{Nested, NestedError};
use x11::{X11, X11Error};

/// How many values a colour ramp has that nothing applies: as many as those of most graphics cards.
const HEADLESS_GAMMA: u32 = 256;

/// The backends. An enum and not a trait, so that the state has one type.
#[derive(Debug)]
pub enum Backend {
    /// Draws into memory; input comes through the control socket.
    Headless(Box<Headless>),
    /// A screen, keyboards and pointers of this machine.
    Drm(Box<Drm>),
    /// A window of another desktop that speaks Wayland.
    Nested(Box<Nested>),
    /// A window of another desktop that speaks X11.
    X11(Box<X11>),
}

/// What draws the frames of outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Renderer {
    /// The processor, until OpenGL ES is known to draw whole labels on real cards; who draws and why is in the log
    #[default]
    Auto,
    /// OpenGL ES, even where that is the processor, too; without it vitrail does not start
    Gles,
    /// The processor; nothing of OpenGL is loaded
    Pixman,
}

/// Outputs that are nowhere but in memory.
#[derive(Debug)]
pub struct Headless {
    memory: Memory,
    /// What draws the frames, if it is not the processor.
    gles: Option<Box<Offscreen>>,
    /// What there is at the start.
    heads: Vec<Head>,
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
    /// OpenGL ES could not be set up or used.
    #[error("Error drawing by OpenGL ES")]
    Gles(#[from] GlesError),
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

/// A picture of an output.
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
    /// The headless backend, which begins with these outputs.
    ///
    /// # Errors
    ///
    /// If the renderer cannot be set up.
    pub fn headless(heads: Vec<Head>) -> Result<Self, BackendError> {
        Ok(Self::Headless(Box::new(Headless { memory: Memory::new()?, gles: None, heads })))
    }

    /// The same with frames that OpenGL ES draws, on whatever this machine has for it.
    ///
    /// # Errors
    ///
    /// If OpenGL ES cannot be set up.
    pub fn headless_gles(heads: Vec<Head>) -> Result<Self, BackendError> {
        let gles = Some(Box::new(Offscreen::new()?));
        Ok(Self::Headless(Box::new(Headless { memory: Memory::new()?, gles, heads })))
    }

    /// The screens that are there at the start.
    #[must_use]
    pub fn heads(&self) -> Vec<Head> {
        match self {
            Self::Headless(headless) => headless.heads.clone(),
            Self::Drm(drm) => drm.heads(),
            Self::Nested(nested) => vec![nested.head()],
            Self::X11(x11) => vec![x11.head()],
        }
    }

    /// Whether screens are plugged in and out through the control socket.
    #[must_use]
    pub fn is_headless(&self) -> bool {
        matches!(self, Self::Headless(_))
    }

    /// Makes the screens be as the outputs say, and prepares to draw the ones that are in use.
    ///
    /// # Errors
    ///
    /// If there is no memory for the pictures or a screen cannot be set up; the others are all the same.
    pub fn follow(&mut self, outputs: &Outputs) -> Result<(), BackendError> {
        match self {
            Self::Headless(headless) => headless.follow(outputs),
            Self::Nested(_) | Self::X11(_) => self.memory_mut().follow(outputs),
            Self::Drm(drm) => drm.follow(outputs),
        }
    }

    /// Draws what changed of an output since its last frame. Must be asked only while [`Backend::may_draw`].
    ///
    /// # Errors
    ///
    /// If the renderer fails as a whole or the screen refuses the frame; a single client's content that cannot be drawn is
    /// no error.
    pub fn draw(&mut self, comp: &mut Comp, output: OutputId) -> Result<Drawn, BackendError> {
        match self {
            Self::Headless(headless) => headless.draw(comp, output),
            Self::Drm(drm) => drm.draw(comp, output),
            Self::Nested(nested) => nested.draw(comp, output),
            Self::X11(x11) => x11.draw(comp, output),
        }
    }

    /// Whether a frame of an output can be drawn now. Otherwise the backend wakes the event loop once it can.
    #[must_use]
    pub fn may_draw<H>(&self, output: OutputId, shell: &Shell<H>) -> bool {
        match self {
            Self::Headless(_) => true,
            Self::Drm(drm) => drm.may_draw(&shell.outputs().of(output).head.name),
            Self::Nested(nested) => nested.may_draw(),
            Self::X11(x11) => x11.may_draw(),
        }
    }

    /// Draws the same scene of the active output off screen, whole, and returns its pixels.
    ///
    /// # Errors
    ///
    /// As for [`Backend::draw`].
    pub fn screenshot(&mut self, comp: &mut Comp) -> Result<Picture, BackendError> {
        let active = comp.shell.outputs().active().id;
        self.screenshot_of(comp, active)
    }

    /// The same of any output.
    ///
    /// # Errors
    ///
    /// As for [`Backend::draw`].
    pub fn screenshot_of(&mut self, comp: &mut Comp, output: OutputId) -> Result<Picture, BackendError> {
        self.memory_mut().screenshot(comp, output)
    }

    /// The picture that the frames of an output drawn so far have left; `None` if it is not in use, or if a graphics card has it.
    ///
    /// # Errors
    ///
    /// As for [`Backend::draw`].
    pub fn last_frame_of(&mut self, output: OutputId) -> Result<Option<Picture>, BackendError> {
        match self {
            Self::Headless(headless) => headless.last_frame(output),
            Self::Drm(_) | Self::Nested(_) | Self::X11(_) => self.memory_mut().last_frame(output),
        }
    }

    /// The picture that the frames of output 0 drawn so far have left.
    ///
    /// # Errors
    ///
    /// As for [`Backend::draw`].
    pub fn last_frame(&mut self) -> Result<Picture, BackendError> {
        let nothing = Picture { width: 0, height: 0, rgba: Vec::new() };
        Ok(self.last_frame_of(OutputId::FIRST)?.unwrap_or(nothing))
    }

    /// What drawing the last frame took.
    #[must_use]
    pub fn repainted(&self) -> &Repainted {
        self.memory().repainted()
    }

    /// The next frame of each output is drawn whole.
    pub fn forget_damage(&mut self) {
        match self {
            Self::Headless(headless) => headless.forget_damage(),
            Self::Drm(drm) => drm.forget_damage(),
            Self::Nested(_) | Self::X11(_) => self.memory_mut().forget_damage(),
        }
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

    /// How many values a colour ramp of a screen has, by its name; `None` if its colours cannot be changed.
    #[must_use]
    pub fn gamma_size(&self, name: &str) -> Option<u32> {
        match self {
            Self::Headless(_) => Some(HEADLESS_GAMMA),
            Self::Nested(_) | Self::X11(_) => None,
            Self::Drm(drm) => drm.gamma_size(name),
        }
    }

    /// Gives a screen other colours, or its own; false if the screen refuses. In memory there is nothing to be changed.
    pub fn set_gamma(&mut self, name: &str, ramp: Option<&GammaRamp>) -> bool {
        match self {
            Self::Headless(_) | Self::Nested(_) | Self::X11(_) => true,
            Self::Drm(drm) => drm.set_gamma(name, ramp),
        }
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

    /// Sets all devices up as they are configured.
    pub fn configure_devices(&mut self, config: &InputConfig) {
        match self {
            Self::Headless(_) | Self::Nested(_) | Self::X11(_) => {}
            Self::Drm(drm) => drm.configure_devices(config),
        }
    }

    /// The renderer, for work outside a frame.
    pub fn renderer(&mut self) -> &mut PixmanRenderer {
        self.memory_mut().renderer()
    }

    fn memory(&self) -> &Memory {
        match self {
            Self::Headless(headless) => &headless.memory,
            Self::Drm(drm) => drm.memory(),
            Self::Nested(nested) => nested.memory(),
            Self::X11(x11) => x11.memory(),
        }
    }

    fn memory_mut(&mut self) -> &mut Memory {
        match self {
            Self::Headless(headless) => &mut headless.memory,
            Self::Drm(drm) => drm.memory_mut(),
            Self::Nested(nested) => nested.memory_mut(),
            Self::X11(x11) => x11.memory_mut(),
        }
    }
}

impl Headless {
    fn follow(&mut self, outputs: &Outputs) -> Result<(), BackendError> {
        match &mut self.gles {
            Some(gles) => Ok(gles.follow(outputs)?),
            None => self.memory.follow(outputs),
        }
    }

    fn draw(&mut self, comp: &mut Comp, output: OutputId) -> Result<Drawn, BackendError> {
        match &mut self.gles {
            Some(gles) => {
                let repainted = gles.draw(comp, output)?;
                self.memory.note(repainted);
            }
            None => {
                self.memory.draw(comp, output)?;
            }
        }
        Ok(Drawn::Shown)
    }

    fn last_frame(&mut self, output: OutputId) -> Result<Option<Picture>, BackendError> {
        match &mut self.gles {
            Some(gles) => Ok(gles.last_frame(output)?),
            None => self.memory.last_frame(output),
        }
    }

    fn forget_damage(&mut self) {
        match &mut self.gles {
            Some(gles) => gles.forget_damage(),
            None => self.memory.forget_damage(),
        }
    }
}
