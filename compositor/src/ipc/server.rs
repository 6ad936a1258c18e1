//! The compositor's end of the control socket: moves lines, knows nothing of what they mean.
//!
//! A [`Server`] is one source of the event loop for the socket, and one for each client. A client is read
//! only while no answer is on its way to it, so what it can make the compositor hold is one request and one
//! answer. A client that waits ([`Reply::Wait`]) is answered by [`Server::answer_windows`], [`Server::answer_frame`] or
//! [`Server::answer_vms`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use calloop::generic::Generic;
use calloop::{
    EventSource, Interest, LoopHandle, Mode, Poll, PostAction, Readiness, RegistrationToken, Token,
    TokenFactory,
};
use rustix::fs::Mode as FileMode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::Value;

use super::protocol::{Answer, FrameNumber, MAX_REQUEST, Request, VmList, WindowList};

/// The most clients at a time.
pub const MAX_CLIENTS: usize = 16;
/// Clients that may wait to be accepted.
const BACKLOG: i32 = 16;
/// Bytes that are read at a time.
const CHUNK: usize = 4096;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another compositor listens there.
    #[error("Another compositor listens at {}", .0.display())]
    InUse(PathBuf),
    /// The socket could not be made.
    #[error("Error listening at {}", path.display())]
    Listen {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The event loop refused it.
    #[error("Error adding the control socket to the event loop")]
    Events(#[source] calloop::Error),
}

/// How a request is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// With this.
    Ok(Value),
    /// With the reason why not.
    Error(String),
    /// Later, once this has changed.
    Wait(Awaited),
}

/// What a client waits for, and what it knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Another generation of the windows.
    Windows(u64),
    /// Another number of drawn frames.
    Frame(u64),
    /// Another generation of the VMs.
    Vms(u64),
}

/// Who answers requests: the compositor's state.
pub trait Handler {
    /// Answers one request. Must not block.
    fn handle(&mut self, request: Request) -> Reply;
}

/// The control socket. Dropping it removes the socket from the file system; clients that are connected are
/// served as long as the event loop runs.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    peers: Peers,
}

type Peers = Rc<RefCell<BTreeMap<u64, Entry>>>;

#[derive(Debug)]
struct Entry {
    peer: Rc<RefCell<Peer>>,
    token: RegistrationToken,
}

