//! `wl_output` and `zxdg_output_v1`: one for each output in use. They tell the name of the connector, and otherwise nothing of
//! the real screen but its mode. VMs are shown another one in their stead ([`super::synthetic_output`]), unless the configuration
//! says otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use calloop::timer::{TimeoutAction, Timer};
use smithay::desktop::{PopupManager, find_popup_root_surface};
use smithay::output::{Mode, Output, PhysicalProperties, Scale, Subpixel};
use smithay::reexports::wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_manager_v1::ZxdgOutputManagerV1;
use smithay::reexports::wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_v1::ZxdgOutputV1;
use smithay::reexports::wayland_server::backend::GlobalId;
use smithay::reexports::wayland_server::protocol::wl_output::WlOutput;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, DisplayHandle, GlobalDispatch, New, Resource, delegate_dispatch,
};
use smithay::wayland::compositor::{TraversalAction, get_parent, with_surface_tree_downward};
use smithay::wayland::output::{
    OutputHandler, OutputManagerState, OutputUserData, WlOutputData, XdgOutputUserData,
};

use super::synthetic_output::{Shape, SyntheticOutputs};
use crate::handlers::globals::{admit, delegate_global};
use crate::shell::Layout;
use crate::shell::outputs::{self, Head, OutputId, OutputMode, Outputs};
use crate::shell::window::WindowId;
use crate::state::{Comp, State};
use crate::trust::client::{self, may_see, origin_of};
use crate::trust::origin::Origin;

/// How long a client may still bind an output that is not there any more: it may not have been told yet.
const GRACE: Duration = Duration::from_secs(10);

/// An output as clients know it.
#[derive(Debug)]
struct Announcement {
    output: Output,
    global: GlobalId,
}

/// The outputs as clients know them.
#[derive(Debug, Default)]
pub struct Announced {
    outputs: BTreeMap<OutputId, Announcement>,
    /// What VMs are shown instead.
    pub(super) synthetic: SyntheticOutputs,
}

impl Announced {
    /// The protocol library's side of an output in use.
    #[must_use]
    pub fn get(&self, id: OutputId) -> Option<&Output> {
        self.outputs.get(&id).map(|announced| &announced.output)
    }

    /// The output that a client names; `None` once it is gone.
    #[must_use]
    pub fn find(&self, named: &WlOutput) -> Option<OutputId> {
        self.outputs.iter().find(|(_, announced)| announced.output.owns(named)).map(|(id, _)| *id)
    }

    /// The number of an output.
    pub(super) fn id_of(&self, output: &Output) -> Option<OutputId> {
        self.outputs.iter().find(|(_, announced)| announced.output == *output).map(|(id, _)| *id)
    }

    /// The objects that a client has of an output.
    pub(super) fn of_client(&self, id: OutputId, client: &Client) -> Vec<WlOutput> {
        self.get(id).map(|output| output.client_outputs(client).collect()).unwrap_or_default()
    }

    /// A surface is on this output and on no other.
    fn enter(&self, id: OutputId, surface: &WlSurface) {
        for (other, announced) in &self.outputs {
            if *other == id {
                announced.output.enter(surface);
            } else {
                announced.output.leave(surface);
            }
        }
    }

    /// A surface is on no output.
    pub fn leave_all(&mut self, surface: &WlSurface) {
        self.synthetic.leave(surface);
        for announced in self.outputs.values() {
            announced.output.leave(surface);
        }
    }
}

fn announce(display: &DisplayHandle, output: &outputs::Output) -> Announcement {
    let physical = PhysicalProperties {
        size: (0, 0).into(),
        subpixel: Subpixel::Unknown,
        make: "Vitrail".to_owned(),
        model: "Output".to_owned(),
    };
    let announced = Output::new(output.head.name.clone(), physical);
    update(&announced, output);
    let global = announced.create_global::<State>(display);
    Announcement { output: announced, global }
}

fn update(announced: &Output, output: &outputs::Output) {
    let OutputMode { size, refresh } = output.mode;
    let mode = Mode { size: (size.w, size.h).into(), refresh };
    let old = announced.current_mode();
    announced.change_current_state(
        Some(mode),
        Some(output.transform),
        Some(Scale::Fractional(output.layout.scale)),
        Some(output.layout.position),
    );
    announced.set_preferred(mode);
    if let Some(old) = old.filter(|old| *old != mode) {
        announced.delete_mode(old);
    }
}

