//! `vitrail-session`: a desktop session around the compositor.
//!
//! # Model
//!
//! One thread waits in one event loop for signals, for the ends of processes (by their pidfds), for what the compositor says
//! through its descriptor for readiness, and for deadlines that are armed only while something is to end. The stages are:
//!
//! 1. The compositor is started ([`compositor`]).
//! 2. It says that programs can connect. Systemd and the session bus are told the session's variables ([`commands`]).
//! 3. The service manager is told that the session is ready, and the programs of the configuration are started ([`programs`]).
//! 4. When the compositor crashes, the programs are ended, for they have lost their connections, and both are started again,
//!    the compositor under the same name. After too many crashes, or when it cannot be started at all, the session ends.
//! 5. The session ends by a signal or with the compositor: first the programs, so that they can still save what they
//!    have, then the compositor, and then the variables are taken back.
//!
//! # Invariants
//!
//! * Everything that the session starts leads a process group of its own and is not reaped before the group is killed
//!   ([`child`]): nothing outlives the session but what has left its group on purpose.
//! * A compositor that is started again begins locked if the session was locked: whoever can crash it cannot unlock it.
//! * Every wait for something to end has a deadline.
//! * The session is no part of what guards the screen: it has no connection to the compositor, and nothing that a VM sends
//!   reaches it.

pub mod child;
pub mod cli;
pub mod commands;
pub mod compositor;
pub mod environment;
pub mod programs;
pub mod restarts;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use calloop::generic::Generic;
use calloop::signals::{Signal, Signals};
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, LoopHandle, LoopSignal, Mode, PostAction, RegistrationToken};
use rustix::process::Pid;

use self::child::Child;
use self::cli::Options;
use self::compositor::Compositor;
use self::environment::{Display, Listeners};
use self::programs::Programs;
use self::restarts::Restarts;
use crate::config::{Config, ConfigError, SessionConfig};
use crate::ready;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody ended it or its compositor.
    Ended,
    /// The compositor could not be started, or has crashed too often; the log says which.
    Failed,
}