impl Server {
    /// Listens at `path` and serves clients from the event loop.
    ///
    /// # Errors
    ///
    /// [`ServerError`] if somebody listens there already, or the system refuses.
    pub fn start<D: Handler + 'static>(
        path: &Path,
        events: &LoopHandle<'static, D>,
    ) -> Result<Self, ServerError> {
        let listener = listen(path)?;
        let peers = Peers::default();
        let served = Rc::clone(&peers);
        let handle = events.clone();
        let mut next = 0_u64;
        events
            .insert_source(Generic::new(listener, Interest::READ, Mode::Level), move |_, listener, _| {
                match listener.accept() {
                    Ok((stream, _)) => {
                        next += 1;
                        if let Err(error) = admit(&served, &handle, stream, next) {
                            tracing::warn!(%error, "a client of the control socket was not admitted");
                        }
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                    Err(error) => tracing::warn!(%error, "accepting at the control socket failed"),
                }
                Ok(PostAction::Continue)
            })
            .map_err(|error| ServerError::Events(error.error))?;
        Ok(Self { path: path.to_owned(), peers })
    }

    /// Where the socket is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a client waits for a change of the windows, so that the list need not be made for nobody.
    #[must_use]
    pub fn awaits_windows(&self) -> bool {
        let awaits = |entry: &Entry| matches!(entry.peer.borrow().waiting, Some(Awaited::Windows(_)));
        self.peers.borrow().values().any(awaits)
    }

    /// Answers the clients that wait for another list than they know.
    pub fn answer_windows<D: 'static>(&self, events: &LoopHandle<'static, D>, list: &WindowList) {
        let news = |known| matches!(known, Awaited::Windows(generation) if generation != list.generation);
        self.answer_waiting(events, news, list);
    }

    /// Answers the clients that wait for another frame than they know.
    pub fn answer_frame<D: 'static>(&self, events: &LoopHandle<'static, D>, frame: FrameNumber) {
        let news = |known| matches!(known, Awaited::Frame(number) if number != frame.frame);
        self.answer_waiting(events, news, &frame);
    }

    /// Whether a client waits for a change of the VMs.
    #[must_use]
    pub fn awaits_vms(&self) -> bool {
        let awaits = |entry: &Entry| matches!(entry.peer.borrow().waiting, Some(Awaited::Vms(_)));
        self.peers.borrow().values().any(awaits)
    }

    /// Answers the clients that wait for another list of VMs than they know.
    pub fn answer_vms<D: 'static>(&self, events: &LoopHandle<'static, D>, list: &VmList) {
        let news = |known| matches!(known, Awaited::Vms(generation) if generation != list.generation);
        self.answer_waiting(events, news, list);
    }

    /// Gives `answer` to the clients for which what they know is not the news.
    fn answer_waiting<D: 'static, T: serde::Serialize>(
        &self,
        events: &LoopHandle<'static, D>,
        news: impl Fn(Awaited) -> bool,
        answer: &T,
    ) {
        for entry in self.peers.borrow().values() {
            if !entry.peer.borrow_mut().notify(&news, answer) {
                continue;
            }
            // Flushed by its source, which is woken by being writable.
            if let Err(error) = events.update(&entry.token) {
                tracing::warn!(%error, "a client of the control socket cannot be answered");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

/// A listening socket that the user alone can connect to from the moment it exists.
fn listen(path: &Path) -> Result<UnixListener, ServerError> {
    let failed = |source: io::Error| ServerError::Listen { path: path.to_owned(), source };
    match UnixStream::connect(path) {
        Ok(_) => return Err(ServerError::InUse(path.to_owned())),
        // A socket that nobody listens at is left from a compositor that was killed.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)?;
        }
        Err(_) => {}
    }
    let bound = || -> rustix::io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // The file gets the mode of the socket that is bound to it.
        rustix::fs::fchmod(&socket, FileMode::RUSR | FileMode::WUSR)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    bound().map(UnixListener::from).map_err(|error| failed(error.into()))
}

/// Takes a client in, if it is the user's and there is room.
fn admit<D: Handler + 'static>(
    peers: &Peers,
    events: &LoopHandle<'static, D>,
    stream: UnixStream,
    id: u64,
) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let uid = rustix::net::sockopt::socket_peercred(&stream)?.uid;
    if uid != rustix::process::geteuid() && !uid.is_root() {
        return Err(io::Error::new(ErrorKind::PermissionDenied, format!("it runs as user {}", uid.as_raw())));
    }
    let mut peer = Peer { input: Vec::new(), output: Vec::new(), sent: 0, waiting: None, closing: false };
    if peers.borrow().len() >= MAX_CLIENTS {
        peer.refuse(&format!("the compositor serves at most {MAX_CLIENTS} clients at a time"));
    }
    let peer = Rc::new(RefCell::new(peer));
    let stream = Rc::new(stream);
    let interest = peer.borrow().interest();
    let source = PeerSource {
        io: Generic::new(Rc::clone(&stream), interest, Mode::Level),
        stream,
        peer: Rc::clone(&peer),
        place: Place { peers: Rc::clone(peers), id },
    };
    let token = events
        .insert_source(source, |request, (), state: &mut D| state.handle(request))
        .map_err(|error| io::Error::other(error.error))?;
    peers.borrow_mut().insert(id, Entry { peer, token });
    Ok(())
}

/// What is held for one client.
#[derive(Debug)]
struct Peer {
    /// Bytes of requests that were not looked at; at most [`MAX_REQUEST`].
    input: Vec<u8>,
    /// The answer on its way.
    output: Vec<u8>,
    /// How much of it was taken.
    sent: usize,
    /// What the client knows, while it waits for another.
    waiting: Option<Awaited>,
    /// Nothing more is read; the client is dropped once the answer was taken.
    closing: bool,
}

impl Peer {
    fn interest(&self) -> Interest {
        if self.output.is_empty() { Interest::READ } else { Interest::WRITE }
    }

