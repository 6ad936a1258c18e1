//! From an application's VM through hub and gate, where both VMs have a VMM that carries vsock over Unix sockets. The test is
//! both VMMs; in the GUI VM the gate listens on a socket file in place of its vsock.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use virtio_wl::Region;

use crate::client::Client;
use crate::supervisor::Gate;

struct Hub(Child);

impl Drop for Hub {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Hub {
    /// A hub between the VM `work` and the gate, in the gate's directory. Returns when it listens.
    fn start(gate: &Gate) -> Self {
        let dir = gate.path("");
        let text = "gate = 'vsock-uds:DIR/gui:5000'\n[vm.work]\nlisten = 'vsock-uds:DIR/work:6000'\n\
                    [vm.work.region]\npath = 'DIR/work.region'\nsize_mib = 1\n";
        std::fs::write(dir.join("hub.toml"), text.replace("DIR", dir.to_str().unwrap())).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_vitrail-hub"))
            .arg("--config")
            .arg(dir.join("hub.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.by_ref().any(|line| line.contains("the hub is ready")));
        thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
        Self(child)
    }
}

/// The GUI VM's VMM: answers calls to port 5000, and moves the bytes of each to the gate.
fn serve_gui_vm(gate: &Gate) {
    let vmm = UnixListener::bind(gate.path("gui")).unwrap();
    let target = gate.path("gate.sock");
    thread::spawn(move || {
        for host in vmm.incoming() {
            let mut host = host.unwrap();
            let mut request = [0; 13];
            host.read_exact(&mut request).unwrap();
            assert_eq!(&request, b"CONNECT 5000\n");
            // The gate may still be starting: to the host that is a port on which nobody listens.
            let Ok(vm) = UnixStream::connect(&target) else { continue };
            host.write_all(b"OK 1073741824\n").unwrap();
            for (mut from, mut to) in [(host.try_clone().unwrap(), vm.try_clone().unwrap()), (vm, host)] {
                thread::spawn(move || {
                    // A stream that breaks has ended.
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
}

#[test]
fn an_application_reaches_the_compositor_through_two_vmms() {
    let mut gate = Gate::start();
    serve_gui_vm(&gate);
    let _hub = Hub::start(&gate);
    let region = Region::open(&gate.path("work.region")).unwrap();
    let memory = region.try_clone_fd().unwrap();
    let stream = UnixStream::connect(gate.path("work_6000")).unwrap();
    let mut client = Client::with_region(stream.into(), region);
    client.start();
    let pool = client.pool(memory, 1 << 20);
    client.make(pool, 0, &[4096, 16, 16, 64, 0]);
    assert!(client.round_trip());
    assert_eq!(gate.report(|report| report.connections == 1).vm.as_str(), "work");
    // The end passes through all of them.
    drop(client);
    gate.report(|report| report.connections == 0);
}
