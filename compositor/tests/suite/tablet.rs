//! The pen of a graphics tablet.

use vitrail::render::frame::FrameButton;
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum, delegate_noop, event_created_child};
use wayland_protocols::wp::tablet::zv2::client::zwp_tablet_manager_v2::ZwpTabletManagerV2;
use wayland_protocols::wp::tablet::zv2::client::zwp_tablet_pad_v2::ZwpTabletPadV2;
use wayland_protocols::wp::tablet::zv2::client::zwp_tablet_seat_v2::{self, ZwpTabletSeatV2};
use wayland_protocols::wp::tablet::zv2::client::zwp_tablet_tool_v2::{self, ZwpTabletToolV2};
use wayland_protocols::wp::tablet::zv2::client::zwp_tablet_v2::{self, ZwpTabletV2};

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};
use crate::hold::button;

const BLUE: [u8; 4] = [0, 0, 255, 255];
const NOTHING: [&str; 0] = [];

delegate_noop!(Told: ignore ZwpTabletManagerV2);
delegate_noop!(Told: ignore ZwpTabletPadV2);

impl Dispatch<ZwpTabletSeatV2, ()> for Told {
    fn event(
        _: &mut Self,
        _: &ZwpTabletSeatV2,
        _: zwp_tablet_seat_v2::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }

    event_created_child!(Told, ZwpTabletSeatV2, [
        zwp_tablet_seat_v2::EVT_TABLET_ADDED_OPCODE => (ZwpTabletV2, ()),
        zwp_tablet_seat_v2::EVT_TOOL_ADDED_OPCODE => (ZwpTabletToolV2, ()),
        zwp_tablet_seat_v2::EVT_PAD_ADDED_OPCODE => (ZwpTabletPadV2, ()),
    ]);
}

impl Dispatch<ZwpTabletV2, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpTabletV2,
        event: zwp_tablet_v2::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let zwp_tablet_v2::Event::Name { name } = event {
            told.log.push(format!("called {name}"));
        }
    }
}

impl Dispatch<ZwpTabletToolV2, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpTabletToolV2,
        event: zwp_tablet_tool_v2::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwp_tablet_tool_v2::Event;
        told.log.push(match event {
            Event::Type { tool_type: WEnum::Value(zwp_tablet_tool_v2::Type::Pen) } => String::from("pen"),
            Event::Capability { capability: WEnum::Value(capability) } => format!("has {capability:?}"),
            Event::ProximityIn { .. } => String::from("in"),
            Event::ProximityOut => String::from("out"),
            Event::Down { serial } => {
                told.press = serial;
                String::from("down")
            }
            Event::Up => String::from("up"),
            Event::Motion { x, y } => format!("motion {x} {y}"),
            Event::Pressure { pressure } => format!("pressure {pressure}"),
            Event::Frame { .. } => String::from("frame"),
            _ => return,
        });
    }
}

/// A client with a window that listens to tablets, and the window's content on the output.
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
        let (seat, manager) = (client.seat(), client.bind::<ZwpTabletManagerV2>());
        manager.get_tablet_seat(&seat, &client.queue, ());
        let window = fixture.window(who, size.0, size.1, BLUE);
        let content = fixture.report().into_iter().find(|window| window.vm == name).unwrap().content;
        Self { who, window, x: content.loc.x, y: content.loc.y }
    }

    fn near(&self, fixture: &mut Fixture, x: i32, y: i32) {
        fixture.state().input_tablet_in(f64::from(self.x + x), f64::from(self.y + y));
    }

    fn motion(&self, fixture: &mut Fixture, x: i32, y: i32, pressure: f64) {
        fixture.state().input_tablet_motion(f64::from(self.x + x), f64::from(self.y + y), pressure);
    }

    fn told(&self, fixture: &mut Fixture) -> Vec<String> {
        fixture.roundtrip(self.who);
        std::mem::take(&mut fixture.client(self.who).told.log)
    }
}

