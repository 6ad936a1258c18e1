//! Two ends of a connection in one process, driven by one thread.

use std::any::Any;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use virtio_wl::socket::Violation;
use virtio_wl::unix::{self, UnixError};
use virtio_wl::vfd::ReceivedKind;
use virtio_wl::wire::MirrorRect;
use virtio_wl::{ReceivedFd, Region, Role, Socket, SocketError, SocketOptions};

use crate::PATIENCE;

/// Times that the two sides may wake up before nothing is left to be done, unless somebody does something new. A few for
/// each piece that a wire may make of a message.
const MAX_WAKE_UPS: usize = 4096;

/// How long nothing must happen for a connection to count as being at rest. Every transport is faster than this in passing
/// on what was sent before.
const REST: Duration = Duration::from_millis(100);

/// What a side is waited for, where its descriptor does not say it by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    /// To be readable only for what it has to do by itself.
    #[default]
    Nothing,
    /// That it can receive.
    Receive,
    /// That it can send.
    Send,
}

/// A descriptor that crossed.
#[derive(Debug)]
pub struct Crossed {
    pub fd: OwnedFd,
    /// What the side says that it is. An ordinary Unix socket says nothing.
    pub kind: Option<ReceivedKind>,
}

/// One end of a connection. The calls never wait, and fail as the system calls of the same name do.
pub trait Side: fmt::Debug {
    /// What the descriptor has to be polled for.
    fn interest(&self, want: Want) -> (BorrowedFd<'_>, PollFlags);
    /// Does what there is to do by itself. Errors are reported by the other calls.
    fn dispatch(&mut self);
    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno>;
    fn receive(&mut self, into: &mut [u8], fds: &mut Vec<Crossed>) -> Result<usize, Errno>;
    /// Announces that a rectangle of memory that the peer has has changed.
    fn mirror_write(&mut self, source: &Arc<Region>, rect: MirrorRect) -> Result<(), Errno>;
    /// As `mirror_write`, for memory of another program.
    fn mirror_write_file(&mut self, memory: BorrowedFd<'_>, rect: MirrorRect) -> Result<(), Errno>;
    fn shutdown_write(&mut self);
    fn shutdown_read(&mut self);
    /// Whether this is an ordinary Unix socket.
    fn is_plain(&self) -> bool {
        false
    }
    /// Whether the death of the peer can be told from an orderly end.
    fn tells_of_death(&self) -> bool {
        !self.is_plain()
    }
}

impl Side for Socket {
    fn interest(&self, _: Want) -> (BorrowedFd<'_>, PollFlags) {
        (self.as_fd(), PollFlags::IN)
    }

    fn dispatch(&mut self) {
        let _ = Self::dispatch(self);
    }

    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
        self.sendmsg(bytes, fds).map_err(|error| errno(&error))
    }

    fn receive(&mut self, into: &mut [u8], fds: &mut Vec<Crossed>) -> Result<usize, Errno> {
        let mut received: Vec<ReceivedFd> = Vec::new();
        let result = self.recvmsg(into, &mut received).map_err(|error| errno(&error));
        fds.extend(received.into_iter().map(|ReceivedFd { fd, kind }| Crossed { fd, kind: Some(kind) }));
        result
    }

    fn mirror_write(&mut self, source: &Arc<Region>, rect: MirrorRect) -> Result<(), Errno> {
        Self::mirror_write(self, source, rect).map_err(|error| errno(&error))
    }

    fn mirror_write_file(&mut self, memory: BorrowedFd<'_>, rect: MirrorRect) -> Result<(), Errno> {
        Self::mirror_write_file(self, memory, rect).map_err(|error| errno(&error))
    }

    fn shutdown_write(&mut self) {
        Self::shutdown_write(self);
    }

    fn shutdown_read(&mut self) {
        Self::shutdown_read(self);
    }
}

/// The error number. No side of this suite breaks a rule, so no other may say so.
fn errno(error: &SocketError) -> Errno {
    let broken: Option<&Violation> = match error {
        SocketError::Violation(violation) => Some(violation),
        _ => None,
    };
    assert_eq!(broken, None, "a peer that keeps to the rules is accused");
    error.errno()
}

/// An ordinary Unix stream socket as a side.
#[derive(Debug)]
pub struct Plain(pub OwnedFd);

impl Side for Plain {
    fn interest(&self, want: Want) -> (BorrowedFd<'_>, PollFlags) {
        let flags = match want {
            Want::Nothing => PollFlags::empty(),
            Want::Receive => PollFlags::IN,
            Want::Send => PollFlags::OUT,
        };
        (self.0.as_fd(), flags)
    }

