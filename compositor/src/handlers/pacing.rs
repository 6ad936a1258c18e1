//! Commits that wait, and what lets them go.
//!
//! A commit with a fifo constraint waits for a frame, one with a timestamp for a time; those behind it wait for it.
//! Smithay keeps them in a queue and asks for their barriers when it is told that one may have been signalled.
//! Frames are drawn for hidden windows' barriers too, so that no client waits for being seen; and no time is more
//! than a second ahead. While nothing waits there is no timer and nothing to do.
//!
//! How much waits is bounded per origin ([`crate::trust::waiting`]).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use calloop::RegistrationToken;
use calloop::timer::{TimeoutAction, Timer};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{Client, DisplayHandle, Resource};
use smithay::utils::{Monotonic, Time};
use smithay::wayland::commit_timing::{
    CommitTimerBarrierState, CommitTimerBarrierStateUserData, CommitTimerStateUserData,
};
use smithay::wayland::compositor::{
    Barrier, Cacheable, SurfaceAttributes, add_blocker, is_sync_subsurface, with_states,
};
use smithay::wayland::fifo::{FifoBarrierCachedState, FifoCachedState};

use crate::state::State;
use crate::trust::client::{account_of, end_for_misuse, state as client_state};
use crate::trust::waiting::{Counter, Ticket};

/// Goes with every committed state until it is applied.
#[derive(Debug, Default)]
struct TicketCachedState {
    /// What the next state is counted as.
    counter: Option<Counter>,
    ticket: Option<Ticket>,
}

impl Cacheable for TicketCachedState {
    fn commit(&mut self, _display: &DisplayHandle) -> Self {
        Self { counter: None, ticket: self.counter.as_ref().map(Counter::ticket) }
    }

    /// The state is applied, or has become one with another that waits and has a ticket: this one is given back.
    fn merge_into(self, _into: &mut Self, _display: &DisplayHandle) {
        drop(self.ticket);
    }
}

/// The fifo barriers of a surface that were not signalled when it was last committed. Those of states that wait are
/// nowhere else to be found, and must be signalled if the surface is destroyed: states of other surfaces may wait
/// with them.
#[derive(Debug, Default)]
struct FifoBarriers(Mutex<Vec<Barrier>>);

/// What waits for something that the compositor does.
#[derive(Debug, Default)]
pub struct Pacing {
    /// Surfaces with content that has not been in a frame, which a commit may wait for, and surfaces that are gone;
    /// with their clients, as surfaces that are gone do not know them.
    unseen: HashMap<WlSurface, Client>,
    /// Surfaces with commits that wait for a time, likewise.
    timed: HashMap<WlSurface, Client>,
    /// When the first of them is due, and what wakes the compositor then.
    timer: Option<(Duration, RegistrationToken)>,
}

impl Pacing {
    /// Whether something waits for a time.
    #[must_use]
    pub fn has_timer(&self) -> bool {
        self.timer.is_some()
    }
}

/// Counts the states of a new surface.
pub(super) fn watch(surface: &WlSurface) {
    if let Some(account) = account_of(surface) {
        count_as(surface, account.waiting().cached());
    }
}

fn count_as(surface: &WlSurface, counter: &Counter) {
    with_states(surface, |states| {
        states.cached_state.get::<TicketCachedState>().pending().counter = Some(counter.clone());
    });
}

/// How many rectangles the next commit of a surface says are damaged.
fn damaged(surface: &WlSurface) -> u32 {
    let pending =
        with_states(surface, |states| states.cached_state.get::<SurfaceAttributes>().pending().damage.len());
    u32::try_from(pending).unwrap_or(u32::MAX)
}

impl State {
    /// A surface is about to be committed; false if its client is ended instead, because too much waits.
    pub(super) fn may_commit(&mut self, client: &Client, surface: &WlSurface) -> bool {
        let Some(account) = account_of(surface) else { return false };
        let waiting = account.waiting();
        if waiting.is_full() || !waiting.walk(self.comp.now()) {
            end_for_misuse(client, &self.comp.display, "too many commits wait");
            return false;
        }
        account.note_commit(self.comp.now(), damaged(surface));
        let synchronised = is_sync_subsurface(surface);
        count_as(surface, if synchronised { waiting.cached() } else { waiting.queued() });
        if bar(surface, synchronised) {
            self.comp.pacing.timed.insert(surface.clone(), client.clone());
        }
        true
    }

    /// A surface's commit was applied.
    pub(super) fn note_applied(&mut self, surface: &WlSurface) {
        let barred = with_states(surface, |states| {
            states.cached_state.get::<FifoBarrierCachedState>().current().barrier.is_some()
        });
        if barred && let Some(client) = surface.client() {
            self.comp.pacing.unseen.insert(surface.clone(), client);
            self.comp.schedule.request();
        }
    }

