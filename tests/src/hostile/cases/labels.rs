//! Rows 1, 2, 4, 5, 7 and 14: every window in every state wears its label, and what its client paints stays inside.

use serde_json::json;
use vitrail_protocols::Guard;
use wayland_client::protocol::wl_shm::Format;

use crate::client::{Client, InputEvent, Rect, Window, WindowOptions};
use crate::hostile::Case;
use crate::hostile::stage::{HOSTILE, PAINT, Place, Stage, VICTIM, assert_inside, assert_ringed, options};
use crate::labelled::{assert_labelled, color_of};
use crate::raw::Request;
use crate::session::BUTTON_LEFT;

const LABEL: &[Guard] = &[Guard::Label];
const CLIP: &[Guard] = &[Guard::Clip];
/// Evdev codes.
const TAB: u32 = 15;
const ALT: u32 = 56;

pub(super) const CASES: &[Case] = &[
    Case::new(1, "no-commit", "a window that never commits again after its first content", LABEL, no_commit),
    Case::new(1, "one-pixel", "a window of one pixel", LABEL, one_pixel),
    Case::new(1, "monstrous-size", "a window that says it is 16384 pixels a side", CLIP, monstrous_size),
    Case::new(
        4,
        "negative-geometry",
        "window geometry that begins before the buffer",
        CLIP,
        negative_geometry,
    ),
    Case::new(4, "large-geometry", "window geometry far larger than the buffer", LABEL, large_geometry),
    Case::new(4, "shadow", "content around a small window geometry, as shadows are", CLIP, shadow),
    Case::new(
        4,
        "subsurface-outside",
        "subsurfaces beyond their window on every side",
        CLIP,
        subsurface_outside,
    ),
    Case::new(
        4,
        "viewport-upscale",
        "a pixel that a viewport makes larger than the screen",
        CLIP,
        viewport_upscale,
    ),
    Case::new(
        14,
        "alpha-zero",
        "a window of transparent pixels over another VM's",
        &[Guard::Backing],
        alpha_zero,
    ),
    Case::new(
        14,
        "empty-input-region",
        "a window that wants no input, over another VM's",
        &[Guard::Holes],
        empty_input_region,
    ),
    Case::new(
        2,
        "fullscreen-race",
        "fullscreen asked for and taken back, without waiting",
        LABEL,
        fullscreen_race,
    ),
    Case::new(
        2,
        "fullscreen-desktop",
        "fullscreen that shows a desktop of its own",
        LABEL,
        fullscreen_desktop,
    ),
    Case::new(
        1,
        "maximise-mid-drag",
        "a window that is maximised while the user moves it",
        LABEL,
        maximise_mid_drag,
    ),
    Case::new(
        1,
        "minimised-thumbnail",
        "the picture of a minimised window, where one is chosen",
        LABEL,
        minimised_thumbnail,
    ),
    Case::new(1, "overview", "the pictures of all windows, where one is chosen", LABEL, overview),
    Case::new(1, "animations", "windows that open, change and close in motion", LABEL, animations),
    Case::new(
        1,
        "outputs-and-scales",
        "a window on an output that is plugged in, scaled and plugged out",
        LABEL,
        outputs_and_scales,
    ),
    Case::new(5, "imitated-label", "a title bar that imitates another VM's label", LABEL, imitated_label),
    Case::new(7, "app-id", "an application id of another VM's", LABEL, app_id),
];

fn no_commit() -> String {
    let mut stage = Stage::new();
    let (_client, _window) = stage.window("still");
    let mut seen = 0;
    for _ in 0..5 {
        stage.victim.draw();
        seen += stage.assert_contained(&[]);
    }
    format!("{seen} pixels of frames in 5 frames after its last commit")
}

fn one_pixel() -> String {
    let mut stage = Stage::new();
    let (_client, _window) = stage.window_as(&WindowOptions::new("pixel", PAINT).size(1, 1));
    let seen = stage.assert_contained(&[]);
    let frame = stage.session.wait_window("pixel").frame();
    assert!(frame.w >= 160 && frame.h >= 32, "no room for a label that can be read: {frame:?}");
    format!("a frame of {}x{}, {seen} pixels of frames", frame.w, frame.h)
}

