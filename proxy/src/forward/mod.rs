//! `wl-forward`: a Wayland server to the applications of a VM, which forwards them to a compositor elsewhere.
//!
//! ```text
//!  application ── Unix socket ── Connection ── virtio_wl::Socket ── hub … gate … compositor
//!                                   │ handlers of this module
//!                  pixels ──────────┴───────▶ Store (the shared region, or staging memory)
//! ```
//!
//! Each application has a thread of its own, in which everything for it happens ([`serve`]): an application
//! that stalls, floods or makes its thread panic is alone with that. The threads share the [`store::Store`],
//! that is the region and its allocator, and nothing else. The main thread accepts connections, waits for
//! the command and ends the program ([`run`]); it also prints what the threads have counted. An idle program wakes up for
//! nothing.
//!
//! Nothing outside the VM depends on this program behaving well: what it forwards is judged by the gate.

pub mod application;
pub mod capture;
pub mod cli;
pub mod command;
pub mod connections;
pub mod counters;
pub mod damage;
pub mod dmabuf;
pub mod explain;
pub mod formats;
pub mod globals;
pub mod graphics;
pub mod listener;
pub mod memory;
pub mod notify;
pub mod serve;
pub mod session;
pub mod shm;
pub mod signals;
pub mod sommelier;
pub mod store;
pub mod surface;
pub mod trim;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use virtio_wl::address::{AddressError, VsockCid};
use virtio_wl::region::RegionError;
use virtio_wl::{Address, Region};

use application::Application;
use cli::Options;
use command::{CommandError, RunningCommand};
use connections::Connections;
use explain::ExplainError;
use graphics::{GraphicsDevice, GraphicsError};
use listener::{Listener, ListenerError};
use serve::{Observer, Resources, ServeError};
use signals::Signals;
use store::{Store, StoreError};
use trim::Trimmer;

use crate::open_files;

