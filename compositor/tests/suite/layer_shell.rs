//! Bars, wallpapers and launchers: where they stand, what they cover, and when they have the keyboard.

use smithay::utils::{Physical, Rectangle};
use vitrail::trust::origin::Origin;
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols::xdg::shell::client::xdg_popup::XdgPopup;
use wayland_protocols::xdg::shell::client::xdg_positioner::{Anchor as PopupAnchor, Gravity, XdgPositioner};
use wayland_protocols::xdg::shell::client::xdg_surface::XdgSurface;
use wayland_protocols::xdg::shell::client::xdg_wm_base::XdgWmBase;
use wayland_protocols_wlr::layer_shell::v1::client::zwlr_layer_shell_v1::{Layer, ZwlrLayerShellV1};
use wayland_protocols_wlr::layer_shell::v1::client::zwlr_layer_surface_v1::{
    self, Anchor, KeyboardInteractivity, ZwlrLayerSurfaceV1,
};

use crate::client::Told;
use crate::fixture::{Fixture, LOCAL, Screen, WORK, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];
const PINK: [u8; 4] = [255, 0, 255, 255];
const KEY_A: u32 = 30;

delegate_noop!(Told: ignore ZwlrLayerShellV1);

/// The data is whether configures are acknowledged.
impl Dispatch<ZwlrLayerSurfaceV1, bool> for Told {
    fn event(
        told: &mut Self,
        layer: &ZwlrLayerSurfaceV1,
        event: zwlr_layer_surface_v1::Event,
        acknowledges: &bool,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            zwlr_layer_surface_v1::Event::Configure { serial, width, height } => {
                if *acknowledges {
                    layer.ack_configure(serial);
                }
                told.words.push(format!("{width} {height}"));
            }
            zwlr_layer_surface_v1::Event::Closed => told.words.push(String::from("closed")),
            _ => {}
        }
    }
}

/// The popup of a layer surface; the data is nothing.
impl Dispatch<XdgSurface, ()> for Told {
    fn event(
        told: &mut Self,
        surface: &XdgSurface,
        event: wayland_protocols::xdg::shell::client::xdg_surface::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wayland_protocols::xdg::shell::client::xdg_surface::Event::Configure { serial } = event {
            surface.ack_configure(serial);
            told.words.push(String::from("popup configured"));
        }
    }
}

impl Dispatch<XdgPopup, ()> for Told {
    fn event(
        told: &mut Self,
        _: &XdgPopup,
        event: wayland_protocols::xdg::shell::client::xdg_popup::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wayland_protocols::xdg::shell::client::xdg_popup::Event::PopupDone = event {
            told.words.push(String::from("popup done"));
        }
    }
}

struct Shown {
    surface: WlSurface,
    layer: ZwlrLayerSurfaceV1,
}

/// A layer surface that was asked for and has no content.
fn create(
    fixture: &mut Fixture,
    who: Who,
    layer: Layer,
    acknowledges: bool,
    wish: impl FnOnce(&ZwlrLayerSurfaceV1),
) -> Shown {
    let client = fixture.client(who);
    let surface = client.surface();
    let shell: ZwlrLayerShellV1 = client.bind();
    let queue = client.queue.clone();
    let layer = shell.get_layer_surface(&surface, None, layer, String::from("test"), &queue, acknowledges);
    wish(&layer);
    surface.commit();
    Shown { surface, layer }
}

/// The size that the client was told last.
fn told(fixture: &mut Fixture, who: Who) -> (i32, i32) {
    let words = &fixture.client(who).told.words;
    let sizes = words.iter().rev().filter_map(|word| {
        let (w, h) = word.split_once(' ')?;
        Some((w.parse().ok()?, h.parse().ok()?))
    });
    sizes.clone().next().unwrap()
}

