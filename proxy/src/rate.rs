//! How much of something may come in a second.
//!
//! Nothing is refused here. Who takes learns how long to wait, and the time is the caller's, so that rates are tested without a clock.

use std::time::Duration;

/// A rate with a burst of one second, as a token bucket.
///
/// The bucket is kept as the time at which it would be full again (the generic cell rate algorithm), so
/// nothing has to be refilled and an idle connection costs nothing.
#[derive(Debug)]
pub struct Rate {
    per_second: u32,
    full_at: Duration,
}

impl Rate {
    /// What may be taken at once after a pause, in seconds of the rate.
    const BURST: Duration = Duration::from_secs(1);

    /// A full bucket. A rate of zero is treated as one, since a connection that may send nothing at all
    /// would be better refused.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1), full_at: Duration::ZERO }
    }

    /// How long to wait at the time `now` before the next one is taken; zero if there is no need to wait.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.full_at.saturating_sub(now).saturating_sub(Self::BURST)
    }

    /// Takes `count` tokens at the time `now` (of any clock that never goes back) and returns how long to
    /// wait before more is taken; zero if there is no need to wait.
    pub fn take(&mut self, count: u32, now: Duration) -> Duration {
        let nanos = u64::from(count).saturating_mul(1_000_000_000).div_ceil(u64::from(self.per_second));
        self.full_at = self.full_at.max(now).saturating_add(Duration::from_nanos(nanos));
        self.wait(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn within_the_burst_nobody_waits() {
        let mut rate = Rate::new(100);
        assert_eq!(rate.take(100, Duration::from_secs(5)), Duration::ZERO);
        assert_eq!(rate.take(50, Duration::from_secs(5)), Duration::from_millis(500));
        assert_eq!(rate.take(0, Duration::from_millis(5500)), Duration::ZERO);
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let mut rate = Rate::new(0);
        assert!(rate.take(u32::MAX, Duration::MAX) <= Duration::MAX);
        assert!(rate.take(u32::MAX, Duration::ZERO) > Duration::from_secs(1000));
    }

    #[test]
    fn asking_takes_nothing() {
        let mut rate = Rate::new(10);
        assert_eq!(rate.take(11, Duration::ZERO), Duration::from_millis(100));
        for _ in 0..3 {
            assert_eq!(rate.wait(Duration::from_millis(40)), Duration::from_millis(60));
        }
        assert_eq!(rate.wait(Duration::from_millis(100)), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn over_a_long_time_the_rate_holds(takes in proptest::collection::vec(1_u32..500, 1..50)) {
            let (mut rate, mut now, mut total) = (Rate::new(1000), Duration::ZERO, 0_u64);
            for count in takes {
                total += u64::from(count);
                now += rate.take(count, now);
            }
            // One burst, and the last one may overdraw by itself.
            prop_assert!(total <= 1000 + 500 + (now.as_millis() as u64) + 1);
        }
    }
}
