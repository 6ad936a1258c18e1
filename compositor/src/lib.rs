//! Vitrail: a Wayland compositor that puts the windows of many virtual machines on one screen, each in the
//! colour of the machine it came from.
//!
//! # Model
//!
//! One thread owns everything: a calloop event loop drives [`state::State`], which is split into the
//! [`backend`] (where pixels go and input comes from) and [`state::Comp`] (everything that is independent of
//! the backend). Protocol handlers ([`handlers`]) are thin: they translate requests into changes of the
//! model in [`shell`], which knows windows, their stacking and the focus but no Wayland. [`render`] derives
//! a scene from the model for each frame; [`trust`] says who a client is and what it may use.
//!
//! # Invariants
//!
//! * A window's label is computed from the identity of its connection whenever it is drawn; nothing a client
//!   sends takes part in that. What cannot be labelled is not drawn.
//! * Everything a client can make grow is bounded, and crossing a bound ends that client alone.
//! * The process sleeps when nothing happens: timers are armed only while something is waiting for them.

pub mod backend;
pub mod config;
pub mod crash;
pub mod gate;
pub mod handlers;
pub mod input;
pub mod ipc;
pub mod overview;
pub mod ready;
pub mod remembered;
pub mod render;
pub mod session;
pub mod shell;
pub mod state;
pub mod trust;

pub use state::{Comp, State};
