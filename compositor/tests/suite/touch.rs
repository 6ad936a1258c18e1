//! Fingers on the touch screen.

use vitrail::input::touch::MAX_FINGERS;
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_touch::{self, WlTouch};
use wayland_client::{Connection, Dispatch, QueueHandle};

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const NOTHING: [&str; 0] = [];

impl Dispatch<WlTouch, ()> for Told {
    fn event(
        told: &mut Self,
        _: &WlTouch,
        event: wl_touch::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use wl_touch::Event;
        told.log.push(match event {
            Event::Down { id, x, y, .. } => format!("down {id} {x} {y}"),
            Event::Motion { id, x, y, .. } => format!("motion {id} {x} {y}"),
            Event::Up { id, .. } => format!("up {id}"),
            Event::Frame => String::from("frame"),
            Event::Cancel => String::from("cancel"),
            _ => return,
        });
    }
}

/// A client with a window that listens to touches, and the window's content on the output.
struct Party {
    who: Who,
    window: usize,
    x: i32,
    y: i32,
}

impl Party {
    fn new(fixture: &mut Fixture, name: &str) -> Self {
        let who = fixture.connect(vm(name));
        let client = fixture.client(who);
        let seat = client.seat();
        seat.get_touch(&client.queue, ());
        seat.get_keyboard(&client.queue, ());
        let window = fixture.window(who, 200, 100, BLUE);
        let content = fixture.report().into_iter().find(|window| window.vm == name).unwrap().content;
        Self { who, window, x: content.loc.x, y: content.loc.y }
    }

    fn down(&self, fixture: &mut Fixture, finger: u32, x: i32, y: i32) {
        fixture.state().input_touch_down(finger, f64::from(self.x + x), f64::from(self.y + y));
        fixture.state().input_touch_frame();
    }

    fn motion(&self, fixture: &mut Fixture, finger: u32, x: i32, y: i32) {
        fixture.state().input_touch_motion(finger, f64::from(self.x + x), f64::from(self.y + y));
        fixture.state().input_touch_frame();
    }

    fn told(&self, fixture: &mut Fixture) -> Vec<String> {
        fixture.roundtrip(self.who);
        std::mem::take(&mut fixture.client(self.who).told.log)
    }
}

fn up(fixture: &mut Fixture, finger: u32) {
    fixture.state().input_touch_up(finger);
    fixture.state().input_touch_frame();
}

fn focused(fixture: &mut Fixture) -> Option<String> {
    fixture.report().into_iter().find(|window| window.focused).map(|window| window.vm)
}

#[test]
fn a_finger_comes_down_moves_and_is_lifted() {
    let mut fixture = Fixture::sized(1600, 1200, 2.0);
    let party = Party::new(&mut fixture, "work");
    party.down(&mut fixture, 0, 20, 30);
    party.motion(&mut fixture, 0, 50, 40);
    // It is this client's finger until it is lifted, also beside the window.
    party.motion(&mut fixture, 0, 50, -10);
    up(&mut fixture, 0);
    // Nobody has this one any more.
    party.motion(&mut fixture, 0, 50, 40);
    up(&mut fixture, 0);
    assert_eq!(
        party.told(&mut fixture),
        ["down 0 10 15", "frame", "motion 0 25 20", "frame", "motion 0 25 -5", "frame", "up 0", "frame"]
    );
}

#[test]
fn a_finger_on_another_vms_window_gives_it_the_focus_as_a_click_does() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = Party::new(&mut fixture, "work");
    let web = Party::new(&mut fixture, "web");
    assert_eq!(focused(&mut fixture).as_deref(), Some("work"));
    web.down(&mut fixture, 0, 20, 30);
    assert_eq!(focused(&mut fixture).as_deref(), Some("web"));
    assert_eq!(fixture.report().last().unwrap().vm, "web");
    fixture.roundtrip(web.who);
    assert!(fixture.client(web.who).told.keyboard.is_some());
    assert_eq!(web.told(&mut fixture), ["down 0 20 30", "frame"]);
    assert_eq!(work.told(&mut fixture), NOTHING);
}

#[test]
fn the_second_finger_is_not_told_to_the_vm_of_the_first() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = Party::new(&mut fixture, "work");
    let web = Party::new(&mut fixture, "web");
    work.down(&mut fixture, 0, 20, 30);
    web.down(&mut fixture, 1, 5, 6);
    web.motion(&mut fixture, 1, 7, 8);
    work.down(&mut fixture, 2, 40, 50);
    assert_eq!(work.told(&mut fixture), ["down 0 20 30", "frame", "down 2 40 50", "frame"]);
    assert_eq!(web.told(&mut fixture), ["down 1 5 6", "frame", "motion 1 7 8", "frame"]);
}

