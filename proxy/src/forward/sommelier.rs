//! The command line of sommelier, for scripts and units that were written for it.
//!
//! [`ROWS`] says of every option and variable of sommelier what it comes to here: it is done, nothing has to be done for it
//! (which is logged), or the program ends and says what to write instead. Nothing that would change what the user gets is
//! passed over in silence. Options count more than variables, and those of wl-forward more than those of sommelier.
//!
//! The options are hidden from `--help`; `docs/wl-forward.md` lists them.

use clap::{Arg, ArgAction, ArgMatches, Command};
use virtio_wl::Address;

/// What an option or variable comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It means here what it means there.
    Done(Meaning),
    /// What it asks for is so anyway, or concerns nothing that is served here. The reason.
    Needless(&'static str),
    /// The program ends. What to write instead.
    Instead(&'static str),
}

/// What is done for an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Serve until terminated, on `wayland-0` where no name is given.
    Parent,
    /// Go on serving when the command has ended.
    KeepServing,
    /// Tell the service manager that applications can connect.
    Notify,
    /// Where to forward to, if it is an address. What to write where it is none.
    Hub(&'static str),
    /// Nothing, if it is 1. What to write where it is another number.
    ScaleOne(&'static str),
}

/// An option of sommelier and the variable that sets the same.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The option with its dashes; empty where there is a variable alone.
    pub option: &'static str,
    /// The option has a value.
    pub has_value: bool,
    /// The variable; empty where there is an option alone.
    pub variable: &'static str,
    /// What both come to.
    pub answer: Answer,
}

const X11_ONLY: Answer = Answer::Needless("it concerns X11 applications alone");
const X11: Answer = Answer::Instead(
    "X11 comes with its own program; write `wl-forward -- xwayland-satellite :1`, and run the application with DISPLAY=:1",
);
const TRANSPORT: Answer =
    Answer::Instead("write --hub ADDRESS, or set VITRAIL_HUB; in most VMs it is vsock:2:6000");
const GRAPHICS_DEVICE: Answer = Answer::Instead(
    "write --dmabuf=DEVICE where applications are to draw with a graphics device of this VM; otherwise leave it out",
);
const ONE_CLIENT: Answer =
    Answer::Instead("write --client fd:N --upstream fd:N to serve one connected application");
const COUNTERS: Answer = Answer::Instead("leave it out; the counters are logged on SIGUSR1");
const TRACING: Answer = Answer::Instead("write --trace or --trace=COMMAND; it goes to standard error");
const OWN_SCALE: Answer =
    Answer::Needless("applications are told the compositor's own scale, fractions included");
const OWN_KEYS: Answer = Answer::Needless("the compositor takes its own keys before any application");
const HUB_ADDRESS: &str = "that is no address of a hub; write --hub ADDRESS, or set VITRAIL_HUB, where ADDRESS is unix:PATH, \
                           vsock:2:PORT or fd:N";
const SCALE: &str =
    "leave it out; the compositor scales for all VMs (`vitrail --scale`), and applications follow it";

const fn flag(option: &'static str, variable: &'static str, answer: Answer) -> Row {
    Row { option, has_value: false, variable, answer }
}

const fn value(option: &'static str, variable: &'static str, answer: Answer) -> Row {
    Row { option, has_value: true, variable, answer }
}

/// All that sommelier takes, in this and earlier versions, but `--socket`, `--help` and `--version`, which wl-forward has too.
pub const ROWS: &[Row] = &[
    flag("--parent", "", Answer::Done(Meaning::Parent)),
    flag("--master", "", Answer::Done(Meaning::Parent)),
    flag("--no-exit-with-child", "", Answer::Done(Meaning::KeepServing)),
    value("--sd-notify", "", Answer::Done(Meaning::Notify)),
    value("--display", "SOMMELIER_DISPLAY", Answer::Done(Meaning::Hub(HUB_ADDRESS))),
    value("--scale", "SOMMELIER_SCALE", Answer::Done(Meaning::ScaleOne(SCALE))),
    value(
        "--dpi",
        "SOMMELIER_DPI",
        Answer::Instead("leave it out; the compositor says the size of its outputs, and their scale"),
    ),
    flag("--direct-scale", "", OWN_SCALE),
    flag("--stable-scaling", "", OWN_SCALE),
    flag("--viewport-resize", "", OWN_SCALE),
    value(
        "--vm-identifier",
        "SOMMELIER_VM_IDENTIFIER",
        Answer::Needless("the hub says which VM this is, and no program in it"),
    ),
    value(
        "--application-id",
        "",
        Answer::Instead("leave it out; give the application its own, for example `foot --app-id=ID`"),
    ),
    value("--accelerators", "SOMMELIER_ACCELERATORS", OWN_KEYS),
    value("--windowed-accelerators", "SOMMELIER_WINDOWED_ACCELERATORS", OWN_KEYS),
    flag("--virtgpu-channel", "", TRANSPORT),
    flag("--noop-driver", "", TRANSPORT),
    value("--virtwl-device", "SOMMELIER_VIRTWL_DEVICE", TRANSPORT),
    value("--drm-device", "SOMMELIER_DRM_DEVICE", GRAPHICS_DEVICE),
    value("--force-drm-device", "", GRAPHICS_DEVICE),
    flag("--enable-linux-dmabuf", "", GRAPHICS_DEVICE),
    value("--shm-driver", "SOMMELIER_SHM_DRIVER", Answer::Needless("--region chooses the memory for pixels")),
    value("--data-driver", "SOMMELIER_DATA_DRIVER", Answer::Needless("clipboards need no driver here")),
    flag(
        "--no-support-damage-buffer",
        "SOMMELIER_SUPPORT_DAMAGE_BUFFER",
        Answer::Needless("damage is understood in either form"),
    ),
    value("--client-fd", "", ONE_CLIENT),
    value("--peer-pid", "", ONE_CLIENT),
    value(
        "--peer-cmd-prefix",
        "SOMMELIER_PEER_CMD_PREFIX",
        Answer::Needless("applications are served by threads of this process, not by commands"),
    ),
    flag("--stats-summary", "", COUNTERS),
    flag("--stats-log", "", COUNTERS),
    value("--stats-timer", "", COUNTERS),
    value("--timing-filename", "", TRACING),
    value("--trace-filename", "", TRACING),
    flag("--trace-system", "", TRACING),
    value("--log-level", "", Answer::Instead("set VITRAIL_LOG, for example VITRAIL_LOG=debug")),
    flag("--print-enabled-features", "", Answer::Instead("write --explain")),
    flag("-X", "", X11),
    value("--x-display", "", X11),
    flag("--glamor", "SOMMELIER_GLAMOR", X11_ONLY),
    value("--xwayland-path", "SOMMELIER_XWAYLAND_PATH", X11_ONLY),
    value("--xwayland-gl-driver-path", "SOMMELIER_XWAYLAND_GL_DRIVER_PATH", X11_ONLY),
    value("--xwayland-cmd-prefix", "SOMMELIER_XWAYLAND_CMD_PREFIX", X11_ONLY),
    value("--x-auth", "SOMMELIER_XAUTH_PATH", X11_ONLY),
    value("--x-font-path", "SOMMELIER_XFONT_PATH", X11_ONLY),
    flag("--no-clipboard-manager", "SOMMELIER_CLIPBOARD_MANAGER", X11_ONLY),
    value("--frame-color", "SOMMELIER_FRAME_COLOR", X11_ONLY),
    value("--dark-frame-color", "SOMMELIER_DARK_FRAME_COLOR", X11_ONLY),
    value("--fullscreen-mode", "SOMMELIER_FULLSCREEN_MODE", X11_ONLY),
    value("--quirks-config", "SOMMELIER_QUIRKS_CONFIG", X11_ONLY),
    value("--application-id-x11-property", "", X11_ONLY),
    flag("--enable-xshape", "", X11_ONLY),
    flag("--enable-x11-move-windows", "", X11_ONLY),
    flag("--allow-xwayland-emulate-screen-pos-size", "", X11_ONLY),
    flag("--ignore-stateless-toplevel-configure", "", X11_ONLY),
    flag("--only-client-can-exit-fullscreen", "", X11_ONLY),
];

/// Why the program ends: what was written, and what to write instead. One line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{written}: {advice}")]
pub struct Refusal {
    /// The option or the variable.
    pub written: String,
    /// What to do about it.
    pub advice: String,
}

/// What the options and variables of sommelier ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Serve until terminated, whatever happens.
    pub is_parent: bool,
    /// Go on serving when the command has ended.
    pub keeps_serving: bool,
    /// What to tell the service manager once applications can connect, as of sd_notify(3).
    pub notify: Option<String>,
    /// Where to forward to.
    pub hub: Option<Address>,
    /// What was written in vain, and why: a line each.
    pub notes: Vec<String>,
}