fn focused(fixture: &mut Fixture) -> Option<String> {
    fixture.report().into_iter().find(|window| window.focused).map(|window| window.vm)
}

#[test]
fn a_pen_comes_near_draws_and_goes() {
    let mut fixture = Fixture::sized(1600, 1200, 2.0);
    let party = Party::new(&mut fixture, "work");
    party.near(&mut fixture, 20, 30);
    assert_eq!(
        party.told(&mut fixture),
        ["called tablet", "pen", "has Pressure", "in", "motion 10 15", "frame"]
    );
    fixture.state().input_tablet_tip(true);
    party.motion(&mut fixture, 40, 30, 0.5);
    fixture.state().input_tablet_tip(false);
    fixture.state().input_tablet_out();
    // It is gone.
    party.motion(&mut fixture, 50, 50, 1.0);
    let told = party.told(&mut fixture);
    let told: Vec<&str> = told.iter().map(String::as_str).filter(|line| *line != "frame").collect();
    assert_eq!(told, ["motion 10 15", "down", "motion 20 15", "pressure 32768", "up", "motion 20 15", "out"]);
    // A client that asks later is told what there is.
    let other = Party::new(&mut fixture, "web");
    assert_eq!(other.told(&mut fixture), ["called tablet", "pen", "has Pressure"]);
}

#[test]
fn a_tip_on_another_vms_window_gives_it_the_focus_and_a_pen_near_it_does_not() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let _work = Party::new(&mut fixture, "work");
    let web = Party::new(&mut fixture, "web");
    web.near(&mut fixture, 20, 30);
    assert_eq!(focused(&mut fixture).as_deref(), Some("work"));
    fixture.state().input_tablet_tip(true);
    assert_eq!(focused(&mut fixture).as_deref(), Some("web"));
    assert!(web.told(&mut fixture).contains(&String::from("down")));
}

#[test]
fn a_stroke_that_leaves_its_window_is_not_told_to_another_vm() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let work = Party::new(&mut fixture, "work");
    let web = Party::new(&mut fixture, "web");
    work.near(&mut fixture, 20, 30);
    fixture.state().input_tablet_tip(true);
    work.told(&mut fixture);
    web.told(&mut fixture);
    web.motion(&mut fixture, 20, 30, 0.5);
    let place = format!("motion {} {}", web.x + 20 - work.x, web.y + 30 - work.y);
    assert_eq!(work.told(&mut fixture), [place.as_str(), "pressure 32768", "frame"]);
    assert_eq!(web.told(&mut fixture), NOTHING);
    // Lifted there, the pen is over the other window.
    fixture.state().input_tablet_tip(false);
    assert_eq!(work.told(&mut fixture), ["up", "frame", "out", "frame"]);
    assert_eq!(web.told(&mut fixture), ["in", "motion 20 30", "frame"]);
}

#[test]
fn a_pen_on_a_frame_is_the_compositors() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let _work = Party::new(&mut fixture, "work");
    let web = Party::new(&mut fixture, "web");
    web.near(&mut fixture, 20, 30);
    web.told(&mut fixture);
    web.motion(&mut fixture, 20, -10, 0.0);
    assert_eq!(web.told(&mut fixture), ["out", "frame"]);
    fixture.state().input_tablet_tip(true);
    assert_eq!(focused(&mut fixture).as_deref(), Some("web"));
    fixture.state().input_tablet_tip(false);
    assert_eq!(web.told(&mut fixture), NOTHING);
    fixture.state().input_tablet_motion(f64::NAN, 0.0, 0.0);
    fixture.state().input_tablet_motion(400.0, 2.0, f64::INFINITY);
    fixture.state().input_tablet_in(f64::INFINITY, 0.0);
}

