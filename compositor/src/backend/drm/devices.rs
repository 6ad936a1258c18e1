//! Setting the devices of libinput up. What is set is decided in [`crate::input::device`].

use smithay::backend::input::DeviceCapability;
use smithay::reexports::input::{
    self as libinput, AccelProfile as LibinputProfile, ClickMethod as LibinputClick, Device,
    DeviceConfigError, ScrollMethod as LibinputScroll,
};

use super::Drm;
use crate::config::InputConfig;
use crate::input::device::{AccelProfile, Class, ClickMethod, DeviceOptions, ScrollMethod, Speed, settings};

impl Drm {
    /// Sets all devices up.
    pub(in crate::backend) fn configure_devices(&mut self, config: &InputConfig) {
        for device in &mut self.devices {
            configure(device, config);
        }
    }

    /// A device was plugged in.
    pub(super) fn add_device(&mut self, mut device: Device, config: &InputConfig) {
        configure(&mut device, config);
        self.devices.push(device);
    }

    /// A device was unplugged.
    pub(super) fn remove_device(&mut self, device: &Device) {
        self.devices.retain(|other| other != device);
    }
}

fn configure(device: &mut Device, config: &InputConfig) {
    let name = device.name().to_owned();
    let class = if device.config_tap_finger_count() > 0 {
        Class::Touchpad
    } else if device.has_capability(DeviceCapability::Pointer.into()) {
        Class::Pointer
    } else {
        Class::Other
    };
    let set = settings(config, &name, class, own(device));
    for (option, result) in apply(device, &set) {
        if let Err(error) = result {
            // Such as a profile that this one device does not know.
            tracing::warn!(?name, option, "a device does not take an option: {error:?}");
        }
    }
}

/// What a device has, and what it does by itself.
fn own(device: &Device) -> DeviceOptions {
    DeviceOptions {
        tap: (device.config_tap_finger_count() > 0).then(|| device.config_tap_default_enabled()),
        natural_scroll: device
            .config_scroll_has_natural_scroll()
            .then(|| device.config_scroll_default_natural_scroll_enabled()),
        accel_profile: device.config_accel_default_profile().and_then(|profile| match profile {
            LibinputProfile::Flat => Some(AccelProfile::Flat),
            LibinputProfile::Adaptive => Some(AccelProfile::Adaptive),
            _ => None,
        }),
        accel_speed: device
            .config_accel_is_available()
            .then(|| Speed::try_from(device.config_accel_default_speed()).ok())
            .flatten(),
        left_handed: device.config_left_handed_is_available().then(|| device.config_left_handed_default()),
        click_method: device.config_click_default_method().and_then(|method| match method {
            LibinputClick::ButtonAreas => Some(ClickMethod::ButtonAreas),
            LibinputClick::Clickfinger => Some(ClickMethod::Clickfinger),
            _ => None,
        }),
        disable_while_typing: device.config_dwt_is_available().then(|| device.config_dwt_default_enabled()),
        scroll_method: scroll_method(device),
        middle_emulation: device
            .config_middle_emulation_is_available()
            .then(|| device.config_middle_emulation_default_enabled()),
    }
}

/// How a device scrolls by itself. A mouse does not, but can be told to.
fn scroll_method(device: &Device) -> Option<ScrollMethod> {
    let methods = device.config_scroll_methods();
    let beside_none = methods.iter().any(|method| *method != LibinputScroll::NoScroll);
    beside_none.then(|| match device.config_scroll_default_method() {
        Some(LibinputScroll::TwoFinger) => ScrollMethod::TwoFinger,
        Some(LibinputScroll::Edge) => ScrollMethod::Edge,
        Some(LibinputScroll::OnButtonDown) => ScrollMethod::OnButtonDown,
        _ => ScrollMethod::None,
    })
}

type Outcome = (&'static str, Result<(), DeviceConfigError>);

/// Tells a device, and returns what it said of each option.
fn apply(device: &mut Device, set: &DeviceOptions) -> Vec<Outcome> {
    let mut said = Vec::new();
    let mut note = |option, result: Option<libinput::DeviceConfigResult>| {
        said.extend(result.map(|result| (option, result)));
    };
    note("tap", set.tap.map(|on| device.config_tap_set_enabled(on)));
    let natural = set.natural_scroll.map(|on| device.config_scroll_set_natural_scroll_enabled(on));
    note("natural_scroll", natural);
    let profile = set.accel_profile.map(|profile| match profile {
        AccelProfile::Flat => LibinputProfile::Flat,
        AccelProfile::Adaptive => LibinputProfile::Adaptive,
    });
    note("accel_profile", profile.map(|profile| device.config_accel_set_profile(profile)));
    note("accel_speed", set.accel_speed.map(|speed| device.config_accel_set_speed(speed.into())));
    note("left_handed", set.left_handed.map(|on| device.config_left_handed_set(on)));
    let click = set.click_method.map(|method| match method {
        ClickMethod::ButtonAreas => LibinputClick::ButtonAreas,
        ClickMethod::Clickfinger => LibinputClick::Clickfinger,
    });
    note("click_method", click.map(|method| device.config_click_set_method(method)));
    note("disable_while_typing", set.disable_while_typing.map(|on| device.config_dwt_set_enabled(on)));
    let scroll = set.scroll_method.map(|method| match method {
        ScrollMethod::None => LibinputScroll::NoScroll,
        ScrollMethod::TwoFinger => LibinputScroll::TwoFinger,
        ScrollMethod::Edge => LibinputScroll::Edge,
        ScrollMethod::OnButtonDown => LibinputScroll::OnButtonDown,
    });
    note("scroll_method", scroll.map(|method| device.config_scroll_set_method(method)));
    note("middle_emulation", set.middle_emulation.map(|on| device.config_middle_emulation_set_enabled(on)));
    said
}
