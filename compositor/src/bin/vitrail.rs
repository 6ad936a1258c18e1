//! The compositor's program.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use calloop::signals::{Signal, Signals};
use calloop::{EventLoop, LoopHandle};
use clap::{Parser, ValueEnum};
use smithay::reexports::wayland_server::Display;
use smithay::utils::{Physical, Size};
use smithay::wayland::socket::ListeningSocketSource;
use tracing_subscriber::EnvFilter;
use vitrail::State;
use vitrail::backend::drm::{Drm, DrmOptions};
use vitrail::backend::nested::Nested;
use vitrail::backend::x11::X11;
use vitrail::backend::{Backend, Renderer};
use vitrail::config::{Config, Live};
use vitrail::gate::GateOptions;
use vitrail::ipc::outputs::VirtualOutput;
use vitrail::state::{StateError, is_sane, is_sane_scale};
use vitrail::trust::client::Privilege;
use vitrail::trust::origin::Origin;

/// Puts the windows of many virtual machines on one screen, each in the colour of the machine it came from.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Signals: SIGHUP reads the configuration again; SIGTERM and SIGINT end the compositor in order.\n\
Logging goes to standard error; VITRAIL_LOG filters it, for example VITRAIL_LOG=debug.\n\
With NOTIFY_SOCKET, as systemd sets it, the compositor says when programs can connect."
)]
struct Arguments {
    /// The file that says which machines there are, how they are labelled and what they may use. Without it
    /// the built-in one is used, and no gate is started
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where windows are shown
    #[arg(long, value_enum, default_value = "auto")]
    backend: BackendName,

    /// What draws on a console, or headless, where `auto` is the processor
    #[arg(long, value_enum, default_value = "auto")]
    renderer: Renderer,

    /// Name of the socket for local programs, in XDG_RUNTIME_DIR: what they find in WAYLAND_DISPLAY. Without it
    /// the first free of wayland-1, wayland-2 … is taken
    #[arg(long, value_name = "NAME")]
    socket: Option<String>,

    /// Size of the headless output, or of the window until it is resized, in physical pixels
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x800", value_parser = parse_size)]
    size: Size<i32, Physical>,

    /// A headless output, WIDTHxHEIGHT or WIDTHxHEIGHT@SCALE; several times for several outputs, which are called vitrail-1,
    /// vitrail-2 and so on. Without it there is one of --size and --scale
    #[arg(long, value_name = "OUTPUT", conflicts_with_all = ["size", "scale"])]
    output: Vec<VirtualOutput>,

    /// Take input from the control socket on a console or as a window, too, as headless compositors always do: for tests. Whoever can
    /// connect to that socket can then type into every window
    #[arg(long)]
    control_input: bool,

    /// On a console, always draw the pointer into the picture, also where the graphics card could show it by a plane of its own: for
    /// viewers of virtual machines that do not show such planes
    #[arg(long)]
    no_cursor_plane: bool,

    /// Physical pixels per logical pixel; may be a fraction, such as 1.5
    #[arg(long, default_value_t = 1.0)]
    scale: f64,

    /// The control socket that vitrailctl connects to. By default vitrail-NAME.sock in XDG_RUNTIME_DIR, where
    /// NAME is that of the socket for local programs
    #[arg(long, value_name = "PATH")]
    ipc: Option<PathBuf>,

    /// Keeps in this file where windows stand, and gives windows the places that it holds; vitrail-session uses it, so that
    /// windows come back to their places after a crash. A file `first-steps` beside it says that the hint of the main keys was
    /// seen
    #[arg(long, value_name = "FILE")]
    layout: Option<PathBuf>,

    /// Begin locked, until a program has locked the session and unlocks it; vitrail-session says so when the compositor has
    /// crashed while the session was locked
    #[arg(long)]
    locked: bool,

    /// Once programs can connect, writes to this inherited descriptor what a service manager is told: lines, READY=1 the
    /// last of them. Whether the session is locked follows whenever that changes
    #[arg(long, value_name = "FD")]
    ready_fd: Option<RawFd>,
}

