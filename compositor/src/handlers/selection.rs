//! The clipboard, the primary selection and drag and drop: one of each per origin.
//!
//! What a client copies is kept with its origin. Smithay's seat never holds a client's source: it is given a
//! selection of the compositor's own that stands for the focused origin's, so an offer can reach no client of
//! another origin, at no moment. A drag stays with the windows of the origin that began it; one that is dropped on a window of
//! another is cancelled, and the beginning of a paste that the user is asked about ([`super::clipboard`]).
//!
//! Programs that look after the clipboard ([`super::data_control`]) are local ones, and see and set what is copied locally.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use smithay::input::Seat;
use smithay::reexports::wayland_protocols::ext::data_control::v1::server::ext_data_control_source_v1::ExtDataControlSourceV1;
use smithay::reexports::wayland_protocols::wp::primary_selection::zv1::server::zwp_primary_selection_device_manager_v1::ZwpPrimarySelectionDeviceManagerV1;
use smithay::reexports::wayland_protocols::wp::primary_selection::zv1::server::zwp_primary_selection_device_v1::{
    self, ZwpPrimarySelectionDeviceV1,
};
use smithay::reexports::wayland_protocols::wp::primary_selection::zv1::server::zwp_primary_selection_source_v1::{
    self, ZwpPrimarySelectionSourceV1,
};
use smithay::reexports::wayland_protocols_wlr::data_control::v1::server::zwlr_data_control_source_v1::ZwlrDataControlSourceV1;
use smithay::reexports::wayland_server::backend::{ClientId, ObjectId};
use smithay::reexports::wayland_server::protocol::wl_data_device::{self, WlDataDevice};
use smithay::reexports::wayland_server::protocol::wl_data_device_manager::WlDataDeviceManager;
use smithay::reexports::wayland_server::protocol::wl_data_source::{self, WlDataSource};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, Resource, WEnum, delegate_dispatch,
};
use smithay::wayland::selection::data_device::{
    ClientDndGrabHandler, DataDeviceHandler, DataDeviceState, DataDeviceUserData, DataSourceUserData,
    ServerDndGrabHandler, clear_data_device_selection, set_data_device_focus, set_data_device_selection,
};
use smithay::wayland::selection::primary_selection::{
    PrimaryDeviceManagerGlobalData, PrimaryDeviceUserData, PrimarySelectionHandler, PrimarySelectionState,
    PrimarySourceUserData, clear_primary_selection, set_primary_focus, set_primary_selection,
};
use smithay::wayland::selection::{SelectionHandler, SelectionTarget};
use vitrail_protocols::Guard;

use super::clipboard::Between;
use super::clipboard::give::{Given, Readers};
use super::data_control::Watcher;
use crate::handlers::globals::delegate_global;
use crate::state::State;
use crate::trust::client::{end_for_misuse, origin_of};
use crate::trust::clipboard::content::Content;
use crate::trust::clipboard::kind::Kind;
use crate::trust::origin::Origin;
use crate::trust::title::GuestText;

/// Sources that one client may have at a time.
const MAX_SOURCES: usize = 64;
/// Types that one source may offer.
const MAX_TYPES: usize = 128;
/// The longest name of a type, in bytes.
const MAX_TYPE_LENGTH: usize = 512;
/// The most characters of a type that the user is told.
const MAX_TOLD: usize = 40;

/// Who has what was copied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// A client that had the keyboard, of the clipboard.
    Clipboard(WlDataSource),
    /// A client that had the keyboard, of the primary selection.
    Primary(ZwpPrimarySelectionSourceV1),
    /// A local program that looks after the clipboard.
    Ext(ExtDataControlSourceV1),
    /// Likewise, by the older protocol.
    Wlr(ZwlrDataControlSourceV1),
    /// The compositor, which was given it by another VM.
    Given(Given),
}

/// Which source it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SourceId {
    /// A client's.
    Client(ObjectId),
    /// The compositor's own.
    Given(u64),
}

impl Source {
    /// Has its client write its content to a pipe.
    pub(super) fn send(&self, mime_type: String, fd: BorrowedFd<'_>) {
        match self {
            Self::Clipboard(source) => source.send(mime_type, fd),
            Self::Primary(source) => source.send(mime_type, fd),
            Self::Ext(source) => source.send(mime_type, fd),
            Self::Wlr(source) => source.send(mime_type, fd),
            // Written by the compositor itself.
            Self::Given(_) => {}
        }
    }

