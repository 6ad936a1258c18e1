//! `zwp_keyboard_shortcuts_inhibit_manager_v1`: windows that want the keys that the compositor keeps for itself, such as those
//! of a remote desktop or a virtual machine.
//!
//! # Model
//!
//! An inhibitor belongs to a surface, and is in force while that surface has the keyboard and the user has not taken the input
//! back from its VM ([`crate::input::release`]). While one is in force its client gets the chords that may be inhibited; which
//! those are says [`crate::input::keyboard`], and the one that takes the input back is never among them.
//!
//! The client is told when its inhibitor comes into force, and when the user ends it. A surface that loses the keyboard hears
//! that by the keyboard.
//!
//! Not by Smithay's module, which leaves it to the compositor to find out when an inhibitor is in force, and then keeps
//! what was found out in a second place.

use std::collections::HashMap;

use smithay::reexports::wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::server::zwp_keyboard_shortcuts_inhibit_manager_v1::{
    self, ZwpKeyboardShortcutsInhibitManagerV1,
};
use smithay::reexports::wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::server::zwp_keyboard_shortcuts_inhibitor_v1::{
    self, ZwpKeyboardShortcutsInhibitorV1,
};
use smithay::reexports::wayland_server::backend::{ClientId, ObjectId};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};
use vitrail_protocols::Guard;

use crate::state::{Comp, State};
use crate::trust::client::{may_see, origin_of};
use crate::trust::origin::Origin;

/// The inhibitors, and which of them is in force. As many as there may be objects.
#[derive(Debug, Default)]
pub struct ShortcutInhibitors {
    /// By the surface that each is for. One whose surface is gone never comes into force again, because numbers of objects are
    /// not used twice.
    by_surface: HashMap<ObjectId, ZwpKeyboardShortcutsInhibitorV1>,
    /// The surface that was last told that it has the keyboard.
    keyboard: Option<WlSurface>,
    active: Option<ZwpKeyboardShortcutsInhibitorV1>,
}

impl ShortcutInhibitors {
    /// Whether one is in force.
    #[must_use]
    pub fn in_force(&self) -> bool {
        self.active.is_some()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_surface.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_surface.is_empty()
    }
}

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ZwpKeyboardShortcutsInhibitManagerV1, ()>(1, ());
}

impl State {
    /// The keyboard has moved to a surface, or to none.
    pub(crate) fn shortcuts_focus(&mut self, focused: Option<&WlSurface>) {
        let inhibitors = &mut self.comp.protocols.shortcuts_inhibit;
        inhibitors.keyboard = focused.cloned();
        // Whoever had the keyboard knows that it is gone.
        inhibitors.active = None;
        self.refresh_shortcuts();
    }

    /// Brings an inhibitor into force or ends the one that is, if what decides about it has changed.
    pub(crate) fn refresh_shortcuts(&mut self) {
        let wanted = self.comp.inhibiting().cloned();
        let active = &mut self.comp.protocols.shortcuts_inhibit.active;
        if *active == wanted {
            return;
        }
        // The stripe says so.
        self.comp.schedule.request();
        if let Some(inhibitor) = std::mem::replace(active, wanted.clone()) {
            inhibitor.inactive();
        }
        if let Some(inhibitor) = wanted {
            inhibitor.active();
        }
    }
}

impl Comp {
    /// The inhibitor that is to be in force now.
    fn inhibiting(&self) -> Option<&ZwpKeyboardShortcutsInhibitorV1> {
        let inhibitors = &self.protocols.shortcuts_inhibit;
        let surface = inhibitors.keyboard.as_ref()?;
        let inhibitor = inhibitors.by_surface.get(&surface.id())?;
        let origin = origin_of(surface)?;
        (!(Guard::Release.holds() && self.input.trusted.released.contains(&origin))).then_some(inhibitor)
    }

    /// Whose window gets the shortcuts now.
    #[must_use]
    pub fn shortcuts_inhibitor(&self) -> Option<Origin> {
        self.protocols.shortcuts_inhibit.active.as_ref().and_then(origin_of)
    }
}

impl GlobalDispatch<ZwpKeyboardShortcutsInhibitManagerV1, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<ZwpKeyboardShortcutsInhibitManagerV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, ZwpKeyboardShortcutsInhibitManagerV1::interface().name)
    }
}

impl Dispatch<ZwpKeyboardShortcutsInhibitManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        manager: &ZwpKeyboardShortcutsInhibitManagerV1,
        request: zwp_keyboard_shortcuts_inhibit_manager_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use zwp_keyboard_shortcuts_inhibit_manager_v1::{Error, Request};
        // There is one seat, so the one that is named is the one there is.
        let Request::InhibitShortcuts { id, surface, .. } = request else { return };
        let inhibitors = &mut state.comp.protocols.shortcuts_inhibit;
        if inhibitors.by_surface.contains_key(&surface.id()) {
            manager.post_error(Error::AlreadyInhibited, "the surface inhibits the shortcuts already");
            return;
        }
        let inhibitor = data_init.init(id, surface.id());
        inhibitors.by_surface.insert(surface.id(), inhibitor);
        state.refresh_shortcuts();
    }
}

impl Dispatch<ZwpKeyboardShortcutsInhibitorV1, ObjectId> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _inhibitor: &ZwpKeyboardShortcutsInhibitorV1,
        _request: zwp_keyboard_shortcuts_inhibitor_v1::Request,
        _surface: &ObjectId,
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(
        state: &mut Self,
        _client: ClientId,
        inhibitor: &ZwpKeyboardShortcutsInhibitorV1,
        surface: &ObjectId,
    ) {
        let inhibitors = &mut state.comp.protocols.shortcuts_inhibit;
        inhibitors.by_surface.remove(surface);
        // It cannot be told any more.
        if inhibitors.active.as_ref() == Some(inhibitor) {
            inhibitors.active = None;
        }
    }
}
