//! What one VM sees of the known globals: the table of [`globals`], and what the operator changes about
//! it in the configuration.
//!
//! # Model
//!
//! The tables `[defaults.protocols]` and `[vm.NAME.protocols]` ([`ProtocolsTable`]) are each checked into [`Rules`]: every
//! interface in them is known, none is of the class [`Class::Never`], and none is both allowed and denied. The rules of both
//! are joined to a [`Policy`], interface by interface: what the VM's own table says of an interface takes the place of what
//! the defaults say of the same one, and everything else stays.
//!
//! A policy remembers which table said what, so that [`Policy::verdict`] can name the rule that decided.
//!
//! # Invariants
//!
//! * What the table of globals does not know, or never shows, no policy shows: [`Policy::verdict`] looks at the table first,
//!   so this does not depend on how the policy came about.
//! * No policy shows a higher version than the table does.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_spanned::Spanned;

use crate::globals::{self, Class, Global};
use crate::guard::Guard;

/// Which table of the configuration a rule stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// `[defaults.protocols]`.
    Defaults,
    /// `[vm.NAME.protocols]`.
    Vm,
}

/// A key of a table of protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `allow`.
    Allow,
    /// `deny`.
    Deny,
    /// `max_version`.
    MaxVersion,
}

impl Scope {
    /// The place of a key in the configuration, as people write it: `[vm.work.protocols] deny`.
    #[must_use]
    pub fn place(self, vm: &str, key: Key) -> String {
        let key = match key {
            Key::Allow => "allow",
            Key::Deny => "deny",
            Key::MaxVersion => "max_version",
        };
        match self {
            Self::Defaults => format!("[defaults.protocols] {key}"),
            Self::Vm => format!("[vm.{vm}.protocols] {key}"),
        }
    }
}

/// Why a rule is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The table of globals does not know the interface, so that the rule would do nothing.
    #[error("no interface is known by the name {0}; docs/protocols.md lists those that are")]
    Unknown(String),
    /// The table of globals never shows the interface.
    #[error("{interface} is never shown to a VM, whatever is configured: {reason}")]
    Never {
        /// The interface.
        interface: &'static str,
        /// Why, as the table of globals says it.
        reason: &'static str,
    },
    /// One table says both.
    #[error("{0} is both allowed and denied here")]
    Contradiction(&'static str),
    /// The version is none that the interface is shown in.
    #[error("the versions of {interface} are 1 to {highest}; to hide it, put it into `deny`")]
    Version {
        /// The interface.
        interface: &'static str,
        /// The highest version that the table of globals shows.
        highest: u32,
    },
}

/// What one table says: checked, but not yet joined with another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether an interface is allowed or denied.
    shown: BTreeMap<&'static str, bool>,
    max_versions: BTreeMap<&'static str, u32>,
}

impl Rules {
    /// Allows an interface: shows one of the class [`Class::OptIn`], or one that the defaults deny.
    ///
    /// # Errors
    /// It is unknown, never shown, or denied in the same table.
    pub fn allow(&mut self, interface: &str) -> Result<(), RuleError> {
        self.decide(overridable(interface)?, true)
    }

    /// Denies an interface. Those that are never shown may be denied too, which changes nothing.
    ///
    /// # Errors
    /// It is unknown, or allowed in the same table.
    pub fn deny(&mut self, interface: &str) -> Result<(), RuleError> {
        self.decide(known(interface)?, false)
    }

    fn decide(&mut self, global: &'static Global, shown: bool) -> Result<(), RuleError> {
        match self.shown.insert(global.interface, shown) {
            Some(before) if before != shown => Err(RuleError::Contradiction(global.interface)),
            _ => Ok(()),
        }
    }

    /// Sets the highest version in which an interface is shown, if it is.
    ///
    /// # Errors
    /// It is unknown or never shown, or the version is 0 or above the one of the table of globals.
    pub fn max_version(&mut self, interface: &str, version: u32) -> Result<(), RuleError> {
        let Global { interface, max_version: highest, .. } = *overridable(interface)?;
        if !(1..=highest).contains(&version) {
            return Err(RuleError::Version { interface, highest });
        }
        self.max_versions.insert(interface, version);
        Ok(())
    }
}

