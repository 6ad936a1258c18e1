//! Content that crosses between applications of a VM: the clipboard and the primary selection, through the whole chain.

use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use vitrail_tests::client::{Selection, Source, SourceEvent};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::person::Person;
use vitrail_tests::pipes::{self, Endless};
use vitrail_tests::process::Member;
use vitrail_tests::random::Random;
use vitrail_tests::session::{Options, Session, Sharing};

const TYPE: &str = "application/x-vitrail-test";

const BOTH: [Selection; 2] = [Selection::Clipboard, Selection::Primary];

/// Two clients of one VM.
fn two_of_work(sharing: Sharing) -> (Session, Person, Person) {
    let mut session = Session::with(Options::new(&["work", "personal"]).sharing(sharing));
    let giver = Person::start(&mut session, "work", "giver");
    let taker = Person::start(&mut session, "work", "taker");
    (session, giver, taker)
}

/// The same, with the clipboard copied by the first and the keyboard at the second.
fn copied_at_work(sharing: Sharing, types: &[&str]) -> (Session, Person, Person, Source) {
    let (mut session, mut giver, mut taker) = two_of_work(sharing);
    let source = giver.copy(&mut session, Selection::Clipboard, types);
    taker.focus(&mut session);
    (session, giver, taker, source)
}

/// Begins a transfer of the clipboard: both ends of it.
#[track_caller]
fn begin(giver: &mut Person, taker: &mut Person, source: &Source) -> (PipeReader, OwnedFd) {
    let reader = taker.client.receive(Selection::Clipboard, TYPE).expect("a selection");
    let (kind, writer) = giver.client.wait_transfer(source).expect("a request for it");
    assert_eq!(kind, TYPE);
    (reader, writer)
}

fn write_in_thread(fd: OwnedFd, content: Vec<u8>) -> JoinHandle<io::Result<()>> {
    thread::spawn(move || pipes::write_all(fd, &content, Deadline::patient()))
}

/// Copies contents from one client of a VM to another, and asserts that they arrive.
#[track_caller]
fn assert_copied(sharing: Sharing, selection: Selection, contents: &[Vec<u8>]) {
    let (mut session, mut giver, mut taker) = two_of_work(sharing);
    for content in contents {
        let source = giver.copy(&mut session, selection, &[TYPE]);
        taker.focus(&mut session);
        let reader = taker.client.receive(selection, TYPE).expect("a selection");
        let (kind, writer) = giver.client.wait_transfer(&source).expect("a request for it");
        assert_eq!(kind, TYPE);
        let writing = write_in_thread(writer, content.clone());
        let arrived = pipes::read_to_end(reader, Deadline::patient()).expect("the end of the content");
        writing.join().expect("a thread").expect("everything is taken");
        assert!(arrived == *content, "{} bytes of {selection:?} were changed", content.len());
    }
}

/// None, one byte, text, and more than all buffers on the way hold together; the shorter after the longer.
fn contents(seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    let text = "Text with «ümläuts», \u{1f3a8} and\r\nlines.\0".as_bytes().to_vec();
    vec![vec![], vec![7], random.bytes(5 << 20), text, random.bytes(70_000), vec![], random.bytes(200_000)]
}

#[test]
fn whatever_is_copied_arrives_unchanged_again_and_again() {
    assert_copied(Sharing::Region, Selection::Clipboard, &contents(5));
}

#[test]
fn whatever_is_copied_arrives_unchanged_without_a_region() {
    assert_copied(Sharing::Stream, Selection::Clipboard, &contents(6));
}

#[test]
fn whatever_is_marked_arrives_unchanged_again_and_again() {
    assert_copied(Sharing::Region, Selection::Primary, &contents(7));
}

#[test]
fn whatever_is_marked_arrives_unchanged_without_a_region() {
    assert_copied(Sharing::Stream, Selection::Primary, &contents(8));
}

