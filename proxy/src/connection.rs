//! One application's connection: a wl-proxy `State` between two pumps, all in the thread that calls
//! [`Connection::turn`].
//!
//! ```text
//!  client ══ Pump ══ socket pair ══ State ══ socket pair ══ Pump ══ server
//! ```
//!
//! `State` works on Unix sockets only, reads whatever it is given and bounds nothing that it sends. The pumps
//! give it what it lacks: they speak to either kind of [`Endpoint`], hand it no more than a budget per turn
//! and never more descriptors in a message than it can take. What one side sends is fed to the state only
//! while the *other* side takes what comes out. What the state has sent by then is taken out of its hands in the same turn and
//! held by the pump, within a bound: its own queues are lost when it is destroyed, and an error of the server destroys it at
//! once.
//!
//! A connection is *open* until one side closes it, breaks it, or is refused by a handler through
//! [`Control`]. Where a side has ended or broken, the state first handles what it had sent before: that may explain the end,
//! and be a better reason. Then the state is destroyed and the connection *drains*: what was sent before, the error that
//! explains the end, and the content of pipes that have crossed still reach their destinations, as they do
//! with Unix sockets. A peer that takes nothing for a while, or not all within a longer one, loses the rest
//! ([`DrainPatience`]).

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use virtio_wl::pump::{PumpError, Turn};
use virtio_wl::{Endpoint, Pump, SocketError, unix};
use wl_proxy::baseline::Baseline;
use wl_proxy::client::{Client, ClientHandler};
use wl_proxy::object::{Object, ObjectCoreApi};
use wl_proxy::protocols::wayland::wl_display::WlDisplayError;
use wl_proxy::state::{State, StateHandler};

pub use self::draining::DrainPatience;
use self::draining::Draining;
use self::readiness::Readiness;
use self::side::Side;

mod draining;
mod readiness;
mod side;

/// Most times that the state is asked to handle what a side sent before it ended. It takes 8 KiB at a time, and a stream
/// holds 16 MiB at the most; a side that is read until it ends might go on for ever otherwise.
const LAST_ROUNDS: usize = 4096;

/// Most bytes of the state that are held for a side that takes none. They are what a side had said until it was made to wait, or
/// had said last before it ended: what the kernel and a stream hold at the most, which is half of it.
const MAX_HELD: usize = 1 << 20;

/// The protocols and versions that are understood. Newer ones are hidden from clients, and versions capped.
pub const BASELINE: Baseline = Baseline::V6;

