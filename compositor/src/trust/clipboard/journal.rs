//! What went from one VM to another, and what did not, without what it was.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::content::{Described, in_words};
use crate::trust::origin::Origin;

/// Entries that are kept.
pub const MAX_ENTRIES: usize = 64;

/// Why nothing was copied or pasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// By the rules.
    #[error("the rules deny it")]
    Denied,
    /// By the user.
    #[error("you said no")]
    SaidNo,
    /// The VM has no selection.
    #[error("nothing is copied there")]
    NothingCopied,
    /// It has one, of no kind that may pass.
    #[error("what is copied is of no kind that may pass")]
    Kind,
    /// It is longer than the rules allow.
    #[error("it is too large")]
    TooLarge,
    /// Nothing came, or text that is none.
    #[error("its program gave nothing that could be taken")]
    Nothing,
    /// Not all of it came in time.
    #[error("its program did not answer in time")]
    Late,
    /// Something else was copied in the VM meanwhile.
    #[error("something else was copied meanwhile")]
    Replaced,
    /// The keyboard went elsewhere meanwhile.
    #[error("the keyboard went elsewhere meanwhile")]
    Left,
    /// It is still being copied.
    #[error("it is not copied yet")]
    Unfinished,
    /// There is nothing to paste.
    #[error("the clipboard between VMs is empty")]
    Empty,
    /// It is from this VM.
    #[error("it was copied here")]
    Same,
    /// It is older than the rule allows.
    #[error("it was copied too long ago")]
    Expired,
    /// The VM has had the keyboard too short a time.
    #[error("the keyboard has only just come here; try again")]
    Unsettled,
    /// The rule is another one than when the user was asked.
    #[error("the rules have changed meanwhile")]
    Changed,
    /// No question can be asked.
    #[error("there is no room for a question")]
    NoQuestion,
    /// The system is out of something.
    #[error("the compositor could not read it")]
    Failed,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A VM's selection was taken.
    Copied,
    /// A VM was given what was taken.
    Pasted {
        /// Whether the user was asked.
        asked: bool,
    },
    /// Nothing was taken or given.
    Refused(Refusal),
    /// What was taken was forgotten because of its age.
    Expired,
    /// It was forgotten by the user, or because the session was locked or its VM is not configured any more.
    Emptied,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copied => f.write_str("copied"),
            Self::Pasted { asked: true } => f.write_str("pasted, by the user's answer"),
            Self::Pasted { asked: false } => f.write_str("pasted, by a rule"),
            Self::Refused(why) => write!(f, "nothing: {why}"),
            Self::Expired => f.write_str("forgotten because of its age"),
            Self::Emptied => f.write_str("forgotten"),
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, since whenever the clock began.
    pub at: Duration,
    /// Where the content is from, if there was any.
    pub from: Option<Origin>,
    /// Where it was to go, if that is known.
    pub to: Option<Origin>,
    /// What is said of the content.
    pub parts: Vec<Described>,
    /// What.
    pub what: What,
}

/// The last entries, the oldest first.
#[derive(Debug, Default)]
pub struct Journal(VecDeque<Entry>);

impl Journal {
    pub(super) fn record(&mut self, entry: Entry) {
        let name = |origin: &Option<Origin>| origin.as_ref().map_or("-", Origin::name).to_owned();
        tracing::info!(
            from = name(&entry.from),
            to = name(&entry.to),
            content = in_words(&entry.parts),
            "clipboard between VMs: {}",
            entry.what
        );
        self.0.push_back(entry);
        while self.0.len() > MAX_ENTRIES {
            self.0.pop_front();
        }
    }

    /// The entries, the oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.0.iter()
    }

    pub(super) fn last(&self) -> Option<&Entry> {
        self.0.back()
    }
}
