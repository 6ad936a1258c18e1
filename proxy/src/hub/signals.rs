//! SIGTERM and SIGINT as events, so that an orderly end happens between two events and not amidst one.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;

/// A descriptor that becomes readable when the process is asked to end.
#[derive(Debug)]
pub(super) struct TerminationSignals {
    fd: OwnedFd,
}

impl TerminationSignals {
    /// Blocks SIGTERM and SIGINT for this thread and those that it starts, and collects them here instead. Processes
    /// started through `std::process` begin with nothing blocked.
    pub(super) fn new() -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set that it is given.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        for signal in [libc::SIGTERM, libc::SIGINT] {
            // SAFETY: the set was initialised above, and the signals are valid.
            unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
        }
        // SAFETY: the set is initialised; a null pointer for the previous mask is allowed.
        let masked = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()) };
        if masked != 0 {
            return Err(io::Error::from_raw_os_error(masked));
        }
        // SAFETY: the set is initialised; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The number of a signal that has come.
    pub(super) fn take(&self) -> Option<u32> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        let count = rustix::io::read(&self.fd, &mut info).ok()?;
        // The number is the first field of the structure.
        info.get(..count)?.first_chunk().copied().map(u32::from_ne_bytes)
    }
}

impl AsFd for TerminationSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Marks every descriptor from 3 on that the process was started with as not to be inherited further, so that a relay
/// gets nothing but what it is given.
pub(super) fn close_inherited_on_exec() -> io::Result<()> {
    // SAFETY: CLOSE_RANGE_CLOEXEC changes a flag of descriptors and closes none.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
