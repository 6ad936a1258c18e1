//! Calls on sockets that were found in the table: what is left of the work once libc has said ENOTSOCK.

use std::ffi::c_int;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use libc::{msghdr, sockaddr, socklen_t, ssize_t};
use rustix::io::Errno;

use super::address_errno;
use super::descriptor::{CallFlags, Descriptor};
use super::message::{self, Pieces};
use super::sigpipe::SigpipeGuard;
use crate::address::Address;
use crate::mirror::MirrorBudget;
use crate::region::Region;
use crate::socket::{ConnectError, Socket, SocketOptions, StreamLimits};
use crate::wl0::DeviceError;

/// Length of all mirrors of one socket together. Programs make memory that is much longer than what they draw into (each
/// of a terminal's pools is 512 MiB), which costs an address only.
const MAX_MIRROR_BYTES: u64 = 16 << 30;
/// Content of all mirrors of one socket: what was written into them takes up memory.
const MAX_MIRROR_CONTENT: u64 = 256 << 20;

/// How sockets for C are opened.
pub(super) fn options(region: Option<Arc<Region>>) -> SocketOptions {
    let limits = StreamLimits { max_mirror_bytes: MAX_MIRROR_BYTES, ..StreamLimits::default() };
    let mirror_budget = Some(MirrorBudget::new(MAX_MIRROR_CONTENT));
    SocketOptions { region, limits, mirror_budget, ..SocketOptions::default() }
}

/// Connects to `address`, sharing `region`.
///
/// # Errors
///
/// As connect(2) has them.
pub fn connect(address: &Address, region: Option<Arc<Region>>) -> Result<Descriptor, Errno> {
    let guard = SigpipeGuard::new();
    let socket = Socket::connect(address, options(region)).map_err(|error| connect_errno(&error))?;
    drop(guard);
    Descriptor::socket(socket)
}

fn connect_errno(error: &ConnectError) -> Errno {
    match error {
        ConnectError::Address(error) => address_errno(error),
        ConnectError::Device(DeviceError::Name(_)) => Errno::INVAL,
        ConnectError::Device(DeviceError::Open(errno)) => *errno,
        // The device does not say more.
        ConnectError::Device(_) => Errno::CONNREFUSED,
        ConnectError::Stream { source, .. } => source.errno(),
    }
}

/// sendmsg(2) on a socket of this library.
///
/// # Errors
///
/// As sendmsg(2) has them.
///
/// # Safety
///
/// `message` is as sendmsg(2) wants it.
pub unsafe fn sendmsg(
    fd: BorrowedFd<'_>,
    descriptor: &Descriptor,
    message: *const msghdr,
    flags: c_int,
) -> Result<ssize_t, Errno> {
    // SAFETY: null, or valid by the contract of this function.
    let message = unsafe { message.as_ref() }.ok_or(Errno::FAULT)?;
    // SAFETY: the control part is valid for reading, and the caller keeps open what it names, by the contract of this function.
    let fds = unsafe { message::rights(message)? };
    // SAFETY: by the contract of this function.
    unsafe { send(fd, descriptor, message, &fds, flags) }
}

/// As [`sendmsg`], with descriptors that take the place of those of the message.
///
/// # Errors
///
/// As sendmsg(2) has them.
///
/// # Safety
///
/// The pieces of `message` are as sendmsg(2) wants them.
pub unsafe fn send(
    fd: BorrowedFd<'_>,
    descriptor: &Descriptor,
    message: &msghdr,
    fds: &[BorrowedFd<'_>],
    flags: c_int,
) -> Result<ssize_t, Errno> {
    if flags & libc::MSG_OOB != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    if !message.msg_name.is_null() && message.msg_namelen > 0 {
        return Err(Errno::ISCONN);
    }
    // SAFETY: the pieces are valid for reading during the call, by the contract of this function.
    let pieces = unsafe { message::slices(message.msg_iov, message.msg_iovlen)? };
    let dont_wait = flags & libc::MSG_DONTWAIT != 0 || message::is_nonblocking(fd);
    let result = descriptor.send(&pieces, fds, CallFlags { dont_wait, ..CallFlags::default() });
    if result == Err(Errno::PIPE) && flags & libc::MSG_NOSIGNAL == 0 {
        // SAFETY: raise sends a valid signal to the calling thread, as the kernel does.
        unsafe { libc::raise(libc::SIGPIPE) };
    }
    result.map(length)
}

/// recvmsg(2) on a socket of this library.
///
/// # Errors
///
/// As recvmsg(2) has them.
///
/// # Safety
///
/// `message` is as recvmsg(2) wants it.
pub unsafe fn recvmsg(
    fd: BorrowedFd<'_>,
    descriptor: &Descriptor,
    message: *mut msghdr,
    flags: c_int,
) -> Result<ssize_t, Errno> {
    if flags & libc::MSG_OOB != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    // SAFETY: null, or valid and nobody else's by the contract of this function.
    let message = unsafe { message.as_mut() }.ok_or(Errno::FAULT)?;
    // SAFETY: by the contract of this function.
    let mut pieces = unsafe { Pieces::new(message.msg_iov, message.msg_iovlen)? };
    let flag = |flag: c_int| flags & flag != 0;
    let call = CallFlags {
        dont_wait: flag(libc::MSG_DONTWAIT) || message::is_nonblocking(fd),
        peek: flag(libc::MSG_PEEK),
        wait_all: flag(libc::MSG_WAITALL),
    };
    let mut fds = Vec::new();
    let received = descriptor.receive(&mut pieces, &mut fds, call)?;
    message.msg_namelen = 0;
    // SAFETY: the control part is valid for writing by the contract of this function.
    unsafe { message::deliver(message, fds, flag(libc::MSG_CMSG_CLOEXEC)) };
    Ok(length(received))
}

/// shutdown(2) on a socket of this library.
///
/// # Errors
///
/// EINVAL for no direction that there is.
pub fn shutdown(descriptor: &Descriptor, how: c_int) -> Result<(), Errno> {
    let (read, write) = match how {
        libc::SHUT_RD => (true, false),
        libc::SHUT_WR => (false, true),
        libc::SHUT_RDWR => (true, true),
        _ => return Err(Errno::INVAL),
    };
    descriptor.shutdown(read, write)
}

/// Gives the address of a peer that has none.
///
/// # Safety
///
/// `length` is valid, and `address` is for as many bytes as it says.
pub(super) unsafe fn unspecified_address(address: *mut sockaddr, length: *mut socklen_t) {
    // SAFETY: valid by the contract of this function, and nobody else uses it during the call.
    let length = unsafe { &mut *length };
    let family = (libc::AF_UNSPEC as libc::sa_family_t).to_ne_bytes();
    let room = usize::try_from(*length).unwrap_or(0).min(family.len());
    // SAFETY: `address` is valid for as many bytes as `length` says, and no more are written; they are the caller's, and
    // cannot overlap a variable of this function.
    unsafe { std::ptr::copy_nonoverlapping(family.as_ptr(), address.cast::<u8>(), room) };
    *length = 2;
}

/// What the calls return for so many bytes: no buffer is longer than that.
fn length(len: usize) -> ssize_t {
    ssize_t::try_from(len).unwrap_or(ssize_t::MAX)
}
