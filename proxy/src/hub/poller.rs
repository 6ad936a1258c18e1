//! Waiting for events: a thin layer over epoll(7) that both processes of the hub use.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// Events taken from the kernel at a time.
const BATCH: usize = 64;

/// An epoll instance and the events of its last wait.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Watches `fd`; its events carry `token`.
    pub(super) fn add(&self, fd: impl AsFd, token: u64, flags: EventFlags) -> Result<(), Errno> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token), flags)
    }

    /// Changes what `fd` is watched for. With [`EventFlags::ET`] this also reports anew what is the case already.
    pub(super) fn modify(&self, fd: impl AsFd, token: u64, flags: EventFlags) -> Result<(), Errno> {
        epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags)
    }

    /// Stops watching `fd`. Closing its last copy would do the same.
    pub(super) fn delete(&self, fd: impl AsFd) -> Result<(), Errno> {
        epoll::delete(&self.epoll, fd)
    }

    /// Waits until something happens, or for `timeout` (forever without one). A signal ends the wait early.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> Result<Vec<(u64, EventFlags)>, Errno> {
        // A timeout too long for the kernel is as good as none.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut events = Vec::<Event>::with_capacity(BATCH);
        let waited = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref());
        match waited {
            Ok(_) => Ok(events.iter().map(|event| (event.data.u64(), event.flags)).collect()),
            Err(Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
