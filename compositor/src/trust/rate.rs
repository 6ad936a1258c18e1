//! Holds back what a VM could otherwise cause without end, such as log lines.

use std::time::{Duration, Instant};

/// How many in one window of time.
const BURST: u32 = 10;
/// The window of time.
const WINDOW: Duration = Duration::from_secs(10);

/// Allows [`BURST`] events in each [`WINDOW`].
#[derive(Debug, Default)]
pub struct RateLimit {
    start: Option<Instant>,
    count: u32,
}

impl RateLimit {
    /// Whether one more event is allowed now.
    pub fn allow(&mut self) -> bool {
        let now = Instant::now();
        if self.start.is_none_or(|start| now.duration_since(start) >= WINDOW) {
            self.start = Some(now);
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.count <= BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_the_rest_is_not() {
        let mut limit = RateLimit::default();
        let allowed = (0..100).filter(|_| limit.allow()).count();
        assert_eq!(allowed, BURST as usize);
    }
}