impl Row {
    /// The name of the option without dashes.
    fn name(&self) -> &'static str {
        self.option.trim_start_matches('-')
    }

    /// The argument for the parser.
    fn argument(&self) -> Arg {
        let argument = match (self.option.starts_with("--"), self.name().chars().next()) {
            (false, Some(letter)) => Arg::new(self.option).short(letter),
            _ => Arg::new(self.option).long(self.name()),
        };
        let argument = argument.hide(true).overrides_with(self.option);
        if self.has_value {
            argument.action(ArgAction::Set).require_equals(true)
        } else {
            argument.action(ArgAction::SetTrue)
        }
    }
}

/// Adds the options of sommelier to a command line.
#[must_use]
pub fn with_options(command: Command) -> Command {
    command.args(ROWS.iter().filter(|row| !row.option.is_empty()).map(Row::argument))
}

impl Wishes {
    /// What was asked for: by options, which [`with_options`] has added, and by the variables.
    ///
    /// # Errors
    ///
    /// One of them has to be written differently.
    pub fn find(
        matches: &ArgMatches,
        variable: &dyn Fn(&str) -> Option<String>,
        hub_is_named: bool,
    ) -> Result<Self, Refusal> {
        let mut wishes = Self::default();
        for row in ROWS {
            if matches!(row.answer, Answer::Done(Meaning::Hub(_))) && hub_is_named {
                continue;
            }
            let (written, given) = if row.has_value {
                let given = matches.get_one::<String>(row.option).cloned();
                (given.as_ref().map(|value| format!("{}={value}", row.option)), given)
            } else {
                (matches.get_flag(row.option).then(|| row.option.to_owned()), None)
            };
            let (written, given) = match written {
                Some(written) => (written, given.unwrap_or_default()),
                None => match variable(row.variable).filter(|_| !row.variable.is_empty()) {
                    Some(value) => (format!("{}={value}", row.variable), value),
                    None => continue,
                },
            };
            wishes.add(row.answer, written, given)?;
        }
        Ok(wishes)
    }

    fn add(&mut self, answer: Answer, written: String, value: String) -> Result<(), Refusal> {
        let refuse = |written, advice: &str| Err(Refusal { written, advice: advice.to_owned() });
        match answer {
            Answer::Done(Meaning::Parent) => self.is_parent = true,
            Answer::Done(Meaning::KeepServing) => self.keeps_serving = true,
            Answer::Done(Meaning::Notify) => self.notify = Some(value),
            Answer::Done(Meaning::Hub(advice)) => match value.parse() {
                Ok(address) => self.hub = Some(address),
                Err(_) => return refuse(written, advice),
            },
            Answer::Done(Meaning::ScaleOne(advice)) => {
                // Exactly 1, however it is written.
                if value.parse::<f64>().ok() != Some(1.0) {
                    return refuse(written, advice);
                }
            }
            Answer::Needless(reason) => self.notes.push(format!("{written} changes nothing: {reason}")),
            Answer::Instead(advice) => return refuse(written, advice),
        }
        Ok(())
    }
}
