//! The compositor's process: started, heard, started again after a crash, and ended.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use calloop::generic::Generic;
use calloop::{Interest, Mode, PostAction, RegistrationToken};
use rustix::pipe::PipeFlags;
use rustix::process::Signal;

use super::child::Child;
use super::environment::{self, Display};
use super::{Outcome, Session, SessionError, cli};
use crate::ready::{self, Announcement};

/// How long the compositor may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// The exit status of a program of ours that panicked.
const PANICKED: i32 = 101;

/// A compositor and what it has said.
#[derive(Debug)]
pub struct Compositor {
    child: Child,
    /// What it has said and has not been understood yet: the beginning of a line.
    said: Vec<u8>,
    /// Where it says it.
    words: OwnedFd,
    /// What it has said of where it is found.
    place: Announcement,
    /// The source that reads it.
    source: Option<RegistrationToken>,
    /// Programs can connect.
    ready: bool,
    /// It was asked to end.
    stopping: bool,
}

impl Compositor {
    /// Its process.
    #[must_use]
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Its process, to be ended.
    #[must_use]
    pub fn into_child(self) -> Child {
        self.child
    }

    /// Whether programs can connect to it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }
}

/// What is to be done after the compositor's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It ended as it should.
    Orderly,
    /// It said that it cannot start, so that it could not the next time either.
    CannotStart,
    /// It broke down.
    Crash,
}

/// Judges an end. A program that cannot start says why and exits; one that is killed by a signal or panics has crashed, and
/// so has one that had started.
fn judge(status: ExitStatus, ready: bool) -> Verdict {
    match status.code() {
        Some(0) => Verdict::Orderly,
        Some(code) if !ready && code != PANICKED => Verdict::CannotStart,
        _ => Verdict::Crash,
    }
}

impl Session {
    /// Starts the compositor: under the name that it had before, if it had one, so that what programs know stays true.
    pub(super) fn launch_compositor(&mut self) -> Result<(), SessionError> {
        let program = self.options.program();
        self.try_launch().map_err(|source| SessionError::Start { program, source })
    }

