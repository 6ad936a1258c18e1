//! The virtio_wl driver and its VMM, played for a child process.
//!
//! A test that needs the device runs a second time, as a child process of itself ([`supervised`]). The thread of the child that
//! runs the test has a seccomp filter: what it asks of `/dev/wl0` and of VFDs comes to this process as notifications
//! ([`seccomp`]), which answers them as the driver would ([`device`]). All the code under test is the real code, with real
//! system calls. VFDs are real descriptors ([`vfd`]): memory is memory, and everything else is one end of a pair of sockets
//! whose readiness is driven from here, so that poll(2) and epoll(7) of them work. What real VFDs do not say, or cannot do,
//! these do not either: fstat(2) says nothing, `F_GETFL` says what the VMM has granted, and pread(2) fails.
//!
//! The host is the child too: the sockets that the VMM connects to are files in a directory of the test, on which the test
//! itself listens. A test may also ask for faults ([`child::Control`]).
//!
//! The facts about the driver are those of `drivers/virtio/virtio_wl.c` of the kernels of ChromiumOS, those about the VMM those of
//! crosvm's device `wl`.

// Each of the test programs that include this uses a part of it.
#![allow(dead_code)]

pub mod child;
mod device;
pub mod left_out;
mod seccomp;
mod vfd;

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use child::Control;

/// Longer than anything takes on a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The variable by which a child knows that it is one, and the descriptor that it was given.
const CHILD: &str = "VIRTIO_WL_DRIVER";

/// Names of the sockets of the host besides the default one.
pub const NAMED: &str = "named";

/// Runs `case` in a child process that has the device. `test` is the full name of the test that calls this.
///
/// # Panics
///
/// The case has failed, or took too long. What the child said is in the message.
pub fn supervised(test: &str, case: impl FnOnce(&Control)) {
    if let Some(control) = Control::of_environment() {
        if let Err(reason) = control.start() {
            return control.skip(&reason);
        }
        return case(&control);
    }
    if let Err(reason) = supervise(test) {
        left_out::left_out("the tests that need the virtio_wl device", &reason);
    }
}

/// A command that is no child of this kind, also if a child starts it.
pub fn unsupervised(command: &mut Command) -> &mut Command {
    command.env_remove(CHILD)
}

/// Starts the child and plays the driver until it ends.
fn supervise(test: &str) -> Result<(), String> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::empty(), None)
        .expect("socket pair");
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::CLOEXEC).expect("flags");
    let mut output = tempfile::tempfile().expect("temporary file");
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, child::announce(&theirs, directory.path()))
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("duplicated"))
        .stderr(output.try_clone().expect("duplicated"))
        .spawn()
        .expect("child");
    drop(theirs);
    let pid = rustix::process::Pid::from_child(&child);
    let process =
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("child descriptor");
    let deadline = Instant::now() + PATIENCE;
    let result = play(ours, (pid.as_raw_nonzero().get(), &process), directory.path(), deadline);
    if result.is_err() {
        // It may have ended.
        let _ = child.kill();
    }
    let status = child.wait().expect("the child's end");
    let said = said(&mut output);
    match result {
        Ok(Outcome::Skipped(reason)) => return Err(reason),
        Ok(Outcome::Ended) => {}
        Err(problem) => panic!("{problem}\n--- the child said:\n{said}"),
    }
    check_ran(test, status, &said);
    Ok(())
}

/// A child that found no test of that name would succeed as well.
fn check_ran(test: &str, status: ExitStatus, said: &str) {
    assert!(status.success(), "the child ended with {status}:\n{said}");
    assert!(said.contains("1 passed"), "the child did not run {test}:\n{said}");
}

fn said(output: &mut File) -> String {
    let mut text = Vec::new();
    output.rewind().expect("rewound");
    output.read_to_end(&mut text).expect("read");
    String::from_utf8_lossy(&text).into_owned()
}

/// How a child's part ended.
enum Outcome {
    Ended,
    Skipped(String),
}

fn play(
    control: OwnedFd,
    (pid, process): (i32, &OwnedFd),
    directory: &std::path::Path,
    deadline: Instant,
) -> Result<Outcome, String> {
    let mut bytes = [0; 1024];
    let mut fds = Vec::new();
    wait_for(&[control.as_fd(), process.as_fd()], deadline)?;
    // A child that has died has closed its end, which reads as nothing.
    let len = virtio_wl::unix::receive(&control, &mut bytes, &mut fds).unwrap_or(0);
    match (bytes.get(..len).unwrap_or_default(), fds.pop()) {
        (b"start", Some(listener)) => {
            let listener = seccomp::Listener::new(listener);
            device::Device::new(listener, control, (pid, process), directory).serve(deadline)?;
            Ok(Outcome::Ended)
        }
        ([], _) => Ok(Outcome::Ended),
        (reason, _) => Ok(Outcome::Skipped(String::from_utf8_lossy(reason).into_owned())),
    }
}

fn wait_for(fds: &[std::os::fd::BorrowedFd<'_>], deadline: Instant) -> Result<(), String> {
    let mut fds: Vec<_> = fds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    match poll(&mut fds, Some(&remaining(deadline))) {
        Ok(0) => Err("the child took too long".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("poll: {error}")),
    }
}

fn remaining(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    Timespec::try_from(left).expect("a minute at most")
}
