//! `ext_foreign_toplevel_list_v1`: a list of windows, from which clients choose what to take pictures of.
//!
//! A client of a VM is told of the windows of its own VM and of no others: it cannot learn from the list that other VMs exist.
//! A client of the GUI VM is told of all. Identifiers are random, so that they do not tell how many windows there are.
//!
//! A VM is told the titles of its windows as they are. A client of the GUI VM, such as the program in which the user chooses what
//! to share, is told the same as a task bar: whose each window is comes first ([`super::toplevel_texts`]).
//!
//! Titles are told with the next frame of the output, so that a client which changes its title all the time does not drown
//! another that reads the list.
//!
//! # Invariants
//!
//! * [`Shown`] has exactly the mapped windows, and a window that is mapped again is another one with another identifier.
//! * A handle in it was given to a client that may see its window.
//! * No client of the GUI VM is told a title without the label.

use std::collections::BTreeMap;
use std::sync::Arc;

use smithay::reexports::wayland_protocols::ext::foreign_toplevel_list::v1::server::ext_foreign_toplevel_handle_v1::{
    self, ExtForeignToplevelHandleV1,
};
use smithay::reexports::wayland_protocols::ext::foreign_toplevel_list::v1::server::ext_foreign_toplevel_list_v1::{
    self, ExtForeignToplevelListV1,
};
use smithay::reexports::wayland_server::backend::ClientId;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};

use super::foreign::new_handle;
use super::toplevel_texts::Texts;
use crate::config::Config;
use crate::shell::window::{Window, WindowId};
use crate::state::State;
use crate::trust::client::{end_for_misuse, may_see, origin_of};
use crate::trust::origin::Origin;
use crate::trust::title::GuestText;

/// Lists that the clients of one origin may have at a time. Each costs a handle for every window.
const MAX_LISTS_PER_ORIGIN: usize = 16;

/// A window as long as it is mapped: what handles and capture sources stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The window.
    pub window: WindowId,
    /// Never used again, not even for the same window.
    pub identifier: Arc<str>,
}

/// A client's list.
#[derive(Debug)]
struct List {
    object: ExtForeignToplevelListV1,
    origin: Origin,
}

/// What clients were told of a mapped window.
#[derive(Debug)]
struct Shown {
    identifier: Arc<str>,
    origin: Origin,
    told: Both,
    handles: Vec<Handle>,
}

/// An object of a window.
#[derive(Debug)]
struct Handle {
    object: ExtForeignToplevelHandleV1,
    /// It is a VM's.
    of_vm: bool,
}

/// The texts of a window for its own VM, and for the GUI VM.
#[derive(Debug, PartialEq, Eq)]
struct Both {
    plain: Texts,
    labelled: Texts,
}

/// The lists of all clients.
#[derive(Debug, Default)]
pub struct ToplevelLists {
    lists: Vec<List>,
    shown: BTreeMap<WindowId, Shown>,
    /// Something that was told of a window may have changed.
    texts_changed: bool,
}

impl ToplevelLists {
    /// Takes note that a window's title or application id, or the label of its VM, may have changed.
    pub(crate) fn note_texts(&mut self) {
        self.texts_changed = true;
    }

    /// The mapped windows with their identifiers.
    pub fn mapped(&self) -> impl Iterator<Item = (WindowId, &Arc<str>)> {
        self.shown.iter().map(|(id, shown)| (*id, &shown.identifier))
    }

    /// Whether the window is still the one that was named.
    #[must_use]
    pub fn is_mapped(&self, mapped: &Mapped) -> bool {
        self.shown.get(&mapped.window).is_some_and(|shown| shown.identifier == mapped.identifier)
    }
}

/// Creates the global.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, ExtForeignToplevelListV1, ()>(1, ());
}

/// Whether a client of an origin may be told of a window of another: clients of the GUI VM of all, those of a VM of its own.
fn may_know(client: &Origin, window: &Origin) -> bool {
    !client.is_vm() || client == window
}

/// Tells the owner of a list of a window.
fn announce(display: &DisplayHandle, list: &List, window: WindowId, shown: &mut Shown) {
    if !may_know(&list.origin, &shown.origin) {
        return;
    }
    let Some(client) = list.object.client() else { return };
    let mapped = Mapped { window, identifier: Arc::clone(&shown.identifier) };
    let version = list.object.version();
    // Fails only for a client that has gone.
    let Ok(handle) = client.create_resource::<ExtForeignToplevelHandleV1, _, State>(display, version, mapped)
    else {
        return;
    };
    list.object.toplevel(&handle);
    handle.identifier(shown.identifier.to_string());
    let of_vm = list.origin.is_vm();
    let texts = shown.told.texts(of_vm);
    handle.title(texts.title.clone());
    handle.app_id(texts.app_id.clone());
    handle.done();
    shown.handles.push(Handle { object: handle, of_vm });
}

