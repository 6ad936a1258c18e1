//! Holds back what a VM could otherwise cause without end, such as log lines.

use std::time::{Duration, Instant};

/// The window of time.
const WINDOW: Duration = Duration::from_secs(10);

/// Allows `BURST` events in each [`WINDOW`].
#[derive(Debug, Default)]
pub struct RateLimit<const BURST: u32 = 10> {
    start: Option<Instant>,
    count: u32,
}

impl<const BURST: u32> RateLimit<BURST> {
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
        let mut limit = RateLimit::<10>::default();
        let allowed = (0..100).filter(|_| limit.allow()).count();
        assert_eq!(allowed, 10);
    }
}
