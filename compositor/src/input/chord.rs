//! Key chords, and which action each of them has.
//!
//! # Model
//!
//! A chord is a key with modifiers, written `"logo+shift+left"`. The key is named as libxkbcommon names it, in lower case,
//! and is the one that the key has without shift: `"logo+shift+1"`, not `"logo+shift+exclam"`. The table begins with the
//! defaults; the configuration replaces and removes.
//!
//! # Invariants
//!
//! * Some chord opens the trusted panel, whatever is configured ([`Bindings::has_secure_attention`] holds of what the
//!   configuration makes).
//! * The logo key with Escape takes the input back whatever is configured, so that no client can hold it for good.
//! * No chord is a key that types a character by itself: the keyboard stays usable whatever is configured.

use std::fmt;
use std::str::FromStr;

use smithay::input::keyboard::{Keysym, ModifiersState, keysyms, xkb};

use super::action::Action;
use super::placing::Placement;
use crate::shell::workspaces::MAX_WORKSPACES;
use crate::shell::zone::Direction;

/// The modifiers of a chord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Modifiers {
    /// The key with the logo.
    pub logo: bool,
    /// Control.
    pub ctrl: bool,
    /// Alt.
    pub alt: bool,
    /// Shift.
    pub shift: bool,
}

impl Modifiers {
    /// Whether, of the modifiers that are held, one beside shift belongs to these.
    #[must_use]
    pub fn held(self, now: &ModifiersState) -> bool {
        self.logo && now.logo || self.ctrl && now.ctrl || self.alt && now.alt
    }

    /// Whether all of these others are among them.
    #[must_use]
    pub fn include(self, others: Self) -> bool {
        let both = [
            (self.logo, others.logo),
            (self.ctrl, others.ctrl),
            (self.alt, others.alt),
            (self.shift, others.shift),
        ];
        both.into_iter().all(|(here, there)| here || !there)
    }

    /// Whether there is one beside shift.
    #[must_use]
    pub fn strong(self) -> bool {
        self.logo || self.ctrl || self.alt
    }
}

impl From<&ModifiersState> for Modifiers {
    fn from(state: &ModifiersState) -> Self {
        let ModifiersState { logo, ctrl, alt, shift, .. } = *state;
        Self { logo, ctrl, alt, shift }
    }
}

/// A key with modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chord {
    /// What must be held, and nothing beside it.
    pub modifiers: Modifiers,
    /// The key as it is without modifiers.
    pub key: Keysym,
}

/// Why a word is no chord, or none that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChordError {
    /// No modifier has this name.
    #[error("no modifier is called \"{0}\"; there are logo, ctrl, alt and shift")]
    Modifier(String),
    /// No key has this name.
    #[error("no key is called \"{0}\"; keys have the names of libxkbcommon, in lower case")]
    Key(String),
    /// A modifier is no key.
    #[error("a chord ends with a key that is no modifier")]
    ModifierAlone,
    /// The key would not type any more.
    #[error("a key that types needs logo, ctrl or alt beside it")]
    Types,
    /// The key means another one with shift.
    #[error("a key is named as it is without shift, such as \"shift+1\"")]
    Shifted,
    /// The chord that always takes the input back.
    #[error("logo+escape always takes the input back and cannot be changed")]
    Fixed,
}

impl FromStr for Chord {
    type Err = ChordError;

    fn from_str(text: &str) -> Result<Self, ChordError> {
        let mut modifiers = Modifiers::default();
        let (before, name) =
            text.rsplit_once('+').map_or((None, text), |(before, name)| (Some(before), name));
        for word in before.into_iter().flat_map(|before| before.split('+')) {
            let modifier = match word {
                "logo" | "super" => &mut modifiers.logo,
                "ctrl" => &mut modifiers.ctrl,
                "alt" => &mut modifiers.alt,
                "shift" => &mut modifiers.shift,
                other => return Err(ChordError::Modifier(other.to_owned())),
            };
            *modifier = true;
        }
        let key = key_named(name).ok_or_else(|| ChordError::Key(name.to_owned()))?;
        if key.is_modifier_key() {
            return Err(ChordError::ModifierAlone);
        }
        if key.key_char().is_some_and(char::is_uppercase) {
            return Err(ChordError::Shifted);
        }
        if !modifiers.strong() && key.key_char().is_some() {
            return Err(ChordError::Types);
        }
        if modifiers.logo && key == Keysym::Escape {
            return Err(ChordError::Fixed);
        }
        Ok(Self { modifiers, key })
    }
}

