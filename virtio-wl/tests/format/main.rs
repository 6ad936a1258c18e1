//! The stream format against its specification, `docs/wire.md`.
//!
//! The harnesses of the fuzz targets have a second implementation of the page. Here it judges the inputs that are checked
//! in ([`corpus`]), generated frames ([`properties`]), and the page itself is held to its examples ([`document`]).

use std::sync::{Mutex, MutexGuard, PoisonError};

mod corpus;
mod document;
#[path = "../../fuzz/src/lib.rs"]
mod harness;
mod properties;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Tests that make descriptors run one at a time, because some of them count those of the process.
fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}
