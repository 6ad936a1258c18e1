//! Protocols that add one object to a surface, and no second one while the first lives.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::wayland::compositor::with_states;

/// Whether a surface has an object of the interface `I` now.
#[derive(Debug)]
struct Claim<I> {
    taken: AtomicBool,
    interface: PhantomData<fn() -> I>,
}

impl<I> Default for Claim<I> {
    fn default() -> Self {
        Self { taken: AtomicBool::new(false), interface: PhantomData }
    }
}

/// Gives a surface to a new object of the interface `I`; false if it has one already.
pub fn claim<I: 'static>(surface: &WlSurface) -> bool {
    !swap::<I>(surface, true)
}

/// The object of the interface `I` is gone, and there may be another one.
pub fn release<I: 'static>(surface: &WlSurface) {
    swap::<I>(surface, false);
}

fn swap<I: 'static>(surface: &WlSurface, taken: bool) -> bool {
    with_states(surface, |states| {
        let claim = states.data_map.get_or_insert_threadsafe(Claim::<I>::default);
        claim.taken.swap(taken, Ordering::Relaxed)
    })
}
