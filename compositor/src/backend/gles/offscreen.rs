//! Outputs that are nowhere but in memory, drawn by OpenGL ES: what a console's screens are drawn by, where there is none. For
//! tests above all.
//!
//! Each output has two pictures that take turns, as a screen has, so that what is found wrong with either is found here.

use std::collections::BTreeMap;
use std::fmt;

use smithay::backend::allocator::Fourcc;
use smithay::backend::renderer::gles::GlesTexture;
use smithay::backend::renderer::{ExportMem as _, Offscreen as _};
use smithay::utils::{Physical, Rectangle, Size, Transform};

use super::{Changes, Gles, GlesError};
use crate::backend::memory::{PointerPlace, pack};
use crate::backend::stale::Stale;
use crate::backend::{Picture, Repainted};
use crate::shell::outputs::{OutputId, Outputs};
use crate::state::Comp;

/// The pictures with their renderer.
pub(in crate::backend) struct Offscreen {
    // Before the renderer, which they are of.
    screens: BTreeMap<OutputId, Screen>,
    gles: Gles,
}

impl fmt::Debug for Offscreen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offscreen").field("gles", &self.gles).finish_non_exhaustive()
    }
}

/// The pictures of one output.
struct Screen {
    changes: Changes,
    pictures: [Target; 2],
    /// Which is drawn next.
    back: usize,
}

/// One of them.
struct Target {
    texture: GlesTexture,
    stale: Stale,
}

impl Offscreen {
    pub(in crate::backend) fn new() -> Result<Self, GlesError> {
        let gles = Gles::surfaceless()?;
        tracing::info!("drawing by OpenGL ES ({})", gles.name());
        Ok(Self { screens: BTreeMap::new(), gles })
    }

    /// Has pictures of every output in use.
    pub(in crate::backend) fn follow(&mut self, outputs: &Outputs) -> Result<(), GlesError> {
        self.screens.retain(|id, _| outputs.get(*id).is_some_and(|output| output.in_use));
        for output in outputs.used() {
            let (size, scale) = (output.layout.output, output.layout.scale);
            if self.screens.get_mut(&output.id).is_none_or(|screen| !screen.changes.follow(size, scale)) {
                let pictures = [self.target(size)?, self.target(size)?];
                let screen = Screen { changes: Changes::new(size, scale), pictures, back: 0 };
                self.screens.insert(output.id, screen);
            }
        }
        Ok(())
    }

    fn target(&mut self, size: Size<i32, Physical>) -> Result<Target, GlesError> {
        let size = (size.w, size.h).into();
        let texture = self.gles.scene().gles_mut().create_buffer(Fourcc::Xbgr8888, size)?;
        Ok(Target { texture, stale: Stale::default() })
    }

    pub(in crate::backend) fn forget_damage(&mut self) {
        for screen in self.screens.values_mut() {
            screen.changes.forget();
        }
    }

    /// Draws what changed of an output.
    pub(in crate::backend) fn draw(
        &mut self,
        comp: &mut Comp,
        output: OutputId,
    ) -> Result<Repainted, GlesError> {
        let Some(screen) = self.screens.get_mut(&output) else { return Ok(Repainted::default()) };
        let Screen { changes, pictures, back } = screen;
        let composed = changes.compose(self.gles.scene(), comp, output, PointerPlace::Picture)?;
        if composed.damage.is_empty() {
            return Ok(Repainted { rectangles: Vec::new(), elements: composed.elements.len() });
        }
        let size = changes.size();
        for picture in pictures.iter_mut() {
            picture.stale.add(&composed.damage);
        }
        let [first, second] = pictures;
        let picture = if *back == 0 { first } else { second };
        let stale = picture.stale.take(size);
        let mut target = self.gles.bind(&mut picture.texture)?;
        let scene = (&composed.elements[..], composed.scale);
        let drawn = self.gles.draw(&mut target, (size, Transform::Normal), scene, stale)?;
        // Nobody shows it before it is asked for, which waits.
        drop((drawn, target));
        *back = 1 - *back;
        Ok(Repainted { rectangles: composed.damage, elements: composed.elements.len() })
    }

    /// What the frames of an output have left.
    pub(in crate::backend) fn last_frame(&mut self, output: OutputId) -> Result<Option<Picture>, GlesError> {
        let Some(screen) = self.screens.get_mut(&output) else { return Ok(None) };
        let size = screen.changes.size();
        let [first, second] = &mut screen.pictures;
        let shown = if screen.back == 0 { second } else { first };
        let target = self.gles.bind(&mut shown.texture)?;
        let whole = Rectangle::from_size((size.w, size.h).into());
        let renderer = self.gles.scene().gles_mut();
        let mapping = renderer.copy_framebuffer(&target, whole, Fourcc::Abgr8888)?;
        let mut picture = pack(renderer.map_texture(&mapping)?, size);
        // Screens have no transparency, whatever is left in the buffers.
        picture.rgba.iter_mut().skip(3).step_by(4).for_each(|alpha| *alpha = u8::MAX);
        Ok(Some(picture))
    }
}
