use std::net::Shutdown;

use super::*;
use crate::vfd::VfdError;

/// A socket whose one end has crossed: the other end, beside `one`, and what `two` has received.
fn crossed(one: &mut FramedSocket, two: &mut FramedSocket) -> (UnixStream, UnixStream) {
    let (near, passed) = UnixStream::pair().expect("socket pair");
    let mut received = cross(one, two, &[passed.as_fd()]);
    assert_eq!(received[0].kind, ReceivedKind::Socket);
    (near, received.remove(0).fd.into())
}

/// Writes until nothing more is taken; gives the bytes taken.
fn fill(one: &mut FramedSocket, two: &mut FramedSocket, mut writer: &UnixStream) -> usize {
    writer.set_nonblocking(true).expect("set");
    let mut total = 0;
    loop {
        settle(&mut [one, two]);
        match writer.write(&[7; 4096]) {
            Ok(len) => total += len,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    writer.set_nonblocking(false).expect("set");
    total
}

fn write_error(mut socket: &UnixStream) -> Option<Errno> {
    Errno::from_io_error(&socket.write(b"x").expect_err("nobody reads"))
}

fn until_none_is_open(one: &mut FramedSocket, two: &mut FramedSocket) {
    run(&mut [one, two], |sockets| sockets.iter().all(|socket| socket.pipes_open() == 0));
}

#[test]
fn megabytes_cross_both_ways_at_once_and_each_way_ends_on_its_own() {
    let (mut one, mut two) = pair();
    let (near, far) = crossed(&mut one, &mut two);
    let contents = [pattern(3_000_001), pattern(2_500_003)];
    let mut threads = Vec::new();
    for (mut socket, content) in [near, far].into_iter().zip(contents.clone()) {
        let mut reader = socket.try_clone().expect("duplicated");
        threads.push(std::thread::spawn(move || {
            socket.write_all(&content).expect("all is taken");
            socket.shutdown(Shutdown::Write).expect("half-closed");
            Vec::new()
        }));
        threads.push(std::thread::spawn(move || {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).expect("read to the end");
            received
        }));
    }
    run(&mut [&mut one, &mut two], |_| threads.iter().all(std::thread::JoinHandle::is_finished));
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("joined")).collect();
    assert!(results[1] == contents[1] && results[3] == contents[0]);
    until_none_is_open(&mut one, &mut two);
}

#[test]
fn a_half_close_leaves_the_other_direction_open() {
    let (mut one, mut two) = pair();
    let (near, mut far) = crossed(&mut one, &mut two);
    near.shutdown(Shutdown::Write).expect("half-closed");
    run(&mut [&mut one, &mut two], |_| is_readable(&far));
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
    for part in [b"first".as_slice(), b"second"] {
        far.write_all(part).expect("written");
        run(&mut [&mut one, &mut two], |_| is_readable(&near));
        let mut buffer = [0; 64];
        assert_eq!((&near).read(&mut buffer).expect("read"), part.len());
        settle(&mut [&mut one, &mut two]);
        assert!(!is_readable(&near), "a pause is no end");
    }
    assert_eq!((one.pipes_open(), two.pipes_open()), (1, 1));
    drop(far);
    until_none_is_open(&mut one, &mut two);
    assert_eq!((&near).read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn a_reader_that_takes_no_more_breaks_its_own_direction_alone() {
    let (mut one, mut two) = pair();
    let (near, mut far) = crossed(&mut one, &mut two);
    far.shutdown(Shutdown::Read).expect("half-closed");
    fill_until_broken(&mut one, &mut two, &near);
    far.write_all(b"still here").expect("written");
    run(&mut [&mut one, &mut two], |_| is_readable(&near));
    assert_eq!((&near).read(&mut [0; 64]).expect("read"), 10);
}

/// Writes until the writer is told that nobody reads.
fn fill_until_broken(one: &mut FramedSocket, two: &mut FramedSocket, mut writer: &UnixStream) {
    writer.set_nonblocking(true).expect("set");
    run(&mut [one, two], |_| match writer.write(&[7; 4096]) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => true,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
            false
        }
        Ok(_) => false,
    });
}

#[test]
fn a_socket_that_is_closed_ends_both_ways_whichever_side_closes_it() {
    for far_closes in [false, true] {
        let (mut one, mut two) = pair();
        let (mut near, mut far) = crossed(&mut one, &mut two);
        near.write_all(b"last words").expect("written");
        far.write_all(b"last words").expect("written");
        settle(&mut [&mut one, &mut two]);
        let (closed, mut left) = if far_closes { (far, near) } else { (near, far) };
        drop(closed);
        until_none_is_open(&mut one, &mut two);
        let mut received = Vec::new();
        left.read_to_end(&mut received).expect("read to the end");
        assert_eq!(received, b"last words");
        assert_eq!(write_error(&left), Some(Errno::PIPE));
    }
}

#[test]
fn a_reader_that_never_reads_costs_one_window_and_stops_only_its_own_direction() {
    let (mut one, mut two) = pair();
    let (near, mut far) = crossed(&mut one, &mut two);
    let window = usize::try_from(StreamLimits::default().pipe_window).expect("small");
    let taken = fill(&mut one, &mut two, &near);
    // The rest is in the two socket pairs, which the kernel bounds by their send buffers.
    let kernel = 2 * rustix::net::sockopt::socket_send_buffer_size(&near).expect("a size");
    assert!((window..=window + kernel).contains(&taken), "{taken}");
    for _ in 0..10 {
        assert!(!is_readable(&one) && !is_readable(&two), "a stopped socket is idle");
    }
    far.write_all(b"the other way").expect("written");
    run(&mut [&mut one, &mut two], |_| is_readable(&near));
    cross(&mut one, &mut two, &[]);
    drop(far);
    until_none_is_open(&mut one, &mut two);
    assert_eq!(write_error(&near), Some(Errno::PIPE));
}

