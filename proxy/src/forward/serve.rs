//! One application's connection, from the first byte to the last.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::Timespec;
use virtio_wl::address::AddressError;
use virtio_wl::{Endpoint, Role, Socket, SocketError, SocketOptions};

use super::session::Session;
use super::store::{Store, StoreError};
use crate::connection::{Connection, ConnectionError, End, Status};

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

/// Serves the application on `client` through the stream `upstream`, until either has ended. `is_vsock` is what
/// [`Address::is_vsock`](virtio_wl::Address::is_vsock) says of that stream.
///
/// Pixels go to `store`, or to memory of the connection's own where there is none.
///
/// # Errors
///
/// See [`ServeError`]. That either side closed the connection is no error.
pub fn serve(
    client: OwnedFd,
    upstream: OwnedFd,
    is_vsock: bool,
    store: Option<&Arc<Store>>,
) -> Result<(), ServeError> {
    let region = store.map(|store| store.region().clone());
    let store = match store {
        Some(store) => store.clone(),
        None => Arc::new(Store::staging()?),
    };
    // No event of Wayland hands over a socket.
    let hello_timeout = Some(HELLO_TIME);
    let options =
        SocketOptions { region, take_sockets: false, is_vsock, hello_timeout, ..SocketOptions::default() };
    let socket = Socket::new(upstream, Role::Initiator, options).map_err(ServeError::Stream)?;
    let mut connection = Connection::new(Endpoint::Unix(client), socket.into())?;
    let session = Session::new(store, connection.control().clone()).map_err(ServeError::Duplicate)?;
    session.install(connection.client());
    connection.set_outbox(session.clone());
    let result = drive(&mut connection, &session);
    drop(connection);
    session.release();
    result
}

fn drive(connection: &mut Connection, session: &Session) -> Result<(), ServeError> {
    loop {
        match connection.turn() {
            Status::More => {}
            Status::Idle => wait(connection, session)?,
            Status::Ended(end) if end.is_orderly() => return Ok(()),
            Status::Ended(end) => return Err(ServeError::Ended(end)),
        }
    }
}

/// Waits for something to do. What the application drew is unmapped on the way, if it does not draw any more.
fn wait(connection: &mut Connection, session: &Session) -> Result<(), ServeError> {
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
