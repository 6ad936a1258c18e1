//! Logging of the programs in this crate: lines on standard error, chosen by `VITRAIL_LOG`.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;

/// The environment variable that chooses what is logged, in the syntax of [`EnvFilter`]. Default: `info`.
pub const LOG_VARIABLE: &str = "VITRAIL_LOG";

/// Lines of one VM that may come in a burst.
const BURST: u32 = 20;
/// The time in which a line is earned again.
const REFILL: Duration = Duration::from_millis(500);

/// Begins to log. Text that came from a VM is escaped by the formatter wherever it is logged with `?`.
///
/// A filter that cannot be parsed is reported and replaced by `info`: a typing error in an environment variable
/// should not keep the windows off the screen. Only the first call in a process has an effect.
pub fn init() {
    let (filter, problem) = match std::env::var(LOG_VARIABLE) {
        Ok(text) => match EnvFilter::try_new(&text) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new("info"), Some(error)),
        },
        Err(_) => (EnvFilter::new("info"), None),
    };
    let ansi = std::io::stderr().is_terminal();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .try_init();
    if let Some(error) = problem {
        tracing::warn!(%error, "{LOG_VARIABLE} is not a valid filter, logging at level info");
    }
}

/// An error with its causes, for a person. Many of our errors name their cause already, since they are logged
/// one by one elsewhere; such a cause is not said again.
#[must_use]
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// How many lines a VM may still cause, and how many it was denied.
#[derive(Debug)]
pub(crate) struct Quota {
    left: u32,
    refilled: Instant,
    suppressed: u64,
}

impl Quota {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: BURST, refilled: now, suppressed: 0 }
    }

    /// Whether a line may be written now; if so, how many were left out since the last one.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u64> {
        while self.left < BURST && now.saturating_duration_since(self.refilled) >= REFILL {
            self.left += 1;
            self.refilled += REFILL;
        }
        if self.left == BURST {
            self.refilled = now;
        }
        if self.left == 0 {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// A count that is only worth writing when it is not 0.
pub(crate) fn nonzero(count: u64) -> Option<u64> {
    (count != 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow!("no such file").context("cannot read x: no such file").context("error starting");
        assert_eq!(explain(&error), "error starting: cannot read x: no such file");
    }

    #[test]
    fn lines_are_bounded_in_a_burst_and_earned_again() {
        let start = Instant::now();
        let mut quota = Quota::new(start);
        let written = (0..1000).filter(|_| quota.take(start).is_some()).count();
        assert_eq!(written, BURST as usize);
        let later = start + REFILL;
        assert_eq!(quota.take(later), Some(1000 - u64::from(BURST)));
        assert_eq!(quota.take(later), None);
        let much_later = later + REFILL * 1000;
        assert_eq!((0..1000).filter(|_| quota.take(much_later).is_some()).count(), BURST as usize);
    }
}
