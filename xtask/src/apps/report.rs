//! The results as a table in Markdown, and where `docs/applications.md` shows it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;

/// Between these lines the document has the table.
const BEGIN: &str = "<!-- begin of the table, written by `cargo xtask apps --record` -->\n";
const END: &str = "<!-- end of the table -->\n";

/// How one application did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was as it should be.
    Works,
    /// It was denied this interface, as no VM may have it, said so and ended: as it should be, too.
    Withheld(String),
    /// Something was not; this is what.
    Fails(String),
    /// This distribution has no such package.
    NotPackaged,
    /// It is not run, for this reason.
    Unusable(String),
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The application.
    pub name: String,
    /// Its version, as the package has it; empty where there is none.
    pub version: String,
    /// What was done to it.
    pub exercised: String,
    /// What else there is to know.
    pub note: String,
    /// How it did.
    pub outcome: Outcome,
    /// How long its run took, in seconds.
    pub seconds: f64,
}

impl Row {
    /// The result in words.
    pub fn result(&self) -> String {
        match &self.outcome {
            Outcome::Works => "works".to_owned(),
            Outcome::Withheld(interface) => format!("ends, saying what it lacks: no VM gets `{interface}`"),
            Outcome::Fails(what) => format!("fails: {what}"),
            Outcome::NotPackaged => "not in this distribution".to_owned(),
            Outcome::Unusable(why) => format!("not run: {why}"),
        }
    }

    fn markdown(&self) -> String {
        let note = if self.note.is_empty() { String::new() } else { format!(" ({})", self.note) };
        let cells = [&self.name, &self.version, &format!("{}{note}", self.exercised), &self.result()];
        let cells: Vec<String> =
            cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        format!("| {} |\n", cells.join(" | "))
    }
}

/// The rows as a table in Markdown. `system` is where they were run.
pub fn markdown(rows: &[Row], system: &str) -> String {
    let mut text = format!("On {system}:\n\n");
    text.push_str("| application | version | exercised | result |\n| --- | --- | --- | --- |\n");
    rows.iter().for_each(|row| text.push_str(&row.markdown()));
    text
}

/// Writes the table into the document.
///
/// # Errors
/// When it cannot be read or written, or has no place for the table.
pub fn record(document: &Path, table: &str) -> Result<()> {
    let text =
        std::fs::read_to_string(document).with_context(|| format!("error reading {}", document.display()))?;
    let Some(text) = replaced(&text, table) else {
        bail!("{} has no place for the table", document.display());
    };
    std::fs::write(document, text).with_context(|| format!("error writing {}", document.display()))
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let mut new = before.to_owned();
    write!(new, "{BEGIN}\n{table}\n{END}{after}").ok()?;
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_the_place_of_the_one_before() {
        let document = format!("words\n{BEGIN}old\n{END}more\n");
        assert_eq!(replaced(&document, "new\n").unwrap(), format!("words\n{BEGIN}\nnew\n\n{END}more\n"));
        assert_eq!(replaced("words", "new"), None);
    }

    #[test]
    fn a_row_stays_one_row_whatever_is_in_it() {
        let outcome = Outcome::Fails("a | b\nc".to_owned());
        let (name, version, note) = ("foot".to_owned(), "1".to_owned(), String::new());
        let row = Row { name, version, exercised: "typing".to_owned(), note, outcome, seconds: 1.0 };
        assert_eq!(row.markdown(), "| foot | 1 | typing | fails: a \\| b c |\n");
    }
}
