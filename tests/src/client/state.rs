//! What a client has received. Objects carry a number as user data, which is their place in the lists here.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use wayland_client::protocol::wl_buffer::{self, WlBuffer};
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_data_device::WlDataDevice;
use wayland_client::protocol::wl_data_device_manager::WlDataDeviceManager;
use wayland_client::protocol::wl_keyboard::{self, WlKeyboard};
use wayland_client::protocol::wl_pointer::{self, WlPointer};
use wayland_client::protocol::wl_region::WlRegion;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::protocol::wl_shm::WlShm;
use wayland_client::protocol::wl_shm_pool::WlShmPool;
use wayland_client::protocol::wl_subcompositor::WlSubcompositor;
use wayland_client::protocol::wl_subsurface::WlSubsurface;
use wayland_client::protocol::wl_surface::{self, WlSurface};
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, WEnum, delegate_noop};
use wayland_protocols::wp::primary_selection::zv1::client::zwp_primary_selection_device_manager_v1::ZwpPrimarySelectionDeviceManagerV1;
use wayland_protocols::wp::primary_selection::zv1::client::zwp_primary_selection_device_v1::ZwpPrimarySelectionDeviceV1;
use wayland_protocols::wp::security_context::v1::client::wp_security_context_manager_v1::WpSecurityContextManagerV1;
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;
use wayland_protocols::xdg::shell::client::xdg_popup::{self, XdgPopup};
use wayland_protocols::xdg::shell::client::xdg_positioner::XdgPositioner;
use wayland_protocols::xdg::shell::client::xdg_surface::{self, XdgSurface};
use wayland_protocols::xdg::shell::client::xdg_toplevel::{self, XdgToplevel};
use wayland_protocols::xdg::shell::client::xdg_wm_base::{self, XdgWmBase};

use super::selection::Offered;

/// An advertised global.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// The number to bind it by.
    pub name: u32,
    /// The interface.
    pub interface: String,
    /// The highest version.
    pub version: u32,
}

/// A configure sequence that was not yet acknowledged or was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configure {
    /// The serial to acknowledge it with.
    pub serial: u32,
    /// The size that the compositor proposes, in surface units; zero leaves it to the client.
    pub size: (i32, i32),
    /// The states of a toplevel, as numbers of `xdg_toplevel.state`.
    pub states: Vec<u32>,
}

/// What was received for one surface.
#[derive(Clone, Debug, Default)]
pub struct SurfaceState {
    /// All configure sequences, oldest first.
    pub configures: Vec<Configure>,
    /// The compositor asked for the toplevel to be closed.
    pub closed: bool,
    /// The popup was dismissed.
    pub dismissed: bool,
    /// Frame callbacks that were answered.
    pub frames: u32,
    /// The scale that it should be drawn at, in 120ths, where it was asked for.
    pub preferred_scale: Option<u32>,
    next: Configure,
}

/// The keyboard's keymap.
#[derive(Debug)]
pub struct Keymap {
    /// The file that holds it.
    pub fd: OwnedFd,
    /// Its length in bytes, with the terminating zero.
    pub size: u32,
}

impl Keymap {
    /// Maps the file as clients of `wl_seat` version 7 and later have to, privately and only for reading, and
    /// returns its content.
    ///
    /// # Panics
    ///
    /// When it cannot be mapped so, or is shorter than was said.
    #[must_use]
    pub fn map_private(&self) -> Vec<u8> {
        let size = usize::try_from(self.size).expect("a keymap fits into memory");
        let stat = rustix::fs::fstat(&self.fd).expect("a file");
        assert!(
            u64::try_from(stat.st_size).is_ok_and(|length| length >= self.size.into()),
            "it is too short"
        );
        let (read, private) = (rustix::mm::ProtFlags::READ, rustix::mm::MapFlags::PRIVATE);
        // SAFETY: a new mapping at an address of the kernel's choice, as long as the file is.
        let map = unsafe { rustix::mm::mmap(std::ptr::null_mut(), size, read, private, &self.fd, 0) };
        let map = map.expect("a private mapping");
        // SAFETY: `size` bytes are mapped here until munmap below, and nothing in this process writes them.
        let content = unsafe { std::slice::from_raw_parts(map.cast::<u8>(), size) }.to_vec();
        // SAFETY: exactly the mapping from above, whose only borrow has ended.
        unsafe { rustix::mm::munmap(map, size) }.expect("the end of the mapping");
        content
    }

    /// Whether the file can be changed by who has received it: written, or mapped so that it could be.
    #[must_use]
    pub fn is_changeable(&self) -> bool {
        let size = usize::try_from(self.size).expect("a keymap fits into memory");
        let (both, shared) =
            (rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE, rustix::mm::MapFlags::SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice, which nobody reads or writes.
        let map = unsafe { rustix::mm::mmap(std::ptr::null_mut(), size, both, shared, &self.fd, 0) };
        if let Ok(map) = map {
            // SAFETY: exactly the mapping from above, which has no borrows.
            unsafe { rustix::mm::munmap(map, size) }.expect("the end of the mapping");
        }
        let truncated = rustix::fs::ftruncate(&self.fd, 0).is_ok();
        map.is_ok() || truncated || rustix::io::pwrite(&self.fd, b"x", 0).is_ok()
    }

    /// Reads the file.
    ///
    /// # Panics
    ///
    /// When it cannot be read, or is shorter than was said.
    #[must_use]
    pub fn read(&self) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(self.size).expect("a keymap fits into memory")];
        let read = rustix::io::pread(&self.fd, &mut content[..], 0).expect("a readable file");
        assert_eq!(read, content.len(), "it is too short");
        content
    }
}

