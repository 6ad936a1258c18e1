//! `cargo xtask demo`: the whole chain with real applications, on one machine.
//!
//! vitrail (headless) starts vitrail-gate; vitrail-hub listens for the VMs; each "VM" is a process tree in its
//! own mount, pid, user and network namespaces, in which wl-forward runs the applications. Nothing of a VM but
//! its socket to the hub and its region is shared with it. When every expected window shows content, the
//! picture and the list of windows are written and everything is ended.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::processes::Processes;
use crate::{setup, steps, target_dir, workspace};

mod layout;
pub mod table;
mod vm;

use layout::Layout;

/// How long the applications may take to show their windows.
const WINDOWS_DEADLINE: Duration = Duration::from_secs(90);
/// How long a program may take to be ready.
const READY_DEADLINE: Duration = Duration::from_secs(20);

/// What the demo is asked to do.
#[derive(Debug, Args)]
pub struct Options {
    /// Where screen.png and windows.json are written.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Render off screen even where a display is present.
    #[arg(long)]
    headless: bool,
    /// Leave everything running until Ctrl+C, to look around with vitrailctl.
    #[arg(long)]
    keep: bool,
    /// Build with optimisation (slower to build, faster to run).
    #[arg(long)]
    release: bool,
    /// Size of the screen in pixels.
    #[arg(long, value_name = "WxH", default_value = "1600x1000")]
    size: String,
    /// Scale of the screen.
    #[arg(long, value_name = "FACTOR", default_value = "1")]
    scale: String,
}

/// Runs the demo.
///
/// # Errors
/// When something cannot be set up, built or started, or a window does not come within its time.
pub fn run(options: &Options) -> Result<()> {
    setup::install()?;
    let programs = build(options.release)?;
    if !options.headless && ["WAYLAND_DISPLAY", "DISPLAY"].iter().any(|v| std::env::var_os(v).is_some()) {
        eprintln!("    The compositor cannot open in a window yet; rendering off screen.");
    }
    let out = match &options.out {
        Some(out) => std::path::absolute(out).context("error making the path of --out absolute")?,
        None => target_dir().join("demo"),
    };
    std::fs::create_dir_all(&out).with_context(|| format!("error creating {}", out.display()))?;
    let layout = Layout::create()?;
    let mut processes = Processes::default();
    let remove = layout.clone();
    processes.end_on_interrupt(move || remove.remove())?;
    let outcome = show(options, &programs, &layout, &mut processes, &out);
    if outcome.is_err() {
        processes.print_logs();
    }
    processes.end();
    layout.remove();
    outcome
}

fn build(release: bool) -> Result<PathBuf> {
    let mut command = steps::cargo();
    // The same build as the tests', so that neither has to build again what the other has built.
    command.args(["build", "--workspace", "--bins", "--quiet"]);
    if release {
        command.arg("--release");
    }
    steps::run("build", &mut command)?;
    Ok(target_dir().join(if release { "release" } else { "debug" }))
}

fn show(
    options: &Options,
    programs: &Path,
    layout: &Layout,
    processes: &mut Processes,
    out: &Path,
) -> Result<()> {
    eprintln!("==> starting vitrail, vitrail-gate and vitrail-hub");
    start_compositor(options, programs, layout, processes)?;
    let mut hub = Command::new(programs.join("vitrail-hub"));
    hub.arg("--config").arg(layout.hub_config());
    start(processes, "vitrail-hub", hub, layout)?;
    for vm in vm::VMS {
        processes.wait_for_path(&layout.hub_socket(vm.name), READY_DEADLINE)?;
    }
    let walls = vm::Walls::probe();
    eprintln!("==> starting the applications of {} VMs ({})", vm::VMS.len(), walls.describe());
    for vm in vm::VMS {
        start(processes, &format!("vm-{}", vm.name), vm.command(walls, programs, layout), layout)?;
    }
    wait_for_windows(programs, layout, processes, vm::missing)?;
    start(processes, "local", vm::local_client(programs), layout)?;
    wait_for_windows(programs, layout, processes, missing_local)?;
    write_results(programs, layout, out)?;
    if options.keep {
        keep(programs, layout)?;
    }
    Ok(())
}