/// Why a session could not be run.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An option of the compositor is the session's to give.
    #[error("{0} behind -- is given to the compositor by the session: use the session's own options")]
    Misplaced(&'static str),
    /// The event loop could not be set up.
    #[error("Error setting up the event loop: {0}")]
    Events(#[source] calloop::Error),
    /// The compositor's program could not be started.
    #[error("Error starting the compositor {}: {source}", program.display())]
    Start {
        /// Its program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The running session.
#[derive(Debug)]
pub struct Session {
    options: Options,
    config: SessionConfig,
    config_file: Option<PathBuf>,
    events: LoopHandle<'static, Session>,
    signal: LoopSignal,
    listeners: Listeners,
    restarts: Restarts,
    /// The compositor, while there is one.
    compositor: Option<Compositor>,
    /// Where it is found, once it has said so.
    display: Option<Display>,
    /// The session is locked, and has to be so after a crash.
    locked: bool,
    programs: Programs,
    /// The commands that are still to be run, in order.
    commands: VecDeque<Vec<&'static str>>,
    /// The command that runs, and its deadline.
    command: Option<(Child, Option<RegistrationToken>)>,
    /// Everybody has been told of the session's variables.
    exported: bool,
    /// The session is ending, and how.
    outcome: Option<Outcome>,
    /// The variables are being taken back: nothing else is left to be ended.
    closing: bool,
}

/// Runs a session until it ends.
///
/// # Errors
///
/// If it cannot begin. What goes wrong later is logged, and ends the session as [`Outcome::Failed`].
pub fn run(options: Options) -> Result<Outcome, SessionError> {
    if let Some(option) = options.misplaced() {
        return Err(SessionError::Misplaced(option));
    }
    let config_file = options.config_file();
    let config = config_file.as_deref().map(Config::load).transpose()?.map(|config| config.session);
    let config = config.unwrap_or_default();
    let mut event_loop: EventLoop<'static, Session> = EventLoop::try_new().map_err(SessionError::Events)?;
    let restarts = Restarts::new(config.restarts, Duration::from_secs(config.restart_seconds.into()));
    let mut session = Session {
        options,
        config,
        config_file,
        events: event_loop.handle(),
        signal: event_loop.get_signal(),
        listeners: Listeners::find(),
        restarts,
        compositor: None,
        display: None,
        locked: false,
        programs: Programs::default(),
        commands: VecDeque::new(),
        command: None,
        exported: false,
        outcome: None,
        closing: false,
    };
    let signals = Signals::new(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    let inserted = event_loop.handle().insert_source(
        signals.map_err(SessionError::Events)?,
        |event, &mut (), session: &mut Session| {
            tracing::info!("the session ends: {:?}", event.signal());
            session.end(Outcome::Ended);
        },
    );
    inserted.map_err(|error| SessionError::Events(error.error))?;
    session.launch_compositor()?;
    let ran = event_loop.run(None, &mut session, |_| {}).map_err(SessionError::Events);
    session.kill_all();
    ran.map(|()| session.outcome.unwrap_or(Outcome::Failed))
}

impl Session {
    /// Begins to end the session. Only the first call says how it ends.
    fn end(&mut self, outcome: Outcome) {
        if self.outcome.is_some() {
            return;
        }
        self.outcome = Some(outcome);
        tell_manager("STOPPING=1");
        self.stop_commands();
        self.retire_programs();
        self.proceed();
    }

    /// Does what comes next, if nothing has to end first. Called whenever something has happened.
    fn proceed(&mut self) {
        if self.programs.are_retiring() {
            return;
        }
        if self.outcome.is_none() {
            if self.exported && self.compositor.as_ref().is_some_and(Compositor::is_ready) {
                self.start_programs();
            }
        } else if self.compositor.is_some() {
            self.stop_compositor();
        } else if !self.closing {
            self.closing = true;
            if self.exported {
                self.commands.extend(self.listeners.end());
            }
            self.next_command();
        }
    }

    /// All commands have been run.
    fn commands_done(&mut self) {
        if self.closing {
            self.signal.stop();
        } else if self.outcome.is_none() && !self.exported {
            self.exported = true;
            tell_manager("READY=1");
            self.proceed();
        }
    }

    /// A process has ended.
    fn child_ended(&mut self, pid: Pid) {
        if self.compositor.as_ref().is_some_and(|compositor| compositor.child().pid() == pid) {
            self.compositor_ended();
        } else if self.command.as_ref().is_some_and(|(child, _)| child.pid() == pid) {
            self.command_ended();
        } else {
            self.program_ended(pid);
        }
    }

    /// Has [`Session::child_ended`] called when a process ends.
    fn watch(&self, child: &Child, pidfd: OwnedFd) -> io::Result<()> {
        let pid = child.pid();
        let source = Generic::new(pidfd, Interest::READ, Mode::Level);
        let inserted = self.events.insert_source(source, move |_, _, session: &mut Session| {
            session.child_ended(pid);
            Ok(PostAction::Remove)
        });
        inserted.map(|_| ()).map_err(|error| io::Error::other(error.error))
    }

    /// Starts a command, and has [`Session::child_ended`] called when it ends.
    fn start(&self, name: &str, command: &mut Command) -> io::Result<Child> {
        let (child, pidfd) = Child::start(name, command, None)?;
        match self.watch(&child, pidfd) {
            Ok(()) => Ok(child),
            Err(error) => {
                // Nobody would hear of its end.
                let _ = child.finish();
                Err(error)
            }
        }
    }

    /// Calls something after a time. `None` if it cannot be: then there is no deadline, which is logged.
    fn arm(&self, time: Duration, late: fn(&mut Session)) -> Option<RegistrationToken> {
        let inserted = self.events.insert_source(Timer::from_duration(time), move |_, (), session| {
            late(session);
            TimeoutAction::Drop
        });
        inserted.map_err(|error| tracing::error!("error arming a deadline: {error}")).ok()
    }

    fn disarm(&self, timer: Option<RegistrationToken>) {
        if let Some(timer) = timer {
            self.events.remove(timer);
        }
    }

    /// Ends at once whatever is left, which is nothing unless the event loop failed.
    fn kill_all(&mut self) {
        let compositor = self.compositor.take().map(Compositor::into_child);
        let command = self.command.take().map(|(child, _)| child);
        for child in compositor.into_iter().chain(command).chain(self.programs.take_all()) {
            // It has ended; how does not matter any more.
            let _ = child.finish();
        }
    }
}

/// Tells the service manager a state, if there is one.
fn tell_manager(state: &str) {
    if let Err(error) = ready::notify(state) {
        tracing::warn!("error telling the service manager {state}: {error}");
    }
}
