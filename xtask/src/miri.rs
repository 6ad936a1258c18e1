//! `cargo xtask miri`: runs the unit tests of virtio-wl that make no system calls in Miri, which finds undefined behaviour that
//! happens to do no harm.
//!
//! What moves descriptors, maps memory or waits cannot run there; the fuzz targets run that with AddressSanitizer.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{steps, workspace};

/// The tests, as the beginnings of their paths.
const TESTS: [&str; 6] = [
    "allocator::",
    "wire::",
    "framed::bytes::",
    "trim::tests::a_record_is",
    "trim::tests::every_record",
    "trim::tests::only_whole_pages",
];

/// Moves a million bytes through a queue and back to little memory: minutes in Miri, by code that others run too.
const TOO_LONG: &str = "memory_that_is_not_needed_any_more_is_given_back";

/// Cases of each property test. One takes up to half a minute, thousands of times what it takes on the processor.
const CASES: &str = "2";

/// Runs the tests.
///
/// # Errors
/// The nightly toolchain or Miri is missing, which the message helps with, or Miri finds something.
pub fn run() -> Result<()> {
    if !is_there() {
        bail!(
            "Miri comes with a nightly toolchain of rustup: rustup toolchain install nightly --profile minimal \
             --component miri --component rust-src"
        );
    }
    let mut tests = cargo();
    tests
        .args(["miri", "test", "--package", "virtio-wl", "--lib", "--quiet", "--", "--skip", TOO_LONG])
        .args(TESTS);
    // proptest asks for the folder in which it notes failures.
    tests.env("PROPTEST_CASES", CASES).env("MIRIFLAGS", "-Zmiri-disable-isolation");
    steps::run("Miri", &mut tests)
}

/// Whether this machine has Miri, prepared or not.
pub fn is_there() -> bool {
    let mut version = cargo();
    version.args(["miri", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

fn cargo() -> Command {
    let mut command = Command::new("rustup");
    // The cargo that runs this program is of the other toolchain.
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").current_dir(workspace());
    command.args(["run", "nightly", "cargo"]);
    command
}
