//! The list of tests that are known to fail.
//!
//! A line `KIND: REASON` begins a group, and the indented lines below it are the names of its tests. Lines that
//! begin with `#` and empty ones mean nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Whose doing a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A rule of vitrail stands against it.
    Design,
    /// Smithay's.
    Smithay,
    /// WLCS's own.
    Wlcs,
    /// Vitrail's: to be fixed.
    Ours,
}

impl Kind {
    const ALL: [(&'static str, Self); 4] =
        [("design", Self::Design), ("smithay", Self::Smithay), ("wlcs", Self::Wlcs), ("ours", Self::Ours)];

    /// As the list has it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// The list.
#[derive(Debug, Default)]
pub struct Expected {
    tests: BTreeMap<String, Kind>,
}

impl Expected {
    /// Reads the list.
    ///
    /// # Errors
    /// When it cannot be read, or a line is not as it should be.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("error reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("error in {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut tests = BTreeMap::new();
        let mut kind = None;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with(char::is_whitespace) {
                let Some(kind) = kind else { bail!("line {number}: a test without a reason") };
                if tests.insert(line.trim().to_owned(), kind).is_some() {
                    bail!("line {number}: {} is listed twice", line.trim());
                }
                continue;
            }
            let (word, reason) = line.split_once(':').unwrap_or((line, ""));
            let known = Kind::ALL.iter().find(|(name, _)| *name == word);
            let Some((_, found)) = known else {
                bail!(
                    "line {number}: a reason begins with one of design, smithay, wlcs and ours, and a colon"
                );
            };
            if reason.trim().is_empty() {
                bail!("line {number}: no reason is given");
            }
            kind = Some(*found);
        }
        Ok(Self { tests })
    }

    /// Whose doing the failure of a test is, if it is listed.
    pub fn kind(&self, test: &str) -> Option<Kind> {
        self.tests.get(test).copied()
    }

    /// The listed tests.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tests.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_belong_to_the_reason_above_them() {
        let list = "# A remark.\ndesign: the stripe\n  A.b/0\n\nwlcs: src/x.cpp:3 is wrong\n  A.c\n";
        let list = Expected::parse(list).unwrap();
        assert_eq!(list.kind("A.b/0"), Some(Kind::Design));
        assert_eq!(list.kind("A.c"), Some(Kind::Wlcs));
        assert_eq!(list.kind("A.d"), None);
        assert_eq!(list.names().count(), 2);
    }

    #[test]
    fn a_test_without_a_reason_or_listed_twice_is_a_mistake() {
        for bad in ["  A.b\n", "design:\n  A.b\n", "because: so\n  A.b\n", "ours: x\n  A.b\nwlcs: y\n  A.b\n"]
        {
            assert!(Expected::parse(bad).is_err(), "{bad:?}");
        }
    }
}
