//! Pipes across the device. A pipe VFD is no pipe for programs of the guest: it has to be read and written with the ioctls,
//! so each is bridged with an end of a real pipe. A socket that the host sends is bridged like two pipes.
//!
//! What is read from one side and not taken by the other is at most one transfer per pipe; while there is some, nothing more is
//! read. The end of one side is passed on by closing the other: the reader sees the end of file, or the writer a broken pipe.
//! Of a host's reader that has gone away crosvm does not tell before something is written to it.
//!
//! Waiting: of each bridge either one side's input is waited for, or the other side's room, and otherwise only for the
//! reader's going away. Each of these events makes the bridge move or end, so that none is reported for ever.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::Shutdown;

use super::ioctl::Transfer;
use crate::pipe::PipeEnd;
use crate::poll::{Interest, Poll};

/// Transfers of one pipe in one turn; the rest waits for the next, so that one busy pipe does not starve the others.
const TURN: usize = 16;

/// What became of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It waits for something.
    Waits,
    /// One of its sides has ended.
    Ended,
}

/// A pipe VFD and the end of the local pipe that belongs to it.
#[derive(Debug)]
pub(super) struct Bridge {
    vfd: OwnedFd,
    local: PipeEnd,
    /// The local end is read and the VFD written.
    to_host: bool,
    /// What was read and not written, from `held_from` on.
    held: Vec<u8>,
    held_from: usize,
}

impl Bridge {
    pub(super) fn new(vfd: OwnedFd, local: PipeEnd, to_host: bool) -> Self {
        Self { vfd, local, to_host, held: Vec::new(), held_from: 0 }
    }

    pub(super) fn vfd(&self) -> &OwnedFd {
        &self.vfd
    }

    fn held(&self) -> &[u8] {
        self.held.get(self.held_from..).unwrap_or_default()
    }

    fn turn(&mut self, transfer: &mut Transfer) -> Turn {
        let step = if self.to_host { Self::step_to_host } else { Self::step_from_host };
        for _ in 0..TURN {
            match step(self, transfer) {
                Ok(true) => {}
                Ok(false) => return Turn::Ended,
                Err(Errno::AGAIN | Errno::BUSY) => return Turn::Waits,
                // Whatever is wrong with one side is an end for the other.
                Err(_) => return Turn::Ended,
            }
        }
        Turn::Waits
    }

    /// Moves one transfer. False at the end.
    fn step_to_host(&mut self, transfer: &mut Transfer) -> Result<bool, Errno> {
        if self.held().is_empty() {
            let space = transfer.space();
            let len = self.local.read(space)?;
            if len == 0 {
                return Ok(false);
            }
            let sent = transfer.send_filled(self.vfd.as_fd(), len, &[]);
            if sent.is_err() {
                self.hold(transfer.content(len));
            }
            return sent.map(|()| true);
        }
        let sent =
            transfer.send(self.vfd.as_fd(), self.held.get(self.held_from..).unwrap_or_default(), &[])?;
        self.held_from = self.held_from.saturating_add(sent);
        Ok(true)
    }

    fn step_from_host(&mut self, transfer: &mut Transfer) -> Result<bool, Errno> {
        if self.held().is_empty() {
            // Pipes carry no descriptors.
            let mut fds = Vec::new();
            let len = transfer.recv(self.vfd.as_fd(), &mut fds)?;
            if len == 0 {
                return Ok(!fds.is_empty());
            }
            self.hold(transfer.content(len));
        }
        let written = self.local.write(self.held())?;
        self.held_from = self.held_from.saturating_add(written);
        Ok(true)
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held.clear();
        self.held.extend_from_slice(bytes);
        self.held_from = 0;
    }

    /// What to wait for: on the local end, and on the VFD.
    fn interests(&self) -> (Interest, Interest) {
        let read = Interest { read: true, ..Interest::NONE };
        let write = Interest { write: true, ..Interest::NONE };
        let hang_up = Interest { hang_up: true, ..Interest::NONE };
        match (self.to_host, self.held().is_empty()) {
            (true, true) => (read, hang_up),
            (true, false) => (Interest::NONE, write),
            (false, true) => (hang_up, read),
            (false, false) => (write, Interest::NONE),
        }
    }
}

/// All bridges of a socket.
#[derive(Debug)]
pub(super) struct Bridges {
    table: BTreeMap<u64, Bridge>,
    next: u64,
}

/// Tokens in the poll set, of which 0 is not used.
const fn local_token(id: u64) -> u64 {
    2 * id
}

const fn vfd_token(id: u64) -> u64 {
    2 * id + 1
}

impl Bridges {
    pub(super) fn new() -> Self {
        Self { table: BTreeMap::new(), next: 1 }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Begins to move what goes through a pipe.
    pub(super) fn add(&mut self, bridge: Bridge, poll: &mut Poll) -> Result<(), Errno> {
        let id = self.next;
        // At a billion pipes per second these last for centuries.
        self.next = self.next.saturating_add(1);
        wait(id, &bridge, poll)?;
        self.table.insert(id, bridge);
        Ok(())
    }

    /// One of the descriptors of a bridge is ready, or has hung up.
    pub(super) fn event(
        &mut self,
        token: u64,
        hang_up: bool,
        poll: &mut Poll,
        transfer: &mut Transfer,
    ) -> Result<(), Errno> {
        let id = token / 2;
        // An event for a bridge that an earlier event of the same batch has ended.
        let Some(bridge) = self.table.get_mut(&id) else { return Ok(()) };
        let writer_token = if bridge.to_host { vfd_token(id) } else { local_token(id) };
        let reader_gone = hang_up && token == writer_token;
        if !reader_gone && bridge.turn(transfer) == Turn::Waits {
            return wait(id, bridge, poll);
        }
        match self.table.remove(&id) {
            Some(bridge) => end(id, &bridge, poll),
            None => Ok(()),
        }
    }

    /// Ends all of them.
    pub(super) fn clear(&mut self, poll: &mut Poll) {
        for (id, bridge) in std::mem::take(&mut self.table) {
            // What is closed now is not waited for any more in any case.
            let _ = end(id, &bridge, poll);
        }
    }
}

fn wait(id: u64, bridge: &Bridge, poll: &mut Poll) -> Result<(), Errno> {
    let (local, vfd) = bridge.interests();
    poll.set(local_token(id), bridge.local.as_fd(), local)?;
    poll.set(vfd_token(id), bridge.vfd.as_fd(), vfd)
}

/// Closing a socket's descriptor is not enough where the other direction has one too.
fn end(id: u64, bridge: &Bridge, poll: &mut Poll) -> Result<(), Errno> {
    bridge.local.hang_up(if bridge.to_host { Shutdown::Read } else { Shutdown::Write });
    poll.set(local_token(id), bridge.local.as_fd(), Interest::NONE)?;
    poll.set(vfd_token(id), bridge.vfd.as_fd(), Interest::NONE)
}
