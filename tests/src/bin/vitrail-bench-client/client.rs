//! One window whose frames are paced by frame callbacks, and nothing that would cost time besides.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::fs::MemfdFlags;
use wayland_client::globals::{GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_buffer::{self, WlBuffer};
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_shm::{Format, WlShm};
use wayland_client::protocol::wl_shm_pool::WlShmPool;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, EventQueue, QueueHandle, delegate_noop};
use wayland_protocols::xdg::shell::client::xdg_surface::{self, XdgSurface};
use wayland_protocols::xdg::shell::client::xdg_toplevel::{self, XdgToplevel};
use wayland_protocols::xdg::shell::client::xdg_wm_base::{self, XdgWmBase};

/// Buffers of the window: one shown, one on its way, one to draw in.
pub const BUFFERS: usize = 3;
/// Bytes of a pixel.
const PIXEL: i32 = 4;

/// A part of the window, in pixels.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// The left edge.
    pub x: i32,
    /// The upper edge.
    pub y: i32,
    /// The width.
    pub width: i32,
    /// The height.
    pub height: i32,
}

/// What events have told.
#[derive(Debug, Default)]
struct State {
    configured: bool,
    /// The size that the server wants the window to have; nothing where that is left to the window.
    wanted: Option<(i32, i32)>,
    frame_done: bool,
    /// By buffer: the server holds it.
    held: [bool; BUFFERS],
}

#[derive(Debug)]
struct Window {
    surface: WlSurface,
    buffers: Vec<WlBuffer>,
    memory: File,
    _roles: (XdgSurface, XdgToplevel),
}

/// One connection, with one window as soon as it has shown a frame.
#[derive(Debug)]
pub struct Client {
    queue: EventQueue<State>,
    state: State,
    compositor: WlCompositor,
    shm: WlShm,
    shell: XdgWmBase,
    size: (i32, i32),
    maximized: bool,
    window: Option<Window>,
    /// What is drawn in one frame after the other. More than buffers, so that no buffer is drawn what it has already.
    inks: [Vec<u8>; BUFFERS + 1],
    frames: usize,
    connection: Connection,
}

impl Client {
    /// A client on a connected socket, whose window will have this size.
    pub fn connect(socket: UnixStream, size: (i32, i32)) -> Result<Self> {
        Self::new(Connection::from_socket(socket)?, size)
    }

    /// A client on the connection that the environment names.
    pub fn from_environment(size: (i32, i32)) -> Result<Self> {
        Self::new(Connection::connect_to_env()?, size)
    }

    fn new(connection: Connection, size: (i32, i32)) -> Result<Self> {
        let (globals, queue) = registry_queue_init::<State>(&connection).context("error listing globals")?;
        let handle = queue.handle();
        Ok(Self {
            compositor: globals.bind(&handle, 4..=4, ())?,
            shm: globals.bind(&handle, 1..=1, ())?,
            shell: globals.bind(&handle, 1..=1, ())?,
            queue,
            state: State::default(),
            size,
            maximized: false,
            window: None,
            inks: [const { Vec::new() }; BUFFERS + 1],
            frames: 0,
            connection,
        })
    }

    /// The window will be maximised, and has to have its size then.
    pub fn maximize(&mut self) {
        self.maximized = true;
    }

    /// The size of the window.
    pub fn size(&self) -> (i32, i32) {
        self.size
    }

    /// Bytes of a frame.
    pub fn frame_len(&self) -> usize {
        usize::try_from(self.size.0 * self.size.1 * PIXEL).unwrap_or_default()
    }

    /// Waits for the server's answer to all that was sent.
    pub fn round_trip(&mut self) -> Result<()> {
        self.queue.roundtrip(&mut self.state).map(drop).context("error in a round trip")
    }

    fn wait(&mut self, done: impl Fn(&State) -> bool) -> Result<()> {
        while !done(&self.state) {
            self.queue.blocking_dispatch(&mut self.state).context("error waiting for an event")?;
        }
        Ok(())
    }

    /// The window, which is mapped at the first call.
    fn map(&mut self) -> Result<()> {
        if self.window.is_some() {
            return Ok(());
        }
        let handle = self.queue.handle();
        let surface = self.compositor.create_surface(&handle, ());
        let role = self.shell.get_xdg_surface(&surface, &handle, ());
        let toplevel = role.get_toplevel(&handle, ());
        toplevel.set_title("bench".to_owned());
        if self.maximized {
            toplevel.set_maximized();
        }
        surface.commit();
        let (width, height) = self.size;
        let frame = width * height * PIXEL;
        let count = i32::try_from(BUFFERS)?;
        let memory: File = rustix::fs::memfd_create("bench", MemfdFlags::CLOEXEC)?.into();
        memory.set_len(u64::try_from(i64::from(frame) * i64::from(count))?)?;
        let pool = self.shm.create_pool(memory.as_fd(), frame * count, &handle, ());
        let buffer = |index: usize| {
            let offset = frame * i32::try_from(index)?;
            Ok(pool.create_buffer(offset, width, height, width * PIXEL, Format::Xrgb8888, &handle, index))
        };
        let buffers = (0..BUFFERS).map(buffer).collect::<Result<_>>()?;
        pool.destroy();
        self.window = Some(Window { surface, buffers, memory, _roles: (role, toplevel) });
        self.wait(|state| state.configured)?;
        // Every page exists, and the server has seen every buffer, before anything is measured.
        for _ in 0..BUFFERS {
            self.frame(Some(Area { x: 0, y: 0, width, height }))?;
        }
        self.round_trip()?;
        match self.state.wanted {
            Some(wanted) if self.maximized && wanted != self.size => {
                bail!("the window is to be {:?}, and its maximised size is {wanted:?}", self.size)
            }
            _ => Ok(()),
        }
    }

