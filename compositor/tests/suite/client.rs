//! A client that does what a test says and writes down what it is told.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use calloop::EventLoop;
use calloop_wayland_source::WaylandSource;
use wayland_client::globals::GlobalListContents;
use wayland_client::protocol::wl_buffer::{self, WlBuffer};
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_data_device::{self, WlDataDevice};
use wayland_client::protocol::wl_data_device_manager::WlDataDeviceManager;
use wayland_client::protocol::wl_data_offer::{self, WlDataOffer};
use wayland_client::protocol::wl_data_source::{self, WlDataSource};
use wayland_client::protocol::wl_keyboard::{self, WlKeyboard};
use wayland_client::protocol::wl_pointer::{self, WlPointer};
use wayland_client::protocol::wl_region::WlRegion;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::protocol::wl_shm::{self, WlShm};
use wayland_client::protocol::wl_shm_pool::WlShmPool;
use wayland_client::protocol::wl_subcompositor::WlSubcompositor;
use wayland_client::protocol::wl_subsurface::WlSubsurface;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, WEnum, delegate_noop};
use wayland_protocols::wp::security_context::v1::client::wp_security_context_manager_v1::WpSecurityContextManagerV1;
use wayland_protocols::wp::security_context::v1::client::wp_security_context_v1::WpSecurityContextV1;
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;
use wayland_protocols::xdg::shell::client::xdg_popup::{self, XdgPopup};
use wayland_protocols::xdg::shell::client::xdg_positioner::{Anchor, Gravity, XdgPositioner};
use wayland_protocols::xdg::shell::client::xdg_surface::{self, XdgSurface};
use wayland_protocols::xdg::shell::client::xdg_toplevel::{self, XdgToplevel};
use wayland_protocols::xdg::shell::client::xdg_wm_base::{self, XdgWmBase};

/// What the compositor said of a toplevel's or popup's next state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configure {
    pub serial: u32,
    pub size: (i32, i32),
    pub states: Vec<xdg_toplevel::State>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug)]
pub struct Presented {
    pub commit: usize,
    /// The frame that it was shown in, and when.
    pub frame: Option<(u32, Duration)>,
}

/// A toplevel or popup.
pub struct Shown {
    pub surface: WlSurface,
    pub xdg: XdgSurface,
    pub toplevel: Option<XdgToplevel>,
    pub popup: Option<XdgPopup>,
    configures: Vec<Configure>,
    next: Configure,
    pub done: bool,
    pub asked_to_close: bool,
}

/// Everything that the client was told.
#[derive(Default)]
pub struct Told {
    globals: HashMap<String, (u32, u32)>,
    pub shown: Vec<Shown>,
    /// Surface that has the keyboard.
    pub keyboard: Option<WlSurface>,
    /// Keys that were said to be held when the keyboard came.
    pub held: usize,
    /// Keys, and whether they were pressed.
    pub keys: Vec<(u32, bool)>,
    /// Repeats of held keys: how many a second, and milliseconds before the first.
    pub repeats: Vec<(i32, i32)>,
    /// Modifiers that are down.
    pub modifiers: u32,
    /// Keymaps, and the file of the last one.
    pub keymaps: Vec<String>,
    keymap: Option<File>,
    /// Serial of the last press.
    pub press: u32,
    /// Serial of the last release of a button.
    pub release: u32,
    /// Serial with which the pointer came.
    pub enter: u32,
    /// Buttons that were let go.
    pub releases: u32,
    /// Surface under the pointer, and where on it.
    pub pointer: Option<(WlSurface, f64, f64)>,
    /// Types of the clipboard as last offered; `None`: nothing is offered.
    pub clipboard: Option<Vec<String>>,
    offers: HashMap<wayland_client::backend::ObjectId, Vec<String>>,
    /// Frame callbacks that were answered.
    pub frames: u32,
    /// For each released buffer, how many frame callbacks had been answered then.
    pub released: Vec<u32>,
    /// What its input devices told it, in order.
    pub log: Vec<String>,
    /// The client's source was asked for a type.
    pub asked: Vec<String>,
    /// Handles, tokens and the like.
    pub words: Vec<String>,
    /// Which commits were shown, and which were not.
    pub presented: Vec<Presented>,
    /// Objects that were said to be gone.
    pub gone: Vec<wayland_client::backend::ObjectId>,
    /// Windows and their pictures.
    pub seen: crate::capture::Seen,
    /// Offers of the clipboard to a program that looks after it.
    pub control: Vec<wayland_client::backend::ObjectId>,
    /// What goes from one VM to another.
    pub transfers: crate::clipboard::Transfers,
    /// Offers of the clipboard, all together.
    pub offered: usize,
    /// VMs and their windows.
    pub vms: crate::vm_list::Seen,
    /// Windows, as task bars know them.
    pub tasks: crate::toplevel_management::Seen,
    /// Workspaces.
    pub workspaces: crate::workspaces::Seen,
    /// Outputs.
    pub outputs: crate::outputs::Seen,
    /// The same, from their managers.
    pub managed: crate::output_control::Managed,
}