    /// Which of the gifts of other VMs it is, if it is one.
    pub(super) fn gift(&self) -> Option<u64> {
        match self {
            Self::Given(given) => Some(given.number()),
            _ => None,
        }
    }

    /// Tells its client that something else was copied.
    fn cancelled(&self) {
        match self {
            Self::Clipboard(source) => source.cancelled(),
            Self::Primary(source) => source.cancelled(),
            Self::Ext(source) => source.cancelled(),
            Self::Wlr(source) => source.cancelled(),
            Self::Given(_) => {}
        }
    }

    pub(super) fn id(&self) -> SourceId {
        match self {
            Self::Clipboard(source) => SourceId::Client(source.id()),
            Self::Primary(source) => SourceId::Client(source.id()),
            Self::Ext(source) => SourceId::Client(source.id()),
            Self::Wlr(source) => SourceId::Client(source.id()),
            Self::Given(given) => SourceId::Given(given.number()),
        }
    }
}

/// What was copied, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    pub(super) source: Source,
    pub(super) types: Vec<String>,
}

impl Copied {
    /// What a VM is given from another one.
    pub(super) fn given(number: u64, content: Content) -> Self {
        let given = Given::new(number, content);
        Self { types: given.types(), source: Source::Given(given) }
    }
}

/// A drag that goes on.
#[derive(Debug)]
struct Drag {
    /// Who began it.
    origin: Origin,
    /// What is dragged; `None`: nothing that another client could take.
    copied: Option<Copied>,
}

/// All selections. Bounded by the configured origins.
#[derive(Debug, Default)]
pub struct Selections {
    clipboard: HashMap<Origin, Copied>,
    primary: HashMap<Origin, Copied>,
    /// Types of sources that are not set yet, by source.
    offered: HashMap<ObjectId, Vec<String>>,
    /// Whose selections the seat stands for.
    shown: Option<Origin>,
    /// The drag that goes on.
    drag: Option<Drag>,
    /// The clipboard between VMs.
    pub between: Between,
    /// The programs that read what their VM was given.
    pub(super) readers: Readers,
    /// The local programs that look after the clipboard.
    pub(super) watchers: Vec<Watcher>,
}

impl Selections {
    /// Whether a drag goes on.
    #[must_use]
    pub fn is_dragging(&self) -> bool {
        self.drag.is_some()
    }

    /// Whether the pointer may reach a client of this origin while a drag goes on.
    #[must_use]
    pub fn drag_allows(&self, origin: Option<&Origin>) -> bool {
        self.drag.as_ref().is_none_or(|drag| Some(&drag.origin) == origin) || !Guard::Drag.holds()
    }

    /// Whose content is dragged, and what it is in a word of our own.
    #[must_use]
    pub fn dragged(&self) -> Option<(&Origin, &'static str)> {
        let Drag { origin, copied } = self.drag.as_ref()?;
        copied.as_ref().map(|copied| (origin, Kind::in_a_word(&copied.types)))
    }

    /// What is dragged, and by whom.
    pub(crate) fn dragged_content(&self) -> Option<(Origin, Copied)> {
        let Drag { origin, copied } = self.drag.as_ref()?;
        Some((origin.clone(), copied.clone()?))
    }
}

impl Selections {
    /// What is copied at an origin.
    pub(super) fn copied(&self, target: SelectionTarget, origin: &Origin) -> Option<&Copied> {
        match target {
            SelectionTarget::Clipboard => self.clipboard.get(origin),
            SelectionTarget::Primary => self.primary.get(origin),
        }
    }

    /// Whose clipboards hold something, and of which types: the first one, the client's word made safe, and how many more.
    pub(crate) fn clipboards(&self) -> impl Iterator<Item = (&Origin, String)> {
        let mut all: Vec<_> = self.clipboard.iter().collect();
        all.sort_by_key(|(origin, _)| *origin);
        all.into_iter().filter_map(|(origin, copied)| {
            let first: String =
                GuestText::new(copied.types.first()?).as_str().chars().take(MAX_TOLD).collect();
            let more = copied.types.len().saturating_sub(1);
            Some((origin, if more == 0 { first } else { format!("{first} and {more} more types") }))
        })
    }

