//! The command line of `wl-forward`.

use std::ffi::OsString;
use std::path::Path;

use clap::Parser;
use virtio_wl::Address;

use super::application::Application;

/// Connects the Wayland applications of this VM to the compositor in another one.
///
/// Applications connect to a socket in XDG_RUNTIME_DIR, just as they would to a compositor. Each connection
/// is forwarded to the hub, which knows which VM this is. Pixels are copied once, and only where they
/// changed, to the memory that this VM shares with the compositor; without such memory they are sent through
/// the connection.
///
/// With a command, wl-forward sets WAYLAND_DISPLAY for it, goes on serving applications until the command and
/// the last of them have ended, and exits with the command's status. Without one it serves until it is
/// terminated. Sockets handed over by systemd (LISTEN_FDS) take the place of --socket.
#[derive(Debug, Parser)]
#[command(
    name = "wl-forward",
    version,
    max_term_width = 100,
    after_help = "\
Environment:
  VITRAIL_HUB      The hub's address where --hub is not given
  VITRAIL_REGION   The shared memory where --region is not given
  VITRAIL_LOG      What to log, for example `debug` or `vitrail_proxy=trace`; `info` if unset
  XDG_RUNTIME_DIR  Where the applications' socket is made

Examples:
  wl-forward -- foot
  wl-forward --socket wayland-vitrail --region /dev/dax0.0
  wl-forward --hub vsock:2:6000 -- foot
  WAYLAND_DISPLAY=wayland-vitrail firefox"
)]
pub struct Options {
    /// Address of the hub: unix:PATH, vsock:2:PORT or fd:N [default: unix:$XDG_RUNTIME_DIR/vitrail-hub.sock]
    #[arg(long, value_name = "ADDRESS")]
    pub hub: Option<Address>,

    /// Name of the applications' socket in XDG_RUNTIME_DIR [default: the first free wayland-N]
    #[arg(long, value_name = "NAME", conflicts_with = "client")]
    pub socket: Option<String>,

    /// Memory shared with the compositor: a file or device, fd:N, `auto` for the one device that is a region, or
    /// `none` [default: like auto, but without one pixels are sent through the connection]
    #[arg(long, value_name = "PATH|fd:N|auto|none")]
    pub region: Option<String>,

    /// How many applications are served at a time; more wait until one ends
    #[arg(long, value_name = "NUMBER", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub max_connections: u32,

    /// Says which interfaces applications are offered here, or whether INTERFACE is and, if not, who withholds it
    #[arg(long, value_name = "INTERFACE", num_args = 0..=1)]
    #[arg(conflicts_with_all = ["client", "command", "socket", "trace"])]
    pub explain: Option<Option<String>>,

    /// Writes every message to standard error, of all applications or of those whose command is COMMAND
    #[arg(long, value_name = "COMMAND", num_args = 0..=1, require_equals = true)]
    pub trace: Option<Option<String>>,

    /// Serve just this connected application, and exit when it ends
    #[arg(long, value_name = "fd:N", requires = "upstream", conflicts_with = "command")]
    pub client: Option<Address>,

    /// The stream for the application of --client, instead of dialling the hub
    #[arg(long, value_name = "fd:N", requires = "client", conflicts_with = "hub")]
    pub upstream: Option<Address>,

    /// The command to run, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

impl Options {
    /// The name that the messages of this application are traced with, if they are.
    #[must_use]
    pub fn trace_of(&self, application: &Application) -> Option<String> {
        match &self.trace {
            Some(None) => Some(application.to_string()),
            Some(Some(command)) if application.is_command(command) => Some(application.to_string()),
            _ => None,
        }
    }
}

/// The hub's address where neither option nor environment name one.
#[must_use]
pub fn default_hub(runtime_dir: &Path) -> Address {
    Address::Unix(runtime_dir.join("vitrail-hub.sock"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn everything_behind_the_dashes_is_the_command() {
        let options = Options::parse_from(["wl-forward", "--socket", "s", "--", "foot", "--hub", "x"]);
        assert_eq!(options.command, ["foot", "--hub", "x"].map(OsString::from));
        assert_eq!(options.socket.as_deref(), Some("s"));
    }

    #[test]
    fn a_single_client_needs_its_stream_and_runs_no_command() {
        for words in [
            &["wl-forward", "--client", "fd:3"][..],
            &["wl-forward", "--upstream", "fd:3"],
            &["wl-forward", "--client", "fd:3", "--upstream", "fd:4", "--", "foot"],
            &["wl-forward", "--hub", "nonsense"],
            &["wl-forward", "--max-connections", "0"],
        ] {
            assert!(Options::try_parse_from(words).is_err(), "{words:?}");
        }
        assert!(Options::try_parse_from(["wl-forward", "--client", "fd:3", "--upstream", "fd:4"]).is_ok());
    }
}
