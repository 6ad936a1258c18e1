//! Buffers that the card itself draws into, by OpenGL ES, and that the screen can show (GBM).
//!
//! # Invariants
//!
//! * The card's OpenGL and its screens are the same device: a buffer is drawn where it is shown, and never copied.
//! * A buffer has a list of what changed since it was last drawn ([`Stale`]); when its turn comes exactly that is drawn.

use smithay::backend::allocator::dmabuf::{AsDmabuf as _, Dmabuf};
use smithay::backend::allocator::gbm::{GbmAllocator, GbmBuffer, GbmBufferFlags, GbmDevice};
use smithay::backend::allocator::{Allocator as _, Fourcc, Modifier};
use smithay::backend::drm::gbm::{GbmFramebuffer, framebuffer_from_bo};
use smithay::backend::drm::{DrmDeviceFd, DrmSurface};
use smithay::backend::egl::display::EGLDisplay;
use smithay::reexports::drm::control::Device as _;
use smithay::utils::{Physical, Size, Transform};

use super::screen::Ready;
use crate::backend::gles::{Changes, Composed, Gles, GlesError, look_for_library};
use crate::backend::memory::PointerPlace;
use crate::backend::stale::Stale;
use crate::shell::outputs::OutputId;
use crate::state::Comp;

/// The formats of pixels, best first. Screens have no transparency.
const FORMATS: [Fourcc; 2] = [Fourcc::Xrgb8888, Fourcc::Argb8888];

/// A graphics card that draws.
#[derive(Debug)]
pub(super) struct Card {
    /// What draws.
    pub gles: Gles,
    allocator: GbmAllocator<DrmDeviceFd>,
}

impl Card {
    /// OpenGL ES on a card.
    ///
    /// # Errors
    ///
    /// If it has none.
    pub(super) fn new(fd: &DrmDeviceFd) -> Result<Self, GlesError> {
        look_for_library()?;
        let device = GbmDevice::new(fd.clone()).map_err(GlesError::Gbm)?;
        // SAFETY: nothing but Smithay makes displays of EGL in this program.
        let display = unsafe { EGLDisplay::new(device.clone())? };
        let gles = Gles::new(&display)?;
        let flags = GbmBufferFlags::RENDERING | GbmBufferFlags::SCANOUT;
        Ok(Self { gles, allocator: GbmAllocator::new(device, flags) })
    }
}

/// What a screen shows: two buffers that take turns.
#[derive(Debug)]
pub(super) struct Buffers {
    pair: [Buffer; 2],
    changes: Changes,
    /// The screen waits for a frame that is not drawn yet.
    fences: bool,
}

/// One of them.
#[derive(Debug)]
struct Buffer {
    // Before the memory that they are of.
    framebuffer: GbmFramebuffer,
    dmabuf: Dmabuf,
    _memory: GbmBuffer,
    stale: Stale,
}

impl Buffers {
    /// Buffers of a size in the first kind of memory that the card can draw in and the screen shows.
    ///
    /// # Errors
    ///
    /// If there is none, with what was wrong with the last.
    pub(super) fn new(
        card: &mut Card,
        surface: &DrmSurface,
        size: Size<i32, Physical>,
    ) -> Result<Self, GlesError> {
        let mut last = GlesError::NoFormat;
        for (format, modifiers) in kinds(card, surface) {
            match Self::of_kind(card, surface, size, (format, &modifiers)) {
                Ok(buffers) => return Ok(buffers),
                Err(error) => {
                    tracing::debug!(%format, ?modifiers, "no buffers of this kind: {error:?}");
                    last = error;
                }
            }
        }
        Err(last)
    }

    fn of_kind(
        card: &mut Card,
        surface: &DrmSurface,
        size: Size<i32, Physical>,
        kind: (Fourcc, &[Modifier]),
    ) -> Result<Self, GlesError> {
        let mut pair = [Buffer::new(card, surface, size, kind)?, Buffer::new(card, surface, size, kind)?];
        for buffer in &mut pair {
            // Its memory may be of a kind that can be had and not be drawn in.
            card.gles.bind(&mut buffer.dmabuf)?;
            if !surface.is_legacy() {
                let ready = Ready { framebuffer: *buffer.framebuffer.as_ref(), fence: None };
                surface.test_state([ready.plane(surface, size)], true).map_err(GlesError::NotShown)?;
            }
        }
        // What OpenGL said to kinds that it does not take is of no interest to the first frame.
        let _ = card.gles.check();
        let fences = !surface.is_legacy() && takes_fences(surface);
        tracing::debug!(format = %kind.0, modifiers = ?kind.1, fences, "buffers that the card draws into");
        Ok(Self { pair, changes: Changes::new(size, 1.0), fences })
    }

