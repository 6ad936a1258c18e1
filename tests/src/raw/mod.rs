//! Hand-encoded Wayland: for messages that no client library would send.
//!
//! [`Request`] builds one message, true to its header or not. [`RawClient`] speaks over a [`Wire`]: a Wayland
//! socket, or a [`virtio_wl::socket::Socket`] as `wl-forward` has it. It knows just enough of the core
//! protocol to find globals, to count answers and to recognise an error.

mod objects;
mod stream;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

pub use objects::{Globals, RawWindow};
pub use stream::StreamWire;

use crate::client::ClientError;
use crate::deadline::Deadline;

/// `wl_display`, which every connection begins with.
pub const DISPLAY: u32 = 1;

/// A request under construction.
#[derive(Clone, Debug)]
pub struct Request {
    object: u32,
    opcode: u16,
    arguments: Vec<u8>,
    size: Option<u16>,
}

impl Request {
    /// A request without arguments.
    #[must_use]
    pub fn new(object: u32, opcode: u16) -> Self {
        Self { object, opcode, arguments: Vec::new(), size: None }
    }

    /// Appends an unsigned number, an object or a new id.
    #[must_use]
    pub fn uint(mut self, value: u32) -> Self {
        self.arguments.extend_from_slice(&value.to_ne_bytes());
        self
    }

    /// Appends a signed number.
    #[must_use]
    pub fn int(mut self, value: i32) -> Self {
        self.arguments.extend_from_slice(&value.to_ne_bytes());
        self
    }

    /// Appends a string.
    ///
    /// # Panics
    ///
    /// When it is longer than 4 GiB.
    #[must_use]
    pub fn string(self, text: &str) -> Self {
        let length = u32::try_from(text.len() + 1).expect("a string for a message");
        let mut request = self.uint(length);
        request.arguments.extend_from_slice(text.as_bytes());
        let padded = (request.arguments.len() + 1).next_multiple_of(4);
        request.arguments.resize(padded, 0);
        request
    }

    /// Appends an array of bytes.
    ///
    /// # Panics
    ///
    /// When it is longer than 4 GiB.
    #[must_use]
    pub fn array(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).expect("an array for a message");
        let mut request = self.uint(length);
        request.arguments.extend_from_slice(bytes);
        let padded = request.arguments.len().next_multiple_of(4);
        request.arguments.resize(padded, 0);
        request
    }

    /// Claims another size in the header than the message has.
    #[must_use]
    pub fn claim_size(mut self, size: u16) -> Self {
        self.size = Some(size);
        self
    }

    /// The message as bytes. One that is longer than its header can say claims as much as it can.
    #[must_use]
    pub fn encode_cut(self) -> Vec<u8> {
        let fits = self.arguments.len() + 8 <= usize::from(u16::MAX);
        if fits { self.encode() } else { self.claim_size(u16::MAX - 3).encode() }
    }

    /// The message as bytes.
    ///
    /// # Panics
    ///
    /// When the message is longer than its header can say and no other size is claimed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let size =
            self.size.unwrap_or_else(|| u16::try_from(self.arguments.len() + 8).expect("a short message"));
        let mut bytes = self.object.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&(u32::from(size) << 16 | u32::from(self.opcode)).to_ne_bytes());
        bytes.extend_from_slice(&self.arguments);
        bytes
    }
}

/// A received event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The object it is from.
    pub object: u32,
    /// Its number in the interface.
    pub opcode: u16,
    /// Its arguments, encoded.
    pub arguments: Vec<u8>,
}

impl Event {
    /// The 32-bit word at an index; none beyond the end.
    #[must_use]
    pub fn word(&self, index: usize) -> Option<u32> {
        self.arguments.get(index * 4..index * 4 + 4)?.try_into().ok().map(u32::from_ne_bytes)
    }

    /// The string whose length is the word at an index.
    #[must_use]
    pub fn string(&self, index: usize) -> Option<String> {
        let length = usize::try_from(self.word(index)?).ok()?;
        let bytes = self.arguments.get(index * 4 + 4..(index * 4 + 4 + length).checked_sub(1)?)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// What messages travel over.
pub trait Wire {
    /// Sends some of the bytes, with the descriptors attached to the first; waits for room.
    ///
    /// # Errors
    ///
    /// When the connection is closed, or takes nothing before the deadline (`TimedOut`).
    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>], deadline: Deadline) -> io::Result<usize>;

