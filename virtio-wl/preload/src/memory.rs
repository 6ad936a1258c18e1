//! Writable memory that the program has sent, and what the other side has of it.
//!
//! Nobody says when a program draws into its memory, and nothing is known here of what its messages mean. But a program
//! that wants the other side to look at the memory has to tell it by a message. So before each message, the memory is
//! compared, page by page, with its [shadow](crate::shadow), which was sent in its place, and what differs is written there and
//! announced before the message.
//!
//! A shadow is longer than the memory was when it was sent, so that the memory may grow. Up to [`MAX_GROWN`] it may become
//! four times as long, or [`MIN_LEN`] if that is more. What grows further and is then sent again gets another shadow, and
//! what the program said of the first one stays as short as that.
//!
//! The cost is one pass over all such memory for each message; parts of a file that were never written are skipped.
//! The shadows take as much memory as was written, which the limits of the connection bound. Memory that the
//! program neither has mapped nor open any more is forgotten when it sends more, but for the latest: the compositor may
//! still show it, and would have zeros then.
//!
//! The memory is read by pread(2), never mapped: a program that makes it shorter is not to die here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use virtio_wl::capi::descriptor::Descriptor;
use virtio_wl::vfd::{FileId, LocalKind, classify};
use virtio_wl::wire::MirrorRect;

use crate::shadow::Shadow;

/// How much is read at a time.
const BLOCK: usize = 64 * 1024;
/// How exactly differences are looked for.
const PAGE: usize = 4096;
/// What memory that was never written is.
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// The least length of a shadow, in bytes: images of all cursors there are.
const MIN_LEN: u64 = 64 << 20;
/// How long a shadow is at most because of what its memory may become, in bytes. As many as the other side takes
/// (16) are then no longer than it takes together (16 GiB).
const MAX_GROWN: u64 = 1 << 30;

/// Memory that is kept although the program has given it up, and bytes of it.
const MAX_IDLE: usize = 4;
const MAX_IDLE_BYTES: u64 = 64 << 20;

/// Memory of the program.
struct Memory {
    id: FileId,
    /// The program's own file description.
    file: OwnedFd,
    /// Another one, whose position is nobody else's.
    holes: Option<File>,
    shadow: Shadow,
    /// Blocks of the shadow that were written. The others are zero.
    written: BTreeSet<u64>,
    /// What was written into the shadow and not announced yet: parts of one block.
    pending: Vec<MirrorRect>,
}

/// What comparing needs, whose memory is used again.
#[derive(Default)]
struct Scratch {
    /// A block of the program's memory.
    block: Vec<u8>,
    /// Which blocks may have changed.
    blocks: Vec<u64>,
    /// Where a block differs.
    runs: Vec<(usize, usize)>,
}

/// The memory that was sent on a socket, which is kept with it.
#[derive(Default)]
struct Sent {
    /// The first that was sent is the first here.
    memory: Vec<Memory>,
    /// Whether the other side takes memory that is longer than it was asked for without making all of it.
    may_be_longer: bool,
    scratch: Scratch,
}

/// A connection has begun. Where length costs memory at the other side, what is sent has no more than it needs.
pub fn begin(socket: &Descriptor, may_be_longer: bool) {
    let sent: Box<Sent> = Box::new(Sent { may_be_longer, ..Sent::default() });
    *socket.attached() = Some(sent);
}

