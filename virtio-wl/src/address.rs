//! Addresses of byte streams, in one syntax for every program and configuration file.
//!
//! `unix:PATH` is a Unix stream socket, `fd:N` a connected (or listening) descriptor that the process
//! inherited. An inherited descriptor can be taken once: it is then owned by whoever took it.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::io::{FdFlags, fcntl_setfd};
use thiserror::Error;

/// Why an address cannot be used.
#[derive(Debug, Error)]
pub enum AddressError {
    /// The text is no address.
    #[error("`{0}` is not an address: expected `unix:PATH` or `fd:N`")]
    Parse(String),
    /// The descriptor of an `fd:` address is not open in this process.
    #[error("descriptor {0} of the address `fd:{0}` is not open")]
    Inherit(RawFd),
    /// Connecting failed.
    #[error("cannot connect to `{address}`: {source}")]
    Connect {
        /// Where to.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
    /// Listening failed.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// Where.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Where a stream is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A Unix stream socket in the file system.
    Unix(PathBuf),
    /// An inherited descriptor.
    Fd(RawFd),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parse = || AddressError::Parse(text.to_owned());
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() && !path.contains('\0') => {
                Ok(Self::Unix(PathBuf::from(path)))
            }
            Some(("fd", number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                number.parse().map(Self::Fd).map_err(|_| parse())
            }
            _ => Err(parse()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Fd(fd) => write!(f, "fd:{fd}"),
        }
    }
}

impl Address {
    /// A connected byte stream to this address. For `fd:N`, the descriptor itself.
    ///
    /// # Errors
    ///
    /// There is nothing to connect to.
    pub fn connect(&self) -> Result<OwnedFd, AddressError> {
        match self {
            Self::Unix(path) => UnixStream::connect(path)
                .map(OwnedFd::from)
                .map_err(|source| AddressError::Connect { address: self.clone(), source }),
            Self::Fd(fd) => take_inherited(*fd),
        }
    }

    /// A listening socket on this address. For `fd:N`, the descriptor itself, which must listen already.
    ///
    /// A socket file that a dead process left behind is replaced; one that a living process listens on is not.
    ///
    /// # Errors
    ///
    /// The path is in use, or cannot be created.
    pub fn listen(&self) -> Result<OwnedFd, AddressError> {
        match self {
            Self::Unix(path) => listen_unix(path)
                .map(OwnedFd::from)
                .map_err(|source| AddressError::Listen { address: self.clone(), source }),
            Self::Fd(fd) => take_inherited(*fd),
        }
    }
}

fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_socket = fs::symlink_metadata(path)?.file_type().is_socket();
            let is_dead = matches!(
                UnixStream::connect(path),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused
            );
            if !(is_socket && is_dead) {
                return Err(error);
            }
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

/// Takes ownership of a descriptor that the process was started with, and closes it on exec from now on.
///
/// # Errors
///
/// The descriptor is not open.
pub fn take_inherited(fd: RawFd) -> Result<OwnedFd, AddressError> {
    // SAFETY: fcntl with F_GETFD reads a flag of the descriptor table and touches no memory.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(AddressError::Inherit(fd));
    }
    // SAFETY: the descriptor is open, was named by whoever started the process as the one to use here, and no
    // code of this process has owned it before.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // A descriptor that is open always has flags to set.
    let _ = fcntl_setfd(&fd, FdFlags::CLOEXEC);
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_survive_the_round_trip() {
        for text in ["unix:/run/vitrail/hub.sock", "unix:relative", "fd:0", "fd:12"] {
            let address: Address = text.parse().expect("valid address");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_text_itself() {
        for text in ["", "unix:", "fd:", "fd:-1", "fd:+1", "fd:99999999999", "fd:1x", "/a", "vsock:3:5000"] {
            let error = text.parse::<Address>().expect_err("invalid address");
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_dead_socket_file_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let address = Address::Unix(dir.path().join("s"));
        let first = address.listen().expect("first listener");
        assert!(matches!(address.listen(), Err(AddressError::Listen { .. })));
        address.connect().expect("the refused listener left the first one working");
        drop(first);
        assert!(matches!(address.connect(), Err(AddressError::Connect { .. })));
        let _second = address.listen().expect("the file of the dead listener is replaced");
        address.connect().expect("connected");
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("precious");
        fs::write(&path, "content").expect("written");
        assert!(Address::Unix(path.clone()).listen().is_err());
        assert_eq!(fs::read(&path).expect("still there"), b"content");
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_refused() {
        assert!(matches!(Address::Fd(1_000_000).connect(), Err(AddressError::Inherit(1_000_000))));
    }
}
