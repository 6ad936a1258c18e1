//! The overlay that windows are chosen in: a live picture of each, in the frame of its label.
//!
//! # Model
//!
//! Each window has a cell with the same frame that it has on the desktop: ring, chip and cleaned title, without buttons. Its
//! content is drawn smaller and cut to the cell. The cells stand on an opaque panel in the middle of the work area, in as many
//! rows as they need; where there is no room for all, those around the chosen one are shown.
//!
//! # Invariants
//!
//! * No picture of a window is drawn without its label, nor beyond its cell.
//! * The panel covers nothing of the stripe.

use smithay::backend::renderer::element::Kind;
use smithay::backend::renderer::element::surface::{
    WaylandSurfaceRenderElement, WaylandSurfaceTexture, render_elements_from_surface_tree,
};
use smithay::backend::renderer::element::utils::{CropRenderElement, RescaleRenderElement};
use smithay::backend::renderer::{ImportAll, ImportMem, Renderer, Texture};
use smithay::utils::{Physical, Point, Rectangle, Size};
use vitrail_protocols::Guard;

use super::elements::{BACKING, Guest, SceneElement};
use super::frame::{self, FrameRects};
use super::label::{LabelPainter, Title};
use super::scene::{BACKGROUND, Decor, solid};
use super::view::Shows;
use crate::handlers::geometry::window_geometry;
use crate::shell::window::{Window, WindowId};
use crate::shell::{Layout, scaled};
use crate::state::Comp;
use crate::trust::style::Rgb;
use crate::trust::title::GuestText;

/// Widths that the pictures may have, in logical pixels: the widest that lets all be seen is taken.
const WIDTHS: [i32; 4] = [260, 220, 190, 160];
/// Space around the panel, inside it, and between the cells, in logical pixels.
const AROUND: i32 = 16;
const PADDING: i32 = 20;
const GAP: i32 = 18;
/// The ring around the chosen cell: its width and how far it is from the cell, in logical pixels.
const CHOSEN: (i32, i32) = (3, 3);
/// The panel's colour.
const PANEL: Rgb = Rgb([0x26, 0x28, 0x2d]);

/// Where the parts of the overlay are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The panel that everything stands on.
    pub panel: Rectangle<i32, Physical>,
    /// The content rectangles of the cells.
    pub cells: Vec<Rectangle<i32, Physical>>,
    /// Which window the first cell is of.
    pub first: usize,
}

impl Grid {
    /// Cells for so many windows, of which one is chosen.
    #[must_use]
    pub fn new(layout: &Layout, count: usize, chosen: usize) -> Self {
        let (offset, sum) = layout.margins();
        let scale = layout.scale;
        let (padding, gap) = (scaled(PADDING, scale), scaled(GAP, scale));
        let area = frame::grown(layout.work_area(), -scaled(AROUND, scale));
        let room = (area.size.w - 2 * padding + gap, area.size.h - 2 * padding + gap);
        let mut step: Size<i32, Physical> = Size::default();
        let (mut columns, mut rows) = (1, 1);
        for width in WIDTHS {
            let width = scaled(width, scale).max(1);
            step = (width + sum.w + gap, width * 5 / 8 + sum.h + gap).into();
            columns = usize::try_from(room.0 / step.w).unwrap_or(0).max(1);
            rows = usize::try_from(room.1 / step.h).unwrap_or(0).max(1);
            if columns.saturating_mul(rows) >= count {
                break;
            }
        }
        let first = chosen / (columns * rows) * (columns * rows);
        let shown = count.saturating_sub(first).min(columns * rows);
        let rows = shown.div_ceil(columns).max(1);
        // Rows of about the same length look better than one that is full and one that is not.
        let columns = shown.div_ceil(rows).max(1);
        let length = |count: usize, step: i32| i32::try_from(count).unwrap_or(0) * step - gap + 2 * padding;
        let size: Size<i32, Physical> = (length(columns, step.w), length(rows, step.h)).into();
        let corner =
            area.loc + Point::from(((area.size.w - size.w).max(0) / 2, (area.size.h - size.h).max(0) / 2));
        let cell = |index: usize| {
            let place = |index: usize, step: i32| i32::try_from(index).unwrap_or(0) * step + padding;
            let outer =
                corner + Point::from((place(index % columns, step.w), place(index / columns, step.h)));
            Rectangle::new(outer + offset, (step.w - gap - sum.w, step.h - gap - sum.h).into())
        };
        Self { panel: Rectangle::new(corner, size), cells: (0..shown).map(cell).collect(), first }
    }

    /// The window whose cell is at a point, by its place in the list.
    #[must_use]
    pub fn at(&self, layout: &Layout, point: Point<i32, Physical>) -> Option<usize> {
        let hit = self.cells.iter().position(|cell| layout.frame(*cell).outer.contains(point))?;
        Some(self.first + hit)
    }
}

/// The overlay, the front-most element first; nothing while no window is being chosen.
pub(super) fn compose<R>(comp: &mut Comp, renderer: &mut R, scene: &mut Vec<SceneElement<R>>)
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let Some(switcher) = &comp.input.switcher else {
        comp.decor.cells.clear();
        return;
    };
    let layout = *comp.shell.layout();
    let (windows, chosen) = (switcher.windows().to_vec(), switcher.chosen());
    let grid = Grid::new(&layout, windows.len(), chosen);
    for (index, cell) in grid.cells.iter().enumerate() {
        let index = grid.first + index;
        let Some(id) = windows.get(index) else { continue };
        let rects = layout.frame(*cell);
        if index == chosen {
            let (width, distance) = (scaled(CHOSEN.0, layout.scale).max(1), scaled(CHOSEN.1, layout.scale));
            let inner = frame::grown(rects.outer, distance);
            let ring =
                LabelPainter::ring(&mut comp.decor.chosen, frame::grown(inner, width), inner, Rgb::WHITE);
            scene.extend(ring.into_iter().map(SceneElement::Label));
        }
        picture(comp, renderer, *id, rects, index == chosen, scene);
    }
    scene.push(SceneElement::Label(LabelPainter::bar(&mut comp.decor.panel, grid.panel, PANEL)));
}

