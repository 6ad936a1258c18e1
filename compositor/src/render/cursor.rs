//! The pointer's picture: from a theme on disk, or the compositor's own arrow.
//!
//! # Model
//!
//! What the pointer looks like is one of the names of `cursor-shape-v1` ([`Comp::cursor_icon`]): while it is over a client's
//! content the client's choice, elsewhere the compositor's. A theme has a file for each name that it knows; it is read when the
//! name is first shown. Where there is no theme, or the theme has no picture, the arrow is drawn.
//!
//! # Invariants
//!
//! * Pictures come from files of the GUI VM alone, and never from a client.
//! * Over a label the pointer has the compositor's shape, whatever the client beside it chose.

use std::collections::HashMap;
use std::fs;
use std::io;

use smithay::backend::allocator::Fourcc;
use smithay::backend::renderer::element::Id;
use smithay::backend::renderer::element::memory::MemoryRenderBuffer;
use smithay::backend::renderer::{Color32F, ImportAll, ImportMem, Texture};
use smithay::input::pointer::{CursorIcon, CursorImageStatus};
use smithay::utils::{Physical, Point, Rectangle, Size, Transform};
use xcursor::CursorTheme;
use xcursor::parser::{Image, parse_xcursor};

use super::elements::SceneElement;
use super::label::placed_picture;
use super::scene::solid;
use super::view::Shows;
use crate::config::theme::ThemeConfig;
use crate::input::hold::Interaction;
use crate::shell::Target;
use crate::shell::window::Window;
use crate::state::Comp;

/// The largest file of a theme that is read, in bytes: every size of an animated pointer.
const MAX_FILE: u64 = 32 << 20;
/// The longest side of a picture, in pixels.
const MAX_SIDE: u32 = 1024;
/// The size at which the arrow is as it is written below, in logical pixels.
const ARROW_SIZE: f64 = 24.0;

const FILL: Color32F = Color32F::new(0.08, 0.08, 0.08, 1.0);
const EDGE: Color32F = Color32F::new(0.97, 0.97, 0.97, 1.0);
/// Widths of the arrow's rows in logical pixels, and whether the row is all edge.
const ARROW: [(i32, bool); 14] = [
    (1, true),
    (2, true),
    (3, false),
    (4, false),
    (5, false),
    (6, false),
    (7, false),
    (8, false),
    (9, false),
    (10, false),
    (11, true),
    (5, false),
    (3, true),
    (2, true),
];

/// Why a picture of a theme is not shown.
#[derive(Debug, thiserror::Error)]
enum CursorError {
    /// The theme has none.
    #[error("the theme has no such picture")]
    Find,
    /// Its file could not be read.
    #[error("error reading its file")]
    Read(#[source] io::Error),
    /// Its file makes no sense.
    #[error("its file is none of Xcursor, or too large")]
    Parse,
}

/// A picture of a theme.
#[derive(Debug)]
struct Loaded {
    buffer: MemoryRenderBuffer,
    /// As large as it is in the file.
    source: Size<i32, Physical>,
    /// As large as it is drawn.
    size: Size<i32, Physical>,
    /// The place in it that points.
    hotspot: Point<i32, Physical>,
}

/// The pictures that were shown, in one size of one theme. There are no more than shapes have names.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    theme: Option<String>,
    size: u32,
    loaded: HashMap<CursorIcon, Option<Loaded>>,
    arrow: Vec<Id>,
}

impl Cursors {
    /// The picture of a shape, which is read if it was not.
    fn get(&mut self, config: &ThemeConfig, icon: CursorIcon, scale: f64) -> Option<&Loaded> {
        let name = config.cursor_theme.as_ref()?;
        // The cast saturates.
        let size = (f64::from(config.cursor_size) * scale).round() as u32;
        if self.theme.as_ref() != Some(name) || self.size != size {
            self.loaded.clear();
            (self.theme, self.size) = (Some(name.clone()), size);
        }
        let loaded = self.loaded.entry(icon).or_insert_with(|| {
            let found = load(name, icon, size).or_else(|_| load(name, CursorIcon::Default, size));
            found
                .inspect_err(|error| tracing::warn!(theme = ?name, %icon, "the arrow is shown: {error}"))
                .ok()
        });
        loaded.as_ref()
    }
}

