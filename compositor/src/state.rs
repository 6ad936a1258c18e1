//! The compositor's state, split into the backend and everything else, so that a backend can be given the
//! rest to read while it is itself borrowed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{Interest, LoopHandle, LoopSignal, Mode as TriggerMode, PostAction};
use smithay::desktop::PopupManager;
use smithay::input::Seat;
use smithay::reexports::wayland_server::backend::{ClientId, DisconnectReason};
use smithay::reexports::wayland_server::{Client, Display, DisplayHandle, Resource};
use smithay::utils::{Clock, Monotonic, Physical, Rectangle, Size};
use smithay::wayland::shell::xdg::ToplevelSurface;
use vitrail_protocols::{Guard, Limits};

use crate::backend::{Backend, BackendError};
use crate::config::{Config, Live};
use crate::gate::Gate;
use crate::handlers::Protocols;
use crate::handlers::layer_shell::LayerHandle;
use crate::handlers::output::Announced;
use crate::handlers::pacing::Pacing;
use crate::handlers::selection::Selections;
use crate::handlers::session_lock::SessionLock;
use crate::input::Input;
use crate::ipc::server::Server;
use crate::remembered::Recovery;
use crate::render::capture::Captures;
use crate::render::label::LabelError;
use crate::render::scene::Decor;
use crate::render::schedule::Schedule;
use crate::shell::Shell;
use crate::shell::layers::Layers;
use crate::shell::outputs::{Head, Outputs};
use crate::trust::budget::Company;
use crate::trust::client::{self, ClientState, Members, Privilege};
use crate::trust::limits::{Accounts, LimitError, Resource as Counted};
use crate::trust::origin::Origin;
use crate::trust::program::Process;
use crate::trust::throttle::{Fed, Handled, Outbox, Throttle};

/// Bytes that wait for a client that does not read, before its connection is ended.
const MAX_PENDING_BYTES: usize = 1 << 20;

/// Everything.
#[derive(Debug)]
pub struct State {
    /// Where pixels go.
    pub backend: Backend,
    /// The rest.
    pub comp: Comp,
    /// How the bytes of clients come and go.
    wires: Wires,
}

/// What reads clients' requests and writes their events.
#[derive(Debug)]
struct Wires {
    /// The protocol library. Borrowed while it calls the handlers, which come here by nothing but its handle.
    display: Rc<RefCell<Display<State>>>,
    /// What the library has written and the clients have not been given.
    outbox: Outbox<ClientId>,
    /// The clients of each origin, which share what it may take of a turn. Bounded by the configuration.
    companies: HashMap<Origin, Company>,
    /// Turns of the event loop so far.
    turn: u64,
}

/// Everything but the backend.
#[derive(Debug)]
pub struct Comp {
    /// The protocol library's display.
    pub display: DisplayHandle,
    /// The event loop, for sources that come and go.
    pub events: LoopHandle<'static, State>,
    /// Ends the event loop.
    pub signal: LoopSignal,
    /// The clock of all times that clients are told.
    pub clock: Clock<Monotonic>,
    /// The configuration in force.
    pub config: Live,
    /// What each origin uses.
    pub accounts: Accounts,
    /// The live connections.
    pub members: Members,
    /// Smithay's side of the protocols.
    pub protocols: Protocols,
    /// The windows.
    pub shell: Shell<ToplevelSurface>,
    /// The surfaces of the layer shell.
    pub layers: Layers<LayerHandle>,
    /// Whether the session is locked.
    pub lock: SessionLock,
    /// The popups, by the window or layer surface that they belong to.
    pub popups: PopupManager,
    /// The one seat.
    pub seat: Seat<State>,
    /// Where keyboard and pointer are.
    pub input: Input,
    /// The clipboards, one per origin.
    pub selections: Selections,
    /// The outputs as clients know them.
    pub announced: Announced,
    /// The pictures that clients take of windows.
    pub captures: Captures,
    /// When to draw.
    pub schedule: Schedule,
    /// Which commits wait.
    pub pacing: Pacing,
    /// What the compositor draws itself.
    pub decor: Decor,
    /// The name of the socket for local programs, which those that are started here connect to.
    pub socket: Option<String>,
    /// The gate's process, if there is one.
    pub gate: Option<Gate>,
    /// The control socket, if there is one.
    pub ipc: Option<Server>,
    /// What is kept for the time after a crash.
    pub recovery: Recovery,
}

