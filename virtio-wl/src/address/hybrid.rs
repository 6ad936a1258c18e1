//! The handshake of VMMs that carry vsock over Unix sockets, on the host's side.
//!
//! To call a port of the VM, the host connects to the VMM's socket, sends `CONNECT PORT` and a newline, and receives `OK`,
//! a number of the VMM's choice and a newline. From then on the stream is the VM's. A VMM that cannot connect closes the
//! stream. For a call of the VM there is no handshake: the VMM connects to the socket file whose name is its own with `_`
//! and the port appended.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// The longest answer that is read, with its newline. `OK 4294967295` has 13 bytes.
const MAX_ANSWER: usize = 32;

/// The socket file for calls of the VM to a port.
pub(crate) fn listening_path(path: &Path, port: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!("_{port}"));
    name.into()
}

/// Why the handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HandshakeError {
    /// The VMM has closed the stream.
    Closed,
    /// The line is not an answer.
    Answer(Vec<u8>),
    /// The stream failed.
    Stream(Errno),
}

/// A stream to a VMM on which the handshake is under way.
#[derive(Debug)]
pub(super) struct Handshake {
    stream: OwnedFd,
    request: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
}

impl AsFd for Handshake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Handshake {
    pub(super) fn new(stream: OwnedFd, port: u32) -> Self {
        let request = format!("CONNECT {port}\n").into_bytes();
        Self { stream, request, sent: 0, answer: Vec::new() }
    }

    /// Whether the request has not left yet, so that the stream has to be waited for as writable.
    pub(super) fn is_sending(&self) -> bool {
        self.sent < self.request.len()
    }

    /// The stream, which is now the VM's.
    pub(super) fn into_stream(self) -> OwnedFd {
        self.stream
    }

    /// Goes on as far as the stream allows; true when the VM is connected.
    pub(super) fn advance(&mut self) -> Result<bool, HandshakeError> {
        while let Some(rest) = self.request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match rustix::net::send(&self.stream, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(len) => self.sent = self.sent.saturating_add(len),
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(Errno::INTR) => {}
                // What the VMM has answered before it closed the stream says more.
                Err(Errno::PIPE | Errno::CONNRESET) => self.sent = self.request.len(),
                Err(error) => return Err(HandshakeError::Stream(error)),
            }
        }
        loop {
            match self.read_on() {
                Ok(()) if self.answer.ends_with(b"\n") => return self.judge(),
                Ok(()) => {}
                Err(HandshakeError::Stream(Errno::WOULDBLOCK)) => return Ok(false),
                Err(HandshakeError::Stream(Errno::INTR)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what is there of the line, and not a byte of what follows it: that is the VM's.
    fn read_on(&mut self) -> Result<(), HandshakeError> {
        let mut peeked = [0; MAX_ANSWER];
        let room = MAX_ANSWER.saturating_sub(self.answer.len());
        let Some(room) = peeked.get_mut(..room).filter(|room| !room.is_empty()) else {
            return Err(HandshakeError::Answer(std::mem::take(&mut self.answer)));
        };
        let flags = RecvFlags::DONTWAIT;
        let (len, _) = match rustix::net::recv(&self.stream, &mut *room, flags | RecvFlags::PEEK) {
            Err(Errno::CONNRESET) => return Err(self.closed()),
            result => result.map_err(HandshakeError::Stream)?,
        };
        let there = room.get(..len).unwrap_or_default();
        if there.is_empty() {
            return Err(self.closed());
        }
        let len = there.iter().position(|&byte| byte == b'\n').map_or(len, |at| at.saturating_add(1));
        let room = room.get_mut(..len).unwrap_or_default();
        let (len, _) = rustix::net::recv(&self.stream, &mut *room, flags).map_err(HandshakeError::Stream)?;
        self.answer.extend_from_slice(room.get(..len).unwrap_or_default());
        Ok(())
    }

    fn closed(&mut self) -> HandshakeError {
        if self.answer.is_empty() {
            HandshakeError::Closed
        } else {
            HandshakeError::Answer(std::mem::take(&mut self.answer))
        }
    }

    fn judge(&mut self) -> Result<bool, HandshakeError> {
        let number = self.answer.strip_prefix(b"OK ").and_then(|rest| rest.strip_suffix(b"\n"));
        match number {
            Some(number) if !number.is_empty() && number.iter().all(u8::is_ascii_digit) => Ok(true),
            _ => Err(HandshakeError::Answer(std::mem::take(&mut self.answer))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A handshake whose request the VMM has taken.
    fn asked() -> (Handshake, UnixStream) {
        let (ours, mut vmm) = UnixStream::pair().expect("socket pair");
        let mut handshake = Handshake::new(ours.into(), 5000);
        assert!(handshake.is_sending());
        assert_eq!(handshake.advance(), Ok(false));
        assert!(!handshake.is_sending());
        let mut request = [0; 13];
        vmm.read_exact(&mut request).expect("the request");
        assert_eq!(&request, b"CONNECT 5000\n");
        (handshake, vmm)
    }

    #[test]
    fn the_answer_may_come_byte_by_byte_and_what_follows_it_stays_in_the_stream() {
        let (mut handshake, mut vmm) = asked();
        for byte in b"OK 1073741824" {
            vmm.write_all(&[*byte]).expect("written");
            assert_eq!(handshake.advance(), Ok(false));
        }
        vmm.write_all(b"\nOK first bytes of the VM\n").expect("written");
        assert_eq!(handshake.advance(), Ok(true));
        let mut rest = [0; 25];
        UnixStream::from(handshake.into_stream()).read_exact(&mut rest).expect("the rest");
        assert_eq!(&rest, b"OK first bytes of the VM\n");
    }

    #[test]
    fn anything_but_an_answer_is_an_error_that_has_it() {
        for line in ["OK\n", "OK \n", "OK x\n", "OK -1\n", "ok 5\n", "HTTP/1.1 400 Bad Request\r\n", "\n"] {
            let (mut handshake, mut vmm) = asked();
            vmm.write_all(line.as_bytes()).expect("written");
            assert_eq!(handshake.advance(), Err(HandshakeError::Answer(line.into())), "{line:?}");
        }
    }

    #[test]
    fn an_answer_without_end_is_given_up_at_its_bound() {
        let (mut handshake, mut vmm) = asked();
        vmm.write_all(&[b'0'; 4096]).expect("written");
        assert_eq!(handshake.advance(), Err(HandshakeError::Answer(vec![b'0'; MAX_ANSWER])));
    }

    #[test]
    fn a_vmm_that_closes_the_stream_has_refused() {
        let (mut handshake, vmm) = asked();
        drop(vmm);
        assert_eq!(handshake.advance(), Err(HandshakeError::Closed));

        let (mut handshake, mut vmm) = asked();
        vmm.write_all(b"OK 5").expect("written");
        drop(vmm);
        assert_eq!(handshake.advance(), Err(HandshakeError::Answer(b"OK 5".to_vec())));

        let (ours, vmm) = UnixStream::pair().expect("socket pair");
        drop(vmm);
        assert_eq!(Handshake::new(ours.into(), 1).advance(), Err(HandshakeError::Closed));
    }

    #[test]
    fn calls_of_the_vm_come_to_the_path_with_the_port_appended() {
        assert_eq!(listening_path(Path::new("/run/v.sock"), 6000), Path::new("/run/v.sock_6000"));
    }
}
