//! The kinds of descriptors besides pipes, which the other cases send: sealed memory (a blob), writable memory (a mirror),
//! the memory that both sides have (a region) and connected sockets.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::net::Shutdown;
use virtio_wl::Region;
use virtio_wl::region::HEADER_LEN;
use virtio_wl::vfd::ReceivedKind;
use virtio_wl::wire::MirrorRect;

use crate::pair::{End, Pair, noise};
use crate::transports::Transport;

const PAGE: usize = 4096;

/// Memory that has crossed, as programs use it: mapped.
#[derive(Debug)]
struct Mapping {
    base: *mut u8,
    len: usize,
}

impl Mapping {
    fn new(fd: impl AsFd, offset: u64, len: usize, access: ProtFlags) -> Result<Self, Errno> {
        // SAFETY: the kernel chooses the address, so that no other mapping is replaced.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), len, access, MapFlags::SHARED, fd, offset) }?;
        Ok(Self { base: base.cast(), len })
    }

    fn readable(fd: impl AsFd, len: usize) -> Self {
        Self::new(fd, 0, len, ProtFlags::READ).expect("memory that can be mapped")
    }

    /// Where a range begins, which is in the mapping.
    fn range(&self, at: usize, len: usize) -> *mut u8 {
        assert!(at + len <= self.len);
        self.base.wrapping_add(at)
    }

    fn read(&self, at: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let from = self.range(at, len);
        // SAFETY: the range is in the mapping, which lives as long as `self`, and in no file that is shortened; the
        // thread that runs the case is the only one in this process that writes to it.
        unsafe { from.copy_to_nonoverlapping(bytes.as_mut_ptr(), len) };
        bytes
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        let to = self.range(at, bytes.len());
        // SAFETY: as for `read`; the callers have asked for memory that can be written.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and nothing points into it.
        let _ = unsafe { rustix::mm::munmap(self.base.cast(), self.len) };
    }
}

/// Sealed memory.
fn blob(content: &[u8]) -> OwnedFd {
    let fd =
        rustix::fs::memfd_create("blob", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memory");
    assert_eq!(rustix::io::write(&fd, content), Ok(content.len()));
    rustix::fs::fcntl_add_seals(&fd, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW).expect("sealed");
    fd
}

/// That a side says this of a descriptor, if it says anything.
fn assert_kind(transport: &dyn Transport, kind: Option<ReceivedKind>, expected: ReceivedKind) {
    let expected = match expected {
        ReceivedKind::Blob { len } | ReceivedKind::Mirror { len } | ReceivedKind::Region { len, .. }
            if transport.memory_is_the_devices() =>
        {
            ReceivedKind::Mirror { len: len.next_multiple_of(PAGE as u64) }
        }
        expected => expected,
    };
    if let Some(kind) = kind {
        assert_eq!(kind, expected);
    }
}

pub fn a_blob_arrives_whole_and_sealed(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        // The last one is more than a window has room for.
        for len in [1, 5000, transport.volume() + 1] {
            let content = noise(len as u64, len);
            let came = pair.give(end, blob(&content));
            assert_kind(transport, came.kind, ReceivedKind::Blob { len: len as u64 });
            assert!(Mapping::readable(&came.fd, len).read(0, len) == content);
            if transport.memory_is_the_devices() {
                continue;
            }
            assert_eq!(
                rustix::fs::fstat(&came.fd).expect("a file").st_size,
                i64::try_from(len).expect("short")
            );
            assert_eq!(rustix::io::pwrite(&came.fd, b"x", 0), Err(Errno::PERM));
            let writable = Mapping::new(&came.fd, 0, len, ProtFlags::READ | ProtFlags::WRITE);
            assert_eq!(writable.map(|_| ()), Err(Errno::PERM));
            for other in [0, 2 * len as u64] {
                assert_eq!(rustix::fs::ftruncate(&came.fd, other), Err(Errno::PERM));
            }
        }
    }
}

/// The bytes of a rectangle, as ranges.
fn rows(rect: MirrorRect) -> impl Iterator<Item = std::ops::Range<usize>> {
    let (offset, len) = (usize::try_from(rect.offset).expect("64 bits"), rect.row_len as usize);
    (0..rect.rows as usize).map(move |row| offset + row * rect.stride as usize).map(move |at| at..at + len)
}

