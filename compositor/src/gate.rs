//! The gate's process: started with the compositor, started again when it dies, and ended with it.
//!
//! The gate is handed one end of a socket pair whose other end the compositor inserted itself as the client
//! that may create security contexts; that is how it is known. Over a second pair it reports what its workers
//! do. When the gate's supervisor dies, its workers and their connections live on, so it is started again at
//! once; only if it dies young, later and later.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{Interest, Mode, PostAction, RegistrationToken};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use vitrail_protocols::report::MAX_REPORT_LINE;
use vitrail_protocols::{VmName, WorkerReport};

use crate::state::{AcceptError, State};
use crate::trust::client::Privilege;
use crate::trust::origin::Origin;

/// A gate that lived shorter than this died young.
const YOUNG: Duration = Duration::from_secs(1);
/// The pause before a gate that died young is started again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Why the gate could not be started.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The configuration names no program.
    #[error("The gate's command is empty")]
    Command,
    /// A socket pair could not be made.
    #[error("Error making the gate's sockets")]
    Sockets(#[source] io::Error),
    /// Its connection was not let in.
    #[error("Error letting the gate's connection in")]
    Accept(#[source] AcceptError),
    /// The program could not be started.
    #[error("Error starting {program:?}")]
    Start {
        /// The program's name.
        program: OsString,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its end or its reports could not be watched.
    #[error("Error watching the gate")]
    Watch(#[source] io::Error),
}

/// How the gate is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateOptions {
    /// Program and leading arguments.
    pub command: Vec<String>,
    /// The configuration file, which the gate reads as well.
    pub config: PathBuf,
}

/// The gate's process, and what it reported.
#[derive(Debug)]
pub struct Gate {
    options: GateOptions,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
    /// The sources of the running process.
    sources: Vec<RegistrationToken>,
    /// The newest report of each VM's worker. Bounded by the configured VMs.
    reports: BTreeMap<VmName, WorkerReport>,
    /// The beginning of a report's line.
    partial: Vec<u8>,
}

impl Gate {
    /// The newest reports of all workers that are alive.
    #[must_use]
    pub fn reports(&self) -> &BTreeMap<VmName, WorkerReport> {
        &self.reports
    }

    /// The gate's process id; `None` while it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Asks the gate to read the configuration again, for new workers. One that is only just starting may end of it: it
    /// is started again, and reads the file then.
    pub fn reload(&self) {
        let Some(child) = &self.child else { return };
        if let Err(error) = rustix::process::kill_process(Pid::from_child(child), Signal::HUP) {
            tracing::debug!("error telling the gate of a new configuration: {error}");
        }
    }

    /// Asks the gate to end, and waits for it: a moment at most.
    pub fn stop(mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = Pid::from_child(&child);
        if let Err(error) = rustix::process::kill_process(pid, Signal::TERM) {
            tracing::debug!("error ending the gate: {error}");
        }
        if !wait(pid, Duration::from_secs(1)) {
            tracing::warn!("the gate does not end, so it is killed");
            // Fails only if it has ended after all.
            let _ = child.kill();
        }
        // Without this the process would stay as a zombie; it has ended, so this does not block.
        let _ = child.wait();
    }
}

/// Waits until a process has ended; false if it has not in time.
fn wait(pid: Pid, time: Duration) -> bool {
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let mut polled = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    let timeout = rustix::event::Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(1), tv_nsec: 0 };
    rustix::event::poll(&mut polled, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

impl State {
    /// Starts the gate, and starts it again whenever it ends.
    ///
    /// # Errors
    ///
    /// If it cannot be started the first time.
    pub fn start_gate(&mut self, options: GateOptions) -> Result<(), GateError> {
        self.comp.gate = Some(Gate {
            options,
            child: None,
            started: Instant::now(),
            pause: FIRST_PAUSE,
            sources: Vec::new(),
            reports: BTreeMap::new(),
            partial: Vec::new(),
        });
        self.launch_gate()
    }

    fn launch_gate(&mut self) -> Result<(), GateError> {
        let Some(gate) = &self.comp.gate else { return Ok(()) };
        let options = gate.options.clone();
        let (ours, theirs) = UnixStream::pair().map_err(GateError::Sockets)?;
        let (reports, reporting) = UnixStream::pair().map_err(GateError::Sockets)?;
        reports.set_nonblocking(true).map_err(GateError::Sockets)?;
        let child = spawn(&options, &theirs, &reporting)?;
        let pid = Pid::from_child(&child);
        tracing::info!(pid = child.id(), "gate started");
        if let Some(gate) = &mut self.comp.gate {
            gate.child = Some(child);
            gate.started = Instant::now();
            gate.partial.clear();
        }
        self.accept(ours, Origin::Local, Privilege::Gate).map_err(GateError::Accept)?;
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(|error| GateError::Watch(error.into()))?;
        let events = &self.comp.events;
        let ended = Generic::new(pidfd, Interest::READ, Mode::Level);
        let ended = events.insert_source(ended, |_, _, state| {
            state.gate_ended();
            Ok(PostAction::Remove)
        });
        let reports = Generic::new(reports, Interest::READ, Mode::Level);
        let reports = events.insert_source(reports, |_, stream, state| Ok(state.read_reports(&**stream)));
        let watch = |error: calloop::Error| GateError::Watch(io::Error::other(error));
        let tokens =
            [ended.map_err(|error| watch(error.error))?, reports.map_err(|error| watch(error.error))?];
        if let Some(gate) = &mut self.comp.gate {
            gate.sources = tokens.to_vec();
        }
        Ok(())
    }

    /// The gate has ended: it is started again, at once unless it died young.
    fn gate_ended(&mut self) {
        let Some(gate) = &mut self.comp.gate else { return };
        // The child has ended, so this does not block.
        let status = gate.child.take().and_then(|mut child| child.wait().ok());
        for source in std::mem::take(&mut gate.sources).into_iter().skip(1) {
            self.comp.events.remove(source);
        }
        gate.reports.clear();
        let young = gate.started.elapsed() < YOUNG;
        let pause = if young { gate.pause } else { Duration::ZERO };
        gate.pause = if young { (gate.pause * 2).min(LAST_PAUSE) } else { FIRST_PAUSE };
        let status = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        tracing::warn!(%status, "the gate has ended; it is started again in {} ms", pause.as_millis());
        self.launch_gate_after(pause);
    }

    fn launch_gate_after(&mut self, pause: Duration) {
        let timer = Timer::from_duration(pause);
        let inserted = self.comp.events.insert_source(timer, |_, (), state| {
            if let Err(error) = state.launch_gate() {
                tracing::error!("error starting the gate again: {error}");
                // A process that was started but cannot be watched must not stay beside its successor.
                if let Some(mut child) = state.comp.gate.as_mut().and_then(|gate| gate.child.take()) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
                state.launch_gate_after(LAST_PAUSE);
            }
            TimeoutAction::Drop
        });
        if let Err(error) = inserted {
            tracing::error!("error arming the gate's timer: {error}");
        }
    }

    /// Reads what the gate reports of its workers: JSON, one report a line.
    fn read_reports(&mut self, mut stream: impl Read) -> PostAction {
        let Some(gate) = &mut self.comp.gate else { return PostAction::Remove };
        let mut chunk = [0; 4096];
        let count = match stream.read(&mut chunk) {
            Ok(0) => return PostAction::Remove,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return PostAction::Continue;
            }
            Err(_) => return PostAction::Remove,
        };
        let config = self.comp.config.current();
        for byte in chunk.iter().take(count) {
            if *byte != b'\n' {
                gate.partial.push(*byte);
                if gate.partial.len() > MAX_REPORT_LINE {
                    tracing::error!("the gate's report is too long; no more are read");
                    return PostAction::Remove;
                }
                continue;
            }
            match serde_json::from_slice::<WorkerReport>(&std::mem::take(&mut gate.partial)) {
                Ok(report) if !report.alive => {
                    gate.reports.remove(&report.vm);
                }
                Ok(report) if config.vms.contains_key(&report.vm) => {
                    gate.reports.insert(report.vm.clone(), report);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!("a report of the gate cannot be read: {error}"),
            }
        }
        PostAction::Continue
    }
}

/// Starts the gate's process with exactly two descriptors beside the standard ones.
fn spawn(options: &GateOptions, compositor: &UnixStream, status: &UnixStream) -> Result<Child, GateError> {
    let (program, arguments) = options.command.split_first().ok_or(GateError::Command)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg("--config")
        .arg(&options.config)
        .arg("--compositor")
        .arg(format!("fd:{}", compositor.as_raw_fd()))
        .arg("--status")
        .arg(format!("fd:{}", status.as_raw_fd()))
        .stdin(Stdio::null());
    let passed = [compositor.as_raw_fd(), status.as_raw_fd()];
    // SAFETY: between fork and exec the closure only makes system calls, which is all that is allowed there.
    // It captures two numbers, of descriptors that the caller keeps open until after the fork.
    unsafe {
        command.pre_exec(move || inherit_only(passed));
    }
    let child = command.spawn();
    child.map_err(|source| GateError::Start { program: program.into(), source })
}

/// In the child: lets these descriptors pass through exec and no other beside the standard ones, and ends the
/// child if the compositor dies without ending it.
fn inherit_only(passed: [RawFd; 2]) -> io::Result<()> {
    let checked = |result| if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: the call takes numbers alone.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) })?;
    let close_on_exec = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: the call takes numbers alone, and with this flag it closes nothing here.
    checked(unsafe { libc::close_range(3, libc::c_uint::MAX, close_on_exec) })?;
    for fd in passed {
        // SAFETY: the call takes numbers alone. One that is no open descriptor is an error.
        checked(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })?;
    }
    Ok(())
}