/// The backends by their names.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum BackendName {
    /// A window if WAYLAND_DISPLAY or DISPLAY names another desktop, and otherwise a console of this machine
    Auto,
    /// A console of this machine: its screen by DRM/KMS, its keyboards and pointers by libinput
    Drm,
    /// A window of the Wayland desktop that WAYLAND_DISPLAY names, or else of the X server that DISPLAY names
    Nested,
    /// A window of the X server that DISPLAY names, whatever else there is
    NestedX11,
    /// Draws into memory; vitrailctl takes pictures and gives input
    Headless,
}

/// What is logged. Smithay complains at every change of the console that it cannot give up a graphics card that libseat has
/// given up already; what goes wrong there is also returned, and said by us.
const LOG: &str = "info,smithay=error,smithay::backend::drm::device=off,calloop=error";

fn parse_size(text: &str) -> Result<Size<i32, Physical>, String> {
    let parsed = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let (w, h): (i32, i32) = parsed.ok_or_else(|| "a size is written WIDTHxHEIGHT".to_owned())?;
    Ok((w, h).into())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("VITRAIL_LOG").unwrap_or_else(|_| EnvFilter::new(LOG));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    vitrail::crash::log_panics();
    if let Some(warning) = vitrail_protocols::guard::warning() {
        tracing::warn!("{warning}");
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    // Before any thread starts, so that none of them gets the signals instead.
    let signals = Signals::new(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])
        .context("error setting up the signals")?;
    raise_fd_limit();
    let ready = arguments.ready_fd.map(take_ready_fd).transpose()?;
    let config = match &arguments.config {
        Some(path) => {
            // Its text has the file, the place and the cause.
            Live::load(path).map_err(|error| anyhow!("{error}"))?
        }
        None => Live::fixed(Config::load_default().context("error in the built-in configuration")?),
    };
    let mut event_loop: EventLoop<'static, State> =
        EventLoop::try_new().context("error setting up the event loop")?;
    let display = Display::new().context("error setting up the display")?;
    let gate = config.current().gate.as_ref().map(|gate| gate.command.clone());
    let handle = event_loop.handle();
    let backend = open_backend(&arguments, &handle)?;
    let mut state = State::with_backend(backend, config, handle.clone(), event_loop.get_signal(), display)
        .context("error setting up the compositor")?;
    let inserted = handle.insert_source(signals, |event, &mut (), state| match event.signal() {
        Signal::SIGHUP => {
            state.reload();
        }
        _ => state.stop(),
    });
    inserted.map_err(|error| error.error).context("error setting up the signals")?;
    let socket = match &arguments.socket {
        Some(name) => ListeningSocketSource::with_name(name),
        None => ListeningSocketSource::new_auto(),
    };
    let socket = socket.context("error making the socket for local programs")?;
    let name = socket.socket_name().to_string_lossy().into_owned();
    state.comp.socket = Some(name.clone());
    let inserted = handle.insert_source(socket, |stream, (), state| {
        if let Err(error) = state.accept(stream, Origin::Local, Privilege::Ordinary) {
            tracing::warn!("local connection refused: {error}");
        }
    });
    let socket =
        inserted.map_err(|error| error.error).context("error serving the socket for local programs")?;
    let ipc = arguments.ipc.or_else(|| vitrail::ipc::client::default_path(&name));
    let ipc = ipc.context("where shall the control socket be? Say it with --ipc, or set XDG_RUNTIME_DIR")?;
    state.start_ipc(&ipc).context("error making the control socket")?;
    // Before the first program can connect, which is when the event loop runs.
    state.comp.recovery.keeper =
        ready.as_ref().map(File::try_clone).transpose().context("error keeping --ready-fd")?;
    if arguments.locked {
        state.begin_locked();
    }
    if let Some(layout) = arguments.layout {
        state.comp.decor.background.hint.keep_in(layout.with_file_name("first-steps"));
        state.remember_places(layout);
    }
    if let (Some(command), Some(config)) = (gate, arguments.config) {
        state.start_gate(GateOptions { command, config }).context("error starting the gate")?;
    }
    tracing::info!(socket = %name, "ready");
    vitrail::ready::announce(&vitrail::ready::compositor_message(&name, &ipc), ready.as_ref())
        .context("error saying that programs can connect")?;
    state.after_dispatch();
    let ended = event_loop.run(None, &mut state, State::after_dispatch).context("error in the event loop");
    // Its file goes with the source.
    event_loop.handle().remove(socket);
    ended
}

