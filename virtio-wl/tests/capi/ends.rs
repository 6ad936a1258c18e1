//! When a connection ends, seen from the other end, whose calls these are.

use std::ffi::{CString, c_int};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use virtio_wl::capi::{self, table};

/// Both ends of a connection, and what it was made with.
struct Connections {
    _directory: tempfile::TempDir,
    address: CString,
    listener: c_int,
}

impl Connections {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let address = format!("unix:{}", directory.path().join("ends").display());
        let address = CString::new(address).expect("no zeros");
        // SAFETY: the address is a string, and there is no region.
        let listener =
            unsafe { capi::virtio_wl_listen(address.as_ptr(), std::ptr::null(), libc::SOCK_CLOEXEC) };
        assert!(listener >= 0);
        Self { _directory: directory, address, listener }
    }

    /// A connection over which something went each way, so that neither end waits for a hello any more.
    fn pair(&self) -> (c_int, c_int) {
        // SAFETY: the address is a string, and there is no region.
        let near =
            unsafe { capi::virtio_wl_connect(self.address.as_ptr(), std::ptr::null(), libc::SOCK_CLOEXEC) };
        let null = std::ptr::null_mut();
        // SAFETY: no address is asked for.
        let far = unsafe { capi::virtio_wl_accept(self.listener, null, null.cast(), libc::SOCK_CLOEXEC) };
        for (from, to) in [(near, far), (far, near)] {
            assert_eq!(send(from, b"x"), 1);
            assert_eq!(receive(to), Ok(1));
        }
        (near, far)
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        capi::virtio_wl_close(self.listener);
    }
}

fn message(piece: &mut libc::iovec) -> libc::msghdr {
    libc::msghdr {
        msg_name: std::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: piece,
        msg_iovlen: 1,
        msg_control: std::ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    }
}

fn send(fd: c_int, bytes: &[u8]) -> isize {
    let mut piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let message = message(&mut piece);
    // SAFETY: the message has one piece, which is only read.
    unsafe { capi::virtio_wl_sendmsg(fd, &raw const message, libc::MSG_NOSIGNAL) }
}

fn receive(fd: c_int) -> Result<isize, Option<c_int>> {
    let mut bytes = [0_u8; 8];
    let mut piece = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut message = message(&mut piece);
    // SAFETY: the message has one piece, which is valid for writing.
    let received = unsafe { capi::virtio_wl_recvmsg(fd, &raw mut message, 0) };
    if received < 0 { Err(std::io::Error::last_os_error().raw_os_error()) } else { Ok(received) }
}

/// A thread that waited for a connection while another closed it kept it from ever ending: its peer was told that the
/// connection broke off.
#[test]
fn a_connection_that_a_thread_uses_while_it_is_closed_ends_in_order_after_that() {
    let connections = Connections::new();
    let (near, far) = connections.pair();
    // SAFETY: open until it is closed below.
    let used = table::verified(unsafe { BorrowedFd::borrow_raw(near) }).expect("a socket");
    assert_eq!(capi::virtio_wl_close(near), 0);
    drop(used);
    assert_eq!(receive(far), Ok(0), "the end of the data");
    assert_eq!(capi::virtio_wl_close(far), 0);
}

#[test]
fn a_connection_whose_number_was_closed_by_libc_ends_in_order_when_that_is_found_out() {
    let connections = Connections::new();
    let (near, far) = connections.pair();
    // SAFETY: the number is open and this test's, and now given up.
    drop(unsafe { OwnedFd::from_raw_fd(near) });
    // SAFETY: nothing is behind the number, or something of another test, which is looked at only.
    assert!(table::verified(unsafe { BorrowedFd::borrow_raw(near) }).is_none());
    assert_eq!(receive(far), Ok(0), "the end of the data");
    assert_eq!(capi::virtio_wl_close(far), 0);
}
