//! A process that the session started, with everything that it starts in its process group.
//!
//! A process that has ended is not reaped before its group is given up: until then the number of the group cannot come to mean
//! another one, so that what the process left behind can still be ended by it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open};

/// A process, running or ended, and its process group.
#[derive(Debug)]
pub struct Child {
    /// What it is called in the log.
    pub name: String,
    process: std::process::Child,
    pid: Pid,
    ended: bool,
}

impl Child {
    /// Starts a command in a process group of its own, with nothing on its standard input. `inherited` is the one descriptor
    /// beside the standard ones that it gets. It is sent SIGTERM should the session be killed.
    ///
    /// # Errors
    ///
    /// What the system says: there is no such program, for example.
    pub fn start(
        name: &str,
        command: &mut Command,
        inherited: Option<&OwnedFd>,
    ) -> io::Result<(Self, OwnedFd)> {
        let inherited: Option<RawFd> = inherited.map(AsRawFd::as_raw_fd);
        command.stdin(Stdio::null()).process_group(0);
        // SAFETY: between fork and exec the closure only makes system calls, which is all that is allowed there.
        // It captures a number, of a descriptor that the caller keeps open until after the fork.
        unsafe {
            command.pre_exec(move || prepare(inherited));
        }
        let mut process = command.spawn()?;
        let pid = Pid::from_child(&process);
        match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(pidfd) => Ok((Self { name: name.to_owned(), process, pid, ended: false }, pidfd)),
            Err(error) => {
                // Nobody would hear of its end.
                let _ = process.kill();
                let _ = process.wait();
                Err(error.into())
            }
        }
    }

    /// Its process id, which is also the number of its group.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Notes that it has ended, and says how. What it started may still run.
    pub fn note_end(&mut self) -> String {
        self.ended = true;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let status = rustix::process::waitid(WaitId::Pid(self.pid), options).ok().flatten();
        match status.map(|status| (status.exit_status(), status.terminating_signal())) {
            Some((Some(status), _)) => format!("exit status {status}"),
            Some((_, Some(signal))) => format!("signal {signal}"),
            _ => "unknown status".to_owned(),
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        if let Err(error) = rustix::process::kill_process(self.pid, signal) {
            tracing::debug!("error signalling {}: {error}", self.name);
        }
    }

    /// Sends a signal to the process and all in its group.
    pub fn signal_group(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.pid, signal) {
            tracing::debug!("error signalling the processes of {}: {error}", self.name);
        }
    }

    /// Kills what is left of the group, and says how the process ended.
    ///
    /// # Errors
    ///
    /// Somebody else has waited for it.
    pub fn finish(mut self) -> io::Result<ExitStatus> {
        self.signal_group(Signal::KILL);
        // A killed process ends; one that has ended does not block this.
        self.process.wait()
    }
}

/// In the child: the signals that the session reads from a descriptor are unblocked, and one descriptor passes through exec.
fn prepare(inherited: Option<RawFd>) -> io::Result<()> {
    let checked = |result| if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: the call takes numbers alone.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) })?;
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is memory of the right size, which the call fills.
    checked(unsafe { libc::sigemptyset(none.as_mut_ptr()) })?;
    // SAFETY: the set was filled above, and a null pointer for the old mask is allowed.
    checked(unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) })?;
    if let Some(fd) = inherited {
        // SAFETY: the call takes numbers alone. One that is no open descriptor is an error.
        checked(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })?;
    }
    Ok(())
}
