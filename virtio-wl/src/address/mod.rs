//! Addresses of streams, in one syntax for every program and configuration file.
//!
//! | address | connecting | listening |
//! |---|---|---|
//! | `unix:PATH` | a Unix stream socket | makes that socket file |
//! | `fd:N` | a connected descriptor that the process inherited | one that listens already |
//! | `vsock:CID:PORT` | the port of the machine with that CID (2 is the host) | the port, for callers with that CID only |
//! | `vsock:any:PORT` | – | the port, for every caller |
//! | `vsock-uds:PATH:PORT` | the port of the VM whose VMM listens on `PATH` | the VM's calls to the host's port |
//! | `wl0` | the default socket of the host, over the virtio_wl device | – |
//! | `wl0:NAME` | the host's socket of that name, likewise | – |
//!
//! `vsock:` is the kernel's AF_VSOCK. `vsock-uds:` is its host side where the VMM itself carries vsock over Unix sockets, as
//! Firecracker, Cloud Hypervisor and vhost-user-vsock do; [`Connecting`] speaks their handshake, and what listens is the
//! file `PATH_PORT`. A path may contain colons: the port is behind the last one.
//!
//! `wl0` is the kernel's virtio_wl device, which carries descriptors itself. It is no stream of bytes, so that only
//! [`Socket::connect`](crate::Socket::connect) can use it. See [`crate::wl0`].
//!
//! An inherited descriptor can be taken once: it is then owned by whoever took it.

mod connecting;
pub(crate) mod hybrid;
pub(crate) mod unix;
pub(crate) mod vsock;

use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use thiserror::Error;

pub use self::connecting::{Connecting, Progress};
use crate::listener::Listener;
use crate::wl0;

/// How long [`Address::connect`] waits for the other side. A VM answers within milliseconds, or is not up.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);

/// The number that the kernel has for "any CID" and "any port", so that neither can have it.
const VSOCK_ANY: u32 = u32::MAX;

/// Why an address cannot be used.
#[derive(Debug, Error)]
pub enum AddressError {
    /// The text is no address.
    #[error("`{text}` is not an address: {expected}")]
    Parse {
        /// The text.
        text: String,
        /// What would be one.
        expected: &'static str,
    },
    /// The descriptor of an `fd:` address is none that this process inherited, or it was taken already.
    #[error("descriptor {0} of the address `fd:{0}` was not inherited, or was taken already")]
    Inherit(RawFd),
    /// Connecting failed.
    #[error("cannot connect to `{address}`: {source}")]
    Connect {
        /// Where to.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
    /// The VMM did not connect us to the VM: it closed the stream, which it does if nothing in the VM listens on the port.
    #[error(
        "cannot connect to `{0}`: the VMM closed the stream; does anything in the VM listen on that port?"
    )]
    Closed(Address),
    /// What listens on the path of a `vsock-uds:` address does not speak the handshake of a VMM.
    #[error("cannot connect to `{address}`: expected `OK` and a number from the VMM, received `{answer}`")]
    Answer {
        /// Where to.
        address: Address,
        /// What came, with everything but printable ASCII escaped, and cut off at the longest answer there is.
        answer: String,
    },
    /// Nobody answered in time.
    #[error("cannot connect to `{0}`: no answer in time")]
    Timeout(Address),
    /// The address says where to listen, not whom to call.
    #[error(
        "cannot connect to `{0}`: `any` is for listening, give the CID of the machine to call (2 is the host)"
    )]
    NoDestination(Address),
    /// The address is no stream of bytes that could be had, or listened on.
    #[error(
        "`{0}` is not a stream of bytes: it can only be connected to, as a socket that carries descriptors"
    )]
    NoStream(Address),
    /// Listening failed.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// Where.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
}

impl AddressError {
    /// Whether the same attempt may succeed later without anything being changed here: the other side is not up yet, or
    /// has too many callers.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Closed(_) | Self::Timeout(_) => true,
            Self::Connect { source, .. } => matches!(
                Errno::from_io_error(source),
                Some(
                    Errno::NOENT
                        | Errno::CONNREFUSED
                        | Errno::CONNRESET
                        | Errno::PIPE
                        | Errno::WOULDBLOCK
                        | Errno::TIMEDOUT
                        // A VM that is not started yet has no CID.
                        | Errno::NODEV
                        | Errno::HOSTUNREACH
                )
            ),
            _ => false,
        }
    }
}

/// Whose calls a vsock listener takes, or whom to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VsockCid {
    /// Everybody. Only for listening.
    Any,
    /// The machine with this context identifier: 2 for the host, 3 and more for VMs.
    Is(u32),
}

impl fmt::Display for VsockCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Is(cid) => cid.fmt(f),
        }
    }
}

