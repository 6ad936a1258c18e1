//! What a scene is made of.

use std::fmt;

use smithay::backend::renderer::element::solid::SolidColorRenderElement;
use smithay::backend::renderer::element::surface::WaylandSurfaceRenderElement;
use smithay::backend::renderer::element::utils::{CropRenderElement, RescaleRenderElement};
use smithay::backend::renderer::element::{Element, Id, Kind, RenderElement, UnderlyingStorage};
use smithay::backend::renderer::utils::{CommitCounter, DamageSet, OpaqueRegions};
use smithay::backend::renderer::{Color32F, Frame, ImportAll, ImportMem, Renderer, Texture};
use smithay::render_elements;
use smithay::utils::{Buffer, Physical, Point, Rectangle, Scale, Size, Transform};

use super::label::{LabelElement, PictureElement};

render_elements! {
    /// One element of a scene, of any kind.
    pub SceneElement<R> where R: ImportAll + ImportMem;
    /// A client's surface that lies wholly inside its content rectangle.
    Whole = Guest<WaylandSurfaceRenderElement<R>>,
    /// A client's surface cut to its content rectangle.
    Cropped = Guest<CropRenderElement<WaylandSurfaceRenderElement<R>>>,
    /// A client's surface made smaller, and cut to the cell that shows it.
    Small = Guest<CropRenderElement<RescaleRenderElement<WaylandSurfaceRenderElement<R>>>>,
    /// A rectangle of one colour, drawn by the compositor.
    Solid = SolidColorRenderElement,
    /// A part of a label.
    Label = LabelElement<R>,
    /// A picture of the compositor's own that is no label.
    Picture = PictureElement<R>,
}

impl<R: ImportAll + ImportMem> SceneElement<R>
where
    R::TextureId: Texture + 'static,
{
    /// Whether it is a part of a client's content.
    fn is_guest(&self) -> bool {
        matches!(self, Self::Whole(_) | Self::Cropped(_) | Self::Small(_))
    }
}

/// An element as it is seen from the upper left corner of its output.
pub struct OnOutput<R: ImportAll + ImportMem>
where
    R: Renderer,
    R::TextureId: Texture + 'static,
{
    element: SceneElement<R>,
    origin: Point<i32, Physical>,
}

impl<R: Renderer + ImportAll + ImportMem> OnOutput<R>
where
    R::TextureId: Texture + 'static,
{
    /// An element among the physical pixels of all outputs, on the one whose corner is there.
    pub(crate) fn new(element: SceneElement<R>, origin: Point<i32, Physical>) -> Self {
        Self { element, origin }
    }

    /// Whether it is a part of a client's content.
    pub(super) fn is_guest(&self) -> bool {
        self.element.is_guest()
    }
}

impl<R: Renderer + ImportAll + ImportMem> fmt::Debug for OnOutput<R>
where
    R::TextureId: Texture + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.element.fmt(f)
    }
}

impl<R: Renderer + ImportAll + ImportMem> Element for OnOutput<R>
where
    R::TextureId: Texture + 'static,
{
    fn id(&self) -> &Id {
        self.element.id()
    }

    fn current_commit(&self) -> CommitCounter {
        self.element.current_commit()
    }

    fn src(&self) -> Rectangle<f64, Buffer> {
        self.element.src()
    }

    fn geometry(&self, scale: Scale<f64>) -> Rectangle<i32, Physical> {
        let geometry = self.element.geometry(scale);
        Rectangle::new(geometry.loc - self.origin, geometry.size)
    }

    fn transform(&self) -> Transform {
        self.element.transform()
    }

    fn damage_since(&self, scale: Scale<f64>, commit: Option<CommitCounter>) -> DamageSet<i32, Physical> {
        self.element.damage_since(scale, commit)
    }

    fn opaque_regions(&self, scale: Scale<f64>) -> OpaqueRegions<i32, Physical> {
        self.element.opaque_regions(scale)
    }

    fn alpha(&self) -> f32 {
        self.element.alpha()
    }

    fn kind(&self) -> Kind {
        self.element.kind()
    }
}

