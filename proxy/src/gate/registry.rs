//! The registry that a VM sees: only the globals that its policy shows, in capped versions, and binds of nothing else.
//!
//! A bind is compared with what this very registry announced. Whether a global is withheld (by the table or by the configuration), never existed or is
//! bound under another interface, the answer is the same text, so that a VM learns nothing about what the
//! session has.

use std::collections::HashMap;
use std::rc::Rc;

use vitrail_protocols::Guard as Switch;
use wl_proxy::client::Client;
use wl_proxy::object::{ConcreteObject, Object, ObjectCoreApi as _, ObjectRcUtils as _};
use wl_proxy::protocols::ObjectInterface;
use wl_proxy::protocols::ext_image_copy_capture_v1::ext_image_copy_capture_manager_v1::ExtImageCopyCaptureManagerV1;
use wl_proxy::protocols::single_pixel_buffer_v1::wp_single_pixel_buffer_manager_v1::WpSinglePixelBufferManagerV1;
use wl_proxy::protocols::tablet_v2::zwp_tablet_manager_v2::ZwpTabletManagerV2;
use wl_proxy::protocols::text_input_unstable_v3::zwp_text_input_manager_v3::ZwpTextInputManagerV3;
use wl_proxy::protocols::viewporter::wp_viewporter::WpViewporter;
use wl_proxy::protocols::wayland::wl_compositor::WlCompositor;
use wl_proxy::protocols::wayland::wl_data_device_manager::WlDataDeviceManager;
use wl_proxy::protocols::wayland::wl_display::{WlDisplay, WlDisplayError, WlDisplayHandler};
use wl_proxy::protocols::wayland::wl_registry::{WlRegistry, WlRegistryHandler};
use wl_proxy::protocols::wayland::wl_seat::WlSeat;
use wl_proxy::protocols::wayland::wl_shm::WlShm;
use wl_proxy::protocols::wayland::wl_subcompositor::WlSubcompositor;
use wl_proxy::protocols::wp_primary_selection_unstable_v1::zwp_primary_selection_device_manager_v1::ZwpPrimarySelectionDeviceManagerV1;
use wl_proxy::protocols::xdg_shell::xdg_wm_base::XdgWmBase;

use super::guard::Guard;
use super::{capture, input, shm, surfaces, text_input, transfer, xdg};

/// The answer to every bind that is not allowed.
pub const NO_SUCH_GLOBAL: &str = "there is no such global";

/// Puts a new client under a guard. Everything the client can reach is reached through its registry, and so
/// through the handlers that this installs.
pub fn protect(guard: &Rc<Guard>, client: &Rc<Client>) {
    client.display().set_handler(Display { guard: Rc::clone(guard) });
}

struct Display {
    guard: Rc<Guard>,
}

impl WlDisplayHandler for Display {
    fn handle_get_registry(&mut self, slf: &Rc<WlDisplay>, registry: &Rc<WlRegistry>) {
        registry.set_handler(Registry { guard: Rc::clone(&self.guard), shown: HashMap::new() });
        slf.send_get_registry(registry);
    }
}

struct Registry {
    guard: Rc<Guard>,
    /// What was announced under which name, and in which version. Names of removed globals stay: a bind
    /// may cross the removal on its way, which is the compositor's to sort out.
    shown: HashMap<u32, (ObjectInterface, u32)>,
}

impl WlRegistryHandler for Registry {
    fn handle_global(&mut self, slf: &Rc<WlRegistry>, name: u32, interface: ObjectInterface, version: u32) {
        if let Some(version) = self.guard.policy().visible_version(interface.name(), version) {
            self.shown.insert(name, (interface, version));
            slf.send_global(name, interface, version);
        }
    }

    fn handle_global_remove(&mut self, slf: &Rc<WlRegistry>, name: u32) {
        if self.shown.contains_key(&name) {
            slf.send_global_remove(name);
        }
    }

    fn handle_bind(&mut self, slf: &Rc<WlRegistry>, name: u32, id: Rc<dyn Object>) {
        let allowed = self.shown.get(&name).is_some_and(|(interface, version)| {
            *interface == id.interface() && (1..=*version).contains(&id.version())
        });
        if !allowed && Switch::Globals.holds() {
            self.guard.refuse(slf, WlDisplayError::INVALID_OBJECT.0, &NO_SUCH_GLOBAL);
            return;
        }
        watch(&self.guard, &id);
        slf.send_bind(name, id);
    }
}

/// Gives a bound global its handler, if its requests have to be watched.
fn watch(guard: &Rc<Guard>, id: &Rc<dyn Object>) {
    let guard = || Rc::clone(guard);
    match id.interface() {
        WlCompositor::INTERFACE => id.downcast::<WlCompositor>().set_handler(surfaces::Compositor(guard())),
        WlSubcompositor::INTERFACE => {
            id.downcast::<WlSubcompositor>().set_handler(surfaces::Subcompositor(guard()));
        }
        WpViewporter::INTERFACE => id.downcast::<WpViewporter>().set_handler(surfaces::Viewporter(guard())),
        WlShm::INTERFACE => id.downcast::<WlShm>().set_handler(shm::Shm(guard())),
        WpSinglePixelBufferManagerV1::INTERFACE => {
            id.downcast::<WpSinglePixelBufferManagerV1>().set_handler(shm::SinglePixels(guard()));
        }
        XdgWmBase::INTERFACE => id.downcast::<XdgWmBase>().set_handler(xdg::WmBase(guard())),
        WlSeat::INTERFACE => id.downcast::<WlSeat>().set_handler(input::Seat),
        ZwpTabletManagerV2::INTERFACE => {
            id.downcast::<ZwpTabletManagerV2>().set_handler(input::TabletManager);
        }
        ZwpTextInputManagerV3::INTERFACE => {
            id.downcast::<ZwpTextInputManagerV3>().set_handler(text_input::TextInputs);
        }
        WlDataDeviceManager::INTERFACE => {
            id.downcast::<WlDataDeviceManager>().set_handler(transfer::DataManager(guard()));
        }
        ZwpPrimarySelectionDeviceManagerV1::INTERFACE => {
            id.downcast::<ZwpPrimarySelectionDeviceManagerV1>()
                .set_handler(transfer::PrimaryManager(guard()));
        }
        ExtImageCopyCaptureManagerV1::INTERFACE => {
            id.downcast::<ExtImageCopyCaptureManagerV1>().set_handler(capture::Manager(guard()));
        }
        _ => {}
    }
}
