//! The supervisor: listens, decides, introduces, hands over.
//!
//! One thread, one epoll. A stream goes through three stages here, *hello*, *hand-over* and *taking*, for a bounded time;
//! the time is the timeout of the wait for events, so that nothing ticks while there is no such stream. After that the
//! supervisor holds no descriptor of it.

mod listening;
mod stream;
mod vm;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::SendFlags;
use virtio_wl::address::{AddressError, Connecting, Progress};
use virtio_wl::listener::AcceptError;
use virtio_wl::wire::{HELLO_LEN, Purpose};
use virtio_wl::{Accepted, Address};
use vitrail_protocols::VmName;

use self::listening::Sockets;
use self::stream::{Gate, HelloProgress, Stage, Stream};
use self::vm::{Reading, Vm};
use super::config::{HubConfig, VmConfig};
use super::control::VsockEnds;
use super::decision::{Refusal, log_allow, log_refuse, nonzero};
use super::listener::ListenerError;
use super::poller::Poller;
use super::region::{RegionFileError, SharedRegion};
use super::signals::{TerminationSignals, close_inherited_on_exec};
use crate::introduction::{INTRODUCTION_LEN, Introduction};
use crate::jail::Identity;
use crate::open_files;

/// How long a VM may take for the 32 bytes of its hello.
const HELLO_TIME: Duration = Duration::from_secs(5);
/// How long the gate (or a new relay) is waited for.
const HAND_OVER_TIME: Duration = Duration::from_secs(2);
/// Streams accepted from one VM before the others have their turn.
const ACCEPT_BURST: usize = 8;
/// How long a VM's socket is left alone after an accept that failed for want of something on our side.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Trim streams of one VM at a time: one, and a few that end while their successor begins.
const MAX_TRIMS: usize = 4;
/// The user that relays of root run as, unless another is configured.
const NOBODY: Identity = Identity { uid: 65534, gid: 65534 };

/// Why the supervisor cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// A descriptor that everything depends on cannot be made.
    #[error("Cannot prepare for events: {0}")]
    Prepare(#[source] io::Error),
    /// Another user for relays is configured, but only root can change users.
    #[error("relay_user is set, but the hub does not run as root")]
    RelayUser,
    /// The socket of a VM cannot be made.
    #[error("VM {vm}: {source}")]
    Listener {
        /// Which VM.
        vm: VmName,
        /// What is wrong.
        source: ListenerError,
    },
    /// The region of a VM cannot be used.
    #[error("VM {vm}: {source}")]
    Region {
        /// Which VM.
        vm: VmName,
        /// What is wrong.
        source: RegionFileError,
    },
    /// Two VMs have the same region under two names.
    #[error("VM {vm} and VM {other} have the same file as their region")]
    SharedRegion {
        /// One VM.
        vm: VmName,
        /// The other.
        other: VmName,
    },
    /// Waiting for events failed.
    #[error("Cannot wait for events: {0}")]
    Wait(#[source] Errno),
}

/// What an event is of. In a token, the kind is in the lowest bits and the index above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Signals,
    Listener(usize),
    RelayControl(usize),
    RelayEnd(usize),
    Stream(u64),
    /// The call to the gate for a stream.
    Gate(u64),
}

const KINDS: u64 = 8;

impl Source {
    fn token(self) -> u64 {
        let (kind, index) = match self {
            Self::Signals => (0, 0),
            Self::Listener(socket) => (1, socket as u64),
            Self::RelayControl(vm) => (2, vm as u64),
            Self::RelayEnd(vm) => (3, vm as u64),
            Self::Stream(serial) => (4, serial),
            Self::Gate(serial) => (5, serial),
        };
        index.wrapping_mul(KINDS) | kind
    }

