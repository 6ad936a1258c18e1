//! `cargo xtask fuzz`: runs the fuzz targets of virtio-wl, and keeps what they find small.
//!
//! The fuzzer works in a folder below the target folder that begins with the inputs that are checked in. When a target has run
//! without a failure, the smallest set of inputs that covers as much replaces `virtio-wl/fuzz/corpus/TARGET`, where
//! `cargo test` replays it. Seeds, which people wrote, are never changed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{setup, steps, target_dir, workspace};

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The targets; all of them if none is named.
    targets: Vec<String>,
    /// How long to run each target, in minutes.
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    /// What to compile in to find misuse of memory: `address`, or `none` where its runtime does not work.
    #[arg(long, default_value = "address")]
    sanitizer: String,
}

/// Longest input, in bytes: what a target does with more of it is nothing new.
const MAX_LEN: &str = "-max_len=2048";

/// What one run of a target came to.
#[derive(Debug, Default)]
struct Outcome {
    /// The last line of progress, which has the coverage.
    progress: String,
    /// libFuzzer's last word: how many runs in how many seconds.
    done: String,
}

/// Builds the targets, runs them one after the other and minimises their inputs.
///
/// # Errors
/// The tools are missing and cannot be installed, or a target finds something: the last lines say what.
pub fn run(options: &Options) -> Result<()> {
    let known = known_targets()?;
    if let Some(unknown) = options.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzz target {unknown}; there are {}", known.join(", "));
    }
    let targets = if options.targets.is_empty() { &known } else { &options.targets };
    let fuzzer = Fuzzer::new(&options.sanitizer)?;
    steps::run("building the fuzz targets", fuzzer.command("build").args(&fuzzer.flags))?;
    let mut report = Vec::new();
    for target in targets {
        let outcome = fuzzer.fuzz(target, options.minutes)?;
        let (files, bytes) = fuzzer.minimise(target)?;
        report.push(format!(
            "{target:10} {}; {}; kept {files} inputs of {bytes} bytes",
            outcome.done, outcome.progress
        ));
    }
    println!("{}", report.join("\n"));
    Ok(())
}

