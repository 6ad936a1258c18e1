//! Rows 20, 35 to 39, 43 to 45: what a VM is shown, and who it is.

use vitrail_protocols::Guard;

use crate::hostile::Case;
use crate::hostile::stage::{Place, Stage};

const GLOBALS: &[Guard] = &[Guard::Globals];

pub(super) const CASES: &[Case] = &[
    Case::new(
        20,
        "screen-capture",
        "pictures of the screen, by every protocol for that",
        GLOBALS,
        screen_capture,
    ),
    Case::new(
        35,
        "hidden-globals",
        "layers, locks, virtual input and the like, bound by number",
        GLOBALS,
        hidden_globals,
    ),
    Case::new(36, "security-context", "a security context, to be another VM", GLOBALS, security_context),
    Case::elsewhere(
        37,
        "transport",
        "a stream that says it is another VM's",
        "proxy/tests/hub, proxy/tests/gate/supervisor.rs",
    ),
    Case::undefended(
        38,
        "notifications",
        "notifications in another's name",
        "there are no notifications, and no way for a VM to make any",
    ),
    Case::undefended(
        39,
        "audio",
        "what is heard and said",
        "there is no audio, and no way for a VM to use any",
    ),
    Case::elsewhere(41, "configuration", "a mistake in the configuration", "compositor/src/config/tests.rs"),
    Case::new(43, "probing", "what there is, told by how it is refused", GLOBALS, probing),
    Case::fixed(44, "x11", "an X server's protocols", "the compositor has none of them", x11),
    Case::new(45, "dmabuf", "dma-bufs without leave", GLOBALS, dmabuf),
];

/// Tries to be shown an interface, and to bind it by every number that is not shown, from both places.
fn withheld(interfaces: &[&str]) -> String {
    let mut stage = Stage::new();
    for interface in interfaces {
        for place in [Place::Application, Place::Vm] {
            let mut attacker = stage.attacker(place);
            assert!(attacker.globals().all(|(_, shown, _)| shown != *interface), "{interface} is shown");
            let shown: Vec<u32> = attacker.globals().map(|(name, _, _)| name).collect();
            let mut hidden = (0..150).filter(|name| !shown.contains(name));
            let end = hidden.try_for_each(|name| attacker.bind_number(name, interface, 1).map(drop));
            stage.assert_ended(&mut attacker, end);
        }
    }
    stage.assert_unharmed();
    format!("{} interfaces are neither shown nor bound by number", interfaces.len())
}

fn screen_capture() -> String {
    withheld(&[
        "zwlr_screencopy_manager_v1",
        "ext_output_image_capture_source_manager_v1",
        "ext_image_copy_capture_manager_v1",
        "ext_foreign_toplevel_list_v1",
        "zwlr_foreign_toplevel_manager_v1",
    ])
}

fn hidden_globals() -> String {
    withheld(&[
        "zwlr_layer_shell_v1",
        "ext_session_lock_manager_v1",
        "zwp_virtual_keyboard_manager_v1",
        "zwp_input_method_manager_v2",
        "ext_data_control_manager_v1",
        "zwlr_data_control_manager_v1",
        "zwlr_output_manager_v1",
        "zwlr_output_power_manager_v1",
        "zwlr_gamma_control_manager_v1",
        "vitrail_vm_manager_v1",
    ])
}

fn security_context() -> String {
    withheld(&["wp_security_context_manager_v1"])
}

fn dmabuf() -> String {
    // The compositor offers none yet; the policy that would show one is asked all the same.
    withheld(&[
        "zwp_linux_dmabuf_v1",
        "wp_drm_lease_device_v1",
        "zwlr_export_dmabuf_manager_v1",
        "ext_idle_notifier_v1",
    ])
}

fn x11() -> String {
    withheld(&["xwayland_shell_v1", "zwp_xwayland_keyboard_grab_manager_v1"])
}

/// One that is withheld and one that there is not are refused in the same words.
fn probing() -> String {
    let mut stage = Stage::new();
    let mut told = Vec::new();
    for interface in ["zwlr_layer_shell_v1", "zwp_linux_dmabuf_v1", "zwp_fullscreen_shell_v1", "wl_shm"] {
        for number in [3, 9999] {
            let mut attacker = stage.attacker(Place::Vm);
            // A number that is shown is bound as another interface.
            let shown = attacker.globals().any(|(name, shown, _)| name == number && shown == interface);
            assert!(!shown);
            let end = attacker.bind_number(number, interface, 1);
            let told_now = stage.assert_ended(&mut attacker, end.map(drop));
            told.push(told_now);
        }
    }
    stage.assert_unharmed();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 1, "different answers: {told:?}");
    told.join("; ")
}