/// Why a connection cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// No socket pair.
    #[error("cannot make a socket pair: {0}")]
    SocketPair(#[source] Errno),
    /// No pump.
    #[error("cannot set up a pump: {0}")]
    Pump(#[source] PumpError),
    /// No state.
    #[error("cannot set up the Wayland state: {0}")]
    State(String),
    /// No epoll descriptor.
    #[error("cannot set up epoll: {0}")]
    Epoll(#[source] Errno),
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The client closed it.
    #[error("the client closed the connection")]
    ClientClosed,
    /// The server closed it.
    #[error("the server closed the connection")]
    ServerClosed,
    /// The way to the client broke.
    #[error("the connection to the client broke: {0}")]
    ClientFailed(#[source] PumpError),
    /// The way to the server broke.
    #[error("the connection to the server broke: {0}")]
    ServerFailed(#[source] PumpError),
    /// The client sent what is not Wayland.
    #[error("the client sent a malformed request")]
    ClientMalformed,
    /// The server sent what is not Wayland, or cannot be proxied.
    #[error("the server sent a malformed event: {}", .0.escape_debug())]
    ServerMalformed(String),
    /// A handler refused a request.
    #[error("refused: {}", .0.escape_debug())]
    Refused(String),
    /// The server ended the connection with a protocol error.
    #[error("the server reported error {code} on {interface}: {}", message.escape_debug())]
    ServerError {
        /// Interface of the object that the error is about.
        interface: &'static str,
        /// The code, which means something for that interface.
        code: u32,
        /// The server's explanation.
        message: String,
    },
}

impl End {
    /// True where one side simply closed the connection.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        matches!(self, Self::ClientClosed | Self::ServerClosed)
    }
}

/// What a turn has come to.
#[derive(Debug)]
pub enum Status {
    /// Nothing more can be done until the descriptor is readable or the deadline has passed.
    Idle,
    /// The budget is used up and there is more to do.
    More,
    /// The connection is over and drained. Further turns do nothing.
    Ended(End),
}

/// What has to reach the server's endpoint before the bytes that the state sends.
pub trait Outbox {
    /// Hands over as much as the endpoint takes. False: something is left, and nothing may pass it.
    ///
    /// # Errors
    ///
    /// The endpoint cannot be used any more.
    fn drain(&self, endpoint: &mut Endpoint) -> Result<bool, SocketError>;
}

#[derive(Default)]
struct Ending {
    end: Option<End>,
    /// An error event that the state could not send itself.
    farewell: Option<Vec<u8>>,
}

/// By this, handlers end the connection that they belong to.
#[derive(Clone, Default)]
pub struct Control {
    client: Rc<RefCell<Weak<Client>>>,
    ending: Rc<RefCell<Ending>>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("ended", &self.has_ended()).finish()
    }
}

impl Control {
    /// Ends the connection with a protocol error on an object of the client. No further request is handled.
    pub fn refuse<O: Object>(&self, object: &Rc<O>, code: u32, message: &str) {
        self.refuse_object(object.clone(), code, message);
    }

    /// The same for an object whose interface is not known at compile time.
    pub fn refuse_object(&self, object: Rc<dyn Object>, code: u32, message: &str) {
        if self.has_ended() {
            return;
        }
        self.ending.borrow_mut().end = Some(End::Refused(message.to_owned()));
        if let Some(client) = self.client.borrow().upgrade() {
            // An object that the client has destroyed cannot be named any more.
            let display = client.display();
            if display.try_send_error(object, code, message).is_err() {
                display.send_error(display.clone(), WlDisplayError::IMPLEMENTATION.0, message);
            }
            client.disconnect();
        }
    }

    /// Ends the connection with a protocol error that belongs to no object in particular.
    pub fn refuse_display(&self, code: WlDisplayError, message: &str) {
        if let Some(client) = self.client.borrow().upgrade() {
            self.refuse(client.display(), code.0, message);
        }
    }

    /// Ends the connection because there is no memory for what the client asked for.
    pub fn no_memory(&self, message: &str) {
        if let Some(client) = self.client.borrow().upgrade() {
            self.refuse(client.display(), WlDisplayError::NO_MEMORY.0, message);
        }
    }

    /// True once the connection has been ended from either side.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ending.borrow().end.is_some()
    }
}

/// Notices that the state has given up the client, which it does for malformed requests alone: it never sees
/// the client hang up.
struct ClientWatch(Control);

impl ClientHandler for ClientWatch {
    fn disconnected(self: Box<Self>) {
        if self.0.has_ended() {
            return;
        }
        self.0.ending.borrow_mut().end = Some(End::ClientMalformed);
        if let Some(client) = self.0.client.borrow().upgrade() {
            let display = client.display();
            display.send_error(display.clone(), WlDisplayError::INVALID_METHOD.0, "malformed request");
        }
    }
}

/// Takes an error of the server, after which the state is destroyed at once, in the client's terms.
struct ServerWatch(Control);

impl StateHandler for ServerWatch {
    fn display_error(self: Box<Self>, object: Option<&Rc<dyn Object>>, _: u32, error: u32, message: &str) {
        let mut ending = self.0.ending.borrow_mut();
        if ending.end.is_some() {
            return;
        }
        let interface = object.map_or("an object that is gone", |object| object.interface().name());
        let (id, code) = match object.and_then(|object| object.client_id()) {
            Some(id) => (id, error),
            // The client does not know the object, so the code would tell it nothing.
            None => (WL_DISPLAY_ID, WlDisplayError::IMPLEMENTATION.0),
        };
        ending.farewell = Some(error_event(id, code, message));
        ending.end = Some(End::ServerError { interface, code: error, message: message.to_owned() });
    }
}

/// An error of wl-proxy with all its causes. The errors themselves refer to objects and cannot leave the
/// thread.
fn report(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

const WL_DISPLAY_ID: u32 = 1;

/// The longest explanation that is passed on in an error event, in bytes.
const MAX_ERROR_MESSAGE: usize = 2048;

/// A `wl_display.error` event.
fn error_event(object: u32, code: u32, message: &str) -> Vec<u8> {
    let end = (0..=message.len().min(MAX_ERROR_MESSAGE)).rev().find(|end| message.is_char_boundary(*end));
    let text = message.get(..end.unwrap_or(0)).unwrap_or_default().as_bytes();
    let string_len = text.len().saturating_add(1);
    let padded = string_len.next_multiple_of(4);
    let size = u32::try_from(padded.saturating_add(20)).unwrap_or(u32::MAX);
    let mut event = Vec::new();
    let string_len = u32::try_from(string_len).unwrap_or(u32::MAX);
    for word in [WL_DISPLAY_ID, size << 16, object, code, string_len] {
        event.extend_from_slice(&word.to_ne_bytes());
    }
    event.extend_from_slice(text);
    event.resize(padded.saturating_add(20), 0);
    event
}

/// What the server has sent and a blocked client has not taken. With a limit, the server is read on for the
/// client, and a client that reaches the limit is ended here instead of by the server.
#[derive(Default)]
struct Pending {
    limit: Option<usize>,
    bytes: usize,
}

impl Pending {
    /// Most bytes that are held for the client.
    fn most_held(&self) -> usize {
        self.limit.unwrap_or(0).max(MAX_HELD)
    }

    /// Takes note of a turn.
    fn count(&mut self, from_server: usize, to_client: usize, client_blocked: bool) -> Result<(), End> {
        let bytes = self.bytes.saturating_add(from_server).saturating_sub(to_client);
        self.bytes = if client_blocked { bytes } else { 0 };
        match self.limit {
            Some(limit) if self.bytes > limit => {
                Err(End::Refused(format!("the client does not read: {} bytes wait for it", self.bytes)))
            }
            _ => Ok(()),
        }
    }
}

/// Where a connection is in its life.
enum Phase {
    Open,
    Draining(Draining),
    Over,
}

/// One application's connection. See the module.
pub struct Connection {
    readiness: Readiness,
    state: Rc<State>,
    client: Rc<Client>,
    control: Control,
    client_side: Side,
    server_side: Side,
    outbox: Option<Rc<dyn Outbox>>,
    /// The outbox holds something that the state's bytes must not pass.
    outbox_waits: bool,
    paused: bool,
    /// In the last turn, the state had something to handle that had come in earlier ones.
    handled_earlier: bool,
    pending: Pending,
    patience: DrainPatience,
    phase: Phase,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("control", &self.control).finish_non_exhaustive()
    }
}

impl AsFd for Connection {
    /// Readable, level-triggered, whenever a turn has something to do: the set that the connection is in, which may be that
    /// of others too.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readiness.as_fd()
    }
}

