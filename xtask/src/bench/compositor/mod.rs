//! What drawing costs: the same client in front of vitrail and of weston, both headless with pixman.
//!
//! The compositors run side by side, and take turns for each case. Windows are of one size in both, and what of them changes
//! is too; each frame is paced by the callback of the one before.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

pub mod report;
mod servers;

pub use servers::weston_version;

use super::client::Client;
use super::{Counts, SIZES};
use report::{Case, Report};
use servers::{Server, Servers, Who};

/// What of a maximised window changes with each frame.
const DAMAGES: [&str; 3] = ["full", "scroll", "blink"];
/// Windows that all change, and their size: so many have room beside each other.
const MANY: (u32, (i32, i32)) = (20, (320, 180));
/// Windows that do nothing, beside one that does.
const IDLE_WINDOWS: u32 = 255;

/// Measures both compositors.
///
/// # Errors
/// When something does not start or cannot be measured.
pub fn measure(programs: &Path, counts: Counts) -> Result<Report> {
    let mut bench = Bench { servers: Servers::new(programs)?, counts, report: Report::default() };
    let measured = bench.maximized().and_then(|()| bench.several());
    if measured.is_err() {
        bench.servers.print_logs();
    }
    measured.map(|()| bench.report)
}

struct Bench {
    servers: Servers,
    counts: Counts,
    report: Report,
}

/// A compositor with the client that is measured, which ends first.
struct Route {
    client: Client,
    server: Server,
}

impl Bench {
    /// What a maximised window costs.
    fn maximized(&mut self) -> Result<()> {
        for ((name, size), frames) in SIZES.into_iter().zip(self.counts.frames) {
            let servers = self.start(size, name)?;
            let mut routes = self.connect(servers, size, 1, &["--maximized"])?;
            let mut copies = self.copies(&mut routes)?;
            for damage in DAMAGES {
                let command = format!("commits {damage} {} {frames}", frames / 10 + 3);
                self.case(&mut routes, &format!("{name}-{damage}"), &command, 1)?;
            }
            copies.extend(self.copies(&mut routes)?);
            copies.sort_by(f64::total_cmp);
            let median = copies.get(copies.len() / 2).copied().unwrap_or(f64::NAN);
            self.report.compositor_memcpy_ms.insert(name.to_owned(), median);
        }
        Ok(())
    }

    /// What several windows cost: all of them changing, and all but one idle.
    fn several(&mut self) -> Result<()> {
        let (count, size) = MANY;
        let frames = self.counts.frames[0];
        let warm_up = frames / 10 + 3;
        let servers = self.start(SIZES[0].1, "several")?;
        let mut routes = self.connect(servers, size, count, &[])?;
        self.case(&mut routes, report::MANY, &format!("commits full {warm_up} {frames}"), count)?;
        let servers = routes.into_iter().map(|route| route.server).collect();
        let blink = format!("commits blink {warm_up} {frames}");
        let mut routes = self.connect(servers, size, 1, &[])?;
        self.case(&mut routes, report::ALONE, &blink, 1)?;
        let mut idle = Vec::new();
        for route in &routes {
            let mut others = Client::start(self.servers.client(&route.server, size, IDLE_WINDOWS))?;
            others.prepare("commits full 1 1")?;
            others.go()?;
            idle.push(others);
        }
        self.case(&mut routes, report::AMONG, &blink, 1)
    }

    /// Both compositors.
    fn start(&mut self, size: (i32, i32), name: &str) -> Result<Vec<Server>> {
        Who::ALL.into_iter().map(|who| self.servers.start(who, size, name)).collect()
    }

    /// A measuring client for each.
    fn connect(
        &self,
        servers: Vec<Server>,
        size: (i32, i32),
        windows: u32,
        more: &[&str],
    ) -> Result<Vec<Route>> {
        let connect = |server| {
            let mut client = self.servers.client(&server, size, windows);
            client.args(more);
            Ok(Route { client: Client::start(client)?, server })
        };
        servers.into_iter().map(connect).collect()
    }

    /// Milliseconds of copies of one frame.
    fn copies(&self, routes: &mut [Route]) -> Result<Vec<f64>> {
        let route = routes.first_mut().context("nobody is connected")?;
        route.client.prepare(&format!("memcpy 5 {}", self.counts.copies))?;
        #[expect(clippy::cast_precision_loss)]
        let milliseconds = |nanos: u64| nanos as f64 / 1e6;
        Ok(route.client.go()?.nanos.into_iter().map(milliseconds).collect())
    }

    /// One case in front of each compositor.
    fn case(&mut self, routes: &mut [Route], case: &str, command: &str, windows: u32) -> Result<()> {
        for route in routes {
            let who = route.server.who;
            let failed = || format!("error measuring {case} in front of {}", who.name());
            route.client.prepare(command).with_context(failed)?;
            let before = route.server.snapshot()?;
            let samples = route.client.go().with_context(failed)?;
            let used = route.server.snapshot()?.nanos_since(&before);
            if samples.nanos.is_empty() {
                bail!("the measuring client took no samples");
            }
            #[expect(clippy::cast_precision_loss)]
            let (used, updates) = (used as f64 / 1e6, samples.nanos.len() as f64);
            let cpu = used / updates * f64::from(windows);
            let case = Case {
                case: case.to_owned(),
                who,
                cpu_ms_per_update: cpu,
                frame_ms_p99: samples.quantile(0.99) / 1e6,
            };
            eprintln!("    {:17} {:8} {cpu:.4} ms of processor time for each update", case.case, who.name());
            self.report.compositor.push(case);
        }
        Ok(())
    }
}
