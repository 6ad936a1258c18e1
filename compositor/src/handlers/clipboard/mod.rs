//! The clipboard between VMs, wired up: what [`crate::trust::clipboard`] decides is read from programs and given to them here.
//!
//! # Model
//!
//! A chord has the compositor ask the VM's program for its selection itself, through a pipe that the event loop reads ([`take`]).
//! What is pasted becomes the VM's own clipboard: programs there are offered it as if one of them had copied it, and the
//! compositor writes it into the pipes of those that paste ([`give`]).
//!
//! # Invariants
//!
//! * One pipe is read at a time, of the transfer that is being taken, and no other: the end of a transfer closes it.
//! * Between two events there is at most one timer: for what changes next by itself.
//! * A locked session has no clipboard between VMs.

pub mod give;
mod take;

use std::collections::BTreeMap;
use std::time::Duration;

use calloop::RegistrationToken;
use calloop::timer::{TimeoutAction, Timer};
use smithay::wayland::selection::SelectionTarget;

use self::take::Reading;
use super::selection::Copied;
use crate::state::{Comp, State};
use crate::trust::clipboard::journal::{Refusal, What};
use crate::trust::clipboard::{Clipboard, Grant, Number, Paste, Question, Summary};
use crate::trust::origin::Origin;

/// What the stripe says of the clipboard between VMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// The words.
    pub words: String,
    /// Whose content is there: they stand in the colour of its label. With `None` they are about what happened.
    pub of: Option<Origin>,
}

/// The clipboard between VMs, and what is on its way into it and out of it.
#[derive(Debug, Default)]
pub struct Between {
    /// What there is and what is decided.
    pub(crate) model: Clipboard,
    /// What the stripe says.
    pub(crate) sign: Option<Sign>,
    reading: Option<Reading>,
    /// The VMs that were given something, and which of their selections that is: until when they keep it.
    given: BTreeMap<Origin, (u64, Duration)>,
    /// How many were.
    gifts: u64,
    /// For what changes next by itself, and when that is.
    timer: Option<(Duration, RegistrationToken)>,
}

impl Between {
    /// Whether a question about a paste waits for its answer.
    pub(crate) fn awaits(&self, question: &Question) -> bool {
        self.model.awaits(question.id)
    }

    /// What there is and what happened.
    #[must_use]
    pub fn model(&self) -> &Clipboard {
        &self.model
    }

    /// What the stripe says.
    #[must_use]
    pub fn sign(&self) -> Option<&Sign> {
        self.sign.as_ref()
    }

    /// When a VM's clipboard forgets what it was given.
    pub fn kept_until(&self) -> impl Iterator<Item = (&Origin, Duration)> {
        self.given.iter().map(|(origin, (_, until))| (origin, *until))
    }
}

impl State {
    /// Takes what is copied in the VM with the keyboard.
    pub(crate) fn copy_between(&mut self) {
        let now = self.follow_clipboard();
        let Some(from) = self.comp.focused_origin().cloned() else { return };
        let origins: Vec<Origin> = self.comp.config.current().origins().collect();
        let wanted = self.comp.config.current().clipboard.wanted(&from, origins.iter());
        let copied = self.comp.selections.copied(SelectionTarget::Clipboard, &from).cloned();
        let offered = copied.as_ref().map(|copied| copied.types.as_slice());
        let begun = self.comp.selections.between.model.copy(now, &from, wanted, offered);
        self.stop_reading();
        if let (Ok((id, kind)), Some(copied)) = (begun, copied) {
            self.take_part(id, kind, copied);
        }
    }

    /// Takes what was dragged from one VM and dropped onto a window of another.
    pub(crate) fn take_dropped(&mut self, from: &Origin, to: &Origin, copied: Copied) {
        let now = self.comp.now();
        let Comp { selections, config, .. } = &mut self.comp;
        let begun = selections.between.model.drop(now, from, to, &config.current().clipboard, &copied.types);
        self.stop_reading();
        if let Ok((id, kind)) = begun {
            self.take_part(id, kind, copied);
        }
    }

    /// Gives what there is to the VM with the keyboard, or asks the user about it.
    pub(crate) fn paste_between(&mut self) {
        self.follow_clipboard();
        if let Some(to) = self.comp.focused_origin().cloned() {
            self.paste_into(&to);
        }
    }

    fn paste_into(&mut self, to: &Origin) {
        let now = self.comp.now();
        let Comp { selections, config, captures, .. } = &mut self.comp;
        let model = &mut selections.between.model;
        match model.paste(now, to, &config.current().clipboard) {
            Ok(Paste::Given(grant)) => self.give(grant),
            Ok(Paste::Ask(question)) => {
                let id = question.id;
                if !captures.consent.ask_paste(question) {
                    model.withdraw(now, id, Refusal::NoQuestion);
                }
            }
            Err(_) => {}
        }
    }

    /// Forgets what there is.
    pub(crate) fn empty_between(&mut self) {
        let now = self.comp.now();
        self.comp.selections.between.model.empty(now);
    }

