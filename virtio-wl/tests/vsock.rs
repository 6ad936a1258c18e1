//! The kernel's vsock, inside a virtual machine that was made for it (`cargo xtask vm streams`).
//!
//! Nothing here runs on an ordinary machine, whose vsock may belong to whoever manages it. In such a guest `VARIABLE` is set,
//! and the host brings every call to its port 6000 + N back to the guest's port 5000 + N, so that this program is at both
//! ends, and each stream goes out of the VM and in again. Each test has an N of its own.

#[path = "virtio_wl_driver/left_out.rs"]
mod left_out;

use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use virtio_wl::address::VsockCid;
use virtio_wl::listener::{AcceptError, Accepted, Listener, Peer};
use virtio_wl::{Address, Role, Socket, SocketOptions};

const VARIABLE: &str = "VIRTIO_WL_VSOCK_GUEST";
/// Longer than anything takes in an emulated machine.
const PATIENCE: Duration = Duration::from_secs(60);
const HOST: VsockCid = VsockCid::Is(2);
const LOOPBACK: VsockCid = VsockCid::Is(1);

/// Whether this is no guest that was made for these tests.
fn skipped() -> bool {
    let skipped = std::env::var_os(VARIABLE).is_none();
    if skipped {
        left_out::left_out(
            "the tests of a guest's vsock",
            "this is not the guest of `cargo xtask vm streams`",
        );
    }
    skipped
}

fn listen(cid: VsockCid, n: u32) -> Listener {
    Address::Vsock { cid, port: 5000 + n }.listen().expect("listening")
}

/// Calls the host, which calls back.
fn call_through_host(n: u32) -> OwnedFd {
    Address::Vsock { cid: HOST, port: 6000 + n }.connect().expect("connected")
}

/// Calls from inside the guest.
fn call_inside(n: u32) -> OwnedFd {
    Address::Vsock { cid: LOOPBACK, port: 5000 + n }.connect().expect("connected")
}

fn accept(listener: &Listener) -> Result<Accepted, AcceptError> {
    let patience = Timespec::try_from(PATIENCE).expect("a short time");
    let ready = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&patience)).expect("polled");
    assert!(ready > 0, "nobody calls");
    listener.accept()
}

/// That the other side has ended the stream without a byte.
fn assert_ended(stream: &OwnedFd) {
    let patience = Timespec::try_from(PATIENCE).expect("a short time");
    assert!(poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&patience)).expect("polled") > 0, "no end");
    let result = rustix::io::read(stream, &mut [0; 1]);
    assert!(matches!(result, Ok(0) | Err(Errno::CONNRESET)), "{result:?}");
}

/// They once said so with `eprintln!`, which libtest shows of tests that fail.
#[test]
fn a_test_that_is_for_another_machine_says_so_where_it_is_seen() {
    let mut other = Command::new(std::env::current_exe().expect("this program"));
    other.args(["both_ends_know_each_other_by_cid", "--exact"]).env_remove(VARIABLE);
    let list = std::env::temp_dir().join(format!("virtio-wl-left-out-{}", std::process::id()));
    let output = other.env(left_out::VARIABLE, &list).output().expect("run");
    let listed = std::fs::read_to_string(&list);
    // There is none if the test has failed.
    let _ = std::fs::remove_file(&list);
    let expected =
        "the tests of a guest's vsock are skipped: this is not the guest of `cargo xtask vm streams`\n";
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    assert_eq!(listed.expect("a list"), expected);
}

#[test]
fn both_ends_know_each_other_by_cid() {
    if skipped() {
        return;
    }
    let listener = listen(VsockCid::Any, 1);
    let caller = call_through_host(1);
    let accepted = accept(&listener).expect("a caller");
    assert!(matches!(accepted.peer, Peer::Vsock { cid: 2, .. }), "{:?}", accepted.peer);
    assert_eq!(Peer::of(&caller), Ok(Peer::Vsock { cid: 2, port: 6001 }));
    let _caller = call_inside(1);
    let accepted = accept(&listener).expect("a caller");
    assert!(matches!(accepted.peer, Peer::Vsock { cid: 1, .. }), "{:?}", accepted.peer);
}

