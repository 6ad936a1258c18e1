//! How connections end, in order and otherwise.

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use virtio_wl::vfd::ReceivedKind;
use virtio_wl::wire::{HELLO_LEN, MirrorRect};
use virtio_wl::{ReceivedFd, Role, Socket, SocketError, SocketOptions};

use super::{borrowed, open_descriptors};
use crate::PATIENCE;
use crate::pair::{End, Pair, Want, noise, numbered};
use crate::transports::Transport;

pub fn half_close_leaves_the_other_half(transport: &dyn Transport) {
    for end in End::BOTH {
        let mut pair = transport.open().into_pair();
        let bytes = noise(1, 50_000);
        pair.send_all(end, &bytes, &[]);
        pair.side(end).shutdown_write();
        assert!(pair.receive_exactly(end.other(), bytes.len()).0 == bytes);
        for _ in 0..2 {
            assert_eq!(pair.receive(end.other(), 16).expect("an orderly end").0, b"");
        }
        pair.send_all(end.other(), &bytes, &borrowed(&[numbered(7)]));
        let (received, fds) = pair.receive_exactly(end, bytes.len());
        assert!(received == bytes);
        assert_eq!(pair.number_of(&fds[0]), 7);
        pair.side(end.other()).shutdown_write();
        assert_eq!(pair.receive(end, 16).expect("an orderly end").0, b"");
    }
}

pub fn sending_after_the_end_is_a_broken_pipe(transport: &dyn Transport) {
    for end in End::BOTH {
        let mut pair = transport.open().into_pair();
        pair.side(end).shutdown_write();
        assert_eq!(pair.side(end).send(b"late", &[]), Err(Errno::PIPE));
        assert_eq!(pair.receive(end.other(), 16).expect("an orderly end").0, b"");
    }
}

/// Sends until the other side's refusal has come.
fn send_until_refused(pair: &mut Pair, end: End) -> Errno {
    loop {
        match pair.side(end).send(&[0; 1000], &[]) {
            Ok(_) => {}
            Err(Errno::AGAIN) => pair.turn(end, Want::Send),
            Err(error) => return error,
        }
    }
}

pub fn a_side_that_wants_no_more_stops_the_other(transport: &dyn Transport) {
    for end in End::BOTH {
        let mut pair = transport.open().into_pair();
        pair.send_all(end, b"never taken", &[]);
        pair.rest();
        pair.side(end.other()).shutdown_read();
        assert_eq!(send_until_refused(&mut pair, end), Errno::PIPE);
        pair.send_all(end.other(), b"still", &[]);
        assert_eq!(pair.receive_exactly(end, 5).0, b"still");
    }
}

pub fn a_dead_peer_is_noticed_after_its_last_byte(transport: &dyn Transport) {
    for end in End::BOTH {
        let mut pair = transport.open().into_pair();
        pair.send_all(end, b"last words", &[]);
        pair.rest();
        pair.kill(end);
        assert_eq!(pair.receive_exactly(end.other(), 10).0, b"last words");
        pair.assert_death(end.other());
        let refused = pair.side(end.other()).send(b"x", &[]);
        assert!(matches!(refused, Err(Errno::CONNRESET | Errno::PIPE)), "{refused:?}");
    }
}

pub fn death_ends_what_crossed(transport: &dyn Transport) {
    drop(transport.open().into_pair());
    let before = open_descriptors();
    for end in End::BOTH {
        let mut pair = transport.open().into_pair();
        let (reader, their_writer) = rustix::pipe::pipe().expect("pipe");
        let (their_reader, writer) = rustix::pipe::pipe().expect("pipe");
        pair.send_all(end, b"x", &borrowed(&[their_writer, their_reader]));
        let (_, fds) = pair.receive_exactly(end.other(), 1);
        pair.rest();
        pair.kill(end);
        // The survivor notices, and lets go of what it held for the dead.
        pair.assert_death(end.other());
        assert_eq!(pair.read_to_end(&fds[1]), b"");
        assert_eq!(rustix::io::write(&fds[0], b"x"), Err(Errno::PIPE));
        // So do those who gave their pipes away.
        assert_eq!(rustix::io::read(&reader, &mut [0; 8]), Ok(0));
        assert_eq!(rustix::io::write(&writer, b"x"), Err(Errno::PIPE));
        drop((reader, writer, fds, pair));
        assert_eq!(open_descriptors(), before);
    }
}

