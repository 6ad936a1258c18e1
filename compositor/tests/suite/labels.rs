//! The label is on all four sides, exact to the pixel, whatever the client does.

use smithay::utils::{Physical, Point, Rectangle};

use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;

use crate::fixture::{Fixture, LOCAL, Screen, WEB, WORK, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];
const BACKING: [u8; 4] = [0, 0, 0, 255];

/// Checks the only window's label, and returns its content.
#[track_caller]
fn check(fixture: &mut Fixture, color: [u8; 4], border: i32) -> (Rectangle<i32, Physical>, Screen) {
    let report = fixture.report();
    let [window] = report.as_slice() else { panic!("one window, not {}", report.len()) };
    let screen = fixture.screenshot();
    screen.assert_ring(color, window.frame, border);
    let stripe = fixture.state().comp.shell.layout().stripe();
    assert!(!window.frame.overlaps(stripe), "the frame is below the stripe");
    assert!(window.frame.contains_rect(window.content));
    (window.content, screen)
}

#[test]
fn a_floating_window_has_its_label_on_all_four_sides_at_every_scale() {
    for (scale, border) in [(1.0, 4), (1.5, 6), (2.0, 8)] {
        let mut fixture = Fixture::sized(800, 600, scale);
        let client = fixture.connect(vm("work"));
        let window = fixture.window(client, 200, 100, BLUE);
        // As clients do at a fractional scale: a buffer of as many pixels as the output has.
        let expected = ((200.0 * scale) as i32, (100.0 * scale) as i32);
        let drawing = fixture.client(client);
        let surface = drawing.told.shown[window].surface.clone();
        let viewporter: WpViewporter = drawing.bind();
        viewporter.get_viewport(&surface, &drawing.queue, ()).set_destination(200, 100);
        drawing.draw(window, expected.0, expected.1, YELLOW);
        fixture.roundtrip(client);
        let (content, screen) = check(&mut fixture, WORK, border);
        assert_eq!((content.size.w, content.size.h), expected, "scale {scale}");
        screen.assert_solid("content", YELLOW, content);
    }
}

#[test]
fn local_windows_wear_the_local_colour() {
    let mut fixture = Fixture::new();
    let client = fixture.connect(vitrail::trust::origin::Origin::Local);
    fixture.window(client, 200, 100, BLUE);
    check(&mut fixture, LOCAL, 4);
}

#[test]
fn a_maximized_or_fullscreen_window_keeps_its_label_and_leaves_the_stripe() {
    for fullscreen in [false, true] {
        let mut fixture = Fixture::new();
        let client = fixture.connect(vm("web"));
        let window = fixture.window(client, 100, 80, BLUE);
        let before = fixture.client(client).configures(window).len();
        let toplevel = fixture.client(client).told.shown[window].toplevel.clone().unwrap();
        if fullscreen {
            toplevel.set_fullscreen(None);
        } else {
            toplevel.set_maximized();
        }
        fixture.configured(client, window, before);
        let asked = fixture.client(client).configures(window).last().unwrap().size;
        // It draws as if it owned the whole screen.
        fixture.client(client).draw(window, 400, 300, YELLOW);
        fixture.roundtrip(client);
        let (content, screen) = check(&mut fixture, WEB, 4);
        assert_eq!((content.size.w, content.size.h), asked);
        screen.assert_solid("content", YELLOW, content);
        let stripe = fixture.state().comp.shell.layout().stripe();
        assert!(screen.other_than(YELLOW, stripe).is_some());
        assert!((0..400).all(|x| (0..24).all(|y| screen.pixel(x, y) != YELLOW)), "the stripe is covered");
    }
}

#[test]
fn a_subsurface_outside_of_the_window_is_cut_off() {
    let mut fixture = Fixture::new();
    let client = fixture.connect(vm("work"));
    let window = fixture.window(client, 200, 100, BLUE);
    let parent = fixture.client(client).told.shown[window].surface.clone();
    fixture.client(client).told.shown[window].xdg.set_window_geometry(0, 0, 200, 100);
    let (surface, role) = fixture.client(client).subsurface(&parent);
    role.set_position(-150, -150);
    fixture.client(client).draw_on(&surface, 400, 400, YELLOW);
    parent.commit();
    fixture.roundtrip(client);
    let (content, screen) = check(&mut fixture, WORK, 4);
    screen.assert_solid("content", YELLOW, content);
    let all = (0..400).flat_map(|x| (0..300).map(move |y| (x, y)));
    let yellow = all.filter(|(x, y)| screen.pixel(*x, *y) == YELLOW).count();
    assert_eq!(yellow, 200 * 100, "yellow is in the content and nowhere else");
}

