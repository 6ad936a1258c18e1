//! The examples of `docs/wire.md`, read out of the page: both implementations and live sockets must agree with them.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use virtio_wl::socket::Violation;
use virtio_wl::trim::{TrimClient, TrimRecord};
use virtio_wl::wire::{Frame, FrameHeader, Hello, WireError};
use virtio_wl::{Purpose, Region, Role, Socket, SocketError, SocketOptions};

use crate::harness::conversation::Conversation;
use crate::harness::reference::{self, Kind, Message};
use crate::harness::wire_peer::{self, Splitter};
use crate::harness::{frames, hello};
use crate::{alone, properties};

const PAGE: &str = include_str!("../../../docs/wire.md");

/// The rows of the table below a heading, without its head, as cells. Code marks are taken off.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, section) = PAGE.split_once(&format!("{heading}\n")).expect("the page has the section");
    let rows =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let row = row.trim_matches('|');
        row.split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let rows: Vec<Vec<String>> = rows.skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "no table below {heading}");
    rows
}

/// Bytes in hexadecimal; `00*20` is twenty of them.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (byte, count) = word.split_once('*').unwrap_or((word, "1"));
        let byte = u8::from_str_radix(byte, 16).expect("a byte");
        bytes.extend(vec![byte; count.parse().expect("a number")]);
    }
    bytes
}

/// How the page writes a frame.
fn described(message: &Message) -> String {
    let text = |bytes: &[u8]| format!("\"{}\"", String::from_utf8_lossy(bytes));
    match message {
        Message::Data { ids, bytes } if ids.is_empty() => format!("DATA {}", text(bytes)),
        Message::Data { ids, bytes } => format!("DATA vfds {ids:?} {}", text(bytes)),
        Message::DataCredit { bytes } => format!("DATA_CREDIT {bytes}"),
        Message::DataEnd => "DATA_END".into(),
        Message::DataStop => "DATA_STOP".into(),
        Message::VfdNew { id, kind } => match kind {
            Kind::Region { offset, length } => {
                format!("VFD_NEW {id} region offset {offset} length {length}")
            }
            Kind::Mirror { length } => format!("VFD_NEW {id} mirror length {length}"),
            Kind::Blob { length } => format!("VFD_NEW {id} blob length {length}"),
            Kind::Pipe { write_end: false } => format!("VFD_NEW {id} pipe read end"),
            Kind::Pipe { write_end: true } => format!("VFD_NEW {id} pipe write end"),
            Kind::Socket => format!("VFD_NEW {id} socket"),
        },
        Message::BlobData { id, bytes } => format!("BLOB_DATA {id} {}", text(bytes)),
        Message::PipeData { id, bytes } => format!("PIPE_DATA {id} {}", text(bytes)),
        Message::PipeCredit { id, bytes } => format!("PIPE_CREDIT {id} {bytes}"),
        Message::PipeEnd { id } => format!("PIPE_END {id}"),
        Message::PipeStop { id } => format!("PIPE_STOP {id}"),
        Message::MirrorWrite { id, row_length, stride, rows, offset, bytes } => format!(
            "MIRROR_WRITE {id} row_length {row_length} stride {stride} rows {rows} offset {offset} {}",
            text(bytes)
        ),
        Message::MirrorClose { id } => format!("MIRROR_CLOSE {id}"),
    }
}

/// One whole frame, by the second implementation.
fn parsed(frame: &[u8]) -> Message {
    let (header, payload) = frame.split_first_chunk().expect("a header");
    assert_eq!(reference::header(header), Ok(payload.len()), "the example is one frame");
    reference::message(header, payload).expect("a valid example")
}

