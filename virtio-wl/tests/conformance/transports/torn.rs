//! A wire that tears the stream into pieces, each of which arrives by itself.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use super::Transport;
use crate::pair::Connection;

/// Bytes of each direction that arrive one by one. The following ones come in pieces of [`LATER_PIECE`], lest moving many
/// takes for ever.
const ONE_BY_ONE: usize = 4096;

/// Odd, so that it cuts frames at all places.
const LATER_PIECE: usize = 257;

/// A socket pair with the wire in between.
#[derive(Debug)]
pub struct Torn;

impl Transport for Torn {
    fn name(&self) -> &'static str {
        "torn"
    }

    fn open(&self) -> Connection {
        let (initiator, one) = UnixStream::pair().expect("socket pair");
        let (two, acceptor) = UnixStream::pair().expect("socket pair");
        let back = |stream: &UnixStream| stream.try_clone().expect("duplicated");
        let wires = [tear(back(&one), back(&two)), tear(two, one)];
        Connection::streams(initiator, acceptor).keeping(Wires(wires.into()))
    }

    fn volume(&self) -> usize {
        1 << 18
    }
}

/// Ends when both sides are closed.
#[derive(Debug)]
struct Wires(Vec<JoinHandle<()>>);

impl Drop for Wires {
    fn drop(&mut self) {
        for wire in self.0.drain(..) {
            // A wire that has failed has ended too.
            let _ = wire.join();
        }
    }
}

fn tear(mut from: UnixStream, mut to: UnixStream) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; LATER_PIECE];
        let mut moved = 0;
        loop {
            let room = if moved < ONE_BY_ONE { 1 } else { LATER_PIECE };
            let len = from.read(&mut buffer[..room]).unwrap_or(0);
            if len == 0 {
                break;
            }
            // What a side that is gone would have received is dropped: the other side learns of it in its turn, behind
            // the last byte.
            let _ = to.write_all(&buffer[..len]);
            moved += len;
        }
        // It may be gone.
        let _ = to.shutdown(Shutdown::Write);
    })
}
