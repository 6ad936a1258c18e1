//! What is behind the windows: the picture or a colour, the hint of the main keys, and that neither is ever above anything.

use std::path::Path;

use vitrail::config::{Config, Live};

use crate::fixture::{Fixture, WORK, vm};

const VMS: &str = "[vm.work]\nlabel = \"Work\"\ncolor = \"#2e7d32\"\n[animation]\nenabled = false\n";

fn desktop(background: &str) -> Fixture {
    let text = format!("{VMS}[background]\n{background}");
    Fixture::with(Live::fixed(Config::parse(Path::new("test.toml"), &text).unwrap()), (1000, 640), 1.0)
}

/// The colours of the desktop below the stripe.
fn colors(fixture: &mut Fixture) -> std::collections::BTreeSet<[u8; 4]> {
    let screen = fixture.screenshot();
    let points = (40..640).step_by(3).flat_map(|y| (0..1000).step_by(3).map(move |x| (x, y)));
    points.map(|(x, y)| screen.pixel(x, y)).collect()
}

#[test]
fn the_picture_is_there_unless_it_is_configured_away() {
    assert!(colors(&mut desktop("hint = false")).len() > 100);
    let plain = colors(&mut desktop("picture = \"none\"\nhint = false\n[theme]\nbackground = \"#123456\""));
    assert_eq!(plain.into_iter().collect::<Vec<_>>(), [[0x12, 0x34, 0x56, 0xff]]);
}

/// Whether the panel of the hint is in the middle of the desktop.
fn hint_is_shown(fixture: &mut Fixture) -> bool {
    colors(fixture).contains(&[0x1b, 0x1d, 0x22, 0xff])
}

#[test]
fn the_hint_is_there_until_the_first_window_and_not_after_it() {
    let mut fixture = desktop("picture = \"none\"");
    assert!(hint_is_shown(&mut fixture));
    let work = fixture.connect(vm("work"));
    fixture.window(work, 300, 200, [0xf0, 0xe0, 0xc0, 0xff]);
    assert!(!hint_is_shown(&mut fixture));
    fixture.client(work).told.shown[0].surface.attach(None, 0, 0);
    fixture.client(work).told.shown[0].surface.commit();
    fixture.roundtrip(work);
    assert!(fixture.report().is_empty());
    assert!(!hint_is_shown(&mut fixture));
}

#[test]
fn the_first_chord_takes_the_hint_away() {
    let mut fixture = desktop("picture = \"none\"");
    assert!(hint_is_shown(&mut fixture));
    fixture.chord(&["leftmeta", "2"]);
    assert!(!hint_is_shown(&mut fixture));
    assert!(!hint_is_shown(&mut desktop("picture = \"none\"\nhint = false")));
}

#[test]
fn a_window_lies_on_the_background_and_its_label_is_whole() {
    let mut fixture = desktop("hint = true");
    let work = fixture.connect(vm("work"));
    fixture.window(work, 300, 200, [0xf0, 0xe0, 0xc0, 0xff]);
    let window = fixture.report().remove(0);
    let screen = fixture.screenshot();
    screen.assert_ring(WORK, window.frame, 4);
    screen.assert_solid("the content", [0xf0, 0xe0, 0xc0, 0xff], window.content);
}

/// The picture was once drawn anew for every frame, which nobody would have seen but for the fan of the machine.
#[test]
fn an_idle_desktop_draws_no_frame() {
    let mut fixture = desktop("hint = true");
    fixture.state().comp.schedule.request();
    fixture.wait("a frame", |fixture| !fixture.state().comp.schedule.is_pending());
    let frames = fixture.state().comp.schedule.frames();
    for _ in 0..5 {
        fixture.turn();
    }
    assert_eq!(fixture.state().comp.schedule.frames(), frames);
    assert!(!fixture.state().comp.schedule.is_pending());
}
