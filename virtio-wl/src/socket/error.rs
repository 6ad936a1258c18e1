//! What can go wrong on a [`Socket`](super::Socket).

use std::time::Duration;

use rustix::io::Errno;
use thiserror::Error;

use crate::address::{Address, AddressError};
use crate::vfd::VfdError;
use crate::wire::{MAX_FDS, Purpose, Role, WireError};
use crate::wl0::DeviceError;

/// Why [`Socket::connect`](super::Socket::connect) failed.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The other side cannot be reached.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The virtio_wl device does not connect.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// It was reached, but the stream cannot be used.
    #[error("cannot use the stream to `{address}`: {source}")]
    Stream {
        /// Where to.
        address: Address,
        /// Why.
        source: SocketError,
    },
}

/// Why an operation on a socket failed. Except for the first five variants the connection is over, and
/// every further operation reports the same error.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SocketError {
    /// Nothing can be done right now (EAGAIN). Try again after the socket's descriptor was readable.
    #[error("the operation would block")]
    WouldBlock,
    /// A descriptor cannot cross (EOPNOTSUPP). Nothing of the message was sent.
    #[error(transparent)]
    Unsupported(#[from] VfdError),
    /// More descriptors in one message than [`MAX_FDS`] (ETOOMANYREFS). Nothing was sent.
    #[error("{0} file descriptors in one message, the limit is {MAX_FDS}")]
    TooManyFds(usize),
    /// Descriptors without a byte that they could belong to, or a rectangle outside its memory (EINVAL).
    #[error("invalid argument: {0}")]
    Invalid(&'static str),
    /// This side was shut down for writing, or the peer wants no more data (EPIPE).
    #[error("the peer does not receive data any more")]
    BrokenPipe,
    /// The peer sent something that is not the stream format.
    #[error("malformed stream: {0}")]
    Wire(#[from] WireError),
    /// The peer sent a frame that is not allowed where it stands.
    #[error("protocol violation: {0}")]
    Violation(#[from] Violation),
    /// The stream ended in the middle of a frame.
    #[error("the stream ended in the middle of a frame")]
    Truncated,
    /// The stream ended although the connection had not (ECONNRESET): the peer died.
    #[error("the peer closed the stream before the connection ended")]
    Disconnected,
    /// The peer's hello has not come in time (ETIMEDOUT).
    #[error("the peer has not said hello within {0:?}")]
    HelloTimeout(Duration),
    /// Reading the stream failed.
    #[error("cannot read the stream: {0}")]
    Read(Errno),
    /// Writing the stream failed.
    #[error("cannot write the stream: {0}")]
    Write(Errno),
    /// Waiting for descriptors failed.
    #[error("cannot wait for the stream and its pipes: {0}")]
    Poll(Errno),
    /// A local descriptor for a VFD of the peer could not be made.
    #[error("cannot make a {what} for the peer: {source}")]
    Make {
        /// `pipe`, `socket`, `blob`, `mirror` or `region descriptor`.
        what: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// The limits of the options are not ones that a hello can announce.
    #[error("the stream limits are out of bounds: {0}")]
    Limits(WireError),
}

impl SocketError {
    /// The error number that the system call of the same name would have set.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::WouldBlock => Errno::AGAIN,
            Self::Unsupported(_) => Errno::OPNOTSUPP,
            Self::TooManyFds(_) => Errno::TOOMANYREFS,
            Self::Invalid(_) | Self::Limits(_) => Errno::INVAL,
            Self::BrokenPipe => Errno::PIPE,
            Self::Wire(_) | Self::Violation(_) => Errno::PROTO,
            Self::Truncated | Self::Disconnected => Errno::CONNRESET,
            Self::HelloTimeout(_) => Errno::TIMEDOUT,
            Self::Read(errno) | Self::Write(errno) | Self::Poll(errno) | Self::Make { source: errno, .. } => {
                *errno
            }
        }
    }

    /// Whether the connection goes on after this error.
    #[must_use]
    pub fn is_recoverable(&self) -> bool {
        matches!(
            self,
            Self::WouldBlock
                | Self::Unsupported(_)
                | Self::TooManyFds(_)
                | Self::Invalid(_)
                | Self::BrokenPipe
        )
    }
}

/// A well-formed frame that the peer must not send here.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Violation {
    /// The peer claims the same end of the stream as this side.
    #[error("both ends of the stream claim to be the {0:?}")]
    Role(Role),
    /// The peer opened the stream for another purpose.
    #[error("the peer opened the stream for the purpose {0:?}")]
    Purpose(Purpose),
    /// More bytes than the window allows.
    #[error("{0} frame beyond the window")]
    Window(&'static str),
    /// Credit that would make a window larger than its initial size.
    #[error("{0} credit beyond the window")]
    Credit(&'static str),
    /// A new VFD whose identifier has the wrong parity, or is not larger than the last one.
    #[error("new VFD with the identifier {0} out of order")]
    Id(u32),
    /// A VFD that does not exist, is of another kind, not complete or finished.
    #[error("{frame} frame names VFD {id}, which is not there or not of that kind")]
    Unknown {
        /// The type of the frame.
        frame: &'static str,
        /// The identifier.
        id: u32,
    },
    /// A frame that belongs to the data after the end of the data.
    #[error("{0} frame after the end of the data")]
    AfterEnd(&'static str),
    /// More of something than this side's hello allows.
    #[error("more {what} than the limit of {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A VFD of kind socket, although this side's hello says that it takes none.
    #[error("the peer sent a socket, which this side does not take")]
    Socket,
    /// A VFD of kind region without a shared region, or outside it.
    #[error("the peer named a part of a region that is not shared with it")]
    Region,
    /// A blob that becomes longer than its announced length.
    #[error("more content for blob {0} than was announced")]
    BlobLength(u32),
    /// A rectangle that is not within its mirror.
    #[error("write outside mirror {0}")]
    MirrorBounds(u32),
}
