//! Drawing windows that are on their way.

use smithay::backend::allocator::Fourcc;
use smithay::backend::renderer::element::Kind;
use smithay::backend::renderer::element::memory::{MemoryRenderBuffer, MemoryRenderBufferRenderElement};
use smithay::backend::renderer::element::surface::{
    WaylandSurfaceRenderElement, WaylandSurfaceTexture, render_elements_from_surface_tree,
};
use smithay::backend::renderer::element::utils::{CropRenderElement, RescaleRenderElement};
use smithay::backend::renderer::{ImportAll, ImportMem, Renderer, Texture};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Physical, Point, Rectangle, Scale, Size, Transform};
use vitrail_protocols::Guard;

use super::follow::Frame;
use super::{Fate, Last, Leaving, Stand};
use crate::handlers::geometry::window_geometry;
use crate::render::capture::picture;
use crate::render::elements::{BACKING, Guest, OnOutput, SceneElement};
use crate::render::label::{PictureElement, Title};
use crate::render::scene::{Decor, Own, content as content_of, solid};
use crate::render::schedule::has_buffer;
use crate::shell::outputs::OutputId;
use crate::shell::stacking::Element as _;
use crate::shell::window::WindowId;
use crate::state::{Comp, State};
use crate::trust::origin::Origin;
use crate::trust::title::GuestText;

/// Bytes of a pixel.
const PIXEL: usize = 4;

/// Begins a frame of an output: what has changed since the one before begins to move. Returns whether something moves, so that
/// another frame is needed after this one.
pub(in crate::render) fn step(comp: &mut Comp, output: OutputId) -> bool {
    let duration = comp.config.current().animation.duration;
    let shell = &comp.shell;
    if duration.is_zero() || comp.lock.is_locked() {
        comp.decor.animations.forget();
        return false;
    }
    let here = shell.shown_top_down().filter(|window| window.output == output);
    let stands = here.map(|window| Stand {
        id: window.id,
        content: shell.content(window),
        mode: window.mode,
        tile: shell.tile(window),
        whole: shell.is_real(window),
    });
    let stands: Vec<Stand> = stands.collect();
    let layout = shell.layout_on(output);
    let least = layout.metrics.scaled(layout.scale).min_content;
    let frame = Frame {
        now: comp.decor.animations.held.unwrap_or_else(|| comp.clock.now().into()),
        duration,
        area: layout.work_area(),
        least: (least.w, least.h),
        workspace: shell.workspace_on(output),
        shown: &stands,
    };
    let fate = |id| match shell.get(id) {
        // One that has gone to another output is there.
        Some(window) if !window.mapped || window.output != output => Fate::Gone,
        Some(window) if window.minimized => Fate::Minimized,
        Some(window) => Fate::Elsewhere(window.workspace()),
        None => Fate::Gone,
    };
    let animations = comp.decor.animations.outputs.entry(output).or_default();
    animations.follow(&frame, fate);
    animations.is_moving()
}

/// Where the content of a shown window is drawn, if it is on its way.
pub(in crate::render) fn window_at(
    comp: &Comp,
    output: OutputId,
    id: WindowId,
    content: Rectangle<i32, Physical>,
) -> Option<Rectangle<i32, Physical>> {
    comp.decor.animations.outputs.get(&output)?.place(id, content)
}

/// The windows that leave an output and are drawn directly above a shown one, or below all of them.
pub(in crate::render) fn compose_leaving<R>(
    comp: &mut Comp,
    renderer: &mut R,
    (output, above): (OutputId, Option<WindowId>),
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let Some(animations) = comp.decor.animations.outputs.get_mut(&output) else { return };
    if animations.leaving.iter().all(|leaving| leaving.above != above) {
        return;
    }
    // Taken out, because drawing one needs the painter beside it.
    let mut all = std::mem::take(&mut animations.leaving);
    let (now, duration) = (animations.now, animations.duration);
    for leaving in all.iter_mut().filter(|leaving| leaving.above == above) {
        let place = leaving.motion.at(now, duration, leaving.to);
        draw(comp, renderer, (output, place), leaving, scene);
    }
    if let Some(animations) = comp.decor.animations.outputs.get_mut(&output) {
        animations.leaving = all;
    }
}

