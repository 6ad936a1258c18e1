//! When to draw: at the output's refresh, and only when something asked for it.

use std::time::Duration;

use calloop::RegistrationToken;
use calloop::timer::{TimeoutAction, Timer};
use smithay::backend::renderer::utils::with_renderer_surface_state;
use smithay::desktop::PopupManager;
use smithay::desktop::utils::with_surfaces_surface_tree;
use smithay::reexports::wayland_protocols::wp::presentation_time::server::wp_presentation_feedback;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::wayland::compositor::SurfaceAttributes;
use smithay::wayland::presentation::{PresentationFeedbackCachedState, Refresh};

use super::replaced::ReplacedBuffers;
use crate::shell::stacking::Element;
use crate::state::State;

/// Refresh rate of an output without a real one, in thousandths of a hertz.
pub const REFRESH_MHZ: i32 = 60_000;
/// The time between two frames.
pub const INTERVAL: Duration = Duration::from_nanos(1_000_000_000_000 / REFRESH_MHZ.unsigned_abs() as u64);

/// The next frame. The timer exists only while a frame is wanted, so that an idle compositor sleeps.
#[derive(Debug, Default)]
pub struct Schedule {
    wanted: bool,
    timer: Option<RegistrationToken>,
    last: Option<Duration>,
    sequence: u64,
    /// What clients get back with the next frame.
    pub(crate) replaced: ReplacedBuffers,
}

impl Schedule {
    /// Asks for a frame.
    pub fn request(&mut self) {
        self.wanted = true;
    }

    /// Whether a frame was asked for and not drawn yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.wanted || self.timer.is_some()
    }

    /// Frames drawn so far.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.sequence
    }
}

impl State {
    /// Arms the timer for the next refresh if a frame is wanted.
    pub(crate) fn plan_repaint(&mut self) {
        let schedule = &self.comp.schedule;
        if !schedule.wanted || schedule.timer.is_some() {
            return;
        }
        let now = self.comp.now();
        let due = schedule.last.map_or(now, |last| last.saturating_add(INTERVAL));
        let timer = Timer::from_duration(due.saturating_sub(now));
        let inserted = self.comp.events.insert_source(timer, |_, (), state| {
            state.comp.schedule.timer = None;
            state.repaint();
            TimeoutAction::Drop
        });
        match inserted {
            Ok(token) => self.comp.schedule.timer = Some(token),
            Err(error) => tracing::error!("error arming the frame timer: {error}"),
        }
    }

    /// Draws a frame now and tells the clients whose surfaces are in it.
    pub fn repaint(&mut self) {
        let schedule = &mut self.comp.schedule;
        schedule.wanted = false;
        schedule.sequence = schedule.sequence.wrapping_add(1);
        match self.backend.draw(&mut self.comp) {
            Ok(()) => self.confirm_lock(),
            Err(error) => {
                tracing::error!("error drawing a frame: {error}");
                // Whoever locked the session waits for a frame without windows.
                self.comp.schedule.wanted |= self.comp.lock.awaits_frame();
            }
        }
        let now = self.comp.now();
        self.comp.schedule.last = Some(now);
        self.comp.schedule.replaced.release();
        self.tell_clients(now);
        self.list_texts();
        self.serve_captures(now);
        self.release_after_frame();
    }

    /// Sends frame callbacks and presentation feedback of all shown windows and layer surfaces, of the lock, and of
    /// what the input method shows. A lock makes no
    /// difference to the windows behind it, so that VMs do not learn when the user is away.
    fn tell_clients(&self, now: Duration) {
        let windows = self.comp.shell.bottom_up().filter(|window| window.shown());
        let windows = windows.map(|window| window.handle.wl_surface());
        let layers = self.comp.layers.all().filter(|layer| layer.mapped);
        let layers = layers.map(|layer| layer.handle.wl_surface());
        for surface in windows.chain(layers).chain(self.comp.shown_lock()) {
            self.tell_tree(surface, now);
            for (popup, _) in PopupManager::popups_for_surface(surface) {
                self.tell_tree(popup.wl_surface(), now);
            }
        }
        for popup in self.comp.method_popups() {
            self.tell_tree(&popup.surface, now);
        }
    }

    fn tell_tree(&self, root: &WlSurface, now: Duration) {
        let milliseconds = u32::try_from(now.as_millis() & u128::from(u32::MAX)).unwrap_or(0);
        let sequence = self.comp.schedule.sequence;
        let output = &self.comp.output;
        let mut feedback = Vec::new();
        with_surfaces_surface_tree(root, |_, states| {
            let mut attributes = states.cached_state.get::<SurfaceAttributes>();
            for callback in attributes.current().frame_callbacks.drain(..) {
                callback.done(milliseconds);
            }
            drop(attributes);
            let mut cached = states.cached_state.get::<PresentationFeedbackCachedState>();
            feedback.append(&mut cached.current().callbacks);
        });
        for callback in feedback {
            let kind = wp_presentation_feedback::Kind::empty();
            callback.presented(output, now, Refresh::fixed(INTERVAL), sequence, kind);
        }
    }
}

/// Whether a surface has content.
#[must_use]
pub fn has_buffer(surface: &WlSurface) -> bool {
    with_renderer_surface_state(surface, |state| state.buffer().is_some()).unwrap_or(false)
}
