//! Pictures of windows: what goes to the compositor, and what does not.

use vitrail_protocols::policy::Rules;
use vitrail_protocols::{Limits, Policy};

use crate::client::{Client, memory};
use crate::compositor::FIRST_SERVER_ID;
use crate::wire::Message;
use crate::{Vm, breach_in};

const FRAME: [&str; 4] = [
    "ext_image_copy_capture_frame_v1.0",
    "ext_image_copy_capture_frame_v1.1",
    "ext_image_copy_capture_frame_v1.2",
    "ext_image_copy_capture_frame_v1.3",
];
const SESSION: &str = "ext_image_copy_capture_manager_v1.0";
const ATTACH: u16 = 1;
const DAMAGE: u16 = 2;
const CAPTURE: u16 = 3;

/// A VM that may take pictures.
fn vm() -> Vm {
    let mut rules = Rules::default();
    for interface in [
        "ext_foreign_toplevel_list_v1",
        "ext_foreign_toplevel_image_capture_source_manager_v1",
        "ext_image_copy_capture_manager_v1",
    ] {
        rules.allow(interface).unwrap();
    }
    Vm::with(Limits::default(), Policy::new(&Rules::default(), &rules))
}

/// A source of the one window that the compositor lists.
fn source(client: &mut Client) -> u32 {
    client.bind("ext_foreign_toplevel_list_v1", 1);
    client.round_trip();
    let manager = client.bind("ext_foreign_toplevel_image_capture_source_manager_v1", 1);
    client.make(manager, 0, &[FIRST_SERVER_ID.cast_signed()])
}

fn session(client: &mut Client, source: u32) -> u32 {
    let manager = client.bind("ext_image_copy_capture_manager_v1", 1);
    client.make(manager, 0, &[source.cast_signed(), 0])
}

fn frame(client: &mut Client) -> u32 {
    let source = source(client);
    let session = session(client, source);
    client.make(session, 0, &[])
}

fn buffer(client: &mut Client) -> u32 {
    let pool = client.pool(memory(4096), 4096);
    client.make(pool, 0, &[0, 16, 16, 64, 0])
}

fn damage(frame: u32, [x, y, width, height]: [i32; 4]) -> Message {
    Message::new(frame, DAMAGE).ints(&[x, y, width, height])
}

#[test]
fn a_picture_of_an_own_window_is_asked_for_through_the_gate() {
    let vm = vm();
    let (mut client, requests) = vm.connect();
    let frame = frame(&mut client);
    let buffer = buffer(&mut client);
    client.send(Message::new(frame, ATTACH).uint(buffer));
    client.send(damage(frame, [0, 0, i32::MAX, i32::MAX]));
    // Nothing of it lies in any buffer.
    client.send(damage(frame, [i32::MAX, i32::MAX, 5, 5]));
    client.send(Message::new(frame, CAPTURE));
    client.send(Message::new(frame, 0));
    assert!(client.round_trip());
    assert_eq!(FRAME.map(|request| requests.count(request)), [1, 1, 1, 1]);
}

#[test]
fn a_buffer_without_memory_is_not_written_to() {
    let error = breach_in(&vm(), (FRAME[1], 0), |client, _| {
        let frame = frame(client);
        let pixels = client.bind("wp_single_pixel_buffer_manager_v1", 1);
        let pixel = client.make(pixels, 1, &[0, 0, 0, 0]);
        client.send(Message::new(frame, ATTACH).uint(pixel));
    });
    let text = "vitrail-gate: pictures are written to buffers of shared memory, nothing else";
    assert_eq!((error.code, error.message.as_str()), (1, text));
}

#[test]
fn damage_that_is_none_is_refused() {
    for bad in [[-1, 0, 1, 1], [0, -1, 1, 1], [0, 0, 0, 1], [0, 0, 1, i32::MIN]] {
        let error = breach_in(&vm(), (FRAME[2], 0), |client, _| {
            let frame = frame(client);
            client.send(damage(frame, bad));
        });
        assert_eq!(error.code, 2, "{bad:?}: {}", error.message);
    }
}

#[test]
fn a_frame_has_a_limit_of_rectangles() {
    let error = breach_in(&vm(), (FRAME[2], 4096), |client, _| {
        let frame = frame(client);
        for _ in 0..4097 {
            client.send(damage(frame, [0, 0, 1, 1]));
        }
    });
    assert_eq!(error.message, "vitrail-gate: the damage of a frame may have 4096 rectangles");
}

#[test]
fn sessions_have_a_limit_and_destroyed_ones_do_not_count() {
    let error = breach_in(&vm(), (SESSION, 40 + 16), |client, _| {
        let source = source(client);
        for _ in 0..40 {
            let session = session(client, source);
            client.send(Message::new(session, 1));
        }
        for _ in 0..17 {
            session(client, source);
        }
    });
    assert_eq!(error.message, "vitrail-gate: a client may have 16 capture sessions");
}
