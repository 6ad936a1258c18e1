//! How much of the screen is drawn anew. Counted in rectangles and parts of the scene, which are the same on every machine.

use std::path::Path;

use proptest::prelude::*;
use smithay::utils::{Physical, Point, Rectangle};
use vitrail::backend::Repainted;
use vitrail::config::{Config, Live};
use wayland_client::protocol::wl_surface::WlSurface;

use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];
const RED: [u8; 4] = [255, 0, 0, 255];
const GREEN: [u8; 4] = [0, 255, 0, 255];
/// Half of what is behind shines through.
const GLASS: [u8; 4] = [0, 60, 60, 128];

/// VMs that may have as many windows and buffers as a test wants.
const CONFIG: &str = r##"
[local]
label = "local"
color = "#5f6368"
[defaults.limits]
toplevels = 300
[vm.mail]
label = "Mail"
color = "#2e7d32"
[vm.web]
label = "Web"
color = "#c62828"
"##;

/// A compositor with an output of this size.
fn fixture(w: i32, h: i32) -> Fixture {
    Fixture::with(Live::fixed(Config::parse(Path::new("test.toml"), CONFIG).unwrap()), (w, h), 1.0)
}

fn rect(x: i32, y: i32, w: i32, h: i32) -> Rectangle<i32, Physical> {
    Rectangle::new((x, y).into(), (w, h).into())
}

/// Draws all that was asked for.
fn settle(fixture: &mut Fixture) {
    fixture.wait("the last frame", |fixture| !fixture.state().comp.schedule.is_pending());
}

fn repainted(fixture: &mut Fixture) -> &Repainted {
    fixture.state().backend.repainted()
}

/// What was drawn from frame to frame is what a whole frame shows.
#[track_caller]
fn assert_complete(fixture: &mut Fixture, what: &str) {
    let state = fixture.state();
    let shown = state.backend.last_frame().unwrap();
    let whole = state.backend.screenshot(&mut state.comp).unwrap();
    let pixels = shown.rgba.chunks_exact(4).zip(whole.rgba.chunks_exact(4));
    let wrong = pixels.enumerate().find(|(_, (shown, whole))| shown != whole);
    if let Some((index, (shown, whole))) = wrong {
        let width = usize::try_from(state.comp.output_rect().size.w).unwrap();
        let (x, y) = (index % width, index / width);
        panic!("{what}: pixel {x},{y} is {shown:?} on the screen, and {whole:?} in a whole frame");
    }
}

/// Commits a buffer of one colour that differs from the last one in a part.
fn commit(
    fixture: &mut Fixture,
    who: Who,
    surface: &WlSurface,
    color: [u8; 4],
    part: Rectangle<i32, Physical>,
) {
    let client = fixture.client(who);
    let (pool, buffer) = client.buffer(200, 100, color);
    pool.destroy();
    surface.attach(Some(&buffer), 0, 0);
    surface.damage_buffer(part.loc.x, part.loc.y, part.size.w, part.size.h);
    surface.commit();
    fixture.roundtrip(who);
}

/// A window of 200×100 with its surface and the corner of its content, on a screen that is drawn.
fn shown(fixture: &mut Fixture, name: &str) -> (Who, WlSurface, Point<i32, Physical>) {
    let who = fixture.connect(vm(name));
    let window = fixture.window(who, 200, 100, BLUE);
    settle(fixture);
    let corner = content(fixture, name);
    (who, fixture.client(who).told.shown[window].surface.clone(), corner)
}

fn content(fixture: &mut Fixture, name: &str) -> Point<i32, Physical> {
    fixture.report().iter().find(|window| window.vm == name).unwrap().content.loc
}

#[test]
fn a_small_change_repaints_one_small_rectangle() {
    let mut fixture = fixture(800, 600);
    let (mail, surface, corner) = shown(&mut fixture, "mail");
    for step in 0..10 {
        commit(&mut fixture, mail, &surface, BLUE, rect(8 * step, 20, 8, 16));
        settle(&mut fixture);
        let expected = Rectangle::new(corner + Point::from((8 * step, 20)), (8, 16).into());
        assert_eq!(repainted(&mut fixture).rectangles, [expected]);
    }
    assert_complete(&mut fixture, "a cursor");
}

