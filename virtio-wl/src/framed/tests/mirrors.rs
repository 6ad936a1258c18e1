use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::*;
use crate::vfd::VfdError;

fn staging(len: u64) -> Arc<Region> {
    Arc::new(Region::create_memfd(len).expect("created"))
}

fn rect(offset: u64, row_len: u32, stride: u32, rows: u32) -> MirrorRect {
    MirrorRect { offset, row_len, stride, rows }
}

fn mirror_content(fd: &ReceivedFd, offset: u64, len: usize) -> Vec<u8> {
    let file = File::from(fd.fd.try_clone().expect("duplicated"));
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset).expect("read");
    bytes
}

#[test]
fn a_mirror_follows_the_rectangles_that_are_written() {
    let (mut one, mut two) = pair();
    let staging = staging(8 << 20);
    let received = cross(&mut one, &mut two, &[staging.as_fd()]);
    assert_eq!(received[0].kind, ReceivedKind::Mirror { len: 8 << 20 });

    // Rows shorter than a frame, longer than a write, and without gaps.
    for (row_len, stride, rows) in [(100, 300, 500), (40_000, 50_000, 3), (5000, 5000, 200), (1, 1, 1)] {
        let rect = rect(4097, row_len, stride, rows);
        let area = usize::try_from(rect.end().expect("small") - rect.offset).expect("small");
        let drawn = pattern(area + 100);
        staging.write(4097, &drawn).expect("within");
        let before = mirror_content(&received[0], 4097, area + 100);
        one.mirror_write(&staging, rect).expect("queued");
        cross(&mut one, &mut two, &[]);
        let after = mirror_content(&received[0], 4097, area + 100);
        let stride = usize::try_from(stride).expect("small");
        for (index, byte) in after.iter().enumerate() {
            let inside = index < area && index % stride < usize::try_from(row_len).expect("small");
            let expected = if inside { drawn[index] } else { before[index] };
            assert!(*byte == expected, "byte {index} of {rect:?}");
        }
    }
}

#[test]
fn content_arrives_before_the_message_that_follows_it() {
    let (mut one, mut two) = pair();
    let staging = staging(4 << 20);
    let received = cross(&mut one, &mut two, &[staging.as_fd()]);
    for round in 1..=5u8 {
        staging.write(4096, &vec![round; 3 << 20]).expect("within");
        one.mirror_write(&staging, rect(4096, 1 << 20, 1 << 20, 3)).expect("queued");
        cross(&mut one, &mut two, &[]);
        assert!(mirror_content(&received[0], 4096, 3 << 20).iter().all(|byte| *byte == round));
    }
}

#[test]
fn memory_can_be_written_before_any_message_names_it() {
    let (mut one, mut two) = pair();
    let staging = staging(32 << 20);
    staging.write(4096, b"early").expect("within");
    one.mirror_write(&staging, rect(4096, 5, 5, 1)).expect("queued");
    assert!(is_readable(&one), "the write wants to leave");
    settle(&mut [&mut one, &mut two]);
    let received = cross(&mut one, &mut two, &[staging.as_fd(), staging.as_fd()]);
    for fd in &received {
        assert_eq!(mirror_content(fd, 4096, 5), b"early");
    }
    let ids: Vec<_> = received.iter().map(|fd| FileId::of(fd.as_fd())).collect();
    assert_eq!(ids[0], ids[1], "one file is one mirror");
}

#[test]
fn small_writable_memory_arrives_with_its_content() {
    let (mut one, mut two) = pair();
    let mut file = File::from(crate::region::memfd(c"test").expect("memory"));
    let mut content = vec![0; 20_000];
    content[9000..9006].copy_from_slice(b"keymap");
    file.write_all(&content).expect("written");
    let received = cross(&mut one, &mut two, &[file.as_fd()]);
    assert_eq!(received[0].kind, ReceivedKind::Mirror { len: 20_000 });
    assert_eq!(mirror_content(&received[0], 0, 20_000), content);
}

