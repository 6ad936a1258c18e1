//! The input method: what it hears, where its text and its popups go, and which keys are its own.

use smithay::utils::{Physical, Point, Rectangle};
use vitrail::trust::client::Privilege;
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum, delegate_noop};
use wayland_protocols::wp::text_input::zv3::client::zwp_text_input_v3::ZwpTextInputV3;
use wayland_protocols_misc::zwp_input_method_v2::client::zwp_input_method_keyboard_grab_v2::{
    self, ZwpInputMethodKeyboardGrabV2,
};
use wayland_protocols_misc::zwp_input_method_v2::client::zwp_input_method_manager_v2::ZwpInputMethodManagerV2;
use wayland_protocols_misc::zwp_input_method_v2::client::zwp_input_method_v2::{self, ZwpInputMethodV2};
use wayland_protocols_misc::zwp_input_method_v2::client::zwp_input_popup_surface_v2::{
    self, ZwpInputPopupSurfaceV2,
};

use crate::client::Told;
use crate::fixture::{Fixture, LOCAL, WORK, Who, vm};
use crate::text_input::{click_window, editor, enable, words};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const WHITE: [u8; 4] = [255, 255, 255, 255];
const KEY_A: u32 = 30;
const KEY_Q: u32 = 16;
const SHIFT: u32 = 42;
const LOGO: u32 = 125;

delegate_noop!(Told: ignore ZwpInputMethodManagerV2);

/// The number of a value that the enumeration may not know.
fn number<T: Into<u32>>(value: WEnum<T>) -> u32 {
    match value {
        WEnum::Value(value) => value.into(),
        WEnum::Unknown(value) => value,
    }
}

impl Dispatch<ZwpInputMethodV2, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpInputMethodV2,
        event: zwp_input_method_v2::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwp_input_method_v2::Event;
        told.words.push(match event {
            Event::Activate => String::from("activate"),
            Event::Deactivate => String::from("deactivate"),
            Event::SurroundingText { text, cursor, anchor } => format!("around {text} {cursor} {anchor}"),
            Event::TextChangeCause { cause } => format!("cause {}", number(cause)),
            Event::ContentType { hint, purpose } => format!("kind {} {}", number(hint), number(purpose)),
            Event::Done => {
                told.frames += 1;
                String::from("done")
            }
            Event::Unavailable => String::from("unavailable"),
            other => format!("{other:?}"),
        });
    }
}

impl Dispatch<ZwpInputMethodKeyboardGrabV2, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpInputMethodKeyboardGrabV2,
        event: zwp_input_method_keyboard_grab_v2::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwp_input_method_keyboard_grab_v2::Event;
        match event {
            Event::Keymap { size, .. } => told.log.push(format!("keymap {}", size > 1000)),
            Event::Key { key, state, .. } => told.keys.push((key, number(state) == 1)),
            Event::Modifiers { mods_depressed, .. } => told.log.push(format!("modifiers {mods_depressed}")),
            Event::RepeatInfo { rate, delay } => told.log.push(format!("repeat {rate} {delay}")),
            _ => {}
        }
    }
}

impl Dispatch<ZwpInputPopupSurfaceV2, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpInputPopupSurfaceV2,
        event: zwp_input_popup_surface_v2::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let zwp_input_popup_surface_v2::Event::TextInputRectangle { x, y, width, height } = event {
            told.log.push(format!("cursor {x} {y} {width} {height}"));
        }
    }
}

/// A local program that composes text.
#[derive(Clone, Debug)]
pub struct Method {
    who: Who,
    object: ZwpInputMethodV2,
}

/// Starts one.
pub fn start(fixture: &mut Fixture) -> Method {
    let who = fixture.connect(Origin::Local);
    let client = fixture.client(who);
    let seat = client.seat();
    let object = client.bind::<ZwpInputMethodManagerV2>().get_input_method(&seat, &client.queue, ());
    fixture.roundtrip(who);
    Method { who, object }
}

impl Method {
    pub fn who(&self) -> Who {
        self.who
    }

