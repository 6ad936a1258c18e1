//! Why a VM sees an interface, or does not: the answer to `vitrailctl why`.
//!
//! The answer is derived from what decides in earnest: the policy of the VM in the configuration that is in force, which the
//! gate enforces as well, and the list of globals that the compositor offers.

use std::fmt::Write as _;

use vitrail_protocols::VmName;
use vitrail_protocols::globals::{self as known, Class};
use vitrail_protocols::policy::{Key, Rule, Scope, Verdict};

use super::protocol::{DecidedBy, VersionFrom, WhyReport};
use crate::config::Config;
use crate::handlers::globals::{self as offered, Audience, Offered};
use crate::trust::origin::Origin;

/// Says whether a VM (or `local`) sees an interface, and which rule decided.
#[must_use]
pub fn explain(config: &Config, path: Option<String>, vm: &str, interface: &str) -> WhyReport {
    let global = known::lookup(interface);
    let offered = offered::lookup(interface);
    let mut report = WhyReport {
        vm: vm.to_owned(),
        interface: interface.to_owned(),
        visible: false,
        version: None,
        decided_by: DecidedBy::UnknownVm,
        key: None,
        version_from: None,
        version_key: None,
        class: global.map(|global| global.class),
        reason: global.map(|global| global.reason.to_owned()),
        known: global.map(|global| global.max_version).filter(|version| *version > 0),
        offered: offered.map(|offered| offered.version),
        config: path,
    };
    if vm == Origin::Local.name() {
        report.decide_for_local(offered);
    } else if let Some(policy) =
        vm.parse::<VmName>().ok().and_then(|name| config.policy(&Origin::Vm(name)).cloned())
    {
        report.decide_for_vm(policy.verdict(interface), offered);
    }
    report
}

impl WhyReport {
    fn decide_for_local(&mut self, offered: Option<&Offered>) {
        self.decided_by = match offered.map(|offered| offered.audience) {
            None => DecidedBy::NotOffered,
            Some(Audience::Gate) => DecidedBy::GateOnly,
            Some(Audience::Everybody | Audience::Local) => DecidedBy::Local,
        };
        if self.decided_by == DecidedBy::Local {
            self.show(self.offered, VersionFrom::Compositor);
        }
    }

    fn decide_for_vm(&mut self, verdict: Verdict, offered: Option<&Offered>) {
        let place = |scope: Scope, key| scope.place(&self.vm, key);
        (self.decided_by, self.key) = match verdict.rule {
            Rule::Unknown => (DecidedBy::UnknownInterface, None),
            Rule::Class(_) => (DecidedBy::Class, None),
            Rule::Allowed(scope) => (DecidedBy::Allowed, Some(place(scope, Key::Allow))),
            Rule::Denied(scope) => (DecidedBy::Denied, Some(place(scope, Key::Deny))),
        };
        let version_key = verdict.capped_by.map(|scope| place(scope, Key::MaxVersion));
        let Some(max_version) = verdict.max_version else { return };
        let Some(Offered { version, audience: Audience::Everybody, .. }) = offered else {
            self.decided_by = DecidedBy::NotOffered;
            return;
        };
        let from = match &version_key {
            _ if *version <= max_version => VersionFrom::Compositor,
            None => VersionFrom::Table,
            Some(_) => VersionFrom::Configuration,
        };
        self.show(Some(max_version.min(*version)), from);
        self.version_key = version_key.filter(|_| from == VersionFrom::Configuration);
    }

    fn show(&mut self, version: Option<u32>, from: VersionFrom) {
        self.visible = true;
        self.version = version;
        self.version_from = Some(from);
    }

