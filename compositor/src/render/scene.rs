//! What one frame of one output shows, front to back.
//!
//! From the top: the pointer, the stripe, a question to the user, the overlay in which a window is chosen, the layers above the
//! windows, then each window from the top of the stack with its popups above it, those of the input method first, the layers
//! below the windows, and the background.
//! The layers are local programs' and wear no label (`docs/local-programs.md`). A window is its label and, cut to its content
//! rectangle, its surfaces over an opaque backing. The same rectangles are used for hit-testing and for the report, so that
//! nothing is drawn where it cannot be accounted for. While the session is locked there is the lock alone.
//!
//! The same is drawn for the pictures that local programs take, with less in it ([`super::view`]).

use std::collections::HashMap;

use smithay::backend::renderer::element::solid::SolidColorRenderElement;
use smithay::backend::renderer::element::surface::{
    WaylandSurfaceRenderElement, WaylandSurfaceTexture, render_elements_from_surface_tree,
};
use smithay::backend::renderer::element::utils::CropRenderElement;
use smithay::backend::renderer::element::{Element as _, Id, Kind};
use smithay::backend::renderer::utils::CommitCounter;
use smithay::backend::renderer::{Color32F, ImportAll, ImportMem, Renderer, Texture};
use smithay::input::pointer::CursorImageStatus;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Physical, Point, Rectangle};
use smithay::wayland::compositor::with_states;
use smithay::wayland::shell::xdg::{ToplevelSurface, XdgToplevelSurfaceData};
use vitrail_protocols::Guard;

use super::animation::{self, Movements};
use super::background::{self, Background};
use super::cursor::{self, Cursors};
use super::elements::{BACKING, Guest, OnOutput, SceneElement};
use super::frame;
use super::label::{LabelElement, LabelError, LabelPainter, Marks, Places, Title};
use super::view::{Shows, View};
use super::{dragged, panel, prompt, stripe, switcher, xray};
use crate::config::Config;
use crate::handlers::geometry::window_geometry;
use crate::input::frame_buttons::Pointed;
use crate::input::hold::Interaction;
use crate::shell::outputs::{OutputId, Outputs};
use crate::shell::popup::PopupRects;
use crate::shell::window::{Mode, WindowId};
use crate::shell::{Layout, Target};
use crate::state::Comp;
use crate::trust::client::origin_of;
use crate::trust::origin::Origin;
use crate::trust::style::LabelStyle;
use crate::trust::title::GuestText;

/// The colour behind everything, where there is nothing to be drawn on it either.
pub const BACKGROUND: [f32; 4] = [0.10, 0.11, 0.13, 1.0];

/// The colour of a locked session where the program that locked it shows nothing.
pub const LOCKED: Color32F = Color32F::new(0.06, 0.07, 0.09, 1.0);

/// What the compositor draws of one window or popup, told apart from frame to frame so that only changes are
/// drawn.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) marks: Marks,
    pub(super) backing: Id,
}

impl Default for Own {
    fn default() -> Self {
        Self { marks: Marks::default(), backing: Id::new() }
    }
}

/// The compositor's own part of all scenes: the painter of labels, and what it painted where.
#[derive(Debug)]
pub struct Decor {
    pub(super) painter: LabelPainter,
    pub(super) windows: HashMap<WindowId, Own>,
    pub(super) popups: HashMap<WlSurface, Own>,
    preview: Marks,
    /// What each output has for itself.
    pub(super) outputs: HashMap<OutputId, OutputDecor>,
    /// The overlay in which a window is chosen: its cells, the ring around the chosen one, and what they stand on.
    pub(super) cells: HashMap<WindowId, Own>,
    pub(super) chosen: Marks,
    pub(super) panel: Marks,
    pub(super) cursors: Cursors,
    /// What is behind everything.
    pub background: Background,
    /// Windows on their way.
    pub animations: Movements,
    /// What the scene is drawn for that is being drawn.
    pub(super) view: View,
    pub(super) prompt: prompt::Parts,
    pub(super) panel_parts: panel::Parts,
    pub(super) xray: xray::Parts,
}

/// The compositor's own part of the scenes of one output.
#[derive(Debug)]
pub(super) struct OutputDecor {
    pub(super) background: Marks,
    pub(super) stripe: Marks,
    pub(super) banner: Marks,
    /// What the workspaces in the stripe stand on, and where each was drawn last.
    pub(super) workspaces_ground: Marks,
    pub(super) workspaces_at: Places,
    pub(super) lock: Id,
    pub(super) indicator: Marks,
    pub(super) restraints: Marks,
    pub(super) clipboard: Marks,
}

