//! Decisions and their log lines: one line for each, but no more than a quota for each VM.

use std::fmt;
use std::time::Instant;

use virtio_wl::address::AddressError;
use virtio_wl::wire::{Purpose, WireError};
use vitrail_protocols::VmName;

use super::region::RegionFileError;
pub(super) use crate::logging::{Quota, nonzero};

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
    #[error("the VM has {0} streams without a hello already")]
    TooManyPending(usize),
    #[error("the VM calls more often than it may in a second")]
    TooManyCalls,
    #[error("the VM has {0} trim streams already")]
    TooManyTrims(usize),
    #[error("the VM has no region to trim")]
    NoRegion,
    #[error("{0}")]
    Region(#[from] RegionFileError),
    #[error("the gate cannot be reached: {0}")]
    GateUnreachable(#[from] AddressError),
    #[error("the gate does not take the introduction: {0}")]
    GateBusy(rustix::io::Errno),
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
            Self::TooManyPending(_) => "too-many-pending",
            Self::TooManyCalls => "too-many-calls",
            Self::TooManyTrims(_) => "too-many-trims",
            Self::NoRegion => "no-region",
            Self::Region(_) => "region",
            Self::GateUnreachable(_) | Self::GateBusy(_) => "gate-unreachable",
            Self::RelayUnavailable(_) => "relay-unavailable",
            Self::Internal(_) => "internal",
        }
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

/// Text in quotes, with everything that could disturb a terminal or forge a line escaped.
struct Escaped<'a>(&'a Refusal);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.to_string())
    }
}
