//! Drag and drop: what is dragged reaches the windows of its own VM through the whole chain, and no others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::thread;

use vitrail_tests::client::{COPY, SourceEvent};
use vitrail_tests::deadline::Deadline;
use vitrail_tests::person::Person;
use vitrail_tests::pipes::{self, Endless};
use vitrail_tests::session::{Options, Session, Sharing};

const TEXT: &str = "text/plain;charset=utf-8";
const FILE: &str = "application/octet-stream";

fn session(sharing: Sharing) -> Session {
    Session::with(Options::new(&["work", "personal"]).sharing(sharing))
}

/// Drags from one client of a VM to another, takes the text while it is held and a file when it is dropped.
fn assert_dragged(sharing: Sharing) {
    const LEN: u64 = 5_000_001;
    let mut session = session(sharing);
    let mut giver = Person::start(&mut session, "work", "giver");
    let mut taker = Person::start(&mut session, "work", "taker");
    let source = giver.drag(&mut session, &[TEXT, FILE]).unwrap();
    session.point(taker.title);
    let offer = taker.client.accept_drag(TEXT).unwrap();
    assert_eq!(offer.types, [TEXT, FILE]);
    giver.client.wait_source(&source, SourceEvent::Action(COPY)).unwrap();
    taker
        .client
        .wait_until("an action", |state| state.offered.drag.as_ref().is_some_and(|drag| drag.action == COPY))
        .unwrap();
    // A window may look at what is dragged over it.
    let reader = taker.client.receive_offer(&offer, TEXT).unwrap();
    let (kind, writer) = giver.client.wait_transfer(&source).unwrap();
    assert_eq!(kind, TEXT);
    pipes::write_all(writer, b"a look", Deadline::patient()).unwrap();
    assert_eq!(pipes::read_to_end(reader, Deadline::patient()).unwrap(), b"a look");
    session.release();
    taker.client.wait_drop().unwrap();
    giver.client.wait_source(&source, SourceEvent::Dropped).unwrap();
    let reader = taker.client.receive_offer(&offer, FILE).unwrap();
    let (kind, writer) = giver.client.wait_transfer(&source).unwrap();
    assert_eq!(kind, FILE);
    let writing = thread::spawn(move || Endless::new(50).write(writer, LEN, Deadline::patient()));
    assert_eq!(Endless::new(50).read(reader, Deadline::patient()).unwrap(), LEN);
    writing.join().unwrap().unwrap();
    taker.client.finish_drag().unwrap();
    giver.client.wait_source(&source, SourceEvent::Finished).unwrap();
    // The pointer is everybody's again.
    taker.focus(&mut session);
    giver.focus(&mut session);
}

#[test]
fn what_is_dragged_to_another_application_of_the_vm_arrives_unchanged() {
    assert_dragged(Sharing::Region);
}

#[test]
fn what_is_dragged_to_another_application_of_the_vm_arrives_unchanged_without_a_region() {
    assert_dragged(Sharing::Stream);
}

#[test]
fn a_drag_that_nobody_accepted_is_cancelled_at_the_drop() {
    let mut session = session(Sharing::Region);
    let mut giver = Person::start(&mut session, "work", "giver");
    let mut taker = Person::start(&mut session, "work", "taker");
    let source = giver.drag(&mut session, &[TEXT]).unwrap();
    session.point(taker.title);
    taker.client.wait_until("a drag", |state| state.offered.drag.is_some()).unwrap();
    session.release();
    giver.client.wait_source(&source, SourceEvent::Cancelled).unwrap();
    taker.client.wait_until("its end", |state| state.offered.drag.is_none()).unwrap();
}

#[test]
fn a_drag_is_not_seen_by_another_vm_or_locally() {
    let mut session = session(Sharing::Region);
    let mut giver = Person::start(&mut session, "work", "giver");
    let mut taker = Person::start(&mut session, "work", "taker");
    let mut strangers =
        [Person::start(&mut session, "personal", "stranger"), Person::start(&mut session, "local", "local")];
    for stranger in &mut strangers {
        let source = giver.drag(&mut session, &[TEXT]).unwrap();
        session.point(stranger.title);
        giver.client.roundtrip().unwrap();
        stranger.client.roundtrip().unwrap();
        assert!(stranger.client.state.offered.drag.is_none(), "{} sees it", stranger.title);
        // Its own VM sees it still.
        session.point(taker.title);
        taker.client.accept_drag(TEXT).unwrap();
        session.point(stranger.title);
        taker.client.wait_until("its end", |state| state.offered.drag.is_none()).unwrap();
        session.release();
        giver.client.wait_source(&source, SourceEvent::Cancelled).unwrap();
        stranger.client.roundtrip().unwrap();
        assert!(stranger.client.state.offered.drag.is_none(), "{} sees it", stranger.title);
    }
}

#[test]
fn an_application_that_dies_while_it_drags_leaves_the_pointer_to_the_others() {
    let mut session = session(Sharing::Region);
    let mut giver = Person::start(&mut session, "work", "giver");
    let mut taker = Person::start(&mut session, "work", "taker");
    let mut other = Person::start(&mut session, "personal", "other");
    let _source = giver.drag(&mut session, &[TEXT]).unwrap();
    session.point(taker.title);
    let offer = taker.client.accept_drag(TEXT).unwrap();
    drop(giver);
    session.wait_titles(&["taker", "other"]);
    // Nobody is there to write.
    let reader = taker.client.receive_offer(&offer, TEXT).unwrap();
    assert_eq!(pipes::read_to_end(reader, Deadline::patient()).unwrap(), b"");
    session.point(other.title);
    session.release();
    other.focus(&mut session);
    taker.focus(&mut session);
}
