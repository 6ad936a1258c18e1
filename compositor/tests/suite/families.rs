//! Windows that belong together, by one program's word or two programs' of one VM.

use smithay::utils::Point;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, delegate_noop};
use wayland_protocols::xdg::dialog::v1::client::xdg_dialog_v1::XdgDialogV1;
use wayland_protocols::xdg::dialog::v1::client::xdg_wm_dialog_v1::XdgWmDialogV1;
use wayland_protocols::xdg::foreign::zv2::client::zxdg_exported_v2::{self, ZxdgExportedV2};
use wayland_protocols::xdg::foreign::zv2::client::zxdg_exporter_v2::ZxdgExporterV2;
use wayland_protocols::xdg::foreign::zv2::client::zxdg_imported_v2::{self, ZxdgImportedV2};
use wayland_protocols::xdg::foreign::zv2::client::zxdg_importer_v2::ZxdgImporterV2;
use wayland_protocols::xdg::shell::client::xdg_toplevel::XdgToplevel;

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};

delegate_noop!(Told: ignore XdgWmDialogV1);
delegate_noop!(Told: ignore XdgDialogV1);
delegate_noop!(Told: ignore ZxdgExporterV2);
delegate_noop!(Told: ignore ZxdgImporterV2);

impl Dispatch<ZxdgExportedV2, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZxdgExportedV2,
        event: zxdg_exported_v2::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let zxdg_exported_v2::Event::Handle { handle } = event {
            told.words.push(handle);
        }
    }
}

impl Dispatch<ZxdgImportedV2, ()> for Told {
    fn event(
        told: &mut Self,
        imported: &ZxdgImportedV2,
        event: zxdg_imported_v2::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let zxdg_imported_v2::Event::Destroyed = event {
            told.gone.push(imported.id());
        }
    }
}

const BLUE: [u8; 4] = [0, 0, 255, 255];

fn toplevel(fixture: &mut Fixture, who: Who, window: usize) -> XdgToplevel {
    fixture.client(who).told.shown[window].toplevel.clone().unwrap()
}

fn surface(fixture: &mut Fixture, who: Who, window: usize) -> WlSurface {
    fixture.client(who).told.shown[window].surface.clone()
}

/// Sizes of the contents from the bottom up, by which these tests tell windows apart.
fn stack(fixture: &mut Fixture) -> Vec<i32> {
    let mut report = fixture.report();
    report.sort_by_key(|window| window.z);
    report.iter().map(|window| window.content.size.w).collect()
}

fn focused(fixture: &mut Fixture) -> Option<i32> {
    fixture.report().iter().find(|window| window.focused).map(|window| window.content.size.w)
}

/// Clicks into the content of the window of this width, where nothing covers it.
fn click(fixture: &mut Fixture, width: i32) {
    let report = fixture.report();
    let wanted = report.iter().find(|window| window.content.size.w == width).unwrap();
    let free = |point: &Point<i32, _>| {
        !report.iter().any(|other| other.z > wanted.z && other.frame.contains(*point))
    };
    let (content, mut found) = (wanted.content, None);
    for x in (content.loc.x..content.loc.x + content.size.w).step_by(8) {
        for y in (content.loc.y..content.loc.y + content.size.h).step_by(8) {
            found = found.or(Some(Point::from((x, y))).filter(free));
        }
    }
    let point = found.expect("some of the window can be seen");
    fixture.click(point.x, point.y);
}

fn export(fixture: &mut Fixture, who: Who, window: usize) -> (ZxdgExportedV2, String) {
    let surface = surface(fixture, who, window);
    let client = fixture.client(who);
    let exported = client.bind::<ZxdgExporterV2>().export_toplevel(&surface, &client.queue, ());
    fixture.roundtrip(who);
    (exported, fixture.client(who).told.words.pop().expect("a handle"))
}

fn import(fixture: &mut Fixture, who: Who, handle: &str) -> ZxdgImportedV2 {
    let client = fixture.client(who);
    let imported = client.bind::<ZxdgImporterV2>().import_toplevel(handle.to_owned(), &client.queue, ());
    fixture.roundtrip(who);
    imported
}

fn is_gone(fixture: &mut Fixture, who: Who, imported: &ZxdgImportedV2) -> bool {
    fixture.roundtrip(who);
    fixture.client(who).told.gone.contains(&imported.id())
}

