//! A peer that does not keep to `docs/wire.md`: each deviation is one clear error for that stream, and leaves nothing open.
//!
//! The peer is written by hand, byte by byte, so that it shares no code with the implementation. The tests run one at a
//! time because they count the descriptors of the process.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use virtio_wl::socket::Violation;
use virtio_wl::wire::WireError;
use virtio_wl::{Role, Socket, SocketError, SocketOptions, StreamLimits};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Descriptors of the kinds that a socket makes. Files are left out: the C library opens some of its own now and
/// then, in whatever thread.
fn open_descriptors() -> usize {
    let links = std::fs::read_dir("/proc/self/fd").expect("procfs");
    let targets = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
    let kinds = ["socket:", "pipe:", "anon_inode:", "/memfd:"];
    targets.filter(|target| kinds.iter().any(|kind| target.to_string_lossy().starts_with(kind))).count()
}

/// What a well-behaved initiator says first.
fn hello() -> Vec<u8> {
    let mut hello = b"VTWL\x01\x00\x01\x00".to_vec();
    for number in [256 * 1024, 65_536, 128 | 16 << 16, 4 << 20, 65_536, 0u32] {
        hello.extend_from_slice(&number.to_le_bytes());
    }
    hello
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short");
    [&[kind, flags, 0, 0], len.to_le_bytes().as_slice(), payload].concat()
}

fn data(ids: &[u32], bytes: &[u8]) -> Vec<u8> {
    if ids.is_empty() {
        return frame(1, 0, bytes);
    }
    let mut payload = u32::try_from(ids.len()).expect("few").to_le_bytes().to_vec();
    payload.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
    payload.extend_from_slice(bytes);
    frame(1, 1, &payload)
}

fn vfd(id: u32, kind: u8, flags: u8, offset: u64, len: u64) -> Vec<u8> {
    let head = [kind, flags, 0, 0];
    let parts: [&[u8]; 4] = [&id.to_le_bytes(), &head, &offset.to_le_bytes(), &len.to_le_bytes()];
    frame(5, 0, &parts.concat())
}

fn read_pipe(id: u32) -> Vec<u8> {
    vfd(id, 4, 0, 0, 0)
}

fn write_pipe(id: u32) -> Vec<u8> {
    vfd(id, 4, 1, 0, 0)
}

fn socket(id: u32) -> Vec<u8> {
    vfd(id, 5, 0, 0, 0)
}

/// A socket that a message has named.
fn named_socket() -> Vec<u8> {
    [socket(1), data(&[1], b"x")].concat()
}

/// BLOB_DATA (6), PIPE_DATA (7), PIPE_CREDIT (8), PIPE_END (9), PIPE_STOP (10), MIRROR_CLOSE (12).
fn about(kind: u8, id: u32, rest: &[u8]) -> Vec<u8> {
    frame(kind, 0, &[&id.to_le_bytes(), rest].concat())
}

fn mirror_write(id: u32, row_len: u32, stride: u32, rows: u32, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for number in [id, row_len, stride, rows] {
        payload.extend_from_slice(&number.to_le_bytes());
    }
    payload.extend_from_slice(&offset.to_le_bytes());
    payload.extend_from_slice(bytes);
    frame(11, 0, &payload)
}

/// Sends `bytes` to a new acceptor, which must fail. Gives its error, after making sure that it holds nothing.
fn fail(bytes: &[u8], then_close: bool) -> SocketError {
    fail_with(SocketOptions::default(), bytes, then_close)
}

fn fail_with(options: SocketOptions, bytes: &[u8], then_close: bool) -> SocketError {
    let _guard = alone();
    let before = open_descriptors();
    let (mut peer, stream) = UnixStream::pair().expect("socket pair");
    let mut socket = Socket::new(stream.into(), Role::Acceptor, options).expect("socket");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || {
        // The socket may stop reading before it has everything.
        let _ = peer.write_all(&bytes);
        if then_close {
            let _ = peer.shutdown(std::net::Shutdown::Both);
        }
        peer
    });
    let start = Instant::now();
    let error = loop {
        assert!(start.elapsed() < Duration::from_secs(30), "the socket accepts what it must refuse");
        if let Err(error) = socket.dispatch() {
            break error;
        }
        std::thread::yield_now();
    };
    assert_eq!(socket.dispatch(), Err(error.clone()), "the error stays");
    assert_eq!(socket.pipes_open(), 0);
    drop(socket);
    drop(writer.join().expect("written"));
    assert_eq!(open_descriptors(), before, "descriptors leaked");
    error
}

