//! The target `pipes`: pipes and sockets between two sockets, against a model of what a pipe is. A socket is two pipes.
//!
//! Between the sockets the harness carries the stream itself, in pieces of any size, and judges every frame by
//! [`Conversation`], so that no side ever sends more than it was granted. Applications announce pipes, write, read and close.
//! What is read must be what was written; an end of file comes exactly when the writer is closed and everything was read; a
//! writer whose reader is gone is told so; and when all ends are closed both connections end.
//!
//! Input: operations of one byte and their arguments.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::Shutdown;
use virtio_wl::{ReceivedKind, Role, Socket, SocketError, SocketOptions, StreamLimits};

use super::choices::Choices;
use super::conversation::Conversation;
use super::descriptors;
use super::wire_peer::{self, Splitter};

/// Operations of one input.
const MAX_OPERATIONS: usize = 400;
/// Pipes of one input.
const MAX_PIPES: usize = 12;
/// Rounds in which everything must come to its end.
const MAX_ROUNDS: usize = 20_000;

/// One pipe with the ends that applications have.
#[derive(Debug)]
struct Pipe {
    /// Those of a socket are shared with the pipe of the other direction.
    writer: Option<Rc<OwnedFd>>,
    reader: Option<Rc<OwnedFd>>,
    of_socket: bool,
    /// The end that crosses has not arrived.
    crossing: bool,
    reader_closed: bool,
    written: u64,
    read: u64,
    /// The reader has seen the end of file.
    ended: bool,
}

/// One side with its end of the harness.
struct Side {
    socket: Socket,
    stream: UnixStream,
    splitter: Splitter,
    /// Bytes from this side that have not been carried to the other one.
    carried: Vec<u8>,
    /// Pipes whose end is on its way to this side.
    expected: VecDeque<usize>,
    /// It reads nothing of its stream for the moment.
    paused: bool,
}

struct Bench {
    sides: [Side; 2],
    talk: Option<Conversation>,
    pipes: Vec<Pipe>,
}

/// See the module.
pub fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let before = descriptors::count();
    let mut bench = Bench::new(choices.byte());
    for _ in 0..MAX_OPERATIONS {
        if choices.is_empty() {
            break;
        }
        bench.operate(&mut choices);
    }
    bench.finish();
    drop(bench);
    assert_eq!(descriptors::count(), before, "descriptors leaked");
}

impl Bench {
    fn new(config: u8) -> Self {
        let limits = StreamLimits {
            pipe_window: if config & 1 == 0 { 4096 } else { 65_536 },
            max_pipes: 1 + u16::from(config >> 4),
            ..StreamLimits::default()
        };
        let side = |role| {
            let (stream, end) = wire_peer::stream_pair();
            if config & 2 != 0 {
                wire_peer::narrow(&end);
            }
            let options = SocketOptions { limits: limits.clone(), ..SocketOptions::default() };
            let socket = Socket::new(end, role, options).expect("socket");
            let expected = VecDeque::new();
            let (splitter, carried) = (Splitter::default(), Vec::new());
            Side { socket, stream, splitter, carried, expected, paused: false }
        };
        let mut bench =
            Self { sides: [side(Role::Initiator), side(Role::Acceptor)], talk: None, pipes: Vec::new() };
        for from in 0..2 {
            bench.carry(from, 1 << 16);
        }
        bench
    }

    fn operate(&mut self, choices: &mut Choices<'_>) {
        let operation = choices.byte();
        let side = usize::from(operation >> 7);
        match operation % 12 {
            0 => self.announce(side, choices.flag()),
            1 => self.announce_socket(side),
            2 => self.receive(side),
            3 | 4 => self.write(choices),
            5 | 6 => self.read(choices),
            7 => {
                if let Some(pipe) = self.pick(choices) {
                    pipe.close_writer();
                }
            }
            8 => {
                if let Some(pipe) = self.pick(choices) {
                    pipe.close_reader();
                }
            }
            9 => self.carry(side, 1 + usize::from(choices.byte())),
            10 => self.carry(side, 1 + usize::from(choices.short())),
            _ => self.sides[side].pause(!self.sides[side].paused),
        }
    }

    fn pick(&mut self, choices: &mut Choices<'_>) -> Option<&mut Pipe> {
        let index = choices.below(self.pipes.len());
        self.pipes.get_mut(index)
    }

