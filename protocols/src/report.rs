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
    /// The walls around the worker.
    pub jail: JailReport,
}
