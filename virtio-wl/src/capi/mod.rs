//! The C library: `include/virtio_wl.h`, generated from this module.
//!
//! Every function sets errno and returns -1 (or null) when it fails. Those that take the descriptor of a socket call the
//! function of libc first; where that says `ENOTSOCK`, the descriptor is looked up in the [`table`] of what was made by
//! [`virtio_wl_connect`], [`virtio_wl_listen`] and [`virtio_wl_accept`], and one that is not there keeps the error of
//! libc. So a program may use them for all of its sockets.
//!
//! A panic is a mistake of this library; it never crosses into C. The call that it happened in fails with `EIO`,
//! and so does every further one on that socket. No function is to be called in a signal handler.
//!
//! What is unsafe here rests on the contracts that the header states; they are those of libc: pointers are null
//! where that is allowed, or valid.

pub mod descriptor;
pub mod message;
pub mod poll;
mod region;
mod sigpipe;
pub mod socket;
pub mod table;

use std::ffi::{CStr, c_char, c_int};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use libc::{msghdr, sockaddr, socklen_t, ssize_t};
use rustix::io::Errno;

use self::descriptor::Descriptor;
pub use self::poll::virtio_wl_poll;
pub use self::region::{
    virtio_wl_mirror_write, virtio_wl_rect, virtio_wl_region, virtio_wl_region_alloc,
    virtio_wl_region_create, virtio_wl_region_fd, virtio_wl_region_free, virtio_wl_region_len,
    virtio_wl_region_map, virtio_wl_region_open, virtio_wl_region_unref,
};
use crate::address::{Address, AddressError};

/// The most descriptors in one message.
pub const VIRTIO_WL_MAX_FDS: c_int = 28;

/// Where errno is.
fn errno_location() -> *mut c_int {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::__errno_location() }
}

fn set_errno(error: Errno) {
    // SAFETY: the errno of the calling thread, which lives as long as the thread and is nobody else's.
    unsafe { *errno_location() = error.raw_os_error() };
}

/// Runs the body of a C function: `failure` and errno for an error or a panic.
fn guarded<T>(failure: T, body: impl FnOnce() -> Result<T, Errno>) -> T {
    // What a panic leaves behind is behind a lock that it has poisoned, or was the call's own.
    let result = catch_unwind(AssertUnwindSafe(body));
    result.unwrap_or(Err(Errno::IO)).unwrap_or_else(|error| {
        set_errno(error);
        failure
    })
}

