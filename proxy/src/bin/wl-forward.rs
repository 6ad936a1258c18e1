//! Entry point of `wl-forward`; see [`vitrail_proxy::forward`].

use std::process::ExitCode;

use vitrail_proxy::forward::cli::{CommandLineError, Options};
use vitrail_proxy::forward::run;
use vitrail_proxy::logging;

/// Status for a command line that is wrong, as of clap.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let options = match Options::read(std::env::args_os(), &variable) {
        Ok(options) => options,
        Err(CommandLineError::Parse(error)) => error.exit(),
        Err(error @ CommandLineError::Sommelier(_)) => {
            eprintln!("wl-forward: {error}");
            return USAGE.into();
        }
    };
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
