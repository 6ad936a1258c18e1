//! The measuring client of `cargo xtask bench`: does the same, and measures the same, whatever it is connected to.
//!
//! It takes one command a line on standard input. To each it answers `ready` when it has warmed up, waits for a line
//! `go`, measures, and answers with one line of JSON. What the forwarding processes use between `go` and the answer
//! is for the caller to read.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use serde::Serialize;

mod client;

use client::{Area, Client};

/// Between two round trips, so that what they wake up has gone to sleep.
const PAUSE: Duration = Duration::from_millis(2);
/// Commits of a burst.
const BURST: u32 = 1000;

/// Measures frames, round trips and bursts of commits.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Commands on standard input:
  frames full|scroll|cursor|blink|none WARM-UP COUNT
  commits full|scroll|cursor|blink|none WARM-UP COUNT
  sync WARM-UP COUNT
  burst WARM-UP COUNT
  memcpy WARM-UP COUNT"
)]
struct Arguments {
    /// The server's socket [default: the connection that WAYLAND_SOCKET or WAYLAND_DISPLAY names]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The size of the window in pixels.
    #[arg(long, value_name = "WxH", default_value = "1920x1080", value_parser = parse_size)]
    size: (i32, i32),
    /// So many windows, all doing the same.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    windows: usize,
    /// Have the window maximised, and fail where that gives it another size.
    #[arg(long)]
    maximized: bool,
    /// Make so many connections, say `held`, and do nothing until standard input ends.
    #[arg(long, value_name = "NUMBER", requires = "socket")]
    hold: Option<usize>,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Samples {
    /// Nanoseconds of each sample: from one frame callback to the next, from a commit to its frame callback, of one round
    /// trip, of one burst, of one copy.
    nanos: Vec<u64>,
    /// Nanoseconds of all together, pauses included.
    total: u64,
}

fn parse_size(text: &str) -> Result<(i32, i32)> {
    let (width, height) = text.split_once('x').context("a size is written WIDTHxHEIGHT")?;
    let side = |side: &str| side.parse().ok().filter(|side| (16..=8192).contains(side));
    side(width).zip(side(height)).context("the sides of a window are 16 to 8192")
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vitrail-bench-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut lines = std::io::stdin().lines();
    if let (Some(count), Some(path)) = (arguments.hold, &arguments.socket) {
        let connect = || Client::connect(UnixStream::connect(path)?, (16, 16));
        let _held: Vec<Client> = (0..count).map(|_| connect()).collect::<Result<_>>()?;
        say("held")?;
        return lines.next().transpose().map(drop).context("error reading standard input");
    }
    let mut clients = (0..arguments.windows).map(|_| connect(arguments)).collect::<Result<Vec<_>>>()?;
    while let Some(line) = lines.next() {
        let line = line.context("error reading standard input")?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let (what, warm_up, count) = match *words.as_slice() {
            [.., warm_up, count] => (words[..words.len() - 2].to_vec(), warm_up.parse()?, count.parse()?),
            _ => bail!("{line:?} is no command"),
        };
        measure_all(&mut clients, &what, warm_up)?;
        say("ready")?;
        if lines.next().transpose()?.as_deref() != Some("go") {
            bail!("the line after a command is `go`");
        }
        let samples = measure_all(&mut clients, &what, count)?;
        say(&serde_json::to_string(&samples)?)?;
    }
    Ok(())
}

fn say(text: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}").and_then(|()| output.flush()).context("error writing to standard output")
}

fn connect(arguments: &Arguments) -> Result<Client> {
    let mut client = match &arguments.socket {
        Some(path) => Client::connect(UnixStream::connect(path)?, arguments.size)?,
        None => Client::from_environment(arguments.size)?,
    };
    if arguments.maximized {
        client.maximize();
    }
    Ok(client)
}

/// Has all clients do the same at the same time.
fn measure_all(clients: &mut [Client], what: &[&str], count: u32) -> Result<Samples> {
    let start = Instant::now();
    let nanos = std::thread::scope(|scope| {
        let started: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(|| measure(client, what, count))).collect();
        let mut nanos = Vec::new();
        for thread in started {
            match thread.join() {
                Ok(samples) => nanos.extend(samples?.nanos),
                Err(_) => bail!("a thread has panicked"),
            }
        }
        Ok(nanos)
    })?;
    Ok(Samples { nanos, total: since(start) })
}

fn measure(client: &mut Client, what: &[&str], count: u32) -> Result<Samples> {
    let start = Instant::now();
    let nanos = match *what {
        ["frames", damage] => frames(client, damage, count)?,
        ["commits", damage] => commits(client, damage, count)?,
        ["sync"] => round_trips(client, count)?,
        ["burst"] => bursts(client, count)?,
        ["memcpy"] => copies(client.frame_len(), count),
        _ => bail!("nothing called {what:?} can be measured"),
    };
    Ok(Samples { nanos, total: since(start) })
}

fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The part of the window that frame `number` draws.
fn damaged(damage: &str, (width, height): (i32, i32), number: u32) -> Result<Option<Area>> {
    let number = i32::try_from(number % 1024)?;
    Ok(match damage {
        "full" => Some(Area { x: 0, y: 0, width, height }),
        "scroll" => Some(Area { x: 0, y: height / 2, width, height: height / 4 }),
        "cursor" => Some(Area { x: number * 8 % (width - 8), y: height / 3, width: 8, height: 16 }),
        "blink" => Some(Area { x: width / 3, y: height / 3, width: 8, height: 16 }),
        "none" => None,
        _ => bail!("there is no damage called {damage:?}"),
    })
}

fn frames(client: &mut Client, damage: &str, count: u32) -> Result<Vec<u64>> {
    let mut nanos = Vec::new();
    let mut last = Instant::now();
    for number in 0..count {
        let area = damaged(damage, client.size(), number)?;
        client.frame(area)?;
        let now = Instant::now();
        nanos.push(u64::try_from(now.duration_since(last).as_nanos())?);
        last = now;
    }
    Ok(nanos)
}

fn commits(client: &mut Client, damage: &str, count: u32) -> Result<Vec<u64>> {
    let mut nanos = Vec::new();
    for number in 0..count {
        let area = damaged(damage, client.size(), number)?;
        nanos.push(u64::try_from(client.frame(area)?.as_nanos())?);
    }
    Ok(nanos)
}

fn round_trips(client: &mut Client, count: u32) -> Result<Vec<u64>> {
    let mut nanos = Vec::new();
    for _ in 0..count {
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        client.round_trip()?;
        nanos.push(since(start));
    }
    Ok(nanos)
}

fn bursts(client: &mut Client, count: u32) -> Result<Vec<u64>> {
    let mut nanos = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        client.burst(BURST)?;
        nanos.push(since(start));
    }
    Ok(nanos)
}

/// Copies of a frame in this process's own memory, which is what all other figures are measured against: between as many
/// buffers as a window has, in turn, since a frame that has just been drawn is not where the last copy went.
fn copies(len: usize, count: u32) -> Vec<u64> {
    let mut buffers: Vec<_> = (1..=client::BUFFERS).map(|_| (vec![1_u8; len], vec![2_u8; len])).collect();
    let mut nanos = Vec::new();
    for round in 0..count {
        let index = usize::try_from(round).unwrap_or_default() % client::BUFFERS;
        let Some((source, destination)) = buffers.get_mut(index) else { continue };
        let start = Instant::now();
        destination.copy_from_slice(std::hint::black_box(source));
        std::hint::black_box(destination);
        nanos.push(since(start));
    }
    nanos
}
