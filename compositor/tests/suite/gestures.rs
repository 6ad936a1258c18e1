//! Gestures on a touchpad.

use vitrail::input::gesture::{Gesture, GestureStep};
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::wp::pointer_gestures::zv1::client::zwp_pointer_gesture_hold_v1::{
    self, ZwpPointerGestureHoldV1,
};
use wayland_protocols::wp::pointer_gestures::zv1::client::zwp_pointer_gesture_pinch_v1::{
    self, ZwpPointerGesturePinchV1,
};
use wayland_protocols::wp::pointer_gestures::zv1::client::zwp_pointer_gesture_swipe_v1::{
    self, ZwpPointerGestureSwipeV1,
};
use wayland_protocols::wp::pointer_gestures::zv1::client::zwp_pointer_gestures_v1::ZwpPointerGesturesV1;

use crate::client::Told;
use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

delegate_noop!(Told: ignore ZwpPointerGesturesV1);

impl Dispatch<ZwpPointerGestureSwipeV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpPointerGestureSwipeV1,
        event: zwp_pointer_gesture_swipe_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwp_pointer_gesture_swipe_v1::Event;
        told.log.push(match event {
            Event::Begin { fingers, .. } => format!("swipe begin {fingers}"),
            Event::Update { dx, dy, .. } => format!("swipe {dx} {dy}"),
            Event::End { cancelled, .. } => format!("swipe end {cancelled}"),
            _ => return,
        });
    }
}

impl Dispatch<ZwpPointerGesturePinchV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpPointerGesturePinchV1,
        event: zwp_pointer_gesture_pinch_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwp_pointer_gesture_pinch_v1::Event;
        told.log.push(match event {
            Event::Begin { fingers, .. } => format!("pinch begin {fingers}"),
            Event::Update { dx, dy, scale, rotation, .. } => format!("pinch {dx} {dy} {scale} {rotation}"),
            Event::End { cancelled, .. } => format!("pinch end {cancelled}"),
            _ => return,
        });
    }
}

impl Dispatch<ZwpPointerGestureHoldV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpPointerGestureHoldV1,
        event: zwp_pointer_gesture_hold_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwp_pointer_gesture_hold_v1::Event;
        told.log.push(match event {
            Event::Begin { fingers, .. } => format!("hold begin {fingers}"),
            Event::End { cancelled, .. } => format!("hold end {cancelled}"),
            _ => return,
        });
    }
}

/// A client with a window that listens to gestures, and the window's content on the output.
fn party(fixture: &mut Fixture, name: &str) -> (Who, i32, i32) {
    let who = fixture.connect(vm(name));
    let client = fixture.client(who);
    let pointer = client.seat().get_pointer(&client.queue, ());
    let gestures: ZwpPointerGesturesV1 = client.bind();
    gestures.get_swipe_gesture(&pointer, &client.queue, ());
    gestures.get_pinch_gesture(&pointer, &client.queue, ());
    gestures.get_hold_gesture(&pointer, &client.queue, ());
    fixture.window(who, 200, 100, BLUE);
    let content = fixture.report().into_iter().find(|window| window.vm == name).unwrap().content;
    (who, content.loc.x, content.loc.y)
}

fn told(fixture: &mut Fixture, who: Who) -> Vec<String> {
    fixture.roundtrip(who);
    let mut told = std::mem::take(&mut fixture.client(who).told.log);
    told.retain(|line| ["swipe", "pinch", "hold"].iter().any(|word| line.starts_with(word)));
    told
}

fn step(dx: f64, dy: f64, scale: f64, rotation: f64) -> GestureStep {
    GestureStep { delta: (dx, dy).into(), scale, rotation }
}

#[test]
fn gestures_reach_the_client_under_the_pointer_and_no_other() {
    let mut fixture = Fixture::sized(1600, 1200, 2.0);
    let (work, x, y) = party(&mut fixture, "work");
    let (web, _, _) = party(&mut fixture, "web");
    let state = fixture.state();
    state.input_pointer_motion(f64::from(x + 10), f64::from(y + 10));
    state.input_gesture_begin(Gesture::Swipe, 3);
    state.input_gesture_step(Gesture::Swipe, step(10.0, -4.0, 1.0, 0.0));
    state.input_gesture_end(Gesture::Swipe, false);
    state.input_gesture_begin(Gesture::Pinch, 2);
    state.input_gesture_step(Gesture::Pinch, step(0.0, 0.0, 1.5, -90.0));
    state.input_gesture_end(Gesture::Pinch, true);
    state.input_gesture_begin(Gesture::Hold, 4);
    state.input_gesture_end(Gesture::Hold, false);
    assert_eq!(
        told(&mut fixture, work),
        [
            "swipe begin 3",
            "swipe 5 -2",
            "swipe end 0",
            "pinch begin 2",
            "pinch 0 0 1.5 -90",
            "pinch end 1",
            "hold begin 4",
            "hold end 0"
        ]
    );
    assert_eq!(told(&mut fixture, web), Vec::<String>::new());
}

#[test]
fn a_gesture_is_taken_back_when_the_pointer_comes_to_another_vm_which_gets_no_part_of_it() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, x, y) = party(&mut fixture, "work");
    let (web, other_x, other_y) = party(&mut fixture, "web");
    let state = fixture.state();
    state.input_pointer_motion(f64::from(x + 10), f64::from(y + 10));
    state.input_gesture_begin(Gesture::Swipe, 3);
    state.input_pointer_motion(f64::from(other_x + 10), f64::from(other_y + 10));
    state.input_gesture_step(Gesture::Swipe, step(10.0, 0.0, 1.0, 0.0));
    state.input_gesture_end(Gesture::Swipe, false);
    assert_eq!(told(&mut fixture, work), ["swipe begin 3", "swipe end 1"]);
    assert_eq!(told(&mut fixture, web), Vec::<String>::new());
}

#[test]
fn a_client_that_goes_or_makes_too_many_objects_in_a_gesture_is_its_own_loss() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, x, y) = party(&mut fixture, "work");
    let (web, other_x, other_y) = party(&mut fixture, "web");
    fixture.state().input_pointer_motion(f64::from(x + 10), f64::from(y + 10));
    fixture.state().input_gesture_begin(Gesture::Pinch, 3);
    let client = fixture.client(work);
    let pointer = client.seat().get_pointer(&client.queue, ());
    let gestures: ZwpPointerGesturesV1 = client.bind();
    for _ in 0..200 {
        gestures.get_swipe_gesture(&pointer, &client.queue, ());
    }
    fixture.wait("the end of the connection", |fixture| fixture.client(work).ended());
    fixture.state().input_gesture_step(Gesture::Pinch, step(1.0, 1.0, f64::NAN, f64::MAX));
    fixture.state().input_gesture_end(Gesture::Pinch, false);
    fixture.state().input_pointer_motion(f64::from(other_x + 10), f64::from(other_y + 10));
    fixture.state().input_gesture_begin(Gesture::Hold, 3);
    assert_eq!(told(&mut fixture, web), ["hold begin 3"]);
}
