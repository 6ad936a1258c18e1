//! Listening sockets, and who is calling.
//!
//! Nothing here waits: a listener is in non-blocking mode and waited for by its descriptor, which is readable while there are
//! callers.

use std::fs;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::sockopt::socket_domain;
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags};
use thiserror::Error;

use crate::address::vsock::SocketAddrVsock;
use crate::address::{Address, AddressError, VsockCid, hybrid, take_inherited, unix, vsock};

/// Why there is no caller.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AcceptError {
    /// Nobody is calling (EAGAIN). Try again when the listener is readable.
    #[error("nobody is calling")]
    WouldBlock,
    /// Somebody called whom the address does not admit. The call was ended; there may be others.
    #[error("{0} may not call here")]
    Stranger(Peer),
    /// The kernel does not say who is calling. The call was ended; there may be others.
    #[error("the kernel does not say who is calling: {0}")]
    Peer(Errno),
    /// Accepting failed, most likely for want of descriptors. The call is still there, so asking again at once would fail
    /// again.
    #[error("cannot accept a connection: {0}")]
    Accept(Errno),
}

/// Who is at the other end of a stream, as the kernel says: nothing that the peer sends can change that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process of this machine. With `vsock-uds:` it is the VMM.
    Unix {
        /// The process, where it can be seen from here.
        pid: Option<i32>,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// Another machine.
    Vsock {
        /// Its context identifier.
        cid: u32,
        /// The port that it calls from.
        port: u32,
    },
    /// Somebody behind a descriptor of another kind.
    Unknown,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix { pid: Some(pid), uid, .. } => write!(f, "user {uid} (process {pid})"),
            Self::Unix { pid: None, uid, .. } => write!(f, "user {uid}"),
            Self::Vsock { cid, .. } => write!(f, "the machine with CID {cid}"),
            Self::Unknown => f.write_str("somebody unknown"),
        }
    }
}

impl Peer {
    /// Who is at the other end of a connected socket.
    ///
    /// # Errors
    ///
    /// It is not connected.
    pub fn of(stream: impl AsFd) -> Result<Self, Errno> {
        Self::of_caller(&stream, rustix::net::getpeername(&stream)?.as_ref())
    }

    fn of_caller(stream: impl AsFd, address: Option<&SocketAddrAny>) -> Result<Self, Errno> {
        if let Some(SocketAddrVsock { cid, port }) = address.and_then(SocketAddrVsock::read) {
            return Ok(Self::Vsock { cid, port });
        }
        if socket_domain(&stream)? != AddressFamily::UNIX {
            return Ok(Self::Unknown);
        }
        let caller = credentials(stream)?;
        let pid = Some(caller.pid).filter(|&pid| pid > 0);
        Ok(Self::Unix { pid, uid: caller.uid, gid: caller.gid })
    }
}

/// The credentials that a Unix socket was connected with. A process that cannot be seen from this PID namespace has the
/// number 0 in them, for which rustix's structure has no room.
fn credentials(stream: impl AsFd) -> Result<libc::ucred, Errno> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len: libc::socklen_t = CREDENTIALS_LEN;
    let fd = stream.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for the call, and the kernel writes at most `len` bytes, the size of `found`,
    // which is made of numbers for which every content is valid.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut found).cast(), &raw mut len)
    };
    match result {
        0 if len == CREDENTIALS_LEN => Ok(found),
        0 => Err(Errno::OPNOTSUPP),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Length of a `struct ucred`.
const CREDENTIALS_LEN: libc::socklen_t = 12;
const _: () = assert!(size_of::<libc::ucred>() == 12);

/// A stream from a caller.
#[derive(Debug)]
pub struct Accepted {
    /// The stream, in non-blocking mode.
    pub stream: OwnedFd,
    /// Who is calling.
    pub peer: Peer,
    /// Whether what is written goes through a vsock: see [`SocketOptions::is_vsock`](crate::SocketOptions::is_vsock).
    pub is_vsock: bool,
}

/// A socket file, removed when it is dropped unless another socket has taken the path since, or a child of fork(2) drops
/// its copy of what its parent goes on with.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    process: u32,
}

