//! Waiting for events: a thin layer over epoll(7) that both processes of the hub use.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// Events taken from the kernel at a time.
const BATCH: usize = 64;

/// An epoll instance.
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

    /// Waits until something happens, or for `timeout` (forever without one), and replaces `events` by the tokens and flags of
    /// what happened. A signal ends the wait early.
    pub(super) fn wait(
        &self,
        timeout: Option<Duration>,
        events: &mut Vec<(u64, EventFlags)>,
    ) -> Result<(), Errno> {
        events.clear();
        // A timeout too long for the kernel is as good as none.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut space = [const { MaybeUninit::<Event>::uninit() }; BATCH];
        match epoll::wait(&self.epoll, &mut space, timeout.as_ref()) {
            Ok((found, _)) => {
                events.extend(found.iter().map(|event| (event.data.u64(), event.flags)));
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