    fn try_launch(&mut self) -> io::Result<()> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        let mut command = self.compositor_command();
        command.arg("--ready-fd").arg(writer.as_raw_fd().to_string()).args(&self.options.arguments);
        let (child, pidfd) = Child::start("the compositor", &mut command, Some(&writer))?;
        drop(writer);
        let words = reader.try_clone()?;
        let watched = self.watch(&child, pidfd).and_then(|()| self.hear(reader));
        let mut compositor = Compositor {
            child,
            said: Vec::new(),
            words,
            place: Announcement::default(),
            source: None,
            ready: false,
            stopping: false,
        };
        match watched {
            Ok(source) => compositor.source = Some(source),
            Err(error) => {
                let _ = compositor.into_child().finish();
                return Err(error);
            }
        }
        tracing::info!(pid = compositor.child.pid().as_raw_nonzero(), "the compositor is started");
        self.compositor = Some(compositor);
        Ok(())
    }

    fn compositor_command(&self) -> Command {
        let mut command = Command::new(self.options.program());
        environment::give_to_compositor(&mut command);
        if let Some(config) = &self.config_file {
            command.arg("--config").arg(config);
        }
        if self.locked {
            command.arg("--locked");
        }
        if let Some(layout) = cli::layout_file() {
            command.arg("--layout").arg(layout);
        }
        let name = self.options.socket.as_ref().or(self.display.as_ref().map(|display| &display.name));
        if let Some(name) = name {
            command.arg("--socket").arg(name);
        }
        command
    }

    /// Reads what the compositor says through its descriptor.
    fn hear(&self, reader: OwnedFd) -> io::Result<RegistrationToken> {
        let source = Generic::new(reader, Interest::READ, Mode::Level);
        let inserted = self.events.insert_source(source, |_, reader, session: &mut Session| {
            let mut chunk = [0; 1024];
            match rustix::io::read(&**reader, &mut chunk) {
                Ok(0) => Ok(session.heard_all()),
                Ok(count) => {
                    session.heard(chunk.get(..count).unwrap_or_default());
                    Ok(PostAction::Continue)
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(PostAction::Continue),
                Err(error) => {
                    tracing::error!("error reading what the compositor says: {error}");
                    Ok(session.heard_all())
                }
            }
        });
        inserted.map_err(|error| io::Error::other(error.error))
    }

    /// The compositor will say no more. The end of the process says the rest.
    fn heard_all(&mut self) -> PostAction {
        if let Some(compositor) = &mut self.compositor {
            compositor.source = None;
        }
        PostAction::Remove
    }

    /// The compositor has said something.
    fn heard(&mut self, words: &[u8]) {
        let Some(compositor) = &mut self.compositor else { return };
        compositor.said.extend_from_slice(words);
        let whole = compositor.said.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = compositor.said.drain(..whole).collect();
        let read = Announcement::read(&String::from_utf8_lossy(&lines));
        if let Some(locked) = read.locked {
            self.locked = locked;
        }
        let place = &mut compositor.place;
        place.display = read.display.or(place.display.take());
        place.ipc = read.ipc.or(place.ipc.take());
        let found = place.display.clone().zip(place.ipc.clone());
        if compositor.said.len() > ready::MAX_MESSAGE || (read.ready && found.is_none()) {
            compositor.said.clear();
            tracing::error!("{} does not say where it is found", self.options.program().display());
            self.end(Outcome::Failed);
        } else if let Some((name, ipc)) = found.filter(|_| read.ready && !compositor.ready) {
            compositor.ready = true;
            self.compositor_ready(Display { name, ipc });
        }
    }

    /// Reads what the compositor has said before it ended and was not read yet: whether the session is locked may be its last
    /// word.
    fn hear_rest(&mut self) {
        let mut chunk = [0; 1024];
        while let Some(compositor) = &self.compositor {
            match rustix::io::read(&compositor.words, &mut chunk) {
                Ok(count) if count > 0 => self.heard(chunk.get(..count).unwrap_or_default()),
                Err(rustix::io::Errno::INTR) => {}
                _ => return,
            }
        }
    }

    /// Programs can connect.
    fn compositor_ready(&mut self, display: Display) {
        let name = &display.name;
        tracing::info!("the compositor is ready and serves {name}");
        self.display = Some(display);
        if self.outcome.is_some() {
            return;
        }
        if self.exported {
            self.proceed();
        } else if self.command.is_none() && self.commands.is_empty() {
            self.commands.extend(self.listeners.begin());
            self.next_command();
        }
    }

    /// The compositor has ended.
    pub(super) fn compositor_ended(&mut self) {
        self.hear_rest();
        let Some(compositor) = self.compositor.take() else { return };
        self.disarm(compositor.source);
        let (ready, stopping) = (compositor.ready, compositor.stopping);
        // Its gate is in its group. It would end by itself, but only after its successor had tried to take its place.
        let status = match compositor.child.finish() {
            Ok(status) => status,
            Err(error) => {
                tracing::error!("error learning how the compositor has ended: {error}");
                ExitStatus::from_raw(PANICKED << 8)
            }
        };
        if stopping || self.outcome.is_some() {
            tracing::info!("the compositor has ended: {status}");
            self.proceed();
            return;
        }
        match judge(status, ready) {
            Verdict::Orderly => {
                tracing::info!("the compositor has ended in order, and the session with it");
                self.end(Outcome::Ended);
            }
            Verdict::CannotStart => {
                let file = self.config_file.as_ref().map_or_else(String::new, |file| {
                    format!(", and `vitrailctl check {}` checks the configuration", file.display())
                });
                tracing::error!("the compositor cannot start ({status}): its message is above{file}");
                self.end(Outcome::Failed);
            }
            Verdict::Crash => self.compositor_crashed(status),
        }
    }

    fn compositor_crashed(&mut self, status: ExitStatus) {
        let (times, seconds) = (self.config.restarts, self.config.restart_seconds);
        if !self.restarts.crashed(Instant::now()) {
            tracing::error!(
                "the compositor has crashed again ({status}), after {times} restarts within {seconds} seconds; \
                 the session ends. What it logged before each crash is above; VITRAIL_LOG=debug logs more, and \
                 [session] of the configuration says how often it is started again"
            );
            self.end(Outcome::Failed);
            return;
        }
        tracing::error!("the compositor has crashed ({status}); it is started again");
        self.retire_programs();
        if let Err(error) = self.launch_compositor() {
            tracing::error!("{error}");
            self.end(Outcome::Failed);
        }
    }

    /// Asks the compositor to end, and kills it if it does not.
    pub(super) fn stop_compositor(&mut self) {
        let Some(compositor) = self.compositor.as_mut().filter(|compositor| !compositor.stopping) else {
            return;
        };
        compositor.stopping = true;
        // It ends its gate itself.
        compositor.child.signal(Signal::TERM);
        // The timer is not taken back: nothing comes after the compositor but a few commands.
        self.arm(GRACE, |session| {
            if let Some(compositor) = &session.compositor {
                tracing::warn!("the compositor does not end, so it is killed");
                compositor.child.signal_group(Signal::KILL);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_better_the_next_time_is_a_crash() {
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        let signal = ExitStatus::from_raw;
        assert_eq!(judge(exit(0), true), Verdict::Orderly);
        // A mistake in the configuration or on the command line, which the next start would meet again.
        assert_eq!(judge(exit(1), false), Verdict::CannotStart);
        assert_eq!(judge(exit(2), false), Verdict::CannotStart);
        assert_eq!(judge(exit(1), true), Verdict::Crash);
        assert_eq!(judge(exit(PANICKED), false), Verdict::Crash);
        assert_eq!(judge(signal(libc::SIGSEGV), false), Verdict::Crash);
        assert_eq!(judge(signal(libc::SIGKILL), true), Verdict::Crash);
    }
}
