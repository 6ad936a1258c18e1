//! `wl_output` and `zxdg_output_v1`: one output, which tells nothing of the real screen but its size.

use smithay::output::{Mode, Output, PhysicalProperties, Scale, Subpixel};
use smithay::reexports::wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_manager_v1::ZxdgOutputManagerV1;
use smithay::reexports::wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_v1::ZxdgOutputV1;
use smithay::reexports::wayland_server::protocol::wl_output::WlOutput;
use smithay::reexports::wayland_server::{DisplayHandle, delegate_dispatch};
use smithay::utils::{Physical, Size, Transform};
use smithay::wayland::output::{
    OutputHandler, OutputManagerState, OutputUserData, WlOutputData, XdgOutputUserData,
};

use crate::handlers::globals::delegate_global;
use crate::render::schedule::REFRESH_MHZ;
use crate::state::State;

/// Creates the output and its global.
pub fn create(display: &DisplayHandle, size: Size<i32, Physical>, scale: f64) -> Output {
    let physical = PhysicalProperties {
        size: (0, 0).into(),
        subpixel: Subpixel::Unknown,
        make: "Vitrail".to_owned(),
        model: "Output".to_owned(),
    };
    let output = Output::new("vitrail-1".to_owned(), physical);
    let mode = Mode { size: (size.w, size.h).into(), refresh: REFRESH_MHZ };
    let scale = Scale::Fractional(scale);
    output.change_current_state(Some(mode), Some(Transform::Normal), Some(scale), Some((0, 0).into()));
    output.set_preferred(mode);
    output.create_global::<State>(display);
    output
}

impl OutputHandler for State {}

delegate_global!(WlOutput: WlOutputData => OutputManagerState);
delegate_global!(ZxdgOutputManagerV1: () => OutputManagerState);
delegate_dispatch!(State: [WlOutput: OutputUserData] => OutputManagerState);
delegate_dispatch!(State: [ZxdgOutputManagerV1: ()] => OutputManagerState);
delegate_dispatch!(State: [ZxdgOutputV1: XdgOutputUserData] => OutputManagerState);
