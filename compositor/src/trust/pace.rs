//! How fast an origin commits, and how long it waits when that is too fast.
//!
//! Commits and damaged rectangles are what costs the compositor most for the fewest bytes. Each has a rate with a burst of one
//! second, over all connections of the origin. Nothing is refused here: whoever is too fast is not read from for as long as
//! it takes. Pure: the times are the caller's, since the start.

use std::time::Duration;

/// What may be taken at once after a pause, in seconds of the rate.
const BURST: Duration = Duration::from_secs(1);

/// Commits, and what was damaged by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commits of surfaces.
    pub commits: u32,
    /// Rectangles that were said to be damaged.
    pub damage: u32,
}

/// The pace of one origin.
#[derive(Debug, Default)]
pub struct Pace {
    /// When each would be full again (the generic cell rate algorithm): commits, damage.
    full_at: [Duration; 2],
    /// The second that `now` is about, in seconds since the start.
    second: u64,
    now: Counts,
    before: Counts,
    /// How often the origin had to wait.
    waits: u32,
}

impl Pace {
    /// Takes note of a commit at `now`.
    pub fn commit(&mut self, now: Duration, damage: u32, limits: Counts) {
        self.advance(now);
        self.now.commits = self.now.commits.saturating_add(1);
        self.now.damage = self.now.damage.saturating_add(damage);
        let [commits, damaged] = &mut self.full_at;
        for (full_at, count, per_second) in [(commits, 1, limits.commits), (damaged, damage, limits.damage)] {
            let nanos = u64::from(count).saturating_mul(1_000_000_000).div_ceil(u64::from(per_second.max(1)));
            *full_at = (*full_at).max(now).saturating_add(Duration::from_nanos(nanos));
        }
    }

    /// How long to read nothing more at `now`; `None` if there is no need.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        let longest = self.full_at.iter().map(|at| at.saturating_sub(now).saturating_sub(BURST)).max();
        longest.filter(|wait| !wait.is_zero())
    }

    /// The origin has to wait once more.
    pub fn note_wait(&mut self) {
        self.waits = self.waits.saturating_add(1);
    }

    /// How often the origin had to wait.
    #[must_use]
    pub fn waits(&self) -> u32 {
        self.waits
    }

    /// What there was in the last whole second before `now`.
    #[must_use]
    pub fn last_second(&mut self, now: Duration) -> Counts {
        self.advance(now);
        self.before
    }

    fn advance(&mut self, now: Duration) {
        let passed = now.as_secs().saturating_sub(self.second);
        if passed > 0 {
            self.before = if passed == 1 { self.now } else { Counts::default() };
            self.now = Counts::default();
            self.second = now.as_secs();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Counts = Counts { commits: 100, damage: 1000 };

    #[test]
    fn within_the_burst_nobody_waits_and_beyond_it_as_long_as_it_takes() {
        let mut pace = Pace::default();
        let now = Duration::from_secs(5);
        (0..100).for_each(|_| pace.commit(now, 1, LIMITS));
        assert_eq!(pace.wait(now), None);
        (0..50).for_each(|_| pace.commit(now, 1, LIMITS));
        assert_eq!(pace.wait(now), Some(Duration::from_millis(500)));
        assert_eq!(pace.wait(now + Duration::from_millis(500)), None);
    }

    #[test]
    fn damage_counts_by_its_rectangles() {
        let mut pace = Pace::default();
        (0..15).for_each(|_| pace.commit(Duration::ZERO, 100, LIMITS));
        assert_eq!(pace.wait(Duration::ZERO), Some(Duration::from_millis(500)));
    }

    #[test]
    fn the_last_whole_second_is_what_is_told() {
        let mut pace = Pace::default();
        (0..7).for_each(|_| pace.commit(Duration::from_millis(1200), 2, LIMITS));
        assert_eq!(pace.last_second(Duration::from_millis(1900)), Counts::default());
        assert_eq!(pace.last_second(Duration::from_millis(2100)), Counts { commits: 7, damage: 14 });
        assert_eq!(pace.last_second(Duration::from_secs(9)), Counts::default());
    }

    proptest! {
        #[test]
        fn extreme_numbers_do_not_overflow(commits: u32, damage: u32, secs: u64, limit: u32) {
            let mut pace = Pace::default();
            let now = Duration::from_secs(secs);
            for _ in 0..3 {
                pace.commit(now, damage, Counts { commits: limit, damage: commits });
            }
            let _ = pace.wait(Duration::ZERO);
        }
    }
}
