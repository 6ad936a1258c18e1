//! Saying that a test was left out, where people see it.
//!
//! What a test that passes has printed with `println!` or `eprintln!` libtest keeps to itself, so this writes to the standard
//! error of the process. What is left out because of the machine also goes to the end of the file that [`VARIABLE`] names,
//! out of which `cargo xtask test` repeats it when all tests have run.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

/// Names the file. `cargo xtask test` sets it.
pub const VARIABLE: &str = "VITRAIL_LEFT_OUT";

/// Says something once, although many tests may have the same to say. False if it was said before.
pub fn say(text: &str) -> bool {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.insert(text.to_owned()) {
        return false;
    }
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "{text}");
    true
}

/// Says that tests are skipped, and why.
///
/// # Panics
///
/// The file that is asked for cannot be written.
pub fn left_out(what: &str, reason: &str) {
    let text = format!("{what} are skipped: {reason}");
    if say(&text)
        && let Some(path) = std::env::var_os(VARIABLE)
    {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the file for this");
        // In one piece, as other tests write too.
        file.write_all(format!("{text}\n").as_bytes()).expect("written");
    }
}
