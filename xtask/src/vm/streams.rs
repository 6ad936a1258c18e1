//! `cargo xtask vm streams`: the tests of virtio-wl that need the vsock of a guest.
//!
//! The test programs are the ordinary ones of this build. They run in one guest and are at both ends of every
//! connection: what the guest calls on the host's port 6000 + N, the host brings back to the guest's port 5000 + N. So
//! each stream goes through the guest's kernel, the virtio queues and the VMM's Unix sockets twice, and both directions
//! of connecting are used, on the host by `vsock-uds:` addresses.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use virtio_wl::listener::AcceptError;
use virtio_wl::{Address, Listener};

use super::guest::Machine;
use super::initramfs::Initramfs;
use super::packages::Packages;
use super::suites::{ran_everything, test_program};
use super::vsock::Backend;
use super::{CID, MEMORY_MIB, Session};

const MODULES: &[&str] = &["vsock", "vmw_vsock_virtio_transport", "vsock_loopback"];
/// The test programs, each with what starts the tests that are for a guest.
const SUITES: &[(&str, &str)] = &[
    ("vsock", "VIRTIO_WL_VSOCK_GUEST=1 vsock --nocapture"),
    (
        "conformance",
        "VIRTIO_WL_CONFORMANCE_VSOCK='listen=vsock:any:5000 connect=vsock:2:6000' conformance vsock::",
    ),
];
/// Ports that come back: 6000 + N to 5000 + N for N below this.
const PORTS: u32 = 8;
const SUITE_DEADLINE: Duration = Duration::from_secs(600);

/// Boots a guest and runs the tests in it.
///
/// # Errors
/// When something cannot be built or booted, or a test fails.
pub fn run(packages: &Packages, out: Option<&Path>) -> Result<()> {
    let mut initramfs = Initramfs::new(packages, MODULES)?;
    for (name, _) in SUITES {
        initramfs.program(&format!("bin/{name}"), &test_program(name)?)?;
    }
    let session = Session::new(out, "streams")?;
    session.run(|processes| {
        let image = session.folder.join("initramfs");
        initramfs.write(&image)?;
        let backend = Backend::start(processes, "guest", CID, &session.folder, &session.logs)?;
        for n in 0..PORTS {
            bring_back(&backend.uds, 6000 + n, 5000 + n)?;
        }
        let mut machine = Machine::new("guest", MEMORY_MIB);
        machine.vsock(&backend.socket);
        let mut guest = machine.start(packages, &image, processes, &session.folder, &session.logs)?;
        guest.wait(processes)?;
        let mut failed = Vec::new();
        for (name, command) in SUITES {
            eprintln!("==> {name}, in the guest");
            let outcome = guest.run(command, SUITE_DEADLINE)?;
            if outcome.status != 0 || !ran_everything(&outcome.text) {
                failed.push(*name);
            }
        }
        if !failed.is_empty() {
            bail!("failed in the guest: {}", failed.join(", "));
        }
        Ok(())
    })
}

/// Joins every call of the guest to the host's port `from` with a call of the host to the guest's port `to`, until the
/// process ends.
fn bring_back(uds: &Path, from: u32, to: u32) -> Result<()> {
    let listener = Address::VsockUds { path: uds.to_owned(), port: from }.listen()?;
    let target = Address::VsockUds { path: uds.to_owned(), port: to };
    thread::spawn(move || {
        if let Err(error) = serve(&listener, &target) {
            eprintln!("error: nobody brings calls to {from} back any more: {error:#}");
        }
    });
    Ok(())
}

fn serve(listener: &Listener, target: &Address) -> Result<()> {
    loop {
        poll(&mut [PollFd::new(listener, PollFlags::IN)], None).context("error waiting for a call")?;
        let caller = match listener.accept() {
            Ok(accepted) => UnixStream::from(accepted.stream),
            Err(AcceptError::WouldBlock) => continue,
            Err(error) => return Err(error).context("error accepting a call"),
        };
        caller.set_nonblocking(false).context("error setting up a call")?;
        match target.connect().map(UnixStream::from) {
            Ok(callee) => join(&caller, &callee)?,
            // Dropping the call tells the caller.
            Err(error) => eprintln!("    a call does not come back: {error}"),
        }
    }
}

/// Copies both ways until both ends are done. An end that is gone takes the other with it.
fn join(caller: &UnixStream, callee: &UnixStream) -> Result<()> {
    for (from, to) in [(caller, callee), (callee, caller)] {
        let mut from = from.try_clone().context("error duplicating a stream")?;
        let mut to = to.try_clone().context("error duplicating a stream")?;
        thread::spawn(move || {
            let mut buffer = [0; 16 << 10];
            while let Ok(len @ 1..) = from.read(&mut buffer) {
                if buffer.get(..len).is_none_or(|bytes| to.write_all(bytes).is_err()) {
                    let _ = from.shutdown(Shutdown::Both);
                    break;
                }
            }
            // What is gone already needs no end.
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}
