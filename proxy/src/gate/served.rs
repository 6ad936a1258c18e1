//! One connection as a worker serves it: the proxied connection, its guard, and what is measured around it.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtio_wl::{
    Endpoint, ExcessPipes, MirrorBudget, Pump, Region, Role, Socket, SocketError, SocketOptions, StreamLimits,
};
use vitrail_protocols::report::Traffic;
use vitrail_protocols::{Guard as Switch, Limits, Policy};
use wl_proxy::object::ObjectCoreApi as _;
use wl_proxy::protocols::wayland::wl_display::WlDisplayError;
use wl_proxy::protocols::wayland::wl_region::WlRegion;

use super::guard::Guard;
use super::ledger::{Kind, Ledger, Share};
use super::memory::Placement;
use super::meter::HeaderScanner;
use super::registry;
use crate::connection::{Connection, ConnectionError, End, Status};
use crate::message_count::MessageCount;
use crate::rate::Rate;

/// How many Wayland objects a client may have. Browsers have some thousands.
const MAX_OBJECTS: usize = 32768;

/// How long the VM may take for its hello. The hub passes a stream on when it has it.
const HELLO_TIME: Duration = Duration::from_secs(10);

/// After how many new objects they are counted again.
const OBJECTS_BETWEEN_COUNTS: u64 = 3072;

/// After how many requests, and after how many turns at the latest, it is found out how many new objects there are, which
/// takes making one. Some are the compositor's.
const REQUESTS_BETWEEN_LOOKS: u64 = 256;
const TURNS_BETWEEN_LOOKS: u32 = 16;

/// Why a connection cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The VM's stream cannot be used.
    #[error("the stream cannot be used: {0}")]
    Socket(#[from] SocketError),
    /// The connection cannot be set up.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// What is measured of the requests that come from the VM.
#[derive(Debug)]
struct Meter {
    scanner: HeaderScanner,
    requests: Rate,
    since: Instant,
    /// Requests so far.
    total: u64,
    /// Their bytes.
    bytes: u64,
    /// How long to take no more requests.
    wait: Duration,
}

impl Meter {
    fn new(limits: &Limits) -> Self {
        Self {
            scanner: HeaderScanner::default(),
            requests: Rate::new(limits.requests_per_second),
            since: Instant::now(),
            total: 0,
            bytes: 0,
            wait: Duration::ZERO,
        }
    }

    fn measure(&mut self, guard: &Guard, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(len(bytes));
        let messages = match self.scanner.feed(bytes) {
            Ok(messages) => messages,
            Err(error) => return guard.refuse_stream(WlDisplayError::INVALID_METHOD, &error),
        };
        self.total = self.total.saturating_add(messages.into());
        self.wait = self.requests.take(messages, self.since.elapsed());
    }
}

/// What is counted of the events that come from the compositor.
#[derive(Debug, Default)]
struct EventCount {
    messages: Cell<u64>,
    bytes: Cell<u64>,
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// What is measured of everything that comes on the VM's stream: requests, the pixels of mirrors, clipboards.
#[derive(Debug)]
struct StreamMeter {
    rate: Rate,
    since: Instant,
    /// Bytes that were measured already.
    measured: u64,
}

impl StreamMeter {
    fn new(limits: &Limits) -> Self {
        Self { rate: Rate::new(limits.bytes_per_second), since: Instant::now(), measured: 0 }
    }

    /// Takes note of the bytes that have come since the beginning, and says how long to read nothing more.
    fn measure(&mut self, received: u64) -> Duration {
        let fresh = received.saturating_sub(self.measured);
        if fresh == 0 {
            return Duration::ZERO;
        }
        self.measured = received;
        self.rate.take(u32::try_from(fresh).unwrap_or(u32::MAX), self.since.elapsed())
    }
}

/// What all connections of a VM share.
#[derive(Debug)]
pub struct Holdings<'a> {
    /// What the VM holds, and its limits.
    pub ledger: &'a Rc<Ledger>,
    /// Which globals it sees.
    pub policy: &'a Rc<Policy>,
    /// Its region, if it has one.
    pub region: Option<&'a Arc<Region>>,
    /// What all its mirrors may take up.
    pub mirrors: &'a Arc<MirrorBudget>,
}

/// Where a connection is waited for: see [`Connection::within`].
#[derive(Debug)]
pub struct Place<'a> {
    /// The epoll descriptor.
    pub set: &'a Arc<OwnedFd>,
    /// The first of its tokens.
    pub first_token: u64,
}

/// A connection in service.
#[derive(Debug)]
pub struct Served {
    connection: Connection,
    guard: Rc<Guard>,
    meter: Rc<RefCell<Meter>>,
    events: Rc<EventCount>,
    stream_meter: StreamMeter,
    resume_at: Option<Instant>,
    objects_counted_at: u64,
    /// How many there were.
    objects: Option<Share>,
    /// Requests when the number of objects was last looked at, and turns since then.
    objects_seen_at: (u64, u32),
    /// Descriptors that have come from either side.
    descriptors: u64,
    /// What the connection had received when all descriptors were last counted that had come of it. `None`: never.
    descriptors_counted_at: Option<u64>,
    _share: Option<Share>,
}

