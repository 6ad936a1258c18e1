//! `vitrail-vm-v1`, our own protocol: panels and task switchers learn of VMs and their windows, and act on windows.
//!
//! For programs of the GUI VM alone: no VM is shown the global, whatever the configuration says, because it tells of all
//! of them. What there is to tell is an [`Overview`]; a list keeps what its client was told, and tells the difference once the
//! client has handled what it was told before. So what a VM did in the meantime and took back is not told at all, and no VM
//! can have a slow reader ended for what waits for it.
//!
//! # Invariants
//!
//! * What a list keeps is what its client was told, and a VM or window that is not in it any more was told to be gone.
//! * A window is told after its VM, and closed before its VM is removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use smithay::reexports::wayland_server::backend::{ClientId, ObjectId};
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};
use vitrail_protocols::vitrail_vm::server::vitrail_vm_manager_v1::{self, VitrailVmManagerV1};
use vitrail_protocols::vitrail_vm::server::vitrail_vm_v1::{self, Kind, VitrailVmV1};
use vitrail_protocols::vitrail_vm::server::vitrail_window_v1::{self, VitrailWindowV1};

use super::foreign_toplevel_list::Mapped;
use crate::overview::{Overview, VmView, WindowState, WindowView};
use crate::shell::window::WindowId;
use crate::state::State;
use crate::trust::client::{end_for_misuse, is_local};
use crate::trust::origin::Origin;
use crate::trust::style::Pattern;

/// The version that is offered.
const VERSION: u32 = 1;
/// Managers that there may be at a time. Each costs an object for every VM and every window.
const MAX_LISTS: usize = 16;
/// Objects of closed windows that a client may leave. The windows that there are have limits of their own, but a VM can open
/// and close one with every frame.
const MAX_CLOSED: usize = 4096;

/// The lists of all clients.
#[derive(Debug, Default)]
pub struct VmLists {
    lists: Vec<List>,
    /// How many connections each origin had when the readers were last told.
    pub(crate) told_clients: Vec<u32>,
    /// A local program asked for something that readers are to be told of at once.
    pub(crate) hurry: bool,
}

/// What one client was told.
#[derive(Debug)]
struct List {
    manager: VitrailVmManagerV1,
    vms: BTreeMap<Origin, (VitrailVmV1, VmView)>,
    windows: BTreeMap<WindowId, (VitrailWindowV1, WindowView)>,
    /// Objects of windows that were told to be closed, and were not destroyed yet.
    closed: usize,
    /// What was told last is not acknowledged.
    waiting: bool,
}

/// What an object of a window stands for, and whose list it is in.
#[derive(Debug)]
pub struct Listed {
    mapped: Mapped,
    manager: ObjectId,
}

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, VitrailVmManagerV1, ()>(VERSION, ());
}

impl VmLists {
    /// Whether nobody is told anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Tells every client what is not as it was told.
    pub(crate) fn tell(&mut self, display: &DisplayHandle, now: &Overview) {
        for list in &mut self.lists {
            list.tell(display, now);
        }
    }

    fn forget(&mut self, manager: &VitrailVmManagerV1) {
        self.lists.retain(|list| list.manager != *manager);
    }
}

impl List {
    fn new(manager: VitrailVmManagerV1) -> Self {
        Self { manager, vms: BTreeMap::new(), windows: BTreeMap::new(), closed: 0, waiting: false }
    }

    fn tell(&mut self, display: &DisplayHandle, now: &Overview) {
        if self.waiting {
            return;
        }
        // Not there any more once it was ended.
        let Some(client) = self.manager.client() else { return };
        let gone = self.tell_gone(now);
        let vms = self.tell_vms(&client, display, now);
        let windows = self.tell_windows(&client, display, now);
        if gone || vms || windows {
            self.manager.done();
            self.waiting = true;
        }
    }

    /// Whether the client knows all there is to tell.
    fn knows(&self, now: &Overview) -> bool {
        let vms = self.vms.iter().map(|(origin, (_, vm))| (origin, vm));
        let windows = self.windows.iter().map(|(id, (_, window))| (id, window));
        vms.eq(&now.vms) && windows.eq(&now.windows)
    }

