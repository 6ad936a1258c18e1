//! `vitrail-hub`: says which VM is calling, and joins its streams to the gate.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use vitrail_protocols::VmName;
use vitrail_proxy::hub::config::HubConfig;
use vitrail_proxy::hub::supervisor::Supervisor;
use vitrail_proxy::{hub, logging};

/// Accepts streams of VMs, names the VM by the socket it called, and joins it to the gate.
#[derive(Debug, Parser)]
#[command(
    name = "vitrail-hub",
    version,
    max_term_width = 100,
    after_help = "\
SIGTERM and SIGINT end the hub in order; live connections stay with their relays.\n\
Logging goes to standard error; VITRAIL_LOG filters it, for example VITRAIL_LOG=debug."
)]
struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", required_unless_present = "relay")]
    config: Option<PathBuf>,
    /// Only check the configuration file: exit with 0 if it is right.
    #[arg(long, requires = "config")]
    check: bool,
    /// Be the relay of a VM. The hub starts itself like this, with a control socket as standard input.
    #[arg(long, value_name = "VM", hide = true, conflicts_with_all = ["config", "check"])]
    relay: Option<VmName>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // As it is, since a mistake in the configuration shows its line below the message.
            eprintln!("vitrail-hub: {}", logging::explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(vm) = arguments.relay {
        return hub::relay::run(&vm).with_context(|| format!("relay of VM {vm}"));
    }
    let file = arguments.config.context("no configuration file")?;
    let config = HubConfig::load(&file)?;
    if arguments.check {
        println!("{}: {} VMs, no error", file.display(), config.vms.len());
        return Ok(());
    }
    Ok(Supervisor::new(config)?.run()?)
}
