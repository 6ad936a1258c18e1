//! Test programs of this workspace, for guests to run.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{steps, workspace};

/// Whether there was at least one test, and none said that it is for another machine.
pub fn ran_everything(text: &str) -> bool {
    let passed = |line: &str| line.starts_with("test result: ok.") && !line.contains(" 0 passed");
    text.lines().any(passed) && !text.lines().any(|line| line.contains("skipped"))
}

/// What cargo says of each thing it has built; the rest is of no interest.
#[derive(Deserialize)]
struct Built {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Builds a test program of this workspace and says where it is.
///
/// # Errors
/// When it cannot be built.
pub fn test_program(name: &str) -> Result<PathBuf> {
    eprintln!("==> building the test program {name}");
    let mut build = steps::cargo();
    // With all packages, as for the other tests, so that nothing has to be built again with other features.
    build.args(["test", "--workspace", "--test", name, "--no-run", "--quiet"]);
    build
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(workspace())
        .stderr(Stdio::inherit());
    let output = build.output().context("error starting cargo")?;
    if !output.status.success() {
        bail!("building the test program {name} failed");
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Built>(line).ok())
        .find(|built| built.target.as_ref().is_some_and(|t| t.name == name && t.kind == ["test"]))
        .and_then(|built| built.executable)
        .with_context(|| format!("cargo does not say where the test program {name} is"))
}