/// One cell. Without a label there is no picture.
fn picture<R>(
    comp: &mut Comp,
    renderer: &mut R,
    id: WindowId,
    mut rects: FrameRects,
    chosen: bool,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let Some(window) = comp.shell.get(id) else { return };
    let config = comp.config.current().clone();
    let Some(style) = config.style(&window.origin) else { return };
    let Some(shows) = comp.shows(&window.origin) else { return };
    let text = match shows {
        Shows::All => GuestText::shown(&window.title, config.titles(&window.origin)),
        Shows::Black => GuestText::default(),
    };
    let imitates = config.foreign_labels(style).any(|label| text.resembles(label));
    rects.without_buttons();
    let layout = *comp.shell.layout();
    let scale = layout.scale;
    let Decor { painter, cells, .. } = &mut comp.decor;
    let own = cells.entry(id).or_default();
    let backing = own.backing.clone();
    let urgent = window.urgent && shows == Shows::All;
    let title = Title { text: &text, imitates, focused: chosen, urgent, hovered: None, maximized: false };
    match painter.frame(renderer, &mut own.marks, &rects, style, title, scale) {
        Ok(label) if Guard::Label.holds() => scene.extend(label.into_iter().map(SceneElement::Label)),
        Ok(_) => {}
        Err(error) => {
            tracing::error!(vm = %style.label, "error drawing a label, so its window is not shown: {error}");
            return;
        }
    }
    if shows == Shows::All {
        // As large as on its own output, at the scale of this one.
        let size = comp.shell.content(window).size.to_f64();
        let size = size.to_logical(comp.shell.layout_of(window).scale).to_physical(scale).to_i32_round();
        content(&layout, renderer, window, size, rects.content, scene);
    }
    // A window that is black in a picture is black here too.
    let ground = if shows == Shows::All { BACKGROUND.into() } else { BACKING };
    scene.push(solid(backing, rects.content, ground));
}

/// A window's surfaces, so small that they fit into a cell, in its middle.
fn content<R>(
    layout: &Layout,
    renderer: &mut R,
    window: &Window<smithay::wayland::shell::xdg::ToplevelSurface>,
    size: Size<i32, Physical>,
    cell: Rectangle<i32, Physical>,
    scene: &mut Vec<SceneElement<R>>,
) where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    let scale = layout.scale;
    let surface = window.handle.wl_surface();
    let fits = |cell: i32, length: i32| f64::from(cell) / f64::from(length.max(1));
    let factor = fits(cell.size.w, size.w).min(fits(cell.size.h, size.h)).min(1.0);
    let small: Size<i32, Physical> = size.to_f64().upscale(factor).to_i32_floor();
    let corner =
        cell.loc + Point::from(((cell.size.w - small.w).max(0) / 2, (cell.size.h - small.h).max(0) / 2));
    let Some(seen) = Rectangle::new(corner, small).intersection(cell) else { return };
    let offset: Point<i32, Physical> =
        window_geometry(surface).loc.to_f64().to_physical(scale).to_i32_round();
    let tree: Vec<WaylandSurfaceRenderElement<R>> =
        render_elements_from_surface_tree(renderer, surface, corner - offset, scale, 1.0, Kind::Unspecified);
    for element in tree {
        let buffer = match element.texture() {
            WaylandSurfaceTexture::Texture(texture) => Some(texture.size()),
            WaylandSurfaceTexture::SolidColor(_) => None,
        };
        let small = RescaleRenderElement::from_element(element, corner, factor);
        if let Some(cut) = CropRenderElement::from_element(small, scale, seen) {
            scene.push(SceneElement::Small(Guest::new(cut, buffer)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_chosen_window_has_a_cell_and_no_two_cells_overlap(
            count in 1..100usize, chosen in 0..100usize, w in 640..4000i32, h in 480..2200i32,
            scale in prop_oneof![Just(1.0), Just(1.25), Just(1.5), Just(2.0)],
        ) {
            let output = ((f64::from(w) * scale) as i32, (f64::from(h) * scale) as i32).into();
            let layout = Layout { output, scale, ..Default::default() };
            let chosen = chosen % count;
            let grid = Grid::new(&layout, count, chosen);
            prop_assert!((grid.first..grid.first + grid.cells.len()).contains(&chosen));
            prop_assert!(layout.work_area().contains_rect(grid.panel));
            for (index, cell) in grid.cells.iter().enumerate() {
                let outer = layout.frame(*cell).outer;
                prop_assert!(grid.panel.contains_rect(frame::grown(outer, scaled(CHOSEN.0 + CHOSEN.1, scale))));
                let others = grid.cells.iter().skip(index + 1);
                prop_assert!(others.into_iter().all(|other| !layout.frame(*other).outer.overlaps(outer)));
                prop_assert_eq!(grid.at(&layout, outer.loc), Some(grid.first + index));
            }
        }
    }

    #[test]
    fn an_output_of_any_size_has_a_grid() {
        for (w, h) in [(64, 64), (64, 16384), (16384, 64)] {
            let layout = Layout { output: (w, h).into(), scale: 8.0, ..Default::default() };
            assert!(!Grid::new(&layout, 9, 8).cells.is_empty());
        }
    }
}
