//! `cargo xtask vm`: virtual machines with stock Debian kernels under stock QEMU.
//!
//! What a guest is made of comes as packages (`packages`), its file system is put together here (`initramfs`), and
//! it does what the host tells it over a port of its own (`guest`). Its streams go through vhost-device-vsock
//! (`vsock`). Everything runs as the user who calls, in process groups that end with the command.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::processes::Processes;
use crate::{setup, target_dir};

mod cpio;
mod dmabufs;
mod guest;
mod initramfs;
mod packages;
mod qmp;
mod regions;
mod screen;
mod streams;
mod suites;
mod vnc;
mod vsock;

use guest::Machine;
use initramfs::Initramfs;
use packages::Packages;
use vsock::Backend;

/// What can be done with virtual machines.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Fetch what virtual machines are made of: QEMU, firmware, kernels, busybox and vhost-device-vsock.
    ///
    /// Everything goes below target/; the other actions do this by themselves if need be.
    Fetch {
        /// Fetch again, in the versions that the archive has now.
        #[arg(long)]
        update: bool,
    },
    /// Boot a guest with vsock, run one shell command in it and print what it says.
    Run(RunOptions),
    /// Boot a guest and run in it the tests that need its vsock, the conformance suite among them.
    Streams {
        /// Where the logs are kept.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Boot a guest with graphics devices and run in it the tests of wl-forward with dma-bufs.
    Dmabufs {
        /// Where the logs are kept.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Boot a guest with a screen, a keyboard and a tablet, start vitrail on its console, and check what the screen shows and
    /// what comes of keys and movements.
    Screen {
        /// Where the logs and a picture of the screen are kept.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// The same with Mesa in the guest, which draws by OpenGL there without a graphics card: that what OpenGL draws is shown.
    Gles {
        /// Where the logs and a picture of the screen are kept.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Boot two guests that share a region, as ivshmem device and as devdax device, and check what each sees.
    Regions {
        /// Where the logs are kept.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// What to run in a guest.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// A program of this machine that the guest finds on its search path.
    #[arg(long = "program", value_name = "FILE")]
    programs: Vec<PathBuf>,
    /// Seconds that the command may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    deadline: u64,
    /// Where the logs are kept.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The command, for the shell of busybox.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// The modules of a guest: streams to the host, and the memory that it shares.
const MODULES: &[&str] = &["vsock", "vmw_vsock_virtio_transport"];
/// The CID of the only guest of a run.
const CID: u32 = 3;
const MEMORY_MIB: u32 = 512;

/// Does what was asked.
///
/// # Errors
/// When something cannot be fetched, built or started, or the guest's command fails.
pub fn run(action: &Action) -> Result<()> {
    setup::install()?;
    match action {
        Action::Fetch { update } => {
            vsock::program()?;
            print!("{}", packages(*update)?.versions()?);
            packages_with_graphics(*update)?;
            Ok(())
        }
        Action::Run(options) => run_command(options),
        Action::Streams { out } => streams::run(&packages(false)?, out.as_deref()),
        Action::Dmabufs { out } => dmabufs::run(&packages_with_graphics(false)?, out.as_deref()),
        Action::Screen { out } => screen::run(&packages_with_graphics(false)?, out.as_deref()),
        Action::Gles { out } => screen::gles::run(&packages_with_graphics(false)?, out.as_deref()),
        Action::Regions { out } => regions::run(&packages(false)?, out.as_deref()),
    }
}

fn packages(update: bool) -> Result<Packages> {
    Packages::get(&target_dir().join("vm"), update)
}

fn packages_with_graphics(update: bool) -> Result<Packages> {
    Packages::with_graphics(&target_dir().join("vm"), update)
}

fn run_command(options: &RunOptions) -> Result<()> {
    let packages = packages(false)?;
    let session = Session::new(options.out.as_deref(), "run")?;
    let mut initramfs = Initramfs::new(&packages, MODULES)?;
    for program in &options.programs {
        let name = program.file_name().with_context(|| format!("{} is no program", program.display()))?;
        initramfs.program(&format!("bin/{}", name.display()), program)?;
    }
    session.run(|processes| {
        let image = session.folder.join("initramfs");
        initramfs.write(&image)?;
        let backend = Backend::start(processes, "guest", CID, &session.folder, &session.logs)?;
        let mut machine = Machine::new("guest", MEMORY_MIB);
        machine.vsock(&backend.socket);
        let mut guest = machine.start(&packages, &image, processes, &session.folder, &session.logs)?;
        guest.wait(processes)?;
        eprintln!("    the guest's vsock on this side: vsock-uds:{}:PORT", backend.uds.display());
        guest.check(&options.command.join(" "), Duration::from_secs(options.deadline))?;
        Ok(())
    })
}

/// The folders of one run: a short private one for sockets, which goes at the end, and one for logs, which stays.
#[derive(Debug)]
struct Session {
    folder: PathBuf,
    logs: PathBuf,
}

impl Session {
    fn new(out: Option<&Path>, name: &str) -> Result<Self> {
        let logs = match out {
            Some(out) => std::path::absolute(out).context("error making the path of --out absolute")?,
            None => target_dir().join("vm/logs").join(name),
        };
        fs::create_dir_all(&logs).with_context(|| format!("error creating {}", logs.display()))?;
        // A Unix socket's path has at most 107 bytes.
        let folder = std::env::temp_dir().join(format!("vitrail-vm-{}", std::process::id()));
        let mut private = fs::DirBuilder::new();
        private
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("error creating {}", folder.display()))?;
        Ok(Self { folder, logs })
    }

    /// Runs `body` with the programs of this run, ends them, and shows their logs if it failed.
    fn run(&self, body: impl FnOnce(&mut Processes) -> Result<()>) -> Result<()> {
        let mut processes = Processes::default();
        let folder = self.folder.clone();
        processes.end_on_interrupt(move || remove(&folder))?;
        let outcome = body(&mut processes);
        if outcome.is_err() {
            processes.print_logs();
            eprintln!("    all logs: {}", self.logs.display());
        }
        processes.end();
        outcome
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        eprintln!("warning: {} could not be removed: {error}", folder.display());
    }
}
