//! The scene of the X-ray: labels and the ground that they stand on, and nothing that a client has drawn.
//!
//! # Model
//!
//! All labels are in front of all grounds, so that the label of a window that others cover is seen through them. What was
//! content is in a dark shade of the VM's colour, with the VM's name in large letters where no window is above it. Popups have
//! their rings. Layers of local programs are not drawn: they have no label, and what is below them has.
//!
//! # Invariant
//!
//! * Nothing here takes a buffer, a title or a cursor of a client. What a client decides is how many windows and popups it has
//!   and how large they are, and each of them has its label.

use std::collections::HashMap;

use smithay::backend::renderer::{ImportAll, ImportMem, Renderer, Texture};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Physical, Rectangle};

use super::elements::SceneElement;
use super::label::{LabelPainter, Marks, Title};
use super::scene::Decor;
use crate::shell::outputs::OutputId;
use crate::shell::window::WindowId;
use crate::state::Comp;
use crate::trust::style::{LabelStyle, Rgb};
use crate::trust::title::GuestText;

/// The bare desktop.
const GROUND: Rgb = Rgb([0x0b, 0x0c, 0x0e]);
/// How much black is in what was content, of 255.
const SHADE: u8 = 205;

/// What the compositor draws of the X-ray, told apart from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Parts {
    windows: HashMap<WindowId, Marks>,
    popups: HashMap<WlSurface, Marks>,
    grounds: HashMap<OutputId, Marks>,
}

impl Parts {
    /// Forgets a window that is gone.
    pub(super) fn forget_window(&mut self, window: WindowId) {
        self.windows.remove(&window);
    }

    /// Forgets a popup that is gone.
    pub(super) fn forget_popup(&mut self, surface: &WlSurface) {
        self.popups.remove(surface);
    }
}

/// What lies behind all labels, the front-most first.
type Grounds<R> = Vec<SceneElement<R>>;

/// The labels of an output, the front-most element first. A window whose label cannot be drawn has no ground either.
pub(super) fn compose<R>(
    comp: &mut Comp,
    renderer: &mut R,
    output: OutputId,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let config = comp.config.current().clone();
    let shown = comp.shell.shown_top_down().filter(|window| window.output == output);
    let windows: Vec<WindowId> = shown.map(|window| window.id).collect();
    let (mut names, mut grounds) = (Vec::new(), Grounds::new());
    let mut above: Vec<Rectangle<i32, Physical>> = Vec::new();
    for id in windows {
        let Some(window) = comp.shell.get(id) else { continue };
        let Some(style) = config.style(&window.origin) else { continue };
        let (frame, scale) = (comp.shell.frame(window), comp.shell.layout_of(window).scale);
        let surface = window.handle.wl_surface().clone();
        let title = Title {
            text: &GuestText::default(),
            imitates: false,
            focused: comp.focused_window().is_some_and(|focused| focused.id == id),
            urgent: false,
            hovered: None,
            maximized: false,
        };
        let mut rects = frame;
        rects.without_buttons();
        popups(comp, &surface, style, scene, &mut grounds);
        let Decor { painter, windows, xray, .. } = &mut comp.decor;
        let own = windows.entry(id).or_default();
        match painter.frame(renderer, &mut own.marks, &rects, style, title, scale) {
            Ok(label) => scene.extend(label.into_iter().map(SceneElement::Label)),
            Err(error) => {
                tracing::error!(vm = %style.label, "error drawing a label of the X-ray: {error}");
                continue;
            }
        }
        if let Some((place, name)) = painter.large_name(renderer, frame.content, style, scale)
            && !above.iter().any(|other| other.overlaps(place))
        {
            names.push(SceneElement::Label(name));
        }
        above.push(frame.outer);
        let marks = xray.windows.entry(id).or_default();
        grounds.push(SceneElement::Label(LabelPainter::bar(marks, frame.content, shade(style))));
    }
    scene.extend(names);
    scene.extend(grounds);
    let place = comp.shell.layout_on(output).whole();
    let marks = comp.decor.xray.grounds.entry(output).or_default();
    scene.push(SceneElement::Label(LabelPainter::bar(marks, place, GROUND)));
}

/// The rings of a window's popups, the front-most first, and their grounds. A popup inside its parent has neither: it is a part
/// of what the parent's label surrounds.
fn popups<R>(
    comp: &mut Comp,
    root: &WlSurface,
    style: &LabelStyle,
    scene: &mut Vec<SceneElement<R>>,
    grounds: &mut Grounds<R>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    for popup in comp.popup_rects(root).into_iter().rev() {
        let Some(outer) = popup.rects.ring else { continue };
        let (surface, content) = (popup.surface.wl_surface(), popup.rects.content);
        let Decor { painter, popups, xray, .. } = &mut comp.decor;
        let own = popups.entry(surface.clone()).or_default();
        let ring = painter.popup_ring(&mut own.marks, outer, content, style);
        scene.extend(ring.into_iter().map(SceneElement::Label));
        let marks = xray.popups.entry(surface.clone()).or_default();
        grounds.push(SceneElement::Label(LabelPainter::bar(marks, content, shade(style))));
    }
}

fn shade(style: &LabelStyle) -> Rgb {
    style.color.mix(Rgb::BLACK, SHADE)
}
