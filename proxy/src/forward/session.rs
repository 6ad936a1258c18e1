//! What the handlers of one application's connection share.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use virtio_wl::allocator::Slot;
use virtio_wl::wire::MirrorRect;
use virtio_wl::{Endpoint, SocketError};
use wl_proxy::client::Client;
use wl_proxy::object::{ConcreteObject, Object, ObjectCoreApi, ObjectRcUtils};
use wl_proxy::protocols::ObjectInterface;
use wl_proxy::protocols::ext_image_copy_capture_v1::ext_image_copy_capture_manager_v1::ExtImageCopyCaptureManagerV1;
use wl_proxy::protocols::linux_dmabuf_v1::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;
use wl_proxy::protocols::viewporter::wp_viewporter::WpViewporter;
use wl_proxy::protocols::wayland::wl_compositor::WlCompositor;
use wl_proxy::protocols::wayland::wl_display::{WlDisplay, WlDisplayHandler};
use wl_proxy::protocols::wayland::wl_registry::{WlRegistry, WlRegistryHandler};
use wl_proxy::protocols::wayland::wl_shm::{WlShm, WlShmFormat};
use wl_proxy::protocols::wayland::wl_shm_pool::WlShmPool;
use wl_proxy::protocols::xdg_toplevel_icon_v1::xdg_toplevel_icon_manager_v1::XdgToplevelIconManagerV1;

use super::capture::CaptureManagerHandler;
use super::counters::Counters;
use super::dmabuf::{self, Dmabuf};
use super::globals::{Announced, Needs, OWN_NAME};
use super::graphics::GraphicsDevice;
use super::memory::ClientMemory;
use super::shm::{ShmHandler, UpstreamPool};
use super::store::Store;
use super::surface::{CompositorHandler, HeldCommit, IconManagerHandler, ViewporterHandler};
use crate::connection::{Control, Outbox};

/// How long a commit is held for a graphics device. The kernel ends what a device does not finish after some ten seconds.
const HELD_FOR: Duration = Duration::from_secs(30);

/// How long after its last frame an application's memory stays mapped.
const MAPPED_FOR: Duration = Duration::from_millis(200);

/// The application's memory that is mapped.
#[derive(Debug, Default)]
struct Mapped {
    /// What was copied from since the last time that everything was unmapped.
    memories: Vec<Weak<ClientMemory>>,
    /// The newest copy.
    used: Option<Instant>,
}

/// A commit that is held, and until when.
struct Held {
    commit: HeldCommit,
    client: Rc<Client>,
    deadline: Instant,
}

