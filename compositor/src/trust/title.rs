//! What a guest says of itself, made safe to show.
//!
//! A title or app id is the VM's word: any bytes, of any length, changing at any rate. A [`GuestText`] is
//! what is left of it for screens, logs and reports: one line of at most [`MAX_GUEST_TEXT`] characters. The type can be
//! made in no other way, so text that was not cleaned cannot reach the painter.
//!
//! With [`Charset::Ascii`], which logs, reports and the labels of VMs have unless configured, only printable ASCII is left, so
//! nothing can reverse the direction of writing, stack marks over neighbouring text, hide, or look like a letter it is not. A
//! few typographic characters that ordinary titles have are written with their ASCII equivalents, every other character
//! becomes [`REPLACEMENT`].
//!
//! With [`Charset::Unicode`] titles are readable in every script that the built-in fonts have. The text is normalised (NFC);
//! controls, format characters (those of direction among them), private and unassigned code points that cannot be drawn are left out or replaced;
//! at most [`MAX_MARKS`] marks stand on a letter. Letters of another script may look like Latin ones, so
//! [`GuestText::resembles`] reads them as those. The direction of writing that is left is that of the letters, and orders
//! only the title: it is a picture of its own beside the chip.

use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use vitrail_protocols::Guard;

use crate::trust::lookalike;
use crate::trust::style::{Label, StyleError};

/// The most characters that are kept of a guest's text.
pub const MAX_GUEST_TEXT: usize = 128;
/// The most characters that are looked at; control characters beyond them do not cost time.
const MAX_SCANNED: usize = 4096;
/// The most combining marks that are kept on one letter.
pub const MAX_MARKS: usize = 2;
/// Stands for a character that is not shown.
pub const REPLACEMENT: char = '?';

/// Which characters of a guest's text are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// Printable ASCII.
    #[default]
    Ascii,
    /// Letters and signs of every script.
    Unicode,
}

impl FromStr for Charset {
    type Err = StyleError;

    fn from_str(text: &str) -> Result<Self, StyleError> {
        match text {
            "ascii" => Ok(Self::Ascii),
            "unicode" => Ok(Self::Unicode),
            _ => Err(StyleError::Charset),
        }
    }
}

/// Text of a guest that is safe to show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GuestText(String);

impl GuestText {
    /// Cleans what a guest sent, for logs, reports and terminals: ASCII is left.
    #[must_use]
    pub fn new(untrusted: &str) -> Self {
        if !Guard::Title.holds() {
            return Self(untrusted.to_owned());
        }
        let mut text = String::with_capacity(untrusted.len().min(MAX_GUEST_TEXT));
        for c in untrusted.chars().take(MAX_SCANNED) {
            if text.len() >= MAX_GUEST_TEXT {
                break;
            }
            match c {
                c if c.is_whitespace() => push_space(&mut text),
                ' '..='~' => text.push(c),
                c if is_ignored(c) => {}
                c => text.push_str(ascii_equivalent(c)),
            }
        }
        text.truncate(MAX_GUEST_TEXT);
        text.truncate(text.trim_end().len());
        Self(text)
    }

    /// Cleans what a guest sent, for the screen.
    #[must_use]
    pub fn shown(untrusted: &str, charset: Charset) -> Self {
        if charset == Charset::Ascii || !Guard::Title.holds() {
            return Self::new(untrusted);
        }
        let mut text = String::new();
        let (mut length, mut marks) = (0_usize, 0_usize);
        let kept = untrusted.chars().take(MAX_SCANNED).filter(|c| c.is_whitespace() || !is_ignored(*c));
        for c in kept.nfc() {
            if length >= MAX_GUEST_TEXT {
                break;
            }
            let before = text.len();
            if c.is_whitespace() {
                push_space(&mut text);
                // A mark has nothing to stand on.
                marks = MAX_MARKS;
            } else if is_combining_mark(c) {
                if marks < MAX_MARKS && !text.is_empty() {
                    text.push(c);
                }
                marks = marks.saturating_add(1);
            } else {
                text.push(if is_unassigned(c) { char::REPLACEMENT_CHARACTER } else { c });
                marks = 0;
            }
            length = length.saturating_add(usize::from(text.len() > before));
        }
        text.truncate(text.trim_end().len());
        Self(text)
    }

