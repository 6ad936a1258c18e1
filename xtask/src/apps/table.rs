//! What this program needs to know of the table of applications, `tests/applications.toml`: the tests' own reading of
//! it is `tests/src/applications/table.rs`.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace;

/// One application.
#[derive(Debug, Clone, Deserialize)]
pub struct Application {
    /// What it is called.
    pub name: String,
    /// The Debian packages that bring it; the first has the version that is shown.
    pub packages: Vec<String>,
    /// The Debian release that the packages are unpacked from; empty for those of the machine's own, which are installed.
    #[serde(default)]
    pub release: String,
    /// Whether it is among the tests.
    #[serde(default)]
    pub light: bool,
    /// What else the reader of the results should know.
    #[serde(default)]
    pub note: String,
    /// Why it is not run; empty for those that are.
    #[serde(default)]
    pub unusable: String,
    /// The interface that it cannot do without and that no VM may get; empty for those that get what they need.
    #[serde(default)]
    pub withheld: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What is done to it, in words.
    pub exercised: String,
}

#[derive(Debug, Deserialize)]
struct Table {
    application: Vec<Application>,
}

/// All applications.
///
/// # Errors
/// When the table cannot be read or is not well formed.
pub fn read() -> Result<Vec<Application>> {
    let path = workspace().join("tests/applications.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("error reading {}", path.display()))?;
    let table: Table = toml::from_str(&text).with_context(|| format!("error in {}", path.display()))?;
    Ok(table.application)
}

/// Those called `names`, in the order of the table; all where there are no names.
///
/// # Errors
/// When there is none of a name.
pub fn chosen(applications: &[Application], names: &[String]) -> Result<Vec<Application>> {
    let known = |name: &&String| applications.iter().any(|application| application.name == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let all: Vec<&str> = applications.iter().map(|application| application.name.as_str()).collect();
        anyhow::bail!("there is no application called {unknown}, but: {}", all.join(", "));
    }
    let wanted = |application: &&Application| names.is_empty() || names.contains(&application.name);
    Ok(applications.iter().filter(wanted).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_ones_come_in_the_order_of_the_table() {
        let all = read().unwrap();
        let chosen = chosen(&all, &["weston-terminal".to_owned(), "foot".to_owned()]).unwrap();
        let names: Vec<&str> = chosen.iter().map(|application| application.name.as_str()).collect();
        assert_eq!(names, ["foot", "weston-terminal"]);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_the_known_ones() {
        let error = chosen(&read().unwrap(), &["nothing".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("nothing") && error.contains("foot"), "{error}");
    }
}
