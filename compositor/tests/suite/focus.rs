//! Who gets the keyboard, and what the pointer reaches.

use wayland_protocols::xdg::shell::client::xdg_toplevel::State;

use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const KEY_A: u32 = 30;

fn focused(fixture: &mut Fixture) -> Option<String> {
    fixture.report().into_iter().find(|window| window.focused).map(|window| window.vm)
}

fn content(fixture: &mut Fixture, vm: &str) -> (i32, i32) {
    let content = fixture.report().into_iter().find(|window| window.vm == vm).unwrap().content;
    (content.loc.x, content.loc.y)
}

/// Windows of two VMs; the first has the focus.
fn two(fixture: &mut Fixture) -> (Who, usize, Who, usize) {
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    let first = fixture.window(work, 200, 100, BLUE);
    let web = fixture.connect(vm("web"));
    fixture.client(web).listen();
    let second = fixture.window(web, 200, 100, BLUE);
    fixture.roundtrip(work);
    fixture.roundtrip(web);
    (work, first, web, second)
}

#[test]
fn the_first_window_gets_the_keyboard_after_its_first_buffer() {
    let mut fixture = Fixture::new();
    let client = fixture.connect(vm("work"));
    fixture.client(client).listen();
    let window = fixture.client(client).create_window();
    fixture.configured(client, window, 0);
    fixture.roundtrip(client);
    assert!(fixture.client(client).told.keyboard.is_none(), "no focus before the first buffer");
    let first = fixture.client(client).configures(window)[0].clone();
    assert!(!first.states.contains(&State::Activated));
    fixture.client(client).draw(window, 100, 50, BLUE);
    fixture.wait("the keyboard", |fixture| fixture.client(client).told.keyboard.is_some());
    fixture.configured(client, window, 1);
    let second = fixture.client(client).configures(window).last().unwrap().clone();
    assert!(second.states.contains(&State::Activated));
}

#[test]
fn a_new_window_of_another_vm_gets_neither_the_focus_nor_the_top() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, _, web, second) = two(&mut fixture);
    assert_eq!(focused(&mut fixture).as_deref(), Some("work"));
    assert!(fixture.client(work).told.keyboard.is_some());
    assert!(fixture.client(web).told.keyboard.is_none());
    let states = fixture.client(web).configures(second).last().unwrap().states.clone();
    assert!(!states.contains(&State::Activated));
    assert_eq!(fixture.report().last().unwrap().vm, "work");
}

#[test]
fn a_new_window_of_the_same_vm_gets_the_focus() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, BLUE);
    let other = fixture.connect(vm("work"));
    fixture.client(other).listen();
    fixture.window(other, 200, 100, BLUE);
    fixture.wait("the keyboard", |fixture| fixture.client(other).told.keyboard.is_some());
}

#[test]
fn a_click_gives_the_focus_and_raises() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, _, web, _) = two(&mut fixture);
    let (x, y) = content(&mut fixture, "web");
    fixture.click(x + 5, y + 6);
    fixture.wait("the keyboard", |fixture| fixture.client(web).told.keyboard.is_some());
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.keyboard.is_none());
    let report = fixture.report();
    assert_eq!(report.last().unwrap().vm, "web");
    let told = fixture.client(web).told.pointer.clone();
    assert_eq!(told.map(|(_, x, y)| (x, y)), Some((5.0, 6.0)));
}

/// The keyboard went to the window of whichever VM was next, and what was being typed with it.
#[test]
fn the_keyboard_stays_in_the_vm_when_its_window_closes_and_is_nobodys_after_the_last_until_the_user_gives_it()
{
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, first, web, _) = two(&mut fixture);
    let third = fixture.window(work, 100, 50, BLUE);
    assert_eq!(focused(&mut fixture).as_deref(), Some("work"));
    for (window, next) in [(third, Some("work")), (first, None)] {
        let shown = &fixture.client(work).told.shown[window];
        shown.toplevel.as_ref().unwrap().destroy();
        shown.xdg.destroy();
        shown.surface.destroy();
        fixture.roundtrip(work);
        assert_eq!(focused(&mut fixture).as_deref(), next);
    }
    fixture.window(web, 100, 50, BLUE);
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_key(KEY_A, false);
    fixture.roundtrip(web);
    let told = &fixture.client(web).told;
    assert!(told.keyboard.is_none() && told.keys.is_empty(), "{:?}", told.keys);
    assert!(fixture.report().iter().all(|window| window.vm == "web" && !window.focused));
    // By the keyboard alone: the first one of the list is there at once.
    fixture.chord(&["leftmeta", "tab"]);
    fixture.wait("the keyboard", |fixture| fixture.client(web).told.keyboard.is_some());
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_key(KEY_A, false);
    fixture.roundtrip(web);
    assert_eq!(fixture.client(web).told.keys, [(KEY_A, true), (KEY_A, false)]);
}