    /// Waits for bytes; empty at the end of the stream. Descriptors are closed.
    ///
    /// # Errors
    ///
    /// When the connection is broken, or nothing comes before the deadline (`TimedOut`).
    fn receive(&mut self, deadline: Deadline) -> io::Result<Vec<u8>>;
}

impl Wire for UnixStream {
    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>], deadline: Deadline) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(
                control.push(SendAncillaryMessage::ScmRights(fds)),
                "at most 253 descriptors in a message"
            );
        }
        loop {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::sendmsg(&mut *self, &[IoSlice::new(bytes)], &mut control, flags) {
                Err(rustix::io::Errno::AGAIN) => {
                    if !deadline.wait(self.as_fd(), PollFlags::OUT) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                sent => return Ok(sent?),
            }
        }
    }

    fn receive(&mut self, deadline: Deadline) -> io::Result<Vec<u8>> {
        if !deadline.wait(self.as_fd(), PollFlags::IN) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut bytes = vec![0; 64 * 1024];
        let received = io::Read::read(self, &mut bytes)?;
        bytes.truncate(received);
        Ok(bytes)
    }
}

impl<W: Wire + ?Sized> Wire for Box<W> {
    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>], deadline: Deadline) -> io::Result<usize> {
        (**self).send(bytes, fds, deadline)
    }

    fn receive(&mut self, deadline: Deadline) -> io::Result<Vec<u8>> {
        (**self).receive(deadline)
    }
}

/// A client that sends what it is told to.
#[derive(Debug)]
pub struct RawClient<W> {
    wire: W,
    next_id: u32,
    received: Vec<u8>,
    globals: BTreeMap<u32, (String, u32)>,
    registry: u32,
}

impl<W: Wire> RawClient<W> {
    /// Asks for the registry and waits for the globals.
    ///
    /// # Errors
    ///
    /// When the connection ends or the globals do not come before the deadline.
    pub fn new(wire: W) -> Result<Self, ClientError> {
        let registry = 2;
        let mut client = Self { wire, next_id: 3, received: Vec::new(), globals: BTreeMap::new(), registry };
        client.send(&Request::new(DISPLAY, 1).uint(registry))?;
        client.roundtrip(Deadline::patient())?;
        Ok(client)
    }

    /// The wire, for bytes that are no message.
    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    /// The advertised globals: number, interface and version.
    pub fn globals(&self) -> impl Iterator<Item = (u32, &str, u32)> {
        self.globals.iter().map(|(&name, (interface, version))| (name, interface.as_str(), *version))
    }

