//! The worker processes: one per VM, started at its first connection and again at the next one after it died.
//!
//! A worker inherits no descriptor but its control socket (as standard input), the log, and none of the
//! environment but the log's settings. It survives its supervisor: when the control socket closes, it serves what it
//! has and ends.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags};
use virtio_wl::Region;
use virtio_wl::vfd::FileId;
use vitrail_protocols::report::{JailReport, Traffic};
use vitrail_protocols::{Policy, VmName, WorkerReport, guard};

use super::config::VmTerms;
use super::control::{self, ControlError, Order};

/// Environment variables that a worker keeps.
const KEPT_VARIABLES: [&str; 2] = [crate::logging::LOG_VARIABLE, "RUST_BACKTRACE"];

/// Why a connection could not be given to a worker.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The process cannot be started.
    #[error("cannot start a worker: {0}")]
    Spawn(#[source] io::Error),
    /// The process cannot be watched.
    #[error("cannot watch a worker: {0}")]
    Watch(#[source] rustix::io::Errno),
    /// The worker does not take the connection.
    #[error("the worker does not take the connection: {0}")]
    Control(#[from] ControlError),
}

/// A connection for a worker.
#[derive(Debug)]
pub struct Delivery {
    /// Whose it is.
    pub vm: VmName,
    /// What the VM may hold and see, if a worker has to be started.
    pub terms: VmTerms,
    /// The VM's region, if it has one.
    pub region: Option<Region>,
    /// The VM's stream.
    pub stream: OwnedFd,
    /// The socket to the compositor, with the VM's identity.
    pub compositor: OwnedFd,
    /// The hub's serial number.
    pub connection: u64,
}

/// All workers.
#[derive(Debug)]
pub struct Fleet {
    program: PathBuf,
    workers: BTreeMap<VmName, Worker>,
    /// Workers that get no more connections, because their VM has another region or policy now.
    retired: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    child: Child,
    pid: i32,
    pidfd: OwnedFd,
    /// `None` once the worker is retired or misbehaved.
    control: Option<OwnedFd>,
    /// Which file, and where the region begins in it.
    region: Option<(FileId, u64)>,
    /// Which globals it shows.
    policy: Policy,
    last: WorkerReport,
}

impl Fleet {
    /// No workers yet; `program` is this program's own file.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program, workers: BTreeMap::new(), retired: Vec::new() }
    }

    /// Gives a connection to the VM's worker, starting one if there is none (any more).
    ///
    /// # Errors
    /// No worker takes it; the connection is closed.
    pub fn serve(&mut self, delivery: &Delivery) -> Result<(), FleetError> {
        let region = delivery.region.as_ref().map(|region| (region.id(), region.start()));
        self.retire_unless(&delivery.vm, region, &delivery.terms.policy);
        if let Some(worker) = self.workers.get(&delivery.vm)
            && worker.deliver(delivery).is_ok()
        {
            return Ok(());
        }
        // It has died or hangs; its end is noticed in its own time.
        self.retire(&delivery.vm);
        let worker = Worker::start(&self.program, delivery, region)?;
        worker.deliver(delivery)?;
        self.workers.insert(delivery.vm.clone(), worker);
        Ok(())
    }

    /// A worker keeps its region and its policy for as long as it runs. The compositor holds new connections to the new policy
    /// at once, so what one of them is shown here must be of the same one.
    fn retire_unless(&mut self, vm: &VmName, region: Option<(FileId, u64)>, policy: &Policy) {
        let serves =
            |worker: &Worker| worker.region == region && worker.policy == *policy && worker.control.is_some();
        if self.workers.get(vm).is_some_and(|worker| !serves(worker)) {
            self.retire(vm);
        }
    }

    fn retire(&mut self, vm: &VmName) {
        if let Some(mut worker) = self.workers.remove(vm) {
            worker.control = None;
            self.retired.push(worker);
        }
    }

    /// The control sockets to read reports from.
    pub fn controls(&self) -> impl Iterator<Item = (&VmName, BorrowedFd<'_>)> {
        self.workers.iter().filter_map(|(vm, worker)| Some((vm, worker.control.as_ref()?.as_fd())))
    }

    /// Descriptors that are readable when a worker has ended, with its process id.
    pub fn ends(&self) -> impl Iterator<Item = (i32, BorrowedFd<'_>)> {
        self.workers.values().chain(&self.retired).map(|worker| (worker.pid, worker.pidfd.as_fd()))
    }

    /// Reads the reports of one VM's worker and returns the newest.
    pub fn read_reports(&mut self, vm: &VmName) -> Option<WorkerReport> {
        let worker = self.workers.get_mut(vm)?;
        let mut newest = None;
        loop {
            match control::receive_report(worker.control.as_ref()?, vm, worker.pid) {
                Ok(Some(report)) => newest = Some(report),
                Ok(None) => break,
                Err(error) => {
                    if !matches!(error, ControlError::Closed) {
                        tracing::warn!(%vm, pid = worker.pid, %error, "a worker is not itself any more");
                        // It may serve on behind its walls, but it is not listened to, nor trusted with more.
                    }
                    worker.control = None;
                    break;
                }
            }
        }
        if let Some(report) = &newest {
            worker.last = report.clone();
        }
        newest
    }

    /// Takes note of the end of the worker with this process id. Returns its last report if it was its VM's
    /// current worker.
    pub fn reap(&mut self, pid: i32) -> Option<WorkerReport> {
        if let Some(at) = self.retired.iter().position(|worker| worker.pid == pid) {
            self.retired.swap_remove(at).wait();
            return None;
        }
        let vm = self.workers.iter().find_map(|(vm, worker)| (worker.pid == pid).then(|| vm.clone()))?;
        // What it still had to say comes first.
        self.read_reports(&vm);
        let worker = self.workers.remove(&vm)?;
        let report = WorkerReport { alive: false, connections: 0, ..worker.last.clone() };
        worker.wait();
        Some(report)
    }
}

impl Worker {
    fn start(
        program: &PathBuf,
        delivery: &Delivery,
        region: Option<(FileId, u64)>,
    ) -> Result<Self, FleetError> {
        let vm = &delivery.vm;
        let (ours, theirs) = control::pair()?;
        let mut command = Command::new(program);
        command.arg0("vitrail-gate").args(["--worker", "--vm", vm.as_str(), "--control", "fd:0"]);
        command.stdin(theirs).stdout(Stdio::null()).env_clear();
        command.envs(
            KEPT_VARIABLES.iter().chain(guard::KEPT).filter_map(|key| Some((key, std::env::var_os(key)?))),
        );
        // A group of its own: what is typed at the supervisor's terminal is not meant for it.
        let child = command.process_group(0).spawn().map_err(FleetError::Spawn)?;
        let pid = i32::try_from(child.id()).unwrap_or(0);
        let handle = Pid::from_raw(pid).ok_or(FleetError::Watch(rustix::io::Errno::SRCH))?;
        let pidfd = rustix::process::pidfd_open(handle, PidfdFlags::empty()).map_err(FleetError::Watch)?;
        tracing::info!(%vm, pid, "started a worker");
        let region_start = region.map_or(0, |(_, start)| start);
        let VmTerms { limits, policy } = delivery.terms.clone();
        let order = Order::Start { vm: vm.clone(), limits, policy: policy.clone(), region_start };
        let fds: Vec<_> = delivery.region.iter().map(AsFd::as_fd).collect();
        control::send_order(&ours, &order, &fds)?;
        let last = WorkerReport {
            vm: vm.clone(),
            pid,
            alive: true,
            connections: 0,
            refused: 0,
            last_refusal: String::new(),
            traffic: Traffic::default(),
            jail: JailReport::default(),
        };
        Ok(Self { child, pid, pidfd, control: Some(ours), region, policy, last })
    }

    fn deliver(&self, delivery: &Delivery) -> Result<(), ControlError> {
        let control = self.control.as_ref().ok_or(ControlError::Closed)?;
        let fds = [delivery.stream.as_fd(), delivery.compositor.as_fd()];
        control::send_order(control, &Order::Serve { connection: delivery.connection }, &fds)
    }

    fn wait(mut self) {
        let (vm, pid) = (&self.last.vm, self.pid);
        match self.child.wait() {
            Ok(status) if status.success() => tracing::info!(%vm, pid, "a worker ended"),
            Ok(status) => tracing::warn!(%vm, pid, %status, "a worker died"),
            Err(error) => tracing::warn!(%vm, pid, %error, "a worker is lost"),
        }
    }
}