impl Served {
    /// Takes a VM's stream, at its first byte, and a socket to the compositor. A VM that has too many connections
    /// is told so in the new one, which then ends.
    ///
    /// # Errors
    /// The stream or the connection cannot be set up.
    pub fn new(
        stream: OwnedFd,
        compositor: OwnedFd,
        place: &Place<'_>,
        vm: &Holdings<'_>,
    ) -> Result<Self, ServeError> {
        let Holdings { ledger, policy, region, mirrors } = *vm;
        let limits = ledger.limits();
        let options = SocketOptions {
            region: region.map(Arc::clone),
            limits: stream_limits(limits),
            mirror_budget: Some(Arc::clone(mirrors)),
            // No request of Wayland hands over a socket, so one would be a way to talk that nobody has asked for.
            take_sockets: false,
            // What is pasted from the VM is asked for by others, and no reason to end its connection.
            excess_pipes: ExcessPipes::Close,
            // The supervisor takes no calls from behind a VMM's socket, and the kernel's vsock is recognised.
            is_vsock: false,
            hello_timeout: Some(HELLO_TIME),
            ..SocketOptions::default()
        };
        let socket = Socket::new(stream, Role::Acceptor, options)?;
        let (client, server) = (Endpoint::from(socket), Endpoint::Unix(compositor));
        let mut connection = Connection::within(place.set, place.first_token, client, server)?;
        let placement = region.map(|region| Placement::of(region.as_ref()));
        let control = connection.control().clone();
        let guard = Guard::new(Rc::clone(ledger), Rc::clone(policy), placement, control);
        registry::protect(&guard, connection.client());
        let meter = Rc::new(RefCell::new(Meter::new(limits)));
        if let Some(pump) = connection.client_pump() {
            let (meter, guard) = (Rc::clone(&meter), Rc::clone(&guard));
            pump.set_inspector(move |bytes| meter.borrow_mut().measure(&guard, bytes));
        }
        let events = Rc::new(EventCount::default());
        if let Some(pump) = connection.server_pump() {
            let (count, mut messages) = (Rc::clone(&events), MessageCount::default());
            pump.set_inspector(move |bytes| {
                count.messages.set(count.messages.get().saturating_add(messages.feed(bytes)));
                count.bytes.set(count.bytes.get().saturating_add(len(bytes)));
            });
        }
        let pending = if Switch::Pending.holds() { limits.pending_bytes } else { u32::MAX };
        connection.set_pending_limit(usize::try_from(pending).unwrap_or(usize::MAX));
        let share = match ledger.take(Kind::Clients, 1) {
            Ok(share) => Some(share),
            Err(exceeded) => {
                guard.refuse_exceeded(exceeded);
                None
            }
        };
        let stream_meter = StreamMeter::new(limits);
        Ok(Self {
            connection,
            guard,
            meter,
            events,
            stream_meter,
            resume_at: None,
            objects_counted_at: 0,
            objects: None,
            objects_seen_at: (0, 0),
            descriptors: 0,
            descriptors_counted_at: None,
            _share: share,
        })
    }

    /// Takes note of a token of the connection that has something to do, before the turn.
    pub fn note(&mut self, token: u64) {
        self.connection.note(token);
    }

    /// Serves for one budget.
    pub fn turn(&mut self) -> Status {
        if self.resume_at.is_some_and(|at| at <= Instant::now()) {
            self.resume_at = None;
            self.connection.pause_client(false);
            self.pause_stream(false);
        }
        let status = self.connection.turn();
        if !self.connection.is_open() {
            // It takes nothing more, and nobody would act on another refusal.
            return status;
        }
        let for_requests = std::mem::take(&mut self.meter.borrow_mut().wait);
        let for_bytes = self.measure_stream();
        let wait = for_requests.max(for_bytes);
        if !wait.is_zero() && Switch::Rate.holds() {
            self.connection.pause_client(true);
            self.resume_at = self.resume_at.max(Some(Instant::now() + wait));
        }
        if !for_bytes.is_zero() && Switch::Rate.holds() {
            self.pause_stream(true);
        }
        // What the VM holds grows by what it sends, and by its requests only once the state has handled them: that may be
        // turns after they came.
        self.check_objects();
        self.check_descriptors();
        // A refusal from here is acted on in the next turn, which no event announces.
        if self.connection.control().has_ended() { Status::More } else { status }
    }

    /// Ends the connection for what the VM has done with others.
    pub fn refuse(&mut self, text: &str) {
        self.guard.refuse_stream(WlDisplayError::NO_MEMORY, &text);
    }