/// Opens what was asked for, or what there is.
fn open_backend(arguments: &Arguments, events: &LoopHandle<'static, State>) -> anyhow::Result<Backend> {
    let scale = arguments.scale;
    if !is_sane(arguments.size) || !is_sane_scale(scale) {
        return Err(StateError::Output.into());
    }
    if matches!(arguments.backend, BackendName::Headless) {
        let (w, h) = (arguments.size.w, arguments.size.h);
        let one = [VirtualOutput { size: (w, h), scale }];
        let outputs = if arguments.output.is_empty() { &one[..] } else { &arguments.output };
        let named =
            outputs.iter().enumerate().map(|(index, one)| one.head(&format!("vitrail-{}", index + 1)));
        let backend = match arguments.renderer {
            Renderer::Gles => Backend::headless_gles(named.collect()),
            Renderer::Auto | Renderer::Pixman => Backend::headless(named.collect()),
        };
        return backend.context("error setting up the headless backend");
    }
    if !arguments.output.is_empty() {
        bail!("--output is for --backend headless; other backends have the outputs that there are");
    }
    let in_window = match arguments.backend {
        BackendName::Auto => is_set("WAYLAND_DISPLAY") || is_set("DISPLAY"),
        BackendName::Nested | BackendName::NestedX11 => true,
        BackendName::Drm | BackendName::Headless => false,
    };
    if in_window && arguments.renderer == Renderer::Gles {
        bail!("a window is drawn by the processor; --renderer gles is for --backend drm and headless");
    }
    match arguments.backend {
        BackendName::Auto | BackendName::Nested if is_set("WAYLAND_DISPLAY") => {
            let nested = Nested::open(events, arguments.size, scale, arguments.control_input);
            return Ok(Backend::Nested(Box::new(nested.context("vitrail cannot open as a window")?)));
        }
        BackendName::NestedX11 => return open_on_x11(arguments, events),
        BackendName::Auto | BackendName::Nested if is_set("DISPLAY") => {
            return open_on_x11(arguments, events);
        }
        BackendName::Nested => {
            bail!("neither WAYLAND_DISPLAY nor DISPLAY names a desktop that vitrail could be a window of")
        }
        BackendName::Auto | BackendName::Drm | BackendName::Headless => {}
    }
    let options = DrmOptions {
        scale,
        control_input: arguments.control_input,
        cursor_plane: !arguments.no_cursor_plane,
        renderer: arguments.renderer,
    };
    let drm = Drm::open(events, options);
    let drm = drm.context("vitrail cannot use this console; --backend headless draws off screen instead")?;
    Ok(Backend::Drm(Box::new(drm)))
}

fn open_on_x11(arguments: &Arguments, events: &LoopHandle<'static, State>) -> anyhow::Result<Backend> {
    let x11 = X11::open(events, arguments.size, arguments.scale, arguments.control_input);
    Ok(Backend::X11(Box::new(x11.context("vitrail cannot open as a window of X11")?)))
}

/// Whether a variable of the environment says something.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Connections, pools and pipes are descriptors: takes as many as the system lets us have.
fn raise_fd_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!("error raising the limit of descriptors: {error}");
    }
}

/// Takes over the descriptor that was inherited to report readiness.
fn take_ready_fd(fd: RawFd) -> anyhow::Result<File> {
    if fd <= 2 {
        bail!("--ready-fd must not be a standard descriptor");
    }
    // SAFETY: fcntl with F_GETFD reads a flag of the descriptor table and touches no memory.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    if flags < 0 || flags & libc::FD_CLOEXEC != 0 {
        bail!("--ready-fd is not a descriptor that was inherited");
    }
    // SAFETY: the descriptor is open, and nothing in this program owns it: all that is opened here is closed on exec, which
    // one that came through an exec is not.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let file = File::from(fd);
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::CLOEXEC).context("error setting up --ready-fd")?;
    Ok(file)
}
