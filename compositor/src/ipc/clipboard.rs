//! The answers to `vitrailctl clipboard`: what is in the clipboard between VMs, what went through it, and what may. Never what it is.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::handle::value;
use super::server::Reply;
use crate::config::Config;
use crate::state::Comp;
use crate::trust::clipboard::Summary;
use crate::trust::clipboard::content::Described;
use crate::trust::clipboard::journal::Entry;
use crate::trust::clipboard::rules::{Action, Rule};
use crate::trust::origin::Origin;

/// Content of one kind, without the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReport {
    /// Its type, such as `text/plain`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its length in bytes.
    pub bytes: usize,
    /// How many characters it has, if it is text.
    pub characters: Option<usize>,
}

impl From<&Described> for PartReport {
    fn from(part: &Described) -> Self {
        Self { kind: part.kind.to_string(), bytes: part.bytes, characters: part.characters }
    }
}

/// What was copied and waits to be pasted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentReport {
    /// The VM that it is from.
    pub from: String,
    /// Its kinds; none while it is being copied.
    pub parts: Vec<PartReport>,
    /// Seconds until it is forgotten; `None` while it is being copied.
    pub seconds_left: Option<u64>,
}

/// A VM whose own clipboard has what it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenReport {
    /// The VM.
    pub vm: String,
    /// Seconds until its clipboard forgets it.
    pub seconds_left: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReport {
    /// Seconds since then.
    pub seconds_ago: u64,
    /// The VM that the content is from.
    pub from: Option<String>,
    /// The VM that it was to go to, if that is known.
    pub to: Option<String>,
    /// What is said of the content.
    pub parts: Vec<PartReport>,
    /// What happened, in words.
    pub what: String,
}

/// The clipboard between VMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipboardReport {
    /// What is in it; `None`: nothing.
    pub content: Option<ContentReport>,
    /// Whose clipboards have what they were given.
    pub given: Vec<GivenReport>,
    /// What happened, the oldest first.
    pub events: Vec<EventReport>,
}

/// What may be pasted from one VM into another, and which rule says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairReport {
    /// Where the content is from.
    pub from: String,
    /// Where it goes.
    pub to: String,
    /// `deny`, `ask` or `allow`.
    pub action: String,
    /// The number of the rule, from 1; `None`: no rule is about the pair, and the default counts.
    pub rule: Option<usize>,
    /// What the rule says that it is about, such as `["work", "*"]`.
    pub about: Option<[String; 2]>,
    /// The most bytes of each type.
    pub max_bytes: usize,
    /// The types that may pass.
    pub types: Vec<String>,
    /// Seconds for which content is kept.
    pub ttl: u64,
    /// Whether it is forgotten once it is pasted.
    pub wipe: bool,
    /// The configuration file; `None` for the built-in one.
    pub config: Option<String>,
}

impl Comp {
    /// The clipboard between VMs.
    pub(super) fn clipboard_report(&self) -> ClipboardReport {
        let now = self.now();
        let left = |until: Duration| until.saturating_sub(now).as_secs();
        let between = &self.selections.between;
        let content = match between.model.summary() {
            Summary::Empty => None,
            Summary::Taking(from) => {
                Some(ContentReport { from: from.to_string(), parts: Vec::new(), seconds_left: None })
            }
            Summary::Full { from, parts, expires, .. } => Some(ContentReport {
                from: from.to_string(),
                parts: parts.iter().map(PartReport::from).collect(),
                seconds_left: Some(left(expires)),
            }),
        };
        let given = between.kept_until();
        let given = given.map(|(vm, until)| GivenReport { vm: vm.to_string(), seconds_left: left(until) });
        let event = |Entry { at, from, to, parts, what }: &Entry| EventReport {
            seconds_ago: now.saturating_sub(*at).as_secs(),
            from: from.as_ref().map(ToString::to_string),
            to: to.as_ref().map(ToString::to_string),
            parts: parts.iter().map(PartReport::from).collect(),
            what: what.to_string(),
        };
        let events = between.model.journal().entries().map(event);
        ClipboardReport { content, given: given.collect(), events: events.collect() }
    }
}

