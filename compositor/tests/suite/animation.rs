//! Windows on their way: the label is whole in every step, nothing of a VM is outside it, and nothing moves longer than it should.

use std::path::Path;
use std::time::Duration;

use smithay::utils::{Physical, Rectangle};
use vitrail::config::{Config, Live};

use crate::fixture::{Fixture, Screen, WORK, Who, vm};

const CONTENT: [u8; 4] = [0xf0, 0xe0, 0xc0, 0xff];
/// Width of the frame's sides and height of its title bar.
const BORDER: i32 = 4;
const BAR: i32 = 28;

fn desktop(animation: &str) -> Fixture {
    let text = format!(
        "[vm.work]\nlabel = \"Work\"\ncolor = \"#2e7d32\"\n[background]\npicture = \"none\"\nhint = false\n[animation]\n{animation}"
    );
    let config = Config::parse(Path::new("test.toml"), &text).unwrap();
    let mut fixture = Fixture::with(Live::fixed(config), (1000, 640), 1.0);
    // What is there when the first frame is drawn does not move.
    fixture.screenshot();
    fixture
}

/// A clock that stands still until it is told to go on.
struct Clock(Duration);

impl Clock {
    fn start(fixture: &mut Fixture) -> Self {
        let now = fixture.state().comp.now();
        fixture.state().comp.decor.animations.hold(Some(now));
        Self(now)
    }

    /// The picture after some more milliseconds.
    fn after(&mut self, fixture: &mut Fixture, milliseconds: u64) -> Screen {
        self.0 += Duration::from_millis(milliseconds);
        fixture.state().comp.decor.animations.hold(Some(self.0));
        fixture.screenshot()
    }
}

/// A window of `work` that has arrived.
fn arrived(fixture: &mut Fixture, clock: &mut Clock) -> (Who, usize) {
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 400, 300, CONTENT);
    fixture.screenshot();
    clock.after(fixture, 2000);
    (work, window)
}

/// The smallest rectangle with everything of a colour below the stripe.
fn bounds(screen: &Screen, color: [u8; 4]) -> Option<Rectangle<i32, Physical>> {
    let points = (24..640).flat_map(|y| (0..1000).map(move |x| (x, y)));
    let found = points.filter(|(x, y)| screen.pixel(*x, *y) == color);
    found.map(|point| Rectangle::new(point.into(), (1, 1).into())).reduce(Rectangle::merge)
}

/// The frame of the one window that is to be seen: the label is around it, and its content nowhere else.
#[track_caller]
fn labelled(what: &str, screen: &Screen) -> Rectangle<i32, Physical> {
    let frame = bounds(screen, WORK).unwrap_or_else(|| panic!("{what}: there is no label"));
    screen.assert_ring(WORK, frame, BORDER);
    let content = bounds(screen, CONTENT).unwrap_or_else(|| panic!("{what}: there is no content"));
    let inside = Rectangle::new(
        (frame.loc.x + BORDER, frame.loc.y + BAR).into(),
        (frame.size.w - 2 * BORDER, frame.size.h - BAR - BORDER).into(),
    );
    assert!(inside.contains_rect(content), "{what}: {content:?} is not in {inside:?}");
    // The chip is there too: white, in the title bar.
    let chip = bounds(screen, [0xff; 4]).unwrap_or_else(|| panic!("{what}: there is no name"));
    assert!(frame.contains_rect(chip) && chip.size.w > 30, "{what}: {chip:?}");
    frame
}

#[test]
fn an_opening_window_has_its_label_in_every_step() {
    let mut fixture = desktop("duration = 1000");
    let mut clock = Clock::start(&mut fixture);
    let work = fixture.connect(vm("work"));
    fixture.window(work, 400, 300, CONTENT);
    let mut width = 0;
    for step in 0..5 {
        let frame = labelled(&format!("step {step}"), &clock.after(&mut fixture, 150));
        assert!(frame.size.w >= width && frame.size.w < 408, "{frame:?}");
        width = frame.size.w;
    }
    assert!(fixture.state().comp.decor.animations.is_moving());
    let frame = labelled("the end", &clock.after(&mut fixture, 1000));
    assert_eq!(frame, fixture.report()[0].frame);
    assert!(!fixture.state().comp.decor.animations.is_moving());
}

#[test]
fn a_closing_window_shows_its_last_picture_below_its_label_and_is_gone_for_everybody_else() {
    let mut fixture = desktop("duration = 1000");
    let mut clock = Clock::start(&mut fixture);
    let (work, window) = arrived(&mut fixture, &mut clock);
    let open = fixture.report()[0].frame;
    fixture.client(work).told.shown[window].toplevel.take().unwrap().destroy();
    fixture.roundtrip(work);
    assert!(fixture.report().is_empty());
    for step in 0..4 {
        let frame = labelled(&format!("step {step}"), &clock.after(&mut fixture, 200));
        assert!(open.contains_rect(frame));
    }
    let screen = clock.after(&mut fixture, 1000);
    assert_eq!((bounds(&screen, WORK), bounds(&screen, CONTENT)), (None, None));
}