pub struct Client {
    pub events: EventLoop<'static, Told>,
    connection: Connection,
    pub queue: QueueHandle<Told>,
    pub told: Told,
    registry: WlRegistry,
    ended: bool,
}

impl Client {
    pub fn new(stream: UnixStream) -> Self {
        let events = EventLoop::try_new().unwrap();
        let connection = Connection::from_backend(wayland_backend::client::Backend::connect(stream).unwrap());
        let event_queue = connection.new_event_queue();
        let queue = event_queue.handle();
        WaylandSource::new(connection.clone(), event_queue).insert(events.handle()).unwrap();
        let registry = connection.display().get_registry(&queue, ());
        Self { events, connection, queue, told: Told::default(), registry, ended: false }
    }

    /// Handles what has come; false once the connection is over.
    pub fn dispatch(&mut self) -> bool {
        if self.events.dispatch(Duration::ZERO, &mut self.told).is_err() {
            self.ended = true;
        }
        self.flush();
        !self.ended()
    }

    pub fn flush(&self) {
        // Fails once the connection is over, which `ended` tells.
        let _ = self.connection.flush();
    }

    /// The compositor has ended the connection.
    pub fn ended(&self) -> bool {
        self.ended || self.connection.protocol_error().is_some()
    }

    /// The error that the connection was ended with: its interface and code.
    pub fn error(&self) -> Option<(String, u32)> {
        self.connection.protocol_error().map(|error| (error.object_interface, error.code))
    }

    pub fn sync(&self) -> Arc<AtomicBool> {
        let done = Arc::new(AtomicBool::new(false));
        self.connection.display().sync(&self.queue, Arc::clone(&done));
        self.flush();
        done
    }

    /// The same with what it said.
    pub fn error_text(&self) -> Option<String> {
        self.connection.protocol_error().map(|error| error.message)
    }

    pub fn sees(&self, interface: &str) -> bool {
        self.told.globals.contains_key(interface)
    }

    /// The globals and their versions.
    pub fn globals(&self) -> BTreeMap<String, u32> {
        self.told.globals.iter().map(|(interface, (_, version))| (interface.clone(), *version)).collect()
    }

    /// The name of a global, by which it is bound.
    pub fn name_of(&self, interface: &str) -> u32 {
        self.told.globals[interface].0
    }

    /// Binds a global by its name, whether or not the client was told of it.
    pub fn bind_by_name<I: Proxy + 'static>(&self, name: u32) -> I
    where
        Told: Dispatch<I, ()>,
    {
        self.registry.bind(name, 1, &self.queue, ())
    }

    /// Binds an output, in the newest version.
    pub fn bind_output(&self, name: u32) -> wayland_client::protocol::wl_output::WlOutput {
        self.registry.bind(name, 4, &self.queue, ())
    }

    /// An object that was told of.
    pub fn object<I: Proxy>(&self, id: wayland_client::backend::ObjectId) -> I {
        I::from_id(&self.connection, id).unwrap()
    }

    pub fn bind<I: Proxy + 'static>(&self) -> I
    where
        Told: Dispatch<I, ()>,
    {
        let (name, version) = self.told.globals[I::interface().name];
        self.registry.bind(name, version.min(I::interface().version), &self.queue, ())
    }

    /// One more registry, which tells the same.
    pub fn another_registry(&self) -> WlRegistry {
        self.connection.display().get_registry(&self.queue, ())
    }

    pub fn seat(&self) -> WlSeat {
        self.bind()
    }

    /// Listens to keyboard, pointer and clipboard.
    pub fn listen(&self) -> WlDataDevice {
        let seat = self.seat();
        seat.get_keyboard(&self.queue, ());
        seat.get_pointer(&self.queue, ());
        self.bind::<WlDataDeviceManager>().get_data_device(&seat, &self.queue, ())
    }

    /// The file of the last keymap.
    pub fn keymap_file(&self) -> OwnedFd {
        self.told.keymap.as_ref().unwrap().try_clone().unwrap().into()
    }

    pub fn surface(&self) -> WlSurface {
        self.bind::<WlCompositor>().create_surface(&self.queue, ())
    }

