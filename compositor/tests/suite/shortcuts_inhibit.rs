//! Clients that want the compositor's own keys, and the user who takes them back.

use std::path::Path;

use vitrail::config::{Config, Live};
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibitor_v1::{
    self, ZwpKeyboardShortcutsInhibitorV1,
};

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};
use crate::visibility::compositor;

const BLUE: [u8; 4] = [0, 0, 255, 255];
const MANAGER: &str = "zwp_keyboard_shortcuts_inhibit_manager_v1";
const ESCAPE: u32 = 1;
const TAB: u32 = 15;
const Q: u32 = 16;
const LEFTMETA: u32 = 125;

delegate_noop!(Told: ignore ZwpKeyboardShortcutsInhibitManagerV1);

impl Dispatch<ZwpKeyboardShortcutsInhibitorV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpKeyboardShortcutsInhibitorV1,
        event: zwp_keyboard_shortcuts_inhibitor_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let active = matches!(event, zwp_keyboard_shortcuts_inhibitor_v1::Event::Active);
        told.words.push(String::from(if active { "active" } else { "inactive" }));
    }
}

/// A compositor whose `work` may inhibit the shortcuts.
fn allowing() -> Fixture {
    compositor(&format!("allow = [\"{MANAGER}\"]"))
}

/// A client with a window of one colour and a keyboard.
struct Party {
    who: Who,
    window: usize,
    name: &'static str,
}

impl Party {
    fn new(fixture: &mut Fixture, name: &'static str) -> Self {
        let who = fixture.connect(if name == "local" { Origin::Local } else { vm(name) });
        fixture.client(who).listen();
        let window = fixture.window(who, 100, 60, BLUE);
        Self { who, window, name }
    }

    fn surface(&self, fixture: &mut Fixture) -> WlSurface {
        fixture.client(self.who).told.shown[self.window].surface.clone()
    }

    fn inhibit(&self, fixture: &mut Fixture) -> ZwpKeyboardShortcutsInhibitorV1 {
        let surface = self.surface(fixture);
        let client = fixture.client(self.who);
        let manager: ZwpKeyboardShortcutsInhibitManagerV1 = client.bind();
        let inhibitor = manager.inhibit_shortcuts(&surface, &client.seat(), &client.queue, ());
        fixture.roundtrip(self.who);
        inhibitor
    }

    /// What it was told of its inhibitors since it was last asked for.
    fn told(&self, fixture: &mut Fixture) -> Vec<String> {
        fixture.roundtrip(self.who);
        std::mem::take(&mut fixture.client(self.who).told.words)
    }

    /// The keys that it was told of since it was last asked for, but for the logo key.
    fn keys(&self, fixture: &mut Fixture) -> Vec<(u32, bool)> {
        fixture.roundtrip(self.who);
        let mut keys = std::mem::take(&mut fixture.client(self.who).told.keys);
        keys.retain(|(key, _)| *key != LEFTMETA);
        keys
    }

    fn click(&self, fixture: &mut Fixture) {
        let content = fixture.report().into_iter().find(|window| window.vm == self.name).unwrap().content;
        fixture.click(content.loc.x + 5, content.loc.y + 5);
    }

    fn asked_to_close(&self, fixture: &mut Fixture) -> bool {
        fixture.roundtrip(self.who);
        fixture.client(self.who).told.shown[self.window].asked_to_close
    }
}

fn chord(fixture: &mut Fixture, key: u32) {
    for (key, pressed) in [(LEFTMETA, true), (key, true), (key, false), (LEFTMETA, false)] {
        fixture.state().input_key(key, pressed);
    }
}

fn focused(fixture: &mut Fixture) -> Option<String> {
    fixture.report().into_iter().find(|window| window.focused).map(|window| window.vm)
}

fn inhibited_by(fixture: &mut Fixture) -> Option<Origin> {
    fixture.state().comp.shortcuts_inhibitor()
}

#[test]
fn a_vm_inhibits_shortcuts_only_if_it_is_allowed_to_and_local_clients_always() {
    let mut fixture = allowing();
    for (origin, sees) in [(vm("work"), true), (vm("web"), false), (Origin::Local, true)] {
        let who = fixture.connect(origin.clone());
        assert_eq!(fixture.client(who).sees(MANAGER), sees, "{origin:?}");
    }
    let local = Party::new(&mut fixture, "local");
    local.inhibit(&mut fixture);
    assert_eq!(inhibited_by(&mut fixture), Some(Origin::Local));
}

