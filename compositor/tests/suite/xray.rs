//! While the key of the X-ray is held labels are all that is seen, and no client has a say in that or learns of it.

use proptest::prelude::*;
use smithay::utils::{Physical, Rectangle};
use vitrail::input::pointer::BUTTON_LEFT;
use vitrail::trust::origin::Origin;
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_pointer_constraints_v1::{
    Lifetime, ZwpPointerConstraintsV1,
};

use crate::fixture::{Fixture, LOCAL, Screen, WEB, WORK, Who, vm};
use crate::{layer_shell, relative_pointer, session_lock};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];
const META: u32 = 125;
const TAB: u32 = 15;
const X: u32 = 45;
const Z: u32 = 44;

/// Presses the chord and leaves it held.
fn hold(fixture: &mut Fixture) {
    fixture.state().input_key(META, true);
    fixture.state().input_key(X, true);
}

fn let_go(fixture: &mut Fixture) {
    fixture.state().input_key(X, false);
    fixture.state().input_key(META, false);
}

/// What is on the screen, frame by frame as it was drawn.
pub fn shown(fixture: &mut Fixture) -> Screen {
    fixture.wait("the last frame", |fixture| !fixture.state().comp.schedule.is_pending());
    Screen(fixture.state().backend.last_frame().unwrap())
}

pub fn holds(screen: &Screen, color: [u8; 4]) -> bool {
    screen.0.rgba.chunks_exact(4).any(|pixel| pixel == color)
}

fn window_of(fixture: &mut Fixture, name: &str) -> (Rectangle<i32, Physical>, Rectangle<i32, Physical>) {
    let window = fixture.report().into_iter().find(|window| window.vm == name).unwrap();
    (window.frame, window.content)
}

/// Nothing of what the test's clients draw is seen, and the window of `work` has its label.
#[track_caller]
fn assert_unmasked(fixture: &mut Fixture, what: &str) {
    let screen = shown(fixture);
    for color in [BLUE, YELLOW] {
        assert!(!holds(&screen, color), "{what}: {color:?} is seen");
    }
    let (frame, _) = window_of(fixture, "work");
    screen.assert_ring(WORK, frame, 4);
}

/// The picture of another VM's whole window, label and all, in a window that is large enough.
#[test]
fn a_perfect_picture_of_another_vms_label_is_told_from_the_label() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, YELLOW);
    let (real, _) = window_of(&mut fixture, "web");
    let before = fixture.screenshot();
    let mut bytes = Vec::new();
    for y in real.loc.y..real.loc.y + real.size.h {
        for x in real.loc.x..real.loc.x + real.size.w {
            let [r, g, b, a] = before.pixel(x, y);
            bytes.extend([b, g, r, a]);
        }
    }
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, real.size.w, real.size.h, BLUE);
    let buffer = fixture.client(work).buffer_of(&bytes, real.size.w, real.size.h);
    let surface = fixture.client(work).told.shown[window].surface.clone();
    surface.attach(Some(&buffer), 0, 0);
    surface.damage_buffer(0, 0, real.size.w, real.size.h);
    surface.commit();
    fixture.roundtrip(work);
    let (_, content) = window_of(&mut fixture, "work");
    let masked = shown(&mut fixture);
    masked.assert_ring(WEB, content, 4);
    hold(&mut fixture);
    let screen = shown(&mut fixture);
    let pixels = (content.loc.y..content.loc.y + content.size.h)
        .flat_map(|y| (content.loc.x..content.loc.x + content.size.w).map(move |x| (x, y)));
    let imitated = pixels.filter(|(x, y)| screen.pixel(*x, *y) == WEB && !real.contains((*x, *y)));
    assert_eq!(imitated.count(), 0, "the picture of a label is still there");
    let (frame, _) = window_of(&mut fixture, "work");
    screen.assert_ring(WORK, frame, 4);
    screen.assert_ring(WEB, real, 4);
    let_go(&mut fixture);
    assert_eq!(shown(&mut fixture).0, masked.0, "all is as before");
}

#[test]
fn the_labels_of_windows_that_others_cover_are_seen() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, YELLOW);
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, BLUE);
    let toplevel = fixture.client(work).told.shown[window].toplevel.clone().unwrap();
    let (frame, _) = window_of(&mut fixture, "work");
    fixture.click(frame.loc.x + 100, frame.loc.y + 100);
    let before = fixture.client(work).configures(window).len();
    toplevel.set_fullscreen(None);
    fixture.configured(work, window, before);
    fixture.client(work).draw(window, 800, 600, BLUE);
    fixture.roundtrip(work);
    let (covered, _) = window_of(&mut fixture, "web");
    assert!(!holds(&shown(&mut fixture), WEB), "the window is covered");
    hold(&mut fixture);
    assert_unmasked(&mut fixture, "fullscreen");
    // Both begin in the same corner, where the label of the one above is the one that is seen.
    let (x, y) = (covered.loc.x + 8, covered.loc.y + covered.size.h - 4);
    let bottom = Rectangle::new((x, y).into(), (covered.size.w - 8, 4).into());
    shown(&mut fixture).assert_solid("the lower edge", WEB, bottom);
}

