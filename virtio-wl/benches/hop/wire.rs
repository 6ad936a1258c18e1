//! The two ways from a client to a peer, and blocking calls on both kinds of socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::placement::Placement;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, Shutdown, recvmsg, sendmsg, shutdown,
};
use virtio_wl::{Pump, PumpOptions, Region, Role, Socket, SocketError, SocketOptions};

/// Descriptors in one message of these benchmarks.
const MAX_FDS: usize = 4;

/// A socket whose calls wait until they can do something.
pub(crate) trait Wire {
    /// Receives at least one byte, or 0 at the end.
    fn receive(&mut self, into: &mut [u8], fds: &mut Vec<OwnedFd>) -> usize;

    /// Sends everything.
    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]);

    fn receive_exact(&mut self, into: &mut [u8], fds: &mut Vec<OwnedFd>) {
        let mut done = 0;
        while done < into.len() {
            let len = self.receive(&mut into[done..], fds);
            assert!(len > 0, "the other side is gone");
            done += len;
        }
    }
}

impl Wire for OwnedFd {
    fn receive(&mut self, into: &mut [u8], fds: &mut Vec<OwnedFd>) -> usize {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = recvmsg(&*self, &mut [IoSliceMut::new(into)], &mut control, RecvFlags::CMSG_CLOEXEC)
            .expect("received");
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = part {
                fds.extend(received);
            }
        }
        message.bytes
    }

    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(fds)), "few descriptors");
        }
        let sent = sendmsg(&*self, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).expect("sent");
        assert_eq!(sent, bytes.len(), "a blocking socket takes everything");
    }
}

impl Wire for Socket {
    fn receive(&mut self, into: &mut [u8], fds: &mut Vec<OwnedFd>) -> usize {
        let mut received = Vec::new();
        loop {
            match self.recvmsg(into, &mut received) {
                Ok(len) => {
                    fds.extend(received.into_iter().map(|one| one.fd));
                    return len;
                }
                Err(SocketError::WouldBlock) => wait_and_dispatch(self),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let (mut bytes, mut fds) = (bytes, fds);
        while !bytes.is_empty() {
            match self.sendmsg(bytes, fds) {
                Ok(len) => {
                    bytes = &bytes[len..];
                    fds = &[];
                }
                Err(SocketError::WouldBlock) => wait_and_dispatch(self),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn wait_and_dispatch(socket: &mut Socket) {
    wait(&[socket.as_fd()]);
    socket.dispatch().expect("alive");
}

/// Waits until one of the descriptors is readable.
pub(crate) fn wait(fds: &[BorrowedFd<'_>]) {
    let mut fds: Vec<_> = fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    poll(&mut fds, None).expect("waited");
}

pub(crate) fn unix_pair() -> (OwnedFd, OwnedFd) {
    let (one, two) = UnixStream::pair().expect("socket pair");
    (one.into(), two.into())
}

/// A connection: the client's socket, and the threads that end when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: OwnedFd,
    threads: Vec<JoinHandle<()>>,
}

impl Connection {
    /// One socket pair. `peer` runs in a thread of its own.
    pub(crate) fn plain(placement: &Placement, peer: impl FnOnce(OwnedFd) + Send + 'static) -> Self {
        let (client, other) = unix_pair();
        let placement = placement.clone();
        let peer = spawn("plain-peer", move || {
            placement.far();
            peer(other);
        });
        Self { client, threads: vec![peer] }
    }

    /// A pump in between. `peer` runs in a thread of its own and has the socket at the other end of the stream.
    pub(crate) fn hop(
        placement: &Placement,
        region: Option<&Arc<Region>>,
        peer: impl FnOnce(Socket) + Send + 'static,
    ) -> Self {
        let (client, local) = unix_pair();
        let (near, far) = unix_pair();
        let options = SocketOptions { region: region.cloned(), ..SocketOptions::default() };
        let near = Socket::new(near, Role::Initiator, options.clone()).expect("socket");
        let mut far = Socket::new(far, Role::Acceptor, options).expect("socket");
        let pumping = spawn("pump", move || pump(local, near));
        while !far.is_open() {
            wait_and_dispatch(&mut far);
        }
        let placement = placement.clone();
        let peer = spawn("peer", move || {
            placement.far();
            peer(far);
        });
        Self { client, threads: vec![pumping, peer] }
    }

    /// A thread in between that does nothing but read what comes and write it: what a hop costs that does nothing at all.
    pub(crate) fn relay(placement: &Placement, peer: impl FnOnce(OwnedFd) + Send + 'static) -> Self {
        let (client, mut near) = unix_pair();
        let (mut far, other) = unix_pair();
        let (mut near_again, mut far_again) = (duplicate(&near), duplicate(&far));
        let out = spawn("relay-out", move || copy(&mut near, &mut far));
        let back = spawn("relay-back", move || copy(&mut far_again, &mut near_again));
        let placement = placement.clone();
        let peer = spawn("relay-peer", move || {
            placement.far();
            peer(other);
        });
        Self { client, threads: vec![out, back, peer] }
    }

    /// Ends the connection.
    pub(crate) fn close(self) {
        drop(self.client);
        for thread in self.threads {
            thread.join().expect("a thread of the connection");
        }
    }
}

/// A thread that profilers show by its name.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread")
}

fn duplicate(fd: &OwnedFd) -> OwnedFd {
    fd.try_clone().expect("a descriptor")
}

/// Passes on what comes, as much at a time as a pump does, until the end of it.
fn copy(from: &mut OwnedFd, to: &mut OwnedFd) {
    let mut buffer = vec![0; PumpOptions::default().chunk_bytes];
    loop {
        match from.receive(&mut buffer, &mut Vec::new()) {
            0 => {
                // Whoever is there no more needs no end.
                let _ = shutdown(&*to, Shutdown::Write);
                return;
            }
            len => to.send(&buffer[..len], &[]),
        }
    }
}

/// What a program that joins two sockets does.
fn pump(local: OwnedFd, socket: Socket) {
    let mut pump = Pump::new(local, socket, &PumpOptions::default()).expect("pump");
    loop {
        match pump.turn() {
            Ok(turn) if turn.more => {}
            Ok(_) if pump.finished() => return,
            Ok(_) => wait(&[pump.as_fd()]),
            // The peer thread may drop its socket first.
            Err(_) => return,
        }
    }
}
