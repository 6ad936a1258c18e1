//! `cargo xtask apps`: unmodified applications from Debian packages through the whole chain, one after the other.
//!
//! The table `tests/applications.toml` says what is done to each. Each run is a process of its own, the program
//! `vitrail-application`, which starts a whole Vitrail with one VM, drives the application and checks what it shows, how
//! it ends and what every program has logged. The light ones of the table are also among the tests.
//!
//! Applications are of the release of the machine, and installed; those of which another release has what this one lacks
//! are unpacked below target/ and started there with the libraries of that release.

mod report;
pub mod table;

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use self::report::{Outcome, Row};
use self::table::Application;
use crate::debian::Unpacked;
use crate::{setup, steps, target_dir, workspace};

/// How long one application may take in all; each step has a deadline of its own, so this is for what hangs otherwise.
const DEADLINE: Duration = Duration::from_secs(240);

/// What the matrix is asked to do.
#[derive(Debug, Args)]
pub struct Options {
    /// Run only these applications.
    names: Vec<String>,
    /// Where pictures of the screen, logs and the results are written [default: target/apps].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave out what is not light, as the tests do.
    #[arg(long)]
    light: bool,
    /// List the applications and what is done to them, and run nothing.
    #[arg(long)]
    list: bool,
    /// Write the table of the results into docs/applications.md.
    #[arg(long, conflicts_with_all = ["names", "light"])]
    record: bool,
}

/// Runs the matrix.
///
/// # Errors
/// When something cannot be installed or built, or an application does not do as it should.
pub fn run(options: &Options) -> Result<()> {
    let mut applications = table::chosen(&table::read()?, &options.names)?;
    applications.retain(|application| application.light || !options.light);
    if options.list {
        for Application { name, exercised, light, .. } in &applications {
            println!("{name:24} {:6} {exercised}", if *light { "light" } else { "" });
        }
        return Ok(());
    }
    let out = match &options.out {
        Some(out) => std::path::absolute(out).context("error making the path of --out absolute")?,
        None => target_dir().join("apps"),
    };
    std::fs::create_dir_all(&out).with_context(|| format!("error creating {}", out.display()))?;
    setup::install()?;
    let missing = install(&applications)?;
    steps::run("build", steps::cargo().args(["build", "--workspace", "--bins", "--quiet"]))?;
    let mut rows = Vec::new();
    for (index, application) in applications.iter().enumerate() {
        eprint!("[{}/{}] {}: ", index + 1, applications.len(), application.name);
        let row = row(application, &missing, &out)?;
        eprintln!("{} ({:.1} s)", row.result(), row.seconds);
        rows.push(row);
    }
    write_results(&rows, &out, options.record)
}

/// Installs what the applications need and returns the packages that are not to be had.
fn install(applications: &[Application]) -> Result<Vec<String>> {
    let run = applications
        .iter()
        .filter(|application| application.unusable.is_empty() && application.release.is_empty());
    let mut names: Vec<&str> =
        run.flat_map(|application| &application.packages).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    setup::install_available(&names)
}

