//! What a label looks like: colours, patterns and the text of the chip.
//!
//! The types here can only hold what may be drawn: a [`Label`] is short and printable, an [`Rgb`] is opaque.
//! A colour is an identity, so it is compared and drawn as exact 8-bit values and never blended.

use std::fmt;
use std::str::FromStr;

use smithay::backend::renderer::Color32F;

/// The longest label, in characters.
pub const MAX_LABEL_LEN: usize = 24;

/// Why a word of the configuration is no style.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StyleError {
    /// Not `#` and six hexadecimal digits.
    #[error("A colour is written \"#rrggbb\", with six hexadecimal digits")]
    Color,
    /// Not one of the patterns.
    #[error("A pattern is \"solid\", \"stripes\", \"dots\" or \"double\"")]
    Pattern,
    /// Not one of the marks.
    #[error("A mark is \"none\", \"circle\", \"ring\", \"square\", \"triangle\", \"diamond\" or \"cross\"")]
    Mark,
    /// Not one of the sets of characters.
    #[error("The characters of titles are \"ascii\" or \"unicode\"")]
    Charset,
    /// Too short or too long; the field is its length.
    #[error("A label has 1 to {MAX_LABEL_LEN} characters, this one has {0}")]
    LabelLength(usize),
    /// A character that is not printable ASCII, or space at an end.
    #[error("A label has only printable ASCII characters, and no space at its ends")]
    LabelCharset,
}

/// An opaque colour: red, green, blue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rgb(pub [u8; 3]);

impl Rgb {
    /// White.
    pub const WHITE: Self = Self([255, 255, 255]);
    /// Black.
    pub const BLACK: Self = Self([0, 0, 0]);

    /// The colour as renderers take it: opaque, each channel `value / 255`.
    #[must_use]
    pub fn to_color32f(self) -> Color32F {
        let [r, g, b] = self.0.map(|channel| f32::from(channel) / 255.0);
        Color32F::new(r, g, b, 1.0)
    }

    /// The colour in linear light, each channel from 0 to 1.
    #[must_use]
    pub fn linear(self) -> [f64; 3] {
        self.0.map(|channel| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        })
    }

    /// The relative luminance of WCAG 2.2, from 0 (black) to 1 (white).
    #[must_use]
    pub fn luminance(self) -> f64 {
        let [r, g, b] = self.linear();
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// The contrast ratio of WCAG 2.2 between two colours, from 1 to 21.
    #[must_use]
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// White or black, whichever is easier to read on this colour. The contrast is at least 4.5, which is
    /// what WCAG asks for at level AA.
    #[must_use]
    pub fn readable(self) -> Self {
        if self.contrast(Self::WHITE) >= self.contrast(Self::BLACK) { Self::WHITE } else { Self::BLACK }
    }

    /// The colour `parts` of 255 of the way towards `other`.
    #[must_use]
    pub fn mix(self, other: Self, parts: u8) -> Self {
        let mut mixed = self.0;
        for (channel, target) in mixed.iter_mut().zip(other.0) {
            let sum = u16::from(*channel) * u16::from(255 - parts) + u16::from(target) * u16::from(parts);
            *channel = u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX);
        }
        Self(mixed)
    }
}

impl FromStr for Rgb {
    type Err = StyleError;

    fn from_str(text: &str) -> Result<Self, StyleError> {
        let digits = text.strip_prefix('#').ok_or(StyleError::Color)?;
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(StyleError::Color);
        }
        let value = u32::from_str_radix(digits, 16).map_err(|_| StyleError::Color)?;
        let [_, r, g, b] = value.to_be_bytes();
        Ok(Self([r, g, b]))
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

impl fmt::Debug for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A second mark beside the colour, for eyes that tell colours apart badly. It is drawn at the right end of
/// the title bar, in a shade of the VM's colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// No mark.
    #[default]
    Solid,
    /// Diagonal stripes.
    Stripes,
    /// Rows of dots.
    Dots,
    /// Two horizontal lines.
    Double,
}

impl Pattern {
    /// Every pattern.
    pub const ALL: [Self; 4] = [Self::Solid, Self::Stripes, Self::Dots, Self::Double];

    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Solid => "solid",
            Self::Stripes => "stripes",
            Self::Dots => "dots",
            Self::Double => "double",
        }
    }
}

impl FromStr for Pattern {
    type Err = StyleError;

    fn from_str(text: &str) -> Result<Self, StyleError> {
        Self::ALL.into_iter().find(|pattern| pattern.as_str() == text).ok_or(StyleError::Pattern)
    }
}

