//! Which screens are plugged into a graphics card, which modes they have, and what drives each.

use std::collections::HashMap;

use smithay::reexports::drm::control::{
    Device as ControlDevice, Mode, ModeTypeFlags, ResourceHandles, connector, crtc,
};
use smithay::utils::{Physical, Size};

use super::DrmError;
use super::edid::{self, Identity};
use crate::shell::outputs::{Head, OutputMode};
use crate::state::is_sane;

/// A connected screen, how it is reached, and the mode it is used in.
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

/// A screen that is plugged in.
#[derive(Clone, Debug)]
pub(super) struct Plugged {
    /// Where.
    pub connector: connector::Handle,
    /// What is told of it.
    pub head: Head,
    /// Its modes.
    pub modes: Vec<Mode>,
    /// What can read its pixels. What does already is the first, so that nothing flickers.
    pub crtcs: Vec<crtc::Handle>,
}

impl Plugged {
    /// The mode of the card for one that was chosen.
    pub(super) fn mode(&self, wanted: OutputMode) -> Option<Mode> {
        self.modes.iter().find(|mode| told(mode) == wanted).copied()
    }
}

/// A mode as it is told.
fn told(mode: &Mode) -> OutputMode {
    OutputMode { size: size(mode), refresh: smithay::output::Mode::from(*mode).refresh }
}

/// The screens that are plugged in and can be used. `scale` is what they have where nothing else is configured.
pub(super) fn plugged(device: &impl ControlDevice, scale: f64) -> Result<Vec<Plugged>, DrmError> {
    let resources = device.resource_handles().map_err(DrmError::ListScreens)?;
    let mut list = Vec::new();
    for handle in resources.connectors() {
        // Probing asks the screen itself what it can do.
        let info = device.get_connector(*handle, true).map_err(DrmError::ListScreens)?;
        if info.state() != connector::State::Connected {
            continue;
        }
        let modes: Vec<Mode> = info.modes().iter().filter(|mode| is_sane(size(mode))).copied().collect();
        let Some(best) = best_mode(&modes) else {
            tracing::warn!(connector = %info, "a screen has no mode that can be used");
            continue;
        };
        let (width, height) = info.size().unwrap_or_default();
        let millimetres = |length: u32| i32::try_from(length).unwrap_or(0);
        let Identity { make, model, serial } = edid::ask(device, *handle);
        let head = Head {
            name: info.to_string(),
            make,
            model,
            serial,
            millimetres: (millimetres(width), millimetres(height)),
            modes: modes.iter().map(told).collect(),
            preferred: told(&best),
            scale,
            turns: true,
        };
        let crtcs = crtcs_for(device, &resources, &info)?;
        list.push(Plugged { connector: *handle, head, modes, crtcs });
    }
    Ok(list)
}

/// Gives each screen something that reads its pixels, as far as there is enough of it. Those that have one in `used` keep it if
/// all of them can be driven that way.
pub(super) fn assign(
    screens: &[&Plugged],
    used: &HashMap<connector::Handle, crtc::Handle>,
) -> HashMap<connector::Handle, crtc::Handle> {
    let mut owners: HashMap<crtc::Handle, usize> = HashMap::new();
    for (index, screen) in screens.iter().enumerate() {
        let kept = used.get(&screen.connector).filter(|crtc| screen.crtcs.contains(crtc));
        if let Some(crtc) = kept {
            owners.entry(*crtc).or_insert(index);
        }
    }
    for index in 0..screens.len() {
        if !owners.values().any(|owner| *owner == index) {
            find(screens, index, &mut owners, &mut Vec::new());
        }
    }
    let pairs = owners.into_iter();
    pairs.filter_map(|(crtc, index)| Some((screens.get(index)?.connector, crtc))).collect()
}

/// Finds something for one screen, if need be by giving another screen something else. `tried` is what was asked for already.
fn find(
    screens: &[&Plugged],
    index: usize,
    owners: &mut HashMap<crtc::Handle, usize>,
    tried: &mut Vec<crtc::Handle>,
) -> bool {
    let Some(screen) = screens.get(index) else { return false };
    for crtc in &screen.crtcs {
        if tried.contains(crtc) {
            continue;
        }
        tried.push(*crtc);
        let owner = owners.get(crtc).copied();
        if owner.is_none_or(|owner| find(screens, owner, owners, tried)) {
            owners.insert(*crtc, index);
            return true;
        }
    }
    false
}

fn size(mode: &Mode) -> Size<i32, Physical> {
    let (w, h) = mode.size();
    (i32::from(w), i32::from(h)).into()
}

/// The preferred mode, or else the first, which is the best by the kernel's rule.
fn best_mode(modes: &[Mode]) -> Option<Mode> {
    let preferred = modes.iter().find(|mode| mode.mode_type().contains(ModeTypeFlags::PREFERRED));
    preferred.or_else(|| modes.first()).copied()
}

/// What can read pixels for a connector, what does already first.
fn crtcs_for(
    device: &impl ControlDevice,
    resources: &ResourceHandles,
    info: &connector::Info,
) -> Result<Vec<crtc::Handle>, DrmError> {
    let mut possible = Vec::new();
    for encoder in info.encoders() {
        let encoder_info = device.get_encoder(*encoder).map_err(DrmError::ListScreens)?;
        if Some(*encoder) == info.current_encoder()
            && let Some(current) = encoder_info.crtc()
        {
            possible.insert(0, current);
        }
        possible.extend(resources.filter_crtcs(encoder_info.possible_crtcs()));
    }
    let mut seen = Vec::new();
    possible.retain(|crtc| {
        let new = !seen.contains(crtc);
        seen.push(*crtc);
        new
    });
    Ok(possible)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn handle<T: From<NonZeroU32>>(number: u32) -> T {
        NonZeroU32::new(number).expect("not zero").into()
    }

    fn screen(connector: u32, crtcs: &[u32]) -> Plugged {
        Plugged {
            connector: handle(connector),
            head: Head::virtual_one("test", (640, 480).into(), 1.0),
            modes: Vec::new(),
            crtcs: crtcs.iter().map(|crtc| handle(*crtc)).collect(),
        }
    }

    #[test]
    fn a_screen_that_only_one_crtc_can_drive_gets_it_though_another_screen_had_it() {
        let (first, second) = (screen(1, &[7, 8]), screen(2, &[7]));
        let used = HashMap::from([(handle(1), handle(7))]);
        let got = assign(&[&first, &second], &used);
        assert_eq!(got, HashMap::from([(handle(1), handle(8)), (handle(2), handle(7))]));
        let alone = assign(&[&first], &used);
        assert_eq!(alone, used, "nothing changes without need");
        assert_eq!(assign(&[&screen(1, &[7]), &screen(2, &[7])], &HashMap::new()).len(), 1);
    }
}