    fn dispatch(&mut self) {}

    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
        unix::send(&self.0, bytes, fds).map_err(unix_errno)
    }

    fn receive(&mut self, into: &mut [u8], fds: &mut Vec<Crossed>) -> Result<usize, Errno> {
        let mut received = Vec::new();
        let result = unix::receive(&self.0, into, &mut received).map_err(unix_errno);
        fds.extend(received.into_iter().map(|fd| Crossed { fd, kind: None }));
        result
    }

    /// The peer has the memory itself.
    fn mirror_write(&mut self, _: &Arc<Region>, _: MirrorRect) -> Result<(), Errno> {
        Ok(())
    }

    fn mirror_write_file(&mut self, _: BorrowedFd<'_>, _: MirrorRect) -> Result<(), Errno> {
        Ok(())
    }

    fn shutdown_write(&mut self) {
        rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write).expect("connected");
    }

    fn shutdown_read(&mut self) {
        rustix::net::shutdown(&self.0, rustix::net::Shutdown::Read).expect("connected");
    }

    fn is_plain(&self) -> bool {
        true
    }
}

fn unix_errno(error: UnixError) -> Errno {
    match error {
        UnixError::WouldBlock => Errno::AGAIN,
        UnixError::TooManyFds => Errno::TOOMANYREFS,
        UnixError::Send(errno) | UnixError::Receive(errno) => errno,
    }
}

/// Which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The side that opened the connection.
    Initiator,
    /// The other one.
    Acceptor,
}

impl End {
    pub const BOTH: [Self; 2] = [Self::Initiator, Self::Acceptor];

    pub fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Acceptor,
            Self::Acceptor => Self::Initiator,
        }
    }
}

/// A connection, as a transport makes it.
#[derive(Debug)]
pub struct Connection {
    pub ends: Ends,
    /// What has to outlive the sides.
    keep: Box<dyn Keep>,
}

/// The two ends of a connection, the initiator's first.
#[derive(Debug)]
pub enum Ends {
    /// Byte streams on which nothing was sent yet.
    Streams(OwnedFd, OwnedFd),
    /// Anything else.
    Sides(Box<dyn Side>, Box<dyn Side>),
}

/// Something that is only kept.
trait Keep: Any + fmt::Debug {}
impl<T: Any + fmt::Debug> Keep for T {}

impl Connection {
    pub fn streams(initiator: impl Into<OwnedFd>, acceptor: impl Into<OwnedFd>) -> Self {
        Self { ends: Ends::Streams(initiator.into(), acceptor.into()), keep: Box::new(()) }
    }

    /// For transports that do not carry bytes alone.
    pub fn sides(initiator: Box<dyn Side>, acceptor: Box<dyn Side>) -> Self {
        Self { ends: Ends::Sides(initiator, acceptor), keep: Box::new(()) }
    }

    /// Keeps something until both sides are closed.
    pub fn keeping(self, keep: impl Any + fmt::Debug) -> Self {
        Self { keep: Box::new(keep), ..self }
    }

    /// The streams, for cases that play one side by hand; to be dropped before what is kept for them.
    pub fn into_streams(self) -> Option<(OwnedFd, OwnedFd, impl fmt::Debug)> {
        match self.ends {
            Ends::Streams(initiator, acceptor) => Some((initiator, acceptor, self.keep)),
            Ends::Sides(..) => None,
        }
    }

    /// Two sides that have said hello to each other.
    pub fn into_pair(self) -> Pair {
        self.into_pair_with([SocketOptions::default(), SocketOptions::default()])
    }

