//! waypipe, for comparison: two ends, with or without a plain relay between them, as it is used between VMs.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::debian::Unpacked;

/// The suite with the newest waypipe that Debian offers.
const SUITE: &str = "sid";
/// What is compared, and the relay.
const PACKAGES: &[&str] = &["waypipe", "socat"];

/// The unpacked packages.
#[derive(Debug)]
pub struct Waypipe {
    packages: Unpacked,
}

impl Waypipe {
    /// waypipe below `folder`, fetched if it is not there.
    ///
    /// # Errors
    /// When this machine is no Debian, or a package cannot be fetched or unpacked.
    pub fn get(folder: &Path) -> Result<Self> {
        Ok(Self { packages: Unpacked::get(folder, SUITE, SUITE, PACKAGES)? })
    }

    /// What was compared with.
    pub fn version(&self) -> &str {
        self.packages.archive("waypipe").unwrap_or("waypipe")
    }

    /// Both ends refuse everything but one connection: else they would start themselves anew for each one, which does
    /// not work with another release's libraries. What they do for a connection is the same.
    fn end(&self, socket: &Path) -> Command {
        let mut command = self.packages.program("usr/bin/waypipe");
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
        let mut command = self.packages.program("usr/bin/socat");
        command.arg(format!("UNIX-LISTEN:{}", from.display())).arg(format!("UNIX-CONNECT:{}", to.display()));
        command
    }
}
