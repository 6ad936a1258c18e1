//! Which globals an application sees.
//!
//! Hidden is what cannot cross between machines: memory of a graphics device, its synchronisation objects,
//! and whatever hands out such things. Captured pictures flow against the direction of the copy, which a region allows
//! ([`super::capture`]) and a stream of changed rectangles does not: without a region what captures is hidden too. What wl-proxy does not know is hidden by wl-proxy itself, and
//! versions are capped to the ones that it knows: a message that could not be parsed could not be
//! forwarded either. None of this is a matter of trust; that is decided again, and for good, by the gate.

use std::collections::{BTreeMap, HashMap};

use wl_proxy::protocols::ObjectInterface;

/// What an interface needs in order to work between machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing but the stream.
    Stream,
    /// Memory that both sides have mapped.
    Region,
    /// What does not cross.
    SameMachine,
}

/// What an interface needs in order to work between machines.
#[must_use]
pub fn needs(interface: ObjectInterface) -> Needs {
    use ObjectInterface as I;
    match interface {
        I::ExtImageCopyCaptureManagerV1
        | I::ExtOutputImageCaptureSourceManagerV1
        | I::ExtForeignToplevelImageCaptureSourceManagerV1 => Needs::Region,
        I::ZwpLinuxDmabufV1
        | I::WlDrm
        | I::ZwpLinuxExplicitSynchronizationV1
        | I::WpLinuxDrmSyncobjManagerV1
        | I::WpDrmLeaseDeviceV1
        | I::ZwlrExportDmabufManagerV1
        | I::ZwlrScreencopyManagerV1
        | I::ZwlrGammaControlManagerV1
        | I::WpSecurityContextManagerV1
        | I::OrgKdeKwinShadowManager => Needs::SameMachine,
        _ => Needs::Stream,
    }
}

/// The name of the global that is this program's own. Compositors count from 1.
pub const OWN_NAME: u32 = u32::MAX;

/// Why a bind was refused. `wl_registry` has no error codes; libwayland posts these on the registry with code
/// 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// A name that was never announced.
    #[error("invalid global (name {0})")]
    UnknownName(u32),
    /// An announced name with another interface.
    #[error("invalid interface for global {0}")]
    WrongInterface(u32),
    /// Version 0, or one above the announced.
    #[error("invalid version for global {0}: have {1}, wanted {2}")]
    BadVersion(u32, u32, u32),
}

/// The globals that an application was told of.
#[derive(Debug, Default)]
pub struct Announced {
    /// By name: interface and version. Names that were removed stay, because a bind may have been under way.
    globals: HashMap<u32, (ObjectInterface, u32)>,
    /// The interfaces that were hidden, and what they need.
    hidden: BTreeMap<&'static str, Needs>,
}

impl Announced {
    /// Takes note of a global. False: hide it. `has_region` says whether both sides have the VM's region.
    pub fn announce(
        &mut self,
        name: u32,
        interface: ObjectInterface,
        version: u32,
        has_region: bool,
    ) -> bool {
        let needs = needs(interface);
        let works = match needs {
            Needs::Stream => true,
            Needs::Region => has_region,
            Needs::SameMachine => false,
        };
        // No compositor gets that far with names, but two globals of one name cannot be told apart.
        if !works || name == OWN_NAME {
            self.hidden.insert(interface.name(), needs);
            return false;
        }
        self.globals.insert(name, (interface, version));
        true
    }

    /// Takes note of the global that is this program's own.
    pub fn announce_own(&mut self, interface: ObjectInterface, version: u32) {
        self.globals.insert(OWN_NAME, (interface, version));
    }

    /// The name of a global of the compositor's side with this interface.
    #[must_use]
    pub fn find(&self, interface: ObjectInterface) -> Option<u32> {
        let mut names =
            self.globals.iter().filter(|(name, (known, _))| *known == interface && **name != OWN_NAME);
        names.next().map(|(name, _)| *name)
    }

    /// The interfaces that were offered and hidden, and what they need.
    #[must_use]
    pub fn hidden(&self) -> &BTreeMap<&'static str, Needs> {
        &self.hidden
    }

    /// True where the application knows the name from the compositor's side.
    #[must_use]
    pub fn knows(&self, name: u32) -> bool {
        name != OWN_NAME && self.globals.contains_key(&name)
    }

    /// Whether a bind of this name may be forwarded. A compositor checks this too, but its answer would end
    /// the connection without the application learning which request was wrong.
    ///
    /// # Errors
    ///
    /// See [`BindError`].
    pub fn check_bind(&self, name: u32, interface: ObjectInterface, version: u32) -> Result<(), BindError> {
        let Some(&(announced, max)) = self.globals.get(&name) else {
            return Err(BindError::UnknownName(name));
        };
        if announced != interface {
            return Err(BindError::WrongInterface(name));
        }
        if version == 0 || version > max {
            return Err(BindError::BadVersion(name, max, version));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_global_is_neither_shown_nor_bound() {
        let mut announced = Announced::default();
        assert!(!announced.announce(7, ObjectInterface::ZwpLinuxDmabufV1, 4, true));
        assert!(announced.hidden().keys().eq(["zwp_linux_dmabuf_v1"].iter()));
        assert_eq!(
            announced.check_bind(7, ObjectInterface::ZwpLinuxDmabufV1, 1),
            Err(BindError::UnknownName(7))
        );
    }

    #[test]
    fn what_captures_is_shown_with_a_region_alone() {
        let capture = ObjectInterface::ExtImageCopyCaptureManagerV1;
        let mut announced = Announced::default();
        assert!(!announced.announce(7, capture, 1, false));
        assert_eq!(announced.hidden().get(capture.name()), Some(&Needs::Region));
        assert!(announced.announce(8, capture, 1, true));
        assert_eq!(announced.check_bind(8, capture, 1), Ok(()));
    }

    #[test]
    fn a_bind_is_held_to_the_announced_interface_and_version() {
        let mut announced = Announced::default();
        assert!(announced.announce(3, ObjectInterface::WlSeat, 8, false));
        assert!(announced.knows(3));
        assert_eq!(announced.check_bind(3, ObjectInterface::WlSeat, 8), Ok(()));
        assert_eq!(announced.check_bind(3, ObjectInterface::WlSeat, 9), Err(BindError::BadVersion(3, 8, 9)));
        assert_eq!(announced.check_bind(3, ObjectInterface::WlSeat, 0), Err(BindError::BadVersion(3, 8, 0)));
        assert_eq!(announced.check_bind(3, ObjectInterface::WlOutput, 1), Err(BindError::WrongInterface(3)));
    }

    #[test]
    fn a_compositor_cannot_take_the_name_of_the_global_that_is_not_its_own() {
        let mut announced = Announced::default();
        announced.announce_own(ObjectInterface::ZwpLinuxDmabufV1, 5);
        assert!(!announced.announce(OWN_NAME, ObjectInterface::WlSeat, 8, true));
        assert!(!announced.knows(OWN_NAME));
        assert_eq!(announced.check_bind(OWN_NAME, ObjectInterface::ZwpLinuxDmabufV1, 5), Ok(()));
        assert_eq!(announced.find(ObjectInterface::ZwpLinuxDmabufV1), None);
    }
}
