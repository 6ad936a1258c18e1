//! Drawing by OpenGL ES, for graphics cards that have it.
//!
//! # Model
//!
//! The same scene is composed as for memory, by the same code, for another renderer ([`scene_gles::SceneGles`]); then what has changed
//! of it is drawn into the buffer whose turn it is ([`paint`]). Everything goes through that one composed picture: no
//! client's buffer is ever shown by the card itself, so that no label can be missing above it.
//!
//! The processor still draws what is no frame of a screen: screenshots, captures, pictures of windows, the pointer on its plane.
//!
//! # Invariants
//!
//! * A frame after which OpenGL reports any error is not shown. OpenGL draws nothing of what it refuses (a label, say) and
//!   goes on, which a pixman renderer never does; so its word is asked for after each frame and before the screen gets it.
//! * What a VM can make OpenGL keep is bounded, and what would make it refuse something is kept from it
//!   ([`scene_gles`]).

mod offscreen;
mod paint;
mod scene_gles;

use std::ffi::CStr;
use std::{fmt, io};

use smithay::backend::allocator::format::FormatSet;
use smithay::backend::allocator::gbm::GbmConvertError;
use smithay::backend::egl::display::EGLDisplay;
use smithay::backend::egl::native::EGLSurfacelessDisplay;
use smithay::backend::egl::{EGLContext, EGLDevice};
use smithay::backend::renderer::gles::{Capability, GlesError as DrawError, GlesRenderer, GlesTarget, ffi};
use smithay::backend::renderer::sync::SyncPoint;
use smithay::backend::renderer::{Bind, Frame as _, Renderer as _};
use smithay::output::OutputNoMode;
use smithay::utils::{Physical, Rectangle, Size, Transform};

use crate::render::elements::OnOutput;
pub(super) use offscreen::Offscreen;
pub(super) use paint::{Changes, Composed};
pub(super) use scene_gles::SceneGles;

/// The library that everything else of OpenGL is found through.
const LIBRARY: &str = "libEGL.so.1";
/// What renderers that draw by the processor call themselves.
const SOFTWARE: [&str; 5] = ["llvmpipe", "softpipe", "swrast", "swiftshader", "software rasterizer"];
/// Errors that are asked for at most in one go: OpenGL has a handful of kinds.
const MAX_ERRORS: usize = 16;

