//! What a file descriptor becomes when it crosses: the classification of local descriptors, and what the
//! other side hands over.
//!
//! The kind is decided by what the kernel says about the descriptor, never by what the application says it is.
//! Everything that is not memory, one end of a pipe or a connected Unix stream socket is refused, and so is a file whose
//! content does not sit in ordinary pages: dma-bufs, sync files and other anonymous inodes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FileType, OFlags, SealFlags, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};
use thiserror::Error;

use crate::region::Region;

/// Why a descriptor cannot cross.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum VfdError {
    /// The kernel does not say what it is.
    #[error("cannot examine a file descriptor: {0}")]
    Examine(Errno),
    /// It is nothing that can cross (EOPNOTSUPP).
    #[error("{0} cannot cross to the other side")]
    Unsupported(&'static str),
    /// Read-only memory larger than the other side takes (EOPNOTSUPP).
    #[error("read-only memory of {len} bytes cannot cross, the limit is {limit}")]
    BlobTooLarge {
        /// Its size in bytes, with that of the other blobs in the same message.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Writable memory larger than the other side takes (EOPNOTSUPP).
    #[error("writable memory of {len} bytes cannot cross, the other side has {limit} bytes left for it")]
    MirrorTooLarge {
        /// Its size in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The other side has all the pipes (sockets are counted as such) or mirrors that it takes (EOPNOTSUPP).
    #[error("too many {what} at a time, the limit is {limit}")]
    TooMany {
        /// `pipes` or `mirrors`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// All VFD identifiers of this stream are used up (EOPNOTSUPP).
    #[error("no VFD identifiers are left on this stream")]
    IdsExhausted,
    /// The content of a blob cannot be read.
    #[error("cannot read the content of a file descriptor: {0}")]
    Read(Errno),
    /// The descriptor cannot be duplicated.
    #[error("cannot duplicate a file descriptor: {0}")]
    Duplicate(Errno),
    /// The virtio_wl device cannot make what stands for the descriptor.
    #[error("the virtio_wl device cannot make a {what}: {source}")]
    Device {
        /// `pipe` or `piece of memory`.
        what: &'static str,
        /// What the kernel said.
        source: Errno,
    },
}

/// Which file a descriptor refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(Identity);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Identity {
    File {
        device: u64,
        inode: u64,
    },
    /// Any number of files can name one character device.
    Device(u64),
    /// Memory of a virtio_wl device, numbered by this process.
    Vfd(u64),
}

impl FileId {
    /// The regular file with this inode number on this device, as stat(2) numbers them.
    #[must_use]
    pub fn of_inode(device: u64, inode: u64) -> Self {
        Self(Identity::File { device, inode })
    }

    /// The identity of the file behind `fd`.
    ///
    /// # Errors
    ///
    /// fstat(2) failed.
    pub fn of(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        rustix::fs::fstat(fd).map(|stat| Self::of_stat(&stat))
    }

    /// An identity for memory of a virtio_wl device: the kernel gives all of them the same inode, and other things too.
    pub(crate) fn of_vfd() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(Identity::Vfd(NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    pub(crate) fn of_stat(stat: &Stat) -> Self {
        Self(match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice => Identity::Device(stat.st_rdev),
            _ => Identity::File { device: stat.st_dev, inode: stat.st_ino },
        })
    }
}

/// What a local descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalKind {
    /// The shared region itself.
    Region,
    /// Writable memory with `len` bytes.
    Mirror {
        /// Which file it is.
        id: FileId,
        /// Its size in bytes.
        len: u64,
    },
    /// Read-only or sealed memory with `len` bytes.
    Blob {
        /// Its size in bytes.
        len: u64,
    },
    /// Read end of a pipe.
    PipeRead,
    /// Write end of a pipe.
    PipeWrite,
    /// Connected Unix stream socket.
    Socket,
}

/// `f_type` of file systems whose files are no ordinary memory (linux/magic.h).
const DMA_BUF_MAGIC: i64 = 0x444d_4142;
const ANON_INODE_MAGIC: i64 = 0x0904_1934;

/// Finds out what `fd` becomes when it crosses. `region` is the region that both sides have, if any.
///
/// # Errors
///
/// The descriptor cannot cross.
pub fn classify(fd: BorrowedFd<'_>, region: Option<&Region>) -> Result<LocalKind, VfdError> {
    let stat = rustix::fs::fstat(fd).map_err(VfdError::Examine)?;
    let id = FileId::of_stat(&stat);
    if region.is_some_and(|region| region.id() == id) {
        return Ok(LocalKind::Region);
    }
    let access = rustix::fs::fcntl_getfl(fd).map_err(VfdError::Examine)? & OFlags::RWMODE;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo if access == OFlags::RDONLY => Ok(LocalKind::PipeRead),
        FileType::Fifo if access == OFlags::WRONLY => Ok(LocalKind::PipeWrite),
        FileType::Fifo => Err(VfdError::Unsupported("a pipe that is open for reading and writing")),
        FileType::RegularFile => {
            let len = u64::try_from(stat.st_size).unwrap_or(0);
            classify_memory(fd, id, len, access)
        }
        FileType::Socket => classify_socket(fd),
        FileType::Directory => Err(VfdError::Unsupported("a directory")),
        FileType::CharacterDevice | FileType::BlockDevice => Err(VfdError::Unsupported("a device")),
        _ => Err(VfdError::Unsupported("a file descriptor that is no memory and no pipe")),
    }
}

/// Only bytes can be bridged, between two ends that exist: no datagrams, whose boundaries would be lost, no
/// listening socket, and nothing that leads out of this machine.
fn classify_socket(fd: BorrowedFd<'_>) -> Result<LocalKind, VfdError> {
    if sockopt::socket_domain(fd).map_err(VfdError::Examine)? != AddressFamily::UNIX {
        return Err(VfdError::Unsupported("a socket that is no Unix socket"));
    }
    if sockopt::socket_type(fd).map_err(VfdError::Examine)? != SocketType::STREAM {
        return Err(VfdError::Unsupported("a socket that is no stream socket"));
    }
    match rustix::net::getpeername(fd) {
        Ok(_) => Ok(LocalKind::Socket),
        // A listening socket has no peer either.
        Err(Errno::NOTCONN | Errno::INVAL) => Err(VfdError::Unsupported("a socket that is not connected")),
        Err(error) => Err(VfdError::Examine(error)),
    }
}

/// Whether `fd` is an anonymous inode of the kernel: a dma-buf, a sync file, an eventfd, a VFD of virtio_wl.
pub(crate) fn is_anonymous(fd: BorrowedFd<'_>) -> Result<bool, VfdError> {
    let file_system = rustix::fs::fstatfs(fd).map_err(VfdError::Examine)?.f_type;
    Ok(file_system == DMA_BUF_MAGIC || file_system == ANON_INODE_MAGIC)
}

fn classify_memory(fd: BorrowedFd<'_>, id: FileId, len: u64, access: OFlags) -> Result<LocalKind, VfdError> {
    if is_anonymous(fd)? {
        return Err(VfdError::Unsupported("a buffer of a device"));
    }
    // Files on other file systems have no seals, which is no error.
    let seals = rustix::fs::fcntl_get_seals(fd).unwrap_or(SealFlags::empty());
    if access == OFlags::RDONLY || seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE) {
        return Ok(LocalKind::Blob { len });
    }
    if access == OFlags::WRONLY {
        return Err(VfdError::Unsupported("memory that cannot be read"));
    }
    if len == 0 {
        return Err(VfdError::Unsupported("writable memory without a size"));
    }
    Ok(LocalKind::Mirror { id, len })
}

