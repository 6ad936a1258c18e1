//! One end of a Wayland connection, by hand: messages are built and taken apart byte by byte, so that tests
//! depend on no library that the program uses too.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virtio_wl::unix::{self, UnixError};

/// No wait in a test takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of a message.
#[derive(Clone, Debug, Default)]
pub struct Args(Vec<u8>);

impl Args {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub fn i32(self, value: i32) -> Self {
        self.u32(value.cast_unsigned())
    }

    pub fn i32s(self, values: &[i32]) -> Self {
        values.iter().fold(self, |args, value| args.i32(*value))
    }

    pub fn string(mut self, text: &str) -> Self {
        self = self.u32(u32::try_from(text.len() + 1).unwrap());
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub object: u32,
    pub opcode: u16,
    pub body: Vec<u8>,
}

impl Message {
    /// The word at this place of the arguments.
    #[track_caller]
    pub fn word(&self, index: usize) -> u32 {
        u32::from_ne_bytes(self.body[index * 4..index * 4 + 4].try_into().unwrap())
    }

    #[track_caller]
    pub fn int(&self, index: usize) -> i32 {
        self.word(index).cast_signed()
    }

    /// The string whose length is at this place of the arguments.
    #[track_caller]
    pub fn string(&self, index: usize) -> String {
        let len = usize::try_from(self.word(index)).unwrap();
        let start = (index + 1) * 4;
        String::from_utf8(self.body[start..start + len - 1].to_vec()).unwrap()
    }
}

/// One end of a connection.
pub struct Peer {
    stream: UnixStream,
    bytes: VecDeque<u8>,
    pub fds: VecDeque<OwnedFd>,
}

impl Peer {
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, bytes: VecDeque::new(), fds: VecDeque::new() }
    }

    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "arguments are built in the call")]
    pub fn send(&self, object: u32, opcode: u16, args: Args) {
        self.send_raw(&encode(object, opcode, &args), &[]);
    }

    #[track_caller]
    pub fn send_fds(&self, object: u32, opcode: u16, args: &Args, fds: &[BorrowedFd<'_>]) {
        self.send_raw(&encode(object, opcode, args), fds);
    }

    /// Sends all of `bytes`, waiting for room as long as the other end takes something.
    #[track_caller]
    pub fn send_raw(&self, mut bytes: &[u8], mut fds: &[BorrowedFd<'_>]) {
        while !bytes.is_empty() {
            match unix::send(&self.stream, bytes, fds) {
                Ok(sent) => (bytes, fds) = (&bytes[sent..], &[]),
                Err(UnixError::WouldBlock) => {
                    assert!(wait(self.stream.as_fd(), PollFlags::OUT, PATIENCE), "no room to send");
                }
                Err(error) => panic!("cannot send: {error}"),
            }
        }
    }

    /// The next message. None: the other end has closed.
    #[track_caller]
    pub fn try_next(&mut self) -> Option<Message> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(wait(self.stream.as_fd(), PollFlags::IN, left), "nothing came");
            let mut buffer = vec![0; 65536];
            let mut fds = Vec::new();
            match unix::receive(&self.stream, &mut buffer, &mut fds) {
                Ok(0) | Err(UnixError::Receive(_)) => return None,
                Ok(len) => self.bytes.extend(&buffer[..len]),
                Err(UnixError::WouldBlock) => {}
                Err(error) => panic!("cannot receive: {error}"),
            }
            self.fds.extend(fds);
        }
    }

    #[track_caller]
    pub fn next(&mut self) -> Message {
        self.try_next().expect("the connection is open")
    }

    /// The next message, which must be this one.
    #[track_caller]
    pub fn expect(&mut self, object: u32, opcode: u16) -> Message {
        let message = self.next();
        assert_eq!((message.object, message.opcode), (object, opcode), "{message:?}");
        message
    }

    /// Reads until the other end closes, and returns the last message.
    #[track_caller]
    pub fn last(&mut self) -> Option<Message> {
        let mut last = None;
        while let Some(message) = self.try_next() {
            last = Some(message);
        }
        last
    }

    #[track_caller]
    pub fn fd(&mut self) -> OwnedFd {
        self.fds.pop_front().expect("a descriptor came with the message")
    }

    fn take(&mut self) -> Option<Message> {
        let bytes = self.bytes.make_contiguous();
        let word =
            |index: usize| Some(u32::from_ne_bytes(bytes.get(index * 4..index * 4 + 4)?.try_into().ok()?));
        let (object, header) = (word(0)?, word(1)?);
        let size = usize::try_from(header >> 16).unwrap();
        if bytes.len() < size {
            return None;
        }
        let body = bytes[8..size].to_vec();
        self.bytes.drain(..size);
        Some(Message { object, opcode: u16::try_from(header & 0xffff).unwrap(), body })
    }
}

/// The bytes of a message.
pub fn encode(object: u32, opcode: u16, args: &Args) -> Vec<u8> {
    let size = u32::try_from(args.0.len() + 8).unwrap();
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&object.to_ne_bytes());
    bytes.extend_from_slice(&(size << 16 | u32::from(opcode)).to_ne_bytes());
    bytes.extend_from_slice(&args.0);
    bytes
}

/// Waits for readiness; false if it did not come in time.
pub fn wait(fd: BorrowedFd<'_>, flags: PollFlags, patience: Duration) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    let timeout = Timespec::try_from(patience).unwrap();
    poll(&mut fds, Some(&timeout)).unwrap() > 0
}