/// A splash screen that closes before the window that it announces does not cost an application the keyboard.
#[test]
fn a_vm_whose_last_window_has_gone_has_the_keyboard_again_with_its_next() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, first, _, _) = two(&mut fixture);
    fixture.client(work).told.shown[first].surface.attach(None, 0, 0);
    fixture.client(work).told.shown[first].surface.commit();
    fixture.roundtrip(work);
    assert_eq!(focused(&mut fixture), None);
    fixture.window(work, 100, 50, BLUE);
    assert_eq!(focused(&mut fixture).as_deref(), Some("work"));
}

/// What is typed on when a window takes a keyboard that nobody had: it is not for that window. A key whose press was kept back
/// stays so until it comes up; and nothing is kept back if the option says so.
#[test]
fn keys_that_are_being_typed_when_a_window_takes_the_free_keyboard_do_not_reach_it() {
    for (settle, reached) in [(5000, false), (0, true)] {
        let mut fixture = Fixture::written(&format!("[vm.web.input]\nsettle_ms = {settle}\n"));
        fixture.state().input_key(KEY_A, true);
        fixture.state().input_key(KEY_A, false);
        let web = fixture.connect(vm("web"));
        fixture.client(web).listen();
        fixture.window(web, 200, 100, BLUE);
        fixture.wait("the keyboard", |fixture| fixture.client(web).told.keyboard.is_some());
        fixture.state().input_key(KEY_A, true);
        fixture.state().input_key(KEY_A, false);
        fixture.roundtrip(web);
        assert_eq!(!fixture.client(web).told.keys.is_empty(), reached, "{settle}");
        // The hand that gives the keyboard away knows what it types.
        let (x, y) = content(&mut fixture, "web");
        fixture.chord(&["leftmeta", "n"]);
        fixture.chord(&["leftmeta", "tab"]);
        fixture.client(web).told.keys.clear();
        fixture.click(x + 5, y + 5);
        fixture.state().input_key(KEY_A, true);
        fixture.state().input_key(KEY_A, false);
        fixture.roundtrip(web);
        assert!(fixture.client(web).told.keys.contains(&(KEY_A, true)), "{settle}");
    }
}

/// A window of another VM that opens while one has the keyboard is beside it, not under the pointer, and marked.
#[test]
fn a_new_window_of_another_vm_opens_beside_what_is_used_and_is_marked() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, BLUE);
    let used = fixture.report()[0].frame;
    fixture
        .state()
        .input_pointer_motion(f64::from(used.loc.x + used.size.w + 60), f64::from(used.loc.y + 60));
    let web = fixture.connect(vm("web"));
    fixture.client(web).listen();
    fixture.window(web, 200, 100, BLUE);
    fixture.roundtrip(web);
    let opened = fixture.report().into_iter().find(|window| window.vm == "web").unwrap();
    assert!(!opened.frame.overlaps(used), "{:?} is over {used:?}", opened.frame);
    let pointer = fixture.state().comp.input.visible_pointer().unwrap();
    assert!(!opened.frame.contains(pointer) && fixture.client(web).told.pointer.is_none());
    let urgent = |fixture: &mut Fixture| fixture.state().comp.shell.find(|window| window.urgent).is_some();
    assert!(urgent(&mut fixture));
    let (x, y) = content(&mut fixture, "web");
    fixture.click(x + 5, y + 5);
    assert!(!urgent(&mut fixture), "the user has seen it");
}

