//! What a scene is made of.

use std::fmt;

use smithay::backend::renderer::element::solid::SolidColorRenderElement;
use smithay::backend::renderer::element::surface::WaylandSurfaceRenderElement;
use smithay::backend::renderer::element::utils::CropRenderElement;
use smithay::backend::renderer::element::{Element, Id, Kind, RenderElement, UnderlyingStorage};
use smithay::backend::renderer::utils::{CommitCounter, DamageSet, OpaqueRegions};
use smithay::backend::renderer::{Color32F, Frame, ImportAll, ImportMem, Renderer, Texture};
use smithay::render_elements;
use smithay::utils::{Buffer, Physical, Rectangle, Scale, Transform};

use super::label::LabelElement;

render_elements! {
    /// One element of a scene, of any kind.
    pub SceneElement<R> where R: ImportAll + ImportMem;
    /// A client's surface that lies wholly inside its content rectangle.
    Whole = Guest<WaylandSurfaceRenderElement<R>>,
    /// A client's surface cut to its content rectangle.
    Cropped = Guest<CropRenderElement<WaylandSurfaceRenderElement<R>>>,
    /// A rectangle of one colour, drawn by the compositor.
    Solid = SolidColorRenderElement,
    /// A part of a label.
    Label = LabelElement<R>,
}

impl<R: ImportAll + ImportMem> fmt::Debug for SceneElement<R>
where
    R::TextureId: Texture + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Whole(_) => "Whole",
            Self::Cropped(_) => "Cropped",
            Self::Solid(_) => "Solid",
            Self::Label(_) => "Label",
            _ => "Other",
        };
        f.debug_struct("SceneElement").field("kind", &kind).finish_non_exhaustive()
    }
}

/// The colour behind a client's content where the client draws nothing, or where drawing it failed.
pub const BACKING: Color32F = Color32F::new(0.0, 0.0, 0.0, 1.0);

/// An element with a client's content. If the content cannot be drawn (its memory was truncated, say), the
/// backing appears in its place instead of an error that would cost the whole frame.
#[derive(Debug)]
pub struct Guest<E>(pub E);

impl<E: Element> Element for Guest<E> {
    fn id(&self) -> &Id {
        self.0.id()
    }

    fn current_commit(&self) -> CommitCounter {
        self.0.current_commit()
    }

    fn src(&self) -> Rectangle<f64, Buffer> {
        self.0.src()
    }

    fn geometry(&self, scale: Scale<f64>) -> Rectangle<i32, Physical> {
        self.0.geometry(scale)
    }

    fn transform(&self) -> Transform {
        self.0.transform()
    }

    fn damage_since(&self, scale: Scale<f64>, commit: Option<CommitCounter>) -> DamageSet<i32, Physical> {
        self.0.damage_since(scale, commit)
    }

    fn opaque_regions(&self, scale: Scale<f64>) -> OpaqueRegions<i32, Physical> {
        self.0.opaque_regions(scale)
    }

    fn alpha(&self) -> f32 {
        self.0.alpha()
    }

    fn kind(&self) -> Kind {
        self.0.kind()
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
        match self.0.draw(frame, src, dst, damage, opaque_regions) {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "a client's content could not be drawn");
                frame.draw_solid(dst, damage, BACKING)
            }
        }
    }

    fn underlying_storage(&self, renderer: &mut R) -> Option<UnderlyingStorage<'_>> {
        self.0.underlying_storage(renderer)
    }
}
