//! One table of the states that a window can be in, at every scale: in each the label is whole, and nothing that the client draws is
//! outside what the label surrounds. What is special in one state has tests of its own (`labels`, `popups`, `animation`,
//! `switcher`, `fullscreen`, `xray`).

use std::path::Path;

use smithay::utils::{Physical, Point, Rectangle};
use vitrail::config::{Config, Live};
use vitrail::input::pointer::BUTTON_LEFT;
use vitrail::render::switcher::Grid;
use vitrail::shell::outputs::Head;
use vitrail::shell::popup::PopupRects;
use wayland_client::protocol::wl_data_device_manager::WlDataDeviceManager;

use vitrail::State;

use crate::fixture::{Fixture, Screen, WEB, WORK, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const YELLOW: [u8; 4] = [255, 255, 0, 255];
const MAGENTA: [u8; 4] = [255, 0, 255, 255];
/// All that the client draws.
const DRAWN: [[u8; 4]; 3] = [BLUE, YELLOW, MAGENTA];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    Floating,
    PartlyOutside,
    Columns,
    Snapped,
    Maximized,
    Framed,
    Real,
    Popup,
    NestedPopup,
    Subsurface,
    DragIcon,
    Thumbnail,
    XRay,
    Animation,
    SecondOutput,
}

const CASES: [Case; 15] = [
    Case::Floating,
    Case::PartlyOutside,
    Case::Columns,
    Case::Snapped,
    Case::Maximized,
    Case::Framed,
    Case::Real,
    Case::Popup,
    Case::NestedPopup,
    Case::Subsurface,
    Case::DragIcon,
    Case::Thumbnail,
    Case::XRay,
    Case::Animation,
    Case::SecondOutput,
];

/// A desktop of 800×600 logical pixels with a window of `work` that has the keyboard, and one of `web` beside it.
fn desktop(case: Case, scale: f64) -> (Fixture, Who, usize) {
    let fullscreen = if case == Case::Real { "real" } else { "framed" };
    let text = format!(
        "[background]\npicture = 'none'\nhint = false\n[animation]\nenabled = {}\n[theme]\nfullscreen_flash = 500\n\
         [vm.work]\nlabel = 'Work'\ncolor = '#2e7d32'\npattern = 'stripes'\nmark = 'circle'\nfullscreen = '{fullscreen}'\n\
         [vm.web]\nlabel = 'Web'\ncolor = '#c62828'\n",
        case == Case::Animation
    );
    let config = Config::parse(Path::new("test.toml"), &text).unwrap();
    let size = |length: f64| (length * scale) as i32;
    let mut fixture = Fixture::with(Live::fixed(config), (size(800.0), size(600.0)), scale);
    let web = fixture.connect(vm("web"));
    fixture.window(web, 200, 100, [0xf0, 0xe0, 0xc0, 0xff]);
    let work = fixture.connect(vm("work"));
    fixture.client(work).listen();
    let window = fixture.window(work, 300, 200, BLUE);
    let content = content_of(&mut fixture);
    fixture.click(content.loc.x + 30, content.loc.y + 30);
    fixture.roundtrip(work);
    (fixture, work, window)
}

fn content_of(fixture: &mut Fixture) -> Rectangle<i32, Physical> {
    fixture.report().into_iter().find(|window| window.vm == "work").unwrap().content
}