pub fn a_mirror_has_a_rectangle_before_the_message_behind_it(transport: &dyn Transport) {
    const LEN: usize = 32 * PAGE;
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        let source = Arc::new(Region::create_memfd(LEN as u64).expect("memory"));
        let mut expected = noise(end as u64, LEN);
        source.write(0, &expected).expect("written");
        let came = pair.give(end, &*source);
        assert_kind(transport, came.kind, ReceivedKind::Mirror { len: LEN as u64 });
        let mirror = Mapping::readable(&came.fd, LEN);
        assert!(mirror.read(0, LEN) == expected);
        let rects = [
            MirrorRect { offset: 4099, row_len: 101, stride: 101, rows: 1 },
            MirrorRect { offset: 8192, row_len: 300, stride: 1000, rows: 20 },
            MirrorRect { offset: 77, row_len: 20_000, stride: 25_000, rows: 4 },
            MirrorRect { offset: 0, row_len: LEN as u32, stride: LEN as u32, rows: 1 },
        ];
        for (seed, (rect, by_file)) in
            (9..).zip(rects.into_iter().flat_map(|rect| [(rect, false), (rect, true)]))
        {
            let drawn = noise(seed, LEN);
            source.write(0, &drawn).expect("written");
            let side = pair.side(end);
            let announced = if by_file {
                side.mirror_write_file(source.as_fd(), rect)
            } else {
                side.mirror_write(&source, rect)
            };
            assert_eq!(announced, Ok(()));
            pair.send_all(end, b"shown", &[]);
            for row in rows(rect) {
                expected[row.clone()].copy_from_slice(&drawn[row]);
            }
            if pair.side(end).is_plain() {
                // Whoever got it from a Unix socket has the memory itself, announced or not.
                expected = drawn;
            }
            let (first, _) = pair.receive(end.other(), 1).expect("alive");
            assert_eq!(first, b"s");
            // Nothing else than the rectangle.
            assert!(mirror.read(0, LEN) == expected, "after {rect:?}");
            assert_eq!(pair.receive_exactly(end.other(), 4).0, b"hown");
        }
    }
}

pub fn a_region_is_the_same_memory_on_both_sides(transport: &dyn Transport) {
    let (mut pair, regions) = transport.open_with_region();
    for end in End::BOTH {
        let (ours, theirs) = (&regions[end as usize], &regions[end.other() as usize]);
        let came = pair.give(end, &**ours);
        assert_kind(transport, came.kind, ReceivedKind::Region { offset: 0, len: ours.len() });
        let len = usize::try_from(ours.len()).expect("64 bits");
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let there = Mapping::new(&came.fd, theirs.start(), len, access).expect("memory that can be mapped");
        // Behind the header, and up to the last byte.
        let header = usize::try_from(HEADER_LEN).expect("one page");
        for (seed, at) in [(1, header), (2, len / 2 + 1), (3, len - 1000)] {
            let content = noise(seed, 1000);
            ours.write(at as u64, &content).expect("written");
            assert!(there.read(at, 1000) == content);
            let answer = noise(seed + end as u64 + 10, 1000);
            there.write(at, &answer);
            let mut seen = vec![0; 1000];
            ours.read_into(at as u64, &mut seen).expect("read");
            assert!(seen == answer);
        }
    }
}

/// Moves both contents at once, the first from the first end to the second.
fn exchange(pair: &mut Pair, ends: [&OwnedFd; 2], contents: [&[u8]; 2]) {
    let (mut sent, mut received) = ([0; 2], [Vec::new(), Vec::new()]);
    let mut piece = [0; 4096];
    for fd in ends {
        rustix::io::ioctl_fionbio(fd, true).expect("a socket");
    }
    while (0..2).any(|at| received[1 - at].len() < contents[at].len()) {
        let mut blocked = true;
        for at in 0..2 {
            match rustix::io::write(ends[at], &contents[at][sent[at]..]) {
                // Nothing is left to be sent, or all of it went.
                Ok(len) => {
                    sent[at] += len;
                    blocked &= len == 0;
                }
                Err(error) => assert_eq!(error, Errno::AGAIN),
            }
            match rustix::io::read(ends[at], &mut piece) {
                Ok(0) => panic!("an end that nobody has made"),
                Ok(len) => {
                    received[at].extend_from_slice(&piece[..len]);
                    blocked = false;
                }
                Err(error) => assert_eq!(error, Errno::AGAIN),
            }
        }
        if blocked {
            let lacking = (0..2).find(|at| received[*at].len() < contents[1 - *at].len());
            pair.turn_for(ends[lacking.expect("one that is not done")]);
        }
    }
    assert!(received[1] == contents[0] && received[0] == contents[1]);
}

pub fn a_socket_carries_both_ways_and_each_ends_alone(transport: &dyn Transport) {
    let mut pair = transport.open().into_pair();
    for end in End::BOTH {
        let (near, passed) = UnixStream::pair().expect("socket pair");
        let near = OwnedFd::from(near);
        let came = pair.give(end, passed);
        assert_kind(transport, came.kind, ReceivedKind::Socket);
        // More than a window has room for.
        exchange(&mut pair, [&near, &came.fd], [&noise(1, 100_000), &noise(2, 100_000)]);
        rustix::net::shutdown(&near, Shutdown::Write).expect("connected");
        assert_eq!(pair.read_to_end(&came.fd), b"");
        assert_eq!(rustix::io::write(&came.fd, b"still open"), Ok(10));
        pair.turn_for(&near);
        drop(came);
        assert_eq!(pair.read_to_end(&near), b"still open");
    }
}
