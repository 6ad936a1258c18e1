//! Descriptors that cross between VMs: keymaps and the clipboard.

use std::io;
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use vitrail_tests::client::{Client, Source, Window, WindowOptions};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::pipes;
use vitrail_tests::random::Random;
use vitrail_tests::session::{Options, Session, Sharing};

const TYPE: &str = "application/x-vitrail-test";

/// A client whose window can be given the keyboard.
struct Person {
    title: &'static str,
    client: Client,
    _window: Window,
}

impl Person {
    fn start(session: &mut Session, vm: &str, title: &'static str) -> Self {
        let mut client = session.client(vm);
        let window = client.window(&WindowOptions::new(title, 0x0044_5566)).expect("a window");
        session.wait_window(title);
        Self { title, client, _window: window }
    }

    /// Gives it the keyboard and waits until it knows.
    #[track_caller]
    fn focus(&mut self, session: &mut Session) {
        session.focus(self.title);
        self.client.roundtrip().expect("a live connection");
    }

    /// Offers a selection as its own.
    #[track_caller]
    fn copy(&mut self, session: &mut Session) -> Source {
        self.focus(session);
        let source = self.client.offer_selection(&[TYPE]);
        self.client.roundtrip().expect("a live connection");
        source
    }
}

/// Two clients of one VM.
fn two_of_work(sharing: Sharing) -> (Session, Person, Person) {
    let mut session = Session::with(Options::new(&["work", "personal"]).sharing(sharing));
    let giver = Person::start(&mut session, "work", "giver");
    let taker = Person::start(&mut session, "work", "taker");
    (session, giver, taker)
}

fn write_in_thread(fd: OwnedFd, content: Vec<u8>) -> JoinHandle<io::Result<()>> {
    thread::spawn(move || pipes::write_all(fd, &content, Deadline::patient()))
}

/// Copies `content` from one client of a VM to another and returns what arrived.
fn copied(sharing: Sharing, content: &[u8]) -> Vec<u8> {
    let (mut session, mut giver, mut taker) = two_of_work(sharing);
    let source = giver.copy(&mut session);
    taker.focus(&mut session);
    let reader = taker.client.receive_selection(TYPE).expect("a selection");
    let (kind, writer) = giver.client.wait_transfer(&source).expect("a request for it");
    assert_eq!(kind, TYPE);
    let writing = write_in_thread(writer, content.to_vec());
    let arrived = pipes::read_to_end(reader, Deadline::patient()).expect("the end of the content");
    writing.join().expect("a thread").expect("everything is taken");
    arrived
}

#[test]
fn an_empty_selection_arrives_as_the_end_of_the_pipe() {
    assert_eq!(copied(Sharing::Region, b""), b"");
}

#[test]
fn a_selection_of_one_byte_arrives() {
    assert_eq!(copied(Sharing::Region, b"x"), b"x");
}

#[test]
fn a_selection_of_five_mebibytes_arrives_unchanged() {
    let content = Random::new(5).bytes(5 << 20);
    assert!(copied(Sharing::Region, &content) == content, "the content was changed");
}

#[test]
fn a_large_selection_arrives_unchanged_without_a_region() {
    let content = Random::new(6).bytes((1 << 20) + 1);
    assert!(copied(Sharing::Stream, &content) == content, "the content was changed");
}

#[test]
fn selections_can_be_copied_again_and_again() {
    let (mut session, mut giver, mut taker) = two_of_work(Sharing::Region);
    let mut random = Random::new(7);
    for size in [70_000, 3, 0, 200_000] {
        let content = random.bytes(size);
        let source = giver.copy(&mut session);
        taker.focus(&mut session);
        let reader = taker.client.receive_selection(TYPE).unwrap();
        let (_, writer) = giver.client.wait_transfer(&source).unwrap();
        let writing = write_in_thread(writer, content.clone());
        assert!(
            pipes::read_to_end(reader, Deadline::patient()).unwrap() == content,
            "{size} bytes were changed"
        );
        writing.join().unwrap().unwrap();
    }
}