#[test]
fn a_geometry_beside_the_surface_shows_nothing_outside_of_the_frame() {
    for geometry in [(-50, -40, 300, 200), (150, 50, 100, 100), (-1000, -1000, 10, 10), (50, 20, 80, 40)] {
        let mut fixture = Fixture::new();
        let client = fixture.connect(vm("work"));
        let window = fixture.window(client, 200, 100, BLUE);
        let (x, y, w, h) = geometry;
        fixture.client(client).told.shown[window].xdg.set_window_geometry(x, y, w, h);
        fixture.client(client).draw(window, 200, 100, BLUE);
        fixture.roundtrip(client);
        let (content, screen) = check(&mut fixture, WORK, 4);
        for x in 0..400 {
            for y in 0..300 {
                let inside = content.contains((x, y));
                assert!(inside || screen.pixel(x, y) != BLUE, "{geometry:?}: blue at {x},{y}");
            }
        }
    }
}

#[test]
fn shadows_outside_of_the_geometry_are_cut_off() {
    let mut fixture = Fixture::new();
    let client = fixture.connect(vm("work"));
    let window = fixture.client(client).create_window();
    fixture.configured(client, window, 0);
    fixture.client(client).told.shown[window].xdg.set_window_geometry(20, 30, 160, 60);
    fixture.client(client).draw(window, 200, 120, BLUE);
    fixture.configured(client, window, 1);
    let (content, screen) = check(&mut fixture, WORK, 4);
    assert_eq!((content.size.w, content.size.h), (160, 60));
    screen.assert_solid("content", BLUE, content);
}

#[test]
fn transparent_content_stands_on_the_backing() {
    let mut fixture = Fixture::new();
    let below = fixture.connect(vm("web"));
    fixture.window(below, 380, 230, YELLOW);
    let client = fixture.connect(vm("work"));
    fixture.window(client, 380, 230, [0, 0, 0, 0]);
    let content = fixture.report().iter().find(|window| window.vm == "work").unwrap().content;
    fixture.click(content.loc.x + 5, content.loc.y + 5);
    fixture.roundtrip(client);
    // The web window opened first and keeps the focus; the click went to whichever is on top.
    let report = fixture.report();
    let top = report.last().unwrap().clone();
    let screen = fixture.screenshot();
    if top.vm == "work" {
        screen.assert_solid("content", BACKING, rect_inside(top.content));
    } else {
        screen.assert_solid("content", YELLOW, rect_inside(top.content));
    }
}

/// A rectangle without the part where the pointer may be drawn.
fn rect_inside(rect: Rectangle<i32, Physical>) -> Rectangle<i32, Physical> {
    Rectangle::new(rect.loc + Point::from((60, 60)), (rect.size.w - 60, rect.size.h - 60).into())
}

#[test]
fn without_content_there_is_no_window() {
    let mut fixture = Fixture::new();
    let client = fixture.connect(vm("work"));
    let window = fixture.client(client).create_window();
    fixture.configured(client, window, 0);
    fixture.roundtrip(client);
    assert!(fixture.report().is_empty());
    fixture.client(client).draw(window, 100, 50, BLUE);
    fixture.configured(client, window, 1);
    assert_eq!(fixture.report().len(), 1);
    let surface = fixture.client(client).told.shown[window].surface.clone();
    surface.attach(None, 0, 0);
    surface.commit();
    fixture.roundtrip(client);
    assert!(fixture.report().is_empty());
}

#[test]
fn a_window_of_an_unreasonable_size_stays_inside_its_frame() {
    for (w, h) in [(1, 1), (3, 900), (2000, 2)] {
        let mut fixture = Fixture::new();
        let client: Who = fixture.connect(vm("web"));
        fixture.window(client, w, h, BLUE);
        let (content, screen) = check(&mut fixture, WEB, 4);
        let output = fixture.state().comp.output_rect();
        assert!(output.contains_rect(content), "{w}x{h}");
        assert_ne!(screen.pixel(content.loc.x, content.loc.y), WEB);
    }
}
