//! The relay: one process per VM that moves the bytes of its connections and looks at none of them.
//!
//! It has no right but to read and write the descriptors that it is handed (see [`jail`](crate::jail)), and one
//! thread that waits for all of them. Everything is non-blocking and edge-triggered: what a socket could last not
//! do is remembered, and it is tried again only when the kernel says that this has changed. So a connection on which
//! nothing happens causes no wake-up, in whatever half-closed state it is, and one whose reader has stopped costs at
//! most one wake-up for what its writer puts into the socket's own buffer.
//!
//! Fairness: connections that have something to do wait in a queue, and each is served with a bounded number of
//! bytes before it goes to the end.
//!
//! The memory behind the VM's region is given back when its last connection has ended: whatever was in it belonged to one.
//!
//! The relay outlives the supervisor: when the control socket ends, it serves what it has, and then ends itself.

mod flow;
mod link;
mod memory;
mod trim;

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::SocketType;
use virtio_wl::address::{AddressError, take_inherited};
use vitrail_protocols::VmName;

use self::link::Link;
use self::memory::SharedMemory;
use self::trim::TrimStream;
use super::control::{self, FromRelay, ToRelay};
use super::decision::{Quota, nonzero};
use super::poller::Poller;
use crate::jail::{Jail, JailError, Role};

/// Descriptors of a connection: two sockets and two pipes.
const FDS_PER_CONNECTION: u64 = 6;
/// Descriptors besides those of connections: standard streams, control, epoll, region, and some in flight.
const OTHER_FDS: u64 = 32;
/// Address space of the program itself, in bytes.
const BASE_MEMORY: u64 = 256 << 20;
/// Address space that a connection may need at most, in bytes: two buffers, where splice does not work.
const MEMORY_PER_CONNECTION: u64 = 256 << 10;
/// Messages of the supervisor taken at a time.
const CONTROL_BURST: usize = 16;

const CONTROL_TOKEN: u64 = 0;