impl Default for OutputDecor {
    fn default() -> Self {
        Self {
            background: Marks::default(),
            stripe: Marks::default(),
            banner: Marks::default(),
            workspaces_ground: Marks::default(),
            workspaces_at: Vec::new(),
            lock: Id::new(),
            indicator: Marks::default(),
            restraints: Marks::default(),
            clipboard: Marks::default(),
        }
    }
}

impl Decor {
    /// A painter that has painted nothing yet.
    ///
    /// # Errors
    ///
    /// If the built-in fonts cannot be used.
    pub fn new() -> Result<Self, LabelError> {
        Ok(Self {
            painter: LabelPainter::new()?,
            windows: HashMap::new(),
            popups: HashMap::new(),
            preview: Marks::default(),
            outputs: HashMap::new(),
            cells: HashMap::new(),
            chosen: Marks::default(),
            panel: Marks::default(),
            cursors: Cursors::default(),
            background: Background::default(),
            animations: Movements::default(),
            view: View::Screen,
            prompt: prompt::Parts::default(),
            panel_parts: panel::Parts::default(),
            xray: xray::Parts::default(),
        })
    }

    /// Forgets a window that is gone.
    pub fn forget_window(&mut self, window: WindowId) {
        self.windows.remove(&window);
        self.xray.forget_window(window);
    }

    /// The workspace whose name is at a point of the stripe.
    #[must_use]
    pub fn workspace_at(&self, point: Point<i32, Physical>) -> Option<usize> {
        let drawn = self.outputs.get(&OutputId::at(point))?.workspaces_at.iter();
        let mut at = drawn.filter(|(_, rect)| rect.contains(point));
        at.next().map(|(index, _)| *index)
    }

    /// Forgets outputs that are not in use.
    pub fn follow(&mut self, outputs: &Outputs) {
        self.outputs.retain(|id, _| outputs.get(*id).is_some_and(|output| output.in_use));
        self.background.follow(outputs);
        self.animations.follow(outputs);
    }

    /// Forgets a popup that is gone.
    pub fn forget_popup(&mut self, surface: &WlSurface) {
        self.popups.remove(surface);
        self.xray.forget_popup(surface);
    }
}

/// The elements of a frame of an output, the front-most first, as seen from its upper left corner. At most `titles_per_vm` new
/// titles of each VM are painted; if that leaves some for later, another frame is asked for.
pub fn compose<R>(comp: &mut Comp, renderer: &mut R, output: OutputId, titles_per_vm: u32) -> Vec<OnOutput<R>>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let origin = output.origin();
    let mut scene = Vec::new();
    pointer(comp, renderer, output, &mut scene);
    let mut scene: Vec<_> = scene.into_iter().map(|element| OnOutput::new(element, origin)).collect();
    scene.extend(compose_below_pointer(comp, renderer, output, titles_per_vm));
    scene
}

/// The same without the pointer, which is above all of it.
pub fn compose_below_pointer<R>(
    comp: &mut Comp,
    renderer: &mut R,
    output: OutputId,
    titles_per_vm: u32,
) -> Vec<OnOutput<R>>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let origin = output.origin();
    let scene = compose_in_place(comp, renderer, output, titles_per_vm).into_iter();
    scene.map(|element| OnOutput::new(element, origin)).collect()
}

