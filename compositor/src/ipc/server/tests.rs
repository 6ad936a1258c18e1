//! The control socket, from its clients' side.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use calloop::EventLoop;

use super::*;
use crate::ipc::protocol::{InputEvent, Status};

/// Stands for the compositor: echoes what it is asked.
#[derive(Default)]
struct Fake {
    asked: Vec<Request>,
    answer: Option<Value>,
}

impl Handler for Fake {
    fn handle(&mut self, request: Request) -> Reply {
        self.asked.push(request.clone());
        match request {
            Request::WaitWindows { generation } => Reply::Wait(Awaited::Windows(generation)),
            Request::WaitVms { generation } => Reply::Wait(Awaited::Vms(generation)),
            Request::WaitFrame { frame } => Reply::Wait(Awaited::Frame(frame)),
            Request::Reload {} => Reply::Error(String::from("line 3 is wrong")),
            _ => Reply::Ok(self.answer.clone().unwrap_or_else(|| Value::from("done"))),
        }
    }
}

struct Fixture {
    events: EventLoop<'static, Fake>,
    server: Server,
    fake: Fake,
    _directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let events = EventLoop::try_new().unwrap();
        let server = Server::start(&directory.path().join("ipc.sock"), &events.handle()).unwrap();
        Self { events, server, fake: Fake::default(), _directory: directory }
    }

    fn connect(&self) -> BufReader<UnixStream> {
        let stream = UnixStream::connect(self.server.path()).unwrap();
        stream.set_nonblocking(true).unwrap();
        BufReader::new(stream)
    }

    /// Turns the event loop until `done` says so.
    #[track_caller]
    fn until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(result) = done(self) {
                return result;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "gave up waiting");
            self.events.dispatch(Some(Duration::from_millis(20)), &mut self.fake).unwrap();
        }
    }

    #[track_caller]
    fn line(&mut self, client: &mut BufReader<UnixStream>) -> String {
        let mut line = Vec::new();
        self.until(|_| match client.read_until(b'\n', &mut line) {
            Ok(_) => Some(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        });
        String::from_utf8(line).unwrap()
    }

    #[track_caller]
    fn ask(&mut self, client: &mut BufReader<UnixStream>, request: &str) -> String {
        client.get_mut().write_all(request.as_bytes()).unwrap();
        client.get_mut().write_all(b"\n").unwrap();
        self.line(client)
    }
}

#[test]
fn the_socket_is_the_users_alone_and_goes_with_the_server() {
    let fixture = Fixture::new();
    let path = fixture.server.path().to_owned();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(fixture);
    assert!(!path.exists());
}

