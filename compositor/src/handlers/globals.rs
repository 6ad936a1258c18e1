//! The globals: which there are, and which clients see them.
//!
//! A client of the GUI VM itself sees all of them but the one that is the gate's; one that takes pictures gets none before the user
//! or the configuration has allowed it ([`crate::trust::consent`]). A client of a VM sees those that
//! are for everybody or for VMs and that the policy of its VM shows: the gate in front of it has hidden the others already, and hides the versions above those that the
//! policy shows, so what is decided here counts when a gate worker is not itself any more. A global has one version, which all
//! that see it are told; a client of a VM that binds a higher one than its policy shows is ended.
//!
//! Each protocol's `GlobalDispatch` is made by [`delegate_global`] in place of the macro of Smithay or of wayland-server, which
//! would show the global to everybody, or has a `can_view` of its own that asks [`may_see`](crate::trust::client::may_see), or
//! [`is_local`](crate::trust::client::is_local) for what is no VM's, and, if it has more than one version, a `bind` that asks [`admit`]; and it has a line in [`OFFERED`]. Tests compare that list with
//! what real clients are shown, look for globals that a VM is shown which may see none, and bind every version that is too high.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use smithay::reexports::wayland_server::backend::protocol::Message;
use smithay::reexports::wayland_server::backend::{ClientId, Handle, ObjectData, ObjectId};
use smithay::reexports::wayland_server::{Client, DataInit, DisplayHandle, New, Resource};

use crate::state::State;
use crate::trust::client;

/// Who sees a global, if its policy does not withhold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every client.
    Everybody,
    /// Programs of the GUI VM itself, but not the gate, which works for VMs.
    Local,
    /// The gate that the compositor started.
    Gate,
}

/// A global that the compositor offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The interface's name.
    pub interface: &'static str,
    /// The version.
    pub version: u32,
    /// Who sees it.
    pub audience: Audience,
}

const fn offered(interface: &'static str, version: u32) -> Offered {
    Offered { interface, version, audience: Audience::Everybody }
}

const fn local(interface: &'static str, version: u32) -> Offered {
    Offered { interface, version, audience: Audience::Local }
}

/// All globals that the compositor creates, each once.
pub const OFFERED: &[Offered] = &[
    local("ext_data_control_manager_v1", 1),
    offered("ext_foreign_toplevel_image_capture_source_manager_v1", 1),
    offered("ext_foreign_toplevel_list_v1", 1),
    offered("ext_image_copy_capture_manager_v1", 1),
    offered("ext_idle_notifier_v1", 2),
    local("ext_output_image_capture_source_manager_v1", 1),
    local("ext_session_lock_manager_v1", 1),
    local("ext_workspace_manager_v1", 1),
    offered("org_kde_kwin_server_decoration_manager", 1),
    Offered { interface: "vitrail_vm_manager_v1", version: 1, audience: Audience::Local },
    offered("wl_compositor", 6),
    offered("wl_data_device_manager", 3),
    offered("wl_fixes", 1),
    offered("wl_output", 4),
    offered("wl_seat", 9),
    offered("wl_shm", 2),
    offered("wl_subcompositor", 1),
    offered("wp_alpha_modifier_v1", 1),
    offered("wp_commit_timing_manager_v1", 1),
    offered("wp_content_type_manager_v1", 1),
    offered("wp_cursor_shape_manager_v1", 2),
    offered("wp_fifo_manager_v1", 1),
    offered("wp_fractional_scale_manager_v1", 1),
    offered("wp_presentation", 2),
    Offered { interface: "wp_security_context_manager_v1", version: 1, audience: Audience::Gate },
    offered("wp_single_pixel_buffer_manager_v1", 1),
    offered("wp_tearing_control_manager_v1", 1),
    offered("wp_viewporter", 1),
    offered("xdg_activation_v1", 1),
    offered("xdg_system_bell_v1", 1),
    offered("xdg_toplevel_icon_manager_v1", 1),
    offered("xdg_toplevel_tag_manager_v1", 1),
    offered("xdg_wm_base", 6),
    offered("xdg_wm_dialog_v1", 1),
    local("zwlr_data_control_manager_v1", 2),
    local("zwlr_foreign_toplevel_manager_v1", 3),
    local("zwlr_gamma_control_manager_v1", 1),
    local("zwlr_layer_shell_v1", 4),
    local("zwlr_output_manager_v1", 4),
    local("zwlr_output_power_manager_v1", 1),
    local("zwlr_screencopy_manager_v1", 3),
    offered("zwp_idle_inhibit_manager_v1", 1),
    local("zwp_input_method_manager_v2", 1),
    offered("zwp_keyboard_shortcuts_inhibit_manager_v1", 1),
    offered("zwp_pointer_constraints_v1", 1),
    offered("zwp_pointer_gestures_v1", 3),
    offered("zwp_primary_selection_device_manager_v1", 1),
    offered("zwp_relative_pointer_manager_v1", 1),
    offered("zwp_tablet_manager_v2", 1),
    offered("zwp_text_input_manager_v3", 1),
    local("zwp_virtual_keyboard_manager_v1", 1),
    offered("zxdg_decoration_manager_v1", 1),
    offered("zxdg_exporter_v2", 1),
    offered("zxdg_importer_v2", 1),
    offered("zxdg_output_manager_v1", 3),
];

