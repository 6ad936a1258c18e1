//! Signals as something to wait for, instead of code that interrupts other code.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

/// The signals that the supervisor acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: end.
    End,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// Receives SIGTERM, SIGINT and SIGHUP, which no longer act by themselves.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

/// The part of `struct signalfd_siginfo` that is used begins with the signal's number; the kernel always hands
/// out the whole structure.
const SIGINFO_LEN: usize = size_of::<libc::signalfd_siginfo>();

impl Signals {
    /// Blocks the signals in the calling thread, and in threads that it makes later.
    ///
    /// # Errors
    /// The kernel has no descriptors left.
    pub fn block() -> io::Result<Self> {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the pointer is that of a set, which the call writes as a whole.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: the set was written just now.
        let mut set = unsafe { set.assume_init() };
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            // SAFETY: the set is a valid one, and so is the signal.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: the set is read, and a null pointer for the previous one is allowed.
        let blocked = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if blocked != 0 {
            return Err(io::Error::from_raw_os_error(blocked));
        }
        // SAFETY: the set is read; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The next signal that has arrived, if any.
    pub fn next(&self) -> Option<Signal> {
        let mut info = [0_u8; SIGINFO_LEN];
        if rustix::io::read(&self.fd, &mut info).ok()? != SIGINFO_LEN {
            return None;
        }
        let number = info.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))?;
        let reload = u32::try_from(libc::SIGHUP) == Ok(number);
        Some(if reload { Signal::Reload } else { Signal::End })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