#[test]
fn clicking_the_parent_of_a_modal_dialog_brings_up_the_dialog() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let who = fixture.connect(vm("work"));
    let parent = fixture.window(who, 300, 200, BLUE);
    let dialog = fixture.window(who, 180, 100, BLUE);
    fixture.window(who, 220, 120, BLUE);
    let (child, of) = (toplevel(&mut fixture, who, dialog), toplevel(&mut fixture, who, parent));
    child.set_parent(Some(&of));
    let client = fixture.client(who);
    let modal = client.bind::<XdgWmDialogV1>().get_xdg_dialog(&child, &client.queue, ());
    modal.set_modal();
    fixture.roundtrip(who);
    assert_eq!(focused(&mut fixture), Some(220), "another window is in use");
    click(&mut fixture, 300);
    assert_eq!((stack(&mut fixture), focused(&mut fixture)), (vec![220, 300, 180], Some(180)));
    fixture.roundtrip(who);
    assert_eq!(fixture.client(who).told.keyboard, None, "this client has asked for no keyboard");
    modal.unset_modal();
    fixture.roundtrip(who);
    click(&mut fixture, 300);
    assert_eq!((stack(&mut fixture), focused(&mut fixture)), (vec![220, 300, 180], Some(300)));
    modal.set_modal();
    fixture.roundtrip(who);
    assert_eq!(focused(&mut fixture), Some(180), "the window in use waits from now on");
    modal.destroy();
    fixture.roundtrip(who);
    click(&mut fixture, 300);
    assert_eq!(focused(&mut fixture), Some(300), "the object took the dialog's nature along");
}

#[test]
fn a_second_dialog_object_ends_the_client_and_one_without_a_window_does_nothing() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("work"));
    let window = fixture.window(who, 100, 50, BLUE);
    let other = fixture.window(who, 80, 50, BLUE);
    let (first, second) = (toplevel(&mut fixture, who, window), toplevel(&mut fixture, who, other));
    let client = fixture.client(who);
    let manager = client.bind::<XdgWmDialogV1>();
    let orphan = manager.get_xdg_dialog(&first, &client.queue, ());
    first.destroy();
    client.told.shown[window].xdg.destroy();
    client.told.shown[window].surface.destroy();
    orphan.set_modal();
    orphan.destroy();
    manager.get_xdg_dialog(&second, &client.queue, ());
    fixture.roundtrip(who);
    assert!(!fixture.client(who).ended());
    let client = fixture.client(who);
    manager.get_xdg_dialog(&second, &client.queue, ());
    fixture.wait("the end of the connection", |fixture| fixture.client(who).ended());
    assert_eq!(fixture.client(who).error(), Some(("xdg_wm_dialog_v1".to_owned(), 0)));
}

#[test]
fn another_program_of_the_same_vm_may_put_a_dialog_over_an_exported_window() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let (who, chooser) = (fixture.connect(vm("work")), fixture.connect(vm("work")));
    let parent = fixture.window(who, 300, 200, BLUE);
    let dialog = fixture.window(chooser, 180, 100, BLUE);
    let (exported, handle) = export(&mut fixture, who, parent);
    let imported = import(&mut fixture, chooser, &handle);
    assert!(!is_gone(&mut fixture, chooser, &imported));
    let child = surface(&mut fixture, chooser, dialog);
    imported.set_parent_of(&child);
    fixture.roundtrip(chooser);
    click(&mut fixture, 300);
    assert_eq!((stack(&mut fixture), focused(&mut fixture)), (vec![300, 180], Some(300)));
    // What is no longer exported is no parent any more.
    exported.destroy();
    fixture.roundtrip(who);
    assert!(is_gone(&mut fixture, chooser, &imported));
    click(&mut fixture, 300);
    assert_eq!(stack(&mut fixture), [180, 300]);
    // The object is still there, and does nothing.
    imported.set_parent_of(&child);
    imported.destroy();
    fixture.roundtrip(chooser);
    assert!(!fixture.client(chooser).ended());
}