/// Why the program cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// An address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The address in the environment is none.
    #[error("in VITRAIL_HUB: {0}")]
    HubVariable(#[source] AddressError),
    /// There is no hub that is called like that.
    #[error("`{0}` is no address of a hub: expected unix:PATH, vsock:CID:PORT (2 is the host) or fd:N")]
    NotAHub(Address),
    /// The region cannot be used.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// A region was asked for, and no device is one.
    #[error("no devdax or ivshmem device of this machine is a region, or none may be opened by this user")]
    NoRegion,
    /// There is no memory for copies.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no graphics device, and one was asked for.
    #[error(transparent)]
    Graphics(#[from] GraphicsError),
    /// Applications have nothing to connect to.
    #[error(transparent)]
    Listener(#[from] ListenerError),
    /// The command does not run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The one application that was to be served was not.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The interfaces that are offered cannot be found out.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// The application has no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// Signals cannot be taken.
    #[error("cannot take signals: {0}")]
    Signals(#[source] io::Error),
    /// Waiting failed.
    #[error("cannot wait for events: {0}")]
    Wait(#[source] Errno),
    /// The inherited sockets have no path that the command could be told.
    #[error("the inherited socket has no path, so the command could not connect to it")]
    NoDisplay,
}

/// Does what the command line says, and returns the status to exit with.
///
/// # Errors
///
/// See [`ForwardError`].
pub fn run(options: &Options) -> Result<u8, ForwardError> {
    if let Some(interface) = &options.explain {
        let resources = Resources { store: None, graphics: find_graphics(options)? };
        return Ok(u8::from(!explain::run(&hub_address(options)?, &resources, interface.as_deref())?));
    }
    for note in &options.wishes.notes {
        tracing::info!("{note}");
    }
    // Before the first thread is started, so that all of them leave the signals to this one.
    let single = options.client.as_ref().zip(options.upstream.as_ref());
    let wanted = if single.is_some() { &[][..] } else { &signals::ENDING };
    let signals = Signals::take(&[wanted, &[signals::REPORT]].concat()).map_err(ForwardError::Signals)?;
    if let Some((client, upstream)) = single {
        return serve_single(options, &signals, client, upstream);
    }
    let hub = hub_address(options)?;
    let resources = find_resources(options, Some(&hub))?;
    let listeners = listen(options)?;
    announce(options);
    let command = start_command(options, &listeners)?;
    // Each connection needs about ten, and one for each pool of the application.
    open_files::raise();
    let server = Server {
        listeners,
        signals,
        connections: Connections::new(resources.store.clone()).map_err(ForwardError::Wait)?,
        upstream: Upstream { hub, resources },
        options,
    };
    server.run(command)
}

/// Serves just one application, which has a stream already.
fn serve_single(
    options: &Options,
    signals: &Signals,
    client: &Address,
    upstream: &Address,
) -> Result<u8, ForwardError> {
    let is_vsock = upstream.is_vsock();
    let (client, upstream) = (client.connect()?, upstream.connect()?);
    open_files::raise();
    let resources = find_resources(options, None)?;
    let connections = Connections::new(resources.store.clone()).map_err(ForwardError::Wait)?;
    let application = Application::of(&client);
    let trace = options.trace_of(&application);
    let thread = connections
        .start(application, trace, move |observer| {
            serve::serve(client, upstream, is_vsock, &resources, observer)
        })
        .map_err(ForwardError::Thread)?;
    while connections.live() > 0 {
        wait_for(&mut [
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(connections.as_fd(), PollFlags::IN),
        ])?;
        connections.take_ends();
        if signals.next() == Some(signals::REPORT) {
            connections.report();
        }
    }
    match thread.join() {
        Ok(result) => result.map(|()| 0).map_err(ForwardError::Serve),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Tells the service manager that applications can connect, if that was asked for.
fn announce(options: &Options) {
    let Some((state, socket)) = options.wishes.notify.as_deref().zip(variable(notify::VARIABLE)) else {
        return;
    };
    if let Err(error) = notify::notify(&socket, state) {
        tracing::warn!("cannot tell the service manager `{state}`: {error}");
    }
}

/// Waits for one of the descriptors, or for a signal.
fn wait_for(fds: &mut [PollFd<'_>]) -> Result<(), ForwardError> {
    match poll(fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(ForwardError::Wait(error)),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn hub_address(options: &Options) -> Result<Address, ForwardError> {
    let hub = match (&options.hub, variable("VITRAIL_HUB")) {
        (Some(hub), _) => hub.clone(),
        (None, Some(text)) => text.parse().map_err(ForwardError::HubVariable)?,
        (None, None) => cli::default_hub(&listener::runtime_dir()?),
    };
    match hub {
        // A hub takes streams of bytes, and has a place.
        Address::Wl0 { .. } | Address::Vsock { cid: VsockCid::Any, .. } => Err(ForwardError::NotAHub(hub)),
        hub => Ok(hub),
    }
}

fn find_resources(options: &Options, hub: Option<&Address>) -> Result<Resources, ForwardError> {
    Ok(Resources { store: open_store(options, hub)?, graphics: find_graphics(options)? })
}

/// The graphics device that applications may use, if any.
fn find_graphics(options: &Options) -> Result<Option<GraphicsDevice>, ForwardError> {
    let named = options.dmabuf.as_ref().map(|device| device.clone().unwrap_or_else(|| "auto".to_owned()));
    let device = match named.or_else(|| variable("VITRAIL_DMABUF")).as_deref() {
        None | Some("none") => return Ok(None),
        Some("auto") => GraphicsDevice::first()?,
        Some(path) => GraphicsDevice::at(Path::new(path))?,
    };
    Ok(Some(device))
}

/// The shared region, locked for this process, if there is one.
fn open_store(options: &Options, hub: Option<&Address>) -> Result<Option<Arc<Store>>, ForwardError> {
    let wanted = options.region.clone().or_else(|| variable("VITRAIL_REGION"));
    let Some((name, region)) = open_region(wanted.as_deref())? else {
        return Ok(None);
    };
    // An inherited stream can be used once, and that is not for trimming.
    let hub = hub.filter(|hub| !matches!(hub, Address::Fd(_))).cloned();
    let store = Store::shared(region, |allocator| Trimmer::start(hub?, allocator))?;
    tracing::info!("pixels go through {name}, {} MiB", store.region().len() >> 20);
    Ok(Some(Arc::new(store)))
}

/// Opens the region that is `wanted`, with what to call it. Where none was asked for, one that cannot be used is no
/// error: another wl-forward of this VM may have it.
fn open_region(wanted: Option<&str>) -> Result<Option<(String, Region)>, ForwardError> {
    let (name, region) = match wanted {
        Some("none") => return Ok(None),
        Some("auto") => {
            let (path, region) = Region::discover()?.ok_or(ForwardError::NoRegion)?;
            (path.display().to_string(), region)
        }
        Some(argument) => (argument.to_owned(), Region::open_argument(argument)?),
        None => {
            let found = Region::discover().and_then(|found| {
                found.map(|(path, region)| region.lock_exclusive().map(|()| (path, region))).transpose()
            });
            return Ok(found
                .unwrap_or_else(|error| {
                    tracing::warn!("pixels are sent through the connections: {error}");
                    None
                })
                .map(|(path, region)| (path.display().to_string(), region)));
        }
    };
    region.lock_exclusive()?;
    Ok(Some((name, region)))
}

fn listen(options: &Options) -> Result<Vec<Listener>, ForwardError> {
    let inherited = Listener::inherited()?;
    if !inherited.is_empty() {
        return Ok(inherited);
    }
    let dir = listener::runtime_dir()?;
    let listener = match &options.socket {
        Some(name) => Listener::named(&dir, name)?,
        None => Listener::first_free(&dir)?,
    };
    tracing::info!("applications connect to {}", dir.join(listener.display()).display());
    Ok(vec![listener])
}

fn start_command(options: &Options, listeners: &[Listener]) -> Result<Option<RunningCommand>, ForwardError> {
    if options.command.is_empty() {
        return Ok(None);
    }
    let display = listeners.iter().map(Listener::display).find(|display| !display.is_empty());
    let display: OsString = display.ok_or(ForwardError::NoDisplay)?.to_owned();
    Ok(Some(RunningCommand::spawn(&options.command, &display)?))
}

/// What a connection needs of the outside.
#[derive(Clone)]
struct Upstream {
    hub: Address,
    resources: Resources,
}

impl Upstream {
    /// Serves one application until it ends.
    fn serve(&self, client: OwnedFd, observer: &Observer) {
        let result = match self.hub.connect() {
            Ok(stream) => serve::serve(client, stream, self.hub.is_vsock(), &self.resources, observer),
            Err(error) => Err(ServeError::Dial(error)),
        };
        if let Err(error) = result {
            tracing::warn!("a connection ended: {error}");
        }
    }
}

/// The main thread's business.
struct Server<'a> {
    options: &'a Options,
    listeners: Vec<Listener>,
    signals: Signals,
    upstream: Upstream,
    connections: Connections,
}

impl Server<'_> {
    /// Serves until the command and all connections have ended, unless it is to serve on, or a signal ends the program.
    fn run(self, mut command: Option<RunningCommand>) -> Result<u8, ForwardError> {
        let mut status = None;
        let mut interrupted = false;
        // Cleared when the system has no room for another connection, until one has ended.
        let mut room = true;
        loop {
            if let Some(status) = status
                && self.connections.live() == 0
                && !self.options.wishes.keeps_serving
            {
                return Ok(status);
            }
            let accepting = room && self.connections.live() < self.options.max_connections;
            self.wait(accepting, command.as_ref())?;
            room |= self.connections.take_ends();
            if let Some(running) = &mut command
                && let Some(code) = running.status()?
            {
                status = Some(code);
                command = None;
            }
            if let Some(signal) = self.signals.next() {
                match &command {
                    _ if signal == signals::REPORT => self.connections.report(),
                    // The command decides. A terminal has sent it its interrupt itself.
                    Some(running) if !interrupted => {
                        if signal != Signal::INT {
                            running.signal(signal);
                        }
                        interrupted = true;
                    }
                    _ => return Ok(u8::try_from(signal.as_raw().saturating_add(128)).unwrap_or(1)),
                }
            }
            if accepting {
                room = self.accept();
            }
        }
    }

    /// Waits until something happens.
    fn wait(&self, accepting: bool, command: Option<&RunningCommand>) -> Result<(), ForwardError> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.connections.as_fd(), PollFlags::IN),
        ];
        fds.extend(command.map(|command| PollFd::from_borrowed_fd(command.as_fd(), PollFlags::IN)));
        if accepting {
            fds.extend(self.listeners.iter().map(|l| PollFd::from_borrowed_fd(l.as_fd(), PollFlags::IN)));
        }
        wait_for(&mut fds)
    }

    /// Accepts what is waiting, at most one connection of each socket. False: there is no room at present.
    fn accept(&self) -> bool {
        for listener in &self.listeners {
            let started = match listener.accept() {
                Ok(Some(client)) => self.start(client),
                Ok(None) => Ok(()),
                Err(error) => {
                    tracing::warn!("no more applications are served until one ends: {error}");
                    return false;
                }
            };
            if let Err(error) = started {
                let live = self.connections.live();
                tracing::warn!("an application is not served, beside {live} that are: {error}");
                // Where no end can make room, the next one that calls may find some.
                return live == 0;
            }
            let limit = self.options.max_connections;
            if self.connections.live() >= limit {
                tracing::warn!("{limit} applications are served; more wait until one ends");
                break;
            }
        }
        true
    }

    /// Starts to serve an application.
    fn start(&self, client: OwnedFd) -> io::Result<()> {
        let application = Application::of(&client);
        let trace = self.options.trace_of(&application);
        let upstream = self.upstream.clone();
        self.connections
            .start(application, trace, move |observer| upstream.serve(client, observer))
            .map(|_| ())
    }
}