impl Connection {
    /// How many tokens a connection takes in the set that it is waited for in.
    pub const TOKENS: u64 = readiness::TOKENS;

    /// Joins `client` to `server`. Install handlers on [`client`](Self::client) before the first turn;
    /// without any, everything that wl-proxy knows is forwarded.
    ///
    /// # Errors
    ///
    /// See [`ConnectionError`].
    pub fn new(client: Endpoint, server: Endpoint) -> Result<Self, ConnectionError> {
        Self::traced(client, server, None)
    }

    /// As [`new`](Self::new), and writes every message to standard error, each with the name `trace` if there is one.
    /// Without one nothing is written, whatever the environment says: what a VM sends is not for the log of a gate.
    ///
    /// # Errors
    ///
    /// See [`ConnectionError`].
    pub fn traced(client: Endpoint, server: Endpoint, trace: Option<&str>) -> Result<Self, ConnectionError> {
        Self::with(Readiness::new().map_err(ConnectionError::Epoll)?, client, server, trace)
    }

    /// As [`new`](Self::new), for whoever waits for many connections: this one is waited for in the epoll descriptor `set`, with
    /// [`TOKENS`](Self::TOKENS) tokens beginning with `first_token`. Each event that is found is to be
    /// [noted](Self::note) before the turn, and [`wait`](Self::wait) is not to be used.
    ///
    /// # Errors
    ///
    /// See [`ConnectionError`].
    pub fn within(
        set: &Arc<OwnedFd>,
        first_token: u64,
        client: Endpoint,
        server: Endpoint,
    ) -> Result<Self, ConnectionError> {
        Self::with(Readiness::within(set, first_token), client, server, None)
    }

