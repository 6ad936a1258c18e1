//! A trim stream: the VM names pages of its region that it does not use, and the host takes them back.
//!
//! This is the one thing that the relay reads. A record is 16 bytes, is checked against the length that the hub was
//! configured with, and names whole pages behind the header; anything else ends the stream. Each record is answered
//! once its pages are gone, and no record is read while an answer is waiting to be sent, so that what is held is one
//! batch.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::SendFlags;
use virtio_wl::trim::{RECORD_LEN, TrimError, TrimRecord};

use super::Outcome;
use super::flow::End;
use super::link::vm_token;
use super::memory::SharedMemory;
use crate::hub::poller::Poller;

/// Records served in one turn.
const BATCH: usize = 64;
const READ: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

/// Why a trim stream is ended by this side.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrimFailure {
    #[error("{0}")]
    Record(#[from] TrimError),
    #[error("the kernel does not take the pages back: {0}")]
    Punch(Errno),
    #[error("the VM has no region")]
    NoRegion,
    #[error("the stream failed: {0}")]
    Stream(Errno),
}

/// One trim stream.
#[derive(Debug)]
pub(super) struct TrimStream {
    vm: End,
    /// Bytes of records, less than one record between turns.
    input: Vec<u8>,
    /// Answers that are not sent yet.
    output: Vec<u8>,
    watching_room: bool,
    discarded: u64,
}

impl TrimStream {
    pub(super) fn new(vm: OwnedFd) -> Self {
        Self { vm: End::new(vm), input: Vec::new(), output: Vec::new(), watching_room: false, discarded: 0 }
    }

    pub(super) fn watch(&self, poller: &Poller, serial: u64) -> Result<(), Errno> {
        poller.add(&self.vm.socket, vm_token(serial), READ)
    }

    /// Bytes given back to the host.
    pub(super) fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Takes note of what the kernel says of the stream.
    pub(super) fn note(&mut self, flags: EventFlags) {
        self.vm.note(flags);
    }

    /// Serves one batch of records.
    pub(super) fn turn(
        &mut self,
        poller: &Poller,
        serial: u64,
        region: Option<&SharedMemory>,
    ) -> Result<Outcome, TrimFailure> {
        let outcome = self.serve(region)?;
        self.watch_room(poller, serial).map_err(TrimFailure::Stream)?;
        Ok(outcome)
    }

    fn serve(&mut self, region: Option<&SharedMemory>) -> Result<Outcome, TrimFailure> {
        self.send()?;
        if !self.output.is_empty() || !self.vm.readable {
            return Ok(Outcome::Idle);
        }
        let mut bytes = [0; BATCH * RECORD_LEN];
        let wanted = bytes.len().saturating_sub(self.input.len());
        let count = match rustix::io::read(&self.vm.socket, bytes.get_mut(..wanted).unwrap_or_default()) {
            Ok(0) => return Ok(Outcome::Ended),
            Ok(count) => count,
            Err(Errno::WOULDBLOCK) => {
                self.vm.readable = false;
                return Ok(Outcome::Idle);
            }
            Err(Errno::INTR) => 0,
            Err(error) => return Err(TrimFailure::Stream(error)),
        };
        self.input.extend_from_slice(bytes.get(..count).unwrap_or_default());
        let (records, rest) = self.input.as_chunks::<RECORD_LEN>();
        for record in records {
            let record = TrimRecord::decode(*record);
            let region = region.ok_or(TrimFailure::NoRegion)?;
            record.check(region.len())?;
            region.discard(record.offset, record.len).map_err(TrimFailure::Punch)?;
            self.output.extend_from_slice(&record.encode());
            self.discarded = self.discarded.saturating_add(record.len);
        }
        self.input = rest.to_vec();
        self.send()?;
        Ok(if self.output.is_empty() { Outcome::More } else { Outcome::Idle })
    }

    fn send(&mut self) -> Result<(), TrimFailure> {
        while !self.output.is_empty() && self.vm.writable {
            match rustix::net::send(&self.vm.socket, &self.output, SendFlags::NOSIGNAL) {
                Ok(count) => drop(self.output.drain(..count.min(self.output.len()))),
                Err(Errno::WOULDBLOCK) => self.vm.writable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Err(TrimFailure::Stream(error)),
            }
        }
        Ok(())
    }

    fn watch_room(&mut self, poller: &Poller, serial: u64) -> Result<(), Errno> {
        if self.watching_room == self.vm.writable {
            self.watching_room = !self.vm.writable;
            let flags = if self.watching_room { READ | EventFlags::OUT } else { READ };
            poller.modify(&self.vm.socket, vm_token(serial), flags)?;
        }
        Ok(())
    }
}
