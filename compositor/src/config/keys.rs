//! The tables `[keys]` and `[workspaces]`.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::document::{Mistake, word};
use crate::input::action::Action;
use crate::input::chord::{Binding, Bindings, Chord};
use crate::shell::columns::Arrangement;
use crate::shell::workspaces::{MAX_WORKSPACES, Workspace};
use crate::trust::style::Label;

/// How many workspaces there are where nothing is configured.
const DEFAULT_WORKSPACES: usize = 4;

/// What takes the action of a chord away.
const NONE: &str = "none";

/// What a chord does, as it is written: a word, or a table where there is more to say.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "the name of an action, or a table with action or run, and repeat, hold or release"
)]
enum Entry {
    Word(String),
    Table(Table),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    action: Option<String>,
    run: Option<Vec<String>>,
    #[serde(default)]
    repeat: bool,
    hold: Option<Step>,
    release: Option<Step>,
}

/// One of the things that a chord does.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "the name of an action, or a table with action or run")]
enum Step {
    Word(String),
    Table(StepTable),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepTable {
    action: Option<String>,
    run: Option<Vec<String>>,
}

/// The chords.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Keys(BTreeMap<Spanned<String>, Spanned<Entry>>);

impl Keys {
    /// The defaults, with what is written put over them.
    pub(super) fn check(&self) -> Result<Bindings, Mistake> {
        let mut bindings = Bindings::default();
        let mut seen: Vec<Chord> = Vec::new();
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by_key(|(chord, _)| chord.span().start);
        for (written, entry) in entries {
            let chord: Chord = word(written)?;
            if seen.contains(&chord) {
                return Err(Mistake::at(written, format!("{chord} has an action already")));
            }
            seen.push(chord);
            match entry.get_ref().check(chord, entry)? {
                Some(binding) => bindings.put(binding),
                None => bindings.remove(chord),
            }
            if !bindings.has_secure_attention() && !self.is_secure_attention_later(written) {
                let message = "This was the last chord of secure-attention, and there must be one";
                return Err(Mistake::at(written, message));
            }
        }
        Ok(bindings)
    }
}

impl Keys {
    /// Whether an entry further down gives a chord to secure-attention.
    fn is_secure_attention_later(&self, before: &Spanned<String>) -> bool {
        let later = self.0.iter().filter(|(chord, _)| chord.span().start > before.span().start);
        let mut bindings =
            later.filter_map(|(chord, entry)| entry.get_ref().check(word(chord).ok()?, entry).ok()?);
        bindings.any(|binding| binding.action == Action::SecureAttention && binding.hold.is_none())
    }
}

impl Entry {
    fn check(&self, chord: Chord, place: &Spanned<Self>) -> Result<Option<Binding>, Mistake> {
        let table = match self {
            Self::Word(name) if name == NONE => return Ok(None),
            Self::Word(name) => return Ok(Some(Binding::new(chord, named(name, place)?))),
            Self::Table(table) => table,
        };
        let Table { action, run, repeat, hold, release } = table;
        let action = match (action, run) {
            // What is there for being held needs nothing for not being held.
            (None, None) if hold.is_some() || release.is_some() => Action::Nothing,
            (action, run) => step(action.as_ref(), run.as_ref(), place)?,
        };
        if *repeat && hold.is_some() {
            return Err(Mistake::at(place, "A chord repeats, or waits for being held, and not both"));
        }
        if release.as_ref().is_some_and(|step| matches!(step.check(place), Ok(Action::XRay)))
            || hold.is_some() && action == Action::XRay
        {
            return Err(Mistake::at(
                place,
                "x-ray lasts while its key is held, so it is an action or a hold alone",
            ));
        }
        let later = |step: &Option<Step>| step.as_ref().map(|step| step.check(place)).transpose();
        let (hold, release) = (later(hold)?, later(release)?);
        Ok(Some(Binding { chord, action, repeat: *repeat, hold, release }))
    }
}

impl Step {
    fn check(&self, place: &Spanned<Entry>) -> Result<Action, Mistake> {
        match self {
            Self::Word(name) => named(name, place),
            Self::Table(StepTable { action, run }) => step(action.as_ref(), run.as_ref(), place),
        }
    }
}

fn named(name: &str, place: &Spanned<Entry>) -> Result<Action, Mistake> {
    name.parse().map_err(|error| Mistake::at(place, format!("{error}")))
}

/// An action by its name, or a program.
fn step(
    action: Option<&String>,
    run: Option<&Vec<String>>,
    place: &Spanned<Entry>,
) -> Result<Action, Mistake> {
    match (action, run) {
        (Some(name), None) => named(name, place),
        (None, Some(command)) if command.first().is_none_or(String::is_empty) => {
            Err(Mistake::at(place, "run needs a program"))
        }
        (None, Some(command)) => Ok(Action::Run(command.clone())),
        _ => Err(Mistake::at(place, "A chord has either action or run")),
    }
}

/// The workspaces.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Workspaces {
    names: Option<Spanned<Vec<Spanned<String>>>>,
    layout: Option<Spanned<String>>,
    layouts: BTreeMap<Spanned<String>, Spanned<String>>,
}

impl Workspaces {
    pub(super) fn check(&self) -> Result<Vec<Workspace>, Mistake> {
        let arrangement = self.layout.as_ref().map(word).transpose()?.unwrap_or_default();
        let mut list = self.list(arrangement)?;
        for (name, layout) in &self.layouts {
            let found = list.iter_mut().find(|workspace| workspace.name == *name.get_ref());
            let Some(workspace) = found else {
                return Err(Mistake::at(name, format!("There is no workspace \"{}\"", name.get_ref())));
            };
            workspace.arrangement = word(layout)?;
        }
        Ok(list)
    }

    /// The names, each with the layout that all have.
    fn list(&self, arrangement: Arrangement) -> Result<Vec<Workspace>, Mistake> {
        let workspace = |name: &str| Workspace { name: name.to_owned(), arrangement };
        let Some(names) = &self.names else {
            return Ok((1..=DEFAULT_WORKSPACES).map(|number| workspace(&number.to_string())).collect());
        };
        if !(1..=MAX_WORKSPACES).contains(&names.get_ref().len()) {
            return Err(Mistake::at(names, format!("There are 1 to {MAX_WORKSPACES} workspaces")));
        }
        let mut list: Vec<Workspace> = Vec::new();
        for name in names.get_ref() {
            let label: Label = word(name)?;
            if list.iter().any(|other| other.name == label.as_str()) {
                return Err(Mistake::at(name, format!("There is a workspace \"{label}\" already")));
            }
            list.push(workspace(label.as_str()));
        }
        Ok(list)
    }
}