/// Brings the window into a state.
fn enter(fixture: &mut Fixture, case: Case, work: Who, window: usize) {
    let toplevel = fixture.client(work).told.shown[window].toplevel.clone().unwrap();
    let surface = fixture.client(work).told.shown[window].surface.clone();
    let content = content_of(fixture);
    let before = fixture.client(work).configures(window).len();
    match case {
        Case::Floating => {}
        Case::PartlyOutside => {
            let (x, y) = (content.loc.x + 40, content.loc.y - 8);
            fixture.state().input_pointer_motion(f64::from(x), f64::from(y));
            fixture.state().input_pointer_button(BUTTON_LEFT, true);
            fixture
                .state()
                .input_pointer_motion_by(-f64::from(content.size.w), f64::from(content.size.h) * 3.0);
            fixture.state().input_pointer_button(BUTTON_LEFT, false);
        }
        Case::Columns => fixture.chord(&["leftmeta", "c"]),
        Case::Snapped => fixture.chord(&["leftmeta", "right"]),
        Case::Maximized => toplevel.set_maximized(),
        Case::Framed | Case::Real => toplevel.set_fullscreen(None),
        Case::Popup => drop(popup(fixture, work, window, (280, 150))),
        Case::NestedPopup => {
            let outer = popup(fixture, work, window, (280, 150));
            popup(fixture, work, outer, (60, 40));
        }
        Case::Subsurface => {
            let (sub, role) = fixture.client(work).subsurface(&surface);
            role.set_position(-90, -90);
            fixture.client(work).draw_on(&sub, 600, 500, YELLOW);
            surface.commit();
        }
        Case::DragIcon => drag(fixture, work, window),
        Case::Thumbnail => {
            for (key, pressed) in [("leftmeta", true), ("tab", true), ("tab", false)] {
                fixture.state().input_key(vitrail::ipc::keys::key(key).unwrap(), pressed);
            }
        }
        Case::XRay => {
            for key in ["leftmeta", "x"] {
                fixture.state().input_key(vitrail::ipc::keys::key(key).unwrap(), true);
            }
        }
        Case::Animation => {
            let now = fixture.state().comp.now();
            fixture.state().comp.decor.animations.hold(Some(now));
            fixture.screenshot();
            let later = now + std::time::Duration::from_millis(2000);
            fixture.state().comp.decor.animations.hold(Some(later));
            fixture.screenshot();
            fixture.chord(&["leftmeta", "m"]);
            fixture.screenshot();
            let half = later + std::time::Duration::from_millis(75);
            fixture.state().comp.decor.animations.hold(Some(half));
        }
        Case::SecondOutput => {
            let scale = fixture.state().comp.shell.layout().scale;
            let other = if scale == 1.0 { 1.5 } else { 1.0 };
            assert!(fixture.state().connect_output(Head::virtual_one("right", (900, 700).into(), other)));
            fixture.chord(&["leftmeta", "leftshift", "o"]);
        }
    }
    fixture.roundtrip(work);
    if matches!(case, Case::Columns | Case::Snapped | Case::Maximized | Case::Framed | Case::Real) {
        fixture.wait("a configure", |fixture| fixture.client(work).configures(window).len() > before);
        fixture.client(work).ack(window);
        let (w, h) = fixture.client(work).configures(window).last().unwrap().size;
        // It draws more than it was given, as if it owned the screen.
        fixture.client(work).draw(window, w.max(800), h.max(600), BLUE);
        fixture.roundtrip(work);
    }
}

fn popup(fixture: &mut Fixture, work: Who, parent: usize, (x, y): (i32, i32)) -> usize {
    let popup = fixture.client(work).create_popup(parent, x, y, 90, 70);
    fixture.configured(work, popup, 0);
    fixture.client(work).draw(popup, 90, 70, YELLOW);
    fixture.roundtrip(work);
    popup
}

/// A drag with a picture as large as the screen.
fn drag(fixture: &mut Fixture, work: Who, window: usize) {
    fixture.state().input_pointer_button(BUTTON_LEFT, true);
    fixture.roundtrip(work);
    let origin = fixture.client(work).told.shown[window].surface.clone();
    let client = fixture.client(work);
    let device = client.listen();
    let source = client.bind::<WlDataDeviceManager>().create_data_source(&client.queue, ());
    source.offer(String::from("text/plain"));
    let icon = client.surface();
    device.start_drag(Some(&source), &origin, Some(&icon), client.told.press);
    client.draw_on(&icon, 800, 600, MAGENTA);
    fixture.roundtrip(work);
    assert!(fixture.state().comp.selections.is_dragging(), "the drag goes on");
    fixture.state().input_pointer_motion_by(60.0, 60.0);
}

/// Every pixel of the client's is inside one of these.
#[track_caller]
fn assert_inside(screen: &Screen, inside: &[Rectangle<i32, Physical>], what: &str) {
    let (w, h) = (screen.0.width as i32, screen.0.height as i32);
    for (x, y) in (0..h).flat_map(|y| (0..w).map(move |x| (x, y))) {
        if DRAWN.contains(&screen.pixel(x, y)) && !inside.iter().any(|place| place.contains((x, y))) {
            panic!("{what}: {:?} at {x},{y} is outside of {inside:?}", screen.pixel(x, y));
        }
    }
}

/// The part of the ring that is on the output.
#[track_caller]
fn assert_ring(screen: &Screen, color: [u8; 4], outer: Rectangle<i32, Physical>, width: i32, what: &str) {
    let output = Rectangle::from_size((screen.0.width as i32, screen.0.height as i32).into());
    let Rectangle { loc, size } = outer;
    let at = |x, y, w, h| Rectangle::new((x, y).into(), (w, h).into());
    let sides = [
        at(loc.x, loc.y, size.w, width),
        at(loc.x, loc.y + size.h - width, size.w, width),
        at(loc.x, loc.y, width, size.h),
        at(loc.x + size.w - width, loc.y, width, size.h),
    ];
    let mut seen = 0;
    for side in sides.into_iter().filter_map(|side: Rectangle<i32, Physical>| side.intersection(output)) {
        screen.assert_solid(what, color, side);
        seen += 1;
    }
    assert!(seen >= 2, "{what}: no side of the ring is seen");
}