#[test]
fn a_receiver_that_closes_early_breaks_the_givers_pipe_and_nothing_else() {
    let (_session, mut giver, mut taker, source) = copied_at_work(Sharing::Region, &[TYPE]);
    let (reader, writer) = begin(&mut giver, &mut taker, &source);
    let writing = write_in_thread(writer, vec![7; 20 << 20]);
    let mut first = [0; 1000];
    assert!(Deadline::patient().wait(std::os::fd::AsFd::as_fd(&reader), rustix::event::PollFlags::IN));
    rustix::io::read(&reader, &mut first).unwrap();
    drop(reader);
    let error = writing.join().unwrap().expect_err("nobody takes 20 MiB");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    giver.client.roundtrip().unwrap();
    taker.client.roundtrip().unwrap();
    let (again, writer) = begin(&mut giver, &mut taker, &source);
    write_in_thread(writer, b"again".to_vec()).join().unwrap().unwrap();
    assert_eq!(pipes::read_to_end(again, Deadline::patient()).unwrap(), b"again");
}

#[test]
fn a_giver_that_never_writes_holds_nobody_up() {
    let (mut session, mut giver, mut taker, source) = copied_at_work(Sharing::Region, &[TYPE]);
    let mut other = Person::start(&mut session, "personal", "other");
    let (reader, writer) = begin(&mut giver, &mut taker, &source);
    for client in [&mut giver.client, &mut taker.client, &mut other.client] {
        client.roundtrip().unwrap();
    }
    let nothing = pipes::read_to_end(&reader, Deadline::after(Duration::from_millis(50)));
    assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::TimedOut);
    drop(writer);
    assert_eq!(pipes::read_to_end(reader, Deadline::patient()).unwrap(), b"");
}

#[test]
fn what_a_giver_had_written_before_it_died_arrives_and_then_the_end() {
    let (_session, mut giver, mut taker, source) = copied_at_work(Sharing::Region, &[TYPE]);
    let (reader, writer) = begin(&mut giver, &mut taker, &source);
    // More than one pipe holds, and less than the pipes and windows on the way.
    let half = Random::new(9).bytes(150_000);
    write_in_thread(writer, half.clone()).join().unwrap().unwrap();
    drop(giver);
    assert!(pipes::read_to_end(reader, Deadline::patient()).unwrap() == half, "the content was changed");
    taker.client.roundtrip().unwrap();
    taker.client.wait_until("the end of the selection", |state| state.offered.clipboard.is_none()).unwrap();
}

#[test]
fn a_selection_is_not_seen_by_another_vm_or_locally() {
    let (mut session, mut giver, mut taker) = two_of_work(Sharing::Region);
    let mut strangers =
        [Person::start(&mut session, "personal", "stranger"), Person::start(&mut session, "local", "local")];
    let _sources = BOTH.map(|selection| giver.copy(&mut session, selection, &[TYPE]));
    for stranger in &mut strangers {
        stranger.focus(&mut session);
        for selection in BOTH {
            let seen = stranger.client.state.offered.selection(selection);
            assert!(seen.is_none(), "{} sees {seen:?}", stranger.title);
        }
    }
    // They are still there for their own VM.
    taker.focus(&mut session);
    for selection in BOTH {
        taker.client.receive(selection, TYPE).unwrap_or_else(|error| panic!("{selection:?}: {error}"));
    }
}