#[test]
fn an_unchanged_screen_renders_nothing() {
    let mut fixture = fixture(800, 600);
    let (mail, surface, _) = shown(&mut fixture, "mail");
    let frames = fixture.state().comp.schedule.frames();
    fixture.roundtrip(mail);
    assert!(!fixture.state().comp.schedule.is_pending());
    assert_eq!(fixture.state().comp.schedule.frames(), frames, "no frame without a reason");
    // A commit without damage is a reason, and so is whatever else asks; there is nothing to draw in either case.
    commit(&mut fixture, mail, &surface, BLUE, Rectangle::default());
    settle(&mut fixture);
    assert_eq!(repainted(&mut fixture).rectangles, []);
    fixture.state().comp.schedule.request();
    fixture.wait("a frame", |fixture| fixture.state().comp.schedule.frames() == frames + 2);
    assert_eq!(repainted(&mut fixture).rectangles, []);
}

#[test]
fn a_window_costs_the_same_among_many_that_do_nothing() {
    let mut alone = fixture(800, 600);
    let mut among = fixture(800, 600);
    let local = among.connect(vitrail::trust::origin::Origin::Local);
    for _ in 0..63 {
        among.window(local, 160, 40, GREEN);
    }
    let mut costs = Vec::new();
    for fixture in [&mut alone, &mut among] {
        let (mail, surface, _) = shown(fixture, "mail");
        commit(fixture, mail, &surface, RED, rect(0, 0, 8, 16));
        settle(fixture);
        let repainted = repainted(fixture);
        costs.push((repainted.elements, repainted.rectangles.len()));
    }
    // Its surface and what that stands on.
    assert_eq!(costs, [(2, 1), (2, 1)]);
}

#[test]
fn a_window_behind_another_repaints_only_what_is_seen_of_it() {
    let mut fixture = fixture(300, 200);
    shown(&mut fixture, "web");
    // What another VM opens goes behind the window with the keyboard.
    let (mail, surface, _) = shown(&mut fixture, "mail");
    let front = fixture.report()[1].clone();
    assert_eq!(front.vm, "web");
    for color in [RED, GREEN, GLASS] {
        commit(&mut fixture, mail, &surface, color, rect(0, 0, 200, 100));
        settle(&mut fixture);
        let rectangles = &repainted(&mut fixture).rectangles;
        assert!(!rectangles.is_empty());
        assert!(rectangles.iter().all(|part| !part.overlaps(front.frame)), "{rectangles:?} over {front:?}");
        assert_complete(&mut fixture, "a window behind another");
    }
}

/// The content was found by the surface in front of all others. Once that was gone, the rest lay where it had lain, so nothing
/// was seen to be gone.
#[test]
fn a_subsurface_that_goes_uncovers_what_is_behind_it() {
    let mut fixture = fixture(400, 300);
    let (mail, surface, _) = shown(&mut fixture, "mail");
    let (child, role) = fixture.client(mail).subsurface(&surface);
    role.set_desync();
    role.set_position(10, 10);
    surface.commit();
    fixture.client(mail).draw_on(&child, 40, 40, RED);
    fixture.roundtrip(mail);
    settle(&mut fixture);
    assert_complete(&mut fixture, "a subsurface");
    fixture.client(mail).draw_on(&child, 40, 40, GREEN);
    fixture.roundtrip(mail);
    settle(&mut fixture);
    assert_eq!(repainted(&mut fixture).elements, 3, "surface, subsurface and backing");
    assert_complete(&mut fixture, "a subsurface of another colour");
    child.attach(None, 0, 0);
    child.commit();
    fixture.roundtrip(mail);
    settle(&mut fixture);
    assert_complete(&mut fixture, "a subsurface that is gone");
}