/// The same, where it is among the physical pixels of all outputs.
fn compose_in_place<R>(
    comp: &mut Comp,
    renderer: &mut R,
    output: OutputId,
    titles_per_vm: u32,
) -> Vec<SceneElement<R>>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let mut scene = Vec::new();
    let layout = *comp.shell.layout_on(output);
    comp.decor.painter.begin_frame(titles_per_vm);
    // A picture is of windows as they stand, and of none that is gone.
    let on_screen = comp.decor.view == View::Screen;
    let moves = on_screen && animation::step(comp, output);
    // Without the stripe nothing says who has the keyboard, so no window is drawn either; but where one has the whole output its
    // own label says so.
    let away = on_screen && comp.shell.is_retreated(output);
    if !away && let Err(error) = stripe::compose(comp, renderer, (output, &layout), &mut scene) {
        tracing::error!("error drawing the stripe: {error}");
        return scene;
    }
    if comp.lock.is_locked() && Guard::Lock.holds() {
        lock(comp, renderer, (output, &layout), &mut scene);
        return scene;
    }
    dragged::compose(comp, renderer, output, &mut scene);
    panel::compose(comp, renderer, output, &mut scene);
    prompt::compose(comp, renderer, output, &mut scene);
    if on_screen && comp.is_xray() {
        // Nothing below here is made, so that nothing of any client's can be in the frame.
        xray::compose(comp, renderer, output, &mut scene);
        return scene;
    }
    if comp.shell.outputs().active().id == output {
        switcher::compose(comp, renderer, &mut scene);
    }
    preview(comp, output, &mut scene);
    let shown = comp.shell.shown_top_down().filter(|window| window.output == output);
    let windows: Vec<WindowId> = shown.map(|window| window.id).collect();
    if !away {
        layers(comp, renderer, output, true, &mut scene);
    }
    let pointed = comp.pointed_button();
    for id in windows {
        if on_screen {
            animation::compose_leaving(comp, renderer, (output, Some(id)), &mut scene);
        }
        window(comp, renderer, id, pointed, &mut scene);
    }
    if on_screen {
        animation::compose_leaving(comp, renderer, (output, None), &mut scene);
    }
    layers(comp, renderer, output, false, &mut scene);
    background::compose(comp, renderer, output, &mut scene);
    background(comp, output, &mut scene);
    if moves || comp.decor.painter.has_postponed() {
        comp.schedule.request();
    }
    scene
}

/// The bare desktop, below everything. It is an element, so that it is drawn anew when it has another colour.
fn background<R>(comp: &mut Comp, output: OutputId, scene: &mut Vec<SceneElement<R>>)
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let color = comp.config.current().theme.background;
    let place = comp.shell.layout_on(output).whole();
    let marks = &mut comp.decor.outputs.entry(output).or_default().background;
    scene.push(SceneElement::Label(LabelPainter::bar(marks, place, color)));
}

/// A ring where the window in the user's hand would come to stand, in the colour of its label.
fn preview<R>(comp: &mut Comp, output: OutputId, scene: &mut Vec<SceneElement<R>>)
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let Some(Interaction::Move { window, drop: Some(mode), .. }) = comp.input.interaction else { return };
    if comp.shell.get(window).is_none_or(|window| window.output != output) {
        return;
    }
    let layout = *comp.shell.layout_on(output);
    let area = layout.work_area();
    let outer =
        if let Mode::Snapped(zone) = mode { layout.frame(layout.zone_content(zone)).outer } else { area };
    let config = comp.config.current().clone();
    let Some(window) = comp.shell.get(window).filter(|window| comp.shows(&window.origin).is_some()) else {
        return;
    };
    let Some(style) = config.style(&window.origin) else { return };
    let inner = frame::grown(outer, -2 * layout.metrics.scaled(layout.scale).border);
    let Decor { painter, preview, .. } = &mut comp.decor;
    let ring = painter.popup_ring(preview, outer, inner, style);
    scene.extend(ring.into_iter().map(SceneElement::Label));
}

/// What is shown of a locked session: the surface of the program that locked it, and nothing of any other. Where that shows
/// nothing, because it has not drawn yet, or crashed, or is translucent, there is a plain colour.
fn lock<R>(
    comp: &mut Comp,
    renderer: &mut R,
    (output, layout): (OutputId, &Layout),
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    if let Some(surface) = comp.shown_lock_on(output) {
        guest(renderer, surface, layout.space(), layout.scale, Shows::All, scene);
    }
    let ground = comp.decor.outputs.entry(output).or_default().lock.clone();
    scene.push(solid(ground, layout.space(), LOCKED));
}

