//! The backend of [`Socket`](crate::Socket) over a context of the device.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::bridge::{Bridge, Bridges};
use super::incoming::{Incoming, KEEP};
use super::ioctl::{MAX_FDS, MAX_RECV, Transfer};
use super::send::LocalMirror;
use super::{Device, set_nonblocking};
use crate::pipe::PipeEnd;
use crate::poll::{Interest, Poll};
use crate::region::{Backing, MAX_LEN};
use crate::socket::{Readiness, SocketError, SocketOptions, StreamLimits, Violation};
use crate::vfd::{FileId, ReceivedFd, ReceivedKind};

/// Token of the context in the poll set. Bridges use those from 2 on.
const CONTEXT: u64 = 0;

/// Messages received in one dispatch; the rest waits for the next one, so that one busy socket does not starve the
/// others of a thread. Whoever takes what came before the next dispatch needs no more memory than [`Incoming`] keeps.
const DISPATCH_MESSAGES: usize = KEEP / MAX_RECV;

/// What the device's memory consists of, in bytes.
const PAGE: u64 = 4096;

/// A socket over a context of the device. See the module.
#[derive(Debug)]
pub(crate) struct DeviceSocket {
    device: Device,
    /// `None` once both directions have ended.
    pub(super) context: Option<OwnedFd>,
    poll: Poll,
    options: SocketOptions,
    pub(super) transfer: Box<Transfer>,
    incoming: Incoming,
    /// The VFDs of one receive; empty in between.
    received: Vec<OwnedFd>,
    bridges: Bridges,
    pub(super) mirrors: BTreeMap<FileId, LocalMirror>,
    write_blocked: bool,
    write_ended: bool,
    failed: Option<SocketError>,
}

impl AsFd for DeviceSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

impl DeviceSocket {
    /// A socket over a new context.
    pub(super) fn new(device: Device, context: OwnedFd, options: SocketOptions) -> Result<Self, Errno> {
        let mut poll = Poll::new()?;
        poll.set(CONTEXT, context.as_fd(), Interest { read: true, ..Interest::NONE })?;
        Ok(Self {
            device,
            context: Some(context),
            poll,
            transfer: Transfer::new(),
            incoming: Incoming::new(options.limits.data_window),
            received: Vec::new(),
            bridges: Bridges::new(),
            mirrors: BTreeMap::new(),
            write_blocked: false,
            write_ended: false,
            failed: None,
            options,
        })
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn limits(&self) -> &StreamLimits {
        &self.options.limits
    }

    pub(super) fn write_ended(&self) -> bool {
        self.write_ended
    }

    pub(super) fn check(&self) -> Result<(), SocketError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// See [`Socket::recvmsg`](crate::Socket::recvmsg).
    pub(crate) fn recvmsg(
        &mut self,
        into: &mut [u8],
        fds: &mut Vec<ReceivedFd>,
    ) -> Result<usize, SocketError> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.incoming.has_data() {
            let len = self.incoming.take(into, fds);
            if self.failed.is_none() {
                // There may be room again. The data is here already: an error is reported by the next call.
                let _ = self.update_interest();
            }
            return Ok(len);
        }
        if self.incoming.is_ended() || self.incoming.discards() {
            return Ok(0);
        }
        if self.failed.is_some() {
            self.poll.stop_alarm();
        }
        Err(self.failed.clone().unwrap_or(SocketError::WouldBlock))
    }

    /// See [`Socket::dispatch`](crate::Socket::dispatch).
    pub(crate) fn dispatch(&mut self) -> Result<(), SocketError> {
        let result = self.check().and_then(|()| {
            let result = self.dispatch_ready();
            self.record(result)
        });
        if result.is_err() {
            // Whoever dispatches looks at the result.
            self.poll.stop_alarm();
        }
        result
    }

    fn dispatch_ready(&mut self) -> Result<(), SocketError> {
        self.poll.collect().map_err(SocketError::Poll)?;
        while let Some(event) = self.poll.next_event() {
            if event.token == CONTEXT {
                // There is room, or sending will find out why there never will be.
                self.write_blocked = false;
                self.read_context()?;
            } else {
                let Self { bridges, poll, transfer, .. } = self;
                bridges.event(event.token, event.hang_up, poll, transfer).map_err(SocketError::Poll)?;
            }
        }
        self.update_interest()
    }

    /// See [`Socket::flush`](crate::Socket::flush). Nothing is ever queued.
    pub(crate) fn flush(&self) -> Result<(), SocketError> {
        self.check()
    }