#[test]
fn the_compositors_keys_go_to_a_window_that_inhibits_them_while_it_has_the_keyboard() {
    let mut fixture = allowing();
    let work = Party::new(&mut fixture, "work");
    let web = Party::new(&mut fixture, "web");
    assert_eq!(focused(&mut fixture).as_deref(), Some("work"));
    let inhibitor = work.inhibit(&mut fixture);
    assert_eq!(work.told(&mut fixture), ["active"]);
    assert_eq!(inhibited_by(&mut fixture), Some(vm("work")));
    chord(&mut fixture, TAB);
    chord(&mut fixture, Q);
    assert_eq!(work.keys(&mut fixture), [(TAB, true), (TAB, false), (Q, true), (Q, false)]);
    assert_eq!(focused(&mut fixture).as_deref(), Some("work"));
    assert!(!work.asked_to_close(&mut fixture));
    // Another window has the keyboard: the keys are the compositor's, and none is said to be inactive.
    web.click(&mut fixture);
    assert_eq!(inhibited_by(&mut fixture), None);
    chord(&mut fixture, Q);
    assert!(web.asked_to_close(&mut fixture) && web.keys(&mut fixture).is_empty());
    assert_eq!(work.told(&mut fixture), Vec::<String>::new());
    chord(&mut fixture, TAB);
    assert_eq!(focused(&mut fixture).as_deref(), Some("work"));
    // The inhibitor is in force again.
    assert_eq!(work.told(&mut fixture), ["active"]);
    chord(&mut fixture, TAB);
    assert_eq!(work.keys(&mut fixture), [(TAB, true), (TAB, false)]);
    inhibitor.destroy();
    fixture.roundtrip(work.who);
    assert_eq!(inhibited_by(&mut fixture), None);
    chord(&mut fixture, Q);
    assert!(work.asked_to_close(&mut fixture) && work.keys(&mut fixture).is_empty());
    assert_eq!(work.told(&mut fixture), Vec::<String>::new());
}

#[test]
fn one_key_gives_the_shortcuts_back_until_the_user_clicks_into_the_vm() {
    let mut fixture = allowing();
    let work = Party::new(&mut fixture, "work");
    let web = Party::new(&mut fixture, "web");
    work.inhibit(&mut fixture);
    work.told(&mut fixture);
    chord(&mut fixture, ESCAPE);
    assert_eq!(work.told(&mut fixture), ["inactive"]);
    assert_eq!(work.keys(&mut fixture), [], "no client sees that key");
    assert_eq!(inhibited_by(&mut fixture), None);
    // Neither the keyboard nor another inhibitor brings them back.
    chord(&mut fixture, TAB);
    assert_eq!(focused(&mut fixture).as_deref(), Some("web"));
    chord(&mut fixture, TAB);
    assert_eq!(focused(&mut fixture).as_deref(), Some("work"));
    assert_eq!(work.keys(&mut fixture), []);
    let again = Party::new(&mut fixture, "work");
    again.inhibit(&mut fixture);
    assert_eq!(inhibited_by(&mut fixture), None);
    assert_eq!(again.told(&mut fixture), Vec::<String>::new());
    let shown = &fixture.client(again.who).told.shown[again.window];
    shown.toplevel.as_ref().unwrap().destroy();
    shown.xdg.destroy();
    fixture.roundtrip(again.who);
    web.click(&mut fixture);
    work.click(&mut fixture);
    assert_eq!(work.told(&mut fixture), ["active"]);
    assert_eq!(inhibited_by(&mut fixture), Some(vm("work")));
    chord(&mut fixture, TAB);
    assert_eq!(work.keys(&mut fixture), [(TAB, true), (TAB, false)]);
}

#[test]
fn a_key_that_was_kept_is_kept_to_its_end_and_one_that_was_given_is_given_to_its_end() {
    let mut fixture = allowing();
    let work = Party::new(&mut fixture, "work");
    // Pressed before the shortcuts were inhibited.
    fixture.state().input_key(LEFTMETA, true);
    fixture.state().input_key(Q, true);
    let inhibitor = work.inhibit(&mut fixture);
    fixture.state().input_key(Q, false);
    assert_eq!(work.keys(&mut fixture), []);
    // Pressed while they were.
    fixture.state().input_key(Q, true);
    inhibitor.destroy();
    fixture.roundtrip(work.who);
    fixture.state().input_key(Q, false);
    assert_eq!(work.keys(&mut fixture), [(Q, true), (Q, false)]);
}

