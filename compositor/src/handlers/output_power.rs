//! `zwlr_output_power_manager_v1`: programs of the user darken outputs and light them, such as swayidle does when nobody is there.
//!
//! For programs of the GUI VM alone. A dark output shows nothing and is driven by nothing, and its windows stay on it; they are
//! told to draw no frames meanwhile. Any input lights all outputs, so that nobody sits before a dark screen that no program
//! lights.
//!
//! Invariant: whoever watches an output was told last whether it is lit.

use smithay::reexports::wayland_protocols_wlr::output_power_management::v1::server::zwlr_output_power_manager_v1::{
    self, ZwlrOutputPowerManagerV1,
};
use smithay::reexports::wayland_protocols_wlr::output_power_management::v1::server::zwlr_output_power_v1::{
    self, Error, Mode, ZwlrOutputPowerV1,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum,
};

use crate::shell::outputs::OutputId;
use crate::state::State;
use crate::trust::client::{end_for_misuse, is_local};

/// The version that is offered.
const VERSION: u32 = 1;
/// Controls that there may be at a time.
const MAX_CONTROLS: usize = 256;

/// Who controls outputs, and what each was told.
#[derive(Debug, Default)]
pub struct OutputPowers {
    controls: Vec<Control>,
}

#[derive(Debug)]
struct Control {
    object: ZwlrOutputPowerV1,
    output: OutputId,
    lit: bool,
}

fn mode(lit: bool) -> Mode {
    if lit { Mode::On } else { Mode::Off }
}

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ZwlrOutputPowerManagerV1, ()>(VERSION, ());
}

impl State {
    /// Lights an output, or darkens it.
    pub fn set_output_power(&mut self, output: OutputId, lit: bool) {
        if self.comp.shell.outputs().get(output).is_some_and(|known| known.powered != lit) {
            self.change_outputs(|outputs| outputs.set_powered(output, lit));
        }
    }

    /// Somebody is there: everything is lit.
    pub(crate) fn wake_outputs(&mut self) {
        let dark = self.comp.shell.outputs().all().filter(|output| !output.powered);
        let dark: Vec<OutputId> = dark.map(|output| output.id).collect();
        for output in dark {
            self.set_output_power(output, true);
        }
    }

    /// Tells who controls outputs which of them are lit now, and which are gone.
    pub(crate) fn tell_output_powers(&mut self) {
        let outputs = self.comp.shell.outputs();
        self.comp.protocols.output_powers.controls.retain_mut(|control| {
            let Some(output) = outputs.get(control.output).filter(|output| output.in_use) else {
                control.object.failed();
                return false;
            };
            if control.lit != output.powered {
                control.lit = output.powered;
                control.object.mode(mode(control.lit));
            }
            true
        });
    }
}

impl GlobalDispatch<ZwlrOutputPowerManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<ZwlrOutputPowerManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client)
    }
}

impl Dispatch<ZwlrOutputPowerManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        _manager: &ZwlrOutputPowerManagerV1,
        request: zwlr_output_power_manager_v1::Request,
        _data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let zwlr_output_power_manager_v1::Request::GetOutputPower { id, output } = request else { return };
        let object = data_init.init(id, ());
        let found = state.comp.announced.find(&output);
        let Some(output) = found.and_then(|id| state.comp.shell.outputs().get(id)) else {
            object.failed();
            return;
        };
        let (output, lit) = (output.id, output.powered);
        let controls = &mut state.comp.protocols.output_powers.controls;
        if controls.len() >= MAX_CONTROLS {
            end_for_misuse(client, display, "there are too many controls of outputs");
            return;
        }
        object.mode(mode(lit));
        controls.push(Control { object, output, lit });
    }
}

impl Dispatch<ZwlrOutputPowerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        object: &ZwlrOutputPowerV1,
        request: zwlr_output_power_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        let zwlr_output_power_v1::Request::SetMode { mode } = request else { return };
        let WEnum::Value(mode) = mode else {
            object.post_error(Error::InvalidMode, "there is no such mode");
            return;
        };
        let mut controls = state.comp.protocols.output_powers.controls.iter();
        if let Some(output) = controls.find(|control| control.object == *object).map(|control| control.output)
        {
            state.set_output_power(output, mode == Mode::On);
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, object: &ZwlrOutputPowerV1, _data: &()) {
        state.comp.protocols.output_powers.controls.retain(|control| control.object != *object);
    }
}