/// What went wrong with OpenGL ES.
#[derive(Debug, thiserror::Error)]
pub enum GlesError {
    /// There is no EGL on this machine.
    #[error("there is no {LIBRARY} (in Debian's packages libegl1 and libgl1-mesa-dri)")]
    NoLibrary(#[source] libloading::Error),
    /// EGL could not be set up.
    #[error("error setting up EGL")]
    Egl(#[from] smithay::backend::egl::Error),
    /// OpenGL ES could not be set up or used.
    #[error("error using OpenGL ES")]
    Draw(#[from] DrawError),
    /// OpenGL ES has refused something, or has lost everything.
    #[error("OpenGL ES reports the error {0:#06x}")]
    Reported(u32),
    /// A buffer of the graphics card could not be made.
    #[error("error making a buffer that the graphics card draws into")]
    Gbm(#[source] io::Error),
    /// A buffer cannot be passed on to OpenGL.
    #[error("error passing a buffer of the graphics card to OpenGL")]
    Export(#[from] GbmConvertError),
    /// The card draws in no kind of buffer that its screen shows.
    #[error("the graphics card draws into no kind of buffer that its screen shows")]
    NoFormat,
    /// The screen does not show what the card has drawn.
    #[error("the screen does not show what the graphics card draws")]
    NotShown(#[source] smithay::backend::drm::DrmError),
    /// Waiting for a frame failed.
    #[error("waiting for the graphics card failed")]
    Interrupted,
    /// The picture has no size.
    #[error("a picture has no size")]
    NoMode(#[from] OutputNoMode),
}

/// A renderer for screens.
pub(super) struct Gles {
    scene: SceneGles,
    name: String,
    software: bool,
}

impl fmt::Debug for Gles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gles").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Gles {
    /// OpenGL ES without any screen.
    pub(super) fn surfaceless() -> Result<Self, GlesError> {
        look_for_library()?;
        // SAFETY: nothing but Smithay makes displays of EGL in this program.
        let display = unsafe { EGLDisplay::new(EGLSurfacelessDisplay)? };
        Self::new(&display)
    }

    /// OpenGL ES on a display. [`look_for_library`] has found EGL.
    pub(super) fn new(display: &EGLDisplay) -> Result<Self, GlesError> {
        let context = EGLContext::new(display)?;
        // SAFETY: the context was made just now, and there is one thread that draws.
        let mut capabilities = unsafe { GlesRenderer::supported_capabilities(&context)? };
        // Errors are asked for after each frame. The debug log would say them to the log, as often as they come.
        capabilities.retain(|capability| *capability != Capability::Debug);
        // SAFETY: as above.
        let mut renderer = unsafe { GlesRenderer::with_capabilities(context, capabilities)? };
        let name = renderer.with_context(|gl| {
            // SAFETY: the context is current, and the text that is returned lives as long as it.
            let text = unsafe { gl.GetString(ffi::RENDERER) };
            if text.is_null() {
                return String::new();
            }
            // SAFETY: OpenGL's strings end with a zero.
            let text = unsafe { CStr::from_ptr(text.cast()) };
            text.to_string_lossy().into_owned()
        })?;
        let device = EGLDevice::device_for_display(display);
        let software = is_software(&name) || device.is_ok_and(|device| device.is_software());
        let mut this = Self { scene: SceneGles::new(renderer)?, name, software };
        // What was tried out while it was set up is of no interest.
        let _ = this.check();
        Ok(this)
    }

    /// What draws, in the words of its driver.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether that is the processor after all.
    pub(super) fn is_software(&self) -> bool {
        self.software
    }

    /// What scenes are composed for.
    pub(super) fn scene(&mut self) -> &mut SceneGles {
        &mut self.scene
    }

    /// In which formats of buffers it can draw.
    pub(super) fn render_formats(&self) -> FormatSet {
        self.scene.gles().egl_context().dmabuf_render_formats().clone()
    }

    /// Makes a buffer ready to be drawn into.
    pub(super) fn bind<'a, T>(&mut self, target: &'a mut T) -> Result<GlesTarget<'a>, GlesError>
    where
        GlesRenderer: Bind<T>,
    {
        Ok(self.scene.gles_mut().bind(target)?)
    }

    /// Draws what is in these rectangles of an upright scene into a buffer of a size, turned.
    pub(super) fn draw(
        &mut self,
        target: &mut GlesTarget<'_>,
        (size, transform): (Size<i32, Physical>, Transform),
        (elements, scale): (&[OnOutput<SceneGles>], f64),
        damage: Vec<Rectangle<i32, Physical>>,
    ) -> Result<SyncPoint, GlesError> {
        // A screen is turned as its picture is not.
        let mut frame = self.scene.render(target, size, transform.invert())?;
        paint::draw(&mut frame, elements, scale.into(), damage)?;
        let drawn = frame.finish()?;
        self.check()?;
        Ok(drawn)
    }

    /// Whether OpenGL has done all that was asked of it since this was asked last.
    pub(super) fn check(&mut self) -> Result<(), GlesError> {
        let error = self.scene.gles_mut().with_context(|gl| {
            // SAFETY: the context is current.
            let ask = || unsafe { gl.GetError() };
            let first = ask();
            // A lost context may say so for ever.
            for _ in 0..MAX_ERRORS {
                if ask() == ffi::NO_ERROR {
                    break;
                }
            }
            first
        })?;
        if error == ffi::NO_ERROR { Ok(()) } else { Err(GlesError::Reported(error)) }
    }
}

/// Whether there is EGL: without it, Smithay 0.7 ends the program when it looks for it.
pub(super) fn look_for_library() -> Result<(), GlesError> {
    // SAFETY: loading it runs code of the system's libraries, as for a program that is linked with them.
    let library = unsafe { libloading::Library::new(LIBRARY) };
    library.map(drop).map_err(GlesError::NoLibrary)
}

/// Whether a renderer that calls itself this draws by the processor.
fn is_software(name: &str) -> bool {
    let name = name.to_lowercase();
    SOFTWARE.iter().any(|software| name.contains(software))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod tests {
    use smithay::backend::allocator::Fourcc;
    use smithay::backend::renderer::element::solid::SolidColorRenderElement;
    use smithay::backend::renderer::element::{Id, Kind};
    use smithay::backend::renderer::gles::GlesTexture;
    use smithay::backend::renderer::utils::CommitCounter;
    use smithay::backend::renderer::{Color32F, ExportMem as _, Offscreen as _};

    use super::*;
    use crate::render::elements::SceneElement;

    /// The same pixels as when the processor turns a picture (`drm::dumb`).
    #[test]
    fn a_turned_screen_is_drawn_so_that_it_shows_the_scene_upright() {
        let upright = Size::from((6, 4));
        let whole = Rectangle::from_size(upright);
        let corner = Rectangle::new((1, 0).into(), (2, 1).into());
        let (red, blue) = ([255, 0, 0, 255], [0, 0, 255, 255]);
        let solid = |rect, [r, g, b]: [f32; 3]| {
            let (id, commit) = (Id::new(), CommitCounter::default());
            let color = Color32F::new(r, g, b, 1.0);
            let element = SolidColorRenderElement::new(id, rect, commit, color, Kind::Unspecified);
            OnOutput::new(SceneElement::Solid(element), (0, 0).into())
        };
        let elements = [solid(corner, [1.0, 0.0, 0.0]), solid(whole, [0.0, 0.0, 1.0])];
        let mut gles = Gles::surfaceless().unwrap();
        for transform in [
            Transform::Normal,
            Transform::_90,
            Transform::_180,
            Transform::_270,
            Transform::Flipped,
            Transform::Flipped90,
            Transform::Flipped180,
            Transform::Flipped270,
        ] {
            let size = transform.transform_size(upright);
            let buffer = (size.w, size.h).into();
            let mut texture: GlesTexture =
                gles.scene().gles_mut().create_buffer(Fourcc::Xbgr8888, buffer).unwrap();
            let mut target = gles.bind(&mut texture).unwrap();
            let scene = (&elements[..], 1.0);
            let drawn = gles.draw(&mut target, (size, transform), scene, vec![whole]).unwrap();
            drawn.wait().unwrap();
            let renderer = gles.scene().gles_mut();
            let mapping =
                renderer.copy_framebuffer(&target, Rectangle::from_size(buffer), Fourcc::Abgr8888).unwrap();
            let pixels = renderer.map_texture(&mapping).unwrap().to_vec();
            // Smithay does not bear a panic while it is bound.
            drop(target);
            for (x, y) in (0..upright.w).flat_map(|x| (0..upright.h).map(move |y| (x, y))) {
                let pixel = Rectangle::new((x, y).into(), (1, 1).into());
                let at = transform.invert().transform_rect_in(pixel, &upright).loc;
                let index = usize::try_from((at.y * size.w + at.x) * 4).unwrap();
                let expected = if corner.contains((x, y)) { red } else { blue };
                assert_eq!(pixels[index..index + 4], expected, "{transform:?}: {x},{y}");
            }
        }
    }

    #[test]
    fn renderers_of_the_processor_are_told_by_their_names() {
        for software in [
            "llvmpipe (LLVM 15.0.6, 256 bits)",
            "softpipe",
            "Software Rasterizer",
            "zink Vulkan 1.3(llvmpipe (LLVM 19.1.7, 256 bits) (LLVMPIPE))",
        ] {
            assert!(is_software(software), "{software}");
        }
        for card in [
            "Mesa Intel(R) UHD Graphics 620 (KBL GT2)",
            "AMD Radeon RX 6600 (radeonsi, navi23)",
            "virgl (AMD)",
        ] {
            assert!(!is_software(card), "{card}");
        }
    }
}