/// Why a relay ends other than by having nothing left to do.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Standard input is not there.
    #[error("No control socket: {0}")]
    Control(#[from] AddressError),
    /// Standard input is no control socket.
    #[error("Standard input is not a control socket: relays are started by the hub alone")]
    NotStartedByHub,
    /// The supervisor's first message cannot be read.
    #[error("Cannot read the supervisor's setup: {0}")]
    Setup(#[source] Errno),
    /// The supervisor said something that is not understood.
    #[error("The supervisor sent a message that is not understood")]
    Message,
    /// The process cannot be jailed.
    #[error(transparent)]
    Jail(#[from] JailError),
    /// Waiting for events failed.
    #[error("Cannot wait for events: {0}")]
    Wait(#[source] Errno),
}

/// What a stream that the relay serves is for.
#[derive(Debug)]
enum Service {
    Link(Link),
    Trim(TrimStream),
}

/// A stream that the relay serves.
#[derive(Debug)]
struct Served {
    service: Service,
    /// It is in the queue.
    queued: bool,
}

/// What is to be done with a service after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It waits for the kernel.
    Idle,
    /// Its share of this turn is used up.
    More,
    /// It is finished.
    Ended,
}

/// The state of the process.
#[derive(Debug)]
struct Relay {
    vm: VmName,
    /// Log lines that the VM may still cause.
    quota: Quota,
    poller: Poller,
    /// `None` once the supervisor is gone.
    control: Option<OwnedFd>,
    region: Option<SharedMemory>,
    services: HashMap<u64, Served>,
    /// Services with something to do, each at most once.
    queue: VecDeque<u64>,
    /// Messages that the control socket had no room for; at most two for each service that there was.
    outbox: VecDeque<[u64; 4]>,
}

/// Runs the relay of `vm` on the control socket that is standard input.
///
/// # Errors
///
/// The process was not started by the hub, or cannot be jailed, or the kernel refuses to report events.
pub fn run(vm: &VmName) -> Result<(), RelayError> {
    // The executable may have been started through /proc/self/exe, which would be its name in process lists.
    let _ = rustix::thread::set_name(c"vitrail-relay");
    let control = take_inherited(0)?;
    if rustix::net::sockopt::socket_type(&control) != Ok(SocketType::SEQPACKET) {
        return Err(RelayError::NotStartedByHub);
    }
    let Some((words, fds)) = control::receive(&control).map_err(RelayError::Setup)? else {
        return Ok(());
    };
    let Some(ToRelay::Setup { identity, identity_required, region, max_connections }) =
        ToRelay::decode(words)
    else {
        return Err(RelayError::Message);
    };
    let file = fds.into_iter().next().filter(|_| !region.is_empty());
    let region = file.map(|file| SharedMemory::new(file, region));
    rustix::io::ioctl_fionbio(&control, true).map_err(RelayError::Setup)?;
    let poller = Poller::new().map_err(RelayError::Wait)?;
    poller.add(&control, CONTROL_TOKEN, EventFlags::IN).map_err(RelayError::Wait)?;

    let connections = u64::from(max_connections);
    let mut jail = Jail::new(Role::Relay)
        .open_files(connections.saturating_mul(FDS_PER_CONNECTION).saturating_add(OTHER_FDS))
        .address_space(connections.saturating_mul(MEMORY_PER_CONNECTION).saturating_add(BASE_MEMORY));
    if let Some(identity) = identity {
        jail = jail.identity(identity);
    }
    let report = match jail.clone().enter() {
        Err(error @ JailError::Identity { .. }) if !identity_required => {
            tracing::warn!(%vm, %error, "the relay keeps the hub's user");
            jail.keep_identity().enter()?
        }
        result => result?,
    };
    let mut relay = Relay {
        vm: vm.clone(),
        quota: Quota::new(Instant::now()),
        poller,
        control: Some(control),
        region,
        services: HashMap::new(),
        queue: VecDeque::new(),
        outbox: VecDeque::new(),
    };
    relay.say(&FromRelay::Ready { jail: report });
    // What a VM left behind whose relay has died.
    relay.release_memory();
    relay.serve()
}

impl Relay {
    fn serve(&mut self) -> Result<(), RelayError> {
        let mut events = Vec::new();
        while self.control.is_some() || !self.services.is_empty() {
            let timeout = if self.queue.is_empty() { None } else { Some(Duration::ZERO) };
            self.poller.wait(timeout, &mut events).map_err(RelayError::Wait)?;
            for (token, flags) in events.drain(..) {
                if token == CONTROL_TOKEN {
                    self.control_event(flags)?;
                } else {
                    self.service_event(token, flags);
                }
            }
            for _ in 0..self.queue.len() {
                if let Some(serial) = self.queue.pop_front() {
                    self.turn(serial);
                }
            }
        }
        Ok(())
    }

    fn control_event(&mut self, flags: EventFlags) -> Result<(), RelayError> {
        if flags.contains(EventFlags::OUT) {
            self.flush_outbox();
        }
        for _ in 0..CONTROL_BURST {
            let Some(control) = &self.control else { break };
            match control::receive(control) {
                Ok(Some((words, fds))) => {
                    self.start(&ToRelay::decode(words).ok_or(RelayError::Message)?, fds)?;
                }
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::INTR) => {}
                Ok(None) | Err(Errno::CONNRESET) => {
                    tracing::debug!(live = self.services.len(), "the supervisor is gone");
                    self.control = None;
                    self.outbox.clear();
                }
                Err(error) => return Err(RelayError::Setup(error)),
            }
        }
        Ok(())
    }

    fn start(&mut self, message: &ToRelay, fds: Vec<OwnedFd>) -> Result<(), RelayError> {
        let mut fds = fds.into_iter();
        let (serial, service) = match (message, fds.next(), fds.next()) {
            (ToRelay::Connection { serial, vsock }, Some(vm), Some(gate)) => {
                (*serial, Service::Link(Link::new(vm, gate, *vsock)))
            }
            (ToRelay::Trim { serial }, Some(vm), None) => (*serial, Service::Trim(TrimStream::new(vm))),
            _ => return Err(RelayError::Message),
        };
        let watched = match &service {
            Service::Link(link) => link.watch(&self.poller, serial),
            Service::Trim(trim) => trim.watch(&self.poller, serial),
        };
        self.services.insert(serial, Served { service, queued: true });
        self.say(&FromRelay::Started { serial });
        match watched {
            Ok(()) => self.queue.push_back(serial),
            Err(error) => {
                tracing::warn!(connection = serial, %error, "a stream cannot be watched");
                self.end(serial);
            }
        }
        Ok(())
    }

    fn service_event(&mut self, token: u64, flags: EventFlags) {
        let serial = link::serial_of(token);
        // Without the service this is an event of the same batch as the one that ended it.
        let Some(served) = self.services.get_mut(&serial) else { return };
        match &mut served.service {
            Service::Link(link) => link.note(token, flags),
            Service::Trim(trim) => trim.note(flags),
        }
        if !std::mem::replace(&mut served.queued, true) {
            self.queue.push_back(serial);
        }
    }

    fn turn(&mut self, serial: u64) {
        let Some(served) = self.services.get_mut(&serial) else { return };
        let outcome = match &mut served.service {
            Service::Link(link) => link.turn(&self.poller, serial),
            Service::Trim(trim) => {
                trim.turn(&self.poller, serial, self.region.as_ref()).unwrap_or_else(|error| {
                    if let Some(suppressed) = self.quota.take(Instant::now()) {
                        let suppressed = nonzero(suppressed);
                        tracing::warn!(
                            vm = %self.vm, connection = serial, %error, suppressed, "trim stream refused"
                        );
                    }
                    Outcome::Ended
                })
            }
        };
        served.queued = outcome == Outcome::More;
        match outcome {
            Outcome::Idle => {}
            Outcome::More => self.queue.push_back(serial),
            Outcome::Ended => self.end(serial),
        }
    }

    fn end(&mut self, serial: u64) {
        let (to_gate, to_vm) = match self.services.remove(&serial) {
            Some(Served { service: Service::Link(link), .. }) => link.moved(),
            Some(Served { service: Service::Trim(trim), .. }) => (trim.discarded(), 0),
            None => return,
        };
        self.say(&FromRelay::Ended { serial, to_gate, to_vm });
        self.release_memory();
    }

    /// Gives the memory of the region back if nobody has content in it.
    fn release_memory(&self) {
        let is_link = |served: &Served| matches!(served.service, Service::Link(_));
        if let Some(region) = &self.region
            && !self.services.values().any(is_link)
        {
            match region.release() {
                Ok(true) => tracing::debug!(vm = %self.vm, "no connection is left; the region is empty"),
                Ok(false) => tracing::debug!(vm = %self.vm, "the region is in use by an earlier relay"),
                Err(error) => tracing::debug!(vm = %self.vm, %error, "the region keeps its content"),
            }
        }
    }

    /// Tells the supervisor, if there still is one.
    fn say(&mut self, message: &FromRelay) {
        if self.control.is_some() {
            self.outbox.push_back(message.encode());
            self.flush_outbox();
        }
    }

    fn flush_outbox(&mut self) {
        let Some(control) = &self.control else { return };
        let control: BorrowedFd<'_> = control.as_fd();
        while let Some(&words) = self.outbox.front() {
            match control::send(control, words, &[]) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => break,
                // The end of the supervisor is noticed by reading.
                Err(_) => self.outbox.clear(),
            }
        }
        let flags = if self.outbox.is_empty() { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT };
        if let Err(error) = self.poller.modify(control, CONTROL_TOKEN, flags) {
            tracing::warn!(%error, "the control socket cannot be watched");
        }
    }
}