    fn with(
        readiness: Readiness,
        client: Endpoint,
        server: Endpoint,
        trace: Option<&str>,
    ) -> Result<Self, ConnectionError> {
        let client_side = Side::new(client, &readiness.registration(readiness::CLIENT))?;
        let server_side = Side::new(server, &readiness.registration(readiness::SERVER))?;
        let state = State::builder(BASELINE)
            .with_server_fd(&server_side.local)
            .with_logging(trace.is_some())
            .with_log_prefix(trace.unwrap_or_default())
            .build()
            .map_err(|error| ConnectionError::State(report(&error)))?;
        // The state and what belongs to it refer to each other, and are never dropped by themselves.
        let unless_complete = state.create_destructor();
        let client =
            state.add_client(&client_side.local).map_err(|error| ConnectionError::State(report(&error)))?;
        let control = Control::default();
        *control.client.borrow_mut() = Rc::downgrade(&client);
        client.set_handler(ClientWatch(control.clone()));
        state.set_handler(ServerWatch(control.clone()));
        readiness.add_state(state.poll_fd()).map_err(ConnectionError::Epoll)?;
        unless_complete.disable();
        Ok(Self {
            readiness,
            state,
            client,
            control,
            client_side,
            server_side,
            outbox: None,
            outbox_waits: false,
            paused: false,
            handled_earlier: false,
            pending: Pending::default(),
            patience: DrainPatience::default(),
            phase: Phase::Open,
        })
    }

    /// The client, whose objects take handlers.
    #[must_use]
    pub fn client(&self) -> &Rc<Client> {
        &self.client
    }

    /// What handlers end the connection by.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Lets `outbox` go before the bytes that the state sends to the server.
    pub fn set_outbox(&mut self, outbox: Rc<dyn Outbox>) {
        self.outbox = Some(outbox);
    }

    /// The pump on the client's side, until it is drained.
    pub fn client_pump(&mut self) -> Option<&mut Pump> {
        self.client_side.pump.as_mut()
    }

    /// The pump on the server's side, until it is drained.
    pub fn server_pump(&mut self) -> Option<&mut Pump> {
        self.server_side.pump.as_mut()
    }

