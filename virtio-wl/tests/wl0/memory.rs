//! What becomes of memory.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustix::fs::SealFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use virtio_wl::vfd::{ReceivedKind, VfdError};
use virtio_wl::wire::MirrorRect;
use virtio_wl::wl0::Device;
use virtio_wl::{ReceivedFd, Region, SocketError, SocketOptions, StreamLimits};

use crate::connection::{Connection, content_of, memory, noise};
use crate::driver::child::Request;
use crate::driver::supervised;

/// What `content` becomes in whole pages.
fn padded(content: &[u8]) -> Vec<u8> {
    let mut padded = content.to_vec();
    padded.resize(content.len().next_multiple_of(4096), 0);
    padded
}

#[test]
fn read_only_memory_is_copied_once() {
    supervised("memory::read_only_memory_is_copied_once", |control| {
        let mut connection = Connection::open(control);
        for content in [noise(1, 5000), noise(2, 4096), b"x".to_vec(), Vec::new()] {
            let fd = memory(&content);
            rustix::fs::fcntl_add_seals(&fd, SealFlags::FUTURE_WRITE).unwrap();
            let there = connection.give_host(&fd);
            let expected = if content.is_empty() { vec![0; 4096] } else { padded(&content) };
            assert!(content_of(&there) == expected);
        }
        // A file that somebody else may write is a snapshot too.
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"before").unwrap();
        let there = connection.give_host(std::fs::File::open(file.path()).unwrap());
        std::fs::write(file.path(), b"after!").unwrap();
        assert!(content_of(&there).starts_with(b"before"));
    });
}

#[test]
fn writable_memory_follows_what_is_announced_and_is_the_same_file_each_time() {
    supervised(
        "memory::writable_memory_follows_what_is_announced_and_is_the_same_file_each_time",
        |control| {
            let mut connection = Connection::open(control);
            let source = Arc::new(Region::create_memfd(5 * 4096).unwrap());
            source.write(4096, b"first").unwrap();
            let there = connection.give_host(&*source);
            assert!(content_of(&there) == content_of(&*source));
            // Rows with gaps, of which nothing but the rows is copied.
            source.write(8192, &[9; 300]).unwrap();
            let rect = MirrorRect { offset: 8192, row_len: 10, stride: 100, rows: 3 };
            connection.guest.mirror_write(&source, rect).unwrap();
            let expected: Vec<u8> = (0..300).map(|at| if at % 100 < 10 { 9 } else { 0 }).collect();
            assert_eq!(content_of(&there)[8192..8492], expected);
            let whole = MirrorRect { offset: 8192, row_len: 100, stride: 100, rows: 3 };
            connection.guest.mirror_write(&source, whole).unwrap();
            assert_eq!(content_of(&there)[8192..8492], [9; 300]);
            let again = connection.give_host(&*source);
            let id = |fd: &std::os::fd::OwnedFd| rustix::fs::fstat(fd).unwrap().st_ino;
            assert_eq!(id(&again), id(&there));
            connection.guest.mirror_close(&source);
            assert_ne!(id(&connection.give_host(&*source)), id(&there));
            // Memory may be announced before it is sent.
            let other = Arc::new(Region::create_memfd(2 * 4096).unwrap());
            other.write(0, b"early").unwrap();
            let rect = MirrorRect { offset: 0, row_len: 5, stride: 5, rows: 1 };
            connection.guest.mirror_write(&other, rect).unwrap();
            assert!(content_of(connection.give_host(&*other)).starts_with(b"early"));
            let outside = MirrorRect { offset: 8190, row_len: 5, stride: 5, rows: 1 };
            let error = connection.guest.mirror_write(&other, outside);
            assert!(matches!(error, Err(SocketError::Invalid(_))), "{error:?}");
        },
    );
}

#[test]
fn memory_of_the_device_crosses_as_it_is() {
    supervised("memory::memory_of_the_device_crosses_as_it_is", |control| {
        let device = Device::open().unwrap();
        let region = Arc::new(device.allocate_region(64 * 1024).unwrap());
        let options = SocketOptions { region: Some(Arc::clone(&region)), ..SocketOptions::default() };
        let mut connection = Connection::with(control, options);
        assert_eq!(connection.guest.shares_region(), Some(true));
        let there = connection.give_host(&*region);
        region.write(40_000, b"never copied").unwrap();
        assert_eq!(content_of(&there)[40_000..40_012], *b"never copied");
        assert_eq!(content_of(&there).len(), 64 * 1024);
        // So there is nothing to be announced.
        let rect = MirrorRect { offset: 4096, row_len: 5, stride: 5, rows: 1 };
        control.fail_always(Request::New, Errno::NOMEM);
        connection.guest.mirror_write(&region, rect).unwrap();
        // Any other region is memory as all other.
        let plain = Arc::new(Region::create_memfd(64 * 1024).unwrap());
        let options = SocketOptions { region: Some(plain), ..SocketOptions::default() };
        drop(connection);
        let error = device.allocate_region(64 * 1024).unwrap_err();
        assert!(error.to_string().contains("65536 bytes"), "{error}");
        assert_eq!(options.region.as_ref().map(|region| region.len()), Some(64 * 1024));
    });
}