#[test]
fn the_example_of_every_frame_is_what_both_implementations_make_of_it() {
    let rows = table("### 8.2 Every frame");
    let mut seen = Vec::new();
    for row in &rows {
        let [description, hex] = row.as_slice() else { panic!("two cells: {row:?}") };
        let frame = bytes(hex);
        let message = parsed(&frame);
        assert_eq!(&described(&message), description);
        let (header, payload) = frame.split_first_chunk().expect("a header");
        frames::compare(header, payload);
        assert_eq!(properties::encode(&message), frame, "{description}");
        seen.push(if header[0] == 5 { (5, payload[4] + payload[5]) } else { (header[0], header[1]) });
    }
    let types =
        [(1, 0), (1, 1), (2, 0), (3, 0), (4, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 0), (12, 0)];
    let kinds = [(5, 1), (5, 2), (5, 3), (5, 4), (5, 5)];
    for needed in types.iter().chain(&kinds) {
        assert!(seen.contains(needed), "no example of type and flags {needed:?}");
    }
}

#[test]
fn the_example_hellos_are_those_of_this_implementation() {
    let _guard = alone();
    let rows = table("### 8.1 Hellos");
    for row in &rows {
        let [who, hex] = row.as_slice() else { panic!("two cells: {row:?}") };
        let bytes: [u8; 32] = bytes(hex).try_into().expect("a hello");
        hello::compare(&bytes);
        let mut options = SocketOptions::default();
        if who.contains("region") {
            options.region = Some(std::sync::Arc::new(Region::create_memfd(8192).expect("region")));
        }
        options.take_sockets = !who.contains("without sockets");
        let role = if who.contains("acceptor") { Role::Acceptor } else { Role::Initiator };
        let (peer, stream) = wire_peer::stream_pair();
        let _socket = Socket::new(stream, role, options).expect("socket");
        assert_eq!(wire_peer::read_some(&peer, 100), bytes, "{who}");
    }
}

/// Two sockets whose streams the test carries, so that it sees them.
struct Ends {
    sockets: [Socket; 2],
    streams: [UnixStream; 2],
    heard: [Vec<u8>; 2],
}

impl Ends {
    fn new() -> Self {
        let end = |role| {
            let (stream, inner) = wire_peer::stream_pair();
            (Socket::new(inner, role, SocketOptions::default()).expect("socket"), stream)
        };
        let ((one, a), (other, b)) = (end(Role::Initiator), end(Role::Acceptor));
        Self { sockets: [one, other], streams: [a, b], heard: [Vec::new(), Vec::new()] }
    }

    /// Carries until nothing moves any more.
    fn settle(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for from in 0..2 {
                wire_peer::settle(&mut self.sockets[from]).expect("a healthy connection");
                let bytes = wire_peer::read_some(&self.streams[from], 65_536);
                self.streams[1 - from].write_all(&bytes).expect("room");
                moved |= !bytes.is_empty();
                self.heard[from].extend(bytes);
            }
        }
    }
}

#[test]
fn the_example_conversation_is_what_two_sockets_say() {
    let _guard = alone();
    let mut ends = Ends::new();
    ends.settle();
    // The application behind the initiator sends a request with a pipe, as a Wayland client receives a selection.
    let (mut reader, writer) = std::io::pipe().expect("pipe");
    assert_eq!(ends.sockets[0].sendmsg(b"receive", &[writer.as_fd()]), Ok(7));
    drop(writer);
    ends.settle();
    let mut fds = Vec::new();
    assert_eq!(ends.sockets[1].recvmsg(&mut [0; 100], &mut fds), Ok(7));
    let pipe = fds.pop().expect("the pipe");
    rustix::io::write(&pipe, b"text").expect("room in the pipe");
    ends.settle();
    drop(pipe);
    ends.settle();
    let mut content = String::new();
    reader.read_to_string(&mut content).expect("read");
    assert_eq!(content, "text");
    for socket in 0..2 {
        ends.sockets[socket].shutdown_write();
        ends.settle();
    }
    assert!(ends.sockets.iter().all(Socket::is_finished));

    let rows = table("### 8.3 A conversation");
    let mut written = [Vec::new(), Vec::new()];
    let mut splitters = [Splitter::default(), Splitter::default()];
    let mut conversation: Option<Conversation> = None;
    for row in &rows {
        let [from, what, hex] = row.as_slice() else { panic!("three cells: {row:?}") };
        let from = usize::from(from == "acceptor");
        let bytes = bytes(hex);
        for message in splitters[from].push(&bytes) {
            assert_eq!(&described(&message), what);
            conversation.as_mut().expect("after the hellos").pass(from, &message).expect("a legal example");
        }
        if let (None, [Some(one), Some(other)]) = (&conversation, splitters.each_ref().map(Splitter::hello)) {
            conversation = Some(Conversation::new([one, other], 0));
        }
        written[from].extend(bytes);
    }
    assert!(conversation.is_some_and(|conversation| conversation.is_over()), "the example is whole");
    assert_eq!(written, ends.heard, "the page and the sockets");
}

