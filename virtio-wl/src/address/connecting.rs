//! Connecting without waiting.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;

use super::hybrid::{Handshake, HandshakeError};
use super::{Address, AddressError, VsockCid, take_inherited, unix, vsock};

/// A connection that is being made. Never waits.
///
/// Call [`advance`](Self::advance) at once, and again whenever the descriptor is ready for what
/// [`wants`](Self::wants) says, until it gives the stream. How long that may take is for the caller to bound.
#[derive(Debug)]
pub struct Connecting {
    address: Address,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing is left to be done.
    Connected(OwnedFd),
    /// The kernel is connecting.
    Kernel(OwnedFd),
    /// The VMM is connecting.
    Vmm(Handshake),
}

/// What an attempt to go on gave.
#[derive(Debug)]
pub enum Progress {
    /// The connected stream, in non-blocking mode unless it was inherited.
    Connected(OwnedFd),
    /// It has to be waited for.
    Pending(Connecting),
}

impl AsFd for Connecting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.state {
            State::Connected(stream) | State::Kernel(stream) => stream.as_fd(),
            State::Vmm(handshake) => handshake.as_fd(),
        }
    }
}

impl Connecting {
    /// Begins to connect to an address.
    ///
    /// # Errors
    ///
    /// There is nothing to connect to. A Unix socket with too many callers is such an error too, a
    /// [transient](AddressError::is_transient) one: the kernel does not tell when there is room.
    pub fn start(address: &Address) -> Result<Self, AddressError> {
        Self::begin(address, None)
    }

    fn begin(address: &Address, time: Option<Duration>) -> Result<Self, AddressError> {
        let dial = |path| match unix::dial(path, time) {
            // The kernel's word for a time that is over.
            Err(Errno::WOULDBLOCK) if time.is_some() => Err(AddressError::Timeout(address.clone())),
            result => result.map_err(|error| address.connect_error(error)),
        };
        let state = match address {
            Address::Unix(path) => State::Connected(dial(path)?),
            Address::Fd(fd) => State::Connected(take_inherited(*fd)?),
            Address::Vsock { cid: VsockCid::Any, .. } => {
                return Err(AddressError::NoDestination(address.clone()));
            }
            Address::Vsock { cid: VsockCid::Is(cid), port } => {
                State::Kernel(vsock::dial(*cid, *port).map_err(|error| address.connect_error(error))?)
            }
            Address::VsockUds { path, port } => State::Vmm(Handshake::new(dial(path)?, *port)),
            Address::Wl0 { .. } => return Err(AddressError::NoStream(address.clone())),
        };
        Ok(Self { address: address.clone(), state })
    }

    /// Goes on.
    ///
    /// # Errors
    ///
    /// The other side refused, or what is there does not speak the handshake of a VMM.
    pub fn advance(mut self) -> Result<Progress, AddressError> {
        match self.state {
            State::Connected(stream) => Ok(Progress::Connected(stream)),
            State::Kernel(stream) => {
                let mut fds = [PollFd::new(&stream, PollFlags::OUT)];
                let now = Timespec { tv_sec: 0, tv_nsec: 0 };
                let ready = poll(&mut fds, Some(&now)).map_err(|error| self.address.connect_error(error))?;
                if ready == 0 {
                    self.state = State::Kernel(stream);
                    return Ok(Progress::Pending(self));
                }
                match socket_error(&stream) {
                    Ok(Ok(())) => Ok(Progress::Connected(stream)),
                    Ok(Err(error)) | Err(error) => Err(self.address.connect_error(error)),
                }
            }
            State::Vmm(mut handshake) => match handshake.advance() {
                Ok(true) => Ok(Progress::Connected(handshake.into_stream())),
                Ok(false) => {
                    self.state = State::Vmm(handshake);
                    Ok(Progress::Pending(self))
                }
                Err(HandshakeError::Closed) => Err(AddressError::Closed(self.address)),
                Err(HandshakeError::Answer(answer)) => {
                    let answer = answer.trim_ascii_end().escape_ascii().to_string();
                    Err(AddressError::Answer { address: self.address, answer })
                }
                Err(HandshakeError::Stream(error)) => Err(self.address.connect_error(error)),
            },
        }
    }

