//! The clipboard between VMs.
//!
//! # Model
//!
//! Every VM has a clipboard of its own, and no other sees it. Beside them there is one that belongs to the user. A trusted chord
//! copies into it what is copied in the VM with the keyboard, and another one puts what is in it into the clipboard of the VM that
//! has the keyboard then. Each copying is a *transfer*, with a number: its bytes are taken when the chord is pressed, and what
//! the user is asked about, and what is pasted, are these bytes. A drop onto a window of another VM is such a transfer with its
//! destination, and always asked about.
//!
//! Between two VMs the [`rules`] decide. Everything that happens is written down in the [`journal`], without the content.
//!
//! # Invariants
//!
//! * There is one transfer at a time. A chord that copies ends the one before, whatever becomes of itself, and what was taken
//!   then is freed: nothing of a longer content is behind a shorter one.
//! * Nothing that comes late counts: bytes and ends count for the transfer that they are of, and only while it is taken; it is over when its
//!   time is, when the keyboard leaves the VM, and when something else is copied there.
//! * No chord is kept for later. One that can do nothing at once does nothing.
//! * What is given was taken whole, is not older than the rule allows, and goes to the VM that has the keyboard and has had it for a while.
//!   Where the rule says that the user is asked, the answer is about this content, this pair of VMs and the rule in force.
//! * At most [`Wanted::max_bytes`] of each of the [`Kind`]s are kept.
//!
//! A VM that delays its answer until another VM's content is copied, to put its own in that one's place, and one that stalls until
//! the user's paste would run on somebody else's content, are the two attacks on the clipboard of Qubes OS that these rules are
//! made for (QSB-013); the third is the tail of a long content behind a short one (QSB-011).

pub mod content;
pub mod journal;
pub mod kind;
pub mod rules;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use self::content::{Collected, Content, Described, Part, described};
use self::journal::{Entry, Journal, Refusal, What};
use self::kind::Kind;
use self::rules::{Action, Rule, Rules, Wanted};
use super::origin::Origin;

/// How long a program may take to give what was copied.
pub const TAKEN_WITHIN: Duration = Duration::from_secs(3);
/// How long what happened last is spoken of.
pub const SPOKEN_OF: Duration = Duration::from_secs(5);

/// The number of a transfer or of a question, used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(u64);

/// Content on its way.
#[derive(Clone, Debug)]
struct Transfer {
    id: Number,
    from: Origin,
    /// Where it was dropped.
    dropped: Option<Origin>,
}

impl Transfer {
    /// Who has the keyboard while it is taken.
    fn beside(&self) -> &Origin {
        self.dropped.as_ref().unwrap_or(&self.from)
    }
}

/// A transfer whose bytes come in.
struct Taking {
    transfer: Transfer,
    /// What comes in now, and what is still to come.
    kind: Kind,
    collected: Collected,
    later: VecDeque<Kind>,
    /// What has come in.
    taken: Content,
    max_bytes: usize,
    ttl: Duration,
    too_large: bool,
    deadline: Duration,
}

/// A transfer that is there to be pasted.
struct Full {
    transfer: Transfer,
    content: Content,
    described: Vec<Described>,
    since: Duration,
    expires: Duration,
    asked: Option<Asked>,
}

/// What the user is asked about.
struct Asked {
    id: Number,
    to: Origin,
    rule: Rule,
    content: Content,
}

#[derive(Default)]
enum Stage {
    #[default]
    Empty,
    Taking(Taking),
    Full(Full),
}

/// The question whether something is pasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its number.
    pub id: Number,
    /// Where the content is from.
    pub from: Origin,
    /// Where it would go.
    pub to: Origin,
    /// What is said of it.
    pub parts: Vec<Described>,
    /// Whether it was dropped there.
    pub dropped: bool,
}

/// What a VM is given.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Whose clipboard it is for.
    pub to: Origin,
    /// The content.
    pub content: Content,
    /// How long that clipboard keeps it.
    pub ttl: Duration,
}

/// What becomes of a paste.
#[derive(Clone, Debug)]
pub enum Paste {
    /// It is given.
    Given(Grant),
    /// The user is to be asked.
    Ask(Question),
}

/// What becomes of the end of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The next part is to be read.
    Next(Kind),
    /// All has been taken; with where it was dropped.
    Whole(Option<Origin>),
    /// The transfer is over, and nothing was taken.
    Over,
}

/// What there is, for the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summary<'a> {
    /// Nothing.
    Empty,
    /// Something is being copied.
    Taking(&'a Origin),
    /// Something is there.
    Full {
        /// Where it is from.
        from: &'a Origin,
        /// What is said of it.
        parts: &'a [Described],
        /// When it was copied.
        since: Duration,
        /// When it is forgotten.
        expires: Duration,
    },
}

