//! When a side's descriptor wakes its process up: exactly when there is something to do.

use std::os::fd::AsFd as _;

use rustix::fs::OFlags;
use rustix::io::Errno;
use virtio_wl::{Role, Socket, SocketError, SocketOptions};

use crate::cases::borrowed;
use crate::pair::{End, Want, noise};
use crate::transports::Transport;

/// [`Pair::rest`](crate::pair::Pair::rest) is the test: it fails unless the wake-ups come to an end.
pub fn an_idle_connection_sleeps(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    pair.rest();
    let mut local = Vec::new();
    let mut crossed = Vec::new();
    for end in End::BOTH {
        let (reader, their_writer) = rustix::pipe::pipe().expect("pipe");
        let (their_reader, writer) = rustix::pipe::pipe().expect("pipe");
        pair.send_all(end, b"pipes", &borrowed(&[their_writer, their_reader]));
        crossed.extend(pair.receive_exactly(end.other(), 5).1);
        local.extend([reader, writer]);
    }
    pair.rest();
    // What nobody takes does not keep anybody awake.
    for end in End::BOTH {
        pair.send_all(end, b"not taken", &[]);
    }
    pair.rest();
    // Nor do ends that were noticed.
    crossed.truncate(1);
    local.truncate(3);
    pair.rest();
    for end in End::BOTH {
        pair.receive_exactly(end.other(), 9);
        pair.side(end).shutdown_write();
        pair.rest();
    }
    pair.kill(End::Initiator);
    pair.rest();
}

pub fn readable_exactly_when_there_is_something_to_do(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        pair.rest();
        for _ in 0..10 {
            // Without a wake-up of the other side, `turn` fails.
            assert_eq!(pair.side(end).send(b"ping", &[]), Ok(4));
            let mut received = Vec::new();
            while received.len() < 4 {
                pair.turn(end.other(), Want::Receive);
                let mut buffer = [0; 4];
                match pair.side(end.other()).receive(&mut buffer, &mut Vec::new()) {
                    Ok(len) => received.extend_from_slice(&buffer[..len]),
                    Err(error) => assert_eq!(error, Errno::AGAIN),
                }
            }
            assert_eq!(received, b"ping");
        }
    }
}

pub fn a_blocked_writer_sleeps_until_there_is_room(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        let piece = noise(end as u64, 30_011);
        // Filling includes coming to rest while the writer is blocked.
        let sent = pair.fill(end, &piece, 32 << 20);
        assert!(pair.receive_exactly(end.other(), sent.len()).0 == sent);
        // Whoever waits for room wakes up when there is some; `send_all` would wait for ever.
        pair.send_all(end, &piece, &[]);
        assert!(pair.receive_exactly(end.other(), piece.len()).0 == piece);
    }
}

/// As with MSG_DONTWAIT: the mode of the descriptor, which others may share, neither matters nor changes.
pub fn nothing_waits_on_blocking_streams(transport: &dyn Transport) {
    let Some((initiator, acceptor, keep)) = transport.open().into_streams() else {
        panic!("{} has no stream with a mode; exempt it from this case", transport.name());
    };
    let streams = [initiator, acceptor];
    for stream in &streams {
        rustix::io::ioctl_fionbio(stream, false).expect("a socket");
    }
    let shared = streams.each_ref().map(|stream| stream.try_clone().expect("duplicated"));
    let [initiator, acceptor] = streams;
    let mut one = Socket::new(initiator, Role::Initiator, SocketOptions::default()).expect("usable");
    let mut two = Socket::new(acceptor, Role::Acceptor, SocketOptions::default()).expect("usable");
    // Each of these would wait for ever.
    assert_eq!(one.recvmsg(&mut [0; 16], &mut Vec::new()), Err(SocketError::WouldBlock));
    one.dispatch().expect("alive");
    while !one.is_open() || !two.is_open() {
        one.dispatch().expect("alive");
        two.dispatch().expect("alive");
        std::thread::yield_now();
    }
    let full = std::iter::repeat_with(|| one.sendmsg(&[0; 4096], &[])).find_map(Result::err);
    assert_eq!(full, Some(SocketError::WouldBlock));
    one.dispatch().expect("alive");
    assert_eq!(two.recvmsg(&mut [], &mut Vec::new()), Ok(0));
    for stream in &shared {
        let flags = rustix::fs::fcntl_getfl(stream.as_fd()).expect("flags");
        assert!(!flags.contains(OFlags::NONBLOCK), "the mode was changed");
    }
    drop((one, two, shared, keep));
}
