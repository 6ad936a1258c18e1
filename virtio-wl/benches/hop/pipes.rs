//! The content of pipes whose read end crosses, against a pipe that a thread copies into another.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::fs::OFlags;
use rustix::io::Errno;
use virtio_wl::{Socket, SocketError};

use crate::memory::{resident, take_peak};
use crate::placement::Placement;
use crate::wire::{Connection, Wire, wait};
use crate::{Amount, Cost, Limit, Rounds, Scale};

/// What programs usually read and write at a time: as much as a pipe holds.
const CHUNK: usize = 64 * 1024;

/// Content without a short period, and a hash of it in passing.
#[derive(Debug)]
struct Content {
    state: u64,
    hash: u64,
}

impl Content {
    fn new() -> Self {
        Self { state: 1, hash: 0xcbf2_9ce4_8422_2325 }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.as_chunks_mut::<8>().0 {
            self.state =
                self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *word = self.state.to_le_bytes();
        }
        self.take(bytes);
    }

    /// FNV-1a.
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Writes `total` bytes, the same ones again and again or a content whose hash is given.
fn write_all(writer: OwnedFd, total: usize, hashed: bool, written: &AtomicUsize) -> u64 {
    let mut content = Content::new();
    let mut buffer = vec![7; CHUNK];
    let mut left = total;
    while left > 0 {
        let len = left.min(CHUNK);
        if hashed {
            content.fill(&mut buffer[..len]);
        }
        let mut rest = &buffer[..len];
        while !rest.is_empty() {
            let taken = rustix::io::write(&writer, rest).expect("a reader");
            written.fetch_add(taken, Ordering::Relaxed);
            rest = &rest[taken..];
        }
        left -= len;
    }
    drop(writer);
    content.hash
}

fn spawn_writer(writer: OwnedFd, total: usize, hashed: bool) -> (JoinHandle<u64>, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    (std::thread::spawn(move || write_all(writer, total, hashed, &counter)), written)
}

/// writer thread → pipe → this thread, which copies → pipe → reader thread
fn plain(total: usize, placement: &Placement) {
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let (far_reader, far_writer) = rustix::pipe::pipe().expect("pipe");
    let (writing, _) = spawn_writer(writer, total, false);
    let placement = placement.clone();
    let reading = std::thread::spawn(move || {
        placement.far();
        let mut buffer = vec![0; CHUNK];
        let mut received = 0;
        loop {
            match rustix::io::read(&far_reader, &mut buffer).expect("read") {
                0 => return received,
                len => received += len,
            }
        }
    });
    let mut buffer = vec![0; CHUNK];
    loop {
        let len = rustix::io::read(&reader, &mut buffer).expect("read");
        if len == 0 {
            break;
        }
        let mut rest = &buffer[..len];
        while !rest.is_empty() {
            let taken = rustix::io::write(&far_writer, rest).expect("written");
            rest = &rest[taken..];
        }
    }
    drop(far_writer);
    writing.join().expect("written");
    assert_eq!(reading.join().expect("read"), total);
}

/// Peer of the hop: takes pipes and reads each to its end, hashing if the byte that came with it says so.
fn read_pipes(mut socket: Socket, done: &Sender<(usize, u64)>) {
    loop {
        let (mut kind, mut fds) = ([0], Vec::new());
        if socket.receive(&mut kind, &mut fds) == 0 {
            return;
        }
        let pipe = fds.pop().expect("a pipe");
        let flags = rustix::fs::fcntl_getfl(&pipe).expect("flags");
        rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK).expect("set");
        let mut content = Content::new();
        let mut buffer = vec![0; CHUNK];
        let mut received = 0;
        loop {
            match rustix::io::read(&pipe, &mut buffer) {
                Ok(0) => break,
                Ok(len) => {
                    received += len;
                    if kind == *b"h" {
                        content.take(&buffer[..len]);
                    }
                }
                Err(Errno::AGAIN) => {
                    wait(&[socket.as_fd(), pipe.as_fd()]);
                    socket.dispatch().expect("alive");
                }
                Err(error) => panic!("{error}"),
            }
        }
        // A benchmark that has seen enough does not wait for its last pipe.
        let _ = done.send((received, content.hash));
    }
}

/// One pipe through the hop.
fn hop(client: &mut OwnedFd, total: usize, hashed: bool, done: &Receiver<(usize, u64)>) -> u64 {
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let (writing, _) = spawn_writer(writer, total, hashed);
    client.send(if hashed { b"h" } else { b"t" }, &[reader.as_fd()]);
    drop(reader);
    let (received, hash) = done.recv().expect("the peer");
    assert_eq!(received, total);
    let sent = writing.join().expect("written");
    assert!(!hashed || sent == hash, "what arrived is not what was sent");
    hash
}

