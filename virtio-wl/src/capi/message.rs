//! The `struct msghdr` of C, read and filled as the kernel does it.
//!
//! All memory that a message names belongs to the caller of the C function, whose contract (that of sendmsg(2) and
//! recvmsg(2)) says that it is valid for the length it is said to have and that nobody else writes it meanwhile.
//! Unlike the kernel, this side cannot find out whether it is; only null pointers are noticed.

use std::io::IoSlice;
use std::marker::PhantomData;
use std::mem::size_of;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::{ptr, slice};

use libc::{c_int, cmsghdr, iovec, msghdr};
use rustix::io::{Errno, FdFlags};

use super::descriptor::Sink;
use crate::vfd::ReceivedFd;

/// The most pieces of one message, as the kernel has it (UIO_MAXIOV).
const MAX_PIECES: usize = 1024;

/// Pieces that are looked at without an allocation.
const FEW: usize = 8;

/// The longest control part in bytes, as the kernel has it (INT_MAX).
const MAX_CONTROL: usize = 0x7fff_ffff;

/// Length of the header of a control message, behind which its data begins.
const HEADER: usize = size_of::<cmsghdr>();
/// What headers and their data are aligned to, counted from the beginning of the control part.
const WORD: usize = size_of::<usize>();
const _: () = assert!(HEADER.is_multiple_of(WORD));

/// Bytes of a message that are received at a time: more are never under way.
const MAX_LEN: usize = isize::MAX as usize;

/// The buffers of a message to receive into.
#[derive(Debug)]
pub struct Pieces<'a> {
    pieces: &'a [iovec],
    len: usize,
    _memory: PhantomData<&'a mut [u8]>,
}

/// The list of pieces, with its length checked and no piece null.
///
/// # Safety
///
/// `pieces` is null or valid for `count` elements for as long as the result is used.
unsafe fn checked<'a>(pieces: *const iovec, count: usize) -> Result<&'a [iovec], Errno> {
    if count > MAX_PIECES {
        return Err(Errno::MSGSIZE);
    }
    if count == 0 {
        return Ok(&[]);
    }
    if pieces.is_null() {
        return Err(Errno::FAULT);
    }
    // SAFETY: not null, and valid for that many elements by the contract of this function.
    let pieces = unsafe { slice::from_raw_parts(pieces, count) };
    let mut total = 0_usize;
    for piece in pieces {
        if piece.iov_base.is_null() && piece.iov_len > 0 {
            return Err(Errno::FAULT);
        }
        total = total.checked_add(piece.iov_len).filter(|total| *total <= MAX_LEN).ok_or(Errno::INVAL)?;
    }
    Ok(pieces)
}

