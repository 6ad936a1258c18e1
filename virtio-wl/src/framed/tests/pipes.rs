use super::*;
use crate::socket::ExcessPipes;
use crate::vfd::VfdError;

/// A pipe whose read end has crossed: the writer is beside `one`, the reader beside `two`.
fn reader_crossed(one: &mut FramedSocket, two: &mut FramedSocket) -> (OwnedFd, OwnedFd) {
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let mut received = cross(one, two, &[reader.as_fd()]);
    assert_eq!(received[0].kind, ReceivedKind::PipeRead);
    (writer, received.remove(0).fd)
}

/// A pipe whose write end has crossed: the writer is beside `two`, the reader beside `one`.
fn writer_crossed(one: &mut FramedSocket, two: &mut FramedSocket) -> (OwnedFd, OwnedFd) {
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let mut received = cross(one, two, &[writer.as_fd()]);
    assert_eq!(received[0].kind, ReceivedKind::PipeWrite);
    (received.remove(0).fd, reader)
}

type Crossing = fn(&mut FramedSocket, &mut FramedSocket) -> (OwnedFd, OwnedFd);

/// The ways in which a pipe can cross; each gives the ends of writer and reader.
const CROSSINGS: [Crossing; 2] = [reader_crossed, writer_crossed];

fn set_nonblocking(fd: &OwnedFd) {
    let flags = rustix::fs::fcntl_getfl(fd).expect("flags");
    rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK).expect("set");
}