#[test]
fn a_receiver_that_closes_early_breaks_the_givers_pipe_and_nothing_else() {
    let (mut session, mut giver, mut taker) = two_of_work(Sharing::Region);
    let source = giver.copy(&mut session);
    taker.focus(&mut session);
    let reader = taker.client.receive_selection(TYPE).unwrap();
    let (_, writer) = giver.client.wait_transfer(&source).unwrap();
    let writing = write_in_thread(writer, vec![7; 20 << 20]);
    let mut first = [0; 1000];
    assert!(Deadline::patient().wait(std::os::fd::AsFd::as_fd(&reader), rustix::event::PollFlags::IN));
    rustix::io::read(&reader, &mut first).unwrap();
    drop(reader);
    let error = writing.join().unwrap().expect_err("nobody takes 20 MiB");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    giver.client.roundtrip().unwrap();
    taker.client.roundtrip().unwrap();
    let again = taker.client.receive_selection(TYPE).unwrap();
    let (_, writer) = giver.client.wait_transfer(&source).unwrap();
    write_in_thread(writer, b"again".to_vec()).join().unwrap().unwrap();
    assert_eq!(pipes::read_to_end(again, Deadline::patient()).unwrap(), b"again");
}

#[test]
fn a_giver_that_never_writes_holds_nobody_up() {
    let (mut session, mut giver, mut taker) = two_of_work(Sharing::Region);
    let mut other = Person::start(&mut session, "personal", "other");
    let source = giver.copy(&mut session);
    taker.focus(&mut session);
    let reader = taker.client.receive_selection(TYPE).unwrap();
    let (_, writer) = giver.client.wait_transfer(&source).unwrap();
    for client in [&mut giver.client, &mut taker.client, &mut other.client] {
        client.roundtrip().unwrap();
    }
    let nothing = pipes::read_to_end(&reader, Deadline::after(Duration::from_millis(50)));
    assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::TimedOut);
    drop(writer);
    assert_eq!(pipes::read_to_end(reader, Deadline::patient()).unwrap(), b"");
}

#[test]
fn the_end_of_the_giver_ends_the_transfer() {
    let (mut session, mut giver, mut taker) = two_of_work(Sharing::Region);
    let source = giver.copy(&mut session);
    taker.focus(&mut session);
    let reader = taker.client.receive_selection(TYPE).unwrap();
    let (_, writer) = giver.client.wait_transfer(&source).unwrap();
    write_in_thread(writer, b"half of".to_vec()).join().unwrap().unwrap();
    drop(giver);
    assert_eq!(pipes::read_to_end(reader, Deadline::patient()).unwrap(), b"half of");
    taker.client.roundtrip().unwrap();
}

#[test]
fn a_selection_is_not_seen_by_another_vm_or_locally() {
    let (mut session, mut giver, mut taker) = two_of_work(Sharing::Region);
    let mut strangers =
        [Person::start(&mut session, "personal", "stranger"), Person::start(&mut session, "local", "local")];
    let _source = giver.copy(&mut session);
    for stranger in &mut strangers {
        stranger.focus(&mut session);
        let types = stranger.client.state.selection.as_ref().map(|offer| offer.types.clone());
        assert_eq!(types.unwrap_or_default(), Vec::<String>::new(), "{} sees it", stranger.title);
    }
    // It is still there for its own VM.
    taker.focus(&mut session);
    let offered = taker.client.receive_selection(TYPE);
    assert!(offered.is_ok(), "{offered:?}");
}

#[test]
fn the_keymap_arrives_readable_and_can_be_mapped() {
    let mut session = Session::start(&["work"]);
    let mut keymaps = ["work", "local"].map(|vm| {
        let mut person = Person::start(&mut session, vm, if vm == "work" { "remote" } else { "local" });
        person.client.wait_until("a keymap", |state| state.keymap.is_some()).expect("a keymap");
        let keymap = person.client.state.keymap.take().expect("it was awaited");
        let mapped = keymap.map_private();
        assert!(mapped == keymap.read(), "mapped and read content differ");
        mapped
    });
    assert_eq!(keymaps[0].pop(), Some(0), "it is terminated by a zero");
    keymaps[1].pop();
    assert!(keymaps[0].starts_with(b"xkb_keymap"), "it is no keymap");
    assert!(keymaps[0] == keymaps[1], "the VM has another keymap than local clients");
}
