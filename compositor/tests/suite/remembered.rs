//! Windows that come back to their places after a crash: the file that one compositor leaves, and another reads.

use std::path::Path;

use smithay::utils::Point;
use vitrail::shell::outputs::{Head, OutputId};

use crate::fixture::{Fixture, Who, vm};

const BLUE: [u8; 4] = [0, 0, 255, 255];

/// A compositor with a second output, whose places are in a file.
fn compositor(path: &Path) -> (Fixture, OutputId) {
    let mut fixture = Fixture::sized(800, 600, 1.0);
    assert!(fixture.state().connect_output(Head::virtual_one("right", (800, 600).into(), 1.0)));
    let right = fixture.state().comp.shell.outputs().named("right").unwrap().id;
    fixture.state().remember_places(path.to_owned());
    (fixture, right)
}

fn open(fixture: &mut Fixture, who: Who, title: &str) {
    let window = fixture.client(who).create_named_window("foot", title);
    fixture.configured(who, window, 0);
    fixture.client(who).draw(window, 200, 100, BLUE);
    fixture.configured(who, window, 1);
}

/// Output, corner and whether it is minimised, of each window by its title.
fn places(fixture: &mut Fixture) -> Vec<(String, OutputId, (i32, i32), bool)> {
    let windows = fixture.state().comp.shell.bottom_up();
    let place = |window: &vitrail::shell::window::Window<_>| {
        (window.title.clone(), window.output, window.location.into(), window.minimized)
    };
    let mut places: Vec<_> = windows.map(place).collect();
    places.sort_unstable();
    places
}

/// Of several windows of one application each came back as another one, those that had been minimised stood on the screen, and on
/// which output a window comes back was tested nowhere.
#[test]
fn windows_come_back_by_their_titles_to_their_outputs_and_minimised_if_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layout.toml");
    let (mut fixture, right) = compositor(&path);
    let work = fixture.connect(vm("work"));
    for title in ["one", "two", "three"] {
        open(&mut fixture, work, title);
    }
    let shell = &mut fixture.state().comp.shell;
    let ids: Vec<_> = shell.bottom_up().map(|window| (window.title.clone(), window.id)).collect();
    let id = |title: &str| ids.iter().find(|(of, _)| of == title).unwrap().1;
    shell.move_to_output(id("two"), right);
    shell.get_mut(id("two")).unwrap().location = right.origin() + Point::from((111, 222));
    shell.minimize(id("three"));
    let before = places(&mut fixture);
    assert_eq!(before.iter().filter(|place| place.1 == right).count(), 1);
    fixture.state().stop();
    drop(fixture);

    let (mut fixture, _) = compositor(&path);
    let work = fixture.connect(vm("work"));
    for title in ["three", "two", "one"] {
        open(&mut fixture, work, title);
    }
    assert_eq!(places(&mut fixture), before);
    let focused = fixture.state().comp.shell.focused().map(|window| window.title.clone());
    assert_ne!(focused.as_deref(), Some("three"));
}