    /// A number for a new object.
    pub fn new_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Sends one message.
    ///
    /// # Errors
    ///
    /// When the connection has ended, or takes nothing before the deadline.
    pub fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        self.send_bytes(&request.encode(), &[])
    }

    /// Sends one message with descriptors.
    ///
    /// # Errors
    ///
    /// When the connection has ended, or takes nothing before the deadline.
    pub fn send_with(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        self.send_bytes(&request.encode(), fds)
    }

    /// Sends bytes with descriptors at the first of them.
    ///
    /// # Errors
    ///
    /// When the connection has ended, or takes nothing before the deadline.
    pub fn send_bytes(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        let deadline = Deadline::patient();
        let mut sent = 0;
        while sent < bytes.len() {
            let fds = if sent == 0 { fds } else { &[] };
            match self.wire.send(&bytes[sent..], fds, deadline) {
                Ok(count) => sent += count,
                Err(error) => return Err(self.ended(error)),
            }
        }
        Ok(())
    }

    /// Binds a global by its number, advertised or not; the new object's id.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn bind_number(&mut self, name: u32, interface: &str, version: u32) -> Result<u32, ClientError> {
        let id = self.new_id();
        let request = Request::new(self.registry, 0);
        self.send(&request.uint(name).string(interface).uint(version).uint(id))?;
        Ok(id)
    }

    /// Binds an advertised global.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    ///
    /// # Panics
    ///
    /// When it is not advertised.
    pub fn bind(&mut self, interface: &str, version: u32) -> Result<u32, ClientError> {
        let global = self.globals().find(|(_, advertised, _)| *advertised == interface);
        let (name, _, _) = global.unwrap_or_else(|| panic!("{interface} is not advertised"));
        self.bind_number(name, interface, version)
    }

    /// Waits for the answer to everything sent so far; the events that came before it.
    ///
    /// # Errors
    ///
    /// When the connection ends or the answer does not come before the deadline.
    pub fn roundtrip(&mut self, deadline: Deadline) -> Result<Vec<Event>, ClientError> {
        let callback = self.new_id();
        self.send(&Request::new(DISPLAY, 0).uint(callback))?;
        let mut events = Vec::new();
        loop {
            let event = self.event(deadline)?;
            if event.object == callback {
                return Ok(events);
            }
            events.push(event);
        }
    }

    /// Waits for one event. Globals are noted.
    ///
    /// # Errors
    ///
    /// When the connection ends or no event comes before the deadline.
    pub fn event(&mut self, deadline: Deadline) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.take_event() {
                return self.note(event);
            }
            let bytes = self.wire.receive(deadline).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => ClientError::Deadline("an event".to_owned()),
                _ => ClientError::Closed(error),
            })?;
            if bytes.is_empty() {
                return Err(ClientError::Closed(io::ErrorKind::UnexpectedEof.into()));
            }
            self.received.extend_from_slice(&bytes);
        }
    }

    /// Reads until the server closes the connection, and tells how it did.
    ///
    /// # Panics
    ///
    /// When the connection is still open at the deadline.
    #[track_caller]
    pub fn wait_end(&mut self) -> ClientError {
        let deadline = Deadline::patient();
        loop {
            match self.event(deadline) {
                Ok(_) => {}
                Err(ClientError::Deadline(_)) => panic!("the connection was not ended"),
                Err(end) => return end,
            }
        }
    }

    /// Why the connection took no more: an error that waits to be read goes before a failed write.
    fn ended(&mut self, error: io::Error) -> ClientError {
        if error.kind() == io::ErrorKind::TimedOut {
            return ClientError::Deadline("room in the connection".to_owned());
        }
        loop {
            match self.event(Deadline::patient()) {
                Ok(_) => {}
                Err(end @ ClientError::Protocol { .. }) => return end,
                Err(_) => return ClientError::Closed(error),
            }
        }
    }

    fn take_event(&mut self) -> Option<Event> {
        let word = |at: usize| -> Option<u32> {
            self.received.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
        };
        let (object, header) = (word(0)?, word(4)?);
        let size = usize::try_from(header >> 16).ok()?.max(8);
        let arguments = self.received.get(8..size)?.to_vec();
        self.received.drain(..size);
        let opcode = u16::try_from(header & 0xffff).ok()?;
        Some(Event { object, opcode, arguments })
    }

    fn note(&mut self, event: Event) -> Result<Event, ClientError> {
        if (event.object, event.opcode) == (DISPLAY, 0) {
            return Err(ClientError::Protocol {
                object: event.word(0).unwrap_or_default(),
                code: event.word(1).unwrap_or_default(),
                interface: "unknown".to_owned(),
                message: event.string(2).unwrap_or_default(),
            });
        }
        if (event.object, event.opcode) == (self.registry, 0) {
            let interface = event.string(1).unwrap_or_default();
            let version = event.arguments.last_chunk().copied().map(u32::from_ne_bytes).unwrap_or_default();
            self.globals.insert(event.word(0).unwrap_or_default(), (interface, version));
        }
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_padded_to_whole_words() {
        let bytes = Request::new(2, 0).uint(7).string("abcd").uint(1).encode();
        let mut expected = Vec::new();
        for word in [2_u32, 28 << 16, 7, 5] {
            expected.extend_from_slice(&word.to_ne_bytes());
        }
        expected.extend_from_slice(b"abcd\0\0\0\0");
        expected.extend_from_slice(&1_u32.to_ne_bytes());
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_claimed_size_is_written_instead_of_the_true_one() {
        let bytes = Request::new(1, 3).claim_size(4).encode();
        assert_eq!(bytes[4..], (4 << 16 | 3_u32).to_ne_bytes());
    }
}
