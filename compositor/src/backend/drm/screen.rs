//! What one screen shows: two buffers of the graphics card that take turns.
//!
//! Which buffers these are depends on who draws: the processor copies into dumb buffers ([`ScanOut`]), the card draws into its
//! own ([`gbm::Buffers`]).
//!
//! # Invariants
//!
//! * The buffer that is on the screen, or on its way there, is not written.
//! * The pointer is on a plane of its own ([`Cursor`]) or in the picture, never in both or in neither.
//! * The screen shows one composed picture, and nothing else but the pointer: no client's buffer is ever on a plane.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use smithay::backend::drm::{DrmDevice, DrmSurface, PlaneConfig, PlaneState};
use smithay::reexports::drm::control::{Device as _, connector, crtc, framebuffer};
use smithay::utils::{Physical, Rectangle, Size, Transform};

use super::DrmError;
use super::connector::Choice;
use super::cursor::Cursor;
use super::dumb::ScanOut;
use super::gbm::{self, Card};
use crate::backend::gles::Composed;
use crate::backend::memory::{Pixels, PointerPlace};
use crate::handlers::gamma_control::GammaRamp;
use crate::shell::outputs::OutputId;
use crate::state::Comp;

/// What a frame of a screen is made of.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    /// A picture in memory, of which this has changed.
    Memory(Pixels<'a>, &'a [Rectangle<i32, Physical>]),
    /// A scene that the card draws.
    Scene(&'a mut Card, &'a Composed),
}

/// The buffers of a screen.
#[derive(Debug)]
enum Buffers {
    Dumb(Box<[ScanOut; 2]>),
    Gbm(Box<gbm::Buffers>),
}

/// A buffer that is drawn, or will be by the time that the screen shows it.
#[derive(Debug)]
pub(super) struct Ready {
    /// What the screen calls it.
    pub framebuffer: framebuffer::Handle,
    /// Says when it is drawn, where the screen waits for that.
    pub fence: Option<OwnedFd>,
}

/// A screen that shows something.
#[derive(Debug)]
pub(super) struct Screen {
    // Before the buffers, so that the screen is off before they go.
    surface: DrmSurface,
    name: String,
    choice: Choice,
    /// How the picture is turned on its way to the screen.
    transform: Transform,
    buffers: Buffers,
    /// What shows the pointer, if the graphics card can.
    cursor: Option<Cursor>,
    /// Which buffer is written next.
    back: usize,
    /// A frame is on its way; the graphics card will say when it is shown.
    pending: bool,
    /// The last frame was sent, and nobody else has used the screen since.
    current: bool,
}

impl Screen {
    /// Takes a screen over. It shows nothing new before the first frame.
    pub(super) fn new(
        device: &mut DrmDevice,
        choice: Choice,
        name: String,
        (card, cursor_plane): (Option<&mut Card>, bool),
    ) -> Result<Self, DrmError> {
        let surface = device
            .create_surface(choice.crtc, choice.mode, &[choice.connector])
            .map_err(DrmError::TakeScreen)?;
        let buffers = Buffers::new(device, &surface, card, choice.size())?;
        let transform = Transform::Normal;
        let cursor = if cursor_plane { Cursor::find(device, &surface) } else { None };
        Ok(Self {
            surface,
            name,
            choice,
            transform,
            buffers,
            cursor,
            back: 0,
            pending: false,
            current: false,
        })
    }

    /// Shows another resolution from the next frame on.
    pub(super) fn change_mode(
        &mut self,
        device: &DrmDevice,
        card: Option<&mut Card>,
        choice: Choice,
    ) -> Result<(), DrmError> {
        self.surface.use_mode(choice.mode).map_err(DrmError::ChangeMode)?;
        // Without the old ones the screen is dark until the next frame, as it is while its mode changes anyway.
        self.buffers = Buffers::new(device, &self.surface, card, choice.size())?;
        self.choice = choice;
        self.current = false;
        Ok(())
    }

    /// Shows what the processor draws from the next frame on. Until then it is dark.
    pub(super) fn use_dumb_buffers(&mut self, device: &DrmDevice) -> Result<(), DrmError> {
        self.buffers = Buffers::new(device, &self.surface, None, self.choice.size())?;
        self.current = false;
        Ok(())
    }

    /// Turns the picture from the next frame on.
    pub(super) fn turn(&mut self, transform: Transform) {
        if self.transform != transform {
            self.transform = transform;
            self.forget();
        }
    }