/// A layer surface that fills the place it was given with one colour.
fn show(
    fixture: &mut Fixture,
    who: Who,
    layer: Layer,
    color: [u8; 4],
    wish: impl FnOnce(&ZwlrLayerSurfaceV1),
) -> Shown {
    let before = fixture.client(who).told.words.len();
    let shown = create(fixture, who, layer, true, wish);
    fixture.wait("the place", |fixture| fixture.client(who).told.words.len() > before);
    let (w, h) = told(fixture, who);
    fixture.client(who).draw_on(&shown.surface, w, h, color);
    fixture.roundtrip(who);
    shown
}

/// A bar below the stripe, of 30 pixels.
pub fn show_bar(fixture: &mut Fixture, who: Who) {
    show(fixture, who, Layer::Top, YELLOW, bar);
}

fn bar(layer: &ZwlrLayerSurfaceV1) {
    layer.set_anchor(Anchor::Top | Anchor::Left | Anchor::Right);
    layer.set_size(0, 30);
    layer.set_exclusive_zone(30);
}

fn everywhere(layer: &ZwlrLayerSurfaceV1) {
    layer.set_anchor(Anchor::all());
    layer.set_exclusive_zone(-1);
}

fn launcher(layer: &ZwlrLayerSurfaceV1) {
    layer.set_size(120, 60);
    layer.set_keyboard_interactivity(KeyboardInteractivity::Exclusive);
}

fn rect(x: i32, y: i32, w: i32, h: i32) -> Rectangle<i32, Physical> {
    Rectangle::new((x, y).into(), (w, h).into())
}

/// The stripe of an output of 400 pixels, pixel by pixel.
fn stripe(screen: &Screen) -> Vec<[u8; 4]> {
    (0..24).flat_map(|y| (0..400).map(move |x| (x, y))).map(|(x, y)| screen.pixel(x, y)).collect()
}

/// A window of a VM, and a local client.
fn both(fixture: &mut Fixture) -> (Who, usize, Who) {
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    let window = fixture.window(work, 200, 100, BLUE);
    let local = fixture.connect(Origin::Local);
    fixture.client(local).listen();
    (work, window, local)
}

fn has_keyboard(fixture: &mut Fixture, who: Who) -> bool {
    fixture.roundtrip(who);
    fixture.client(who).told.keyboard.is_some()
}

#[test]
fn a_bar_takes_its_room_from_maximised_windows_and_gives_it_back() {
    let mut fixture = Fixture::new();
    let (work, window, local) = both(&mut fixture);
    fixture.client(work).told.shown[window].toplevel.as_ref().unwrap().set_maximized();
    fixture.roundtrip(work);
    let size = |fixture: &mut Fixture| {
        fixture.roundtrip(work);
        fixture.client(work).ack(window);
        fixture.client(work).configures(window).last().unwrap().size
    };
    let (w, h) = size(&mut fixture);
    assert_eq!(fixture.report()[0].frame, rect(0, 24, 400, 276));
    let shown = show(&mut fixture, local, Layer::Top, YELLOW, bar);
    assert_eq!(told(&mut fixture, local), (400, 30));
    assert_eq!(size(&mut fixture), (w, h - 30));
    assert_eq!(fixture.report()[0].frame, rect(0, 54, 400, 246));
    let screen = fixture.screenshot();
    screen.assert_solid("the bar", YELLOW, rect(0, 24, 400, 30));
    screen.assert_ring(WORK, rect(0, 54, 400, 246), 4);
    // Unmapped, and then gone.
    shown.surface.attach(None, 0, 0);
    shown.surface.commit();
    fixture.roundtrip(local);
    assert_eq!(fixture.report()[0].frame, rect(0, 24, 400, 276));
    let again = show(&mut fixture, local, Layer::Bottom, YELLOW, bar);
    assert_eq!(fixture.report()[0].frame, rect(0, 54, 400, 246));
    again.layer.destroy();
    fixture.roundtrip(local);
    assert_eq!(fixture.report()[0].frame, rect(0, 24, 400, 276));
    assert_eq!(size(&mut fixture), (w, h));
    assert!(!fixture.client(local).ended());
}