    pub fn subsurface(&self, parent: &WlSurface) -> (WlSurface, WlSubsurface) {
        let surface = self.surface();
        let role = self.bind::<WlSubcompositor>().get_subsurface(&surface, parent, &self.queue, ());
        (surface, role)
    }

    /// A toplevel without content.
    pub fn create_window(&mut self) -> usize {
        self.create_named_window("", "")
    }

    /// The same, with an application id and a title from the beginning, unless they are empty.
    pub fn create_named_window(&mut self, app_id: &str, title: &str) -> usize {
        let surface = self.surface();
        let index = self.told.shown.len();
        let xdg = self.bind::<XdgWmBase>().get_xdg_surface(&surface, &self.queue, index);
        let toplevel = xdg.get_toplevel(&self.queue, index);
        if !app_id.is_empty() {
            toplevel.set_app_id(app_id.to_owned());
        }
        if !title.is_empty() {
            toplevel.set_title(title.to_owned());
        }
        surface.commit();
        self.push(surface, xdg, Some(toplevel))
    }

    /// A popup without content, at a place of its parent's geometry.
    pub fn create_popup(&mut self, parent: usize, x: i32, y: i32, w: i32, h: i32) -> usize {
        let popup = self.create_uncommitted_popup(parent, x, y, w, h);
        self.told.shown[popup].surface.commit();
        popup
    }

    /// The same, and it has the input after the last press.
    pub fn create_menu(&mut self, parent: usize, x: i32, y: i32, w: i32, h: i32) -> usize {
        let popup = self.create_uncommitted_popup(parent, x, y, w, h);
        let shown = &self.told.shown[popup];
        shown.popup.as_ref().unwrap().grab(&self.seat(), self.told.press);
        shown.surface.commit();
        popup
    }

    fn create_uncommitted_popup(&mut self, parent: usize, x: i32, y: i32, w: i32, h: i32) -> usize {
        let base = self.bind::<XdgWmBase>();
        let positioner: XdgPositioner = base.create_positioner(&self.queue, ());
        positioner.set_size(w, h);
        positioner.set_anchor_rect(x, y, 1, 1);
        positioner.set_anchor(Anchor::TopLeft);
        positioner.set_gravity(Gravity::BottomRight);
        let surface = self.surface();
        let index = self.told.shown.len();
        let xdg = base.get_xdg_surface(&surface, &self.queue, index);
        let popup = xdg.get_popup(Some(&self.told.shown[parent].xdg), &positioner, &self.queue, index);
        let index = self.push(surface, xdg, None);
        self.told.shown[index].popup = Some(popup);
        index
    }

    fn push(&mut self, surface: WlSurface, xdg: XdgSurface, toplevel: Option<XdgToplevel>) -> usize {
        let (configures, next) = (Vec::new(), Configure::default());
        let (popup, done, asked_to_close) = (None, false, false);
        let shown = Shown { surface, xdg, toplevel, popup, configures, next, done, asked_to_close };
        self.told.shown.push(shown);
        self.told.shown.len() - 1
    }

    pub fn configures(&self, window: usize) -> &[Configure] {
        &self.told.shown[window].configures
    }

    pub fn ack(&self, window: usize) {
        let shown = &self.told.shown[window];
        if let Some(configure) = shown.configures.last() {
            shown.xdg.ack_configure(configure.serial);
        }
    }

    /// Fills a window with one colour and commits it.
    pub fn draw(&self, window: usize, w: i32, h: i32, color: [u8; 4]) {
        self.draw_on(&self.told.shown[window].surface, w, h, color);
    }

    pub fn draw_on(&self, surface: &WlSurface, w: i32, h: i32, color: [u8; 4]) {
        let (pool, buffer) = self.buffer(w, h, color);
        pool.destroy();
        surface.attach(Some(&buffer), 0, 0);
        surface.damage_buffer(0, 0, w, h);
        surface.commit();
    }

    /// A region of one rectangle.
    pub fn region(&self, x: i32, y: i32, w: i32, h: i32) -> WlRegion {
        let region = self.bind::<WlCompositor>().create_region(&self.queue, ());
        region.add(x, y, w, h);
        region
    }

    /// A buffer of one colour: red, green, blue, alpha, premultiplied.
    pub fn buffer(&self, w: i32, h: i32, [r, g, b, a]: [u8; 4]) -> (WlShmPool, WlBuffer) {
        let pixels = [b, g, r, a].repeat((w * h) as usize);
        let pool = self.pool(&pixels, pixels.len() as i32);
        let buffer = pool.create_buffer(0, w, h, w * 4, wl_shm::Format::Argb8888, &self.queue, ());
        (pool, buffer)
    }

