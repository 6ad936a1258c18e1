//! VMs without a region: many applications at a time through `wl-forward` and one worker of the real program.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};

use virtio_wl::unix;

use crate::client::memory;
use crate::compositor::global_name;
use crate::supervisor::{Gate, PATIENCE};
use crate::wire::{Message, Received};

/// An application behind a `wl-forward` that has no region, in a process of its own: descriptors of this process
/// count for the workers of other tests.
#[derive(Debug)]
struct Application {
    socket: UnixStream,
    bytes: Vec<u8>,
    forward: Child,
}

impl Drop for Application {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.forward.kill();
        let _ = self.forward.wait();
    }
}

impl Application {
    fn start(gate: &Gate, vm: &str) -> Self {
        let upstream = gate.introduced(vm, None);
        let (socket, inner) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // The numbers under which the process has them: standard input and output.
        let forward = Command::new(env!("CARGO_BIN_EXE_wl-forward"))
            .args(["--client", "fd:0", "--upstream", "fd:1"])
            .stdin(OwnedFd::from(inner))
            .stdout(OwnedFd::from(upstream))
            .spawn()
            .unwrap();
        let mut application = Self { socket, bytes: Vec::new(), forward };
        application.send(&Message::new(1, 1).uint(2));
        application.round_trip(3);
        application
    }

    fn send(&mut self, message: &Message) {
        self.socket.write_all(&message.bytes()).unwrap();
    }

    fn bind(&mut self, interface: &str, id: u32) {
        let name = global_name(interface);
        self.send(&Message::new(2, 0).uint(name).string(interface).uint(1).uint(id));
    }

    fn round_trip(&mut self, callback: u32) {
        self.send(&Message::new(1, 0).uint(callback));
        loop {
            while let Some(event) = Received::take(&mut self.bytes) {
                assert_ne!((event.object, event.opcode), (1, 0), "{event:?}");
                if event.object == callback {
                    return;
                }
            }
            let mut chunk = [0; 4096];
            let len = self.socket.read(&mut chunk).unwrap();
            assert_ne!(len, 0, "the application was disconnected");
            self.bytes.extend_from_slice(&chunk[..len]);
        }
    }

    /// Draws a window of 640 by 480 pixels.
    fn draw(&mut self) {
        let len: i32 = 640 * 480 * 4;
        self.bind("wl_compositor", 4);
        self.bind("wl_shm", 5);
        let pool = Message::new(5, 0).uint(6).int(len).bytes();
        let pixels = memory(u64::try_from(len).unwrap());
        unix::send(&self.socket, &pool, &[pixels.as_fd()]).unwrap();
        self.send(&Message::new(6, 0).uint(7).ints(&[0, 640, 480, 2560, 0]));
        self.send(&Message::new(4, 0).uint(8));
        self.send(&Message::new(8, 1).uint(7).ints(&[0, 0]));
        self.send(&Message::new(8, 2).ints(&[0, 0, 640, 480]));
        self.send(&Message::new(8, 6));
        self.round_trip(9);
    }
}

/// A number of KiB in `/proc/PID/status`.
fn status(pid: i32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[test]
fn as_many_applications_as_are_allowed_draw_without_a_region_far_below_the_walls() {
    let mut gate = Gate::start();
    let mut applications: Vec<_> = (0..64).map(|_| Application::start(&gate, "work")).collect();
    for application in &mut applications {
        application.draw();
    }
    for application in &mut applications {
        application.round_trip(10);
    }
    let report = gate.report(|report| report.connections == 64);
    assert_eq!(report.refused, 0);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", report.pid)).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space")).unwrap();
    let limit: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    let peak = status(report.pid, "VmPeak:") << 10;
    assert!(peak < limit / 4, "{peak} of {limit} bytes of address space");
}

#[test]
fn an_application_draws_without_a_region_under_a_low_limit() {
    let gate = Gate::start();
    // 16 MiB, much less than the length of the staging memory.
    let mut applications: Vec<_> = (0..6).map(|_| Application::start(&gate, "small")).collect();
    applications.iter_mut().for_each(Application::draw);
    applications.iter_mut().for_each(|application| application.round_trip(10));
}
