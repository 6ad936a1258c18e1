//! Sockets that carry file descriptors between virtual machines.
//!
//! A [`Socket`] turns any byte stream between two machines into something that behaves like an `AF_UNIX`
//! stream socket: ordered bytes with file descriptors attached to them, half-close, polling. What crosses is
//! not the descriptor but what it stands for, as a *VFD*: memory of a [`Region`] that both
//! sides have mapped, a copy of memory, a pipe or a socket. The stream format is specified in `docs/wire.md`.
//!
//! A [`Pump`] joins a local Unix socket to such a socket for programs that know only Unix sockets.
//!
//! Nothing here blocks, sleeps or starts a thread, and an idle connection causes no wake-up. Whatever the
//! peer can make this side hold is bounded by [`StreamLimits`].
//!
//! Writing to a pipe whose reader is gone raises SIGPIPE. A process that uses this crate must ignore that signal, as
//! Rust's runtime does before `main`.

pub mod address;
pub mod allocator;
mod framed;
pub mod listener;
pub mod mirror;
mod pipe;
mod poll;
pub mod pump;
pub mod region;
pub mod socket;
pub mod trim;
pub mod unix;
pub mod vfd;
pub mod wire;
pub mod wl0;

pub use address::Address;
pub use allocator::{Allocator, Slot};
pub use listener::{Accepted, Listener, Peer};
pub use mirror::MirrorBudget;
pub use pump::{Endpoint, Pump, PumpOptions};
pub use region::Region;
pub use socket::{ConnectError, Socket, SocketError, SocketOptions, StreamLimits};
pub use vfd::{ReceivedFd, ReceivedKind};
pub use wire::{Purpose, Role};
