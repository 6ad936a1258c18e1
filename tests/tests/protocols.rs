//! Which globals an application in a VM sees through the whole chain, and that `vitrailctl why` says the same.

use std::collections::BTreeMap;

use serde_json::Value;
use vitrail_protocols::globals::GLOBALS;
use vitrail_tests::client::WindowOptions;
use vitrail_tests::session::{Options, Session};

/// The globals that a new application of a VM is shown, with their versions.
fn seen(session: &Session, vm: &str) -> BTreeMap<String, u32> {
    let client = session.client(vm);
    client.state.globals.iter().map(|global| (global.interface.clone(), global.version)).collect()
}

fn why(session: &Session, vm: &str, interface: &str) -> Value {
    let answer = session.control(&["why", vm, interface, "--json"]);
    serde_json::from_str(&answer).expect("an answer in JSON")
}

#[test]
fn a_vm_that_is_denied_a_protocol_does_not_see_it_and_its_neighbour_does() {
    let options = Options::new(&["work", "personal"]).protocols("work", "deny = [\"wp_viewporter\"]");
    let mut session = Session::with(options);
    let (work, personal) = (seen(&session, "work"), seen(&session, "personal"));
    assert!(!work.contains_key("wp_viewporter") && personal.contains_key("wp_viewporter"));
    let mut without = personal.clone();
    without.remove("wp_viewporter");
    assert_eq!(work, without, "the rest is the same");
    // What is left is enough for a window.
    let mut client = session.client("work");
    let _window = client.window(&WindowOptions::new("without", 0x00aa_bbcc)).unwrap();
    session.wait_window("without");
}

#[test]
fn why_says_what_applications_see() {
    let table = "allow = [\"ext_idle_notifier_v1\", \"wp_pointer_warp_v1\"]\ndeny = [\"wp_presentation\"]\n\
        max_version = { wl_seat = 5, ext_idle_notifier_v1 = 1 }";
    let session = Session::with(Options::new(&["work", "personal"]).protocols("work", table));
    for vm in ["work", "personal"] {
        let seen = seen(&session, vm);
        for global in GLOBALS {
            let answer = why(&session, vm, global.interface);
            let version = answer["version"].as_u64().and_then(|version| u32::try_from(version).ok());
            assert_eq!(version, seen.get(global.interface).copied(), "{vm}: {answer}");
        }
        assert!(seen.keys().all(|interface| GLOBALS.iter().any(|global| global.interface == interface)));
    }
    assert_eq!(why(&session, "work", "wl_seat")["version_key"], "[vm.work.protocols] max_version");
    assert_eq!(why(&session, "work", "ext_idle_notifier_v1")["version"], 1);
    assert_eq!(why(&session, "work", "wp_pointer_warp_v1")["decided_by"], "not_offered");
}

/// Compositor and gate read the same file. The worker that a VM had kept the policy that it was started with, also for new
/// connections: what was allowed since could not be had until the VM had no window any more, and a version that was lowered
/// was still shown.
#[test]
fn a_new_policy_is_that_of_new_connections_and_old_ones_go_on() {
    let mut session = Session::start(&["work"]);
    let mut before = session.client("work");
    assert!(seen(&session, "work").contains_key("wp_viewporter"));
    session.change_protocols("work", "deny = [\"wp_viewporter\"]");
    assert!(!seen(&session, "work").contains_key("wp_viewporter"));
    session.change_protocols("work", "max_version = { wl_seat = 5 }");
    let mut seen_now = seen(&session, "work");
    assert!(seen_now.contains_key("wp_viewporter"));
    assert_eq!(seen_now.remove("wl_seat"), Some(5));
    session.change_protocols("work", "allow = [\"ext_idle_notifier_v1\"]");
    assert!(seen(&session, "work").contains_key("ext_idle_notifier_v1"));
    let _window = before.window(&WindowOptions::new("before", 0x00aa_bbcc)).unwrap();
    session.wait_window("before");
}
