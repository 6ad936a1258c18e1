//! The two compositors: vitrail and weston, each headless, drawing in memory with pixman.
//!
//! The output is as large as it has to be for a maximised window to have the size that is measured: the size itself in
//! weston, whose desktop shell is told to have no panel and no animations, and more by the label in vitrail. (Under weston's
//! kiosk shell a window without a seat stays behind the background and gets no frames.)

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::bench::chain::{private_folder, remove_folder};
use crate::bench::cpu::Snapshot;
use crate::processes::Processes;

/// How long a compositor may take to be ready.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// What label and stripe take beside a maximised window. The client fails if it is another size.
const LABEL: (i32, i32) = (8, 56);
/// The name of each compositor's socket.
const SOCKET: &str = "wayland-bench";
/// The first release of weston that names renderers and modules as all later ones do.
const WESTON_RENAMED: u32 = 12;

/// Who draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Ours, with labels.
    Vitrail,
    /// Weston.
    Weston,
}

impl Who {
    /// Both, in the order in which they are measured.
    pub const ALL: [Self; 2] = [Self::Vitrail, Self::Weston];

    /// As bench.json has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vitrail => "vitrail",
            Self::Weston => "weston",
        }
    }
}

/// A running compositor.
#[derive(Debug)]
pub struct Server {
    /// Which one.
    pub who: Who,
    socket: PathBuf,
    process: u32,
}

impl Server {
    /// What it has used.
    ///
    /// # Errors
    /// When there is no /proc.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::of(&[self.process], &[])
    }
}

/// All compositors of a run, in one folder. Those that are not measured any more have nothing to do. They end with this value.
#[derive(Debug)]
pub struct Servers {
    programs: PathBuf,
    root: PathBuf,
    processes: Processes,
}

impl Servers {
    /// None yet. Ctrl+C ends all that are started.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(programs: &Path) -> Result<Self> {
        // A Unix socket's path has at most 107 bytes.
        let root = std::env::temp_dir().join(format!("vitrail-bench-{}", std::process::id()));
        private_folder(&root)?;
        let processes = Processes::default();
        let folder = root.clone();
        processes.end_on_interrupt(move || remove_folder(&folder))?;
        Ok(Self { programs: programs.to_owned(), root, processes })
    }

    /// Starts one for what has this name, with room for a maximised window of `size`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&mut self, who: Who, size: (i32, i32), name: &str) -> Result<Server> {
        let name = format!("{}-{name}", who.name());
        let folder = self.root.join(&name);
        private_folder(&folder)?;
        let command = match who {
            Who::Vitrail => vitrail(&self.programs, &folder, size)?,
            Who::Weston => weston(&folder, size)?,
        };
        self.processes.start(&name, command, &folder)?;
        let socket = folder.join(SOCKET);
        self.processes.wait_for_path(&socket, READY_DEADLINE)?;
        Ok(Server { who, socket, process: self.processes.id(&name)? })
    }

    /// A measuring client, not started yet, with windows of this size.
    pub fn client(&self, server: &Server, size: (i32, i32), windows: u32) -> Command {
        let mut client = Command::new(self.programs.join("vitrail-bench-client"));
        client.arg("--size").arg(format!("{}x{}", size.0, size.1));
        client.arg("--windows").arg(windows.to_string()).arg("--socket").arg(&server.socket);
        client
    }

    /// The end of every log, for a failed run.
    pub fn print_logs(&self) {
        self.processes.print_logs();
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.processes.end();
        remove_folder(&self.root);
    }
}

/// A program with nothing of the machine's own display in its environment.
fn program(path: &Path, folder: &Path) -> Command {
    let mut command = Command::new(path);
    command.env("XDG_RUNTIME_DIR", folder).env("VITRAIL_LOG", "warn");
    for name in ["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY", "VITRAIL_HUB", "VITRAIL_REGION"] {
        command.env_remove(name);
    }
    command
}

fn vitrail(programs: &Path, folder: &Path, size: (i32, i32)) -> Result<Command> {
    let config = folder.join("vitrail.toml");
    let text = "[local]\nlabel = \"bench\"\ncolor = \"#2e7d32\"\n\
                [defaults.limits]\nclients = 512\ntoplevels = 512\npools = 1024\nbuffers = 2048\n";
    std::fs::write(&config, text).with_context(|| format!("error writing {}", config.display()))?;
    let mut command = program(&programs.join("vitrail"), folder);
    command.arg("--config").arg(config).args(["--backend", "headless", "--socket", SOCKET, "--size"]);
    command.arg(format!("{}x{}", size.0 + LABEL.0, size.1 + LABEL.1));
    Ok(command)
}

fn weston(folder: &Path, size: (i32, i32)) -> Result<Command> {
    let config = folder.join("weston.ini");
    let text = "[shell]\npanel-position=none\nanimation=none\nstartup-animation=none\nclose-animation=none\n\
                focus-animation=none\nlocking=false\n[input-method]\npath=\n";
    std::fs::write(&config, text).with_context(|| format!("error writing {}", config.display()))?;
    let mut command = program(Path::new("weston"), folder);
    command.arg("--config").arg(config).args(["--idle-time=0", "--socket", SOCKET]);
    if weston_release()? < WESTON_RENAMED {
        command.args(["--backend=headless-backend.so", "--use-pixman", "--shell=desktop-shell.so"]);
    } else {
        command.args(["--backend=headless", "--renderer=pixman", "--shell=desktop"]);
    }
    command.arg(format!("--width={}", size.0)).arg(format!("--height={}", size.1));
    Ok(command)
}

/// What `weston --version` says.
///
/// # Errors
/// When it cannot be started.
pub fn weston_version() -> Result<String> {
    let output = Command::new("weston").arg("--version").output();
    let output = output
        .context("error starting weston: it is measured against, and comes with `cargo xtask setup`")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn weston_release() -> Result<u32> {
    let version = weston_version()?;
    let release = release_of(&version);
    release.with_context(|| format!("{} is no version of weston", version.escape_debug()))
}

fn release_of(version: &str) -> Option<u32> {
    version.strip_prefix("weston ")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_weston_is_read_from_its_version() {
        assert_eq!(release_of("weston 10.0.1"), Some(10));
        assert_eq!(release_of("weston 14.0.2"), Some(14));
        assert_eq!(release_of("westonia 3"), None);
    }
}
