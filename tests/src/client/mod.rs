//! Well-behaved Wayland clients for tests.
//!
//! A [`Client`] is one connection with one event queue, driven by the test's own thread: nothing happens
//! behind the test's back. Every event is recorded in [`State`] when it is dispatched; a test dispatches by
//! waiting for a condition over the recorded state ([`Client::wait_until`]) or for the server's answer to
//! everything sent so far ([`Client::roundtrip`]). `xdg_wm_base` pings are answered, nothing else is done of
//! a client's own accord.

mod buffer;
mod dmabuf;
mod drag;
mod fractional_scale;
mod primary;
mod selection;
mod state;
mod window;

use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::PollFlags;
use wayland_client::backend::{Backend, WaylandError};
use wayland_client::protocol::wl_registry::WlRegistry;
use wayland_client::{Connection, Dispatch, DispatchError, EventQueue, Proxy, QueueHandle};

pub use buffer::{Buffer, Canvas, Memory, Rect, Transform};
pub use drag::{COPY, Drag};
pub use selection::{Offer, OfferObject, Offered, Selection, Source, SourceEvent};
pub use state::{Configure, Global, InputEvent, Keymap, State, SurfaceState};
pub use window::{Popup, Subsurface, Window, WindowOptions};

use crate::deadline::Deadline;
use crate::process;

/// What ended a client's wait.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server sent `wl_display.error` and closed the connection.
    #[error("Protocol error {code} on {interface}@{object}: {message}")]
    Protocol {
        /// The error code, as the interface defines it.
        code: u32,
        /// The object's number.
        object: u32,
        /// The object's interface.
        interface: String,
        /// The server's explanation.
        message: String,
    },
    /// The connection was closed, without an error or before one could be read.
    #[error("The connection was closed: {0}")]
    Closed(std::io::Error),
    /// The awaited event did not come before the deadline.
    #[error("Gave up waiting for {0}")]
    Deadline(String),
    /// The server sent something that the client's library does not understand.
    #[error("The server sent nonsense: {0}")]
    Nonsense(String),
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    queue: EventQueue<State>,
    registry: WlRegistry,
    /// Everything that has been received.
    pub state: State,
}

impl Client {
    /// Connects to the socket at `path`, waiting for it to appear, and binds the common globals.
    ///
    /// # Panics
    ///
    /// When that does not work before the deadline.
    #[must_use]
    #[track_caller]
    pub fn connect(path: &Path) -> Self {
        let stream = process::connect(path, Deadline::patient());
        Self::over(stream).unwrap_or_else(|error| panic!("connecting to {}: {error}", path.display()))
    }

    /// A client over a connected stream socket; binds the common globals.
    ///
    /// # Errors
    ///
    /// When the server refuses the connection.
    pub fn over(stream: UnixStream) -> Result<Self, ClientError> {
        let backend = Backend::connect(stream).map_err(|_| ClientError::Nonsense("no library".to_owned()))?;
        let connection = Connection::from_backend(backend);
        let queue = connection.new_event_queue();
        let registry = connection.display().get_registry(&queue.handle(), ());
        let mut client = Self { connection, queue, registry, state: State::default() };
        client.roundtrip()?;
        client.bind_common();
        client.roundtrip()?;
        Ok(client)
    }

    fn bind_common(&mut self) {
        self.state.bound.compositor = self.bind(5);
        self.state.bound.subcompositor = self.bind(1);
        self.state.bound.shm = self.bind(1);
        self.state.bound.wm_base = self.bind(5);
        self.state.bound.viewporter = self.bind(1);
        self.state.bound.seat = self.bind(7);
        self.state.bound.data_device_manager = self.bind(3);
        self.state.bound.primary_manager = self.bind(1);
        let handle = self.handle();
        if let Some(seat) = &self.state.bound.seat {
            seat.get_keyboard(&handle, ());
            seat.get_pointer(&handle, ());
            if let Some(manager) = &self.state.bound.data_device_manager {
                self.state.bound.data_device = Some(manager.get_data_device(seat, &handle, ()));
            }
            if let Some(manager) = &self.state.bound.primary_manager {
                self.state.bound.primary_device = Some(manager.get_device(seat, &handle, ()));
            }
        }
    }

    /// Binds the first global of the interface, at no more than `version`; none if it is not advertised.
    pub fn bind<I>(&self, version: u32) -> Option<I>
    where
        I: Proxy + 'static,
        State: Dispatch<I, ()>,
    {
        let global = self.state.globals.iter().find(|global| global.interface == I::interface().name)?;
        Some(self.registry.bind(global.name, version.min(global.version), &self.handle(), ()))
    }