    /// What it was told since it was last asked.
    pub fn heard(&self, fixture: &mut Fixture) -> Vec<String> {
        fixture.wait("the input method to be told", |fixture| fixture.state().comp.method_is_told());
        words(fixture, self.who)
    }

    /// How many `done` it was sent.
    pub fn done(&self, fixture: &mut Fixture) -> u32 {
        fixture.wait("the input method to be told", |fixture| fixture.state().comp.method_is_told());
        fixture.roundtrip(self.who);
        fixture.client(self.who).told.frames
    }

    /// Commits a word, having seen so many `done`.
    pub fn write(&self, fixture: &mut Fixture, word: &str, seen: u32) {
        self.object.commit_string(word.to_owned());
        self.object.commit(seen);
        fixture.roundtrip(self.who);
    }

    pub fn keys(&self, fixture: &mut Fixture) -> Vec<(u32, bool)> {
        fixture.roundtrip(self.who);
        std::mem::take(&mut fixture.client(self.who).told.keys)
    }

    fn log(&self, fixture: &mut Fixture) -> Vec<String> {
        fixture.roundtrip(self.who);
        std::mem::take(&mut fixture.client(self.who).told.log)
    }

    pub fn grab(&self, fixture: &mut Fixture) -> ZwpInputMethodKeyboardGrabV2 {
        let queue = fixture.client(self.who).queue.clone();
        let grab = self.object.grab_keyboard(&queue, ());
        fixture.roundtrip(self.who);
        grab
    }

    /// A popup of one colour.
    pub fn popup(&self, fixture: &mut Fixture, w: i32, h: i32) -> (WlSurface, ZwpInputPopupSurfaceV2) {
        let client = fixture.client(self.who);
        let surface = client.surface();
        let popup = self.object.get_input_popup_surface(&surface, &client.queue, ());
        client.draw_on(&surface, w, h, WHITE);
        fixture.roundtrip(self.who);
        (surface, popup)
    }
}

fn keys(fixture: &mut Fixture, who: Who) -> Vec<(u32, bool)> {
    fixture.roundtrip(who);
    std::mem::take(&mut fixture.client(who).told.keys)
}

/// Two VMs and an input method; a text input of the first is active.
fn composing(fixture: &mut Fixture) -> (Method, (Who, ZwpTextInputV3), (Who, ZwpTextInputV3)) {
    let method = start(fixture);
    let (work, _, first) = editor(fixture, "work");
    let (web, _, second) = editor(fixture, "web");
    enable(fixture, work, &first, "abc");
    words(fixture, work);
    words(fixture, web);
    method.heard(fixture);
    (method, (work, first), (web, second))
}

#[test]
fn a_vm_is_shown_neither_input_methods_nor_virtual_keyboards() {
    let mut fixture = Fixture::new();
    let local = fixture.connect(Origin::Local);
    let strangers = [fixture.connect(vm("work")), fixture.connect_as(Origin::Local, Privilege::Gate)];
    for interface in ["zwp_input_method_manager_v2", "zwp_virtual_keyboard_manager_v1"] {
        assert!(fixture.client(local).sees(interface));
        for stranger in strangers {
            assert!(!fixture.client(stranger).sees(interface));
        }
    }
    // Nor does it get one by guessing its name.
    let name = fixture.client(local).name_of("zwp_input_method_manager_v2");
    fixture.client(strangers[0]).bind_by_name::<ZwpInputMethodManagerV2>(name);
    fixture.wait("the end of the connection", |fixture| fixture.client(strangers[0]).ended());
}

#[test]
fn what_the_input_method_writes_arrives() {
    let mut fixture = Fixture::new();
    let method = start(&mut fixture);
    let (work, _, input) = editor(&mut fixture, "work");
    enable(&mut fixture, work, &input, "n");
    assert_eq!(method.heard(&mut fixture), ["activate", "around n 1 1", "cause 0", "kind 0 0", "done"]);
    words(&mut fixture, work);
    method.object.set_preedit_string("你h".to_owned(), 3, 4);
    method.object.commit(1);
    method.object.set_preedit_string("x".to_owned(), 7, 0);
    method.object.commit(1);
    method.object.commit_string("你好".to_owned());
    method.object.delete_surrounding_text(1, 2);
    method.object.commit(1);
    fixture.roundtrip(method.who);
    let told = words(&mut fixture, work);
    assert_eq!(told[..4], ["preedit 你h 3 4", "done 1", "preedit x -1 -1", "done 1"]);
    assert_eq!(told[4..], ["text 你好", "delete 1 2", "done 1"]);
    input.disable();
    input.commit();
    fixture.roundtrip(work);
    assert_eq!(method.heard(&mut fixture), ["deactivate", "done"]);
}

