//! Rectangles of a mirror, against as many bytes that a thread sends to another and that are put into place there.
//!
//! ```text
//! plain:  memory ── send ══ socket pair ══ recv ── memory
//! hop:    memory ── mirror_write ══ framed stream ══ mirror
//! ```
//!
//! Either way has one copy per side at best: into the kernel, and out of it.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use virtio_wl::wire::MirrorRect;
use virtio_wl::{Region, Role, Socket, SocketError, SocketOptions};

use crate::placement::Placement;
use crate::wire::{unix_pair, wait};
use crate::{Amount, Cost, Limit, Rounds, Scale};

/// Bytes of the memory: two buffers of a screen with 3840 by 2160 pixels.
const MEMORY: u64 = 64 << 20;

/// The shapes: bytes in a row, and from row to row.
const SHAPES: [(&str, u32, u32); 4] = [
    ("whole rows", 15_360, 15_360),
    ("half of each row", 7680, 15_360),
    ("a column of 256 pixels", 1024, 15_360),
    ("a column of 16 pixels", 64, 15_360),
];

/// Rows of a screen.
const ROWS: u32 = 2160;

/// Sends `total` bytes through a socket pair.
fn plain(total: usize, placement: &Placement) {
    let (from, to) = unix_pair();
    let memory = vec![7; 16 * 1024];
    let placement = placement.clone();
    let sending = std::thread::spawn(move || {
        placement.far();
        let mut left = total;
        while left > 0 {
            let piece = &memory[..left.min(memory.len())];
            left -= rustix::io::write(&from, piece).expect("sent");
        }
    });
    // What the bytes come to lie in is as large as the screen, like the mirror.
    let mut memory = vec![0; 32 << 20];
    let (mut received, mut place) = (0, 0);
    while received < total {
        let end = (place + 16 * 1024).min(memory.len());
        let len = rustix::io::read(&to, &mut memory[place..end]).expect("received");
        assert!(len > 0, "the sender is there");
        received += len;
        place = if place + len >= memory.len() { 0 } else { place + len };
    }
    sending.join().expect("sent");
}

/// Peer: answers a byte that follows the rectangles.
fn take_rectangles(mut socket: Socket, done: &Sender<()>) {
    let mut fds = Vec::new();
    loop {
        match socket.recvmsg(&mut [0; 64], &mut fds) {
            Ok(0) => return,
            Ok(_) => {
                if done.send(()).is_err() {
                    return;
                }
            }
            Err(SocketError::WouldBlock) => {
                wait(&[socket.as_fd()]);
                if socket.dispatch().is_err() {
                    return;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Writes as many rectangles as make up `total` bytes.
fn hop(socket: &mut Socket, memory: &Arc<Region>, rect: MirrorRect, total: usize, done: &Receiver<()>) {
    let area = usize::try_from(rect.content_len()).expect("small");
    for _ in 0..(total / area).max(1) {
        socket.mirror_write(memory, rect).expect("queued");
    }
    assert_eq!(socket.sendmsg(b"x", &[]), Ok(1));
    while done.try_recv().is_err() {
        socket.dispatch().expect("alive");
        if socket.queued_bytes() == 0 {
            done.recv().expect("the peer");
            break;
        }
        wait(&[socket.as_fd()]);
    }
}

/// Rectangles of several shapes.
pub(crate) fn rectangles(scale: Scale, placement: &Placement) {
    for (name, row_len, stride) in SHAPES {
        let (near, far) = unix_pair();
        let mut near = Socket::new(near, Role::Initiator, SocketOptions::default()).expect("socket");
        let far = Socket::new(far, Role::Acceptor, SocketOptions::default()).expect("socket");
        let (sender, done) = channel();
        let far_placement = placement.clone();
        let peer = std::thread::spawn(move || {
            far_placement.far();
            take_rectangles(far, &sender);
        });
        let memory = Arc::new(Region::create_memfd(MEMORY).expect("memory"));
        let rect = MirrorRect { offset: 4096, row_len, stride, rows: ROWS };
        while !near.is_open() {
            wait(&[near.as_fd()]);
            near.dispatch().expect("alive");
        }
        let area = usize::try_from(rect.content_len()).expect("small");
        let total = scale.stream_bytes / area.min(scale.stream_bytes) * area;
        let measured = Rounds::measure(
            scale.rounds,
            || Cost::of(|| plain(total, placement)),
            || Cost::of(|| hop(&mut near, &memory, rect, total, &done)),
        );
        measured.report(&format!("mirror, {name}"), placement, Limit::None, Amount::Bytes(total));
        drop(near);
        drop(done);
        peer.join().expect("ended");
    }
}
