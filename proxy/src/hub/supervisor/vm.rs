//! What the supervisor keeps of one VM.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use virtio_wl::wire::Purpose;
use vitrail_protocols::VmName;

use super::MAX_TRIMS;
use crate::hub::config::VmConfig;
use crate::hub::control::{FromRelay, ToRelay};
use crate::hub::decision::{Quota, Refusal};
use crate::hub::region::SharedRegion;
use crate::hub::relay_process::{News, RelayProcess};
use crate::jail::Identity;
use crate::rate::Rate;

/// The shortest time between two starts of a VM's relay: a VM that could make its relay die must not make the host
/// start processes as fast as it can call.
const RELAY_PAUSE: Duration = Duration::from_millis(200);
/// Messages of a relay read at a time.
const NEWS_BURST: usize = 64;

/// How the reading of a relay's messages ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// There is nothing more for now.
    Dry,
    /// There may be more.
    More,
    /// The relay is of no use any more, and was killed.
    Broken,
}

/// One VM.
#[derive(Debug)]
pub(super) struct Vm {
    pub(super) name: VmName,
    /// Index of the socket that it calls at.
    pub(super) socket: usize,
    /// Whether its end of a stream is one of vsock.
    pub(super) is_vsock: bool,
    pub(super) region: Option<SharedRegion>,
    pub(super) relay: Option<RelayProcess>,
    relay_started: Option<Instant>,
    setup: ToRelay,
    /// Streams that are not handed over yet.
    pub(super) pending: usize,
    max_pending: usize,
    max_connections: usize,
    calls: Rate,
    /// When this was made: the beginning of the time that `calls` is counted by.
    since: Instant,
    /// Log lines that the VM may still cause.
    pub(super) quota: Quota,
}

impl Vm {
    pub(super) fn new(
        name: &VmName,
        config: &VmConfig,
        socket: usize,
        region: Option<SharedRegion>,
        identity: Option<Identity>,
        identity_required: bool,
    ) -> Self {
        let setup = ToRelay::Setup {
            identity,
            identity_required,
            region: region.as_ref().map_or(0..0, SharedRegion::range),
            max_connections: config.max_connections,
        };
        let now = Instant::now();
        Self {
            name: name.clone(),
            socket,
            is_vsock: config.listen.is_vsock(),
            region,
            relay: None,
            relay_started: None,
            setup,
            pending: 0,
            max_pending: usize::try_from(config.max_pending).unwrap_or(usize::MAX),
            max_connections: usize::try_from(config.max_connections).unwrap_or(usize::MAX),
            calls: Rate::new(config.max_calls_per_second),
            since: now,
            quota: Quota::new(now),
        }
    }

    /// Whether no further stream may be accepted for now.
    pub(super) fn is_full(&self) -> bool {
        self.pending >= self.max_pending
    }

    /// How long to wait before the next call is taken; `None` if it may be taken now.
    pub(super) fn calls_too_often(&self, now: Instant) -> Option<Duration> {
        Some(self.calls.wait(now.saturating_duration_since(self.since))).filter(|wait| !wait.is_zero())
    }

    /// Takes note of a call that is taken.
    pub(super) fn count_call(&mut self, now: Instant) {
        self.calls.take(1, now.saturating_duration_since(self.since));
    }

    /// Whether one more live stream of this purpose is allowed.
    pub(super) fn admit(&self, purpose: Purpose) -> Result<(), Refusal> {
        let live = self.relay.as_ref().map_or(0, |relay| relay.count(purpose));
        match purpose {
            Purpose::Wayland if live >= self.max_connections => Err(Refusal::TooManyConnections(live)),
            Purpose::Trim if self.region.is_none() => Err(Refusal::NoRegion),
            Purpose::Trim if live >= MAX_TRIMS => Err(Refusal::TooManyTrims(live)),
            Purpose::Wayland | Purpose::Trim => Ok(()),
        }
    }

    /// Starts the relay; false if it is too early for that.
    pub(super) fn start_relay(&mut self, now: Instant) -> std::io::Result<bool> {
        if self.relay_started.is_some_and(|at| now < at + RELAY_PAUSE) {
            return Ok(false);
        }
        self.relay_started = Some(now);
        let region = self.region.as_ref().map(|region| region.as_fd());
        self.relay = Some(RelayProcess::spawn(&self.name, &self.setup, region)?);
        Ok(true)
    }

    /// Does without a relay that was just started.
    pub(super) fn give_up_relay(&mut self) {
        if let Some(relay) = self.relay.take() {
            relay.abandon();
        }
    }

    /// Reads what the relay says, and adds to `started` the streams that have reached it.
    pub(super) fn read_relay(&mut self, started: &mut Vec<u64>) -> Reading {
        let Some(relay) = &mut self.relay else { return Reading::Dry };
        for _ in 0..NEWS_BURST {
            match relay.news() {
                News::None => return Reading::Dry,
                News::Message(FromRelay::Started { serial }) => started.push(serial),
                News::Message(FromRelay::Ready { jail }) => {
                    tracing::info!(
                        vm = %self.name, pid = relay.pid(), no_new_privs = jail.no_new_privs,
                        seccomp = jail.seccomp, landlock = jail.landlock, rlimits = jail.rlimits,
                        no_capabilities = jail.no_capabilities, "the relay is ready"
                    );
                }
                News::Message(FromRelay::Ended { serial, to_gate, to_vm }) => {
                    tracing::debug!(vm = %self.name, connection = serial, to_gate, to_vm, "stream ended");
                }
                News::Broken => {
                    relay.kill();
                    return Reading::Broken;
                }
            }
        }
        Reading::More
    }

    /// Takes note of the relay's end, if it has ended. Its connections ended with it, but for
    /// those that it had not taken yet; they and the following ones get a new relay.
    pub(super) fn reap_relay(&mut self, not_taken: usize) -> bool {
        let Some(relay) = &mut self.relay else { return false };
        let status = match relay.ended() {
            Ok(None) => return false,
            Ok(Some(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let connections = relay.count(Purpose::Wayland).saturating_sub(not_taken);
        tracing::warn!(vm = %self.name, pid = relay.pid(), %status, connections, "the relay has ended");
        self.relay = None;
        true
    }
}