    /// The text: one line, without space at its ends.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is left to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a hasty reader could take a part of the text for `label`: it holds the label as a word, in
    /// any case, or spelt with digits or letters of other scripts that look like its letters.
    #[must_use]
    pub fn resembles(&self, label: &Label) -> bool {
        let (text, label) = (skeleton(&self.0), skeleton(label.as_str()));
        let (text, label) = (text.trim(), label.trim());
        let padded = format!(" {text} ");
        !label.is_empty() && Guard::Title.holds() && padded.contains(&format!(" {label} "))
    }
}

impl fmt::Display for GuestText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends a space unless the text is empty or ends with one.
fn push_space(text: &mut String) {
    if !text.is_empty() && !text.ends_with(' ') {
        text.push(' ');
    }
}

/// Characters that stand for nothing on paper: controls (Cc), and the format characters (Cf) that join,
/// separate, reverse or tag others. They are left out; anything else unknown leaves a trace.
fn is_ignored(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Characters that no font draws in a way that all readers know: private ones, and those that are none.
fn is_unassigned(c: char) -> bool {
    let point = u32::from(c);
    matches!(point, 0xe000..=0xf8ff | 0xfdd0..=0xfdef | 0xf_0000..) || point & 0xfffe == 0xfffe
}

/// What a typewriter has for a typographic character.
fn ascii_equivalent(c: char) -> &'static str {
    match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "-",
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' => "'",
        '\u{201c}'..='\u{201f}' => "\"",
        '\u{2022}' | '\u{b7}' => "*",
        '\u{2026}' => "...",
        '\u{ab}' => "<<",
        '\u{bb}' => ">>",
        _ => "?",
    }
}

