//! `zwlr_foreign_toplevel_manager_v1`: task bars and docks list windows and act on them.
//!
//! For programs of the GUI VM alone, as [`super::vm_list`] is, and told from the same [`Overview`]: the difference to
//! what a list's client was told, once a frame.
//!
//! The protocol knows nothing of VMs: title and application id say whose a window is ([`super::toplevel_texts`]).
//!
//! A request has no serial by which it could be seen that the user wanted it. To move the keyboard, and that may be to another
//! VM, the client must be what the user used last ([`State::acts_for_user`]); otherwise the window does what it may do itself: it gets
//! the keyboard from a window of its own VM, and is marked as urgent beside others.
//!
//! # Invariants
//!
//! * What a list keeps is what its client was told, and what is not in it any more was told to be closed.
//! * A client that does not read is sent a bounded number of changes with each frame, whatever VMs do.
//! * The parent that is told of a window is told before it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use smithay::output::Output;
use smithay::reexports::wayland_protocols_wlr::foreign_toplevel::v1::server::zwlr_foreign_toplevel_handle_v1::{
    self, State as Flag, ZwlrForeignToplevelHandleV1,
};
use smithay::reexports::wayland_protocols_wlr::foreign_toplevel::v1::server::zwlr_foreign_toplevel_manager_v1::{
    self, ZwlrForeignToplevelManagerV1,
};
use smithay::reexports::wayland_server::backend::{ClientId, ObjectId};
use smithay::reexports::wayland_server::protocol::wl_output::WlOutput;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};

use super::foreign_toplevel_list::Mapped;
use super::toplevel_texts::Texts;
use crate::handlers::output::Announced;
use crate::overview::{Overview, WindowState};
use crate::shell::outputs::OutputId;
use crate::shell::window::{Mode, WindowId};
use crate::state::{Comp, State};
use crate::trust::client::{end_for_misuse, is_local};

/// The version that is offered.
const VERSION: u32 = 3;
/// Managers that there may be at a time. Each costs an object for every window.
const MAX_LISTS: usize = 16;
/// Objects of closed windows that a client may leave; a VM can open and close one with every frame.
const MAX_CLOSED: usize = 4096;
/// Windows that a list's client is told of with one frame, new and changed ones. The protocol has no word by which a client says that
/// it has read: this is what bounds how fast a VM can fill what waits for one.
const MAX_TOLD: usize = 8;

/// The lists of all clients.
#[derive(Debug, Default)]
pub struct TaskLists {
    lists: Vec<List>,
}

/// What one client was told.
#[derive(Debug)]
struct List {
    manager: ZwlrForeignToplevelManagerV1,
    windows: BTreeMap<WindowId, (ZwlrForeignToplevelHandleV1, Toplevel)>,
    /// Objects of windows that were told to be closed, and were not destroyed yet.
    closed: usize,
    /// The window that was told last, where there was no room for all.
    last: Option<WindowId>,
    /// The client wants to hear of no further windows.
    stopped: bool,
}

/// What is told of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Toplevel {
    identifier: Arc<str>,
    texts: Texts,
    state: WindowState,
    parent: Option<WindowId>,
    output: OutputId,
}

/// What an object of a window stands for, and whose list it is in.
#[derive(Debug)]
pub struct Listed {
    mapped: Mapped,
    manager: ObjectId,
}

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ZwlrForeignToplevelManagerV1, ()>(VERSION, ());
}

impl Comp {
    /// The windows as task bars are told of them.
    fn toplevels(&self, now: &Overview) -> BTreeMap<WindowId, Toplevel> {
        let windows = now.windows.iter().filter_map(|(id, window)| {
            let label = &now.vms.get(&window.origin)?.style.label;
            let (parent, output) = self.shell.get(*id).map(|window| (window.parent, window.output))?;
            let toplevel = Toplevel {
                identifier: Arc::clone(&window.identifier),
                texts: Texts::labelled(&window.origin, label.as_str(), &window.title, &window.app_id),
                state: window.state,
                parent: parent.filter(|parent| now.windows.contains_key(parent)),
                output,
            };
            Some((*id, toplevel))
        });
        windows.collect()
    }
}

impl TaskLists {
    /// Whether nobody is told anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}

impl List {
    /// Tells what is not as it was told, of at most so many windows; whether that was all.
    fn tell(
        &mut self,
        client: &Client,
        display: &DisplayHandle,
        outputs: &Announced,
        now: &BTreeMap<WindowId, Toplevel>,
        room: usize,
    ) -> bool {
        self.tell_closed(now);
        let start = self.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let end = match start {
            Bound::Excluded(last) => Bound::Included(last),
            _ => Bound::Unbounded,
        };
        // Those that had no turn come first.
        let later = now.range((start, Bound::Unbounded));
        let earlier = now.range((Bound::Unbounded, end)).filter(|_| start != Bound::Unbounded);
        let mut told = 0_usize;
        for (id, window) in later.chain(earlier) {
            let known = self.windows.get(id).map(|(_, known)| known);
            if known == Some(window) || known.is_none() && self.stopped {
                continue;
            }
            if told >= room {
                return false;
            }
            told = told.saturating_add(1);
            self.tell_window(client, display, outputs, *id, now);
            self.last = Some(*id);
        }
        self.last = None;
        true
    }