    /// What a source stands for that is about to be set.
    pub(super) fn described(&self, source: Source) -> Copied {
        let types = match source.id() {
            SourceId::Client(id) => self.offered.get(&id).cloned().unwrap_or_default(),
            SourceId::Given(_) => Vec::new(),
        };
        Copied { source, types }
    }
}

impl State {
    /// Something else, or nothing any more, is copied at an origin.
    pub(super) fn select(&mut self, target: SelectionTarget, origin: &Origin, copied: Option<Copied>) {
        let selections = &mut self.comp.selections;
        let kept = copied.as_ref().map(|copied| copied.source.clone());
        let all = match target {
            SelectionTarget::Clipboard => &mut selections.clipboard,
            SelectionTarget::Primary => &mut selections.primary,
        };
        let old = match copied {
            Some(copied) => all.insert(origin.clone(), copied),
            None => all.remove(origin),
        };
        if let Some(old) = old.filter(|old| Some(&old.source) != kept.as_ref()) {
            old.source.cancelled();
        }
        if target == SelectionTarget::Clipboard {
            let now = self.comp.now();
            self.comp.selections.between.model.selection_changed(now, origin);
        }
        self.tell_selection(target, origin);
    }

    /// Has what is copied at an origin written to a pipe of one of its clients.
    pub(super) fn send_copied(&mut self, origin: &Origin, copied: &Copied, mime_type: String, fd: OwnedFd) {
        match &copied.source {
            Source::Given(given) => self.write_given(origin, given, &mime_type, fd),
            source => source.send(mime_type, fd.as_fd()),
        }
    }

    /// A source is gone, and with it what it stood for.
    pub(super) fn source_gone(&mut self, source: &ObjectId) {
        self.comp.selections.offered.remove(source);
        for target in [SelectionTarget::Clipboard, SelectionTarget::Primary] {
            let all = match target {
                SelectionTarget::Clipboard => &mut self.comp.selections.clipboard,
                SelectionTarget::Primary => &mut self.comp.selections.primary,
            };
            let found = all.iter().find(|(_, copied)| copied.source.id() == SourceId::Client(source.clone()));
            if let Some(origin) = found.map(|(origin, _)| origin.clone()) {
                all.remove(&origin);
                self.tell_selection(target, &origin);
            }
        }
    }

    /// Tells those who may know it that something else is copied at an origin, and nobody else that anything happened.
    fn tell_selection(&mut self, target: SelectionTarget, origin: &Origin) {
        if self.comp.selections.shown.as_ref() == Some(origin) {
            match target {
                SelectionTarget::Clipboard => self.show_clipboard(),
                SelectionTarget::Primary => self.show_primary(),
            }
        }
        if *origin == Origin::Local {
            self.tell_watchers(target);
        }
    }

    /// The keyboard has moved to a client: only selections of its own origin are offered to it.
    pub(crate) fn selection_focus(&mut self, focused: Option<&WlSurface>) {
        let display = self.comp.display.clone();
        let seat = self.comp.seat.clone();
        let client = focused.and_then(Resource::client);
        let origin = focused.and_then(origin_of);
        if self.comp.selections.shown != origin {
            // With no client in focus the seat's selections can be exchanged unseen.
            set_data_device_focus(&display, &seat, None);
            set_primary_focus(&display, &seat, None);
            self.comp.selections.shown = origin;
            self.show_clipboard();
            self.show_primary();
        }
        set_data_device_focus(&display, &seat, client.clone());
        set_primary_focus(&display, &seat, client);
    }

    /// Puts the shown origin's clipboard into the seat.
    fn show_clipboard(&mut self) {
        let (display, seat) = (self.comp.display.clone(), self.comp.seat.clone());
        let shown = self.comp.selections.shown.clone();
        let all = &self.comp.selections.clipboard;
        let copied = if Guard::Selection.holds() {
            shown.as_ref().and_then(|origin| all.get(origin))
        } else {
            all.values().next()
        };
        match copied {
            Some(copied) => {
                let types = copied.types.clone();
                set_data_device_selection(&display, &seat, types, shown.unwrap_or(Origin::Local));
            }
            None => clear_data_device_selection(&display, &seat),
        }
    }