/// The data that [`script`] sends, in two messages.
const DATA: &[u8] = b"some data, and more";
/// Length of the first message.
const FIRST: usize = 10;
/// What its pipes, its socket and its blob contain. The mirror contains [`IN_MIRROR`], and after the second message behind
/// that [`DRAWN`] instead of zeros.
const IN_PIPES: [u64; 2] = [1, 2];
const IN_SOCKET: u64 = 3;
const IN_BLOB: u64 = 4;
const IN_MIRROR: u64 = 0x0505_0505_0505_0505;
const DRAWN: u64 = 0x0606_0606_0606_0606;

/// Memory that contains numbers.
fn memory(numbers: [u64; 2]) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("numbers", flags).expect("memory");
    let content = numbers.map(u64::to_le_bytes).concat();
    assert_eq!(rustix::io::write(&fd, &content), Ok(content.len()));
    fd
}

/// A descriptor of each kind but a region, in the order of the numbers above.
fn one_of_each_kind() -> Vec<OwnedFd> {
    let (socket, near) = UnixStream::pair().expect("socket pair");
    (&near).write_all(&IN_SOCKET.to_le_bytes()).expect("room");
    let blob = memory([IN_BLOB, 0]);
    rustix::fs::fcntl_add_seals(&blob, SealFlags::WRITE).expect("sealed");
    let mut fds: Vec<_> = IN_PIPES.map(numbered).into();
    fds.extend([socket.into(), blob, memory([IN_MIRROR, 0])]);
    fds
}

/// Everything that a side sends in a short connection: data, descriptors of all kinds, the content of pipes and of a socket,
/// a rectangle of a mirror, the end.
fn script(role: Role) -> Vec<u8> {
    let (ours, theirs) = UnixStream::pair().expect("socket pair");
    let (left, right) = UnixStream::pair().expect("socket pair");
    let mut side = Socket::new(ours.into(), role, SocketOptions::default()).expect("usable");
    let mut peer = Socket::new(left.into(), role.peer(), SocketOptions::default()).expect("usable");
    for stream in [&theirs, &right] {
        stream.set_nonblocking(true).expect("a socket");
    }
    let mut sent = Vec::new();
    let mut carry = |side: &mut Socket| {
        side.dispatch().expect("alive");
        while is_readable(side) {
            side.dispatch().expect("alive");
        }
        let mut buffer = [0; 4096];
        while let Ok(len) = std::io::Read::read(&mut &theirs, &mut buffer) {
            sent.extend_from_slice(&buffer[..len]);
            (&right).write_all(&buffer[..len]).expect("room");
        }
    };
    carry(&mut side);
    peer.dispatch().expect("alive");
    let mut hello = [0; HELLO_LEN];
    std::io::Read::read_exact(&mut &right, &mut hello).expect("a hello");
    (&theirs).write_all(&hello).expect("room");
    carry(&mut side);
    let mut fds = one_of_each_kind();
    assert_eq!(side.sendmsg(&DATA[..FIRST], &borrowed(&fds)), Ok(FIRST));
    let mirrored = fds.pop().expect("the last one");
    drop(fds);
    carry(&mut side);
    assert_eq!(rustix::io::pwrite(&mirrored, &DRAWN.to_le_bytes(), 8), Ok(8));
    let rect = MirrorRect { offset: 8, row_len: 8, stride: 8, rows: 1 };
    side.mirror_write_file(mirrored.as_fd(), rect).expect("queued");
    assert_eq!(side.sendmsg(&DATA[FIRST..], &[]), Ok(DATA.len() - FIRST));
    carry(&mut side);
    side.shutdown_write();
    carry(&mut side);
    sent
}

/// A stream that is cut off at any byte is an end of that connection alone: what had arrived is received, what had not is
/// an error, pipes and sockets end, memory that has come is whole, nothing is left over.
pub fn peer_death_at_any_byte(transport: &dyn Transport) {
    let Some(first) = transport.open().into_streams() else {
        panic!("{} has no stream to be cut; exempt it from this case", transport.name());
    };
    drop(first);
    let before = open_descriptors();
    for role in [Role::Initiator, Role::Acceptor] {
        let script = script(role);
        for cut in 0..=script.len() {
            let (initiator, acceptor, keep) = transport.open().into_streams().expect("streams");
            let (dead, alive) =
                if role == Role::Initiator { (initiator, acceptor) } else { (acceptor, initiator) };
            let mut survivor = Socket::new(alive, role.peer(), SocketOptions::default()).expect("usable");
            let mut dead = std::fs::File::from(dead);
            dead.write_all(&script[..cut]).expect("room");
            drop(dead);
            let (bytes, contents, end) = outlive(&mut survivor);
            assert!(DATA.starts_with(&bytes), "at {cut}: {bytes:?}");
            assert_contents(&bytes, &contents, cut == script.len());
            if cut == script.len() {
                assert_eq!(bytes, DATA);
                assert_eq!(end, Ok(0), "the data had ended in order");
            } else {
                let noticed = matches!(end, Ok(0) | Err(SocketError::Disconnected | SocketError::Truncated));
                assert!(noticed, "at {cut}: {end:?}");
                // Only an end that was sent is an end.
                assert!(end.is_err() || bytes == DATA, "at {cut}: an end after {bytes:?}");
            }
            drop((survivor, keep));
            assert_eq!(open_descriptors(), before, "at {cut}");
        }
    }
}

