//! Running one step of a command: said before, timed, and its failure said with the command to repeat.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Runs `command` as the step called `name`, with its output on the terminal.
///
/// # Errors
/// When it cannot be started or does not end with status 0.
pub fn run(name: &str, command: &mut Command) -> Result<()> {
    eprintln!("==> {name}");
    let start = Instant::now();
    let status =
        command.status().with_context(|| format!("error starting {}", command.get_program().display()))?;
    if !status.success() {
        bail!("step '{name}' failed ({status}); to repeat it alone: {}", shown(command));
    }
    eprintln!("    {name}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Cargo, as the one that runs this program.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::workspace());
    command
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().display().to_string();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
