//! What a side sent before it closed the connection reaches the other one, whatever else is under way.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFlags, Timespec, epoll};
use virtio_wl::{Endpoint, Role, Socket, SocketError, SocketOptions};
use vitrail_proxy::connection::{Connection, ConnectionError, DrainPatience, End, Outbox, Status};

use crate::wire::{Args, PATIENCE, Peer, encode, wait};

/// An application, its connection, and the gate at the other end of the stream.
fn with_a_gate() -> (Peer, Connection, Socket) {
    let (app, app_inner) = UnixStream::pair().unwrap();
    let (upstream, gate) = UnixStream::pair().unwrap();
    let socket = Socket::new(upstream.into(), Role::Initiator, SocketOptions::default()).unwrap();
    let mut gate = Socket::new(gate.into(), Role::Acceptor, SocketOptions::default()).unwrap();
    let mut connection = Connection::new(Endpoint::Unix(app_inner.into()), socket.into()).unwrap();
    while !gate.is_open() {
        settle(&mut connection);
        assert!(wait(gate.as_fd(), PollFlags::IN, PATIENCE));
        gate.dispatch().unwrap();
    }
    settle(&mut connection);
    assert!(connection.server_pump().unwrap().socket_mut().unwrap().is_open());
    (Peer::new(app), connection, gate)
}

/// An application, its connection, and a compositor on a Unix socket.
fn with_a_compositor() -> (Peer, Connection, Peer) {
    let (app, app_inner) = UnixStream::pair().unwrap();
    let (compositor, inner) = UnixStream::pair().unwrap();
    let connection = Connection::new(Endpoint::Unix(app_inner.into()), Endpoint::Unix(inner.into())).unwrap();
    (Peer::new(app), connection, Peer::new(compositor))
}

/// Turns the connection until it has nothing to do.
fn settle(connection: &mut Connection) {
    loop {
        match connection.turn() {
            Status::More => {}
            Status::Idle if wait(connection.as_fd(), PollFlags::IN, Duration::ZERO) => {}
            Status::Idle => return,
            Status::Ended(end) => panic!("the connection is over: {end}"),
        }
    }
}

/// Turns the connection until it is over.
fn to_the_end(connection: &mut Connection) -> End {
    let patience = Timespec::try_from(PATIENCE).unwrap();
    loop {
        match connection.turn() {
            Status::More => {}
            Status::Idle => assert!(connection.wait(Some(&patience)).unwrap(), "nothing happens any more"),
            Status::Ended(end) => return end,
        }
    }
}

const DISPLAY: u32 = 1;

/// The display's error that a compositor throws a client out with.
fn error() -> Vec<u8> {
    encode(DISPLAY, 0, &Args::new().u32(DISPLAY).u32(2).string("out of memory"))
}

#[track_caller]
fn assert_told(mut app: Peer, end: &End) {
    assert!(matches!(end, End::ServerError { code: 2, .. }), "{end}");
    let message = app.last().expect("the error came");
    assert_eq!((message.object, message.opcode), (DISPLAY, 0), "{message:?}");
    assert_eq!(message.string(2), "out of memory");
}

/// The gate closes while a request is on its way to it: the request cannot be sent, which ended the connection before
/// anybody had looked at what the gate had sent.
#[test]
fn an_application_with_requests_under_way_learns_why_it_is_thrown_out() {
    let (app, mut connection, mut gate) = with_a_gate();
    app.send(DISPLAY, 0, Args::new().u32(2));
    // The connection knows of the request, and not yet of what comes now.
    assert!(connection.wait(None).unwrap());
    let error = error();
    assert_eq!(gate.sendmsg(&error, &[]), Ok(error.len()));
    drop(gate);
    let end = to_the_end(&mut connection);
    assert_told(app, &end);
}

/// Pixels go to the gate beside the state's bytes, and can be the first that cannot be sent.
#[test]
fn an_application_that_is_drawing_learns_why_it_is_thrown_out() {
    struct Pixels;

    impl Outbox for Pixels {
        fn drain(&self, endpoint: &mut Endpoint) -> Result<bool, SocketError> {
            let Endpoint::Virtio(socket) = endpoint else { panic!("the gate is at the other end") };
            socket.sendmsg(b"pixels", &[]).map(|_| true)
        }
    }

    let (app, mut connection, mut gate) = with_a_gate();
    app.send(DISPLAY, 0, Args::new().u32(2));
    assert!(connection.wait(None).unwrap());
    connection.set_outbox(Rc::new(Pixels));
    let error = error();
    assert_eq!(gate.sendmsg(&error, &[]), Ok(error.len()));
    drop(gate);
    let end = to_the_end(&mut connection);
    assert_told(app, &end);
}