/// Announces everything that has changed, before a message with `fds` is sent. Waits for room if `waits` says so. Returns
/// what has to be sent in place of some of `fds`, by their places.
///
/// # Errors
///
/// EAGAIN if there is no room; or the connection has failed.
pub fn bring_up_to_date(
    socket: &Descriptor,
    fds: &[BorrowedFd<'_>],
    waits: bool,
) -> Result<BTreeMap<usize, Arc<OwnedFd>>, Errno> {
    let attached = socket.attached().take();
    let mut sent = attached.and_then(|sent| sent.downcast::<Sent>().ok()).unwrap_or_default();
    let result = sent.announce(socket, fds, waits);
    let mut attached = socket.attached();
    // Another thread may have sent memory of its own meanwhile.
    if let Some(others) = attached.as_mut().and_then(|sent| sent.downcast_mut::<Sent>()) {
        sent.memory.append(&mut others.memory);
        sent.may_be_longer |= others.may_be_longer;
    }
    let replaced = attached.replace(sent);
    drop(attached);
    // Without the lock, as everything is dropped here: closing descriptors comes back to this library.
    drop(replaced);
    result
}

impl Sent {
    fn announce(
        &mut self,
        socket: &Descriptor,
        fds: &[BorrowedFd<'_>],
        waits: bool,
    ) -> Result<BTreeMap<usize, Arc<OwnedFd>>, Errno> {
        let scratch = &mut self.scratch;
        self.memory.iter_mut().try_for_each(|one| one.announce(socket, waits, scratch))?;
        let mut instead = BTreeMap::new();
        for (index, fd) in fds.iter().enumerate() {
            // What cannot cross is refused when the message is sent.
            if let Ok(LocalKind::Mirror { id, len }) = classify(*fd, None)
                && let Some(known) = self.shadow(socket, *fd, id, len, waits)?
            {
                instead.insert(index, known);
            }
        }
        Ok(instead)
    }

    /// The shadow of memory that is being sent. Nothing if the other side does not take it.
    fn shadow(
        &mut self,
        socket: &Descriptor,
        fd: BorrowedFd<'_>,
        id: FileId,
        len: u64,
        waits: bool,
    ) -> Result<Option<Arc<OwnedFd>>, Errno> {
        // It is up to date.
        if let Some(known) = self.memory.iter().find(|known| known.id == id && known.shadow.len() >= len) {
            return Ok(Some(known.shadow.shared_fd()));
        }
        self.forget_unused(socket, MAX_IDLE);
        let grown = if self.may_be_longer { len.saturating_mul(4).clamp(MIN_LEN, MAX_GROWN) } else { 0 };
        let lengths = [len.max(grown), len];
        let mut shadow = Memory::make_shadow(socket, &lengths, waits)?;
        if shadow.is_none() {
            self.forget_unused(socket, 0);
            shadow = Memory::make_shadow(socket, &lengths, waits)?;
        }
        let Some(shadow) = shadow else { return Ok(None) };
        let file = rustix::io::fcntl_dupfd_cloexec(fd, 3)?;
        let holes = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok();
        let (written, pending) = (BTreeSet::new(), Vec::new());
        let mut new = Memory { id, file, holes, shadow, written, pending };
        let result = new.announce(socket, waits, &mut self.scratch);
        let shadow = new.shadow.shared_fd();
        self.memory.push(new);
        result.map(|()| Some(shadow))
    }

    /// Forgets memory that the program cannot write any more, but for the latest `idle`.
    fn forget_unused(&mut self, socket: &Descriptor, idle: usize) {
        if self.memory.is_empty() {
            return;
        }
        let ours: BTreeSet<i32> = self
            .memory
            .iter()
            .flat_map(|one| [Some(one.file.as_raw_fd()), one.holes.as_ref().map(AsRawFd::as_raw_fd)])
            .flatten()
            .collect();
        let (Ok(open), Ok(mapped)) = (open_files(&ours), mapped_files()) else { return };
        let (mut count, mut bytes) = (0_usize, 0_u64);
        let mut is_kept = |one: &Memory| {
            if open.contains(&one.id) || mapped.contains(&one.id) {
                return true;
            }
            count += 1;
            bytes = bytes.saturating_add(one.written.len() as u64 * BLOCK as u64);
            let is_kept = count <= idle && bytes <= MAX_IDLE_BYTES;
            is_kept || socket.mirror_close(one.shadow.id()).is_err()
        };
        // The latest first.
        let mut kept: Vec<_> = self.memory.drain(..).rev().filter(|one| is_kept(one)).collect();
        kept.reverse();
        self.memory = kept;
    }
}

/// The files that the program has open, apart from the descriptors of this module.
fn open_files(ours: &BTreeSet<i32>) -> std::io::Result<BTreeSet<FileId>> {
    let numbers = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|number| !ours.contains(number));
    let id = |number: i32| {
        // SAFETY: a number that is open, or was a moment ago; fstat says so of one that is not.
        let fd = unsafe { virtio_wl::capi::message::open(number) }.ok()?;
        FileId::of(fd).ok()
    };
    Ok(numbers.filter_map(id).collect())
}

/// The files that the program has mapped for sharing.
fn mapped_files() -> std::io::Result<BTreeSet<FileId>> {
    let maps = fs::read("/proc/self/maps")?;
    let file = |line: &[u8]| {
        let line = std::str::from_utf8(line.get(..line.len().min(80))?).ok()?;
        let mut fields = line.split_ascii_whitespace();
        let access = fields.nth(1)?;
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        let number = |text| u32::from_str_radix(text, 16).ok();
        let device = rustix::fs::makedev(number(major)?, number(minor)?);
        let inode = fields.next()?.parse().ok()?;
        access.ends_with('s').then(|| FileId::of_inode(device, inode))
    };
    Ok(maps.split(|byte| *byte == b'\n').filter_map(file).collect())
}

impl Memory {
    /// Memory of the first of `lengths` that the other side takes, which knows it then. Nothing if it takes none of them.
    fn make_shadow(socket: &Descriptor, lengths: &[u64], waits: bool) -> Result<Option<Shadow>, Errno> {
        for len in lengths {
            let Ok(shadow) = Shadow::new(*len) else { continue };
            let first = MirrorRect { offset: 0, row_len: 1, stride: 1, rows: 1 };
            match socket.mirror_write(shadow.fd(), first, waits) {
                Ok(()) => return Ok(Some(shadow)),
                Err(Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Announces what has changed.
    fn announce(&mut self, socket: &Descriptor, waits: bool, scratch: &mut Scratch) -> Result<(), Errno> {
        self.announce_pending(socket, waits)?;
        let Scratch { block: buffer, blocks, runs } = scratch;
        buffer.resize(BLOCK, 0);
        self.find_blocks(blocks)?;
        for block in blocks.iter().copied() {
            let offset = block.saturating_mul(BLOCK as u64);
            let len = usize::try_from(self.shadow.len().saturating_sub(offset)).unwrap_or(BLOCK).min(BLOCK);
            let Some(now) = buffer.get_mut(..len) else { continue };
            read(&self.file, now, offset)?;
            let was_written = self.written.contains(&block);
            let announced = if was_written { self.shadow.part(offset, len) } else { &ZEROS };
            find_differences(announced, now, runs);
            for (start, end) in runs.iter().copied() {
                let rect = MirrorRect {
                    offset: offset.saturating_add(start as u64),
                    row_len: u32::try_from(end - start).map_err(|_| Errno::FBIG)?,
                    stride: u32::try_from(end - start).map_err(|_| Errno::FBIG)?,
                    rows: 1,
                };
                // Whatever of it is written, no more than that is announced, and the rest differs still.
                self.pending.push(rect);
                self.written.insert(block);
                self.shadow.write(now.get(start..end).unwrap_or_default(), rect.offset)?;
            }
            self.announce_pending(socket, waits)?;
        }
        Ok(())
    }

    /// Announces what was written into the shadow.
    fn announce_pending(&mut self, socket: &Descriptor, waits: bool) -> Result<(), Errno> {
        while let Some(rect) = self.pending.last() {
            socket.mirror_write(self.shadow.fd(), *rect, waits)?;
            self.pending.pop();
        }
        Ok(())
    }

    /// Finds the blocks that may have changed: those that have content, and those that had.
    fn find_blocks(&self, blocks: &mut Vec<u64>) -> Result<(), Errno> {
        let block = |offset: u64| offset / BLOCK as u64;
        blocks.clear();
        blocks.extend(&self.written);
        if let Some(holes) = &self.holes {
            let mut offset = 0;
            while offset < self.shadow.len() {
                let start = match rustix::fs::seek(holes, SeekFrom::Data(offset)) {
                    Ok(start) => start,
                    // Only a hole is left.
                    Err(Errno::NXIO) => break,
                    Err(error) => return Err(error),
                };
                let end = rustix::fs::seek(holes, SeekFrom::Hole(start))?.min(self.shadow.len());
                if end <= start {
                    break;
                }
                blocks.extend(block(start)..=block(end.saturating_sub(1)));
                offset = end;
            }
        } else {
            let len = u64::try_from(rustix::fs::fstat(&self.file)?.st_size).unwrap_or(0);
            blocks.extend(0..len.min(self.shadow.len()).div_ceil(BLOCK as u64));
        }
        blocks.sort_unstable();
        blocks.dedup();
        Ok(())
    }
}

/// Reads a part of a file. What it does not have is zero.
fn read(file: &OwnedFd, into: &mut [u8], offset: u64) -> Result<(), Errno> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(file, &mut *rest, offset.saturating_add(done as u64)) {
            Ok(0) => {
                rest.fill(0);
                break;
            }
            Ok(len) => done += len,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Finds where two pieces of the same length differ: runs of pages, without what is equal at both ends of each.
fn find_differences(old: &[u8], new: &[u8], runs: &mut Vec<(usize, usize)>) {
    runs.clear();
    for (index, (old, new)) in old.chunks(PAGE).zip(new.chunks(PAGE)).enumerate() {
        if old == new {
            continue;
        }
        let differs = |(old, new): (&u8, &u8)| old != new;
        let page = index * PAGE;
        let start = page + old.iter().zip(new).position(differs).unwrap_or(0);
        let end = page + old.iter().zip(new).rposition(differs).map_or(old.len(), |last| last + 1);
        match runs.last_mut() {
            // A difference that goes over the edge of a page, or nearly so, is one.
            Some(last) if start.saturating_sub(last.1) < PAGE / 4 => last.1 = end,
            _ => runs.push((start, end)),
        }
    }
}
