//! One side of a connection: the pump between its endpoint and the state.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use virtio_wl::pump::{PumpError, ReadOn, Turn};
use virtio_wl::{Endpoint, Pump, PumpOptions, Registration};

use super::ConnectionError;
use super::readiness::ReadySide;

/// One side of the state: the pump, and the state's end of the socket pair between them.
pub(super) struct Side {
    /// None once all is delivered, or nothing can be.
    pub(super) pump: Option<Pump>,
    pub(super) local: Rc<OwnedFd>,
    /// The endpoint is not fed to the state.
    paused: bool,
    /// The last turn used up its budget, or something changed that no event announces.
    more: bool,
}

/// What became of a side that is drained.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drained {
    /// There is more to do at once.
    pub(super) more: bool,
    /// Something has left.
    pub(super) moved: bool,
}

impl Side {
    /// `registration` is where the pump is waited for.
    pub(super) fn new(endpoint: Endpoint, registration: &Registration) -> Result<Self, ConnectionError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (local, remote) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(ConnectionError::SocketPair)?;
        // The state takes it for a hang-up if it cannot send, and would not read what came before.
        let options = PumpOptions { drop_untaken: true, ..PumpOptions::default() };
        let mut pump = Pump::new(remote, endpoint, &options).map_err(ConnectionError::Pump)?;
        pump.register(registration).map_err(ConnectionError::Pump)?;
        Ok(Self { pump: Some(pump), local: Rc::new(local), paused: false, more: true })
    }

    /// Does what can be done, if there is something to do.
    pub(super) fn turn(&mut self, ready: ReadySide) -> Result<Turn, PumpError> {
        match &mut self.pump {
            Some(pump) if ready.local || ready.endpoint || self.more => {
                // After a whole budget there may be more of either.
                let turn = if ready.local || self.more { pump.turn()? } else { pump.turn_to_local()? };
                self.more = turn.more;
                Ok(turn)
            }
            _ => Ok(Turn::default()),
        }
    }

    /// Takes what the state has sent to the endpoint.
    pub(super) fn turn_out(&mut self) -> Result<Turn, PumpError> {
        let Some(pump) = &mut self.pump else { return Ok(Turn::default()) };
        let turn = pump.turn_from_local()?;
        self.more |= turn.more;
        Ok(turn)
    }

    /// Takes what the state has sent though the endpoint takes nothing, as long as less than `max_bytes` are held.
    pub(super) fn hold(&mut self, max_bytes: usize) -> ReadOn {
        let nothing = ReadOn { bytes: 0, all: true };
        // A failure shows in the next turn.
        self.pump.as_mut().map_or(nothing, |pump| pump.hold_from_local(max_bytes).unwrap_or(nothing))
    }

    /// Gives the state more of what the endpoint sent before it failed, if it holds more.
    pub(super) fn pass_on(&mut self) {
        if let Some(pump) = &mut self.pump {
            // It fails again.
            let _ = pump.turn_to_local();
        }
    }

    /// Bytes that the state has not read yet.
    pub(super) fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(&*self.local).unwrap_or(0)
    }

    /// Stops feeding the state, or goes on with it. True: a turn can do more than before.
    pub(super) fn pause(&mut self, paused: bool) -> bool {
        let resumed = std::mem::replace(&mut self.paused, paused) && !paused;
        self.more |= resumed;
        if let Some(pump) = &mut self.pump {
            pump.pause_to_local(paused);
        }
        resumed
    }

    /// True where bytes from the state wait for the endpoint.
    pub(super) fn is_blocked(&self) -> bool {
        self.pump.as_ref().is_some_and(Pump::blocked_to_endpoint)
    }

    /// True where the endpoint has ended and all that it sent is with the state.
    pub(super) fn has_ended(&self) -> bool {
        self.pump.as_ref().is_none_or(Pump::ended_to_local)
    }

    /// What remains between the state's last byte and the end.
    pub(super) fn drain(&mut self) -> Drained {
        let Some(pump) = &mut self.pump else { return Drained::default() };
        let before = pump.socket_mut().map(|socket| socket.delivered_bytes());
        let result = pump.turn();
        let moved = match (before, pump.socket_mut().map(|socket| socket.delivered_bytes())) {
            (Some(before), Some(after)) => after > before,
            _ => result.as_ref().is_ok_and(|turn| turn.from_local > 0),
        };
        let delivered = match pump.endpoint_mut() {
            // What the kernel has taken arrives even if the socket is closed.
            Endpoint::Unix(_) => pump.ended_from_local(),
            // The other side has to say that it has everything, pipes included.
            Endpoint::Virtio(_) => pump.finished(),
        };
        if result.is_err() || delivered {
            self.pump = None;
        }
        Drained { more: result.is_ok_and(|turn| turn.more), moved }
    }
}
