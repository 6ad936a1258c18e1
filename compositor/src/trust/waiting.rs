//! What an origin has committed and the compositor has not applied, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Commits of one origin that may wait in the queues. Smithay goes through the queue at every commit.
const MAX_QUEUED: u32 = 512;
/// How much of its queues an origin may have gone through in a second, counted in what waits: some tens of milliseconds of
/// work. Honest clients have a few commits in a queue, and commit a few hundred times a second.
const MAX_STEPS_PER_SECOND: u64 = 200_000;
/// States of one origin that may wait for the commit of another surface. Honest clients have one for each
/// synchronised subsurface.
const MAX_CACHED: u32 = 4096;

/// What of an origin waits.
#[derive(Debug, Default)]
pub struct Waiting {
    queued: Counter,
    cached: Counter,
    /// The second that `steps` is about.
    second: AtomicU64,
    steps: AtomicU64,
}

/// How many tickets there are.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU32>);

impl Counter {
    /// One more, until it is dropped.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ticket(self.clone())
    }

    /// How many there are now.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of what waits.
#[derive(Debug)]
pub struct Ticket(Counter);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiting {
    /// Commits that wait in the queues, for a barrier or for each other.
    #[must_use]
    pub fn queued(&self) -> &Counter {
        &self.queued
    }

    /// States that wait for the commit of another surface.
    #[must_use]
    pub fn cached(&self) -> &Counter {
        &self.cached
    }

    /// Takes note of a commit at `now`, a time since the start, for which the queues are gone through. False if that has been
    /// done too much in this second.
    #[must_use]
    pub fn walk(&self, now: Duration) -> bool {
        if self.queued.count() == 0 {
            return true;
        }
        if self.second.swap(now.as_secs(), Ordering::Relaxed) != now.as_secs() {
            self.steps.store(0, Ordering::Relaxed);
        }
        let length = u64::from(self.queued.count()).saturating_add(self.cached.count().into());
        let before = self.steps.fetch_add(length, Ordering::Relaxed);
        before.saturating_add(length) <= MAX_STEPS_PER_SECOND
    }

    /// Whether as much waits as may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queued.count() >= MAX_QUEUED || self.cached.count() >= MAX_CACHED
    }
}
