//! One connection: the VM's stream and the gate's, and the two directions between them.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::Outcome;
use super::flow::{End, Flow, Progress};
use crate::hub::control::VsockEnds;
use crate::hub::poller::Poller;

/// Bytes that one direction moves before others have their turn.
const BUDGET: usize = 256 << 10;
/// What every socket is watched for. `RDHUP` is part of `IN` for our purposes: reading finds it.
const READ: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

/// Which end an event is of is in the lowest bit of its token, the serial number above it.
const GATE_BIT: u64 = 1;

/// The serial number of the stream that a token belongs to. Serial numbers begin at 1, so that no token is 0.
pub(super) fn serial_of(token: u64) -> u64 {
    token >> 1
}

/// The token of the VM's end of a stream.
pub(super) fn vm_token(serial: u64) -> u64 {
    serial << 1
}

fn gate_token(serial: u64) -> u64 {
    serial << 1 | GATE_BIT
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    vm: End,
    gate: End,
    to_gate: Flow,
    to_vm: Flow,
    /// Whether room on the VM's end and the gate's is being watched for.
    watching_room: (bool, bool),
}

impl Link {
    pub(super) fn new(vm: OwnedFd, gate: OwnedFd, vsock: VsockEnds) -> Self {
        let end = |socket, is_vsock| if is_vsock { End::vsock(socket) } else { End::new(socket) };
        Self {
            vm: end(vm, vsock.vm),
            gate: end(gate, vsock.gate),
            to_gate: Flow::new(),
            to_vm: Flow::new(),
            watching_room: (false, false),
        }
    }

    pub(super) fn watch(&self, poller: &Poller, serial: u64) -> Result<(), Errno> {
        poller.add(&self.vm.socket, vm_token(serial), READ)?;
        poller.add(&self.gate.socket, gate_token(serial), READ)
    }

    /// Takes note of what the kernel says of one end.
    pub(super) fn note(&mut self, token: u64, flags: EventFlags) {
        let end = if token & GATE_BIT == 0 { &mut self.vm } else { &mut self.gate };
        end.note(flags);
    }

    /// Moves what can be moved.
    pub(super) fn turn(&mut self, poller: &Poller, serial: u64) -> Outcome {
        let to_gate = self.to_gate.turn(&mut self.vm, &mut self.gate, BUDGET);
        let to_vm = self.to_vm.turn(&mut self.gate, &mut self.vm, BUDGET);
        if self.to_gate.is_done() && self.to_vm.is_done() {
            return Outcome::Ended;
        }
        if let Err(error) = self.watch_room(poller, serial) {
            tracing::warn!(connection = serial, %error, "a stream cannot be watched");
            return Outcome::Ended;
        }
        if to_gate == Progress::Budget || to_vm == Progress::Budget { Outcome::More } else { Outcome::Idle }
    }

    /// Bytes that reached the gate and the VM.
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.to_gate.moved(), self.to_vm.moved())
    }

    /// Watches for room exactly where it was found missing: else every read of the far side would wake us.
    fn watch_room(&mut self, poller: &Poller, serial: u64) -> Result<(), Errno> {
        let ends = [
            (&self.vm, &mut self.watching_room.0, vm_token(serial)),
            (&self.gate, &mut self.watching_room.1, gate_token(serial)),
        ];
        for (end, watching, token) in ends {
            if *watching == end.writable {
                *watching = !end.writable;
                let flags = if *watching { READ | EventFlags::OUT } else { READ };
                poller.modify(&end.socket, token, flags)?;
            }
        }
        Ok(())
    }
}
