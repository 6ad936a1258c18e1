//! Two sockets joined by a socket pair, or by a wire that cuts the stream into pieces.

mod data;
mod mirrors;
mod pipes;
mod rectangles;
mod sockets;
mod together;
mod vsock;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::*;
use crate::mirror::MirrorBudget;
use crate::region::Region;
use crate::socket::StreamLimits;

const DEADLINE: Duration = Duration::from_secs(60);

fn options() -> SocketOptions {
    SocketOptions::default()
}

fn limits(limits: StreamLimits) -> SocketOptions {
    SocketOptions { limits, ..options() }
}

/// An initiator and an acceptor that are open.
fn pair_with(one: SocketOptions, two: SocketOptions) -> (FramedSocket, FramedSocket) {
    let (left, right) = UnixStream::pair().expect("socket pair");
    let mut one = FramedSocket::new(left.into(), Role::Initiator, one).expect("valid options");
    let mut two = FramedSocket::new(right.into(), Role::Acceptor, two).expect("valid options");
    run(&mut [&mut one, &mut two], |sockets| sockets.iter().all(|socket| socket.is_open()));
    (one, two)
}

fn pair() -> (FramedSocket, FramedSocket) {
    pair_with(options(), options())
}

/// Dispatches all sockets until `done`.
fn run(sockets: &mut [&mut FramedSocket], mut done: impl FnMut(&mut [&mut FramedSocket]) -> bool) {
    let start = Instant::now();
    while !done(sockets) {
        assert!(start.elapsed() < DEADLINE, "timed out");
        for socket in &mut *sockets {
            socket.dispatch().expect("alive");
        }
        std::thread::yield_now();
    }
}

/// Whether waiting for the descriptor would return at once.
fn is_readable(fd: impl AsFd) -> bool {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).expect("polled") > 0
}

/// Dispatches the sockets while their descriptors say that there is something to do, which must come to an
/// end.
fn settle(sockets: &mut [&mut FramedSocket]) {
    let start = Instant::now();
    while sockets.iter().any(|socket| is_readable(&**socket)) {
        assert!(start.elapsed() < DEADLINE, "the sockets do not come to rest");
        for socket in &mut *sockets {
            socket.dispatch().expect("alive");
        }
    }
}

/// Receives exactly `len` bytes and everything that belongs to them.
fn receive(from: &mut FramedSocket, to: &mut FramedSocket, len: usize) -> (Vec<u8>, Vec<ReceivedFd>) {
    let (mut bytes, mut fds) = (Vec::new(), Vec::new());
    run(&mut [from, to], |sockets| {
        let mut buffer = vec![0; len - bytes.len()];
        match sockets[1].recvmsg(&mut buffer, &mut fds) {
            Ok(got) => bytes.extend_from_slice(&buffer[..got]),
            Err(error) => assert_eq!(error, SocketError::WouldBlock),
        }
        bytes.len() == len
    });
    (bytes, fds)
}

/// Sends one message with descriptors, and gives what arrives.
fn cross(from: &mut FramedSocket, to: &mut FramedSocket, fds: &[BorrowedFd<'_>]) -> Vec<ReceivedFd> {
    assert_eq!(from.sendmsg(b"message", fds), Ok(7));
    let (bytes, received) = receive(from, to, 7);
    assert_eq!(bytes, b"message");
    received
}

/// Bytes that differ at every position within a long distance.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from((index * 31 + index / 251) % 256).expect("a byte")).collect()
}