fn known(interface: &str) -> Result<&'static Global, RuleError> {
    globals::lookup(interface).ok_or_else(|| RuleError::Unknown(interface.to_owned()))
}

fn overridable(interface: &str) -> Result<&'static Global, RuleError> {
    let global = known(interface)?;
    if global.class == Class::Never {
        return Err(RuleError::Never { interface: global.interface, reason: global.reason });
    }
    Ok(global)
}

/// A table of protocols as it is written, with the places of what is in it. To be read from TOML.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtocolsTable {
    allow: Vec<Spanned<String>>,
    deny: Vec<Spanned<String>>,
    max_version: BTreeMap<Spanned<String>, Spanned<u32>>,
}

/// A rule that is none, and the bytes of the file it stands at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMistake {
    /// Where.
    pub span: Range<usize>,
    /// What.
    pub error: RuleError,
}

impl ProtocolsTable {
    /// Checks what is written.
    ///
    /// # Errors
    /// The first rule that is none.
    pub fn rules(&self) -> Result<Rules, RuleMistake> {
        fn at<T>(place: &Spanned<T>) -> impl FnOnce(RuleError) -> RuleMistake {
            let span = place.span();
            |error| RuleMistake { span, error }
        }
        let mut rules = Rules::default();
        for interface in &self.allow {
            rules.allow(interface.get_ref()).map_err(at(interface))?;
        }
        for interface in &self.deny {
            rules.deny(interface.get_ref()).map_err(at(interface))?;
        }
        for (interface, version) in &self.max_version {
            rules.max_version(interface.get_ref(), *version.get_ref()).map_err(|error| match error {
                RuleError::Version { .. } => at(version)(error),
                _ => at(interface)(error),
            })?;
        }
        Ok(rules)
    }
}

/// What one VM sees. The default is that of a VM of which the configuration says nothing.
///
/// It is handed to a gate worker as JSON, in which interfaces are text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    choices: BTreeMap<String, Choice>,
    caps: BTreeMap<String, Cap>,
}

/// That an interface is allowed or denied, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Choice {
    shown: bool,
    scope: Scope,
}

/// The highest version of an interface, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cap {
    version: u32,
    scope: Scope,
}

/// Which rule decides whether a VM sees an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The table of globals does not know it, and what is unknown is not shown.
    Unknown,
    /// Its class in the table of globals.
    Class(Class),
    /// The configuration allows it.
    Allowed(Scope),
    /// The configuration denies it.
    Denied(Scope),
}

/// What a policy says of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the table of globals knows of it.
    pub global: Option<&'static Global>,
    /// Which rule decided.
    pub rule: Rule,
    /// The highest version that the VM may see; `None` if it does not see the interface.
    pub max_version: Option<u32>,
    /// Where the configuration made that version lower than the table of globals does.
    pub capped_by: Option<Scope>,
}

impl Policy {
    /// Joins what the defaults and the VM's own table say: of each interface the VM's word counts, if there is one.
    #[must_use]
    pub fn new(defaults: &Rules, vm: &Rules) -> Self {
        let mut policy = Self::default();
        for (rules, scope) in [(defaults, Scope::Defaults), (vm, Scope::Vm)] {
            for (interface, shown) in &rules.shown {
                policy.choices.insert((*interface).to_owned(), Choice { shown: *shown, scope });
            }
            for (interface, version) in &rules.max_versions {
                policy.caps.insert((*interface).to_owned(), Cap { version: *version, scope });
            }
        }
        policy
    }

    /// What the policy says of an interface, and why.
    #[must_use]
    pub fn verdict(&self, interface: &str) -> Verdict {
        let Some(global) = globals::lookup(interface) else {
            return Verdict { global: None, rule: Rule::Unknown, max_version: None, capped_by: None };
        };
        let (rule, shown) = match self.choices.get(interface) {
            _ if global.class == Class::Never => (Rule::Class(global.class), false),
            None => (Rule::Class(global.class), global.class.allowed_by_default()),
            Some(Choice { shown: true, scope }) => (Rule::Allowed(*scope), true),
            Some(Choice { shown: false, scope }) => (Rule::Denied(*scope), false),
        };
        let cap = self.caps.get(interface).filter(|cap| cap.version < global.max_version);
        let max_version = cap.map_or(global.max_version, |cap| cap.version);
        let max_version = Some(max_version).filter(|version| shown && *version > 0);
        let capped_by = cap.filter(|_| max_version.is_some()).map(|cap| cap.scope);
        Verdict { global: Some(global), rule, max_version, capped_by }
    }

