//! The kernel's AF_VSOCK.

use std::mem::size_of;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType};

use super::unix::BACKLOG;
use super::{VSOCK_ANY, VsockCid};

/// A `struct sockaddr_vm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketAddrVsock {
    pub(crate) cid: u32,
    pub(crate) port: u32,
}

const FAMILY: libc::sa_family_t = {
    assert!(libc::AF_VSOCK > 0 && libc::AF_VSOCK <= 0xffff);
    #[allow(clippy::cast_possible_truncation, reason = "just checked")]
    {
        libc::AF_VSOCK as libc::sa_family_t
    }
};

// SAFETY: the pointer is to a whole `sockaddr_vm` that lives until `f` has returned, and the length is its own.
unsafe impl SocketAddrArg for SocketAddrVsock {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        let address = libc::sockaddr_vm {
            svm_family: FAMILY,
            svm_reserved1: 0,
            svm_port: self.port,
            svm_cid: self.cid,
            svm_zero: [0; 4],
        };
        f((&raw const address).cast(), ADDRESS_LEN)
    }
}

const ADDRESS_LEN: SocketAddrLen = 16;
const _: () = assert!(size_of::<libc::sockaddr_vm>() == 16);

impl SocketAddrVsock {
    /// The address, if it is one of vsock.
    pub(crate) fn read(address: &SocketAddrAny) -> Option<Self> {
        if address.address_family() != AddressFamily::VSOCK || address.addr_len() < ADDRESS_LEN {
            return None;
        }
        // SAFETY: rustix keeps the first `addr_len` bytes behind this pointer initialised, which was just found to be a
        // whole `sockaddr_vm`, a structure of numbers for which every content is valid. The alignment is not relied on.
        let address = unsafe { address.as_ptr().cast::<libc::sockaddr_vm>().read_unaligned() };
        Some(Self { cid: address.svm_cid, port: address.svm_port })
    }
}

fn socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::VSOCK, SocketType::STREAM, flags, None)
}

/// A non-blocking socket that is connecting; it is writable when that has succeeded or failed.
pub(super) fn dial(cid: u32, port: u32) -> Result<OwnedFd, Errno> {
    let socket = socket()?;
    match rustix::net::connect(&socket, &SocketAddrVsock { cid, port }) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// A non-blocking socket that listens on a port. The kernel cannot restrict it to one caller.
pub(crate) fn bind(port: u32) -> Result<OwnedFd, Errno> {
    let socket = socket()?;
    rustix::net::bind(&socket, &SocketAddrVsock { cid: VSOCK_ANY, port })?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

impl VsockCid {
    /// Whether a listener for this takes the calls of a machine.
    #[must_use]
    pub fn admits(self, cid: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Is(wanted) => wanted == cid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_the_kernel_expects_and_reads_back() {
        let address = SocketAddrVsock { cid: 0x0102_0304, port: 0x0506_0708 };
        let copy = |pointer: *const SocketAddrOpaque, len| {
            let len = usize::try_from(len).expect("short");
            // SAFETY: `with_sockaddr` says that the pointer is valid for so many bytes, as long as this is running.
            unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), len) }.to_vec()
        };
        // SAFETY: the closure reads no more than the bytes that it is given, and keeps no pointer.
        let bytes = unsafe { address.with_sockaddr(copy) };
        // From linux/vm_sockets.h: family, reserved, port, CID, flags and zeros, in the order of the machine.
        let mut expected = 40_u16.to_ne_bytes().to_vec();
        expected.extend_from_slice(&[0; 2]);
        expected.extend_from_slice(&0x0506_0708_u32.to_ne_bytes());
        expected.extend_from_slice(&0x0102_0304_u32.to_ne_bytes());
        expected.extend_from_slice(&[0; 4]);
        assert_eq!(bytes, expected);
        assert_eq!(SocketAddrVsock::read(&address.as_any()), Some(address));
    }

    #[test]
    fn addresses_of_other_families_are_none_of_vsock() {
        let unix = rustix::net::SocketAddrUnix::new("/a").expect("short path");
        assert_eq!(SocketAddrVsock::read(&unix.into()), None);
    }

    #[test]
    fn a_listener_for_one_machine_admits_no_other() {
        assert!(VsockCid::Any.admits(3) && VsockCid::Is(3).admits(3));
        assert!(!VsockCid::Is(3).admits(2) && !VsockCid::Is(3).admits(4));
    }
}
