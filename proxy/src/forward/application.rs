//! Who is at the other end of an application's socket: for people who read a trace or the counters, and for nothing else.

use std::fmt;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

use virtio_wl::Peer;

/// The longest name that the kernel keeps of a command, in bytes; from proc_pid_comm(5).
const MAX_COMMAND: usize = 15;

/// The application that has connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// None where it cannot be seen from this PID namespace.
    pid: Option<i32>,
    /// What the kernel calls the command; empty if it is not known.
    command: String,
}

impl Application {
    /// The process that has made the other end of `socket`.
    #[must_use]
    pub fn of(socket: impl AsFd) -> Self {
        let pid = pid_of(socket.as_fd());
        let command = pid.and_then(|pid| fs::read(format!("/proc/{pid}/comm")).ok()).unwrap_or_default();
        Self { pid, command: String::from_utf8_lossy(&command).trim_end_matches('\n').to_owned() }
    }

    /// Whether the command has this name, as far as the kernel keeps it.
    #[must_use]
    pub fn is_command(&self, name: &str) -> bool {
        let end = (0..=name.len().min(MAX_COMMAND)).rev().find(|end| name.is_char_boundary(*end));
        !name.is_empty() && name.get(..end.unwrap_or(0)) == Some(&self.command)
    }
}

impl fmt::Display for Application {
    /// `foot[1234]`, in which nothing controls a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = if self.command.is_empty() { "?" } else { &self.command };
        match self.pid {
            Some(pid) => write!(f, "{}[{pid}]", command.escape_debug()),
            None => write!(f, "{}", command.escape_debug()),
        }
    }
}

/// The process that called connect(2) or socketpair(2).
fn pid_of(socket: BorrowedFd<'_>) -> Option<i32> {
    match Peer::of(socket) {
        Ok(Peer::Unix { pid, .. }) => pid,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_process_at_the_other_end_is_named() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Application::of(&one);
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(peer.pid, i32::try_from(std::process::id()).ok());
        assert!(peer.is_command(own.trim_end()) && !peer.is_command("sh"), "{peer}");
        assert_eq!(peer.to_string(), format!("{}[{}]", own.trim_end(), std::process::id()));
    }

    #[test]
    fn a_longer_name_is_compared_as_far_as_the_kernel_keeps_it() {
        let peer = Application { pid: Some(7), command: "gnome-text-edit".into() };
        assert!(peer.is_command("gnome-text-editor") && !peer.is_command("gnome-text"));
        assert!(!Application::default().is_command(""));
    }

    #[test]
    fn a_name_cannot_control_a_terminal() {
        let peer = Application { pid: None, command: "a\u{1b}[31m".into() };
        assert_eq!(peer.to_string(), "a\\u{1b}[31m");
    }
}
