//! The Debian archive that the machine is set up to use, so that another release can be asked of the same one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Where apt keeps its sources.
const FOLDER: &str = "/etc/apt";

/// One archive of Debian packages.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    uri: String,
    /// The file with the keys that sign it; none where apt's own set is used.
    keyring: Option<String>,
}

impl Source {
    /// The archive that holds the release this machine has.
    ///
    /// # Errors
    /// When the machine's release is not known or no source has it.
    pub fn of_this_machine() -> Result<Self> {
        let os = fs::read_to_string("/etc/os-release").context("error reading /etc/os-release")?;
        let value = |key: &str| {
            let line = os.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        let release = match (value("ID").as_deref(), value("VERSION_CODENAME")) {
            (Some("debian"), Some(release)) => release,
            _ => bail!("this is no Debian release, and this comes as Debian packages"),
        };
        for file in source_files(Path::new(FOLDER)) {
            let text =
                fs::read_to_string(&file).with_context(|| format!("error reading {}", file.display()))?;
            let found = if file.extension().is_some_and(|extension| extension == "sources") {
                from_stanzas(&text, &release)
            } else {
                from_lines(&text, &release)
            };
            if let Some(source) = found {
                return Ok(source);
            }
        }
        bail!("no source of packages in {FOLDER} has the main component of {release}")
    }

    /// A line of sources.list that asks for `release` of this archive.
    pub fn line(&self, release: &str) -> String {
        let options = self.keyring.as_ref().map(|file| format!("[signed-by={file}] ")).unwrap_or_default();
        format!("deb {options}{} {release} main\n", self.uri)
    }
}

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let parts = fs::read_dir(folder.join("sources.list.d")).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
    files.push(folder.join("sources.list"));
    let known = |file: &PathBuf| {
        file.is_file()
            && file.extension().is_some_and(|extension| extension == "sources" || extension == "list")
    };
    files.retain(known);
    files.sort();
    files
}

/// From the form with one `Key: value` a line and an empty line between stanzas.
fn from_stanzas(text: &str, release: &str) -> Option<Source> {
    text.split("\n\n").find_map(|stanza| {
        let value = |key: &str| {
            let line = stanza.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.map(str::trim)
        };
        let has = |key: &str, word: &str| value(key).is_some_and(|v| v.split_whitespace().any(|w| w == word));
        let wanted = has("Types", "deb") && has("Suites", release) && has("Components", "main");
        let off = value("Enabled").is_some_and(|enabled| enabled.eq_ignore_ascii_case("no"));
        let uri = value("URIs")?.split_whitespace().next()?;
        // A key can also stand in the stanza itself; then apt's own set has to do.
        let keyring = value("Signed-By").filter(|file| file.starts_with('/')).map(str::to_owned);
        (wanted && !off).then(|| Source { uri: uri.to_owned(), keyring })
    })
}

/// From the form with one source a line: `deb [options] URI release components`.
fn from_lines(text: &str, release: &str) -> Option<Source> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        let wanted = words.next() == Some(release) && words.any(|component| component == "main");
        let keyring = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        wanted.then(|| Source { uri: uri.to_owned(), keyring: keyring.map(str::to_owned) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, keyring: Option<&str>) -> Source {
        Source { uri: uri.to_owned(), keyring: keyring.map(str::to_owned) }
    }

    #[test]
    fn the_stanza_of_the_release_is_found_among_others() {
        let text = "Types: deb\nURIs: file:/security\nSuites: alpha-security\nComponents: main\n\n\
                    Types: deb\nURIs: file:/off\nSuites: alpha\nComponents: main\nEnabled: no\n\n\
                    Types: deb deb-src\nURIs: file:/archive file:/other\nSuites: alpha alpha-updates\n\
                    Components: main contrib\nSigned-By: /keys.gpg\n";
        assert_eq!(from_stanzas(text, "alpha"), Some(source("file:/archive", Some("/keys.gpg"))));
        assert_eq!(from_stanzas(text, "beta"), None);
    }

    #[test]
    fn the_line_of_the_release_is_found_among_others() {
        let text = "# deb file:/comment alpha main\ndeb-src file:/src alpha main\ndeb file:/contrib alpha contrib\n\
                    deb [arch=amd64 signed-by=/keys.gpg] file:/archive alpha main\n";
        assert_eq!(from_lines(text, "alpha"), Some(source("file:/archive", Some("/keys.gpg"))));
        assert_eq!(from_lines("deb file:/archive alpha main", "alpha"), Some(source("file:/archive", None)));
    }

    #[test]
    fn a_line_asks_for_another_release_of_the_same_archive() {
        let line = source("file:/archive", Some("/keys.gpg")).line("beta");
        assert_eq!(line, "deb [signed-by=/keys.gpg] file:/archive beta main\n");
        assert_eq!(from_lines(&line, "beta"), Some(source("file:/archive", Some("/keys.gpg"))));
    }
}
