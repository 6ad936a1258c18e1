use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::SealFlags;

use super::*;
use crate::vfd::VfdError;
use crate::wire::MAX_FDS;

fn read_end() -> OwnedFd {
    rustix::pipe::pipe().expect("pipe").0
}

fn sealed_memory(content: &[u8]) -> OwnedFd {
    let mut file = File::from(crate::region::memfd(c"test").expect("memory"));
    file.write_all(content).expect("written");
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK).expect("sealed");
    file.into()
}

fn content(fd: &ReceivedFd) -> Vec<u8> {
    let file = File::from(fd.fd.try_clone().expect("duplicated"));
    let mut bytes = vec![0; usize::try_from(file.metadata().expect("size").len()).expect("small")];
    file.read_exact_at(&mut bytes, 0).expect("read");
    bytes
}

#[test]
fn bytes_cross_in_both_directions() {
    let (mut one, mut two) = pair();
    assert_eq!(one.sendmsg(b"there", &[]), Ok(5));
    assert_eq!(two.sendmsg(b"back", &[]), Ok(4));
    assert_eq!(receive(&mut one, &mut two, 5).0, b"there");
    assert_eq!(receive(&mut two, &mut one, 4).0, b"back");
    assert_eq!(one.recvmsg(&mut [0; 8], &mut Vec::new()), Err(SocketError::WouldBlock));
}

#[test]
fn sending_would_block_until_the_peer_has_said_hello() {
    let (left, right) = UnixStream::pair().expect("socket pair");
    let mut one = FramedSocket::new(left.into(), Role::Initiator, options()).expect("valid options");
    one.dispatch().expect("alive");
    assert_eq!(one.sendmsg(b"x", &[]), Err(SocketError::WouldBlock));
    let mut two = FramedSocket::new(right.into(), Role::Acceptor, options()).expect("valid options");
    assert!(is_readable(&one));
    one.dispatch().expect("alive");
    assert_eq!(one.sendmsg(b"x", &[]), Ok(1));
    assert_eq!(receive(&mut one, &mut two, 1).0, b"x");
}

#[test]
fn a_megabyte_crosses_whole_whatever_the_sizes_of_the_calls() {
    let (mut one, mut two) = pair();
    let sent = pattern(1 << 20);
    let (mut from, mut received, mut size) = (0, Vec::new(), 1);
    run(&mut [&mut one, &mut two], |sockets| {
        while from < sent.len() {
            let end = sent.len().min(from + size);
            match sockets[0].sendmsg(&sent[from..end], &[]) {
                Ok(len) => from += len,
                Err(error) => {
                    assert_eq!(error, SocketError::WouldBlock);
                    break;
                }
            }
            size = size * 7 % 50_021;
        }
        let mut buffer = vec![0; size];
        while let Ok(len) = sockets[1].recvmsg(&mut buffer, &mut Vec::new()) {
            received.extend_from_slice(&buffer[..len]);
        }
        received.len() == sent.len()
    });
    assert!(received == sent);
}

/// Forwards bytes between two streams one by one.
fn split_into_single_bytes(mut from: UnixStream, mut to: UnixStream) {
    std::thread::spawn(move || {
        let mut byte = [0];
        while from.read_exact(&mut byte).is_ok() && to.write_all(&byte).is_ok() {}
    });
}

