//! Two clients with two text inputs each, an input method that is late, and everything in any order.

use proptest::prelude::*;

use super::*;

type Relay = Composition<u8, u8, u8>;

/// The client that a text input is of.
fn owner(key: u8) -> u8 {
    key / 2
}

fn text(text: &str, cursor: i32) -> Request {
    Request::Surrounding(Surrounding::new(text.to_owned(), cursor, cursor))
}

/// A relay with an input method and two clients, of which client 0 has the focus on surface 10.
fn relay() -> Relay {
    let mut relay = Relay::default();
    for key in 0..4 {
        assert_eq!(relay.add(key, owner(key)), []);
    }
    assert_eq!(relay.add_method(), Some(vec![]));
    let entered = relay.set_focus(Some((0, 10)));
    assert!(entered.contains(&Event::Enter(0, 10)) && entered.contains(&Event::Enter(1, 10)));
    assert_eq!(entered.len(), 2);
    relay
}

fn ask(relay: &mut Relay, key: u8, requests: impl IntoIterator<Item = Request>) -> Vec<Event<u8, u8>> {
    let mut events = relay.refill();
    for request in requests.into_iter().chain([Request::Commit]) {
        events.extend(relay.request(&key, request));
    }
    relay.check();
    events
}

fn write(relay: &mut Relay, word: &str, seen: u32) -> Vec<Event<u8, u8>> {
    assert_eq!(relay.method_request(MethodRequest::Insert(word.to_owned())), []);
    relay.method_request(MethodRequest::Commit(seen))
}

fn inserted(word: &str) -> Edit {
    Edit { insert: Some(word.to_owned()), ..Edit::default() }
}

#[test]
fn an_offset_is_between_two_characters_of_the_text() {
    for (cursor, anchor, sound) in
        [(0, 0, true), (2, 3, true), (3, 1, false), (4, 0, false), (-1, 0, false), (0, i32::MIN, false)]
    {
        assert_eq!(Surrounding::new("éa".to_owned(), cursor, anchor).is_some(), sound, "{cursor} {anchor}");
    }
    assert!(Surrounding::new("a".repeat(MAX_TEXT), 4000, 0).is_some());
    assert_eq!(Surrounding::new("a".repeat(MAX_TEXT + 1), 0, 0), None);
}

#[test]
fn what_is_composed_reaches_the_text_input_that_asked_for_it() {
    let mut relay = relay();
    let kind = Kind { hint: 1, purpose: 4 };
    let told = ask(&mut relay, 1, [Request::Enable, text("abc", 3), Request::Kind(kind)]);
    let surrounding = Surrounding::new("abc".to_owned(), 3, 3);
    let field = Field { surrounding, kind, ..Field::default() };
    assert_eq!(told, [Event::Activate, Event::Field(field), Event::Done]);
    assert_eq!(write(&mut relay, "d", 1), [Event::Edit(1, inserted("d"), 1)]);
    assert_eq!(ask(&mut relay, 1, [Request::Disable]), [Event::Deactivate, Event::Done]);
    assert_eq!(write(&mut relay, "e", 2), []);
}

#[test]
fn what_is_late_within_an_activation_is_written_and_what_is_older_is_not() {
    let mut relay = relay();
    ask(&mut relay, 0, [Request::Enable]);
    ask(&mut relay, 0, [text("a", 1)]);
    ask(&mut relay, 0, [text("ab", 2)]);
    assert_eq!(write(&mut relay, "b", 1), [Event::Edit(0, inserted("b"), 3)]);
    // The same text input begins anew, for another field perhaps.
    let told = ask(&mut relay, 0, [Request::Enable]);
    assert_eq!(told[..3], [Event::Deactivate, Event::Done, Event::Activate]);
    for (seen, written) in [(3, false), (4, false), (5, true), (6, false), (u32::MAX, false)] {
        assert_eq!(!write(&mut relay, "c", seen).is_empty(), written, "{seen}");
    }
}

#[test]
fn a_client_without_the_focus_is_neither_heard_nor_told() {
    let mut relay = relay();
    assert_eq!(ask(&mut relay, 2, [Request::Enable, text("secret", 0)]), []);
    assert_eq!(write(&mut relay, "x", 0), []);
    // What it asked for is forgotten, and its commit counts.
    relay.set_focus(Some((1, 20)));
    assert_eq!(ask(&mut relay, 2, []), []);
    let told = ask(&mut relay, 2, [Request::Enable]);
    assert_eq!(told, [Event::Activate, Event::Field(Field::default()), Event::Done]);
    assert_eq!(write(&mut relay, "x", 1), [Event::Edit(2, inserted("x"), 3)]);
}