/// Reads a shape's picture in the size that is nearest to the wanted one.
fn load(theme: &str, icon: CursorIcon, wanted: u32) -> Result<Loaded, CursorError> {
    let theme = CursorTheme::load(theme);
    let mut names = std::iter::once(icon.name()).chain(icon.alt_names().iter().copied());
    let path = names.find_map(|name| theme.load_icon(name)).ok_or(CursorError::Find)?;
    let length = fs::metadata(&path).map_err(CursorError::Read)?.len();
    if length > MAX_FILE {
        return Err(CursorError::Parse);
    }
    let bytes = fs::read(&path).map_err(CursorError::Read)?;
    let images = parse_xcursor(&bytes).ok_or(CursorError::Parse)?;
    let nearest = images
        .into_iter()
        .filter(|image| image.size > 0 && image.width.max(image.height) <= MAX_SIDE)
        // The first of those of one size, which is the first of an animation.
        .min_by_key(|image| image.size.abs_diff(wanted))
        .ok_or(CursorError::Parse)?;
    Ok(Loaded::new(&nearest, wanted))
}

impl Loaded {
    fn new(image: &Image, wanted: u32) -> Self {
        let ratio = f64::from(wanted) / f64::from(image.size);
        // The casts saturate.
        let scaled = |length: u32| (f64::from(length) * ratio).round() as i32;
        let side = |length: u32| i32::try_from(length).unwrap_or(1);
        let source = (side(image.width), side(image.height));
        // In the order of the file, which is that of the format on all machines that this runs on.
        let buffer = MemoryRenderBuffer::from_slice(
            &image.pixels_rgba,
            Fourcc::Argb8888,
            source,
            1,
            Transform::Normal,
            None,
        );
        let size = (scaled(image.width).max(1), scaled(image.height).max(1)).into();
        Self { buffer, source: source.into(), size, hotspot: (scaled(image.xhot), scaled(image.yhot)).into() }
    }
}

/// The pointer with its tip at a place.
pub(super) fn compose<R>(
    comp: &mut Comp,
    renderer: &mut R,
    location: Point<i32, Physical>,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    // The shape is the word of the client under it, which a picture shows no more of than its window.
    let shown = |window: &Window<_>| comp.shows(&window.origin) == Some(Shows::All);
    let told = match comp.target_at(location) {
        Target::Content(id) => comp.shell.get(id).is_some_and(shown),
        _ => true,
    };
    let icon = if told { comp.cursor_icon() } else { CursorIcon::Default };
    let scale = comp.layout_at_pointer().scale;
    let config = comp.config.current().clone();
    let cursors = &mut comp.decor.cursors;
    if let Some(loaded) = cursors.get(&config.theme, icon, scale) {
        let place = Rectangle::new(location - loaded.hotspot, loaded.size);
        match placed_picture(renderer, &loaded.buffer, loaded.source, place) {
            Ok(element) => {
                scene.push(SceneElement::Label(element));
                return;
            }
            Err(error) => tracing::warn!("error drawing the pointer: {error}"),
        }
    }
    let size = f64::from(config.theme.cursor_size);
    // The cast saturates.
    let unit = ((scale * size / ARROW_SIZE).round() as i32).max(1);
    arrow(cursors, location, unit, scene);
}

/// An arrow of rectangles, one per row, dark with a light edge.
fn arrow<R>(
    cursors: &mut Cursors,
    location: Point<i32, Physical>,
    unit: i32,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let mut ids = std::mem::take(&mut cursors.arrow).into_iter();
    let mut kept = Vec::new();
    let rows = ARROW.iter().enumerate().flat_map(|(row, &(width, edge))| {
        let row = i32::try_from(row).unwrap_or(0) * unit;
        let fill = (width > 2 && !edge).then_some((unit, row, (width - 2) * unit, FILL));
        fill.into_iter().chain([(0, row, width * unit, EDGE)])
    });
    for (x, y, width, color) in rows {
        let id = ids.next().unwrap_or_else(Id::new);
        let rect = Rectangle::new(location + Point::from((x, y)), (width, unit).into());
        scene.push(solid(id.clone(), rect, color));
        kept.push(id);
    }
    cursors.arrow = kept;
}

impl Comp {
    /// The pointer's shape now.
    #[must_use]
    pub fn cursor_icon(&self) -> CursorIcon {
        match self.input.interaction {
            Some(Interaction::Move { .. }) => return CursorIcon::Grabbing,
            Some(Interaction::Resize { edges, .. }) => return edges.icon(),
            None => {}
        }
        let Some(at) = self.input.visible_pointer().filter(|_| !self.overlay_has_input()) else {
            return CursorIcon::Default;
        };
        match self.target_at(at) {
            Target::Ring(window) => self.resize_edges(window, at).map_or(CursorIcon::Default, |e| e.icon()),
            Target::Content(_) | Target::Layer(_) | Target::Lock => match self.input.cursor {
                CursorImageStatus::Named(icon) => icon,
                _ => CursorIcon::Default,
            },
            Target::TitleBar(_) | Target::Button(..) | Target::Stripe | Target::Nothing => {
                CursorIcon::Default
            }
        }
    }
}
