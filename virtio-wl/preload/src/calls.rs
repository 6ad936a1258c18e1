//! Connecting, sending and receiving.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};
use rustix::io::Errno;
use rustix::net::SocketType;
use virtio_wl::Address;
use virtio_wl::capi::descriptor::Descriptor;
use virtio_wl::capi::{message, socket, table};

use crate::numbers::{guarded, socket as ours};
use crate::{address, memory, real};

/// How long a blocking connect(2) waits for the other side's answer.
const ANSWER: Duration = Duration::from_secs(10);

thread_local! {
    /// This thread is connecting to an address: the paths on the way there are just paths.
    static CONNECTING: Cell<bool> = const { Cell::new(false) };
}

/// # Safety
///
/// As connect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    // SAFETY: by the contract of this function.
    let result = unsafe { real::connect(fd, address, length) };
    // Whatever exists under that path has precedence.
    if result == 0 || !matches!(real::errno(), libc::ENOENT | libc::ENOTDIR) || CONNECTING.get() {
        return result;
    }
    let missing = real::errno();
    // SAFETY: by the contract of this function.
    let path = unsafe { address::path(address, length) };
    let runtime = std::env::var_os("XDG_RUNTIME_DIR");
    match path.and_then(|path| address::of_path(path, runtime.as_deref())) {
        Some(elsewhere) => {
            CONNECTING.set(true);
            let result = guarded(|| replace(fd, &elsewhere).map(|()| 0));
            // After a panic, too.
            CONNECTING.set(false);
            result
        }
        None => {
            real::set_errno(missing);
            result
        }
    }
}

/// Puts a socket that is connected to `address` in the place of an unconnected one.
fn replace(fd: c_int, address: &Address) -> Result<(), Errno> {
    // SAFETY: the descriptor is used during this call only.
    let old = unsafe { message::open(fd)? };
    if rustix::net::sockopt::socket_type(old)? != SocketType::STREAM {
        return Err(Errno::PROTOTYPE);
    }
    let nonblocking = message::is_nonblocking(old);
    let socket = socket::connect(address, None)?;
    if nonblocking {
        rustix::fs::fcntl_setfl(socket.set(), rustix::fs::OFlags::NONBLOCK)?;
    } else {
        socket.wait_open(ANSWER)?;
    }
    let close_on_exec = rustix::io::fcntl_getfd(old)?.contains(rustix::io::FdFlags::CLOEXEC);
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: dup3 replaces a number that the program has asked to be connected, by a descriptor that is open.
    if unsafe { real::dup3(socket.set().as_raw_fd(), fd, flags) } < 0 {
        return Err(Errno::from_raw_os_error(real::errno()));
    }
    // The virtio_wl device makes memory of the length that it is asked for.
    memory::begin(&socket, !matches!(address, Address::Wl0 { .. }));
    table::enter(fd, Arc::new(socket));
    Ok(())
}

/// # Safety
///
/// `message` is as sendmsg(2) wants it.
unsafe fn send_message(fd: c_int, socket: &Arc<Descriptor>, message: *const msghdr, flags: c_int) -> ssize_t {
    guarded(|| {
        // SAFETY: the descriptor is used during this call only.
        let fd = unsafe { message::open(fd)? };
        // SAFETY: null, or valid by the contract of this function.
        let content = unsafe { message.as_ref() }.ok_or(Errno::FAULT)?;
        // SAFETY: the control part is valid by the contract of this function.
        let mut fds = unsafe { message::rights(content)? };
        let waits = flags & libc::MSG_DONTWAIT == 0 && !message::is_nonblocking(fd);
        let instead = memory::bring_up_to_date(socket, &fds, waits)?;
        for (index, fd) in fds.iter_mut().enumerate() {
            *fd = instead.get(&index).map_or(*fd, |instead| instead.as_fd());
        }
        // SAFETY: by the contract of this function.
        unsafe { socket::send(fd, socket, content, &fds, flags) }
    })
}

/// # Safety
///
/// `message` is as recvmsg(2) wants it.
unsafe fn receive_message(fd: c_int, socket: &Descriptor, message: *mut msghdr, flags: c_int) -> ssize_t {
    guarded(|| {
        // SAFETY: the descriptor is used during this call only.
        let fd = unsafe { message::open(fd)? };
        // SAFETY: by the contract of this function.
        unsafe { socket::recvmsg(fd, socket, message, flags) }
    })
}

/// A message without descriptors.
fn plain(pieces: *const iovec, count: usize) -> msghdr {
    msghdr {
        msg_name: std::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: pieces.cast_mut(),
        msg_iovlen: count,
        msg_control: std::ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    }
}

/// # Safety
///
/// The pieces are valid for reading.
unsafe fn send_pieces(
    fd: c_int,
    socket: &Arc<Descriptor>,
    pieces: *const iovec,
    count: usize,
    flags: c_int,
) -> ssize_t {
    let message = plain(pieces, count);
    // SAFETY: by the contract of this function.
    unsafe { send_message(fd, socket, &raw const message, flags) }
}

/// # Safety
///
/// The pieces are valid for writing.
unsafe fn receive_pieces(
    fd: c_int,
    socket: &Descriptor,
    pieces: *const iovec,
    count: usize,
    flags: c_int,
) -> ssize_t {
    let mut message = plain(pieces, count);
    // SAFETY: by the contract of this function.
    unsafe { receive_message(fd, socket, &raw mut message, flags) }
}