    /// Puts the shown origin's primary selection into the seat.
    fn show_primary(&mut self) {
        let (display, seat) = (self.comp.display.clone(), self.comp.seat.clone());
        let shown = self.comp.selections.shown.clone();
        match shown.as_ref().and_then(|origin| self.comp.selections.primary.get(origin)) {
            Some(copied) => {
                let types = copied.types.clone();
                set_primary_selection(&display, &seat, types, shown.unwrap_or(Origin::Local));
            }
            None => clear_primary_selection(&display, &seat),
        }
    }

    /// Whether a client may set selections: only while one of its surfaces has the keyboard.
    fn may_copy(&self, device: &impl Resource) -> bool {
        let focus = self.comp.seat.get_keyboard().and_then(|keyboard| keyboard.current_focus());
        focus.is_some_and(|surface| surface.id().same_client_as(&device.id()))
    }

    /// Whether the press that goes on is on a surface of the client.
    fn holds_pointer(&self, device: &impl Resource) -> bool {
        let start = self.comp.seat.get_pointer().and_then(|pointer| pointer.grab_start_data());
        let focus = start.and_then(|start| start.focus);
        focus.is_some_and(|(surface, _)| surface.id().same_client_as(&device.id()))
    }
}

impl SelectionHandler for State {
    type SelectionUserData = Origin;

    fn send_selection(
        &mut self,
        target: SelectionTarget,
        mime_type: String,
        fd: OwnedFd,
        _seat: Seat<Self>,
        origin: &Origin,
    ) {
        // An offer outlives the focus. It stands for its origin's selection, and so can only ever reach what
        // that same origin copied.
        if let Some(copied) = self.comp.selections.copied(target, origin).cloned() {
            self.send_copied(origin, &copied, mime_type, fd);
        }
    }
}

impl DataDeviceHandler for State {
    fn data_device_state(&self) -> &DataDeviceState {
        &self.comp.protocols.data_device
    }
}

impl PrimarySelectionHandler for State {
    fn primary_selection_state(&self) -> &PrimarySelectionState {
        &self.comp.protocols.primary_selection
    }
}

impl ClientDndGrabHandler for State {
    fn started(&mut self, source: Option<WlDataSource>, icon: Option<WlSurface>, _seat: Seat<Self>) {
        // The icon is never drawn: it would be a client's picture without a label. A chip of the compositor's is in its stead.
        drop(icon);
        let focus = self.comp.seat.get_pointer().and_then(|pointer| pointer.grab_start_data());
        let surface = focus.and_then(|start| start.focus).map(|(surface, _)| surface);
        let selections = &mut self.comp.selections;
        let copied = source.map(|source| selections.described(Source::Clipboard(source)));
        let origin = surface.as_ref().and_then(origin_of);
        selections.drag = origin.map(|origin| Drag { origin, copied });
        self.comp.schedule.request();
    }

    fn dropped(&mut self, _target: Option<WlSurface>, _validated: bool, _seat: Seat<Self>) {
        self.comp.selections.drag = None;
        self.comp.schedule.request();
    }
}

impl ServerDndGrabHandler for State {}

delegate_global!(WlDataDeviceManager: () => DataDeviceState);
delegate_dispatch!(State: [WlDataDeviceManager: ()] => DataDeviceState);
delegate_global!(
    ZwpPrimarySelectionDeviceManagerV1: PrimaryDeviceManagerGlobalData => PrimarySelectionState
);
delegate_dispatch!(State: [ZwpPrimarySelectionDeviceManagerV1: ()] => PrimarySelectionState);

