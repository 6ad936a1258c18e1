//! `vitrailctl watch`: a line for every change, for bars and scripts.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use vitrail::ipc::client::Client;
use vitrail::ipc::protocol::{Request, VmList};
use vitrail::ipc::waybar::Module;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The VMs with their windows.
    Vms,
    /// A custom module of waybar.
    Waybar,
}

/// Prints a line at once, and one for every change, until nobody reads them any more or the compositor ends. Between two
/// changes it sleeps.
pub fn run(client: &mut Client, form: Form) -> Result<ExitCode> {
    let mut known = 0;
    let mut last = String::new();
    loop {
        let list: VmList = client.wait(&Request::WaitVms { generation: known })?;
        known = list.generation;
        let line = match form {
            Form::Vms => serde_json::to_string(&list.vms),
            Form::Waybar => serde_json::to_string(&Module::from(&list)),
        };
        let mut line = line.context("error writing JSON")?;
        line.push('\n');
        if line == last {
            continue;
        }
        let mut output = io::stdout().lock();
        match output.write_all(line.as_bytes()).and_then(|()| output.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            result => result.context("error writing the line")?,
        }
        last = line;
    }
}
