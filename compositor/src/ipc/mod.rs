//! The control socket: how `vitrailctl` and tests look into a running compositor.
//!
//! # Model
//!
//! A Unix stream socket that the session's user alone can reach. A request is one line of JSON
//! ([`protocol::Request`]), its answer is one line of JSON: `{"ok":…}` or `{"error":"…"}`. A client gets its
//! answers in the order of its requests, and its next request is looked at when the answer before has been
//! taken; nothing is ever queued for a client but one answer. [`server`] moves lines and knows nothing of
//! windows, [`handle`] answers requests from the compositor's state, [`client`] is the other end.
//!
//! # Invariants
//!
//! * Only the user that the compositor runs as, and root, are served: the socket has mode 0600, and the
//!   peer's credentials are checked as well.
//! * Lines, clients and answers are bounded, and nothing here ever blocks the compositor.

pub mod client;
pub mod clipboard;
pub mod handle;
pub mod keys;
pub mod outputs;
pub mod picture;
pub mod play;
pub mod protocol;
pub mod server;
pub mod table;
pub mod waybar;
pub mod why;