/// Where a stream is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A Unix stream socket in the file system.
    Unix(PathBuf),
    /// An inherited descriptor.
    Fd(RawFd),
    /// A port of the kernel's vsock.
    Vsock {
        /// Whom to call, or whose calls to take.
        cid: VsockCid,
        /// The port.
        port: u32,
    },
    /// A port of a vsock that a VMM carries over Unix sockets on the host.
    VsockUds {
        /// The socket file of the VMM.
        path: PathBuf,
        /// The port.
        port: u32,
    },
    /// A socket on the host, over the virtio_wl device.
    Wl0 {
        /// How the VMM calls the socket. `None` for its default one.
        name: Option<String>,
    },
}

/// The forms there are, for whoever has written none of them.
const FORMS: &str =
    "expected `unix:PATH`, `fd:N`, `vsock:CID:PORT`, `vsock-uds:PATH:PORT`, `wl0` or `wl0:NAME`";

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        let parsed = match scheme {
            "unix" => path(rest).map(Self::Unix).ok_or("expected `unix:PATH`"),
            "fd" => number(rest)
                .and_then(|number| RawFd::try_from(number).ok())
                .map(Self::Fd)
                .ok_or("expected `fd:N` with the number of a descriptor"),
            "vsock" => vsock(rest).ok_or("expected `vsock:CID:PORT`, or `vsock:any:PORT` for listening"),
            "vsock-uds" => vsock_uds(rest).ok_or("expected `vsock-uds:PATH:PORT` with the VMM's socket"),
            "wl0" if scheme.len() == text.len() => Ok(Self::Wl0 { name: None }),
            "wl0" => wl0::is_name(rest)
                .then(|| Self::Wl0 { name: Some(rest.to_owned()) })
                .ok_or("expected `wl0:NAME` with a name of at most 32 bytes, or `wl0`"),
            _ => Err(FORMS),
        };
        parsed.map_err(|expected| AddressError::Parse { text: text.to_owned(), expected })
    }
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text))
}

/// A decimal number without sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A CID or a port.
fn vsock_number(text: &str) -> Option<u32> {
    number(text).filter(|&number| number != VSOCK_ANY)
}

fn vsock(text: &str) -> Option<Address> {
    let (cid, port) = text.split_once(':')?;
    let cid = if cid == "any" { VsockCid::Any } else { VsockCid::Is(vsock_number(cid)?) };
    Some(Address::Vsock { cid, port: vsock_number(port)? })
}

fn vsock_uds(text: &str) -> Option<Address> {
    let (name, port) = text.rsplit_once(':')?;
    Some(Address::VsockUds { path: path(name)?, port: vsock_number(port)? })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Fd(fd) => write!(f, "fd:{fd}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::VsockUds { path, port } => write!(f, "vsock-uds:{}:{port}", path.display()),
            Self::Wl0 { name: None } => f.write_str("wl0"),
            Self::Wl0 { name: Some(name) } => write!(f, "wl0:{name}"),
        }
    }
}

impl Address {
    /// The path in the address, where it has one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) | Self::VsockUds { path, .. } => Some(path),
            Self::Fd(_) | Self::Vsock { .. } | Self::Wl0 { .. } => None,
        }
    }

    /// The socket file that listening on this address makes, if it makes one.
    #[must_use]
    pub fn listening_path(&self) -> Option<PathBuf> {
        match self {
            Self::Unix(path) => Some(path.clone()),
            Self::VsockUds { path, port } => Some(hybrid::listening_path(path, *port)),
            Self::Fd(_) | Self::Vsock { .. } | Self::Wl0 { .. } => None,
        }
    }

    /// Whether what is written to a stream of this address goes through a vsock, and must be written in short pieces:
    /// [`SocketOptions::is_vsock`](crate::SocketOptions::is_vsock) says why. What `fd:N` is, only the kernel knows, and it
    /// knows nothing of `vsock-uds:`.
    #[must_use]
    pub fn is_vsock(&self) -> bool {
        match self {
            Self::Vsock { .. } | Self::VsockUds { .. } => true,
            Self::Unix(_) | Self::Fd(_) | Self::Wl0 { .. } => false,
        }
    }

    /// A connected byte stream to this address, in blocking mode. For `fd:N`, the descriptor itself.
    ///
    /// Waits up to [`CONNECT_TIME`]. An event loop uses [`Connecting`] instead.
    ///
    /// # Errors
    ///
    /// There is nothing to connect to, or it does not answer.
    pub fn connect(&self) -> Result<OwnedFd, AddressError> {
        self.connect_within(CONNECT_TIME)
    }

    /// As [`connect`](Self::connect), with another time limit.
    ///
    /// # Errors
    ///
    /// There is nothing to connect to, or it does not answer in time.
    pub fn connect_within(&self, time: Duration) -> Result<OwnedFd, AddressError> {
        Connecting::finish(self, time)
    }

    /// A listening socket on this address. For `fd:N`, the descriptor itself, which must listen already.
    ///
    /// # Errors
    ///
    /// See [`Listener::bind`].
    pub fn listen(&self) -> Result<Listener, AddressError> {
        Listener::bind(self, None)
    }

    fn connect_error(&self, error: Errno) -> AddressError {
        AddressError::Connect { address: self.clone(), source: error.into() }
    }
}