/// A shape before the name, for eyes that tell colours apart badly: it is wherever the name is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mark {
    /// No shape.
    #[default]
    None,
    /// A disc.
    Circle,
    /// A circle without its inside.
    Ring,
    /// A square.
    Square,
    /// A triangle that points up.
    Triangle,
    /// A square on its corner.
    Diamond,
    /// An upright cross.
    Cross,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Circle, Self::Ring, Self::Square, Self::Triangle, Self::Diamond, Self::Cross];

    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Circle => "circle",
            Self::Ring => "ring",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Diamond => "diamond",
            Self::Cross => "cross",
        }
    }
}

impl FromStr for Mark {
    type Err = StyleError;

    fn from_str(text: &str) -> Result<Self, StyleError> {
        Self::ALL.into_iter().find(|mark| mark.as_str() == text).ok_or(StyleError::Mark)
    }
}

/// The text of the chip: one to [`MAX_LABEL_LEN`] printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a person could take one label for the other: they differ at most in case and spaces.
    #[must_use]
    pub fn looks_like(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }

    fn folded(&self) -> String {
        self.0.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_lowercase()).collect()
    }
}

impl FromStr for Label {
    type Err = StyleError;

    fn from_str(text: &str) -> Result<Self, StyleError> {
        let length = text.chars().count();
        if length == 0 || length > MAX_LABEL_LEN {
            return Err(StyleError::LabelLength(length));
        }
        if text.trim() != text || !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(StyleError::LabelCharset);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the windows of one origin are labelled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelStyle {
    /// The text of the chip.
    pub label: Label,
    /// The colour of the frame.
    pub color: Rgb,
    /// The pattern in the title bar.
    pub pattern: Pattern,
    /// The shape before the name.
    pub mark: Mark,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_are_read_in_both_cases_and_written_in_lower_case() {
        assert_eq!("#2E7d32".parse::<Rgb>().unwrap(), Rgb([0x2e, 0x7d, 0x32]));
        assert_eq!(Rgb([0x2e, 0x7d, 0x32]).to_string(), "#2e7d32");
    }

    #[test]
    fn anything_but_six_digits_is_no_colour() {
        for text in ["", "#", "2e7d32", "#2e7d3", "#2e7d322", "#gg0000", "#+12345", "green", "#é234"] {
            assert_eq!(text.parse::<Rgb>(), Err(StyleError::Color), "{text}");
        }
    }

    #[test]
    fn labels_are_short_and_printable() {
        assert!("Work mail (2)".parse::<Label>().is_ok());
        assert_eq!("".parse::<Label>(), Err(StyleError::LabelLength(0)));
        assert_eq!("x".repeat(25).parse::<Label>(), Err(StyleError::LabelLength(25)));
        for text in [" a", "a ", " ", "a\nb", "a\u{202e}b", "é", "a\u{7f}"] {
            assert_eq!(text.parse::<Label>(), Err(StyleError::LabelCharset), "{text:?}");
        }
    }

    #[test]
    fn labels_that_differ_in_case_or_spaces_look_alike() {
        let label = |text: &str| text.parse::<Label>().unwrap();
        assert!(label("Work").looks_like(&label("w o r k")));
        assert!(!label("Work").looks_like(&label("Work2")));
    }

    #[test]
    fn patterns_and_marks_are_read_as_they_are_written() {
        for pattern in Pattern::ALL {
            assert_eq!(pattern.as_str().parse::<Pattern>().unwrap(), pattern);
        }
        assert_eq!("plaid".parse::<Pattern>(), Err(StyleError::Pattern));
        for mark in Mark::ALL {
            assert_eq!(mark.as_str().parse::<Mark>().unwrap(), mark);
        }
        assert_eq!("heart".parse::<Mark>(), Err(StyleError::Mark));
    }

    proptest! {
        #[test]
        fn text_is_readable_on_every_colour(rgb: [u8; 3]) {
            let color = Rgb(rgb);
            prop_assert!(color.contrast(color.readable()) >= 4.5, "{color}");
        }

        #[test]
        fn a_mixture_lies_between_its_colours(a: [u8; 3], b: [u8; 3], parts: u8) {
            let mixed = Rgb(a).mix(Rgb(b), parts);
            for ((a, b), mixed) in a.into_iter().zip(b).zip(mixed.0) {
                prop_assert!((a.min(b)..=a.max(b)).contains(&mixed));
            }
        }
    }
}
