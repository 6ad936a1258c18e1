//! `vitrailctl`: the operator's command line. Everything but `check` asks a running compositor.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use serde_json::Value;
use vitrail::config::{Config, lint};
use vitrail::ipc::client::{Client, ClientError, default_path};
use vitrail::ipc::clipboard::{ClipboardReport, PairReport};
use vitrail::ipc::outputs::{self, OutputReport, VirtualOutput};
use vitrail::ipc::protocol::{MAX_EVENTS, Request, Status, VmReport, WhyReport, WindowInfo, WindowList};
use vitrail::ipc::table;
use vitrail::trust::panel::Operation;

#[path = "vitrailctl/input.rs"]
mod input;
#[path = "vitrailctl/watch.rs"]
mod watch;

/// Look into a running Vitrail compositor, and check its configuration.
#[derive(Debug, Parser)]
#[command(name = "vitrailctl", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Arguments {
    /// The compositor's control socket; by default the one of `vitrail --socket NAME`, which is
    /// $XDG_RUNTIME_DIR/vitrail-NAME.sock with NAME from WAYLAND_DISPLAY
    #[arg(long, value_name = "PATH", env = "VITRAIL_IPC", global = true)]
    ipc: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  vitrailctl windows                     which window is from which VM
  vitrailctl vms                         what each VM uses of what it may
  vitrailctl pause work                  keep keys and pointer from that VM until `vitrailctl resume work`
  vitrailctl why work wp_viewporter      whether that VM sees that protocol, and which rule decided
  vitrailctl clipboard work web          whether what is copied in one VM may be pasted in the other
  vitrailctl check vitrail.toml          find mistakes before a reload does
  vitrailctl watch --waybar              the VMs as a module of a bar, event by event
  vitrailctl screenshot screen.png";

#[derive(Debug, Subcommand)]
enum Command {
    /// List the windows, the front-most first; `>` marks the one with the keyboard, `!` those that ask for attention
    Windows {
        /// Print a list of {vm, label, color, app_id, title, tag, description, icon, modal, urgent, output, frame, content, z,
        /// focused, settled}, the lowest first
        #[arg(long)]
        json: bool,
    },
    /// List the VMs with what they use of what they may, and their gate workers with what has passed through them
    Vms {
        /// Print a list of {vm, label, color, pattern, restraints, limits, usage, worker}
        #[arg(long)]
        json: bool,
    },
    /// Take all windows of a VM off the screen, those that it still opens among them; its programs go on
    Hide(OneVm),
    /// Show the windows of a VM again
    Show(OneVm),
    /// Give a VM no more input: no key, nothing of the pointer, of fingers or of the pen. Its windows are still drawn
    Pause(OneVm),
    /// Give a VM input again
    Resume(OneVm),
    /// End all connections of a VM, which ends its programs, and let it have no new ones
    Disconnect(OneVm),
    /// Let a VM that was disconnected connect again
    Admit(OneVm),
    /// Say whether a VM sees a global of an interface, in which version, and which rule decided: the class of the interface and
    /// its reason, a key of the configuration, or that the compositor does not offer it. This is about new connections
    Why {
        /// The VM; `local` for programs of the GUI VM itself
        vm: String,
        /// The interface, such as wp_viewporter; docs/protocols.md lists those that are known
        interface: String,
        /// Print {vm, interface, visible, version, decided_by, key, version_from, version_key, class, reason, known, offered,
        /// config}
        #[arg(long)]
        json: bool,
    },
    /// Say what is in the clipboard between VMs, and what went through it, without the content; or what may be pasted from one VM
    /// into another, and which rule says so
    Clipboard {
        /// The VM that the content is from; `local` for programs of the GUI VM
        #[arg(requires = "to")]
        from: Option<String>,
        /// The VM that it goes to
        to: Option<String>,
        /// Print {content, given, events}; with two VMs {from, to, action, rule, about, max_bytes, types, ttl, wipe, config}
        #[arg(long)]
        json: bool,
    },
    /// Say how the compositor is: its output, its configuration, who has the keyboard
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the outputs, how they are set up and where they stand, and their workspaces
    Outputs {
        /// Print a list of {name, make, model, serial, connected, enabled, powered, active, mode, modes, scale, transform,
        /// position, size, gamma, workspaces}
        #[arg(long)]
        json: bool,
    },
    /// Plug an output in, or change its size (headless compositors only)
    Plug {
        /// Its name
        name: String,
        /// WIDTHxHEIGHT or WIDTHxHEIGHT@SCALE
        output: VirtualOutput,
    },
    /// Plug an output out; its windows go to another one until it is plugged in again (headless compositors only)
    Unplug {
        /// Its name
        name: String,
    },
    /// Write what is on the screen to a PNG file
    Screenshot {
        /// Which output, by its name; by default the one where you are
        #[arg(long, value_name = "NAME")]
        output: Option<String>,
        /// The file; it is replaced if it exists
        file: PathBuf,
    },
    /// Read the configuration again; if it has a mistake, the one in force stays
    Reload,
    /// Check a configuration file: show the first mistake, or else warn of colours that are hard to tell apart; needs no
    /// compositor
    Check {
        /// The file
        file: PathBuf,
    },
    /// Wait until there are windows
    Wait {
        /// How many, at least
        #[arg(long, value_name = "COUNT")]
        windows: usize,
        /// How long, in seconds; exits with 1 if there are too few by then
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        timeout: u64,
    },
    /// Print a line of JSON with the VMs and their windows, and one more whenever something of them changes, at most one a
    /// frame: a list of {vm, label, color, pattern, clients, keyboard, urgent,
    /// restraints, windows}
    Watch {
        /// Print {text, alt, tooltip, class} instead, for a custom module of waybar with "return-type": "json"
        #[arg(long)]
        waybar: bool,
    },
    /// Move the pointer, click, type, touch and draw (headless compositors, and those started with --control-input)
    Input {
        /// The output that places are on, by its name; by default the first one
        #[arg(long, value_name = "NAME")]
        output: Option<String>,
        /// What to do
        #[command(subcommand)]
        input: input::Input,
    },
}