/// Takes ownership of a descriptor that the process was started with, and closes it on exec from now on.
///
/// Only a descriptor that would survive an exec can have come through one, so that a number stands for a descriptor at
/// most once, and never for one of those that Rust's library opens and owns itself.
///
/// # Errors
///
/// The descriptor is not open, was taken already, or was not inherited.
pub fn take_inherited(fd: RawFd) -> Result<OwnedFd, AddressError> {
    // SAFETY: fcntl with F_GETFD reads a flag of the descriptor table and touches no memory.
    let flags = if fd < 0 { -1 } else { unsafe { libc::fcntl(fd, libc::F_GETFD) } };
    if flags < 0 || flags & libc::FD_CLOEXEC != 0 {
        return Err(AddressError::Inherit(fd));
    }
    // SAFETY: the descriptor is open, and nobody in this process owns it: whatever opens descriptors here closes them on
    // exec, and so does this function, which every inherited one is taken by.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // A descriptor that is open always has flags to set.
    let _ = fcntl_setfd(&fd, FdFlags::CLOEXEC);
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;

    #[test]
    fn every_form_survives_the_round_trip() {
        for text in [
            "unix:/run/vitrail/hub.sock",
            "unix:relative",
            "unix:/with:colons",
            "fd:0",
            "fd:12",
            "vsock:2:5000",
            "vsock:any:5000",
            "vsock:4294967294:0",
            "vsock-uds:/run/vm.sock:6000",
            "vsock-uds:/with:7:colons:6000",
            "wl0",
            "wl0:a:b",
        ] {
            let address: Address = text.parse().expect("valid address");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn the_port_of_a_hybrid_socket_is_behind_the_last_colon() {
        let address: Address = "vsock-uds:/a:1:2".parse().expect("valid address");
        assert_eq!(address, Address::VsockUds { path: "/a:1".into(), port: 2 });
    }

    #[test]
    fn anything_else_is_refused_with_the_text_itself_and_the_form_that_was_meant() {
        for (text, form) in [
            ("", "unix:PATH"),
            ("/a", "vsock-uds:PATH:PORT"),
            ("tcp:1", "unix:PATH"),
            ("unix:", "unix:PATH"),
            ("unix:a\0b", "unix:PATH"),
            ("fd:", "fd:N"),
            ("fd:-1", "fd:N"),
            ("fd:+1", "fd:N"),
            ("fd:99999999999", "fd:N"),
            ("fd:4294967295", "fd:N"),
            ("fd:1x", "fd:N"),
            ("vsock:5000", "vsock:CID:PORT"),
            ("vsock:3:", "vsock:CID:PORT"),
            ("vsock::3", "vsock:CID:PORT"),
            ("vsock:3:any", "vsock:CID:PORT"),
            ("vsock:-1:5000", "vsock:CID:PORT"),
            ("vsock:4294967295:5000", "vsock:CID:PORT"),
            ("vsock:3:4294967295", "vsock:CID:PORT"),
            ("vsock:3:5000:1", "vsock:CID:PORT"),
            ("vsock-uds:/run/vm.sock", "vsock-uds:PATH:PORT"),
            ("vsock-uds::5000", "vsock-uds:PATH:PORT"),
            ("vsock-uds:/run/vm.sock:", "vsock-uds:PATH:PORT"),
            ("wl0:", "wl0:NAME"),
            ("wl0:a-name-of-more-than-thirty-two-bytes", "wl0:NAME"),
            ("wl1", "wl0:NAME"),
        ] {
            let error = text.parse::<Address>().expect_err("invalid address").to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains(form), "{error}");
        }
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_refused() {
        assert!(matches!(Address::Fd(1_000_000).connect(), Err(AddressError::Inherit(1_000_000))));
    }

    #[test]
    fn a_descriptor_is_taken_once_and_none_that_somebody_owns() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().expect("socket pair");
        let number = socket.as_raw_fd();
        assert!(matches!(take_inherited(number), Err(AddressError::Inherit(fd)) if fd == number));
        fcntl_setfd(&socket, FdFlags::empty()).expect("flags");
        let number = socket.into_raw_fd();
        let _taken = take_inherited(number).expect("inherited");
        assert!(matches!(take_inherited(number), Err(AddressError::Inherit(fd)) if fd == number));
    }

    #[test]
    fn the_device_is_no_stream_and_does_not_listen() {
        let address = Address::Wl0 { name: None };
        assert!(matches!(address.connect(), Err(AddressError::NoStream(_))));
        assert!(matches!(address.listen(), Err(AddressError::NoStream(_))));
    }

    #[test]
    fn nobody_can_call_any() {
        let address = Address::Vsock { cid: VsockCid::Any, port: 5000 };
        let error = address.connect().expect_err("no destination");
        assert!(error.to_string().contains("vsock:any:5000") && !error.is_transient(), "{error}");
    }
}
