//! Starting programs of the GUI VM.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use calloop::generic::Generic;
use calloop::{Interest, Mode, PostAction};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::session::environment::REMOVED;
use crate::state::State;

impl State {
    /// Starts a program, whose windows are then local ones. It lives on when the compositor ends.
    pub fn run_program(&mut self, command: &[String]) {
        let Some((program, arguments)) = command.split_first() else { return };
        let child = match self.spawn(program, arguments) {
            Ok(child) => child,
            Err(error) => {
                tracing::warn!(program, "error starting a program: {error}");
                return;
            }
        };
        if let Err(error) = self.await_end(child) {
            tracing::warn!(program, "error watching a program: {error}");
        }
    }

    fn spawn(&self, program: &str, arguments: &[String]) -> io::Result<Child> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        // The desktop that this one is a window of, if it is, is not the program's, and neither is the service manager.
        command.env_remove("WAYLAND_DISPLAY");
        for name in REMOVED {
            command.env_remove(name);
        }
        if let Some(socket) = &self.comp.socket {
            command.env("WAYLAND_DISPLAY", socket);
        }
        // SAFETY: between fork and exec the closure only makes system calls, which is all that is allowed there, and captures
        // nothing.
        unsafe {
            command.pre_exec(as_its_own);
        }
        command.spawn()
    }

    /// Takes note of the end of a program, so that nothing is left of it.
    fn await_end(&self, mut child: Child) -> io::Result<()> {
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::NONBLOCK)?;
        let ended = Generic::new(pidfd, Interest::READ, Mode::Level);
        let inserted = self.comp.events.insert_source(ended, move |_, _, _| {
            // It has ended, so this does not block.
            let _ = child.wait();
            Ok(PostAction::Remove)
        });
        inserted.map(|_| ()).map_err(|error| io::Error::other(error.error))
    }
}

/// In the child: a session of its own, no signal held back, and no descriptor beside the standard ones.
fn as_its_own() -> io::Result<()> {
    let checked = |result| if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) };
    rustix::process::setsid()?;
    // SAFETY: an all-zero set is valid memory for sigemptyset to fill.
    let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: both calls are given a set that lives on this stack, and no other pointer.
    checked(unsafe { libc::sigemptyset(&raw mut none) })?;
    // SAFETY: as above.
    checked(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) })?;
    let close_on_exec = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: the call takes numbers alone, and with this flag it closes nothing here.
    checked(unsafe { libc::close_range(3, libc::c_uint::MAX, close_on_exec) })
}