#[test]
fn an_unmapped_surface_can_be_shown_again() {
    let mut fixture = Fixture::new();
    let local = fixture.connect(Origin::Local);
    let shown = show(&mut fixture, local, Layer::Top, YELLOW, bar);
    shown.surface.attach(None, 0, 0);
    shown.surface.commit();
    fixture.roundtrip(local);
    let before = fixture.client(local).told.words.len();
    assert_ne!(fixture.screenshot().pixel(10, 30), YELLOW);
    shown.surface.commit();
    fixture.roundtrip(local);
    assert_eq!(fixture.client(local).told.words.len(), before + 1, "it is configured again");
    fixture.client(local).draw_on(&shown.surface, 400, 30, PINK);
    fixture.roundtrip(local);
    fixture.screenshot().assert_solid("the bar", PINK, rect(0, 24, 400, 30));
}

/// The stripe is the one thing on the screen that says who has the keyboard. An overlay may ask for the whole output, stand at a
/// negative distance, be larger than its place and have subsurfaces beside it.
#[test]
fn an_overlay_over_the_whole_output_does_not_cover_the_stripe() {
    let mut fixture = Fixture::new();
    let (_, _, local) = both(&mut fixture);
    let before = stripe(&fixture.screenshot());
    let shown = show(&mut fixture, local, Layer::Overlay, YELLOW, |layer| {
        everywhere(layer);
        layer.set_margin(-100, -100, -100, -100);
    });
    for (w, h) in [(400, 300), (900, 900)] {
        fixture.client(local).draw_on(&shown.surface, w, h, YELLOW);
        let (child, role) = fixture.client(local).subsurface(&shown.surface);
        role.set_position(0, -60);
        fixture.client(local).draw_on(&child, 400, 60, PINK);
        shown.surface.commit();
        fixture.roundtrip(local);
        let screen = fixture.screenshot();
        assert!(stripe(&screen) == before, "the stripe has changed");
        screen.assert_solid("the overlay", YELLOW, rect(0, 24, 400, 276));
    }
    for target in [(5, 5), (200, 23)] {
        fixture.state().input_pointer_motion(f64::from(target.0), f64::from(target.1));
        fixture.roundtrip(local);
        assert!(fixture.client(local).told.pointer.is_none(), "it is reached in the stripe at {target:?}");
    }
}

#[test]
fn what_a_bar_draws_beside_its_place_is_cut_and_takes_no_input() {
    let mut fixture = Fixture::new();
    let (_, _, local) = both(&mut fixture);
    let shown = show(&mut fixture, local, Layer::Top, YELLOW, |layer| {
        layer.set_anchor(Anchor::Top | Anchor::Left);
        layer.set_size(100, 30);
    });
    fixture.client(local).draw_on(&shown.surface, 300, 200, YELLOW);
    fixture.roundtrip(local);
    let screen = fixture.screenshot();
    screen.assert_solid("the bar", YELLOW, rect(0, 24, 100, 30));
    let outside =
        (24..300).flat_map(|y| (0..400).map(move |x| (x, y))).filter(|(x, y)| *x >= 100 || *y >= 54);
    let mut drawn = outside.filter(|(x, y)| screen.pixel(*x, *y) == YELLOW);
    assert_eq!(drawn.next(), None);
    for (x, y, reached) in [(99.0, 53.0, true), (100.0, 30.0, false), (50.0, 54.0, false)] {
        fixture.state().input_pointer_motion(x, y);
        fixture.roundtrip(local);
        assert_eq!(fixture.client(local).told.pointer.is_some(), reached, "at {x},{y}");
    }
}

#[test]
fn layers_are_stacked_around_the_windows() {
    let mut fixture = Fixture::new();
    let (_, _, local) = both(&mut fixture);
    let frame = fixture.report()[0].frame;
    for (layer, color) in [(Layer::Bottom, PINK), (Layer::Background, YELLOW)] {
        show(&mut fixture, local, layer, color, everywhere);
        let screen = fixture.screenshot();
        screen.assert_ring(WORK, frame, 4);
        assert_eq!(screen.pixel(399, 299), PINK, "the wallpaper is below the bottom layer");
    }
    for (layer, color, seen) in
        [(Layer::Overlay, [9, 9, 9, 255], [9, 9, 9, 255]), (Layer::Top, YELLOW, [9, 9, 9, 255])]
    {
        show(&mut fixture, local, layer, color, everywhere);
        fixture.screenshot().assert_solid("what is on top", seen, rect(0, 24, 400, 276));
    }
}

