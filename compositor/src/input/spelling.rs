//! Which keys type a text, in the layout that the seat has: for `vitrailctl input type`.
//!
//! # Model
//!
//! A copy of the keyboard's state, with the locked modifiers and the layout that are in force, tries the keys of the main block: as they are,
//! with Shift, and with the keys that the keymap has for its third and fifth level. The first that gives a character types it.
//! What needs a dead key or a composition has no key.

use smithay::input::keyboard::{Keysym, xkb};

use crate::state::State;

/// The highest evdev code that is tried: keys beyond are those of media and of few keyboards.
const MAX_MAIN: u32 = 127;
/// What keymaps call the key of the third level where no keyboard has one.
const NO_KEY: u32 = 84;
/// From evdev's numbers of keys to those of keymaps.
const OFFSET: u32 = 8;
/// Keys of the number pad: programs tell them from those of the main block.
const KEYPAD: std::ops::RangeInclusive<u32> = 0xff80..=0xffbd;

/// Why a text cannot be typed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpellError {
    /// A character has no key.
    #[error("the layout {layout:?} has no key for {missing:?}")]
    NoKey {
        /// The layout's name.
        layout: String,
        /// The first such character.
        missing: char,
    },
    /// The seat has no keymap.
    #[error("there is no keymap")]
    NoKeymap,
}

/// A key goes down or comes up.
pub type KeyEvent = (u32, bool);

/// What types each character of a text, in order.
///
/// # Errors
///
/// As [`SpellError`]; the text is then not to be typed in part.
fn spell(keymap: &xkb::Keymap, locked: u32, group: u32, text: &str) -> Result<Vec<KeyEvent>, SpellError> {
    let codes: Vec<u32> = (1..=MAX_MAIN).filter(|code| *code != NO_KEY).collect();
    let state = || {
        let mut state = xkb::State::new(keymap);
        state.update_mask(0, 0, locked, 0, 0, group);
        state
    };
    let bare = state();
    let holds = |wanted: Keysym| {
        codes.iter().copied().find(|code| bare.key_get_one_sym((code + OFFSET).into()) == wanted)
    };
    let level = [Keysym::Shift_L, Keysym::ISO_Level3_Shift, Keysym::ISO_Level5_Shift].map(holds);
    let held = [vec![], vec![0], vec![1], vec![0, 1], vec![2], vec![0, 2]];
    let held = held.iter().filter_map(|held| held.iter().map(|index: &usize| *level.get(*index)?).collect());
    // What each combination of held keys gives, the simplest first.
    let keyboards: Vec<(Vec<u32>, xkb::State)> = held
        .map(|held: Vec<u32>| {
            let mut state = state();
            for code in &held {
                state.update_key((code + OFFSET).into(), xkb::KeyDirection::Down);
            }
            (held, state)
        })
        .collect();
    let mut events = Vec::new();
    for c in text.chars() {
        let wanted = if c == '\n' { Keysym::Return } else { xkb::utf32_to_keysym(u32::from(c)) };
        let gives = |state: &xkb::State, code: u32| {
            let key = state.key_get_one_sym((code + OFFSET).into());
            let same = key == wanted || xkb::keysym_to_utf32(key) == u32::from(c);
            same && key != Keysym::NoSymbol && !KEYPAD.contains(&key.raw())
        };
        let found = keyboards.iter().find_map(|(held, state)| {
            codes.iter().find(|code| gives(state, **code)).map(|code| (held, *code))
        });
        let Some((held, code)) = found else {
            let layout = keymap.layout_get_name(group).to_owned();
            return Err(SpellError::NoKey { layout, missing: c });
        };
        events.extend(held.iter().map(|code| (*code, true)));
        events.extend([(code, true), (code, false)]);
        events.extend(held.iter().rev().map(|code| (*code, false)));
    }
    Ok(events)
}

impl State {
    /// The keys that type a text in the seat's layout, with what is locked now.
    ///
    /// # Errors
    ///
    /// As [`SpellError`].
    pub(crate) fn spell(&self, text: &str) -> Result<Vec<KeyEvent>, SpellError> {
        let keyboard = self.comp.seat.get_keyboard().ok_or(SpellError::NoKeymap)?;
        let keymap = self.comp.input.keymap.compiled().ok_or(SpellError::NoKeymap)?;
        let now = keyboard.modifier_state().serialized;
        spell(&keymap, now.locked, now.layout_effective, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::keymap::{Keymap, Layout};

    fn keymap(layout: &str) -> xkb::Keymap {
        let layout = Layout { layout: layout.to_owned(), options: Some(String::new()), ..Layout::default() };
        Keymap::of_layout(&layout).unwrap().compiled().unwrap()
    }

    const SHIFT: u32 = 42;
    const ALTGR: u32 = 100;

    fn tap(code: u32) -> Vec<KeyEvent> {
        vec![(code, true), (code, false)]
    }

    fn with(held: u32, code: u32) -> Vec<KeyEvent> {
        [vec![(held, true)], tap(code), vec![(held, false)]].concat()
    }

    #[test]
    fn the_us_layout_types_every_printable_ascii_character_by_the_keys_that_have_it_on_them() {
        let us = keymap("us");
        let typed = |text: &str| spell(&us, 0, 0, text).unwrap();
        // The last is the key beside the left Shift, with < and >.
        let all: String = (' '..='~').collect();
        assert!(typed(&all).iter().all(|(code, _)| *code < 58 || *code == 86));
        assert_eq!(typed("a"), tap(30));
        assert_eq!(typed("A"), with(SHIFT, 30));
        assert_eq!(typed("\""), with(SHIFT, 40));
        assert_eq!(typed("\n\t 1*"), [tap(28), tap(15), tap(57), tap(2), with(SHIFT, 9)].concat());
    }

    /// By a table of the US layout `type z` was a `y` in a German session.
    #[test]
    fn another_layout_types_by_its_own_keys() {
        let de = keymap("de");
        let typed = |text: &str| spell(&de, 0, 0, text).unwrap();
        assert_eq!(typed("zy"), [tap(21), tap(44)].concat());
        assert_eq!(typed("\u{e4}\u{c4}"), [tap(40), with(SHIFT, 40)].concat());
        assert_eq!(typed("/"), with(SHIFT, 8));
        assert_eq!(typed("@"), with(ALTGR, 16));
        assert_eq!(typed("\u{20ac}"), with(ALTGR, 18));
        let missing = spell(&de, 0, 0, "ab\u{4e2d}c").unwrap_err();
        assert_eq!(missing, SpellError::NoKey { layout: String::from("German"), missing: '\u{4e2d}' });
        let dead = spell(&de, 0, 0, "\u{ea}").unwrap_err();
        assert!(
            matches!(dead, SpellError::NoKey { missing: '\u{ea}', .. }),
            "its dead key alone types nothing"
        );
    }

    #[test]
    fn the_layout_and_the_lock_that_are_in_force_count() {
        let both = keymap("us,de");
        assert_eq!(spell(&both, 0, 1, "z").unwrap(), tap(21));
        assert_eq!(spell(&both, 0, 0, "z").unwrap(), tap(44));
        let caps = 1 << both.mod_get_index(xkb::MOD_NAME_CAPS);
        assert_eq!(spell(&both, caps, 0, "aA").unwrap(), [with(SHIFT, 30), tap(30)].concat());
    }
}