/// A descriptor that came from the other side.
#[derive(Debug)]
pub struct ReceivedFd {
    /// The descriptor, close-on-exec.
    pub fd: OwnedFd,
    /// What it is.
    pub kind: ReceivedKind,
}

/// What a descriptor from the other side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceivedKind {
    /// The shared region: the descriptor is that of the whole file.
    Region {
        /// First byte that the sender means, counted from the beginning of the region; see [`Region::start`] for where that
        /// is in the file.
        offset: u64,
        /// Bytes that the sender means.
        len: u64,
    },
    /// Memory that the sender goes on writing, sealed against changes of its size.
    Mirror {
        /// Length in bytes.
        len: u64,
    },
    /// Memory that never changes, fully sealed.
    Blob {
        /// Length in bytes.
        len: u64,
    },
    /// Read end of a pipe.
    PipeRead,
    /// Write end of a pipe.
    PipeWrite,
    /// Unix stream socket, connected. It carries bytes alone: descriptors that are sent on it are closed.
    Socket,
}

impl AsFd for ReceivedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use rustix::net::SocketFlags;

    use super::*;
    use crate::region::memfd;

    fn sealed(seals: SealFlags) -> OwnedFd {
        let fd = memfd(c"test").expect("memory");
        rustix::fs::ftruncate(&fd, 100).expect("resized");
        rustix::fs::fcntl_add_seals(&fd, seals).expect("sealed");
        fd
    }

    #[test]
    fn memory_is_a_blob_if_nobody_can_write_it_and_a_mirror_otherwise() {
        for seals in [SealFlags::WRITE, SealFlags::WRITE | SealFlags::SHRINK] {
            let fd = sealed(seals);
            assert_eq!(classify(fd.as_fd(), None), Ok(LocalKind::Blob { len: 100 }));
        }
        let fd = sealed(SealFlags::SHRINK);
        let id = FileId::of(fd.as_fd()).expect("examined");
        assert_eq!(classify(fd.as_fd(), None), Ok(LocalKind::Mirror { id, len: 100 }));
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let read_only = File::open(file.path()).expect("opened");
        assert_eq!(classify(read_only.as_fd(), None), Ok(LocalKind::Blob { len: 0 }));
        assert!(matches!(classify(file.as_fd(), None), Err(VfdError::Unsupported(_))), "writable and empty");
    }

    #[test]
    fn the_region_is_recognised_through_any_descriptor() {
        let region = Region::create_memfd(8192).expect("created");
        let other = Region::create_memfd(8192).expect("created");
        let duplicate = region.try_clone_fd().expect("duplicated");
        assert_eq!(classify(duplicate.as_fd(), Some(&region)), Ok(LocalKind::Region));
        assert!(matches!(classify(duplicate.as_fd(), Some(&other)), Ok(LocalKind::Mirror { .. })));
    }

    #[test]
    fn both_ends_of_a_pipe_are_told_apart() {
        let (read, write) = rustix::pipe::pipe().expect("pipe");
        assert_eq!(classify(read.as_fd(), None), Ok(LocalKind::PipeRead));
        assert_eq!(classify(write.as_fd(), None), Ok(LocalKind::PipeWrite));
    }

    #[test]
    fn a_connected_stream_socket_is_a_socket_even_after_its_other_end_has_gone() {
        let (socket, other) = UnixStream::pair().expect("socket pair");
        assert_eq!(classify(socket.as_fd(), None), Ok(LocalKind::Socket));
        drop(other);
        assert_eq!(classify(socket.as_fd(), None), Ok(LocalKind::Socket));
    }

    #[test]
    fn sockets_that_are_not_connected_unix_streams_are_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let listening = UnixListener::bind(directory.path().join("listening")).expect("bound");
        let (datagram, _other) = UnixDatagram::pair().expect("socket pair");
        let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (packets, _other) =
            rustix::net::socketpair(kind.0, kind.1, SocketFlags::CLOEXEC, None).expect("socket pair");
        let idle = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("socket");
        let internet = TcpListener::bind("127.0.0.1:0").expect("bound");
        let connected = TcpStream::connect(internet.local_addr().expect("address")).expect("connected");
        let fds = [listening.as_fd(), datagram.as_fd(), packets.as_fd(), idle.as_fd()];
        for fd in fds.into_iter().chain([internet.as_fd(), connected.as_fd()]) {
            assert!(matches!(classify(fd, None), Err(VfdError::Unsupported(_))));
        }
    }

    #[test]
    fn what_is_neither_memory_nor_pipe_nor_socket_is_refused() {
        let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).expect("eventfd");
        let null = File::open("/dev/null").expect("opened");
        let directory = File::open("/").expect("opened");
        for fd in [event.as_fd(), null.as_fd(), directory.as_fd()] {
            assert!(matches!(classify(fd, None), Err(VfdError::Unsupported(_))));
        }
    }
}
