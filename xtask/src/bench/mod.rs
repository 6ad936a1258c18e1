//! `cargo xtask bench`: what the whole chain costs, and what the compositor costs.
//!
//! In the part of the chain the same client does the same in front of the same compositor through different connections: its own socket, the
//! chain of wl-forward, hub and gate for a VM with and one without a region, and waypipe. The ways are taken in turn for
//! each case, so that a machine that becomes slower does so for all of them. What is compared was measured in one run;
//! figures of different runs or machines are not comparable.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{setup, steps, target_dir};

mod chain;
mod client;
mod compositor;
mod cpu;
mod report;
mod svg;
mod waypipe;

use chain::{Chain, Route};
use report::{Case, Idle, Report, RoundTrip, Via};
use waypipe::Waypipe;

/// The sizes of the window, by their names.
const SIZES: [(&str, (i32, i32)); 2] = [("1080p", (1920, 1080)), ("4k", (3840, 2160))];
/// What of the window changes with each frame.
const DAMAGES: [&str; 4] = ["full", "scroll", "cursor", "none"];
/// Commits of a burst.
const BURST: f64 = 1000.0;
/// Clients that are connected and do nothing.
const IDLE_CLIENTS: u32 = 50;
/// How long they are given to settle, and are then watched.
const IDLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));

/// What the bench is asked to do.
#[derive(Debug, Args)]
pub struct Options {
    /// Take few samples: under a minute, for a first impression.
    #[arg(long)]
    quick: bool,
    /// Measure one part [default: all]
    #[arg(long, value_enum, value_name = "PART")]
    only: Option<Part>,
    /// Where bench.json and bench.svg are written [default: target/bench]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// wl-forward, hub and gate against a direct connection and waypipe
    Chain,
    /// vitrail against weston, both headless
    Compositor,
}

/// bench.json.
#[derive(Debug, Serialize)]
struct Results {
    #[serde(flatten)]
    chain: Option<Report>,
    #[serde(flatten)]
    compositor: Option<compositor::report::Report>,
}

/// How often things are measured.
#[derive(Debug, Clone, Copy)]
struct Counts {
    /// Frames of a case, by size.
    frames: [u32; 2],
    round_trips: u32,
    bursts: u32,
    copies: u32,
    starts: u32,
}

const FULL: Counts = Counts { frames: [300, 150], round_trips: 2000, bursts: 20, copies: 60, starts: 30 };
const QUICK: Counts = Counts { frames: [60, 30], round_trips: 300, bursts: 4, copies: 20, starts: 10 };

/// Runs the bench. Promises that are not kept are shown, and are no error.
///
/// # Errors
/// When something cannot be fetched, built, started or measured.
pub fn run(options: &Options) -> Result<()> {
    setup::install()?;
    let folder = target_dir().join("bench");
    let wanted = |part| options.only.is_none_or(|only| only == part);
    let waypipe = wanted(Part::Chain).then(|| Waypipe::get(&folder.join("debian"))).transpose()?;
    let programs = build()?;
    let out = match &options.out {
        Some(out) => std::path::absolute(out).context("error making the path of --out absolute")?,
        None => folder,
    };
    std::fs::create_dir_all(&out).with_context(|| format!("error creating {}", out.display()))?;
    let counts = if options.quick { QUICK } else { FULL };
    let version = waypipe.as_ref().map(|waypipe| waypipe.version().to_owned());
    let chain = waypipe.map(|waypipe| measure_chain(&programs, waypipe, counts)).transpose()?;
    let compositor = wanted(Part::Compositor).then(|| compositor::measure(&programs, counts)).transpose()?;
    let results = Results { chain, compositor };
    let json = serde_json::to_string_pretty(&results).context("error encoding bench.json")?;
    write(&out.join("bench.json"), &json)?;
    let mut checks = Vec::new();
    if let (Some(report), Some(version)) = (&results.chain, version) {
        write(&out.join("bench.svg"), &svg::draw(report))?;
        println!("compared with {version}\n\n{}", report.table());
        checks.extend(report.checks());
    }
    if let Some(report) = &results.compositor {
        println!("compared with {}\n\n{}", compositor::weston_version()?, report.table());
        checks.extend(report.checks());
    }
    let (limits, missed) = report::verdict(&checks);
    println!("{limits}");
    println!(
        "{}",
        if missed == 0 { "Every limit holds.".to_owned() } else { format!("{missed} limits are MISSED.") }
    );
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("error writing {}", file.display()))?;
    eprintln!("    {}", file.display());
    Ok(())
}

fn measure_chain(programs: &Path, waypipe: Waypipe, counts: Counts) -> Result<Report> {
    let bench = Bench { waypipe, counts };
    let chain = Chain::start(programs, SIZES.map(|(_, size)| size).into_iter().max().unwrap_or_default())?;
    let report = bench.measure(&chain);
    if report.is_err() {
        chain.print_logs();
    }
    report
}

fn build() -> Result<PathBuf> {
    let mut command = steps::cargo();
    command.args(["build", "--release", "--bins", "--quiet"]);
    command.args(["-p", "vitrail", "-p", "vitrail-proxy", "-p", "vitrail-tests"]);
    steps::run("build with optimisation", &mut command)?;
    Ok(target_dir().join("release"))
}

/// What all measurements of the chain need.
struct Bench {
    waypipe: Waypipe,
    counts: Counts,
}

