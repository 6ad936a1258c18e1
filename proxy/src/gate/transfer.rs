//! Clipboard, primary selection and drag and drop: pipes and nothing else, and offers of bounded length.

use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;

use rustix::fs::{FileType, OFlags};
use wl_proxy::object::Object;
use wl_proxy::protocols::wayland::wl_data_device::{WlDataDevice, WlDataDeviceHandler};
use wl_proxy::protocols::wayland::wl_data_device_manager::{WlDataDeviceManager, WlDataDeviceManagerHandler};
use wl_proxy::protocols::wayland::wl_data_offer::{WlDataOffer, WlDataOfferHandler};
use wl_proxy::protocols::wayland::wl_data_source::{WlDataSource, WlDataSourceHandler};
use wl_proxy::protocols::wayland::wl_display::WlDisplayError;
use wl_proxy::protocols::wayland::wl_seat::WlSeat;
use wl_proxy::protocols::wp_primary_selection_unstable_v1::zwp_primary_selection_device_manager_v1::{
    ZwpPrimarySelectionDeviceManagerV1, ZwpPrimarySelectionDeviceManagerV1Handler,
};
use wl_proxy::protocols::wp_primary_selection_unstable_v1::zwp_primary_selection_device_v1::{
    ZwpPrimarySelectionDeviceV1, ZwpPrimarySelectionDeviceV1Handler,
};
use wl_proxy::protocols::wp_primary_selection_unstable_v1::zwp_primary_selection_offer_v1::{
    ZwpPrimarySelectionOfferV1, ZwpPrimarySelectionOfferV1Handler,
};
use wl_proxy::protocols::wp_primary_selection_unstable_v1::zwp_primary_selection_source_v1::{
    ZwpPrimarySelectionSourceV1, ZwpPrimarySelectionSourceV1Handler,
};

use super::guard::Guard;
use super::ledger::{Kind, Share};

/// How many types a source may offer. Office suites offer about thirty.
const MAX_MIME_TYPES: u32 = 256;

/// Whether what a client wants its paste written to is the writable end of a pipe. Anything else, shared
/// memory above all, would end up with another client.
fn is_pipe(fd: &Rc<OwnedFd>) -> bool {
    let pipe = rustix::fs::fstat(fd.as_fd())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
    let writable = rustix::fs::fcntl_getfl(fd.as_fd())
        .is_ok_and(|flags| matches!(flags & OFlags::ACCMODE, OFlags::WRONLY | OFlags::RDWR));
    pipe && writable
}

fn accepts_pipe(guard: &Guard, object: &Rc<impl Object>, fd: &Rc<OwnedFd>) -> bool {
    if is_pipe(fd) {
        return true;
    }
    let text = "content is received through the writing end of a pipe, nothing else";
    guard.refuse(object, WlDisplayError::INVALID_METHOD.0, &text);
    false
}

/// What a type takes up besides its name, in bytes.
const TYPE_COST: u64 = 64;

/// Counts the types that a source offers.
struct Types {
    guard: Rc<Guard>,
    count: u32,
    share: Option<Share>,
}

impl Types {
    fn new(guard: &Rc<Guard>) -> Self {
        Self { guard: Rc::clone(guard), count: 0, share: None }
    }

    fn accepts(&mut self, object: &Rc<impl Object>, mime_type: &str) -> bool {
        self.count = self.count.saturating_add(1);
        if self.count <= MAX_MIME_TYPES {
            let len = u64::try_from(mime_type.len()).unwrap_or(u64::MAX);
            let share = self.guard.take(Kind::OfferedBytes, len.saturating_add(TYPE_COST));
            let Some(share) = share else { return false };
            Share::collect(&mut self.share, share);
            return true;
        }
        let text = format_args!("a source may offer {MAX_MIME_TYPES} types");
        self.guard.refuse(object, WlDisplayError::NO_MEMORY.0, &text);
        false
    }
}

pub(super) struct DataManager(pub Rc<Guard>);

