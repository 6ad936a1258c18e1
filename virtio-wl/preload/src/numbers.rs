//! Descriptor numbers: making, duplicating and closing them.

use std::ffi::{c_int, c_ulong};
use std::os::fd::IntoRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustix::io::Errno;
use virtio_wl::capi::descriptor::Descriptor;
use virtio_wl::capi::{message, table};

use crate::{epoll, real};

/// The socket behind a number, if it is one of this library.
pub fn socket(number: c_int) -> Option<Arc<Descriptor>> {
    if !table::may_be_known(number) {
        return None;
    }
    // SAFETY: the descriptor is looked at during this call only.
    catch_unwind(|| table::verified(unsafe { message::open(number) }.ok()?)).unwrap_or(None)
}

/// Runs the body of a function: -1 and errno for an error or a panic.
pub fn guarded<T: From<i8>>(body: impl FnOnce() -> Result<T, Errno>) -> T {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(Errno::IO));
    result.unwrap_or_else(|error| {
        real::set_errno(error.raw_os_error());
        T::from(-1)
    })
}

/// A number stops to be that of a socket, because it is closed or comes to mean something else.
fn forget(number: c_int) {
    if !table::may_be_known(number) && !epoll::is_used() {
        return;
    }
    // A child that borrows its parent's memory closes its own numbers, not what its parent knows of them.
    if !table::is_ours() {
        return;
    }
    let forgotten = catch_unwind(|| {
        epoll::forget(number);
        // Dropping the last reference ends the connection.
        if socket(number).is_some() {
            drop(table::remove(number));
        }
    });
    // A panic must not keep the number open.
    drop(forgotten);
}

/// # Safety
///
/// As close(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    forget(fd);
    // SAFETY: by the contract of this function.
    unsafe { real::close(fd) }
}

fn duplicate(socket: &Arc<Descriptor>, close_on_exec: bool, at_least: c_int) -> Result<c_int, Errno> {
    table::insert(socket, close_on_exec, at_least).map(IntoRawFd::into_raw_fd)
}

/// # Safety
///
/// As dup(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup(fd: c_int) -> c_int {
    match socket(fd) {
        Some(socket) => guarded(|| duplicate(&socket, false, 0)),
        // SAFETY: by the contract of this function.
        None => unsafe { real::dup(fd) },
    }
}

fn duplicate_to(old: c_int, new: c_int, make: impl FnOnce() -> c_int) -> c_int {
    if old == new {
        return make();
    }
    let socket = socket(old);
    // SAFETY: F_GETFD looks at a flag. What is not open cannot be duplicated, and then the other number stays.
    if unsafe { real::fcntl(old, libc::F_GETFD, 0) } >= 0 {
        forget(new);
    }
    let result = make();
    if let Some(socket) = socket.filter(|_| result == new) {
        guarded(|| {
            table::enter(new, socket);
            Ok(0)
        });
    }
    result
}

/// # Safety
///
/// As dup2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup2(old: c_int, new: c_int) -> c_int {
    // SAFETY: by the contract of this function.
    duplicate_to(old, new, || unsafe { real::dup2(old, new) })
}

/// # Safety
///
/// As dup3(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int {
    // SAFETY: by the contract of this function.
    duplicate_to(old, new, || unsafe { real::dup3(old, new, flags) })
}

/// # Safety
///
/// As fcntl(2). The argument is read even where the command has none: it is a word of the caller's registers
/// then, which nobody looks at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int {
    if matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC)
        && let Some(socket) = socket(fd)
    {
        let close_on_exec = command == libc::F_DUPFD_CLOEXEC;
        // The kernel takes the argument for an int, and nothing less than 0.
        let at_least = c_int::try_from(argument & c_ulong::from(u32::MAX)).map_err(|_| Errno::INVAL);
        return guarded(|| duplicate(&socket, close_on_exec, at_least?));
    }
    // SAFETY: by the contract of this function.
    unsafe { real::fcntl(fd, command, argument) }
}

/// # Safety
///
/// As [`fcntl`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: c_ulong) -> c_int {
    // SAFETY: by the contract of this function. On the systems that this library is for, both are one.
    unsafe { fcntl(fd, command, argument) }
}
