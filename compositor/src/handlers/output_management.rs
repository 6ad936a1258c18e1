//! `zwlr_output_manager_v1`: programs of the user see the outputs and set them up, such as wlr-randr and kanshi.
//!
//! # Model
//!
//! For programs of the GUI VM alone. A client is told of every output that is plugged in, used or not, and what of it changes.
//! Each state of all outputs has a serial. A configuration is made for the state that a client knows; if there is another one by
//! the time it is to be applied, it is cancelled, and the client makes a new one. What a configuration says counts until the file
//! says something new of that output ([`crate::shell::outputs`]).
//!
//! # Invariants
//!
//! * A configuration is applied as a whole or not at all.
//! * What a configuration repeats of the state it was made for is not taken as a wish: an output that nobody placed goes on
//!   standing beside the others.

use std::collections::BTreeMap;

use smithay::reexports::wayland_protocols_wlr::output_management::v1::server::zwlr_output_configuration_head_v1::{
    self, Error as HeadError, ZwlrOutputConfigurationHeadV1,
};
use smithay::reexports::wayland_protocols_wlr::output_management::v1::server::zwlr_output_configuration_v1::{
    self, Error as ConfigurationError, ZwlrOutputConfigurationV1,
};
use smithay::reexports::wayland_protocols_wlr::output_management::v1::server::zwlr_output_head_v1::{
    self, AdaptiveSyncState, ZwlrOutputHeadV1,
};
use smithay::reexports::wayland_protocols_wlr::output_management::v1::server::zwlr_output_manager_v1::{
    self, ZwlrOutputManagerV1,
};
use smithay::reexports::wayland_protocols_wlr::output_management::v1::server::zwlr_output_mode_v1::{
    self, ZwlrOutputModeV1,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_output::Transform as WlTransform;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum,
};
use smithay::utils::{Logical, Point, Transform};

use crate::shell::outputs::{MAX_POSITION, Output, OutputId, OutputMode, Outputs, Settings, WantedMode};
use crate::state::{State, is_sane_scale};
use crate::trust::client::{end_for_misuse, is_local};

/// The version that is offered.
const VERSION: u32 = 4;
/// Managers, and configurations that were not destroyed, that there may be at a time.
const MAX_MANAGERS: usize = 32;
const MAX_CONFIGURATIONS: usize = 64;

/// What all clients were told, and what they are about to ask for.
#[derive(Debug, Default)]
pub struct OutputManagers {
    managers: Vec<Manager>,
    configurations: BTreeMap<ConfigurationNumber, Configuration>,
    numbers: u64,
    /// What was told last, and the serial of that: never 0, by which wlr-randr knows that it was told nothing yet.
    told: BTreeMap<OutputId, HeadState>,
    serial: u32,
}

/// Names a configuration; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigurationNumber(u64);

#[derive(Debug)]
struct Manager {
    object: ZwlrOutputManagerV1,
    heads: BTreeMap<OutputId, ToldHead>,
}

/// What one client was told of an output: the head's object, those of its modes, and its state.
type ToldHead = (ZwlrOutputHeadV1, Vec<(ZwlrOutputModeV1, OutputMode)>, HeadState);

/// What is told of an output.
#[derive(Clone, Debug, PartialEq)]
struct HeadState {
    name: String,
    enabled: bool,
    modes: Vec<OutputMode>,
    preferred: OutputMode,
    mode: OutputMode,
    position: Point<i32, Logical>,
    transform: Transform,
    scale: f64,
}

impl HeadState {
    fn of(output: &Output) -> Self {
        let mut modes = output.head.modes.clone();
        // A screen without modes of its own has the one that it is in.
        if !modes.contains(&output.mode) {
            modes.push(output.mode);
        }
        Self {
            name: output.head.name.clone(),
            enabled: output.in_use,
            modes,
            preferred: output.head.preferred,
            mode: output.mode,
            position: output.layout.position,
            transform: output.transform,
            scale: output.layout.scale,
        }
    }
}

/// What a client asks for.
#[derive(Debug)]
struct Configuration {
    /// Of the state that it was made for.
    serial: u32,
    used: bool,
    heads: BTreeMap<OutputId, Settings>,
}

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ZwlrOutputManagerV1, ()>(VERSION, ());
}

/// The outputs that clients are told of.
fn heads(outputs: &Outputs) -> BTreeMap<OutputId, HeadState> {
    let plugged = outputs.all().filter(|output| output.connected);
    plugged.map(|output| (output.id, HeadState::of(output))).collect()
}

