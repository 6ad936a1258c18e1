//! The protocols, one file each. Handlers translate requests into changes of the model and decide nothing
//! that the model can decide.
//!
//! Smithay does the bookkeeping of each protocol; where it computes with a client's numbers unchecked, or
//! lets a client grow something without bound, the request is screened here first ([`bounds`], [`shm`]).

pub mod activation;
pub mod bounds;
pub mod claim;
pub mod clipboard;
pub mod commit_timing;
pub mod compositor;
pub mod data_control;
pub mod decoration;
pub mod dialog;
pub mod ext_data_control;
pub mod fifo;
pub mod fixes;
pub mod foreign;
pub mod foreign_toplevel_list;
pub mod gamma_control;
pub mod geometry;
pub mod globals;
pub mod idle_inhibit;
pub mod idle_notify;
pub mod image_capture_source;
pub mod image_copy_capture;
pub mod input_method;
pub mod layer_shell;
mod once;
pub mod output;
pub mod output_capture_source;
pub mod output_management;
pub mod output_power;
pub mod pacing;
pub mod pointer_constraints;
pub mod pointer_gestures;
pub mod popups;
pub mod relative_pointer;
pub mod screencopy;
pub mod seat;
pub mod security_context;
pub mod selection;
pub mod session_lock;
pub mod shm;
pub mod shortcuts_inhibit;
mod subsurfaces;
pub mod surface_extras;
pub mod synthetic_output;
pub mod system_bell;
pub mod tablet;
pub mod tearing_control;
pub mod text_input;
pub mod toplevel_icon;
pub mod toplevel_management;
pub mod toplevel_tag;
pub(crate) mod toplevel_texts;
pub mod virtual_keyboard;
pub mod vm_list;
pub mod wlr_data_control;
pub(crate) mod wm_base;
pub mod workspace;
pub mod xdg_shell;

use smithay::input::SeatState;
use smithay::reexports::wayland_protocols_misc::server_decoration::server::org_kde_kwin_server_decoration_manager::Mode;
use smithay::reexports::wayland_server::DisplayHandle;
use smithay::wayland::alpha_modifier::AlphaModifierState;
use smithay::wayland::commit_timing::CommitTimingManagerState;
use smithay::wayland::compositor::CompositorState;
use smithay::wayland::content_type::ContentTypeState;
use smithay::wayland::cursor_shape::CursorShapeManagerState;
use smithay::wayland::fifo::FifoManagerState;
use smithay::wayland::fractional_scale::FractionalScaleManagerState;
use smithay::wayland::output::OutputManagerState;
use smithay::wayland::pointer_gestures::PointerGesturesState;
use smithay::wayland::presentation::PresentationState;
use smithay::wayland::relative_pointer::RelativePointerManagerState;
use smithay::wayland::security_context::SecurityContextState;
use smithay::wayland::selection::data_device::DataDeviceState;
use smithay::wayland::selection::primary_selection::PrimarySelectionState;
use smithay::wayland::shell::kde::decoration::KdeDecorationState;
use smithay::wayland::shell::wlr_layer::WlrLayerShellState;
use smithay::wayland::shell::xdg::XdgShellState;
use smithay::wayland::shell::xdg::decoration::XdgDecorationState;
use smithay::wayland::shell::xdg::dialog::XdgDialogState;
use smithay::wayland::shm::ShmState;
use smithay::wayland::single_pixel_buffer::SinglePixelBufferState;
use smithay::wayland::viewporter::ViewporterState;
use smithay::wayland::xdg_activation::XdgActivationState;
use smithay::wayland::xdg_toplevel_tag::XdgToplevelTagManager;

use crate::state::State;
use crate::trust::client;

