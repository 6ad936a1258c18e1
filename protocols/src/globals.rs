//! The table of known globals: which of the compositor's globals a VM may see, up to which version, and why.
//!
//! A global that is not in the table is not shown ([`lookup`] gives `None`), and a version above
//! [`Global::max_version`] is not shown either: the gate parses every message, so it can only let through what it
//! knows. What the configuration changes for one VM is a [`Policy`] over this table. The reasons
//! are sentences, because they are what `vitrailctl why` and `docs/protocols.md` print; a test compares that page with the
//! table.

use serde::{Deserialize, Serialize};

use crate::policy::Policy;

/// How a global is treated for VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Without it no application works; shown to every VM.
    Core,
    /// What ordinary applications use, and confined to their own VM; shown to every VM.
    Application,
    /// Harmless to other VMs only with further arrangements; not shown unless the operator allows it for a VM.
    OptIn,
    /// Reaches beyond the VM that binds it; never shown to a VM, whatever the configuration says.
    Never,
}

impl Class {
    /// Whether a VM sees globals of this class without any configuration.
    #[must_use]
    pub fn allowed_by_default(self) -> bool {
        matches!(self, Self::Core | Self::Application)
    }

    /// The class in a word, as reports and the documentation write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Application => "application",
            Self::OptIn => "opt-in",
            Self::Never => "never",
        }
    }
}

/// One known global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global {
    /// The interface's name, for example `wl_compositor`.
    pub interface: &'static str,
    /// The highest version that is shown and may be bound.
    pub max_version: u32,
    /// How it is treated.
    pub class: Class,
    /// Why, as one sentence.
    pub reason: &'static str,
}

/// Finds what is known of a global. `None` means unknown, and unknown means denied.
#[must_use]
pub fn lookup(interface: &str) -> Option<&'static Global> {
    GLOBALS.iter().find(|global| global.interface == interface)
}

/// The version in which a VM of which the configuration says nothing sees a global that the compositor offers in version
/// `offered`; `None` if the VM does not see it at all.
#[must_use]
pub fn visible_version(interface: &str, offered: u32) -> Option<u32> {
    Policy::default().visible_version(interface, offered)
}

const fn core(interface: &'static str, max_version: u32, reason: &'static str) -> Global {
    Global { interface, max_version, class: Class::Core, reason }
}

const fn application(interface: &'static str, max_version: u32, reason: &'static str) -> Global {
    Global { interface, max_version, class: Class::Application, reason }
}

const fn opt_in(interface: &'static str, max_version: u32, reason: &'static str) -> Global {
    Global { interface, max_version, class: Class::OptIn, reason }
}

const fn never(interface: &'static str, reason: &'static str) -> Global {
    Global { interface, max_version: 0, class: Class::Never, reason }
}

