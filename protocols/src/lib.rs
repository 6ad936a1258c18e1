//! What the programs of Vitrail share without depending on each other: the table of known Wayland globals
//! ([`globals`]) and what one VM sees of them ([`policy`]), the limits a VM is held to ([`limits`]), the guards that are tried ([`guard`]), the name of a VM
//! ([`vm_name`]), the report of a gate worker ([`report`]) and Vitrail's own protocol ([`vitrail_vm`]). Only data and pure
//! functions; nothing here does input or output.

// Not `forbid`: what is made from the protocol's document may.
#![deny(unsafe_code)]

pub mod globals;
pub mod guard;
pub mod limits;
pub mod policy;
pub mod report;
pub mod vitrail_vm;
pub mod vm_name;

pub use guard::Guard;
pub use limits::Limits;
pub use policy::Policy;
pub use report::WorkerReport;
pub use vm_name::{VmName, VmNameError};
