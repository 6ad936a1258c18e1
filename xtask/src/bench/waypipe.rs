//! waypipe, for comparison: two ends, with or without a plain relay between them, as it is used between VMs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use crate::debian::{self, Apt};

/// The suite with the newest waypipe that Debian offers.
const SUITE: &str = "sid";
/// What is compared, and the relay.
const PACKAGES: &[&str] = &["waypipe", "socat"];

/// The unpacked packages.
#[derive(Debug)]
pub struct Waypipe {
    root: PathBuf,
    version: String,
}

impl Waypipe {
    /// waypipe below `folder`, fetched if it is not there.
    ///
    /// # Errors
    /// When this machine is no Debian, or a package cannot be fetched or unpacked.
    pub fn get(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("error creating {}", folder.display()))?;
        let lock = File::create(folder.join("lock")).context("error creating the lock of the packages")?;
        flock(&lock, FlockOperation::LockExclusive).context("error locking the packages")?;
        let (root, stamp) = (folder.join(SUITE), folder.join("packages.txt"));
        let wanted = PACKAGES.join(" ");
        if fs::read_to_string(&stamp).unwrap_or_default().lines().next() != Some(&wanted) {
            debian::remove(&root)?;
            fs::create_dir(&root).with_context(|| format!("error creating {}", root.display()))?;
            let versions = Apt::prepare(&folder.join("apt"), SUITE)?.unpack(PACKAGES, &root)?;
            fs::write(&stamp, format!("{wanted}\n{}\n", versions.join("\n")))
                .with_context(|| format!("error writing {}", stamp.display()))?;
        }
        let versions = fs::read_to_string(&stamp).context("error reading the versions of the packages")?;
        let version = versions.lines().find(|line| line.starts_with("waypipe_"));
        Ok(Self { root, version: version.unwrap_or("waypipe").to_owned() })
    }

    /// What was compared with.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Both ends refuse everything but one connection: else they would start themselves anew for each one, which does
    /// not work with another release's libraries. What they do for a connection is the same.
    fn end(&self, socket: &Path) -> Command {
        let mut command = debian::program(&self.root, "usr/bin/waypipe");
        command.args(["--compress", "none", "--no-gpu", "--oneshot", "--socket"]).arg(socket);
        command
    }

    /// The end at the compositor, which listens at `socket`.
    pub fn client(&self, socket: &Path, display: &Path) -> Command {
        let mut command = self.end(socket);
        command.arg("client").env("WAYLAND_DISPLAY", display);
        command
    }

    /// The end at the application, which it starts.
    pub fn server(&self, socket: &Path, application: &Command) -> Command {
        let mut command = self.end(socket);
        command.args(["server", "--"]).arg(application.get_program()).args(application.get_args());
        command
    }

    /// The relay between the two.
    pub fn relay(&self, from: &Path, to: &Path) -> Command {
        let mut command = debian::program(&self.root, "usr/bin/socat");
        command.arg(format!("UNIX-LISTEN:{}", from.display())).arg(format!("UNIX-CONNECT:{}", to.display()));
        command
    }
}
