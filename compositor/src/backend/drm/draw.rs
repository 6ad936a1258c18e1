//! Who draws the frames of a console's screens, and drawing them.
//!
//! # Model
//!
//! If the graphics card has OpenGL that is more than the processor in disguise, the card draws ([`Card`]); otherwise the processor
//! does, into memory, and the rectangles that changed are copied into dumb buffers. It is chosen at the start, for all
//! screens. If the card's OpenGL fails later (its context is lost, or a screen comes that it has no buffers for), the
//! processor draws from then on, whatever was chosen: what matters is that there is a picture.

use smithay::backend::drm::{DrmDevice, DrmDeviceFd};

use super::connector::{self, Choice, Plugged};
use super::gbm::Card;
use super::screen::{Frame, Screen};
use super::{Drm, DrmError};
use crate::backend::gles::GlesError;
use crate::backend::memory::PointerPlace;
use crate::backend::{BackendError, Drawn, Renderer, Repainted};
use crate::shell::outputs::{OutputId, Outputs};
use crate::state::Comp;

/// What draws on a card, and why it does, for the log.
pub(super) fn choose(fd: &DrmDeviceFd, wanted: Renderer) -> Result<(Option<Card>, String), DrmError> {
    let reason = match wanted {
        Renderer::Gles => {
            let card = Card::new(fd).map_err(DrmError::NoGles)?;
            let also = if card.gles.is_software() { ", which is the processor, too," } else { "" };
            let says = format!(
                "drawing by OpenGL ES ({}){also} into buffers of the graphics card",
                card.gles.name()
            );
            return Ok((Some(card), says));
        }
        Renderer::Pixman => "--renderer pixman says so",
        Renderer::Auto => "OpenGL ES is used only where --renderer gles asks for it",
    };
    Ok((None, format!("drawing by the processor (pixman) into dumb buffers, because {reason}")))
}

impl Drm {
    pub(in crate::backend) fn draw(
        &mut self,
        comp: &mut Comp,
        output: OutputId,
    ) -> Result<Drawn, BackendError> {
        if self.card.is_some() {
            match self.draw_by_card(comp, output) {
                Err(DrmError::Gles(error)) => self.give_up_card(error, comp.shell.outputs())?,
                drawn => return Ok(drawn?),
            }
        }
        self.draw_by_processor(comp, output)
    }

    fn draw_by_card(&mut self, comp: &mut Comp, output: OutputId) -> Result<Drawn, DrmError> {
        let name = &comp.shell.outputs().of(output).head.name;
        let screen = self.screens.iter_mut().find(|screen| screen.name() == name);
        let (Some(screen), Some(card)) = (screen, &mut self.card) else { return Ok(Drawn::Shown) };
        let apart = screen.place_pointer(comp, output);
        let place = if apart { PointerPlace::Apart } else { PointerPlace::Picture };
        let composed = screen.compose(card, comp, output, place)?;
        let (rectangles, elements) = (composed.damage.clone(), composed.elements.len());
        self.memory.note(Repainted { rectangles, elements });
        // After a change of the console the screen shows something else, whatever was drawn last.
        if composed.damage.is_empty() && screen.is_current() {
            return Ok(Drawn::Shown);
        }
        match screen.show(Frame::Scene(card, &composed)) {
            Err(DrmError::Gles(error)) => return Err(error.into()),
            Err(error) if apart => {
                screen.give_up_cursor(&error);
                let composed = screen.compose(card, comp, output, PointerPlace::Picture)?;
                screen.show(Frame::Scene(card, &composed))?;
            }
            shown => shown?,
        }
        Ok(Drawn::Coming)
    }

    fn draw_by_processor(&mut self, comp: &mut Comp, output: OutputId) -> Result<Drawn, BackendError> {
        let name = &comp.shell.outputs().of(output).head.name;
        let mut screen = self.screens.iter_mut().find(|screen| screen.name() == name);
        let apart = screen.as_mut().is_some_and(|screen| screen.place_pointer(comp, output));
        let place = if apart { PointerPlace::Apart } else { PointerPlace::Picture };
        let damage = self.memory.draw_with(comp, output, place)?;
        let (Some(screen), Some(pixels)) = (screen, self.memory.pixels(output)) else {
            return Ok(Drawn::Shown);
        };
        // After a change of the console the screen shows something else, whatever is in memory.
        if damage.is_empty() && screen.is_current() {
            return Ok(Drawn::Shown);
        }
        match screen.show(Frame::Memory(pixels, &damage)) {
            Err(error) if apart => {
                screen.give_up_cursor(&error);
                let damage = self.memory.draw(comp, output)?;
                let pixels = self.memory.pixels(output);
                pixels.map_or(Ok(()), |pixels| screen.show(Frame::Memory(pixels, &damage)))?;
            }
            shown => shown?,
        }
        Ok(Drawn::Coming)
    }

