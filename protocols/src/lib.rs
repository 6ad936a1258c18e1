//! What the programs of Vitrail share without depending on each other: the table of known Wayland globals
//! ([`globals`]) and what one VM sees of them ([`policy`]), the limits a VM is held to ([`limits`]), the name of a VM
//! ([`vm_name`]) and the report of a gate worker ([`report`]). Only data and pure functions; nothing here does input or output.

#![forbid(unsafe_code)]

pub mod globals;
pub mod limits;
pub mod policy;
pub mod report;
pub mod vm_name;

pub use limits::Limits;
pub use policy::Policy;
pub use report::WorkerReport;
pub use vm_name::{VmName, VmNameError};
