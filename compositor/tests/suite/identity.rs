//! Who is who: connections of VMs come through the gate's security contexts, and through nothing else.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};

use vitrail::trust::client::Privilege;
use vitrail::trust::origin::Origin;
use wayland_protocols::wp::security_context::v1::client::wp_security_context_manager_v1::WpSecurityContextManagerV1;

use crate::fixture::{Fixture, WORK, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const MANAGER: &str = "wp_security_context_manager_v1";

/// Makes a context and returns a directory with its socket, and the other end of its close descriptor.
fn context(fixture: &mut Fixture, engine: &str, app_id: &str) -> (tempfile::TempDir, UnixStream) {
    let gate = fixture.connect_as(Origin::Local, Privilege::Gate);
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (close, keep) = UnixStream::pair().unwrap();
    let client = fixture.client(gate);
    let manager: WpSecurityContextManagerV1 = client.bind();
    let context = manager.create_listener(listener.as_fd(), close.as_fd(), &client.queue, ());
    context.set_sandbox_engine(engine.to_owned());
    context.set_app_id(app_id.to_owned());
    context.commit();
    fixture.roundtrip(gate);
    assert!(!fixture.client(gate).ended());
    (directory, keep)
}

#[test]
fn only_the_gate_sees_the_security_context_manager() {
    let mut fixture = Fixture::new();
    for origin in [Origin::Local, vm("work")] {
        let client = fixture.connect(origin);
        assert!(!fixture.client(client).sees(MANAGER));
    }
    let gate = fixture.connect_as(Origin::Local, Privilege::Gate);
    assert!(fixture.client(gate).sees(MANAGER));
}

#[test]
fn a_client_of_the_gates_context_is_its_vms() {
    let mut fixture = Fixture::new();
    let (directory, _keep) = context(&mut fixture, "vitrail", "work");
    let client = fixture.join(UnixStream::connect(directory.path().join("socket")).unwrap());
    assert!(!fixture.client(client).sees(MANAGER));
    fixture.window(client, 100, 50, BLUE);
    let window = fixture.report()[0].clone();
    assert_eq!(window.vm, "work");
    fixture.screenshot().assert_ring(WORK, window.frame, 4);
}

#[test]
fn an_unknown_vm_is_refused() {
    let mut fixture = Fixture::new();
    let (directory, _keep) = context(&mut fixture, "vitrail", "stranger");
    let client = fixture.join(UnixStream::connect(directory.path().join("socket")).unwrap());
    fixture.wait("the end of the connection", |fixture| fixture.client(client).ended());
}

#[test]
fn a_context_that_names_no_vm_is_refused() {
    for (engine, app_id) in [("flatpak", "work"), ("vitrail", "local"), ("vitrail", "../work"), ("", "work")]
    {
        let mut fixture = Fixture::new();
        let (directory, _keep) = context(&mut fixture, engine, app_id);
        let connected = UnixStream::connect(directory.path().join("socket"));
        assert!(connected.is_err(), "{engine}/{app_id}: nobody listens");
    }
}

#[test]
fn a_vm_that_a_reload_leaves_out_loses_its_connections() {
    let mut fixture = Fixture::new();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 100, 50, [0, 0, 255, 255]);
    let web = fixture.connect(vm("web"));
    fixture.window(web, 100, 50, [0, 0, 255, 255]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[vm.work]\ncolor = \"#2e7d32\"\n[vm.web]\ncolor = \"#c62828\"\n").unwrap();
    fixture.state().comp.config = vitrail::config::Live::load(file.path()).unwrap();
    std::fs::write(file.path(), "[vm.web]\ncolor = \"#c62828\"\n").unwrap();
    assert!(fixture.state().reload());
    fixture.wait("the end of the connection", |fixture| fixture.client(work).ended());
    fixture.wait("the end of the window", |fixture| fixture.state().comp.shell.bottom_up().count() == 1);
    assert_eq!(fixture.report()[0].vm, "web");
    assert!(!fixture.client(web).ended());
}