/// Writes until nothing more is taken; gives the bytes taken.
fn fill(one: &mut FramedSocket, two: &mut FramedSocket, writer: &OwnedFd) -> usize {
    set_nonblocking(writer);
    let mut total = 0;
    loop {
        settle(&mut [one, two]);
        match rustix::io::write(writer, &[7; 4096]) {
            Ok(len) => total += len,
            Err(Errno::AGAIN) => return total,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn several_megabytes_cross_whole_through_blocking_pipes() {
    let (mut one, mut two) = pair();
    for crossing in CROSSINGS {
        let (writer, reader) = crossing(&mut one, &mut two);
        let content = pattern(5_000_001);
        let expected = content.clone();
        let sender = std::thread::spawn(move || {
            std::fs::File::from(writer).write_all(&content).expect("all is taken");
        });
        let receiver = std::thread::spawn(move || {
            let mut received = Vec::new();
            std::fs::File::from(reader).read_to_end(&mut received).expect("read to the end");
            received
        });
        run(&mut [&mut one, &mut two], |_| receiver.is_finished());
        sender.join().expect("sent");
        assert!(receiver.join().expect("received") == expected);
        settle(&mut [&mut one, &mut two]);
        assert_eq!((one.pipes_open(), two.pipes_open()), (0, 0));
    }
}

#[test]
fn a_pause_in_the_middle_is_not_the_end() {
    let (mut one, mut two) = pair();
    for crossing in CROSSINGS {
        let (writer, reader) = crossing(&mut one, &mut two);
        let mut buffer = [0; 64];
        for part in [b"first".as_slice(), b"second"] {
            rustix::io::write(&writer, part).expect("written");
            run(&mut [&mut one, &mut two], |_| is_readable(&reader));
            assert_eq!(rustix::io::read(&reader, &mut buffer), Ok(part.len()));
            assert_eq!(&buffer[..part.len()], part);
            settle(&mut [&mut one, &mut two]);
            assert!(!is_readable(&reader));
        }
        drop(writer);
        run(&mut [&mut one, &mut two], |_| is_readable(&reader));
        assert_eq!(rustix::io::read(&reader, &mut buffer), Ok(0));
    }
}

#[test]
fn an_empty_pipe_ends_at_once() {
    let (mut one, mut two) = pair();
    for crossing in CROSSINGS {
        let (writer, reader) = crossing(&mut one, &mut two);
        drop(writer);
        run(&mut [&mut one, &mut two], |_| is_readable(&reader));
        assert_eq!(rustix::io::read(&reader, &mut [0; 8]), Ok(0));
        settle(&mut [&mut one, &mut two]);
        assert_eq!((one.pipes_open(), two.pipes_open()), (0, 0));
    }
}

#[test]
fn what_was_written_before_the_writer_and_the_connection_ended_still_arrives() {
    let (mut one, mut two) = pair();
    let (writer, reader) = reader_crossed(&mut one, &mut two);
    let written = fill(&mut one, &mut two, &writer);
    drop(writer);
    one.shutdown_write();
    two.shutdown_write();
    settle(&mut [&mut one, &mut two]);
    assert!(!one.is_finished() && !two.is_finished(), "the pipe has not ended");
    let mut received = 0;
    run(&mut [&mut one, &mut two], |_| {
        let mut buffer = [0; 4096];
        if is_readable(&reader) {
            let len = rustix::io::read(&reader, &mut buffer).expect("read");
            received += len;
            return len == 0;
        }
        false
    });
    assert_eq!(received, written);
    settle(&mut [&mut one, &mut two]);
    assert!(one.is_finished() && two.is_finished());
}

#[test]
fn a_writer_whose_reader_is_gone_gets_a_broken_pipe() {
    let (mut one, mut two) = pair();
    for crossing in CROSSINGS {
        let (writer, reader) = crossing(&mut one, &mut two);
        drop(reader);
        run(&mut [&mut one, &mut two], |sockets| sockets.iter().all(|socket| socket.pipes_open() == 0));
        assert_eq!(rustix::io::write(&writer, b"x"), Err(Errno::PIPE));
    }
}

#[test]
fn a_reader_that_goes_in_the_middle_of_the_flow_breaks_the_pipe_and_nothing_else() {
    let (mut one, mut two) = pair();
    for crossing in CROSSINGS {
        let (writer, reader) = crossing(&mut one, &mut two);
        fill(&mut one, &mut two, &writer);
        drop(reader);
        run(&mut [&mut one, &mut two], |sockets| sockets.iter().all(|socket| socket.pipes_open() == 0));
        assert_eq!(rustix::io::write(&writer, b"x"), Err(Errno::PIPE));
        cross(&mut one, &mut two, &[]);
    }
}

#[test]
fn a_reader_that_never_reads_costs_one_window_and_stops_only_its_own_pipe() {
    let (mut one, mut two) = pair();
    let kernel = 65_536;
    for crossing in CROSSINGS {
        let (writer, reader) = crossing(&mut one, &mut two);
        let window = usize::try_from(StreamLimits::default().pipe_window).expect("small");
        let taken = fill(&mut one, &mut two, &writer);
        assert!((window..=window + 2 * kernel).contains(&taken), "{taken}");
        for _ in 0..10 {
            assert!(!is_readable(&one) && !is_readable(&two), "a stopped pipe is idle");
        }
        // Data and another pipe go on.
        cross(&mut one, &mut two, &[]);
        let (other_writer, other_reader) = reader_crossed(&mut one, &mut two);
        rustix::io::write(&other_writer, b"other").expect("written");
        run(&mut [&mut one, &mut two], |_| is_readable(&other_reader));
        // A writer that goes while its pipe is stopped causes no wake-ups either.
        drop(writer);
        settle(&mut [&mut one, &mut two]);
        assert!(!is_readable(&one) && !is_readable(&two));
        drop(reader);
        drop((other_writer, other_reader));
        run(&mut [&mut one, &mut two], |sockets| sockets.iter().all(|socket| socket.pipes_open() == 0));
    }
}

#[test]
fn data_that_nobody_takes_does_not_stop_pipes() {
    let (mut one, mut two) = pair();
    let (writer, reader) = reader_crossed(&mut one, &mut two);
    while one.sendmsg(&[0; 60_000], &[]).is_ok() {
        settle(&mut [&mut one, &mut two]);
    }
    let content = pattern(1 << 20);
    let expected = content.clone();
    let sender = std::thread::spawn(move || std::fs::File::from(writer).write_all(&content));
    let receiver = std::thread::spawn(move || {
        let mut received = Vec::new();
        std::fs::File::from(reader).read_to_end(&mut received).expect("read to the end");
        received
    });
    run(&mut [&mut one, &mut two], |_| receiver.is_finished());
    sender.join().expect("joined").expect("sent");
    assert!(receiver.join().expect("received") == expected);
}

#[test]
fn pipes_beyond_the_limit_are_refused_until_others_have_ended() {
    let few = StreamLimits { max_pipes: 2, ..StreamLimits::default() };
    let (mut one, mut two) = pair_with(options(), limits(few));
    let first = reader_crossed(&mut one, &mut two);
    let _second = writer_crossed(&mut one, &mut two);
    let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
    let error = one.sendmsg(b"x", &[reader.as_fd()]).expect_err("two are the limit");
    assert_eq!(error, SocketError::Unsupported(VfdError::TooMany { what: "pipes", limit: 2 }));
    drop(first);
    run(&mut [&mut one, &mut two], |sockets| sockets.iter().all(|socket| socket.pipes_open() == 1));
    cross(&mut one, &mut two, &[reader.as_fd()]);
}

/// Where excess pipes are closed, each pipe beyond the limit is one that has ended, and nothing else is touched.
#[test]
fn pipes_beyond_the_limit_can_cross_closed() {
    let few = StreamLimits { max_pipes: 8, ..StreamLimits::default() };
    let closing = SocketOptions { excess_pipes: ExcessPipes::Close, ..options() };
    let (mut one, mut two) = pair_with(closing, limits(few));
    let mut open: Vec<_> = (0..6).map(|at| CROSSINGS[at % 2](&mut one, &mut two)).collect();
    for at in 0..50 {
        let crossing = CROSSINGS[at % 2];
        let (writer, reader) = crossing(&mut one, &mut two);
        run(&mut [&mut one, &mut two], |_| is_readable(&reader));
        assert_eq!(rustix::io::read(&reader, &mut [0; 8]), Ok(0));
        drop(reader);
        run(&mut [&mut one, &mut two], |sockets| sockets.iter().all(|socket| socket.pipes_open() == 6));
        assert_eq!(rustix::io::write(&writer, b"x"), Err(Errno::PIPE));
    }
    for (writer, reader) in &open {
        rustix::io::write(writer, b"still open").expect("written");
        run(&mut [&mut one, &mut two], |_| is_readable(reader));
        assert_eq!(rustix::io::read(reader, &mut [0; 32]), Ok(10));
    }
    // With room there are real ones again.
    open.pop();
    run(&mut [&mut one, &mut two], |sockets| sockets.iter().all(|socket| socket.pipes_open() == 5));
    let (writer, reader) = reader_crossed(&mut one, &mut two);
    rustix::io::write(&writer, b"open").expect("written");
    run(&mut [&mut one, &mut two], |_| is_readable(&reader));
    assert_eq!(rustix::io::read(&reader, &mut [0; 32]), Ok(4));
}

/// A peer that does not answer makes the sender wait, however many it is sent; its own limit holds.
#[test]
fn closed_pipes_wait_for_the_answer_of_a_peer_that_has_as_many_as_it_takes() {
    let few = StreamLimits { max_pipes: 8, ..StreamLimits::default() };
    let closing = SocketOptions { excess_pipes: ExcessPipes::Close, ..options() };
    let (mut one, mut two) = pair_with(closing, limits(few));
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let mut sent = 0;
    while let Ok(len) = one.sendmsg(b"x", &[reader.as_fd()]) {
        sent += len;
    }
    assert_eq!((sent, one.pipes_open()), (8, 8));
    assert_eq!(one.sendmsg(b"x", &[reader.as_fd()]), Err(SocketError::WouldBlock));
    assert!(!one.readiness().write, "whoever waits for room is not told of any");
    assert_eq!(one.sendmsg(b"data may not pass", &[]), Err(SocketError::WouldBlock));
    for _ in 0..100 {
        let sent = one.sendmsg(b"x", &[reader.as_fd()]);
        if sent == Err(SocketError::WouldBlock) {
            settle(&mut [&mut one, &mut two]);
            // What nobody has taken counts for the window of the data.
            while two.recvmsg(&mut [0; 64], &mut Vec::new()).is_ok() {}
            settle(&mut [&mut one, &mut two]);
            assert!(one.readiness().write);
        } else {
            assert_eq!(sent, Ok(1));
        }
        assert!(two.pipes_open() <= 8);
    }
    drop(writer);
}

/// A message with more pipes than are kept cannot wait: nobody says that the open ones ever end.
#[test]
fn a_message_with_more_pipes_than_there_can_be_is_refused_and_not_waited_with() {
    let few = StreamLimits { max_pipes: 8, ..StreamLimits::default() };
    let closing = SocketOptions { excess_pipes: ExcessPipes::Close, ..options() };
    let (mut one, _two) = pair_with(closing, limits(few));
    let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
    let error = one.sendmsg(b"x", &[reader.as_fd(); 9]).expect_err("eight are the limit");
    assert_eq!(error, SocketError::Unsupported(VfdError::TooMany { what: "pipes", limit: 8 }));
    assert_eq!(one.sendmsg(b"x", &[]), Ok(1));
}

#[test]
fn a_pipe_crosses_back_and_forth() {
    let (mut one, mut two) = pair();
    let (writer, reader) = reader_crossed(&mut one, &mut two);
    let mut back = cross(&mut two, &mut one, &[reader.as_fd()]);
    drop(reader);
    let reader = back.remove(0).fd;
    rustix::io::write(&writer, b"round trip").expect("written");
    run(&mut [&mut one, &mut two], |_| is_readable(&reader));
    let mut buffer = [0; 32];
    assert_eq!(rustix::io::read(&reader, &mut buffer), Ok(10));
    drop(reader);
    run(&mut [&mut one, &mut two], |sockets| sockets.iter().all(|socket| socket.pipes_open() == 0));
    assert_eq!(rustix::io::write(&writer, b"x"), Err(Errno::PIPE));
}

#[test]
fn the_death_of_a_side_ends_the_pipes_of_the_other() {
    let (mut one, mut two) = pair();
    let (writer, _reader) = reader_crossed(&mut one, &mut two);
    let (_other_writer, reader) = writer_crossed(&mut one, &mut two);
    drop(two);
    assert_eq!(one.dispatch(), Err(SocketError::Disconnected));
    assert_eq!(one.pipes_open(), 0);
    assert_eq!(rustix::io::write(&writer, b"x"), Err(Errno::PIPE));
    assert_eq!(rustix::io::read(&reader, &mut [0; 8]), Ok(0));
}