/// The clipboard between VMs.
#[derive(Default)]
pub struct Clipboard {
    numbers: u64,
    stage: Stage,
    /// Who has the keyboard, and since when.
    keyboard: Option<(Origin, Duration)>,
    journal: Journal,
}

impl std::fmt::Debug for Clipboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clipboard").field("summary", &self.summary()).finish_non_exhaustive()
    }
}

impl Clipboard {
    fn number(&mut self) -> Number {
        self.numbers = self.numbers.saturating_add(1);
        Number(self.numbers)
    }

    /// What there is.
    #[must_use]
    pub fn summary(&self) -> Summary<'_> {
        match &self.stage {
            Stage::Empty => Summary::Empty,
            Stage::Taking(taking) => Summary::Taking(&taking.transfer.from),
            Stage::Full(full) => Summary::Full {
                from: &full.transfer.from,
                parts: &full.described,
                since: full.since,
                expires: full.expires,
            },
        }
    }

    /// What happened.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What happened last, as long as it is spoken of.
    #[must_use]
    pub fn recent(&self, now: Duration) -> Option<&Entry> {
        self.journal.last().filter(|entry| now < entry.at.saturating_add(SPOKEN_OF))
    }

    /// When something changes by itself.
    #[must_use]
    pub fn next_change(&self, now: Duration) -> Option<Duration> {
        let stage = match &self.stage {
            Stage::Empty => None,
            Stage::Taking(taking) => Some(taking.deadline),
            Stage::Full(full) => Some(full.expires),
        };
        let spoken_of = self.recent(now).map(|entry| entry.at.saturating_add(SPOKEN_OF));
        stage.into_iter().chain(spoken_of).min()
    }

    fn record(&mut self, now: Duration, transfer: &Transfer, to: Option<&Origin>, what: What) {
        let parts = match &self.stage {
            Stage::Full(full) => full.described.clone(),
            Stage::Empty | Stage::Taking(_) => Vec::new(),
        };
        let to = to.or(transfer.dropped.as_ref()).cloned();
        self.journal.record(Entry { at: now, from: Some(transfer.from.clone()), to, parts, what });
    }

    /// Nothing is taken or given, and why.
    fn refuse(&mut self, now: Duration, from: Option<&Origin>, to: Option<&Origin>, why: Refusal) -> Refusal {
        let what = What::Refused(why);
        self.journal.record(Entry { at: now, from: from.cloned(), to: to.cloned(), parts: Vec::new(), what });
        why
    }

    /// Who has the keyboard. To be told before each chord, too.
    pub fn follow(&mut self, now: Duration, keyboard: Option<&Origin>) {
        if self.keyboard.as_ref().map(|(origin, _)| origin) != keyboard {
            self.keyboard = keyboard.map(|origin| (origin.clone(), now));
        }
        match &self.stage {
            Stage::Taking(taking) if Some(taking.transfer.beside()) != keyboard => {
                self.end_taking(now, Refusal::Left);
            }
            Stage::Full(Full { asked: Some(asked), .. }) if Some(&asked.to) != keyboard => {
                let id = asked.id;
                self.withdraw(now, id, Refusal::Left);
            }
            _ => {}
        }
    }

    /// Something else is copied in a VM, or nothing any more.
    pub fn selection_changed(&mut self, now: Duration, origin: &Origin) {
        let Stage::Taking(Taking { transfer, .. }) = &self.stage else { return };
        if transfer.from == *origin && transfer.dropped.is_none() {
            self.end_taking(now, Refusal::Replaced);
        }
    }

    /// Forgets what is over by now.
    pub fn tick(&mut self, now: Duration) {
        match &self.stage {
            Stage::Taking(taking) if now >= taking.deadline => self.end_taking(now, Refusal::Late),
            Stage::Full(full) if now >= full.expires => {
                let transfer = full.transfer.clone();
                self.record(now, &transfer, None, What::Expired);
                self.stage = Stage::Empty;
            }
            _ => {}
        }
    }

    /// Forgets what there is.
    pub fn empty(&mut self, now: Duration) {
        let transfer = match &self.stage {
            Stage::Empty => return,
            Stage::Taking(taking) => taking.transfer.clone(),
            Stage::Full(full) => full.transfer.clone(),
        };
        self.record(now, &transfer, None, What::Emptied);
        self.stage = Stage::Empty;
    }

    /// Begins to copy from the VM that has the keyboard. `wanted` is what may leave it, and `offered` the types of its selection,
    /// if it has one. What was there before is gone in any case.
    ///
    /// # Errors
    ///
    /// Why nothing is copied.
    pub fn copy(
        &mut self,
        now: Duration,
        from: &Origin,
        wanted: Option<Wanted>,
        offered: Option<&[String]>,
    ) -> Result<(Number, Kind), Refusal> {
        self.begin(now, (from, None), wanted, offered)
    }

    /// Begins to take what was dragged from one VM and dropped onto a window of another, which has the keyboard from then on.
    ///
    /// # Errors
    ///
    /// Why nothing is taken.
    pub fn drop(
        &mut self,
        now: Duration,
        from: &Origin,
        to: &Origin,
        rules: &Rules,
        offered: &[String],
    ) -> Result<(Number, Kind), Refusal> {
        let (rule, _) = rules.find(from, to);
        let wanted = (rule.action != Action::Deny).then(|| Wanted::from(rule));
        self.begin(now, (from, Some(to)), wanted, Some(offered))
    }

    fn begin(
        &mut self,
        now: Duration,
        (from, dropped): (&Origin, Option<&Origin>),
        wanted: Option<Wanted>,
        offered: Option<&[String]>,
    ) -> Result<(Number, Kind), Refusal> {
        self.stage = Stage::Empty;
        let found = wanted.ok_or(Refusal::Denied).and_then(|wanted| {
            let offered = offered.ok_or(Refusal::NothingCopied)?;
            let kinds = wanted.kinds.iter().copied().filter(|kind| kind.asked_as(offered).is_some());
            let mut kinds: VecDeque<Kind> = kinds.collect();
            let first = kinds.pop_front().ok_or(Refusal::Kind)?;
            Ok((wanted, first, kinds))
        });
        let (Wanted { max_bytes, ttl, .. }, kind, later) = match found {
            Ok(found) => found,
            Err(why) => return Err(self.refuse(now, Some(from), dropped, why)),
        };
        let id = self.number();
        self.stage = Stage::Taking(Taking {
            transfer: Transfer { id, from: from.clone(), dropped: dropped.cloned() },
            kind,
            collected: Collected::default(),
            later,
            taken: Content::new(),
            max_bytes,
            ttl,
            too_large: false,
            deadline: now.saturating_add(TAKEN_WITHIN),
        });
        Ok((id, kind))
    }

    fn taking(&mut self, id: Number) -> Option<&mut Taking> {
        match &mut self.stage {
            Stage::Taking(taking) if taking.transfer.id == id => Some(taking),
            _ => None,
        }
    }

    /// Whether a transfer is being taken.
    #[must_use]
    pub fn is_taking(&self, id: Number) -> bool {
        matches!(&self.stage, Stage::Taking(taking) if taking.transfer.id == id)
    }

    /// Bytes of a transfer came in. False if no more are taken: there are too many, or they come late.
    #[must_use]
    pub fn receive(&mut self, id: Number, bytes: &[u8]) -> bool {
        let Some(taking) = self.taking(id) else { return false };
        if taking.collected.len().saturating_add(bytes.len()) > taking.max_bytes {
            taking.collected = Collected::default();
            taking.too_large = true;
            return false;
        }
        taking.collected.push(bytes);
        true
    }

    /// The part that is taken has ended, or no more of it is taken.
    pub fn end_part(&mut self, now: Duration, id: Number) -> Progress {
        self.tick(now);
        let Some(taking) = self.taking(id) else { return Progress::Over };
        let part = Part::new(taking.kind, mem::take(&mut taking.collected));
        taking.taken.extend(part.map(Arc::new));
        if let Some(next) = taking.later.pop_front() {
            taking.kind = next;
            return Progress::Next(next);
        }
        let content = mem::take(&mut taking.taken);
        if content.is_empty() {
            let why = if taking.too_large { Refusal::TooLarge } else { Refusal::Nothing };
            self.end_taking(now, why);
            return Progress::Over;
        }
        let (transfer, expires) = (taking.transfer.clone(), now.saturating_add(taking.ttl));
        let dropped = transfer.dropped.clone();
        let described = described(&content);
        self.stage = Stage::Full(Full {
            transfer: transfer.clone(),
            content,
            described,
            since: now,
            expires,
            asked: None,
        });
        self.record(now, &transfer, None, What::Copied);
        Progress::Whole(dropped)
    }

    /// A transfer cannot be taken any further.
    pub fn fail(&mut self, now: Duration, id: Number, why: Refusal) {
        if self.is_taking(id) {
            self.end_taking(now, why);
        }
    }

    fn end_taking(&mut self, now: Duration, why: Refusal) {
        if let Stage::Taking(Taking { transfer, .. }) = mem::take(&mut self.stage) {
            self.refuse(now, Some(&transfer.from), transfer.dropped.as_ref(), why);
        }
    }

    /// Pastes into the VM that has the keyboard, or says what the user is to be asked.
    ///
    /// # Errors
    ///
    /// Why nothing is pasted. What there is stays.
    pub fn paste(&mut self, now: Duration, to: &Origin, rules: &Rules) -> Result<Paste, Refusal> {
        self.tick(now);
        let from = match &self.stage {
            Stage::Empty => None,
            Stage::Taking(taking) => Some(taking.transfer.from.clone()),
            Stage::Full(full) => Some(full.transfer.from.clone()),
        };
        match self.pasted(now, to, rules) {
            Ok(paste) => Ok(paste),
            Err(why) => {
                self.refuse(now, from.as_ref(), Some(to), why);
                // What was dropped and cannot be asked about is nowhere.
                if matches!(&self.stage, Stage::Full(full) if full.transfer.dropped.is_some()) {
                    self.stage = Stage::Empty;
                }
                Err(why)
            }
        }
    }

    fn pasted(&mut self, now: Duration, to: &Origin, rules: &Rules) -> Result<Paste, Refusal> {
        let id = self.number();
        let full = match &mut self.stage {
            Stage::Empty => return Err(Refusal::Empty),
            Stage::Taking(_) => return Err(Refusal::Unfinished),
            Stage::Full(full) => full,
        };
        let Transfer { from, dropped, .. } = full.transfer.clone();
        if from == *to {
            return Err(Refusal::Same);
        }
        let since = self.keyboard.as_ref().filter(|(origin, _)| origin == to).map(|(_, since)| *since);
        let since = since.ok_or(Refusal::Left)?;
        // The user has just pointed at the window of what was dropped, and is asked in any case.
        if dropped.is_none() && now < since.saturating_add(rules.settle) {
            return Err(Refusal::Unsettled);
        }
        let (rule, _) = rules.find(&from, to);
        if rule.action == Action::Deny {
            return Err(Refusal::Denied);
        }
        if now >= full.since.saturating_add(rule.ttl) {
            return Err(Refusal::Expired);
        }
        let content = permitted(&full.content, rule)?;
        if rule.action == Action::Allow && dropped.is_none() {
            return Ok(Paste::Given(self.give(now, to, content, &rule.clone(), false)));
        }
        let parts = described(&content);
        full.asked = Some(Asked { id, to: to.clone(), rule: rule.clone(), content });
        Ok(Paste::Ask(Question { id, from, to: to.clone(), parts, dropped: dropped.is_some() }))
    }

    /// Whether a question waits for its answer.
    #[must_use]
    pub fn awaits(&self, id: Number) -> bool {
        matches!(&self.stage, Stage::Full(Full { asked: Some(asked), .. }) if asked.id == id)
    }

    /// A question is not asked any more.
    pub fn withdraw(&mut self, now: Duration, id: Number, why: Refusal) {
        let Stage::Full(full) = &mut self.stage else { return };
        let Some(asked) = full.asked.take_if(|asked| asked.id == id) else { return };
        let transfer = full.transfer.clone();
        self.record(now, &transfer, Some(&asked.to), What::Refused(why));
        if transfer.dropped.is_some() {
            self.stage = Stage::Empty;
        }
    }

    /// The user has answered a question. Returns what is given.
    pub fn answer(&mut self, now: Duration, id: Number, allowed: bool, rules: &Rules) -> Option<Grant> {
        self.tick(now);
        if !allowed {
            self.withdraw(now, id, Refusal::SaidNo);
            return None;
        }
        let Stage::Full(full) = &mut self.stage else { return None };
        let asked = full.asked.as_ref().filter(|asked| asked.id == id)?;
        if self.keyboard.as_ref().is_none_or(|(origin, _)| *origin != asked.to) {
            self.withdraw(now, id, Refusal::Left);
            return None;
        }
        if *rules.find(&full.transfer.from, &asked.to).0 != asked.rule {
            self.withdraw(now, id, Refusal::Changed);
            return None;
        }
        let Asked { to, rule, content, .. } = full.asked.take()?;
        Some(self.give(now, &to, content, &rule, true))
    }

    fn give(&mut self, now: Duration, to: &Origin, content: Content, rule: &Rule, asked: bool) -> Grant {
        if let Stage::Full(full) = &self.stage {
            let transfer = full.transfer.clone();
            let parts = described(&content);
            let what = What::Pasted { asked };
            let (from, to) = (Some(transfer.from), Some(to.clone()));
            self.journal.record(Entry { at: now, from, to, parts, what });
            if rule.wipe || transfer.dropped.is_some() {
                self.stage = Stage::Empty;
            }
        }
        Grant { to: to.clone(), content, ttl: rule.ttl }
    }
}

/// The part of content that a rule lets pass.
fn permitted(content: &Content, rule: &Rule) -> Result<Content, Refusal> {
    let kinds = || content.iter().filter(|part| rule.kinds.contains(&part.kind()));
    let fitting: Content = kinds().filter(|part| part.bytes().len() <= rule.max_bytes).cloned().collect();
    match fitting.is_empty() {
        false => Ok(fitting),
        true if kinds().next().is_some() => Err(Refusal::TooLarge),
        true => Err(Refusal::Kind),
    }
}

#[cfg(test)]
mod tests;