    fn of_token(token: u64) -> Option<Self> {
        let index = token / KINDS;
        let vm = usize::try_from(index).ok()?;
        match token % KINDS {
            0 => Some(Self::Signals),
            1 => Some(Self::Listener(vm)),
            2 => Some(Self::RelayControl(vm)),
            3 => Some(Self::RelayEnd(vm)),
            4 => Some(Self::Stream(index)),
            5 => Some(Self::Gate(index)),
            _ => None,
        }
    }
}

/// What came of an attempt to hand a stream over.
enum Attempt {
    Done,
    /// An event will tell when to go on.
    Waiting,
    /// Worth another attempt, for the reason given.
    Again(Refusal),
    Never(Refusal),
}

/// The supervisor.
#[derive(Debug)]
pub struct Supervisor {
    poller: Poller,
    signals: TerminationSignals,
    gate: Address,
    sockets: Sockets,
    vms: Vec<Vm>,
    /// Streams that are not handed over yet, by serial number.
    streams: HashMap<u64, Stream>,
    last_serial: u64,
}

/// Opens or makes the region of each VM, in the order of the configuration.
fn open_regions(config: &HubConfig) -> Result<Vec<Option<SharedRegion>>, SupervisorError> {
    let mut owners = HashMap::new();
    let open = |(vm, VmConfig { region, .. }): (&VmName, &VmConfig)| {
        let Some(region) = region else { return Ok(None) };
        let error = |source| SupervisorError::Region { vm: vm.clone(), source };
        let region = SharedRegion::open(region).map_err(error)?;
        match owners.insert(region.identity().map_err(error)?, vm.clone()) {
            Some(other) => Err(SupervisorError::SharedRegion { vm: vm.clone(), other }),
            None => Ok(Some(region)),
        }
    };
    config.vms.iter().map(open).collect()
}

impl Supervisor {
    /// Makes regions and then sockets. From here on VMs can call, and are served once [`Supervisor::run`] is called.
    ///
    /// # Errors
    ///
    /// Something that the configuration asks for cannot be had. What was made before is removed again.
    pub fn new(config: HubConfig) -> Result<Self, SupervisorError> {
        let prepare = |error: Errno| SupervisorError::Prepare(error.into());
        close_inherited_on_exec().map_err(SupervisorError::Prepare)?;
        open_files::raise();
        let root = rustix::process::geteuid().is_root();
        if config.relay_user.is_some() && !root {
            return Err(SupervisorError::RelayUser);
        }
        let required = config.relay_user.is_some();
        let identity = config.relay_user.or(root.then_some(NOBODY));
        let poller = Poller::new().map_err(prepare)?;
        let signals = TerminationSignals::new().map_err(SupervisorError::Prepare)?;
        poller.add(&signals, Source::Signals.token(), EventFlags::IN).map_err(prepare)?;
        let mut vms = Vec::new();
        let mut sockets = Sockets::default();
        // Whoever waits for a socket may rely on all regions.
        let regions = open_regions(&config)?;
        for ((name, vm), region) in config.vms.iter().zip(regions) {
            let socket = sockets.add(name, vms.len(), vm)?;
            vms.push(Vm::new(name, vm, socket, region, identity, required));
        }
        for (index, socket) in sockets.iter().enumerate() {
            poller.add(&socket.listener, Source::Listener(index).token(), EventFlags::IN).map_err(prepare)?;
        }
        let streams = HashMap::new();
        Ok(Self { poller, signals, gate: config.gate, sockets, vms, streams, last_serial: 0 })
    }

    /// Serves until SIGTERM or SIGINT. The sockets are removed then; relays go on until their connections end.
    ///
    /// # Errors
    ///
    /// The kernel refuses to report events.
    pub fn run(mut self) -> Result<(), SupervisorError> {
        tracing::info!(vms = self.vms.len(), gate = %self.gate, "the hub is ready");
        let mut events = Vec::new();
        loop {
            let timeout = self.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
            self.poller.wait(timeout, &mut events).map_err(SupervisorError::Wait)?;
            for (token, _) in events.drain(..) {
                match Source::of_token(token) {
                    Some(Source::Signals) => {
                        if let Some(signal) = self.signals.take() {
                            tracing::info!(signal, "the hub was asked to end; live connections go on");
                            return Ok(());
                        }
                    }
                    Some(Source::Listener(socket)) => self.accept(socket),
                    Some(Source::RelayControl(vm)) => drop(self.relay_news(vm)),
                    Some(Source::RelayEnd(vm)) => self.relay_end(vm),
                    Some(Source::Stream(serial)) => self.hello_event(serial),
                    Some(Source::Gate(serial)) => self.attempt(serial),
                    None => {}
                }
            }
            self.run_timers();
        }
    }