/// Has a window draw what a request before the next commit makes of it, and looks at the screen.
fn after(stage: &mut Stage, client: &mut Client, window: &mut Window, request: impl Fn(&Window)) -> usize {
    request(window);
    client.recolor(window, PAINT).expect("the client is left alone");
    stage.assert_contained(&[])
}

fn monstrous_size() -> String {
    let mut stage = Stage::new();
    let (mut client, mut window) = stage.window("monster");
    client.add_viewport(&mut window);
    let viewport = |window: &Window| {
        let viewport = window.viewport.as_ref().expect("it was just made");
        viewport.set_destination(16384, 16384);
        window.xdg_surface.set_window_geometry(8000, 8000, 300, 200);
    };
    let seen = after(&mut stage, &mut client, &mut window, viewport);
    stage.assert_unharmed();
    format!("{seen} pixels of frames, and nothing of it outside")
}

fn negative_geometry() -> String {
    let mut stage = Stage::new();
    let (mut client, mut window) = stage.window("negative");
    let mut seen = 0;
    for (x, y, w, h) in [(-50, -50, 200, 150), (-100, -20, 160, 60), (-1000, -1000, 10, 10)] {
        let geometry = |window: &Window| window.xdg_surface.set_window_geometry(x, y, w, h);
        seen += after(&mut stage, &mut client, &mut window, geometry);
    }
    format!("{seen} pixels of frames, and nothing of it outside")
}

fn large_geometry() -> String {
    let mut stage = Stage::new();
    let (mut client, mut window) = stage.window("large");
    let geometry = |window: &Window| window.xdg_surface.set_window_geometry(0, 0, 16000, 16000);
    let seen = after(&mut stage, &mut client, &mut window, geometry);
    format!("{seen} pixels of frames, and nothing of it outside")
}

fn shadow() -> String {
    let mut stage = Stage::new();
    let (mut client, mut window) = stage.window_as(&WindowOptions::new("shadow", PAINT).size(400, 300));
    let geometry = |window: &Window| window.xdg_surface.set_window_geometry(100, 100, 200, 100);
    let seen = after(&mut stage, &mut client, &mut window, geometry);
    format!("{seen} pixels of frames, and nothing of the 100 pixels around its geometry")
}

fn subsurface_outside() -> String {
    let mut stage = Stage::new();
    let (mut client, mut window) = stage.window("host");
    let places = [
        Rect { x: -400, y: -400, w: 1000, h: 1000 },
        Rect { x: 250, y: 0, w: 300, h: 300 },
        Rect { x: -30, y: -30, w: 60, h: 60 },
    ];
    let _subsurfaces = places.map(|place| client.subsurface(&window.surface, place, PAINT));
    // Without this the window would be as large as all of them together.
    let geometry = |window: &Window| window.xdg_surface.set_window_geometry(0, 0, 200, 150);
    let seen = after(&mut stage, &mut client, &mut window, geometry);
    format!("{seen} pixels of frames, and nothing of three subsurfaces outside")
}

fn viewport_upscale() -> String {
    let mut stage = Stage::new();
    let (mut client, mut window) = stage.window("upscaled");
    client.add_viewport(&mut window);
    let viewport = |window: &Window| {
        window.viewport.as_ref().expect("it was just made").set_destination(3000, 3000);
        window.xdg_surface.set_window_geometry(1000, 1000, 200, 150);
    };
    let seen = after(&mut stage, &mut client, &mut window, viewport);
    format!("{seen} pixels of frames, and nothing of it outside")
}

/// The victim's window, and one of the attacker's that lies wholly over it and has the keyboard.
fn covered(format: Format, color: u32) -> (Stage, Client, Window) {
    let mut stage = Stage::new();
    let mut client = stage.hostile();
    let mut glass = client.unmapped_window(&WindowOptions::new("glass", color).size(700, 500));
    glass.surface.commit();
    client.acknowledge(glass.number, &glass.xdg_surface).expect("a configure");
    glass.buffers = client.buffers_of(format, 2, 700, 500);
    client.recolor(&mut glass, color).expect("a frame");
    stage.session.wait_window("glass");
    stage.session.focus("glass");
    (stage, client, glass)
}