fn fail_after_hello(frames: &[Vec<u8>]) -> SocketError {
    fail(&[hello(), frames.concat()].concat(), false)
}

fn violation(frames: &[Vec<u8>]) -> Violation {
    match fail_after_hello(frames) {
        SocketError::Violation(violation) => violation,
        other => panic!("{other}"),
    }
}

fn wire(frames: &[Vec<u8>]) -> WireError {
    match fail_after_hello(frames) {
        SocketError::Wire(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn another_protocol_is_refused_by_its_first_bytes() {
    let error = fail(b"GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n", false);
    assert_eq!(error, SocketError::Wire(WireError::Magic(*b"GET ")));
}

#[test]
fn another_version_is_refused_by_its_number() {
    let mut bytes = hello();
    bytes[4] = 2;
    let error = fail(&bytes, false);
    assert_eq!(error, SocketError::Wire(WireError::Version(2)));
    assert_eq!(
        error.to_string(),
        "malformed stream: the peer speaks version 2 of the stream format, this program speaks version 1"
    );
}

#[test]
fn a_peer_with_the_same_role_or_another_purpose_is_refused() {
    let mut bytes = hello();
    bytes[7] = 1;
    assert_eq!(fail(&bytes, false), SocketError::Violation(Violation::Role(Role::Acceptor)));
    bytes[7] = 0;
    bytes[6] = 2;
    let expected = Violation::Purpose(virtio_wl::Purpose::Trim);
    assert_eq!(fail(&bytes, false), SocketError::Violation(expected));
}

#[test]
fn a_stream_that_ends_within_the_hello_or_a_frame_is_truncated() {
    assert_eq!(fail(&hello()[..20], true), SocketError::Truncated);
    for cut in [1, 7, 8, 10] {
        let bytes = [hello(), data(&[], b"message")[..cut].to_vec()].concat();
        assert_eq!(fail(&bytes, true), SocketError::Truncated, "{cut}");
    }
}

#[test]
fn a_stream_that_ends_between_frames_without_an_end_of_data_is_a_death() {
    assert_eq!(fail(&[], true), SocketError::Disconnected);
    assert_eq!(fail(&hello(), true), SocketError::Disconnected);
    let bytes = [hello(), read_pipe(1), data(&[1], b"x")].concat();
    assert_eq!(fail(&bytes, true), SocketError::Disconnected);
}

#[test]
fn unknown_frames_and_reserved_bits_are_refused() {
    assert_eq!(wire(&[frame(0, 0, b"")]), WireError::FrameType(0));
    assert_eq!(wire(&[frame(13, 0, b"")]), WireError::FrameType(13));
    assert_eq!(wire(&[frame(1, 2, b"x")]), WireError::Reserved(1));
    assert_eq!(wire(&[frame(3, 1, b"")]), WireError::Reserved(3));
}

#[test]
fn a_frame_that_claims_to_be_huge_is_refused_before_it_is_received() {
    let header = [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff].to_vec();
    assert_eq!(wire(&[header]), WireError::FrameLength(u32::MAX));
}

#[test]
fn unknown_vfd_kinds_and_sockets_with_properties_are_refused() {
    assert_eq!(wire(&[vfd(1, 6, 0, 0, 0)]), WireError::VfdKind(6));
    assert_eq!(wire(&[vfd(1, 99, 0, 0, 0)]), WireError::VfdKind(99));
    assert_eq!(wire(&[vfd(1, 5, 1, 0, 0)]), WireError::Reserved(5));
    assert_eq!(wire(&[vfd(1, 5, 0, 1, 0)]), WireError::Reserved(5));
    assert_eq!(wire(&[vfd(1, 5, 0, 0, 1)]), WireError::Bounds { field: "len", value: 1 });
}

#[test]
fn more_descriptors_than_fit_one_message_are_refused() {
    let ids: Vec<u32> = (0..29).map(|index| index * 2 + 1).collect();
    assert_eq!(wire(&[data(&ids, b"x")]), WireError::TooManyFds(29));
    let pipes: Vec<_> = ids.iter().map(|id| read_pipe(*id)).collect();
    assert_eq!(violation(&pipes), Violation::Limit { what: "VFDs for one message", limit: 28 });
}

#[test]
fn identifiers_out_of_order_are_refused() {
    for (frames, id) in [
        (vec![read_pipe(2)], 2),
        (vec![read_pipe(3), read_pipe(1)], 1),
        (vec![read_pipe(1), read_pipe(1)], 1),
        (vec![vfd(5, 3, 0, 0, 0), data(&[5], b"x"), vfd(5, 3, 0, 0, 0)], 5),
    ] {
        assert_eq!(violation(&frames), Violation::Id(id));
    }
}

#[test]
fn vfds_that_are_not_there_cannot_be_named() {
    let unknown = |frame, id| Violation::Unknown { frame, id };
    for (frames, expected) in [
        (vec![data(&[1], b"x")], unknown("DATA", 1)),
        (vec![vfd(1, 3, 0, 0, 8), data(&[1], b"x")], unknown("DATA", 1)),
        (vec![read_pipe(1), data(&[1, 1], b"x")], unknown("DATA", 1)),
        (vec![read_pipe(1), data(&[1], b"x"), data(&[1], b"x")], unknown("DATA", 1)),
        (vec![about(6, 1, b"x")], unknown("BLOB_DATA", 1)),
        (vec![read_pipe(1), about(6, 1, b"x")], unknown("BLOB_DATA", 1)),
        (vec![about(7, 1, b"x")], unknown("PIPE_DATA", 1)),
        (vec![write_pipe(1), about(7, 1, b"x")], unknown("PIPE_DATA", 1)),
        (vec![read_pipe(1), about(8, 1, &[1, 0, 0, 0])], unknown("PIPE_CREDIT", 1)),
        (vec![write_pipe(1), about(9, 1, b"")], unknown("PIPE_END", 1)),
        (vec![read_pipe(1), about(10, 1, b"")], unknown("PIPE_STOP", 1)),
        (vec![named_socket(), about(12, 1, b"")], unknown("MIRROR_CLOSE", 1)),
        (vec![named_socket(), about(6, 1, b"x")], unknown("BLOB_DATA", 1)),
        (vec![named_socket(), data(&[1], b"x")], unknown("DATA", 1)),
        (vec![mirror_write(1, 1, 1, 1, 0, b"x")], unknown("MIRROR_WRITE", 1)),
        (vec![read_pipe(1), about(12, 1, b"")], unknown("MIRROR_CLOSE", 1)),
        (vec![vfd(1, 2, 0, 0, 4096), about(12, 1, b""), data(&[1], b"x")], unknown("DATA", 1)),
    ] {
        assert_eq!(violation(&frames), expected);
    }
}

#[test]
fn pipes_that_have_ended_cannot_be_used() {
    let after_end = [read_pipe(1), data(&[1], b"x"), about(9, 1, b""), about(7, 1, b"x")];
    assert_eq!(violation(&after_end), Violation::Unknown { frame: "PIPE_DATA", id: 1 });
    let twice = [read_pipe(1), data(&[1], b"x"), about(9, 1, b""), about(9, 1, b"")];
    assert_eq!(violation(&twice), Violation::Unknown { frame: "PIPE_END", id: 1 });
    let after_stop = [write_pipe(1), data(&[1], b"x"), about(10, 1, b""), about(10, 1, b"")];
    assert_eq!(violation(&after_stop), Violation::Unknown { frame: "PIPE_STOP", id: 1 });
}

#[test]
fn each_direction_of_a_socket_ends_once() {
    let frames = |rest: &[Vec<u8>]| [&[socket(1), data(&[1], b"x")], rest].concat();
    let (end, stop) = (|| about(9, 1, b""), || about(10, 1, b""));
    for (rest, frame) in [
        (vec![end(), about(7, 1, b"x")], "PIPE_DATA"),
        (vec![end(), end()], "PIPE_END"),
        (vec![stop(), stop()], "PIPE_STOP"),
        (vec![stop(), about(8, 1, &[1, 0, 0, 0])], "PIPE_CREDIT"),
        // The other direction does not mind.
        (vec![stop(), about(7, 1, b"x"), end(), end()], "PIPE_END"),
        (vec![end(), stop(), stop()], "PIPE_STOP"),
    ] {
        assert_eq!(violation(&frames(&rest)), Violation::Unknown { frame, id: 1 });
    }
}

#[test]
fn sockets_keep_to_the_windows_and_limits_of_pipes() {
    let chunk = about(7, 1, &[7; 60_000]);
    let mut frames = vec![socket(1), data(&[1], b"x")];
    // What the local socket takes is granted again, so fill that first.
    frames.extend(std::iter::repeat_n(chunk, 12));
    assert_eq!(violation(&frames), Violation::Window("PIPE_DATA"));
    let credit = [socket(1), data(&[1], b"x"), about(8, 1, &[1, 0, 0, 0])];
    assert_eq!(violation(&credit), Violation::Credit("PIPE_CREDIT"));
    let frames: Vec<_> = (0..200).map(|n| [socket(n * 2 + 1), data(&[n * 2 + 1], b"x")].concat()).collect();
    assert!(matches!(violation(&frames), Violation::Limit { what: "pipes", .. } | Violation::Window("DATA")));
}

#[test]
fn a_side_that_takes_no_sockets_refuses_one() {
    let options = SocketOptions { take_sockets: false, ..SocketOptions::default() };
    let error = fail_with(options, &[hello(), socket(1)].concat(), false);
    assert_eq!(error, SocketError::Violation(Violation::Socket));
}

#[test]
fn more_than_a_window_is_refused() {
    let chunk = data(&[], &[7; 60_000]);
    assert_eq!(violation(&vec![chunk; 5]), Violation::Window("DATA"));

    let chunk = about(7, 1, &[7; 33_000]);
    let mut frames = vec![read_pipe(1), data(&[1], b"x")];
    // What the reader's pipe takes is granted again, so fill that first.
    frames.extend(std::iter::repeat_n(chunk, 6));
    assert_eq!(violation(&frames), Violation::Window("PIPE_DATA"));

    let message = |n: u32| {
        let ids: Vec<u32> = (0..28).map(|index| (n * 28 + index) * 2 + 1).collect();
        let mut frames: Vec<_> = ids.iter().map(|id| vfd(*id, 3, 0, 0, 0)).collect();
        frames.push(data(&ids, b"x"));
        frames.concat()
    };
    let messages: Vec<_> = (0..3).map(message).collect();
    assert_eq!(violation(&messages), Violation::Window("DATA"), "descriptors cost part of the window");
}

#[test]
fn credit_beyond_the_window_is_refused() {
    assert_eq!(violation(&[frame(2, 0, &[1, 0, 0, 0])]), Violation::Credit("DATA_CREDIT"));
    let pipe = [write_pipe(1), data(&[1], b"x"), about(8, 1, &[1, 0, 0, 0])];
    assert_eq!(violation(&pipe), Violation::Credit("PIPE_CREDIT"));
}

#[test]
fn blobs_keep_to_their_announced_length_and_to_the_limit() {
    assert_eq!(violation(&[vfd(1, 3, 0, 0, 4), about(6, 1, b"12345")]), Violation::BlobLength(1));
    let limit = Violation::Limit { what: "bytes of blobs in one message", limit: 4 << 20 };
    assert_eq!(violation(&[vfd(1, 3, 0, 0, (4 << 20) + 1)]), limit);
    assert_eq!(violation(&[vfd(1, 3, 0, 0, 3 << 20), vfd(3, 3, 0, 0, 2 << 20)]), limit);
}

#[test]
fn mirrors_keep_to_their_bounds_and_to_the_limits() {
    for (rect, outside) in [((8, 8, 1), 4089), ((1, 4096, 2), 0), ((4096, 4096, 1), 1)] {
        let (row_len, stride, rows) = rect;
        let bytes = vec![0; usize::try_from(row_len * rows).expect("short")];
        let frames = [vfd(1, 2, 0, 0, 4096), mirror_write(1, row_len, stride, rows, outside, &bytes)];
        assert_eq!(violation(&frames), Violation::MirrorBounds(1));
    }
    let many: Vec<_> = (0..17).map(|index| vfd(index * 2 + 1, 2, 0, 0, 4096)).collect();
    assert_eq!(violation(&many), Violation::Limit { what: "mirrors", limit: 16 });
    let large = [vfd(1, 2, 0, 0, 200 << 20), vfd(3, 2, 0, 0, 57 << 20)];
    assert_eq!(violation(&large), Violation::Limit { what: "bytes of mirrors", limit: 256 << 20 });
}

/// The first bytes of a MIRROR_WRITE with more rows to come than are there.
fn mirror_head(id: u32, row_len: u32, offset: u64) -> Vec<u8> {
    let content = vec![7; usize::try_from(row_len).expect("short")];
    mirror_write(id, row_len, row_len, 1, offset, &content)[..40].to_vec()
}

#[test]
fn rows_are_judged_before_they_are_received() {
    let mirror = || vfd(1, 2, 0, 0, 8192);
    assert_eq!(violation(&[mirror(), mirror_head(1, 8000, 193)]), Violation::MirrorBounds(1));
    let unknown = Violation::Unknown { frame: "MIRROR_WRITE", id: 3 };
    assert_eq!(violation(&[mirror(), mirror_head(3, 8000, 0)]), unknown);
    let after_end = [mirror(), frame(3, 0, b""), mirror_head(1, 8000, 0)];
    assert_eq!(violation(&after_end), Violation::AfterEnd("MIRROR_WRITE"));
    let mut wrong = mirror_head(1, 8000, 0);
    wrong[4] += 1;
    let len = 8000 + 24 + 1;
    assert_eq!(wire(&[mirror(), wrong]), WireError::PayloadLength { kind: 11, len });
}

#[test]
fn a_stream_that_ends_within_rows_is_truncated() {
    let frames = [hello(), vfd(1, 2, 0, 0, 1 << 20), mirror_write(1, 3000, 4000, 20, 0, &[7; 60_000])];
    let bytes = frames.concat();
    for missing in [1, 3001, 59_000] {
        assert_eq!(fail(&bytes[..bytes.len() - missing], true), SocketError::Truncated);
    }
}

#[test]
fn a_region_that_is_not_shared_cannot_be_named() {
    assert_eq!(violation(&[vfd(1, 1, 0, 0, 4096)]), Violation::Region);
}

#[test]
fn pipes_beyond_the_limit_are_refused() {
    let frames: Vec<_> =
        (0..200).map(|n| [read_pipe(n * 2 + 1), data(&[n * 2 + 1], b"x")].concat()).collect();
    // They are refused by their number or because nobody takes their descriptors, whichever comes first.
    assert!(matches!(violation(&frames), Violation::Limit { what: "pipes", .. } | Violation::Window("DATA")));
}

#[test]
fn nothing_of_the_data_follows_its_end() {
    let end = || frame(3, 0, b"");
    for (next, name) in [
        (data(&[], b"x"), "DATA"),
        (read_pipe(1), "VFD_NEW"),
        (about(6, 1, b"x"), "BLOB_DATA"),
        (mirror_write(1, 1, 1, 1, 0, b"x"), "MIRROR_WRITE"),
        (about(12, 1, b""), "MIRROR_CLOSE"),
        (end(), "DATA_END"),
    ] {
        assert_eq!(violation(&[end(), next]), Violation::AfterEnd(name));
    }
}

#[test]
fn an_unfinished_blob_and_unnamed_vfds_at_the_end_of_the_data_are_closed() {
    let _guard = alone();
    let before = open_descriptors();
    let (mut peer, stream) = UnixStream::pair().expect("socket pair");
    let mut socket = Socket::new(stream.into(), Role::Acceptor, SocketOptions::default()).expect("socket");
    let open = open_descriptors();
    let frames = [hello(), read_pipe(1), vfd(3, 3, 0, 0, 100), about(6, 3, b"half"), frame(3, 0, b"")];
    peer.write_all(&frames.concat()).expect("written");
    peer.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let mut answer = [0; 32 + 12];
    for _ in 0..4 {
        socket.dispatch().expect("alive");
    }
    peer.read_exact(&mut answer).expect("hello and the end of the pipe");
    assert_eq!(answer[32..], about(10, 1, b"")[..], "nobody has the reader");
    peer.write_all(&about(9, 1, b"")).expect("written");
    socket.dispatch().expect("alive");
    assert_eq!((socket.pipes_open(), open_descriptors()), (0, open));
    drop((socket, peer));
    assert_eq!(open_descriptors(), before);
}

#[test]
fn a_peer_that_talks_but_never_reads_makes_nothing_grow() {
    let _guard = alone();
    let (mut peer, stream) = UnixStream::pair().expect("socket pair");
    let small = StreamLimits { max_queue_bytes: 64 * 1024, ..StreamLimits::default() };
    let options = SocketOptions { limits: small, ..SocketOptions::default() };
    let mut socket = Socket::new(stream.into(), Role::Acceptor, options).expect("socket");
    peer.write_all(&hello()).expect("written");
    socket.dispatch().expect("alive");
    // Everything that makes the socket answer, over and over: credit for data that is taken at once, and pipes that end.
    let mut id = 1;
    for _ in 0..10_000 {
        let bytes = [read_pipe(id), data(&[id], &[7; 100]), about(9, id, b"")].concat();
        peer.write_all(&bytes).expect("the socket always reads");
        id += 2;
        let result = socket.dispatch();
        let mut fds = Vec::new();
        while socket.recvmsg(&mut [0; 4096], &mut fds).is_ok() {}
        let _ = socket.sendmsg(&[7; 1000], &[]);
        assert!(socket.queued_bytes() <= 64 * 1024 + 16 * 1024);
        assert!(socket.pipes_open() <= 128);
        if let Err(error) = result {
            // What was granted in frames that the peer does not read cannot be known to it.
            let SocketError::Violation(violation) = error else { panic!("{error}") };
            let pipes = Violation::Limit { what: "pipes", limit: 128 };
            assert!(violation == pipes || violation == Violation::Window("DATA"), "{violation}");
            return;
        }
    }
    panic!("the peer never had to read");
}

#[test]
fn arbitrary_streams_never_panic_and_leak_nothing() {
    let _guard = alone();
    let before = open_descriptors();
    // A linear congruential generator: the same streams in every run.
    let mut state = 12_345u64;
    let mut random = move |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for _ in 0..3000 {
        let mut bytes = hello();
        for _ in 0..random(20) {
            let id = u32::try_from(random(12)).expect("small");
            let content = vec![7; usize::try_from(random(100) + 1).expect("small")];
            let len = random(200);
            let kind = u8::try_from(random(13)).expect("small");
            bytes.extend(match kind {
                1 => data(&[id], &content),
                2 => data(&[], &content),
                5 if random(3) == 0 => socket(id | 1),
                5 => vfd(id | 1, u8::try_from(random(7)).expect("small"), u8::from(len % 2 == 0), 0, len),
                11 => mirror_write(id, 1, 1, u32::try_from(content.len()).expect("small"), len, &content),
                8 => about(8, id, &[1, 0, 0, 0]),
                3 | 4 => frame(kind, 0, b""),
                9 | 10 | 12 => about(kind, id, b""),
                _ => about(kind, id, &content),
            });
        }
        let cut = bytes.len() - usize::try_from(random(3)).expect("small");
        let (mut peer, stream) = UnixStream::pair().expect("socket pair");
        let mut socket =
            Socket::new(stream.into(), Role::Acceptor, SocketOptions::default()).expect("socket");
        peer.write_all(&bytes[..cut]).expect("fits the buffer of the kernel");
        drop(peer);
        let mut fds = Vec::new();
        for _ in 0..50 {
            let result = socket.dispatch();
            while let Ok(1..) = socket.recvmsg(&mut [0; 64], &mut fds) {}
            if result.is_err() {
                break;
            }
        }
        assert!(fds.iter().all(|fd| fd.as_fd().try_clone_to_owned().is_ok()));
    }
    assert_eq!(open_descriptors(), before, "descriptors leaked");
}
