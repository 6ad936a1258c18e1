//! `cargo xtask demo`: the whole chain with real applications, on one machine.
//!
//! vitrail (headless) starts vitrail-gate; vitrail-hub listens for the VMs; each "VM" is a process tree in its
//! own mount, pid, user and network namespaces, in which wl-forward runs the applications. Nothing of a VM but
//! its socket to the hub and its region is shared with it. When every expected window shows content, the
//! picture and the list of windows are written and everything is ended.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::processes::Processes;
use crate::{setup, steps, target_dir, workspace};

mod layout;
mod pictures;
mod places;
pub mod table;
mod vm;

use layout::Layout;
use places::Screen;

/// How long the applications may take to show their windows.
const WINDOWS_DEADLINE: Duration = Duration::from_secs(90);
/// How long a program may take to be ready.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// The backend that draws off screen.
const HEADLESS: &str = "headless";

/// What the demo is asked to do.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Where screen.png and windows.json are written.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Draw off screen even where there is a desktop on which the demo could be a window.
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
    /// Make the README's pictures anew, in assets/images, instead.
    #[arg(long, conflicts_with_all = ["out", "keep", "size", "scale"])]
    pictures: bool,
}

impl Options {
    fn screen(&self) -> Result<Screen> {
        let sides = self.size.split_once('x');
        let sides = sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
        let (width, height) = sides.context("--size is written WIDTHxHEIGHT")?;
        Ok(Screen { width, height, scale: self.scale.parse().context("error reading --scale")? })
    }

    /// What the compositor shows its screen on.
    fn backend(&self) -> &'static str {
        if self.headless || outer_desktop().is_empty() { HEADLESS } else { "nested" }
    }
}

/// Runs the demo.
///
/// # Errors
/// When something cannot be set up, built or started, or a window does not come within its time.
pub fn run(options: &Options) -> Result<()> {
    setup::install()?;
    let programs = build(options.release)?;
    if options.pictures {
        return make_pictures(options, &programs);
    }
    let out = match &options.out {
        Some(out) => std::path::absolute(out).context("error making the path of --out absolute")?,
        None => target_dir().join("demo"),
    };
    run_once(options, &programs, &out)
}

/// The demo at the size of each of the README's pictures.
fn make_pictures(options: &Options, programs: &Path) -> Result<()> {
    let images = workspace().join("assets/images");
    for (name, size, scale) in pictures::PICTURES {
        let out = target_dir().join("demo").join(name.trim_end_matches(".png"));
        let (size, scale) = ((*size).to_owned(), (*scale).to_owned());
        run_once(&Options { size, scale, headless: true, ..options.clone() }, programs, &out)?;
        let picture = images.join(name);
        pictures::shrink(&out.join("screen.png"), &picture)?;
        println!("The picture: {}\n", picture.display());
    }
    Ok(())
}

fn run_once(options: &Options, programs: &Path, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("error creating {}", out.display()))?;
    let layout = Layout::create()?;
    let mut processes = Processes::default();
    let remove = layout.clone();
    processes.end_on_interrupt(move || remove.remove())?;
    let outcome = show(options, programs, &layout, &mut processes, out);
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
    start(processes, "local", vm::local_client(programs, options.screen()?.letters()), layout)?;
    wait_for_windows(programs, layout, processes, missing_local)?;
    if options.backend() == HEADLESS {
        arrange(programs, layout, options.screen()?)?;
    }
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
    let backend = options.backend();
    layout.write_places(&options.screen()?.file())?;
    let mut vitrail = Command::new(programs.join("vitrail"));
    vitrail.arg("--config").arg(layout.vitrail_config()).args(["--backend", backend]);
    vitrail.args(["--socket", layout::SOCKET, "--size", &options.size, "--scale", &options.scale]);
    vitrail.arg("--layout").arg(layout.places());
    // The gate is found beside the compositor, as an installation has it.
    vitrail.env("PATH", path_with(programs)?);
    layout.environment("vitrail", &mut vitrail);
    if backend != HEADLESS {
        vitrail.envs(outer_desktop());
    }
    processes.start("vitrail", vitrail, &layout.logs())?;
    processes.wait_for_path(&layout.ipc(), READY_DEADLINE)
}

/// The variables by which the compositor finds the desktop that the demo is started on, whose runtime folder is not its own.
fn outer_desktop() -> Vec<(&'static str, OsString)> {
    let display = |name: &'static str| std::env::var_os(name).filter(|value| !value.is_empty());
    let runtime = PathBuf::from(display("XDG_RUNTIME_DIR").unwrap_or_default());
    // An absolute path stays as it is.
    let wayland =
        display("WAYLAND_DISPLAY").map(|name| ("WAYLAND_DISPLAY", runtime.join(name).into_os_string()));
    wayland.into_iter().chain(display("DISPLAY").map(|name| ("DISPLAY", name))).collect()
}

fn start(processes: &mut Processes, name: &str, mut command: Command, layout: &Layout) -> Result<()> {
    layout.environment(name, &mut command);
    processes.start(name, command, &layout.logs())
}

fn path_with(programs: &Path) -> Result<OsString> {
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

/// Drags windows to their places that say what they are only when they have one already, and gives the keyboard to the
/// terminal of work: who has it is chance until then.
fn arrange(programs: &Path, layout: &Layout, screen: Screen) -> Result<()> {
    for place in screen.places() {
        let windows = table::parse(&vitrailctl(programs, layout, &["windows", "--json"])?)?;
        let found = windows.iter().position(|window| window.vm == place.vm && window.app_id == place.app_id);
        let (x, y) = screen.corner(&place);
        let handle = found.and_then(|index| table::handle(&windows, index));
        let Some((window, (grip_x, grip_y))) = found.and_then(|index| windows.get(index)).zip(handle) else {
            continue;
        };
        let (dx, dy) = (x - window.frame.x, y - window.frame.y);
        if (dx, dy) != (0, 0) {
            point_at(programs, layout, grip_x, grip_y)?;
            vitrailctl(programs, layout, &["input", "button", "left", "press"])?;
            point_at(programs, layout, grip_x + dx, grip_y + dy)?;
            vitrailctl(programs, layout, &["input", "button", "left", "release"])?;
        }
        if (place.vm, place.app_id) == ("work", "foot") {
            point_at(programs, layout, grip_x + dx, grip_y + dy)?;
            vitrailctl(programs, layout, &["input", "button", "left", "click"])?;
        }
    }
    Ok(())
}

fn point_at(programs: &Path, layout: &Layout, x: i32, y: i32) -> Result<()> {
    vitrailctl(programs, layout, &["input", "move", &x.to_string(), &y.to_string()]).map(|_| ())
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