/// Smithay's state of those protocols that ask for it. Globals live as long as the display; the state of the
/// other protocols is only the name of their global.
#[derive(Debug)]
pub struct Protocols {
    /// `wl_compositor` and `wl_subcompositor`.
    pub compositor: CompositorState,
    /// `wl_shm`.
    pub shm: ShmState,
    /// `wl_seat`.
    pub seat: SeatState<State>,
    /// `xdg_wm_base`.
    pub xdg_shell: XdgShellState,
    /// `zwlr_layer_shell_v1`.
    pub layer_shell: WlrLayerShellState,
    /// `org_kde_kwin_server_decoration_manager`.
    pub kde_decoration: KdeDecorationState,
    /// `wl_data_device_manager`.
    pub data_device: DataDeviceState,
    /// `zwp_primary_selection_device_manager_v1`.
    pub primary_selection: PrimarySelectionState,
    /// `xdg_activation_v1`.
    pub activation: XdgActivationState,
    /// `zxdg_exporter_v2` and `zxdg_importer_v2`.
    pub foreign: foreign::Foreign,
    /// `ext_foreign_toplevel_list_v1`.
    pub toplevel_lists: foreign_toplevel_list::ToplevelLists,
    /// `vitrail_vm_manager_v1`.
    pub vm_lists: vm_list::VmLists,
    /// `zwlr_foreign_toplevel_manager_v1`.
    pub task_lists: toplevel_management::TaskLists,
    /// `ext_workspace_manager_v1`.
    pub workspace_lists: workspace::WorkspaceLists,
    /// `zwp_idle_inhibit_manager_v1`.
    pub idle_inhibit: idle_inhibit::Inhibitors,
    /// `ext_idle_notifier_v1`.
    pub idle_notify: idle_notify::IdleNotifications,
    /// `zwlr_gamma_control_manager_v1`.
    pub gamma_controls: gamma_control::GammaControls,
    /// `zwlr_output_power_manager_v1`.
    pub output_powers: output_power::OutputPowers,
    /// `zwlr_output_manager_v1`.
    pub output_managers: output_management::OutputManagers,
    /// `zwp_keyboard_shortcuts_inhibit_manager_v1`.
    pub shortcuts_inhibit: shortcuts_inhibit::ShortcutInhibitors,
}

/// The id of `CLOCK_MONOTONIC`, which presentation times are told in.
const CLOCK_MONOTONIC: u32 = 1;

impl Protocols {
    /// Creates the globals, which [`globals::OFFERED`] lists, but for those of the seat and the output. Most are for every
    /// client of which the policy does not say otherwise.
    #[must_use]
    pub fn new(display: &DisplayHandle) -> Self {
        XdgDecorationState::new::<State>(display);
        OutputManagerState::new_with_xdg_output::<State>(display);
        synthetic_output::create(display);
        ViewporterState::new::<State>(display);
        FractionalScaleManagerState::new::<State>(display);
        CursorShapeManagerState::new::<State>(display);
        PresentationState::new::<State>(display, CLOCK_MONOTONIC);
        SinglePixelBufferState::new::<State>(display);
        AlphaModifierState::new::<State>(display);
        ContentTypeState::new::<State>(display);
        tearing_control::create(display);
        system_bell::create(display);
        fixes::create(display);
        XdgDialogState::new::<State>(display);
        XdgToplevelTagManager::new::<State>(display);
        toplevel_icon::create(display);
        foreign::create(display);
        foreign_toplevel_list::create(display);
        image_capture_source::create(display);
        image_copy_capture::create(display);
        output_capture_source::create(display);
        screencopy::create(display);
        idle_inhibit::create(display);
        idle_notify::create(display);
        shortcuts_inhibit::create(display);
        session_lock::create(display);
        output_management::create(display);
        output_power::create(display);
        gamma_control::create(display);
        FifoManagerState::unmanaged::<State>(display);
        CommitTimingManagerState::new::<State>(display);
        SecurityContextState::new::<State, _>(display, client::is_gate);
        RelativePointerManagerState::new::<State>(display);
        pointer_constraints::create(display);
        PointerGesturesState::new::<State>(display);
        text_input::create(display);
        input_method::create(display);
        virtual_keyboard::create(display);
        vm_list::create(display);
        toplevel_management::create(display);
        workspace::create(display);
        ext_data_control::create(display);
        wlr_data_control::create(display);
        Self {
            compositor: CompositorState::new_v6::<State>(display),
            shm: ShmState::new::<State>(display, []),
            seat: SeatState::new(),
            xdg_shell: XdgShellState::new_with_capabilities::<State>(display, xdg_shell::CAPABILITIES),
            layer_shell: WlrLayerShellState::new_with_filter::<State, _>(display, client::is_local),
            kde_decoration: KdeDecorationState::new::<State>(display, Mode::Server),
            data_device: DataDeviceState::new::<State>(display),
            primary_selection: PrimarySelectionState::new::<State>(display),
            activation: XdgActivationState::new::<State>(display),
            foreign: foreign::Foreign::default(),
            toplevel_lists: foreign_toplevel_list::ToplevelLists::default(),
            vm_lists: vm_list::VmLists::default(),
            task_lists: toplevel_management::TaskLists::default(),
            workspace_lists: workspace::WorkspaceLists::default(),
            idle_inhibit: idle_inhibit::Inhibitors::default(),
            idle_notify: idle_notify::IdleNotifications::default(),
            gamma_controls: gamma_control::GammaControls::default(),
            output_powers: output_power::OutputPowers::default(),
            output_managers: output_management::OutputManagers::default(),
            shortcuts_inhibit: shortcuts_inhibit::ShortcutInhibitors::default(),
        }
    }
}