#[test]
fn a_client_that_goes_under_the_pen_or_listens_too_often_is_its_own_loss() {
    for whole in [true, false] {
        let mut fixture = Fixture::sized(800, 600, 1.0);
        let work = Party::new(&mut fixture, "work");
        let web = Party::new(&mut fixture, "web");
        work.near(&mut fixture, 20, 30);
        fixture.state().input_tablet_tip(true);
        work.told(&mut fixture);
        web.told(&mut fixture);
        let client = fixture.client(work.who);
        if whole {
            let (seat, manager) = (client.seat(), client.bind::<ZwpTabletManagerV2>());
            for _ in 0..200 {
                manager.get_tablet_seat(&seat, &client.queue, ());
            }
            fixture.wait("the end of the connection", |fixture| fixture.client(work.who).ended());
        } else {
            let shown = &client.told.shown[work.window];
            shown.toplevel.as_ref().unwrap().destroy();
            shown.xdg.destroy();
            shown.surface.destroy();
            fixture.roundtrip(work.who);
        }
        work.motion(&mut fixture, 25, 35, 1.0);
        fixture.state().input_tablet_tip(false);
        web.motion(&mut fixture, 5, 6, 0.0);
        assert_eq!(web.told(&mut fixture), ["in", "motion 5 6", "frame"]);
    }
}

/// The library forgot that a tip was down only if there was a client to tell: after one that had ended under the pen, the next
/// one was told of a tip that was lifted and had never come down, or never of one that did.
#[test]
fn a_tip_ends_with_the_client_that_it_was_down_on() {
    for lifted_over_the_next in [true, false] {
        let mut fixture = Fixture::sized(800, 600, 1.0);
        let work = Party::new(&mut fixture, "work");
        let web = Party::new(&mut fixture, "web");
        work.near(&mut fixture, 20, 30);
        fixture.state().input_tablet_tip(true);
        assert!(work.told(&mut fixture).contains(&String::from("down")));
        web.told(&mut fixture);
        let client = fixture.client(work.who);
        // A misuse ends the client at once.
        client.told.shown[work.window].surface.set_buffer_scale(0);
        fixture.wait("the end of the connection", |fixture| fixture.client(work.who).ended());
        fixture.wait("the end of the window", |fixture| fixture.report().len() == 1);
        if lifted_over_the_next {
            web.motion(&mut fixture, 5, 6, 0.0);
            fixture.state().input_tablet_tip(false);
            assert_eq!(web.told(&mut fixture), ["in", "motion 5 6", "frame"]);
        } else {
            fixture.state().input_tablet_out();
        }
        // The next stroke is as any other.
        web.near(&mut fixture, 5, 6);
        web.told(&mut fixture);
        fixture.state().input_tablet_tip(true);
        fixture.state().input_tablet_tip(false);
        let told = web.told(&mut fixture);
        let tips: Vec<&String> = told.iter().filter(|line| matches!(line.as_str(), "down" | "up")).collect();
        assert_eq!(tips, ["down", "up"]);
    }
}

/// weston's clients, when they meet the global of tablets, ask for the tablets of the seats that they know by then. With the
/// seat announced last, weston-tablet never heard of a pen.
#[test]
fn the_seat_is_announced_before_its_tablets() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let who = fixture.connect(vm("work"));
    let client = fixture.client(who);
    // Globals are announced in the order of their names.
    assert!(client.name_of("wl_seat") < client.name_of("zwp_tablet_manager_v2"));
}

#[test]
fn a_pen_on_a_frame_moves_and_resizes_the_window_and_no_client_hears_of_it() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    let frame = |fixture: &mut Fixture| fixture.report()[0].frame;
    let before = frame(&mut fixture);
    party.near(&mut fixture, 60, -12);
    fixture.state().input_tablet_tip(true);
    party.motion(&mut fixture, 100, 18, 0.5);
    assert_eq!(frame(&mut fixture).loc - before.loc, (40, 30).into());
    fixture.state().input_tablet_tip(false);
    party.motion(&mut fixture, 300, -200, 0.0);
    assert_eq!(frame(&mut fixture).loc - before.loc, (40, 30).into());
    let told = party.told(&mut fixture);
    assert!(!told.iter().any(|word| word == "down" || word == "up"), "{told:?}");
    // The window is forty pixels further, and thirty lower.
    party.near(&mut fixture, 242, 80);
    fixture.state().input_tablet_tip(true);
    party.motion(&mut fixture, 252, 80, 0.5);
    // A pen that is taken away lets go.
    fixture.state().input_tablet_out();
    party.near(&mut fixture, 300, 80);
    party.motion(&mut fixture, 300, 80, 0.0);
    fixture.roundtrip(party.who);
    let told = fixture.client(party.who).configures(party.window).to_vec();
    assert_eq!(told.last().unwrap().size, (210, 100), "what was asked for stands, drawn yet or not");
}

