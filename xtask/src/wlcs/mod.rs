//! `cargo xtask wlcs`: the Wayland Conformance Test Suite against vitrail.
//!
//! WLCS comes as a Debian package of the newest release and is unpacked below target/ with the libraries that it needs. It loads
//! `tests/wlcs`, which has the compositor in it, and runs in shards beside each other, since a test that waits for
//! what does not come waits ten seconds. A shard in which nothing happens is ended, and goes on after the test that it hung in.
//!
//! `tests/wlcs/expected-failures.list` has the tests that are known to fail, with reasons. Any other failure is an error, and so
//! is a test in the list that passes or that WLCS does not have.

mod expected;
mod log;
mod report;
mod shard;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use self::expected::Expected;
use self::log::Outcome;
use self::report::Report;
use self::shard::Suite;
use crate::debian::Unpacked;
use crate::{setup, steps, target_dir, workspace};

/// The newest release of Debian, and what is taken from it.
const RELEASE: &str = "sid";
const PACKAGE: &str = "wlcs";
/// The oldest version whose clients keep to the protocols in most tests.
const OLDEST: [u32; 3] = [1, 8, 1];
/// How many parts the tests are dealt into.
const SHARDS: usize = 16;

/// What is run of WLCS.
#[derive(Debug, Args)]
pub struct Options {
    /// Where wlcs.json and the logs of the shards are written [default: target/wlcs]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Run only tests whose name matches, in the words of gtest: `Suite.*:*popup*-*touch*`
    #[arg(long, value_name = "PATTERNS")]
    filter: Option<String>,
    /// Run every fourth test only, which is what `cargo xtask test` does
    #[arg(long, conflicts_with = "filter")]
    fast: bool,
    /// How many shards run beside each other [default: two for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

/// Runs the suite.
///
/// # Errors
/// When it cannot be fetched, built or started, or a result is not the expected one.
pub fn run(options: &Options) -> Result<()> {
    setup::install()?;
    let out = match &options.out {
        Some(out) => std::path::absolute(out).context("error making the path of --out absolute")?,
        None => target_dir().join("wlcs"),
    };
    std::fs::create_dir_all(&out).with_context(|| format!("error creating {}", out.display()))?;
    let expected = Expected::read(&workspace().join("tests/wlcs/expected-failures.list"))?;
    let packages = get()?;
    steps::run("build", steps::cargo().args(["build", "--package", "vitrail-wlcs", "--quiet"]))?;
    let suite = Suite::new(&packages, &target_dir().join("debug/libvitrail_wlcs.so"), &out)?;
    let all = suite.tests(None)?;
    let chosen = match &options.filter {
        Some(filter) => suite.tests(Some(filter))?,
        None if options.fast => all.iter().step_by(4).cloned().collect(),
        None => all.clone(),
    };
    if chosen.is_empty() {
        bail!("no test of WLCS matches");
    }
    let jobs =
        options.jobs.unwrap_or_else(|| 2 * std::thread::available_parallelism().map_or(1, usize::from));
    let start = Instant::now();
    let version = packages.version(PACKAGE).unwrap_or_default();
    eprintln!("==> WLCS {version}: {} tests in {SHARDS} shards", chosen.len());
    let results = suite.run(&deal(&chosen), jobs.max(1))?;
    eprintln!("    WLCS: {:.1} s", start.elapsed().as_secs_f64());
    let stale: Vec<String> =
        expected.names().filter(|name| !all.contains(*name)).map(str::to_owned).collect();
    let report = Report::new(results, &expected, stale);
    report.write(&out.join("wlcs.json"))?;
    print!("{}", report.table());
    report.verdict()
}

/// WLCS below target/, fetched if it is not there.
fn get() -> Result<Unpacked> {
    let packages = Unpacked::get(&target_dir().join("unpacked").join(RELEASE), PACKAGE, RELEASE, &[PACKAGE])?;
    let version = packages.version(PACKAGE).unwrap_or_default();
    let numbers = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    if numbers.take(3).lt(OLDEST) {
        bail!("Debian {RELEASE} has WLCS {version}, and 1.8.1 is needed");
    }
    Ok(packages)
}

/// Deals the tests out, so that neighbours, which wait for the same things, are in different shards.
fn deal(tests: &BTreeSet<String>) -> Vec<Vec<String>> {
    let mut shards = vec![Vec::new(); SHARDS];
    for (index, test) in tests.iter().enumerate() {
        shards[index % SHARDS].push(test.clone());
    }
    shards.retain(|shard| !shard.is_empty());
    shards
}

/// What became of each test.
type Results = BTreeMap<String, Outcome>;
