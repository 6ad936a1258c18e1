//! Transports within one machine.

use std::os::fd::IntoRawFd as _;
use std::os::unix::net::UnixStream;

use virtio_wl::Address;

use super::Transport;
use crate::pair::{Connection, Plain};

/// A socket pair of the kernel, which carries descriptors itself: the yardstick.
#[derive(Debug)]
pub struct Kernel;

impl Transport for Kernel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn open(&self) -> Connection {
        let (one, two) = UnixStream::pair().expect("socket pair");
        Connection::sides(Box::new(Plain(one.into())), Box::new(Plain(two.into())))
    }

    fn exempt(&self) -> &[(&'static str, &'static str)] {
        &[
            ("ends::death_ends_what_crossed", "its descriptors are the files themselves, which outlive it"),
            ("ends::peer_death_at_any_byte", "there is no stream below it"),
            ("readiness::nothing_waits_on_blocking_streams", "there is no stream below it"),
        ]
    }
}

/// A socket file.
#[derive(Debug)]
pub struct Unix;

impl Transport for Unix {
    fn name(&self) -> &'static str {
        "unix"
    }

    fn open(&self) -> Connection {
        let dir = tempfile::tempdir().expect("temporary directory");
        let address = Address::Unix(dir.path().join("socket"));
        let listener = address.listen().expect("listening");
        let caller = address.connect().expect("connected");
        Connection::streams(caller, listener.accept().expect("a caller").stream)
    }
}

/// Inherited descriptors.
#[derive(Debug)]
pub struct Fd;

impl Transport for Fd {
    fn name(&self) -> &'static str {
        "fd"
    }

    fn open(&self) -> Connection {
        let (one, two) = UnixStream::pair().expect("socket pair");
        let take = |stream: UnixStream| {
            rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::empty()).expect("flags");
            Address::Fd(stream.into_raw_fd()).connect().expect("inherited")
        };
        Connection::streams(take(one), take(two))
    }
}
