//! Windows that have a whole output: the ring and the name are always there, the stripe whenever something is to be said, and the
//! user gets out whatever the client does.

use std::path::Path;
use std::time::Duration;

use smithay::utils::{Physical, Rectangle};
use vitrail::config::{Config, Live};
use vitrail::trust::origin::Origin;
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
use wayland_protocols::xdg::shell::client::xdg_toplevel::State as Told;

use crate::fixture::{Fixture, LOCAL, Screen, WEB, WORK, Who, vm};
use crate::layer_shell;
use crate::xray::{holds, shown};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];
const META: u32 = 125;
const ESCAPE: u32 = 1;

/// A compositor whose `work` may have the whole output.
fn real(size: (i32, i32), scale: f64, more: &str) -> Fixture {
    let text = format!(
        "[background]\npicture = 'none'\nhint = false\n[animation]\nenabled = false\n\
         [theme]\nfullscreen_flash = 500\n[local]\ncolor = '#5f6368'\n\
         [vm.work]\nlabel = 'Work'\ncolor = '#2e7d32'\nfullscreen = 'real'\n\
         protocols = {{ allow = ['zwp_keyboard_shortcuts_inhibit_manager_v1'] }}\n\
         [vm.web]\nlabel = 'Web'\ncolor = '#c62828'\n{more}"
    );
    let config = Config::parse(Path::new("test.toml"), &text).unwrap();
    Fixture::with(Live::fixed(config), size, scale)
}

/// A window that goes into fullscreen and fills what it is given with one colour.
fn fullscreen(fixture: &mut Fixture, name: &str) -> (Who, usize) {
    let who = fixture.connect(if name == "local" { Origin::Local } else { vm(name) });
    fixture.client(who).listen();
    let window = fixture.window(who, 200, 100, BLUE);
    let before = fixture.client(who).configures(window).len();
    fixture.client(who).told.shown[window].toplevel.as_ref().unwrap().set_fullscreen(None);
    fixture.configured(who, window, before);
    let (w, h) = fixture.client(who).configures(window).last().unwrap().size;
    fixture.client(who).draw(window, w, h, BLUE);
    fixture.roundtrip(who);
    (who, window)
}

fn is_away(fixture: &mut Fixture) -> bool {
    let shell = &fixture.state().comp.shell;
    shell.is_retreated(shell.outputs().active().id)
}

/// Waits until the stripe has gone.
#[track_caller]
fn settle(fixture: &mut Fixture) -> Screen {
    fixture.wait("the stripe's going", is_away);
    shown(fixture)
}

fn whole(fixture: &mut Fixture) -> Rectangle<i32, Physical> {
    fixture.state().comp.shell.layout().whole()
}

/// The stripe is over the window, in the colour of a VM.
#[track_caller]
fn assert_stripe(fixture: &mut Fixture, color: [u8; 4], what: &str) {
    assert!(!is_away(fixture), "{what}: the stripe is away");
    let screen = shown(fixture);
    let stripe = fixture.state().comp.shell.layout().stripe();
    let ends = Rectangle::new(stripe.loc, (2, stripe.size.h - 2).into());
    screen.assert_solid(what, color, ends);
    assert!(!holds(&screen, BLUE) || screen.other_than(BLUE, stripe).is_some());
    let pixels = (stripe.loc.x..stripe.loc.x + stripe.size.w).filter(|x| screen.pixel(*x, 5) == BLUE);
    assert_eq!(pixels.count(), 0, "{what}: content is over the stripe");
}

#[test]
fn the_ring_and_the_name_are_there_at_every_scale_and_the_rest_is_the_windows() {
    for scale in [1.0, 1.25, 1.5, 2.0] {
        let size = |length: f64| (length * scale) as i32;
        let mut fixture = real((size(800.0), size(600.0)), scale, "");
        fullscreen(&mut fixture, "work");
        let screen = settle(&mut fixture);
        let output = whole(&mut fixture);
        let border = fixture.state().comp.shell.layout().metrics.scaled(scale).border;
        assert!(border >= 3);
        screen.assert_ring(WORK, output, border);
        let frame = fixture.state().comp.shell.layout().whole_frame();
        // The tab has solid colour around the name, and the name is on it.
        screen.assert_solid(
            "the tab",
            WORK,
            Rectangle::new(frame.tab.loc, (border, frame.tab.size.h).into()),
        );
        let white = (frame.row.loc.x..frame.row.loc.x + frame.row.size.w / 2)
            .any(|x| screen.pixel(x, frame.row.loc.y + frame.row.size.h / 2) == [255; 4]);
        assert!(white, "scale {scale}: the chip");
        let below = frame.tab.loc.y + frame.tab.size.h;
        assert_eq!(screen.pixel(frame.content.loc.x + 5, below + 5), BLUE, "scale {scale}");
        assert_eq!(screen.pixel(frame.content.loc.x + 9, frame.content.loc.y + 3), BLUE, "scale {scale}");
    }
}

