//! poll(2) and ppoll(2).

use std::ffi::c_int;
use std::time::{Duration, Instant};

use libc::{nfds_t, pollfd, sigset_t, size_t, timespec};
use rustix::io::Errno;
use virtio_wl::capi::{poll, table};

use crate::numbers::guarded;
use crate::real;

/// Waits for descriptors of which one may be a socket of this library.
///
/// # Safety
///
/// `fds` is valid for `count` elements, and `mask` is null or valid.
unsafe fn wait(fds: *mut pollfd, count: nfds_t, timeout: Option<Duration>, mask: *const sigset_t) -> c_int {
    guarded(|| {
        let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
        // SAFETY: valid for that many elements by the contract of this function; there is at least one.
        let fds = unsafe { std::slice::from_raw_parts_mut(fds, count) };
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        poll::wait(fds, deadline, |fds, left| {
            let left = left.map(|left| timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            let count = nfds_t::try_from(fds.len()).map_err(|_| Errno::INVAL)?;
            // SAFETY: the slice is valid for as many elements as it has, the time for this call, the mask by the
            // contract of this function.
            let ready = unsafe { real::ppoll(fds.as_mut_ptr(), count, left, mask) };
            if ready < 0 { Err(Errno::from_raw_os_error(real::errno())) } else { Ok(()) }
        })
    })
}

/// Whether a socket of this library may be among the descriptors.
///
/// # Safety
///
/// `fds` is null or valid for `count` elements.
unsafe fn concerns_us(fds: *const pollfd, count: nfds_t) -> bool {
    let count = usize::try_from(count).unwrap_or(0);
    if fds.is_null() || count == 0 {
        return false;
    }
    // SAFETY: not null, and valid for that many elements by the contract of this function.
    let fds = unsafe { std::slice::from_raw_parts(fds, count) };
    fds.iter().any(|fd| table::may_be_known(fd.fd))
}

/// # Safety
///
/// As poll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: by the contract of this function.
    if !unsafe { concerns_us(fds, count) } {
        // SAFETY: as above.
        return unsafe { real::poll(fds, count, timeout) };
    }
    let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
    // SAFETY: as above; there is no mask.
    unsafe { wait(fds, count, timeout, std::ptr::null()) }
}

/// # Safety
///
/// As ppoll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ppoll(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: by the contract of this function.
    if !unsafe { concerns_us(fds, count) } {
        // SAFETY: as above.
        return unsafe { real::ppoll(fds, count, timeout, mask) };
    }
    // SAFETY: null, or valid by the contract of this function.
    let timeout = unsafe { timeout.as_ref() };
    let is_time = |time: &timespec| time.tv_sec >= 0 && (0..1_000_000_000).contains(&time.tv_nsec);
    if timeout.is_some_and(|time| !is_time(time)) {
        real::set_errno(libc::EINVAL);
        return -1;
    }
    let timeout = timeout.map(|time| {
        let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
        seconds.saturating_add(Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0)))
    });
    // SAFETY: as above.
    unsafe { wait(fds, count, timeout, mask) }
}

/// What poll(2) is in programs that are compiled with checks of their buffers.
///
/// # Safety
///
/// As poll(2), with `size` the length of the list in bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __poll_chk(fds: *mut pollfd, count: nfds_t, timeout: c_int, size: size_t) -> c_int {
    check(count, size);
    // SAFETY: by the contract of this function.
    unsafe { poll(fds, count, timeout) }
}

/// What ppoll(2) is in programs that are compiled with checks of their buffers.
///
/// # Safety
///
/// As ppoll(2), with `size` the length of the list in bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __ppoll_chk(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
    size: size_t,
) -> c_int {
    check(count, size);
    // SAFETY: by the contract of this function.
    unsafe { ppoll(fds, count, timeout, mask) }
}

/// Ends the program, as libc does, if it would wait for more than its list has.
fn check(count: nfds_t, size: size_t) {
    if usize::try_from(count).is_ok_and(|count| size / size_of::<pollfd>() < count) {
        std::process::abort();
    }
}