#[test]
fn a_finger_on_a_frame_or_a_hole_reaches_no_client() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let _work = Party::new(&mut fixture, "work");
    let web = Party::new(&mut fixture, "web");
    // The title bar is the compositor's, and a touch of it brings the window up.
    web.down(&mut fixture, 0, 20, -10);
    web.motion(&mut fixture, 0, 20, 30);
    up(&mut fixture, 0);
    assert_eq!(focused(&mut fixture).as_deref(), Some("web"));
    web.down(&mut fixture, 0, -2, 30);
    up(&mut fixture, 0);
    let client = fixture.client(web.who);
    let none = client.bind::<WlCompositor>().create_region(&client.queue, ());
    let surface = client.told.shown[web.window].surface.clone();
    surface.set_input_region(Some(&none));
    surface.commit();
    fixture.roundtrip(web.who);
    web.down(&mut fixture, 0, 20, 30);
    assert_eq!(web.told(&mut fixture), NOTHING);
    fixture.state().input_touch_down(1, 400.0, 2.0);
    fixture.state().input_touch_down(MAX_FINGERS, 400.0, 300.0);
    fixture.state().input_touch_down(2, f64::NAN, 300.0);
}

#[test]
fn fingers_that_were_none_are_taken_back() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = Party::new(&mut fixture, "work");
    let web = Party::new(&mut fixture, "web");
    work.down(&mut fixture, 0, 20, 30);
    work.down(&mut fixture, 1, 40, 30);
    web.down(&mut fixture, 2, 5, 6);
    fixture.state().input_touch_cancel();
    work.motion(&mut fixture, 0, 25, 35);
    up(&mut fixture, 0);
    for (party, fingers) in [(&work, 2), (&web, 1)] {
        let told = party.told(&mut fixture);
        assert_eq!(told.iter().filter(|line| line.starts_with("down")).count(), fingers);
        assert_eq!(told.iter().filter(|line| *line == "cancel").count(), 1);
        assert_eq!(told.last().map(String::as_str), Some("cancel"), "{told:?}");
    }
    // The fingers may come down again.
    work.down(&mut fixture, 0, 20, 30);
    assert_eq!(work.told(&mut fixture), ["down 0 20 30", "frame"]);
}

#[test]
fn a_menu_closes_when_a_finger_comes_down_beside_it() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    let client = fixture.client(party.who);
    client.seat().get_pointer(&client.queue, ());
    fixture.roundtrip(party.who);
    fixture.click(party.x + 10, party.y + 10);
    fixture.roundtrip(party.who);
    let popup = fixture.client(party.who).create_menu(party.window, 10, 10, 50, 50);
    fixture.configured(party.who, popup, 0);
    fixture.client(party.who).draw(popup, 50, 50, BLUE);
    fixture.roundtrip(party.who);
    party.down(&mut fixture, 0, 20, 20);
    up(&mut fixture, 0);
    fixture.roundtrip(party.who);
    assert!(!fixture.client(party.who).told.shown[popup].done, "a finger on the menu is for the menu");
    party.down(&mut fixture, 0, 150, 80);
    fixture.roundtrip(party.who);
    assert!(fixture.client(party.who).told.shown[popup].done);
}

#[test]
fn a_client_that_goes_with_fingers_on_it_is_its_own_loss() {
    for whole in [true, false] {
        let mut fixture = Fixture::sized(800, 600, 1.0);
        let work = Party::new(&mut fixture, "work");
        let web = Party::new(&mut fixture, "web");
        work.down(&mut fixture, 0, 20, 30);
        work.down(&mut fixture, 1, 40, 30);
        let client = fixture.client(work.who);
        if whole {
            let seat = client.seat();
            (0..200).for_each(|_| drop(seat.get_touch(&client.queue, ())));
            fixture.wait("the end of the connection", |fixture| fixture.client(work.who).ended());
        } else {
            let shown = &client.told.shown[work.window];
            shown.toplevel.as_ref().unwrap().destroy();
            shown.xdg.destroy();
            shown.surface.destroy();
            fixture.roundtrip(work.who);
        }
        work.motion(&mut fixture, 0, 25, 35);
        up(&mut fixture, 0);
        fixture.state().input_touch_cancel();
        web.down(&mut fixture, 0, 5, 6);
        assert_eq!(web.told(&mut fixture), ["down 0 5 6", "frame"]);
    }
}