#[derive(Debug, Args)]
struct OneVm {
    /// The VM, by its name in the configuration; `local`, programs of the GUI VM itself, can be hidden
    vm: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("vitrailctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let connect = || connect(arguments.ipc.as_deref());
    match &arguments.command {
        Command::Check { file } => check(file),
        Command::Windows { json } => windows(&mut connect()?, *json),
        Command::Vms { json } => vms(&mut connect()?, *json),
        Command::Hide(one) => restrain(&mut connect()?, one, Operation::Hide, true),
        Command::Show(one) => restrain(&mut connect()?, one, Operation::Hide, false),
        Command::Pause(one) => restrain(&mut connect()?, one, Operation::Pause, true),
        Command::Resume(one) => restrain(&mut connect()?, one, Operation::Pause, false),
        Command::Disconnect(one) => restrain(&mut connect()?, one, Operation::Disconnect, true),
        Command::Admit(one) => restrain(&mut connect()?, one, Operation::Disconnect, false),
        Command::Why { vm, interface, json } => {
            let request = Request::Why { vm: vm.clone(), interface: interface.clone() };
            let report: WhyReport = connect()?.request(&request)?;
            print(&if *json { pretty(&report)? } else { report.text() })
        }
        Command::Clipboard { from: Some(from), to: Some(to), json } => {
            let request = Request::ClipboardPair { from: from.clone(), to: to.clone() };
            let report: PairReport = connect()?.request(&request)?;
            print(&if *json { pretty(&report)? } else { report.text() })
        }
        Command::Clipboard { json, .. } => {
            let report: ClipboardReport = connect()?.request(&Request::Clipboard {})?;
            print(&if *json { pretty(&report)? } else { report.text() })
        }
        Command::Status { json } => {
            let status: Status = connect()?.request(&Request::Status {})?;
            print(&if *json { pretty(&status)? } else { table::status(&status) })
        }
        Command::Outputs { json } => {
            let outputs: Vec<OutputReport> = connect()?.request(&Request::Outputs {})?;
            print(&if *json { pretty(&outputs)? } else { outputs::text(&outputs) })
        }
        Command::Plug { name, output: VirtualOutput { size, scale } } => {
            let request = Request::PlugOutput { name: name.clone(), size: *size, scale: *scale };
            connect()?.request::<Value>(&request)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Unplug { name } => {
            connect()?.request::<Value>(&Request::UnplugOutput { name: name.clone() })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Screenshot { file, output } => screenshot(&mut connect()?, file, output.as_deref()),
        Command::Reload => reload(&mut connect()?),
        Command::Wait { windows, timeout } => wait(&mut connect()?, *windows, Duration::from_secs(*timeout)),
        Command::Watch { waybar } => {
            watch::run(&mut connect()?, if *waybar { watch::Form::Waybar } else { watch::Form::Vms })
        }
        Command::Input { input, output } => {
            // The words are checked first: a mistake in them needs no compositor to be found.
            let events = input.events(|text| input::spell(&mut connect()?, text))?;
            let mut client = connect()?;
            for events in events.chunks(MAX_EVENTS) {
                let request = Request::Input { events: events.to_vec(), output: output.clone() };
                client.request::<Value>(&request)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn connect(path: Option<&Path>) -> Result<Client> {
    let by_display = || {
        let display = std::env::var("WAYLAND_DISPLAY").ok().filter(|name| !name.is_empty());
        default_path(display.as_deref().unwrap_or("wayland-0"))
    };
    let Some(path) = path.map(Path::to_owned).or_else(by_display) else {
        bail!("where is the compositor's control socket? Say it with --ipc PATH or VITRAIL_IPC");
    };
    Ok(Client::connect(&path)?)
}

/// Prints a text that ends with a line feed. A reader that has seen enough is no error.
fn print(text: &str) -> Result<ExitCode> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        result => result.context("error writing the answer")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn pretty<T: serde::Serialize>(value: &T) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value).context("error writing JSON")?;
    text.push('\n');
    Ok(text)
}

fn check(file: &Path) -> Result<ExitCode> {
    match Config::load(file) {
        Ok(config) => {
            let vms = config.vms.len();
            let plural = if vms == 1 { "" } else { "s" };
            let mut text = format!("{} is valid: {vms} VM{plural}\n", file.display());
            let colours = lint::warnings(&config).into_iter().map(|warning| warning.to_string());
            for warning in colours.chain(config.clipboard_warnings()) {
                text.push_str(&format!("warning: {warning}\n"));
            }
            print(&text)
        }
        Err(error) => {
            // Not as an error of vitrailctl: the message begins with the place, as editors expect it.
            eprintln!("{error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn windows(client: &mut Client, json: bool) -> Result<ExitCode> {
    let WindowList { windows, .. } = client.request(&Request::Windows {})?;
    print(&if json { pretty::<Vec<WindowInfo>>(&windows)? } else { table::windows(&windows) })
}

fn vms(client: &mut Client, json: bool) -> Result<ExitCode> {
    let reports: Vec<VmReport> = client.request(&Request::Vms {})?;
    let status: Status = client.request(&Request::Status {})?;
    let error = status.config_error.as_deref().map(table::config_error).unwrap_or_default();
    if json {
        // Standard output holds the list and nothing else.
        eprint!("{error}");
        return print(&pretty(&reports)?);
    }
    print(&format!("{}{error}", table::vms(&reports)))
}

fn restrain(client: &mut Client, OneVm { vm }: &OneVm, operation: Operation, on: bool) -> Result<ExitCode> {
    client.request::<Value>(&Request::Restrain { vm: vm.clone(), operation, on })?;
    Ok(ExitCode::SUCCESS)
}

fn screenshot(client: &mut Client, file: &Path, output: Option<&str>) -> Result<ExitCode> {
    let path = std::path::absolute(file).with_context(|| format!("error resolving {}", file.display()))?;
    let Some(path) = path.to_str() else {
        bail!("the path {} is not UTF-8, which the control socket speaks", path.display());
    };
    let request = Request::Screenshot { path: path.to_owned(), output: output.map(str::to_owned) };
    client.request::<Value>(&request)?;
    Ok(ExitCode::SUCCESS)
}

fn reload(client: &mut Client) -> Result<ExitCode> {
    match client.request::<Value>(&Request::Reload {}) {
        Ok(_) => print("the configuration was read again and is in force\n"),
        Err(ClientError::Said(error)) => {
            eprintln!("{error}");
            eprintln!("vitrailctl: not reloaded; the configuration before stays in force");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

fn wait(client: &mut Client, count: usize, timeout: Duration) -> Result<ExitCode> {
    let start = Instant::now();
    let mut generation = 0;
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        match client.request_within::<WindowList>(&Request::WaitWindows { generation }, left) {
            Ok(list) if list.windows.len() >= count => return Ok(ExitCode::SUCCESS),
            Ok(list) => generation = list.generation,
            Err(ClientError::TimedOut(_)) => {
                bail!("there were fewer than {count} windows for {} seconds", timeout.as_secs())
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
