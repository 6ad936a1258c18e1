//! The command line of `vitrail-session`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::Parser;

/// What `--help` says behind the options.
pub const NOTES: &str = "\
Environment:
  XDG_CONFIG_HOME  Where vitrail/vitrail.toml is looked for; ~/.config if unset
  XDG_STATE_HOME   Where vitrail/layout.toml keeps the places of windows; ~/.local/state if unset
  NOTIFY_SOCKET    The service manager that is told when the session is ready and when it ends
  VITRAIL_LOG      What to log, for example `debug`; `info` if unset

Signals:
  SIGTERM, SIGINT, SIGHUP
                   End the session: its programs, then the compositor

Exit status:
  0 if the session was ended, or the compositor ended in order; 1 if the compositor cannot be
  started or has crashed too often; 2 if the command line is wrong.

Examples:
  vitrail-session                            the session, with the user's configuration or the system's
  vitrail-session --config FILE              with another one
  vitrail-session -- --backend headless      options behind -- are the compositor's";

/// Options of the compositor that the session gives it.
const RESERVED: [&str; 5] = ["--config", "--socket", "--layout", "--locked", "--ready-fd"];

/// Runs a desktop session of Vitrail: the compositor and the programs of its configuration.
///
/// Starts the compositor, waits until programs can connect to it, tells the user's systemd and session bus
/// where it is, and starts the programs that its configuration lists. Should the compositor
/// crash, it and the programs are started again, and windows come back to where they stood; if it crashes
/// too often, the session ends and says so. When the session ends, so does everything that it has started.
#[derive(Debug, Parser)]
#[command(name = "vitrail-session", version, max_term_width = 100, after_help = NOTES)]
pub struct Options {
    /// The configuration, for the compositor too [default: vitrail/vitrail.toml in XDG_CONFIG_HOME, then
    /// /etc/vitrail/vitrail.toml, then the built-in one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Name of the socket for local programs, in XDG_RUNTIME_DIR [default: the first free wayland-N]
    #[arg(long, value_name = "NAME")]
    pub socket: Option<String>,

    /// The compositor [default: vitrail beside this program, else in PATH]
    #[arg(long, value_name = "PROGRAM")]
    pub compositor: Option<PathBuf>,

    /// Options of the compositor
    #[arg(last = true, value_name = "OPTION")]
    pub arguments: Vec<OsString>,
}

impl Options {
    /// The first of the compositor's options that is the session's to give.
    #[must_use]
    pub fn misplaced(&self) -> Option<&'static str> {
        let is = |argument: &OsStr, option: &str| {
            let rest = argument.as_bytes().strip_prefix(option.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
        };
        let mut reserved = RESERVED.into_iter();
        reserved.find(|option| self.arguments.iter().any(|argument| is(argument, option)))
    }

    /// The configuration file; `None` where there is none.
    #[must_use]
    pub fn config_file(&self) -> Option<PathBuf> {
        let of_user = base("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("vitrail/vitrail.toml"));
        let usual = of_user.into_iter().chain([PathBuf::from("/etc/vitrail/vitrail.toml")]);
        self.config.clone().or_else(|| usual.into_iter().find(|path| path.exists()))
    }

    /// The compositor's program.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        let beside = || {
            let path = env::current_exe().ok()?.with_file_name("vitrail");
            path.is_file().then_some(path)
        };
        self.compositor.clone().or_else(beside).unwrap_or_else(|| PathBuf::from("vitrail"))
    }
}

/// Where the places of windows are kept; `None` where the user has no directory for it.
#[must_use]
pub fn layout_file() -> Option<PathBuf> {
    base("XDG_STATE_HOME", ".local/state").map(|dir| dir.join("vitrail/layout.toml"))
}

/// A directory of the XDG base directories: absolute, or else the one below the home directory.
fn base(variable: &str, below_home: &str) -> Option<PathBuf> {
    let given = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").filter(|home| Path::new(home).is_absolute());
    given.or_else(|| home().map(|home| Path::new(&home).join(below_home)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn misplaced(arguments: &[&str]) -> Option<&'static str> {
        Options::try_parse_from([&["vitrail-session", "--"], arguments].concat()).unwrap().misplaced()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn options_that_the_session_gives_the_compositor_are_its_own() {
        assert_eq!(misplaced(&["--config=x"]), Some("--config"));
        assert_eq!(misplaced(&["--size", "3x4", "--socket", "y"]), Some("--socket"));
        assert_eq!(misplaced(&["--size", "3x4", "--scale=2"]), None);
    }
}
