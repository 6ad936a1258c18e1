//! vitrail-gate: the last program before the compositor that reads a VM's bytes.
//!
//! Its supervisor takes streams from the hub, which says whose they are, and starts one worker process per VM. A
//! worker parses every message of its VM, refuses what is not allowed or would hurt the compositor, and
//! writes the rest anew. A request that breaks a rule ends its own connection with a protocol error and touches
//! nothing else.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ledger`], [`breaches`], [`meter`], [`tree`], [`memory`], [`coverage`], [`geometry`] | the rules, without any Wayland in them |
//! | `registry`, `surfaces`, `shm`, `xdg`, `transfer`, `capture`, `input`, `text_input` | where the rules meet requests |
//! | [`guard`], `served` | one connection: what its handlers share, what is measured around it |
//! | [`worker`] | all connections of one VM |
//! | [`supervisor`], [`introductions`], [`regions`], [`context`], [`fleet`] | who is calling, with which memory and identity, and the worker for it |
//! | [`control`], [`report`], [`signals`], [`config`], [`cli`] | how the parts and people talk to each other |

pub mod breaches;
mod capture;
pub mod cli;
pub mod config;
pub mod context;
pub mod control;
pub mod coverage;
pub mod fleet;
pub mod geometry;
pub mod guard;
mod input;
pub mod introductions;
pub mod ledger;
pub mod memory;
pub mod meter;
pub mod regions;
mod registry;
pub mod report;
mod served;
mod shm;
pub mod signals;
pub mod supervisor;
mod surfaces;
mod text_input;
mod transfer;
pub mod tree;
pub mod worker;
mod xdg;

pub use registry::{NO_SUCH_GLOBAL, protect};
