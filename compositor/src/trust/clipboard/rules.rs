//! What may be pasted from where to where: rules for ordered pairs of VMs, of which the first that matches counts.
//!
//! # Invariants
//!
//! * Every pair has a rule: where the configuration has none for it, the user is asked, about text alone.
//! * A rule that copying depends on, when it is not known yet where to, allows no more than some pair's rule does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::kind::Kind;
use crate::trust::origin::Origin;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Action {
    /// Nothing is pasted.
    Deny,
    /// The user is asked each time.
    #[default]
    Ask,
    /// The trusted chord is enough.
    Allow,
}

/// A word that is none of the actions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is none of deny, ask and allow")]
pub struct NoSuchAction(String);

impl Action {
    /// The action's name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Ask => "ask",
            Self::Allow => "allow",
        }
    }
}

impl FromStr for Action {
    type Err = NoSuchAction;

    fn from_str(text: &str) -> Result<Self, NoSuchAction> {
        let all = [Self::Deny, Self::Ask, Self::Allow];
        let found = all.into_iter().find(|action| action.as_str() == text);
        found.ok_or_else(|| NoSuchAction(text.escape_debug().to_string()))
    }
}

/// One side of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// Every VM, and the GUI VM's own programs.
    Any,
    /// One VM, or the GUI VM's own programs.
    One(Origin),
}

impl Side {
    fn is(&self, origin: &Origin) -> bool {
        match self {
            Self::Any => true,
            Self::One(one) => one == origin,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::One(origin) => origin.fmt(f),
        }
    }
}

/// A rule for some ordered pairs of VMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where the content is from.
    pub from: Side,
    /// Where it goes.
    pub to: Side,
    /// Whether it may.
    pub action: Action,
    /// The longest content of each kind, in bytes.
    pub max_bytes: usize,
    /// The kinds that may pass.
    pub kinds: Vec<Kind>,
    /// How long content is kept: after it was copied, and once more after it was pasted into the VM's own clipboard.
    pub ttl: Duration,
    /// Whether it is forgotten once it is pasted.
    pub wipe: bool,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            from: Side::Any,
            to: Side::Any,
            action: Action::default(),
            max_bytes: 64_000,
            kinds: vec![Kind::Text],
            ttl: Duration::from_secs(60),
            wipe: true,
        }
    }
}

impl Rule {
    fn is_about(&self, from: &Origin, to: &Origin) -> bool {
        self.from.is(from) && self.to.is(to)
    }
}

/// All rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The rules in their order.
    pub list: Vec<Rule>,
    /// What counts for pairs that none of them is about.
    pub otherwise: Rule,
    /// How long a VM must have had the keyboard before anything is pasted into it.
    pub settle: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { list: Vec::new(), otherwise: Rule::default(), settle: Duration::from_millis(300) }
    }
}

/// What may be taken from a VM when it is not known yet where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The kinds that may pass to some other VM.
    pub kinds: Vec<Kind>,
    /// The most bytes of one kind that may.
    pub max_bytes: usize,
    /// The longest that they are kept for any.
    pub ttl: Duration,
}

impl From<&Rule> for Wanted {
    fn from(rule: &Rule) -> Self {
        Self { kinds: rule.kinds.clone(), max_bytes: rule.max_bytes, ttl: rule.ttl }
    }
}

impl Rules {
    /// The rule for a pair, and its number from 0; `None` in the number's stead for the one that counts otherwise.
    #[must_use]
    pub fn find(&self, from: &Origin, to: &Origin) -> (&Rule, Option<usize>) {
        let found = self.list.iter().enumerate().find(|(_, rule)| rule.is_about(from, to));
        found.map_or((&self.otherwise, None), |(index, rule)| (rule, Some(index)))
    }