    /// The answer as people read it.
    #[must_use]
    pub fn text(&self) -> String {
        let (vm, interface) = (self.vm.escape_debug(), self.interface.escape_debug());
        let mut text = match self.version {
            Some(version) => format!("{vm} sees {interface} in version {version}.\n\n"),
            None => format!("{vm} does not see {interface}.\n\n"),
        };
        let mut line = |name: &str, what: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<11} {what}");
        };
        line("rule", &self.rule_text());
        if let (Some(class), Some(reason)) = (self.class, &self.reason) {
            line("class", &format!("{}: {reason}", class.as_str()));
        }
        if let Some(from) = self.version_from {
            line("version", &self.version_text(from));
        }
        line(
            "compositor",
            &match self.offered {
                Some(version) => format!("offers version {version}"),
                None => String::from("does not offer it"),
            },
        );
        text
    }

    fn file(&self) -> &str {
        self.config.as_deref().unwrap_or("the built-in configuration")
    }

    /// The place in the configuration that decided.
    fn place(&self, key: Option<&String>) -> String {
        format!("{} in {}", key.map_or("the configuration", String::as_str), self.file())
    }

    fn rule_text(&self) -> String {
        let key = || self.place(self.key.as_ref());
        match self.decided_by {
            DecidedBy::UnknownVm => {
                format!(
                    "no table [vm.{}] in {}: a VM without one is refused",
                    self.vm.escape_debug(),
                    self.file()
                )
            }
            DecidedBy::UnknownInterface => String::from(
                "unknown interface: docs/protocols.md does not list it, and no other is shown to a VM",
            ),
            DecidedBy::Class => match self.class {
                Some(Class::Never) => {
                    String::from("its class, which is never shown to a VM and cannot be allowed")
                }
                Some(Class::OptIn) => {
                    format!("its class, which is shown if allowed; {} does not allow it", self.file())
                }
                _ => String::from("its class, which every VM sees"),
            },
            DecidedBy::Allowed => format!("allowed by {}", key()),
            DecidedBy::Denied => format!("denied by {}", key()),
            DecidedBy::NotOffered if self.key.is_some() => {
                format!("the compositor does not offer it; it is allowed by {}", key())
            }
            DecidedBy::NotOffered => String::from("the compositor does not offer it"),
            DecidedBy::Local => {
                String::from("programs of the GUI VM itself see all that the compositor offers")
            }
            DecidedBy::GateOnly => {
                String::from("the gate that the compositor started sees it, and nobody else")
            }
        }
    }

    fn version_text(&self, from: VersionFrom) -> String {
        match from {
            VersionFrom::Compositor => String::from("the one that the compositor offers"),
            VersionFrom::Table => String::from("the highest that the gate knows"),
            VersionFrom::Configuration => format!("lowered by {}", self.place(self.version_key.as_ref())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const CONFIG: &str = "
        [defaults.protocols]
        deny = ['wp_presentation']
        max_version = { wl_output = 2 }
        [vm.work]
        color = '#2e7d32'
        [vm.work.protocols]
        allow = ['ext_image_copy_capture_manager_v1', 'wp_pointer_warp_v1']
        deny = ['wp_viewporter']
        max_version = { wl_seat = 5 }
        [vm.web]
        color = '#c62828'
    ";

    fn why(vm: &str, interface: &str) -> WhyReport {
        let config = Config::parse(Path::new("v.toml"), CONFIG).unwrap();
        explain(&config, Some("/etc/v.toml".to_owned()), vm, interface)
    }

    const EVERY: &str = "its class, which every VM sees";
    const NEVER: &str = "its class, which is never shown to a VM and cannot be allowed";
    const OPT_IN: &str = "its class, which is shown if allowed; /etc/v.toml does not allow it";
    const UNKNOWN: &str =
        "unknown interface: docs/protocols.md does not list it, and no other is shown to a VM";
    const STRANGER: &str = "no table [vm.other] in /etc/v.toml: a VM without one is refused";
    const LOCAL: &str = "programs of the GUI VM itself see all that the compositor offers";
    const GATE: &str = "the gate that the compositor started sees it, and nobody else";

    #[test]
    fn each_rule_is_named_with_what_it_says() {
        for (vm, interface, version, decided_by, rule) in [
            ("work", "wl_shm", Some(2), DecidedBy::Class, EVERY),
            ("work", "wl_seat", Some(5), DecidedBy::Class, EVERY),
            (
                "work",
                "wp_viewporter",
                None,
                DecidedBy::Denied,
                "denied by [vm.work.protocols] deny in /etc/v.toml",
            ),
            ("web", "wp_viewporter", Some(1), DecidedBy::Class, EVERY),
            (
                "web",
                "wp_presentation",
                None,
                DecidedBy::Denied,
                "denied by [defaults.protocols] deny in /etc/v.toml",
            ),
            ("web", "zwlr_layer_shell_v1", None, DecidedBy::Class, NEVER),
            ("web", "ext_idle_notifier_v1", None, DecidedBy::Class, OPT_IN),
            (
                "work",
                "wp_pointer_warp_v1",
                None,
                DecidedBy::NotOffered,
                "the compositor does not offer it; it is allowed by [vm.work.protocols] allow in /etc/v.toml",
            ),
            (
                "work",
                "ext_image_copy_capture_manager_v1",
                Some(1),
                DecidedBy::Allowed,
                "allowed by [vm.work.protocols] allow in /etc/v.toml",
            ),
            ("web", "ext_image_copy_capture_manager_v1", None, DecidedBy::Class, OPT_IN),
            ("local", "ext_image_copy_capture_manager_v1", Some(1), DecidedBy::Local, LOCAL),
            ("local", "zwlr_screencopy_manager_v1", Some(3), DecidedBy::Local, LOCAL),
            ("work", "zwlr_screencopy_manager_v1", None, DecidedBy::Class, NEVER),
            ("web", "wp_security_context_manager_v1", None, DecidedBy::Class, NEVER),
            ("web", "wp_viewport", None, DecidedBy::UnknownInterface, UNKNOWN),
            ("other", "wl_shm", None, DecidedBy::UnknownVm, STRANGER),
            ("local", "wp_presentation", Some(2), DecidedBy::Local, LOCAL),
            ("local", "wp_security_context_manager_v1", None, DecidedBy::GateOnly, GATE),
            ("local", "zwp_virtual_keyboard_manager_v1", Some(1), DecidedBy::Local, LOCAL),
            ("work", "zwp_virtual_keyboard_manager_v1", None, DecidedBy::Class, NEVER),
            ("local", "wl_drm", None, DecidedBy::NotOffered, "the compositor does not offer it"),
        ] {
            let report = why(vm, interface);
            let found = (report.version, report.visible, report.decided_by);
            assert_eq!(found, (version, version.is_some(), decided_by), "{vm} {interface}");
            assert_eq!(report.rule_text(), rule, "{vm} {interface}");
        }
    }

    #[test]
    fn what_the_compositor_does_not_offer_is_said_beside_the_rule() {
        let text = why("web", "wp_pointer_warp_v1").text();
        assert!(text.starts_with("web does not see wp_pointer_warp_v1.\n\nrule "), "{text}");
        assert!(text.contains("\nclass       opt-in: Moves the pointer within"), "{text}");
        assert!(text.ends_with("\ncompositor  does not offer it\n"), "{text}");
    }

    #[test]
    fn the_version_is_explained() {
        let version = |vm: &str, interface: &str| {
            let report = why(vm, interface);
            report.version.zip(report.version_from.map(|from| report.version_text(from)))
        };
        for (vm, interface, number, text) in [
            ("work", "wl_seat", 5, "lowered by [vm.work.protocols] max_version in /etc/v.toml"),
            ("web", "wl_seat", 9, "the one that the compositor offers"),
            ("work", "wl_output", 2, "lowered by [defaults.protocols] max_version in /etc/v.toml"),
        ] {
            assert_eq!(version(vm, interface), Some((number, text.to_owned())), "{vm} {interface}");
        }
        assert_eq!(version("work", "wp_viewporter"), None);
    }

    /// The answer and what clients are shown come from the same two places; here they are compared for every interface.
    #[test]
    fn the_answer_is_what_the_policy_and_the_list_say() {
        let config = Config::parse(Path::new("v.toml"), CONFIG).unwrap();
        for name in ["work", "web"] {
            let policy = config.policy(&Origin::Vm(name.parse().unwrap())).unwrap();
            let names = known::GLOBALS.iter().map(|global| global.interface);
            for interface in names.chain(offered::OFFERED.iter().map(|offered| offered.interface)) {
                let offered = offered::lookup(interface);
                let expected = offered.and_then(|one| policy.visible_version(interface, one.version));
                let report = why(name, interface);
                assert_eq!(report.version, expected, "{name} {interface}");
                assert_eq!(report.text().contains(" does not see "), expected.is_none(), "{}", report.text());
            }
        }
    }

    #[test]
    fn nothing_in_a_question_reaches_the_terminal_as_it_is() {
        let text = why("a\u{1b}[31m", "b\nc").text();
        assert!(!text.contains('\u{1b}') && text.contains("b\\nc"), "{text}");
    }
}
