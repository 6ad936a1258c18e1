//! Sockets that carry file descriptors between virtual machines.
//!
//! Programs on one machine pass descriptors to each other in the messages of a Unix socket: shared memory, pipes, other
//! sockets. Between machines there is no such thing. What there is moves bytes (vsock, the socket files of a VMM, a serial
//! port), and perhaps memory that both machines have mapped. This crate makes of the two a [`Socket`] that behaves like
//! an `AF_UNIX` stream socket: ordered bytes with descriptors attached to them, half-close, back-pressure, one descriptor to
//! wait for.
//!
//! # The model
//!
//! What crosses is not a descriptor but what it stands for, as a *VFD*. The kernel says what that is, never the program:
//!
//! | a local descriptor of | the other side gets | and then |
//! |---|---|---|
//! | the [`Region`] that both sides have mapped | the same memory | nothing is ever copied |
//! | other memory that can be written | a *mirror*, memory of its own | kept up to date by [`Socket::mirror_write`], rectangle by rectangle |
//! | memory that nobody can write | a *blob*, sealed memory | copied once |
//! | a pipe, either end | a pipe | content, end of file and broken pipe cross, with flow control |
//! | a connected Unix stream socket | a socket | bytes both ways, as two pipes |
//! | anything else | nothing: the whole message is refused with `EOPNOTSUPP` | |
//!
//! Where a stream goes is an [`Address`], in one syntax for programs, configuration files and command lines; the
//! [`address`] module lists the schemes. A [`Listener`] says who is calling. The stream format is specified in
//! `docs/wire.md`, well enough for a second implementation.
//!
//! # Both ends
//!
//! Nothing in this crate blocks: a socket is waited for with `poll`, `epoll` or any event loop, and told to go on with
//! [`Socket::dispatch`]. Here one end sends a request with the read end of a pipe, and the other one reads the pipe.
//!
//! ```
//! use std::io::{Read, Write, pipe};
//! use std::os::fd::AsFd;
//!
//! use rustix::event::{PollFd, PollFlags, poll};
//! use virtio_wl::{Address, ReceivedKind, Socket, SocketError, SocketOptions};
//!
//! type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
//!
//! /// Waits until the socket has something to do, and has it done.
//! fn wait(socket: &mut Socket) -> Result<()> {
//!     poll(&mut [PollFd::new(&*socket, PollFlags::IN)], None)?;
//!     Ok(socket.dispatch()?)
//! }
//!
//! /// The end that was called: receives one message and gives the content of the pipe that came with it.
//! fn serve(mut socket: Socket) -> Result<String> {
//!     let (mut bytes, mut fds) = ([0; 64], Vec::new());
//!     let len = loop {
//!         match socket.recvmsg(&mut bytes, &mut fds) {
//!             Err(SocketError::WouldBlock) => wait(&mut socket)?,
//!             result => break result?,
//!         }
//!     };
//!     assert_eq!(&bytes[..len], b"read this");
//!     let received = fds.pop().expect("descriptors come with the first byte of their message");
//!     assert_eq!(received.kind, ReceivedKind::PipeRead);
//!     // Content moves while the socket is dispatched. This little fits into the pipe; a program that expects more than
//!     // that reads the pipe meanwhile.
//!     while socket.pipes_open() > 0 {
//!         wait(&mut socket)?;
//!     }
//!     let mut content = String::new();
//!     std::fs::File::from(received.fd).read_to_string(&mut content)?;
//!     Ok(content)
//! }
//!
//! # fn main() -> Result<()> {
//! # let directory = tempfile::tempdir()?;
//! # let text = format!("unix:{}", directory.path().join("socket").display());
//! // On a host this would be `vsock-uds:/run/vm/vsock:5000`, and in its guest `vsock:2:5000`.
//! let address: Address = text.parse()?;
//! let listener = address.listen()?;
//!
//! let mut near = Socket::connect(&address, SocketOptions::default())?;
//! let accepted = listener.accept()?;
//! println!("called by {:?}", accepted.peer);
//! let far = Socket::accept(accepted, SocketOptions::default())?;
//! let far = std::thread::spawn(move || serve(far));
//!
//! let (read, mut write) = pipe()?;
//! loop {
//!     match near.sendmsg(b"read this", &[read.as_fd()]) {
//!         Err(SocketError::WouldBlock) => wait(&mut near)?,
//!         result => break assert_eq!(result?, 9),
//!     }
//! }
//! write.write_all(b"through the other machine")?;
//! drop((read, write));
//! while near.pipes_open() > 0 {
//!     wait(&mut near)?;
//! }
//! assert_eq!(far.join().expect("no panic")?, "through the other machine");
//! # Ok(())
//! # }
//! ```
//!
//! For programs and libraries that know only Unix sockets there is the [`Pump`], which joins one to a socket of this
//! crate within the caller's thread, and for programs in C a library with the same calls.
//!
//! # What can be relied on
//!
//! * Nothing blocks, sleeps or starts a thread, and an idle connection causes no wake-up.
//! * Whatever a peer can make this side hold is bounded by [`StreamLimits`], and mirrors by a [`MirrorBudget`] for several
//!   sockets together. A peer that breaks a rule of the format loses its connection and has no other effect.
//! * A message is sent with all of its descriptors or not at all, and nothing that was received leaks.
//! * Memory of a region can be written by the other side at any time. Only content is read from it, never a length, an
//!   offset or a pointer.
//!
//! Writing to a pipe whose reader is gone raises SIGPIPE. A process that uses this crate must ignore that signal, as
//! Rust's runtime does before `main`.

pub mod address;
pub mod allocator;
pub mod capi;
mod framed;
pub mod listener;
pub mod mirror;
mod pipe;
mod poll;
pub mod pump;
pub mod region;
pub mod socket;
pub mod trim;
pub mod unix;
pub mod vfd;
pub mod wire;
pub mod wl0;

pub use address::Address;
pub use allocator::{Allocator, Slot};
pub use listener::{Accepted, Listener, Peer};
pub use mirror::MirrorBudget;
pub use poll::Registration;
pub use pump::{Endpoint, Pump, PumpOptions};
pub use region::Region;
pub use socket::{ConnectError, ExcessPipes, Readiness, Socket, SocketError, SocketOptions, StreamLimits};
pub use vfd::{ReceivedFd, ReceivedKind};
pub use wire::{Purpose, Role};
