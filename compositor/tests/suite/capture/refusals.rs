//! Requests that make no sense, buffers that cannot be written to, and floods.

use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_frame_v1::{
    ExtImageCopyCaptureFrameV1, FailureReason,
};
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_manager_v1::Options;
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_session_v1::ExtImageCopyCaptureSessionV1;
use wayland_protocols::wp::single_pixel_buffer::v1::client::wp_single_pixel_buffer_manager_v1::WpSinglePixelBufferManagerV1;

use super::{BLUE, Paper, RED, UNTOUCHED, compositor};
use crate::fixture::{Fixture, Who, vm};

#[test]
fn buffers_that_do_not_fit_fail_with_the_reason() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, RED);
    let (session, _) = fixture.session(work);
    let wrong = [fixture.paper(work, 199, 100).buffer, fixture.paper(work, 200, 101).buffer];
    let client = fixture.client(work);
    let pixels: WpSinglePixelBufferManagerV1 = client.bind();
    let pixel = pixels.create_u32_rgba_buffer(0, 0, 0, 0, &client.queue, ());
    for buffer in wrong.iter().chain([&pixel]) {
        let (frame, index) = fixture.frame(work, &session);
        frame.attach_buffer(buffer);
        frame.damage_buffer(0, 0, 200, 100);
        frame.capture();
        assert_eq!(fixture.end_of(work, index), Err(FailureReason::BufferConstraints));
        frame.destroy();
    }
    // The session is as good as before.
    let paper = fixture.paper(work, 200, 100);
    fixture.take(work, &session, &paper);
    paper.assert_solid(RED, paper.whole());
}

#[test]
fn a_buffer_that_was_destroyed_in_between_fails() {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, RED);
    let (session, _) = fixture.session(work);
    let paper = fixture.paper(work, 200, 100);
    let (frame, index) = fixture.ask(work, &session, &paper);
    paper.buffer.destroy();
    assert!(fixture.end_of(work, index).is_err());
    frame.destroy();
    paper.assert_solid(UNTOUCHED, paper.whole());
}

/// The memory behind the buffer is gone when the compositor writes to it.
#[test]
fn a_client_that_takes_its_memory_away_is_ended_alone() {
    let mut fixture = compositor();
    let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
    fixture.window(work, 200, 100, RED);
    let (session, _) = fixture.session(work);
    let paper = fixture.paper(work, 200, 100);
    paper.file.set_len(0).unwrap();
    fixture.ask(work, &session, &paper);
    fixture.wait("the end of the connection", |fixture| fixture.client(work).ended());
    fixture.window(web, 50, 50, BLUE);
}

/// A client in a compositor of its own, with a frame that can be asked for.
fn prepared() -> (Fixture, Who, ExtImageCopyCaptureSessionV1, ExtImageCopyCaptureFrameV1, Paper) {
    let mut fixture = compositor();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 200, 100, RED);
    let (session, _) = fixture.session(work);
    let paper = fixture.paper(work, 200, 100);
    let (frame, _) = fixture.frame(work, &session);
    (fixture, work, session, frame, paper)
}

#[test]
fn requests_that_a_frame_does_not_allow_end_the_client_with_their_errors() {
    const FRAME: &str = "ext_image_copy_capture_frame_v1";
    type Ask = fn(&ExtImageCopyCaptureFrameV1, &Paper);
    let captured: [(u32, Ask); 3] = [
        (3, |frame, _| frame.capture()),
        (3, |frame, paper| frame.attach_buffer(&paper.buffer)),
        (3, |frame, _| frame.damage_buffer(0, 0, 1, 1)),
    ];
    for (code, ask) in captured {
        let (mut fixture, work, _session, frame, paper) = prepared();
        frame.attach_buffer(&paper.buffer);
        frame.capture();
        ask(&frame, &paper);
        fixture.assert_error(work, FRAME, code);
    }
    let new: [(u32, Ask); 5] = [
        (1, |frame, _| frame.capture()),
        (2, |frame, _| frame.damage_buffer(-1, 0, 1, 1)),
        (2, |frame, _| frame.damage_buffer(0, i32::MIN, 1, 1)),
        (2, |frame, _| frame.damage_buffer(0, 0, 0, 1)),
        (2, |frame, _| frame.damage_buffer(0, 0, 1, -1)),
    ];
    for (code, ask) in new {
        let (mut fixture, work, _session, frame, paper) = prepared();
        ask(&frame, &paper);
        fixture.assert_error(work, FRAME, code);
    }
}

#[test]
fn a_second_frame_at_a_time_ends_the_client() {
    let (mut fixture, work, session, frame, _paper) = prepared();
    fixture.frame(work, &session);
    fixture.assert_error(work, "ext_image_copy_capture_session_v1", 1);
    drop(frame);
}

#[test]
fn an_unknown_option_ends_the_client() {
    let (mut fixture, work, _session, _frame, _paper) = prepared();
    let source = fixture.source(work, 0);
    fixture.session_with(work, &source, Options::from_bits_retain(6));
    fixture.assert_error(work, "ext_image_copy_capture_manager_v1", 1);
}

#[test]
fn damage_of_any_numbers_and_number_is_survived() {
    let (mut fixture, work, _session, frame, paper) = prepared();
    for at in 0..500 {
        frame.damage_buffer(at, 0, 1, 1);
    }
    frame.damage_buffer(i32::MAX, i32::MAX, i32::MAX, i32::MAX);
    frame.damage_buffer(1, 1, i32::MAX, i32::MAX);
    frame.attach_buffer(&paper.buffer);
    frame.capture();
    assert_eq!(fixture.end_of(work, 0), Ok(()));
    paper.assert_solid(RED, paper.whole());
}

#[test]
fn sessions_and_lists_have_a_limit() {
    for lists in [true, false] {
        let mut fixture = compositor();
        let (work, web) = (fixture.connect(vm("work")), fixture.connect(vm("web")));
        fixture.window(work, 200, 100, RED);
        fixture.list(work);
        let source = fixture.source(work, 0);
        for count in 1.. {
            assert!(count < 100, "there is no limit");
            if lists {
                fixture.list(work);
            } else {
                fixture.session_with(work, &source, Options::empty());
            }
            if fixture.client(work).ended() {
                break;
            }
        }
        fixture.window(web, 200, 100, BLUE);
        fixture.session(web);
        assert!(!fixture.client(web).ended(), "another VM's are counted apart");
    }
}
