//! The transports that every case is run on.

mod hybrid;
mod local;
mod torn;
mod vsock;
mod wl0;

use std::fmt;

pub use self::hybrid::{HostCallsVm, VmCallsHost};
pub use self::local::{Fd, Kernel, Unix};
pub use self::torn::Torn;
pub use self::vsock::Vsock;
pub use self::wl0::Wl0;
use crate::Case;
use crate::pair::Connection;

/// A way to connect two sides. See the head of the program.
pub trait Transport: fmt::Debug + Sync {
    fn name(&self) -> &'static str;

    /// Makes a connection.
    fn open(&self) -> Connection;

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

    /// Bytes that a case moves where many shall be moved.
    fn volume(&self) -> usize {
        1 << 20
    }

    /// Runs a case in a place of its own, such as a child process; false to have it run where it is.
    fn run_elsewhere(&self, _: Case) -> bool {
        false
    }
}
