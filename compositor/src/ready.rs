//! Saying that programs can connect, to whoever started this one.
//!
//! One message, in the format of sd_notify(3): lines `NAME=VALUE`. It goes to the service manager, which listens at
//! `NOTIFY_SOCKET`, and to an inherited descriptor (`--ready-fd`), whose reader needs no socket and hears the end of the
//! process as the end of the file.

use std::fs::File;
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// The variable that says where the service manager listens: a path, or `@` and an abstract name.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// The line that says that the program is ready.
pub const READY: &str = "READY=1";
/// What the line with the name of the compositor's socket for local programs begins with.
pub const DISPLAY_PREFIX: &str = "X_VITRAIL_WAYLAND_DISPLAY=";
/// What the line with the path of the compositor's control socket begins with.
pub const IPC_PREFIX: &str = "X_VITRAIL_IPC=";
/// What the line begins with that says whether the session is locked: 1 or 0 follows.
pub const LOCKED_PREFIX: &str = "X_VITRAIL_LOCKED=";
/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 8192;

/// What the compositor says when it is ready: the name of its socket for local programs, and its control socket.
#[must_use]
pub fn compositor_message(display: &str, ipc: &Path) -> String {
    format!("STATUS=Serving {display}\n{DISPLAY_PREFIX}{display}\n{IPC_PREFIX}{}\n{READY}\n", ipc.display())
}

/// Says it to both: to `inherited` if there is such a descriptor, and to the service manager if there is one. That nobody listens
/// where the service manager should is logged: the program is ready nevertheless.
///
/// # Errors
///
/// If `inherited` cannot be written to.
pub fn announce(message: &str, inherited: Option<&File>) -> io::Result<()> {
    if let Some(mut inherited) = inherited {
        inherited.write_all(message.as_bytes())?;
    }
    if let Err(error) = notify(message) {
        tracing::warn!("error telling the service manager: {error}");
    }
    Ok(())
}

/// Tells the service manager a state, if there is one that wants to hear it.
///
/// # Errors
///
/// Nobody listens there.
pub fn notify(state: &str) -> io::Result<()> {
    let Some(name) = std::env::var_os(NOTIFY_SOCKET).filter(|name| !name.is_empty()) else { return Ok(()) };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

/// What a message of the compositor says, as far as it has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// The name of its socket for local programs.
    pub display: Option<String>,
    /// The path of its control socket.
    pub ipc: Option<String>,
    /// Whether programs can connect.
    pub ready: bool,
    /// Whether the session is locked, if it says so.
    pub locked: Option<bool>,
}

impl Announcement {
    /// Reads the whole lines of a message. Lines that are not known are left out, as sd_notify(3) has it.
    #[must_use]
    pub fn read(message: &str) -> Self {
        let mut read = Self::default();
        for line in message.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            if let Some(display) = line.strip_prefix(DISPLAY_PREFIX) {
                read.display = Some(display.to_owned());
            } else if let Some(ipc) = line.strip_prefix(IPC_PREFIX) {
                read.ipc = Some(ipc.to_owned());
            } else if let Some(locked) = line.strip_prefix(LOCKED_PREFIX) {
                read.locked = Some(locked != "0");
            } else if line == READY {
                read.ready = true;
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_compositor_says_is_understood_and_half_of_it_is_not_ready() {
        let message = compositor_message("wayland-1", Path::new("/run/a b.sock"));
        let read = Announcement::read(&message);
        assert_eq!(
            (read.display.as_deref(), read.ipc.as_deref()),
            (Some("wayland-1"), Some("/run/a b.sock"))
        );
        assert!(read.ready);
        for end in 0..message.len() {
            assert!(!Announcement::read(&message[..end]).ready);
        }
    }
}