/// The pieces of a message to send, without an allocation for as many as messages have.
#[derive(Debug)]
pub enum Slices<'a> {
    /// The first so many of an array.
    Few([IoSlice<'a>; FEW], usize),
    /// More.
    Many(Vec<IoSlice<'a>>),
}

impl<'a> Deref for Slices<'a> {
    type Target = [IoSlice<'a>];

    fn deref(&self) -> &[IoSlice<'a>] {
        match self {
            Self::Few(pieces, count) => pieces.get(..*count).unwrap_or(pieces),
            Self::Many(pieces) => pieces,
        }
    }
}

/// The bytes that a message is to send.
///
/// # Errors
///
/// EMSGSIZE, EINVAL, EFAULT, as sendmsg(2) has them.
///
/// # Safety
///
/// The pieces are valid for reading, and nobody writes them while the result is used.
pub unsafe fn slices<'a>(pieces: *const iovec, count: usize) -> Result<Slices<'a>, Errno> {
    // SAFETY: by the contract of this function.
    let pieces = unsafe { checked(pieces, count)? };
    let slice = |piece: &iovec| match piece.iov_len {
        0 => IoSlice::new(&[]),
        // SAFETY: not null, as was checked, and valid for reading by the contract of this function; not longer than
        // `isize::MAX`, as was checked.
        len => IoSlice::new(unsafe { slice::from_raw_parts(piece.iov_base.cast(), len) }),
    };
    if pieces.len() > FEW {
        return Ok(Slices::Many(pieces.iter().map(slice).collect()));
    }
    let mut few = [IoSlice::new(&[]); FEW];
    for (to, piece) in few.iter_mut().zip(pieces) {
        *to = slice(piece);
    }
    Ok(Slices::Few(few, pieces.len()))
}

impl<'a> Pieces<'a> {
    /// The buffers of a message.
    ///
    /// # Errors
    ///
    /// EMSGSIZE, EINVAL, EFAULT, as recvmsg(2) has them.
    ///
    /// # Safety
    ///
    /// The pieces are valid for writing, and nobody else uses them while the result is used.
    pub unsafe fn new(pieces: *const iovec, count: usize) -> Result<Self, Errno> {
        // SAFETY: by the contract of this function.
        let pieces = unsafe { checked(pieces, count)? };
        let len = pieces.iter().fold(0_usize, |len, piece| len.saturating_add(piece.iov_len));
        Ok(Self { pieces, len, _memory: PhantomData })
    }
}

impl Sink for Pieces<'_> {
    fn room(&self) -> usize {
        self.len
    }

    fn single(&mut self, from: usize) -> Option<&mut [u8]> {
        let [piece] = self.pieces else { return None };
        let len = piece.iov_len.checked_sub(from).filter(|len| *len > 0)?;
        let to = piece.iov_base.cast::<u8>().wrapping_add(from);
        // SAFETY: `from` and `len` are within the piece, which is not null and valid for writing by the contract of
        // `new`. The caller of the C function has initialised it, or does not care what it holds: no byte is read.
        Some(unsafe { slice::from_raw_parts_mut(to, len) })
    }

    fn store(&mut self, from: usize, bytes: &[u8]) {
        let (mut skip, mut rest) = (from, bytes);
        for piece in self.pieces {
            let len = piece.iov_len.saturating_sub(skip).min(rest.len());
            let (head, tail) = rest.split_at(len);
            if len > 0 {
                let to = piece.iov_base.cast::<u8>().wrapping_add(skip);
                // SAFETY: `skip` and `len` are within the piece, which is valid for writing by the contract of
                // `new`. `head` is memory of this library, which the piece cannot overlap.
                unsafe { ptr::copy_nonoverlapping(head.as_ptr(), to, len) };
            }
            skip = skip.saturating_sub(piece.iov_len);
            rest = tail;
        }
    }
}

/// The descriptors that a message is to send.
///
/// # Errors
///
/// EINVAL for what is no list of descriptors, EBADF for one that is not open, ETOOMANYREFS for too many.
///
/// # Safety
///
/// The control part of the message is valid for reading, and its descriptors stay open while the result is used.
pub unsafe fn rights<'a>(message: &msghdr) -> Result<Vec<BorrowedFd<'a>>, Errno> {
    let mut fds = Vec::new();
    if message.msg_control.is_null() {
        return if message.msg_controllen == 0 { Ok(fds) } else { Err(Errno::FAULT) };
    }
    if message.msg_controllen > MAX_CONTROL {
        return Err(Errno::NOBUFS);
    }
    // SAFETY: not null, valid for reading by the contract of this function, and not longer than `isize::MAX`. As bytes it
    // may lie at any address.
    let mut rest = unsafe { slice::from_raw_parts(message.msg_control.cast::<u8>(), message.msg_controllen) };
    while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
        // SAFETY: these bytes are as long as the structure, for whose numbers every content is valid. The alignment is not
        // relied on.
        let header = unsafe { ptr::read_unaligned(header.as_ptr().cast::<cmsghdr>()) };
        let data = rest.get(HEADER..header.cmsg_len).ok_or(Errno::INVAL)?;
        if header.cmsg_level == libc::SOL_SOCKET {
            if header.cmsg_type != libc::SCM_RIGHTS {
                return Err(Errno::INVAL);
            }
            for number in data.as_chunks().0 {
                // SAFETY: kept open by the caller, by the contract of this function.
                fds.push(unsafe { open(RawFd::from_ne_bytes(*number))? });
            }
        }
        rest = rest.get(header.cmsg_len.next_multiple_of(WORD)..).unwrap_or_default();
    }
    Ok(fds)
}

/// The descriptor of a number.
///
/// # Errors
///
/// EBADF if it is not open.
///
/// # Safety
///
/// It stays open while the result is used.
pub unsafe fn open<'a>(number: RawFd) -> Result<BorrowedFd<'a>, Errno> {
    // SAFETY: fcntl with F_GETFD reads a flag of the descriptor table and touches no memory.
    if number < 0 || unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: open, as was checked, and kept so by the contract of this function.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Hands received descriptors over in the control part of a message, as many as it has room for. The others
/// are closed, and the flags say so.
///
/// # Safety
///
/// The control part of the message is valid for writing.
pub unsafe fn deliver(message: &mut msghdr, fds: Vec<ReceivedFd>, close_on_exec: bool) {
    message.msg_flags = if close_on_exec { libc::MSG_CMSG_CLOEXEC } else { 0 };
    let room = if message.msg_control.is_null() { 0 } else { message.msg_controllen };
    message.msg_controllen = 0;
    if fds.is_empty() {
        return;
    }
    let count = (room.saturating_sub(HEADER) / size_of::<c_int>()).min(fds.len());
    if count < fds.len() {
        message.msg_flags |= libc::MSG_CTRUNC;
    }
    if count == 0 {
        return;
    }
    let len = HEADER + count * size_of::<c_int>();
    let header = cmsghdr { cmsg_len: len, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
    let start = message.msg_control.cast::<u8>();
    // SAFETY: there is room for the header and `count` numbers, as was computed, and the part is valid for writing.
    // The caller may have put it at any address.
    unsafe { ptr::write_unaligned(start.cast(), header) };
    for (index, received) in fds.into_iter().take(count).enumerate() {
        if !close_on_exec {
            // A descriptor that is open has flags to set.
            let _ = rustix::io::fcntl_setfd(&received.fd, FdFlags::empty());
        }
        let to = start.wrapping_add(HEADER + index * size_of::<c_int>());
        // SAFETY: as above; `index` is less than `count`.
        unsafe { ptr::write_unaligned(to.cast(), received.fd.into_raw_fd()) };
    }
    message.msg_controllen = len.next_multiple_of(WORD).min(room);
}

/// Whether the descriptor has O_NONBLOCK.
#[must_use]
pub fn is_nonblocking(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: fcntl with F_GETFL reads the flags of an open descriptor and touches no memory.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}
