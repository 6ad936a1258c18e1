//! `xdg_foreign_unstable_v2`: windows that are dialogs of another program's window, by a handle that the programs
//! pass between them.
//!
//! A handle works only in the VM that it was given to. Handles of other VMs, of windows that are gone and of none at
//! all have the same answer, so that a VM learns nothing by trying.
//!
//! # Invariants
//!
//! * An import in [`Foreign`] names an export that is there, of the same origin.
//! * A window whose parent came from an import loses it with the import, the export or the exported window.

use std::collections::HashMap;

use smithay::reexports::wayland_protocols::xdg::foreign::zv2::server::zxdg_exported_v2::{
    self, ZxdgExportedV2,
};
use smithay::reexports::wayland_protocols::xdg::foreign::zv2::server::zxdg_exporter_v2::{
    self, ZxdgExporterV2,
};
use smithay::reexports::wayland_protocols::xdg::foreign::zv2::server::zxdg_imported_v2::{
    self, ZxdgImportedV2,
};
use smithay::reexports::wayland_protocols::xdg::foreign::zv2::server::zxdg_importer_v2::{
    self, ZxdgImporterV2,
};
use smithay::reexports::wayland_server::backend::{ClientId, ObjectId};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};
use smithay::wayland::compositor::with_states;
use smithay::wayland::shell::is_valid_parent;
use smithay::wayland::shell::xdg::XdgToplevelSurfaceData;

use vitrail_protocols::Guard;

use crate::state::State;
use crate::trust::client::{end_for_misuse, may_see, origin_of};
use crate::trust::origin::Origin;

/// Exports, and imports, that one origin may have at a time.
const MAX_PER_ORIGIN: usize = 256;

/// A window that others may name.
#[derive(Debug)]
struct Export {
    object: ObjectId,
    origin: Origin,
    surface: WlSurface,
}

/// The use of another program's window.
#[derive(Debug)]
struct Import {
    object: ZxdgImportedV2,
    /// The exported window's handle.
    handle: String,
    origin: Origin,
    /// The windows that have it for a parent.
    children: Vec<WlSurface>,
}

/// What is exported and imported.
#[derive(Debug, Default)]
pub struct Foreign {
    exports: HashMap<String, Export>,
    imports: HashMap<ObjectId, Import>,
}

/// Creates the globals.
pub fn create(display: &DisplayHandle) {
    display.create_global::<State, ZxdgExporterV2, ()>(1, ());
    display.create_global::<State, ZxdgImporterV2, ()>(1, ());
}

/// A name that cannot be guessed; `None` if the system has no random numbers.
pub(super) fn new_handle() -> Option<String> {
    let mut bytes = [0_u8; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    (got == Ok(bytes.len())).then(|| format!("{:032x}", u128::from_ne_bytes(bytes)))
}

impl State {
    /// A toplevel is gone, and with it what was exported of it.
    pub(crate) fn exported_surface_gone(&mut self, surface: &WlSurface) {
        let exports = self.comp.protocols.foreign.exports.iter();
        let gone = exports.filter(|(_, export)| export.surface == *surface);
        let gone: Vec<String> = gone.map(|(handle, _)| handle.clone()).collect();
        for handle in gone {
            self.end_export(&handle);
        }
        for import in self.comp.protocols.foreign.imports.values_mut() {
            import.children.retain(|child| child != surface);
        }
    }

    /// Ends an export, and tells those who use it.
    fn end_export(&mut self, handle: &str) {
        let foreign = &mut self.comp.protocols.foreign;
        let Some(export) = foreign.exports.remove(handle) else { return };
        let users = foreign.imports.iter().filter(|(_, import)| import.handle == handle);
        let users: Vec<ObjectId> = users.map(|(id, _)| id.clone()).collect();
        for user in users {
            if let Some(import) = self.comp.protocols.foreign.imports.remove(&user) {
                import.object.destroyed();
                self.orphan(&import, &export.surface);
            }
        }
    }

    /// Takes the parent from the windows that have it by an import.
    fn orphan(&mut self, import: &Import, parent: &WlSurface) {
        for child in &import.children {
            if parent_of(child).as_ref() == Some(parent) {
                self.set_foreign_parent(child, None);
            }
        }
    }

    /// Enters a parent where Smithay keeps it, and follows it.
    fn set_foreign_parent(&mut self, child: &WlSurface, parent: Option<WlSurface>) {
        with_states(child, |states| {
            let data = states.data_map.get::<XdgToplevelSurfaceData>();
            if let Some(mut data) = data.and_then(|data| data.lock().ok()) {
                data.parent = parent;
            }
        });
        let window = self.comp.shell.find(|window| window.handle.wl_surface() == child);
        if let Some(toplevel) = window.map(|window| window.handle.clone()) {
            self.follow_parent(&toplevel);
        }
    }
}

fn parent_of(child: &WlSurface) -> Option<WlSurface> {
    with_states(child, |states| {
        let data = states.data_map.get::<XdgToplevelSurfaceData>()?;
        data.lock().ok()?.parent.clone()
    })
}

impl GlobalDispatch<ZxdgExporterV2, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<ZxdgExporterV2>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, ZxdgExporterV2::interface().name)
    }
}