#[test]
fn a_minimized_window_gives_up_the_focus_and_comes_back_by_the_key() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, first, _, _) = two(&mut fixture);
    fixture.client(work).told.shown[first].toplevel.as_ref().unwrap().set_minimized();
    fixture.roundtrip(work);
    assert_eq!(focused(&mut fixture), None, "no VM gives the keyboard to another one");
    assert_eq!(fixture.report().len(), 1);
    let (leftmeta, tab) = (125, 15);
    for (key, pressed) in [(leftmeta, true), (tab, true), (tab, false), (leftmeta, false)] {
        fixture.state().input_key(key, pressed);
    }
    assert_eq!(focused(&mut fixture).as_deref(), Some("work"));
}

#[test]
fn the_window_with_the_keyboard_alone_is_asked_to_close_by_the_key() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, first, web, other) = two(&mut fixture);
    let (leftmeta, q) = (125, 16);
    for (key, pressed) in [(leftmeta, true), (q, true), (q, false), (leftmeta, false)] {
        fixture.state().input_key(key, pressed);
    }
    fixture.wait("the request", |fixture| fixture.client(work).told.shown[first].asked_to_close);
    fixture.roundtrip(web);
    assert!(!fixture.client(web).told.shown[other].asked_to_close);
    assert!(fixture.client(work).told.keys.iter().all(|(key, _)| *key != q), "the client saw the key");
}

#[test]
fn an_empty_input_region_does_not_let_clicks_through_to_another_vm() {
    let mut fixture = Fixture::new();
    let (work, first, web, _) = two(&mut fixture);
    let compositor: wayland_client::protocol::wl_compositor::WlCompositor = fixture.client(work).bind();
    let queue = fixture.client(work).queue.clone();
    let empty = compositor.create_region(&queue, ());
    let surface = fixture.client(work).told.shown[first].surface.clone();
    surface.set_input_region(Some(&empty));
    fixture.client(work).draw(first, 380, 220, BLUE);
    fixture.roundtrip(work);
    let (x, y) = content(&mut fixture, "work");
    for (dx, dy) in [(5, 5), (190, 110), (370, 200)] {
        fixture.state().input_pointer_motion(f64::from(x + dx), f64::from(y + dy));
        fixture.roundtrip(web);
        assert!(fixture.client(web).told.pointer.is_none(), "at {dx},{dy}");
    }
}

#[test]
fn a_window_is_moved_by_its_title_bar() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, BLUE);
    let before = fixture.report()[0].frame;
    let state = fixture.state();
    state.input_pointer_motion(f64::from(before.loc.x + 150), f64::from(before.loc.y + 10));
    state.input_pointer_button(vitrail::input::pointer::BUTTON_LEFT, true);
    state.input_pointer_motion(f64::from(before.loc.x + 250), f64::from(before.loc.y + 60));
    state.input_pointer_button(vitrail::input::pointer::BUTTON_LEFT, false);
    let after = fixture.report()[0].frame;
    assert_eq!(after.loc, before.loc + smithay::utils::Point::from((100, 50)));
    assert_eq!(after.size, before.size);
}

#[test]
fn frame_callbacks_come_and_an_idle_compositor_draws_nothing() {
    let mut fixture = Fixture::new();
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 100, 50, BLUE);
    let queue = fixture.client(work).queue.clone();
    let surface = fixture.client(work).told.shown[window].surface.clone();
    surface.frame(&queue, ());
    surface.commit();
    fixture.wait("a frame callback", |fixture| fixture.client(work).told.frames == 1);
    fixture.wait("the last frame", |fixture| !fixture.state().comp.schedule.is_pending());
    let frames = fixture.state().comp.schedule.frames();
    fixture.roundtrip(work);
    assert!(!fixture.state().comp.schedule.is_pending(), "nothing is planned");
    assert_eq!(fixture.state().comp.schedule.frames(), frames);
}

#[test]
fn a_key_that_is_held_does_not_come_along_to_another_vm() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, _, web, _) = two(&mut fixture);
    fixture.state().input_key(KEY_A, true);
    let (x, y) = content(&mut fixture, "web");
    fixture.click(x + 3, y + 3);
    fixture.state().input_key(KEY_A, false);
    fixture.state().input_key(KEY_A, true);
    fixture.wait("the new key", |fixture| !fixture.client(web).told.keys.is_empty());
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).told.keys, [(KEY_A, true), (KEY_A, false)]);
    assert_eq!(fixture.client(web).told.held, 0);
    assert_eq!(fixture.client(web).told.keys, [(KEY_A, true)]);
}
