//! A stream of a VM between being accepted and being handed over.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use virtio_wl::address::Connecting;
use virtio_wl::wire::{HELLO_LEN, Hello, Purpose, WireError};

use crate::hub::decision::Refusal;

/// The first pause between two attempts to hand a stream over. Each following one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// A stream that the supervisor still holds.
#[derive(Debug)]
pub(super) struct Stream {
    /// Index of the VM.
    pub(super) vm: usize,
    pub(super) socket: OwnedFd,
    pub(super) gate: Gate,
    hello: [u8; HELLO_LEN],
    pub(super) stage: Stage,
    deadline: Instant,
}

/// How far the stream has come to the gate.
#[derive(Debug, Default)]
pub(super) enum Gate {
    /// Nowhere.
    #[default]
    Unknown,
    /// It is being called.
    Calling(Connecting),
    /// It has been told who is calling. A stream is introduced once, so this is kept should the relay be gone.
    Introduced(OwnedFd),
}

/// What the stream waits for.
#[derive(Debug)]
pub(super) enum Stage {
    /// The rest of its hello.
    Hello {
        /// Bytes that have come.
        filled: usize,
    },
    /// The gate, or a relay to be started.
    HandOver {
        /// What the VM wants.
        purpose: Purpose,
        /// When to try again.
        at: Instant,
        /// How long to wait after that.
        pause: Duration,
    },
    /// The relay's word that the stream has reached it. Until then the descriptors are kept: should the relay be dying, the
    /// next one gets them, and no byte is lost.
    Taking {
        /// What the VM wants.
        purpose: Purpose,
    },
}

/// How far the hello has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HelloProgress {
    Incomplete,
    Complete,
}

impl Stream {
    pub(super) fn new(vm: usize, socket: OwnedFd, deadline: Instant) -> Self {
        Self {
            vm,
            socket,
            gate: Gate::Unknown,
            hello: [0; HELLO_LEN],
            stage: Stage::Hello { filled: 0 },
            deadline,
        }
    }

    /// When the stream needs attention even if nothing happens.
    pub(super) fn due(&self) -> Instant {
        match self.stage {
            Stage::Hello { .. } | Stage::Taking { .. } => self.deadline,
            Stage::HandOver { at, .. } => at.min(self.deadline),
        }
    }

    /// The hello as it came; only meaningful once it is complete.
    pub(super) fn hello(&self) -> [u8; HELLO_LEN] {
        self.hello
    }

    pub(super) fn purpose(&self) -> Option<Purpose> {
        match self.stage {
            Stage::Hello { .. } => None,
            Stage::HandOver { purpose, .. } | Stage::Taking { purpose } => Some(purpose),
        }
    }

    /// Reads what is missing of the hello, and not a byte beyond it.
    pub(super) fn read_hello(&mut self) -> Result<HelloProgress, Refusal> {
        let Stage::Hello { filled } = &mut self.stage else { return Ok(HelloProgress::Incomplete) };
        loop {
            let rest = self.hello.get_mut(*filled..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(HelloProgress::Complete);
            }
            match rustix::io::read(&self.socket, rest) {
                Ok(0) => return Err(Refusal::ClosedEarly),
                Ok(count) => *filled = filled.saturating_add(count),
                Err(Errno::WOULDBLOCK) => return Ok(HelloProgress::Incomplete),
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Err(Refusal::ClosedEarly),
                Err(error) => return Err(Refusal::Internal(error.into())),
            }
        }
    }

    /// Checks the hello, and goes on to the next stage, which has to be over at `deadline`.
    pub(super) fn begin_hand_over(&mut self, deadline: Instant) -> Result<(), WireError> {
        let purpose = Hello::decode(&self.hello)?.purpose;
        self.stage = Stage::HandOver { purpose, at: deadline, pause: FIRST_PAUSE };
        self.deadline = deadline;
        Ok(())
    }

    /// The stream was sent to the relay.
    pub(super) fn begin_taking(&mut self) {
        if let Stage::HandOver { purpose, .. } = self.stage {
            self.stage = Stage::Taking { purpose };
        }
    }

    /// The relay is gone. If it has not taken the stream, another one shall, within the time there was.
    pub(super) fn hand_over_again(&mut self, now: Instant) {
        if let Stage::Taking { purpose } = self.stage {
            self.stage = Stage::HandOver { purpose, at: now, pause: FIRST_PAUSE };
        }
    }

    /// Waits for an event instead of the next attempt; false if there is no time left for one.
    pub(super) fn wait(&mut self, now: Instant) -> bool {
        let Stage::HandOver { at, .. } = &mut self.stage else { return false };
        *at = self.deadline;
        now < self.deadline
    }

    /// Plans the next attempt; false if there is no time left for one.
    pub(super) fn try_later(&mut self, now: Instant) -> bool {
        let Stage::HandOver { at, pause, .. } = &mut self.stage else { return false };
        if now >= self.deadline {
            return false;
        }
        *at = now + *pause;
        *pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn stream() -> (UnixStream, Stream) {
        let (theirs, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (theirs, Stream::new(0, ours.into(), Instant::now()))
    }

    #[test]
    fn a_hello_may_come_in_pieces_and_nothing_behind_it_is_read() {
        let (mut theirs, mut stream) = stream();
        theirs.write_all(&[1; HELLO_LEN - 1]).unwrap();
        assert_eq!(stream.read_hello().unwrap(), HelloProgress::Incomplete);
        theirs.write_all(b"\x01rest").unwrap();
        assert_eq!(stream.read_hello().unwrap(), HelloProgress::Complete);
        let mut rest = [0; 16];
        assert_eq!(rustix::io::read(&stream.socket, &mut rest), Ok(4));
        assert_eq!(&rest[..4], b"rest");
    }

    #[test]
    fn a_stream_that_ends_within_its_hello_is_refused() {
        let (theirs, mut stream) = stream();
        drop(theirs);
        assert!(matches!(stream.read_hello(), Err(Refusal::ClosedEarly)));
    }

    #[test]
    fn attempts_come_at_growing_distances_until_the_deadline() {
        let (_theirs, mut stream) = stream();
        let start = Instant::now();
        let deadline = start + Duration::from_secs(2);
        stream.stage = Stage::HandOver { purpose: Purpose::Wayland, at: start, pause: FIRST_PAUSE };
        stream.deadline = deadline;
        let mut now = start;
        let mut attempts = 0;
        while stream.try_later(now) {
            assert!(stream.due() > now && stream.due() <= now + LONGEST_PAUSE && stream.due() <= deadline);
            now = stream.due();
            attempts += 1;
        }
        assert_eq!(now, deadline);
        assert!((10..30).contains(&attempts), "{attempts}");
    }
}
