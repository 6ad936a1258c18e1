//! What an origin has committed and the compositor has not applied, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Commits of one origin that may wait in the queues. Smithay goes through the queue at every commit.
const MAX_QUEUED: u32 = 512;
/// States of one origin that may wait for the commit of another surface. Honest clients have one for each
/// synchronised subsurface.
const MAX_CACHED: u32 = 4096;

/// What of an origin waits.
#[derive(Debug, Default)]
pub struct Waiting {
    queued: Counter,
    cached: Counter,
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

    /// Whether as much waits as may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queued.count() >= MAX_QUEUED || self.cached.count() >= MAX_CACHED
    }
}
