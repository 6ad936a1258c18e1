//! Where a connection is waited for, and what was found there.
//!
//! Everything that a connection waits for is registered in one epoll set, with a token for each part. The set is the
//! connection's own, or one of a process that waits for many connections and tells each what was found for it. Either way an
//! event says which side of which pump has something to do, so that nothing else is asked.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use virtio_wl::{Pump, Registration};

/// Tokens of the parts, counted from the first token of the connection. Each pump has two.
pub(super) const CLIENT: u64 = 0;
pub(super) const SERVER: u64 = 2;
pub(super) const STATE: u64 = 4;
/// How many tokens a connection takes.
pub(super) const TOKENS: u64 = 5;

/// What of a pump has something to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReadySide {
    /// The state has sent something, or has room again.
    pub(super) local: bool,
    /// The same of the client or the server.
    pub(super) endpoint: bool,
}

/// What of a connection has something to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ready {
    pub(super) client: ReadySide,
    pub(super) server: ReadySide,
    pub(super) state: bool,
}

impl Ready {
    const ALL: Self = {
        let side = ReadySide { local: true, endpoint: true };
        Self { client: side, server: side, state: true }
    };

    fn note(&mut self, part: u64) {
        match part {
            STATE => self.state = true,
            SERVER.. => self.server.note(part.saturating_sub(SERVER)),
            _ => self.client.note(part),
        }
    }
}

impl ReadySide {
    fn note(&mut self, part: u64) {
        if part == Pump::ENDPOINT {
            self.endpoint = true;
        } else {
            self.local = true;
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Readiness {
    set: Arc<OwnedFd>,
    first_token: u64,
    /// Others are waited for in the set too.
    is_shared: bool,
    /// What was found for the next turn.
    found: Option<Ready>,
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

impl Readiness {
    /// A set of the connection's own.
    pub(super) fn new() -> Result<Self, Errno> {
        let set = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        Ok(Self { set, first_token: 0, is_shared: false, found: None })
    }

    /// A place in a set where others are waited for too.
    pub(super) fn within(set: &Arc<OwnedFd>, first_token: u64) -> Self {
        Self { set: set.clone(), first_token, is_shared: true, found: None }
    }

    /// Where the part with this token is to be registered.
    pub(super) fn registration(&self, part: u64) -> Registration {
        Registration::new(&self.set, self.first_token.saturating_add(part))
    }

    /// Registers what the state waits for.
    pub(super) fn add_state(&self, fd: impl AsFd) -> Result<(), Errno> {
        let data = epoll::EventData::new_u64(self.first_token.saturating_add(STATE));
        epoll::add(&self.set, fd, data, epoll::EventFlags::IN)
    }

    /// Takes the state out again.
    pub(super) fn remove_state(&self, fd: impl AsFd) {
        // It is gone already, or has never been there.
        let _ = epoll::delete(&self.set, fd);
    }

    /// An event was found in the shared set.
    pub(super) fn note(&mut self, token: u64) {
        self.found.get_or_insert_default().note(token.saturating_sub(self.first_token));
    }

    /// Waits. False: the time is over. Not for a shared set.
    pub(super) fn wait(&mut self, timeout: Option<&Timespec>) -> Result<bool, Errno> {
        // A pump's socket may have two descriptors in the set.
        let mut space = [const { MaybeUninit::<epoll::Event>::uninit() }; 8];
        let (events, _) = epoll::wait(&self.set, &mut space, timeout)?;
        self.found = None;
        for event in events.iter() {
            // The structure is packed, so its field is copied out.
            let data = event.data;
            self.found.get_or_insert_default().note(data.u64());
        }
        Ok(self.found.is_some())
    }

    /// What has something to do, asking if nobody has found out. Where the kernel does not say, everything has.
    pub(super) fn take(&mut self) -> Ready {
        if self.found.is_none() && !self.is_shared {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if self.wait(Some(&now)).is_err() {
                return Ready::ALL;
            }
        }
        self.found.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use virtio_wl::{Endpoint, PumpOptions};

    use super::*;

    /// A pump with what its two sides are joined to.
    fn pump(registration: &Registration) -> (Pump, [UnixStream; 2]) {
        let ((local, near), (endpoint, far)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let endpoint = Endpoint::Unix(endpoint.into());
        let mut pump = Pump::new(local.into(), endpoint, &PumpOptions::default()).unwrap();
        pump.register(registration).unwrap();
        (pump, [near, far])
    }

    fn sides(ready: Ready) -> [bool; 5] {
        [ready.client.local, ready.client.endpoint, ready.server.local, ready.server.endpoint, ready.state]
    }

    #[test]
    fn each_part_is_told_apart_in_a_set_of_its_own_and_in_a_shared_one() {
        for shared in [false, true] {
            let set = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
            let mut readiness = if shared { Readiness::within(&set, 35) } else { Readiness::new().unwrap() };
            let (_client, [client_local, client_end]) = pump(&readiness.registration(CLIENT));
            let (_server, [server_local, server_end]) = pump(&readiness.registration(SERVER));
            let (state, state_end) = UnixStream::pair().unwrap();
            readiness.add_state(&state).unwrap();
            assert_eq!(sides(readiness.take()), [false; 5]);

            let ends = [client_local, client_end, server_local, server_end, state_end];
            for (index, mut end) in ends.iter().enumerate() {
                end.write_all(b"x").unwrap();
                if shared {
                    let mut space = [const { MaybeUninit::<epoll::Event>::uninit() }; 8];
                    let (events, _) = epoll::wait(&set, &mut space, None).unwrap();
                    events.iter().for_each(|event| readiness.note({ event.data }.u64()));
                }
                // What was written earlier has not been read.
                let expected = std::array::from_fn(|part| part <= index);
                assert_eq!(sides(readiness.take()), expected, "part {index}");
            }
            readiness.remove_state(&state);
        }
    }
}
