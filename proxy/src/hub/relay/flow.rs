//! One direction of a connection: from one socket into a pipe, from the pipe into the other socket.
//!
//! The pipe is filled only when it is empty, and emptied before it is filled again. That bounds what is held to
//! one pipe, which is the back-pressure, and it makes `EAGAIN` mean one thing: of filling, that the source has
//! nothing; of emptying, that the destination has no room. (A pipe can be full with very few bytes in it, so a fill
//! that fails on a pipe that is not empty would tell nothing.)

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::Shutdown;
use rustix::pipe::{PipeFlags, SpliceFlags};
use virtio_wl::wire::MAX_WRITE;

/// Most bytes taken at a time: the capacity of a pipe, and the size of the buffer where splice does not work.
const CHUNK: usize = 64 << 10;

/// One end of a connection and what it could do when it was last tried.
#[derive(Debug)]
pub(super) struct End {
    pub(super) socket: OwnedFd,
    /// Reading may give something: bytes, the end or an error.
    pub(super) readable: bool,
    /// Writing may find room, or give an error.
    pub(super) writable: bool,
    /// Most bytes given to it at a time.
    longest_write: usize,
}

impl End {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, readable: true, writable: true, longest_write: CHUNK }
    }

    /// An end that goes through a vsock. The drivers of some guests stall for ever on long writes, whoever makes them.
    pub(super) fn vsock(socket: OwnedFd) -> Self {
        Self { longest_write: MAX_WRITE, ..Self::new(socket) }
    }
}

/// Where bytes are between the two sockets.
#[derive(Debug)]
enum Stage {
    /// In the kernel, moved by reference where it can be.
    Pipe { reader: OwnedFd, writer: OwnedFd, held: usize },
    /// In our memory, for sockets that cannot be spliced, or where there was no pipe to be had.
    Buffer { bytes: Vec<u8>, start: usize },
}

/// What a direction waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// For the source or the destination.
    Blocked,
    /// For its next turn: the budget is used up.
    Budget,
    /// For nothing: no byte will ever pass again.
    Done,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Flow {
    stage: Stage,
    source_ended: bool,
    done: bool,
    moved: u64,
}

impl Flow {
    pub(super) fn new() -> Self {
        let stage = match rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
            Ok((reader, writer)) => Stage::Pipe { reader, writer, held: 0 },
            Err(_) => Stage::empty_buffer(),
        };
        Self { stage, source_ended: false, done: false, moved: 0 }
    }

    /// Bytes that reached the destination.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Moves what can be moved, about `budget` bytes at most.
    pub(super) fn turn(&mut self, from: &mut End, to: &mut End, budget: usize) -> Progress {
        let mut left = budget;
        while !self.done {
            if self.stage.held() > 0 {
                if !to.writable {
                    return Progress::Blocked;
                }
                self.empty(from, to);
            } else if self.source_ended {
                // The other side may be gone already.
                let _ = rustix::net::shutdown(&to.socket, Shutdown::Write);
                self.done = true;
            } else if !from.readable {
                return Progress::Blocked;
            } else if left == 0 {
                return Progress::Budget;
            } else {
                left = left.saturating_sub(self.fill(from));
            }
        }
        Progress::Done
    }

    fn fill(&mut self, from: &mut End) -> usize {
        match self.stage.fill(&from.socket) {
            Ok(0) => self.source_ended = true,
            Ok(count) => return count,
            Err(Errno::WOULDBLOCK) => from.readable = false,
            Err(Errno::INTR) => {}
            Err(Errno::INVAL | Errno::OPNOTSUPP) if self.stage.is_pipe() => {
                self.stage = Stage::empty_buffer();
            }
            // A source that fails has ended.
            Err(_) => self.source_ended = true,
        }
        0
    }

    fn empty(&mut self, from: &End, to: &mut End) {
        match self.stage.empty(&to.socket, to.longest_write) {
            Ok(count) => self.moved = self.moved.saturating_add(count as u64),
            Err(Errno::WOULDBLOCK) => to.writable = false,
            Err(Errno::INTR) => {}
            Err(Errno::INVAL | Errno::OPNOTSUPP) if self.stage.is_pipe() => {
                if self.stage.spill().is_err() {
                    self.abandon(from);
                }
            }
            Err(_) => self.abandon(from),
        }
    }

    /// Nobody reads any more: the writer shall get `EPIPE`, as it would without a relay in between.
    fn abandon(&mut self, from: &End) {
        let _ = rustix::net::shutdown(&from.socket, Shutdown::Read);
        self.stage = Stage::empty_buffer();
        self.done = true;
    }
}

impl Stage {
    fn empty_buffer() -> Self {
        Self::Buffer { bytes: Vec::new(), start: 0 }
    }

    fn is_pipe(&self) -> bool {
        matches!(self, Self::Pipe { .. })
    }

    fn held(&self) -> usize {
        match self {
            Self::Pipe { held, .. } => *held,
            Self::Buffer { bytes, start } => bytes.len().saturating_sub(*start),
        }
    }

    fn fill(&mut self, from: impl AsFd) -> Result<usize, Errno> {
        match self {
            Self::Pipe { writer, held, .. } => {
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                *held = rustix::pipe::splice(from, None, &*writer, None, CHUNK, flags)?;
                Ok(*held)
            }
            Self::Buffer { bytes, start } => {
                *start = 0;
                bytes.clear();
                bytes.reserve_exact(CHUNK);
                rustix::io::read(from, rustix::buffer::spare_capacity(bytes))
            }
        }
    }

