//! What is logged when the program panics: where, why, and by which calls it came there.
//!
//! A panic's message may hold what a VM sent, so it is escaped and cut like everything else in the log that is not ours.
//! The backtrace is taken whether `RUST_BACKTRACE` is set or not: a crash that cannot be repeated is understood from its log
//! or not at all. A signal such as SIGSEGV leaves no log in the process; how it ended is logged by `vitrail-session`.

use std::backtrace::Backtrace;
use std::panic::{self, PanicHookInfo};

/// The most of a panic's message that is logged, in bytes before it is escaped.
const MAX_MESSAGE: usize = 1024;

/// Logs every panic of the process from now on, in the place of what the standard library would write.
pub fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        tracing::error!(
            "the program has crashed: {} at {} in thread {}\n{}",
            message(info),
            info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string),
            thread.name().unwrap_or("without a name"),
            Backtrace::force_capture()
        );
    }));
}

/// The message of a panic, escaped and bounded.
fn message(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    escaped(text.unwrap_or("a panic without a message"))
}

fn escaped(text: &str) -> String {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().escape_debug().collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set in the process that is to panic.
    const PANICS: &str = "VITRAIL_TEST_PANICS";

    /// A panic takes the whole test down, so that it is made in a process of its own: this test again.
    #[test]
    fn a_panic_is_logged_with_its_place_and_the_calls_that_led_there() {
        if std::env::var_os(PANICS).is_some() {
            tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
            log_panics();
            panic!("a title of \u{1b}[2Ja VM");
        }
        let name = std::thread::current().name().unwrap().to_owned();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([&name, "--exact", "--nocapture", "--test-threads=1"]).env(PANICS, "1");
        let output = command.env_remove("RUST_BACKTRACE").output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{log}");
        assert!(log.contains("ERROR") && log.contains("the program has crashed"), "{log}");
        assert!(log.contains("a title of \\u{1b}[2Ja VM at "), "{log}");
        assert!(log.contains("src/crash.rs:"), "{log}");
        // The backtrace names the function that panicked.
        assert!(log.contains("a_panic_is_logged_with_its_place"), "{log}");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = format!("{}ß", "x".repeat(MAX_MESSAGE - 1));
        assert_eq!(escaped(&text), "x".repeat(MAX_MESSAGE - 1));
        assert_eq!(escaped("a\nb"), "a\\nb");
    }
}