/// What was in the memory was kept in the queue until it left, up to 4 MiB for each of 16 mirrors, whatever the bound of the
/// queue.
#[test]
fn the_first_content_of_many_mirrors_waits_where_it_lies() {
    let (mut one, mut two) = pair();
    let mut files = Vec::new();
    for number in 1..=16u8 {
        let mut file = File::from(crate::region::memfd(c"test").expect("memory"));
        // Pages with something in them, two at a time, between empty ones; and a part of a page.
        let mut content = vec![0; (1 << 20) + 100];
        for pages in content.chunks_mut(4 * 4096) {
            pages[0] = number;
            if let Some(last) = pages.get_mut(2 * 4096 - 1) {
                *last = number;
            }
        }
        file.write_all(&content).expect("written");
        files.push((file, content));
    }
    let fds: Vec<_> = files.iter().map(|(file, _)| file.as_fd()).collect();
    assert_eq!(one.sendmsg(b"message", &fds), Ok(7));
    let waiting = one.queued_bytes();
    assert!(waiting < 128 << 10, "{waiting} bytes wait, {} are in the files", 16 << 20);
    let (_, received) = receive(&mut one, &mut two, 7);
    for (fd, (_, content)) in received.iter().zip(&files) {
        assert!(mirror_content(fd, 0, content.len()) == *content);
    }
    assert_eq!(received.len(), 16);
}

#[test]
fn a_mirror_cannot_be_resized_by_whoever_received_it() {
    let (mut one, mut two) = pair();
    let received = cross(&mut one, &mut two, &[staging(8192).as_fd()]);
    let file = File::from(received[0].fd.try_clone().expect("duplicated"));
    file.set_len(0).expect_err("sealed");
    file.set_len(1 << 30).expect_err("sealed");
}

#[test]
fn mirrors_beyond_the_limits_are_refused_until_others_are_closed() {
    let small = StreamLimits { max_mirrors: 2, max_mirror_bytes: 1 << 20, ..StreamLimits::default() };
    let (mut one, mut two) = pair_with(options(), limits(small));
    let first = staging(512 << 10);
    let second = staging(256 << 10);
    cross(&mut one, &mut two, &[first.as_fd(), second.as_fd()]);
    let third = staging(8192);
    let error = one.sendmsg(b"x", &[third.as_fd()]).expect_err("two are the limit");
    assert_eq!(error, SocketError::Unsupported(VfdError::TooMany { what: "mirrors", limit: 2 }));
    one.mirror_close_file(second.id());
    let large = staging(1 << 20);
    let error = one.sendmsg(b"x", &[large.as_fd()]).expect_err("not enough bytes are left");
    let expected = VfdError::MirrorTooLarge { len: 1 << 20, limit: 512 << 10 };
    assert_eq!(error, SocketError::Unsupported(expected));
    cross(&mut one, &mut two, &[third.as_fd()]);
}

/// A file that grew while every mirror was in use took the place of two until its old mirror was closed, and so did a file
/// that was twice in one message; either was refused. A pool of a Wayland client grows like that.
#[test]
fn a_file_is_one_mirror_of_the_limits_whatever_its_size_was_and_however_often_it_is_named() {
    let small = StreamLimits { max_mirrors: 2, max_mirror_bytes: 1 << 20, ..StreamLimits::default() };
    let (mut one, mut two) = pair_with(options(), limits(small));
    let other = staging(128 << 10);
    let pool = File::from(crate::region::memfd(c"test").expect("memory"));
    pool.set_len(512 << 10).expect("resized");
    cross(&mut one, &mut two, &[other.as_fd(), pool.as_fd(), pool.as_fd()]);
    pool.write_all_at(b"drawn", 600 << 10).expect("grown");
    pool.set_len(896 << 10).expect("resized");
    let received = cross(&mut one, &mut two, &[pool.as_fd(), pool.as_fd()]);
    for fd in &received {
        assert_eq!(fd.kind, ReceivedKind::Mirror { len: 896 << 10 });
        assert_eq!(mirror_content(fd, 600 << 10, 5), b"drawn");
    }
    assert_eq!(FileId::of(received[0].fd.as_fd()), FileId::of(received[1].fd.as_fd()));
    // And not a byte more than the limit.
    pool.set_len((896 << 10) + 4096).expect("resized");
    let error = one.sendmsg(b"x", &[pool.as_fd()]).expect_err("beyond the limit");
    let expected = VfdError::MirrorTooLarge { len: (896 << 10) + 4096, limit: 896 << 10 };
    assert_eq!(error, SocketError::Unsupported(expected));
}

#[test]
fn a_region_that_the_peer_does_not_have_becomes_a_mirror() {
    let region = staging(1 << 20);
    let with = SocketOptions { region: Some(Arc::clone(&region)), ..options() };
    let (mut one, mut two) = pair_with(with, options());
    assert_eq!(one.shares_region(), Some(false));
    let received = cross(&mut one, &mut two, &[region.as_fd()]);
    region.write(5000, b"pixels").expect("within");
    one.mirror_write(&region, rect(5000, 6, 6, 1)).expect("queued");
    cross(&mut one, &mut two, &[]);
    assert_eq!(mirror_content(&received[0], 5000, 6), b"pixels");
}