#[test]
fn composing_ends_when_the_focus_moves() {
    let mut relay = relay();
    ask(&mut relay, 0, [Request::Enable]);
    let preedit = Preedit { text: "ni".to_owned(), begin: 2, end: 2 };
    relay.method_request(MethodRequest::Preedit(preedit));
    relay.method_request(MethodRequest::Insert("half".to_owned()));
    let told = relay.set_focus(Some((1, 20)));
    assert_eq!(told[..2], [Event::Deactivate, Event::Done]);
    relay.check();
    ask(&mut relay, 2, [Request::Enable]);
    // Neither what waited for a commit nor the commit that was under way reaches the other client.
    assert_eq!(relay.method_request(MethodRequest::Commit(1)), []);
    assert_eq!(relay.method_request(MethodRequest::Commit(3)), [Event::Edit(2, Edit::default(), 1)]);
}

#[test]
fn there_is_one_input_method_and_one_active_text_input() {
    let mut relay = relay();
    assert_eq!(relay.add_method(), None);
    ask(&mut relay, 0, [Request::Enable]);
    assert_eq!(ask(&mut relay, 1, [Request::Enable, text("b", 0)]), []);
    assert_eq!(ask(&mut relay, 1, [Request::Disable]), []);
    assert_eq!(write(&mut relay, "a", 1), [Event::Edit(0, inserted("a"), 1)]);
    relay.remove(&1);
    assert!(relay.method_is_active());
    assert_eq!(relay.remove(&0), [Event::Deactivate, Event::Done]);
    relay.check();
}

#[test]
fn an_input_method_that_comes_later_is_told_of_what_is_active() {
    let mut relay = relay();
    assert_eq!(relay.remove_method(), []);
    assert_eq!(ask(&mut relay, 0, [Request::Enable, text("abc", 1)]), []);
    let told = relay.add_method().unwrap();
    let surrounding = Surrounding::new("abc".to_owned(), 1, 1);
    let field = Field { surrounding, ..Field::default() };
    assert_eq!(told, [Event::Activate, Event::Field(field), Event::Done]);
    // When it goes, what it was composing does not stay.
    relay.method_request(MethodRequest::Preedit(Preedit { text: "x".to_owned(), begin: 0, end: 9 }));
    let shown = Some(Preedit { text: "x".to_owned(), begin: -1, end: -1 });
    let edit = Edit { preedit: shown, ..Edit::default() };
    assert_eq!(relay.method_request(MethodRequest::Commit(1)), [Event::Edit(0, edit, 1)]);
    assert_eq!(relay.remove_method(), [Event::Edit(0, Edit::default(), 1)]);
    relay.check();
}

#[test]
fn a_client_that_commits_all_the_time_does_not_flood_the_input_method() {
    let mut relay = relay();
    let mut told = 0;
    for round in 0..100_usize {
        let requests = if round % 10 == 9 {
            vec![Request::Disable, Request::Commit]
        } else {
            vec![Request::Enable, text(&"a".repeat(round), 0), Request::Commit]
        };
        for request in requests {
            let events = relay.request(&0, request);
            told += events.iter().filter(|event| matches!(event, Event::Field(_))).count();
        }
        relay.check();
    }
    assert_eq!(told, BUDGET as usize);
    ask(&mut relay, 0, [Request::Enable, text("last", 4)]);
    // The end of an activation is told at once, whatever is left.
    for _ in 0..BUDGET {
        relay.request(&0, text("x", 1));
        relay.request(&0, Request::Commit);
    }
    assert!(relay.method_waits() && relay.is_spent());
    assert_eq!(relay.set_focus(None)[..2], [Event::Deactivate, Event::Done]);
    assert!(!relay.method_waits());
}

#[test]
fn what_an_input_method_is_told_late_is_what_is_so_by_then() {
    let mut relay = relay();
    ask(&mut relay, 0, [Request::Enable]);
    for word in ["a", "ab", "abc", "abcd", "abcde"] {
        relay.request(&0, text(word, 0));
        relay.request(&0, Request::Commit);
    }
    let surrounding = Surrounding::new("abcde".to_owned(), 0, 0);
    let field = Field { surrounding, ..Field::default() };
    assert_eq!(relay.refill(), [Event::Field(field), Event::Done]);
    assert_eq!(relay.refill(), []);
    assert!(!relay.is_spent());
}