    /// A buffer with these bytes, four for each pixel.
    pub fn buffer_of(&self, bytes: &[u8], w: i32, h: i32) -> WlBuffer {
        let pool = self.pool(bytes, bytes.len() as i32);
        pool.create_buffer(0, w, h, w * 4, wl_shm::Format::Argb8888, &self.queue, ())
    }

    /// A buffer at the beginning of a pool.
    pub fn pool_buffer(&self, pool: &WlShmPool, (w, h): (i32, i32), format: wl_shm::Format) -> WlBuffer {
        pool.create_buffer(0, w, h, w * 4, format, &self.queue, ())
    }

    /// A pool that claims to be of `size` bytes, over memory with these bytes.
    pub fn pool(&self, bytes: &[u8], size: i32) -> WlShmPool {
        self.pool_and_file(bytes, size).0
    }

    /// The same, with its memory.
    pub fn pool_and_file(&self, bytes: &[u8], size: i32) -> (WlShmPool, File) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        (self.bind::<WlShm>().create_pool(file.as_fd(), size, &self.queue, ()), file)
    }

    /// Puts text into the clipboard.
    pub fn copy(&self, device: &WlDataDevice, mime_type: &str) -> WlDataSource {
        let source = self.bind::<WlDataDeviceManager>().create_data_source(&self.queue, ());
        source.offer(mime_type.to_owned());
        device.set_selection(Some(&source), self.told.press);
        source
    }
}

impl Dispatch<WlRegistry, ()> for Told {
    fn event(
        told: &mut Self,
        _: &WlRegistry,
        event: wl_registry::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_registry::Event::Global { name, interface, version } => {
                if interface == "wl_output" {
                    told.outputs.names.push(name);
                }
                told.globals.insert(interface, (name, version));
            }
            wl_registry::Event::GlobalRemove { name } => told.outputs.names.retain(|other| *other != name),
            _ => {}
        }
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for Told {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

impl Dispatch<WlCallback, Arc<AtomicBool>> for Told {
    fn event(
        _: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        done: &Arc<AtomicBool>,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        done.store(true, Ordering::Relaxed);
    }
}

impl Dispatch<WlBuffer, ()> for Told {
    fn event(
        told: &mut Self,
        _: &WlBuffer,
        _: wl_buffer::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        // A release is the only event of a buffer.
        told.released.push(told.frames);
    }
}

impl Dispatch<WlCallback, ()> for Told {
    fn event(
        told: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        told.frames += 1;
    }
}

impl Dispatch<XdgWmBase, ()> for Told {
    fn event(
        _: &mut Self,
        base: &XdgWmBase,
        event: xdg_wm_base::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_wm_base::Event::Ping { serial } = event {
            base.pong(serial);
        }
    }
}

impl Dispatch<XdgSurface, usize> for Told {
    fn event(
        told: &mut Self,
        _: &XdgSurface,
        event: xdg_surface::Event,
        index: &usize,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_surface::Event::Configure { serial } = event {
            let shown = &mut told.shown[*index];
            shown.next.serial = serial;
            shown.configures.push(shown.next.clone());
        }
    }
}

impl Dispatch<XdgToplevel, usize> for Told {
    fn event(
        told: &mut Self,
        _: &XdgToplevel,
        event: xdg_toplevel::Event,
        index: &usize,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            xdg_toplevel::Event::Configure { width, height, states } => {
                let next = &mut told.shown[*index].next;
                next.size = (width, height);
                let words = states.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap()));
                next.states = words.filter_map(|word| word.try_into().ok()).collect();
            }
            xdg_toplevel::Event::Close => told.shown[*index].asked_to_close = true,
            _ => {}
        }
    }
}

impl Dispatch<XdgPopup, usize> for Told {
    fn event(
        told: &mut Self,
        _: &XdgPopup,
        event: xdg_popup::Event,
        index: &usize,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            xdg_popup::Event::Configure { width, height, .. } => {
                told.shown[*index].next.size = (width, height);
            }
            xdg_popup::Event::PopupDone => told.shown[*index].done = true,
            _ => {}
        }
    }
}