#[test]
fn a_pen_presses_the_buttons_of_a_frame() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    fixture.chord(&["leftmeta", "m"]);
    let frame = fixture.report()[0].frame;
    let maximised = fixture.state().comp.shell.layout().work_area();
    assert_eq!(frame, maximised);
    // The second button from the right.
    let at = (f64::from(frame.loc.x + frame.size.w - 4 - 36), f64::from(frame.loc.y + 14));
    fixture.state().input_tablet_in(at.0, at.1);
    fixture.state().input_tablet_tip(true);
    fixture.state().input_tablet_tip(false);
    assert_ne!(fixture.report()[0].frame, maximised);
    assert!(!party.told(&mut fixture).contains(&String::from("down")));
}

#[test]
fn a_client_that_asks_for_it_is_moved_by_the_pen_that_is_on_it() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::new(&mut fixture, "work");
    let before = fixture.report()[0].frame;
    party.near(&mut fixture, 20, 30);
    fixture.state().input_tablet_tip(true);
    assert!(party.told(&mut fixture).contains(&String::from("down")));
    let client = fixture.client(party.who);
    let (seat, press) = (client.seat(), client.told.press);
    let toplevel = client.told.shown[party.window].toplevel.clone().unwrap();
    toplevel._move(&seat, press);
    let told = party.told(&mut fixture);
    assert!(told.contains(&String::from("up")) && told.contains(&String::from("out")), "{told:?}");
    party.motion(&mut fixture, 50, 40, 0.5);
    assert_eq!(fixture.report()[0].frame.loc - before.loc, (30, 10).into());
    assert_eq!(party.told(&mut fixture), NOTHING);
    fixture.state().input_tablet_tip(false);
    // The pen is over the window again, and its tip is not down: the serial is worth nothing.
    assert!(party.told(&mut fixture).contains(&String::from("in")));
    toplevel._move(&seat, press);
    fixture.roundtrip(party.who);
    party.motion(&mut fixture, 80, 60, 0.0);
    assert_eq!(fixture.report()[0].frame.loc - before.loc, (30, 10).into());
}

#[test]
fn a_button_of_a_frame_is_done_when_the_pen_is_lifted_over_it() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let party = Party::sized(&mut fixture, "work", (340, 200));
    let place = button(&mut fixture, FrameButton::Close);
    let asked = |fixture: &mut Fixture| {
        fixture.roundtrip(party.who);
        fixture.client(party.who).told.shown[party.window].asked_to_close
    };
    let (x, y) = (f64::from(place.x), f64::from(place.y));
    fixture.state().input_tablet_in(x, y);
    fixture.state().input_tablet_tip(true);
    party.motion(&mut fixture, 50, 50, 0.5);
    fixture.state().input_tablet_tip(false);
    fixture.state().input_tablet_motion(x, y, 0.0);
    fixture.state().input_tablet_tip(true);
    fixture.state().input_tablet_out();
    fixture.state().input_tablet_in(x, y);
    assert!(!asked(&mut fixture), "a pen that was moved away, and one that was taken away");
    fixture.state().input_tablet_tip(true);
    assert!(!asked(&mut fixture));
    fixture.state().input_tablet_tip(false);
    fixture.wait("the request", asked);
}
