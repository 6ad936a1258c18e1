//! The command line of vitrail-gate.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Parser;
use virtio_wl::{Address, Region};
use vitrail_protocols::VmName;

use super::config::{Config, VmTerms};
use super::report::escape;
use super::supervisor::{self, SupervisorOptions};
use super::worker::{self, Worker, WorkerOptions};
use crate::logging;

/// Checks every message of a VM before the compositor sees it.
///
/// The supervisor takes the VMs' streams from the hub and starts one worker process per VM. A worker can also be
/// run alone, for one connection on inherited descriptors.
#[derive(Debug, Parser)]
#[command(name = "vitrail-gate", version)]
struct Arguments {
    /// vitrail.toml: where the hub connects, which files may be regions, which VMs there are, their limits and protocols
    #[arg(long, value_name = "FILE", required_unless_present = "worker")]
    config: Option<PathBuf>,

    /// The connection to the compositor [default: what WAYLAND_SOCKET or WAYLAND_DISPLAY names]
    #[arg(long, value_name = "fd:N")]
    compositor: Option<Address>,

    /// Where to write what the workers report, as lines of JSON
    #[arg(long, value_name = "fd:N", conflicts_with = "worker")]
    status: Option<Address>,

    /// Be a worker
    #[arg(long)]
    worker: bool,

    /// The VM that the worker serves
    #[arg(long, value_name = "NAME", requires = "worker")]
    vm: Option<VmName>,

    /// The supervisor's socket
    #[arg(long, value_name = "fd:N", requires = "worker", conflicts_with_all = ["stream", "compositor"])]
    control: Option<Address>,

    /// The VM's stream, for a worker without supervisor
    #[arg(long, value_name = "fd:N", requires_all = ["worker", "compositor"])]
    stream: Option<Address>,

    /// The VM's shared region, for a worker without supervisor
    #[arg(long, value_name = "PATH|fd:N", requires = "stream")]
    region: Option<String>,
}

/// Runs the program with the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    logging::init();
    let result = match Arguments::parse() {
        arguments if !arguments.worker => supervise(arguments),
        Arguments { control: Some(control), .. } => work_for_supervisor(&control),
        arguments => work_alone(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", escape(&logging::explain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// The descriptor of an argument that names one.
fn inherited(argument: Option<&Address>, name: &str) -> anyhow::Result<Option<OwnedFd>> {
    match argument {
        None => Ok(None),
        Some(Address::Fd(_)) => {
            argument.map(Address::connect).transpose().with_context(|| format!("--{name}"))
        }
        Some(other) => bail!("--{name} takes fd:N, not {other}"),
    }
}

/// An error as text: some hold objects of the connection, which cannot leave their thread.
fn plain(error: impl std::error::Error) -> anyhow::Error {
    anyhow!("{error}")
}

/// Gives a worker a name in process lists, where it would be called `exe`: its supervisor starts its own program by a path that
/// is always valid. Behind the walls it is too late.
fn name_worker() {
    let _ = rustix::thread::set_name(c"gate-worker");
}

fn supervise(arguments: Arguments) -> anyhow::Result<()> {
    let options = SupervisorOptions {
        compositor: inherited(arguments.compositor.as_ref(), "compositor")?,
        status: inherited(arguments.status.as_ref(), "status")?,
        config: arguments.config.context("--config is missing")?,
        program: PathBuf::from("/proc/self/exe"),
    };
    Ok(supervisor::run(options)?)
}

fn work_for_supervisor(control: &Address) -> anyhow::Result<()> {
    name_worker();
    let control = inherited(Some(control), "control")?.context("--control is missing")?;
    let options = worker::await_start(control).map_err(plain)?;
    let jail = worker::enter_jail(&options.limits, options.region.as_deref())?;
    Worker::new(options, jail).and_then(Worker::run).map_err(plain)?;
    Ok(())
}

fn work_alone(arguments: Arguments) -> anyhow::Result<()> {
    name_worker();
    let stream = inherited(arguments.stream.as_ref(), "stream")?;
    let stream = stream.context("a worker needs --control, or --stream and --compositor")?;
    let compositor = inherited(arguments.compositor.as_ref(), "compositor")?;
    let compositor = compositor.context("--compositor is missing")?;
    let region = arguments.region.as_deref().map(Region::open_argument).transpose()?.map(Arc::new);
    let vm = match arguments.vm {
        Some(vm) => vm,
        None => "unnamed".parse()?,
    };
    let VmTerms { limits, policy } = match &arguments.config {
        Some(path) => {
            Config::read(path)?.terms(&vm).context("the configuration does not know this VM")?.clone()
        }
        None => VmTerms::default(),
    };
    let jail = worker::enter_jail(&limits, region.as_deref())?;
    tracing::debug!(?jail, "jailed");
    let options = WorkerOptions { vm, limits, policy, region, control: None };
    let mut worker = Worker::new(options, jail).map_err(plain)?;
    worker.serve(stream, compositor).map_err(plain)?;
    match worker.run().map_err(plain)? {
        Some(end) if !end.is_orderly() => Err(plain(end)),
        _ => Ok(()),
    }
}