#[test]
fn a_vm_of_which_nothing_is_said_is_inside_its_frame_and_one_that_may_not_is_not_told_otherwise() {
    let mut fixture = real((800, 600), 1.0, "fullscreen = 'deny'\n");
    let (web, window) = fullscreen(&mut fixture, "web");
    let state = fixture.client(web).configures(window).last().unwrap().clone();
    assert!(!state.states.contains(&Told::Fullscreen), "{state:?}");
    assert!(state.size.0 < 400, "{state:?}");
    fixture.chord(&["leftmeta", "f"]);
    fixture.roundtrip(web);
    let state = fixture.client(web).configures(window).last().unwrap().clone();
    assert!(!state.states.contains(&Told::Fullscreen), "by the user's hand neither: {state:?}");
    fullscreen(&mut fixture, "local");
    fixture.roundtrip(web);
    let local = fixture.report().into_iter().find(|window| window.vm == "local").unwrap();
    assert_eq!(local.frame.loc.y, 24, "framed is what is not said");
    assert!(!is_away(&mut fixture));
}

#[test]
fn the_default_of_all_vms_is_configured_too() {
    let config = |text: &str| Config::parse(Path::new("v.toml"), text).unwrap();
    let rule = |text: &str, origin: &Origin| config(text).fullscreen_rule(origin);
    use vitrail::config::FullscreenRule::{Deny, Framed, Real};
    let text = "[defaults]\nfullscreen = 'real'\n[vm.a]\ncolor = '#112233'\n[vm.b]\ncolor = '#aa2233'\nfullscreen = 'deny'";
    assert_eq!(rule(text, &vm("a")), Real);
    assert_eq!(rule(text, &vm("b")), Deny);
    assert_eq!(rule(text, &Origin::Local), Real);
    assert_eq!(rule("[vm.a]\ncolor = '#112233'", &vm("a")), Framed);
    assert_eq!(rule("[local]\nfullscreen = 'deny'", &Origin::Local), Deny);
    let error = Config::parse(Path::new("v.toml"), "[defaults]\nfullscreen = 'always'").unwrap_err();
    assert!(error.one_line().starts_with("v.toml:2:"), "{}", error.one_line());
}

#[test]
fn the_label_is_shown_when_it_begins_when_the_focus_comes_and_when_the_pointer_moves_after_a_rest() {
    let mut fixture = real((800, 600), 1.0, "");
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, YELLOW);
    let (work, _) = fullscreen(&mut fixture, "work");
    let frame = fixture.report().into_iter().find(|window| window.vm == "work").unwrap().content;
    fixture.click(frame.loc.x + 300, frame.loc.y + 400);
    fixture.roundtrip(work);
    assert_stripe(&mut fixture, WORK, "the beginning");
    settle(&mut fixture);
    fixture.state().comp.input.rest_pointer(Duration::from_secs(4));
    fixture.state().input_pointer_motion_by(1.0, 1.0);
    fixture.turn();
    assert_stripe(&mut fixture, WORK, "the pointer");
    settle(&mut fixture);
    // Another VM gets the keyboard: its stripe is there as long as it has it.
    fixture.chord(&["leftalt", "tab"]);
    fixture.turn();
    assert_stripe(&mut fixture, WEB, "another VM");
    fixture.chord(&["leftalt", "tab"]);
    fixture.turn();
    assert_stripe(&mut fixture, WORK, "the focus");
    settle(&mut fixture);
}

#[test]
fn the_panel_and_the_xray_are_over_it_and_its_label_is_shown_after_them() {
    let mut fixture = real((800, 600), 1.0, "");
    fullscreen(&mut fixture, "work");
    settle(&mut fixture);
    fixture.chord(&["leftctrl", "leftalt", "delete"]);
    fixture.turn();
    assert!(!is_away(&mut fixture) && fixture.state().comp.is_attending());
    assert!(!holds(&shown(&mut fixture), BLUE));
    fixture.chord(&["esc"]);
    fixture.turn();
    assert_stripe(&mut fixture, WORK, "after the panel");
    settle(&mut fixture);
    for (key, pressed) in [("leftmeta", true), ("x", true)] {
        fixture.state().input_key(vitrail::ipc::keys::key(key).unwrap(), pressed);
    }
    fixture.turn();
    let screen = shown(&mut fixture);
    assert!(!holds(&screen, BLUE) && !is_away(&mut fixture));
    let output = whole(&mut fixture);
    let (left, below) = (Rectangle::new((0, 30).into(), (4, output.size.h - 30).into()), output.size.h - 4);
    screen.assert_solid("the ring", WORK, left);
    screen.assert_solid("the ring", WORK, Rectangle::new((0, below).into(), (output.size.w, 4).into()));
}

