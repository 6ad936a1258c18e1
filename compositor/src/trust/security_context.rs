//! How a connection becomes a VM's: through a security context that the gate made.
//!
//! The gate's own connection is the one end of a socket pair that the compositor inserted itself, so nobody
//! can pose as the gate. It names a VM by `sandbox_engine = "vitrail"` and `app_id` = the VM's name; what the
//! context says is checked when a client connects through it, so that a reloaded configuration counts at
//! once.

use std::os::unix::net::UnixStream;

use smithay::wayland::security_context::SecurityContext;
use vitrail_protocols::{VmName, VmNameError};

use super::client::Privilege;
use super::origin::Origin;
use crate::state::State;

/// The engine that contexts of the gate carry.
pub const ENGINE: &str = "vitrail";

/// Why a security context names no VM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// Its engine is not the gate's.
    #[error("The sandbox engine is not {ENGINE:?}")]
    Engine,
    /// It has no application id.
    #[error("The context names no VM")]
    Unnamed,
    /// Its application id is not the name of a VM.
    #[error("The context's application id is not the name of a VM")]
    Name(#[source] VmNameError),
}

/// The origin that a security context stands for.
///
/// # Errors
///
/// If it is none of the gate's, or names no VM.
pub fn origin(context: &SecurityContext) -> Result<Origin, ContextError> {
    if context.sandbox_engine.as_deref() != Some(ENGINE) {
        return Err(ContextError::Engine);
    }
    let name = context.app_id.as_deref().ok_or(ContextError::Unnamed)?;
    name.parse::<VmName>().map(Origin::Vm).map_err(ContextError::Name)
}

impl State {
    /// Lets a client in that connected through a VM's security context, if the VM is configured.
    pub fn accept_vm(&mut self, stream: UnixStream, origin: &Origin) {
        if self.comp.config.current().style(origin).is_none() {
            if self.comp.members.refusals.allow() {
                tracing::warn!(vm = %origin, "connection refused: the VM is not configured");
            }
            return;
        }
        if let Err(error) = self.accept(stream, origin.clone(), Privilege::Ordinary)
            && self.comp.members.refusals.allow()
        {
            tracing::warn!(vm = %origin, "connection refused: {error}");
        }
    }
}
