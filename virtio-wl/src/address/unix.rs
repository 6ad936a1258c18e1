//! Unix stream sockets in the file system.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Callers that the kernel keeps waiting; the system's own limit may be lower.
pub(crate) const BACKLOG: i32 = 128;

/// A non-blocking socket that is connected to `path`. Such a connection is made at once or not at all, unless the
/// listener has too many callers already: then this waits for at most `time`, and without one fails with `EAGAIN`.
pub(super) fn dial(path: &Path, time: Option<Duration>) -> Result<OwnedFd, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match (rustix::net::connect(&socket, &address), time) {
        // A timeout of zero would mean to wait for ever.
        (Err(Errno::WOULDBLOCK), Some(time)) if !time.is_zero() => {
            set_socket_timeout(&socket, Timeout::Send, Some(time))?;
            rustix::io::ioctl_fionbio(&socket, false)?;
            rustix::net::connect(&socket, &address)?;
            rustix::io::ioctl_fionbio(&socket, true)?;
            set_socket_timeout(&socket, Timeout::Send, None)?;
        }
        (result, _) => result?,
    }
    Ok(socket)
}

/// A non-blocking socket that listens on `path`, replacing the file of a socket that nobody listens on.
pub(crate) fn bind(path: &Path, mode: Option<u32>) -> Result<OwnedFd, Errno> {
    match bind_new(path, mode) {
        Err(Errno::ADDRINUSE) if is_abandoned(path) => {
            // If it cannot be removed, binding says so.
            let _ = fs::remove_file(path);
            bind_new(path, mode)
        }
        result => result,
    }
}

/// The file never has more than `mode`, not even at first: Linux takes the mode of the socket, less the umask, for it.
fn bind_new(path: &Path, mode: Option<u32>) -> Result<OwnedFd, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    if let Some(mode) = mode {
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode))?;
    }
    rustix::net::bind(&socket, &address)?;
    if let Some(mode) = mode {
        rustix::fs::chmod(path, Mode::from_raw_mode(mode))?;
    }
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Whether a socket file is there that nobody listens on.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    // Not waiting: a program that lives may have no room for a caller.
    is_socket && matches!(dial(path, None), Err(Errno::CONNREFUSED))
}