#[test]
fn a_listener_for_the_host_takes_calls_of_the_host_only() {
    if skipped() {
        return;
    }
    let listener = listen(HOST, 2);
    let stranger = call_inside(2);
    let refused = accept(&listener).expect_err("a call from the guest itself");
    assert!(matches!(refused, AcceptError::Stranger(Peer::Vsock { cid: 1, .. })), "{refused:?}");
    assert_ended(&stranger);
    let _caller = call_through_host(2);
    accept(&listener).expect("the host");
}

#[test]
fn a_listener_for_another_machine_refuses_the_host() {
    if skipped() {
        return;
    }
    let listener = listen(VsockCid::Is(4), 3);
    let stranger = call_through_host(3);
    let refused = accept(&listener).expect_err("a call from the host");
    assert!(matches!(refused, AcceptError::Stranger(Peer::Vsock { cid: 2, .. })), "{refused:?}");
    assert_ended(&stranger);
}

/// Writes of 64 KiB never end on a guest's vsock with some kernels and backends; those of this crate are shorter.
#[test]
fn sixteen_mebibytes_cross_in_both_directions_at_once() {
    if skipped() {
        return;
    }
    const LEN: usize = 16 << 20;
    const CYCLE: usize = 251;
    let listener = listen(VsockCid::Any, 4);
    let caller = call_through_host(4);
    let callee = accept(&listener).expect("a caller").stream;
    let side = |stream, role| Socket::new(stream, role, SocketOptions::default()).expect("usable");
    let mut sides = [side(caller, Role::Initiator), side(callee, Role::Acceptor)];
    let (mut sent, mut received) = ([0; 2], [0; 2]);
    let mut buffer = vec![0; 256 << 10];
    // Bytes that differ from those any power of two before and after them, from each place of their cycle on.
    let cycle: Vec<u8> =
        (0..CYCLE).cycle().map(|at| at.to_le_bytes()[0]).take(CYCLE + buffer.len()).collect();
    let piece = |at: usize, len: usize| &cycle[at % CYCLE..][..len];
    let start = Instant::now();
    while received != [LEN; 2] {
        for (at, side) in sides.iter_mut().enumerate() {
            side.dispatch().expect("alive");
            while sent[at] < LEN {
                let piece = piece(sent[at], buffer.len().min(LEN - sent[at]));
                match side.sendmsg(piece, &[]) {
                    Ok(len) => sent[at] += len,
                    Err(error) if error.errno() == Errno::AGAIN => break,
                    Err(error) => panic!("sending failed after {} bytes: {error}", sent[at]),
                }
            }
            loop {
                match side.recvmsg(&mut buffer, &mut Vec::new()) {
                    Ok(0) => panic!("the end after {} bytes", received[at]),
                    Ok(len) => {
                        assert!(
                            buffer[..len] == *piece(received[at], len),
                            "wrong bytes after {}",
                            received[at]
                        );
                        received[at] += len;
                    }
                    Err(error) if error.errno() == Errno::AGAIN => break,
                    Err(error) => panic!("receiving failed after {} bytes: {error}", received[at]),
                }
            }
        }
        let time = Timespec::try_from(PATIENCE).expect("a short time");
        let mut fds = [&sides[0], &sides[1]].map(|side| PollFd::new(side, PollFlags::IN));
        if received != [LEN; 2] {
            assert!(
                poll(&mut fds, Some(&time)).expect("polled") > 0,
                "stalled: sent {sent:?}, received {received:?}"
            );
        }
    }
    println!("32 MiB in {:.1} s", start.elapsed().as_secs_f64());
}
