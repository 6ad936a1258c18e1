//! When a client gets back a buffer that a commit has replaced.

use wayland_client::protocol::wl_surface::WlSurface;

use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

/// A client with a window that was shown.
fn shown() -> (Fixture, Who, WlSurface) {
    let mut fixture = Fixture::new();
    let who = fixture.connect(vm("web"));
    let window = fixture.window(who, 100, 50, BLUE);
    let surface = fixture.client(who).told.shown[window].surface.clone();
    commit_with_callback(&mut fixture, who, &surface);
    fixture.wait("a frame", |fixture| fixture.client(who).told.frames == 1);
    fixture.client(who).told.released.clear();
    (fixture, who, surface)
}

/// Commits a new buffer and asks for a frame callback.
fn commit_with_callback(fixture: &mut Fixture, who: Who, surface: &WlSurface) {
    let client = fixture.client(who);
    surface.frame(&client.queue, ());
    client.draw_on(surface, 100, 50, BLUE);
    client.flush();
}

#[test]
fn who_waits_for_a_frame_gets_the_buffer_back_with_it_and_before_its_callback() {
    let (mut fixture, who, surface) = shown();
    let drawn = fixture.state().comp.schedule.frames();
    commit_with_callback(&mut fixture, who, &surface);
    fixture.wait("a release", |fixture| !fixture.client(who).told.released.is_empty());
    assert!(fixture.state().comp.schedule.frames() > drawn, "released before the frame");
    fixture.wait("a frame", |fixture| fixture.client(who).told.frames == 2);
    assert_eq!(fixture.client(who).told.released, [1], "once, while one callback had been answered");
}

#[test]
fn who_waits_for_no_frame_gets_the_buffer_back_at_once() {
    let (mut fixture, who, surface) = shown();
    for count in 1..=3 {
        fixture.client(who).draw_on(&surface, 100, 50, BLUE);
        fixture.roundtrip(who);
        assert_eq!(fixture.client(who).told.released.len(), count);
    }
}

#[test]
fn who_goes_on_committing_waits_for_one_buffer_at_the_most() {
    let (mut fixture, who, surface) = shown();
    for _ in 0..5 {
        commit_with_callback(&mut fixture, who, &surface);
    }
    fixture.roundtrip(who);
    assert!(fixture.client(who).told.released.len() >= 4, "{:?}", fixture.client(who).told.released);
    fixture.wait("all releases", |fixture| fixture.client(who).told.released.len() == 5);
}

#[test]
fn a_hidden_window_gets_its_buffers_back_too() {
    let (mut fixture, who, surface) = shown();
    let toplevel = fixture.client(who).told.shown[0].toplevel.clone();
    toplevel.unwrap().set_minimized();
    fixture.roundtrip(who);
    commit_with_callback(&mut fixture, who, &surface);
    fixture.wait("a release", |fixture| fixture.client(who).told.released.len() == 1);
    assert_eq!(fixture.client(who).told.frames, 1, "what is not shown has no frames");
}
