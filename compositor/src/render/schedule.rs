//! When to draw: each output at its own refresh, and only when something asked for it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use calloop::RegistrationToken;
use calloop::timer::{TimeoutAction, Timer};
use smithay::backend::renderer::utils::with_renderer_surface_state;
use smithay::desktop::PopupManager;
use smithay::desktop::utils::with_surfaces_surface_tree;
use smithay::output::Output;
use smithay::reexports::wayland_protocols::wp::presentation_time::server::wp_presentation_feedback::Kind;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::wayland::compositor::SurfaceAttributes;
use smithay::wayland::presentation::{PresentationFeedbackCachedState, Refresh};

use super::contents::Changed;
use super::replaced::ReplacedBuffers;
use crate::backend::Drawn;
use crate::config::guest::PresentationTime;
use crate::shell::outputs::{OutputId, Outputs};
use crate::shell::stacking::Element;
use crate::state::State;
use crate::trust::client::origin_of;

/// Refresh rate of an output without a real one, in thousandths of a hertz.
pub const REFRESH_MHZ: i32 = 60_000;

/// The time between two frames of the clock that those go by who are not told the real one.
const COARSE: Duration = Duration::from_nanos(16_666_667);

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

/// The next frames of all outputs. A timer exists only while a frame is wanted, so that an idle compositor sleeps.
#[derive(Debug, Default)]
pub struct Schedule {
    outputs: BTreeMap<OutputId, Pace>,
    /// Frames drawn so far, on whichever output.
    frames: u64,
    /// The roots of the trees with a surface that was committed since its client was last told of a frame. No others wait for
    /// one, so that windows that do nothing are not gone through.
    pub(crate) committed: HashSet<WlSurface>,
    /// What clients get back with the next frame.
    pub(crate) replaced: ReplacedBuffers,
}

/// The next frame of one output.
#[derive(Debug)]
struct Pace {
    wanted: bool,
    /// What the next frame will show that the last one does not.
    changed: Changed,
    timer: Option<RegistrationToken>,
    last: Option<Duration>,
    sequence: u64,
    /// The time between two refreshes of the output.
    interval: Duration,
    /// The output is lit.
    lit: bool,
    /// The screen says when a frame is shown, and has not yet said it of the last one.
    coming: bool,
    /// The screen says when a frame is shown.
    paced: bool,
    /// Which of the frames of a coarse clock the last one was that those were told who go by it.
    coarse: Option<u128>,
    /// The last frame could not be drawn. Said once, because the next ones may fail likewise.
    failed: bool,
    /// Whether the last frame drawn is one of a lock that waits for that, without windows, and whether it was shown.
    lock: LockFrame,
}

/// How far an output is with the frame that a lock waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LockFrame {
    /// There may be windows on it.
    Missing,
    /// It was drawn.
    Drawn,
    /// It is where it can be seen.
    Shown,
}

impl Pace {
    fn new() -> Self {
        Self {
            wanted: false,
            changed: Changed::Everything,
            timer: None,
            last: None,
            sequence: 0,
            interval: interval(REFRESH_MHZ),
            lit: true,
            coming: false,
            paced: false,
            coarse: None,
            failed: false,
            lock: LockFrame::Missing,
        }
    }

    /// The least time between the beginnings of two frames. Where the screen itself says when the next may begin, its word
    /// comes shortly before a whole interval has passed, and waiting longer would miss every other refresh; but there are
    /// virtual screens that say it at once.
    fn least(&self) -> Duration {
        if self.paced { self.interval - self.interval / 8 } else { self.interval }
    }

    /// Whether those who go by a coarse clock are told of a frame that was shown at this time: on a screen that is faster than
    /// that clock not of every one.
    fn is_coarse_frame(&mut self, time: Duration) -> bool {
        let frame = time.as_nanos() / COARSE.as_nanos();
        let before = self.coarse.replace(frame);
        self.interval >= COARSE - COARSE / 8 || before != Some(frame)
    }

    /// What has changed is known no more.
    fn want_everything(&mut self) {
        self.wanted = true;
        self.changed = Changed::Everything;
    }

    fn is_pending(&self) -> bool {
        self.lit && (self.wanted || self.timer.is_some() || self.coming)
    }
}

impl Schedule {
    /// No frame is wanted yet, on these outputs.
    #[must_use]
    pub fn new(outputs: &Outputs) -> Self {
        let mut schedule = Self::default();
        schedule.follow(outputs);
        schedule
    }

    /// The outputs have changed.
    pub fn follow(&mut self, outputs: &Outputs) {
        self.outputs.retain(|id, _| outputs.get(*id).is_some_and(|output| output.in_use));
        for output in outputs.used() {
            let pace = self.outputs.entry(output.id).or_insert_with(Pace::new);
            pace.interval = interval(output.mode.refresh);
            pace.lit = output.powered;
            pace.changed = Changed::Everything;
        }
    }