/// What a step of [`whatever_windows_do_the_screen_is_what_a_whole_frame_shows`] does.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A window draws a part of itself, in one of the colours.
    Draw(usize, usize, (i32, i32, i32, i32)),
    /// A subsurface of it moves and draws.
    Child(usize, usize, (i32, i32)),
    /// The subsurface shows nothing.
    NoChild(usize),
    /// The pointer moves.
    Point(i32, i32),
    /// A click, which may focus, raise or close.
    Click(i32, i32),
    /// A popup opens.
    Popup(usize, usize, (i32, i32)),
    /// A frame is drawn only now.
    Frame,
}

fn step() -> impl Strategy<Value = Step> {
    let window = 0_usize..3;
    let color = 0_usize..4;
    let part = (0..150, 0..80, 1..200, 1..100);
    prop_oneof![
        6 => (window.clone(), color.clone(), part).prop_map(|(window, color, part)| Step::Draw(window, color, part)),
        2 => (window.clone(), color.clone(), (-20..180, -20..90)).prop_map(|(window, color, at)| Step::Child(window, color, at)),
        1 => window.clone().prop_map(Step::NoChild),
        2 => (0..400, 0..300).prop_map(|(x, y)| Step::Point(x, y)),
        1 => (0..400, 30..300).prop_map(|(x, y)| Step::Click(x, y)),
        1 => (window, color, (-50..200, -50..150)).prop_map(|(window, color, at)| Step::Popup(window, color, at)),
        4 => Just(Step::Frame),
    ]
}

struct Actor {
    who: Who,
    window: usize,
    surface: WlSurface,
    child: WlSurface,
    place: wayland_client::protocol::wl_subsurface::WlSubsurface,
}

fn act(fixture: &mut Fixture, actors: &[Actor], step: Step) {
    let colors = [BLUE, RED, GREEN, GLASS];
    match step {
        Step::Draw(index, color, (x, y, w, h)) => {
            // The whole buffer is damaged, since it has another colour, after a part of it was.
            let Actor { who, surface, .. } = &actors[index];
            commit(fixture, *who, surface, colors[color], rect(x, y, w, h));
            surface.damage_buffer(0, 0, 200, 100);
            commit(fixture, *who, surface, colors[color], rect(x, y, w, h));
        }
        Step::Child(index, color, (x, y)) => {
            let Actor { who, surface, child, place, .. } = &actors[index];
            place.set_position(x, y);
            surface.commit();
            fixture.client(*who).draw_on(child, 40, 30, colors[color]);
            fixture.roundtrip(*who);
        }
        Step::NoChild(index) => {
            actors[index].child.attach(None, 0, 0);
            actors[index].child.commit();
            fixture.roundtrip(actors[index].who);
        }
        Step::Point(x, y) => fixture.state().input_pointer_motion(f64::from(x), f64::from(y)),
        Step::Click(x, y) => fixture.click(x, y),
        Step::Popup(index, color, (x, y)) => {
            let Actor { who, window, .. } = actors[index];
            let popup = fixture.client(who).create_popup(window, x, y, 60, 40);
            fixture.roundtrip(who);
            if !fixture.client(who).configures(popup).is_empty() {
                fixture.client(who).ack(popup);
                fixture.client(who).draw(popup, 60, 40, colors[color]);
                fixture.roundtrip(who);
            }
        }
        Step::Frame => {
            settle(fixture);
            assert_complete(fixture, "after a frame");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_windows_do_the_screen_is_what_a_whole_frame_shows(steps in prop::collection::vec(step(), 1..30)) {
        let mut fixture = fixture(400, 300);
        let mut actors = Vec::new();
        for name in ["mail", "web", "mail"] {
            let who = fixture.connect(vm(name));
            let window = fixture.window(who, 200, 100, BLUE);
            let surface = fixture.client(who).told.shown[window].surface.clone();
            let (child, place) = fixture.client(who).subsurface(&surface);
            place.set_desync();
            actors.push(Actor { who, window, surface, child, place });
        }
        settle(&mut fixture);
        for step in steps {
            act(&mut fixture, &actors, step);
        }
        settle(&mut fixture);
        assert_complete(&mut fixture, "in the end");
    }
}
