//! `zwlr_gamma_control_manager_v1`: programs of the user change the colours of an output, such as wlsunset in the evening.
//!
//! For programs of the GUI VM alone: a VM could make one label look like another. One program at a time controls an output, and
//! when it goes the colours are as they were. The graphics card applies the ramps, so nothing of them is in pictures; without a
//! card they are kept and reported only.
//!
//! Invariant: a ramp that is applied has exactly as many values as the output takes.

use std::os::fd::AsFd;

use smithay::reexports::wayland_protocols_wlr::gamma_control::v1::server::zwlr_gamma_control_manager_v1::{
    self, ZwlrGammaControlManagerV1,
};
use smithay::reexports::wayland_protocols_wlr::gamma_control::v1::server::zwlr_gamma_control_v1::{
    self, Error, ZwlrGammaControlV1,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};

use crate::shell::outputs::OutputId;
use crate::state::State;
use crate::trust::client::is_local;

/// The version that is offered.
const VERSION: u32 = 1;
/// The longest ramp of an output, in values of each colour.
const MAX_RAMP: u32 = 65_536;

/// What an output does with each colour: its values for red, then for green, then for blue, from dark to bright.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GammaRamp(Vec<u16>);

impl GammaRamp {
    /// The three colours.
    #[must_use]
    pub fn colors(&self) -> [&[u16]; 3] {
        let third = self.0.len() / 3;
        let (red, rest) = self.0.split_at(third);
        let (green, blue) = rest.split_at(third);
        [red, green, blue]
    }
}

/// Who controls the colours of outputs, and how: at most one program each.
#[derive(Debug, Default)]
pub struct GammaControls {
    controls: Vec<Control>,
}

#[derive(Debug)]
struct Control {
    object: ZwlrGammaControlV1,
    output: OutputId,
    size: u32,
    ramp: Option<GammaRamp>,
}

impl GammaControls {
    /// The ramp that an output has, if a program has set one.
    #[must_use]
    pub fn ramp(&self, output: OutputId) -> Option<&GammaRamp> {
        self.controls.iter().find(|control| control.output == output)?.ramp.as_ref()
    }
}

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ZwlrGammaControlManagerV1, ()>(VERSION, ());
}

/// Reads the ramps of so many values from a file of exactly that length. Nothing that could be waited for is read.
fn read(file: impl AsFd, size: u32) -> Option<GammaRamp> {
    let length = usize::try_from(size.min(MAX_RAMP)).ok()?.checked_mul(6)?;
    // One more shows that the file is longer.
    let mut bytes = vec![0; length.checked_add(1)?];
    let mut filled = 0;
    loop {
        let offset = u64::try_from(filled).ok()?;
        match rustix::io::pread(&file, bytes.get_mut(filled..)?, offset) {
            Ok(0) => break,
            Ok(count) => filled = filled.checked_add(count)?,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    let bytes = bytes.get(..length).filter(|_| filled == length)?;
    let values = bytes.chunks_exact(2).filter_map(|pair| Some(u16::from_ne_bytes(pair.try_into().ok()?)));
    Some(GammaRamp(values.collect()))
}

impl State {
    fn set_gamma(&mut self, object: &ZwlrGammaControlV1, file: impl AsFd) {
        let controls = &mut self.comp.protocols.gamma_controls.controls;
        // One that has failed does nothing.
        let Some(control) = controls.iter_mut().find(|control| control.object == *object) else { return };
        let Some(ramp) = read(file, control.size) else {
            object.post_error(Error::InvalidGamma, "the file is not as long as three ramps");
            return;
        };
        let output = control.output;
        control.ramp = Some(ramp.clone());
        if !self.apply_gamma(output, Some(&ramp)) {
            object.failed();
            self.comp.protocols.gamma_controls.controls.retain(|control| control.object != *object);
        }
    }

    fn apply_gamma(&mut self, output: OutputId, ramp: Option<&GammaRamp>) -> bool {
        let name = self.comp.shell.outputs().of(output).head.name.clone();
        // What is seen is another picture, though the compositor draws the same: whoever waits for a frame gets one.
        self.comp.schedule.request();
        self.backend.set_gamma(&name, ramp)
    }

    /// Ends the control of outputs that are gone, and gives those that are lit again their colours back.
    pub(crate) fn gamma_follows_outputs(&mut self) {
        let outputs = self.comp.shell.outputs();
        let controls = &mut self.comp.protocols.gamma_controls.controls;
        controls.retain(|control| {
            let stays = outputs.get(control.output).is_some_and(|output| output.in_use);
            if !stays {
                control.object.failed();
            }
            stays
        });
        let ramps = controls.iter().filter_map(|control| Some((control.output, control.ramp.clone()?)));
        let ramps: Vec<(OutputId, GammaRamp)> = ramps.collect();
        for (output, ramp) in ramps {
            self.apply_gamma(output, Some(&ramp));
        }
    }
}

impl GlobalDispatch<ZwlrGammaControlManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<ZwlrGammaControlManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client)
    }
}

impl Dispatch<ZwlrGammaControlManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &ZwlrGammaControlManagerV1,
        request: zwlr_gamma_control_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let zwlr_gamma_control_manager_v1::Request::GetGammaControl { id, output } = request else { return };
        let object = data_init.init(id, ());
        let output = state.comp.announced.find(&output);
        let taken = |output: OutputId| {
            state.comp.protocols.gamma_controls.controls.iter().any(|control| control.output == output)
        };
        let size = output.filter(|output| !taken(*output)).and_then(|output| {
            let name = &state.comp.shell.outputs().get(output)?.head.name;
            state.backend.gamma_size(name).filter(|size| (1..=MAX_RAMP).contains(size))
        });
        let (Some(output), Some(size)) = (output, size) else {
            object.failed();
            return;
        };
        object.gamma_size(size);
        state.comp.protocols.gamma_controls.controls.push(Control { object, output, size, ramp: None });
    }
}

impl Dispatch<ZwlrGammaControlV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        object: &ZwlrGammaControlV1,
        request: zwlr_gamma_control_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        if let zwlr_gamma_control_v1::Request::SetGamma { fd } = request {
            state.set_gamma(object, fd);
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, object: &ZwlrGammaControlV1, _data: &()) {
        let controls = &mut state.comp.protocols.gamma_controls.controls;
        let found = controls.iter().position(|control| control.object == *object);
        if let Some(control) = found.map(|index| controls.remove(index)) {
            state.apply_gamma(control.output, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn ramps_are_read_from_files_that_are_exactly_as_long_as_three_and_never_waited_for() {
        let file = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file
        };
        let values: Vec<u8> = [1_u16, 2, 3, 4, 5, 6].iter().flat_map(|value| value.to_ne_bytes()).collect();
        let ramp = read(file(&values), 2).unwrap();
        assert_eq!(ramp.colors(), [&[1, 2], &[3, 4], &[5, 6]]);
        assert_eq!(read(file(&values[1..]), 2), None);
        assert_eq!(read(file(&[&values[..], &[0]].concat()), 2), None);
        let (pipe, _open) = rustix::pipe::pipe().unwrap();
        assert_eq!(read(pipe, 2), None, "a pipe could keep everybody waiting");
    }
}