/// The first word of an error as Rust writes it.
fn name(error: &impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().expect("a word").to_owned()
}

/// All variants, so that a new one is missed here by the compiler and in the page by the test below.
fn wire_errors() -> Vec<&'static str> {
    match WireError::ZeroId {
        WireError::Magic(_)
        | WireError::Version(_)
        | WireError::Purpose(_)
        | WireError::HelloField { .. }
        | WireError::FrameType(_)
        | WireError::FrameLength(_)
        | WireError::Reserved(_)
        | WireError::PayloadLength { .. }
        | WireError::TooManyFds(_)
        | WireError::VfdKind(_)
        | WireError::ZeroId
        | WireError::Bounds { .. } => {}
    }
    let hello = ["Magic", "Version", "Purpose", "HelloField"];
    let frame = ["FrameType", "FrameLength", "Reserved", "PayloadLength", "TooManyFds", "VfdKind", "ZeroId"];
    hello.into_iter().chain(frame).chain(["Bounds"]).collect()
}

/// As [`wire_errors`].
fn violations() -> Vec<&'static str> {
    match Violation::Region {
        Violation::Role(_)
        | Violation::Purpose(_)
        | Violation::Window(_)
        | Violation::Credit(_)
        | Violation::Id(_)
        | Violation::Unknown { .. }
        | Violation::AfterEnd(_)
        | Violation::Limit { .. }
        | Violation::Socket
        | Violation::Region
        | Violation::BlobLength(_)
        | Violation::MirrorBounds(_) => {}
    }
    let all =
        ["Role", "Purpose", "Window", "Credit", "Id", "Unknown", "AfterEnd", "Limit", "Socket", "Region"];
    all.into_iter().chain(["BlobLength", "MirrorBounds"]).collect()
}

fn check_complete(rows: &[Vec<String>], names: &[&str]) {
    for name in names {
        assert!(rows.iter().any(|row| row[0] == *name), "{name} is not in the page");
    }
}

#[test]
fn every_malformed_example_is_the_error_that_the_page_says() {
    let rows = table("### 9.1 Bytes that are no frame");
    check_complete(&rows, &wire_errors());
    for row in &rows {
        let [error, _, hex] = row.as_slice() else { panic!("three cells: {row:?}") };
        let bytes = bytes(hex);
        let found = match <&[u8; 32]>::try_from(bytes.as_slice()) {
            Ok(whole) if bytes.starts_with(b"VTW") => {
                hello::compare(whole);
                Hello::decode(whole).map(drop)
            }
            _ => {
                let (header, payload) = bytes.split_first_chunk().expect("a header");
                frames::compare(header, payload);
                FrameHeader::decode(header).and_then(|header| Frame::decode(header, payload).map(drop))
            }
        };
        assert_eq!(found.as_ref().map_err(name), Err(error.clone()), "{hex}");
    }
}

