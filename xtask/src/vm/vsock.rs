//! The host's end of a guest's vsock: one vhost-device-vsock process per guest, so that the AF_VSOCK of the host,
//! which may belong to its management, is never touched.
//!
//! The guest's streams become Unix sockets: what connects to `uds` and says `CONNECT PORT` reaches a listener in the
//! guest; when the guest connects to port P of the host, that arrives at the socket file `uds_P`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::processes::Processes;
use crate::setup;

const READY_DEADLINE: Duration = Duration::from_secs(20);

/// A running backend.
#[derive(Debug)]
pub struct Backend {
    /// Where the virtual machine monitor connects.
    pub socket: PathBuf,
    /// Where programs of the host connect.
    pub uds: PathBuf,
}

impl Backend {
    /// Starts the backend of the guest `name`, which sees itself as `cid`. The folder must have a short path.
    ///
    /// # Errors
    /// When the program cannot be installed or started.
    pub fn start(
        processes: &mut Processes,
        name: &str,
        cid: u32,
        folder: &Path,
        logs: &Path,
    ) -> Result<Self> {
        let socket = folder.join(format!("{name}.vhost"));
        let uds = folder.join(format!("{name}.vsock"));
        let mut command = Command::new(program()?);
        let vm = format!("guest-cid={cid},socket={},uds-path={}", socket.display(), uds.display());
        command.args(["--vm", &vm]);
        processes.start(&format!("{name}-vsock"), command, logs)?;
        processes.wait_for_path(&socket, READY_DEADLINE)?;
        Ok(Self { socket, uds })
    }
}

/// The program, built and installed below target/ if it is not there.
///
/// # Errors
/// When it cannot be installed.
pub fn program() -> Result<PathBuf> {
    setup::cargo_tool("vhost-device-vsock")
}
