//! Why a configuration was refused, shown where it went wrong.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The most characters of a line that a message shows.
const MAX_SHOWN: usize = 200;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read and is not valid.
    #[error("{0}")]
    Invalid(Diagnostic),
}

impl ConfigError {
    /// The error in one line, for places where there is no room for more.
    #[must_use]
    pub fn one_line(&self) -> String {
        match self {
            Self::Read { .. } => self.to_string(),
            Self::Invalid(diagnostic) => {
                let Diagnostic { path, line, message, .. } = diagnostic;
                format!("{}:{line}: {message}", path.display())
            }
        }
    }
}

/// A mistake in a file, with the place and the line itself. Displayed as compilers do it:
///
/// ```text
/// vitrail.toml:12:1: unknown field `colr`, expected one of `label`, `color`
///    |
/// 12 | colr = "#2e7d32"
///    | ^^^^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as it was named.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The character in the line, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line itself, without its end; control characters are replaced.
    pub source_line: String,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
}

impl Diagnostic {
    /// Places `message` at the bytes `span` of `text`.
    #[must_use]
    pub fn new(path: &Path, text: &str, span: &Range<usize>, message: impl Into<String>) -> Self {
        let start = floor_boundary(text, span.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = text.get(line_start..).unwrap_or_default();
        let source_line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let skipped = text.get(line_start..start).unwrap_or_default().chars().count();
        let meant = text.get(start..floor_boundary(text, span.end.max(start))).unwrap_or_default();
        let width = meant.lines().next().unwrap_or_default().chars().count();
        let left = source_line.chars().count().saturating_sub(skipped);
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: skipped + 1,
            message: printable(&message.into()),
            source_line: printable(source_line),
            width: width.min(left).max(1),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, message, source_line, width } = self;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let shown: String = source_line.chars().take(MAX_SHOWN).collect();
        let indent = " ".repeat((column - 1).min(MAX_SHOWN));
        let carets = "^".repeat((*width).min(MAX_SHOWN.saturating_sub(indent.len())).max(1));
        writeln!(f, "{}:{line}:{column}: {message}", path.display())?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {shown}")?;
        write!(f, "{margin} | {indent}{carets}")
    }
}

/// The nearest place at or before `index` where a character begins.
fn floor_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// One column for one character, and nothing a terminal would act on: tabs become spaces, other control
/// characters question marks.
fn printable(text: &str) -> String {
    let replace = |c: char| match c {
        '\t' | '\n' => ' ',
        c if c.is_control() => '?',
        c => c,
    };
    text.trim_end().chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_line_is_shown_with_a_caret_under_the_place() {
        let text = "[vm.work]\ncolr = \"#2e7d32\"\n";
        let diagnostic = Diagnostic::new(Path::new("v.toml"), text, &(10..14), "unknown key");
        assert_eq!(diagnostic.to_string(), "v.toml:2:1: unknown key\n  |\n2 | colr = \"#2e7d32\"\n  | ^^^^");
    }

    #[test]
    fn tabs_and_control_characters_keep_the_caret_in_place() {
        let diagnostic = Diagnostic::new(Path::new("v"), "\ta = \u{1b}1\r\nb", &(1..2), "m");
        assert_eq!(diagnostic.to_string(), "v:1:2: m\n  |\n1 |  a = ?1\n  |  ^");
    }

    #[test]
    fn a_span_over_several_lines_marks_its_first() {
        let diagnostic = Diagnostic::new(Path::new("v"), "a = [\n1,\n2]", &(4..11), "m");
        assert_eq!((diagnostic.line, diagnostic.column, diagnostic.width), (1, 5, 1));
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_can_be_shown(text in ".{0,80}(\n.{0,20})?", a in 0usize..200, b in 0usize..200) {
            let shown = Diagnostic::new(Path::new("v"), &text, &(a..b), "m").to_string();
            prop_assert_eq!(shown.lines().count(), 4);
        }
    }
}