#[test]
fn what_was_composed_for_one_vm_is_never_written_into_another() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (method, (work, first), (web, second)) = composing(&mut fixture);
    method.object.set_preedit_string("secret".to_owned(), 6, 6);
    method.object.commit(1);
    method.object.commit_string("of work".to_owned());
    fixture.roundtrip(method.who);
    words(&mut fixture, work);
    click_window(&mut fixture, "web");
    assert_eq!(method.heard(&mut fixture), ["deactivate", "done"]);
    enable(&mut fixture, web, &second, "z");
    assert_eq!(method.heard(&mut fixture), ["activate", "around z 1 1", "cause 0", "kind 0 0", "done"]);
    // It was written before the input method knew of the other VM.
    method.object.commit(1);
    method.write(&mut fixture, "late", 2);
    assert_eq!(words(&mut fixture, web), ["enter"]);
    // Work asks for what it has no right to any more.
    enable(&mut fixture, work, &first, "more of work");
    assert!(method.heard(&mut fixture).is_empty());
    assert_eq!(words(&mut fixture, work), ["leave"]);
    method.write(&mut fixture, "for web", 3);
    assert_eq!(words(&mut fixture, web), ["text for web", "done 1"]);
    assert!(words(&mut fixture, work).is_empty());
}

#[test]
fn there_is_one_input_method_at_a_time() {
    let mut fixture = Fixture::new();
    let first = start(&mut fixture);
    let second = start(&mut fixture);
    assert_eq!(second.heard(&mut fixture), ["unavailable"]);
    let (work, _, input) = editor(&mut fixture, "work");
    enable(&mut fixture, work, &input, "a");
    words(&mut fixture, work);
    assert!(second.heard(&mut fixture).is_empty());
    // What it asks for is ignored.
    second.write(&mut fixture, "x", 1);
    second.grab(&mut fixture);
    second.popup(&mut fixture, 50, 20);
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_key(KEY_A, false);
    assert!(second.keys(&mut fixture).is_empty());
    assert_eq!(keys(&mut fixture, work).len(), 2);
    assert!(words(&mut fixture, work).is_empty());
    assert!(fixture.state().comp.method_popups().is_empty());
    first.object.set_preedit_string("half".to_owned(), 0, 0);
    first.object.commit(1);
    fixture.roundtrip(first.who);
    words(&mut fixture, work);
    // It ends, and takes with it what it was composing. The next one is told of what is active.
    first.object.destroy();
    fixture.roundtrip(first.who);
    assert_eq!(words(&mut fixture, work), ["done 1"]);
    let third = start(&mut fixture);
    assert_eq!(third.heard(&mut fixture), ["activate", "around a 1 1", "cause 0", "kind 0 0", "done"]);
    third.write(&mut fixture, "x", 1);
    assert_eq!(words(&mut fixture, work), ["text x", "done 1"]);
}

