//! `wl_output` and `zxdg_output_v1` as a VM is shown them: one output in place of the real ones.
//!
//! # Model
//!
//! The name of a connector, how many screens there are, where they stand and how fast they are tell a VM which machine it is on, and
//! two VMs that they share it. So a VM is shown one output of no make, 60 times a second, at the origin, in the size and the whole
//! scale of the real one that one of its windows came to last, or where the user is before it has any; with
//! `outputs = "rounded"` in steps that many screens share ([`Shape::of`]). Its windows are on that output wherever they are, so
//! moving one to another screen tells it no more than a scale that differs.
//!
//! A VM whose table says `outputs = "real"` is shown the real outputs ([`super::output`]). Which it is, is decided when the connection is
//! made.
//!
//! # Invariants
//!
//! * A client sees either real outputs or this one.
//! * It keeps the VM's order of events: a shape is told as a whole, and only if it is another one.

use std::collections::{HashMap, HashSet};

use smithay::reexports::wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_manager_v1::{
    self, ZxdgOutputManagerV1,
};
use smithay::reexports::wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_v1::{
    self, ZxdgOutputV1,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::protocol::wl_output::{self, Mode, Subpixel, Transform, WlOutput};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, Weak,
};
use smithay::utils::{Logical, Size};
use smithay::wayland::output::OutputManagerState;

use crate::config::guest::OutputsRule;
use crate::handlers::globals::admit;
use crate::render::schedule::REFRESH_MHZ;
use crate::shell::Layout;
use crate::state::{Comp, State};
use crate::trust::client::{self, end_for_misuse, may_see};
use crate::trust::origin::Origin;

/// The version that is offered, which is that of the real ones.
const VERSION: u32 = 4;
/// What it is called.
const NAME: &str = "output";
/// How many objects of it one VM may have.
const MAX_OBJECTS: usize = 1024;
/// The steps of a rounded size, in logical pixels.
const STEP: (i32, i32) = (200, 100);

/// How large the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// In logical pixels.
    pub size: Size<i32, Logical>,
    /// Whole physical pixels per logical one.
    pub scale: i32,
}

impl Shape {
    /// What a VM is told of an output.
    #[must_use]
    pub fn of(layout: &Layout, rule: OutputsRule) -> Self {
        let size = layout.logical().size;
        let scale = smithay::output::Scale::Fractional(layout.scale).integer_scale().max(1);
        let down = |length: i32, step: i32| (length - length.rem_euclid(step)).max(step);
        let size = match rule {
            OutputsRule::Rounded => (down(size.w, STEP.0), down(size.h, STEP.1)).into(),
            OutputsRule::Real | OutputsRule::Synthetic => size,
        };
        Self { size, scale }
    }
}

/// What a VM knows.
#[derive(Debug)]
struct Shown {
    shape: Shape,
    outputs: Vec<WlOutput>,
    /// Descriptions of an output, and whose they are.
    described: Vec<(ZxdgOutputV1, WlOutput)>,
    /// The surfaces that are on it. What a surface shows lives as long as somebody has the surface itself.
    surfaces: HashSet<Weak<WlSurface>>,
}

/// What each VM is shown.
#[derive(Debug, Default)]
pub(super) struct SyntheticOutputs(HashMap<Origin, Shown>);

impl SyntheticOutputs {
    fn shown(&mut self, origin: Origin, shape: Shape) -> &mut Shown {
        self.0.entry(origin).or_insert_with(|| Shown {
            shape,
            outputs: Vec::new(),
            described: Vec::new(),
            surfaces: HashSet::new(),
        })
    }

    /// A surface of a client is on an output of this shape.
    pub(super) fn enter(&mut self, surface: &WlSurface, shape: Shape) {
        let Some(origin) = synthetic_for(surface) else { return };
        let shown = self.shown(origin, shape);
        shown.reshape(shape);
        shown.surfaces.retain(Weak::is_alive);
        if shown.surfaces.insert(surface.downgrade()) {
            for output in shown.outputs.iter().filter(|output| output.id().same_client_as(&surface.id())) {
                surface.enter(output);
            }
        }
    }

    /// A surface is on no output.
    pub(super) fn leave(&mut self, surface: &WlSurface) {
        let Some(shown) = synthetic_for(surface).and_then(|origin| self.0.get_mut(&origin)) else { return };
        if shown.surfaces.remove(&surface.downgrade()) {
            for output in shown.outputs.iter().filter(|output| output.id().same_client_as(&surface.id())) {
                surface.leave(output);
            }
        }
    }
}

impl Shown {
    fn reshape(&mut self, shape: Shape) {
        if shape == self.shape {
            return;
        }
        self.shape = shape;
        for (described, _) in &self.described {
            described.logical_size(shape.size.w, shape.size.h);
            if described.version() < 3 {
                described.done();
            }
        }
        for output in &self.outputs {
            tell_shape(output, shape);
        }
    }
}

/// The VM of an object's client, if that client is shown a synthetic output.
fn synthetic_for(object: &impl Resource) -> Option<Origin> {
    let known = object.client()?;
    client::state(&known).filter(|known| known.sees_synthetic_output()).map(|known| known.origin.clone())
}

