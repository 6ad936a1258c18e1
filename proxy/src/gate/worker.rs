//! The worker: all connections of one VM, in one process with one thread, behind walls.
//!
//! It waits for all of them with one epoll descriptor, in which every socket is registered by itself, and gives each that has something to do one turn of a
//! bounded size, in rotation, so that a flooding connection costs the others one turn of waiting. It wakes up for
//! events, and for deadlines while there are any (a connection that has to wait because of its rate, or that ends
//! with something still to deliver, or numbers that have changed since they were reported); otherwise never.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use virtio_wl::region::RegionError;
use virtio_wl::unix::UnixError;
use virtio_wl::{MirrorBudget, Region};
use vitrail_protocols::report::{JailReport, Traffic};
use vitrail_protocols::{Limits, Policy, VmName, WorkerReport};

use super::breaches::Breaches;
use super::control::{self, ControlError, Order};
use super::ledger::Ledger;
use super::report::escape;
use super::served::{Holdings, Place, ServeError, Served, is_breach};
use crate::connection::{Connection, End, Status};
use crate::jail::{Jail, JailError, Role};
use crate::rate::Rate;

/// Events that are taken in one wake-up.
const MAX_EVENTS: usize = 64;

/// Descriptors that the process may have beyond its limit, so that the limit is noticed by counting and not by
/// a failing system call. They are many because the kernel holds something else against this limit too: how many descriptors
/// all processes of the user have under way in Unix sockets (`ETOOMANYREFS`). With few, what one VM has under way would end
/// another VM's connections.
const DESCRIPTOR_HEADROOM: u64 = 16_384;

/// Address space beyond the region and mirrors: the program itself, its queues and buffers, in bytes.
const ADDRESS_SPACE_HEADROOM: u64 = 1 << 30;

/// Log lines that a VM can cause, per second.
const LOG_LINES_PER_SECOND: u32 = 2;

/// How long after something has passed through it is reported, with all that came meanwhile. So a worker that has nothing to do
/// wakes up once more for it, and one that is busy every time.
const REPORT_DELAY: Duration = Duration::from_secs(1);

/// What a VM is told that has broken too many rules.
const LET_GO: &str = "the VM has broken too many rules, and is let go for a while";

const CONTROL_TOKEN: u64 = 0;

