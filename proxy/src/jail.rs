//! The walls around the processes that touch a VM's bytes: the relays of the hub and the workers of the gate.
//!
//! Such a process starts with the rights of its supervisor, opens nothing itself, and is given every file
//! descriptor it will ever use over a control socket. So before it reads the first byte of a VM it can give up
//! everything else, for good:
//!
//! 1. its user and groups, if it was started by root and another user was named;
//! 2. all capabilities, also those that a later `execve` could bring back;
//! 3. core dumps, being traced by other processes of the same user, creating processes, and more files than
//!    it has use for (resource limits);
//! 4. new privileges (`no_new_privs`), the condition for the two walls that follow;
//! 5. the file system, TCP, abstract sockets and signals to other processes (landlock);
//! 6. all system calls but the few of its role (seccomp). A call that no correct program of that role makes
//!    kills the process, which is one VM's loss. Calls that the standard library tries and can do without
//!    fail with `EPERM` (see [`syscalls`]).
//!
//! What counts is what the kernel says afterwards: [`Jail::enter`] reads the state of the walls back instead of
//! reporting what it asked for. Kernels and containers differ in what they allow, so a wall that cannot be
//! raised is reported as missing, with a warning in the log, and the process goes on behind the others. Only
//! a failure to change the user, when it was asked for, is an error: then the process has no business to go on.
//!
//! The calling process must have one thread only; all of this is per thread in Linux.

pub mod syscalls;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope};
use rustix::process::{DumpableBehavior, Gid, Resource, Rlimit, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use vitrail_protocols::report::JailReport;

/// The newest landlock interface whose rights are all denied. On an older kernel those that it knows are.
const LANDLOCK_ABI: ABI = ABI::V6;
/// More of `/proc/thread-self/status` than any kernel writes.
const STATUS_LEN: usize = 16 << 10;

/// What the process does, and so which system calls it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A relay of the hub: moves bytes between sockets and punches holes into one region.
    Relay,
    /// A worker of the gate: parses one VM's messages, holds its shared memory, moves its pipes.
    GateWorker,
}

/// The user that a process started by root becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// The only group id that is kept.
    pub gid: u32,
}

/// The walls to raise. Built with [`Jail::new`], raised with [`Jail::enter`].
#[derive(Clone, Debug)]
pub struct Jail {
    role: Role,
    open_files: u64,
    address_space: Option<u64>,
    identity: Option<Identity>,
}

/// Why a process could not be jailed at all.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The change of user or groups was refused.
    #[error("Cannot become user {uid}, group {gid}: {source}")]
    Identity {
        /// User id asked for.
        uid: u32,
        /// Group id asked for.
        gid: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The state of the process cannot be read back.
    #[error("Cannot read /proc/thread-self/status: {0}")]
    Status(#[source] io::Error),
    /// The seccomp filter cannot be built for this machine.
    #[error("Cannot build the system call filter: {0}")]
    Filter(#[from] seccompiler::BackendError),
}

impl Jail {
    /// A jail for `role` with at most 64 open files and no bound on memory.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self { role, open_files: 64, address_space: None, identity: None }
    }

    /// How many file descriptors the process may hold (the kernel's limit is not exceeded).
    #[must_use]
    pub fn open_files(mut self, count: u64) -> Self {
        self.open_files = count;
        self
    }

    /// How much address space the process may have, in bytes, including mapped regions and pools.
    #[must_use]
    pub fn address_space(mut self, bytes: u64) -> Self {
        self.address_space = Some(bytes);
        self
    }

    /// Which user to become. Without it, and where the process is not root's, the user stays.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Takes back [`Jail::identity`]: the user stays.
    #[must_use]
    pub fn keep_identity(mut self) -> Self {
        self.identity = None;
        self
    }

    /// Raises the walls and says which of them stand. There is no way back.
    ///
    /// # Errors
    ///
    /// [`JailError`]; the process should end then. Some walls may stand already.
    pub fn enter(self) -> Result<JailReport, JailError> {
        let status = File::open("/proc/thread-self/status").map_err(JailError::Status)?;
        let filters = syscalls::compile(self.role)?;
        drop_bounding_set();
        if let Some(identity) = self.identity {
            self.become_user(identity)?;
        }
        warn_if_missing("capabilities", drop_capabilities());
        warn_if_missing("undumpable", rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable));
        let limits = self.resource_limits();
        for &(resource, limit) in &limits {
            warn_if_missing("resource limit", set_limit(resource, limit));
        }
        warn_if_missing("no_new_privs", rustix::thread::set_no_new_privs(true));
        let landlock = deny_file_system();
        for filter in &filters {
            warn_if_missing("seccomp", seccompiler::apply_filter(filter));
        }
        let rlimits = limits.iter().all(|&(resource, limit)| limit_holds(resource, limit));
        let report = read_back(&status, landlock, rlimits)?;
        if !report.seccomp {
            tracing::warn!("the kernel did not take the system call filter");
        }
        Ok(report)
    }

    fn become_user(&self, identity: Identity) -> Result<(), JailError> {
        let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        let change = || {
            rustix::thread::set_thread_groups(&[])?;
            rustix::thread::set_thread_res_gid(gid, gid, gid)?;
            rustix::thread::set_thread_res_uid(uid, uid, uid)
        };
        change().map_err(|e| JailError::Identity { uid: identity.uid, gid: identity.gid, source: e.into() })
    }

    fn resource_limits(&self) -> Vec<(Resource, u64)> {
        let mut limits = vec![
            (Resource::Nofile, self.open_files),
            (Resource::Nproc, 0),
            (Resource::Core, 0),
            (Resource::Memlock, 0),
            (Resource::Msgqueue, 0),
        ];
        limits.extend(self.address_space.map(|bytes| (Resource::As, bytes)));
        limits
    }
}