/// What the compositor offers of an interface.
#[must_use]
pub fn lookup(interface: &str) -> Option<&'static Offered> {
    OFFERED.iter().find(|offered| offered.interface == interface)
}

/// The new object of a global, if the policy of the client's VM shows that version of its interface; otherwise the client is
/// ended.
pub fn admit<I: Resource + 'static>(
    client: &Client,
    display: &DisplayHandle,
    new: New<I>,
    data_init: &mut DataInit<'_, State>,
) -> Option<New<I>> {
    // Only an object tells its version, and the library takes one apart only by making it. What it is given here is replaced when
    // its protocol makes it again.
    let object = data_init.custom_init(new, Arc::new(Refused));
    let (interface, version) = (I::interface().name, object.version());
    if client::state(client).is_some_and(|client| client.may_bind(interface, version)) {
        return Some(New::wrap(object));
    }
    client::end_for_binding(client, display, interface, version);
    None
}

/// Behind an object of a client that is being ended, or that its protocol is about to make again.
#[derive(Debug)]
pub(super) struct Refused;

impl ObjectData<State> for Refused {
    fn request(
        self: Arc<Self>,
        _handle: &Handle,
        _state: &mut State,
        _client: ClientId,
        _message: Message<ObjectId, OwnedFd>,
    ) -> Option<Arc<dyn ObjectData<State>>> {
        None
    }

    fn destroyed(
        self: Arc<Self>,
        _handle: &Handle,
        _state: &mut State,
        _client: ClientId,
        _object: ObjectId,
    ) {
    }
}

/// As wayland-server's `delegate_global_dispatch`, for the compositor's state, and hidden from the clients of VMs whose policy
/// does not show the interface: `delegate_global!(WlShm: () => ShmState)`.
macro_rules! delegate_global {
    ($interface:ty: $data:ty => $target:ty) => {
        impl ::smithay::reexports::wayland_server::GlobalDispatch<$interface, $data> for $crate::state::State {
            fn bind(
                state: &mut Self,
                display: &::smithay::reexports::wayland_server::DisplayHandle,
                client: &::smithay::reexports::wayland_server::Client,
                resource: ::smithay::reexports::wayland_server::New<$interface>,
                data: &$data,
                data_init: &mut ::smithay::reexports::wayland_server::DataInit<'_, Self>,
            ) {
                let admitted = $crate::handlers::globals::admit(client, display, resource, data_init);
                let Some(resource) = admitted else { return };
                <$target as ::smithay::reexports::wayland_server::GlobalDispatch<$interface, $data, Self>>::bind(
                    state, display, client, resource, data, data_init,
                );
            }

            fn can_view(client: ::smithay::reexports::wayland_server::Client, data: &$data) -> bool {
                let interface =
                    <$interface as ::smithay::reexports::wayland_server::Resource>::interface().name;
                $crate::trust::client::may_see(&client, interface)
                    && <$target as ::smithay::reexports::wayland_server::GlobalDispatch<
                        $interface,
                        $data,
                        Self,
                    >>::can_view(client, data)
            }
        }
    };
}
pub(crate) use delegate_global;
