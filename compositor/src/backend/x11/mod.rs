//! A window of another desktop that speaks X11.
//!
//! # Model
//!
//! To the X server this is an ordinary application that puts pixels into a window by the core protocol: it needs no OpenGL, no
//! library of windows and no toolkit. The frame is drawn as by every backend ([`Memory`]). What changed is copied into memory
//! that the server maps, and from there into the window; where the server cannot map it (it is on another machine, say) the
//! pixels go through the connection ([`transfer`]). The server says when the next frame is wanted ([`pace`]). While nothing of
//! the window can be seen nothing is drawn. The window's size is the output's.
//!
//! # Invariants
//!
//! * At most one frame is on its way. The server works off one request after the other, so that the shared memory is not read
//!   any more once it has said that the frame is shown, and there needs to be only one picture of it.
//! * What the window lacks is exactly what changed, or what the server has lost, since it was sent ([`Stale`]).
//! * After the start no answer is waited for.

mod events;
mod input;
mod pace;
mod transfer;
mod window;

use std::fmt;
use std::io;
use std::rc::Rc;

use calloop::LoopHandle;
use smithay::utils::{Physical, Rectangle, Size};
use x11rb::connection::Connection as _;
use x11rb::errors::{ConnectError, ConnectionError, ReplyError, ReplyOrIdError};
use x11rb::protocol::xkb::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{ClientMessageEvent, ConnectionExt as _, EventMask, Visibility};
use x11rb::protocol::{Event, shm};
use x11rb::rust_connection::RustConnection;