    fn tell_closed(&mut self, now: &BTreeMap<WindowId, Toplevel>) {
        let mut closed = 0_usize;
        self.windows.retain(|id, (object, told)| {
            let stays = now.get(id).is_some_and(|window| window.identifier == told.identifier);
            if !stays && object.is_alive() {
                object.closed();
                closed = closed.saturating_add(1);
            }
            stays
        });
        self.closed = self.closed.saturating_add(closed);
    }

    /// Tells of one window, after those that it is a dialog of.
    fn tell_window(
        &mut self,
        client: &Client,
        display: &DisplayHandle,
        outputs: &Announced,
        id: WindowId,
        now: &BTreeMap<WindowId, Toplevel>,
    ) {
        // Families have no circles, so a new window is reached after finitely many of its ancestors.
        let mut new = vec![id];
        while let Some(parent) = new.last().and_then(|id| now.get(id)).and_then(|window| window.parent)
            && !self.windows.contains_key(&parent)
            && !self.stopped
        {
            new.push(parent);
        }
        for id in new.into_iter().rev() {
            let Some(window) = now.get(&id) else { continue };
            if !self.windows.contains_key(&id) {
                let mapped = Mapped { window: id, identifier: Arc::clone(&window.identifier) };
                let listed = Listed { mapped, manager: self.manager.id() };
                let version = self.manager.version();
                // Fails only for a client that has gone.
                let Ok(object) =
                    client.create_resource::<ZwlrForeignToplevelHandleV1, _, State>(display, version, listed)
                else {
                    return;
                };
                self.manager.toplevel(&object);
                outputs
                    .of_client(window.output, client)
                    .iter()
                    .for_each(|output| object.output_enter(output));
                self.tell_changes(&object, None, window);
                self.windows.insert(id, (object, window.clone()));
            } else if let Some((object, told)) = self.windows.get(&id) {
                if told.output != window.output {
                    outputs
                        .of_client(told.output, client)
                        .iter()
                        .for_each(|output| object.output_leave(output));
                    outputs
                        .of_client(window.output, client)
                        .iter()
                        .for_each(|output| object.output_enter(output));
                }
                self.tell_changes(object, Some(told), window);
                if let Some((_, told)) = self.windows.get_mut(&id) {
                    window.clone_into(told);
                }
            }
        }
    }

    /// Tells what of a window is not as it was told; everything if nothing was.
    fn tell_changes(&self, object: &ZwlrForeignToplevelHandleV1, told: Option<&Toplevel>, now: &Toplevel) {
        if told.is_none_or(|told| told.texts.title != now.texts.title) {
            object.title(now.texts.title.clone());
        }
        if told.is_none_or(|told| told.texts.app_id != now.texts.app_id) {
            object.app_id(now.texts.app_id.clone());
        }
        let version = object.version();
        let flags = flags(now.state, version);
        if told.is_none_or(|told| self::flags(told.state, version) != flags) {
            object.state(flags);
        }
        if told.is_none_or(|told| told.parent != now.parent)
            && version >= zwlr_foreign_toplevel_handle_v1::EVT_PARENT_SINCE
        {
            let parent = now.parent.and_then(|parent| self.windows.get(&parent)).map(|(parent, _)| parent);
            object.parent(parent.filter(|parent| parent.is_alive()));
        }
        object.done();
    }
}

/// The states as the protocol has them: an array of numbers in the machine's order.
fn flags(window: WindowState, version: u32) -> Vec<u8> {
    let knows_fullscreen = version >= zwlr_foreign_toplevel_handle_v1::REQ_SET_FULLSCREEN_SINCE;
    let flags = [
        (Flag::Maximized, window.maximized),
        (Flag::Minimized, window.minimized),
        (Flag::Activated, window.focused),
        (Flag::Fullscreen, window.fullscreen && knows_fullscreen),
    ];
    flags.into_iter().filter(|(_, set)| *set).flat_map(|(flag, _)| (flag as u32).to_ne_bytes()).collect()
}

impl State {
    /// Tells task bars what is not as they were told.
    pub(crate) fn tell_task_lists(&mut self, now: &Overview) {
        if self.comp.protocols.task_lists.is_empty() {
            return;
        }
        let toplevels = self.comp.toplevels(now);
        let (mut all, mut untidy) = (true, Vec::new());
        let lists = &mut self.comp.protocols.task_lists.lists;
        for list in lists.iter_mut() {
            // Not there any more once it was ended.
            let Some(client) = list.manager.client().or_else(|| list.owner()) else { continue };
            all &= list.tell(&client, &self.comp.display, &self.comp.announced, &toplevels, MAX_TOLD);
            if list.closed > MAX_CLOSED {
                untidy.push(client);
            }
        }
        // Who stopped hears of what it was told of, as long as there is any of it and it listens.
        lists.retain(|list| !list.stopped || list.owner().is_some());
        for client in untidy {
            let display = &self.comp.display;
            end_for_misuse(&client, display, "too many objects of closed windows are not destroyed");
        }
        if !all {
            self.comp.schedule.request();
        }
    }