#[test]
fn clipboard_and_primary_selection_are_two_and_each_ends_for_itself() {
    let (mut session, mut giver, mut taker) = two_of_work(Sharing::Region);
    let [clipboard, primary] = BOTH.map(|selection| giver.copy(&mut session, selection, &[TYPE]));
    taker.focus(&mut session);
    for (selection, source, content) in
        [(Selection::Primary, &primary, "marked"), (Selection::Clipboard, &clipboard, "copied")]
    {
        let reader = taker.client.receive(selection, TYPE).unwrap();
        let (_, writer) = giver.client.wait_transfer(source).unwrap();
        pipes::write_all(writer, content.as_bytes(), Deadline::patient()).unwrap();
        assert_eq!(pipes::read_to_end(reader, Deadline::patient()).unwrap(), content.as_bytes());
    }
    // Who marks something else takes the primary selection over, and nothing more.
    let _newer = taker.client.offer(Selection::Primary, &["text/plain"]);
    taker.client.roundtrip().unwrap();
    giver.client.wait_source(&primary, SourceEvent::Cancelled).unwrap();
    giver.client.roundtrip().unwrap();
    assert!(!giver.client.state.offered.happened(&clipboard, SourceEvent::Cancelled));
}

#[test]
fn a_picture_arrives_as_the_file_that_it_is() {
    let pixels = Random::new(10).bytes(600 * 400 * 4);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 600, 400);
    encoder.set_color(png::ColorType::Rgba);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    let kinds = ["image/png", "image/x-vitrail-raw"];
    let (_session, mut giver, mut taker, source) = copied_at_work(Sharing::Region, &kinds);
    for (kind, content) in kinds.into_iter().zip([&file, &pixels]) {
        let reader = taker.client.receive(Selection::Clipboard, kind).unwrap();
        let (asked, writer) = giver.client.wait_transfer(&source).unwrap();
        assert_eq!(asked, kind);
        let writing = write_in_thread(writer, content.clone());
        let arrived = pipes::read_to_end(reader, Deadline::patient()).unwrap();
        writing.join().unwrap().unwrap();
        assert!(arrived == *content, "{kind} was changed");
    }
}

/// What office suites and file managers offer, and as many more as make forty.
fn forty_types() -> Vec<String> {
    let known = [
        "text/plain",
        "text/plain;charset=utf-8",
        "UTF8_STRING",
        "STRING",
        "TEXT",
        "COMPOUND_TEXT",
        "text/html",
        "text/rtf",
        "text/uri-list",
        "x-special/gnome-copied-files",
        "application/x-kde-cutselection",
        "image/png",
        "image/bmp",
        "application/x-openoffice-embed-source-xml;windows_formatname=\"Star Embed Source (XML)\"",
        "application/vnd.portal.filetransfer",
        "chromium/x-web-custom-data",
    ];
    let more = (known.len()..40).map(|number| format!("application/x-vitrail-{}", "n".repeat(number * 12)));
    known.into_iter().map(str::to_owned).chain(more).collect()
}

#[test]
fn forty_types_arrive_in_their_order_and_each_has_its_own_content() {
    let types = forty_types();
    let names: Vec<&str> = types.iter().map(String::as_str).collect();
    assert_eq!(names.len(), 40);
    for selection in BOTH {
        let (mut session, mut giver, mut taker) = two_of_work(Sharing::Region);
        let source = giver.copy(&mut session, selection, &names);
        taker.focus(&mut session);
        let offer = taker.client.wait_selection(selection, names[39]).unwrap();
        assert_eq!(offer.types, types);
        let readers: Vec<PipeReader> =
            names.iter().map(|kind| taker.client.receive_offer(&offer, kind).unwrap()).collect();
        for (kind, reader) in names.iter().zip(readers) {
            eprintln!("{kind}");
            let (asked, writer) = giver.client.wait_transfer(&source).unwrap();
            assert_eq!(asked, *kind);
            pipes::write_all(writer, format!("{kind}!").as_bytes(), Deadline::patient()).unwrap();
            let arrived = pipes::read_to_end(reader, Deadline::patient()).unwrap();
            assert_eq!(String::from_utf8(arrived).unwrap(), format!("{kind}!"));
        }
    }
}