fn contents() -> impl Strategy<Value = Vec<[u8; 4]>> {
    proptest::collection::vec(any::<[u8; 4]>().prop_map(|[r, g, b, _]| [r, g, b, 255]), 2..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// What is seen does not depend on a single pixel or letter of what clients show.
    #[test]
    fn the_picture_is_the_same_whatever_windows_show(colors in contents(), title in "[a-zA-Z ]{0,30}") {
        let mut seen: Option<Screen> = None;
        for color in colors {
            let mut fixture = Fixture::sized(800, 600, 1.0);
            let local = fixture.connect(Origin::Local);
            fixture.window(local, 200, 100, color);
            let work = fixture.connect(vm("work"));
            let window = fixture.window(work, 300, 200, color);
            let text = format!("{title}{color:?}");
            fixture.client(work).told.shown[window].toplevel.as_ref().unwrap().set_title(text);
            fixture.roundtrip(work);
            hold(&mut fixture);
            let screen = shown(&mut fixture);
            if let Some(other) = &seen {
                prop_assert!(other.0 == screen.0, "{:?}", color);
            }
            seen = Some(screen);
        }
    }
}

#[test]
fn what_changes_meanwhile_is_not_seen_and_windows_go_on_being_drawn() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, BLUE);
    hold(&mut fixture);
    let before = shown(&mut fixture);
    let surface = fixture.client(work).told.shown[window].surface.clone();
    for _ in 0..3 {
        let queue = fixture.client(work).queue.clone();
        let done = fixture.client(work).told.frames;
        surface.frame(&queue, ());
        fixture.client(work).draw(window, 200, 100, YELLOW);
        fixture.wait("a frame callback", |fixture| fixture.client(work).told.frames > done);
        assert_unmasked(&mut fixture, "a commit");
    }
    assert_eq!(shown(&mut fixture).0, before.0);
    let_go(&mut fixture);
    assert!(holds(&shown(&mut fixture), YELLOW));
}

/// Layers have no label, and could show a picture of one.
#[test]
fn layers_and_popups_are_not_seen_and_local_windows_have_the_local_label() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let local = fixture.connect(Origin::Local);
    layer_shell::show_bar(&mut fixture, local);
    fixture.window(local, 200, 100, YELLOW);
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 200, 100, BLUE);
    let (frame, content) = window_of(&mut fixture, "work");
    fixture.click(content.loc.x + 5, content.loc.y + 5);
    let mut rings = Vec::new();
    for (x, y) in [(10, 10), (180, 80)] {
        let popup = fixture.client(work).create_popup(window, x, y, 60, 50);
        fixture.configured(work, popup, 0);
        fixture.client(work).draw(popup, 60, 50, YELLOW);
        fixture.roundtrip(work);
    }
    let comp = &fixture.state().comp;
    for window in comp.shell.shown_top_down() {
        let popups = comp.popup_rects(window.handle.wl_surface());
        rings.extend(popups.into_iter().filter_map(|popup| popup.rects.ring));
    }
    assert_eq!(rings.len(), 1, "one of the two is inside its window");
    assert!(holds(&shown(&mut fixture), YELLOW));
    hold(&mut fixture);
    assert_unmasked(&mut fixture, "popups");
    let screen = shown(&mut fixture);
    screen.assert_ring(WORK, rings[0], 2);
    screen.assert_ring(WORK, frame, 4);
    let (frame, _) = window_of(&mut fixture, "local");
    screen.assert_ring(LOCAL, frame, 4);
}

/// A window of `work` that has the keyboard and may do everything.
pub fn grabbing() -> (Fixture, Who, usize) {
    let more = "[vm.work.protocols]\nallow = ['zwp_keyboard_shortcuts_inhibit_manager_v1']\n\
                [vm.work.input]\npointer_lock = \"allow\"\n";
    let mut fixture = Fixture::written(more);
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    let window = fixture.window(work, 300, 200, BLUE);
    let (_, content) = window_of(&mut fixture, "work");
    fixture.state().input_pointer_motion(f64::from(content.loc.x + 20), f64::from(content.loc.y + 20));
    fixture.roundtrip(work);
    (fixture, work, window)
}

