//! Applications on local sockets, joined by one or two pumps.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use super::*;
use crate::socket::SocketOptions;
use crate::wire::Role;

const DEADLINE: Duration = Duration::from_secs(60);

fn stream_pair() -> (UnixStream, OwnedFd) {
    let (application, other) = UnixStream::pair().expect("socket pair");
    (application, other.into())
}

fn pump(local: OwnedFd, endpoint: impl Into<Endpoint>) -> Pump {
    Pump::new(local, endpoint, &PumpOptions::default()).expect("pump")
}

/// Two applications with a stream between their pumps.
fn across_a_stream() -> (UnixStream, UnixStream, Vec<Pump>) {
    let (one, one_local) = stream_pair();
    let (two, two_local) = stream_pair();
    let (left, right) = stream_pair();
    let left = Socket::new(left.into(), Role::Initiator, SocketOptions::default()).expect("socket");
    let right = Socket::new(right, Role::Acceptor, SocketOptions::default()).expect("socket");
    (one, two, vec![pump(one_local, left), pump(two_local, right)])
}

/// Two applications with one pump between Unix sockets.
fn between_sockets() -> (UnixStream, UnixStream, Vec<Pump>) {
    let (one, one_local) = stream_pair();
    let (two, two_local) = stream_pair();
    (one, two, vec![pump(one_local, Endpoint::Unix(two_local))])
}

/// Has each pump waited for in a set of its own that is somebody else's.
fn registered(
    (one, two, mut pumps): (UnixStream, UnixStream, Vec<Pump>),
) -> (UnixStream, UnixStream, Vec<Pump>) {
    for pump in &mut pumps {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        pump.register(&Registration::new(&Arc::new(set), 7)).expect("registered");
    }
    (one, two, pumps)
}

type Joint = fn() -> (UnixStream, UnixStream, Vec<Pump>);

/// The ways in which two applications can be joined.
const JOINTS: [Joint; 4] =
    [across_a_stream, between_sockets, || registered(across_a_stream()), || registered(between_sockets())];

fn is_readable(fd: impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).expect("polled") > 0
}

/// Turns the pumps that say they have something to do until `done`.
fn run(pumps: &mut [Pump], mut done: impl FnMut(&mut [Pump]) -> bool) {
    let start = Instant::now();
    let mut more = true;
    while !done(pumps) {
        assert!(start.elapsed() < DEADLINE, "timed out");
        let turn_all = std::mem::take(&mut more);
        for pump in &mut *pumps {
            if turn_all || is_readable(&*pump) {
                more |= pump.turn().expect("alive").more;
            }
        }
        std::thread::yield_now();
    }
}

