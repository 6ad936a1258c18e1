//! Writable memory that the program has sent, and what the other side has of it.
//!
//! Nobody says when a program draws into its memory, and nothing is known here of what its messages mean. But a program
//! that wants the other side to look at the memory has to tell it by a message. So before each message, the memory is
//! compared, page by page, with a copy of what was announced last, and what differs is announced before the message.
//!
//! The cost is one pass over all such memory for each message; parts of a file that were never written are skipped.
//! The copies take as much memory as was written, which the limits of the connection bound. Memory that the
//! program neither has mapped nor open any more is forgotten.
//!
//! The memory is read by pread(2), never mapped: a program that makes it shorter is not to die here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use virtio_wl::capi::descriptor::Descriptor;
use virtio_wl::vfd::{FileId, LocalKind, classify};
use virtio_wl::wire::MirrorRect;

/// How much is read at a time.
const BLOCK: usize = 64 * 1024;
/// How exactly differences are looked for.
const PAGE: usize = 4096;

/// Memory of the program.
struct Memory {
    id: FileId,
    /// The program's own file description.
    file: OwnedFd,
    /// Another one, whose position is nobody else's.
    holes: Option<File>,
    /// Length when it was sent first: that of the copy at the other side.
    len: u64,
    /// What was announced, by blocks. Those that are not here are zero.
    announced: BTreeMap<u64, Box<[u8]>>,
}

/// The memory that was sent on a socket, which is kept with it.
type Sent = Vec<Memory>;

/// Announces everything that has changed, before a message with `fds` is sent. Waits for room if `waits` says so.
///
/// # Errors
///
/// EAGAIN if there is no room; or the connection has failed.
pub fn bring_up_to_date(socket: &Arc<Descriptor>, fds: &[BorrowedFd<'_>], waits: bool) -> Result<(), Errno> {
    let attached = socket.attached().take();
    let mut memory = attached.and_then(|sent| sent.downcast::<Sent>().ok()).unwrap_or_default();
    let announce = |memory: &mut Sent| -> Result<(), Errno> {
        memory.iter_mut().try_for_each(|one| one.announce(socket, waits))?;
        for fd in fds {
            add(memory, socket, *fd, waits)?;
        }
        Ok(())
    };
    let result = announce(&mut memory);
    let mut attached = socket.attached();
    // Another thread may have sent memory of its own meanwhile.
    if let Some(others) = attached.as_mut().and_then(|sent| sent.downcast_mut::<Sent>()) {
        memory.append(others);
    }
    let replaced = attached.replace(memory);
    drop(attached);
    // Without the lock, as everything is dropped here: closing descriptors comes back to this library.
    drop(replaced);
    result
}

/// Takes note of memory that is sent for the first time, and announces its content. All other memory is up to date.
fn add(memory: &mut Sent, socket: &Descriptor, fd: BorrowedFd<'_>, waits: bool) -> Result<(), Errno> {
    // What cannot cross is refused when the message is sent.
    let Ok(LocalKind::Mirror { id, len }) = classify(fd, None) else { return Ok(()) };
    if memory.iter().any(|known| known.id == id) {
        return Ok(());
    }
    forget_unused(memory, socket);
    let file = rustix::io::fcntl_dupfd_cloexec(fd, 3)?;
    let holes = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok();
    let mut new = Memory { id, file, holes, len, announced: BTreeMap::new() };
    let result = new.announce(socket, waits);
    memory.push(new);
    result
}

/// Forgets memory that the program cannot write any more: what the other side has of it stays as it is.
fn forget_unused(memory: &mut Sent, socket: &Descriptor) {
    if memory.is_empty() {
        return;
    }
    let ours: BTreeSet<i32> = memory
        .iter()
        .flat_map(|one| [Some(one.file.as_raw_fd()), one.holes.as_ref().map(AsRawFd::as_raw_fd)])
        .flatten()
        .collect();
    let (Ok(open), Ok(mapped)) = (open_files(&ours), mapped_files()) else { return };
    memory.retain(|one| {
        let used = open.contains(&one.id) || mapped.contains(&one.id);
        // What waits to be sent is read from the file, so it has to be sent first.
        used || socket.mirror_close(one.id).is_err()
    });
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
    /// Announces what has changed.
    fn announce(&mut self, socket: &Descriptor, waits: bool) -> Result<(), Errno> {
        let mut buffer = vec![0; BLOCK];
        for block in self.blocks()? {
            let offset = block.saturating_mul(BLOCK as u64);
            let len = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(BLOCK).min(BLOCK);
            let Some(now) = buffer.get_mut(..len) else { continue };
            read(&self.file, now, offset)?;
            let announced = self.announced.entry(block).or_insert_with(|| vec![0; len].into_boxed_slice());
            for (start, end) in differences(announced, now) {
                let rect = MirrorRect {
                    offset: offset.saturating_add(start as u64),
                    row_len: u32::try_from(end - start).map_err(|_| Errno::FBIG)?,
                    stride: u32::try_from(end - start).map_err(|_| Errno::FBIG)?,
                    rows: 1,
                };
                socket.mirror_write(self.file.as_fd(), rect, waits)?;
                if let (Some(to), Some(from)) = (announced.get_mut(start..end), now.get(start..end)) {
                    to.copy_from_slice(from);
                }
            }
        }
        Ok(())
    }

    /// The blocks that may have changed: those that have content, and those that had.
    fn blocks(&self) -> Result<BTreeSet<u64>, Errno> {
        let block = |offset: u64| offset / BLOCK as u64;
        let mut blocks: BTreeSet<u64> = self.announced.keys().copied().collect();
        let Some(holes) = &self.holes else {
            blocks.extend(0..=block(self.len.saturating_sub(1)));
            return Ok(blocks);
        };
        let mut offset = 0;
        while offset < self.len {
            let start = match rustix::fs::seek(holes, SeekFrom::Data(offset)) {
                Ok(start) => start,
                // Only a hole is left.
                Err(Errno::NXIO) => break,
                Err(error) => return Err(error),
            };
            let end = rustix::fs::seek(holes, SeekFrom::Hole(start))?.min(self.len);
            if end <= start {
                break;
            }
            blocks.extend(block(start)..=block(end.saturating_sub(1)));
            offset = end;
        }
        Ok(blocks)
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

/// Where two pieces of the same length differ: runs of pages, without what is equal at both ends of each.
fn differences(old: &[u8], new: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
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
    runs
}