/// The state takes 8 KiB at a time, and the connection ended as soon as it had been given the last of them. (What it takes
/// together with an error it does not pass on; nothing depends on that any more.)
#[test]
fn an_error_behind_a_burst_of_events_arrives() {
    let (mut app, mut connection, mut compositor) = with_a_compositor();
    app.send(DISPLAY, 1, Args::new().u32(2));
    settle(&mut connection);
    let registry = compositor.expect(DISPLAY, 1).word(0);
    let event = |name| encode(registry, 0, &Args::new().u32(name).string("wl_seat").u32(1));
    let mut burst: Vec<u8> = (0..3000).flat_map(event).collect();
    burst.extend(error());
    compositor.send_raw(&burst, &[]);
    drop(compositor);
    let reader = thread::spawn(move || {
        // Without reading, the rest would find no room.
        for name in 0..2500 {
            assert_eq!(app.expect(2, 0).word(0), name);
        }
        app
    });
    let end = to_the_end(&mut connection);
    assert_told(reader.join().unwrap(), &end);
}

#[test]
fn a_burst_of_requests_of_an_application_that_leaves_arrives() {
    const REQUESTS: u32 = 8000;
    let (app, mut connection, mut compositor) = with_a_compositor();
    let requests: Vec<u8> =
        (0..REQUESTS).flat_map(|id| encode(DISPLAY, 0, &Args::new().u32(id + 2))).collect();
    app.send_raw(&requests, &[]);
    drop(app);
    let reader = thread::spawn(move || {
        (0..REQUESTS).take_while(|_| compositor.try_next().is_some_and(|message| message.opcode == 0)).count()
    });
    let end = to_the_end(&mut connection);
    assert!(matches!(end, End::ClientClosed), "{end}");
    assert_eq!(u32::try_from(reader.join().unwrap()), Ok(REQUESTS));
}

/// How long an ended connection goes on whose peer does something every now and then.
fn lasts(connection: &mut Connection, mut now_and_then: impl FnMut()) -> Duration {
    const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let begin = Instant::now();
    loop {
        match connection.turn() {
            Status::More => {}
            Status::Idle => {
                if !connection.wait(Some(&PAUSE)).unwrap() {
                    now_and_then();
                }
            }
            Status::Ended(_) => return begin.elapsed(),
        }
        assert!(begin.elapsed() < PATIENCE, "the connection goes on");
    }
}

/// Every turn moved the end of patience, whatever it was for: a peer that takes nothing and says something now and then kept
/// an ended connection, with its descriptors and its place among the VM's, for ever.
#[test]
fn a_peer_that_talks_and_takes_nothing_does_not_keep_an_ended_connection() {
    let (app, mut connection, mut gate) = with_a_gate();
    let idle = Duration::from_millis(400);
    connection.set_drain_patience(DrainPatience { idle, in_all: PATIENCE });
    drop(app);
    let took = lasts(&mut connection, || assert_eq!(gate.sendmsg(b"still here", &[]), Ok(10)));
    assert!(took >= idle && took < PATIENCE / 3, "{took:?}");
}

/// A peer that takes a little before patience is over each time kept it too.
#[test]
fn a_peer_that_takes_little_by_little_keeps_an_ended_connection_only_so_long() {
    let (app, app_inner) = UnixStream::pair().unwrap();
    let (compositor, inner) = UnixStream::pair().unwrap();
    // Little is with the kernel, so the rest is known to be under way.
    rustix::net::sockopt::set_socket_send_buffer_size(&inner, 4096).unwrap();
    let mut connection =
        Connection::new(Endpoint::Unix(app_inner.into()), Endpoint::Unix(inner.into())).unwrap();
    let in_all = Duration::from_millis(1500);
    connection.set_drain_patience(DrainPatience { idle: Duration::from_secs(1), in_all });
    let requests: Vec<u8> = (2..10_000).flat_map(|id| encode(DISPLAY, 0, &Args::new().u32(id))).collect();
    let app = Peer::new(app);
    app.send_raw(&requests, &[]);
    // Which ends it, and what came before is to arrive.
    app.send(4711, 0, Args::new());
    drop(app);
    let mut arrived = 0;
    let took = lasts(&mut connection, || {
        arrived += std::io::Read::read(&mut &compositor, &mut [0; 1000]).unwrap();
    });
    assert!(arrived > 5_000 && arrived < requests.len() / 2, "{arrived} of {}", requests.len());
    assert!(took >= in_all && took < 3 * in_all, "{took:?}");
}

/// The state and what belongs to it refer to each other. When a connection could not be set up to the end they were left
/// behind, with five descriptors each time.
#[test]
fn a_connection_that_cannot_be_waited_for_leaves_no_descriptors() {
    const TIMES: usize = 50;
    let epoll = || Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
    // The kernel nests so many and no more: sockets can be waited for in the innermost set, and no further set.
    let sets: Vec<_> = std::iter::repeat_with(epoll).take(5).collect();
    for (outer, inner) in sets.iter().zip(sets.iter().skip(1)) {
        epoll::add(outer, inner, epoll::EventData::new_u64(0), epoll::EventFlags::IN).unwrap();
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    for _ in 0..TIMES {
        let [(_app, client), (_compositor, server)] = [(); 2].map(|()| UnixStream::pair().unwrap());
        let (client, server) = (Endpoint::Unix(client.into()), Endpoint::Unix(server.into()));
        let error = Connection::within(sets.last().unwrap(), 0, client, server).unwrap_err();
        assert!(matches!(error, ConnectionError::Epoll(_)), "{error}");
    }
    // Other tests have some of their own.
    let after = descriptors();
    assert!(after < before + 3 * TIMES, "{before} descriptors, then {after}");
}
