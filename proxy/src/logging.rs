//! Logging of the programs in this crate: lines on standard error, chosen by `VITRAIL_LOG`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The environment variable that chooses what is logged, in the syntax of [`EnvFilter`]. Default: `info`.
pub const LOG_VARIABLE: &str = "VITRAIL_LOG";

/// Begins to log. Text that came from a VM is escaped by the formatter wherever it is logged with `?`.
///
/// A filter that cannot be parsed is reported and replaced by `info`: a typing error in an environment variable
/// should not keep the windows off the screen. Only the first call in a process has an effect.
pub fn init() {
    let (filter, problem) = match std::env::var(LOG_VARIABLE) {
        Ok(text) => match EnvFilter::try_new(&text) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new("info"), Some(error)),
        },
        Err(_) => (EnvFilter::new("info"), None),
    };
    let ansi = std::io::stderr().is_terminal();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .try_init();
    if let Some(error) = problem {
        tracing::warn!(%error, "{LOG_VARIABLE} is not a valid filter, logging at level info");
    }
}

/// An error with its causes, for a person. Many of our errors name their cause already, since they are logged
/// one by one elsewhere; such a cause is not said again.
#[must_use]
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::explain;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow!("no such file").context("cannot read x: no such file").context("error starting");
        assert_eq!(explain(&error), "error starting: cannot read x: no such file");
    }
}