#[test]
fn rectangles_outside_the_memory_are_refused_here() {
    let (mut one, _two) = pair();
    let staging = staging(8192);
    for bad in [rect(8192, 1, 1, 1), rect(0, 2, 1, 2), rect(0, 1, u32::MAX, u32::MAX), rect(0, 0, 1, 1)] {
        assert!(matches!(one.mirror_write(&staging, bad), Err(SocketError::Invalid(_))), "{bad:?}");
    }
}

/// The rectangles cost no bytes of the queue, so that the socket was writable by its own word while a write would have
/// blocked. Whoever waited until it could go on tried again at once, for ever.
#[test]
fn a_socket_with_too_many_rectangles_waiting_is_not_writable_until_they_have_left() {
    let (mut one, mut two) = pair();
    let staging = staging(8192);
    let write = |socket: &mut FramedSocket| socket.mirror_write(&staging, rect(4096, 1, 1, 1));
    let mut queued = 0;
    while write(&mut one).is_ok() {
        queued += 1;
        assert!(queued <= 65_536, "nothing bounds them");
    }
    // The first content of the mirror counts, too.
    assert!(queued >= 65_000, "{queued}");
    assert_eq!(write(&mut one), Err(SocketError::WouldBlock));
    assert!(!one.readiness().write);
    assert_eq!(one.sendmsg(b"x", &[]), Err(SocketError::WouldBlock), "all calls say the same");
    run(&mut [&mut one, &mut two], |sockets| sockets[0].readiness().write);
    assert_eq!(write(&mut one), Ok(()));
    assert_eq!(one.sendmsg(b"x", &[]), Ok(1));
    assert_eq!(receive(&mut one, &mut two, 1).0, b"x");
}

#[test]
fn a_mirror_that_is_closed_gives_its_memory_back_even_if_others_have_its_descriptor() {
    let budget = MirrorBudget::new(1 << 20);
    let with = SocketOptions { mirror_budget: Some(Arc::clone(&budget)), ..options() };
    let (mut one, mut two) = pair_with(options(), with);
    let (delivered, unnamed) = (staging(32 << 20), staging(64 << 20));
    let received = cross(&mut one, &mut two, &[delivered.as_fd()]);
    assert_eq!(budget.used(), 0, "the length alone takes up nothing");
    for memory in [&delivered, &unnamed] {
        one.mirror_write(memory, rect(4096, 4096, 4096, 2)).expect("queued");
    }
    cross(&mut one, &mut two, &[]);
    assert_eq!(budget.used(), 4 * 4096);
    let blocks = || rustix::fs::fstat(&received[0]).expect("examined").st_blocks;
    assert!(blocks() > 0);
    one.mirror_close_file(delivered.id());
    one.mirror_close_file(unnamed.id());
    cross(&mut one, &mut two, &[]);
    assert_eq!((budget.used(), blocks()), (0, 0));
    // What is left of it can be read still, and is empty.
    assert_eq!(mirror_content(&received[0], 4096, 8192), [0; 8192]);
    assert_eq!(rustix::fs::fstat(&received[0]).expect("examined").st_size, 32 << 20);
    // The same memory crosses anew.
    let again = cross(&mut one, &mut two, &[delivered.as_fd()]);
    one.mirror_write(&delivered, rect(4096, 4096, 4096, 1)).expect("queued");
    cross(&mut one, &mut two, &[]);
    assert_eq!(budget.used(), 4096);
    drop(again);
    drop(two);
    assert_eq!(budget.used(), 0, "the end of the connection gives back the rest");
}

#[test]
fn a_peer_that_goes_beyond_the_budget_is_disconnected() {
    let with = SocketOptions { mirror_budget: Some(MirrorBudget::new(64 << 10)), ..options() };
    let (mut one, mut two) = pair_with(options(), with);
    // One byte in each page: few bytes on the stream, much memory.
    let memory = staging(32 << 20);
    one.mirror_write(&memory, rect(4096, 1, 4096, 17)).expect("queued");
    let start = Instant::now();
    let error = loop {
        assert!(start.elapsed() < DEADLINE, "timed out");
        let _ = one.dispatch();
        if let Err(error) = two.dispatch() {
            break error;
        }
    };
    let expected = Violation::Limit { what: "memory in mirrors", limit: 64 << 10 };
    assert_eq!(error, SocketError::Violation(expected));
}