/// Turns the pumps until they are idle.
fn settle(pumps: &mut [Pump]) {
    let start = Instant::now();
    let mut more = true;
    while more || pumps.iter().any(is_readable) {
        assert!(start.elapsed() < DEADLINE, "the pumps do not come to rest");
        more = false;
        for pump in &mut *pumps {
            more |= pump.turn().expect("alive").more;
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from((index * 31 + index / 251) % 256).expect("a byte")).collect()
}

#[test]
fn megabytes_cross_both_ways_at_once() {
    for joint in JOINTS {
        let (one, two, mut pumps) = joint();
        let threads: Vec<_> = [one, two]
            .into_iter()
            .flat_map(|stream| {
                let mut reader = stream.try_clone().expect("duplicated");
                let mut writer = stream;
                let send = std::thread::spawn(move || {
                    writer.write_all(&pattern(3_000_000)).expect("sent");
                    writer.shutdown(std::net::Shutdown::Write).expect("half-closed");
                    true
                });
                let receive = std::thread::spawn(move || {
                    let mut received = Vec::new();
                    reader.read_to_end(&mut received).expect("received");
                    received == pattern(3_000_000)
                });
                [send, receive]
            })
            .collect();
        run(&mut pumps, |pumps| pumps.iter().all(Pump::finished));
        assert!(threads.into_iter().all(|thread| thread.join().expect("joined")));
    }
}

#[test]
fn descriptors_arrive_in_order_and_never_after_the_first_byte_of_their_message() {
    for joint in JOINTS {
        let (one, two, mut pumps) = joint();
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        for count in [1, 28, 0, 5] {
            let fds = vec![reader.as_fd(); count];
            assert_eq!(unix::send(&one, b"message", &fds), Ok(7));
        }
        drop(reader);
        let mut fds = Vec::new();
        // The kernel may join a message without descriptors to the following one, whose come early then.
        for expected in [1..=1, 29..=29, 29..=34, 34..=34] {
            run(&mut pumps, |_| is_readable(&two));
            assert_eq!(unix::receive(&two, &mut [0; 7], &mut fds), Ok(7));
            assert!(expected.contains(&fds.len()), "{} instead of {expected:?}", fds.len());
        }
        drop(fds);
        run(&mut pumps, |_| rustix::io::write(&writer, b"x") == Err(Errno::PIPE));
    }
}

/// A read ends behind a message with descriptors. That was taken for the end of what there is, and where the caller knew
/// that nothing more had been sent, the rest was never asked for: of several clipboards or keymaps at once the first
/// one arrived, and the connection stood still.
#[test]
fn messages_with_descriptors_that_follow_each_other_are_taken_in_one_turn() {
    for joint in JOINTS {
        let (one, two, mut pumps) = joint();
        settle(&mut pumps);
        let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
        for _ in 0..10 {
            assert_eq!(unix::send(&one, b"message", &[reader.as_fd()]), Ok(7));
        }
        assert_eq!(pumps.first_mut().expect("a pump").turn_from_local().expect("alive").from_local, 70);
        settle(&mut pumps);
        let mut fds = Vec::new();
        for _ in 0..10 {
            assert_eq!(unix::receive(&two, &mut [0; 100], &mut fds), Ok(7));
        }
        assert_eq!(fds.len(), 10);
    }
}

#[test]
fn twenty_nine_descriptors_are_an_error_of_that_connection() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    for joint in JOINTS {
        let (one, _two, mut pumps) = joint();
        settle(&mut pumps);
        let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
        let fds = [reader.as_fd(); 29];
        let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(29))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&one, &[std::io::IoSlice::new(b"x")], &mut control, SendFlags::empty()).expect("sent");
        assert!(matches!(pumps[0].turn(), Err(PumpError::Local(UnixError::TooManyFds))));
    }
}

#[test]
fn a_descriptor_that_cannot_cross_is_an_error_with_a_clear_message() {
    let (one, _two, mut pumps) = across_a_stream();
    settle(&mut pumps);
    let (datagram, _other) = std::os::unix::net::UnixDatagram::pair().expect("socket pair");
    unix::send(&one, b"x", &[datagram.as_fd()]).expect("sent");
    let error = pumps[0].turn().expect_err("a datagram socket cannot cross");
    assert_eq!(error.to_string(), "a socket that is no stream socket cannot cross to the other side");
}

#[test]
fn a_socket_that_an_application_sends_reaches_the_other_application() {
    for joint in JOINTS {
        let (one, two, mut pumps) = joint();
        let (mut near, passed) = UnixStream::pair().expect("socket pair");
        unix::send(&one, b"x", &[passed.as_fd()]).expect("sent");
        drop(passed);
        let mut fds = Vec::new();
        run(&mut pumps, |_| is_readable(&two));
        assert_eq!(unix::receive(&two, &mut [0; 8], &mut fds), Ok(1));
        let mut far = UnixStream::from(fds.remove(0));
        near.write_all(b"there").expect("written");
        far.write_all(b"back").expect("written");
        run(&mut pumps, |_| is_readable(&near) && is_readable(&far));
        let mut buffer = [0; 8];
        assert_eq!((near.read(&mut buffer).expect("read"), &buffer[..4]), (4, b"back".as_slice()));
        assert_eq!((far.read(&mut buffer).expect("read"), &buffer[..5]), (5, b"there".as_slice()));
    }
}

