//! What connections have done: numbers that are kept as it happens and read when somebody asks (SIGUSR1).
//!
//! Only the thread of a connection writes its numbers, and only the main thread reads them, so that an ordinary addition is
//! all that counting costs and nobody is woken for it. A number that is read while it changes is the one before or after; the
//! numbers of one line may be of slightly different moments.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it. To be called by one thread alone.
    pub fn add(&self, more: u64) {
        // A load and a store, not a locked addition: there is nobody else to lose an addition to.
        self.set(self.get().wrapping_add(more));
    }

    /// Replaces it. To be called by the same thread as [`add`](Self::add).
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The numbers of one connection.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests of the application.
    pub requests: Counter,
    /// Their bytes.
    pub request_bytes: Counter,
    /// Events of the compositor.
    pub events: Counter,
    /// Their bytes.
    pub event_bytes: Counter,
    /// Bytes of pixels that were copied out of the application's memory.
    pub copied_bytes: Counter,
    /// Bytes of those that are sent through the connection, as there is no shared memory.
    pub mirror_bytes: Counter,
    /// Pipes that are open now, for clipboards and dragged content.
    pub open_pipes: Counter,
    /// Bytes that the copies of the application's buffers take up now.
    pub memory: Counter,
}

impl Counters {
    /// The numbers as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            requests: self.requests.get(),
            request_bytes: self.request_bytes.get(),
            events: self.events.get(),
            event_bytes: self.event_bytes.get(),
            copied_bytes: self.copied_bytes.get(),
            mirror_bytes: self.mirror_bytes.get(),
            open_pipes: self.open_pipes.get(),
            memory: self.memory.get(),
        }
    }
}

/// The numbers of a connection at one time, or the sum over several. See [`Counters`] for what they are.
#[expect(missing_docs, reason = "the fields are those of Counters, which says what they are")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub requests: u64,
    pub request_bytes: u64,
    pub events: u64,
    pub event_bytes: u64,
    pub copied_bytes: u64,
    pub mirror_bytes: u64,
    pub open_pipes: u64,
    pub memory: u64,
}

impl Snapshot {
    /// Adds the numbers of another connection.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.requests, other.requests),
            (&mut self.request_bytes, other.request_bytes),
            (&mut self.events, other.events),
            (&mut self.event_bytes, other.event_bytes),
            (&mut self.copied_bytes, other.copied_bytes),
            (&mut self.mirror_bytes, other.mirror_bytes),
            (&mut self.open_pipes, other.open_pipes),
            (&mut self.memory, other.memory),
        ] {
            *sum = sum.wrapping_add(more);
        }
    }

    /// What is left of a connection that has ended: neither pipes nor memory.
    #[must_use]
    pub fn ended(self) -> Self {
        Self { open_pipes: 0, memory: 0, ..self }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "requests {} ({} bytes), events {} ({} bytes), pixels copied {} bytes, mirrors {} bytes, open pipes {}, \
             buffers {} bytes",
            self.requests,
            self.request_bytes,
            self.events,
            self.event_bytes,
            self.copied_bytes,
            self.mirror_bytes,
            self.open_pipes,
            self.memory,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_holds_nothing() {
        let counters = Counters::default();
        counters.requests.add(3);
        counters.memory.set(4096);
        counters.open_pipes.set(1);
        let mut sum = counters.snapshot();
        sum.add(&counters.snapshot().ended());
        assert_eq!((sum.requests, sum.memory, sum.open_pipes), (6, 4096, 1));
    }
}