    /// The queue's handle, for requests that make objects.
    #[must_use]
    pub fn handle(&self) -> QueueHandle<State> {
        self.queue.handle()
    }

    /// Sends what was requested and waits for the server's answer to all of it.
    ///
    /// # Errors
    ///
    /// When the connection ends or the answer does not come before the deadline.
    pub fn roundtrip(&mut self) -> Result<(), ClientError> {
        self.roundtrip_before(Deadline::patient())
    }

    /// [`Self::roundtrip`] with a deadline of its own.
    ///
    /// # Errors
    ///
    /// When the connection ends or the answer does not come before the deadline.
    pub fn roundtrip_before(&mut self, deadline: Deadline) -> Result<(), ClientError> {
        let number = self.state.expect_callback();
        self.connection.display().sync(&self.handle(), state::Callback::Sync(number));
        self.wait_before(deadline, "the answer to wl_display.sync", |state| state.is_synced(number))
    }

    /// Dispatches events until `condition` holds.
    ///
    /// # Errors
    ///
    /// When the connection ends or the condition does not come to hold before the deadline; `what` is then
    /// part of the error.
    pub fn wait_until(
        &mut self,
        what: &str,
        condition: impl FnMut(&State) -> bool,
    ) -> Result<(), ClientError> {
        self.wait_before(Deadline::patient(), what, condition)
    }

    /// [`Self::wait_until`] with a deadline of its own.
    ///
    /// # Errors
    ///
    /// When the connection ends or the condition does not come to hold before the deadline.
    pub fn wait_before(
        &mut self,
        deadline: Deadline,
        what: &str,
        mut condition: impl FnMut(&State) -> bool,
    ) -> Result<(), ClientError> {
        loop {
            self.dispatch_pending()?;
            if condition(&self.state) {
                return Ok(());
            }
            if !self.read(deadline)? {
                return Err(ClientError::Deadline(what.to_owned()));
            }
        }
    }

    /// Dispatches events until the server closes the connection, and tells how it did.
    ///
    /// # Panics
    ///
    /// When the connection is still open at the deadline.
    #[track_caller]
    pub fn wait_end(&mut self) -> ClientError {
        match self.wait_until("the end of the connection", |_| false) {
            Err(ClientError::Deadline(_)) | Ok(()) => panic!("the connection was not ended"),
            Err(end) => end,
        }
    }

    /// Sends what was requested, without waiting for anything but room in the socket.
    ///
    /// # Errors
    ///
    /// When the connection has ended, or the server takes nothing before the deadline.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        let deadline = Deadline::patient();
        loop {
            match self.connection.flush() {
                Ok(()) => return Ok(()),
                Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let fd = self.connection.backend();
                    if !deadline.wait(fd.poll_fd(), PollFlags::OUT) {
                        return Err(ClientError::Deadline("room in the socket".to_owned()));
                    }
                }
                Err(error) => return Err(self.ended(error)),
            }
        }
    }

    fn dispatch_pending(&mut self) -> Result<(), ClientError> {
        let dispatched = self.queue.dispatch_pending(&mut self.state);
        dispatched.map(drop).map_err(|error| match error {
            DispatchError::Backend(error) => self.ended(error),
            bad @ DispatchError::BadMessage { .. } => ClientError::Nonsense(bad.to_string()),
        })
    }

    /// Flushes and reads once; false when nothing came before the deadline.
    fn read(&mut self, deadline: Deadline) -> Result<bool, ClientError> {
        self.flush()?;
        let Some(guard) = self.queue.prepare_read() else {
            return Ok(true);
        };
        if !deadline.wait(guard.connection_fd(), PollFlags::IN) {
            return Ok(false);
        }
        match guard.read() {
            Ok(_) => Ok(true),
            Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(self.ended(error)),
        }
    }

    /// Why the connection ended: a protocol error that waits to be read goes before a failed write.
    fn ended(&mut self, error: WaylandError) -> ClientError {
        while let Some(guard) = self.queue.prepare_read() {
            if guard.read().is_err() {
                break;
            }
        }
        if let Some(protocol) = self.connection.protocol_error() {
            return ClientError::Protocol {
                code: protocol.code,
                object: protocol.object_id,
                interface: protocol.object_interface,
                message: protocol.message,
            };
        }
        match error {
            WaylandError::Io(error) => ClientError::Closed(error),
            WaylandError::Protocol(error) => ClientError::Nonsense(error.to_string()),
        }
    }
}
