//! What a VM can find out about the interfaces that it is offered, through the whole chain.

use std::collections::BTreeMap;
use std::process::Output;

use vitrail_tests::process;
use vitrail_tests::session::Session;

/// `wl-forward --explain` in a VM.
fn explain(session: &Session, vm: &str, interface: Option<&str>) -> Output {
    explain_with(session, vm, &[], interface)
}

/// The same of a `wl-forward` with other options.
fn explain_with(session: &Session, vm: &str, options: &[&str], interface: Option<&str>) -> Output {
    let mut command = process::command(process::program("wl-forward"));
    command.env("XDG_RUNTIME_DIR", session.root().join(vm));
    command.arg("--hub").arg(format!("unix:{}", session.hub_socket(vm).display()));
    command.args(options).arg("--explain").args(interface).output().expect("wl-forward runs")
}

#[test]
fn what_is_explained_as_offered_is_what_applications_of_the_vm_see() {
    let session = Session::start(&["work", "personal"]);
    let output = explain(&session, "work", None);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let offered: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.split_once("  "))
        .filter_map(|(name, verdict)| {
            let version: u32 = verdict.trim().strip_prefix("offered in version ")?.parse().ok()?;
            Some((name.to_owned(), version))
        })
        .collect();
    let client = session.client("work");
    let seen = client.state.globals.iter().map(|global| (global.interface.clone(), global.version)).collect();
    assert_eq!(offered, seen);
    assert!(!text.contains("personal"), "{text}");
}

#[test]
fn what_the_policy_withholds_is_said_to_be_withheld_by_it() {
    let session = Session::start(&["work"]);
    for (interface, status) in
        [("wl_compositor", 0), ("zwlr_layer_shell_v1", 1), ("wp_security_context_manager_v1", 1)]
    {
        let output = explain(&session, "work", Some(interface));
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(status), "{text}");
        assert_eq!(text.contains("withheld by the policy"), status == 1, "{text}");
    }
}

#[test]
fn memory_of_a_graphics_device_is_a_matter_of_an_option_and_not_of_the_policy() {
    let session = Session::start(&["work"]);
    for (options, status, text) in [
        (&[][..], 1, "withheld by wl-forward: --dmabuf offers it"),
        (&["--dmabuf=none"], 1, "withheld by wl-forward: --dmabuf offers it"),
        (&["--dmabuf=/dev/null"], 0, "offered in version 5"),
    ] {
        let output = explain_with(&session, "work", options, Some("zwp_linux_dmabuf_v1"));
        let line = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(status), "{options:?}: {line}");
        assert!(line.contains(text), "{options:?}: {line}");
    }
    let output = explain_with(&session, "work", &["--dmabuf=/dev/nowhere"], Some("zwp_linux_dmabuf_v1"));
    assert!(!output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(text.contains("/dev/nowhere"), "{text}");
}
