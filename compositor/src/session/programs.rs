//! The programs that the configuration lists.
//!
//! They are started when the compositor is ready. One that ends is not started again before the compositor is: a program that is
//! to be watched over belongs into a unit of systemd. When the compositor has crashed, or the session ends, they are asked to
//! end, all at once; those that take too long are killed, with whatever is left in their process groups. Their
//! successors are started after that, so that none finds its predecessor still in place.

use std::process::Command;
use std::time::Duration;

use calloop::RegistrationToken;
use rustix::process::{Pid, Signal};

use super::Session;
use super::child::Child;

/// How long programs may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// The programs of a session.
#[derive(Debug, Default)]
pub struct Programs {
    /// Those that were started, whether they have ended or not.
    started: Vec<Child>,
    /// They have been started for the compositor that runs.
    are_started: bool,
    /// Those that were asked to end.
    retiring: Vec<Child>,
    /// When those are killed.
    late: Option<RegistrationToken>,
}

impl Programs {
    /// Whether some were asked to end and have not.
    #[must_use]
    pub fn are_retiring(&self) -> bool {
        !self.retiring.is_empty()
    }

    /// All of them, to be killed.
    pub fn take_all(&mut self) -> Vec<Child> {
        self.started.drain(..).chain(self.retiring.drain(..)).collect()
    }
}

impl Session {
    /// Starts the programs, if they are not.
    pub(super) fn start_programs(&mut self) {
        let Some(display) = self.display.clone().filter(|_| !self.programs.are_started) else { return };
        self.programs.are_started = true;
        // One that locks comes first: nothing else can be used before.
        let lock = self.config.lock.clone().filter(|_| self.locked);
        if self.locked && lock.is_none() {
            tracing::warn!(
                "the session is locked and `lock` of [session] names no program that could unlock it"
            );
        }
        for words in lock.into_iter().chain(self.config.start.clone()) {
            let Some((program, arguments)) = words.split_first() else { continue };
            let mut command = Command::new(program);
            command.args(arguments);
            display.give_to(&mut command);
            match self.start(program, &mut command) {
                Ok(child) => {
                    tracing::info!(pid = child.pid().as_raw_nonzero(), "{program} is started");
                    self.programs.started.push(child);
                }
                Err(error) => tracing::error!("error starting {program}: {error}"),
            }
        }
    }

    /// A program has ended: one that runs by itself, or one that was asked to.
    pub(super) fn program_ended(&mut self, pid: Pid) {
        if let Some(child) = self.programs.started.iter_mut().find(|child| child.pid() == pid) {
            let how = child.note_end();
            tracing::info!("{} has ended: {how}", child.name);
        }
        if let Some(child) = self.programs.retiring.iter_mut().find(|child| child.pid() == pid) {
            child.note_end();
            if self.programs.retiring.iter().all(Child::has_ended) {
                self.programs_retired();
            }
        }
    }

    /// Asks all programs to end. [`Session::proceed`] is called when they have.
    pub(super) fn retire_programs(&mut self) {
        self.programs.are_started = false;
        for child in &self.programs.started {
            child.signal_group(Signal::TERM);
        }
        let retiring = std::mem::take(&mut self.programs.started);
        self.programs.retiring.extend(retiring);
        if self.programs.retiring.iter().all(Child::has_ended) {
            self.programs_retired();
        } else if self.programs.late.is_none() {
            self.programs.late = self.arm(GRACE, |session| {
                session.programs.late = None;
                for child in session.programs.retiring.iter().filter(|child| !child.has_ended()) {
                    tracing::warn!("{} does not end, so it is killed", child.name);
                }
                session.programs_retired();
            });
        }
    }

    /// Kills what is left of the programs that were asked to end.
    fn programs_retired(&mut self) {
        let late = self.programs.late.take();
        self.disarm(late);
        for child in std::mem::take(&mut self.programs.retiring) {
            let name = child.name.clone();
            if let Err(error) = child.finish() {
                tracing::warn!("error learning how {name} has ended: {error}");
            }
        }
        self.proceed();
    }
}
