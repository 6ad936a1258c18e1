//! A window of another desktop that speaks Wayland.
//!
//! # Model
//!
//! To the other desktop this is an ordinary application that draws into shared memory: it needs no OpenGL and no library
//! of windows. The frame is drawn as by every backend ([`Memory`]), what changed is copied into one of two buffers that both
//! sides map, and the other desktop says by a frame callback when the next one is wanted. While the window is not visible none
//! is, and nothing is drawn. The window's size is the output's.
//!
//! # Invariants
//!
//! * At most one frame callback is awaited.
//! * A buffer that the other side holds is not written.

mod buffer;
mod input;

use std::io;

use calloop::LoopHandle;
use calloop_wayland_source::WaylandSource;
use smithay::utils::{Physical, Size};
use wayland_client::globals::{BindError, GlobalError, GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::protocol::wl_shm::WlShm;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{ConnectError, Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::xdg::decoration::zv1::client::zxdg_decoration_manager_v1::ZxdgDecorationManagerV1;
use wayland_protocols::xdg::decoration::zv1::client::zxdg_toplevel_decoration_v1::{
    Mode as Decoration, ZxdgToplevelDecorationV1,
};
use wayland_protocols::xdg::shell::client::xdg_surface::{self, XdgSurface};
use wayland_protocols::xdg::shell::client::xdg_toplevel::{self, XdgToplevel};
use wayland_protocols::xdg::shell::client::xdg_wm_base::{self, XdgWmBase};

use super::held::Held;
use super::memory::Memory;
use super::{Backend, BackendError, Drawn};
use crate::render::schedule::Presented;
use crate::shell::outputs::{Head, OutputId};
use crate::state::{Comp, State, is_sane};
use buffer::SharedBuffer;
use input::{Devices, Scroll};

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum NestedError {
    /// The other desktop is not there.
    #[error("Error connecting to the other desktop")]
    Connect(#[source] ConnectError),
    /// It does not answer.
    #[error("Error asking the other desktop what it can do")]
    List(#[source] GlobalError),
    /// It lacks what a window needs.
    #[error("The other desktop cannot show windows like this one")]
    Bind(#[source] BindError),
    /// The event loop refused the connection.
    #[error("Error adding to the event loop")]
    Events(#[source] calloop::Error),
    /// There is no memory to share.
    #[error("Error making memory to share with the other desktop")]
    Allocate(#[source] io::Error),
    /// A frame could not be written.
    #[error("Error writing a frame for the other desktop")]
    Write(#[source] io::Error),
}

/// The window.
#[derive(Debug)]
pub struct Nested {
    memory: Memory,
    size: Size<i32, Physical>,
    scale: f64,
    handle: QueueHandle<State>,
    shm: WlShm,
    surface: WlSurface,
    /// The size that it was told last, until that is to be obeyed.
    wanted: Option<Size<i32, Physical>>,
    buffers: [SharedBuffer; 2],
    /// The other desktop has said how large the window is.
    configured: bool,
    /// A frame callback is awaited.
    pending: bool,
    /// The last frame was sent whole.
    current: bool,
    held: Held,
    devices: Devices,
    scroll: Scroll,
    control_input: bool,
}

impl Nested {
    /// Opens a window on the desktop of `WAYLAND_DISPLAY`. `control_input` is whether input is taken from the control
    /// socket, too.
    ///
    /// # Errors
    ///
    /// [`NestedError`] if that desktop has no windows for us, or [`BackendError::Renderer`] if there is no memory to draw in.
    pub fn open(
        events: &LoopHandle<'static, State>,
        size: Size<i32, Physical>,
        scale: f64,
        control_input: bool,
    ) -> Result<Self, BackendError> {
        let connection = Connection::connect_to_env().map_err(NestedError::Connect)?;
        let (globals, queue) = registry_queue_init::<State>(&connection).map_err(NestedError::List)?;
        let handle = queue.handle();
        let compositor: WlCompositor = globals.bind(&handle, 4..=6, ()).map_err(NestedError::Bind)?;
        let shm: WlShm = globals.bind(&handle, 1..=1, ()).map_err(NestedError::Bind)?;
        let windows: XdgWmBase = globals.bind(&handle, 1..=6, ()).map_err(NestedError::Bind)?;
        // Without a seat it can only be looked at.
        let _: Option<WlSeat> = globals.bind(&handle, 5..=8, ()).ok();
        let surface = compositor.create_surface(&handle, ());
        let role = windows.get_xdg_surface(&surface, &handle, ());
        let toplevel = role.get_toplevel(&handle, ());
        toplevel.set_title("Vitrail".to_owned());
        toplevel.set_app_id("vitrail".to_owned());
        if let Ok(manager) = globals.bind::<ZxdgDecorationManagerV1, _, _>(&handle, 1..=1, ()) {
            manager.get_toplevel_decoration(&toplevel, &handle, ()).set_mode(Decoration::ServerSide);
        }
        surface.commit();
        let mut memory = Memory::new()?;
        memory.set(OutputId::FIRST, size, scale)?;
        let buffers = SharedBuffer::pair(&shm, &handle, size)?;
        WaylandSource::new(connection, queue)
            .insert(events.clone())
            .map_err(|error| NestedError::Events(error.error))?;
        tracing::info!("drawing by the processor (pixman) into a window of another desktop");
        Ok(Self {
            memory,
            size,
            scale,
            handle,
            shm,
            surface,
            wanted: None,
            buffers,
            configured: false,
            pending: false,
            current: false,
            held: Held::default(),
            devices: Devices::default(),
            scroll: Scroll::default(),
            control_input,
        })
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The window as the one screen that there is. It is as large as the other desktop makes it, and upright.
    pub(super) fn head(&self) -> Head {
        let head = Head::virtual_one("vitrail-1", self.size, self.scale);
        Head { modes: vec![head.preferred], turns: false, ..head }
    }

    pub(super) fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    pub(super) fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    pub(super) fn takes_control_input(&self) -> bool {
        self.control_input
    }

    pub(super) fn may_draw(&self) -> bool {
        self.configured && !self.pending && self.buffers.iter().any(SharedBuffer::is_free)
    }

    pub(super) fn draw(&mut self, comp: &mut Comp, output: OutputId) -> Result<Drawn, BackendError> {
        let damage = self.memory.draw(comp, output)?;
        if damage.is_empty() && self.current {
            return Ok(Drawn::Shown);
        }
        self.current = false;
        for buffer in &mut self.buffers {
            buffer.note(&damage);
        }
        let (size, Some(pixels)) = (self.size, self.memory.pixels(output)) else { return Ok(Drawn::Shown) };
        let Some(buffer) = self.buffers.iter_mut().find(|buffer| buffer.is_free()) else {
            return Ok(Drawn::Shown);
        };
        buffer.write(pixels, size).map_err(NestedError::Write)?;
        buffer.attach(&self.surface);
        for rectangle in &damage {
            let (at, size) = (rectangle.loc, rectangle.size);
            self.surface.damage_buffer(at.x, at.y, size.w, size.h);
        }
        if damage.is_empty() {
            self.surface.damage_buffer(0, 0, size.w, size.h);
        }
        self.surface.frame(&self.handle, ());
        self.surface.commit();
        self.pending = true;
        self.current = true;
        Ok(Drawn::Coming)
    }

    /// Becomes as large as it was told.
    fn resize(&mut self, size: Size<i32, Physical>) -> Result<(), NestedError> {
        self.buffers = SharedBuffer::pair(&self.shm, &self.handle, size)?;
        self.current = false;
        self.size = size;
        Ok(())
    }
}

impl State {
    fn nested(&mut self) -> Option<&mut Nested> {
        match &mut self.backend {
            Backend::Nested(nested) => Some(nested),
            Backend::Headless(_) | Backend::Drm(_) | Backend::X11(_) => None,
        }
    }

    /// The other desktop has said everything of a new state of the window.
    fn window_configured(&mut self) {
        let Some(nested) = self.nested() else { return };
        nested.configured = true;
        let wanted = nested.wanted.take().filter(|size| *size != nested.size);
        if let Some(size) = wanted {
            if let Err(error) = nested.resize(size) {
                tracing::error!("error resizing the window: {:#}", anyhow::Error::from(error));
                return;
            }
            let head = nested.head();
            self.change_outputs(|outputs| outputs.connect(head));
        }
        self.comp.schedule.request();
    }
}

impl Dispatch<XdgSurface, ()> for State {
    fn event(
        state: &mut Self,
        role: &XdgSurface,
        event: xdg_surface::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_surface::Event::Configure { serial } = event {
            role.ack_configure(serial);
            state.window_configured();
        }
    }
}

impl Dispatch<XdgToplevel, ()> for State {
    fn event(
        state: &mut Self,
        _: &XdgToplevel,
        event: xdg_toplevel::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            xdg_toplevel::Event::Configure { width, height, .. } => {
                // Zero is for us to choose. Surfaces of scale 1: logical pixels there are physical ones here.
                let size = Size::from((width, height));
                if let Some(nested) = state.nested() {
                    nested.wanted = Some(size).filter(|size| is_sane(*size));
                }
            }
            xdg_toplevel::Event::Close => state.stop(),
            _ => {}
        }
    }
}

impl Dispatch<WlCallback, ()> for State {
    fn event(
        state: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let Some(nested) = state.nested() {
            nested.pending = false;
        }
        let time = state.comp.now();
        state.frame_presented(OutputId::FIRST, Presented { time, sequence: None, from_hardware: false });
    }
}

impl Dispatch<XdgWmBase, ()> for State {
    fn event(
        _: &mut Self,
        windows: &XdgWmBase,
        event: xdg_wm_base::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_wm_base::Event::Ping { serial } = event {
            windows.pong(serial);
        }
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for State {
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

delegate_noop!(State: ignore WlCompositor);
delegate_noop!(State: ignore WlShm);
delegate_noop!(State: ignore WlSurface);
delegate_noop!(State: ignore ZxdgDecorationManagerV1);
delegate_noop!(State: ignore ZxdgToplevelDecorationV1);
