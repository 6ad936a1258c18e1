//! The measuring client, as a process that takes commands and answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;

/// What the client measured.
#[derive(Debug, Deserialize)]
pub struct Samples {
    /// Nanoseconds of each sample.
    pub nanos: Vec<u64>,
    /// Nanoseconds of all together.
    pub total: u64,
}

impl Samples {
    /// Nanoseconds that this part of the samples does not exceed.
    pub fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.nanos.clone();
        sorted.sort_unstable();
        quantile(&sorted, part)
    }
}

fn quantile(sorted: &[u64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let index = (last as f64 * part).round() as usize;
    #[expect(clippy::cast_precision_loss)]
    let nanos = sorted.get(index).copied().unwrap_or_default() as f64;
    nanos
}

/// A running client, or a program that runs one and passes on its standard streams. It ends with this value.
#[derive(Debug)]
pub struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Client {
    /// Starts it in a process group of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("error starting {command:?}"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("the client has no output")?);
        Ok(Self { child, input, output })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("the client has no input")?;
        writeln!(input, "{line}").context("error talking to the measuring client")
    }

    /// Its next line.
    ///
    /// # Errors
    /// When it has ended.
    pub fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line).context("error listening to the measuring client")? == 0 {
            bail!("the measuring client has ended");
        }
        Ok(line.trim_end().to_owned())
    }

    /// Has it warm up.
    ///
    /// # Errors
    /// When it fails.
    pub fn prepare(&mut self, command: &str) -> Result<()> {
        self.say(command)?;
        match self.hear()?.as_str() {
            "ready" => Ok(()),
            other => bail!("the measuring client says {}", other.escape_debug()),
        }
    }

    /// Has it measure what it has warmed up for.
    ///
    /// # Errors
    /// When it fails.
    pub fn go(&mut self) -> Result<Samples> {
        self.say("go")?;
        serde_json::from_str(&self.hear()?).context("error reading what the client measured")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The end of its input ends it in order; a group that is stuck is killed.
        drop(self.input.take());
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = self.output.read_line(&mut String::new());
            let _ = kill_process_group(group, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let samples = Samples { nanos: vec![5, 1, 3], total: 9 };
        let found = [0.0, 0.5, 1.0].map(|part| samples.quantile(part));
        assert!(found.iter().zip([1.0, 3.0, 5.0]).all(|(found, sample)| (found - sample).abs() < 0.5));
    }
}