/// One application's connection, as the handlers of its objects see it.
pub struct Session {
    /// Where copies go.
    pub store: Arc<Store>,
    /// Ends the connection with an error.
    pub control: Control,
    /// What the application has done so far.
    pub counters: Arc<Counters>,
    /// Formats that the compositor has announced.
    pub formats: RefCell<HashSet<u32>>,
    /// The application is offered `zwp_linux_dmabuf_v1`.
    pub dmabuf: Option<Dmabuf>,
    announced: RefCell<Announced>,
    pool: UpstreamPool,
    region_fd: Rc<OwnedFd>,
    /// By offset. What is left when the session ends is freed then: the compositor's side is gone by that
    /// time.
    slots: RefCell<HashMap<u64, Slot>>,
    /// What the other side has to be told of before the state's next bytes.
    written: RefCell<VecDeque<MirrorRect>>,
    /// The other side has mapped the store.
    is_shared: Cell<bool>,
    client: RefCell<Weak<Client>>,
    surfaces: Cell<u64>,
    mapped: RefCell<Mapped>,
    held: RefCell<Option<Held>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl Session {
    /// A session whose copies go to `store`. With a graphics device, the application can have it draw.
    ///
    /// # Errors
    ///
    /// The descriptor of the store cannot be duplicated.
    pub fn new(
        store: Arc<Store>,
        graphics: Option<GraphicsDevice>,
        control: Control,
        counters: Arc<Counters>,
    ) -> std::io::Result<Rc<Self>> {
        let region_fd = Rc::new(store.region().try_clone_fd()?);
        Ok(Rc::new(Self {
            store,
            control,
            counters,
            formats: RefCell::default(),
            dmabuf: graphics.map(Dmabuf::new),
            announced: RefCell::default(),
            pool: UpstreamPool::default(),
            region_fd,
            slots: RefCell::default(),
            written: RefCell::default(),
            is_shared: Cell::new(false),
            client: RefCell::default(),
            surfaces: Cell::new(0),
            mapped: RefCell::default(),
            held: RefCell::default(),
        }))
    }

    /// Takes over the requests of `client`.
    pub fn install(self: &Rc<Self>, client: &Rc<Client>) {
        *self.client.borrow_mut() = Rc::downgrade(client);
        client.display().set_handler(DisplayHandler { session: self.clone() });
    }

    /// Breaks the circle of references between the session and the objects of its state. To be called when
    /// the connection has ended.
    pub fn release(&self) {
        self.pool.clear();
        if let Some(dmabuf) = &self.dmabuf {
            dmabuf.clear();
        }
        self.abandon();
    }

    /// Lets a commit wait until its buffer is drawn. No request of the application is handled before.
    pub fn hold(&self, commit: HeldCommit) {
        let Some(client) = self.client.borrow().upgrade() else { return };
        client.set_suspended(true);
        let now = Instant::now();
        let deadline = now.checked_add(HELD_FOR).unwrap_or(now);
        *self.held.borrow_mut() = Some(Held { commit, client, deadline });
    }

    /// Goes on with what is held, if that is possible by now or the time is over.
    pub fn resume(&self) {
        let Some(held) = self.held.take() else { return };
        let is_drawn = held.commit.awaited().is_none();
        if !is_drawn && Instant::now() < held.deadline {
            *self.held.borrow_mut() = Some(held);
        } else if !is_drawn {
            held.commit.give_up(self);
        } else if held.commit.finish(self) {
            held.client.set_suspended(false);
        }
    }

    /// Forgets what is held, because the connection has ended.
    pub fn abandon(&self) {
        self.held.take();
    }

    /// Waits for what is held and for `events`, for no longer than until `deadline`. False: nothing is held.
    ///
    /// # Errors
    ///
    /// Events cannot be waited for, or a signal came.
    pub fn wait_held(&self, events: BorrowedFd<'_>, deadline: Option<Instant>) -> Result<bool, Errno> {
        let held = self.held.borrow();
        let Some(held) = held.as_ref() else { return Ok(false) };
        let Some(awaited) = held.commit.awaited() else { return Ok(true) };
        let deadline = deadline.map_or(held.deadline, |deadline| deadline.min(held.deadline));
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let mut fds = [events, awaited].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        poll(&mut fds, Some(&timeout)).map(|_| true)
    }

    /// A number for a new surface.
    pub fn next_surface(&self) -> u64 {
        self.surfaces.set(self.surfaces.get().saturating_add(1));
        self.surfaces.get()
    }

    /// What the compositor's side offers and the application is not told of, and what that would need.
    #[must_use]
    pub fn hidden(&self) -> BTreeMap<&'static str, Needs> {
        self.announced.borrow().hidden().clone()
    }

    /// True where a buffer of this format may be made. Before the compositor has announced any, all may.
    pub fn knows_format(&self, format: WlShmFormat) -> bool {
        let formats = self.formats.borrow();
        matches!(format, WlShmFormat::ARGB8888 | WlShmFormat::XRGB8888)
            || formats.is_empty()
            || formats.contains(&format.0)
    }

    /// The offset of a slot of `len` bytes. None: the store is full.
    pub fn allocate(&self, len: u64) -> Option<u64> {
        let slot = self.store.allocate(len)?;
        let offset = slot.offset();
        self.counters.memory.add(slot.len());
        self.slots.borrow_mut().insert(offset, slot);
        Some(offset)
    }

    /// Gives back the slot at this offset.
    pub fn free(&self, offset: u64) {
        if let Some(slot) = self.slots.borrow_mut().remove(&offset) {
            self.counters.memory.set(self.counters.memory.get().saturating_sub(slot.len()));
            self.store.free(slot);
        }
    }

    /// The upstream pool over the whole store, made with the help of `shm` if there is none yet.
    pub fn upstream_pool(&self, shm: &Rc<WlShm>) -> Option<Rc<WlShmPool>> {
        let len = i32::try_from(self.store.region().len()).ok()?;
        self.pool.get(|| shm.new_try_send_create_pool(&self.region_fd, len).ok())
    }

    /// Bytes of the store were written. Unless the other side is known to have a mapping of them, they are
    /// sent.
    pub fn written(&self, rect: MirrorRect) {
        if !self.is_shared.get() {
            self.written.borrow_mut().push_back(rect);
        }
    }

    /// Pixels were copied out of this memory, which may be mapped since.
    pub fn copied_from(&self, memory: &Rc<ClientMemory>) {
        let mut mapped = self.mapped.borrow_mut();
        mapped.used = Some(Instant::now());
        let address = Rc::as_ptr(memory);
        // The memory of the last frames is at the end, and there is rarely more than one.
        if mapped.memories.iter().rev().any(|known| std::ptr::eq(known.as_ptr(), address)) {
            return;
        }
        // An application may make new memory for each frame.
        mapped.memories.retain(|known| known.strong_count() > 0);
        mapped.memories.push(Rc::downgrade(memory));
    }

