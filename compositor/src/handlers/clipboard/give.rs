//! Writing what was pasted into a VM to the programs there that read its clipboard.
//!
//! # Invariants
//!
//! * The event loop waits for no reader. What a pipe does not take at once is written when it takes more, in at most [`GIVEN_WITHIN`];
//!   then it is closed.
//! * At most [`MAX_READERS`] readers of a VM are waited for. With one more, the one that has been waited for longest gets no more.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{Interest, Mode, PostAction, RegistrationToken};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io::Errno;

use crate::state::State;
use crate::trust::clipboard::content::{Content, Part};
use crate::trust::clipboard::kind::Kind;
use crate::trust::origin::Origin;

/// How long a reader may take.
pub const GIVEN_WITHIN: Duration = Duration::from_secs(30);
/// Readers of one VM that are waited for.
pub const MAX_READERS: usize = 16;
/// The most bytes that are written in one turn.
const CHUNK: usize = 64 << 10;

/// What a VM was given, as the source of its clipboard.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// Which gift it is.
    pub(super) number: u64,
    pub(super) content: Content,
}

impl PartialEq for Given {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Given {
    pub(crate) fn new(number: u64, content: Content) -> Self {
        Self { number, content }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The types that programs are offered.
    pub(crate) fn types(&self) -> Vec<String> {
        let types = self.content.iter().flat_map(|part| part.kind().types());
        types.map(|name| (*name).to_owned()).collect()
    }
}

/// A reader that is waited for.
#[derive(Debug)]
struct Reader {
    number: u64,
    of: Origin,
    written: RegistrationToken,
    late: RegistrationToken,
}

/// All readers that are waited for, the longest first.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    readers: VecDeque<Reader>,
    count: u64,
}

/// What became of writing.
enum Wrote {
    /// There is no more to do: all is written, or nobody reads.
    Done,
    /// The pipe takes no more for now.
    Full,
}

/// Writes as much as goes, from an offset on.
fn write_some(pipe: BorrowedFd<'_>, part: &Part, offset: &mut usize) -> Wrote {
    let end = offset.saturating_add(CHUNK).min(part.bytes().len());
    let Some(rest) = part.bytes().get(*offset..end).filter(|rest| !rest.is_empty()) else {
        return Wrote::Done;
    };
    match rustix::io::write(pipe, rest) {
        Ok(count) => {
            *offset = offset.saturating_add(count);
            if *offset < part.bytes().len() { Wrote::Full } else { Wrote::Done }
        }
        Err(Errno::AGAIN | Errno::INTR) => Wrote::Full,
        // The reader has gone.
        Err(_) => Wrote::Done,
    }
}

/// Whether a descriptor can be written to without ever waiting; it is set up for that.
fn never_waits(fd: BorrowedFd<'_>) -> bool {
    // Of a file on another machine, or in a program, nobody knows how long it takes.
    let kind = fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
    let pipe = matches!(kind, Ok(FileType::Fifo | FileType::Socket));
    pipe && fcntl_getfl(fd).and_then(|flags| fcntl_setfl(fd, flags | OFlags::NONBLOCK)).is_ok()
}

impl State {
    /// A program reads what its VM was given.
    pub(crate) fn write_given(&mut self, of: &Origin, given: &Given, mime_type: &str, fd: OwnedFd) {
        let kind = Kind::of(mime_type);
        let part = given.content.iter().find(|part| Some(part.kind()) == kind).cloned();
        let Some(part) = part.filter(|_| never_waits(fd.as_fd())) else { return };
        let mut offset = 0;
        if matches!(write_some(fd.as_fd(), &part, &mut offset), Wrote::Full) {
            self.wait_for_reader(of, part, offset, fd);
        }
    }

    fn wait_for_reader(&mut self, of: &Origin, part: Arc<Part>, mut offset: usize, fd: OwnedFd) {
        let readers = &mut self.comp.selections.readers;
        readers.count = readers.count.saturating_add(1);
        let number = readers.count;
        let mut same = readers.readers.iter().filter(|reader| reader.of == *of);
        let oldest = same.next().map(|reader| reader.number);
        if let Some(oldest) = oldest.filter(|_| same.count() + 1 >= MAX_READERS)
            && let Some(reader) = self.take_reader(oldest)
        {
            self.comp.events.remove(reader.written);
            self.comp.events.remove(reader.late);
        }
        let source = Generic::new(fd, Interest::WRITE, Mode::Level);
        let written = self.comp.events.insert_source(source, move |_, fd, state: &mut Self| {
            Ok(match write_some(fd.as_fd(), &part, &mut offset) {
                Wrote::Full => PostAction::Continue,
                Wrote::Done => {
                    state.reader_is_done(number);
                    PostAction::Remove
                }
            })
        });
        let Ok(written) =
            written.inspect_err(|error| tracing::warn!("a reader cannot be waited for: {error}"))
        else {
            return;
        };
        let late = self.comp.events.insert_source(Timer::from_duration(GIVEN_WITHIN), move |_, (), state| {
            if let Some(reader) = state.take_reader(number) {
                state.comp.events.remove(reader.written);
            }
            TimeoutAction::Drop
        });
        match late {
            Ok(late) => {
                let reader = Reader { number, of: of.clone(), written, late };
                self.comp.selections.readers.readers.push_back(reader);
            }
            Err(error) => {
                tracing::error!("error arming the timer of a reader: {error}");
                self.comp.events.remove(written);
            }
        }
    }

    fn take_reader(&mut self, number: u64) -> Option<Reader> {
        let readers = &mut self.comp.selections.readers.readers;
        let index = readers.iter().position(|reader| reader.number == number)?;
        readers.remove(index)
    }

    /// All was written to a reader, whose pipe the event loop closes.
    fn reader_is_done(&mut self, number: u64) {
        if let Some(reader) = self.take_reader(number) {
            self.comp.events.remove(reader.late);
        }
    }
}