    /// As [`into_pair`](Self::into_pair). The options are those of the sockets on streams, the initiator's first; other sides
    /// have theirs.
    pub fn into_pair_with(self, options: [SocketOptions; 2]) -> Pair {
        let [of_initiator, of_acceptor] = options;
        let (initiator, acceptor): (Box<dyn Side>, Box<dyn Side>) = match self.ends {
            Ends::Streams(initiator, acceptor) => (
                Box::new(Socket::new(initiator, Role::Initiator, of_initiator).expect("usable")),
                Box::new(Socket::new(acceptor, Role::Acceptor, of_acceptor).expect("usable")),
            ),
            Ends::Sides(initiator, acceptor) => (initiator, acceptor),
        };
        let mut pair = Pair { sides: [Some(initiator), Some(acceptor)], keep: self.keep };
        // Until the hello has come, sending would block.
        for end in End::BOTH {
            pair.send_all(end, b"hello", &[]);
            assert_eq!(pair.receive_exactly(end.other(), 5).0, b"hello");
        }
        pair
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Pair {
    sides: [Option<Box<dyn Side>>; 2],
    #[allow(dead_code, reason = "dropped after the sides")]
    keep: Box<dyn Keep>,
}

impl Pair {
    pub fn side(&mut self, end: End) -> &mut dyn Side {
        self.sides[end as usize].as_deref_mut().expect("a side that is still there")
    }

    /// Closes a side as the death of its process does.
    pub fn kill(&mut self, end: End) {
        self.sides[end as usize] = None;
    }

    /// Waits until one of the two sides, or `other`, has something to do, and has the sides do it. False after `time`.
    fn turn_within(&mut self, wants: [Want; 2], other: Option<BorrowedFd<'_>>, time: Duration) -> bool {
        let mut ready = [false; 2];
        {
            let mut fds = Vec::new();
            for (at, side) in self.sides.iter().enumerate() {
                if let Some(side) = side {
                    let (fd, flags) = side.interest(wants[at]);
                    if !flags.is_empty() {
                        fds.push((Some(at), PollFd::from_borrowed_fd(fd, flags)));
                    }
                }
            }
            fds.extend(other.map(|fd| (None, PollFd::from_borrowed_fd(fd, PollFlags::IN))));
            let (whose, mut fds): (Vec<_>, Vec<_>) = fds.into_iter().unzip();
            let time = Timespec::try_from(time).expect("a short time");
            if poll(&mut fds, Some(&time)).expect("polled") == 0 {
                return false;
            }
            for (at, fd) in whose.into_iter().zip(fds) {
                if let Some(at) = at {
                    ready[at] = !fd.revents().is_empty();
                }
            }
        }
        for (side, ready) in self.sides.iter_mut().zip(ready) {
            if let Some(side) = side.as_deref_mut().filter(|_| ready) {
                side.dispatch();
            }
        }
        true
    }

    /// Waits until a side can do what is wanted of it, or at least something that may lead to it.
    pub fn turn(&mut self, end: End, want: Want) {
        let mut wants = [Want::Nothing; 2];
        wants[end as usize] = want;
        assert!(self.turn_within(wants, None, PATIENCE), "{want:?} of {end:?} is waited for in vain");
    }

    /// As [`turn`](Self::turn), for a descriptor that crossed.
    pub fn turn_for(&mut self, fd: impl AsFd) {
        assert!(self.turn_within([Want::Nothing; 2], Some(fd.as_fd()), PATIENCE), "waited in vain");
    }

    /// Lets both sides do what they have to do by themselves, until nothing is left to be done.
    pub fn rest(&mut self) {
        let mut wake_ups = 0;
        while self.turn_within([Want::Nothing; 2], None, REST) {
            wake_ups += 1;
            assert!(wake_ups < MAX_WAKE_UPS, "the sides wake up again and again though nothing happens");
        }
    }

    /// Sends everything; the descriptors go with the first byte.
    pub fn send_all(&mut self, end: End, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let (mut rest, mut fds) = (bytes, fds);
        while !rest.is_empty() {
            match self.side(end).send(rest, fds) {
                Ok(0) => panic!("a message of {} bytes was sent as none", rest.len()),
                Ok(len) => (rest, fds) = (&rest[len..], &[]),
                Err(Errno::AGAIN) => self.turn(end, Want::Send),
                Err(error) => panic!("sending failed: {error}"),
            }
        }
    }

    /// Sends a descriptor with one byte and closes it; gives what the other side receives.
    pub fn give(&mut self, end: End, fd: impl AsFd) -> Crossed {
        self.send_all(end, b"x", &[fd.as_fd()]);
        drop(fd);
        let (bytes, mut fds) = self.receive_crossed(end.other(), 1).expect("alive");
        assert_eq!((bytes.as_slice(), fds.len()), (&b"x"[..], 1));
        fds.remove(0)
    }

    /// Receives once, waiting if necessary.
    pub fn receive(&mut self, end: End, room: usize) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
        let (bytes, fds) = self.receive_crossed(end, room)?;
        Ok((bytes, fds.into_iter().map(|crossed| crossed.fd).collect()))
    }

    /// As [`receive`](Self::receive), with what the side says of the descriptors.
    fn receive_crossed(&mut self, end: End, room: usize) -> Result<(Vec<u8>, Vec<Crossed>), Errno> {
        let (mut bytes, mut fds) = (vec![0; room], Vec::new());
        loop {
            match self.side(end).receive(&mut bytes, &mut fds) {
                Err(Errno::AGAIN) => self.turn(end, Want::Receive),
                result => {
                    bytes.truncate(result?);
                    return Ok((bytes, fds));
                }
            }
        }
    }

    /// Receives so many bytes, and what comes with them.
    pub fn receive_exactly(&mut self, end: End, len: usize) -> (Vec<u8>, Vec<OwnedFd>) {
        let (mut bytes, mut fds) = (Vec::new(), Vec::new());
        while bytes.len() < len {
            let (more, more_fds) = self.receive(end, len - bytes.len()).expect("alive");
            assert!(!more.is_empty(), "the end after {} bytes of {len}", bytes.len());
            bytes.extend(more);
            fds.extend(more_fds);
        }
        (bytes, fds)
    }

    /// Sends until it would block; returns what was sent.
    pub fn fill(&mut self, end: End, piece: &[u8], bound: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        loop {
            match self.side(end).send(piece, &[]) {
                Ok(len) => sent.extend_from_slice(&piece[..len]),
                Err(Errno::AGAIN) => {
                    // What the transport has room for leaves by itself. What is left then waits for the reader.
                    let before = sent.len();
                    self.rest();
                    match self.side(end).send(piece, &[]) {
                        Ok(len) => sent.extend_from_slice(&piece[..len]),
                        Err(Errno::AGAIN) => return sent,
                        Err(error) => panic!("sending failed after {before} bytes: {error}"),
                    }
                }
                Err(error) => panic!("sending failed: {error}"),
            }
            assert!(sent.len() <= bound, "more than {bound} bytes are under way to a side that takes none");
        }
    }

    /// That an end was noticed: the peer died after what was received.
    pub fn assert_death(&mut self, end: End) {
        let result = self.receive(end, 16);
        match result {
            Err(Errno::CONNRESET | Errno::PIPE) => {}
            Ok((bytes, _)) if bytes.is_empty() && !self.side(end).tells_of_death() => {}
            other => panic!("{end:?} takes its peer's death for {other:?}"),
        }
    }

    /// The number in the pipe that [`numbered`] made, read to its end.
    pub fn number_of(&mut self, fd: &OwnedFd) -> u64 {
        let content = self.read_to_end(fd);
        u64::from_le_bytes(content.as_slice().try_into().expect("a whole number and nothing else"))
    }

    /// The content of a pipe that crossed.
    pub fn read_to_end(&mut self, fd: &OwnedFd) -> Vec<u8> {
        rustix::io::ioctl_fionbio(fd, true).expect("a pipe");
        let (mut content, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match rustix::io::read(fd, &mut piece) {
                Ok(0) => return content,
                Ok(len) => content.extend_from_slice(&piece[..len]),
                Err(Errno::AGAIN) => self.turn_for(fd),
                Err(error) => panic!("reading a pipe failed: {error}"),
            }
        }
    }
}

/// The read end of a pipe whose content is a number: a descriptor that can be told from others after it has crossed.
pub fn numbered(number: u64) -> OwnedFd {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
    rustix::io::write(&writer, &number.to_le_bytes()).expect("written");
    reader
}

/// Bytes without a pattern that a shifted or lost piece could hide in.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(|| next().to_le_bytes()).flatten().take(len).collect()
}