    /// A client that lists windows bound an output: the windows that are there are on that, too.
    pub(super) fn task_lists_output(&self, announced: &Output, output: &WlOutput) {
        let Some(id) = self.comp.announced.id_of(announced) else { return };
        let lists = self.comp.protocols.task_lists.lists.iter();
        for (object, told) in lists.flat_map(|list| list.windows.values()) {
            if told.output == id && object.id().same_client_as(&output.id()) {
                object.output_enter(output);
                object.done();
            }
        }
    }

    /// A local program wants a window to have the keyboard.
    fn activate_for(&mut self, client: &Client, id: WindowId) {
        if self.acts_for_user(client) {
            // As a click on the title bar, which gives a VM nothing back that the user took from it.
            self.press_window(id, false);
        } else {
            self.comp.shell.request_attention(id, true);
        }
        self.windows_changed();
    }

    /// Lays a window out in a mode, or lets it float if it has that one.
    fn set_layout(&mut self, id: WindowId, mode: Mode, on: bool) {
        let current = self.comp.shell.get(id).map(|window| window.mode);
        if on {
            self.lay_out(id, mode);
        } else if current == Some(mode) {
            self.lay_out(id, Mode::Floating);
        }
    }
}

impl List {
    /// The client of a list whose manager is finished, if it listens to any of its windows still.
    fn owner(&self) -> Option<Client> {
        let mut listening = self.windows.values().filter(|(object, _)| object.is_alive());
        listening.find_map(|(object, _)| object.client())
    }
}

impl GlobalDispatch<ZwlrForeignToplevelManagerV1, ()> for State {
    fn bind(
        state: &mut Self,
        display: &DisplayHandle,
        client: &Client,
        new: New<ZwlrForeignToplevelManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        let manager = data_init.init(new, ());
        if state.comp.protocols.task_lists.lists.len() >= MAX_LISTS {
            end_for_misuse(client, display, "there are too many lists of windows");
            return;
        }
        let windows = BTreeMap::new();
        let mut list = List { manager, windows, closed: 0, last: None, stopped: false };
        let now = state.comp.toplevels(&state.comp.overview());
        list.tell(client, display, &state.comp.announced, &now, usize::MAX);
        state.comp.protocols.task_lists.lists.push(list);
    }

    fn can_view(client: Client, _data: &()) -> bool {
        is_local(&client)
    }
}

impl Dispatch<ZwlrForeignToplevelManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        manager: &ZwlrForeignToplevelManagerV1,
        request: zwlr_foreign_toplevel_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        if let zwlr_foreign_toplevel_manager_v1::Request::Stop = request {
            let mut lists = state.comp.protocols.task_lists.lists.iter_mut();
            if let Some(list) = lists.find(|list| list.manager == *manager) {
                list.stopped = true;
            }
            manager.finished();
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, manager: &ZwlrForeignToplevelManagerV1, _data: &()) {
        // What it was told of before it stopped it still hears of.
        let lists = &mut state.comp.protocols.task_lists.lists;
        lists.retain(|list| list.manager != *manager || list.stopped && list.owner().is_some());
    }
}

impl Dispatch<ZwlrForeignToplevelHandleV1, Listed> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        handle: &ZwlrForeignToplevelHandleV1,
        request: zwlr_foreign_toplevel_handle_v1::Request,
        listed: &Listed,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        use zwlr_foreign_toplevel_handle_v1::Request;
        if let Request::SetRectangle { width, height, .. } = request {
            // Nothing flies to it when it is minimised.
            if width < 0 || height < 0 {
                let error = zwlr_foreign_toplevel_handle_v1::Error::InvalidRectangle;
                handle.post_error(error, "a rectangle's width and height are not negative");
            }
            return;
        }
        if !state.comp.protocols.toplevel_lists.is_mapped(&listed.mapped) {
            return;
        }
        let id = listed.mapped.window;
        match request {
            Request::Activate { .. } => state.activate_for(client, id),
            Request::Close => state.ask_to_close(Some(id)),
            Request::SetMinimized => state.minimize(id),
            Request::UnsetMinimized => state.restore(id),
            Request::SetMaximized => state.set_layout(id, Mode::Maximized, true),
            Request::UnsetMaximized => state.set_layout(id, Mode::Maximized, false),
            Request::SetFullscreen { .. } => state.set_layout(id, Mode::Fullscreen, true),
            Request::UnsetFullscreen => state.set_layout(id, Mode::Fullscreen, false),
            _ => {}
        }
        state.comp.protocols.vm_lists.hurry = true;
    }

    fn destroyed(state: &mut Self, _client: ClientId, handle: &ZwlrForeignToplevelHandleV1, listed: &Listed) {
        let mut lists = state.comp.protocols.task_lists.lists.iter_mut();
        let Some(list) = lists.find(|list| list.manager.id() == listed.manager) else { return };
        let told = list.windows.get(&listed.mapped.window);
        if told.is_none_or(|(object, _)| object != handle) {
            list.closed = list.closed.saturating_sub(1);
        }
    }
}
