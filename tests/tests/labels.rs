//! Every window stands in a frame of its VM's colour, and nothing that a client does takes it away.
//! Threat table, rows 1 to 7.

use vitrail_tests::client::{Client, Rect, Window, WindowOptions};
use vitrail_tests::labelled::{assert_labelled, color_of};
use vitrail_tests::session::{Options, Session, places};

/// The colour of the clients' content; no VM has it.
const CONTENT: u32 = 0x00e8_d5b7;

/// A window of every VM and a local one, all mapped.
fn four_windows(session: &mut Session) -> Vec<(Client, Window)> {
    let mut windows = Vec::new();
    for vm in ["work", "personal", "untrusted", "local"] {
        let mut client = session.client(vm);
        let options = WindowOptions::new(vm, CONTENT).scale(session.scale());
        let window = client.window(&options).expect("a window");
        windows.push((client, window));
    }
    session.wait_titles(&["work", "personal", "untrusted", "local"]);
    windows
}

fn every_frame_has_its_colour(options: Options) {
    let mut session = Session::with(options);
    let _clients = four_windows(&mut session);
    let windows = session.windows();
    let image = session.screenshot();
    let seen = assert_labelled(&image, &windows, session.scale(), &[]);
    assert!(seen > 1000, "hardly any frame is visible: {seen} pixels of {windows:?}");
    for window in &windows {
        let expected = (200 * session.scale(), 150 * session.scale());
        assert_eq!((window.content().w, window.content().h), expected, "{window:?}");
        assert_eq!(window.vm, window.title);
        assert_eq!(window.label, window.title);
        session.assert_color(&window.title, CONTENT);
    }
}

#[test]
fn every_frame_has_its_vms_colour_at_scale_1() {
    every_frame_has_its_colour(Options::new(&["work", "personal", "untrusted"]));
}

#[test]
fn every_frame_has_its_vms_colour_at_scale_2() {
    every_frame_has_its_colour(Options::new(&["work", "personal", "untrusted"]).output(1600, 1200, 2));
}

#[test]
fn the_stacking_of_focused_windows_keeps_all_frames() {
    let mut session = Session::start(&["work", "personal", "untrusted"]);
    let _clients = four_windows(&mut session);
    for title in ["work", "untrusted", "personal", "local"] {
        session.focus(title);
        let windows = session.windows();
        assert_labelled(&session.screenshot(), &windows, 1, &[]);
    }
}

#[test]
fn the_top_of_the_output_names_the_vm_that_has_the_keyboard() {
    let mut session = Session::start(&["work", "personal", "untrusted"]);
    let _clients = four_windows(&mut session);
    for vm in ["work", "untrusted", "personal", "local"] {
        session.focus(vm);
        let image = session.screenshot();
        let top = Rect::of_size(image.size().0, 1);
        let colored = image.count(top, color_of(vm));
        assert!(colored * 2 > top.w.unsigned_abs() as usize, "{vm}: only {colored} pixels of the top row");
    }
}

/// A subsurface that reaches beyond its window on every side, and one that is wholly outside.
#[test]
fn subsurfaces_are_clipped_to_the_content() {
    let mut session = Session::start(&["work"]);
    let mut client = session.client("work");
    let mut window = client.window(&WindowOptions::new("host", CONTENT)).unwrap();
    let huge = Rect { x: -400, y: -400, w: 1000, h: 1000 };
    let painted = 0x00ff_00ff;
    let _huge = client.subsurface(&window.surface, huge, painted);
    let _outside = client.subsurface(&window.surface, Rect { x: 250, y: 0, w: 300, h: 300 }, painted);
    client.recolor(&mut window, CONTENT).unwrap();
    let windows = session.windows();
    let content = windows[0].content();
    let image = session.screenshot();
    assert_labelled(&image, &windows, 1, &[]);
    let all = image.count(Rect::of_size(image.size().0, image.size().1), painted);
    assert_eq!(image.count(content, painted), all, "the subsurface shows outside of its window's content");
    assert!(all > 0, "the subsurface does not show at all");
}

#[test]
fn window_geometry_beyond_the_buffer_takes_no_frame_away() {
    let mut session = Session::start(&["work"]);
    let mut client = session.client("work");
    let mut window = client.window(&WindowOptions::new("liar", CONTENT)).unwrap();
    for (x, y, w, h) in [(-50, -50, 100, 100), (0, 0, 5000, 5000), (150, 100, 3000, 20), (0, 0, 1, 1)] {
        window.xdg_surface.set_window_geometry(x, y, w, h);
        client.recolor(&mut window, CONTENT).unwrap();
        let windows = session.windows();
        assert_labelled(&session.screenshot(), &windows, 1, &[]);
    }
}