    /// A surface is destroyed: nothing waits for it any more.
    pub(super) fn note_destroyed(&mut self, surface: &WlSurface) {
        let held = with_states(surface, |states| {
            let barriers = states.data_map.get::<FifoBarriers>()?;
            let mut barriers = barriers.0.lock().unwrap_or_else(PoisonError::into_inner);
            barriers.drain(..).for_each(|barrier| barrier.signal());
            Some(())
        });
        // Without a client nothing of it is left to be applied.
        if held.is_some()
            && let Some(client) = surface.client()
        {
            self.comp.pacing.unseen.insert(surface.clone(), client);
        }
    }

    /// A frame was drawn: what waited for it may be applied, and be in the next one.
    pub(crate) fn release_after_frame(&mut self) {
        let mut clients = HashMap::new();
        for (surface, client) in std::mem::take(&mut self.comp.pacing.unseen) {
            let barrier = with_states(&surface, |states| {
                states.cached_state.get::<FifoBarrierCachedState>().current().barrier.take()
            });
            if let Some(barrier) = barrier {
                barrier.signal();
            }
            clients.insert(client.id(), client);
        }
        // A client's queue is gone through once, however many of its surfaces were shown.
        clients.values().for_each(|client| self.apply_ready(client));
    }

    /// Applies what waited for a time that has come.
    fn release_timed(&mut self) {
        let now: Time<Monotonic> = self.comp.clock.now();
        let mut clients = HashMap::new();
        for (surface, client) in self.comp.pacing.timed.clone() {
            let (signalled, done) = with_barriers(&surface, |barriers| {
                let signalled = barriers.signal_until(now);
                (signalled, barriers.next_deadline().is_none())
            })
            .unwrap_or((false, true));
            if done {
                self.comp.pacing.timed.remove(&surface);
            }
            if signalled {
                clients.insert(client.id(), client);
            }
        }
        clients.values().for_each(|client| self.apply_ready(client));
    }

    /// Arms the timer for the first commit that waits for a time.
    pub(crate) fn plan_timed(&mut self) {
        let deadlines = self
            .comp
            .pacing
            .timed
            .keys()
            .filter_map(|surface| with_barriers(surface, |barriers| barriers.next_deadline()).flatten());
        let first = deadlines.map(|time| Duration::from(Time::<Monotonic>::from(time))).min();
        if first == self.comp.pacing.timer.as_ref().map(|(due, _)| *due) {
            return;
        }
        if let Some((_, token)) = self.comp.pacing.timer.take() {
            self.comp.events.remove(token);
        }
        let Some(first) = first else { return };
        let timer = Timer::from_duration(first.saturating_sub(self.comp.now()));
        let inserted = self.comp.events.insert_source(timer, |_, (), state| {
            state.comp.pacing.timer = None;
            state.release_timed();
            TimeoutAction::Drop
        });
        match inserted {
            Ok(token) => self.comp.pacing.timer = Some((first, token)),
            Err(error) => tracing::error!("error arming the timer of commits: {error}"),
        }
    }

    /// Applies the commits of a client that wait for nothing any more.
    fn apply_ready(&mut self, client: &Client) {
        let display = self.comp.display.clone();
        if let Some(data) = client_state(client) {
            data.compositor.blocker_cleared(self, &display);
        }
    }
}

/// Makes the coming commit of a surface wait as its client asked; returns whether it waits for a time. Commits of a
/// synchronised subsurface wait for their parent's and for nothing else: the barriers of any number of them would
/// add up in one commit of the parent, which could come to wait for itself.
fn bar(surface: &WlSurface, synchronised: bool) -> bool {
    let (waited, timed) = with_states(surface, |states| {
        let asked = std::mem::take(states.cached_state.get::<FifoCachedState>().pending());
        let timer = states.data_map.get::<CommitTimerStateUserData>();
        if synchronised {
            if let Some(timer) = timer {
                timer.borrow_mut().timestamp = None;
            }
            return (None, false);
        }
        let mut fifo = states.cached_state.get::<FifoBarrierCachedState>();
        let last = &mut fifo.pending().barrier;
        let waited = if asked.wait_barrier { last.take() } else { None };
        if asked.set_barrier {
            let barrier = Barrier::new(false);
            *last = Some(barrier.clone());
            let barriers = states.data_map.get_or_insert_threadsafe(FifoBarriers::default);
            let mut barriers = barriers.0.lock().unwrap_or_else(PoisonError::into_inner);
            barriers.retain(|barrier| !barrier.is_signaled());
            barriers.push(barrier);
        }
        (waited, timer.is_some_and(|timer| timer.borrow().timestamp.is_some()))
    });
    if let Some(barrier) = waited.filter(|barrier| !barrier.is_signaled()) {
        add_blocker(surface, barrier);
    }
    timed
}

fn with_barriers<T>(surface: &WlSurface, look: impl FnOnce(&mut CommitTimerBarrierState) -> T) -> Option<T> {
    with_states(surface, |states| {
        let barriers = states.data_map.get::<CommitTimerBarrierStateUserData>()?;
        barriers.lock().ok().map(|mut barriers| look(&mut barriers))
    })
}