/// Turns the result of a libc function that failed with ENOTSOCK into one of the socket that it was meant for.
fn or_on_socket<T>(
    result: T,
    failure: T,
    fd: c_int,
    body: impl FnOnce(BorrowedFd<'_>, &Descriptor) -> Result<T, Errno>,
) -> T
where
    T: PartialEq,
{
    // SAFETY: as in `set_errno`.
    if result != failure || unsafe { *errno_location() } != libc::ENOTSOCK {
        return result;
    }
    guarded(failure, || {
        // SAFETY: libc has found it open; who closes it meanwhile gets what closing a descriptor in use always gives.
        let fd = unsafe { message::open(fd)? };
        let descriptor = table::verified(fd).ok_or(Errno::NOTSOCK)?;
        body(fd, &descriptor)
    })
}

/// The socket of a descriptor, for calls that libc does not have.
fn or_not_socket(fd: BorrowedFd<'_>) -> Result<Arc<Descriptor>, Errno> {
    table::verified(fd).ok_or(Errno::NOTSOCK)
}

fn address_errno(error: &AddressError) -> Errno {
    match error {
        AddressError::Inherit(_) => Errno::BADF,
        AddressError::Connect { source, .. } | AddressError::Listen { source, .. } => {
            Errno::from_io_error(source).unwrap_or(Errno::IO)
        }
        AddressError::Timeout(_) => Errno::TIMEDOUT,
        AddressError::Closed(_) => Errno::CONNREFUSED,
        AddressError::Answer { .. } => Errno::PROTO,
        AddressError::NoStream(_) => Errno::OPNOTSUPP,
        AddressError::NoDestination(_) => Errno::DESTADDRREQ,
        AddressError::Parse { .. } => Errno::INVAL,
    }
}

/// # Safety
///
/// `address` is null or a string.
unsafe fn parse(address: *const c_char) -> Result<Address, Errno> {
    if address.is_null() {
        return Err(Errno::FAULT);
    }
    // SAFETY: not null, and a string by the contract of this function.
    let text = unsafe { CStr::from_ptr(address) };
    text.to_str().ok().and_then(|text| text.parse().ok()).ok_or(Errno::INVAL)
}

fn check_flags(flags: c_int, allowed: c_int) -> Result<(), Errno> {
    if flags & !allowed == 0 { Ok(()) } else { Err(Errno::INVAL) }
}

/// A number for `descriptor`, with the flags that accept4(2) takes.
fn publish(descriptor: Descriptor, flags: c_int) -> Result<c_int, Errno> {
    if flags & libc::SOCK_NONBLOCK != 0 {
        rustix::fs::fcntl_setfl(descriptor.set(), rustix::fs::OFlags::NONBLOCK)?;
    }
    let close_on_exec = flags & libc::SOCK_CLOEXEC != 0;
    table::insert(&Arc::new(descriptor), close_on_exec, 0).map(IntoRawFd::into_raw_fd)
}

/// Connects to an address such as "unix:/run/x.sock" and returns the descriptor of a socket.
///
/// The call does not wait for the other side: a message that is sent before it has answered waits, or fails with
/// EAGAIN. `region` is the memory that both sides share, or null; it can be released at once. `flags` are
/// SOCK_CLOEXEC and SOCK_NONBLOCK. Fails with EINVAL for what is no address, else as connect(2).
///
/// # Safety
///
/// `address` is a string; `region` is null or a region that was not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_connect(
    address: *const c_char,
    region: *const virtio_wl_region,
    flags: c_int,
) -> c_int {
    guarded(-1, || {
        check_flags(flags, libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)?;
        // SAFETY: a string, by the contract of this function.
        let address = unsafe { parse(address)? };
        // SAFETY: null or a region that was not released, by the contract of this function.
        let region = unsafe { region::shared(region) };
        publish(socket::connect(&address, region)?, flags)
    })
}

/// Listens on an address and returns a descriptor for virtio_wl_accept(), which is readable when there is a connection.
///
/// `region` is the memory that is shared with whoever connects, or null; it can be released at once. `flags` are
/// SOCK_CLOEXEC and SOCK_NONBLOCK. Fails with EINVAL for what is no address, else as bind(2) and listen(2).
///
/// # Safety
///
/// As for [`virtio_wl_connect`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_listen(
    address: *const c_char,
    region: *const virtio_wl_region,
    flags: c_int,
) -> c_int {
    guarded(-1, || {
        check_flags(flags, libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)?;
        // SAFETY: a string, by the contract of this function.
        let address = unsafe { parse(address)? };
        // SAFETY: null or a region that was not released, by the contract of this function.
        let region = unsafe { region::shared(region) };
        let listener = address.listen().map_err(|error| address_errno(&error))?;
        publish(Descriptor::listener(listener, region)?, flags)
    })
}

/// Accepts a connection: accept4(2).
///
/// For a descriptor of virtio_wl_listen() the address of the peer is given as one of the family AF_UNSPEC.
///
/// # Safety
///
/// `address` and `length` are as accept4(2) wants them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_accept(
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> c_int {
    // SAFETY: by the contract of this function, which is that of accept4.
    let result = unsafe { libc::accept4(fd, address, length, flags) };
    or_on_socket(result, -1, fd, |fd, descriptor| {
        check_flags(flags, libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)?;
        let socket = descriptor.accept(message::is_nonblocking(fd))?;
        if !address.is_null() && !length.is_null() {
            // SAFETY: both are valid by the contract of this function, `address` for as many bytes as `length` says.
            unsafe { socket::unspecified_address(address, length) };
        }
        publish(Descriptor::socket(socket)?, flags)
    })
}

