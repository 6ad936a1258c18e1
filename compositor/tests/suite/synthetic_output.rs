//! What a VM is told of the screens.

use vitrail::shell::outputs::Head;
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_output::WlOutput;
use wayland_protocols::xdg::xdg_output::zv1::client::zxdg_output_manager_v1::ZxdgOutputManagerV1;

use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

/// Two outputs of other sizes and scales, and what is written of all VMs.
fn two_outputs(rule: &str) -> Fixture {
    let mut fixture = Fixture::written_for(&format!("[defaults.privacy]\n{rule}\n"), (430, 345));
    assert!(fixture.state().connect_output(Head::virtual_one("HDMI-A-1", (1300, 950).into(), 1.5)));
    fixture
}

/// Binds all outputs that a client is shown, with their descriptions.
fn bind(fixture: &mut Fixture, who: Who) -> Vec<WlOutput> {
    let client = fixture.client(who);
    let outputs: Vec<WlOutput> =
        client.told.outputs.names.iter().map(|name| client.bind_output(*name)).collect();
    let manager = client.bind::<ZxdgOutputManagerV1>();
    for output in &outputs {
        manager.get_xdg_output(output, &client.queue, ());
    }
    fixture.roundtrip(who);
    outputs
}

#[test]
fn a_vm_is_shown_one_output_of_no_make_wherever_its_windows_are() {
    let mut fixture = two_outputs("");
    let local = fixture.connect(Origin::Local);
    assert_eq!(bind(&mut fixture, local).len(), 2, "local programs are shown the real ones");
    assert!(fixture.client(local).told.outputs.said.iter().any(|said| said.ends_with("is HDMI-A-1")));

    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 100, 50, BLUE);
    let outputs = bind(&mut fixture, work);
    assert_eq!(outputs.len(), 1);
    let told = &fixture.client(work).told.outputs;
    assert!(told.said.iter().any(|said| said.ends_with("is output")), "{:?}", told.said);
    assert!(told.said.iter().any(|said| said.ends_with("at 0,0")));
    assert_eq!(told.modes, [(430, 345, 60_000)]);
    assert_eq!(told.described, ["at 0,0", "430x345", "output"]);
    let surface = fixture.client(work).told.shown[window].surface.clone();
    let entered = |fixture: &mut Fixture| -> Vec<String> {
        let told = fixture.client(work).told.outputs.surfaces.clone();
        let number = wayland_client::Proxy::id(&surface).protocol_id();
        told.into_iter()
            .filter(|(id, said)| *id == number && !said.starts_with("scale"))
            .map(|(_, said)| said)
            .collect()
    };
    assert_eq!(entered(&mut fixture).len(), 1, "it learns of the output that it bound after it was shown");

    // The user takes the window to the other screen, which is then plugged out.
    fixture.chord(&["leftmeta", "leftshift", "o"]);
    fixture.roundtrip(work);
    assert_eq!(entered(&mut fixture).len(), 1, "neither a leave nor another enter");
    let told = &fixture.client(work).told.outputs;
    assert_eq!(told.modes.last(), Some(&(867 * 2, 633 * 2, 60_000)), "its size and whole scale alone");
    assert!(told.described.contains(&"867x633".to_owned()));
    fixture.state().disconnect_output("HDMI-A-1");
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.outputs.names.len(), 1);
    assert_eq!(fixture.client(work).told.outputs.modes.last(), Some(&(430, 345, 60_000)));
    fixture.client(work).told.shown[window].surface.attach(None, 0, 0);
    fixture.client(work).told.shown[window].surface.commit();
    fixture.roundtrip(work);
    assert!(entered(&mut fixture).last().unwrap().starts_with("leave"));
}

#[test]
fn the_option_changes_what_a_vm_is_shown() {
    let mut fixture = two_outputs("outputs = \"real\"");
    let work = fixture.connect(vm("work"));
    bind(&mut fixture, work);
    let told = &fixture.client(work).told.outputs;
    assert_eq!(told.modes, [(430, 345, 60_000), (1300, 950, 60_000)]);
    assert!(told.said.iter().any(|said| said.ends_with("is HDMI-A-1")));

    let mut fixture = two_outputs("outputs = \"rounded\"");
    let work = fixture.connect(vm("work"));
    bind(&mut fixture, work);
    assert_eq!(fixture.client(work).told.outputs.modes, [(400, 300, 60_000)]);
    assert_eq!(fixture.client(work).told.outputs.described, ["at 0,0", "400x300", "output"]);
}

/// A VM asked for the description of a screen that had been plugged out a while before, and the compositor took for granted that it
/// was there.
#[test]
fn a_description_of_an_output_that_is_gone_says_nothing_and_harms_nobody() {
    let mut fixture = two_outputs("outputs = \"real\"");
    let work = fixture.connect(vm("work"));
    let outputs = bind(&mut fixture, work);
    fixture.state().disconnect_output("HDMI-A-1");
    // What keeps the name of the global for those that have not heard of it.
    let gone = std::time::Duration::from_secs(11);
    let start = std::time::Instant::now();
    while start.elapsed() < gone {
        fixture.turn_compositor(gone - start.elapsed());
    }
    let before = fixture.client(work).told.outputs.described.len();
    let client = fixture.client(work);
    let manager = client.bind::<ZxdgOutputManagerV1>();
    for output in &outputs {
        manager.get_xdg_output(output, &client.queue, ());
    }
    fixture.roundtrip(work);
    assert!(!fixture.client(work).ended());
    let described = &fixture.client(work).told.outputs.described[before..];
    assert!(described.iter().all(|said| !said.contains("HDMI")), "{described:?}");
}

#[test]
fn a_vm_that_asks_for_very_many_outputs_is_ended() {
    let mut fixture = two_outputs("");
    let work = fixture.connect(vm("work"));
    let name = fixture.client(work).told.outputs.names[0];
    for _ in 0..1100 {
        fixture.client(work).bind_output(name);
    }
    fixture.roundtrip(work);
    fixture.wait("the end", |fixture| fixture.client(work).ended());
    let web = fixture.connect(vm("web"));
    fixture.window(web, 100, 50, BLUE);
}