#[test]
fn fullscreen_and_maximized_windows_keep_their_frame_on_the_screen() {
    let mut session = Session::start(&["untrusted"]);
    let mut client = session.client("untrusted");
    let mut window = client.window(&WindowOptions::new("big", CONTENT)).unwrap();
    for big in ["fullscreen", "maximized"] {
        let before = client.state.surface(window.number).configures.len();
        if big == "fullscreen" {
            window.toplevel.set_fullscreen(None);
        } else {
            window.toplevel.unset_fullscreen();
            window.toplevel.set_maximized();
        }
        let number = window.number;
        client.wait_until(big, |state| state.surface(number).configures.len() > before).unwrap();
        client.roundtrip().unwrap();
        let configure = client.state.surface(number).configures.last().cloned().unwrap();
        window.xdg_surface.ack_configure(configure.serial);
        let (width, height) = configure.size;
        let size = if width > 0 && height > 0 { (width, height) } else { (1280, 800) };
        window.canvas = vitrail_tests::client::Canvas::new(size.0, size.1, CONTENT);
        window.buffers = client.buffers(2, size.0, size.1);
        client.recolor(&mut window, CONTENT).unwrap();
        let windows = session.windows();
        let image = session.screenshot();
        let frame = windows[0].frame();
        let output = image.size();
        let inside =
            frame.x >= 0 && frame.y >= 0 && frame.x + frame.w <= output.0 && frame.y + frame.h <= output.1;
        assert!(inside, "the frame of a {big} window leaves the screen: {frame:?}");
        assert_labelled(&image, &windows, 1, &[]);
    }
}

/// A popup that would cover the whole screen, and with it every label.
#[test]
fn a_popup_covers_no_frame_of_another_vm_and_has_a_ring_of_its_own() {
    let mut session = Session::start(&["work", "untrusted"]);
    let mut victim = session.client("work");
    let _victim = victim.window(&WindowOptions::new("victim", 0x0012_3456)).unwrap();
    let mut client = session.client("untrusted");
    let window = client.window(&WindowOptions::new("host", CONTENT)).unwrap();
    session.wait_titles(&["victim", "host"]);
    session.focus("host");
    client.roundtrip().unwrap();
    let painted = 0x00ff_00ff;
    let place = Rect { x: 150, y: 100, w: 300, h: 200 };
    let popup = client.popup(&window.xdg_surface, place, painted).unwrap();
    client.roundtrip().unwrap();
    assert!(
        !client.state.surface(popup.number).dismissed,
        "the window has the keyboard, so it may have popups"
    );
    let image = session.screenshot();
    let screen = Rect::of_size(image.size().0, image.size().1);
    assert!(image.count(screen, painted) > 1000, "the popup does not show");
    for (x, y) in places(screen).filter(|&(x, y)| image.pixel(x, y) == Some(painted)) {
        for (x, y) in [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)] {
            let next = image.pixel(x, y);
            let own = [painted, CONTENT, color_of("untrusted")];
            assert!(
                next.is_some_and(|next| own.contains(&next)),
                "beside the popup at ({x}, {y}): {next:06x?}"
            );
        }
    }
}

#[test]
fn titles_are_cleaned_and_never_name_the_window() {
    let mut session = Session::start(&["untrusted"]);
    let mut client = session.client("untrusted");
    let options =
        WindowOptions::new("[work] \u{202e}knab\u{7}\n\0x".split('\0').next().unwrap_or(""), CONTENT);
    let _window = client.window(&options).unwrap();
    let windows = session.wait_windows("the window", |windows| windows.len() == 1);
    assert_eq!(windows[0].vm, "untrusted");
    assert_eq!(windows[0].label, "untrusted");
    let bad = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!windows[0].title.contains(bad), "{:?}", windows[0].title);
    assert_labelled(&session.screenshot(), &windows, 1, &[]);
}

#[test]
fn alpha_shows_an_opaque_backing_and_no_other_window() {
    use wayland_client::protocol::wl_shm::Format;
    let mut session = Session::start(&["work", "untrusted"]);
    let below_color = 0x0012_34ff;
    let mut victim = session.client("work");
    let _below = victim.window(&WindowOptions::new("below", below_color).size(600, 400)).unwrap();
    session.wait_titles(&["below"]);
    let mut client = session.client("untrusted");
    let mut glass = client.unmapped_window(&WindowOptions::new("glass", 0).size(600, 400));
    glass.surface.commit();
    client.acknowledge(glass.number, &glass.xdg_surface).unwrap();
    glass.buffers = client.buffers_of(Format::Argb8888, 2, 600, 400);
    client.recolor(&mut glass, 0).unwrap();
    session.wait_titles(&["below", "glass"]);
    session.focus("glass");
    let windows = session.windows();
    let content = windows.iter().find(|window| window.title == "glass").unwrap().content();
    assert_eq!(session.screenshot().count(content, below_color), 0, "another VM's pixels show through");
}