    /// See [`Socket::shutdown_write`](crate::Socket::shutdown_write), and the module for when the host learns of it.
    pub(crate) fn shutdown_write(&mut self) {
        self.write_ended = true;
        self.close_if_done();
    }

    /// See [`Socket::shutdown_read`](crate::Socket::shutdown_read). What comes is received and dropped, as it would stand in
    /// the way of other connections otherwise; the host learns of it when this side's data has ended too.
    pub(crate) fn shutdown_read(&mut self) {
        self.incoming.discard();
        self.close_if_done();
    }

    /// Whether the host has what is in the region of the options.
    pub(crate) fn shares_region(&self) -> Option<bool> {
        Some(self.options.region.as_ref().is_some_and(|region| region.backing() == Backing::VirtioWl))
    }

    /// See [`Socket::readiness`](crate::Socket::readiness).
    pub(crate) fn readiness(&self) -> Readiness {
        let (error, end) = (self.failed.is_some(), self.incoming.is_ended());
        Readiness {
            read: self.incoming.has_data() || end || self.incoming.discards() || error,
            write: !self.write_blocked || self.write_ended || error,
            end,
            hang_up: end && self.write_ended || error,
            error,
        }
    }

    /// Pipes that have not ended.
    pub(crate) fn pipes_open(&self) -> usize {
        self.bridges.len()
    }

    /// See [`Socket::is_finished`](crate::Socket::is_finished).
    pub(crate) fn is_finished(&self) -> bool {
        // What a failure has ended did not end in order.
        self.failed.is_none() && self.context.is_none() && self.bridges.len() == 0
    }

    /// Closes the context as soon as nothing can be sent or received any more.
    fn close_if_done(&mut self) {
        if !(self.write_ended && (self.incoming.is_ended() || self.incoming.discards())) {
            return;
        }
        if let Some(context) = self.context.take() {
            // What is closed now is not waited for any more in any case.
            let _ = self.poll.set(CONTEXT, context.as_fd(), Interest::NONE);
            self.incoming.end();
            self.mirrors.clear();
        }
    }

    /// Sending has to wait for room.
    pub(super) fn block(&mut self) -> SocketError {
        self.write_blocked = true;
        match self.update_interest() {
            Ok(()) => SocketError::WouldBlock,
            Err(error) => {
                let _ = self.record(Err(error.clone()));
                error
            }
        }
    }

    /// What an error of SEND means. The VMM answers `ENODEV` if the host's socket does not take anything more, and `EINVAL`
    /// or `ENOENT` if it has closed it already. What the host sent before can still be received.
    pub(super) fn send_failed(&mut self, error: Errno) -> SocketError {
        match error {
            Errno::NODEV | Errno::INVAL | Errno::NOENT | Errno::PIPE | Errno::CONNRESET => {
                self.shutdown_write();
                SocketError::BrokenPipe
            }
            error => {
                let error = SocketError::Write(error);
                let _ = self.record(Err(error.clone()));
                error
            }
        }
    }

    pub(super) fn add_bridge(&mut self, bridge: Bridge) -> Result<(), SocketError> {
        let result = self.bridges.add(bridge, &mut self.poll).map_err(SocketError::Poll);
        self.record(result)
    }

    /// Releases everything but the received data after an error.
    fn record(&mut self, result: Result<(), SocketError>) -> Result<(), SocketError> {
        let Err(error) = result else { return Ok(()) };
        self.failed = Some(error.clone());
        self.incoming.drop_unsettled();
        self.bridges.clear(&mut self.poll);
        self.mirrors.clear();
        if let Some(context) = self.context.take() {
            // What is closed now is not waited for any more in any case.
            let _ = self.poll.set(CONTEXT, context.as_fd(), Interest::NONE);
        }
        self.poll.raise_alarm();
        Err(error)
    }

    fn read_context(&mut self) -> Result<(), SocketError> {
        let mut received = std::mem::take(&mut self.received);
        let result = self.receive_all(&mut received);
        // What an error has left is closed.
        received.clear();
        self.received = received;
        result
    }

    fn receive_all(&mut self, received: &mut Vec<OwnedFd>) -> Result<(), SocketError> {
        for _ in 0..DISPATCH_MESSAGES {
            if self.incoming.is_full() {
                break;
            }
            let Some(context) = &self.context else { break };
            match self.transfer.recv(context.as_fd(), received) {
                Ok(0) if received.is_empty() => {
                    self.incoming.end();
                    // The host has closed its socket, so that nothing can be sent either.
                    self.shutdown_write();
                }
                Ok(len) => self.receive(len, received)?,
                Err(Errno::AGAIN) => {
                    self.incoming.settle();
                    break;
                }
                Err(error) => return Err(SocketError::Read(error)),
            }
        }
        Ok(())
    }

