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

use super::contents::Changed;
use super::replaced::ReplacedBuffers;
use crate::backend::Drawn;
use crate::shell::stacking::Element;
use crate::state::State;

/// Refresh rate of an output without a real one, in thousandths of a hertz.
pub const REFRESH_MHZ: i32 = 60_000;

/// The time between two frames at a refresh rate in thousandths of a hertz.
#[must_use]
pub fn interval(refresh: i32) -> Duration {
    Duration::from_nanos(1_000_000_000_000 / u64::from(refresh.unsigned_abs()).max(1))
}

/// When a frame was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// By the monotonic clock.
    pub time: Duration,
    /// The screen's own number of the refresh, if it has one.
    pub sequence: Option<u64>,
    /// The graphics card has said so, and when.
    pub from_hardware: bool,
}

/// The next frame. The timer exists only while a frame is wanted, so that an idle compositor sleeps.
#[derive(Debug)]
pub struct Schedule {
    wanted: bool,
    /// What the next frame will show that the last one does not.
    pub(crate) changed: Changed,
    timer: Option<RegistrationToken>,
    last: Option<Duration>,
    sequence: u64,
    /// The time between two refreshes of the output.
    interval: Duration,
    /// The screen says when a frame is shown, and has not yet said it of the last one.
    coming: bool,
    /// The screen says when a frame is shown.
    paced: bool,
    /// The last frame could not be drawn. Said once, because the next ones may fail likewise.
    failed: bool,
    /// The last frame drawn is the first of a lock, without windows, and was not shown yet.
    shows_lock: bool,
    /// What clients get back with the next frame.
    pub(crate) replaced: ReplacedBuffers,
}

impl Schedule {
    /// No frame is wanted, on an output with this refresh rate in thousandths of a hertz.
    #[must_use]
    pub fn new(refresh: i32) -> Self {
        Self {
            wanted: false,
            changed: Changed::Everything,
            timer: None,
            last: None,
            sequence: 0,
            interval: interval(refresh),
            coming: false,
            paced: false,
            failed: false,
            shows_lock: false,
            replaced: ReplacedBuffers::default(),
        }
    }

    /// The output has another refresh rate.
    pub fn set_refresh(&mut self, refresh: i32) {
        self.interval = interval(refresh);
    }

    /// The least time between the beginnings of two frames. Where the screen itself says when the next may begin, its word
    /// comes shortly before a whole interval has passed, and waiting longer would miss every other refresh; but there are
    /// virtual screens that say it at once.
    fn least(&self) -> Duration {
        if self.paced { self.interval - self.interval / 8 } else { self.interval }
    }

    /// Asks for a frame, in which anything may be new.
    pub fn request(&mut self) {
        self.wanted = true;
        self.changed = Changed::Everything;
    }

    /// Asks for a frame in which no more is new than the content of a window, by its surface. What else a commit changes,
    /// such as which surfaces the window has and where they lie, is noticed when the frame is drawn.
    pub fn request_content(&mut self, window: &WlSurface) {
        self.wanted = true;
        self.changed.add(window);
    }

    /// Whether a frame was asked for and is not shown yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.wanted || self.timer.is_some() || self.coming
    }

    /// Frames drawn so far.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.sequence
    }
}

impl State {
    /// Arms the timer for the next refresh if a frame is wanted and can be drawn. If it cannot, the backend wakes the event
    /// loop once it can, and this is asked again.
    pub(crate) fn plan_repaint(&mut self) {
        let schedule = &self.comp.schedule;
        if !schedule.wanted || schedule.timer.is_some() || !self.backend.may_draw() {
            return;
        }
        let now = self.comp.now();
        let due = schedule.last.map_or(now, |last| last.saturating_add(schedule.least()));
        let timer = Timer::from_duration(due.saturating_sub(now));
        let inserted = self.comp.events.insert_source(timer, |_, (), state| {
            state.comp.schedule.timer = None;
            // The console may have been left since.
            if state.backend.may_draw() {
                state.repaint();
            }
            TimeoutAction::Drop
        });
        match inserted {
            Ok(token) => self.comp.schedule.timer = Some(token),
            Err(error) => tracing::error!("error arming the frame timer: {error}"),
        }
    }