impl WlDataDeviceManagerHandler for DataManager {
    fn handle_create_data_source(&mut self, slf: &Rc<WlDataDeviceManager>, id: &Rc<WlDataSource>) {
        id.set_handler(DataSource(Types::new(&self.0)));
        slf.send_create_data_source(id);
    }

    fn handle_get_data_device(
        &mut self,
        slf: &Rc<WlDataDeviceManager>,
        id: &Rc<WlDataDevice>,
        seat: &Rc<WlSeat>,
    ) {
        id.set_handler(DataDevice(Rc::clone(&self.0)));
        slf.send_get_data_device(id, seat);
    }
}

struct DataSource(Types);

impl WlDataSourceHandler for DataSource {
    fn handle_destroy(&mut self, slf: &Rc<WlDataSource>) {
        self.0.share = None;
        slf.send_destroy();
    }

    fn handle_offer(&mut self, slf: &Rc<WlDataSource>, mime_type: &str) {
        if self.0.accepts(slf, mime_type) {
            slf.send_offer(mime_type);
        }
    }
}

struct DataDevice(Rc<Guard>);

impl WlDataDeviceHandler for DataDevice {
    fn handle_data_offer(&mut self, slf: &Rc<WlDataDevice>, id: &Rc<WlDataOffer>) {
        id.set_handler(DataOffer(Rc::clone(&self.0)));
        slf.send_data_offer(id);
    }
}

struct DataOffer(Rc<Guard>);

impl WlDataOfferHandler for DataOffer {
    fn handle_receive(&mut self, slf: &Rc<WlDataOffer>, mime_type: &str, fd: &Rc<OwnedFd>) {
        if accepts_pipe(&self.0, slf, fd) {
            slf.send_receive(mime_type, fd);
        }
    }
}

pub(super) struct PrimaryManager(pub Rc<Guard>);

impl ZwpPrimarySelectionDeviceManagerV1Handler for PrimaryManager {
    fn handle_create_source(
        &mut self,
        slf: &Rc<ZwpPrimarySelectionDeviceManagerV1>,
        id: &Rc<ZwpPrimarySelectionSourceV1>,
    ) {
        id.set_handler(PrimarySource(Types::new(&self.0)));
        slf.send_create_source(id);
    }

    fn handle_get_device(
        &mut self,
        slf: &Rc<ZwpPrimarySelectionDeviceManagerV1>,
        id: &Rc<ZwpPrimarySelectionDeviceV1>,
        seat: &Rc<WlSeat>,
    ) {
        id.set_handler(PrimaryDevice(Rc::clone(&self.0)));
        slf.send_get_device(id, seat);
    }
}

struct PrimarySource(Types);

impl ZwpPrimarySelectionSourceV1Handler for PrimarySource {
    fn handle_destroy(&mut self, slf: &Rc<ZwpPrimarySelectionSourceV1>) {
        self.0.share = None;
        slf.send_destroy();
    }

    fn handle_offer(&mut self, slf: &Rc<ZwpPrimarySelectionSourceV1>, mime_type: &str) {
        if self.0.accepts(slf, mime_type) {
            slf.send_offer(mime_type);
        }
    }
}

struct PrimaryDevice(Rc<Guard>);

impl ZwpPrimarySelectionDeviceV1Handler for PrimaryDevice {
    fn handle_data_offer(
        &mut self,
        slf: &Rc<ZwpPrimarySelectionDeviceV1>,
        offer: &Rc<ZwpPrimarySelectionOfferV1>,
    ) {
        offer.set_handler(PrimaryOffer(Rc::clone(&self.0)));
        slf.send_data_offer(offer);
    }
}

struct PrimaryOffer(Rc<Guard>);

impl ZwpPrimarySelectionOfferV1Handler for PrimaryOffer {
    fn handle_receive(&mut self, slf: &Rc<ZwpPrimarySelectionOfferV1>, mime_type: &str, fd: &Rc<OwnedFd>) {
        if accepts_pipe(&self.0, slf, fd) {
            slf.send_receive(mime_type, fd);
        }
    }
}
