//! Runs the hostile suite; `cargo xtask hostile` builds what it needs and calls it.
//!
//! Each case runs in a process of its own, with a log of its own, so that one that hangs or dies is one case's failure.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use serde::Serialize;
use vitrail_protocols::guard;
use vitrail_tests::deadline::PATIENCE_VARIABLE;
use vitrail_tests::hostile::{Case, Trial, Without, all, fuzz, page};

/// How long a case may take.
const LONGEST: Duration = Duration::from_secs(240);
/// How long what does not come is waited for in a case that is to fail, in seconds.
const IMPATIENCE: &str = "6";
/// The case that measures, which a quick run leaves out.
const MEASUREMENT: &str = "everything-at-once";

/// Tries what a hostile VM tries, against the real programs.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run the cases, and write hostile.json.
    Run {
        /// Where hostile.json and the logs go.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The cases of this row only.
        #[arg(long, value_name = "N")]
        row: Option<u8>,
        /// This case only.
        #[arg(long, value_name = "NAME")]
        case: Option<String>,
        /// Leave the measurement under a flood out.
        #[arg(long)]
        quick: bool,
        /// Switch the guards of each case off; each must then fail.
        #[arg(long)]
        without_guards: bool,
    },
    /// Run one case in this process.
    Case {
        /// Its name.
        name: String,
    },
    /// Let clients of several VMs send what the protocols allow, and a little else.
    Fuzz {
        /// For how long.
        #[arg(long, value_name = "SECONDS")]
        seconds: u64,
        /// Where the numbers begin.
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        seed: u64,
    },
    /// Write the page of the cases, or check that it is the one there is.
    Page {
        /// The file.
        file: PathBuf,
        /// Only compare.
        #[arg(long)]
        check: bool,
    },
}

/// An entry of hostile.json.
#[derive(Clone, Debug, Serialize)]
struct Entry {
    row: u8,
    case: &'static str,
    handled: bool,
    evidence: String,
}