#[test]
fn ten_transfers_at_once_keep_their_content_apart() {
    const LEN: u64 = 3_000_001;
    let (_session, mut giver, mut taker, source) = copied_at_work(Sharing::Region, &[TYPE]);
    let begun: Vec<_> = (0..10).map(|_| begin(&mut giver, &mut taker, &source)).collect();
    let deadline = Deadline::patient();
    let both_ends = |(seed, (reader, writer)): (u64, (PipeReader, OwnedFd))| {
        let writing = thread::spawn(move || Endless::new(seed).write(writer, LEN, deadline));
        let reading = thread::spawn(move || Endless::new(seed).read(reader, deadline));
        (writing, reading)
    };
    let threads: Vec<_> = (20..).zip(begun).map(both_ends).collect();
    for (writing, reading) in threads {
        writing.join().unwrap().unwrap();
        assert_eq!(reading.join().unwrap().unwrap(), LEN);
    }
    giver.client.roundtrip().unwrap();
    taker.client.roundtrip().unwrap();
}

#[test]
fn a_reader_that_stops_stalls_its_own_transfer_and_nothing_else() {
    const LEN: u64 = 8 << 20;
    for sharing in [Sharing::Region, Sharing::Stream] {
        let (mut session, mut giver, mut taker, source) = copied_at_work(sharing, &[TYPE]);
        let (stopped, writer) = begin(&mut giver, &mut taker, &source);
        let deadline = Deadline::patient();
        let stalled = thread::spawn(move || Endless::new(30).write(writer, LEN, deadline));
        // The same two clients go on: with other transfers, drawing, and input.
        let (reader, writer) = begin(&mut giver, &mut taker, &source);
        let writing = thread::spawn(move || Endless::new(31).write(writer, LEN, deadline));
        assert_eq!(Endless::new(31).read(reader, deadline).unwrap(), LEN);
        writing.join().unwrap().unwrap();
        for (person, color) in [(&mut giver, 0x0012_3456), (&mut taker, 0x0065_4321)] {
            person.focus(&mut session);
            person.client.recolor(&mut person.window, color).unwrap();
            session.assert_color(person.title, color);
        }
        assert!(!stalled.is_finished(), "{LEN} bytes are somewhere on the way, with nobody reading");
        assert_eq!(Endless::new(30).read(stopped, deadline).unwrap(), LEN);
        stalled.join().unwrap().unwrap();
    }
}

/// Whose memory must not grow with what passes through: name and process.
fn on_the_way(session: &Session) -> Vec<(&'static str, Member)> {
    let forwards = session.forward("work").members().into_iter().map(|member| ("wl-forward", member));
    let compositor = session.compositor().members();
    let leader = compositor.into_iter().find(|member| member.pid == session.compositor().pid());
    let others = [("relay", session.relay("work")), ("worker", session.worker("work"))];
    forwards.chain(others).chain(leader.map(|leader| ("compositor", leader))).collect()
}

#[test]
fn half_a_gibibyte_is_copied_and_nobody_on_the_way_needs_memory_for_it() {
    const LEN: u64 = 512 << 20;
    /// How much more memory than before anybody may have needed, in KiB.
    const MAY_GROW: u64 = 8 << 10;
    let (session, mut giver, mut taker, source) = copied_at_work(Sharing::Region, &[TYPE]);
    let before: Vec<_> =
        on_the_way(&session).into_iter().map(|(name, member)| (name, member.peak_kib(), member)).collect();
    assert_eq!(before.len(), 4);
    let (reader, writer) = begin(&mut giver, &mut taker, &source);
    let deadline = Deadline::after(Duration::from_secs(240));
    let writing = thread::spawn(move || Endless::new(40).write(writer, LEN, deadline));
    assert_eq!(Endless::new(40).read(reader, deadline).unwrap(), LEN);
    writing.join().unwrap().unwrap();
    for (name, peak, member) in before {
        let after = member.peak_kib();
        assert!(after > 0, "{name} has ended");
        assert!(after <= peak + MAY_GROW, "{name} needed {after} KiB, and {peak} before");
    }
}
