//! What one side sent before the end reaches the other one, also if that takes nothing at the moment of the end.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFlags, Timespec};
use rustix::net::sockopt::set_socket_send_buffer_size;
use virtio_wl::{Endpoint, Role, Socket, SocketError, SocketOptions};
use vitrail_proxy::connection::{Connection, End, Status};

use crate::wire::{Args, Message, PATIENCE, Peer, encode, wait};

const DISPLAY: u32 = 1;
const REGISTRY: u32 = 2;

/// More than the kernel holds for a connection in all places together, and less than a gate holds for a client.
const MUCH: u32 = 20_000;
const MUCH_BYTES: usize = 1 << 20;

/// An end of a socket pair that the kernel keeps little for.
fn small_pair() -> (UnixStream, UnixStream) {
    let (one, two) = UnixStream::pair().unwrap();
    for end in [&one, &two] {
        set_socket_send_buffer_size(end, 4096).unwrap();
    }
    (one, two)
}

/// An application, its connection as a gate has it, and a compositor that has a registry of the application.
fn scene() -> (Peer, Connection, Peer, u32) {
    let (app, app_inner) = small_pair();
    let (compositor, inner) = small_pair();
    let (client, server) = (Endpoint::Unix(app_inner.into()), Endpoint::Unix(inner.into()));
    let mut connection = Connection::new(client, server).unwrap();
    connection.set_pending_limit(MUCH_BYTES);
    let (app, mut compositor) = (Peer::new(app), Peer::new(compositor));
    app.send(DISPLAY, 1, Args::new().u32(REGISTRY));
    while turn(&mut connection).is_none() && !wait(compositor.stream().as_fd(), PollFlags::IN, Duration::ZERO)
    {
    }
    let registry = compositor.expect(DISPLAY, 1).word(0);
    (app, connection, compositor, registry)
}

/// Does what there is to do, and waits a moment for more.
fn turn(connection: &mut Connection) -> Option<End> {
    const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    match connection.turn() {
        Status::More => None,
        Status::Idle => connection.wait(Some(&MOMENT)).map(|_| None).unwrap(),
        Status::Ended(end) => Some(end),
    }
}

/// Turns until the connection has ended, though not all has arrived, and until `sender` is done.
fn until_the_end_begins<T>(connection: &mut Connection, sender: JoinHandle<T>) -> T {
    let begin = Instant::now();
    while connection.is_open() || !sender.is_finished() {
        assert!(begin.elapsed() < PATIENCE, "the connection does not end");
        assert!(turn(connection).is_none(), "nothing waits for anybody");
    }
    sender.join().unwrap()
}

/// Has `reader` read all that arrives, while the connection comes to its end.
fn read_to_the_end(connection: &mut Connection, mut reader: Peer) -> (Vec<Message>, End) {
    let reader = thread::spawn(move || std::iter::from_fn(|| reader.try_next()).collect::<Vec<_>>());
    let end = loop {
        if let Some(end) = turn(connection) {
            break end;
        }
    };
    (reader.join().unwrap(), end)
}

fn globals(registry: u32) -> Vec<u8> {
    let event = |name| encode(registry, 0, &Args::new().u32(name).string("wl_seat").u32(1));
    (0..MUCH).flat_map(event).collect()
}

fn syncs(count: u32) -> Vec<u8> {
    (0..count).flat_map(|id| encode(DISPLAY, 0, &Args::new().u32(id + 3))).collect()
}

/// The error that a compositor throws a client out with.
fn error() -> Vec<u8> {
    encode(DISPLAY, 0, &Args::new().u32(DISPLAY).u32(2).string("out of memory"))
}

#[track_caller]
fn assert_told(messages: &[Message], code: u32) {
    let globals = messages.iter().filter(|message| (message.object, message.opcode) == (REGISTRY, 0));
    let names: Vec<u32> = globals.map(|message| message.word(0)).collect();
    assert!(names.iter().copied().eq(0..u32::try_from(names.len()).unwrap()), "a gap");
    let last = messages.last().expect("something came");
    assert_eq!((last.object, last.opcode, last.word(1)), (DISPLAY, 0, code), "after {} events", names.len());
}

/// What the state had queued for an application beyond what the kernel took was lost with the state.
#[test]
fn all_that_a_compositor_said_before_it_closed_reaches_an_application_that_is_busy() {
    let (app, mut connection, compositor, registry) = scene();
    let sender = thread::spawn(move || compositor.send_raw(&globals(registry), &[]));
    until_the_end_begins(&mut connection, sender);
    let (messages, end) = read_to_the_end(&mut connection, app);
    assert!(matches!(end, End::ServerClosed), "{end}");
    assert_eq!(messages.len(), MUCH as usize);
    assert!(messages.iter().map(|message| message.word(0)).eq(0..MUCH));
}

