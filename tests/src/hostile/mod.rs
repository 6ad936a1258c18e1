//! The hostile suite: what a VM tries, against the real programs, and what came of it.
//!
//! A [`Case`] is one attack. It belongs to a row of the threat model, runs in a session of its own, and passes or panics; what
//! it returns is the evidence, in words. A case names the [`Guard`]s that keep the attack from working, or says why there is
//! nothing that could be switched off. `cargo xtask hostile` runs all cases with everything in force; with `--without-guard` it
//! runs each with its guards switched off, and then it must fail: a case that passes without its guard tries nothing.
//!
//! What nobody defends against yet is in the table too, as what it is: [`Trial::Undefended`] fails by definition.

use vitrail_protocols::Guard;

pub mod cases;
pub mod flood;
pub mod fuzz;
pub mod page;
pub mod stage;

/// What a case does.
#[derive(Clone, Copy, Debug)]
pub enum Trial {
    /// Tries the attack, panics when it works, and says in words what was seen instead.
    Attack(fn() -> String),
    /// The same attack is tried by tests of the named file alone: it needs what no client of a session can do.
    Elsewhere(&'static str),
    /// Nothing keeps the attack from working, or nothing tries it; why.
    Undefended(&'static str),
}

/// How a case is seen to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// With these guards switched off.
    Guards(&'static [Guard]),
    /// Nothing can be switched off; why.
    Nothing(&'static str),
}

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The row of the threat model.
    pub row: u8,
    /// What it is called on the command line and in the reports.
    pub name: &'static str,
    /// The attack, in words.
    pub attack: &'static str,
    /// How it is seen to fail.
    pub without: Without,
    /// What it does.
    pub trial: Trial,
}

impl Case {
    /// An attack that guards keep from working.
    #[must_use]
    pub const fn new(
        row: u8,
        name: &'static str,
        attack: &'static str,
        guards: &'static [Guard],
        act: fn() -> String,
    ) -> Self {
        Self { row, name, attack, without: Without::Guards(guards), trial: Trial::Attack(act) }
    }

    /// An attack against which there is nothing that could be switched off.
    #[must_use]
    pub const fn fixed(
        row: u8,
        name: &'static str,
        attack: &'static str,
        why: &'static str,
        act: fn() -> String,
    ) -> Self {
        Self { row, name, attack, without: Without::Nothing(why), trial: Trial::Attack(act) }
    }

    /// An attack that is tried by other tests.
    #[must_use]
    pub const fn elsewhere(row: u8, name: &'static str, attack: &'static str, by: &'static str) -> Self {
        let why = "tried by other tests, each of which was seen to fail";
        Self { row, name, attack, without: Without::Nothing(why), trial: Trial::Elsewhere(by) }
    }

    /// An attack that works, or of which nobody knows.
    #[must_use]
    pub const fn undefended(row: u8, name: &'static str, attack: &'static str, why: &'static str) -> Self {
        let without = Without::Nothing("there is no guard");
        Self { row, name, attack, without, trial: Trial::Undefended(why) }
    }

    /// The guards that keep the attack from working.
    #[must_use]
    pub fn guards(&self) -> &'static [Guard] {
        match self.without {
            Without::Guards(guards) => guards,
            Without::Nothing(_) => &[],
        }
    }
}

/// All cases, by row.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut all: Vec<Case> = cases::TABLES.iter().flat_map(|table| table.iter().copied()).collect();
    all.sort_by_key(|case| case.row);
    all
}

/// The attacks that the threat model lists one by one, and the case that tries each.
pub const LISTED: &[(&str, &str)] = &[
    ("border: no commit", "no-commit"),
    ("border: 1x1", "one-pixel"),
    ("border: 16384 squared", "monstrous-size"),
    ("border: negative geometry", "negative-geometry"),
    ("border: geometry far larger than the buffer", "large-geometry"),
    ("border: subsurface outside", "subsurface-outside"),
    ("border: subsurface depth 10k", "subsurface-depth"),
    ("border: 10k popups", "many-popups"),
    ("border: popup parented off-screen", "popup-off-screen"),
    ("border: reposition storms", "reposition-storm"),
    ("border: viewport upscale", "viewport-upscale"),
    ("border: alpha 0", "alpha-zero"),
    ("border: input region empty", "empty-input-region"),
    ("border: fullscreen and unset race", "fullscreen-race"),
    ("border: maximise and move mid-drag", "maximise-mid-drag"),
    ("border: minimised thumbnails", "minimised-thumbnail"),
    ("border: overview", "overview"),
    ("border: animations", "animations"),
    ("border: two outputs, scale change, hotplug", "outputs-and-scales"),
    ("title: 1 MiB", "title-huge"),
    ("title: U+202E", "title-direction"),
    ("title: other VM's name", "title-other-vm"),
    ("title: NUL", "title-nul"),
    ("cursor: 8192 px, hotspot outside", "cursor-huge"),
    ("cursor: alternating hide", "cursor-hide"),
    ("drag icon full-screen", "drag-icon"),
    ("bind hidden global by number", "hidden-globals"),
    ("security-context from VM", "security-context"),
    ("activation token from VM A used by VM B", "foreign-token"),
    ("xdg-foreign handle reuse", "foreign-handle"),
    ("selection offered on focus", "selection-on-focus"),
    ("receive during drag hover", "drag-hover"),
    ("slow or never-reading paste descriptor", "never-reading-paste"),
    ("2 GiB clip", "huge-clip"),
    ("long-short clip residue", "clip-residue"),
    ("late clipboard answer", "late-clip"),
    ("stalled VM mid-message, then chord", "stalled-then-chord"),
    ("held key across focus change", "held-key"),
    ("keys typed during steal", "keys-during-steal"),
    ("idle-inhibit vs lock timer", "idle-inhibit"),
    ("shm truncate (SIGBUS)", "shm-truncate"),
    ("descriptor flood", "descriptor-flood"),
    ("presentation feedback of occluded", "occluded-presentation"),
    ("screenshot of excluded VM", "excluded-screenshot"),
    ("screenshot during policy reload", "screenshot-during-reload"),
    ("secure attention key while pointer locked, inhibited, fullscreen, guest at 100 %", "secure-attention"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_listed_attack_has_a_case_and_every_name_is_one_cases() {
        let cases = all();
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len(), "a name is used twice");
        for (attack, name) in LISTED {
            assert!(names.contains(name), "{attack}: there is no case {name}");
        }
    }

    #[test]
    fn every_row_of_the_threat_model_has_a_case() {
        let rows: BTreeSet<u8> = all().iter().map(|case| case.row).collect();
        let missing: Vec<u8> = (1..=45).filter(|row| !rows.contains(row)).collect();
        assert!(missing.is_empty(), "no case for the rows {missing:?}");
    }

    #[test]
    fn every_guard_is_what_some_case_depends_on() {
        let cases = all();
        for guard in Guard::ALL {
            assert!(cases.iter().any(|case| case.guards().contains(guard)), "no case tries {}", guard.name());
        }
    }
}
