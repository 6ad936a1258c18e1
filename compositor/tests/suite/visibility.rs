//! Which globals a client is shown: those of the list, less what the policy of its VM withholds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use vitrail::config::{Config, Live};
use vitrail::handlers::globals::{Audience, OFFERED};
use vitrail::trust::client::Privilege;
use vitrail::trust::origin::Origin;
use vitrail_protocols::globals::GLOBALS;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;

use crate::fixture::{Fixture, vm};

fn compositor(protocols: &str) -> Fixture {
    let text = format!(
        "[vm.work]\ncolor = \"#2e7d32\"\n[vm.work.protocols]\n{protocols}\n[vm.web]\ncolor = \"#c62828\"\n"
    );
    Fixture::configured_as(Live::fixed(Config::parse(Path::new("test.toml"), &text).unwrap()))
}

fn seen(fixture: &mut Fixture, origin: Origin, privilege: Privilege) -> BTreeMap<String, u32> {
    let client = fixture.connect_as(origin, privilege);
    fixture.client(client).globals()
}

/// What the list says that a client of an audience and of a VM is shown.
fn listed(audience: Audience, shown: impl Fn(&str) -> bool) -> BTreeMap<String, u32> {
    let offered =
        OFFERED.iter().filter(|one| one.audience == Audience::Everybody || one.audience == audience);
    let shown = offered.filter(|one| shown(one.interface));
    shown.map(|one| (one.interface.to_owned(), one.version)).collect()
}

#[test]
fn the_list_of_globals_is_what_real_clients_are_shown() {
    let mut fixture = compositor("");
    let gate = seen(&mut fixture, Origin::Local, Privilege::Gate);
    assert_eq!(gate, listed(Audience::Gate, |_| true));
    let local = seen(&mut fixture, Origin::Local, Privilege::Ordinary);
    assert_eq!(local, listed(Audience::Local, |_| true));
    let names: BTreeSet<&str> = OFFERED.iter().map(|one| one.interface).collect();
    assert_eq!(names.len(), OFFERED.len(), "an interface is listed twice");
}

#[test]
fn a_vm_of_which_nothing_is_said_is_shown_what_every_vm_may_see() {
    let mut fixture = compositor("deny = [\"wl_shm\"]");
    let by_class = |interface: &str| {
        vitrail_protocols::globals::lookup(interface).is_some_and(|global| global.class.allowed_by_default())
    };
    let web = seen(&mut fixture, vm("web"), Privilege::Ordinary);
    assert_eq!(web, listed(Audience::Everybody, by_class));
}

#[test]
fn what_a_policy_withholds_is_hidden_from_its_vm_alone() {
    let mut fixture = compositor("deny = [\"wp_viewporter\", \"wl_seat\"]");
    let denied = ["wp_viewporter", "wl_seat"];
    let work = seen(&mut fixture, vm("work"), Privilege::Ordinary);
    assert_eq!(work, listed(Audience::Everybody, |interface| !denied.contains(&interface)));
    for origin in [vm("web"), Origin::Local] {
        let seen = seen(&mut fixture, origin, Privilege::Ordinary);
        assert!(denied.iter().all(|interface| seen.contains_key(*interface)));
    }
}

/// A protocol whose globals are made by another macro than `delegate_global` is shown to everybody, whatever the policy
/// says: it would be found here.
#[test]
fn a_vm_that_may_see_nothing_is_shown_nothing() {
    let mut all = String::from("deny = [");
    for global in GLOBALS {
        write!(all, "\"{}\", ", global.interface).unwrap();
    }
    let mut fixture = compositor(&format!("{all}]"));
    assert_eq!(seen(&mut fixture, vm("work"), Privilege::Ordinary), BTreeMap::new());
}

#[test]
fn a_withheld_global_and_one_that_never_existed_end_a_client_alike() {
    let mut errors = Vec::new();
    for missing in [false, true] {
        let mut fixture = compositor("deny = [\"wp_viewporter\"]");
        let web = fixture.connect(vm("web"));
        let hidden = fixture.client(web).name_of("wp_viewporter");
        let name = if missing { 4000 } else { hidden };
        let work = fixture.connect(vm("work"));
        fixture.client(work).bind_by_name::<WpViewporter>(name);
        fixture.wait("the end of the connection", |fixture| fixture.client(work).ended());
        let client = fixture.client(work);
        let text = client.error_text().map(|text| text.replace(&name.to_string(), "NAME"));
        errors.push((client.error(), text));
        assert!(!fixture.client(web).ended());
    }
    assert!(errors[0].0.is_some() && errors[0] == errors[1], "{errors:?}");
}

#[test]
fn a_new_policy_is_that_of_new_connections() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |protocols: &str| {
        let text = format!("[vm.work]\ncolor = \"#2e7d32\"\nprotocols = {{ {protocols} }}\n");
        std::fs::write(file.path(), text).unwrap();
    };
    write("deny = [\"wp_viewporter\"]");
    let mut fixture = Fixture::configured_as(Live::load(file.path()).unwrap());
    let before = fixture.connect(vm("work"));
    assert!(!fixture.client(before).sees("wp_viewporter"));
    write("deny = [\"wl_seat\"]");
    assert!(fixture.state().reload());
    let after = fixture.connect(vm("work"));
    assert!(fixture.client(after).sees("wp_viewporter") && !fixture.client(after).sees("wl_seat"));
    // The connection that was there before keeps what it was shown, and can use it.
    fixture.client(before).seat();
    fixture.roundtrip(before);
    assert!(!fixture.client(before).ended());
}