impl Comp {
    /// Makes clients know the outputs that are in use.
    pub(crate) fn announce_outputs(&mut self) {
        let mut before = std::mem::take(&mut self.announced.outputs);
        for output in self.shell.outputs().used() {
            // The same number may be another screen's by now.
            let known = before.remove(&output.id).filter(|known| known.output.name() == output.head.name);
            if let Some(known) = &known {
                update(&known.output, output);
            }
            let announced = known.unwrap_or_else(|| announce(&self.display, output));
            self.announced.outputs.insert(output.id, announced);
        }
        for (_, gone) in before {
            self.withdraw(gone);
        }
    }

    fn withdraw(&self, gone: Announcement) {
        self.display.disable_global::<State>(gone.global.clone());
        let inserted =
            self.events.insert_source(Timer::from_duration(GRACE), move |_, (), state: &mut State| {
                state.comp.display.remove_global::<State>(gone.global.clone());
                TimeoutAction::Drop
            });
        if let Err(error) = inserted {
            tracing::error!("error arming the timer of an output that is gone: {error}");
        }
    }

    /// The output that a window, layer surface, lock surface or popup is on.
    pub(crate) fn output_of(&self, surface: &WlSurface) -> Option<OutputId> {
        if let Some(window) = self.shell.find(|window| window.handle.wl_surface() == surface) {
            return Some(window.output);
        }
        if let Some(layer) = self.layers.find(|layer| layer.handle.wl_surface() == surface) {
            return Some(layer.output);
        }
        if let Some((output, _)) = self.lock.placed().find(|(_, lock)| lock == surface) {
            return Some(*output);
        }
        if let Some(method) = &self.input.method
            && method.owns(surface)
        {
            return self.shell.focused().map(|window| window.output);
        }
        let root = find_popup_root_surface(&self.popups.find_popup(surface)?).ok()?;
        if root == *surface { None } else { self.output_of(&root) }
    }

    /// The geometry of the output that the focused window is on.
    pub(crate) fn layout_of_focus(&self) -> &Layout {
        self.shell.focused().map_or(self.shell.layout(), |window| self.shell.layout_of(window))
    }

    /// The geometry of the output that a surface is on; where the user is, if it is on none yet.
    pub(crate) fn layout_for(&self, surface: &WlSurface) -> &Layout {
        if self.shell.outputs().used().nth(1).is_none() {
            return self.shell.layout();
        }
        let mut root = surface.clone();
        while let Some(parent) = get_parent(&root) {
            root = parent;
        }
        let output = self.output_of(&root);
        output.map_or(self.shell.layout(), |output| self.shell.layout_on(output))
    }
}

impl State {
    /// Tells a surface which output it is on.
    pub(crate) fn enter_output_of(&mut self, surface: &WlSurface) {
        let Some(output) = self.comp.output_of(surface) else { return };
        self.comp.announced.enter(output, surface);
        if let Some(origin) = origin_of(surface).filter(Origin::is_vm) {
            let rule = self.comp.config.current().privacy_rules(&origin).outputs;
            let shape = Shape::of(self.comp.shell.layout_on(output), rule);
            self.comp.announced.synthetic.enter(surface, shape);
        }
    }

    /// A window is on another output: its surfaces and popups are told, and its client is asked for what fits there.
    pub(crate) fn moved_to_output(&mut self, id: WindowId) {
        let family = self.comp.shell.family(id);
        for id in family {
            let Some(window) = self.comp.shell.get(id) else { continue };
            let toplevel = window.handle.clone();
            if window.mapped {
                self.tell_tree(toplevel.wl_surface());
                for (popup, _) in PopupManager::popups_for_surface(toplevel.wl_surface()) {
                    self.tell_tree(popup.wl_surface());
                }
            }
            if toplevel.is_initial_configure_sent() {
                self.configure(id);
                toplevel.send_pending_configure();
            }
        }
    }