    /// What has passed through the connection until its last turn while it was open.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let meter = self.meter.borrow();
        Traffic {
            connections: 1,
            requests: meter.total,
            request_bytes: meter.bytes,
            events: self.events.messages.get(),
            event_bytes: self.events.bytes.get(),
            stream_bytes: self.stream_meter.measured,
            descriptors: self.descriptors,
            pending_bytes: u64::try_from(self.connection.pending_bytes()).unwrap_or(u64::MAX),
            ..Traffic::default()
        }
    }

    /// How long to read nothing of the stream.
    fn measure_stream(&mut self) -> Duration {
        let socket = self.connection.client_pump().and_then(Pump::socket_mut);
        socket.map_or(Duration::ZERO, |socket| self.stream_meter.measure(socket.received_bytes()))
    }

    fn pause_stream(&mut self, paused: bool) {
        if let Some(socket) = self.connection.client_pump().and_then(Pump::socket_mut) {
            // A failure is reported by the next turn.
            let _ = socket.pause(paused);
        }
    }

    /// When the next turn is due even if nothing happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.resume_at.into_iter().chain(self.connection.deadline()).min()
    }

    /// Counts the client's objects when enough new ones may have come since the last time. Numbers of
    /// objects are never used twice, so a new object's number tells; a request makes one at the most.
    fn check_objects(&mut self) {
        if self.connection.control().has_ended() {
            return;
        }
        let requests = self.meter.borrow().total;
        let (requests_then, turns) = &mut self.objects_seen_at;
        *turns = turns.saturating_add(1);
        let few = requests.saturating_sub(*requests_then) < REQUESTS_BETWEEN_LOOKS;
        if few && *turns < TURNS_BETWEEN_LOOKS && !self.connection.may_have_handled_earlier_requests() {
            return;
        }
        self.objects_seen_at = (requests, 0);
        let client = self.connection.client();
        let newest = client.display().state().create_object::<WlRegion>(1).unique_id();
        if newest.saturating_sub(self.objects_counted_at) < OBJECTS_BETWEEN_COUNTS {
            return;
        }
        self.objects_counted_at = newest;
        let mut objects = Vec::new();
        client.objects(&mut objects);
        if objects.len() > MAX_OBJECTS && Switch::Counts.holds() {
            let text = format_args!("a client may have {MAX_OBJECTS} objects");
            self.guard.refuse_stream(WlDisplayError::NO_MEMORY, &text);
        }
        self.objects = None;
        let count = u64::try_from(objects.len()).unwrap_or(u64::MAX);
        match self.guard.ledger().take(Kind::Objects, count) {
            Ok(share) => self.objects = Some(share),
            Err(exceeded) => self.guard.refuse_exceeded(exceeded),
        }
    }

    /// Ends the connection if the worker holds too many descriptors. The kernel gives out the lowest free
    /// number, so the number of a new descriptor says that all below it are taken.
    ///
    /// Most messages carry none, and then there is nothing to count. What has come gets its last numbers when the state takes
    /// it, which may be turns later, so it is counted until nothing is left to be taken.
    fn check_descriptors(&mut self) {
        use std::os::fd::AsRawFd as _;
        let received = Some(self.connection.received_fds());
        if self.descriptors_counted_at == received {
            return;
        }
        self.descriptors = self.connection.passed_fds();
        let limit = self.guard.ledger().limits().fds;
        let lowest_free = rustix::io::dup(self.connection.as_fd()).map(|fd| fd.as_raw_fd().unsigned_abs());
        if lowest_free.is_ok_and(|lowest| lowest < limit) || !Switch::Descriptors.holds() {
            if !self.connection.holds_input() {
                self.descriptors_counted_at = received;
            }
            return;
        }
        let text = format_args!("the VM may have {limit} file descriptors");
        self.guard.refuse_stream(WlDisplayError::NO_MEMORY, &text);
    }
}

/// Length of all mirrors of one stream together. Programs that send their memory themselves make it much longer than what
/// they draw into: each of a terminal's pools is 512 MiB. That costs nothing here, where only what is written counts.
const MAX_MIRROR_BYTES: u64 = 16 << 30;

/// What the VM's stream may hold, within the VM's limits. The length of mirrors is hardly among them: a mirror is
/// mostly empty, and what is in it has a budget.
fn stream_limits(limits: &Limits) -> StreamLimits {
    let defaults = StreamLimits::default();
    let max_pipes = u16::try_from(limits.fds / 4).unwrap_or(u16::MAX);
    StreamLimits {
        max_pipes: defaults.max_pipes.min(max_pipes),
        max_mirror_bytes: MAX_MIRROR_BYTES,
        ..defaults
    }
}

/// Whether a connection ended because a rule was broken: the gate's, the transport's or the compositor's.
#[must_use]
pub fn is_breach(end: &End) -> bool {
    use virtio_wl::pump::PumpError;
    match end {
        End::ClientClosed | End::ServerClosed | End::ServerFailed(_) | End::ServerMalformed(_) => false,
        // A stream that breaks off is a VM that was switched off.
        End::ClientFailed(PumpError::Socket(SocketError::Violation(_)) | PumpError::PartOfRegion) => true,
        End::ClientFailed(_) => false,
        End::ClientMalformed | End::Refused(_) | End::ServerError { .. } => true,
    }
}
