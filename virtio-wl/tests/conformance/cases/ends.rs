//! How connections end, in order and otherwise.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use virtio_wl::wire::HELLO_LEN;
use virtio_wl::{Role, Socket, SocketError, SocketOptions};

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

/// Everything that a side sends in a short connection: data, descriptors, the content of a pipe, the end.
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
    let fds = [numbered(1), numbered(2)];
    assert_eq!(side.sendmsg(b"some data", &borrowed(&fds)), Ok(9));
    drop(fds);
    carry(&mut side);
    side.shutdown_write();
    carry(&mut side);
    sent
}

/// A stream that is cut off at any byte is an end of that connection alone: what had arrived is received, what had not is
/// an error, pipes end, nothing is left over.
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
            let (bytes, numbers, end) = outlive(&mut survivor);
            assert!(b"some data".starts_with(&bytes), "at {cut}: {bytes:?}");
            if cut == script.len() {
                assert_eq!(
                    (bytes.as_slice(), numbers.as_slice()),
                    (&b"some data"[..], &[Some(1), Some(2)][..])
                );
                assert_eq!(end, Ok(0), "the data had ended in order");
            } else {
                let noticed = matches!(end, Ok(0) | Err(SocketError::Disconnected | SocketError::Truncated));
                assert!(noticed, "at {cut}: {end:?}");
                // Only an end that was sent is an end.
                assert!(end.is_err() || bytes == b"some data", "at {cut}: an end after {bytes:?}");
            }
            drop((survivor, keep));
            assert_eq!(open_descriptors(), before, "at {cut}");
        }
    }
}

/// Receives until the end of a connection whose peer has died: the bytes, the content of the pipes that came with them (as
/// far as it is a whole number), and how it ended.
fn outlive(survivor: &mut Socket) -> (Vec<u8>, Vec<Option<u64>>, Result<usize, SocketError>) {
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
    let content = |fd| {
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut std::fs::File::from(fd), &mut content)
            .expect("a pipe that has ended");
        content.try_into().ok().map(u64::from_le_bytes)
    };
    let numbers = fds.into_iter().map(|received| content(received.fd)).collect();
    (bytes, numbers, end)
}

fn wait(socket: &Socket) {
    let patience = Timespec::try_from(PATIENCE).expect("a short time");
    let ready = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&patience)).expect("polled");
    assert!(ready > 0, "the death of the peer is not noticed");
}
