//! The compositor under test, on a thread of its own.
//!
//! Every call waits until the thread has done what was asked and has told the clients: WLCS looks at what its clients were
//! told right after it has moved the pointer.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use calloop::channel::{self, Sender};
use calloop::{EventLoop, LoopHandle};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{Client, Display, Resource};
use vitrail::State;
use vitrail::config::{Config, Live};
use vitrail::state::Options;
use vitrail::trust::client::Privilege;
use vitrail::trust::origin::Origin;

use crate::relay;
use crate::space::{OUTPUT, Space};

/// What is written in the configuration, but for the program that may take pictures: WLCS itself.
const CONFIG: &str = include_str!("../vitrail.toml");

type Job = Box<dyn FnOnce(&mut State) + Send>;

/// A running compositor.
pub struct Compositor {
    jobs: Sender<Job>,
    thread: JoinHandle<Result<()>>,
    space: Arc<Space>,
}

impl fmt::Debug for Compositor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compositor").field("space", &self.space).finish_non_exhaustive()
    }
}

impl Compositor {
    /// Starts one that is ready for clients.
    ///
    /// # Errors
    ///
    /// When its thread cannot be started or set up.
    pub fn start() -> Result<Self> {
        let (jobs, queue) = channel::channel::<Job>();
        let (ready, started) = mpsc::channel();
        let thread = thread::Builder::new().name(String::from("vitrail")).spawn(move || {
            let mut events: EventLoop<'static, State> = EventLoop::try_new()?;
            let mut state = set_up(&events)?;
            let signal = events.get_signal();
            let source = events.handle().insert_source(queue, move |event, (), state| match event {
                channel::Event::Msg(job) => job(state),
                // Whoever asked has gone.
                channel::Event::Closed => signal.stop(),
            });
            source.map_err(|error| anyhow!("{error}"))?;
            // Nobody waits for it only if the process is about to end.
            let _ = ready.send(Arc::new(Space::of(state.comp.shell.layout())));
            events.run(None, &mut state, State::after_dispatch).context("error in the event loop")
        })?;
        match started.recv() {
            Ok(space) => Ok(Self { jobs, thread, space }),
            Err(_) => Err(match thread.join() {
                Ok(outcome) => outcome.err().unwrap_or_else(|| anyhow!("the compositor ended")),
                Err(_) => anyhow!("the compositor panicked"),
            }),
        }
    }

    /// WLCS's coordinates.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Has the compositor's thread do something, and waits until its clients have been told what follows from it.
    ///
    /// # Errors
    ///
    /// When the thread has ended, as after a panic.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce(&mut State) -> T + Send + 'static) -> Result<T> {
        let (answer, answered) = mpsc::channel();
        let job = move |state: &mut State| {
            let result = job(state);
            state.after_dispatch();
            // Nobody waits only if the process is about to end.
            let _ = answer.send(result);
        };
        self.jobs.send(Box::new(job)).map_err(|_| anyhow!("the compositor has ended"))?;
        answered.recv().context("the compositor has ended")
    }

    /// A new connection of a local program: WLCS's end of it, and the compositor's client.
    ///
    /// # Errors
    ///
    /// When the compositor refuses it or has ended.
    pub fn connect(&self) -> Result<(UnixStream, Client)> {
        let (ours, theirs) = UnixStream::pair()?;
        let (near, far) = UnixStream::pair()?;
        let space = Arc::clone(&self.space);
        let client = self.run(move |state| -> Result<Client> {
            let client = state.accept(far, Origin::Local, Privilege::Ordinary)?;
            let events: LoopHandle<'static, State> = state.comp.events.clone();
            relay::join(&events, theirs, near, client.id(), &space)?;
            Ok(client)
        })??;
        Ok((ours, client))
    }

    /// Puts the window or layer of a client's surface to a place in WLCS's coordinates.
    ///
    /// # Errors
    ///
    /// When the surface is neither, or the compositor has ended.
    pub fn place(&self, client: &Client, surface: u32, x: i32, y: i32) -> Result<()> {
        let (client, space) = (client.clone(), Arc::clone(&self.space));
        let placed = self.run(move |state| {
            let is_it = |other: &WlSurface| {
                other.id().protocol_id() == surface && other.client().as_ref() == Some(&client)
            };
            let window = state.comp.shell.find(|window| is_it(window.handle.wl_surface()));
            if let Some(id) = window.map(|window| window.id) {
                state.put_window(id, space.frame_corner(x, y));
                return true;
            }
            space.is_of_placed_layers();
            let place = space.from_stripe(x, y);
            relay::place_layer(&client.id(), surface, place.x, place.y)
        })?;
        if placed { Ok(()) } else { Err(anyhow!("surface {surface} is neither a window's nor a layer's")) }
    }

    /// Ends it and waits until it has ended.
    ///
    /// # Errors
    ///
    /// When it had ended before.
    pub fn stop(self) -> Result<()> {
        let stopped = self.run(State::stop);
        let ended = self.thread.join().map_err(|_| anyhow!("the compositor panicked"))?;
        stopped.and(ended)
    }
}

fn set_up(events: &EventLoop<'static, State>) -> Result<State> {
    let program = std::env::current_exe().context("error finding the program that runs")?;
    let text = format!("{CONFIG}\n[capture]\nallow = [{:?}]\n", program.display().to_string());
    let config =
        Config::parse(Path::new("tests/wlcs/vitrail.toml"), &text).map_err(|error| anyhow!("{error}"))?;
    let options = Options { size: OUTPUT.into(), scale: 1.0, config: Live::fixed(config) };
    State::new(options, events.handle(), events.get_signal(), Display::new()?).context("error setting up")
}