    /// Asks for a frame of every output, in which anything may be new. One on which nothing has changed sends nothing to its
    /// screen.
    pub fn request(&mut self) {
        self.outputs.values_mut().for_each(Pace::want_everything);
    }

    /// Asks for a frame in which no more is new than the content of a window on an output, by its surface. What else a commit
    /// changes, such as which surfaces the window has and where they lie, is noticed when the frame is drawn.
    pub fn request_content(&mut self, output: OutputId, window: &WlSurface) {
        if let Some(pace) = self.outputs.get_mut(&output) {
            pace.wanted = true;
            pace.changed.add(window);
        }
    }

    /// What the next frame of an output will show that the last one does not; from now on nothing.
    pub(crate) fn take_changed(&mut self, output: OutputId) -> Changed {
        self.outputs.get_mut(&output).map(|pace| pace.changed.take()).unwrap_or_default()
    }

    /// Whether a frame was asked for and is not shown yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.outputs.values().any(Pace::is_pending)
    }

    /// Frames drawn so far.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Whether all outputs that are lit show a frame without windows.
    fn shows_lock(&self) -> bool {
        self.outputs.values().filter(|pace| pace.lit).all(|pace| pace.lock == LockFrame::Shown)
    }
}

impl State {
    /// Arms the timers for the next refresh of the outputs whose frame is wanted and can be drawn. If it cannot, the backend
    /// wakes the event loop once it can, and this is asked again.
    pub(crate) fn plan_repaint(&mut self) {
        let now = self.comp.now();
        let State { backend, comp, .. } = self;
        if comp.lock.awaits_frame() && comp.schedule.shows_lock() {
            // The last output that was waited for is gone or dark.
            self.confirm_lock();
            return;
        }
        for (id, pace) in &mut comp.schedule.outputs {
            if !pace.wanted || !pace.lit || pace.timer.is_some() || !backend.may_draw(*id, &comp.shell) {
                continue;
            }
            let (id, due) = (*id, pace.last.map_or(now, |last| last.saturating_add(pace.least())));
            let timer = Timer::from_duration(due.saturating_sub(now));
            let inserted = comp.events.insert_source(timer, move |_, (), state| {
                state.frame_due(id);
                TimeoutAction::Drop
            });
            match inserted {
                Ok(token) => pace.timer = Some(token),
                Err(error) => tracing::error!("error arming the frame timer: {error}"),
            }
        }
    }

    fn frame_due(&mut self, output: OutputId) {
        let Some(pace) = self.comp.schedule.outputs.get_mut(&output) else { return };
        pace.timer = None;
        // The console may have been left since, or the output have been darkened.
        if pace.lit && self.backend.may_draw(output, &self.comp.shell) {
            self.repaint_output(output);
        }
    }

    /// Draws a frame of every output now.
    pub fn repaint(&mut self) {
        let outputs: Vec<OutputId> = self.comp.schedule.outputs.keys().copied().collect();
        for output in outputs {
            self.repaint_output(output);
        }
    }

    /// Draws a frame of an output now. The clients whose surfaces are in it are told when it is shown.
    fn repaint_output(&mut self, output: OutputId) {
        let now = self.comp.now();
        let Some(pace) = self.comp.schedule.outputs.get_mut(&output) else { return };
        pace.wanted = false;
        pace.sequence = pace.sequence.wrapping_add(1);
        self.comp.schedule.frames = self.comp.schedule.frames.wrapping_add(1);
        let awaited = self.comp.lock.awaits_frame();
        let drawn = self.backend.draw(&mut self.comp, output);
        let Some(pace) = self.comp.schedule.outputs.get_mut(&output) else { return };
        let drawn_failed = drawn.is_err();
        pace.lock = match pace.lock {
            LockFrame::Shown if awaited && !drawn_failed => LockFrame::Shown,
            _ if awaited && !drawn_failed => LockFrame::Drawn,
            _ => LockFrame::Missing,
        };
        let failed_before = std::mem::replace(&mut pace.failed, drawn_failed);
        pace.coming = matches!(drawn, Ok(Drawn::Coming));
        pace.paced |= pace.coming;
        if let Err(error) = drawn
            && !failed_before
        {
            tracing::error!("error drawing a frame: {:#}", anyhow::Error::from(error));
            // Once more; if that fails too, what changes next will ask again.
            pace.wanted = true;
        }
        // Whoever locked the session waits for a frame without windows.
        pace.wanted |= awaited && drawn_failed;
        if pace.coming {
            pace.last = Some(now);
        } else {
            // After drawing: without a screen that sets the pace the time that it took is not made up for.
            let now = self.comp.clock.now().into();
            pace.last = Some(now);
            self.frame_presented(output, Presented { time: now, sequence: None, from_hardware: false });
        }
    }

