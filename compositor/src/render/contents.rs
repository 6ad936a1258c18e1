//! Frames of an output in which nothing but the contents of windows has changed.
//!
//! # Model
//!
//! Most frames show new content of one window, and nothing else is new. To find that out by composing the whole scene and
//! comparing it with the last one costs more the more windows there are, however little they do. So a whole frame leaves
//! behind where its elements lie, front to back ([`Still`]). As long as nothing has changed since but what windows show
//! ([`Changed::Contents`]), only the elements of those windows are made again. Where they lie exactly as they lay, what of
//! them has changed is drawn, without that what elements in front of it cover. In every other case a whole frame is drawn,
//! which is always right.
//!
//! # Invariants
//!
//! * What is drawn lies inside the content rectangle of the window, because the elements that were made again lie where they
//!   lay in a whole frame, and nothing in front of it is drawn over: a label stays as it is.
//! * Whoever asks for a frame means everything ([`super::schedule::Schedule::request`]), unless it says that it does not.
//! * The tracker of whole frames is not told of these. It compares with the last whole frame, so that it later finds more
//!   changed than there is, and never less.
//! * The elements themselves are not kept, since they hold clients' buffers.

use smithay::backend::renderer::element::{Element, Id, RenderElement};
use smithay::backend::renderer::utils::CommitCounter;
use smithay::backend::renderer::{ImportAll, ImportMem, Renderer, Texture};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Buffer, Physical, Point, Rectangle, Scale, Transform};

use super::elements::OnOutput;
use super::scene;
use crate::shell::Target;
use crate::shell::outputs::OutputId;
use crate::shell::window::WindowId;
use crate::state::Comp;

/// So many windows at most are drawn without the others, and so many rectangles of one.
const MAX_CONTENTS: usize = 64;

/// What has changed since the last frame.
#[derive(Debug, Default, PartialEq)]
pub enum Changed {
    /// Anything.
    #[default]
    Everything,
    /// No more than the content of these windows, by their surfaces.
    Contents(Vec<WlSurface>),
}

impl Changed {
    /// The content of one more window.
    pub fn add(&mut self, window: &WlSurface) {
        let Self::Contents(windows) = self else { return };
        if !windows.contains(window) {
            windows.push(window.clone());
        }
        if windows.len() > MAX_CONTENTS {
            *self = Self::Everything;
        }
    }

    /// What has changed so far; from now on nothing has.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Contents(Vec::new()))
    }
}

/// An element of the last whole frame, and how far its content has been drawn since.
#[derive(Debug, PartialEq)]
struct Placed {
    id: Id,
    geometry: Rectangle<i32, Physical>,
    src: Rectangle<f64, Buffer>,
    transform: Transform,
    alpha: f32,
    /// What of the output nothing behind it is seen through.
    opaque: Vec<Rectangle<i32, Physical>>,
    /// It is a client's.
    guest: bool,
}

impl Placed {
    fn new<R>(element: &OnOutput<R>, scale: Scale<f64>) -> Self
    where
        R: Renderer + ImportAll + ImportMem,
        R::TextureId: Texture + Send + Clone + 'static,
    {
        let geometry = element.geometry(scale);
        let opaque = element.opaque_regions(scale);
        Self {
            id: element.id().clone(),
            geometry,
            src: element.src(),
            transform: element.transform(),
            alpha: element.alpha(),
            opaque: opaque.iter().map(|part| Rectangle::new(part.loc + geometry.loc, part.size)).collect(),
            guest: element.is_guest(),
        }
    }
}

/// What the scene depends on besides, in case that whoever changed it meant to change only content.
#[derive(Debug, PartialEq)]
struct Around {
    pointer: Option<Point<i32, Physical>>,
    target: Option<Target>,
    focused: Option<WindowId>,
}

impl Around {
    /// `None` where windows are not simply there.
    fn of(comp: &Comp) -> Option<Self> {
        let overlaid = comp.overlay_has_input() || comp.is_xray();
        if comp.lock.is_locked() || overlaid || comp.input.interaction.is_some() {
            return None;
        }
        let pointer = comp.drawn_pointer();
        Some(Self {
            pointer,
            target: pointer.map(|point| comp.target_at(point)),
            focused: comp.focused_window().map(|window| window.id),
        })
    }
}

/// Where the elements of the last whole frame lie.
#[derive(Debug)]
pub struct Still {
    around: Around,
    placed: Vec<Placed>,
    /// How far the content of each has been drawn.
    drawn: Vec<CommitCounter>,
    scale: Scale<f64>,
}

/// The elements of one window that have changed, and what of the output is to be drawn anew.
#[derive(Debug)]
pub struct Pane<R: Renderer + ImportAll + ImportMem>
where
    R::TextureId: Texture + 'static,
{
    elements: Vec<OnOutput<R>>,
    /// The place of the first one among all.
    first: usize,
    damage: Vec<Rectangle<i32, Physical>>,
}