#[test]
fn a_second_server_at_the_same_path_is_refused_and_a_dead_one_replaced() {
    let mut fixture = Fixture::new();
    let path = fixture.server.path().to_owned();
    let handle = fixture.events.handle();
    assert!(matches!(Server::start(&path, &handle), Err(ServerError::InUse(_))));
    // A probe of the second server was a client of the first.
    fixture.until(|fixture| fixture.server.peers.borrow().is_empty().then_some(()));

    let dead = path.with_file_name("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    assert!(Server::start(&dead, &handle).is_ok());
}

#[test]
fn requests_are_answered_in_order() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    assert_eq!(fixture.ask(&mut client, r#"{"request":"windows"}"#), "{\"ok\":\"done\"}\n");
    client.get_mut().write_all(b"{\"request\":\"reload\"}\n{\"request\":\"vms\"}\n").unwrap();
    assert_eq!(fixture.line(&mut client), "{\"error\":\"line 3 is wrong\"}\n");
    assert_eq!(fixture.line(&mut client), "{\"ok\":\"done\"}\n");
    assert_eq!(fixture.fake.asked.len(), 3);
}

#[test]
fn what_is_no_request_is_answered_with_an_error_and_costs_nothing_else() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    for line in ["", "{", "[1]", r#"{"request":"quit"}"#, "\u{0}\u{1b}[31m"] {
        assert!(fixture.ask(&mut client, line).starts_with("{\"error\":\"not a request: "), "{line}");
    }
    assert_eq!(fixture.ask(&mut client, r#"{"request":"windows"}"#), "{\"ok\":\"done\"}\n");
}

#[test]
fn a_line_without_end_is_cut_off() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    let mut left = 4 * MAX_REQUEST;
    fixture.until(|_| {
        match client.get_mut().write(&vec![b'x'; left.min(CHUNK)]) {
            Ok(written) => left -= written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // Hung up on.
            Err(_) => left = 0,
        }
        (left == 0).then_some(())
    });
    fixture.until(|fixture| fixture.server.peers.borrow().is_empty().then_some(()));
    assert!(fixture.fake.asked.is_empty());
}

#[test]
fn a_client_that_does_not_read_is_not_read_either() {
    let mut fixture = Fixture::new();
    fixture.fake.answer = Some(Value::from("x".repeat(1 << 20)));
    let mut client = fixture.connect();
    let mut asked = 0;
    // Written until the compositor takes no more; each answer is larger than the socket's buffer.
    fixture.until(|fixture| {
        while client.get_mut().write_all(b"{\"request\":\"windows\"}\n").is_ok() {
            asked += 1;
        }
        (!fixture.fake.asked.is_empty()).then_some(())
    });
    for _ in 0..5 {
        fixture.events.dispatch(Some(Duration::ZERO), &mut fixture.fake).unwrap();
    }
    assert_eq!(fixture.fake.asked.len(), 1);
    assert!(asked > 10);
    let peers = fixture.server.peers.borrow();
    let peer = peers.values().next().unwrap().peer.borrow();
    assert!(peer.output.len() < 2 << 20 && peer.input.len() <= MAX_REQUEST);
}

#[test]
fn a_seventeenth_client_is_told_so_and_gets_its_turn_when_another_leaves() {
    let mut fixture = Fixture::new();
    let mut clients: Vec<_> = (0..MAX_CLIENTS).map(|_| fixture.connect()).collect();
    fixture.until(|fixture| (fixture.server.peers.borrow().len() == MAX_CLIENTS).then_some(()));
    let mut late = fixture.connect();
    assert!(fixture.line(&mut late).contains("at most 16 clients"));
    assert_eq!(fixture.line(&mut late), "");
    clients.pop();
    fixture.until(|fixture| (fixture.server.peers.borrow().len() < MAX_CLIENTS).then_some(()));
    let mut next = fixture.connect();
    assert_eq!(fixture.ask(&mut next, r#"{"request":"windows"}"#), "{\"ok\":\"done\"}\n");
}

#[test]
fn a_client_that_hangs_up_after_its_request_is_answered_and_forgotten() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    client.get_mut().write_all(b"{\"request\":\"windows\"}\n").unwrap();
    client.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(fixture.line(&mut client), "{\"ok\":\"done\"}\n");
    fixture.until(|fixture| fixture.server.peers.borrow().is_empty().then_some(()));
}

#[test]
fn waiting_clients_are_answered_when_the_list_is_another_one() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    assert!(!fixture.server.awaits_windows());
    client.get_mut().write_all(b"{\"request\":\"wait_windows\",\"generation\":7}\n").unwrap();
    fixture.until(|fixture| fixture.server.awaits_windows().then_some(()));

    let list = |generation| WindowList { generation, windows: Vec::new() };
    fixture.server.answer_windows(&fixture.events.handle(), &list(7));
    assert!(fixture.server.awaits_windows());
    fixture.server.answer_windows(&fixture.events.handle(), &list(8));
    assert!(!fixture.server.awaits_windows());
    assert_eq!(fixture.line(&mut client), "{\"ok\":{\"generation\":8,\"windows\":[]}}\n");
}

#[test]
fn clients_that_wait_for_a_frame_are_answered_with_its_number() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    client.get_mut().write_all(b"{\"request\":\"wait_frame\",\"frame\":7}\n").unwrap();
    let waits = |fixture: &mut Fixture| {
        let peers = fixture.server.peers.borrow();
        peers.values().any(|entry| entry.peer.borrow().waiting == Some(Awaited::Frame(7)))
    };
    fixture.until(|fixture| waits(fixture).then_some(()));
    assert!(!fixture.server.awaits_windows());
    fixture.server.answer_frame(&fixture.events.handle(), FrameNumber { frame: 7 });
    fixture
        .server
        .answer_windows(&fixture.events.handle(), &WindowList { generation: 8, windows: Vec::new() });
    assert!(waits(&mut fixture));
    fixture.server.answer_frame(&fixture.events.handle(), FrameNumber { frame: 9 });
    assert!(!waits(&mut fixture));
    assert_eq!(fixture.line(&mut client), "{\"ok\":{\"frame\":9}}\n");
}

#[test]
fn a_client_waits_for_another_list_of_vms_and_for_nothing_else() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    assert!(!fixture.server.awaits_vms());
    client.get_mut().write_all(b"{\"request\":\"wait_vms\",\"generation\":7}\n").unwrap();
    fixture.until(|fixture| fixture.server.awaits_vms().then_some(()));
    assert!(!fixture.server.awaits_windows());
    let events = fixture.events.handle();
    fixture.server.answer_frame(&events, FrameNumber { frame: 8 });
    fixture.server.answer_windows(&events, &WindowList { generation: 8, windows: Vec::new() });
    fixture.server.answer_vms(&events, &VmList { generation: 7, vms: Vec::new() });
    assert!(fixture.server.awaits_vms());
    fixture.server.answer_vms(&events, &VmList { generation: 8, vms: Vec::new() });
    assert!(!fixture.server.awaits_vms());
    assert_eq!(fixture.line(&mut client), "{\"ok\":{\"generation\":8,\"vms\":[]}}\n");
}

