//! `wl_output` and `zxdg_output_v1`: one output, which tells nothing of the real screen but its size.

use smithay::delegate_output;
use smithay::output::{Mode, Output, PhysicalProperties, Scale, Subpixel};
use smithay::reexports::wayland_server::DisplayHandle;
use smithay::utils::{Physical, Size, Transform};
use smithay::wayland::output::OutputHandler;

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

delegate_output!(State);