#[test]
fn keys_are_the_input_methods_while_text_is_composed_and_the_compositors_chords_come_first() {
    let mut fixture = Fixture::new();
    let (method, (work, input), _) = composing(&mut fixture);
    let grab = method.grab(&mut fixture);
    assert_eq!(method.log(&mut fixture), ["keymap true", "repeat 25 600", "modifiers 0"]);
    for (key, pressed) in [(SHIFT, true), (KEY_A, true), (KEY_A, false), (SHIFT, false)] {
        fixture.state().input_key(key, pressed);
    }
    let typed = [(SHIFT, true), (KEY_A, true), (KEY_A, false), (SHIFT, false)];
    assert_eq!(method.keys(&mut fixture), typed);
    assert_eq!(method.log(&mut fixture), ["modifiers 1", "modifiers 0"]);
    for (key, pressed) in [(LOGO, true), (KEY_Q, true), (KEY_Q, false), (LOGO, false)] {
        fixture.state().input_key(key, pressed);
    }
    assert_eq!(method.keys(&mut fixture), [(LOGO, true), (LOGO, false)]);
    fixture.wait("the request", |fixture| fixture.client(work).told.shown[0].asked_to_close);
    assert!(keys(&mut fixture, work).is_empty());
    // A key that is down when composing ends comes up where it went down.
    fixture.state().input_key(KEY_A, true);
    input.disable();
    input.commit();
    fixture.roundtrip(work);
    fixture.state().input_key(KEY_A, false);
    assert_eq!(method.keys(&mut fixture), [(KEY_A, true), (KEY_A, false)]);
    fixture.state().input_key(KEY_A, true);
    assert_eq!(keys(&mut fixture, work), [(KEY_A, true)]);
    enable(&mut fixture, work, &input, "abc");
    fixture.state().input_key(KEY_A, false);
    assert_eq!(keys(&mut fixture, work), [(KEY_A, false)]);
    assert!(method.keys(&mut fixture).is_empty());
    // Without the grab the keys are the application's.
    grab.release();
    fixture.roundtrip(method.who);
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_key(KEY_A, false);
    assert_eq!(keys(&mut fixture, work).len(), 2);
}

#[test]
fn a_key_that_the_input_method_holds_does_not_come_along_to_another_vm() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (method, (work, _), (web, second)) = composing(&mut fixture);
    let _grab = method.grab(&mut fixture);
    fixture.state().input_key(KEY_A, true);
    click_window(&mut fixture, "web");
    // It would have repeated the key.
    assert_eq!(method.keys(&mut fixture), [(KEY_A, true), (KEY_A, false)]);
    enable(&mut fixture, web, &second, "z");
    fixture.state().input_key(KEY_A, false);
    assert!(method.keys(&mut fixture).is_empty());
    assert!(keys(&mut fixture, web).is_empty() && keys(&mut fixture, work).is_empty());
    assert_eq!(fixture.client(web).told.held, 0);
}

#[test]
fn a_modifier_that_came_up_at_the_input_method_is_not_down_for_the_application() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (method, (_, _), (web, _)) = composing(&mut fixture);
    let _grab = method.grab(&mut fixture);
    fixture.state().input_key(SHIFT, true);
    click_window(&mut fixture, "web");
    fixture.roundtrip(web);
    assert_eq!(fixture.client(web).told.modifiers, 1);
    fixture.state().input_key(SHIFT, false);
    fixture.roundtrip(web);
    assert_eq!(method.keys(&mut fixture), [(SHIFT, true), (SHIFT, false)]);
    assert_eq!(fixture.client(web).told.modifiers, 0);
}

#[test]
fn the_grab_ends_with_its_program_and_nobody_gets_the_rest_of_a_key() {
    let mut fixture = Fixture::new();
    let (method, (work, _), _) = composing(&mut fixture);
    let _grab = method.grab(&mut fixture);
    fixture.state().input_key(SHIFT, true);
    fixture.state().input_key(KEY_A, true);
    // A misuse ends the client at once.
    fixture.client(method.who).surface().set_buffer_scale(0);
    fixture.wait("the end of the connection", |fixture| fixture.client(method.who).ended());
    fixture.wait("the modifiers", |fixture| fixture.client(work).told.modifiers == 1);
    fixture.state().input_key(KEY_A, false);
    fixture.state().input_key(SHIFT, false);
    assert!(keys(&mut fixture, work).is_empty());
    assert_eq!(fixture.client(work).told.modifiers, 0);
    fixture.state().input_key(KEY_A, true);
    assert_eq!(keys(&mut fixture, work), [(KEY_A, true)]);
}

fn content(fixture: &mut Fixture, vm: &str) -> Rectangle<i32, Physical> {
    fixture.report().into_iter().find(|window| window.vm == vm).unwrap().content
}