    /// Bytes that wait for a client that does not read.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending.bytes
    }

    /// Ends the connection when more than `bytes` of the server wait for a client that does not read them.
    /// Without this, the server itself is made to wait.
    pub fn set_pending_limit(&mut self, bytes: usize) {
        self.pending.limit = Some(bytes);
    }

    /// How long what was sent may take to arrive after an end, if not as long as [by default](DrainPatience::default).
    pub fn set_drain_patience(&mut self, patience: DrainPatience) {
        self.patience = patience;
    }

    /// Stops taking bytes from the client, or goes on with it. What was taken already is still handled.
    pub fn pause_client(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Whether requests may have been handled in the last turn that had come in earlier ones: the state handles a few kilobytes
    /// at a time.
    #[must_use]
    pub fn may_have_handled_earlier_requests(&self) -> bool {
        self.handled_earlier
    }

    /// Grows whenever something has come that becomes a descriptor of this process.
    #[must_use]
    pub fn received_fds(&self) -> u64 {
        let pumps = [&self.client_side, &self.server_side].into_iter().filter_map(|side| side.pump.as_ref());
        pumps.map(Pump::received_fds).fold(0, u64::saturating_add)
    }

    /// How many descriptors have come so far, from either side.
    #[must_use]
    pub fn passed_fds(&self) -> u64 {
        let pumps = [&self.client_side, &self.server_side].into_iter().filter_map(|side| side.pump.as_ref());
        pumps.map(Pump::passed_fds).fold(0, u64::saturating_add)
    }

    /// Whether something has come that the state has not taken yet. While it lies in a socket pair, its descriptors have no
    /// numbers.
    #[must_use]
    pub fn holds_input(&self) -> bool {
        let holds = |side: &Side| side.pump.as_ref().is_some_and(Pump::holds_for_local) || side.unread() > 0;
        holds(&self.client_side) || holds(&self.server_side)
    }

    /// Whether neither side has ended, and nobody has ended the connection: false while what was sent is still delivered.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// When to call [`turn`](Self::turn) even if the descriptor has not become readable.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Draining(draining) => Some(draining.deadline()),
            Phase::Open | Phase::Over => None,
        }
    }

    /// Does what can be done now, within the budget. Never blocks.
    pub fn turn(&mut self) -> Status {
        match &self.phase {
            Phase::Open => match self.turn_open() {
                Ok(true) => Status::More,
                Ok(false) => Status::Idle,
                Err(end) => {
                    let end = self.hear_out(end);
                    self.begin_draining(end);
                    Status::More
                }
            },
            Phase::Draining(draining) => {
                let expired = Instant::now() >= draining.deadline();
                self.turn_draining(expired)
            }
            Phase::Over => Status::Idle,
        }
    }

    /// Bytes come in, the state handles them, bytes go out.
    ///
    /// Only what is ready is looked at: asking the rest costs more than handling what there is.
    fn turn_open(&mut self) -> Result<bool, End> {
        let ready = self.readiness.take();
        self.apply_back_pressure();
        let from_client = self.client_side.turn(ready.client).map_err(End::ClientFailed);
        let from_server = self.server_side.turn(ready.server).map_err(End::ServerFailed);
        // What came before a failure is handled still; it may explain the failure.
        let moved_in = |turn: &Result<Turn, End>| turn.as_ref().map_or(true, |turn| turn.to_local > 0);
        let (client_sent, server_sent) = (moved_in(&from_client), moved_in(&from_server));
        self.handled_earlier = ready.state;
        let handled = ready.state || client_sent || server_sent || self.control.has_ended();
        if handled {
            self.dispatch()?;
        }
        let (from_client, from_server) = (from_client?, from_server?);
        let waited = self.outbox_waits;
        self.flush_outbox()?;
        // What goes back to the side that sent is rare, and then the descriptor of that side's pump says so.
        let to_server = if client_sent || ready.state || waited {
            self.server_side.turn_out()
        } else {
            Ok(Turn::default())
        };
        let to_client =
            if server_sent || ready.state { self.client_side.turn_out() } else { Ok(Turn::default()) };
        if handled {
            self.hold_for_blocked();
        }
        let (to_server, to_client) =
            (to_server.map_err(End::ServerFailed)?, to_client.map_err(End::ClientFailed)?);
        self.check_ends()?;
        // What the turn has delivered may have been all that the other side was waiting for, and no event
        // will tell.
        let resumed = self.apply_back_pressure();
        let from_server_bytes = from_server.to_local.saturating_add(to_server.to_local);
        let to_client_bytes = from_client.from_local.saturating_add(to_client.from_local);
        self.pending.count(from_server_bytes, to_client_bytes, self.client_side.is_blocked())?;
        Ok(resumed || [from_client, from_server, to_server, to_client].iter().any(|turn| turn.more))
    }

    /// Waits until a [turn](Self::turn) has something to do. False: the time is over.
    ///
    /// # Errors
    ///
    /// Events cannot be waited for, or a signal came.
    pub fn wait(&mut self, timeout: Option<&Timespec>) -> Result<bool, Errno> {
        self.readiness.wait(timeout)
    }

    /// Takes note of one of the connection's tokens that was found in a [shared set](Self::within).
    pub fn note(&mut self, token: u64) {
        self.readiness.note(token);
    }

    /// Ends the connection when one side has.
    fn check_ends(&self) -> Result<(), End> {
        match (self.server_side.has_ended(), self.client_side.has_ended()) {
            (true, _) => Err(End::ServerClosed),
            (false, true) => Err(End::ClientClosed),
            (false, false) => Ok(()),
        }
    }

    /// Has the state handle what a side sent before it ended, or before the way to it broke. What comes of it leaves, or
    /// is held for the other side. Returns the end, or a better reason.
    fn hear_out(&mut self, end: End) -> End {
        let (is_client, failed) = match &end {
            End::ClientClosed => (true, false),
            End::ClientFailed(_) => (true, true),
            End::ServerClosed => (false, false),
            End::ServerFailed(_) => (false, true),
            _ => return end,
        };
        // It waited for the other side perhaps, whose share is held now.
        if is_client { &mut self.client_side } else { &mut self.server_side }.pause(false);
        for _ in 0..LAST_ROUNDS {
            let side = if is_client { &mut self.client_side } else { &mut self.server_side };
            if failed {
                side.pass_on();
            }
            let before = side.unread();
            if let Err(reason) = self.dispatch() {
                return reason;
            }
            // A failure of the other side changes nothing any more.
            let (out, held) = if !is_client {
                (self.client_side.turn_out().ok(), self.client_side.hold(self.pending.most_held()))
            } else if self.flush_outbox().is_ok() {
                (self.server_side.turn_out().ok(), self.server_side.hold(MAX_HELD))
            } else {
                break;
            };
            let side = if is_client { &self.client_side } else { &self.server_side };
            let has_left = out.is_some_and(|turn| turn.from_local > 0) || held.bytes > 0;
            if !held.all || (side.unread() >= before && !has_left) {
                break;
            }
        }
        end
    }

    /// Leaves nothing with the state that a side does not take.
    fn hold_for_blocked(&mut self) {
        if self.client_side.is_blocked() {
            self.client_side.hold(self.pending.most_held());
        }
        if self.outbox_waits || self.server_side.is_blocked() {
            self.server_side.hold(MAX_HELD);
        }
    }

    /// A side is fed to the state only while the other side takes what comes out. True: one may go on that
    /// had to stop.
    fn apply_back_pressure(&mut self) -> bool {
        let server_blocked = self.outbox_waits || self.server_side.is_blocked();
        let server_waits = self.client_side.is_blocked() && self.pending.limit.is_none();
        self.client_side.pause(self.paused || server_blocked) | self.server_side.pause(server_waits)
    }

    fn dispatch(&mut self) -> Result<(), End> {
        let result = self.state.dispatch_available().and_then(|_| {
            // An error that was sent while the state gave up the client leaves with this.
            if self.control.has_ended() { self.state.before_poll() } else { Ok(()) }
        });
        let ended = self.control.ending.borrow_mut().end.take();
        match (ended, result) {
            (Some(end), _) => Err(end),
            (None, Err(error)) => Err(End::ServerMalformed(report(&error))),
            (None, Ok(())) => Ok(()),
        }
    }

    /// Lets go what must be there before the state's bytes, which wait for it if need be.
    fn flush_outbox(&mut self) -> Result<(), End> {
        if let (Some(outbox), Some(pump)) = (&self.outbox, &mut self.server_side.pump) {
            let drained = outbox.drain(pump.endpoint_mut());
            self.outbox_waits = !drained.map_err(|error| End::ServerFailed(error.into()))?;
            pump.pause_from_local(self.outbox_waits);
        }
        Ok(())
    }

    /// Nothing is handled any more; what was sent is delivered.
    fn begin_draining(&mut self, end: End) {
        let farewell = self.control.ending.borrow_mut().farewell.take();
        if let Some(farewell) = farewell
            && self.client_side.hold(self.pending.most_held()).all
        {
            // The state has sent whole messages, so the event stands on its own. Where more was sent than can be held, the
            // client learns of the end alone.
            let _ = unix::send(&self.client_side.local, &farewell, &[]);
        }
        self.state.destroy();
        // A destroyed state's descriptor stays readable for ever.
        self.readiness.remove_state(self.state.poll_fd());
        let failed = match &end {
            End::ClientFailed(_) => Some(&mut self.client_side),
            End::ServerFailed(_) => Some(&mut self.server_side),
            _ => None,
        };
        if let Some(side) = failed {
            side.pump = None;
        }
        for side in [&mut self.client_side, &mut self.server_side] {
            // The pump finds the end of what the state sent, and nobody to send to.
            let _ = shutdown(&side.local, Shutdown::Both);
            side.pause(false);
        }
        self.phase = Phase::Draining(Draining::begin(end, self.patience, Instant::now()));
    }

    fn turn_draining(&mut self, expired: bool) -> Status {
        // What the state sent last may still wait for the outbox.
        let failed = self.flush_outbox().is_err();
        let (client, server) = (self.client_side.drain(), self.server_side.drain());
        if failed || expired {
            (self.client_side.pump, self.server_side.pump) = (None, None);
        }
        if self.client_side.pump.is_none() && self.server_side.pump.is_none() {
            return match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Draining(draining) => Status::Ended(draining.end),
                Phase::Open | Phase::Over => Status::Idle,
            };
        }
        if let Phase::Draining(draining) = &mut self.phase
            && (client.moved || server.moved)
        {
            draining.has_moved(Instant::now());
        }
        let more = client.more || server.more;
        if more { Status::More } else { Status::Idle }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.readiness.remove_state(self.state.poll_fd());
        // State and objects refer to each other.
        self.state.destroy();
    }
}
