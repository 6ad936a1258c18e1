//! Streams that have not said yet whose they are.
//!
//! The hub is believed by who the kernel says it is: on this machine by its user id, on another one by the CID that the
//! listening address demands. It then has five seconds for its 192 bytes. How many streams may be in this
//! state at once is bounded; the others wait in the kernel's queue.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use virtio_wl::listener::AcceptError;
use virtio_wl::{Listener, Peer};

use crate::introduction::{INTRODUCTION_LEN, Introduction, IntroductionError};

/// How long a stream may take to introduce itself.
const DEADLINE: Duration = Duration::from_secs(5);

/// How many streams may be about to introduce themselves.
const MAX_PENDING: usize = 64;

/// Why a stream is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IntroductionsError {
    /// The listening socket failed.
    #[error("cannot accept a connection: {0}")]
    Accept(#[source] Errno),
    /// The stream comes from somebody else than the hub.
    #[error("{0} is not the hub")]
    Stranger(Peer),
    /// The kernel does not say whose the stream is.
    #[error("the kernel does not say who is calling: {0}")]
    Credentials(#[source] Errno),
    /// The stream broke or ended before its introduction was complete.
    #[error("the stream ended before it was introduced")]
    Ended,
    /// The stream did not introduce itself in time.
    #[error("the stream was not introduced in time")]
    Late,
    /// The introduction is wrong.
    #[error(transparent)]
    Introduction(#[from] IntroductionError),
}

/// The listening socket and the streams that came from it.
#[derive(Debug)]
pub struct Introductions {
    listener: Listener,
    hub_uid: u32,
    pending: Vec<Pending>,
    next_id: u64,
}

/// Names a pending stream.
pub type PendingId = u64;

#[derive(Debug)]
struct Pending {
    id: PendingId,
    stream: OwnedFd,
    bytes: [u8; INTRODUCTION_LEN],
    len: usize,
    deadline: Instant,
}

impl Introductions {
    /// Takes streams of the user `hub_uid`, or of the machine that the listener is for.
    #[must_use]
    pub fn new(listener: Listener, hub_uid: u32) -> Self {
        Self { listener, hub_uid, pending: Vec::new(), next_id: 0 }
    }

    /// The listening socket, unless enough streams are pending already.
    #[must_use]
    pub fn listener(&self) -> Option<BorrowedFd<'_>> {
        (self.pending.len() < MAX_PENDING).then(|| self.listener.as_fd())
    }

    /// The pending streams.
    pub fn streams(&self) -> impl Iterator<Item = (PendingId, BorrowedFd<'_>)> {
        self.pending.iter().map(|pending| (pending.id, pending.stream.as_fd()))
    }

    /// When the first of them runs out of time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.deadline).min()
    }

    /// Accepts one stream.
    ///
    /// # Errors
    /// Accepting failed, or it is not the hub's.
    pub fn accept(&mut self) -> Result<(), IntroductionsError> {
        let accepted = match self.listener.accept() {
            Ok(accepted) => accepted,
            Err(AcceptError::WouldBlock) => return Ok(()),
            Err(AcceptError::Stranger(peer)) => return Err(IntroductionsError::Stranger(peer)),
            Err(AcceptError::Peer(errno)) => return Err(IntroductionsError::Credentials(errno)),
            Err(AcceptError::Accept(errno)) => return Err(IntroductionsError::Accept(errno)),
        };
        let is_hub = match accepted.peer {
            Peer::Unix { uid, .. } => uid == self.hub_uid,
            // The listener has compared the CID.
            Peer::Vsock { .. } => true,
            Peer::Unknown => false,
        };
        if !is_hub {
            return Err(IntroductionsError::Stranger(accepted.peer));
        }
        let stream = accepted.stream;
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let deadline = Instant::now() + DEADLINE;
        self.pending.push(Pending { id, stream, bytes: [0; INTRODUCTION_LEN], len: 0, deadline });
        Ok(())
    }

    /// Reads on in one stream. When its introduction is complete, it leaves with the stream, which is then at
    /// the first byte of the VM.
    ///
    /// # Errors
    /// The stream is closed and forgotten.
    pub fn read(&mut self, id: PendingId) -> Result<Option<(Introduction, OwnedFd)>, IntroductionsError> {
        let Some(at) = self.pending.iter().position(|pending| pending.id == id) else { return Ok(None) };
        let mut pending = self.pending.swap_remove(at);
        let missing = pending.bytes.get_mut(pending.len..).unwrap_or_default();
        match rustix::io::read(&pending.stream, missing) {
            Ok(0) => return Err(IntroductionsError::Ended),
            Ok(read) => pending.len = pending.len.saturating_add(read),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return Err(IntroductionsError::Ended),
        }
        if pending.len < INTRODUCTION_LEN {
            self.pending.push(pending);
            return Ok(None);
        }
        Ok(Some((Introduction::decode(&pending.bytes)?, pending.stream)))
    }

    /// Closes the streams whose time is over and returns how many there were.
    pub fn expire(&mut self, now: Instant) -> usize {
        let before = self.pending.len();
        self.pending.retain(|pending| pending.deadline > now);
        before - self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use virtio_wl::Address;

    use super::*;

    fn introduction() -> Introduction {
        Introduction { vm: "work".parse().unwrap(), region: None, connection: 5 }
    }

    fn listening(uid: u32) -> (tempfile::TempDir, UnixStream, Introductions) {
        let dir = tempfile::tempdir().unwrap();
        let listener = Address::Unix(dir.path().join("s")).listen().unwrap();
        let hub = UnixStream::connect(dir.path().join("s")).unwrap();
        (dir, hub, Introductions::new(listener, uid))
    }

    fn own_uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    fn only(introductions: &Introductions) -> PendingId {
        introductions.streams().next().unwrap().0
    }

    #[test]
    fn the_stream_is_handed_on_right_behind_the_introduction() {
        let (_dir, mut hub, mut introductions) = listening(own_uid());
        introductions.accept().unwrap();
        let id = only(&introductions);
        let bytes = introduction().encode().unwrap();
        hub.write_all(&bytes[..100]).unwrap();
        assert!(introductions.read(id).unwrap().is_none());
        hub.write_all(&bytes[100..]).unwrap();
        hub.write_all(b"rest").unwrap();
        let (read, stream) = introductions.read(id).unwrap().unwrap();
        assert_eq!(read, introduction());
        let mut rest = [0; 4];
        UnixStream::from(stream).read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"rest");
    }

    #[test]
    fn another_user_is_not_the_hub() {
        let (_dir, _hub, mut introductions) = listening(own_uid() + 1);
        assert!(matches!(introductions.accept(), Err(IntroductionsError::Stranger(_))));
        assert_eq!(introductions.streams().count(), 0);
    }

    #[test]
    fn nonsense_and_early_ends_are_forgotten() {
        let (_dir, mut hub, mut introductions) = listening(own_uid());
        introductions.accept().unwrap();
        hub.write_all(&[7; INTRODUCTION_LEN]).unwrap();
        let id = only(&introductions);
        assert!(matches!(introductions.read(id), Err(IntroductionsError::Introduction(_))));
        assert_eq!(introductions.streams().count(), 0);
    }

    #[test]
    fn whoever_says_nothing_is_closed_at_the_deadline() {
        let (_dir, mut hub, mut introductions) = listening(own_uid());
        introductions.accept().unwrap();
        let deadline = introductions.next_deadline().unwrap();
        assert_eq!(introductions.expire(deadline - Duration::from_millis(1)), 0);
        assert_eq!(introductions.expire(deadline), 1);
        assert_eq!(hub.read(&mut [0]).unwrap(), 0);
        assert_eq!(introductions.next_deadline(), None);
    }

    #[test]
    fn only_so_many_may_be_pending() {
        let (dir, _hub, mut introductions) = listening(own_uid());
        let mut hubs = Vec::new();
        for _ in 0..MAX_PENDING {
            hubs.push(UnixStream::connect(dir.path().join("s")).unwrap());
            introductions.accept().unwrap();
        }
        assert!(introductions.listener().is_none());
    }
}
