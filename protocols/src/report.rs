//! What a gate worker says of itself. The gate's supervisor hands reports to the compositor as JSON, one a
//! line, and `vitrailctl vms` shows them.

use serde::{Deserialize, Serialize};

use crate::VmName;

/// The longest report line that is read, in bytes.
pub const MAX_REPORT_LINE: usize = 8192;

/// The walls around a worker, as the worker found them after raising them (not as it hoped).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailReport {
    /// `NoNewPrivs` of `/proc/self/status` is 1.
    pub no_new_privs: bool,
    /// A seccomp filter is active.
    pub seccomp: bool,
    /// Landlock denies the file system (false where the kernel lacks it).
    pub landlock: bool,
    /// Resource limits are set.
    pub rlimits: bool,
    /// No capability is held.
    pub no_capabilities: bool,
}

/// What has passed through a worker since it was started, over all connections, those that are over too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Connections that were begun.
    pub connections: u64,
    /// Requests of the VM's applications.
    pub requests: u64,
    /// Their bytes.
    pub request_bytes: u64,
    /// Events of the compositor.
    pub events: u64,
    /// Their bytes.
    pub event_bytes: u64,
    /// Bytes of all that came on the VM's streams: requests, clipboards, and pixels where the VM has no region.
    pub stream_bytes: u64,
    /// Descriptors, either way.
    pub descriptors: u64,
    /// Memory that mirrors of the VM's memory take up now, in bytes.
    pub mirror_memory: u64,
    /// Requests per second since the report before.
    #[serde(default)]
    pub requests_per_second: u64,
    /// Bytes of events that wait now for clients that do not read.
    #[serde(default)]
    pub pending_bytes: u64,
    /// Descriptors that the worker holds now.
    #[serde(default)]
    pub held_descriptors: u64,
}

impl Traffic {
    /// Adds what has passed through another connection. Numbers that a broken worker has made up overflow nothing.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.connections, other.connections),
            (&mut self.requests, other.requests),
            (&mut self.request_bytes, other.request_bytes),
            (&mut self.events, other.events),
            (&mut self.event_bytes, other.event_bytes),
            (&mut self.stream_bytes, other.stream_bytes),
            (&mut self.descriptors, other.descriptors),
            (&mut self.mirror_memory, other.mirror_memory),
            (&mut self.requests_per_second, other.requests_per_second),
            (&mut self.pending_bytes, other.pending_bytes),
            (&mut self.held_descriptors, other.held_descriptors),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// One report of one worker. The newest replaces the one before it; a worker that ended sends none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Whose bytes the worker parses.
    pub vm: VmName,
    /// The worker's process id in the GUI VM.
    pub pid: i32,
    /// False in the last report, which the supervisor sends when the worker has ended.
    pub alive: bool,
    /// Live connections.
    pub connections: u32,
    /// Connections ended for breaking a rule, since the worker started.
    pub refused: u64,
    /// The last rule that was broken; empty if none was. Already escaped.
    pub last_refusal: String,
    /// What has passed through the worker, as of about a second ago.
    #[serde(default)]
    pub traffic: Traffic,
    /// The walls around the worker.
    pub jail: JailReport,
}