/// What an acceptor that takes no sockets makes of a stream.
fn verdict(stream: &[u8], close: bool) -> SocketError {
    let (mut peer, end) = UnixStream::pair().expect("socket pair");
    let options = SocketOptions { take_sockets: false, ..SocketOptions::default() };
    let mut socket = Socket::new(end.into(), Role::Acceptor, options).expect("socket");
    let stream = stream.to_vec();
    let writer = std::thread::spawn(move || {
        // The socket may stop reading before it has everything.
        let _ = peer.write_all(&stream);
        if close {
            let _ = peer.shutdown(std::net::Shutdown::Both);
        }
        peer
    });
    let start = Instant::now();
    let error = loop {
        assert!(start.elapsed() < Duration::from_secs(30), "the socket accepts what the page forbids");
        if let Err(error) = socket.dispatch() {
            break error;
        }
        std::thread::yield_now();
    };
    drop(socket);
    drop(writer.join().expect("written"));
    error
}

#[test]
fn every_example_of_a_violation_is_judged_as_the_page_says() {
    let _guard = alone();
    let rows = table("### 9.2 Frames that are not allowed where they stand");
    check_complete(&rows, &violations());
    let hellos = table("### 8.1 Hellos");
    let initiator = bytes(&hellos.iter().find(|row| row[0] == "initiator").expect("a hello")[1]);
    for row in &rows {
        let [error, _, hex] = row.as_slice() else { panic!("three cells: {row:?}") };
        let mut stream = bytes(hex);
        if !stream.starts_with(b"VTWL") {
            stream.splice(0..0, initiator.iter().copied());
        }
        match verdict(&stream, false) {
            SocketError::Violation(violation) => assert_eq!(&name(&violation), error, "{hex}"),
            other => panic!("{other:?} instead of {error} for {hex}"),
        }
    }
}

#[test]
fn every_example_of_an_end_is_judged_as_the_page_says() {
    let _guard = alone();
    for row in &table("### 9.3 Ends") {
        let [error, _, hex] = row.as_slice() else { panic!("three cells: {row:?}") };
        assert_eq!(&name(&verdict(&bytes(hex), true)), error, "{hex}");
    }
}

/// Length of the region of the examples.
const TRIMMED_REGION: u64 = 67_108_864;

fn record(hex: &str) -> TrimRecord {
    TrimRecord::decode(bytes(hex).try_into().expect("16 bytes"))
}

#[test]
fn the_example_of_a_trim_stream_is_what_a_client_says_and_a_host_accepts() {
    let rows = table("### 8.4 A trim stream");
    let mut client = TrimClient::new();
    let mut said = Vec::new();
    for row in &rows {
        let [from, what, hex] = row.as_slice() else { panic!("three cells: {row:?}") };
        if what == "hello" {
            let hello = Hello::decode(&bytes(hex).try_into().expect("32 bytes")).expect("valid");
            assert_eq!((hello.purpose, hello.role), (Purpose::Trim, Role::Initiator));
            continue;
        }
        let record = record(hex);
        assert_eq!(&format!("offset {} length {}", record.offset, record.len), what);
        let range = record.offset..record.offset + record.len;
        if from == "VM" {
            assert_eq!(record.check(TRIMMED_REGION), Ok(()));
            client.request(range);
            said.extend(bytes(hex));
            continue;
        }
        if client.has_output() {
            assert_eq!(client.take_output(), said, "what the VM's side says");
        }
        assert_eq!(client.feed(&bytes(hex)), Ok(vec![range]));
    }
    assert_eq!(client.outstanding(), 0, "the example is whole");
}

#[test]
fn every_example_of_a_record_that_is_refused_is_judged_as_the_page_says() {
    for row in &table("### 9.4 Records of a trim stream") {
        let [error, _, hex] = row.as_slice() else { panic!("three cells: {row:?}") };
        let found = match record(hex).check(TRIMMED_REGION) {
            Err(refused) => refused,
            Ok(()) => {
                let mut client = TrimClient::new();
                client.request(4096..8192);
                client.take_output();
                client.feed(&bytes(hex)).expect_err("refused by one of both sides")
            }
        };
        assert_eq!(&name(&found), error, "{hex}");
    }
}
