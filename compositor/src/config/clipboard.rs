//! `[clipboard]`, and its rules for what is pasted from one VM into another.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use vitrail_protocols::VmName;

use super::Config;
use super::document::{Mistake, word};
use crate::trust::clipboard::kind::Kind;
use crate::trust::clipboard::rules::{Action, Rule, Rules, Side};
use crate::trust::origin::Origin;

/// The most rules.
const MAX_RULES: usize = 256;
/// The most bytes that a rule may let pass.
const MAX_BYTES: usize = 16 << 20;
/// The longest that content may be kept, in seconds.
const MAX_TTL: u64 = 86_400;
/// The longest that a VM may have to have had the keyboard, in milliseconds.
const MAX_SETTLE: u64 = 10_000;
/// What stands for every VM and the GUI VM's own programs.
const ANY: &str = "*";

/// The table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Clipboard {
    settle: Option<Spanned<u64>>,
    rule: Vec<Spanned<RuleTable>>,
}

/// A rule as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    from: Spanned<String>,
    to: Spanned<String>,
    action: Spanned<String>,
    max_bytes: Option<Spanned<usize>>,
    types: Option<Spanned<Vec<Spanned<String>>>>,
    ttl: Option<Spanned<u64>>,
    wipe: Option<bool>,
}

impl Clipboard {
    /// Checks what the types alone do not say. `vms` are those that the configuration has.
    pub(super) fn check<V>(&self, vms: &BTreeMap<VmName, V>) -> Result<Rules, Mistake> {
        let defaults = Rules::default();
        let settle = match &self.settle {
            Some(settle) if *settle.get_ref() > MAX_SETTLE => {
                return Err(Mistake::at(settle, format!("settle is at most {MAX_SETTLE} milliseconds")));
            }
            Some(settle) => Duration::from_millis(*settle.get_ref()),
            None => defaults.settle,
        };
        if let Some(extra) = self.rule.get(MAX_RULES) {
            return Err(Mistake::at(extra, format!("There are at most {MAX_RULES} rules of the clipboard")));
        }
        let list = self.rule.iter().map(|rule| rule.get_ref().check(vms)).collect::<Result<_, _>>()?;
        Ok(Rules { list, settle, ..defaults })
    }
}

impl RuleTable {
    fn check<V>(&self, vms: &BTreeMap<VmName, V>) -> Result<Rule, Mistake> {
        let (from, to) = (side(&self.from, vms)?, side(&self.to, vms)?);
        if from == to && from != Side::Any {
            let message = format!("Within {from} nothing is asked; a rule is about two of them");
            return Err(Mistake::at(&self.to, message));
        }
        let action: Action = word(&self.action)?;
        let defaults = Rule::default();
        let max_bytes = match &self.max_bytes {
            Some(bytes) if !(1..=MAX_BYTES).contains(bytes.get_ref()) => {
                return Err(Mistake::at(bytes, format!("max_bytes is from 1 to {MAX_BYTES}")));
            }
            Some(bytes) => *bytes.get_ref(),
            None => defaults.max_bytes,
        };
        let ttl = match &self.ttl {
            Some(ttl) if !(1..=MAX_TTL).contains(ttl.get_ref()) => {
                return Err(Mistake::at(ttl, format!("ttl is from 1 to {MAX_TTL} seconds")));
            }
            Some(ttl) => Duration::from_secs(*ttl.get_ref()),
            None => defaults.ttl,
        };
        let kinds = match &self.types {
            Some(types) => kinds(types)?,
            None => defaults.kinds,
        };
        Ok(Rule { from, to, action, max_bytes, kinds, ttl, wipe: self.wipe.unwrap_or(defaults.wipe) })
    }
}

/// A side of a pair by its name.
fn side<V>(name: &Spanned<String>, vms: &BTreeMap<VmName, V>) -> Result<Side, Mistake> {
    let text = name.get_ref().as_str();
    if text == ANY {
        return Ok(Side::Any);
    }
    if text == Origin::Local.name() {
        return Ok(Side::One(Origin::Local));
    }
    match text.parse::<VmName>() {
        Ok(vm) if vms.contains_key(&vm) => Ok(Side::One(Origin::Vm(vm))),
        _ => {
            let shown = text.escape_debug();
            Err(Mistake::at(name, format!("There is no VM \"{shown}\"; there are also \"local\" and \"*\"")))
        }
    }
}

