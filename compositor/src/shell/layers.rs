//! Surfaces of the layer shell: bars, wallpapers, launchers, notices. Which there are, where they stand, and what they
//! leave to the windows.
//!
//! # Model
//!
//! Layer surfaces are of local programs only; no VM is ever shown the protocol. They wear no frame, and some of them stand
//! above windows, so what they may take is bounded here and not by their programs: everything is arranged inside *the
//! space*, which is their output without the stripe. Each surface that reserves room at an edge (an exclusive zone) takes it
//! from what those before it have left; what is left at last is the windows' work area. The layers are gone through from the
//! top down, those that reserve room first, so that a wallpaper never moves a bar.
//!
//! # Invariants
//!
//! * Every place lies in the space, whatever its program asks for: nothing is seen or hit on the stripe or outside the output.
//! * The work area lies in the space, and each of its sides is at least half as long as the space's.
//! * A surface that reserves no room changes no other one's place.

use smithay::utils::{Logical, Physical, Point, Rectangle, Size};
use smithay::wayland::shell::wlr_layer::{Anchor, ExclusiveZone, KeyboardInteractivity, Layer, Margins};

use super::outputs::OutputId;
use super::scaled;

/// Names a layer surface for as long as the compositor runs; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId(pub u64);

/// All layers, from the bottom up.
pub const LAYERS: [Layer; 4] = [Layer::Background, Layer::Bottom, Layer::Top, Layer::Overlay];

/// Whether a layer is above the windows.
#[must_use]
pub fn is_above(layer: Layer) -> bool {
    matches!(layer, Layer::Top | Layer::Overlay)
}

/// What a program asks for its surface. Lengths in logical pixels, bounded by whoever sets them.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// On which layer.
    pub layer: Layer,
    /// How large; 0 for as large as the place between two opposite anchors.
    pub size: Size<i32, Logical>,
    /// The edges that it is tied to.
    pub anchor: Anchor,
    /// Distance from those edges.
    pub margin: Margins,
    /// What it reserves.
    pub zone: ExclusiveZone,
    /// Whether it wants the keyboard.
    pub keyboard: KeyboardInteractivity,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            layer: Layer::Background,
            size: Size::default(),
            anchor: Anchor::empty(),
            margin: Margins::default(),
            zone: ExclusiveZone::Neutral,
            keyboard: KeyboardInteractivity::None,
        }
    }
}

/// An edge of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Top,
    Bottom,
    Left,
    Right,
}

impl Wish {
    /// The edge at which the surface reserves room, and how much, in logical pixels: only one that is tied to a single
    /// edge, or to an edge and both its neighbours, reserves any.
    fn reserved(&self) -> Option<(Edge, i32)> {
        let ExclusiveZone::Exclusive(zone) = self.zone else { return None };
        let sides = Anchor::LEFT | Anchor::RIGHT;
        let ends = Anchor::TOP | Anchor::BOTTOM;
        let is = |edge: Anchor, neighbours: Anchor| self.anchor == edge || self.anchor == edge | neighbours;
        let (edge, margin) = if is(Anchor::TOP, sides) {
            (Edge::Top, self.margin.top)
        } else if is(Anchor::BOTTOM, sides) {
            (Edge::Bottom, self.margin.bottom)
        } else if is(Anchor::LEFT, ends) {
            (Edge::Left, self.margin.left)
        } else if is(Anchor::RIGHT, ends) {
            (Edge::Right, self.margin.right)
        } else {
            return None;
        };
        let zone = i32::try_from(zone).unwrap_or(i32::MAX).saturating_add(margin);
        Some((edge, zone.max(0)))
    }
}

/// A surface of the layer shell.
#[derive(Debug)]
pub struct LayerSurface<H> {
    /// Its name.
    pub id: LayerId,
    /// What it stands for.
    pub handle: H,
    /// The output it is on, for as long as it exists.
    pub output: OutputId,
    /// What its program asks for.
    pub wish: Wish,
    /// Has content. Without content it takes no room and is not drawn.
    pub mapped: bool,
    /// Where it stands, in physical pixels of the output: the only place where its pixels may appear.
    pub place: Rectangle<i32, Physical>,
}

impl<H> LayerSurface<H> {
    /// Where its content is laid out, of which what lies outside its place is not to be seen: its place, and of a surface that
    /// fills the output whatever stands there the part below the stripe too. Programs take the places on such a surface for places
    /// on the output, as slurp does, by which a person chooses a part of it.
    #[must_use]
    pub fn extent(&self, stripe: Rectangle<i32, Physical>) -> Rectangle<i32, Physical> {
        let Wish { anchor, size, margin, zone, .. } = &self.wish;
        let flush = [margin.top, margin.right, margin.bottom, margin.left] == [0; 4];
        let fills = *zone == ExclusiveZone::DontCare && *anchor == Anchor::all() && size.is_empty() && flush;
        if fills { self.place.merge(stripe) } else { self.place }
    }
}

