//! `cargo xtask test`: everything that has to be true before a change lands; and `cargo xtask deny`.

use std::process::Command;

use anyhow::Result;

use crate::{miri, setup, steps, workspace};

/// What runs in virtual machines, as actions of `cargo xtask vm`.
const IN_GUESTS: [&str; 2] = ["streams", "regions"];

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
    let mut tests = steps::cargo();
    tests.args(["test", "--workspace", "--quiet", "--no-fail-fast", "--"]);
    tests.args(filter);
    steps::run("tests", &mut tests)?;
    if filter.is_none() {
        if miri::is_there() {
            miri::run()?;
        } else {
            eprintln!(
                "==> Miri: LEFT OUT, as there is no nightly toolchain with it; what to do: cargo xtask miri"
            );
        }
        in_guests(no_vm)?;
    }
    Ok(())
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