    /// What the descriptor has to be ready for before [`advance`](Self::advance) can do more.
    #[must_use]
    pub fn wants(&self) -> PollFlags {
        match &self.state {
            State::Vmm(handshake) if !handshake.is_sending() => PollFlags::IN,
            _ => PollFlags::OUT,
        }
    }

    /// Connects within a time, waiting.
    pub(super) fn finish(address: &Address, time: Duration) -> Result<OwnedFd, AddressError> {
        let deadline = Instant::now() + time;
        let mut connecting = Self::begin(address, Some(time))?;
        loop {
            connecting = match connecting.advance()? {
                Progress::Pending(connecting) => connecting,
                Progress::Connected(stream) => {
                    // An inherited descriptor is as its giver wants it to be.
                    if !matches!(address, Address::Fd(_)) {
                        rustix::io::ioctl_fionbio(&stream, false)
                            .map_err(|error| address.connect_error(error))?;
                    }
                    return Ok(stream);
                }
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(AddressError::Timeout(address.clone()));
            }
            // A time too long for the kernel is as good as none.
            let left = Timespec::try_from(left).ok();
            let mut fds = [PollFd::new(&connecting, connecting.wants())];
            match poll(&mut fds, left.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(address.connect_error(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_vm_behind_its_vmm_is_reached_by_the_handshake() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("vm");
        let vmm = UnixListener::bind(&path).expect("bound");
        let address = Address::VsockUds { path, port: 77 };
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = vmm.accept().expect("a caller");
                let mut request = [0; 11];
                stream.read_exact(&mut request).expect("request");
                assert_eq!(&request, b"CONNECT 77\n");
                stream.write_all(b"OK 1\nhello").expect("answered");
            });
            let mut bytes = [0; 5];
            let stream = address.connect().expect("connected");
            std::fs::File::from(stream).read_exact(&mut bytes).expect("blocking mode");
            assert_eq!(&bytes, b"hello");
        });
    }

    #[test]
    fn errors_name_the_address_and_what_to_look_at() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("vm");
        let address = Address::VsockUds { path: path.clone(), port: 77 };
        let error = address.connect().expect_err("nothing there");
        assert!(matches!(error, AddressError::Connect { .. }) && error.is_transient(), "{error}");

        let vmm = UnixListener::bind(&path).expect("bound");
        thread::scope(|scope| {
            scope.spawn(|| {
                drop(vmm.accept().expect("a caller"));
                vmm.accept().expect("a caller").0.write_all(b"SSH-2.0 \x1b[31m\r\n").expect("written");
            });
            let error = address.connect().expect_err("closed");
            assert!(error.to_string().contains("listen on that port") && error.is_transient(), "{error}");
            let error = address.connect().expect_err("no VMM");
            assert!(error.to_string().contains("received `SSH-2.0 \\x1b[31m`"), "{error}");
            assert!(!error.is_transient());
        });
    }

    #[test]
    fn a_vmm_that_does_not_answer_is_given_up_in_time() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("vm");
        let _vmm = UnixListener::bind(&path).expect("bound");
        let address = Address::VsockUds { path, port: 77 };
        let error = address.connect_within(Duration::from_millis(20)).expect_err("no answer");
        assert!(matches!(error, AddressError::Timeout(_)) && error.is_transient(), "{error}");
    }

    #[test]
    fn a_listener_with_too_many_callers_is_waited_for_in_time() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).expect("bound");
        rustix::net::listen(&listener, 0).expect("a short queue");
        let address = Address::Unix(path);
        let mut callers = Vec::new();
        let error = loop {
            match Connecting::start(&address) {
                Ok(caller) => callers.push(caller),
                Err(error) => break error,
            }
            assert!(callers.len() < 4096, "the queue is not bounded");
        };
        assert!(error.is_transient(), "{error}");
        let error = address.connect_within(Duration::from_millis(20)).expect_err("no room");
        assert!(matches!(error, AddressError::Timeout(_)), "{error}");
        thread::scope(|scope| {
            let caller = scope.spawn(|| address.connect());
            while !caller.is_finished() {
                listener.accept().expect("a caller");
                thread::yield_now();
                if callers.pop().is_none() {
                    break;
                }
            }
            let stream = caller.join().expect("no panic").expect("connected when there was room");
            let flags = rustix::fs::fcntl_getfl(&stream).expect("flags");
            assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        });
    }
}
