//! Registries that are destroyed.

use wayland_client::delegate_noop;
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_fixes::WlFixes;
use wayland_client::protocol::wl_registry::WlRegistry;

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};

delegate_noop!(Told: ignore WlFixes);

/// The live registries of all clients.
fn registries(fixture: &mut Fixture) -> usize {
    let display = fixture.state().comp.display.clone();
    let backend = display.backend_handle();
    let (mut clients, mut count) = (Vec::new(), 0);
    backend.with_all_clients(|client| clients.push(client));
    for client in clients {
        let counted = backend.with_all_objects_for(client, |object| {
            count += usize::from(object.interface().name == "wl_registry");
        });
        counted.unwrap();
    }
    count
}

fn destroy(fixture: &mut Fixture, who: Who, registry: &WlRegistry) {
    fixture.client(who).bind::<WlFixes>().destroy_registry(registry);
    fixture.roundtrip(who);
}

#[test]
fn a_destroyed_registry_is_gone_and_the_others_stay() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("work"));
    for _ in 0..3 {
        let others: Vec<_> = (0..200).map(|_| fixture.client(who).another_registry()).collect();
        fixture.roundtrip(who);
        assert_eq!(registries(&mut fixture), 201);
        for registry in &others {
            fixture.client(who).bind::<WlFixes>().destroy_registry(registry);
        }
        fixture.roundtrip(who);
        assert_eq!(registries(&mut fixture), 1);
        assert!(!fixture.client(who).ended());
    }
    let surface = fixture.client(who).surface();
    fixture.roundtrip(who);
    assert!(!fixture.client(who).ended(), "the first registry still serves: {surface:?}");
}

#[test]
fn a_destroyed_registry_cannot_be_used_or_destroyed_again() {
    for again in [true, false] {
        let mut fixture = Fixture::new();
        let who = fixture.connect(vm("work"));
        let registry = fixture.client(who).another_registry();
        fixture.roundtrip(who);
        destroy(&mut fixture, who, &registry);
        assert!(!fixture.client(who).ended());
        if again {
            destroy(&mut fixture, who, &registry);
        } else {
            let queue = fixture.client(who).queue.clone();
            registry.bind::<WlCompositor, _, _>(1, 1, &queue, ());
        }
        fixture.wait("the end of the connection", |fixture| fixture.client(who).ended());
        let other = fixture.connect(vm("web"));
        fixture.window(other, 50, 50, [0, 0, 255, 255]);
    }
}
