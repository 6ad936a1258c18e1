//! The stripe at the top of an output, with its parts, and the banner of a configuration that could not be reloaded.

use smithay::backend::renderer::{ImportAll, ImportMem, Renderer, Texture};
use vitrail_protocols::Guard;

use super::elements::SceneElement;
use super::label::{CAPTURING, LabelError, Places, RESTRAINED, SAYING, Sign, StripeText};
use super::scene::{Decor, OutputDecor};
use super::view::{Shows, View};
use crate::config::Config;
use crate::shell::Layout;
use crate::shell::outputs::OutputId;
use crate::state::Comp;
use crate::trust::origin::Origin;

/// The stripe, from its right end: the workspaces, who takes pictures, what the user has done to VMs, what is in the
/// clipboard between VMs, and whose keyboard it is.
///
/// # Errors
///
/// Any [`LabelError`]; no window must then be drawn.
pub(super) fn compose<R>(
    comp: &mut Comp,
    renderer: &mut R,
    (output, layout): (OutputId, &Layout),
    scene: &mut Vec<SceneElement<R>>,
) -> Result<(), LabelError>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let places = workspaces(comp, renderer, (output, layout), scene);
    let start = places.first().map(|(_, rect)| rect.loc.x);
    let end = layout.origin.x.saturating_add(layout.output.w);
    let mut reserved = start.map_or(0, |start| end.saturating_sub(start));
    reserved = signs(comp, renderer, (output, layout), reserved, scene)?;
    let config = comp.config.current().clone();
    let says = comp.stripe_text(&config);
    let locked = comp.lock.is_locked();
    let Decor { painter, outputs, .. } = &mut comp.decor;
    let OutputDecor { stripe, banner, .. } = outputs.entry(output).or_default();
    let bar = painter.stripe(renderer, stripe, layout.stripe(), reserved, says, layout.scale)?;
    if Guard::Label.holds() {
        scene.extend(bar.into_iter().map(SceneElement::Label));
    }
    if let Some(error) = comp.config.error().filter(|_| !locked) {
        match painter.banner(renderer, banner, layout.banner(), &error.one_line(), layout.scale) {
            Ok(bar) => scene.extend(bar.into_iter().map(SceneElement::Label)),
            Err(error) => tracing::warn!("error drawing the banner: {error}"),
        }
    }
    Ok(())
}

/// The workspaces of an output, and where they are. What is behind a lock is not told.
fn workspaces<R>(
    comp: &mut Comp,
    renderer: &mut R,
    (output, layout): (OutputId, &Layout),
    scene: &mut Vec<SceneElement<R>>,
) -> Places
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let shown = |origin: &Origin| comp.shows(origin).is_some();
    let heard = |origin: &Origin| comp.shows(origin) == Some(Shows::All);
    let locked = comp.lock.is_locked();
    let told = if locked { Vec::new() } else { comp.shell.workspaces_told_on(output, shown, heard) };
    let on_screen = comp.decor.view == View::Screen;
    let Decor { painter, outputs, .. } = &mut comp.decor;
    let OutputDecor { workspaces_ground, workspaces_at, .. } = outputs.entry(output).or_default();
    match painter.workspaces(renderer, workspaces_ground, layout.stripe(), &told, layout.scale) {
        Ok((parts, places)) => {
            scene.extend(parts.into_iter().map(SceneElement::Label));
            // Where they are in a picture is nowhere that somebody could press them.
            if on_screen {
                workspaces_at.clone_from(&places);
            }
            places
        }
        Err(error) => {
            tracing::warn!("error drawing the workspaces: {error}");
            workspaces_at.clear();
            Vec::new()
        }
    }
}

/// Who takes pictures, whom the user has hidden, paused or cut off, and what is in the clipboard between VMs. Takes and returns how much of the stripe is in use, from
/// its right end.
fn signs<R>(
    comp: &mut Comp,
    renderer: &mut R,
    (output, layout): (OutputId, &Layout),
    mut reserved: i32,
    scene: &mut Vec<SceneElement<R>>,
) -> Result<i32, LabelError>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let on_screen = comp.decor.view == View::Screen;
    if on_screen {
        comp.captures.say(comp.now());
    }
    let capturing = comp.captures.said(on_screen).map(str::to_owned);
    // What the user has done to VMs is the user's alone.
    let restrained = comp.restraints_in_words().filter(|_| on_screen && !comp.lock.is_locked());
    let sign = comp.selections.between.sign().filter(|_| on_screen && !comp.lock.is_locked());
    let of = sign.and_then(|sign| comp.config.current().style(sign.of.as_ref()?));
    let (copied, ground) = (sign.map(|sign| sign.words.clone()), of.map_or(SAYING, |style| style.color));
    let Decor { painter, outputs, .. } = &mut comp.decor;
    let OutputDecor { indicator, restraints, clipboard, .. } = outputs.entry(output).or_default();
    let signs = [
        (capturing, CAPTURING, indicator),
        (restrained, RESTRAINED, restraints),
        (copied, ground, clipboard),
    ];
    for (words, color, marks) in signs {
        let Some(words) = words else { continue };
        let (free, sign) = (layout.output.w.saturating_sub(reserved), Sign { words: &words, color });
        // This must be seen: without it there is no stripe, and without a stripe no window.
        let (parts, width) = painter.indicator(renderer, marks, layout.stripe(), free, sign, layout.scale)?;
        scene.extend(parts.into_iter().map(SceneElement::Label));
        reserved = reserved.saturating_add(width);
    }
    Ok(reserved)
}

impl Comp {
    /// Whose keyboard it is, or why it is nobody's.
    fn stripe_text<'a>(&self, config: &'a Config) -> StripeText<'a> {
        if self.lock.is_locked() {
            return StripeText::Locked;
        }
        if self.is_attending() {
            return StripeText::Attending;
        }
        if self.is_asking() {
            return StripeText::Asking;
        }
        let focus = self.focused_origin().filter(|origin| self.shows(origin).is_some());
        let Some((origin, style)) = focus.and_then(|origin| Some((origin, config.style(origin)?))) else {
            return StripeText::Nobody;
        };
        match self.input.held.placement() {
            _ if self.is_paused(origin) => StripeText::Paused(style),
            Some(placement) => StripeText::Placing(style, placement.hint()),
            None => match self.held_hint() {
                Some(hint) => StripeText::Holding(style, hint),
                None => StripeText::Keyboard(style),
            },
        }
    }
}
