//! The supervisor: believes the hub, names VMs to the compositor, starts workers. It parses no byte of a VM.
//!
//! It is one thread that waits for events. Whatever happens to it, the connections that were handed to workers
//! go on; and whatever happens to a worker, the others and the supervisor go on. Only the loss of its connection to
//! the compositor ends it, since nothing can be named any more.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use virtio_wl::address::{AddressError, VsockCid};
use virtio_wl::{Address, Listener};
use vitrail_protocols::VmName;

use super::config::{Config, ConfigError};
use super::context::{ContextError, Contexts};
use super::fleet::{Delivery, Fleet, FleetError};
use super::introductions::{Introductions, IntroductionsError, PendingId};
use super::regions::{self, RegionSearchError};
use super::report::StatusLines;
use super::signals::{Signal, Signals};
use crate::introduction::Introduction;
use crate::logging::{Quota, nonzero};

/// How long no connection is accepted when the process has run out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How a supervisor is started.
#[derive(Debug)]
pub struct SupervisorOptions {
    /// `vitrail.toml`.
    pub config: PathBuf,
    /// The inherited connection to the compositor; without it, the one the environment names.
    pub compositor: Option<OwnedFd>,
    /// Where reports go.
    pub status: Option<OwnedFd>,
    /// This program's own file, for the workers.
    pub program: PathBuf,
}

