//! The ioctls of the virtio_wl driver, as `linux/virtwl.h` has them.
//!
//! The direction bits of SEND and RECV are the wrong way round in that header. The driver compares whole numbers, so
//! the numbers stand here as they are.

use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

/// Descriptors in one message (`VIRTWL_SEND_MAX_ALLOCS`).
pub(super) const MAX_FDS: usize = 28;

/// Bytes of data in one SEND. The driver takes more, but puts messages longer than a page with their header into memory
/// that is not contiguous; this is what fits into a page with the argument's own header.
pub(super) const MAX_SEND: usize = 4096 - TXN_HEADER;

/// Bytes of data in one message of the host: a page without the header and the identifiers of [`MAX_FDS`] descriptors.
pub(super) const MAX_RECV: usize = 4096 - 16 - 4 * MAX_FDS;

/// Bytes of a context's name.
pub(super) const MAX_NAME: usize = 32;

/// Bytes before the data in the argument of SEND and RECV.
const TXN_HEADER: usize = 4 * MAX_FDS + 4;

const IOCTL_NEW: libc::Ioctl = 0xC030_7700;
const IOCTL_SEND: libc::Ioctl = 0x8074_7701;
const IOCTL_RECV: libc::Ioctl = 0x4074_7702;

/// What NEW makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum New {
    /// A connection to the host's default socket.
    Context,
    /// A connection to the host's socket of this name, padded with zeros.
    NamedContext([u8; MAX_NAME]),
    /// So many bytes of memory that the host has too, rounded up to whole pages.
    Memory(u32),
    /// A pipe that this side reads. Whoever is sent it gets the write end.
    PipeRead,
    /// A pipe that this side writes. Whoever is sent it gets the read end.
    PipeWrite,
}

/// The argument of NEW. The union at its end is 36 bytes long, and begins with the size or the name.
#[repr(C)]
struct NewArgument {
    kind: u32,
    fd: i32,
    flags: u32,
    union: [u8; 36],
}

impl New {
    fn argument(self) -> NewArgument {
        let mut argument = NewArgument { kind: 0, fd: -1, flags: 0, union: [0; 36] };
        let (kind, union): (u32, &[u8]) = match &self {
            Self::Context => (0, &[]),
            Self::Memory(size) => (1, &size.to_ne_bytes()),
            Self::PipeRead => (2, &[]),
            Self::PipeWrite => (3, &[]),
            Self::NamedContext(name) => (5, name),
        };
        argument.kind = kind;
        for (to, from) in argument.union.iter_mut().zip(union) {
            *to = *from;
        }
        argument
    }
}

/// Makes a VFD, close-on-exec.
pub(super) fn new(device: BorrowedFd<'_>, what: New) -> Result<OwnedFd, Errno> {
    let mut argument = what.argument();
    let pointer = (&raw mut argument).cast();
    // SAFETY: the pointer is that of an argument of the size that the number of the ioctl says, which lives longer
    // than the call; the driver reads it and writes it within that size.
    unsafe { ioctl(device, IOCTL_NEW, pointer) }?;
    if argument.fd < 0 {
        return Err(Errno::PROTO);
    }
    // SAFETY: the driver has just made this descriptor for the caller, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(argument.fd) })
}

/// The argument of SEND and RECV, used again and again: it fills a page.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Transfer {
    fds: [i32; MAX_FDS],
    len: u32,
    data: [u8; MAX_SEND],
}