impl Still {
    /// What a whole frame leaves behind; nothing where the next one has to be whole too.
    pub fn of<R>(comp: &Comp, elements: &[OnOutput<R>], scale: f64) -> Option<Self>
    where
        R: Renderer + ImportAll + ImportMem,
        R::TextureId: Texture + Send + Clone + 'static,
    {
        let around = Around::of(comp)?;
        let scale = Scale::from(scale);
        let placed = elements.iter().map(|element| Placed::new(element, scale)).collect();
        let drawn = elements.iter().map(Element::current_commit).collect();
        Some(Self { around, placed, drawn, scale })
    }

    /// What is to be drawn of these windows; nothing where only a whole frame will do.
    pub fn panes<R>(
        &self,
        comp: &Comp,
        renderer: &mut R,
        output: OutputId,
        windows: &[WlSurface],
    ) -> Option<Vec<Pane<R>>>
    where
        R: Renderer + ImportAll + ImportMem,
        R::TextureId: Texture + Send + Clone + 'static,
    {
        if Around::of(comp)? != self.around {
            return None;
        }
        let mut panes = Vec::new();
        let whole = Rectangle::from_size(comp.shell.layout_on(output).output);
        for window in windows {
            // What is not shown was not in the last frame either.
            if let Some(elements) = scene::pane(comp, renderer, output, window) {
                panes.push(self.pane(elements, whole)?);
            }
        }
        Some(panes)
    }

    fn pane<R>(&self, elements: Vec<OnOutput<R>>, output: Rectangle<i32, Physical>) -> Option<Pane<R>>
    where
        R: Renderer + ImportAll + ImportMem,
        R::TextureId: Texture + Send + Clone + 'static,
    {
        let id = elements.first()?.id();
        let first = self.placed.iter().position(|placed| placed.id == *id)?;
        let (front, rest) = self.placed.split_at_checked(first)?;
        let before = rest.get(..elements.len())?;
        let same = elements.iter().zip(before).all(|(now, before)| Placed::new(now, self.scale) == *before);
        // A surface above the others that is not there any more would be in front of them.
        if !same || front.last().is_some_and(|next| next.guest) {
            return None;
        }
        let mut damage = Vec::new();
        for ((element, placed), drawn) in elements.iter().zip(before).zip(self.drawn.get(first..)?) {
            if element.current_commit() != *drawn {
                let new = element.damage_since(self.scale, Some(*drawn)).into_iter();
                let new = new.map(|part| Rectangle::new(part.loc + placed.geometry.loc, part.size));
                damage
                    .extend(new.filter_map(|part| part.intersection(placed.geometry)?.intersection(output)));
            }
        }
        if damage.len() > MAX_CONTENTS {
            return None;
        }
        let covers = front.iter().flat_map(|placed| &placed.opaque).copied();
        let damage = Rectangle::subtract_rects_many_in_place(damage, covers);
        // What is left under another element is seen through it.
        let covered =
            |part: &Rectangle<i32, Physical>| front.iter().any(|other| other.geometry.overlaps(*part));
        if damage.len() > MAX_CONTENTS || damage.iter().any(covered) {
            return None;
        }
        Some(Pane { elements, first, damage })
    }

    /// The content of a pane has been drawn.
    pub fn note<R>(&mut self, pane: &Pane<R>)
    where
        R: Renderer + ImportAll + ImportMem,
        R::TextureId: Texture + Send + Clone + 'static,
    {
        let drawn = self.drawn.iter_mut().skip(pane.first);
        for (drawn, element) in drawn.zip(&pane.elements) {
            *drawn = element.current_commit();
        }
    }

    /// The output's scale.
    pub fn scale(&self) -> Scale<f64> {
        self.scale
    }
}

impl<R> Pane<R>
where
    R: Renderer + ImportAll + ImportMem,
    R::TextureId: Texture + Send + Clone + 'static,
{
    /// What of the output is drawn anew.
    pub fn damage(&self) -> &[Rectangle<i32, Physical>] {
        &self.damage
    }

    /// How many elements were made for it.
    pub fn elements(&self) -> usize {
        self.elements.len()
    }

    /// Draws what has changed, from the back to the front.
    ///
    /// # Errors
    ///
    /// What the renderer says.
    pub fn draw(&self, frame: &mut R::Frame<'_, '_>, scale: Scale<f64>) -> Result<(), R::Error> {
        for (index, element) in self.elements.iter().enumerate().rev() {
            let geometry = element.geometry(scale);
            let visible = self.damage.iter().filter_map(|part| part.intersection(geometry)).collect();
            let front = self.elements.iter().take(index).flat_map(|other| {
                let at = other.geometry(scale).loc;
                other
                    .opaque_regions(scale)
                    .into_iter()
                    .map(move |part| Rectangle::new(part.loc + at, part.size))
            });
            let mut visible = Rectangle::subtract_rects_many_in_place(visible, front);
            if visible.is_empty() {
                continue;
            }
            for part in &mut visible {
                part.loc -= geometry.loc;
            }
            element.draw(frame, element.src(), geometry, &visible, &[])?;
        }
        Ok(())
    }
}
