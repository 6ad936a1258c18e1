//! `[input]`: the keyboard's layout and its repeat, pointers and touchpads.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::document::Mistake;
use crate::input::device::DeviceOptions;
use crate::input::keymap::{Keymap, Layout};

/// How many devices may have a table of their own.
const MAX_DEVICES: usize = 64;
/// The longest word that libxkbcommon is given, in bytes.
const MAX_WORD: usize = 256;
/// Milliseconds before a held key is repeated.
const DELAYS: std::ops::RangeInclusive<i32> = 100..=5000;
/// Repeats a second.
const RATES: std::ops::RangeInclusive<i32> = 0..=100;

/// What is configured of the devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputConfig {
    /// All keyboards.
    pub keyboard: KeyboardConfig,
    /// Pointers that are no touchpads.
    pub pointer: DeviceOptions,
    /// Touchpads.
    pub touchpad: DeviceOptions,
    /// Single devices, by their names.
    pub devices: BTreeMap<String, DeviceOptions>,
}

/// What is configured of keyboards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyboardConfig {
    /// What the keys are.
    pub layout: Layout,
    /// Milliseconds before a held key is repeated.
    pub repeat_delay: i32,
    /// Repeats a second; 0 is none.
    pub repeat_rate: i32,
}

impl Default for KeyboardConfig {
    fn default() -> Self {
        Self { layout: Layout::default(), repeat_delay: 600, repeat_rate: 25 }
    }
}

/// The table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Input {
    keyboard: Keyboard,
    pointer: DeviceOptions,
    touchpad: DeviceOptions,
    device: BTreeMap<Spanned<String>, DeviceOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keyboard {
    rules: Option<Spanned<String>>,
    model: Option<Spanned<String>>,
    layout: Option<Spanned<String>>,
    variant: Option<Spanned<String>>,
    options: Option<Spanned<String>>,
    repeat_delay: Option<Spanned<i32>>,
    repeat_rate: Option<Spanned<i32>>,
}

impl Input {
    /// Checks what the types alone do not say.
    pub(super) fn check(&self) -> Result<InputConfig, Mistake> {
        let keyboard = self.keyboard.check()?;
        if let Some((name, _)) = self.device.iter().nth(MAX_DEVICES) {
            return Err(Mistake::at(name, format!("At most {MAX_DEVICES} devices have tables")));
        }
        let devices = self.device.iter().map(|(name, options)| (name.get_ref().clone(), *options)).collect();
        Ok(InputConfig { keyboard, pointer: self.pointer, touchpad: self.touchpad, devices })
    }
}

impl Keyboard {
    fn check(&self) -> Result<KeyboardConfig, Mistake> {
        let defaults = KeyboardConfig::default();
        let delay = number(self.repeat_delay.as_ref(), defaults.repeat_delay, &DELAYS, "repeat_delay")?;
        let rate = number(self.repeat_rate.as_ref(), defaults.repeat_rate, &RATES, "repeat_rate")?;
        Ok(KeyboardConfig { layout: self.layout()?, repeat_delay: delay, repeat_rate: rate })
    }

    /// What is said of the layout, if libxkbcommon can make a keymap of it.
    fn layout(&self) -> Result<Layout, Mistake> {
        let words = [&self.rules, &self.model, &self.layout, &self.variant, &self.options];
        for word in words.into_iter().flatten() {
            if word.get_ref().contains('\0') || word.get_ref().len() > MAX_WORD {
                return Err(Mistake::at(word, format!("at most {MAX_WORD} bytes, and no NUL characters")));
            }
        }
        let mut layout = Layout::default();
        let mut said = Vec::new();
        for (index, word) in words.into_iter().enumerate() {
            let Some(word) = word else { continue };
            let text = word.get_ref().clone();
            match index {
                0 => layout.rules = text,
                1 => layout.model = text,
                2 => layout.layout = text,
                3 => layout.variant = text,
                _ => layout.options = Some(text),
            }
            said.push((word, layout.clone()));
        }
        // The first word with which there is no keymap is the one that is wrong.
        if !said.is_empty()
            && Keymap::of_layout(&layout).is_err()
            && let Some((word, _)) = said.iter().find(|(_, so_far)| Keymap::of_layout(so_far).is_err())
        {
            return Err(Mistake::at(word, "libxkbcommon makes no keymap of this"));
        }
        Ok(layout)
    }
}

/// A number within bounds.
pub(super) fn number(
    written: Option<&Spanned<i32>>,
    default: i32,
    bounds: &std::ops::RangeInclusive<i32>,
    key: &str,
) -> Result<i32, Mistake> {
    match written {
        None => Ok(default),
        Some(number) if bounds.contains(number.get_ref()) => Ok(*number.get_ref()),
        Some(number) => Err(Mistake::at(number, format!("{key} is {} to {}", bounds.start(), bounds.end()))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn refused(text: &str) -> String {
        Config::parse(Path::new("vitrail.toml"), text).unwrap_err().one_line()
    }

    #[test]
    fn a_file_without_the_table_leaves_the_layout_to_the_environment() {
        let config = Config::parse(Path::new("vitrail.toml"), "").unwrap().input;
        assert_eq!(config, InputConfig::default());
        let KeyboardConfig { layout, repeat_delay, repeat_rate } = config.keyboard;
        assert_eq!((layout, repeat_delay, repeat_rate), (Layout::default(), 600, 25));
    }

    #[test]
    fn a_layout_that_there_is_not_is_refused_at_the_word_that_is_wrong() {
        let with =
            |line: &str| format!("[input.keyboard]\nlayout = \"de\"\n{line}\noptions = \"caps:escape\"\n");
        Config::parse(Path::new("vitrail.toml"), &with("variant = \"neo\"")).unwrap();
        for line in ["variant = \"no such thing\"", "rules = \"none\"", "model = \"a\\u0000b\""] {
            assert!(refused(&with(line)).starts_with("vitrail.toml:3: "), "{line}");
        }
        assert!(
            refused("[input.keyboard]\nlayout = \"klingon\"").starts_with("vitrail.toml:2: libxkbcommon")
        );
        let long = format!("[input.keyboard]\noptions = \"{}\"", "a".repeat(257));
        assert!(refused(&long).contains("at most 256 bytes"));
    }

    #[test]
    fn numbers_and_words_have_bounds_that_are_named() {
        for (line, message) in [
            ("keyboard = { repeat_delay = 99 }", "repeat_delay is 100 to 5000"),
            ("keyboard = { repeat_rate = 101 }", "repeat_rate is 0 to 100"),
            ("pointer = { accel_speed = 1.5 }", "a speed is from -1 to 1"),
            ("pointer = { accel_speed = nan }", "a speed is from -1 to 1"),
            ("touchpad = { tapping = true }", "unknown field `tapping`"),
            ("touchpad = { scroll_method = \"three\" }", "unknown variant `three`"),
            ("device.\"a mouse\" = { natural_scroll = 1 }", "invalid type"),
        ] {
            let said = refused(&format!("[input]\n{line}"));
            assert!(said.starts_with("vitrail.toml:2: ") && said.contains(message), "{line}: {said}");
        }
        let many: String = (0..=MAX_DEVICES).map(|n| format!("[input.device.d{n}]\n")).collect();
        assert!(refused(&many).contains("At most 64 devices"));
    }
}
