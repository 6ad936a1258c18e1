//! Buffers that a commit has replaced, and that their clients get back together with the next frame.
//!
//! A client that asks for a frame callback draws again once that comes, so it does not need the old buffer before. Told of
//! both at once, it and every process between it and the compositor wakes up once instead of twice for each frame. The
//! release goes first: some clients look for a free buffer as soon as the callback comes.
//!
//! Invariants: at most one buffer of each surface waits, and only until the next frame, which every commit asks for; so a
//! client that goes on committing, or whose window is hidden, gets its buffers back no later than with that.

use std::collections::HashMap;

use smithay::backend::renderer::utils::{Buffer, RendererSurfaceStateUserData};
use smithay::reexports::wayland_server::Resource;
use smithay::reexports::wayland_server::backend::ObjectId;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::wayland::compositor::{
    BufferAssignment, SurfaceAttributes, SurfaceData, TraversalAction, with_surface_tree_upward,
};

/// The buffers that wait, by the surface that they were taken from. Dropping one releases it.
#[derive(Debug, Default)]
pub struct ReplacedBuffers {
    waiting: HashMap<ObjectId, Buffer>,
}

/// What a commit that is about to be applied replaces.
#[derive(Debug, Default)]
pub struct Replacing {
    buffers: Vec<(ObjectId, Buffer)>,
    /// One of the surfaces waits for a frame.
    wants_frame: bool,
}

impl Replacing {
    /// Looks at what is about to be applied to a surface and to those that follow it.
    #[must_use]
    pub fn of(surface: &WlSurface) -> Self {
        let mut replacing = Self::default();
        with_surface_tree_upward(
            surface,
            (),
            |_, _, ()| TraversalAction::DoChildren(()),
            |surface, states, ()| replacing.look_at(surface, states),
            |_, _, ()| true,
        );
        replacing
    }

    fn look_at(&mut self, surface: &WlSurface, states: &SurfaceData) {
        let mut attributes = states.cached_state.get::<SurfaceAttributes>();
        let attributes = attributes.current();
        self.wants_frame |= !attributes.frame_callbacks.is_empty();
        let Some(BufferAssignment::NewBuffer(new)) = &attributes.buffer else { return };
        let drawn = states.data_map.get::<RendererSurfaceStateUserData>();
        let drawn = drawn.and_then(|drawn| drawn.lock().ok());
        // The same buffer again is not replaced.
        if let Some(old) = drawn.as_ref().and_then(|drawn| drawn.buffer()).filter(|old| **old != *new) {
            self.buffers.push((surface.id(), old.clone()));
        }
    }
}

impl ReplacedBuffers {
    /// After the commit was applied: keeps the buffers until the next frame if the client waits for that anyway, or else
    /// releases them. What waited from an earlier commit to the same surface is released.
    pub fn keep(&mut self, replacing: Replacing) {
        let Replacing { buffers, wants_frame } = replacing;
        if wants_frame {
            self.waiting.extend(buffers);
        }
    }

    /// Releases everything that waits.
    pub fn release(&mut self) {
        self.waiting.clear();
    }
}
