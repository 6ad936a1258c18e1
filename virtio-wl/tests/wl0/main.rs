//! The backend for the virtio_wl device: its real code, in a child process for which this one plays the driver.
//!
//! What every transport has in common is in the conformance suite. Here is what is peculiar to the device: what becomes of
//! descriptors, how connections end without a half-close, and what the driver may answer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod connection;
mod descriptors;
#[path = "../virtio_wl_driver/mod.rs"]
mod driver;
mod ends;
mod faults;
mod left_out;
mod memory;
mod names;
mod pump;
