//! Two sockets, or one socket and a hand-written peer, over a socket pair.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

fn options() -> SocketOptions {
    SocketOptions::default()
}

/// An initiator and an acceptor that are open.
fn pair_with(one: SocketOptions, two: SocketOptions) -> (Socket, Socket) {
    let (left, right) = UnixStream::pair().expect("socket pair");
    let mut one = Socket::new(left.into(), Role::Initiator, one).expect("valid options");
    let mut two = Socket::new(right.into(), Role::Acceptor, two).expect("valid options");
    one.dispatch().expect("open");
    two.dispatch().expect("open");
    assert!(one.is_open() && two.is_open());
    (one, two)
}

fn pair() -> (Socket, Socket) {
    pair_with(options(), options())
}

/// Dispatches all sockets, as their descriptors say, until `done`.
fn run<const N: usize>(mut sockets: [&mut Socket; N], mut done: impl FnMut(&mut [&mut Socket; N]) -> bool) {
    let start = Instant::now();
    while !done(&mut sockets) {
        assert!(start.elapsed() < DEADLINE, "timed out");
        for socket in &mut sockets {
            socket.dispatch().expect("alive");
        }
    }
}

#[test]
fn bytes_cross_in_both_directions() {
    let (mut one, mut two) = pair();
    assert_eq!(one.sendmsg(b"there", &[]), Ok(5));
    assert_eq!(two.sendmsg(b"back", &[]), Ok(4));
    let mut fds = Vec::new();
    for (socket, expected) in [(&mut one, b"back".as_slice()), (&mut two, b"there")] {
        socket.dispatch().expect("alive");
        let mut buffer = [0; 16];
        let len = socket.recvmsg(&mut buffer, &mut fds).expect("bytes are there");
        assert_eq!(&buffer[..len], expected);
        assert_eq!(socket.recvmsg(&mut buffer, &mut fds), Err(SocketError::WouldBlock));
    }
    run([&mut one, &mut two], |_| true);
}
