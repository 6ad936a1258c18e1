//! The commands of the workspace: `cargo xtask setup`, `demo`, `apps`, `vm`, `test`, `bench`, `wlcs`, `fuzz`, `hostile`, `miri`
//! and `deny`.
//!
//! Every command does its own set-up: what it needs from the system is installed by apt, or listed where
//! there is no apt. Nothing else on the machine is changed.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod apps;
mod bench;
mod debian;
mod demo;
mod fuzz;
mod hostile;
mod miri;
mod processes;
mod setup;
mod steps;
mod test;
mod vm;
mod wlcs;

/// Builds, shows and tests Vitrail.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install the system packages that building, the demo and the tests need (by apt).
    Setup {
        /// Only report what is missing; exit status 1 if something is.
        #[arg(long)]
        check: bool,
    },
    /// Run real applications of three VMs and one local client on one labelled screen.
    ///
    /// Writes DIR/screen.png and DIR/windows.json and prints a table of the windows. Each "VM" is a process
    /// tree in namespaces of its own that has only its wl-forward socket.
    Demo(demo::Options),
    /// Run real applications through the whole chain, one after the other, and check how each does.
    ///
    /// Installs them from packages. Writes a picture of each and a table of the results to DIR. The tests run the light
    /// ones.
    Apps(apps::Options),
    /// Boot virtual machines: QEMU, a stock Debian kernel, and programs of this workspace in it.
    #[command(subcommand)]
    Vm(vm::Action),
    /// Check formatting, lints, dependencies and documentation, build everything and run all tests.
    Test {
        /// Run only the tests whose name contains this; formatting, lints, documentation and virtual machines are left
        /// out.
        filter: Option<String>,
        /// Leave out virtual machines and WLCS, where they cannot be had (they come as Debian packages, for x86-64).
        #[arg(long)]
        no_vm: bool,
    },
    /// Measure what the whole chain costs, against a direct connection and waypipe, and what the compositor costs, against
    /// weston, and hold both against their limits.
    ///
    /// Writes DIR/bench.json and DIR/bench.svg. Builds with optimisation. waypipe and socat are fetched as Debian
    /// packages and unpacked below target/; nothing is installed. Run it on an otherwise idle machine.
    Bench(bench::Options),
    /// Run the Wayland Conformance Test Suite against vitrail, and compare with the list of expected failures.
    ///
    /// Writes DIR/wlcs.json and prints a table. WLCS is fetched as a Debian package and unpacked below target/; nothing is
    /// installed.
    Wlcs(wlcs::Options),
    /// Fuzz virtio-wl: run its targets one after the other, and minimise the inputs that are checked in.
    ///
    /// Needs a nightly toolchain; cargo-fuzz is installed below target/ if missing.
    Fuzz(fuzz::Options),
    /// Try what a hostile VM tries, against compositor, gate, hub and forwarder, and write what came of it.
    ///
    /// Writes DIR/hostile.json, a list of {row, case, handled, evidence} (docs/hostile.md). With --without-guard each case is run
    /// with its guards switched off and must fail.
    Hostile(hostile::Options),
    /// Run the unit tests of virtio-wl that make no system calls in Miri, which finds undefined behaviour.
    ///
    /// Needs a nightly toolchain with Miri; `cargo xtask test` does it too where there is one.
    Miri,
    /// Check the licences and sources of all dependencies with cargo-deny (installed below target/ if missing).
    Deny,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Setup { check: true } => setup::check(),
        Command::Setup { check: false } => setup::install(),
        Command::Demo(options) => demo::run(&options),
        Command::Apps(options) => apps::run(&options),
        Command::Vm(action) => vm::run(&action),
        Command::Test { filter, no_vm } => test::run(filter.as_deref(), no_vm),
        Command::Bench(options) => bench::run(&options),
        Command::Wlcs(options) => wlcs::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Hostile(options) => hostile::run(&options),
        Command::Miri => miri::run(),
        Command::Deny => test::deny(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn workspace() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or_else(|| xtask.clone(), PathBuf::from)
}

/// Where cargo puts what it builds, as the environment that cargo gave this program has it.
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}
