//! Sockets with file descriptors between virtual machines, over whatever joins the machines.
//!
//! [`Socket::sendmsg`] and [`Socket::recvmsg`] have the semantics of the system calls of the same name on a
//! non-blocking `AF_UNIX` stream socket. [`Socket::dispatch`] does what the kernel does for a Unix socket: it
//! moves the stream and the content of pipes. Call it whenever the descriptor of the socket is readable, then
//! call `recvmsg` until it would block, and repeat a `sendmsg` that would have blocked.
//!
//! What carries the socket is one of a few backends, chosen when it is opened: a byte stream on which everything is
//! framed (`docs/wire.md`), or the kernel's virtio_wl device ([`crate::wl0`]).
//!
//! State: a socket is *opening* until the peer's hello has come (sending would block), then *open*. Each direction
//! of the data *ends* on its own ([`Socket::shutdown_write`]); pipes go on until they end themselves. When both
//! directions have ended and no pipe is left, the socket is *finished* and can be dropped. After an error it is
//! *failed*: everything but the received data is released, and every call reports the same error. The descriptor is readable
//! until [`Socket::dispatch`] or [`Socket::recvmsg`] has done so, for those who did not look at the result of the call that
//! failed and wait.
//!
//! Bounds: see [`StreamLimits`]. What waits for a peer that does not read is at most `max_queue_bytes` and the blobs
//! of one message. The content of mirrors waits where it lies and is read when it is sent; what waits for it are at most
//! 65,536 rectangles and those of one message's mirrors. What is held of a peer is one data window, one message's blobs
//! twice over, one window for each pipe, and the mirrors, which a [`MirrorBudget`] bounds for several sockets together.

mod error;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

pub use self::error::{ConnectError, SocketError, Violation};
use crate::address::Address;
use crate::framed::FramedSocket;
use crate::listener::Accepted;
use crate::mirror::MirrorBudget;
use crate::poll::Registration;
use crate::region::Region;
use crate::vfd::{FileId, ReceivedFd};
use crate::wire::{MirrorRect, Purpose, Role};
use crate::wl0::{Device, DeviceSocket};

/// What one stream may hold. The peer is told of them in the hello and must keep to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Bytes of data and blob content that may be under way to this side. From 256 KiB to 16 MiB.
    pub data_window: u32,
    /// Bytes that may be under way to this side in each pipe or socket. From 4 KiB to 1 MiB.
    pub pipe_window: u32,
    /// Pipes and sockets at a time that each side may announce. A socket costs as much memory as a pipe, and one
    /// descriptor more.
    pub max_pipes: u16,
    /// Mirrors at a time that each side may announce.
    pub max_mirrors: u16,
    /// Bytes of blobs in one message.
    pub max_blob_bytes: u32,
    /// Bytes of all mirrors of one side together; rounded down to a multiple of 4096.
    pub max_mirror_bytes: u64,
    /// Bytes that may wait to be sent before sending would block. Not announced.
    pub max_queue_bytes: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            data_window: 256 * 1024,
            pipe_window: 64 * 1024,
            max_pipes: 128,
            max_mirrors: 16,
            max_blob_bytes: 4 << 20,
            max_mirror_bytes: 256 << 20,
            max_queue_bytes: 1 << 20,
        }
    }
}

/// What becomes of a pipe that is sent when the peer has as many as it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExcessPipes {
    /// Sending it is an error, and the sender's to handle.
    #[default]
    Refuse,
    /// It crosses as one whose other end has been closed already: its reader finds the end, and its writer a broken pipe. The
    /// message that it belongs to arrives as it would otherwise. For whoever sends on behalf of others, who know no such limit
    /// and would lose their connection.
    ///
    /// A quarter of the peer's limit, but not more than one message can have, is kept for that. When these are in use too,
    /// sending would block until the peer has answered.
    Close,
}