/// All known globals.
pub const GLOBALS: &[Global] = &[
    core("wl_compositor", 6, "Surfaces are what applications draw on."),
    core(
        "wl_subcompositor",
        1,
        "Toolkits compose windows of several surfaces, which stay inside the window.",
    ),
    core("wl_shm", 2, "Shared memory is how pixels arrive; the gate checks every size in it."),
    core("wl_seat", 9, "Input arrives only while a window of the VM has the focus."),
    core("wl_output", 4, "Scale and size are needed for drawing; the compositor shows no serial numbers."),
    core("xdg_wm_base", 6, "Windows and popups, placed and labelled by the compositor."),
    application(
        "wl_data_device_manager",
        3,
        "Clipboard and drag and drop, each VM with a clipboard of its own.",
    ),
    application("zwp_primary_selection_device_manager_v1", 1, "Middle-click paste within the VM."),
    application("zxdg_decoration_manager_v1", 1, "The compositor answers that it decorates."),
    application("org_kde_kwin_server_decoration_manager", 1, "The older way to be told that it decorates."),
    application("wp_viewporter", 1, "Cropping and scaling of the VM's own buffers."),
    application("wp_fractional_scale_manager_v1", 1, "Sharp text on outputs of fractional scale."),
    application("wp_cursor_shape_manager_v1", 2, "Cursors by name, drawn by the compositor."),
    application("wp_presentation", 2, "Times of the VM's own frames."),
    application("wp_single_pixel_buffer_manager_v1", 1, "Plain colours without shared memory."),
    application("wp_alpha_modifier_v1", 1, "Opacity over the window's own opaque backing."),
    application("wp_content_type_manager_v1", 1, "A hint about the VM's own surfaces."),
    application("wp_fifo_manager_v1", 1, "Ordering of the VM's own frames."),
    application("wp_commit_timing_manager_v1", 1, "Timing of the VM's own frames."),
    application("wp_tearing_control_manager_v1", 1, "A hint about the VM's own surfaces."),
    application("zxdg_output_manager_v1", 3, "Logical sizes of outputs, which older toolkits ask for."),
    application(
        "xdg_activation_v1",
        1,
        "Focus moves within the VM; across VMs it only marks a window urgent.",
    ),
    application("xdg_wm_dialog_v1", 1, "Says that a window is a dialog of another of the same client."),
    application("xdg_toplevel_icon_manager_v1", 1, "Icons as pixels, bounded and shown as the VM's."),
    application("xdg_toplevel_tag_manager_v1", 1, "Names windows for the VM's own rules."),
    application("xdg_system_bell_v1", 1, "A bell, which the compositor may limit."),
    application("zxdg_exporter_v2", 1, "Handles of windows, which work only within the VM."),
    application("zxdg_importer_v2", 1, "Handles of windows, which work only within the VM."),
    application("zwp_relative_pointer_manager_v1", 1, "Pointer motion while the VM has the pointer."),
    application("zwp_pointer_constraints_v1", 1, "A lock that the compositor grants and can always break."),
    application("zwp_pointer_gestures_v1", 3, "Touchpad gestures while the VM has the pointer."),
    application("zwp_tablet_manager_v2", 1, "Stylus input while the VM has it."),
    application("zwp_text_input_manager_v3", 1, "Text from the GUI VM's input method, when focused."),
    application("zwp_idle_inhibit_manager_v1", 1, "Counts only while the window is visible and focused."),
    application("wl_fixes", 1, "Lets clients destroy registries."),
    opt_in(
        "zwp_keyboard_shortcuts_inhibit_manager_v1",
        1,
        "Takes the session's shortcuts while focused, but for the key that gives them back.",
    ),
    opt_in(
        "ext_idle_notifier_v1",
        2,
        "Tells when the person is away and when somebody is there again, by whole seconds.",
    ),
    opt_in("wp_pointer_warp_v1", 1, "Moves the pointer within the VM's window."),
    opt_in("zwp_input_timestamps_manager_v1", 1, "Finer input times make typing recognisable."),
    opt_in("wp_color_manager_v1", 1, "Colour profiles describe the person's display."),
    opt_in("wp_color_representation_manager_v1", 1, "Only of use with video formats."),
    opt_in("xdg_toplevel_drag_manager_v1", 1, "Windows that follow the pointer."),
    opt_in(
        "zwp_linux_dmabuf_v1",
        4,
        "Graphics memory does not leave its VM; `wl-forward --dmabuf` offers it there and copies what is drawn.",
    ),
    opt_in(
        "ext_image_copy_capture_manager_v1",
        1,
        "Pictures of the VM's own windows; a compositor that does not tell VMs apart gives out everybody's.",
    ),
    opt_in(
        "ext_foreign_toplevel_image_capture_source_manager_v1",
        1,
        "Chooses a window of the VM to take pictures of; a compositor that does not tell VMs apart lets it choose any.",
    ),
    opt_in(
        "ext_foreign_toplevel_list_v1",
        1,
        "Names the VM's own windows for pictures; a compositor that does not tell VMs apart names everybody's.",
    ),
    never("zwlr_layer_shell_v1", "Draws over the whole screen and beside the labels."),
    never("ext_session_lock_manager_v1", "Locks the session and covers every window."),
    never("zwlr_input_inhibit_manager_v1", "Takes all input from everyone else."),
    never("zwp_virtual_keyboard_manager_v1", "Types into other VMs' windows."),
    never("zwlr_virtual_pointer_manager_v1", "Clicks in other VMs' windows."),
    never("ext_data_control_manager_v1", "Reads every VM's clipboard."),
    never("zwlr_data_control_manager_v1", "Reads every VM's clipboard."),
    never("zwlr_screencopy_manager_v1", "Sees the whole screen."),
    never("zwlr_export_dmabuf_manager_v1", "Sees the whole screen."),
    never("weston_screenshooter", "Sees the whole screen."),
    never("weston_capture_v1", "Sees the whole screen."),
    never("ext_output_image_capture_source_manager_v1", "Sees the whole screen."),
    never("zwlr_foreign_toplevel_manager_v1", "Lists and closes other VMs' windows."),
    never("vitrail_vm_manager_v1", "Names every VM, and lists, activates and closes other VMs' windows."),
    never("zwlr_output_manager_v1", "Changes the outputs."),
    never("zwlr_output_power_manager_v1", "Switches outputs off."),
    never("zwlr_gamma_control_manager_v1", "Changes the colours of the whole screen, the labels' too."),
    never("ext_workspace_manager_v1", "Lists and switches workspaces."),
    never("ext_transient_seat_manager_v1", "Makes seats with virtual devices."),
    never("weston_debug_v1", "Reads the compositor's own log, which tells of every VM."),
    never(
        "weston_touch_calibration",
        "Takes the touch screen from everyone and changes where it is touched.",
    ),
    never(
        "weston_content_protection",
        "Decides how the signal of the outputs is protected, the labels' too.",
    ),
    never("wp_drm_lease_device_v1", "Takes a display away from the compositor."),
    never("wl_drm", "Names graphics buffers globally."),
    never(
        "wp_linux_drm_syncobj_manager_v1",
        "Kernel objects of a graphics device that the VM does not share.",
    ),
    never("zwp_linux_explicit_synchronization_v1", "Fences of a graphics device that the VM does not share."),
    never("wp_security_context_manager_v1", "Gives out identities."),
    never("zwp_input_method_manager_v2", "Sees and writes what is typed elsewhere."),
    never("zwp_input_method_v1", "Sees and writes what is typed elsewhere."),
    never("zwp_input_panel_v1", "Draws over other windows."),
    never("zwp_fullscreen_shell_v1", "Takes the whole screen."),
    never("zwp_xwayland_keyboard_grab_manager_v1", "Grabs the keyboard."),
    never("xwayland_shell_v1", "Belongs to an X server, which runs inside the VM."),
    never("wl_shell", "Obsolete, without checks; xdg_wm_base replaces it."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_interface_is_listed_once() {
        let names: BTreeSet<_> = GLOBALS.iter().map(|global| global.interface).collect();
        assert_eq!(names.len(), GLOBALS.len());
    }

    #[test]
    fn every_reason_is_a_sentence() {
        for global in GLOBALS {
            assert!(global.reason.ends_with('.') && global.reason.len() > 5, "{}", global.interface);
        }
    }

    #[test]
    fn what_is_unknown_is_not_visible() {
        assert_eq!(lookup("brand_new_manager_v1"), None);
        assert_eq!(visible_version("brand_new_manager_v1", 1), None);
        assert_eq!(visible_version("", 1), None);
    }

    #[test]
    fn versions_are_capped_at_what_is_known() {
        assert_eq!(visible_version("wl_compositor", 99), Some(6));
        assert_eq!(visible_version("wl_compositor", 4), Some(4));
        assert_eq!(visible_version("wl_compositor", 0), None);
    }

    #[test]
    fn what_reaches_beyond_the_vm_is_not_visible() {
        let trusted = [
            "zwlr_layer_shell_v1",
            "ext_session_lock_manager_v1",
            "zwp_virtual_keyboard_manager_v1",
            "zwlr_data_control_manager_v1",
            "zwlr_screencopy_manager_v1",
            "wp_security_context_manager_v1",
            "zwp_linux_dmabuf_v1",
            "wl_drm",
        ];
        for interface in trusted {
            assert_eq!(visible_version(interface, 1), None, "{interface}");
        }
    }

    #[test]
    fn what_applications_need_is_visible() {
        for global in GLOBALS.iter().filter(|global| global.class.allowed_by_default()) {
            assert!(global.max_version > 0, "{}", global.interface);
            assert_eq!(visible_version(global.interface, 1), Some(1), "{}", global.interface);
        }
    }
}