    /// When something has to be done that no event tells. `None` when all is quiet.
    fn next_deadline(&self) -> Option<Instant> {
        let streams = self.streams.values().map(Stream::due);
        let pauses = self.sockets.iter().filter_map(|socket| socket.accept_again);
        streams.chain(pauses).min()
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        let due: Vec<u64> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.due() <= now)
            .map(|(&serial, _)| serial)
            .collect();
        for serial in due {
            match self.streams.get(&serial).map(|stream| &stream.stage) {
                Some(Stage::Hello { .. }) => self.refuse(serial, &Refusal::SlowHello),
                Some(Stage::HandOver { .. }) => self.attempt(serial),
                // The relay is very busy. It has the stream in its queue, and is not dead.
                Some(Stage::Taking { .. }) => self.settle(serial),
                None => {}
            }
        }
        let is_due = |accept_again: Option<Instant>| accept_again.is_some_and(|at| at <= now);
        let paused = self.sockets.iter().enumerate().filter(|(_, socket)| is_due(socket.accept_again));
        for index in paused.map(|(index, _)| index).collect::<Vec<_>>() {
            self.watch_listener(index);
        }
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPT_BURST {
            let owner_waits = self.owner_calls_too_often(index);
            if self.is_full(index) || owner_waits.is_some() {
                if let (Some(wait), Some(socket)) = (owner_waits, self.sockets.get_mut(index)) {
                    socket.accept_again = Some(Instant::now() + wait);
                }
                break;
            }
            let Some(socket) = self.sockets.get_mut(index) else { return };
            match socket.listener.accept() {
                Ok(accepted) => self.take(index, accepted),
                Err(AcceptError::WouldBlock) => break,
                Err(error) => {
                    if let Some(suppressed) = socket.quota.take(Instant::now()) {
                        let suppressed = nonzero(suppressed);
                        tracing::warn!(%error, suppressed, "cannot accept");
                    }
                    if let AcceptError::Accept(_) = error {
                        socket.accept_again = Some(Instant::now() + ACCEPT_PAUSE);
                        break;
                    }
                }
            }
        }
        self.watch_listener(index);
    }

    /// Takes a caller in, if it is a VM's and that VM may have one more stream that has not said what it wants.
    fn take(&mut self, index: usize, Accepted { stream, peer, .. }: Accepted) {
        let Some(socket) = self.sockets.get_mut(index) else { return };
        let caller = socket.caller(peer);
        let Some((caller, vm)) = caller.and_then(|caller| Some((caller, self.vms.get_mut(caller)?))) else {
            if let Some(suppressed) = socket.quota.take(Instant::now()) {
                tracing::warn!(%peer, suppressed = nonzero(suppressed), "a caller is no VM of the configuration");
            }
            return;
        };
        self.last_serial += 1;
        let serial = self.last_serial;
        // The only socket that is read while a VM is at one of its limits is one that others share.
        if vm.is_full() {
            return log_refuse(&mut vm.quota, &vm.name, serial, &Refusal::TooManyPending(vm.pending));
        }
        let now = Instant::now();
        if vm.calls_too_often(now).is_some() {
            return log_refuse(&mut vm.quota, &vm.name, serial, &Refusal::TooManyCalls);
        }
        vm.count_call(now);
        let watched = self.poller.add(&stream, Source::Stream(serial).token(), EventFlags::IN);
        vm.pending += 1;
        self.streams.insert(serial, Stream::new(caller, stream, now + HELLO_TIME));
        if let Err(error) = watched {
            self.refuse(serial, &Refusal::Internal(error.into()));
        }
    }

    /// Whether a socket has to be left alone, because its only VM has as many streams pending as it may.
    fn is_full(&self, index: usize) -> bool {
        let owner = self.sockets.get(index).and_then(listening::Listening::owner);
        owner.and_then(|vm| self.vms.get(vm)).is_some_and(Vm::is_full)
    }

    /// How long a socket has to be left alone, because its only VM has called as often as it may. Each call costs a process of
    /// its own in the GUI VM some work, and a line in the log perhaps.
    fn owner_calls_too_often(&self, index: usize) -> Option<Duration> {
        let owner = self.sockets.get(index).and_then(listening::Listening::owner)?;
        self.vms.get(owner)?.calls_too_often(Instant::now())
    }

    /// Watches a socket, or leaves it alone: further callers then wait in the kernel's queue.
    fn watch_listener(&mut self, index: usize) {
        let is_full = self.is_full(index);
        let Some(socket) = self.sockets.get_mut(index) else { return };
        socket.accept_again = socket.accept_again.filter(|&at| at > Instant::now());
        let watch = !is_full && socket.accept_again.is_none();
        if socket.watched == watch {
            return;
        }
        let flags = if watch { EventFlags::IN } else { EventFlags::empty() };
        match self.poller.modify(&socket.listener, Source::Listener(index).token(), flags) {
            Ok(()) => socket.watched = watch,
            Err(error) => tracing::error!(%error, "the socket of a VM cannot be watched"),
        }
    }

    fn hello_event(&mut self, serial: u64) {
        // Without the stream this is an event of the same batch as the one that settled it.
        let Some(stream) = self.streams.get_mut(&serial) else { return };
        match stream.read_hello() {
            Ok(HelloProgress::Incomplete) => {}
            Ok(HelloProgress::Complete) => {
                // What follows the hello is not for us.
                if let Err(error) = self.poller.delete(&stream.socket) {
                    return self.refuse(serial, &Refusal::Internal(error.into()));
                }
                match stream.begin_hand_over(Instant::now() + HAND_OVER_TIME) {
                    Ok(()) => self.attempt(serial),
                    Err(error) => self.refuse(serial, &error.into()),
                }
            }
            Err(refusal) => self.refuse(serial, &refusal),
        }
    }

    /// Ends a stream that is not handed over yet. The VM sees nothing but its end, whatever the reason.
    fn refuse(&mut self, serial: u64, refusal: &Refusal) {
        if let Some(index) = self.forget(serial)
            && let Some(vm) = self.vms.get_mut(index)
        {
            log_refuse(&mut vm.quota, &vm.name, serial, refusal);
        }
    }

    /// Leaves a stream to its relay.
    fn settle(&mut self, serial: u64) {
        if let Some(purpose) = self.streams.get(&serial).and_then(Stream::purpose)
            && let Some(index) = self.forget(serial)
            && let Some(vm) = self.vms.get_mut(index)
        {
            log_allow(&mut vm.quota, &vm.name, serial, purpose);
        }
    }

    /// Drops what the supervisor holds of a stream; gives the index of its VM.
    fn forget(&mut self, serial: u64) -> Option<usize> {
        let index = self.streams.remove(&serial)?.vm;
        if let Some(vm) = self.vms.get_mut(index) {
            vm.pending = vm.pending.saturating_sub(1);
            let socket = vm.socket;
            self.watch_listener(socket);
        }
        Some(index)
    }

    fn attempt(&mut self, serial: u64) {
        let now = Instant::now();
        let Some(purpose) = self.streams.get(&serial).and_then(Stream::purpose) else { return };
        match self.try_hand_over(serial, purpose, now) {
            Attempt::Done => {
                if let Some(stream) = self.streams.get_mut(&serial) {
                    stream.begin_taking();
                }
            }
            Attempt::Waiting => {
                if !self.streams.get_mut(&serial).is_some_and(|stream| stream.wait(now)) {
                    self.refuse(serial, &AddressError::Timeout(self.gate.clone()).into());
                }
            }
            Attempt::Again(refusal) => {
                if !self.streams.get_mut(&serial).is_some_and(|stream| stream.try_later(now)) {
                    self.refuse(serial, &refusal);
                }
            }
            Attempt::Never(refusal) => self.refuse(serial, &refusal),
        }
    }

    fn try_hand_over(&mut self, serial: u64, purpose: Purpose, now: Instant) -> Attempt {
        let Some(stream) = self.streams.get_mut(&serial) else {
            return Attempt::Never(Refusal::ClosedEarly);
        };
        let index = stream.vm;
        let Some(vm) = self.vms.get_mut(index) else {
            return Attempt::Never(Refusal::ClosedEarly);
        };
        if let Err(refusal) = vm.admit(purpose) {
            return Attempt::Never(refusal);
        }
        if vm.relay.is_none() {
            match vm.start_relay(now) {
                Ok(true) => {}
                Ok(false) => {
                    return Attempt::Again(Refusal::RelayUnavailable(io::ErrorKind::WouldBlock.into()));
                }
                Err(error) => return Attempt::Again(Refusal::RelayUnavailable(error)),
            }
            if let Err(error) = watch_relay(&self.poller, index, vm) {
                vm.give_up_relay();
                return Attempt::Never(Refusal::Internal(error.into()));
            }
        }
        if purpose == Purpose::Wayland
            && let Err(attempt) = reach_gate(&self.poller, &self.gate, vm, serial, stream)
        {
            return attempt;
        }
        let gate = match &stream.gate {
            Gate::Introduced(gate) => Some(gate),
            Gate::Unknown | Gate::Calling(_) => None,
        };
        let fds: Vec<_> = std::iter::once(&stream.socket).chain(gate).map(AsFd::as_fd).collect();
        let vsock = VsockEnds { vm: vm.is_vsock, gate: self.gate.is_vsock() };
        match vm.relay.as_mut().map(|relay| relay.hand_over(serial, purpose, vsock, &fds)) {
            Some(Ok(())) => Attempt::Done,
            Some(Err(error)) => Attempt::Again(Refusal::RelayUnavailable(error.into())),
            None => Attempt::Again(Refusal::RelayUnavailable(io::ErrorKind::NotFound.into())),
        }
    }

    fn relay_news(&mut self, index: usize) -> Reading {
        let Some(vm) = self.vms.get_mut(index) else { return Reading::Dry };
        let mut started = Vec::new();
        let reading = vm.read_relay(&mut started);
        if reading == Reading::Broken
            && let Some(relay) = &vm.relay
        {
            // Its end is reported by the pidfd; until then its socket would go on being readable.
            let _ = self.poller.delete(relay.control());
        }
        for serial in started {
            self.settle(serial);
        }
        reading
    }

    fn relay_end(&mut self, index: usize) {
        // What it said before it ended counts. A process that has ended says nothing more, so this comes to an end.
        while self.relay_news(index) == Reading::More {}
        let is_waiting = |stream: &&Stream| {
            stream.vm == index && matches!(stream.stage, Stage::Taking { purpose: Purpose::Wayland })
        };
        let not_taken = self.streams.values().filter(is_waiting).count();
        if self.vms.get_mut(index).is_some_and(|vm| vm.reap_relay(not_taken)) {
            let now = Instant::now();
            self.streams
                .values_mut()
                .filter(|stream| stream.vm == index)
                .for_each(|stream| stream.hand_over_again(now));
        }
    }
}

