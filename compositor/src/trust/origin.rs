//! Where a connection comes from: the one fact that every label and every rule is derived from.

use std::fmt;

use vitrail_protocols::VmName;

/// The origin of a client, fixed when its connection is accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A program of the GUI VM itself, connected to the compositor's ordinary socket.
    Local,
    /// A program of an app VM, connected through a security context that the gate made for that VM.
    Vm(VmName),
}

impl Origin {
    /// The name under which the origin is shown and configured; `local` can be no VM's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Local => "local",
            Self::Vm(name) => name.as_str(),
        }
    }

    /// Whether this is an app VM, which is trusted with nothing.
    #[must_use]
    pub fn is_vm(&self) -> bool {
        matches!(self, Self::Vm(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
