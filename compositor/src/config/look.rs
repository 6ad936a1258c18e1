//! `[background]`: what is behind the windows.

use serde::Deserialize;
use toml::Spanned;

use super::document::{Mistake, word_or};
use crate::trust::style::Rgb;

/// What is drawn behind the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackgroundConfig {
    /// The built-in picture is.
    pub picture: bool,
    /// The colour where no picture is.
    pub color: Rgb,
    /// The main keys are, until the first window or chord.
    pub hint: bool,
}

impl Default for BackgroundConfig {
    fn default() -> Self {
        Self { picture: true, color: Rgb([0x19, 0x1c, 0x21]), hint: true }
    }
}

/// The table `[background]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Background {
    picture: Option<Spanned<String>>,
    #[serde(alias = "colour")]
    color: Option<Spanned<String>>,
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
        let color = word_or(self.color.as_ref(), defaults.color)?;
        Ok(BackgroundConfig { picture, color, hint: self.hint.unwrap_or(defaults.hint) })
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
    fn without_the_tables_there_is_a_picture_with_a_hint() {
        let config = parse("").unwrap();
        assert_eq!(config.background, BackgroundConfig::default());
        assert!(config.background.picture && config.background.hint);
    }

    #[test]
    fn every_key_changes_something() {
        let text = "[background]\npicture = \"none\"\ncolour = \"#102030\"\nhint = false";
        let config = parse(text).unwrap();
        let expected = BackgroundConfig { picture: false, color: Rgb([0x10, 0x20, 0x30]), hint: false };
        assert_eq!(config.background, expected);
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        for (text, line) in [
            ("[background]\npicture = \"/usr/share/cat.png\"", 2),
            ("[background]\ncolor = \"red\"", 2),
            ("[background]\nwallpaper = \"none\"", 2),
        ] {
            let error = parse(text).unwrap_err().one_line();
            assert!(error.starts_with(&format!("vitrail.toml:{line}: ")), "{error}");
        }
    }
}