#[test]
fn a_launcher_takes_the_keyboard_in_sight_and_gives_it_back() {
    let mut fixture = Fixture::new();
    let (work, _, local) = both(&mut fixture);
    let keyboard = |fixture: &mut Fixture| fixture.screenshot().pixel(240, 10);
    assert_eq!(keyboard(&mut fixture), WORK);
    fixture.state().input_key(KEY_A, true);
    let shown = show(&mut fixture, local, Layer::Top, YELLOW, launcher);
    assert_eq!(keyboard(&mut fixture), LOCAL, "the stripe says whose the keyboard is");
    assert!(fixture.report().iter().all(|window| !window.focused));
    assert!(has_keyboard(&mut fixture, local) && !has_keyboard(&mut fixture, work));
    assert_eq!(fixture.client(work).told.keys, [(KEY_A, true), (KEY_A, false)], "the held key ends");
    assert_eq!(fixture.client(local).told.held, 0);
    // The release of the old press reaches nobody, a new press the launcher alone.
    fixture.state().input_key(KEY_A, false);
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_key(KEY_A, false);
    fixture.roundtrip(local);
    fixture.roundtrip(work);
    assert_eq!(fixture.client(local).told.keys, [(KEY_A, true), (KEY_A, false)]);
    assert_eq!(fixture.client(work).told.keys.len(), 2);
    // A press on the window does not take it from the launcher.
    let content = fixture.report()[0].content;
    fixture.click(content.loc.x + 2, content.loc.y + 2);
    assert!(has_keyboard(&mut fixture, local) && !has_keyboard(&mut fixture, work));
    shown.layer.destroy();
    fixture.roundtrip(local);
    assert!(has_keyboard(&mut fixture, work) && !has_keyboard(&mut fixture, local));
    assert_eq!(keyboard(&mut fixture), WORK);
}

#[test]
fn the_keyboard_comes_back_when_the_launcher_crashes() {
    let mut fixture = Fixture::new();
    let (work, _, local) = both(&mut fixture);
    show(&mut fixture, local, Layer::Overlay, YELLOW, launcher);
    assert!(!has_keyboard(&mut fixture, work));
    // A protocol error ends its connection.
    let bad = create(&mut fixture, local, Layer::Top, true, |_| {});
    fixture.wait("the end", |fixture| fixture.client(local).ended());
    drop(bad);
    fixture.wait("the keyboard", |fixture| fixture.client(work).told.keyboard.is_some());
    assert_eq!(fixture.screenshot().pixel(240, 10), WORK);
}

#[test]
fn a_launcher_is_asked_to_close_by_the_key_and_no_window_is() {
    let mut fixture = Fixture::new();
    let (work, window, local) = both(&mut fixture);
    show(&mut fixture, local, Layer::Top, YELLOW, launcher);
    let (leftmeta, q) = (125, 16);
    for (key, pressed) in [(leftmeta, true), (q, true), (q, false), (leftmeta, false)] {
        fixture.state().input_key(key, pressed);
    }
    fixture.roundtrip(local);
    fixture.roundtrip(work);
    assert!(fixture.client(local).told.words.contains(&String::from("closed")));
    assert!(!fixture.client(work).told.shown[window].asked_to_close);
}