impl<R: Renderer + ImportAll + ImportMem> RenderElement<R> for OnOutput<R>
where
    R::TextureId: Texture + 'static,
{
    fn draw(
        &self,
        frame: &mut R::Frame<'_, '_>,
        src: Rectangle<f64, Buffer>,
        dst: Rectangle<i32, Physical>,
        damage: &[Rectangle<i32, Physical>],
        opaque_regions: &[Rectangle<i32, Physical>],
    ) -> Result<(), R::Error> {
        self.element.draw(frame, src, dst, damage, opaque_regions)
    }

    fn underlying_storage(&self, renderer: &mut R) -> Option<UnderlyingStorage<'_>> {
        self.element.underlying_storage(renderer)
    }
}

impl<R: ImportAll + ImportMem> fmt::Debug for SceneElement<R>
where
    R::TextureId: Texture + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Whole(_) => "Whole",
            Self::Cropped(_) => "Cropped",
            Self::Small(_) => "Small",
            Self::Solid(_) => "Solid",
            Self::Label(_) => "Label",
            Self::Picture(_) => "Picture",
            _ => "Other",
        };
        f.debug_struct("SceneElement").field("kind", &kind).finish_non_exhaustive()
    }
}

/// The colour behind a client's content where the client draws nothing, or where drawing it failed.
pub const BACKING: Color32F = Color32F::new(0.0, 0.0, 0.0, 1.0);

/// An element with a client's content. If the content cannot be drawn (its memory was truncated, say), the
/// backing appears in its place instead of an error that would cost the whole frame.
///
/// Where the content is turned by a quarter, Smithay 0.7 draws it right, but finds the part that is to be drawn, and the part
/// that has changed, as if it were turned in the other direction. The two differ by half a turn, which is made up for here.
#[derive(Debug)]
pub struct Guest<E> {
    element: E,
    /// The size of the buffer, where it is turned by a quarter.
    turned: Option<Size<f64, Buffer>>,
}

impl<E: Element> Guest<E> {
    /// An element that shows a buffer of the given size, which does not matter where there are no pixels.
    pub fn new(element: E, buffer: Option<Size<i32, Buffer>>) -> Self {
        let is_turned = matches!(
            element.transform(),
            Transform::_90 | Transform::_270 | Transform::Flipped90 | Transform::Flipped270
        );
        Self { element, turned: buffer.filter(|_| is_turned).map(Size::to_f64) }
    }
}

impl<E: Element> Element for Guest<E> {
    fn id(&self) -> &Id {
        self.element.id()
    }

    fn current_commit(&self) -> CommitCounter {
        self.element.current_commit()
    }

    fn src(&self) -> Rectangle<f64, Buffer> {
        let src = self.element.src();
        match self.turned {
            Some(buffer) => {
                let loc = (buffer.w - src.loc.x - src.size.w, buffer.h - src.loc.y - src.size.h);
                Rectangle::new(loc.into(), src.size)
            }
            None => src,
        }
    }

    fn geometry(&self, scale: Scale<f64>) -> Rectangle<i32, Physical> {
        self.element.geometry(scale)
    }

    fn transform(&self) -> Transform {
        self.element.transform()
    }

    fn damage_since(&self, scale: Scale<f64>, commit: Option<CommitCounter>) -> DamageSet<i32, Physical> {
        if self.turned.is_none() {
            return self.element.damage_since(scale, commit);
        }
        // What of it changed is not known: Smithay has dropped what it took for invisible.
        if commit == Some(self.element.current_commit()) {
            return DamageSet::default();
        }
        DamageSet::from_slice(&[Rectangle::from_size(self.element.geometry(scale).size)])
    }

    fn opaque_regions(&self, scale: Scale<f64>) -> OpaqueRegions<i32, Physical> {
        self.element.opaque_regions(scale)
    }

    fn alpha(&self) -> f32 {
        self.element.alpha()
    }

    fn kind(&self) -> Kind {
        self.element.kind()
    }
}

impl<R: Renderer, E: RenderElement<R>> RenderElement<R> for Guest<E> {
    fn draw(
        &self,
        frame: &mut R::Frame<'_, '_>,
        src: Rectangle<f64, Buffer>,
        dst: Rectangle<i32, Physical>,
        damage: &[Rectangle<i32, Physical>],
        opaque_regions: &[Rectangle<i32, Physical>],
    ) -> Result<(), R::Error> {
        match self.element.draw(frame, src, dst, damage, opaque_regions) {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "a client's content could not be drawn");
                frame.draw_solid(dst, damage, BACKING)
            }
        }
    }

    fn underlying_storage(&self, renderer: &mut R) -> Option<UnderlyingStorage<'_>> {
        self.element.underlying_storage(renderer)
    }
}
