//! What messages are made of, through the whole chain: lengths, places where they are cut, and the descriptors that
//! come with them: of keymaps, of pools and of pipes, alone and in bursts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd};

use serde_json::Value;
use vitrail_tests::client::{Client, ClientError, Memory, Selection, Source};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::person::Person;
use vitrail_tests::pipes;
use vitrail_tests::process::{self, Member};
use vitrail_tests::raw::{DISPLAY, Globals, RawClient, RawWindow, Request, StreamWire, Wire};
use vitrail_tests::session::{Options, Session, Sharing};

/// The longest text of a message whose only argument it is: 4096 bytes, less those of header, length and final zero.
const LONGEST_TEXT: usize = 4083;

/// The most descriptors that a message of libwayland's takes along.
const FDS_OF_A_MESSAGE: usize = 28;

type Application = RawClient<Box<dyn Wire>>;

/// Where messages begin their way.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// At an application of the VM, in front of `wl-forward`.
    Application,
    /// At the VM itself, in front of the hub and the gate.
    Vm,
}

fn connect(session: &Session, place: Place) -> Application {
    let deadline = Deadline::patient();
    let wire: Box<dyn Wire> = match place {
        Place::Application => Box::new(process::connect(&session.vm_socket("work"), deadline)),
        Place::Vm => Box::new(StreamWire::new(process::connect(&session.hub_socket("work"), deadline))),
    };
    RawClient::new(wire).unwrap_or_else(|error| panic!("connecting from {place:?}: {error}"))
}

/// A mapped window, which has a title.
fn window(application: &mut Application) -> Result<RawWindow, ClientError> {
    let globals = application.bind_globals()?;
    let window = application.create_window(globals)?;
    application.acknowledge(window)?;
    let pool = application.create_pool(globals, Memory::new(16384).fd(), 16384)?;
    let buffer = application.create_buffer(pool, 0, (64, 64), 256)?;
    application.show_buffer(window.surface, buffer)?;
    Ok(window)
}

/// A title of `length` bytes that begins with `number`, where there is room for it.
fn title(number: usize, length: usize) -> String {
    let mut title = format!("{number} {}", "abcdefg ".repeat(LONGEST_TEXT / 8 + 1));
    title.truncate(length);
    title
}

/// The part of a title that the compositor shows.
fn shown(title: &str) -> String {
    title.chars().take(128).collect()
}

fn set_title(window: RawWindow, title: &str) -> Request {
    Request::new(window.toplevel, 2).string(title)
}

#[test]
fn messages_of_every_length_arrive() {
    for place in [Place::Application, Place::Vm] {
        let mut session = Session::with(Options::new(&["work"]).output(640, 480, 1));
        let mut application = connect(&session, place);
        let window = window(&mut application).unwrap();
        for length in 0..=LONGEST_TEXT {
            let text = title(length, length);
            application.send(&set_title(window, &text)).unwrap();
            // Often enough that every length is met by one of the answers that follow.
            if length % 256 == 130 || length == LONGEST_TEXT {
                application.roundtrip(Deadline::patient()).unwrap();
                session.wait_window(&shown(&text));
            }
        }
    }
}

#[test]
fn messages_that_arrive_in_two_parts_are_one_wherever_they_are_cut() {
    for place in [Place::Application, Place::Vm] {
        let mut session = Session::with(Options::new(&["work"]).output(640, 480, 1));
        let mut application = connect(&session, place);
        let window = window(&mut application).unwrap();
        let mut rest = Vec::new();
        let longest = set_title(window, &title(0, LONGEST_TEXT)).encode();
        assert_eq!(longest.len(), 4096);
        for cut in 1..longest.len() {
            let text = title(cut, LONGEST_TEXT);
            let message = set_title(window, &text).encode();
            // The answer says that the first part has been read: it came with the question.
            let callback = application.new_id();
            let question = Request::new(DISPLAY, 0).uint(callback).encode();
            let parts = [&rest[..], &question, &message[..cut]].concat();
            application.send_bytes(&parts, &[]).unwrap();
            while application.event(Deadline::patient()).unwrap().object != callback {}
            rest = message[cut..].to_vec();
            if cut % 512 == 511 {
                application.send_bytes(&std::mem::take(&mut rest), &[]).unwrap();
                application.roundtrip(Deadline::patient()).unwrap();
                session.wait_window(&shown(&text));
            }
        }
    }
}

