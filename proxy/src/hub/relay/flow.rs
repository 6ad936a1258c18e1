//! One direction of a connection: from one socket into a pipe, from the pipe into the other socket; what is small is read and
//! written, which costs less than moving it by reference.
//!
//! Small bytes are taken only while the destination takes them. What it leaves of them waits, and nothing is taken meanwhile.
//! The pipe is filled only when it is empty, and emptied before it is filled again. That bounds what is held to
//! one pipe, which is the back-pressure, and it makes `EAGAIN` mean one thing: of filling, that the source has
//! nothing; of emptying, that the destination has no room. (A pipe can be full with very few bytes in it, so a fill
//! that fails on a pipe that is not empty would tell nothing.)
//!
//! Who reads a Unix socket and gets less than there is room for has all that there was, so it is not asked again before the kernel
//! says that more has come. (Vsocks of some kernels give one packet at a time.) An end of the stream that was announced with
//! the last bytes is not announced again, so it is looked for.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, Shutdown, sockopt};
use rustix::pipe::{PipeFlags, SpliceFlags};
use virtio_wl::wire::MAX_WRITE;

/// Most bytes taken at a time: the capacity of a pipe, and the size of the buffer where splice does not work.
const CHUNK: usize = 64 << 10;

/// Up to how many bytes are copied. Splicing them into a pipe and out again is dearer (measured).
const SMALL: usize = 4 << 10;

/// One end of a connection and what it could do when it was last tried.
#[derive(Debug)]
pub(super) struct End {
    pub(super) socket: OwnedFd,
    /// Reading may give something: bytes, the end or an error.
    pub(super) readable: bool,
    /// Writing may find room, or give an error.
    pub(super) writable: bool,
    /// The kernel has said that the other side is gone or sends nothing more, and does not say so again.
    pub(super) hung_up: bool,
    /// Most bytes given to it at a time.
    longest_write: usize,
    /// Reading less than there is room for leaves nothing behind.
    short_is_all: bool,
}

impl End {
    pub(super) fn new(socket: OwnedFd) -> Self {
        let short_is_all = sockopt::socket_domain(&socket).is_ok_and(|domain| domain == AddressFamily::UNIX);
        let (readable, writable, hung_up) = (true, true, false);
        Self { socket, readable, writable, hung_up, longest_write: CHUNK, short_is_all }
    }

    /// An end that goes through a vsock. The drivers of some guests stall for ever on long writes, whoever makes them.
    pub(super) fn vsock(socket: OwnedFd) -> Self {
        Self { longest_write: MAX_WRITE, ..Self::new(socket) }
    }

    /// Takes note of what the kernel says.
    pub(super) fn note(&mut self, flags: EventFlags) {
        let broken = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        self.readable |= broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP);
        self.writable |= broken || flags.contains(EventFlags::OUT);
        self.hung_up |= broken || flags.contains(EventFlags::RDHUP);
    }

    /// Reading has given less than there was room for.
    fn gave_little(&mut self) {
        self.readable = !self.short_is_all || self.hung_up;
    }
}

/// Where bytes are between the two sockets.
#[derive(Debug)]
enum Stage {
    /// In the kernel, moved by reference where it can be.
    Pipe { reader: OwnedFd, writer: OwnedFd, held: usize },
    /// In our memory, for sockets that cannot be spliced, or where there was no pipe to be had.
    Buffer(Buffer),
}

