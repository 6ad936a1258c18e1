//! `cargo xtask hostile`: what a hostile VM tries, against the programs of this workspace.
//!
//! The suite itself is in `tests/src/hostile`; here is what it takes to run it. To see cases fail, compositor and gate are
//! built once more with the feature `without-guards` and moved to a directory of their own; the usual ones are put back, so
//! that nothing else ever runs those.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{setup, steps, target_dir, workspace};

/// The programs that the suite starts, and itself.
const PROGRAMS: [&str; 6] =
    ["vitrail", "vitrailctl", "vitrail-gate", "vitrail-hub", "wl-forward", "vitrail-hostile"];
/// What switches guards off.
const FEATURES: &str = "vitrail/without-guards,vitrail-proxy/without-guards";

/// What the suite is asked to do.
#[derive(Debug, Args)]
pub struct Options {
    /// Where hostile.json and the logs are written [default: target/hostile]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Run the cases of one row of the threat model.
    #[arg(long, value_name = "N")]
    row: Option<u8>,
    /// Run one case.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Leave out what measures.
    #[arg(long)]
    quick: bool,
    /// Run each case of a row (or of `all`) with its guards switched off; each must fail.
    #[arg(long, value_name = "ROW", conflicts_with_all = ["row", "quick", "fuzz"])]
    without_guard: Option<String>,
    /// Let clients of several VMs send what the protocols allow, and a little else, for so many minutes.
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["row", "case", "quick"])]
    fuzz: Option<f64>,
    /// Where the fuzzer's numbers begin.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "fuzz")]
    seed: u64,
    /// Write docs/hostile.md from the cases, and run none.
    #[arg(long, conflicts_with_all = ["row", "case", "quick", "fuzz", "without_guard"])]
    page: bool,
    /// With --page: only say whether it is what the cases say.
    #[arg(long, requires = "page")]
    check: bool,
}

/// Runs what is asked for.
///
/// # Errors
/// When something cannot be built, a case fails, or one passes without its guards.
pub fn run(options: &Options) -> Result<()> {
    setup::install()?;
    let folder = target_dir().join("hostile");
    let out = match &options.out {
        Some(out) => std::path::absolute(out).context("error making the path of --out absolute")?,
        None => folder.clone(),
    };
    if let Some(rows) = &options.without_guard {
        let programs = build_without_guards(&folder.join("without-guards"))?;
        let mut suite = suite(&programs, &out.join("without-guards"), options);
        suite.arg("--without-guards");
        if rows != "all" {
            let row: u8 = rows.parse().context("--without-guard takes the number of a row, or `all`")?;
            suite.args(["--row", &row.to_string()]);
        }
        return steps::run("hostile suite without guards", &mut suite);
    }
    steps::run("build", steps::cargo().args(["build", "--workspace", "--bins", "--quiet"]))?;
    let programs = target_dir().join("debug");
    if options.page {
        let mut page = Command::new(programs.join("vitrail-hostile"));
        page.arg("page").arg(workspace().join("docs/hostile.md")).args(options.check.then_some("--check"));
        return steps::run("page of the hostile suite", &mut page);
    }
    if let Some(minutes) = options.fuzz {
        let seconds = (minutes * 60.0).round();
        if !(1.0..=86_400.0).contains(&seconds) {
            bail!("--fuzz takes minutes, up to a day of them");
        }
        let mut fuzz = Command::new(programs.join("vitrail-hostile"));
        fuzz.args(["fuzz", "--seconds", &seconds.to_string(), "--seed", &options.seed.to_string()]);
        return steps::run("hostile clients at random", &mut fuzz);
    }
    let mut suite = suite(&programs, &out, options);
    suite.args(options.quick.then_some("--quick"));
    if let Some(row) = options.row {
        suite.args(["--row", &row.to_string()]);
    }
    steps::run("hostile suite", &mut suite)
}

/// The short form that `cargo xtask test` runs, with the programs that it has built.
///
/// # Errors
/// When a case fails.
pub fn quick() -> Result<()> {
    let programs = target_dir().join("debug");
    let mut run = Command::new(programs.join("vitrail-hostile"));
    run.arg("run").arg("--out").arg(target_dir().join("hostile")).arg("--quick");
    steps::run("hostile suite", &mut run)?;
    let mut fuzz = Command::new(programs.join("vitrail-hostile"));
    fuzz.args(["fuzz", "--seconds", "15"]);
    steps::run("hostile clients at random", &mut fuzz)
}

fn suite(programs: &Path, out: &Path, options: &Options) -> Command {
    let mut suite = Command::new(programs.join("vitrail-hostile"));
    suite.arg("run").arg("--out").arg(out);
    if let Some(case) = &options.case {
        suite.args(["--case", case]);
    }
    suite
}

/// Builds the programs in which guards can be switched off, puts them into `folder`, and builds the usual ones again.
fn build_without_guards(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("error creating {}", folder.display()))?;
    let build = ["build", "--workspace", "--bins", "--quiet"];
    steps::run("build without guards", steps::cargo().args(build).args(["--features", FEATURES]))?;
    let copied = PROGRAMS.iter().try_for_each(|name| {
        let (from, to) = (target_dir().join("debug").join(name), folder.join(name));
        fs::copy(&from, &to).map(drop).with_context(|| format!("error copying {}", from.display()))
    });
    // Whatever became of that: nobody is to find these where the usual ones are.
    steps::run("build", steps::cargo().args(build))?;
    copied?;
    Ok(folder.to_owned())
}