fn row(application: &Application, missing: &[String], out: &Path) -> Result<Row> {
    let start = Instant::now();
    let first = application.packages.first().map_or("", String::as_str);
    let mut version = setup::version(first);
    let outcome = if !application.unusable.is_empty() {
        Outcome::Unusable(application.unusable.clone())
    } else if !application.release.is_empty() {
        match unpack(application) {
            Ok(unpacked) => {
                version = unpacked.version(first).unwrap_or_default();
                version.push_str(&format!(" of {}", application.release));
                drive(application, Some(unpacked.root()), out)?
            }
            Err(error) => Outcome::Fails(format!("{error:#}")),
        }
    } else if application.packages.iter().any(|package| missing.contains(package)) {
        Outcome::NotPackaged
    } else {
        drive(application, None, out)?
    };
    Ok(Row {
        name: application.name.clone(),
        version,
        exercised: application.exercised.clone(),
        note: application.note.clone(),
        outcome,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// The packages of an application that is not of the machine's own release, below target/.
fn unpack(application: &Application) -> Result<Unpacked> {
    let packages: Vec<&str> = application.packages.iter().map(String::as_str).collect();
    let folder = target_dir().join("unpacked").join(&application.release);
    Unpacked::get(&folder, &packages.join("+"), &application.release, &packages)
}

/// One run of one application, with what it says in `OUT/NAME.log`. `root` is where its packages are unpacked, if they
/// are not installed.
fn drive(application: &Application, root: Option<&Path>, out: &Path) -> Result<Outcome> {
    let name = &application.name;
    let path = out.join(format!("{name}.log"));
    let log = File::create(&path).with_context(|| format!("error creating {}", path.display()))?;
    let errors = log.try_clone().context("error duplicating the log's descriptor")?;
    let mut command = Command::new(target_dir().join("debug/vitrail-application"));
    command.arg(name).arg("--pictures").arg(out).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    if let Some(root) = root {
        command.arg("--root").arg(root);
    }
    let mut child = command
        .stdout(log)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .context("error starting vitrail-application")?;
    let ended = wait(&child)?;
    if !ended {
        // What it has started is killed by the kernel with it.
        child.kill().context("error killing vitrail-application")?;
    }
    let status = child.wait().context("error waiting for vitrail-application")?;
    let said = std::fs::read(&path).unwrap_or_default();
    Ok(match (ended, status.success()) {
        (false, _) => Outcome::Fails(format!("it took more than {} s", DEADLINE.as_secs())),
        (true, true) if application.withheld.is_empty() => Outcome::Works,
        (true, true) => Outcome::Withheld(application.withheld.clone()),
        (true, false) => Outcome::Fails(reason(&String::from_utf8_lossy(&said))),
    })
}

/// Waits for the child's end; false when it does not come in time.
fn wait(child: &Child) -> Result<bool> {
    let pidfd = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())
        .context("error watching vitrail-application")?;
    let end = Instant::now() + DEADLINE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).context("error counting the time that is left")?;
        match rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error).context("error waiting for vitrail-application"),
        }
    }
}

/// What a run complained of: the line after that of the panic.
fn reason(log: &str) -> String {
    let mut lines = log.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
    lines.next().or_else(|| log.lines().last()).unwrap_or("it said nothing").trim().to_owned()
}

fn write_results(rows: &[Row], out: &Path, record: bool) -> Result<()> {
    let table = report::markdown(rows, &system());
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("error writing {}", path.display()))
    };
    write("applications.md", &table)?;
    write("applications.json", &serde_json::to_string_pretty(rows).context("error writing JSON")?)?;
    if record {
        report::record(&workspace().join("docs/applications.md"), &table)?;
    }
    println!("\nPictures, logs and results: {}", out.display());
    let failed: Vec<&Row> = rows.iter().filter(|row| matches!(row.outcome, Outcome::Fails(_))).collect();
    let works = rows.iter().filter(|row| row.outcome == Outcome::Works).count();
    let withheld = rows.iter().filter(|row| matches!(row.outcome, Outcome::Withheld(_))).count();
    println!(
        "{works} of {} applications work, {withheld} end for want of what no VM gets, {} fail.",
        rows.len(),
        failed.len()
    );
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = failed.iter().map(|row| row.name.as_str()).collect();
    bail!("these fail: {}; to repeat them: cargo xtask apps {}", names.join(", "), names.join(" "))
}

/// What the machine runs, as os-release(5) calls it.
fn system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "an unnamed system".to_owned(), |name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_the_panic_said() {
        let log = "foot: 1.0 s: Window\n\nthread 'main' panicked at a.rs:1:2:\ngave up\nnote: run\n";
        assert_eq!(reason(log), "gave up");
        assert_eq!(reason("Error: no such application"), "Error: no such application");
        assert_eq!(reason(""), "it said nothing");
    }
}
