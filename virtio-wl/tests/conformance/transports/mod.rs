//! The transports that every case is run on.

mod hybrid;
mod local;
mod torn;
mod vsock;
mod wl0;

use std::fmt;
use std::sync::Arc;

use virtio_wl::{Region, SocketOptions};

pub use self::hybrid::{HostCallsVm, VmCallsHost};
pub use self::local::{Fd, Kernel, Unix};
pub use self::torn::Torn;
pub use self::vsock::Vsock;
pub use self::wl0::Wl0;
use crate::Case;
use crate::pair::{Connection, Pair};

/// Bytes of the region of connections that have one.
pub const REGION_LEN: u64 = 1 << 20;

/// A way to connect two sides. See the head of the program.
pub trait Transport: fmt::Debug + Sync {
    fn name(&self) -> &'static str;

    /// Makes a connection.
    fn open(&self) -> Connection;

    /// Makes a connection whose sides have a region, and gives the region as each of them has it, the initiator first.
    fn open_with_region(&self) -> (Pair, [Arc<Region>; 2]) {
        let ours = Region::create_memfd(REGION_LEN).expect("memory");
        let theirs = Region::from_fd(ours.try_clone_fd().expect("duplicated")).expect("a region");
        let regions = [Arc::new(ours), Arc::new(theirs)];
        let with = |region: &Arc<Region>| SocketOptions {
            region: Some(Arc::clone(region)),
            ..SocketOptions::default()
        };
        (self.open().into_pair_with(regions.each_ref().map(with)), regions)
    }

    /// Why this transport cannot be used here.
    fn unavailable(&self) -> Option<String> {
        None
    }

    /// Names (`theme::case`) of the cases that cannot be, each with the reason.
    fn exempt(&self) -> &[(&'static str, &'static str)] {
        &[]
    }

    /// Whether descriptors may come before the byte that they belong to, with other bytes (but in order, and never behind it).
    fn descriptors_come_early(&self) -> bool {
        false
    }

    /// Whether memory crosses as memory of a device: in whole pages, with zeros behind the content, without seals, and such
    /// that the side that it came to can only map it and calls it a mirror.
    fn memory_is_the_devices(&self) -> bool {
        false
    }

    /// Bytes that a case moves where many shall be moved.
    fn volume(&self) -> usize {
        1 << 20
    }

    /// Runs a case in a place of its own, such as a child process; false to have it run where it is.
    fn run_elsewhere(&self, _: Case) -> bool {
        false
    }
}