    fn answer<T: serde::Serialize>(&mut self, answer: &Answer<T>) {
        let line = serde_json::to_vec(answer);
        self.output =
            line.unwrap_or_else(|_| br#"{"error":"the answer cannot be written as JSON"}"#.to_vec());
        self.output.push(b'\n');
        self.sent = 0;
    }

    /// Answers the client if it waits for these news; false if it does not.
    fn notify<T: serde::Serialize>(&mut self, news: impl Fn(Awaited) -> bool, answer: &T) -> bool {
        let news = self.waiting.is_some_and(news);
        if news {
            self.waiting = None;
            self.answer(&Answer::Ok(answer));
        }
        news
    }

    fn refuse(&mut self, reason: &str) {
        self.answer(&Answer::<()>::Error(reason.to_owned()));
        self.closing = true;
    }

    /// The next whole request, if there is one.
    fn next_line(&mut self) -> Option<Vec<u8>> {
        let end = self.input.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = self.input.drain(..=end).collect();
        line.pop();
        Some(line)
    }

    /// Writes what can be written. False: the client is gone.
    fn flush(&mut self, mut stream: &UnixStream) -> bool {
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest) {
                Ok(0) => return false,
                Ok(written) => self.sent = self.sent.saturating_add(written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        self.output.clear();
        self.sent = 0;
        true
    }

    /// Reads what is there, at most a chunk. False: the client is gone.
    fn fill(&mut self, mut stream: &UnixStream) -> bool {
        let mut chunk = [0; CHUNK];
        match stream.read(&mut chunk) {
            // Half closed: it wants no more answers than it asked for.
            Ok(0) => {
                self.closing = true;
                self.waiting.is_none()
            }
            Ok(length) => {
                self.input.extend_from_slice(chunk.get(..length).unwrap_or_default());
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

/// A client's place among those that are served, given up when its source is dropped.
#[derive(Debug)]
struct Place {
    peers: Peers,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.peers.borrow_mut().remove(&self.id);
    }
}

/// The event source of one client.
#[derive(Debug)]
struct PeerSource {
    io: Generic<Rc<UnixStream>>,
    stream: Rc<UnixStream>,
    peer: Rc<RefCell<Peer>>,
    #[expect(dead_code, reason = "held for its Drop")]
    place: Place,
}

impl PeerSource {
    /// One turn with a client whose socket is ready. False: it is gone.
    fn turn(&self, callback: &mut impl FnMut(Request) -> Reply) -> bool {
        let mut peer = self.peer.borrow_mut();
        if peer.output.is_empty() && !peer.closing && !peer.fill(&self.stream) {
            return false;
        }
        loop {
            if !peer.flush(&self.stream) {
                return false;
            }
            if !peer.output.is_empty() || peer.waiting.is_some() {
                break;
            }
            let Some(line) = peer.next_line() else {
                if peer.closing {
                    return false;
                }
                break;
            };
            match serde_json::from_slice(&line) {
                Ok(request) => {
                    // Released, so that whatever the request causes may look at the clients.
                    drop(peer);
                    let reply = callback(request);
                    peer = self.peer.borrow_mut();
                    match reply {
                        Reply::Ok(value) => peer.answer(&Answer::Ok(value)),
                        Reply::Error(reason) => peer.answer(&Answer::<()>::Error(reason)),
                        Reply::Wait(known) => peer.waiting = Some(known),
                    }
                }
                Err(error) => peer.answer(&Answer::<()>::Error(format!("not a request: {error}"))),
            }
        }
        if peer.input.len() >= MAX_REQUEST {
            peer.input.clear();
            peer.waiting = None;
            peer.refuse(&format!("a request has at most {MAX_REQUEST} bytes"));
        }
        true
    }
}

impl EventSource for PeerSource {
    type Event = Request;
    type Metadata = ();
    type Ret = Reply;
    type Error = io::Error;

    fn process_events<F>(
        &mut self,
        readiness: Readiness,
        token: Token,
        mut callback: F,
    ) -> io::Result<PostAction>
    where
        F: FnMut(Request, &mut ()) -> Reply,
    {
        let mut ready = false;
        self.io.process_events(readiness, token, |_, _| {
            ready = true;
            Ok(PostAction::Continue)
        })?;
        if !ready {
            return Ok(PostAction::Continue);
        }
        if !self.turn(&mut |request| callback(request, &mut ())) {
            return Ok(PostAction::Remove);
        }
        Ok(PostAction::Reregister)
    }

    fn register(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        self.io.interest = self.peer.borrow().interest();
        self.io.register(poll, factory)
    }

    fn reregister(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        self.io.interest = self.peer.borrow().interest();
        self.io.reregister(poll, factory)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.io.unregister(poll)
    }
}

#[cfg(test)]
mod tests;
