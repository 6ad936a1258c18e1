//! Commits that wait for a frame or for a time.

use std::time::Duration;

use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_subcompositor::WlSubcompositor;
use wayland_client::protocol::wl_subsurface::WlSubsurface;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::wp::commit_timing::v1::client::wp_commit_timer_v1::WpCommitTimerV1;
use wayland_protocols::wp::commit_timing::v1::client::wp_commit_timing_manager_v1::WpCommitTimingManagerV1;
use wayland_protocols::wp::fifo::v1::client::wp_fifo_manager_v1::WpFifoManagerV1;
use wayland_protocols::wp::fifo::v1::client::wp_fifo_v1::WpFifoV1;
use wayland_protocols::wp::presentation_time::client::wp_presentation::WpPresentation;
use wayland_protocols::wp::presentation_time::client::wp_presentation_feedback::{
    self, WpPresentationFeedback,
};

use vitrail::shell::outputs::{Head, OutputMode};

use crate::client::{Presented, Told};
use crate::fixture::{Fixture, Who, vm};

delegate_noop!(Told: ignore WpFifoManagerV1);
delegate_noop!(Told: ignore WpFifoV1);
delegate_noop!(Told: ignore WpCommitTimingManagerV1);
delegate_noop!(Told: ignore WpCommitTimerV1);
delegate_noop!(Told: ignore WpPresentation);

impl Dispatch<WpPresentationFeedback, usize> for Told {
    fn event(
        told: &mut Self,
        _: &WpPresentationFeedback,
        event: wp_presentation_feedback::Event,
        commit: &usize,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wp_presentation_feedback::Event::Presented { tv_sec_lo, tv_nsec, seq_lo, .. } => {
                let time = Duration::new(tv_sec_lo.into(), tv_nsec);
                told.presented.push(Presented { commit: *commit, frame: Some((seq_lo, time)) });
            }
            wp_presentation_feedback::Event::Discarded => {
                told.presented.push(Presented { commit: *commit, frame: None });
            }
            _ => {}
        }
    }
}

const BLUE: [u8; 4] = [0, 0, 255, 255];

struct Paced {
    fixture: Fixture,
    who: Who,
    window: usize,
    surface: WlSurface,
}

impl Paced {
    fn new() -> Self {
        Self::told("full")
    }

    /// A client that is told so much of the times of its frames.
    fn told(presentation_time: &str) -> Self {
        let rule = format!("[vm.web.privacy]\npresentation_time = \"{presentation_time}\"\n");
        let mut fixture = Fixture::written_for(&rule, (400, 300));
        let who = fixture.connect(vm("web"));
        let window = fixture.window(who, 100, 50, BLUE);
        fixture.roundtrip(who);
        let surface = fixture.client(who).told.shown[window].surface.clone();
        Self { fixture, who, window, surface }
    }

    fn fifo(&mut self) -> WpFifoV1 {
        let client = self.fixture.client(self.who);
        client.bind::<WpFifoManagerV1>().get_fifo(&self.surface, &client.queue, ())
    }

    fn timer(&mut self) -> WpCommitTimerV1 {
        let client = self.fixture.client(self.who);
        client.bind::<WpCommitTimingManagerV1>().get_timer(&self.surface, &client.queue, ())
    }

    /// Commits a picture, and asks when it is shown.
    fn commit(&mut self, number: usize) {
        let client = self.fixture.client(self.who);
        client.bind::<WpPresentation>().feedback(&self.surface, &client.queue, number);
        client.draw(self.window, 100, 50, BLUE);
    }

    fn presented(&mut self, count: usize) -> Vec<Presented> {
        let who = self.who;
        self.fixture.wait("feedback", |fixture| fixture.client(who).told.presented.len() >= count);
        self.fixture.client(who).told.presented.clone()
    }

    fn queued(&mut self) -> u32 {
        self.fixture.state().comp.accounts.get(&vm("web")).unwrap().waiting().queued().count()
    }

    fn now(&mut self) -> Duration {
        self.fixture.state().comp.now()
    }

    #[track_caller]
    fn ends(&mut self, interface: &str, code: u32) {
        let who = self.who;
        self.fixture.wait("the end of the connection", |fixture| fixture.client(who).ended());
        assert_eq!(self.fixture.client(who).error(), Some((interface.to_owned(), code)));
        let other = self.fixture.connect(vm("work"));
        self.fixture.window(other, 100, 50, BLUE);
    }
}