#[test]
fn a_window_of_a_vm_that_is_not_configured_any_more_does_not_close_slowly() {
    let mut fixture = desktop("duration = 1000");
    let mut clock = Clock::start(&mut fixture);
    let (work, window) = arrived(&mut fixture, &mut clock);
    fixture.client(work).told.shown[window].toplevel.take().unwrap().destroy();
    fixture.roundtrip(work);
    labelled("configured", &clock.after(&mut fixture, 100));
    let without = Config::parse(
        Path::new("test.toml"),
        "[background]\npicture = \"none\"\nhint = false\n[animation]\nduration = 1000",
    );
    fixture.state().comp.config = Live::fixed(without.unwrap());
    let screen = clock.after(&mut fixture, 100);
    assert_eq!((bounds(&screen, WORK), bounds(&screen, CONTENT)), (None, None));
}

#[test]
fn minimising_maximising_and_changing_the_workspace_keep_the_label() {
    let mut fixture = desktop("duration = 1000");
    let mut clock = Clock::start(&mut fixture);
    let (work, _) = arrived(&mut fixture, &mut clock);
    let open = fixture.report()[0].frame;
    fixture.chord(&["leftmeta", "m"]);
    fixture.roundtrip(work);
    fixture.screenshot();
    let grown = labelled("maximising", &clock.after(&mut fixture, 200));
    assert!(grown.size.w > open.size.w && grown.size.w < 1000, "{grown:?}");
    fixture.chord(&["leftmeta", "m"]);
    fixture.screenshot();
    clock.after(&mut fixture, 2000);
    fixture.chord(&["leftmeta", "n"]);
    fixture.screenshot();
    let small = labelled("minimising", &clock.after(&mut fixture, 300));
    assert!(small.size.w < open.size.w && small.loc.y > open.loc.y, "{small:?}");
    let screen = clock.after(&mut fixture, 1000);
    assert_eq!(bounds(&screen, WORK), None);
    fixture.chord(&["leftmeta", "tab"]);
    clock.after(&mut fixture, 0);
    clock.after(&mut fixture, 2000);
    assert_eq!(labelled("back", &clock.after(&mut fixture, 0)), open);
    fixture.chord(&["leftmeta", "2"]);
    fixture.screenshot();
    let screen = clock.after(&mut fixture, 50);
    // It goes off to the left, and what is left of it on the output has its frame above and below.
    let frame = bounds(&screen, WORK).unwrap();
    assert!(frame.loc.x + frame.size.w < open.loc.x + open.size.w, "{frame:?}");
    let right = (frame.loc.x + frame.size.w - BORDER, frame.loc.y);
    screen.assert_solid("the right side", WORK, Rectangle::new(right.into(), (BORDER, frame.size.h).into()));
    assert_eq!(bounds(&clock.after(&mut fixture, 1000), WORK), None);
}

#[test]
fn nothing_is_left_of_a_closing_window_when_the_session_is_locked() {
    let mut fixture = desktop("duration = 1000");
    let mut clock = Clock::start(&mut fixture);
    let (work, window) = arrived(&mut fixture, &mut clock);
    fixture.client(work).told.shown[window].toplevel.take().unwrap().destroy();
    fixture.roundtrip(work);
    labelled("before the lock", &clock.after(&mut fixture, 100));
    fixture.state().begin_locked();
    let screen = clock.after(&mut fixture, 100);
    assert_eq!((bounds(&screen, WORK), bounds(&screen, CONTENT)), (None, None));
    assert!(!fixture.state().comp.decor.animations.is_moving());
}

/// Frames that are drawn from before a window opens until nothing is wanted any more.
fn frames_of_opening(fixture: &mut Fixture) -> u64 {
    fixture.wait("a first frame", |fixture| !fixture.state().comp.schedule.is_pending());
    let before = fixture.state().comp.schedule.frames();
    let work = fixture.connect(vm("work"));
    fixture.window(work, 400, 300, CONTENT);
    fixture.roundtrip(work);
    fixture.wait("the last frame", |fixture| !fixture.state().comp.schedule.is_pending());
    let frames = fixture.state().comp.schedule.frames();
    for _ in 0..5 {
        fixture.turn();
    }
    assert_eq!(fixture.state().comp.schedule.frames(), frames, "frames are drawn while nothing moves");
    frames - before
}

#[test]
fn a_frame_follows_the_other_only_while_something_moves_and_none_does_if_it_is_turned_off() {
    let off = frames_of_opening(&mut desktop("enabled = false"));
    let on = frames_of_opening(&mut desktop("duration = 200"));
    assert!(on > off + 2, "{on} frames with animations, {off} without");
}