    /// An application passes one end of a new pipe and keeps the other.
    fn announce(&mut self, side: usize, write_end: bool) {
        if self.pipes.len() >= MAX_PIPES {
            return;
        }
        let (reader, writer) = wire_peer::pipe();
        let passed = if write_end { &writer } else { &reader };
        match self.sides[side].socket.sendmsg(b"x", &[passed.as_fd()]) {
            Ok(1) => {}
            Err(SocketError::WouldBlock | SocketError::Unsupported(_)) => return,
            other => panic!("announcing a pipe: {other:?}"),
        }
        self.sides[1 - side].expected.push_back(self.pipes.len());
        let (reader, writer) = if write_end { (Some(reader), None) } else { (None, Some(writer)) };
        self.pipes.push(Pipe::new(writer.map(Rc::new), reader.map(Rc::new), false));
    }

    /// An application passes one end of a new pair of sockets and keeps the other.
    fn announce_socket(&mut self, side: usize) {
        if self.pipes.len() >= MAX_PIPES {
            return;
        }
        let (kept, passed) = wire_peer::stream_pair();
        match self.sides[side].socket.sendmsg(b"x", &[passed.as_fd()]) {
            Ok(1) => {}
            Err(SocketError::WouldBlock | SocketError::Unsupported(_)) => return,
            other => panic!("announcing a socket: {other:?}"),
        }
        self.sides[1 - side].expected.push_back(self.pipes.len());
        let kept = Rc::new(OwnedFd::from(kept));
        self.pipes.push(Pipe::new(Some(Rc::clone(&kept)), None, true));
        self.pipes.push(Pipe::new(None, Some(kept), true));
    }

    fn receive(&mut self, side: usize) {
        let mut fds = Vec::new();
        match self.sides[side].socket.recvmsg(&mut [0; 64], &mut fds) {
            Ok(_) | Err(SocketError::WouldBlock) => {}
            Err(error) => panic!("receiving: {error}"),
        }
        for received in fds {
            let index = self.sides[side].expected.pop_front().expect("nothing arrives that was not sent");
            let pipe = &mut self.pipes[index];
            wire_peer::unblock(&received.fd);
            pipe.crossing = false;
            let fd = Rc::new(received.fd);
            match received.kind {
                ReceivedKind::PipeRead => pipe.reader = Some(fd),
                ReceivedKind::PipeWrite => pipe.writer = Some(fd),
                ReceivedKind::Socket => {
                    pipe.reader = Some(Rc::clone(&fd));
                    self.pipes[index + 1].writer = Some(fd);
                    self.pipes[index + 1].crossing = false;
                }
                other => panic!("a pipe arrives as {other:?}"),
            }
        }
    }

    fn write(&mut self, choices: &mut Choices<'_>) {
        let length = u64::from(choices.short());
        if let Some(pipe) = self.pick(choices) {
            pipe.write(length);
        }
    }

    fn read(&mut self, choices: &mut Choices<'_>) {
        let length = usize::from(choices.short()).max(1);
        if let Some(pipe) = self.pick(choices) {
            pipe.read(length);
        }
    }

    /// Carries up to `max` bytes from one side to the other, which acts on them.
    fn carry(&mut self, from: usize, max: usize) {
        wire_peer::settle(&mut self.sides[from].socket).expect("a healthy connection");
        let bytes = wire_peer::read_some(&self.sides[from].stream, max);
        for message in self.sides[from].splitter.push(&bytes) {
            // Nobody says more than hello before both hellos have passed.
            let talk = self.talk.as_mut().expect("frames after the hellos");
            talk.pass(from, &message).expect("a socket keeps the rules");
        }
        if let (None, [Some(one), Some(other)]) =
            (&self.talk, self.sides.each_ref().map(|side| side.splitter.hello()))
        {
            self.talk = Some(Conversation::new([one, other], 0));
        }
        self.sides[from].carried.extend(bytes);
        let to = 1 - from;
        let carried = std::mem::take(&mut self.sides[from].carried);
        let len = wire_peer::write_some(&mut self.sides[to].stream, &carried).expect("the stream is open");
        self.sides[from].carried = carried[len..].to_vec();
        wire_peer::settle(&mut self.sides[to].socket).expect("a healthy connection");
    }

    /// Carries and receives until nothing moves in two rounds, while readers read.
    fn quiesce(&mut self) {
        self.sides.iter_mut().for_each(|side| side.pause(false));
        let mut still = 0;
        for _ in 0..MAX_ROUNDS {
            let before = self.progress();
            for side in 0..2 {
                self.carry(side, 1 << 16);
                self.receive(side);
            }
            self.pipes.iter_mut().for_each(|pipe| pipe.read(1 << 16));
            let waiting = |side: &Side| !side.carried.is_empty() || wire_peer::is_ready(&side.stream);
            let moved = self.progress() != before || self.sides.iter().any(waiting);
            still = if moved { 0 } else { still + 1 };
            if still == 2 {
                return;
            }
        }
        panic!("the connection never comes to rest");
    }