    /// What may be taken from a VM for some of the others; `None`: nothing may leave it.
    pub fn wanted<'a>(&self, from: &Origin, others: impl Iterator<Item = &'a Origin>) -> Option<Wanted> {
        let rules = others.filter(|to| *to != from).map(|to| self.find(from, to).0);
        let mut all: Option<Wanted> = None;
        for rule in rules.filter(|rule| rule.action != Action::Deny) {
            let wanted = all.get_or_insert_with(|| Wanted::from(rule));
            wanted.kinds.extend(&rule.kinds);
            wanted.max_bytes = wanted.max_bytes.max(rule.max_bytes);
            wanted.ttl = wanted.ttl.max(rule.ttl);
        }
        if let Some(wanted) = &mut all {
            wanted.kinds.sort_unstable();
            wanted.kinds.dedup();
        }
        all
    }

    /// The numbers of the rules, from 0, that no pair of these comes to, because rules before them are about the same pairs.
    #[must_use]
    pub fn unreached(&self, origins: &[Origin]) -> Vec<usize> {
        let pairs = || origins.iter().flat_map(|from| origins.iter().map(move |to| (from, to)));
        let mut reached = vec![false; self.list.len()];
        for (from, to) in pairs().filter(|(from, to)| from != to) {
            if let (_, Some(index)) = self.find(from, to)
                && let Some(reached) = reached.get_mut(index)
            {
                *reached = true;
            }
        }
        reached.into_iter().enumerate().filter(|(_, reached)| !reached).map(|(index, _)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(name: &str) -> Origin {
        Origin::Vm(name.parse().unwrap())
    }

    fn side(name: &str) -> Side {
        match name {
            "*" => Side::Any,
            "local" => Side::One(Origin::Local),
            name => Side::One(vm(name)),
        }
    }

    fn rules(list: &[(&str, &str, Action)]) -> Rules {
        let rule = |(from, to, action): &(&str, &str, Action)| Rule {
            from: side(from),
            to: side(to),
            action: *action,
            ..Rule::default()
        };
        Rules { list: list.iter().map(rule).collect(), ..Rules::default() }
    }

    #[test]
    fn the_first_rule_about_a_pair_counts_and_its_direction_matters() {
        let rules = rules(&[
            ("vault", "*", Action::Deny),
            ("work", "web", Action::Allow),
            ("*", "vault", Action::Ask),
            ("work", "*", Action::Deny),
        ]);
        for (from, to, action, index) in [
            ("vault", "web", Action::Deny, Some(0)),
            ("work", "web", Action::Allow, Some(1)),
            ("web", "work", Action::Ask, None),
            ("work", "vault", Action::Ask, Some(2)),
            ("work", "mail", Action::Deny, Some(3)),
        ] {
            let (rule, found) = rules.find(&vm(from), &vm(to));
            assert_eq!((rule.action, found), (action, index), "{from} to {to}");
        }
        assert_eq!(rules.find(&vm("work"), &Origin::Local).1, Some(3));
        assert_eq!(rules.find(&Origin::Local, &vm("work")).1, None);
    }

    #[test]
    fn what_is_taken_is_what_some_other_vm_may_have() {
        let mut rules = rules(&[("work", "web", Action::Ask), ("work", "*", Action::Deny)]);
        let origins = [Origin::Local, vm("work"), vm("web"), vm("mail")];
        let wanted = |rules: &Rules| rules.wanted(&vm("work"), origins.iter());
        assert_eq!(wanted(&rules).unwrap().kinds, [Kind::Text]);
        rules.list[0].kinds = vec![Kind::Png, Kind::Text];
        rules.list[0].max_bytes = 7;
        rules.list[1] = Rule { action: Action::Ask, ttl: Duration::from_secs(99), ..rules.list[1].clone() };
        let all = wanted(&rules).unwrap();
        assert_eq!(all.kinds, [Kind::Text, Kind::Png]);
        assert_eq!((all.max_bytes, all.ttl), (64_000, Duration::from_secs(99)));
        rules.list.truncate(0);
        rules.otherwise.action = Action::Deny;
        assert_eq!(wanted(&rules), None);
    }

    #[test]
    fn rules_behind_others_about_the_same_pairs_are_found() {
        let origins = [Origin::Local, vm("work"), vm("web")];
        let unreached = |list: &[(&str, &str, Action)]| rules(list).unreached(&origins);
        assert_eq!(unreached(&[("*", "*", Action::Ask), ("work", "web", Action::Deny)]), [1]);
        assert_eq!(unreached(&[("work", "web", Action::Deny), ("*", "*", Action::Ask)]), [0_usize; 0]);
        let split = [
            ("work", "web", Action::Deny),
            ("work", "local", Action::Deny),
            ("work", "*", Action::Ask),
            ("*", "work", Action::Ask),
        ];
        assert_eq!(unreached(&split), [2], "the two before it are about all that there are");
    }
}