/// Takes every capability out of the bounding set, as far as the process may. What fails here is without
/// effect once `no_new_privs` is set, so it is not worth a warning.
fn drop_bounding_set() {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if !matches!(rustix::thread::capability_is_in_bounding_set(capability), Ok(true))
            || rustix::thread::remove_capability_from_bounding_set(capability).is_err()
        {
            break;
        }
    }
}

fn drop_capabilities() -> rustix::io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )
}

/// Sets both limits, but never above the hard limit that the process already has.
fn set_limit(resource: Resource, limit: u64) -> rustix::io::Result<()> {
    let hard = rustix::process::getrlimit(resource).maximum;
    let limit = Some(hard.map_or(limit, |hard| hard.min(limit)));
    rustix::process::setrlimit(resource, Rlimit { current: limit, maximum: limit })
}

fn limit_holds(resource: Resource, limit: u64) -> bool {
    let now = rustix::process::getrlimit(resource);
    let holds = |value: Option<u64>| value.is_some_and(|value| value <= limit);
    holds(now.current) && holds(now.maximum)
}

/// Denies the file system, TCP, abstract sockets and signals; true if the file system is closed now, which is
/// tried out.
fn deny_file_system() -> bool {
    let restrict = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK_ABI))?
            .handle_access(AccessNet::from_all(LANDLOCK_ABI))?
            .scope(Scope::from_all(LANDLOCK_ABI))?
            .create()?
            .restrict_self()
    };
    match restrict() {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            tracing::warn!("this kernel has no landlock: the file system is closed by seccomp alone");
            false
        }
        Ok(_) => File::open("/").is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied),
        Err(error) => {
            tracing::warn!(%error, "landlock was refused: the file system is closed by seccomp alone");
            false
        }
    }
}

fn warn_if_missing<E: std::fmt::Display>(wall: &str, result: Result<(), E>) {
    if let Err(error) = result {
        tracing::warn!(wall, %error, "the kernel refused a wall of the jail");
    }
}

fn read_back(status: &File, landlock: bool, rlimits: bool) -> Result<JailReport, JailError> {
    let mut text = vec![0; STATUS_LEN];
    let mut len = 0;
    while let Some(rest) = text.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match status.read_at(rest, len as u64).map_err(JailError::Status)? {
            0 => break,
            count => len += count,
        }
    }
    text.truncate(len);
    Ok(parse_status(&String::from_utf8_lossy(&text), landlock, rlimits))
}

/// The report, from the text of `/proc/thread-self/status`. A line that is missing counts as a missing wall.
fn parse_status(text: &str, landlock: bool, rlimits: bool) -> JailReport {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .map(str::trim)
            .unwrap_or_default()
    };
    let no_capability = |key| u64::from_str_radix(value(key), 16) == Ok(0);
    JailReport {
        no_new_privs: value("NoNewPrivs") == "1",
        seccomp: value("Seccomp") == "2",
        landlock,
        rlimits,
        no_capabilities: ["CapInh", "CapPrm", "CapEff", "CapAmb"].into_iter().all(no_capability),
    }
}

#[cfg(test)]
mod tests;
