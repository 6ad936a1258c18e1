//! Local programs that look after the clipboard: what [`super::ext_data_control`] and [`super::wlr_data_control`] have in common.
//!
//! # Model
//!
//! Such a program sees and sets the clipboard and the primary selection without having the keyboard, as clipboard managers and
//! `wl-copy` do. It is given those of the GUI VM itself, whatever window has the keyboard.
//!
//! # Invariants
//!
//! * What is copied in a VM, and that something is, never reaches such a program; nor does a VM learn what a program sets.
//! * An offer stands for one source: once something else is copied it gives nothing.
//! * There are at most [`MAX_WATCHERS`] devices.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use smithay::reexports::wayland_protocols::ext::data_control::v1::server::ext_data_control_device_v1::ExtDataControlDeviceV1;
use smithay::reexports::wayland_protocols_wlr::data_control::v1::server::zwlr_data_control_device_v1::ZwlrDataControlDeviceV1;
use smithay::reexports::wayland_server::{Client, DisplayHandle, Resource};
use smithay::wayland::selection::SelectionTarget;

use super::selection::{Copied, Source, SourceId};
use crate::state::State;
use crate::trust::client::end_for_misuse;
use crate::trust::origin::Origin;

/// Devices of all local programs together.
pub const MAX_WATCHERS: usize = 64;

/// A device of a local program.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Watcher {
    /// By the protocol of today.
    Ext(ExtDataControlDeviceV1),
    /// By the older one.
    Wlr(ZwlrDataControlDeviceV1),
}

/// What is kept with a source: whether it was set.
#[derive(Debug, Default)]
pub(super) struct Used(AtomicBool);

impl Used {
    /// Whether it may not be changed any more.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it; false if it was before.
    pub(super) fn set(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

/// What an offer stands for.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    target: SelectionTarget,
    source: SourceId,
}

impl Watcher {
    /// Tells of a selection, or that there is none.
    fn tell(&self, display: &DisplayHandle, target: SelectionTarget, copied: Option<&Copied>) {
        let offered =
            copied.map(|copied| (Offered { target, source: copied.source.id() }, copied.types.as_slice()));
        // Fails only for a client that is gone.
        match self {
            Self::Ext(device) => super::ext_data_control::tell(device, display, target, offered),
            Self::Wlr(device) => super::wlr_data_control::tell(device, display, target, offered),
        }
    }
}

impl State {
    /// A local program begins to look after the clipboard, and is told what it is now.
    pub(super) fn watch_selections(&mut self, client: &Client, watcher: Watcher) {
        let selections = &mut self.comp.selections;
        if selections.watchers.len() >= MAX_WATCHERS {
            end_for_misuse(client, &self.comp.display, "there are too many devices");
            return;
        }
        for target in [SelectionTarget::Clipboard, SelectionTarget::Primary] {
            watcher.tell(&self.comp.display, target, selections.copied(target, &Origin::Local));
        }
        selections.watchers.push(watcher);
    }

    /// A device is gone.
    pub(super) fn forget_watcher(&mut self, watcher: &Watcher) {
        self.comp.selections.watchers.retain(|other| other != watcher);
    }

    /// Something else is copied locally.
    pub(super) fn tell_watchers(&self, target: SelectionTarget) {
        let selections = &self.comp.selections;
        let copied = selections.copied(target, &Origin::Local);
        for watcher in &selections.watchers {
            watcher.tell(&self.comp.display, target, copied);
        }
    }

    /// A local program sets a selection.
    pub(super) fn select_locally(&mut self, target: SelectionTarget, source: Option<Source>) {
        let copied = source.map(|source| self.comp.selections.described(source));
        self.select(target, &Origin::Local, copied);
    }

    /// A local program wants to read what was offered to it. If something else is copied by now, the pipe just ends.
    pub(super) fn read_offer(&mut self, offered: &Offered, mime_type: String, fd: OwnedFd) {
        let copied = self.comp.selections.copied(offered.target, &Origin::Local);
        if let Some(copied) = copied.filter(|copied| copied.source.id() == offered.source).cloned() {
            self.send_copied(&Origin::Local, &copied, mime_type, fd);
        }
    }

    /// A type that a source offers; ends the client if the source offers too much.
    pub(super) fn note_control_type(&mut self, client: &Client, source: &impl Resource, mime_type: &str) {
        if !self.comp.selections.note_type(source, mime_type) {
            end_for_misuse(client, &self.comp.display, "a source offers too many types");
        }
    }
}
