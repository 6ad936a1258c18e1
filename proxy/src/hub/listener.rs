//! The listening socket of one VM. Its path is the VM's identity.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::region::make_parent;

/// Callers that the kernel keeps waiting; the system's own limit may be lower.
const BACKLOG: i32 = 128;

/// Why a VM's socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// The directory of the socket cannot be made.
    #[error("Cannot create the directory of {}: {source}", path.display())]
    Directory {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket cannot be bound; perhaps another hub listens there.
    #[error("Cannot listen on {}: {source}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket is there, but its mode cannot be set.
    #[error("Cannot set the mode of {}: {source}", path.display())]
    Mode {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A listening socket; its file is removed when it is dropped, unless another one has taken the path since.
#[derive(Debug)]
pub(super) struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    identity: (u64, u64),
}

impl Listener {
    /// Listens on `path`, replacing the socket of a hub that is gone, but not of one that lives.
    pub(super) fn bind(path: &Path, mode: u32) -> Result<Self, ListenerError> {
        make_parent(path).map_err(|source| ListenerError::Directory { path: path.to_owned(), source })?;
        let listen_error =
            |error: Errno| ListenerError::Listen { path: path.to_owned(), source: error.into() };
        let socket = match bind_new(path, mode) {
            Err(Errno::ADDRINUSE) if is_abandoned(path) => {
                // If it cannot be removed, binding says so.
                let _ = fs::remove_file(path);
                bind_new(path, mode)
            }
            result => result,
        }
        .map_err(listen_error)?;
        let prepare = || {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
        };
        let identity = prepare().map_err(|source| ListenerError::Mode { path: path.to_owned(), source })?;
        Ok(Self { socket, path: path.to_owned(), identity })
    }
}

/// A listening socket whose file never had more than `mode`: Linux takes the mode of the socket, less the umask, for it.
fn bind_new(path: &Path, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Whether a socket file is there that nobody listens on.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    // Not waiting: a hub that lives may have no room for a caller.
    let connect = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
    };
    is_socket && connect() == Err(Errno::CONNREFUSED)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let now = fs::symlink_metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        if now.is_ok_and(|now| now == self.identity) {
            // It may be gone by now, which is what is wanted.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_has_its_mode_and_goes_with_the_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/hub.sock");
        let listener = Listener::bind(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        assert!(matches!(Listener::bind(&path, 0o600), Err(ListenerError::Listen { .. })));
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn an_abandoned_socket_is_replaced_and_another_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Listener::bind(&path, 0o600).unwrap());
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Listener::bind(&path, 0o600), Err(ListenerError::Listen { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn the_socket_of_a_successor_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.sock");
        let listener = Listener::bind(&path, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        let successor = Listener::bind(&path, 0o600).unwrap();
        drop(listener);
        assert!(path.exists());
        drop(successor);
    }
}