/// All layer surfaces.
#[derive(Debug)]
pub struct Layers<H> {
    /// In the order in which they were created; of one layer, a later one is above.
    surfaces: Vec<LayerSurface<H>>,
    /// The one that the user chose to type into, if it takes the keyboard only then.
    chosen: Option<LayerId>,
    next_id: u64,
}

impl<H> Default for Layers<H> {
    fn default() -> Self {
        Self { surfaces: Vec::new(), chosen: None, next_id: 1 }
    }
}

impl<H> Layers<H> {
    /// Adds a surface that has no content yet.
    pub fn add(&mut self, handle: H, output: OutputId, layer: Layer) -> LayerId {
        let id = LayerId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        let wish = Wish { layer, ..Wish::default() };
        self.surfaces.push(LayerSurface {
            id,
            handle,
            output,
            wish,
            mapped: false,
            place: Rectangle::default(),
        });
        id
    }

    /// Removes a surface.
    pub fn remove(&mut self, id: LayerId) -> Option<LayerSurface<H>> {
        self.let_go(id);
        let index = self.surfaces.iter().position(|surface| surface.id == id)?;
        Some(self.surfaces.remove(index))
    }

    /// A surface by its name.
    #[must_use]
    pub fn get(&self, id: LayerId) -> Option<&LayerSurface<H>> {
        self.surfaces.iter().find(|surface| surface.id == id)
    }

    /// A surface by its name, to be changed.
    pub fn get_mut(&mut self, id: LayerId) -> Option<&mut LayerSurface<H>> {
        self.surfaces.iter_mut().find(|surface| surface.id == id)
    }

    /// The first surface that fits.
    #[must_use]
    pub fn find(&self, wanted: impl Fn(&LayerSurface<H>) -> bool) -> Option<&LayerSurface<H>> {
        self.surfaces.iter().find(|surface| wanted(surface))
    }

    /// All surfaces in the order in which they were created.
    pub fn all(&self) -> impl Iterator<Item = &LayerSurface<H>> {
        self.surfaces.iter()
    }

    /// The shown surfaces above the windows (or below them), from the top down.
    pub fn shown_top_down(&self, above: bool) -> impl Iterator<Item = &LayerSurface<H>> {
        let layers = LAYERS.iter().rev().filter(move |layer| is_above(**layer) == above);
        layers.flat_map(|layer| {
            let top_down = self.surfaces.iter().rev();
            top_down.filter(move |surface| surface.mapped && surface.wish.layer == *layer)
        })
    }

    /// The user pressed a surface: it has the keyboard from now on, if it takes it. Returns whether it does.
    pub fn choose(&mut self, id: LayerId) -> bool {
        let takes = |surface: &LayerSurface<H>| surface.wish.keyboard != KeyboardInteractivity::None;
        let takes = self.get(id).is_some_and(takes);
        if takes {
            self.chosen = Some(id);
        }
        takes
    }

    /// The user turned to something else.
    pub fn choose_none(&mut self) {
        self.chosen = None;
    }

    /// A surface cannot have been chosen any more.
    pub fn let_go(&mut self, id: LayerId) {
        self.chosen = self.chosen.filter(|chosen| *chosen != id);
    }

    /// The surface that has the keyboard in the windows' stead: the top-most one above the windows that takes it from
    /// everything, or else the one that the user chose.
    #[must_use]
    pub fn focused(&self) -> Option<&LayerSurface<H>> {
        let mut above = self.shown_top_down(true);
        let exclusive = above.find(|surface| surface.wish.keyboard == KeyboardInteractivity::Exclusive);
        exclusive.or_else(|| {
            let chosen = self.get(self.chosen?)?;
            (chosen.mapped && chosen.wish.keyboard != KeyboardInteractivity::None).then_some(chosen)
        })
    }

