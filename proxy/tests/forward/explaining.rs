//! `--explain`: which interfaces are offered, and who withholds the others.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use virtio_wl::{Role, Socket, SocketOptions};

use crate::program::Machine;
use crate::scene::GLOBALS;
use crate::wire::{Args, PATIENCE, encode, wait};

/// Runs `wl-forward --explain` in front of a compositor with the globals of the scenes.
fn explain(machine: &Machine, interface: &[&str]) -> Output {
    let mut command: Command = machine.command(env!("CARGO_BIN_EXE_wl-forward"));
    command
        .arg("--explain")
        .args(interface)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut compositor = machine.compositor();
    let registry = compositor.expect(1, 1).word(0);
    let callback = compositor.expect(1, 0).word(0);
    for (name, interface, version) in GLOBALS {
        compositor.send(registry, 0, Args::new().u32(name).string(interface).u32(version));
    }
    compositor.send(callback, 0, Args::new().u32(0));
    let mut output = Output { status: child.wait().unwrap(), stdout: Vec::new(), stderr: Vec::new() };
    child.stdout.take().unwrap().read_to_end(&mut output.stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut output.stderr).unwrap();
    output
}

#[test]
fn an_interface_is_explained_and_the_status_says_whether_it_is_offered() {
    let machine = Machine::new();
    for (interface, status, text) in [
        ("wl_compositor", 0, "offered in version 6"),
        // The compositor says 99; an application sees what can be forwarded, which is two digits that begin with 1.
        ("wl_seat", 0, "offered in version 1"),
        ("zwlr_layer_shell_v1", 1, "withheld by the policy: Draws over"),
        ("zwp_linux_dmabuf_v1", 1, "withheld by wl-forward"),
        ("ext_image_copy_capture_manager_v1", 1, "offered if this VM shares a region"),
        ("wp_presentation", 1, "withheld by the policy for this VM, or the compositor does not have it"),
        ("zz_from_the_future_v1", 1, "not known here"),
        ("a\u{1b}[31m", 1, "a\\u{1b}[31m: not known here"),
    ] {
        let output = explain(&machine, &[interface]);
        let line = String::from_utf8(output.stdout).unwrap();
        assert!(line.contains(text) && line.lines().count() == 1, "{line}");
        assert_eq!(output.status.code(), Some(status), "{line}");
    }
}

#[test]
fn without_a_name_every_interface_is_explained() {
    let machine = Machine::new();
    let output = explain(&machine, &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for (interface, verdict) in
        [("wl_shm", "offered in version 2"), ("zwlr_screencopy_manager_v1", "withheld by the policy: ")]
    {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(interface)).unwrap();
        assert!(line.contains(verdict), "{line}");
    }
    assert_eq!(text.lines().count(), vitrail_protocols::globals::GLOBALS.len());
}

#[test]
fn a_hub_that_cannot_be_asked_is_status_2_with_a_reason() {
    let machine = Machine::new();
    let mut command = machine.command(env!("CARGO_BIN_EXE_wl-forward"));
    let nowhere = format!("--hub=unix:{}", machine.path("nowhere").display());
    let output = command.args(["--explain", "wl_shm"]).arg(nowhere).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("nowhere"));
    // One that closes the connection at once, as where the VM has too many.
    let mut command = machine.command(env!("CARGO_BIN_EXE_wl-forward"));
    command.args(["--explain", "wl_shm"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    drop::<UnixStream>(machine.hub.accept().unwrap().0);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("closed"), "{text}");
}

/// The end of the connection was forgotten when it came together with the last of what had been said before it: 30 seconds later
/// it was said that the other side did not answer.
#[test]
fn a_gate_that_dies_in_the_middle_of_its_answer_is_no_gate_that_is_silent() {
    let machine = Machine::new();
    let mut command = machine.command(env!("CARGO_BIN_EXE_wl-forward"));
    command.args(["--explain", "wl_shm"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begin = Instant::now();
    let child = command.spawn().unwrap();
    assert!(wait(machine.hub.as_fd(), PollFlags::IN, PATIENCE));
    let stream = machine.hub.accept().unwrap().0;
    let mut gate = Socket::new(stream.into(), Role::Acceptor, SocketOptions::default()).unwrap();
    // The program asks for the registry, as object 2, and for the end of what comes with it.
    let mut requests = 0;
    while requests < 2 * 12 {
        assert!(wait(gate.as_fd(), PollFlags::IN, PATIENCE));
        gate.dispatch().unwrap();
        requests += gate.recvmsg(&mut [0; 100], &mut Vec::new()).unwrap_or(0);
    }
    // More than is read at once, so that the last of it is still under way when the stream breaks off.
    let global = |name| encode(2, 0, &Args::new().u32(name).string("wl_output").u32(2));
    let events: Vec<u8> = (0..20_000).flat_map(global).collect();
    assert_eq!(gate.sendmsg(&events, &[]), Ok(events.len()));
    while gate.queued_bytes() > 0 {
        assert!(wait(gate.as_fd(), PollFlags::IN, PATIENCE));
        gate.dispatch().unwrap();
    }
    drop(gate);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("ended before it had answered"), "{text}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}