/// Why the supervisor ended.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The hub's address is wrong or in use.
    #[error(transparent)]
    Listen(#[from] AddressError),
    /// The hub's address would let others be the hub.
    #[error(
        "`{0}` would let others call as the hub: [gate].listen is unix:PATH, or vsock:CID:PORT with the CID of the hub's \
         machine (2 is the host)"
    )]
    NotTheHubs(Address),
    /// There is no compositor, or not any more.
    #[error(transparent)]
    Compositor(#[from] ContextError),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] std::io::Error),
    /// Waiting failed.
    #[error("cannot wait for events: {0}")]
    Wait(#[source] Errno),
}

/// Why an introduced stream is refused.
#[derive(Debug, thiserror::Error)]
enum AdmitError {
    #[error("the configuration does not know this VM")]
    Unknown,
    #[error(transparent)]
    Region(#[from] RegionSearchError),
    #[error(transparent)]
    Identity(#[from] ContextError),
    #[error(transparent)]
    Worker(#[from] FleetError),
}

/// What is waited for.
#[derive(Debug)]
enum Source {
    Signals,
    Compositor,
    Listener,
    Pending(PendingId),
    Reports(VmName),
    End(i32),
    Status,
}

struct Supervisor {
    config_path: PathBuf,
    config: Config,
    signals: Signals,
    contexts: Contexts,
    introductions: Introductions,
    fleet: Fleet,
    status: StatusLines,
    /// Log lines that each VM may still cause. The hub names no VM that is not in its configuration.
    quotas: BTreeMap<VmName, Quota>,
    /// Until when nothing is accepted.
    paused_until: Option<Instant>,
}

/// Runs until SIGTERM.
///
/// # Errors
/// It cannot start, or the compositor is gone.
pub fn run(options: SupervisorOptions) -> Result<(), SupervisorError> {
    // First, so that who changes the file after it was read can say so.
    let signals = Signals::block().map_err(SupervisorError::Signals)?;
    let config = Config::read(&options.config)?;
    let contexts = Contexts::connect(options.compositor)?;
    let listener = listen(&config.listen)?;
    let hub_uid = config.hub_uid.unwrap_or_else(|| rustix::process::getuid().as_raw());
    tracing::info!(address = config.listen, hub_uid, "waiting for the hub");
    let supervisor = Supervisor {
        config_path: options.config,
        config,
        signals,
        contexts,
        introductions: Introductions::new(listener, hub_uid),
        fleet: Fleet::new(options.program),
        status: StatusLines::new(options.status),
        quotas: BTreeMap::new(),
        paused_until: None,
    };
    supervisor.run()
}

/// Listens where only the hub can call, or where the kernel says who is calling.
fn listen(address: &str) -> Result<Listener, SupervisorError> {
    let address: Address = address.parse()?;
    match address {
        Address::Unix(_) | Address::Fd(_) | Address::Vsock { cid: VsockCid::Is(_), .. } => {
            Ok(address.listen()?)
        }
        // Behind a VMM's socket, anything in that VM could call.
        Address::Vsock { .. } | Address::VsockUds { .. } | Address::Wl0 { .. } => {
            Err(SupervisorError::NotTheHubs(address))
        }
    }
}

impl Supervisor {
    fn run(mut self) -> Result<(), SupervisorError> {
        loop {
            for source in self.wait()? {
                match source {
                    Source::Signals => {
                        while let Some(signal) = self.signals.next() {
                            match signal {
                                Signal::End => return Ok(()),
                                Signal::Reload => self.reload(),
                            }
                        }
                    }
                    Source::Compositor => self.contexts.dispatch()?,
                    Source::Listener => self.accept(),
                    Source::Pending(id) => self.introduce(id),
                    Source::Reports(vm) => {
                        if let Some(report) = self.fleet.read_reports(&vm) {
                            self.status.push(report);
                        }
                    }
                    Source::End(pid) => {
                        if let Some(report) = self.fleet.reap(pid) {
                            self.status.push(report);
                        }
                    }
                    Source::Status => self.status.flush(),
                }
            }
            let late = self.introductions.expire(Instant::now());
            if late > 0 {
                tracing::warn!(late, error = %IntroductionsError::Late, "refused");
            }
        }
    }

    /// Waits for something to happen and says what; without pending introductions, for as long as it takes.
    fn wait(&mut self) -> Result<Vec<Source>, SupervisorError> {
        let now = Instant::now();
        self.paused_until = self.paused_until.filter(|until| *until > now);
        let deadline = self.introductions.next_deadline().into_iter().chain(self.paused_until).min();
        let timeout = deadline.map(|at| at.saturating_duration_since(now));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let (mut sources, mut fds) = self.sources().into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(SupervisorError::Wait(errno)),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        sources.retain(|_| ready.next().unwrap_or(false));
        Ok(sources)
    }

    fn sources(&self) -> Vec<(Source, PollFd<'_>)> {
        fn readable(source: Source, fd: BorrowedFd<'_>) -> (Source, PollFd<'_>) {
            (source, PollFd::from_borrowed_fd(fd, PollFlags::IN))
        }
        let mut sources = vec![
            readable(Source::Signals, self.signals.as_fd()),
            readable(Source::Compositor, self.contexts.as_fd()),
        ];
        let listener = self.introductions.listener().filter(|_| self.paused_until.is_none());
        sources.extend(listener.map(|fd| readable(Source::Listener, fd)));
        sources.extend(self.introductions.streams().map(|(id, fd)| readable(Source::Pending(id), fd)));
        sources.extend(self.fleet.controls().map(|(vm, fd)| readable(Source::Reports(vm.clone()), fd)));
        sources.extend(self.fleet.ends().map(|(pid, fd)| readable(Source::End(pid), fd)));
        sources.extend(
            self.status.blocked_on().map(|fd| (Source::Status, PollFd::from_borrowed_fd(fd, PollFlags::OUT))),
        );
        sources
    }

    fn accept(&mut self) {
        match self.introductions.accept() {
            Ok(()) => {}
            Err(IntroductionsError::Accept(errno)) => {
                // Out of descriptors, most likely. The connection stays in the queue, so asking again at once
                // would be a busy loop.
                tracing::error!(%errno, "cannot accept a connection");
                self.paused_until = Some(Instant::now() + ACCEPT_PAUSE);
            }
            Err(error) => tracing::warn!(%error, "refused"),
        }
    }

    fn introduce(&mut self, id: PendingId) {
        match self.introductions.read(id) {
            Ok(None) => {}
            Ok(Some((introduction, stream))) => self.admit(&introduction, stream),
            Err(error) => tracing::warn!(%error, "refused"),
        }
    }

    /// Decides about an introduced stream, and says so in one line, unless the VM calls very often.
    fn admit(&mut self, introduction: &Introduction, stream: OwnedFd) {
        let Introduction { vm, connection, .. } = introduction;
        let result = self.deliver(introduction, stream);
        let now = Instant::now();
        let quota = self.quotas.entry(vm.clone()).or_insert_with(|| Quota::new(now));
        let Some(suppressed) = quota.take(now).map(nonzero) else { return };
        match result {
            Ok(()) => tracing::info!(%vm, connection, suppressed, "accepted"),
            Err(error) => tracing::warn!(%vm, connection, %error, suppressed, "refused"),
        }
    }

    fn deliver(&mut self, introduction: &Introduction, stream: OwnedFd) -> Result<(), AdmitError> {
        let vm = &introduction.vm;
        let terms = self.config.terms(vm).ok_or(AdmitError::Unknown)?.clone();
        let region = match &introduction.region {
            Some(proof) => Some(regions::find(&self.config.regions, proof)?),
            None => None,
        };
        let compositor = self.contexts.stream(vm)?;
        let connection = introduction.connection;
        let delivery = Delivery { vm: vm.clone(), terms, region, stream, compositor, connection };
        Ok(self.fleet.serve(&delivery)?)
    }

    fn reload(&mut self) {
        match Config::read(&self.config_path) {
            Ok(config) => {
                if config.listen != self.config.listen {
                    tracing::warn!("a new listening address needs a restart");
                }
                self.config = config;
                tracing::info!(
                    "the configuration was read again; running workers go on with what they were started with"
                );
            }
            Err(error) => tracing::error!(%error, "the configuration stays as it was"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_listens_only_where_the_hub_alone_can_call() {
        let dir = tempfile::tempdir().unwrap();
        listen(&format!("unix:{}/s", dir.path().display())).unwrap();
        for address in ["vsock:any:5000", "vsock-uds:/run/vm:5000", "wl0"] {
            let error = listen(address).unwrap_err().to_string();
            assert!(error.contains(address) && error.contains("vsock:CID:PORT"), "{error}");
        }
    }
}