#[test]
fn a_stream_that_comes_byte_by_byte_is_the_same_stream() {
    let (left, wire_left) = UnixStream::pair().expect("socket pair");
    let (right, wire_right) = UnixStream::pair().expect("socket pair");
    split_into_single_bytes(
        wire_left.try_clone().expect("duplicated"),
        wire_right.try_clone().expect("duplicated"),
    );
    split_into_single_bytes(wire_right, wire_left);
    let mut one = FramedSocket::new(left.into(), Role::Initiator, options()).expect("valid options");
    let mut two = FramedSocket::new(right.into(), Role::Acceptor, options()).expect("valid options");
    run(&mut [&mut one, &mut two], |sockets| sockets.iter().all(|socket| socket.is_open()));

    let keymap = pattern(5000);
    let blob = sealed_memory(&keymap);
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let received = cross(&mut one, &mut two, &[blob.as_fd(), reader.as_fd()]);
    drop(reader);
    assert_eq!(content(&received[0]), keymap);
    rustix::io::write(&writer, b"through the pipe").expect("written");
    drop(writer);
    let mut through = Vec::new();
    run(&mut [&mut one, &mut two], |_| {
        let mut buffer = [0; 64];
        if is_readable(&received[1]) {
            let len = rustix::io::read(&received[1], &mut buffer).expect("read");
            through.extend_from_slice(&buffer[..len]);
            return len == 0;
        }
        false
    });
    assert_eq!(through, b"through the pipe");
}

#[test]
fn twenty_eight_descriptors_cross_in_their_order() {
    let (mut one, mut two) = pair();
    let blobs: Vec<_> = (0..28u8).map(|index| sealed_memory(&[index])).collect();
    let borrowed: Vec<_> = blobs.iter().map(AsFd::as_fd).collect();
    let received = cross(&mut one, &mut two, &borrowed);
    let order: Vec<_> = received.iter().flat_map(content).collect();
    assert_eq!(order, (0..28).collect::<Vec<u8>>());
}

#[test]
fn twenty_nine_descriptors_are_refused_and_nothing_is_sent() {
    let (mut one, mut two) = pair();
    let fd = read_end();
    assert_eq!(one.sendmsg(b"x", &[fd.as_fd(); 29]), Err(SocketError::TooManyFds(29)));
    assert_eq!(one.queued_bytes(), 0);
    cross(&mut one, &mut two, &[]);
}

#[test]
fn descriptors_need_a_byte_to_travel_with() {
    let (mut one, mut two) = pair();
    let fd = read_end();
    assert!(matches!(one.sendmsg(b"", &[fd.as_fd()]), Err(SocketError::Invalid(_))));
    assert_eq!(one.sendmsg(b"", &[]), Ok(0));
    cross(&mut one, &mut two, &[fd.as_fd()]);
}

#[test]
fn bursts_of_descriptors_stay_with_their_bytes() {
    let (mut one, mut two) = pair();
    let mut sent = 0u32;
    let mut seen = 0u32;
    run(&mut [&mut one, &mut two], |sockets| {
        // Message n is 3 bytes long and carries n % 6 blobs that say n.
        while sent < 400 {
            let blobs: Vec<_> = (0..sent % 6).map(|_| sealed_memory(&sent.to_le_bytes())).collect();
            let borrowed: Vec<_> = blobs.iter().map(AsFd::as_fd).collect();
            let text = [b'm', sent.to_le_bytes()[0], sent.to_le_bytes()[1]];
            match sockets[0].sendmsg(&text, &borrowed) {
                Ok(len) => assert_eq!(len, 3, "far from the bound of the queue"),
                Err(error) => {
                    assert_eq!(error, SocketError::WouldBlock);
                    break;
                }
            }
            sent += 1;
        }
        let (mut buffer, mut fds) = ([0; 4096], Vec::new());
        while let Ok(len) = sockets[1].recvmsg(&mut buffer, &mut fds) {
            assert_eq!(len % 3, 0, "messages with descriptors are not cut here");
            for (index, message) in buffer[..len].chunks(3).enumerate() {
                assert_eq!(message, [b'm', seen.to_le_bytes()[0], seen.to_le_bytes()[1]]);
                let own = if index == 0 { std::mem::take(&mut fds) } else { Vec::new() };
                assert_eq!(own.len(), usize::try_from(seen % 6).expect("small"), "message {seen}");
                assert!(own.iter().all(|fd| content(fd) == seen.to_le_bytes()));
                seen += 1;
            }
        }
        seen == 400
    });
}