    fn tell_tree(&mut self, root: &WlSurface) {
        self.enter_output_of(root);
        let mut surfaces = Vec::new();
        with_surface_tree_downward(
            root,
            (),
            |_, _, ()| TraversalAction::DoChildren(()),
            |surface, _, ()| surfaces.push(surface.clone()),
            |_, _, ()| true,
        );
        for surface in surfaces {
            self.tell_scale(&surface);
        }
    }

    /// Changes the outputs, and makes everything follow: clients, the backend, frames, windows and the pointer.
    pub fn change_outputs<R>(&mut self, change: impl FnOnce(&mut Outputs) -> R) -> R {
        let held = self.comp.input.interaction.map(|held| held.window());
        let output_of_held = |comp: &Comp| held.and_then(|id| comp.shell.get(id)).map(|window| window.output);
        let before = output_of_held(&self.comp);
        let result = self.comp.shell.change_outputs(change);
        if let Some(held) = held.filter(|_| output_of_held(&self.comp) != before) {
            // Where the hand took hold of it is not on an output any more.
            self.forget_interaction(held);
        }
        self.comp.announce_outputs();
        if let Err(error) = self.backend.follow(self.comp.shell.outputs()) {
            tracing::error!("error changing the outputs: {:#}", anyhow::Error::from(error));
        }
        self.comp.schedule.follow(self.comp.shell.outputs());
        self.comp.decor.follow(self.comp.shell.outputs());
        self.close_layers_without_output();
        self.arrange_layers();
        self.lock_follows_outputs();
        if let Some(pointer) = self.comp.input.pointer {
            let inside = self.comp.inside(pointer);
            if inside != pointer {
                self.comp.input.put_pointer(inside);
            }
        }
        let windows: Vec<WindowId> = self.comp.shell.bottom_up().map(|window| window.id).collect();
        for id in windows {
            self.moved_to_output(id);
        }
        let layers = self.comp.layers.all().filter(|layer| layer.mapped);
        let layers = layers.map(|layer| layer.handle.wl_surface());
        let surfaces: Vec<WlSurface> = layers.chain(self.comp.lock.surfaces()).cloned().collect();
        for surface in &surfaces {
            self.tell_tree(surface);
        }
        self.tell_output_managers();
        self.tell_output_powers();
        self.gamma_follows_outputs();
        self.windows_changed();
        result
    }

    /// A screen is plugged in, or is another one than before. False: there are too many.
    pub fn connect_output(&mut self, head: Head) -> bool {
        let name = head.name.clone();
        let connected = self.change_outputs(|outputs| outputs.connect(head));
        match connected {
            Some(_) => tracing::info!(output = %name, "an output is connected"),
            None => tracing::warn!(output = %name, "an output is not used: there are too many"),
        }
        connected.is_some()
    }

    /// A screen is plugged out. Its windows go to another one, and come back with it.
    pub fn disconnect_output(&mut self, name: &str) {
        self.change_outputs(|outputs| outputs.disconnect(name));
        tracing::info!(output = %name, "an output is disconnected");
    }
}

impl OutputHandler for State {
    fn output_bound(&mut self, output: Output, bound: WlOutput) {
        self.task_lists_output(&output, &bound);
        self.workspaces_output(&bound);
    }
}

delegate_global!(ZxdgOutputManagerV1: () => OutputManagerState);
delegate_dispatch!(State: [WlOutput: OutputUserData] => OutputManagerState);
delegate_dispatch!(State: [ZxdgOutputV1: XdgOutputUserData] => OutputManagerState);

/// As [`delegate_global`] has it, but for the clients that are shown another output in place of these.
impl GlobalDispatch<WlOutput, WlOutputData> for State {
    fn bind(
        state: &mut Self,
        display: &DisplayHandle,
        client: &Client,
        new: New<WlOutput>,
        data: &WlOutputData,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let Some(new) = admit(client, display, new, data_init) else { return };
        <OutputManagerState as GlobalDispatch<WlOutput, WlOutputData, Self>>::bind(
            state, display, client, new, data, data_init,
        );
    }

    fn can_view(client: Client, _data: &WlOutputData) -> bool {
        may_see(&client, WlOutput::interface().name)
            && !client::state(&client).is_some_and(client::ClientState::sees_synthetic_output)
    }
}
