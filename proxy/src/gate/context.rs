//! Identities: one `wp_security_context_v1` per VM, made through the gate's own connection to the compositor.
//!
//! The compositor knows a VM's client by the listening socket it came through. That socket exists for the gate
//! alone: it is bound in a private directory, held by an `O_PATH` descriptor and unlinked before the compositor
//! hears of it, so that only this process can connect to it. The compositor gives the context up when the other
//! end of `close_fd` closes, which happens by itself when this process ends, in whatever way.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use vitrail_protocols::VmName;
use wayland_client::backend::WaylandError;
use wayland_client::protocol::{wl_callback, wl_registry};
use wayland_client::{
    ConnectError, Connection, Dispatch, DispatchError, EventQueue, QueueHandle, delegate_noop,
};
use wayland_protocols::wp::security_context::v1::client::wp_security_context_manager_v1::WpSecurityContextManagerV1;
use wayland_protocols::wp::security_context::v1::client::wp_security_context_v1::WpSecurityContextV1;

/// The engine in every context. The compositor believes it from the gate it started and from nobody else.
const SANDBOX_ENGINE: &str = "vitrail";

/// Connections that may wait for the compositor to accept them. It accepts in the same turn as it reads.
const BACKLOG: i32 = 64;

/// How long the compositor may take to answer at the start.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no connection with an identity.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// There is no compositor.
    #[error("cannot connect to the compositor: {0}")]
    Connect(#[from] ConnectError),
    /// The connection to the compositor broke.
    #[error("the connection to the compositor broke: {0}")]
    Broken(#[from] WaylandError),
    /// The compositor sent nonsense or an error.
    #[error("the compositor refused: {0}")]
    Dispatch(#[from] DispatchError),
    /// The compositor does not answer.
    #[error("the compositor does not answer")]
    Silent,
    /// The compositor gives out no identities, or not to this client.
    #[error("the compositor has no wp_security_context_manager_v1 for this client")]
    NoManager,
    /// The listening socket of a context cannot be made.
    #[error("cannot make the socket of a context: {0}")]
    Listen(#[source] io::Error),
    /// The compositor does not take connections.
    #[error("cannot connect to the socket of a context: {0}")]
    Stream(#[source] rustix::io::Errno),
}

/// The gate's own connection to the compositor, and the contexts made through it.
#[derive(Debug)]
pub struct Contexts {
    connection: Connection,
    queue: EventQueue<Events>,
    events: Events,
    manager: WpSecurityContextManagerV1,
    contexts: BTreeMap<VmName, Context>,
}

/// The context of one VM.
#[derive(Debug)]
struct Context {
    /// The unlinked socket file, as `O_PATH`.
    socket: OwnedFd,
    /// Closing it ends the context.
    _close: OwnedFd,
}

#[derive(Debug, Default)]
struct Events {
    manager: Option<WpSecurityContextManagerV1>,
    done: bool,
}

impl Contexts {
    /// Uses an inherited connection, or the one that the environment names (`WAYLAND_SOCKET`, `WAYLAND_DISPLAY`).
    ///
    /// # Errors
    /// There is no compositor, it does not answer within ten seconds, or it gives out no contexts.
    pub fn connect(inherited: Option<OwnedFd>) -> Result<Self, ContextError> {
        let connection = match inherited {
            Some(fd) => Connection::from_socket(UnixStream::from(fd))?,
            None => Connection::connect_to_env()?,
        };
        let mut queue = connection.new_event_queue();
        let handle = queue.handle();
        connection.display().get_registry(&handle, ());
        connection.display().sync(&handle, ());
        let mut events = Events::default();
        let deadline = Instant::now() + START_DEADLINE;
        while !events.done {
            wait_readable(&connection, deadline)?;
            read_events(&connection, &mut queue, &mut events)?;
        }
        let manager = events.manager.take().ok_or(ContextError::NoManager)?;
        Ok(Self { connection, queue, events, manager, contexts: BTreeMap::new() })
    }

    /// The descriptor that is readable when [`Contexts::dispatch`] has something to do.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    /// Reads what the compositor says, which is nothing while all is well.
    ///
    /// # Errors
    /// The compositor is gone, or posted an error.
    pub fn dispatch(&mut self) -> Result<(), ContextError> {
        read_events(&self.connection, &mut self.queue, &mut self.events)
    }

    /// A new connection to the compositor with the identity of `vm`. Never waits for the compositor.
    ///
    /// # Errors
    /// The context cannot be made, or the compositor is too far behind to take a connection.
    pub fn stream(&mut self, vm: &VmName) -> Result<OwnedFd, ContextError> {
        if !self.contexts.contains_key(vm) {
            let context = self.make(vm)?;
            self.contexts.insert(vm.clone(), context);
        }
        let context = self.contexts.get(vm).ok_or(ContextError::NoManager)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let stream = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(ContextError::Stream)?;
        let path = format!("/proc/self/fd/{}", context.socket.as_raw_fd());
        let address = SocketAddrUnix::new(path).map_err(ContextError::Stream)?;
        rustix::net::connect(&stream, &address).map_err(ContextError::Stream)?;
        Ok(stream)
    }

    fn make(&self, vm: &VmName) -> Result<Context, ContextError> {
        let dir = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, Into::into);
        let (listener, socket) = listen_privately(&dir).map_err(ContextError::Listen)?;
        let (theirs, ours) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|errno| ContextError::Listen(errno.into()))?;
        let handle = self.queue.handle();
        let context = self.manager.create_listener(listener.as_fd(), theirs.as_fd(), &handle, ());
        context.set_sandbox_engine(SANDBOX_ENGINE.to_owned());
        context.set_app_id(vm.to_string());
        context.set_instance_id(format!("{vm}.{}", std::process::id()));
        context.commit();
        context.destroy();
        self.connection.flush()?;
        Ok(Context { socket, _close: ours })
    }
}

/// A listening socket, and the only handle by which it can be reached: its file is gone already.
fn listen_privately(dir: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut random = [0_u8; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let private = dir.join(format!(".vitrail-gate-{:016x}", u64::from_ne_bytes(random)));
    std::fs::DirBuilder::new().mode(0o700).create(&private)?;
    let path = private.join("s");
    let result = bind_and_hold(&path);
    // Both may fail only together with the result, or if somebody else cleans up.
    let _ = std::fs::remove_file(&path);
    let _ = std::fs::remove_dir(&private);
    result
}

fn bind_and_hold(path: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&listener, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&listener, BACKLOG)?;
    let held = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
    Ok((listener, held))
}

/// Flushes, and waits until the compositor says something.
fn wait_readable(connection: &Connection, deadline: Instant) -> Result<(), ContextError> {
    connection.flush()?;
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(|_| ContextError::Silent)?;
    let fd = connection.as_fd();
    match rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&left)) {
        Ok(0) => Err(ContextError::Silent),
        // Interrupted or ready: reading tells.
        _ => Ok(()),
    }
}

