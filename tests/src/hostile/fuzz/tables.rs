//! The tables of the protocols: which requests and events each interface has, and what is in them.

use wayland_client::Proxy;
use wayland_client::backend::protocol::Interface;
use wayland_client::protocol::{
    wl_compositor::WlCompositor, wl_data_device_manager::WlDataDeviceManager, wl_fixes::WlFixes,
    wl_output::WlOutput, wl_seat::WlSeat, wl_shm::WlShm, wl_subcompositor::WlSubcompositor,
    wl_surface::WlSurface,
};
use wayland_protocols::wp::alpha_modifier::v1::client::wp_alpha_modifier_v1::WpAlphaModifierV1;
use wayland_protocols::wp::commit_timing::v1::client::wp_commit_timing_manager_v1::WpCommitTimingManagerV1;
use wayland_protocols::wp::content_type::v1::client::wp_content_type_manager_v1::WpContentTypeManagerV1;
use wayland_protocols::wp::cursor_shape::v1::client::wp_cursor_shape_manager_v1::WpCursorShapeManagerV1;
use wayland_protocols::wp::fifo::v1::client::wp_fifo_manager_v1::WpFifoManagerV1;
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_manager_v1::WpFractionalScaleManagerV1;
use wayland_protocols::wp::idle_inhibit::zv1::client::zwp_idle_inhibit_manager_v1::ZwpIdleInhibitManagerV1;
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_pointer_constraints_v1::ZwpPointerConstraintsV1;
use wayland_protocols::wp::pointer_gestures::zv1::client::zwp_pointer_gestures_v1::ZwpPointerGesturesV1;
use wayland_protocols::wp::presentation_time::client::wp_presentation::WpPresentation;
use wayland_protocols::wp::primary_selection::zv1::client::zwp_primary_selection_device_manager_v1::ZwpPrimarySelectionDeviceManagerV1;
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1;
use wayland_protocols::wp::single_pixel_buffer::v1::client::wp_single_pixel_buffer_manager_v1::WpSinglePixelBufferManagerV1;
use wayland_protocols::wp::tablet::zv2::client::zwp_tablet_manager_v2::ZwpTabletManagerV2;
use wayland_protocols::wp::tearing_control::v1::client::wp_tearing_control_manager_v1::WpTearingControlManagerV1;
use wayland_protocols::wp::text_input::zv3::client::zwp_text_input_manager_v3::ZwpTextInputManagerV3;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;
use wayland_protocols::xdg::activation::v1::client::xdg_activation_v1::XdgActivationV1;
use wayland_protocols::xdg::decoration::zv1::client::zxdg_decoration_manager_v1::ZxdgDecorationManagerV1;
use wayland_protocols::xdg::dialog::v1::client::xdg_wm_dialog_v1::XdgWmDialogV1;
use wayland_protocols::xdg::foreign::zv2::client::zxdg_exporter_v2::ZxdgExporterV2;
use wayland_protocols::xdg::foreign::zv2::client::zxdg_importer_v2::ZxdgImporterV2;
use wayland_protocols::xdg::shell::client::xdg_wm_base::XdgWmBase;
use wayland_protocols::xdg::shell::client::{xdg_surface::XdgSurface, xdg_toplevel::XdgToplevel};
use wayland_protocols::xdg::system_bell::v1::client::xdg_system_bell_v1::XdgSystemBellV1;
use wayland_protocols::xdg::toplevel_icon::v1::client::xdg_toplevel_icon_manager_v1::XdgToplevelIconManagerV1;
use wayland_protocols::xdg::toplevel_tag::v1::client::xdg_toplevel_tag_manager_v1::XdgToplevelTagManagerV1;
use wayland_protocols::xdg::xdg_output::zv1::client::zxdg_output_manager_v1::ZxdgOutputManagerV1;

/// The tables of all globals that a VM may be shown. What they make has its table in theirs.
pub(super) const ROOTS: &[fn() -> &'static Interface] = &[
    WlCompositor::interface,
    WlDataDeviceManager::interface,
    WlFixes::interface,
    WlOutput::interface,
    WlSeat::interface,
    WlShm::interface,
    WlSubcompositor::interface,
    WpAlphaModifierV1::interface,
    WpCommitTimingManagerV1::interface,
    WpContentTypeManagerV1::interface,
    WpCursorShapeManagerV1::interface,
    WpFifoManagerV1::interface,
    WpFractionalScaleManagerV1::interface,
    WpPresentation::interface,
    WpSinglePixelBufferManagerV1::interface,
    WpTearingControlManagerV1::interface,
    WpViewporter::interface,
    XdgActivationV1::interface,
    XdgSystemBellV1::interface,
    XdgToplevelIconManagerV1::interface,
    XdgToplevelTagManagerV1::interface,
    XdgWmBase::interface,
    XdgWmDialogV1::interface,
    ZwpIdleInhibitManagerV1::interface,
    ZwpPointerConstraintsV1::interface,
    ZwpPointerGesturesV1::interface,
    ZwpPrimarySelectionDeviceManagerV1::interface,
    ZwpRelativePointerManagerV1::interface,
    ZwpTabletManagerV2::interface,
    ZwpTextInputManagerV3::interface,
    ZxdgDecorationManagerV1::interface,
    ZxdgExporterV2::interface,
    ZxdgImporterV2::interface,
    ZxdgOutputManagerV1::interface,
];

/// The table of an interface that windows are made of.
pub(super) fn find(name: &str) -> Option<&'static Interface> {
    [WlSurface::interface(), XdgSurface::interface(), XdgToplevel::interface()]
        .into_iter()
        .find(|table| table.name == name)
}
