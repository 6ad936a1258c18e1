//! An application for trying Vitrail by hand and for its tests.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::{Args, Parser, Subcommand};
use vitrail_tests::client::{Client, Window, WindowOptions};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::painter::{Damage, Painter, Presentation};

/// A Wayland client that shows something simple and reproducible.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// A window of one colour, until it is closed.
    Static(Look),
    /// A window in which random rectangles are drawn as fast as frames are, until it is closed.
    RandomDamage {
        #[command(flatten)]
        look: Look,
        /// Which sequence of rectangles.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// After how many commits to stop drawing.
        #[arg(long, default_value_t = 1000)]
        commits: u32,
    },
}

#[derive(Debug, Args)]
struct Look {
    /// The colour of the content.
    #[arg(long, default_value = "#808080", value_parser = parse_color)]
    color: u32,
    /// The title.
    #[arg(long, default_value = "vitrail-test-client")]
    title: String,
    /// The application id.
    #[arg(long, default_value = "vitrail-test-client")]
    app_id: String,
    /// The size in surface units.
    #[arg(long, default_value = "320x240", value_parser = parse_size)]
    size: (i32, i32),
}

fn parse_color(text: &str) -> Result<u32> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
    let digits = digits.ok_or_else(|| anyhow!("a colour is written #rrggbb"))?;
    u32::from_str_radix(digits, 16).context("a colour is written #rrggbb")
}

fn parse_size(text: &str) -> Result<(i32, i32)> {
    let (width, height) = text.split_once('x').ok_or_else(|| anyhow!("a size is written WIDTHxHEIGHT"))?;
    let side = |side: &str| side.parse().ok().filter(|side| (1..=16384).contains(side));
    side(width).zip(side(height)).ok_or_else(|| anyhow!("the sides of a window are 1 to 16384"))
}

fn main() -> ExitCode {
    match run(Arguments::parse().mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vitrail-test-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mode: Mode) -> Result<()> {
    let mut client = Client::connect(&socket()?);
    match mode {
        Mode::Static(look) => {
            let window = map(&mut client, &look)?;
            wait_close(&mut client, &window)
        }
        Mode::RandomDamage { look, seed, commits } => {
            let mut window = map(&mut client, &look)?;
            let mut painter = Painter::new(seed, Damage::Both, Presentation::PLAIN);
            for _ in 0..commits {
                let frames = client.state.surface(window.number).frames;
                client.request_frame(&window.surface, window.number);
                painter.step(&mut client, &mut window)?;
                let number = window.number;
                client.wait_until("a frame callback", |state| {
                    state.surface(number).frames > frames || state.surface(number).closed
                })?;
                if client.state.surface(number).closed {
                    return Ok(());
                }
            }
            wait_close(&mut client, &window)
        }
    }
}

fn map(client: &mut Client, look: &Look) -> Result<Window> {
    let mut options = WindowOptions::new(&look.title, look.color).size(look.size.0, look.size.1);
    options.app_id.clone_from(&look.app_id);
    client.window(&options).context("error mapping the window")
}

/// The socket that the environment names, as libwayland does it.
fn socket() -> Result<PathBuf> {
    let name = PathBuf::from(std::env::var_os("WAYLAND_DISPLAY").unwrap_or_else(|| "wayland-0".into()));
    let directory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match directory {
        _ if name.is_absolute() => Ok(name),
        Some(directory) => Ok(directory.join(name)),
        None => Err(anyhow!("XDG_RUNTIME_DIR is not set")),
    }
}

fn wait_close(client: &mut Client, window: &Window) -> Result<()> {
    // A person decides when it ends.
    let years = Deadline::after(Duration::from_secs(365 * 24 * 60 * 60));
    let number = window.number;
    client.wait_before(years, "the window to be closed", |state| state.surface(number).closed)?;
    Ok(())
}