fn watch_relay(poller: &Poller, index: usize, vm: &Vm) -> Result<(), Errno> {
    let Some(relay) = &vm.relay else { return Ok(()) };
    poller.add(relay.control(), Source::RelayControl(index).token(), EventFlags::IN)?;
    poller.add(relay.pidfd(), Source::RelayEnd(index).token(), EventFlags::IN)
}

/// Calls the gate, as far as that goes without waiting, and tells it who is calling. Until that has come to its end, the
/// poller reports when to go on.
fn reach_gate(
    poller: &Poller,
    gate: &Address,
    vm: &Vm,
    serial: u64,
    stream: &mut Stream,
) -> Result<(), Attempt> {
    let unreachable = |error: AddressError| {
        // It is being started, or restarted, or has too many callers.
        let again = error.is_transient();
        let refusal = Refusal::GateUnreachable(error);
        if again { Attempt::Again(refusal) } else { Attempt::Never(refusal) }
    };
    let internal = |error: Errno| Attempt::Never(Refusal::Internal(error.into()));
    let spoilt = |error: RegionFileError| Attempt::Never(error.into());
    let calling = match std::mem::take(&mut stream.gate) {
        introduced @ Gate::Introduced(_) => {
            stream.gate = introduced;
            return Ok(());
        }
        Gate::Unknown => {
            // A VM whose region is spoilt is not worth a call.
            vm.region.as_ref().map(|region| region.prove()).transpose().map_err(spoilt)?;
            Connecting::start(gate).map_err(unreachable)?
        }
        Gate::Calling(calling) => {
            // It may be handed over next, and events of what others hold would go on.
            poller.delete(&calling).map_err(internal)?;
            calling
        }
    };
    match calling.advance().map_err(unreachable)? {
        Progress::Connected(socket) => {
            introduce(vm, serial, stream.hello(), socket.as_fd())?;
            stream.gate = Gate::Introduced(socket);
            Ok(())
        }
        Progress::Pending(calling) => {
            let flags = if calling.wants() == PollFlags::IN { EventFlags::IN } else { EventFlags::OUT };
            poller.add(&calling, Source::Gate(serial).token(), flags).map_err(internal)?;
            stream.gate = Gate::Calling(calling);
            Err(Attempt::Waiting)
        }
    }
}