    /// Tells what is gone; whether something was.
    fn tell_gone(&mut self, now: &Overview) -> bool {
        let (windows, vms) = (self.windows.len(), self.vms.len());
        let mut closed = 0_usize;
        self.windows.retain(|id, (object, told)| {
            let stays = now.windows.get(id).is_some_and(|window| window.identifier == told.identifier);
            if !stays && object.is_alive() {
                object.closed();
                closed = closed.saturating_add(1);
            }
            stays
        });
        self.closed = self.closed.saturating_add(closed);
        self.vms.retain(|origin, (object, _)| {
            let stays = now.vms.contains_key(origin);
            if !stays {
                object.removed();
            }
            stays
        });
        (windows, vms) != (self.windows.len(), self.vms.len())
    }

    fn tell_vms(&mut self, client: &Client, display: &DisplayHandle, now: &Overview) -> bool {
        let mut changed = false;
        for (origin, vm) in &now.vms {
            if let Some((object, told)) = self.vms.get_mut(origin) {
                if told != vm {
                    tell_vm(object, Some(told), vm);
                    vm.clone_into(told);
                    changed = true;
                }
                continue;
            }
            // Fails only for a client that has gone.
            let Ok(object) = client.create_resource::<VitrailVmV1, _, State>(display, VERSION, ()) else {
                return changed;
            };
            self.manager.vm(&object);
            let kind = if origin.is_vm() { Kind::Vm } else { Kind::Local };
            object.identity(origin.name().to_owned(), kind);
            tell_vm(&object, None, vm);
            self.vms.insert(origin.clone(), (object, vm.clone()));
            changed = true;
        }
        changed
    }

    fn tell_windows(&mut self, client: &Client, display: &DisplayHandle, now: &Overview) -> bool {
        let mut changed = false;
        for (id, window) in &now.windows {
            if let Some((object, told)) = self.windows.get_mut(id) {
                if told != window {
                    tell_window(object, Some(told), window);
                    window.clone_into(told);
                    changed = true;
                }
                continue;
            }
            // A client that destroyed the VM's object is told of no more of its windows.
            let vm = self.vms.get(&window.origin).map(|(vm, _)| vm);
            let Some(vm) = vm.filter(|vm| vm.is_alive()) else { continue };
            let mapped = Mapped { window: *id, identifier: Arc::clone(&window.identifier) };
            let listed = Listed { mapped, manager: self.manager.id() };
            let Ok(object) = client.create_resource::<VitrailWindowV1, _, State>(display, VERSION, listed)
            else {
                return changed;
            };
            vm.window(&object);
            object.identifier(window.identifier.to_string());
            tell_window(&object, None, window);
            self.windows.insert(*id, (object, window.clone()));
            changed = true;
        }
        changed
    }
}

/// Tells what of a VM is not as it was told; everything if nothing was.
fn tell_vm(object: &VitrailVmV1, told: Option<&VmView>, now: &VmView) {
    let style = told.map(|told| &told.style);
    if style.is_none_or(|told| told.label != now.style.label) {
        object.label(now.style.label.to_string());
    }
    if style.is_none_or(|told| told.color != now.style.color) {
        let [red, green, blue] = now.style.color.0.map(u32::from);
        object.color(red, green, blue);
    }
    if style.is_none_or(|told| told.pattern != now.style.pattern) {
        object.pattern(match now.style.pattern {
            Pattern::Solid => vitrail_vm_v1::Pattern::Solid,
            Pattern::Stripes => vitrail_vm_v1::Pattern::Stripes,
            Pattern::Dots => vitrail_vm_v1::Pattern::Dots,
            Pattern::Double => vitrail_vm_v1::Pattern::Double,
        });
    }
    if told.is_none_or(|told| told.clients != now.clients) {
        object.clients(now.clients);
    }
    if told.is_none_or(|told| (told.keyboard, told.urgent) != (now.keyboard, now.urgent)) {
        let mut state = vitrail_vm_v1::State::empty();
        state.set(vitrail_vm_v1::State::Keyboard, now.keyboard);
        state.set(vitrail_vm_v1::State::Urgent, now.urgent);
        object.state(state);
    }
}

