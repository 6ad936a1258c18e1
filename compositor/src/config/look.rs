//! `[background]` and `[animation]`: what is behind the windows, and whether they move to their places.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::document::Mistake;

/// The longest that a window may move, in milliseconds.
const MAX_DURATION: u32 = 1000;

/// What is drawn behind the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackgroundConfig {
    /// The built-in picture is.
    pub picture: bool,
    /// The main keys are, until the first window or chord.
    pub hint: bool,
}

impl Default for BackgroundConfig {
    fn default() -> Self {
        Self { picture: true, hint: true }
    }
}

/// How windows come to their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnimationConfig {
    /// How long it takes; nothing: they are there at once.
    pub duration: Duration,
}

impl Default for AnimationConfig {
    fn default() -> Self {
        Self { duration: Duration::from_millis(150) }
    }
}

/// The table `[background]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Background {
    picture: Option<Spanned<String>>,
    hint: Option<bool>,
}

impl Background {
    /// Checks what the types alone do not say.
    pub(super) fn check(&self) -> Result<BackgroundConfig, Mistake> {
        let defaults = BackgroundConfig::default();
        let picture = match &self.picture {
            None => defaults.picture,
            Some(name) => match name.get_ref().as_str() {
                "vitrail" => true,
                "none" => false,
                _ => {
                    let message = "There are the pictures \"vitrail\" and \"none\"; a program of the layer shell shows others";
                    return Err(Mistake::at(name, message));
                }
            },
        };
        Ok(BackgroundConfig { picture, hint: self.hint.unwrap_or(defaults.hint) })
    }
}

/// The table `[animation]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Animation {
    enabled: Option<bool>,
    duration: Option<Spanned<u32>>,
}

impl Animation {
    /// Checks what the types alone do not say.
    pub(super) fn check(&self) -> Result<AnimationConfig, Mistake> {
        let mut animation = AnimationConfig::default();
        if let Some(duration) = &self.duration {
            if !(1..=MAX_DURATION).contains(duration.get_ref()) {
                let message = format!(
                    "duration is 1 to {MAX_DURATION} milliseconds; enabled = false turns animations off"
                );
                return Err(Mistake::at(duration, message));
            }
            animation.duration = Duration::from_millis((*duration.get_ref()).into());
        }
        if self.enabled == Some(false) {
            animation.duration = Duration::ZERO;
        }
        Ok(animation)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, ConfigError};

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("vitrail.toml"), text)
    }

    #[test]
    fn without_the_tables_there_is_a_picture_with_a_hint_and_windows_move() {
        let config = parse("").unwrap();
        assert_eq!(config.background, BackgroundConfig::default());
        assert!(config.background.picture && config.background.hint);
        assert_eq!(config.animation.duration, Duration::from_millis(150));
    }

    #[test]
    fn every_key_changes_something() {
        let config =
            parse("[background]\npicture = \"none\"\nhint = false\n[animation]\nduration = 300").unwrap();
        let expected = BackgroundConfig { picture: false, hint: false };
        assert_eq!(config.background, expected);
        assert_eq!(config.animation.duration, Duration::from_millis(300));
        let off = parse("[animation]\nenabled = false\nduration = 300").unwrap();
        assert_eq!(off.animation.duration, Duration::ZERO);
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        for (text, line) in [
            ("[background]\npicture = \"/usr/share/cat.png\"", 2),
            ("[background]\nwallpaper = \"none\"", 2),
            ("[animation]\n\nduration = 0", 3),
            ("[animation]\nduration = 1001", 2),
            ("[animation]\nenable = true", 2),
        ] {
            let error = parse(text).unwrap_err().one_line();
            assert!(error.starts_with(&format!("vitrail.toml:{line}: ")), "{error}");
        }
    }
}
