//! `cargo xtask test`: everything that has to be true before a change lands; and `cargo xtask deny`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{hostile, miri, setup, steps, workspace};

/// What runs in virtual machines, as actions of `cargo xtask vm`.
const IN_GUESTS: [&str; 4] = ["streams", "regions", "dmabufs", "screen"];

/// The variable that names the file to which tests that this machine leaves out add a line.
const LEFT_OUT: &str = "VITRAIL_LEFT_OUT";

/// Sets up, checks and tests. With a filter, only builds and runs the tests that match.
///
/// # Errors
/// The first step that fails, with the command that repeats it.
pub fn run(filter: Option<&str>, no_vm: bool) -> Result<()> {
    setup::install()?;
    if filter.is_none() {
        steps::run("formatting", steps::cargo().args(["fmt", "--all", "--check"]))?;
        let lints = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        steps::run("lints", steps::cargo().args(lints))?;
        let docs = ["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"];
        deny()?;
        steps::run("documentation", steps::cargo().args(docs).env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    steps::run("build", steps::cargo().args(["build", "--workspace", "--bins", "--lib", "--quiet"]))?;
    tests(filter)?;
    if filter.is_none() {
        hostile::quick()?;
        if miri::is_there() {
            miri::run()?;
        } else {
            eprintln!(
                "==> Miri: LEFT OUT, as there is no nightly toolchain with it; what to do: cargo xtask miri"
            );
        }
        conformance(no_vm)?;
        in_guests(no_vm)?;
    }
    Ok(())
}

/// Runs the tests, and says which of them this machine has left out.
fn tests(filter: Option<&str>) -> Result<()> {
    let list = workspace().join("target").join("test").join("left-out");
    let folder = list.parent().context("a list without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("error creating {}", folder.display()))?;
    fs::write(&list, "").with_context(|| format!("error creating {}", list.display()))?;
    let mut tests = steps::cargo();
    tests.args(["test", "--workspace", "--quiet", "--no-fail-fast", "--"]);
    tests.args(filter).env(LEFT_OUT, &list);
    let result = steps::run("tests", &mut tests);
    let listed = fs::read_to_string(&list).with_context(|| format!("error reading {}", list.display()))?;
    for line in left_out(&listed) {
        eprintln!("==> tests: LEFT OUT: {line}");
    }
    result
}

/// What the tests have listed, of which several programs may say the same.
fn left_out(listed: &str) -> BTreeSet<&str> {
    listed.lines().filter(|line| !line.is_empty()).collect()
}

/// A part of what WLCS tests, which is a Debian package as what virtual machines need is.
fn conformance(left_out: bool) -> Result<()> {
    let name = "conformance";
    if left_out {
        eprintln!("==> {name}: LEFT OUT, as --no-vm says; to run it: cargo xtask wlcs");
        return Ok(());
    }
    steps::run(name, steps::cargo().args(["xtask", "wlcs", "--fast"]))
}

fn in_guests(left_out: bool) -> Result<()> {
    for action in IN_GUESTS {
        let name = format!("virtual machines: {action}");
        if left_out {
            eprintln!("==> {name}: LEFT OUT, as --no-vm says; to run it: cargo xtask vm {action}");
        } else {
            steps::run(&name, steps::cargo().args(["xtask", "vm", action]))?;
        }
    }
    Ok(())
}

/// Checks licences, duplicate versions and sources of the dependencies against deny.toml.
///
/// # Errors
/// When cargo-deny cannot be installed or finds something.
pub fn deny() -> Result<()> {
    let mut check = Command::new(setup::cargo_tool("cargo-deny")?);
    check.args(["check", "bans", "licenses", "sources"]).current_dir(workspace());
    steps::run("dependency policy", &mut check)
}
