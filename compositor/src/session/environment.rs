//! What programs of the session find in their environment, and who else is told of it.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// The name of the desktop, by which portals and desktop files know it.
pub const DESKTOP: &str = "vitrail";

/// The unit that stands for the running session, in the user's systemd.
pub const TARGET: &str = "vitrail-session.target";

/// The variables that are the same for every session of Vitrail.
pub const FIXED: [(&str, &str); 3] =
    [("XDG_CURRENT_DESKTOP", DESKTOP), ("XDG_SESSION_DESKTOP", DESKTOP), ("XDG_SESSION_TYPE", "wayland")];

/// All variables that are exported.
pub const EXPORTED: [&str; 5] =
    ["WAYLAND_DISPLAY", "VITRAIL_IPC", "XDG_CURRENT_DESKTOP", "XDG_SESSION_DESKTOP", "XDG_SESSION_TYPE"];

/// Variables by which a program would reach another display than the session's, or answer for the session itself.
pub const REMOVED: [&str; 5] =
    ["DISPLAY", "WAYLAND_SOCKET", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Where the compositor of the session is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Display {
    /// The name of its socket for local programs.
    pub name: String,
    /// The path of its control socket.
    pub ipc: String,
}

impl Display {
    /// Gives a command the environment of the session's programs.
    pub fn give_to(&self, command: &mut Command) {
        for name in REMOVED {
            command.env_remove(name);
        }
        command.envs(FIXED).env("WAYLAND_DISPLAY", &self.name).env("VITRAIL_IPC", &self.ipc);
    }
}

/// Gives the compositor its environment: the session's, and the display that it may itself be a window of.
pub fn give_to_compositor(command: &mut Command) {
    // The service manager knows one process that may speak to it, the session's.
    for name in REMOVED.into_iter().filter(|name| !matches!(*name, "DISPLAY" | "WAYLAND_SOCKET")) {
        command.env_remove(name);
    }
    command.envs(FIXED);
}

/// Who is told of the session's variables beside its programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// The user's systemd runs.
    pub systemd: bool,
    /// There is a session bus, and the program that tells it.
    pub bus: bool,
}

impl Listeners {
    /// Those that are there. None if this is a window of another session, whose variables must stay.
    #[must_use]
    pub fn find() -> Self {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        if set("WAYLAND_DISPLAY").is_some() || set("DISPLAY").is_some() {
            return Self::default();
        }
        let runtime = set("XDG_RUNTIME_DIR");
        let exists = |name: &str| runtime.as_ref().is_some_and(|dir| Path::new(dir).join(name).exists());
        let has_bus = set("DBUS_SESSION_BUS_ADDRESS").is_some() || exists("bus");
        Self {
            systemd: exists("systemd/private") && is_installed("systemctl"),
            bus: has_bus && is_installed("dbus-update-activation-environment"),
        }
    }

    /// The commands that tell them, in order.
    #[must_use]
    pub fn begin(self) -> Vec<Vec<&'static str>> {
        let mut commands = Vec::new();
        if self.bus {
            let systemd = if self.systemd { &["--systemd"][..] } else { &[] };
            commands.push(words(&["dbus-update-activation-environment"], &[systemd, &EXPORTED].concat()));
        } else if self.systemd {
            commands.push(words(&["systemctl", "--user", "import-environment"], &EXPORTED));
        }
        if self.systemd {
            // Without waiting: what belongs to the session may itself wait for it to be ready.
            commands.push(words(&["systemctl", "--user", "--no-block", "start"], &[TARGET]));
        }
        commands
    }

    /// The commands that take it back. The bus cannot forget a variable; the next session sets it anew.
    #[must_use]
    pub fn end(self) -> Vec<Vec<&'static str>> {
        if !self.systemd {
            return Vec::new();
        }
        vec![
            words(&["systemctl", "--user", "--no-block", "stop"], &[TARGET]),
            words(&["systemctl", "--user", "unset-environment"], &EXPORTED),
        ]
    }
}

fn words(command: &[&'static str], arguments: &[&'static str]) -> Vec<&'static str> {
    [command, arguments].concat()
}

/// Whether a program is in one of the directories of PATH.
fn is_installed(name: &str) -> bool {
    let path: OsString = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_that_is_set_is_exported_once() {
        let mut set: Vec<&str> =
            FIXED.iter().map(|(name, _)| *name).chain(["WAYLAND_DISPLAY", "VITRAIL_IPC"]).collect();
        let mut exported = EXPORTED.to_vec();
        set.sort_unstable();
        exported.sort_unstable();
        assert_eq!(set, exported);
    }

    #[test]
    fn the_bus_tells_systemd_where_there_are_both() {
        let both = Listeners { systemd: true, bus: true }.begin();
        assert_eq!(both[0][..2], ["dbus-update-activation-environment", "--systemd"]);
        assert_eq!(both.len(), 2);
        let bus = Listeners { systemd: false, bus: true };
        assert_eq!(bus.begin()[0][..2], ["dbus-update-activation-environment", "WAYLAND_DISPLAY"]);
        assert!(bus.end().is_empty());
        let systemd = Listeners { systemd: true, bus: false }.begin();
        assert_eq!(systemd[0][..3], ["systemctl", "--user", "import-environment"]);
        assert!(Listeners::default().begin().is_empty());
    }
}
