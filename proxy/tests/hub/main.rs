//! The hub as its neighbours see it: the real program, with the test as VMs and gate.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fixture;
mod limits;
mod processes;
mod regions;
mod vsock;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::process::Command;
use std::thread;

use fixture::{Gate, Hub, call, connect, expect, expect_end, hello, noise};
use virtio_wl::wire::Purpose;

/// Two VMs without regions.
pub const TWO_VMS: &str = r#"
[vm.work]
listen = "unix:DIR/work.sock"
[vm.web]
listen = "unix:DIR/web.sock"
"#;

#[test]
fn bytes_pass_unchanged_both_ways_at_once() {
    let hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let ends = connect(&hub, &gate, "work");
    let (there, back) = (noise(1, 8 << 20), noise(2, 8 << 20));
    thread::scope(|scope| {
        for (stream, bytes) in [(&ends.vm, &there), (&ends.gate, &back)] {
            scope.spawn(move || {
                let mut stream = stream;
                // Pieces of all sizes, also such as do not fill a page.
                for piece in bytes.chunks(4093) {
                    stream.write_all(piece).unwrap();
                }
                stream.shutdown(Shutdown::Write).unwrap();
            });
        }
        for (stream, wanted) in [(&ends.gate, &there), (&ends.vm, &back)] {
            scope.spawn(move || {
                let mut bytes = Vec::new();
                let mut stream = stream;
                stream.read_to_end(&mut bytes).unwrap();
                assert!(bytes == *wanted, "{} bytes of {}", bytes.len(), wanted.len());
            });
        }
    });
}

#[test]
fn each_direction_ends_by_itself() {
    let hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let mut ends = connect(&hub, &gate, "work");
    ends.vm.shutdown(Shutdown::Write).unwrap();
    expect_end(&mut ends.gate);
    ends.gate.write_all(b"after the end of the other direction").unwrap();
    expect(&mut ends.vm, b"after the end of the other direction");
    ends.gate.shutdown(Shutdown::Write).unwrap();
    expect_end(&mut ends.vm);
}

#[test]
fn the_introduction_names_the_vm_whose_socket_was_called() {
    let mut hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let _work = connect(&hub, &gate, "work");
    let _web = connect(&hub, &gate, "web");
    for (vm, connection) in [("work", "connection=1"), ("web", "connection=2")] {
        let line = hub.wait_line(&["decision=allow", &format!("vm={vm}")]);
        assert!(line.contains(connection) && line.contains("purpose=wayland"), "{line}");
    }
}

#[test]
fn a_gate_that_comes_late_is_waited_for() {
    let hub = Hub::start(TWO_VMS);
    let mut early = call(&hub, "work", &hello(Purpose::Wayland));
    // The hub has looked at the first stream when it has closed this later one.
    expect_end(&mut call(&hub, "web", &[0; 32]));
    let gate = Gate::listen(&hub);
    let (introduction, mut stream) = gate.accept();
    assert_eq!(introduction.vm.as_str(), "work");
    expect(&mut stream, &hello(Purpose::Wayland));
    stream.write_all(b"welcome").unwrap();
    expect(&mut early, b"welcome");
}

#[test]
fn without_a_gate_a_stream_is_refused() {
    let mut hub = Hub::start(TWO_VMS);
    expect_end(&mut call(&hub, "work", &hello(Purpose::Wayland)));
    hub.wait_line(&["decision=refuse", "vm=work", "reason=gate-unreachable"]);
}

#[test]
fn a_reader_that_stops_stops_the_writer() {
    use rustix::event::PollFlags;
    let hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let mut ends = connect(&hub, &gate, "work");
    ends.vm.set_nonblocking(true).unwrap();
    let piece = noise(3, 16 << 10);
    let mut sent = Vec::new();
    // Blocked is when there has been no room for a good while.
    while fixture::wait_for(&ends.vm, PollFlags::OUT, std::time::Duration::from_millis(500)) {
        while let Ok(count) = ends.vm.write(&piece) {
            sent.extend_from_slice(&piece[..count]);
        }
        assert!(sent.len() < 4 << 20, "{} bytes are held somewhere", sent.len());
    }
    let mut other = connect(&hub, &gate, "work");
    other.round_trip();
    let mut received = vec![0; sent.len()];
    ends.gate.read_exact(&mut received).unwrap();
    assert!(received == sent);
    ends.vm.set_nonblocking(false).unwrap();
    ends.round_trip();
}

#[test]
fn a_connection_in_full_flow_leaves_the_others_their_turn() {
    let hub = Hub::start(TWO_VMS);
    let gate = Gate::listen(&hub);
    let busy = connect(&hub, &gate, "work");
    let mut quiet = connect(&hub, &gate, "work");
    thread::scope(|scope| {
        scope.spawn(|| while (&busy.vm).write_all(&[0; 64 << 10]).is_ok() {});
        scope.spawn(|| while (&busy.gate).read(&mut [0; 64 << 10]).is_ok_and(|count| count > 0) {});
        for _ in 0..200 {
            quiet.round_trip();
        }
        busy.gate.shutdown(Shutdown::Both).unwrap();
    });
}

#[test]
fn the_program_says_what_is_wrong_with_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hub.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let program = env!("CARGO_BIN_EXE_vitrail-hub");
        Command::new(program).arg("--config").arg(&file).arg("--check").output().unwrap()
    };
    let good = check(include_str!("../../../assets/hub.toml"));
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    let bad = check("gate = \"unix:/g\"\n[vm.work]\nlisten = \"unix:/l\"\nmax_conections = 3\n");
    let stderr = String::from_utf8_lossy(&bad.stderr);
    assert_eq!(bad.status.code(), Some(1));
    assert!(stderr.contains(&format!("{}:4: unknown field", file.display())), "{stderr}");
    assert!(stderr.contains("max_conections = 3"), "{stderr}");
}