/// Input, in the order of its arrival.
#[derive(Clone, Debug, PartialEq)]
pub enum InputEvent {
    /// The keyboard entered the surface with this protocol id.
    KeyboardEnter(u32),
    /// The keyboard left.
    KeyboardLeave,
    /// A key (evdev code) went down (true) or up.
    Key(u32, bool),
    /// The pointer entered the surface with this protocol id.
    PointerEnter(u32),
    /// The pointer left.
    PointerLeave,
    /// The pointer is at this place of the surface.
    Motion(f64, f64),
    /// A button (evdev code) went down (true) or up.
    Button(u32, bool),
    /// Something scrolled by so much, to the right and down; of each event one of the two is zero.
    Scroll(f64, f64),
}

/// Which `wl_callback` it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Callback {
    Sync(u64),
    Frame(usize),
}

/// The globals that a client binds at its start, where the server has them.
#[derive(Debug, Default)]
pub struct Bound {
    /// `wl_compositor`.
    pub compositor: Option<WlCompositor>,
    /// `wl_subcompositor`.
    pub subcompositor: Option<WlSubcompositor>,
    /// `wl_shm`.
    pub shm: Option<WlShm>,
    /// `xdg_wm_base`.
    pub wm_base: Option<XdgWmBase>,
    /// `wp_viewporter`.
    pub viewporter: Option<WpViewporter>,
    /// `wl_seat`.
    pub seat: Option<WlSeat>,
    /// `wl_data_device_manager`.
    pub data_device_manager: Option<WlDataDeviceManager>,
    /// The data device of `seat`.
    pub data_device: Option<WlDataDevice>,
    /// `zwp_primary_selection_device_manager_v1`.
    pub primary_manager: Option<ZwpPrimarySelectionDeviceManagerV1>,
    /// The device of `seat` for primary selections.
    pub primary_device: Option<ZwpPrimarySelectionDeviceV1>,
}

/// Everything that a client has received.
#[derive(Debug, Default)]
pub struct State {
    /// The advertised globals.
    pub globals: Vec<Global>,
    /// The bound globals.
    pub bound: Bound,
    /// The keymaps of its keyboards, oldest first.
    pub keymaps: Vec<Keymap>,
    /// Keyboard and pointer events, oldest first.
    pub input: Vec<InputEvent>,
    /// The serial of the last key, button or enter event; zero before the first.
    pub input_serial: u32,
    /// Selections and drags.
    pub offered: Offered,
    surfaces: Vec<SurfaceState>,
    released: Vec<bool>,
    syncs: u64,
    answered: BTreeSet<u64>,
}

impl State {
    /// What was received for a surface.
    #[must_use]
    pub fn surface(&self, number: usize) -> &SurfaceState {
        &self.surfaces[number]
    }

    pub(super) fn surface_mut(&mut self, number: usize) -> &mut SurfaceState {
        &mut self.surfaces[number]
    }

    /// Whether the server has the interface among its globals.
    #[must_use]
    pub fn has_global(&self, interface: &str) -> bool {
        self.globals.iter().any(|global| global.interface == interface)
    }

    pub(super) fn expect_surface(&mut self) -> usize {
        self.surfaces.push(SurfaceState::default());
        self.surfaces.len() - 1
    }

    /// A new buffer, which is the client's own until it is attached.
    pub(super) fn expect_buffer(&mut self) -> usize {
        self.released.push(true);
        self.released.len() - 1
    }

    pub(super) fn lend_buffer(&mut self, number: usize) {
        self.released[number] = false;
    }

    pub(super) fn is_released(&self, number: usize) -> bool {
        self.released[number]
    }

    pub(super) fn expect_callback(&mut self) -> u64 {
        self.syncs += 1;
        self.syncs
    }

    pub(super) fn is_synced(&self, number: u64) -> bool {
        self.answered.contains(&number)
    }
}

type Queue = QueueHandle<State>;

delegate_noop!(State: WlCompositor);
delegate_noop!(State: WlSubcompositor);
delegate_noop!(State: WlSubsurface);
delegate_noop!(State: WlShmPool);
delegate_noop!(State: WlRegion);
delegate_noop!(State: WpViewporter);
delegate_noop!(State: WpViewport);
delegate_noop!(State: WpSecurityContextManagerV1);
delegate_noop!(State: XdgPositioner);
delegate_noop!(State: ignore WlShm);
delegate_noop!(State: ignore WlSeat);