fn main() -> ExitCode {
    match run(Arguments::parse().action) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vitrail-hostile: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> Result<bool> {
    match action {
        Action::Case { name } => {
            let case = all().into_iter().find(|case| case.name == name).context("there is no such case")?;
            let Trial::Attack(act) = case.trial else { bail!("nothing of {name} can be run") };
            println!("{}", act());
            Ok(true)
        }
        Action::Run { out, row, case, quick, without_guards } => {
            let wanted = |one: &Case| {
                row.is_none_or(|row| one.row == row)
                    && case.as_ref().is_none_or(|name| one.name == name)
                    && !(quick && one.name == MEASUREMENT)
            };
            let cases: Vec<Case> = all().into_iter().filter(wanted).collect();
            if cases.is_empty() {
                bail!("there is no such case");
            }
            if without_guards { run_without(&cases, &out) } else { run_all(&cases, &out) }
        }
        Action::Fuzz { seconds, seed } => {
            let outcome = fuzz::run(Duration::from_secs(seconds), seed, |text| eprint!("\r{text}        "));
            eprintln!();
            println!(
                "{} messages over {} connections to {} interfaces; compositor {} MiB before and {} after, {} descriptors \
                 before and {} after; nothing of it is left (seed {seed})",
                outcome.messages,
                outcome.connections,
                outcome.reached,
                outcome.resident.0,
                outcome.resident.1,
                outcome.descriptors.0,
                outcome.descriptors.1,
            );
            Ok(true)
        }
        Action::Page { file, check } => write_page(&file, check),
    }
}

fn write_page(file: &Path, check: bool) -> Result<bool> {
    let text = page::text();
    if check {
        let found = fs::read_to_string(file).with_context(|| format!("error reading {}", file.display()))?;
        if found != text {
            eprintln!("{} is not what the cases say; cargo xtask hostile --page writes it", file.display());
        }
        return Ok(found == text);
    }
    fs::write(file, text).with_context(|| format!("error writing {}", file.display()))?;
    Ok(true)
}

/// How a case went in its process.
struct Went {
    passed: bool,
    said: String,
    took: Duration,
}

fn try_case(case: &Case, out: &Path, without: bool) -> Result<Went> {
    let name = if without { format!("{}-without", case.name) } else { case.name.to_owned() };
    let log = out.join("logs").join(format!("{name}.log"));
    let errors = File::create(&log).with_context(|| format!("error creating {}", log.display()))?;
    let mut command = Command::new(std::env::current_exe().context("error finding this program")?);
    command.args(["case", case.name]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    command.env("RUST_BACKTRACE", "0");
    if without {
        let names: Vec<&str> = case.guards().iter().map(|guard| guard.name()).collect();
        command.env(guard::VARIABLE, names.join(",")).env(PATIENCE_VARIABLE, IMPATIENCE);
    }
    let start = Instant::now();
    let mut child = command.spawn().context("error starting a case")?;
    let pid = rustix::process::Pid::from_child(&child);
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        .context("error watching a case")?;
    let ended = vitrail_tests::deadline::Deadline::after(LONGEST)
        .wait(std::os::fd::AsFd::as_fd(&pidfd), rustix::event::PollFlags::IN);
    if !ended {
        // What it started ends with it.
        child.kill().context("error ending a case")?;
    }
    let output = child.wait_with_output().context("error waiting for a case")?;
    let text = fs::read_to_string(&log).unwrap_or_default();
    let said = if output.status.success() {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    } else if ended {
        complaint(&text)
    } else {
        format!("it was not done after {} s", LONGEST.as_secs())
    };
    Ok(Went { passed: output.status.success(), said, took: start.elapsed() })
}

/// What a panic said, from the log of a case.
fn complaint(log: &str) -> String {
    let mut lines = log.lines().skip_while(|line| !line.contains("panicked at"));
    let place = lines.next().unwrap_or_default();
    let place = place.split("panicked at ").nth(1).unwrap_or(place).trim_end_matches(':');
    let said: Vec<&str> =
        lines.take_while(|line| !line.starts_with("note:") && !line.starts_with("----")).take(4).collect();
    let mut text = said.join(" ");
    if text.len() > 400 {
        text = text.chars().take(400).collect();
    }
    format!("{text} ({place})")
}

/// Runs the cases; true if all that are tried are held.
fn run_all(cases: &[Case], out: &Path) -> Result<bool> {
    fs::create_dir_all(out.join("logs")).with_context(|| format!("error creating {}", out.display()))?;
    let mut entries = Vec::new();
    let mut good = true;
    let start = Instant::now();
    for case in cases {
        let entry =
            |handled: bool, evidence: String| Entry { row: case.row, case: case.name, handled, evidence };
        let (state, entry) = match case.trial {
            Trial::Undefended(why) => ("not defended", entry(false, format!("not defended: {why}"))),
            Trial::Elsewhere(by) => ("elsewhere", entry(true, format!("tried by {by}"))),
            Trial::Attack(_) => {
                let went = try_case(case, out, false)?;
                good &= went.passed;
                let state = if went.passed { "held" } else { "FAILED" };
                let evidence = format!("{} ({:.1} s)", went.said, went.took.as_secs_f64());
                (state, entry(went.passed, evidence))
            }
        };
        show(case, state, &entry.evidence);
        entries.push(entry);
    }
    let json = serde_json::to_string_pretty(&entries).context("error encoding hostile.json")?;
    let path = out.join("hostile.json");
    fs::write(&path, json + "\n").with_context(|| format!("error writing {}", path.display()))?;
    let held = entries.iter().filter(|entry| entry.handled).count();
    eprintln!(
        "{held} of {} cases are held, in {:.0} s; {}",
        entries.len(),
        start.elapsed().as_secs_f64(),
        path.display()
    );
    Ok(good)
}

/// Runs the cases with their guards switched off; true if each of them fails.
fn run_without(cases: &[Case], out: &Path) -> Result<bool> {
    fs::create_dir_all(out.join("logs")).with_context(|| format!("error creating {}", out.display()))?;
    if guard::KEPT.is_empty() {
        // This program need not be built with the feature, only what it starts; they say so in their logs.
        eprintln!("guards are switched off by {}", guard::VARIABLE);
    }
    let mut good = true;
    for case in cases {
        match (case.trial, case.without) {
            (Trial::Attack(_), Without::Guards(_)) => {
                let went = try_case(case, out, true)?;
                good &= !went.passed;
                let state = if went.passed { "PASSES WITHOUT ITS GUARD" } else { "fails, as it must" };
                show(case, state, &format!("{} ({:.1} s)", went.said, went.took.as_secs_f64()));
            }
            (Trial::Attack(_), Without::Nothing(why)) => show(case, "cannot be switched off", why),
            (Trial::Undefended(why) | Trial::Elsewhere(why), _) => show(case, "left out", why),
        }
    }
    Ok(good)
}

fn show(case: &Case, state: &str, evidence: &str) {
    let mut output = std::io::stderr().lock();
    // Nobody is there to read it, if that fails.
    let _ = writeln!(
        output,
        "{:>3} {:<28} {state}: {}",
        case.row,
        case.name,
        evidence.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"")
    );
}