impl Manager {
    /// Tells what is not as it was told.
    fn tell(
        &mut self,
        display: &DisplayHandle,
        outputs: &Outputs,
        now: &BTreeMap<OutputId, HeadState>,
        serial: u32,
    ) {
        let Some(client) = self.object.client() else { return };
        self.heads.retain(|id, (object, modes, told)| {
            let stays = now.get(id).is_some_and(|head| head.name == told.name);
            if !stays {
                for (mode, _) in modes.iter().filter(|(mode, _)| mode.is_alive()) {
                    mode.finished();
                }
                if object.is_alive() {
                    object.finished();
                }
            }
            stays
        });
        for (id, state) in now {
            if !self.heads.contains_key(id) {
                let version = self.object.version();
                // Fails only for a client that has gone.
                let Ok(object) = client.create_resource::<ZwlrOutputHeadV1, _, State>(display, version, *id)
                else {
                    return;
                };
                self.object.head(&object);
                introduce(&object, outputs.of(*id));
                let nothing = HeadState { modes: Vec::new(), ..state.clone() };
                self.heads.insert(*id, (object, Vec::new(), nothing));
                self.tell_head(&client, display, *id, state, true);
            } else {
                self.tell_head(&client, display, *id, state, false);
            }
        }
        self.object.done(serial);
    }

    fn tell_head(
        &mut self,
        client: &Client,
        display: &DisplayHandle,
        id: OutputId,
        now: &HeadState,
        all: bool,
    ) {
        let Some((object, modes, told)) = self.heads.get_mut(&id) else { return };
        if !object.is_alive() {
            return;
        }
        modes.retain(|(mode, known)| {
            let stays = now.modes.contains(known);
            if !stays && mode.is_alive() {
                mode.finished();
            }
            stays
        });
        for mode in &now.modes {
            if modes.iter().any(|(_, known)| known == mode) {
                continue;
            }
            let made =
                client.create_resource::<ZwlrOutputModeV1, _, State>(display, object.version(), (id, *mode));
            let Ok(mode_object) = made else { return };
            object.mode(&mode_object);
            mode_object.size(mode.size.w, mode.size.h);
            mode_object.refresh(mode.refresh);
            if *mode == now.preferred {
                mode_object.preferred();
            }
            modes.push((mode_object, *mode));
        }
        let again = all || now.enabled != told.enabled;
        if again {
            object.enabled(i32::from(now.enabled));
        }
        if now.enabled {
            let current = modes.iter().find(|(mode, known)| *known == now.mode && mode.is_alive());
            if let Some((mode, _)) = current.filter(|_| again || now.mode != told.mode) {
                object.current_mode(mode);
            }
            if again || now.position != told.position {
                object.position(now.position.x, now.position.y);
            }
            if again || now.transform != told.transform {
                object.transform(now.transform.into());
            }
            if again || (now.scale - told.scale).abs() >= f64::EPSILON {
                object.scale(now.scale);
            }
        }
        told.clone_from(now);
    }
}

/// Tells what never changes of an output.
fn introduce(object: &ZwlrOutputHeadV1, output: &Output) {
    let head = &output.head;
    object.name(head.name.clone());
    let words = [&head.make, &head.model, &head.serial].map(String::as_str).join(" ");
    object.description(format!("{} ({})", words.trim(), head.name));
    let (width, height) = head.millimetres;
    if width > 0 && height > 0 {
        object.physical_size(width, height);
    }
    if object.version() >= zwlr_output_head_v1::EVT_MAKE_SINCE {
        // Not sent where it is not known.
        if !head.make.is_empty() {
            object.make(head.make.clone());
        }
        if !head.model.is_empty() {
            object.model(head.model.clone());
        }
        if !head.serial.is_empty() {
            object.serial_number(head.serial.clone());
        }
    }
    if object.version() >= zwlr_output_head_v1::EVT_ADAPTIVE_SYNC_SINCE {
        object.adaptive_sync(AdaptiveSyncState::Disabled);
    }
}

impl OutputManagers {
    fn configuration(&mut self, number: ConfigurationNumber) -> Option<&mut Configuration> {
        self.configurations.get_mut(&number)
    }
}

impl State {
    /// Tells clients that set outputs up what is not as they were told.
    pub(crate) fn tell_output_managers(&mut self) {
        let now = heads(self.comp.shell.outputs());
        let managers = &mut self.comp.protocols.output_managers;
        if managers.told == now {
            return;
        }
        managers.serial = managers.serial.wrapping_add(1).max(1);
        for manager in &mut managers.managers {
            manager.tell(&self.comp.display, self.comp.shell.outputs(), &now, managers.serial);
        }
        managers.told = now;
    }

