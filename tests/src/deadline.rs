//! Ends of waits.
//!
//! A test waits for an event and fails when the event does not come. How long it waits says nothing about
//! the programs, only about how slow a machine may be: the lengths are generous, and a passing test never
//! spends them. Where the time itself is promised (a restart within a second, say), the test measures it.

use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

/// How long a test waits for something that takes milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Says how long in seconds, where something is expected not to come.
pub const PATIENCE_VARIABLE: &str = "VITRAIL_TEST_PATIENCE";

/// A point in time at which a wait is given up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `length` from now.
    #[must_use]
    pub fn after(length: Duration) -> Self {
        Self(Instant::now() + length)
    }

    /// The deadline [`PATIENCE`] from now, or as many seconds as [`PATIENCE_VARIABLE`] says.
    #[must_use]
    pub fn patient() -> Self {
        static LENGTH: OnceLock<Duration> = OnceLock::new();
        let said = || std::env::var(PATIENCE_VARIABLE).ok()?.parse().ok().map(Duration::from_secs);
        Self::after(*LENGTH.get_or_init(|| said().unwrap_or(PATIENCE)))
    }

    /// The time that is left; zero when the deadline has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether the deadline has passed.
    #[must_use]
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }

    /// Waits until `fd` has one of `events` (or an error, or was hung up). False when the deadline passed
    /// before.
    ///
    /// # Panics
    ///
    /// When poll(2) itself fails.
    #[must_use]
    pub fn wait(self, fd: BorrowedFd<'_>, events: PollFlags) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(fd, events)];
        self.wait_any(&mut fds)
    }

    /// Waits until one of `fds` is ready; false when the deadline passed before.
    ///
    /// # Panics
    ///
    /// When poll(2) itself fails.
    #[must_use]
    pub fn wait_any(self, fds: &mut [PollFd<'_>]) -> bool {
        loop {
            let left = Timespec::try_from(self.left()).expect("a deadline is at most minutes away");
            match rustix::event::poll(fds, Some(&left)) {
                Ok(0) if self.passed() => return false,
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return true,
                Err(error) => panic!("poll: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_wait_ends_at_its_deadline_without_the_event() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(!Deadline::after(Duration::from_millis(20)).wait(reader.as_fd(), PollFlags::IN));
    }

    #[test]
    fn a_wait_ends_with_the_event() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(writer);
        assert!(Deadline::patient().wait(reader.as_fd(), PollFlags::IN));
    }
}
