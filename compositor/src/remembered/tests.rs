//! What is remembered of which windows, and for whom.

use std::fs;
use std::path::Path;

use super::*;
use crate::shell::Layout;
use crate::shell::outputs::Outputs;
use crate::shell::zone::Direction;

const CONFIG: &str = "[vm.work]\ncolor = \"#2e7d32\"\n[vm.web]\ncolor = \"#c62828\"\n";

fn config() -> Config {
    Config::parse(Path::new("vitrail.toml"), CONFIG).unwrap()
}

fn vm(name: &str) -> Origin {
    Origin::Vm(name.parse().unwrap())
}

fn shell() -> Shell<()> {
    let layout = Layout { output: (1280, 800).into(), scale: 1.0, ..Default::default() };
    let mut shell = Shell::new(Outputs::single(layout));
    shell.set_workspaces(&config().workspaces);
    shell
}

/// A shown window at a place.
fn open(shell: &mut Shell<()>, origin: &Origin, app_id: &str, at: (i32, i32)) -> WindowId {
    let id = shell.add((), origin.clone());
    shell.get_mut(id).unwrap().app_id = app_id.to_owned();
    shell.show(id, (200, 100).into(), None);
    shell.get_mut(id).unwrap().location = at.into();
    id
}

fn remembered(directory: &tempfile::TempDir) -> Remembered {
    Remembered::open(directory.path().join("state/layout.toml"))
}

fn locations(places: &[Place]) -> Vec<(&str, &str, i32)> {
    places.iter().map(|place| (place.vm.as_str(), place.app_id.as_str(), place.x)).collect()
}

#[test]
fn places_survive_the_program_and_are_given_once_in_the_order_of_opening() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    open(&mut shell, &vm("work"), "foot", (100, 50));
    let second = open(&mut shell, &vm("work"), "foot", (300, 60));
    shell.get_mut(second).unwrap().mode = Mode::Maximized;
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));
    drop(before);

    let mut after = remembered(&directory);
    let first = after.take(&vm("work"), "foot", "").unwrap();
    assert_eq!(
        (first.location(), first.size(), first.mode()),
        ((100, 50).into(), (200, 100).into(), Mode::Floating)
    );
    assert_eq!(after.take(&vm("work"), "foot", "").unwrap().mode(), Mode::Maximized);
    assert_eq!(after.take(&vm("work"), "foot", ""), None);
}

/// A VM chooses its application ids. Were they asked first, a VM could learn and take the place of another one's window.
#[test]
fn an_application_id_of_another_vm_finds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    open(&mut shell, &vm("work"), "foot", (100, 50));
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));
    let mut after = remembered(&directory);
    assert_eq!(after.take(&vm("web"), "foot", ""), None);
    assert_eq!(after.take(&Origin::Local, "foot", ""), None);
    assert!(after.take(&vm("work"), "foot", "").is_some());
}

#[test]
fn places_that_nobody_has_taken_yet_outlive_a_second_crash() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    open(&mut shell, &vm("work"), "foot", (100, 50));
    open(&mut shell, &vm("web"), "firefox", (300, 50));
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));

    let mut after = remembered(&directory);
    let _taken = after.take(&vm("web"), "firefox", "");
    let mut shell = self::shell();
    open(&mut shell, &vm("web"), "firefox", (310, 50));
    after.write(after.places(&shell, &config()));
    let again = remembered(&directory);
    assert_eq!(locations(&again.left), [("web", "firefox", 310), ("work", "foot", 100)]);
}

#[test]
fn a_vm_cannot_push_out_the_places_of_another_one_or_make_the_file_long() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    for number in 0..100 {
        open(&mut shell, &vm("web"), &"\"".repeat(MAX_APP_ID), (number, 0));
    }
    open(&mut shell, &vm("web"), &"x".repeat(MAX_APP_ID + 1), (7, 0));
    open(&mut shell, &vm("work"), "foot", (100, 50));
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));
    let after = remembered(&directory);
    assert_eq!(after.left.len(), MAX_PLACES + 1);
    assert!(after.left.iter().any(|place| place.vm == "work"));
    assert!(after.left.iter().all(|place| place.app_id.len() <= MAX_APP_ID));
    let length = fs::metadata(directory.path().join("state/layout.toml")).unwrap().len();
    assert!(length < 32 * 1024, "{length}");
}

#[test]
fn dialogs_and_windows_without_an_application_id_are_not_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    let parent = open(&mut shell, &vm("work"), "foot", (100, 50));
    let dialog = open(&mut shell, &vm("work"), "foot", (200, 50));
    shell.get_mut(dialog).unwrap().parent = Some(parent);
    open(&mut shell, &vm("work"), "", (300, 50));
    let places = remembered(&directory).places(&shell, &config());
    assert_eq!(locations(&places), [("work", "foot", 100)]);
}

#[test]
fn places_of_a_vm_that_is_not_configured_any_more_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    open(&mut shell, &vm("gone"), "foot", (100, 50));
    open(&mut shell, &Origin::Local, "foot", (200, 50));
    let places = remembered(&directory).places(&shell, &config());
    assert_eq!(locations(&places), [("local", "foot", 200)]);
}

#[test]
fn a_damaged_file_is_as_good_as_none_and_absurd_numbers_are_clamped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layout.toml");
    fs::write(&path, "[[window]]\nvm = 3").unwrap();
    assert!(Remembered::open(path.clone()).left.is_empty());
    let (min, max) = (i32::MIN, i32::MAX);
    let text = format!(
        "[[window]]\nvm = \"work\"\napp_id = \"a\"\nx = {min}\ny = {max}\nwidth = {min}\nheight = {max}\nmode = \"floating\""
    );
    fs::write(&path, text).unwrap();
    let place = Remembered::open(path).take(&vm("work"), "a", "").unwrap();
    assert_eq!(place.size(), (1, MAX_LENGTH).into());
    assert_eq!(place.location(), (-MAX_LENGTH, MAX_LENGTH).into());
}