/// Sends a message: sendmsg(2).
///
/// For a socket of this library, the descriptors of SCM_RIGHTS (at most VIRTIO_WL_MAX_FDS) become what they stand
/// for: EOPNOTSUPP if one of them cannot cross, ETOOMANYREFS if they are too many. The flags MSG_DONTWAIT and
/// MSG_NOSIGNAL are obeyed and others are ignored, but for MSG_OOB, which is refused. A signal that is caught ends a
/// wait with EINTR, even with SA_RESTART.
///
/// # Safety
///
/// `message` is as sendmsg(2) wants it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: by the contract of this function, which is that of sendmsg.
    let result = unsafe { libc::sendmsg(fd, message, flags) };
    or_on_socket(result, -1, fd, |fd, descriptor| {
        // SAFETY: by the contract of this function.
        unsafe { socket::sendmsg(fd, descriptor, message, flags) }
    })
}

/// Receives a message: recvmsg(2).
///
/// For a socket of this library, the flags MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL and MSG_CMSG_CLOEXEC are obeyed and
/// others are ignored, but for MSG_OOB, which is refused. Descriptors that the control part has no room for are
/// closed, which MSG_CTRUNC in the flags of the message says. A signal that is caught ends a wait with EINTR,
/// even with SA_RESTART.
///
/// # Safety
///
/// `message` is as recvmsg(2) wants it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtio_wl_recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: by the contract of this function, which is that of recvmsg.
    let result = unsafe { libc::recvmsg(fd, message, flags) };
    or_on_socket(result, -1, fd, |fd, descriptor| {
        // SAFETY: by the contract of this function.
        unsafe { socket::recvmsg(fd, descriptor, message, flags) }
    })
}

/// Ends one or both directions: shutdown(2).
#[unsafe(no_mangle)]
pub extern "C" fn virtio_wl_shutdown(fd: c_int, how: c_int) -> c_int {
    // SAFETY: shutdown touches no memory.
    let result = unsafe { libc::shutdown(fd, how) };
    or_on_socket(result, -1, fd, |_, descriptor| socket::shutdown(descriptor, how).map(|()| 0))
}

/// Another number for a descriptor: dup(2). A socket lives until all of its numbers are closed.
#[unsafe(no_mangle)]
pub extern "C" fn virtio_wl_dup(fd: c_int) -> c_int {
    guarded(-1, || {
        // SAFETY: the descriptor is only looked at during this call.
        let known = unsafe { message::open(fd)? };
        match table::verified(known) {
            Some(descriptor) => table::insert(&descriptor, false, 0).map(IntoRawFd::into_raw_fd),
            None => rustix::io::dup(known.as_fd()).map(IntoRawFd::into_raw_fd),
        }
    })
}

/// Closes a descriptor: close(2).
///
/// The last number of a socket ends the connection in order. Unless the descriptor is non-blocking, the call
/// waits up to two seconds for the other side to take what was sent.
#[unsafe(no_mangle)]
pub extern "C" fn virtio_wl_close(fd: c_int) -> c_int {
    let ended = catch_unwind(|| {
        // SAFETY: the descriptor is only looked at during this call.
        let known = unsafe { message::open(fd) }.ok()?;
        drop(table::verified(known)?);
        table::is_ours().then(|| table::remove(fd)).flatten()
    });
    // A panic must not keep the descriptor open. Who still uses the socket in another thread ends it with that.
    drop(ended);
    // SAFETY: the number is the caller's, who gives it up.
    unsafe { libc::close(fd) }
}