/// The names of the targets: the files of the layout of cargo-fuzz.
fn known_targets() -> Result<Vec<String>> {
    let folder = fuzz_dir().join("fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("error listing {}", folder.display()))?;
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut names: Vec<_> = entries.filter_map(|entry| stem(entry.ok()?.path())).collect();
    names.sort();
    Ok(names)
}

fn fuzz_dir() -> PathBuf {
    workspace().join("virtio-wl/fuzz")
}

/// How cargo-fuzz is run here.
struct Fuzzer {
    program: PathBuf,
    /// Run by `rustup run nightly`, because the toolchain at hand is another one.
    by_rustup: bool,
    flags: Vec<String>,
    /// Where the fuzzer works: built programs and inputs.
    folder: PathBuf,
}

impl Fuzzer {
    fn new(sanitizer: &str) -> Result<Self> {
        let by_rustup = !is_nightly(&mut Command::new("rustc"));
        if by_rustup && !is_nightly(Command::new("rustup").args(["run", "nightly", "rustc"])) {
            bail!(
                "fuzzing needs a nightly toolchain, which compiles the coverage in; with rustup: \
                 rustup toolchain install nightly --profile minimal"
            );
        }
        let program = setup::cargo_tool("cargo-fuzz")?;
        let folder = target_dir().join("fuzz");
        let flags = [
            "--fuzz-dir".into(),
            fuzz_dir().display().to_string(),
            "--target-dir".into(),
            folder.join("build").display().to_string(),
            "--sanitizer".into(),
            sanitizer.into(),
        ];
        Ok(Self { program, by_rustup, flags: flags.into(), folder })
    }

    /// cargo-fuzz with a subcommand.
    fn command(&self, subcommand: &str) -> Command {
        let mut command = if self.by_rustup { Command::new("rustup") } else { Command::new(&self.program) };
        if self.by_rustup {
            command.args(["run", "nightly"]).arg(&self.program);
        }
        // The cargo that runs this program is of the other toolchain.
        command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").current_dir(workspace());
        command.args(["fuzz", subcommand]);
        command
    }

    /// A run of a target on the given folders, the first of which is written to.
    fn target(&self, target: &str, folders: &[&Path], arguments: &[&str]) -> Command {
        let mut command = self.command("run");
        command.args(&self.flags).arg(target).args(folders).arg("--").args(arguments);
        command
    }

    /// Where a target works, where its inputs are checked in, and its seeds.
    fn folders(&self, target: &str) -> [PathBuf; 3] {
        let checked_in = |kind: &str| fuzz_dir().join(kind).join(target);
        [self.folder.join("corpus").join(target), checked_in("corpus"), checked_in("seeds")]
    }

    fn fuzz(&self, target: &str, minutes: u32) -> Result<Outcome> {
        let folders = self.folders(target);
        for folder in &folders {
            fs::create_dir_all(folder).with_context(|| format!("error creating {}", folder.display()))?;
        }
        let time = format!("-max_total_time={}", minutes.saturating_mul(60));
        let folders = folders.each_ref().map(PathBuf::as_path);
        let arguments = [time.as_str(), MAX_LEN, "-timeout=30", "-rss_limit_mb=2048"];
        let mut command = self.target(target, &folders, &arguments);
        eprintln!("==> fuzzing {target} for {minutes} minutes");
        let mut child = command.stderr(Stdio::piped()).spawn().context("error starting cargo-fuzz")?;
        let mut outcome = Outcome::default();
        let stderr = child.stderr.take().context("no pipe from cargo-fuzz")?;
        for line in BufReader::new(stderr).lines() {
            outcome.hear(&line.context("error reading the output of cargo-fuzz")?);
        }
        let status = child.wait().context("error waiting for cargo-fuzz")?;
        if !status.success() {
            let artifacts = fuzz_dir().join("artifacts").join(target);
            bail!("{target} fails ({status}) on an input in {}", artifacts.display());
        }
        Ok(outcome)
    }

    /// Replaces the inputs that are checked in. Gives their number and how long they are together.
    fn minimise(&self, target: &str) -> Result<(usize, u64)> {
        let [work, kept, seeds] = self.folders(target);
        let fresh = self.folder.join("minimised").join(target);
        if fresh.exists() {
            fs::remove_dir_all(&fresh).with_context(|| format!("error clearing {}", fresh.display()))?;
        }
        fs::create_dir_all(&fresh).with_context(|| format!("error creating {}", fresh.display()))?;
        let mut merge =
            self.target(target, &[&fresh, &work, &kept, &seeds], &["-set_cover_merge=1", MAX_LEN]);
        steps::run(&format!("minimising the inputs of {target}"), merge.stderr(Stdio::null()))?;
        fs::remove_dir_all(&kept).with_context(|| format!("error clearing {}", kept.display()))?;
        fs::create_dir_all(&kept).with_context(|| format!("error creating {}", kept.display()))?;
        let mut total = (0, 0);
        for entry in fs::read_dir(&fresh).with_context(|| format!("error listing {}", fresh.display()))? {
            let entry = entry.with_context(|| format!("error listing {}", fresh.display()))?;
            let copied = fs::copy(entry.path(), kept.join(entry.file_name()));
            total.0 += 1;
            total.1 += copied.with_context(|| format!("error copying {}", entry.path().display()))?;
        }
        Ok(total)
    }
}

impl Outcome {
    /// Shows a line of libFuzzer that says more than that it has found one more input, and remembers the result.
    fn hear(&mut self, line: &str) {
        let noise = ["NEW", "REDUCE", "RELOAD"];
        if line.starts_with('#') && noise.iter().any(|word| line.contains(word)) {
            return;
        }
        eprintln!("    {line}");
        if line.starts_with('#')
            && let Some(at) = line.find("cov:")
        {
            self.progress = line.get(at..).unwrap_or_default().to_owned();
        }
        if let Some(done) = line.strip_prefix("Done ") {
            self.done = done.to_owned();
        }
    }
}

/// Whether the compiler that the command runs is a nightly one.
fn is_nightly(rustc: &mut Command) -> bool {
    let output = rustc.arg("--version").current_dir(workspace()).stderr(Stdio::null()).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("nightly"))
}
