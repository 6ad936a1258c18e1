//! The program that a display manager, a systemd unit or a person at a terminal starts to have a desktop.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use vitrail::session::cli::Options;
use vitrail::session::{self, Outcome, SessionError};

fn main() -> ExitCode {
    let options = Options::parse();
    let filter =
        EnvFilter::try_from_env("VITRAIL_LOG").unwrap_or_else(|_| EnvFilter::new("info,calloop=error"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    vitrail::crash::log_panics();
    match session::run(options) {
        Ok(Outcome::Ended) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error}");
            let misused = matches!(error, SessionError::Misplaced(_));
            if misused { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