fn read_events(
    connection: &Connection,
    queue: &mut EventQueue<Events>,
    events: &mut Events,
) -> Result<(), ContextError> {
    if let Some(guard) = connection.prepare_read() {
        match guard.read() {
            Ok(_) => {}
            Err(WaylandError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    queue.dispatch_pending(events)?;
    Ok(())
}

impl Dispatch<wl_registry::WlRegistry, ()> for Events {
    fn event(
        events: &mut Self,
        registry: &wl_registry::WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        handle: &QueueHandle<Self>,
    ) {
        if let wl_registry::Event::Global { name, interface, .. } = event
            && interface == "wp_security_context_manager_v1"
        {
            events.manager = Some(registry.bind(name, 1, handle, ()));
        }
    }
}

impl Dispatch<wl_callback::WlCallback, ()> for Events {
    fn event(
        events: &mut Self,
        _: &wl_callback::WlCallback,
        _: wl_callback::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        events.done = true;
    }
}

delegate_noop!(Events: ignore WpSecurityContextManagerV1);
delegate_noop!(Events: ignore WpSecurityContextV1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_listener_is_reached_by_its_holder_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let (listener, held) = listen_privately(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let stream = UnixStream::connect(format!("/proc/self/fd/{}", held.as_raw_fd())).unwrap();
        let accepted = rustix::net::accept(&listener).unwrap();
        rustix::io::write(&accepted, b"x").unwrap();
        let mut byte = [0];
        rustix::io::read(&stream, &mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
}
