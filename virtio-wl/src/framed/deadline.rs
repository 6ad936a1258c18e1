//! How long a side waits for the other's hello: a timer in the poll set of the socket, so that a peer that says nothing
//! causes exactly one wake-up, and none once it has spoken.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::poll::{Interest, Poll};
use crate::socket::SocketError;

/// Token of the timer in the poll set: beyond those of the stream and of pipes.
pub(super) const TOKEN: u64 = u64::MAX;

/// The deadline of one hello. Once it is stopped there is no descriptor any more.
#[derive(Debug)]
pub(super) struct Deadline {
    timer: Option<OwnedFd>,
    wait: Duration,
}

impl Deadline {
    /// Runs out after `wait`; never if that is `None`.
    pub(super) fn start(wait: Option<Duration>, poll: &mut Poll) -> Result<Self, SocketError> {
        let Some(wait) = wait else { return Ok(Self { timer: None, wait: Duration::ZERO }) };
        let timer = arm(wait).map_err(SocketError::Poll)?;
        let interest = Interest { read: true, ..Interest::NONE };
        poll.set(TOKEN, timer.as_fd(), interest).map_err(SocketError::Poll)?;
        Ok(Self { timer: Some(timer), wait })
    }

    /// The hello has come, or is not waited for any more.
    pub(super) fn stop(&mut self, poll: &mut Poll) -> Result<(), SocketError> {
        match self.timer.take() {
            Some(timer) => poll.set(TOKEN, timer.as_fd(), Interest::NONE).map_err(SocketError::Poll),
            None => Ok(()),
        }
    }

    /// What to report when the timer's event has come, unless it was stopped meanwhile.
    pub(super) fn expired(&self) -> Result<(), SocketError> {
        if self.timer.is_some() { Err(SocketError::HelloTimeout(self.wait)) } else { Ok(()) }
    }
}

fn arm(wait: Duration) -> Result<OwnedFd, Errno> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let none = Timespec::try_from(Duration::ZERO).map_err(|_| Errno::INVAL)?;
    // A time of zero would disarm the timer.
    let wait = Timespec::try_from(wait.max(Duration::from_nanos(1))).map_err(|_| Errno::INVAL)?;
    let when = Itimerspec { it_interval: none, it_value: wait };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &when)?;
    Ok(timer)
}