/// A key by its name in lower case. Names that differ in case alone, such as those of letters, are the smaller one's.
fn key_named(name: &str) -> Option<Keysym> {
    if name.is_empty() || name.contains(|c: char| c == '\0' || c.is_ascii_uppercase()) {
        return None;
    }
    let name = match name {
        "enter" => "return",
        "pageup" => "prior",
        "pagedown" => "next",
        other => other,
    };
    let exact = xkb::keysym_from_name(name, xkb::KEYSYM_NO_FLAGS);
    let found = if exact == Keysym::NoSymbol {
        xkb::keysym_from_name(name, xkb::KEYSYM_CASE_INSENSITIVE)
    } else {
        exact
    };
    (found.raw() != keysyms::KEY_NoSymbol).then_some(found)
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Modifiers { logo, ctrl, alt, shift } = self.modifiers;
        for (name, held) in [("logo", logo), ("ctrl", ctrl), ("alt", alt), ("shift", shift)] {
            if held {
                write!(f, "{name}+")?;
            }
        }
        f.write_str(&xkb::keysym_get_name(self.key).to_lowercase())
    }
}

/// What a chord does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// With which chord.
    pub chord: Chord,
    /// What.
    pub action: Action,
    /// Again and again while the key is held.
    pub repeat: bool,
    /// What it does in the action's stead when it is held for long.
    pub hold: Option<Action>,
    /// What it does when its key comes up.
    pub release: Option<Action>,
}

impl Binding {
    /// A chord that does something once.
    #[must_use]
    pub fn new(chord: Chord, action: Action) -> Self {
        Self { chord, action, repeat: false, hold: None, release: None }
    }
}

/// All chords that do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bindings(Vec<Binding>);

/// The chords that there are without any configuration: name, action, whether it repeats.
const DEFAULTS: [(&str, Action, bool); 34] = [
    ("logo+tab", Action::SwitchWindow(true), true),
    ("logo+shift+tab", Action::SwitchWindow(false), true),
    ("alt+tab", Action::SwitchWindow(true), true),
    ("alt+shift+tab", Action::SwitchWindow(false), true),
    ("logo+q", Action::Close, false),
    ("alt+f4", Action::Close, false),
    ("logo+m", Action::Maximize, false),
    ("logo+n", Action::Minimize, false),
    ("logo+f", Action::Fullscreen, false),
    ("logo+t", Action::AlwaysOnTop, false),
    ("logo+c", Action::Columns, false),
    ("ctrl+alt+delete", Action::SecureAttention, false),
    ("logo+x", Action::XRay, false),
    ("alt+f7", Action::Place(Placement::Move), false),
    ("alt+f8", Action::Place(Placement::Resize), false),
    ("logo+left", Action::Snap(Direction::Left), false),
    ("logo+right", Action::Snap(Direction::Right), false),
    ("logo+up", Action::Snap(Direction::Up), false),
    ("logo+down", Action::Snap(Direction::Down), false),
    ("logo+pagedown", Action::WorkspaceBeside(1), true),
    ("logo+pageup", Action::WorkspaceBeside(-1), true),
    ("logo+ctrl+right", Action::WorkspaceBeside(1), true),
    ("logo+ctrl+left", Action::WorkspaceBeside(-1), true),
    ("logo+shift+pagedown", Action::MoveToWorkspaceBeside(1), false),
    ("logo+shift+pageup", Action::MoveToWorkspaceBeside(-1), false),
    ("logo+ctrl+shift+right", Action::MoveToWorkspaceBeside(1), false),
    ("logo+ctrl+shift+left", Action::MoveToWorkspaceBeside(-1), false),
    ("logo+o", Action::OutputBeside(true), false),
    ("logo+shift+o", Action::MoveToOutputBeside(true), false),
    ("logo+shift+c", Action::CopyBetween, false),
    ("logo+shift+v", Action::PasteBetween, false),
    ("logo+shift+x", Action::EmptyBetween, false),
    ("logo+shift+r", Action::Reload, false),
    ("logo+shift+e", Action::Quit, false),
];

impl Default for Bindings {
    fn default() -> Self {
        let named = DEFAULTS.iter().filter_map(|(chord, action, repeat)| {
            Some(Binding { repeat: *repeat, ..Binding::new(chord.parse().ok()?, action.clone()) })
        });
        let mut bindings = Self(named.collect());
        let terminal = Action::Run(vec![String::from("foot")]);
        let numbered = (1..=MAX_WORKSPACES).flat_map(|number| {
            [
                (format!("logo+{number}"), Action::Workspace(number - 1)),
                (format!("logo+shift+{number}"), Action::MoveToWorkspace(number - 1)),
            ]
        });
        for (chord, action) in numbered.chain([(String::from("logo+return"), terminal)]) {
            if let Ok(chord) = chord.parse() {
                bindings.put(Binding::new(chord, action));
            }
        }
        bindings
    }
}

