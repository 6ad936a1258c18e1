//! Entry point of `wl-forward`; see [`vitrail_proxy::forward`].

use std::process::ExitCode;

use clap::Parser as _;
use vitrail_proxy::forward::{cli::Options, run};
use vitrail_proxy::logging;

fn main() -> ExitCode {
    let options = Options::parse();
    logging::init();
    match run(&options) {
        Ok(status) => status.into(),
        Err(error) => {
            tracing::error!("{}", logging::explain(&error.into()));
            ExitCode::FAILURE
        }
    }
}