fn alpha_zero() -> String {
    let (mut stage, _client, _glass) = covered(Format::Argb8888, 0);
    let under = 0x0012_34ff;
    let victim = stage.content("victim");
    stage.victim.draw();
    let content = stage.content("glass");
    let image = stage.session.screenshot();
    let inside = Rect {
        x: victim.x.max(content.x),
        y: victim.y.max(content.y),
        w: (victim.x + victim.w).min(content.x + content.w) - victim.x.max(content.x),
        h: (victim.y + victim.h).min(content.y + content.h) - victim.y.max(content.y),
    };
    assert!(inside.w > 0 && inside.h > 0, "the windows do not overlap: {victim:?} {content:?}");
    let backing = image.pixel(inside.x, inside.y);
    assert_eq!(
        backing.map(|color| image.count(inside, color)),
        Some((inside.w * inside.h).unsigned_abs() as usize)
    );
    assert_eq!(image.count(inside, under), 0);
    let desktop = image.pixel(stage.session.size().0 - 2, stage.session.size().1 - 2);
    assert!(backing == Some(0), "{backing:06x?} shows through, where the desktop is {desktop:06x?}");
    format!("{}x{} pixels over another VM's window are the backing", inside.w, inside.h)
}

fn empty_input_region() -> String {
    let (mut stage, mut client, mut glass) = covered(Format::Xrgb8888, PAINT);
    let compositor = client.state.bound.compositor.clone().expect("wl_compositor");
    let nothing = compositor.create_region(&client.handle(), ());
    glass.surface.set_input_region(Some(&nothing));
    client.recolor(&mut glass, PAINT).expect("a frame");
    let victim = stage.content("victim");
    stage.victim.client().roundtrip().expect("the victim lives");
    let before = stage.victim.client().state.input.len();
    stage.session.click(victim.x + victim.w / 2, victim.y + victim.h / 2);
    stage.victim.client().roundtrip().expect("the victim lives");
    let after = &stage.victim.client().state.input[before..];
    assert!(
        !after.iter().any(|event| matches!(event, InputEvent::Button(..) | InputEvent::PointerEnter(_))),
        "{after:?}"
    );
    "a click at the place of the victim's window reached nobody".to_owned()
}

fn fullscreen_race() -> String {
    let mut stage = Stage::new();
    let (mut client, mut window) = stage.window("race");
    stage.move_to((400, 300));
    let mut seen = 0;
    for _ in 0..8 {
        for _ in 0..3 {
            window.toplevel.set_fullscreen(None);
            window.surface.commit();
            window.toplevel.unset_fullscreen();
            window.toplevel.set_maximized();
            window.toplevel.set_fullscreen(None);
            window.surface.commit();
            window.toplevel.unset_maximized();
            window.toplevel.unset_fullscreen();
            window.surface.commit();
        }
        // The states that were asked for are drawn without having been acknowledged, and then they are.
        client.roundtrip().expect("the client is left alone");
        seen += stage.assert_contained(&[]);
        let configure = client.state.surface(window.number).configures.last().cloned().unwrap_or_default();
        window.xdg_surface.ack_configure(configure.serial);
        client.recolor(&mut window, PAINT).expect("a frame");
        seen += stage.assert_contained(&[]);
    }
    format!("{seen} pixels of frames in 16 frames")
}

/// Makes a window fullscreen and draws it as large as it is told to be.
fn fullscreen(client: &mut Client, window: &mut Window) {
    let before = client.state.surface(window.number).configures.len();
    window.toplevel.set_fullscreen(None);
    let number = window.number;
    client
        .wait_until("a size", |state| state.surface(number).configures.len() > before)
        .expect("a configure");
    let configure = client.state.surface(number).configures.last().cloned().unwrap_or_default();
    window.xdg_surface.ack_configure(configure.serial);
    window.canvas = crate::client::Canvas::new(configure.size.0.max(1), configure.size.1.max(1), PAINT);
    window.buffers = client.buffers(2, window.canvas.width(), window.canvas.height());
    client.recolor(window, PAINT).expect("a frame");
}