/// How to open a socket.
#[derive(Clone, Debug)]
pub struct SocketOptions {
    /// What the stream is for. The peer must say the same.
    pub purpose: Purpose,
    /// The region that both sides have, if this side has one.
    pub region: Option<Arc<Region>>,
    /// What the stream may hold.
    pub limits: StreamLimits,
    /// What the peer's mirrors may take up, together with those of other streams. `None`: no more than the limits
    /// of the stream say.
    pub mirror_budget: Option<Arc<MirrorBudget>>,
    /// Whether the peer may send sockets. Without, a peer that keeps to the format refuses to send one, and one that does not
    /// is disconnected.
    pub take_sockets: bool,
    /// What becomes of a pipe or socket beyond the peer's limit.
    pub excess_pipes: ExcessPipes,
    /// Whether the stream is one end of a vsock, though it is a Unix socket: that of a VMM, as behind a `vsock-uds:` address.
    /// Nothing is then written to it in pieces of more than 16 KiB ([`MAX_WRITE`](crate::wire::MAX_WRITE)), since some
    /// guests and VMMs stall for ever on more; to other Unix sockets it is 64 KiB. The kernel's own vsock is recognised in any
    /// case. [`Socket::connect`] and [`Socket::accept`] know the address and set this; with [`Socket::new`] it is the caller's
    /// to take it from [`Address::is_vsock`] or [`Accepted::is_vsock`].
    pub is_vsock: bool,
    /// How long to wait for the peer's hello; without it the socket then fails. `None`: for ever, which suits a peer that
    /// is trusted to be there. The clock starts when the socket is made.
    pub hello_timeout: Option<Duration>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            purpose: Purpose::Wayland,
            region: None,
            limits: StreamLimits::default(),
            mirror_budget: None,
            take_sockets: true,
            excess_pipes: ExcessPipes::default(),
            is_vsock: false,
            hello_timeout: None,
        }
    }
}

/// What a socket can do without blocking, as poll(2) says it of a Unix socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// [`recvmsg`](Socket::recvmsg) returns data, the end of the data or an error.
    pub read: bool,
    /// [`sendmsg`](Socket::sendmsg) of data sends something or returns an error, and neither that nor
    /// [`mirror_write`](Socket::mirror_write) would block.
    pub write: bool,
    /// The peer sends no more data: what came is received still, then the end.
    pub end: bool,
    /// Both directions are over.
    pub hang_up: bool,
    /// The connection has failed.
    pub error: bool,
}

/// What carries a socket.
#[derive(Debug)]
enum Backend {
    /// A byte stream without descriptors.
    Framed(Box<FramedSocket>),
    /// A context of the virtio_wl device.
    Device(Box<DeviceSocket>),
}

/// A socket that carries file descriptors. See the module.
#[derive(Debug)]
pub struct Socket {
    backend: Backend,
}

impl AsFd for Socket {
    /// A descriptor that is readable whenever [`dispatch`](Socket::dispatch) has something to do or to report. Wait for it
    /// level-triggered; never read it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.backend {
            Backend::Framed(socket) => socket.as_fd(),
            Backend::Device(socket) => socket.as_fd(),
        }
    }
}

impl From<DeviceSocket> for Socket {
    fn from(socket: DeviceSocket) -> Self {
        Self { backend: Backend::Device(Box::new(socket)) }
    }
}

impl Socket {
    /// Opens a socket on a connected byte stream on which nothing was sent or received yet, and sends the
    /// hello. Whether the stream goes through a vsock of a VMM has to be said in the
    /// [options](SocketOptions::is_vsock).
    ///
    /// # Errors
    ///
    /// The limits are out of bounds, or the stream cannot be used.
    pub fn new(stream: OwnedFd, role: Role, options: SocketOptions) -> Result<Self, SocketError> {
        let socket = FramedSocket::new(stream, role, options)?;
        Ok(Self { backend: Backend::Framed(Box::new(socket)) })
    }

    /// Opens a socket to an address, as the initiator. Waits until it is connected, at most
    /// [`CONNECT_TIME`](crate::address::CONNECT_TIME), but not for the peer's hello. For the other end, [`accept`](Self::accept)
    /// what calls at a [`Listener`](crate::Listener).
    ///
    /// # Errors
    ///
    /// There is nothing to connect to, it does not answer, or the limits are out of bounds.
    pub fn connect(address: &Address, options: SocketOptions) -> Result<Self, ConnectError> {
        if let Address::Wl0 { name } = address {
            return Ok(Device::open()?.connect(name.as_deref(), options)?);
        }
        let stream = address.connect()?;
        let options = SocketOptions { is_vsock: options.is_vsock || address.is_vsock(), ..options };
        Self::new(stream, Role::Initiator, options)
            .map_err(|source| ConnectError::Stream { address: address.clone(), source })
    }