    /// The version in which the VM sees an interface that the compositor offers in version `offered`; `None` if it does not
    /// see it at all.
    #[must_use]
    pub fn visible_version(&self, interface: &str, offered: u32) -> Option<u32> {
        if !Guard::Globals.holds() {
            return Some(offered);
        }
        let max_version = self.verdict(interface).max_version?;
        Some(max_version.min(offered)).filter(|version| *version > 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::globals::GLOBALS;

    fn rules(text: &str) -> Rules {
        toml::from_str::<ProtocolsTable>(text).unwrap().rules().unwrap()
    }

    /// What is wrong with a table, and the text that is blamed.
    fn mistake(text: &str) -> (String, &str) {
        let mistake = toml::from_str::<ProtocolsTable>(text).unwrap().rules().unwrap_err();
        (mistake.error.to_string(), text.get(mistake.span).unwrap())
    }

    #[test]
    fn each_rule_decides_where_it_should_and_is_named() {
        let defaults = rules(
            "allow = ['ext_idle_notifier_v1', 'wp_pointer_warp_v1']\ndeny = ['wp_presentation', 'wl_fixes']\n\
             max_version = { wl_seat = 7, wl_output = 2, wl_shm = 2 }",
        );
        let vm = rules(
            "allow = ['wp_presentation']\ndeny = ['wp_pointer_warp_v1', 'wp_viewporter', 'zwlr_layer_shell_v1']\n\
             max_version = { wl_output = 4, xdg_wm_base = 3 }",
        );
        let policy = Policy::new(&defaults, &vm);
        let class = Rule::Class;
        for (interface, rule, max_version, capped_by) in [
            // Untouched, by class.
            ("wl_compositor", class(Class::Core), Some(6), None),
            ("wp_fractional_scale_manager_v1", class(Class::Application), Some(1), None),
            ("zwp_linux_dmabuf_v1", class(Class::OptIn), None, None),
            ("zwlr_screencopy_manager_v1", class(Class::Never), None, None),
            ("brand_new_manager_v1", Rule::Unknown, None, None),
            ("", Rule::Unknown, None, None),
            // Either table alone.
            ("ext_idle_notifier_v1", Rule::Allowed(Scope::Defaults), Some(2), None),
            ("wl_fixes", Rule::Denied(Scope::Defaults), None, None),
            ("wp_viewporter", Rule::Denied(Scope::Vm), None, None),
            ("wl_seat", class(Class::Core), Some(7), Some(Scope::Defaults)),
            ("xdg_wm_base", class(Class::Core), Some(3), Some(Scope::Vm)),
            // The table's own highest version is no cap.
            ("wl_shm", class(Class::Core), Some(2), None),
            // The VM's own word counts, in either direction.
            ("wp_presentation", Rule::Allowed(Scope::Vm), Some(2), None),
            ("wp_pointer_warp_v1", Rule::Denied(Scope::Vm), None, None),
            ("wl_output", class(Class::Core), Some(4), None),
            // What is never shown is so whether or not it is denied as well.
            ("zwlr_layer_shell_v1", class(Class::Never), None, None),
        ] {
            let global = globals::lookup(interface);
            assert_eq!(
                policy.verdict(interface),
                Verdict { global, rule, max_version, capped_by },
                "{interface}"
            );
        }
        assert_eq!(policy.visible_version("wl_seat", 9), Some(7));
        assert_eq!(policy.visible_version("wl_seat", 5), Some(5));
        assert_eq!(policy.visible_version("wl_seat", 0), None);
        assert_eq!(policy.visible_version("wp_viewporter", 1), None);
    }

    #[test]
    fn rules_that_would_do_nothing_or_harm_are_mistakes_at_their_place() {
        for (text, says, blamed) in [
            (
                "allow = ['wl_fixes', 'wp_viewport']",
                "no interface is known by the name wp_viewport;",
                "'wp_viewport'",
            ),
            ("deny = ['wp_viewport']", "no interface is known by the name wp_viewport;", "'wp_viewport'"),
            (
                "max_version = { wp_viewport = 1 }",
                "no interface is known by the name wp_viewport;",
                "wp_viewport",
            ),
            (
                "allow = ['zwlr_layer_shell_v1']",
                "zwlr_layer_shell_v1 is never shown to a VM, whatever is configured: Draws over the whole screen",
                "'zwlr_layer_shell_v1'",
            ),
            ("max_version = { wl_drm = 1 }", "wl_drm is never shown to a VM", "wl_drm"),
            ("allow = ['wl_shm']\ndeny = [\n'wl_shm']", "wl_shm is both allowed and denied here", "'wl_shm'"),
            ("max_version = { wl_shm = 3 }", "the versions of wl_shm are 1 to 2;", "3"),
            ("max_version = { wl_shm = 0 }", "the versions of wl_shm are 1 to 2;", "0"),
        ] {
            let (message, place) = mistake(text);
            assert!(message.starts_with(says), "{text}: {message}");
            assert_eq!(place, blamed, "{text}");
        }
        for text in ["alow = []", "allow = 'wl_shm'", "max_version = { wl_shm = -1 }", "deny = [1]"] {
            assert!(toml::from_str::<ProtocolsTable>(text).is_err(), "{text}");
        }
        // Saying a thing twice is saying it.
        assert_eq!(rules("deny = ['wl_shm', 'wl_shm']"), rules("deny = ['wl_shm']"));
    }

    #[test]
    fn places_are_named_as_the_file_has_them() {
        assert_eq!(Scope::Vm.place("work", Key::Deny), "[vm.work.protocols] deny");
        assert_eq!(Scope::Defaults.place("work", Key::MaxVersion), "[defaults.protocols] max_version");
    }

    /// Any rules, of any interface: `Some(true)` allows, and what is refused is left out.
    fn any_rules() -> impl Strategy<Value = Rules> {
        let one = (0..GLOBALS.len(), any::<Option<bool>>(), 0_u32..12);
        proptest::collection::vec(one, 0..30).prop_map(|list| {
            let mut rules = Rules::default();
            for (at, shown, version) in list {
                let interface = GLOBALS[at].interface;
                let mut trial = rules.clone();
                let result = match shown {
                    Some(true) => trial.allow(interface),
                    Some(false) => trial.deny(interface),
                    None => trial.max_version(interface, version),
                };
                if result.is_ok() {
                    rules = trial;
                }
            }
            rules
        })
    }

    /// A policy that no file can say: even that shows nothing that must not be shown.
    fn forged() -> Policy {
        let choice = Choice { shown: true, scope: Scope::Vm };
        let names = GLOBALS.iter().map(|global| global.interface).chain(["brand_new_manager_v1"]);
        Policy {
            choices: names.clone().map(|name| (name.to_owned(), choice)).collect(),
            caps: names.map(|name| (name.to_owned(), Cap { version: 99, scope: Scope::Vm })).collect(),
        }
    }

    #[test]
    fn no_policy_shows_what_is_unknown_or_never_shown_or_in_a_higher_version() {
        for global in GLOBALS {
            let shown = forged().visible_version(global.interface, u32::MAX);
            let expected = (global.class != Class::Never).then_some(global.max_version);
            assert_eq!(shown, expected, "{}", global.interface);
        }
        assert_eq!(forged().visible_version("brand_new_manager_v1", 1), None);
    }

    proptest! {
        /// The verdict, derived anew from what the two tables say.
        #[test]
        fn a_policy_is_what_the_tables_say(defaults in any_rules(), vm in any_rules(), offered in 0_u32..12) {
            let policy = Policy::new(&defaults, &vm);
            let crossed: Policy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
            prop_assert_eq!(&crossed, &policy);
            for global in GLOBALS {
                let name = global.interface;
                let choice = vm.shown.get(name).or(defaults.shown.get(name)).copied();
                let shown = global.class != Class::Never && choice.unwrap_or(global.class.allowed_by_default());
                let cap = vm.max_versions.get(name).or(defaults.max_versions.get(name)).copied();
                let version = offered.min(cap.unwrap_or(global.max_version));
                let expected = (shown && version > 0).then_some(version);
                prop_assert_eq!(policy.visible_version(name, offered), expected, "{}", name);
            }
        }
    }
}
