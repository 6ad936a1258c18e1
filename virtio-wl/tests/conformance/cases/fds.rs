//! Descriptors, and the bytes that they belong to.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{borrowed, open_descriptors};
use crate::pair::{End, Pair, noise, numbered};
use crate::transports::Transport;

/// Descriptors in one message, at most.
const MAX_FDS: usize = 28;

/// Descriptors on their way from the bytes that they came with to the bytes that they belong to.
struct Arrived {
    early: bool,
    fds: VecDeque<OwnedFd>,
}

impl Arrived {
    fn new(transport: &dyn Transport) -> Self {
        Self { early: transport.descriptors_come_early(), fds: VecDeque::new() }
    }

    /// Some came; so many belong to the byte that they came with, or came earlier.
    fn take(&mut self, came: Vec<OwnedFd>, count: usize) -> Vec<OwnedFd> {
        self.fds.extend(came);
        let here = self.fds.len();
        assert!(here == count || (self.early && here > count), "{here} descriptors instead of {count}");
        self.fds.drain(..count).collect()
    }
}

fn numbers(range: std::ops::Range<u64>) -> Vec<OwnedFd> {
    range.map(numbered).collect()
}

/// Shows that nothing of a refused message has left: the next one follows directly on the one before.
fn assert_clean(pair: &mut Pair, end: End) {
    pair.send_all(end, b"clean", &[]);
    let (bytes, fds) = pair.receive_exactly(end.other(), 5);
    assert_eq!(bytes, b"clean");
    assert!(fds.is_empty());
}

pub fn twenty_eight_arrive_with_their_byte(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        let mut arrived = Arrived::new(transport);
        pair.send_all(end, b"before", &[]);
        let fds = numbers(0..28);
        pair.send_all(end, b"message", &borrowed(&fds));
        drop(fds);
        let (bytes, fds) = pair.receive_exactly(end.other(), 6);
        assert_eq!(bytes, b"before");
        arrived.take(fds, 0);
        let (bytes, fds) = pair.receive(end.other(), 1).expect("alive");
        assert_eq!(bytes, b"m");
        for (number, fd) in (0..).zip(arrived.take(fds, MAX_FDS)) {
            assert_eq!(pair.number_of(&fd), number);
        }
        let (bytes, fds) = pair.receive_exactly(end.other(), 6);
        assert_eq!(bytes, b"essage");
        arrived.take(fds, 0);
    }
}

pub fn twenty_nine_are_refused(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    let fds = numbers(0..29);
    for end in End::BOTH {
        assert_eq!(pair.side(end).send(b"x", &borrowed(&fds)), Err(Errno::TOOMANYREFS));
        assert_clean(&mut pair, end);
    }
}

pub fn bursts_keep_their_order(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    // Two rounds, because a transport has a bound on the pipes that are open at a time.
    for end in [End::Initiator, End::Acceptor, End::Initiator, End::Acceptor] {
        let counts = [1_u64, 0, 28, 3, 0, 0, 28, 1, 1, 2];
        let mut next = 0;
        for (message, count) in (0..).zip(counts) {
            let fds = numbers(next..next + count);
            next += count;
            pair.send_all(end, &noise(message, 100), &borrowed(&fds));
        }
        let mut found = 0;
        let mut arrived = Arrived::new(transport);
        for (message, count) in (0..).zip(counts) {
            let (bytes, fds) = pair.receive(end.other(), 1).expect("alive");
            let first = arrived.take(fds, usize::try_from(count).expect("few"));
            let (rest, fds) = pair.receive_exactly(end.other(), 99);
            arrived.take(fds, 0);
            assert!([bytes, rest].concat() == noise(message, 100));
            for fd in &first {
                assert_eq!(pair.number_of(fd), found);
                found += 1;
            }
        }
        arrived.take(Vec::new(), 0);
        assert_eq!(found, next);
    }
}

pub fn what_cannot_cross_is_refused_whole(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        if pair.side(end).is_plain() {
            // Anything can be sent to a Unix socket; it is the other end that cannot pass it on.
            continue;
        }
        let mut fds = numbers(0..2);
        fds.push(eventfd(0, EventfdFlags::CLOEXEC).expect("eventfd"));
        assert_eq!(pair.side(end).send(b"x", &borrowed(&fds)), Err(Errno::OPNOTSUPP));
        assert_clean(&mut pair, end);
    }
}

pub fn descriptors_need_a_byte(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        if pair.side(end).is_plain() {
            continue;
        }
        let fds = numbers(0..1);
        assert_eq!(pair.side(end).send(b"", &borrowed(&fds)), Err(Errno::INVAL));
        assert_eq!(pair.side(end).receive(&mut [], &mut Vec::new()), Ok(0));
        assert_clean(&mut pair, end);
    }
}

/// Runs something while the process may have no more than `more` descriptors besides those it has.
fn with_room_for<T>(more: u64, run: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::Nofile);
    // The limit is one on numbers, so the gaps between them are filled.
    let mut filler = Vec::new();
    let top = || {
        let entries = std::fs::read_dir("/proc/self/fd").expect("procfs");
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok());
        numbers.max().expect("some descriptor") + 1
    };
    let limit = top();
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..before }).expect("lowered");
    while let Ok(fd) = eventfd(0, EventfdFlags::CLOEXEC) {
        filler.push(fd);
    }
    for _ in 0..more {
        filler.pop();
    }
    let result = run();
    drop(filler);
    setrlimit(Resource::Nofile, before).expect("raised");
    result
}

pub fn no_room_at_the_sender(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        if pair.side(end).is_plain() {
            // The descriptors that a Unix socket carries are not the process's.
            continue;
        }
        pair.rest();
        let fds = numbers(0..28);
        let before = open_descriptors();
        let result = with_room_for(10, || pair.side(end).send(b"x", &borrowed(&fds)));
        match result {
            // It took nothing: all is as before.
            Err(error) => {
                assert_ne!(error, Errno::AGAIN);
                assert_eq!(open_descriptors(), before, "after {error}");
                assert_clean(&mut pair, end);
            }
            // It needs no descriptors of its own.
            Ok(_) => {
                let (_, fds) = pair.receive_exactly(end.other(), 1);
                assert_eq!(fds.len(), MAX_FDS);
            }
        }
    }
}

pub fn no_room_at_the_receiver(transport: &dyn Transport) {
    drop(transport.open().into_pair());
    let before = open_descriptors();
    for end in End::BOTH {
        let mut pair = transport.open().into_pair();
        pair.rest();
        let fds = numbers(0..28);
        pair.send_all(end, b"message", &borrowed(&fds));
        drop(fds);
        let result = with_room_for(10, || pair.receive(end.other(), 7));
        if let Ok((_, fds)) = &result {
            // It was received before there was too little room, but then all of it.
            assert_eq!(fds.len(), MAX_FDS, "of the descriptors some are missing");
        }
        drop((result, pair));
        assert_eq!(open_descriptors(), before);
    }
}

pub fn nothing_taken_leaks_nothing(transport: &dyn Transport) {
    drop(transport.open().into_pair());
    let before = open_descriptors();
    for rest in [false, true] {
        let mut pair = transport.open().into_pair();
        for end in End::BOTH {
            for _ in 0..3 {
                pair.send_all(end, b"message", &borrowed(&numbers(0..28)));
            }
        }
        if rest {
            pair.rest();
        }
        drop(pair);
        assert_eq!(open_descriptors(), before);
    }
}