    /// Opens a socket on a stream that a [`Listener`](crate::Listener) has accepted, as the acceptor.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn accept(accepted: Accepted, options: SocketOptions) -> Result<Self, SocketError> {
        let options = SocketOptions { is_vsock: options.is_vsock || accepted.is_vsock, ..options };
        Self::new(accepted.stream, Role::Acceptor, options)
    }

    /// Has the socket waited for in somebody else's set, instead of by its descriptor, which is of no use afterwards. The set
    /// reports the token of the registration, level-triggered, whenever [`dispatch`](Self::dispatch) has something to do. What
    /// the socket registers there leaves with it. For once in the life of a socket.
    ///
    /// # Errors
    ///
    /// It cannot be registered. The socket must not be used then.
    pub fn register(&mut self, registration: &Registration) -> Result<(), SocketError> {
        match &mut self.backend {
            Backend::Framed(socket) => socket.register(registration),
            Backend::Device(socket) => registration.add(socket.as_fd()).map_err(SocketError::Poll),
        }
    }

    /// Sends a part of `bytes`, at least one, and all of `fds` with the first of them. The descriptors stay
    /// the caller's and can be closed at once.
    ///
    /// # Errors
    ///
    /// With any of these, nothing was sent:
    /// [`WouldBlock`](SocketError::WouldBlock) while the peer's hello has not come or the queue is full;
    /// [`TooManyFds`](SocketError::TooManyFds); [`Unsupported`](SocketError::Unsupported) if one of the descriptors cannot
    /// cross; [`BrokenPipe`](SocketError::BrokenPipe) after a shutdown by either side; or the connection has failed.
    pub fn sendmsg(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, SocketError> {
        match &mut self.backend {
            Backend::Framed(socket) => socket.sendmsg(bytes, fds),
            Backend::Device(socket) => socket.sendmsg(bytes, fds),
        }
    }

    /// Receives into `into` and appends at most [`MAX_FDS`](crate::wire::MAX_FDS) descriptors to `fds`: those
    /// that belong to the first byte returned. Returns 0 at the end of the data (or if `into` is empty).
    ///
    /// # Errors
    ///
    /// [`SocketError::WouldBlock`] if nothing is there yet, or why the connection failed. Data that came before it
    /// failed is returned first.
    pub fn recvmsg(&mut self, into: &mut [u8], fds: &mut Vec<ReceivedFd>) -> Result<usize, SocketError> {
        match &mut self.backend {
            Backend::Framed(socket) => socket.recvmsg(into, fds),
            Backend::Device(socket) => socket.recvmsg(into, fds),
        }
    }

    /// Moves whatever can be moved: the stream, pipes, credit. Never blocks.
    ///
    /// # Errors
    ///
    /// The connection has failed.
    pub fn dispatch(&mut self) -> Result<(), SocketError> {
        match &mut self.backend {
            Backend::Framed(socket) => socket.dispatch(),
            Backend::Device(socket) => socket.dispatch(),
        }
    }

    /// Sends what is queued as far as the stream takes it. [`sendmsg`](Self::sendmsg) and
    /// [`dispatch`](Self::dispatch) do so too.
    ///
    /// # Errors
    ///
    /// The connection has failed.
    pub fn flush(&mut self) -> Result<(), SocketError> {
        match &mut self.backend {
            Backend::Framed(socket) => socket.flush(),
            Backend::Device(socket) => socket.flush(),
        }
    }

    /// No more data will be sent. What is queued is sent still, then the peer receives the end of the data.
    /// Pipes are not affected. The virtio_wl device cannot tell the peer before the other direction has ended too: see
    /// [`crate::wl0`].
    pub fn shutdown_write(&mut self) {
        match &mut self.backend {
            Backend::Framed(socket) => socket.shutdown_write(),
            Backend::Device(socket) => socket.shutdown_write(),
        }
    }

    /// No more data will be received: what was not taken yet is dropped, and the peer's sends fail with a broken
    /// pipe. Pipes are not affected. Over the virtio_wl device the peer's sends go on, into nothing, until the other direction
    /// has ended too.
    pub fn shutdown_read(&mut self) {
        match &mut self.backend {
            Backend::Framed(socket) => socket.shutdown_read(),
            Backend::Device(socket) => socket.shutdown_read(),
        }
    }

    /// Announces to the peer that a rectangle of memory that it has a mirror of has new content, which is
    /// read from `source` when it is sent. Writes and messages arrive in the order in which they were queued.
    ///
    /// Does nothing where the peer has the memory itself, as a region; memory that the peer does not have yet is
    /// announced first. The descriptor of the socket becomes readable if the write has not left.
    ///
    /// # Errors
    ///
    /// The rectangle is not within `source`; the memory cannot cross; would block, if very many
    /// rectangles wait already; or the connection has failed.
    pub fn mirror_write(&mut self, source: &Arc<Region>, rect: MirrorRect) -> Result<(), SocketError> {
        match &mut self.backend {
            Backend::Framed(socket) => socket.mirror_write(source, rect),
            Backend::Device(socket) => socket.mirror_write(source, rect),
        }
    }

    /// Most bytes that are written to the stream at once.
    #[cfg(test)]
    pub(crate) fn max_write(&self) -> usize {
        match &self.backend {
            Backend::Framed(socket) => socket.max_write(),
            Backend::Device(_) => usize::MAX,
        }
    }

    /// As [`mirror_write`](Self::mirror_write), for memory of another program or library, which is read from its
    /// descriptor and never mapped. Where it has become shorter meanwhile, zeros are sent.
    ///
    /// # Errors
    ///
    /// As [`mirror_write`](Self::mirror_write).
    pub fn mirror_write_file(&mut self, memory: BorrowedFd<'_>, rect: MirrorRect) -> Result<(), SocketError> {
        match &mut self.backend {
            Backend::Framed(socket) => socket.mirror_write_file(memory, rect),
            Backend::Device(socket) => socket.mirror_write_file(memory, rect),
        }
    }

    /// The peer's mirror of `source` is not needed any more. Does nothing if it has none.
    pub fn mirror_close(&mut self, source: &Region) {
        self.mirror_close_file(source.id());
    }

    /// As [`mirror_close`](Self::mirror_close), by the identity of the file.
    pub fn mirror_close_file(&mut self, file: FileId) {
        match &mut self.backend {
            Backend::Framed(socket) => socket.mirror_close_file(file),
            Backend::Device(socket) => socket.mirror_close_file(file),
        }
    }

    /// Whether the peer has the region of this side's options, so that pixels need not cross the stream.
    /// `None` until the peer's hello has come.
    #[must_use]
    pub fn shares_region(&self) -> Option<bool> {
        match &self.backend {
            Backend::Framed(socket) => socket.shares_region(),
            Backend::Device(socket) => socket.shares_region(),
        }
    }

    /// Bytes of data and blobs that wait to be sent.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        match &self.backend {
            Backend::Framed(socket) => socket.queued_bytes(),
            Backend::Device(_) => 0,
        }
    }

    /// Pipes and sockets that have not ended, of both sides.
    #[must_use]
    pub fn pipes_open(&self) -> usize {
        match &self.backend {
            Backend::Framed(socket) => socket.pipes_open(),
            Backend::Device(socket) => socket.pipes_open(),
        }
    }

    /// Whether the peer's hello has come: before that, sending would block.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &self.backend {
            Backend::Framed(socket) => socket.is_open(),
            Backend::Device(_) => true,
        }
    }

    /// Bytes that have come from the peer so far: data, mirrors and pipes, with their frames. For measuring a rate. Always 0
    /// on the kernel's virtio_wl device, where the peer is the host.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        match &self.backend {
            Backend::Framed(socket) => socket.received_bytes(),
            Backend::Device(_) => 0,
        }
    }

    /// Bytes that have left this side so far: those that the stream has taken, and the content of pipes that their readers here
    /// have. For finding out whether anything moves. Always 0 on the kernel's virtio_wl device.
    #[must_use]
    pub fn delivered_bytes(&self) -> u64 {
        match &self.backend {
            Backend::Framed(socket) => socket.delivered_bytes(),
            Backend::Device(_) => 0,
        }
    }

    /// How often something has come from the peer so far of which this side makes a descriptor: each announcement and each
    /// time that a message names one. While the number stays as it is, the socket makes none. Always 0 on the kernel's
    /// virtio_wl device.
    #[must_use]
    pub fn received_vfds(&self) -> u64 {
        match &self.backend {
            Backend::Framed(socket) => socket.received_vfds(),
            Backend::Device(_) => 0,
        }
    }

    /// Stops or resumes taking anything from the peer, so that it cannot send more than what lies between both: the
    /// only way to slow down mirrors, which have no window. Everything else on the socket that needs the peer stands still too,
    /// so this is for a moment. A peer that goes meanwhile is noticed afterwards. Does nothing on the kernel's virtio_wl
    /// device.
    ///
    /// # Errors
    ///
    /// The connection has failed.
    pub fn pause(&mut self, paused: bool) -> Result<(), SocketError> {
        match &mut self.backend {
            Backend::Framed(socket) => socket.pause(paused),
            Backend::Device(_) => Ok(()),
        }
    }

    /// What can be done at once, from what [`dispatch`](Self::dispatch) has found so far.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        match &self.backend {
            Backend::Framed(socket) => socket.readiness(),
            Backend::Device(socket) => socket.readiness(),
        }
    }

    /// Whether both directions and all pipes have ended and everything was sent. The socket can be dropped
    /// without anybody losing anything.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.backend {
            Backend::Framed(socket) => socket.is_finished(),
            Backend::Device(socket) => socket.is_finished(),
        }
    }
}