#[test]
fn a_popup_of_the_input_method_stands_below_the_cursor_in_the_colour_of_local_windows() {
    for scale in [1.0, 1.5] {
        let mut fixture = Fixture::sized(900, 600, scale);
        let (method, (work, input), _) = composing(&mut fixture);
        let (surface, _popup) = method.popup(&mut fixture, 80, 30);
        input.set_cursor_rectangle(20, 10, 2, 16);
        input.commit();
        fixture.roundtrip(work);
        let placed = fixture.state().comp.method_popups()[0].rects;
        let (content, ring) = (content(&mut fixture, "work"), placed.ring.unwrap());
        let physical = |length: f64| (length * scale).round() as i32;
        let corner = (content.loc.x + physical(20.0), content.loc.y + physical(26.0));
        assert_eq!(placed.content.loc.x, corner.0);
        assert_eq!(ring.loc.y, corner.1);
        assert_eq!((placed.content.size.w, placed.content.size.h), (physical(80.0), physical(30.0)));
        let screen = fixture.screenshot();
        screen.assert_ring(LOCAL, ring, physical(2.0));
        // At its edges what is drawn larger fades into its backing.
        let inside =
            Rectangle::new(placed.content.loc + Point::from((2, 2)), placed.content.size - (4, 4).into());
        screen.assert_solid("the popup", WHITE, inside);
        // The cursor as seen from the popup, whose ring is between them.
        assert_eq!(method.log(&mut fixture).last().unwrap(), "cursor 0 -18 2 16");
        // It is clicked like any other, and the window keeps the keyboard.
        fixture.client(method.who).listen();
        fixture.roundtrip(method.who);
        fixture.click(placed.content.loc.x + physical(10.0), placed.content.loc.y + physical(5.0));
        fixture.roundtrip(method.who);
        let pointer = fixture.client(method.who).told.pointer.clone();
        assert_eq!(pointer.map(|(surface, ..)| surface), Some(surface));
        assert!(fixture.report().iter().any(|window| window.vm == "work" && window.focused));
        // It is gone with the field.
        input.disable();
        input.commit();
        fixture.roundtrip(work);
        assert!(fixture.state().comp.method_popups().is_empty());
        fixture.state().input_pointer_motion(0.0, 0.0);
        fixture.screenshot().assert_solid("the window", BLUE, ring);
    }
}

#[test]
fn a_popup_of_the_input_method_covers_neither_stripe_nor_label() {
    let mut fixture = Fixture::new();
    let (method, (work, input), _) = composing(&mut fixture);
    // As large as can be, and wherever a client says that its cursor is.
    method.popup(&mut fixture, 2000, 2000);
    let window = fixture.report().into_iter().find(|window| window.vm == "work").unwrap();
    let before = fixture.screenshot();
    for (x, y, w, h) in [
        (0, 0, 1, 1),
        (-500, -500, 10, 10),
        (90, 90, 5, 5),
        (i32::MAX, i32::MAX, i32::MAX, i32::MAX),
        (i32::MIN, i32::MIN, i32::MAX, i32::MAX),
    ] {
        input.set_cursor_rectangle(x, y, w, h);
        input.commit();
        fixture.roundtrip(work);
        let placed = fixture.state().comp.method_popups()[0].rects;
        let stripe = fixture.state().comp.shell.layout().stripe();
        let label = Rectangle::new(
            window.frame.loc,
            (window.frame.size.w, window.content.loc.y - window.frame.loc.y).into(),
        );
        assert!(!placed.outer().overlaps(stripe) && !placed.outer().overlaps(label), "{placed:?}");
        let output = fixture.state().comp.output_rect();
        assert!(output.contains_rect(placed.outer()), "{placed:?}");
        let screen = fixture.screenshot();
        screen.assert_ring(LOCAL, placed.ring.unwrap(), 2);
        for y in label.loc.y..label.loc.y + label.size.h {
            for x in label.loc.x..label.loc.x + label.size.w {
                assert_eq!(screen.pixel(x, y), before.pixel(x, y), "the label at {x},{y}");
            }
        }
    }
    assert_eq!(before.pixel(window.frame.loc.x + 1, window.frame.loc.y + 1), WORK);
}