/// What is under a finger when the session is locked must not learn where it goes on.
#[test]
fn a_lock_ends_the_fingers_that_are_down_as_if_they_had_not_been() {
    let mut fixture = Fixture::new();
    let party = Party::new(&mut fixture, "work");
    party.down(&mut fixture, 0, 20, 30);
    party.told(&mut fixture);
    let local = fixture.connect(Origin::Local);
    crate::session_lock::lock(&mut fixture, local);
    party.motion(&mut fixture, 0, 50, 40);
    up(&mut fixture, 0);
    party.down(&mut fixture, 1, 20, 30);
    up(&mut fixture, 1);
    let told = party.told(&mut fixture);
    assert_eq!(told.last().map(String::as_str), Some("cancel"), "{told:?}");
    assert!(told.iter().all(|line| !line.starts_with("up") && !line.contains(" 50 40")), "{told:?}");
}

fn frame(fixture: &mut Fixture) -> smithay::utils::Rectangle<i32, smithay::utils::Physical> {
    fixture.report()[0].frame
}

#[test]
fn a_finger_on_the_title_bar_moves_the_window_and_no_client_hears_of_it() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    let before = frame(&mut fixture);
    party.down(&mut fixture, 3, 60, -12);
    party.motion(&mut fixture, 3, 100, 18);
    assert_eq!(frame(&mut fixture).loc - before.loc, (40, 30).into());
    // The other hand neither moves it, nor does what it does reach anybody.
    fixture.state().input_pointer_motion(700.0, 500.0);
    party.down(&mut fixture, 5, 120, 80);
    party.motion(&mut fixture, 5, 125, 85);
    assert_eq!(frame(&mut fixture).loc - before.loc, (40, 30).into());
    up(&mut fixture, 5);
    up(&mut fixture, 3);
    party.motion(&mut fixture, 3, 300, 300);
    assert_eq!(frame(&mut fixture).loc - before.loc, (40, 30).into());
    let told = party.told(&mut fixture);
    assert!(!told.iter().any(|word| word.starts_with("down") || word.starts_with("motion")), "{told:?}");
}

#[test]
fn a_finger_at_an_edge_resizes_and_one_at_the_side_of_the_screen_drops_the_window_there() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    party.down(&mut fixture, 0, 202, 50);
    party.motion(&mut fixture, 0, 232, 60);
    fixture.roundtrip(party.who);
    let told = fixture.client(party.who).configures(party.window).last().unwrap().size;
    assert_eq!(told, (230, 100));
    up(&mut fixture, 0);
    party.down(&mut fixture, 0, 60, -12);
    fixture.state().input_touch_motion(0, 0.0, 300.0);
    up(&mut fixture, 0);
    let area = fixture.state().comp.shell.layout().work_area();
    assert_eq!(frame(&mut fixture).size, (400, area.size.h).into());
}

#[test]
fn two_touches_of_the_title_bar_maximise_and_with_the_logo_key_a_finger_moves_from_anywhere() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    let before = frame(&mut fixture);
    fixture.state().input_key(125, true);
    party.down(&mut fixture, 0, 100, 50);
    party.motion(&mut fixture, 0, 120, 50);
    up(&mut fixture, 0);
    fixture.state().input_key(125, false);
    assert_eq!(frame(&mut fixture).loc - before.loc, (20, 0).into());
    assert_eq!(party.told(&mut fixture), NOTHING);
    for _ in 0..2 {
        party.down(&mut fixture, 0, 80, -12);
        up(&mut fixture, 0);
    }
    assert_eq!(frame(&mut fixture), fixture.state().comp.shell.layout().work_area());
}

/// A finger held a window when the device took it for a palm, and when the window's program ended. The next finger is a new one.
#[test]
fn what_a_finger_holds_is_let_go_when_the_finger_or_the_window_is_gone() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    let before = frame(&mut fixture);
    party.down(&mut fixture, 0, 60, -12);
    fixture.state().input_touch_cancel();
    party.motion(&mut fixture, 0, 100, 50);
    assert_eq!(frame(&mut fixture), before);
    party.down(&mut fixture, 1, 60, -12);
    let shown = &fixture.client(party.who).told.shown[party.window];
    shown.toplevel.as_ref().unwrap().destroy();
    fixture.roundtrip(party.who);
    let other = Party::new(&mut fixture, "web");
    let there = frame(&mut fixture);
    other.motion(&mut fixture, 1, 200, 200);
    assert_eq!(frame(&mut fixture), there);
    up(&mut fixture, 1);
    other.down(&mut fixture, 1, 10, 10);
    assert_eq!(other.told(&mut fixture), ["down 1 10 10", "frame"]);
}
