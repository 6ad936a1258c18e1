//! Pointers and touchpads: how each of them is set up.
//!
//! # Model
//!
//! What is configured of a device is, option by option, what its own table says, or else that of its class, touchpads or other
//! pointers, or else what the compositor prefers, or else what the device does by itself ([`settings`]). A backend that has real
//! devices asks each what it can do, and tells it the outcome; it decides nothing.
//!
//! # Invariants
//!
//! * A device is told of every option that it has, and of no other, so an option that a reload takes away is undone.

use serde::Deserialize;

use crate::config::input::InputConfig;

/// How the pointer's way follows from the hand's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccelProfile {
    /// By one factor.
    Flat,
    /// Further if the hand is fast.
    Adaptive,
}

/// What a press on a touchpad without buttons of its own is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClickMethod {
    /// The button of the place at the lower edge that is pressed.
    ButtonAreas,
    /// The left, right or middle button by one, two or three fingers.
    Clickfinger,
}

/// How a device that has no wheel scrolls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScrollMethod {
    /// Not at all.
    None,
    /// With two fingers.
    TwoFinger,
    /// With a finger along the edge.
    Edge,
    /// By moving it while its middle button is held.
    OnButtonDown,
}

/// A speed from -1 to 1, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Speed(i16);

/// A number that is no speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a speed is from -1 to 1")]
pub struct SpeedError;

impl TryFrom<f64> for Speed {
    type Error = SpeedError;

    fn try_from(speed: f64) -> Result<Self, SpeedError> {
        if !(-1.0..=1.0).contains(&speed) {
            return Err(SpeedError);
        }
        #[allow(clippy::cast_possible_truncation, reason = "within a thousand, as was just checked")]
        let thousandths = (speed * 1000.0).round() as i16;
        Ok(Self(thousandths))
    }
}

impl From<Speed> for f64 {
    fn from(speed: Speed) -> Self {
        Self::from(speed.0) / 1000.0
    }
}

/// What can be set at a pointer or touchpad. `None` is what is not said, or what a device does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceOptions {
    /// A tap is a click.
    pub tap: Option<bool>,
    /// Content follows the fingers.
    pub natural_scroll: Option<bool>,
    /// How the pointer's way follows from the hand's.
    pub accel_profile: Option<AccelProfile>,
    /// How fast.
    pub accel_speed: Option<Speed>,
    /// The buttons are exchanged.
    pub left_handed: Option<bool>,
    /// What a press on a touchpad is.
    pub click_method: Option<ClickMethod>,
    /// The touchpad is off while keys are typed.
    pub disable_while_typing: Option<bool>,
    /// How it scrolls.
    pub scroll_method: Option<ScrollMethod>,
    /// Both buttons together are the middle one.
    pub middle_emulation: Option<bool>,
}

impl DeviceOptions {
    /// These, and the others where these say nothing.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            tap: self.tap.or(others.tap),
            natural_scroll: self.natural_scroll.or(others.natural_scroll),
            accel_profile: self.accel_profile.or(others.accel_profile),
            accel_speed: self.accel_speed.or(others.accel_speed),
            left_handed: self.left_handed.or(others.left_handed),
            click_method: self.click_method.or(others.click_method),
            disable_while_typing: self.disable_while_typing.or(others.disable_while_typing),
            scroll_method: self.scroll_method.or(others.scroll_method),
            middle_emulation: self.middle_emulation.or(others.middle_emulation),
        }
    }

    /// These, of what a device has.
    fn of(self, device: Self) -> Self {
        Self {
            tap: self.tap.filter(|_| device.tap.is_some()),
            natural_scroll: self.natural_scroll.filter(|_| device.natural_scroll.is_some()),
            accel_profile: self.accel_profile.filter(|_| device.accel_profile.is_some()),
            accel_speed: self.accel_speed.filter(|_| device.accel_speed.is_some()),
            left_handed: self.left_handed.filter(|_| device.left_handed.is_some()),
            click_method: self.click_method.filter(|_| device.click_method.is_some()),
            disable_while_typing: self.disable_while_typing.filter(|_| device.disable_while_typing.is_some()),
            scroll_method: self.scroll_method.filter(|_| device.scroll_method.is_some()),
            middle_emulation: self.middle_emulation.filter(|_| device.middle_emulation.is_some()),
        }
    }
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It can be tapped.
    Touchpad,
    /// Another one that moves the pointer: a mouse, a trackball.
    Pointer,
    /// A keyboard, a touch screen, a tablet.
    Other,
}

