//! Sending: what becomes of local descriptors, all of a message or nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use super::FramedSocket;
use super::outgoing::{Item, MirrorJob, MirrorSource};
use super::pipes::{ClosedEnds, Ends};
use crate::pipe::PipeEnd;
use crate::region::Region;
use crate::socket::{ExcessPipes, SocketError};
use crate::vfd::{FileId, LocalKind, VfdError, classify};
use crate::wire::{Hello, MAX_FDS, MAX_MEMORY, MirrorRect, NewVfd};

/// Rectangles that may wait to be sent; each costs a few dozen bytes.
const MAX_MIRROR_JOBS: usize = 64 * 1024;

/// Granularity in which the first content of a mirror is sent: pieces of zeros are left out.
const PIECE: usize = 4096;

/// Bytes that are looked at together when zeros are searched for; a multiple of [`PIECE`].
const LOOK: usize = 64 * 1024;

/// A file that the peer has a mirror of. The descriptor keeps the identity of the file from being used
/// again while the mirror exists.
#[derive(Debug)]
pub(super) struct LocalMirror {
    id: u32,
    len: u64,
    file: Arc<OwnedFd>,
}

/// A descriptor that is ready to be announced.
#[derive(Debug)]
pub(super) enum Prepared {
    Region {
        len: u64,
    },
    Mirror {
        file: FileId,
        len: u64,
        descriptor: OwnedFd,
        content: Vec<MirrorRect>,
    },
    /// Memory that the peer has a mirror of already, or will have by this message.
    KnownMirror {
        file: FileId,
    },
    Blob(Vec<u8>),
    Pipe {
        end: PipeEnd,
        source: bool,
    },
    Socket((PipeEnd, PipeEnd)),
    /// A pipe or socket for which there is no room.
    Closed(ClosedEnds),
}

/// Whether one more pipe or socket may be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PipeRoom {
    Open,
    /// Only as one that is closed.
    Closed,
}

impl Prepared {
    fn is_mirror_of(&self, wanted: FileId) -> bool {
        matches!(self, Self::Mirror { file, .. } | Self::KnownMirror { file } if *file == wanted)
    }
}

/// What the descriptors of one message take of the limits.
#[derive(Debug, Default)]
struct Taken {
    pipes: usize,
    /// At least one of them crosses closed.
    closed_pipes: bool,
    mirrors: usize,
    mirror_bytes: u64,
    /// Bytes of mirrors that end, as their files have another size now.
    replaced_bytes: u64,
    blob_bytes: u64,
}

