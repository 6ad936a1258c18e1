//! What a VM sees by its policy, and what it is told of the rest.

use vitrail_protocols::policy::Rules;
use vitrail_protocols::{Limits, Policy};

use crate::compositor::global_name;
use crate::{Client, Vm};

const NO_SUCH_GLOBAL: &str = "vitrail-gate: there is no such global";

/// A VM that sees no viewporter, an idle notifier, and an old seat.
fn vm() -> Vm {
    let mut rules = Rules::default();
    rules.deny("wp_viewporter").unwrap();
    rules.allow("ext_idle_notifier_v1").unwrap();
    rules.max_version("wl_seat", 5).unwrap();
    Vm::with(Limits::default(), Policy::new(&Rules::default(), &rules))
}

fn seen(client: &mut Client) -> Vec<(String, u32)> {
    client.globals().into_iter().map(|(_, interface, version)| (interface, version)).collect()
}

#[test]
fn a_policy_hides_shows_and_caps_globals() {
    let (mut client, _) = vm().connect();
    let expected = [
        ("wl_compositor", 6),
        ("wl_shm", 2),
        ("wl_subcompositor", 1),
        ("xdg_wm_base", 6),
        ("wl_data_device_manager", 3),
        ("wl_seat", 5),
        ("zwp_tablet_manager_v2", 1),
        ("zwp_text_input_manager_v3", 1),
        ("ext_idle_notifier_v1", 2),
        ("wp_single_pixel_buffer_manager_v1", 1),
    ];
    assert_eq!(seen(&mut client), expected.map(|(name, version)| (name.to_owned(), version)));
}

#[test]
fn a_policy_for_nobody_leaves_an_empty_registry() {
    let mut rules = Rules::default();
    for global in vitrail_protocols::globals::GLOBALS {
        rules.deny(global.interface).unwrap();
    }
    let vm = Vm::with(Limits::default(), Policy::new(&rules, &Rules::default()));
    let (mut client, _) = vm.connect();
    assert_eq!(seen(&mut client), []);
}

/// A VM must not learn what the configuration or the session has that it does not see: not by the text, the code or
/// the object of the error, and not by how much of the connection is left after it.
#[test]
fn withheld_by_configuration_by_class_and_missing_have_one_answer() {
    let mut answers = Vec::new();
    for (name, interface, version) in [
        // Withheld by the configuration.
        (global_name("wp_viewporter"), "wp_viewporter", 1),
        // Withheld by its class.
        (global_name("zwlr_layer_shell_v1"), "zwlr_layer_shell_v1", 1),
        // Never existed.
        (4000, "wp_viewporter", 1),
        // Shown, and in a lower version.
        (global_name("wl_seat"), "wl_seat", 6),
    ] {
        let vm = vm();
        let (mut client, requests) = vm.connect();
        client.round_trip();
        client.bind_raw(name, interface, version, 77);
        let error = client.error();
        requests.wait_for_end();
        assert_eq!(requests.count("wl_registry.0"), 0, "{interface} reaches the compositor");
        assert_eq!(error.message, NO_SUCH_GLOBAL, "{interface}");
        answers.push(error);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[test]
fn what_is_allowed_can_be_bound() {
    let vm = vm();
    let (mut client, requests) = vm.connect();
    client.bind("ext_idle_notifier_v1", 2);
    client.bind("wl_seat", 5);
    assert!(client.round_trip());
    assert_eq!(requests.count("wl_registry.0"), 2);
}
