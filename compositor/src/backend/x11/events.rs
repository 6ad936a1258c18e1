//! What the X server says, as a source of the event loop.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use calloop::generic::Generic;
use calloop::{EventSource, Interest, Mode, Poll, PostAction, Readiness, Token, TokenFactory};
use x11rb::connection::Connection as _;
use x11rb::errors::ConnectionError;
use x11rb::protocol::Event;
use x11rb::rust_connection::RustConnection;

/// The connection, which is flushed before each sleep of the event loop. While it is written to, events may be read into its
/// queue, of which its descriptor says nothing: so the queue is looked into before each sleep, too.
#[derive(Debug)]
pub(super) struct Events {
    connection: Rc<RustConnection>,
    /// The same socket: it alone is waited for.
    socket: Generic<OwnedFd>,
    /// By which a sleep is ended that must not begin.
    awake: Option<Token>,
    /// The first that was in the queue.
    first: Option<Event>,
}

impl Events {
    pub(super) fn new(connection: Rc<RustConnection>) -> io::Result<Self> {
        let socket = connection.stream().as_fd().try_clone_to_owned()?;
        let socket = Generic::new(socket, Interest::READ, Mode::Level);
        Ok(Self { connection, socket, awake: None, first: None })
    }
}

fn broken(error: ConnectionError) -> calloop::Error {
    calloop::Error::OtherError(Box::new(error))
}

impl EventSource for Events {
    /// All that has come, in its order.
    type Event = Vec<Event>;
    type Metadata = ();
    type Ret = ();
    type Error = ConnectionError;

    const NEEDS_EXTRA_LIFECYCLE_EVENTS: bool = true;

    fn process_events<F>(
        &mut self,
        _: Readiness,
        _: Token,
        mut callback: F,
    ) -> Result<PostAction, Self::Error>
    where
        F: FnMut(Vec<Event>, &mut ()),
    {
        let mut events: Vec<Event> = self.first.take().into_iter().collect();
        while let Some(event) = self.connection.poll_for_event()? {
            events.push(event);
        }
        if !events.is_empty() {
            callback(events, &mut ());
        }
        Ok(PostAction::Continue)
    }

    fn register(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.awake = Some(tokens.token());
        self.socket.register(poll, tokens)
    }

    fn reregister(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.awake = Some(tokens.token());
        self.socket.reregister(poll, tokens)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.socket.unregister(poll)
    }

    fn before_sleep(&mut self) -> calloop::Result<Option<(Readiness, Token)>> {
        self.connection.flush().map_err(broken)?;
        if self.first.is_none() {
            self.first = self.connection.poll_for_event().map_err(broken)?;
        }
        Ok(self.first.as_ref().and(self.awake).map(|token| (Readiness::EMPTY, token)))
    }
}
