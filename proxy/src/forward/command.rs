//! The command that `wl-forward` runs: its environment, its end and its exit status.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::{notify, signals};

/// Variables that would lead the command, or what it starts, past the socket that is served here, or that were meant for this
/// process alone.
const UNSET: [&str; 6] =
    ["WAYLAND_SOCKET", "DISPLAY", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", notify::VARIABLE];

/// Why the command does not run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It cannot be started.
    #[error("cannot run `{}`: {source}", program.display())]
    Spawn {
        /// The program.
        program: OsString,
        /// What the kernel said.
        source: io::Error,
    },
    /// Its end cannot be noticed.
    #[error("cannot watch the command: {0}")]
    Watch(#[source] io::Error),
}

/// The running command.
#[derive(Debug)]
pub struct RunningCommand {
    child: Child,
    pid: Pid,
    ended: OwnedFd,
}

impl RunningCommand {
    /// Runs `words`, program and arguments, with WAYLAND_DISPLAY set to `display`.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub fn spawn(words: &[OsString], display: &OsStr) -> Result<Self, CommandError> {
        let (program, arguments) = words.split_first().ok_or_else(|| CommandError::Spawn {
            program: OsString::new(),
            source: io::ErrorKind::InvalidInput.into(),
        })?;
        let mut command = Command::new(program);
        command.args(arguments).env("WAYLAND_DISPLAY", display);
        for name in UNSET {
            command.env_remove(name);
        }
        // SAFETY: the closure runs between fork and exec, where only async-signal-safe functions may be
        // called; it calls nothing else.
        unsafe { command.pre_exec(signals::unblock) };
        let child =
            command.spawn().map_err(|source| CommandError::Spawn { program: program.clone(), source })?;
        let pid = Pid::from_child(&child);
        let ended =
            pidfd_open(pid, PidfdFlags::empty()).map_err(|error| CommandError::Watch(error.into()))?;
        Ok(Self { child, pid, ended })
    }

    /// The command's exit status if it has ended. After that it must not be asked again.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub fn status(&mut self) -> Result<Option<u8>, CommandError> {
        self.child.try_wait().map(|status| status.map(exit_code)).map_err(CommandError::Watch)
    }

    /// Sends the command a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }
}

impl AsFd for RunningCommand {
    /// Readable when the command has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }
}

/// As shells do: the status, or 128 plus the number of the signal that killed the command.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| signal.saturating_add(128)));
    code.and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn run(script: &str) -> u8 {
        let words = ["sh", "-c", script].map(OsString::from);
        let mut command = RunningCommand::spawn(&words, OsStr::new("wayland-7")).unwrap();
        let mut fds = [PollFd::from_borrowed_fd(command.ended.as_fd(), PollFlags::IN)];
        let deadline = rustix::time::Timespec { tv_sec: 20, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&deadline)).unwrap(), 1);
        command.status().unwrap().unwrap()
    }

    #[test]
    fn the_status_is_that_of_the_command() {
        assert_eq!(run("exit 0"), 0);
        assert_eq!(run("exit 23"), 23);
        assert_eq!(run("kill -TERM $$"), 128 + 15);
    }

    #[test]
    fn the_command_finds_this_display_and_no_other() {
        assert_eq!(run(r#"test "$WAYLAND_DISPLAY" = wayland-7 && test -z "$DISPLAY$WAYLAND_SOCKET""#), 0);
    }

    #[test]
    fn signals_that_are_taken_here_reach_the_command() {
        let _signals = signals::Signals::take(&signals::ENDING).unwrap();
        assert_eq!(run("kill -TERM $$; exit 0"), 128 + 15);
    }

    #[test]
    fn a_command_that_does_not_exist_is_named() {
        let error = RunningCommand::spawn(&["/no/such/program".into()], OsStr::new("w")).unwrap_err();
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }
}