    /// What a configuration changes; `None` if it makes no sense as a whole.
    fn wishes(&self, heads: &BTreeMap<OutputId, Settings>) -> Option<Vec<(OutputId, Settings)>> {
        let outputs = self.comp.shell.outputs();
        if !heads.values().any(|wanted| wanted.enabled == Some(true)) {
            return None;
        }
        let wish = |(id, wanted): (&OutputId, &Settings)| {
            let output = outputs.get(*id)?;
            if wanted.enabled == Some(false) {
                return Some((*id, wanted.clone()));
            }
            let fits = |at: i32| (-MAX_POSITION..=MAX_POSITION).contains(&at);
            let sane = wanted.scale.is_none_or(is_sane_scale)
                && wanted.position.is_none_or(|at| fits(at.x) && fits(at.y))
                && wanted.mode.is_none_or(|mode| output.head.takes(mode).is_some());
            // What it repeats is no wish.
            let (mode, place) = (output.mode, output.layout.position);
            let same = |wanted: &WantedMode| {
                wanted.size == mode.size && wanted.refresh.is_none_or(|refresh| refresh == mode.refresh)
            };
            let settings = Settings {
                position: wanted.position.filter(|position| *position != place || !output.in_use),
                scale: wanted.scale,
                transform: wanted.transform,
                mode: wanted.mode.filter(|wanted| !same(wanted)),
                enabled: Some(true),
            };
            sane.then_some((*id, settings))
        };
        heads.iter().map(wish).collect()
    }

    /// Answers a configuration that is to be applied, or only tested.
    fn configure_outputs(
        &mut self,
        object: &ZwlrOutputConfigurationV1,
        number: ConfigurationNumber,
        apply: bool,
    ) {
        let managers = &mut self.comp.protocols.output_managers;
        let serial = managers.serial;
        let Some(configuration) = managers.configurations.get_mut(&number) else { return };
        if configuration.used {
            object.post_error(
                ConfigurationError::AlreadyUsed,
                "the configuration was applied or tested already",
            );
            return;
        }
        configuration.used = true;
        if configuration.serial != serial {
            object.cancelled();
            return;
        }
        let heads = configuration.heads.clone();
        if managers.told.keys().any(|id| !heads.contains_key(id)) {
            object.post_error(ConfigurationError::UnconfiguredHead, "an output is missing");
            return;
        }
        let Some(wishes) = self.wishes(&heads) else {
            object.failed();
            return;
        };
        object.succeeded();
        if apply {
            tracing::info!("a program sets up the outputs");
            self.change_outputs(|outputs| {
                for (id, settings) in wishes {
                    outputs.change(id, &settings);
                }
            });
        }
    }

    /// Takes an output into a configuration; false if the client did something wrong.
    fn take_head(
        &mut self,
        object: &ZwlrOutputConfigurationV1,
        number: ConfigurationNumber,
        head: &ZwlrOutputHeadV1,
        enabled: bool,
    ) -> Option<OutputId> {
        let id = *head.data::<OutputId>()?;
        let configuration = self.comp.protocols.output_managers.configuration(number)?;
        if configuration.used {
            object.post_error(
                ConfigurationError::AlreadyUsed,
                "the configuration was applied or tested already",
            );
            return None;
        }
        let settings = Settings { enabled: Some(enabled), ..Settings::default() };
        if configuration.heads.insert(id, settings).is_some() {
            object.post_error(ConfigurationError::AlreadyConfiguredHead, "the output was configured already");
            return None;
        }
        Some(id)
    }
}

impl GlobalDispatch<ZwlrOutputManagerV1, ()> for State {
    fn bind(
        state: &mut Self,
        display: &DisplayHandle,
        client: &Client,
        new: New<ZwlrOutputManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        let object = data_init.init(new, ());
        let now = heads(state.comp.shell.outputs());
        let managers = &mut state.comp.protocols.output_managers;
        if managers.managers.len() >= MAX_MANAGERS {
            end_for_misuse(client, display, "there are too many managers of outputs");
            return;
        }
        managers.told.clone_from(&now);
        managers.serial = managers.serial.max(1);
        let mut manager = Manager { object, heads: BTreeMap::new() };
        manager.tell(display, state.comp.shell.outputs(), &now, managers.serial);
        managers.managers.push(manager);
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client)
    }
}

impl Dispatch<ZwlrOutputManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &ZwlrOutputManagerV1,
        request: zwlr_output_manager_v1::Request,
        _data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let managers = &mut state.comp.protocols.output_managers;
        match request {
            zwlr_output_manager_v1::Request::CreateConfiguration { id, serial } => {
                managers.numbers = managers.numbers.saturating_add(1);
                let number = ConfigurationNumber(managers.numbers);
                data_init.init(id, number);
                if managers.configurations.len() >= MAX_CONFIGURATIONS {
                    end_for_misuse(client, display, "too many configurations of outputs are not destroyed");
                    return;
                }
                let configuration = Configuration { serial, used: false, heads: BTreeMap::new() };
                managers.configurations.insert(number, configuration);
            }
            zwlr_output_manager_v1::Request::Stop => {
                managers.managers.retain(|other| other.object != *manager);
                manager.finished();
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, manager: &ZwlrOutputManagerV1, _data: &()) {
        state.comp.protocols.output_managers.managers.retain(|other| other.object != *manager);
    }
}