/// Says what may be pasted from one VM into another.
pub(super) fn explain(config: &Config, path: Option<String>, from: &str, to: &str) -> Reply {
    let known = |name: &str| config.origins().find(|origin| origin.name() == name);
    let unknown = |name: &str| Reply::Error(format!("there is no VM {:?}", name.escape_debug().to_string()));
    let Some(from) = known(from) else { return unknown(from) };
    let Some(to) = known(to) else { return unknown(to) };
    if from == to {
        return Reply::Error(format!("within {from} nothing is asked: its programs share their clipboard"));
    }
    value(&pair(config, path, &from, &to))
}

fn pair(config: &Config, path: Option<String>, from: &Origin, to: &Origin) -> PairReport {
    let (rule, index) = config.clipboard.find(from, to);
    let Rule { action, max_bytes, kinds, ttl, wipe, .. } = rule;
    PairReport {
        from: from.to_string(),
        to: to.to_string(),
        action: action.as_str().to_owned(),
        rule: index.map(|index| index.saturating_add(1)),
        about: index.map(|_| [rule.from.to_string(), rule.to.to_string()]),
        max_bytes: *max_bytes,
        types: kinds.iter().map(ToString::to_string).collect(),
        ttl: ttl.as_secs(),
        wipe: *wipe,
        config: path,
    }
}

impl PairReport {
    /// The report as people read it.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { from, to, max_bytes, ttl, .. } = self;
        let denied = self.action == Action::Deny.as_str();
        let mut text = match self.action.as_str() {
            action if action == Action::Deny.as_str() => {
                format!("Nothing is pasted from {from} into {to}.\n\n")
            }
            action if action == Action::Allow.as_str() => {
                format!("What is copied in {from} is pasted into {to} by the chords alone.\n\n")
            }
            _ => format!("You are asked before anything is pasted from {from} into {to}.\n\n"),
        };
        let mut line = |name: &str, what: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<10} {what}");
        };
        let file = self.config.as_deref().unwrap_or("the built-in configuration");
        let rule = match (self.rule, &self.about) {
            (Some(number), Some([from, to])) => {
                format!("number {number} of [[clipboard.rule]] in {file}: from \"{from}\" to \"{to}\"")
            }
            _ => format!("none in {file} is about them; without one you are asked"),
        };
        line("rule", &rule);
        if !denied {
            line("types", &self.types.join(", "));
            line("max_bytes", &format!("{max_bytes} of each"));
            line("ttl", &format!("{ttl} s, and as long again where it was pasted"));
            line("wipe", if self.wipe { "forgotten once it is pasted" } else { "kept after it is pasted" });
        }
        text
    }
}

fn parts_text(parts: &[PartReport]) -> String {
    let size = |part: &PartReport| match part.characters {
        Some(1) => format!("1 character of {}", part.kind),
        Some(count) => format!("{count} characters of {}", part.kind),
        None => format!("{} bytes of {}", part.bytes, part.kind),
    };
    parts.iter().map(size).collect::<Vec<_>>().join(", ")
}

