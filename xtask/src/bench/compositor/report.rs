//! What was measured of the compositors, and what is promised of ours.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::servers::Who;
use crate::bench::report::Check;

/// One case in front of one compositor.
#[derive(Debug, Serialize)]
pub struct Case {
    /// `SIZE-DAMAGE`, or what several windows do.
    pub case: String,
    /// Who drew it.
    pub who: Who,
    /// Processor time of the compositor's process, and of those that it has started, for one update of every window that
    /// changes.
    pub cpu_ms_per_update: f64,
    /// From a commit to its frame callback, the 99th percentile.
    pub frame_ms_p99: f64,
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// All cases.
    pub compositor: Vec<Case>,
    /// Median of copies of one frame in one program's memory, by size.
    pub compositor_memcpy_ms: BTreeMap<String, f64>,
}

/// All of a maximised window.
pub const FULL: &str = "1080p-full";
/// A quarter of the height.
pub const SCROLL: &str = "1080p-scroll";
/// 8×16 pixels.
pub const BLINK: &str = "1080p-blink";
/// All of several windows.
pub const MANY: &str = "20-windows";
/// A small one beside no other window, and beside many.
pub const ALONE: &str = "blink-1-window";
/// The same with many windows that do nothing.
pub const AMONG: &str = "blink-256-windows";

/// What an update may cost, as a part of what it costs weston.
const OF_WESTON: [(&str, f64); 3] = [(FULL, 0.4), (SCROLL, 0.3), (BLINK, 0.25)];
/// What a full update may cost in copies of a frame.
const COPIES: f64 = 3.0;
/// How long a frame callback may take, in milliseconds: 1.2 periods at 60 Hz.
const CALLBACK_MS: f64 = 1.2 * 1000.0 / 60.0;
/// What an update may cost beside 255 windows that do nothing, as a multiple of what it costs alone.
const IDLE_WINDOWS: f64 = 1.25;

impl Report {
    fn case(&self, case: &str, who: Who) -> Option<&Case> {
        self.compositor.iter().find(|found| found.case == case && found.who == who)
    }

    fn cpu(&self, case: &str, who: Who) -> f64 {
        self.case(case, who).map_or(f64::NAN, |case| case.cpu_ms_per_update)
    }

    /// Everything that is promised. What was not measured does not hold.
    pub fn checks(&self) -> Vec<Check> {
        let ours = |case: &str| self.cpu(case, Who::Vitrail);
        let mut checks = Vec::new();
        for (case, part) in OF_WESTON {
            let limit = self.cpu(case, Who::Weston) * part;
            checks.push(Check::at_most(
                format!("{case}: processor time, {part} of weston's"),
                ours(case),
                limit,
                "ms",
            ));
        }
        let copy = self.compositor_memcpy_ms.get("1080p").copied().unwrap_or(f64::NAN);
        checks.push(Check::at_most(
            format!("{FULL}: processor time, {COPIES} copies"),
            ours(FULL),
            copy * COPIES,
            "ms",
        ));
        let among = format!("{AMONG}: processor time, {IDLE_WINDOWS} of that alone");
        checks.push(Check::at_most(among, ours(AMONG), ours(ALONE) * IDLE_WINDOWS, "ms"));
        let callback = self.case(MANY, Who::Vitrail).map_or(f64::NAN, |case| case.frame_ms_p99);
        let what = format!("{MANY}: p99 of commit to frame callback, 1.2 periods");
        checks.push(Check::at_most(what, callback, CALLBACK_MS, "ms"));
        checks
    }

    /// The cases as a table.
    pub fn table(&self) -> String {
        let mut text = format!("{:18} {:8} {:>14} {:>9}\n", "case", "who", "processor ms", "p99 ms");
        for case in &self.compositor {
            let _ = writeln!(
                text,
                "{:18} {:8} {:14.4} {:9.3}",
                case.case,
                case.who.name(),
                case.cpu_ms_per_update,
                case.frame_ms_p99
            );
        }
        for (size, copy) in &self.compositor_memcpy_ms {
            let _ = writeln!(text, "memcpy {size}: {copy:.3} ms");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::verdict;

    fn case(case: &str, who: Who, cpu: f64) -> Case {
        Case { case: case.to_owned(), who, cpu_ms_per_update: cpu, frame_ms_p99: 17.0 }
    }

    fn report() -> Report {
        let mut compositor = Vec::new();
        for (name, part) in OF_WESTON {
            compositor.extend([case(name, Who::Vitrail, part), case(name, Who::Weston, 1.0)]);
        }
        compositor.extend([ALONE, AMONG, MANY].map(|name| case(name, Who::Vitrail, 0.1)));
        Report { compositor, compositor_memcpy_ms: BTreeMap::from([("1080p".to_owned(), 0.2)]) }
    }

    #[test]
    fn a_run_that_keeps_every_promise_misses_none() {
        let (text, missed) = verdict(&report().checks());
        assert_eq!(missed, 0, "{text}");
    }

    #[test]
    fn what_is_above_its_limit_or_was_not_measured_is_missed() {
        let mut slow = report();
        slow.compositor_memcpy_ms.clear();
        slow.compositor.retain(|case| case.case != BLINK || case.who != Who::Weston);
        for case in &mut slow.compositor {
            case.frame_ms_p99 = 20.1;
        }
        slow.compositor.retain(|case| case.case != AMONG);
        slow.compositor.push(case(AMONG, Who::Vitrail, 0.2));
        let (text, missed) = verdict(&slow.checks());
        assert_eq!(missed, 4, "{text}");
    }

    #[test]
    fn the_file_has_the_fields_that_others_read() {
        let value = serde_json::to_value(report()).unwrap();
        let fields: Vec<&String> = value["compositor"][1].as_object().unwrap().keys().collect();
        assert_eq!(fields, ["case", "cpu_ms_per_update", "frame_ms_p99", "who"]);
        assert_eq!(value["compositor"][1]["who"], "weston");
    }
}