/// The keyboard goes to a menu of the application, and with it the text inputs.
#[test]
fn text_in_a_menu_is_composed_in_the_menu() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (method, (work, input), _) = composing(&mut fixture);
    click_window(&mut fixture, "work");
    fixture.roundtrip(work);
    method.popup(&mut fixture, 60, 20);
    let menu = fixture.client(work).create_menu(0, 150, 80, 120, 60);
    fixture.configured(work, menu, 0);
    fixture.client(work).draw(menu, 120, 60, WHITE);
    assert_eq!(words(&mut fixture, work), ["leave", "enter"]);
    assert_eq!(method.heard(&mut fixture), ["deactivate", "done"]);
    input.enable();
    input.set_cursor_rectangle(10, 5, 1, 10);
    input.commit();
    fixture.roundtrip(work);
    let placed = fixture.state().comp.method_popups()[0].rects;
    let content = content(&mut fixture, "work").loc;
    assert_eq!(placed.outer().loc.y, content.y + 80 + 15);
    assert_eq!(placed.content.loc.x, content.x + 150 + 10);
    fixture.screenshot().assert_ring(LOCAL, placed.ring.unwrap(), 2);
    let serial = method.done(&mut fixture);
    method.write(&mut fixture, "in the menu", serial);
    assert_eq!(words(&mut fixture, work), ["text in the menu", "done 2"]);
    // The menu closes, and with the next key the window has the keyboard again.
    let shown = &fixture.client(work).told.shown[menu];
    shown.popup.as_ref().unwrap().destroy();
    shown.xdg.destroy();
    fixture.roundtrip(work);
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_key(KEY_A, false);
    assert_eq!(words(&mut fixture, work), ["leave", "enter"]);
    let heard = method.heard(&mut fixture);
    assert_eq!(heard[heard.len() - 2..], ["deactivate", "done"]);
    assert!(fixture.state().comp.method_popups().is_empty());
}

#[test]
fn a_surface_with_another_role_becomes_no_popup_of_the_input_method() {
    let mut fixture = Fixture::new();
    let method = start(&mut fixture);
    let window = fixture.window(method.who, 100, 50, BLUE);
    let client = fixture.client(method.who);
    let surface = client.told.shown[window].surface.clone();
    method.object.get_input_popup_surface(&surface, &client.queue, ());
    fixture.wait("the end of the connection", |fixture| fixture.client(method.who).ended());
    assert_eq!(
        fixture.client(method.who).error().map(|error| error.0).as_deref(),
        Some("zwp_input_method_v2")
    );
    // Another one may come.
    assert!(start(&mut fixture).heard(&mut fixture).is_empty());
}

#[test]
fn keys_in_the_overlay_are_not_the_input_methods_and_it_knows_the_modifiers_afterwards() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (method, (work, _), _) = composing(&mut fixture);
    let _grab = method.grab(&mut fixture);
    let (tab, escape) = (15, 1);
    // A key that the input method has comes up there, also while the overlay is shown.
    for (key, pressed) in [(KEY_Q, true), (LOGO, true), (tab, true), (tab, false), (KEY_Q, false)] {
        fixture.state().input_key(key, pressed);
    }
    assert_eq!(method.keys(&mut fixture), [(KEY_Q, true), (LOGO, true), (KEY_Q, false)]);
    method.log(&mut fixture);
    for (key, pressed) in [(KEY_A, true), (KEY_A, false), (SHIFT, true)] {
        fixture.state().input_key(key, pressed);
    }
    assert!(method.keys(&mut fixture).is_empty() && method.log(&mut fixture).is_empty());
    // The overlay is gone, and shift is still down; its release was kept with its press.
    fixture.state().input_key(escape, true);
    fixture.state().input_key(escape, false);
    assert_eq!(method.log(&mut fixture), ["modifiers 65"]);
    fixture.state().input_key(SHIFT, false);
    assert_eq!(method.log(&mut fixture), ["modifiers 64"]);
    fixture.state().input_key(LOGO, false);
    assert_eq!(method.keys(&mut fixture), [(LOGO, false)]);
    assert_eq!(method.log(&mut fixture), ["modifiers 0"]);
    assert!(keys(&mut fixture, work).is_empty());
}
