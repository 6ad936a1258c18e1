//! When a VM has broken so many rules that it is let go as a whole.
//!
//! Each connection that breaks a rule is ended by itself, and a program that does so is at fault alone. A VM that goes on and on
//! means to; then all of its connections are ended, and for a while none is taken. Times are the caller's, of any clock that
//! never goes back.

use std::collections::VecDeque;
use std::time::Duration;

/// Within which breaches count together, and for how long nothing is taken afterwards.
pub const WINDOW: Duration = Duration::from_secs(10);

/// The breaches of one VM.
#[derive(Debug)]
pub struct Breaches {
    limit: usize,
    /// The latest, as many as the limit at the most.
    recent: VecDeque<Duration>,
    closed_until: Duration,
}

impl Breaches {
    /// None so far; `limit` of them may come within [`WINDOW`].
    #[must_use]
    pub fn new(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        Self { limit, recent: VecDeque::new(), closed_until: Duration::ZERO }
    }

    /// Takes note of a breach; true if the VM is to be let go now. What ends because it was is no breach.
    pub fn note(&mut self, now: Duration) -> bool {
        if self.is_closed(now) {
            return false;
        }
        while self.recent.front().is_some_and(|at| now.saturating_sub(*at) > WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.len() < self.limit {
            self.recent.push_back(now);
            return false;
        }
        self.recent.clear();
        self.closed_until = now.saturating_add(WINDOW);
        true
    }

    /// Whether no connection of the VM is taken.
    #[must_use]
    pub fn is_closed(&self, now: Duration) -> bool {
        now < self.closed_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_vm_that_breaks_rules_now_and_then_is_never_let_go() {
        let mut breaches = Breaches::new(3);
        for second in 0..100 {
            assert!(!breaches.note(at(second * 4)), "after {second}");
        }
    }

    #[test]
    fn one_that_goes_on_and_on_is_let_go_for_a_while_and_may_then_come_again() {
        let mut breaches = Breaches::new(3);
        assert_eq!([1, 1, 2, 2].map(|second| breaches.note(at(second))), [false, false, false, true]);
        assert!(breaches.is_closed(at(11)));
        // The ends of its connections count for nothing.
        assert!(!breaches.note(at(3)));
        assert!(!breaches.is_closed(at(12)));
        assert_eq!([13, 13, 13, 13].map(|second| breaches.note(at(second))), [false, false, false, true]);
    }

    #[test]
    fn what_is_kept_is_bounded_by_the_limit() {
        let mut breaches = Breaches::new(0);
        assert!(!breaches.note(at(1)));
        assert!(breaches.note(at(1)));
        let mut many = Breaches::new(5);
        (0..1000).for_each(|second| {
            many.note(at(second / 100));
        });
        assert!(many.recent.len() <= 5);
    }
}