#[test]
fn a_half_of_the_screen_and_the_workspace_are_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    let id = open(&mut shell, &vm("work"), "foot", (100, 50));
    let half = Mode::Floating.snapped(Direction::Left);
    shell.get_mut(id).unwrap().mode = half;
    shell.move_to_workspace(id, 2);
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));
    let place = remembered(&directory).take(&vm("work"), "foot", "").unwrap();
    assert_eq!((place.mode(), place.workspace), (half, 2));
    // As a version that knew no workspaces wrote it.
    let path = directory.path().join("state/layout.toml");
    let text = fs::read_to_string(&path).unwrap().replace("workspace = 2\n", "");
    fs::write(&path, text).unwrap();
    assert_eq!(remembered(&directory).take(&vm("work"), "foot", "").unwrap().workspace, 0);
}

#[test]
fn a_window_comes_back_to_its_workspace_without_bringing_it_onto_the_screen() {
    let mut shell = shell();
    let work = open(&mut shell, &vm("work"), "foot", (100, 50));
    let id = shell.add((), vm("web"));
    let window = shell.get_mut(id).unwrap();
    (window.recalled, window.size) = (Some((300, 200).into()), (200, 100).into());
    shell.move_to_workspace(id, 1);
    assert!(!shell.show(id, (200, 100).into(), None));
    assert_eq!((shell.workspaces().current(), shell.focused().unwrap().id), (0, work));
    assert_eq!(shell.get(id).unwrap().workspace(), 1);
    shell.switch_workspace(1);
    assert_eq!((shell.focused().unwrap().id, shell.get(id).unwrap().location), (id, (300, 200).into()));
    shell.check();
}

/// Of five terminals each came back to the place of whichever was opened first.
#[test]
fn a_window_of_several_of_an_application_comes_back_to_the_place_of_the_one_with_its_title() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    for (title, x) in [("secret plans", 100), ("invoices", 200), ("", 300)] {
        let id = open(&mut shell, &vm("work"), "foot", (x, 50));
        shell.get_mut(id).unwrap().title = title.to_owned();
    }
    let alone = open(&mut shell, &vm("web"), "foot", (500, 50));
    shell.get_mut(alone).unwrap().title = "invoices".to_owned();
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));
    let text = fs::read_to_string(directory.path().join("state/layout.toml")).unwrap();
    assert!(!text.contains("secret") && !text.contains("invoices"), "{text}");
    assert_eq!(text.matches("title = ").count(), 2, "one that is alone is known without: {text}");

    let mut after = remembered(&directory);
    assert_eq!(
        after.take(&vm("web"), "foot", "secret plans").unwrap().x,
        500,
        "a title chooses among a VM's own"
    );
    let taken: Vec<i32> = ["invoices", "something new", "secret plans"]
        .map(|title| after.take(&vm("work"), "foot", title).unwrap().x)
        .to_vec();
    assert_eq!(taken, [200, 100, 300]);
}

#[test]
fn a_title_that_changes_all_the_time_writes_nothing_where_one_window_is_all_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    let id = open(&mut shell, &vm("work"), "foot", (100, 50));
    let remembered = remembered(&directory);
    let before = remembered.places(&shell, &config());
    shell.get_mut(id).unwrap().title = "12:00:01".to_owned();
    assert_eq!(remembered.places(&shell, &config()), before);
}

/// The key is in the file; a file of a version that knew none, or one without a good one, is as good without titles.
#[test]
fn titles_are_known_again_after_a_second_crash_and_a_file_without_a_key_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    for (title, x) in [("one", 100), ("two", 200)] {
        let id = open(&mut shell, &vm("work"), "foot", (x, 50));
        shell.get_mut(id).unwrap().title = title.to_owned();
    }
    let mut first = remembered(&directory);
    first.write(first.places(&shell, &config()));
    // A start at which only another window was opened.
    let mut second = remembered(&directory);
    let mut other = self::shell();
    open(&mut other, &vm("web"), "foot", (300, 50));
    second.write(second.places(&other, &config()));
    assert_eq!(remembered(&directory).take(&vm("work"), "foot", "two").unwrap().x, 200);
    let path = directory.path().join("state/layout.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.split_once('\n').unwrap().1).unwrap();
    let mut third = remembered(&directory);
    assert_eq!(third.take(&vm("work"), "foot", "two").unwrap().x, 100, "the first in the order");
    third.write(third.places(&other, &config()));
    assert_eq!(remembered(&directory).key, third.key);
}

#[test]
fn a_minimised_window_comes_back_minimised_and_without_the_keyboard() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = shell();
    let id = open(&mut shell, &vm("work"), "foot", (100, 50));
    shell.minimize(id);
    let mut before = remembered(&directory);
    before.write(before.places(&shell, &config()));
    let place = remembered(&directory).take(&vm("work"), "foot", "").unwrap();
    assert!(place.minimized);

    let mut shell = self::shell();
    let id = shell.add((), vm("work"));
    let window = shell.get_mut(id).unwrap();
    (window.recalled, window.minimized) = (Some(place.location()), place.minimized);
    assert!(!shell.show(id, (200, 100).into(), None));
    assert!(shell.focused().is_none() && shell.shown_top_down().next().is_none());
    shell.check();
    shell.restore(id);
    assert_eq!(shell.focused().map(|window| (window.id, window.location)), Some((id, (100, 50).into())));
    shell.check();
    // What is minimised by its program before it was ever shown is not.
    let id = shell.add((), vm("work"));
    shell.minimize(id);
    assert!(shell.show(id, (200, 100).into(), None));
}
