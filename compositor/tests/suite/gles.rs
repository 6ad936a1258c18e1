//! Frames that OpenGL draws are those that the processor draws. Where there is no graphics card this is Mesa's renderer for the
//! processor, which needs none.
//!
//! The screen is compared with a screenshot, which the processor always draws.

use std::sync::{Mutex, MutexGuard, PoisonError};

use smithay::utils::{Physical, Point, Rectangle};
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_shm::Format;
use wayland_client::protocol::wl_surface::WlSurface;

use crate::client::Client;
use crate::fixture::{Fixture, Screen, WORK, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const RED: [u8; 4] = [255, 0, 0, 255];
/// Half of what is behind shines through.
const GLASS: [u8; 4] = [0x30, 0x38, 0x40, 0x80];
const BACKING: [u8; 4] = [0, 0, 0, 255];

/// How far a colour may be off where what is behind shines through, or a picture is made larger: the two renderers round in
/// different places.
const ROUNDING: u8 = 2;

/// One at a time: Smithay 0.7 ends a display of EGL when its last user goes, also if another one comes at that moment.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws all that was asked for.
fn settle(fixture: &mut Fixture) {
    fixture.wait("the last frame", |fixture| !fixture.state().comp.schedule.is_pending());
}

fn rect(x: i32, y: i32, w: i32, h: i32) -> Rectangle<i32, Physical> {
    Rectangle::new((x, y).into(), (w, h).into())
}

/// The screen as OpenGL has drawn it.
fn screen(fixture: &mut Fixture) -> Screen {
    settle(fixture);
    Screen(fixture.state().backend.last_frame().unwrap())
}

/// The screen shows, as far as rounding goes, what the processor draws of it; but for these rectangles.
#[track_caller]
fn assert_same_but_for(
    fixture: &mut Fixture,
    what: &str,
    tolerance: u8,
    but_for: &[Rectangle<i32, Physical>],
) {
    let drawn = screen(fixture);
    let whole = fixture.screenshot();
    let (w, h) = (drawn.0.width as i32, drawn.0.height as i32);
    assert_eq!((whole.0.width as i32, whole.0.height as i32), (w, h));
    for (x, y) in (0..h).flat_map(|y| (0..w).map(move |x| (x, y))) {
        let (a, b) = (drawn.pixel(x, y), whole.pixel(x, y));
        let same = a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= tolerance);
        if !same && !but_for.iter().any(|rect| rect.contains((x, y))) {
            panic!("{what}: pixel {x},{y} is {a:?} by OpenGL, and {b:?} by the processor");
        }
    }
}

#[track_caller]
fn assert_same(fixture: &mut Fixture, what: &str, tolerance: u8) {
    assert_same_but_for(fixture, what, tolerance, &[]);
}

/// Windows of two VMs, one over the other and translucent, with titles and a popup: all kinds of labels.
fn two_vms(scale: f64) -> Fixture {
    let size = |length: f64| (length * scale) as i32;
    let mut fixture = Fixture::drawn_by_gles(size(480.0), size(320.0), scale);
    let web = fixture.connect(vm("web"));
    let first = fixture.window(web, 220, 140, [0xf0, 0xe0, 0xc0, 0xff]);
    fixture.client(web).told.shown[first].toplevel.as_ref().unwrap().set_title("A page".to_owned());
    let work = fixture.connect(vm("work"));
    let second = fixture.window(work, 240, 160, GLASS);
    fixture.client(work).told.shown[second].toplevel.as_ref().unwrap().set_title("[Web] bank".to_owned());
    let popup = fixture.client(web).create_popup(first, 180, 100, 90, 70);
    fixture.configured(web, popup, 0);
    fixture.client(web).draw(popup, 90, 70, [0xff, 0xff, 0xff, 0xff]);
    fixture.roundtrip(web);
    fixture.roundtrip(work);
    fixture
}

#[test]
fn labels_windows_and_popups_are_drawn_as_by_the_processor() {
    let _alone = alone();
    let mut fixture = two_vms(1.0);
    assert_same(&mut fixture, "scale 1", ROUNDING);
    let drawn = screen(&mut fixture);
    for window in fixture.report() {
        let color = if window.vm == "work" { WORK } else { crate::fixture::WEB };
        let left = rect(window.frame.loc.x, window.frame.loc.y, 4, window.frame.size.h);
        // The other window may cover the ring of the lower one.
        if window.focused {
            drawn.assert_solid("the ring", color, left);
        }
    }
    for scale in [1.25, 1.5, 2.0] {
        let mut fixture = two_vms(scale);
        // What a client draws too small is made larger. At its edges pixman then has the backing shine through.
        let edges = edges(&mut fixture, scale.ceil() as i32);
        assert_same_but_for(&mut fixture, &format!("scale {scale}"), ROUNDING, &edges);
    }
}

