//! The kinds of content that may go from one VM to another, and the names that programs give them.
//!
//! What a VM calls its content is its own word. It is compared with the names here and never shown, logged or given to another
//! VM: those see names of this list alone.

use std::fmt;
use std::str::FromStr;

/// A kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Text without form, in UTF-8.
    Text,
    /// Text with form, as web pages have it.
    Html,
    /// A picture.
    Png,
    /// A picture.
    Jpeg,
    /// A picture.
    Gif,
    /// A picture.
    Webp,
    /// A picture.
    Bmp,
}

/// A word of the configuration that is no kind which may pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchKind {
    /// Names of files mean nothing in another VM, or the wrong thing.
    #[error("files never go from one VM to another by the clipboard")]
    Files,
    /// Anything else.
    #[error(
        "\"{0}\" is none of text/plain, text/html, image/png, image/jpeg, image/gif, image/webp and image/bmp"
    )]
    Unknown(String),
}

impl Kind {
    /// All kinds, in the order in which they are taken.
    pub const ALL: [Self; 7] =
        [Self::Text, Self::Html, Self::Png, Self::Jpeg, Self::Gif, Self::Webp, Self::Bmp];

    /// The kind's name in the configuration and on the screen.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Html => "text/html",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Bmp => "image/bmp",
        }
    }

    /// What the kind is to people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Html => "formatted text",
            Self::Png | Self::Jpeg | Self::Gif | Self::Webp | Self::Bmp => "a picture",
        }
    }

    /// Whether its content is characters.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Html)
    }

    /// The names by which programs know the kind, the most exact first. The VM that gets the content is offered all of them.
    #[must_use]
    pub fn types(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["text/plain;charset=utf-8", "UTF8_STRING", "text/plain"],
            Self::Html => &["text/html"],
            Self::Png => &["image/png"],
            Self::Jpeg => &["image/jpeg"],
            Self::Gif => &["image/gif"],
            Self::Webp => &["image/webp"],
            Self::Bmp => &["image/bmp"],
        }
    }

    /// The kind that a type is a name of, in any case of its letters.
    #[must_use]
    pub fn of(mime_type: &str) -> Option<Self> {
        let named = |kind: &Self| kind.types().iter().any(|name| name.eq_ignore_ascii_case(mime_type));
        Self::ALL.into_iter().find(named)
    }

    /// By which of the types that a source offers its content of this kind is asked for.
    #[must_use]
    pub fn asked_as(self, offered: &[String]) -> Option<&str> {
        let spelled = |name: &&str| offered.iter().find(|offered| offered.eq_ignore_ascii_case(name));
        self.types().iter().find_map(spelled).map(String::as_str)
    }

    /// What types stand for in a word; the first kind that is known counts.
    #[must_use]
    pub fn in_a_word(types: &[String]) -> &'static str {
        let kinds = types.iter().filter_map(|name| Self::of(name));
        // Whoever drags a file offers its name as text as well.
        match kinds.min() {
            _ if types.iter().any(|name| name == FILES) => "files",
            Some(kind) => kind.word(),
            None => "something",
        }
    }
}

/// What file managers offer.
const FILES: &str = "text/uri-list";

impl FromStr for Kind {
    type Err = NoSuchKind;

    fn from_str(text: &str) -> Result<Self, NoSuchKind> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == text);
        let files = text == FILES || text.starts_with("x-special/");
        named.ok_or_else(|| match files {
            true => NoSuchKind::Files,
            false => NoSuchKind::Unknown(text.escape_debug().to_string()),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn every_kind_is_read_by_its_name_and_found_by_all_of_its_types() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert!(kind.types().iter().all(|name| Kind::of(name) == Some(kind)));
        }
        assert_eq!("text/uri-list".parse::<Kind>(), Err(NoSuchKind::Files));
        assert_eq!("x-special/gnome-copied-files".parse::<Kind>(), Err(NoSuchKind::Files));
        assert!(matches!("text/rtf".parse::<Kind>(), Err(NoSuchKind::Unknown(_))));
    }

    #[test]
    fn a_source_is_asked_by_the_most_exact_name_as_it_spells_it_itself() {
        let offered = words(&["text/plain", "TEXT/PLAIN;charset=UTF-8", "UTF8_STRING"]);
        assert_eq!(Kind::Text.asked_as(&offered), Some("TEXT/PLAIN;charset=UTF-8"));
        assert_eq!(Kind::Text.asked_as(&words(&["text/plain;charset=utf-16"])), None);
        assert_eq!(Kind::Html.asked_as(&offered), None);
    }

    #[test]
    fn what_is_dragged_has_a_word_whatever_the_vm_calls_it() {
        assert_eq!(Kind::in_a_word(&words(&["x/y", "text/html", "text/plain"])), "text");
        assert_eq!(Kind::in_a_word(&words(&["text/plain", "text/uri-list"])), "files");
        assert_eq!(Kind::in_a_word(&words(&["image/png"])), "a picture");
        assert_eq!(Kind::in_a_word(&words(&["\u{202e}evil"])), "something");
    }
}
