//! How long an ended connection is kept for what was sent before the end.
//!
//! A peer can take part in that for as long as it likes: it takes a byte now and then, or sends what nobody wants. So what
//! counts is only what leaves this side, and all of it together has an end too.

use std::time::{Duration, Instant};

use super::End;

/// How long the rest of an ended connection may take to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainPatience {
    /// How long nothing at all may leave before the rest is dropped: a peer that does not read.
    pub idle: Duration,
    /// How long all of it may take, however much still leaves: a peer that reads, but never to the end. It bounds how long an
    /// ended connection is counted among those of its VM, and holds its descriptors.
    pub in_all: Duration,
}

impl Default for DrainPatience {
    /// 10 seconds without progress is a peer that hangs, not one that is busy. In 30 seconds a slow stream of 1 MB/s takes what
    /// all queues of a connection hold, with some clipboards.
    fn default() -> Self {
        Self { idle: Duration::from_secs(10), in_all: Duration::from_secs(30) }
    }
}

/// What is left to do after an end.
#[derive(Debug)]
pub(super) struct Draining {
    pub(super) end: End,
    patience: DrainPatience,
    begun: Instant,
    moved: Instant,
}

impl Draining {
    pub(super) fn begin(end: End, patience: DrainPatience, now: Instant) -> Self {
        Self { end, patience, begun: now, moved: now }
    }

    /// Something has left.
    pub(super) fn has_moved(&mut self, now: Instant) {
        self.moved = now;
    }

    /// When the rest is to be dropped.
    pub(super) fn deadline(&self) -> Instant {
        let idle = self.moved.checked_add(self.patience.idle).unwrap_or(self.moved);
        let in_all = self.begun.checked_add(self.patience.in_all).unwrap_or(self.begun);
        idle.min(in_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_moves_the_deadline_but_not_beyond_the_last_one() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut draining = Draining::begin(End::ClientClosed, DrainPatience::default(), begin);
        assert_eq!(draining.deadline(), after(10));
        draining.has_moved(after(9));
        assert_eq!(draining.deadline(), after(19));
        draining.has_moved(after(25));
        assert_eq!(draining.deadline(), after(30));
    }
}