    /// The last frame of an output is where it can be seen: tells the clients whose surfaces are in it.
    pub(crate) fn frame_presented(&mut self, output: OutputId, presented: Presented) {
        if let Some(pace) = self.comp.schedule.outputs.get_mut(&output) {
            pace.coming = false;
            // Not if it was locked since that frame was drawn: then windows may be in it.
            if pace.lock == LockFrame::Drawn {
                pace.lock = LockFrame::Shown;
            }
        }
        if self.comp.lock.awaits_frame() && self.comp.schedule.shows_lock() {
            self.confirm_lock();
        }
        self.comp.schedule.replaced.release();
        self.tell_clients(output, presented);
        self.list_texts();
        self.tell_overview();
        self.tell_workspaces();
        self.serve_captures(presented.time);
        self.release_after_frame();
    }

    /// Sends frame callbacks and presentation feedback of all shown windows and layer surfaces on an output, of the lock, and of
    /// what the input method shows. A lock makes no difference to the windows behind it, so that VMs do not learn when the user
    /// is away.
    fn tell_clients(&mut self, output: OutputId, presented: Presented) {
        let mut waiting = std::mem::take(&mut self.comp.schedule.committed);
        let pace = self.comp.schedule.outputs.get_mut(&output);
        let coarse = pace.is_some_and(|pace| pace.is_coarse_frame(presented.time));
        let skipped = self.tell_waiting(output, (presented, coarse), &mut waiting);
        if let Some(pace) = self.comp.schedule.outputs.get_mut(&output) {
            pace.wanted |= skipped;
        }
        // Those that are not shown, or on another output, go on waiting.
        self.comp.schedule.committed = waiting;
    }

    /// Returns whether somebody waits on who goes by a coarse clock.
    fn tell_waiting(
        &self,
        output: OutputId,
        (presented, coarse): (Presented, bool),
        waiting: &mut HashSet<WlSurface>,
    ) -> bool {
        let Some(announced) = self.comp.announced.get(output) else { return false };
        let Some(pace) = self.comp.schedule.outputs.get(&output) else { return false };
        let config = self.comp.config.current();
        let is_coarse = |surface: &WlSurface| {
            let rules = origin_of(surface).map(|origin| config.privacy_rules(&origin));
            rules.is_some_and(|rules| rules.presentation_time != PresentationTime::Full)
        };
        let mut skipped = false;
        let windows = self.comp.shell.bottom_up().filter(|window| window.shown() && window.output == output);
        let windows = windows.map(|window| window.handle.wl_surface());
        let layers = self.comp.layers.all().filter(|layer| layer.mapped && layer.output == output);
        let layers = layers.map(|layer| layer.handle.wl_surface());
        let mut tell = |surface: &WlSurface| {
            if !waiting.contains(surface) {
                return waiting.is_empty();
            }
            let by_coarse = is_coarse(surface);
            if by_coarse && !coarse {
                skipped = true;
                return false;
            }
            waiting.remove(surface);
            let frame = if by_coarse { Frame::coarse(presented) } else { Frame::exact(pace, presented) };
            tell_tree(surface, announced, &frame);
            waiting.is_empty()
        };
        for surface in windows.chain(layers).chain(self.comp.shown_lock_on(output)) {
            if tell(surface) {
                return false;
            }
            for (popup, _) in PopupManager::popups_for_surface(surface) {
                tell(popup.wl_surface());
            }
        }
        if self.comp.shell.focused().is_some_and(|window| window.output == output) {
            for popup in self.comp.method_popups() {
                tell(&popup.surface);
            }
        }
        skipped
    }
}

/// What a client is told of a frame.
struct Frame {
    time: Duration,
    interval: Duration,
    sequence: u64,
    kind: Kind,
}

impl Frame {
    fn exact(pace: &Pace, Presented { time, sequence, from_hardware }: Presented) -> Self {
        let hardware = Kind::Vsync | Kind::HwClock | Kind::HwCompletion;
        let kind = if from_hardware { hardware } else { Kind::empty() };
        Self { time, interval: pace.interval, sequence: sequence.unwrap_or(pace.sequence), kind }
    }

    /// A frame as a screen without a counter would have it, at the last refresh of a clock that all outputs and all VMs share.
    fn coarse(Presented { time, .. }: Presented) -> Self {
        let past = u64::try_from(time.as_nanos() % COARSE.as_nanos()).unwrap_or(0);
        let time = time.saturating_sub(Duration::from_nanos(past));
        Self { time, interval: COARSE, sequence: 0, kind: Kind::empty() }
    }
}

fn tell_tree(root: &WlSurface, output: &Output, frame: &Frame) {
    let Frame { time, interval, sequence, kind } = *frame;
    let milliseconds = u32::try_from(time.as_millis() & u128::from(u32::MAX)).unwrap_or(0);
    let refresh = Refresh::fixed(interval);
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

/// Whether a surface has content.
#[must_use]
pub fn has_buffer(surface: &WlSurface) -> bool {
    with_renderer_surface_state(surface, |state| state.buffer().is_some()).unwrap_or(false)
}
