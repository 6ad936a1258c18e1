//! How far the pointer was pushed.

use vitrail::input::pointer::BUTTON_LEFT;
use wayland_client::protocol::wl_pointer::WlPointer;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1;
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_v1::{
    self, ZwpRelativePointerV1,
};

use crate::client::{Client, Told};
use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

delegate_noop!(Told: ignore ZwpRelativePointerManagerV1);

impl Dispatch<ZwpRelativePointerV1, ()> for Told {
    fn event(
        told: &mut Self,
        _: &ZwpRelativePointerV1,
        event: zwp_relative_pointer_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let zwp_relative_pointer_v1::Event::RelativeMotion { dx, dy, dx_unaccel, dy_unaccel, .. } = event {
            assert_eq!((dx, dy), (dx_unaccel, dy_unaccel));
            told.log.push(format!("step {dx} {dy}"));
        }
    }
}

/// Listens to steps of the pointer.
pub fn listen(client: &Client) -> (WlPointer, ZwpRelativePointerV1) {
    let pointer = client.seat().get_pointer(&client.queue, ());
    let manager: ZwpRelativePointerManagerV1 = client.bind();
    let relative = manager.get_relative_pointer(&pointer, &client.queue, ());
    (pointer, relative)
}

/// A window with the pointer 20 pixels from its corner, and the corner.
fn under_pointer(fixture: &mut Fixture) -> (Who, i32, i32) {
    let who = fixture.connect(vm("work"));
    listen(fixture.client(who));
    fixture.window(who, 200, 100, BLUE);
    let corner = fixture.report()[0].content.loc;
    fixture.state().input_pointer_motion(f64::from(corner.x + 20), f64::from(corner.y + 20));
    fixture.roundtrip(who);
    fixture.client(who).told.log.clear();
    (who, corner.x, corner.y)
}

#[test]
fn a_push_comes_in_the_same_frame_as_the_motion() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (who, _, _) = under_pointer(&mut fixture);
    fixture.state().input_pointer_motion_by(5.5, -3.0);
    fixture.roundtrip(who);
    assert_eq!(fixture.client(who).told.log, ["motion 25.5 17", "step 5.5 -3", "frame"]);
}

#[test]
fn a_move_to_a_place_tells_of_the_step_too_and_a_click_of_none() {
    let mut fixture = Fixture::sized(800, 600, 2.0);
    let (who, x, y) = under_pointer(&mut fixture);
    fixture.state().input_pointer_motion(f64::from(x + 30), f64::from(y + 24));
    fixture.roundtrip(who);
    // In logical pixels, as everything that clients are told.
    assert_eq!(fixture.client(who).told.log, ["motion 15 12", "step 5 2", "frame"]);
    fixture.client(who).told.log.clear();
    fixture.click(x + 30, y + 24);
    fixture.roundtrip(who);
    assert!(!fixture.client(who).told.log.iter().any(|line| line.starts_with("step")));
}

#[test]
fn a_push_against_the_edge_of_the_output_is_told_in_full() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (who, x, y) = under_pointer(&mut fixture);
    // The window is dragged halfway out on the left, so that its content reaches the edge.
    fixture.state().input_pointer_motion(f64::from(x + 150), f64::from(y - 10));
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.state().input_pointer_motion(50.0, f64::from(y - 10));
    fixture.state().input_pointer_button(BUTTON_LEFT, false);
    fixture.state().input_pointer_motion(10.0, f64::from(y + 20));
    fixture.roundtrip(who);
    fixture.client(who).told.log.clear();
    fixture.state().input_pointer_motion_by(-30.0, 0.0);
    fixture.roundtrip(who);
    assert_eq!(fixture.client(who).told.log, ["motion 100 20", "step -30 0", "frame"]);
}

#[test]
fn a_push_without_measure_leaves_the_pointer_on_the_output() {
    let mut fixture = Fixture::new();
    fixture.state().input_pointer_motion_by(f64::NAN, f64::INFINITY);
    fixture.state().input_pointer_motion_by(f64::MAX, 1e9);
    let pointer = fixture.state().comp.input.visible_pointer().unwrap();
    assert_eq!((pointer.x, pointer.y), (399, 299));
}

#[test]
fn only_the_client_under_the_pointer_is_told() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (who, _, _) = under_pointer(&mut fixture);
    let other = fixture.connect(vm("web"));
    listen(fixture.client(other));
    fixture.window(other, 200, 100, BLUE);
    fixture.state().input_pointer_motion_by(1.0, 1.0);
    fixture.roundtrip(who);
    fixture.roundtrip(other);
    assert!(fixture.client(who).told.log.contains(&String::from("step 1 1")));
    assert_eq!(fixture.client(other).told.log, Vec::<String>::new());
}

#[test]
fn objects_that_go_and_come_are_no_reason_to_end_a_client_and_too_many_are() {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("work"));
    for _ in 0..300 {
        let (pointer, relative) = listen(fixture.client(who));
        relative.destroy();
        pointer.release();
    }
    fixture.roundtrip(who);
    assert!(!fixture.client(who).ended());
    let other = fixture.connect(vm("web"));
    fixture.wait("the end of the connection", |fixture| {
        for _ in 0..20 {
            listen(fixture.client(who));
        }
        fixture.client(who).ended()
    });
    fixture.window(other, 100, 50, BLUE);
}