#[test]
fn a_small_receive_gets_all_descriptors_of_the_message_with_its_first_byte() {
    let (mut one, mut two) = pair();
    let fd = read_end();
    assert_eq!(one.sendmsg(b"ab", &[fd.as_fd(); 3]), Ok(2));
    settle(&mut [&mut one, &mut two]);
    let (mut byte, mut fds) = ([0], Vec::new());
    assert_eq!(two.recvmsg(&mut byte, &mut fds), Ok(1));
    assert_eq!((byte, fds.len()), (*b"a", 3));
    assert_eq!(two.recvmsg(&mut byte, &mut fds), Ok(1));
    assert_eq!((byte, fds.len()), (*b"b", 3));
}

#[test]
fn a_peer_that_never_says_hello_is_given_up_with_one_wake_up() {
    let (peer, stream) = UnixStream::pair().expect("socket pair");
    let wait = Duration::from_millis(20);
    let patient = SocketOptions { hello_timeout: Some(wait), ..options() };
    let mut socket = FramedSocket::new(stream.into(), Role::Acceptor, patient).expect("valid options");
    let limit = rustix::event::Timespec::try_from(DEADLINE).expect("a time");
    poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&limit)).expect("polled");
    let error = socket.dispatch().expect_err("no hello has come");
    assert_eq!((&error, error.errno()), (&SocketError::HelloTimeout(wait), Errno::TIMEDOUT));
    assert_eq!(socket.dispatch(), Err(error));
    assert!(!is_readable(&socket), "nothing is waited for any more");
    drop(peer);
}

#[test]
fn a_hello_in_time_stops_the_clock() {
    let patient = || SocketOptions { hello_timeout: Some(DEADLINE), ..options() };
    let (mut one, mut two) = pair_with(patient(), patient());
    assert_eq!((one.deadline.expired(), two.deadline.expired()), (Ok(()), Ok(())));
    cross(&mut one, &mut two, &[]);
}

#[test]
fn a_paused_socket_takes_nothing_without_wake_ups_and_goes_on_afterwards() {
    let (mut one, mut two) = pair();
    settle(&mut [&mut one, &mut two]);
    let before = two.received_bytes();
    assert_eq!(before, 32, "the hello");
    two.pause(true).expect("alive");
    assert_eq!(one.sendmsg(b"message", &[]), Ok(7));
    settle(&mut [&mut one, &mut two]);
    two.dispatch().expect("alive");
    assert_eq!(two.received_bytes(), before);
    assert_eq!(two.recvmsg(&mut [0; 8], &mut Vec::new()), Err(SocketError::WouldBlock));
    two.pause(false).expect("alive");
    assert_eq!(receive(&mut one, &mut two, 7).0, b"message");
    assert_eq!(two.received_bytes(), before + 8 + 7);
}

#[test]
fn refused_kinds_send_nothing_of_their_message() {
    let (mut one, mut two) = pair();
    let (socket, _other) = std::os::unix::net::UnixDatagram::pair().expect("socket pair");
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).expect("eventfd");
    let pipe = read_end();
    for refused in [socket.as_fd(), event.as_fd()] {
        let error = one.sendmsg(b"refused", &[pipe.as_fd(), refused]).expect_err("refused");
        assert!(matches!(error, SocketError::Unsupported(VfdError::Unsupported(_))), "{error}");
        assert_eq!(error.errno(), Errno::OPNOTSUPP);
    }
    assert_eq!((one.queued_bytes(), one.pipes_open()), (0, 0));
    cross(&mut one, &mut two, &[]);
}

#[test]
fn a_blob_is_sealed_and_has_the_content_that_the_sender_had_at_the_time() {
    let (mut one, mut two) = pair();
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    file.as_file().write_all_at(b"keymap", 0).expect("written");
    let read_only = File::open(file.path()).expect("opened");
    assert_eq!(one.sendmsg(b"x", &[read_only.as_fd()]), Ok(1));
    file.as_file().write_all_at(b"change", 0).expect("written");
    let (_, fds) = receive(&mut one, &mut two, 1);
    assert_eq!(fds[0].kind, ReceivedKind::Blob { len: 6 });
    assert_eq!(content(&fds[0]), b"keymap");
    let seals = rustix::fs::fcntl_get_seals(&fds[0]).expect("seals");
    assert!(seals.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL));
}