    /// Nothing that is in them is right any more.
    pub(super) fn forget(&mut self) {
        self.changes.forget();
        for buffer in &mut self.pair {
            buffer.stale.everything();
        }
    }

    /// Composes the scene of the output, with or without the pointer.
    pub(super) fn compose(
        &mut self,
        card: &mut Card,
        comp: &mut Comp,
        output: OutputId,
        pointer: PointerPlace,
    ) -> Result<Composed, GlesError> {
        let layout = comp.shell.layout_on(output);
        self.changes.follow(layout.output, layout.scale);
        self.changes.compose(card.gles.scene(), comp, output, pointer)
    }

    /// Draws what the buffer lacks whose turn it is, into a picture of a size that is turned.
    pub(super) fn draw(
        &mut self,
        card: &mut Card,
        back: usize,
        composed: &Composed,
        (size, transform): (Size<i32, Physical>, Transform),
    ) -> Result<Ready, GlesError> {
        for buffer in &mut self.pair {
            buffer.stale.add(&composed.damage);
        }
        let [first, second] = &mut self.pair;
        let buffer = if back == 0 { first } else { second };
        let framebuffer = *buffer.framebuffer.as_ref();
        let stale = buffer.stale.take(transform.invert().transform_size(size));
        if stale.is_empty() {
            return Ok(Ready { framebuffer, fence: None });
        }
        let mut target = card.gles.bind(&mut buffer.dmabuf)?;
        let scene = (&composed.elements[..], composed.scale);
        let drawn = card.gles.draw(&mut target, (size, transform), scene, stale)?;
        let fence = if self.fences { drawn.export() } else { None };
        if fence.is_none() {
            drawn.wait().map_err(|_| GlesError::Interrupted)?;
        }
        Ok(Ready { framebuffer, fence })
    }
}

impl Buffer {
    fn new(
        card: &mut Card,
        surface: &DrmSurface,
        size: Size<i32, Physical>,
        (format, modifiers): (Fourcc, &[Modifier]),
    ) -> Result<Self, GlesError> {
        let (w, h) = (size.w.unsigned_abs(), size.h.unsigned_abs());
        let memory = card.allocator.create_buffer(w, h, format, modifiers).map_err(GlesError::Gbm)?;
        let framebuffer = framebuffer_from_bo(surface.device_fd(), &memory, false)
            .map_err(|error| GlesError::NotShown(error.into()))?;
        let dmabuf = memory.export()?;
        Ok(Self { framebuffer, dmabuf, _memory: memory, stale: Stale::default() })
    }
}

/// The kinds of buffers that may do: for each format the ways of laying out memory that both the screen and OpenGL name, then
/// whatever the card's driver takes without being told, and rows one after the other.
fn kinds(card: &Card, surface: &DrmSurface) -> Vec<(Fourcc, Vec<Modifier>)> {
    let drawn = card.gles.render_formats();
    let mut kinds = Vec::new();
    for format in FORMATS {
        let shown = surface.plane_info().formats.iter().filter(|shown| shown.code == format);
        let both: Vec<Modifier> = shown
            .filter(|shown| shown.modifier != Modifier::Invalid && drawn.contains(shown))
            .map(|shown| shown.modifier)
            .collect();
        if !both.is_empty() {
            kinds.push((format, both));
        }
        kinds.extend([Modifier::Invalid, Modifier::Linear].map(|modifier| (format, vec![modifier])));
    }
    kinds
}

/// Whether the screen waits for a fence before it shows a frame.
fn takes_fences(surface: &DrmSurface) -> bool {
    let Ok(properties) = surface.get_properties(surface.plane()) else { return false };
    let mut names = properties.into_iter().filter_map(|(id, _)| surface.get_property(id).ok());
    names.any(|info| info.name().to_bytes() == b"IN_FENCE_FD")
}