/// What a headless compositor with one output is started with.
#[derive(Debug)]
pub struct Options {
    /// Size of the output in physical pixels.
    pub size: Size<i32, Physical>,
    /// Physical pixels per logical pixel.
    pub scale: f64,
    /// The configuration.
    pub config: Live,
}

/// Whether an output may have this size in physical pixels.
#[must_use]
pub fn is_sane(size: Size<i32, Physical>) -> bool {
    [size.w, size.h].into_iter().all(|length| (64..=16384).contains(&length))
}

/// Whether an output may have so many physical pixels per logical pixel.
#[must_use]
pub fn is_sane_scale(scale: f64) -> bool {
    (0.5..=8.0).contains(&scale)
}

/// Why the compositor could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The output's size or scale makes no sense.
    #[error("An output has 64 to 16384 pixels each way and a scale from 0.5 to 8")]
    Output,
    /// The renderer failed.
    #[error("Error setting up the backend")]
    Backend(#[source] BackendError),
    /// Labels cannot be drawn.
    #[error("Error setting up the labels")]
    Labels(#[source] LabelError),
    /// The keyboard's layout could not be compiled.
    #[error("Error setting up the keyboard")]
    Keyboard(#[source] smithay::input::keyboard::Error),
    /// The event loop refused a source.
    #[error("Error adding to the event loop")]
    Events(#[source] calloop::Error),
}

/// Why a connection was not let in.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The user has disconnected the VM.
    #[error("The user has disconnected it")]
    Barred,
    /// The origin has as many connections as it may have.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The socket could not be set up.
    #[error("Error setting up the connection")]
    Socket(#[from] std::io::Error),
    /// The event loop refused the connection.
    #[error("Error adding the connection to the event loop")]
    Events(#[source] calloop::Error),
}

impl Wires {
    /// Has the event loop serve a display.
    fn new(mut display: Display<State>, events: &LoopHandle<'static, State>) -> calloop::Result<Self> {
        let readable = display.backend().poll_fd().try_clone_to_owned()?;
        let display = Rc::new(RefCell::new(display));
        let served = Rc::clone(&display);
        // Requests are dispatched when a throttle has given them to the library; what is left are ends of connections.
        let source = Generic::new(readable, Interest::READ, TriggerMode::Level);
        let callback = move |_, _: &mut _, state: &mut State| {
            served.borrow_mut().dispatch_clients(state)?;
            Ok(PostAction::Continue)
        };
        events.insert_source(source, callback).map_err(|error| error.error)?;
        Ok(Self { display, outbox: Outbox::new()?, companies: HashMap::new(), turn: 0 })
    }
}

impl State {
    /// A headless compositor without clients, whose display is served by the event loop.
    ///
    /// # Errors
    ///
    /// If the output makes no sense, or a part of the system is missing.
    pub fn new(
        options: Options,
        events: LoopHandle<'static, Self>,
        signal: LoopSignal,
        display: Display<Self>,
    ) -> Result<Self, StateError> {
        let Options { size, scale, config } = options;
        if !is_sane(size) || !is_sane_scale(scale) {
            return Err(StateError::Output);
        }
        let head = Head::virtual_one("vitrail-1", size, scale);
        let backend = Backend::headless(vec![head]).map_err(StateError::Backend)?;
        Self::with_backend(backend, config, events, signal, display)
    }

    /// A compositor without clients on any backend, whose display is served by the event loop.
    ///
    /// # Errors
    ///
    /// If the output makes no sense, or a part of the system is missing.
    pub fn with_backend(
        mut backend: Backend,
        config: Live,
        events: LoopHandle<'static, Self>,
        signal: LoopSignal,
        display: Display<Self>,
    ) -> Result<Self, StateError> {
        let heads = backend.heads();
        let sane = |head: &Head| is_sane(head.preferred.size) && is_sane_scale(head.scale);
        if !heads.iter().all(sane) {
            return Err(StateError::Output);
        }
        let mut outputs = Outputs::new(heads);
        outputs.configure(&config.current().outputs);
        backend.follow(&outputs).map_err(StateError::Backend)?;
        let handle = display.handle();
        handle.set_default_max_buffer_size(if Guard::Pending.holds() {
            MAX_PENDING_BYTES
        } else {
            usize::MAX
        });
        let mut protocols = Protocols::new(&handle);
        let (seat, input) = Input::new(&mut protocols.seat, &handle, &config.current().input.keyboard)
            .map_err(StateError::Keyboard)?;
        let mut schedule = Schedule::new(&outputs);
        outputs.set_metrics(config.current().theme.metrics);
        let mut shell = Shell::new(outputs);
        shell.set_workspaces(&config.current().workspaces);
        let decor = Decor::new().map_err(StateError::Labels)?;
        let wires = Wires::new(display, &events).map_err(StateError::Events)?;
        if backend.is_watched() {
            // Whoever sits before the screen sees that it is there before the first window comes.
            schedule.request();
        }
        let mut comp = Comp {
            display: handle,
            events,
            signal,
            clock: Clock::new(),
            config,
            accounts: Accounts::default(),
            members: Members::default(),
            protocols,
            shell,
            layers: Layers::default(),
            lock: SessionLock::default(),
            popups: PopupManager::default(),
            seat,
            input,
            selections: Selections::default(),
            announced: Announced::default(),
            captures: Captures::default(),
            schedule,
            pacing: Pacing::default(),
            decor,
            socket: None,
            gate: None,
            ipc: None,
            recovery: Recovery::default(),
        };
        comp.announce_outputs();
        comp.follow_fullscreen_rules();
        Ok(Self { backend, comp, wires })
    }

    /// Lets a client in. Every connection comes through here, and gets its identity here.
    ///
    /// # Errors
    ///
    /// If the origin has reached its limit of connections or was disconnected by the user, or the system is out of something.
    pub fn accept(
        &mut self,
        stream: UnixStream,
        origin: Origin,
        privilege: Privilege,
    ) -> Result<Client, AcceptError> {
        if self.comp.members.barred.contains(&origin) {
            return Err(AcceptError::Barred);
        }
        let limits = limits_of(self.comp.config.current(), &origin);
        let account = self.comp.accounts.open(&origin, limits);
        let policy = self.comp.config.current().policy(&origin).cloned();
        let privacy = self.comp.config.current().privacy_rules(&origin);
        // Of the client's own socket: what the library sees of it is the throttle's.
        let process = if origin.is_vm() { None } else { Process::of_peer(&stream) };
        let data = Arc::new(ClientState::new(origin, privilege, (policy, privacy), account, process)?);
        let company = self.wires.companies.entry(data.origin.clone()).or_default().clone();
        let (throttle, library) = Throttle::new(stream, company)?;
        let client = self.comp.display.insert_client(library, Arc::clone(&data) as _)?;
        self.comp.members.enter(client.id(), &data);
        let (sender, display) = (client.clone(), Rc::clone(&self.wires.display));
        let fed = move |fed: Fed, (): &mut (), state: &mut Self| {
            let start = Instant::now();
            // If it is in use, or fails, the display's own source finds what there is in the next turn.
            if let Ok(mut display) = display.try_borrow_mut() {
                let _ = display.backend().dispatch_single_client(state, sender.id());
            }
            if fed.check {
                state.comp.count_objects(&sender);
            }
            Handled { took: start.elapsed(), turn: state.wires.turn, hold: state.is_too_fast(&sender) }
        };
        self.wires
            .outbox
            .insert(client.id(), throttle, &self.comp.events, fed)
            .map_err(AcceptError::Events)?;
        Ok(client)
    }

    /// Whether a client's origin commits or damages faster than it may. Then nothing is read of that client for as long as it takes.
    fn is_too_fast(&mut self, client: &Client) -> bool {
        let Some(data) = self.comp.members.get(&client.id()) else { return false };
        let Some(wait) = data.account.wait(self.comp.now()).filter(|_| Guard::Rate.holds()) else {
            return false;
        };
        if data.account.begin_wait() {
            let origin = data.origin.clone();
            let account = Arc::clone(&data.account);
            let wake = move |_, (): &mut (), state: &mut Self| {
                account.end_wait();
                let (events, members) = (state.comp.events.clone(), &state.comp.members);
                let whose = |client: &ClientId| members.get(client).is_none_or(|data| data.origin == origin);
                state.wires.outbox.let_go_on(&events, whose);
                TimeoutAction::Drop
            };
            if self.comp.events.insert_source(Timer::from_duration(wait), wake).is_err() {
                data.account.end_wait();
                return false;
            }
        }
        true
    }

    /// What must be done after each turn of the event loop: answer clients, and plan the next frame.
    pub fn after_dispatch(&mut self) {
        self.wires.turn = self.wires.turn.wrapping_add(1);
        self.comp.popups.cleanup();
        self.settle_tiles();
        self.plan_timed();
        self.plan_idle();
        self.plan_remembering();
        self.plan_overview();
        self.plan_clipboard();
        self.plan_dialogs();
        self.plan_fullscreen();
        self.plan_repaint();
        self.answer_ipc();
        // A client that cannot be written to is ended by the library; there is nothing to report.
        let _ = self.comp.display.flush_clients();
        let mut library = self.comp.display.backend_handle();
        self.wires.outbox.serve(&self.comp.events, |client| {
            let _ = library.flush(Some(client.clone()));
        });
    }

    /// Reads the configuration again: labels follow with the next frame, limits at once, protocols with new connections,
    /// the connections of VMs that are no longer in it are ended, and the gate reads it too. If it is bad, the last good one stays and the error is
    /// shown on the output. Returns whether it was good.
    pub fn reload(&mut self) -> bool {
        let before = Arc::clone(self.comp.config.current());
        let good = match self.comp.config.reload() {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!("configuration not reloaded: {error}");
                false
            }
        };
        let config = self.comp.config.current();
        self.comp.accounts.set_limits(|origin| limits_of(config, origin));
        // A VM that is not configured any more has no label, and what has no label is not let in.
        let unknown = self.comp.members.without(|origin| config.style(origin).is_some());
        let workspaces = config.workspaces.clone();
        self.end_clients(unknown);
        if let Some(gate) = self.comp.gate.as_ref().filter(|_| good) {
            gate.reload();
        }
        self.forget_restraints();
        self.comp.shell.set_workspaces(&workspaces);
        let outputs = self.comp.config.current().outputs.clone();
        if outputs != *self.comp.shell.outputs().configured() {
            self.change_outputs(|known| known.configure(&outputs));
        }
        self.configure_input(&before);
        self.configure_theme(&before.theme);
        self.configure_fullscreen();
        if good {
            self.reconsider_captures();
            self.reconsider_pointer();
        }
        // Labels may be others.
        self.comp.protocols.toplevel_lists.note_texts();
        self.windows_changed();
        good
    }

    /// Ends connections, and lets go at once what was theirs: by itself the library does that when it next hears of somebody.
    pub(crate) fn end_clients(&mut self, clients: Vec<ClientId>) {
        for client in clients {
            let reason = DisconnectReason::ConnectionClosed;
            self.comp.display.backend_handle().kill_client(client.clone(), reason);
            let display = Rc::clone(&self.wires.display);
            if let Ok(mut display) = display.try_borrow_mut() {
                // There is nothing left to hear of it.
                let _ = display.backend().dispatch_single_client(self, client);
            }
        }
    }

    /// Ends the event loop in order.
    pub fn stop(&mut self) {
        self.write_places();
        if let Some(gate) = self.comp.gate.take() {
            gate.stop();
        }
        self.comp.signal.stop();
    }
}

/// The limits of an origin. Local clients bring memory of their own, sparse files of any size among it, so theirs
/// is not limited; a VM's is what the gate maps for it. Nor is how fast they draw: they are the user's own.
pub(crate) fn limits_of(config: &Config, origin: &Origin) -> Limits {
    let limits = config.limits(origin).clone();
    if origin.is_vm() {
        return limits;
    }
    Limits { shm_mib: u32::MAX, commits_per_second: u32::MAX, damage_per_second: u32::MAX, ..limits }
}

impl Comp {
    /// Counts a new object of a client, and ends the client if it has too many.
    pub fn count(&self, object: &impl Resource, what: Counted) {
        let Some(client) = object.client() else { return };
        let Some(data) = client::state(&client) else { return };
        if let Err(error) = data.account.take(what) {
            client::end_for_limit(&client, &self.display, &error);
            // The object exists, and will be given back when it is destroyed with its client.
            data.account.take_anyway(what);
        }
    }

    /// Counts all live objects of a client, and ends it if its origin has too many.
    fn count_objects(&self, client: &Client) {
        let Some(data) = self.members.get(&client.id()) else { return };
        let handle = self.display.backend_handle();
        let mut count = 0_u32;
        // Fails only if the client has gone, and then it has no objects.
        let _ = handle.with_all_objects_for(client.id(), |_| count = count.saturating_add(1));
        if let Err(error) = data.set_objects(count) {
            client::end_for_limit(client, &self.display, &error);
        }
    }

    /// Counts a destroyed object of a client.
    pub fn uncount(&self, client: &ClientId, what: Counted) {
        if let Some(data) = self.members.get(client) {
            data.account.give_back(what);
        }
    }

    /// The time that clients are told.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.now().into()
    }

    /// The active output as a rectangle of physical pixels.
    #[must_use]
    pub fn output_rect(&self) -> Rectangle<i32, Physical> {
        self.shell.layout().whole()
    }
}