/// That descriptors came with the first byte, and are what was sent: what goes through them as far as it had arrived, and
/// memory as it was when the data was sent that has come.
fn assert_contents(data: &[u8], contents: &[(ReceivedKind, Vec<u8>)], all: bool) {
    if data.is_empty() {
        return assert!(contents.is_empty());
    }
    let [pipe, other, socket, blob, mirror] = contents else { panic!("{contents:?}") };
    for ((kind, content), expected, number) in [
        (pipe, ReceivedKind::PipeRead, IN_PIPES[0]),
        (other, ReceivedKind::PipeRead, IN_PIPES[1]),
        (socket, ReceivedKind::Socket, IN_SOCKET),
    ] {
        assert_eq!(*kind, expected);
        assert!(number.to_le_bytes().starts_with(content) && (!all || content.len() == 8), "{content:?}");
    }
    assert_eq!(blob.0, ReceivedKind::Blob { len: 16 });
    assert_eq!(blob.1, [IN_BLOB, 0].map(u64::to_le_bytes).concat());
    assert_eq!(mirror.0, ReceivedKind::Mirror { len: 16 });
    let (first, drawn) = mirror.1.split_at(8);
    assert_eq!(first, IN_MIRROR.to_le_bytes());
    if data.len() > FIRST {
        assert_eq!(drawn, DRAWN.to_le_bytes());
    } else {
        // Of a rectangle whose message has not come, any part may be there.
        assert!(drawn.iter().all(|byte| [0, DRAWN.to_le_bytes()[0]].contains(byte)), "{drawn:?}");
    }
}

/// The bytes that came, what the descriptors that came with them contain in the end, and how it ended.
type Outlived = (Vec<u8>, Vec<(ReceivedKind, Vec<u8>)>, Result<usize, SocketError>);

/// Receives until the end of a connection whose peer has died.
fn outlive(survivor: &mut Socket) -> Outlived {
    let (mut bytes, mut fds, mut buffer) = (Vec::new(), Vec::new(), [0; 64]);
    let end = loop {
        match survivor.recvmsg(&mut buffer, &mut fds) {
            Ok(len @ 1..) => bytes.extend_from_slice(&buffer[..len]),
            Err(SocketError::WouldBlock) => {
                wait(survivor);
                // The next call reports how it went.
                let _ = survivor.dispatch();
            }
            end => break end,
        }
    };
    // An end of the data is not yet one of the stream, which is what ends the pipes.
    while survivor.dispatch().is_ok() && !survivor.is_finished() {
        wait(survivor);
    }
    (bytes, fds.into_iter().map(|ReceivedFd { fd, kind }| (kind, content(fd, kind))).collect(), end)
}

/// All that there is in memory, or comes out of a pipe or a socket up to its end.
fn content(fd: OwnedFd, kind: ReceivedKind) -> Vec<u8> {
    let mut file = std::fs::File::from(fd);
    let mut content = Vec::new();
    if let ReceivedKind::Blob { len } | ReceivedKind::Mirror { len } = kind {
        content.resize(usize::try_from(len).expect("little"), 0);
        file.read_exact_at(&mut content, 0).expect("memory");
    } else {
        std::io::Read::read_to_end(&mut file, &mut content).expect("an end");
    }
    content
}

fn wait(socket: &Socket) {
    assert!(is_readable_within(socket, PATIENCE), "the death of the peer is not noticed");
}

fn is_readable(socket: &Socket) -> bool {
    is_readable_within(socket, Duration::ZERO)
}

fn is_readable_within(socket: &Socket, time: Duration) -> bool {
    let time = Timespec::try_from(time).expect("a short time");
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&time)).expect("polled") > 0
}
