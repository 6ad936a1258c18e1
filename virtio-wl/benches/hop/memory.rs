//! Memory of this process.

use std::fs;
use std::os::fd::AsFd as _;

use virtio_wl::{Role, Socket, SocketOptions};

use crate::placement::Placement;
use crate::wire::{unix_pair, wait};
use crate::{Scale, as_f64};

/// A line of /proc/self/status, in bytes.
fn status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field of the kernel");
    let kib: usize = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
    kib * 1024
}

/// Memory that this process occupies now.
pub(crate) fn resident() -> usize {
    status("VmRSS:")
}

/// The most memory that this process has occupied since the last call.
pub(crate) fn take_peak() -> usize {
    let peak = status("VmHWM:");
    // Resets the high-water mark (proc(5)).
    fs::write("/proc/self/clear_refs", "5").expect("reset");
    peak
}

/// What sockets occupy that nobody uses.
pub(crate) fn idle(scale: Scale, placement: &Placement) {
    if !placement.is_shared() {
        // Only this thread does anything.
        return;
    }
    let open = |count: usize| {
        let mut sockets = Vec::with_capacity(2 * count);
        for _ in 0..count {
            let (one, two) = unix_pair();
            let mut one = Socket::new(one, Role::Initiator, SocketOptions::default()).expect("socket");
            let mut two = Socket::new(two, Role::Acceptor, SocketOptions::default()).expect("socket");
            while !(one.is_open() && two.is_open()) {
                wait(&[one.as_fd(), two.as_fd()]);
                one.dispatch().expect("alive");
                two.dispatch().expect("alive");
            }
            sockets.extend([one, two]);
        }
        sockets
    };
    let before = resident();
    let mut fresh = open(scale.idle);
    let opened = resident();
    for pair in fresh.chunks_exact_mut(2) {
        let [one, two] = pair else { continue };
        one.sendmsg(&[7; 60_000], &[]).expect("sent");
        let (mut received, mut buffer) = (0, [0; 4096]);
        while received < 60_000 {
            match two.recvmsg(&mut buffer, &mut Vec::new()) {
                Ok(len) => received += len,
                Err(_) => {
                    two.dispatch().expect("alive");
                    one.dispatch().expect("alive");
                }
            }
        }
    }
    let used = resident();
    let each = |bytes: usize| as_f64(bytes) / as_f64(fresh.len()) / 1024.0;
    println!(
        "memory of a socket                       opened {:.1} KiB  after 60,000 bytes {:.1} KiB",
        each(opened.saturating_sub(before)),
        each(used.saturating_sub(before)),
    );
}
