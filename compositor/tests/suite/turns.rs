//! How much happens in one turn of the event loop: a whole answer, and no more than one budget of a client's bytes.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use vitrail::trust::client::Privilege;
use vitrail::trust::origin::Origin;
use vitrail::trust::throttle::BUDGET;

use crate::fixture::{Fixture, vm};

/// How long the compositor may wait for what is already there.
const DEADLINE: Duration = Duration::from_secs(10);
/// Requests of `wl_display`.
const SYNC: u32 = 0;
const GET_REGISTRY: u32 = 1;

/// A request of `wl_display` that makes an object.
fn request(opcode: u32, id: u32) -> impl Iterator<Item = u8> {
    [1, 12 << 16 | opcode, id].into_iter().flat_map(u32::to_ne_bytes)
}

#[test]
fn a_request_is_answered_in_the_turn_in_which_it_comes() {
    let mut fixture = Fixture::new();
    let client = fixture.connect(vm("work"));
    for _ in 0..3 {
        let done = fixture.client(client).sync();
        fixture.turn_compositor(Duration::ZERO);
        fixture.client(client).dispatch();
        assert!(done.load(Ordering::Relaxed));
    }
}

/// The library reads a client until nothing is left, so it must not be given more than the budget, however early it reads.
#[test]
fn no_more_than_one_budget_of_requests_is_answered_in_one_turn() {
    let mut fixture = Fixture::new();
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    fixture.state().accept(theirs, vm("work"), Privilege::Ordinary).unwrap();
    ours.set_nonblocking(true).unwrap();
    let requests: Vec<u8> = (2..).take(4 * BUDGET / 12).flat_map(|id| request(SYNC, id)).collect();
    ours.write_all(&requests).unwrap();
    for _ in 0..2 {
        fixture.turn_compositor(Duration::ZERO);
        let mut answers = vec![0; 16 * BUDGET];
        let mut count = 0;
        while let Ok(more @ 1..) = ours.read(&mut answers) {
            count += more;
        }
        // Each is answered with two events of 12 bytes. A request may lie across the end of a budget; and a machine that is slow has
        // a smaller budget for the second turn.
        let answered = count / 24;
        assert!((1..=BUDGET / 12 + 1).contains(&answered), "{answered} requests were answered");
    }
}

/// The library keeps what it cannot write at once. When the way to the client was then made free in the same turn, nothing was
/// left that would have woken the compositor, and the client would have waited for the rest until something else happened.
#[test]
fn an_answer_that_has_no_room_comes_whole_though_nothing_else_happens() {
    let mut fixture = Fixture::new();
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    // All that the library can write at once has room on the way to the client.
    rustix::net::sockopt::set_socket_send_buffer_size(&theirs, 1 << 20).unwrap();
    fixture.state().accept(theirs, Origin::Local, Privilege::Ordinary).unwrap();
    let last = 300;
    let requests: Vec<u8> =
        (2..last).flat_map(|id| request(GET_REGISTRY, id)).chain(request(SYNC, last)).collect();
    ours.write_all(&requests).unwrap();
    let (read, whole) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut header = [0; 8];
        let mut rest = vec![0; 1 << 16];
        let mut bytes = 0;
        loop {
            ours.read_exact(&mut header).unwrap();
            let [object, length] =
                [0, 4].map(|at| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap()));
            let length = (length >> 16) as usize;
            ours.read_exact(&mut rest[..length - 8]).unwrap();
            bytes += length;
            if object == last {
                read.send(bytes).unwrap();
                // The connection ends here, which wakes the compositor.
                return;
            }
        }
    });
    let bytes = loop {
        let start = Instant::now();
        fixture.turn_compositor(DEADLINE);
        if let Ok(bytes) = whole.try_recv() {
            break bytes;
        }
        assert!(start.elapsed() < DEADLINE, "the compositor sleeps though the answer is not written");
    };
    assert!(bytes > 400_000, "the answer has room in the sockets");
    reader.join().unwrap();
}

/// What is done earlier is not done again: after an answer the compositor sleeps.
#[test]
fn nothing_is_left_to_do_after_an_answer() {
    let mut fixture = Fixture::new();
    let client = fixture.connect(vm("work"));
    let done = fixture.client(client).sync();
    fixture.turn_compositor(Duration::ZERO);
    fixture.client(client).dispatch();
    assert!(done.load(Ordering::Relaxed));
    let (start, wait) = (Instant::now(), Duration::from_millis(100));
    fixture.turn_compositor(wait);
    assert!(start.elapsed() >= wait);
}
