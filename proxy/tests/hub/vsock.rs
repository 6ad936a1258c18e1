//! VMs whose VMMs carry vsock over Unix sockets: the test plays the VMMs, as VMs do not tell the difference.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use rustix::event::PollFlags;
use virtio_wl::wire::Purpose;
use vitrail_proxy::introduction::{INTRODUCTION_LEN, Introduction};

use crate::fixture::{Ends, Hub, PATIENCE, bounded, call, expect, expect_end, hello, noise, wait_for};

/// A VM behind a VMM, which calls port 6000 of the host.
const WORK: &str = "[vm.work]\nlisten = \"vsock-uds:DIR/work:6000\"\n";

/// The VMM of the GUI VM, in which the gate is expected at port 5000.
struct GuiVmm(UnixListener);

impl GuiVmm {
    /// The VMM and a hub that calls it.
    fn start(vms: &str) -> (Self, Hub) {
        let dir = tempfile::tempdir().unwrap();
        let vmm = UnixListener::bind(dir.path().join("gui")).unwrap();
        (Self(vmm), Hub::start_in_with(dir, "vsock-uds:DIR/gui:5000", vms))
    }

    /// The next call, with its request, which the hub must not go on from by itself.
    fn accept(&self) -> UnixStream {
        assert!(wait_for(&self.0, PollFlags::IN, PATIENCE), "the hub does not call");
        let mut stream = bounded(self.0.accept().unwrap().0);
        expect(&mut stream, b"CONNECT 5000\n");
        stream
    }
}

/// What the hub says first to the gate.
fn introduction(gate: &mut UnixStream) -> Introduction {
    let mut bytes = [0; INTRODUCTION_LEN];
    gate.read_exact(&mut bytes).unwrap();
    expect(gate, &hello(Purpose::Wayland));
    Introduction::decode(&bytes).unwrap()
}

#[test]
fn bytes_pass_from_one_vm_to_the_other_behind_the_handshake() {
    let (vmm, hub) = GuiVmm::start(WORK);
    let vm = call_port(&hub);
    let mut gate = vmm.accept();
    gate.write_all(b"OK 10737").unwrap();
    gate.write_all(b"41824\n").unwrap();
    assert_eq!(introduction(&mut gate).vm.as_str(), "work");
    let mut ends = Ends { vm, gate };
    ends.round_trip();
    let (there, back) = (noise(1, 1 << 20), noise(2, 1 << 20));
    thread::scope(|scope| {
        for (from, to, bytes) in [(&ends.vm, &ends.gate, &there), (&ends.gate, &ends.vm, &back)] {
            scope.spawn(move || {
                let mut from = from;
                from.write_all(bytes).unwrap();
            });
            scope.spawn(move || {
                let (mut to, mut received) = (to, vec![0; bytes.len()]);
                to.read_exact(&mut received).unwrap();
                assert!(received == *bytes);
            });
        }
    });
    drop(ends.gate);
    expect_end(&mut ends.vm);
}

/// Calls as the VM's VMM does.
fn call_port(hub: &Hub) -> UnixStream {
    let mut stream = bounded(UnixStream::connect(hub.path("work_6000")).unwrap());
    stream.write_all(&hello(Purpose::Wayland)).unwrap();
    stream
}

#[test]
fn a_gate_that_does_not_listen_yet_is_called_again() {
    let (vmm, hub) = GuiVmm::start(WORK);
    let mut vm = call_port(&hub);
    for _ in 0..3 {
        // So a VMM says that nothing listens.
        drop(vmm.accept());
    }
    let mut gate = vmm.accept();
    gate.write_all(b"OK 1\n").unwrap();
    introduction(&mut gate);
    gate.write_all(b"welcome").unwrap();
    expect(&mut vm, b"welcome");
}

#[test]
fn a_vmm_that_does_not_answer_holds_up_its_own_stream_only() {
    let (vmm, mut hub) = GuiVmm::start(&format!("{WORK}[vm.web]\nlisten = \"unix:DIR/web.sock\"\n"));
    let mut stuck = call_port(&hub);
    let _silent = vmm.accept();
    // Meanwhile the hub goes on with others.
    expect_end(&mut call(&hub, "web", &[0; 32]));
    let web = call(&hub, "web", &hello(Purpose::Wayland));
    let mut gate = vmm.accept();
    gate.write_all(b"OK 1\n").unwrap();
    assert_eq!(introduction(&mut gate).vm.as_str(), "web");
    Ends { vm: web, gate }.round_trip();
    expect_end(&mut stuck);
    let line = hub.wait_line(&["decision=refuse", "vm=work", "reason=gate-unreachable"]);
    assert!(line.contains("no answer in time") && line.contains("gui:5000"), "{line}");
}

#[test]
fn what_is_no_vmm_is_refused_with_what_it_said() {
    let (vmm, mut hub) = GuiVmm::start(WORK);
    let mut vm = call_port(&hub);
    vmm.accept().write_all(b"HTTP/1.1 400\r\n").unwrap();
    expect_end(&mut vm);
    let line = hub.wait_line(&["decision=refuse", "vm=work", "reason=gate-unreachable"]);
    assert!(line.contains("received `HTTP/1.1 400`"), "{line}");
}
