//! `[capture]`, and what pictures that local programs take show of each VM.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::document::Mistake;

/// How many programs may be named.
const MAX_PROGRAMS: usize = 64;

/// What a picture that a local program takes shows of the windows of a VM, their popups and thumbnails among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureRule {
    /// What the screen shows.
    #[default]
    Include,
    /// The label without the title, and black where the content is.
    Black,
    /// Nothing: the picture is as if the windows were not there.
    Omit,
}

/// A word that is none of the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is none of include, black and omit")]
pub struct NoSuchRule(String);

impl FromStr for CaptureRule {
    type Err = NoSuchRule;

    fn from_str(text: &str) -> Result<Self, NoSuchRule> {
        match text {
            "include" => Ok(Self::Include),
            "black" => Ok(Self::Black),
            "omit" => Ok(Self::Omit),
            other => Err(NoSuchRule(other.escape_debug().to_string())),
        }
    }
}

impl fmt::Display for CaptureRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Include => "include",
            Self::Black => "black",
            Self::Omit => "omit",
        })
    }
}

/// Which local programs take pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureConfig {
    /// The programs that take them without the user being asked: names that are looked for in `PATH`, or absolute paths.
    pub allow: Vec<String>,
}

/// The table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Capture {
    allow: Option<Spanned<Vec<Spanned<String>>>>,
}

impl Capture {
    /// Checks what the types alone do not say.
    pub(super) fn check(&self) -> Result<CaptureConfig, Mistake> {
        let Some(programs) = &self.allow else { return Ok(CaptureConfig::default()) };
        if programs.get_ref().len() > MAX_PROGRAMS {
            return Err(Mistake::at(programs, format!("allow has at most {MAX_PROGRAMS} programs")));
        }
        let mut allow = Vec::new();
        for program in programs.get_ref() {
            let name = program.get_ref();
            let plain = !name.is_empty() && !name.contains(['\0', '~', '$', '*']);
            if !plain || (name.contains('/') && !name.starts_with('/')) {
                let message =
                    "A program is a name, which is looked for in PATH, or a path that begins with /";
                return Err(Mistake::at(program, message));
            }
            allow.push(name.clone());
        }
        Ok(CaptureConfig { allow })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::trust::origin::Origin;

    fn read(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("vitrail.toml"), text).map_err(|error| error.one_line())
    }

    #[test]
    fn a_vm_has_its_own_rule_or_the_default_one_and_local_windows_are_always_shown() {
        let text = "[defaults]\ncapture = \"black\"\n[vm.a]\ncolor = \"#123456\"\n\
                    [vm.b]\ncolor = \"#654321\"\ncapture = \"omit\"\n";
        let config = read(text).unwrap();
        let rule = |name: &str| config.capture_rule(&Origin::Vm(name.parse().unwrap()));
        assert_eq!((rule("a"), rule("b")), (CaptureRule::Black, CaptureRule::Omit));
        assert_eq!(rule("stranger"), CaptureRule::Omit);
        assert_eq!(config.capture_rule(&Origin::Local), CaptureRule::Include);
        let config = read("[vm.a]\ncolor = \"#123456\"\n").unwrap();
        assert_eq!(config.capture_rule(&Origin::Vm("a".parse().unwrap())), CaptureRule::Include);
    }

    #[test]
    fn a_rule_that_there_is_not_is_refused_where_it_stands() {
        let error = read("[vm.a]\ncolor = \"#123456\"\ncapture = \"blur\"\n").unwrap_err();
        assert!(error.contains("vitrail.toml:3: \"blur\" is none of include, black and omit"), "{error}");
    }

    #[test]
    fn programs_are_names_or_absolute_paths() {
        let config = read("[capture]\nallow = [\"grim\", \"/opt/x/shot\"]\n").unwrap();
        assert_eq!(config.capture.allow, ["grim", "/opt/x/shot"]);
        for bad in ["", "bin/grim", "~/grim", "$HOME/grim", "/usr/bin/*"] {
            let error = read(&format!("[capture]\nallow = [\n\"{bad}\"]\n")).unwrap_err();
            assert!(error.contains("vitrail.toml:3: A program is a name"), "{error}");
        }
        let many = "\"a\",".repeat(MAX_PROGRAMS + 1);
        assert!(read(&format!("[capture]\nallow = [{many}]")).unwrap_err().contains("at most 64"));
    }
}