    fn progress(&self) -> (u64, u64, usize, usize) {
        let read = self.pipes.iter().map(|pipe| pipe.read).sum();
        // A long frame takes many rounds through a stream that is soon full.
        let received = self.sides.iter().map(|side| side.socket.received_bytes()).sum();
        let crossing = self.pipes.iter().filter(|pipe| pipe.crossing).count();
        (read, received, crossing, self.sides.iter().map(|side| side.socket.pipes_open()).sum())
    }

    /// Everything comes to its end as a pipe does.
    fn finish(&mut self) {
        self.quiesce();
        for pipe in &mut self.pipes {
            assert!(!pipe.crossing, "an end that was passed arrives");
            if !pipe.reader_closed {
                assert_eq!(pipe.read, pipe.written, "everything arrives while the writer is open");
                assert_eq!(pipe.ended, pipe.writer.is_none(), "end of file");
            } else if pipe.of_socket {
                // A reader of a socket that is shut down may be noticed only when there is something for it.
                pipe.write(1);
            }
        }
        self.quiesce();
        for pipe in &mut self.pipes {
            if pipe.reader_closed && pipe.writer.is_some() {
                assert!(pipe.write(1), "the writer is told");
            }
            pipe.close_writer();
        }
        self.quiesce();
        for pipe in &mut self.pipes {
            assert!(pipe.reader_closed || pipe.ended, "the end of file arrives");
            pipe.close_reader();
        }
        self.sides.iter_mut().for_each(|side| side.socket.shutdown_write());
        self.quiesce();
        assert!(self.talk.as_ref().is_none_or(Conversation::is_over), "the connection ends on the wire");
        for side in &self.sides {
            assert!(side.socket.is_finished(), "the connection ends");
        }
    }
}

impl Side {
    fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.socket.pause(paused).expect("a healthy connection");
        wire_peer::settle(&mut self.socket).expect("a healthy connection");
    }
}

impl Pipe {
    fn new(writer: Option<Rc<OwnedFd>>, reader: Option<Rc<OwnedFd>>, of_socket: bool) -> Self {
        let (crossing, reader_closed, ended) = (true, false, false);
        Self { writer, reader, of_socket, crossing, reader_closed, written: 0, read: 0, ended }
    }

    fn close_writer(&mut self) {
        if let Some(writer) = self.writer.take()
            && self.of_socket
        {
            // There is nothing to shut down where the other end is gone.
            let _ = rustix::net::shutdown(&*writer, Shutdown::Write);
        }
    }

    fn close_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.reader_closed = true;
            if self.of_socket {
                let _ = rustix::net::shutdown(&*reader, Shutdown::Read);
            }
        }
    }

    /// Writes up to `length` bytes. Says whether the writer is told that nobody reads them.
    fn write(&mut self, length: u64) -> bool {
        let Some(writer) = &self.writer else { return false };
        let bytes: Vec<u8> = (self.written..self.written + length).map(content).collect();
        match rustix::io::write(&**writer, &bytes) {
            Ok(len) => self.written += len as u64,
            Err(Errno::AGAIN) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => {
                assert!(self.reader_closed, "broken although there is a reader");
                return true;
            }
            Err(error) => panic!("writing: {error}"),
        }
        false
    }

    /// Reads up to `length` bytes, which is not zero.
    fn read(&mut self, length: usize) {
        let Some(reader) = &self.reader else { return };
        let mut bytes = Vec::with_capacity(length);
        match rustix::io::read(&**reader, spare_capacity(&mut bytes)) {
            Ok(0) => {
                assert!(self.writer.is_none() && !self.crossing, "end of file although the writer is open");
                assert_eq!(self.read, self.written, "nothing is lost before the end of file");
                self.ended = true;
            }
            Ok(len) => {
                let expected: Vec<u8> = (self.read..self.read + len as u64).map(content).collect();
                assert!(bytes == expected, "other content than was written");
                self.read += len as u64;
            }
            Err(Errno::AGAIN) => {}
            // As from a socket whose other end was closed before it had read everything; the end of file comes next.
            Err(Errno::CONNRESET) if self.of_socket => {}
            Err(error) => panic!("reading: {error}"),
        }
    }
}

/// The byte at a place of every pipe: no two pieces of some length are alike.
fn content(at: u64) -> u8 {
    let [low, high, ..] = at.wrapping_mul(0x9e37_79b9).to_le_bytes();
    low ^ high
}