/// Tells what of a window is not as it was told; everything if nothing was.
fn tell_window(object: &VitrailWindowV1, told: Option<&WindowView>, now: &WindowView) {
    if told.is_none_or(|told| told.app_id != now.app_id) {
        object.app_id(now.app_id.to_string());
    }
    if told.is_none_or(|told| told.title != now.title) {
        object.title(now.title.to_string());
    }
    if told.is_none_or(|told| told.state != now.state) {
        object.state(bits(now.state));
    }
}

fn bits(window: WindowState) -> vitrail_window_v1::State {
    use vitrail_window_v1::State as Bits;
    let WindowState { focused, urgent, minimized, maximized, fullscreen, imitating } = window;
    let mut bits = Bits::empty();
    for (bit, set) in [
        (Bits::Focused, focused),
        (Bits::Urgent, urgent),
        (Bits::Minimized, minimized),
        (Bits::Maximized, maximized),
        (Bits::Fullscreen, fullscreen),
        (Bits::Imitating, imitating),
    ] {
        bits.set(bit, set);
    }
    bits
}

impl GlobalDispatch<VitrailVmManagerV1, ()> for State {
    fn bind(
        state: &mut Self,
        display: &DisplayHandle,
        client: &Client,
        new: New<VitrailVmManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        let manager = data_init.init(new, ());
        if state.comp.protocols.vm_lists.lists.len() >= MAX_LISTS {
            end_for_misuse(client, display, "there are too many lists of VMs");
            return;
        }
        let mut list = List::new(manager);
        list.tell(display, &state.comp.overview());
        state.comp.protocols.vm_lists.lists.push(list);
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client)
    }
}

impl Dispatch<VitrailVmManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        manager: &VitrailVmManagerV1,
        request: vitrail_vm_manager_v1::Request,
        _data: &(),
        display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        match request {
            vitrail_vm_manager_v1::Request::Ack => {
                let now = state.comp.overview();
                let mut lists = state.comp.protocols.vm_lists.lists.iter_mut();
                let Some(list) = lists.find(|list| list.manager == *manager) else { return };
                list.waiting = false;
                if list.closed > MAX_CLOSED {
                    end_for_misuse(client, display, "too many objects of closed windows are not destroyed");
                } else if !list.knows(&now) {
                    // With a frame, so that what changes all the time is told no more often than that.
                    state.comp.schedule.request();
                }
            }
            vitrail_vm_manager_v1::Request::Stop => {
                state.comp.protocols.vm_lists.forget(manager);
                manager.finished();
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, manager: &VitrailVmManagerV1, _data: &()) {
        state.comp.protocols.vm_lists.forget(manager);
    }
}

impl Dispatch<VitrailVmV1, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _vm: &VitrailVmV1,
        _request: vitrail_vm_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        // It can be destroyed, and nothing else.
    }
}

impl Dispatch<VitrailWindowV1, Listed> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _window: &VitrailWindowV1,
        request: vitrail_window_v1::Request,
        listed: &Listed,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        if !state.comp.protocols.toplevel_lists.is_mapped(&listed.mapped) {
            return;
        }
        let id = listed.mapped.window;
        match request {
            vitrail_window_v1::Request::Activate => {
                // As a click on the title bar, which gives a VM nothing back that the user took from it.
                state.press_window(id, false);
                state.refresh_pointer();
            }
            vitrail_window_v1::Request::Close => {
                if let Some(window) = state.comp.shell.get(id) {
                    window.handle.send_close();
                }
            }
            vitrail_window_v1::Request::SetMinimized => state.minimize(id),
            vitrail_window_v1::Request::UnsetMinimized => state.restore(id),
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, window: &VitrailWindowV1, listed: &Listed) {
        let mut lists = state.comp.protocols.vm_lists.lists.iter_mut();
        let Some(list) = lists.find(|list| list.manager.id() == listed.manager) else { return };
        let told = list.windows.get(&listed.mapped.window);
        if told.is_none_or(|(object, _)| object != window) {
            list.closed = list.closed.saturating_sub(1);
        }
    }
}
