//! Short commands that tell others of the session, run one after the other.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::Session;

/// How long a command may run.
const PATIENCE: Duration = Duration::from_secs(10);

impl Session {
    /// Runs the next command that can be started, if there is one.
    pub(super) fn next_command(&mut self) {
        while let Some(words) = self.commands.pop_front() {
            let Some((program, arguments)) = words.split_first() else { continue };
            let name = words.join(" ");
            let mut command = Command::new(program);
            command.args(arguments);
            if let Some(display) = &self.display {
                display.give_to(&mut command);
            }
            match self.start(&name, &mut command) {
                Ok(child) => {
                    let late = self.arm(PATIENCE, |session| {
                        if let Some((child, _)) = &session.command {
                            tracing::warn!("`{}` does not end, so it is killed", child.name);
                            child.signal_group(Signal::KILL);
                        }
                    });
                    self.command = Some((child, late));
                    return;
                }
                Err(error) => tracing::warn!("error running `{name}`: {error}"),
            }
        }
        self.commands_done();
    }

    pub(super) fn command_ended(&mut self) {
        let Some((child, late)) = self.command.take() else { return };
        self.disarm(late);
        let name = child.name.clone();
        match child.finish() {
            Ok(status) if status.success() => tracing::debug!("`{name}` was run"),
            Ok(status) => tracing::warn!("`{name}` has failed: {status}"),
            Err(error) => tracing::warn!("error learning how `{name}` has ended: {error}"),
        }
        self.next_command();
    }

    /// Runs no more commands, and ends the one that runs.
    pub(super) fn stop_commands(&mut self) {
        self.commands.clear();
        if let Some((child, late)) = self.command.take() {
            self.disarm(late);
            // What it would have told is told no more.
            let _ = child.finish();
        }
    }
}