/// One window with its popups. Without a label there is no window.
fn window<R>(
    comp: &mut Comp,
    renderer: &mut R,
    id: WindowId,
    pointed: Option<Pointed>,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let Some(window) = comp.shell.get(id) else { return };
    let config = comp.config.current().clone();
    let Some(style) = config.style(&window.origin) else { return };
    let Some(shows) = comp.shows(&window.origin) else { return };
    // The title is the VM's content too.
    let text = match shows {
        Shows::All => GuestText::shown(&window.title, config.titles(&window.origin)),
        Shows::Black => GuestText::default(),
    };
    let imitates = config.foreign_labels(style).any(|label| text.resembles(label));
    let focused = comp.focused_window().is_some_and(|focused| focused.id == id);
    let maximized = window.mode == Mode::Maximized;
    // So is that it wants attention.
    let urgent = window.urgent && shows == Shows::All;
    let pointed = pointed.filter(|pointed| pointed.window == id);
    let hovered = pointed.map(|pointed| (pointed.button, pointed.pressed));
    let surface = window.handle.wl_surface().clone();
    let content = comp.shell.content(window);
    let on_screen = comp.decor.view == View::Screen;
    let moving = on_screen.then(|| animation::window_at(comp, window.output, id, content)).flatten();
    let rects = moving.map_or_else(|| comp.shell.frame(window), |at| comp.shell.layout_of(window).frame(at));
    let whole = comp.shell.is_real(window);
    let scale = comp.shell.layout_of(window).scale;
    let Decor { painter, windows, .. } = &mut comp.decor;
    let own = windows.entry(id).or_default();
    let backing = own.backing.clone();
    let title = Title { text: &text, imitates, focused, urgent, hovered, maximized };
    let label = match painter.frame(renderer, &mut own.marks, &rects, style, title, scale) {
        Ok(label) => label,
        Err(error) => {
            tracing::error!(vm = %style.label, "error drawing a label, so its window is not shown: {error}");
            if whole {
                comp.input.trusted.flash.failed = Some(id);
            }
            return;
        }
    };
    let label = label.into_iter().filter(|_| Guard::Label.holds());
    let label: Vec<_> = label.map(SceneElement::Label).collect();
    // Of a window that has the whole output the label lies over all that the client shows, popups too.
    let (above, below) = if whole { (label, Vec::new()) } else { (Vec::new(), label) };
    scene.extend(above);
    // The popups of a window that is on its way come when it has arrived: they belong to where it stands.
    if focused && moving.is_none() {
        method_popups(comp, renderer, &config, shows, scene);
    }
    if moving.is_none() {
        popups(comp, renderer, &surface, style, shows, scene);
    }
    scene.extend(below);
    if moving.is_some() {
        animation::guest(renderer, &surface, content.size, rects.content, scale, scene);
    } else {
        guest(renderer, &surface, rects.content, scale, shows, scene);
    }
    if Guard::Backing.holds() {
        scene.push(solid(backing, rects.content, BACKING));
    }
}

/// The content of a window, if it is shown on an output, as it is in a whole scene of that ([`super::contents`]).
pub(super) fn pane<R>(
    comp: &Comp,
    renderer: &mut R,
    output: OutputId,
    surface: &WlSurface,
) -> Option<Vec<OnOutput<R>>>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let mut shown = comp.shell.shown_top_down().filter(|window| window.output == output);
    let window = shown.find(|window| window.handle.wl_surface() == surface)?;
    let mut elements = Vec::new();
    let content = comp.shell.frame(window).content;
    guest(renderer, surface, content, comp.shell.layout_on(output).scale, Shows::All, &mut elements);
    let own = comp.decor.windows.get(&window.id).filter(|_| Guard::Backing.holds());
    elements.extend(own.map(|own| solid(own.backing.clone(), content, BACKING)));
    Some(elements.into_iter().map(|element| OnOutput::new(element, output.origin())).collect())
}

/// The content of a window alone, as it is on the output, with its corner at the origin; and the pointer, if it is to be in it.
pub(super) fn content<R>(
    comp: &mut Comp,
    renderer: &mut R,
    id: WindowId,
    pointer: Option<Point<i32, Physical>>,
) -> Vec<SceneElement<R>>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let mut scene = Vec::new();
    if let Some(location) = pointer {
        cursor::compose(comp, renderer, location, &mut scene);
    }
    if let Some(window) = comp.shell.get(id) {
        let surface = window.handle.wl_surface().clone();
        let place = Rectangle::from_size(comp.shell.content(window).size);
        let scale = comp.shell.layout_of(window).scale;
        guest(renderer, &surface, place, scale, Shows::All, &mut scene);
    }
    scene
}

/// The layer surfaces above the windows or below them, the front-most first, with their popups. They may be translucent, and
/// are cut to their places, which are below the stripe.
fn layers<R>(
    comp: &mut Comp,
    renderer: &mut R,
    output: OutputId,
    above: bool,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let config = comp.config.current().clone();
    let Some(style) = config.style(&Origin::Local) else { return };
    let layout = comp.shell.layout_on(output);
    let (scale, stripe) = (layout.scale, layout.stripe());
    let shown = comp.layers.shown_top_down(above).filter(|layer| layer.output == output);
    let shown = shown.map(|layer| (layer.handle.wl_surface().clone(), layer.extent(stripe).loc, layer.place));
    for (surface, corner, place) in shown.collect::<Vec<_>>() {
        popups(comp, renderer, &surface, style, Shows::All, scene);
        tree(renderer, &surface, (corner, place), scale, scene);
    }
}

