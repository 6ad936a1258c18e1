//! Keeps SIGPIPE away from programs that do not know that a pipe of theirs is written here.
//!
//! The content of a pipe that crossed is written by whoever calls into the library next. When its reader is gone,
//! the kernel signals that thread, and a C program dies of SIGPIPE unless it ignores it. So the signal is blocked while
//! the library works, and one that came meanwhile is taken away.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

/// Blocks SIGPIPE in the calling thread until dropped.
pub(super) struct SigpipeGuard {
    old: Option<libc::sigset_t>,
    /// A SIGPIPE that was there before is left there.
    was_pending: bool,
    /// It has to be dropped in the thread that made it.
    _thread: PhantomData<*const ()>,
}

impl SigpipeGuard {
    pub(super) fn new() -> Self {
        let only = only_sigpipe();
        let mut old = MaybeUninit::uninit();
        // SAFETY: the first set is a valid one, and the second is written by the call if it succeeds.
        let blocked = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const only, old.as_mut_ptr()) };
        // SAFETY: the call has succeeded, so `old` was written.
        let old = (blocked == 0).then(|| unsafe { old.assume_init() });
        // One that is not blocked does not stay pending.
        // SAFETY: the set was written by the kernel.
        let was_blocked =
            old.is_some_and(|old| unsafe { libc::sigismember(&raw const old, libc::SIGPIPE) == 1 });
        let was_pending = was_blocked && is_pending();
        Self { old, was_pending, _thread: PhantomData }
    }
}

impl Drop for SigpipeGuard {
    fn drop(&mut self) {
        let Some(old) = self.old else { return };
        if !self.was_pending && is_pending() {
            let only = only_sigpipe();
            let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: set and time are valid, and no information about the signal is asked for.
            unsafe { libc::sigtimedwait(&raw const only, ptr::null_mut(), &raw const now) };
        }
        // SAFETY: `old` is the mask that this thread had, as the kernel gave it.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const old, ptr::null_mut()) };
    }
}

fn only_sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the pointer is that of a set, which the call writes as a whole.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set was written just now.
    let mut set = unsafe { set.assume_init() };
    // SAFETY: the set is a valid one, and so is the signal.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGPIPE) };
    set
}

fn is_pending() -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the pointer is that of a set, which the call writes as a whole if it returns 0.
    let written = unsafe { libc::sigpending(set.as_mut_ptr()) } == 0;
    // SAFETY: the set is looked at only if it was written.
    written && unsafe { libc::sigismember(set.as_ptr(), libc::SIGPIPE) } == 1
}
