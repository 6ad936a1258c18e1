//! Decisions and their log lines: one line for each, but no more than a quota for each VM.

use std::fmt;
use std::time::{Duration, Instant};

use virtio_wl::wire::{Purpose, WireError};
use vitrail_protocols::VmName;

use super::region::RegionFileError;

/// Lines of one VM that may come in a burst.
const BURST: u32 = 20;
/// The time in which a line is earned again.
const REFILL: Duration = Duration::from_millis(500);

/// Why a stream is refused. The VM is not told; it sees its stream end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    BadHello(#[from] WireError),
    #[error("no complete hello within the time allowed")]
    SlowHello,
    #[error("the stream ended within the hello")]
    ClosedEarly,
    #[error("the VM has {0} connections already")]
    TooManyConnections(usize),
    #[error("the VM has {0} trim streams already")]
    TooManyTrims(usize),
    #[error("the VM has no region to trim")]
    NoRegion,
    #[error("{0}")]
    Region(#[from] RegionFileError),
    #[error("the gate cannot be reached: {0}")]
    GateUnreachable(rustix::io::Errno),
    #[error("the relay of the VM does not take connections: {0}")]
    RelayUnavailable(std::io::Error),
    #[error("{0}")]
    Internal(std::io::Error),
}

impl Refusal {
    /// One word for the log, which scripts can look for.
    fn reason(&self) -> &'static str {
        match self {
            Self::BadHello(_) => "bad-hello",
            Self::SlowHello => "slow-hello",
            Self::ClosedEarly => "closed-early",
            Self::TooManyConnections(_) => "too-many-connections",
            Self::TooManyTrims(_) => "too-many-trims",
            Self::NoRegion => "no-region",
            Self::Region(_) => "region",
            Self::GateUnreachable(_) => "gate-unreachable",
            Self::RelayUnavailable(_) => "relay-unavailable",
            Self::Internal(_) => "internal",
        }
    }
}

/// How many lines a VM may still cause, and how many it was denied.
#[derive(Debug)]
pub(super) struct Quota {
    left: u32,
    refilled: Instant,
    suppressed: u64,
}

impl Quota {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, refilled: now, suppressed: 0 }
    }

    /// Whether a line may be written now; if so, how many were left out since the last one.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
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

/// Logs that a stream is let through.
pub(super) fn log_allow(quota: &mut Quota, vm: &VmName, connection: u64, purpose: Purpose) {
    if let Some(suppressed) = quota.take(Instant::now()) {
        let purpose = match purpose {
            Purpose::Wayland => "wayland",
            Purpose::Trim => "trim",
        };
        tracing::info!(
            decision = %"allow", %vm, connection, purpose = %purpose, suppressed = nonzero(suppressed),
            "stream handed to the relay"
        );
    }
}

/// Logs that a stream is refused.
pub(super) fn log_refuse(quota: &mut Quota, vm: &VmName, connection: u64, refusal: &Refusal) {
    if let Some(suppressed) = quota.take(Instant::now()) {
        tracing::warn!(
            decision = %"refuse", %vm, connection, reason = %refusal.reason(), detail = %Escaped(refusal),
            suppressed = nonzero(suppressed), "stream refused"
        );
    }
}

/// A count that is only worth writing when it is not 0.
pub(super) fn nonzero(count: u64) -> Option<u64> {
    (count != 0).then_some(count)
}

/// Text in quotes, with everything that could disturb a terminal or forge a line escaped.
struct Escaped<'a>(&'a Refusal);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
