//! What a run of the bench writes: bench.json, and a table of every limit with what was measured.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How a client is connected to the compositor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// To its socket.
    Direct,
    /// Through wl-forward, hub and gate, in a VM with a region.
    Vitrail,
    /// The same in a VM without.
    VitrailMirror,
    /// Through the two ends of waypipe.
    Waypipe,
}

impl Via {
    /// All of them, in the order of the picture.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Vitrail, Self::VitrailMirror, Self::Waypipe];

    /// As bench.json has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Vitrail => "vitrail",
            Self::VitrailMirror => "vitrail-mirror",
            Self::Waypipe => "waypipe",
        }
    }
}

/// One case through one connection.
#[derive(Debug, Serialize)]
pub struct Case {
    /// `SIZE-DAMAGE`, or `burst`: then a frame is one of its commits.
    pub case: String,
    /// The connection.
    pub via: Via,
    /// Frames per second.
    pub fps: f64,
    /// Median of the time between two frame callbacks.
    pub frame_ms_p50: f64,
    /// Its 99th percentile.
    pub frame_ms_p99: f64,
    /// Processor time of all forwarding processes together.
    pub forward_cpu_ms_per_frame: f64,
}

/// Round trips of one connection.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RoundTrip {
    /// Median in microseconds.
    pub p50: f64,
    /// 99th percentile in microseconds.
    pub p99: f64,
}

/// The content of bench.json.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// One copy of a frame in memory, by size.
    pub memcpy_ms: BTreeMap<String, f64>,
    /// All cases.
    pub cases: Vec<Case>,
    /// Round trips; those of waypipe have a plain relay between its ends.
    pub sync_us: BTreeMap<&'static str, RoundTrip>,
    /// From the exec of wl-forward until its socket takes connections.
    pub startup_ms: f64,
    /// Of a wl-forward with one connection, whose client has drawn frames and rests, without its region.
    pub rss_mib: f64,
    /// What is in no field of the file.
    #[serde(skip)]
    pub idle: Idle,
}

/// What the chain does while its clients do nothing.
#[derive(Debug, Default)]
pub struct Idle {
    /// Connected clients.
    pub clients: u32,
    /// How long was looked, in seconds.
    pub seconds: u64,
    /// Processor time used, in nanoseconds.
    pub nanos: u64,
    /// Context switches.
    pub switches: u64,
    /// MiB of wl-forward with all clients.
    pub rss_mib: f64,
}

/// One promise and what was measured. It holds where `measured` is not above `limit`.
#[derive(Debug)]
pub struct Check {
    what: String,
    measured: f64,
    limit: f64,
    unit: &'static str,
    /// It has to be at least `limit` instead.
    at_least: bool,
}

impl Check {
    /// One that holds where no more was measured than the limit.
    pub fn at_most(what: String, measured: f64, limit: f64, unit: &'static str) -> Self {
        Self { what, measured, limit, unit, at_least: false }
    }

    fn holds(&self) -> bool {
        if self.at_least { self.measured >= self.limit } else { self.measured <= self.limit }
    }
}

/// What a copied frame may cost in copies of a frame, and for its messages in milliseconds.
const FULL_FRAME: (f64, f64) = (1.25, 0.15);
/// What 8 by 16 pixels may cost more than none, in milliseconds.
const CURSOR_MS: f64 = 0.05;
const STARTUP_MS: f64 = 15.0;
/// MiB of wl-forward, and of each connection.
const RESIDENT: (f64, f64) = (12.0, 1.0);

impl Report {
    fn case(&self, case: &str, via: Via) -> Option<&Case> {
        self.cases.iter().find(|found| found.case == case && found.via == via)
    }

    fn cpu(&self, case: &str, via: Via) -> f64 {
        self.case(case, via).map_or(f64::NAN, |case| case.forward_cpu_ms_per_frame)
    }