/// Words in lower case, with digits and signs read as the letters they imitate; all else is space.
fn skeleton(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in lookalike::seen(text) {
        match c {
            '0' => folded.push('o'),
            '1' | '|' | '!' | 'I' | 'L' | 'i' => folded.push('l'),
            '3' => folded.push('e'),
            '4' | '@' => folded.push('a'),
            '5' | '$' => folded.push('s'),
            '7' => folded.push('t'),
            c if c.is_ascii_alphanumeric() => folded.push(c.to_ascii_lowercase()),
            _ => push_space(&mut folded),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str) -> String {
        GuestText::new(text).as_str().to_owned()
    }

    #[test]
    fn ordinary_titles_stay_as_they_are() {
        assert_eq!(clean("user@work: ~/src (2) [main]"), "user@work: ~/src (2) [main]");
    }

    #[test]
    fn control_and_direction_characters_vanish() {
        assert_eq!(clean("a\u{202e}b\u{1b}[31m\0c\u{2066}d\u{200b}e\u{e0041}"), "ab[31mcde");
    }

    #[test]
    fn white_space_of_any_kind_becomes_one_space() {
        assert_eq!(clean("  a \t\n\u{a0}\u{2003} b\u{2028}c  "), "a b c");
    }

    #[test]
    fn typography_becomes_ascii_and_the_rest_is_replaced() {
        assert_eq!(clean("“Notes” — page…"), "\"Notes\" - page...");
        assert_eq!(clean("日本 Раураl"), "?? ?????l");
    }

    #[test]
    fn a_huge_title_is_cut() {
        assert_eq!(clean(&"x".repeat(1 << 20)).len(), MAX_GUEST_TEXT);
        assert_eq!(clean(&"\u{202e}".repeat(1 << 20)), "");
        assert_eq!(clean(&"…".repeat(200)).len(), MAX_GUEST_TEXT);
    }

    #[test]
    fn a_title_that_names_another_vm_is_noticed() {
        let bank = "Bank".parse::<Label>().unwrap();
        for title in ["[bank] login", "BANK", "B4NK: sign in", "my bank", "Bank - transfer"] {
            assert!(GuestText::new(title).resembles(&bank), "{title}");
        }
        for title in ["embankment", "banker", "", "ban k"] {
            assert!(!GuestText::new(title).resembles(&bank), "{title}");
        }
        let sign = "--".parse::<Label>().unwrap();
        assert!(!GuestText::new("a -- b").resembles(&sign));
    }

    fn unicode(text: &str) -> String {
        GuestText::shown(text, Charset::Unicode).as_str().to_owned()
    }

    #[test]
    fn titles_of_every_script_stay_as_they_are_where_that_is_allowed() {
        for title in
            ["Заметки — страница", "日本語のページ", "مرحبا بالعالم", "שלום עולם", "🌈 party", "naïve"]
        {
            assert_eq!(unicode(title), title);
        }
        assert_eq!(GuestText::shown("日本", Charset::Ascii).as_str(), "??");
    }

    #[test]
    fn what_reverses_hides_joins_or_stacks_is_left_out_in_every_charset() {
        assert_eq!(unicode("a\u{202e}b\u{1b}[31m\0c\u{2066}d\u{200b}e\u{e0041}\u{200f}"), "ab[31mcde");
        assert_eq!(unicode("\u{301}\u{301}Z\u{300}\u{300}\u{300}\u{300}o"), "Z\u{300}\u{300}o");
        assert_eq!(unicode("a \u{489}b"), "a b");
        assert_eq!(unicode("e\u{200b}\u{301}"), "é");
        assert_eq!(unicode("\u{e000}\u{ffff}\u{fdd0}x"), "\u{fffd}\u{fffd}\u{fffd}x");
        assert_eq!(unicode(&"\u{301}".repeat(1 << 20)), "");
        assert_eq!(unicode(&"日".repeat(1 << 20)).chars().count(), MAX_GUEST_TEXT);
    }

    #[test]
    fn a_label_spelt_with_letters_of_other_scripts_is_noticed() {
        let bank = "Bank".parse::<Label>().unwrap();
        for title in ["[Ваnk] вход", "Ｂａｎｋ", "銀行 ΒΑΝΚ", "b\u{301}ank", "מרחב Bank"]
        {
            assert!(GuestText::shown(title, Charset::Unicode).resembles(&bank), "{title}");
        }
        for title in ["Банк", "银行", "ban-k"] {
            assert!(!GuestText::shown(title, Charset::Unicode).resembles(&bank), "{title}");
        }
    }

    proptest! {
        #[test]
        fn text_of_every_script_is_short_and_has_nothing_that_steers(text in "\\PC{0,64}|(?s).{0,300}") {
            let once = GuestText::shown(&text, Charset::Unicode);
            prop_assert!(once.as_str().chars().count() <= MAX_GUEST_TEXT);
            prop_assert!(!once.as_str().chars().any(|c| is_ignored(c) || c.is_control()));
            prop_assert_eq!(once.as_str().trim(), once.as_str());
            prop_assert_eq!(GuestText::shown(once.as_str(), Charset::Unicode), once);
        }

        #[test]
        fn the_result_is_short_printable_ascii(text in "\\PC{0,64}|(?s).{0,300}") {
            let clean = GuestText::new(&text);
            prop_assert!(clean.as_str().len() <= MAX_GUEST_TEXT);
            prop_assert!(clean.as_str().bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(clean.as_str().trim(), clean.as_str());
            prop_assert!(!clean.as_str().contains("  "));
        }

        #[test]
        fn cleaning_twice_changes_nothing(text in "(?s).{0,300}") {
            let once = GuestText::new(&text);
            prop_assert_eq!(GuestText::new(once.as_str()), once);
        }
    }
}