    /// From now on the processor draws.
    fn give_up_card(&mut self, error: GlesError, outputs: &Outputs) -> Result<(), BackendError> {
        if self.insists {
            return Err(DrmError::NoGles(error).into());
        }
        let error = anyhow::Error::from(error);
        tracing::warn!(
            "OpenGL failed, so the processor draws from now on (pixman, into dumb buffers): {error:#}"
        );
        self.card = None;
        if let Some(device) = &self.device {
            self.screens.retain_mut(|screen| {
                let taken = screen.use_dumb_buffers(device);
                if let Err(error) = &taken {
                    // It is dark then, and taken anew when the screens are looked at the next time.
                    tracing::error!(output = %screen.name(), "a screen cannot be used: {error:?}");
                }
                taken.is_ok()
            });
        }
        self.memory.follow(outputs)
    }

    /// Has what is needed to draw the outputs, takes their screens, and gives up the others. If some screens cannot be taken, the
    /// others are, and the first error is returned.
    pub(in crate::backend) fn follow(&mut self, outputs: &Outputs) -> Result<(), BackendError> {
        if self.card.is_none() {
            self.memory.follow(outputs)?;
        }
        match self.follow_screens(outputs) {
            Err(DrmError::Gles(error)) => {
                self.give_up_card(error, outputs)?;
                Ok(self.follow_screens(outputs)?)
            }
            followed => {
                followed?;
                // It could be set up. Should it fail later, any picture is better than none.
                self.insists &= self.screens.is_empty();
                Ok(())
            }
        }
    }

    /// All that is on the screens is to be drawn anew.
    pub(in crate::backend) fn forget_damage(&mut self) {
        for screen in &mut self.screens {
            screen.forget();
        }
        self.memory.forget_damage();
    }

    /// Takes the screens that are in use and lit, in their modes, and gives up the others. If some cannot be taken, the others are,
    /// and the first error is returned.
    fn follow_screens(&mut self, outputs: &Outputs) -> Result<(), DrmError> {
        // When the session goes on, everything is looked at again.
        let Some(device) = self.device.as_mut().filter(|_| !self.paused) else { return Ok(()) };
        let used = || outputs.used().filter(|output| output.connected && output.powered);
        let named = |name: &str| self.plugged.iter().find(|plugged| plugged.head.name == name);
        let wanted: Vec<&Plugged> = used().filter_map(|output| named(&output.head.name)).collect();
        let before = self.screens.iter().map(|screen| (screen.connector(), screen.crtc())).collect();
        let crtcs = connector::assign(&wanted, &before);
        // First, because what drives them may be needed for others.
        self.screens.retain(|screen| crtcs.get(&screen.connector()) == Some(&screen.crtc()));
        let mut result = Ok(());
        for output in used() {
            let Some(plugged) = named(&output.head.name) else { continue };
            let (Some(crtc), Some(mode)) = (crtcs.get(&plugged.connector), plugged.mode(output.mode)) else {
                tracing::warn!(output = %output.head.name, "the graphics card cannot drive this screen, too");
                continue;
            };
            let choice = Choice { connector: plugged.connector, crtc: *crtc, mode };
            let name = &output.head.name;
            let drawing = (self.card.as_mut(), self.cursor_plane);
            let taken = take(device, &mut self.screens, choice, name, drawing);
            match taken {
                Ok(screen) => screen.turn(output.transform),
                Err(error) => {
                    // A frame that does not fit would not be shown.
                    self.screens.retain(|screen| screen.connector() != choice.connector);
                    result = result.and(Err(error));
                }
            }
        }
        result
    }
}

/// The screen that is driven in this way, taken if it is not yet.
fn take<'a>(
    device: &mut DrmDevice,
    screens: &'a mut Vec<Screen>,
    choice: Choice,
    name: &str,
    (mut card, cursor_plane): (Option<&mut Card>, bool),
) -> Result<&'a mut Screen, DrmError> {
    let (index, changed) = match screens.iter().position(|screen| screen.connector() == choice.connector) {
        Some(index) => (index, false),
        None => {
            screens.push(Screen::new(device, choice, name.to_owned(), (card.as_deref_mut(), cursor_plane))?);
            (screens.len() - 1, true)
        }
    };
    // There is one at the place that was just found or filled.
    let screen = &mut screens[index];
    let other_mode = *screen.choice() != choice;
    if other_mode {
        screen.change_mode(device, card, choice)?;
    }
    if changed || other_mode {
        let mode = smithay::output::Mode::from(choice.mode);
        let (hertz, rest) = (mode.refresh / 1000, mode.refresh % 1000);
        tracing::info!(output = %name, mode = %format!("{}x{}@{hertz}.{rest:03}", mode.size.w, mode.size.h), "a screen is used");
    }
    Ok(screen)
}
