//! Unmodified applications of Debian through the whole chain: [`table`] says what is done to each, [`run()`] does it.
//!
//! The light ones are tests (`tests/applications.rs`). `cargo xtask apps` runs all of them, each by one run of the
//! program `vitrail-application`.

mod logs;
mod run;
pub mod table;

pub use run::run;