fn set(timer: &WpCommitTimerV1, time: Duration) {
    let seconds = time.as_secs();
    timer.set_timestamp((seconds >> 32) as u32, seconds as u32, time.subsec_nanos());
}

#[test]
fn with_a_fifo_every_commit_has_a_frame_of_its_own() {
    let mut paced = Paced::new();
    for constrained in [false, true] {
        paced.fixture.client(paced.who).told.presented.clear();
        let fifo = paced.fifo();
        for number in 0..6 {
            if constrained {
                fifo.set_barrier();
                fifo.wait_barrier();
            }
            paced.commit(number);
        }
        let presented = paced.presented(6);
        let frames: Vec<_> = presented.iter().filter_map(|presented| presented.frame).collect();
        if constrained {
            let order: Vec<_> = presented.iter().map(|presented| presented.commit).collect();
            assert_eq!(order, [0, 1, 2, 3, 4, 5]);
            assert_eq!(frames.len(), 6, "all are shown");
            assert!(frames.windows(2).all(|pair| pair[0].0 < pair[1].0), "{frames:?}");
        } else {
            assert!(frames.len() < 6, "commits without it overtake each other: {frames:?}");
        }
        fifo.destroy();
        paced.fixture.roundtrip(paced.who);
    }
    assert_eq!(paced.queued(), 0);
}

#[test]
fn a_fifo_does_not_wait_for_a_window_to_be_seen() {
    let mut paced = Paced::new();
    let toplevel = paced.fixture.client(paced.who).told.shown[paced.window].toplevel.clone().unwrap();
    toplevel.set_minimized();
    let fifo = paced.fifo();
    // A surface that is no window at all, likewise.
    let client = paced.fixture.client(paced.who);
    let bare = client.surface();
    let bare_fifo = client.bind::<WpFifoManagerV1>().get_fifo(&bare, &client.queue, ());
    for _ in 0..5 {
        fifo.set_barrier();
        fifo.wait_barrier();
        bare_fifo.set_barrier();
        bare_fifo.wait_barrier();
        paced.surface.commit();
        bare.commit();
    }
    paced.fixture.roundtrip(paced.who);
    assert!(paced.queued() > 0);
    let account = paced.fixture.state().comp.accounts.get(&vm("web")).unwrap().clone();
    paced.fixture.wait("all commits to be applied", |_| account.waiting().queued().count() == 0);
    assert!(!paced.fixture.client(paced.who).ended());
}

#[test]
fn a_commit_waits_for_its_time_and_those_behind_it_wait_for_it() {
    let mut paced = Paced::new();
    let timer = paced.timer();
    let due = paced.now() + Duration::from_millis(150);
    set(&timer, due);
    paced.commit(0);
    paced.commit(1);
    paced.fixture.roundtrip(paced.who);
    assert_eq!(paced.queued(), 2);
    assert!(paced.fixture.state().comp.pacing.has_timer());
    let presented = paced.presented(2);
    let last = presented.iter().find(|presented| presented.commit == 1).unwrap();
    assert!(last.frame.unwrap().1 >= due, "{presented:?} and not before {due:?}");
    assert_eq!(paced.queued(), 0);
    assert!(!paced.fixture.state().comp.pacing.has_timer(), "nothing wakes the compositor any more");
}

