//! What a VM can ask for, and how much of it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use virtio_wl::wire::Purpose;

use crate::TWO_VMS;
use crate::fixture::{Gate, Hub, PATIENCE, call, connect, expect, expect_end, hello};

#[test]
fn a_stream_with_a_wrong_hello_is_refused_and_nothing_else_is_touched() {
    let mut hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let mut live = connect(&hub, &gate, "work");
    let good = hello(Purpose::Wayland);
    for (at, byte) in [(0, b'X'), (4, 2), (5, 1), (6, 3), (6, 0), (7, 0x80), (28, 1)] {
        let mut bad = good;
        bad[at] = byte;
        expect_end(&mut call(&hub, "work", &bad));
    }
    hub.wait_line(&["decision=refuse", "vm=work", "reason=bad-hello", "connection=8"]);
    assert!(!gate.has_caller());
    live.round_trip();
    connect(&hub, &gate, "work").round_trip();
}

#[test]
fn a_stream_that_ends_within_its_hello_is_refused() {
    let mut hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    drop(call(&hub, "work", b"VTWL"));
    hub.wait_line(&["decision=refuse", "reason=closed-early"]);
    connect(&hub, &gate, "work").round_trip();
}

#[test]
fn a_slow_hello_costs_only_its_own_vm_and_only_for_a_while() {
    let vms = TWO_VMS.replace("work.sock\"", "work.sock\"\nmax_pending = 1");
    let mut hub = Hub::start(&vms);
    let gate = Gate::listen(&hub);
    let start = Instant::now();
    let mut slow = call(&hub, "work", &hello(Purpose::Wayland)[..31]);
    let mut waiting = call(&hub, "work", &hello(Purpose::Wayland));
    connect(&hub, &gate, "web").round_trip();
    expect_end(&mut slow);
    assert!(start.elapsed() > Duration::from_secs(4), "{:?}", start.elapsed());
    hub.wait_line(&["decision=refuse", "vm=work", "reason=slow-hello"]);
    // The one that had to wait behind it has its turn now.
    let (introduction, mut stream) = gate.accept();
    assert_eq!(introduction.vm.as_str(), "work");
    expect(&mut stream, &hello(Purpose::Wayland));
    stream.write_all(b"welcome").unwrap();
    expect(&mut waiting, b"welcome");
}

#[test]
fn no_more_connections_are_let_through_than_allowed() {
    let vms = TWO_VMS.replace("work.sock\"", "work.sock\"\nmax_connections = 2");
    let mut hub = Hub::start(&vms);
    let gate = Gate::listen(&hub);
    let mut first = connect(&hub, &gate, "work");
    let second = connect(&hub, &gate, "work");
    expect_end(&mut call(&hub, "work", &hello(Purpose::Wayland)));
    hub.wait_line(&["decision=refuse", "vm=work", "reason=too-many-connections"]);
    assert!(!gate.has_caller());
    first.round_trip();
    connect(&hub, &gate, "web").round_trip();

    drop(second);
    // The hub learns of the end a moment later; until then it refuses.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stream = call(&hub, "work", &hello(Purpose::Wayland));
        if gate.is_called_before_the_end_of(&stream) {
            break;
        }
        assert!(Instant::now() < deadline, "the place of a connection that ended stays taken");
    }
    assert_eq!(gate.accept().0.vm.as_str(), "work");
    first.round_trip();
}

/// A call costs work in three programs, so a VM that does nothing but call and hang up would use up a processor of the host and
/// one of the GUI VM.
#[test]
fn who_calls_too_often_waits_and_another_vm_does_not() {
    let vms = TWO_VMS.replace("work.sock\"", "work.sock\"\nmax_calls_per_second = 20");
    let hub = Hub::start(&vms);
    let gate = Gate::listen(&hub);
    let start = Instant::now();
    // One second's worth is taken at once, the rest one after the other.
    let mut calls: Vec<_> = (0..40).map(|_| call(&hub, "work", &[0; 32])).collect();
    connect(&hub, &gate, "web").round_trip();
    let (first, last) = calls.split_at_mut(20);
    first.iter_mut().for_each(expect_end);
    let last = last.last_mut().unwrap();
    last.set_nonblocking(true).unwrap();
    assert_eq!(
        last.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "the last one waits for its turn"
    );
    last.set_nonblocking(false).unwrap();
    expect_end(last);
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
    connect(&hub, &gate, "work").round_trip();
}

#[test]
fn a_flood_of_refusals_writes_few_lines() {
    let vms = TWO_VMS.replace("work.sock\"", "work.sock\"\nmax_calls_per_second = 10000");
    let mut hub = Hub::start(&vms);
    for _ in 0..300 {
        expect_end(&mut call(&hub, "work", &[0; 32]));
    }
    hub.wait_line(&["reason=bad-hello"]);
    hub.signal(rustix::process::Signal::TERM);
    hub.wait_line(&["asked to end"]);
    let written = hub.count_lines("decision=refuse");
    assert!((20..60).contains(&written), "{written} lines");
}
