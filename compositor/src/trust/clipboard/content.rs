//! What was copied: bytes that are overwritten when nobody has them any more, and what is said of them.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::kind::Kind;

/// The least memory of a part that has any content.
const FIRST_ROOM: usize = 4096;

/// Bytes as they come in. No copy of them is left behind when they need more room.
#[derive(Default)]
pub(super) struct Collected(Zeroizing<Vec<u8>>);

impl Collected {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            // A vector that grows by itself frees the memory that it had as it is.
            let room = needed.max(self.0.capacity().saturating_mul(2)).max(FIRST_ROOM);
            let mut larger = Zeroizing::new(Vec::with_capacity(room));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }
}

/// Content of one kind.
pub struct Part {
    kind: Kind,
    bytes: Zeroizing<Vec<u8>>,
}

impl Part {
    /// What has come in; `None` if it is nothing, or is called text and is none.
    pub(super) fn new(kind: Kind, collected: Collected) -> Option<Self> {
        let Collected(bytes) = collected;
        let sound = !bytes.is_empty() && (!kind.is_text() || std::str::from_utf8(&bytes).is_ok());
        sound.then_some(Self { kind, bytes })
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is said of it.
    #[must_use]
    pub fn described(&self) -> Described {
        let text = std::str::from_utf8(&self.bytes).ok().filter(|_| self.kind.is_text());
        Described {
            kind: self.kind,
            bytes: self.bytes.len(),
            characters: text.map(|text| text.chars().count()),
            lines: text.map_or(0, |text| text.lines().count()),
            controls: text.is_some_and(|text| text.chars().any(is_unexpected)),
        }
    }
}

/// Characters that a person who copies text does not expect in it: a terminal may take them for commands.
fn is_unexpected(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever prints the state must not print what was copied.
        f.debug_struct("Part").field("kind", &self.kind).field("bytes", &self.bytes.len()).finish()
    }
}

/// The same content in one or several kinds.
pub type Content = Vec<Arc<Part>>;

/// What is said of content, and nothing of the content itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its kind.
    pub kind: Kind,
    /// Its length in bytes.
    pub bytes: usize,
    /// How many characters it has, if it is text.
    pub characters: Option<usize>,
    /// How many lines it has, if it is text.
    pub lines: usize,
    /// Whether it has control characters besides line ends and tabulators.
    pub controls: bool,
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.characters {
            Some(1) => write!(f, "1 character of {}", self.kind),
            Some(count) => write!(f, "{count} characters of {}", self.kind),
            None => write!(f, "{} bytes of {}", self.bytes, self.kind),
        }
    }
}

/// What is said of content in all of its kinds.
#[must_use]
pub fn described(content: &Content) -> Vec<Described> {
    content.iter().map(|part| part.described()).collect()
}

/// The same in a line.
#[must_use]
pub fn in_words(parts: &[Described]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: Kind, bytes: &[u8]) -> Option<Part> {
        let mut collected = Collected::default();
        bytes.chunks(7).for_each(|chunk| collected.push(chunk));
        Part::new(kind, collected)
    }

    #[test]
    fn bytes_are_kept_as_they_came_however_often_they_need_more_room() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| b'a' + u8::try_from(n % 26).unwrap()).collect();
        assert_eq!(part(Kind::Text, &bytes).unwrap().bytes(), bytes);
    }

    #[test]
    fn nothing_is_no_content_and_what_is_no_text_is_none() {
        assert!(part(Kind::Text, b"").is_none());
        assert!(part(Kind::Text, b"\xff\xfe").is_none() && part(Kind::Html, b"a\xc3").is_none());
        assert!(part(Kind::Png, b"\xff\xfe").is_some());
    }

    #[test]
    fn content_is_described_by_its_size_and_by_what_nobody_expects_in_it() {
        let said = |text: &str| part(Kind::Text, text.as_bytes()).unwrap().described();
        assert_eq!(said("caf\u{e9}\n").to_string(), "5 characters of text/plain");
        assert_eq!(said("x").to_string(), "1 character of text/plain");
        assert_eq!((said("a\nb\nc").lines, said("a\tb\r\n").controls), (3, false));
        assert!(said("ls\u{1b}[A").controls && said("a\u{0}").controls);
        assert_eq!(part(Kind::Png, &[1, 2, 3]).unwrap().described().to_string(), "3 bytes of image/png");
    }

    #[test]
    fn the_content_is_not_in_what_a_programmer_prints() {
        let part = part(Kind::Text, b"secret").unwrap();
        assert_eq!(format!("{part:?}"), "Part { kind: Text, bytes: 6 }");
    }
}
