//! `[session]`: what `vitrail-session` starts beside the compositor, and how often it starts the compositor again.

use serde::Deserialize;
use toml::Spanned;

use super::document::Mistake;

/// How many programs a session may start.
const MAX_PROGRAMS: usize = 64;
/// The longest time in which crashes are counted, in seconds: a day.
const MAX_SECONDS: u32 = 86400;
/// The highest number of crashes that are counted.
const MAX_RESTARTS: u32 = 1000;

/// What `vitrail-session` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// The programs to start once the compositor is ready: each a program and its arguments.
    pub start: Vec<Vec<String>>,
    /// The program that locks the session, started when the compositor has crashed while the session was locked.
    pub lock: Option<Vec<String>>,
    /// How often the compositor is started again within [`SessionConfig::restart_seconds`].
    pub restarts: u32,
    /// For how long a crash is counted, in seconds.
    pub restart_seconds: u32,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { start: Vec::new(), lock: None, restarts: 5, restart_seconds: 60 }
    }
}

/// The table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Session {
    start: Option<Spanned<Vec<Spanned<Vec<String>>>>>,
    lock: Option<Spanned<Vec<String>>>,
    restarts: Option<Spanned<u32>>,
    restart_seconds: Option<Spanned<u32>>,
}

impl Session {
    /// Checks what the types alone do not say.
    pub(super) fn check(&self) -> Result<SessionConfig, Mistake> {
        let defaults = SessionConfig::default();
        let mut start = Vec::new();
        if let Some(programs) = &self.start {
            if programs.get_ref().len() > MAX_PROGRAMS {
                return Err(Mistake::at(
                    programs,
                    format!("A session starts at most {MAX_PROGRAMS} programs"),
                ));
            }
            for program in programs.get_ref() {
                start.push(check_program(program)?);
            }
        }
        let lock = self.lock.as_ref().map(check_program).transpose()?;
        let restarts = match &self.restarts {
            Some(restarts) if *restarts.get_ref() > MAX_RESTARTS => {
                return Err(Mistake::at(restarts, format!("restarts is at most {MAX_RESTARTS}")));
            }
            Some(restarts) => *restarts.get_ref(),
            None => defaults.restarts,
        };
        let restart_seconds = match &self.restart_seconds {
            Some(seconds) if !(1..=MAX_SECONDS).contains(seconds.get_ref()) => {
                return Err(Mistake::at(seconds, format!("restart_seconds is 1 to {MAX_SECONDS}")));
            }
            Some(seconds) => *seconds.get_ref(),
            None => defaults.restart_seconds,
        };
        Ok(SessionConfig { start, lock, restarts, restart_seconds })
    }
}

/// A program is a name to be found in PATH or an absolute path: what else it could mean depends on where the session was
/// started, and no shell reads it.
fn check_program(command: &Spanned<Vec<String>>) -> Result<Vec<String>, Mistake> {
    let words = command.get_ref();
    let Some(program) = words.first().filter(|program| !program.is_empty()) else {
        return Err(Mistake::at(command, "A command needs a program"));
    };
    if program.contains('/') && !program.starts_with('/') {
        let message = "A program is a name, which is looked for in PATH, or a path that begins with /";
        return Err(Mistake::at(command, message));
    }
    if program.starts_with('~') || program.starts_with('$') || (words.len() == 1 && program.contains(' ')) {
        let message = "No shell reads this: write [\"PROGRAM\", \"ARGUMENT\", …], or [\"sh\", \"-c\", \"…\"]";
        return Err(Mistake::at(command, message));
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err(Mistake::at(command, "A command has no NUL characters"));
    }
    Ok(words.clone())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, ConfigError};

    fn session(text: &str) -> Result<SessionConfig, ConfigError> {
        Config::parse(Path::new("vitrail.toml"), text).map(|config| config.session)
    }

    #[track_caller]
    fn refused(text: &str) -> String {
        session(text).unwrap_err().one_line()
    }

    #[test]
    fn a_file_without_the_table_starts_nothing_and_restarts_five_times_a_minute() {
        let expected = SessionConfig { start: vec![], lock: None, restarts: 5, restart_seconds: 60 };
        assert_eq!(session("").unwrap(), expected);
    }

    #[test]
    fn programs_keep_their_order_and_their_arguments() {
        let read = session(
            "[session]\nstart = [[\"b\", \"--x y\"], [\"/usr/bin/a\"]]\nlock = [\"swaylock\"]\nrestarts = 0\nrestart_seconds = 7",
        );
        let expected = SessionConfig {
            start: vec![vec!["b".to_owned(), "--x y".to_owned()], vec!["/usr/bin/a".to_owned()]],
            lock: Some(vec!["swaylock".to_owned()]),
            restarts: 0,
            restart_seconds: 7,
        };
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn a_command_that_could_mean_several_things_is_refused_where_it_stands() {
        assert!(
            refused("[session]\nstart = [[\"a\"],\n[]]")
                .starts_with("vitrail.toml:3: A command needs a program")
        );
        assert!(refused("[session]\nstart = [[\"\"]]").contains("needs a program"));
        assert!(refused("[session]\nstart = [[\"bin/a\"]]").contains("begins with /"));
        assert!(refused("[session]\nstart = [[\"waybar -c x\"]]").contains("No shell"));
        assert!(refused("[session]\nstart = [[\"$HOME\"]]").contains("No shell"));
        assert!(refused("[session]\nstart = [[\"a\", \"\\u0000\"]]").contains("NUL"));
        assert!(refused("[session]\nstart = [\"waybar\"]").starts_with("vitrail.toml:2:"));
    }

    #[test]
    fn restarts_are_counted_over_a_time() {
        assert!(
            refused("[session]\nrestart_seconds = 0").starts_with("vitrail.toml:2: restart_seconds is 1")
        );
        assert!(refused("[session]\nrestarts = 1001").contains("at most 1000"));
        assert!(refused("[session]\nrestart = 3").starts_with("vitrail.toml:2: "));
    }

    #[test]
    fn programs_are_bounded() {
        let programs = "[\"a\"],".repeat(MAX_PROGRAMS);
        session(&format!("[session]\nstart = [{programs}]")).unwrap();
        assert!(refused(&format!("[session]\nstart = [{programs} [\"a\"]]")).contains("at most 64"));
    }
}
