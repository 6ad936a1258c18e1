//! That the table `[theme]` changes what it says, at once and in what is drawn.

use std::fs;
use std::path::Path;

use smithay::input::SeatHandler;
use smithay::input::pointer::{CursorIcon, CursorImageStatus};
use smithay::utils::{Physical, Rectangle};
use vitrail::State as Vitrail;
use vitrail::config::Live;
use vitrail::shell::outputs::OutputId;
use vitrail::trust::client::Privilege;

use crate::fixture::{Fixture, Screen, WORK, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

struct Themed {
    directory: tempfile::TempDir,
    fixture: Fixture,
}

impl Themed {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vitrail.toml");
        write(&path, "");
        let fixture = Fixture::with(Live::load(&path).unwrap(), (800, 600), 1.0);
        Self { directory, fixture }
    }

    fn theme(&mut self, text: &str) {
        write(&self.directory.path().join("vitrail.toml"), text);
        assert!(self.fixture.state().reload());
    }
}

fn write(path: &Path, theme: &str) {
    let still = "[background]\npicture = \"none\"\nhint = false\n[animation]\nenabled = false\n";
    fs::write(path, format!("{still}[vm.work]\nlabel = \"Work\"\ncolor = \"#2e7d32\"\n[theme]\n{theme}\n"))
        .unwrap();
}

/// What the frames that were drawn one after the other have left.
fn drawn(fixture: &mut Fixture) -> Screen {
    let Vitrail { backend, comp, .. } = fixture.state();
    backend.draw(comp, OutputId::FIRST).unwrap();
    Screen(backend.last_frame().unwrap())
}

/// The last column of the chip, which begins at the row's left end on a light ground.
fn chip_width(screen: &Screen, frame: Rectangle<i32, Physical>, border: i32) -> i32 {
    let (x, y) = (frame.loc.x + border, frame.loc.y + border + 1);
    let light = |x: &i32| screen.pixel(*x, y) != WORK;
    (x..frame.loc.x + frame.size.w - 200).rfind(light).unwrap() - x
}

#[test]
fn the_widths_of_frames_follow_the_theme_and_whoever_fills_the_screen_is_told() {
    let mut themed = Themed::new();
    let fixture = &mut themed.fixture;
    let work = fixture.connect(vm("work"));
    let window = fixture.window(work, 400, 100, BLUE);
    let before = fixture.report()[0].clone();
    assert_eq!(before.content.loc - before.frame.loc, (4, 28).into());
    let small = chip_width(&drawn(fixture), before.frame, 4);

    themed.theme("frame_width = 8\ntitle_height = 48\ntitle_size = 24");
    let fixture = &mut themed.fixture;
    let after = fixture.report()[0].clone();
    assert_eq!(after.frame.loc, before.frame.loc);
    assert_eq!(after.content.loc - after.frame.loc, (8, 56).into());
    assert_eq!(after.content.size, before.content.size);
    let screen = drawn(fixture);
    screen.assert_ring(WORK, after.frame, 8);
    screen.assert_solid("the content", BLUE, after.content);
    let large = chip_width(&screen, after.frame, 8);
    assert!(large > small * 3 / 2, "the letters are twice as high: {small} {large}");

    fixture.chord(&["leftmeta", "m"]);
    fixture.roundtrip(work);
    let told = |fixture: &mut Fixture| fixture.client(work).configures(window).last().unwrap().size;
    assert_eq!(told(fixture), (800 - 16, 600 - 24 - 64));
    themed.theme("");
    let fixture = &mut themed.fixture;
    fixture.roundtrip(work);
    assert_eq!(told(fixture), (800 - 8, 600 - 24 - 32));
}

/// Nothing else has changed, so only the colour itself can be why it is drawn anew.
#[test]
fn the_bare_desktop_has_the_themes_colour_after_a_reload() {
    let mut themed = Themed::new();
    assert_eq!(drawn(&mut themed.fixture).pixel(700, 500), [0x19, 0x1c, 0x21, 255]);
    themed.theme("background = \"#402010\"");
    assert_eq!(drawn(&mut themed.fixture).pixel(700, 500), [0x40, 0x20, 0x10, 255]);
}

#[test]
fn the_arrow_is_as_large_as_the_theme_says() {
    let height = |fixture: &mut Fixture| {
        fixture.state().input_pointer_motion(300.0, 300.0);
        let screen = drawn(fixture);
        (300..500).filter(|y| screen.pixel(300, *y) != screen.pixel(700, 500)).count()
    };
    let mut themed = Themed::new();
    assert_eq!(height(&mut themed.fixture), 14);
    themed.theme("cursor_size = 72");
    assert_eq!(height(&mut themed.fixture), 42);
}

/// A client chose the shape of a text cursor, and the pointer went on to the label beside it. The label is the compositor's, and
/// so is what the pointer looks like there.
#[test]
fn a_clients_shape_ends_where_its_content_does() {
    let mut themed = Themed::new();
    let fixture = &mut themed.fixture;
    let work = fixture.connect_as(vm("work"), Privilege::Ordinary);
    fixture.client(work).listen();
    fixture.window(work, 400, 100, BLUE);
    let report = fixture.report()[0].clone();
    let mut over = |x: i32, y: i32| {
        let state = fixture.state();
        state.input_pointer_motion(f64::from(x), f64::from(y));
        let seat = state.comp.seat.clone();
        state.cursor_image(&seat, CursorImageStatus::Named(CursorIcon::Text));
        state.comp.cursor_icon()
    };
    let (frame, content) = (report.frame, report.content);
    assert_eq!(over(content.loc.x + 50, content.loc.y + 50), CursorIcon::Text);
    assert_eq!(over(content.loc.x + 50, content.loc.y - 10), CursorIcon::Default);
    assert_eq!(over(content.loc.x + 50, 5), CursorIcon::Default);
    assert_eq!(over(frame.loc.x, frame.loc.y), CursorIcon::NwResize);
    assert_eq!(over(frame.loc.x + frame.size.w - 1, frame.loc.y + frame.size.h / 2), CursorIcon::EResize);
    assert_eq!(over(frame.loc.x + frame.size.w / 2, frame.loc.y + frame.size.h - 1), CursorIcon::SResize);
    assert_eq!(over(790, 590), CursorIcon::Default);
}
