//! `ext_workspace_manager_v1`: bars show the workspaces and bring one of them onto the screen.
//!
//! For programs of the GUI VM alone. There is one group with all outputs, and in it the workspaces of the output where the user is
//! in their order, each with its number as id. All of them are for showing: none is hidden.
//!
//! To switch workspaces moves the keyboard, so it is believed to be the user's wish from the program that the user used
//! last alone ([`State::acts_for_user`]). Workspaces are made by the configuration, and by no request.
//!
//! # Invariants
//!
//! * What a list keeps is what its client was told, and a workspace that is not in it any more was told to be removed.
//! * Requests do nothing before their `commit`.

use smithay::reexports::wayland_protocols::ext::workspace::v1::server::ext_workspace_group_handle_v1::{
    self, ExtWorkspaceGroupHandleV1, GroupCapabilities,
};
use smithay::reexports::wayland_protocols::ext::workspace::v1::server::ext_workspace_handle_v1::{
    self, ExtWorkspaceHandleV1, State as Bits, WorkspaceCapabilities,
};
use smithay::reexports::wayland_protocols::ext::workspace::v1::server::ext_workspace_manager_v1::{
    self, ExtWorkspaceManagerV1,
};
use smithay::reexports::wayland_server::backend::{ClientId, ObjectId};
use smithay::reexports::wayland_server::protocol::wl_output::WlOutput;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};

use crate::shell::workspaces::WorkspaceReport;
use crate::state::State;
use crate::trust::client::{end_for_misuse, is_local};

/// The version that is offered.
const VERSION: u32 = 1;
/// Managers that there may be at a time.
const MAX_LISTS: usize = 16;

/// The lists of all clients.
#[derive(Debug, Default)]
pub struct WorkspaceLists {
    lists: Vec<List>,
}

/// What one client was told.
#[derive(Debug)]
struct List {
    manager: ExtWorkspaceManagerV1,
    group: ExtWorkspaceGroupHandleV1,
    workspaces: Vec<Told>,
    /// What its client wants on the screen, with its next commit.
    wanted: Option<ExtWorkspaceHandleV1>,
}

/// What a client was told of one workspace.
#[derive(Debug)]
struct Told {
    object: ExtWorkspaceHandleV1,
    name: String,
    state: Bits,
}

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ExtWorkspaceManagerV1, ()>(VERSION, ());
}

fn bits(workspace: &WorkspaceReport) -> Bits {
    let mut bits = Bits::empty();
    bits.set(Bits::Active, workspace.current);
    bits.set(Bits::Urgent, workspace.urgent);
    bits
}

impl List {
    /// Tells what is not as it was told.
    fn tell(&mut self, display: &DisplayHandle, now: &[WorkspaceReport]) {
        // Not there any more once it was ended.
        let Some(client) = self.manager.client() else { return };
        let mut changed = false;
        for Told { object, .. } in self.workspaces.drain(now.len().min(self.workspaces.len())..) {
            if self.group.is_alive() && object.is_alive() {
                self.group.workspace_leave(&object);
            }
            object.removed();
            changed = true;
        }
        for (told, now) in self.workspaces.iter_mut().zip(now) {
            let state = bits(now);
            if told.name != now.name {
                told.object.name(now.name.clone());
                now.name.clone_into(&mut told.name);
                changed = true;
            }
            if told.state != state {
                told.object.state(state);
                told.state = state;
                changed = true;
            }
        }
        for (index, workspace) in now.iter().enumerate().skip(self.workspaces.len()) {
            let list = self.manager.id();
            // Fails only for a client that has gone.
            let Ok(object) = client.create_resource::<ExtWorkspaceHandleV1, _, State>(display, VERSION, list)
            else {
                return;
            };
            let (name, state) = (workspace.name.clone(), bits(workspace));
            self.manager.workspace(&object);
            object.id(index.saturating_add(1).to_string());
            object.name(name.clone());
            let place = u32::try_from(index).unwrap_or(u32::MAX);
            object.coordinates(place.to_ne_bytes().to_vec());
            object.state(state);
            object.capabilities(WorkspaceCapabilities::Activate);
            if self.group.is_alive() {
                self.group.workspace_enter(&object);
            }
            self.workspaces.push(Told { object, name, state });
            changed = true;
        }
        if changed {
            self.manager.done();
        }
    }
}

