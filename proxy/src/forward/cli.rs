//! The command line of `wl-forward`.

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueHint};
use virtio_wl::Address;

use super::application::Application;
use super::sommelier::{self, Refusal, Wishes};

const WHERE_FROM: &str = "Where applications connect";
const WHERE_TO: &str = "Where they are forwarded to";
const INSIDE: &str = "Looking inside";
const SINGLE: &str = "Serving one application";

/// What `--help` says behind the options.
pub const NOTES: &str = "\
Environment:
  VITRAIL_HUB      The hub's address where --hub is not given
  VITRAIL_REGION   The shared memory where --region is not given
  VITRAIL_DMABUF   What --dmabuf would say where it is not given
  VITRAIL_LOG      What to log, for example `debug` or `vitrail_proxy=trace`; `info` if unset
  XDG_RUNTIME_DIR  Where the applications' socket is made

Signals:
  SIGUSR1          Logs what every connection has sent, copied and opened so far
  SIGTERM, SIGHUP, SIGINT
                   End the command, or the program where there is none

Exit status:
  That of the command; 1 if something failed; 2 if the command line is wrong.
  With --explain INTERFACE: 0 if it is offered, 1 if not, 2 if the hub cannot be asked.

Examples:
  wl-forward foot                            one application, and what it starts
  wl-forward --hub vsock:2:6000 foot --config=x
                                             options behind the command are the command's
  wl-forward --socket wayland-vitrail        a server for WAYLAND_DISPLAY=wayland-vitrail firefox
  wl-forward --trace=foot foot 2>foot.log    every message of foot, and of nothing else
  wl-forward --explain zwlr_layer_shell_v1   why an interface is not there

The options and variables of sommelier are understood too: each does here what it does there,
or the program says what to write instead.";

/// Shows the Wayland applications of this VM on the compositor of another one.
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
#[command(name = "wl-forward", version, max_term_width = 100, after_help = NOTES)]
pub struct Options {
    /// Name of the applications' socket in XDG_RUNTIME_DIR [default: the first free wayland-N]
    #[arg(long, value_name = "NAME", conflicts_with = "client", help_heading = WHERE_FROM)]
    pub socket: Option<String>,

    /// How many applications are served at a time; more wait until one ends
    #[arg(long, value_name = "NUMBER", default_value_t = 128, help_heading = WHERE_FROM)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub max_connections: u32,

    /// Address of the hub: unix:PATH, vsock:2:PORT or fd:N [default: unix:$XDG_RUNTIME_DIR/vitrail-hub.sock]
    #[arg(long, value_name = "ADDRESS", help_heading = WHERE_TO)]
    pub hub: Option<Address>,

    /// Memory shared with the compositor: a file or device, fd:N, `auto` for the one device that is a region, or
    /// `none` [default: like auto, but without one pixels are sent through the connection]
    #[arg(long, value_name = "PATH|fd:N|auto|none", help_heading = WHERE_TO, value_hint = ValueHint::FilePath)]
    pub region: Option<String>,

    /// Lets applications draw with a graphics device of this VM, by zwp_linux_dmabuf_v1: DEVICE is its render node, `auto`
    /// the first one of /dev/dri, `none` none [default: none; just --dmabuf is auto]
    #[arg(long, value_name = "DEVICE|auto|none", num_args = 0..=1, require_equals = true)]
    #[arg(help_heading = WHERE_TO, value_hint = ValueHint::FilePath)]
    pub dmabuf: Option<Option<String>>,

    /// Says which interfaces applications are offered here, or whether INTERFACE is and, if not, who withholds it
    #[arg(long, value_name = "INTERFACE", num_args = 0..=1, help_heading = INSIDE)]
    #[arg(conflicts_with_all = ["client", "command", "socket", "trace"])]
    pub explain: Option<Option<String>>,

    /// Writes every message to standard error, of all applications or of those whose command is COMMAND
    #[arg(long, value_name = "COMMAND", num_args = 0..=1, require_equals = true, help_heading = INSIDE)]
    #[arg(value_hint = ValueHint::CommandName)]
    pub trace: Option<Option<String>>,

    /// Serve just this connected application, and exit when it ends
    #[arg(long, value_name = "fd:N", requires = "upstream", conflicts_with = "command", help_heading = SINGLE)]
    pub client: Option<Address>,

    /// The stream for the application of --client, instead of dialling the hub
    #[arg(long, value_name = "fd:N", requires = "client", conflicts_with = "hub", help_heading = SINGLE)]
    pub upstream: Option<Address>,

    /// The command to run, with its arguments: everything from the first word that is no option, or behind --
    #[arg(value_name = "COMMAND", trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,