fn tell_shape(output: &WlOutput, Shape { size, scale }: Shape) {
    let pixels = |length: i32| length.saturating_mul(scale);
    output.mode(Mode::Current | Mode::Preferred, pixels(size.w), pixels(size.h), REFRESH_MHZ);
    if output.version() >= 2 {
        output.scale(scale);
        output.done();
    }
}

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, WlOutput, SyntheticOutput>(VERSION, SyntheticOutput);
}

/// What stands for the output of a VM, whichever VM that is.
#[derive(Debug)]
pub struct SyntheticOutput;

impl Comp {
    /// The shape of the output that a client is shown which has no window yet.
    fn first_shape(&self, origin: &Origin) -> Shape {
        Shape::of(self.shell.layout(), self.config.current().privacy_rules(origin).outputs)
    }
}

impl GlobalDispatch<WlOutput, SyntheticOutput> for State {
    fn bind(
        state: &mut Self,
        display: &DisplayHandle,
        client: &Client,
        new: New<WlOutput>,
        _data: &SyntheticOutput,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let Some(new) = admit(client, display, new, data_init) else { return };
        let output = data_init.init(new, SyntheticOutput);
        let Some(origin) = client::state(client).map(|known| known.origin.clone()) else { return };
        let shape = state.comp.first_shape(&origin);
        let shown = state.comp.announced.synthetic.shown(origin, shape);
        if shown.outputs.len() >= MAX_OBJECTS {
            end_for_misuse(client, display, "too many objects of an output");
            return;
        }
        let (make, model) = ("Vitrail".to_owned(), "Output".to_owned());
        output.geometry(0, 0, 0, 0, Subpixel::Unknown, make, model, Transform::Normal);
        if output.version() >= 4 {
            output.name(NAME.to_owned());
            output.description("A screen".to_owned());
        }
        tell_shape(&output, shown.shape);
        let surfaces = shown.surfaces.iter().filter_map(|surface| surface.upgrade().ok());
        for surface in surfaces.filter(|surface| surface.id().same_client_as(&output.id())) {
            surface.enter(&output);
        }
        shown.outputs.push(output);
    }

    fn can_view(client: Client, _data: &SyntheticOutput) -> bool {
        may_see(&client, WlOutput::interface().name)
            && client::state(&client).is_some_and(client::ClientState::sees_synthetic_output)
    }
}

impl Dispatch<WlOutput, SyntheticOutput> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _output: &WlOutput,
        _request: wl_output::Request,
        _data: &SyntheticOutput,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        // It can be released.
    }

    fn destroyed(state: &mut Self, _client: ClientId, output: &WlOutput, _data: &SyntheticOutput) {
        for shown in state.comp.announced.synthetic.0.values_mut() {
            shown.outputs.retain(|known| known != output);
        }
    }
}

impl Dispatch<ZxdgOutputManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &ZxdgOutputManagerV1,
        request: zxdg_output_manager_v1::Request,
        data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use zxdg_output_manager_v1::Request;
        let request = match request {
            Request::GetXdgOutput { id, output } if output.data::<SyntheticOutput>().is_some() => {
                let described = data_init.init(id, SyntheticOutput);
                state.describe(client, display, described, output);
                return;
            }
            // Smithay takes it for granted that the output is there.
            Request::GetXdgOutput { id, output }
                if smithay::output::Output::from_resource(&output).is_none() =>
            {
                data_init.init(id, SyntheticOutput);
                return;
            }
            request => request,
        };
        <OutputManagerState as Dispatch<ZxdgOutputManagerV1, (), Self>>::request(
            state, client, manager, request, data, display, data_init,
        );
    }
}

impl State {
    fn describe(
        &mut self,
        client: &Client,
        display: &DisplayHandle,
        described: ZxdgOutputV1,
        output: WlOutput,
    ) {
        let known =
            client::state(client).and_then(|known| self.comp.announced.synthetic.0.get_mut(&known.origin));
        let Some(shown) = known.filter(|shown| shown.outputs.contains(&output)) else { return };
        if shown.described.len() >= MAX_OBJECTS {
            end_for_misuse(client, display, "too many objects of an output");
            return;
        }
        described.logical_position(0, 0);
        described.logical_size(shown.shape.size.w, shown.shape.size.h);
        if described.version() >= 2 {
            described.name(NAME.to_owned());
            described.description("A screen".to_owned());
        }
        if described.version() < 3 {
            described.done();
        }
        if output.version() >= 2 {
            output.done();
        }
        shown.described.push((described, output));
    }
}

impl Dispatch<ZxdgOutputV1, SyntheticOutput> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _described: &ZxdgOutputV1,
        _request: zxdg_output_v1::Request,
        _data: &SyntheticOutput,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        // It can be destroyed.
    }

    fn destroyed(state: &mut Self, _client: ClientId, described: &ZxdgOutputV1, _data: &SyntheticOutput) {
        for shown in state.comp.announced.synthetic.0.values_mut() {
            shown.described.retain(|(known, _)| known != described);
        }
    }
}
