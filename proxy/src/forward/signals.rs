//! Signals that end the program, or ask it for its counters, as a descriptor to wait for.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::process::Signal;

/// The signals that end the program.
pub const ENDING: [Signal; 3] = [Signal::HUP, Signal::INT, Signal::TERM];

/// The signal that asks for the counters.
pub const REPORT: Signal = Signal::USR1;

/// Signals that were asked for. They no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals in this thread, and in all threads that it starts from now on, and takes them
    /// instead.
    ///
    /// # Errors
    ///
    /// The kernel gives no descriptor.
    pub fn take(signals: &[Signal]) -> io::Result<Self> {
        let mut set = empty_set();
        for signal in signals {
            // SAFETY: the set is a valid one, and so is the signal.
            unsafe { libc::sigaddset(&raw mut set, signal.as_raw()) };
        }
        // SAFETY: the set is read, and a null pointer for the previous one is allowed.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        // SAFETY: the set is read; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// A signal that has come, if any.
    #[must_use]
    pub fn next(&self) -> Option<Signal> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        let len = rustix::io::read(&self.0, &mut info).ok()?;
        let number = info.get(..len)?.first_chunk::<4>()?;
        Signal::from_named_raw(i32::try_from(u32::from_ne_bytes(*number)).ok()?)
    }
}

/// Lets this thread be reached by all signals again. Async-signal-safe.
///
/// # Errors
///
/// None that the kernel documents.
pub fn unblock() -> io::Result<()> {
    let set = empty_set();
    // SAFETY: the set is read, and a null pointer for the previous one is allowed.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the pointer is that of a set, which the call writes as a whole.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set was written just now.
    unsafe { set.assume_init() }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