    /// What options and variables of sommelier ask for.
    #[arg(skip)]
    pub wishes: Wishes,
}

/// Why a command line is not followed.
#[derive(Debug, thiserror::Error)]
pub enum CommandLineError {
    /// It is wrong, or asks for help, which this holds.
    #[error(transparent)]
    Parse(#[from] clap::Error),
    /// It was written for sommelier and has to be written differently.
    #[error(transparent)]
    Sommelier(#[from] Refusal),
}

impl Options {
    /// Reads a command line, the program's name first, and the variables that belong to it.
    ///
    /// # Errors
    ///
    /// See [`CommandLineError`].
    pub fn read(
        words: impl IntoIterator<Item = OsString>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, CommandLineError> {
        let matches = sommelier::with_options(Self::command()).try_get_matches_from(words)?;
        let mut options = Self::from_arg_matches(&matches)?;
        let hub_is_named = options.hub.is_some() || options.upstream.is_some();
        // A variable of sommelier does not count where one of our own says the same.
        let has_own = |name: &str| name == "SOMMELIER_DISPLAY" && variable("VITRAIL_HUB").is_some();
        let variable = |name: &str| variable(name).filter(|_| !has_own(name));
        options.wishes = Wishes::find(&matches, &variable, hub_is_named)?;
        if options.wishes.is_parent {
            if !options.command.is_empty() {
                let advice =
                    "it serves until it is terminated and runs no command; leave out --parent or the command";
                let refusal = Refusal { written: "--parent".to_owned(), advice: advice.to_owned() };
                return Err(refusal.into());
            }
            options.socket.get_or_insert_with(|| "wayland-0".to_owned());
        }
        if let Some(hub) = options.wishes.hub.take() {
            options.hub.get_or_insert(hub);
        }
        Ok(options)
    }

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
    use super::*;

    fn read(words: &[&str]) -> Result<Options, CommandLineError> {
        Options::read(words.iter().map(OsString::from), &|_| None)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        sommelier::with_options(Options::command()).debug_assert();
    }

    #[test]
    fn everything_behind_the_dashes_is_the_command() {
        let options = read(&["wl-forward", "--socket", "s", "--", "foot", "--hub", "x"]).unwrap();
        assert_eq!(options.command, ["foot", "--hub", "x"].map(OsString::from));
        assert_eq!(options.socket.as_deref(), Some("s"));
    }

    #[test]
    fn everything_from_the_first_word_is_the_command() {
        let options =
            read(&["wl-forward", "--socket=s", "foot", "--config=x", "-X", "--", "--help"]).unwrap();
        assert_eq!(options.command, ["foot", "--config=x", "-X", "--", "--help"].map(OsString::from));
        assert_eq!(options.socket.as_deref(), Some("s"));
    }

    #[test]
    fn an_unknown_option_is_not_taken_for_the_command() {
        assert!(read(&["wl-forward", "--sockte=s", "foot"]).is_err());
    }

    #[test]
    fn the_name_of_a_traced_command_is_not_mistaken_for_the_command() {
        let options = read(&["wl-forward", "--trace", "foot"]).unwrap();
        assert_eq!((options.trace, options.command), (Some(None), vec!["foot".into()]));
        let options = read(&["wl-forward", "--trace=foot", "weston-terminal"]).unwrap();
        assert_eq!(options.trace, Some(Some("foot".into())));
    }

    #[test]
    fn a_graphics_device_is_used_only_where_that_is_said_and_is_not_mistaken_for_the_command() {
        assert_eq!(read(&["wl-forward", "foot"]).unwrap().dmabuf, None);
        let options = read(&["wl-forward", "--dmabuf", "foot"]).unwrap();
        assert_eq!((options.dmabuf, options.command), (Some(None), vec!["foot".into()]));
        let options = read(&["wl-forward", "--dmabuf=/dev/dri/renderD129", "foot"]).unwrap();
        assert_eq!(options.dmabuf, Some(Some("/dev/dri/renderD129".to_owned())));
    }

    #[test]
    fn help_is_in_groups_and_silent_about_other_programs_options() {
        let help = Options::command().render_long_help().to_string();
        for group in [WHERE_FROM, WHERE_TO, INSIDE, SINGLE, "Environment:", "Examples:"] {
            assert!(help.contains(group), "{group}");
        }
        let all = sommelier::with_options(Options::command()).render_long_help().to_string();
        assert_eq!(all, help);
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
            assert!(read(words).is_err(), "{words:?}");
        }
        assert!(read(&["wl-forward", "--client", "fd:3", "--upstream", "fd:4"]).is_ok());
    }
}