#[test]
fn a_dock_gets_the_keyboard_by_a_press_and_loses_it_by_one_on_a_window() {
    let mut fixture = Fixture::new();
    let (work, _, local) = both(&mut fixture);
    show(&mut fixture, local, Layer::Bottom, YELLOW, |layer| {
        layer.set_anchor(Anchor::Bottom | Anchor::Left | Anchor::Right);
        layer.set_size(0, 40);
        layer.set_keyboard_interactivity(KeyboardInteractivity::OnDemand);
    });
    assert!(!has_keyboard(&mut fixture, local), "not by itself");
    fixture.click(200, 290);
    assert!(has_keyboard(&mut fixture, local) && !has_keyboard(&mut fixture, work));
    assert_eq!(fixture.screenshot().pixel(240, 10), LOCAL);
    let content = fixture.report()[0].content;
    fixture.click(content.loc.x + 2, content.loc.y + 2);
    assert!(has_keyboard(&mut fixture, work) && !has_keyboard(&mut fixture, local));
    fixture.click(200, 290);
    assert!(has_keyboard(&mut fixture, local));
    fixture.click(395, 200);
    assert!(has_keyboard(&mut fixture, work), "the bare desktop gives it back");
}

#[test]
fn a_surface_without_the_keyboard_leaves_it_where_it_is() {
    let mut fixture = Fixture::new();
    let (work, _, local) = both(&mut fixture);
    show(&mut fixture, local, Layer::Overlay, YELLOW, everywhere);
    fixture.click(200, 200);
    assert!(has_keyboard(&mut fixture, work) && !has_keyboard(&mut fixture, local));
    assert!(fixture.client(local).told.pointer.is_some() && fixture.client(work).told.pointer.is_none());
}

#[test]
fn an_empty_input_region_lets_the_pointer_through_a_notice() {
    let mut fixture = Fixture::new();
    let (work, _, local) = both(&mut fixture);
    let shown = show(&mut fixture, local, Layer::Overlay, YELLOW, everywhere);
    let content = fixture.report()[0].content;
    let over = |fixture: &mut Fixture, who: Who| {
        fixture.state().input_pointer_motion(f64::from(content.loc.x + 9), f64::from(content.loc.y + 9));
        fixture.roundtrip(who);
        fixture.client(who).told.pointer.is_some()
    };
    assert!(!over(&mut fixture, work) && over(&mut fixture, local));
    let queue = fixture.client(local).queue.clone();
    let empty = fixture.client(local).bind::<WlCompositor>().create_region(&queue, ());
    shown.surface.set_input_region(Some(&empty));
    shown.surface.commit();
    fixture.roundtrip(local);
    assert!(over(&mut fixture, work) && !over(&mut fixture, local));
}

/// A menu of a bar, which is shown once this returns.
fn menu(fixture: &mut Fixture, who: Who, parent: &Shown) -> XdgPopup {
    let client = fixture.client(who);
    let queue = client.queue.clone();
    let base: XdgWmBase = client.bind();
    let positioner: XdgPositioner = base.create_positioner(&queue, ());
    positioner.set_size(80, 60);
    positioner.set_anchor_rect(20, 0, 1, 30);
    positioner.set_anchor(PopupAnchor::Bottom);
    positioner.set_gravity(Gravity::Bottom);
    let surface = client.surface();
    let xdg = base.get_xdg_surface(&surface, &queue, ());
    let popup = xdg.get_popup(None, &positioner, &queue, ());
    parent.layer.get_popup(&popup);
    popup.grab(&client.seat(), client.told.press);
    surface.commit();
    let configured = String::from("popup configured");
    fixture.wait("the menu", |fixture| fixture.client(who).told.words.contains(&configured));
    fixture.client(who).draw_on(&surface, 80, 60, PINK);
    fixture.roundtrip(who);
    popup
}

#[test]
fn a_bars_menu_wears_the_local_ring_takes_no_keyboard_and_closes_by_a_press_beside_it() {
    let mut fixture = Fixture::new();
    let (work, _, local) = both(&mut fixture);
    let shown = show(&mut fixture, local, Layer::Top, YELLOW, bar);
    fixture.click(20, 30);
    fixture.roundtrip(local);
    menu(&mut fixture, local, &shown);
    let comp = &fixture.state().comp;
    let placed = comp.popup_rects(comp.layers.all().next().unwrap().handle.wl_surface());
    assert_eq!(placed.len(), 1);
    let ring = placed[0].rects.ring.expect("a ring");
    assert!(ring.loc.y >= 24);
    let screen = fixture.screenshot();
    screen.assert_ring(LOCAL, ring, 2);
    screen.assert_solid("the menu", PINK, placed[0].rects.content);
    assert!(has_keyboard(&mut fixture, work) && !has_keyboard(&mut fixture, local));
    assert_eq!(screen.pixel(240, 10), WORK);
    // It gets the pointer, and stays for it.
    let inside = placed[0].rects.content.loc;
    fixture.click(inside.x + 5, inside.y + 5);
    fixture.roundtrip(local);
    let done = String::from("popup done");
    assert_eq!(fixture.client(local).told.pointer.as_ref().map(|(_, x, y)| (*x, *y)), Some((5.0, 5.0)));
    assert!(!fixture.client(local).told.words.contains(&done));
    fixture.click(390, 290);
    fixture.roundtrip(local);
    assert!(fixture.client(local).told.words.contains(&done));
}

