//! The programs between an application in a VM and the compositor.

pub mod connection;
pub mod forward;
pub mod gate;
pub mod hub;
pub mod introduction;
pub mod jail;
pub mod logging;
pub mod message_count;
mod open_files;
pub mod rate;
