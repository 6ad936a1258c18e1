//! Text inputs: who is told that it has the keyboard, and whose text goes where.

use vitrail::trust::origin::Origin;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::wp::text_input::zv3::client::zwp_text_input_manager_v3::ZwpTextInputManagerV3;
use wayland_protocols::wp::text_input::zv3::client::zwp_text_input_v3::{
    self, ChangeCause, ContentHint, ContentPurpose, ZwpTextInputV3,
};

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};
use crate::input_method::start;

const BLUE: [u8; 4] = [0, 0, 255, 255];

delegate_noop!(Told: ignore ZwpTextInputManagerV3);

impl Dispatch<ZwpTextInputV3, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpTextInputV3,
        event: zwp_text_input_v3::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwp_text_input_v3::Event;
        told.words.push(match event {
            Event::Enter { .. } => String::from("enter"),
            Event::Leave { .. } => String::from("leave"),
            Event::PreeditString { text, cursor_begin, cursor_end } => {
                format!("preedit {} {cursor_begin} {cursor_end}", text.unwrap_or_default())
            }
            Event::CommitString { text } => format!("text {}", text.unwrap_or_default()),
            Event::DeleteSurroundingText { before_length, after_length } => {
                format!("delete {before_length} {after_length}")
            }
            Event::Done { serial } => format!("done {serial}"),
            other => format!("{other:?}"),
        });
    }
}

pub fn text_input(fixture: &mut Fixture, who: Who) -> ZwpTextInputV3 {
    let client = fixture.client(who);
    let seat = client.seat();
    let input = client.bind::<ZwpTextInputManagerV3>().get_text_input(&seat, &client.queue, ());
    fixture.roundtrip(who);
    input
}

/// A client of a VM with a window and a text input.
pub fn editor(fixture: &mut Fixture, name: &str) -> (Who, usize, ZwpTextInputV3) {
    let who = fixture.connect(vm(name));
    fixture.client(who).listen();
    let window = fixture.window(who, 200, 100, BLUE);
    let input = text_input(fixture, who);
    (who, window, input)
}

/// What the client was told since it was last asked.
pub fn words(fixture: &mut Fixture, who: Who) -> Vec<String> {
    fixture.roundtrip(who);
    std::mem::take(&mut fixture.client(who).told.words)
}

/// Makes the text input active and says that it has this text, with the cursor at its end.
pub fn enable(fixture: &mut Fixture, who: Who, input: &ZwpTextInputV3, text: &str) {
    input.enable();
    input.set_surrounding_text(text.to_owned(), text.len() as i32, text.len() as i32);
    input.commit();
    fixture.roundtrip(who);
}

pub fn click_window(fixture: &mut Fixture, vm: &str) {
    let content = fixture.report().into_iter().find(|window| window.vm == vm).unwrap().content;
    fixture.click(content.loc.x + 5, content.loc.y + 5);
}

#[test]
fn a_text_input_follows_the_keyboard_whether_there_is_an_input_method_or_not() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, window, first) = editor(&mut fixture, "work");
    let (web, _, _) = editor(&mut fixture, "web");
    assert_eq!(words(&mut fixture, work), ["enter"]);
    assert!(words(&mut fixture, web).is_empty(), "it has not the keyboard");
    // All text inputs of a client are told.
    text_input(&mut fixture, work);
    assert_eq!(words(&mut fixture, work), ["enter"]);
    click_window(&mut fixture, "web");
    assert_eq!(words(&mut fixture, work), ["leave", "leave"]);
    assert_eq!(words(&mut fixture, web), ["enter"]);
    click_window(&mut fixture, "work");
    assert_eq!(words(&mut fixture, web), ["leave"]);
    first.destroy();
    assert_eq!(words(&mut fixture, work), ["enter", "enter"]);
    // Nobody has the keyboard any more.
    fixture.client(work).told.shown[window].toplevel.as_ref().unwrap().set_minimized();
    fixture.roundtrip(work);
    click_window(&mut fixture, "web");
    let shown = &fixture.client(web).told.shown[0];
    shown.surface.attach(None, 0, 0);
    shown.surface.commit();
    assert_eq!(words(&mut fixture, web), ["enter", "leave"]);
    assert_eq!(words(&mut fixture, work), ["leave"]);
}