#[test]
fn times_that_are_past_or_far_ahead_do_not_hold_a_commit_for_long() {
    let mut paced = Paced::new();
    let timer = paced.timer();
    let start = paced.now();
    for time in [Duration::ZERO, start, Duration::MAX, start + Duration::from_secs(3600)] {
        let before = paced.fixture.client(paced.who).told.presented.len();
        timer.set_timestamp((time.as_secs() >> 32) as u32, time.as_secs() as u32, 999_999_999);
        paced.commit(7);
        paced.presented(before + 1);
    }
    let took = paced.now() - start;
    assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn the_time_of_a_synchronised_subsurface_is_not_waited_for() {
    let mut paced = Paced::new();
    let client = paced.fixture.client(paced.who);
    let (sub, role) = client.subsurface(&paced.surface);
    let timer = client.bind::<WpCommitTimingManagerV1>().get_timer(&sub, &client.queue, ());
    let fifo = client.bind::<WpFifoManagerV1>().get_fifo(&sub, &client.queue, ());
    for _ in 0..3 {
        timer.set_timestamp(0, u32::MAX, 0);
        fifo.set_barrier();
        fifo.wait_barrier();
        sub.commit();
    }
    paced.commit(0);
    paced.fixture.roundtrip(paced.who);
    assert_eq!(paced.queued(), 0);
    assert!(!paced.fixture.state().comp.pacing.has_timer());
    let cached = |paced: &mut Paced| {
        paced.fixture.state().comp.accounts.get(&vm("web")).unwrap().waiting().cached().count()
    };
    assert_eq!(cached(&mut paced), 0);
    sub.commit();
    sub.commit();
    paced.fixture.roundtrip(paced.who);
    assert_eq!(cached(&mut paced), 2);
    // What waits goes with its surface, once the compositor has drawn without it.
    role.destroy();
    sub.destroy();
    let account = paced.fixture.state().comp.accounts.get(&vm("web")).unwrap().clone();
    paced.fixture.wait("everything to be given back", |_| account.waiting().cached().count() == 0);
}

#[test]
fn a_surface_that_is_destroyed_while_its_commits_wait_leaves_nothing() {
    let mut paced = Paced::new();
    let client = paced.fixture.client(paced.who);
    let bare = client.surface();
    let fifo = client.bind::<WpFifoManagerV1>().get_fifo(&bare, &client.queue, ());
    let timer = client.bind::<WpCommitTimingManagerV1>().get_timer(&bare, &client.queue, ());
    for _ in 0..20 {
        fifo.set_barrier();
        fifo.wait_barrier();
        timer.set_timestamp(u32::MAX, 0, 0);
        bare.commit();
    }
    bare.destroy();
    fifo.destroy();
    timer.destroy();
    paced.fixture.roundtrip(paced.who);
    let account = paced.fixture.state().comp.accounts.get(&vm("web")).unwrap().clone();
    paced.fixture.wait("everything to be given back", |fixture| {
        let timer = fixture.state().comp.pacing.has_timer();
        account.waiting().queued().count() == 0 && !timer
    });
    assert!(!paced.fixture.client(paced.who).ended());
}

#[test]
fn ever_more_waiting_commits_end_the_client() {
    let mut paced = Paced::new();
    let timer = paced.timer();
    timer.set_timestamp(u32::MAX, 0, 0);
    for _ in 0..600 {
        paced.surface.commit();
    }
    paced.ends("wl_display", 3);
    let mut paced = Paced::new();
    let (sub, _role) = paced.fixture.client(paced.who).subsurface(&paced.surface);
    for _ in 0..10 {
        for _ in 0..400 {
            sub.commit();
        }
        paced.fixture.roundtrip(paced.who);
    }
    assert!(!paced.fixture.client(paced.who).ended());
    for _ in 0..400 {
        sub.commit();
    }
    paced.ends("wl_display", 3);
}

/// Smithay goes through all that waits at every commit of the client, also one of another surface that waits for nothing and
/// costs eight bytes. A VM could keep the compositor at that, and every other VM waiting.
#[test]
fn going_through_a_long_queue_again_and_again_ends_the_client() {
    let mut paced = Paced::new();
    let timer = paced.timer();
    let client = paced.fixture.client(paced.who);
    let bare = client.bind::<WlCompositor>().create_surface(&client.queue, ());
    timer.set_timestamp(u32::MAX, 0, 0);
    for _ in 0..400 {
        paced.surface.commit();
    }
    paced.fixture.roundtrip(paced.who);
    assert!(!paced.fixture.client(paced.who).ended());
    for _ in 0..2000 {
        bare.commit();
    }
    paced.ends("wl_display", 3);
}

#[test]
fn wrong_use_of_fifos_and_timers_ends_the_client() {
    let mut paced = Paced::new();
    paced.fifo().destroy();
    paced.fifo();
    paced.fixture.roundtrip(paced.who);
    assert!(!paced.fixture.client(paced.who).ended(), "one after the other");
    paced.fifo();
    paced.ends("wp_fifo_manager_v1", 0);
    let mut paced = Paced::new();
    paced.timer();
    paced.timer();
    paced.ends("wp_commit_timing_manager_v1", 0);
    let mut paced = Paced::new();
    paced.timer().set_timestamp(0, 0, 1_000_000_000);
    paced.ends("wp_commit_timer_v1", 0);
    let mut paced = Paced::new();
    let timer = paced.timer();
    timer.set_timestamp(0, 0, 0);
    timer.set_timestamp(0, 0, 0);
    paced.ends("wp_commit_timer_v1", 1);
    for by_fifo in [true, false] {
        let mut paced = Paced::new();
        paced.surface = paced.fixture.client(paced.who).surface();
        let (fifo, timer) = (paced.fifo(), paced.timer());
        paced.surface.destroy();
        if by_fifo {
            fifo.wait_barrier();
            paced.ends("wp_fifo_v1", 0);
        } else {
            timer.set_timestamp(0, 0, 0);
            paced.ends("wp_commit_timer_v1", 2);
        }
    }
}

#[test]
fn a_buffer_may_be_destroyed_while_its_commit_waits() {
    let mut paced = Paced::new();
    let timer = paced.timer();
    let due = paced.now() + Duration::from_millis(100);
    set(&timer, due);
    let client = paced.fixture.client(paced.who);
    let (pool, buffer) = client.buffer(100, 50, [0, 255, 0, 255]);
    paced.surface.attach(Some(&buffer), 0, 0);
    paced.surface.damage_buffer(0, 0, 100, 50);
    paced.surface.commit();
    buffer.destroy();
    pool.destroy();
    paced.fixture.roundtrip(paced.who);
    assert_eq!(paced.queued(), 1);
    paced.fixture.wait("the commit to be applied", |fixture| {
        let account = fixture.state().comp.accounts.get(&vm("web")).unwrap();
        account.waiting().queued().count() == 0
    });
    paced.fixture.roundtrip(paced.who);
    assert!(!paced.fixture.client(paced.who).ended());
}

/// A commit of a surface and its subsurface once waited for ever for a barrier of the surface, because the surface
/// was destroyed before the state with the barrier was applied; and every later commit of the subsurface with it.
#[test]
fn a_subsurface_does_not_wait_for_a_parent_that_is_destroyed() {
    let mut paced = Paced::new();
    let client = paced.fixture.client(paced.who);
    let parent = client.surface();
    let (child, role) = client.subsurface(&parent);
    let fifo = client.bind::<WpFifoManagerV1>().get_fifo(&parent, &client.queue, ());
    for _ in 0..3 {
        fifo.set_barrier();
        fifo.wait_barrier();
        child.commit();
        parent.commit();
    }
    parent.destroy();
    role.set_desync();
    child.commit();
    paced.fixture.roundtrip(paced.who);
    let account = paced.fixture.state().comp.accounts.get(&vm("web")).unwrap().clone();
    paced.fixture.wait("the subsurface to be applied", |_| {
        account.waiting().queued().count() == 0 && account.waiting().cached().count() == 0
    });
}

/// A barrier that was set while a subsurface was synchronised was in a state that waited for the parent; a commit of
/// the surface on its own, which brings that state along, once waited for it, and so for itself.
#[test]
fn a_subsurface_that_is_on_its_own_again_does_not_wait_for_itself() {
    let mut paced = Paced::new();
    let client = paced.fixture.client(paced.who);
    let (child, role) = client.subsurface(&paced.surface);
    let fifo = client.bind::<WpFifoManagerV1>().get_fifo(&child, &client.queue, ());
    fifo.set_barrier();
    child.commit();
    role.set_desync();
    fifo.wait_barrier();
    child.commit();
    paced.fixture.roundtrip(paced.who);
    let account = paced.fixture.state().comp.accounts.get(&vm("web")).unwrap().clone();
    paced.fixture.wait("the subsurface to be applied", |_| {
        account.waiting().queued().count() == 0 && account.waiting().cached().count() == 0
    });
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

/// A surface with all that makes its commits wait.
struct Piece {
    surface: WlSurface,
    fifo: WpFifoV1,
    timer: WpCommitTimerV1,
    role: Option<WlSubsurface>,
}

#[test]
fn trees_of_waiting_surfaces_that_change_meanwhile_do_no_harm() {
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let mut survived = 0;
    for _ in 0..40 {
        let mut paced = Paced::new();
        let mut pieces: Vec<Piece> = Vec::new();
        for _ in 0..120 {
            let now = paced.now();
            let client = paced.fixture.client(paced.who);
            let new = || {
                let surface = client.surface();
                let fifo = client.bind::<WpFifoManagerV1>().get_fifo(&surface, &client.queue, ());
                let timer = client.bind::<WpCommitTimingManagerV1>().get_timer(&surface, &client.queue, ());
                Piece { surface, fifo, timer, role: None }
            };
            if pieces.len() < 4 {
                pieces.push(new());
            }
            let index = dice.roll(pieces.len());
            let other = dice.roll(pieces.len());
            match dice.roll(10) {
                0 => pieces[index].fifo.set_barrier(),
                1 => pieces[index].fifo.wait_barrier(),
                2 => {
                    set(&pieces[index].timer, now + Duration::from_millis(dice.roll(30) as u64));
                    pieces[index].surface.commit();
                }
                3 if pieces[index].role.is_none() && index > other => {
                    let parent = if other == 0 { &paced.surface } else { &pieces[other].surface };
                    let child = &pieces[index].surface;
                    let compositor = client.bind::<WlSubcompositor>();
                    pieces[index].role = Some(compositor.get_subsurface(child, parent, &client.queue, ()));
                }
                4 => {
                    if let Some(role) = &pieces[index].role {
                        if dice.roll(2) == 0 { role.set_desync() } else { role.set_sync() }
                    }
                }
                5 if dice.roll(4) == 0 => {
                    let gone = pieces.remove(index);
                    gone.fifo.destroy();
                    gone.timer.destroy();
                    if let Some(role) = gone.role {
                        role.destroy();
                    }
                    gone.surface.destroy();
                }
                6 => client.draw_on(&pieces[index].surface, 8, 8, BLUE),
                7 => paced.surface.commit(),
                8 => paced.fixture.roundtrip(paced.who),
                _ => pieces[index].surface.commit(),
            }
        }
        paced.fixture.roundtrip(paced.who);
        let account = paced.fixture.state().comp.accounts.get(&vm("web")).unwrap().clone();
        paced.fixture.wait("nothing to wait for a frame or a time", |fixture| {
            account.waiting().queued().count() == 0 || fixture.client(paced.who).ended()
        });
        survived += usize::from(!paced.fixture.client(paced.who).ended());
        let other = paced.fixture.connect(vm("work"));
        paced.fixture.window(other, 50, 50, BLUE);
    }
    assert!(survived > 20, "most of these clients make no mistake: {survived}");
}

/// A VM is told of a clock that all VMs could have, on whichever screen: two that compare what they know of their frames do not
/// learn from it that they share one.
#[test]
fn the_times_of_frames_are_those_of_a_coarse_clock_unless_the_vm_is_told_the_real_ones() {
    const COARSE: u128 = 16_666_667;
    for (rule, exact) in [("coarse", false), ("full", true)] {
        let mut paced = Paced::told(rule);
        for number in 0..4 {
            paced.commit(number);
            paced.presented(number + 1);
        }
        let frames: Vec<_> = paced.presented(4).iter().filter_map(|presented| presented.frame).collect();
        let on_clock = frames.iter().all(|(sequence, time)| *sequence == 0 && time.as_nanos() % COARSE == 0);
        assert_eq!(on_clock, !exact, "{rule}: {frames:?}");
    }
    let mut paced = Paced::told("off");
    let who = paced.who;
    assert!(!paced.fixture.client(who).sees("wp_presentation"));
}

/// On a fast screen a VM that goes by the coarse clock learns of no more frames than on a slow one.
#[test]
fn a_vm_is_told_of_sixty_frames_a_second_at_most_whatever_the_screen_has() {
    let mut paced = Paced::told("coarse");
    let mode = OutputMode { size: (400, 300).into(), refresh: 240_000 };
    let head = Head { preferred: mode, ..Head::virtual_one("vitrail-1", (400, 300).into(), 1.0) };
    paced.fixture.state().change_outputs(|outputs| outputs.connect(head));
    assert_eq!(paced.fixture.state().comp.shell.outputs().active().mode.refresh, 240_000);
    let (who, began) = (paced.who, paced.now());
    for number in 0..12 {
        paced.commit(number);
        paced.presented(number + 1);
    }
    let took = paced.now().saturating_sub(began);
    let frames: Vec<_> = paced.presented(12).iter().filter_map(|presented| presented.frame).collect();
    assert!(frames.windows(2).all(|pair| pair[0].1 < pair[1].1), "each by itself: {frames:?}");
    assert!(took > Duration::from_millis(16 * 10), "12 frames in {took:?}");
    assert!(!paced.fixture.client(who).ended());
}
