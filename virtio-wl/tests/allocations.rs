//! Once a connection has run for a while, moving data allocates nothing: not in a socket, not in a pump, with and without
//! descriptors, in single messages and in a stream that is as fast as it can be; nor do rectangles of mirrors, the content of
//! pipes and sockets that have crossed, and what the host sends over the virtio_wl device. By the C library it
//! costs none either.
//!
//! The allocator of this program counts what each thread asks for. What makes a new object (a pipe, a blob, a mirror) may
//! allocate.

#[path = "virtio_wl_driver/mod.rs"]
mod driver;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::{CString, c_int};
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use virtio_wl::capi;
use virtio_wl::unix::{self, UnixError};
use virtio_wl::wire::MirrorRect;
use virtio_wl::{Address, Pump, PumpOptions, ReceivedFd, Region, Role, Socket, SocketError, SocketOptions};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // A thread that is ending has no counter any more, and nobody asks for it.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on unchanged to the allocator of the system, which keeps the contract; counting changes
// one number of the thread and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rounds after which nothing may be allocated, and rounds that are watched.
const ROUNDS: usize = 500;

/// Runs `round` for a while, then watches it.
fn assert_no_allocation(what: &str, mut round: impl FnMut()) {
    for _ in 0..ROUNDS {
        round();
    }
    let before = ALLOCATIONS.get();
    for _ in 0..ROUNDS {
        round();
    }
    let allocated = ALLOCATIONS.get() - before;
    assert_eq!(allocated, 0, "{what}: {allocated} allocations in {ROUNDS} rounds");
}

fn pair(region: Option<&Arc<Region>>) -> (Socket, Socket) {
    let (one, two) = UnixStream::pair().expect("socket pair");
    let options = SocketOptions { region: region.cloned(), ..SocketOptions::default() };
    let mut one = Socket::new(one.into(), Role::Initiator, options.clone()).expect("socket");
    let mut two = Socket::new(two.into(), Role::Acceptor, options).expect("socket");
    while !(one.is_open() && two.is_open()) {
        one.dispatch().expect("alive");
        two.dispatch().expect("alive");
    }
    (one, two)
}

