//! The socket that applications connect to.
//!
//! Named sockets follow libwayland: `NAME` in `XDG_RUNTIME_DIR`, beside it `NAME.lock`, which is locked for
//! as long as the socket is served. Whoever holds the lock may replace a socket file that a dead process left
//! behind. Sockets can also be inherited from systemd, which then owns their files.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType};
use virtio_wl::address::{AddressError, take_inherited};

/// How many `wayland-N` after the first are tried, as libwayland does.
const MAX_DISPLAYS: u32 = 32;

/// The first descriptor that systemd hands over.
const LISTEN_FDS_START: RawFd = 3;

/// The most sockets that are taken from systemd.
const MAX_INHERITED: u32 = 16;

/// Why applications have nothing to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// Without it there is no place for the socket.
    #[error("XDG_RUNTIME_DIR is not set, or is not an absolute path")]
    NoRuntimeDir,
    /// The name would leave the directory.
    #[error("`{0}` is not a name for a socket: it must not be empty or contain a slash")]
    Name(String),
    /// The lock file cannot be opened or locked.
    #[error("cannot lock {path}: {source}")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another process serves this name.
    #[error("the socket {0} is in use by another process")]
    InUse(PathBuf),
    /// All names are taken.
    #[error("wayland-0 and the {MAX_DISPLAYS} names after it are in use in {0}")]
    NoFreeDisplay(PathBuf),
    /// The socket cannot be created.
    #[error("cannot listen on {path}: {source}")]
    Bind {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// LISTEN_FDS is meant for this process but makes no sense.
    #[error("LISTEN_FDS is `{0}`, which is not a number from 1 to {MAX_INHERITED}")]
    ListenFds(String),
    /// An inherited descriptor is not open.
    #[error(transparent)]
    Inherit(#[from] AddressError),
    /// An inherited descriptor is something else.
    #[error("the inherited descriptor {0} is not a listening Unix stream socket")]
    NotListening(RawFd),
    /// Accepting failed for a reason that will not pass.
    #[error("cannot accept a connection: {0}")]
    Accept(#[source] Errno),
}

/// A listening socket. Its files are removed when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    display: OsString,
    files: Option<Files>,
}

/// The files of a socket that is our own.
#[derive(Debug)]
struct Files {
    socket: PathBuf,
    lock: PathBuf,
    /// Locked.
    _lock: File,
}

impl Listener {
    /// The socket `name` in `runtime_dir`.
    ///
    /// # Errors
    ///
    /// See [`ListenerError`].
    pub fn named(runtime_dir: &Path, name: &str) -> Result<Self, ListenerError> {
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            return Err(ListenerError::Name(name.to_owned()));
        }
        let socket_path = runtime_dir.join(name);
        let lock_path = runtime_dir.join(format!("{name}.lock"));
        let lock_error = |source| ListenerError::Lock { path: lock_path.clone(), source };
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).read(true).write(true).mode(0o660);
        let lock = lock.open(&lock_path).map_err(lock_error)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(ListenerError::InUse(socket_path)),
            Err(error) => return Err(lock_error(error.into())),
        }
        let bind_error = |source| ListenerError::Bind { path: socket_path.clone(), source };
        match fs::remove_file(&socket_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(bind_error(error)),
            _ => {}
        }
        let socket = UnixListener::bind(&socket_path).map_err(bind_error)?;
        socket.set_nonblocking(true).map_err(bind_error)?;
        Ok(Self {
            socket: socket.into(),
            display: name.into(),
            files: Some(Files { socket: socket_path, lock: lock_path, _lock: lock }),
        })
    }

    /// The first of `wayland-0`, `wayland-1`, … that no process serves.
    ///
    /// # Errors
    ///
    /// See [`ListenerError`].
    pub fn first_free(runtime_dir: &Path) -> Result<Self, ListenerError> {
        for number in 0..=MAX_DISPLAYS {
            match Self::named(runtime_dir, &format!("wayland-{number}")) {
                Err(ListenerError::InUse(_)) => {}
                result => return result,
            }
        }
        Err(ListenerError::NoFreeDisplay(runtime_dir.to_owned()))
    }

    /// The sockets that systemd has handed to this process; none if it has not.
    ///
    /// # Errors
    ///
    /// It has, but not listening Unix stream sockets.
    pub fn inherited() -> Result<Vec<Self>, ListenerError> {
        let variable = |name| std::env::var(name).ok();
        if variable("LISTEN_PID") != Some(std::process::id().to_string()) {
            return Ok(Vec::new());
        }
        let text = variable("LISTEN_FDS").unwrap_or_default();
        let count = text.parse().ok().filter(|count| (1..=MAX_INHERITED).contains(count));
        let count: u32 = count.ok_or(ListenerError::ListenFds(text))?;
        (0..count).map(|index| Self::take(LISTEN_FDS_START.saturating_add_unsigned(index))).collect()
    }

    fn take(fd: RawFd) -> Result<Self, ListenerError> {
        let socket = take_inherited(fd)?;
        let listens = rustix::net::sockopt::socket_acceptconn(&socket) == Ok(true)
            && rustix::net::sockopt::socket_type(&socket) == Ok(SocketType::STREAM)
            && rustix::net::sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX);
        if !listens {
            return Err(ListenerError::NotListening(fd));
        }
        rustix::io::ioctl_fionbio(&socket, true).map_err(ListenerError::Accept)?;
        let display = path_of(&socket).unwrap_or_default();
        Ok(Self { socket, display, files: None })
    }

    /// What WAYLAND_DISPLAY has to be for an application to connect here: a name in XDG_RUNTIME_DIR, or a
    /// path. Empty where the inherited socket has no path.
    #[must_use]
    pub fn display(&self) -> &OsStr {
        &self.display
    }

    /// One connection, or None if there is none to accept now.
    ///
    /// # Errors
    ///
    /// The socket is broken. A peer that has gone again, or a lack of descriptors that may pass, is no error.
    pub fn accept(&self) -> Result<Option<OwnedFd>, ListenerError> {
        match rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(stream) => Ok(Some(stream)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(ListenerError::Accept(error)),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(files) = &self.files {
            // The socket first: once the lock file is gone, another process may create both anew.
            let _ = fs::remove_file(&files.socket);
            let _ = fs::remove_file(&files.lock);
        }
    }
}

