//! How often the compositor is started again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Counts crashes over a sliding time.
#[derive(Debug)]
pub struct Restarts {
    limit: usize,
    time: Duration,
    /// The times of the crashes that count, at most one more than the limit.
    crashes: VecDeque<Instant>,
}

impl Restarts {
    /// Allows `limit` restarts within `time`.
    #[must_use]
    pub fn new(limit: u32, time: Duration) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), time, crashes: VecDeque::new() }
    }

    /// Counts a crash; whether the compositor is to be started again.
    pub fn crashed(&mut self, now: Instant) -> bool {
        while self.crashes.front().is_some_and(|crash| now.duration_since(*crash) >= self.time) {
            self.crashes.pop_front();
        }
        self.crashes.push_back(now);
        let allowed = self.crashes.len() <= self.limit;
        if !allowed {
            self.crashes.pop_front();
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_restarts_as_allowed_happen_within_the_time_and_no_more() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut restarts = Restarts::new(2, Duration::from_secs(10));
        assert!(restarts.crashed(at(0)));
        assert!(restarts.crashed(at(9)));
        assert!(!restarts.crashed(at(9)));
    }

    #[test]
    fn a_crash_is_forgotten_after_the_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut restarts = Restarts::new(1, Duration::from_secs(10));
        assert!((0..100).all(|round| restarts.crashed(at(round * 10))));
        assert!(!restarts.crashed(at(999)));
    }

    #[test]
    fn no_restart_is_allowed_where_none_is_wanted() {
        assert!(!Restarts::new(0, Duration::from_secs(10)).crashed(Instant::now()));
    }
}