impl Bindings {
    /// Gives a chord something to do, and nothing else.
    pub fn put(&mut self, binding: Binding) {
        self.remove(binding.chord);
        self.0.push(binding);
    }

    /// Lets a chord do nothing: clients get its key.
    pub fn remove(&mut self, chord: Chord) {
        self.0.retain(|binding| binding.chord != chord);
    }

    /// What a key does that is pressed now. `key` is what it is without modifiers.
    #[must_use]
    pub fn find(&self, modifiers: &ModifiersState, key: Keysym) -> Option<Binding> {
        let chord = Chord { modifiers: modifiers.into(), key };
        // Whatever else is held: somebody who wants the input back must not have to be exact.
        if modifiers.logo && key == Keysym::Escape {
            return Some(Binding::new(chord, Action::ReleaseInput));
        }
        self.0.iter().find(|binding| binding.chord == chord).cloned()
    }

    /// Whether a key that is pressed now is the secure attention key. More may be held than its modifiers, unless that means
    /// something else.
    #[must_use]
    pub fn is_secure_attention(&self, modifiers: &ModifiersState, key: Keysym) -> bool {
        if let Some(exact) = self.find(modifiers, key) {
            return exact.action == Action::SecureAttention;
        }
        let held = Modifiers::from(modifiers);
        let mut all = self.0.iter().filter(|binding| binding.action == Action::SecureAttention);
        all.any(|binding| binding.chord.key == key && held.include(binding.chord.modifiers))
    }

    /// Whether there is a secure attention key.
    #[must_use]
    pub fn has_secure_attention(&self) -> bool {
        self.0.iter().any(|binding| binding.action == Action::SecureAttention && binding.hold.is_none())
    }

    /// All of them but the one that cannot be changed.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chord(text: &str) -> Result<Chord, ChordError> {
        text.parse()
    }

    #[test]
    fn every_default_is_a_chord_and_none_is_there_twice() {
        let bindings = Bindings::default();
        assert_eq!(bindings.0.len(), DEFAULTS.len() + 2 * MAX_WORKSPACES + 1);
        for binding in bindings.iter() {
            assert_eq!(binding.chord.to_string().parse(), Ok(binding.chord));
            assert_eq!(bindings.iter().filter(|other| other.chord == binding.chord).count(), 1);
        }
    }

    #[test]
    fn keys_are_found_by_the_names_that_people_try() {
        for (name, key) in [
            ("logo+a", Keysym::a),
            ("super+return", Keysym::Return),
            ("logo+enter", Keysym::Return),
            ("alt+f4", Keysym::F4),
            ("logo+pageup", Keysym::Prior),
            ("print", Keysym::Print),
            ("logo+minus", Keysym::minus),
            ("xf86audiomute", Keysym::XF86_AudioMute),
        ] {
            assert_eq!(chord(name).unwrap().key, key, "{name}");
        }
    }

    #[test]
    fn what_is_no_chord_is_refused_with_the_reason() {
        assert_eq!(chord("hyper+a"), Err(ChordError::Modifier("hyper".to_owned())));
        assert_eq!(chord("logo+nokey"), Err(ChordError::Key("nokey".to_owned())));
        assert_eq!(chord("logo+"), Err(ChordError::Key(String::new())));
        assert_eq!(chord("logo+shift_l"), Err(ChordError::ModifierAlone));
        assert_eq!(chord("shift+a"), Err(ChordError::Types));
        assert_eq!(chord("return"), Err(ChordError::Types));
        for fixed in ["logo+escape", "logo+shift+escape"] {
            assert_eq!(chord(fixed), Err(ChordError::Fixed));
        }
    }

    #[test]
    fn the_input_is_taken_back_whatever_is_configured_and_held() {
        let mut bindings = Bindings::default();
        bindings.0.clear();
        let held = ModifiersState { logo: true, shift: true, caps_lock: true, ..ModifiersState::default() };
        assert_eq!(bindings.find(&held, Keysym::Escape).unwrap().action, Action::ReleaseInput);
        assert_eq!(bindings.find(&held, Keysym::Tab), None);
    }
}
