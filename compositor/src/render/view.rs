//! For whom a scene is drawn: for the screen, or for a picture that a local program takes.
//!
//! A picture is drawn anew from the model, by the rule that the configuration has for each VM
//! ([`CaptureRule`]); nothing is ever covered up afterwards. What a VM shows in a window, a
//! popup or a thumbnail goes through [`Comp::shows`], and so does what the input method shows of what is written there.

use smithay::backend::renderer::{ImportAll, ImportMem, Renderer, Texture};
use smithay::utils::{Physical, Point, Rectangle};
use vitrail_protocols::Guard;

use super::cursor;
use super::elements::{BACKING, OnOutput, SceneElement};
use super::label::{TITLES_PER_FRAME, Title};
use super::scene::{Own, compose, guest, solid};
use crate::config::CaptureRule;
use crate::shell::outputs::OutputId;
use crate::shell::window::{Mode, WindowId};
use crate::state::Comp;
use crate::trust::origin::Origin;
use crate::trust::title::GuestText;

/// What a scene is drawn for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The screen.
    #[default]
    Screen,
    /// A picture for a local program.
    Capture {
        /// With the pointer.
        pointer: bool,
    },
}

/// How something of an origin is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    /// As its client made it.
    All,
    /// The label alone, with black for what its client made.
    Black,
}

impl Comp {
    /// How windows and popups of an origin are drawn in the scene that is being drawn; `None`: not at all.
    pub(super) fn shows(&self, origin: &Origin) -> Option<Shows> {
        if self.decor.view == View::Screen || !Guard::Capture.holds() {
            return Some(Shows::All);
        }
        match self.config.current().capture_rule(origin) {
            CaptureRule::Include => Some(Shows::All),
            CaptureRule::Black => Some(Shows::Black),
            CaptureRule::Omit => None,
        }
    }
}

/// The elements of a picture of an output for a local program: all black while the session is locked.
pub(super) fn compose_picture<R>(
    comp: &mut Comp,
    renderer: &mut R,
    output: OutputId,
    pointer: bool,
) -> Vec<OnOutput<R>>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    if comp.lock.is_locked() {
        return Vec::new();
    }
    comp.decor.view = View::Capture { pointer };
    let scene = compose(comp, renderer, output, TITLES_PER_FRAME);
    comp.decor.view = View::Screen;
    scene
}

/// A window with its label and nothing else, for a local program: the frame's corner is at the origin. Without a label, and
/// while the session is locked, there is nothing.
pub(super) fn framed<R>(
    comp: &mut Comp,
    renderer: &mut R,
    id: WindowId,
    own: &mut Own,
    pointer: Option<Point<i32, Physical>>,
) -> Vec<SceneElement<R>>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    comp.decor.view = View::Capture { pointer: pointer.is_some() };
    let scene = compose_framed(comp, renderer, id, own, pointer);
    comp.decor.view = View::Screen;
    scene
}

fn compose_framed<R>(
    comp: &mut Comp,
    renderer: &mut R,
    id: WindowId,
    own: &mut Own,
    pointer: Option<Point<i32, Physical>>,
) -> Vec<SceneElement<R>>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let mut scene = Vec::new();
    let config = comp.config.current().clone();
    let Some(window) = comp.shell.get(id).filter(|_| !comp.lock.is_locked()) else { return scene };
    let Some(shows) = comp.shows(&window.origin) else { return scene };
    let Some(style) = config.style(&window.origin) else { return scene };
    let layout = *comp.shell.layout_of(window);
    let rects = layout.frame(Rectangle::new(layout.margins().0, comp.shell.content(window).size));
    let surface = window.handle.wl_surface().clone();
    let text = match shows {
        Shows::All => GuestText::shown(&window.title, config.titles(&window.origin)),
        Shows::Black => GuestText::default(),
    };
    let title = Title {
        text: &text,
        imitates: config.foreign_labels(style).any(|label| text.resembles(label)),
        focused: comp.focused_window().is_some_and(|focused| focused.id == id),
        hovered: None,
        urgent: false,
        maximized: window.mode == Mode::Maximized,
    };
    let painter = &mut comp.decor.painter;
    let label = match painter.frame(renderer, &mut own.marks, &rects, style, title, layout.scale) {
        Ok(label) => label,
        Err(error) => {
            tracing::error!(vm = %style.label, "error drawing a label, so its window is not shown: {error}");
            return scene;
        }
    };
    if let Some(location) = pointer {
        cursor::compose(comp, renderer, location, &mut scene);
    }
    scene.extend(label.into_iter().map(SceneElement::Label));
    guest(renderer, &surface, rects.content, layout.scale, shows, &mut scene);
    scene.push(solid(own.backing.clone(), rects.content, BACKING));
    scene
}