    fn receive(&mut self, len: usize, received: &mut Vec<OwnedFd>) -> Result<(), SocketError> {
        let complete = received.len() < MAX_FDS;
        for vfd in received.drain(..) {
            // What nobody wants is closed, not bridged.
            if !self.incoming.discards() {
                let fd = self.receive_vfd(vfd)?;
                self.incoming.add_fd(fd)?;
            }
        }
        self.incoming.add(self.transfer.content(len), complete);
        Ok(())
    }

    /// Makes of a VFD what a program can use.
    fn receive_vfd(&mut self, vfd: OwnedFd) -> Result<ReceivedFd, SocketError> {
        let make = |source| SocketError::Make { what: "VFD of the host usable", source };
        if let Some(len) = memory_len(&vfd) {
            return Ok(ReceivedFd { fd: vfd, kind: ReceivedKind::Mirror { len } });
        }
        let limit = self.options.limits.max_pipes;
        if self.bridges.len() >= usize::from(limit) {
            return Err(Violation::Limit { what: "pipes", limit: limit.into() }.into());
        }
        let access = rustix::fs::fcntl_getfl(&vfd).map_err(make)? & OFlags::RWMODE;
        set_nonblocking(&vfd).map_err(make)?;
        match access {
            OFlags::RDONLY => self.receive_pipe(vfd, false, ReceivedKind::PipeRead),
            OFlags::WRONLY => self.receive_pipe(vfd, true, ReceivedKind::PipeWrite),
            _ if self.options.take_sockets => self.receive_socket(vfd),
            _ => Err(make(Errno::OPNOTSUPP)),
        }
    }

    fn receive_pipe(
        &mut self,
        vfd: OwnedFd,
        to_host: bool,
        kind: ReceivedKind,
    ) -> Result<ReceivedFd, SocketError> {
        let (local, fd) =
            PipeEnd::create(!to_host).map_err(|source| SocketError::Make { what: "pipe", source })?;
        self.add_bridge(Bridge::new(vfd, local, to_host))?;
        Ok(ReceivedFd { fd, kind })
    }

    /// Both directions have a descriptor of the VFD each. The host's socket is closed with the second of them.
    fn receive_socket(&mut self, vfd: OwnedFd) -> Result<ReceivedFd, SocketError> {
        let make = |source| SocketError::Make { what: "socket", source };
        let second = rustix::io::fcntl_dupfd_cloexec(&vfd, 3).map_err(make)?;
        let ((read, write), fd) = PipeEnd::create_socket().map_err(make)?;
        self.add_bridge(Bridge::new(vfd, read, true))?;
        self.add_bridge(Bridge::new(second, write, false))?;
        Ok(ReceivedFd { fd, kind: ReceivedKind::Socket })
    }

    fn update_interest(&mut self) -> Result<(), SocketError> {
        let Some(context) = &self.context else { return Ok(()) };
        let interest =
            Interest { read: !self.incoming.is_full(), write: self.write_blocked, ..Interest::NONE };
        self.poll.set(CONTEXT, context.as_fd(), interest).map_err(SocketError::Poll)
    }
}

/// How much memory a VFD is, in bytes; `None` if it is something else. The driver tells by what it agrees to map, and in no
/// other way.
fn memory_len(vfd: &OwnedFd) -> Option<u64> {
    let most = MAX_LEN / PAGE;
    let (mut fits, mut too_many) = (1, 2);
    if !can_map(vfd, fits) {
        return None;
    }
    while too_many <= most && can_map(vfd, too_many) {
        fits = too_many;
        too_many *= 2;
    }
    too_many = too_many.min(most.saturating_add(1));
    while too_many - fits > 1 {
        let middle = fits.midpoint(too_many);
        if can_map(vfd, middle) {
            fits = middle;
        } else {
            too_many = middle;
        }
    }
    Some(fits * PAGE)
}

/// Whether the first `pages` pages of a VFD can be mapped.
fn can_map(vfd: &OwnedFd, pages: u64) -> bool {
    let Some(len) = pages.checked_mul(PAGE).and_then(|len| usize::try_from(len).ok()) else { return false };
    // SAFETY: the kernel chooses the address, so the new mapping replaces no other. Nothing can be accessed through it.
    let mapping =
        unsafe { rustix::mm::mmap(ptr::null_mut(), len, ProtFlags::empty(), MapFlags::SHARED, vfd, 0) };
    let Ok(base) = mapping else { return false };
    // SAFETY: the mapping was made just now with this length, and nobody else knows of it.
    let _ = unsafe { rustix::mm::munmap(base, len) };
    true
}
