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
//! `cargo bench -p virtio-wl` runs everything, `cargo bench -p virtio-wl -- NAME` what contains NAME. Without
//! `--bench`, which is how cargo runs benchmarks among tests, everything is done once with little content, to
//! see that it works.

mod memory;
mod messages;
mod pipes;
mod wire;

use std::time::Duration;

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
    stop: Duration::from_secs(5),
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
type Bench = fn(Scale);

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

/// Durations of neighbouring rounds.
#[derive(Debug, Default)]
struct Rounds {
    plain: Vec<Duration>,
    hop: Vec<Duration>,
}

impl Rounds {
    /// Runs `plain` and `hop` in turn. What the first round shows is not counted.
    fn measure(
        rounds: usize,
        mut plain: impl FnMut() -> Duration,
        mut hop: impl FnMut() -> Duration,
    ) -> Self {
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

    /// Prints one line about rounds of `amount`.
    fn report(&self, name: &str, limit: Limit, amount: Amount) {
        let mut ratios: Vec<f64> = self
            .plain
            .iter()
            .zip(&self.hop)
            .map(|(plain, hop)| hop.as_secs_f64() / plain.as_secs_f64())
            .collect();
        let ratio = median(&mut ratios);
        let figure = |rounds: &[Duration]| {
            let mut seconds: Vec<f64> = rounds.iter().map(Duration::as_secs_f64).collect();
            amount.show(median(&mut seconds))
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
        println!("{name:44} plain {:>12}  hop {:>12}  {verdict}", figure(&self.plain), figure(&self.hop));
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

fn median(values: &mut [f64]) -> f64 {
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
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{processors} processors, Linux {}", kernel.trim());
    let benches: [(&str, Bench); 6] = [
        ("round-trip", messages::round_trips),
        ("descriptors", messages::round_trips_with_descriptors),
        ("stream", messages::streams),
        ("pipe", pipes::throughput),
        ("stop", pipes::stopped_reader),
        ("memory", memory::idle),
    ];
    for (name, run) in benches {
        if names.is_empty() || names.iter().any(|wanted| name.contains(wanted.as_str())) {
            run(scale);
        }
    }
}
