//! One application's connection, from the first byte to the last.

use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::Timespec;
use virtio_wl::address::AddressError;
use virtio_wl::{Endpoint, ExcessPipes, Pump, Role, Socket, SocketError, SocketOptions};

use super::counters::Counters;
use super::graphics::GraphicsDevice;
use super::session::Session;
use super::store::{Store, StoreError};
use crate::connection::{Connection, ConnectionError, End, Status};
use crate::message_count::MessageCount;

/// Why an application was not served, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no way to the compositor.
    #[error(transparent)]
    Dial(AddressError),
    /// There is no memory for copies.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The descriptor of the memory cannot be duplicated.
    #[error("cannot duplicate a descriptor: {0}")]
    Duplicate(#[source] std::io::Error),
    /// The stream cannot be used.
    #[error("cannot use the stream to the compositor: {0}")]
    Stream(#[source] SocketError),
    /// The connection cannot be set up or waited for.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Waiting failed.
    #[error("cannot wait for events: {0}")]
    Wait(#[source] Errno),
    /// It did not end in order.
    #[error("{0}")]
    Ended(End),
}

/// How long the gate may take for its hello. The hub gives up sooner where there is no gate.
const HELLO_TIME: Duration = Duration::from_secs(30);

/// What the applications of this VM share.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// Where pixels go; none: to memory of each connection's own, and from there through the connection.
    pub store: Option<Arc<Store>>,
    /// What applications may have draw; none: they draw by the processor, in shared memory.
    pub graphics: Option<GraphicsDevice>,
}

/// Who looks on while an application is served.
#[derive(Debug, Default)]
pub struct Observer {
    /// Where to count what happens.
    pub counters: Arc<Counters>,
    /// The name with which every message is written to standard error; none: nothing is.
    pub trace: Option<String>,
}

/// An application's connection that can be [driven](Served::run).
pub struct Served {
    connection: Connection,
    session: Rc<Session>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("connection", &self.connection).finish_non_exhaustive()
    }
}

/// Serves the application on `client` through the stream `upstream`, until either has ended. `is_vsock` is what
/// [`Address::is_vsock`](virtio_wl::Address::is_vsock) says of that stream.
///
/// # Errors
///
/// See [`ServeError`]. That either side closed the connection is no error.
pub fn serve(
    client: OwnedFd,
    upstream: OwnedFd,
    is_vsock: bool,
    resources: &Resources,
    observer: &Observer,
) -> Result<(), ServeError> {
    Served::new(client, upstream, is_vsock, resources, observer)?.run()
}

impl Served {
    /// As [`serve`], before anything has happened.
    ///
    /// # Errors
    ///
    /// See [`ServeError`].
    pub fn new(
        client: OwnedFd,
        upstream: OwnedFd,
        is_vsock: bool,
        resources: &Resources,
        observer: &Observer,
    ) -> Result<Self, ServeError> {
        let region = resources.store.as_ref().map(|store| store.region().clone());
        let store = match &resources.store {
            Some(store) => store.clone(),
            None => Arc::new(Store::staging()?),
        };
        // No event of Wayland hands over a socket.
        let hello_timeout = Some(HELLO_TIME);
        let options = SocketOptions {
            region,
            take_sockets: false,
            // An application knows no limit on how much it may paste at once.
            excess_pipes: ExcessPipes::Close,
            is_vsock,
            hello_timeout,
            ..SocketOptions::default()
        };
        let socket = Socket::new(upstream, Role::Initiator, options).map_err(ServeError::Stream)?;
        let trace = observer.trace.as_deref();
        let mut connection = Connection::traced(Endpoint::Unix(client), socket.into(), trace)?;
        let counters = observer.counters.clone();
        count_messages(&mut connection, &counters);
        let (graphics, control) = (resources.graphics.clone(), connection.control().clone());
        let session = Session::new(store, graphics, control, counters).map_err(ServeError::Duplicate)?;
        session.install(connection.client());
        connection.set_outbox(session.clone());
        Ok(Self { connection, session })
    }

    /// Serves until either side has ended.
    ///
    /// # Errors
    ///
    /// See [`ServeError`]. That either side closed the connection is no error.
    pub fn run(mut self) -> Result<(), ServeError> {
        loop {
            match self.turn() {
                Status::More => {}
                Status::Idle => self.wait()?,
                Status::Ended(end) if end.is_orderly() => return Ok(()),
                Status::Ended(end) => return Err(ServeError::Ended(end)),
            }
        }
    }

    /// Does what can be done now. Never blocks.
    pub fn turn(&mut self) -> Status {
        if self.connection.is_open() {
            self.session.resume();
        } else {
            self.session.abandon();
        }
        self.connection.turn()
    }

    /// What handlers of the connection's objects share.
    #[must_use]
    pub fn session(&self) -> &Rc<Session> {
        &self.session
    }

    /// Waits until a turn has something to do, or the time is over.
    ///
    /// # Errors
    ///
    /// Events cannot be waited for, or a signal came.
    pub fn wait_for(&mut self, timeout: Duration) -> Result<(), Errno> {
        self.connection.wait(Timespec::try_from(timeout).ok().as_ref()).map(|_| ())
    }

    /// Waits for something to do. What the application drew is unmapped on the way, if it does not draw any more.
    fn wait(&mut self) -> Result<(), ServeError> {
        let Self { connection, session } = self;
        let pipes =
            connection.server_pump().and_then(Pump::socket_mut).map_or(0, |socket| socket.pipes_open());
        session.counters.open_pipes.set(u64::try_from(pipes).unwrap_or(u64::MAX));
        match session.wait_held(connection.as_fd(), connection.deadline()) {
            Ok(false) => {}
            Ok(true) | Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(ServeError::Wait(error)),
        }
        loop {
            let unmap_at = session.unmap_at();
            let timeout = connection.deadline().into_iter().chain(unmap_at).min().map(|deadline| {
                let left = deadline.saturating_duration_since(Instant::now());
                Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
            });
            match connection.wait(timeout.as_ref()) {
                Ok(false) if unmap_at.is_some_and(|at| at <= Instant::now()) => session.unmap(),
                Ok(_) | Err(Errno::INTR) => return Ok(()),
                Err(error) => return Err(ServeError::Wait(error)),
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.session.release();
    }
}

/// Counts messages where they come in, before anything is done with them.
fn count_messages(connection: &mut Connection, counters: &Arc<Counters>) {
    let len = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let (requests, events) = (counters.clone(), counters.clone());
    if let Some(pump) = connection.client_pump() {
        let mut messages = MessageCount::default();
        pump.set_inspector(move |bytes| {
            requests.requests.add(messages.feed(bytes));
            requests.request_bytes.add(len(bytes));
        });
    }
    if let Some(pump) = connection.server_pump() {
        let mut messages = MessageCount::default();
        pump.set_inspector(move |bytes| {
            events.events.add(messages.feed(bytes));
            events.event_bytes.add(len(bytes));
        });
    }
}