/// The most pieces of writev(2) and readv(2), as the kernel has it (UIO_MAXIOV).
const MAX_PIECES: usize = 1024;

/// How many pieces writev(2) and readv(2) have. A negative count or too many are EINVAL there.
fn count_of(count: c_int) -> Result<usize, Errno> {
    usize::try_from(count).ok().filter(|count| *count <= MAX_PIECES).ok_or(Errno::INVAL)
}

/// # Safety
///
/// As sendmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    match ours(fd) {
        // SAFETY: by the contract of this function.
        Some(socket) => unsafe { send_message(fd, &socket, message, flags) },
        // SAFETY: as above.
        None => unsafe { real::sendmsg(fd, message, flags) },
    }
}

/// # Safety
///
/// As recvmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    match ours(fd) {
        // SAFETY: by the contract of this function.
        Some(socket) => unsafe { receive_message(fd, &socket, message, flags) },
        // SAFETY: as above.
        None => unsafe { real::recvmsg(fd, message, flags) },
    }
}

/// # Safety
///
/// As send(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(fd: c_int, bytes: *const c_void, length: size_t, flags: c_int) -> ssize_t {
    let piece = iovec { iov_base: bytes.cast_mut(), iov_len: length };
    match ours(fd) {
        // SAFETY: by the contract of this function.
        Some(socket) => unsafe { send_pieces(fd, &socket, &raw const piece, 1, flags) },
        // SAFETY: as above.
        None => unsafe { real::send(fd, bytes, length, flags) },
    }
}

/// # Safety
///
/// As recv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recv(fd: c_int, bytes: *mut c_void, length: size_t, flags: c_int) -> ssize_t {
    let piece = iovec { iov_base: bytes, iov_len: length };
    match ours(fd) {
        // SAFETY: by the contract of this function.
        Some(socket) => unsafe { receive_pieces(fd, &socket, &raw const piece, 1, flags) },
        // SAFETY: as above.
        None => unsafe { real::recv(fd, bytes, length, flags) },
    }
}

/// # Safety
///
/// As write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, length: size_t) -> ssize_t {
    let piece = iovec { iov_base: bytes.cast_mut(), iov_len: length };
    match ours(fd) {
        // SAFETY: by the contract of this function.
        Some(socket) => unsafe { send_pieces(fd, &socket, &raw const piece, 1, 0) },
        // SAFETY: as above.
        None => unsafe { real::write(fd, bytes, length) },
    }
}

/// # Safety
///
/// As read(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: c_int, bytes: *mut c_void, length: size_t) -> ssize_t {
    let piece = iovec { iov_base: bytes, iov_len: length };
    match ours(fd) {
        // SAFETY: by the contract of this function.
        Some(socket) => unsafe { receive_pieces(fd, &socket, &raw const piece, 1, 0) },
        // SAFETY: as above.
        None => unsafe { real::read(fd, bytes, length) },
    }
}

/// # Safety
///
/// As writev(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    match ours(fd) {
        // SAFETY: by the contract of this function.
        Some(socket) => guarded(|| Ok(unsafe { send_pieces(fd, &socket, pieces, count_of(count)?, 0) })),
        // SAFETY: as above.
        None => unsafe { real::writev(fd, pieces, count) },
    }
}

/// # Safety
///
/// As readv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readv(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    match ours(fd) {
        // SAFETY: by the contract of this function.
        Some(socket) => guarded(|| Ok(unsafe { receive_pieces(fd, &socket, pieces, count_of(count)?, 0) })),
        // SAFETY: as above.
        None => unsafe { real::readv(fd, pieces, count) },
    }
}

/// # Safety
///
/// As shutdown(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    match ours(fd) {
        Some(socket) => guarded(|| socket::shutdown(&socket, how).map(|()| 0)),
        // SAFETY: by the contract of this function.
        None => unsafe { real::shutdown(fd, how) },
    }
}

/// # Safety
///
/// As getsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    if ours(fd).is_none() {
        // SAFETY: by the contract of this function.
        return unsafe { real::getsockopt(fd, level, name, value, length) };
    }
    guarded(|| {
        let answer = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => libc::AF_UNIX,
            (libc::SOL_SOCKET, libc::SO_ERROR | libc::SO_ACCEPTCONN | libc::SO_PROTOCOL) => 0,
            // The kernel knows nothing of a peer that is on another machine.
            _ => return Err(Errno::NOPROTOOPT),
        };
        if value.is_null() || length.is_null() {
            return Err(Errno::FAULT);
        }
        // SAFETY: not null, and valid by the contract of this function.
        let asked = unsafe { length.read_unaligned() };
        let room = usize::try_from(asked).unwrap_or(0).min(size_of::<c_int>());
        // SAFETY: `value` is valid for as many bytes as were asked for, and no more of the answer is written.
        unsafe { std::ptr::copy_nonoverlapping(answer.to_ne_bytes().as_ptr(), value.cast(), room) };
        // SAFETY: as for reading it.
        unsafe { length.write_unaligned(room.try_into().unwrap_or(0)) };
        Ok(0)
    })
}