/// Bytes in our memory, of which some may have left.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
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
    /// What the destination has left of something small. The stage is empty then.
    rest: Buffer,
    /// The last thing to pass was not small.
    bulk: bool,
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
        let (source_ended, bulk, done) = (false, false, false);
        Self { stage, rest: Buffer::default(), bulk, source_ended, done, moved: 0 }
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
            if self.rest.len() > 0 || self.stage.held() > 0 {
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
            } else if to.writable && !self.bulk {
                left = left.saturating_sub(self.copy(from, to));
            } else {
                left = left.saturating_sub(self.fill(from));
            }
        }
        Progress::Done
    }

    /// Passes on what comes, if it is small, and the beginning of it otherwise.
    fn copy(&mut self, from: &mut End, to: &mut End) -> usize {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; SMALL];
        let bytes = match rustix::io::read(&from.socket, &mut space) {
            Ok((bytes, _)) => &*bytes,
            Err(error) => return self.cannot_fill(from, error),
        };
        if bytes.is_empty() {
            self.source_ended = true;
            return 0;
        }
        self.bulk = bytes.len() == SMALL;
        if !self.bulk {
            from.gave_little();
        }
        let sent = match rustix::net::send(&to.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::INTR) => 0,
            Err(Errno::WOULDBLOCK) => {
                to.writable = false;
                0
            }
            Err(_) => {
                self.abandon(from);
                return bytes.len();
            }
        };
        self.moved = self.moved.saturating_add(sent as u64);
        self.rest.hold(bytes.get(sent..).unwrap_or_default());
        bytes.len()
    }

    fn fill(&mut self, from: &mut End) -> usize {
        match self.stage.fill(&from.socket) {
            Ok(0) => self.source_ended = true,
            Ok(count) => {
                self.bulk = count >= SMALL;
                return count;
            }
            Err(error) => return self.cannot_fill(from, error),
        }
        0
    }

    fn cannot_fill(&mut self, from: &mut End, error: Errno) -> usize {
        match error {
            Errno::WOULDBLOCK => from.readable = false,
            Errno::INTR => {}
            Errno::INVAL | Errno::OPNOTSUPP if self.stage.is_pipe() => self.stage = Stage::empty_buffer(),
            // A source that fails has ended.
            _ => self.source_ended = true,
        }
        0
    }

    fn empty(&mut self, from: &End, to: &mut End) {
        let emptied = if self.rest.len() > 0 {
            self.rest.send(&to.socket, to.longest_write)
        } else {
            self.stage.empty(&to.socket, to.longest_write)
        };
        match emptied {
            Ok(count) => self.moved = self.moved.saturating_add(count as u64),
            Err(Errno::WOULDBLOCK) => to.writable = false,
            Err(Errno::INTR) => {}
            Err(Errno::INVAL | Errno::OPNOTSUPP) if self.stage.is_pipe() && self.stage.held() > 0 => {
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
        self.rest = Buffer::default();
        self.done = true;
    }
}

impl Buffer {
    fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// Keeps bytes, when there are none. Nothing takes no memory.
    fn hold(&mut self, bytes: &[u8]) {
        *self = Self { bytes: bytes.to_vec(), start: 0 };
    }

    fn send(&mut self, to: impl AsFd, most: usize) -> Result<usize, Errno> {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let rest = rest.get(..most).unwrap_or(rest);
        let count = rustix::net::send(to, rest, SendFlags::NOSIGNAL)?;
        self.start = self.start.saturating_add(count);
        if self.start >= self.bytes.len() {
            // An idle connection keeps no buffer.
            *self = Self::default();
        }
        Ok(count)
    }
}

impl Stage {
    fn empty_buffer() -> Self {
        Self::Buffer(Buffer::default())
    }

    fn is_pipe(&self) -> bool {
        matches!(self, Self::Pipe { .. })
    }

    fn held(&self) -> usize {
        match self {
            Self::Pipe { held, .. } => *held,
            Self::Buffer(buffer) => buffer.len(),
        }
    }

    fn fill(&mut self, from: impl AsFd) -> Result<usize, Errno> {
        match self {
            Self::Pipe { writer, held, .. } => {
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                *held = rustix::pipe::splice(from, None, &*writer, None, CHUNK, flags)?;
                Ok(*held)
            }
            Self::Buffer(Buffer { bytes, start }) => {
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
            Self::Buffer(buffer) => buffer.send(to, most),
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
        *self = Self::Buffer(Buffer { bytes, start: 0 });
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
    fn a_socket_that_gave_less_than_it_could_is_not_asked_again_before_an_event() {
        for (short_is_all, kept) in [(true, "later"), (false, "")] {
            let (mut flow, mut writer, mut from, mut to, _reader) = flow();
            from.short_is_all = short_is_all;
            writer.write_all(b"now").unwrap();
            flow.copy(&mut from, &mut to);
            writer.write_all(b"later").unwrap();
            assert_eq!(flow.turn(&mut from, &mut to, 1 << 20), Progress::Blocked);
            let mut left = [0; 8];
            let left = rustix::io::read(&from.socket, &mut left).unwrap_or(0);
            assert_eq!(left, kept.len());
            from.note(EventFlags::IN);
            assert!(from.readable);
        }
    }

    #[test]
    fn small_messages_wait_in_order_for_a_destination_that_is_full_and_no_more_is_taken_meanwhile() {
        let (mut flow, mut writer, mut from, mut to, mut reader) = flow();
        let mut filled = 0;
        while let Ok(len) = rustix::net::send(&to.socket, &[0; 1024], SendFlags::NOSIGNAL) {
            filled += len;
        }
        writer.write_all(b"first ").unwrap();
        assert_eq!(flow.turn(&mut from, &mut to, 1 << 20), Progress::Blocked);
        assert!(!to.writable);
        writer.write_all(b"second").unwrap();
        from.note(EventFlags::IN);
        assert_eq!(flow.turn(&mut from, &mut to, 1 << 20), Progress::Blocked);
        assert!(from.readable, "what is held has to leave first");

        reader.read_exact(&mut vec![0; filled]).unwrap();
        to.note(EventFlags::OUT);
        assert_eq!(flow.turn(&mut from, &mut to, 1 << 20), Progress::Blocked);
        let mut bytes = [0; 12];
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"first second");
        assert_eq!((flow.moved(), flow.rest.bytes.capacity()), (12, 0));
    }

    #[test]
    fn small_and_large_messages_keep_their_order() {
        let (mut flow, mut writer, mut from, mut to, mut reader) = flow();
        let mut total = 0;
        for (round, len) in [10, 4095, 4096, 4097, 30_000, 1, 70_000, 4096, 20, 20].into_iter().enumerate() {
            let message = vec![u8::try_from(round).unwrap(); len];
            total += len as u64;
            writer.write_all(&message).unwrap();
            from.note(EventFlags::IN);
            assert_eq!(flow.turn(&mut from, &mut to, 1 << 20), Progress::Blocked);
            let mut bytes = vec![0; len];
            reader.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, message, "round {round}");
        }
        assert_eq!(flow.moved(), total);
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
                AddressFamily::UNIX,
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
        for (splice, bulk) in [(true, true), (false, true), (true, false)] {
            let (mut flow, mut writer, mut from, mut to, mut reader) = flow();
            if !splice {
                flow.stage = Stage::empty_buffer();
            }
            flow.bulk = bulk;
            writer.write_all(b"last").unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
            // Both in one event, and there will be no other.
            from.note(EventFlags::IN | EventFlags::RDHUP);
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
