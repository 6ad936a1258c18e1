//! Who takes pictures, for the stripe to say.
//!
//! A session counts from its first picture until it ends, and each picture for [`HOLD`], so that a single one is seen too. One timer
//! takes the word away again.

use std::collections::BTreeMap;
use std::time::Duration;

use calloop::RegistrationToken;
use calloop::timer::{TimeoutAction, Timer};

use super::Captures;
use crate::state::State;
use crate::trust::origin::Origin;

/// How long a picture is spoken of.
pub const HOLD: Duration = Duration::from_millis(1500);
/// How many are kept; there are hardly more.
const MAX_ENTRIES: usize = 64;
/// How many are named.
const MAX_NAMES: usize = 3;

/// What pictures are taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The output.
    Screen,
    /// A window.
    Window,
    /// A window of the VM that takes them.
    OwnWindow,
}

impl What {
    pub(super) fn of(origin: &Origin, output: bool) -> Self {
        match origin {
            Origin::Vm(_) => Self::OwnWindow,
            Origin::Local if output => Self::Screen,
            Origin::Local => Self::Window,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Screen => "the screen",
            Self::Window => "a window",
            Self::OwnWindow => "a window of its own",
        }
    }
}

/// Who took a picture of what, and until when that is spoken of.
#[derive(Debug, Default)]
pub(super) struct Activity {
    until: BTreeMap<(String, What), Duration>,
    timer: Option<RegistrationToken>,
}

impl Captures {
    /// Who takes pictures, in words; `None`: nobody.
    #[must_use]
    pub fn in_words(&self, now: Duration) -> Option<String> {
        in_words(&self.present(now))
    }

    /// Settles what the stripe says from now on.
    pub(crate) fn say(&mut self, now: Duration) {
        let mut all = self.present(now);
        self.words = in_words(&all);
        // What a VM does is told in pictures by its rule, and this is nothing that is shown of it.
        all.retain(|(_, what)| *what != What::OwnWindow);
        self.words_in_pictures = in_words(&all);
    }

    /// What the stripe says, on the screen or in pictures.
    pub(crate) fn said(&self, on_screen: bool) -> Option<&str> {
        if on_screen { self.words.as_deref() } else { self.words_in_pictures.as_deref() }
    }

    /// Who takes pictures of what, each once.
    fn present(&self, now: Duration) -> Vec<(String, What)> {
        let recent = self.activity.until.iter().filter(|(_, until)| now < **until);
        let live = self.sessions.values().filter_map(|session| {
            let source = session.source.as_ref().filter(|_| session.began && session.object.is_some())?;
            let what = What::of(&session.origin, matches!(source, super::Captured::Output(_)));
            Some((session.who.clone(), what))
        });
        let mut all: Vec<(String, What)> = recent.map(|(who, _)| who.clone()).chain(live).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Captures {
    /// Whether the stripe is looked after by a timer.
    pub(super) fn is_fading(&self) -> bool {
        self.activity.timer.is_some()
    }
}

fn in_words(all: &[(String, What)]) -> Option<String> {
    if let [(who, what)] = all {
        return Some(format!("{who} captures {}", what.words()));
    }
    let mut names: Vec<&str> = all.iter().map(|(who, _)| who.as_str()).collect();
    names.dedup();
    let more = names.len().saturating_sub(MAX_NAMES);
    names.truncate(MAX_NAMES);
    let names = names.join(", ");
    match more {
        _ if all.is_empty() => None,
        0 => Some(format!("{names}: capturing")),
        more => Some(format!("{names} and {more} more: capturing")),
    }
}

impl State {
    /// Somebody has taken a picture.
    pub(super) fn note_picture(&mut self, who: &str, what: What) {
        let now = self.comp.now();
        let captures = &mut self.comp.captures;
        let before = captures.in_words(now);
        let activity = &mut captures.activity;
        activity.until.retain(|_, until| now < *until);
        let key = (who.to_owned(), what);
        if activity.until.contains_key(&key) || activity.until.len() < MAX_ENTRIES {
            activity.until.insert(key, now.saturating_add(HOLD));
        }
        if captures.in_words(now) != before {
            self.comp.schedule.request();
        }
        self.plan_fading();
    }

    /// Sees to it that the stripe does not go on speaking of pictures.
    fn plan_fading(&mut self) {
        if self.comp.captures.activity.timer.is_some() {
            return;
        }
        let inserted = self.comp.events.insert_source(Timer::from_duration(HOLD), |_, (), state| {
            let now = state.comp.now();
            let activity = &mut state.comp.captures.activity;
            activity.until.retain(|_, until| now < *until);
            state.comp.schedule.request();
            match activity.until.values().min() {
                Some(until) => TimeoutAction::ToDuration(until.saturating_sub(now)),
                None => {
                    activity.timer = None;
                    TimeoutAction::Drop
                }
            }
        });
        match inserted {
            Ok(token) => self.comp.captures.activity.timer = Some(token),
            Err(error) => tracing::error!("error arming the timer of the capture sign: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_who_captures_what() {
        let entry = |who: &str, what| (who.to_owned(), what);
        assert_eq!(in_words(&[]), None);
        assert_eq!(in_words(&[entry("grim", What::Screen)]).unwrap(), "grim captures the screen");
        assert_eq!(in_words(&[entry("Work", What::OwnWindow)]).unwrap(), "Work captures a window of its own");
        let two = [entry("grim", What::Screen), entry("grim", What::Window)];
        assert_eq!(in_words(&two).unwrap(), "grim: capturing");
        let many = ["a", "b", "c", "d", "e"].map(|who| entry(who, What::Screen));
        assert_eq!(in_words(&many).unwrap(), "a, b, c and 2 more: capturing");
    }
}