fn fullscreen_desktop() -> String {
    let mut stage = Stage::new();
    let (mut client, mut window) = stage.window("desktop");
    // The pointer's picture is out of the frame's way.
    stage.move_to((400, 300));
    fullscreen(&mut client, &mut window);
    let seen = stage.assert_contained(&[]);
    let frame = stage.session.wait_window("desktop").frame();
    let (width, height) = stage.session.size();
    assert!(
        frame.x >= 0 && frame.y >= 0 && frame.x + frame.w <= width && frame.y + frame.h <= height,
        "{frame:?}"
    );
    let image = stage.session.screenshot();
    let top = image.count(Rect::of_size(width, 1), color_of(HOSTILE));
    assert!(top * 2 > width.unsigned_abs() as usize, "the stripe is not the VM's: {top} pixels");
    stage.keep_picture("fullscreen-desktop");
    format!("{seen} pixels of its frame on the screen, and the stripe names it")
}

fn maximise_mid_drag() -> String {
    let mut stage = Stage::new();
    let (mut client, window) = stage.window("dragged");
    let frame = stage.session.wait_window("dragged").frame();
    let (mut x, mut y) = (frame.x + frame.w / 2, frame.y + 10);
    stage.move_to((x, y));
    stage.session.input(&[json!({"event": "button", "code": BUTTON_LEFT, "pressed": true})]);
    let mut seen = 0;
    for step in 0..10 {
        (x, y) = (x + 7, y + 5);
        if step % 2 == 0 {
            window.toplevel.set_maximized();
        } else {
            window.toplevel.unset_maximized();
        }
        window.surface.commit();
        stage.move_to((x, y));
        client.roundtrip().expect("the client is left alone");
        let pointer = Rect { x: x - 32, y: y - 32, w: 80, h: 80 };
        seen += stage.assert_contained(&[pointer]);
    }
    stage.session.release();
    format!("{seen} pixels of frames in 10 frames")
}

/// Opens the overlay in which a window is chosen, and calls with a picture of it.
fn in_overlay(stage: &mut Stage, look: impl Fn(&crate::image::Image) -> String) -> String {
    stage.key(ALT, true);
    stage.key(TAB, true);
    stage.key(TAB, false);
    let image = stage.session.screenshot();
    stage.key(ALT, false);
    look(&image)
}

fn minimised_thumbnail() -> String {
    let mut stage = Stage::new();
    let (mut client, window) = stage.window("minimised");
    window.toplevel.set_minimized();
    client.roundtrip().expect("the client is left alone");
    stage.session.wait_titles(&["victim"]);
    assert_eq!(stage.session.screenshot().count(stage.session.below_the_stripe(), color_of(HOSTILE)), 0);
    let below = stage.session.below_the_stripe();
    in_overlay(&mut stage, |image| {
        let painted = image.count(below, PAINT);
        let labelled = image.count(below, color_of(HOSTILE));
        assert!(painted > 0, "there is no picture of it");
        assert!(labelled > 1000, "{labelled} pixels of its colour around {painted} of its picture");
        format!("{labelled} pixels of its colour around its picture")
    })
}

fn overview() -> String {
    let mut stage = Stage::new();
    let (_client, _window) = stage.window("shown");
    stage.session.focus("victim");
    let outside = stage.session.below_the_stripe();
    let before = stage.session.screenshot().count(outside, color_of(HOSTILE));
    in_overlay(&mut stage, |image| {
        let (painted, labelled) = (image.count(outside, PAINT), image.count(outside, color_of(HOSTILE)));
        assert!(painted > 0, "there is no picture of it");
        assert!(labelled > 1000, "{labelled} pixels of its colour around {painted} of its pictures");
        format!("{labelled} pixels of its colour, {before} without the overlay")
    })
}