impl Bench {
    fn measure(&self, chain: &Chain) -> Result<Report> {
        let mut report = Report::default();
        for (size, frames) in SIZES.into_iter().zip(self.counts.frames) {
            self.cases(&mut report, chain, size, frames)?;
        }
        self.bursts(&mut report, chain)?;
        self.round_trips(&mut report, chain)?;
        report.startup_ms = self.start(chain)?;
        report.idle = idle(chain)?;
        Ok(report)
    }

    /// A client for each way, with a window of this size.
    fn routes(&self, chain: &Chain, size: (i32, i32)) -> Result<Vec<(Via, Route)>> {
        Via::ALL.into_iter().map(|via| Ok((via, chain.connect(via, size, &self.waypipe, false)?))).collect()
    }

    /// The frames of a window of one size, and copies of as many bytes.
    fn cases(&self, report: &mut Report, chain: &Chain, size: (&str, (i32, i32)), frames: u32) -> Result<()> {
        let (name, size) = size;
        let mut routes = self.routes(chain, size)?;
        let mut copies = self.copies(&mut routes)?;
        for damage in DAMAGES {
            for (via, route) in &mut routes {
                // The first frames of a slow connection take long enough to warm everything up.
                let command = format!("frames {damage} {} {frames}", frames / 10 + 3);
                report.cases.push(measure_case(route, *via, format!("{name}-{damage}"), &command, 1.0)?);
            }
        }
        copies.extend(self.copies(&mut routes)?);
        // An application that has drawn large frames, and rests.
        std::thread::sleep(IDLE.0);
        report.rss_mib = chain.forward_mib()?.max(report.rss_mib);
        copies.sort_by(f64::total_cmp);
        report.memcpy_ms.insert(name.to_owned(), copies.get(copies.len() / 2).copied().unwrap_or(f64::NAN));
        Ok(())
    }

    fn bursts(&self, report: &mut Report, chain: &Chain) -> Result<()> {
        let (_, size) = SIZES[0];
        for (via, route) in &mut self.routes(chain, size)? {
            let command = format!("burst 1 {}", self.counts.bursts);
            report.cases.push(measure_case(route, *via, "burst".to_owned(), &command, BURST)?);
        }
        Ok(())
    }

    /// Milliseconds of copies of one frame.
    fn copies(&self, routes: &mut [(Via, Route)]) -> Result<Vec<f64>> {
        let (_, route) = routes.first_mut().context("nobody is connected")?;
        route.client.prepare(&format!("memcpy 5 {}", self.counts.copies))?;
        #[expect(clippy::cast_precision_loss)]
        let milliseconds = |nanos: u64| nanos as f64 / 1e6;
        Ok(route.client.go()?.nanos.into_iter().map(milliseconds).collect())
    }

    fn round_trips(&self, report: &mut Report, chain: &Chain) -> Result<()> {
        for via in [Via::Direct, Via::Vitrail, Via::Waypipe] {
            let mut route = chain.connect(via, SIZES[0].1, &self.waypipe, true)?;
            route.client.prepare(&format!("sync 50 {}", self.counts.round_trips))?;
            let samples = route.client.go()?;
            let micros = |part| samples.quantile(part) / 1e3;
            let trip = RoundTrip { p50: micros(0.5), p99: micros(0.99) };
            eprintln!("    sync            {:15} p50 {:.0} µs, p99 {:.0} µs", via.name(), trip.p50, trip.p99);
            report.sync_us.insert(via.name(), trip);
        }
        Ok(())
    }

    /// The median of several starts, in milliseconds.
    fn start(&self, chain: &Chain) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..self.counts.starts {
            times.push(chain.measure_start()?.as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().context("nothing was started")?;
        eprintln!("    start           wl-forward      {median:.1} ms");
        Ok(median)
    }
}

fn measure_case(
    route: &mut Route,
    via: Via,
    case: String,
    command: &str,
    frames_per_sample: f64,
) -> Result<Case> {
    route.client.prepare(command).with_context(|| format!("error measuring {case} via {}", via.name()))?;
    let before = route.snapshot()?;
    let samples = route.client.go().with_context(|| format!("error measuring {case} via {}", via.name()))?;
    let used = route.snapshot()?.nanos_since(&before);
    if samples.nanos.is_empty() {
        bail!("the measuring client took no samples");
    }
    #[expect(clippy::cast_precision_loss)]
    let (frames, used, total) =
        (samples.nanos.len() as f64 * frames_per_sample, used as f64 / 1e6, samples.total as f64 / 1e9);
    let quantile = |part| samples.quantile(part) / 1e6 / frames_per_sample;
    let case = Case {
        case,
        via,
        fps: frames / total,
        frame_ms_p50: quantile(0.5),
        frame_ms_p99: quantile(0.99),
        forward_cpu_ms_per_frame: used / frames,
    };
    eprintln!(
        "    {:15} {:15} {:.1} frames/s, {:.4} ms of processor time each",
        case.case,
        via.name(),
        case.fps,
        case.forward_cpu_ms_per_frame
    );
    Ok(case)
}

/// What the chain does for clients that do nothing.
fn idle(chain: &Chain) -> Result<Idle> {
    let route = chain.hold(IDLE_CLIENTS)?;
    let (settle, watch) = IDLE;
    std::thread::sleep(settle);
    let before = route.snapshot()?;
    std::thread::sleep(watch);
    let after = route.snapshot()?;
    let idle = Idle {
        clients: IDLE_CLIENTS,
        seconds: watch.as_secs(),
        nanos: after.nanos_since(&before),
        switches: after.switches_since(&before),
        rss_mib: chain.forward_mib()?,
    };
    eprintln!(
        "    idle            {} clients      {} ns, {} switches",
        idle.clients, idle.nanos, idle.switches
    );
    Ok(idle)
}