#[test]
fn a_launchers_menu_has_the_input_until_a_press_beside_it() {
    let mut fixture = Fixture::new();
    let (work, _, local) = both(&mut fixture);
    let shown = show(&mut fixture, local, Layer::Top, YELLOW, |layer| {
        bar(layer);
        layer.set_keyboard_interactivity(KeyboardInteractivity::OnDemand);
    });
    fixture.click(20, 30);
    assert!(has_keyboard(&mut fixture, local));
    menu(&mut fixture, local, &shown);
    fixture.state().input_key(KEY_A, true);
    fixture.state().input_key(KEY_A, false);
    fixture.roundtrip(local);
    assert_eq!(fixture.client(local).told.keys, [(KEY_A, true), (KEY_A, false)]);
    fixture.click(390, 290);
    fixture.roundtrip(local);
    assert!(fixture.client(local).told.words.contains(&String::from("popup done")));
    fixture.roundtrip(work);
    assert!(fixture.client(work).told.keys.is_empty());
}

#[test]
fn sizes_are_told_in_the_outputs_scale_and_fill_the_place() {
    for (scale, told_width) in [(2.0, 200), (1.5, 267)] {
        let mut fixture = Fixture::sized(400, 300, scale);
        let local = fixture.connect(Origin::Local);
        show(&mut fixture, local, Layer::Top, YELLOW, bar);
        assert_eq!(told(&mut fixture, local), (told_width, 30), "at {scale}");
        let top = fixture.state().comp.shell.layout().stripe().size.h;
        let height = if scale > 1.9 { 60 } else { 45 };
        let screen = fixture.screenshot();
        // Scaling blends the outermost pixels with what is beside them, so they are only nearly of the colour.
        screen.assert_solid("the bar", YELLOW, rect(2, top + 2, 396, height - 4));
        let [r, g, b, _] = screen.pixel(399, top + height / 2);
        assert!(r > 128 && g > 128 && b < 64, "no gap at the far end at {scale}");
    }
}

#[test]
fn mistakes_end_the_client_with_the_protocols_errors() {
    let shell = "zwlr_layer_shell_v1";
    let surface = "zwlr_layer_surface_v1";
    type Mistake = fn(&mut Fixture, Who);
    let cases: [(&str, u32, Mistake); 5] = [
        (surface, 1, |fixture, who| {
            create(fixture, who, Layer::Top, true, |layer| layer.set_size(0, 30));
        }),
        (surface, 1, |fixture, who| {
            create(fixture, who, Layer::Top, true, |layer| layer.set_size(u32::MAX, 30));
        }),
        (surface, 2, |fixture, who| {
            create(fixture, who, Layer::Top, true, |layer| {
                layer.set_size(10, 10);
                layer.set_anchor(Anchor::from_bits_retain(1 << 9));
            });
        }),
        (surface, 0, |fixture, who| {
            create(fixture, who, Layer::Top, true, |layer| layer.ack_configure(7));
        }),
        (shell, 2, |fixture, who| {
            let client = fixture.client(who);
            let drawn = client.surface();
            client.draw_on(&drawn, 10, 10, YELLOW);
            let (shell, queue): (ZwlrLayerShellV1, _) = (client.bind(), client.queue.clone());
            shell.get_layer_surface(&drawn, None, Layer::Top, String::new(), &queue, true);
        }),
    ];
    let mut fixture = Fixture::new();
    for (index, (interface, code, mistake)) in cases.into_iter().enumerate() {
        let local = fixture.connect(Origin::Local);
        mistake(&mut fixture, local);
        fixture.wait("the end", |fixture| fixture.client(local).ended());
        let error = fixture.client(local).error();
        assert_eq!(error, Some((interface.to_owned(), code)), "case {index}");
    }
}

