//! Sockets over the kernel's virtio_wl device, `/dev/wl0`: what crosvm gives its guests.
//!
//! A *context* of the device is a connection to a Unix socket on the host; the VMM makes one for each [`Device::connect`].
//! The driver carries bytes and *VFDs*: descriptors that it made itself, for memory that the host has as a file, and for
//! pipes. It refuses everything else. So what a program sends is turned into VFDs, and what comes is turned into what a
//! program can use:
//!
//! | a program sends | the host gets |
//! |---|---|
//! | memory of the device ([`Device::allocate_region`]), any VFD, dma-buf of virtio-gpu or its fence | the same |
//! | read-only or sealed memory | a file with a copy, rounded up to whole pages with zeros |
//! | writable memory | a file that [`Socket::mirror_write`] keeps up to date, rounded up likewise |
//! | an end of a pipe | an end of a pipe; what goes through it is copied by [`Socket::dispatch`] |
//! | a socket, a directory, a device | (refused: `EOPNOTSUPP`) |
//!
//! | the host sends | a program gets |
//! |---|---|
//! | a file | memory that can be mapped, and that is the host's: [`ReceivedKind::Mirror`](crate::vfd::ReceivedKind) with the length in whole pages. It cannot be read with read(2), and fstat(2) says nothing about it |
//! | an end of a pipe | an end of a pipe |
//! | a fence | the read end of a pipe that ends when the fence is signalled: the driver does not tell the two apart |
//! | a socket | a socket that carries bytes, if the options take sockets; the host's is closed when both directions have ended |
//!
//! # What the device cannot do
//!
//! **There is no half-close.** After [`Socket::shutdown_write`] this side's sends fail, and the host is not told before
//! reading has ended too (because the host has hung up, or by [`Socket::shutdown_read`]) or the socket is dropped: then the
//! context is closed. Whoever waits for the host's answer to the end of its data waits in vain. In the other direction the
//! end of the host's data, also by shutdown(2), is a hang-up of the whole context: what came before is received,
//! then the end, and sends fail with a broken pipe.
//!
//! **No operation of the device is without a round trip to the VMM**, which a call waits for: an ioctl that sends returns
//! when the VMM has written to the host's socket. While the queue to the VMM is full, sending would block.
//! What is received and not taken here is bounded by `data_window` of the limits; what comes after that occupies the
//! one queue of the whole device, so that a program that does not read may in the end stall other connections of its VM.
//!
//! **Descriptors come early, never late.** The driver hands over the descriptors of several messages of the host with the
//! bytes of the first, at most 28 at a time. Bytes whose descriptors may not have come yet are held back.
//!
//! **Nobody says which VM this is.** The host knows it by which VMM holds its socket.

mod bridge;
mod incoming;
mod ioctl;
mod send;
mod socket;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use thiserror::Error;

pub(crate) use self::socket::DeviceSocket;

use self::ioctl::New;
use crate::region::{Region, RegionError};
#[cfg(doc)]
use crate::socket::Socket;
use crate::socket::SocketOptions;

/// Where the driver makes its device.
pub const NODE: &str = "/dev/wl0";

/// Bytes of the longest name of a context.
pub const MAX_NAME: usize = ioctl::MAX_NAME;

/// Why the device cannot be used.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// There is no device, or this process may not open it.
    #[error("cannot open the virtio_wl device `{NODE}`: {0}")]
    Open(Errno),
    /// The name is none that a context can have.
    #[error("`{0}` cannot be the name of a virtio_wl context: expected 1 to {MAX_NAME} bytes without zeros")]
    Name(String),
    /// The VMM does not connect. crosvm does not say why: with `ENODEV` the name is unknown to it, or nobody listens on
    /// the host's socket.
    #[error("the virtio_wl device does not connect to the host: {0}")]
    Connect(Errno),
    /// The device has no memory left, or never had any.
    #[error("the virtio_wl device does not allocate {len} bytes: {source}")]
    Allocate {
        /// Bytes asked for.
        len: u64,
        /// What the driver said.
        source: Errno,
    },
    /// Memory of the device cannot be a region.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The context cannot be waited for.
    #[error("cannot wait for a virtio_wl context: {0}")]
    Poll(Errno),
}

/// The virtio_wl device. Clones share one descriptor.
#[derive(Clone, Debug)]
pub struct Device {
    node: Arc<OwnedFd>,
}

impl Device {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// This machine has none, or the process may not open it.
    pub fn open() -> Result<Self, DeviceError> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let node = rustix::fs::open(NODE, flags, Mode::empty()).map_err(DeviceError::Open)?;
        Ok(Self { node: Arc::new(node) })
    }

    /// Connects to the host's socket of this name, or its default one.
    ///
    /// # Errors
    ///
    /// The name is impossible, or the VMM does not connect.
    pub fn connect(&self, name: Option<&str>, options: SocketOptions) -> Result<crate::Socket, DeviceError> {
        let what = name.map_or(Ok(New::Context), named)?;
        let context = self.make(what).map_err(DeviceError::Connect)?;
        let socket = DeviceSocket::new(self.clone(), context, options).map_err(DeviceError::Poll)?;
        Ok(crate::Socket::from(socket))
    }

    /// Memory of `len` bytes that this VM and the host both have, as a [`Region`] with its header. Put into the options of a
    /// socket of this device, it crosses as it is, and nothing in it is ever copied.
    ///
    /// # Errors
    ///
    /// The length is none that a region can have, or the device has no memory.
    pub fn allocate_region(&self, len: u64) -> Result<Region, DeviceError> {
        let vfd = self.allocate(len).map_err(|source| DeviceError::Allocate { len, source })?;
        Ok(Region::create_vfd(vfd, len)?)
    }

    /// A VFD of at least `len` bytes of memory, all zero.
    fn allocate(&self, len: u64) -> Result<OwnedFd, Errno> {
        // The device cannot make nothing.
        let len = u32::try_from(len.max(1)).map_err(|_| Errno::FBIG)?;
        ioctl::new(self.node.as_fd(), New::Memory(len))
    }

    /// A VFD whose calls do not wait.
    fn make(&self, what: New) -> Result<OwnedFd, Errno> {
        let vfd = ioctl::new(self.node.as_fd(), what)?;
        set_nonblocking(&vfd)?;
        Ok(vfd)
    }
}

/// The driver knows no flags for single calls; its VFDs have open file descriptions of their own.
fn set_nonblocking(vfd: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::fcntl_setfl(vfd, rustix::fs::fcntl_getfl(vfd)? | OFlags::NONBLOCK)
}

fn named(name: &str) -> Result<New, DeviceError> {
    if !is_name(name) {
        return Err(DeviceError::Name(name.to_owned()));
    }
    let mut padded = [0; MAX_NAME];
    for (to, from) in padded.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    Ok(New::NamedContext(padded))
}

/// Whether a context can have this name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_fits_into_the_argument() {
        let longest = "n".repeat(MAX_NAME);
        for name in ["x11", "a", &longest] {
            let Ok(New::NamedContext(padded)) = named(name) else { panic!("{name} is a name") };
            assert!(padded.starts_with(name.as_bytes()));
            assert!(padded.iter().skip(name.len()).all(|byte| *byte == 0));
        }
        for name in ["", "a\0b", &"n".repeat(MAX_NAME + 1)] {
            assert!(matches!(named(name), Err(DeviceError::Name(_))), "{name}");
        }
    }
}
