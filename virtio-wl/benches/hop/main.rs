//! What one pump hop costs, against a plain Unix socket pair in the same run.
//!
//! ```text
//! plain:  client thread ══ socket pair ══ peer thread
//! hop:    client thread ══ socket pair ══ Pump (a thread) ══ framed stream ══ peer thread with a Socket
//! ```
//!
//! The client does exactly the same in both. All waiting is blocking, and the framed stream is a Unix socket
//! pair. The rounds of both alternate, and what is compared is the median of the ratios of neighbours, so that a
//! change of the machine's load meets both. Each line ends with the limit that the project set itself.
//!
//! Where the threads run decides more than what they do: a round trip through a socket pair takes three times as
//! long if the scheduler puts its ends onto two idle processors rather than one. So everything is measured in three ways:
//! with all threads on one processor; with the peer on another one than the client, where the pump has to share the client's
//! as it would in a VM with one processor; and where the scheduler puts them, which is what programs get by default.
//!
//! `cargo bench -p virtio-wl` runs everything, `cargo bench -p virtio-wl -- NAME` what contains NAME. Without
//! `--bench`, which is how cargo runs benchmarks among tests, everything is done once with little content, to
//! see that it works.

mod memory;
mod messages;
mod mirrors;
mod pipes;
mod placement;
mod wire;

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::placement::Placement;

/// How much is done.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Rounds of each measurement, besides a first one that does not count.
    rounds: usize,
    /// Round trips in each round.
    trips: usize,
    /// Bytes streamed in each round.
    stream_bytes: usize,
    /// Bytes through a pipe in each round.
    pipe_bytes: usize,
    /// Rounds of a pipe.
    pipe_rounds: usize,
    /// How long a reader stops.
    stop: Duration,
    /// Idle connections whose memory is measured.
    idle: usize,
}

const FULL: Scale = Scale {
    rounds: 15,
    trips: 3000,
    stream_bytes: 64 << 20,
    pipe_bytes: 1 << 30,
    pipe_rounds: 5,
    stop: Duration::from_secs(60),
    idle: 100,
};

const SMOKE: Scale = Scale {
    rounds: 1,
    trips: 20,
    stream_bytes: 1 << 20,
    pipe_bytes: 4 << 20,
    pipe_rounds: 1,
    stop: Duration::ZERO,
    idle: 4,
};

/// Measures something and prints it.
type Bench = fn(Scale, &Placement);

/// Which side of a limit is good.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// The hop takes at most so many times as long.
    TimesAsLong(f64),
    /// The hop moves at least this part of what the plain way moves in the same time.
    PartOfThroughput(f64),
    /// Nothing was promised.
    None,
}

/// What a round took.
#[derive(Clone, Copy, Debug)]
struct Cost {
    elapsed: Duration,
    /// Of all threads together.
    processor: Duration,
}

impl Cost {
    /// Runs `work`.
    fn of(work: impl FnOnce()) -> Self {
        let processor = || {
            let time = clock_gettime(ClockId::ProcessCPUTime);
            Duration::try_from(time).expect("a clock that begins at zero")
        };
        let (start, before) = (Instant::now(), processor());
        work();
        Self { elapsed: start.elapsed(), processor: processor().saturating_sub(before) }
    }
}

/// Neighbouring rounds.
#[derive(Debug, Default)]
struct Rounds {
    plain: Vec<Cost>,
    hop: Vec<Cost>,
}

impl Rounds {
    /// Runs `plain` and `hop` in turn. What the first round shows is not counted.
    fn measure(rounds: usize, mut plain: impl FnMut() -> Cost, mut hop: impl FnMut() -> Cost) -> Self {
        let mut measured = Self::default();
        for round in 0..=rounds {
            let (one, other) = (plain(), hop());
            if round > 0 {
                measured.plain.push(one);
                measured.hop.push(other);
            }
        }
        measured
    }

    /// The median of what the hop took, in relation to what its neighbour took.
    fn ratio(&self, of: impl Fn(&Cost) -> Duration) -> f64 {
        let pairs = self.plain.iter().zip(&self.hop);
        median(pairs.map(|(plain, hop)| of(hop).as_secs_f64() / of(plain).as_secs_f64()).collect())
    }

    /// Prints one line about rounds of `amount`.
    fn report(&self, name: &str, placement: &Placement, limit: Limit, amount: Amount) {
        let ratio = self.ratio(|cost| cost.elapsed);
        let figure = |rounds: &[Cost]| {
            amount.show(median(rounds.iter().map(|cost| cost.elapsed.as_secs_f64()).collect()))
        };
        let judged = |good: bool| if good { "holds" } else { "MISSED" };
        let verdict = match limit {
            Limit::TimesAsLong(most) => {
                format!("limit {most:.2}x, measured {ratio:.2}x, {}", judged(ratio <= most))
            }
            Limit::PartOfThroughput(least) => {
                let part = ratio.recip();
                format!(
                    "limit {:.0} %, measured {:.0} %, {}",
                    least * 100.0,
                    part * 100.0,
                    judged(part >= least)
                )
            }
            Limit::None => format!("no limit, measured {ratio:.2}x"),
        };
        println!(
            "{name:40} {placement:15} plain {:>12}  hop {:>12}  processor time {:.2}x  {verdict}",
            figure(&self.plain),
            figure(&self.hop),
            self.ratio(|cost| cost.processor),
        );
    }
}

/// What one round did.
#[derive(Clone, Copy, Debug)]
enum Amount {
    Trips(usize),
    Bytes(usize),
}

impl Amount {
    fn show(self, seconds: f64) -> String {
        match self {
            Self::Trips(count) => format!("{:.2} µs", seconds * 1e6 / as_f64(count)),
            Self::Bytes(bytes) => format!("{:.0} MiB/s", as_f64(bytes) / f64::from(1 << 20) / seconds),
        }
    }
}

fn as_f64(count: usize) -> f64 {
    // Counts of a benchmark are far below what a u32 of kibibytes holds.
    f64::from(u32::try_from(count / 1024).expect("a small count")) * 1024.0
        + f64::from(u32::try_from(count % 1024).expect("a remainder"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() {
    let mut is_bench = false;
    let mut names = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--bench" => is_bench = true,
            // What a test harness would understand.
            flag if flag.starts_with('-') => {}
            _ => names.push(argument),
        }
    }
    let scale = if is_bench { FULL } else { SMOKE };
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let placements = Placement::all();
    println!("Linux {}, {} placements of the threads", kernel.trim(), placements.len());
    let benches: [(&str, Bench); 7] = [
        ("round-trip", messages::round_trips),
        ("descriptors", messages::round_trips_with_descriptors),
        ("stream", messages::streams),
        ("pipe", pipes::throughput),
        ("stop", pipes::stopped_reader),
        ("mirror", mirrors::rectangles),
        ("memory", memory::idle),
    ];
    for (name, run) in benches {
        if names.is_empty() || names.iter().any(|wanted| name.contains(wanted.as_str())) {
            for placement in &placements {
                placement.near();
                run(scale, placement);
            }
        }
    }
}