    /// The user has answered the question about a paste.
    pub(crate) fn answer_paste(&mut self, id: Number, allowed: bool) {
        let now = self.follow_clipboard();
        let Comp { selections, config, .. } = &mut self.comp;
        let grant = selections.between.model.answer(now, id, allowed, &config.current().clipboard);
        if let Some(grant) = grant {
            self.give(grant);
        }
    }

    /// Tells the clipboard who has the keyboard, and returns the time.
    pub(crate) fn follow_clipboard(&mut self) -> Duration {
        let now = self.comp.now();
        let keyboard = self.comp.focused_origin().cloned();
        self.comp.selections.between.model.follow(now, keyboard.as_ref());
        now
    }

    /// The content becomes the VM's own clipboard.
    fn give(&mut self, grant: Grant) {
        let Grant { to, content, ttl } = grant;
        let until = self.comp.now().saturating_add(ttl);
        let between = &mut self.comp.selections.between;
        between.gifts = between.gifts.saturating_add(1);
        let number = between.gifts;
        between.given.insert(to.clone(), (number, until));
        self.select(SelectionTarget::Clipboard, &to, Some(Copied::given(number, content)));
    }

    /// Sees to all that follows from time, the keyboard and the configuration; after each turn of the event loop.
    pub(crate) fn plan_clipboard(&mut self) {
        let now = self.follow_clipboard();
        self.comp.selections.between.model.tick(now);
        let unknown = match self.comp.selections.between.model.summary() {
            Summary::Empty => false,
            Summary::Taking(from) | Summary::Full { from, .. } => {
                self.comp.config.current().style(from).is_none()
            }
        };
        if unknown || self.comp.lock.is_locked() {
            self.comp.selections.between.model.empty(now);
        }
        let between = &self.comp.selections.between;
        if between.reading.as_ref().is_some_and(|reading| !between.model.is_taking(reading.id())) {
            self.stop_reading();
        }
        self.take_gifts_back(now);
        let sign = self.comp.clipboard_sign(now);
        if self.comp.selections.between.sign != sign {
            self.comp.selections.between.sign = sign;
            self.comp.schedule.request();
        }
        self.arm_clipboard(now);
    }

    /// What VMs were given is taken from their clipboards when its time is over.
    fn take_gifts_back(&mut self, now: Duration) {
        let selections = &mut self.comp.selections;
        let mut given = std::mem::take(&mut selections.between.given);
        given.retain(|origin, (number, _)| {
            let copied = selections.copied(SelectionTarget::Clipboard, origin);
            copied.and_then(|copied| copied.source.gift()) == Some(*number)
        });
        let over: Vec<Origin> =
            given.iter().filter(|(_, (_, until))| now >= *until).map(|(origin, _)| origin.clone()).collect();
        given.retain(|_, (_, until)| now < *until);
        selections.between.given = given;
        for origin in over {
            self.select(SelectionTarget::Clipboard, &origin, None);
        }
    }

    /// Has the event loop come back when something changes by itself.
    fn arm_clipboard(&mut self, now: Duration) {
        let between = &mut self.comp.selections.between;
        let gifts = between.given.values().map(|(_, until)| *until).min();
        let next = between.model.next_change(now).into_iter().chain(gifts).min();
        if between.timer.as_ref().map(|(at, _)| *at) == next {
            return;
        }
        if let Some((_, token)) = between.timer.take() {
            self.comp.events.remove(token);
        }
        let Some(at) = next else { return };
        let timer = Timer::from_duration(at.saturating_sub(now));
        let inserted = self.comp.events.insert_source(timer, |_, (), state| {
            // What is due is done after this turn.
            state.comp.selections.between.timer = None;
            TimeoutAction::Drop
        });
        match inserted {
            Ok(token) => self.comp.selections.between.timer = Some((at, token)),
            Err(error) => tracing::error!("error arming the timer of the clipboard: {error}"),
        }
    }
}

impl Comp {
    /// What an origin is called on the screen.
    fn label_of(&self, origin: &Origin) -> String {
        let style = self.config.current().style(origin);
        style.map_or_else(|| origin.name().to_owned(), |style| style.label.as_str().to_owned())
    }

    /// What the stripe says of the clipboard between VMs.
    fn clipboard_sign(&self, now: Duration) -> Option<Sign> {
        if self.lock.is_locked() {
            return None;
        }
        let model = &self.selections.between.model;
        if let Some(entry) = model.recent(now) {
            let to = entry.to.as_ref().map(|to| self.label_of(to));
            let words = match (entry.what, to) {
                (What::Refused(why), _) => Some(why.to_string()),
                (What::Pasted { .. }, Some(to)) => Some(format!("{to} has it: paste there as usual")),
                (What::Expired, _) => Some(String::from("what was copied was forgotten")),
                _ => None,
            };
            if let Some(words) = words {
                return Some(Sign { words, of: None });
            }
        }
        match model.summary() {
            Summary::Full { from, parts, .. } => {
                let size = parts.first().map(ToString::to_string).unwrap_or_default();
                let words = format!("{}: {size} copied", self.label_of(from));
                Some(Sign { words, of: Some(from.clone()) })
            }
            Summary::Taking(from) => {
                let words = format!("{}: copying", self.label_of(from));
                Some(Sign { words, of: Some(from.clone()) })
            }
            Summary::Empty => None,
        }
    }
}