#[test]
fn half_close_passes_in_each_direction_on_its_own() {
    for joint in JOINTS {
        let (mut one, mut two, mut pumps) = joint();
        one.write_all(b"question").expect("sent");
        one.shutdown(std::net::Shutdown::Write).expect("half-closed");
        settle(&mut pumps);
        let mut question = String::new();
        two.read_to_string(&mut question).expect("the end of the question has arrived");
        assert_eq!(question, "question");
        assert!(!pumps.iter().any(Pump::finished));
        two.write_all(b"answer").expect("the other direction is open");
        drop(two);
        run(&mut pumps, |pumps| pumps.iter().all(Pump::finished));
        let mut answer = String::new();
        one.read_to_string(&mut answer).expect("the end of the answer has arrived");
        assert_eq!(answer, "answer");
        assert!(!pumps.iter().any(is_readable), "finished pumps are idle");
    }
}

#[test]
fn an_application_that_closes_ends_the_connection_of_the_other() {
    for joint in JOINTS {
        let (one, mut two, mut pumps) = joint();
        settle(&mut pumps);
        two.write_all(&pattern(100_000)).expect("sent");
        drop(one);
        settle(&mut pumps);
        let error = std::iter::repeat_with(|| {
            settle(&mut pumps);
            unix::send(&two, b"more", &[])
        });
        let error = error.take(1000).find_map(Result::err);
        assert_eq!(error, Some(UnixError::Send(Errno::PIPE)));
        drop(two);
        run(&mut pumps, |pumps| pumps.iter().all(Pump::finished));
    }
}

#[test]
fn an_application_that_goes_away_after_its_half_close_stops_the_other() {
    for joint in JOINTS {
        let (one, mut two, mut pumps) = joint();
        one.shutdown(std::net::Shutdown::Write).expect("open");
        settle(&mut pumps);
        assert_eq!(two.read(&mut [0; 8]).expect("the end"), 0);
        two.write_all(b"still wanted").expect("the other still reads");
        settle(&mut pumps);
        assert!(!pumps[0].ended_to_local());
        drop(one);
        settle(&mut pumps);
        assert!(pumps[0].ended_to_local(), "noticed although nobody sends");
        drop(two);
        run(&mut pumps, |pumps| pumps.iter().all(Pump::finished));
    }
}

#[test]
fn what_is_not_taken_can_be_dropped_without_disturbing_the_sender() {
    let (mut one, one_local) = stream_pair();
    let (two, two_local) = stream_pair();
    let options = PumpOptions { drop_untaken: true, ..PumpOptions::default() };
    let mut pumps = [Pump::new(one_local, Endpoint::Unix(two_local), &options).expect("pump")];
    drop(two);
    settle(&mut pumps);
    for _ in 0..100 {
        one.write_all(&[7; 10_000]).expect("nobody tells the sender");
        settle(&mut pumps);
    }
    drop(one);
    run(&mut pumps, |pumps| pumps.iter().all(Pump::finished));
}

#[test]
fn an_application_that_never_reads_stops_the_other_and_nobody_grows() {
    for joint in JOINTS {
        let (one, two, mut pumps) = joint();
        let mut sent = 0;
        loop {
            settle(&mut pumps);
            match unix::send(&one, &[7; 8192], &[]) {
                Ok(len) => sent += len,
                Err(error) => {
                    assert_eq!(error, UnixError::WouldBlock);
                    break;
                }
            }
            assert!(sent < 8 << 20, "{sent} bytes were accepted");
        }
        assert!(pumps[0].blocked_to_endpoint());
        assert!(!pumps.iter().any(is_readable), "blocked pumps are idle");
        two.set_nonblocking(true).expect("set");
        let mut two = two;
        let mut received = 0;
        run(&mut pumps, |_| {
            while let Ok(len @ 1..) = two.read(&mut [0; 65_536]) {
                received += len;
            }
            received == sent
        });
        assert!(!pumps[0].blocked_to_endpoint());
    }
}

