//! Wayland messages by hand, so that a client can say what no library would.

use std::os::fd::OwnedFd;

/// A message under construction.
#[derive(Debug)]
pub struct Message {
    object: u32,
    opcode: u16,
    body: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

impl Message {
    pub fn new(object: u32, opcode: u16) -> Self {
        Self { object, opcode, body: Vec::new(), fds: Vec::new() }
    }

    pub fn uint(mut self, value: u32) -> Self {
        self.body.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub fn int(self, value: i32) -> Self {
        self.uint(value.cast_unsigned())
    }

    pub fn ints(self, values: &[i32]) -> Self {
        values.iter().fold(self, |message, value| message.int(*value))
    }

    pub fn string(self, text: &str) -> Self {
        let mut message = self.uint(u32::try_from(text.len() + 1).unwrap());
        message.body.extend_from_slice(text.as_bytes());
        let padded = (text.len() + 1).next_multiple_of(4) - text.len();
        message.body.extend(std::iter::repeat_n(0, padded));
        message
    }

    pub fn fd(mut self, fd: impl Into<OwnedFd>) -> Self {
        self.fds.push(fd.into());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let size = u32::try_from(8 + self.body.len()).unwrap();
        let mut bytes = self.object.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&((size << 16) | u32::from(self.opcode)).to_ne_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub object: u32,
    pub opcode: u16,
    pub body: Vec<u8>,
}

impl Received {
    /// Takes the first whole message off `bytes`.
    pub fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (object, second) = (word(0)?, word(4)?);
        let size = usize::try_from(second >> 16).unwrap();
        assert!(size >= 8, "a message without header");
        let body = bytes.get(8..size)?.to_vec();
        bytes.drain(..size);
        Some(Self { object, opcode: u16::try_from(second & 0xffff).unwrap(), body })
    }

    pub fn uint(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.body[at * 4..at * 4 + 4].try_into().unwrap())
    }

    /// The string whose length is the word at `at`, and the index of the word behind it.
    pub fn string(&self, at: usize) -> (String, usize) {
        let len = usize::try_from(self.uint(at)).unwrap();
        let start = (at + 1) * 4;
        let text = String::from_utf8_lossy(&self.body[start..start + len - 1]).into_owned();
        (text, at + 1 + len.div_ceil(4))
    }
}