/// The popups of a window or layer surface, the front-most first.
fn popups<R>(
    comp: &mut Comp,
    renderer: &mut R,
    root: &WlSurface,
    style: &LabelStyle,
    shows: Shows,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    for popup in comp.popup_rects(root).into_iter().rev() {
        paint_popup(comp, renderer, (popup.surface.wl_surface(), popup.rects), style, shows, scene);
    }
}

fn paint_popup<R>(
    comp: &mut Comp,
    renderer: &mut R,
    (surface, rects): (&WlSurface, PopupRects),
    style: &LabelStyle,
    shows: Shows,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let scale = comp.shell.layout_at(rects.content.loc).scale;
    let Decor { painter, popups, .. } = &mut comp.decor;
    let own = popups.entry(surface.clone()).or_default();
    let backing = own.backing.clone();
    if let Some(outer) = rects.ring
        && Guard::Label.holds()
    {
        let ring: Vec<LabelElement<R>> = painter.popup_ring(&mut own.marks, outer, rects.content, style);
        scene.extend(ring.into_iter().map(SceneElement::Label));
    }
    guest(renderer, surface, rects.content, scale, shows, scene);
    // Inside its parent a popup may show the parent through; outside, it stands on a backing like a window.
    if rects.ring.is_some() || shows == Shows::Black {
        scene.push(solid(backing, rects.content, BACKING));
    }
}

/// The popups of the input method, the front-most first: above the popups of the window that it writes into, and labelled
/// as what they are, which is local. They show what is written there, and so no more of it in a picture than the window.
fn method_popups<R>(
    comp: &mut Comp,
    renderer: &mut R,
    config: &Config,
    shows: Shows,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    for popup in comp.method_popups().into_iter().rev() {
        let origin = origin_of(&popup.surface);
        if let Some(style) = origin.and_then(|origin| config.style(&origin)) {
            paint_popup(comp, renderer, (&popup.surface, popup.rects), style, shows, scene);
        }
    }
}

/// A client's surface tree, cut to its content rectangle; nothing of it where it is to be black.
pub(super) fn guest<R>(
    renderer: &mut R,
    surface: &WlSurface,
    content: Rectangle<i32, Physical>,
    scale: f64,
    shows: Shows,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    if shows == Shows::All {
        tree(renderer, surface, (content.loc, content), scale, scene);
    }
}

/// A client's surface tree, laid out from a corner on and cut to a rectangle.
fn tree<R>(
    renderer: &mut R,
    surface: &WlSurface,
    (corner, content): (Point<i32, Physical>, Rectangle<i32, Physical>),
    scale: f64,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    // What lies outside the window's geometry, such as shadows, is moved out of the rectangle and cut off.
    let geometry = window_geometry(surface);
    let offset: Point<i32, Physical> = geometry.loc.to_f64().to_physical(scale).to_i32_round();
    let tree: Vec<WaylandSurfaceRenderElement<R>> =
        render_elements_from_surface_tree(renderer, surface, corner - offset, scale, 1.0, Kind::Unspecified);
    for element in tree {
        let buffer = match element.texture() {
            WaylandSurfaceTexture::Texture(texture) => Some(texture.size()),
            WaylandSurfaceTexture::SolidColor(_) => None,
        };
        // An element inside the rectangle is drawn as it is: cutting it would round its source.
        if content.contains_rect(element.geometry(scale.into())) || !Guard::Clip.holds() {
            scene.push(SceneElement::Whole(Guest::new(element, buffer)));
        } else if let Some(cropped) = CropRenderElement::from_element(element, scale, content) {
            scene.push(SceneElement::Cropped(Guest::new(cropped, buffer)));
        }
    }
}

/// The pointer, on the output that it is on. No client's picture is used.
fn pointer<R>(comp: &mut Comp, renderer: &mut R, output: OutputId, scene: &mut Vec<SceneElement<R>>)
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    if comp.decor.view == (View::Capture { pointer: false }) {
        return;
    }
    let location = comp.drawn_pointer().filter(|location| OutputId::at(*location) == output);
    if let Some(location) = location {
        cursor::compose(comp, renderer, location, scene);
    }
}

/// The pointer alone, with its tip at a place, as it is on the output that it is on.
pub fn pointer_at<R>(
    comp: &mut Comp,
    renderer: &mut R,
    location: Point<i32, Physical>,
) -> Vec<SceneElement<R>>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let mut scene = Vec::new();
    cursor::compose(comp, renderer, location, &mut scene);
    scene
}