#[test]
fn one_turn_moves_no_more_than_its_budget_and_one_chunk() {
    let (one, one_local) = stream_pair();
    let (_two, two_local) = stream_pair();
    let options = PumpOptions { budget_bytes: 10_000, chunk_bytes: 4096, ..PumpOptions::default() };
    let mut pump = Pump::new(one_local, Endpoint::Unix(two_local), &options).expect("pump");
    for _ in 0..12 {
        unix::send(&one, &[7; 4096], &[]).expect("sent");
    }
    let turn = pump.turn().expect("alive");
    assert!(turn.more);
    assert_eq!(turn.from_local, 12_288);
    let rest = std::iter::repeat_with(|| pump.turn().expect("alive")).take_while(|turn| turn.from_local > 0);
    assert_eq!(rest.map(|turn| turn.from_local).sum::<usize>(), 12 * 4096 - 12_288);
}

#[test]
fn a_paused_direction_stands_still_without_wake_ups_and_goes_on_afterwards() {
    for joint in JOINTS {
        let (mut one, mut two, mut pumps) = joint();
        settle(&mut pumps);
        let last = pumps.len() - 1;
        pumps[0].pause_from_local(true);
        one.write_all(b"held").expect("sent");
        settle(&mut pumps);
        assert!(!is_readable(&two));
        pumps[0].pause_from_local(false);
        settle(&mut pumps);
        let mut buffer = [0; 4];
        two.read_exact(&mut buffer).expect("arrived");

        pumps[0].pause_to_local(true);
        two.write_all(b"back").expect("sent");
        settle(&mut pumps[last..]);
        settle(&mut pumps);
        assert!(!is_readable(&one));
        pumps[0].pause_to_local(false);
        pumps[0].turn().expect("alive");
        settle(&mut pumps);
        one.read_exact(&mut buffer).expect("arrived");
        assert_eq!(&buffer, b"back");
    }
}

#[test]
fn the_inspector_sees_every_byte_towards_the_local_side_once() {
    for joint in JOINTS {
        let (_one, mut two, mut pumps) = joint();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&seen);
        pumps[0].set_inspector(move |bytes| sink.borrow_mut().extend_from_slice(bytes));
        for part in [b"one ".as_slice(), b"two ", b"three"] {
            two.write_all(part).expect("sent");
            settle(&mut pumps);
        }
        assert_eq!(seen.borrow().as_slice(), b"one two three");
    }
}

/// An application and the pump between it and a peer.
fn with_a_peer(options: &PumpOptions) -> (UnixStream, [Pump; 1], Socket) {
    let (one, one_local) = stream_pair();
    let (left, right) = stream_pair();
    let left = Socket::new(left.into(), Role::Initiator, SocketOptions::default()).expect("socket");
    let mut peer = Socket::new(right, Role::Acceptor, SocketOptions::default()).expect("socket");
    let mut pumps = [Pump::new(one_local, left, options).expect("pump")];
    let start = Instant::now();
    while !(peer.is_open() && pumps[0].socket_mut().is_some_and(|socket| socket.is_open())) {
        assert!(start.elapsed() < DEADLINE, "timed out");
        settle(&mut pumps);
        peer.dispatch().expect("alive");
    }
    (one, pumps, peer)
}

/// A compositor that throws a client out sends the reason and closes the connection, most often while the client goes on
/// sending. Sending then failed before what the compositor had sent was passed on, so that no client learnt the reason.
#[test]
fn the_last_words_of_a_peer_arrive_although_the_application_is_sending() {
    type Act = fn(&mut Pump) -> Result<Turn, PumpError>;
    for act in [Pump::turn as Act, Pump::turn_from_local] {
        let (mut one, mut pumps, mut peer) = with_a_peer(&PumpOptions::default());
        let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
        assert_eq!(peer.sendmsg(b"protocol error", &[reader.as_fd()]), Ok(14));
        drop(peer);
        one.write_all(&pattern(10_000)).expect("sent");
        let error = act(&mut pumps[0]).expect_err("the peer is gone");
        assert!(matches!(error, PumpError::Socket(SocketError::Disconnected)), "{error:?}");
        let (mut buffer, mut fds) = ([0; 20], Vec::new());
        one.set_nonblocking(true).expect("set");
        assert_eq!(unix::receive(&one, &mut buffer, &mut fds), Ok(14), "the reason is there");
        assert_eq!(&buffer[..14], b"protocol error");
        // The pipe that came with it has ended with the connection, but it is there.
        assert_eq!(fds.len(), 1);
    }
}