/// What the client does to have the user's keys and pointer for itself.
pub fn grab(fixture: &mut Fixture, work: Who, window: usize, how: &str) {
    let surface = fixture.client(work).told.shown[window].surface.clone();
    match how {
        "inhibited shortcuts" => {
            let client = fixture.client(work);
            let manager: ZwpKeyboardShortcutsInhibitManagerV1 = client.bind();
            manager.inhibit_shortcuts(&surface, &client.seat(), &client.queue, ());
            fixture.roundtrip(work);
            assert!(fixture.state().comp.shortcuts_inhibitor().is_some());
        }
        "a locked pointer" => {
            let (pointer, _) = relative_pointer::listen(fixture.client(work));
            let client = fixture.client(work);
            let constraints: ZwpPointerConstraintsV1 = client.bind();
            constraints.lock_pointer(&surface, &pointer, None, Lifetime::Persistent, &client.queue, ());
            fixture.roundtrip(work);
            assert!(fixture.client(work).told.log.iter().any(|word| word == "locked"));
        }
        "a menu with a grab" => {
            fixture.state().input_pointer_button(BUTTON_LEFT, true);
            fixture.roundtrip(work);
            let menu = fixture.client(work).create_menu(window, 20, 20, 60, 50);
            fixture.configured(work, menu, 0);
            fixture.client(work).draw(menu, 60, 50, YELLOW);
            fixture.roundtrip(work);
            fixture.state().input_pointer_button(BUTTON_LEFT, false);
        }
        "a window that is moved" => {
            let (frame, _) = window_of(fixture, "work");
            fixture.state().input_pointer_motion(f64::from(frame.loc.x + 120), f64::from(frame.loc.y + 12));
            fixture.state().input_pointer_button(BUTTON_LEFT, true);
            fixture.state().input_pointer_motion_by(30.0, 30.0);
        }
        "the overlay of windows" => {
            fixture.state().input_key(META, true);
            fixture.state().input_key(TAB, true);
            fixture.state().input_key(TAB, false);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn nothing_that_a_client_or_the_user_does_meanwhile_keeps_it_from_the_screen() {
    for how in [
        "inhibited shortcuts",
        "a locked pointer",
        "a menu with a grab",
        "a window that is moved",
        "the overlay of windows",
    ] {
        let (mut fixture, work, window) = grabbing();
        grab(&mut fixture, work, window, how);
        fixture.roundtrip(work);
        fixture.client(work).told.keys.clear();
        fixture.client(work).told.log.clear();
        hold(&mut fixture);
        assert_unmasked(&mut fixture, how);
        let_go(&mut fixture);
        fixture.roundtrip(work);
        let keys = &fixture.client(work).told.keys;
        assert!(keys.iter().all(|(key, _)| *key == META), "{how}: {keys:?}");
        assert_eq!(fixture.client(work).told.log, [""; 0], "{how}");
        assert!(!fixture.state().comp.is_xray(), "{how}");
    }
}

#[test]
fn it_lasts_as_long_as_its_key_and_is_over_with_the_lock() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, BLUE);
    hold(&mut fixture);
    // The modifier may come up first.
    fixture.state().input_key(META, false);
    assert_unmasked(&mut fixture, "the key");
    fixture.state().input_key(X, false);
    assert!(holds(&shown(&mut fixture), BLUE));
    hold(&mut fixture);
    let locker = fixture.connect(Origin::Local);
    let lock = session_lock::lock(&mut fixture, locker);
    assert!(!fixture.state().comp.is_xray());
    let_go(&mut fixture);
    hold(&mut fixture);
    lock.unlock_and_destroy();
    fixture.roundtrip(locker);
    assert!(holds(&shown(&mut fixture), BLUE), "a locked session has none, and none comes with its end");
}

#[test]
fn its_chord_is_configured() {
    let mut fixture = Fixture::written("[keys]\n'logo+x' = 'none'\n'logo+z' = { hold = 'x-ray' }\n");
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, BLUE);
    hold(&mut fixture);
    assert!(holds(&shown(&mut fixture), BLUE));
    let_go(&mut fixture);
    fixture.state().input_key(META, true);
    fixture.state().input_key(Z, true);
    assert!(!fixture.state().comp.is_xray(), "it waits");
    fixture.wait("the X-ray", |fixture| fixture.state().comp.is_xray());
    assert_unmasked(&mut fixture, "held for long");
    fixture.state().input_key(Z, false);
    assert!(holds(&shown(&mut fixture), BLUE));
}