#[test]
fn a_client_without_the_keyboard_writes_nothing_to_the_input_method() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let method = start(&mut fixture);
    let (work, _, honest) = editor(&mut fixture, "work");
    let (web, _, hostile) = editor(&mut fixture, "web");
    words(&mut fixture, web);
    enable(&mut fixture, web, &hostile, "of another VM");
    hostile.set_content_type(ContentHint::Multiline, ContentPurpose::Terminal);
    hostile.set_cursor_rectangle(0, 0, 10, 10);
    hostile.commit();
    fixture.roundtrip(web);
    assert!(method.heard(&mut fixture).is_empty());
    method.write(&mut fixture, "typed", 0);
    assert!(words(&mut fixture, web).is_empty(), "text for nobody");
    // Nor while another VM is written to.
    enable(&mut fixture, work, &honest, "abc");
    assert_eq!(method.heard(&mut fixture), ["activate", "around abc 3 3", "cause 0", "kind 0 0", "done"]);
    words(&mut fixture, work);
    enable(&mut fixture, web, &hostile, "of another VM");
    hostile.disable();
    hostile.commit();
    hostile.destroy();
    fixture.roundtrip(web);
    assert!(method.heard(&mut fixture).is_empty());
    method.write(&mut fixture, "typed", 1);
    assert_eq!(words(&mut fixture, work), ["text typed", "done 1"]);
    assert!(words(&mut fixture, web).is_empty());
    assert!(!fixture.client(web).ended());
}

/// In Smithay 0.7 the numbers panicked, which any VM could have done to the whole session.
#[test]
fn numbers_that_the_protocol_does_not_know_and_offsets_that_are_none_harm_nobody() {
    let mut fixture = Fixture::new();
    let method = start(&mut fixture);
    let (work, _, input) = editor(&mut fixture, "work");
    enable(&mut fixture, work, &input, "abc");
    method.heard(&mut fixture);
    for (text, cursor, anchor) in
        [("é", 1, 0), ("é", 0, 1), ("abc", 4, 0), ("abc", -1, 0), ("abc", i32::MIN, i32::MAX), ("", 1, 1)]
    {
        input.set_surrounding_text(text.to_owned(), cursor, anchor);
        input.commit();
        fixture.roundtrip(work);
        assert_eq!(method.heard(&mut fixture), ["cause 0", "kind 0 0", "done"], "{text} {cursor} {anchor}");
    }
    input.set_content_type(ContentHint::from_bits_retain(u32::MAX), ContentPurpose::Terminal);
    input.set_text_change_cause(ChangeCause::Other);
    input.set_cursor_rectangle(i32::MIN, i32::MAX, i32::MIN, i32::MAX);
    input.set_surrounding_text("éa".to_owned(), 2, 3);
    input.commit();
    fixture.roundtrip(work);
    // Bits that are known stay: the text is for secrets.
    assert_eq!(method.heard(&mut fixture), ["cause 1", "kind 1023 13", "done"]);
    input.set_content_type(ContentHint::Completion, ContentPurpose::Normal);
    input.commit();
    fixture.roundtrip(work);
    assert_eq!(method.heard(&mut fixture), ["around éa 2 3", "cause 0", "kind 1 0", "done"]);
    raw_numbers(&mut fixture, work, &input);
    assert_eq!(method.heard(&mut fixture), ["around éa 2 3", "cause 1", "kind 0 0", "done"]);
    assert!(!fixture.client(work).ended());
}

/// A purpose and a cause that no enumeration of a library has.
fn raw_numbers(fixture: &mut Fixture, who: Who, input: &ZwpTextInputV3) {
    use wayland_client::Proxy as _;
    use wayland_client::WEnum;
    let requests = [
        zwp_text_input_v3::Request::SetContentType {
            hint: WEnum::Unknown(0x8000_0000),
            purpose: WEnum::Unknown(4711),
        },
        zwp_text_input_v3::Request::SetTextChangeCause { cause: WEnum::Unknown(77) },
        zwp_text_input_v3::Request::Commit,
    ];
    for request in requests {
        input.send_request(request).unwrap();
    }
    fixture.roundtrip(who);
}