#[test]
fn the_chord_that_takes_the_input_back_leaves_it_whatever_the_client_inhibits() {
    let mut fixture = real((800, 600), 1.0, "");
    let (work, window) = fullscreen(&mut fixture, "work");
    settle(&mut fixture);
    let surface = fixture.client(work).told.shown[window].surface.clone();
    let client = fixture.client(work);
    let manager: ZwpKeyboardShortcutsInhibitManagerV1 = client.bind();
    manager.inhibit_shortcuts(&surface, &client.seat(), &client.queue, ());
    fixture.roundtrip(work);
    assert!(fixture.state().comp.shortcuts_inhibitor().is_some());
    fixture.client(work).told.keys.clear();
    fixture.chord(&["leftmeta", "esc"]);
    fixture.roundtrip(work);
    let keys = &fixture.client(work).told.keys;
    assert!(keys.iter().all(|(key, _)| *key == META && *key != ESCAPE), "{keys:?}");
    fixture.turn();
    assert!(!is_away(&mut fixture));
    let frame = fixture.report()[0].frame;
    assert!(frame.loc.y >= 24, "its whole label is there: {frame:?}");
    assert!(!fixture.client(work).configures(window).last().unwrap().states.contains(&Told::Fullscreen));
}

/// What is not the window's is not told to it, and what stands where the stripe was is.
#[test]
fn the_tab_is_the_compositors_and_the_stripes_place_is_the_windows_while_the_stripe_is_away() {
    let mut fixture = real((800, 600), 1.0, "");
    let (work, _) = fullscreen(&mut fixture, "work");
    settle(&mut fixture);
    fixture.state().input_pointer_motion(60.0, 12.0);
    fixture.roundtrip(work);
    settle(&mut fixture);
    let at = |fixture: &mut Fixture| {
        fixture.roundtrip(work);
        fixture.client(work).told.pointer.clone().map(|(_, x, y)| (x, y))
    };
    assert_eq!(at(&mut fixture), Some((56.0, 8.0)));
    let tab = fixture.state().comp.shell.layout().whole_frame().tab;
    fixture.state().input_pointer_motion(f64::from(tab.loc.x + 20), 12.0);
    assert_eq!(at(&mut fixture), None, "over the tab it is over nobody");
    let before = fixture.client(work).told.press;
    fixture.click(2, 300);
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.press, before, "a press on the ring");
}

#[test]
fn bars_and_windows_of_others_are_seen_or_covered_as_the_stripe_is() {
    let mut fixture = real((800, 600), 1.0, "");
    let local = fixture.connect(Origin::Local);
    layer_shell::show_bar(&mut fixture, local);
    fullscreen(&mut fixture, "work");
    let screen = settle(&mut fixture);
    assert!(!holds(&screen, YELLOW), "the bar is away with the stripe");
    // A window of another VM comes: it opens below, and the ring stays.
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, YELLOW);
    let screen = settle(&mut fixture);
    let output = whole(&mut fixture);
    screen.assert_ring(WORK, output, 4);
    assert!(!holds(&screen, YELLOW) && !holds(&screen, WEB));
    // A local window on top of it.
    fixture.window(local, 100, 60, YELLOW);
    let id = fixture.report().into_iter().find(|window| window.vm == "local").unwrap().id;
    fixture.state().comp.shell.activate(id);
    fixture.turn();
    assert_stripe(&mut fixture, LOCAL, "a window above it");
}

#[test]
fn a_reload_takes_the_output_away_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |rule: &str| {
        let text =
            format!("[animation]\nenabled = false\n[vm.work]\ncolor = '#2e7d32'\nfullscreen = '{rule}'\n");
        std::fs::write(file.path(), text).unwrap();
    };
    write("real");
    let mut fixture = Fixture::configured_as(Live::load(file.path()).unwrap());
    let (work, window) = fullscreen(&mut fixture, "work");
    assert_eq!(fixture.report()[0].frame, whole(&mut fixture));
    write("framed");
    assert!(fixture.state().reload());
    assert_eq!(fixture.report()[0].frame.loc.y, 24);
    fixture.roundtrip(work);
    let told = fixture.client(work).configures(window).last().unwrap().clone();
    assert!(told.states.contains(&Told::Fullscreen) && told.size.1 < 276, "{told:?}");
    write("deny");
    assert!(fixture.state().reload());
    fixture.roundtrip(work);
    let told = fixture.client(work).configures(window).last().unwrap().clone();
    assert!(!told.states.contains(&Told::Fullscreen) && told.states.contains(&Told::Maximized), "{told:?}");
}
