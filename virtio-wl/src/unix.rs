//! Messages with file descriptors on local Unix stream sockets.
//!
//! Nothing here waits: a socket need not be non-blocking, and its flags are left as they are.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use thiserror::Error;

use crate::wire::MAX_FDS;

/// Why a message could not be moved.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum UnixError {
    /// Nothing can be moved right now.
    #[error("the operation would block")]
    WouldBlock,
    /// The sender put more descriptors into one message than [`MAX_FDS`], or this process has no room for
    /// them. All of them are closed.
    #[error("a message with more than {MAX_FDS} file descriptors, or more than this process may have")]
    TooManyFds,
    /// Receiving failed.
    #[error("cannot receive from a local socket: {0}")]
    Receive(Errno),
    /// Sending failed.
    #[error("cannot send to a local socket: {0}")]
    Send(Errno),
}

/// Receives into `bytes`, and appends at most [`MAX_FDS`] descriptors to `fds`. 0 is the end of the stream.
///
/// # Errors
///
/// [`UnixError::WouldBlock`], or the connection cannot be used any more. With an error no descriptor is kept.
pub fn receive(socket: impl AsFd, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> Result<usize, UnixError> {
    // Room for exactly the limit: the kernel sets MSG_CTRUNC for one more.
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(bytes)], &mut control, flags) {
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Err(UnixError::WouldBlock),
            Err(error) => return Err(UnixError::Receive(error)),
            Ok(message) => break message,
        }
    };
    let before = fds.len();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) || fds.len() - before > MAX_FDS {
        fds.truncate(before);
        return Err(UnixError::TooManyFds);
    }
    Ok(message.bytes)
}

/// Sends a part of `bytes`, at least one, and all of `fds` with the first of them.
///
/// # Errors
///
/// [`UnixError::WouldBlock`], with nothing sent, or the connection cannot be used any more.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, UnixError> {
    if fds.len() > MAX_FDS {
        return Err(UnixError::TooManyFds);
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    if fds.is_empty() {
        return complete(|| rustix::net::send(&socket, bytes, flags));
    }
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(UnixError::TooManyFds);
    }
    complete(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags))
}

/// Calls `send` until no signal interrupts it.
fn complete(mut send: impl FnMut() -> Result<usize, Errno>) -> Result<usize, UnixError> {
    loop {
        match send() {
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Err(UnixError::WouldBlock),
            Err(error) => return Err(UnixError::Send(error)),
            Ok(sent) => return Ok(sent),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pipes(count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| rustix::pipe::pipe().expect("pipe").0).collect()
    }

    #[test]
    fn twenty_eight_descriptors_arrive_and_twenty_nine_are_an_error_that_keeps_none() {
        let (one, two) = UnixStream::pair().expect("socket pair");
        let fds = pipes(29);
        let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        assert_eq!(send(&one, b"x", &borrowed), Err(UnixError::TooManyFds));
        assert_eq!(send(&one, b"x", &borrowed[..28]), Ok(1));
        let mut received = Vec::new();
        assert_eq!(receive(&two, &mut [0; 8], &mut received), Ok(1));
        assert_eq!(received.len(), 28);

        let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(29))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
        sendmsg(&one, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).expect("sent");
        assert_eq!(receive(&two, &mut [0; 8], &mut received), Err(UnixError::TooManyFds));
        assert_eq!(received.len(), 28);
    }

    #[test]
    fn nothing_waits_on_blocking_sockets() {
        let (one, two) = UnixStream::pair().expect("socket pair");
        assert_eq!(receive(&one, &mut [0; 8], &mut Vec::new()), Err(UnixError::WouldBlock));
        let full = std::iter::repeat_with(|| send(&one, &[0; 4096], &[])).find_map(Result::err);
        assert_eq!(full, Some(UnixError::WouldBlock));
        drop(two);
        assert_eq!(send(&one, b"x", &[]), Err(UnixError::Send(Errno::PIPE)));
    }
}