#[test]
fn an_ordinary_region_is_not_shared() {
    supervised("memory::an_ordinary_region_is_not_shared", |control| {
        let region = Arc::new(Region::create_memfd(64 * 1024).unwrap());
        let options = SocketOptions { region: Some(Arc::clone(&region)), ..SocketOptions::default() };
        let mut connection = Connection::with(control, options);
        assert_eq!(connection.guest.shares_region(), Some(false));
        region.write(4096, b"copied").unwrap();
        let there = connection.give_host(&*region);
        region.write(4096, b"later!").unwrap();
        assert_eq!(content_of(&there)[4096..4102], *b"copied");
    });
}

#[test]
fn memory_beyond_the_limits_is_refused_and_the_connection_goes_on() {
    supervised("memory::memory_beyond_the_limits_is_refused_and_the_connection_goes_on", |control| {
        let limits = StreamLimits {
            max_mirrors: 2,
            max_mirror_bytes: 64 * 1024,
            max_blob_bytes: 8192,
            ..StreamLimits::default()
        };
        let mut connection = Connection::with(control, SocketOptions { limits, ..SocketOptions::default() });
        let blob = memory(&[1; 8193]);
        rustix::fs::fcntl_add_seals(&blob, SealFlags::WRITE).unwrap();
        let large = memory(&[1; 70_000]);
        for (fd, expected) in [
            (&blob, VfdError::BlobTooLarge { len: 8193, limit: 8192 }),
            (&large, VfdError::MirrorTooLarge { len: 70_000, limit: 65_536 }),
        ] {
            let error = connection.guest.sendmsg(b"x", &[fd.as_fd()]);
            assert_eq!(error, Err(SocketError::Unsupported(expected)));
        }
        let kept = [memory(&[1; 100]), memory(&[2; 100])];
        for fd in &kept {
            connection.give_host(fd);
        }
        let error = connection.guest.sendmsg(b"x", &[memory(&[3; 100]).as_fd()]);
        let expected = VfdError::TooMany { what: "mirrors", limit: 2 };
        assert_eq!(error, Err(SocketError::Unsupported(expected)));
        // One that has grown takes its own place.
        rustix::fs::ftruncate(&kept[1], 9000).unwrap();
        assert_eq!(content_of(connection.give_host(&kept[1])).len(), 3 * 4096);
    });
}

#[test]
fn memory_that_the_device_does_not_have_is_refused_and_the_connection_goes_on() {
    supervised(
        "memory::memory_that_the_device_does_not_have_is_refused_and_the_connection_goes_on",
        |control| {
            let mut connection = Connection::open(control);
            let fd = memory(b"content");
            control.fail(Request::New, Errno::NOMEM);
            let error = connection.guest.sendmsg(b"x", &[fd.as_fd()]);
            let expected = VfdError::Device { what: "piece of memory", source: Errno::NOMEM };
            assert_eq!(error, Err(SocketError::Unsupported(expected)));
            assert!(content_of(connection.give_host(&fd)).starts_with(b"content"));
        },
    );
}

/// Reads what a program of the guest sees, which it can only by mapping.
fn mapped(received: &ReceivedFd, len: usize) -> Vec<u8> {
    // SAFETY: the kernel chooses the address. What is behind the end of the host's file is not read.
    let base = unsafe {
        rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, &received.fd, 0)
    }
    .unwrap();
    // SAFETY: the mapping has `len` bytes, and stays until the process ends.
    unsafe { std::slice::from_raw_parts(base.cast::<u8>(), len) }.to_vec()
}

#[test]
fn memory_of_the_host_can_be_mapped_and_nothing_else() {
    supervised("memory::memory_of_the_host_can_be_mapped_and_nothing_else", |control| {
        let mut connection = Connection::open(control);
        for len in [1, 4096, 4097, 40_000, 1 << 20] {
            let content = noise(3, len);
            let fd = memory(&content);
            rustix::fs::fcntl_add_seals(&fd, SealFlags::WRITE).unwrap();
            let received = connection.give_guest(&fd);
            let pages = u64::try_from(len.next_multiple_of(4096)).unwrap();
            assert_eq!(received.kind, ReceivedKind::Mirror { len: pages });
            assert!(mapped(&received, len) == content);
            assert_eq!(rustix::io::pread(&received.fd, &mut [0; 8], 0), Err(Errno::SPIPE));
            assert_eq!(rustix::fs::fstat(&received.fd).unwrap().st_size, 0);
            // It can be given back, as it is.
            let back = connection.give_host(&received.fd);
            assert_eq!(rustix::fs::fstat(&back).unwrap().st_size, i64::try_from(len).unwrap());
        }
    });
}