/// Tells the gate who is calling. The hello of the VM follows, as it came.
fn introduce(vm: &Vm, serial: u64, hello: [u8; HELLO_LEN], gate: BorrowedFd<'_>) -> Result<(), Attempt> {
    // Only now, as the gate looks for it when it reads this.
    let region = vm.region.as_ref().map(|region| region.prove().cloned()).transpose();
    let region = region.map_err(|error| Attempt::Never(error.into()))?;
    let introduction = Introduction { vm: vm.name.clone(), region, connection: serial }
        .encode()
        .map_err(|error| Attempt::Never(Refusal::Internal(io::Error::other(error))))?;
    let mut message = [0; INTRODUCTION_LEN + HELLO_LEN];
    let (first, second) = message.split_at_mut(INTRODUCTION_LEN);
    first.copy_from_slice(&introduction);
    second.copy_from_slice(&hello);
    // A new stream has room for this message, or is of no use.
    match rustix::net::send(gate, &message, SendFlags::NOSIGNAL) {
        Ok(sent) if sent == message.len() => Ok(()),
        Ok(_) => Err(Attempt::Never(Refusal::GateBusy(Errno::NOBUFS))),
        Err(error) => {
            let again = matches!(error, Errno::WOULDBLOCK | Errno::PIPE | Errno::CONNRESET);
            let refusal = Refusal::GateBusy(error);
            Err(if again { Attempt::Again(refusal) } else { Attempt::Never(refusal) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_what_they_were_made_for() {
        for source in [
            Source::Signals,
            Source::Listener(3),
            Source::RelayControl(0),
            Source::RelayEnd(700),
            Source::Stream(1 << 40),
            Source::Gate(1),
        ] {
            assert_eq!(Source::of_token(source.token()), Some(source));
        }
        assert_eq!(Source::of_token(7), None);
    }
}
