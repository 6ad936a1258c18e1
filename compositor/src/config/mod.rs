//! The configuration.

use std::collections::BTreeMap;

use vitrail_protocols::{Limits, VmName};

use crate::trust::origin::Origin;

/// How an origin is labelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelStyle {
    /// The text of the chip.
    pub label: String,
    /// The colour of the frame: red, green, blue.
    pub color: [u8; 3],
}

/// The gate that the compositor starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateConfig {
    /// Program and leading arguments.
    pub command: Vec<String>,
}

/// What the configuration says of one VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmConfig {
    /// How its windows are labelled.
    pub style: LabelStyle,
    /// What it may use.
    pub limits: Limits,
}

/// A configuration that was read and found valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How the GUI VM's own windows are labelled.
    pub local: LabelStyle,
    /// The VMs that are let in.
    pub vms: BTreeMap<VmName, VmConfig>,
    /// The gate to start; none: no gate is started.
    pub gate: Option<GateConfig>,
}

impl Config {
    /// The label of an origin; `None` for a VM that is not configured.
    #[must_use]
    pub fn style(&self, origin: &Origin) -> Option<&LabelStyle> {
        match origin {
            Origin::Local => Some(&self.local),
            Origin::Vm(name) => self.vms.get(name).map(|vm| &vm.style),
        }
    }

    /// The limits of an origin. The GUI VM's own clients are held to the defaults.
    #[must_use]
    pub fn limits(&self, origin: &Origin) -> Limits {
        match origin {
            Origin::Local => Limits::default(),
            Origin::Vm(name) => self.vms.get(name).map(|vm| vm.limits.clone()).unwrap_or_default(),
        }
    }
}
