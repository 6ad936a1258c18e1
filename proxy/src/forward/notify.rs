//! Tells the service manager how the program is doing: the datagram of sd_notify(3).

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where the service manager listens: a path, or `@` and an abstract name.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// Sends `state`, for example `READY=1`, to the socket `name`.
///
/// # Errors
///
/// Nobody listens there.
pub fn notify(name: &str, state: &str) -> io::Result<()> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}