impl Transfer {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self { fds: [-1; MAX_FDS], len: 0, data: [0; MAX_SEND] })
    }

    /// Room for what [`send_filled`](Self::send_filled) sends.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The first `len` bytes of the space, or of what RECV has written there.
    pub(super) fn content(&self, len: usize) -> &[u8] {
        self.data.get(..len).unwrap_or(&self.data)
    }

    /// Sends the beginning of `bytes`, and all of `fds` with it. Everything or nothing is sent: the number of bytes says
    /// how much everything was.
    pub(super) fn send(
        &mut self,
        vfd: BorrowedFd<'_>,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<usize, Errno> {
        let len = bytes.len().min(MAX_SEND);
        if let (Some(to), Some(from)) = (self.data.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        self.send_filled(vfd, len, fds)?;
        Ok(len)
    }

    /// Sends the first `len` bytes of the space, and all of `fds` with them.
    pub(super) fn send_filled(
        &mut self,
        vfd: BorrowedFd<'_>,
        len: usize,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        // The driver stops at the first negative entry.
        self.fds = [-1; MAX_FDS];
        if fds.len() > MAX_FDS {
            return Err(Errno::INVAL);
        }
        for (to, from) in self.fds.iter_mut().zip(fds) {
            *to = from.as_raw_fd();
        }
        self.len = u32::try_from(len.min(MAX_SEND)).unwrap_or(0);
        // SAFETY: the argument lives longer than the call and has `len` bytes behind its header, which is all that the
        // driver reads. It writes nothing.
        unsafe { ioctl(vfd, IOCTL_SEND, (&raw mut *self).cast()) }
    }

    /// Receives into the space, and appends the descriptors that came to `fds`. Returns the number of bytes. With neither
    /// bytes nor descriptors, the host has hung up and everything that it had sent was received.
    ///
    /// The driver must never be asked for no bytes: it would look for some for ever.
    pub(super) fn recv(&mut self, vfd: BorrowedFd<'_>, fds: &mut Vec<OwnedFd>) -> Result<usize, Errno> {
        self.fds = [-1; MAX_FDS];
        self.len = u32::try_from(MAX_RECV).unwrap_or(0);
        // SAFETY: the argument lives longer than the call and has more than `len` bytes behind its header. The driver
        // writes the header and at most `len` bytes, of which any value is valid.
        unsafe { ioctl(vfd, IOCTL_RECV, (&raw mut *self).cast()) }?;
        for fd in self.fds.iter().take_while(|fd| **fd >= 0) {
            // SAFETY: the driver has just made this descriptor for the caller, and nobody else knows its number.
            fds.push(unsafe { OwnedFd::from_raw_fd(*fd) });
        }
        usize::try_from(self.len).ok().filter(|len| *len <= MAX_RECV).ok_or(Errno::PROTO)
    }
}

/// Whether `fd` is a VFD, and so may be sent: sending nothing succeeds on every VFD without an effect, and on nothing
/// else.
pub(super) fn is_vfd(fd: BorrowedFd<'_>) -> bool {
    let mut header = [u32::MAX; TXN_HEADER / 4];
    if let Some(len) = header.last_mut() {
        *len = 0;
    }
    // SAFETY: the pointer is that of a whole header, aligned as it must be, which lives longer than the call. Its list of
    // descriptors ends at once, and it announces no data behind it. The number says the length of the header, within
    // which another driver stays that gives the number another meaning.
    unsafe { ioctl(fd, IOCTL_SEND, header.as_mut_ptr().cast()) }.is_ok()
}

/// # Safety
///
/// `argument` is what the ioctl `number` of the virtio_wl driver expects, and stays valid during the call.
unsafe fn ioctl(fd: impl AsFd, number: libc::Ioctl, argument: *mut c_void) -> Result<(), Errno> {
    loop {
        // SAFETY: the caller's contract.
        let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), number, argument) };
        if result >= 0 {
            return Ok(());
        }
        match Errno::from_io_error(&std::io::Error::last_os_error()) {
            Some(Errno::INTR) => {}
            error => return Err(error.unwrap_or(Errno::IO)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn the_arguments_have_the_layout_of_the_header() {
        assert_eq!(size_of::<NewArgument>(), 48);
        assert_eq!(offset_of!(NewArgument, union), 12);
        assert_eq!(offset_of!(Transfer, len), 112);
        assert_eq!(offset_of!(Transfer, data), 116);
        assert_eq!(size_of::<Transfer>(), 4096);
        assert_eq!((MAX_SEND, MAX_RECV), (3980, 3968));
    }

    #[test]
    fn the_numbers_say_the_size_of_the_arguments() {
        for (number, size) in [(IOCTL_NEW, 48), (IOCTL_SEND, 116), (IOCTL_RECV, 116)] {
            assert_eq!((number >> 16) & 0x3fff, size);
            assert_eq!((number >> 8) & 0xff, libc::Ioctl::from(b'w'));
        }
    }

    #[test]
    fn what_is_no_vfd_is_told_from_one() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let (one, _two) = std::os::unix::net::UnixStream::pair().unwrap();
        let memory = crate::region::memfd(c"test").unwrap();
        let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        for fd in [read.as_fd(), write.as_fd(), one.as_fd(), memory.as_fd(), event.as_fd()] {
            assert!(!is_vfd(fd));
        }
    }
}