/// The outermost pixels of what clients have drawn.
fn edges(fixture: &mut Fixture, width: i32) -> Vec<Rectangle<i32, Physical>> {
    let comp = &fixture.state().comp;
    let mut contents: Vec<_> = comp.windows_report().iter().map(|window| window.content).collect();
    let surfaces: Vec<_> =
        comp.shell.shown_top_down().map(|window| window.handle.wl_surface().clone()).collect();
    contents.extend(surfaces.iter().flat_map(|root| comp.popup_rects(root)).map(|popup| popup.rects.content));
    let sides = |Rectangle { loc, size }: Rectangle<i32, Physical>| {
        [
            rect(loc.x, loc.y, size.w, width),
            rect(loc.x, loc.y + size.h - width, size.w, width),
            rect(loc.x, loc.y, width, size.h),
            rect(loc.x + size.w - width, loc.y, width, size.h),
        ]
    };
    contents.into_iter().flat_map(sides).collect()
}

#[test]
fn opaque_windows_and_text_are_drawn_exactly_as_by_the_processor() {
    let _alone = alone();
    for scale in [1, 2] {
        let mut fixture = Fixture::drawn_by_gles(640, 400, f64::from(scale));
        let work = fixture.connect(vm("work"));
        let window = fixture.client(work).create_window();
        fixture.configured(work, window, 0);
        let client = fixture.client(work);
        client.told.shown[window].surface.set_buffer_scale(scale);
        client.draw(window, 200 * scale, 100 * scale, BLUE);
        let title = "Letters, gjpqy".to_owned();
        client.told.shown[window].toplevel.as_ref().unwrap().set_title(title);
        fixture.roundtrip(work);
        assert_same(&mut fixture, &format!("scale {scale}"), 0);
        assert_eq!(screen(&mut fixture).pixel(100 * scale, 80 * scale), BLUE);
    }
}

/// What is said to be opaque has nothing drawn behind it. If it is clear all the same, what an earlier frame has left there must
/// not be seen: it may have been another VM's.
#[test]
fn nothing_shines_through_what_is_clear_and_said_to_be_opaque() {
    let _alone = alone();
    let mut fixture = Fixture::drawn_by_gles(480, 320, 1.0);
    let who = fixture.connect(vm("work"));
    fixture.window(who, 400, 240, RED);
    settle(&mut fixture);
    let window = fixture.client(who).create_window();
    fixture.configured(who, window, 0);
    let region = fixture.client(who).region(0, 0, 200, 100);
    fixture.client(who).told.shown[window].surface.set_opaque_region(Some(&region));
    fixture.client(who).draw(window, 200, 100, [0; 4]);
    fixture.roundtrip(who);
    assert_same(&mut fixture, "a window that lies", 0);
    let top = fixture.report().pop().unwrap();
    let corner = Rectangle::new(top.content.loc, (100, 50).into());
    screen(&mut fixture).assert_solid("its content", BACKING, corner);
}

/// Commits a buffer of one colour of which so much has changed.
fn commit(fixture: &mut Fixture, who: Who, surface: &WlSurface, color: [u8; 4], part: [i32; 4]) {
    let client = fixture.client(who);
    let (pool, buffer) = client.buffer(200, 100, color);
    pool.destroy();
    surface.attach(Some(&buffer), 0, 0);
    surface.damage_buffer(part[0], part[1], part[2], part[3]);
    surface.commit();
    fixture.roundtrip(who);
}

/// Two buffers take turns, and each gets no more than what it lacks.
#[test]
fn what_changes_is_on_the_screen_whichever_buffer_has_its_turn() {
    let _alone = alone();
    let mut fixture = Fixture::drawn_by_gles(480, 320, 1.0);
    let who = fixture.connect(vm("web"));
    let window = fixture.window(who, 200, 100, BLUE);
    let surface = fixture.client(who).told.shown[window].surface.clone();
    settle(&mut fixture);
    let content = fixture.report()[0].content;
    let at = |[x, y, w, h]: [i32; 4]| Rectangle::new(content.loc + Point::from((x, y)), (w, h).into());
    for step in 0..6 {
        // Each buffer is of one colour as a whole, and said to have changed in a part.
        let color = if step % 2 == 0 { RED } else { BLUE };
        let part = [step * 20, 10, 20, 30];
        commit(&mut fixture, who, &surface, color, part);
        settle(&mut fixture);
        assert_eq!(fixture.state().backend.repainted().rectangles, [at(part)], "step {step}");
        let drawn = screen(&mut fixture);
        for earlier in 0..=step {
            let color = if earlier % 2 == 0 { RED } else { BLUE };
            drawn.assert_solid(
                &format!("step {earlier} after {step}"),
                color,
                at([earlier * 20, 10, 20, 30]),
            );
        }
        drawn.assert_solid("what has not changed", BLUE, at([0, 50, 200, 40]));
    }
    // All else, wherever the pointer is.
    for x in [100.0, 300.0, 20.0] {
        fixture.state().input_pointer_motion(x, 250.0);
        assert_same_but_for(&mut fixture, "the pointer", ROUNDING, &[content]);
    }
    surface.attach(None, 0, 0);
    surface.commit();
    fixture.roundtrip(who);
    assert_same(&mut fixture, "a window that is gone", ROUNDING);
}