pub(super) fn solid<R>(id: Id, rect: Rectangle<i32, Physical>, color: Color32F) -> SceneElement<R>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    // An id keeps its colour, so there is only ever the first commit.
    let commit = CommitCounter::default();
    SceneElement::Solid(SolidColorRenderElement::new(id, rect, commit, color, Kind::Unspecified))
}

/// One shown window, as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowReport {
    /// Its name.
    pub id: WindowId,
    /// The name of its origin.
    pub vm: String,
    /// The application id, its client's word.
    pub app_id: String,
    /// The title, its client's word.
    pub title: String,
    /// A name among the application's windows: the client's word.
    pub tag: String,
    /// What the window is: the client's word.
    pub description: String,
    /// Width and height of its icon, in pixels.
    pub icon: Option<u32>,
    /// A modal dialog.
    pub modal: bool,
    /// Asks for attention.
    pub urgent: bool,
    /// The output that it is on.
    pub output: OutputId,
    /// The frame in physical pixels.
    pub frame: Rectangle<i32, Physical>,
    /// The content in physical pixels.
    pub content: Rectangle<i32, Physical>,
    /// Place in the stacking order, from 0 at the bottom.
    pub z: usize,
    /// Has the keyboard.
    pub focused: bool,
    /// Its client has drawn the state that it was last told of.
    pub settled: bool,
}

/// Whether the client has acknowledged and committed the last state that was sent to it, and none waits to be sent.
fn is_settled(toplevel: &ToplevelSurface) -> bool {
    with_states(toplevel.wl_surface(), |states| {
        let attributes = states.data_map.get::<XdgToplevelSurfaceData>().and_then(|data| data.lock().ok());
        attributes.is_some_and(|attributes| {
            attributes.pending_configures().is_empty()
                && attributes.current_serial == attributes.configure_serial
                && !attributes.has_pending_changes()
        })
    })
}

impl Comp {
    /// Where the pointer is drawn.
    pub(crate) fn drawn_pointer(&self) -> Option<Point<i32, Physical>> {
        let location = self.input.visible_pointer()?;
        // A client may hide the pointer over its own content, and only while it has the keyboard and nothing is over it.
        let hidden = self.input.cursor == CursorImageStatus::Hidden;
        let hidden = hidden && !Guard::Cursor.holds()
            || hidden
            && !self.overlay_has_input()
            && !self.is_xray()
            && self.pointer_is_over_focus()
            // Hidden or not is the VM's word, which a picture shows no more of than its windows.
            && self.focused_origin().is_none_or(|origin| self.shows(origin) == Some(Shows::All));
        (!hidden).then_some(location)
    }

    /// Where the pointer is drawn, if that is over the content of a window, where nothing covers it. Not while it is the
    /// compositor's own, to choose or to hold a window.
    pub(super) fn pointer_in_content(&self, window: WindowId) -> Option<Point<i32, Physical>> {
        let covered = |at| matches!(self.target_at(at), Target::Layer(_) | Target::Lock);
        let over = |at: &Point<i32, Physical>| self.shell.at(*at) == Target::Content(window) && !covered(*at);
        let free = !self.overlay_has_input() && self.input.interaction.is_none();
        self.drawn_pointer().filter(|_| free).filter(over)
    }

    /// The shown windows from the bottom up, with exactly the rectangles that are drawn.
    #[must_use]
    pub fn windows_report(&self) -> Vec<WindowReport> {
        let focused = self.focused_window().map(|window| window.id);
        let shown = self.shell.shown_top_down();
        let mut shown: Vec<_> =
            shown.filter(|window| self.config.current().style(&window.origin).is_some()).collect();
        shown.reverse();
        let report = shown.into_iter().enumerate().map(|(z, window)| {
            let frame = self.shell.frame(window);
            WindowReport {
                id: window.id,
                vm: window.origin.name().to_owned(),
                app_id: window.app_id.clone(),
                title: window.title.clone(),
                tag: window.tag.clone(),
                description: window.description.clone(),
                icon: window.icon.as_ref().map(|icon| icon.side),
                modal: window.modal,
                urgent: window.urgent,
                output: window.output,
                frame: frame.outer,
                content: frame.content,
                z,
                focused: focused == Some(window.id),
                settled: is_settled(&window.handle),
            }
        });
        report.collect()
    }
}