impl SocketFile {
    fn new(path: &Path) -> std::io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Self { path: path.to_owned(), identity, process: std::process::id() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        let now = fs::symlink_metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        if now.is_ok_and(|now| now == self.identity) {
            // It may be gone by now, which is what is wanted.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A listening socket. Its file, where it has one, is removed when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    admitted: VsockCid,
    is_vsock: bool,
    /// Kept for its drop.
    _file: Option<SocketFile>,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listener {
    /// Listens on an address. For `fd:N`, the descriptor itself, which must listen already and is made non-blocking.
    ///
    /// A socket file that a dead process left behind is replaced; one that a living process listens on is not. The file
    /// never has more rights than `mode`; without one they are what the umask allows.
    ///
    /// # Errors
    ///
    /// The address is in use, or cannot be had.
    pub fn bind(address: &Address, mode: Option<u32>) -> Result<Self, AddressError> {
        let failed = |source| AddressError::Listen { address: address.clone(), source };
        let kernel = |error: Errno| failed(error.into());
        let is_vsock = address.is_vsock();
        let at_path = |path: &Path| {
            let socket = unix::bind(path, mode).map_err(kernel)?;
            let file = SocketFile::new(path).map_err(failed)?;
            Ok(Self { socket, admitted: VsockCid::Any, is_vsock, _file: Some(file) })
        };
        match address {
            Address::Unix(path) => at_path(path),
            Address::VsockUds { path, port } => at_path(&hybrid::listening_path(path, *port)),
            Address::Vsock { cid, port } => {
                let socket = vsock::bind(*port).map_err(kernel)?;
                Ok(Self { socket, admitted: *cid, is_vsock, _file: None })
            }
            Address::Fd(fd) => {
                let socket = take_inherited(*fd)?;
                rustix::io::ioctl_fionbio(&socket, true).map_err(kernel)?;
                Ok(Self { socket, admitted: VsockCid::Any, is_vsock, _file: None })
            }
            Address::Wl0 { .. } => Err(AddressError::NoStream(address.clone())),
        }
    }

    /// The next caller. Callers that gave up before they were accepted are passed over.
    ///
    /// # Errors
    ///
    /// [`AcceptError::WouldBlock`] if there is none; or see the others.
    pub fn accept(&self) -> Result<Accepted, AcceptError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (stream, address) = loop {
            match rustix::net::acceptfrom_with(&self.socket, flags) {
                Ok(accepted) => break accepted,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::WOULDBLOCK) => return Err(AcceptError::WouldBlock),
                Err(error) => return Err(AcceptError::Accept(error)),
            }
        };
        let peer = Peer::of_caller(&stream, address.as_ref()).map_err(AcceptError::Peer)?;
        if !self.admits(peer) {
            return Err(AcceptError::Stranger(peer));
        }
        // An inherited listener may be one of the kernel's vsock.
        let is_vsock = self.is_vsock || matches!(peer, Peer::Vsock { .. });
        Ok(Accepted { stream, peer, is_vsock })
    }

    /// Only vsock addresses say who may call.
    fn admits(&self, peer: Peer) -> bool {
        match (self.admitted, peer) {
            (VsockCid::Any, _) => true,
            (admitted, Peer::Vsock { cid, .. }) => admitted.admits(cid),
            (VsockCid::Is(_), _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::IntoRawFd as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn own_uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    #[test]
    fn a_caller_is_known_by_what_the_kernel_says() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let address = Address::Unix(dir.path().join("s"));
        let listener = address.listen().expect("listening");
        assert_eq!(listener.accept().expect_err("no caller yet"), AcceptError::WouldBlock);
        let caller = address.connect().expect("connected");
        let accepted = listener.accept().expect("a caller");
        let pid = i32::try_from(std::process::id()).expect("a process id");
        assert!(!accepted.is_vsock);
        assert!(
            matches!(accepted.peer, Peer::Unix { pid: Some(p), uid, .. } if p == pid && uid == own_uid())
        );
        assert_eq!(Peer::of(&caller), Ok(accepted.peer));
        let flags = rustix::fs::fcntl_getfl(&accepted.stream).expect("flags");
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
        UnixStream::from(caller).write_all(b"x").expect("written");
        UnixStream::from(accepted.stream).read_exact(&mut [0]).expect("read");
        let (lonely, _) = rustix::pipe::pipe().expect("pipe");
        assert_eq!(Peer::of(&lonely), Err(Errno::NOTSOCK));
    }

    #[test]
    fn calls_of_a_vm_come_to_the_socket_with_the_port() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let address = Address::VsockUds { path: dir.path().join("vm"), port: 6000 };
        let listener = address.listen().expect("listening");
        let _vmm = UnixStream::connect(dir.path().join("vm_6000")).expect("connected");
        let accepted = listener.accept().expect("a caller");
        assert!(matches!(accepted.peer, Peer::Unix { uid, .. } if uid == own_uid()));
        assert!(accepted.is_vsock, "although it is a Unix socket for the kernel");
        drop(listener);
        assert!(!dir.path().join("vm_6000").exists());
    }

    #[test]
    fn an_inherited_listener_is_taken_and_never_waits() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let inherited = UnixListener::bind(dir.path().join("s")).expect("bound");
        rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).expect("flags");
        let listener = Address::Fd(inherited.into_raw_fd()).listen().expect("taken");
        assert_eq!(listener.accept().expect_err("no caller"), AcceptError::WouldBlock);
        let _caller = UnixStream::connect(dir.path().join("s")).expect("connected");
        listener.accept().expect("a caller");
        drop(listener);
        assert!(dir.path().join("s").exists(), "the file is its maker's");
    }

    #[test]
    fn a_file_has_its_mode_and_goes_with_the_listener() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let address = Address::Unix(dir.path().join("s"));
        let listener = Listener::bind(&address, Some(0o620)).expect("listening");
        assert_eq!(fs::metadata(dir.path().join("s")).expect("there").mode() & 0o777, 0o620);
        drop(listener);
        assert!(!dir.path().join("s").exists());
    }

    #[test]
    fn a_dead_socket_file_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("s");
        let address = Address::Unix(path.clone());
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(matches!(address.connect(), Err(AddressError::Connect { .. })));
        let _first = address.listen().expect("the file of the dead listener is replaced");
        assert!(matches!(address.listen(), Err(AddressError::Listen { .. })));
        address.connect().expect("the refused listener left the first one working");
    }

    #[test]
    fn the_file_of_a_successor_is_left_alone() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("s");
        let address = Address::Unix(path.clone());
        let listener = address.listen().expect("listening");
        fs::remove_file(&path).expect("removed");
        let _successor = address.listen().expect("listening");
        drop(listener);
        assert!(path.exists());
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
    fn a_listener_for_one_machine_admits_nobody_else() {
        let (socket, _) = UnixStream::pair().expect("socket pair");
        let listener =
            Listener { socket: socket.into(), admitted: VsockCid::Is(3), is_vsock: true, _file: None };
        assert!(listener.admits(Peer::Vsock { cid: 3, port: 1 }));
        for peer in [Peer::Vsock { cid: 4, port: 1 }, Peer::Unix { pid: None, uid: 0, gid: 0 }, Peer::Unknown]
        {
            assert!(!listener.admits(peer), "{peer}");
        }
    }
}
