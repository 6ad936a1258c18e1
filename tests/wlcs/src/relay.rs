//! A client's connection, passed on through [`Manners`] in the compositor's own thread.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;

use calloop::generic::Generic;
use calloop::{Interest, LoopHandle, Mode, PostAction};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use smithay::reexports::wayland_server::backend::ClientId;

use crate::manners::{Manners, Verdict, length};
use crate::space::Space;

/// The most descriptors that libwayland and wayland-backend send with one message.
const MAX_FDS: usize = 28;

/// One end of a connection: what came from it and what goes to it.
#[derive(Debug)]
struct End {
    stream: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// They may arrive before the message that they belong to, but not after it, so they go with the next byte.
    fds: VecDeque<OwnedFd>,
    ended: bool,
}

impl End {
    fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, incoming: Vec::new(), outgoing: Vec::new(), fds: VecDeque::new(), ended: false })
    }

    /// Reads all that there is, and puts the descriptors to `others`.
    fn read(&mut self, others: &mut VecDeque<OwnedFd>) {
        while !self.ended {
            let mut bytes = [0_u8; 16384];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            match recvmsg(&self.stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
                Ok(received) => {
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(fds) = message {
                            others.extend(fds);
                        }
                    }
                    self.ended = received.bytes == 0;
                    self.incoming.extend(bytes.iter().take(received.bytes));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.ended = true,
            }
        }
    }

    /// Writes what can be written.
    fn write(&mut self) {
        while !self.outgoing.is_empty() {
            let fds: Vec<OwnedFd> = self.fds.drain(..self.fds.len().min(MAX_FDS)).collect();
            let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !borrowed.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(&borrowed));
            }
            // One byte for each batch of descriptors but the last, so that none stays behind.
            let bytes =
                if self.fds.is_empty() { self.outgoing.as_slice() } else { self.outgoing.split_at(1).0 };
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(&self.stream, &[IoSlice::new(bytes)], &mut control, flags) {
                Ok(sent) => drop(self.outgoing.drain(..sent)),
                Err(error) => {
                    for fd in fds.into_iter().rev() {
                        self.fds.push_front(fd);
                    }
                    match error {
                        Errno::INTR => {}
                        Errno::AGAIN => return,
                        _ => {
                            self.ended = true;
                            self.outgoing.clear();
                        }
                    }
                }
            }
        }
    }
}

/// Two ends and what is between them.
#[derive(Debug)]
struct Relay {
    client: End,
    compositor: End,
    manners: Manners,
    space: Arc<Space>,
    /// Messages of the client wait for an event.
    holding: bool,
}

impl Relay {
    /// Passes on whatever there is. Returns whether it goes on.
    fn pass(&mut self) -> bool {
        self.client.read(&mut self.compositor.fds);
        self.compositor.read(&mut self.client.fds);
        while let Some(mut message) = take(&mut self.compositor.incoming) {
            if let Some(first) = self.manners.event(&mut message) {
                self.compositor.outgoing.extend(first);
                self.holding = false;
                // The held message is ready to go as it is.
            }
            self.client.outgoing.extend(message);
        }
        while !self.holding
            && let Some(message) = take(&mut self.client.incoming)
        {
            match self.manners.request(&message) {
                Verdict::Pass => self.compositor.outgoing.extend(message),
                Verdict::Drop => {}
                Verdict::After(first) => {
                    self.compositor.outgoing.extend(first);
                    self.compositor.outgoing.extend(message);
                }
                Verdict::Hold(first) => {
                    self.compositor.outgoing.extend(first);
                    self.client.incoming.splice(..0, message);
                    self.holding = true;
                }
            }
        }
        if self.manners.uses_layers() {
            self.space.is_of_layers();
        }
        self.compositor.write();
        self.client.write();
        // What the compositor said last, an error above all, is still read by the client.
        !(self.client.ended || self.compositor.ended && self.client.outgoing.is_empty())
    }

    /// Ends both connections, also for whoever else holds their descriptors.
    fn end(&self) {
        for end in [&self.client, &self.compositor] {
            // Fails only if the other side has ended it.
            let _ = end.stream.shutdown(Shutdown::Both);
        }
    }
}

thread_local! {
    /// All of the compositor's thread, by its clients.
    static RELAYS: RefCell<HashMap<ClientId, Rc<RefCell<Option<Relay>>>>> = RefCell::default();
}

/// Has a client's layer stand at a place of the output, in physical pixels from the corner of what is below the stripe. False
/// if the surface is no layer.
pub fn place_layer(client: &ClientId, surface: u32, left: i32, top: i32) -> bool {
    RELAYS.with_borrow(|relays| {
        let Some(mut relay) = relays.get(client).map(|relay| relay.borrow_mut()) else { return false };
        let Some(relay) = relay.as_mut() else { return false };
        let Some(requests) = relay.manners.place_layer(surface, left, top) else { return false };
        relay.compositor.outgoing.extend(requests);
        relay.pass();
        true
    })
}

/// Takes the first message, if it is whole.
fn take(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = length(bytes).filter(|length| *length <= bytes.len())?;
    Some(bytes.drain(..length).collect())
}

/// Passes messages on between a client and the compositor until one of them has ended.
///
/// # Errors
///
/// When a descriptor cannot be duplicated or watched.
pub fn join<D>(
    events: &LoopHandle<'static, D>,
    client: UnixStream,
    compositor: UnixStream,
    id: ClientId,
    space: &Arc<Space>,
) -> anyhow::Result<()> {
    let (client_fd, compositor_fd) = (client.try_clone()?, compositor.try_clone()?);
    let relay = Relay {
        client: End::new(client)?,
        compositor: End::new(compositor)?,
        manners: Manners::new(space.stripe()),
        space: Arc::clone(space),
        holding: false,
    };
    let relay = Rc::new(RefCell::new(Some(relay)));
    RELAYS.with_borrow_mut(|relays| relays.insert(id, Rc::clone(&relay)));
    for fd in [client_fd, compositor_fd] {
        let relay = Rc::clone(&relay);
        // Edges, because an end that has ended or whose bytes wait is no news.
        let source = Generic::new(fd, Interest::BOTH, Mode::Edge);
        let turn = move |_, _: &mut _, _: &mut D| {
            let mut relay = relay.borrow_mut();
            let goes_on = relay.as_mut().is_some_and(Relay::pass);
            if !goes_on && let Some(relay) = relay.take() {
                relay.end();
            }
            Ok(if goes_on { PostAction::Continue } else { PostAction::Remove })
        };
        events.insert_source(source, turn).map_err(|error| error.error)?;
    }
    Ok(())
}