use super::held::Held;
use super::memory::Memory;
use super::stale::Stale;
use super::{Backend, BackendError, Drawn};
use crate::render::schedule::Presented;
use crate::shell::outputs::{Head, OutputId};
use crate::state::{Comp, State, is_sane};
use events::Events;
use pace::Pace;
use transfer::Transfer;
use window::Window;

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum X11Error {
    /// There is no X server, or it refuses.
    #[error("Error connecting to the X server")]
    Connect(#[from] ConnectError),
    /// Nothing can be said to it.
    #[error("Error speaking to the X server")]
    Speak(#[from] ConnectionError),
    /// It does not answer a question.
    #[error("Error asking the X server what it can do")]
    Ask(#[from] ReplyError),
    /// It has no name for a new object.
    #[error("Error naming something for the X server")]
    Name(#[from] ReplyOrIdError),
    /// Its pixels have another form.
    #[error("The X server has no windows of 24 bits a pixel in 32, blue first, to show this picture in")]
    Pixels,
    /// The connection cannot be waited for.
    #[error("Error preparing to listen to the X server")]
    Listen(#[source] io::Error),
    /// The event loop refused the connection.
    #[error("Error adding to the event loop")]
    Events(#[source] calloop::Error),
    /// There is no memory to share.
    #[error("Error making memory to share with the X server")]
    Allocate(#[source] io::Error),
    /// A frame could not be written.
    #[error("Error writing a frame for the X server")]
    Write(#[source] io::Error),
}

/// The window.
pub struct X11 {
    memory: Memory,
    size: Size<i32, Physical>,
    scale: f64,
    connection: Rc<RustConnection>,
    window: Window,
    transfer: Transfer,
    pace: Pace,
    /// What the window lacks of the picture in memory.
    lacks: Stale,
    /// The size that it has got, until the picture has it too.
    wanted: Option<Size<i32, Physical>>,
    /// It is on the screen, and not as an icon.
    mapped: bool,
    /// Other windows cover all of it.
    covered: bool,
    /// It has the keyboard, wherever the pointer is.
    focused: bool,
    held: Held,
    control_input: bool,
}

impl fmt::Debug for X11 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X11")
            .field("memory", &self.memory)
            .field("transfer", &self.transfer)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl X11 {
    /// Opens a window on the screen of `DISPLAY`. `control_input` is whether input is taken from the control socket, too.
    ///
    /// # Errors
    ///
    /// [`X11Error`] if there is no such screen or it cannot show the picture, or [`BackendError::Renderer`] if there is no
    /// memory to draw in.
    pub fn open(
        events: &LoopHandle<'static, State>,
        size: Size<i32, Physical>,
        scale: f64,
        control_input: bool,
    ) -> Result<Self, BackendError> {
        let mut memory = Memory::new()?;
        memory.set(OutputId::FIRST, size, scale)?;
        let (connection, screen) = RustConnection::connect(None).map_err(X11Error::Connect)?;
        let connection = Rc::new(connection);
        let (window, transfer, pace) = set_up(&connection, screen, size)?;
        let source = Events::new(Rc::clone(&connection)).map_err(X11Error::Listen)?;
        events
            .insert_source(source, |events, &mut (), state: &mut State| state.x11_events(&events))
            .map_err(|error| X11Error::Events(error.error))?;
        let way = if transfer.is_shared() { "shared memory" } else { "the connection" };
        tracing::info!("drawing by the processor (pixman) into a window of an X server, through {way}");
        Ok(Self {
            memory,
            size,
            scale,
            connection,
            window,
            transfer,
            pace,
            lacks: Stale::default(),
            wanted: None,
            mapped: false,
            covered: false,
            focused: false,
            held: Held::default(),
            control_input,
        })
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
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
        self.mapped && !self.covered && !self.pace.is_awaited()
    }

    /// The window as the one screen that there is. It is as large as the other desktop makes it, and upright.
    pub(super) fn head(&self) -> Head {
        let head = Head::virtual_one("vitrail-1", self.size, self.scale);
        Head { modes: vec![head.preferred], turns: false, ..head }
    }

    pub(super) fn draw(&mut self, comp: &mut Comp, output: OutputId) -> Result<Drawn, BackendError> {
        let damage = self.memory.draw(comp, output)?;
        self.lacks.add(&damage);
        let size = self.size;
        let rectangles = self.lacks.take(size);
        let Some(pixels) = self.memory.pixels(output).filter(|_| !rectangles.is_empty()) else {
            return Ok(Drawn::Shown);
        };
        let sent = self
            .transfer
            .put(&self.window, pixels, size, &rectangles)
            .and_then(|()| self.pace.ask(&self.connection, &self.window));
        if sent.is_err() {
            self.lacks.everything();
        }
        sent?;
        Ok(Drawn::Coming)
    }

    /// Becomes as large as the window is. Returns whether it was not.
    fn obey(&mut self) -> Result<Option<Head>, BackendError> {
        let wanted = self.wanted.take().filter(|size| *size != self.size);
        let Some(size) = wanted else { return Ok(None) };
        self.lacks.everything();
        self.transfer.resize(size)?;
        self.size = size;
        Ok(Some(self.head()))
    }

    /// The server refused something. If that is the memory, frames go through the connection from now on.
    fn refused(&mut self, error: &x11rb::x11_utils::X11Error) {
        let of_memory = error.extension_name.as_deref() == Some(shm::X11_EXTENSION_NAME);
        if of_memory && self.transfer.give_up_sharing() {
            tracing::info!("the X server cannot map our memory: frames go through the connection");
            self.lacks.everything();
        } else {
            tracing::debug!(?error, "the X server refused something");
        }
    }

    /// Answers a window manager that asks whether this program still lives, as it must be answered: with its own words.
    fn answer_ping(&self, message: &ClientMessageEvent) -> Result<(), ConnectionError> {
        let answer = ClientMessageEvent { window: self.window.root, ..*message };
        let managers = EventMask::SUBSTRUCTURE_NOTIFY | EventMask::SUBSTRUCTURE_REDIRECT;
        self.connection.send_event(false, self.window.root, managers, answer).map(drop)
    }
}

/// Opens the window, and finds the ways in which the server and this program speak of frames and keys.
fn set_up(
    connection: &Rc<RustConnection>,
    screen: usize,
    size: Size<i32, Physical>,
) -> Result<(Window, Transfer, Pace), X11Error> {
    connection.xkb_use_extension(1, 0)?.reply()?;
    // Otherwise a key that is held looks as if it were pressed again and again.
    let flag = xkb::PerClientFlag::DETECTABLE_AUTO_REPEAT;
    let keyboard = xkb::ID::USE_CORE_KBD.into();
    let none = xkb::BoolCtrl::from(0_u32);
    connection.xkb_per_client_flags(keyboard, flag, flag, none, none, none)?.reply()?;
    let screen = connection.setup().roots.get(screen).ok_or(X11Error::Pixels)?;
    let window = Window::open(connection, screen, size)?;
    let transfer = Transfer::new(Rc::clone(connection), size)?;
    let pace = Pace::new(connection, &window)?;
    connection.flush()?;
    Ok((window, transfer, pace))
}

impl State {
    fn x11(&mut self) -> Option<&mut X11> {
        match &mut self.backend {
            Backend::X11(x11) => Some(x11),
            Backend::Headless(_) | Backend::Drm(_) | Backend::Nested(_) => None,
        }
    }

    /// Everything that the X server has said until now.
    fn x11_events(&mut self, events: &[Event]) {
        for event in events {
            self.x11_event(event);
        }
        // While the user drags its edge a window has many sizes, of which the last one counts.
        match self.x11().map(X11::obey) {
            Some(Ok(Some(head))) => {
                self.change_outputs(|outputs| outputs.connect(head));
            }
            Some(Err(error)) => {
                tracing::error!("error resizing the window: {:#}", anyhow::Error::from(error));
            }
            Some(Ok(None)) | None => {}
        }
    }

    fn x11_event(&mut self, event: &Event) {
        let Some(x11) = self.x11() else { return };
        if x11.pace.ends_with(event, &x11.window) {
            let time = self.comp.now();
            self.frame_presented(OutputId::FIRST, Presented { time, sequence: None, from_hardware: false });
            return;
        }
        match event {
            Event::MapNotify(_) => x11.mapped = true,
            Event::UnmapNotify(_) => x11.mapped = false,
            Event::VisibilityNotify(event) => x11.covered = event.state == Visibility::FULLY_OBSCURED,
            Event::Expose(event) => {
                let at = (i32::from(event.x), i32::from(event.y));
                let size = (i32::from(event.width), i32::from(event.height));
                x11.lacks.add(&[Rectangle::new(at.into(), size.into())]);
            }
            Event::ConfigureNotify(event) => {
                let size = Size::from((i32::from(event.width), i32::from(event.height)));
                x11.wanted = Some(size).filter(|size| is_sane(*size));
                return;
            }
            Event::ClientMessage(message) => return self.x11_message(message),
            Event::Error(error) => x11.refused(error),
            other => return self.x11_input(other),
        }
        self.comp.schedule.request();
    }

    /// A window manager has something to say.
    fn x11_message(&mut self, message: &ClientMessageEvent) {
        let Some(x11) = self.x11() else { return };
        let atoms = x11.window.atoms;
        if message.type_ != atoms.WM_PROTOCOLS || message.format != 32 {
            return;
        }
        let [what, ..] = message.data.as_data32();
        if what == atoms.WM_DELETE_WINDOW {
            self.stop();
        } else if what == atoms._NET_WM_PING
            && let Err(error) = x11.answer_ping(message)
        {
            tracing::debug!("error answering a window manager: {error}");
        }
    }
}
