//! Running WLCS: one process for each shard, watched by what it prints.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::Results;
use super::log::{Line, Outcome, read};
use crate::debian::Unpacked;

/// Where the package has the program.
const PROGRAM: &str = "usr/lib/x86_64-linux-gnu/wlcs/wlcs";
/// For how long a shard may print nothing: a test waits ten seconds for each thing, and few wait for more than two.
const SILENCE: Duration = Duration::from_secs(60);
/// How long all of a shard may take.
const SHARD: Duration = Duration::from_secs(480);

/// WLCS and the library that it loads.
#[derive(Debug)]
pub struct Suite<'a> {
    packages: &'a Unpacked,
    integration: PathBuf,
    out: &'a Path,
}

/// What one process did with its tests.
enum End {
    /// All that were to run have run.
    Done,
    /// It ended in the middle of one.
    In(String, Outcome),
}

impl<'a> Suite<'a> {
    /// The suite of unpacked packages, with the library in a file. Logs come into `out`.
    ///
    /// # Errors
    /// When the folder for the tests' sockets cannot be made.
    pub fn new(packages: &'a Unpacked, integration: &Path, out: &'a Path) -> Result<Self> {
        let suite = Self { packages, integration: integration.to_owned(), out };
        let run = suite.runtime_dir();
        std::fs::create_dir_all(&run).with_context(|| format!("error creating {}", run.display()))?;
        Ok(suite)
    }

    fn runtime_dir(&self) -> PathBuf {
        self.out.join("run")
    }

    /// WLCS with the libraries of its release, beside those of the machine that the compositor was linked with.
    fn command(&self) -> Command {
        let mut command = self.packages.program_beside_system(PROGRAM);
        command.arg(&self.integration).stdin(Stdio::null());
        command.env("XDG_RUNTIME_DIR", self.runtime_dir()).env("RUST_BACKTRACE", "0");
        command
    }

