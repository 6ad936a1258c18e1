//! `wl_output` and `zxdg_output_v1`: one output, which tells nothing of the real screen but its size.

use smithay::output::{Mode, Output, PhysicalProperties, Scale, Subpixel};
use smithay::reexports::wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_manager_v1::ZxdgOutputManagerV1;
use smithay::reexports::wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_v1::ZxdgOutputV1;
use smithay::reexports::wayland_server::protocol::wl_output::WlOutput;
use smithay::reexports::wayland_server::{DisplayHandle, delegate_dispatch};
use smithay::utils::{Size, Transform};
use smithay::wayland::output::{
    OutputHandler, OutputManagerState, OutputUserData, WlOutputData, XdgOutputUserData,
};

use crate::handlers::globals::delegate_global;
use crate::state::State;

/// Creates the output and its global.
pub fn create(display: &DisplayHandle, mode: Mode, scale: f64) -> Output {
    let physical = PhysicalProperties {
        size: (0, 0).into(),
        subpixel: Subpixel::Unknown,
        make: "Vitrail".to_owned(),
        model: "Output".to_owned(),
    };
    let output = Output::new("vitrail-1".to_owned(), physical);
    let scale = Scale::Fractional(scale);
    output.change_current_state(Some(mode), Some(Transform::Normal), Some(scale), Some((0, 0).into()));
    output.set_preferred(mode);
    output.create_global::<State>(display);
    output
}

impl State {
    /// The output has another size or refresh rate. Windows stay where they are as far as they can be reached there; those
    /// that fill the output are told its new size.
    pub(crate) fn set_output_mode(&mut self, mode: Mode) {
        let old = self.comp.output.current_mode();
        if old == Some(mode) {
            return;
        }
        let output = &self.comp.output;
        output.change_current_state(Some(mode), None, None, None);
        output.set_preferred(mode);
        if let Some(old) = old {
            output.delete_mode(old);
        }
        self.comp.shell.layout.output = Size::from((mode.size.w, mode.size.h));
        self.comp.schedule.set_refresh(mode.refresh);
        if let Some(pointer) = self.comp.input.pointer {
            let inside = self.comp.inside(pointer);
            self.comp.input.put_pointer(inside);
        }
        let windows: Vec<_> = self.comp.shell.bottom_up().map(|window| window.id).collect();
        for id in windows {
            self.configure(id);
            if let Some(window) = self.comp.shell.get(id)
                && window.handle.is_initial_configure_sent()
            {
                window.handle.send_pending_configure();
            }
        }
        self.refresh_pointer();
        self.comp.schedule.request();
    }
}

impl OutputHandler for State {
    fn output_bound(&mut self, _output: Output, bound: WlOutput) {
        self.task_lists_output(&bound);
        self.workspaces_output(&bound);
    }
}

delegate_global!(WlOutput: WlOutputData => OutputManagerState);
delegate_global!(ZxdgOutputManagerV1: () => OutputManagerState);
delegate_dispatch!(State: [WlOutput: OutputUserData] => OutputManagerState);
delegate_dispatch!(State: [ZxdgOutputManagerV1: ()] => OutputManagerState);
delegate_dispatch!(State: [ZxdgOutputV1: XdgOutputUserData] => OutputManagerState);