#[test]
fn last_words_longer_than_a_budget_arrive_and_in_parts_if_the_application_takes_no_more() {
    let options = PumpOptions { budget_bytes: 4096, chunk_bytes: 4096, ..PumpOptions::default() };
    let (mut one, mut pumps, mut peer) = with_a_peer(&options);
    let sent = peer.sendmsg(&pattern(260_000), &[]).expect("sent");
    let start = Instant::now();
    while peer.queued_bytes() > 0 {
        assert!(start.elapsed() < DEADLINE, "timed out");
        // Only as a socket: nothing goes to the application yet.
        pumps[0].socket_mut().expect("a socket").dispatch().expect("alive");
        peer.dispatch().expect("alive");
    }
    drop(peer);
    one.set_nonblocking(true).expect("set");
    one.write_all(b"x").expect("sent");
    let mut received = Vec::new();
    loop {
        pumps[0].turn().expect_err("the peer is gone");
        let before = received.len();
        let mut part = [0; 65_536];
        while let Ok(len @ 1..) = one.read(&mut part) {
            received.extend_from_slice(&part[..len]);
        }
        assert!(received.len() > before.saturating_add(4096) || received.len() == sent, "{before}");
        if !pumps[0].blocked_to_local() {
            break;
        }
    }
    assert!(received == pattern(sent), "{} of {sent} bytes", received.len());
}

#[test]
fn nothing_follows_a_message_that_could_not_be_passed_on() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let (one, two, mut pumps) = between_sockets();
    let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
    let fds = [reader.as_fd(); 29];
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(29))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(&two, &[std::io::IoSlice::new(b"too many")], &mut control, SendFlags::empty()).expect("sent");
    unix::send(&two, b"what follows", &[]).expect("sent");
    assert!(matches!(pumps[0].turn(), Err(PumpError::Unix(UnixError::TooManyFds))));
    assert!(!is_readable(&one), "a message is missing before it");
}

#[test]
fn the_death_of_the_peer_is_an_error_after_its_last_bytes() {
    let (mut one, mut two, mut pumps) = across_a_stream();
    settle(&mut pumps);
    two.write_all(b"last words").expect("sent");
    let mut other = pumps.pop().expect("two pumps");
    while is_readable(&other) {
        other.turn().expect("alive");
    }
    drop(other);
    let start = Instant::now();
    let error = std::iter::repeat_with(|| pumps[0].turn()).find_map(|result| {
        assert!(start.elapsed() < DEADLINE, "timed out");
        result.err()
    });
    assert!(matches!(error, Some(PumpError::Socket(SocketError::Disconnected))), "{error:?}");
    let mut buffer = [0; 10];
    one.read_exact(&mut buffer).expect("arrived");
    assert_eq!(&buffer, b"last words");
}

/// Which tokens the set reports.
fn tokens(set: &OwnedFd) -> Vec<u64> {
    let mut space = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 8];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let (events, _) = epoll::wait(set, &mut space, Some(&now)).expect("waited");
    let mut tokens: Vec<u64> = events.iter().map(|event| event.data.u64()).collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

#[test]
fn a_registered_pump_tells_its_sides_apart_and_leaves_nothing_in_the_set() {
    for virtio in [false, true] {
        let (mut one, one_local) = stream_pair();
        let (mut two, two_local) = stream_pair();
        // Somebody else holds the sockets too, as after a fork, so that closing them here is not the end of them.
        let held = [&one_local, &two_local].map(|fd| fd.try_clone().expect("duplicate"));
        let endpoint = if virtio {
            let socket = Socket::new(two_local, Role::Initiator, SocketOptions::default());
            Endpoint::from(socket.expect("socket"))
        } else {
            Endpoint::Unix(two_local)
        };
        let mut pumps = [pump(one_local, endpoint)];
        let set = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll"));
        pumps[0].register(&Registration::new(&set, 40)).expect("registered");
        settle(&mut pumps);
        assert!(tokens(&set).is_empty(), "idle");

        two.write_all(b"there").expect("written");
        assert_eq!(tokens(&set), [41]);
        settle(&mut pumps);
        assert!(tokens(&set).is_empty(), "all was moved");

        one.write_all(b"back").expect("written");
        assert_eq!(tokens(&set), [40]);
        two.write_all(b"there").expect("written");
        assert_eq!(tokens(&set), [40, 41]);
        drop(pumps);
        assert!(tokens(&set).is_empty(), "gone, whoever else holds the sockets");
        drop(held);
    }
}