/// A buffer of one colour in a format of its own.
fn formatted(client: &Client, (w, h): (i32, i32), [r, g, b, a]: [u8; 4], format: Format) -> WlBuffer {
    let pixels: Vec<u8> = std::iter::repeat_n([b, g, r, a], (w * h) as usize).flatten().collect();
    let pool = client.pool(&pixels, w * h * 4);
    client.pool_buffer(&pool, (w, h), format)
}

/// Smithay 0.7 draws a picture as its surface's first one of that size was: a window whose client went over from transparency
/// to none was black, where what is no transparency then was zero.
#[test]
fn a_client_that_goes_over_to_another_format_is_drawn_in_that() {
    let _alone = alone();
    let mut fixture = Fixture::drawn_by_gles(480, 320, 1.0);
    let who = fixture.connect(vm("web"));
    let window = fixture.window(who, 200, 100, GLASS);
    let surface = fixture.client(who).told.shown[window].surface.clone();
    let clear = [255, 0, 0, 0];
    for (format, color) in [(Format::Xrgb8888, clear), (Format::Argb8888, GLASS), (Format::Xrgb8888, BLUE)] {
        let buffer = formatted(fixture.client(who), (200, 100), color, format);
        surface.attach(Some(&buffer), 0, 0);
        surface.damage_buffer(0, 0, 200, 100);
        surface.commit();
        fixture.roundtrip(who);
        assert_same(&mut fixture, &format!("{format:?}"), ROUNDING);
    }
}

/// One buffer in several surfaces is one piece of memory for the processor, and as many for OpenGL.
#[test]
fn a_vm_cannot_use_more_memory_of_the_card_than_its_buffers_may() {
    let _alone = alone();
    let mut fixture = Fixture::drawn_by_gles(800, 600, 1.0);
    // It may have 8 MiB.
    let who = fixture.connect(vm("work"));
    let windows: Vec<usize> = (0..3).map(|_| fixture.window(who, 200, 100, BLUE)).collect();
    let large = formatted(fixture.client(who), (1000, 900), RED, Format::Xrgb8888);
    for window in &windows {
        let surface = fixture.client(who).told.shown[*window].surface.clone();
        surface.attach(Some(&large), 0, 0);
        surface.damage_buffer(0, 0, 1000, 900);
        surface.commit();
        fixture.roundtrip(who);
        settle(&mut fixture);
    }
    let drawn = screen(&mut fixture);
    let top = fixture.report().pop().unwrap();
    let inside = Rectangle::new(top.content.loc, (100, 50).into());
    let left = rect(top.frame.loc.x, top.frame.loc.y, 4, 100);
    drawn.assert_solid("the ring", WORK, left);
    drawn.assert_solid("the third picture", BACKING, inside);
    assert!(!fixture.client(who).ended());
    // What goes makes room.
    fixture.client(who).told.shown[windows[0]].toplevel.as_ref().unwrap().destroy();
    fixture.client(who).told.shown[windows[0]].xdg.destroy();
    fixture.client(who).told.shown[windows[0]].surface.destroy();
    let surface = fixture.client(who).told.shown[windows[2]].surface.clone();
    surface.attach(Some(&large), 0, 0);
    surface.damage_buffer(0, 0, 1, 1);
    surface.commit();
    fixture.roundtrip(who);
    screen(&mut fixture).assert_solid("the third picture", RED, inside);
}

#[test]
fn a_picture_that_is_larger_than_opengl_takes_costs_nothing_but_itself() {
    let _alone = alone();
    let mut fixture = Fixture::drawn_by_gles(480, 320, 1.0);
    let web = fixture.connect(vm("web"));
    let window = fixture.window(web, 200, 100, BLUE);
    let surface = fixture.client(web).told.shown[window].surface.clone();
    // No OpenGL has textures of that width; pixman draws it.
    let buffer = formatted(fixture.client(web), (32767, 2), RED, Format::Xrgb8888);
    surface.attach(Some(&buffer), 0, 0);
    surface.damage_buffer(0, 0, 32767, 2);
    surface.commit();
    fixture.roundtrip(web);
    let drawn = screen(&mut fixture);
    let window = fixture.report().pop().unwrap();
    drawn.assert_solid("the picture", BACKING, Rectangle::new(window.content.loc, (50, 2).into()));
    assert_eq!(drawn.pixel(window.frame.loc.x + 1, window.frame.loc.y + 1), crate::fixture::WEB);
    assert!(!fixture.client(web).ended());
}