    /// The connector's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn connector(&self) -> connector::Handle {
        self.choice.connector
    }

    pub(super) fn crtc(&self) -> crtc::Handle {
        self.choice.crtc
    }

    /// The mode as the graphics card has it.
    pub(super) fn choice(&self) -> &Choice {
        &self.choice
    }

    /// How many values a colour ramp has.
    pub(super) fn gamma_size(&self, device: &DrmDevice) -> Option<u32> {
        device.get_crtc(self.crtc()).ok().map(|crtc| crtc.gamma_length()).filter(|size| *size > 0)
    }

    /// Shows other colours, or those that are sent.
    pub(super) fn set_gamma(&self, device: &DrmDevice, ramp: Option<&GammaRamp>) -> io::Result<()> {
        if let Some(ramp) = ramp {
            let [red, green, blue] = ramp.colors();
            return device.set_gamma(self.crtc(), red, green, blue);
        }
        let size = self.gamma_size(device).unwrap_or_default();
        let last = u64::from(size.saturating_sub(1)).max(1);
        let value =
            |index: u32| u16::try_from(u64::from(index) * u64::from(u16::MAX) / last).unwrap_or(u16::MAX);
        let straight: Vec<u16> = (0..size).map(value).collect();
        device.set_gamma(self.crtc(), &straight, &straight, &straight)
    }

    pub(super) fn is_pending(&self) -> bool {
        self.pending
    }

    /// The frame that was on its way is shown, or lost with the console.
    pub(super) fn end_pending(&mut self) {
        self.pending = false;
    }

    /// Whether the screen shows the last frame, or will.
    pub(super) fn is_current(&self) -> bool {
        self.current && self.cursor.as_ref().is_none_or(Cursor::is_current)
    }

    /// Prepares the pointer's plane for the next frame. False if the pointer is to be in the picture instead.
    pub(super) fn place_pointer(&mut self, comp: &mut Comp, output: OutputId) -> bool {
        let is_upright = self.transform == Transform::Normal;
        self.cursor.as_mut().is_some_and(|cursor| {
            if is_upright {
                cursor.place(comp, &self.surface, output)
            } else {
                cursor.leave("the screen is turned")
            }
        })
    }

    /// From now on the pointer is in the picture, because a frame with its plane was refused.
    pub(super) fn give_up_cursor(&mut self, error: &DrmError) {
        tracing::debug!("the pointer is drawn by the processor: its plane was refused: {error:?}");
        self.cursor = None;
    }

    /// Somebody else has used the screen.
    pub(super) fn forget(&mut self) {
        self.current = false;
        match &mut self.buffers {
            Buffers::Dumb(pair) => pair.iter_mut().for_each(ScanOut::forget),
            Buffers::Gbm(buffers) => buffers.forget(),
        }
        if let Some(cursor) = &mut self.cursor {
            cursor.forget();
        }
    }

    /// Composes the scene that the card is to draw, with or without the pointer.
    pub(super) fn compose(
        &mut self,
        card: &mut Card,
        comp: &mut Comp,
        output: OutputId,
        pointer: PointerPlace,
    ) -> Result<Composed, DrmError> {
        match &mut self.buffers {
            Buffers::Gbm(buffers) => Ok(buffers.compose(card, comp, output, pointer)?),
            Buffers::Dumb(_) => Err(DrmError::OtherBuffers),
        }
    }

    /// Brings what changed into the buffer whose turn it is, and sends that to the screen, with the pointer as it was placed
    /// last. Where only the pointer has moved, its plane alone is sent.
    pub(super) fn show(&mut self, frame: Frame<'_>) -> Result<(), DrmError> {
        let modeset = self.surface.commit_pending();
        let changed = match &frame {
            Frame::Memory(_, damage) => !damage.is_empty(),
            Frame::Scene(_, composed) => !composed.damage.is_empty(),
        };
        let with_picture = modeset || !self.current || changed;
        let ready = if with_picture { Some(self.draw_back(frame)?) } else { None };
        let mut planes = Vec::with_capacity(2);
        planes.extend(ready.as_ref().map(|ready| ready.plane(&self.surface, self.choice.size())));
        planes.extend(self.cursor.as_ref().map(Cursor::state));
        let sent =
            if modeset { self.surface.commit(planes, true) } else { self.surface.page_flip(planes, true) };
        self.current = sent.is_ok();
        sent.map_err(DrmError::Show)?;
        if with_picture {
            self.back = 1 - self.back;
        }
        if let Some(cursor) = &mut self.cursor {
            cursor.sent();
        }
        self.pending = true;
        Ok(())
    }

    /// Brings what changed into the buffer whose turn it is.
    fn draw_back(&mut self, frame: Frame<'_>) -> Result<Ready, DrmError> {
        let size = self.choice.size();
        match (&mut self.buffers, frame) {
            (Buffers::Dumb(pair), Frame::Memory(pixels, damage)) => {
                pair.iter_mut().for_each(|buffer| buffer.note(damage));
                let [first, second] = &mut **pair;
                let buffer = if self.back == 0 { first } else { second };
                buffer.write(pixels, self.transform, size);
                Ok(Ready { framebuffer: buffer.framebuffer(), fence: None })
            }
            (Buffers::Gbm(buffers), Frame::Scene(card, composed)) => {
                Ok(buffers.draw(card, self.back, composed, (size, self.transform))?)
            }
            (Buffers::Dumb(_), Frame::Scene(..)) | (Buffers::Gbm(_), Frame::Memory(..)) => {
                Err(DrmError::OtherBuffers)
            }
        }
    }
}

impl Buffers {
    /// Those that the card draws into, or where there is none that draws, those that the processor does.
    fn new(
        device: &DrmDevice,
        surface: &DrmSurface,
        card: Option<&mut Card>,
        size: Size<i32, Physical>,
    ) -> Result<Self, DrmError> {
        match card {
            Some(card) => Ok(Self::Gbm(Box::new(gbm::Buffers::new(card, surface, size)?))),
            None => Ok(Self::Dumb(Box::new(ScanOut::pair(device, size)?))),
        }
    }
}

impl Ready {
    /// The screen shows all of it.
    pub(super) fn plane(&self, surface: &DrmSurface, size: Size<i32, Physical>) -> PlaneState<'_> {
        let config = PlaneConfig {
            src: Rectangle::from_size((f64::from(size.w), f64::from(size.h)).into()),
            dst: Rectangle::from_size(size),
            transform: Transform::Normal,
            alpha: 1.0,
            // The kernel takes everything as changed. What it would need is what changed in this buffer; some drivers take it
            // for what changed on the screen.
            damage_clips: None,
            fb: self.framebuffer,
            fence: self.fence.as_ref().map(|fence| fence.as_fd()),
        };
        PlaneState { handle: surface.plane(), config: Some(config) }
    }
}