#[test]
fn blobs_up_to_the_limit_cross_and_larger_ones_are_refused() {
    let (mut one, mut two) = pair();
    let limit = usize::try_from(StreamLimits::default().max_blob_bytes).expect("small");
    let largest = pattern(limit);
    for _ in 0..3 {
        let blob = sealed_memory(&largest);
        let received = cross(&mut one, &mut two, &[blob.as_fd()]);
        assert!(content(&received[0]) == largest);
    }
    let half = sealed_memory(&largest[..limit / 2 + 1]);
    let error = one.sendmsg(b"x", &[half.as_fd(), half.as_fd()]).expect_err("together too large");
    assert!(matches!(error, SocketError::Unsupported(VfdError::BlobTooLarge { .. })));
    let empty = sealed_memory(b"");
    assert_eq!(cross(&mut one, &mut two, &[empty.as_fd()])[0].kind, ReceivedKind::Blob { len: 0 });
}

#[test]
fn a_receiver_that_does_not_take_blobs_stops_their_sender() {
    let (mut one, mut two) = pair();
    let blob = sealed_memory(&pattern(1 << 20));
    let mut messages = 0;
    for _ in 0..100 {
        settle(&mut [&mut one, &mut two]);
        match one.sendmsg(b"x", &[blob.as_fd()]) {
            Ok(_) => messages += 1,
            Err(error) => assert_eq!(error, SocketError::WouldBlock),
        }
    }
    assert!((4..16).contains(&messages), "{messages}");
    let (_, fds) = receive(&mut one, &mut two, messages);
    assert_eq!(fds.len(), messages);
    assert!(fds.iter().all(|fd| content(fd).len() == 1 << 20));
}

#[test]
fn a_receiver_that_never_reads_costs_the_sender_no_more_than_its_queue() {
    let (mut one, mut two) = pair();
    let chunk = pattern(10_000);
    let mut accepted = 0;
    loop {
        settle(&mut [&mut one, &mut two]);
        match one.sendmsg(&chunk, &[]) {
            Ok(len) => accepted += len,
            Err(error) => {
                assert_eq!(error, SocketError::WouldBlock);
                break;
            }
        }
    }
    let bound = one.options.limits.max_queue_bytes;
    assert!(one.queued_bytes() <= bound + crate::wire::MAX_WRITE, "{}", one.queued_bytes());
    let window = usize::try_from(two.options.limits.data_window).expect("small");
    assert!((bound..=bound + window).contains(&accepted), "{accepted}");
    assert!(!is_readable(&one) && !is_readable(&two), "blocked sockets are idle");
    assert_eq!(receive(&mut one, &mut two, accepted).0.len(), accepted);
    assert_eq!(one.sendmsg(&chunk, &[]), Ok(chunk.len()));
}

#[test]
fn a_flow_that_never_pauses_keeps_nothing_of_what_has_passed() {
    let (mut one, mut two) = pair();
    let chunk = pattern(10_000);
    for _ in 0..2000 {
        // Neither queue is ever empty: less is taken than could be.
        while one.queued_bytes() < 300_000 && one.sendmsg(&chunk, &[]).is_ok() {}
        one.dispatch().expect("alive");
        two.dispatch().expect("alive");
        assert_eq!(two.recvmsg(&mut [0; 5000], &mut Vec::new()), Ok(5000));
        assert!(two.incoming.occupied() < 600_000, "{}", two.incoming.occupied());
        assert!(one.outgoing.occupied() < 600_000, "{}", one.outgoing.occupied());
    }
}