/// The rings of the popups, and what they surround; those inside their parents have none.
fn popups(fixture: &mut Fixture) -> Vec<PopupRects> {
    let comp = &fixture.state().comp;
    let windows = comp.shell.shown_top_down().filter(|window| window.origin == vm("work"));
    let popups = windows.flat_map(|window| comp.popup_rects(window.handle.wl_surface()));
    popups.map(|popup| popup.rects).collect()
}

#[track_caller]
fn check(fixture: &mut Fixture, case: Case, scale: f64) {
    let what = format!("{case:?} at {scale}");
    let layout = *fixture.state().comp.shell.layout();
    let metrics = layout.metrics.scaled(layout.scale);
    let id = layout.origin;
    if case == Case::Real {
        // The pointer has come from a rest, and the stripe with it.
        fixture.wait("the stripe's going", |fixture| {
            let shell = &fixture.state().comp.shell;
            shell.is_retreated(shell.outputs().active().id)
        });
    }
    let screen = match case {
        Case::SecondOutput => {
            let State { backend, comp, .. } = fixture.state();
            let output = comp.shell.outputs().named("right").unwrap().id;
            Screen(backend.screenshot_of(comp, output).unwrap())
        }
        _ => fixture.screenshot(),
    };
    let here = |rect: Rectangle<i32, Physical>| Rectangle::new(rect.loc - id, rect.size);
    let window = fixture.report().into_iter().find(|window| window.vm == "work").unwrap();
    let (frame, content) = (here(window.frame), here(window.content));
    match case {
        Case::Thumbnail => {
            let grid = Grid::new(&layout, 2, 1);
            let labels = [WORK, WEB];
            let cells: Vec<_> = grid.cells.iter().map(|cell| here(*cell)).collect();
            for (cell, label) in grid.cells.iter().zip(labels) {
                assert_ring(&screen, label, here(layout.frame(*cell).outer), metrics.border, &what);
            }
            let mut inside = cells;
            inside.push(content);
            assert_inside(&screen, &inside, &what);
        }
        Case::XRay => {
            assert_ring(&screen, WORK, frame, metrics.border, &what);
            assert_inside(&screen, &[], &what);
        }
        Case::Animation => {
            // Where it is on its way its frame is found by its colour.
            assert!(fixture.state().comp.decor.animations.is_moving(), "{what}");
            let moving = bounds(&screen, WORK, layout.stripe().size.h).expect("a label");
            assert!(moving != frame, "{what}: it has arrived");
            assert_ring(&screen, WORK, moving, metrics.border, &what);
            let inside = Rectangle::new(
                (moving.loc.x + metrics.border, moving.loc.y + metrics.top()).into(),
                (moving.size.w - 2 * metrics.border, moving.size.h - metrics.top() - metrics.border).into(),
            );
            assert_inside(&screen, &[inside], &what);
        }
        _ => {
            let popups = popups(fixture);
            let mut inside = vec![content];
            let top = popups.len().saturating_sub(1);
            for (index, PopupRects { ring, content }) in popups.into_iter().enumerate() {
                inside.push(here(content));
                // A popup may cover the ring of the one that it belongs to.
                if let Some(outer) = ring.filter(|_| index == top) {
                    assert_ring(&screen, WORK, here(outer), metrics.popup_ring, &what);
                }
            }
            if !matches!(case, Case::Popup | Case::NestedPopup) {
                assert_ring(&screen, WORK, frame, metrics.border, &what);
            }
            assert_inside(&screen, &inside, &what);
        }
    }
}

/// The smallest rectangle with everything of a colour below a line.
fn bounds(screen: &Screen, color: [u8; 4], below: i32) -> Option<Rectangle<i32, Physical>> {
    let (w, h) = (screen.0.width as i32, screen.0.height as i32);
    let points = (below..h).flat_map(|y| (0..w).map(move |x| (x, y)));
    let found = points.filter(|(x, y)| screen.pixel(*x, *y) == color);
    found.map(|point| Rectangle::new(point.into(), (1, 1).into())).reduce(Rectangle::merge)
}

#[test]
fn in_every_state_and_at_every_scale_the_label_is_whole_and_content_is_inside_of_it() {
    for case in CASES {
        for scale in [1.0, 1.25, 1.5, 2.0] {
            let (mut fixture, work, window) = desktop(case, scale);
            enter(&mut fixture, case, work, window);
            // The pointer is drawn over labels, and is beside them here: in the content where that fills the screen.
            let whole = fixture.state().comp.shell.layout().whole();
            let content = content_of(&mut fixture);
            let at = match case {
                Case::Columns | Case::Snapped | Case::Maximized | Case::Framed | Case::Real => {
                    content.loc + Point::from((content.size.w / 2, content.size.h / 2))
                }
                _ => whole.loc + whole.size - Point::from((1, 1)),
            };
            if !matches!(case, Case::DragIcon | Case::SecondOutput) {
                fixture.state().input_pointer_motion(f64::from(at.x), f64::from(at.y));
            }
            check(&mut fixture, case, scale);
        }
    }
}