fn start_compositor(
    options: &Options,
    programs: &Path,
    layout: &Layout,
    processes: &mut Processes,
) -> Result<()> {
    let mut vitrail = Command::new(programs.join("vitrail"));
    vitrail.arg("--config").arg(layout.vitrail_config()).args(["--backend", "headless"]);
    vitrail.args(["--socket", layout::SOCKET, "--size", &options.size, "--scale", &options.scale]);
    // The gate is found beside the compositor, as an installation has it.
    vitrail.env("PATH", path_with(programs)?);
    start(processes, "vitrail", vitrail, layout)?;
    processes.wait_for_path(&layout.ipc(), READY_DEADLINE)
}

fn start(processes: &mut Processes, name: &str, mut command: Command, layout: &Layout) -> Result<()> {
    layout.environment(name, &mut command);
    processes.start(name, command, &layout.logs())
}

fn path_with(programs: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(programs.to_path_buf()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("error adding the programs to PATH")
}

fn vitrailctl(programs: &Path, layout: &Layout, arguments: &[&str]) -> Result<String> {
    let output = Command::new(programs.join("vitrailctl"))
        .arg("--ipc")
        .arg(layout.ipc())
        .args(arguments)
        .output()
        .context("error starting vitrailctl")?;
    if !output.status.success() {
        bail!(
            "vitrailctl {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).context("error reading what vitrailctl wrote")
}

/// The local client, as long as its list is not on the screen.
fn missing_local(windows: &[table::Window]) -> Vec<String> {
    let shown = windows.iter().any(|window| window.vm == "local" && window.title == vm::LOCAL_TITLE);
    if shown { Vec::new() } else { vec!["local".to_owned()] }
}

/// Waits until nothing is missing among the windows; a window is listed once it has content.
fn wait_for_windows(
    programs: &Path,
    layout: &Layout,
    processes: &mut Processes,
    missing: fn(&[table::Window]) -> Vec<String>,
) -> Result<()> {
    let start = Instant::now();
    loop {
        let windows = table::parse(&vitrailctl(programs, layout, &["windows", "--json"])?)?;
        let late = missing(&windows);
        if late.is_empty() {
            eprintln!("    {} windows have content", windows.len());
            return Ok(());
        }
        processes.check_alive()?;
        if start.elapsed() > WINDOWS_DEADLINE {
            bail!("after {} s there is still no window of: {}", WINDOWS_DEADLINE.as_secs(), late.join(", "));
        }
        // Returns as soon as there is a window more; otherwise the loop looks again who is late or dead.
        let wanted = (windows.len() + 1).to_string();
        let _ = vitrailctl(programs, layout, &["wait", "--windows", &wanted, "--timeout", "1"]);
    }
}

fn write_results(programs: &Path, layout: &Layout, out: &Path) -> Result<()> {
    let picture = out.join("screen.png");
    vitrailctl(programs, layout, &["screenshot", &picture.to_string_lossy()])?;
    let json = vitrailctl(programs, layout, &["windows", "--json"])?;
    let list = out.join("windows.json");
    std::fs::write(&list, &json).with_context(|| format!("error writing {}", list.display()))?;
    println!("{}", table::format(&table::parse(&json)?));
    println!("The screen:  {}", picture.display());
    println!("The windows: {}", list.display());
    Ok(())
}

fn keep(programs: &Path, layout: &Layout) -> Result<()> {
    println!("\nStill running. In another terminal:");
    println!("  export VITRAIL_IPC={}", layout.ipc().display());
    println!("  {} vms", programs.join("vitrailctl").display());
    println!("Ctrl+C or Enter ends it.");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("error waiting for Enter")?;
    Ok(())
}

/// The embedded default configuration of the compositor; the demo's own is this plus its paths.
fn default_config() -> PathBuf {
    workspace().join("assets/vitrail.toml")
}