#[test]
fn a_surface_has_one_inhibitor_and_may_have_another_when_that_is_gone() {
    let mut fixture = allowing();
    let work = Party::new(&mut fixture, "work");
    work.inhibit(&mut fixture).destroy();
    work.inhibit(&mut fixture);
    assert_eq!(work.told(&mut fixture), ["active", "active"]);
    let surface = work.surface(&mut fixture);
    let client = fixture.client(work.who);
    let manager: ZwpKeyboardShortcutsInhibitManagerV1 = client.bind();
    manager.inhibit_shortcuts(&surface, &client.seat(), &client.queue, ());
    fixture.wait("the end of the connection", |fixture| fixture.client(work.who).ended());
    assert_eq!(fixture.client(work.who).error(), Some((MANAGER.to_owned(), 0)));
    fixture.wait("the end of its inhibitors", |fixture| {
        fixture.state().comp.protocols.shortcuts_inhibit.is_empty()
    });
    assert_eq!(inhibited_by(&mut fixture), None);
    let web = Party::new(&mut fixture, "web");
    fixture.chord(&["leftmeta", "tab"]);
    chord(&mut fixture, Q);
    assert!(web.asked_to_close(&mut fixture));
}

#[test]
fn an_inhibitor_without_a_window_or_a_surface_does_nothing() {
    let mut fixture = allowing();
    let work = Party::new(&mut fixture, "work");
    let client = fixture.client(work.who);
    let bare = client.surface();
    let manager: ZwpKeyboardShortcutsInhibitManagerV1 = client.bind();
    let inhibitor = manager.inhibit_shortcuts(&bare, &client.seat(), &client.queue, ());
    fixture.roundtrip(work.who);
    assert_eq!(inhibited_by(&mut fixture), None);
    bare.destroy();
    fixture.roundtrip(work.who);
    inhibitor.destroy();
    work.inhibit(&mut fixture);
    assert_eq!(work.told(&mut fixture), ["active"]);
    // Its window goes out of sight, and nobody has the keyboard.
    let surface = work.surface(&mut fixture);
    surface.attach(None, 0, 0);
    surface.commit();
    fixture.roundtrip(work.who);
    assert_eq!((inhibited_by(&mut fixture), focused(&mut fixture)), (None, None));
    assert_eq!(work.told(&mut fixture), Vec::<String>::new());
    assert!(!fixture.client(work.who).ended());
}

#[test]
fn while_a_menu_has_the_keyboard_the_shortcuts_are_the_compositors() {
    let mut fixture = allowing();
    let work = Party::new(&mut fixture, "work");
    work.inhibit(&mut fixture);
    work.click(&mut fixture);
    fixture.roundtrip(work.who);
    let menu = fixture.client(work.who).create_menu(work.window, 5, 5, 30, 30);
    fixture.configured(work.who, menu, 0);
    fixture.client(work.who).draw(menu, 30, 30, BLUE);
    fixture.roundtrip(work.who);
    assert_eq!(inhibited_by(&mut fixture), None);
    chord(&mut fixture, ESCAPE);
    fixture.roundtrip(work.who);
    assert!(!fixture.client(work.who).ended());
}

#[test]
fn a_configured_chord_goes_to_a_window_that_inhibits_it_until_the_user_takes_it_back() {
    let text = format!(
        "[keys]\n\"ctrl+alt+x\" = {{ action = \"next-workspace\", repeat = true }}\n[vm.work]\ncolor = \"#2e7d32\"\n\
         [vm.work.protocols]\nallow = [\"{MANAGER}\"]\n"
    );
    let config = Config::parse(Path::new("test.toml"), &text).unwrap();
    let mut fixture = Fixture::configured_as(Live::fixed(config));
    let current = |fixture: &mut Fixture| fixture.state().comp.shell.workspaces().current();
    let work = Party::new(&mut fixture, "work");
    work.inhibit(&mut fixture);
    let (ctrl, alt, x, shift) = (29, 56, 45, 42);
    let all = |down: bool| [(ctrl, down), (alt, down), (x, down)];
    let press = |fixture: &mut Fixture| {
        for (key, pressed) in all(true).into_iter().chain(all(false)) {
            fixture.state().input_key(key, pressed);
            assert!(!pressed || key != x || current(fixture) == 1 || !fixture.state().is_repeating());
        }
    };
    press(&mut fixture);
    assert_eq!(current(&mut fixture), 0);
    assert!(work.keys(&mut fixture).contains(&(x, true)));
    // The overlay is not opened by a chord that is inhibited, either.
    chord(&mut fixture, TAB);
    assert_eq!(work.keys(&mut fixture), [(TAB, true), (TAB, false)]);
    // Whatever else is held.
    fixture.state().input_key(shift, true);
    chord(&mut fixture, ESCAPE);
    fixture.state().input_key(shift, false);
    assert!(!work.keys(&mut fixture).iter().any(|(key, _)| *key == ESCAPE));
    press(&mut fixture);
    assert_eq!(current(&mut fixture), 1);
    assert!(!work.keys(&mut fixture).contains(&(x, true)));
}