impl Both {
    fn of<H>(config: &Config, window: &Window<H>) -> Self {
        let Window { origin, title, app_id, .. } = window;
        // A VM that is not configured any more has its name still.
        let label = config.style(origin).map_or(origin.name(), |style| style.label.as_str());
        Self {
            plain: Texts { title: title.clone(), app_id: app_id.clone() },
            labelled: Texts::labelled(origin, label, &GuestText::new(title), &GuestText::new(app_id)),
        }
    }

    fn texts(&self, for_vm: bool) -> &Texts {
        if for_vm { &self.plain } else { &self.labelled }
    }
}

impl State {
    /// A window was mapped: it is told to all who may know of it.
    pub(super) fn list_mapped(&mut self, id: WindowId) {
        let Some(window) = self.comp.shell.get(id) else { return };
        let Some(identifier) = new_handle() else {
            tracing::error!("no random numbers, so a window is in no list");
            return;
        };
        let mut shown = Shown {
            identifier: identifier.into(),
            origin: window.origin.clone(),
            told: Both::of(self.comp.config.current(), window),
            handles: Vec::new(),
        };
        let lists = &mut self.comp.protocols.toplevel_lists;
        for list in &lists.lists {
            announce(&self.comp.display, list, id, &mut shown);
        }
        lists.shown.insert(id, shown);
    }

    /// A window is not mapped any more.
    pub(super) fn list_unmapped(&mut self, id: WindowId) {
        if let Some(shown) = self.comp.protocols.toplevel_lists.shown.remove(&id) {
            shown.handles.iter().for_each(|handle| handle.object.closed());
        }
        self.stop_captures(id);
    }

    /// Tells the titles and application ids that have changed since they were last told.
    pub(crate) fn list_texts(&mut self) {
        let lists = &mut self.comp.protocols.toplevel_lists;
        if !std::mem::take(&mut lists.texts_changed) {
            return;
        }
        for (id, shown) in &mut lists.shown {
            if let Some(window) = self.comp.shell.get(*id) {
                shown.update(Both::of(self.comp.config.current(), window));
            }
        }
    }
}

impl Shown {
    /// Tells of another title or application id.
    fn update(&mut self, now: Both) {
        let told = std::mem::replace(&mut self.told, now);
        for Handle { object, of_vm } in &self.handles {
            let (told, now) = (told.texts(*of_vm), self.told.texts(*of_vm));
            if told == now {
                continue;
            }
            if told.title != now.title {
                object.title(now.title.clone());
            }
            if told.app_id != now.app_id {
                object.app_id(now.app_id.clone());
            }
            object.done();
        }
    }
}

impl GlobalDispatch<ExtForeignToplevelListV1, ()> for State {
    fn bind(
        state: &mut Self,
        display: &DisplayHandle,
        client: &Client,
        new: New<ExtForeignToplevelListV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        let object = data_init.init(new, ());
        let Some(origin) = origin_of(&object) else { return };
        let ToplevelLists { lists, shown, .. } = &mut state.comp.protocols.toplevel_lists;
        if lists.iter().filter(|list| list.origin == origin).count() >= MAX_LISTS_PER_ORIGIN {
            end_for_misuse(client, display, "there are too many lists of windows");
            return;
        }
        let list = List { object, origin };
        for (window, shown) in shown {
            announce(display, &list, *window, shown);
        }
        lists.push(list);
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, ExtForeignToplevelListV1::interface().name)
    }
}

impl Dispatch<ExtForeignToplevelListV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        list: &ExtForeignToplevelListV1,
        request: ext_foreign_toplevel_list_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        if let ext_foreign_toplevel_list_v1::Request::Stop = request {
            state.comp.protocols.toplevel_lists.lists.retain(|known| known.object != *list);
            list.finished();
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, list: &ExtForeignToplevelListV1, _data: &()) {
        state.comp.protocols.toplevel_lists.lists.retain(|known| known.object != *list);
    }
}

impl Dispatch<ExtForeignToplevelHandleV1, Mapped> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _handle: &ExtForeignToplevelHandleV1,
        _request: ext_foreign_toplevel_handle_v1::Request,
        _mapped: &Mapped,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, handle: &ExtForeignToplevelHandleV1, mapped: &Mapped) {
        if let Some(shown) = state.comp.protocols.toplevel_lists.shown.get_mut(&mapped.window) {
            shown.handles.retain(|known| known.object != *handle);
        }
    }
}