    /// Everything that is promised. What was not measured does not hold.
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut add = |what: String, measured: f64, limit: f64, unit: &'static str, at_least: bool| {
            checks.push(Check { what, measured, limit, unit, at_least });
        };
        for (size, memcpy) in &self.memcpy_ms {
            let full = format!("{size}-full");
            let cpu = self.cpu(&full, Via::Vitrail);
            let limit = memcpy * FULL_FRAME.0 + FULL_FRAME.1;
            add(format!("{full}: processor time, 1.25 copies + 0.15 ms"), cpu, limit, "ms", false);
            let tenth = self.cpu(&full, Via::Waypipe) / 10.0;
            add(format!("{full}: processor time, a tenth of waypipe's"), cpu, tenth, "ms", false);
            let fps = |via| self.case(&full, via).map_or(f64::NAN, |case| case.fps);
            let ratio = fps(Via::Vitrail) / fps(Via::Direct);
            add(format!("{full}: frame rate, of direct"), ratio, 0.95, "", true);
            let cursor = self.cpu(&format!("{size}-cursor"), Via::Vitrail);
            let more = cursor - self.cpu(&format!("{size}-none"), Via::Vitrail);
            add(
                format!("{size}-cursor: processor time above that of no damage"),
                more,
                CURSOR_MS,
                "ms",
                false,
            );
        }
        let sync = |via: &str| self.sync_us.get(via).copied();
        if let (Some(ours), Some(waypipe)) = (sync("vitrail"), sync("waypipe")) {
            add("sync: p50, waypipe's with a relay".to_owned(), ours.p50, waypipe.p50, "µs", false);
            add("sync: p99, waypipe's with a relay".to_owned(), ours.p99, waypipe.p99, "µs", false);
        }
        add("start of wl-forward".to_owned(), self.startup_ms, STARTUP_MS, "ms", false);
        let memory = |clients: f64| RESIDENT.0 + RESIDENT.1 * clients;
        add("memory of wl-forward, 1 connection".to_owned(), self.rss_mib, memory(1.0), "MiB", false);
        let idle = &self.idle;
        let clients = idle.clients;
        let what = format!("memory of wl-forward, {clients} connections");
        add(what, idle.rss_mib, memory(f64::from(clients)), "MiB", false);
        #[expect(clippy::cast_precision_loss)]
        let (used, switches) = (idle.nanos as f64 / 1e6, idle.switches as f64);
        let seconds = idle.seconds;
        add(format!("idle, {clients} clients, {seconds} s: processor time"), used, 0.0, "ms", false);
        add(format!("idle, {clients} clients, {seconds} s: context switches"), switches, 0.0, "", false);
        checks
    }

    /// The cases as a table.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:14} {:15} {:>9} {:>9} {:>9} {:>14}\n",
            "case", "via", "fps", "p50 ms", "p99 ms", "forward ms"
        );
        for case in &self.cases {
            let _ = writeln!(
                text,
                "{:14} {:15} {:9.1} {:9.3} {:9.3} {:14.4}",
                case.case,
                case.via.name(),
                case.fps,
                case.frame_ms_p50,
                case.frame_ms_p99,
                case.forward_cpu_ms_per_frame
            );
        }
        for (size, copy) in &self.memcpy_ms {
            let _ = writeln!(text, "memcpy {size}: {copy:.3} ms");
        }
        for (via, sync) in &self.sync_us {
            let _ = writeln!(text, "sync {via}: p50 {:.0} µs, p99 {:.0} µs", sync.p50, sync.p99);
        }
        text
    }
}

/// The promises as a table, and how many do not hold.
pub fn verdict(checks: &[Check]) -> (String, usize) {
    let mut text = String::new();
    for check in checks {
        let relation = if check.at_least { "at least" } else { "at most" };
        let verdict = if check.holds() { "holds" } else { "MISSED" };
        let ratio = check.measured / check.limit;
        let ratio = if ratio.is_finite() { format!("{ratio:.2}x") } else { String::new() };
        let _ = writeln!(
            text,
            "{:58} {relation:8} {:9.3} {:3}  measured {:9.3}  {ratio:>7}  {verdict}",
            check.what, check.limit, check.unit, check.measured
        );
    }
    (text, checks.iter().filter(|check| !check.holds()).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(case: &str, via: Via, fps: f64, cpu: f64) -> Case {
        let case = case.to_owned();
        Case { case, via, fps, frame_ms_p50: 1.0, frame_ms_p99: 2.0, forward_cpu_ms_per_frame: cpu }
    }

    fn report() -> Report {
        let (fast, slow) = (RoundTrip { p50: 100.0, p99: 200.0 }, RoundTrip { p50: 150.0, p99: 300.0 });
        Report {
            memcpy_ms: BTreeMap::from([("1080p".to_owned(), 1.0)]),
            cases: vec![
                case("1080p-full", Via::Direct, 60.0, 0.0),
                case("1080p-full", Via::Vitrail, 59.0, 1.3),
                case("1080p-full", Via::Waypipe, 30.0, 15.0),
                case("1080p-cursor", Via::Vitrail, 60.0, 0.11),
                case("1080p-none", Via::Vitrail, 60.0, 0.1),
            ],
            sync_us: BTreeMap::from([("vitrail", fast), ("waypipe", slow)]),
            startup_ms: 5.0,
            rss_mib: 8.0,
            idle: Idle { clients: 50, seconds: 3, nanos: 0, switches: 0, rss_mib: 20.0 },
        }
    }

    #[test]
    fn a_run_that_keeps_every_promise_misses_none() {
        let (text, missed) = verdict(&report().checks());
        assert_eq!(missed, 0, "{text}");
    }

    #[test]
    fn what_is_above_its_limit_or_was_not_measured_is_missed() {
        let mut slow = report();
        slow.cases.retain(|case| case.via != Via::Waypipe);
        slow.idle.switches = 1;
        slow.sync_us.insert("vitrail", RoundTrip { p50: 100.0, p99: 301.0 });
        let (text, missed) = verdict(&slow.checks());
        assert_eq!(missed, 3, "{text}");
    }

    #[test]
    fn the_file_has_the_fields_that_others_read() {
        let value = serde_json::to_value(report()).unwrap();
        assert_eq!(value["cases"][1]["via"], "vitrail");
        assert_eq!(value["sync_us"]["waypipe"]["p99"], 300.0);
        assert_eq!(value["memcpy_ms"]["1080p"], 1.0);
        let fields: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["cases", "memcpy_ms", "rss_mib", "startup_ms", "sync_us"]);
    }
}
