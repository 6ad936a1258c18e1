//! A client that speaks for itself, through a `virtio_wl::Socket` as wl-forward does.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use virtio_wl::{Region, Role, Socket, SocketError, SocketOptions};

use crate::compositor::global_name;
use crate::wire::{Message, Received};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A protocol error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub object: u32,
    pub code: u32,
    pub message: String,
}

/// The client.
#[derive(Debug)]
pub struct Client {
    pub socket: Socket,
    incoming: Vec<u8>,
    events: Vec<Received>,
    next_id: u32,
    registry: u32,
    bound: HashMap<String, u32>,
    ended: bool,
}

impl Client {
    /// A client, and the stream that a worker serves.
    pub fn new() -> (Self, OwnedFd) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Self::on(ours.into()), theirs.into())
    }

    /// A client on a stream that is connected already.
    pub fn on(stream: OwnedFd) -> Self {
        Self::open(stream, SocketOptions::default())
    }

    /// A client that shares a region with the worker.
    pub fn with_region(stream: OwnedFd, region: Region) -> Self {
        Self::open(stream, SocketOptions { region: Some(Arc::new(region)), ..SocketOptions::default() })
    }

    fn open(stream: OwnedFd, options: SocketOptions) -> Self {
        let socket = Socket::new(stream, Role::Initiator, options).unwrap();
        let mut client = Self {
            socket,
            incoming: Vec::new(),
            events: Vec::new(),
            next_id: 2,
            registry: 0,
            bound: HashMap::new(),
            ended: false,
        };
        client.registry = client.id();
        client
    }

    /// Asks for the globals. The stream has to be in a worker's hands.
    pub fn start(&mut self) {
        self.send(Message::new(1, 1).uint(self.registry));
    }

    /// The next unused object id.
    pub fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }

    pub fn registry(&self) -> u32 {
        self.registry
    }

    /// Sends a message whole, and says nothing if the other side has ended the connection.
    pub fn send(&mut self, message: Message) {
        let bytes = message.bytes();
        self.send_bytes(&bytes, &message.fds);
    }

    pub fn send_bytes(&mut self, mut bytes: &[u8], fds: &[OwnedFd]) {
        let mut fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        let deadline = Instant::now() + PATIENCE;
        while !bytes.is_empty() {
            match self.socket.sendmsg(bytes, &fds) {
                Ok(sent) => {
                    bytes = &bytes[sent..];
                    fds.clear();
                }
                Err(SocketError::WouldBlock) => self.wait(deadline),
                Err(_) => return,
            }
        }
        let _ = self.socket.flush();
    }

    /// Binds a global of the compositor once.
    pub fn bind(&mut self, interface: &str, version: u32) -> u32 {
        if let Some(id) = self.bound.get(interface) {
            return *id;
        }
        // Globals have to be announced first.
        self.round_trip();
        let id = self.id();
        self.bind_raw(global_name(interface), interface, version, id);
        self.bound.insert(interface.to_owned(), id);
        id
    }

    pub fn bind_raw(&mut self, name: u32, interface: &str, version: u32, id: u32) {
        let registry = self.registry;
        self.send(Message::new(registry, 0).uint(name).string(interface).uint(version).uint(id));
    }

    /// Sends a request that makes an object: the id comes first.
    pub fn make(&mut self, object: u32, opcode: u16, rest: &[i32]) -> u32 {
        let id = self.id();
        self.send(Message::new(object, opcode).uint(id).ints(rest));
        id
    }

    pub fn surface(&mut self) -> u32 {
        let compositor = self.bind("wl_compositor", 6);
        self.make(compositor, 0, &[])
    }

    pub fn xdg_surface(&mut self) -> u32 {
        let surface = self.surface();
        let shell = self.bind("xdg_wm_base", 6);
        self.make(shell, 2, &[surface.cast_signed()])
    }

    pub fn pool(&mut self, memory: OwnedFd, size: i32) -> u32 {
        let shm = self.bind("wl_shm", 2);
        let id = self.id();
        self.send(Message::new(shm, 0).uint(id).int(size).fd(memory));
        id
    }

    /// Asks for an answer and returns whether it came; if not, the connection has ended.
    pub fn round_trip(&mut self) -> bool {
        let callback = self.make(1, 0, &[]);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.events.iter().position(|event| event.object == callback) {
                self.events.drain(..=at);
                return true;
            }
            if self.ended {
                return false;
            }
            self.wait(deadline);
        }
    }

    /// Waits for the protocol error that ends the connection.
    #[track_caller]
    pub fn error(&mut self) -> Error {
        let deadline = Instant::now() + PATIENCE;
        while !self.ended {
            self.wait(deadline);
        }
        let error = self.events.iter().find(|event| (event.object, event.opcode) == (1, 0));
        let error = error.expect("the connection ended without an error");
        Error { object: error.uint(0), code: error.uint(1), message: error.string(2).0 }
    }

    /// Waits until the connection has ended, however it did.
    pub fn wait_for_end(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.ended {
            self.wait(deadline);
        }
    }

    /// Waits for something to do, and does it.
    #[track_caller]
    fn wait(&mut self, deadline: Instant) {
        let left = deadline.checked_duration_since(Instant::now()).expect("out of patience");
        let left = Timespec::try_from(left).unwrap();
        rustix::event::poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left)).unwrap();
        self.read();
    }

    fn read(&mut self) {
        let failed = self.socket.dispatch().is_err();
        loop {
            let (mut chunk, mut fds) = ([0; 4096], Vec::new());
            match self.socket.recvmsg(&mut chunk, &mut fds) {
                Ok(0) => self.ended = true,
                Ok(len) => {
                    self.incoming.extend_from_slice(&chunk[..len]);
                    continue;
                }
                Err(SocketError::WouldBlock) => {}
                Err(_) => self.ended = true,
            }
            break;
        }
        self.ended |= failed;
        if self.ended {
            self.socket.shutdown_write();
        }
        let _ = self.socket.flush();
        while let Some(event) = Received::take(&mut self.incoming) {
            self.events.push(event);
        }
    }

    /// What the registry announced.
    pub fn globals(&mut self) -> Vec<(u32, String, u32)> {
        let registry = self.registry;
        let callback = self.make(1, 0, &[]);
        let deadline = Instant::now() + PATIENCE;
        while !self.events.iter().any(|event| event.object == callback) {
            assert!(!self.ended, "ended");
            self.wait(deadline);
        }
        let globals = self.events.iter().filter(|event| (event.object, event.opcode) == (registry, 0));
        globals
            .map(|event| {
                let (interface, after) = event.string(1);
                (event.uint(0), interface, event.uint(after))
            })
            .collect()
    }
}

/// Writable memory that crosses as a mirror.
pub fn memory(len: u64) -> OwnedFd {
    let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&fd, len).unwrap();
    fd
}