impl WorkspaceLists {
    fn of(&mut self, manager: &ObjectId) -> Option<&mut List> {
        self.lists.iter_mut().find(|list| list.manager.id() == *manager)
    }

    fn forget(&mut self, manager: &ExtWorkspaceManagerV1) {
        self.lists.retain(|list| list.manager != *manager);
    }
}

impl State {
    /// Tells bars what is not as they were told.
    pub(crate) fn tell_workspaces(&mut self) {
        let lists = &mut self.comp.protocols.workspace_lists.lists;
        if lists.is_empty() {
            return;
        }
        let now = self.comp.shell.workspaces_report();
        for list in lists {
            list.tell(&self.comp.display, &now);
        }
    }

    /// A client that lists workspaces bound the output: it is in its group, too.
    pub(super) fn workspaces_output(&self, output: &WlOutput) {
        for list in &self.comp.protocols.workspace_lists.lists {
            if list.group.is_alive() && list.group.id().same_client_as(&output.id()) {
                list.group.output_enter(output);
                list.manager.done();
            }
        }
    }
}

impl GlobalDispatch<ExtWorkspaceManagerV1, ()> for State {
    fn bind(
        state: &mut Self,
        display: &DisplayHandle,
        client: &Client,
        new: New<ExtWorkspaceManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        let manager = data_init.init(new, ());
        if state.comp.protocols.workspace_lists.lists.len() >= MAX_LISTS {
            end_for_misuse(client, display, "there are too many lists of workspaces");
            return;
        }
        let group = client.create_resource::<ExtWorkspaceGroupHandleV1, _, State>(display, VERSION, ());
        let Ok(group) = group else { return };
        manager.workspace_group(&group);
        group.capabilities(GroupCapabilities::empty());
        for output in state.comp.shell.outputs().used() {
            let bound = state.comp.announced.of_client(output.id, client);
            bound.iter().for_each(|output| group.output_enter(output));
        }
        let mut list = List { manager, group, workspaces: Vec::new(), wanted: None };
        list.tell(display, &state.comp.shell.workspaces_report());
        state.comp.protocols.workspace_lists.lists.push(list);
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client)
    }
}

impl Dispatch<ExtWorkspaceManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &ExtWorkspaceManagerV1,
        request: ext_workspace_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        match request {
            ext_workspace_manager_v1::Request::Commit => {
                let Some(list) = state.comp.protocols.workspace_lists.of(&manager.id()) else { return };
                let Some(wanted) = list.wanted.take() else { return };
                // One that was removed is not among them.
                let to = list.workspaces.iter().position(|told| told.object == wanted);
                if let Some(to) = to.filter(|_| state.acts_for_user(client)) {
                    state.switch_workspace(to);
                }
            }
            ext_workspace_manager_v1::Request::Stop => {
                state.comp.protocols.workspace_lists.forget(manager);
                manager.finished();
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, manager: &ExtWorkspaceManagerV1, _data: &()) {
        state.comp.protocols.workspace_lists.forget(manager);
    }
}

impl Dispatch<ExtWorkspaceGroupHandleV1, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _group: &ExtWorkspaceGroupHandleV1,
        _request: ext_workspace_group_handle_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        // It can be destroyed; that workspaces can be made was not said.
    }
}

/// The data is the manager.
impl Dispatch<ExtWorkspaceHandleV1, ObjectId> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        workspace: &ExtWorkspaceHandleV1,
        request: ext_workspace_handle_v1::Request,
        manager: &ObjectId,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        // The others were not said to do anything.
        if let ext_workspace_handle_v1::Request::Activate = request
            && let Some(list) = state.comp.protocols.workspace_lists.of(manager)
        {
            list.wanted = Some(workspace.clone());
        }
    }
}