/// The state destroys itself when the compositor reports an error, with everything in its queue.
#[test]
fn an_application_that_is_busy_learns_why_the_compositor_throws_it_out() {
    let (app, mut connection, compositor, registry) = scene();
    let sender = thread::spawn(move || {
        compositor.send_raw(&globals(registry), &[]);
        compositor.send_raw(&error(), &[]);
        compositor
    });
    let _compositor = until_the_end_begins(&mut connection, sender);
    let (messages, end) = read_to_the_end(&mut connection, app);
    assert!(matches!(end, End::ServerError { code: 2, .. }), "{end}");
    // The code of an object that only the compositor's side knows would mean something else to the application.
    assert_told(&messages, 3);
    // Some of what came together with the error is not passed on.
    assert!(messages.len() > MUCH as usize - 300, "{}", messages.len());
}

/// The error is the last thing in a queue that the client does not take, and was lost with it.
#[test]
fn an_application_that_is_busy_learns_which_request_was_refused() {
    let (app, mut connection, compositor, registry) = scene();
    let sender = thread::spawn(move || {
        compositor.send_raw(&globals(registry), &[]);
        compositor
    });
    while !sender.is_finished() {
        assert!(turn(&mut connection).is_none());
    }
    app.send(4711, 0, Args::new());
    let _compositor = until_the_end_begins(&mut connection, sender);
    let (messages, end) = read_to_the_end(&mut connection, app);
    assert!(matches!(end, End::ClientMalformed), "{end}");
    assert_told(&messages, 1);
    assert_eq!(messages.len(), MUCH as usize + 1);
}

/// A VM that is switched off has sent what it has sent: more was read of it than the state could send on.
#[test]
fn all_that_came_before_a_stream_broke_off_reaches_a_compositor_that_is_busy() {
    let (stream, theirs) = UnixStream::pair().unwrap();
    let client = Socket::new(theirs.into(), Role::Acceptor, SocketOptions::default()).unwrap();
    let mut vm = Socket::new(stream.into(), Role::Initiator, SocketOptions::default()).unwrap();
    let (compositor, inner) = small_pair();
    let mut connection = Connection::new(client.into(), Endpoint::Unix(inner.into())).unwrap();
    while !vm.is_open() {
        assert!(turn(&mut connection).is_none());
        vm.dispatch().unwrap();
    }
    // What the kernel holds of it, and then what a stream may hold at once.
    const REQUESTS: u32 = 60_000;
    let requests = syncs(REQUESTS);
    let (mut sent, begin) = (0, Instant::now());
    while begin.elapsed() < PATIENCE / 30 {
        match vm.sendmsg(&requests[sent..], &[]) {
            Ok(len) => sent += len,
            Err(SocketError::WouldBlock) => {}
            Err(error) => panic!("{error}"),
        }
        vm.dispatch().unwrap();
        assert!(turn(&mut connection).is_none());
    }
    // A part of this may be on the stream.
    let least = sent - vm.queued_bytes() - (64 << 10);
    drop(vm);
    until_the_end_begins(&mut connection, thread::spawn(|| ()));
    let (messages, end) = read_to_the_end(&mut connection, Peer::new(compositor));
    assert!(matches!(end, End::ClientFailed(_)), "{end}");
    assert!(messages.len() * 12 >= least, "{} of at least {} requests", messages.len(), least / 12);
}

#[test]
fn all_that_an_application_sent_before_it_left_reaches_a_compositor_that_is_busy() {
    const REQUESTS: u32 = 10_500;
    let (app, app_inner) = UnixStream::pair().unwrap();
    let (compositor, inner) = small_pair();
    let mut connection =
        Connection::new(Endpoint::Unix(app_inner.into()), Endpoint::Unix(inner.into())).unwrap();
    let app = Peer::new(app);
    app.send_raw(&syncs(REQUESTS), &[]);
    drop(app);
    // As far as it goes while nothing is taken.
    while !matches!(connection.turn(), Status::Idle)
        || wait(connection.as_fd(), PollFlags::IN, Duration::from_millis(50))
    {}
    let (messages, end) = read_to_the_end(&mut connection, Peer::new(compositor));
    assert!(matches!(end, End::ClientClosed), "{end}");
    assert_eq!(messages.len(), REQUESTS as usize);
}