    /// Gives every surface of an output its place in the `space` of that, and returns what is left to the windows.
    pub fn arrange(
        &mut self,
        output: OutputId,
        space: Rectangle<i32, Physical>,
        scale: f64,
    ) -> Rectangle<i32, Physical> {
        let mut left = space;
        for reserving in [true, false] {
            for layer in LAYERS.iter().rev() {
                let of_output = self.surfaces.iter_mut().filter(|surface| surface.output == output);
                let of_layer = of_output.filter(|surface| surface.wish.layer == *layer);
                for surface in of_layer.filter(|surface| surface.wish.reserved().is_some() == reserving) {
                    let wish = &surface.wish;
                    let bounds = if wish.zone == ExclusiveZone::DontCare { space } else { left };
                    surface.place = place(wish, bounds, space, scale);
                    if let Some((edge, zone)) = wish.reserved().filter(|_| surface.mapped) {
                        left = without(left, space, edge, scaled(zone, scale));
                    }
                }
            }
        }
        left
    }
}

/// Where a surface stands that is tied to the edges of `bounds`; always inside `space`.
fn place(
    wish: &Wish,
    bounds: Rectangle<i32, Physical>,
    space: Rectangle<i32, Physical>,
    scale: f64,
) -> Rectangle<i32, Physical> {
    let margin = &wish.margin;
    let [top, bottom, left, right] =
        [margin.top, margin.bottom, margin.left, margin.right].map(|length| scaled(length, scale));
    let has = |edge: Anchor| wish.anchor.contains(edge);
    let x = Span { start: bounds.loc.x, length: bounds.size.w };
    let y = Span { start: bounds.loc.y, length: bounds.size.h };
    let (x, w) = x.place(scaled(wish.size.w, scale), (has(Anchor::LEFT), left), (has(Anchor::RIGHT), right));
    let (y, h) = y.place(scaled(wish.size.h, scale), (has(Anchor::TOP), top), (has(Anchor::BOTTOM), bottom));
    let (w, h) = (w.clamp(1, space.size.w.max(1)), h.clamp(1, space.size.h.max(1)));
    let within = |at: i32, start: i32, room: i32| at.clamp(start, start.saturating_add(room.max(0)));
    let at = (within(x, space.loc.x, space.size.w - w), within(y, space.loc.y, space.size.h - h));
    Rectangle::new(Point::from(at), (w, h).into())
}

/// One direction of the room in which a surface is placed.
#[derive(Clone, Copy)]
struct Span {
    start: i32,
    length: i32,
}

impl Span {
    /// Where the surface begins and how long it is. `near` and `far` are whether it is tied to that end, and its distance
    /// from it. A length of 0 is all that the distances leave.
    fn place(self, length: i32, near: (bool, i32), far: (bool, i32)) -> (i32, i32) {
        let end = self.start.saturating_add(self.length);
        let near_edge = self.start.saturating_add(if near.0 { near.1 } else { 0 });
        let far_edge = end.saturating_sub(if far.0 { far.1 } else { 0 });
        let room = far_edge.saturating_sub(near_edge);
        let length = if length > 0 { length } else { room.max(1) };
        let start = match (near.0, far.0) {
            (true, false) => near_edge,
            (false, true) => far_edge.saturating_sub(length),
            _ => near_edge.saturating_add(room.saturating_sub(length) / 2),
        };
        (start, length)
    }
}

/// What is left of `rect` without `zone` pixels at one edge: at least half of `space`, however much is asked for.
fn without(
    rect: Rectangle<i32, Physical>,
    space: Rectangle<i32, Physical>,
    edge: Edge,
    zone: i32,
) -> Rectangle<i32, Physical> {
    let room = |length: i32, whole: i32| zone.clamp(0, (length - (whole - whole / 2)).max(0));
    let (mut loc, mut size) = (rect.loc, rect.size);
    match edge {
        Edge::Top | Edge::Bottom => {
            let zone = room(size.h, space.size.h);
            size.h -= zone;
            loc.y += if edge == Edge::Top { zone } else { 0 };
        }
        Edge::Left | Edge::Right => {
            let zone = room(size.w, space.size.w);
            size.w -= zone;
            loc.x += if edge == Edge::Left { zone } else { 0 };
        }
    }
    Rectangle::new(loc, size)
}