impl Dispatch<WlRegistry, ()> for State {
    fn event(state: &mut Self, _: &WlRegistry, event: wl_registry::Event, _: &(), _: &Connection, _: &Queue) {
        match event {
            wl_registry::Event::Global { name, interface, version } => {
                state.globals.push(Global { name, interface, version });
            }
            wl_registry::Event::GlobalRemove { name } => state.globals.retain(|global| global.name != name),
            _ => {}
        }
    }
}

impl Dispatch<WlCallback, Callback> for State {
    fn event(
        s: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        which: &Callback,
        _: &Connection,
        _: &Queue,
    ) {
        match *which {
            Callback::Sync(number) => drop(s.answered.insert(number)),
            Callback::Frame(surface) => s.surfaces[surface].frames += 1,
        }
    }
}

impl Dispatch<WlBuffer, usize> for State {
    fn event(state: &mut Self, _: &WlBuffer, _: wl_buffer::Event, number: &usize, _: &Connection, _: &Queue) {
        state.released[*number] = true;
    }
}

impl Dispatch<WlSurface, usize> for State {
    fn event(_: &mut Self, _: &WlSurface, _: wl_surface::Event, _: &usize, _: &Connection, _: &Queue) {}
}

impl Dispatch<XdgWmBase, ()> for State {
    fn event(_: &mut Self, base: &XdgWmBase, event: xdg_wm_base::Event, _: &(), _: &Connection, _: &Queue) {
        if let xdg_wm_base::Event::Ping { serial } = event {
            base.pong(serial);
        }
    }
}

impl Dispatch<XdgSurface, usize> for State {
    fn event(s: &mut Self, _: &XdgSurface, event: xdg_surface::Event, n: &usize, _: &Connection, _: &Queue) {
        if let xdg_surface::Event::Configure { serial } = event {
            let surface = &mut s.surfaces[*n];
            surface.configures.push(Configure { serial, ..surface.next.clone() });
        }
    }
}

impl Dispatch<XdgToplevel, usize> for State {
    fn event(
        s: &mut Self,
        _: &XdgToplevel,
        event: xdg_toplevel::Event,
        n: &usize,
        _: &Connection,
        _: &Queue,
    ) {
        match event {
            xdg_toplevel::Event::Configure { width, height, states } => {
                let states =
                    states.chunks_exact(4).filter_map(|word| word.try_into().ok().map(u32::from_ne_bytes));
                s.surfaces[*n].next =
                    Configure { serial: 0, size: (width, height), states: states.collect() };
            }
            xdg_toplevel::Event::Close => s.surfaces[*n].closed = true,
            _ => {}
        }
    }
}

impl Dispatch<XdgPopup, usize> for State {
    fn event(s: &mut Self, _: &XdgPopup, event: xdg_popup::Event, n: &usize, _: &Connection, _: &Queue) {
        match event {
            xdg_popup::Event::Configure { width, height, .. } => s.surfaces[*n].next.size = (width, height),
            xdg_popup::Event::PopupDone => s.surfaces[*n].dismissed = true,
            _ => {}
        }
    }
}

impl Dispatch<WlKeyboard, ()> for State {
    fn event(s: &mut Self, _: &WlKeyboard, event: wl_keyboard::Event, _: &(), _: &Connection, _: &Queue) {
        match event {
            wl_keyboard::Event::Keymap { fd, size, .. } => s.keymaps.push(Keymap { fd, size }),
            wl_keyboard::Event::Enter { serial, surface, .. } => {
                s.input_serial = serial;
                s.input.push(InputEvent::KeyboardEnter(surface.id().protocol_id()));
            }
            wl_keyboard::Event::Leave { .. } => s.input.push(InputEvent::KeyboardLeave),
            wl_keyboard::Event::Key { serial, key, state, .. } => {
                s.input_serial = serial;
                s.input.push(InputEvent::Key(key, state == WEnum::Value(wl_keyboard::KeyState::Pressed)));
            }
            _ => {}
        }
    }
}

impl Dispatch<WlPointer, ()> for State {
    fn event(s: &mut Self, _: &WlPointer, event: wl_pointer::Event, _: &(), _: &Connection, _: &Queue) {
        match event {
            wl_pointer::Event::Enter { serial, surface, surface_x, surface_y } => {
                s.input_serial = serial;
                s.input.push(InputEvent::PointerEnter(surface.id().protocol_id()));
                s.input.push(InputEvent::Motion(surface_x, surface_y));
            }
            wl_pointer::Event::Leave { .. } => s.input.push(InputEvent::PointerLeave),
            wl_pointer::Event::Motion { surface_x, surface_y, .. } => {
                s.input.push(InputEvent::Motion(surface_x, surface_y));
            }
            wl_pointer::Event::Button { serial, button, state, .. } => {
                s.input_serial = serial;
                s.input.push(InputEvent::Button(
                    button,
                    state == WEnum::Value(wl_pointer::ButtonState::Pressed),
                ));
            }
            wl_pointer::Event::Axis { axis, value, .. } => {
                let is_down = axis == WEnum::Value(wl_pointer::Axis::VerticalScroll);
                s.input.push(if is_down {
                    InputEvent::Scroll(0.0, value)
                } else {
                    InputEvent::Scroll(value, 0.0)
                });
            }
            _ => {}
        }
    }
}