#[test]
fn the_text_around_a_secret_stays_with_the_application() {
    let mut fixture = Fixture::new();
    let method = start(&mut fixture);
    let (work, _, input) = editor(&mut fixture, "work");
    for (hint, purpose) in [
        (ContentHint::SensitiveData, ContentPurpose::Normal),
        (ContentHint::HiddenText, ContentPurpose::Normal),
        (ContentHint::None, ContentPurpose::Password),
        (ContentHint::None, ContentPurpose::Pin),
    ] {
        input.enable();
        input.set_content_type(hint, purpose);
        input.set_surrounding_text("hunter2".to_owned(), 7, 7);
        input.commit();
        fixture.roundtrip(work);
        let heard = method.heard(&mut fixture);
        assert!(heard.iter().any(|word| word == "activate"), "{heard:?}");
        assert!(heard.iter().all(|word| !word.contains("hunter2")), "{heard:?}");
    }
    // And it is written to as any other.
    words(&mut fixture, work);
    let serial = method.done(&mut fixture);
    method.write(&mut fixture, "3", serial);
    assert_eq!(words(&mut fixture, work), ["text 3", "done 4"]);
}

#[test]
fn a_client_has_as_many_text_inputs_as_may_listen_to_input() {
    let mut fixture = Fixture::new();
    let web = fixture.connect(vm("web"));
    for _ in 0..10 {
        for _ in 0..100 {
            let client = fixture.client(web);
            let seat = client.seat();
            client.bind::<ZwpTextInputManagerV3>().get_text_input(&seat, &client.queue, ()).destroy();
        }
        fixture.roundtrip(web);
    }
    assert!(!fixture.client(web).ended(), "what is destroyed does not count");
    for _ in 0..200 {
        let client = fixture.client(web);
        let seat = client.seat();
        client.bind::<ZwpTextInputManagerV3>().get_text_input(&seat, &client.queue, ());
    }
    fixture.wait("the end of the connection", |fixture| fixture.client(web).ended());
    let local = fixture.connect(Origin::Local);
    fixture.window(local, 100, 50, BLUE);
}

/// An input method that is slower than a client of a VM would lose its connection, and the user the input method.
#[test]
fn a_client_that_commits_all_the_time_does_not_flood_the_input_method() {
    let mut fixture = Fixture::new();
    let method = start(&mut fixture);
    let (work, _, input) = editor(&mut fixture, "work");
    enable(&mut fixture, work, &input, "");
    let before = method.done(&mut fixture);
    let text = "x".repeat(3900);
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        for _ in 0..100 {
            input.set_surrounding_text(text.clone(), 0, 0);
            input.commit();
        }
        fixture.roundtrip(work);
    }
    input.set_surrounding_text(String::from("last"), 4, 4);
    input.commit();
    fixture.roundtrip(work);
    let heard = method.heard(&mut fixture);
    assert_eq!(heard[heard.len() - 4], "around last 4 4");
    let told = method.done(&mut fixture) - before;
    let intervals = begun.elapsed().as_millis() as u32 / 16 + 2;
    assert!(told < 1000 && told <= intervals * 4, "{told} times in {intervals} intervals");
    assert!(!fixture.client(method.who()).ended());
}

#[test]
fn a_client_that_is_gone_leaves_nothing_behind() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let method = start(&mut fixture);
    let (work, window, input) = editor(&mut fixture, "work");
    let (web, _, other) = editor(&mut fixture, "web");
    enable(&mut fixture, work, &input, "abc");
    method.heard(&mut fixture);
    // A misuse ends the client at once.
    fixture.client(work).told.shown[window].surface.set_buffer_scale(0);
    fixture.wait("the end of the connection", |fixture| fixture.client(work).ended());
    fixture.chord(&["leftmeta", "tab"]);
    fixture.wait("the keyboard", |fixture| fixture.client(web).told.keyboard.is_some());
    assert_eq!(method.heard(&mut fixture), ["deactivate", "done"]);
    enable(&mut fixture, web, &other, "b");
    assert_eq!(method.heard(&mut fixture)[..2], ["activate", "around b 1 1"]);
}