#[test]
fn a_relation_ends_with_the_import_or_with_the_exporting_program() {
    for by_import in [true, false] {
        let mut fixture = Fixture::sized(900, 600, 1.0);
        let (who, chooser) = (fixture.connect(vm("work")), fixture.connect(vm("work")));
        let parent = fixture.window(who, 300, 200, BLUE);
        let dialog = fixture.window(chooser, 180, 100, BLUE);
        let (_exported, handle) = export(&mut fixture, who, parent);
        let imported = import(&mut fixture, chooser, &handle);
        imported.set_parent_of(&surface(&mut fixture, chooser, dialog));
        fixture.roundtrip(chooser);
        let has_parent = |fixture: &mut Fixture| {
            let shell = &fixture.state().comp.shell;
            shell.bottom_up().any(|window| window.parent.is_some())
        };
        assert!(has_parent(&mut fixture));
        if by_import {
            imported.destroy();
            fixture.roundtrip(chooser);
        } else {
            let shown = &fixture.client(who).told.shown[parent];
            shown.toplevel.as_ref().unwrap().destroy();
            fixture.roundtrip(who);
            assert!(is_gone(&mut fixture, chooser, &imported));
        }
        assert!(!has_parent(&mut fixture));
        assert!(!fixture.client(chooser).ended());
    }
}

#[test]
fn a_handle_of_another_vm_is_worth_as_little_as_none() {
    let mut fixture = Fixture::sized(900, 600, 1.0);
    let (who, other) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    let parent = fixture.window(who, 300, 200, BLUE);
    let dialog = fixture.window(other, 180, 100, BLUE);
    let (_exported, handle) = export(&mut fixture, who, parent);
    let child = surface(&mut fixture, other, dialog);
    for handle in [handle.as_str(), "", "0123456789abcdef0123456789abcdef"] {
        let imported = import(&mut fixture, other, handle);
        assert!(is_gone(&mut fixture, other, &imported), "{handle:?}");
        imported.set_parent_of(&child);
        imported.destroy();
    }
    fixture.roundtrip(other);
    assert!(!fixture.client(other).ended());
    assert_eq!(focused(&mut fixture), Some(300));
    assert!(fixture.state().comp.shell.bottom_up().all(|window| window.parent.is_none()));
}

#[test]
fn circles_what_is_no_window_and_too_much_end_the_client() {
    let end = |attack: &dyn Fn(&mut Fixture, Who), interface: &str, code: u32| {
        let mut fixture = Fixture::sized(900, 600, 1.0);
        let who = fixture.connect(vm("work"));
        fixture.window(who, 300, 200, BLUE);
        attack(&mut fixture, who);
        fixture.wait("the end of the connection", |fixture| fixture.client(who).ended());
        assert_eq!(fixture.client(who).error(), Some((interface.to_owned(), code)));
        let other = fixture.connect(vm("web"));
        fixture.window(other, 100, 50, BLUE);
    };
    let circle = |fixture: &mut Fixture, who: Who| {
        let (_, handle) = export(fixture, who, 0);
        import(fixture, who, &handle).set_parent_of(&surface(fixture, who, 0));
    };
    end(&circle, "zxdg_imported_v2", 0);
    let no_window = |fixture: &mut Fixture, who: Who| {
        let client = fixture.client(who);
        client.bind::<ZxdgExporterV2>().export_toplevel(&client.surface(), &client.queue, ());
    };
    end(&no_window, "zxdg_exporter_v2", 0);
    let no_child = |fixture: &mut Fixture, who: Who| {
        let (_, handle) = export(fixture, who, 0);
        let imported = import(fixture, who, &handle);
        imported.set_parent_of(&fixture.client(who).surface());
    };
    end(&no_child, "zxdg_imported_v2", 0);
    let flood = |fixture: &mut Fixture, who: Who| {
        let surface = surface(fixture, who, 0);
        let client = fixture.client(who);
        let exporter = client.bind::<ZxdgExporterV2>();
        for _ in 0..300 {
            exporter.export_toplevel(&surface, &client.queue, ());
        }
    };
    end(&flood, "wl_display", 3);
    let imports = |fixture: &mut Fixture, who: Who| {
        let (_, handle) = export(fixture, who, 0);
        let client = fixture.client(who);
        let importer = client.bind::<ZxdgImporterV2>();
        for _ in 0..300 {
            importer.import_toplevel(handle.clone(), &client.queue, ());
        }
    };
    end(&imports, "wl_display", 3);
}
