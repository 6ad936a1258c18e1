//! `[theme]`: how large the frames are, the pointer's picture and the colour of the bare desktop.
//!
//! A theme makes labels larger or smaller within bounds that keep them readable. What a label says, its colours, its place and
//! that it is there are no part of it.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::document::{Mistake, word};
use super::input::number;
use crate::render::frame::FrameMetrics;
use crate::trust::style::Rgb;

/// Widths of the frame, in logical pixels. A thinner one is overlooked, and a colour that is overlooked labels nothing.
const FRAME_WIDTHS: RangeInclusive<i32> = 3..=16;
/// Heights of the title bar, in logical pixels.
const TITLE_HEIGHTS: RangeInclusive<i32> = 20..=64;
/// Heights of letters in the title bar, in logical pixels.
const TITLE_SIZES: RangeInclusive<i32> = 10..=32;
/// Sizes of the pointer, in logical pixels.
const CURSOR_SIZES: RangeInclusive<i32> = 12..=128;
/// How long the stripe may be shown, in milliseconds: somebody has to read it.
const FLASHES: RangeInclusive<i32> = 500..=10_000;
/// The longest name of a theme, in bytes.
const MAX_NAME: usize = 64;

/// How things look that are the compositor's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThemeConfig {
    /// Widths of the label's parts.
    pub metrics: FrameMetrics,
    /// The name of a theme of pointers on disk; `None`: the compositor's own arrow.
    pub cursor_theme: Option<String>,
    /// The pointer's size, in logical pixels.
    pub cursor_size: i32,
    /// The colour of the bare desktop.
    pub background: Rgb,
    /// How long the stripe is shown over a window that has the whole output.
    pub fullscreen_flash: Duration,
}

impl Default for ThemeConfig {
    fn default() -> Self {
        Self {
            metrics: FrameMetrics::default(),
            cursor_theme: None,
            cursor_size: 24,
            background: Rgb([0x19, 0x1c, 0x21]),
            fullscreen_flash: Duration::from_millis(1500),
        }
    }
}

/// The table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Theme {
    frame_width: Option<Spanned<i32>>,
    title_height: Option<Spanned<i32>>,
    title_size: Option<Spanned<i32>>,
    cursor_theme: Option<Spanned<String>>,
    cursor_size: Option<Spanned<i32>>,
    background: Option<Spanned<String>>,
    fullscreen_flash: Option<Spanned<i32>>,
}

impl Theme {
    /// Checks what the types alone do not say.
    pub(super) fn check(&self) -> Result<ThemeConfig, Mistake> {
        let ThemeConfig { metrics, cursor_size, background, .. } = ThemeConfig::default();
        let border = number(self.frame_width.as_ref(), metrics.border, &FRAME_WIDTHS, "frame_width")?;
        let height = self.title_height.as_ref();
        let title_height = number(height, metrics.title_height, &TITLE_HEIGHTS, "title_height")?;
        let letters = self.title_size.as_ref();
        let text_size = number(letters, metrics.text_size, &TITLE_SIZES, "title_size")?;
        // Letters with what reaches above and below the line: the name of the VM must not be cut.
        let needed = border + (text_size * 4 + 2) / 3;
        if title_height < needed {
            let message =
                format!("With this frame_width and title_size, title_height must be at least {needed}");
            let place = height.or(letters).or(self.frame_width.as_ref());
            return Err(place.map_or(Mistake { span: 0..0, message: message.clone() }, |place| {
                Mistake::at(place, message)
            }));
        }
        Ok(ThemeConfig {
            metrics: FrameMetrics { border, title_height, text_size, ..metrics },
            cursor_theme: self.cursor_theme.as_ref().map(check_name).transpose()?,
            cursor_size: number(self.cursor_size.as_ref(), cursor_size, &CURSOR_SIZES, "cursor_size")?,
            background: self.background.as_ref().map_or(Ok(background), word)?,
            fullscreen_flash: self.fullscreen_flash()?,
        })
    }
}

impl Theme {
    fn fullscreen_flash(&self) -> Result<Duration, Mistake> {
        let default = i32::try_from(ThemeConfig::default().fullscreen_flash.as_millis()).unwrap_or(i32::MAX);
        let written = self.fullscreen_flash.as_ref();
        let millis = number(written, default, &FLASHES, "fullscreen_flash")?;
        Ok(Duration::from_millis(millis.unsigned_abs().into()))
    }
}

/// The name is a part of paths.
fn check_name(name: &Spanned<String>) -> Result<String, Mistake> {
    let text = name.get_ref();
    let sane = (1..=MAX_NAME).contains(&text.len())
        && !text.starts_with('.')
        && !text.contains(|c: char| c == '/' || c.is_control());
    if !sane {
        return Err(Mistake::at(name, "A theme has the name of its directory, such as \"Adwaita\""));
    }
    Ok(text.clone())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, ConfigError};

    fn theme(text: &str) -> Result<ThemeConfig, ConfigError> {
        Config::parse(Path::new("vitrail.toml"), &format!("[theme]\n{text}")).map(|config| config.theme)
    }

    #[test]
    fn every_key_has_a_default_and_is_read() {
        assert_eq!(theme("").unwrap(), ThemeConfig::default());
        let read = theme(
            "frame_width = 6\ntitle_height = 40\ntitle_size = 20\ncursor_theme = \"Adwaita\"\ncursor_size = 48\n\
             background = \"#123456\"\nfullscreen_flash = 2000",
        );
        let metrics = FrameMetrics { border: 6, title_height: 40, text_size: 20, ..FrameMetrics::default() };
        let expected = ThemeConfig {
            metrics,
            cursor_theme: Some("Adwaita".to_owned()),
            cursor_size: 48,
            background: Rgb([0x12, 0x34, 0x56]),
            fullscreen_flash: Duration::from_millis(2000),
        };
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn a_label_that_could_not_be_read_is_refused_where_it_is_asked_for() {
        for (line, message) in [
            ("frame_width = 2", "frame_width is 3 to 16"),
            ("frame_width = 0", "frame_width is 3 to 16"),
            ("title_height = 19", "title_height is 20 to 64"),
            ("title_size = 9", "title_size is 10 to 32"),
            ("title_size = 33", "title_size is 10 to 32"),
            ("title_size = 16", "title_height must be at least 26"),
            ("title_height = 20\nframe_width = 5", "title_height must be at least 21"),
            ("frame_width = 16", "title_height must be at least 32"),
            ("cursor_size = 200", "cursor_size is 12 to 128"),
            ("cursor_theme = \"../x\"", "name of its directory"),
            ("cursor_theme = \"\"", "name of its directory"),
            ("fullscreen_flash = 100", "fullscreen_flash is 500 to 10000"),
            ("background = \"blue\"", "#rrggbb"),
            ("label = \"none\"", "unknown field `label`"),
        ] {
            let said = theme(line).unwrap_err().one_line();
            assert!(said.starts_with("vitrail.toml:2: ") && said.contains(message), "{line}: {said}");
        }
        theme("frame_width = 3\ntitle_height = 20\ntitle_size = 12").unwrap();
    }
}
