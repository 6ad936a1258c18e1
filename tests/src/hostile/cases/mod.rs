//! The cases, by what they attack.

use super::Case;

mod capture;
mod globals;
mod input;
mod labels;
mod limits;
mod popups;
mod titles;
mod transfer;

/// All tables.
pub const TABLES: &[&[Case]] = &[
    labels::CASES,
    popups::CASES,
    titles::CASES,
    input::CASES,
    transfer::CASES,
    limits::CASES,
    globals::CASES,
    capture::CASES,
];