/// How a device is to be set up: a value for each option that it has. `own` is what it has, with the values that it has by
/// itself.
#[must_use]
pub fn settings(config: &InputConfig, name: &str, class: Class, own: DeviceOptions) -> DeviceOptions {
    // Without it a touchpad that has no buttons of its own would click nowhere.
    let preferred = DeviceOptions { tap: Some(true), ..DeviceOptions::default() };
    let of_class = match class {
        Class::Touchpad => config.touchpad.or(preferred),
        Class::Pointer => config.pointer,
        Class::Other => DeviceOptions::default(),
    };
    let of_device = config.devices.get(name).copied().unwrap_or_default();
    of_device.or(of_class).or(own).of(own)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn input(text: &str) -> InputConfig {
        Config::parse(Path::new("vitrail.toml"), text).unwrap().input
    }

    fn touchpad() -> DeviceOptions {
        DeviceOptions {
            tap: Some(false),
            natural_scroll: Some(false),
            accel_profile: Some(AccelProfile::Adaptive),
            accel_speed: Some(Speed(0)),
            left_handed: Some(false),
            click_method: Some(ClickMethod::ButtonAreas),
            disable_while_typing: Some(true),
            scroll_method: Some(ScrollMethod::TwoFinger),
            middle_emulation: Some(false),
        }
    }

    #[test]
    fn without_configuration_a_touchpad_taps_and_everything_else_is_its_own() {
        let set = settings(&InputConfig::default(), "pad", Class::Touchpad, touchpad());
        assert_eq!(set, DeviceOptions { tap: Some(true), ..touchpad() });
        let set = settings(&InputConfig::default(), "mouse", Class::Pointer, touchpad());
        assert_eq!(set, touchpad());
    }

    #[test]
    fn each_option_changes_the_one_setting_that_it_names() {
        let own = touchpad();
        let tapping = DeviceOptions { tap: Some(true), ..own };
        for (line, expected) in [
            ("tap = false", own),
            ("natural_scroll = true", DeviceOptions { natural_scroll: Some(true), ..tapping }),
            (
                "accel_profile = \"flat\"",
                DeviceOptions { accel_profile: Some(AccelProfile::Flat), ..tapping },
            ),
            ("accel_speed = -0.25", DeviceOptions { accel_speed: Some(Speed(-250)), ..tapping }),
            ("left_handed = true", DeviceOptions { left_handed: Some(true), ..tapping }),
            (
                "click_method = \"clickfinger\"",
                DeviceOptions { click_method: Some(ClickMethod::Clickfinger), ..tapping },
            ),
            ("disable_while_typing = false", DeviceOptions { disable_while_typing: Some(false), ..tapping }),
            (
                "scroll_method = \"edge\"",
                DeviceOptions { scroll_method: Some(ScrollMethod::Edge), ..tapping },
            ),
            ("middle_emulation = true", DeviceOptions { middle_emulation: Some(true), ..tapping }),
        ] {
            let of_class = input(&format!("[input.touchpad]\n{line}"));
            assert_eq!(settings(&of_class, "pad", Class::Touchpad, own), expected, "{line}");
            assert_eq!(settings(&of_class, "mouse", Class::Pointer, own), own, "{line}");
            let of_device = input(&format!("[input.device.pad]\n{line}"));
            assert_eq!(settings(&of_device, "pad", Class::Touchpad, own), expected, "{line}");
            assert_eq!(settings(&of_device, "other pad", Class::Touchpad, own), tapping, "{line}");
        }
    }

    #[test]
    fn a_device_of_its_own_name_comes_before_its_class() {
        let config = input(
            "[input.pointer]\naccel_speed = 1\nnatural_scroll = true\n\
             [input.device.\"Blue mouse, 2nd\"]\naccel_speed = 0.5",
        );
        let set = settings(&config, "Blue mouse, 2nd", Class::Pointer, touchpad());
        assert_eq!((set.accel_speed, set.natural_scroll), (Some(Speed(500)), Some(true)));
        let set = settings(&config, "Red mouse", Class::Pointer, touchpad());
        assert_eq!((set.accel_speed, set.natural_scroll), (Some(Speed(1000)), Some(true)));
        assert_eq!(settings(&config, "Red pad", Class::Touchpad, touchpad()).natural_scroll, Some(false));
        assert_eq!(settings(&config, "A keyboard", Class::Other, touchpad()), touchpad());
    }

    #[test]
    fn a_device_is_told_nothing_of_what_it_does_not_have() {
        let config = input("[input.pointer]\ntap = true\nclick_method = \"clickfinger\"\naccel_speed = 1");
        let own = DeviceOptions { accel_speed: Some(Speed(0)), ..DeviceOptions::default() };
        let set = settings(&config, "mouse", Class::Pointer, own);
        assert_eq!(set, DeviceOptions { accel_speed: Some(Speed(1000)), ..DeviceOptions::default() });
    }
}
