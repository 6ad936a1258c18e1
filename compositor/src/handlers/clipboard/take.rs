//! Reading what is copied in a VM.
//!
//! The program is asked for one kind after the other, each through a pipe of its own. However slowly it writes, one turn of the event loop
//! reads at most [`CHUNK`] bytes; how long and how much altogether is the transfer's to bound.

use std::os::fd::{AsFd, OwnedFd};

use calloop::generic::Generic;
use calloop::{Interest, Mode, PostAction, RegistrationToken};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use zeroize::Zeroizing;

use crate::handlers::selection::{Copied, Source};
use crate::state::State;
use crate::trust::clipboard::journal::Refusal;
use crate::trust::clipboard::kind::Kind;
use crate::trust::clipboard::{Number, Progress};

/// The most bytes that are read in one turn.
const CHUNK: usize = 16 << 10;

/// The pipe that is read.
#[derive(Debug)]
pub(super) struct Reading {
    id: Number,
    copied: Copied,
    token: RegistrationToken,
}

impl Reading {
    pub(super) fn id(&self) -> Number {
        self.id
    }
}

impl State {
    /// Begins to read one kind of what is copied.
    pub(super) fn take_part(&mut self, id: Number, kind: Kind, copied: Copied) {
        if let Source::Given(given) = &copied.source {
            // The compositor has it itself.
            if let Some(part) = given.content.iter().find(|part| part.kind() == kind) {
                let _ = self.comp.selections.between.model.receive(id, part.bytes());
            }
            self.part_ended(id, copied);
            return;
        }
        match self.ask_for(id, kind, &copied) {
            Ok(token) => self.comp.selections.between.reading = Some(Reading { id, copied, token }),
            Err(error) => {
                tracing::error!("error reading what was copied: {error}");
                let now = self.comp.now();
                self.comp.selections.between.model.fail(now, id, Refusal::Failed);
            }
        }
    }

    /// Asks a program for its content, and has the event loop read it.
    fn ask_for(&self, id: Number, kind: Kind, copied: &Copied) -> std::io::Result<RegistrationToken> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only this end: programs do not expect that they have to wait for theirs.
        fcntl_setfl(&ours, OFlags::NONBLOCK)?;
        let source = Generic::new(ours, Interest::READ, Mode::Level);
        let callback = move |_, ours: &mut calloop::generic::NoIoDrop<OwnedFd>, state: &mut Self| {
            Ok(state.read_some(id, ours.as_fd()))
        };
        let token = self.comp.events.insert_source(source, callback);
        let token = token.map_err(|error| std::io::Error::other(error.error))?;
        let asked = kind.asked_as(&copied.types).unwrap_or(kind.name());
        copied.source.send(asked.to_owned(), theirs.as_fd());
        Ok(token)
    }

    /// There is something to read, or the end.
    fn read_some(&mut self, id: Number, pipe: std::os::fd::BorrowedFd<'_>) -> PostAction {
        let mut chunk = Zeroizing::new([0_u8; CHUNK]);
        let more = match rustix::io::read(pipe, chunk.as_mut_slice()) {
            Ok(0) => false,
            Ok(count) => {
                let bytes = chunk.get(..count).unwrap_or_default();
                self.comp.selections.between.model.receive(id, bytes)
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        };
        if more {
            return PostAction::Continue;
        }
        let between = &mut self.comp.selections.between;
        if let Some(reading) = between.reading.take_if(|reading| reading.id == id) {
            self.part_ended(id, reading.copied);
        }
        PostAction::Remove
    }

    /// A part has been read.
    fn part_ended(&mut self, id: Number, copied: Copied) {
        let now = self.comp.now();
        match self.comp.selections.between.model.end_part(now, id) {
            Progress::Next(kind) => self.take_part(id, kind, copied),
            Progress::Whole(Some(to)) => self.paste_into(&to),
            Progress::Whole(None) | Progress::Over => {}
        }
    }

    /// Closes the pipe that is read.
    pub(super) fn stop_reading(&mut self) {
        if let Some(reading) = self.comp.selections.between.reading.take() {
            self.comp.events.remove(reading.token);
        }
    }
}