#[test]
fn secrets_are_not_told() {
    for kind in [
        Kind { hint: 0x40, purpose: 0 },
        Kind { hint: 0x180, purpose: 0 },
        Kind { hint: 0, purpose: 8 },
        Kind { hint: 0, purpose: 9 },
    ] {
        let mut relay = relay();
        let told = ask(&mut relay, 0, [Request::Enable, text("hunter2", 7), Request::Kind(kind)]);
        assert_eq!(told[1], Event::Field(Field { kind, ..Field::default() }), "{kind:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Focus(Option<(u8, u8)>),
    Ask(u8, Request),
    Remove(u8),
    Add(u8),
    Method(bool),
    Write(MethodRequest),
    /// Time passes.
    Refill,
    /// The input method commits with a count that is so far behind.
    Late(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let request = prop_oneof![
        Just(Request::Enable),
        Just(Request::Disable),
        ("[aé]{0,4}", -1_i32..9).prop_map(|(word, at)| text(&word, at)),
        Just(Request::Cause(Cause::Other)),
        (0_u32..0x200, 0_u32..14).prop_map(|(hint, purpose)| Request::Kind(Kind { hint, purpose })),
        Just(Request::Commit),
        Just(Request::Commit),
    ];
    prop_oneof![
        2 => proptest::option::of((0_u8..2, 10_u8..12)).prop_map(Step::Focus),
        8 => (0_u8..4, request).prop_map(|(key, request)| Step::Ask(key, request)),
        1 => (0_u8..4).prop_map(Step::Remove),
        1 => (0_u8..4).prop_map(Step::Add),
        1 => any::<bool>().prop_map(Step::Method),
        3 => "[aé]{1,3}".prop_map(|word| Step::Write(MethodRequest::Insert(word))),
        3 => (0_u32..6).prop_map(Step::Late),
        1 => Just(Step::Refill),
    ]
}

/// What an observer of the events knows, without knowing the relay.
#[derive(Debug, Default)]
struct Observer {
    focus: Option<u8>,
    entered: std::collections::BTreeMap<u8, u8>,
    method: Option<bool>,
    done: u32,
    /// How often it was told of a field since time passed.
    told: u32,
}

impl Observer {
    fn see(&mut self, events: &[Event<u8, u8>]) {
        for event in events {
            match event {
                Event::Enter(key, surface) => {
                    assert_eq!(self.focus, Some(owner(*key)), "who enters has the keyboard");
                    assert_eq!(self.entered.insert(*key, *surface), None, "nobody enters twice");
                }
                Event::Leave(key, surface) => assert_eq!(self.entered.remove(key), Some(*surface)),
                Event::Edit(key, ..) => {
                    assert!(self.entered.contains_key(key), "text goes to the client with the keyboard");
                }
                Event::Activate => assert_eq!(self.method.replace(true), Some(false)),
                Event::Deactivate => assert_eq!(self.method.replace(false), Some(true)),
                Event::Field(field) => {
                    assert_eq!(self.method, Some(true), "a field is told while the input method is wanted");
                    assert!(!field.kind.is_secret() || field.surrounding.is_none());
                    self.told += 1;
                    assert!(self.told <= BUDGET, "the input method is not flooded");
                }
                Event::Done => self.done += 1,
            }
        }
    }
}

proptest! {
    #[test]
    fn no_sequence_makes_text_go_where_the_keyboard_is_not(
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let (mut relay, mut observer) = (Relay::default(), Observer::default());
        for step in steps {
            let events = match step {
                Step::Focus(focus) => {
                    observer.focus = focus.map(|(client, _)| client);
                    relay.set_focus(focus)
                }
                Step::Ask(key, request) => relay.request(&key, request),
                Step::Remove(key) => {
                    observer.entered.remove(&key);
                    relay.remove(&key)
                }
                Step::Add(key) if !relay.inputs.contains_key(&key) => relay.add(key, owner(key)),
                Step::Add(_) => Vec::new(),
                Step::Method(true) => {
                    let before = observer.method;
                    match relay.add_method() {
                        Some(events) => {
                            prop_assert_eq!(before, None);
                            (observer.method, observer.done, observer.told) = (Some(false), 0, 0);
                            events
                        }
                        None => {
                            prop_assert!(before.is_some());
                            Vec::new()
                        }
                    }
                }
                Step::Method(false) => {
                    observer.method = None;
                    relay.remove_method()
                }
                Step::Write(request) => relay.method_request(request),
                Step::Refill => {
                    observer.told = 0;
                    let events = relay.refill();
                    prop_assert!(!relay.method_waits());
                    events
                }
                Step::Late(behind) => {
                    relay.method_request(MethodRequest::Commit(observer.done.wrapping_sub(behind)))
                }
            };
            observer.see(&events);
            relay.check();
            prop_assert_eq!(relay.method.as_ref().map(|method| method.active.is_some()), observer.method);
            if let Some(method) = &relay.method {
                prop_assert_eq!(method.done, observer.done);
            }
        }
    }
}
