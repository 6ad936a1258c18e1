//! Pictures among the elements of a scene: their pixels are pixels of the output.

use smithay::backend::renderer::element::memory::{MemoryRenderBuffer, MemoryRenderBufferRenderElement};
use smithay::backend::renderer::element::{Element, Id, Kind, RenderElement, UnderlyingStorage};
use smithay::backend::renderer::utils::{CommitCounter, DamageSet, OpaqueRegions};
use smithay::backend::renderer::{ImportMem, Renderer};
use smithay::utils::{Buffer, Physical, Rectangle, Scale, Size, Transform};

use super::{LabelElement, LabelError};

/// A picture at a place of the output. Its size in physical pixels is that of its canvas whatever the
/// output's scale, so it is never resampled.
#[derive(Debug)]
pub struct PictureElement<R: Renderer>(pub(in crate::render) MemoryRenderBufferRenderElement<R>);

/// The scale at which a picture's own size is its size on the output.
const UNSCALED: Scale<f64> = Scale { x: 1.0, y: 1.0 };

impl<R: Renderer> Element for PictureElement<R> {
    fn id(&self) -> &Id {
        self.0.id()
    }

    fn current_commit(&self) -> CommitCounter {
        self.0.current_commit()
    }

    fn src(&self) -> Rectangle<f64, Buffer> {
        self.0.src()
    }

    fn geometry(&self, _scale: Scale<f64>) -> Rectangle<i32, Physical> {
        self.0.geometry(UNSCALED)
    }

    fn transform(&self) -> Transform {
        self.0.transform()
    }

    fn damage_since(&self, _scale: Scale<f64>, commit: Option<CommitCounter>) -> DamageSet<i32, Physical> {
        self.0.damage_since(UNSCALED, commit)
    }

    fn opaque_regions(&self, _scale: Scale<f64>) -> OpaqueRegions<i32, Physical> {
        self.0.opaque_regions(UNSCALED)
    }

    fn kind(&self) -> Kind {
        self.0.kind()
    }
}

impl<R> RenderElement<R> for PictureElement<R>
where
    R: Renderer + ImportMem,
    R::TextureId: 'static,
{
    fn draw(
        &self,
        frame: &mut R::Frame<'_, '_>,
        src: Rectangle<f64, Buffer>,
        dst: Rectangle<i32, Physical>,
        damage: &[Rectangle<i32, Physical>],
        opaque_regions: &[Rectangle<i32, Physical>],
    ) -> Result<(), R::Error> {
        self.0.draw(frame, src, dst, damage, opaque_regions)
    }

    fn underlying_storage(&self, renderer: &mut R) -> Option<UnderlyingStorage<'_>> {
        self.0.underlying_storage(renderer)
    }
}

/// A picture of any other kind, such as the pointer's, of `source` pixels, at a place in physical pixels.
///
/// # Errors
///
/// [`LabelError::Upload`] if the renderer does not take it.
pub(in crate::render) fn placed_picture<R>(
    renderer: &mut R,
    buffer: &MemoryRenderBuffer,
    source: Size<i32, Physical>,
    place: Rectangle<i32, Physical>,
) -> Result<LabelElement<R>, LabelError>
where
    R: Renderer + ImportMem,
    R::TextureId: Send + Clone + 'static,
{
    // As everywhere here, a physical pixel is a logical one to the element.
    let whole = Some(Rectangle::from_size((f64::from(source.w), f64::from(source.h)).into()));
    let size = Some((place.size.w, place.size.h).into());
    let (corner, kind) = (place.loc.to_f64(), Kind::Cursor);
    let element =
        MemoryRenderBufferRenderElement::from_buffer(renderer, corner, buffer, None, whole, size, kind);
    let element = element.map_err(|error| LabelError::Upload { reason: error.to_string() })?;
    Ok(PictureElement(element).into())
}
