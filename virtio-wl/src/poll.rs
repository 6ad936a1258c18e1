//! A set of descriptors to wait for, itself a descriptor that can be waited for.
//!
//! Each descriptor is registered with exactly the readiness that somebody will act on, because the kernel
//! reports an error or hang-up of a registered descriptor for ever, asked for or not. So a descriptor that nobody
//! waits for is not registered, and one whose next event is to be reported only once is registered as
//! [`Interest::once`].
//!
//! A set within a set costs the kernel one more level for each event, on the way up and again when the outer one is asked,
//! which is felt most by a process that has slept. So what belongs to somebody who waits for more can be registered right
//! there: see [`Registration`].

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// Events that are collected at a time.
const MAX_EVENTS: usize = 64;

/// Token of what makes a set ready by itself. Nobody acts on it.
const ALARM: u64 = u64::MAX - 1;

/// Which readiness to wait for. Errors and hang-ups are always reported too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// Only errors and hang-ups.
    pub(crate) hang_up: bool,
    /// Report one event, then nothing until set again.
    pub(crate) once: bool,
}

impl Interest {
    pub(crate) const NONE: Self = Self { read: false, write: false, hang_up: false, once: false };

    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.read);
        flags.set(EventFlags::OUT, self.write);
        flags.set(EventFlags::ONESHOT, self.once);
        flags
    }
}

/// An event of a descriptor in the set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    /// The other end is gone, or something is wrong.
    pub(crate) hang_up: bool,
}

impl From<&Event> for Ready {
    fn from(event: &Event) -> Self {
        // The structure is packed, so its fields are copied out.
        let (flags, data) = (event.flags, event.data);
        Self { token: data.u64(), hang_up: flags.intersects(EventFlags::ERR | EventFlags::HUP) }
    }
}

/// Where somebody else waits: an epoll descriptor, and the token by which it tells what has something to do.
#[derive(Clone, Debug)]
pub struct Registration {
    set: Arc<OwnedFd>,
    token: u64,
}

impl Registration {
    /// A registration in the epoll descriptor `set`, whose events carry `token`.
    #[must_use]
    pub fn new(set: &Arc<OwnedFd>, token: u64) -> Self {
        Self { set: set.clone(), token }
    }

    /// A registration in the same set with a token that is higher by `distance`.
    pub(crate) fn further(&self, distance: u64) -> Self {
        Self { set: self.set.clone(), token: self.token.saturating_add(distance) }
    }

    /// Registers for reading what leaves the set by being closed.
    pub(crate) fn add(&self, fd: impl AsFd) -> Result<(), Errno> {
        epoll::add(&self.set, fd, EventData::new_u64(self.token), EventFlags::IN)
    }
}

/// The set. Each descriptor has a token that is unique among those registered.
#[derive(Debug)]
pub(crate) struct Poll {
    epoll: Arc<OwnedFd>,
    /// In a set of somebody else's, what the tokens of the members begin at.
    first_token: Option<u64>,
    registered: BTreeMap<u64, Interest>,
    /// What makes the set ready by itself.
    alarm: Option<OwnedFd>,
    /// What [`collect`](Self::collect) found and nobody has taken yet, the first last.
    events: Vec<Ready>,
}

impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Poll {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self {
            epoll: Arc::new(epoll::create(CreateFlags::CLOEXEC)?),
            first_token: None,
            registered: BTreeMap::new(),
            alarm: None,
            events: Vec::new(),
        })
    }

    /// Some members of the set of a registration, with its token and those after it. They are to be taken out before they are
    /// closed, since what somebody else has of them would keep them in that set. What the set finds is the other's to know.
    pub(crate) fn within(registration: &Registration) -> Self {
        Self {
            epoll: registration.set.clone(),
            first_token: Some(registration.token),
            registered: BTreeMap::new(),
            alarm: None,
            events: Vec::new(),
        }
    }

    /// Whether the members are in a set of somebody else's.
    pub(crate) fn is_within(&self) -> bool {
        self.first_token.is_some()
    }

    /// Makes the set ready whatever its members are, until the alarm is [stopped](Self::stop_alarm). Does nothing if there is
    /// no descriptor left to do it with.
    pub(crate) fn raise_alarm(&mut self) {
        if self.alarm.is_some() {
            return;
        }
        let Ok(alarm) = eventfd(1, EventfdFlags::CLOEXEC) else { return };
        if epoll::add(&self.epoll, &alarm, EventData::new_u64(ALARM), EventFlags::IN).is_ok() {
            self.alarm = Some(alarm);
        }
    }

    /// The set is ready again only if one of its members is.
    pub(crate) fn stop_alarm(&mut self) {
        // Closing the only descriptor of a file takes it out of every set.
        self.alarm = None;
    }

    /// Registers, changes or removes the interest in `fd`. Costs a system call only where something changes;
    /// an interest of `once` is set anew each time.
    pub(crate) fn set(&mut self, token: u64, fd: BorrowedFd<'_>, interest: Interest) -> Result<(), Errno> {
        let old = self.registered.get(&token).copied();
        if interest == Interest::NONE {
            if old.is_some() {
                self.registered.remove(&token);
                epoll::delete(&self.epoll, fd)?;
            }
            return Ok(());
        }
        let data = EventData::new_u64(self.first_token.unwrap_or(0).saturating_add(token));
        match old {
            None => epoll::add(&self.epoll, fd, data, interest.flags())?,
            Some(old) if old != interest || interest.once => {
                epoll::modify(&self.epoll, fd, data, interest.flags())?;
            }
            Some(_) => return Ok(()),
        }
        self.registered.insert(token, interest);
        Ok(())
    }

    /// Whether `token` is registered and no other.
    pub(crate) fn has_only(&self, token: u64) -> bool {
        self.registered.len() == 1 && self.registered.contains_key(&token)
    }

    /// Whether nothing is registered.
    pub(crate) fn is_empty(&self) -> bool {
        self.registered.is_empty() && self.alarm.is_none()
    }

    /// Finds out which events there are now, at most [`MAX_EVENTS`] of them. Never waits.
    pub(crate) fn collect(&mut self) -> Result<(), Errno> {
        let now = rustix::event::Timespec::try_from(Duration::ZERO).map_err(|_| Errno::INVAL)?;
        let mut space = [const { MaybeUninit::<Event>::uninit() }; MAX_EVENTS];
        let found = loop {
            match epoll::wait(&self.epoll, &mut space, Some(&now)) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
                Ok((found, _)) => break found,
            }
        };
        self.events.clear();
        self.events.extend(found.iter().rev().map(Ready::from));
        Ok(())
    }

    /// The next of the events that were found.
    pub(crate) fn next_event(&mut self) -> Option<Ready> {
        self.events.pop()
    }
}