    fn empty(&mut self, to: impl AsFd, most: usize) -> Result<usize, Errno> {
        match self {
            Self::Pipe { reader, held, .. } => {
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                let count = rustix::pipe::splice(&*reader, None, to, None, most.min(*held), flags)?;
                // A pipe that gives nothing while it should hold something would keep us busy for ever.
                if count == 0 {
                    return Err(Errno::IO);
                }
                *held = held.saturating_sub(count);
                Ok(count)
            }
            Self::Buffer { bytes, start } => {
                let rest = bytes.get(*start..).unwrap_or_default();
                let rest = rest.get(..most).unwrap_or(rest);
                let count = rustix::net::send(to, rest, rustix::net::SendFlags::NOSIGNAL)?;
                *start = start.saturating_add(count);
                if *start >= bytes.len() {
                    // An idle connection keeps no buffer.
                    *bytes = Vec::new();
                    *start = 0;
                }
                Ok(count)
            }
        }
    }

    /// Takes what is in the pipe into a buffer, and goes on with that.
    fn spill(&mut self) -> Result<(), Errno> {
        let Self::Pipe { reader, held, .. } = self else { return Ok(()) };
        let mut bytes = Vec::with_capacity(CHUNK);
        while bytes.len() < *held {
            bytes.reserve(CHUNK);
            if rustix::io::read(&*reader, rustix::buffer::spare_capacity(&mut bytes))? == 0 {
                return Err(Errno::IO);
            }
        }
        *self = Self::Buffer { bytes, start: 0 };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A flow between two socket pairs, with the far end of each.
    fn flow() -> (Flow, UnixStream, End, End, UnixStream) {
        let (writer, from) = UnixStream::pair().unwrap();
        let (to, reader) = UnixStream::pair().unwrap();
        for socket in [&from, &to] {
            socket.set_nonblocking(true).unwrap();
        }
        (Flow::new(), writer, End::new(from.into()), End::new(to.into()), reader)
    }

    #[test]
    fn many_small_messages_pass_in_one_turn() {
        let (mut flow, mut writer, mut from, mut to, mut reader) = flow();
        for byte in 0..100_u8 {
            writer.write_all(&[byte; 3]).unwrap();
        }
        assert_eq!(flow.turn(&mut from, &mut to, 1 << 20), Progress::Blocked);
        assert!(!from.readable && to.writable);
        let mut bytes = [0; 300];
        reader.read_exact(&mut bytes).unwrap();
        assert!(bytes.iter().enumerate().all(|(at, &byte)| usize::from(byte) == at / 3));
    }

    #[test]
    fn a_vsock_is_never_given_a_long_write() {
        for splice in [true, false] {
            let (mut flow, mut writer, mut from, _, _) = flow();
            if !splice {
                flow.stage = Stage::empty_buffer();
            }
            // Such a socket keeps the writes apart.
            let (to, reader) = rustix::net::socketpair(
                rustix::net::AddressFamily::UNIX,
                rustix::net::SocketType::SEQPACKET,
                rustix::net::SocketFlags::NONBLOCK,
                None,
            )
            .unwrap();
            let mut to = End::vsock(to);
            writer.write_all(&[7; 60_000]).unwrap();
            assert_eq!(flow.turn(&mut from, &mut to, 1 << 20), Progress::Blocked);
            let mut left = 60_000;
            let mut bytes = [0; CHUNK];
            while left > 0 {
                let len = rustix::io::read(&reader, &mut bytes).unwrap();
                assert!((1..=MAX_WRITE).contains(&len), "{len} bytes at once");
                left -= len;
            }
        }
    }

    #[test]
    fn a_turn_ends_with_its_budget() {
        let (mut flow, writer, mut from, mut to, _reader) = flow();
        writer.set_nonblocking(true).unwrap();
        while (&writer).write(&[0; 4096]).is_ok() {}
        assert_eq!(flow.turn(&mut from, &mut to, 1), Progress::Budget);
        assert!(flow.moved() > 0 && flow.moved() <= CHUNK as u64);
    }

    #[test]
    fn the_end_passes_after_the_last_byte() {
        for splice in [true, false] {
            let (mut flow, mut writer, mut from, mut to, mut reader) = flow();
            if !splice {
                flow.stage = Stage::empty_buffer();
            }
            writer.write_all(b"last").unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(flow.turn(&mut from, &mut to, 1 << 20), Progress::Done);
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, "last");
        }
    }

    #[test]
    fn a_writer_learns_that_the_reader_is_gone() {
        let (mut flow, mut writer, mut from, mut to, reader) = flow();
        drop(reader);
        writer.write_all(b"lost").unwrap();
        assert_eq!(flow.turn(&mut from, &mut to, 1 << 20), Progress::Done);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_pipe_that_cannot_be_spliced_out_is_spilled_without_loss() {
        let (mut flow, mut writer, mut from, mut to, mut reader) = flow();
        writer.write_all(&[7; 5000]).unwrap();
        assert!(flow.stage.fill(&from.socket).unwrap() > 0);
        let held = flow.stage.held();
        flow.stage.spill().unwrap();
        assert_eq!(flow.stage.held(), held);
        flow.turn(&mut from, &mut to, 1 << 20);
        let mut bytes = [0; 5000];
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [7; 5000]);
    }
}