fn animations() -> String {
    let mut stage = Stage::with(options().animated(1000));
    let mut client = stage.hostile();
    let mut window = client.window(&WindowOptions::new("moving", PAINT).size(300, 200)).expect("a window");
    stage.session.wait_window("moving");
    let mut frames = 0;
    // Pictures are taken one after the other for as long as a motion lasts, whatever is drawn meanwhile.
    let mut look = |stage: &mut Stage| {
        let start = std::time::Instant::now();
        let below = stage.session.below_the_stripe();
        while start.elapsed() < std::time::Duration::from_millis(900) {
            let image = stage.session.screenshot();
            if image.count(below, PAINT) > 0 {
                let labelled = image.count(below, color_of(HOSTILE));
                assert!(labelled > 500, "{labelled} pixels of its colour in a frame of its way");
                frames += 1;
            }
        }
    };
    look(&mut stage);
    fullscreen(&mut client, &mut window);
    look(&mut stage);
    window.toplevel.destroy();
    window.xdg_surface.destroy();
    window.surface.destroy();
    client.roundtrip().expect("the client is left alone");
    look(&mut stage);
    assert!(frames >= 3, "only {frames} frames of windows in motion");
    format!("labelled in {frames} frames of opening, growing and closing")
}

fn outputs_and_scales() -> String {
    let mut stage = Stage::with(options().another_output("640x480@2"));
    // New windows open where the user is.
    stage.session.input_on("vitrail-2", &[json!({"event": "move", "x": 300, "y": 300})]);
    let mut client = stage.hostile();
    let mut window = client.window(&WindowOptions::new("elsewhere", PAINT)).expect("a window");
    stage.session.wait_window("elsewhere");
    stage.move_to((799, 599));
    let mut seen = 0;
    for (size, scale) in [("640x480@2", 2), ("640x480@1", 1), ("800x600@1.5", 1)] {
        stage.session.control(&["plug", "vitrail-2", size]);
        client.recolor(&mut window, PAINT).expect("a frame");
        let windows = stage.session.windows();
        let here: Vec<_> = windows.into_iter().filter(|window| window.title == "elsewhere").collect();
        let image = stage.session.screenshot_of("vitrail-2");
        seen += assert_labelled(&image, &here, scale, &[]);
        assert_inside(&image, &here, &[]);
        assert!(
            image.count(Rect::of_size(image.size().0, image.size().1), PAINT) > 0,
            "it is not there at {size}"
        );
    }
    stage.session.control(&["unplug", "vitrail-2"]);
    client.recolor(&mut window, PAINT).expect("a frame");
    seen += stage.assert_contained(&[]);
    format!("{seen} pixels of frames at three scales, and after its output was plugged out")
}

/// A picture of the victim's label inside of a window, as far as a client can imitate it.
fn imitated_label() -> String {
    let mut stage = Stage::new();
    let (mut client, mut window) = stage.window_as(&WindowOptions::new("work - bank", PAINT).size(400, 300));
    let bar = Rect::of_size(400, 40);
    window.canvas.fill(bar, color_of(VICTIM));
    client.show(&window).expect("a buffer");
    client.roundtrip().expect("the client is left alone");
    let windows = stage.session.windows();
    let image = stage.session.screenshot();
    let seen = assert_labelled(&image, &windows, 1, &[]);
    let width = stage.session.size().0;
    let top = image.count(Rect::of_size(width, 1), color_of(HOSTILE));
    assert!(top * 2 > width.unsigned_abs() as usize, "the stripe does not name who has the keyboard");
    stage.keep_picture("imitated-label");
    format!("{seen} pixels of true frames around it, and the stripe names the VM")
}

fn app_id() -> String {
    let mut stage = Stage::new();
    let mut attacker = stage.attacker(Place::Application);
    let globals = attacker.bind_globals().expect("globals");
    let window = attacker.map_window(globals, "plain", (200, 150)).expect("a window");
    for name in ["work", "work.firefox", "local", "vitrail"] {
        attacker.send(&Request::new(window.toplevel, 3).string(name)).expect("a live connection");
        attacker.commit(window.surface).expect("a live connection");
        attacker.roundtrip(crate::deadline::Deadline::patient()).expect("a live connection");
        let shown = stage.session.wait_window("plain");
        assert_eq!((shown.vm.as_str(), shown.label.as_str()), (HOSTILE, HOSTILE), "with the id {name}");
    }
    let image = stage.session.screenshot();
    let windows = stage.session.windows();
    assert_labelled(&image, &windows, 1, &[]);
    let ringed = assert_ringed(&image, 0);
    format!("{ringed} pixels of it in the VM's own colour and under its own label")
}