#[test]
fn descriptors_that_are_sent_on_a_socket_are_closed_and_its_bytes_arrive() {
    let (mut one, mut two) = pair();
    let (near, far) = crossed(&mut one, &mut two);
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    for (from, to) in [(&near, &far), (&far, &near)] {
        assert_eq!(crate::unix::send(from, b"bytes", &[writer.as_fd()]), Ok(5));
        run(&mut [&mut one, &mut two], |_| is_readable(to));
        let mut fds = Vec::new();
        assert_eq!(crate::unix::receive(to, &mut [0; 8], &mut fds), Ok(5));
        assert!(fds.is_empty());
    }
    drop(writer);
    assert_eq!(rustix::io::read(&reader, &mut [0; 8]), Ok(0), "nobody holds the descriptor");
}

#[test]
fn the_applications_own_socket_stays_blocking() {
    let (mut one, mut two) = pair();
    let (near, passed) = UnixStream::pair().expect("socket pair");
    let received = cross(&mut one, &mut two, &[passed.as_fd()]);
    for fd in [near.as_fd(), passed.as_fd(), received[0].as_fd()] {
        assert!(!rustix::fs::fcntl_getfl(fd).expect("flags").contains(rustix::fs::OFlags::NONBLOCK));
    }
}

#[test]
fn what_was_delivered_before_the_reader_went_is_not_granted_after_its_last_frame() {
    let (mut one, mut two) = pair();
    let (mut near, far) = crossed(&mut one, &mut two);
    // Nobody reads what `two` says, so that the grant has not left when the reader goes.
    one.pause(true).expect("alive");
    while two.sendmsg(&[7; 4096], &[]).is_ok() {}
    for content in [pattern(20_000), pattern(1)] {
        near.write_all(&content).expect("room in the socket");
        one.dispatch().expect("alive");
        two.dispatch().expect("alive");
        far.shutdown(Shutdown::Read).expect("half-closed");
    }
    one.pause(false).expect("alive");
    // The other end of that direction has not come when the last frame of this one is due.
    two.pause(true).expect("alive");
    fill_until_broken(&mut one, &mut two, &near);
    drop(far);
    two.dispatch().expect("alive");
    two.pause(false).expect("alive");
    until_none_is_open(&mut one, &mut two);
}

#[test]
fn content_that_waits_in_a_socket_whose_other_end_has_gone_still_crosses() {
    let (mut one, mut two) = pair();
    let (mut near, passed) = UnixStream::pair().expect("socket pair");
    near.write_all(b"testament").expect("written");
    drop(near);
    let mut received = cross(&mut one, &mut two, &[passed.as_fd()]);
    drop(passed);
    until_none_is_open(&mut one, &mut two);
    let mut content = Vec::new();
    UnixStream::from(received.remove(0).fd).read_to_end(&mut content).expect("read to the end");
    assert_eq!(content, b"testament");
}

#[test]
fn sockets_count_as_pipes() {
    let few = StreamLimits { max_pipes: 2, ..StreamLimits::default() };
    let (mut one, mut two) = pair_with(options(), limits(few));
    let first = crossed(&mut one, &mut two);
    let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
    let _second = cross(&mut one, &mut two, &[reader.as_fd()]);
    let (socket, _near) = UnixStream::pair().expect("socket pair");
    for third in [reader.as_fd(), socket.as_fd()] {
        let error = one.sendmsg(b"x", &[third]).expect_err("two are the limit");
        assert_eq!(error, SocketError::Unsupported(VfdError::TooMany { what: "pipes", limit: 2 }));
    }
    drop(first);
    run(&mut [&mut one, &mut two], |sockets| sockets.iter().all(|socket| socket.pipes_open() == 1));
    cross(&mut one, &mut two, &[socket.as_fd()]);
}

#[test]
fn a_socket_is_not_sent_to_a_peer_that_takes_none() {
    let (mut one, mut two) = pair_with(options(), SocketOptions { take_sockets: false, ..options() });
    let (socket, _near) = UnixStream::pair().expect("socket pair");
    let error = one.sendmsg(b"x", &[socket.as_fd()]).expect_err("not taken");
    assert_eq!(error.errno(), Errno::OPNOTSUPP);
    assert_eq!(one.pipes_open(), 0);
    // The side that takes none may send some.
    crossed(&mut two, &mut one);
}

#[test]
fn a_socket_crosses_back_and_forth() {
    let (mut one, mut two) = pair();
    let (mut near, far) = crossed(&mut one, &mut two);
    let mut back = cross(&mut two, &mut one, &[far.as_fd()]);
    drop(far);
    let mut back = UnixStream::from(back.remove(0).fd);
    near.write_all(b"round trip").expect("written");
    run(&mut [&mut one, &mut two], |_| is_readable(&back));
    assert_eq!(back.read(&mut [0; 32]).expect("read"), 10);
    drop(back);
    until_none_is_open(&mut one, &mut two);
    assert_eq!(write_error(&near), Some(Errno::PIPE));
}

#[test]
fn the_death_of_a_side_ends_the_sockets_of_the_other_even_if_somebody_else_has_them_too() {
    let (mut one, mut two) = pair();
    let (mut near, passed) = UnixStream::pair().expect("socket pair");
    cross(&mut one, &mut two, &[passed.as_fd()]);
    drop(two);
    assert_eq!(one.dispatch(), Err(SocketError::Disconnected));
    assert_eq!(one.pipes_open(), 0);
    assert_eq!(near.read(&mut [0; 8]).expect("the end"), 0);
    assert_eq!(write_error(&near), Some(Errno::PIPE));
}
