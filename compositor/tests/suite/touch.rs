//! Fingers on the touch screen.

use smithay::utils::{Physical, Point, Rectangle};
use vitrail::input::touch::MAX_FINGERS;
use vitrail::render::frame::FrameButton;
use vitrail::shell::window::Mode;
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_touch::{self, WlTouch};
use wayland_client::{Connection, Dispatch, QueueHandle};

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};
use crate::hold::button;

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
            Event::Down { serial, id, x, y, .. } => {
                told.press = serial;
                format!("down {id} {x} {y}")
            }
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
        Self::sized(fixture, name, (200, 100))
    }

    fn sized(fixture: &mut Fixture, name: &str, size: (i32, i32)) -> Self {
        let who = fixture.connect(vm(name));
        let client = fixture.client(who);
        let seat = client.seat();
        seat.get_touch(&client.queue, ());
        seat.get_keyboard(&client.queue, ());
        let window = fixture.window(who, size.0, size.1, BLUE);
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

/// A client that took a surface away was never told that the finger on it is none any more, and kept it for ever.
#[test]
fn a_finger_is_lifted_from_a_surface_that_is_taken_away_and_no_other_is() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = Party::new(&mut fixture, "work");
    let client = fixture.client(work.who);
    let parent = client.told.shown[work.window].surface.clone();
    let (child, _role) = client.subsurface(&parent);
    client.draw_on(&child, 50, 50, BLUE);
    parent.commit();
    fixture.roundtrip(work.who);
    work.down(&mut fixture, 0, 20, 30);
    work.down(&mut fixture, 1, 150, 30);
    work.told(&mut fixture);
    child.destroy();
    assert_eq!(work.told(&mut fixture), ["up 0", "frame"]);
    up(&mut fixture, 0);
    up(&mut fixture, 1);
    assert_eq!(work.told(&mut fixture), ["up 1", "frame"]);
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

fn frame(fixture: &mut Fixture) -> Rectangle<i32, Physical> {
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

fn touch(fixture: &mut Fixture, finger: u32, at: Point<i32, Physical>) {
    fixture.state().input_touch_down(finger, f64::from(at.x), f64::from(at.y));
}

/// A button did what it says as it was touched, so a finger that came down on it by mistake closed the window.
#[test]
fn a_button_of_a_frame_is_done_when_the_finger_is_lifted_over_it_and_shows_that_it_is_pressed() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::sized(&mut fixture, "work", (340, 200));
    let place = button(&mut fixture, FrameButton::Maximize);
    let mode = |fixture: &mut Fixture| fixture.state().comp.shell.focused().unwrap().mode;
    // Beside the picture on it.
    let ground = Rectangle::new(place - Point::from((8, 6)), (3, 3).into());
    let white = [255; 4];
    touch(&mut fixture, 0, place);
    assert_eq!(mode(&mut fixture), Mode::Floating);
    fixture.screenshot().assert_solid("pressed", white, ground);
    party.motion(&mut fixture, 0, 50, 50);
    assert!(
        fixture.screenshot().other_than(white, ground).is_some(),
        "what the finger is not over is not pressed"
    );
    up(&mut fixture, 0);
    assert_eq!(mode(&mut fixture), Mode::Floating, "the user thought better of it");
    // Neither is one done that was taken for a palm, whose end was lost, or that the other hand let go.
    touch(&mut fixture, 0, place);
    fixture.state().input_touch_cancel();
    up(&mut fixture, 0);
    touch(&mut fixture, 0, place);
    touch(&mut fixture, 0, (700, 500).into());
    up(&mut fixture, 0);
    touch(&mut fixture, 0, place);
    touch(&mut fixture, 1, place);
    up(&mut fixture, 1);
    fixture.click(place.x, place.y + 100);
    assert_eq!(mode(&mut fixture), Mode::Floating);
    up(&mut fixture, 0);
    assert_eq!(mode(&mut fixture), Mode::Maximized);
    assert_eq!(party.told(&mut fixture), NOTHING);
}

impl Party {
    fn asks_to_be_moved(&self, fixture: &mut Fixture, serial: u32) {
        let client = fixture.client(self.who);
        let seat = client.seat();
        client.told.shown[self.window].toplevel.as_ref().unwrap()._move(&seat, serial);
        fixture.roundtrip(self.who);
    }
}

/// Programs that draw a title bar of their own, or let themselves be moved by their toolbar, ask for it with the touch; they were
/// not moved.
#[test]
fn a_client_that_asks_for_it_is_moved_by_the_finger_that_is_on_it() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    let before = frame(&mut fixture);
    party.down(&mut fixture, 2, 20, 30);
    party.down(&mut fixture, 3, 120, 30);
    assert_eq!(party.told(&mut fixture), ["down 2 20 30", "frame", "down 3 120 30", "frame"]);
    let serial = fixture.client(party.who).told.press;
    party.motion(&mut fixture, 3, 121, 30);
    party.asks_to_be_moved(&mut fixture, serial);
    assert_eq!(party.told(&mut fixture), ["motion 3 121 30", "frame", "up 3", "frame"]);
    party.motion(&mut fixture, 3, 141, 40);
    assert_eq!(frame(&mut fixture).loc - before.loc, (20, 10).into());
    // The other finger is the client's still.
    party.motion(&mut fixture, 2, 21, 30);
    assert_eq!(party.told(&mut fixture).len(), 2);
    up(&mut fixture, 3);
    party.motion(&mut fixture, 3, 300, 300);
    assert_eq!(frame(&mut fixture).loc - before.loc, (20, 10).into());
    // Once lifted it moves nothing any more.
    party.asks_to_be_moved(&mut fixture, serial);
    party.motion(&mut fixture, 3, 60, 60);
    party.motion(&mut fixture, 2, 60, 60);
    assert_eq!(frame(&mut fixture).loc - before.loc, (20, 10).into());
}

