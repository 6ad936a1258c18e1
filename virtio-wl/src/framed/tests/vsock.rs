//! Writes to a vsock are short: guests and VMMs were seen to stall for ever on 64 KiB.

use std::fs::File;
use std::sync::Arc;
use std::thread;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::*;
use crate::address::Address;
use crate::socket::Socket;
use crate::wire::{HELLO_LEN, MAX_UNIX_WRITE, MAX_WRITE};

/// The longest of all the writes that carry data, a blob, pixels of a mirror and the content of a pipe.
fn longest_write(options: SocketOptions) -> usize {
    // Such a socket keeps the writes apart.
    let (stream, peer) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::NONBLOCK, None)
            .expect("socket pair");
    let mut socket = FramedSocket::new(stream, Role::Initiator, options).expect("valid options");
    let hello = Hello {
        purpose: socket.options.purpose,
        role: Role::Acceptor,
        has_region: false,
        takes_sockets: true,
        data_window: 16 << 20,
        pipe_window: 1 << 20,
        max_pipes: 16,
        max_mirrors: 16,
        max_blob: 4 << 20,
        max_mirror_bytes: 64 << 20,
    };
    rustix::io::write(&peer, &hello.encode()).expect("sent");
    socket.dispatch().expect("a hello");
    assert!(socket.is_open());

    // Data that is written at once, and data that waits for its turn behind it.
    assert_eq!(socket.sendmsg(&pattern(300_000), &[]), Ok(300_000));
    let blob = File::from(crate::region::memfd(c"test").expect("memory"));
    blob.set_len(200_000).expect("resized");
    let seals = rustix::fs::SealFlags::WRITE | rustix::fs::SealFlags::GROW | rustix::fs::SealFlags::SHRINK;
    rustix::fs::fcntl_add_seals(&blob, seals).expect("sealed");
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    rustix::pipe::fcntl_setpipe_size(&writer, 1 << 20).expect("resized");
    assert_eq!(rustix::io::write(&writer, &pattern(300_000)), Ok(300_000));
    assert_eq!(socket.sendmsg(b"x", &[blob.as_fd(), reader.as_fd()]), Ok(1));
    let pixels = Arc::new(Region::create_memfd(8 << 20).expect("created"));
    let rows = MirrorRect { offset: 4096, row_len: 5000, stride: 6000, rows: 300 };
    socket.mirror_write(&pixels, rows).expect("queued");
    let line = MirrorRect { offset: 4096, row_len: 400_000, stride: 400_000, rows: 1 };
    socket.mirror_write(&pixels, line).expect("queued");

    let (mut all, mut longest) = (0, 0);
    let mut buffer = vec![0; 1 << 20];
    let expected = HELLO_LEN + 300_000 + 200_000 + 300_000 + 1_500_000 + 400_000;
    let start = Instant::now();
    while all < expected {
        assert!(start.elapsed() < DEADLINE, "timed out");
        match rustix::io::read(&peer, &mut buffer) {
            Ok(len) => (all, longest) = (all + len, longest.max(len)),
            Err(error) => assert_eq!(error, Errno::AGAIN),
        }
        socket.dispatch().expect("alive");
    }
    longest
}

#[test]
fn no_write_to_the_vsock_of_a_vmm_is_longer_than_16_kib() {
    assert!(longest_write(SocketOptions { is_vsock: true, ..options() }) <= MAX_WRITE);
    let longest = longest_write(options());
    assert!((MAX_WRITE + 1..=MAX_UNIX_WRITE).contains(&longest), "a plain socket takes more: {longest}");
}

/// The kernel takes either end for a Unix socket, so that both were written 64 KiB at a time.
#[test]
fn the_host_ends_of_a_vsock_are_known_by_their_address_in_both_directions() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let vmm = dir.path().join("vm");
    let hybrid = Address::VsockUds { path: vmm.clone(), port: 77 };
    let plain = Address::Unix(dir.path().join("plain"));

    let listeners = [&hybrid, &plain].map(|address| address.listen().expect("listening"));
    let callers = [dir.path().join("vm_77"), dir.path().join("plain")]
        .map(|path| UnixStream::connect(path).expect("connected"));
    let accepted = listeners.each_ref().map(|listener| {
        let accepted = listener.accept().expect("a caller");
        Socket::accept(accepted, options()).expect("valid options").max_write()
    });
    assert_eq!(accepted, [MAX_WRITE, MAX_UNIX_WRITE]);
    drop(callers);

    let listener = std::os::unix::net::UnixListener::bind(&vmm).expect("bound");
    let answer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        stream.read_exact(&mut [0; 11]).expect("CONNECT 77");
        stream.write_all(b"OK 1\n").expect("answered");
        stream
    });
    let connected =
        [&hybrid, &plain].map(|address| Socket::connect(address, options()).expect("connected").max_write());
    assert_eq!(connected, [MAX_WRITE, MAX_UNIX_WRITE]);
    drop(answer.join().expect("no panic"));
}
