//! Sending: what becomes of local descriptors, all of a message or nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::bridge::Bridge;
use super::ioctl::{MAX_FDS, MAX_SEND, New, is_vfd};
use super::socket::DeviceSocket;
use crate::pipe::PipeEnd;
use crate::region::{Backing, Region, RegionError};
use crate::socket::SocketError;
use crate::vfd::{FileId, LocalKind, VfdError, classify, is_anonymous};
use crate::wire::MirrorRect;

/// Bytes sent by one call; as every part of them is a round trip to the VMM.
const CALL_BYTES: usize = 16 * MAX_SEND;

/// Memory of the device that the host has in place of a file of this VM. The descriptor keeps the identity of the file
/// from being used again meanwhile.
#[derive(Debug)]
pub(super) struct LocalMirror {
    memory: Region,
    len: u64,
    _file: OwnedFd,
}

/// What is sent in place of a descriptor.
#[derive(Debug)]
enum Prepared<'a> {
    /// Itself: a VFD.
    Vfd(BorrowedFd<'a>),
    /// Itself, if the driver agrees.
    Foreign(BorrowedFd<'a>),
    /// A copy of memory.
    Blob(Region),
    /// The mirror of this file.
    Mirror(FileId),
    /// A pipe.
    Pipe(Bridge),
}

/// What the descriptors of one message take of the limits.
#[derive(Debug, Default)]
struct Taken {
    pipes: usize,
    blob_bytes: u64,
}

/// Why a descriptor was not prepared.
enum Refusal {
    /// The queue of the device is full.
    WouldBlock,
    /// It cannot cross.
    Vfd(VfdError),
}

impl From<VfdError> for Refusal {
    fn from(error: VfdError) -> Self {
        Self::Vfd(error)
    }
}

impl Refusal {
    fn device(what: &'static str) -> impl Fn(Errno) -> Self {
        move |source| match source {
            Errno::AGAIN | Errno::BUSY => Self::WouldBlock,
            source => Self::Vfd(VfdError::Device { what, source }),
        }
    }
}

impl DeviceSocket {
    /// See [`Socket::sendmsg`](crate::Socket::sendmsg).
    pub(crate) fn sendmsg(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, SocketError> {
        self.check()?;
        if fds.len() > MAX_FDS {
            return Err(SocketError::TooManyFds(fds.len()));
        }
        if bytes.is_empty() {
            let error = SocketError::Invalid("descriptors without a byte that they belong to");
            return if fds.is_empty() { Ok(0) } else { Err(error) };
        }
        if self.write_ended() {
            return Err(SocketError::BrokenPipe);
        }
        let prepared = match self.prepare(fds) {
            Ok(prepared) => prepared,
            Err(Refusal::Vfd(error)) => return Err(error.into()),
            Err(Refusal::WouldBlock) => return Err(self.block()),
        };
        let sent = self.send_first(bytes, &prepared)?;
        for one in prepared {
            if let Prepared::Pipe(bridge) = one {
                self.add_bridge(bridge)?;
            }
        }
        Ok(self.send_rest(bytes, sent))
    }

    /// Sends the first part of a message, with the descriptors.
    fn send_first(&mut self, bytes: &[u8], prepared: &[Prepared<'_>]) -> Result<usize, SocketError> {
        let Self { context, transfer, mirrors, .. } = self;
        let Some(context) = context else { return Err(SocketError::BrokenPipe) };
        let mut vfds: Vec<BorrowedFd<'_>> = Vec::with_capacity(prepared.len());
        for one in prepared {
            vfds.push(match one {
                Prepared::Vfd(fd) | Prepared::Foreign(fd) => *fd,
                Prepared::Blob(memory) => memory.as_fd(),
                Prepared::Pipe(bridge) => bridge.vfd().as_fd(),
                Prepared::Mirror(id) => {
                    let mirror = mirrors.get(id).ok_or(SocketError::Invalid("a mirror that was closed"))?;
                    mirror.memory.as_fd()
                }
            });
        }
        match transfer.send(context.as_fd(), bytes, &vfds) {
            Ok(sent) => Ok(sent),
            Err(Errno::AGAIN | Errno::BUSY) => Err(self.block()),
            Err(Errno::INVAL) if prepared.iter().any(|one| matches!(one, Prepared::Foreign(_))) => {
                Err(VfdError::Unsupported("a buffer of a device that is no virtio-gpu").into())
            }
            Err(error) => Err(self.send_failed(error)),
        }
    }

    /// Sends as much of the rest as goes. An error is left for the next call to find.
    fn send_rest(&mut self, bytes: &[u8], first: usize) -> usize {
        let mut sent = first;
        while sent < CALL_BYTES
            && let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty())
            && let Some(context) = &self.context
            && let Ok(len) = self.transfer.send(context.as_fd(), rest, &[])
        {
            sent = sent.saturating_add(len);
        }
        sent
    }

    /// See [`Socket::mirror_write`](crate::Socket::mirror_write). The host has the content when this returns.
    pub(crate) fn mirror_write(&mut self, source: &Arc<Region>, rect: MirrorRect) -> Result<(), SocketError> {
        self.check()?;
        if !rect.fits(source.len()) {
            return Err(SocketError::Invalid("a rectangle outside its memory"));
        }
        if self.write_ended() {
            return Err(SocketError::BrokenPipe);
        }
        if source.backing() == Backing::VirtioWl {
            return Ok(());
        }
        let id = source.id();
        match self.mirror(source.as_fd(), id, source.len()) {
            Ok(()) => {}
            Err(Refusal::Vfd(error)) => return Err(error.into()),
            Err(Refusal::WouldBlock) => return Err(self.block()),
        }
        let copied =
            self.mirrors.get(&id).map_or(Ok(()), |mirror| mirror.memory.copy_rows_from(source, rect));
        copied.map_err(|_| SocketError::Invalid("a rectangle outside its memory"))
    }

    /// See [`Socket::mirror_write_file`](crate::Socket::mirror_write_file). The host has the content when this returns.
    pub(crate) fn mirror_write_file(
        &mut self,
        source: BorrowedFd<'_>,
        rect: MirrorRect,
    ) -> Result<(), SocketError> {
        self.check()?;
        if is_vfd(source) {
            return Ok(());
        }
        let stat = rustix::fs::fstat(source).map_err(VfdError::Examine)?;
        let (id, len) = (FileId::of_stat(&stat), u64::try_from(stat.st_size).unwrap_or(0));
        if !rect.fits(len) {
            return Err(SocketError::Invalid("a rectangle outside its memory"));
        }
        if self.write_ended() {
            return Err(SocketError::BrokenPipe);
        }
        match self.mirror(source, id, len) {
            Ok(()) => {}
            Err(Refusal::Vfd(error)) => return Err(error.into()),
            Err(Refusal::WouldBlock) => return Err(self.block()),
        }
        let Some(mirror) = self.mirrors.get(&id) else { return Ok(()) };
        match mirror.memory.copy_from_fd_rows(source, rect.offset, rect) {
            // What a file that became shorter meanwhile lacks stays as it was.
            Ok(()) | Err(RegionError::SourceEnded(_)) => Ok(()),
            Err(RegionError::Copy(error)) => Err(VfdError::Read(error).into()),
            Err(_) => Err(SocketError::Invalid("a rectangle outside its memory")),
        }
    }

    /// See [`Socket::mirror_close_file`](crate::Socket::mirror_close_file).
    pub(crate) fn mirror_close_file(&mut self, file: FileId) {
        self.mirrors.remove(&file);
    }

    /// Makes everything that can fail. Nothing of it is known to the host before it is sent.
    fn prepare<'a>(&mut self, fds: &[BorrowedFd<'a>]) -> Result<Vec<Prepared<'a>>, Refusal> {
        let mut taken = Taken::default();
        fds.iter().map(|fd| self.prepare_one(*fd, &mut taken)).collect()
    }

    fn prepare_one<'a>(&mut self, fd: BorrowedFd<'a>, taken: &mut Taken) -> Result<Prepared<'a>, Refusal> {
        let stat = rustix::fs::fstat(fd).map_err(VfdError::Examine)?;
        // Of an anonymous inode the kernel does not say what type of file it is, or says that it is a regular one.
        if matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Unknown) {
            if is_vfd(fd) {
                return Ok(Prepared::Vfd(fd));
            }
            if is_anonymous(fd)? {
                return Ok(Prepared::Foreign(fd));
            }
        }
        match classify(fd, None)? {
            LocalKind::Blob { len } => {
                let limit = u64::from(self.limits().max_blob_bytes);
                taken.blob_bytes = taken.blob_bytes.saturating_add(len);
                if taken.blob_bytes > limit {
                    return Err(VfdError::BlobTooLarge { len: taken.blob_bytes, limit }.into());
                }
                let memory = self.allocate(len)?;
                copy_whole(&memory, fd, len)?;
                Ok(Prepared::Blob(memory))
            }
            LocalKind::Mirror { id, len } => {
                self.mirror(fd, id, len)?;
                Ok(Prepared::Mirror(id))
            }
            kind @ (LocalKind::PipeRead | LocalKind::PipeWrite) => {
                let limit = usize::from(self.limits().max_pipes);
                taken.pipes += 1;
                if self.pipes_open().saturating_add(taken.pipes) > limit {
                    return Err(VfdError::TooMany { what: "pipes", limit }.into());
                }
                let to_host = kind == LocalKind::PipeRead;
                let local = PipeEnd::foreign(fd, !to_host).map_err(VfdError::Duplicate)?;
                let what = if to_host { New::PipeWrite } else { New::PipeRead };
                let vfd = self.device().make(what).map_err(Refusal::device("pipe"))?;
                Ok(Prepared::Pipe(Bridge::new(vfd, local, to_host)))
            }
            LocalKind::Socket => Err(VfdError::Unsupported("a socket").into()),
            LocalKind::Region => Err(VfdError::Unsupported("a region without a socket").into()),
        }
    }

    /// Makes sure that there is a mirror of a file.
    fn mirror(&mut self, fd: BorrowedFd<'_>, id: FileId, len: u64) -> Result<(), Refusal> {
        if self.mirrors.get(&id).is_some_and(|known| known.len == len) {
            return Ok(());
        }
        let limit = usize::from(self.limits().max_mirrors);
        // A file whose size has changed takes the place of its old self.
        let others = || self.mirrors.iter().filter(|(known, _)| **known != id).map(|(_, mirror)| mirror);
        if others().count() >= limit {
            return Err(VfdError::TooMany { what: "mirrors", limit }.into());
        }
        let used = others().map(|mirror| mirror.len).fold(0, u64::saturating_add);
        let limit = self.limits().max_mirror_bytes.saturating_sub(used);
        if len > limit {
            return Err(VfdError::MirrorTooLarge { len, limit }.into());
        }
        let file = rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(VfdError::Duplicate)?;
        let memory = self.allocate(len)?;
        // A small file has its content already; that of a large one is announced as it is drawn.
        if len <= self.limits().max_blob_bytes.into() {
            copy_whole(&memory, fd, len)?;
        }
        self.mirrors.insert(id, LocalMirror { memory, len, _file: file });
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<Region, Refusal> {
        let refused = Refusal::device("piece of memory");
        let vfd = self.device().allocate(len).map_err(&refused)?;
        // Only the kernel can refuse to map what the device has just made.
        Region::map_vfd(vfd, len.max(1)).map_err(|error| match error {
            RegionError::Map(source) => refused(source),
            _ => VfdError::Unsupported("memory of this size").into(),
        })
    }
}

/// A snapshot of the first `len` bytes of a file. What a file that became shorter meanwhile lacks stays zero: it is its
/// owner's mistake, and no reason to end the connection.
fn copy_whole(memory: &Region, fd: BorrowedFd<'_>, len: u64) -> Result<(), VfdError> {
    let Ok(row_len) = u32::try_from(len) else { return Err(VfdError::Read(Errno::FBIG)) };
    if row_len == 0 {
        return Ok(());
    }
    let all = MirrorRect { offset: 0, row_len, stride: row_len, rows: 1 };
    match memory.copy_from_fd_rows(fd, 0, all) {
        Ok(()) | Err(RegionError::SourceEnded(_)) => Ok(()),
        Err(RegionError::Copy(error)) => Err(VfdError::Read(error)),
        Err(_) => Err(VfdError::Read(Errno::IO)),
    }
}