    /// When [`unmap`](Self::unmap) is due; none while nothing is mapped.
    pub fn unmap_at(&self) -> Option<Instant> {
        self.mapped.borrow().used.and_then(|used| used.checked_add(MAPPED_FOR))
    }

    /// Unmaps the application's memory, which has not drawn for a while.
    pub fn unmap(&self) {
        let mut mapped = self.mapped.borrow_mut();
        mapped.used = None;
        for memory in mapped.memories.drain(..) {
            if let Some(memory) = memory.upgrade() {
                memory.unmap();
            }
        }
    }

    /// Gives the object that a bind has made its handler.
    fn adopt(self: &Rc<Self>, object: &Rc<dyn Object>) {
        match object.interface() {
            WlShm::INTERFACE => object.downcast::<WlShm>().set_handler(ShmHandler::new(self)),
            WlCompositor::INTERFACE => {
                object.downcast::<WlCompositor>().set_handler(CompositorHandler::new(self));
            }
            WpViewporter::INTERFACE => object.downcast::<WpViewporter>().set_handler(ViewporterHandler),
            XdgToplevelIconManagerV1::INTERFACE => {
                object.downcast::<XdgToplevelIconManagerV1>().set_handler(IconManagerHandler::new(self));
            }
            ExtImageCopyCaptureManagerV1::INTERFACE => {
                object
                    .downcast::<ExtImageCopyCaptureManagerV1>()
                    .set_handler(CaptureManagerHandler::new(self));
            }
            _ => {}
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for (_, slot) in self.slots.borrow_mut().drain() {
            self.store.free(slot);
        }
    }
}

impl Outbox for Session {
    fn drain(&self, endpoint: &mut Endpoint) -> Result<bool, SocketError> {
        let mut written = self.written.borrow_mut();
        let Endpoint::Virtio(socket) = endpoint else { return Ok(true) };
        if socket.shares_region() == Some(true) {
            self.is_shared.set(true);
            written.clear();
        }
        while let Some(rect) = written.front() {
            match socket.mirror_write(self.store.region(), *rect) {
                Ok(()) => {
                    let len = u64::from(rect.row_len).saturating_mul(rect.rows.into());
                    self.counters.mirror_bytes.add(len);
                }
                Err(SocketError::WouldBlock) => return Ok(false),
                Err(error) => return Err(error),
            }
            written.pop_front();
        }
        Ok(true)
    }
}

/// Gives every registry its handler.
struct DisplayHandler {
    session: Rc<Session>,
}

impl WlDisplayHandler for DisplayHandler {
    fn handle_get_registry(&mut self, slf: &Rc<WlDisplay>, registry: &Rc<WlRegistry>) {
        registry.set_handler(RegistryHandler { session: self.session.clone(), has_own: false });
        slf.send_get_registry(registry);
    }
}

/// Hides what cannot cross, and gives what is bound its handlers.
struct RegistryHandler {
    session: Rc<Session>,
    /// The global of this program's own was announced.
    has_own: bool,
}

impl WlRegistryHandler for RegistryHandler {
    fn handle_global(&mut self, slf: &Rc<WlRegistry>, name: u32, interface: ObjectInterface, version: u32) {
        // Known by now: the compositor is asked for nothing before the other side's hello, and the outbox is drained in every turn.
        let has_region = self.session.is_shared.get();
        if self.session.announced.borrow_mut().announce(name, interface, version, has_region) {
            slf.send_global(name, interface, version);
        }
        // Buffers are upstream those of wl_shm.
        if interface == WlShm::INTERFACE && self.session.dmabuf.is_some() && !self.has_own {
            self.has_own = true;
            let (interface, version) = (ZwpLinuxDmabufV1::INTERFACE, dmabuf::VERSION);
            self.session.announced.borrow_mut().announce_own(interface, version);
            slf.send_global(OWN_NAME, interface, version);
        }
    }

    fn handle_global_remove(&mut self, slf: &Rc<WlRegistry>, name: u32) {
        if self.session.announced.borrow().knows(name) {
            slf.send_global_remove(name);
        }
    }

    fn handle_bind(&mut self, slf: &Rc<WlRegistry>, name: u32, id: Rc<dyn Object>) {
        let allowed = self.session.announced.borrow().check_bind(name, id.interface(), id.version());
        if let Err(error) = allowed {
            self.session.control.refuse(slf, 0, &error.to_string());
            return;
        }
        if name == OWN_NAME {
            if let Some(object) = id.try_downcast::<ZwpLinuxDmabufV1>() {
                let shm = self.session.announced.borrow().find(WlShm::INTERFACE);
                Dmabuf::bind(&self.session, slf, shm, &object);
            }
            return;
        }
        self.session.adopt(&id);
        slf.send_bind(name, id);
    }
}