impl Dispatch<WlDataDevice, DataDeviceUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        device: &WlDataDevice,
        request: wl_data_device::Request,
        data: &DataDeviceUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        match request {
            wl_data_device::Request::SetSelection { source, .. } => {
                let Some(origin) = origin_of(device).filter(|_| state.may_copy(device)) else { return };
                let selections = &state.comp.selections;
                let copied = source.map(|source| selections.described(Source::Clipboard(source)));
                state.select(SelectionTarget::Clipboard, &origin, copied);
            }
            // Smithay compares the serial alone, which another client could guess.
            wl_data_device::Request::StartDrag { .. } if !state.holds_pointer(device) => {}
            other => <DataDeviceState as Dispatch<WlDataDevice, DataDeviceUserData, Self>>::request(
                state, client, device, other, data, display, data_init,
            ),
        }
    }

    fn destroyed(state: &mut Self, client: ClientId, device: &WlDataDevice, data: &DataDeviceUserData) {
        <DataDeviceState as Dispatch<WlDataDevice, DataDeviceUserData, Self>>::destroyed(
            state, client, device, data,
        );
    }
}

impl Dispatch<WlDataSource, DataSourceUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        source: &WlDataSource,
        request: wl_data_source::Request,
        data: &DataSourceUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        if let wl_data_source::Request::SetActions { dnd_actions: WEnum::Unknown(_) } = request {
            source.post_error(wl_data_source::Error::InvalidActionMask, "there is no such action");
            return;
        }
        if let wl_data_source::Request::Offer { mime_type } = &request
            && !state.comp.selections.note_type(source, mime_type)
        {
            end_for_misuse(client, display, "a source offers too many types");
            return;
        }
        <DataDeviceState as Dispatch<WlDataSource, DataSourceUserData, Self>>::request(
            state, client, source, request, data, display, data_init,
        );
    }

    fn destroyed(state: &mut Self, client: ClientId, source: &WlDataSource, data: &DataSourceUserData) {
        <DataDeviceState as Dispatch<WlDataSource, DataSourceUserData, Self>>::destroyed(
            state, client, source, data,
        );
        state.source_gone(&source.id());
    }
}

impl Dispatch<ZwpPrimarySelectionDeviceV1, PrimaryDeviceUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        device: &ZwpPrimarySelectionDeviceV1,
        request: zwp_primary_selection_device_v1::Request,
        data: &PrimaryDeviceUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        match request {
            zwp_primary_selection_device_v1::Request::SetSelection { source, .. } => {
                let Some(origin) = origin_of(device).filter(|_| state.may_copy(device)) else { return };
                let selections = &state.comp.selections;
                let copied = source.map(|source| selections.described(Source::Primary(source)));
                state.select(SelectionTarget::Primary, &origin, copied);
            }
            other => {
                <PrimarySelectionState as Dispatch<
                    ZwpPrimarySelectionDeviceV1,
                    PrimaryDeviceUserData,
                    Self,
                >>::request(state, client, device, other, data, display, data_init);
            }
        }
    }
}

impl Dispatch<ZwpPrimarySelectionSourceV1, PrimarySourceUserData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        source: &ZwpPrimarySelectionSourceV1,
        request: zwp_primary_selection_source_v1::Request,
        data: &PrimarySourceUserData,
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        if let zwp_primary_selection_source_v1::Request::Offer { mime_type } = &request
            && !state.comp.selections.note_type(source, mime_type)
        {
            end_for_misuse(client, display, "a source offers too many types");
            return;
        }
        <PrimarySelectionState as Dispatch<ZwpPrimarySelectionSourceV1, PrimarySourceUserData, Self>>::request(
            state, client, source, request, data, display, data_init,
        );
    }

    fn destroyed(
        state: &mut Self,
        client: ClientId,
        source: &ZwpPrimarySelectionSourceV1,
        data: &PrimarySourceUserData,
    ) {
        <PrimarySelectionState as Dispatch<ZwpPrimarySelectionSourceV1, PrimarySourceUserData, Self>>::destroyed(
            state, client, source, data,
        );
        state.source_gone(&source.id());
    }
}

impl Selections {
    /// Keeps a type that a source offers; false if the source offers too much.
    pub(super) fn note_type(&mut self, source: &impl Resource, mime_type: &str) -> bool {
        let id = source.id();
        let siblings = || self.offered.keys().filter(|other| other.same_client_as(&id)).count();
        if !self.offered.contains_key(&id) && siblings() >= MAX_SOURCES {
            return false;
        }
        let types = self.offered.entry(id).or_default();
        if types.len() >= MAX_TYPES || mime_type.len() > MAX_TYPE_LENGTH {
            return false;
        }
        types.push(mime_type.to_owned());
        true
    }
}
