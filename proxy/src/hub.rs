//! The hub: says which VM is calling, and joins the VM's stream to the gate.
//!
//! It runs on the host and has two kinds of processes. The [`supervisor`] owns the listening sockets, one per VM:
//! which of them was called *is* the identity of the caller, so there is nothing a VM could say to be taken for
//! another. It reads the 32 bytes of the stream's hello and not one more, decides, connects to the gate, and sends
//! an [`Introduction`](crate::introduction::Introduction) and the hello. Then it hands both ends to the
//! [`relay`] of that VM, a jailed process that moves bytes without looking at them, and forgets them.
//!
//! What follows from this:
//!
//! * A supervisor that is killed or restarted takes no live connection with it: relays serve what they have until
//!   it ends, and end themselves then. The new supervisor starts new relays.
//! * A relay that dies is one VM's loss. Its next connection is served by a new one.
//! * No VM can make the hub hold more than a bounded amount of anything: hellos that are being waited for, live
//!   connections, bytes per connection (the kernel's socket buffers and one pipe per direction) and log lines.

pub mod config;
mod control;
mod decision;
mod listener;
mod poller;
mod region;
pub mod relay;
mod relay_process;
mod signals;
pub mod supervisor;