    /// Draws a frame now. The clients whose surfaces are in it are told when it is shown.
    pub fn repaint(&mut self) {
        let now = self.comp.now();
        let schedule = &mut self.comp.schedule;
        schedule.wanted = false;
        schedule.sequence = schedule.sequence.wrapping_add(1);
        let awaited = self.comp.lock.awaits_frame();
        let drawn = self.backend.draw(&mut self.comp);
        let schedule = &mut self.comp.schedule;
        let drawn_failed = drawn.is_err();
        schedule.shows_lock = awaited && !drawn_failed;
        let failed_before = std::mem::replace(&mut schedule.failed, drawn_failed);
        schedule.coming = matches!(drawn, Ok(Drawn::Coming));
        schedule.paced |= schedule.coming;
        if let Err(error) = drawn
            && !failed_before
        {
            tracing::error!("error drawing a frame: {:#}", anyhow::Error::from(error));
            // Once more; if that fails too, what changes next will ask again.
            schedule.wanted = true;
        }
        // Whoever locked the session waits for a frame without windows.
        schedule.wanted |= awaited && drawn_failed;
        if self.comp.schedule.coming {
            self.comp.schedule.last = Some(now);
        } else {
            // After drawing: without a screen that sets the pace the time that it took is not made up for.
            let now = self.comp.now();
            self.comp.schedule.last = Some(now);
            self.frame_presented(Presented { time: now, sequence: None, from_hardware: false });
        }
    }

    /// The last frame is where it can be seen: tells the clients whose surfaces are in it.
    pub(crate) fn frame_presented(&mut self, presented: Presented) {
        self.comp.schedule.coming = false;
        // Not if it was locked since that frame was drawn: then windows may be in it.
        if std::mem::take(&mut self.comp.schedule.shows_lock) {
            self.confirm_lock();
        }
        self.comp.schedule.replaced.release();
        self.tell_clients(presented);
        self.list_texts();
        self.tell_overview();
        self.tell_workspaces();
        self.serve_captures(presented.time);
        self.release_after_frame();
    }

    /// Sends frame callbacks and presentation feedback of all shown windows and layer surfaces, of the lock, and of what the
    /// input method shows. A lock makes no difference to the windows behind it, so that VMs do not learn when the user is away.
    fn tell_clients(&self, presented: Presented) {
        let windows = self.comp.shell.bottom_up().filter(|window| window.shown());
        let windows = windows.map(|window| window.handle.wl_surface());
        let layers = self.comp.layers.all().filter(|layer| layer.mapped);
        let layers = layers.map(|layer| layer.handle.wl_surface());
        for surface in windows.chain(layers).chain(self.comp.shown_lock()) {
            self.tell_tree(surface, presented);
            for (popup, _) in PopupManager::popups_for_surface(surface) {
                self.tell_tree(popup.wl_surface(), presented);
            }
        }
        for popup in self.comp.method_popups() {
            self.tell_tree(&popup.surface, presented);
        }
    }

    fn tell_tree(&self, root: &WlSurface, presented: Presented) {
        use wp_presentation_feedback::Kind;
        let Presented { time, sequence, from_hardware } = presented;
        let milliseconds = u32::try_from(time.as_millis() & u128::from(u32::MAX)).unwrap_or(0);
        let sequence = sequence.unwrap_or(self.comp.schedule.sequence);
        let refresh = Refresh::fixed(self.comp.schedule.interval);
        let kind =
            if from_hardware { Kind::Vsync | Kind::HwClock | Kind::HwCompletion } else { Kind::empty() };
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
            callback.presented(output, time, refresh, sequence, kind);
        }
    }
}

/// Whether a surface has content.
#[must_use]
pub fn has_buffer(surface: &WlSurface) -> bool {
    with_renderer_surface_state(surface, |state| state.buffer().is_some()).unwrap_or(false)
}