/// The data is the output that it was made for.
impl Dispatch<ZwlrOutputHeadV1, OutputId> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _head: &ZwlrOutputHeadV1,
        _request: zwlr_output_head_v1::Request,
        _output: &OutputId,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        // It can be released.
    }
}

/// The data is the mode, and the output that has it.
impl Dispatch<ZwlrOutputModeV1, (OutputId, OutputMode)> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _mode: &ZwlrOutputModeV1,
        _request: zwlr_output_mode_v1::Request,
        _data: &(OutputId, OutputMode),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        // It can be released.
    }
}

impl Dispatch<ZwlrOutputConfigurationV1, ConfigurationNumber> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        object: &ZwlrOutputConfigurationV1,
        request: zwlr_output_configuration_v1::Request,
        number: &ConfigurationNumber,
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use zwlr_output_configuration_v1::Request;
        match request {
            Request::EnableHead { id, head } => {
                let output = state.take_head(object, *number, &head, true);
                data_init.init(id, (*number, output));
            }
            Request::DisableHead { head } => {
                state.take_head(object, *number, &head, false);
            }
            Request::Apply => state.configure_outputs(object, *number, true),
            Request::Test => state.configure_outputs(object, *number, false),
            _ => {}
        }
    }

    fn destroyed(
        state: &mut Self,
        _client: ClientId,
        _object: &ZwlrOutputConfigurationV1,
        number: &ConfigurationNumber,
    ) {
        state.comp.protocols.output_managers.configurations.remove(number);
    }
}

/// What is set of an output, once.
fn set<T>(object: &ZwlrOutputConfigurationHeadV1, place: &mut Option<T>, value: T) {
    if place.replace(value).is_some() {
        object.post_error(HeadError::AlreadySet, "the property was set already");
    }
}

/// The data is the configuration and the output; there is none where something was wrong with that.
impl Dispatch<ZwlrOutputConfigurationHeadV1, (ConfigurationNumber, Option<OutputId>)> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        object: &ZwlrOutputConfigurationHeadV1,
        request: zwlr_output_configuration_head_v1::Request,
        (number, output): &(ConfigurationNumber, Option<OutputId>),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        use zwlr_output_configuration_head_v1::Request;
        let Some(configuration) = state.comp.protocols.output_managers.configuration(*number) else { return };
        let Some(settings) = output.and_then(|output| configuration.heads.get_mut(&output)) else { return };
        match request {
            Request::SetMode { mode } => match mode.data::<(OutputId, OutputMode)>() {
                Some((of, mode)) if Some(*of) == *output => {
                    let wanted = WantedMode { size: mode.size, refresh: Some(mode.refresh) };
                    set(object, &mut settings.mode, wanted);
                }
                _ => object.post_error(HeadError::InvalidMode, "the mode is another output's"),
            },
            Request::SetCustomMode { width, height, refresh } => {
                if width <= 0 || height <= 0 || refresh < 0 {
                    object.post_error(HeadError::InvalidCustomMode, "a mode has a size");
                    return;
                }
                let refresh = Some(refresh).filter(|refresh| *refresh != 0);
                set(object, &mut settings.mode, WantedMode { size: (width, height).into(), refresh });
            }
            Request::SetPosition { x, y } => set(object, &mut settings.position, (x, y).into()),
            Request::SetTransform { transform } => match transform {
                WEnum::Value(transform) => set(object, &mut settings.transform, from_wire(transform)),
                WEnum::Unknown(_) => {
                    object.post_error(HeadError::InvalidTransform, "there is no such transform");
                }
            },
            Request::SetScale { scale } => {
                if scale <= 0.0 {
                    object.post_error(HeadError::InvalidScale, "a scale is more than nothing");
                    return;
                }
                // In this protocol it is a number of 256ths, and everywhere else one of 120ths: 1.2 is meant by 307 of the former.
                set(object, &mut settings.scale, (scale * 120.0).round() / 120.0);
            }
            Request::SetAdaptiveSync { state: WEnum::Unknown(_) } => {
                object.post_error(HeadError::InvalidAdaptiveSyncState, "there is no such state");
            }
            // There is none, and clients repeat what they were told.
            _ => {}
        }
    }
}

fn from_wire(transform: WlTransform) -> Transform {
    transform.into()
}
