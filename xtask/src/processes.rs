//! The programs that a command runs: each in a process group of its own, with a log file, ended together.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How long the programs may take to end when asked to, before they are killed.
const END_DEADLINE: Duration = Duration::from_secs(5);
/// How long they have after Ctrl+C.
const INTERRUPT_PATIENCE: Duration = Duration::from_millis(500);
/// How often a condition that has no event of its own is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// What Ctrl+C does: only one handler can be installed.
static ON_INTERRUPT: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);
static INSTALLED: Once = Once::new();

/// Everything that was started, in that order.
#[derive(Debug, Default)]
pub struct Processes {
    running: Vec<Process>,
    groups: Arc<Mutex<Vec<Pid>>>,
}

#[derive(Debug)]
struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Processes {
    /// Starts a program with its output in the file `NAME.log` of the folder `logs`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, name: &str, mut command: Command, logs: &Path) -> Result<()> {
        let log = logs.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("error creating {}", log.display()))?;
        let errors = output.try_clone().context("error duplicating the log's descriptor")?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child = command.spawn().with_context(|| format!("error starting {name}"))?;
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).extend(group(&child));
        self.running.push(Process { name: name.to_owned(), child, log });
        Ok(())
    }

    /// The process that was started under this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn id(&self, name: &str) -> Result<u32> {
        let process = self.running.iter().find(|process| process.name == name);
        process.map(|process| process.child.id()).with_context(|| format!("no process is called {name}"))
    }

    /// Makes Ctrl+C and SIGTERM end everything and then call `clean`: the programs are in process groups of their
    /// own, which the terminal does not signal. What was to be done before is replaced.
    ///
    /// # Errors
    /// When the handler cannot be installed.
    pub fn end_on_interrupt(&self, clean: impl Fn() + Send + 'static) -> Result<()> {
        let groups = Arc::clone(&self.groups);
        let end = move || {
            let groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
            for which in [Signal::TERM, Signal::KILL] {
                for &group in groups.iter().rev() {
                    let _ = kill_process_group(group, which);
                }
                std::thread::sleep(INTERRUPT_PATIENCE);
            }
            clean();
            std::process::exit(130);
        };
        *ON_INTERRUPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(end));
        let mut installed = Ok(());
        INSTALLED.call_once(|| {
            installed = ctrlc::set_handler(|| {
                if let Some(end) = &*ON_INTERRUPT.lock().unwrap_or_else(PoisonError::into_inner) {
                    end();
                }
            });
        });
        installed.context("error installing the handler of Ctrl+C")
    }

    /// Waits until a socket exists, or a program ended.
    ///
    /// # Errors
    /// When a program ended or the time is over.
    pub fn wait_for_path(&mut self, path: &Path, deadline: Duration) -> Result<()> {
        let start = Instant::now();
        while !path.exists() {
            self.check_alive()?;
            if start.elapsed() > deadline {
                bail!("{} did not appear within {} s", path.display(), deadline.as_secs());
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// # Errors
    /// When a program has ended that should still run.
    pub fn check_alive(&mut self) -> Result<()> {
        for process in &mut self.running {
            if let Some(status) = process.child.try_wait().context("error waiting for a program")? {
                bail!("{} ended early ({status})", process.name);
            }
        }
        Ok(())
    }

    /// The end of every log, for a failed run.
    pub fn print_logs(&self) {
        for process in &self.running {
            let text = std::fs::read_to_string(&process.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let shown = lines.len().saturating_sub(25);
            eprintln!("--- {} ---", process.name);
            for line in lines.iter().skip(shown) {
                eprintln!("{}", line.escape_debug());
            }
        }
    }

    /// Ends every program, the newest first, and waits for it.
    pub fn end(&mut self) {
        for process in self.running.iter().rev() {
            signal(&process.child, Signal::TERM);
        }
        let start = Instant::now();
        for process in self.running.iter_mut().rev() {
            while matches!(process.child.try_wait(), Ok(None)) && start.elapsed() < END_DEADLINE {
                std::thread::sleep(GLANCE);
            }
        }
        for process in &mut self.running {
            signal(&process.child, Signal::KILL);
            let _ = process.child.wait();
        }
        self.running.clear();
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.end();
    }
}

/// The process group that a child leads.
fn group(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Signals the whole group; that it is already gone is no error.
fn signal(child: &Child, signal: Signal) {
    if let Some(group) = group(child) {
        let _ = kill_process_group(group, signal);
    }
}