#[test]
fn a_client_is_resized_by_the_finger_that_is_on_it() {
    use wayland_protocols::xdg::shell::client::xdg_toplevel::ResizeEdge;
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    party.down(&mut fixture, 0, 198, 98);
    fixture.roundtrip(party.who);
    let client = fixture.client(party.who);
    let (seat, press) = (client.seat(), client.told.press);
    let toplevel = client.told.shown[party.window].toplevel.clone().unwrap();
    toplevel.resize(&seat, press, ResizeEdge::BottomRight);
    fixture.roundtrip(party.who);
    party.motion(&mut fixture, 0, 228, 118);
    fixture.roundtrip(party.who);
    assert_eq!(fixture.client(party.who).configures(party.window).last().unwrap().size, (230, 120));
}

/// A serial says which press is meant, and is a number that can be guessed.
#[test]
fn the_finger_on_another_vms_window_and_a_window_in_the_users_hand_move_nothing_for_a_client() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = Party::new(&mut fixture, "work");
    let web = Party::new(&mut fixture, "web");
    let frames = |fixture: &mut Fixture| -> Vec<_> {
        fixture.report().into_iter().map(|window| (window.vm, window.frame)).collect()
    };
    work.down(&mut fixture, 0, 5, 95);
    fixture.roundtrip(work.who);
    let serial = fixture.client(work.who).told.press;
    let before = frames(&mut fixture);
    web.asks_to_be_moved(&mut fixture, serial);
    work.motion(&mut fixture, 0, 60, 60);
    assert_eq!(frames(&mut fixture), before);
    assert_eq!(work.told(&mut fixture).last().unwrap(), "frame", "its finger is on it still");
    // The user holds the other window with the pointer.
    let title = web.y - 12;
    fixture.state().input_pointer_motion(f64::from(web.x + 60), f64::from(title));
    fixture.state().input_pointer_button(vitrail::input::pointer::BUTTON_LEFT, true);
    work.asks_to_be_moved(&mut fixture, serial);
    work.motion(&mut fixture, 0, 90, 90);
    fixture.state().input_pointer_motion(f64::from(web.x + 70), f64::from(title));
    fixture.state().input_pointer_button(vitrail::input::pointer::BUTTON_LEFT, false);
    let after = frames(&mut fixture);
    let of = |frames: &[(String, Rectangle<i32, Physical>)], vm: &str| {
        frames.iter().find(|(of, _)| of == vm).unwrap().1
    };
    assert_eq!(of(&after, "work"), of(&before, "work"));
    assert_eq!(of(&after, "web").loc - of(&before, "web").loc, (10, 0).into());
}