/// Why a worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Events cannot be waited for.
    #[error("cannot wait for events: {0}")]
    Wait(#[source] Errno),
    /// A connection cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The supervisor cannot be understood.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The region cannot be mapped.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The walls cannot be raised.
    #[error(transparent)]
    Jail(#[from] JailError),
}

/// The state of a worker.
#[derive(Debug)]
pub struct Worker {
    vm: VmName,
    ledger: Rc<Ledger>,
    policy: Rc<Policy>,
    region: Option<Arc<Region>>,
    /// What all mirrors of the VM may take up.
    mirrors: Arc<MirrorBudget>,
    epoll: Arc<OwnedFd>,
    /// The supervisor's socket; `None` when it is gone, or there never was one.
    control: Option<OwnedFd>,
    /// By their numbers, which are never used twice. The tokens of one are the [`Connection::TOKENS`] from so many times its
    /// number on, so the first number is 1.
    connections: BTreeMap<u64, Served>,
    /// Connections with something to do that no event will announce.
    ready: Vec<u64>,
    /// Empty between wake-ups; its memory is used again.
    turns: Vec<u64>,
    next_number: u64,
    report: WorkerReport,
    reported: Option<WorkerReport>,
    /// When to report what has passed through; `None` if nothing has since it was reported, or nobody listens.
    report_at: Option<Instant>,
    /// What has passed through connections that are over.
    past: Traffic,
    /// When the last report was sent, and the requests until then.
    rated: (Instant, u64),
    breaches: Breaches,
    log_rate: Rate,
    log_skipped: u64,
    started: Instant,
    last_end: Option<End>,
}

/// What a worker is told at its start.
#[derive(Debug)]
pub struct WorkerOptions {
    /// Whose worker it is.
    pub vm: VmName,
    /// What the VM may hold.
    pub limits: Limits,
    /// Which globals it sees.
    pub policy: Policy,
    /// The VM's region, if it has one.
    pub region: Option<Arc<Region>>,
    /// The supervisor's socket.
    pub control: Option<OwnedFd>,
}

/// How far this process stands back from others that want a processor at the same time, the compositor above all: a worker that
/// a VM keeps busy is not to be in its way.
const NICENESS: i32 = 5;

/// Raises the walls around this process, which must have one thread and all the descriptors it cannot be sent.
///
/// The address space is among them: the region, mirrors up to what the VM may have in shared memory, and room to work. A VM
/// that goes to this limit loses its worker and nothing more.
///
/// # Errors
/// See [`Jail::enter`].
pub fn enter_jail(limits: &Limits, region: Option<&Region>) -> Result<JailReport, JailError> {
    // Where this is not allowed, the kernel shares processors evenly, as before.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let descriptors = u64::from(limits.fds).saturating_add(DESCRIPTOR_HEADROOM);
    let mirrors = u64::from(limits.shm_mib) << 20;
    let address_space =
        region.map_or(0, Region::len).saturating_add(mirrors).saturating_add(ADDRESS_SPACE_HEADROOM);
    Jail::new(Role::GateWorker).open_files(descriptors).address_space(address_space).enter()
}

impl Worker {
    /// A worker without connections, behind the walls that `jail` describes.
    ///
    /// # Errors
    /// The kernel has no descriptors left.
    pub fn new(options: WorkerOptions, jail: JailReport) -> Result<Self, WorkerError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(WorkerError::Wait)?;
        if let Some(control) = &options.control {
            let data = epoll::EventData::new_u64(CONTROL_TOKEN);
            epoll::add(&epoll, control, data, epoll::EventFlags::IN).map_err(WorkerError::Wait)?;
        }
        let report = WorkerReport {
            vm: options.vm.clone(),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            alive: true,
            connections: 0,
            refused: 0,
            last_refusal: String::new(),
            traffic: Traffic::default(),
            jail,
        };
        Ok(Self {
            vm: options.vm,
            mirrors: MirrorBudget::new(u64::from(options.limits.shm_mib) << 20),
            breaches: Breaches::new(options.limits.breaches),
            ledger: Ledger::new(options.limits),
            policy: Rc::new(options.policy),
            region: options.region,
            epoll: Arc::new(epoll),
            control: options.control,
            connections: BTreeMap::new(),
            ready: Vec::new(),
            turns: Vec::new(),
            next_number: 1,
            report,
            reported: None,
            report_at: None,
            past: Traffic::default(),
            rated: (Instant::now(), 0),
            log_rate: Rate::new(LOG_LINES_PER_SECOND),
            log_skipped: 0,
            started: Instant::now(),
            last_end: None,
        })
    }

    /// Begins to serve a connection.
    ///
    /// # Errors
    /// It cannot be set up, and is closed.
    pub fn serve(&mut self, stream: OwnedFd, compositor: OwnedFd) -> Result<(), WorkerError> {
        let number = self.next_number;
        self.next_number = self.next_number.saturating_add(1);
        let place = Place { set: &self.epoll, first_token: number.saturating_mul(Connection::TOKENS) };
        let vm = Holdings {
            ledger: &self.ledger,
            policy: &self.policy,
            region: self.region.as_ref(),
            mirrors: &self.mirrors,
        };
        let mut served = Served::new(stream, compositor, &place, &vm)?;
        if self.breaches.is_closed(self.started.elapsed()) {
            served.refuse(LET_GO);
        }
        self.connections.insert(number, served);
        self.ready.push(number);
        Ok(())
    }

    /// Serves until there is neither a supervisor nor a connection, and returns how the last connection ended.
    ///
    /// # Errors
    /// Events cannot be waited for.
    pub fn run(mut self) -> Result<Option<End>, WorkerError> {
        loop {
            self.send_report();
            if self.control.is_none() && self.connections.is_empty() {
                return Ok(self.last_end);
            }
            let mut space = [const { MaybeUninit::uninit() }; MAX_EVENTS];
            for event in self.wait(&mut space)? {
                // The structure is packed, so its field is copied out.
                let data = event.data;
                let token = data.u64();
                if token == CONTROL_TOKEN {
                    self.take_orders();
                } else {
                    self.note(token);
                }
            }
            self.note_deadlines();
            let mut turns = std::mem::take(&mut self.turns);
            std::mem::swap(&mut turns, &mut self.ready);
            for number in turns.drain(..) {
                self.turn(number);
            }
            self.turns = turns;
        }
    }

    fn note(&mut self, token: u64) {
        let number = token / Connection::TOKENS;
        if let Some(served) = self.connections.get_mut(&number) {
            served.note(token);
            if !self.ready.contains(&number) {
                self.ready.push(number);
            }
        }
    }

    fn note_deadlines(&mut self) {
        // Hardly ever is there one, and then nobody needs to know the time.
        let mut deadlines =
            self.connections.iter().filter_map(|(number, served)| Some((*number, served.deadline()?)));
        let Some(first) = deadlines.next() else { return };
        let now = Instant::now();
        for (number, at) in std::iter::once(first).chain(deadlines) {
            if at <= now && !self.ready.contains(&number) {
                self.ready.push(number);
            }
        }
    }

    /// The events of connections and of the control socket, as soon as there are any or a deadline has passed.
    fn wait<'a>(
        &self,
        space: &'a mut [MaybeUninit<epoll::Event>; MAX_EVENTS],
    ) -> Result<&'a [epoll::Event], WorkerError> {
        let deadline = self.connections.values().filter_map(Served::deadline).chain(self.report_at).min();
        let timeout = if self.ready.is_empty() {
            deadline.map(|at| at.saturating_duration_since(Instant::now()))
        } else {
            Some(Duration::ZERO)
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.epoll, space, timeout.as_ref()) {
            Ok((events, _)) => Ok(events),
            Err(Errno::INTR) => Ok(&[]),
            Err(errno) => Err(WorkerError::Wait(errno)),
        }
    }

    fn turn(&mut self, number: u64) {
        let Some(served) = self.connections.get_mut(&number) else { return };
        let status = served.turn();
        if self.control.is_some() && self.report_at.is_none() {
            self.report_at = Some(Instant::now() + REPORT_DELAY);
        }
        match status {
            Status::Idle => {}
            Status::More => self.ready.push(number),
            Status::Ended(end) => {
                if let Some(served) = self.connections.remove(&number) {
                    self.past.add(&Traffic { pending_bytes: 0, ..served.traffic() });
                }
                self.note_end(end);
            }
        }
    }

    fn note_end(&mut self, end: End) {
        if is_breach(&end) {
            self.report.refused = self.report.refused.saturating_add(1);
            self.report.last_refusal = match &end {
                // The gate's own words, which say where they come from.
                End::Refused(message) => escape(message),
                other => escape(&other.to_string()),
            };
            self.log_refusal();
            if self.breaches.note(self.started.elapsed()) {
                self.let_go();
            }
        } else {
            tracing::debug!(vm = %self.vm, end = escape(&end.to_string()), "a connection ended");
        }
        self.last_end = Some(end);
    }

    /// Ends all connections of the VM.
    fn let_go(&mut self) {
        let connections = self.connections.len();
        tracing::warn!(vm = %self.vm, connections, "the VM has broken too many rules: ending all its connections");
        for (number, served) in &mut self.connections {
            served.refuse(LET_GO);
            if !self.ready.contains(number) {
                self.ready.push(*number);
            }
        }
    }

    fn log_refusal(&mut self) {
        if let Some(skipped) = self.may_log() {
            tracing::warn!(vm = %self.vm, reason = self.report.last_refusal, skipped, "ended a connection");
        }
    }

    /// Whether the VM may cause another line in the log; if so, how many were left out before it.
    fn may_log(&mut self) -> Option<u64> {
        if !self.log_rate.take(1, self.started.elapsed()).is_zero() {
            self.log_skipped = self.log_skipped.saturating_add(1);
            return None;
        }
        Some(std::mem::take(&mut self.log_skipped))
    }

    fn take_orders(&mut self) {
        while let Some(control) = &self.control {
            let (connection, fds) = match control::receive_order(control) {
                Ok(Some((Order::Serve { connection }, fds))) => (connection, fds),
                Ok(Some((Order::Start { .. }, _))) => continue,
                Ok(None) => return,
                Err(error @ (ControlError::Message(_) | ControlError::Descriptors(_))) => {
                    tracing::error!(vm = %self.vm, %error, "an order of the supervisor is lost");
                    continue;
                }
                Err(ControlError::Socket(UnixError::TooManyFds)) => {
                    if let Some(skipped) = self.may_log() {
                        tracing::warn!(vm = %self.vm, skipped, "no descriptors left for another connection");
                    }
                    continue;
                }
                Err(error) => {
                    tracing::info!(vm = %self.vm, reason = %error, "serving on without a supervisor");
                    self.control = None;
                    self.report_at = None;
                    return;
                }
            };
            let Ok([stream, compositor]) = <[OwnedFd; 2]>::try_from(fds) else { continue };
            if let Err(error) = self.serve(stream, compositor)
                && let Some(skipped) = self.may_log()
            {
                // Mostly, the VM has hung up meanwhile.
                tracing::warn!(vm = %self.vm, connection, %error, skipped, "cannot serve a connection");
            }
        }
    }

    /// Tells the supervisor what has changed: at once, but what has merely passed through a little later. If it is busy, the
    /// next event brings it up again, or the next time that something is due.
    fn send_report(&mut self) {
        self.report.connections = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        let Some(control) = &self.control else { return };
        let due = self.report_at.is_some_and(|at| at <= Instant::now());
        if !due && self.reported.as_ref() == Some(&self.report) {
            return;
        }
        self.report.traffic = self.traffic();
        let (at, requests) = self.rated;
        if due {
            let millis = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
            let more = self.report.traffic.requests.saturating_sub(requests);
            self.report.traffic.requests_per_second = more.saturating_mul(1000) / millis;
            self.rated = (Instant::now(), self.report.traffic.requests);
        }
        if self.reported.as_ref() == Some(&self.report) {
            self.report_at = None;
        } else if control::send_report(control, &self.report).is_ok() {
            self.reported = Some(self.report.clone());
            self.report_at = None;
        } else {
            self.report_at = Some(Instant::now() + REPORT_DELAY);
        }
    }

    /// How many descriptors the process has. The kernel gives out the lowest free number.
    fn held(&self) -> u64 {
        let lowest_free = rustix::io::dup(&self.epoll).map(|fd| fd.as_raw_fd().unsigned_abs());
        lowest_free.map_or(u64::MAX, u64::from)
    }

    /// What has passed through since the start.
    fn traffic(&self) -> Traffic {
        let mut traffic = self.past;
        for served in self.connections.values() {
            traffic.add(&served.traffic());
        }
        let requests_per_second = self.report.traffic.requests_per_second;
        Traffic {
            mirror_memory: self.mirrors.used(),
            requests_per_second,
            held_descriptors: self.held(),
            ..traffic
        }
    }
}

/// Waits for the order that a supervised worker begins with.
///
/// # Errors
/// The supervisor is gone, or says something else first.
pub fn await_start(control: OwnedFd) -> Result<WorkerOptions, WorkerError> {
    use rustix::event::{PollFd, PollFlags};
    loop {
        if let Some((order, fds)) = control::receive_order(&control)? {
            let Order::Start { vm, limits, policy, region_start } = order else {
                return Err(ControlError::Descriptors(fds.len()).into());
            };
            let region = fds.into_iter().next().map(|fd| Region::from_fd_at(fd, region_start)).transpose()?;
            return Ok(WorkerOptions {
                vm,
                limits,
                policy,
                region: region.map(Arc::new),
                control: Some(control),
            });
        }
        match rustix::event::poll(&mut [PollFd::new(&control, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(WorkerError::Wait(errno)),
        }
    }
}