impl ClipboardReport {
    /// The report as people read it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = match &self.content {
            None => String::from("The clipboard between VMs is empty.\n"),
            Some(ContentReport { from, seconds_left: None, .. }) => {
                format!("Something is being copied from {from}.\n")
            }
            Some(ContentReport { from, parts, seconds_left: Some(left) }) => {
                format!(
                    "The clipboard between VMs has {} from {from}, for {left} s more.\n",
                    parts_text(parts)
                )
            }
        };
        for GivenReport { vm, seconds_left } in &self.given {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "The clipboard of {vm} has what it was given, for {seconds_left} s more.");
        }
        if !self.events.is_empty() {
            text.push('\n');
        }
        for EventReport { seconds_ago, from, to, parts, what } in &self.events {
            let name = |name: &Option<String>| name.clone().unwrap_or_else(|| String::from("-"));
            let mut parts = parts_text(parts);
            if !parts.is_empty() {
                parts.push_str(", ");
            }
            let _ = writeln!(text, "{seconds_ago:>6} s ago  {} -> {}: {parts}{what}", name(from), name(to));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const CONFIG: &str = "
        [vm.vault]
        color = '#2e7d32'
        [vm.web]
        color = '#c62828'
        [[clipboard.rule]]
        from = 'web'
        to = '*'
        action = 'deny'
        [[clipboard.rule]]
        from = 'vault'
        to = 'local'
        action = 'allow'
        types = ['text/plain', 'image/png']
        max_bytes = 99
        ttl = 7
        wipe = false
    ";

    fn text(from: &str, to: &str) -> String {
        let config = Config::parse(Path::new("v.toml"), CONFIG).unwrap();
        match explain(&config, Some("/etc/v.toml".to_owned()), from, to) {
            Reply::Ok(report) => serde_json::from_value::<PairReport>(report).unwrap().text(),
            Reply::Error(error) => error,
            _ => panic!("it waits"),
        }
    }

    #[test]
    fn a_pair_is_explained_with_the_rule_that_decides() {
        assert_eq!(
            text("web", "vault"),
            "Nothing is pasted from web into vault.\n\n\
             rule       number 1 of [[clipboard.rule]] in /etc/v.toml: from \"web\" to \"*\"\n"
        );
        assert_eq!(
            text("vault", "local"),
            "What is copied in vault is pasted into local by the chords alone.\n\n\
             rule       number 2 of [[clipboard.rule]] in /etc/v.toml: from \"vault\" to \"local\"\n\
             types      text/plain, image/png\n\
             max_bytes  99 of each\n\
             ttl        7 s, and as long again where it was pasted\n\
             wipe       kept after it is pasted\n"
        );
        let text = text("vault", "web");
        assert!(
            text.starts_with(
                "You are asked before anything is pasted from vault into web.\n\nrule       none in"
            ),
            "{text}"
        );
        assert!(
            text.contains("max_bytes  64000 of each\n") && text.contains("wipe       forgotten once"),
            "{text}"
        );
    }

    #[test]
    fn a_pair_that_is_none_is_an_error_that_shows_nothing_as_it_is() {
        assert_eq!(text("web", "web"), "within web nothing is asked: its programs share their clipboard");
        let error = text("web", "a\u{1b}[31m");
        assert!(error.starts_with("there is no VM ") && !error.contains('\u{1b}'), "{error}");
    }

    #[test]
    fn the_state_is_told_without_the_content() {
        let part = PartReport { kind: "text/plain".to_owned(), bytes: 24, characters: Some(23) };
        let picture = PartReport { kind: "image/png".to_owned(), bytes: 9, characters: None };
        let event = EventReport {
            seconds_ago: 12,
            from: Some("vault".to_owned()),
            to: None,
            parts: vec![part.clone()],
            what: "copied".to_owned(),
        };
        let content =
            ContentReport { from: "vault".to_owned(), parts: vec![part, picture], seconds_left: Some(48) };
        let given = GivenReport { vm: "web".to_owned(), seconds_left: 5 };
        let report = ClipboardReport { content: Some(content), given: vec![given], events: vec![event] };
        assert_eq!(
            report.text(),
            "The clipboard between VMs has 23 characters of text/plain, 9 bytes of image/png from vault, for 48 s more.\n\
             The clipboard of web has what it was given, for 5 s more.\n\n    \
             12 s ago  vault -> -: 23 characters of text/plain, copied\n"
        );
        let nothing = ClipboardReport { content: None, given: vec![], events: vec![] };
        assert_eq!(nothing.text(), "The clipboard between VMs is empty.\n");
    }
}