impl GlobalDispatch<ZxdgImporterV2, ()> for State {
    fn bind(
        _state: &mut Self,
        _display: &DisplayHandle,
        _client: &Client,
        new: New<ZxdgImporterV2>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        data_init.init(new, ());
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, ZxdgImporterV2::interface().name)
    }
}

impl Dispatch<ZxdgExporterV2, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        exporter: &ZxdgExporterV2,
        request: zxdg_exporter_v2::Request,
        _data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let zxdg_exporter_v2::Request::ExportToplevel { id, surface } = request else { return };
        let Some(origin) = origin_of(&surface).filter(|_| state.window_of(&surface).is_some()) else {
            exporter.post_error(zxdg_exporter_v2::Error::InvalidSurface, "the surface is no toplevel");
            return;
        };
        let foreign = &mut state.comp.protocols.foreign;
        let siblings = foreign.exports.values().filter(|export| export.origin == origin).count();
        let Some(handle) = new_handle().filter(|_| siblings < MAX_PER_ORIGIN) else {
            end_for_misuse(client, display, "too many windows are exported");
            return;
        };
        let exported = data_init.init(id, ());
        exported.handle(handle.clone());
        foreign.exports.insert(handle, Export { object: exported.id(), origin, surface });
    }
}

impl Dispatch<ZxdgExportedV2, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _exported: &ZxdgExportedV2,
        _request: zxdg_exported_v2::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, exported: &ZxdgExportedV2, _data: &()) {
        let id = exported.id();
        let mut exports = state.comp.protocols.foreign.exports.iter();
        let handle = exports.find(|(_, export)| export.object == id).map(|(handle, _)| handle.clone());
        if let Some(handle) = handle {
            state.end_export(&handle);
        }
    }
}

impl Dispatch<ZxdgImporterV2, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        importer: &ZxdgImporterV2,
        request: zxdg_importer_v2::Request,
        _data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        let zxdg_importer_v2::Request::ImportToplevel { id, handle } = request else { return };
        let object = data_init.init(id, ());
        let Some(origin) = origin_of(importer) else { return };
        let foreign = &mut state.comp.protocols.foreign;
        if foreign.exports.get(&handle).is_none_or(|export| export.origin != origin && Guard::Handle.holds())
        {
            object.destroyed();
            return;
        }
        if foreign.imports.values().filter(|import| import.origin == origin).count() >= MAX_PER_ORIGIN {
            end_for_misuse(client, display, "too many windows are imported");
            return;
        }
        let import = Import { object: object.clone(), handle, origin, children: Vec::new() };
        foreign.imports.insert(object.id(), import);
    }
}

impl Dispatch<ZxdgImportedV2, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        imported: &ZxdgImportedV2,
        request: zxdg_imported_v2::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
        let zxdg_imported_v2::Request::SetParentOf { surface } = request else { return };
        if state.window_of(&surface).is_none() {
            imported.post_error(zxdg_imported_v2::Error::InvalidSurface, "the surface is no toplevel");
            return;
        }
        let Foreign { exports, imports } = &mut state.comp.protocols.foreign;
        // What was imported in vain, or is gone, does nothing.
        let Some(import) = imports.get_mut(&imported.id()) else { return };
        let Some(parent) = exports.get(&import.handle).map(|export| export.surface.clone()) else { return };
        if !is_valid_parent(&surface, &parent) {
            imported
                .post_error(zxdg_imported_v2::Error::InvalidSurface, "the window would be its own ancestor");
            return;
        }
        // Not more than the origin's toplevels: those that are gone were taken out.
        if !import.children.contains(&surface) {
            import.children.push(surface.clone());
        }
        state.set_foreign_parent(&surface, Some(parent));
    }

    fn destroyed(state: &mut Self, _client: ClientId, imported: &ZxdgImportedV2, _data: &()) {
        let foreign = &mut state.comp.protocols.foreign;
        let Some(import) = foreign.imports.remove(&imported.id()) else { return };
        let parent = foreign.exports.get(&import.handle).map(|export| export.surface.clone());
        if let Some(parent) = parent {
            state.orphan(&import, &parent);
        }
    }
}