impl Dispatch<WlKeyboard, ()> for Told {
    fn event(
        told: &mut Self,
        _: &WlKeyboard,
        event: wl_keyboard::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_keyboard::Event::Enter { surface, keys, .. } => {
                told.keyboard = Some(surface);
                told.held = keys.len() / 4;
            }
            wl_keyboard::Event::Key { key, state, .. } => {
                told.keys.push((key, matches!(state, WEnum::Value(wl_keyboard::KeyState::Pressed))));
            }
            wl_keyboard::Event::Leave { .. } => told.keyboard = None,
            wl_keyboard::Event::RepeatInfo { rate, delay } => told.repeats.push((rate, delay)),
            wl_keyboard::Event::Modifiers { mods_depressed, .. } => told.modifiers = mods_depressed,
            wl_keyboard::Event::Keymap { fd, size, .. } => {
                let mut text = vec![0; size as usize];
                let file = File::from(fd);
                file.read_exact_at(&mut text, 0).unwrap();
                told.keymaps.push(String::from_utf8_lossy(&text).into_owned());
                told.keymap = Some(file);
            }
            _ => {}
        }
    }
}

impl Dispatch<WlPointer, ()> for Told {
    fn event(
        told: &mut Self,
        _: &WlPointer,
        event: wl_pointer::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_pointer::Event::Enter { serial, surface, surface_x, surface_y } => {
                told.enter = serial;
                told.log.push(format!("enter {surface_x} {surface_y}"));
                told.pointer = Some((surface, surface_x, surface_y));
            }
            wl_pointer::Event::Motion { surface_x, surface_y, .. } => {
                told.log.push(format!("motion {surface_x} {surface_y}"));
                if let Some(pointer) = &mut told.pointer {
                    (pointer.1, pointer.2) = (surface_x, surface_y);
                }
            }
            wl_pointer::Event::Leave { .. } => {
                told.log.push(String::from("leave"));
                told.pointer = None;
            }
            wl_pointer::Event::Frame => told.log.push(String::from("frame")),
            wl_pointer::Event::Button {
                serial,
                state: WEnum::Value(wl_pointer::ButtonState::Pressed),
                ..
            } => told.press = serial,
            wl_pointer::Event::Button { serial, .. } => {
                told.release = serial;
                told.releases += 1;
            }
            _ => {}
        }
    }
}

impl Dispatch<WlDataDevice, ()> for Told {
    fn event(
        told: &mut Self,
        _: &WlDataDevice,
        event: wl_data_device::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_data_device::Event::DataOffer { id } => {
                told.offers.insert(id.id(), Vec::new());
                told.offered += 1;
            }
            wl_data_device::Event::Selection { id } => {
                told.clipboard = id.as_ref().and_then(|offer| told.offers.get(&offer.id()).cloned());
                told.transfers.offer = id;
            }
            wl_data_device::Event::Enter { .. } => told.transfers.drag.push("enter"),
            wl_data_device::Event::Motion { .. } => told.transfers.drag.push("motion"),
            wl_data_device::Event::Leave => told.transfers.drag.push("leave"),
            wl_data_device::Event::Drop => told.transfers.drag.push("drop"),
            _ => {}
        }
    }

    wayland_client::event_created_child!(Told, WlDataDevice, [
        wl_data_device::EVT_DATA_OFFER_OPCODE => (WlDataOffer, ()),
    ]);
}

impl Dispatch<WlDataOffer, ()> for Told {
    fn event(
        told: &mut Self,
        offer: &WlDataOffer,
        event: wl_data_offer::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_data_offer::Event::Offer { mime_type } = event {
            told.offers.entry(offer.id()).or_default().push(mime_type);
        }
    }
}

impl Dispatch<WlDataSource, ()> for Told {
    fn event(
        told: &mut Self,
        _: &WlDataSource,
        event: wl_data_source::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_data_source::Event::Send { mime_type, fd } => {
                told.transfers.sent.extend(told.transfers.keeps.then_some(fd));
                told.asked.push(mime_type);
            }
            wl_data_source::Event::Cancelled => told.transfers.cancelled += 1,
            _ => {}
        }
    }
}

delegate_noop!(Told: ignore WlCompositor);
delegate_noop!(Told: ignore WlSubcompositor);
delegate_noop!(Told: ignore WlSubsurface);
delegate_noop!(Told: ignore WlShm);
delegate_noop!(Told: ignore WlRegion);
delegate_noop!(Told: ignore WlShmPool);
delegate_noop!(Told: ignore WlSeat);
delegate_noop!(Told: ignore WlDataDeviceManager);
delegate_noop!(Told: ignore XdgPositioner);
delegate_noop!(Told: ignore WpViewporter);
delegate_noop!(Told: ignore WpViewport);
delegate_noop!(Told: ignore WpSecurityContextManagerV1);
delegate_noop!(Told: ignore WpSecurityContextV1);