#[test]
fn a_message_that_arrives_byte_by_byte_is_one() {
    for place in [Place::Application, Place::Vm] {
        let mut session = Session::with(Options::new(&["work"]).output(640, 480, 1));
        let mut application = connect(&session, place);
        let window = window(&mut application).unwrap();
        let text = title(1, LONGEST_TEXT);
        for byte in set_title(window, &text).encode() {
            application.send_bytes(&[byte], &[]).unwrap();
        }
        application.roundtrip(Deadline::patient()).unwrap();
        session.wait_window(&shown(&text));
    }
}

/// The processes that descriptors pass through, with what they have open.
struct Descriptors(Vec<(&'static str, Member, Option<usize>)>);

impl Descriptors {
    fn count(session: &Session) -> Self {
        let forwards = session.forward("work").members().into_iter().map(|member| ("wl-forward", member));
        let all = forwards.chain([("worker", session.worker("work")), ("relay", session.relay("work"))]);
        Self(all.map(|(name, member)| (name, member.clone(), member.descriptors())).collect())
    }

    /// Waits until nobody has more open than before. Round trips of the clients are what time passes with.
    #[track_caller]
    fn wait_returned(&self, clients: &mut [&mut Client]) {
        let deadline = Deadline::patient();
        for (name, member, before) in &self.0 {
            while member.descriptors() > *before {
                assert!(!deadline.passed(), "{name} has {:?} open, before {before:?}", member.descriptors());
                clients.iter_mut().for_each(|client| client.roundtrip().expect("a live connection"));
            }
        }
    }
}

fn keymaps_in_a_burst(sharing: Sharing) {
    // What leaks ends the connection, also where the kernel hides who has what open.
    let options = Options::new(&["work"]).sharing(sharing).limit("fds", 200);
    let session = Session::with(options);
    let mut local = session.client("local");
    local.wait_until("a keymap", |state| !state.keymaps.is_empty()).unwrap();
    let expected = local.state.keymaps[0].read();
    assert!(expected.starts_with(b"xkb_keymap"), "it is no keymap");
    assert_eq!(expected.last(), Some(&0), "it is terminated by a zero");
    let mut client = session.client("work");
    client.wait_until("a keymap", |state| !state.keymaps.is_empty()).unwrap();
    let before = Descriptors::count(&session);
    for _ in 0..5 {
        client.state.keymaps.clear();
        let (handle, seat) = (client.handle(), client.state.bound.seat.clone().expect("wl_seat"));
        let keyboards: Vec<_> = (0..100).map(|_| seat.get_keyboard(&handle, ())).collect();
        client.wait_until("a hundred keymaps", |state| state.keymaps.len() == 100).unwrap();
        for keymap in &client.state.keymaps {
            let mapped = keymap.map_private();
            assert!(mapped == expected, "the VM has another keymap than local clients");
            assert!(keymap.read() == expected, "mapped and read content differ");
            assert!(!keymap.is_changeable(), "the VM's copy can be changed");
        }
        keyboards.iter().for_each(|keyboard| keyboard.release());
        client.roundtrip().unwrap();
    }
    before.wait_returned(&mut [&mut client]);
}

#[test]
fn a_hundred_keymaps_in_a_burst_arrive_sealed_and_can_be_mapped() {
    keymaps_in_a_burst(Sharing::Region);
}

#[test]
fn a_hundred_keymaps_in_a_burst_arrive_sealed_and_can_be_mapped_without_a_region() {
    keymaps_in_a_burst(Sharing::Stream);
}

/// Makes pools of the same memory, as many as descriptors fit into each message, without waiting for anything.
fn pools(application: &mut Application, globals: Globals, memory: &Memory, count: usize) -> Vec<u32> {
    let mut pools = Vec::new();
    while pools.len() < count {
        let in_message = FDS_OF_A_MESSAGE.min(count - pools.len());
        let mut bytes = Vec::new();
        for _ in 0..in_message {
            let pool = application.new_id();
            bytes.extend(Request::new(globals.shm, 0).uint(pool).int(4096).encode());
            pools.push(pool);
        }
        let fds: Vec<BorrowedFd<'_>> = std::iter::repeat_n(memory.fd(), in_message).collect();
        application.send_bytes(&bytes, &fds).unwrap();
    }
    pools
}

/// Shows a buffer of each of the pools, and gives everything back.
fn show_and_destroy(application: &mut Application, surface: u32, pools: &[u32]) {
    for &pool in pools {
        let buffer = application.create_buffer(pool, 0, (32, 32), 128).unwrap();
        application.show_buffer(surface, buffer).unwrap();
        application.send(&Request::new(buffer, 0)).unwrap();
        application.send(&Request::new(pool, 1)).unwrap();
    }
    application.roundtrip(Deadline::patient()).unwrap();
}

#[test]
fn a_thousand_pools_in_a_burst_are_taken_and_given_back() {
    for sharing in [Sharing::Region, Sharing::Stream] {
        let session = Session::with(Options::new(&["work"]).sharing(sharing));
        let mut client = session.client("work");
        let mut application = connect(&session, Place::Application);
        let globals = application.bind_globals().unwrap();
        let memory = Memory::new(4096);
        let surface = application.create_surface(globals).unwrap();
        let first = pools(&mut application, globals, &memory, 1);
        // With its first buffer a connection gets what it keeps.
        show_and_destroy(&mut application, surface, &first);
        let before = Descriptors::count(&session);
        let pools = pools(&mut application, globals, &memory, 1000);
        show_and_destroy(&mut application, surface, &pools);
        before.wait_returned(&mut [&mut client]);
    }
}

/// Asks for the content of the clipboard `count` times in one message, and answers each with its number.
#[track_caller]
fn paste_at_once(giver: &mut Person, taker: &mut Person, source: &Source, first: usize, count: usize) {
    const TYPE: &str = "text/plain";
    let offer = taker.client.wait_selection(Selection::Clipboard, TYPE).unwrap();
    let pipes: Vec<_> = (0..count).map(|_| std::io::pipe().unwrap()).collect();
    for (_, writer) in &pipes {
        offer.ask(TYPE, writer.as_fd());
    }
    taker.client.flush().unwrap();
    let readers: Vec<PipeReader> = pipes.into_iter().map(|(reader, _)| reader).collect();
    for (number, reader) in (first..).zip(readers) {
        let (_, writer) = giver.client.wait_transfer(source).unwrap();
        pipes::write_all(writer, number.to_string().as_bytes(), Deadline::patient()).unwrap();
        let arrived = pipes::read_to_end(reader, Deadline::patient()).unwrap();
        assert_eq!(String::from_utf8(arrived).unwrap(), number.to_string());
    }
}

#[test]
fn a_thousand_pipes_in_messages_of_twenty_eight_arrive_and_none_is_left() {
    for sharing in [Sharing::Region, Sharing::Stream] {
        // What leaks ends the connection, also where the kernel hides who has what open.
        let mut session = Session::with(Options::new(&["work"]).sharing(sharing).limit("fds", 300));
        let mut giver = Person::start(&mut session, "work", "giver");
        let mut taker = Person::start(&mut session, "work", "taker");
        let source = giver.copy(&mut session, Selection::Clipboard, &["text/plain"]);
        taker.focus(&mut session);
        paste_at_once(&mut giver, &mut taker, &source, 0, 1);
        let before = Descriptors::count(&session);
        let mut sent = 0;
        while sent < 1000 {
            let count = FDS_OF_A_MESSAGE.min(1000 - sent);
            paste_at_once(&mut giver, &mut taker, &source, sent, count);
            sent += count;
        }
        before.wait_returned(&mut [&mut giver.client, &mut taker.client]);
    }
}

#[test]
fn vitrailctl_says_what_has_passed_through_a_worker() {
    let session = Session::with(Options::new(&["work"]).sharing(Sharing::Stream));
    let mut application = connect(&session, Place::Application);
    window(&mut application).unwrap();
    let deadline = Deadline::patient();
    // The pixels come on the stream, and are 64 by 64 of four bytes.
    let pixels = 64 * 64 * 4;
    loop {
        let vms: Value = serde_json::from_str(&session.control(&["vms", "--json"])).unwrap();
        let worker = vms.as_array().unwrap().iter().find_map(|vm| vm["worker"].as_object()).unwrap();
        let traffic = |name: &str| worker["traffic"][name].as_u64().unwrap();
        if traffic("stream_bytes") > pixels {
            assert!(traffic("requests") > 10 && traffic("request_bytes") > 8 * traffic("requests"));
            assert!(traffic("events") > 10 && traffic("event_bytes") > 8 * traffic("events"));
            assert_eq!((traffic("connections"), worker["connections"].as_u64()), (1, Some(1)));
            assert!(traffic("descriptors") >= 1 && traffic("mirror_memory") >= pixels);
            break;
        }
        assert!(!deadline.passed(), "not reported: {worker:?}");
        application.roundtrip(deadline).unwrap();
    }
    let table = session.control(&["vms"]);
    assert!(table.contains("PASSED THROUGH") && table.contains("KiB"), "{table}");
}