/// The size that a surface's program is told: its place in logical pixels, rounded up, so that what fills it leaves no gap
/// at a fractional scale; what is too much is cut.
#[must_use]
pub fn told_size(place: Size<i32, Physical>, scale: f64) -> Size<i32, Logical> {
    let exact: Size<f64, Logical> = place.to_f64().to_logical(scale);
    // A hair more than an integer comes from the division.
    let up = |length: f64| (length - 1e-6).ceil().max(1.0);
    Size::<f64, Logical>::from((up(exact.w), up(exact.h))).to_i32_round()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPACE: (i32, i32, i32, i32) = (0, 24, 1280, 776);

    fn rect((x, y, w, h): (i32, i32, i32, i32)) -> Rectangle<i32, Physical> {
        Rectangle::new((x, y).into(), (w, h).into())
    }

    fn add(layers: &mut Layers<()>, wish: Wish) -> LayerId {
        let id = layers.add((), OutputId::FIRST, wish.layer);
        let surface = layers.get_mut(id).unwrap();
        surface.wish = wish;
        surface.mapped = true;
        id
    }

    fn bar(edge: Anchor, height: i32) -> Wish {
        Wish {
            layer: Layer::Top,
            size: (0, height).into(),
            anchor: edge | Anchor::LEFT | Anchor::RIGHT,
            zone: ExclusiveZone::Exclusive(height.unsigned_abs()),
            ..Wish::default()
        }
    }

    fn everywhere(layer: Layer, zone: ExclusiveZone) -> Wish {
        Wish { layer, anchor: Anchor::all(), zone, ..Wish::default() }
    }

    #[test]
    fn a_bar_reserves_its_height_and_a_wallpaper_lies_below_it() {
        let mut layers = Layers::default();
        let wallpaper = add(&mut layers, everywhere(Layer::Background, ExclusiveZone::DontCare));
        let below = add(&mut layers, everywhere(Layer::Bottom, ExclusiveZone::Neutral));
        let top = add(&mut layers, bar(Anchor::TOP, 30));
        let bottom = add(&mut layers, bar(Anchor::BOTTOM, 20));
        let left = layers.arrange(OutputId::FIRST, rect(SPACE), 1.0);
        assert_eq!(left, rect((0, 54, 1280, 726)));
        let place = |id| layers.get(id).unwrap().place;
        assert_eq!(place(top), rect((0, 24, 1280, 30)));
        assert_eq!(place(bottom), rect((0, 780, 1280, 20)));
        assert_eq!(place(wallpaper), rect(SPACE));
        assert_eq!(place(below), left, "one that reserves nothing keeps clear of those that do");
        let stripe = rect((0, 0, 1280, 24));
        let extent = |id| layers.get(id).unwrap().extent(stripe);
        assert_eq!(extent(wallpaper), rect((0, 0, 1280, 800)), "its own places are those of the output");
        assert!([top, bottom, below].into_iter().all(|id| extent(id) == place(id)));
    }

    #[test]
    fn a_second_bar_at_an_edge_stands_beside_the_first_and_margins_count() {
        let mut layers = Layers::default();
        let first = add(&mut layers, bar(Anchor::TOP, 30));
        let margin = Margins { top: 5, left: 10, right: 20, bottom: 99 };
        let second = add(&mut layers, Wish { margin, ..bar(Anchor::TOP, 30) });
        let left = layers.arrange(OutputId::FIRST, rect(SPACE), 1.0);
        assert_eq!(layers.get(first).unwrap().place, rect((0, 24, 1280, 30)));
        assert_eq!(layers.get(second).unwrap().place, rect((10, 59, 1250, 30)));
        assert_eq!(left.loc.y, 24 + 30 + 35);
    }

    #[test]
    fn without_anchors_a_surface_stands_in_the_middle_and_in_a_corner_it_reserves_nothing() {
        let mut layers = Layers::default();
        let middle = add(&mut layers, Wish { size: (200, 100).into(), ..Wish::default() });
        let corner = Wish {
            layer: Layer::Overlay,
            size: (200, 100).into(),
            anchor: Anchor::TOP | Anchor::RIGHT,
            zone: ExclusiveZone::Exclusive(100),
            ..Wish::default()
        };
        let corner = add(&mut layers, corner);
        assert_eq!(layers.arrange(OutputId::FIRST, rect(SPACE), 1.0), rect(SPACE));
        assert_eq!(layers.get(middle).unwrap().place, rect((540, 362, 200, 100)));
        assert_eq!(layers.get(corner).unwrap().place, rect((1080, 24, 200, 100)));
    }

    #[test]
    fn what_has_no_content_reserves_nothing() {
        let mut layers = Layers::default();
        let id = add(&mut layers, bar(Anchor::TOP, 30));
        layers.get_mut(id).unwrap().mapped = false;
        assert_eq!(layers.arrange(OutputId::FIRST, rect(SPACE), 1.0), rect(SPACE));
        assert_eq!(
            layers.get(id).unwrap().place,
            rect((0, 24, 1280, 30)),
            "its program is told all the same"
        );
    }

    #[test]
    fn the_keyboard_goes_to_the_top_most_that_takes_it_and_else_to_the_chosen_one() {
        let mut layers = Layers::default();
        let with = |layer, keyboard| Wish { layer, keyboard, ..Wish::default() };
        let bar = add(&mut layers, with(Layer::Top, KeyboardInteractivity::None));
        let dock = add(&mut layers, with(Layer::Bottom, KeyboardInteractivity::OnDemand));
        let low = add(&mut layers, with(Layer::Background, KeyboardInteractivity::Exclusive));
        let focused = |layers: &Layers<()>| layers.focused().map(|surface| surface.id);
        assert_eq!(focused(&layers), None, "below the windows nothing takes the keyboard by itself");
        assert!(!layers.choose(bar));
        assert!(layers.choose(dock));
        assert_eq!(focused(&layers), Some(dock));
        assert!(layers.choose(low));
        let launcher = add(&mut layers, with(Layer::Top, KeyboardInteractivity::Exclusive));
        let prompt = add(&mut layers, with(Layer::Overlay, KeyboardInteractivity::Exclusive));
        let second = add(&mut layers, with(Layer::Top, KeyboardInteractivity::Exclusive));
        assert_eq!(focused(&layers), Some(prompt));
        layers.remove(prompt);
        assert_eq!(focused(&layers), Some(second));
        layers.get_mut(second).unwrap().mapped = false;
        assert_eq!(focused(&layers), Some(launcher));
        layers.remove(launcher);
        assert_eq!(focused(&layers), Some(low));
        layers.choose_none();
        assert_eq!(focused(&layers), None);
    }

    fn wish() -> impl Strategy<Value = Wish> {
        let length = prop_oneof![0..2000i32, Just(0), Just(1 << 20)];
        let margin = prop_oneof![-2000..2000i32, Just(1 << 20), Just(-(1 << 20))];
        let zone = prop_oneof![-1..200i32, -1..5000i32, Just(1 << 20)];
        (
            0..4usize,
            (length.clone(), length),
            0..16u32,
            [margin.clone(), margin.clone(), margin.clone(), margin],
            zone,
        )
            .prop_map(|(layer, size, anchor, [top, right, bottom, left], zone)| Wish {
                layer: LAYERS[layer],
                size: size.into(),
                anchor: Anchor::from_bits_truncate(anchor),
                margin: Margins { top, right, bottom, left },
                zone: zone.into(),
                keyboard: KeyboardInteractivity::None,
            })
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_space_and_the_windows_keep_half_of_it(
            wishes in proptest::collection::vec((wish(), any::<bool>()), 0..8),
            (w, h) in (64..4000i32, 64..4000i32), stripe in 1..60i32, scale in 0.5..4.0f64,
        ) {
            let space = rect((0, stripe, w, (h - stripe).max(1)));
            let mut layers = Layers::default();
            for (wish, mapped) in wishes {
                let id = add(&mut layers, wish);
                layers.get_mut(id).unwrap().mapped = mapped;
            }
            let left = layers.arrange(OutputId::FIRST, space, scale);
            prop_assert!(space.contains_rect(left), "{left:?} in {space:?}");
            prop_assert!(left.size.w * 2 >= space.size.w && left.size.h * 2 >= space.size.h);
            prop_assert!(left.size.w > 0 && left.size.h > 0);
            for surface in layers.all() {
                prop_assert!(space.contains_rect(surface.place), "{:?} in {space:?}", surface.place);
                prop_assert!(surface.place.size.w > 0 && surface.place.size.h > 0);
                let told = told_size(surface.place.size, scale);
                let filled: Size<f64, Physical> = told.to_f64().to_physical(scale);
                prop_assert!(filled.w + 1e-3 >= f64::from(surface.place.size.w));
                prop_assert!(filled.h + 1e-3 >= f64::from(surface.place.size.h));
            }
        }

        #[test]
        fn what_reserves_no_room_moves_nobody(
            wishes in proptest::collection::vec(wish(), 1..6), another in wish(), scale in 0.5..4.0f64,
        ) {
            let mut layers = Layers::default();
            let ids: Vec<_> = wishes.into_iter().map(|wish| add(&mut layers, wish)).collect();
            let before = layers.arrange(OutputId::FIRST, rect(SPACE), scale);
            let places: Vec<_> = ids.iter().map(|id| layers.get(*id).unwrap().place).collect();
            add(&mut layers, Wish { zone: ExclusiveZone::Neutral, ..another });
            prop_assert_eq!(layers.arrange(OutputId::FIRST, rect(SPACE), scale), before);
            let after: Vec<_> = ids.iter().map(|id| layers.get(*id).unwrap().place).collect();
            prop_assert_eq!(places, after);
        }
    }
}
