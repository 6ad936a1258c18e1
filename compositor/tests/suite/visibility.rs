//! Which globals a client is shown: those of the list, less what the policy of its VM withholds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use vitrail::config::{Config, Live};
use vitrail::handlers::globals::{Audience, OFFERED, lookup};
use vitrail::trust::client::Privilege;
use vitrail::trust::origin::Origin;
use vitrail_protocols::globals::{Class, GLOBALS};
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;
use wayland_protocols_wlr::layer_shell::v1::client::zwlr_layer_shell_v1::ZwlrLayerShellV1;

use crate::fixture::{Fixture, vm};

pub fn compositor(protocols: &str) -> Fixture {
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

/// Whether a VM sees an interface of which its policy says nothing.
fn by_class(interface: &str) -> bool {
    vitrail_protocols::globals::lookup(interface).is_some_and(|global| global.class.allowed_by_default())
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
    let web = seen(&mut fixture, vm("web"), Privilege::Ordinary);
    assert_eq!(web, listed(Audience::Everybody, by_class));
}

#[test]
fn what_a_policy_withholds_is_hidden_from_its_vm_alone() {
    let mut fixture = compositor("deny = [\"wp_viewporter\", \"wl_seat\"]");
    let denied = ["wp_viewporter", "wl_seat"];
    let work = seen(&mut fixture, vm("work"), Privilege::Ordinary);
    assert_eq!(
        work,
        listed(Audience::Everybody, |interface| by_class(interface) && !denied.contains(&interface))
    );
    for origin in [vm("web"), Origin::Local] {
        let seen = seen(&mut fixture, origin, Privilege::Ordinary);
        assert!(denied.iter().all(|interface| seen.contains_key(*interface)));
    }
}

#[test]
fn what_is_opt_in_is_shown_to_the_vm_that_is_allowed_it_alone() {
    let opt_in: Vec<&str> = GLOBALS
        .iter()
        .filter(|global| global.class == Class::OptIn && lookup(global.interface).is_some())
        .map(|global| global.interface)
        .collect();
    assert!(opt_in.contains(&"zwp_keyboard_shortcuts_inhibit_manager_v1"));
    let mut fixture = compositor(&format!("allow = {opt_in:?}"));
    let work = seen(&mut fixture, vm("work"), Privilege::Ordinary);
    let allowed = |interface: &str| by_class(interface) || opt_in.contains(&interface);
    assert_eq!(work, listed(Audience::Everybody, allowed));
    let web = seen(&mut fixture, vm("web"), Privilege::Ordinary);
    assert_eq!(web, listed(Audience::Everybody, by_class));
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

/// Bytes as a client may send them that is not made by any library.
fn message(object: u32, opcode: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(8 + body.len()).unwrap();
    let mut bytes = object.to_ne_bytes().to_vec();
    bytes.extend((size << 16 | opcode).to_ne_bytes());
    bytes.extend(body);
    bytes
}

/// Lets a client of `work` bind a global, without asking whether it was shown; false if that ended it.
fn binds(fixture: &mut Fixture, name: u32, interface: &str, version: u32) -> bool {
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    fixture.state().accept(theirs, vm("work"), Privilege::Ordinary).unwrap();
    let mut bind = name.to_ne_bytes().to_vec();
    bind.extend(u32::try_from(interface.len() + 1).unwrap().to_ne_bytes());
    bind.extend(interface.as_bytes());
    bind.resize(bind.len() + 4 - bind.len() % 4, 0);
    bind.extend([version, 3].into_iter().flat_map(u32::to_ne_bytes));
    // The registry is 2, the bound object 3, and the callback 4.
    let requests =
        [message(1, 1, &2_u32.to_ne_bytes()), message(2, 0, &bind), message(1, 0, &4_u32.to_ne_bytes())];
    ours.write_all(&requests.concat()).unwrap();
    let mut answer = Vec::new();
    fixture.wait("an error or an answer", |_| {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = ours.read(&mut chunk) {
            answer.extend_from_slice(&chunk[..count]);
        }
        // Of the display, an error; of the callback, the answer.
        !events_of(&answer, 1).is_empty() || !events_of(&answer, 4).is_empty()
    });
    let errors = events_of(&answer, 1);
    if let Some(error) = errors.first() {
        let text = String::from_utf8_lossy(error);
        assert!(text.contains(&format!("Invalid binding of {interface} version {version}")), "{text}");
    }
    errors.is_empty()
}

/// The bodies of an object's events with the opcode 0.
fn events_of(mut bytes: &[u8], object: u32) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((header, _)) = bytes.split_first_chunk::<8>() {
        let [from, word] = [0, 4].map(|at| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap()));
        let Some((event, rest)) = bytes.split_at_checked((word >> 16) as usize) else { break };
        if (from, word & 0xffff) == (object, 0) {
            found.push(&event[8..]);
        }
        bytes = rest;
    }
    found
}

/// The version of a global is one for all, so the compositor relied on the gate for `max_version`: a worker that was not itself
/// any more could bind whatever there is.
#[test]
fn a_version_above_that_of_the_policy_cannot_be_bound() {
    let mut tried = 0;
    for offered in OFFERED.iter().filter(|one| one.version > 1 && one.audience == Audience::Everybody) {
        let (interface, highest) = (offered.interface, offered.version - 1);
        let known = vitrail_protocols::globals::lookup(interface).unwrap().max_version;
        assert!(known > highest, "{interface}");
        let mut fixture =
            compositor(&format!("allow = [\"{interface}\"]\nmax_version = {{ {interface} = {highest} }}"));
        let local = fixture.connect(Origin::Local);
        // By the name that a VM sees it by: its output is none of those that local programs are shown.
        let honest = fixture.connect(vm("work"));
        let name = fixture.client(honest).name_of(interface);
        assert!(binds(&mut fixture, name, interface, highest), "{interface}");
        assert!(!binds(&mut fixture, name, interface, offered.version), "{interface}");
        assert!(!binds(&mut fixture, name, interface, 99), "{interface}");
        assert!(!fixture.client(local).ended());
        tried += 1;
    }
    assert!(tried >= 10, "{tried}");
}

#[test]
fn what_is_for_local_clients_no_configuration_shows_to_a_vm() {
    let mut fixture = compositor("deny = []");
    let local = OFFERED.iter().filter(|one| one.audience == Audience::Local);
    let local: Vec<_> = local.map(|one| one.interface).collect();
    assert!(["ext_session_lock_manager_v1", "zwlr_layer_shell_v1"].iter().all(|one| local.contains(one)));
    let web = fixture.connect(vm("web"));
    let trusted = fixture.connect(Origin::Local);
    for interface in ["ext_output_image_capture_source_manager_v1", "zwlr_screencopy_manager_v1"] {
        assert!(local.contains(&interface));
    }
    for interface in local {
        assert!(fixture.client(trusted).sees(interface) && !fixture.client(web).sees(interface));
        let class = vitrail_protocols::globals::lookup(interface).map(|global| global.class);
        assert!(class.is_some_and(|class| !class.allowed_by_default()), "{interface} is for VMs too");
        let text =
            format!("[vm.work]\ncolor = \"#2e7d32\"\n[vm.work.protocols]\nallow = [\"{interface}\"]\n");
        assert!(Config::parse(Path::new("test.toml"), &text).is_err(), "{interface} can be allowed");
    }
    // By its number neither.
    let name = fixture.client(trusted).name_of("zwlr_layer_shell_v1");
    fixture.client(web).bind_by_name::<ZwlrLayerShellV1>(name);
    fixture.wait("the end of the connection", |fixture| fixture.client(web).ended());
}