#[test]
fn a_registered_pump_is_told_of_the_end_of_a_pipe_in_its_stream() {
    let (one, two, mut pumps) = registered(across_a_stream());
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    unix::send(&one, b"p", &[reader.as_fd()]).expect("sent");
    drop(reader);
    let mut fds = Vec::new();
    run(&mut pumps, |_| unix::receive(&two, &mut [0; 8], &mut fds).is_ok());
    let mut far = std::fs::File::from(fds.pop().expect("the pipe"));
    settle(&mut pumps);
    std::fs::File::from(writer).write_all(b"content").expect("written");
    run(&mut pumps, |pumps| {
        pumps.iter_mut().all(|pump| pump.socket_mut().is_some_and(|socket| socket.pipes_open() == 0))
    });
    let mut content = String::new();
    far.read_to_string(&mut content).expect("read");
    assert_eq!(content, "content");
}

#[test]
fn a_registered_socket_that_has_failed_is_reported_until_it_has_said_so() {
    let (one, mut pumps, mut peer) = with_a_peer(&PumpOptions::default());
    settle(&mut pumps);
    let set = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll"));
    pumps[0].register(&Registration::new(&set, 0)).expect("registered");
    assert_eq!(peer.sendmsg(b"x", &[]), Ok(1));
    drop(peer);
    assert_eq!(tokens(&set), [Pump::ENDPOINT]);
    while pumps[0].turn().is_ok() {}
    assert!(pumps[0].turn().is_err());
    assert!(tokens(&set).is_empty(), "an end that was reported wakes nobody");
    drop(one);
}

/// A program that queues what is not taken loses that when it goes. What is held for it arrives, in order and with its
/// descriptors, after it is gone.
#[test]
fn what_is_held_of_an_application_that_goes_arrives_in_order_with_its_descriptors() {
    for joint in JOINTS {
        let (mut one, two, mut pumps) = joint();
        settle(&mut pumps);
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        pumps[0].pause_from_local(true);
        one.write_all(&pattern(100_000)).expect("sent");
        assert_eq!(unix::send(&one, b"one", &[reader.as_fd()]), Ok(3));
        assert_eq!(pumps[0].hold_from_local(200_000).expect("held"), ReadOn { bytes: 100_003, all: true });
        assert_eq!(unix::send(&one, b"two", &[reader.as_fd()]), Ok(3));
        drop((one, reader));
        assert_eq!(pumps[0].hold_from_local(100_003).expect("full"), ReadOn { bytes: 0, all: false });
        assert_eq!(pumps[0].hold_from_local(200_000).expect("held"), ReadOn { bytes: 3, all: true });
        settle(&mut pumps);
        assert!(pumps[0].blocked_to_endpoint() && !is_readable(&two), "nothing passes a pump that is paused");
        pumps[0].pause_from_local(false);
        pumps[0].turn().expect("alive");
        let (mut bytes, mut fds) = (Vec::new(), Vec::new());
        run(&mut pumps, |_| {
            let mut chunk = [0; 4096];
            match unix::receive(&two, &mut chunk, &mut fds) {
                Ok(len) => {
                    bytes.extend_from_slice(&chunk[..len]);
                    len == 0
                }
                Err(error) => {
                    assert_eq!(error, UnixError::WouldBlock);
                    false
                }
            }
        });
        assert!(bytes == [&pattern(100_000)[..], b"onetwo"].concat());
        assert_eq!(fds.len(), 2);
        drop(fds);
        run(&mut pumps, |_| rustix::io::write(&writer, b"x") == Err(Errno::PIPE));
    }
}