fn kinds(types: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<Kind>, Mistake> {
    let mut kinds = types.get_ref().iter().map(word).collect::<Result<Vec<Kind>, _>>()?;
    if kinds.is_empty() {
        return Err(Mistake::at(types, "types has at least one; action = \"deny\" lets nothing pass"));
    }
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}

impl Config {
    /// The GUI VM's own programs, and all VMs.
    pub fn origins(&self) -> impl Iterator<Item = Origin> {
        std::iter::once(Origin::Local).chain(self.vms.keys().cloned().map(Origin::Vm))
    }

    /// What is no mistake, and probably not meant: rules that are never reached.
    #[must_use]
    pub fn clipboard_warnings(&self) -> Vec<String> {
        let origins: Vec<Origin> = self.origins().collect();
        let unreached = self.clipboard.unreached(&origins).into_iter();
        let told = unreached.filter_map(|index| {
            let Rule { from, to, action, .. } = self.clipboard.list.get(index)?;
            let number = index.saturating_add(1);
            Some(format!(
                "rule {number} of [[clipboard.rule]] (from \"{from}\" to \"{to}\": {}) is never reached: rules before it are about \
                 all of its pairs",
                action.as_str()
            ))
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const VMS: &str = "[vm.work]\ncolor = \"#123456\"\n[vm.web]\ncolor = \"#654321\"\n";

    fn read(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("vitrail.toml"), &format!("{VMS}{text}")).map_err(|error| error.one_line())
    }

    fn vm(name: &str) -> Origin {
        Origin::Vm(name.parse().unwrap())
    }

    #[test]
    fn without_rules_the_user_is_asked_about_text() {
        let rules = read("").unwrap().clipboard;
        let (rule, number) = rules.find(&vm("work"), &Origin::Local);
        assert_eq!((rule.action, number, rules.settle), (Action::Ask, None, Duration::from_millis(300)));
        assert_eq!((rule.max_bytes, rule.ttl, rule.wipe), (64_000, Duration::from_secs(60), true));
        assert_eq!(rule.kinds, [Kind::Text]);
    }

    #[test]
    fn every_key_of_a_rule_counts() {
        let rules = read(
            "[clipboard]\nsettle = 1000\n[[clipboard.rule]]\nfrom = \"work\"\nto = \"local\"\naction = \"allow\"\n\
             max_bytes = 5\ntypes = [\"image/png\", \"text/plain\"]\nttl = 9\nwipe = false\n\
             [[clipboard.rule]]\nfrom = \"*\"\nto = \"web\"\naction = \"deny\"\n",
        )
        .unwrap()
        .clipboard;
        assert_eq!(rules.settle, Duration::from_millis(1000));
        let (rule, number) = rules.find(&vm("work"), &Origin::Local);
        let expected = Rule {
            from: Side::One(vm("work")),
            to: Side::One(Origin::Local),
            action: Action::Allow,
            max_bytes: 5,
            kinds: vec![Kind::Text, Kind::Png],
            ttl: Duration::from_secs(9),
            wipe: false,
        };
        assert_eq!((rule, number), (&expected, Some(0)));
        assert_eq!(rules.find(&vm("work"), &vm("web")).0.action, Action::Deny);
        assert_eq!(rules.find(&vm("web"), &vm("work")).0.action, Action::Ask);
    }

    #[test]
    fn what_is_no_rule_is_refused_where_it_stands() {
        let rule = "[[clipboard.rule]]\nfrom = \"work\"\nto = \"web\"\naction = \"ask\"\n";
        for (text, message) in [
            ("[clipboard]\nsettel = 1\n", "vitrail.toml:6: unknown field `settel`"),
            ("[clipboard]\nsettle = 10001\n", "vitrail.toml:6: settle is at most 10000 milliseconds"),
            (&format!("{rule}types = []\n"), "vitrail.toml:9: types has at least one"),
            (
                &format!("{rule}types = [\"text/rtf\"]\n"),
                "vitrail.toml:9: \"text/rtf\" is none of text/plain",
            ),
            (
                &format!("{rule}types = [\"text/uri-list\"]\n"),
                "vitrail.toml:9: files never go from one VM to another by the clipboard",
            ),
            (&format!("{rule}max_bytes = 0\n"), "vitrail.toml:9: max_bytes is from 1 to 16777216"),
            (&format!("{rule}ttl = 0\n"), "vitrail.toml:9: ttl is from 1 to 86400 seconds"),
            (&format!("{rule}wype = true\n"), "vitrail.toml:9: unknown field `wype`"),
            (&rule.replace("web", "wbe"), "vitrail.toml:7: There is no VM \"wbe\""),
            (&rule.replace("web", "work"), "vitrail.toml:7: Within work nothing is asked"),
            (&rule.replace("\"ask\"", "\"aks\""), "vitrail.toml:8: \"aks\" is none of deny, ask and allow"),
            ("[[clipboard.rule]]\nfrom = \"*\"\nto = \"*\"\n", "vitrail.toml:5: missing field `action`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        let rules = rule.repeat(MAX_RULES + 1);
        assert!(read(&rules).unwrap_err().contains("There are at most 256 rules"));
    }

    #[test]
    fn rules_that_are_never_reached_are_told() {
        let rule = |from: &str, to: &str| {
            format!("[[clipboard.rule]]\nfrom = \"{from}\"\nto = \"{to}\"\naction = \"deny\"\n")
        };
        assert_eq!(read(&(rule("work", "web") + &rule("*", "*"))).unwrap().clipboard_warnings(), [""; 0]);
        let warnings = read(&(rule("*", "web") + &rule("work", "web"))).unwrap().clipboard_warnings();
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert!(
            warning.starts_with(
                "rule 2 of [[clipboard.rule]] (from \"work\" to \"web\": deny) is never reached"
            )
        );
    }
}
