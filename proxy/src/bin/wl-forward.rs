//! Entry point of `wl-forward`; see [`vitrail_proxy::forward`].

use std::process::ExitCode;

use clap::Parser as _;
use vitrail_proxy::forward::{cli::Options, run};
use vitrail_proxy::logging;

/// Status for a command line that is wrong, as of clap.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let options = Options::parse();
    logging::init();
    match run(&options) {
        Ok(status) => status.into(),
        Err(error) => {
            tracing::error!("{}", logging::explain(&error.into()));
            // An interface that is not offered has status 1.
            if options.explain.is_some() { USAGE.into() } else { ExitCode::FAILURE }
        }
    }
}
