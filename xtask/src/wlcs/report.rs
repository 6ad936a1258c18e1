//! The results against the list: wlcs.json, the table and the verdict.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::Results;
use super::expected::{Expected, Kind};
use super::log::Outcome;

/// Results of a run.
#[derive(Debug)]
pub struct Report {
    results: Results,
    /// What is not as the list has it, in words, by test.
    unexpected: BTreeMap<String, &'static str>,
    /// How many expected failures there are of each kind.
    expected: BTreeMap<Kind, usize>,
}

/// wlcs.json.
#[derive(Debug, Serialize)]
struct Json<'a> {
    passed: usize,
    failed: usize,
    skipped: usize,
    unexpected: Vec<&'a str>,
    tests: BTreeMap<&'a str, &'static str>,
}

impl Report {
    /// Compares results with the list. `stale` are listed tests that WLCS does not have.
    pub fn new(results: Results, list: &Expected, stale: Vec<String>) -> Self {
        let mut unexpected: BTreeMap<String, &'static str> =
            stale.into_iter().map(|name| (name, "is listed, and WLCS has no such test")).collect();
        let mut expected = BTreeMap::new();
        for (name, outcome) in &results {
            let kind = list.kind(name);
            let surprise = match (outcome, kind) {
                (Outcome::Failed, Some(kind)) => {
                    *expected.entry(kind).or_default() += 1;
                    continue;
                }
                (Outcome::Passed | Outcome::Skipped, None) => continue,
                (Outcome::Failed, None) => "failed, and is not listed",
                (Outcome::Passed, Some(_)) => "passed, and is listed as failing",
                (Outcome::Skipped, Some(_)) => "is listed as failing, and was skipped",
                // Whatever the list says: neither the compositor nor a test may end like this.
                (Outcome::Crashed, _) => "crashed",
                (Outcome::Hung, _) => "hung",
            };
            unexpected.insert(name.clone(), surprise);
        }
        Self { results, unexpected, expected }
    }

    fn count(&self, wanted: impl Fn(Outcome) -> bool) -> usize {
        self.results.values().filter(|outcome| wanted(**outcome)).count()
    }

    /// Writes wlcs.json.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = Json {
            passed: self.count(|outcome| outcome == Outcome::Passed),
            failed: self.count(Outcome::is_failure),
            skipped: self.count(|outcome| outcome == Outcome::Skipped),
            unexpected: self.unexpected.keys().map(String::as_str).collect(),
            tests: self.results.iter().map(|(name, outcome)| (name.as_str(), outcome.name())).collect(),
        };
        let text = serde_json::to_string_pretty(&json).context("error encoding wlcs.json")?;
        std::fs::write(path, text + "\n").with_context(|| format!("error writing {}", path.display()))
    }

    /// The numbers by group, in Markdown.
    pub fn table(&self) -> String {
        let mut groups: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        for (name, outcome) in &self.results {
            let column = match outcome {
                Outcome::Passed => 0,
                Outcome::Skipped => 2,
                _ => 1,
            };
            groups.entry(group(name)).or_default()[column] += 1;
        }
        let mut text = String::from("| group | passed | failed | skipped |\n| --- | ---: | ---: | ---: |\n");
        for (group, [passed, failed, skipped]) in &groups {
            // Writing to a string does not fail.
            let _ = writeln!(text, "| {group} | {passed} | {failed} | {skipped} |");
        }
        let [passed, failed, skipped] =
            [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(|wanted| match wanted {
                Outcome::Failed => self.count(Outcome::is_failure),
                wanted => self.count(|outcome| outcome == wanted),
            });
        let _ = writeln!(text, "| **all** | **{passed}** | **{failed}** | **{skipped}** |");
        for (kind, count) in &self.expected {
            let _ = writeln!(text, "\n{count} expected failures are listed as {}", kind.name());
        }
        text
    }

    /// Whether everything is as the list has it.
    ///
    /// # Errors
    /// When something is not, with what that is.
    pub fn verdict(&self) -> Result<()> {
        if self.unexpected.is_empty() {
            return Ok(());
        }
        for (name, what) in &self.unexpected {
            eprintln!("    {name}: {what}");
        }
        bail!("{} results are not as tests/wlcs/expected-failures.list has them", self.unexpected.len())
    }
}

/// The tests that belong together: those of one class, whatever their parameters come from.
fn group(name: &str) -> &str {
    let class = name.split('.').next().unwrap_or(name);
    class.rsplit('/').find(|part| part.parse::<u32>().is_err()).unwrap_or(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(of: &[(&str, Outcome)]) -> Results {
        of.iter().map(|(name, outcome)| ((*name).to_owned(), *outcome)).collect()
    }

    #[test]
    fn what_is_not_as_listed_is_unexpected() {
        let folder = std::env::temp_dir().join(format!("vitrail-wlcs-list-{}", std::process::id()));
        std::fs::write(&folder, "ours: slow\n  A.fails\n  A.passes\n  A.crashes\n").unwrap();
        let list = Expected::read(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        let results = results(&[
            ("A.fails", Outcome::Failed),
            ("A.passes", Outcome::Passed),
            ("A.crashes", Outcome::Crashed),
            ("A.other", Outcome::Failed),
            ("A.fine", Outcome::Passed),
        ]);
        let report = Report::new(results, &list, vec![String::from("A.gone")]);
        let names: Vec<&str> = report.unexpected.keys().map(String::as_str).collect();
        assert_eq!(names, ["A.crashes", "A.gone", "A.other", "A.passes"]);
        assert!(report.verdict().is_err());
    }

    #[test]
    fn a_group_is_the_class_of_the_tests() {
        assert_eq!(group("Anchor/LayerSurfaceLayoutTest.is_placed/3"), "LayerSurfaceLayoutTest");
        assert_eq!(group("SelfTest.works"), "SelfTest");
        assert_eq!(group("XdgShell/Sub/0.works"), "Sub");
    }
}