/// Sends a message and receives all of it.
fn cross(
    from: &mut Socket,
    to: &mut Socket,
    message: &[u8],
    fds: &[BorrowedFd<'_>],
    buffer: &mut [u8],
    received: &mut Vec<ReceivedFd>,
) {
    assert_eq!(from.sendmsg(message, fds), Ok(message.len()));
    let mut total = 0;
    while total < message.len() {
        match to.recvmsg(buffer, received) {
            Ok(len) => total += len,
            Err(SocketError::WouldBlock) => {
                to.dispatch().expect("alive");
                from.dispatch().expect("alive");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(received.len(), fds.len());
    received.clear();
}

#[test]
fn messages_of_any_length_cost_no_allocation_in_either_direction() {
    let (mut one, mut two) = pair(None);
    let (mut buffer, mut received) = (vec![0; 4096], Vec::new());
    for len in [1, 64, 4096, 32 * 1024, 100_000] {
        let message = vec![7; len];
        assert_no_allocation(&format!("messages of {len} bytes"), || {
            cross(&mut one, &mut two, &message, &[], &mut buffer, &mut received);
            cross(&mut two, &mut one, &message, &[], &mut buffer, &mut received);
        });
    }
}

#[test]
fn descriptors_of_shared_and_known_memory_cost_no_allocation() {
    let region = Arc::new(Region::create_memfd(1 << 20).expect("region"));
    let (mut one, mut two) = pair(Some(&region));
    let (mut buffer, mut received) = (vec![0; 4096], Vec::new());
    let mirrored = Region::create_memfd(1 << 20).expect("memory");
    for fds in [&[region.as_fd()][..], &[mirrored.as_fd()], &[region.as_fd(); 28]] {
        assert_no_allocation(&format!("{} descriptors", fds.len()), || {
            cross(&mut one, &mut two, b"message", fds, &mut buffer, &mut received);
        });
    }
}

#[test]
fn a_stream_that_is_as_fast_as_it_can_be_costs_no_allocation() {
    let (mut one, mut two) = pair(None);
    let (message, mut buffer, mut received) = (vec![7; 4096], vec![0; 4096], Vec::new());
    assert_no_allocation("a stream of messages of 4 KiB", || {
        // Until the queue, the stream and the window of the other side are full.
        loop {
            match one.sendmsg(&message, &[]) {
                Ok(_) => {}
                Err(SocketError::WouldBlock) => break,
                Err(error) => panic!("{error}"),
            }
        }
        two.dispatch().expect("alive");
        while two.recvmsg(&mut buffer, &mut received).is_ok() {}
        one.dispatch().expect("alive");
    });
}

fn set_nonblocking(fd: &OwnedFd) {
    let flags = rustix::fs::fcntl_getfl(fd).expect("flags");
    rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK).expect("set");
}

#[test]
fn the_content_of_pipes_costs_no_allocation() {
    let (mut one, mut two) = pair(None);
    let mut pipes = Vec::new();
    for _ in 0..20 {
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        set_nonblocking(&writer);
        assert_eq!(one.sendmsg(b"x", &[reader.as_fd()]), Ok(1));
        let mut received = Vec::new();
        while two.recvmsg(&mut [0], &mut received).is_err() {
            two.dispatch().expect("alive");
        }
        let reader = received.pop().expect("a pipe").fd;
        set_nonblocking(&reader);
        pipes.push((writer, reader));
    }
    let (content, mut buffer) = (vec![7; 10_000], vec![0; 10_000]);
    let mut moved = 0;
    assert_no_allocation("content of pipes", || {
        for (writer, reader) in &pipes {
            match rustix::io::write(writer, &content) {
                Ok(_) | Err(Errno::AGAIN) => {}
                Err(error) => panic!("{error}"),
            }
            one.dispatch().expect("alive");
            two.dispatch().expect("alive");
            match rustix::io::read(reader, &mut buffer) {
                Ok(len) => moved += len,
                Err(error) => assert_eq!(error, Errno::AGAIN),
            }
        }
    });
    // Far more than the windows: credit went back too.
    assert!(moved > 50_000_000, "{moved}");
}

#[test]
fn a_pump_between_two_sockets_costs_no_allocation() {
    let region = Arc::new(Region::create_memfd(1 << 20).expect("region"));
    let (near, mut far) = pair(Some(&region));
    let (mut application, local) = UnixStream::pair().expect("socket pair");
    let mut pump = Pump::new(local.into(), near, &PumpOptions::default()).expect("pump");
    let (mut buffer, mut received, mut fds) = (vec![0; 4096], Vec::new(), Vec::new());
    let message = vec![7; 4096];
    assert_no_allocation("a pump", || {
        application.write_all(&message).expect("sent");
        assert_eq!(unix::send(&application, b"with a descriptor", &[region.as_fd()]), Ok(17));
        let mut total = 0;
        while total < message.len() + 17 {
            pump.turn().expect("alive");
            far.dispatch().expect("alive");
            while let Ok(len) = far.recvmsg(&mut buffer, &mut received) {
                total += len;
            }
        }
        assert_eq!(received.len(), 1);
        assert_eq!(far.sendmsg(&message, &[region.as_fd()]), Ok(message.len()));
        received.clear();
        let mut total = 0;
        while total < message.len() {
            pump.turn().expect("alive");
            match unix::receive(&application, &mut buffer, &mut fds) {
                Ok(len) => total += len,
                Err(error) => assert_eq!(error, UnixError::WouldBlock),
            }
        }
        assert_eq!(fds.len(), 1);
        fds.clear();
    });
}

/// A message for `fds`, and what the other side gets.
fn give(one: &mut Socket, two: &mut Socket, fd: impl AsFd) -> OwnedFd {
    assert_eq!(one.sendmsg(b"x", &[fd.as_fd()]), Ok(1));
    let mut received = Vec::new();
    while two.recvmsg(&mut [0], &mut received).is_err() {
        one.dispatch().expect("alive");
        two.dispatch().expect("alive");
    }
    received.pop().expect("a descriptor").fd
}

#[test]
fn rectangles_of_mirrors_cost_no_allocation() {
    let (mut one, mut two) = pair(None);
    let (mut buffer, mut received) = (vec![0; 4096], Vec::new());
    let source = Arc::new(Region::create_memfd(1 << 20).expect("memory"));
    let mirror = give(&mut one, &mut two, &*source);
    // Few bytes; rows with gaps between them; rows that are read from where they lie; more than a frame.
    for rect in [
        MirrorRect { offset: 5000, row_len: 100, stride: 100, rows: 1 },
        MirrorRect { offset: 8192, row_len: 300, stride: 1000, rows: 64 },
        MirrorRect { offset: 8192, row_len: 20_000, stride: 20_480, rows: 8 },
        MirrorRect { offset: 0, row_len: 300_000, stride: 300_000, rows: 1 },
    ] {
        let mut round = 0_u64;
        assert_no_allocation(&format!("rectangles of {} rows of {} bytes", rect.rows, rect.row_len), || {
            round += 1;
            source.write(rect.offset, &round.to_le_bytes()).expect("within the memory");
            // By turns as memory of this process and as that of another.
            match round % 2 {
                0 => one.mirror_write(&source, rect).expect("queued"),
                _ => one.mirror_write_file(source.as_fd(), rect).expect("queued"),
            }
            cross(&mut one, &mut two, b"shown", &[], &mut buffer, &mut received);
            let mut shown = [0; 8];
            assert_eq!(rustix::io::pread(&mirror, &mut shown, rect.offset), Ok(8));
            assert_eq!(u64::from_le_bytes(shown), round);
        });
    }
}

#[test]
fn the_content_of_sockets_costs_no_allocation_in_either_direction() {
    let (mut one, mut two) = pair(None);
    let (near, passed) = UnixStream::pair().expect("socket pair");
    let far = give(&mut one, &mut two, &passed);
    drop(passed);
    let ends = [near.into(), far];
    ends.iter().for_each(set_nonblocking);
    let (content, mut buffer) = (vec![7; 10_000], vec![0; 10_000]);
    let mut moved = [0; 2];
    assert_no_allocation("content of sockets", || {
        for end in &ends {
            match rustix::io::write(end, &content) {
                Ok(_) | Err(Errno::AGAIN) => {}
                Err(error) => panic!("{error}"),
            }
        }
        one.dispatch().expect("alive");
        two.dispatch().expect("alive");
        for (end, moved) in ends.iter().zip(&mut moved) {
            match rustix::io::read(end, &mut buffer) {
                Ok(len) => *moved += len,
                Err(error) => assert_eq!(error, Errno::AGAIN),
            }
        }
    });
    // Far more than the windows: credit went back too.
    assert!(moved.iter().all(|moved| *moved > 5_000_000), "{moved:?}");
}

/// Waits until the guest's socket has something to do, and has it do it.
fn turn(guest: &mut Socket) {
    let patience = Timespec { tv_sec: 40, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(guest, PollFlags::IN)], Some(&patience)), Ok(1), "waited in vain");
    guest.dispatch().expect("alive");
}

/// What the host sends over the virtio_wl device was once put into memory of its own, message by message.
#[test]
fn what_the_host_sends_over_the_virtio_wl_device_costs_no_allocation() {
    driver::supervised("what_the_host_sends_over_the_virtio_wl_device_costs_no_allocation", |control| {
        let listener = control.host();
        let options = SocketOptions::default();
        let mut guest = Socket::connect(&Address::Wl0 { name: None }, options).expect("connected");
        let (mut host, _) = listener.accept().expect("the VMM calls");
        let (mut buffer, mut received) = (vec![0; 4096], Vec::new());
        for len in [1, 4096, 100_000] {
            let message = vec![7; len];
            assert_no_allocation(&format!("messages of {len} bytes from the host"), || {
                host.write_all(&message).expect("the VMM takes them");
                let mut total = 0;
                while total < len {
                    match guest.recvmsg(&mut buffer, &mut received) {
                        Ok(len) => total += len,
                        Err(SocketError::WouldBlock) => turn(&mut guest),
                        Err(error) => panic!("{error}"),
                    }
                }
                assert_eq!(guest.sendmsg(b"answer", &[]), Ok(6));
                assert_eq!(unix::receive(&host, &mut buffer, &mut Vec::new()), Ok(6));
            });
        }
    });
}

/// Sends or receives `pieces` by a call of the C library.
fn by_c(call: impl FnOnce(*mut libc::msghdr) -> isize, pieces: &mut [libc::iovec]) -> isize {
    call(&mut libc::msghdr {
        msg_name: std::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: pieces.as_mut_ptr(),
        msg_iovlen: pieces.len(),
        msg_control: std::ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    })
}

#[test]
fn messages_and_waits_of_the_c_library_cost_no_allocation() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let address = format!("unix:{}", directory.path().join("c").display());
    let address = CString::new(address).expect("no zeros");
    let null = std::ptr::null_mut();
    // SAFETY: the address is a string, and there is no region.
    let listener = unsafe { capi::virtio_wl_listen(address.as_ptr(), null, libc::SOCK_CLOEXEC) };
    // SAFETY: as above.
    let near = unsafe { capi::virtio_wl_connect(address.as_ptr(), null, libc::SOCK_CLOEXEC) };
    // SAFETY: no address is asked for.
    let far = unsafe { capi::virtio_wl_accept(listener, null.cast(), null.cast(), libc::SOCK_CLOEXEC) };
    let mut bytes = [7_u8; 8];
    let mut pieces =
        bytes.each_mut().map(|byte| libc::iovec { iov_base: std::ptr::from_mut(byte).cast(), iov_len: 1 });
    let wait = |fd: c_int, events| {
        let mut waits =
            [libc::pollfd { fd, events, revents: 0 }, libc::pollfd { fd: listener, events, revents: 0 }];
        // SAFETY: the list has as many elements as is said.
        assert_eq!(unsafe { capi::virtio_wl_poll(waits.as_mut_ptr(), 2, -1) }, 1);
    };
    for count in [1, 2, 8] {
        let pieces = &mut pieces[..count];
        let length = isize::try_from(count).expect("a small number");
        assert_no_allocation(&format!("messages of {count} pieces"), || {
            for (from, to) in [(near, far), (far, near)] {
                // SAFETY: the pieces are valid, and nobody else uses them.
                let send = |message: *mut libc::msghdr| unsafe { capi::virtio_wl_sendmsg(from, message, 0) };
                assert_eq!(by_c(send, pieces), length);
                wait(to, libc::POLLIN);
                // SAFETY: as above.
                let receive = |message| unsafe { capi::virtio_wl_recvmsg(to, message, 0) };
                assert_eq!(by_c(receive, pieces), length);
                wait(from, libc::POLLOUT);
            }
        });
    }
    for fd in [near, far, listener] {
        assert_eq!(capi::virtio_wl_close(fd), 0);
    }
}