    /// Draws a part of the window in a free buffer, commits it and waits for the frame callback. Returns how long that took
    /// from the commit.
    pub fn frame(&mut self, area: Option<Area>) -> Result<Duration> {
        self.map()?;
        self.wait(|state| state.held.iter().any(|held| !held))?;
        let index = self.state.held.iter().position(|held| !held).context("all buffers are held")?;
        if let Some(area) = area {
            self.draw(index, area)?;
        }
        let handle = self.queue.handle();
        let window = self.window.as_ref().context("no window")?;
        self.state.frame_done = false;
        let committed = Instant::now();
        window.surface.frame(&handle, ());
        window.surface.attach(window.buffers.get(index), 0, 0);
        if let Some(area) = area {
            window.surface.damage_buffer(area.x, area.y, area.width, area.height);
        }
        window.surface.commit();
        if let Some(held) = self.state.held.get_mut(index) {
            *held = true;
        }
        self.wait(|state| state.frame_done)?;
        Ok(committed.elapsed())
    }

    /// Fills a part of a buffer with a colour that the last frame did not have.
    fn draw(&mut self, index: usize, area: Area) -> Result<()> {
        self.frames = self.frames.wrapping_add(1);
        let row = usize::try_from(area.width * PIXEL)?;
        let rows = usize::try_from(area.height)?;
        let stride = u64::try_from(self.size.0 * PIXEL)?;
        let start = u64::try_from(self.frame_len().saturating_mul(index))?
            + u64::try_from(area.y)? * stride
            + u64::try_from(area.x * PIXEL)?;
        let window = self.window.as_ref().context("no window")?;
        let whole = area.width == self.size.0;
        let number = self.frames % self.inks.len();
        let ink = self.inks.get_mut(number).context("no ink")?;
        let len = if whole { row.saturating_mul(rows) } else { row };
        if ink.len() != len {
            ink.clear();
            ink.resize(len, u8::try_from(number * 16)?);
        }
        if whole {
            return window.memory.write_all_at(ink, start).context("error drawing");
        }
        for line in 0..u64::try_from(rows)? {
            window.memory.write_all_at(ink, start + line * stride).context("error drawing")?;
        }
        Ok(())
    }

    /// Commits so many times without waiting, each time with a little damage, and then waits for the server's answer.
    pub fn burst(&mut self, commits: u32) -> Result<()> {
        self.map()?;
        let window = self.window.as_ref().context("no window")?;
        for number in 0..commits {
            let x = i32::try_from(number % 200)? * 8;
            window.surface.damage_buffer(x, 0, 8, 16);
            window.surface.commit();
        }
        self.round_trip()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Whoever measures the end of the process wants the connection to be over by then.
        let _ = self.connection.flush();
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

impl Dispatch<WlCallback, ()> for State {
    fn event(
        state: &mut Self,
        _: &WlCallback,
        event: wl_callback::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if matches!(event, wl_callback::Event::Done { .. }) {
            state.frame_done = true;
        }
    }
}

impl Dispatch<WlBuffer, usize> for State {
    fn event(
        state: &mut Self,
        _: &WlBuffer,
        event: wl_buffer::Event,
        index: &usize,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let (wl_buffer::Event::Release, Some(held)) = (event, state.held.get_mut(*index)) {
            *held = false;
        }
    }
}

impl Dispatch<XdgSurface, ()> for State {
    fn event(
        state: &mut Self,
        surface: &XdgSurface,
        event: xdg_surface::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_surface::Event::Configure { serial } = event {
            surface.ack_configure(serial);
            state.configured = true;
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
        if let xdg_toplevel::Event::Configure { width, height, .. } = event {
            state.wanted = (width > 0 && height > 0).then_some((width, height));
        }
    }
}

impl Dispatch<XdgWmBase, ()> for State {
    fn event(
        _: &mut Self,
        shell: &XdgWmBase,
        event: xdg_wm_base::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_wm_base::Event::Ping { serial } = event {
            shell.pong(serial);
        }
    }
}

delegate_noop!(State: WlCompositor);
delegate_noop!(State: WlShmPool);
delegate_noop!(State: ignore WlShm);
delegate_noop!(State: ignore WlSurface);