/// One window that leaves: its frame, and in it what is left of it. Without a label nothing is drawn.
fn draw<R>(
    comp: &mut Comp,
    renderer: &mut R,
    (output, place): (OutputId, Rectangle<i32, Physical>),
    leaving: &mut Leaving,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let live = comp.shell.get(leaving.window);
    let (origin, title): (&Origin, &str) = match (&leaving.last, live) {
        (Some(last), _) => (&last.origin, &last.title),
        (None, Some(window)) => (&window.origin, &window.title),
        (None, None) => return,
    };
    let config = comp.config.current().clone();
    let Some(style) = config.style(origin) else { return };
    let text = GuestText::shown(title, config.titles(origin));
    let imitates = config.foreign_labels(style).any(|label| text.resembles(label));
    let layout = *comp.shell.layout_on(output);
    let rects = layout.frame(place);
    let title =
        Title { text: &text, imitates, focused: false, hovered: None, maximized: false, urgent: false };
    let Decor { painter, .. } = &mut comp.decor;
    let Own { marks, backing } = &mut leaving.own;
    match painter.frame(renderer, marks, &rects, style, title, layout.scale) {
        Ok(label) if Guard::Label.holds() => scene.extend(label.into_iter().map(SceneElement::Label)),
        Ok(_) => {}
        Err(error) => {
            tracing::debug!(vm = %style.label, "a window that leaves has no room for its label: {error}");
            return;
        }
    }
    match (&leaving.last, live) {
        (Some(last), _) => stretched(renderer, &last.picture, rects.content, scene),
        (None, Some(window)) => {
            let size = comp.shell.content(window).size;
            guest(renderer, window.handle.wl_surface(), size, rects.content, layout.scale, scene);
        }
        (None, None) => {}
    }
    scene.push(solid(backing.clone(), rects.content, BACKING));
}

/// A picture that fills a rectangle.
fn stretched<R>(
    renderer: &mut R,
    picture: &MemoryRenderBuffer,
    rect: Rectangle<i32, Physical>,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let (place, size) = (rect.loc.to_f64(), (rect.size.w, rect.size.h).into());
    let element = MemoryRenderBufferRenderElement::from_buffer(
        renderer,
        place,
        picture,
        None,
        None,
        Some(size),
        Kind::Unspecified,
    );
    if let Ok(element) = element {
        scene.push(SceneElement::Picture(PictureElement(element)));
    }
}

/// A client's surface tree, which would fill `size`, so large that it fills a rectangle, and cut to that.
pub(in crate::render) fn guest<R>(
    renderer: &mut R,
    surface: &WlSurface,
    size: Size<i32, Physical>,
    rect: Rectangle<i32, Physical>,
    scale: f64,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let factor = |to: i32, from: i32| f64::from(to) / f64::from(from.max(1));
    let factors = Scale { x: factor(rect.size.w, size.w), y: factor(rect.size.h, size.h) };
    let offset: Point<i32, Physical> =
        window_geometry(surface).loc.to_f64().to_physical(scale).to_i32_round();
    let corner = rect.loc - offset;
    let tree: Vec<WaylandSurfaceRenderElement<R>> =
        render_elements_from_surface_tree(renderer, surface, corner, scale, 1.0, Kind::Unspecified);
    for element in tree {
        let buffer = match element.texture() {
            WaylandSurfaceTexture::Texture(texture) => Some(texture.size()),
            WaylandSurfaceTexture::SolidColor(_) => None,
        };
        let resized = RescaleRenderElement::from_element(element, rect.loc, factors);
        if let Some(cut) = CropRenderElement::from_element(resized, scale, rect) {
            scene.push(SceneElement::Small(Guest::new(cut, buffer)));
        }
    }
}

impl State {
    /// Takes a picture of a window that is about to be closed, if it is to be seen closing and there is something to be seen.
    pub(crate) fn keep_last_picture(&mut self, id: WindowId) {
        let Self { backend, comp, .. } = self;
        if comp.config.current().animation.duration.is_zero() || comp.lock.is_locked() {
            return;
        }
        let Some(window) = comp.shell.get(id).filter(|window| window.shown()) else { return };
        let size = comp.shell.content(window).size;
        let side = |length: i32| usize::try_from(length).unwrap_or(0);
        let bytes = side(size.w).saturating_mul(side(size.h)).saturating_mul(PIXEL);
        let output = window.output;
        let animations = comp.decor.animations.outputs.get(&output);
        if animations.is_none_or(|animations| !animations.has_room(bytes))
            || !has_buffer(window.handle.wl_surface())
        {
            return;
        }
        let (origin, title) = (window.origin.clone(), window.title.clone());
        let scale = comp.shell.layout_of(window).scale;
        let elements = content_of(comp, backend.renderer(), id, None).into_iter();
        let elements: Vec<_> = elements.map(|element| OnOutput::new(element, Point::default())).collect();
        let whole = Rectangle::from_size(size);
        let drawn = picture::draw(backend.renderer(), &elements, size, scale, &[whole]);
        match drawn.map(|parts| parts.into_iter().next()) {
            Ok(Some(part)) => {
                let pixels = part.into_pixels();
                let extent = (size.w, size.h);
                let opaque = Some(vec![Rectangle::from_size(extent.into())]);
                let picture = MemoryRenderBuffer::from_slice(
                    &pixels,
                    Fourcc::Argb8888,
                    extent,
                    1,
                    Transform::Normal,
                    opaque,
                );
                let last = Last { window: id, origin, title, picture, bytes };
                comp.decor.animations.outputs.entry(output).or_default().closed.push(last);
            }
            Ok(None) => {}
            Err(error) => tracing::debug!("a window closes without its last picture: {error}"),
        }
    }
}