#[test]
fn messages_with_descriptors_for_a_peer_that_never_reads_are_bounded() {
    let region = Arc::new(Region::create_memfd(8192).expect("created"));
    let with = || SocketOptions { region: Some(Arc::clone(&region)), ..options() };
    let (mut one, _two) = pair_with(with(), with());
    let message = [region.as_fd(); MAX_FDS];
    let sent = std::iter::repeat_with(|| one.sendmsg(b"x", &message)).take_while(Result::is_ok).count();
    assert!((100..2000).contains(&sent), "{sent}");
}

#[test]
fn descriptors_that_nobody_takes_are_bounded() {
    let (mut one, mut two) = pair();
    let blob = sealed_memory(b"x");
    let message = [blob.as_fd(); MAX_FDS];
    for _ in 0..100 {
        one.sendmsg(b"x", &message).expect("a hundred bytes fit the queue");
        settle(&mut [&mut one, &mut two]);
    }
    let mut fds = Vec::new();
    let mut messages = 0;
    while two.recvmsg(&mut [0], &mut fds).is_ok() {
        messages += 1;
        assert_eq!(fds.len(), messages * MAX_FDS);
    }
    assert!((1..=4).contains(&messages), "{messages} messages were held");
    let (_, rest) = receive(&mut one, &mut two, 100 - messages);
    assert_eq!(fds.len() + rest.len(), 100 * MAX_FDS);
}

#[test]
fn the_region_is_recognised_and_costs_no_copy() {
    let mine = Arc::new(Region::create_memfd(1 << 20).expect("created"));
    let theirs = Region::from_fd(mine.try_clone_fd().expect("duplicated")).expect("opened");
    let theirs = Arc::new(theirs);
    let with = |region: &Arc<Region>| SocketOptions { region: Some(Arc::clone(region)), ..options() };
    let (mut one, mut two) = pair_with(with(&mine), with(&theirs));
    assert_eq!(one.shares_region(), Some(true));
    let received = cross(&mut one, &mut two, &[mine.as_fd()]);
    assert_eq!(received[0].kind, ReceivedKind::Region { offset: 0, len: 1 << 20 });
    assert_eq!(FileId::of(received[0].as_fd()), Ok(mine.id()));
    let rect = MirrorRect { offset: 4096, row_len: 4, stride: 4, rows: 1 };
    one.mirror_write(&mine, rect).expect("nothing to do");
    assert_eq!(one.outgoing.jobs(), 0);
}

#[test]
fn each_direction_ends_on_its_own_and_the_socket_is_finished_after_both() {
    let (mut one, mut two) = pair();
    one.sendmsg(b"last words", &[]).expect("open");
    one.shutdown_write();
    assert_eq!(one.sendmsg(b"x", &[]), Err(SocketError::BrokenPipe));
    assert_eq!(receive(&mut one, &mut two, 10).0, b"last words");
    assert_eq!(two.recvmsg(&mut [0; 8], &mut Vec::new()), Ok(0));
    assert_eq!(two.sendmsg(b"answer", &[]), Ok(6));
    assert_eq!(receive(&mut two, &mut one, 6).0, b"answer");
    assert!(!one.is_finished() && !two.is_finished());
    two.shutdown_write();
    settle(&mut [&mut one, &mut two]);
    assert_eq!(one.recvmsg(&mut [0; 8], &mut Vec::new()), Ok(0));
    assert!(one.is_finished() && two.is_finished());
    drop(two);
    one.dispatch().expect("the stream ends in order");
    assert!(!is_readable(&one), "a finished socket is idle");
}

#[test]
fn a_side_that_wants_no_more_data_breaks_the_other_sides_sending() {
    let (mut one, mut two) = pair();
    let fd = read_end();
    one.sendmsg(&pattern(500_000), &[fd.as_fd()]).expect("open");
    settle(&mut [&mut one, &mut two]);
    two.shutdown_read();
    settle(&mut [&mut one, &mut two]);
    assert_eq!(one.sendmsg(b"x", &[]), Err(SocketError::BrokenPipe));
    assert_eq!(one.queued_bytes(), 0);
    assert_eq!(two.recvmsg(&mut [0; 8], &mut Vec::new()), Ok(0));
    assert_eq!(two.sendmsg(b"still there", &[]), Ok(11));
    assert_eq!(receive(&mut two, &mut one, 11).0, b"still there");
    two.shutdown_write();
    settle(&mut [&mut one, &mut two]);
    assert!(one.is_finished() && two.is_finished());
}