#[test]
fn a_client_that_leaves_while_it_waits_is_forgotten() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    client.get_mut().write_all(b"{\"request\":\"wait_windows\",\"generation\":7}\n").unwrap();
    fixture.until(|fixture| fixture.server.awaits_windows().then_some(()));
    drop(client);
    fixture.until(|fixture| fixture.server.peers.borrow().is_empty().then_some(()));
}

#[test]
fn vitrailctls_end_understands_the_answers() {
    use crate::ipc::client::{Client, ClientError};

    let mut fixture = Fixture::new();
    let status = Status {
        version: String::from("0"),
        pid: 1,
        output: crate::ipc::protocol::Area { x: 0, y: 0, w: 10, h: 10 },
        scale: 1.5,
        keyboard: None,
        locked: false,
        workspaces: Vec::new(),
        idle_inhibited_by: None,
        shortcuts_inhibited_by: None,
        config: None,
        config_error: None,
        gate: None,
    };
    fixture.fake.answer = Some(serde_json::to_value(&status).unwrap());
    let path = fixture.server.path().to_owned();
    let worker = std::thread::spawn(move || {
        let mut client = Client::connect(&path).unwrap();
        let status: Status = client.request(&Request::Status {}).unwrap();
        let refused = client.request::<Value>(&Request::Reload {});
        let events = vec![InputEvent::Move { x: 1.0, y: 2.0 }];
        client.request::<Value>(&Request::Input { events, output: None }).unwrap();
        let wait = Request::WaitWindows { generation: 1 };
        let late = client.request_within::<Value>(&wait, Duration::from_millis(20));
        (status, refused, late)
    });
    fixture.until(|_| worker.is_finished().then_some(()));
    let (answer, refused, late) = worker.join().unwrap();
    assert_eq!(answer, status);
    assert!(matches!(refused, Err(ClientError::Said(reason)) if reason == "line 3 is wrong"));
    assert!(matches!(late, Err(ClientError::TimedOut(_))));
    let nobody = fixture.server.path().with_file_name("nobody");
    assert!(matches!(Client::connect(&nobody), Err(ClientError::NobodyThere(_))));
}