    /// The names of the tests, or of those that match.
    ///
    /// # Errors
    /// When WLCS does not run.
    pub fn tests(&self, filter: Option<&str>) -> Result<BTreeSet<String>> {
        let mut command = self.command();
        command.arg("--gtest_list_tests").args(filter.map(|filter| format!("--gtest_filter={filter}")));
        let output = command.output().context("error starting WLCS")?;
        if !output.status.success() {
            bail!("WLCS does not run ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(listed(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Runs the shards, `jobs` at a time.
    ///
    /// # Errors
    /// When one cannot be started or watched.
    pub fn run(&self, shards: &[Vec<String>], jobs: usize) -> Result<Results> {
        let queue = Mutex::new(shards.iter().enumerate().collect::<VecDeque<_>>());
        let results = Mutex::new(Results::new());
        let work = || -> Result<()> {
            loop {
                let next = queue.lock().map_err(|_| anyhow::anyhow!("a shard panicked"))?.pop_front();
                let Some((index, tests)) = next else { return Ok(()) };
                let start = Instant::now();
                let found = self.shard(index, tests)?;
                let count = |wanted: fn(Outcome) -> bool| found.values().filter(|o| wanted(**o)).count();
                eprintln!(
                    "    shard {:2} of {}: {} passed, {} failed, {} skipped ({:.1} s)",
                    index + 1,
                    shards.len(),
                    count(|outcome| outcome == Outcome::Passed),
                    count(Outcome::is_failure),
                    count(|outcome| outcome == Outcome::Skipped),
                    start.elapsed().as_secs_f64()
                );
                results.lock().map_err(|_| anyhow::anyhow!("a shard panicked"))?.extend(found);
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a shard panicked")))
            })
        })?;
        results.into_inner().map_err(|_| anyhow::anyhow!("a shard panicked"))
    }

    /// Runs one shard, in as many processes as it takes.
    fn shard(&self, index: usize, tests: &[String]) -> Result<Results> {
        let path = self.out.join(format!("shard-{:02}.log", index + 1));
        let mut log = File::create(&path).with_context(|| format!("error creating {}", path.display()))?;
        let mut results = Results::new();
        let deadline = Instant::now() + SHARD;
        loop {
            let left: Vec<&str> =
                tests.iter().map(String::as_str).filter(|test| !results.contains_key(*test)).collect();
            if left.is_empty() {
                return Ok(results);
            }
            let before = results.len();
            let end = self.process(&left, &mut log, &mut results, deadline)?;
            if let End::In(test, outcome) = end {
                results.insert(test, outcome);
            } else if results.len() == before {
                bail!("WLCS ran none of {} tests; see {}", left.len(), path.display());
            }
            if Instant::now() > deadline {
                // What did not get its turn.
                for test in tests {
                    results.entry(test.clone()).or_insert(Outcome::Hung);
                }
            }
        }
    }

    /// Runs tests in one process until it ends or has to be ended.
    fn process(
        &self,
        tests: &[&str],
        log: &mut File,
        results: &mut Results,
        deadline: Instant,
    ) -> Result<End> {
        let mut command = self.command();
        command.arg(format!("--gtest_filter={}", tests.join(":"))).process_group(0);
        let errors = log.try_clone().context("error duplicating the log's descriptor")?;
        let mut child =
            command.stdout(Stdio::piped()).stderr(errors).spawn().context("error starting WLCS")?;
        let output = child.stdout.take().context("WLCS without an output")?;
        let outcome = watch(output, log, results, deadline);
        end(&mut child);
        outcome
    }
}

/// Reads what a process prints, until it closes its output, prints nothing for too long or its time is over.
fn watch(mut output: ChildStdout, log: &mut File, results: &mut Results, deadline: Instant) -> Result<End> {
    let mut rest = Vec::new();
    let mut current: Option<String> = None;
    loop {
        let patience = SILENCE.min(deadline.saturating_duration_since(Instant::now()));
        let wait = Timespec::try_from(patience).context("error computing how long to wait")?;
        let mut polled = [PollFd::new(&output, PollFlags::IN)];
        if poll(&mut polled, Some(&wait)).context("error waiting for WLCS")? == 0 {
            return Ok(current.map_or(End::Done, |test| End::In(test, Outcome::Hung)));
        }
        let mut bytes = [0; 8192];
        let count = output.read(&mut bytes).context("error reading what WLCS prints")?;
        if count == 0 {
            return Ok(current.map_or(End::Done, |test| End::In(test, Outcome::Crashed)));
        }
        let bytes = bytes.get(..count).unwrap_or_default();
        std::io::Write::write_all(log, bytes).context("error writing the log")?;
        rest.extend_from_slice(bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            match read(&String::from_utf8_lossy(&line)) {
                Some(Line::Begins(test)) => current = Some(test.to_owned()),
                Some(Line::Ends(test, outcome)) => {
                    results.insert(test.to_owned(), outcome);
                    current = None;
                }
                None => {}
            }
        }
    }
}

/// Ends a process and what it started.
fn end(child: &mut Child) {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = id {
        // Fails only if all of them have ended.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

/// Reads the list of the tests: a class a line, and its tests indented below. Those that are switched off are left out.
fn listed(text: &str) -> BTreeSet<String> {
    let mut class = "";
    let mut tests = BTreeSet::new();
    for line in text.lines() {
        let word = line.split_whitespace().next().unwrap_or_default();
        if word.starts_with("DISABLED_") {
            continue;
        }
        if line.starts_with(' ') {
            tests.insert(format!("{class}{word}"));
        } else {
            class = word;
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_listed_with_their_classes() {
        let text =
            "A.\n  one\n  DISABLED_none\n  two\nX/B.  # TypeParam = int\n  three/0  # GetParam() = xdg\n";
        let wanted = ["A.one", "A.two", "X/B.three/0"].map(str::to_owned);
        assert_eq!(listed(text), BTreeSet::from(wanted));
    }
}
