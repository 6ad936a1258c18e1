//! Who a client is, what it may see and how much it may use.
//!
//! The identity of a connection ([`origin::Origin`]) is fixed when the connection is accepted and kept in
//! the client's data ([`client`]), where no request can reach it. A virtual machine's identity comes from
//! the security context ([`security_context`]) that the gate made for it, and from nowhere else.

pub mod arming;
pub mod budget;
pub mod client;
pub mod clipboard;
pub mod consent;
pub mod limits;
pub mod lookalike;
pub mod memory;
pub mod origin;
pub mod pace;
pub mod panel;
pub mod program;
pub mod rate;
pub mod security_context;
pub mod style;
pub mod throttle;
pub mod title;
pub mod vision;
pub mod waiting;