#[test]
fn what_a_dead_peer_had_sent_is_received_before_the_error() {
    let (mut one, mut two) = pair();
    one.sendmsg(b"last words", &[]).expect("open");
    drop(one);
    let start = Instant::now();
    let error = std::iter::repeat_with(|| two.dispatch()).find_map(|result| {
        assert!(start.elapsed() < DEADLINE, "timed out");
        result.err()
    });
    assert_eq!(error, Some(SocketError::Disconnected));
    let mut buffer = [0; 16];
    assert_eq!(two.recvmsg(&mut buffer, &mut Vec::new()), Ok(10));
    assert_eq!(&buffer[..10], b"last words");
    assert_eq!(two.recvmsg(&mut buffer, &mut Vec::new()), Err(SocketError::Disconnected));
    assert_eq!(two.sendmsg(b"x", &[]), Err(SocketError::Disconnected));
    assert!(!is_readable(&two), "whose failure was noticed is idle");
}

#[test]
fn sending_to_a_dead_peer_still_gives_what_it_had_sent() {
    let (mut one, mut two) = pair();
    one.sendmsg(b"last words", &[]).expect("open");
    drop(one);
    assert_eq!(two.sendmsg(b"x", &[]), Err(SocketError::Disconnected));
    assert_eq!(two.recvmsg(&mut [0; 16], &mut Vec::new()), Ok(10));
}

/// Whoever writes to a server that is about to end the connection does not care that the write failed, but waits for what
/// the server said last: libwayland does, and a client in the tests of the gate did. It waited for ever, as the write had
/// taken the stream out of what is waited for.
#[test]
fn a_failure_that_a_write_met_is_seen_by_waiting() {
    let fail: [fn(&mut FramedSocket); 3] = [
        |socket| assert_eq!(socket.sendmsg(b"x", &[]), Err(SocketError::Disconnected)),
        |socket| socket.shutdown_write(),
        |socket| socket.shutdown_read(),
    ];
    for fail in fail {
        let (mut one, mut two) = pair();
        one.sendmsg(b"last words", &[]).expect("open");
        drop(one);
        fail(&mut two);
        assert!(is_readable(&two));
        assert_eq!(two.dispatch(), Err(SocketError::Disconnected));
        assert!(!is_readable(&two), "once it was told, it is idle");
    }
}

#[test]
fn an_open_socket_without_traffic_is_idle() {
    let (mut one, mut two) = pair();
    let pipes: Vec<_> = (0..3).map(|_| rustix::pipe::pipe().expect("pipe")).collect();
    let fds: Vec<_> = pipes.iter().flat_map(|(read, write)| [read.as_fd(), write.as_fd()]).collect();
    let received = cross(&mut one, &mut two, &fds);
    settle(&mut [&mut one, &mut two]);
    for _ in 0..10 {
        assert!(!is_readable(&one) && !is_readable(&two));
        one.dispatch().expect("alive");
        two.dispatch().expect("alive");
    }
    drop(received);
    assert!(is_readable(&two), "the ends of the pipes are noticed");
    settle(&mut [&mut one, &mut two]);
}

#[test]
fn limits_that_a_hello_cannot_announce_are_refused() {
    for bad in [
        StreamLimits { data_window: 1000, ..StreamLimits::default() },
        StreamLimits { pipe_window: 0, ..StreamLimits::default() },
    ] {
        let (left, _right) = UnixStream::pair().expect("socket pair");
        let error = FramedSocket::new(left.into(), Role::Initiator, limits(bad)).expect_err("out of bounds");
        assert!(matches!(error, SocketError::Limits(_)));
    }
}