impl FramedSocket {
    /// Sends a part of `bytes`, at least one, and all of `fds` with the first of them. The descriptors stay
    /// the caller's and can be closed at once.
    ///
    /// # Errors
    ///
    /// With any of these, nothing was sent:
    /// [`WouldBlock`](SocketError::WouldBlock) while the peer's hello has not come or the queue is full;
    /// [`TooManyFds`](SocketError::TooManyFds); [`Unsupported`](SocketError::Unsupported) if one of the descriptors cannot
    /// cross; [`BrokenPipe`](SocketError::BrokenPipe) after a shutdown by either side; or the connection has failed.
    pub fn sendmsg(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, SocketError> {
        self.check()?;
        if fds.len() > MAX_FDS {
            return Err(SocketError::TooManyFds(fds.len()));
        }
        if bytes.is_empty() {
            let error = SocketError::Invalid("descriptors without a byte that they belong to");
            return if fds.is_empty() { Ok(0) } else { Err(error) };
        }
        if self.outgoing.end_wanted() {
            return Err(SocketError::BrokenPipe);
        }
        let peer = self.peer.ok_or(SocketError::WouldBlock)?;
        let room = self.room();
        if room == 0 {
            return Err(SocketError::WouldBlock);
        }
        let bytes = bytes.get(..room).unwrap_or(bytes);
        if fds.is_empty() {
            self.send_data(bytes)?;
        } else {
            self.queue_with_fds(bytes, fds, &peer)?;
            self.flush_unless_full()?;
        }
        Ok(bytes.len())
    }

    /// Bytes that may be queued. None while so many rectangles wait that none may join them, or a message waits for pipes to end:
    /// what can be done is said by one flag for all of it, and whoever waits for it must be able to go on.
    pub(super) fn room(&self) -> usize {
        let waits_for_pipes = self.pipes_wanted.is_some_and(|most| self.pipes.announced(true) > most);
        if waits_for_pipes || self.outgoing.jobs() >= MAX_MIRROR_JOBS {
            return 0;
        }
        self.options.limits.max_queue_bytes.saturating_sub(self.outgoing.queued())
    }

    /// Writes what can be written at once, and queues the rest.
    fn send_data(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        let mut rest = bytes;
        loop {
            let len = match self.write_at_once(rest) {
                Ok(len) => len,
                Err(error) => return self.record(Err(error)),
            };
            rest = rest.get(len..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            if len == 0 {
                break;
            }
        }
        self.outgoing.push_data(rest, &[]);
        self.flush_unless_full()
    }

    /// Sends what is queued. Where the stream did not take the last write, [`dispatch`](Self::dispatch) does that once it
    /// can be written again.
    fn flush_unless_full(&mut self) -> Result<(), SocketError> {
        if self.full { Ok(()) } else { self.flush() }
    }

    /// Queues a message with descriptors, or nothing if one of them cannot cross.
    fn queue_with_fds(
        &mut self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        peer: &Hello,
    ) -> Result<(), SocketError> {
        let mut prepared = std::mem::take(&mut self.prepared);
        let result = match self.prepare_into(&mut prepared, fds, peer) {
            Ok(taken) if taken.closed_pipes => self.check_closed_pipes(peer, &taken),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        };
        let mut ids = [0; MAX_FDS];
        if result.is_ok() {
            self.pipes_wanted = None;
            for (id, one) in ids.iter_mut().zip(prepared.drain(..)) {
                *id = self.announce(one);
            }
            self.outgoing.push_data(bytes, ids.get(..fds.len()).unwrap_or_default());
        }
        prepared.clear();
        self.prepared = prepared;
        result
    }

    /// Announces to the peer that a rectangle of memory that it has a mirror of has new content, which is
    /// read from `source` when it is sent. Writes and messages arrive in the order in which they were queued.
    ///
    /// Does nothing where the peer has the memory itself, as a region; memory that the peer does not have yet is
    /// announced first. The descriptor of the socket becomes readable if the write has not left.
    ///
    /// # Errors
    ///
    /// The rectangle is not within `source`, or was not when that was sent; the memory cannot cross; would block, if very
    /// many rectangles wait already; or the connection has failed.
    pub fn mirror_write(&mut self, source: &Arc<Region>, rect: MirrorRect) -> Result<(), SocketError> {
        let Some((id, _)) = self.writable_mirror(source.as_fd(), source.id(), source.len(), rect)? else {
            return Ok(());
        };
        self.push_mirror(id, rect, MirrorSource::Region(Arc::clone(source)))
    }

    /// As [`mirror_write`](Self::mirror_write), for memory that is read from its descriptor and never mapped.
    ///
    /// # Errors
    ///
    /// As for [`mirror_write`](Self::mirror_write).
    pub fn mirror_write_file(&mut self, memory: BorrowedFd<'_>, rect: MirrorRect) -> Result<(), SocketError> {
        let stat = rustix::fs::fstat(memory).map_err(|error| SocketError::from(VfdError::Examine(error)))?;
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        match self.writable_mirror(memory, FileId::of_stat(&stat), len, rect)? {
            Some((id, file)) => self.push_mirror(id, rect, MirrorSource::File(file)),
            None => Ok(()),
        }
    }

    /// The mirror of a file of `len` bytes, made if there is none. Nothing if the peer has the memory itself.
    fn writable_mirror(
        &mut self,
        memory: BorrowedFd<'_>,
        file: FileId,
        len: u64,
        rect: MirrorRect,
    ) -> Result<Option<(u32, Arc<OwnedFd>)>, SocketError> {
        self.check()?;
        if !rect.fits(len) {
            return Err(SocketError::Invalid("a rectangle outside its memory"));
        }
        if self.outgoing.end_wanted() {
            return Err(SocketError::BrokenPipe);
        }
        let peer = self.peer.ok_or(SocketError::WouldBlock)?;
        let region = self.options.region.as_ref().filter(|_| peer.has_region);
        if region.is_some_and(|region| region.id() == file) {
            return Ok(None);
        }
        if self.outgoing.jobs() >= MAX_MIRROR_JOBS {
            return Err(SocketError::WouldBlock);
        }
        match self.vfds.local_mirrors.get(&file) {
            // A mirror of another length would be one that no message has named: the peer would see this write nowhere.
            Some(known) if !rect.fits(known.len) => {
                return Err(SocketError::Invalid(
                    "a rectangle that was no part of its memory when that was sent",
                ));
            }
            Some(_) => {}
            None => match self.prepare(&[memory], &peer)?.pop() {
                Some(new @ Prepared::Mirror { .. }) => {
                    self.announce(new);
                }
                _ => return Err(VfdError::Unsupported("memory that is not writable").into()),
            },
        }
        Ok(self.vfds.local_mirrors.get(&file).map(|known| (known.id, Arc::clone(&known.file))))
    }

    fn push_mirror(&mut self, id: u32, rect: MirrorRect, source: MirrorSource) -> Result<(), SocketError> {
        self.outgoing.push(Item::Mirror(MirrorJob::new(id, rect, source)));
        self.write_blocked = true;
        let result = self.update_interest();
        self.record(result)
    }

    /// The peer's mirror of a file is not needed any more. Does nothing if it has none.
    pub fn mirror_close_file(&mut self, file: FileId) {
        if let Some(mirror) = self.vfds.local_mirrors.remove(&file)
            && !self.outgoing.end_wanted()
        {
            self.outgoing.push(Item::MirrorClose { id: mirror.id });
            // A failure is reported by the next call.
            let _ = self.flush();
        }
    }

    /// Most bytes that are written to the stream at once.
    #[cfg(test)]
    pub(crate) fn max_write(&self) -> usize {
        self.outgoing.max_write()
    }

    /// Whether the peer has the region of this side's options, so that pixels need not cross the stream.
    /// `None` until the peer's hello has come.
    #[must_use]
    pub fn shares_region(&self) -> Option<bool> {
        self.peer.map(|peer| peer.has_region && self.options.region.is_some())
    }

    /// Makes everything that can fail, and changes nothing.
    fn prepare(&self, fds: &[BorrowedFd<'_>], peer: &Hello) -> Result<Vec<Prepared>, VfdError> {
        let mut prepared = Vec::new();
        self.prepare_into(&mut prepared, fds, peer)?;
        Ok(prepared)
    }

    /// As [`prepare`](Self::prepare), into an empty list.
    fn prepare_into(
        &self,
        prepared: &mut Vec<Prepared>,
        fds: &[BorrowedFd<'_>],
        peer: &Hello,
    ) -> Result<Taken, VfdError> {
        let ids = u32::try_from(2 * fds.len()).unwrap_or(u32::MAX);
        self.vfds.next_id.checked_add(ids).ok_or(VfdError::IdsExhausted)?;
        let mut taken = Taken::default();
        for fd in fds {
            let one = self.prepare_one(*fd, peer, prepared, &mut taken)?;
            prepared.push(one);
        }
        Ok(taken)
    }

    /// Prepares one descriptor of a message, after those that are `before` it.
    fn prepare_one(
        &self,
        fd: BorrowedFd<'_>,
        peer: &Hello,
        before: &[Prepared],
        taken: &mut Taken,
    ) -> Result<Prepared, VfdError> {
        let region = self.options.region.as_deref().filter(|_| peer.has_region);
        let limits = &self.options.limits;
        match classify(fd, region)? {
            LocalKind::Region => Ok(Prepared::Region { len: region.map_or(0, Region::len) }),
            LocalKind::Mirror { id, .. } if before.iter().any(|one| one.is_mirror_of(id)) => {
                // The same file again, which is one mirror, even if it has changed its size since.
                Ok(Prepared::KnownMirror { file: id })
            }
            LocalKind::Mirror { id, len } => self.prepare_mirror(fd, id, len, peer, taken),
            LocalKind::Blob { len } => {
                let limit = u64::from(peer.max_blob.min(limits.max_blob_bytes));
                taken.blob_bytes = taken.blob_bytes.saturating_add(len);
                if taken.blob_bytes > limit {
                    return Err(VfdError::BlobTooLarge { len: taken.blob_bytes, limit });
                }
                read_content(fd, len).map(Prepared::Blob)
            }
            LocalKind::Socket if !peer.takes_sockets => {
                Err(VfdError::Unsupported("a socket, which the other side does not take,"))
            }
            LocalKind::Socket => {
                if self.take_pipe(peer, taken)? == PipeRoom::Closed {
                    return Ok(Prepared::Closed(ClosedEnds::Both));
                }
                PipeEnd::foreign_socket(fd).map(Prepared::Socket).map_err(VfdError::Duplicate)
            }
            kind @ (LocalKind::PipeRead | LocalKind::PipeWrite) => {
                let source = kind == LocalKind::PipeRead;
                if self.take_pipe(peer, taken)? == PipeRoom::Closed {
                    let ends = if source { ClosedEnds::Source } else { ClosedEnds::Sink };
                    return Ok(Prepared::Closed(ends));
                }
                let end = PipeEnd::foreign(fd, !source).map_err(VfdError::Duplicate)?;
                Ok(Prepared::Pipe { end, source })
            }
        }
    }

    /// Counts one more pipe or socket.
    fn take_pipe(&self, peer: &Hello, taken: &mut Taken) -> Result<PipeRoom, VfdError> {
        let limit = self.pipe_limit(peer);
        taken.pipes = taken.pipes.saturating_add(1);
        let announced = self.pipes.announced(true).saturating_add(taken.pipes);
        match self.options.excess_pipes {
            ExcessPipes::Close if announced > limit.saturating_sub(kept_for_closed(limit)) => {
                taken.closed_pipes = true;
                Ok(PipeRoom::Closed)
            }
            ExcessPipes::Close => Ok(PipeRoom::Open),
            ExcessPipes::Refuse if announced > limit => Err(VfdError::TooMany { what: "pipes", limit }),
            ExcessPipes::Refuse => Ok(PipeRoom::Open),
        }
    }

    /// Pipes and sockets that this side may have announced at a time.
    fn pipe_limit(&self, peer: &Hello) -> usize {
        peer.max_pipes.min(self.options.limits.max_pipes).into()
    }

    /// Whether the peer has room for the closed pipes of a message at all, and has it now. Those before them are answered without
    /// anybody's doing.
    fn check_closed_pipes(&mut self, peer: &Hello, taken: &Taken) -> Result<(), SocketError> {
        let limit = self.pipe_limit(peer);
        if taken.pipes > kept_for_closed(limit) {
            return Err(VfdError::TooMany { what: "pipes", limit }.into());
        }
        let most = limit.saturating_sub(taken.pipes);
        if self.pipes.announced(true) > most {
            self.pipes_wanted = Some(most);
            return Err(SocketError::WouldBlock);
        }
        Ok(())
    }

    fn prepare_mirror(
        &self,
        fd: BorrowedFd<'_>,
        file: FileId,
        len: u64,
        peer: &Hello,
        taken: &mut Taken,
    ) -> Result<Prepared, VfdError> {
        let limits = &self.options.limits;
        match self.vfds.local_mirrors.get(&file) {
            Some(known) if known.len == len => return Ok(Prepared::KnownMirror { file }),
            // The mirror of the file as it was is closed before the new one is announced.
            Some(old) => taken.replaced_bytes = taken.replaced_bytes.saturating_add(old.len),
            None => taken.mirrors += 1,
        }
        let limit = usize::from(peer.max_mirrors.min(limits.max_mirrors));
        if self.vfds.local_mirrors.len().saturating_add(taken.mirrors) > limit {
            return Err(VfdError::TooMany { what: "mirrors", limit });
        }
        taken.mirror_bytes = taken.mirror_bytes.saturating_add(len);
        let used = self.vfds.local_mirrors.values().map(|mirror| mirror.len).sum::<u64>();
        let used = used.saturating_sub(taken.replaced_bytes);
        let limit = peer.max_mirror_bytes.min(limits.max_mirror_bytes).saturating_sub(used);
        if len > MAX_MEMORY {
            return Err(VfdError::MirrorTooLarge { len, limit: MAX_MEMORY });
        }
        if taken.mirror_bytes > limit {
            return Err(VfdError::MirrorTooLarge { len: taken.mirror_bytes, limit });
        }
        let descriptor = rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(VfdError::Duplicate)?;
        // A small file has its content already; that of a large one is announced as it is drawn.
        let content = if len <= limits.max_blob_bytes.into() { find_content(fd, len)? } else { Vec::new() };
        Ok(Prepared::Mirror { file, len, descriptor, content })
    }

    /// Queues what makes the peer know the descriptor, and gives its identifier. Cannot fail.
    fn announce(&mut self, prepared: Prepared) -> u32 {
        match prepared {
            // Those of this message have been announced by now.
            Prepared::KnownMirror { file } => self.vfds.local_mirrors.get(&file).map_or(0, |known| known.id),
            Prepared::Mirror { file, len, descriptor, content } => {
                if let Some(old) = self.vfds.local_mirrors.get(&file) {
                    // A file whose size has changed.
                    self.outgoing.push(Item::MirrorClose { id: old.id });
                }
                let id = self.push_new(NewVfd::Mirror { len });
                let descriptor = Arc::new(descriptor);
                for rect in content {
                    let source = MirrorSource::File(Arc::clone(&descriptor));
                    self.outgoing.push(Item::Mirror(MirrorJob::new(id, rect, source)));
                }
                self.vfds.local_mirrors.insert(file, LocalMirror { id, len, file: descriptor });
                id
            }
            Prepared::Region { len } => self.push_new(NewVfd::Region { offset: 0, len }),
            Prepared::Blob(content) => {
                let len = u64::try_from(content.len()).unwrap_or(u64::MAX);
                let id = self.push_new(NewVfd::Blob { len });
                if !content.is_empty() {
                    self.outgoing.push(Item::Blob { id, content, sent: 0 });
                }
                id
            }
            Prepared::Pipe { end, source } => {
                let id = self.push_new(if source { NewVfd::PipeRead } else { NewVfd::PipeWrite });
                self.pipes.add(id, Ends::of_pipe(end, source), true);
                id
            }
            Prepared::Closed(ends) => {
                let id = self.push_new(match ends {
                    ClosedEnds::Source => NewVfd::PipeRead,
                    ClosedEnds::Sink => NewVfd::PipeWrite,
                    ClosedEnds::Both => NewVfd::Socket,
                });
                self.pipes.add_closed(id, ends);
                id
            }
            Prepared::Socket(ends) => {
                let id = self.push_new(NewVfd::Socket);
                self.pipes.add(id, Ends::of_socket(ends), true);
                id
            }
        }
    }

    fn push_new(&mut self, vfd: NewVfd) -> u32 {
        let id = self.vfds.next_id;
        // `prepare` has made sure that enough are left.
        self.vfds.next_id = id.saturating_add(2);
        self.outgoing.push(Item::Vfd { id, vfd });
        id
    }
}

/// How many of so many pipes are kept for those that cross closed.
fn kept_for_closed(limit: usize) -> usize {
    limit.div_ceil(4).min(MAX_FDS).min(limit.saturating_sub(1))
}

/// A snapshot of the first `len` bytes of a file. A file that became shorter meanwhile is padded with zeros: it is its
/// owner's mistake, and no reason to end the connection.
fn read_content(fd: BorrowedFd<'_>, len: u64) -> Result<Vec<u8>, VfdError> {
    let mut content = vec![0; usize::try_from(len).map_err(|_| VfdError::Read(Errno::FBIG))?];
    read_at(fd, &mut content, 0)?;
    Ok(content)
}

/// Reads what a file has at an offset, and says how much that is.
fn read_at(fd: BorrowedFd<'_>, into: &mut [u8], offset: u64) -> Result<usize, VfdError> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
        match rustix::io::pread(fd, rest, at) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(VfdError::Read(error)),
        }
    }
    Ok(done)
}

/// Where the first `len` bytes of a file are not zero, in pieces that are joined where they touch. The content itself is read
/// when it leaves, as that of every other rectangle: kept until then, that of all mirrors of a message would be many times what
/// may wait.
fn find_content(fd: BorrowedFd<'_>, len: u64) -> Result<Vec<MirrorRect>, VfdError> {
    let mut found: Vec<MirrorRect> = Vec::new();
    let mut space = vec![0; usize::try_from(len).unwrap_or(LOOK).min(LOOK)];
    let mut offset = 0;
    while offset < len {
        let left = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let look = space.get_mut(..left.min(LOOK)).unwrap_or_default();
        let there = read_at(fd, look, offset)?;
        if there == 0 {
            break;
        }
        for piece in look.get(..there).unwrap_or_default().chunks(PIECE) {
            let piece_len = u32::try_from(piece.len()).unwrap_or(0);
            if piece.iter().any(|byte| *byte != 0) {
                match found.last_mut() {
                    Some(last) if last.end() == Some(offset) => {
                        last.row_len = last.row_len.saturating_add(piece_len);
                        last.stride = last.row_len;
                    }
                    _ => found.push(MirrorRect { offset, row_len: piece_len, stride: piece_len, rows: 1 }),
                }
            }
            offset = offset.saturating_add(piece_len.into());
        }
    }
    Ok(found)
}