/// 1 GiB through one pipe.
pub(crate) fn throughput(scale: Scale, placement: &Placement) {
    let total = scale.pipe_bytes;
    let (sender, done) = channel();
    let mut connection = Connection::hop(placement, None, move |socket| read_pipes(socket, &sender));
    // What is allocated once is not what content costs.
    hop(&mut connection.client, total / 16, false, &done);
    take_peak();
    let before = resident();
    let measured = Rounds::measure(
        scale.pipe_rounds,
        || Cost::of(|| plain(total, placement)),
        || {
            Cost::of(|| {
                hop(&mut connection.client, total, false, &done);
            })
        },
    );
    let grown = take_peak().saturating_sub(before);
    let name = format!("pipe of {} MiB", total >> 20);
    measured.report(&name, placement, Limit::PartOfThroughput(0.5), Amount::Bytes(total));
    let hash = hop(&mut connection.client, total, true, &done);
    let (grown, content) = (grown / 1024, total >> 20);
    println!("  memory grew by {grown} KiB at most; hash of {content} MiB equal on both sides: {hash:016x}");
    connection.close();
}

/// Peer: answers bytes, holds the first pipe without reading it and reads all others, until it is told to go on.
fn stop_reading(mut socket: Socket, done: &Sender<(usize, u64)>) {
    let mut held: Option<OwnedFd> = None;
    let mut reading: Vec<(OwnedFd, usize)> = Vec::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut waiting: Vec<_> = vec![socket.as_fd()];
        waiting.extend(reading.iter().map(|(fd, _)| fd.as_fd()));
        wait(&waiting);
        socket.dispatch().expect("alive");
        let (mut byte, mut fds) = ([0], Vec::new());
        match socket.recvmsg(&mut byte, &mut fds) {
            Ok(0) => return,
            Ok(_) if byte == *b"g" => reading.extend(held.take().map(|fd| (fd, 0))),
            Ok(_) if fds.is_empty() => socket.send(&byte, &[]),
            Ok(_) => {
                let pipe = fds.pop().expect("a pipe").fd;
                let flags = rustix::fs::fcntl_getfl(&pipe).expect("flags");
                rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK).expect("set");
                if byte == *b"s" {
                    held = Some(pipe);
                } else {
                    reading.push((pipe, 0));
                }
            }
            Err(SocketError::WouldBlock) => {}
            Err(error) => panic!("{error}"),
        }
        reading.retain_mut(|(fd, received)| match rustix::io::read(&*fd, &mut buffer) {
            Ok(0) => {
                done.send((*received, 0)).expect("somebody waits");
                false
            }
            Ok(len) => {
                *received += len;
                true
            }
            Err(error) => error == Errno::AGAIN,
        });
    }
}

/// A reader that stops, and what goes on meanwhile.
pub(crate) fn stopped_reader(scale: Scale, placement: &Placement) {
    let total = scale.pipe_bytes / 16;
    let (sender, done) = channel();
    let mut connection = Connection::hop(placement, None, move |socket| stop_reading(socket, &sender));
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let (writing, written) = spawn_writer(writer, total, false);
    connection.client.send(b"s", &[reader.as_fd()]);
    drop(reader);
    let before = resident();
    let start = Instant::now();
    let (mut moved, mut trips) = (0, 0);
    while moved == 0 || start.elapsed() < scale.stop {
        moved += total;
        hop(&mut connection.client, total, false, &done);
        for _ in 0..100 {
            connection.client.send(b"?", &[]);
            connection.client.receive_exact(&mut [0], &mut Vec::new());
            trips += 1;
        }
    }
    let stopped = start.elapsed().as_secs_f64();
    let taken = written.load(Ordering::Relaxed);
    let grown = resident().saturating_sub(before) / 1024;
    connection.client.send(b"g", &[]);
    assert_eq!(done.recv().expect("the peer").0, total, "the stopped pipe goes on where it was");
    writing.join().expect("written");
    println!(
        "a reader that stops for {stopped:.1} s            {placement:15} its writer got rid of {} KiB, then waited; meanwhile \
         another pipe moved {} MiB and {trips} round trips went on; memory grew by {grown} KiB",
        taken / 1024,
        moved >> 20,
    );
    connection.close();
}
