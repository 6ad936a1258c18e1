//! What VMs try with the clipboard between them.

use std::io::{ErrorKind, Seek as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use vitrail::handlers::clipboard::give::MAX_READERS;
use vitrail::trust::client::Privilege;
use vitrail::trust::clipboard::TAKEN_WITHIN;

use super::*;

/// Nobody reads the other end of a pipe any more.
#[track_caller]
fn assert_unread(pipe: OwnedFd) {
    let error = File::from(pipe).write_all(b"late").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

/// QSB-013, the first half: the VM delays its answer until the user has copied in another one, so that its own content is pasted in that
/// one's stead.
#[test]
fn a_late_answer_injects_nothing_into_what_was_copied_in_another_vm() {
    let mut desk = Desk::new(ALLOW);
    desk.focus("work");
    desk.offer("work", &[TEXT]);
    let held_back = desk.begin("work");
    desk.copy("vault", "the password");
    assert_unread(held_back);
    desk.fixture.turn();
    desk.focus("web");
    desk.chord("v");
    assert_eq!(desk.read("web", TEXT), "the password");
}

/// QSB-013, the second half: the VM stalls, in the middle of a message, while the user pastes into it. Qubes ran the chord when the VM went
/// on, on what the user had copied by then.
#[test]
fn a_stalled_vm_does_not_get_with_an_old_chord_what_is_copied_after_it() {
    let mut desk = Desk::new(ALLOW);
    let (theirs, mut stalled) = UnixStream::pair().unwrap();
    desk.fixture.state().accept(theirs, vm("web"), Privilege::Ordinary).unwrap();
    stalled.write_all(&[1, 0, 0, 0, 1]).unwrap();
    desk.focus("web");
    desk.chord("v");
    assert_eq!(desk.last(), What::Refused(Refusal::Empty), "the chord is over at once");
    desk.copy("vault", "the password");
    stalled.write_all(&[0, 12, 0, 2, 0, 0, 0]).unwrap();
    desk.focus("web");
    let web = desk.who("web");
    desk.fixture.roundtrip(web);
    assert_eq!(desk.clipboard("web"), None);
    assert!(!desk.is_asking() && !desk.is_empty(), "only the next chord moves it");
}

/// QSB-011: what was short was written over what was long, whose tail stayed.
#[test]
fn a_short_content_after_a_long_one_is_all_that_is_read() {
    let mut desk = Desk::new("[[clipboard.rule]]\nfrom = '*'\nto = '*'\naction = 'allow'\nwipe = false\n");
    desk.copy("vault", &"secret ".repeat(5000));
    desk.copy("work", "hi");
    desk.focus("web");
    desk.chord("v");
    assert_eq!(desk.read("web", TEXT), "hi");
}

#[test]
fn a_program_that_never_answers_is_given_up() {
    let mut desk = Desk::new(ALLOW);
    desk.offer("vault", &[TEXT]);
    let start = Instant::now();
    let pipe = desk.begin("vault");
    File::from(pipe.try_clone().unwrap()).write_all(b"half of it").unwrap();
    desk.wait_refusal(Refusal::Late);
    assert!(start.elapsed() >= TAKEN_WITHIN);
    assert_unread(pipe);
    desk.fixture.turn();
    assert!(desk.is_empty());
    desk.focus("web");
    desk.chord("v");
    assert_eq!(desk.last(), What::Refused(Refusal::Empty));
}

#[test]
fn a_program_that_writes_without_end_is_stopped_at_the_bound() {
    let mut desk =
        Desk::new("[[clipboard.rule]]\nfrom = '*'\nto = '*'\naction = 'ask'\nmax_bytes = 300000\n");
    desk.offer("vault", &[TEXT]);
    let mut pipe = File::from(desk.begin("vault"));
    let writer = std::thread::spawn(move || {
        let mut written = 0_usize;
        loop {
            match pipe.write(&[b'x'; 4096]) {
                Ok(count) => written += count,
                Err(error) => return (written, error.kind()),
            }
        }
    });
    desk.fixture.wait("the end of it", |_| writer.is_finished());
    let (written, error) = writer.join().unwrap();
    assert_eq!(error, ErrorKind::BrokenPipe);
    assert!(written < 600_000, "{written}");
    assert_eq!(desk.last(), What::Refused(Refusal::TooLarge));
    assert!(desk.is_empty());
}

#[test]
fn single_bytes_are_as_good_as_many_and_what_is_no_text_is_none() {
    let mut desk = Desk::new(ALLOW);
    desk.offer("vault", &[TEXT]);
    let mut pipe = File::from(desk.begin("vault"));
    let text = "one by one ".repeat(5);
    for byte in text.bytes() {
        pipe.write_all(&[byte]).unwrap();
        desk.fixture.turn();
    }
    drop(pipe);
    desk.wait_full("vault");
    desk.focus("web");
    desk.chord("v");
    assert_eq!(desk.read("web", TEXT), text);
    desk.focus("vault");
    let mut pipe = File::from(desk.begin("vault"));
    pipe.write_all(b"\xff\xfe\xfd").unwrap();
    drop(pipe);
    desk.wait_refusal(Refusal::Nothing);
}

#[test]
fn the_keyboard_that_goes_elsewhere_before_the_answer_ends_the_copy() {
    let mut desk = Desk::new(ALLOW);
    desk.offer("vault", &[TEXT]);
    let pipe = desk.begin("vault");
    desk.focus("web");
    assert_eq!(desk.last(), What::Refused(Refusal::Left));
    assert_unread(pipe);
    desk.focus("vault");
    assert!(desk.is_empty());
}

#[test]
fn a_second_copy_ends_the_first_and_so_does_something_else_that_is_copied_in_the_vm() {
    let mut desk = Desk::new(ALLOW);
    desk.offer("vault", &[TEXT]);
    let first = desk.begin("vault");
    let second = desk.begin("vault");
    assert_unread(first);
    File::from(second).write_all(b"second").unwrap();
    desk.wait_full("vault");
    let third = desk.begin("vault");
    assert!(!matches!(desk.last(), What::Refused(_)));
    desk.offer("vault", &[TEXT]);
    assert_eq!(desk.last(), What::Refused(Refusal::Replaced));
    desk.fixture.turn();
    assert_unread(third);
    assert!(desk.is_empty(), "what was there before the chord is gone, too");
}

#[test]
fn what_a_program_had_given_before_it_ended_is_all_that_is_copied() {
    let mut desk = Desk::new(ALLOW);
    let source = desk.offer("vault", &[TEXT]);
    let mut pipe = File::from(desk.begin("vault"));
    pipe.write_all(b"half").unwrap();
    source.destroy();
    let vault = desk.who("vault");
    desk.fixture.roundtrip(vault);
    drop(pipe);
    desk.wait_full("vault");
    desk.focus("web");
    desk.chord("v");
    assert_eq!(desk.read("web", TEXT), "half");
}

/// The names are the VM's words, and only those that are known here are acted upon; nobody else ever sees one.
#[test]
fn many_long_and_deceiving_types_reach_nobody() {
    let mut desk = Desk::new(ALLOW);
    let long: Vec<String> = (0..120).map(|n| format!("text/plain;{n}={}", "\u{202e}".repeat(160))).collect();
    let mut types: Vec<&str> = long.iter().map(String::as_str).collect();
    types.extend(["text/plain;charset=UTF-16", "TEXT/PLAIN"]);
    desk.offer("vault", &types);
    let pipe = desk.begin("vault");
    File::from(pipe).write_all(b"x").unwrap();
    desk.wait_full("vault");
    let vault = desk.who("vault");
    assert_eq!(desk.fixture.client(vault).told.asked, ["TEXT/PLAIN"]);
    desk.focus("web");
    desk.chord("v");
    assert_eq!(desk.clipboard("web").unwrap(), GIVEN);
    let model = desk.fixture.state().comp.selections.between.model();
    assert!(!format!("{:?}", model.journal()).contains('\u{202e}'));
}

#[test]
fn readers_that_never_read_hold_nobody_up_and_are_bounded() {
    let mut desk =
        Desk::new("[[clipboard.rule]]\nfrom = '*'\nto = '*'\naction = 'allow'\nmax_bytes = 500000\n");
    let text = "0123456789".repeat(30_000);
    desk.focus("vault");
    desk.offer("vault", &[TEXT]);
    let pipe = desk.begin("vault");
    let (content, mut pipe) = (text.clone(), File::from(pipe));
    let writer = std::thread::spawn(move || pipe.write_all(content.as_bytes()));
    desk.wait_full("vault");
    writer.join().unwrap().unwrap();
    desk.focus("web");
    desk.chord("v");
    let mut unread: Vec<File> = (0..MAX_READERS + 3).map(|_| desk.receive("web", TEXT)).collect();
    let web = desk.who("web");
    desk.fixture.roundtrip(web);
    assert_eq!(desk.read("web", TEXT), text, "others are served");
    // The first ones are given up: what the pipe held, and then the end.
    let mut first = unread.remove(0);
    let mut got = String::new();
    desk.fixture.turn();
    first.read_to_string(&mut got).unwrap();
    assert!(got.len() < text.len() && text.starts_with(&got), "{}", got.len());
    // The last one still gets all.
    let mut last = unread.pop().unwrap();
    let reader = std::thread::spawn(move || {
        let mut got = String::new();
        last.read_to_string(&mut got).map(|_| got)
    });
    desk.fixture.wait("the content", |_| reader.is_finished());
    assert_eq!(reader.join().unwrap().unwrap(), text);
}

#[test]
fn a_file_is_not_written_to_in_the_place_of_a_pipe() {
    let mut desk = Desk::new(ALLOW);
    desk.copy("vault", "secret");
    desk.focus("web");
    desk.chord("v");
    let web = desk.who("web");
    desk.fixture.roundtrip(web);
    let mut file = tempfile::tempfile().unwrap();
    let offer = desk.fixture.client(web).told.transfers.offer.clone().unwrap();
    offer.receive(TEXT.to_owned(), file.as_fd());
    desk.fixture.roundtrip(web);
    let mut text = String::new();
    // The place in the file is shared with whoever has written to it.
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "", "nobody knows how long that would take");
}

/// Typed on, as if nothing had been asked: the user is writing a mail when the chord is hit by a slip of the hand.
#[test]
fn keys_that_were_meant_for_the_window_do_not_answer_the_question() {
    let mut desk = Desk::new("");
    desk.copy("vault", "secret");
    desk.focus("web");
    desk.chord("v");
    for key in ["tab", "enter", "tab", "enter"] {
        desk.tap(key);
        assert!(desk.is_asking(), "{key} is no answer yet");
    }
    assert_eq!(desk.clipboard("web"), None);
    // After a look at it they are.
    desk.fixture.wait_question();
    desk.tap("enter");
    assert_eq!(desk.last(), What::Refused(Refusal::SaidNo), "and Tab had not moved it before");
}

#[test]
fn a_question_goes_with_the_window_that_it_was_about() {
    let mut desk = Desk::new("");
    desk.copy("vault", "secret");
    desk.focus("web");
    desk.chord("v");
    desk.fixture.wait_question();
    let web = desk.who("web");
    let shown = &desk.fixture.client(web).told.shown[0];
    shown.toplevel.as_ref().unwrap().destroy();
    shown.xdg.destroy();
    shown.surface.destroy();
    desk.fixture.roundtrip(web);
    assert!(!desk.is_asking(), "the keyboard is another VM's by now");
    desk.tap("tab");
    desk.tap("enter");
    assert!(!matches!(desk.last(), What::Pasted { .. }));
    for name in ["work", "vault"] {
        assert_ne!(desk.clipboard(name), Some(GIVEN.map(str::to_owned).to_vec()), "{name}");
    }
}

/// A VM that holds the shortcuts, which it is allowed to, is to learn nothing of these chords.
#[test]
fn a_vm_that_inhibits_the_shortcuts_does_not_get_these_chords() {
    use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
    let mut desk = Desk::new(&format!(
        "{ALLOW}[vm.game]\ncolor = '#00ffff'\n\
         protocols = {{ allow = ['zwp_keyboard_shortcuts_inhibit_manager_v1'] }}\n"
    ));
    let game = desk.fixture.connect(vm("game"));
    let device = desk.fixture.client(game).listen();
    desk.fixture.window(game, 150, 80, YELLOW);
    desk.vms[0] = ("game", game, device);
    desk.copy("vault", "x");
    desk.focus("game");
    let client = desk.fixture.client(game);
    let surface = client.told.shown[0].surface.clone();
    let inhibit: ZwpKeyboardShortcutsInhibitManagerV1 = client.bind();
    inhibit.inhibit_shortcuts(&surface, &client.seat(), &client.queue, ());
    desk.fixture.roundtrip(game);
    assert!(desk.fixture.state().comp.shortcuts_inhibitor().is_some());
    desk.chord("v");
    assert_eq!(desk.last(), What::Pasted { asked: false });
    desk.fixture.roundtrip(game);
    let keys: Vec<u32> = desk.fixture.client(game).told.keys.iter().map(|(code, _)| *code).collect();
    assert!(!keys.contains(&47), "{keys:?}");
}