#[test]
fn content_before_the_first_configure_is_an_error_and_not_shown() {
    let mut fixture = Fixture::new();
    let local = fixture.connect(Origin::Local);
    let shown = create(&mut fixture, local, Layer::Overlay, false, everywhere);
    fixture.client(local).draw_on(&shown.surface, 400, 276, YELLOW);
    fixture.wait("the end", |fixture| fixture.client(local).ended());
    assert_ne!(fixture.screenshot().pixel(200, 200), YELLOW);
}

#[test]
fn a_client_that_acknowledges_nothing_is_not_told_for_ever() {
    let mut fixture = Fixture::new();
    let local = fixture.connect(Origin::Local);
    let shown = create(&mut fixture, local, Layer::Top, false, |layer| layer.set_size(10, 10));
    for round in 0..600 {
        shown.layer.set_size(10 + round % 2, 10);
        shown.surface.commit();
    }
    fixture.wait("the end", |fixture| fixture.client(local).ended());
}

#[test]
fn a_snapped_window_and_columns_stand_in_what_a_bar_leaves() {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    let (work, window, local) = both(&mut fixture);
    fixture.chord(&["leftmeta", "left"]);
    assert_eq!(fixture.report()[0].frame, rect(0, 24, 400, 576));
    let shown = show(&mut fixture, local, Layer::Top, YELLOW, bar);
    assert_eq!(fixture.report()[0].frame, rect(0, 54, 400, 546));
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).configures(window).last().unwrap().size, (392, 546 - 32));
    // On a workspace that is not on the screen it is told as well.
    fixture.chord(&["leftmeta", "2"]);
    shown.layer.destroy();
    fixture.roundtrip(local);
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).configures(window).last().unwrap().size, (392, 576 - 32));
    fixture.chord(&["leftmeta", "1"]);
    fixture.chord(&["leftmeta", "right"]);
    fixture.chord(&["leftmeta", "c"]);
    assert_eq!(fixture.report()[0].frame, rect(0, 24, 800, 576));
    show(&mut fixture, local, Layer::Top, YELLOW, bar);
    assert_eq!(fixture.report()[0].frame, rect(0, 54, 800, 546));
    fixture.roundtrip(work);
    assert_eq!(fixture.client(work).configures(window).last().unwrap().size, (792, 546 - 32));
}

#[test]
fn chords_do_nothing_to_the_window_behind_a_launcher_and_choosing_a_window_leaves_a_dock() {
    let mut fixture = Fixture::new();
    let (work, _, local) = both(&mut fixture);
    let before = fixture.report()[0].frame;
    let launcher = show(&mut fixture, local, Layer::Top, YELLOW, launcher);
    for key in ["m", "n", "left"] {
        fixture.chord(&["leftmeta", key]);
        assert_eq!(fixture.report()[0].frame, before);
    }
    launcher.layer.destroy();
    fixture.roundtrip(local);
    assert!(has_keyboard(&mut fixture, work));
    show(&mut fixture, local, Layer::Bottom, YELLOW, |layer| {
        layer.set_anchor(Anchor::Bottom | Anchor::Left | Anchor::Right);
        layer.set_size(0, 40);
        layer.set_keyboard_interactivity(KeyboardInteractivity::OnDemand);
    });
    for chord in [["leftmeta", "tab"], ["leftmeta", "2"]] {
        fixture.chord(&["leftmeta", "1"]);
        fixture.click(200, 290);
        assert!(has_keyboard(&mut fixture, local));
        fixture.chord(&chord);
        assert!(!has_keyboard(&mut fixture, local));
    }
}
