//! Which connector of a graphics card is used, in which mode.

use smithay::reexports::drm::control::{
    Device as ControlDevice, Mode, ModeTypeFlags, ResourceHandles, connector, crtc,
};
use smithay::utils::{Physical, Size};

use super::DrmError;
use crate::state::is_sane;

/// A connected screen, how it is reached, and its best mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    /// Where it is plugged in.
    pub connector: connector::Handle,
    /// What reads its pixels.
    pub crtc: crtc::Handle,
    /// Resolution and timing.
    pub mode: Mode,
}

impl Choice {
    /// The resolution.
    pub(super) fn size(&self) -> Size<i32, Physical> {
        size(&self.mode)
    }
}

fn size(mode: &Mode) -> Size<i32, Physical> {
    let (w, h) = mode.size();
    (i32::from(w), i32::from(h)).into()
}

/// The screen to use: the one that was used, if it is still connected, or else the first that is.
pub(super) fn choose(
    device: &impl ControlDevice,
    used: Option<connector::Handle>,
) -> Result<Option<Choice>, DrmError> {
    let resources = device.resource_handles().map_err(DrmError::ListScreens)?;
    let mut connectors = resources.connectors().to_vec();
    connectors.sort_by_key(|connector| Some(*connector) != used);
    for handle in connectors {
        // Probing asks the screen itself what it can do.
        let info = device.get_connector(handle, true).map_err(DrmError::ListScreens)?;
        if info.state() != connector::State::Connected {
            continue;
        }
        let Some(mode) = best_mode(info.modes()) else {
            tracing::warn!(connector = %info, "a screen has no mode that can be used");
            continue;
        };
        match crtc_for(device, &resources, &info)? {
            Some(crtc) => return Ok(Some(Choice { connector: handle, crtc, mode })),
            None => tracing::warn!(connector = %info, "the graphics card cannot drive this screen"),
        }
    }
    Ok(None)
}

/// The preferred mode, or else the first, which is the best by the kernel's rule.
fn best_mode(modes: &[Mode]) -> Option<Mode> {
    let usable = || modes.iter().filter(|mode| is_sane(size(mode)));
    let preferred = usable().find(|mode| mode.mode_type().contains(ModeTypeFlags::PREFERRED));
    preferred.or_else(|| usable().next()).copied()
}

/// What can read pixels for a connector: what does already, if there is such, so that nothing flickers.
fn crtc_for(
    device: &impl ControlDevice,
    resources: &ResourceHandles,
    info: &connector::Info,
) -> Result<Option<crtc::Handle>, DrmError> {
    let mut possible = Vec::new();
    for encoder in info.encoders() {
        let encoder_info = device.get_encoder(*encoder).map_err(DrmError::ListScreens)?;
        if Some(*encoder) == info.current_encoder()
            && let Some(current) = encoder_info.crtc()
        {
            return Ok(Some(current));
        }
        possible.extend(resources.filter_crtcs(encoder_info.possible_crtcs()));
    }
    Ok(possible.first().copied())
}