fn path_of(socket: &OwnedFd) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt as _;
    let address: SocketAddrAny = rustix::net::getsockname(socket).ok()?;
    let address = rustix::net::SocketAddrUnix::try_from(address).ok()?;
    Some(OsString::from_vec(address.path_bytes()?.to_vec()))
}

/// The directory of the user's sockets.
///
/// # Errors
///
/// XDG_RUNTIME_DIR is not set.
pub fn runtime_dir() -> Result<PathBuf, ListenerError> {
    let dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    dir.filter(|dir| dir.is_absolute()).ok_or(ListenerError::NoRuntimeDir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_first_free_display_is_taken_and_released() {
        let dir = tempfile::tempdir().unwrap();
        let first = Listener::first_free(dir.path()).unwrap();
        let second = Listener::first_free(dir.path()).unwrap();
        assert_eq!((first.display(), second.display()), (OsStr::new("wayland-0"), OsStr::new("wayland-1")));
        drop(first);
        assert_eq!(Listener::first_free(dir.path()).unwrap().display(), "wayland-0");
        drop(second);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_that_is_served_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Listener::named(dir.path(), "apps").unwrap();
        assert!(matches!(Listener::named(dir.path(), "apps"), Err(ListenerError::InUse(_))));
    }

    #[test]
    fn the_socket_of_a_dead_process_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(dir.path().join("apps")).unwrap());
        fs::write(dir.path().join("apps.lock"), "").unwrap();
        let listener = Listener::named(dir.path(), "apps").unwrap();
        assert!(listener.accept().unwrap().is_none());
        let _client = UnixStream::connect(dir.path().join("apps")).unwrap();
        assert!(listener.accept().unwrap().is_some());
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "../x", "/tmp/x", ".", "..", "a/b", "a\0b"] {
            assert!(matches!(Listener::named(dir.path(), name), Err(ListenerError::Name(_))), "{name:?}");
        }
    }
}
